// Softmax and cross-entropy of each row, with the gradient.
#include "rows.cuh"

// One row, of logits z with target t(k) for class k.
template <class Target>
__device__ void row_loss(const Row& row, const T* z, Target t, T scale, T* losses, T* dz, int lanes)
{
    const int classes = row.columns;
    z += row.start, dz += row.start;
    const T maximum = row_maximum(z, classes, lanes);
    const T total = row_sum(classes, lanes, [&](int k) { return exp(z[k] - maximum); });
    const T weight = row_sum(classes, lanes, t), log_total = log(total);
    const double sum = row_sum(classes, lanes, [&](int k) {
        const T t_k = t(k);  // where it is 0 the loss is 0, even if the logit is minus infinity
        return t_k == 0 ? T(0) : t_k * (log_total - (z[k] - maximum));
    });
    for (int k = lane_of_thread(lanes); k < classes; k += lanes)
        dz[k] = scale * (exp(z[k] - maximum) / total * weight - t(k));
    if (row.exists && lane_of_thread(lanes) == 0)
        losses[row.number] = sum;
}

extern "C" __global__ void labels(
    const T* z, const TARGET* label, T scale, T* losses, T* dz, long long rows, int classes, int lanes)
{
    const Row row(rows, classes, lanes);
    const long long winner = row.exists ? label[row.number] : 0;
    row_loss(row, z, [=](int k) { return T(k == winner); }, scale, losses, dz, lanes);
}

extern "C" __global__ void distributions(
    const T* z, const TARGET* t, T scale, T* losses, T* dz, long long rows, int classes, int lanes)
{
    const Row row(rows, classes, lanes);
    t += row.start;
    row_loss(row, z, [=](int k) { return T(t[k]); }, scale, losses, dz, lanes);
}
