/* SPDX-License-Identifier: MIT */
#include "../sim/world.h"

#include <semaphore.h>
#include <stdlib.h>

struct gnp_sim_baton {
    sem_t passed;
};

gnp_sim_baton *gnp_sim_baton_new(void)
{
    gnp_sim_baton *b = malloc(sizeof(*b));

    if (b == NULL || sem_init(&b->passed, 0, 0) != 0)
        abort();
    return b;
}

void gnp_sim_baton_free(gnp_sim_baton *b)
{
    (void)sem_destroy(&b->passed);
    free(b);
}

void gnp_sim_baton_pass(gnp_sim_baton *b)
{
    (void)sem_post(&b->passed);
}

void gnp_sim_baton_take(gnp_sim_baton *b)
{
    while (sem_wait(&b->passed) != 0)
        ;
}
