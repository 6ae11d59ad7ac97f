"""CUDA kernels: how they are written, compiled and launched here, and how they are tested without a GPU.

Read this first, then `launcher.py`, then one small operation (relu/relu.cu and relu/cuda.py beside it), then conv2d.


The machine in a paragraph
--------------------------
A GPU runs one function, the *kernel*, in many threads at once: a *grid* of *blocks* of threads.  The threads of a
block sit on one multiprocessor; they share a small fast memory (`__shared__`) and can wait for each other
(`__syncthreads()`).  Blocks cannot wait for each other: what one must know of another goes through a second launch. 
Thirty-two neighbouring threads are a *warp*: they run in step, their loads of neighbouring addresses become one, and
they can read each other's registers (shuffles).  A launch costs some microseconds and returns before the kernel has
run.


An operation has two files
--------------------------
`kernels/<op>/<op>.cu` is the arithmetic, in CUDA C++ that says nothing about where it will run:

    extern "C" __global__ void forward(const T* x, T* y, long long n)

Arrays are pointers, const where they are only read.  `T` is a macro, float or double; so are tile sizes and whatever
else the compiler should know.  Helpers that kernels share are in the .cuh files here.

`kernels/<op>/cuda.py` has the functions of `contract`, as every rung: it checks, finds memory for the result, chooses
grid and block, and launches:

    source = Source(Path(__file__).with_name("relu.cu"))
    source.launch("forward", blocks(x.size, 256), 256, x, y, np.int64(x.size), defines={"T": ctype(x.dtype)})

Numbers are NumPy scalars of exactly the parameter's type: a GPU would read the wrong bytes without a word.


One launcher, two ways to run
-----------------------------
Which way it is, follows from the arrays, and nobody else asks.

*On a GPU* (`gpu.py`), arrays are CuPy's.  NVRTC compiles the text for the GPU at hand; the machine code is kept on
disk (`cached.py`).  Not by CuPy's own route, which flushes the smallest numbers to zero.  Macros go in front of the
text, not into the options, for NVRTC's own headers call their template parameters T.

*On the processor* (`host.py`), arrays are NumPy's.  g++ compiles the same text as C++, below a header (`host.cuh`)
that explains CUDA's words: blocks run one after the other, and the threads of a block take turns, each until it has
to wait.  Nothing here is quick, but everything is executed: the index arithmetic, the barriers, the grid, the order
of arguments.  So every test of an operation runs its CUDA rung as well, on any machine that has a C++ compiler, and
some things come out that a GPU would let pass:

- an argument of the wrong type, or an array that may not be written: refused with a sentence;
- a barrier that only some threads reach, a shuffle without all lanes: a sentence instead of a hang;
- shared memory that nobody has written: it is NaN at the start of each block;
- a race, such as a missing barrier leaves: two threads that use the same memory, one of them to write it, with nothing
  to put them in order (TINYCONV_SANITIZE=thread, `races.cuh`);
- an access outside of an array: AddressSanitizer stops there (TINYCONV_SANITIZE=address).

Besides, threads and blocks can take turns from the last to the first, and must compute the same bits.  What all this
cannot show is speed.  For that there is a GPU, with `pytest -m gpu` and `benchmarks/gpu_report.py`.


Rules
-----
*The same bits every time.*  Sums are taken in an order that depends on shapes only: each thread adds in order, the
threads of a block meet in a tree of fixed shape, blocks leave partial sums for a second launch.  There are no atomics.
*Gather, do not scatter.*  A thread owns an element of the output and collects what belongs there; the gradient of a
convolution or of a pooling looks up the windows that contain its pixel.
*No fast-math.*  NaN and infinities propagate.
*Nothing hidden.*  `out` is written and nothing else; scratch memory comes from `workspace`; no kernel allocates.


A step of training is one launch
--------------------------------
A small network on a large GPU is bound by launches, not by arithmetic.  So a step of training (gather the batch,
forward, loss, backward, update) is captured once for each batch size as a CUDA graph and then repeated by a single
call (`graphs.py`, and `tinyconv.training.steps`).  A graph repeats the same launches with the same arguments: what
changes from step to step must be read from device memory.  That is the `Clock` of `step.py`: how far the epoch is,
the order in which it visits the examples, the optimizer's numbers for each step, the number of the step for dropout's
random numbers.  An operation whose number may change takes it as a pointer too (`numbers.cuh`).  Losses are added up
on the device and read once in an epoch: nobody waits for the GPU before.

While a graph is captured, nothing may be allocated and nobody may wait.  So all memory comes from the plan's
workspace, and the first step of each batch size runs before its capture, which also compiles the kernels.
"""
