/* SPDX-License-Identifier: MIT */
/*
 * Several engines in one process: some only dial, some serve; they dial each other, hand work to each other's
 * loops and connections, share a listener, stop while others write to them, fail to start, and come and go.
 * What is meant for one never reaches another, not even one that was made in its place.
 */
#include "scenario.h"

#include "platform/platform.h"

#include <stdlib.h>
#include <string.h>

#define PARTIES 3
#define HANDLES 24
#define DIALS 8
#define STALE 16
#define PATIENCE (600 * SECOND)

typedef struct party {
    struct world *world;
    gn_engine *engine;
    unsigned number, loops;
    int serves, stopping, joined;
    char url[GN_ADDR_TEXT_MAX];
    gn_handle handles[HANDLES]; /* of connections, gone ones too */
    unsigned handle_count;
    uint64_t opened, closed, shut;
} party;

typedef struct world {
    party parties[PARTIES];
    unsigned count;
    uint64_t asked, done, dialed, dials_done, whole;
    int shared; /* the first two serve one socket */
    gn_handle stale[STALE]; /* loops of engines that are gone */
    unsigned stale_count;
} world;

typedef struct call { /* a dialled connection: what it sends comes back */
    party *from, *to;
    uint32_t key;
    size_t total, sent, got;
    int opened, closed, done, status, reason;
} call;

typedef struct errand { /* work that one engine gives to another */
    party *to;
    int ended, of_loop;
} errand;

/* Somebody stops whose connection it may be. */
static int disturbed(const call *k)
{
    const world *w = k->from->world;

    return gnp_sim_faults() > 0 || k->from->stopping || k->to->stopping ||
           (w->shared && (w->parties[0].stopping || w->parties[1].stopping));
}

/* ------------------------------------------------------------------ errands */

static void on_errand(gn_handle h, int status, void *arg)
{
    errand *d = arg;
    world *w = d->to->world;
    const gn_loop *l = gn_loop_current();

    gnp_sim_note("errand", status, (int64_t)d->to->number);
    must(!d->ended, "an errand ends twice");
    must(status == GN_OK || status == GN_ECLOSED, "an errand ends with %s", gn_strerror(status));
    if (status == GN_OK) {
        must(!d->to->joined, "an errand was run by an engine that has ended");
        must(l != NULL && gn_loop_engine(l) == d->to->engine, "an errand was run by another engine");
        must(d->of_loop ? gn_loop_handle(l) == h : gn_conn_from_handle(h) != NULL, "an errand is lost");
    }
    must(status == GN_OK || !d->of_loop || d->to->stopping, "a loop was gone, but its engine runs");
    d->ended = 1;
    w->done++;
    free(d);
}

static void give_errand(world *w)
{
    party *to = &w->parties[gnp_sim_below(w->count)];
    errand *d;
    gn_handle h;
    int rc;

    if (to->engine == NULL)
        return;
    d = calloc(1, sizeof *d);
    must(d != NULL, "no memory");
    d->to = to;
    d->of_loop = to->handle_count == 0 || one_in(2);
    h = d->of_loop ? gn_engine_loop(to->engine, (unsigned)gnp_sim_below(to->loops))
                   : to->handles[gnp_sim_below(to->handle_count)];
    w->asked++;
    switch (h == GN_HANDLE_NONE ? 9 : gnp_sim_below(3)) {
    case 0: rc = gn_execute(h, on_errand, d); break;
    case 1: rc = gn_execute_low(h, on_errand, d); break;
    case 2: rc = gn_schedule(h, gnp_sim_below(3) * MS, on_errand, d, NULL); break;
    default: rc = GN_ECLOSED; break;
    }
    gnp_sim_note("give", rc, (int64_t)to->number);
    must(rc == GN_OK || rc == GN_ECLOSED || gnp_sim_faults() > 0, "an errand is refused: %s",
         gn_strerror(rc));
    must(rc != GN_ECLOSED || !d->of_loop || to->stopping, "a loop is gone, but its engine runs");
    if (rc != GN_OK) {
        w->asked--;
        free(d);
    }
}

/* --------------------------------------------------------------- connections */

static void remember(party *p, gn_conn *c)
{
    p->opened++;
    p->handles[p->handle_count < HANDLES ? p->handle_count++ : gnp_sim_below(HANDLES)] = gn_conn_handle(c);
    must(gn_conn_engine(c) == p->engine, "a connection of another engine");
}

static gn_action say_more(gn_conn *c, call *k)
{
    unsigned char part[500];
    size_t n = 1 + (size_t)gnp_sim_below(sizeof part);

    if (k->got < k->sent)
        return GN_NONE; /* two that write without end and read nothing would wait for each other */
    n = n < k->total - k->sent ? n : k->total - k->sent;
    if (n == 0)
        return k->got == k->total ? GN_CLOSE : GN_NONE;
    stream_fill(k->key, k->sent, part, n);
    int rc = gn_conn_write(c, part, n);
    must(rc == GN_OK || gnp_sim_faults() > 0, "write: %s", gn_strerror(rc));
    k->sent += rc == GN_OK ? n : 0;
    return rc == GN_OK ? GN_NONE : GN_CLOSE;
}

static gn_action on_open(gn_conn *c, void *user)
{
    party *p = user;
    call *k = gn_conn_context(c);

    gnp_sim_note("on_open", (int64_t)p->number, k != NULL);
    must(k == NULL || (!k->opened && k->from == p), "a dialled connection opens twice, or elsewhere");
    must((k == NULL) == (gn_conn_listener(c) != GN_NO_LISTENER), "a connection came some other way");
    must(k != NULL || p->serves, "a connection comes to an engine that listens nowhere");
    remember(p, c);
    if (k == NULL)
        return GN_NONE;
    k->opened = 1;
    return say_more(c, k);
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    party *p = user;
    call *k = gn_conn_context(c);
    size_t n;
    const unsigned char *b = gn_conn_peek(c, &n);

    if (one_in(4))
        give_errand(p->world);
    if (k == NULL) {
        int rc = gn_conn_write(c, b, n);
        must(rc == GN_OK || gnp_sim_faults() > 0, "write: %s", gn_strerror(rc));
        (void)gn_conn_discard(c, n);
        return rc == GN_OK ? GN_NONE : GN_CLOSE;
    }
    for (size_t i = 0; i < n; i++, k->got++)
        must(k->got < k->sent && b[i] == stream_byte(k->key, k->got), "byte %zu of call %u is another one",
             k->got, k->key);
    (void)gn_conn_discard(c, n);
    return say_more(c, k);
}

static void call_free(call *k)
{
    if (k->done && k->opened == k->closed)
        free(k);
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    party *p = user;
    call *k = gn_conn_context(c);

    gnp_sim_note("on_close", reason, (int64_t)p->number);
    p->closed++;
    must(p->shut == 0, "on_close after on_shutdown");
    if (k == NULL)
        return GN_NONE;
    must(k->opened && !k->closed, "a call closes twice");
    k->closed = 1;
    k->reason = reason;
    must(k->got == k->total || disturbed(k),
         "call %u ends with %s after %zu of %zu bytes", k->key, gn_strerror(reason), k->got, k->total);
    p->world->whole += k->got == k->total;
    call_free(k);
    return GN_NONE;
}

static void on_shutdown(gn_engine *e, void *user)
{
    party *p = user;

    must(e == p->engine && p->shut++ == 0, "on_shutdown twice, or of another");
    must(p->opened == p->closed, "on_shutdown with %llu open", (unsigned long long)(p->opened - p->closed));
}

/* ------------------------------------------------------------------- callers */

static void on_dialed(gn_handle h, int status, void *arg)
{
    call *k = arg;

    (void)h;
    gnp_sim_note("dialed", status, k->opened);
    must(!k->done, "a dial ends twice");
    must((status == GN_OK) == k->opened, "a dial ends with %s, and on_open was%s called", gn_strerror(status),
         k->opened ? "" : " not");
    must(status == GN_OK || disturbed(k), "a dial: %s", gn_strerror(status));
    k->done = 1;
    k->from->world->dials_done++;
    call_free(k);
}

static void dial_one(world *w, uint32_t key)
{
    party *from = &w->parties[gnp_sim_below(w->count)], *to = &w->parties[gnp_sim_below(w->count)];
    size_t most = gnp_sim_knobs_now()->pipe_bytes < 100 ? 40 : 3000;
    gn_dial_options o;
    call *k;

    if (from->engine == NULL || to->engine == NULL || !to->serves)
        return;
    k = calloc(1, sizeof *k);
    must(k != NULL, "no memory");
    *k = (call){ .from = from, .to = to, .key = key, .total = (size_t)gnp_sim_below(most) };
    gn_dial_options_init(&o);
    o.context = k;
    o.timeout_ns = 500 * SECOND;
    w->dialed++;
    gn_handle loop = gn_engine_loop(from->engine, (unsigned)gnp_sim_below(from->loops));
    int rc = gn_dial(loop, to->url, &o, on_dialed, k, NULL);
    gnp_sim_note("dial", rc, (int64_t)to->number);
    if (rc != GN_OK) {
        must((rc == GN_ECLOSED && from->stopping) || gnp_sim_faults() > 0, "dial: %s", gn_strerror(rc));
        w->dialed--;
        free(k);
    }
}

static void caller_run(void *arg)
{
    world *w = arg;

    for (unsigned n = (unsigned)gnp_sim_below(DIALS); n > 0; n--) {
        dial_one(w, (uint32_t)gnp_sim_below(1000));
        if (one_in(2))
            give_errand(w);
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(10 * MS));
    }
}

/* ------------------------------------------------- engines that come and go */

static gn_action refuse(gn_engine *e, void *user)
{
    (void)e;
    (void)user;
    return GN_SHUTDOWN;
}

static gn_action tick_and_stop(gn_engine *e, uint64_t *next_ns, void *user)
{
    (void)e;
    (void)user;
    *next_ns = MS;
    return one_in(3) ? GN_SHUTDOWN : GN_NONE;
}

static void never(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    must(status != GN_OK, "a handle of an engine that is gone names something");
}

/* Their places have been taken by others since. */
static void try_the_stale(const world *w)
{
    for (unsigned i = 0; i < w->stale_count && i < STALE; i++) {
        int rc = gn_execute(w->stale[i], never, NULL);
        must(rc != GN_OK || gnp_sim_faults() > 0, "a loop that is gone takes work");
    }
}

static void short_life(world *w)
{
    static const gn_handler none = { .on_boot = NULL }, refuses = { .on_boot = refuse };
    static const gn_handler ticks = { .on_tick = tick_and_stop };
    const gn_handler *h = one_in(3) ? &refuses : one_in(2) ? &ticks : &none;
    gn_handle loop = GN_HANDLE_NONE;
    gn_engine *e = NULL;
    gn_options o;
    int rc;

    draw_options(&o);
    o.reuseport = 0; /* else an address may be served twice */
    rc = gn_engine_create(&e, h, NULL, &o);
    must(rc == GN_OK || gnp_sim_faults() > 0, "create: %s", gn_strerror(rc));
    if (rc != GN_OK)
        return;
    if (one_in(2))
        (void)gn_engine_listen(e, "tcp://127.0.0.1:0");
    if (one_in(3) && w->parties[0].engine != NULL && !w->parties[0].stopping) {
        rc = gn_engine_listen(e, w->parties[0].url);
        must(rc == GN_EADDRINUSE || w->parties[0].stopping || gnp_sim_faults() > 0,
             "an address is served twice: %s", gn_strerror(rc));
    }
    if (one_in(3))
        (void)gn_engine_stop(e, 0);
    if (one_in(4)) {
        must(gn_engine_destroy(e) == GN_OK, "destroy of one that never ran");
        return;
    }
    rc = gn_engine_start(e);
    gnp_sim_note("short", rc, 0);
    must(rc == (h == &refuses ? GN_ECANCELED : GN_OK) || gnp_sim_faults() > 0, "start: %s", gn_strerror(rc));
    if (rc == GN_OK) {
        loop = gn_engine_loop(e, 0);
        try_the_stale(w);
        if (h == &none || one_in(2))
            (void)gn_engine_stop(e, gnp_sim_below(2) * SECOND);
        must(gn_engine_join(e) == GN_OK || gnp_sim_faults() > 0, "join");
    }
    must(gn_engine_start(e) == GN_EBUSY, "started twice");
    must(gn_engine_destroy(e) == GN_OK, "destroy");
    if (loop != GN_HANDLE_NONE)
        w->stale[w->stale_count++ % STALE] = loop;
    try_the_stale(w);
}

static void short_lives(void *arg)
{
    for (unsigned n = (unsigned)gnp_sim_below(5); n > 0; n--)
        short_life(arg);
}

/* --------------------------------------------------------------------- run */

static int party_start(world *w, unsigned i, const gn_handler *h)
{
    party *p = &w->parties[i];
    gn_descriptor d;
    gn_options o;
    int rc;

    *p = (party){ .world = w, .number = i, .serves = i < 2 };
    draw_options(&o);
    o.backlog = 0; /* who dials must not wait for two minutes */
    p->loops = o.loops;
    rc = gn_engine_create(&p->engine, h, p, &o);
    if (rc == GN_OK && i == 1 && w->parties[0].engine != NULL && !one_in(3)) {
        rc = gn_engine_listener_dup(w->parties[0].engine, 0, &d);
        if (rc == GN_OK && (rc = gn_engine_listen_descriptor(p->engine, d, NULL)) != GN_OK)
            gnp_descriptor_close(d);
        w->shared = 1;
    } else if (rc == GN_OK && p->serves) {
        rc = gn_engine_listen(p->engine, one_in(2) ? "tcp://127.0.0.1:0" : "tcp://[::1]:0");
    }
    if (rc == GN_OK)
        rc = gn_engine_start(p->engine);
    gnp_sim_note("party", rc, i);
    must(rc == GN_OK || gnp_sim_faults() > 0, "start: %s", gn_strerror(rc));
    if (rc != GN_OK) {
        must(gn_engine_destroy(p->engine) == GN_OK, "destroy");
        p->engine = NULL;
        return 0;
    }
    if (p->serves)
        must(gn_engine_url(p->engine, 0, p->url, sizeof p->url) > 0, "no url");
    return 1;
}

static void party_stop(party *p)
{
    if (p->engine == NULL || p->stopping)
        return;
    p->stopping = 1;
    (void)gn_engine_stop(p->engine, gnp_sim_below(3) * SECOND);
    int rc = gn_engine_join(p->engine);
    must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    p->joined = 1;
    must(p->shut == 1 && p->opened == p->closed, "%llu opened, %llu closed", (unsigned long long)p->opened,
         (unsigned long long)p->closed);
}

static void settle(const world *w)
{
    uint64_t until = gn_now() + PATIENCE;

    for (unsigned i = 0; i < w->count; i++) {
        const party *p = &w->parties[i];
        while (!p->stopping && p->engine != NULL && p->opened != p->closed) {
            must(gn_now() < until || gnp_sim_faults() > 0, "connections do not end");
            if (gn_now() >= until)
                return;
            gnp_sim_sleep(5 * MS);
        }
    }
}

static void check_totals(const world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        const party *p = &w->parties[i];
        gn_stats s = { .size = sizeof s };
        if (p->engine == NULL)
            continue;
        must(gn_engine_stats(p->engine, &s) == GN_OK && s.accepted + s.dialed == p->opened,
             "stats of engine %u: %llu accepted, %llu dialled; %llu opened", i,
             (unsigned long long)s.accepted, (unsigned long long)s.dialed, (unsigned long long)p->opened);
        must(s.closed == p->closed && s.conns == 0, "stats of engine %u: %llu closed, not %llu", i,
             (unsigned long long)s.closed, (unsigned long long)p->closed);
    }
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close, .on_shutdown = on_shutdown
    };
    world *w = calloc(1, sizeof *w);
    crew threads = { .n = 0 };

    (void)arg;
    must(w != NULL, "no memory");
    for (; w->count < PARTIES; w->count++)
        (void)party_start(w, w->count, &handler);
    for (unsigned n = 1 + (unsigned)gnp_sim_below(3); n > 0; n--)
        crew_add(&threads, caller_run, w, "caller");
    if (one_in(2))
        crew_add(&threads, short_lives, w, "short");
    if (one_in(2)) {
        gnp_sim_sleep(gnp_sim_below(40 * MS));
        party_stop(&w->parties[gnp_sim_below(PARTIES)]);
    }
    crew_join(&threads);
    if (one_in(2))
        settle(w);
    for (unsigned i = 0; i < PARTIES; i++)
        party_stop(&w->parties[i]);
    must(w->asked == w->done, "%llu errands, %llu ended", (unsigned long long)w->asked,
         (unsigned long long)w->done);
    must(w->dialed == w->dials_done, "%llu dials, %llu ended", (unsigned long long)w->dialed,
         (unsigned long long)w->dials_done);
    check_totals(w);
    for (unsigned i = 0; i < PARTIES; i++)
        must(gn_engine_destroy(w->parties[i].engine) == GN_OK, "destroy");
    free(w);
}

const scenario scenario_engines = { "engines", run };
