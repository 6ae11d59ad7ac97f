// Batch normalisation of x (m, channels).
//
// A block has a chunk of rows (blockIdx.x) and some neighbouring channels (blockIdx.y), one for each threadIdx.x; the
// threads of a channel share its rows.  Sums are taken in float64 and in an order that the shapes fix: over a thread's
// rows, over the threads of a channel, over the chunks.  The squares of a chunk are taken around the chunk's own mean;
// around the mean of all, Σ (x - mean)² = Σ_chunks (squares + rows · (chunk mean - mean)²).

const int THREADS = 512;  // in a block, at most

__device__ int channel_of_thread()
{
    return blockIdx.y * blockDim.x + threadIdx.x;
}

// Whether this thread is the one that writes the result of a channel.
__device__ bool writes(int channels)
{
    return threadIdx.y == 0 && channel_of_thread() < channels;
}

// What a chunk gives for one channel: two numbers, kept in the memory of the result until that is written, from the
// first multiple of 8 bytes on.
struct Pair {
    double first, second;
};

__device__ Pair* kept(const T* result, long long chunk, int channels)
{
    const unsigned long long start = (reinterpret_cast<unsigned long long>(result) + 7) / 8 * 8;
    return reinterpret_cast<Pair*>(start) + chunk * channels + channel_of_thread();
}

// This thread's part of the block's chunk: its rows.
struct Rows {
    long long first, stop;
    int step;
};

__device__ Rows rows_of_thread(long long m, int rows_per_chunk)
{
    const long long start = blockIdx.x * static_cast<long long>(rows_per_chunk), stop = start + rows_per_chunk;
    return {start + threadIdx.y, stop < m ? stop : m, int(blockDim.y)};
}

// Σ value over the threads of a channel, for all of them; blockDim.y is a power of two.
__device__ double channel_sum(double value)
{
    __shared__ double sums[THREADS];
    const int here = threadIdx.y * blockDim.x + threadIdx.x;
    sums[here] = value;
    for (int others = blockDim.y / 2; others; others /= 2) {
        __syncthreads();
        if (threadIdx.y < others)
            sums[here] += sums[here + others * blockDim.x];
    }
    __syncthreads();
    const double sum = sums[threadIdx.x];
    __syncthreads();  // before the next call overwrites it
    return sum;
}

__device__ int rows_of_chunk(long long chunk, long long m, int rows_per_chunk)
{
    const long long rest = m - chunk * rows_per_chunk;
    return rest < rows_per_chunk ? rest : rows_per_chunk;
}

// A channel's mean in this block's chunk, and its sum of squared distances from that mean.
__device__ Pair moments_of_chunk(const T* x, long long m, int channels, int rows_per_chunk)
{
    const int channel = channel_of_thread();
    const Rows rows = rows_of_thread(m, channel < channels ? rows_per_chunk : 0);
    double sum = 0, squares = 0;
#pragma unroll 4
    for (long long r = rows.first; r < rows.stop; r += rows.step)
        sum += x[r * channels + channel];
    const double mean = channel_sum(sum) / rows_of_chunk(blockIdx.x, m, rows_per_chunk);
#pragma unroll 4
    for (long long r = rows.first; r < rows.stop; r += rows.step) {
        const double distance = x[r * channels + channel] - mean;
        squares += distance * distance;
    }
    return {mean, channel_sum(squares)};
}

// All rows are one chunk.
extern "C" __global__ void moments(
    const T* x, T* mean, T* variance, long long m, int channels, int rows_per_chunk)
{
    const Pair found = moments_of_chunk(x, m, channels, rows_per_chunk);
    if (writes(channels)) {
        mean[channel_of_thread()] = found.first;
        variance[channel_of_thread()] = found.second / m;
    }
}

// One of several chunks.
extern "C" __global__ void chunk_moments(const T* x, T* y, long long m, int channels, int rows_per_chunk)
{
    const Pair found = moments_of_chunk(x, m, channels, rows_per_chunk);
    if (writes(channels))
        *kept(y, blockIdx.x, channels) = found;
}

// The moments of all from those of the chunks, which are spread over the threads of a channel here.
extern "C" __global__ void merge_moments(
    const T* y, T* mean, T* variance, long long m, int channels, int rows_per_chunk)
{
    const int stop = channel_of_thread() < channels ? (m + rows_per_chunk - 1) / rows_per_chunk : 0;
    double sum = 0, square = 0;
#pragma unroll 4
    for (int chunk = threadIdx.y; chunk < stop; chunk += blockDim.y)
        sum += kept(y, chunk, channels)->first * rows_of_chunk(chunk, m, rows_per_chunk);
    const double center = channel_sum(sum) / m;
#pragma unroll 4
    for (int chunk = threadIdx.y; chunk < stop; chunk += blockDim.y) {
        const Pair found = *kept(y, chunk, channels);
        const double distance = found.first - center;
        square += found.second + rows_of_chunk(chunk, m, rows_per_chunk) * (distance * distance);
    }
    square = channel_sum(square);
    if (writes(channels)) {
        mean[channel_of_thread()] = center;
        variance[channel_of_thread()] = square / m;
    }
}

extern "C" __global__ void normalise(
    const T* x, const T* gamma, const T* beta, const T* mean, const T* variance, T epsilon, T* y, long long m,
    int channels, int rows_per_chunk)
{
    const int channel = channel_of_thread();
    if (channel >= channels)
        return;
    const T scale = gamma[channel] / sqrt(variance[channel] + epsilon), shift = beta[channel], center = mean[channel];
    const Rows rows = rows_of_thread(m, rows_per_chunk);
#pragma unroll 4
    for (long long r = rows.first; r < rows.stop; r += rows.step)
        y[r * channels + channel] = (x[r * channels + channel] - center) * scale + shift;
}

// A channel's Σ dy and Σ dy · (x - mean) in this block's chunk.
__device__ Pair sums_of_chunk(const T* dy, const T* x, const T* mean, long long m, int channels, int rows_per_chunk)
{
    const int channel = channel_of_thread();
    const Rows rows = rows_of_thread(m, channel < channels ? rows_per_chunk : 0);
    const T center = channel < channels ? mean[channel] : T(0);
    double sum = 0, product = 0;
#pragma unroll 4
    for (long long r = rows.first; r < rows.stop; r += rows.step) {
        const double gradient = dy[r * channels + channel];
        sum += gradient;
        product += gradient * (x[r * channels + channel] - center);
    }
    sum = channel_sum(sum);
    return {sum, channel_sum(product)};
}

__device__ void write_gradients(Pair sums, const T* variance, T epsilon, T* dgamma, T* dbeta, int channels)
{
    const int channel = channel_of_thread();
    if (writes(channels)) {
        dbeta[channel] = sums.first;
        dgamma[channel] = sums.second / sqrt(variance[channel] + epsilon);
    }
}

// All rows are one chunk.
extern "C" __global__ void sums(
    const T* dy, const T* x, const T* mean, const T* variance, T epsilon, T* dgamma, T* dbeta, long long m,
    int channels, int rows_per_chunk)
{
    const Pair found = sums_of_chunk(dy, x, mean, m, channels, rows_per_chunk);
    write_gradients(found, variance, epsilon, dgamma, dbeta, channels);
}

// One of several chunks.
extern "C" __global__ void chunk_sums(
    const T* dy, const T* x, const T* mean, T* dx, long long m, int channels, int rows_per_chunk)
{
    const Pair found = sums_of_chunk(dy, x, mean, m, channels, rows_per_chunk);
    if (writes(channels))
        *kept(dx, blockIdx.x, channels) = found;
}

extern "C" __global__ void merge_sums(
    const T* dx, const T* variance, T epsilon, T* dgamma, T* dbeta, long long m, int channels, int rows_per_chunk)
{
    const int stop = channel_of_thread() < channels ? (m + rows_per_chunk - 1) / rows_per_chunk : 0;
    double sum = 0, product = 0;
#pragma unroll 4
    for (int chunk = threadIdx.y; chunk < stop; chunk += blockDim.y) {
        const Pair found = *kept(dx, chunk, channels);
        sum += found.first;
        product += found.second;
    }
    sum = channel_sum(sum);
    write_gradients({sum, channel_sum(product)}, variance, epsilon, dgamma, dbeta, channels);
}

// dx = gamma / √(variance + ε) · (dy - dbeta / m - x̂ · dgamma / m)
extern "C" __global__ void input_gradient(
    const T* dy, const T* x, const T* gamma, const T* mean, const T* variance, T epsilon, const T* dgamma,
    const T* dbeta, T* dx, long long m, int channels, int rows_per_chunk)
{
    const int channel = channel_of_thread();
    if (channel >= channels)
        return;
    const T inverse = 1 / sqrt(variance[channel] + epsilon), center = mean[channel], scale = gamma[channel] * inverse;
    const T shift = dbeta[channel] / m, slope = dgamma[channel] / m;
    const Rows rows = rows_of_thread(m, rows_per_chunk);
#pragma unroll 4
    for (long long r = rows.first; r < rows.stop; r += rows.step) {
        const long long here = r * channels + channel;
        dx[here] = scale * (dy[here] - shift - (x[here] - center) * inverse * slope);
    }
}
