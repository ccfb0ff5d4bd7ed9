/* SPDX-License-Identifier: MIT */
/*
 * What an engine watches for: signals and callbacks that take too long.  Each signal is followed by a call on
 * the loop of the engine that asked for it, and by nobody's else; what it did before is back in the end.  A
 * callback that runs for longer than it may is told once, while it runs, with its connection; no other is.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define LOOPS 3
#define PEERS 3
#define SIGNALS 12
#define PATIENCE (600 * SECOND)

typedef struct spell { /* what a loop does now */
    gn_handle conn;
    uint64_t since;
    unsigned told;
    int busy;
} spell;

typedef struct post {
    gn_engine *engine;
    gn_options o;
    spell spells[LOOPS + 1]; /* the acceptor's is the last */
    uint64_t told, asked, done, opened, closed;
    uint64_t raised, seen, runs;  /* of USR1: raises, those that a call has seen, calls */
    int by_signal, claims_term, termed, stopped, shut;
} post;

static int calm(void)
{
    return gnp_sim_knobs_now()->slow_call == 0;
}

/* ------------------------------------------------------------------- stalls */

static void on_stall(gn_engine *e, unsigned loop, gn_handle conn, uint64_t ns, void *user)
{
    post *p = user;
    spell *s = &p->spells[loop <= LOOPS ? loop : 0];

    gnp_sim_note("on_stall", loop, (int64_t)ns);
    must(e == p->engine && loop <= LOOPS, "a stall of no loop");
    must(gn_loop_current() == NULL, "a stall is told on a loop");
    must(ns > p->o.stall_ns, "a stall of %llu ns is none", (unsigned long long)ns);
    p->told++;
    if (!calm())
        return; /* anything may take long then */
    must(s->busy, "a stall is told, but no callback runs");
    must(conn == s->conn, "a stall is another connection's");
    must(ns <= gnp_now() - s->since + MS, "a stall is said to be longer than it is");
    s->told++;
}

/* Runs for a time that is too long or not, and looks whether that was told. */
static void dawdle(post *p, gn_handle conn)
{
    spell *s = &p->spells[gn_loop_index(gn_loop_current())];
    uint64_t stall = p->o.stall_ns, times[] = { 0, stall / 2, stall - 2 * MS, 2 * stall + 4 * MS, 5 * stall };

    *s = (spell){ .conn = conn, .since = gnp_now(), .busy = 1 };
    gnp_sim_sleep(times[gnp_sim_below(stall == 0 ? 1 : 5)]);
    uint64_t took = gnp_now() - s->since;
    s->busy = 0;
    gnp_sim_note("dawdled", (int64_t)took, s->told);
    if (!calm() || stall == 0)
        return;
    must(s->told <= 1, "a stall is told %u times", s->told);
    must(s->told == 0 || took > stall, "a callback of %llu us is told to be a stall",
         (unsigned long long)(took / 1000));
    must(s->told == 1 || took < stall + stall / 2 + 3 * MS, "a callback of %llu us is no stall",
         (unsigned long long)(took / 1000));
}

static void errand(gn_handle h, int status, void *arg)
{
    post *p = arg;

    (void)h;
    p->done++;
    if (status == GN_OK)
        dawdle(p, GN_HANDLE_NONE);
}

static gn_action on_open(gn_conn *c, void *user)
{
    (void)c;
    ((post *)user)->opened++;
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    if (one_in(2))
        dawdle(user, gn_conn_handle(c));
    (void)gn_conn_discard(c, SIZE_MAX);
    (void)gn_conn_write(c, "ok", 2);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    gnp_sim_note("on_close", reason, 0);
    ((post *)user)->closed++;
    return GN_NONE;
}

static void on_shutdown(gn_engine *e, void *user)
{
    (void)e;
    ((post *)user)->shut = 1;
}

static void peer_run(void *arg)
{
    post *p = arg;
    char addr[GN_ADDR_TEXT_MAX], got[8];

    peer_address(p->engine, 0, addr, sizeof addr);
    gnp_sim_peer *c = gnp_sim_connect(addr, NULL);
    if (c == NULL) {
        must(gnp_sim_faults() > 0 || p->stopped, "connect");
        return;
    }
    for (unsigned i = (unsigned)gnp_sim_below(5); i > 0 && !p->stopped; i--) {
        int64_t n = gnp_sim_send(c, "?", 1, NULL) == 0 ? gnp_sim_recv(c, got, sizeof got, PATIENCE) : -1;
        must(n > 0 || p->stopped || gnp_sim_faults() > 0, "no answer");
        if (n <= 0)
            break;
    }
    gnp_sim_close(c, 0);
}

static void asker_run(void *arg)
{
    post *p = arg;

    for (unsigned i = (unsigned)gnp_sim_below(4); i > 0; i--) {
        p->asked++;
        if (gn_execute(gn_engine_loop(p->engine, (unsigned)gnp_sim_below(p->o.loops)), errand, p) != GN_OK)
            p->asked--;
        gnp_sim_sleep(gnp_sim_below(80 * MS));
    }
}

/* ------------------------------------------------------------------ signals */

static void on_usr1(gn_engine *e, gn_signal s, void *arg)
{
    post *p = arg;

    gnp_sim_note("on_usr1", (int64_t)p->raised, (int64_t)p->seen);
    must(e == p->engine && s == GN_SIGNAL_USR1, "another engine's signal");
    must(gn_loop_current() != NULL && gn_loop_engine(gn_loop_current()) == e &&
             gn_loop_index(gn_loop_current()) == 0,
         "a signal comes elsewhere");
    must(!p->shut, "a signal after on_shutdown");
    must(++p->runs <= p->raised, "more calls than signals");
    p->seen = p->raised;
}

static void on_term(gn_engine *e, gn_signal s, void *arg)
{
    post *p = arg;

    must(e == p->engine && s == GN_SIGNAL_TERM && p->claims_term, "a signal that nobody asked for");
    gnp_sim_note("on_term", 0, 0);
    must(++p->termed == 1, "one signal, two calls");
}

static void raiser_run(void *arg)
{
    post *p = arg;

    for (unsigned i = (unsigned)gnp_sim_below(SIGNALS); i > 0 && !p->stopped; i--) {
        p->raised++;
        must(gnp_sim_signal(GN_SIGNAL_USR1) != 0, "a signal that was asked for ends the process");
        gnp_sim_sleep(one_in(2) ? 0 : gnp_sim_below(10 * MS));
    }
}

/* The last signal has been seen, by then. */
static void check_signals(const post *p)
{
    for (uint64_t until = gn_now() + 60 * SECOND; p->seen != p->raised && gn_now() < until;)
        gnp_sim_sleep(MS);
    must(p->seen == p->raised || p->stopped, "a signal is not followed by its call: %llu of %llu",
         (unsigned long long)p->seen, (unsigned long long)p->raised);
}

/* A signal of which somebody else has charge. */
static void rival(post *p)
{
    static const gn_handler none = { .on_boot = NULL };
    gn_engine *e;

    if (gn_engine_create(&e, &none, NULL, NULL) != GN_OK) {
        must(gnp_sim_faults() > 0, "create");
        return;
    }
    must(gn_engine_on_signal(e, GN_SIGNAL_USR1, on_usr1, p) == GN_EBUSY, "two have the same signal");
    must(gn_engine_on_signal(p->engine, GN_SIGNAL_HUP, on_usr1, p) == GN_EBUSY, "asked for while it runs");
    must(gn_engine_on_signal(e, (gn_signal)99, on_usr1, p) == GN_EINVAL, "a signal that is none");
    must(gn_engine_destroy(e) == GN_OK, "destroy");
}

/* --------------------------------------------------------------------- run */

static int make(post *p, const gn_handler *handler)
{
    int rc;

    draw_options(&p->o);
    p->o.stall_ns = one_in(3) ? 0 : (8 + gnp_sim_below(60)) * MS;
    p->o.stop_on_signals = p->by_signal = one_in(2);
    p->o.drain_ns = gnp_sim_below(2) * SECOND;
    p->claims_term = one_in(3);
    rc = gn_engine_create(&p->engine, handler, p, &p->o);
    if (rc == GN_OK)
        rc = gn_engine_on_signal(p->engine, GN_SIGNAL_USR1, on_usr1, p);
    if (rc == GN_OK && p->claims_term)
        rc = gn_engine_on_signal(p->engine, GN_SIGNAL_TERM, on_term, p);
    if (rc == GN_OK)
        rc = gn_engine_listen(p->engine, draw_stream_address());
    if (rc == GN_OK)
        rc = gn_engine_start(p->engine);
    gnp_sim_note("make", rc, 0);
    must(rc == GN_OK || gnp_sim_faults() > 0, "start: %s", gn_strerror(rc));
    if (rc == GN_OK)
        return 1;
    must(gn_engine_destroy(p->engine) == GN_OK, "destroy");
    return 0;
}

static void end(post *p)
{
    if (p->claims_term) {
        p->raised++;
        must(gnp_sim_signal(GN_SIGNAL_USR1) != 0 && gnp_sim_signal(GN_SIGNAL_TERM) != 0,
             "a signal that was asked for ends the process");
        check_signals(p); /* two at a time */
        for (uint64_t until = gn_now() + 60 * SECOND; !p->termed && gn_now() < until;)
            gnp_sim_sleep(MS);
        must(p->termed, "a signal is not followed by its call");
        must(!p->shut, "a signal that was asked for stops the engine");
    }
    if (p->by_signal) {
        p->stopped = 1;
        must(gnp_sim_signal(GN_SIGNAL_INT) != 0, "a signal that stops the engine ends the process");
    } else {
        p->stopped = 1;
        (void)gn_engine_stop(p->engine, SECOND);
    }
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close, .on_shutdown = on_shutdown,
        .on_stall = on_stall
    };
    post *p = calloc(1, sizeof *p);
    crew peers = { .n = 0 };
    gn_stats s = { .size = sizeof s };

    (void)arg;
    must(p != NULL, "no memory");
    if (!make(p, &handler)) {
        free(p);
        return;
    }
    for (unsigned i = (unsigned)gnp_sim_below(PEERS + 1); i > 0; i--)
        crew_add(&peers, peer_run, p, "peer");
    crew_add(&peers, asker_run, p, "asker");
    crew_add(&peers, raiser_run, p, "raiser");
    rival(p);
    crew_join(&peers);
    check_signals(p);
    end(p);
    int rc = gn_engine_join(p->engine);
    must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    must(gnp_sim_signal(GN_SIGNAL_USR1) == 0, "what a signal did before is not restored");
    must(gn_engine_stats(p->engine, &s) == GN_OK && s.stalls == p->told, "stats: %llu stalls, %llu told",
         (unsigned long long)s.stalls, (unsigned long long)p->told);
    must(p->asked == p->done && p->opened == p->closed, "%llu asked, %llu done; %llu opened, %llu closed",
         (unsigned long long)p->asked, (unsigned long long)p->done, (unsigned long long)p->opened,
         (unsigned long long)p->closed);
    must(gn_engine_destroy(p->engine) == GN_OK, "destroy");
    free(p);
}

const scenario scenario_watch = { "watch", run };
