// Sigmoid and binary cross-entropy, with the gradient; a row's loss is the mean over its elements.
#include "rows.cuh"

extern "C" __global__ void loss_and_gradient(
    const T* z, const TARGET* t, T scale, T* losses, T* dz, long long rows, int columns, int lanes)
{
    const long long row = row_of_thread(lanes), start = (row < rows ? row : 0) * columns;
    const double sum = row_sum(columns, lanes, [&](int k) {
        const T x = z[start + k], target = t[start + k];
        return (x <= 0 ? T(0) : x) - x * target + log1p(exp(x < 0 ? x : -x));
    });
    if (row >= rows)
        return;
    for (int k = lane_of_thread(lanes); k < columns; k += lanes) {
        const T x = z[start + k], e = exp(x < 0 ? x : -x);  // at most 1
        dz[start + k] = scale * ((x < 0 ? e : T(1)) / (1 + e) - T(t[start + k])) / columns;
    }
    if (lane_of_thread(lanes) == 0)
        losses[row] = sum / columns;
}
