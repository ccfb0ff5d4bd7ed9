/* SPDX-License-Identifier: MIT */
/* Operations that wait for their time on the loop. */
#include <string.h>

#include "loop.h"
#include "post.h"

/* What stands in the data of the operation.  The timers of the wheel are the list of all that wait. */
typedef struct scheduled {
    gni_timer timer; /* first: the wheel knows only this */
    gni_op op;
    uint64_t at;
} scheduled;

_Static_assert(sizeof(gni_ask) + sizeof(scheduled) <= 2 * GNI_OP_LEAST, "a million of them are small blocks");

static gni_ask *ask_of(scheduled *s)
{
    return (gni_ask *)(void *)((unsigned char *)s - offsetof(gni_ask, data));
}

static void due(gni_timer *t, void *loop)
{
    gn_loop *l = loop;
    scheduled *s = (scheduled *)(void *)t;
    gni_ops_remove(&l->ops, &s->op);
    gni_execute_now(ask_of(s), GN_OK);
}

static void cancel(gni_op *op)
{
    gn_loop *l = gn_loop_current();
    scheduled *s = (scheduled *)(void *)((unsigned char *)op - offsetof(scheduled, op));
    gni_ops_remove(&l->ops, op);
    gni_timer_cancel(&l->wheel, &s->timer);
    gni_ask_finish(ask_of(s), GN_ECANCELED);
}

/* It waits here, whatever becomes of the connection: its token names this loop. */
static void schedule_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_loop *l = gn_loop_current();
    scheduled *s = (scheduled *)(void *)o->data;
    gni_ask_arrived(o);
    if (status != GN_OK) {
        gni_ask_finish(o, GN_ECLOSED);
        return;
    }
    if (s->op.token != GN_OP_NONE) {
        gni_ops_add(&l->ops, &s->op, s->op.token);
    }
    gni_timer_set(&l->wheel, &s->timer, s->at);
}

/* From now on the loop's clock counts, not that of its turn: an operation is never early. */
static uint64_t time_after(uint64_t delay_ns)
{
    uint64_t now = gnp_now();
    return delay_ns > GNP_NEVER - 1 - now ? GNP_NEVER - 1 : now + delay_ns;
}

int gn_schedule(gn_handle h, uint64_t delay_ns, gn_done fn, void *arg, gn_op *op)
{
    gni_ask *o;
    if (op != NULL) {
        *op = GN_OP_NONE;
    }
    if (fn == NULL) {
        return GN_EINVAL;
    }
    int rc = gni_ask_make(&o, h, sizeof(scheduled), fn, arg);
    if (rc != GN_OK) {
        return rc;
    }
    scheduled *s = (scheduled *)(void *)o->data;
    memset(s, 0, sizeof *s);
    s->timer.fn = due;
    s->op.cancel = cancel;
    s->at = time_after(delay_ns);
    if (op != NULL) { /* before the post: fn may run, and look for it, before we return */
        *op = s->op.token = gni_op_token(h);
    }
    rc = gni_ask_post(o, schedule_run, GNI_HIGH);
    if (rc != GN_OK && op != NULL) {
        *op = GN_OP_NONE;
    }
    return rc;
}

void gni_schedule_end(gn_loop *l)
{
    gni_timer *t;
    while ((t = gni_wheel_pop(&l->wheel)) != NULL) {
        if (t->fn == due) {
            scheduled *s = (scheduled *)(void *)t;
            gni_ops_remove(&l->ops, &s->op);
            gni_ask_finish(ask_of(s), GN_ECLOSED);
        }
    }
}
