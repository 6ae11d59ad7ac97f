// A training step begins: fetch its batch from data that lie on the device, and its numbers; `clock` is that of step.cu.
#include "elementwise.cuh"

// to[i] = from[i] for i < size, converted, EACH at a time; the threads of `blocks` blocks share them, of which this is
// number `block`.
template <int EACH, class Source, class Target>
__device__ void copy(const Source* from, Target* to, long long size, unsigned block, unsigned blocks)
{
    const long long step = static_cast<long long>(blocks) * blockDim.x * EACH;
    for (long long i = (static_cast<long long>(block) * blockDim.x + threadIdx.x) * EACH; i < size; i += step) {
        const Pack<Source, EACH> values = load<EACH>(from + i);
        Pack<Target, EACH> converted;
#pragma unroll
        for (int k = 0; k < EACH; k++) converted.at[k] = static_cast<Target>(values.at[k]);
        store(to + i, converted);
    }
}

// The batch: row order[clock[0] + i] of x and of the targets becomes row i.  Blocks (i, …) share that row of x, the
// first of them copies the targets, and the very first looks up numbers = this step's row of `table` (steps, columns)
// and the number of the step for random numbers.
extern "C" __global__ void begin(
    const SOURCE* x, T* x_batch, long long x_row, const TARGET* targets, TARGET* targets_batch, long long targets_row,
    const int* order, const long long* clock, const double* table, int columns, double* numbers, unsigned* step)
{
    const long long row = order[clock[0] + blockIdx.x], i = blockIdx.x;
    copy<VECTOR>(x + row * x_row, x_batch + i * x_row, x_row, blockIdx.y, gridDim.y);
    if (blockIdx.y > 0) return;
    copy<1>(targets + row * targets_row, targets_batch + i * targets_row, targets_row, 0, 1);
    if (i > 0 || threadIdx.x > 0) return;
    for (int k = 0; k < columns; k++)
        numbers[k] = table[clock[1] * columns + k];
    step[0] = static_cast<unsigned>(clock[2]);
}
