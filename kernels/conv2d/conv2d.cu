// Convolution as a matrix product without the matrix of windows ("implicit GEMM"): gemm.cuh has the product,
// windows.cuh the places where its operands lie.  A_WIDTH and B_WIDTH (4 or 1) say how many numbers to load at once.
//
// All kernels have the parameters A, B, bias, C and the sums of B's columns, of which those they have no use for are
// null.  Each writes part blockIdx.z of the sum to its own copy of the result, `part_size` elements on; with one part
// that is the result.  sum_parts.cu adds the parts.
#include "windows.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_forward(
    const T* x, const T* w, const T* b, T* y, T*, int k_per_part, long long part_size, CONVOLUTION
)
{
    const Convolution g = THE_CONVOLUTION;
    const Task task(g.depth(), k_per_part);
    Sums sums;
    multiply(
        Windows<A_WIDTH>{x, g}, Columns<B_WIDTH>{w, g.filters, g.filters}, task.m, task.n, task.k_begin, task.k_end,
        sums
    );
    sums.write(y + task.part * part_size, b, task.m, task.n, g.out_pixels(), g.filters);
}

// With strides there is one product for each class of pixels, and blockIdx.z says which class; else it says which part.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_backward_input(
    const T* dy, const T* w, const T*, T* dx, T*, int k_per_part, long long part_size, CONVOLUTION
)
{
    const Convolution g = THE_CONVOLUTION;
    const int classes = g.stride_y * g.stride_x, part = static_cast<int>(blockIdx.z) / classes;
    const Class those(g, static_cast<int>(blockIdx.z) % classes);
    const Task task(those.depth(g), k_per_part, part);
    Sums sums;
    multiply(
        OutputsOver<A_WIDTH>{dy, g, those}, WeightsTurned<B_WIDTH>{w, g, those}, task.m, task.n, task.k_begin,
        task.k_end, sums
    );
    const Axis &y = those.y, &x = those.x;
    const int pixels = g.images * y.pixels * x.pixels;
    if (ONE_CLASS)
        sums.write(dx + task.part * part_size, nullptr, task.m, task.n, pixels, g.channels);
    else
        sums.write(dx + task.part * part_size, nullptr, task.m, task.n, pixels, g.channels, [&](int o) {
            const int lines = o / x.pixels, n = lines / y.pixels;
            const int row = y.first + (lines - n * y.pixels) * g.stride_y;
            return ((n * g.height + row) * g.width + x.first + (o - lines * x.pixels) * g.stride_x) * g.channels;
        });
}

// The blocks of the first row of tiles also see all of dy once: they add up its columns for db.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv2d_backward_weights(
    const T* x, const T* dy, const T*, T* dw, T* db, int k_per_part, long long part_size, CONVOLUTION
)
{
    const Convolution g = THE_CONVOLUTION;
    const Task task(g.out_pixels(), k_per_part);
    Sums sums;
    T column_sum = T(0);
    multiply(
        WindowsTurned<A_WIDTH>{x, g}, Columns<B_WIDTH>{dy, g.filters, g.filters}, task.m, task.n, task.k_begin,
        task.k_end, sums, task.m == 0, column_sum
    );
    sums.write(dw + task.part * part_size, nullptr, task.m, task.n, g.depth(), g.filters);
    const int column = task.n + static_cast<int>(threadIdx.x);
    if (task.m == 0 && threadIdx.x < TILE_N && column < g.filters) db[task.part * part_size + column] = column_sum;
}
