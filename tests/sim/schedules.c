/* SPDX-License-Identifier: MIT */
/*
 * Scenarios so small that all their schedules can be tried: two or three threads, an operation or two of
 * each.  They draw nothing; what differs from world to world is who runs when.
 */
#include "scenario.h"

#include <string.h>

#include "lib/admission.h"
#include "lib/loop.h"
#include "lib/opmem.h"

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

/* ------------------------------------------------------------- without a loop */

static gni_gate door;
static int inside, calls;

static void through_the_door(void *arg)
{
    (void)arg;
    while (!gni_gate_enter(&door)) {
        if (gni_gate_wait(&door))
            gnp_sim_sleep(MS);
    }
    must(++inside <= (int)door.max, "%d are inside", inside);
    gnp_sim_sleep(1000);
    inside--;
    calls += gni_gate_leave(&door);
}

/* Who enters and leaves at a time is counted, and who waits is called. */
static void gate_run(void *arg)
{
    crew c = { .n = 0 };

    (void)arg;
    door.max = 2;
    for (int i = 0; i < 3; i++)
        crew_add(&c, through_the_door, NULL, "guest");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(gnp_load64(&door.word) == 0, "somebody stays inside, or waits for a call");
}

static int lines;

static void sink(gn_log_level level, const char *line, void *user)
{
    (void)line;
    (void)user;
    lines += level == GN_LOG_ERROR;
}

static void log_wrongly(void *arg)
{
    gn_pool *p = NULL;

    (void)arg;
    must(gn_pool_create(&p, NULL) == GN_OK, "no pool");
    must(gn_pool_destroy(p) == GN_OK, "not destroyed");
    gn_log_set_sink(sink, NULL);
}

/* The environment is read once, and a sink is whole. */
static void log_run(void *arg)
{
    crew c = { .n = 0 };

    (void)arg;
    gn_log_set_sink(sink, NULL);
    gnp_sim_setenv("GANNET_LOG", "nonsense");
    crew_add(&c, log_wrongly, NULL, "a");
    crew_add(&c, log_wrongly, NULL, "b");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(lines == 1, "%d lines", lines);
    gn_log_set_sink(NULL, NULL);
}

static int heirs, heirs_busy;

static void inherit(void *arg)
{
    int rc = gn_engine_listen_inherited(arg, NULL, NULL);

    must(rc == 0 || rc == GN_EBUSY, "inherited: %s", gn_strerror(rc));
    heirs += rc == 0;
    heirs_busy += rc == GN_EBUSY;
}

static void inherit_run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open };
    gn_engine *e[2] = { NULL, NULL };
    crew c = { .n = 0 };

    (void)arg;
    for (int i = 0; i < 2; i++)
        must(gn_engine_create(&e[i], &handler, NULL, NULL) == GN_OK, "no engine");
    crew_add(&c, inherit, e[0], "a");
    crew_add(&c, inherit, e[1], "b");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(heirs >= 1 && heirs + heirs_busy == 2, "%d were served", heirs);
    inherit(e[0]);
    must(heirs + heirs_busy == 3 && heirs >= 2, "it stays busy");
    for (int i = 0; i < 2; i++)
        must(gn_engine_destroy(e[i]) == GN_OK, "not destroyed");
}

static gni_op_pool store;

static void take_and_give(void *arg)
{
    uint32_t stripe;
    void *b = gni_op_take(&store, 64, &stripe);

    (void)arg;
    must(b != NULL, "no memory");
    gni_op_give(&store, b, 64, stripe);
}

static void close_store(void *arg)
{
    (void)arg;
    gni_op_pool_close(&store);
}

/* Memory of operations goes back to a pool that ends: there, or where it came from. */
static void store_run(void *arg)
{
    crew c = { .n = 0 };

    (void)arg;
    gni_op_pool_open(&store);
    crew_add(&c, take_and_give, NULL, "a");
    crew_add(&c, close_store, NULL, "b");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    for (unsigned i = 0; i < GNI_OP_STRIPES; i++)
        must(store.stripe[i].kept == 0 && gnp_load32(&store.stripe[i].busy) == 0, "something stays");
}

/* Loops of two engines take their places at the same time. */
static void take_place(void *arg)
{
    must(gni_loop_init(arg, NULL, 0) == GN_OK, "there is no place");
}

static void twins_run(void *arg)
{
    static gn_loop twins[2];
    crew c = { .n = 0 };

    (void)arg;
    crew_add(&c, take_place, &twins[0], "a");
    crew_add(&c, take_place, &twins[1], "b");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(twins[0].slot != twins[1].slot, "two loops in one place");
    must(gn_loop_handle(&twins[0]) != gn_loop_handle(&twins[1]), "two loops of one name");
    gni_loop_free(&twins[0]);
    gni_loop_free(&twins[1]);
}

/* ----------------------------------------------------------- a limit for two */

static void post_if_there_is_room(void *arg)
{
    stage *s = arg;
    int rc = gn_execute(gn_engine_loop(s->engine, 0), on_done, s);

    must(rc == GN_OK || rc == GN_ELIMIT, "execute: %s", gn_strerror(rc));
    refused += rc != GN_OK;
}

static int awake;

static void sleepy(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    while (!awake)
        gnp_sim_sleep(MS);
}

/* Two ask for the room of one: at most one gets it, and none of it stays taken. */
static void crowded_run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open };
    stage s;
    gn_options o;

    (void)arg;
    memset(&s, 0, sizeof s);
    refused = 0;
    gn_options_init(&o);
    o.loops = 1;
    o.post_max = 192; /* that which is asked first has 64 of it, as each has */
    s.engine = serve(&handler, &s, &o, "tcp://127.0.0.1:0");
    must(s.engine != NULL, "no engine");
    must(gn_execute(gn_engine_loop(s.engine, 0), sleepy, NULL) == GN_OK, "execute");
    must(gn_execute(gn_engine_loop(s.engine, 0), on_done, &s) == GN_OK, "execute");
    gnp_sim_sleep(MS);
    crew c = { .n = 0 };
    crew_add(&c, post_if_there_is_room, &s, "a");
    crew_add(&c, post_if_there_is_room, &s, "b");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(refused >= 1, "more is taken than there is room for");
    awake = 1;
    expect_ends(&s, 3 - refused);
    must(gn_execute(gn_engine_loop(s.engine, 0), on_done, &s) == GN_OK, "there is no room any more");
    expect_ends(&s, 4 - refused);
    close_stage(&s, 4 - refused);
}

/* --------------------------------------------------------- one place, two loops */

static void come_in(void *arg)
{
    stage *s = arg;
    char addr[GN_ADDR_TEXT_MAX], byte;

    peer_address(s->engine, 0, addr, sizeof addr);
    gnp_sim_peer *p = gnp_sim_connect(addr, NULL);
    must(p != NULL, "no connection");
    (void)gnp_sim_recv(p, &byte, 1, 10 * MS);
    must(s->opened - s->closed <= 1, "%u have opened, %u closed", s->opened, s->closed);
    gnp_sim_close(p, 1);
}

/* Two loops accept, and there is room for one: all come in, one after the other. */
static void one_place(uint64_t engine_max, uint64_t listener_max)
{
    static const gn_handler handler = { .on_open = on_open, .on_close = on_close };
    stage s;
    gn_options o;
    gn_listen_options lo;
    crew c = { .n = 0 };

    memset(&s, 0, sizeof s);
    gnp_sim_turn("reuseport_balances", 1);
    gnp_sim_turn("latency_ns", MS);
    gn_options_init(&o);
    o.loops = 2;
    o.reuseport = 1;
    o.conns_max = engine_max;
    gn_listen_options_init(&lo);
    lo.conns_max = listener_max;
    must(gn_engine_create(&s.engine, &handler, &s, &o) == GN_OK, "no engine");
    must(gn_engine_listen_with(s.engine, "tcp://127.0.0.1:0", &lo) == GN_OK, "no listener");
    must(gn_engine_start(s.engine) == GN_OK, "it does not start");
    gnp_sim_sleep(MS);
    for (int i = 0; i < 4; i++)
        crew_add(&c, come_in, &s, "guest");
    gnp_sim_sleep(MS - 10000);
    gnp_sim_focus(1); /* while they arrive */
    gnp_sim_sleep(20000);
    gnp_sim_focus(0);
    crew_join(&c);
    gnp_sim_sleep(100 * MS);
    must(s.opened == 4, "%u of 4 came in", s.opened);
    close_stage(&s, 0);
}

static void place_run(void *arg)
{
    (void)arg;
    one_place(1, 0);
}

static void seat_run(void *arg)
{
    (void)arg;
    one_place(0, 1);
}

/* ------------------------------------------------------------ the end of a pool */

static void note_task(int status, void *arg)
{
    stage *s = arg;

    s->opened += status == GN_OK;
    s->closed++;
}

static void submit_second(void *arg)
{
    stage *s = arg;
    int rc = gn_pool_submit(s->pool, note_task, s);

    must(rc == GN_OK || rc == GN_ECLOSED, "submit: %s", gn_strerror(rc));
    refused += rc != GN_OK;
}

static void destroy_it(void *arg)
{
    stage *s = arg;

    while (s->closed < 2 && refused == 0) /* then nobody has any business with it */
        gnp_sim_sleep(1000);
    must(gn_pool_destroy(s->pool) == GN_OK, "destroy");
}

/* Its last task has run and told somebody to end it, but who submitted that is still inside. */
static void undo_run(void *arg)
{
    stage s = { .pool = open_pool(SECOND) };

    (void)arg;
    refused = 0;
    submit_second(&s);
    gnp_sim_sleep(MS);
    race(&s, submit_second, destroy_it);
    gnp_sim_focus(0);
    must(s.opened == 2 && s.closed == 2, "%u tasks ran, %u ended", s.opened, s.closed);
}

static void a_while(void *arg)
{
    (void)arg;
    gnp_sim_sleep(20000);
}

static void long_task(int status, void *arg)
{
    (void)status;
    gnp_sim_join(arg);
}

/* A pool that is full goes when its worker, and who waits for room, know of it. */
static void blocked_run(void *arg)
{
    stage s;
    gn_pool_options o;
    gnp_sim_thread *t;
    crew c = { .n = 0 };

    (void)arg;
    memset(&s, 0, sizeof s);
    refused = 0;
    gn_pool_options_init(&o);
    o.capacity = 1;
    o.queue_max = 0;
    must(gn_pool_create(&s.pool, &o) == GN_OK, "no pool");
    t = gnp_sim_spawn(a_while, NULL, "a while");
    must(gn_pool_submit(s.pool, long_task, t) == GN_OK, "no task");
    crew_add(&c, submit_second, &s, "blocked");
    gnp_sim_sleep(19500); /* what follows takes the rest */
    gnp_sim_focus(1);
    must(gn_pool_destroy(s.pool) == GN_OK, "destroy");
    crew_join(&c);
    gnp_sim_focus(0);
    must(refused + s.closed == 1, "%u were refused, %u ended", refused, s.closed);
}

const scenario small_blocked = { "blocked", blocked_run };
const scenario small_cancel = { "cancel", cancel_run };
const scenario small_close = { "close", close_run };
const scenario small_crowded = { "crowded", crowded_run };
const scenario small_gate = { "gate", gate_run };
const scenario small_idle = { "idle", idle_run };
const scenario small_inherit = { "inherit", inherit_run };
const scenario small_log = { "log", log_run };
const scenario small_migrate = { "migrate", migrate_run };
const scenario small_place = { "place", place_run };
const scenario small_posters = { "posters", posters_run };
const scenario small_release = { "release", release_run };
const scenario small_seat = { "seat", seat_run };
const scenario small_stop = { "stop", stop_run };
const scenario small_store = { "store", store_run };
const scenario small_twins = { "twins", twins_run };
const scenario small_undo = { "undo", undo_run };
const scenario small_wake = { "wake", wake_run };
