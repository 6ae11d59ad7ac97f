// Dropout: a thread makes the four random words of its four elements; the mask is stored nowhere.
#include "elementwise.cuh"
#include "numbers.cuh"
#include "philox.cuh"

extern "C" __global__ void forward(
    const T* x, T* y, long long n, unsigned long long smallest, T scale, unsigned long long seed, unsigned stream,
    STEP step)
{
    each_place<4>(n, aligned(x, y), [&](auto place) {
        constexpr int SIZE = decltype(place)::SIZE;
        const Words words = philox(place.first / 4, seed, stream, number(step));
        auto elements = load<SIZE>(x + place.first);
#pragma unroll
        for (int k = 0; k < SIZE; k++) {
            const unsigned word = SIZE == 4 ? words.at[k] : words.at[place.first % 4];
            elements.at[k] = word >= smallest ? elements.at[k] * scale : T(0);
        }
        store(y + place.first, elements);
    });
}
