/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "balance.h"
#include "log.h"
#include "memory.h"
#include "options.h"
#include "resolver.h"

/* ------------------------------------------------------------ make and free */

/* An option that names a poller is checked now, not when the loops start. */
static int poller_choose(gn_engine *e)
{
    const char *want = e->options.poller;
    if (want == NULL) {
        want = gnp_env("GANNET_POLLER");
    }
    if (want == NULL || *want == '\0') {
        e->poller_name = NULL;
        return GN_OK;
    }
    int rc = GN_ENOENT;
    const char *name;
    for (unsigned i = 0; (name = gnp_poller_name(i, NULL)) != NULL; i++) {
        if (strcmp(name, want) == 0) {
            int available = 0;
            (void)gnp_poller_name(i, &available);
            rc = available ? GN_OK : GN_ENOTSUP;
            if (available) {
                e->poller_name = name;
                return GN_OK;
            }
        }
    }
    if (e->options.poller_fallback) {
        gni_log(GN_LOG_WARN, "poller \"%.31s\" is not available; taking the best that is", want);
        e->poller_name = NULL;
        return GN_OK;
    }
    gni_log(GN_LOG_ERROR, "poller \"%.31s\" is not available", want);
    return rc;
}

/* Without a name: the first that works here. */
static int poller_default(gn_engine *e)
{
    const char *name;
    int available = 0;
    for (unsigned i = 0; e->poller_name == NULL && (name = gnp_poller_name(i, &available)) != NULL; i++) {
        if (available) {
            e->poller_name = name;
        }
    }
    return e->poller_name != NULL ? GN_OK : GN_ENOTSUP;
}

static int engine_init(gn_engine *e, const gn_handler *handler, void *user, const gn_options *options)
{
    int rc = gni_options_take(&e->options, options);
    if (rc != GN_OK) {
        return rc;
    }
    e->handler = handler;
    e->user = user;
    e->nloops = e->options.loops;
    gnp_store64(&e->stop_at, GNP_NEVER);
    e->gate.max = e->options.conns_max < GNI_GATE_MOST ? e->options.conns_max : GNI_GATE_MOST;
    e->guarded = e->gate.max != 0;
    rc = poller_choose(e);
    e->options.poller = NULL; /* it was the caller's memory */
    if (rc == GN_OK) {
        rc = poller_default(e);
    }
    if (rc == GN_OK) {
        rc = gnp_sys_init();
    }
    if (rc == GN_OK) {
        rc = gnp_mutex_init(&e->lock);
    }
    if (rc == GN_OK) {
        rc = gnp_cond_init(&e->cond);
        if (rc != GN_OK) {
            gnp_mutex_destroy(&e->lock);
        }
    }
    return rc;
}

int gn_engine_create(gn_engine **out, const gn_handler *handler, void *user, const gn_options *options)
{
    if (out == NULL || handler == NULL) {
        return GN_EINVAL;
    }
    *out = NULL;
    gni_log_setup();
    gni_engines_add();
    gn_engine *e = gnp_zalloc(sizeof *e);
    int rc = e == NULL ? GN_ENOMEM : engine_init(e, handler, user, options);
    if (rc != GN_OK) {
        gnp_free(e, sizeof *e);
        gni_engines_sub();
        return rc;
    }
    e->magic = GNI_ENGINE_MAGIC;
    *out = e;
    return GN_OK;
}

static void loops_free(gn_engine *e)
{
    for (unsigned i = 0; i < e->loops_made; i++) {
        gn_loop *l = e->loops[i];
        for (unsigned k = 0; k < l->acceptor_count; k++) {
            gni_acceptor_detach(&l->acceptors[k]);
        }
        gnp_free(l->acceptors, (e->nlisteners + 1) * sizeof *l->acceptors);
        gni_loop_free(l);
        gnp_free(l, sizeof *l);
    }
    gnp_free(e->loops, (e->nloops + 1) * sizeof *e->loops);
    e->loops = NULL;
    e->loops_made = 0;
}

int gn_engine_destroy(gn_engine *e)
{
    if (e == NULL) {
        return GN_OK;
    }
    if (!gni_engine_valid(e)) {
        return GN_EINVAL;
    }
    gnp_mutex_lock(&e->lock);
    int busy = e->state == GNI_ENGINE_STARTING || e->state == GNI_ENGINE_RUNNING;
    gnp_mutex_unlock(&e->lock);
    if (busy) {
        return GN_EBUSY;
    }
    gni_signals_release(&e->signals); /* of one that never ran */
    gni_resolver_destroy(e);
    loops_free(e);
    for (unsigned i = 0; i < e->nlisteners; i++) {
        gni_listener *ln = e->listeners[i];
        gni_listener_close(ln);
        gni_listener_free(ln);
    }
    gnp_free(e->listeners, e->cap_listeners * sizeof(gni_listener *));
    gnp_cond_destroy(&e->cond);
    gnp_mutex_destroy(&e->lock);
    e->magic = 0;
    gnp_free(e, sizeof *e);
    gni_engines_sub();
    return GN_OK;
}

/* -------------------------------------------------------------------- start */

static int acceptor_wanted(const gn_engine *e)
{
    for (unsigned i = 0; i < e->nlisteners; i++) {
        if (gni_listener_needs_acceptor(e->listeners[i], e->nloops)) {
            return 1;
        }
    }
    return 0;
}

static void acceptor_add(gn_loop *l, gni_listener *ln, gnp_sock *s)
{
    gni_acceptor *a = &l->acceptors[l->acceptor_count++];
    a->sock = *s;
    a->first = s == &ln->socks[0];
    a->listener = ln;
    a->loop = l;
    s->os = -1; /* the acceptor has it now */
}

/* Each listener's sockets go to the loops that will serve them. */
static void acceptors_assign(gn_engine *e)
{
    for (unsigned i = 0; i < e->nlisteners; i++) {
        gni_listener *ln = e->listeners[i];
        if (gni_listener_needs_acceptor(ln, e->nloops)) {
            acceptor_add(e->loops[e->nloops], ln, &ln->socks[0]);
            continue;
        }
        for (unsigned s = 0; s < ln->count; s++) {
            acceptor_add(e->loops[ln->count > 1 ? s : i % e->nloops], ln, &ln->socks[s]);
        }
    }
}

static int loops_make(gn_engine *e)
{
    unsigned wanted = e->nloops + (unsigned)acceptor_wanted(e);
    e->loops = gnp_zalloc((e->nloops + 1) * sizeof *e->loops);
    if (e->loops == NULL) {
        return GN_ENOMEM;
    }
    while (e->loops_made < wanted) {
        gn_loop *l = gnp_zalloc(sizeof *l);
        gni_acceptor *a = l == NULL ? NULL : gnp_zalloc((e->nlisteners + 1) * sizeof *a);
        int rc = a == NULL ? GN_ENOMEM : gni_loop_init(l, e, e->loops_made);
        if (rc != GN_OK) {
            gnp_free(a, (e->nlisteners + 1) * sizeof *a);
            gnp_free(l, sizeof *l);
            return rc;
        }
        l->acceptors = a;
        if (e->loops_made < e->nloops) {
            e->loads[e->loops_made] = &l->load;
        }
        e->loops[e->loops_made++] = l;
    }
    acceptors_assign(e);
    gnp_store32(&e->loops_shown, e->nloops); /* from now on other threads may look at them */
    return GN_OK;
}

static int threads_start(gn_engine *e)
{
    for (unsigned i = 0; i < e->loops_made; i++) {
        gn_loop *l = e->loops[i];
        char name[16];
        (void)snprintf(name, sizeof name, i < e->nloops ? "gn-loop-%u" : "gn-accept", i);
        int rc = gnp_thread_start(&l->thread, gni_loop_main, l, name);
        if (rc != GNP_OK) {
            return rc;
        }
        l->started = 1;
    }
    return GN_OK;
}

static unsigned threads_join(gn_engine *e)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->loops_made; i++) {
        if (e->loops[i]->started) {
            gnp_thread_join(&e->loops[i]->thread);
            e->loops[i]->started = 0;
            n++;
        }
    }
    return n;
}

/* All loops are set up, or none runs. */
static int threads_release(gn_engine *e, int rc)
{
    unsigned started = 0;
    for (unsigned i = 0; i < e->loops_made; i++) {
        started += (unsigned)e->loops[i]->started;
    }
    gnp_mutex_lock(&e->lock);
    while (e->ready < started) {
        gnp_cond_wait(&e->cond, &e->lock);
    }
    for (unsigned i = 0; rc == GN_OK && i < e->loops_made; i++) {
        rc = e->loops[i]->status;
    }
    e->go = rc == GN_OK ? 1 : -1;
    e->state = rc == GN_OK ? GNI_ENGINE_RUNNING : GNI_ENGINE_STARTING;
    gnp_cond_broadcast(&e->cond);
    gnp_mutex_unlock(&e->lock);
    return rc;
}

int gni_engine_loop_ready(gn_engine *e, gn_loop *l, int status)
{
    gnp_mutex_lock(&e->lock);
    l->status = status;
    e->ready++;
    gnp_cond_broadcast(&e->cond);
    while (e->go == 0) {
        gnp_cond_wait(&e->cond, &e->lock);
    }
    int go = e->go;
    gnp_mutex_unlock(&e->lock);
    return go > 0;
}

static void signals_let_go(gn_engine *e)
{
    if (e->holding) {
        gnp_signal_unhold();
        e->holding = 0;
    }
    gni_signals_release(&e->signals);
}

static int start_failed(gn_engine *e, int rc)
{
    (void)threads_join(e);
    gni_stall_stop(e);
    signals_let_go(e);
    gnp_mutex_lock(&e->lock);
    e->state = GNI_ENGINE_JOINED;
    gnp_mutex_unlock(&e->lock);
    return rc;
}

int gn_engine_start(gn_engine *e)
{
    if (!gni_engine_valid(e)) {
        return GN_EINVAL;
    }
    gnp_mutex_lock(&e->lock);
    int usable = e->state == GNI_ENGINE_NEW;
    if (usable) {
        e->state = GNI_ENGINE_STARTING;
    }
    gnp_mutex_unlock(&e->lock);
    if (!usable) {
        return GN_EBUSY;
    }
    /* From on_boot on: who tells there that it is ready may be told to stop at once. */
    int rc = e->options.stop_on_signals ? gnp_signal_hold() : GN_OK;
    if (rc != GN_OK) {
        return start_failed(e, rc);
    }
    e->holding = e->options.stop_on_signals;
    if (e->handler->on_boot != NULL && e->handler->on_boot(e, e->user) == GN_SHUTDOWN) {
        return start_failed(e, GN_ECANCELED);
    }
    rc = loops_make(e);
    if (rc == GN_OK) {
        rc = gni_stall_start(e);
    }
    if (rc == GN_OK) {
        rc = threads_start(e);
        rc = threads_release(e, rc);
    }
    return rc == GN_OK ? GN_OK : start_failed(e, rc);
}

/* --------------------------------------------------------------------- stop */

int gn_engine_stop(gn_engine *e, uint64_t drain_ns)
{
    if (!gni_engine_valid(e)) {
        return GN_EINVAL;
    }
    uint64_t now = gnp_now();
    uint64_t at = drain_ns > GNP_NEVER - 1 - now ? GNP_NEVER - 1 : now + drain_ns;
    gnp_mutex_lock(&e->lock);
    if (at < gnp_load64(&e->stop_at)) {
        gnp_store64(&e->stop_at, at);
    }
    for (unsigned i = 0; e->state == GNI_ENGINE_RUNNING && i < e->loops_made; i++) {
        if (e->loops[i]->poller != NULL) {
            gnp_wake(e->loops[i]->poller);
        }
    }
    gnp_mutex_unlock(&e->lock);
    return GN_OK;
}

void gni_engine_loop_ending(gn_engine *e, gn_loop *l, int error)
{
    gnp_mutex_lock(&e->lock);
    l->poller = NULL;
    if (error != GN_OK && e->error == GN_OK) {
        e->error = error;
    }
    gnp_mutex_unlock(&e->lock);
    if (error != GN_OK && e->go > 0) {
        (void)gn_engine_stop(e, 0); /* an engine with a loop missing serves nobody well */
    }
}

int gn_engine_join(gn_engine *e)
{
    if (!gni_engine_valid(e)) {
        return GN_EINVAL;
    }
    if (gn_loop_current() != NULL) {
        return GN_EBUSY; /* also that of another engine, which has connections to serve */
    }
    gnp_mutex_lock(&e->lock);
    int rc = e->state != GNI_ENGINE_RUNNING ? GN_EINVAL : e->joining ? GN_EBUSY : GN_OK;
    if (rc == GN_OK) {
        e->joining = 1;
    }
    gnp_mutex_unlock(&e->lock);
    if (rc != GN_OK) {
        return rc;
    }
    (void)threads_join(e);
    gni_stall_stop(e);
    signals_let_go(e);
    if (e->handler->on_shutdown != NULL) {
        e->handler->on_shutdown(e, e->user);
    }
    gnp_mutex_lock(&e->lock);
    e->state = GNI_ENGINE_JOINED;
    rc = e->error;
    gnp_mutex_unlock(&e->lock);
    return rc;
}

int gn_engine_run(gn_engine *e)
{
    int rc = gn_engine_start(e);
    return rc == GN_OK ? gn_engine_join(e) : rc;
}

int gn_run(const char *addr, const gn_handler *handler, void *user, const gn_options *options)
{
    gn_engine *e;
    int rc = gn_engine_create(&e, handler, user, options);
    if (rc != GN_OK) {
        return rc;
    }
    rc = gn_engine_listen(e, addr);
    if (rc == GN_OK) {
        rc = gn_engine_run(e);
    }
    (void)gn_engine_destroy(e);
    return rc;
}

/* ---------------------------------------------------------------- balancing */

static unsigned ask_user(gn_engine *e, const gnp_addr *peer)
{
    gn_addr a;
    gni_addr_set(&a, peer);
    return e->options.lb_fn(e, &a, e->nloops, e->options.lb_user) % e->nloops;
}

gn_loop *gni_engine_balance(gn_engine *e, const gnp_addr *peer)
{
    if (e->options.lb == GN_LB_USER) {
        return e->loops[ask_user(e, peer)];
    }
    return e->loops[gni_balance_pick(e->options.lb, gnp_add64(&e->next, 1), e->loads, e->nloops, peer)];
}

/* ------------------------------------------------------------------ looking */

/* The loops stand from the start until the engine is destroyed. */
static const gn_loop *loop_at(const gn_engine *e, unsigned i)
{
    return gni_engine_valid(e) && i < gnp_load32(&e->loops_shown) ? e->loops[i] : NULL;
}

uint64_t gn_engine_conn_count(const gn_engine *e)
{
    uint64_t n = 0;
    const gn_loop *l;
    for (unsigned i = 0; (l = loop_at(e, i)) != NULL; i++) {
        n += gnp_load64_relaxed(&l->open_shared);
    }
    return n;
}

unsigned gn_engine_loop_count(const gn_engine *e)
{
    return gni_engine_valid(e) ? e->nloops : 0;
}

gn_handle gn_engine_loop(const gn_engine *e, unsigned i)
{
    const gn_loop *l = loop_at(e, i);
    return l != NULL && gnp_load32(&l->alive) ? gn_loop_handle(l) : GN_HANDLE_NONE;
}

gn_handle gn_engine_least_loop(const gn_engine *e)
{
    const gn_loop *best = NULL;
    const gn_loop *l;
    uint32_t least = 0;
    for (unsigned i = 0; (l = loop_at(e, i)) != NULL; i++) {
        uint32_t load = gni_loop_load(l);
        if (gnp_load32(&l->alive) && (best == NULL || load < least)) {
            best = l;
            least = load;
        }
    }
    return best != NULL ? gn_loop_handle(best) : GN_HANDLE_NONE;
}

uint64_t gn_engine_loop_accepted(const gn_engine *e, unsigned i)
{
    const gn_loop *l = loop_at(e, i);
    return l == NULL ? 0 : gnp_load64_relaxed(&l->stats.accepted);
}

const char *gn_engine_poller(const gn_engine *e)
{
    return gni_engine_valid(e) ? e->poller_name : "";
}

const char *gn_poller_name(unsigned i, int *available)
{
    return gnp_poller_name(i, available);
}
