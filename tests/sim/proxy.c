/* SPDX-License-Identifier: MIT */
/*
 * A proxy: each accepted connection dials an upstream and is piped into it, both ways.  Clients and
 * upstreams send at once, read slowly, half-close, leave and reset; upstreams also refuse or never answer;
 * pipes are taken off, what comes is passed on by hand for a while, and they are laid again; piped
 * connections are asked to move.  What arrives at either end is a prefix of what the other sent, and all
 * of it, and then the end, where nobody cut it; each way flows and ends by itself; when one connection
 * ends the other does; budgets hold.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS 4
#define PATIENCE (600 * SECOND)
#define PORT 5000 /* answers; the next one never does, and nobody has the one after that */

enum { DOWN, UP }; /* the accepted connection, the dialled one */
enum { WHOLE, LEAVES, RESETS, WAYS };
enum { ANSWERS, STALLS, REFUSES, PLACES };

typedef struct world world;

/* The program at one end. */
typedef struct end {
    struct link *link;
    int side, way, slow;
    int late;      /* does not read before it has sent all */
    size_t total;  /* that it sends */
    size_t got, wanted; /* that it reads before it leaves, unless WHOLE */
    int sent_all, gone, ended;
    gnp_sim_peer *peer;
} end;

typedef struct link {
    world *world;
    unsigned id;
    int place, probed;
    end ends[2];
    /* of the proxy */
    gn_handle handle[2];
    gn_loop *loop[2];
    int open[2], closed[2], eof[2], shut[2], piped[2], reason[2];
    int retrying[2], beyond;
} link;

struct world {
    gn_engine *engine;
    link links[LINKS];
    unsigned n;
    size_t inbound_most, outbound_max;
    crew upstreams;
    int stopping, over;
    uint64_t asked, done, opened, closed;
};

static int cut(const link *k)
{
    return gnp_sim_faults() > 0 || k->world->stopping || k->place != ANSWERS || k->ends[DOWN].way != WHOLE ||
           k->ends[UP].way != WHOLE;
}

static int side_of(const gn_conn *c)
{
    return gn_conn_listener(c) == GN_NO_LISTENER ? UP : DOWN;
}

static gn_conn *conn_of(const link *k, int side)
{
    return k->closed[side] ? NULL : gn_conn_from_handle(k->handle[side]);
}

static void check_budget(const link *k, gn_conn *c)
{
    must(k->beyond || gn_conn_outbound(c) <= k->world->outbound_max,
         "%zu bytes unsent, at most %zu are allowed", gn_conn_outbound(c), k->world->outbound_max);
    /* What is left behind by who is gone, or when both ways have ended, is read at once, also beyond the
     * limit. */
    must(k->ends[side_of(c)].gone || k->ends[side_of(c)].sent_all || gnp_sim_faults() > 0 ||
             gn_conn_inbound(c) <= k->world->inbound_most,
         "%zu bytes unread, at most %zu are allowed", gn_conn_inbound(c), k->world->inbound_most);
}

/* -------------------------------------------------------------------- pipes */

static void lay(link *k, int side)
{
    gn_conn *from = conn_of(k, side), *to = conn_of(k, !side);
    int rc;

    if (from == NULL || to == NULL || k->piped[side])
        return;
    rc = gn_conn_pipe(from, to);
    gnp_sim_note("pipe", rc, side);
    if (rc == GN_OK) {
        k->piped[side] = 1;
        return;
    }
    if (rc != GN_EPIPE)
        (void)gn_conn_abort(from);
    must(rc == GN_EPIPE ? k->shut[!side] || k->ends[side].sent_all
                        : cut(k) && (rc == GN_ECLOSED || gnp_sim_faults() > 0),
         "pipe of side %d: %s", side, gn_strerror(rc));
}

static void take_off(link *k, int side)
{
    gn_conn *from = conn_of(k, side);
    int rc = from == NULL || !k->piped[side] ? GN_OK : gn_conn_unpipe(from);

    k->piped[side] = 0;
    must(rc == GN_OK, "unpipe of side %d: %s", side, gn_strerror(rc));
    /* Who passes on by hand keeps the queues short by itself.  If a full queue out stopped what comes in, two
     * full ways would hold each other for ever. */
    if (from != NULL && gn_conn_set_watermarks(from, SIZE_MAX, SIZE_MAX) != GN_OK)
        (void)gn_conn_abort(from);
}

static void later(link *k, int side, uint64_t ns, gn_done fn)
{
    k->world->asked++;
    if (gn_schedule(k->handle[side], ns, fn, k, NULL) != GN_OK) {
        k->world->asked--;
        must(gnp_sim_faults() > 0 || k->world->stopping || k->closed[side], "no timer");
    }
}

static void by_hand(link *k, int side);

static void retry(link *k, int side)
{
    k->world->done++;
    k->retrying[side] = 0;
    if (conn_of(k, side) != NULL && !k->piped[side])
        by_hand(k, side);
}

static void retry_down(gn_handle h, int rc, void *arg)
{
    (void)h;
    (void)rc;
    retry(arg, DOWN);
}

static void retry_up(gn_handle h, int rc, void *arg)
{
    (void)h;
    (void)rc;
    retry(arg, UP);
}

/* Passes on what there is room for, and comes back for the rest. */
static void by_hand(link *k, int side)
{
    gn_conn *from = conn_of(k, side), *to = conn_of(k, !side);
    size_t n, out;
    const void *p;

    if (from == NULL || to == NULL)
        return;
    p = gn_conn_peek(from, &n);
    out = gn_conn_outbound(to);
    if (n > k->world->outbound_max - out)
        n = k->world->outbound_max - out;
    if (n > 0 && gn_conn_write(to, p, n) == GN_OK)
        (void)gn_conn_discard(from, n);
    else
        must(n == 0 || cut(k), "passing on by hand fails");
    if (gn_conn_inbound(from) > 0 && !k->retrying[side]) {
        k->retrying[side] = 1;
        later(k, side, MS, side == DOWN ? retry_down : retry_up);
    } else if (gn_conn_inbound(from) == 0 && k->eof[side]) {
        k->shut[!side] = 1;
        (void)gn_conn_shutdown_write(to);
    }
    check_budget(k, to);
}

static void lay_both(gn_handle h, int rc, void *arg)
{
    link *k = arg;

    (void)h;
    k->world->done++;
    must(rc == GN_OK || cut(k) || k->closed[DOWN], "a timer: %s", gn_strerror(rc));
    if (rc != GN_OK)
        return;
    lay(k, DOWN);
    lay(k, UP);
}

static void take_off_some(gn_handle h, int rc, void *arg)
{
    link *k = arg;

    (void)h;
    k->world->done++;
    if (rc != GN_OK || k->closed[DOWN] || k->closed[UP])
        return;
    if (one_in(2))
        take_off(k, DOWN);
    take_off(k, UP);
    if (one_in(2))
        later(k, DOWN, gnp_sim_below(30) * MS, lay_both);
}

/* -------------------------------------------------------------------- moves */

static void on_stayed(gn_handle h, int rc, void *arg)
{
    link *k = arg;

    (void)h;
    k->world->done++;
    must(rc == GN_EBUSY || gnp_sim_faults() > 0 || (rc == GN_ECLOSED && k->closed[DOWN]),
         "piped, a move: %s",
         gn_strerror(rc));
}

/* It stays piped from now on, so it may not move. */
static void ask_to_move(link *k, int side)
{
    unsigned to = (unsigned)gnp_sim_below(gn_engine_loop_count(k->world->engine));

    k->probed = 1;
    k->world->asked++;
    if (gn_migrate(k->handle[side], gn_engine_loop(k->world->engine, to), on_stayed, k) != GN_OK)
        k->world->asked--;
}

/* ---------------------------------------------------------------- upstream */

static void begin(link *k)
{
    lay(k, DOWN);
    lay(k, UP);
    if (k->place == STALLS && conn_of(k, DOWN) != NULL) /* nobody will ever take a byte */
        (void)gn_conn_set_idle_timeout(conn_of(k, DOWN), SECOND);
    if (k->piped[DOWN] && k->piped[UP] && one_in(3))
        ask_to_move(k, DOWN);
    else if (one_in(2))
        later(k, DOWN, gnp_sim_below(40) * MS, take_off_some);
}

static void on_dialed(gn_handle h, int rc, void *arg)
{
    link *k = arg;
    gn_conn *down = conn_of(k, DOWN), *up;

    gnp_sim_note("dialed", rc, k->id);
    k->world->done++;
    must(rc != GN_OK || (k->open[UP] && h == k->handle[UP]), "dialled, but not open");
    must(rc == GN_OK || cut(k), "the dial of %u: %s", k->id, gn_strerror(rc));
    must(rc != GN_OK || k->place != REFUSES, "nobody has answered");
    up = conn_of(k, UP);
    if (up != NULL && down != NULL)
        begin(k);
    else if (up != NULL || down != NULL)
        (void)gn_conn_close(up != NULL ? up : down);
}

static void dial(link *k, gn_conn *c)
{
    gn_dial_options o;
    char addr[40];

    gn_dial_options_init(&o);
    o.context = k;
    o.timeout_ns = k->place == STALLS ? 300 * MS : 600 * SECOND;
    (void)snprintf(addr, sizeof addr, "tcp://127.0.0.1:%d", PORT + k->place);
    k->world->asked++;
    int rc = gn_dial(gn_conn_handle(c), addr, &o, on_dialed, k, NULL);
    if (rc == GN_OK)
        return;
    k->world->asked--;
    must(cut(k), "dial: %s", gn_strerror(rc));
    (void)gn_conn_close(c);
}

/* ---------------------------------------------------------------- callbacks */

static void opened(link *k, int side, gn_conn *c)
{
    must(!k->open[side], "two connections of side %d", side);
    k->open[side] = 1;
    k->handle[side] = gn_conn_handle(c);
    k->loop[side] = gn_conn_loop(c);
}

static gn_action on_open(gn_conn *c, void *user)
{
    ((world *)user)->opened++;
    gnp_sim_note("on_open", side_of(c), 0);
    if (side_of(c) == UP)
        opened(gn_conn_context(c), UP, c);
    return GN_NONE;
}

/* The first byte says who it is.  It stays, for the upstream. */
static link *hello(world *w, gn_conn *c)
{
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);

    must(n > 0 && p[0] < w->n, "a hello of %u", n > 0 ? p[0] : 0);
    gn_conn_set_context(c, &w->links[p[0]]);
    opened(&w->links[p[0]], DOWN, c);
    dial(&w->links[p[0]], c);
    return &w->links[p[0]];
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    link *k = gn_conn_context(c) != NULL ? gn_conn_context(c) : hello(user, c);
    int side = side_of(c);

    must(!k->closed[side] && k->handle[side] == gn_conn_handle(c), "on_traffic of another connection");
    must(gn_loop_current() == k->loop[side], "on_traffic on another loop");
    must(!k->piped[side], "on_traffic of a piped connection");
    check_budget(k, c);
    by_hand(k, side);
    return GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    link *k = gn_conn_context(c);
    int side = side_of(c);

    (void)user;
    if (k == NULL)
        return GN_CLOSE;
    must(!k->eof[side], "on_eof twice");
    must(!k->piped[side], "on_eof of a piped connection");
    must(cut(k) || k->ends[side].sent_all, "the end came before the end");
    k->eof[side] = 1;
    by_hand(k, side);
    return GN_NONE;
}

static int same_end(int a, int b)
{
    return a == b || (a == GN_OK && b == GN_EOF) || (a == GN_EOF && b == GN_OK);
}

/* The last that came, without asking for room: nobody will pass it on later. */
static void pass_rest(link *k, gn_conn *c, gn_conn *other)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);

    if (n == 0)
        return;
    k->beyond = 1;
    (void)gn_conn_set_limits(other, 0, gn_conn_outbound(other) + n);
    int rc = gn_conn_write(other, p, n);
    must(rc == GN_OK || cut(k), "the rest is refused: %s", gn_strerror(rc));
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    world *w = user;
    link *k = gn_conn_context(c);
    int side = side_of(c);
    gn_conn *other;

    gnp_sim_note("on_close", reason, side);
    w->closed++;
    if (k == NULL)
        return GN_NONE;
    must(!k->closed[side], "on_close twice");
    must(cut(k) || reason == GN_EOF || reason == GN_OK, "closed with %s", gn_strerror(reason));
    must(!k->closed[!side] || gnp_sim_faults() > 0 || w->stopping || !k->piped[side] || !k->piped[!side] ||
             same_end(reason, k->reason[!side]) || reason == GN_ETIMEDOUT || reason == GN_ECONNRESET ||
             reason == GN_EPIPE,
         "one closed with %s, the other with %s", gn_strerror(k->reason[!side]), gn_strerror(reason));
    k->closed[side] = 1;
    k->reason[side] = reason;
    other = conn_of(k, !side);
    if (other != NULL && !k->piped[side])
        pass_rest(k, c, other);
    if (other != NULL && !k->piped[side] && !k->piped[!side])
        (void)gn_conn_close(other);
    return GN_NONE;
}

/* --------------------------------------------------------------------- ends */

static void now_and_then(const end *e)
{
    if (e->slow && one_in(3))
        gnp_sim_sleep(gnp_sim_below(50) * MS);
}

static void fill(const end *e, size_t at, unsigned char *out, size_t n)
{
    stream_fill(e->link->id * 2 + (unsigned)e->side, at, out, n);
    if (at == 0 && n > 0 && e->side == DOWN)
        out[0] = (unsigned char)e->link->id;
}

static void end_sends(void *arg)
{
    end *e = arg;
    unsigned char part[400];
    size_t at = 0;

    while (at < e->total) {
        size_t n = 1 + (size_t)gnp_sim_below(sizeof part);
        n = n < e->total - at ? n : e->total - at;
        fill(e, at, part, n);
        if (gnp_sim_send(e->peer, part, n, NULL) != 0)
            return;
        at += n;
        now_and_then(e);
    }
    e->sent_all = 1;
    if (e->way == WHOLE)
        gnp_sim_half_close(e->peer);
}

static void end_checks(end *e, const unsigned char *p, size_t n)
{
    unsigned char want[400];
    const end *from = &e->link->ends[!e->side];

    fill(from, e->got, want, n);
    must(memcmp(p, want, n) == 0, "%u: bytes after %zu from side %d are other ones", e->link->id, e->got,
         !e->side);
    e->got += n;
    must(e->got <= from->total, "%u: more comes from side %d than was sent", e->link->id, !e->side);
}

static void end_reads(end *e)
{
    unsigned char part[400];
    const end *from = &e->link->ends[!e->side];

    while (e->way == WHOLE || e->got < e->wanted) {
        size_t cap = e->slow ? 1 + (size_t)gnp_sim_below(40) : sizeof part;
        int64_t n = gnp_sim_recv(e->peer, part, cap, PATIENCE);
        must(n != GNP_SIM_TIMEOUT, "%u: side %d waits for ever, with %zu of %zu", e->link->id, e->side,
             e->got, from->total);
        if (n < 0) {
            must(cut(e->link) || (n == GNP_SIM_EOF && e->got == from->total),
                 "%u: side %d ends (%lld) after %zu of %zu", e->link->id, e->side, (long long)n, e->got,
                 from->total);
            return;
        }
        end_checks(e, part, (size_t)n);
        now_and_then(e);
    }
}

static void end_run(end *e)
{
    gnp_sim_thread *t = gnp_sim_spawn(end_sends, e, "sends");

    if (e->late) {
        gnp_sim_join(t);
        t = NULL;
    }
    end_reads(e);
    e->gone = 1;
    if (e->way == RESETS)
        gnp_sim_reset(e->peer);
    else if (e->way == LEAVES)
        gnp_sim_half_close(e->peer);
    if (e->way != WHOLE && t != NULL && one_in(2))
        gnp_sim_reset(e->peer); /* its writer may wait for ever */
    else if (e->way == LEAVES)
        gnp_sim_reset(e->peer);
    if (t != NULL)
        gnp_sim_join(t);
    e->ended = 1;
    gnp_sim_close(e->peer, 0);
}

static void client_run(void *arg)
{
    link *k = arg;
    char addr[GN_ADDR_TEXT_MAX];

    peer_address(k->world->engine, 0, addr, sizeof addr);
    gnp_sim_sleep(gnp_sim_below(20) * MS);
    k->ends[DOWN].peer = gnp_sim_connect(addr, NULL);
    if (k->ends[DOWN].peer == NULL)
        must(gnp_sim_faults() > 0 || k->world->stopping, "connect fails");
    else
        end_run(&k->ends[DOWN]);
}

typedef struct visit {
    world *world;
    gnp_sim_peer *peer;
} visit;

static void upstream_run(void *arg)
{
    visit v = *(visit *)arg;
    unsigned char id;
    int64_t n = gnp_sim_recv(v.peer, &id, 1, PATIENCE);

    free(arg);
    must(n != GNP_SIM_TIMEOUT, "an upstream waits for its first byte for ever");
    if (n != 1) {
        must(gnp_sim_faults() > 0 || v.world->stopping || n == GNP_SIM_RESET || n == GNP_SIM_EOF, "no hello");
        gnp_sim_close(v.peer, 0);
        return;
    }
    must(id < v.world->n && v.world->links[id].ends[UP].peer == NULL, "a hello of %u", id);
    v.world->links[id].ends[UP].peer = v.peer;
    end_checks(&v.world->links[id].ends[UP], &id, 1);
    end_run(&v.world->links[id].ends[UP]);
}

static void host_run(void *arg)
{
    world *w = arg;
    gnp_sim_server *l = gnp_sim_listen("127.0.0.1:5000", 20);

    while (!w->over) {
        gnp_sim_peer *p = gnp_sim_accept(l, 100 * MS);
        visit *v = p != NULL ? malloc(sizeof *v) : NULL;
        if (v == NULL)
            continue;
        *v = (visit){ w, p };
        crew_add(&w->upstreams, upstream_run, v, "upstream");
    }
    gnp_sim_server_close(l);
}

/* Its queue is full soon: dials hang. */
static void stalled_host_run(void *arg)
{
    world *w = arg;
    gnp_sim_server *l = gnp_sim_listen("127.0.0.1:5001", 1);

    while (!w->over)
        gnp_sim_sleep(100 * MS);
    gnp_sim_server_close(l);
}

/* -------------------------------------------------------------------- world */

static void draw_end(end *e, link *k, int side)
{
    static const size_t sizes[] = { 1, 100, 3000, 12000 };
    size_t pipe = gnp_sim_knobs_now()->pipe_bytes;

    e->link = k;
    e->side = side;
    e->way = one_in(6) ? (int)gnp_sim_below(WAYS) : WHOLE;
    e->slow = one_in(5);
    e->total = pick(sizes, e->slow ? 3 : 4);
    if (e->total > 100 * pipe) /* each byte may be an event, at both ends */
        e->total = 100 * pipe;
    e->wanted = (size_t)gnp_sim_below(e->total + 1);
    e->late = one_in(4) && side == DOWN && e->way == WHOLE;
}

static void draw_world(world *w, gn_options *o)
{
    static const size_t most[] = { 100, 3000, 1 << 26 };

    draw_options(o);
    o->outbound_max = pick(most, 3);
    if (o->outbound_high > o->outbound_max)
        o->outbound_high = o->outbound_max;
    w->outbound_max = o->outbound_max;
    w->inbound_most = o->inbound_max + o->read_buffer;
    w->n = 1 + (unsigned)gnp_sim_below(LINKS);
    for (unsigned i = 0; i < w->n; i++) {
        link *k = &w->links[i];
        k->world = w;
        k->id = i;
        k->place = one_in(5) ? (int)gnp_sim_below(PLACES) : ANSWERS;
        draw_end(&k->ends[DOWN], k, DOWN);
        draw_end(&k->ends[UP], k, UP);
    }
}

static void play(world *w)
{
    crew clients = { .n = 0 };

    for (unsigned i = 0; i < w->n; i++)
        crew_add(&clients, client_run, &w->links[i], "client");
    if (one_in(5)) {
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        w->stopping = 1;
        (void)gn_engine_stop(w->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&clients);
    for (unsigned i = 0; i < w->n; i++) {
        const link *k = &w->links[i];
        for (int s = 0; s < 2 && !cut(k); s++) {
            gnp_sim_sleep(SECOND); /* the client has the end, but on_close may come only now */
            must(k->ends[s].got == k->ends[!s].total || !k->ends[s].ended || cut(k),
                 "%u: side %d misses some", i, s);
        }
    }
    w->stopping = 1;
    finish(w->engine, 60 * SECOND);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_close = on_close
    };
    world w = { 0 };
    crew hosts = { .n = 0 };
    gn_options o;

    (void)arg;
    draw_world(&w, &o);
    crew_add(&hosts, host_run, &w, "host");
    crew_add(&hosts, stalled_host_run, &w, "stalled");
    w.engine = serve(&handler, &w, &o, draw_stream_address());
    if (w.engine != NULL) {
        play(&w);
        must(w.asked == w.done, "%llu operations were asked for, %llu completed", (unsigned long long)w.asked,
             (unsigned long long)w.done);
        must(w.opened == w.closed, "%llu opened, %llu closed", (unsigned long long)w.opened,
             (unsigned long long)w.closed);
    }
    w.over = 1;
    crew_join(&hosts);
    crew_join(&w.upstreams);
}

const scenario scenario_proxy = { "proxy", run };
