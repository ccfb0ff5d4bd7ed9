/* SPDX-License-Identifier: MIT */
/*
 * Corners of datagrams, as corners.c: endpoints that end while something waits, sockets without memory,
 * trains in the middle of which somebody closes, pauses or moves on.  Each world takes one of them.
 */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#define LOOK (100 * UINT64_C(1000))
#define PATIENCE (300 * SECOND) /* virtual */

#define SOCKETS 6
#define SEGMENT 50
#define CARS 8

typedef struct stray {
    gn_engine *engine;
    gn_addr at, other; /* of the listener; of a peer */
    gn_handle dialed[SOCKETS];
    int dials, gots, errors, drains, closed, over, truncated;
    gn_action (*traffic)(gn_conn *c);
    unsigned char seen[600];
} stray;

static stray d;

static gn_action on_traffic(gn_conn *c, void *user)
{
    gn_dgram_info info;

    (void)user;
    must(gn_conn_dgram_info(c, &info) == GN_OK, "no facts");
    d.truncated += info.truncated != 0;
    d.gots++;
    return d.traffic != NULL ? d.traffic(c) : GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    gnp_sim_note("on_close", reason, 0);
    d.closed++;
    return GN_NONE;
}

static void on_error(gn_conn *c, int error, void *user)
{
    (void)user;
    must(error < 0 && gn_conn_is_datagram(c), "an error that is none");
    d.errors++;
}

/* No datagram is in hand here, so there is nobody to answer. */
static gn_action on_drained(gn_conn *c, void *user)
{
    gn_addr a;

    (void)user;
    if (gn_conn_listener(c) != GN_NO_LISTENER) {
        must(gn_conn_remote_addr(c, &a) == GN_ENOTCONN, "an endpoint has a peer");
        must(gn_conn_send_segments(c, NULL, "abcd", 4, 2) == GN_ENOTCONN, "an endpoint answers nobody");
    }
    d.drains++;
    return GN_NONE;
}

static const gn_handler host = { .on_traffic = on_traffic, .on_close = on_close, .on_error = on_error,
                                 .on_drained = on_drained };

static void calm(void)
{
    static const char *const off[] = { "short_read", "again", "spurious_event", "late_close",
                                       "late_send",  "interrupted", "jitter_ns" };

    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        gnp_sim_turn(off[i], 0);
}

static void open_at(const char *url, unsigned loops, unsigned gro)
{
    gn_opt_value opts[] = { { GN_OPT_GRO, 1 } };
    gn_listen_options lo;
    gn_options o;
    int rc;

    calm();
    draw_options(&o);
    o.loops = loops;
    o.reuseport = 0;
    o.stall_ns = 0;
    gnp_sim_turn("reuseport_balances", 0);
    must(gn_engine_create(&d.engine, &host, NULL, &o) == GN_OK, "no engine");
    gn_listen_options_init(&lo);
    lo.opts = opts;
    lo.opt_count = gro;
    rc = gn_engine_listen_with(d.engine, url, &lo);
    must(rc == GN_OK, "listen: %s", gn_strerror(rc));
    must(gn_engine_start(d.engine) == GN_OK, "it does not start");
    must(gn_engine_addr(d.engine, 0, &d.at) == GN_OK, "no address");
    must(gn_addr_parse("127.0.0.1:4444", &d.other) == GN_OK, "no address");
}

static gn_conn *endpoint(void)
{
    gn_conn *c = gn_conn_from_handle(gn_engine_endpoint(d.engine, 0, 0));

    must(c != NULL, "no endpoint");
    return c;
}

static gn_conn *dialed(unsigned i)
{
    gn_conn *c = gn_conn_from_handle(d.dialed[i]);

    must(c != NULL, "socket %u is gone", i);
    return c;
}

static void until(const int *count, int n, const char *what)
{
    uint64_t end = gn_now() + PATIENCE;

    while (*count < n) {
        must(gn_now() < end, "%s does not happen: %d", what, *count);
        gnp_sim_sleep(LOOK);
    }
}

static void on_dialed(gn_handle h, int status, void *arg)
{
    (void)arg;
    must(status == GN_OK, "dial: %s", gn_strerror(status));
    d.dialed[d.dials++] = h;
}

static void dial(unsigned n, unsigned gro)
{
    gn_opt_value opts[] = { { GN_OPT_GRO, 1 } };
    gn_dial_options o;
    char url[80];

    gn_dial_options_init(&o);
    o.opts = opts;
    o.opt_count = gro;
    must(gn_engine_url(d.engine, 0, url, sizeof url) > 0, "no address");
    for (unsigned i = 0; i < n; i++)
        must(gn_dial(gn_engine_loop(d.engine, 0), url, &o, on_dialed, NULL, NULL) == GN_OK, "no dial");
    until(&d.dials, (int)n, "a dial");
}

static void leave(void)
{
    finish(d.engine, SECOND);
    must(d.closed == d.dials, "%d dialled, %d closed", d.dials, d.closed);
}

/* --------------------------------------------- an endpoint that still has to send */

static void send_and_stop(void *arg)
{
    (void)arg;
    gnp_sim_turn("again", 1024);
    must(gn_conn_send_to(endpoint(), &d.other, "last", 4) == GN_OK, "it is not taken");
    must(gn_conn_flush(endpoint()) == GN_OK, "no flush");
    must(gn_conn_outbound(endpoint()) == 4, "it has left");
    must(gn_engine_stop(d.engine, 100 * SECOND) == GN_OK, "no stop");
    gnp_sim_turn("again", 1020);
}

static void stops_with_a_queue(void)
{
    gnp_sim_peer *p = gnp_sim_dgram("127.0.0.1:4444");
    char got[8], to[40];

    open_at("udp://127.0.0.1:0", 1, 0);
    must(gn_addr_format(&d.at, to, sizeof to) > 0, "no text");
    on_loop(d.engine, 0, send_and_stop, NULL);
    (void)gnp_sim_sendto(p, to, "late", 4); /* and more comes */
    must(gn_engine_join(d.engine) == GN_OK, "it does not end well");
    gnp_sim_turn("again", 0);
    must(gnp_sim_recvfrom(p, got, sizeof got, SECOND) == 4, "what waited did not leave");
    must(gn_engine_destroy(d.engine) == GN_OK, "not destroyed");
    gnp_sim_close(p, 0);
}

/* Its poller does not follow: it ends.  Nothing of it can be paused any more. */
static void deaf_endpoint(void)
{
    gnp_sim_peer *p = gnp_sim_dgram("127.0.0.1:4444");
    char to[40];

    open_at("udp://127.0.0.1:0", 1, 0);
    must(gn_addr_format(&d.at, to, sizeof to) > 0, "no text");
    gnp_sim_turn("want_error", 1024);
    must(gn_engine_pause_accept(d.engine, 0) == GN_OK, "no pause");
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("want_error", 0);
    must(gn_engine_resume_accept(d.engine, 0) == GN_OK, "no resume");
    gnp_sim_sleep(SECOND);
    (void)gnp_sim_sendto(p, to, "lost", 4);
    gnp_sim_sleep(SECOND);
    must(d.gots == 0, "it hears");
    gnp_sim_close(p, 0);
    leave();
}

/* ------------------------------------------------------------- many that wait */

static void all_blocked(void *arg)
{
    (void)arg;
    gnp_sim_turn("again", 1024);
    for (unsigned i = 0; i < SOCKETS; i++) {
        must(gn_conn_write(dialed(i), "wait", 4) == GN_OK, "it is not taken");
        must(gn_conn_flush(dialed(i)) == GN_OK, "no flush");
    }
    must(gn_conn_send_to(endpoint(), &d.other, "wait", 4) == GN_OK, "it is not taken");
    must(gn_conn_flush(endpoint()) == GN_OK, "no flush");
    gnp_sim_turn("again", 0);
}

/* More queues at once than a loop keeps. */
static void many_queues(void)
{
    open_at("udp://127.0.0.1:0", 1, 0);
    dial(SOCKETS, 0);
    on_loop(d.engine, 0, all_blocked, NULL);
    until(&d.gots, SOCKETS, "what waited");
    until(&d.drains, SOCKETS + 1, "being told of room");
    gnp_sim_sleep(SECOND);
    must(d.gots == SOCKETS && d.drains == SOCKETS + 1, "%d came, %d drained", d.gots, d.drains);
    leave();
}

/* ------------------------------------------------------------ nothing to receive with */

static void fill_all(void *arg)
{
    (void)arg;
    gnp_sim_turn("recv_error", 1024);
    for (unsigned i = 0; i < SOCKETS; i++)
        must(gn_conn_write(dialed(i), "hello", 5) == GN_OK, "it is not taken");
    must(gn_conn_send_to(endpoint(), &d.other, "x", 1) == GN_OK, "it is not taken");
}

static gn_action answer(gn_conn *c)
{
    if (gn_conn_listener(c) != GN_NO_LISTENER)
        must(gn_conn_write(c, "echo", 4) == GN_OK, "no answer");
    return GN_NONE;
}

/* Several wait for memory at a time, and then all get what stayed with the system. */
static void several_starve(void)
{
    open_at("udp://127.0.0.1:0", 1, 0);
    d.traffic = answer;
    dial(SOCKETS, 0);
    on_loop(d.engine, 0, fill_all, NULL);
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("recv_error", 0);
    until(&d.gots, SOCKETS, "receiving");
    gnp_sim_turn("recv_error", 1024); /* now it is the answers that stay */
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("recv_error", 0);
    until(&d.gots, 2 * SOCKETS, "the answers");
    must(d.errors > 0, "nobody is told");
    leave();
}

/* ----------------------------------------------------------- errors after the close */

static void close_blocked(void *arg)
{
    (void)arg;
    gnp_sim_turn("again", 1024);
    must(gn_conn_write(dialed(0), "late", 4) == GN_OK, "it is not taken");
    must(gn_conn_flush(dialed(0)) == GN_OK, "no flush");
    must(gn_conn_close(dialed(0)) == GN_OK, "no close");
    must(gn_conn_pause(dialed(0)) == GN_ECLOSED, "who is closed is paused");
    must(gn_conn_resume(dialed(0)) == GN_ECLOSED, "who is closed is resumed");
    gnp_sim_turn("again", 0);
    gnp_sim_turn("send_error", 1024);
}

static void error_after_close(void)
{
    open_at("udp://127.0.0.1:0", 1, 0);
    dial(1, 0);
    on_loop(d.engine, 0, close_blocked, NULL);
    until(&d.closed, 1, "the end");
    gnp_sim_turn("send_error", 0);
    must(d.errors == 0, "an error is told to who has closed");
    must(d.gots == 0, "it came all the same");
    leave();
}

/* ---------------------------------------------------------------------- trains */

static unsigned char train[SEGMENT * CARS];

static void train_leaves(void *arg)
{
    int n = *(int *)arg;

    for (int i = 0; i < n; i++)
        must(gn_conn_send_segments(dialed(0), NULL, train, sizeof train, SEGMENT) == GN_OK, "no train");
}

static gn_action closes_at_third(gn_conn *c)
{
    if (gn_conn_listener(c) == GN_NO_LISTENER && d.gots == 3)
        must(gn_conn_close(c) == GN_OK, "no close");
    return GN_NONE;
}

static void train_back(void *arg)
{
    gn_addr a;

    (void)arg;
    must(gn_conn_local_addr(dialed(0), &a) == GN_OK, "no address");
    must(gn_conn_send_segments(endpoint(), &a, train, sizeof train, SEGMENT) == GN_OK, "no train");
}

static void train_of_a_closed_one(void)
{
    open_at("udp://127.0.0.1:0", 1, 0);
    d.traffic = closes_at_third;
    dial(1, 1);
    on_loop(d.engine, 0, train_back, NULL);
    until(&d.closed, 1, "the end");
    gnp_sim_sleep(SECOND);
    must(d.gots == 3, "%d datagrams come", d.gots);
    leave();
}

static void train_cut(void)
{
    int one = 1;

    open_at("udp://127.0.0.1:0", 1, 1);
    dial(1, 0);
    gnp_sim_turn("dgram_cut", 1024);
    on_loop(d.engine, 0, train_leaves, &one);
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("dgram_cut", 0);
    must(d.gots >= 1 && d.gots <= CARS, "%d datagrams come", d.gots);
    must(d.truncated == 1, "%d of them are cut", d.truncated);
    leave();
}

/* The system does not cut trains, and takes none of the cars. */
static void train_refused(void)
{
    int one = 1;

    open_at("udp://127.0.0.1:0", 1, 0);
    dial(1, 0);
    gnp_sim_turn("no_trains", 1);
    on_loop(d.engine, 0, train_leaves, &one);
    until(&d.gots, CARS, "cars one by one");
    gnp_sim_turn("send_error", 1024);
    on_loop(d.engine, 0, train_leaves, &one);
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("send_error", 0);
    must(d.errors > 0, "nobody is told");
    must(d.gots == CARS, "%d cars come", d.gots);
    leave();
}

/* ------------------------------------------------------------------- long turns */

static gn_action pauses(gn_conn *c)
{
    if (d.gots % 5 == 0)
        must(gn_conn_pause(c) == GN_OK, "no pause");
    return GN_NONE;
}

static void resume_it(void *arg)
{
    (void)arg;
    must(gn_conn_resume(endpoint()) == GN_OK, "no resume");
}

static void paused_in_between(void)
{
    int two = 2;

    open_at("udp://127.0.0.1:0", 1, 0);
    dial(1, 0);
    d.traffic = pauses;
    on_loop(d.engine, 0, train_leaves, &two);
    for (int i = 5; i <= 2 * CARS; i += 5) {
        gnp_sim_sleep(SECOND);
        must(d.gots == i, "%d come, then it pauses", d.gots);
        on_loop(d.engine, 0, resume_it, NULL);
    }
    until(&d.gots, 2 * CARS, "the rest");
    leave();
}

/* More than one turn takes; what the test asks meanwhile is not held up. */
static void a_long_turn(void)
{
    int many = 40;

    open_at("udp://127.0.0.1:0", 1, 1);
    dial(1, 0);
    on_loop(d.engine, 0, train_leaves, &many);
    until(&d.gots, many * CARS, "all cars");
    leave();
}

/* ------------------------------------------------------------------- addresses */

static void addresses(void *arg)
{
    char text[40];
    gn_addr a;

    (void)arg;
    must(gn_conn_send_to(endpoint(), &d.other, "four", 4) == GN_OK, "IPv4 from an endpoint of both");
    must(gn_conn_local_addr(dialed(0), &a) == GN_OK, "no address");
    must(gn_addr_parse("10.1.2.3:9", &a) == GN_OK, "no address");
    must(gn_conn_send_to(dialed(0), &a, "x", 1) == GN_EINVAL, "another peer");
    must(gn_conn_remote_addr(dialed(0), &a) == GN_OK, "no peer");
    must(gn_conn_send_to(dialed(0), &a, "x", 1) == GN_OK, "its own peer");
    (void)snprintf(text, sizeof text, gn_addr_family(&a) == GN_FAMILY_IPV4 ? "127.0.0.9:%u" : "[::9]:%u",
                   gn_addr_port(&a));
    must(gn_addr_parse(text, &a) == GN_OK, "no address");
    must(gn_conn_send_to(dialed(0), &a, "x", 1) == GN_EINVAL, "another host");
    (void)snprintf(text, sizeof text, "[::1%%1]:%u", gn_addr_port(&a));
    must(gn_addr_parse(text, &a) == GN_OK, "no address");
    must(gn_conn_send_to(dialed(0), &a, "x", 1) == GN_EINVAL, "another interface");
}

static void send_six(void *arg)
{
    gn_addr a;

    (void)arg;
    must(gn_addr_parse("[::1]:4444", &a) == GN_OK, "no address");
    must(gn_conn_send_to(endpoint(), &a, "x", 1) == GN_EINVAL, "IPv6 from IPv4");
}

static void both_families(void)
{
    gnp_sim_peer *p = gnp_sim_dgram("127.0.0.1:4444");
    char got[8];
    int four = one_in(3);

    open_at(four ? "udp://127.0.0.1:0" : "udp://:0", 1, 0);
    if (four) {
        on_loop(d.engine, 0, send_six, NULL);
    } else {
        dial(1, 0);
        on_loop(d.engine, 0, addresses, NULL);
        must(gnp_sim_recvfrom(p, got, sizeof got, PATIENCE) == 4, "nothing comes by IPv4");
        until(&d.gots, 1, "receiving");
    }
    gnp_sim_close(p, 0);
    leave();
}

/* --------------------------------------------------------------------- moving */

static gn_handle now;
static int moved, move_status, sent;

static void on_moved(gn_handle h, int status, void *arg)
{
    (void)arg;
    now = h;
    move_status = status;
    moved++;
}

static void on_sent(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    must(status == GN_OK, "a send: %s", gn_strerror(status));
    sent++;
}

static void block_it(void *arg)
{
    (void)arg;
    gnp_sim_turn("again", 1024);
    must(gn_conn_write(dialed(0), "wait", 4) == GN_OK, "it is not taken");
    must(gn_conn_flush(dialed(0)) == GN_OK, "no flush");
}

/* It does not go while something waits; then it does, and what is asked by the old handle follows. */
static void moves_on(void)
{
    gn_handle there;

    open_at("udp://127.0.0.1:0", 2, 0);
    d.traffic = answer;
    dial(1, 0);
    there = gn_engine_loop(d.engine, 1);
    on_loop(d.engine, 0, block_it, NULL);
    must(gn_migrate(d.dialed[0], there, on_moved, NULL) == GN_OK, "no migration");
    until(&moved, 1, "a migration");
    must(move_status == GN_EBUSY, "with a queue it ends with %s", gn_strerror(move_status));
    gnp_sim_turn("again", 0);
    until(&d.gots, 2, "what waited, and its answer");
    must(gn_migrate(d.dialed[0], there, on_moved, NULL) == GN_OK, "no migration");
    until(&moved, 2, "a migration");
    must(move_status == GN_OK, "it ends with %s", gn_strerror(move_status));
    must(gn_send_to(d.dialed[0], &d.at, "follow", 6, on_sent, NULL) == GN_OK, "no send");
    until(&sent, 1, "a send");
    until(&d.gots, 4, "it, and its answer");
    must(gn_close(now, NULL, NULL) == GN_OK, "no close");
    until(&d.closed, 1, "the end");
    leave();
}

static void strays(void *arg)
{
    static void (*const all[])(void) = { stops_with_a_queue, deaf_endpoint, many_queues,   several_starve,
                                         error_after_close,  train_of_a_closed_one, train_cut, train_refused,
                                         paused_in_between,  a_long_turn,   both_families, moves_on };
    size_t i = gnp_sim_below(sizeof all / sizeof all[0]);

    (void)arg;
    gnp_sim_heal();
    gnp_sim_note("stray", (int64_t)i, 0);
    all[i]();
}

const scenario scenario_strays = { "strays", strays };
