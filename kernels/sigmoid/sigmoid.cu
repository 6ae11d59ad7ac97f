// The logistic function, y = 1 / (1 + e⁻ˣ), which is eˣ / (1 + eˣ) for negative x.
#include "elementwise.cuh"

extern "C" __global__ void forward(const T* x, T* y, long long n)
{
    map(n, [](T x) {
        const T e = exp(x < 0 ? x : -x);  // never overflows
        return (x < 0 ? e : T(1)) / (1 + e);
    }, y, x);
}

extern "C" __global__ void backward(const T* dy, const T* y, T* dx, long long n)
{
    map(n, [](T dy, T y) { return dy * (y * (1 - y)); }, dx, dy, y);
}
