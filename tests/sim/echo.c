/* SPDX-License-Identifier: MIT */
/*
 * Echo: peers send, half-close, stall, read slowly, leave and reset.  What comes back is a prefix of what
 * was sent, in order; it is all of it, and then the end, where nobody cut it; every connection opens and
 * closes once.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 5
#define PATIENCE (600 * SECOND) /* virtual; resends of connects alone take two minutes */

enum { WHOLE, LEAVES, CLOSES, RESETS, ENDINGS }; /* how a peer ends */

typedef struct server {
    uint64_t opened, closed;
    int stopping; /* the test has asked for it */
    int lazy;     /* leaves bytes for the next time */
} server;

typedef struct session {
    uint64_t seen;
    int closed, cut;
} session;

static gn_action on_open(gn_conn *c, void *user)
{
    server *s = user;
    session *z = calloc(1, sizeof *z);

    must(z != NULL && gn_conn_context(c) == NULL, "a new connection has a context");
    gn_conn_set_context(c, z);
    s->opened++;
    gnp_sim_note("on_open", 0, 0);
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    session *z = gn_conn_context(c);
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    int rc;

    must(z != NULL && !z->closed, "on_traffic before on_open or after on_close");
    if (s->lazy && n > 1 && one_in(2) && gn_wake(gn_conn_handle(c), NULL, NULL) == GN_OK)
        n /= 2;
    rc = n > 0 ? gn_conn_write(c, p, n) : GN_OK;
    gnp_sim_note("on_traffic", (int64_t)n, rc);
    if (rc != GN_OK) {
        must(gnp_sim_faults() > 0, "write: %s", gn_strerror(rc));
        z->cut = 1;
        return GN_CLOSE;
    }
    z->seen += gn_conn_discard(c, n);
    if (one_in(8))
        (void)gn_conn_flush(c);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    server *s = user;
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    must(z != NULL && !z->closed, "on_close twice, or without on_open");
    must(gn_conn_write(c, "x", 1) == GN_ECLOSED, "on_close: a write succeeds");
    z->closed = 1;
    s->closed++;
    free(z);
    return GN_NONE;
}

typedef struct talk {
    const char *addr;
    const server *server;
    gnp_sim_peer *peer;
    uint32_t key;
    size_t total;  /* that it sends */
    size_t wanted; /* that it reads before it ends otherwise than WHOLE */
    int ending;
    int slow;
    size_t sent, got;
} talk;

static void pause_now_and_then(const talk *t)
{
    if (t->slow && one_in(3))
        gnp_sim_sleep(gnp_sim_below(200) * MS);
}

static void send_all(void *arg)
{
    talk *t = arg;
    unsigned char part[700];

    while (t->sent < t->total) {
        size_t n = 1 + (size_t)gnp_sim_below(sizeof part), went;
        n = n < t->total - t->sent ? n : t->total - t->sent;
        stream_fill(t->key, t->sent, part, n);
        int rc = gnp_sim_send(t->peer, part, n, &went);
        t->sent += went;
        if (rc != 0)
            return;
        pause_now_and_then(t);
    }
    if (t->ending == WHOLE)
        gnp_sim_half_close(t->peer);
}

static int undisturbed(const talk *t)
{
    return gnp_sim_faults() == 0 && !t->server->stopping;
}

static void receive(talk *t)
{
    unsigned char part[900];

    while (t->ending == WHOLE || t->got < t->wanted) {
        size_t cap = t->slow ? 1 + (size_t)gnp_sim_below(20) : sizeof part;
        int64_t n = gnp_sim_recv(t->peer, part, cap, PATIENCE);
        must(n != GNP_SIM_TIMEOUT, "a peer waits for an answer for ever: %zu sent, %zu came back", t->sent,
             t->got);
        if (n < 0) {
            must(n == GNP_SIM_EOF || !undisturbed(t), "reset: %zu of %zu came back", t->got, t->total);
            must(t->got == t->total || !undisturbed(t), "the end came after %zu of %zu", t->got, t->total);
            return;
        }
        for (int64_t i = 0; i < n; i++, t->got++)
            must(part[i] == stream_byte(t->key, t->got), "byte %zu is another one", t->got);
        must(t->got <= t->total, "more came back than was sent");
        pause_now_and_then(t);
    }
}

static void talk_run(void *arg)
{
    talk *t = arg;
    int why;

    gnp_sim_sleep(gnp_sim_below(20) * MS);
    t->peer = gnp_sim_connect(t->addr, &why);
    if (t->peer == NULL) {
        must(!undisturbed(t), "connect: %d", why);
        return;
    }
    gnp_sim_thread *writer = gnp_sim_spawn(send_all, t, "writer");
    if (t->ending == LEAVES) /* does not even read */
        gnp_sim_sleep(gnp_sim_below(50) * MS);
    else
        receive(t);
    gnp_sim_note("talk", (int64_t)t->sent, (int64_t)t->got);
    if (t->ending == RESETS)
        gnp_sim_reset(t->peer);
    gnp_sim_join(writer);
    gnp_sim_close(t->peer, 0);
}

static void draw_talk(talk *t, const char *addr, const server *s, uint32_t key)
{
    static const size_t sizes[] = { 0, 1, 50, 3000, 20000 };

    memset(t, 0, sizeof *t);
    t->addr = addr;
    t->server = s;
    t->key = key;
    t->slow = one_in(4);
    t->total = pick(sizes, t->slow ? 4 : 5);
    if (t->total > 300 * gnp_sim_knobs_now()->pipe_bytes) /* each byte is an event */
        t->total = 300 * gnp_sim_knobs_now()->pipe_bytes;
    t->ending = one_in(2) ? WHOLE : (int)gnp_sim_below(ENDINGS);
    if (t->ending == LEAVES && t->total > 50)
        t->total = 50; /* its writer must not wait for a reader */
    t->wanted = t->ending == CLOSES ? t->total : (size_t)gnp_sim_below(t->total + 1);
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };
    server s = { 0 };
    talk talks[PEERS];
    unsigned peers = 1 + (unsigned)gnp_sim_below(PEERS);
    char addr[GN_ADDR_TEXT_MAX];
    gn_options o;
    crew c = { .n = 0 };

    (void)arg;
    draw_options(&o);
    s.lazy = one_in(3);
    gn_engine *e = serve(&handler, &s, &o, draw_stream_address());
    if (e == NULL)
        return;
    peer_address(e, 0, addr, sizeof addr);
    for (unsigned i = 0; i < peers; i++) {
        draw_talk(&talks[i], addr, &s, i);
        crew_add(&c, talk_run, &talks[i], "peer");
    }
    if (one_in(3)) { /* in the middle of it */
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        s.stopping = 1;
        (void)gn_engine_stop(e, gnp_sim_below(2) * SECOND);
    }
    crew_join(&c);
    s.stopping = 1;
    finish(e, 5 * SECOND);
    must(s.opened == s.closed, "%llu opened, %llu closed", (unsigned long long)s.opened,
         (unsigned long long)s.closed);
}

const scenario scenario_echo = { "echo", run };
