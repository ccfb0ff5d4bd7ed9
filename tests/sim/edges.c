/* SPDX-License-Identifier: MIT */
/*
 * Faults at a moment of the test's choice: memory that ends exactly here, a host without IPv6, a system that
 * does not cut trains of datagrams, accepting that fails for seconds.  Each world takes one of them.
 */
#include "scenario.h"

#include <string.h>

#define LOOK (100 * UINT64_C(1000))
#define PATIENCE (300 * SECOND) /* virtual */

static gn_action echo(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    int rc = gn_conn_write(c, p, n);

    (void)user;
    must(rc == GN_OK, "echo: %s", gn_strerror(rc));
    gn_conn_discard(c, n);
    return GN_NONE;
}

/* ------------------------------------------------------------ memory ends here */

#define FILL ((size_t)300000)

typedef struct thirst {
    gn_conn *first, *second;
    int opened, closed, dones;
} thirst;

static gn_action thirst_open(gn_conn *c, void *user)
{
    thirst *t = user;

    if (t->opened++ == 0)
        t->first = c;
    else
        t->second = c;
    return GN_NONE;
}

static gn_action thirst_close(gn_conn *c, int reason, void *user)
{
    thirst *t = user;

    (void)c;
    (void)reason;
    t->closed++;
    return GN_NONE;
}

static void done(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    ++*(int *)arg;
}

#define SAYS_NO(call) \
    do { \
        int rc_ = (call); \
        must(rc_ == GN_ENOMEM, "without memory %s says %s", #call, gn_strerror(rc_)); \
    } while (0)

/* Verbs whose first call takes memory: they say so, and change nothing. */
static void first_calls(void *arg)
{
    thirst *t = arg;
    gn_handle h = gn_conn_handle(t->first);
    gn_op op = 7;

    gnp_sim_turn("alloc_error", 1024);
    SAYS_NO(gn_conn_set_watermarks(t->first, 2, 1));
    SAYS_NO(gn_conn_set_limits(t->first, 100, 100));
    SAYS_NO(gn_conn_set_write_deadline(t->first, SECOND));
    SAYS_NO(gn_conn_pipe(t->first, t->second));
    gnp_sim_turn("alloc_error", 0);
    must(gn_conn_set_limits(t->first, 0, 0) == GN_OK, "with memory no limits");
    gnp_sim_turn("alloc_error", 1024);
    SAYS_NO(gn_conn_pipe(t->first, t->second)); /* now it is the second who has no room for it */
    SAYS_NO(gn_schedule(h, 0, done, &t->dones, &op));
    must(op == GN_OP_NONE, "an operation that is none has a token");
    SAYS_NO(gn_schedule(h, 0, done, &t->dones, NULL));
    SAYS_NO(gn_dial(h, "tcp://127.0.0.1:1", NULL, done, &t->dones, NULL));
    SAYS_NO(gn_adopt(h, gn_conn_descriptor(t->first), NULL, done, &t->dones));
    gnp_sim_turn("alloc_error", 0);
}

static unsigned char much[FILL];

/* A queue that cannot grow refuses, and what stands in it still leaves in order. */
static void queue_ends(void *arg)
{
    thirst *t = arg;
    gn_iov parts[3] = { { much, FILL / 2 }, { much, 0 }, { much + FILL / 2, FILL / 2 } };

    must(gn_conn_set_limits(t->first, 0, 4 * FILL) == GN_OK, "no limits");
    must(gn_conn_write(t->first, much, FILL) == GN_OK, "no room for a first write");
    (void)gn_conn_flush(t->first);
    if (gn_conn_outbound(t->first) == 0) /* it all fits into what the system has for it */
        return;
    gnp_sim_turn("alloc_error", 1024);
    SAYS_NO(gn_conn_write(t->first, much, FILL));
    SAYS_NO(gn_conn_writev(t->first, parts, 3));
    gnp_sim_turn("alloc_error", 0);
    must(gn_conn_writev(t->first, parts, 3) == GN_OK, "with memory no room");
}

static void thirst_read(gnp_sim_peer *p)
{
    static unsigned char got[4096];
    int64_t n;
    size_t total = 0;

    while ((n = gnp_sim_recv(p, got, sizeof got, SECOND)) > 0) {
        for (int64_t i = 0; i < n; i++, total++)
            must(got[i] == much[total % FILL], "byte %zu is another", total);
    }
    must(n == GNP_SIM_TIMEOUT, "the stream ends with %lld", (long long)n);
    must(total == FILL || total == 2 * FILL, "%zu bytes came", total);
}

static void memory_ends(void)
{
    static const gn_handler h = { .on_open = thirst_open, .on_close = thirst_close };
    thirst t = { 0 };
    gnp_sim_peer *p[2];
    gn_options o;
    gn_engine *e;
    char where[64];
    int why, both = 0;

    draw_options(&o);
    o.loops = 1;
    o.outbound_max = 4 * FILL;
    e = serve_well(&h, &t, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    stream_fill(9, 0, much, sizeof much);
    for (int i = 0; i < 2; i++) {
        p[i] = gnp_sim_connect(where, &why);
        must(p[i] != NULL, "connect: %d", why);
        for (uint64_t until = gn_now() + PATIENCE; t.opened <= i; gnp_sim_sleep(LOOK))
            must(gn_now() < until, "connection %d is not opened", i);
    }
    on_loop(e, 0, first_calls, &t);
    if (gnp_sim_knobs_now()->pipe_bytes >= 1000) { /* each byte of a narrower one is an event */
        on_loop(e, 0, queue_ends, &t);
        thirst_read(p[0]);
        both = 1;
    }
    must(t.dones == 0, "what was refused is done");
    must(t.closed == 0, "who lacks memory for an option is closed");
    gnp_sim_note("memory ends", both, 0);
    gnp_sim_close(p[0], 0);
    gnp_sim_close(p[1], 0);
    finish(e, SECOND);
}

/* -------------------------------------------------- a socket that is not adopted */

typedef struct orphan {
    gn_handle to;
    int over, status, opened;
} orphan;

static void adopted(gn_handle h, int status, void *arg)
{
    orphan *a = arg;

    (void)h;
    must(!a->over, "an adoption is done twice");
    a->status = status;
    a->over = 1;
}

static gn_action orphan_open(gn_conn *c, void *user)
{
    orphan *a = user;

    (void)c;
    a->opened++;
    return GN_NONE;
}

static void adopt_in_vain(void *arg)
{
    orphan *a = arg;
    gn_descriptor d = -1;
    gn_conn *c = gn_conn_from_handle(a->to);
    gn_opt_value no = { GN_OPT_BROADCAST, 1 }; /* streams have none */
    gn_dial_options o;
    int rc, how = (int)gnp_sim_below(3);

    must(c != NULL, "the connection is gone");
    rc = gn_conn_dup(c, &d);
    must(rc == GN_OK, "dup: %s", gn_strerror(rc));
    gn_dial_options_init(&o);
    if (how == 0) {
        o.opts = &no;
        o.opt_count = 1;
    }
    rc = gn_adopt(gn_loop_handle(gn_loop_current()), d, &o, how == 2 ? NULL : adopted, a);
    must(rc == GN_OK, "adopt: %s", gn_strerror(rc));
    if (how != 0)
        gnp_sim_turn("sock_error", 1024); /* attaching it fails */
    a->over = how == 2;
}

static gn_action orphan_traffic(gn_conn *c, void *user)
{
    orphan *a = user;

    a->to = gn_conn_handle(c);
    return echo(c, NULL);
}

static void not_adopted(void)
{
    static const gn_handler h = { .on_open = orphan_open, .on_traffic = orphan_traffic };
    orphan a = { 0 };
    gnp_sim_peer *p;
    gn_options o;
    gn_engine *e;
    char where[64];
    unsigned before;
    int why;

    draw_options(&o);
    o.loops = 1;
    e = serve_well(&h, &a, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    p = gnp_sim_connect(where, &why);
    must(p != NULL, "connect: %d", why);
    expect_echo(p, "known");
    before = gnp_sim_descriptors();
    on_loop(e, 0, adopt_in_vain, &a);
    await(&a.over, "the end of an adoption");
    for (uint64_t until = gn_now() + PATIENCE; gnp_sim_descriptors() != before; gnp_sim_sleep(LOOK))
        must(gn_now() < until, "a socket that was not adopted stays open");
    gnp_sim_turn("sock_error", 0);
    must(a.status != GN_OK || a.opened == 1, "an adoption that failed is done with GN_OK");
    must(a.opened == 1, "it is open all the same");
    must(gn_engine_conn_count(e) == 1, "%llu connections", (unsigned long long)gn_engine_conn_count(e));
    expect_echo(p, "as before"); /* the other descriptor of the same socket */
    gnp_sim_close(p, 0);
    finish(e, SECOND);
}

/* ---------------------------------------------------------- a host without IPv6 */

static void open_to_all(void)
{
    static const gn_handler h = { .on_traffic = echo };
    static const char *const urls[] = { "tcp://:0", "udp://:0" };
    const char *url = urls[gnp_sim_below(2)];
    gn_listen_options lo;
    gn_options o;
    gn_engine *e = NULL;
    gn_addr a;
    unsigned none = (unsigned)gnp_sim_below(4);
    int rc, six = none == 0 || none == 3;

    draw_options(&o);
    gnp_sim_turn("no_ipv6", none);
    must(gn_engine_create(&e, &h, NULL, &o) == GN_OK, "no engine");
    gn_listen_options_init(&lo);
    lo.v6only = 1;
    rc = gn_engine_listen_with(e, url, &lo);
    must(rc == (six ? GN_OK : none == 1 ? GN_ENOTSUP : GN_EADDRNOTAVAIL), "IPv6 only: %s", gn_strerror(rc));
    must(gn_engine_addr_count(e) == (unsigned)six, "an address that was refused counts");
    rc = gn_engine_listen(e, url);
    must(rc == GN_OK, "every address: %s", gn_strerror(rc));
    must(gn_engine_addr(e, (unsigned)six, &a) == GN_OK, "no address");
    must(gn_addr_family(&a) == (none == 0 ? GN_FAMILY_IPV6 : GN_FAMILY_IPV4), "family %d",
         (int)gn_addr_family(&a));
    must(gn_engine_destroy(e) == GN_OK, "not destroyed");
}

/* -------------------------------------------- an engine that does not get its parts */

static void parts_missing(void)
{
    static const gn_handler h = { .on_traffic = echo };
    static const char *const parts[] = { "thread_error", "sock_error", "alloc_error" };
    const char *part = parts[gnp_sim_below(3)];
    gnp_sim_peer *p;
    gn_options o;
    gn_engine *e = NULL;
    char where[64];
    int rc, why;

    draw_options(&o);
    o.stall_ns = one_in(2) ? SECOND : 0;
    must(gn_engine_create(&e, &h, NULL, &o) == GN_OK, "no engine");
    must(gn_engine_listen(e, "tcp://127.0.0.1:0") == GN_OK, "it does not listen");
    gnp_sim_turn(part, 1024);
    rc = gn_engine_start(e);
    must(rc < 0, "with %s it starts", part);
    must(gn_engine_start(e) == GN_EBUSY, "it starts once more");
    must(gn_engine_destroy(e) == GN_OK, "not destroyed");
    gnp_sim_turn(part, 0);
    must(gnp_sim_descriptors() == 0, "%u descriptors stay", gnp_sim_descriptors());
    e = serve_well(&h, NULL, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    p = gnp_sim_connect(where, &why);
    must(p != NULL, "connect: %d", why);
    expect_echo(p, "later");
    gnp_sim_close(p, 0);
    finish(e, SECOND);
}

/* ---------------------------------------------------------- accepting that fails */

static void nobody_comes_in(void)
{
    static const gn_handler h = { .on_traffic = echo };
    gnp_sim_peer *p[4], *last;
    gn_stats s = { .size = sizeof s };
    unsigned refused = 0, n = 1 + (unsigned)gnp_sim_below(4);
    gn_options o;
    gn_engine *e;
    char where[64], byte;
    int why;

    draw_options(&o);
    o.loops = 1 + (unsigned)gnp_sim_below(2);
    o.backlog = 0;
    e = serve_well(&h, NULL, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    gnp_sim_turn("descriptors", gnp_sim_descriptors()); /* no other one for us; peers have their own */
    for (unsigned i = 0; i < n; i++) {
        p[i] = gnp_sim_connect(where, &why);
        must(p[i] != NULL, "connect: %d", why);
    }
    gnp_sim_sleep(SECOND / 2 + gnp_sim_below(10 * SECOND));
    gnp_sim_turn("descriptors", 0);
    for (unsigned i = 0; i < n; i++) {
        int64_t got = gnp_sim_send(p[i], "x", 1, NULL);
        if (got == 0)
            got = gnp_sim_recv(p[i], &byte, 1, PATIENCE);
        must(got == 1 || got == GNP_SIM_RESET, "peer %u gets %lld", i, (long long)got);
        refused += got == GNP_SIM_RESET;
        gnp_sim_close(p[i], 0);
    }
    last = gnp_sim_connect(where, &why);
    must(last != NULL, "connect: %d", why);
    expect_echo(last, "served");
    must(gn_engine_stats(e, &s) == GN_OK, "no statistics");
    must(s.refused == refused, "%llu were refused, %u were told so", (unsigned long long)s.refused, refused);
    gnp_sim_note("shed", refused, n);
    gnp_sim_close(last, 0);
    finish(e, SECOND);
}

/* --------------------------------------------------------------------- trains */

#define SEGMENT 100
#define TRAIN (SEGMENT * 7 + 30)
#define TRAINS 30 /* 240 datagrams: a socket holds 256 that nobody has taken */

typedef struct railway {
    gn_handle from;
    unsigned sent, errors;
    uint64_t got;
    int dialed, waiting, over;
} railway;

static railway rail;

static void train_leaves(gn_conn *c)
{
    static unsigned char cars[TRAIN];
    int rc = GN_OK;

    while (rail.sent < TRAINS && rc == GN_OK) {
        for (size_t i = 0; i < TRAIN; i++)
            cars[i] = (unsigned char)(rail.sent + i / SEGMENT);
        rc = gn_conn_send_segments(c, NULL, cars, TRAIN, SEGMENT);
        must(rc == GN_OK || rc == GN_EAGAIN, "a train: %s", gn_strerror(rc));
        rail.sent += rc == GN_OK;
    }
    rail.waiting = rc == GN_EAGAIN;
    rail.over = rail.sent == TRAINS;
}

static gn_action rail_drained(gn_conn *c, void *user)
{
    (void)user;
    if (rail.waiting)
        train_leaves(c);
    return GN_NONE;
}

static void rail_error(gn_conn *c, int error, void *user)
{
    (void)c;
    (void)user;
    must(error < 0, "an error that is none");
    rail.errors++;
}

static gn_action rail_traffic(gn_conn *c, void *user)
{
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);
    uint64_t car = rail.got % 8, train = rail.got / 8;

    (void)user;
    must(n == (car == 7 ? 30 : SEGMENT), "datagram %llu has %zu bytes", (unsigned long long)rail.got, n);
    for (size_t i = 0; i < n; i++)
        must(p[i] == (unsigned char)(train + car), "datagram %llu is another", (unsigned long long)rail.got);
    rail.got++;
    return GN_NONE;
}

static void rail_dialed(gn_handle h, int status, void *arg)
{
    (void)arg;
    must(status == GN_OK, "dial: %s", gn_strerror(status));
    rail.from = h;
    rail.dialed = 1;
}

static void rail_begin(void *arg)
{
    gn_conn *c = gn_conn_from_handle(rail.from);

    (void)arg;
    must(c != NULL, "the connection is gone");
    train_leaves(c);
}

/* Whatever the system says to trains: the datagrams arrive, each whole.  In order, as nothing is delayed more
 * than another. */
static void trains(void)
{
    static const gn_handler h = { .on_traffic = rail_traffic, .on_error = rail_error,
                                  .on_drained = rail_drained };
    gn_options o;
    gn_engine *e;
    char url[64];
    uint64_t until;

    memset(&rail, 0, sizeof rail);
    gnp_sim_turn("no_trains", gnp_sim_below(5));
    gnp_sim_turn("jitter_ns", 0);
    draw_options(&o);
    o.loops = 1;
    o.reuseport = 0;
    e = serve_well(&h, NULL, &o, one_in(2) ? "udp://127.0.0.1:0" : "udp://[::1]:0");
    must(gn_engine_url(e, 0, url, sizeof url) > 0, "no address");
    must(gn_dial(gn_engine_loop(e, 0), url, NULL, rail_dialed, NULL, NULL) == GN_OK, "no dial");
    await(&rail.dialed, "a dial");
    on_loop(e, 0, rail_begin, NULL);
    await(&rail.over, "the last train");
    for (until = gn_now() + PATIENCE; rail.got < TRAINS * 8; gnp_sim_sleep(LOOK))
        must(gn_now() < until, "%llu of %u datagrams came", (unsigned long long)rail.got, TRAINS * 8);
    must(rail.errors == 0, "%u errors", rail.errors);
    finish(e, SECOND);
}

/* ---------------------------------------------- datagrams with nowhere to wait */

static gn_handle lonely;
static int lonely_closed;

static gn_action lonely_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    must(reason == GN_ESHUTDOWN, "it ends for %s", gn_strerror(reason));
    lonely_closed = 1;
    return GN_NONE;
}

static void lonely_dialed(gn_handle h, int status, void *arg)
{
    must(status == GN_OK, "dial: %s", gn_strerror(status));
    lonely = h;
    *(int *)arg = 1;
}

/* Only the peer itself can be sent to. */
static void other_peers(gn_conn *c)
{
    static const char *const others[] = { "127.0.0.1:9", "127.0.0.2:4000", "[::1]:9", "[::2]:4000",
                                          "[::1]:4000" };
    gn_addr own, other;

    must(gn_conn_remote_addr(c, &own) == GN_OK, "no peer");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        must(gn_addr_parse(others[i], &other) == GN_OK, "no address");
        if (!gn_addr_equal(&own, &other))
            must(gn_conn_send_to(c, &other, "x", 1) == GN_EINVAL, "to %s it goes", others[i]);
    }
    must(gn_conn_send_to(c, &own, "x", 1) == GN_OK, "to its peer it does not go");
    must(gn_conn_flush(c) == GN_OK, "no flush");
}

static void lonely_writes(void *arg)
{
    static unsigned char large[60000];
    gn_conn *c = gn_conn_from_handle(lonely);
    int rc = GN_OK;
    unsigned n;

    (void)arg;
    must(c != NULL, "the connection is gone");
    gnp_sim_turn("again", 1024);
    gnp_sim_turn("alloc_error", 1024);
    SAYS_NO(gn_conn_write(c, "x", 1));
    SAYS_NO(gn_conn_send_segments(c, NULL, "xy", 2, 1));
    gnp_sim_turn("alloc_error", 0);
    must(gn_conn_send_segments(c, NULL, large, 60000, 1) == GN_EMSGSIZE, "938 trains have a place");
    for (n = 0; rc == GN_OK && n < 1000; n++) /* few large ones, or many small */
        rc = gn_conn_write(c, large, one_in(40) ? sizeof large : 1);
    must(rc == GN_EAGAIN, "there is no end: %s", gn_strerror(rc));
    must(gn_migrate(lonely, gn_loop_handle(gn_loop_current()), NULL, NULL) == GN_OK, "it is not asked");
}

static void lonely_again(void *arg)
{
    gn_conn *c = gn_conn_from_handle(lonely);

    (void)arg;
    must(c != NULL, "the connection is gone");
    if (gn_conn_outbound(c) == 0)
        other_peers(c);
}

/* Nobody is told that a queue has drained, as nobody asked; it drains. */
static void no_place_for_datagrams(void)
{
    static const gn_handler h = { .on_traffic = NULL, .on_close = lonely_close };
    gn_options o;
    gn_engine *e;
    char url[64];
    int dialed = 0, six = one_in(2);

    draw_options(&o);
    o.loops = 1;
    o.reuseport = 0;
    lonely_closed = 0;
    e = serve_well(&h, NULL, &o, six ? "udp://[::1]:4000" : "udp://127.0.0.1:4000");
    must(gn_engine_url(e, 0, url, sizeof url) > 0, "no address");
    must(gn_dial(gn_engine_loop(e, 0), url, NULL, lonely_dialed, &dialed, NULL) == GN_OK, "no dial");
    await(&dialed, "a dial");
    on_loop(e, 0, lonely_writes, NULL);
    gnp_sim_turn("again", 0);
    gnp_sim_sleep(SECOND);
    on_loop(e, 0, lonely_again, NULL);
    finish(e, SECOND);
    must(lonely_closed, "its end is not told");
}

/* ------------------------------------------------------------ a poller that ends */

static int odd_done;

static void odd_call(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    must(!odd_done, "it is done twice");
    must(status == GN_OK || status == GN_ECLOSED, "it is done with %s", gn_strerror(status));
    odd_done = 1;
}

/* The loop ends with it, and the engine with the loop; what was asked is done all the same. */
static void poller_ends(void)
{
    static const gn_handler h = { .on_traffic = echo };
    gnp_sim_peer *p;
    gn_options o;
    gn_engine *e;
    char where[64], byte;
    int rc, why;

    draw_options(&o);
    odd_done = 0;
    gnp_sim_turn("late_close", 0); /* a poller at its end tells of no close, */
    gnp_sim_turn("late_send", 0);  /* and of nothing that was sent */
    e = serve_well(&h, NULL, &o, draw_stream_address());
    peer_address(e, 0, where, sizeof where);
    p = gnp_sim_connect(where, &why);
    must(p != NULL, "connect: %d", why);
    expect_echo(p, "well");
    gnp_sim_turn("wait_error", 1024);
    rc = gn_execute(gn_engine_loop(e, 0), odd_call, NULL);
    must(rc == GN_OK || rc == GN_ECLOSED, "execute: %s", gn_strerror(rc));
    must(gn_engine_join(e) < 0, "an engine whose poller has ended is well");
    must(rc != GN_OK || odd_done, "what was asked is never done");
    must(gnp_sim_recv(p, &byte, 1, PATIENCE) < 0, "it still answers");
    gnp_sim_turn("wait_error", 0);
    must(gn_engine_destroy(e) == GN_OK, "not destroyed");
    gnp_sim_close(p, 0);
}

/* -------------------------------------------------- a poller that does not follow */

static int deaf_closed, deaf_reason;
static gn_handle deaf;

static gn_action deaf_open(gn_conn *c, void *user)
{
    (void)user;
    deaf = gn_conn_handle(c);
    return GN_NONE;
}

static gn_action deaf_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    deaf_reason = reason;
    deaf_closed = 1;
    return GN_NONE;
}

static void deaf_pause(void *arg)
{
    gn_conn *c = gn_conn_from_handle(deaf);

    (void)arg;
    must(c != NULL, "the connection is gone");
    gnp_sim_turn("want_error", 1024);
    must(gn_conn_pause(c) == GN_OK, "no pause");
}

/* A listener tries again by itself; a connection whose reading cannot be stopped ends with the reason. */
static void poller_is_deaf(void)
{
    static const gn_handler h = { .on_open = deaf_open, .on_traffic = echo, .on_close = deaf_close };
    gnp_sim_peer *p, *q;
    gn_options o;
    gn_engine *e;
    char where[64], byte;
    int64_t got;
    int why;

    draw_options(&o);
    o.loops = 1;
    deaf_closed = 0;
    e = serve_well(&h, NULL, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    p = gnp_sim_connect(where, &why);
    must(p != NULL, "connect: %d", why);
    expect_echo(p, "well");
    on_loop(e, 0, deaf_pause, NULL);
    await(&deaf_closed, "the end of a connection");
    must(deaf_reason == GN_ENOMEM, "it ends with %s", gn_strerror(deaf_reason));
    got = gnp_sim_recv(p, &byte, 1, PATIENCE);
    must(got == GNP_SIM_RESET || got == GNP_SIM_EOF, "its peer is told %lld", (long long)got);
    gnp_sim_close(p, 0);

    if (one_in(2))
        gnp_sim_turn("want_error", 0);
    must(gn_engine_pause_accept(e, 0) == GN_OK, "no pause");
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("want_error", 1024);
    q = gnp_sim_connect(where, &why); /* the system accepts, nobody serves */
    must(q != NULL, "connect: %d", why);
    must(gn_engine_resume_accept(e, 0) == GN_OK, "no resume");
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("want_error", 0);
    expect_echo(q, "at last");
    gnp_sim_close(q, 0);
    finish(e, SECOND);
}

/* -------------------------------------------------------- whole or not at all */

static void no_task(int status, void *arg)
{
    (void)status;
    (void)arg;
}

/* Whatever is missing, and at whichever step: an error, and nothing stays, as the end of the world sees. */
static void whole_or_not(void)
{
    static const gn_handler h = { .on_traffic = echo };
    gn_pool_options po;
    gn_options o;
    unsigned made = 0;

    draw_options(&o);
    o.stall_ns = SECOND;
    gn_pool_options_init(&po);
    po.capacity = 3;
    po.prealloc = one_in(2);
    po.queue_max = one_in(8) ? SIZE_MAX : 8;
    gnp_sim_turn("thread_error", 100);
    gnp_sim_turn("alloc_error", 200);
    for (unsigned i = 0; i < 30; i++) {
        gn_engine *e = NULL;
        gn_pool *p = NULL;
        gn_multipool *m = NULL;
        if (gn_pool_create(&p, &po) == GN_OK) {
            int rc = gn_pool_try_submit(p, no_task, NULL);
            must(rc == GN_OK || rc < 0, "a task: %d", rc);
            made++;
        }
        must((p != NULL) == (made == 1), "a pool that is none");
        made = 0;
        must(gn_pool_destroy(p) == GN_OK, "a pool is not destroyed");
        if (gn_multipool_create(&m, 2, GN_POOL_LEAST_TASKS, &po) != GN_OK)
            must(m == NULL, "a multipool that is none");
        must(gn_multipool_destroy(m) == GN_OK, "a multipool is not destroyed");
        if (gn_engine_create(&e, &h, NULL, &o) != GN_OK)
            must(e == NULL, "an engine that is none");
        else if (gn_engine_listen(e, "tcp://127.0.0.1:0") == GN_OK && gn_engine_start(e) == GN_OK)
            must(gn_engine_stop(e, 0) == GN_OK && gn_engine_join(e) <= 0, "an engine does not stop");
        must(gn_engine_destroy(e) == GN_OK, "an engine is not destroyed");
    }
}

/* -------------------------------------------------------- descriptors on their way */

typedef struct relay {
    int opened, closed, reason, sent;
    gn_handle sender;
    int fault; /* 2: no memory for who gets it */
} relay;

static gn_action relay_open(gn_conn *c, void *user)
{
    relay *r = user;

    must(gn_conn_set_opt(c, GN_OPT_PASS_DESCRIPTORS, 0) == GN_OK, "it cannot be turned off");
    must(gn_conn_set_opt(c, GN_OPT_PASS_DESCRIPTORS, 1) == GN_OK, "it cannot be turned on");
    if (one_in(2)) /* has memory for what few need, but not for descriptors */
        must(gn_conn_set_limits(c, 100000, 100000) == GN_OK, "no limits");
    r->opened++;
    return GN_NONE;
}

static gn_action relay_traffic(gn_conn *c, void *user)
{
    relay *r = user;
    gn_descriptor d = -1;
    size_t n;

    must(r->fault != 2, "without memory it goes on");
    must(gn_conn_recv_descriptor(c, &d) == GN_OK && d >= 0, "no descriptor comes");
    must(gn_adopt(gn_loop_handle(gn_loop_current()), d, NULL, NULL, NULL) == GN_OK, "it is none of a socket");
    (void)gn_conn_peek(c, &n);
    gn_conn_discard(c, n);
    r->sent = 2;
    return GN_NONE;
}

static gn_action relay_close(gn_conn *c, int reason, void *user)
{
    relay *r = user;

    (void)c;
    if (r->closed++ == 0)
        r->reason = reason;
    return GN_NONE;
}

static void relay_dialed(gn_handle h, int status, void *arg)
{
    relay *r = arg;

    must(status == GN_OK, "dial: %s", gn_strerror(status));
    r->sender = h;
}

static void relay_send(void *arg)
{
    relay *r = arg;
    gn_conn *c = gn_conn_from_handle(r->sender);
    gn_descriptor own;
    int rc;

    must(c != NULL, "the connection is gone");
    own = gn_conn_descriptor(c);
    gnp_sim_turn("sock_error", 1024);
    rc = gn_conn_send_descriptor(c, own, "x", 1);
    must(rc < 0, "without a descriptor it is copied: %s", gn_strerror(rc)); /* and nothing of it is sent */
    gnp_sim_turn("sock_error", 0);
    gnp_sim_turn("descriptors", gnp_sim_descriptors());
    rc = gn_conn_send_descriptor(c, own, "x", 1);
    must(rc == GN_EMFILE, "without room for a copy: %s", gn_strerror(rc));
    gnp_sim_turn("descriptors", 0);
    gnp_sim_turn("alloc_error", 1024);
    SAYS_NO(gn_conn_send_descriptor(c, own, "x", 1));
    gnp_sim_turn("alloc_error", 0);
    rc = gn_conn_send_descriptor(c, own, "x", 1);
    must(rc == GN_OK, "a descriptor: %s", gn_strerror(rc));
    must(gn_conn_flush(c) == GN_OK, "no flush");
    if (r->fault == 2)
        gnp_sim_turn("alloc_error", 1024);
    r->sent = 1;
}

static void descriptors_pass(void)
{
    static const gn_handler in = { .on_open = relay_open,
                                   .on_traffic = relay_traffic,
                                   .on_close = relay_close };
    static relay r;
    gn_dial_options d;
    gn_options o;
    gn_engine *e;
    uint64_t until;
    char url[64];

    memset(&r, 0, sizeof r);
    r.fault = one_in(2) ? 2 : 0;
    draw_options(&o);
    o.loops = 1;
    e = serve_well(&in, &r, &o, "unix:///tmp/relay");
    must(gn_engine_url(e, 0, url, sizeof url) > 0, "no address");
    gn_dial_options_init(&d);
    must(gn_dial(gn_engine_loop(e, 0), url, &d, relay_dialed, &r, NULL) == GN_OK, "no dial");
    for (until = gn_now() + PATIENCE; r.opened < 2; gnp_sim_sleep(LOOK))
        must(gn_now() < until, "no connection");
    on_loop(e, 0, relay_send, &r);
    if (r.fault == 2) {
        await(&r.closed, "the end of who has no memory");
        must(r.reason == GN_ENOMEM, "it ends with %s", gn_strerror(r.reason));
    } else {
        for (until = gn_now() + PATIENCE; r.sent < 2; gnp_sim_sleep(LOOK))
            must(gn_now() < until, "nothing comes");
    }
    gnp_sim_turn("alloc_error", 0);
    finish(e, SECOND);
}

/* ------------------------------------------------ sockets of a group, by the CPU */

/* Steering by CPU is asked for among several sockets of one port, which this host never steers. */
static void steered(void)
{
    static const gn_handler h = { .on_traffic = echo };
    static const char *const urls[] = { "tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix:///tmp/steered" };
    unsigned which = (unsigned)gnp_sim_below(3), balances = (unsigned)gnp_sim_below(2);
    gn_options o;
    gn_engine *e = NULL;
    int rc, none;

    draw_options(&o);
    o.reuseport_cpu = one_in(4) ? 0 : 1;
    o.reuseport = one_in(4) ? 0 : 1;
    o.pin_threads = 1;
    o.keepalive_s = 9;
    o.keepalive_intvl_s = 3;
    gnp_sim_turn("reuseport_balances", balances);
    must(gn_engine_create(&e, &h, NULL, &o) == GN_OK, "no engine");
    rc = gn_engine_listen(e, urls[which]);
    /* Datagrams have a socket for each loop without being asked. */
    none = o.reuseport_cpu && o.loops > 1 && which != 2 &&
           (o.reuseport || (which == 1 && balances));
    must(rc == (none ? GN_ENOTSUP : GN_OK), "listen: %s", gn_strerror(rc));
    if (rc != GN_OK) {
        must(gn_engine_destroy(e) == GN_OK, "not destroyed");
        return;
    }
    must(gn_engine_start(e) == GN_OK, "it does not start");
    finish(e, 0);
}

/* ---------------------------------------------------------- sockets of others */

static gn_handle newcomer;
static gn_descriptor lent;

static gn_action newcomer_open(gn_conn *c, void *user)
{
    (void)user;
    if (lent >= 0) /* it is the one that was adopted */
        return GN_NONE;
    newcomer = gn_conn_handle(c);
    must(gn_conn_dup(c, &lent) == GN_OK, "no duplicate");
    return GN_NONE;
}

/* A descriptor that is refused stays the caller's, whyever it is. */
static void not_imported(void)
{
    static const gn_handler h = { .on_open = newcomer_open, .on_traffic = echo };
    static const char *const urls[] = { "tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix:///tmp/mine" };
    unsigned which = (unsigned)gnp_sim_below(3);
    gn_opt_value opts[] = { { GN_OPT_SEND_BUFFER, 5000 }, { GN_OPT_TTL, 1000 } };
    gn_listen_options lo;
    gn_descriptor d = -1;
    gnp_sim_peer *p;
    gn_options o;
    gn_engine *first, *second = NULL;
    char where[64];
    int rc, why;

    draw_options(&o);
    o.loops = 1;
    o.tcp_nodelay = one_in(2);
    o.keepalive_s = one_in(2) ? 60 : 0;
    lent = -1;
    first = serve_well(&h, NULL, &o, urls[which]);
    must(gn_engine_create(&second, &h, NULL, &o) == GN_OK, "no engine");
    must(gn_engine_listen_descriptor(second, 4000, NULL) == GN_EINVAL, "a descriptor that is not open");
    must(gn_engine_listener_dup(first, 0, &d) == GN_OK, "no duplicate");
    gnp_sim_turn("alloc_error", 1024);
    must(gn_engine_listen_descriptor(second, d, NULL) == GN_ENOMEM, "without memory it is imported");
    gnp_sim_turn("alloc_error", 0);
    gn_listen_options_init(&lo);
    lo.opts = opts;
    lo.opt_count = 2;
    rc = gn_engine_listen_descriptor(second, d, &lo); /* a time to live of 1,000 is none; Unix has none */
    must(rc == (which == 2 ? GN_ENOTSUP : GN_EINVAL), "a wrong option: %s", gn_strerror(rc));
    lo.opt_count = 1;
    must(gn_engine_listen_descriptor(second, d, &lo) == GN_OK, "with a right option it is refused");
    must(gn_engine_addr_count(second) == 1, "%u addresses", gn_engine_addr_count(second));
    if (which != 1) {
        peer_address(first, 0, where, sizeof where);
        p = gnp_sim_connect(where, &why);
        must(p != NULL, "connect: %d", why);
        expect_echo(p, "whose");
        must(lent >= 0, "nothing is lent");
        must(gn_engine_listen_descriptor(second, lent, NULL) == GN_EINVAL, "a connection is no listener");
        rc = gn_adopt(gn_engine_loop(first, 0), d, NULL, NULL, NULL);
        must(rc == GN_EINVAL, "a listener is no connection: %s", gn_strerror(rc));
        must(gn_adopt(newcomer, lent, NULL, NULL, NULL) == GN_OK, "it is not adopted");
        gnp_sim_close(p, 0);
    }
    must(gn_engine_destroy(second) == GN_OK, "not destroyed");
    finish(first, SECOND);
}

/* ----------------------------------------------------------------- sends in flight */

static struct flight {
    gn_handle h;
    int opened, closed, told, moved;
    unsigned char bytes[FILL]; /* lent to the connection until it says so */
} flight;

static gn_action flight_open(gn_conn *c, void *user)
{
    (void)user;
    flight.h = gn_conn_handle(c);
    flight.opened = 1;
    return GN_NONE;
}

static gn_action flight_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)reason;
    (void)user;
    flight.closed = 1;
    return GN_NONE;
}

/* Whose memory it is uses it anew at once. */
static void flight_told(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    must(!flight.told, "told twice");
    must(status == GN_OK || status == GN_ECANCELED, "told %s", gn_strerror(status));
    memset(flight.bytes, 0xEE, sizeof flight.bytes);
    flight.told = 1;
}

static void flight_moved(gn_handle h, int status, void *arg)
{
    const gn_conn *c = gn_conn_from_handle(h);

    (void)arg;
    must(status == GN_OK, "a move behind a send in flight: %s", gn_strerror(status));
    must(c == NULL || gn_loop_index(gn_conn_loop(c)) == 1, "it is where it was");
    flight.moved = 1;
}

static void flight_cut(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);

    (void)arg;
    must(status == GN_OK && c != NULL, "nothing to cut");
    must(gn_conn_abort(c) == GN_OK, "no abort");
}

static void flight_read(gnp_sim_peer *p)
{
    unsigned char part[5000], want[5000];
    size_t got = 0;

    while (got < FILL) {
        int64_t n = gnp_sim_recv(p, part, sizeof part, PATIENCE);
        must(n > 0, "of what was in flight only %zu bytes come: %lld", got, (long long)n);
        stream_fill(7, got, want, (size_t)n);
        must(memcmp(part, want, (size_t)n) == 0, "after %zu bytes come other ones", got);
        got += (size_t)n;
    }
}

/* Who moves waits for the end of what is in flight; who is cut keeps the memory until nobody reads it. */
static void flights(void)
{
    static const gn_handler h = { .on_open = flight_open, .on_close = flight_close };
    gn_iov v = { flight.bytes, FILL };
    gn_options o;
    gn_engine *e;
    gnp_sim_peer *p;
    char where[64];
    int cut = one_in(2), why;

    memset(&flight, 0, sizeof flight);
    stream_fill(7, 0, flight.bytes, FILL);
    draw_options(&o);
    o.loops = 2;
    o.lb = GN_LB_ROUND_ROBIN;
    o.reuseport = 0;
    o.outbound_max = 2 * FILL;
    o.loop_bytes_max = o.engine_bytes_max = 0;
    gnp_sim_turn("late_send", 1024);
    gnp_sim_turn("pipe_bytes", 1500);
    e = serve_well(&h, NULL, &o, "tcp://127.0.0.1:0");
    peer_address(e, 0, where, sizeof where);
    p = gnp_sim_connect(where, &why);
    must(p != NULL, "connect: %d", why);
    await(&flight.opened, "a connection");
    must(gn_write_ref(flight.h, &v, 1, flight_told, NULL) == GN_OK, "no write");
    gnp_sim_sleep(SECOND); /* it has begun */
    must(!flight.told, "nobody reads, and all has left");
    if (cut) {
        must(gn_execute(flight.h, flight_cut, NULL) == GN_OK, "no errand");
        await(&flight.closed, "the end of a connection");
    } else {
        must(gn_migrate(flight.h, gn_engine_loop(e, 1), flight_moved, NULL) == GN_OK, "no move");
        flight_read(p);
        await(&flight.moved, "a move");
    }
    await(&flight.told, "a completion");
    gnp_sim_close(p, 0);
    finish(e, SECOND);
}

static void edges(void *arg)
{
    static void (*const all[])(void) = { memory_ends, not_adopted,     open_to_all,
                                         parts_missing, nobody_comes_in, trains,
                                         steered,       not_imported,     no_place_for_datagrams,
                                         poller_ends,   poller_is_deaf,   whole_or_not,
                                         descriptors_pass, flights };
    size_t i = gnp_sim_below(sizeof all / sizeof all[0]);

    (void)arg;
    gnp_sim_heal(); /* the world has what faults it drew only where they cost nothing */
    gnp_sim_note("edge", (int64_t)i, 0);
    all[i]();
}

const scenario scenario_edges = { "edges", edges };
