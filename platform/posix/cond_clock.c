/* SPDX-License-Identifier: MIT */
/* Condition variables that wait by the monotonic clock. */
#include "../thread.h"
#include "../time.h"
#include "posix.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

int gnp_cond_init(gnp_cond *c)
{
    pthread_condattr_t attr;
    int r = pthread_condattr_init(&attr);

    if (r != 0)
        return gnp_px_fail(r);
    r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (r == 0)
        r = pthread_cond_init((pthread_cond_t *)(void *)c, &attr);
    pthread_condattr_destroy(&attr);
    return r == 0 ? GNP_OK : gnp_px_fail(r);
}

int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns)
{
    uint64_t s = deadline_ns / NS_PER_S;
    struct timespec ts;
    int r;

    if (deadline_ns == GNP_NEVER) {
        gnp_cond_wait(c, m);
        return GNP_OK;
    }
    ts.tv_sec = (time_t)(s < INT32_MAX ? s : INT32_MAX); /* time_t may have 32 bits */
    ts.tv_nsec = (long)(deadline_ns % NS_PER_S);
    r = pthread_cond_timedwait((pthread_cond_t *)(void *)c, (pthread_mutex_t *)(void *)m, &ts);
    return r == ETIMEDOUT ? GNP_ETIMEDOUT : GNP_OK;
}
