// Average pooling over the real pixels of each window.  Backward gathers: a pixel adds up the shares of the windows
// above it.
#include "pooling.cuh"

const int SIZE = 16 / sizeof(T);

extern "C" __global__ void forward(
    const T* x, T* y, int n, int height, int width, int channels, int oh, int ow, int kh, int kw, int sh, int sw,
    int top, int left)
{
    each_pixel<SIZE>(n, oh, ow, channels, aligned(x, y), [&](int image, auto place, Pixel at) {
        constexpr int N = decltype(place)::SIZE;
        const T* from = x + static_cast<long long>(image) * height * width * channels + at.channel;
        const Range rows = real_pixels(at.row, kh, sh, top, height);
        const Range columns = real_pixels(at.column, kw, sw, left, width);
        Pack<T, N> sum = {};
        for (int r = rows.first; r < rows.stop; r++)
#pragma unroll 4
            for (int s = columns.first; s < columns.stop; s++) {
                const auto pixel = load<N>(from + (r * width + s) * channels);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum.at[k] += pixel.at[k];
            }
        const T count = rows.size() * columns.size();
        const auto mean = values<T, N>([=](T sum) { return sum / count; }, sum);
        store(y + static_cast<long long>(image) * oh * ow * channels + place.first, mean);
    });
}

extern "C" __global__ void backward(
    const T* dy, T* dx, int n, int height, int width, int channels, int oh, int ow, int kh, int kw, int sh, int sw,
    int top, int left)
{
    each_pixel<SIZE>(n, height, width, channels, aligned(dy, dx), [&](int image, auto place, Pixel at) {
        constexpr int N = decltype(place)::SIZE;
        const T* from = dy + static_cast<long long>(image) * oh * ow * channels + at.channel;
        const Range rows = windows_over(at.row, kh, sh, top, oh), columns = windows_over(at.column, kw, sw, left, ow);
        Pack<T, N> sum = {};
        for (int i = rows.first; i < rows.stop; i++) {
            const int height_of_window = real_pixels(i, kh, sh, top, height).size();
            for (int j = columns.first; j < columns.stop; j++) {
                const T count = height_of_window * real_pixels(j, kw, sw, left, width).size();
                const auto gradient = load<N>(from + (i * ow + j) * channels);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum.at[k] += gradient.at[k] / count;
            }
        }
        store(dx + static_cast<long long>(image) * height * width * channels + place.first, sum);
    });
}
