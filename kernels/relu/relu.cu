// ReLU, y = max(x, 0).
#include "elementwise.cuh"

extern "C" __global__ void forward(const T* x, T* y, long long n)
{
    map(n, [](T x) { return x <= 0 ? T(0) : x; }, y, x);  // NaN is not <= 0 and stays
}

extern "C" __global__ void backward(const T* dy, const T* y, T* dx, long long n)
{
    map(n, [](T dy, T y) { return y <= 0 ? T(0) : dy; }, dx, dy, y);
}
