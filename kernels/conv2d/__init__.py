"""Convolution, as a staircase: naive.py (loops), im2col.py (one matrix product), direct.py (without the buffer)."""
