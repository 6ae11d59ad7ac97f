// One row of a matrix is the work of `lanes` neighbouring threads of a warp: 1, 2, 4, … or 32 of them.
//
// Lane l takes the columns l, l + lanes, …; sums are taken in float64, over a lane's columns first and then over the
// lanes, by exchanging with the lane whose number differs in one bit.  Every lane ends with the same bits.
#pragma once

#include "device.cuh"

// The row of this thread.  Threads beyond the last one have no columns, but must come along as well, since a warp
// exchanges values together.
struct Row {
    long long number, start;  // of the row, of its first element
    bool exists;
    int columns;

    __device__ Row(long long rows, int columns, int lanes)
        : number((static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / lanes),
          start(number < rows ? number * columns : 0),
          exists(number < rows),
          columns(number < rows ? columns : 0)
    {
    }
};

__device__ int lane_of_thread(int lanes)
{
    return threadIdx.x & (lanes - 1);
}

// The sum of `value` over the lanes of a row.
__device__ double lane_sum(double value, int lanes)
{
    for (int other = lanes / 2; other; other /= 2)
        value += __shfl_xor_sync(FULL_WARP, value, other);
    return value;
}

// The largest `value` of the lanes of a row.
template <class Number>
__device__ Number lane_maximum(Number value, int lanes)
{
    for (int other = lanes / 2; other; other /= 2) {
        const Number theirs = __shfl_xor_sync(FULL_WARP, value, other);
        value = theirs > value ? theirs : value;
    }
    return value;
}

// The largest of z[0 … columns - 1] that is not NaN, or minus infinity.
template <class Number>
__device__ Number row_maximum(const Number* z, int columns, int lanes)
{
    Number maximum = -infinity<Number>();
    for (int k = lane_of_thread(lanes); k < columns; k += lanes)
        maximum = z[k] > maximum ? z[k] : maximum;
    return lane_maximum(maximum, lanes);
}

// Σ f(k) over the columns k of a row.
template <class Function>
__device__ double row_sum(int columns, int lanes, Function f)
{
    double sum = 0;
    for (int k = lane_of_thread(lanes); k < columns; k += lanes)
        sum += f(k);
    return lane_sum(sum, lanes);
}
