// Gather a batch from data that lie on the device; `clock` is that of step.cu.

// out[i] = x[order[clock[0] + i]] for the n rows of a batch, converted to T; VECTOR numbers of a row for each thread.
extern "C" __global__ void gather(
    const SOURCE* x, const int* order, const long long* clock, T* out, long long n, long long row)
{
    const long long i = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) * VECTOR;
    if (i >= n * row)
        return;
    const SOURCE* from = x + order[clock[0] + i / row] * row + i % row;
#pragma unroll
    for (int k = 0; k < VECTOR; k++)
        out[i + k] = static_cast<T>(from[k]);
}
