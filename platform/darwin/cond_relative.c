/* SPDX-License-Identifier: MIT */
/*
 * Condition variables of a system without pthread_condattr_setclock: by Apple's pthread.h it has
 * pthread_cond_timedwait_relative_np instead, which no change of the wall clock can disturb.
 */
#include "../posix/posix.h"
#include "../thread.h"
#include "../time.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

int gnp_cond_init(gnp_cond *c)
{
    int r = pthread_cond_init((pthread_cond_t *)(void *)c, NULL);

    return r == 0 ? GNP_OK : gnp_px_fail(r);
}

int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns)
{
    uint64_t now, left;
    struct timespec ts;
    int r;

    if (deadline_ns == GNP_NEVER) {
        gnp_cond_wait(c, m);
        return GNP_OK;
    }
    now = gnp_now();
    left = deadline_ns > now ? deadline_ns - now : 0;
    ts.tv_sec = (time_t)(left / NS_PER_S); /* 64 bits on every Mac that is left */
    ts.tv_nsec = (long)(left % NS_PER_S);
    r = pthread_cond_timedwait_relative_np((pthread_cond_t *)(void *)c, (pthread_mutex_t *)(void *)m, &ts);
    return r == ETIMEDOUT ? GNP_ETIMEDOUT : GNP_OK;
}
