// The three products of a dense layer, on the tiles of gemm.cuh.  A_WIDTH and B_WIDTH (4 or 1) say how many numbers to
// load at once.  All have the parameters A, B, bias, C and the sums of B's columns, of which those they have no use for
// are null.  Each writes part blockIdx.z of the sum to its own copy of the result, `part_size` elements on; with one
// part that is the result.  sum_parts.cu adds the parts.
#include "gemm.cuh"

// y (n, units) = x (n, features) · w (features, units) + b
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) dense_forward(
    const T* x, const T* w, const T* b, T* y, T*, int k_per_part, long long part_size, int n, int features, int units
)
{
    const Task task(features, k_per_part);
    Sums sums;
    multiply(
        Rows<A_WIDTH>{x, n, features}, Columns<B_WIDTH>{w, units, units}, task.m, task.n, task.k_begin, task.k_end, sums
    );
    sums.write(y + task.part * part_size, b, task.m, task.n, n, units);
}

// dx (n, features) = dy (n, units) · wᵀ
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) dense_backward_input(
    const T* dy, const T* w, const T*, T* dx, T*, int k_per_part, long long part_size, int n, int features, int units
)
{
    const Task task(units, k_per_part);
    Sums sums;
    multiply(
        Rows<A_WIDTH>{dy, n, units}, Rows<B_WIDTH>{w, features, units}, task.m, task.n, task.k_begin, task.k_end, sums
    );
    sums.write(dx + task.part * part_size, nullptr, task.m, task.n, n, features);
}

// dw (features, units) = xᵀ · dy; the blocks of the first row of tiles see all of dy once and add its columns up: db.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) dense_backward_weights(
    const T* x, const T* dy, const T*, T* dw, T* db, int k_per_part, long long part_size, int n, int features, int units
)
{
    const Task task(n, k_per_part);
    Sums sums;
    T column_sum = T(0);
    multiply(
        Columns<A_WIDTH>{x, features, features}, Columns<B_WIDTH>{dy, units, units}, task.m, task.n, task.k_begin,
        task.k_end, sums, task.m == 0, column_sum
    );
    sums.write(dw + task.part * part_size, nullptr, task.m, task.n, features, units);
    const int column = task.n + static_cast<int>(threadIdx.x);
    if (task.m == 0 && threadIdx.x < TILE_N && column < units) db[task.part * part_size + column] = column_sum;
}
