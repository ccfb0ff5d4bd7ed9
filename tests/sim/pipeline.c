/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies: peers send numbered requests without waiting; each is answered where it came, in
 * order, exactly once.  The server answers at once, later from a pool, or later from a user's thread, by
 * handle; connections move between loops meanwhile.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 4
#define PATIENCE (600 * SECOND)
#define HEAD 8      /* of a request: peer, number, each as 4 bytes in network byte order */
#define BODY_MAX 40 /* of a reply: the number of its bytes comes from its number */

enum { AT_ONCE, BY_POOL, BY_EXECUTE, WAYS };

typedef struct server {
    gn_engine *engine;
    gn_pool *pool;
    int way, moves, stopping;
    uint64_t opened, closed;
    uint64_t asked, done;           /* of asynchronous operations: each done comes once */
} server;

/* A job on its way: one for each connection at a time, so that replies stay in order. */
typedef struct session {
    uint32_t peer, next; /* of the request that comes now */
    int known, busy, closed;
} session;

typedef struct job {
    server *server;
    uint32_t peer, number;
    int worked, ended;
} job;

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

static size_t reply_len(uint32_t peer, uint32_t number)
{
    return HEAD + stream_byte(peer, number) % BODY_MAX;
}

static size_t reply(uint32_t peer, uint32_t number, unsigned char *out)
{
    size_t n = reply_len(peer, number);

    put32(out, peer);
    put32(out + 4, number);
    stream_fill(peer ^ number << 8, 0, out + HEAD, n - HEAD);
    return n;
}

static gn_action on_open(gn_conn *c, void *user)
{
    session *z = calloc(1, sizeof *z);

    must(z != NULL, "no memory");
    ((server *)user)->opened++;
    gn_conn_set_context(c, z);
    gnp_sim_note("on_open", 0, 0);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    must(z != NULL && !z->closed, "on_close twice");
    z->closed = 1;
    gn_conn_set_context(c, NULL);
    free(z);
    ((server *)user)->closed++;
    return GN_NONE;
}

static gn_action answer(gn_conn *c, uint32_t peer, uint32_t number)
{
    unsigned char out[HEAD + BODY_MAX];
    int rc = gn_conn_write(c, out, reply(peer, number, out));

    must(rc == GN_OK || gnp_sim_faults() > 0 || rc == GN_ECLOSED, "write: %s", gn_strerror(rc));
    return rc == GN_OK ? GN_NONE : GN_CLOSE;
}

static gn_action serve_more(gn_conn *c, server *s);

/* The end of work on a connection, on its loop; the connection may be gone. */
static void job_end(gn_handle h, int status, void *arg)
{
    job *j = arg;
    server *s = j->server;
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(h) : NULL;

    gnp_sim_note("job_end", status, j->number);
    must(!j->ended, "a job ended twice");
    must(status == GN_OK || status == GN_ECLOSED || status == GN_ECANCELED, "a job ended with %d", status);
    must(status != GN_OK || c != NULL, "a job ended well on a connection that is gone");
    must(status != GN_OK || s->way != BY_POOL || j->worked, "a job ended well without its work");
    j->ended = 1;
    s->done++;
    if (c != NULL) {
        session *z = gn_conn_context(c);
        must(z != NULL && z->known && z->peer == j->peer, "a job ended on another's connection");
        z->busy = 0;
        if (answer(c, j->peer, j->number) == GN_CLOSE || serve_more(c, s) == GN_CLOSE)
            (void)gn_conn_close(c);
    }
    free(j);
}

static void job_work(void *arg)
{
    job *j = arg;

    must(!j->worked && !j->ended, "a job is worked on twice");
    j->worked = 1;
    gnp_sim_sleep(gnp_sim_below(3) * MS);
}

static void moved(gn_handle h, int status, void *arg)
{
    server *s = arg;

    (void)h;
    gnp_sim_note("moved", status, 0);
    s->done++;
}

static int hand_over(gn_conn *c, server *s, uint32_t peer, uint32_t number)
{
    job *j = calloc(1, sizeof *j);
    int rc;

    must(j != NULL, "no memory");
    *j = (job){ .server = s, .peer = peer, .number = number };
    s->asked++;
    if (s->way == BY_POOL)
        rc = gn_offload(s->pool, gn_conn_handle(c), job_work, job_end, j);
    else
        rc = gn_execute(gn_conn_handle(c), job_end, j);
    gnp_sim_note("hand_over", rc, number);
    if (rc == GN_OK)
        return 1;
    must(gnp_sim_faults() > 0 || rc == GN_ELIMIT || s->stopping, "hand over: %s", gn_strerror(rc));
    s->asked--;
    free(j);
    return 0;
}

/* Now and then a connection goes to another loop. */
static void maybe_move(gn_conn *c, server *s)
{
    unsigned loops = gn_engine_loop_count(s->engine);
    gn_handle to;

    if (!s->moves || !one_in(8))
        return;
    to = gn_engine_loop(s->engine, (unsigned)gnp_sim_below(loops));
    s->asked++;
    if (to == GN_HANDLE_NONE || gn_migrate(gn_conn_handle(c), to, moved, s) != GN_OK)
        s->asked--;
}

/* Takes requests as long as the one before it is answered. */
static gn_action serve_more(gn_conn *c, server *s)
{
    session *z = gn_conn_context(c);
    const unsigned char *p;

    while (!z->busy && (p = gn_conn_next(c, HEAD)) != NULL) {
        uint32_t peer = get32(p), number = get32(p + 4);
        must(!z->known || z->peer == peer, "bytes of peer %u on the connection of %u", peer, z->peer);
        must(number == z->next, "request %u came after %u", number, z->next);
        z->known = 1;
        z->peer = peer;
        z->next++;
        if (s->way != AT_ONCE && hand_over(c, s, peer, number))
            z->busy = 1;
        else if (answer(c, peer, number) == GN_CLOSE)
            return GN_CLOSE;
    }
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    gn_action a = serve_more(c, s);

    gnp_sim_note("on_traffic", (int64_t)gn_conn_inbound(c), a);
    maybe_move(c, s);
    return a;
}

/* The peer may end its stream while replies are still to come. */
static gn_action on_eof(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c);

    (void)user;
    gnp_sim_note("on_eof", z->busy, 0);
    return GN_CLOSE;
}

/* -------------------------------------------------------------------- peers */

typedef struct asker {
    const char *addr;
    const server *server;
    gnp_sim_peer *peer;
    uint32_t id, requests, replies;
} asker;

static void ask(void *arg)
{
    asker *a = arg;
    unsigned char head[HEAD * 8];

    for (uint32_t i = 0; i < a->requests;) {
        size_t n = 0;
        uint32_t together = 1 + (uint32_t)gnp_sim_below(8);
        for (; together > 0 && i < a->requests; together--, i++, n += HEAD) {
            put32(head + n, a->id);
            put32(head + n + 4, i);
        }
        if (gnp_sim_send(a->peer, head, n, NULL) != 0)
            return;
        if (one_in(4))
            gnp_sim_sleep(gnp_sim_below(5) * MS);
    }
}

/* One whole message of n bytes; 0 when the connection has ended. */
static int take(asker *a, unsigned char *out, size_t n)
{
    size_t have = 0;

    while (have < n) {
        int64_t k = gnp_sim_recv(a->peer, out + have, n - have, PATIENCE);
        must(k != GNP_SIM_TIMEOUT, "reply %u of %u does not come", a->replies, a->requests);
        if (k < 0) {
            must(gnp_sim_faults() > 0 || a->server->stopping, "cut after %u of %u replies", a->replies,
                 a->requests);
            return 0;
        }
        have += (size_t)k;
    }
    return 1;
}

static void asker_run(void *arg)
{
    asker *a = arg;
    unsigned char want[HEAD + BODY_MAX], got[HEAD + BODY_MAX];
    int why;

    gnp_sim_sleep(gnp_sim_below(5) * MS);
    a->peer = gnp_sim_connect(a->addr, &why);
    if (a->peer == NULL) {
        must(gnp_sim_faults() > 0 || a->server->stopping, "connect: %d", why);
        return;
    }
    gnp_sim_thread *writer = gnp_sim_spawn(ask, a, "asker");
    for (; a->replies < a->requests; a->replies++) {
        size_t n = reply(a->id, a->replies, want);
        if (!take(a, got, n))
            break;
        must(memcmp(want, got, n) == 0, "reply %u is another one", a->replies);
    }
    gnp_sim_note("asker", a->requests, a->replies);
    gnp_sim_join(writer);
    gnp_sim_close(a->peer, 0);
}

/* ---------------------------------------------------------------------- run */

static gn_pool *make_pool(void)
{
    gn_pool_options o;
    gn_pool *p = NULL;

    gn_pool_options_init(&o);
    o.capacity = 1 + (unsigned)gnp_sim_below(3);
    o.queue_max = one_in(2) ? 2 : 100;
    o.expiry_ns = one_in(2) ? 2 * MS : SECOND;
    int rc = gn_pool_create(&p, &o);
    must(rc == GN_OK || gnp_sim_faults() > 0, "pool: %s", gn_strerror(rc));
    return p;
}

static void talk(server *s, const char *addr)
{
    asker askers[PEERS];
    unsigned peers = 1 + (unsigned)gnp_sim_below(PEERS);
    crew c = { .n = 0 };

    for (unsigned i = 0; i < peers; i++) {
        uint32_t most = gnp_sim_knobs_now()->pipe_bytes < 100 ? 10 : 60;
        askers[i] = (asker){ .addr = addr, .server = s, .id = 100 + i,
                             .requests = (uint32_t)gnp_sim_below(most) };
        crew_add(&c, asker_run, &askers[i], "peer");
    }
    if (one_in(3)) {
        gnp_sim_sleep(gnp_sim_below(40) * MS);
        s->stopping = 1;
        (void)gn_engine_stop(s->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&c);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_close = on_close
    };
    server s = { 0 };
    char addr[GN_ADDR_TEXT_MAX];
    gn_options o;

    (void)arg;
    draw_options(&o);
    s.way = (int)gnp_sim_below(WAYS);
    s.moves = o.loops > 1 && one_in(2);
    if (s.way == BY_POOL && (s.pool = make_pool()) == NULL)
        return;
    s.engine = serve(&handler, &s, &o, draw_stream_address());
    if (s.engine != NULL) {
        peer_address(s.engine, 0, addr, sizeof addr);
        talk(&s, addr);
        s.stopping = 1;
        if (one_in(2) && s.pool != NULL)
            (void)gn_pool_release(s.pool);
        (void)gn_engine_stop(s.engine, 5 * SECOND);
        int rc = gn_engine_join(s.engine);
        must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    }
    must(gn_pool_destroy(s.pool) == GN_OK, "the pool is not destroyed");
    if (s.engine != NULL)
        must(gn_engine_destroy(s.engine) == GN_OK, "the engine is not destroyed");
    must(s.opened == s.closed, "%llu opened, %llu closed", (unsigned long long)s.opened,
         (unsigned long long)s.closed);
    must(s.asked == s.done, "%llu asked, %llu done", (unsigned long long)s.asked, (unsigned long long)s.done);
}

const scenario scenario_pipeline = { "pipeline", run };
