// The most multiply-adds that a GPU can do: from registers alone, CHAINS of them under way in each thread at once.
//
// Sum s becomes s · factor + term, `count` times; with factors below 1 no number gets large.  What the threads end with
// is written, so that no compiler leaves the work out.
extern "C" __global__ void __launch_bounds__(256) multiply_adds(float* ends, int count, float factor, float term)
{
    const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    float sums[CHAINS];
#pragma unroll
    for (int chain = 0; chain < CHAINS; ++chain) sums[chain] = static_cast<float>(thread % 32 + chain);
#pragma unroll 8
    for (int i = 0; i < count; ++i)
#pragma unroll
        for (int chain = 0; chain < CHAINS; ++chain) sums[chain] = sums[chain] * factor + term;
    float end = 0;
#pragma unroll
    for (int chain = 0; chain < CHAINS; ++chain) end += sums[chain];
    ends[thread] = end;
}
