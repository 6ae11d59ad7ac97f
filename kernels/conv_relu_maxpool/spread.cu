// Max-pooling and ReLU backwards in one pass: dz, the gradient of the convolution's output, from dy, y and the winners.
//
// It gathers: an element of dz asks each window above it whether it won there, and whether the ReLU let the winner
// through, which the pooled y tells: the winner's value is y, and where that is 0 nothing flows.
#include "pooling.cuh"

const int SIZE = 16 / sizeof(T);

extern "C" __global__ void spread(
    const T* dy, const T* y, const WINNER* winners, T* dz, int n, int height, int width, int channels, int oh, int ow,
    int kh, int kw, int sh, int sw, int top, int left
)
{
    each_pixel<SIZE>(n, height, width, channels, aligned(dy, y, winners, dz), [&](int image, auto place, Pixel at) {
        constexpr int N = decltype(place)::SIZE;
        const long long from = static_cast<long long>(image) * oh * ow * channels + at.channel;
        const Range rows = windows_over(at.row, kh, sh, top, oh), columns = windows_over(at.column, kw, sw, left, ow);
        Pack<T, N> sum = {};
        for (int i = rows.first; i < rows.stop; ++i)
            for (int j = columns.first; j < columns.stop; ++j) {
                const WINNER here = (at.row - i * sh + top) * kw + at.column - j * sw + left;
                const long long window = from + (i * ow + j) * channels;
                const auto winner = load<N>(winners + window);
                const auto gradient = load<N>(dy + window), kept = load<N>(y + window);
#pragma unroll
                for (int k = 0; k < N; ++k)
                    sum.at[k] += winner.at[k] == here && !(kept.at[k] <= T(0)) ? gradient.at[k] : T(0);
            }
        store(dz + static_cast<long long>(image) * height * width * channels + place.first, sum);
    });
}
