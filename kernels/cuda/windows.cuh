// A convolution's operands as sources of a matrix product (see gemm.cuh), read from the images in place: the matrix of
// windows that im2col would write down is never stored.
//
//   forward           y (pixels, f)  = windows (pixels, taps·c) · w (taps·c, f)
//   input gradient    dx (pixels, c) = dy under each tap (pixels, taps·f) · w turned (taps·f, c)
//   weight gradient   dw (taps·c, f) = windowsᵀ (taps·c, pixels) · dy (pixels, f)
//
// In NHWC the channels of a pixel are contiguous, so when their number is a multiple of 4 the loads are of 4 channels.
#pragma once
#include "gemm.cuh"

// Sizes of a convolution, in the order in which `Convolution.scalars` of conv2d/cuda.py passes them.
#define CONVOLUTION                                                                                                   \
    int images, int height, int width, int channels, int filters, int kernel_height, int kernel_width, int stride_y, \
        int stride_x, int dilation_y, int dilation_x, int top, int left, int out_height, int out_width,              \
        unsigned by_channels, unsigned by_channels_shift, unsigned by_filters, unsigned by_filters_shift,            \
        unsigned by_kernel_width, unsigned by_kernel_width_shift, unsigned by_out_height,                             \
        unsigned by_out_height_shift, unsigned by_out_width, unsigned by_out_width_shift, unsigned by_stride_y,      \
        unsigned by_stride_y_shift, unsigned by_stride_x, unsigned by_stride_x_shift

struct Convolution {
    int images, height, width, channels, filters, kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x;
    int top, left, out_height, out_width;
    Divider by_channels, by_filters, by_kernel_width, by_out_height, by_out_width, by_stride_y, by_stride_x;

    __device__ int taps() const { return kernel_height * kernel_width; }
    __device__ int depth() const { return taps() * channels; }  // of the forward product
    __device__ int pixels() const { return images * height * width; }
    __device__ int out_pixels() const { return images * out_height * out_width; }
};

#define THE_CONVOLUTION                                                                                                \
    Convolution {                                                                                                     \
        images, height, width, channels, filters, kernel_height, kernel_width, stride_y, stride_x, dilation_y,        \
            dilation_x, top, left, out_height, out_width, {channels, by_channels, by_channels_shift},                 \
            {filters, by_filters, by_filters_shift}, {kernel_width, by_kernel_width, by_kernel_width_shift},          \
            {out_height, by_out_height, by_out_height_shift}, {out_width, by_out_width, by_out_width_shift},          \
            {stride_y, by_stride_y, by_stride_y_shift}, {stride_x, by_stride_x, by_stride_x_shift}                    \
    }

constexpr int OUTSIDE = -(1 << 30);  // a row that no tap brings back into the image

// A pixel of one image, which may lie outside.
struct Corner {
    int image;  // its first element; 32 bits count all of them, which gemm.py checks
    int row, column;
};

// (o, k): what tap and channel k see under the window of output pixel o.
template <int WIDTH> struct Windows {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef Corner Place;  // the window's upper left corner
    const T* x;
    const Convolution& g;

    __device__ Place place(int o) const {
        if (o >= g.out_pixels()) return {0, OUTSIDE, 0};
        const int rows = g.by_out_width(o), n = g.by_out_height(rows);
        return corner(n, rows - n * g.out_height, o - rows * g.out_width);
    }
    __device__ Place corner(int n, int i, int j) const {
        return {n * g.height * g.width * g.channels, i * g.stride_y - g.top, j * g.stride_x - g.left};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const {
        const int tap = g.by_channels(k), tap_row = g.by_kernel_width(tap);
        const int row = p.row + tap_row * g.dilation_y;
        const int column = p.column + (tap - tap_row * g.kernel_width) * g.dilation_x;
        // As unsigned numbers, negative ones are large: one comparison for both ends.
        const bool inside = k < k_end && static_cast<unsigned>(row) < static_cast<unsigned>(g.height) &&
                            static_cast<unsigned>(column) < static_cast<unsigned>(g.width);
        return inside ? load<WIDTH>(x + p.image + (row * g.width + column) * g.channels + (k - tap * g.channels))
                      : zeros<WIDTH>();
    }
};

// The same matrix turned, (o, k): what tap and channel o see under the window of output pixel k.
template <int WIDTH> struct WindowsTurned {
    static constexpr bool ALONG_K = false;
    static constexpr int VECTOR = WIDTH;
    struct Place {
        int row, column, channel;  // of the tap, from the corner of the window whose corner is at pixel (0, 0)
    };
    const T* x;
    const Convolution& g;

    __device__ Place place(int o) const {
        if (o >= g.depth()) return {OUTSIDE, 0, 0};
        const int tap = g.by_channels(o), tap_row = g.by_kernel_width(tap);
        return {tap_row * g.dilation_y - g.top, (tap - tap_row * g.kernel_width) * g.dilation_x - g.left,
                o - tap * g.channels};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const {
        const int rows = g.by_out_width(k), n = g.by_out_height(rows);
        const int row = (rows - n * g.out_height) * g.stride_y + p.row;
        const int column = (k - rows * g.out_width) * g.stride_x + p.column;
        const bool inside = k < k_end && static_cast<unsigned>(row) < static_cast<unsigned>(g.height) &&
                            static_cast<unsigned>(column) < static_cast<unsigned>(g.width);
        return inside ? load<WIDTH>(x + ((n * g.height + row) * g.width + column) * g.channels + p.channel)
                      : zeros<WIDTH>();
    }
};

// (o, k): dy of tap and filter k at input pixel o, that is of the output pixel whose window has o under that tap.  There
// is none where the way back is not a whole number of strides, or ends outside of dy.
template <int WIDTH> struct OutputsOver {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef Corner Place;  // the input pixel, counted from the padding's corner
    const T* dy;
    const Convolution& g;

    __device__ Place place(int o) const {
        if (o >= g.pixels()) return {0, OUTSIDE, 0};
        const int rows = o / g.width, n = rows / g.height;
        return {n * g.out_height * g.out_width * g.filters, rows - n * g.height + g.top, o - rows * g.width + g.left};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const {
        const int tap = g.by_filters(k), tap_row = g.by_kernel_width(tap);
        const int down = p.row - tap_row * g.dilation_y;
        const int right = p.column - (tap - tap_row * g.kernel_width) * g.dilation_x;
        if (k >= k_end || down < 0 || right < 0) return zeros<WIDTH>();
        const int i = g.by_stride_y(down), j = g.by_stride_x(right);
        const bool inside = i * g.stride_y == down && j * g.stride_x == right && i < g.out_height && j < g.out_width;
        return inside ? load<WIDTH>(dy + p.image + (i * g.out_width + j) * g.filters + (k - tap * g.filters))
                      : zeros<WIDTH>();
    }
};

// (o, k): the weight of channel o for tap and filter k; w is stored (taps, channels, filters).
template <int WIDTH> struct WeightsTurned {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef int Place;
    const T* w;
    const Convolution& g;

    __device__ Place place(int o) const { return o; }
    __device__ Pack<T, WIDTH> at(int channel, int k, int k_end) const {
        const int tap = g.by_filters(k);
        return channel < g.channels && k < k_end
                   ? load<WIDTH>(w + (tap * g.channels + channel) * g.filters + (k - tap * g.filters))
                   : zeros<WIDTH>();
    }
};
