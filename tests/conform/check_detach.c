/* SPDX-License-Identifier: MIT */
/* gnp_detach: a socket goes from one poller to another, and neither it nor the pollers notice. */
#include "conform.h"

/* The socket under test starts on t.p and ends on to.p, a second poller of the same kind. */
static void open_both(subject *t, subject *to, int i, const gnp_poller_config *config)
{
    subject_open_stream(t, i, config);
    subject_open_poller(to, i, config);
}

static void close_both(subject *t, subject *to)
{
    subject_close(to);
    subject_close(t);
}

/* Moves *from to *copy, on to; what *from was is spoilt. */
static void move(subject *t, gnp_sock *from, subject *to, gnp_sock *copy, unsigned interest)
{
    ck_assert_int_eq(gnp_detach(t->p, from), GNP_OK);
    *copy = *from;
    memset(from, 0xdd, sizeof(*from));
    ck_assert_int_eq(gnp_attach(to->p, copy, interest), GNP_OK);
}

static void end(subject *t, subject *on, gnp_sock *s, gnp_sock *peer)
{
    ck_assert_int_eq(gnp_close(on->p, s, 0), GNP_OK);
    peer_close(t, peer, 0);
}

START_TEST(unread_bytes_go_along)
{
    subject t, to;
    gnp_sock s, copy, peer;
    gnp_event *e;
    uint64_t offset = 0;

    open_both(&t, &to, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &offset, 1000);
    await(&t, &s, GNP_EV_READABLE);
    e = event_of(&t, &s);
    move(&t, &s, &to, &copy, GNP_READ);
    ck_assert(e->what == 0 && e->sock == NULL);
    peer_fill(&t, &peer, &offset, 500);
    offset = 0;
    expect(&to, &copy, &offset, 1500);
    quiet(&t, NULL, ~0u);
    quiet(&to, NULL, ~0u);
    peer_send(&t, &peer, "", 1);
    await(&to, &copy, GNP_EV_READABLE);
    quiet(&t, NULL, ~0u);
    end(&t, &to, &copy, &peer);
    close_both(&t, &to);
}
END_TEST

/* Reads on until *offset is not below least; what has come decides how far beyond. */
static void read_past(subject *t, gnp_sock *s, uint64_t *offset, uint64_t least)
{
    while (*offset < least) {
        const void *data;
        size_t n;
        await(t, s, GNP_EV_READABLE);
        if (gnp_recv(t->p, s, &data, &n) != GNP_OK)
            continue;
        ck_assert(stream_matches(data, *offset, n));
        *offset += n;
        gnp_recv_done(t->p, s);
    }
}

/* With a read buffer of 7 bytes every receive leaves something behind. */
START_TEST(half_read_stream_goes_along)
{
    gnp_poller_config c = { .read_buffer = 7 };
    subject t, to;
    gnp_sock at[2], peer;
    uint64_t sent = 0, got = 0;
    int turn;

    open_both(&t, &to, _i, &c);
    pair(&t, &at[0], &peer, GNP_READ);
    for (turn = 0; turn < 20; turn++) {
        subject *here = turn % 2 == 0 ? &t : &to, *there = turn % 2 == 0 ? &to : &t;
        ck_assert_uint_eq(peer_fill(&t, &peer, &sent, 30), 30);
        read_past(here, &at[turn % 2], &got, got + 14);
        move(here, &at[turn % 2], there, &at[1 - turn % 2], GNP_READ);
        read_past(there, &at[1 - turn % 2], &got, got + 1);
    }
    expect(&t, &at[0], &got, (size_t)(sent - got));
    quiet(&t, &at[0], ~0u);
    end(&t, &t, &at[0], &peer);
    close_both(&t, &to);
}
END_TEST

/* To the poller where it is already: in one round, and with its event still in the array. */
START_TEST(back_to_the_same_poller)
{
    subject t, to;
    gnp_sock s, copy, peer;
    uint64_t offset = 0;

    open_both(&t, &to, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_fill(&t, &peer, &offset, 10);
    await(&t, &s, GNP_EV_READABLE);
    move(&t, &s, &t, &copy, 0);
    quiet(&t, NULL, ~0u);
    ck_assert_int_eq(gnp_want(t.p, &copy, GNP_READ), GNP_OK);
    offset = 0;
    expect(&t, &copy, &offset, 10);
    end(&t, &t, &copy, &peer);
    close_both(&t, &to);
}
END_TEST

/* Sends until there is no room. */
static size_t fill_up(subject *t, gnp_sock *s)
{
    static unsigned char buf[65536];
    uint64_t offset = 0;
    int r;

    do {
        size_t sent = 0;
        gnp_iov v = { buf, sizeof(buf) };
        stream_fill(buf, offset, sizeof(buf));
        r = gnp_send(t->p, s, &v, 1, 0, &sent);
        offset += sent;
        ck_assert(r == GNP_OK || r == GNP_AGAIN);
    } while (r == GNP_OK);
    return (size_t)offset;
}

START_TEST(owed_writable_goes_along)
{
    subject t, to;
    gnp_sock s, copy, peer;
    uint64_t offset;
    size_t n;
    int early;

    open_both(&t, &to, _i, NULL);
    for (early = 0; early < 2; early++) {
        pair(&t, &s, &peer, 0);
        n = fill_up(&t, &s);
        offset = 0;
        if (early) { /* the room comes while it is nowhere */
            ck_assert_int_eq(gnp_detach(t.p, &s), GNP_OK);
            peer_expect(&t, &peer, &offset, n);
            copy = s;
            ck_assert_int_eq(gnp_attach(to.p, &copy, 0), GNP_OK);
        } else {
            move(&t, &s, &to, &copy, 0);
            quiet(&to, NULL, ~0u);
            peer_expect(&t, &peer, &offset, n);
        }
        await(&to, &copy, GNP_EV_WRITABLE);
        quiet(&t, NULL, ~0u);
        end(&t, &to, &copy, &peer);
    }
    close_both(&t, &to);
}
END_TEST

/* Clause 5 across pollers. */
START_TEST(the_end_is_told_once)
{
    subject t, to;
    gnp_sock s, copy, peer;
    size_t n;

    open_both(&t, &to, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_shutdown(t.q, &peer), GNP_OK);
    ck_assert_int_eq(drain(&t, &s, &n), GNP_EOF);
    move(&t, &s, &to, &copy, GNP_READ);
    quiet(&to, NULL, ~0u);
    end(&t, &to, &copy, &peer);

    pair(&t, &s, &peer, GNP_READ); /* and one that was not told comes */
    peer_send(&t, &peer, "ab", 2);
    ck_assert_int_eq(gnp_shutdown(t.q, &peer), GNP_OK);
    await(&t, &s, GNP_EV_READABLE);
    move(&t, &s, &to, &copy, GNP_READ);
    ck_assert_int_eq(drain(&to, &copy, &n), GNP_EOF);
    ck_assert_uint_eq(n, 2);
    end(&t, &to, &copy, &peer);
    close_both(&t, &to);
}
END_TEST

/* Waits for QUIET; how many HANGUPs came.  Nothing else may, nor may the poller spin. */
static int hangups(subject *t)
{
    uint64_t limit = gnp_now() + QUIET;
    int waits = 0, n = 0, i;

    while (gnp_now() < limit) {
        step(t, ROUND, limit);
        for (i = 0; i < t->n; i++) {
            ck_assert_uint_eq(t->ev[i].what, GNP_EV_HANGUP);
            n++;
        }
        ck_assert_int_le(++waits, 4);
    }
    return n;
}

/* Clause 10 across pollers. */
START_TEST(a_hangup_is_told_once)
{
    subject t, to;
    gnp_sock s, copy, peer;
    int told;

    open_both(&t, &to, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ck_assert_int_eq(gnp_want(t.p, &s, 0), GNP_OK);
    peer_close(&t, &peer, 1);
    told = hangups(&t);
    move(&t, &s, &to, &copy, 0);
    ck_assert_int_le(told + hangups(&to), 1);
    gnp_close(to.p, &copy, 0);
    close_both(&t, &to);
}
END_TEST

START_TEST(not_while_it_connects)
{
    gnp_sock_opts o = { .v6only = -1 };
    subject t, to;
    gnp_sock s, copy, peer;
    uint64_t offset = 0, back = 0;
    int r;

    open_both(&t, &to, _i, NULL);
    r = gnp_connect(t.p, &s, GNP_STREAM, &t.addr, NULL, &o);
    if (r == GNP_INFLIGHT) { /* as a rule on TCP */
        ck_assert_int_eq(gnp_detach(t.p, &s), GNP_EBUSY);
        await(&t, &s, GNP_EV_WRITABLE); /* still attached, and tells its end */
        r = gnp_connect_end(t.p, &s);
    }
    ck_assert_int_eq(r, GNP_OK);
    accept_only(&t, &peer);
    ck_assert_int_eq(gnp_attach(t.q, &peer, 0), GNP_OK);
    move(&t, &s, &to, &copy, GNP_READ);
    peer_fill(&t, &peer, &offset, 100);
    expect(&to, &copy, &back, 100);
    end(&t, &to, &copy, &peer);
    close_both(&t, &to);
}
END_TEST

START_TEST(listener_with_its_queue)
{
    subject t, to;
    gnp_sock l, s, peer[2];
    int i;

    open_both(&t, &to, _i, NULL);
    peer_connect(&t, &peer[0]);
    await(&t, &t.listener, GNP_EV_READABLE);
    move(&t, &t.listener, &to, &l, GNP_READ);
    t.listening = 0;
    peer_connect(&t, &peer[1]);
    for (i = 0; i < 2; i++) {
        await(&to, &l, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_accept(to.p, &l, &s, NULL), GNP_OK);
        gnp_sock_close(&s, 0);
        peer_close(&t, &peer[i], 0);
    }
    ck_assert_int_eq(gnp_accept(to.p, &l, &s, NULL), GNP_AGAIN);
    ck_assert_int_eq(gnp_close(to.p, &l, 0), GNP_OK);
    gnp_unlink_bound(&t.addr, &t.bound);
    close_both(&t, &to);
}
END_TEST

#define DGRAMS 5

/* Takes datagrams until there is none, or only the next one; each must be the next in order. */
static void take(subject *t, gnp_sock *s, unsigned *next, int only)
{
    gnp_dgram d;

    while (gnp_recvfrom(t->p, s, &d) == GNP_OK) {
        ck_assert_uint_eq(d.len, 1);
        ck_assert_uint_eq(*(const unsigned char *)d.data, *next);
        ++*next;
        gnp_recv_done(t->p, s);
        if (only)
            return;
    }
}

/* Datagrams that the poller has received in one go stay with it: they are taken first. */
START_TEST(datagrams_go_along)
{
    gnp_sock_opts o = { .v6only = -1 };
    subject t, to;
    gnp_sock s, copy, from;
    gnp_addr a;
    gnp_dgram_out out;
    unsigned char byte;
    unsigned sent, next = 0;

    subject_open_poller(&t, _i, NULL);
    subject_open_poller(&to, _i, NULL);
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&from, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s, &a), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &s, GNP_READ), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.q, &from, 0), GNP_OK);
    for (byte = 0; byte < DGRAMS; byte++) {
        out = (gnp_dgram_out){ .data = &byte, .len = 1, .peer = &a };
        ck_assert_int_eq(gnp_sendto(t.q, &from, &out, 1, &sent), GNP_OK);
    }
    await(&t, &s, GNP_EV_READABLE);
    take(&t, &s, &next, 1);
    ck_assert_uint_eq(next, 1);
    if (gnp_detach(t.p, &s) == GNP_EBUSY) {
        take(&t, &s, &next, 0);
        ck_assert_uint_eq(next, DGRAMS);
        ck_assert_int_eq(gnp_detach(t.p, &s), GNP_OK);
    }
    copy = s;
    memset(&s, 0xdd, sizeof(s));
    ck_assert_int_eq(gnp_attach(to.p, &copy, GNP_READ), GNP_OK);
    out = (gnp_dgram_out){ .data = &byte, .len = 1, .peer = &a };
    ck_assert_int_eq(gnp_sendto(t.q, &from, &out, 1, &sent), GNP_OK);
    while (next < DGRAMS + 1) {
        await(&to, &copy, GNP_EV_READABLE);
        take(&to, &copy, &next, 1);
    }
    quiet(&t, NULL, ~0u);
    gnp_close(to.p, &copy, 0);
    gnp_close(t.q, &from, 0);
    subject_close(&to);
    subject_close(&t);
}
END_TEST

Suite *suite_detach(void)
{
    Suite *s = suite_create("detach");

    ADD_STREAM_TEST(s, unread_bytes_go_along);
    ADD_STREAM_TEST(s, half_read_stream_goes_along);
    ADD_STREAM_TEST(s, back_to_the_same_poller);
    ADD_STREAM_TEST(s, owed_writable_goes_along);
    ADD_STREAM_TEST(s, the_end_is_told_once);
    ADD_STREAM_TEST(s, a_hangup_is_told_once);
    ADD_STREAM_TEST(s, not_while_it_connects);
    ADD_STREAM_TEST(s, listener_with_its_queue);
    ADD_POLLER_TEST(s, datagrams_go_along);
    return s;
}
