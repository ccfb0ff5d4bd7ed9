/* SPDX-License-Identifier: MIT */
/* Condition variables; how they wait by the monotonic clock is in cond_clock.c or in a file of the system. */
#include "../thread.h"

#include <pthread.h>

_Static_assert(sizeof(pthread_cond_t) <= sizeof(gnp_cond), "pthread_cond_t fits");
_Static_assert(_Alignof(pthread_cond_t) <= _Alignof(gnp_cond), "pthread_cond_t is aligned");

static pthread_cond_t *cond_of(gnp_cond *c)
{
    return (pthread_cond_t *)(void *)c;
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
