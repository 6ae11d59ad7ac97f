// A number that a kernel gets by value, or finds in device memory: there it may be another one each time that a
// captured graph is replayed.  The type of the parameter, N or const N*, is a macro: see `changing` in `launches.py`.
#pragma once

template <class N>
__device__ N number(N value)
{
    return value;
}

template <class N>
__device__ N number(const N* place)
{
    return *place;
}
