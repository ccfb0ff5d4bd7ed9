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
static int connect_to_nobody(dgrams *d, gnp_sock *c)
{
    gnp_dgram_out out = { "hello", 5, NULL, 0 };
    int tries, told = 0;

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
        told += event_of(&d->t, c) != NULL;
        if (event_of(&d->t, c) != NULL && gnp_recvfrom(d->t.p, c, &g) == GNP_ECONNREFUSED)
            return 1;
        gnp_close(d->t.p, c, 0);
        if (tries == 3 && told == 0 && emulator_lacks("refused-datagrams", "refused_by_icmp"))
            return 0;
    }
    ck_abort_msg("no port refuses");
    return 0;
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
    if (!connect_to_nobody(&d, &c)) {
        dgrams_close(&d);
        return;
    }
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

/* ------------------------------------------------- where it came from and went to */

static void next_dgram(dgrams *d, gnp_dgram *g)
{
    int r;

    while ((r = gnp_recvfrom(d->t.p, &d->s, g)) == GNP_AGAIN)
        await(&d->t, &d->s, GNP_EV_READABLE);
    ck_assert_int_eq(r, GNP_OK);
}

/* One family's own addresses, on a socket for every address of them. */
static void info_of(int i, const char *any, const char *one, const char *other, size_t bytes)
{
    dgrams d;
    gnp_dgram g;
    gnp_addr to[2];
    unsigned k;

    dgrams_open_on(&d, i, NULL, any);
    ip_addr(&to[0], one, d.addr.port);
    ip_addr(&to[1], other, d.addr.port);
    other_sends(&d, &to[0], 1, 30);
    next_dgram(&d, &g);
    ck_assert_ptr_null(g.local); /* nobody asked */
    ck_assert_uint_eq(g.interface_index, 0);
    gnp_recv_done(d.t.p, &d.s);
    if (gnp_sock_set(&d.s, GNP_OPT_PACKET_INFO, 1) == GNP_ENOTSUP) {
        dgrams_close(&d);
        return;
    }
    for (k = 0; k < 50; k++)
        other_sends(&d, &to[k % 2], k, 30);
    for (k = 0; k < 50; k++) {
        next_dgram(&d, &g);
        check_dgram(&g, k, 30);
        ck_assert_ptr_nonnull(g.local);
        ck_assert_int_eq(g.local->family, d.addr.family);
        ck_assert(memcmp(g.local->u.ip, to[k % 2].u.ip, bytes) == 0);
        ck_assert_uint_eq(g.local->port, 0);
        ck_assert_uint_eq(g.interface_index, gnp_interface_index("127.0.0.1"));
        gnp_recv_done(d.t.p, &d.s);
    }
    ck_assert_int_eq(gnp_sock_set(&d.s, GNP_OPT_PACKET_INFO, 0), GNP_OK);
    other_sends(&d, &to[0], 1, 30);
    next_dgram(&d, &g);
    ck_assert_ptr_null(g.local);
    gnp_recv_done(d.t.p, &d.s);
    dgrams_close(&d);
}

START_TEST(packet_info_is_told)
{
    if (emulator_lacks("packet-info", "packet_info_is_told"))
        return;
    info_of(_i, "0.0.0.0", "127.0.0.1", "127.1.2.3", 4);
    if (gnp_has_ipv6())
        info_of(_i, "::", "::1", "::1", 16);
}
END_TEST

/* An IPv4 datagram at an IPv6 socket: the address is told in the form of its peer's. */
START_TEST(packet_info_of_the_other_family)
{
    gnp_sock_opts o = { .v6only = 0 };
    static const unsigned char mapped[16] = { [10] = 0xff, [11] = 0xff, 127, 3, 2, 1 };
    gnp_addr any, to;
    gnp_sock s;
    gnp_dgram g;
    dgrams d;

    if (!gnp_has_ipv6())
        return;
    dgrams_open(&d, _i, NULL);
    ip_addr(&any, "::", 0);
    if (gnp_dgram_open(&s, &any, &o) == GNP_OK) {
        if (gnp_sock_set(&s, GNP_OPT_PACKET_INFO, 1) == GNP_OK) {
            ck_assert_int_eq(gnp_attach(d.t.p, &s, GNP_READ), GNP_OK);
            ck_assert_int_eq(gnp_sock_local(&s, &any), GNP_OK);
            ip_addr(&to, "127.3.2.1", any.port);
            other_sends(&d, &to, 4, 40);
            await(&d.t, &s, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(d.t.p, &s, &g), GNP_OK);
            ck_assert_ptr_nonnull(g.local);
            ck_assert_int_eq(g.local->family, GNP_FAMILY_IPV6);
            ck_assert(memcmp(g.local->u.ip, mapped, 16) == 0);
            ck_assert_int_eq(g.peer->family, g.local->family);
            gnp_recv_done(d.t.p, &s);
            gnp_close(d.t.p, &s, 0);
        } else {
            gnp_sock_close(&s, 0);
        }
    }
    dgrams_close(&d);
}
END_TEST

/* ---------------------------------------------------------------- trains */

/* What has come of a train of n bytes, alone or as trains; how many datagrams that is. */
static unsigned take_train(dgrams *d, size_t n, size_t segment, int gro)
{
    size_t at = 0;
    unsigned pieces = 0, trains = 0;
    gnp_dgram g;

    while (at < n) {
        next_dgram(d, &g);
        ck_assert_int_eq(g.truncated, 0);
        ck_assert(stream_matches(g.data, at, g.len));
        if (g.segment == 0) {
            ck_assert_uint_eq(g.len, n - at < segment ? n - at : segment);
            pieces++;
        } else {
            ck_assert_int_eq(gro, 1);
            ck_assert_uint_eq(g.segment, segment);
            pieces += (unsigned)((g.len + segment - 1) / segment);
            trains += g.len > segment;
        }
        at += g.len;
        gnp_recv_done(d->t.p, &d->s);
    }
    ck_assert_uint_eq(at, n);
    if (gro && n > segment)
        ck_assert_uint_gt(trains, 0); /* the loopback hands them over as they were sent */
    return pieces;
}

/* Trains of all sizes, between lone datagrams, to a socket that wants trains and one that does not. */
static void trains(int i, const char *ip)
{
    static const size_t sizes[][2] = { { 1000, 100 }, { 1001, 100 }, { 6400, 100 }, { 64 * 1000, 1000 },
                                       { 100, 100 }, { 99, 100 }, { 101, 100 }, { 65000, 1400 } };
    static unsigned char buf[65536];
    dgrams d;
    unsigned sent;
    size_t k;
    int gro;

    stream_fill(buf, 0, sizeof(buf));
    for (gro = 0; gro <= 1; gro++) {
        dgrams_open_on(&d, i, NULL, ip);
        if (gro && gnp_sock_set(&d.s, GNP_OPT_GRO, 1) == GNP_ENOTSUP) {
            dgrams_close(&d);
            return;
        }
        for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            size_t n = sizes[k][0], segment = sizes[k][1];
            gnp_dgram_out out[3] = { { buf, 7, &d.addr, 0 },
                                     { buf, n, &d.addr, segment },
                                     { buf, 9, &d.addr, 0 } };
            int r = gnp_sendto(d.t.q, &d.other, out, 3, &sent);
            if (r == GNP_ENOTSUP) {
                ck_assert_uint_eq(sent, 1);
                ck_assert_uint_eq(k, 0); /* if the system knows trains, then any */
                dgrams_close(&d);
                return;
            }
            ck_assert_int_eq(r, GNP_OK);
            ck_assert_uint_eq(sent, 3);
            ck_assert_uint_eq(take_train(&d, 7, 7, 0), 1);
            ck_assert_uint_eq(take_train(&d, n, segment, gro), (n + segment - 1) / segment);
            ck_assert_uint_eq(take_train(&d, 9, 9, 0), 1);
            quiet(&d.t, &d.s, ~0u);
        }
        dgrams_close(&d);
    }
}

START_TEST(trains_go_out_and_come_in)
{
    if (emulator_lacks("gro", "trains_go_out_and_come_in"))
        return;
    trains(_i, "127.0.0.1");
    if (gnp_has_ipv6())
        trains(_i, "::1");
}
END_TEST

/* ---------------------------------------------------------------- groups */

/* Sends from other to the group.  0 if this system routes no groups there. */
static int group_send(dgrams *d, const gnp_addr *group, uint32_t number)
{
    gnp_dgram_out out = { &number, sizeof(number), group, 0 };
    unsigned sent;
    int r = gnp_sendto(d->t.q, &d->other, &out, 1, &sent);

    return r == GNP_OK;
}

static void expect_number(dgrams *d, uint32_t number)
{
    gnp_dgram g;

    next_dgram(d, &g);
    ck_assert_uint_eq(g.len, 4);
    ck_assert(memcmp(g.data, &number, 4) == 0);
    gnp_recv_done(d->t.p, &d->s);
}

/* The loopback, or another interface that routes groups of this family; what is sent stays on this host.
 * With a membership of d.s in the group.  0: none. */
static unsigned group_interface(dgrams *d, const gnp_addr *group)
{
    unsigned lo = gnp_interface_index("127.0.0.1"), k;

    ck_assert_uint_ne(lo, 0);
    ck_assert_int_eq(gnp_sock_set(&d->other, GNP_OPT_MULTICAST_LOOP, 1), GNP_OK);
    ck_assert_int_eq(gnp_sock_set(&d->other, GNP_OPT_MULTICAST_TTL, 0), GNP_OK);
    for (k = 0; k < 32; k++) {
        unsigned index = k == 0 ? lo : k;
        if (gnp_sock_set(&d->other, GNP_OPT_MULTICAST_IF, index) != GNP_OK ||
            gnp_sock_join(&d->s, group, index) != GNP_OK)
            continue;
        if (group_send(d, group, 0)) {
            expect_number(d, 0);
            return index;
        }
        ck_assert_int_eq(gnp_sock_leave(&d->s, group, index), GNP_OK);
    }
    printf("no interface here has groups of family %d\n", group->family);
    return 0;
}

static void groups(int i, const char *any, const char *in, const char *out)
{
    gnp_addr a, b;
    dgrams d;
    unsigned index;

    dgrams_open_on(&d, i, NULL, any);
    ip_addr(&a, in, d.addr.port);
    ip_addr(&b, out, d.addr.port);
    index = group_interface(&d, &a);
    if (index != 0) {
        ck_assert_int_eq(gnp_sock_join(&d.s, &a, index), GNP_EADDRINUSE);
        ck_assert_int_eq(gnp_sock_leave(&d.s, &b, index), GNP_EADDRNOTAVAIL);
        ck_assert(group_send(&d, &b, 2));
        quiet(&d.t, &d.s, ~0u); /* not ours */
        ck_assert_int_eq(gnp_sock_join(&d.s, &b, index), GNP_OK);
        ck_assert(group_send(&d, &b, 3));
        expect_number(&d, 3);
        ck_assert_int_eq(gnp_sock_leave(&d.s, &a, index), GNP_OK);
        ck_assert(group_send(&d, &a, 4));
        quiet(&d.t, &d.s, ~0u);
    }
    dgrams_close(&d);
}

START_TEST(groups_are_joined_and_left)
{
    if (emulator_lacks("group-filter", "groups_are_joined_and_left"))
        return;
    groups(_i, "0.0.0.0", "239.255.71.1", "239.255.71.2");
    if (gnp_has_ipv6())
        groups(_i, "::", "ff15::7101", "ff15::7102");
}
END_TEST

/* A membership is the socket's own, whatever others of this host have joined. */
START_TEST(groups_of_others_are_not_ours)
{
    gnp_addr a, b;
    gnp_sock s;
    dgrams d;
    unsigned index;

    if (emulator_lacks("group-filter", "groups_of_others_are_not_ours"))
        return;
    dgrams_open_on(&d, _i, NULL, "0.0.0.0");
    ip_addr(&a, "239.255.71.3", d.addr.port);
    ip_addr(&b, "239.255.71.4", d.addr.port);
    open_socket(&s, &(gnp_addr){ 0 }, "0.0.0.0");
    index = group_interface(&d, &a);
    if (index != 0) {
        ck_assert_int_eq(gnp_sock_join(&s, &b, index), GNP_OK);
        ck_assert(group_send(&d, &b, 5));
        quiet(&d.t, &d.s, ~0u);
    }
    gnp_sock_close(&s, 0);
    dgrams_close(&d);
}
END_TEST

/* Several sockets bind one group, and each gets all of it. */
START_TEST(a_group_is_bound_by_many)
{
    gnp_sock_opts o = { .v6only = -1, .reuseaddr = 1 };
    unsigned lo = gnp_interface_index("127.0.0.1");
    gnp_addr group;
    gnp_sock s[2];
    gnp_dgram g;
    dgrams d;
    int k;

    if (emulator_lacks("multicast", "a_group_is_bound_by_many"))
        return;
    dgrams_open(&d, _i, NULL);
    ip_addr(&group, "239.255.71.5", 0);
    ck_assert_int_eq(gnp_dgram_open(&s[0], &group, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s[0], &group), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&s[1], &group, &o), GNP_OK);
    for (k = 0; k < 2; k++) {
        ck_assert_int_eq(gnp_sock_join(&s[k], &group, lo), GNP_OK);
        ck_assert_int_eq(gnp_attach(d.t.p, &s[k], GNP_READ), GNP_OK);
    }
    ck_assert_int_eq(gnp_sock_set(&d.other, GNP_OPT_MULTICAST_IF, lo), GNP_OK);
    if (group_send(&d, &group, 6)) {
        for (k = 0; k < 2; k++) {
            while (gnp_recvfrom(d.t.p, &s[k], &g) == GNP_AGAIN)
                await(&d.t, &s[k], GNP_EV_READABLE);
            ck_assert_uint_eq(g.len, 4);
            gnp_recv_done(d.t.p, &s[k]);
        }
    }
    for (k = 0; k < 2; k++)
        gnp_close(d.t.p, &s[k], 0);
    /* One address of the host is still one server's. */
    ck_assert_int_eq(gnp_dgram_open(&s[0], &d.addr, &o), GNP_EADDRINUSE);
    dgrams_close(&d);
}
END_TEST

START_TEST(bad_groups)
{
    unsigned lo = gnp_interface_index("127.0.0.1");
    gnp_addr four, six, host;
    gnp_sock_opts o = { .v6only = -1 };
    gnp_sock s;
    dgrams d;

    dgrams_open(&d, _i, NULL);
    ip_addr(&four, "239.255.71.6", 0);
    ip_addr(&six, "ff15::7103", 0);
    ip_addr(&host, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_sock_join(&d.s, &host, lo), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_join(&d.s, &six, lo), GNP_EINVAL);
    ck_assert_int_lt(gnp_sock_join(&d.s, &four, 0x7ffffff0u), 0);
    ck_assert_int_eq(gnp_listen(&s, &host, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_join(&s, &four, lo), GNP_EINVAL);
    gnp_sock_close(&s, 0);
    ck_assert_uint_eq(gnp_interface_index("no such interface"), 0);
    ck_assert_uint_eq(gnp_interface_index("192.0.2.77"), 0);
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
    ADD_POLLER_TEST(s, packet_info_is_told);
    ADD_POLLER_TEST(s, packet_info_of_the_other_family);
    ADD_POLLER_TEST(s, trains_go_out_and_come_in);
    ADD_POLLER_TEST(s, groups_are_joined_and_left);
    ADD_POLLER_TEST(s, groups_of_others_are_not_ours);
    ADD_POLLER_TEST(s, a_group_is_bound_by_many);
    ADD_POLLER_TEST(s, bad_groups);
    return s;
}
