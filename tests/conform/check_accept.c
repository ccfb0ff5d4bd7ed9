/* SPDX-License-Identifier: MIT */
#include "conform.h"

#define QUEUE 20

START_TEST(accept_until_again)
{
    subject t;
    gnp_sock s[QUEUE], peer[QUEUE], none;
    gnp_addr from;
    int i, r, n = 0;

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < QUEUE; i++)
        peer_connect(&t, &peer[i]);
    while (n < QUEUE) {
        await(&t, &t.listener, GNP_EV_READABLE);
        while ((r = gnp_accept(t.p, &t.listener, &s[n], &from)) == GNP_OK) {
            ck_assert_int_eq(from.family, t.addr.family);
            ck_assert_int_eq(s[n].kind, GNP_STREAM);
            ck_assert_int_eq(s[n].family, t.addr.family);
            if (++n == QUEUE)
                break;
        }
        ck_assert(r == GNP_OK || r == GNP_AGAIN);
    }
    ck_assert_int_eq(gnp_accept(t.p, &t.listener, &none, NULL), GNP_AGAIN);
    quiet(&t, &t.listener, ~0u);
    for (i = 0; i < QUEUE; i++) {
        gnp_sock_close(&s[i], 0);
        peer_close(&t, &peer[i], 0);
    }
    subject_close(&t);
}
END_TEST

/* Who has said all and gone before anybody looked is heard. */
START_TEST(peer_gone_before_accept)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, offset = 0;
    const void *data;
    size_t n;

    subject_open_stream(&t, _i, NULL);
    peer_connect(&t, &peer);
    peer_fill(&t, &peer, &sent, 3000);
    peer_close(&t, &peer, 0);
    await(&t, &t.listener, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &s, GNP_READ), GNP_OK);
    expect(&t, &s, &offset, 3000);
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_EOF);
    gnp_close(t.p, &s, 0);
    subject_close(&t);
}
END_TEST

/* Level at the surface for a listener: one connection per wait, none forgotten. */
START_TEST(one_accept_per_wait)
{
    subject t;
    gnp_sock s, peer[QUEUE];
    int i;

    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < QUEUE; i++)
        peer_connect(&t, &peer[i]);
    for (i = 0; i < QUEUE; i++) {
        await(&t, &t.listener, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_OK);
        gnp_sock_close(&s, i & 1);
    }
    for (i = 0; i < QUEUE; i++)
        peer_close(&t, &peer[i], 0);
    ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_AGAIN);
    quiet(&t, &t.listener, ~0u);
    subject_close(&t);
}
END_TEST

/* A listener that rests (no descriptors) is silent, and goes on where it was. */
START_TEST(paused_listener)
{
    subject t;
    gnp_sock s, peer[2];
    int i;

    subject_open_stream(&t, _i, NULL);
    ck_assert_int_eq(gnp_want(t.p, &t.listener, 0), GNP_OK);
    peer_connect(&t, &peer[0]);
    quiet(&t, &t.listener, ~0u);
    ck_assert_int_eq(gnp_want(t.p, &t.listener, GNP_READ), GNP_OK);
    await(&t, &t.listener, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_want(t.p, &t.listener, 0), GNP_OK);
    peer_connect(&t, &peer[1]);
    quiet(&t, &t.listener, ~0u);
    ck_assert_int_eq(gnp_want(t.p, &t.listener, GNP_READ), GNP_OK);
    for (i = 0; i < 2; i++) {
        await(&t, &t.listener, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_OK);
        gnp_sock_close(&s, 0);
        peer_close(&t, &peer[i], 0);
    }
    subject_close(&t);
}
END_TEST

/* Made on one poller's thread, used on another poller: accept here, attach there. */
START_TEST(accepted_sockets_move)
{
    subject t;
    gnp_sock s, copy, peer;
    gnp_poller *other;
    gnp_poller_config c = { 0 };
    gnp_event ev[ROUND];
    const void *data;
    size_t n, at;

    subject_open_stream(&t, _i, NULL);
    c.name = t.name;
    c.edge = t.edge;
    ck_assert_int_eq(gnp_poller_open(&other, &c), GNP_OK);
    peer_connect(&t, &peer);
    peer_send(&t, &peer, "moved", 5);
    await(&t, &t.listener, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_OK);
    copy = s;
    memset(&s, 0xdd, sizeof(s));
    ck_assert_int_eq(gnp_attach(other, &copy, GNP_READ), GNP_OK);
    for (at = 0; at < 5; at += n) {
        ck_assert_int_eq(gnp_poller_wait(other, ev, ROUND, gnp_now() + PATIENCE), 1);
        ck_assert_ptr_eq(ev[0].sock, &copy);
        ck_assert_int_eq(gnp_recv(other, &copy, &data, &n), GNP_OK);
        ck_assert(n <= 5 - at && memcmp(data, &"moved"[at], n) == 0);
        gnp_recv_done(other, &copy);
    }
    gnp_close(other, &copy, 0);
    gnp_poller_close(other);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

#define LIMIT 96

/* Takes all descriptors that are left; returns how many. */
static int take_all(gnp_reserve *r, int cap)
{
    int n = 0;

    while (n < cap) {
        r[n].os = -1;
        if (gnp_reserve_take(&r[n]) != GNP_OK)
            break;
        n++;
    }
    return n;
}

START_TEST(no_descriptor_left)
{
    static gnp_reserve all[LIMIT];
    subject t;
    gnp_sock s, peer, l2;
    gnp_poller *other;
    gnp_reserve kept = { -1 };
    uint64_t before = gnp_descriptor_limit(0);
    const char *tool = gnp_env("GANNET_EXEWRAP");
    int n, r, i;

    if (tool != NULL && strstr(tool, "valgrind") != NULL)
        return; /* it lets the kernel accept, and closes what is beyond the limit: the connection is lost */
    subject_open_stream(&t, _i, NULL);
    peer_connect(&t, &peer);
    ck_assert_int_eq(gnp_reserve_take(&kept), GNP_OK);
    ck_assert_int_eq(gnp_reserve_take(&kept), GNP_OK); /* has it */
    r = gnp_descriptor_limit_set(LIMIT);
    if (r == GNP_ENOTSUP) {
        printf("descriptors cannot be limited here\n");
    } else {
        ck_assert_int_eq(r, GNP_OK);
        n = take_all(all, LIMIT);
        ck_assert_int_lt(n, LIMIT);
        ck_assert_int_gt(n, 0);
        await(&t, &t.listener, GNP_EV_READABLE);
        for (i = 0; i < 3; i++) { /* the connection waits; the poller says so each time */
            ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_EMFILE);
            ck_assert_int_ne(gnp_os_error(), 0);
            await(&t, &t.listener, GNP_EV_READABLE);
        }
        ck_assert_int_eq(gnp_connect(t.p, &s, GNP_STREAM, &t.addr, NULL, NULL), GNP_EMFILE);
        ck_assert_int_eq(gnp_listen(&l2, &t.addr, NULL, NULL), GNP_EMFILE);
        ck_assert_int_eq(gnp_poller_open(&other, NULL), GNP_EMFILE);

        gnp_reserve_release(&kept);
        ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_OK);
        ck_assert_int_eq(gnp_reserve_take(&kept), GNP_EMFILE);
        gnp_sock_close(&s, 1);
        ck_assert_int_eq(gnp_reserve_take(&kept), GNP_OK);
        while (n > 0)
            gnp_reserve_release(&all[--n]);
        ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, NULL), GNP_AGAIN);
        quiet(&t, &t.listener, ~0u);
        ck_assert_int_eq(gnp_descriptor_limit_set(before), GNP_OK);
        ck_assert_uint_eq(gnp_descriptor_limit(0), before);
    }
    gnp_reserve_release(&kept);
    gnp_reserve_release(&kept);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/*
 * Two sockets of a kind on one port: the first insists on having it alone, then lets the second
 * in, but nobody who did not ask to share.  0 where there is no sharing.
 */
static int share_port(gnp_sock s[2], gnp_addr *a, int kind)
{
    gnp_sock_opts o = { .v6only = -1, .reuseaddr = 1, .reuseport = GNP_SHARED_FIRST };
    gnp_sock other;
    int r;

    ip_addr(a, "127.0.0.1", 0);
    r = kind == GNP_DGRAM ? gnp_dgram_open(&s[0], a, &o) : gnp_listen(&s[0], a, &o, NULL);
    if (r == GNP_ENOTSUP) {
        printf("no reuseport here\n");
        return 0;
    }
    ck_assert_int_eq(r, GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s[0], a), GNP_OK);
    o.reuseport = GNP_SHARED;
    r = kind == GNP_DGRAM ? gnp_dgram_open(&s[1], a, &o) : gnp_listen(&s[1], a, &o, NULL);
    ck_assert_int_eq(r, GNP_OK);
    for (o.reuseport = 0; o.reuseport <= 2; o.reuseport += 2) { /* GNP_EXCLUSIVE, GNP_SHARED_FIRST */
        r = kind == GNP_DGRAM ? gnp_dgram_open(&other, a, &o) : gnp_listen(&other, a, &o, NULL);
        ck_assert_int_eq(r, GNP_EADDRINUSE);
    }
    return 1;
}

#define CALLERS 64

/* Every connection comes to one of the listeners and, where the system says that it balances, to both. */
START_TEST(listeners_share_a_port)
{
    subject t;
    gnp_sock l[2], s, peer[CALLERS];
    int got[2] = { 0, 0 }, i, k;

    subject_open_poller(&t, _i, NULL);
    if (share_port(l, &t.addr, GNP_STREAM)) {
        ck_assert_int_eq(gnp_attach(t.p, &l[0], GNP_READ), GNP_OK);
        ck_assert_int_eq(gnp_attach(t.p, &l[1], GNP_READ), GNP_OK);
        for (i = 0; i < CALLERS; i++)
            peer_connect(&t, &peer[i]);
        while (got[0] + got[1] < CALLERS) {
            ck_assert_int_gt(step(&t, ROUND, gnp_now() + PATIENCE), 0);
            for (k = 0; k < 2; k++) {
                while (gnp_accept(t.p, &l[k], &s, NULL) == GNP_OK) {
                    got[k]++;
                    gnp_sock_close(&s, 0);
                }
            }
        }
        if (gnp_reuseport_balances(GNP_STREAM, 0))
            ck_assert_msg(got[0] > 8 && got[1] > 8, "%d and %d connections", got[0], got[1]);
        for (i = 0; i < CALLERS; i++)
            peer_close(&t, &peer[i], 0);
        gnp_close(t.p, &l[0], 0);
        gnp_close(t.p, &l[1], 0);
    }
    subject_close(&t);
}
END_TEST

START_TEST(datagram_sockets_share_a_port)
{
    gnp_sock_opts o = { .v6only = -1, .rcvbuf = 1u << 20 };
    subject t;
    gnp_sock d[2], s;
    gnp_addr a;
    int got[2] = { 0, 0 }, i, k;

    subject_open_poller(&t, _i, NULL);
    if (share_port(d, &t.addr, GNP_DGRAM)) {
        ck_assert_int_eq(gnp_attach(t.p, &d[0], GNP_READ), GNP_OK);
        ck_assert_int_eq(gnp_attach(t.p, &d[1], GNP_READ), GNP_OK);
        for (i = 0; i < CALLERS; i++) {
            gnp_dgram_out out = { "x", 1, &t.addr, 0 };
            unsigned sent;
            ip_addr(&a, "127.0.0.1", 0);
            ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_OK);
            ck_assert_int_eq(gnp_attach(t.q, &s, 0), GNP_OK);
            ck_assert_int_eq(gnp_sendto(t.q, &s, &out, 1, &sent), GNP_OK);
            gnp_close(t.q, &s, 0);
        }
        while (got[0] + got[1] < CALLERS) {
            ck_assert_int_gt(step(&t, ROUND, gnp_now() + PATIENCE), 0);
            for (k = 0; k < 2; k++) {
                gnp_dgram g;
                while (gnp_recvfrom(t.p, &d[k], &g) == GNP_OK) {
                    got[k]++;
                    gnp_recv_done(t.p, &d[k]);
                }
            }
        }
        if (gnp_reuseport_balances(GNP_DGRAM, 0))
            ck_assert_msg(got[0] > 8 && got[1] > 8, "%d and %d datagrams", got[0], got[1]);
        gnp_close(t.p, &d[0], 0);
        gnp_close(t.p, &d[1], 0);
    }
    subject_close(&t);
}
END_TEST

#define MANY 1200

/* More sockets than any array inside a poller has places, each with bytes of its own. */
START_TEST(many_sockets)
{
    static gnp_sock s[MANY], peer[MANY];
    static size_t got[MANY]; /* bytes */
    subject t;
    uint64_t limit = gnp_descriptor_limit(0), end;
    int many = limit > 2 * MANY + 100 ? MANY : (int)(limit / 2) - 50;
    int i, round, done;

    many = (int)scaled((unsigned)many, 100);
    memset(got, 0, sizeof(got)); /* without a process for each case it was used before */
    subject_open_stream(&t, _i, NULL);
    for (i = 0; i < many; i++)
        pair(&t, &s[i], &peer[i], GNP_READ);
    for (round = 1; round <= 3; round++) {
        for (i = 0; i < many; i++) {
            uint32_t word = (uint32_t)i * 2654435761u + (uint32_t)round;
            peer_send(&t, &peer[i], &word, sizeof(word));
        }
        end = gnp_now() + PATIENCE;
        for (done = 0; done < many;) {
            ck_assert_msg(gnp_now() < end, "%d of %d sockets were told", done, many);
            step(&t, ROUND, end);
            for (i = 0; i < t.n; i++) {
                gnp_sock *x = t.ev[i].sock;
                uint32_t word;
                const void *data;
                size_t n;
                ck_assert(x >= s && x < s + many);
                if (gnp_recv(t.p, x, &data, &n) != GNP_OK)
                    continue;
                word = (uint32_t)(x - s) * 2654435761u + (uint32_t)round;
                ck_assert_uint_le(got[x - s] % sizeof(word) + n, sizeof(word));
                ck_assert(memcmp((const char *)&word + got[x - s] % sizeof(word), data, n) == 0);
                gnp_recv_done(t.p, x);
                got[x - s] += n;
                done += got[x - s] == (size_t)round * sizeof(word);
            }
        }
    }
    quiet(&t, NULL, ~0u);
    for (i = 0; i < many; i++) { /* from the middle outwards, for those that keep arrays */
        int k = (i + many / 2) % many;
        gnp_close(t.p, &s[k], 0);
        peer_close(&t, &peer[k], 0);
    }
    subject_close(&t);
}
END_TEST

Suite *suite_accept(void)
{
    Suite *s = suite_create("accept");

    ADD_STREAM_TEST(s, accept_until_again);
    ADD_STREAM_TEST(s, peer_gone_before_accept);
    ADD_STREAM_TEST(s, one_accept_per_wait);
    ADD_STREAM_TEST(s, paused_listener);
    ADD_STREAM_TEST(s, accepted_sockets_move);
    ADD_STREAM_TEST(s, no_descriptor_left);
    ADD_POLLER_TEST(s, listeners_share_a_port);
    ADD_POLLER_TEST(s, datagram_sockets_share_a_port);
    ADD_STREAM_TEST(s, many_sockets);
    return s;
}
