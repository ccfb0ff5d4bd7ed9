/* SPDX-License-Identifier: MIT */
/* The public verbs of listening. */
#include <string.h>

#include "addr.h"
#include "engine.h"
#include "listener.h"
#include "loop.h"
#include "options.h"

/* ----------------------------------------------------------------- making */

static int listeners_grow(gn_engine *e)
{
    if (e->nlisteners == GNI_NO_LISTENER) {
        return GN_ELIMIT;
    }
    if (e->nlisteners < e->cap_listeners) {
        return GN_OK;
    }
    unsigned cap = e->cap_listeners == 0 ? 4 : e->cap_listeners * 2;
    gni_listener **p = gnp_realloc(e->listeners, e->cap_listeners * sizeof *p, cap * sizeof *p);
    if (p == NULL) {
        return GN_ENOMEM;
    }
    e->listeners = p;
    e->cap_listeners = cap;
    return GN_OK;
}

/* 1 in every state but the first: the loops have the sockets, or soon will. */
static int has_started(gn_engine *e)
{
    gnp_mutex_lock(&e->lock);
    int started = e->state != GNI_ENGINE_NEW;
    gnp_mutex_unlock(&e->lock);
    return started;
}

static int prepare(gn_engine *e, const gn_listen_options *options, gn_listen_options *lo)
{
    if (has_started(e)) {
        return GN_EBUSY;
    }
    int rc = gni_listen_options_take(lo, options);
    return rc == GN_OK ? listeners_grow(e) : rc;
}

static void take(gn_engine *e, gni_listener *ln)
{
    if (ln->handler == NULL) {
        ln->handler = e->handler;
        ln->user = e->user;
    }
    ln->index = e->nlisteners;
    e->guarded |= ln->gate.max != 0;
    e->listeners[e->nlisteners++] = ln;
}

int gn_engine_listen_with(gn_engine *e, const char *addr, const gn_listen_options *options)
{
    if (!gni_engine_valid(e) || addr == NULL) {
        return GN_EINVAL;
    }
    gn_listen_options lo;
    gni_listener *ln = NULL;
    int rc = prepare(e, options, &lo);
    if (rc == GN_OK) {
        rc = gni_listener_open(&ln, addr, &e->options, &lo, e->nloops);
    }
    if (rc == GN_OK) {
        take(e, ln);
    }
    return rc;
}

int gn_engine_listen(gn_engine *e, const char *addr)
{
    return gn_engine_listen_with(e, addr, NULL);
}

int gn_engine_listen_descriptor(gn_engine *e, gn_descriptor d, const gn_listen_options *options)
{
    if (!gni_engine_valid(e) || d < 0) {
        return GN_EINVAL;
    }
    gn_listen_options lo;
    gni_listener *ln = NULL;
    int rc = prepare(e, options, &lo);
    if (rc == GN_OK) {
        rc = gni_listener_import(&ln, d, &e->options, &lo);
    }
    if (rc == GN_OK) {
        take(e, ln);
    }
    return rc;
}

/* ---------------------------------------------------------------- looking */

unsigned gn_engine_addr_count(const gn_engine *e)
{
    return gni_engine_valid(e) ? e->nlisteners : 0;
}

int gn_engine_addr(const gn_engine *e, unsigned i, gn_addr *out)
{
    if (!gni_engine_valid(e) || i >= e->nlisteners || out == NULL) {
        return GN_EINVAL;
    }
    gni_addr_set(out, &e->listeners[i]->addr);
    return GN_OK;
}

int gn_engine_url(const gn_engine *e, unsigned i, char *out, size_t cap)
{
    if (!gni_engine_valid(e) || i >= e->nlisteners || (out == NULL && cap > 0)) {
        return GN_EINVAL;
    }
    return gni_endpoint_format(e->listeners[i]->scheme, &e->listeners[i]->addr, out, cap);
}

int gn_engine_listener_dup(const gn_engine *e, unsigned i, gn_descriptor *out)
{
    if (!gni_engine_valid(e) || i >= e->nlisteners || out == NULL) {
        return GN_EINVAL;
    }
    *out = -1;
    gnp_mutex *lock = (gnp_mutex *)&e->lock; /* a look, but the socket must stay open for it */
    gnp_mutex_lock(lock);
    const gnp_sock *s = &e->listeners[i]->first;
    int rc = s->os == -1 ? GN_ECLOSED : gnp_sock_dup(s, out);
    gnp_mutex_unlock(lock);
    return rc;
}

/* ---------------------------------------------------------- pause, resume */

/* Before the loops run they look for themselves when they start; then each is told. */
static int pause_set(gn_engine *e, unsigned i, uint32_t paused)
{
    if (!gni_engine_valid(e) || i >= e->nlisteners) {
        return GN_EINVAL;
    }
    gnp_mutex_lock(&e->lock);
    int ended = e->state == GNI_ENGINE_JOINED || gni_engine_stopping(e);
    if (!ended) {
        gnp_store32(&e->listeners[i]->paused, paused);
    }
    for (unsigned k = 0; !ended && e->state == GNI_ENGINE_RUNNING && k < e->loops_made; k++) {
        if (e->loops[k]->acceptor_count > 0) {
            gni_acceptors_kick(e->loops[k]);
        }
    }
    gnp_mutex_unlock(&e->lock);
    return ended ? GN_ECLOSED : GN_OK;
}

int gn_engine_pause_accept(gn_engine *e, unsigned i)
{
    return pause_set(e, i, 1);
}

int gn_engine_resume_accept(gn_engine *e, unsigned i)
{
    return pause_set(e, i, 0);
}
