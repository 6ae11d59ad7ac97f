"""CUDA kernels: how they are written, compiled, launched, and tested without a GPU."""
