// Philox4x32-10: four random words from a counter, as kernels/philox/definition.py explains.
#pragma once

struct Words {
    unsigned at[4];
};

// The words 4 · block … 4 · block + 3 of the key (seed, stream, step).
__device__ Words philox(unsigned long long block, unsigned long long seed, unsigned stream, unsigned step)
{
    unsigned c0 = static_cast<unsigned>(block), c1 = static_cast<unsigned>(block >> 32), c2 = step, c3 = stream;
    unsigned k0 = static_cast<unsigned>(seed), k1 = static_cast<unsigned>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long first = 0xD2511F53ull * c0, second = 0xCD9E8D57ull * c2;
        c0 = static_cast<unsigned>(second >> 32) ^ c1 ^ k0;
        c1 = static_cast<unsigned>(second);
        c2 = static_cast<unsigned>(first >> 32) ^ c3 ^ k1;
        c3 = static_cast<unsigned>(first);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
