// What a step of training does when its batch and its numbers are there (begin.cu): penalties and clipping, keeping
// count, and two lines of arithmetic.
//
// `clock` holds what a captured graph cannot be told when it is repeated:
//     clock[0]  how many examples of this epoch are done     clock[1]  how many steps of it
//     clock[2]  how many steps of training in all
#include "device.cuh"

// Σ f(i) for i < n, a part from each block of 256 threads.
template <class Function>
__device__ void sum_in_parts(long long n, double* parts, Function f)
{
    double sum = 0;
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        sum += f(i);
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

// The parts of a weight's penalty l1 Σ |w| + l2 Σ w²; its gradient is added to dw.  |w| has no slope at 0: 0 is taken.
extern "C" __global__ void __launch_bounds__(256) penalise(
    const T* w, T* dw, long long n, double l1, double l2, double* parts)
{
    sum_in_parts(n, parts, [=](long long i) {
        const T w_i = w[i];
        const double magnitude = fabs(static_cast<double>(w_i));
        dw[i] += T(l1) * T((w_i > 0) - (w_i < 0)) + T(2 * l2) * w_i;
        return l1 * magnitude + l2 * magnitude * magnitude;
    });
}

// The parts of Σ x².
extern "C" __global__ void __launch_bounds__(256) squares(const T* x, long long n, double* parts)
{
    sum_in_parts(n, parts, [=](long long i) { return static_cast<double>(x[i]) * x[i]; });
}

// Scale x to a length of at most `norm`, where the parts of Σ x² are known; what is NaN stays so.
extern "C" __global__ void shorten(T* x, long long n, const double* parts, int count, double norm)
{
    double sum = 0;
    for (int part = 0; part < count; part++)
        sum += parts[part];
    const double length = sqrt(sum);
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n && !(length <= norm))
        x[i] *= T(norm / length);
}

extern "C" __global__ void clip(T* x, long long n, T limit)
{
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] = x[i] < -limit ? -limit : x[i] > limit ? limit : x[i];
}

// Add a batch's losses to totals[0] and its right predictions to totals[1], always in the same order; move the clock.
// All parts of the penalties are added to the loss of each example.
//
// `logits` is (n, classes); the first highest one, or the first NaN, is the prediction, and for one class a positive
// one.  `classes_of` has the right class of every example, or is null where nobody wants to know.  One block.
extern "C" __global__ void __launch_bounds__(256) finish(
    const T* losses, const T* logits, const int* classes_of, const int* order, long long n, int classes,
    const double* penalties, int parts, double* totals, long long* clock)
{
    double loss = 0, right = 0;
    for (int part = threadIdx.x; part < parts; part += 256)
        loss += n * penalties[part];
    for (long long i = threadIdx.x; i < n; i += 256) {
        loss += losses[i];
        if (classes_of) {
            const T* row = logits + i * classes;
            T top = row[0];
            int best = 0;
            if (classes == 1)
                best = top > T(0);
            else
                for (int k = 1; k < classes; k++)
                    if (top == top && !(row[k] <= top)) {
                        best = k;
                        top = row[k];
                    }
            right += best == classes_of[order[clock[0] + i]];
        }
    }
    loss = block_sum<256>(loss);
    right = block_sum<256>(right);  // its barriers also keep the clock as it is until all have read it
    if (threadIdx.x == 0) {
        totals[0] += loss;
        totals[1] += right;
        clock[0] += n;
        clock[1] += 1;
        clock[2] += 1;
    }
}

extern "C" __global__ void affine(const T* x, T* y, long long n, T scale, T offset)
{
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = x[i] * scale + offset;
}

extern "C" __global__ void follow(T* average, const T* value, long long n, T momentum, T rest)
{
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n)
        average[i] = momentum * average[i] + rest * value[i];
}
