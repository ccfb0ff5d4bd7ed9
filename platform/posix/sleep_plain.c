/* SPDX-License-Identifier: MIT */
/* Sleep where clock_nanosleep is missing: OpenBSD, macOS. */
#include "../time.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/* A signal may end the wait before its time, and what is left is rounded to the system's ticks. */
void gnp_sleep_until(uint64_t deadline_ns)
{
    uint64_t now, s;
    struct timespec ts;

    while ((now = gnp_now()) < deadline_ns) {
        s = (deadline_ns - now) / NS_PER_S;
        ts.tv_sec = (time_t)(s < INT32_MAX ? s : INT32_MAX); /* time_t may have 32 bits */
        ts.tv_nsec = (long)((deadline_ns - now) % NS_PER_S);
        nanosleep(&ts, NULL);
    }
}
