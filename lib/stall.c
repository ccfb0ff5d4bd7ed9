/* SPDX-License-Identifier: MIT */
#include "stall.h"

#include "engine.h"
#include "log.h"

/* A stall is seen at most one look after it began, and told at most one look after it is one. */
#define LOOKS 4u
#define LOOK_MIN_NS (UINT64_C(1) * 1000 * 1000) /* a thread that wakes more often costs more than it tells */

uint64_t gni_stall_look(gni_stall_view *v, uint64_t turn, uint64_t now, uint64_t stall_ns)
{
    if (turn != v->turn) {
        v->turn = turn;
        v->since = now;
        v->told = 0;
        return 0;
    }
    if ((turn & 1) == 0 || v->told || now - v->since <= stall_ns) {
        return 0;
    }
    v->told = 1;
    return now - v->since;
}

static void tell(gn_engine *e, gn_loop *l, gn_handle conn, uint64_t ns)
{
    gni_count(&l->stats.stalls, 1); /* nobody else writes this one */
    if (e->handler->on_stall != NULL) {
        e->handler->on_stall(e, l->index, conn, ns, e->user);
        return;
    }
    gni_log(GN_LOG_WARN, "loop %u: a callback of connection %016llx has run for %llu ms", l->index,
            (unsigned long long)conn, (unsigned long long)(ns / 1000000));
}

static void look(gn_engine *e, gni_stall *s)
{
    uint64_t now = gnp_now();
    for (unsigned i = 0; i < s->count; i++) {
        gn_loop *l = e->loops[i];
        uint64_t turn = gnp_load64(&l->busy.turn);
        gn_handle conn = gnp_load64_relaxed(&l->busy.conn);
        uint64_t ns = gni_stall_look(&s->views[i], turn, now, e->options.stall_ns);
        if (ns > 0) {
            tell(e, l, conn, ns);
        }
    }
}

static void watch(void *arg)
{
    gn_engine *e = arg;
    gni_stall *s = e->stall;
    uint64_t every = e->options.stall_ns / LOOKS;
    every = every < LOOK_MIN_NS ? LOOK_MIN_NS : every;
    gnp_mutex_lock(&s->lock);
    while (!s->stop) {
        uint64_t until = gnp_now() + every; /* a quarter of any time does not overflow */
        while (!s->stop && gnp_cond_wait_until(&s->cond, &s->lock, until) != GNP_ETIMEDOUT) {
            /* woken to stop, or for nothing */
        }
        gnp_mutex_unlock(&s->lock);
        look(e, s);
        gnp_mutex_lock(&s->lock);
    }
    gnp_mutex_unlock(&s->lock);
}

static void stall_free(gni_stall *s)
{
    gnp_free(s->views, s->count * sizeof *s->views);
    gnp_free(s, sizeof *s);
}

static int watcher_start(gn_engine *e, gni_stall *s)
{
    int rc = gnp_mutex_init(&s->lock);
    if (rc != GNP_OK) {
        return rc;
    }
    rc = gnp_cond_init(&s->cond);
    if (rc == GNP_OK) {
        rc = gnp_thread_start(&s->thread, watch, e, "gn-stall");
        if (rc == GNP_OK) {
            return GN_OK;
        }
        gnp_cond_destroy(&s->cond);
    }
    gnp_mutex_destroy(&s->lock);
    return rc;
}

int gni_stall_start(gn_engine *e)
{
    if (e->options.stall_ns == 0) {
        return GN_OK;
    }
    gni_stall *s = gnp_zalloc(sizeof *s);
    if (s == NULL) {
        return GN_ENOMEM;
    }
    s->count = e->loops_made;
    s->views = gnp_zalloc(s->count * sizeof *s->views);
    e->stall = s;
    int rc = s->views == NULL ? GN_ENOMEM : watcher_start(e, s);
    if (rc != GN_OK) {
        e->stall = NULL;
        stall_free(s);
        return rc;
    }
    for (unsigned i = 0; i < s->count; i++) {
        e->loops[i]->watched = 1;
    }
    return GN_OK;
}

void gni_stall_stop(gn_engine *e)
{
    gni_stall *s = e->stall;
    if (s == NULL) {
        return;
    }
    gnp_mutex_lock(&s->lock);
    s->stop = 1;
    gnp_cond_broadcast(&s->cond);
    gnp_mutex_unlock(&s->lock);
    gnp_thread_join(&s->thread);
    gnp_cond_destroy(&s->cond);
    gnp_mutex_destroy(&s->lock);
    e->stall = NULL;
    stall_free(s);
}
