/* SPDX-License-Identifier: MIT */
/* Descriptors and what they stand for. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define FIRST 3    /* as if standard input, output and error were open */
#define MOST 4096

static sim_file *table[MOST];

sim_file *gnp_sim_file_new(int kind, int family, int ours)
{
    sim_file *f = calloc(1, sizeof(*f));

    if (f == NULL)
        abort();
    f->kind = (uint8_t)kind;
    f->family = (uint8_t)family;
    f->refs = 1;
    f->ours = ours;
    f->local.family = f->peer.family = (uint8_t)family;
    return f;
}

void gnp_sim_file_unref(sim_file *f, int reset)
{
    if (--f->refs > 0)
        return;
    if (f->kind == SIM_STREAM)
        gnp_sim_stream_close(f, reset);
    else if (f->kind == SIM_LISTENER)
        gnp_sim_listener_close(f);
    else if (f->kind == SIM_DGRAM)
        gnp_sim_dgram_close(f);
    if (f->watches != NULL)
        gnp_sim_fail("a socket was closed while it is attached to a poller");
    free(f->queue);
    free(f);
}

int gnp_sim_open(sim_file *f, intptr_t *os)
{
    intptr_t i;

    if (sim.knobs.descriptors != 0 && sim.descriptors >= sim.knobs.descriptors) {
        sim.faults++;
        return GNP_EMFILE;
    }
    for (i = FIRST; i < MOST; i++) {
        if (table[i] == NULL) {
            table[i] = f;
            sim.descriptors++;
            *os = i;
            return GNP_OK;
        }
    }
    return GNP_EMFILE;
}

sim_file *gnp_sim_look(intptr_t os)
{
    return os >= FIRST && os < MOST ? table[os] : NULL;
}

sim_file *gnp_sim_get(intptr_t os)
{
    sim_file *f = gnp_sim_look(os);

    if (f == NULL)
        gnp_sim_fail("descriptor %lld is not open", (long long)os);
    return f;
}

void gnp_sim_shut(intptr_t os, int reset)
{
    sim_file *f = gnp_sim_get(os);

    table[os] = NULL;
    sim.descriptors--;
    gnp_sim_file_unref(f, reset);
}

unsigned gnp_sim_descriptors(void)
{
    return sim.descriptors;
}

void gnp_sim_end_files(void)
{
    intptr_t i;

    for (i = FIRST; i < MOST; i++) {
        if (table[i] != NULL)
            gnp_sim_fail("descriptor %lld (kind %d) was not closed; %u are open", (long long)i,
                         table[i]->kind, sim.descriptors);
    }
}

void gnp_sim_kick(sim_file *f)
{
    sim_watch *w;

    for (w = f->watches; w != NULL; w = w->next)
        gnp_sim_wake(w->poller);
    gnp_sim_wake(f); /* a peer's thread */
}
