/* SPDX-License-Identifier: MIT */
#include "conform.h"

START_TEST(connect_succeeds)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    gnp_addr local, remote, other;

    subject_open_stream(&t, _i, NULL);
    pair_dialed(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_sock_peer(&s, &remote), GNP_OK);
    ck_assert_int_eq(remote.family, t.addr.family);
    ck_assert_int_eq(remote.port, t.addr.port);
    if (t.tp != UNIX_STREAM) {
        ck_assert_int_eq(gnp_sock_local(&s, &local), GNP_OK);
        ck_assert_int_eq(gnp_sock_peer(&peer, &other), GNP_OK);
        ck_assert_int_ne(local.port, 0);
        ck_assert_int_eq(local.port, other.port);
        ck_assert(memcmp(local.u.ip, other.u.ip, 16) == 0);
    }
    quiet(&t, &s, ~0u);
    peer_fill(&t, &peer, &sent, 500);
    expect(&t, &s, &offset, 500);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* A connected socket has interest 0, and says nothing until it is asked. */
START_TEST(connected_without_interest)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;

    subject_open_stream(&t, _i, NULL);
    pair_dialed(&t, &s, &peer, 0);
    peer_fill(&t, &peer, &sent, 100);
    quiet(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_want(t.p, &s, GNP_READ), GNP_OK);
    expect(&t, &s, &offset, 100);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Takes the listener away, so that its address refuses. */
static void stop_listening(subject *t)
{
    gnp_close(t->p, &t->listener, 0);
    t->listening = 0;
}

START_TEST(connect_is_refused)
{
    subject t;
    gnp_sock s;
    int r;

    subject_open_stream(&t, _i, NULL);
    stop_listening(&t);
    r = gnp_connect(t.p, &s, GNP_STREAM, &t.addr, NULL, NULL);
    if (r == GNP_INFLIGHT) {
        await(&t, &s, GNP_EV_WRITABLE);
        r = gnp_connect_end(t.p, &s);
        ck_assert_int_eq(gnp_close(t.p, &s, 0), GNP_OK);
    }
    ck_assert_int_eq(r, GNP_ECONNREFUSED);
    ck_assert_int_ne(gnp_os_error(), 0);
    quiet(&t, NULL, ~0u);
    if (t.tp == UNIX_STREAM) {
        gnp_unlink_bound(&t.addr, &t.bound);
        ck_assert_int_eq(gnp_connect(t.p, &s, GNP_STREAM, &t.addr, NULL, NULL), GNP_ENOENT);
    }
    subject_close(&t);
}
END_TEST

/* Closed before the outcome is known, with and without its event in this round. */
START_TEST(close_while_connecting)
{
    subject t;
    gnp_sock s[2];
    int r[2], i;

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < 2; i++) {
        r[i] = gnp_connect(t.p, &s[i], GNP_STREAM, &t.addr, NULL, NULL);
        ck_assert(r[i] == GNP_OK || r[i] == GNP_INFLIGHT);
    }
    gnp_close(t.p, &s[0], 0);
    if (r[1] == GNP_INFLIGHT)
        await(&t, &s[1], GNP_EV_WRITABLE);
    gnp_close(t.p, &s[1], 1);
    ck_assert_ptr_null(event_of(&t, &s[1]));
    for (i = 0; i < 10; i++) {
        step(&t, ROUND, gnp_now() + 2 * MS);
        ck_assert_ptr_null(event_of(&t, &s[0]));
        ck_assert_ptr_null(event_of(&t, &s[1]));
    }
    subject_close(&t);
}
END_TEST

#define FULL 8

/* Nobody accepts and the queue is full: no event, AGAIN, and then success when there is room. */
START_TEST(connect_takes_its_time)
{
    gnp_sock_opts o = { .v6only = -1, .backlog = 1 };
    subject t;
    gnp_sock s[FULL], l, a;
    gnp_addr addr, peer;
    int r[FULL], i, late = -1, accepted = 0;

    subject_open_poller(&t, _i, NULL);
    ip_addr(&addr, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&l, &addr, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&l, &addr), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.q, &l, GNP_READ), GNP_OK);
    for (i = 0; i < FULL; i++)
        r[i] = gnp_connect(t.p, &s[i], GNP_STREAM, &addr, NULL, NULL);
    for (i = 0; i < 20; i++)
        step(&t, ROUND, gnp_now() + 2 * MS);
    for (i = 0; i < FULL && late < 0; i++) {
        int end = r[i] == GNP_INFLIGHT ? gnp_connect_end(t.p, &s[i]) : r[i];
        ck_assert(end == GNP_OK || end == GNP_AGAIN);
        ck_assert_int_eq(gnp_sock_peer(&s[i], &peer) == GNP_OK, end == GNP_OK);
        if (end == GNP_AGAIN)
            late = i;
    }
    if (late >= 0) { /* else this system's queue is not that short */
        uint64_t limit = gnp_now() + PATIENCE;
        while (gnp_connect_end(t.p, &s[late]) == GNP_AGAIN && gnp_now() < limit) {
            while (gnp_accept(t.q, &l, &a, NULL) == GNP_OK) {
                gnp_sock_close(&a, 0);
                accepted++;
            }
            gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + MS);
            step(&t, ROUND, gnp_now() + MS);
        }
        ck_assert_int_eq(gnp_connect_end(t.p, &s[late]), GNP_OK);
        ck_assert_int_gt(accepted, 0);
    }
    for (i = 0; i < FULL; i++)
        gnp_close(t.p, &s[i], 0);
    gnp_close(t.q, &l, 0);
    subject_close(&t);
}
END_TEST

START_TEST(connect_from_a_local_address)
{
    gnp_sock_opts o = { .v6only = -1, .reuseaddr = 1, .nodelay = 1, .keepalive_s = 30,
                        .keepalive_intvl_s = 5, .keepalive_count = 3, .sndbuf = 100000, .rcvbuf = 100000 };
    subject t;
    gnp_sock s, l, a;
    gnp_addr addr, local, got;
    int r;

    subject_open_poller(&t, _i, NULL);
    ip_addr(&addr, "127.0.0.1", 0);
    ip_addr(&local, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&l, &addr, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&l, &addr), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &l, GNP_READ), GNP_OK);
    r = gnp_connect(t.p, &s, GNP_STREAM, &addr, &local, &o);
    ck_assert(r == GNP_OK || r == GNP_INFLIGHT);
    await(&t, &l, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_accept(t.p, &l, &a, &got), GNP_OK);
    ck_assert_int_eq(got.family, GNP_FAMILY_IPV4);
    ck_assert(memcmp(got.u.ip, local.u.ip, 4) == 0);
    gnp_sock_close(&a, 0);
    gnp_close(t.p, &s, 0);

    /* 192.0.2.1 is for documentation (RFC 5737): nobody's, so no host has it. */
    ip_addr(&local, "192.0.2.1", 0);
    ck_assert_int_eq(gnp_connect(t.p, &s, GNP_STREAM, &addr, &local, &o), GNP_EADDRNOTAVAIL);
    memset(&addr, 0, sizeof(addr));
    ck_assert_int_lt(gnp_connect(t.p, &s, GNP_STREAM, &addr, NULL, NULL), 0);
    gnp_close(t.p, &l, 0);
    subject_close(&t);
}
END_TEST

/* The queue of a Unix listener is full: an error at once and no socket left, or success later. */
START_TEST(full_unix_queue)
{
    gnp_sock_opts o = { .v6only = -1, .backlog = 1 };
    subject t;
    gnp_sock s[FULL], l;
    gnp_addr addr;
    gnp_bound b;
    char path[32];
    int r[FULL], i;

    if (!has_unix())
        return;
    subject_open_poller(&t, _i, NULL);
    temp_name(path, sizeof(path), "q");
    unix_addr(&addr, path);
    ck_assert_int_eq(gnp_listen(&l, &addr, &o, &b), GNP_OK);
    for (i = 0; i < FULL; i++) {
        r[i] = gnp_connect(t.p, &s[i], GNP_STREAM, &addr, NULL, NULL);
        ck_assert_msg(r[i] == GNP_OK || r[i] == GNP_INFLIGHT || r[i] == GNP_AGAIN || r[i] == GNP_ECONNREFUSED,
                      "connect: %d", r[i]);
    }
    ck_assert(r[0] == GNP_OK || r[0] == GNP_INFLIGHT);
    quiet(&t, NULL, GNP_EV_READABLE);
    for (i = 0; i < FULL; i++) {
        if (r[i] == GNP_OK || r[i] == GNP_INFLIGHT)
            gnp_close(t.p, &s[i], 0);
    }
    gnp_sock_close(&l, 0);
    gnp_unlink_bound(&addr, &b);
    subject_close(&t);
}
END_TEST

Suite *suite_connect(void)
{
    Suite *s = suite_create("connect");

    ADD_STREAM_TEST(s, connect_succeeds);
    ADD_STREAM_TEST(s, connected_without_interest);
    ADD_STREAM_TEST(s, connect_is_refused);
    ADD_STREAM_TEST(s, close_while_connecting);
    ADD_POLLER_TEST(s, connect_takes_its_time);
    ADD_POLLER_TEST(s, connect_from_a_local_address);
    ADD_POLLER_TEST(s, full_unix_queue);
    return s;
}
