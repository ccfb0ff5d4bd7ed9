/* SPDX-License-Identifier: MIT */
/*
 * When the requests of an open loop are due: at even distances, whatever the server does.
 * Several threads share one schedule: thread i of n takes the requests i, i + n, i + 2n...
 */
#ifndef BENCH_SCHEDULE_H
#define BENCH_SCHEDULE_H

#include <stdint.h>

typedef struct schedule {
    uint64_t start_ns;
    double interval_ns; /* between two requests of this thread */
    double offset_ns;   /* of its first one */
} schedule;

static inline void schedule_init(schedule *s, uint64_t start_ns, double rate, unsigned thread,
                                 unsigned threads)
{
    s->start_ns = start_ns;
    s->interval_ns = 1e9 * (double)threads / rate;
    s->offset_ns = 1e9 * (double)thread / rate;
}

/* When request k of this thread is due.  Computed from k, so that rounding never adds up: a
 * double is exact to a nanosecond for 104 days. */
static inline uint64_t schedule_time(const schedule *s, uint64_t k)
{
    return s->start_ns + (uint64_t)(s->offset_ns + s->interval_ns * (double)k);
}

/* The first request of this thread that is due at ns or later. */
static inline uint64_t schedule_first(const schedule *s, uint64_t ns)
{
    double from = (double)(ns > s->start_ns ? ns - s->start_ns : 0) - s->offset_ns;
    uint64_t k = from > s->interval_ns ? (uint64_t)(from / s->interval_ns) - 1 : 0;

    while (schedule_time(s, k) < ns)
        k++;
    return k;
}

#endif
