/* SPDX-License-Identifier: MIT */
/* Clause 6: what is closed is gone, and its successor inherits nothing. */
#include "conform.h"

#define GROUP 6

/* Reports all n sockets in one round; a poller may need a few rounds until it sees them all. */
static void all_in_one_round(subject *t, gnp_sock *s, int n)
{
    int tries, i, have;

    for (tries = 0; tries < 1000; tries++) {
        step(t, ROUND, gnp_now() + PATIENCE);
        for (i = have = 0; i < n; i++)
            have += event_of(t, &s[i]) != NULL;
        if (have == n)
            return;
    }
    ck_abort_msg("%d sockets with data never came in one round", n);
}

START_TEST(close_blanks_later_events)
{
    subject t;
    gnp_sock s[GROUP], peer[GROUP];
    gnp_event *e[GROUP];
    int i, k;

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < GROUP; i++)
        pair(&t, &s[i], &peer[i], GNP_READ);
    for (i = 0; i < GROUP; i++)
        peer_send(&t, &peer[i], "x", 1);
    all_in_one_round(&t, s, GROUP);
    for (i = 0; i < GROUP; i++)
        e[i] = event_of(&t, &s[i]);
    for (i = 1; i < GROUP; i += 2)
        ck_assert_int_eq(gnp_close(t.p, &s[i], i == 1), GNP_OK);
    for (i = 0; i < GROUP; i++)
        ck_assert_uint_eq(e[i]->what, i % 2 != 0 ? 0 : GNP_EV_READABLE);
    for (k = 0; k < 20; k++) {
        step(&t, ROUND, gnp_now() + PATIENCE);
        for (i = 1; i < GROUP; i += 2)
            ck_assert_ptr_null(event_of(&t, &s[i]));
    }
    for (i = 0; i < GROUP; i++) {
        if (i % 2 == 0)
            gnp_close(t.p, &s[i], 0);
        peer_close(&t, &peer[i], 0);
    }
    subject_close(&t);
}
END_TEST

/* The memory of a closed socket and the number of its descriptor are used anew in the same
 * round, while the old one had data and an event. */
START_TEST(successor_gets_nothing)
{
    subject t;
    gnp_sock s[2], peer[2], next, next_peer;
    gnp_event *e;
    uint64_t offset;
    int i, k, same = 0;

    subject_open_stream(&t, _i, NULL);
    for (k = 0; k < 20; k++) {
        intptr_t os;
        uint64_t sent = 7;
        pair(&t, &s[0], &peer[0], GNP_READ);
        pair(&t, &s[1], &peer[1], GNP_READ);
        peer_connect(&t, &next_peer); /* waits in the listener's queue */
        peer_send(&t, &peer[0], "zzzz", 4);
        peer_send(&t, &peer[1], "zzzz", 4);
        all_in_one_round(&t, s, 2);
        e = event_of(&t, &s[1]);
        os = s[1].os;
        ck_assert_int_eq(gnp_close(t.p, &s[1], 0), GNP_OK);
        ck_assert_uint_eq(e->what, 0);
        accept_only(&t, &next);
        same += next.os == os;
        s[1] = next;
        ck_assert_int_eq(gnp_attach(t.p, &s[1], GNP_READ), GNP_OK);
        peer_send(&t, &peer[0], "zzzz", 4);
        for (i = 0; i < 10; i++) {
            step(&t, ROUND, gnp_now() + PATIENCE);
            ck_assert_ptr_null(event_of(&t, &s[1]));
        }
        peer_fill(&t, &next_peer, &sent, 50);
        offset = 7;
        expect(&t, &s[1], &offset, 50);
        gnp_close(t.p, &s[0], 0);
        quiet(&t, &s[1], GNP_EV_READABLE);
        gnp_close(t.p, &s[1], 0);
        peer_close(&t, &peer[0], 0);
        peer_close(&t, &peer[1], 0);
        peer_close(&t, &next_peer, 0);
    }
    printf("%s: %d of 20 successors had the same descriptor\n", t.name, same);
    subject_close(&t);
}
END_TEST

/* Closed while it waits for room, while it has unread data, while it is paused, right after
 * attach, and before it ever was reported. */
START_TEST(close_in_every_state)
{
    static unsigned char big[1u << 20];
    subject t;
    gnp_sock s[5], peer[5];
    gnp_iov v = { big, sizeof(big) };
    size_t n;
    int i;

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < 5; i++)
        pair(&t, &s[i], &peer[i], i == 3 ? 0 : GNP_READ);
    while (gnp_send(t.p, &s[0], &v, 1, 0, &n) == GNP_OK && n == sizeof(big))
        ;
    peer_send(&t, &peer[1], "x", 1);
    await(&t, &s[1], GNP_EV_READABLE);
    peer_send(&t, &peer[2], "x", 1);
    await(&t, &s[2], GNP_EV_READABLE);
    gnp_want(t.p, &s[2], 0);
    peer_send(&t, &peer[3], "x", 1);
    peer_send(&t, &peer[4], "x", 1);
    for (i = 0; i < 5; i++)
        ck_assert_int_eq(gnp_close(t.p, &s[i], 0), GNP_OK);
    quiet(&t, NULL, ~0u);
    for (i = 0; i < 5; i++)
        peer_close(&t, &peer[i], 0);
    subject_close(&t);
}
END_TEST

/* What was sent before a close still arrives; after a reset the peer is told of one. */
START_TEST(close_delivers_and_reset_does_not_hang)
{
    subject t;
    gnp_sock s, peer;
    uint64_t got = 0;
    unsigned char buf[30000];
    gnp_iov v = { buf, sizeof(buf) };
    const void *data;
    size_t n;
    int r, i;

    subject_open_stream(&t, _i, NULL);
    stream_fill(buf, 0, sizeof(buf));
    for (i = 0; i < 2; i++) {
        got = 0;
        pair(&t, &s, &peer, GNP_READ);
        ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, 0, &n), GNP_OK);
        if (i == 0)
            ck_assert_int_eq(gnp_shutdown(t.p, &s), GNP_OK);
        ck_assert_int_eq(gnp_close(t.p, &s, 0), GNP_OK);
        peer_expect(&t, &peer, &got, n);
        ck_assert_int_eq(gnp_want(t.q, &peer, GNP_READ), GNP_OK);
        while ((r = gnp_recv(t.q, &peer, &data, &n)) == GNP_AGAIN)
            gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + SECOND);
        ck_assert_int_eq(r, GNP_EOF);
        peer_close(&t, &peer, 0);
    }
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_close(t.p, &s, 1), GNP_OK);
    ck_assert_int_eq(gnp_want(t.q, &peer, GNP_READ), GNP_OK);
    while ((r = gnp_recv(t.q, &peer, &data, &n)) == GNP_AGAIN)
        gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + SECOND);
    ck_assert_int_eq(r, t.tp == UNIX_STREAM ? GNP_EOF : GNP_ECONNRESET);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* Sockets come and go, always some of them with unread data or in the same round. */
START_TEST(churn)
{
    subject t;
    gnp_sock s[GROUP], peer[GROUP];
    int open[GROUP] = { 0 }, i, k;
    uint64_t x = 88172645463325252u + (uint64_t)_i;

    subject_open_stream(&t, _i, NULL);
    for (k = 0; k < (int)scaled(600, 100); k++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        i = (int)(x % GROUP);
        if (!open[i]) {
            pair(&t, &s[i], &peer[i], GNP_READ);
            open[i] = 1;
        }
        peer_send(&t, &peer[i], "abc", 3);
        step(&t, 1 + (int)(x >> 32 & 3), gnp_now() + PATIENCE);
        i = (int)((x >> 16) % GROUP);
        if (open[i]) {
            gnp_close(t.p, &s[i], (x >> 40) & 1);
            memset(&s[i], 0xdd, sizeof(s[i]));
            peer_close(&t, &peer[i], 0);
            open[i] = 0;
        }
        for (i = 0; i < t.n; i++) {
            int j = t.ev[i].sock != NULL ? (int)(t.ev[i].sock - s) : -1;
            if (t.ev[i].what != 0 && t.ev[i].sock != &t.listener)
                ck_assert_msg(j >= 0 && j < GROUP && open[j], "an event of a closed socket");
        }
    }
    for (i = 0; i < GROUP; i++) {
        if (!open[i])
            continue;
        gnp_close(t.p, &s[i], 0);
        peer_close(&t, &peer[i], 0);
    }
    subject_close(&t);
}
END_TEST

Suite *suite_close(void)
{
    Suite *s = suite_create("close");

    ADD_STREAM_TEST(s, close_blanks_later_events);
    ADD_STREAM_TEST(s, successor_gets_nothing);
    ADD_STREAM_TEST(s, close_in_every_state);
    ADD_STREAM_TEST(s, close_delivers_and_reset_does_not_hang);
    ADD_STREAM_TEST(s, churn);
    return s;
}
