/* SPDX-License-Identifier: MIT */
/* Condition variables that wait by the monotonic clock.  A file of its own, since some systems
 * have no pthread_condattr_setclock. */
#include "../thread.h"
#include "../time.h"
#include "posix.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

_Static_assert(sizeof(pthread_cond_t) <= sizeof(gnp_cond), "pthread_cond_t fits");
_Static_assert(_Alignof(pthread_cond_t) <= _Alignof(gnp_cond), "pthread_cond_t is aligned");

static pthread_cond_t *cond_of(gnp_cond *c)
{
    return (pthread_cond_t *)(void *)c;
}

int gnp_cond_init(gnp_cond *c)
{
    pthread_condattr_t attr;
    int r = pthread_condattr_init(&attr);

    if (r != 0)
        return gnp_px_fail(r);
    r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (r == 0)
        r = pthread_cond_init(cond_of(c), &attr);
    pthread_condattr_destroy(&attr);
    return r == 0 ? GNP_OK : gnp_px_fail(r);
}

void gnp_cond_destroy(gnp_cond *c)
{
    pthread_cond_destroy(cond_of(c));
}

void gnp_cond_signal(gnp_cond *c)
{
    pthread_cond_signal(cond_of(c));
}

void gnp_cond_broadcast(gnp_cond *c)
{
    pthread_cond_broadcast(cond_of(c));
}

void gnp_cond_wait(gnp_cond *c, gnp_mutex *m)
{
    pthread_cond_wait(cond_of(c), (pthread_mutex_t *)(void *)m);
}

int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns)
{
    uint64_t s = deadline_ns / NS_PER_S;
    struct timespec ts;

    if (deadline_ns == GNP_NEVER) {
        gnp_cond_wait(c, m);
        return GNP_OK;
    }
    ts.tv_sec = (time_t)(s < INT32_MAX ? s : INT32_MAX); /* time_t may have 32 bits */
    ts.tv_nsec = (long)(deadline_ns % NS_PER_S);
    return pthread_cond_timedwait(cond_of(c), (pthread_mutex_t *)(void *)m, &ts) == ETIMEDOUT ? GNP_ETIMEDOUT
                                                                                             : GNP_OK;
}
