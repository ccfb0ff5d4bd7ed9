/* SPDX-License-Identifier: MIT */
/*
 * Finds callbacks that block their loop.  A thread of the engine, which exists only if the options ask for
 * it, looks at all loops a few times within stall_ns: one that has begun nothing new since is stalled.
 */
#ifndef GNI_STALL_H
#define GNI_STALL_H

#include "../include/gannet.h"
#include "../platform/platform.h"

/* What a loop shows: written on its thread, without a clock or a locked instruction. */
typedef struct gni_busy {
    gnp_atomic64 turn; /* odd: it runs callbacks; changes with each thing that it begins */
    gnp_atomic64 conn; /* handle of the connection whose callback runs, or none */
} gni_busy;

static inline void gni_busy_begin(gni_busy *b, gn_handle conn)
{
    gnp_store64_relaxed(&b->conn, conn);
    gnp_store64(&b->turn, (gnp_load64_relaxed(&b->turn) + 2) | 1);
}

static inline void gni_busy_end(gni_busy *b)
{
    gnp_store64(&b->turn, (gnp_load64_relaxed(&b->turn) + 1) & ~UINT64_C(1));
}

/* What the watcher remembers of a loop. */
typedef struct gni_stall_view {
    uint64_t turn;  /* as it was last seen */
    uint64_t since; /* when that was new */
    int told;
} gni_stall_view;

typedef struct gni_stall {
    gni_stall_view *views; /* one a loop */
    unsigned count;
    gnp_thread thread;
    gnp_mutex lock;
    gnp_cond cond;
    int stop; /* under the lock */
} gni_stall;

/* Watches the loops of an engine, which are made and do not run yet; nothing if the options do not ask for
 * it. */
int gni_stall_start(gn_engine *e);

/* Ends that, promptly. */
void gni_stall_stop(gn_engine *e);

/* One look at a loop: for how long it has been stalled if that is to be told now, else 0. */
uint64_t gni_stall_look(gni_stall_view *v, uint64_t turn, uint64_t now, uint64_t stall_ns);

#endif
