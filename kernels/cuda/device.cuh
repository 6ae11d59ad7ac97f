// Words that all kernels share: types, constants, sums over a warp and over a block in a fixed order.
#pragma once

typedef unsigned char uint8;
typedef unsigned int uint32;
typedef unsigned long long uint64;

#define FULL_WARP 0xffffffffu

template <class V>
__device__ __forceinline__ V infinity();
template <>
__device__ __forceinline__ float infinity<float>() { return __int_as_float(0x7f800000); }
template <>
__device__ __forceinline__ double infinity<double>() { return __longlong_as_double(0x7ff0000000000000LL); }

// The sum over the 32 lanes of a warp, in lane 0: a tree of fixed shape.  All lanes must take part.
template <class V>
__device__ __forceinline__ V warp_sum(V value)
{
    for (int lanes = 16; lanes > 0; lanes /= 2)
        value += __shfl_down_sync(FULL_WARP, value, lanes);
    return value;
}

// The sum over a block of THREADS threads (a multiple of 32, up to 1024), in thread 0: a tree of fixed shape.
// All threads must take part.  The barrier at the start lets it be called again at once.
template <int THREADS, class V>
__device__ V block_sum(V value)
{
    __shared__ V of_warp[32];
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    value = warp_sum(value);
    __syncthreads();
    if (thread % 32 == 0)
        of_warp[thread / 32] = value;
    __syncthreads();
    if (thread < 32) {
        value = thread < THREADS / 32 ? of_warp[thread] : V(0);
        value = warp_sum(value);
    }
    return value;
}
