// Softmax, y = eˣ / Σ eˣ for each row.
#include "rows.cuh"

extern "C" __global__ void forward(const T* x, T* y, long long rows, int columns, int lanes)
{
    const long long row = row_of_thread(lanes);
    const T* x_row = x + (row < rows ? row : 0) * columns;
    const T maximum = row_maximum(x_row, columns, lanes);
    const T total = row_sum(columns, lanes, [&](int k) { return exp(x_row[k] - maximum); });
    if (row < rows)
        for (int k = lane_of_thread(lanes); k < columns; k += lanes)
            y[row * columns + k] = exp(x_row[k] - maximum) / total;
}

extern "C" __global__ void backward(const T* dy, const T* y, T* dx, long long rows, int columns, int lanes)
{
    const long long row = row_of_thread(lanes), start = (row < rows ? row : 0) * columns;
    const T dot = row_sum(columns, lanes, [&](int k) { return static_cast<double>(dy[start + k]) * y[start + k]; });
    if (row < rows)
        for (int k = lane_of_thread(lanes); k < columns; k += lanes)
            dx[start + k] = y[start + k] * (dy[start + k] - dot);
}
