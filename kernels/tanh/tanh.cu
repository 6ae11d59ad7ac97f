// The hyperbolic tangent.
#include "elementwise.cuh"

extern "C" __global__ void forward(const T* x, T* y, long long n)
{
    map(n, [](T x) { return T(tanh(x)); }, y, x);
}

extern "C" __global__ void backward(const T* dy, const T* y, T* dx, long long n)
{
    map(n, [](T dy, T y) { return dy * (1 - y * y); }, dx, dy, y);
}
