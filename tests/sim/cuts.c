/* SPDX-License-Identifier: MIT */
/*
 * What the network does to an echo: connections that are stalled, cut with part of what is under way, lost
 * with their host, flooded by who reads nothing, and a partition of the whole.  What comes back is always a
 * prefix of what was sent, and all of it where nobody cut it; of a host that is gone the server hears.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 4
#define BYTES 100 /* the server keeps so much; and by the byte it takes less than the 60 s of a close */
#define PATIENCE (600 * SECOND)

enum { STALLED, CUT, GONE, FLOODS, PARTED, FATES };

typedef struct stage {
    gn_engine *engine;
    unsigned opened, closed;
    char addr[GN_ADDR_TEXT_MAX];
} stage;

typedef struct session {
    uint64_t got; /* by the server, */
    uint32_t key; /* of the peer that sent its number first */
    int reason;   /* of the close; 1: none yet */
} session;

static session sessions[PEERS]; /* by key */

static gn_action on_open(gn_conn *c, void *user)
{
    ((stage *)user)->opened++;
    gn_conn_set_context(c, NULL);
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c);
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);

    (void)user;
    if (z == NULL && n > 0) { /* the first byte says who it is */
        must(p[0] < PEERS, "nobody's number");
        z = &sessions[p[0]];
        gn_conn_set_context(c, z);
        (void)gn_conn_discard(c, 1);
        p = gn_conn_peek(c, &n);
    }
    if (n == 0)
        return GN_NONE;
    if (z->key != FLOODS) {
        for (size_t i = 0; i < n; i++)
            must(p[i] == stream_byte(z->key, z->got + i), "the server got another byte");
    }
    z->got += n;
    int rc = gn_conn_write(c, p, n);
    must(rc == GN_OK || gnp_sim_faults() > 0, "write: %s", gn_strerror(rc));
    (void)gn_conn_discard(c, n);
    return rc == GN_OK ? GN_NONE : GN_CLOSE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    ((stage *)user)->closed++;
    if (z != NULL)
        z->reason = reason;
    return GN_NONE;
}

typedef struct talk {
    stage *stage;
    gnp_sim_peer *peer;
    unsigned number;
    int fate;
    size_t sent;
} talk;

static int send_part(talk *t, size_t upto)
{
    unsigned char part[BYTES];
    size_t went;

    stream_fill(sessions[t->number].key, t->sent, part, upto - t->sent);
    int rc = gnp_sim_send(t->peer, part, upto - t->sent, &went);
    t->sent += went;
    return rc;
}

/* All that was sent comes back, and then the end, unless a fault has been. */
static void expect_all(talk *t)
{
    unsigned char part[512];
    size_t got = 0;
    int64_t k;

    gnp_sim_half_close(t->peer);
    while ((k = gnp_sim_recv(t->peer, part, sizeof part, PATIENCE)) > 0) {
        for (int64_t i = 0; i < k; i++, got++)
            must(part[i] == stream_byte(sessions[t->number].key, got), "byte %zu is another one", got);
    }
    must(k != GNP_SIM_TIMEOUT, "the end does not come: %zu of %zu came back", got, t->sent);
    must((k == GNP_SIM_EOF && got == t->sent) || gnp_sim_faults() > 0, "%zu of %zu came back", got, t->sent);
}

/* Nothing gets through for a while; then everything does. */
static void apart(talk *t, int whole)
{
    uint64_t before = 0;

    if (send_part(t, 1 + (size_t)gnp_sim_below(100)) != 0)
        return;
    if (whole)
        gnp_sim_partition(1);
    else
        gnp_sim_stall(t->peer, 1);
    before = sessions[t->number].got;
    gnp_sim_sleep(gnp_sim_below(3) * SECOND);
    must(sessions[t->number].got == before || gnp_sim_knobs_now()->slow_call > 0 || whole ||
             sessions[t->number].got <= t->sent,
         "bytes got through");
    if (whole)
        gnp_sim_partition(0);
    else
        gnp_sim_stall(t->peer, 0);
    if (send_part(t, BYTES) == 0)
        expect_all(t);
}

static void cut(talk *t)
{
    size_t n = 1 + (size_t)gnp_sim_below(BYTES - 1);
    int64_t k;
    char c;

    if (send_part(t, n) != 0)
        return;
    gnp_sim_cut(t->peer, (size_t)gnp_sim_below(n));
    while ((k = gnp_sim_recv(t->peer, &c, 1, SECOND)) > 0)
        ;
    must(k != GNP_SIM_TIMEOUT, "a cut connection lives on");
    must(sessions[t->number].got <= t->sent, "more arrived than was sent");
}

/* The server hears of it in 1 to 20 s, if it still can. */
static void vanish(talk *t)
{
    const session *z = &sessions[t->number];
    size_t n = 1 + (size_t)gnp_sim_below(BYTES - 1);

    if (send_part(t, n) != 0)
        return;
    while (z->got == 0 && gnp_sim_faults() == 0)
        gnp_sim_sleep(MS);
    uint64_t faults = gnp_sim_faults(); /* the host may be gone already, before it said who it is */
    gnp_sim_vanish(t->peer);
    uint64_t until = gn_now() + 25 * SECOND;
    while (z->reason == 1 && gn_now() < until)
        gnp_sim_sleep(100 * MS);
    must(z->reason != 1 || faults > 0 || gnp_sim_faults() > 1 || gnp_sim_knobs_now()->slow_call > 0,
         "nobody tells of a host that is gone");
}

/* Sends and reads nothing; then leaves. */
static void flood(talk *t)
{
    uint64_t n = gnp_sim_flood(t->peer, 20000, 2 * SECOND);

    gnp_sim_note("flood", (int64_t)n, (int64_t)sessions[t->number].got);
    must(sessions[t->number].got <= n, "more arrived than was sent");
}

static void talk_run(void *arg)
{
    talk *t = arg;
    unsigned char number = (unsigned char)t->number;

    sessions[t->number] = (session){ .key = t->number == FLOODS ? FLOODS + 1 : t->number, .reason = 1 };
    if (t->fate == FLOODS)
        sessions[t->number].key = FLOODS;
    t->peer = gnp_sim_connect(t->stage->addr, NULL);
    if (t->peer == NULL)
        return;
    if (gnp_sim_send(t->peer, &number, 1, NULL) == 0) {
        switch (t->fate) {
        case STALLED: apart(t, 0); break;
        case CUT: cut(t); break;
        case GONE: vanish(t); break;
        case FLOODS: flood(t); break;
        default: apart(t, 1); break;
        }
    }
    gnp_sim_close(t->peer, one_in(3));
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };
    stage s = { 0 };
    talk talks[PEERS];
    crew c = { .n = 0 };
    unsigned n = 1 + (unsigned)gnp_sim_below(PEERS);
    gn_options o;

    (void)arg;
    draw_options(&o);
    o.close_timeout_ns = PATIENCE; /* a pipe of one byte may take longer than its 30 s */
    o.stall_ns = 0;
    s.engine = serve(&handler, &s, &o, one_in(2) ? "tcp://127.0.0.1:0" : "tcp://[::1]:0");
    if (s.engine == NULL)
        return;
    peer_address(s.engine, 0, s.addr, sizeof s.addr);
    for (unsigned i = 0; i < n; i++) {
        talks[i] = (talk){ .stage = &s, .number = i, .fate = (int)gnp_sim_below(FATES) };
        crew_add(&c, talk_run, &talks[i], "peer");
    }
    crew_join(&c);
    finish(s.engine, one_in(2) ? 5 * SECOND : 0);
    must(s.opened == s.closed, "%u opened, %u closed", s.opened, s.closed);
}

const scenario scenario_cuts = { "cuts", run };
