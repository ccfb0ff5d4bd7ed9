/* SPDX-License-Identifier: MIT */
/*
 * Listeners: several addresses of all kinds, limits of the engine and of each listener, what happens beyond
 * them, accepting that pauses and goes on, the choice of loops.  Who connects is greeted by the listener that
 * it asked for, exactly once, or refused where the options say so; no limit is passed at any moment; nobody
 * is accepted while a listener pauses; what the engine counts is what was seen.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRS 4
#define PEERS 14
#define LOOPS 3
#define PATIENCE (900 * SECOND)
#define SOON (5 * MS) /* until a pause has come to every loop, in a world without slow calls */

typedef struct place {
    char addr[GN_ADDR_TEXT_MAX]; /* as peers dial it */
    uint64_t max, open, opened;
    uint64_t paused_since; /* 0: it accepts */
} place;

typedef struct house {
    gn_engine *engine;
    gn_options o;
    place places[ADDRS];
    unsigned count;
    uint64_t open, opened, closed;
    uint64_t chosen[LOOPS], on_loop[LOOPS]; /* by the user's function; seen */
    uint64_t came, greeted, refused;
    unsigned char seen[PEERS];
    int stopping, over, limited;
    int narrow; /* a queue of few: of those who try again at the same moments one may never fit */
    int lossy; /* hosts may vanish */
} house;

/* ---------------------------------------------------------------- callbacks */

static unsigned choose(gn_engine *e, const gn_addr *peer, unsigned loops, void *user)
{
    house *h = user;
    unsigned k = (unsigned)gnp_sim_below(loops);

    must(e == h->engine && loops == h->o.loops && peer != NULL, "the user's balancer is asked wrongly");
    h->chosen[k]++;
    return k + (one_in(2) ? loops : 0); /* taken modulo */
}

static void check_limits(const house *h, const place *p)
{
    must(h->o.conns_max == 0 || h->open <= h->o.conns_max, "%llu connections are open; the limit is %llu",
         (unsigned long long)h->open, (unsigned long long)h->o.conns_max);
    must(p->max == 0 || p->open <= p->max, "a listener has %llu connections open; its limit is %llu",
         (unsigned long long)p->open, (unsigned long long)p->max);
}

static gn_action on_open(gn_conn *c, void *user)
{
    house *h = user;
    unsigned i = gn_conn_listener(c), k = gn_loop_index(gn_conn_loop(c));
    place *p = &h->places[i];

    gnp_sim_note("on_open", i, k);
    must(i < h->count && k < h->o.loops, "a connection of no listener, or on no loop");
    must(p->paused_since == 0 || gnp_sim_knobs_now()->slow_call != 0 || gn_now() <= p->paused_since + SOON,
         "a paused listener has accepted");
    h->on_loop[k]++;
    h->opened++;
    h->open++;
    p->open++;
    p->opened++;
    check_limits(h, p);
    unsigned char greeting = (unsigned char)i;
    must(gn_conn_write(c, &greeting, 1) == GN_OK || gnp_sim_faults() > 0, "the greeting fails");
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    house *h = user;
    unsigned char id;

    while (gn_conn_read(c, &id, 1) == 1)
        must(id < PEERS && h->seen[id]++ == 0, "peer %u is served twice", id);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    house *h = user;

    gnp_sim_note("on_close", reason, gn_conn_listener(c));
    must(gn_conn_listener(c) < h->count, "a connection of no listener closes");
    h->closed++;
    h->open--;
    h->places[gn_conn_listener(c)].open--;
    return GN_NONE;
}

/* -------------------------------------------------------------------- peers */

typedef struct guest {
    house *house;
    unsigned id, place;
    uint64_t stay;
} guest;

static void guest_run(void *arg)
{
    guest *g = arg;
    house *h = g->house;
    unsigned char got = 0xEE;
    int why = 0;

    gnp_sim_sleep(gnp_sim_below(30 * MS));
    gnp_sim_peer *p = gnp_sim_connect(h->places[g->place].addr, &why);
    gnp_sim_note("guest", p != NULL, why);
    if (p == NULL) {
        /* While the house is full nobody is taken out of a listener's queue: it may be full for long. */
        must(h->stopping || gnp_sim_faults() > 0 || ((h->limited || h->narrow) && why == GN_ETIMEDOUT),
             "nobody answers at %s: %d", h->places[g->place].addr, why);
        return;
    }
    h->came++;
    unsigned char id = (unsigned char)g->id;
    int sent = gnp_sim_send(p, &id, 1, NULL);
    int64_t n = gnp_sim_recv(p, &got, 1, PATIENCE);
    n = sent != 0 && n < 0 ? sent : n; /* a reset is told once */
    must(n != GNP_SIM_TIMEOUT, "guest %u of %s waits for ever", g->id, h->places[g->place].addr);
    if (n == 1) {
        must(got == g->place, "%s is answered by listener %u", h->places[g->place].addr, got);
        h->greeted++;
        gnp_sim_sleep(g->stay);
    } else {
        int is_unix = strncmp(h->places[g->place].addr, "unix:", 5) == 0; /* where a reset is an end */
        must(((n == GNP_SIM_RESET || is_unix) && h->limited && h->o.overload == GN_OVERLOAD_REFUSE) ||
                 h->stopping || gnp_sim_faults() > 0,
             "guest %u is turned away", g->id);
        h->refused++;
    }
    gnp_sim_close(p, 0);
}

static void pauser_run(void *arg)
{
    house *h = arg;

    /* Not for ever: who comes to a full queue tries again a few times only. */
    for (unsigned n = 0; n < 30 && !h->over; n++) {
        unsigned i = (unsigned)gnp_sim_below(h->count);
        place *p = &h->places[i];
        int rc = gn_engine_pause_accept(h->engine, i);
        must(rc == GN_OK || (rc == GN_ECLOSED && h->stopping), "pause: %s", gn_strerror(rc));
        if (rc != GN_OK)
            return;
        p->paused_since = gn_now();
        gnp_sim_sleep(gnp_sim_below(40 * MS));
        p->paused_since = 0;
        rc = gn_engine_resume_accept(h->engine, i);
        must(rc == GN_OK || (rc == GN_ECLOSED && h->stopping), "resume: %s", gn_strerror(rc));
        gnp_sim_sleep(gnp_sim_below(10 * MS));
    }
    must(gn_engine_pause_accept(h->engine, h->count) == GN_EINVAL, "a listener that is none pauses");
}

/* --------------------------------------------------------------------- run */

static const char *draw_url(unsigned i, char *out, size_t cap)
{
    switch (gnp_sim_below(4)) {
    case 0: (void)snprintf(out, cap, "unix:///tmp/place%u", i); break;
    case 1: (void)snprintf(out, cap, "unix://@place%u", i); break;
    case 2: (void)snprintf(out, cap, "tcp://[::1]:0"); break;
    default: (void)snprintf(out, cap, "127.0.0.1:0"); break;
    }
    return out;
}

static int listen_all(house *h)
{
    char url[40];
    gn_listen_options lo;

    for (unsigned n = 1 + (unsigned)gnp_sim_below(ADDRS); h->count < n; h->count++) {
        gn_listen_options_init(&lo);
        lo.conns_max = one_in(3) ? 1 + gnp_sim_below(3) : 0;
        lo.backlog = one_in(3) ? 1 + (int)gnp_sim_below(3) : 0;
        h->limited |= lo.conns_max != 0;
        h->narrow |= lo.backlog != 0 || h->o.backlog != 0;
        h->places[h->count].max = lo.conns_max;
        int rc = gn_engine_listen_with(h->engine, draw_url(h->count, url, sizeof url), &lo);
        if (rc != GN_OK)
            return rc;
    }
    return GN_OK;
}

static int open_house(house *h, const gn_handler *handler)
{
    int rc;

    draw_options(&h->o);
    h->o.conns_max = one_in(3) ? 1 + gnp_sim_below(4) : 0;
    h->o.overload = one_in(2) ? GN_OVERLOAD_WAIT : GN_OVERLOAD_REFUSE;
    h->limited = h->o.conns_max != 0;
    if (one_in(3)) {
        h->o.lb = GN_LB_USER;
        h->o.lb_fn = choose;
        h->o.lb_user = h;
    }
    rc = gn_engine_create(&h->engine, handler, h, &h->o);
    if (rc == GN_OK)
        rc = listen_all(h);
    if (rc == GN_OK)
        rc = gn_engine_start(h->engine);
    gnp_sim_note("open", rc, 0);
    must(rc == GN_OK || gnp_sim_faults() > 0, "start: %s", gn_strerror(rc));
    if (rc != GN_OK) {
        must(gn_engine_destroy(h->engine) == GN_OK, "destroy");
        return 0;
    }
    must(gn_engine_addr_count(h->engine) == h->count, "another number of addresses");
    for (unsigned i = 0; i < h->count; i++)
        peer_address(h->engine, i, h->places[i].addr, sizeof h->places[i].addr);
    return 1;
}

/* All went through the balancer. */
static void check_balance(const house *h)
{
    uint64_t most = 0, least = UINT64_MAX, sum = 0;

    for (unsigned k = 0; k < h->o.loops; k++) {
        uint64_t n = gn_engine_loop_accepted(h->engine, k);
        must(n == h->on_loop[k], "loop %u: %llu accepted, %llu opened", k, (unsigned long long)n,
             (unsigned long long)h->on_loop[k]);
        sum += n;
        most = n > most ? n : most;
        least = n < least ? n : least;
        must(h->o.lb != GN_LB_USER || h->o.reuseport || h->o.loops == 1 || h->chosen[k] == n,
             "loop %u was chosen %llu times and got %llu", k, (unsigned long long)h->chosen[k],
             (unsigned long long)n);
    }
    must(h->o.lb != GN_LB_ROUND_ROBIN || h->o.reuseport || most - least <= 1,
         "round robin: from %llu to %llu of a loop", (unsigned long long)least, (unsigned long long)most);
    must(sum == h->opened, "%llu accepted, %llu opened", (unsigned long long)sum,
         (unsigned long long)h->opened);
}

static void check_stats(const house *h)
{
    gn_stats s = { .size = sizeof s };

    must(gn_engine_stats(h->engine, &s) == GN_OK, "stats");
    must(s.accepted == h->opened && s.closed == h->closed && s.conns == h->open,
         "stats: %llu accepted, %llu closed, %llu open; seen: %llu, %llu, %llu",
         (unsigned long long)s.accepted, (unsigned long long)s.closed, (unsigned long long)s.conns,
         (unsigned long long)h->opened, (unsigned long long)h->closed, (unsigned long long)h->open);
    must(s.dialed == 0 && s.adopted == 0, "stats: connections that nobody asked for");
    if (h->stopping || gnp_sim_faults() > 0)
        return;
    must(s.refused == h->refused, "stats: %llu refused; seen: %llu", (unsigned long long)s.refused,
         (unsigned long long)h->refused);
    must(h->came == h->greeted + h->refused && h->opened == h->greeted, "%llu came, %llu opened",
         (unsigned long long)h->came, (unsigned long long)h->opened);
    check_balance(h);
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };
    house *h = calloc(1, sizeof *h);
    guest guests[PEERS];
    unsigned n = 1 + (unsigned)gnp_sim_below(PEERS);
    crew peers = { .n = 0 }, others = { .n = 0 };

    (void)arg;
    must(h != NULL, "no memory");
    h->lossy = gnp_sim_knobs_now()->lost_peer != 0;
    if (!open_house(h, &handler)) {
        free(h);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        guests[i] = (guest){ .house = h, .id = i, .place = (unsigned)gnp_sim_below(h->count),
                             .stay = gnp_sim_below(40 * MS) };
        crew_add(&peers, guest_run, &guests[i], "guest");
    }
    if (one_in(2))
        crew_add(&others, pauser_run, h, "pauser");
    if (one_in(4)) {
        gnp_sim_sleep(gnp_sim_below(60 * MS));
        h->stopping = 1;
        (void)gn_engine_stop(h->engine, gnp_sim_below(2) * SECOND);
    } else if (one_in(2)) {
        gnp_sim_sleep(gnp_sim_below(100 * MS));
        gnp_sim_heal(); /* there are descriptors again: who waits is served */
    }
    crew_join(&peers);
    h->over = 1;
    crew_join(&others);
    for (uint64_t until = gn_now() + 10 * SECOND; h->open > 0 && gn_now() < until;)
        gnp_sim_sleep(MS);
    /* Of a host that vanished while nobody had anything to send nobody ever hears. */
    must(h->open == 0 || h->lossy, "%llu connections do not close", (unsigned long long)h->open);
    check_stats(h);
    finish(h->engine, SECOND);
    must(h->opened == h->closed, "%llu opened, %llu closed", (unsigned long long)h->opened,
         (unsigned long long)h->closed);
    free(h);
}

const scenario scenario_listeners = { "listeners", run };
