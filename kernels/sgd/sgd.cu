// One step of gradient descent with momentum: p, g and velocity stream through once.
#include "elementwise.cuh"
#include "numbers.cuh"

extern "C" __global__ void step(
    T* p, const T* g, T* velocity, long long n, LEARNING_RATE learning_rate, T momentum, int nesterov,
    DECAY decay)
{
    const T rate = number(learning_rate), shrink = number(decay);
    each_place<16 / sizeof(T)>(n, aligned(p, g, velocity), [&](auto place) {
        constexpr int SIZE = decltype(place)::SIZE;
        auto p_i = load<SIZE>(p + place.first), v_i = load<SIZE>(velocity + place.first);
        const auto g_i = load<SIZE>(g + place.first);
#pragma unroll
        for (int k = 0; k < SIZE; k++) {
            const T fall = rate * g_i.at[k];
            v_i.at[k] = momentum * v_i.at[k] - fall;
            p_i.at[k] = (p_i.at[k] - shrink * p_i.at[k]) + (nesterov ? momentum * v_i.at[k] - fall : v_i.at[k]);
        }
        store(p + place.first, p_i);
        store(velocity + place.first, v_i);
    });
}
