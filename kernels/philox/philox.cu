// Random words offset … offset + size - 1 of a key: a thread has one block of four.
#include "numbers.cuh"
#include "philox.cuh"

extern "C" __global__ void bits(
    unsigned* out, long long offset, long long size, unsigned long long seed, unsigned stream, STEP step)
{
    const long long block = offset / 4 + static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const Words words = philox(block, seed, stream, number(step));
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const long long i = 4 * block + k - offset;
        if (0 <= i && i < size)
            out[i] = words.at[k];
    }
}
