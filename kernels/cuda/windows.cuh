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
        unsigned by_out_height_shift, unsigned by_out_width, unsigned by_out_width_shift

struct Convolution {
    int images, height, width, channels, filters, kernel_height, kernel_width, stride_y, stride_x;
    int dilation_y, dilation_x, top, left, out_height, out_width;
    Divider by_channels, by_filters, by_kernel_width, by_out_height, by_out_width;

    __device__ int taps() const { return kernel_height * kernel_width; }
    __device__ int depth() const { return taps() * channels; }  // of the forward product
    __device__ int out_pixels() const { return images * out_height * out_width; }
};

#define THE_CONVOLUTION                                                                                                \
    Convolution {                                                                                                     \
        images, height, width, channels, filters, kernel_height, kernel_width, stride_y, stride_x, dilation_y,        \
            dilation_x, top, left, out_height, out_width, {channels, by_channels, by_channels_shift},                 \
            {filters, by_filters, by_filters_shift}, {kernel_width, by_kernel_width, by_kernel_width_shift},          \
            {out_height, by_out_height, by_out_height_shift}, {out_width, by_out_width, by_out_width_shift}           \
    }

constexpr int OUTSIDE = -(1 << 30);  // a row that no tap brings back into the image

// A pixel of one image, which may lie outside, and where its first element is or would be.  A tap adds the same to the
// corners of all windows.  32 bits count all elements that there are, which gemm.py checks; a start outside may wrap, and
// what a tap adds brings it back.
struct Corner {
    unsigned start;
    int row, column;
};

// That element of image n (height, width, channels), modulo 2^32.
__device__ inline unsigned first_element(int n, int row, int column, int height, int width, int channels)
{
    const unsigned line = static_cast<unsigned>(n) * height + row;
    return (line * width + column) * channels;
}

// (o, k): what tap and channel k see under the window of output pixel o.
template <int WIDTH>
struct Windows {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef Corner Place;  // the window's upper left corner
    const T* x;
    const Convolution& g;

    __device__ Place place(int o) const
    {
        if (o >= g.out_pixels()) return {0, OUTSIDE, 0};
        const int rows = g.by_out_width(o), n = g.by_out_height(rows);
        return corner(n, rows - n * g.out_height, o - rows * g.out_width);
    }
    __device__ Place corner(int n, int i, int j) const
    {
        const int row = i * g.stride_y - g.top, column = j * g.stride_x - g.left;
        return {first_element(n, row, column, g.height, g.width, g.channels), row, column};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const
    {
        const int tap = g.by_channels(k), tap_row = g.by_kernel_width(tap);
        const int down = tap_row * g.dilation_y, right = (tap - tap_row * g.kernel_width) * g.dilation_x;
        // As unsigned numbers, negative ones are large: one comparison for both ends.
        const bool inside = k < k_end && static_cast<unsigned>(p.row + down) < static_cast<unsigned>(g.height) &&
                            static_cast<unsigned>(p.column + right) < static_cast<unsigned>(g.width);
        const unsigned further = first_element(0, down, right, 0, g.width, g.channels) + k - tap * g.channels;
        return inside ? load<WIDTH>(x + static_cast<int>(p.start + further)) : zeros<WIDTH>();
    }
};

// The same matrix turned, (o, k): what tap and channel o see under the window of output pixel k.
template <int WIDTH>
struct WindowsTurned {
    static constexpr bool ALONG_K = false;
    static constexpr int VECTOR = WIDTH;
    struct Place {
        int row, column, channel;  // of the tap, from the corner of the window whose corner is at pixel (0, 0)
    };
    const T* x;
    const Convolution& g;

    __device__ Place place(int o) const
    {
        if (o >= g.depth()) return {OUTSIDE, 0, 0};
        const int tap = g.by_channels(o), tap_row = g.by_kernel_width(tap);
        return {tap_row * g.dilation_y - g.top, (tap - tap_row * g.kernel_width) * g.dilation_x - g.left,
                o - tap * g.channels};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const
    {
        const int rows = g.by_out_width(k), n = g.by_out_height(rows);
        const int row = (rows - n * g.out_height) * g.stride_y + p.row;
        const int column = (k - rows * g.out_width) * g.stride_x + p.column;
        const bool inside = k < k_end && static_cast<unsigned>(row) < static_cast<unsigned>(g.height) &&
                            static_cast<unsigned>(column) < static_cast<unsigned>(g.width);
        return inside ? load<WIDTH>(x + (((n * g.height + row) * g.width + column) * g.channels + p.channel))
                      : zeros<WIDTH>();
    }
};

// One axis of the pixels that see the output through the same taps of the kernel.
//
// The window of output i has input y under its tap p where i · stride + p · dilation = y + before.  With a stride of 2,
// a pixel lies under every second tap at most, and its neighbour under the others; so the pixels fall into `stride`
// classes, and the input gradient of each is a product of its own, in which no tap is multiplied by zero.  Within a
// class, a step to the next pixel is a step to the next output, and a step to the next tap one of `back` outputs
// back.  With a stride of 1 there is one class, with everything in it; ONE_CLASS says so to the compiler, as all of this
// takes registers and, in a small network, more time than the product.
#ifndef ONE_CLASS
#define ONE_CLASS 0
#endif
struct Axis {
    int first, pixels;        // those at first + stride · a for a < pixels
    int first_tap, step, taps;  // under first_tap + step · t for t < taps
    int out, back;            // output out + a - back · t

    __device__ Axis(int which, int size, int kernel, int stride, int dilation, int before)
    {
        if (ONE_CLASS) {
            first = first_tap = 0;
            step = 1;
            pixels = size;
            taps = kernel;
            out = before;
            back = dilation;
            return;
        }
        const int shift = before % stride;
        first = which >= shift ? which - shift : which - shift + stride;  // (first + before) % stride == which
        pixels = first < size ? (size - first + stride - 1) / stride : 0;
        step = 1;
        while (step * dilation % stride != 0) ++step;
        first_tap = 0;
        while (first_tap < step && (first_tap * dilation - which) % stride != 0) ++first_tap;
        taps = first_tap < step && first_tap < kernel ? (kernel - first_tap + step - 1) / step : 0;
        out = taps ? (first + before - first_tap * dilation) / stride : 0;  // without remainder
        back = step * dilation / stride;
    }
};

// Class `which` of stride_y · stride_x.
struct Class {
    Axis y, x;
    Divider by_taps;  // of x

    __device__ Class(const Convolution& g, int which)
        : y(which / g.stride_x, g.height, g.kernel_height, g.stride_y, g.dilation_y, g.top),
          x(which % g.stride_x, g.width, g.kernel_width, g.stride_x, g.dilation_x, g.left),
          by_taps(ONE_CLASS ? g.by_kernel_width : divider(x.taps)) {}
    __device__ int depth(const Convolution& g) const { return y.taps * x.taps * g.filters; }

    // As `divider` of gemm.py.
    __device__ static Divider divider(int divisor)
    {
        if (divisor < 2) return {1, 1, 0};
        const unsigned shift = 32 - __clz(divisor - 1);
        const unsigned long long rest = (1ull << shift) - static_cast<unsigned>(divisor);
        return {divisor, static_cast<unsigned>((rest << 32) / static_cast<unsigned>(divisor)) + 1, shift};
    }
};

// (o, k): dy of tap and filter k of the class at its pixel o: of the output pixel whose window has o under that tap.
template <int WIDTH>
struct OutputsOver {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef Corner Place;  // of the output under the first tap
    const T* dy;
    const Convolution& g;
    const Class& those;

    __device__ Place place(int o) const
    {
        if (o >= g.images * those.y.pixels * those.x.pixels) return {0, OUTSIDE, 0};
        const int lines = o / those.x.pixels, n = lines / those.y.pixels;
        const int row = those.y.out + lines - n * those.y.pixels, column = those.x.out + o - lines * those.x.pixels;
        return {first_element(n, row, column, g.out_height, g.out_width, g.filters), row, column};
    }
    __device__ Pack<T, WIDTH> at(Place p, int k, int k_end) const
    {
        const int tap = g.by_filters(k), tap_row = those.by_taps(tap);
        const int up = tap_row * those.y.back, left = (tap - tap_row * those.x.taps) * those.x.back;
        const bool inside = k < k_end && static_cast<unsigned>(p.row - up) < static_cast<unsigned>(g.out_height) &&
                            static_cast<unsigned>(p.column - left) < static_cast<unsigned>(g.out_width);
        const unsigned further = k - tap * g.filters - first_element(0, up, left, 0, g.out_width, g.filters);
        return inside ? load<WIDTH>(dy + static_cast<int>(p.start + further)) : zeros<WIDTH>();
    }
};

// (o, k): the weight of channel o for tap and filter k of the class; w is stored (taps, channels, filters).
template <int WIDTH>
struct WeightsTurned {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef int Place;
    const T* w;
    const Convolution& g;
    const Class& those;

    __device__ Place place(int o) const { return o; }
    __device__ Pack<T, WIDTH> at(int channel, int k, int k_end) const
    {
        const int tap = g.by_filters(k), down = those.by_taps(tap), right = tap - down * those.x.taps;
        const int row = those.y.first_tap + down * those.y.step, column = those.x.first_tap + right * those.x.step;
        return channel < g.channels && k < k_end
                   ? load<WIDTH>(w + (((row * g.kernel_width + column) * g.channels + channel) * g.filters + k -
                                  tap * g.filters))
                   : zeros<WIDTH>();
    }
};
