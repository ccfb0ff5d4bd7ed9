/* SPDX-License-Identifier: MIT */
/*
 * Dial storms: threads dial peers that accept, refuse, are slow or do not exist, by address and by name, and
 * cancel some; each dial completes once, with a connection that has opened, or without any.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS 3
#define THREADS 3
#define DIALS 12
#define FIRST_PORT 5000

typedef struct storm {
    gn_engine *engine;
    uint64_t opened, closed, asked, done, won;
    unsigned listening;
    int stopping, over;
} storm;

/* The context of a dialled connection, from the dial on. */
typedef struct dialed {
    storm *storm;
    int opened, closed, done, status;
    int served; /* somebody listens at one of its addresses */
    uint64_t deadline;
    gn_handle handle;
} dialed;

static void maybe_free(dialed *d)
{
    if (d->done && d->opened == d->closed)
        free(d);
}

static gn_action on_open(gn_conn *c, void *user)
{
    storm *s = user;
    dialed *d = gn_conn_context(c);

    gnp_sim_note("on_open", 0, 0);
    must(d != NULL && !d->opened && !d->done, "on_open twice, or after the dial has completed");
    d->opened = 1;
    d->handle = gn_conn_handle(c);
    s->opened++;
    if (gn_conn_write(c, "hello", 5) != GN_OK)
        must(gnp_sim_faults() > 0, "the first write fails");
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    storm *s = user;
    dialed *d = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    must(d != NULL && d->opened && !d->closed, "on_close twice, or without on_open");
    d->closed = 1;
    s->closed++;
    maybe_free(d);
    return GN_NONE;
}

static void on_dialed(gn_handle h, int status, void *arg)
{
    dialed *d = arg;

    gnp_sim_note("dialed", status, d->opened);
    must(!d->done, "a dial completes twice");
    must((status == GN_OK) == (h != GN_HANDLE_NONE), "status %d with handle %llu", status,
         (unsigned long long)h);
    must(status != GN_OK || (d->opened && d->handle == h), "a dial ended well without on_open");
    must(status == GN_OK || !d->opened, "a dial failed with %s, but on_open was called", gn_strerror(status));
    must(gn_now() <= d->deadline + tardiness(), "a dial takes %llu ns more than it may",
         (unsigned long long)(gn_now() - d->deadline));
    must(status != GN_ECONNREFUSED || !d->served || gnp_sim_faults() > 0,
         "a dial is refused, but one of the addresses is served");
    d->done = 1;
    d->status = status;
    d->storm->done++;
    d->storm->won += status == GN_OK;
    maybe_free(d);
}

static const char *where_to(dialed *d, char *out, size_t cap)
{
    unsigned port = FIRST_PORT + (unsigned)gnp_sim_below(SERVERS + 1); /* the last is nobody's */
    static const char *const hosts[] = { "127.0.0.1", "[::1]", "localhost", "two.test", "four.test",
                                         "six.test", "slow.test", "nobody.test" };

    unsigned i = (unsigned)gnp_sim_below(8);

    if (one_in(8)) {
        (void)snprintf(out, cap, "unix:///tmp/%s", one_in(2) ? "peer" : "nobody");
        return out;
    }
    (void)snprintf(out, cap, "tcp://%s:%u", hosts[i], port);
    /* Both families, and all servers are there. */
    d->served = (i == 2 || i == 3) && port < FIRST_PORT + SERVERS && d->storm->listening > SERVERS;
    return out;
}

static void dialer(void *arg)
{
    storm *s = arg;
    unsigned n = (unsigned)gnp_sim_below(DIALS);
    char addr[80];

    for (unsigned i = 0; i < n; i++) {
        gn_dial_options o;
        dialed *d = calloc(1, sizeof *d);
        gn_op op = GN_OP_NONE;
        must(d != NULL, "no memory");
        d->storm = s;
        gn_dial_options_init(&o);
        o.context = d;
        o.timeout_ns = one_in(3) ? 20 * MS : 5 * SECOND;
        o.attempt_delay_ns = one_in(2) ? 10 * MS : 250 * MS;
        s->asked++;
        (void)where_to(d, addr, sizeof addr);
        d->deadline = gn_now() + o.timeout_ns;
        int rc = gn_dial(gn_engine_loop(s->engine, (unsigned)gnp_sim_below(gn_engine_loop_count(s->engine))),
                         addr, &o, on_dialed, d, &op);
        gnp_sim_note("dial", rc, 0);
        if (rc != GN_OK) {
            must(gnp_sim_faults() > 0 || rc == GN_ECLOSED || rc == GN_EADDR, "dial %s: %s", addr,
                 gn_strerror(rc));
            s->asked--;
            free(d);
        } else if (one_in(4)) {
            gnp_sim_sleep(gnp_sim_below(30) * MS);
            (void)gn_cancel(op);
        }
        if (one_in(2))
            gnp_sim_sleep(gnp_sim_below(30) * MS);
    }
}

typedef struct host {
    storm *storm;
    char addr[40];
    int backlog;
} host;

/* Takes connections and deals with them in some way or other. */
static void host_run(void *arg)
{
    host *h = arg;
    gnp_sim_server *l = gnp_sim_listen(h->addr, h->backlog);
    h->storm->listening++;
    char got[64];

    while (!h->storm->over) {
        gnp_sim_peer *p = gnp_sim_accept(l, 50 * MS);
        if (p == NULL)
            continue;
        size_t have = 0;
        int64_t k = 1;
        while (have < 5 && k > 0 && (k = gnp_sim_recv(p, got + have, sizeof got - have, 60 * SECOND)) > 0)
            have += (size_t)k;
        must(have == 0 || memcmp(got, "hello", have < 5 ? have : 5) == 0, "another greeting");
        must(k != GNP_SIM_TIMEOUT, "a connection without greeting or end");
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(50) * MS);
        if (one_in(2))
            gnp_sim_reset(p);
        gnp_sim_close(p, 0);
    }
    gnp_sim_server_close(l);
}

static void run(void *arg)
{
    static const gn_handler handler = { .on_open = on_open, .on_close = on_close };
    storm s = { 0 };
    host hosts[SERVERS + 1];
    crew dialers = { .n = 0 }, servers = { .n = 0 };
    unsigned n = 1 + (unsigned)gnp_sim_below(THREADS);
    gn_options o;

    (void)arg;
    draw_options(&o);
    for (unsigned i = 0; i <= SERVERS; i++) {
        hosts[i] = (host){ .storm = &s, .backlog = one_in(2) ? 1 : 20 };
        if (i == SERVERS)
            (void)snprintf(hosts[i].addr, sizeof hosts[i].addr, "unix:/tmp/peer");
        else
            (void)snprintf(hosts[i].addr, sizeof hosts[i].addr, "%s:%u", i == 1 ? "[::]" : "127.0.0.1",
                           FIRST_PORT + i);
        crew_add(&servers, host_run, &hosts[i], "host");
    }
    s.engine = serve(&handler, &s, &o, "tcp://127.0.0.1:0");
    if (s.engine != NULL) {
        for (unsigned i = 0; i < n; i++)
            crew_add(&dialers, dialer, &s, "dialer");
        if (one_in(2)) {
            gnp_sim_sleep(gnp_sim_below(100) * MS);
            s.stopping = 1;
            (void)gn_engine_stop(s.engine, gnp_sim_below(2) * SECOND);
        }
        crew_join(&dialers);
        s.stopping = 1;
        finish(s.engine, gnp_sim_below(2) * SECOND);
    }
    s.over = 1;
    crew_join(&servers);
    must(s.asked == s.done, "%llu dials, %llu completed", (unsigned long long)s.asked,
         (unsigned long long)s.done);
    must(s.opened == s.closed && s.opened == s.won, "%llu opened, %llu closed, %llu dials succeeded",
         (unsigned long long)s.opened, (unsigned long long)s.closed, (unsigned long long)s.won);
}

const scenario scenario_dial = { "dial", run };
