"""Fully connected layer, y = x · w + b: definition.py (NumPy), parallel.py (the micro-kernel)."""
