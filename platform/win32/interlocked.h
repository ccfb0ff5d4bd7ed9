/* SPDX-License-Identifier: MIT */
/*
 * What platform/atomic.h is with a compiler for Windows that has no C11 atomics (__STDC_NO_ATOMICS__: Visual
 * C's, unless it is told otherwise).  Every function is a full barrier, which is more than is asked.  Made of
 * few of the intrinsics: 32-bit x86 has of those for 64 bits the compare-exchange alone.
 */
#ifndef GNP_WIN32_INTERLOCKED_H
#define GNP_WIN32_INTERLOCKED_H

#include <intrin.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    volatile long v;
} gnp_atomic32;
/* 64 bits are atomic only where they are aligned, and a struct of 32-bit Windows may not be. */
typedef struct {
    _Alignas(8) volatile long long v;
} gnp_atomic64;
typedef struct {
    void *volatile v;
} gnp_atomic_ptr;

static inline uint32_t gnp_load32(const gnp_atomic32 *a)
{
    return (uint32_t)_InterlockedCompareExchange((volatile long *)&a->v, 0, 0);
}
static inline void gnp_store32(gnp_atomic32 *a, uint32_t x)
{
    _InterlockedExchange(&a->v, (long)x);
}
static inline uint32_t gnp_add32(gnp_atomic32 *a, uint32_t x)
{
    return (uint32_t)_InterlockedExchangeAdd(&a->v, (long)x);
}
static inline uint32_t gnp_sub32(gnp_atomic32 *a, uint32_t x)
{
    return gnp_add32(a, 0u - x);
}
static inline uint32_t gnp_swap32(gnp_atomic32 *a, uint32_t x)
{
    return (uint32_t)_InterlockedExchange(&a->v, (long)x);
}
static inline int gnp_cas32(gnp_atomic32 *a, uint32_t *expected, uint32_t x)
{
    uint32_t had = (uint32_t)_InterlockedCompareExchange(&a->v, (long)x, (long)*expected);
    int done = had == *expected;
    *expected = had;
    return done;
}

static inline uint64_t gnp_load64(const gnp_atomic64 *a)
{
    return (uint64_t)_InterlockedCompareExchange64((volatile long long *)&a->v, 0, 0);
}
static inline int gnp_cas64(gnp_atomic64 *a, uint64_t *expected, uint64_t x)
{
    uint64_t had = (uint64_t)_InterlockedCompareExchange64(&a->v, (long long)x, (long long)*expected);
    int done = had == *expected;
    *expected = had;
    return done;
}
static inline void gnp_store64(gnp_atomic64 *a, uint64_t x)
{
    uint64_t had = (uint64_t)a->v; /* a guess: may be torn */
    while (!gnp_cas64(a, &had, x)) {}
}
static inline uint64_t gnp_load64_relaxed(const gnp_atomic64 *a)
{
    return sizeof(void *) >= sizeof(a->v) ? (uint64_t)a->v : gnp_load64(a);
}
static inline void gnp_store64_relaxed(gnp_atomic64 *a, uint64_t x)
{
    if (sizeof(void *) >= sizeof(a->v))
        a->v = (long long)x;
    else
        gnp_store64(a, x);
}
static inline uint64_t gnp_add64(gnp_atomic64 *a, uint64_t x)
{
    uint64_t had = (uint64_t)a->v;
    while (!gnp_cas64(a, &had, had + x)) {}
    return had;
}
static inline uint64_t gnp_sub64(gnp_atomic64 *a, uint64_t x)
{
    return gnp_add64(a, (uint64_t)0 - x);
}

static inline void *gnp_load_ptr(const gnp_atomic_ptr *a)
{
    return _InterlockedCompareExchangePointer((void *volatile *)&a->v, NULL, NULL);
}
static inline int gnp_cas_ptr(gnp_atomic_ptr *a, void **expected, void *p)
{
    void *had = _InterlockedCompareExchangePointer(&a->v, p, *expected);
    int done = had == *expected;
    *expected = had;
    return done;
}
static inline void *gnp_swap_ptr(gnp_atomic_ptr *a, void *p)
{
    return _InterlockedExchangePointer(&a->v, p);
}
static inline void gnp_store_ptr(gnp_atomic_ptr *a, void *p)
{
    _InterlockedExchangePointer(&a->v, p);
}

#endif
