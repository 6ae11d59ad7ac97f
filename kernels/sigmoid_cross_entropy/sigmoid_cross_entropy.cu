// Sigmoid and binary cross-entropy, with the gradient; a row's loss is the mean over its elements.
#include "rows.cuh"

extern "C" __global__ void loss_and_gradient(
    const T* z, const TARGET* t, T scale, T* losses, T* dz, long long rows, int columns, int lanes)
{
    const Row row(rows, columns, lanes);
    z += row.start, t += row.start, dz += row.start;
    const double sum = row_sum(row.columns, lanes, [&](int k) {
        const T x = z[k], target = t[k];
        return (x <= 0 ? T(0) : x) - x * target + log1p(exp(x < 0 ? x : -x));
    });
    for (int k = lane_of_thread(lanes); k < row.columns; k += lanes) {
        const T x = z[k], e = exp(x < 0 ? x : -x);  // at most 1
        dz[k] = scale * ((x < 0 ? e : T(1)) / (1 + e) - T(t[k])) / columns;
    }
    if (row.exists && lane_of_thread(lanes) == 0)
        losses[row.number] = sum / columns;
}
