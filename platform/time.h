/* SPDX-License-Identifier: MIT */
#ifndef GNP_TIME_H
#define GNP_TIME_H

#include <stdint.h>

#define GNP_NEVER UINT64_MAX /* a deadline that does not come */

/* Monotonic time in nanoseconds from an arbitrary start, never 0, never back.  [any] */
uint64_t gnp_now(void);

/* Nanoseconds since 1970-01-01 UTC; may jump.  [any] */
uint64_t gnp_wall(void);

/* CPU time that the calling thread has used, in nanoseconds; 0 if unknown.  [any] */
uint64_t gnp_thread_cpu(void);

/* Sleeps until the monotonic deadline; may wake a little late, never early.  [any] */
void gnp_sleep_until(uint64_t deadline_ns);

#endif
