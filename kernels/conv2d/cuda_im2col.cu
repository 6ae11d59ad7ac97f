// Convolution step by step, to be read before conv2d.cu: im2col, a matrix product with tiles in shared memory, col2im.
//
//     cols (n·oh·ow, kh·kw·c)   one row per output pixel: the window under the kernel, flattened
//     w    (kh·kw·c, f)         one column per filter
//     y  = cols · w             dw = colsᵀ · dy             dcols = dy · wᵀ, added back by col2im

// A convolution's sizes: images h × w with c channels, kernels kh × kw, strides, dilation, padding, outputs oh × ow.
#define SIZES int h, int w, int c, int kh, int kw, int sh, int sw, int dh, int dw, int top, int left, int oh, int ow

// One thread per element of cols.  Neighbouring threads have neighbouring channels, which are neighbours in x too: the
// 32 threads of a warp read and write one contiguous piece each time (the accesses "coalesce").
extern "C" __global__ void im2col(const T* x, T* cols, long long size, SIZES)
{
    const long long element = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (element >= size)
        return;
    // element = (((n · oh + i) · ow + j) · kh + p) · kw + q) · c + channel, taken apart from the right
    long long rest = element;
    const int channel = rest % c;
    rest /= c;
    const int q = rest % kw;
    rest /= kw;
    const int p = rest % kh;
    rest /= kh;
    const int j = rest % ow;
    rest /= ow;
    const int i = rest % oh;
    const long long n = rest / oh;
    const int row = i * sh + p * dh - top, column = j * sw + q * dw - left;
    const bool inside = 0 <= row && row < h && 0 <= column && column < w;
    cols[element] = inside ? x[((n * h + row) * w + column) * c + channel] : T(0);
}

// The transpose of im2col: one thread per element of x adds up its copies in cols, in the order of the taps.  It
// gathers: were each element of cols to add itself to x, two threads could add to one place at the same time.
extern "C" __global__ void col2im(const T* cols, T* x, long long size, SIZES)
{
    const long long element = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (element >= size)
        return;
    const int channel = element % c;
    const int column = element / c % w;
    const int row = element / c / w % h;
    const long long n = element / c / w / h;
    T sum = T(0);
    for (int p = 0; p < kh; p++)
        for (int q = 0; q < kw; q++) {
            // The window (i, j) that sees this pixel under tap (p, q), if there is one.
            const int down = row + top - p * dh, right = column + left - q * dw;
            if (down < 0 || right < 0 || down % sh != 0 || right % sw != 0)
                continue;
            const int i = down / sh, j = right / sw;
            if (i < oh && j < ow)
                sum += cols[((((n * oh + i) * ow + j) * kh + p) * kw + q) * c + channel];
        }
    x[element] = sum;
}

// c (m, n) = a · b, plus bias[column] unless it is null, plus what c held before if `add` is set.
//
// A block computes a tile of 16 × 16, one element per thread.  Without shared memory, each thread would read a row of a
// and a column of b from device memory: 2 reads for one multiply-add.  Here the 256 threads copy 16 columns of a and 16
// rows of b to shared memory together, one element each, and every element is then used 16 times.
//
// Element (i, k) of a is a[i · a_row + k · a_step], so that a transposed matrix is the same one with other strides;
// and b alike.  The tiles have 17 columns: with 16, the elements of a column would share two of the 32 banks of shared
// memory.
constexpr int TILE = 16;

extern "C" __global__ void multiply(
    const T* a, const T* b, const T* bias, T* c, int m, int n, int k, int a_row, int a_step, int b_step,
    int b_column, int add
)
{
    __shared__ T a_tile[TILE][TILE + 1], b_tile[TILE][TILE + 1];
    const int y = threadIdx.y, x = threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x) * TILE + y;
    const int column = blockIdx.y * TILE + x;
    T sum = T(0);
    for (int start = 0; start < k; start += TILE) {
        a_tile[y][x] = row < m && start + x < k ? a[row * a_row + static_cast<long long>(start + x) * a_step] : T(0);
        b_tile[y][x] = start + y < k && column < n
                           ? b[static_cast<long long>(start + y) * b_step + static_cast<long long>(column) * b_column]
                           : T(0);
        __syncthreads();  // nobody reads before all have written
        for (int i = 0; i < TILE; i++)
            sum += a_tile[y][i] * b_tile[i][x];
        __syncthreads();  // nobody writes the next tile before all have read
    }
    if (row < m && column < n) {
        if (bias)
            sum += bias[column];
        T* target = c + row * n + column;
        *target = add ? *target + sum : sum;
    }
}

// total (columns) = Σ over the rows of a (rows, columns), for 32 columns per block: its 8 rows of threads add every
// eighth row each, then the 8 sums are added as a tree.
constexpr int ROWS = 8;

extern "C" __global__ void sum_rows(const T* a, T* total, long long rows, int columns)
{
    __shared__ T sums[ROWS][32];
    const int x = threadIdx.x, y = threadIdx.y, column = blockIdx.x * 32 + x;
    T sum = T(0);
    if (column < columns)
        for (long long row = y; row < rows; row += ROWS)
            sum += a[row * columns + column];
    sums[y][x] = sum;
    for (int half = ROWS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (y < half)
            sums[y][x] += sums[y + half][x];
    }
    if (y == 0 && column < columns)
        total[column] = sums[0][x];
}
