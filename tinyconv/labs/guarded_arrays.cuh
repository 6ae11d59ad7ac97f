// Arrays whose ends are watched, for a kernel that runs on the processor (see kernels/cuda/host.cuh): what a GPU would
// let pass, or crash on, becomes a sentence.

#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "host.cuh"

namespace guarded {

const int COMPLAINT = 3, MOST_ARRAYS = 8;

// Print one sentence as the last line, and end the program.
template <typename... Numbers>
void complain(const char* sentence, Numbers... numbers)
{
    char text[600];
    int length = snprintf(text, sizeof text, sentence, numbers...);
    fflush(stdout);
    if (write(STDOUT_FILENO, "\n", 1) + write(STDOUT_FILENO, text, length) < 0)
        _exit(1);
    _exit(COMPLAINT);
}

// Each array ends where a page begins that nobody may touch.

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

}  // namespace guarded
