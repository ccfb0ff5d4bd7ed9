/* SPDX-License-Identifier: MIT */
/* Connections that we ask for: each dial completes exactly once, with a connection or with a reason. */
#include "harness.h"

#include <stdio.h>

/* ------------------------------------------------------------------- tools */

#define CONTEXT ((void *)&context_mark)
static char context_mark;

/* NT_DONE with the handle; arg: a number of the test's, checked by once(). */
static gnp_atomic32 done_times[4096];
static gnp_atomic64 done_handle[4096];

static void *id(unsigned i)
{
    return &done_times[i];
}

static void on_done(gn_handle h, int status, void *arg)
{
    gnp_atomic32 *at = arg;
    NT_EXPECT((status == GN_OK) == (h != GN_HANDLE_NONE));
    if (status == GN_OK && gn_loop_current() != NULL)
        NT_EXPECT(gn_conn_from_handle(h) != NULL); /* before on_close, whatever on_open did */
    NT_EXPECT_INT(gnp_add32(at, 1), 0);
    gnp_store64(&done_handle[at - done_times], h);
    nt_note(NT_DONE, (uint64_t)(at - done_times), status);
}

static void client_begin(void)
{
    memset(done_times, 0, sizeof(done_times));
    memset(done_handle, 0, sizeof(done_handle));
}

static gn_handle handle_of(unsigned i)
{
    return gnp_load64(&done_handle[i]);
}

/* A client engine: nothing but loops. */
static gn_engine *client_start(const gn_handler *h, unsigned loops)
{
    gn_options o = nt_options(loops);
    return nt_start(h, NULL, &o, (char *)NULL);
}

static const gn_handler quiet = { .on_open = nt_on_open, .on_close = nt_on_close };
static const gn_handler echo_server = { .on_traffic = nt_echo };

static gn_dial_options dial_options(void)
{
    gn_dial_options o;
    gn_dial_options_init(&o);
    return o;
}

/* A port of a loopback address where nobody listens right now. */
static unsigned free_port(const char *ip)
{
    gnp_addr a;
    gnp_sock s;
    ck_assert_int_eq(gnp_ip_parse(ip, &a), GNP_OK);
    ck_assert_int_eq(gnp_listen(&s, &a, NULL, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s, &a), GNP_OK);
    gnp_sock_close(&s, 0);
    return a.port;
}

static const char *url_of(const char *scheme, const char *host, unsigned port)
{
    static char text[8][96];
    static unsigned at;
    char *out = text[at++ % 8];
    snprintf(out, sizeof(text[0]), "%s://%s:%u", scheme, host, port);
    return out;
}

/* A port of 127.0.0.1 where nobody listens, nor can: that of a connection's other end, kept until the test
 * ends.  A free one may be another program's a moment later. */
static struct {
    tc_net *net;
    gnp_sock listener;
    tc *c;
} refuser;

static unsigned refusing_port(void)
{
    gnp_addr a;
    if (refuser.net == NULL) {
        ck_assert_int_eq(gnp_ip_parse("127.0.0.1", &a), GNP_OK);
        ck_assert_int_eq(gnp_listen(&refuser.listener, &a, NULL, NULL), GNP_OK);
        ck_assert_int_eq(gnp_sock_local(&refuser.listener, &a), GNP_OK);
        refuser.net = tc_net_open();
        refuser.c = tc_connect(refuser.net, url_of("tcp", "127.0.0.1", a.port));
    }
    ck_assert_int_eq(gnp_sock_local(&refuser.c->sock, &a), GNP_OK);
    return a.port;
}

static void client_end(void)
{
    if (refuser.net == NULL)
        return;
    tc_close(refuser.c);
    tc_net_close(refuser.net);
    gnp_sock_close(&refuser.listener, 0);
    memset(&refuser, 0, sizeof(refuser));
}

/* A listener that accepts nobody and whose queue is full: who connects gets no answer. */
typedef struct clog {
    gnp_sock listener;
    gnp_addr addr;
    gnp_bound bound;
    gnp_poller *poller;
    gnp_sock filler[16];
    unsigned fillers;
    gnp_event events[16];
} clog;

static int clog_make(clog *k, const gnp_addr *at)
{
    gnp_sock_opts o = { .backlog = 1, .v6only = 1 };
    gnp_poller_config config = { 0 };
    memset(k, 0, sizeof(*k));
    int rc = gnp_listen(&k->listener, at, &o, &k->bound);
    if (rc != GNP_OK)
        return rc;
    ck_assert_int_eq(gnp_sock_local(&k->listener, &k->addr), GNP_OK);
    ck_assert_int_eq(gnp_poller_open(&k->poller, &config), GNP_OK);
    for (;;) {
        gnp_sock *s = &k->filler[k->fillers];
        rc = gnp_connect(k->poller, s, GNP_STREAM, &k->addr, NULL, NULL);
        if (rc == GNP_AGAIN) /* a Unix socket */
            return GNP_OK;
        ck_assert(rc == GNP_OK || rc == GNP_INFLIGHT);
        k->fillers++;
        uint64_t until = gnp_now() + 100 * NT_MS;
        while (rc == GNP_INFLIGHT && gnp_now() < until) {
            gnp_poller_wait(k->poller, k->events, 16, until);
            if (gnp_connect_end(k->poller, s) == GNP_OK)
                rc = GNP_OK;
        }
        if (rc == GNP_INFLIGHT) /* it hangs, as all will from now on */
            return GNP_OK;
        ck_assert_uint_lt(k->fillers, 16);
    }
}

static void clog_close(clog *k)
{
    for (unsigned i = 0; i < k->fillers; i++)
        gnp_close(k->poller, &k->filler[i], 1);
    gnp_sock_close(&k->listener, 0);
    gnp_unlink_bound(&k->addr, &k->bound);
    gnp_poller_close(k->poller);
}

static const char *clog_url(const clog *k)
{
    char ip[GNP_IP_TEXT_MAX];
    gnp_ip_format(&k->addr, ip);
    return url_of("tcp", ip, k->addr.port);
}

static void clog_v4(clog *k)
{
    gnp_addr a;
    ck_assert_int_eq(gnp_ip_parse("127.0.0.1", &a), GNP_OK);
    ck_assert_int_eq(clog_make(k, &a), GNP_OK);
}

static int ipv6_works(void)
{
    gnp_addr a;
    gnp_sock s;
    if (gnp_ip_parse("::1", &a) != GNP_OK || gnp_listen(&s, &a, NULL, NULL) != GNP_OK)
        return 0;
    gnp_sock_close(&s, 0);
    return 1;
}

/* An echo server on 127.0.0.1 and, on the same port of ::1, a clog. */
static gn_engine *v4_with_clogged_v6(clog *k)
{
    for (unsigned i = 0;; i++) {
        gn_engine *e = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
        gn_addr a;
        gnp_addr v6;
        ck_assert_int_eq(gn_engine_addr(e, 0, &a), GN_OK);
        ck_assert_int_eq(gnp_ip_parse("::1", &v6), GNP_OK);
        v6.port = (uint16_t)gn_addr_port(&a);
        if (clog_make(k, &v6) == GNP_OK)
            return e;
        nt_stop(e, 0);
        ck_assert_uint_lt(i, 20);
    }
}

/* ---------------------------------------------------------------- connecting */

/* The client's end: says hello, wants it back, then closes. */
static gn_action hello_open(gn_conn *c, void *user)
{
    gn_addr a;
    nt_note(NT_OPEN, gn_conn_handle(c), gn_conn_is_datagram(c));
    NT_EXPECT(user == (void *)&quiet);
    NT_EXPECT(gn_conn_context(c) == CONTEXT);
    NT_EXPECT_INT(gn_conn_listener(c), GN_NO_LISTENER);
    NT_EXPECT_INT(gn_conn_local_addr(c, &a), GN_OK);
    NT_EXPECT_INT(gn_conn_remote_addr(c, &a), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "hello", 5), GN_OK);
    return GN_NONE;
}

static gn_action hello_traffic(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    if (n < 5)
        return GN_NONE;
    NT_EXPECT_INT(memcmp(p, "hello", 5), 0);
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)n);
    gn_conn_discard(c, n);
    return GN_CLOSE;
}

static const gn_handler hello = { .on_open = hello_open,
                                  .on_traffic = hello_traffic,
                                  .on_close = nt_on_close };

static gn_action wrong_open(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    NT_EXPECT(!"the engine's own handler");
    return GN_NONE;
}

static const gn_handler wrong = { .on_open = wrong_open };

/* All schemes, with a handler table, a user and a context of the dial's own. */
START_TEST(dial_connects)
{
    const char *unix_url = nt_unix_url();
    gn_options so = nt_options(1), co = nt_options(1);
    co.edge_triggered = _i;
    unsigned count = ipv6_works() ? 6 : 4;
    gn_engine *s = nt_start(&echo_server, NULL, &so, "tcp://127.0.0.1:0", "tcp4://127.0.0.1:0", unix_url,
                            "udp://127.0.0.1:0", count > 4 ? "tcp6://[::1]:0" : NULL, "udp6://[::1]:0",
                            (char *)NULL);
    gn_engine *e = nt_start(&wrong, NULL, &co, (char *)NULL);
    for (unsigned i = 0; i < count; i++) {
        gn_dial_options o = dial_options();
        gn_op op;
        o.handler = &hello;
        o.user = (void *)(uintptr_t)&quiet;
        o.context = CONTEXT;
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, i), &o, on_done, id(i), &op), GN_OK);
        ck_assert_uint_ne(op, GN_OP_NONE);
        nt_await(NT_CLOSE, i + 1);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
        ck_assert_uint_eq(handle_of(i), nt_nth(NT_OPEN, i).id);
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_OK);
        ck_assert(nt_nth(NT_OPEN, i).when <= nt_nth(NT_DONE, i).when);
        ck_assert(nt_nth(NT_DONE, i).when <= nt_nth(NT_TRAFFIC, i).when);
        ck_assert_uint_eq(nt_nth(NT_OPEN, i).thread, nt_nth(NT_DONE, i).thread);
        (void)gn_cancel(op); /* too late */
    }
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), count);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), count);
}
END_TEST

static gn_action close_at_once(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_OPEN, gn_conn_handle(c), 0);
    return GN_CLOSE;
}

static const gn_handler closer = { .on_open = close_at_once, .on_close = nt_on_close };

/* done stands between on_open and on_close, also when on_open closes. */
START_TEST(done_comes_before_on_close)
{
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&closer, 1);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(0), NULL), GN_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_entry_at(0).what, NT_OPEN);
    ck_assert_int_eq(nt_entry_at(1).what, NT_DONE);
    ck_assert_int_eq(nt_entry_at(2).what, NT_CLOSE);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

START_TEST(nobody_listens)
{
    gn_engine *e = client_start(&wrong, 1);
    char missing[128];
    unsigned dials = nt_has_unix() ? 2 : 1;
    snprintf(missing, sizeof(missing), "%s", nt_unix_url());
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url_of("tcp", "127.0.0.1", refusing_port()), NULL,
                             on_done, id(0), NULL),
                     GN_OK);
    if (dials == 2)
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), missing, NULL, on_done, id(1), NULL), GN_OK);
    nt_await(NT_DONE, dials);
    for (unsigned i = 0; i < dials; i++) {
        nt_entry n = nt_nth(NT_DONE, i);
        ck_assert_int_eq(n.status, n.id == 0 ? GN_ECONNREFUSED : GN_ENOENT);
    }
    ck_assert_uint_eq(gn_engine_conn_count(e), 0);
    nt_stop(e, 0);
}
END_TEST

/* What is wrong with the question is said at once, and done is not called. */
START_TEST(bad_questions)
{
    gn_engine *e = client_start(&quiet, 1);
    gn_handle loop = gn_engine_loop(e, 0);
    gn_dial_options o;
    gn_op op = 7;
    static const struct { const char *url; int status; } bad[] = {
        { NULL, GN_EINVAL },
        { "ftp://127.0.0.1:80", GN_ESCHEME },
        { "tcp://127.0.0.1", GN_EADDR },
        { "tcp://127.0.0.1:0", GN_EADDR },
        { "tcp://:0", GN_EADDR },
        { "tcp://127.1:80", GN_EADDR },
        { "tcp4://[::1]:80", GN_EADDR },
        { "tcp6://127.0.0.1:80", GN_EADDR },
        { "tcp://a..b:80", GN_EADDR },
        { "unix://", GN_EADDR },
        { "", GN_EADDR },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(gn_dial(loop, bad[i].url, NULL, on_done, id(0), &op), bad[i].status);
        ck_assert_uint_eq(op, GN_OP_NONE);
    }
    ck_assert_int_eq(gn_dial(GN_HANDLE_NONE, "tcp://127.0.0.1:80", NULL, on_done, id(0), &op), GN_ECLOSED);
    ck_assert_uint_eq(op, GN_OP_NONE);
    memset(&o, 0, sizeof(o));
    ck_assert_int_eq(gn_dial(loop, "tcp://127.0.0.1:80", &o, on_done, id(0), NULL), GN_EINVAL);
    gn_dial_options_init(&o);
    o.opt_count = 1;
    ck_assert_int_eq(gn_dial(loop, "tcp://127.0.0.1:80", &o, on_done, id(0), NULL), GN_EINVAL);
    gn_dial_options_init(&o);
    o.local = "localhost:0";
    ck_assert_int_eq(gn_dial(loop, "tcp://127.0.0.1:80", &o, on_done, id(0), NULL), GN_EADDR);
    nt_stop(e, 0);
    ck_assert_int_eq(gn_dial(loop, "tcp://127.0.0.1:80", NULL, on_done, id(0), NULL), GN_ECLOSED);
    ck_assert_int_eq(gn_cancel(GN_OP_NONE), GN_ECLOSED);
    ck_assert_uint_eq(nt_count(NT_DONE), 0);
}
END_TEST

static gn_action boot_dials(gn_engine *e, void *user)
{
    (void)user;
    NT_EXPECT(gn_engine_loop(e, 0) == GN_HANDLE_NONE);
    NT_EXPECT(gn_engine_least_loop(e) == GN_HANDLE_NONE);
    NT_EXPECT_INT(gn_dial(gn_engine_loop(e, 0), "tcp://127.0.0.1:9", NULL, on_done, id(0), NULL), GN_ECLOSED);
    return GN_NONE;
}

START_TEST(no_loop_before_the_start)
{
    static const gn_handler h = { .on_boot = boot_dials };
    gn_engine *e = client_start(&h, 1);
    ck_assert_uint_ne(gn_engine_least_loop(e), GN_HANDLE_NONE);
    nt_stop(e, 0);
    ck_assert_uint_eq(nt_count(NT_DONE), 0);
}
END_TEST

/* ------------------------------------------------------------------ deadlines */

START_TEST(connect_deadline)
{
    clog k;
    clog_v4(&k);
    gn_engine *e = client_start(&wrong, 1);
    gn_dial_options o = dial_options();
    o.timeout_ns = 150 * NT_MS;
    uint64_t begun = gnp_now();
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), clog_url(&k), &o, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ETIMEDOUT);
    ck_assert_uint_ge(nt_nth(NT_DONE, 0).when - begun, 150 * NT_MS);
    nt_stop(e, 0);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    clog_close(&k);
}
END_TEST

static void on_blocked(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    while (!gnp_load32((gnp_atomic32 *)arg))
        gnp_sleep_until(gnp_now() + NT_MS);
}

/* Before the loop sees it, while it connects, and when it has connected. */
START_TEST(cancel_at_every_stage)
{
    clog k;
    gnp_atomic32 go = { 0 };
    clog_v4(&k);
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 1);
    gn_handle loop = gn_engine_loop(e, 0);
    gn_op op[3];
    ck_assert_int_eq(gn_execute(loop, on_blocked, &go), GN_OK);
    ck_assert_int_eq(gn_dial(loop, clog_url(&k), NULL, on_done, id(0), &op[0]), GN_OK);
    ck_assert_int_eq(gn_cancel(op[0]), GN_OK);
    gnp_store32(&go, 1);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECANCELED);

    ck_assert_int_eq(gn_dial(loop, clog_url(&k), NULL, on_done, id(1), &op[1]), GN_OK);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    ck_assert_int_eq(gn_cancel(op[1]), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_ECANCELED);

    ck_assert_int_eq(gn_dial(loop, nt_url(s, 0), NULL, on_done, id(2), &op[2]), GN_OK);
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_OK);
    for (unsigned i = 0; i < 3; i++)
        (void)gn_cancel(op[i]); /* all are over: nothing more happens, and the connection stays */
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(gn_engine_conn_count(e), 1);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    ck_assert_int_eq(gn_cancel(op[1]), GN_ECLOSED);
    ck_assert_uint_eq(nt_count(NT_DONE), 3);
    clog_close(&k);
}
END_TEST

/* Dials under way when the engine stops, and those that come while it drains. */
static gn_action close_dials(gn_conn *c, int reason, void *user)
{
    (void)user;
    nt_note(NT_CLOSE, gn_conn_handle(c), reason);
    NT_EXPECT_INT(gn_dial(gn_loop_handle(gn_conn_loop(c)), "tcp://127.0.0.1:9", NULL, on_done, id(2), NULL),
                  GN_OK);
    return GN_NONE;
}

START_TEST(stop_ends_dials)
{
    static const gn_handler h = { .on_open = nt_on_open, .on_close = close_dials };
    clog k;
    clog_v4(&k);
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&h, 1);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), clog_url(&k), NULL, on_done, id(1), NULL), GN_OK);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), 3);
    for (unsigned i = 1; i < 3; i++) {
        nt_entry n = nt_nth(NT_DONE, i);
        if (n.id == 1)
            ck_assert_int_eq(n.status, GN_ESHUTDOWN);
        else /* the loop may have ended before its turn came */
            ck_assert(n.status == GN_ESHUTDOWN || n.status == GN_ECLOSED);
    }
    nt_stop(s, NT_SECOND);
    clog_close(&k);
}
END_TEST

/* Many threads dial while the engine stops: each is told once. */
static gn_engine *raced;
static gnp_atomic32 race_next, race_refused;

static void race_thread(void *arg)
{
    const char *url = arg;
    for (;;) {
        uint32_t i = gnp_add32(&race_next, 1);
        if (i >= 2000)
            return;
        gn_op op;
        int rc = gn_dial(gn_engine_least_loop(raced), url, NULL, on_done, id(i), &op);
        if (rc != GN_OK) {
            NT_EXPECT_INT(rc, GN_ECLOSED);
            gnp_add32(&race_refused, 1);
        } else if (i % 3 == 0) {
            rc = gn_cancel(op);
            NT_EXPECT(rc == GN_OK || rc == GN_ECLOSED);
        }
    }
}

START_TEST(stop_while_threads_dial)
{
    gnp_thread t[3];
    static char url[96];
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    snprintf(url, sizeof(url), "%s", nt_url(s, 0));
    gnp_store32(&race_next, 0);
    gnp_store32(&race_refused, 0);
    raced = client_start(&quiet, 2);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(gnp_thread_start(&t[i], race_thread, url, "race"), GNP_OK);
    NT_UNTIL(nt_count(NT_DONE) >= 20);
    ck_assert_int_eq(gn_engine_stop(raced, 0), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        gnp_thread_join(&t[i]);
    ck_assert_int_eq(nt_join(raced), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE) + gnp_load32(&race_refused), 2000);
    ck_assert_uint_eq(nt_count(NT_OPEN), nt_count(NT_CLOSE));
    ck_assert_int_eq(gn_engine_destroy(raced), GN_OK);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* ------------------------------------------------------------ several addresses */

/* Every address is ::1, then 127.0.0.1. */
START_TEST(second_address_when_the_first_refuses)
{
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp4://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    gn_addr a;
    ck_assert_int_eq(gn_engine_addr(s, 0, &a), GN_OK);
    o.attempt_delay_ns = 2 * NT_SECOND;
    uint64_t begun = gnp_now();
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url_of("tcp", "*", gn_addr_port(&a)), &o, on_done, id(0),
                             NULL),
                     GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_uint_lt(nt_nth(NT_DONE, 0).when - begun, 2 * NT_SECOND); /* at once, not after the delay */
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* localhost is this host, whatever the files of the system say. */
START_TEST(localhost_is_here)
{
    static const char *const names[] = { "localhost", "LocalHost." };
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp4://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 1);
    gn_addr a;
    ck_assert_int_eq(gn_engine_addr(s, 0, &a), GN_OK);
    for (unsigned i = 0; i < 2; i++) {
        const char *url = url_of("tcp", names[i], gn_addr_port(&a));
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, NULL, on_done, id(i), NULL), GN_OK);
        nt_await(NT_DONE, i + 1);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    }
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

START_TEST(second_address_beside_the_first)
{
    clog k;
    if (!ipv6_works())
        return;
    gn_engine *s = v4_with_clogged_v6(&k);
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    o.attempt_delay_ns = 80 * NT_MS;
    uint64_t begun = gnp_now();
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url_of("tcp", "", k.addr.port), &o, on_done, id(0), NULL),
                     GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_uint_ge(nt_nth(NT_DONE, 0).when - begun, 80 * NT_MS);
    ck_assert_uint_eq(gn_engine_conn_count(e), 1); /* the other attempt is gone */
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_OPEN), 1);
    clog_close(&k);
}
END_TEST

/* One refuses and one says nothing: whoever spoke tells more, until the time is up. */
START_TEST(deadline_over_all_addresses)
{
    clog k;
    gnp_addr v6;
    if (!ipv6_works())
        return;
    ck_assert_int_eq(gnp_ip_parse("::1", &v6), GNP_OK);
    ck_assert_int_eq(clog_make(&k, &v6), GNP_OK);
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    o.attempt_delay_ns = 10 * NT_MS;
    o.timeout_ns = 100 * NT_MS;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url_of("tcp", "", k.addr.port), &o, on_done, id(0), NULL),
                     GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ETIMEDOUT);
    nt_stop(e, NT_SECOND);
    clog_close(&k);
}
END_TEST

START_TEST(error_of_the_farthest)
{
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    o.local = "127.0.0.1:0"; /* the IPv6 address cannot even be tried, the other refuses */
    const char *here = url_of("tcp", "", refusing_port());
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), here, &o, on_done, id(0), NULL), GN_OK);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), "tcp://[::1]:9", &o, on_done, id(1), NULL), GN_OK);
    nt_await(NT_DONE, 2);
    for (unsigned i = 0; i < 2; i++) {
        nt_entry n = nt_nth(NT_DONE, i);
        ck_assert_int_eq(n.status, n.id == 0 ? GN_ECONNREFUSED : GN_EADDRNOTAVAIL);
    }
    nt_stop(e, NT_SECOND);
}
END_TEST

/* ----------------------------------------------------------------- local ends */

static gn_action local_open(gn_conn *c, void *user)
{
    gn_addr a;
    (void)user;
    NT_EXPECT_INT(gn_conn_local_addr(c, &a), GN_OK);
    nt_note(NT_OPEN, gn_conn_handle(c), (int)gn_addr_port(&a));
    return GN_NONE;
}

START_TEST(local_address)
{
    static const gn_handler h = { .on_open = local_open };
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&h, 1);
    gn_dial_options o = dial_options();
    unsigned port = free_port("127.0.0.1");
    char local[64];
    snprintf(local, sizeof(local), "127.0.0.1:%u", port);
    o.local = local;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), &o, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_OPEN, 0).status, (int)port);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), &o, on_done, id(1), NULL), GN_OK);
    nt_await(NT_DONE, 2);
    int again = nt_nth(NT_DONE, 1).status; /* which of both depends on the system */
    ck_assert(again == GN_EADDRINUSE || again == GN_EADDRNOTAVAIL);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* The system may give a connect the very port that it goes to; then it connects to itself. */
START_TEST(a_connection_to_itself_is_none)
{
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    char local[64];
    snprintf(local, sizeof(local), "127.0.0.1:%u", free_port("127.0.0.1"));
    o.local = local;
    char url[96];
    snprintf(url, sizeof(url), "tcp://%s", local);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, &o, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECONNREFUSED);
    nt_stop(e, 0);
    ck_assert_uint_eq(nt_count(NT_OPEN), 0);
}
END_TEST

/* Options are set before it connects; one that the socket does not have makes the attempt fail. */
static gn_action option_open(gn_conn *c, void *user)
{
    int64_t v = -1;
    (void)user;
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, &v), GN_OK);
    nt_note(NT_OPEN, gn_conn_handle(c), (int)v);
    return GN_CLOSE;
}

START_TEST(options_of_the_socket)
{
    static const gn_handler h = { .on_open = option_open };
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", nt_unix_url(), (char *)NULL);
    gn_engine *e = client_start(&h, 1);
    gn_opt_value values[2] = { { GN_OPT_NODELAY, 0 }, { GN_OPT_KEEPALIVE, 60 } };
    gn_dial_options o = dial_options();
    o.opts = values;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_OPEN, 0).status, 1); /* the engine's default */
    o.opt_count = 2;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), &o, on_done, id(1), NULL), GN_OK);
    memset(values, 0xff, sizeof(values)); /* they were copied */
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_OPEN, 1).status, 0);
    values[0].opt = GN_OPT_NODELAY;
    values[0].value = 1;
    o.opt_count = 1;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 1), &o, on_done, id(2), NULL), GN_OK);
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, nt_has_unix() ? GN_ENOTSUP : GN_OK);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

START_TEST(no_descriptor_left)
{
    enum { LIMIT = 200 };
    gnp_sock fill[LIMIT];
    gnp_addr any = { .family = GNP_FAMILY_IPV4 };
    unsigned filled = 0;
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 1);
    char url[96];
    snprintf(url, sizeof(url), "%s", nt_url(s, 0));
    if (!nt_wrapped() && gnp_descriptor_limit_set(LIMIT) != GNP_ENOTSUP) {
        while (filled < LIMIT && gnp_dgram_open(&fill[filled], &any, NULL) == GNP_OK)
            filled++;
        ck_assert_uint_lt(filled, LIMIT);
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, NULL, on_done, id(0), NULL), GN_OK);
        nt_await(NT_DONE, 1);
        ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_EMFILE);
        while (filled > 0)
            gnp_sock_close(&fill[--filled], 0);
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, NULL, on_done, id(1), NULL), GN_OK);
        nt_await(NT_DONE, 2);
        ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    }
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* The queue of a Unix listener is full: the dial waits for room, or for its deadline. */
START_TEST(unix_queue_is_full)
{
    clog k;
    gnp_addr a;
    char url[128];
    const char *path = nt_path();
    NT_WANTS_UNIX();
    memset(&a, 0, sizeof(a));
    a.family = GNP_FAMILY_UNIX;
    a.len = (uint8_t)strlen(path);
    memcpy(a.u.path, path, a.len);
    ck_assert_int_eq(clog_make(&k, &a), GNP_OK);
    snprintf(url, sizeof(url), "unix://%s", path);
    gn_engine *e = client_start(&quiet, 1);
    gn_dial_options o = dial_options();
    o.timeout_ns = 60 * NT_MS;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, &o, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ETIMEDOUT);

    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, NULL, on_done, id(1), NULL), GN_OK);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    gnp_sock taken;
    ck_assert_int_eq(gnp_attach(k.poller, &k.listener, GNP_READ), GNP_OK);
    ck_assert_int_eq(gnp_accept(k.poller, &k.listener, &taken, NULL), GNP_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    nt_stop(e, NT_SECOND);
    gnp_sock_close(&taken, 0);
    gnp_sock listener = k.listener;
    gnp_close(k.poller, &k.listener, 0);
    k.listener = listener;
    k.listener.os = -1;
    clog_close(&k);
}
END_TEST

/* ----------------------------------------------------------------------- adopting */

/* Connects c to a socket that nobody serves yet. */
static gnp_sock pair_make(tc_net *net, tc **c)
{
    gnp_poller_config config = { 0 };
    gnp_poller *p; /* not the client's, for which each event is one of a client */
    gnp_sock listener, s;
    gnp_addr a;
    ck_assert_int_eq(gnp_poller_open(&p, &config), GNP_OK);
    ck_assert_int_eq(gnp_ip_parse("127.0.0.1", &a), GNP_OK);
    ck_assert_int_eq(gnp_listen(&listener, &a, NULL, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&listener, &a), GNP_OK);
    ck_assert_int_eq(gnp_attach(p, &listener, GNP_READ), GNP_OK);
    *c = tc_connect(net, url_of("tcp", "127.0.0.1", a.port));
    while (gnp_accept(p, &listener, &s, NULL) == GNP_AGAIN) { /* the case's time ends this */
        gnp_event ev[4];
        ck_assert_int_ge(gnp_poller_wait(p, ev, 4, gnp_now() + NT_SECOND), 0);
    }
    gnp_close(p, &listener, 0);
    gnp_poller_close(p);
    return s;
}

static gn_action adopted_open(gn_conn *c, void *user)
{
    gn_addr a;
    (void)user;
    NT_EXPECT(gn_conn_context(c) == CONTEXT);
    NT_EXPECT_INT(gn_conn_listener(c), GN_NO_LISTENER);
    NT_EXPECT_INT(gn_conn_remote_addr(c, &a), GN_OK);
    nt_note(NT_OPEN, gn_conn_handle(c), (int)gn_addr_port(&a));
    return GN_NONE;
}

START_TEST(adopts_a_stream)
{
    static const gn_handler h = { .on_open = adopted_open, .on_traffic = nt_echo, .on_close = nt_on_close };
    tc_net *net = tc_net_open();
    tc *c;
    gnp_addr me;
    gnp_sock s = pair_make(net, &c);
    gn_engine *e = client_start(&wrong, 2);
    gn_dial_options o = dial_options();
    o.handler = &h;
    o.context = CONTEXT;
    ck_assert_int_eq(tc_send_text(c, "early"), GNP_OK); /* it comes before it is adopted */
    ck_assert_int_eq(gnp_sock_local(&c->sock, &me), GNP_OK);
    ck_assert_int_eq(gn_adopt(gn_engine_loop(e, 1), s.os, &o, on_done, id(0)), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_OPEN, 0).status, me.port);
    ck_assert_uint_eq(nt_nth(NT_OPEN, 0).id, handle_of(0));
    ck_assert_int_eq(tc_recv_text(c, "early"), GNP_OK);
    ck_assert_int_eq(tc_send_text(c, "late"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "late"), GNP_OK);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* What is of no use stays the caller's; what was taken is closed, whatever goes wrong then. */
START_TEST(adopts_not_everything)
{
    tc_net *net = tc_net_open();
    gnp_addr any = { .family = GNP_FAMILY_IPV4 };
    gnp_sock listener, dgram;
    tc *c[3];
    gnp_sock s[3];
    gnp_atomic32 go = { 0 };
    gn_engine *e = client_start(&quiet, 1);
    gn_handle loop = gn_engine_loop(e, 0);
    ck_assert_int_eq(gnp_listen(&listener, &any, NULL, NULL), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&dgram, &any, NULL), GNP_OK);
    ck_assert_int_eq(gn_adopt(loop, -1, NULL, on_done, id(0)), GN_EINVAL);
    ck_assert_int_eq(gn_adopt(loop, listener.os, NULL, on_done, id(0)), GN_EINVAL);
    ck_assert_int_eq(gn_adopt(loop, dgram.os, NULL, on_done, id(0)), GN_ENOTCONN);
    ck_assert_int_eq(gnp_sock_local(&listener, &any), GNP_OK); /* still open */
    gnp_sock_close(&listener, 0);
    gnp_sock_close(&dgram, 0);

    for (unsigned i = 0; i < 3; i++)
        s[i] = pair_make(net, &c[i]);
    gn_opt_value bad = { (gn_opt)9999, 1 };
    gn_dial_options o = dial_options();
    o.opts = &bad;
    o.opt_count = 1;
    ck_assert_int_eq(gn_adopt(loop, s[0].os, &o, on_done, id(0)), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ENOTSUP);
    ck_assert_int_eq(tc_recv_to_eof(c[0], NULL), GNP_OK);

    ck_assert_int_eq(gn_execute(loop, on_blocked, &go), GN_OK);
    ck_assert_int_eq(gn_adopt(loop, s[1].os, NULL, on_done, id(1)), GN_OK);
    ck_assert_int_eq(gn_engine_stop(e, 0), GN_OK);
    gnp_store32(&go, 1);
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 2);
    ck_assert(nt_nth(NT_DONE, 1).status == GN_ESHUTDOWN || nt_nth(NT_DONE, 1).status == GN_ECLOSED);
    ck_assert_int_eq(tc_recv_to_eof(c[1], NULL), GNP_OK);

    ck_assert_int_eq(gn_adopt(loop, s[2].os, NULL, on_done, id(2)), GN_ECLOSED);
    ck_assert_int_eq(gnp_sock_peer(&s[2], &any), GNP_OK);
    gnp_sock_close(&s[2], 0);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        tc_close(c[i]);
    tc_net_close(net);
    ck_assert_uint_eq(nt_count(NT_OPEN), 0);
}
END_TEST

/* ------------------------------------------------------------------ in callbacks */

/* One loop that serves and dials itself, from each of its callbacks. */
static char self_url[96];
static gnp_atomic32 self_dials;

static void self_dial(gn_handle where)
{
    uint32_t i = gnp_add32(&self_dials, 1);
    gn_dial_options o = dial_options();
    o.handler = &quiet;
    NT_EXPECT_INT(gn_dial(where, self_url, &o, on_done, id(i), NULL), GN_OK);
}

static gn_action self_open(gn_conn *c, void *user)
{
    (void)user;
    if (gnp_load32(&self_dials) < 10)
        self_dial(gn_conn_handle(c));
    return GN_NONE;
}

static gn_action self_traffic(gn_conn *c, void *user)
{
    (void)user;
    self_dial(gn_conn_handle(c));
    gn_conn_discard(c, SIZE_MAX);
    return GN_CLOSE;
}

static gn_action self_close(gn_conn *c, int reason, void *user)
{
    (void)user;
    if (reason != GN_ESHUTDOWN)
        self_dial(gn_loop_handle(gn_conn_loop(c)));
    return GN_NONE;
}

static gn_action self_tick(gn_engine *e, uint64_t *next, void *user)
{
    (void)user;
    (void)next;
    self_dial(gn_engine_least_loop(e));
    return GN_NONE;
}

static void self_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    if (status == GN_OK)
        self_dial(h);
    nt_note(NT_A, h, status);
}

/* D11: dialling on the loop that one is on must not wait for that loop. */
START_TEST(dial_inside_callbacks)
{
    static const gn_handler h = { .on_open = self_open,
                                  .on_traffic = self_traffic,
                                  .on_close = self_close,
                                  .on_tick = self_tick };
    gn_options o = nt_options(1);
    gn_engine *e = NULL;
    unsigned port = free_port("127.0.0.1");
    gnp_store32(&self_dials, 0);
    snprintf(self_url, sizeof(self_url), "tcp://127.0.0.1:%u", port);
    e = nt_start(&h, NULL, &o, self_url, (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, self_url); /* on_open */
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK); /* on_traffic, on_close */
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    tc_close(c);
    gn_dial_options d = dial_options();
    d.handler = &quiet;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), self_url, &d, self_done, NULL, NULL), GN_OK); /* done */
    nt_await(NT_A, 1);
    NT_UNTIL(gnp_load32(&self_dials) >= 10 && nt_count(NT_DONE) == gnp_load32(&self_dials));
    for (unsigned i = 0; i < nt_count(NT_DONE); i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_uint_eq(nt_count(NT_OPEN), nt_count(NT_CLOSE));
}
END_TEST

/* A dial at the loop of a connection that is gone by then. */
START_TEST(where_is_gone)
{
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 1);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(gn_dial(handle_of(0), nt_url(s, 0), NULL, on_done, id(1), NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    ck_assert_int_eq(gn_close(handle_of(0), NULL, NULL), GN_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(gn_dial(handle_of(0), nt_url(s, 0), NULL, on_done, id(2), NULL), GN_OK);
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_ECLOSED);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* A connection that has moved: its old handle leads to where it is now. */
START_TEST(where_has_moved)
{
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, 2);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(0), NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 1), nt_url(s, 0), NULL, on_done, id(1), NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(gn_migrate(handle_of(0), gn_engine_loop(e, 1), NULL, NULL), GN_OK);
    ck_assert_int_eq(gn_dial(handle_of(0), nt_url(s, 0), NULL, on_done, id(2), NULL), GN_OK);
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_OK);
    ck_assert_uint_ne(nt_nth(NT_DONE, 0).thread, nt_nth(NT_DONE, 1).thread);
    ck_assert_uint_eq(nt_nth(NT_DONE, 2).thread, nt_nth(NT_DONE, 1).thread);
    ck_assert_uint_eq(gn_engine_least_loop(e), gn_engine_loop(e, 0));
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* conns_max counts dials from their start to the end of the connection, and adoptions too. */
START_TEST(dials_count_against_conns_max)
{
    clog k;
    gn_options o = nt_options(1);
    gn_op op;
    o.conns_max = 2;
    clog_v4(&k);
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = nt_start(&quiet, NULL, &o, (char *)NULL);
    gn_handle loop = gn_engine_loop(e, 0);
    const char *bad = url_of("tcp", "127.0.0.1", refusing_port());
    for (unsigned i = 0; i < 5; i++) { /* those that fail give their place back */
        ck_assert_int_eq(gn_dial(loop, bad, NULL, on_done, id(i), NULL), GN_OK);
        nt_await(NT_DONE, i + 1);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_ECONNREFUSED);
    }
    ck_assert_int_eq(gn_dial(loop, nt_url(s, 0), NULL, on_done, id(5), NULL), GN_OK);
    nt_await(NT_DONE, 6);
    ck_assert_int_eq(gn_dial(loop, clog_url(&k), NULL, on_done, id(6), &op), GN_OK);
    ck_assert_int_eq(gn_dial(loop, nt_url(s, 0), NULL, on_done, id(7), NULL), GN_OK);
    nt_await(NT_DONE, 7);
    ck_assert_uint_eq(nt_nth(NT_DONE, 6).id, 7);
    ck_assert_int_eq(nt_nth(NT_DONE, 6).status, GN_ELIMIT);
    ck_assert_int_eq(gn_cancel(op), GN_OK);
    nt_await(NT_DONE, 8);
    ck_assert_int_eq(gn_dial(loop, nt_url(s, 0), NULL, on_done, id(8), NULL), GN_OK);
    nt_await(NT_DONE, 9);
    ck_assert_int_eq(nt_nth(NT_DONE, 8).status, GN_OK);
    ck_assert_int_eq(gn_close(handle_of(5), NULL, NULL), GN_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(gn_dial(loop, nt_url(s, 0), NULL, on_done, id(9), NULL), GN_OK);
    nt_await(NT_DONE, 10);
    ck_assert_int_eq(nt_nth(NT_DONE, 9).status, GN_OK);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    clog_close(&k);
}
END_TEST

/* --------------------------------------------------------------------- in numbers */

/* Hundreds at once, on loops that share them, good and bad ones. */
START_TEST(storm)
{
    unsigned n = nt_scaled(600, 60);
    gn_options so = nt_options(2);
    gn_engine *s = nt_start(&echo_server, NULL, &so, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&wrong, 2);
    const char *bad = url_of("tcp", "127.0.0.1", refusing_port());
    gn_dial_options o = dial_options();
    o.handler = &hello;
    o.user = (void *)(uintptr_t)&quiet;
    o.context = CONTEXT;
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(gn_dial(gn_engine_least_loop(e), i % 4 == 3 ? bad : nt_url(s, 0), &o, on_done, id(i),
                                 NULL),
                         GN_OK);
    nt_await(NT_DONE, n);
    for (unsigned i = 0; i < n; i++) {
        nt_entry d = nt_nth(NT_DONE, i);
        ck_assert_int_eq(d.status, d.id % 4 == 3 ? GN_ECONNREFUSED : GN_OK);
    }
    nt_await(NT_CLOSE, n - n / 4);
    for (unsigned i = 0; i < n - n / 4; i++)
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_OK);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), n - n / 4);
    ck_assert_uint_eq(gn_engine_conn_count(e), 0);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), n);
}
END_TEST

/* Those that were asked for count, too: a burst does not land on one loop. */
START_TEST(least_loop_spreads_a_burst)
{
    enum { LOOPS = 4, EACH = 8 };
    gnp_atomic32 go = { 0 };
    unsigned got[LOOPS] = { 0 };
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&quiet, LOOPS);
    for (unsigned i = 0; i < LOOPS; i++)
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, i), on_blocked, &go), GN_OK);
    for (unsigned i = 0; i < LOOPS * EACH; i++) {
        gn_handle least = gn_engine_least_loop(e);
        for (unsigned k = 0; k < LOOPS; k++)
            got[k] += least == gn_engine_loop(e, k);
        ck_assert_int_eq(gn_dial(least, nt_url(s, 0), NULL, on_done, id(i), NULL), GN_OK);
    }
    gnp_store32(&go, 1);
    for (unsigned k = 0; k < LOOPS; k++)
        ck_assert_uint_eq(got[k], EACH);
    nt_await(NT_DONE, LOOPS * EACH);
    /* ... and those that ended count no more. */
    ck_assert_int_eq(gn_close(handle_of(0), NULL, NULL), GN_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_eq(gn_engine_least_loop(e), gn_engine_loop(e, 0));
    const char *bad = url_of("tcp", "127.0.0.1", refusing_port());
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), bad, NULL, on_done, id(LOOPS * EACH + i), NULL),
                         GN_OK);
    nt_await(NT_DONE, LOOPS * EACH + 3);
    ck_assert_uint_eq(gn_engine_least_loop(e), gn_engine_loop(e, 0));
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* Dials that a loop has no time for count against post_max. */
START_TEST(posted_dials_have_a_limit)
{
    gnp_atomic32 go = { 0 };
    gn_options o = nt_options(1);
    unsigned n = 0;
    int rc;
    o.post_max = 16 * NT_KIB;
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = nt_start(&quiet, NULL, &o, (char *)NULL);
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), on_blocked, &go), GN_OK);
    while ((rc = gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(n), NULL)) == GN_OK)
        ck_assert_uint_lt(++n, 1000);
    ck_assert_int_eq(rc, GN_ELIMIT);
    ck_assert_uint_gt(n, 5);
    gnp_store32(&go, 1);
    nt_await(NT_DONE, n);
    for (unsigned i = 0; i < 100; i++) /* the room is there again, each time */
        NT_UNTIL((rc = gn_dial(gn_engine_loop(e, 0), nt_url(s, 0), NULL, on_done, id(n + i), NULL)) == GN_OK);
    nt_await(NT_DONE, n + 100);
    for (unsigned i = 0; i < n + 100; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
}
END_TEST

/* A thousand come and go, of every outcome: no block is left, while the engine still runs.  The first are
 * there at once, and fill what is kept for the next (a poller's records of sockets). */
START_TEST(nothing_leaks)
{
    enum { BURST = 50 };
    static nt_alloc count;
    unsigned n = nt_scaled(1000, 100);
    memset(&count, 0, sizeof(count));
    gn_allocator hooks = nt_alloc_hooks(&count);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    gn_engine *s = nt_start(&echo_server, NULL, NULL, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = client_start(&closer, 1);
    const char *bad = url_of("tcp", "127.0.0.1", refusing_port());
    char good[96];
    uint64_t live = 0;
    snprintf(good, sizeof(good), "%s", nt_url(s, 0));
    for (unsigned i = 0; i < n; i++) {
        gn_op op;
        ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), i % 2 ? bad : good, NULL, on_done, id(i), &op), GN_OK);
        if (i % 5 == 4)
            (void)gn_cancel(op);
        if (i < BURST)
            continue;
        nt_await(NT_DONE, i + 1);
        if (i == BURST) {
            NT_UNTIL(gn_engine_conn_count(e) == 0 && gn_engine_conn_count(s) == 0);
            live = gnp_load64(&count.live);
        }
    }
    NT_UNTIL(gn_engine_conn_count(e) == 0 && gn_engine_conn_count(s) == 0);
    NT_UNTIL(gnp_load64(&count.live) <= live + 4); /* chunks of connections that linger come and go */
    nt_stop(e, NT_SECOND);
    nt_stop(s, NT_SECOND);
    client_end();
    ck_assert_uint_eq(gnp_load64(&count.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client");
    TCase *t = nt_case(s, "connecting", 30);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_loop_test(t, dial_connects, 0, 2);
    tcase_add_test(t, done_comes_before_on_close);
    tcase_add_test(t, nobody_listens);
    tcase_add_test(t, bad_questions);
    tcase_add_test(t, no_loop_before_the_start);

    t = nt_case(s, "ending", 60);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_test(t, connect_deadline);
    tcase_add_test(t, cancel_at_every_stage);
    tcase_add_test(t, stop_ends_dials);
    tcase_add_test(t, stop_while_threads_dial);

    t = nt_case(s, "addresses", 60);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_test(t, second_address_when_the_first_refuses);
    tcase_add_test(t, localhost_is_here);
    tcase_add_test(t, second_address_beside_the_first);
    tcase_add_test(t, deadline_over_all_addresses);
    tcase_add_test(t, error_of_the_farthest);
    tcase_add_test(t, local_address);
    tcase_add_test(t, a_connection_to_itself_is_none);
    tcase_add_test(t, unix_queue_is_full);
    tcase_add_test(t, options_of_the_socket);
    tcase_add_test(t, no_descriptor_left);

    t = nt_case(s, "adopting", 30);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_test(t, adopts_a_stream);
    tcase_add_test(t, adopts_not_everything);

    t = nt_case(s, "callbacks", 60);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_test(t, dial_inside_callbacks);
    tcase_add_test(t, where_is_gone);
    tcase_add_test(t, where_has_moved);
    tcase_add_test(t, dials_count_against_conns_max);

    t = nt_case(s, "numbers", 60);
    tcase_add_checked_fixture(t, client_begin, client_end);
    tcase_add_test(t, storm);
    tcase_add_test(t, least_loop_spreads_a_burst);
    tcase_add_test(t, posted_dials_have_a_limit);
    tcase_add_test(t, nothing_leaks);
    return nt_main(s);
}
