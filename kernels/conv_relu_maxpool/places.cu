// Convolution, bias, ReLU and max-pooling of any size: the rows of the product are the windows, and the product is
// computed for one place of them after the other.  A thread keeps the best so far of its elements, so it needs
// registers for two tiles and the winners: too many for more than 4 × 4 elements.
#include "pooled.cuh"

extern "C" __global__ void __launch_bounds__(THREADS) forward(
    const T* x, const T* w, const T* b, T* y, WINNER* winners, POOL, CONVOLUTION
)
{
    const Convolution g = THE_CONVOLUTION;
    const Pool pool = THE_POOL;
    const Task task(g.depth(), g.depth());
    const Position at;
    const int nobody = pool.window_height * pool.window_width;
    Best best[THREAD_M][THREAD_N / 4];
    for (int p = 0; p < pool.window_height; ++p)
        for (int q = 0; q < pool.window_width; ++q) {
            Sums sums;
            multiply(
                PooledWindows<A_WIDTH, false>{{x, g}, pool, p, q}, Columns<B_WIDTH>{w, g.filters, g.filters}, task.m,
                task.n, 0, task.k_end, sums
            );
#pragma unroll
            for (int i = 0; i < THREAD_M; ++i) {
                if (!output(g, pool, task.m + at.row(i), p, q).real(g)) continue;
#pragma unroll
                for (int j = 0; j < THREAD_N; j += 4)
                    best[i][j / 4].challenge(
                        &sums.at[i][j], biases<4>(b, task.n + at.column(j), g.filters), p * pool.window_width + q
                    );
            }
        }
#pragma unroll
    for (int i = 0; i < THREAD_M; ++i) {
        const int pixel = task.m + at.row(i);
        if (pixel >= g.images * pool.height * pool.width) continue;
        const long long row = static_cast<long long>(pixel) * g.filters;
#pragma unroll
        for (int j = 0; j < THREAD_N; j += 4) {
            put(y + row, task.n + at.column(j), g.filters, best[i][j / 4].value);
            put(winners + row, task.n + at.column(j), g.filters, best[i][j / 4].winners(nobody));
        }
    }
}
