/* SPDX-License-Identifier: MIT */
#include "../time.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* By the clock that waits are measured with.  On macOS that one does not go on while the machine sleeps, but
 * CLOCK_MONOTONIC does; it has only microseconds besides (Apple's clock_gettime(3)). */
#ifdef CLOCK_UPTIME_RAW
#  define MONOTONIC CLOCK_UPTIME_RAW
#else
#  define MONOTONIC CLOCK_MONOTONIC
#endif

uint64_t gnp_now(void)
{
    uint64_t t = read_clock(MONOTONIC);

    return t != 0 ? t : 1;
}

uint64_t gnp_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t gnp_thread_cpu(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
