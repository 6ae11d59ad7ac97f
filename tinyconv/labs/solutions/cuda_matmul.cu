// Lab 12: a CUDA kernel, the matrix product in tiles
//
// A convolution is a matrix product (lab 3), and this is how a GPU computes one.  Thousands of threads run the same
// function, the kernel; each makes one element of c = a · b.  Threads come in blocks of TILE × TILE.
//
//     c[row, column] = Σ_k a[row, k] · b[k, column]             row    = blockIdx.y * TILE + threadIdx.y
//                                                               column = blockIdx.x * TILE + threadIdx.x
//
// Each element of a is needed by all threads of a row of the block, and memory is slow.  So the block goes along k one
// tile at a time: together its threads copy one tile of a and one of b into shared memory, which is fast, and then each
// thread takes what it needs from there (NVIDIA, "CUDA C++ Programming Guide", section "Shared Memory").
//
//                       b  ┌──┐
//                          │▒▒│ tile
//                          │  │              for each tile along k:
//                          └──┘                  every thread copies one element of a and one of b
//     a  ┌────────┐     c  ┌──┐                  wait for all threads     __syncthreads();
//        │▒▒      │        │██│ block            TILE products from shared memory
//        └────────┘        └──┘                  wait for all threads     __syncthreads();
//         tile
//
// The sizes need not be multiples of TILE.  Outside of a and b put 0 into the tile, and do not write outside of c: on a
// GPU nothing else keeps you from it.  Every thread of the block must reach every __syncthreads().
//
// a is (rows, inner), b is (inner, columns), c is (rows, columns), all float and row after row: a[row, k] is
// a[row * inner + k].
//
// Fill in the kernel, then run:  tinyconv lab check 12      (g++ compiles it for the processor; no GPU is needed)

constexpr int TILE = 8;

__global__ void matmul(const float* a, const float* b, float* c, int rows, int inner, int columns)
{
    // your code
    __shared__ float a_tile[TILE][TILE];
    __shared__ float b_tile[TILE][TILE];
    int y = threadIdx.y, x = threadIdx.x;
    int row = blockIdx.y * TILE + y;
    int column = blockIdx.x * TILE + x;
    float sum = 0;
    for (int k = 0; k < inner; k += TILE) {
        a_tile[y][x] = row < rows && k + x < inner ? a[row * inner + k + x] : 0;
        b_tile[y][x] = k + y < inner && column < columns ? b[(k + y) * columns + column] : 0;
        __syncthreads();
        for (int i = 0; i < TILE; i++)
            sum += a_tile[y][i] * b_tile[i][x];
        __syncthreads();
    }
    if (row < rows && column < columns)
        c[row * columns + column] = sum;
    // end of your code
}
