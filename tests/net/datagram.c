/* SPDX-License-Identifier: MIT */
/* UDP: one callback a datagram, answers to the sender, datagrams to anybody from any thread. */
#include "harness.h"

#include <stdio.h>

#define UDP4_MAX 65507u /* 65,535 less the headers of IPv4 and UDP */

static gn_handle endpoint;
static unsigned char huge[70000];

static void note_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_DONE, h, status);
}

static gn_action echo_datagram(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    NT_EXPECT(p != NULL);
    NT_EXPECT_INT(gn_conn_inbound(c), n);
    NT_EXPECT_INT(gn_conn_is_datagram(c), 1);
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)n);
    NT_EXPECT_INT(gn_conn_write(c, p, n), GN_OK);
    return GN_NONE; /* what is left unread is dropped */
}

/* A server must never open or close a datagram endpoint towards the user. */
static gn_action no_open(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    nt_wrong(__FILE__, __LINE__, "on_open for a datagram endpoint");
    return GN_NONE;
}

static gn_action no_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    nt_wrong(__FILE__, __LINE__, "on_close for a datagram endpoint, %s", gn_strerror(reason));
    return GN_NONE;
}

static const gn_handler echo_handler = { .on_open = no_open,
                                         .on_traffic = echo_datagram,
                                         .on_close = no_close };

static int exchange(tc *c, uint64_t seed, size_t n)
{
    static unsigned char bytes[70000];
    size_t got = 0;
    int status;
    nt_fill(seed, 0, bytes, n);
    status = tc_dgram_send(c, bytes, n);
    if (status != GNP_OK)
        return status;
    status = tc_dgram_recv(c, bytes, sizeof(bytes), &got);
    if (status == GNP_OK && (got != n || nt_match(seed, 0, bytes, n) != n))
        status = GNP_EIO;
    return status;
}

START_TEST(one_callback_a_datagram)
{
    static const size_t sizes[] = { 0,    1,    2,    63,   64,   65,   511,   512,
                                    1399, 1400, 1472, 1473, 4096, 9000, 32768, 65000 };
    gn_options o = nt_options(1 + (unsigned)_i);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned total = sizeof(sizes) / sizeof(sizes[0]);
    for (unsigned i = 0; i < total; i++) {
        ck_assert_int_eq(exchange(c, i, sizes[i]), GNP_OK);
        ck_assert_int_eq(nt_nth(NT_TRAFFIC, i).status, (int)sizes[i]);
    }
    ck_assert_uint_eq(gn_engine_conn_count(e), 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), total);
    tc_net_close(net);
}
END_TEST

/* A burst that fits the socket's buffer: batched below, still a callback each, in order. */
START_TEST(bursts_keep_their_borders)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 40; i++) {
            unsigned char bytes[40];
            nt_fill(i, 0, bytes, i);
            ck_assert_int_eq(tc_dgram_send(c, bytes, i), GNP_OK);
        }
        for (unsigned i = 0; i < 40; i++) {
            unsigned char bytes[64];
            size_t n = 0;
            ck_assert_int_eq(tc_dgram_recv(c, bytes, sizeof(bytes), &n), GNP_OK);
            ck_assert_uint_eq(n, i);
            ck_assert_uint_eq(nt_match(i, 0, bytes, n), n);
        }
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 800);
    tc_net_close(net);
}
END_TEST

START_TEST(largest_datagram_and_one_more)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(exchange(c, 1, UDP4_MAX), GNP_OK);
    ck_assert_int_eq(tc_dgram_send(c, huge, UDP4_MAX + 1), GNP_EMSGSIZE);
    ck_assert_int_eq(exchange(c, 2, UDP4_MAX), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action too_large(gn_conn *c, void *user)
{
    gn_iov iov[2] = { { huge, 40000 }, { huge, 40000 } };
    (void)user;
    NT_EXPECT_INT(gn_conn_write(c, huge, sizeof(huge)), GN_EMSGSIZE);
    NT_EXPECT_INT(gn_conn_writev(c, iov, 2), GN_EMSGSIZE);
    NT_EXPECT_INT(gn_conn_write(c, "small", 5), GN_OK);
    return GN_NONE;
}

START_TEST(too_large_an_answer_is_an_error)
{
    static const gn_handler h = { .on_traffic = too_large };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 3; i++) {
        unsigned char bytes[64];
        size_t n = 0;
        ck_assert_int_eq(tc_dgram_send(c, "?", 1), GNP_OK);
        ck_assert_int_eq(tc_dgram_recv(c, bytes, sizeof(bytes), &n), GNP_OK);
        ck_assert_uint_eq(n, 5);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Leaves part of each datagram, and answers with several of its own. */
static gn_action several_answers(gn_conn *c, void *user)
{
    char copy[8];
    gn_iov iov[3] = { { "on", 2 }, { NULL, 0 }, { "e", 1 } };
    (void)user;
    NT_EXPECT_INT(gn_conn_inbound(c), 6); /* never the rest of the one before */
    NT_EXPECT_INT(gn_conn_read(c, copy, 2), 2);
    NT_EXPECT(memcmp(copy, "ab", 2) == 0);
    NT_EXPECT(gn_conn_next(c, 5) == NULL);
    NT_EXPECT_INT(gn_conn_discard(c, 1), 1);
    NT_EXPECT_INT(gn_conn_inbound(c), 3);
    NT_EXPECT_INT(gn_conn_writev(c, iov, 3), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "", 0), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "three", 5), GN_OK);
    NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
    return GN_CLOSE; /* has no meaning here */
}

START_TEST(each_write_is_a_datagram)
{
    static const gn_handler h = { .on_traffic = several_answers, .on_close = no_close };
    static const size_t sizes[] = { 3, 0, 5 };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned round = 0; round < 5; round++) {
        ck_assert_int_eq(tc_dgram_send(c, "abcdef", 6), GNP_OK);
        for (unsigned i = 0; i < 3; i++) {
            char bytes[64];
            size_t n = 99;
            ck_assert_int_eq(tc_dgram_recv(c, bytes, sizeof(bytes), &n), GNP_OK);
            ck_assert_uint_eq(n, sizes[i]);
            ck_assert_int_eq(memcmp(bytes, i == 0 ? "one" : "three", n), 0);
        }
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- the endpoint */

static gn_addr last_peer;

static gn_action remember(gn_conn *c, void *user)
{
    gn_engine *e = *(gn_engine **)user;
    gn_addr local, bound;
    NT_EXPECT_INT(gn_conn_remote_addr(c, &last_peer), GN_OK);
    NT_EXPECT_INT(gn_conn_local_addr(c, &local), GN_OK);
    NT_EXPECT_INT(gn_engine_addr(e, 1, &bound), GN_OK);
    NT_EXPECT_INT(gn_addr_port(&local), gn_addr_port(&bound));
    NT_EXPECT_INT(gn_conn_listener(c), 1);
    NT_EXPECT(gn_conn_engine(c) == e);
    NT_EXPECT(gn_conn_loop(c) == gn_loop_current());
    NT_EXPECT_INT(gn_conn_close(c), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_set_idle_timeout(c, NT_SECOND), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_set_read_deadline(c, NT_SECOND), GN_ENOTSUP);
    endpoint = gn_conn_handle(c);
    nt_note(NT_TRAFFIC, endpoint, 0);
    return GN_NONE;
}

static void outside_of_traffic(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr a;
    size_t n = 1;
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(c != NULL);
    if (c != NULL) {
        NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_ENOTCONN);
        NT_EXPECT_INT(gn_conn_remote_addr(c, &a), GN_ENOTCONN);
        NT_EXPECT(gn_conn_peek(c, &n) != NULL && n == 0);
        NT_EXPECT_INT(gn_conn_inbound(c), 0);
    }
    nt_note(NT_A, h, 0);
}

/* What a verb ended with, at once or in done. */
static int outcome(int status)
{
    static unsigned seen;
    seen = nt_count(NT_DONE) < seen ? 0 : seen;
    if (status != GN_OK)
        return status;
    nt_await(NT_DONE, ++seen);
    return nt_nth(NT_DONE, seen - 1).status;
}

START_TEST(endpoint_has_a_peer_only_in_its_callback)
{
    static const gn_handler h = { .on_traffic = remember, .on_close = no_close };
    gn_options o = nt_options(1);
    gn_engine *e;
    gnp_addr mine;
    gn_iov iov = { "x", 1 };
    tc_net *net = tc_net_open();
    tc *c;
    char bytes[64];
    size_t n = 0;
    ck_assert_int_eq(gn_engine_create(&e, &h, &e, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "udp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    c = tc_connect(net, nt_url(e, 1));
    ck_assert_int_eq(tc_dgram_send(c, "hello", 5), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(gnp_sock_local(&c->sock, &mine), GNP_OK);
    ck_assert_uint_eq(gn_addr_port(&last_peer), mine.port);
    ck_assert_int_eq(gn_addr_family(&last_peer), GN_FAMILY_IPV4);

    ck_assert_int_eq(gn_execute(endpoint, outside_of_traffic, NULL), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_int_eq(outcome(gn_write(endpoint, "x", 1, note_done, NULL)), GN_ENOTCONN);
    ck_assert_int_eq(outcome(gn_writev(endpoint, &iov, 1, note_done, NULL)), GN_ENOTCONN);
    ck_assert_int_eq(outcome(gn_close(endpoint, note_done, NULL)), GN_ENOTSUP);
    ck_assert_int_eq(outcome(gn_send_to(endpoint, &last_peer, huge, sizeof(huge), note_done, NULL)),
                     GN_EMSGSIZE);
    ck_assert_int_eq(outcome(gn_send_to(endpoint, &last_peer, "later", 5, note_done, NULL)), GN_OK);
    ck_assert_int_eq(tc_dgram_recv(c, bytes, sizeof(bytes), &n), GNP_OK);
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(memcmp(bytes, "later", 5), 0);
    ck_assert_int_eq(outcome(gn_send_to(endpoint, &last_peer, NULL, 0, note_done, NULL)), GN_OK);
    ck_assert_int_eq(tc_dgram_recv(c, bytes, sizeof(bytes), &n), GNP_OK);
    ck_assert_uint_eq(n, 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(gn_send_to(endpoint, &last_peer, "x", 1, NULL, NULL), GN_ECLOSED);
    tc_net_close(net);
}
END_TEST

/* A stream has no address to send to; an address of the wrong kind is an error, not a crash. */
static gn_action keep_handle(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    nt_note(NT_TRAFFIC, gn_conn_handle(c), 0);
    return GN_NONE;
}

START_TEST(send_to_checks_its_arguments)
{
    static const gn_handler h = { .on_traffic = keep_handle };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp4://127.0.0.1:0", "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *d = tc_connect(net, nt_url(e, 0)), *s = tc_connect(net, nt_url(e, 1));
    gn_addr four, six, path;
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:9", &four), GN_OK);
    ck_assert_int_eq(gn_addr_parse("[::1]:9", &six), GN_OK);
    ck_assert_int_eq(gn_addr_parse("unix:/tmp/nowhere", &path), GN_OK);
    ck_assert_int_eq(tc_dgram_send(d, "x", 1), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(tc_send_text(s, "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 2);
    ck_assert_int_eq(outcome(gn_send_to(nt_nth(NT_TRAFFIC, 1).id, &four, "x", 1, note_done, NULL)),
                     GN_ENOTSUP);
    ck_assert_int_lt(outcome(gn_send_to(nt_nth(NT_TRAFFIC, 0).id, &six, "x", 1, note_done, NULL)), 0);
    ck_assert_int_lt(outcome(gn_send_to(nt_nth(NT_TRAFFIC, 0).id, &path, "x", 1, note_done, NULL)), 0);
    ck_assert_int_eq(gn_send_to(nt_nth(NT_TRAFFIC, 0).id, NULL, "x", 1, note_done, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_send_to(nt_nth(NT_TRAFFIC, 0).id, &four, NULL, 1, note_done, NULL), GN_EINVAL);
    tc_close(d);
    tc_close(s);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Clients that are gone when the answer comes (the system tells the server so): others are served. */
START_TEST(refusals_harm_nobody)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 50; i++) {
        tc *gone = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_dgram_send(gone, "x", 1), GNP_OK);
        tc_close(gone);
        ck_assert_int_eq(exchange(c, i, 100), GNP_OK);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- loops */

static gn_action echo_with_loop(gn_conn *c, void *user)
{
    unsigned char index = (unsigned char)gn_loop_index(gn_conn_loop(c));
    (void)user;
    NT_EXPECT_INT(gn_conn_write(c, &index, 1), GN_OK);
    return GN_NONE;
}

/* One port for all loops; with reuseport, where the system balances, they share the senders. */
START_TEST(loops_share_one_port)
{
    static const gn_handler h = { .on_traffic = echo_with_loop };
    gn_options o = nt_options(3);
    gn_engine *e;
    tc_net *net = tc_net_open();
    unsigned per_loop[3] = { 0, 0, 0 };
    o.reuseport = nt_sharing(1);
    e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    ck_assert_uint_eq(gn_engine_addr_count(e), 1);
    for (unsigned i = 0; i < 90; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        unsigned char index[8];
        size_t n = 0;
        ck_assert_int_eq(tc_dgram_send(c, "?", 1), GNP_OK);
        ck_assert_int_eq(tc_dgram_recv(c, index, sizeof(index), &n), GNP_OK);
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_lt(index[0], 3);
        per_loop[index[0]]++;
        tc_close(c);
    }
    if (gnp_reuseport_balances(GNP_DGRAM, 0)) {
        /* 90 senders by chance on 3 loops: all miss one of them once in 10^15 runs */
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_gt(per_loop[i], 0);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action shut_down(gn_conn *c, void *user)
{
    echo_datagram(c, user);
    return GN_SHUTDOWN;
}

START_TEST(datagram_can_shut_down_the_engine)
{
    static const gn_handler h = { .on_shutdown = nt_on_shutdown, .on_traffic = shut_down };
    gn_options o = nt_options(3);
    gn_engine *e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(exchange(c, 1, 100), GNP_OK); /* the last answer still leaves */
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_uint_eq(nt_count(NT_SHUTDOWN), 1);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    tc_close(c);
    tc_net_close(net);
}
END_TEST

/* Any thread may send to any peer; each completes once. */
typedef struct sender {
    gnp_thread thread;
    gn_addr to;
    unsigned count;
} sender;

static void sender_thread(void *arg)
{
    sender *s = arg;
    for (unsigned i = 0; i < s->count; i++) {
        unsigned char number = (unsigned char)i;
        NT_EXPECT_INT(gn_send_to(endpoint, &s->to, &number, 1, note_done, NULL), GN_OK);
    }
}

static gn_action note_peer(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_remote_addr(c, &last_peer), GN_OK);
    endpoint = gn_conn_handle(c);
    nt_note(NT_TRAFFIC, endpoint, 0);
    return GN_NONE;
}

START_TEST(threads_send_to_their_peers)
{
    static const gn_handler h = { .on_traffic = note_peer };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[4];
    sender s[4];
    for (unsigned i = 0; i < 4; i++) {
        c[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_dgram_send(c[i], "here", 4), GNP_OK);
        nt_await(NT_TRAFFIC, i + 1);
        s[i].to = last_peer;
        s[i].count = 60; /* of 1 byte each: fits the client's buffer */
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(gnp_thread_start(&s[i].thread, sender_thread, &s[i], "sender"), GNP_OK);
    for (unsigned i = 0; i < 4; i++)
        gnp_thread_join(&s[i].thread);
    nt_await(NT_DONE, 240);
    for (unsigned i = 0; i < 240; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 60; k++) {
            unsigned char number[8];
            size_t n = 0;
            ck_assert_int_eq(tc_dgram_recv(c[i], number, sizeof(number), &n), GNP_OK);
            ck_assert_uint_eq(n, 1);
            ck_assert_uint_eq(number[0], k);
        }
        tc_close(c[i]);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("datagram");
    TCase *t = nt_case(s, "datagrams", 30);
    tcase_add_loop_test(t, one_callback_a_datagram, 0, 2);
    tcase_add_test(t, bursts_keep_their_borders);
    tcase_add_test(t, largest_datagram_and_one_more);
    tcase_add_test(t, too_large_an_answer_is_an_error);
    tcase_add_test(t, each_write_is_a_datagram);

    t = nt_case(s, "endpoints", 30);
    tcase_add_test(t, endpoint_has_a_peer_only_in_its_callback);
    tcase_add_test(t, send_to_checks_its_arguments);
    tcase_add_test(t, refusals_harm_nobody);
    tcase_add_test(t, loops_share_one_port);
    tcase_add_test(t, datagram_can_shut_down_the_engine);
    tcase_add_test(t, threads_send_to_their_peers);
    return nt_main(s);
}
