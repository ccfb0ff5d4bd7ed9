/* SPDX-License-Identifier: MIT */
/* What datagram endpoints can beyond answering: any address, packet info, trains, groups, errors. */
#include "harness.h"

#include <stdio.h>

static void note_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_DONE, h, status);
}

static void note_error(gn_conn *c, int error, void *user)
{
    (void)user;
    nt_note(NT_B, gn_conn_handle(c), error);
}

/* An engine with one listener on one loop and up to two options of its socket. */
static gn_engine *start(const gn_handler *h, const char *url, gn_opt one, gn_opt two,
                        const char *multicast_if)
{
    gn_opt_value opts[2] = { { one, 1 }, { two, 1 } };
    gn_options o = nt_options(1);
    gn_listen_options lo;
    gn_engine *e;
    gn_listen_options_init(&lo);
    lo.opts = opts;
    lo.opt_count = one == 0 ? 0 : two == 0 ? 1 : 2;
    lo.multicast_if = multicast_if;
    ck_assert_int_eq(gn_engine_create(&e, h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    return e;
}

static gn_stats stats_of(const gn_engine *e)
{
    gn_stats s;
    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    ck_assert_int_eq(gn_engine_stats(e, &s), GN_OK);
    return s;
}

/* ------------------------------------------------------------- packet info */

static gn_dgram_info last_info;

static gn_action note_info(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_dgram_info(c, &last_info), GN_OK);
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)gn_conn_inbound(c));
    return GN_NONE;
}

static void no_info(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_dgram_info info;
    (void)arg;
    NT_EXPECT(c != NULL && status == GN_OK);
    if (c != NULL)
        NT_EXPECT_INT(gn_conn_dgram_info(c, &info), GN_ENOTCONN);
    nt_note(NT_A, h, 0);
}

START_TEST(packet_info)
{
    NT_WANTS("packet-info");
    static const gn_handler h = { .on_traffic = note_info };
    gn_engine *e = start(&h, "udp4://0.0.0.0:0", _i ? GN_OPT_PACKET_INFO : 0, 0, NULL);
    tc_net *net = tc_net_open();
    gn_addr bound;
    char url[64], local[GN_ADDR_TEXT_MAX];
    tc *c;
    ck_assert_int_eq(gn_engine_addr(e, 0, &bound), GN_OK);
    snprintf(url, sizeof(url), "udp4://127.4.5.6:%u", gn_addr_port(&bound));
    c = tc_connect(net, url);
    ck_assert_int_eq(tc_dgram_send(c, "hello", 5), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(nt_nth(NT_TRAFFIC, 0).status, 5);
    ck_assert_int_eq(last_info.truncated, 0);
    if (_i) {
        ck_assert_int_gt(gn_addr_format(&last_info.local, local, sizeof(local)), 0);
        ck_assert_str_eq(local, "127.4.5.6:0");
        ck_assert_uint_eq(last_info.interface_index, gn_interface_index("127.0.0.1"));
        ck_assert_uint_ne(last_info.interface_index, 0);
    } else {
        ck_assert_int_eq(gn_addr_family(&last_info.local), GN_FAMILY_NONE);
        ck_assert_uint_eq(last_info.interface_index, 0);
    }
    ck_assert_int_eq(gn_execute(gn_engine_endpoint(e, 0, 0), no_info, NULL), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_uint_eq(gn_interface_index(NULL), 0);
    ck_assert_uint_eq(gn_interface_index("nowhere0"), 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- endpoints */

static gn_action ignore(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)gn_conn_inbound(c));
    return GN_NONE;
}

START_TEST(endpoints_have_handles)
{
    static const gn_handler h = { .on_traffic = ignore };
    gn_options o = nt_options(3);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", "udp4://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    unsigned found = 0;
    gnp_addr mine;
    gn_addr to;
    char text[64], byte;
    size_t n;
    tc *c = tc_connect(net, nt_url(e, 1));
    ck_assert_int_eq(gnp_sock_local(&c->sock, &mine), GNP_OK);
    snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)mine.port);
    ck_assert_int_eq(gn_addr_parse(text, &to), GN_OK);
    for (unsigned i = 0; i < 3; i++) {
        gn_handle p = gn_engine_endpoint(e, 1, i);
        ck_assert(gn_engine_endpoint(e, 0, i) == GN_HANDLE_NONE);
        if (p == GN_HANDLE_NONE)
            continue;
        found++;
        ck_assert_int_eq(gn_send_to(p, &to, "x", 1, note_done, NULL), GN_OK);
        ck_assert_int_eq(tc_dgram_recv(c, &byte, 1, &n), GNP_OK);
        ck_assert(n == 1 && byte == 'x');
    }
    ck_assert_uint_eq(found, gnp_reuseport_balances(GNP_DGRAM, 0) ? 3 : 1);
    nt_await(NT_DONE, found);
    ck_assert(gn_engine_endpoint(e, 1, 3) == GN_HANDLE_NONE);
    ck_assert(gn_engine_endpoint(e, 2, 0) == GN_HANDLE_NONE);
    ck_assert(gn_engine_endpoint(NULL, 0, 0) == GN_HANDLE_NONE);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(receiving_can_be_paused)
{
    static const gn_handler h = { .on_traffic = ignore };
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&h, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_int_eq(tc_dgram_send(c, "x", 1), GNP_OK);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 0);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
    nt_await(NT_TRAFFIC, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ------------------------------------------------------------------- trains */

#define TRAIN_BYTES 60000u

static unsigned char train[TRAIN_BYTES];

static gn_action send_train(gn_conn *c, void *user)
{
    gn_addr peer;
    size_t segment = gn_conn_inbound(c); /* as long as the question */
    (void)user;
    NT_EXPECT_INT(gn_conn_remote_addr(c, &peer), GN_OK);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, train, 0, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, train, 10, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, NULL, 10, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, train, TRAIN_BYTES, 65508), GN_EMSGSIZE);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, train, SIZE_MAX, 100), GN_EMSGSIZE);
    NT_EXPECT_INT(gn_conn_send_segments(c, segment % 2 ? NULL : &peer, train, TRAIN_BYTES, segment), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "end", 3), GN_OK);
    return GN_NONE;
}

/* Every datagram of a train, in order, whoever cuts it. */
START_TEST(trains_go_out)
{
    NT_WANTS("gro");
    static const size_t segments[] = { 500, 999, 1000, 1400, 9000, 59999, 60000, 61000 };
    static const gn_handler h = { .on_traffic = send_train };
    static unsigned char question[65000], got[65536];
    gn_engine *e = start(&h, "udp4://127.0.0.1:0", GN_OPT_BROADCAST, 0, NULL);
    tc_net *net = tc_net_open();
    uint64_t pieces = 0;
    tc *c;
    net->opts.rcvbuf = 1u << 20;
    c = tc_connect(net, nt_url(e, 0));
    nt_fill(3, 0, train, TRAIN_BYTES);
    for (unsigned i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
        size_t at = 0, n = 0;
        ck_assert_int_eq(tc_dgram_send(c, question, segments[i]), GNP_OK);
        for (; at < TRAIN_BYTES; at += n, pieces++) {
            size_t want = TRAIN_BYTES - at < segments[i] ? TRAIN_BYTES - at : segments[i];
            ck_assert_int_eq(tc_dgram_recv(c, got, sizeof(got), &n), GNP_OK);
            ck_assert_uint_eq(n, want);
            ck_assert_uint_eq(nt_match(3, at, got, n), n);
        }
        ck_assert_int_eq(tc_dgram_recv(c, got, sizeof(got), &n), GNP_OK);
        ck_assert_uint_eq(n, 3);
        pieces++;
    }
    NT_UNTIL(stats_of(e).datagrams_out == pieces);
    ck_assert_uint_eq(stats_of(e).bytes_out, 8 * (TRAIN_BYTES + 3));
    ck_assert_uint_eq(stats_of(e).datagrams_in, 8);
    ck_assert_uint_eq(stats_of(e).datagrams_lost, 0);
    ck_assert_uint_lt(stats_of(e).writes, pieces); /* many in one call */
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action take_piece(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    uint64_t *at = user;
    NT_EXPECT_INT(nt_match(4, *at, p, n), n);
    *at += n;
    nt_note(NT_TRAFFIC, 0, (int)n);
    return GN_NONE;
}

/* With GRO the system hands over whole trains; the callback sees datagrams. */
START_TEST(trains_come_in_taken_apart)
{
    NT_WANTS("gro");
    static const gn_handler h = { .on_traffic = take_piece };
    static unsigned char bytes[10050];
    gn_opt_value gro = { GN_OPT_GRO, 1 };
    gn_options o = nt_options(1);
    gn_listen_options lo;
    gn_engine *e;
    tc_net *net = tc_net_open();
    gnp_dgram_out out = { bytes, sizeof(bytes), NULL, 1000 };
    unsigned sent;
    uint64_t at = 0;
    tc *c;
    gn_listen_options_init(&lo);
    lo.opts = &gro;
    lo.opt_count = (unsigned)_i;
    ck_assert_int_eq(gn_engine_create(&e, &h, &at, &o), GN_OK);
    if (gn_engine_listen_with(e, "udp4://127.0.0.1:0", &lo) == GN_ENOTSUP) {
        gn_engine_destroy(e);
        tc_net_close(net);
        return;
    }
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    c = tc_connect(net, nt_url(e, 0));
    nt_fill(4, 0, bytes, sizeof(bytes));
    if (gnp_sendto(net->poller, &c->sock, &out, 1, &sent) == GNP_OK) {
        nt_await(NT_TRAFFIC, 11);
        for (unsigned i = 0; i < 11; i++)
            ck_assert_int_eq(nt_nth(NT_TRAFFIC, i).status, i < 10 ? 1000 : 50);
        NT_UNTIL(stats_of(e).datagrams_in == 11);
        ck_assert_uint_eq(stats_of(e).bytes_in, sizeof(bytes));
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* -------------------------------------------------------- errors and broadcast */

static void broadcast(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr to, four;
    gn_family family;
    char text[64];
    NT_EXPECT(c != NULL && status == GN_OK);
    if (c == NULL)
        return;
    snprintf(text, sizeof(text), "127.255.255.255:%u", *(unsigned *)arg);
    NT_EXPECT_INT(gn_addr_parse(text, &to), GN_OK);
    NT_EXPECT_INT(gn_addr_parse("[::1]:1", &four), GN_OK);
    NT_EXPECT_INT(gn_conn_send_to(c, &four, "x", 1), GN_EINVAL); /* of another family */
    NT_EXPECT_INT(gn_conn_send_to(c, NULL, "x", 1), GN_EINVAL);
    family = gn_addr_family(&to);
    NT_EXPECT_INT(family, GN_FAMILY_IPV4);
    NT_EXPECT_INT(gn_conn_send_to(c, &to, "to all", 6), GN_OK);
    nt_note(NT_A, h, 0);
}

/* What the system refuses is told, once, and counted; the endpoint goes on. */
START_TEST(broadcast_wants_its_option)
{
    static const gn_handler h = { .on_traffic = ignore, .on_error = note_error };
    gn_engine *to = start(&h, "udp4://0.0.0.0:0", 0, 0, NULL);
    gn_engine *from = start(&h, "udp4://127.0.0.1:0", _i ? GN_OPT_BROADCAST : 0, 0, NULL);
    gn_addr bound;
    unsigned port;
    ck_assert_int_eq(gn_engine_addr(to, 0, &bound), GN_OK);
    port = gn_addr_port(&bound);
    ck_assert_int_eq(gn_execute(gn_engine_endpoint(from, 0, 0), broadcast, &port), GN_OK);
    nt_await(_i ? NT_TRAFFIC : NT_B, 1);
    ck_assert_int_eq(_i ? nt_nth(NT_TRAFFIC, 0).status : nt_nth(NT_B, 0).status, _i ? 6 : GN_EACCES);
    NT_UNTIL(stats_of(from).datagrams_lost == !_i && stats_of(from).datagrams_out == (uint64_t)_i);
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:1", &bound), GN_OK);
    nt_stop(from, NT_SECOND);
    nt_stop(to, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC) + nt_count(NT_B), 1);
}
END_TEST

/* ------------------------------------------------------------------- groups */

static gn_addr group;
static unsigned group_if;

static void join_or_leave(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr host;
    NT_EXPECT(c != NULL && status == GN_OK);
    if (c == NULL)
        return;
    NT_EXPECT_INT(gn_addr_parse("127.0.0.1:1", &host), GN_OK);
    NT_EXPECT_INT(gn_conn_join_group(c, &host, group_if), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_leave_group(c, NULL, group_if), GN_EINVAL);
    if (arg != NULL) {
        NT_EXPECT_INT(gn_conn_join_group(c, &group, group_if), GN_OK);
        NT_EXPECT_INT(gn_conn_join_group(c, &group, group_if), GN_EADDRINUSE);
    } else {
        NT_EXPECT_INT(gn_conn_leave_group(c, &group, group_if), GN_OK);
        NT_EXPECT_INT(gn_conn_leave_group(c, &group, group_if), GN_EADDRNOTAVAIL);
    }
    nt_note(NT_A, h, 0);
}

/* A socket that sends to the group by the loopback.  NULL where that is not possible. */
static tc *group_client(tc_net *net, const char *url)
{
    tc *c = NULL;
    int status = tc_try_connect(net, url, &c);
    if (status == GNP_OK && gnp_sock_set(&c->sock, GNP_OPT_MULTICAST_IF, group_if) == GNP_OK &&
        tc_dgram_send(c, "x", 1) == GNP_OK)
        return c;
    printf("no groups on the loopback here: %s\n", gn_strerror(status));
    if (c != NULL)
        tc_close(c);
    return NULL;
}

START_TEST(groups)
{
    NT_WANTS("multicast");
    static const gn_handler h = { .on_traffic = ignore };
    gn_engine *e = start(&h, "udp4://0.0.0.0:0", 0, 0, NULL);
    gn_handle p = gn_engine_endpoint(e, 0, 0);
    tc_net *net = tc_net_open();
    gn_addr bound;
    char url[64];
    tc *c;
    group_if = gn_interface_index("127.0.0.1");
    net->local = "127.0.0.1";
    ck_assert_int_eq(gn_engine_addr(e, 0, &bound), GN_OK);
    snprintf(url, sizeof(url), "udp4://239.255.72.1:%u", gn_addr_port(&bound));
    ck_assert_int_eq(gn_addr_parse(url + 7, &group), GN_OK);
    c = group_client(net, url);
    if (c != NULL) {
        unsigned n;
        ck_assert_int_eq(gn_execute(p, join_or_leave, e), GN_OK);
        nt_await(NT_A, 1);
        n = nt_count(NT_TRAFFIC); /* the first may have come by somebody's membership */
        ck_assert_uint_eq(n, 0);
        ck_assert_int_eq(tc_dgram_send(c, "xx", 2), GNP_OK);
        nt_await(NT_TRAFFIC, 1);
        ck_assert_int_eq(gn_execute(p, join_or_leave, NULL), GN_OK);
        nt_await(NT_A, 2);
        ck_assert_int_eq(tc_dgram_send(c, "xxx", 3), GNP_OK);
        gnp_sleep_until(gnp_now() + 20 * NT_MS);
        ck_assert_uint_eq(nt_count(NT_TRAFFIC), 1);
        tc_close(c);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* A listener's address that is a group is joined, once whatever the number of loops, and others may too. */
START_TEST(a_group_is_listened_to)
{
    NT_WANTS("multicast");
    static const gn_handler h = { .on_traffic = ignore };
    gn_listen_options lo;
    gn_options o = nt_options(3);
    gn_engine *e, *other;
    gn_addr bound;
    char url[64];
    tc_net *net = tc_net_open();
    tc *c;
    unsigned endpoints = 0;
    gn_listen_options_init(&lo);
    lo.multicast_if = "nowhere0";
    group_if = gn_interface_index("127.0.0.1");
    net->local = "127.0.0.1";
    ck_assert_int_eq(gn_engine_create(&e, &h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen_with(e, "udp://239.255.72.2:0", &lo), GN_ENOENT);
    lo.multicast_if = "127.0.0.1";
    ck_assert_int_eq(gn_engine_listen_with(e, "udp://239.255.72.2:0", &lo), GN_OK);
    if (gnp_has_ipv6()) { /* a link-local one is bound on the interface */
        ck_assert_int_eq(gn_engine_listen_with(e, "udp://[ff15::7202]:0", &lo), GN_OK);
        ck_assert_int_eq(gn_engine_listen_with(e, "udp6://[ff02::7202]:0", &lo), GN_OK);
    }
    ck_assert_int_eq(gn_engine_addr(e, 0, &bound), GN_OK);
    snprintf(url, sizeof(url), "udp://239.255.72.2:%u", gn_addr_port(&bound));
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        endpoints += gn_engine_endpoint(e, 0, i) != GN_HANDLE_NONE;
    ck_assert_uint_eq(endpoints, 1);
    c = group_client(net, url);
    if (c != NULL) {
        nt_await(NT_TRAFFIC, 1);
        other = start(&h, url, 0, 0, "127.0.0.1");
        ck_assert_int_eq(tc_dgram_send(c, "xx", 2), GNP_OK);
        nt_await(NT_TRAFFIC, 3);
        gnp_sleep_until(gnp_now() + 10 * NT_MS);
        ck_assert_uint_eq(nt_count(NT_TRAFFIC), 3);
        nt_stop(other, NT_SECOND);
        tc_close(c);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("datagram verbs");
    TCase *t = nt_case(s, "verbs", 30);
    tcase_add_loop_test(t, packet_info, 0, 2);
    tcase_add_test(t, endpoints_have_handles);
    tcase_add_test(t, receiving_can_be_paused);
    tcase_add_test(t, trains_go_out);
    tcase_add_loop_test(t, trains_come_in_taken_apart, 0, 2);
    tcase_add_loop_test(t, broadcast_wants_its_option, 0, 2);
    tcase_add_test(t, groups);
    tcase_add_test(t, a_group_is_listened_to);
    return nt_main(s);
}
