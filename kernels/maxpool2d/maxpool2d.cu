// Max-pooling.  Forward looks at a window's pixels in order; backward gathers: a pixel asks each window above it which
// place won.
#include "pooling.cuh"

const int SIZE = 16 / sizeof(T);

// The best so far in each of N channels, and its place in the window.
template <int N>
struct Best {
    Pack<T, N> value;
    Pack<WINNER, N> winner;

    __device__ Best(const Pack<T, N>& pixel, int place) : value(pixel)
    {
#pragma unroll
        for (int k = 0; k < N; k++)
            winner.at[k] = place;
    }

    // Let the pixel at `place` take the lead where it is larger, or the first NaN.
    __device__ void challenge(const Pack<T, N>& pixel, int place)
    {
#pragma unroll
        for (int k = 0; k < N; k++) {
            const T mine = value.at[k], theirs = pixel.at[k];
            const bool wins = (theirs > mine || theirs != theirs) && mine == mine;
            value.at[k] = wins ? theirs : mine;
            winner.at[k] = wins ? static_cast<WINNER>(place) : winner.at[k];
        }
    }
};

extern "C" __global__ void forward(
    const T* x, WINNER* winners, T* y, int n, int height, int width, int channels, int oh, int ow, int kh, int kw,
    int sh, int sw, int top, int left)
{
    each_pixel<SIZE>(n, oh, ow, channels, aligned(x, winners, y), [&](int image, auto place, Pixel at) {
        constexpr int N = decltype(place)::SIZE;
        const T* from = x + static_cast<long long>(image) * height * width * channels + at.channel;
        const auto pixel = [&](int r, int s) { return load<N>(from + (r * width + s) * channels); };
        const Range rows = real_pixels(at.row, kh, sh, top, height);
        const Range columns = real_pixels(at.column, kw, sw, left, width);
        const int r = rows.first, s = columns.first;
        const int start = (r - at.row * sh + top) * kw + s - at.column * sw + left;  // place of the first real pixel
        Best<N> best(pixel(r, s), start);
        if (kh == 2 && kw == 2 && rows.size() == 2 && columns.size() == 2) {  // the common case: all loads at once
            const auto b = pixel(r, s + 1), c = pixel(r + 1, s), d = pixel(r + 1, s + 1);
            best.challenge(b, 1);
            best.challenge(c, 2);
            best.challenge(d, 3);
        } else {
            for (int p = 0; p < rows.size(); p++)
                for (int q = p == 0; q < columns.size(); q++)
                    best.challenge(pixel(r + p, s + q), start + p * kw + q);
        }
        const long long to = static_cast<long long>(image) * oh * ow * channels + place.first;
        store(y + to, best.value);
        store(winners + to, best.winner);
    });
}

extern "C" __global__ void backward(
    const T* dy, const WINNER* winners, T* dx, int n, int height, int width, int channels, int oh, int ow, int kh,
    int kw, int sh, int sw, int top, int left)
{
    each_pixel<SIZE>(n, height, width, channels, aligned(dy, winners, dx), [&](int image, auto place, Pixel at) {
        constexpr int N = decltype(place)::SIZE;
        const long long from = static_cast<long long>(image) * oh * ow * channels + at.channel;
        const Range rows = windows_over(at.row, kh, sh, top, oh), columns = windows_over(at.column, kw, sw, left, ow);
        Pack<T, N> sum = {};
        for (int i = rows.first; i < rows.stop; i++)
            for (int j = columns.first; j < columns.stop; j++) {
                const WINNER here = (at.row - i * sh + top) * kw + at.column - j * sw + left;
                const long long window = from + (i * ow + j) * channels;
                const auto winner = load<N>(winners + window);
                const auto gradient = load<N>(dy + window);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum.at[k] += winner.at[k] == here ? gradient.at[k] : static_cast<T>(0);
            }
        store(dx + static_cast<long long>(image) * height * width * channels + place.first, sum);
    });
}
