/* SPDX-License-Identifier: MIT */
/*
 * Counters of one loop.  Only the loop's thread writes them, others may read: a relaxed load and
 * store, which is a plain addition on every machine with 64-bit stores.
 */
#ifndef GNI_STATS_H
#define GNI_STATS_H

#include "../platform/atomic.h"

typedef struct gni_stats {
    gnp_atomic64 accepted, dialed, adopted, closed, refused, timeouts, errors, migrated;
    gnp_atomic64 bytes_in, bytes_out, datagrams_in, datagrams_out, datagrams_lost;
    gnp_atomic64 reads, writes, turns, tasks, timers, stalls;
} gni_stats;

static inline void gni_count(gnp_atomic64 *counter, uint64_t n)
{
    gnp_store64_relaxed(counter, gnp_load64_relaxed(counter) + n);
}

#endif
