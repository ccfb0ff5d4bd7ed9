/* SPDX-License-Identifier: MIT */
/*
 * Stop, at any moment of anything: dials under way, queued writes, borrowed memory, work on a pool, moves,
 * scheduled operations, paused connections, peers that read nothing or never answer our end; by
 * a thread, from any callback, by an action, before the start, twice.  Every connection that opened closes,
 * every operation completes, on_shutdown comes last; the engine ends by its deadline, and long before it
 * when nothing is left; what was written before the stop arrives when there is time and somebody reads.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 5
#define THREADS 3
#define JOBS 16
#define SESSIONS 64
#define LONG (1000 * SECOND)
#define PATIENCE (2000 * SECOND)
#define SLACK (200 * MS) /* a world without slow calls is never later than that */
#define HOST "127.0.0.1:6000"

enum { READS, STALLS, KEEPS, RESETS, LEAVES, KINDS }; /* KEEPS: reads all and never ends its own stream */

typedef struct session {
    struct server *server;
    uint32_t id;
    gn_handle handle;
    uint64_t written;
    int closed, reason;
    uint64_t closed_at;
} session;

typedef struct server {
    gn_engine *engine;
    gn_pool *pool;
    session sessions[SESSIONS];
    unsigned opened, closed;
    uint64_t asked, done;
    uint64_t stop_by, stopped_at; /* earliest deadline so far; the first stop */
    uint64_t began, joined_at;
    uint64_t drain;               /* of the options */
    int booted, shut, joined, over, stalls;
    size_t budget;                /* bytes that a session may write */
} server;

static int legal(int status)
{
    return status == GN_OK || status == GN_ECLOSED || status == GN_ESHUTDOWN || status == GN_ECANCELED ||
           status == GN_ETIMEDOUT || status == GN_EBUSY || status == GN_ECONNREFUSED || status == GN_EPIPE ||
           status == GN_EOF || status == GN_ECONNRESET || status == GN_EADDR || gnp_sim_faults() > 0;
}

/* Before the call: what it asks may end at once. */
static void stopping(server *s, uint64_t drain)
{
    uint64_t by = gn_now() + drain;

    if (s->stopped_at == 0)
        s->stopped_at = gn_now();
    if (by < s->stop_by)
        s->stop_by = by;
}

static uint64_t draw_drain(void)
{
    return one_in(3) ? 0 : one_in(2) ? gnp_sim_below(300) * MS : LONG;
}

static void stop(server *s)
{
    uint64_t drain = draw_drain();

    gnp_sim_note("stop", (int64_t)drain, 0);
    stopping(s, drain);
    must(gn_engine_stop(s->engine, drain) == GN_OK, "stop");
}

static gn_action maybe_stop(server *s, unsigned n, gn_action otherwise)
{
    must(!s->shut, "a callback after on_shutdown");
    if (!one_in(n))
        return otherwise;
    must(gn_engine_join(s->engine) == GN_EBUSY, "a loop may join its engine");
    if (one_in(2)) {
        stop(s);
        return otherwise;
    }
    stopping(s, s->drain);
    return GN_SHUTDOWN;
}

/* ---------------------------------------------------------------- callbacks */

typedef struct loan {
    server *server;
    size_t n;
    unsigned char data[];
} loan;

static void on_loan(gn_handle h, int status, void *arg)
{
    loan *l = arg;

    (void)h;
    must(legal(status), "borrowed memory comes back with %s", gn_strerror(status));
    memset(l->data, 0xEE, l->n); /* whoever still reads it sends something wrong */
    l->server->done++;
    free(l);
}

static int lend(gn_conn *c, session *z, size_t n)
{
    loan *l = malloc(sizeof *l + n);
    gn_iov v;

    must(l != NULL, "no memory");
    l->server = z->server;
    l->n = n;
    stream_fill(z->id, z->written, l->data, n);
    v = (gn_iov){ l->data, n };
    z->server->asked++;
    int rc = gn_conn_write_ref(c, &v, 1, on_loan, l);
    if (rc != GN_OK) {
        z->server->asked--;
        free(l);
    }
    return rc;
}

static void push(gn_conn *c, session *z)
{
    unsigned char part[600];
    size_t n = 1 + (size_t)gnp_sim_below(sizeof part);
    int rc;

    if (z->written + n > z->server->budget)
        return;
    stream_fill(z->id, z->written, part, n);
    rc = one_in(3) ? lend(c, z, n) : gn_conn_write(c, part, n);
    gnp_sim_note("push", rc, (int64_t)n);
    must(rc == GN_OK || rc == GN_ECLOSED || rc == GN_EPIPE || gnp_sim_faults() > 0, "write: %s",
         gn_strerror(rc));
    z->written += rc == GN_OK ? n : 0;
}

static gn_action on_open(gn_conn *c, void *user)
{
    server *s = user;
    session *z = &s->sessions[s->opened];

    gnp_sim_note("on_open", s->opened, 0);
    must(s->booted && s->opened < SESSIONS, "on_open before on_boot, or too many");
    *z = (session){ .server = s, .id = s->opened++, .handle = gn_conn_handle(c) };
    gn_conn_set_context(c, z);
    unsigned char id = (unsigned char)z->id;
    if (gn_conn_write(c, &id, 1) != GN_OK)
        must(gnp_sim_faults() > 0, "the first write fails");
    push(c, z);
    if (one_in(8))
        (void)gn_conn_pause(c);
    return maybe_stop(s, 60, one_in(30) ? GN_CLOSE : GN_NONE);
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    session *z = gn_conn_context(c);

    must(z != NULL && !z->closed, "on_traffic without on_open, or after on_close");
    (void)gn_conn_discard(c, SIZE_MAX);
    push(c, z);
    return maybe_stop(s, 80, GN_NONE);
}

static gn_action on_eof(gn_conn *c, void *user)
{
    (void)c;
    return maybe_stop(user, 60, one_in(2) ? GN_CLOSE : GN_NONE);
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    server *s = user;
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, z != NULL ? (int64_t)z->id : -1);
    must(z != NULL && !z->closed, "on_close twice, or without on_open");
    must(!s->shut, "on_close after on_shutdown");
    must(reason != GN_ESHUTDOWN || s->stopped_at != 0, "closed by a stop that nobody asked for");
    must(legal(reason), "a connection closes with %s", gn_strerror(reason));
    z->closed = 1;
    z->reason = reason;
    z->closed_at = gn_now();
    s->closed++;
    return maybe_stop(s, 60, GN_NONE);
}

static gn_action on_boot(gn_engine *e, void *user)
{
    server *s = user;

    must(!s->booted && e == s->engine, "on_boot twice");
    s->booted = 1;
    return GN_NONE;
}

static void on_shutdown(gn_engine *e, void *user)
{
    server *s = user;

    gnp_sim_note("on_shutdown", s->opened, s->closed);
    must(e == s->engine && s->booted && !s->shut, "on_shutdown twice, or without on_boot");
    must(s->opened == s->closed, "on_shutdown with %u connections open", s->opened - s->closed);
    s->shut = 1;
}

static gn_action on_tick(gn_engine *e, uint64_t *next_ns, void *user)
{
    const server *s = user;

    (void)e;
    *next_ns = gn_now() < s->began + SECOND ? 10 * MS : 20 * SECOND;
    return maybe_stop(user, 40, GN_NONE);
}

/* --------------------------------------------------------------- operations */

static void on_done(gn_handle h, int status, void *arg)
{
    server *s = arg;

    (void)h;
    must(legal(status), "an operation ends with %s", gn_strerror(status));
    must(!s->shut || status != GN_OK, "an operation succeeds after on_shutdown");
    s->done++;
}

/* On the loop of a connection, or on a worker's thread when all is over. */
static void pushes(gn_handle h, int status, void *arg)
{
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(h) : NULL;

    on_done(h, status, arg);
    if (c == NULL)
        return;
    switch (gnp_sim_below(12)) {
    case 0: (void)gn_conn_pause(c); break;
    case 1: (void)gn_conn_resume(c); break;
    case 2: (void)gn_conn_flush(c); break;
    case 3: (void)gn_conn_shutdown_write(c); break;
    default: push(c, gn_conn_context(c)); break;
    }
}

static void work(void *arg)
{
    (void)arg;
    gnp_sim_sleep(gnp_sim_below(50) * MS);
}

static int dial(server *s, gn_handle loop)
{
    static const char *const hosts[] = { ("tcp://" HOST), "tcp://127.0.0.1:6001", "tcp://slow.test:6000" };
    gn_dial_options o;

    gn_dial_options_init(&o);
    o.timeout_ns = one_in(2) ? 5 * SECOND : 100 * MS;
    return gn_dial(loop, hosts[gnp_sim_below(3)], &o, on_done, s, NULL);
}

#define OFFLOAD 2 /* a pool may take it when the engine is gone */

static int operation(server *s, unsigned what, gn_handle conn, gn_handle loop)
{
    switch (what) {
    case 0: return gn_schedule(conn, gnp_sim_below(2 * SECOND), pushes, s, NULL);
    case 1: return gn_schedule(loop, one_in(2) ? 3600 * SECOND : gnp_sim_below(SECOND), on_done, s, NULL);
    case OFFLOAD: return gn_offload(s->pool, conn, work, pushes, s);
    case 3: return gn_migrate(conn, loop, on_done, s);
    case 4: return gn_wake(conn, on_done, s);
    case 5: return s->opened < SESSIONS / 2 ? dial(s, loop) : gn_execute_low(loop, on_done, s);
    case 6: return one_in(3) ? gn_close(conn, on_done, s) : gn_execute(loop, on_done, s);
    default: return gn_execute(conn, pushes, s);
    }
}

static void poster_run(void *arg)
{
    server *s = arg;

    for (unsigned n = (unsigned)gnp_sim_below(JOBS); n > 0; n--) {
        gn_handle loop = gn_engine_loop(s->engine, (unsigned)gnp_sim_below(gn_engine_loop_count(s->engine)));
        gn_handle conn = s->opened > 0 ? s->sessions[gnp_sim_below(s->opened)].handle : loop;
        unsigned what = (unsigned)gnp_sim_below(10);
        int shut = s->shut;
        s->asked++;
        int rc = operation(s, what, conn, loop);
        gnp_sim_note("operation", rc, what);
        must(!shut || rc != GN_OK || what == OFFLOAD, "an operation is taken after on_shutdown");
        must(rc == GN_OK || rc == GN_ECLOSED || rc == GN_EINVAL || rc == GN_ELIMIT || gnp_sim_faults() > 0,
             "an operation is refused: %s", gn_strerror(rc));
        if (rc != GN_OK)
            s->asked--;
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(40) * MS);
    }
}

/* -------------------------------------------------------------------- peers */

typedef struct talk {
    server *server;
    const char *addr;
    gnp_sim_peer *peer;
    int kind, id, slow;
    uint64_t got;
} talk;

/* To the end of the stream, and what comes is what was written. */
static int64_t read_all(talk *t)
{
    unsigned char part[900];
    int64_t n;

    while ((n = gnp_sim_recv(t->peer, part, t->slow ? 40 : sizeof part, PATIENCE)) > 0) {
        int64_t i = 0;
        if (t->id < 0)
            t->id = part[i++];
        for (; i < n; i++, t->got++)
            must(part[i] == stream_byte((uint32_t)t->id, t->got), "byte %llu is another one",
                 (unsigned long long)t->got);
        if (t->slow && one_in(4))
            gnp_sim_sleep(gnp_sim_below(10) * MS);
    }
    must(n != GNP_SIM_TIMEOUT, "the end of the stream does not come");
    gnp_sim_note("read", (int64_t)t->got, n);
    return n;
}

/* It may be a second or a quarter of an hour. */
static void wait_for_join(const server *s)
{
    for (uint64_t step = MS; !s->joined; step += step / 4)
        gnp_sim_sleep(step);
}

static void talk_on(talk *t)
{
    for (unsigned i = (unsigned)gnp_sim_below(6); i > 0; i--) {
        if (gnp_sim_send(t->peer, "hello", 5, NULL) != 0)
            break;
        if (one_in(2))
            gnp_sim_sleep(gnp_sim_below(30) * MS);
    }
    if (t->kind == READS && one_in(3))
        gnp_sim_half_close(t->peer);
    switch (t->kind) {
    case READS: (void)read_all(t); break;
    case KEEPS:
        (void)read_all(t);
        wait_for_join(t->server);
        break;
    case STALLS:
        wait_for_join(t->server);
        break;
    case RESETS:
        gnp_sim_sleep(gnp_sim_below(60) * MS);
        gnp_sim_reset(t->peer);
        break;
    default: gnp_sim_sleep(gnp_sim_below(60) * MS); break;
    }
}

static void talk_run(void *arg)
{
    talk *t = arg;

    gnp_sim_sleep(gnp_sim_below(40) * MS);
    t->peer = gnp_sim_connect(t->addr, NULL);
    if (t->peer == NULL) {
        must(gnp_sim_faults() > 0 || t->server->stopped_at != 0, "connect");
        return;
    }
    talk_on(t);
    gnp_sim_close(t->peer, 0);
}

/* Where dials end: reads until the end of each, one after the other. */
static void host_run(void *arg)
{
    talk *t = arg;
    gnp_sim_server *l = gnp_sim_listen(HOST, 20);

    while (!t->server->over) {
        if ((t->peer = gnp_sim_accept(l, t->server->joined ? 50 * MS : 5 * SECOND)) == NULL)
            continue;
        t->id = -1;
        t->got = 0;
        int64_t end = read_all(t);
        must(t->id < 0 || end == GNP_SIM_EOF || t->server->stopped_at != 0 || gnp_sim_faults() > 0,
             "a dialled connection was reset");
        gnp_sim_close(t->peer, 0);
    }
    gnp_sim_server_close(l);
}

/* --------------------------------------------------------------------- end */

static void joiner_run(void *arg)
{
    server *s = arg;
    int rc;

    gnp_sim_sleep(gnp_sim_below(60) * MS);
    rc = gn_engine_join(s->engine);
    gnp_sim_note("joiner", rc, 0);
    must(rc == GN_OK || rc == GN_EBUSY || rc == GN_EINVAL || gnp_sim_faults() > 0, "join: %s",
         gn_strerror(rc));
    must((rc == GN_EBUSY || rc == GN_EINVAL) || s->shut, "joined before on_shutdown");
    if (rc == GN_EBUSY || rc == GN_EINVAL)
        return;
    s->joined++;
    s->joined_at = gn_now();
}

static void check_time(const server *s, uint64_t at)
{
    if (gnp_sim_knobs_now()->slow_call != 0 || gnp_sim_faults() > 0)
        return;
    must(at <= s->stop_by + SLACK, "ended %llu ms after the drain",
         (unsigned long long)((at - s->stop_by) / MS));
    must(s->stalls || at <= s->stopped_at + 300 * SECOND, "the stop took %llu s, and nobody stalled",
         (unsigned long long)((at - s->stopped_at) / SECOND));
}

/* All that was written has arrived, where nothing cut it. */
static void check_bytes(const server *s, const talk *t)
{
    const session *z;
    uint64_t cut;

    if (t->id < 0 || (t->kind != READS && t->kind != KEEPS))
        return;
    z = &s->sessions[t->id];
    must(t->got <= z->written, "more arrived than was written");
    cut = s->stop_by > SLACK ? s->stop_by - SLACK : 0;
    if (gnp_sim_faults() > 0 || gnp_sim_knobs_now()->slow_call != 0 || z->closed_at >= cut)
        return;
    must(z->reason != GN_ETIMEDOUT && z->reason != GN_ECANCELED, "connection %d closed with %s", t->id,
         gn_strerror(z->reason));
    must(t->got == z->written, "%llu of %llu bytes arrived on connection %d, which closed with %s",
         (unsigned long long)t->got, (unsigned long long)z->written, t->id, gn_strerror(z->reason));
}

static void check_over(const server *s, gn_handle loop)
{
    must(gn_execute(loop, on_done, NULL) != GN_OK, "a loop that is gone takes work");
    must(gn_dial(loop, "tcp://" HOST, NULL, NULL, NULL, NULL) != GN_OK, "a loop that is gone dials");
    must(gn_engine_conn_count(s->engine) == 0, "connections are counted after the end");
    must(s->opened == 0 || gn_write(s->sessions[0].handle, "x", 1, NULL, NULL) != GN_OK,
         "a connection that is gone takes bytes");
}

static void join_all(server *s, gn_handle loop)
{
    int rc = gn_engine_destroy(s->engine);
    crew joiners = { .n = 0 };

    must(rc == GN_EBUSY, "destroyed while it runs: %s", gn_strerror(rc));
    for (unsigned i = 1 + (unsigned)gnp_sim_below(3); i > 0; i--)
        crew_add(&joiners, joiner_run, s, "joiner");
    if (s->stopped_at == 0 || one_in(3)) {
        gnp_sim_sleep(gnp_sim_below(200) * MS);
        stop(s);
    }
    crew_join(&joiners);
    must(s->joined == 1 && s->shut, "%d threads have joined", s->joined);
    check_time(s, s->joined_at);
    check_over(s, loop);
}

static gn_engine *make(server *s, const gn_handler *h, const gn_options *o, const char *addr)
{
    int rc = gn_engine_create(&s->engine, h, s, o);

    if (rc == GN_OK)
        rc = gn_engine_listen(s->engine, addr);
    if (rc == GN_OK && one_in(20))
        stop(s); /* before it has started */
    if (rc == GN_OK)
        rc = gn_engine_start(s->engine);
    gnp_sim_note("make", rc, 0);
    if (rc == GN_OK)
        return s->engine;
    must(gnp_sim_faults() > 0, "the engine did not start: %s", gn_strerror(rc));
    must(gn_engine_destroy(s->engine) == GN_OK, "destroy");
    return NULL;
}

static void play(server *s, const char *addr)
{
    talk talks[PEERS], host = { .server = s };
    crew peers = { .n = 0 }, others = { .n = 0 }, hosts = { .n = 0 };
    unsigned n = 1 + (unsigned)gnp_sim_below(PEERS), posters = (unsigned)gnp_sim_below(THREADS + 1);
    gn_handle loop = gn_engine_loop(s->engine, 0);

    for (unsigned i = 0; i < n; i++) {
        talks[i] = (talk){ .server = s, .addr = addr, .id = -1, .slow = one_in(6),
                           .kind = one_in(2) ? READS : (int)gnp_sim_below(KINDS) };
        s->stalls |= talks[i].kind == STALLS;
        crew_add(&peers, talk_run, &talks[i], "peer");
    }
    crew_add(&hosts, host_run, &host, "host");
    for (unsigned i = 0; i < posters; i++)
        crew_add(&others, poster_run, s, "poster");
    if (one_in(2)) {
        gnp_sim_sleep(gnp_sim_below(80) * MS);
        stop(s);
    }
    join_all(s, loop);
    crew_join(&others);
    crew_join(&peers);
    s->over = 1;
    crew_join(&hosts);
    for (unsigned i = 0; i < n; i++)
        check_bytes(s, &talks[i]);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_boot = on_boot, .on_shutdown = on_shutdown, .on_open = on_open, .on_traffic = on_traffic,
        .on_eof = on_eof, .on_close = on_close
    };
    static const gn_handler ticking = {
        .on_boot = on_boot, .on_shutdown = on_shutdown, .on_open = on_open, .on_traffic = on_traffic,
        .on_close = on_close, .on_tick = on_tick
    };
    server *s = calloc(1, sizeof *s);
    char addr[GN_ADDR_TEXT_MAX];
    gn_options o;

    (void)arg;
    must(s != NULL, "no memory");
    draw_options(&o);
    o.drain_ns = s->drain = draw_drain();
    s->stop_by = UINT64_MAX;
    s->began = gn_now();
    s->budget = gnp_sim_knobs_now()->pipe_bytes < 1000 ? 300 * gnp_sim_knobs_now()->pipe_bytes : 20000;
    int rc = gn_pool_create(&s->pool, NULL);
    must(rc == GN_OK || gnp_sim_faults() > 0, "pool: %s", gn_strerror(rc));
    if (rc == GN_OK && make(s, one_in(3) ? &ticking : &handler, &o, draw_stream_address()) != NULL) {
        peer_address(s->engine, 0, addr, sizeof addr);
        play(s, addr);
        must(gn_pool_destroy(s->pool) == GN_OK, "the pool is not destroyed");
        must(gn_engine_destroy(s->engine) == GN_OK, "the engine is not destroyed");
        must(s->asked == s->done, "%llu operations, %llu ended", (unsigned long long)s->asked,
             (unsigned long long)s->done);
    } else if (rc == GN_OK) {
        must(gn_pool_destroy(s->pool) == GN_OK, "the pool is not destroyed");
    }
    free(s);
}

const scenario scenario_stop = { "stop", run };
