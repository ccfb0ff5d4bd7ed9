/* SPDX-License-Identifier: MIT */
/* Descriptors that travel over Unix streams: all that come are the caller's or closed. */
#include "conform.h"

/* Peer sends data with the descriptor of a file of size bytes, which it then closes. */
static void peer_pass(subject *t, gnp_sock *peer, size_t size, const char *data)
{
    intptr_t os = stream_file(size);
    size_t sent;

    ck_assert_int_eq(gnp_send_descriptor(t->q, peer, os, data, strlen(data), &sent), GNP_OK);
    ck_assert_uint_eq(sent, strlen(data));
    gnp_descriptor_close(os);
}

/* The lowest number that is free: it moves when a descriptor is leaked. */
static intptr_t lowest(const gnp_sock *s)
{
    intptr_t os;

    ck_assert_int_eq(gnp_sock_dup(s, &os), GNP_OK);
    gnp_descriptor_close(os);
    return os;
}

static void check_file(intptr_t os, size_t size)
{
    uint64_t n = 0;

    ck_assert_int_eq(gnp_file_size(os, &n), GNP_OK);
    ck_assert_uint_eq(n, size);
}

/* 0: the transport carries no descriptors, and says so. */
static int open_pair(subject *t, int i, gnp_sock *s, gnp_sock *peer, int pass)
{
    size_t sent;

    subject_open_stream(t, i, NULL);
    pair(t, s, peer, GNP_READ);
    if (t->tp != UNIX_STREAM) {
        ck_assert_int_eq(gnp_sock_set(s, GNP_OPT_PASS_DESCRIPTORS, 1), GNP_ENOTSUP);
        ck_assert_int_eq(gnp_send_descriptor(t->q, peer, s->os, "x", 1, &sent), GNP_ENOTSUP);
        ck_assert_uint_eq(sent, 0);
    } else if (pass) {
        ck_assert_int_eq(gnp_sock_set(s, GNP_OPT_PASS_DESCRIPTORS, 1), GNP_OK);
    }
    if (t->tp == UNIX_STREAM)
        return 1;
    gnp_close(t->p, s, 0);
    peer_close(t, peer, 0);
    subject_close(t);
    return 0;
}

/* Nothing is left but perhaps a hint: a receive had stopped at a descriptor. */
static void nothing_left(subject *t, gnp_sock *s)
{
    const void *data;
    size_t n;

    step(t, ROUND, gnp_now() + QUIET);
    ck_assert_int_eq(gnp_recv(t->p, s, &data, &n), GNP_AGAIN);
    quiet(t, s, ~0u);
}

static void close_pair(subject *t, gnp_sock *s, gnp_sock *peer)
{
    gnp_close(t->p, s, 0);
    peer_close(t, peer, 0);
    subject_close(t);
}

START_TEST(one_with_its_bytes)
{
    subject t;
    gnp_sock s, peer;
    const void *data;
    intptr_t os, before;
    size_t n, got;

    if (!open_pair(&t, _i, &s, &peer, 1))
        return;
    before = lowest(&s);
    ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_AGAIN);
    peer_pass(&t, &peer, 111, "abc");
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
    ck_assert(n <= 3 && memcmp(data, "abc", n) == 0);
    got = n;
    ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_OK);
    check_file(os, 111);
    ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &before), GNP_AGAIN);
    ck_assert_int_eq(before, -1);
    gnp_recv_done(t.p, &s);
    check_file(os, 111); /* it stays the caller's */
    before = os;
    gnp_descriptor_close(os);
    ck_assert_int_eq(lowest(&s), before);
    for (; got < 3; got += n) {
        await(&t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
        gnp_recv_done(t.p, &s);
    }
    nothing_left(&t, &s);
    close_pair(&t, &s, &peer);
}
END_TEST

#define MANY 20

/* Bytes with and without, one wait each: none of either is lost, whatever a receive stops at. */
START_TEST(many_in_order)
{
    subject t;
    gnp_sock s, peer;
    const void *data;
    size_t n, bytes = 0;
    unsigned i, got = 0;
    intptr_t os, before;
    int r;

    if (!open_pair(&t, _i, &s, &peer, 1))
        return;
    before = lowest(&s);
    for (i = 0; i < MANY; i++) {
        peer_pass(&t, &peer, i, "pp");
        if (i % 3 == 0)
            peer_send(&t, &peer, "qqq", 3);
    }
    while (bytes < MANY * 2 + (MANY + 2) / 3 * 3) {
        await(&t, &s, GNP_EV_READABLE);
        r = gnp_recv(t.p, &s, &data, &n);
        if (r == GNP_AGAIN)
            continue;
        ck_assert_int_eq(r, GNP_OK);
        bytes += n;
        while (gnp_recv_descriptor(t.p, &s, &os) == GNP_OK) {
            check_file(os, got++);
            gnp_descriptor_close(os);
        }
        gnp_recv_done(t.p, &s);
    }
    ck_assert_uint_eq(got, MANY);
    ck_assert_int_eq(lowest(&s), before);
    nothing_left(&t, &s);
    close_pair(&t, &s, &peer);
}
END_TEST

/* Ways not to take one. */
enum { LEAVE, LEAVE_AND_SWITCH_OFF, CLOSE_THE_SOCKET, CLOSE_THE_POLLER, NOT_ASKED, WAYS };

START_TEST(what_is_not_taken_is_closed)
{
    subject t;
    gnp_sock s, peer;
    const void *data;
    intptr_t os, before;
    size_t n, got;
    int way;

    for (way = 0; way < WAYS; way++) {
        if (!open_pair(&t, _i, &s, &peer, way != NOT_ASKED))
            return;
        before = lowest(&peer);
        peer_pass(&t, &peer, 5, "abc");
        await(&t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
        ck_assert_uint_le(n, 3);
        got = n;
        if (way == NOT_ASKED)
            ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_AGAIN);
        else
            ck_assert_int_ne(lowest(&peer), before); /* it waits */
        if (way == LEAVE_AND_SWITCH_OFF)
            ck_assert_int_eq(gnp_sock_set(&s, GNP_OPT_PASS_DESCRIPTORS, 0), GNP_OK);
        if (way == CLOSE_THE_SOCKET || way == CLOSE_THE_POLLER) {
            intptr_t was = s.os;
            gnp_close(t.p, &s, 0);
            ck_assert_int_eq(lowest(&peer), was < before ? was : before);
            peer_close(&t, &peer, 0);
            subject_close(&t);
            continue;
        }
        gnp_recv_done(t.p, &s);
        ck_assert_int_eq(lowest(&peer), before);
        ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_AGAIN);
        peer_send(&t, &peer, "more", 4); /* the connection goes on */
        for (; got < 7; got += n) {
            await(&t, &s, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
            ck_assert(n <= 7 - got && memcmp(data, &"abcmore"[got], n) == 0);
            gnp_recv_done(t.p, &s);
        }
        close_pair(&t, &s, &peer);
    }
}
END_TEST

#define LIMIT 64

/* No number left for it: the bytes come, and that it is lost is told. */
START_TEST(no_descriptor_left_for_it)
{
    static gnp_reserve all[LIMIT];
    uint64_t before = gnp_descriptor_limit(0);
    subject t;
    gnp_sock s, peer;
    const void *data;
    intptr_t os, free_one;
    size_t n, got;
    const char *tool = gnp_env("GANNET_EXEWRAP");
    int k, used = 0;

    if (tool != NULL && strstr(tool, "valgrind") != NULL) {
        printf("valgrind lets the kernel hand over what is beyond the limit\n");
        return;
    }
    if (!open_pair(&t, _i, &s, &peer, 1))
        return;
    free_one = lowest(&s);
    peer_pass(&t, &peer, 5, "abc");
    ck_assert_int_eq(gnp_descriptor_limit_set(LIMIT), GNP_OK);
    for (used = 0; used < LIMIT; used++) {
        all[used].os = -1;
        if (gnp_reserve_take(&all[used]) != GNP_OK)
            break;
    }
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
    ck_assert_uint_le(n, 3);
    got = n;
    ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_EMFILE);
    ck_assert_int_eq(os, -1);
    for (k = 0; k < 2; k++)
        ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_AGAIN);
    gnp_recv_done(t.p, &s);
    while (used > 0)
        gnp_reserve_release(&all[--used]);
    ck_assert_int_eq(gnp_descriptor_limit_set(before), GNP_OK);
    ck_assert_int_eq(lowest(&s), free_one);
    for (; got < 3; got += n) {
        await(&t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
        gnp_recv_done(t.p, &s);
    }
    peer_pass(&t, &peer, 6, "d");
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
    ck_assert_int_eq(gnp_recv_descriptor(t.p, &s, &os), GNP_OK);
    gnp_recv_done(t.p, &s);
    gnp_descriptor_close(os);
    close_pair(&t, &s, &peer);
}
END_TEST

/* The listener's wish is that of the accepted ones, and goes along to another poller. */
START_TEST(inherited_and_moved)
{
    subject t, to;
    gnp_sock s, copy, peer;
    const void *data;
    intptr_t os;
    int64_t v = 0;
    size_t n;

    subject_open_stream(&t, _i, NULL);
    if (t.tp != UNIX_STREAM) {
        subject_close(&t);
        return;
    }
    subject_open_poller(&to, _i, NULL);
    ck_assert_int_eq(gnp_sock_set(&t.listener, GNP_OPT_PASS_DESCRIPTORS, 1), GNP_OK);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_sock_get(&s, GNP_OPT_PASS_DESCRIPTORS, &v), GNP_OK);
    ck_assert_int_eq(v, 1);
    peer_pass(&t, &peer, 77, "abc");
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_detach(t.p, &s), GNP_OK);
    copy = s;
    ck_assert_int_eq(gnp_attach(to.p, &copy, GNP_READ), GNP_OK);
    await(&to, &copy, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(to.p, &copy, &data, &n), GNP_OK);
    ck_assert_int_eq(gnp_recv_descriptor(to.p, &copy, &os), GNP_OK);
    check_file(os, 77);
    gnp_descriptor_close(os);
    gnp_recv_done(to.p, &copy);
    gnp_close(to.p, &copy, 0);
    subject_close(&to);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(sends_that_fail)
{
    static unsigned char buf[65536];
    subject t;
    gnp_sock s, peer;
    gnp_iov v = { buf, sizeof(buf) };
    uint64_t offset = 0;
    gnp_reserve file = { -1 };
    size_t sent, total = 0;
    int r;

    if (!open_pair(&t, _i, &peer, &s, 1)) /* the sender is on the poller under test */
        return;
    gnp_want(t.p, &peer, 0);
    ck_assert_int_eq(gnp_reserve_take(&file), GNP_OK);
    ck_assert_int_eq(gnp_send_descriptor(t.p, &peer, -1, "x", 1, &sent), GNP_EINVAL);
    ck_assert_uint_eq(sent, 0);
    do { /* until there is no room */
        stream_fill(buf, total, sizeof(buf));
        r = gnp_send(t.p, &peer, &v, 1, 0, &sent);
        total += sent;
    } while (r == GNP_OK);
    ck_assert_int_eq(r, GNP_AGAIN);
    stream_fill(buf, total, sizeof(buf));
    ck_assert_int_eq(gnp_send_descriptor(t.p, &peer, file.os, buf, 1, &sent), GNP_AGAIN);
    ck_assert_uint_eq(sent, 0);
    peer_expect(&t, &s, &offset, total);
    await(&t, &peer, GNP_EV_WRITABLE);
    ck_assert_int_eq(gnp_send_descriptor(t.p, &peer, file.os, buf, 1, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 1);
    quiet(&t, &peer, ~0u);
    peer_close(&t, &s, 1);
    step(&t, ROUND, gnp_now() + QUIET); /* the news may take its time */
    r = gnp_send_descriptor(t.p, &peer, file.os, "x", 1, &sent); /* and no signal */
    ck_assert_msg(r == GNP_EPIPE || r == GNP_ECONNRESET, "send: %d", r);
    gnp_close(t.p, &peer, 0);
    gnp_reserve_release(&file);
    subject_close(&t);
}
END_TEST

Suite *suite_rights(void)
{
    Suite *s = suite_create("rights");

    ADD_STREAM_TEST(s, one_with_its_bytes);
    ADD_STREAM_TEST(s, many_in_order);
    ADD_STREAM_TEST(s, what_is_not_taken_is_closed);
    ADD_STREAM_TEST(s, no_descriptor_left_for_it);
    ADD_STREAM_TEST(s, inherited_and_moved);
    ADD_STREAM_TEST(s, sends_that_fail);
    return s;
}
