/* SPDX-License-Identifier: MIT */
/* Where semaphores must have names: macOS, whose sem_init always fails. */
#include "../sim/world.h"

#include <pthread.h>
#include <stdlib.h>

struct gnp_sim_baton {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int passed;
};

gnp_sim_baton *gnp_sim_baton_new(void)
{
    gnp_sim_baton *b = calloc(1, sizeof(*b));

    if (b == NULL || pthread_mutex_init(&b->lock, NULL) != 0 || pthread_cond_init(&b->changed, NULL) != 0)
        abort();
    return b;
}

void gnp_sim_baton_free(gnp_sim_baton *b)
{
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

/* The taker may free b at once, as soon as it has the lock: nothing of b is touched after the unlock. */
void gnp_sim_baton_pass(gnp_sim_baton *b)
{
    (void)pthread_mutex_lock(&b->lock);
    b->passed = 1;
    (void)pthread_cond_signal(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
}

void gnp_sim_baton_take(gnp_sim_baton *b)
{
    (void)pthread_mutex_lock(&b->lock);
    while (!b->passed)
        (void)pthread_cond_wait(&b->changed, &b->lock);
    b->passed = 0;
    (void)pthread_mutex_unlock(&b->lock);
}
