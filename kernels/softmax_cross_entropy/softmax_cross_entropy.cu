// Softmax and cross-entropy of each row, with the gradient.
#include "rows.cuh"

// One row of logits z with target t(k) for class k; `inside` says that there is such a row.
template <class Target>
__device__ void row_loss(const T* z, Target t, T scale, T* loss, T* dz, int classes, int lanes, bool inside)
{
    const T maximum = row_maximum(z, classes, lanes);
    const T total = row_sum(classes, lanes, [&](int k) { return exp(z[k] - maximum); });
    const T weight = row_sum(classes, lanes, t), log_total = log(total);
    const double sum = row_sum(classes, lanes, [&](int k) {
        const T t_k = t(k);  // where it is 0 the loss is 0, even if the logit is minus infinity
        return t_k == 0 ? T(0) : t_k * (log_total - (z[k] - maximum));
    });
    if (!inside)
        return;
    for (int k = lane_of_thread(lanes); k < classes; k += lanes)
        dz[k] = scale * (exp(z[k] - maximum) / total * weight - t(k));
    if (lane_of_thread(lanes) == 0)
        *loss = sum;
}

extern "C" __global__ void labels(
    const T* z, const TARGET* label, T scale, T* losses, T* dz, long long rows, int classes, int lanes)
{
    const long long row = row_of_thread(lanes), here = row < rows ? row : 0;
    const long long winner = label[here];
    const auto target = [=](int k) { return T(k == winner); };
    row_loss(z + here * classes, target, scale, losses + here, dz + here * classes, classes, lanes, row < rows);
}

extern "C" __global__ void distributions(
    const T* z, const TARGET* t, T scale, T* losses, T* dz, long long rows, int classes, int lanes)
{
    const long long row = row_of_thread(lanes), here = row < rows ? row : 0;
    const auto target = [=](int k) { return T(t[here * classes + k]); };
    row_loss(z + here * classes, target, scale, losses + here, dz + here * classes, classes, lanes, row < rows);
}
