/* SPDX-License-Identifier: MIT */
/* Bit counting that C11 has no function for. */
#ifndef GNI_BITS_H
#define GNI_BITS_H

#include <stddef.h>
#include <stdint.h>

/* The number of the lowest and of the highest bit set in x, which is not 0. */
#if defined(__GNUC__)
static inline unsigned gni_bit_lowest(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
static inline unsigned gni_bit_highest(uint64_t x) { return 63u - (unsigned)__builtin_clzll(x); }
#else
static inline unsigned gni_bit_highest(uint64_t x)
{
    unsigned n = 0;

    for (unsigned half = 32; half != 0; half /= 2) {
        if (x >> half != 0) {
            x >>= half;
            n += half;
        }
    }
    return n;
}
static inline unsigned gni_bit_lowest(uint64_t x) { return gni_bit_highest(x & (~x + 1)); }
#endif

/* The smallest power of two that is not below n; 0 if there is none. */
static inline size_t gni_pow2_ceil(size_t n)
{
    size_t p = 1;

    if (n > SIZE_MAX / 2 + 1)
        return 0;
    if (n > 1)
        p = (size_t)1 << (gni_bit_highest((uint64_t)n - 1) + 1);
    return p;
}

/* Asks for the cache line of p before it is wanted. */
static inline void gni_prefetch(const void *p)
{
#ifdef __GNUC__
    __builtin_prefetch(p, 1);
#else
    (void)p;
#endif
}

#endif
