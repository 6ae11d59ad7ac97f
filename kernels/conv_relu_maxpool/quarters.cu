// Convolution, bias, ReLU and max-pooling of 2 × 2: the rows of the product are the four places of the first window,
// then those of the second one, and so on.  The rows of a thread come in groups of four (see gemm.cuh), so a thread has
// all of a window, and pools it without talking to others.
#include "pooled.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) forward(
    const T* x, const T* w, const T* b, T* y, WINNER* winners, POOL, CONVOLUTION
)
{
    const Convolution g = THE_CONVOLUTION;
    const Pool pool = THE_POOL;
    const Task task(g.depth(), g.depth());
    Sums sums;
    multiply(
        PooledWindows<A_WIDTH, true>{{x, g}, pool, 0, 0}, Columns<B_WIDTH>{w, g.filters, g.filters}, task.m, task.n, 0,
        task.k_end, sums
    );
    const Position at;
#pragma unroll
    for (int i = 0; i < THREAD_M; i += 4) {
        const int pixel = (task.m + at.row(i)) / 4;
        if (pixel >= g.images * pool.height * pool.width) continue;
        const long long row = static_cast<long long>(pixel) * g.filters;
        bool real[4];
#pragma unroll
        for (int place = 0; place < 4; ++place) real[place] = output(g, pool, pixel, place / 2, place % 2).real(g);
#pragma unroll
        for (int j = 0; j < THREAD_N; j += 4) {
            const int column = task.n + at.column(j);
            const Pack<T, 4> bias = biases<4>(b, column, g.filters);
            Best best;
#pragma unroll
            for (int place = 0; place < 4; ++place)
                if (real[place]) best.challenge(&sums.at[i + place][j], bias, place);
            put(y + row, column, g.filters, best.value);
            put(winners + row, column, g.filters, best.winners(4));
        }
    }
}
