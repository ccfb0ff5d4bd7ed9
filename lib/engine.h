/* SPDX-License-Identifier: MIT */
#ifndef GNI_ENGINE_H
#define GNI_ENGINE_H

#include "../include/gannet.h"
#include "../platform/platform.h"
#include "listener.h"
#include "loop.h"
#include "signal.h"

#define GNI_ENGINE_MAGIC 0x676e656eu /* "gnen" */

enum { GNI_ENGINE_NEW, GNI_ENGINE_STARTING, GNI_ENGINE_RUNNING, GNI_ENGINE_JOINED };

struct gn_engine {
    uint32_t magic;
    unsigned nloops;
    gn_options options;
    const gn_handler *handler;
    void *user;
    gni_listener **listeners;
    unsigned nlisteners, cap_listeners;
    gn_loop **loops; /* nloops of them, then perhaps the acceptor */
    unsigned loops_made;
    gnp_atomic32 loops_shown; /* nloops once they are all made */
    gnp_atomic64 next; /* round robin */
    gnp_atomic64 held;     /* KiB of all loops; kept only if there is a limit to it */
    gnp_atomic32 strained; /* loops at a limit of bytes, see budget.h */
    gni_gate gate;     /* of conns_max */
    int guarded;       /* this gate or that of a listener counts */
    const gnp_atomic32 *loads[GN_MAX_LOOPS]; /* of the loops, for the balancer */
    gnp_mutex lock;    /* guards all below, and that a loop's poller lives while it is woken */
    gnp_cond cond;
    int state;
    unsigned ready;    /* loops that have started, well or not */
    int go;            /* 0: wait; 1: run; -1: give up */
    int joining;
    int holding; /* signals, from the start until the join */
    int error;         /* the first that ended a loop */
    gnp_atomic64 stop_at; /* drain deadline, UINT64_MAX: not stopping */
    const char *poller_name;
    gni_signals signals;
    gn_pool *resolver; /* NULL until the first name is dialled; guarded by lock */
    gni_stall *stall; /* NULL: nobody watches for stalls */
};

static inline int gni_engine_valid(const gn_engine *e)
{
    return e != NULL && e->magic == GNI_ENGINE_MAGIC;
}

/* A place for one connection more: GN_OK or GN_ELIMIT; and giving it back.  Without conns_max both are
 * free.  Every connection that was opened gives its place back when it ends (conn_end). */
static inline int gni_engine_conn_admit(gn_engine *e)
{
    return gni_gate_enter(&e->gate) ? GN_OK : GN_ELIMIT;
}

/* Acceptors that rest at a limit look again, on whatever loops they are.  [any] */
void gni_engine_room(gn_engine *e);

static inline void gni_engine_conn_leave(gn_engine *e)
{
    if (gni_gate_leave(&e->gate)) {
        gni_engine_room(e);
    }
}

/* 1 while newcomers are to meet options.overload for the bytes that are held.  Acceptors that wait look
 * again now and then, and at gni_engine_room. */
static inline int gni_engine_overloaded(const gn_engine *e)
{
    return gnp_load32(&e->strained) != 0;
}

/* Chooses the loop for an accepted connection. */
gn_loop *gni_engine_balance(gn_engine *e, const gnp_addr *peer);

/* 1 from gn_engine_stop on. */
static inline int gni_engine_stopping(const gn_engine *e)
{
    return gnp_load64(&e->stop_at) != GNP_NEVER;
}

/* A loop's start: reports, and waits for all the others.  Returns 1 to run, 0 to end. */
int gni_engine_loop_ready(gn_engine *e, gn_loop *l, int status);

/* A loop ends; after it the poller may be closed. */
void gni_engine_loop_ending(gn_engine *e, gn_loop *l, int error);

#endif
