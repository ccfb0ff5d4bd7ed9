/* SPDX-License-Identifier: MIT */
/*
 * Offloaded work: many jobs of one connection at a time, and jobs for whole loops from user threads, while
 * connections move, close and are reset, the pool is resized, released and opened again, and the engine
 * stops.  The work of each job is done once, its end comes once, on the loop that has the connection, and
 * what the ends write arrives in their order.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 4
#define ASK_MAX 40
#define THREADS 2
#define JOBS 20
#define PATIENCE (600 * SECOND)

typedef struct server {
    gn_engine *engine;
    unsigned char order[PEERS][ASK_MAX]; /* in which the ends came */
    unsigned ends[PEERS];
    gn_pool *pool;
    unsigned capacity;
    uint64_t queue_max, working;
    uint64_t opened, closed, asked, done, moves, moved;
    int stopping, releasing, released, over;
} server;

typedef struct session { /* of a connection; freed by the last of its jobs */
    uint32_t peer, taken, under_way;
    int known, closed;
} session;

typedef struct job {
    server *server;
    session *session; /* NULL: of a loop */
    unsigned loop;
    unsigned char number;
    int worked, ended;
} job;

static void session_free(session *z)
{
    if (z->closed && z->under_way == 0)
        free(z);
}

/* --------------------------------------------------------------------- jobs */

static void work(void *arg)
{
    job *j = arg;
    server *s = j->server;

    must(!j->worked && !j->ended, "a job is worked on twice, or after its end");
    must(gn_loop_current() == NULL, "work is done on a loop");
    must(++s->working <= s->capacity, "%llu jobs run, of %u", (unsigned long long)s->working, s->capacity);
    j->worked = 1;
    if (one_in(2))
        gnp_sim_sleep(gnp_sim_below(3 * MS));
    s->working--;
}

static void check_end(const job *j, int status)
{
    const server *s = j->server;

    must(!j->ended, "a job ends twice");
    switch (status) {
    case GN_OK:
        must(j->worked && gn_loop_current() != NULL, "a job ends without work, or not on a loop");
        break;
    case GN_ECLOSED: must(j->worked, "the work of a job was not done, and nobody cancelled it"); break;
    case GN_ECANCELED: must(!j->worked && s->releasing, "a job was cancelled by nobody, or too late"); break;
    default: gnp_sim_fail("a job ended with %s", gn_strerror(status));
    }
}

static void loop_job_end(gn_handle h, int status, void *arg)
{
    job *j = arg;
    server *s = j->server;

    gnp_sim_note("loop job", status, (int64_t)j->loop);
    check_end(j, status);
    if (status == GN_OK)
        must(gn_loop_handle(gn_loop_current()) == h && gn_loop_index(gn_loop_current()) == j->loop,
             "a job of loop %u ends on another", j->loop);
    must(status != GN_ECLOSED || s->stopping, "a loop is gone");
    j->ended = 1;
    s->done++;
    free(j);
}

static gn_action take_more(gn_conn *c, session *z, server *s);

static void job_end(gn_handle h, int status, void *arg)
{
    job *j = arg;
    server *s = j->server;
    session *z = j->session;
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(h) : NULL;

    gnp_sim_note("job", status, j->number);
    check_end(j, status);
    must(status != GN_OK || c != NULL, "a job ends well on a connection that is not here");
    must(c == NULL || gn_conn_context(c) == z, "a job ends on another's connection");
    must(status != GN_ECLOSED || z->closed || s->stopping, "a job finds no connection, but it is open");
    j->ended = 1;
    s->done++;
    if (status == GN_ECANCELED) /* nobody will answer */
        (void)gn_close(h, NULL, NULL);
    z->under_way--;
    if (c != NULL) {
        unsigned char line[2] = { (unsigned char)z->peer, j->number };
        int rc = gn_conn_write(c, line, sizeof line);
        must(rc == GN_OK || rc == GN_ECLOSED || gnp_sim_faults() > 0, "write: %s", gn_strerror(rc));
        if (rc == GN_OK)
            s->order[z->peer][s->ends[z->peer]++] = j->number;
        if (rc != GN_OK || take_more(c, z, s) == GN_CLOSE)
            (void)gn_conn_close(c);
    }
    session_free(z);
    free(j);
}

static int hand_over(gn_handle h, server *s, session *z, unsigned loop, unsigned char number)
{
    job *j = calloc(1, sizeof *j);
    int rc;

    must(j != NULL, "no memory");
    *j = (job){ .server = s, .session = z, .loop = loop, .number = number };
    s->asked++;
    if (z != NULL)
        z->under_way++;
    rc = gn_offload(s->pool, h, work, z != NULL ? job_end : loop_job_end, j);
    gnp_sim_note("offload", rc, number);
    if (rc == GN_OK)
        return GN_OK;
    must(rc == GN_ELIMIT || (rc == GN_ECLOSED && s->released) || gnp_sim_faults() > 0, "offload: %s",
         gn_strerror(rc));
    s->asked--;
    if (z != NULL)
        z->under_way--;
    free(j);
    return rc;
}

/* --------------------------------------------------------------- connections */

static gn_action on_open(gn_conn *c, void *user)
{
    session *z = calloc(1, sizeof *z);

    must(z != NULL, "no memory");
    gnp_sim_note("on_open", 0, 0);
    ((server *)user)->opened++;
    gn_conn_set_context(c, z);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    must(z != NULL && !z->closed, "on_close twice");
    ((server *)user)->closed++;
    z->closed = 1;
    gn_conn_set_context(c, NULL);
    session_free(z);
    return GN_NONE;
}

/* A job that does not get in stays a request; the next end, or the next bytes, try again. */
static gn_action take_more(gn_conn *c, session *z, server *s)
{
    const unsigned char *p;
    size_t n;

    while ((p = gn_conn_peek(c, &n)) != NULL && n >= 2) {
        must(!z->known || p[0] == z->peer, "bytes of peer %u on the connection of %u", p[0], z->peer);
        must(p[1] == z->taken, "request %u comes after %u", p[1], z->taken);
        z->known = 1;
        z->peer = p[0];
        int rc = hand_over(gn_conn_handle(c), s, z, 0, p[1]);
        if (rc == GN_ELIMIT && z->under_way > 0)
            return GN_NONE;
        if (rc != GN_OK)
            return GN_CLOSE; /* and the peer sees a prefix */
        z->taken++;
        (void)gn_conn_discard(c, 2);
    }
    return GN_NONE;
}

static void on_moved(gn_handle h, int status, void *arg)
{
    server *s = arg;

    (void)h;
    gnp_sim_note("moved", status, 0);
    s->moved++;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    session *z = gn_conn_context(c);
    gn_action a = take_more(c, z, s);

    gnp_sim_note("on_traffic", (int64_t)gn_conn_inbound(c), a);
    if (one_in(6)) {
        gn_handle to = gn_engine_loop(s->engine, (unsigned)gnp_sim_below(gn_engine_loop_count(s->engine)));
        s->moves++;
        if (to == GN_HANDLE_NONE || gn_migrate(gn_conn_handle(c), to, on_moved, s) != GN_OK)
            s->moves--;
    }
    return one_in(40) ? GN_CLOSE : a;
}

/* -------------------------------------------------------------------- peers */

typedef struct asker {
    const char *addr;
    const server *server;
    gnp_sim_peer *peer;
    unsigned char id;
    unsigned requests;
    int resets, cut; /* cut: a send has told of the end of the connection, which recv does not tell again */
} asker;

static void ask(asker *a)
{
    for (unsigned i = 0; i < a->requests; i++) {
        unsigned char r[2] = { a->id, (unsigned char)i };
        a->cut = gnp_sim_send(a->peer, r, sizeof r, NULL) != 0;
        if (a->cut)
            return;
        if (one_in(4))
            gnp_sim_sleep(gnp_sim_below(2 * MS));
    }
}

/* Each answer once; they are fewer than the requests only when the server has closed. */
static void listen_to(asker *a)
{
    unsigned char r[2], seen[ASK_MAX] = { 0 };
    size_t have = 0;
    unsigned replies = 0;
    int64_t k = 1;

    while (replies < a->requests &&
           (k = gnp_sim_recv(a->peer, r + have, sizeof r - have, PATIENCE)) > 0) {
        have += (size_t)k;
        if (have < sizeof r)
            continue;
        have = 0;
        must(r[0] == a->id, "an answer for peer %u comes to %u", r[0], a->id);
        must(r[1] < a->requests && !seen[r[1]]++, "answer %u comes twice, or to nothing", r[1]);
        must(r[1] == a->server->order[a->id][replies], "answer %u comes out of order", r[1]);
        replies++;
        if (a->resets && one_in(4))
            return;
    }
    must(k != GNP_SIM_TIMEOUT, "answer %u of %u does not come", replies, a->requests);
    /* A connection that breaks or is cut ends with a reset, which Unix sockets do not have. */
    must(k != GNP_SIM_EOF || have == 0 || a->cut ||
             (a->addr[0] == 'u' && (gnp_sim_faults() > 0 || a->server->stopping)),
         "half an answer");
    gnp_sim_note("answers", (int64_t)replies, (int64_t)k);
}

static void asker_run(void *arg)
{
    asker *a = arg;

    gnp_sim_sleep(gnp_sim_below(5 * MS));
    a->peer = gnp_sim_connect(a->addr, NULL);
    if (a->peer == NULL) {
        must(gnp_sim_faults() > 0 || a->server->stopping, "connect");
        return;
    }
    ask(a); /* what is on its way fits into any pipe, or somebody reads it */
    listen_to(a);
    if (a->resets)
        gnp_sim_reset(a->peer);
    gnp_sim_close(a->peer, 0);
}

/* Jobs for loops, from outside. */
static void poster_run(void *arg)
{
    server *s = arg;

    for (unsigned n = (unsigned)gnp_sim_below(JOBS); n > 0; n--) {
        unsigned i = (unsigned)gnp_sim_below(gn_engine_loop_count(s->engine));
        gn_handle h = gn_engine_loop(s->engine, i);
        if (h != GN_HANDLE_NONE)
            (void)hand_over(h, s, NULL, i, (unsigned char)n);
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(2 * MS));
    }
}

static void boss_run(void *arg)
{
    server *s = arg;
    int rc;

    while (!s->over) {
        gnp_sim_sleep(gnp_sim_below(8 * MS));
        if (!one_in(3))
            continue;
        s->releasing = s->released = 1;
        rc = one_in(2) ? gn_pool_release(s->pool) : gn_pool_release_wait(s->pool, gnp_sim_below(3 * MS));
        s->releasing = 0;
        must(rc == GN_OK || rc == GN_ETIMEDOUT, "release: %s", gn_strerror(rc));
        gnp_sim_sleep(gnp_sim_below(2 * MS));
        must(gn_pool_reboot(s->pool) == GN_OK, "reboot");
    }
}

/* --------------------------------------------------------------------- run */

static int make_pool(server *s)
{
    gn_pool_options o;

    gn_pool_options_init(&o);
    o.capacity = s->capacity = 1 + (unsigned)gnp_sim_below(4);
    o.queue_max = s->queue_max = one_in(2) ? gnp_sim_below(4) : 1000;
    o.expiry_ns = one_in(2) ? MS : SECOND;
    int rc = gn_pool_create(&s->pool, &o);
    must(rc == GN_OK || gnp_sim_faults() > 0, "pool: %s", gn_strerror(rc));
    return rc == GN_OK;
}

static void end(server *s)
{
    gn_pool_stats p = { .size = sizeof p };
    int first = one_in(2);

    s->stopping = 1;
    (void)gn_engine_stop(s->engine, gnp_sim_below(3) * SECOND);
    if (first) {
        s->releasing = s->released = 1;
        (void)gn_pool_release(s->pool);
    }
    int rc = gn_engine_join(s->engine);
    must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    s->releasing = 1;
    must(gn_pool_get_stats(s->pool, &p) == GN_OK && p.submitted == s->asked,
         "stats: %llu submitted, not %llu", (unsigned long long)p.submitted, (unsigned long long)s->asked);
    must(gn_pool_destroy(s->pool) == GN_OK, "the pool is not destroyed");
    must(gn_engine_destroy(s->engine) == GN_OK, "the engine is not destroyed");
    must(s->asked == s->done, "%llu jobs, %llu ended", (unsigned long long)s->asked,
         (unsigned long long)s->done);
    must(s->moves == s->moved, "%llu moves, %llu ended", (unsigned long long)s->moves,
         (unsigned long long)s->moved);
    must(s->opened == s->closed, "%llu opened, %llu closed", (unsigned long long)s->opened,
         (unsigned long long)s->closed);
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };
    server s = { 0 };
    asker askers[PEERS];
    crew peers = { .n = 0 }, others = { .n = 0 };
    unsigned n = 1 + (unsigned)gnp_sim_below(PEERS), posters = (unsigned)gnp_sim_below(THREADS + 1);
    char addr[GN_ADDR_TEXT_MAX];
    gn_options o;

    (void)arg;
    draw_options(&o);
    if (!make_pool(&s))
        return;
    s.engine = serve(&handler, &s, &o, draw_stream_address());
    if (s.engine == NULL) {
        must(gn_pool_destroy(s.pool) == GN_OK, "the pool is not destroyed");
        return;
    }
    peer_address(s.engine, 0, addr, sizeof addr);
    for (unsigned i = 0; i < n; i++) {
        unsigned most = gnp_sim_knobs_now()->pipe_bytes < 2 * ASK_MAX ? 3 : ASK_MAX;
        askers[i] = (asker){
            .addr = addr, .server = &s, .id = (unsigned char)i, .resets = one_in(6),
            .requests = (unsigned)gnp_sim_below(most + 1)
        };
        crew_add(&peers, asker_run, &askers[i], "peer");
    }
    for (unsigned i = 0; i < posters; i++)
        crew_add(&others, poster_run, &s, "poster");
    if (one_in(3))
        crew_add(&others, boss_run, &s, "boss");
    if (one_in(3)) {
        gnp_sim_sleep(gnp_sim_below(20 * MS));
        s.stopping = 1;
        (void)gn_engine_stop(s.engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&peers);
    s.over = 1;
    crew_join(&others);
    end(&s);
}

const scenario scenario_offload = { "offload", run };
