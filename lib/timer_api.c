/* SPDX-License-Identifier: MIT */
/* Timers in the user's own memory. */
#include "loop.h"

typedef struct timer {
    gni_timer timer; /* first: the wheel knows only this */
    gn_timer_fn fn;
    void *arg;
    uint64_t period; /* 0: once */
    uint64_t due;    /* when it should fire, to keep the rhythm of a periodic one */
} timer;

_Static_assert(sizeof(timer) <= sizeof(gn_timer), "what a gn_timer holds fits in it");
_Static_assert(_Alignof(timer) <= _Alignof(gn_timer), "and may stand there");
_Static_assert(offsetof(timer, timer) == 0, "the wheel gives back the timer itself");

/* Saturates below GNP_NEVER, which means no timer. */
static uint64_t later(uint64_t at, uint64_t ns)
{
    return ns > GNP_NEVER - 1 - at ? GNP_NEVER - 1 : at + ns;
}

/* Set before the call, so that fn may stop, start and free it. */
static void fire(gni_timer *g, void *loop)
{
    gn_loop *l = loop;
    timer *t = (timer *)(void *)g;
    if (t->period != 0) {
        uint64_t missed = (l->now - t->due) / t->period; /* it is never early */
        t->due = later(later(t->due, missed * t->period), t->period);
        gni_timer_set(&l->wheel, &t->timer, t->due);
    }
    if (l->watched) {
        gni_busy_begin(&l->busy, GN_HANDLE_NONE);
    }
    t->fn(l, (gn_timer *)(void *)g, t->arg);
}

int gn_timer_start(gn_loop *l, gn_timer *t, uint64_t delay_ns, uint64_t period_ns, gn_timer_fn fn, void *arg)
{
    timer *own = (timer *)(void *)t;
    if (l == NULL || l->magic != GNI_LOOP_MAGIC || t == NULL || fn == NULL) {
        return GN_EINVAL;
    }
    own->timer.fn = fire;
    own->fn = fn;
    own->arg = arg;
    own->period = period_ns;
    own->due = later(l->now, delay_ns);
    gni_timer_set(&l->wheel, &own->timer, own->due);
    return GN_OK;
}

int gn_timer_stop(gn_loop *l, gn_timer *t)
{
    if (l == NULL || t == NULL || !gn_timer_running(t)) {
        return 0;
    }
    gni_timer_cancel(&l->wheel, &((timer *)(void *)t)->timer);
    return 1;
}

int gn_timer_running(const gn_timer *t)
{
    return t != NULL && gni_timer_is_set(&((const timer *)(const void *)t)->timer);
}
