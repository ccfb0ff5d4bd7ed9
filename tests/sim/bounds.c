/* SPDX-License-Identifier: MIT */
/*
 * What one connection may hold: unread bytes up to its limit and a read, a pipe up to the high mark of the
 * other side, all of it given back at the end; and time: an idle connection ends when it should, and one with
 * traffic does not.
 */
#include "scenario.h"

#include <string.h>

#define READ_BUFFER ((size_t)1024)
#define INBOUND_MAX ((size_t)4096)
#define HIGH ((size_t)4096)
#define FLOOD ((size_t)65536)
#define IDLE SECOND
#define BEAT (IDLE * 3 / 10)

enum { HOARD, FULL_PIPE, IDLER, KINDS };

typedef struct world {
    gn_engine *engine;
    int kind;
    gn_conn *first; /* of a pipe */
    int piped;
    int cut;        /* what is left behind by a reset is read past every limit */
    unsigned opened, closed;
    int reason;
    gnp_sim_peer *flooder;
} world;

static gn_action on_open(gn_conn *c, void *user)
{
    world *w = user;

    w->opened++;
    if (w->kind != FULL_PIPE)
        return GN_NONE;
    if (w->first == NULL)
        w->first = c;
    else if (w->closed == 0)
        w->piped = gn_conn_pipe(w->first, c) == GN_OK;
    must(w->first == c || w->closed > 0 || w->piped || gnp_sim_faults() > 0, "no pipe");
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    world *w = user;

    must(w->kind != HOARD || w->cut || gn_conn_inbound(c) <= INBOUND_MAX + READ_BUFFER,
         "%zu bytes are unread", gn_conn_inbound(c));
    if (w->kind == IDLER)
        (void)gn_conn_discard(c, gn_conn_inbound(c));
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    world *w = user;

    (void)c;
    gnp_sim_note("on_close", reason, 0);
    w->closed++;
    w->reason = reason;
    return GN_NONE;
}

static uint64_t held(const world *w)
{
    gn_stats s = { .size = sizeof s };

    must(gn_engine_stats(w->engine, &s) == GN_OK, "no statistics");
    return s.bytes_held;
}

static void flood(void *arg)
{
    static unsigned char data[FLOOD];

    (void)gnp_sim_send(((world *)arg)->flooder, data, sizeof data, NULL);
}

/* Sends on and on to who does not read, or pipes it to one who does not. */
static void run_flood(world *w, const char *addr)
{
    gnp_sim_peer *sink = NULL;

    w->flooder = gnp_sim_connect(addr, NULL);
    if (w->flooder == NULL)
        return;
    if (w->kind == FULL_PIPE) {
        gnp_sim_sleep(SECOND); /* it is the first */
        sink = gnp_sim_connect(addr, NULL);
        gnp_sim_sleep(SECOND);
    }
    gnp_sim_thread *t = gnp_sim_spawn(flood, w, "flood");
    for (unsigned i = 0; i < 20; i++) {
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        must(!w->piped || held(w) <= HIGH + 4 * READ_BUFFER + 4096,
             "%llu bytes are held for a pipe", (unsigned long long)held(w));
    }
    w->cut = 1;
    gnp_sim_reset(w->flooder);
    gnp_sim_join(t);
    gnp_sim_close(w->flooder, 0);
    if (sink != NULL)
        gnp_sim_close(sink, 1);
}

static void run_idler(world *w, const char *addr)
{
    gnp_sim_peer *p = gnp_sim_connect(addr, NULL);
    int exact = gnp_sim_knobs_now()->slow_call == 0;

    for (unsigned i = 0; p != NULL && i < 10; i++) {
        gnp_sim_sleep(BEAT);
        (void)gnp_sim_send(p, "beat", 4, NULL);
        must(w->closed == 0 || !exact || gnp_sim_faults() > 0, "a connection with traffic is closed with %s",
             gn_strerror(w->reason));
    }
    if (p == NULL)
        return;
    gnp_sim_sleep(2 * IDLE + tardiness());
    must(w->closed == w->opened, "an idle connection is not closed");
    must(w->reason == GN_ETIMEDOUT || gnp_sim_faults() > 0, "an idle connection is closed with %s",
         gn_strerror(w->reason));
    gnp_sim_close(p, 0);
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };
    world w = { .kind = (int)gnp_sim_below(KINDS) };
    char addr[GN_ADDR_TEXT_MAX];
    gn_options o;

    (void)arg;
    gn_options_init(&o);
    o.loops = 1;
    o.edge_triggered = one_in(3);
    o.read_buffer = READ_BUFFER;
    o.inbound_max = w.kind == HOARD ? INBOUND_MAX : 2 * FLOOD;
    o.outbound_high = HIGH;
    o.idle_timeout_ns = w.kind == IDLER ? IDLE : 0;
    w.engine = serve(&handler, &w, &o, draw_stream_address());
    if (w.engine == NULL)
        return;
    peer_address(w.engine, 0, addr, sizeof addr);
    if (w.kind == IDLER)
        run_idler(&w, addr);
    else
        run_flood(&w, addr);
    gnp_sim_sleep(5 * SECOND + tardiness()); /* more than linger_ns */
    must(held(&w) == 0 || w.closed < w.opened, "%llu bytes are held for nobody",
         (unsigned long long)held(&w));
    must(w.closed == w.opened || gnp_sim_faults() > 0, "%u opened, %u closed", w.opened, w.closed);
    finish(w.engine, SECOND);
    must(w.opened == w.closed, "%u opened, %u closed in the end", w.opened, w.closed);
}

const scenario scenario_bounds = { "bounds", run };
