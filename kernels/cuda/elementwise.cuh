// Element by element: each thread takes 16 bytes or so of every array, in one load or store where that is possible.
#pragma once

// SIZE neighbouring elements, which one instruction loads or stores up to 16 bytes of.
template <class Element, int SIZE>
struct alignas(SIZE * sizeof(Element) < 16 ? SIZE * sizeof(Element) : 16) Pack {
    Element at[SIZE];
};

template <int SIZE, class Element>
__device__ Pack<Element, SIZE> load(const Element* from)
{
    return *reinterpret_cast<const Pack<Element, SIZE>*>(from);
}

template <int SIZE, class Element>
__device__ void store(Element* to, const Pack<Element, SIZE>& values)
{
    *reinterpret_cast<Pack<Element, SIZE>*>(to) = values;
}

// Whether all arrays start at a multiple of 16 bytes.
template <class... Elements>
__device__ bool aligned(const Elements*... arrays)
{
    return ((reinterpret_cast<unsigned long long>(arrays) | ...) & 15) == 0;
}

// SIZE elements from number `first` on.
template <int SIZE_>
struct Place {
    static const int SIZE = SIZE_;
    long long first;
};

// Calls body(Place<SIZE>) for the SIZE elements of n that are this thread's, or body(Place<1>) for each of them when
// they may not be loaded together or the last ones are missing.  The grid has a thread for each SIZE elements.
template <int SIZE, class Body>
__device__ void each_place(long long n, bool together, Body body)
{
    const long long first = SIZE * (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x);
    if (together && first + SIZE <= n)
        body(Place<SIZE>{first});
    else
        for (long long i = first; i < n && i < first + SIZE; i++)
            body(Place<1>{i});
}

// The values f(x...) of packs x... of the same size.
template <class Element, int SIZE, class Function, class... Packs>
__device__ Pack<Element, SIZE> values(Function f, const Packs&... x)
{
    Pack<Element, SIZE> y;
#pragma unroll
    for (int k = 0; k < SIZE; k++)
        y.at[k] = f(x.at[k]...);
    return y;
}

// y[i] = f(x[i]...) for i < n; y may be one of the inputs x.
template <class Element, class Function, class... Inputs>
__device__ void map(long long n, Function f, Element* y, const Inputs*... x)
{
    each_place<16 / sizeof(Element)>(n, aligned(y, x...), [&](auto place) {
        constexpr int SIZE = decltype(place)::SIZE;
        store(y + place.first, values<Element, SIZE>(f, load<SIZE>(x + place.first)...));
    });
}
