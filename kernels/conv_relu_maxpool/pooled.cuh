// Convolution, bias, ReLU and max-pooling in one pass: the image between convolution and pooling stays in registers.
//
// The rows of the product (see gemm.cuh) are places of the convolution's output, taken in the order in which the pool
// wants them: quarters.cu has pools of 2 × 2, places.cu all others.  WINNER is the type of a place's number in its
// window.
#pragma once
#include "windows.cuh"

#define POOL                                                                                                          \
    int pooled_height, int pooled_width, int pool_height, int pool_width, int pool_stride_y, int pool_stride_x,       \
        int pool_top, int pool_left, unsigned by_pooled_height, unsigned by_pooled_height_shift,                      \
        unsigned by_pooled_width, unsigned by_pooled_width_shift

struct Pool {
    int height, width, window_height, window_width, stride_y, stride_x, top, left;
    Divider by_height, by_width;
};

#define THE_POOL                                                                                                      \
    Pool {                                                                                                            \
        pooled_height, pooled_width, pool_height, pool_width, pool_stride_y, pool_stride_x, pool_top, pool_left,      \
            {pooled_height, by_pooled_height, by_pooled_height_shift},                                                \
            {pooled_width, by_pooled_width, by_pooled_width_shift}                                                    \
    }

// A place of the convolution's output, which may lie outside of it: then it is padding of the pool, or beyond the edge.
struct Output {
    int image, row, column;
    __device__ bool real(const Convolution& g) const
    {
        return static_cast<unsigned>(row) < static_cast<unsigned>(g.out_height) &&
               static_cast<unsigned>(column) < static_cast<unsigned>(g.out_width);
    }
};

// Place (p, q) of pooled pixel o's window.
__device__ inline Output output(const Convolution& g, const Pool& pool, int o, int p, int q)
{
    const int rows = pool.by_width(o), n = pool.by_height(rows);
    if (n >= g.images) return {0, OUTSIDE, 0};
    return {n, (rows - n * pool.height) * pool.stride_y - pool.top + p,
            (o - rows * pool.width) * pool.stride_x - pool.left + q};
}

// The windows of the convolution at those places: of place o % 4 of pooled pixel o / 4 with QUARTERS, else of the given
// place of pooled pixel o.
template <int WIDTH, bool QUARTERS>
struct PooledWindows {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef Corner Place;
    Windows<WIDTH> windows;
    const Pool& pool;
    int p, q;

    __device__ Place place(int o) const
    {
        const Convolution& g = windows.g;
        const Output at = QUARTERS ? output(g, pool, o / 4, o / 2 % 2, o % 2) : output(g, pool, o, p, q);
        return at.real(g) ? windows.corner(at.image, at.row, at.column) : Corner{0, OUTSIDE, 0};
    }
    __device__ Pack<T, WIDTH> at(Place corner, int k, int k_end) const { return windows.at(corner, k, k_end); }
};

// The largest so far of a window's values after ReLU, in each of four columns, and the place where it was.  No such
// value is less than 0, so the first one beats the start of -1; a later one must be larger, or the first NaN.
struct Best {
    Pack<T, 4> value;
    Pack<WINNER, 4> winner;

    __device__ Best()
    {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            value.at[e] = T(-1);
            winner.at[e] = 0;
        }
    }
    __device__ void challenge(const T* sums, const Pack<T, 4>& bias, int place)
    {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const T sum = sums[e] + bias.at[e], theirs = sum <= T(0) ? T(0) : sum, mine = value.at[e];
            const bool wins = (theirs > mine || theirs != theirs) && mine == mine;
            value.at[e] = wins ? theirs : mine;
            winner.at[e] = wins ? static_cast<WINNER>(place) : winner.at[e];
        }
    }
    // The places, or `nobody` where the ReLU is closed.
    __device__ Pack<WINNER, 4> winners(int nobody) const
    {
        Pack<WINNER, 4> places;
#pragma unroll
        for (int e = 0; e < 4; ++e) places.at[e] = value.at[e] <= T(0) ? static_cast<WINNER>(nobody) : winner.at[e];
        return places;
    }
};
