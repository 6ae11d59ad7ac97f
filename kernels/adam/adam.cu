// One Adam step: p, g, m and v stream through once.
#include "elementwise.cuh"
#include "numbers.cuh"

extern "C" __global__ void step(
    T* p, const T* g, T* m, T* v, long long n, STEP_SIZE step_size, T beta_1, T rest_1, T beta_2, T rest_2, T epsilon,
    DECAY decay)
{
    const T size = number(step_size), shrink = number(decay);
    each_place<16 / sizeof(T)>(n, aligned(p, g, m, v), [&](auto place) {
        constexpr int SIZE = decltype(place)::SIZE;
        auto p_i = load<SIZE>(p + place.first), m_i = load<SIZE>(m + place.first), v_i = load<SIZE>(v + place.first);
        const auto g_i = load<SIZE>(g + place.first);
#pragma unroll
        for (int k = 0; k < SIZE; k++) {
            m_i.at[k] = beta_1 * m_i.at[k] + rest_1 * g_i.at[k];
            v_i.at[k] = beta_2 * v_i.at[k] + rest_2 * (g_i.at[k] * g_i.at[k]);
            p_i.at[k] = (p_i.at[k] - shrink * p_i.at[k]) - size * m_i.at[k] / (sqrt(v_i.at[k]) + epsilon);
        }
        store(p + place.first, p_i);
        store(m + place.first, m_i);
        store(v + place.first, v_i);
    });
}
