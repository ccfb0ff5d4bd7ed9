/* SPDX-License-Identifier: MIT */
/*
 * Scenarios so small that all their schedules can be tried: two or three threads, an operation or two of
 * each.  They draw nothing; what differs from world to world is who runs when.
 */
#include "scenario.h"

#include <string.h>

#define IDLE (10 * MS) /* after which a worker ends */
#define PATIENCE (100 * MS) /* virtual; far more than anything here takes: who is later has been forgotten */

typedef struct stage {
    gn_engine *engine;
    gn_handle conn; /* the only one, when it has opened */
    unsigned opened, closed, called;
    int status[8];  /* of the operations in order of their end */
    uint64_t last;  /* when the last one ended */
    gn_op op;
    gn_pool *pool;
} stage;

static gn_action on_open(gn_conn *c, void *user)
{
    stage *s = user;

    s->conn = gn_conn_handle(c);
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
    stage *s = arg;

    (void)h;
    gnp_sim_note("done", status, s->called);
    must(s->called < 8, "more ends than operations");
    s->status[s->called++] = status;
    s->last = gn_now();
}

static void on_task(int status, void *arg)
{
    on_done(GN_HANDLE_NONE, status, arg);
}

/* An engine whose loops sleep. */
static void open_stage(stage *s, unsigned loops)
{
    static const gn_handler handler = { .on_open = on_open, .on_close = on_close };
    gn_options o;

    memset(s, 0, sizeof *s);
    gn_options_init(&o);
    o.loops = loops;
    o.spin_us = 0;
    s->engine = serve(&handler, s, &o, "tcp://127.0.0.1:0");
    must(s->engine != NULL, "no engine");
    gnp_sim_sleep(MS);
}

static gnp_sim_peer *open_conn(stage *s)
{
    char addr[GN_ADDR_TEXT_MAX];

    peer_address(s->engine, 0, addr, sizeof addr);
    gnp_sim_peer *p = gnp_sim_connect(addr, NULL);
    must(p != NULL, "no connection");
    gnp_sim_sleep(MS);
    must(s->opened == 1, "it was not accepted");
    return p;
}

/* All n operations end, soon. */
static void expect_ends(const stage *s, unsigned n)
{
    uint64_t until = gn_now() + PATIENCE;

    while (s->called < n && gn_now() < until)
        gnp_sim_sleep(MS);
    must(s->called == n, "%u operations, %u ended", n, s->called);
}

static void close_stage(stage *s, unsigned ends)
{
    finish(s->engine, 0);
    must(s->called == ends, "%u operations, %u ended", ends, s->called);
    must(s->opened == s->closed, "%u opened, %u closed", s->opened, s->closed);
}

/* Lets two threads go, with every schedule, and waits for them. */
static void race(stage *s, void (*a)(void *), void (*b)(void *))
{
    crew c = { .n = 0 };

    crew_add(&c, a, s, "a");
    if (b != NULL)
        crew_add(&c, b, s, "b");
    gnp_sim_focus(1);
    crew_join(&c);
}

/* ------------------------------------------------------------------- threads */

static void post_one(void *arg)
{
    stage *s = arg;

    must(gn_execute(gn_engine_loop(s->engine, 0), on_done, s) == GN_OK, "execute");
}

static void post_two(void *arg)
{
    post_one(arg);
    post_one(arg);
}

static unsigned refused; /* by an engine that stops */

static void post_or_not(void *arg)
{
    stage *s = arg;
    int rc = gn_execute(gn_engine_loop(s->engine, 0), on_done, s);

    must(rc == GN_OK || rc == GN_ECLOSED || rc == GN_ESHUTDOWN, "execute: %s", gn_strerror(rc));
    refused += rc != GN_OK;
}

static void close_it(void *arg)
{
    stage *s = arg;

    must(gn_close(s->conn, on_done, s) == GN_OK, "close");
}

static void write_two(void *arg)
{
    stage *s = arg;

    must(gn_write(s->conn, "ab", 2, on_done, s) == GN_OK && gn_write(s->conn, "cd", 2, on_done, s) == GN_OK,
         "write");
}

static void migrate_it(void *arg)
{
    stage *s = arg;

    must(gn_migrate(s->conn, gn_engine_loop(s->engine, 0), on_done, s) == GN_OK &&
             gn_migrate(s->conn, gn_engine_loop(s->engine, 1), on_done, s) == GN_OK,
         "migrate");
}

static void cancel_it(void *arg)
{
    int rc = gn_cancel(((stage *)arg)->op);

    must(rc == GN_OK || rc == GN_ECLOSED, "cancel: %s", gn_strerror(rc));
}

static void submit_one(void *arg)
{
    stage *s = arg;
    int rc = gn_pool_submit(s->pool, on_task, s);

    must(rc == GN_OK || rc == GN_ECLOSED, "submit: %s", gn_strerror(rc));
    refused += rc != GN_OK;
}

static void release_it(void *arg)
{
    int rc = gn_pool_release_wait(((stage *)arg)->pool, SECOND);

    must(rc == GN_OK, "release: %s", gn_strerror(rc));
}

/* While a worker that has been idle for long enough is about to end. */
static void submit_late(void *arg)
{
    stage *s = arg;
    uint64_t when = s->last + IDLE;

    gnp_sim_sleep(when > gn_now() ? when - gn_now() : 0);
    submit_one(s);
}

/* ----------------------------------------------------------------- scenarios */

/* A post finds a loop that is awake, falls asleep or sleeps: it is woken. */
static void wake_run(void *arg)
{
    stage s;

    (void)arg;
    open_stage(&s, 1);
    race(&s, post_two, NULL);
    expect_ends(&s, 2);
    gnp_sim_focus(0);
    close_stage(&s, 2);
}

static void posters_run(void *arg)
{
    stage s;

    (void)arg;
    open_stage(&s, 1);
    race(&s, post_one, post_one);
    expect_ends(&s, 2);
    gnp_sim_focus(0);
    close_stage(&s, 2);
}

/* Posts to an engine that stops are refused, or completed. */
static void stop_run(void *arg)
{
    stage s;

    (void)arg;
    refused = 0;
    open_stage(&s, 1);
    crew c = { .n = 0 };
    crew_add(&c, post_or_not, &s, "a");
    crew_add(&c, post_or_not, &s, "b");
    gnp_sim_focus(1);
    (void)gn_engine_stop(s.engine, 0);
    crew_join(&c);
    gnp_sim_focus(0);
    finish(s.engine, 0);
    must(s.called + refused == 2, "2 posts, %u refused, %u ended", refused, s.called);
}

/* What was written before the close arrives; all three end. */
static void close_run(void *arg)
{
    stage s;
    char got[8];
    size_t have = 0, good = 0;
    int64_t k;

    (void)arg;
    open_stage(&s, 1);
    gnp_sim_peer *p = open_conn(&s);
    race(&s, write_two, close_it);
    expect_ends(&s, 3);
    gnp_sim_focus(0);
    while ((k = gnp_sim_recv(p, got + have, sizeof got - have, SECOND)) > 0)
        have += (size_t)k;
    must(k == GNP_SIM_EOF, "no end after the close: %lld", (long long)k);
    for (unsigned i = 0; i < s.called; i++)
        good += s.status[i] == GN_OK;
    must(have <= 4 && memcmp(got, "abcd", have) == 0, "other bytes");
    must(have >= 2 * (good > 0 ? good - 1 : 0), "%zu bytes for %zu ends that are well", have, good);
    gnp_sim_close(p, 0);
    close_stage(&s, 3);
}

/* A connection that is written to goes from loop to loop: nothing is lost, in order. */
static void migrate_run(void *arg)
{
    stage s;
    char got[8];
    size_t have = 0;
    int64_t k;

    (void)arg;
    open_stage(&s, 2);
    gnp_sim_peer *p = open_conn(&s);
    race(&s, write_two, migrate_it);
    expect_ends(&s, 4);
    gnp_sim_focus(0);
    while (have < 4 && (k = gnp_sim_recv(p, got + have, sizeof got - have, SECOND)) > 0)
        have += (size_t)k;
    must(have == 4 && memcmp(got, "abcd", 4) == 0, "%zu bytes, or others, of 4", have);
    must(s.closed == 0, "it was closed");
    gnp_sim_close(p, 0);
    close_stage(&s, 4);
}

/* A timer is cancelled while it fires: it ends once. */
static void cancel_run(void *arg)
{
    stage s;

    (void)arg;
    open_stage(&s, 1);
    must(gn_schedule(gn_engine_loop(s.engine, 0), MS, on_done, &s, &s.op) == GN_OK, "schedule");
    gnp_sim_sleep(MS - 2000);
    race(&s, cancel_it, post_one);
    expect_ends(&s, 2);
    gnp_sim_focus(0);
    close_stage(&s, 2);
}

static gn_pool *open_pool(uint64_t expiry_ns)
{
    gn_pool_options o;
    gn_pool *p = NULL;

    gn_pool_options_init(&o);
    o.capacity = 1;
    o.expiry_ns = expiry_ns;
    must(gn_pool_create(&p, &o) == GN_OK, "no pool");
    return p;
}

/* A task for a worker that is idle for so long that it ends. */
static void idle_run(void *arg)
{
    stage s = { .pool = open_pool(IDLE) };

    (void)arg;
    refused = 0;
    submit_one(&s);
    expect_ends(&s, 1);
    race(&s, submit_late, submit_late);
    expect_ends(&s, 3);
    gnp_sim_focus(0);
    must(refused == 0, "a task was refused");
    release_it(&s);
    must(gn_pool_destroy(s.pool) == GN_OK, "destroy");
}

/* A task for a pool that is released: refused, run or cancelled. */
static void release_run(void *arg)
{
    stage s = { .pool = open_pool(SECOND) };

    (void)arg;
    refused = 0;
    submit_one(&s);
    race(&s, submit_one, release_it);
    expect_ends(&s, 2 - refused);
    gnp_sim_focus(0);
    must(gn_pool_destroy(s.pool) == GN_OK, "destroy");
}

const scenario small_cancel = { "cancel", cancel_run };
const scenario small_close = { "close", close_run };
const scenario small_idle = { "idle", idle_run };
const scenario small_migrate = { "migrate", migrate_run };
const scenario small_posters = { "posters", posters_run };
const scenario small_release = { "release", release_run };
const scenario small_stop = { "stop", stop_run };
const scenario small_wake = { "wake", wake_run };
