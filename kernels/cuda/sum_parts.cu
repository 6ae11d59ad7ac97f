// The second half of a product whose sum was cut into parts: add the parts up, always in the same order.
//
// A part has `first_size` elements of one result and then those of another (a weight gradient and its bias gradient),
// or of one alone.  A block adds WIDTH neighbouring elements: row r of its ROWS rows of threads adds parts r, r + ROWS,
// r + 2·ROWS, …, each a load of contiguous bytes per warp with several on their way at once; then the sums of the rows
// are added as a tree.  ROWS is a power of two: more of them for small results, which have too few elements to keep a GPU
// busy with one thread for each.
constexpr int WIDTH = 512 / ROWS;

extern "C" __global__ void __launch_bounds__(WIDTH * ROWS) sum_parts(
    const T* parts, const T* bias, T* first, T* second, int count, long long part_size, long long first_size,
    int columns
)
{
    __shared__ T sums[ROWS][WIDTH];
    const long long i = static_cast<long long>(blockIdx.x) * WIDTH + threadIdx.x;
    T sum = T(0);
    if (i < part_size) {
#pragma unroll 8
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
