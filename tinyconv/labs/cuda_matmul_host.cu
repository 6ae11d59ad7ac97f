// Runs the kernel of lab 12 on the processor.  Reads input.bin (rows, inner, columns; a; b), writes output.bin (c).

#include "guarded_arrays.cuh"

static int rows, inner, columns;
static guarded::Array a, b, c;

static bool read_input()
{
    int sizes[3];
    FILE* file = fopen("input.bin", "rb");
    if (!file || fread(sizes, sizeof(int), 3, file) != 3)
        return false;
    rows = sizes[0], inner = sizes[1], columns = sizes[2];
    a = guarded::allocate("a", long(rows) * inner);
    b = guarded::allocate("b", long(inner) * columns);
    for (const guarded::Array& one : {a, b}) {
        if (fread(one.data, sizeof(float), one.size, file) != size_t(one.size))
            return false;
        mprotect(one.pages, one.fence - one.pages, PROT_READ);
    }
    return true;
}

static bool write_output(const guarded::Array& result)
{
    FILE* file = fopen("output.bin", "wb");
    return file && fwrite(result.data, sizeof(float), result.size, file) == size_t(result.size) && fclose(file) == 0;
}

// A kernel computes; it has no business with files, programs or memory maps.
#pragma GCC poison system popen fork vfork clone syscall execl execle execlp execv execve execvp execvpe kill raise
#pragma GCC poison open openat fopen freopen creat unlink unlinkat remove rename rmdir mkdir link symlink chmod
#pragma GCC poison mmap munmap mprotect signal sigaction sigaltstack setcontext dlopen dlsym _exit

#include LAB_FILE

static void call()
{
    matmul(a.data, b.data, c.data, rows, inner, columns);
}

// kernel<<<grid, block>>>(a, b, c, …) with the blocks and threads taking turns forwards or backwards.
static void launch(bool backwards)
{
    unsigned width = (columns + TILE - 1) / TILE, height = (rows + TILE - 1) / TILE;
    unsigned sizes[] = {width, height, 1, TILE, TILE, 1};
    const char* complaint = host::launch(host::Kernel{"matmul", call, nullptr}, sizes, 0, nullptr, backwards);
    if (*complaint)
        guarded::complain("%s", complaint);
}

int main()
{
    if (!read_input() || !host::use_stacks(nullptr))
        return 1;
    guarded::watch_memory();
    guarded::Array forwards = c = guarded::allocate("c", long(rows) * columns);
    launch(false);
    c = guarded::allocate("c", forwards.size);
    launch(true);
    guarded::check_memory();
    if (memcmp(forwards.data, c.data, c.size * sizeof(float)))
        guarded::complain(
            "the result depends on which thread runs first, so a __syncthreads() is missing. All threads must wait "
            "twice per tile: after writing it, before anyone reads; and after reading, before anyone writes the next.");
    return write_output(forwards) ? 0 : 1;
}
