/* SPDX-License-Identifier: MIT */
/* Clause 7, and sends of many spans. */
#include "conform.h"

#define BIG (12u << 20) /* more than the buffers of both ends hold */

static unsigned char block[1u << 20];

/* Sends the stream from *offset until it is cut short; returns 1, or 0 if end was reached. */
static int send_until_short(subject *t, gnp_sock *s, uint64_t *offset, uint64_t end)
{
    while (*offset < end) {
        size_t n = end - *offset < sizeof(block) ? (size_t)(end - *offset) : sizeof(block), sent = 0;
        gnp_iov v = { block, n };
        int r;
        stream_fill(block, *offset, n);
        r = gnp_send(t->p, s, &v, 1, 0, &sent);
        ck_assert_msg(r == GNP_OK || r == GNP_AGAIN, "send: %d", r);
        ck_assert((r == GNP_OK) == (sent > 0));
        ck_assert_uint_le(sent, n);
        *offset += sent;
        if (sent < n)
            return 1;
    }
    return 0;
}

START_TEST(writable_follows_a_short_send)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, got = 0;
    int shorts = 0;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    while (send_until_short(&t, &s, &sent, BIG)) {
        quiet(&t, &s, GNP_EV_READABLE);
        ck_assert_msg(sent > got, "no room although all was read");
        peer_expect(&t, &peer, &got, (size_t)(sent - got));
        await(&t, &s, GNP_EV_WRITABLE);
        shorts++;
    }
    ck_assert_int_gt(shorts, 0);
    peer_expect(&t, &peer, &got, (size_t)(sent - got));
    ck_assert_uint_eq(got, BIG);
    quiet(&t, &s, ~0u & ~(uint32_t)GNP_EV_WRITABLE);
    quiet(&t, &s, ~0u); /* one spurious hint may have been above */
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Level at the surface for writing too: a caller who comes back later is reminded. */
START_TEST(writable_is_repeated)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, got = 0;
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(send_until_short(&t, &s, &sent, UINT64_MAX), 1);
    peer_expect(&t, &peer, &got, (size_t)sent);
    for (i = 0; i < 5; i++)
        await(&t, &s, GNP_EV_WRITABLE);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* GNP_AGAIN without a single byte, and no short send before it, is followed by WRITABLE as well;
 * also with interest 0. */
START_TEST(writable_follows_again)
{
    gnp_sock_opts o = { .v6only = -1, .sndbuf = 4096 };
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, got = 0;
    gnp_iov v;
    size_t n;
    int r, k;

    subject_open_stream(&t, _i, NULL);
    /* Small at both ends, as it takes a send for each byte. */
    ck_assert_int_eq(gnp_sock_set(&t.listener, GNP_OPT_RECV_BUFFER, 4096), GNP_OK);
    r = gnp_connect(t.p, &s, GNP_STREAM, &t.addr, NULL, &o);
    if (r == GNP_INFLIGHT) {
        await(&t, &s, GNP_EV_WRITABLE);
        r = gnp_connect_end(t.p, &s);
    }
    ck_assert_int_eq(r, GNP_OK);
    accept_only(&t, &peer);
    ck_assert_int_eq(gnp_attach(t.q, &peer, 0), GNP_OK);
    for (k = 0; k < 3; k++) {
        do {
            unsigned char c;
            stream_fill(&c, sent, 1);
            v = (gnp_iov){ &c, 1 };
            r = gnp_send(t.p, &s, &v, 1, 0, &n);
            sent += r == GNP_OK ? n : 0;
        } while (r == GNP_OK && sent < 16u << 20);
        ck_assert_int_eq(r, GNP_AGAIN);
        peer_expect(&t, &peer, &got, (size_t)(sent - got));
        await(&t, &s, GNP_EV_WRITABLE);
    }
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Reading and writing at once, with a peer that echoes, in pieces of all sizes. */
START_TEST(both_ways_at_once)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, got = 0, back = 0, fill;
    const uint64_t total = scaled(8u << 20, 1u << 20);
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    fill = 0;
    while (sent < total || back < total) {
        send_until_short(&t, &s, &sent, total);
        if (fill < total)
            peer_fill(&t, &peer, &fill, (size_t)(total - fill));
        if (got < sent)
            peer_expect(&t, &peer, &got, (size_t)(sent - got));
        step(&t, ROUND, 0);
        for (i = 0; i < t.n; i++) {
            const void *data;
            size_t n;
            if ((t.ev[i].what & GNP_EV_READABLE) == 0 || gnp_recv(t.p, &s, &data, &n) != GNP_OK)
                continue;
            ck_assert(stream_matches(data, back, n));
            back += n;
            gnp_recv_done(t.p, &s);
        }
    }
    peer_expect(&t, &peer, &got, (size_t)(sent - got));
    ck_assert_uint_eq(got, total);
    ck_assert_uint_eq(back, total);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

#define SPANS 5000u /* several times what any system takes in one call */

static gnp_iov spans[SPANS];

/* Spans of the given size, all of the stream from offset. */
static void cut_spans(unsigned count, size_t size, uint64_t offset)
{
    unsigned i;

    for (i = 0; i < count; i++) {
        spans[i].base = block + offset + i * size;
        spans[i].len = size;
    }
}

START_TEST(more_spans_than_one_call_takes)
{
    subject t;
    gnp_sock s, peer;
    uint64_t got = 0;
    size_t n;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    stream_fill(block, 0, sizeof(block));
    cut_spans(SPANS, 7, 0);
    ck_assert_int_eq(gnp_send(t.p, &s, spans, SPANS, 0, &n), GNP_OK);
    ck_assert_uint_gt(n, 0);
    while (n < 7 * SPANS) { /* a system may have small buffers */
        size_t more, first = n / 7;
        spans[first].base = block + n;
        spans[first].len = 7 - n % 7;
        peer_expect(&t, &peer, &got, n - (size_t)got);
        await(&t, &s, GNP_EV_WRITABLE);
        ck_assert_int_eq(gnp_send(t.p, &s, spans + first, (unsigned)(SPANS - first), 0, &more), GNP_OK);
        n += more;
    }
    peer_expect(&t, &peer, &got, 7 * SPANS - (size_t)got);
    ck_assert_uint_eq(got, 7 * SPANS);
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Many spans that do not fit at once: the cut may be anywhere, also between two calls. */
START_TEST(spans_beyond_the_buffer)
{
    subject t;
    gnp_sock s, peer;
    uint64_t got = 0, sent = 0;
    unsigned rounds = 0;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    stream_fill(block, 0, sizeof(block));
    while (rounds < 40) {
        size_t n = 0;
        int r;
        cut_spans(SPANS, 200, sent % 251); /* the period of the stream */
        r = gnp_send(t.p, &s, spans, SPANS, 0, &n);
        ck_assert_msg(r == GNP_OK || r == GNP_AGAIN, "send: %d", r);
        sent += n;
        rounds++;
        if (n == 200 * SPANS)
            continue;
        peer_expect(&t, &peer, &got, (size_t)(sent - got));
        await(&t, &s, GNP_EV_WRITABLE);
    }
    peer_expect(&t, &peer, &got, (size_t)(sent - got));
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(send_more_flag_delivers)
{
    subject t;
    gnp_sock s, peer;
    uint64_t got = 0;
    gnp_iov v;
    size_t n;
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    stream_fill(block, 0, 100);
    for (i = 0; i < 10; i++) {
        v = (gnp_iov){ block + 10 * i, 10 };
        ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, i < 9 ? GNP_SEND_MORE : 0, &n), GNP_OK);
        ck_assert_uint_eq(n, 10);
    }
    peer_expect(&t, &peer, &got, 100);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* No signal, an error; and a socket that waits for room learns of the peer's end. */
START_TEST(sending_to_nobody_fails)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, limit;
    int r = GNP_OK;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(send_until_short(&t, &s, &sent, UINT64_MAX), 1);
    peer_close(&t, &peer, 1);
    await(&t, &s, GNP_EV_WRITABLE | GNP_EV_HANGUP);
    for (limit = gnp_now() + PATIENCE; r == GNP_OK || r == GNP_AGAIN;) {
        gnp_iov v = { block, sizeof(block) };
        size_t n;
        ck_assert(gnp_now() < limit);
        r = gnp_send(t.p, &s, &v, 1, 0, &n);
    }
    ck_assert_msg(r == GNP_EPIPE || r == GNP_ECONNRESET, "send: %d", r);
    ck_assert_int_ne(gnp_os_error(), 0);
    gnp_close(t.p, &s, 0);
    subject_close(&t);
}
END_TEST

/* What has come to the peer, which is the stream from *got. */
static void peer_take(subject *t, gnp_sock *peer, uint64_t *got)
{
    const void *data;
    size_t n;
    int r;

    ck_assert_int_ge(gnp_poller_wait(t->q, t->qev, ROUND, 0), 0); /* or it may know of nothing */
    while ((r = gnp_recv(t->q, peer, &data, &n)) == GNP_OK) {
        ck_assert(stream_matches(data, *got, n));
        *got += n;
        gnp_recv_done(t->q, peer);
    }
    ck_assert_int_eq(r, GNP_AGAIN);
}

/* A send of pinned memory.  Returns how much is in flight. */
static size_t send_pinned(subject *t, gnp_sock *s, uint64_t *sent, uint64_t end)
{
    size_t n = end - *sent < sizeof(block) ? (size_t)(end - *sent) : sizeof(block), some = 0;
    gnp_iov v = { block, n };
    int r;

    stream_fill(block, *sent, n);
    r = gnp_send(t->p, s, &v, 1, GNP_SEND_PINNED, &some);
    ck_assert_msg(r == GNP_OK || r == GNP_AGAIN || r == GNP_INFLIGHT, "send: %d", r);
    if (r == GNP_INFLIGHT) {
        ck_assert(gnp_poller_caps(t->p) & GNP_CAP_INFLIGHT);
        ck_assert_int_eq(gnp_detach(t->p, s), GNP_EBUSY);
        return n;
    }
    *sent += some;
    return 0;
}

/* Clause 8: one SENT for each send in flight, and every byte arrives once. */
START_TEST(sends_in_flight_are_told)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, got = 0;
    const uint64_t total = scaled(4u << 20, 1u << 20);
    size_t flying = 0;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_want(t.q, &peer, GNP_READ), GNP_OK);
    for (uint64_t limit = gnp_now() + 20 * PATIENCE; got < total;) {
        ck_assert_msg(gnp_now() < limit, "%llu of %llu came", (unsigned long long)got,
                      (unsigned long long)total);
        if (flying == 0 && sent < total)
            flying = send_pinned(&t, &s, &sent, total);
        step(&t, ROUND, gnp_now() + 1000000);
        for (int i = 0; i < t.n; i++) {
            if (t.ev[i].sock != &s || (t.ev[i].what & GNP_EV_SENT) == 0)
                continue;
            ck_assert_uint_ne(flying, 0);
            ck_assert_int_eq(t.ev[i].status, GNP_OK);
            ck_assert_uint_le(t.ev[i].bytes, flying);
            sent += t.ev[i].bytes;
            flying = 0;
        }
        peer_take(&t, &peer, &got);
    }
    while (flying != 0) {
        await(&t, &s, GNP_EV_SENT);
        sent += event_of(&t, &s)->bytes;
        flying = 0;
    }
    ck_assert_uint_eq(sent, total);
    quiet(&t, &s, GNP_EV_SENT);
    ck_assert_int_eq(gnp_close(t.p, &s, 0), GNP_OK);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Nobody reads, and then it is closed: the memory is free at once, or with the one CLOSED. */
START_TEST(close_ends_what_is_in_flight)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0;
    size_t flying = 0;
    int r;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    for (int tries = 0; tries < 200 && flying == 0; tries++)
        flying = send_pinned(&t, &s, &sent, UINT64_MAX);
    r = gnp_close(t.p, &s, 1);
    ck_assert(r == GNP_OK || (r == GNP_INFLIGHT && flying != 0));
    if (r == GNP_INFLIGHT) {
        await(&t, &s, GNP_EV_CLOSED);
        ck_assert_uint_eq(event_of(&t, &s)->what, GNP_EV_CLOSED);
    }
    memset(block, 0, sizeof(block));
    quiet(&t, &s, ~0u);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

Suite *suite_write(void)
{
    Suite *s = suite_create("write");

    ADD_STREAM_TEST(s, writable_follows_a_short_send);
    ADD_STREAM_TEST(s, writable_is_repeated);
    ADD_STREAM_TEST(s, writable_follows_again);
    ADD_STREAM_TEST(s, both_ways_at_once);
    ADD_STREAM_TEST(s, more_spans_than_one_call_takes);
    ADD_STREAM_TEST(s, spans_beyond_the_buffer);
    ADD_STREAM_TEST(s, send_more_flag_delivers);
    ADD_STREAM_TEST(s, sending_to_nobody_fails);
    ADD_STREAM_TEST(s, sends_in_flight_are_told);
    ADD_STREAM_TEST(s, close_ends_what_is_in_flight);
    return s;
}
