"""What can go wrong with CUDA, as sentences for whoever runs the program."""


class CudaError(RuntimeError):
    """The GPU, its driver or CuPy cannot be used, or a kernel failed; the sentence says what to do."""


class CompileError(CudaError):
    """A .cu file does not compile; the sentence has the compiler's words, with file and line."""
