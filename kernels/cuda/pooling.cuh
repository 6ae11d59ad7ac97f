// Pooling: which pixels lie in which window (the index arithmetic of kernels/pooling.py, one axis at a time), and which
// thread has which element.
#pragma once

#include "elementwise.cuh"

// Pixels or windows `first` … `stop` - 1.
struct Range {
    int first, stop;

    __device__ int size() const { return stop - first; }
};

// The pixels of `window` that are real, not padding.
__device__ Range real_pixels(int window, int kernel, int stride, int before, int size)
{
    const int start = window * stride - before, stop = start + kernel;
    return {start > 0 ? start : 0, stop < size ? stop : size};
}

// Those of the `windows` that contain `pixel`.
__device__ Range windows_over(int pixel, int kernel, int stride, int before, int windows)
{
    const int place = pixel + before, stop = place / stride + 1;
    return {place < kernel ? 0 : (place - kernel) / stride + 1, stop < windows ? stop : windows};
}

// A place of one image (height, width, channels).
struct Pixel {
    int row, column, channel;
};

__device__ Pixel pixel_of(unsigned element, unsigned width, unsigned channels)
{
    const unsigned pixel = element / channels;
    return {int(pixel / width), int(pixel % width), int(element % channels)};
}

// Calls body(image, Place<SIZE>, Pixel) for this thread's elements of n images (height, width, channels): neighbouring
// channels of a pixel, SIZE of them where `together` allows.  The grid's x covers one image, its y the images.
template <int SIZE, class Body>
__device__ void each_pixel(int n, int height, int width, int channels, bool together, Body body)
{
    const int size = height * width * channels;
    for (int image = blockIdx.y; image < n; image += gridDim.y)
        each_place<SIZE>(size, together && channels % SIZE == 0, [&](auto place) {
            body(image, place, pixel_of(static_cast<unsigned>(place.first), width, channels));
        });
}
