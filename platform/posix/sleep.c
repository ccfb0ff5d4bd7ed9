/* SPDX-License-Identifier: MIT */
/* Sleep until a moment of the monotonic clock. */
#include "../time.h"

#include <errno.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void gnp_sleep_until(uint64_t deadline_ns)
{
    struct timespec ts;

    /* 68 years at most in one call: time_t may have 32 bits, and GNP_NEVER has more. */
    uint64_t s = deadline_ns / NS_PER_S;
    ts.tv_sec = (time_t)(s < INT32_MAX ? s : INT32_MAX);
    ts.tv_nsec = (long)(deadline_ns % NS_PER_S);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}
