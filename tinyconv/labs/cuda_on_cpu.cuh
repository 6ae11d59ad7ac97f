// CUDA's words for an ordinary C++ compiler, to check a kernel without a GPU.
//
// Blocks run one after the other.  The threads of a block are fibers: each runs until its next __syncthreads() or its
// end, then the next one does.  In whichever order they take turns, a correct kernel computes the same; a kernel that
// forgot to wait does not.  What a GPU would let pass, or crash on, is caught: memory outside of an array, shared memory
// that nobody has written (it holds NaN), a __syncthreads() that only some threads reach.

#pragma once

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#if defined(__ELF__)
#define __shared__ static __attribute__((section("shared_memory")))
extern char __start_shared_memory[] __attribute__((weak));  // from the linker
extern char __stop_shared_memory[] __attribute__((weak));
#else
#define __shared__ static
#endif
#define __syncthreads() cpu::wait(__LINE__)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cpu {

const int COMPLAINT = 3, MOST_THREADS = 1024, STACK_BYTES = 1 << 17, MOST_ARRAYS = 8;

// Print one sentence as the last line, and end the program.
template <typename... Numbers>
void complain(const char* sentence, Numbers... numbers)
{
    char text[400];
    int length = snprintf(text, sizeof text, sentence, numbers...);
    fflush(stdout);
    if (write(STDOUT_FILENO, "\n", 1) + write(STDOUT_FILENO, text, length) < 0)
        _exit(1);
    _exit(COMPLAINT);
}

// -- memory: each array ends where a page ends that nobody may touch -------------------------------------------------

struct Array {
    const char* name;
    float* data;
    long size;
    char *pages, *fence;  // first byte, first byte of the forbidden page
};

static Array arrays[MOST_ARRAYS];
static int array_count;

inline Array allocate(const char* name, long size)
{
    long page = sysconf(_SC_PAGESIZE), bytes = size * sizeof(float), room = (bytes + 2 * page - 1) / page * page;
    char* pages = static_cast<char*>(mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0));
    if (pages == MAP_FAILED || array_count == MOST_ARRAYS)
        complain("there is too little memory for %s.", name);
    memset(pages, 0xff, room);  // NaN
    mprotect(pages + room, page, PROT_NONE);
    float* data = reinterpret_cast<float*>(pages + room - bytes);
    return arrays[array_count++] = {name, data, size, pages, pages + room};
}

inline void on_fault(int, siginfo_t* information, void*)
{
    char* address = static_cast<char*>(information->si_addr);
    for (int i = 0; i < array_count; i++) {
        const Array& one = arrays[i];
        if (address < one.pages || address >= one.fence + sysconf(_SC_PAGESIZE))
            continue;
        long place = (address - reinterpret_cast<char*>(one.data)) / long(sizeof(float));
        complain(
            address < one.fence
                ? "block (%u, %u), thread (%u, %u) writes to %s[%ld], an input of %ld elements."
                : "block (%u, %u), thread (%u, %u) reads or writes %s[%ld], outside of its %ld elements: an `if` is "
                  "missing or wrong (the sizes need not be multiples of TILE).",
            blockIdx.x, blockIdx.y, threadIdx.x, threadIdx.y, one.name, place, one.size);
    }
    complain(
        "block (%u, %u), thread (%u, %u) reads or writes memory that belongs to no array.", blockIdx.x, blockIdx.y,
        threadIdx.x, threadIdx.y);
}

inline void watch_memory()
{
    static char stack[1 << 16];
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

// What lies before an array is still NaN, unless somebody wrote there.
inline void check_memory()
{
    for (int i = 0; i < array_count; i++)
        for (char* byte = arrays[i].pages; byte < reinterpret_cast<char*>(arrays[i].data); byte++)
            if (*byte != char(0xff))
                complain("the kernel writes before the beginning of %s: an index is negative.", arrays[i].name);
}

// -- threads ---------------------------------------------------------------------------------------------------------

struct Fiber {
    ucontext_t context;
    dim3 index;
    int line;  // of the __syncthreads() where it waits
    bool done;
};

static Fiber fibers[MOST_THREADS];
static Fiber* current;
static ucontext_t scheduler;
static void (*kernel)();

inline void wait(int line)
{
    current->line = line;
    swapcontext(&current->context, &scheduler);
    threadIdx = current->index;
}

inline void run_fiber()
{
    kernel();
    current->done = true;
}

inline void run_block(bool reversed)
{
    static char* stacks = static_cast<char*>(malloc(size_t(MOST_THREADS) * STACK_BYTES));
#if defined(__ELF__)
    if (__start_shared_memory)
        memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
#endif
    int threads = blockDim.x * blockDim.y;
    for (int t = 0; t < threads; t++) {
        Fiber& fiber = fibers[t];
        fiber.index = dim3(t % blockDim.x, t / blockDim.x, 0);
        fiber.line = 0;
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = stacks + size_t(t) * STACK_BYTES;
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, run_fiber, 0);
    }
    for (bool all_done = false; !all_done;) {
        for (int turn = 0; turn < threads; turn++) {
            current = &fibers[reversed ? threads - 1 - turn : turn];
            threadIdx = current->index;
            if (!current->done)
                swapcontext(&scheduler, &current->context);
        }
        all_done = true;
        const Fiber *waiting = nullptr, *other = nullptr;
        for (int t = 0; t < threads; t++) {
            all_done = all_done && fibers[t].done;
            if (!fibers[t].done)
                waiting = &fibers[t];
        }
        for (int t = 0; waiting && t < threads; t++)
            if (fibers[t].done || fibers[t].line != waiting->line)
                other = &fibers[t];
        if (other && other->done)
            complain(
                "in block (%u, %u), thread (%u, %u) waits in the __syncthreads() of line %d, but thread (%u, %u) has "
                "returned: every thread of the block must reach it.",
                blockIdx.x, blockIdx.y, waiting->index.x, waiting->index.y, waiting->line, other->index.x, other->index.y);
        if (other)
            complain(
                "in block (%u, %u), thread (%u, %u) waits in the __syncthreads() of line %d and thread (%u, %u) in that "
                "of line %d: all threads of the block must reach the same one.",
                blockIdx.x, blockIdx.y, waiting->index.x, waiting->index.y, waiting->line, other->index.x,
                other->index.y, other->line);
    }
}

// kernel<<<grid, block>>>(), with the threads taking turns forwards or backwards.
inline void launch(void (*function)(), dim3 grid, dim3 block, bool reversed)
{
    kernel = function;
    gridDim = grid;
    blockDim = block;
    for (unsigned y = 0; y < grid.y; y++)
        for (unsigned x = 0; x < grid.x; x++) {
            blockIdx = dim3(x, y, 0);
            run_block(reversed);
        }
}

}  // namespace cpu
