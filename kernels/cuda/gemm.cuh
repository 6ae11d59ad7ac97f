// Matrix product C = A · B in tiles, for dense layers and convolutions: where A and B come from is a parameter.
//
//                         TILE_N            A block of threads computes one tile of C.  It walks along k: TILE_K
//                       ┌────────┐          columns of A and rows of B at a time are copied to shared memory, where
//               B (k,n) │ b_tile │ TILE_K   every element is read many times, instead of from device memory: TILE_N
//                       └────────┘          times for A, and TILE_M times for B.
//              TILE_K
//             ┌────────┐┌────────┐          Each thread keeps THREAD_M × THREAD_N sums of the tile in registers.  For
//     A (m,k) │ a_tile ││ C tile │ TILE_M   one k it reads THREAD_M + THREAD_N numbers from shared memory and does
//             └────────┘└────────┘          THREAD_M · THREAD_N multiply-adds: with 8 × 8, 16 reads feed 64 of them.
//
// That ratio is what makes it fast: one multiprocessor does 128 multiply-adds per cycle, but reads only 32 numbers of
// shared memory.  Registers of a thread: 64 sums, 16 numbers of the two tiles for this k and 16 for the next, 8 on
// their way from device memory, and some 20 for addresses: 128 at most, so that two blocks of 256 threads fit.
//
// Double buffering: while the threads multiply with one pair of tiles, the next pair is on its way from device memory
// to registers; it is then put into the other buffer.  One barrier per step is enough: a buffer is only written after
// the barrier that ends the step which read it.
//
// The sums run over k in increasing order, and with blockIdx.z over parts of k that depend on the shapes only: the same
// bits every time.  Sizes are macros, so that loops over registers unroll: TILE_M, TILE_N, TILE_K, THREAD_M, THREAD_N;
// BLOCKS of so many threads shall fit on a multiprocessor.  T is float or double.
#pragma once

#include "elementwise.cuh"

constexpr int ACROSS = TILE_N / THREAD_N;            // threads side by side over the tile
constexpr int THREADS = TILE_M / THREAD_M * ACROSS;  // threads of a block

template <int N>
__device__ inline Pack<T, N> zeros()
{
    Pack<T, N> v;
#pragma unroll
    for (int i = 0; i < N; ++i) v.at[i] = T(0);
    return v;
}

// Write N neighbouring elements of a row that has `columns`, from `column` on: in one piece if they are all there and
// lie at an address for that.
template <class Element, int N>
__device__ inline void put(Element* row, int column, int columns, const Pack<Element, N>& values)
{
    Element* to = row + column;
    if (column + N <= columns && reinterpret_cast<unsigned long long>(to) % alignof(Pack<Element, N>) == 0) {
        store(to, values);
    } else {
#pragma unroll
        for (int e = 0; e < N; ++e)
            if (column + e < columns) to[e] = values.at[e];
    }
}

// bias[column] and its N - 1 neighbours; 0 where there are none, or no bias.
template <int N>
__device__ inline Pack<T, N> biases(const T* bias, int column, int columns)
{
    Pack<T, N> values;
#pragma unroll
    for (int e = 0; e < N; ++e) values.at[e] = bias && column + e < columns ? bias[column + e] : T(0);
    return values;
}

// What keeps a thread's sums, and how shared memory is laid out for it.
#ifdef TENSOR_CORES
#include "tensor.cuh"
#else
#include "registers.cuh"
#endif

// n / divisor for 0 <= n < 2^31 by one multiplication, as an integer division takes some 20 instructions (Granlund and
// Montgomery, "Division by invariant integers using multiplication", 1994).  `gemm.py` computes the multiplier.
struct Divider {
    int divisor;
    unsigned multiplier, shift;
    __device__ int operator()(int n) const
    {
        const unsigned high = __umulhi(static_cast<unsigned>(n), multiplier);
        return static_cast<int>((high + static_cast<unsigned>(n)) >> shift);
    }
};

// -- where A and B come from ------------------------------------------------------------------------------------------
//
// A source has elements (o, k): o is the row of A or the column of B, "outer", and k the index of the sum.  It says
//   ALONG_K      whether elements that are neighbours in memory are neighbours along k, or along o
//   VECTOR       how many of those to load at once: 4 when they come in whole, aligned groups of four, else 1
//   place(o)     what can be told from o alone: computed once per thread, before the walk along k
//   at(place, k, k_end)    VECTOR elements from (o, k) on; zeros where k >= k_end or o is outside

// Elements (o, k) at data[o · stride + k]: A as it is stored, or Bᵀ.
template <int WIDTH>
struct Rows {
    static constexpr bool ALONG_K = true;
    static constexpr int VECTOR = WIDTH;
    typedef long long Place;  // where row o starts, or -1
    const T* data;
    int outer, stride;

    __device__ Place place(int o) const { return o < outer ? static_cast<long long>(o) * stride : -1; }
    __device__ Pack<T, WIDTH> at(Place row, int k, int k_end) const
    {
        return row >= 0 && k < k_end ? load<WIDTH>(data + row + k) : zeros<WIDTH>();
    }
};

// Elements (o, k) at data[k · stride + o]: B as it is stored, or Aᵀ.
template <int WIDTH>
struct Columns {
    static constexpr bool ALONG_K = false;
    static constexpr int VECTOR = WIDTH;
    typedef int Place;
    const T* data;
    int outer, stride;

    __device__ Place place(int o) const { return o; }
    __device__ Pack<T, WIDTH> at(Place o, int k, int k_end) const
    {
        return o < outer && k < k_end ? load<WIDTH>(data + static_cast<long long>(k) * stride + o) : zeros<WIDTH>();
    }
};

// -- from device memory to shared memory ------------------------------------------------------------------------------
//
// A tile in shared memory is [TILE_K][SIDE], so that the numbers which a thread needs for one k are neighbours and are
// read as vectors.  A source that is contiguous along o is copied as it is: 32 lanes read 512 contiguous bytes.  One
// that is contiguous along k is turned on the way: TILE_K / VECTOR lanes read a run of TILE_K numbers each row, whole
// sectors of 32 bytes, and each lane puts its numbers into as many rows of the tile.  There the lanes of a warp write
// to rows that are 4 apart, and to consecutive columns; with 4 numbers of padding per row these lie in different banks.
template <class Source, int SIDE>
struct Copy {
    static constexpr int V = Source::VECTOR;
    // Along o, a thread takes the same columns of as many rows as share a word of the tile: whole words, then.
    static constexpr int DEEP = Source::ALONG_K ? 1 : Sums::PER_WORD;
    static constexpr unsigned ALL = SIDE * TILE_K / (V * DEEP);                   // such groups of vectors in the tile
    static constexpr int EACH = static_cast<int>((ALL + THREADS - 1) / THREADS);  // of which a thread copies so many
    const Source& source;
    typename Source::Place places[EACH];
    Pack<T, V> held[EACH][DEEP];

    __device__ static unsigned number(int i) { return threadIdx.x + i * static_cast<unsigned>(THREADS); }
    __device__ static bool mine(int i) { return ALL % THREADS == 0 || number(i) < ALL; }
    __device__ static int outer(int i)
    {
        return static_cast<int>(Source::ALONG_K ? number(i) / (TILE_K / V) : number(i) % (SIDE / V) * V);
    }
    __device__ static int depth(int i)
    {
        return static_cast<int>(Source::ALONG_K ? number(i) % (TILE_K / V) * V : number(i) / (SIDE / V) * DEEP);
    }

    __device__ Copy(const Source& source, int start) : source(source)
    {
#pragma unroll
        for (int i = 0; i < EACH; ++i) places[i] = source.place(start + outer(i));
    }
    __device__ void fetch(int k, int k_end)
    {
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int d = 0; d < DEEP; ++d)
                if (mine(i)) held[i][d] = source.at(places[i], k + depth(i) + d, k_end);
    }
    __device__ void store(Sums::Word (*tile)[SIDE + Sums::PADDING]) const
    {
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            if (!mine(i)) continue;
            if (Source::ALONG_K) {
                Sums::keep<SIDE>(tile, depth(i), outer(i), held[i][0]);
            } else {
                Pack<Sums::Word, V> words;
#pragma unroll
                for (int e = 0; e < V; ++e) words.at[e] = Sums::word(held[i][0].at[e], held[i][DEEP - 1].at[e]);
                ::store(&tile[depth(i) / Sums::PER_WORD][outer(i)], words);
            }
        }
    }
};

// sums += A · B for rows m …, columns n … of the tile and k_begin <= k < k_end.  All threads of the block must call it.
// With `add_columns`, thread j < TILE_N also adds up column j of B, as it passes by anyway.
template <class A, class B>
__device__ void multiply(
    const A& a, const B& b, int m, int n, int k_begin, int k_end, Sums& sums, bool add_columns, T& column_sum
)
{
    static_assert(THREADS >= TILE_N, "each column of the tile needs a thread that adds it up");
    alignas(16) __shared__ Sums::Word a_tiles[2][Sums::ROWS][TILE_M + Sums::PADDING];
    alignas(16) __shared__ Sums::Word b_tiles[2][Sums::ROWS][TILE_N + Sums::PADDING];
    Copy<A, TILE_M> a_copy(a, m);
    Copy<B, TILE_N> b_copy(b, n);
    a_copy.fetch(k_begin, k_end);
    b_copy.fetch(k_begin, k_end);
    a_copy.store(a_tiles[0]);
    b_copy.store(b_tiles[0]);
    __syncthreads();
    int now = 0;
    for (int k = k_begin; k < k_end; k += TILE_K) {
        const bool more = k + TILE_K < k_end;
        if (more) {  // on their way while this step multiplies
            a_copy.fetch(k + TILE_K, k_end);
            b_copy.fetch(k + TILE_K, k_end);
        }
        sums.add(a_tiles[now], b_tiles[now]);
        if (add_columns && threadIdx.x < TILE_N)
#pragma unroll
            for (int depth = 0; depth < TILE_K; ++depth)
                column_sum += Sums::kept<TILE_N>(b_tiles[now], depth, static_cast<int>(threadIdx.x));
        now ^= 1;
        if (more) {
            a_copy.store(a_tiles[now]);
            b_copy.store(b_tiles[now]);
        }
        __syncthreads();
    }
}

template <class A, class B>
__device__ void multiply(const A& a, const B& b, int m, int n, int k_begin, int k_end, Sums& sums)
{
    T none;
    multiply(a, b, m, n, k_begin, k_end, sums, false, none);
}

// A block's tile of C, and its part of k: what every product below begins with.
struct Task {
    int m, n, part, k_begin, k_end;
    __device__ Task(int k, int k_per_part) : Task(k, k_per_part, static_cast<int>(blockIdx.z)) {}
    __device__ Task(int k, int k_per_part, int part) : part(part)
    {
        m = static_cast<int>(blockIdx.x) * TILE_M;
        n = static_cast<int>(blockIdx.y) * TILE_N;
        k_begin = part * k_per_part;
        k_end = k_begin + k_per_part < k ? k_begin + k_per_part : k;
    }
};
