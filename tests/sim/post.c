/* SPDX-License-Identifier: MIT */
/*
 * Operations from user threads: each that was taken completes exactly once, those of one thread to one
 * loop in the order of asking, and what is written arrives in that order; through handles that go stale, and
 * while the engine stops at any moment.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define CONNS 3
#define PATIENCE (600 * SECOND)
#define RECORD 12 /* thread, number, and a check of both */

typedef struct stage {
    gn_engine *engine;
    gn_handle conns[CONNS * 2]; /* 0: not open yet */
    unsigned opened, closed;
    uint64_t taken, done, refused;
    size_t post_max;
    int stopping;
} stage;

typedef struct poster {
    stage *stage;
    uint32_t id, count;
    uint32_t last_loop[16]; /* number of the last operation that ended, plus one, for each loop */
} poster;

typedef struct asked {
    poster *poster;
    unsigned loop; /* it was sent to; ~0: to a connection */
    uint32_t number;
    int ended;
} asked;

static void put(unsigned char *p, uint32_t v)
{
    memcpy(p, &v, sizeof v); /* both ends are here */
}

static uint32_t get(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static gn_action on_open(gn_conn *c, void *user)
{
    stage *s = user;

    gnp_sim_note("on_open", s->opened, 0);
    if (s->opened < CONNS * 2)
        s->conns[s->opened] = gn_conn_handle(c);
    s->opened++;
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    gnp_sim_note("on_close", reason, 0);
    ((stage *)user)->closed++;
    return GN_NONE;
}

static void on_done(gn_handle h, int status, void *arg)
{
    asked *a = arg;
    stage *s = a->poster->stage;

    (void)h;
    gnp_sim_note("done", status, a->number);
    must(!a->ended, "an operation completes twice");
    must(status == GN_OK || status == GN_ECLOSED || status == GN_ESHUTDOWN || gnp_sim_faults() > 0,
         "an operation ended with %s", gn_strerror(status));
    a->ended = 1;
    s->done++;
    if (a->loop < 16) {
        must(a->poster->last_loop[a->loop] <= a->number, "operation %u of thread %u after %u", a->number,
             a->poster->id, a->poster->last_loop[a->loop] - 1);
        a->poster->last_loop[a->loop] = a->number + 1;
    }
    free(a);
}

static int write_record(gn_handle h, asked *a)
{
    unsigned char r[RECORD];

    put(r, a->poster->id);
    put(r + 4, a->number);
    put(r + 8, a->poster->id ^ ~a->number);
    switch (gnp_sim_below(2)) {
    case 0: return gn_write(h, r, sizeof r, on_done, a);
    default: {
        gn_iov v[2] = { { r, 5 }, { r + 5, sizeof r - 5 } };
        return gn_writev(h, v, 2, on_done, a);
    }
    }
}

static int one_operation(poster *p, asked *a)
{
    stage *s = p->stage;
    unsigned loops = gn_engine_loop_count(s->engine), i = (unsigned)gnp_sim_below(CONNS * 2);

    a->loop = ~0u;
    if (s->conns[i] != GN_HANDLE_NONE && one_in(2))
        return write_record(s->conns[i], a);
    if (s->conns[i] != GN_HANDLE_NONE && one_in(20))
        return gn_close(s->conns[i], on_done, a);
    if (s->conns[i] != GN_HANDLE_NONE && one_in(4))
        return gn_wake(s->conns[i], on_done, a);
    a->loop = (unsigned)gnp_sim_below(loops);
    return gn_execute(gn_engine_loop(s->engine, a->loop), on_done, a);
}

static void poster_run(void *arg)
{
    poster *p = arg;
    stage *s = p->stage;

    for (uint32_t i = 0; i < p->count; i++) {
        asked *a = calloc(1, sizeof *a);
        must(a != NULL, "no memory");
        *a = (asked){ .poster = p, .number = i };
        s->taken++; /* before: it may complete before the call returns */
        int rc = one_operation(p, a);
        gnp_sim_note("asked", rc, i);
        if (rc != GN_OK) {
            must(gnp_sim_faults() > 0 || rc == GN_ECLOSED || (rc == GN_ELIMIT && s->post_max != 0),
                 "asking: %s", gn_strerror(rc));
            s->taken--;
            s->refused++;
            free(a);
        }
        if (one_in(6))
            gnp_sim_sleep(gnp_sim_below(2 * MS));
    }
}

/* Each thread's records come in order of asking; those that were cut off by a close may be missing. */
static void listen_run(void *arg)
{
    stage *s = arg;
    unsigned char r[RECORD];
    uint32_t next[THREADS] = { 0 };
    char addr[GN_ADDR_TEXT_MAX];
    size_t have = 0;
    int64_t k;

    peer_address(s->engine, 0, addr, sizeof addr);
    gnp_sim_sleep(gnp_sim_below(5) * MS);
    gnp_sim_peer *p = gnp_sim_connect(addr, NULL);
    if (p == NULL)
        return;
    while ((k = gnp_sim_recv(p, r + have, sizeof r - have, PATIENCE)) > 0) {
        have += (size_t)k;
        if (have < sizeof r)
            continue;
        have = 0;
        uint32_t id = get(r), number = get(r + 4);
        must(id < THREADS && get(r + 8) == (id ^ ~number), "a record is torn");
        must(number >= next[id], "record %u of thread %u comes after %u", number, id, next[id] - 1);
        next[id] = number + 1;
    }
    must(k != GNP_SIM_TIMEOUT || !s->stopping, "the end of the stream does not come");
    gnp_sim_close(p, 0);
}

/* -------------------------------------------------------------- a quiet engine */

static void on_quiet(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    *(int *)arg = 1;
}

/* A loop that sleeps hears of a task at once, and has room for it. */
static void ask_when_quiet(stage *s)
{
    gn_stats stats = { .size = sizeof stats };

    gnp_sim_sleep(SECOND);
    must(gn_engine_stats(s->engine, &stats) == GN_OK, "no statistics");
    must(stats.bytes_posted == 0, "%llu bytes wait in loops that have nothing to do",
         (unsigned long long)stats.bytes_posted);
    for (unsigned i = 0; i < gn_engine_loop_count(s->engine); i++) {
        int done = 0;
        int rc = gn_execute(gn_engine_loop(s->engine, i), on_quiet, &done);
        must(rc == GN_OK || gnp_sim_faults() > 0, "a quiet loop refuses a task: %s", gn_strerror(rc));
        gnp_sim_sleep(10 * SECOND + tardiness());
        must(rc != GN_OK || done, "a quiet loop does not hear of a task");
    }
}

/* -------------------------------------------------------------------- fairness */

#define CHAIN_MAX 20000u /* several turns of the first queue */

typedef struct chain {
    stage *stage;
    unsigned steps, ends;
    int low_ran;
} chain;

/* Asks for itself again and again, until the second queue had a turn. */
static void on_chain(gn_handle h, int status, void *arg)
{
    chain *c = arg;

    must(c->steps++ < CHAIN_MAX, "the second queue of a loop has no turn");
    if (status != GN_OK || c->low_ran || gn_execute(h, on_chain, c) != GN_OK)
        c->ends++;
}

static void on_low(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    ((chain *)arg)->low_ran = 1;
}

static void starve(stage *s)
{
    chain c = { .stage = s };
    gn_handle loop = gn_engine_loop(s->engine, 0);
    unsigned begun = gn_execute(loop, on_chain, &c) == GN_OK;

    if (gn_execute_low(loop, on_low, &c) != GN_OK)
        c.low_ran = 1;
    for (unsigned i = 0; c.ends < begun || !c.low_ran; i++) {
        must(i < 1000, "tasks do not run");
        gnp_sim_sleep(SECOND);
    }
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_close = on_close };
    stage s = { 0 };
    poster posters[THREADS];
    unsigned n = 1 + (unsigned)gnp_sim_below(THREADS), conns = 1 + (unsigned)gnp_sim_below(CONNS);
    crew listeners = { .n = 0 }, threads = { .n = 0 };
    gn_options o;

    (void)arg;
    draw_options(&o);
    s.post_max = o.post_max = one_in(3) ? 1000 : 0;
    s.engine = serve(&handler, &s, &o, draw_stream_address());
    if (s.engine == NULL)
        return;
    for (unsigned i = 0; i < conns; i++)
        crew_add(&listeners, listen_run, &s, "listener");
    for (unsigned i = 0; i < n; i++) {
        posters[i] = (poster){ .stage = &s, .id = i, .count = (uint32_t)gnp_sim_below(60) };
        crew_add(&threads, poster_run, &posters[i], "poster");
    }
    if (one_in(2)) {
        gnp_sim_sleep(gnp_sim_below(10) * MS);
        s.stopping = 1;
        (void)gn_engine_stop(s.engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&threads); /* they use the engine, so it must stand; it may have stopped */
    if (!s.stopping && one_in(4))
        starve(&s);
    if (!s.stopping && one_in(2))
        ask_when_quiet(&s);
    s.stopping = 1;
    (void)gn_engine_stop(s.engine, SECOND);
    crew_join(&listeners);
    finish(s.engine, SECOND);
    must(s.taken == s.done, "%llu operations were taken, %llu completed", (unsigned long long)s.taken,
         (unsigned long long)s.done);
    must(s.opened == s.closed, "%u opened, %u closed", s.opened, s.closed);
}

const scenario scenario_post = { "post", run };
