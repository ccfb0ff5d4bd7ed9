/* SPDX-License-Identifier: MIT */
#include "signal.h"

#include "engine.h"

#define SAME(name) ((int)GN_SIGNAL_##name == (int)GNP_SIGNAL_##name)
_Static_assert(SAME(HUP) && SAME(INT) && SAME(QUIT) && SAME(USR1) && SAME(USR2) && SAME(TERM) && SAME(CHLD) &&
                   SAME(WINCH),
               "the platform has the numbers of the public header");

static int known(gn_signal s)
{
    switch (s) {
    case GN_SIGNAL_HUP:
    case GN_SIGNAL_INT:
    case GN_SIGNAL_QUIT:
    case GN_SIGNAL_USR1:
    case GN_SIGNAL_USR2:
    case GN_SIGNAL_TERM:
    case GN_SIGNAL_CHLD:
    case GN_SIGNAL_WINCH:
        return 1;
    }
    return 0;
}

int gn_engine_on_signal(gn_engine *e, gn_signal s, gn_on_signal fn, void *arg)
{
    if (e == NULL || e->magic != GNI_ENGINE_MAGIC || fn == NULL || !known(s)) {
        return GN_EINVAL;
    }
    if (e->state != GNI_ENGINE_NEW) {
        return GN_EBUSY;
    }
    gni_signals *all = &e->signals;
    unsigned i = 0;
    while (i < all->count && all->entry[i].signal != s) {
        i++;
    }
    if (i == all->count) {
        int rc = gnp_signal_claim((int)s);
        if (rc != GNP_OK) {
            return rc;
        }
        all->count++; /* at most as many as there are signals */
    }
    all->entry[i].signal = s;
    all->entry[i].fn = fn;
    all->entry[i].arg = arg;
    return GN_OK;
}

void gni_signals_route(const gni_signals *s, gnp_poller *p)
{
    for (unsigned i = 0; i < s->count; i++) {
        gnp_signal_route((int)s->entry[i].signal, p);
    }
}

void gni_signals_run(const gni_signals *s, gn_engine *e)
{
    for (unsigned i = 0; i < s->count; i++) {
        const gni_signal_entry *one = &s->entry[i];
        if (gnp_signal_came((int)one->signal)) {
            if (e->loops[0]->watched) { /* this one */
                gni_busy_begin(&e->loops[0]->busy, GN_HANDLE_NONE);
            }
            one->fn(e, one->signal, one->arg);
        }
    }
}

void gni_signals_release(gni_signals *s)
{
    while (s->count > 0) {
        gnp_signal_disclaim((int)s->entry[--s->count].signal);
    }
}
