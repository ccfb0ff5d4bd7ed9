/* SPDX-License-Identifier: MIT */
/* Work on a pool, the end of it on a loop: one allocation that travels there and back. */
#include "conn.h"
#include "loop.h"
#include "migrate.h"
#include "pool.h"

typedef struct offload {
    gni_task task; /* first: the mailbox knows only this */
    gn_handle h;
    gn_handle to; /* where it is now, if it has migrated */
    void (*work)(void *arg);
    gn_done done;
    void *arg;
} offload;

/* done may offload again: the memory goes first. */
static void finish(offload *o, int status)
{
    const offload was = *o;
    gnp_free(o, sizeof *o);
    if (was.done != NULL)
        was.done(was.h, status, was.arg);
}

static void on_loop(gni_task *t, int status)
{
    offload *o = (offload *)(void *)t;
    gn_conn *c = NULL;

    if (status == GN_OK && !gni_migrate_follow(&o->to, t, &c))
        return; /* it follows the connection and comes again */
    if (status != GN_OK || (c == NULL && !gni_loop_is(gn_loop_current(), o->to))) {
        finish(o, GN_ECLOSED);
        return;
    }
    o->h = o->to; /* the one that gn_conn_from_handle knows here */
    finish(o, GN_OK);
}

static void on_worker(int status, void *arg)
{
    offload *o = arg;

    if (status != GN_OK) {
        finish(o, status);
        return;
    }
    o->work(o->arg);
    o->task.run = on_loop;
    if (gni_loop_post(o->h, &o->task) != GN_OK)
        finish(o, GN_ECLOSED);
}

int gn_offload(gn_pool *p, gn_handle h, void (*work)(void *arg), gn_done done, void *arg)
{
    gni_pooltask t;
    offload *o;
    int rc;

    if (!gni_pool_valid(p) || work == NULL)
        return GN_EINVAL;
    o = gnp_alloc(sizeof *o);
    if (o == NULL)
        return GN_ENOMEM;
    o->h = h;
    o->to = h;
    o->work = work;
    o->done = done;
    o->arg = arg;
    t.fn = on_worker;
    t.arg = o;
    rc = gni_pool_put(p, t, NULL, 0, 0);
    if (rc != GN_OK)
        gnp_free(o, sizeof *o);
    return rc;
}
