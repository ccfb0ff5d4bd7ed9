/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include "engine.h"
#include "loop.h"

/* While strained, another loop may be the one that gives bytes back: look again so often. */
#define STRAIN_LOOK_NS (UINT64_C(10) * 1000 * 1000)

static uint64_t kib(uint64_t bytes)
{
    return (bytes >> 10) + ((bytes & 1023) != 0);
}

/* held of max, in KiB, leaves no room for n more; 0: no limit. */
static int over(uint64_t held, uint64_t max, uint64_t n)
{
    return max != 0 && (n > max || held > max - n);
}

static uint64_t engine_held(const gn_engine *e)
{
    return e->options.engine_bytes_max != 0 ? gnp_load64_relaxed(&e->held) : 0;
}

int gni_budget_allows(const gn_loop *l, size_t n)
{
    const gn_options *o = &l->engine->options;
    if (!l->budgeted) {
        return 1;
    }
    return !over(l->held, kib(o->loop_bytes_max), kib(n)) &&
           !over(engine_held(l->engine), kib(o->engine_bytes_max), kib(n));
}

/* Those that wait because of the budget, or should, look at it anew. */
static void look_anew(gn_loop *l)
{
    uint32_t i = 0;
    gn_conn *c;
    while ((c = gni_conntab_each(&l->conns, &i)) != NULL) {
        if ((c->flags & GNI_F_HELD) != 0 && c->state == GNI_CONN_OPEN) {
            gni_conn_mark_dirty(c);
            if ((c->flags & GNI_F_SINK) != 0) {
                gni_conn_mark_dirty(c->more->pipe_from);
            }
        }
    }
}

static int relieved(const gn_loop *l)
{
    const gn_options *o = &l->engine->options;
    uint64_t loop_max = kib(o->loop_bytes_max);
    uint64_t engine_max = kib(o->engine_bytes_max);
    return !over(l->held, loop_max - loop_max / 8, 0) &&
           !over(engine_held(l->engine), engine_max - engine_max / 8, 0);
}

static void strain_end(gn_loop *l)
{
    l->strained = 0;
    gni_timer_cancel(&l->wheel, &l->strain_timer);
    if (gnp_sub32(&l->engine->strained, 1) == 1) {
        gni_engine_room(l->engine);
    }
    look_anew(l);
}

static void strain_look(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    if (relieved(l)) {
        strain_end(l);
    } else {
        gni_timer_set(&l->wheel, t, l->now + STRAIN_LOOK_NS);
    }
}

static void strain_start(gn_loop *l)
{
    l->strained = 1;
    gnp_add32(&l->engine->strained, 1);
    gni_timer_set(&l->wheel, &l->strain_timer, l->now + STRAIN_LOOK_NS);
    look_anew(l);
}

void gni_budget_init(gn_loop *l)
{
    const gn_options *o = &l->engine->options;
    l->strain_timer.fn = strain_look;
    l->budgeted = o->loop_bytes_max != 0 || o->engine_bytes_max != 0;
}

void gni_budget_end(gn_loop *l)
{
    if (l->strained) {
        strain_end(l);
    }
}

void gni_budget_update(gn_conn *c)
{
    gn_loop *l = c->loop;
    uint64_t now = kib((uint64_t)c->u.out.bytes + c->inbound.cap);
    uint32_t held = now < UINT32_MAX ? (uint32_t)now : UINT32_MAX;
    if (held == c->held) {
        return;
    }
    uint64_t change = (uint64_t)held - c->held; /* modulo 2^64 when it is less */
    c->held = held;
    c->flags = held != 0 ? c->flags | GNI_F_HELD : c->flags & ~(uint32_t)GNI_F_HELD;
    l->held += change;
    gnp_store64_relaxed(&l->held_shared, l->held);
    if (l->engine->options.engine_bytes_max != 0) {
        gnp_add64(&l->engine->held, change);
    }
    if (!l->strained && !gni_budget_allows(l, 1)) {
        strain_start(l);
    } else if (l->strained && relieved(l)) {
        strain_end(l);
    }
}
