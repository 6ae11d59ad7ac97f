"""Convolution, ReLU and max-pooling in one pass: definition.py (one after the other), direct.py (image by image)."""
