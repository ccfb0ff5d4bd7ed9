/* SPDX-License-Identifier: MIT */
#include "conform.h"

/* A datagram socket on p and one on q, on the loopback of a family. */
typedef struct dgrams {
    subject t;
    gnp_sock s, other;
    gnp_addr addr, other_addr;
} dgrams;

static void open_socket(gnp_sock *s, gnp_addr *a, const char *ip)
{
    gnp_sock_opts o = { .v6only = -1, .rcvbuf = 1u << 20 };

    ip_addr(a, ip, 0);
    ck_assert_int_eq(gnp_dgram_open(s, a, &o), GNP_OK);
    ck_assert_int_eq(s->kind, GNP_DGRAM);
    ck_assert_int_eq(gnp_sock_local(s, a), GNP_OK);
    ck_assert_int_ne(a->port, 0);
}

static void dgrams_open_on(dgrams *d, int i, const gnp_poller_config *c, const char *ip)
{
    subject_open_poller(&d->t, i, c);
    open_socket(&d->s, &d->addr, ip);
    open_socket(&d->other, &d->other_addr, ip);
    ck_assert_int_eq(gnp_attach(d->t.p, &d->s, GNP_READ), GNP_OK);
    ck_assert_int_eq(gnp_attach(d->t.q, &d->other, 0), GNP_OK);
}

static void dgrams_open(dgrams *d, int i, const gnp_poller_config *c)
{
    dgrams_open_on(d, i, c, "127.0.0.1");
}

static void dgrams_close(dgrams *d)
{
    ck_assert_int_eq(gnp_close(d->t.p, &d->s, 0), GNP_OK);
    ck_assert_int_eq(gnp_close(d->t.q, &d->other, 0), GNP_OK);
    subject_close(&d->t);
}

/* The other sends one datagram of n bytes whose first tell its number. */
static void other_sends(dgrams *d, const gnp_addr *to, uint32_t number, size_t n)
{
    static unsigned char buf[70000];
    gnp_dgram_out out = { buf, n, to, 0 };
    unsigned sent;

    stream_fill(buf, number, n);
    if (n >= sizeof(number))
        memcpy(buf, &number, sizeof(number));
    ck_assert_int_eq(gnp_sendto(d->t.q, &d->other, &out, 1, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 1);
}

static void check_dgram(const gnp_dgram *g, uint32_t number, size_t n)
{
    ck_assert_uint_eq(g->len, n);
    ck_assert_int_eq(g->truncated, 0);
    if (n < sizeof(number))
        return;
    ck_assert(memcmp(g->data, &number, sizeof(number)) == 0);
    ck_assert(stream_matches((const char *)g->data + 4, number + 4, n - 4));
}

START_TEST(sizes_and_peer)
{
    static const size_t sizes[] = { 0, 1, 4, 100, 1472, 9000, 65507, 0, 5 };
    dgrams d;
    gnp_dgram g;
    size_t i;

    dgrams_open(&d, _i, NULL);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        other_sends(&d, &d.addr, (uint32_t)i, sizes[i]);
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        check_dgram(&g, (uint32_t)i, sizes[i]);
        ck_assert_int_eq(g.peer->family, GNP_FAMILY_IPV4);
        ck_assert_int_eq(g.peer->port, d.other_addr.port);
        ck_assert(memcmp(g.peer->u.ip, d.other_addr.u.ip, 4) == 0);
        gnp_recv_done(d.t.p, &d.s);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_AGAIN);
        quiet(&d.t, &d.s, ~0u);
    }
    dgrams_close(&d);
}
END_TEST

START_TEST(truncation_is_told)
{
    gnp_poller_config c = { .dgram_size = 100 };
    static const size_t sizes[] = { 99, 100, 101, 5000, 7 };
    dgrams d;
    gnp_dgram g;
    size_t i;

    dgrams_open(&d, _i, &c);
    for (i = 0; i < 5; i++)
        other_sends(&d, &d.addr, 3, sizes[i]);
    for (i = 0; i < 5; i++) {
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        ck_assert_int_eq(g.truncated, sizes[i] > 100);
        ck_assert_uint_eq(g.len, sizes[i] < 100 ? sizes[i] : 100);
        ck_assert(stream_matches((const char *)g.data + 4, 7, g.len - 4));
        gnp_recv_done(d.t.p, &d.s);
    }
    dgrams_close(&d);
}
END_TEST

/* Bursts of up to 200, taken one per wait or all at once, with all sizes of batches:
 * in order, none lost, none twice, and silence after the last. */
static void bursts(int i, unsigned batch, int per_wait)
{
    gnp_poller_config c = { .dgram_size = 2048, .dgram_batch = batch };
    unsigned n, k, most = scaled(200, 70), stepping = batch == 0 ? 1 : 7;
    dgrams d;

    dgrams_open(&d, i, &c);
    for (n = 1; n <= most; n += n < 70 ? stepping : 13) {
        for (k = 0; k < n; k++)
            other_sends(&d, &d.addr, k, 4 + k % 60);
        for (k = 0; k < n;) {
            int taken = 0;
            gnp_dgram g;
            step(&d.t, ROUND, gnp_now() + PATIENCE);
            ck_assert_msg(event_of(&d.t, &d.s) != NULL, "%u of %u datagrams came", k, n);
            while ((per_wait == 0 || taken < per_wait) && gnp_recvfrom(d.t.p, &d.s, &g) == GNP_OK) {
                check_dgram(&g, k, 4 + k % 60);
                gnp_recv_done(d.t.p, &d.s);
                k++;
                taken++;
            }
        }
        if (step(&d.t, ROUND, n % 32 == 0 ? gnp_now() + MS : 0) != 0) { /* one hint too many is allowed */
            gnp_dgram g;
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_AGAIN);
            ck_assert_int_eq(step(&d.t, ROUND, 0), 0);
        }
    }
    dgrams_close(&d);
}

START_TEST(bursts_taken_at_once)
{
    bursts(_i, 0, 0);
    bursts(_i, 1, 0);
    bursts(_i, 5, 0);
}
END_TEST

START_TEST(bursts_taken_one_by_one)
{
    bursts(_i, 0, 1);
    bursts(_i, 3, 1);
    bursts(_i, 8, 5);
    bursts(_i, 2000, 3);
}
END_TEST

#define SOCKETS 5

/* Several sockets of one poller, each left with datagrams while others are read. */
START_TEST(several_sockets)
{
    gnp_poller_config c = { .dgram_size = 2048, .dgram_batch = 8 };
    gnp_sock s[SOCKETS];
    gnp_addr a[SOCKETS];
    uint32_t next[SOCKETS] = { 0 }, k;
    int i, left = SOCKETS * 30;
    dgrams d;

    dgrams_open(&d, _i, &c);
    for (i = 0; i < SOCKETS; i++) {
        open_socket(&s[i], &a[i], "127.0.0.1");
        ck_assert_int_eq(gnp_attach(d.t.p, &s[i], GNP_READ), GNP_OK);
    }
    for (k = 0; k < 30; k++) {
        for (i = 0; i < SOCKETS; i++)
            other_sends(&d, &a[i], k + 1000 * (uint32_t)i, 50);
    }
    while (left > 0) {
        ck_assert_int_gt(step(&d.t, 1 + left % 3, gnp_now() + PATIENCE), 0);
        for (i = 0; i < SOCKETS; i++) {
            gnp_dgram g;
            if (event_of(&d.t, &s[i]) == NULL || gnp_recvfrom(d.t.p, &s[i], &g) != GNP_OK)
                continue;
            check_dgram(&g, next[i]++ + 1000 * (uint32_t)i, 50);
            gnp_recv_done(d.t.p, &s[i]);
            left--;
        }
    }
    quiet(&d.t, NULL, ~0u);
    for (i = 0; i < SOCKETS; i++)
        gnp_close(d.t.p, &s[i], 0);
    dgrams_close(&d);
}
END_TEST

/* A pause holds back also those that the poller has in hand already; a close drops them. */
START_TEST(pause_and_close_with_datagrams_in_hand)
{
    gnp_poller_config c = { .dgram_size = 2048, .dgram_batch = 16 };
    gnp_sock s;
    gnp_addr a;
    gnp_dgram g;
    uint32_t k;
    dgrams d;

    dgrams_open(&d, _i, &c);
    for (k = 0; k < 10; k++)
        other_sends(&d, &d.addr, k, 20);
    for (k = 0; k < 10; k++) {
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        check_dgram(&g, k, 20);
        gnp_recv_done(d.t.p, &d.s);
        if (k % 4 != 0)
            continue;
        ck_assert_int_eq(gnp_want(d.t.p, &d.s, 0), GNP_OK);
        quiet(&d.t, &d.s, ~0u);
        ck_assert_int_eq(gnp_want(d.t.p, &d.s, GNP_READ), GNP_OK);
    }
    quiet(&d.t, &d.s, ~0u);

    open_socket(&s, &a, "127.0.0.1");
    ck_assert_int_eq(gnp_attach(d.t.p, &s, GNP_READ), GNP_OK);
    for (k = 0; k < 10; k++)
        other_sends(&d, &a, 77, 20);
    await(&d.t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recvfrom(d.t.p, &s, &g), GNP_OK);
    gnp_recv_done(d.t.p, &s);
    step(&d.t, ROUND, 0);
    ck_assert_int_eq(gnp_close(d.t.p, &s, 0), GNP_OK);
    other_sends(&d, &d.addr, 5, 20);
    await(&d.t, &d.s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
    check_dgram(&g, 5, 20);
    gnp_recv_done(d.t.p, &d.s);
    quiet(&d.t, NULL, ~0u);
    dgrams_close(&d);
}
END_TEST

/* The answer goes to the lent address while the datagram is still lent. */
START_TEST(answers_go_to_the_sender)
{
    dgrams d;
    gnp_dgram g, back;
    uint32_t k;

    dgrams_open(&d, _i, NULL);
    ck_assert_int_eq(gnp_want(d.t.q, &d.other, GNP_READ), GNP_OK);
    for (k = 0; k < 5; k++)
        other_sends(&d, &d.addr, k, 100);
    for (k = 0; k < 5; k++) {
        gnp_dgram_out out;
        unsigned sent;
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        out = (gnp_dgram_out){ g.data, g.len, g.peer, 0 };
        ck_assert_int_eq(gnp_sendto(d.t.p, &d.s, &out, 1, &sent), GNP_OK);
        gnp_recv_done(d.t.p, &d.s);
    }
    for (k = 0; k < 5; k++) {
        int r;
        while ((r = gnp_recvfrom(d.t.q, &d.other, &back)) == GNP_AGAIN)
            ck_assert_int_ge(gnp_poller_wait(d.t.q, d.t.qev, ROUND, gnp_now() + PATIENCE), 0);
        ck_assert_int_eq(r, GNP_OK);
        check_dgram(&back, k, 100);
        ck_assert_int_eq(back.peer->port, d.addr.port);
        gnp_recv_done(d.t.q, &d.other);
    }
    dgrams_close(&d);
}
END_TEST

#define BURST 200

/* Many in one call, with one in the middle that cannot leave: *sent tells which. */
START_TEST(sending_many_and_skipping_the_bad)
{
    static unsigned char huge[70000];
    gnp_dgram_out out[BURST];
    uint32_t numbers[BURST];
    dgrams d;
    gnp_dgram g;
    unsigned sent, i;
    int r;

    dgrams_open(&d, _i, NULL);
    ck_assert_int_eq(gnp_want(d.t.q, &d.other, GNP_READ), GNP_OK);
    for (i = 0; i < BURST; i++) {
        numbers[i] = i;
        out[i] = (gnp_dgram_out){ &numbers[i], 4, &d.other_addr, 0 };
    }
    out[100].data = huge;
    out[100].len = sizeof(huge);
    ck_assert_int_eq(gnp_sendto(d.t.p, &d.s, out, BURST, &sent), GNP_EMSGSIZE);
    ck_assert_uint_eq(sent, 100);
    ck_assert_int_ne(gnp_os_error(), 0);
    ck_assert_int_eq(gnp_sendto(d.t.p, &d.s, out + 101, BURST - 101, &sent), GNP_OK);
    ck_assert_uint_eq(sent, BURST - 101);
    ck_assert_int_eq(gnp_sendto(d.t.p, &d.s, out + 100, 1, &sent), GNP_EMSGSIZE);
    ck_assert_uint_eq(sent, 0);
    for (i = 0; i < BURST; i++) {
        if (i == 100)
            continue;
        while ((r = gnp_recvfrom(d.t.q, &d.other, &g)) == GNP_AGAIN)
            ck_assert_int_gt(gnp_poller_wait(d.t.q, d.t.qev, ROUND, gnp_now() + PATIENCE), 0);
        ck_assert_int_eq(r, GNP_OK);
        ck_assert(g.len == 4 && memcmp(g.data, &i, 4) == 0);
        gnp_recv_done(d.t.q, &d.other);
    }
    dgrams_close(&d);
}
END_TEST

/* Connects c to a port that refuses.  Another program may take a port that was just free, so
 * each one is tried. */
static void connect_to_nobody(dgrams *d, gnp_sock *c)
{
    gnp_dgram_out out = { "hello", 5, NULL, 0 };
    int tries;

    for (tries = 0; tries < 20; tries++) {
        gnp_sock gone;
        gnp_addr a;
        gnp_dgram g;
        unsigned sent;
        open_socket(&gone, &a, "127.0.0.1");
        gnp_sock_close(&gone, 0);
        ck_assert_int_eq(gnp_connect(d->t.p, c, GNP_DGRAM, &a, NULL, NULL), GNP_OK);
        ck_assert_int_eq(gnp_want(d->t.p, c, GNP_READ), GNP_OK);
        ck_assert_int_eq(gnp_sendto(d->t.p, c, &out, 1, &sent), GNP_OK);
        step(&d->t, ROUND, gnp_now() + SECOND / 2);
        if (event_of(&d->t, c) != NULL && gnp_recvfrom(d->t.p, c, &g) == GNP_ECONNREFUSED)
            return;
        gnp_close(d->t.p, c, 0);
    }
    ck_abort_msg("no port refuses");
}

/* A connected socket: no address when sending, and the port's refusal comes as an error that
 * neither spins nor breaks anything. */
START_TEST(refused_by_icmp)
{
    gnp_dgram_out out = { "hello", 5, NULL, 0 };
    dgrams d;
    gnp_sock c;
    gnp_addr a;
    gnp_dgram g;
    unsigned sent;
    int r, i;

    dgrams_open(&d, _i, NULL);
    connect_to_nobody(&d, &c);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(gnp_want(d.t.p, &c, i == 1 ? 0 : GNP_READ), GNP_OK);
        r = gnp_sendto(d.t.p, &c, &out, 1, &sent);
        ck_assert_msg(r == GNP_OK || r == GNP_ECONNREFUSED, "sendto: %d", r);
        if (i == 1)
            quiet(&d.t, &c, GNP_EV_READABLE);
        gnp_want(d.t.p, &c, GNP_READ);
        if (r == GNP_OK) {
            await(&d.t, &c, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &c, &g), GNP_ECONNREFUSED);
        }
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &c, &g), GNP_AGAIN);
        quiet(&d.t, &c, GNP_EV_READABLE);
    }
    ck_assert_int_eq(gnp_close(d.t.p, &c, 0), GNP_OK);

    /* To somebody who is there, it is a usual socket. */
    ck_assert_int_eq(gnp_connect(d.t.p, &c, GNP_DGRAM, &d.other_addr, NULL, NULL), GNP_OK);
    ck_assert_int_eq(gnp_want(d.t.p, &c, GNP_READ), GNP_OK);
    ck_assert_int_eq(gnp_sendto(d.t.p, &c, &out, 1, &sent), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&c, &a), GNP_OK);
    other_sends(&d, &a, 9, 30);
    await(&d.t, &c, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recvfrom(d.t.p, &c, &g), GNP_OK);
    check_dgram(&g, 9, 30);
    gnp_recv_done(d.t.p, &c);
    gnp_close(d.t.p, &c, 0);
    dgrams_close(&d);
}
END_TEST

START_TEST(both_families)
{
    gnp_sock_opts o = { .v6only = 0 };
    dgrams d;
    gnp_sock s;
    gnp_addr any, a;
    gnp_dgram g;
    unsigned sent;
    gnp_dgram_out out = { "to an IPv4 address", 18, NULL, 0 };

    if (!gnp_has_ipv6())
        return;
    dgrams_open_on(&d, _i, NULL, "127.0.0.1");
    ip_addr(&any, "::", 0);
    if (gnp_dgram_open(&s, &any, &o) == GNP_OK) { /* some systems have no such sockets */
        ck_assert_int_eq(gnp_attach(d.t.p, &s, GNP_READ), GNP_OK);
        ck_assert_int_eq(gnp_sock_local(&s, &a), GNP_OK);
        any.port = a.port;
        ip_addr(&a, "127.0.0.1", any.port);
        other_sends(&d, &a, 11, 40);
        await(&d.t, &s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &s, &g), GNP_OK);
        check_dgram(&g, 11, 40);
        ck_assert_int_eq(g.peer->port, d.other_addr.port);
        out.peer = g.peer;
        ck_assert_int_eq(gnp_sendto(d.t.p, &s, &out, 1, &sent), GNP_OK);
        gnp_recv_done(d.t.p, &s);
        out.peer = &d.addr;
        ck_assert_int_eq(gnp_sendto(d.t.p, &s, &out, 1, &sent), GNP_OK);
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        ck_assert_uint_eq(g.len, 18);
        gnp_recv_done(d.t.p, &d.s);
        gnp_close(d.t.p, &s, 0);
    }
    dgrams_close(&d);
}
END_TEST

START_TEST(over_ipv6)
{
    dgrams d;
    gnp_dgram g;
    uint32_t k;

    if (!gnp_has_ipv6())
        return;
    dgrams_open_on(&d, _i, NULL, "::1");
    for (k = 0; k < 40; k++)
        other_sends(&d, &d.addr, k, 4 + k);
    for (k = 0; k < 40; k++) {
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        check_dgram(&g, k, 4 + k);
        ck_assert_int_eq(g.peer->family, GNP_FAMILY_IPV6);
        ck_assert_int_eq(g.peer->port, d.other_addr.port);
        gnp_recv_done(d.t.p, &d.s);
    }
    dgrams_close(&d);
}
END_TEST

/* What a poller keeps from the datagrams of one family does not cut the addresses of another. */
START_TEST(families_take_turns)
{
    dgrams d, six;
    gnp_dgram g;
    int k, i;

    if (!gnp_has_ipv6())
        return;
    dgrams_open_on(&d, _i, NULL, "127.0.0.1");
    dgrams_open_on(&six, _i, NULL, "::1"); /* its poller stays idle; its sockets are borrowed */
    gnp_close(six.t.p, &six.s, 0);
    open_socket(&six.s, &six.addr, "::1");
    ck_assert_int_eq(gnp_attach(d.t.p, &six.s, GNP_READ), GNP_OK);
    for (k = 0; k < 3; k++) {
        for (i = 0; i < 10; i++)
            other_sends(&d, &d.addr, (uint32_t)i, 20);
        for (i = 0; i < 10; i++) {
            await(&d.t, &d.s, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
            ck_assert(memcmp(g.peer->u.ip, d.other_addr.u.ip, 4) == 0);
            gnp_recv_done(d.t.p, &d.s);
            other_sends(&six, &six.addr, (uint32_t)i, 20);
            await(&d.t, &six.s, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &six.s, &g), GNP_OK);
            ck_assert_int_eq(g.peer->family, GNP_FAMILY_IPV6);
            ck_assert_int_eq(g.peer->port, six.other_addr.port);
            ck_assert(memcmp(g.peer->u.ip, six.other_addr.u.ip, 16) == 0);
            gnp_recv_done(d.t.p, &six.s);
        }
        for (i = 0; i < 10; i++)
            other_sends(&d, &d.addr, 0, 20);
        await(&d.t, &d.s, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(d.t.p, &d.s, &g), GNP_OK);
        gnp_recv_done(d.t.p, &d.s);
        gnp_close(d.t.p, &d.s, 0); /* with the rest in hand */
        open_socket(&d.s, &d.addr, "127.0.0.1");
        ck_assert_int_eq(gnp_attach(d.t.p, &d.s, GNP_READ), GNP_OK);
        for (i = 0; i < 10; i++)
            other_sends(&six, &six.addr, (uint32_t)i, 20);
        for (i = 0; i < 10; i++) {
            await(&d.t, &six.s, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &six.s, &g), GNP_OK);
            ck_assert(memcmp(g.peer->u.ip, six.other_addr.u.ip, 16) == 0);
            gnp_recv_done(d.t.p, &six.s);
        }
    }
    gnp_close(d.t.p, &six.s, 0);
    gnp_close(six.t.q, &six.other, 0);
    subject_close(&six.t);
    dgrams_close(&d);
}
END_TEST

START_TEST(bad_destinations)
{
    dgrams d;
    gnp_addr none;
    gnp_dgram_out out[2] = { { "x", 1, NULL, 0 }, { "x", 1, NULL, 0 } };
    unsigned sent;

    dgrams_open(&d, _i, NULL);
    memset(&none, 0, sizeof(none));
    out[0].peer = &d.other_addr;
    out[1].peer = &none;
    ck_assert_int_eq(gnp_sendto(d.t.p, &d.s, out, 2, &sent), GNP_EINVAL);
    ck_assert_uint_eq(sent, 1);
    ck_assert_int_lt(gnp_sendto(d.t.p, &d.s, out + 1, 1, &sent), 0);
    out[0].peer = NULL; /* the socket has no peer */
    ck_assert_int_lt(gnp_sendto(d.t.p, &d.s, out, 1, &sent), 0);
    ck_assert_uint_eq(sent, 0);
    dgrams_close(&d);
}
END_TEST

Suite *suite_dgram(void)
{
    Suite *s = suite_create("dgram");

    ADD_POLLER_TEST(s, sizes_and_peer);
    ADD_POLLER_TEST(s, truncation_is_told);
    ADD_POLLER_TEST(s, bursts_taken_at_once);
    ADD_POLLER_TEST(s, bursts_taken_one_by_one);
    ADD_POLLER_TEST(s, several_sockets);
    ADD_POLLER_TEST(s, pause_and_close_with_datagrams_in_hand);
    ADD_POLLER_TEST(s, answers_go_to_the_sender);
    ADD_POLLER_TEST(s, sending_many_and_skipping_the_bad);
    ADD_POLLER_TEST(s, refused_by_icmp);
    ADD_POLLER_TEST(s, both_families);
    ADD_POLLER_TEST(s, over_ipv6);
    ADD_POLLER_TEST(s, families_take_turns);
    ADD_POLLER_TEST(s, bad_destinations);
    return s;
}
