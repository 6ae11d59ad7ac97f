// Runs the kernel of lab 12 on the processor.  Reads input.bin (rows, inner, columns; a; b), writes output.bin (c).

#include "cuda_on_cpu.cuh"

#include LAB_FILE

static int rows, inner, columns;
static cpu::Array a, b, c;

static void call()
{
    matmul(a.data, b.data, c.data, rows, inner, columns);
}

int main()
{
    int sizes[3];
    FILE* input = fopen("input.bin", "rb");
    if (!input || fread(sizes, sizeof(int), 3, input) != 3)
        return 1;
    rows = sizes[0], inner = sizes[1], columns = sizes[2];
    a = cpu::allocate("a", long(rows) * inner, true);
    b = cpu::allocate("b", long(inner) * columns, true);
    for (const cpu::Array& one : {a, b}) {
        if (fread(one.data, sizeof(float), one.size, input) != size_t(one.size))
            return 1;
        mprotect(one.pages, one.fence - one.pages, PROT_READ);
    }
    cpu::watch_memory();

    dim3 block(TILE, TILE), grid((columns + TILE - 1) / TILE, (rows + TILE - 1) / TILE);
    c = cpu::allocate("c", long(rows) * columns, false);
    cpu::launch(call, grid, block, false);
    cpu::Array forwards = c;
    c = cpu::allocate("c", forwards.size, false);
    cpu::launch(call, grid, block, true);
    cpu::check_memory();
    if (memcmp(forwards.data, c.data, c.size * sizeof(float)))
        cpu::complain(
            "the result depends on which thread runs first, so a __syncthreads() is missing. All threads must wait "
            "twice per tile: after writing it, before anyone reads; and after reading, before anyone writes the next.");

    FILE* output = fopen("output.bin", "wb");
    return !output || fwrite(c.data, sizeof(float), c.size, output) != size_t(c.size) || fclose(output);
}
