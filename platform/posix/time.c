/* SPDX-License-Identifier: MIT */
#include "../time.h"

#include <errno.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t gnp_now(void)
{
    uint64_t t = read_clock(CLOCK_MONOTONIC);

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
