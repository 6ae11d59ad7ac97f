// A tile's sums on tensor cores: the operands rounded to TENSOR_CORES = 19 bits (tf32: 8 of exponent, 10 of mantissa)
// or 16 bits (bf16: 8 and 7), their products added up in float32.  From compute capability 8.0 on.
//
// One instruction of a warp, `mma`, multiplies 16 × 8 words by 8 × 8 words.  A word has 32 bits: one number of tf32, or
// two of bf16 that are neighbours along k.  The instruction says which lane has which words; with g = lane / 4, t =
// lane % 4
//
//     A (16 × 8)   (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)
//     B (8 × 8)    (t, g), (t + 4, g)
//     C (16 × 8)   (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
//
// (PTX ISA, "Matrix fragments for mma.m16n8k8" and "… mma.m16n8k16".)  A warp computes 8·THREAD_M × 4·THREAD_N
// elements of the tile, 64 × 32 for 8 × 8: each word of A that it reads is used for 4 instructions, each of B for
// 4.  Shared memory holds [words along k][SIDE + 8], so that the lanes' reads (t, g) fall on banks 8t + g: all 32 of
// them.
#pragma once

#ifdef CUDA_ON_HOST
// d += a · b as the instruction does it: each lane gives its words to the warp, then computes its elements of C.
inline void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    static unsigned warps[32][32][6];
    unsigned(*lanes)[6] = warps[threadIdx.x / 32];
    const int lane = static_cast<int>(threadIdx.x) % 32;
    memcpy(lanes[lane], a, sizeof a);
    memcpy(lanes[lane] + 4, b, sizeof b);
    host::give(~0u, 0);  // waits as `mma` does, which puts no other memory in order
    for (int e = 0; e < 4; ++e) {
        const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < 8; ++k) {
            const unsigned left = lanes[row % 8 * 4 + k % 4][row / 8 + k / 4 * 2];
            const unsigned right = lanes[column * 4 + k % 4][4 + k / 4];
            if (TENSOR_CORES == 16)
                d[e] += __uint_as_float(left << 16) * __uint_as_float(right << 16);
            const unsigned number = TENSOR_CORES == 16 ? 0xffff0000u : ~0u;
            d[e] += __uint_as_float(left & number) * __uint_as_float(right & number);
        }
    }
    host::give(~0u, 0);
}
#else
__device__ inline void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    asm volatile(
#if TENSOR_CORES == 16
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#else
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
#endif
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Both numbers as bf16, the first in the lower half; or the first as tf32, in the upper bits.
#if TENSOR_CORES == 16 && defined(__CUDA_ARCH__)
__device__ inline unsigned rounded(float first, float second)
{
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}
#elif TENSOR_CORES == 19 && __CUDA_ARCH__ >= 900
__device__ inline unsigned rounded(float first, float)
{
    unsigned word;
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(word) : "f"(first));
    return word;
}
#else
// What those instructions do: the nearest number of DROPPED bits fewer, of two the even one; NaN and infinities stay.
template <unsigned DROPPED>
__device__ inline unsigned nearest(float value)
{
    const unsigned bits = __float_as_uint(value), half = (1u << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1);
    return value != value ? 0x7fff0000u : (bits + half) >> DROPPED << DROPPED;
}
__device__ inline unsigned rounded(float first, float second)
{
    return TENSOR_CORES == 16 ? nearest<16>(first) >> 16 | nearest<16>(second) : nearest<13>(first);
}
#endif

struct Sums {
    typedef unsigned Word;
    static constexpr int PER_WORD = TENSOR_CORES == 16 ? 2 : 1;
    static constexpr int ROWS = TILE_K / PER_WORD, PADDING = 8;
    static constexpr int WARP_M = 8 * THREAD_M, WARP_N = 4 * THREAD_N;  // of the tile, for one warp
    static constexpr int DOWN = WARP_M / 16, ACROSS_WARP = WARP_N / 8;  // instructions for that
    static_assert(TILE_M % WARP_M == 0 && TILE_N % WARP_N == 0 && ROWS % 8 == 0, "whole instructions");
    static_assert(sizeof(T) == 4, "tensor cores take float");
    float at[DOWN][ACROSS_WARP][4];

    // The word of numbers that are neighbours along k: of two for bf16, else of the first one.
    __device__ static Word word(T first, T second) { return rounded(first, second); }
    // Put V neighbours along k into the tile.
    template <int SIDE, int V>
    __device__ static void keep(Word (*tile)[SIDE + PADDING], int k, int o, const Pack<T, V>& values)
    {
        if constexpr (V % PER_WORD == 0) {
#pragma unroll
            for (int e = 0; e < V; e += PER_WORD)
                tile[(k + e) / PER_WORD][o] = word(values.at[e], values.at[e + PER_WORD - 1]);
        } else {
            static_assert(V == 1, "half a word");
            reinterpret_cast<unsigned short*>(&tile[k / 2][o])[k % 2] = static_cast<unsigned short>(word(values.at[0], 0));
        }
    }
    template <int SIDE>
    __device__ static T kept(const Word (*tile)[SIDE + PADDING], int k, int o)
    {
        if (PER_WORD == 1) return __uint_as_float(tile[k][o] & 0xffffe000u);  // below, anything may be
        return __uint_as_float(k % 2 ? tile[k / 2][o] & 0xffff0000u : tile[k / 2][o] << 16);
    }

    __device__ Sums()
    {
#pragma unroll
        for (int i = 0; i < DOWN; ++i)
#pragma unroll
            for (int j = 0; j < ACROSS_WARP; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) at[i][j][e] = 0;
    }

    // Add the product of two tiles.
    __device__ void add(const Word (*a)[TILE_M + PADDING], const Word (*b)[TILE_N + PADDING])
    {
        const int g = group(), t = thread(), row = first_row(), column = first_column();
#pragma unroll
        for (int k = 0; k < ROWS; k += 8) {
            unsigned left[DOWN][4], right[ACROSS_WARP][2];
#pragma unroll
            for (int i = 0; i < DOWN; ++i)
#pragma unroll
                for (int e = 0; e < 4; ++e) left[i][e] = a[k + t + e / 2 * 4][row + i * 16 + g + e % 2 * 8];
#pragma unroll
            for (int j = 0; j < ACROSS_WARP; ++j)
#pragma unroll
                for (int e = 0; e < 2; ++e) right[j][e] = b[k + t + e * 4][column + j * 8 + g];
#pragma unroll
            for (int i = 0; i < DOWN; ++i)
#pragma unroll
                for (int j = 0; j < ACROSS_WARP; ++j) mma(at[i][j], left[i], right[j]);
        }
    }

    // Write them to the tile at (m, n) of c (rows, columns), plus bias[column] unless bias is null.
    __device__ void write(T* c, const T* bias, int m, int n, int rows, int columns) const
    {
        write(c, bias, m, n, rows, columns, [=](int row) { return static_cast<long long>(row) * columns; });
    }
    // The same where row r starts at c + start(r).
    template <class Start>
    __device__ void write(T* c, const T* bias, int m, int n, int rows, int columns, Start start) const
    {
#pragma unroll
        for (int j = 0; j < ACROSS_WARP; ++j) {
            const int column = n + first_column() + j * 8 + thread() * 2;
            const Pack<T, 2> base = biases<2>(bias, column, columns);
#pragma unroll
            for (int i = 0; i < 2 * DOWN; ++i) {
                const int row = m + first_row() + i * 8 + group();
                const float* sums = &at[i / 2][j][i % 2 * 2];
                const Pack<T, 2> two = {sums[0] + base.at[0], sums[1] + base.at[1]};
                if (row < rows) put(c + start(row), column, columns, two);
            }
        }
    }

private:
    __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
    __device__ static int group() { return static_cast<int>(threadIdx.x) % 32 / 4; }
    __device__ static int thread() { return static_cast<int>(threadIdx.x) % 4; }
    __device__ static int first_row() { return warp() / (TILE_N / WARP_N) * WARP_M; }
    __device__ static int first_column() { return warp() % (TILE_N / WARP_N) * WARP_N; }
};
