// The second half of a product whose sum was cut into parts: add the parts up, always in the same order.
//
// A part has `first_size` elements of one result and then those of another (a weight gradient and its bias gradient),
// or of one alone.  A block adds 32 neighbouring elements: row r of its 16 rows of threads adds parts r, r + 16, r +
// 32, …, each a load of 128 contiguous bytes per warp with several on their way at once; then the 16 sums are added as
// a tree.
constexpr int ROWS = 16;

extern "C" __global__ void __launch_bounds__(32 * ROWS) sum_parts(
    const T* parts, const T* bias, T* first, T* second, int count, long long part_size, long long first_size,
    int columns
)
{
    __shared__ T sums[ROWS][32];
    const long long i = static_cast<long long>(blockIdx.x) * 32 + threadIdx.x;
    T sum = T(0);
    if (i < part_size) {
#pragma unroll 4
        for (int part = static_cast<int>(threadIdx.y); part < count; part += ROWS) sum += parts[part * part_size + i];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    for (unsigned half = ROWS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
    }
    if (threadIdx.y > 0 || i >= part_size) return;
    sum = sums[0][threadIdx.x];
    if (i >= first_size)
        second[i - first_size] = sum;
    else
        first[i] = bias ? sum + bias[i % columns] : sum;
}
