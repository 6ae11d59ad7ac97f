// Softmax, y = eˣ / Σ eˣ for each row.
#include "rows.cuh"

extern "C" __global__ void forward(const T* x, T* y, long long rows, int columns, int lanes)
{
    const Row row(rows, columns, lanes);
    x += row.start, y += row.start;
    const T maximum = row_maximum(x, row.columns, lanes);
    const T total = row_sum(row.columns, lanes, [&](int k) { return exp(x[k] - maximum); });
    for (int k = lane_of_thread(lanes); k < row.columns; k += lanes)
        y[k] = exp(x[k] - maximum) / total;
}

extern "C" __global__ void backward(const T* dy, const T* y, T* dx, long long rows, int columns, int lanes)
{
    const Row row(rows, columns, lanes);
    dy += row.start, y += row.start, dx += row.start;
    const T dot = row_sum(row.columns, lanes, [&](int k) { return static_cast<double>(dy[k]) * y[k]; });
    for (int k = lane_of_thread(lanes); k < row.columns; k += lanes)
        dx[k] = y[k] * (dy[k] - dot);
}
