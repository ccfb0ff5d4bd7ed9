/* SPDX-License-Identifier: MIT */
/* Clauses 3 (level at the surface, fairness), 4 (the lent span), 5 (end of stream), 10 (pause). */
#include "conform.h"

START_TEST(unread_data_is_reported_again)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &sent, 10);
    await(&t, &s, GNP_EV_READABLE);
    for (i = 0; i < 20; i++) {
        step(&t, ROUND, gnp_now() + PATIENCE);
        ck_assert_ptr_nonnull(event_of(&t, &s));
        ck_assert_uint_eq(event_of(&t, &s)->what, GNP_EV_READABLE);
    }
    expect(&t, &s, &offset, 10);
    quiet(&t, &s, ~0u);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* A small buffer: what a receive leaves in the kernel is reported at each wait. */
START_TEST(small_reads_see_all)
{
    gnp_poller_config c = { .read_buffer = 16 };
    uint64_t offset = 0, sent = 0;
    gnp_sock s, peer;
    subject t;
    int reads = 0;

    subject_open_stream(&t, _i, &c);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &sent, 1000);
    await(&t, &s, GNP_EV_READABLE);
    while (offset < 1000) {
        const void *data;
        size_t n;
        ck_assert_ptr_nonnull(event_of(&t, &s));
        ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
        ck_assert(n > 0 && n <= 16);
        ck_assert(stream_matches(data, offset, n));
        offset += n;
        reads++;
        gnp_recv_done(t.p, &s);
        if (offset < 1000)
            step(&t, ROUND, gnp_now() + PATIENCE);
    }
    ck_assert_int_ge(reads, 1000 / 16);
    quiet(&t, &s, ~0u);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* A read that exactly empties the queue fills the buffer: a hint more is allowed, a hang is not. */
START_TEST(read_of_exactly_the_buffer)
{
    gnp_poller_config c = { .read_buffer = 64 };
    uint64_t offset = 0, sent = 0;
    gnp_sock s, peer;
    subject t;
    int i;

    subject_open_stream(&t, _i, &c);
    pair(&t, &s, &peer, GNP_READ);
    for (i = 0; i < 20; i++) {
        const void *data;
        size_t n;
        peer_fill(&t, &peer, &sent, 64);
        expect(&t, &s, &offset, 64);
        ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_AGAIN);
    }
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

#define CROWD 9

/* With room for few events, all sockets that have something get their turn, also one that
 * is new while the others never run dry. */
START_TEST(no_socket_starves)
{
    subject t;
    gnp_sock s[CROWD], peer[CROWD];
    uint64_t limit;
    int cap, i, k, seen[CROWD];

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < CROWD; i++)
        pair(&t, &s[i], &peer[i], GNP_READ);
    for (i = 0; i < CROWD - 1; i++)
        peer_send(&t, &peer[i], "x", 1);
    for (cap = 1; cap <= 4; cap++) {
        memset(seen, 0, sizeof(seen));
        limit = gnp_now() + PATIENCE;
        for (k = 0; k < 8 * CROWD || (cap == 4 && seen[CROWD - 1] == 0 && gnp_now() < limit); k++) {
            step(&t, cap, gnp_now() + PATIENCE);
            for (i = 0; i < CROWD; i++)
                seen[i] += event_of(&t, &s[i]) != NULL;
            if (k == CROWD && cap == 4)
                peer_send(&t, &peer[CROWD - 1], "y", 1);
        }
        for (i = 0; i < CROWD - 1; i++)
            ck_assert_msg(seen[i] >= 2, "room for %d: socket %d came %d times", cap, i, seen[i]);
        ck_assert_int_eq(seen[CROWD - 1] > 0, cap == 4);
    }
    gnp_wake(t.p);
    for (k = 0, i = 0; k < 8 * CROWD && i == 0; k++) {
        step(&t, 1, gnp_now() + PATIENCE);
        i = t.n == 1 && t.ev[0].what == GNP_EV_WOKEN;
    }
    ck_assert_msg(i == 1, "the wake starved");
    for (i = 0; i < CROWD; i++) {
        gnp_close(t.p, &s[i], 0);
        peer_close(&t, &peer[i], 0);
    }
    subject_close(&t);
}
END_TEST

START_TEST(lent_span_stays)
{
    subject t;
    gnp_sock s, peer, other, other_peer, third, third_peer;
    uint64_t sent = 0;
    unsigned char copy[4096];
    const void *data;
    gnp_iov v = { "hello", 5 };
    size_t n, m;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    pair(&t, &other, &other_peer, GNP_READ);
    pair(&t, &third, &third_peer, GNP_READ);
    peer_fill(&t, &peer, &sent, sizeof(copy));
    peer_send(&t, &other_peer, "zzzzzzzz", 8);
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
    ck_assert_uint_le(n, sizeof(copy));
    memcpy(copy, data, n);
    ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, 0, &m), GNP_OK);
    ck_assert_int_eq(gnp_send(t.p, &other, &v, 1, 0, &m), GNP_OK);
    ck_assert_int_eq(gnp_want(t.p, &other, 0), GNP_OK);
    ck_assert_int_eq(gnp_close(t.p, &third, 0), GNP_OK);
    ck_assert_int_eq(gnp_shutdown(t.p, &s), GNP_OK);
    gnp_wake(t.p);
    peer_send(&t, &peer, "zzzzzzzz", 8);
    ck_assert(memcmp(copy, data, n) == 0);
    ck_assert(stream_matches(data, 0, n));
    gnp_recv_done(t.p, &s);
    gnp_close(t.p, &s, 0);
    gnp_close(t.p, &other, 0);
    peer_close(&t, &peer, 0);
    peer_close(&t, &other_peer, 0);
    peer_close(&t, &third_peer, 0);
    subject_close(&t);
}
END_TEST

static void end_after(subject *t, size_t bytes, int before_attach)
{
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    const void *data;
    size_t n;
    int r;

    if (before_attach) { /* all of it, and the end, is there when the socket comes to the poller */
        peer_connect(t, &peer);
        ck_assert_uint_eq(peer_fill(t, &peer, &sent, bytes), bytes);
        peer_close(t, &peer, 0);
        accept_only(t, &s);
        ck_assert_int_eq(gnp_attach(t->p, &s, GNP_READ), GNP_OK);
    } else {
        pair(t, &s, &peer, GNP_READ);
        ck_assert_uint_eq(peer_fill(t, &peer, &sent, bytes), bytes);
        peer_close(t, &peer, 0);
    }
    expect(t, &s, &offset, bytes);
    do {
        await(t, &s, GNP_EV_READABLE);
        r = gnp_recv(t->p, &s, &data, &n);
    } while (r == GNP_AGAIN);
    ck_assert_int_eq(r, GNP_EOF);
    quiet(t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_want(t->p, &s, 0), GNP_OK);
    ck_assert_int_eq(gnp_want(t->p, &s, GNP_READ), GNP_OK); /* the end stays told */
    quiet(t, &s, GNP_EV_READABLE);
    gnp_close(t->p, &s, 0);
}

START_TEST(end_comes_once_after_all_data)
{
    gnp_poller_config c = { .read_buffer = 128 };
    subject t;

    subject_open_stream(&t, _i, NULL);
    end_after(&t, 0, 0);
    end_after(&t, 1, 0);
    end_after(&t, 1, 1);
    end_after(&t, 20000, 0);
    end_after(&t, 20000, 1);
    subject_close(&t);
    subject_open_stream(&t, _i, &c);
    end_after(&t, 127, 1);
    end_after(&t, 128, 1);
    end_after(&t, 128, 0);
    end_after(&t, 1280, 1);
    end_after(&t, 1290, 0);
    subject_close(&t);
}
END_TEST

/* Data, a receive that comes back short, and only then the end. */
START_TEST(end_after_a_short_read)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    size_t total;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &sent, 100);
    expect(&t, &s, &offset, 100);
    quiet(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_shutdown(t.q, &peer), GNP_OK);
    ck_assert_int_eq(drain(&t, &s, &total), GNP_EOF);
    ck_assert_uint_eq(total, 0);
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* After the peer's end we still can send, and it does not spin; nor after our own end. */
START_TEST(half_close)
{
    subject t;
    gnp_sock s, peer;
    uint64_t got = 0;
    unsigned char buf[1000];
    gnp_iov v = { buf, sizeof(buf) };
    size_t total;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_shutdown(t.q, &peer), GNP_OK);
    ck_assert_int_eq(drain(&t, &s, &total), GNP_EOF);
    stream_fill(buf, 0, sizeof(buf));
    ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, 0, &total), GNP_OK);
    ck_assert_uint_eq(total, sizeof(buf));
    peer_expect(&t, &peer, &got, sizeof(buf));
    quiet(&t, &s, GNP_EV_READABLE | GNP_EV_WRITABLE);
    ck_assert_int_eq(gnp_shutdown(t.p, &s), GNP_OK); /* now it is a full hang-up */
    quiet(&t, &s, GNP_EV_READABLE | GNP_EV_WRITABLE);
    quiet(&t, &s, ~0u);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Our end first: reading goes on until the peer's. */
START_TEST(reading_after_our_end)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    size_t total;

    subject_open_stream(&t, _i, NULL);
    pair_dialed(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_shutdown(t.p, &s), GNP_OK);
    quiet(&t, &s, GNP_EV_READABLE);
    peer_fill(&t, &peer, &sent, 5000);
    expect(&t, &s, &offset, 5000);
    peer_close(&t, &peer, 0);
    ck_assert_int_eq(drain(&t, &s, &total), GNP_EOF);
    quiet(&t, &s, GNP_EV_READABLE | GNP_EV_WRITABLE);
    gnp_close(t.p, &s, 0);
    subject_close(&t);
}
END_TEST

START_TEST(reset_is_told)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0;
    size_t total;
    int r;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &sent, 100);
    peer_close(&t, &peer, 1);
    r = drain(&t, &s, &total);
    ck_assert_uint_le(total, 100);
    if (t.tp == UNIX_STREAM) /* has no reset, except for what the peer left unread */
        ck_assert_msg(r == GNP_EOF || r == GNP_ECONNRESET, "%d", r);
    else
        ck_assert_int_eq(r, GNP_ECONNRESET);
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    subject_close(&t);
}
END_TEST

/* A pause holds whether it begins before the data or after; the peer is held up; nothing is lost. */
START_TEST(pause_really_stops)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    const void *data;
    size_t took, n;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_want(t.p, &s, 0), GNP_OK);
    took = peer_fill(&t, &peer, &sent, 64u << 20);
    ck_assert_uint_lt(took, 64u << 20);
    quiet(&t, &s, ~0u);
    ck_assert_uint_lt(peer_fill(&t, &peer, &sent, 64u << 20), 8u << 20); /* nobody has read */
    ck_assert_int_eq(gnp_want(t.p, &s, GNP_READ), GNP_OK);
    while (offset < sent) {
        int r;
        await(&t, &s, GNP_EV_READABLE);
        r = gnp_recv(t.p, &s, &data, &n);
        if (r == GNP_AGAIN)
            continue;
        ck_assert_int_eq(r, GNP_OK);
        ck_assert(stream_matches(data, offset, n));
        offset += n;
        gnp_recv_done(t.p, &s);
    }
    ck_assert_uint_eq(offset, sent);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_AGAIN); /* a full last read leaves a hint */
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* While data waits: on and off and on again. */
START_TEST(pause_with_data_waiting)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    for (i = 0; i < 5; i++) {
        peer_fill(&t, &peer, &sent, 100);
        await(&t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_want(t.p, &s, 0), GNP_OK);
        quiet(&t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_want(t.p, &s, GNP_READ), GNP_OK);
        expect(&t, &s, &offset, 100);
    }
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Whatever befalls a paused socket, its poller rests; and when it reads again it is told all. */
static void paused_end(int i, int reset, int ours_first)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0;
    size_t total;
    int r, hangups = 0, waits = 0;
    uint64_t end;

    subject_open_stream(&t, i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_want(t.p, &s, 0), GNP_OK);
    if (ours_first)
        ck_assert_int_eq(gnp_shutdown(t.p, &s), GNP_OK);
    peer_fill(&t, &peer, &sent, 100);
    peer_close(&t, &peer, reset);
    for (end = gnp_now() + QUIET; gnp_now() < end; waits++) {
        step(&t, ROUND, end);
        if (event_of(&t, &s) != NULL) {
            ck_assert_uint_eq(event_of(&t, &s)->what, GNP_EV_HANGUP);
            hangups++;
        }
    }
    ck_assert_int_le(hangups, 1);
    ck_assert_int_le(waits, 4);
    ck_assert_int_eq(gnp_want(t.p, &s, GNP_READ), GNP_OK);
    r = drain(&t, &s, &total);
    if (reset && t.tp != UNIX_STREAM) {
        ck_assert_int_eq(r, GNP_ECONNRESET);
    } else {
        ck_assert_int_eq(r, GNP_EOF);
        ck_assert_uint_eq(total, 100);
    }
    quiet(&t, &s, GNP_EV_READABLE);
    gnp_close(t.p, &s, 0);
    subject_close(&t);
}

START_TEST(paused_and_closed)
{
    paused_end(_i, 0, 0);
}
END_TEST

START_TEST(paused_and_reset)
{
    paused_end(_i, 1, 0);
}
END_TEST

START_TEST(paused_and_hung_up)
{
    paused_end(_i, 0, 1);
}
END_TEST

/* A socket that starts with interest 0 is told nothing until it asks. */
START_TEST(attached_without_interest)
{
    subject t;
    gnp_sock s, peer;
    uint64_t offset = 0, sent = 0;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    peer_fill(&t, &peer, &sent, 300);
    quiet(&t, &s, ~0u);
    ck_assert_int_eq(gnp_want(t.p, &s, GNP_READ), GNP_OK);
    expect(&t, &s, &offset, 300);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

Suite *suite_read(void)
{
    Suite *s = suite_create("read");

    ADD_STREAM_TEST(s, unread_data_is_reported_again);
    ADD_STREAM_TEST(s, small_reads_see_all);
    ADD_STREAM_TEST(s, read_of_exactly_the_buffer);
    ADD_STREAM_TEST(s, no_socket_starves);
    ADD_STREAM_TEST(s, lent_span_stays);
    ADD_STREAM_TEST(s, end_comes_once_after_all_data);
    ADD_STREAM_TEST(s, end_after_a_short_read);
    ADD_STREAM_TEST(s, half_close);
    ADD_STREAM_TEST(s, reading_after_our_end);
    ADD_STREAM_TEST(s, reset_is_told);
    ADD_STREAM_TEST(s, pause_really_stops);
    ADD_STREAM_TEST(s, pause_with_data_waiting);
    ADD_STREAM_TEST(s, paused_and_closed);
    ADD_STREAM_TEST(s, paused_and_reset);
    ADD_STREAM_TEST(s, paused_and_hung_up);
    ADD_STREAM_TEST(s, attached_without_interest);
    return s;
}
