/* SPDX-License-Identifier: MIT */
/*
 * Atomics, one door for all of the core: a platform without C11 atomics puts its
 * interlocked functions here (Windows), and the simulator makes each one a point
 * where another thread may go on.
 */
#ifndef GNP_ATOMIC_H
#define GNP_ATOMIC_H

#define GNP_THREAD_LOCAL _Thread_local

#ifdef __STDC_NO_ATOMICS__
#  include "win32/interlocked.h"
#else

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    _Atomic(uint32_t) v;
} gnp_atomic32;
typedef struct {
    _Atomic(uint64_t) v;
} gnp_atomic64;
typedef struct {
    _Atomic(void *) v;
} gnp_atomic_ptr;

/* The simulator's door: the core is compiled a second time with GNP_SIM for it. */
#ifdef GNP_SIM
void gnp_sim_point(void);
void gnp_sim_point_relaxed(void);
#  define GNP_POINT() gnp_sim_point()
#  define GNP_POINT_RELAXED() gnp_sim_point_relaxed()
#else
#  define GNP_POINT() ((void)0)
#  define GNP_POINT_RELAXED() ((void)0)
#endif

/* Loads acquire, stores release, the rest both. "relaxed" orders nothing. */
static inline uint32_t gnp_load32(const gnp_atomic32 *a)
{
    GNP_POINT();
    return atomic_load_explicit(&a->v, memory_order_acquire);
}
static inline void gnp_store32(gnp_atomic32 *a, uint32_t x)
{
    GNP_POINT();
    atomic_store_explicit(&a->v, x, memory_order_release);
}
static inline uint32_t gnp_add32(gnp_atomic32 *a, uint32_t x)
{
    GNP_POINT();
    return atomic_fetch_add_explicit(&a->v, x, memory_order_acq_rel);
}
static inline uint32_t gnp_sub32(gnp_atomic32 *a, uint32_t x)
{
    GNP_POINT();
    return atomic_fetch_sub_explicit(&a->v, x, memory_order_acq_rel);
}
static inline uint32_t gnp_swap32(gnp_atomic32 *a, uint32_t x)
{
    GNP_POINT();
    return atomic_exchange_explicit(&a->v, x, memory_order_acq_rel);
}
static inline int gnp_cas32(gnp_atomic32 *a, uint32_t *expected, uint32_t x)
{
    GNP_POINT();
    return atomic_compare_exchange_strong_explicit(&a->v, expected, x, memory_order_acq_rel,
                                                   memory_order_acquire);
}

static inline uint64_t gnp_load64(const gnp_atomic64 *a)
{
    GNP_POINT();
    return atomic_load_explicit(&a->v, memory_order_acquire);
}
static inline void gnp_store64(gnp_atomic64 *a, uint64_t x)
{
    GNP_POINT();
    atomic_store_explicit(&a->v, x, memory_order_release);
}
static inline uint64_t gnp_load64_relaxed(const gnp_atomic64 *a)
{
    GNP_POINT_RELAXED();
    return atomic_load_explicit(&a->v, memory_order_relaxed);
}
static inline void gnp_store64_relaxed(gnp_atomic64 *a, uint64_t x)
{
    GNP_POINT_RELAXED();
    atomic_store_explicit(&a->v, x, memory_order_relaxed);
}
static inline uint64_t gnp_add64(gnp_atomic64 *a, uint64_t x)
{
    GNP_POINT();
    return atomic_fetch_add_explicit(&a->v, x, memory_order_acq_rel);
}
static inline uint64_t gnp_sub64(gnp_atomic64 *a, uint64_t x)
{
    GNP_POINT();
    return atomic_fetch_sub_explicit(&a->v, x, memory_order_acq_rel);
}
static inline int gnp_cas64(gnp_atomic64 *a, uint64_t *expected, uint64_t x)
{
    GNP_POINT();
    return atomic_compare_exchange_strong_explicit(&a->v, expected, x, memory_order_acq_rel,
                                                   memory_order_acquire);
}

static inline void *gnp_load_ptr(const gnp_atomic_ptr *a)
{
    GNP_POINT();
    return atomic_load_explicit(&a->v, memory_order_acquire);
}
static inline void gnp_store_ptr(gnp_atomic_ptr *a, void *p)
{
    GNP_POINT();
    atomic_store_explicit(&a->v, p, memory_order_release);
}
static inline void *gnp_swap_ptr(gnp_atomic_ptr *a, void *p)
{
    GNP_POINT();
    return atomic_exchange_explicit(&a->v, p, memory_order_acq_rel);
}
static inline int gnp_cas_ptr(gnp_atomic_ptr *a, void **expected, void *p)
{
    GNP_POINT();
    return atomic_compare_exchange_strong_explicit(&a->v, expected, p, memory_order_acq_rel,
                                                   memory_order_acquire);
}

#endif
#endif
