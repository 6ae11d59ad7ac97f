// A tile's sums by ordinary multiply-adds, one number at a time: how threads share the tile and read their operands.
#pragma once

// A thread's rows come in groups of 4, and the groups of all threads lie side by side: thread `ty` has rows 4·ty …
// 4·ty+3 of the tile's upper half and, if THREAD_M is 8, of its lower half.  So neighbouring lanes read neighbouring
// vectors, which never collide in a bank; 8 rows in one piece would put lanes 0, 4, 8, … on the same banks.  The same
// for columns.  A warp covers a patch of 8 × 4 threads rather than a row of 32: it then reads 8 + 4 groups, not 32 + 1.
constexpr int LANES = ACROSS < 8 ? ACROSS : 8;  // side by side in a patch

struct Position {
    int x, y;  // of this thread, among the ACROSS × (TILE_M / THREAD_M) of the tile
    __device__ Position()
    {
        const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
        constexpr int WARPS = ACROSS / LANES;  // side by side
        x = warp % WARPS * LANES + lane % LANES;
        y = warp / WARPS * (32 / LANES) + lane / LANES;
    }
    __device__ int row(int i) const { return i / 4 * (TILE_M / THREAD_M * 4) + y * 4 + i % 4; }
    __device__ int column(int j) const { return j / 4 * (ACROSS * 4) + x * 4 + j % 4; }
};

struct Sums {
    typedef T Word;  // what shared memory holds
    static constexpr int PER_WORD = 1, ROWS = TILE_K, PADDING = 4;
    T at[THREAD_M][THREAD_N];

    __device__ static Word word(T value, T) { return value; }
    // Put V neighbours along k into the tile.
    template <int SIDE, int V>
    __device__ static void keep(Word (*tile)[SIDE + PADDING], int k, int o, const Pack<T, V>& values)
    {
#pragma unroll
        for (int e = 0; e < V; ++e) tile[k + e][o] = values.at[e];
    }
    template <int SIDE>
    __device__ static T kept(const Word (*tile)[SIDE + PADDING], int k, int o) { return tile[k][o]; }

    __device__ Sums()
    {
#pragma unroll
        for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
            for (int j = 0; j < THREAD_N; ++j) at[i][j] = T(0);
    }

    // Add the product of two tiles.
    __device__ void add(const Word (*a)[TILE_M + PADDING], const Word (*b)[TILE_N + PADDING])
    {
        const Position my;
#pragma unroll
        for (int k = 0; k < TILE_K; ++k) {
            T a_part[THREAD_M], b_part[THREAD_N];
            read(a[k], my.y, TILE_M / THREAD_M * 4, a_part);
            read(b[k], my.x, ACROSS * 4, b_part);
#pragma unroll
            for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
                for (int j = 0; j < THREAD_N; ++j) at[i][j] += a_part[i] * b_part[j];
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
        const Position my;
#pragma unroll
        for (int group = 0; group < THREAD_N; group += 4) {
            const int column = n + my.column(group);
            const Pack<T, 4> base = biases<4>(bias, column, columns);
#pragma unroll
            for (int i = 0; i < THREAD_M; ++i) {
                const int row = m + my.row(i);
                Pack<T, 4> four;
#pragma unroll
                for (int e = 0; e < 4; ++e) four.at[e] = at[i][group + e] + base.at[e];
                if (row < rows) put(c + start(row), column, columns, four);
            }
        }
    }

private:
    // COUNT numbers, in groups of 4 that lie `step` apart.
    template <int COUNT>
    __device__ static void read(const T* row, int group, int step, T (&values)[COUNT])
    {
#pragma unroll
        for (int i = 0; i < COUNT / 4; ++i) {
            const Pack<T, 4> v = load<4>(row + i * step + group * 4);
#pragma unroll
            for (int e = 0; e < 4; ++e) values[i * 4 + e] = v.at[e];
        }
    }
};
