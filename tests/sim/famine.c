/* SPDX-License-Identifier: MIT */
/*
 * Famine: in a small life of everything that the library offers, the n-th allocation fails, or all from
 * there on until memory comes back.  A call says GN_ENOMEM only when it was refused memory; without famine
 * nothing fails; each operation still completes once, each connection that opened closes, nothing is torn,
 * lost in the middle or leaked; and when there is memory again the engine serves as before.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 3
#define THREADS 2
#define JOBS 14
#define HANDLES 16
#define TOTAL 3000
#define PATIENCE (600 * SECOND)
#define HOST "127.0.0.1:6000"

typedef struct larder { /* the allocator */
    uint64_t count, from, to; /* those numbered from..to-1 fail */
    uint64_t failed, blocks, bytes;
} larder;

static larder food;
static _Thread_local uint64_t refused_here;

static int refuse(void)
{
    food.count++;
    if (food.count < food.from || food.count >= food.to)
        return 0;
    food.failed++;
    refused_here++;
    return 1;
}

static void *take(size_t size, void *user)
{
    (void)user;
    void *p = refuse() ? NULL : malloc(size);
    if (p != NULL) {
        memset(p, 0xC3, size);
        food.blocks++;
        food.bytes += size;
    }
    return p;
}

static void give(void *p, size_t size, void *user)
{
    (void)user;
    must(food.blocks > 0 && food.bytes >= size, "more memory is given back than was taken");
    memset(p, 0x3C, size);
    food.blocks--;
    food.bytes -= size;
    free(p);
}

static void *change(void *p, size_t old_size, size_t new_size, void *user)
{
    void *q = take(new_size, user);

    if (q == NULL)
        return NULL;
    memcpy(q, p, old_size < new_size ? old_size : new_size);
    give(p, old_size, user);
    return q;
}

static int hungry(void)
{
    return food.failed > 0 || gnp_sim_faults() > 0;
}

/* What a call gives back, and what this thread had been refused before it. */
static int fair(const char *call, int rc, uint64_t before)
{
    gnp_sim_note(call, rc, (int64_t)(refused_here - before));
    must(rc == GN_OK || hungry() || rc == GN_ECLOSED || rc == GN_EPIPE || rc == GN_EBUSY, "%s: %s", call,
         gn_strerror(rc));
    must(rc != GN_ENOMEM || refused_here > before || gnp_sim_faults() > 0, "%s: no memory, but there was",
         call);
    return rc;
}

/* ------------------------------------------------------------------- server */

typedef struct home {
    gn_engine *engine;
    gn_pool *pool;
    uint64_t opened, closed, asked, done;
    gn_handle handles[HANDLES];
    unsigned handle_count;
    int stopping, over, well; /* well: memory is back, and what begins now succeeds */
} home;

static gn_action on_open(gn_conn *c, void *user)
{
    home *h = user;

    h->opened++;
    h->handles[h->handle_count++ % HANDLES] = gn_conn_handle(c);
    if (one_in(3)) {
        uint64_t b = refused_here;
        (void)fair("set_watermarks", gn_conn_set_watermarks(c, 4096, 10), b);
        b = refused_here;
        (void)fair("set_limits", gn_conn_set_limits(c, 8192, 1u << 20), b);
    }
    if (one_in(3)) {
        uint64_t b = refused_here;
        (void)fair("read_deadline", gn_conn_set_read_deadline(c, 3600 * SECOND), b);
    }
    return GN_NONE;
}

/* Lazily, so that bytes stay buffered now and then. */
static gn_action on_traffic(gn_conn *c, void *user)
{
    size_t n;
    uint64_t b = refused_here;
    const void *p = gn_conn_peek(c, &n);

    (void)user;
    if (n > 1 && one_in(4) && gn_wake(gn_conn_handle(c), NULL, NULL) == GN_OK)
        n /= 2;
    b = refused_here;
    if (n > 0 && fair("write", gn_conn_write(c, p, n), b) != GN_OK)
        return GN_CLOSE;
    (void)gn_conn_discard(c, n);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    home *h = user;

    (void)c;
    gnp_sim_note("on_close", reason, 0);
    must(reason != GN_ENOMEM || hungry(), "closed for want of memory, but there was");
    h->closed++;
    return GN_NONE;
}

/* --------------------------------------------------------------- operations */

static void on_done(gn_handle handle, int status, void *arg)
{
    home *h = arg;

    (void)handle;
    gnp_sim_note("done", status, 0);
    must(status == GN_OK || hungry() || status == GN_ECLOSED || status == GN_ECANCELED ||
             status == GN_ESHUTDOWN || status == GN_EBUSY || status == GN_ECONNREFUSED ||
             status == GN_ETIMEDOUT,
         "an operation ends with %s", gn_strerror(status));
    h->done++;
}

static void work(void *arg)
{
    (void)arg;
    gnp_sim_sleep(gnp_sim_below(2 * MS));
}

static void task(int status, void *arg)
{
    on_done(GN_HANDLE_NONE, status, arg);
}

static int dial(home *h, gn_handle loop)
{
    static const char *const hosts[] = { ("tcp://" HOST), "tcp://two.test:6000", "tcp://127.0.0.1:6001" };
    gn_dial_options o;

    gn_dial_options_init(&o);
    o.timeout_ns = 2 * SECOND;
    return gn_dial(loop, hosts[gnp_sim_below(3)], &o, on_done, h, NULL);
}

static int schedule(home *h, gn_handle loop)
{
    gn_op op;
    int rc = gn_schedule(loop, gnp_sim_below(50) * MS, on_done, h, &op);

    if (rc == GN_OK && one_in(2)) {
        uint64_t b = refused_here;
        (void)fair("cancel", gn_cancel(op), b);
    }
    return rc;
}

static int operation(home *h, gn_handle conn, gn_handle loop)
{
    switch (gnp_sim_below(10)) {
    case 0: return gn_execute(loop, on_done, h);
    case 1: return gn_execute_low(conn, on_done, h);
    case 2: return schedule(h, loop);
    case 3: return gn_offload(h->pool, conn, work, on_done, h);
    case 4: return gn_pool_submit(h->pool, task, h);
    case 5: return dial(h, loop);
    case 6: return gn_migrate(conn, loop, on_done, h) == GN_OK ? GN_OK : GN_ECLOSED;
    case 7: return gn_wake(conn, on_done, h);
    case 8: return one_in(4) ? gn_close(conn, on_done, h) : gn_write(conn, NULL, 0, on_done, h);
    default: return gn_pool_try_submit(h->pool, task, h);
    }
}

static void poster_run(void *arg)
{
    home *h = arg;

    for (unsigned n = (unsigned)gnp_sim_below(JOBS); n > 0; n--) {
        gn_handle loop = gn_engine_loop(h->engine, (unsigned)gnp_sim_below(gn_engine_loop_count(h->engine)));
        gn_handle conn = h->handle_count == 0 ? loop : h->handles[gnp_sim_below(h->handle_count) % HANDLES];
        h->asked++;
        uint64_t b = refused_here;
        if (fair("operation", operation(h, conn, loop), b) != GN_OK)
            h->asked--;
        if (one_in(2))
            gnp_sim_sleep(gnp_sim_below(10 * MS));
    }
}

/* -------------------------------------------------------------------- peers */

typedef struct talk {
    home *home;
    const char *addr;
    gnp_sim_peer *peer;
    uint32_t key;
    size_t total, got;
    int well;
} talk;

static void say(void *arg)
{
    talk *t = arg;
    unsigned char part[TOTAL];

    stream_fill(t->key, 0, part, t->total);
    if (gnp_sim_send(t->peer, part, t->total, NULL) == 0)
        gnp_sim_half_close(t->peer);
}

static void talk_run(void *arg)
{
    talk *t = arg;
    unsigned char part[600];
    int64_t n = 1;

    gnp_sim_sleep(gnp_sim_below(10 * MS));
    t->peer = gnp_sim_connect(t->addr, NULL);
    if (t->peer == NULL) {
        must(hungry() && !t->well, "connect");
        return;
    }
    gnp_sim_thread *writer = gnp_sim_spawn(say, t, "says");
    while ((n = gnp_sim_recv(t->peer, part, sizeof part, PATIENCE)) > 0) {
        for (int64_t i = 0; i < n; i++, t->got++)
            must(part[i] == stream_byte(t->key, t->got), "byte %zu is another one", t->got);
    }
    gnp_sim_note("talk", (int64_t)t->got, n);
    must(n != GNP_SIM_TIMEOUT, "the echo stops after %zu of %zu bytes", t->got, t->total);
    must(t->got == t->total || gnp_sim_faults() > 0 || (food.failed > 0 && !t->well) || t->home->asked > 0,
         "%zu of %zu bytes come back", t->got, t->total);
    must(t->got == t->total || !t->well || gnp_sim_faults() > 0,
         "after the famine %zu of %zu bytes come back", t->got, t->total);
    gnp_sim_join(writer);
    gnp_sim_close(t->peer, 0);
}

static void host_run(void *arg)
{
    const home *h = arg;
    gnp_sim_server *l = gnp_sim_listen(HOST, 20);
    char part[64];

    while (!h->over) {
        gnp_sim_peer *p = gnp_sim_accept(l, 50 * MS);
        if (p != NULL)
            gnp_sim_close(p, one_in(2) && gnp_sim_recv(p, part, sizeof part, 5 * MS) > 0);
    }
    gnp_sim_server_close(l);
}

static void draw_talk(talk *t, home *h, const char *addr, uint32_t key, int well)
{
    size_t most = gnp_sim_knobs_now()->pipe_bytes < 100 ? 60 : TOTAL;

    *t = (talk){ .home = h, .addr = addr, .key = key, .well = well };
    t->total = (size_t)gnp_sim_below(most + 1);
}

/* --------------------------------------------------------------------- run */

static int open_home(home *h, const gn_handler *handler)
{
    gn_options o;
    uint64_t b;
    int rc;

    draw_options(&o);
    b = refused_here;
    rc = fair("pool", gn_pool_create(&h->pool, NULL), b);
    if (rc != GN_OK)
        return 0;
    b = refused_here;
    rc = fair("create", gn_engine_create(&h->engine, handler, h, &o), b);
    for (unsigned i = 0; rc == GN_OK && i < 2; i++) {
        b = refused_here;
        const char *addr = i == 0 ? draw_stream_address() : "udp://127.0.0.1:0";
        rc = fair("listen", gn_engine_listen(h->engine, addr), b);
    }
    if (rc == GN_OK)
        rc = gn_engine_start(h->engine);
    gnp_sim_note("start", rc, 0);
    must(rc == GN_OK || rc == GN_ENOMEM || gnp_sim_faults() > 0, "start: %s", gn_strerror(rc));
    must(rc == GN_OK || hungry(), "it does not start, but there is memory");
    if (rc == GN_OK)
        return 1;
    must(gn_engine_destroy(h->engine) == GN_OK, "what did not start is not destroyed");
    must(gn_pool_destroy(h->pool) == GN_OK, "the pool is not destroyed");
    return 0;
}

static void live(home *h)
{
    talk talks[PEERS], last;
    char addr[GN_ADDR_TEXT_MAX];
    unsigned n = 1 + (unsigned)gnp_sim_below(PEERS), posters = (unsigned)gnp_sim_below(THREADS + 1);
    crew peers = { .n = 0 }, hosts = { .n = 0 };

    peer_address(h->engine, 0, addr, sizeof addr);
    crew_add(&hosts, host_run, h, "host");
    for (unsigned i = 0; i < n; i++) {
        draw_talk(&talks[i], h, addr, i, 0);
        crew_add(&peers, talk_run, &talks[i], "peer");
    }
    for (unsigned i = 0; i < posters; i++)
        crew_add(&peers, poster_run, h, "poster");
    gnp_sim_sleep(gnp_sim_below(60 * MS));
    food.to = 0; /* memory is back */
    crew_join(&peers);
    draw_talk(&last, h, addr, 77, 1);
    talk_run(&last);
    h->over = 1;
    crew_join(&hosts);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close
    };
    static const gn_allocator allocator = { take, change, give, NULL };
    home h = { 0 };

    (void)arg;
    food = (larder){ .from = 1 + gnp_sim_below(one_in(3) ? 30 : 150) };
    food.to = one_in(2) ? food.from + 1 : one_in(2) ? food.from + 1 + gnp_sim_below(20) : UINT64_MAX;
    must(gn_set_allocator(&allocator) == GN_OK, "the allocator is not taken");
    if (open_home(&h, &handler)) {
        live(&h);
        (void)gn_engine_stop(h.engine, 5 * SECOND);
        int rc = gn_engine_join(h.engine);
        must(rc == GN_OK || hungry(), "join: %s", gn_strerror(rc));
        must(gn_pool_destroy(h.pool) == GN_OK, "the pool is not destroyed");
        must(gn_engine_destroy(h.engine) == GN_OK, "the engine is not destroyed");
    }
    must(h.asked == h.done, "%llu operations, %llu ended", (unsigned long long)h.asked,
         (unsigned long long)h.done);
    must(h.opened == h.closed, "%llu opened, %llu closed", (unsigned long long)h.opened,
         (unsigned long long)h.closed);
    must(food.blocks == 0 && food.bytes == 0, "%llu blocks, %llu bytes are not given back",
         (unsigned long long)food.blocks, (unsigned long long)food.bytes);
    must(gn_set_allocator(NULL) == GN_OK, "the allocator is not let go");
}

const scenario scenario_famine = { "famine", run };
