/* SPDX-License-Identifier: MIT */
/* Options of single sockets: each on the sockets that have it, refused on the others. */
#include "conform.h"

enum { S4, S6, SU, L4, L6, LU, D4, D6, KINDS };

/* Sockets of every kind and family; os -1 where the system has no such thing. */
typedef struct all {
    gnp_sock s[KINDS], peer[KINDS];
    gnp_poller *p;
    gnp_event ev[ROUND]; /* of the last wait; the poller keeps it */
    gnp_addr path;
    gnp_bound bound;
} all;

static void open_stream(all *x, int listener, int stream)
{
    gnp_addr a;
    int r;

    ck_assert_int_eq(gnp_sock_local(&x->s[listener], &a), GNP_OK);
    ck_assert_int_eq(gnp_attach(x->p, &x->s[listener], 0), GNP_OK);
    r = gnp_connect(x->p, &x->peer[stream], GNP_STREAM, &a, NULL, NULL);
    ck_assert(r == GNP_OK || r == GNP_INFLIGHT);
    while (r == GNP_INFLIGHT || r == GNP_AGAIN) {
        ck_assert_int_gt(gnp_poller_wait(x->p, x->ev, ROUND, gnp_now() + PATIENCE), 0);
        r = gnp_connect_end(x->p, &x->peer[stream]);
    }
    ck_assert_int_eq(gnp_want(x->p, &x->s[listener], GNP_READ), GNP_OK);
    ck_assert_int_gt(gnp_poller_wait(x->p, x->ev, ROUND, gnp_now() + PATIENCE), 0);
    ck_assert_int_eq(gnp_accept(x->p, &x->s[listener], &x->s[stream], NULL), GNP_OK);
}

static void open_all(all *x)
{
    gnp_sock_opts o = { .v6only = -1 };
    gnp_addr a;
    char path[32];
    int i;

    memset(x, 0, sizeof(*x));
    for (i = 0; i < KINDS; i++)
        x->s[i].os = x->peer[i].os = -1;
    ck_assert_int_eq(gnp_poller_open(&x->p, NULL), GNP_OK);
    temp_name(path, sizeof(path), "opt");
    unix_addr(&x->path, path);
    if (has_unix())
        ck_assert_int_eq(gnp_listen(&x->s[LU], &x->path, &o, &x->bound), GNP_OK);
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&x->s[L4], &a, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&x->s[D4], &a, &o), GNP_OK);
    open_stream(x, L4, S4);
    if (x->s[LU].os != -1)
        open_stream(x, LU, SU);
    ip_addr(&a, "::1", 0);
    if (gnp_listen(&x->s[L6], &a, &o, NULL) != GNP_OK) {
        printf("no IPv6 here: its options are not tested\n");
        return;
    }
    ck_assert_int_eq(gnp_dgram_open(&x->s[D6], &a, &o), GNP_OK);
    open_stream(x, L6, S6);
}

static void close_all(all *x)
{
    int i;

    gnp_unlink_bound(&x->path, &x->bound);
    for (i = 0; i < KINDS; i++) {
        if (x->peer[i].os >= 0)
            gnp_close(x->p, &x->peer[i], 0);
        if (x->s[i].os >= 0 && x->s[i].kind == GNP_LISTENER)
            gnp_close(x->p, &x->s[i], 0);
        gnp_sock_close(&x->s[i], 0);
    }
    gnp_poller_close(x->p);
}

#define ON(k) (1u << (k))
#define STREAMS (ON(S4) | ON(S6))
#define TCP (STREAMS | ON(L4) | ON(L6))
#define UDP (ON(D4) | ON(D6))
#define IP (TCP | UDP)
#define LISTENERS (ON(L4) | ON(L6))
#define LOCAL (ON(SU) | ON(LU))

enum { EXACT, AT_LEAST, SET_ONLY };

static const struct row {
    int opt;
    unsigned on;
    int64_t value, bad; /* bad: refused by every system; 0: none known */
    int how;
    int everywhere; /* 1: every port has it */
} rows[] = {
    { GNP_OPT_NODELAY, TCP, 1, 2, EXACT, 1 },
    { GNP_OPT_NODELAY, TCP, 0, -1, EXACT, 1 },
    { GNP_OPT_KEEPALIVE, TCP, 77, -1, AT_LEAST, 1 },
    { GNP_OPT_KEEPALIVE, TCP, 0, -2, EXACT, 1 },
    { GNP_OPT_KEEPALIVE_INTVL, TCP, 11, 0, EXACT, 0 },
    { GNP_OPT_KEEPALIVE_INTVL, TCP, 12, 40000, EXACT, 0 },
    { GNP_OPT_KEEPALIVE_COUNT, TCP, 5, 1000, EXACT, 0 },
    { GNP_OPT_RECV_BUFFER, IP | LOCAL, 65536, -1, AT_LEAST, 1 },
    { GNP_OPT_SEND_BUFFER, IP | LOCAL, 65536, -1, AT_LEAST, 1 },
    { GNP_OPT_LINGER, TCP | LOCAL, 3, -2, EXACT, 1 },
    { GNP_OPT_LINGER, TCP | LOCAL, 0, 1 << 20, EXACT, 1 },
    { GNP_OPT_LINGER, TCP | LOCAL, -1, -3, EXACT, 1 },
    { GNP_OPT_USER_TIMEOUT, TCP, 12345, -1, EXACT, 0 },
    { GNP_OPT_NOTSENT_LOWAT, TCP, 16384, -1, EXACT, 0 },
    { GNP_OPT_TOS, IP, 0xb8, 256, EXACT, 1 },
    { GNP_OPT_TOS, IP, 0, -1, EXACT, 1 },
    { GNP_OPT_TTL, IP, 255, 256, EXACT, 1 },
    { GNP_OPT_TTL, IP, 1, -1, EXACT, 1 },
    { GNP_OPT_FAST_OPEN, LISTENERS, 16, -1, EXACT, 0 },
    { GNP_OPT_QUICKACK, STREAMS, 0, 2, EXACT, 0 },
    { GNP_OPT_QUICKACK, STREAMS, 1, -1, EXACT, 0 },
    { GNP_OPT_DEFER_ACCEPT, LISTENERS, 3, -1, AT_LEAST, 0 },
    { GNP_OPT_DEFER_ACCEPT, LISTENERS, 0, -1, EXACT, 0 },
    { GNP_OPT_BUSY_POLL, IP, 50, -1, EXACT, 0 },
    { GNP_OPT_PRIORITY, IP, 5, -1, EXACT, 0 },
    { GNP_OPT_MARK, IP, 0xfffffffe, -1, EXACT, 0 },
    { GNP_OPT_MAXSEG, TCP, 500, 70000, SET_ONLY, 0 }, /* the BSDs: no more than it is; 512 at first */
    { GNP_OPT_BROADCAST, UDP, 1, 2, EXACT, 1 },
    { GNP_OPT_BROADCAST, UDP, 0, -1, EXACT, 1 },
    { GNP_OPT_MULTICAST_TTL, UDP, 9, 256, EXACT, 1 },
    { GNP_OPT_MULTICAST_TTL, UDP, 0, -1, EXACT, 1 },
    { GNP_OPT_MULTICAST_LOOP, UDP, 0, 2, EXACT, 1 },
    { GNP_OPT_MULTICAST_LOOP, UDP, 1, -1, EXACT, 1 },
    { GNP_OPT_MULTICAST_IF, UDP, 0, 0x7ffffff0, EXACT, 1 },
    { GNP_OPT_PASS_DESCRIPTORS, LOCAL, 1, 2, EXACT, 1 },
    { GNP_OPT_PASS_DESCRIPTORS, LOCAL, 0, -1, EXACT, 1 },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void check_row(const struct row *r, gnp_sock *s)
{
    int64_t got = INT64_MIN, after;
    int code = gnp_sock_set(s, r->opt, r->value);

    if ((!r->everywhere || (r->opt == GNP_OPT_TOS && emulator_lacks("tos", NULL))) &&
        (code == GNP_ENOTSUP || code == GNP_EACCES)) {
        printf("option %d: %d here\n", r->opt, code);
        return;
    }
    ck_assert_msg(code == GNP_OK, "option %d on kind %d, family %d: %d", r->opt, s->kind, s->family, code);
    ck_assert_int_eq(gnp_sock_get(s, r->opt, &got), GNP_OK);
    if (r->how != SET_ONLY) {
        ck_assert_msg(r->how == EXACT ? got == r->value : got >= r->value, "option %d is %lld", r->opt,
                      (long long)got);
    }
    ck_assert_msg(gnp_sock_set(s, r->opt, r->bad) == GNP_EINVAL, "option %d takes %lld", r->opt,
                  (long long)r->bad);
    ck_assert_int_ne(gnp_os_error(), 0);
    ck_assert_int_eq(gnp_sock_get(s, r->opt, &after), GNP_OK);
    ck_assert_int_eq(after, got);
}

START_TEST(set_and_get)
{
    all x;
    size_t i;
    int k;

    open_all(&x);
    for (i = 0; i < ROWS; i++) {
        for (k = 0; k < KINDS; k++) {
            int64_t v;
            if (x.s[k].os < 0 || (rows[i].opt == GNP_OPT_MULTICAST_IF && emulator_lacks("multicast", NULL)))
                continue;
            if (rows[i].on & ON(k)) {
                check_row(&rows[i], &x.s[k]);
                continue;
            }
            ck_assert_msg(gnp_sock_set(&x.s[k], rows[i].opt, rows[i].value) == GNP_ENOTSUP,
                          "option %d on %d", rows[i].opt, k);
            ck_assert_int_eq(gnp_sock_get(&x.s[k], rows[i].opt, &v), GNP_ENOTSUP);
        }
    }
    close_all(&x);
}
END_TEST

START_TEST(unknown_options)
{
    static const int unknown[] = { 0, -1, 1000, INT32_MAX, INT32_MIN };
    all x;
    int64_t v;
    size_t i;
    int k;

    open_all(&x);
    for (k = 0; k < KINDS; k++) {
        for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]) && x.s[k].os >= 0; i++) {
            ck_assert_int_eq(gnp_sock_set(&x.s[k], unknown[i], 1), GNP_ENOTSUP);
            ck_assert_int_eq(gnp_sock_get(&x.s[k], unknown[i], &v), GNP_ENOTSUP);
        }
    }
    close_all(&x);
}
END_TEST

START_TEST(values_beyond_an_int)
{
    all x;
    int64_t v;

    open_all(&x);
    ck_assert_int_eq(gnp_sock_set(&x.s[S4], GNP_OPT_NODELAY, INT64_C(0x100000001)), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_set(&x.s[S4], GNP_OPT_KEEPALIVE, INT64_C(0x100000001)), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_set(&x.s[S4], GNP_OPT_LINGER, INT64_MAX), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_set(&x.s[D4], GNP_OPT_MULTICAST_IF, INT64_C(0x100000001)), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_set(&x.s[S4], GNP_OPT_SEND_BUFFER, INT64_MAX), GNP_OK); /* the system cuts it */
    ck_assert_int_eq(gnp_sock_get(&x.s[S4], GNP_OPT_SEND_BUFFER, &v), GNP_OK);
    ck_assert_int_gt(v, 0);
    close_all(&x);
}
END_TEST

START_TEST(incoming_cpu_is_read_only)
{
    all x;
    int64_t v = -2;

    open_all(&x);
    ck_assert_int_eq(gnp_sock_set(&x.s[S4], GNP_OPT_INCOMING_CPU, 0), GNP_ENOTSUP);
    if (gnp_sock_get(&x.s[S4], GNP_OPT_INCOMING_CPU, &v) == GNP_OK)
        ck_assert_int_ge(v, -1);
    ck_assert_int_eq(gnp_sock_get(&x.s[SU], GNP_OPT_INCOMING_CPU, &v), GNP_ENOTSUP);
    close_all(&x);
}
END_TEST

/* The name of the loopback interface, or NULL. */
static const char *loopback(void)
{
    return gnp_interface_index("lo") != 0 ? "lo" : gnp_interface_index("lo0") != 0 ? "lo0" : NULL;
}

START_TEST(interfaces)
{
    unsigned i;
    all x;
    int64_t v;
    int k;

    if (emulator_lacks("multicast", "interfaces"))
        return;
    ck_assert_uint_eq(gnp_interface_index("no-such-device"), 0);
    ck_assert_uint_eq(gnp_interface_index(""), 0);
    ck_assert_uint_eq(gnp_interface_index("192.0.2.1"), 0);
    i = gnp_interface_index("127.0.0.1");
    ck_assert_uint_ne(i, 0);
    if (loopback() != NULL)
        ck_assert_uint_eq(gnp_interface_index(loopback()), i);
    open_all(&x);
    for (k = D4; k <= D6; k++) {
        if (x.s[k].os < 0)
            continue;
        ck_assert_int_eq(gnp_sock_set(&x.s[k], GNP_OPT_MULTICAST_IF, i), GNP_OK);
        ck_assert_int_eq(gnp_sock_get(&x.s[k], GNP_OPT_MULTICAST_IF, &v), GNP_OK);
        ck_assert_int_eq(v, i);
    }
    close_all(&x);
}
END_TEST

/* -------------------------------------------------- options of gnp_sock_opts */

START_TEST(listed_options)
{
    static const gnp_opt_value list[] = { { GNP_OPT_TTL, 33 }, { GNP_OPT_LINGER, 9 },
                                          { GNP_OPT_NODELAY, 1 } };
    gnp_sock_opts o = { .v6only = -1, .opts = list, .opt_count = 3 };
    gnp_poller *p;
    gnp_sock l, s;
    gnp_addr a;
    unsigned i;
    int64_t v;
    int r;

    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&l, &a), GNP_OK);
    r = gnp_connect(p, &s, GNP_STREAM, &a, NULL, &o);
    ck_assert(r == GNP_OK || r == GNP_INFLIGHT);
    for (i = 0; i < o.opt_count; i++) {
        ck_assert_int_eq(gnp_sock_get(&l, list[i].opt, &v), GNP_OK);
        ck_assert_int_eq(v, list[i].value);
        ck_assert_int_eq(gnp_sock_get(&s, list[i].opt, &v), GNP_OK);
        ck_assert_int_eq(v, list[i].value);
    }
    gnp_close(p, &s, 0);
    gnp_sock_close(&l, 0);
    gnp_poller_close(p);
}
END_TEST

/* One that fails: no socket, and why. */
START_TEST(listed_option_that_fails)
{
    static const gnp_opt_value bad[] = { { GNP_OPT_TTL, 33 }, { GNP_OPT_TTL, 1000 } };
    static const gnp_opt_value none[] = { { GNP_OPT_BROADCAST, 1 } };
    gnp_sock_opts o = { .v6only = -1, .opts = bad, .opt_count = 2 };
    gnp_poller *p;
    gnp_sock s;
    gnp_addr a;

    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&s, &a, &o, NULL), GNP_EINVAL);
    ck_assert_int_eq(s.os, -1);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_EINVAL);
    a.port = 1;
    ck_assert_int_eq(gnp_connect(p, &s, GNP_STREAM, &a, NULL, &o), GNP_EINVAL);
    ck_assert_int_eq(s.os, -1);
    o.opts = none;
    o.opt_count = 1;
    a.port = 0;
    ck_assert_int_eq(gnp_listen(&s, &a, &o, NULL), GNP_ENOTSUP);
    ck_assert_int_eq(s.os, -1);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_OK);
    gnp_sock_close(&s, 0);
    gnp_poller_close(p);
}
END_TEST

/* Each port hands TCP_NODELAY on from the listener, whichever way it was set. */
START_TEST(nodelay_is_inherited)
{
    subject t;
    gnp_sock s, peer;
    int64_t v, want;

    subject_open_stream(&t, _i, NULL);
    if (t.tp == UNIX_STREAM)
        ck_assert_int_eq(gnp_sock_set(&t.listener, GNP_OPT_NODELAY, 0), GNP_ENOTSUP);
    for (want = 0; want < 2 && t.tp != UNIX_STREAM; want++) {
        ck_assert_int_eq(gnp_sock_set(&t.listener, GNP_OPT_NODELAY, want), GNP_OK);
        pair(&t, &s, &peer, 0);
        ck_assert_int_eq(gnp_sock_get(&s, GNP_OPT_NODELAY, &v), GNP_OK);
        ck_assert_int_eq(v, want);
        gnp_close(t.p, &s, 0);
        peer_close(&t, &peer, 0);
    }
    subject_close(&t);
}
END_TEST

START_TEST(fast_open)
{
    static const gnp_opt_value queue[] = { { GNP_OPT_FAST_OPEN, 8 } };
    static const gnp_opt_value dial[] = { { GNP_OPT_FAST_OPEN_CONNECT, 1 } };
    gnp_sock_opts lo = { .v6only = -1, .opts = queue, .opt_count = 1 };
    gnp_sock_opts o = { .v6only = -1, .opts = dial, .opt_count = 1 };
    subject t;
    gnp_sock peer, s;
    uint64_t offset = 0, sent = 0;
    int r, k;

    subject_open_poller(&t, _i, NULL);
    ip_addr(&t.addr, "127.0.0.1", 0);
    r = gnp_listen(&t.listener, &t.addr, &lo, NULL);
    if (r == GNP_ENOTSUP) {
        printf("no fast open here\n");
        subject_close(&t);
        return;
    }
    ck_assert_int_eq(r, GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&t.listener, &t.addr), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &t.listener, GNP_READ), GNP_OK);
    t.listening = 1;
    for (k = 0; k < 3; k++) { /* the first one fetches the cookie, where there are cookies */
        r = gnp_connect(t.q, &peer, GNP_STREAM, &t.addr, NULL, &o);
        if (r == GNP_ENOTSUP) {
            printf("no fast open for clients here\n");
            break;
        }
        ck_assert(r == GNP_OK || r == GNP_INFLIGHT);
        while (r == GNP_INFLIGHT || r == GNP_AGAIN) {
            ck_assert_int_gt(gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + PATIENCE), 0);
            r = gnp_connect_end(t.q, &peer);
        }
        ck_assert_int_eq(r, GNP_OK);
        offset = sent = 0;
        while (sent < 100) {
            if (peer_fill(&t, &peer, &sent, (size_t)(100 - sent)) == 0)
                ck_assert_int_gt(gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + PATIENCE), 0);
        }
        accept_only(&t, &s);
        ck_assert_int_eq(gnp_attach(t.p, &s, GNP_READ), GNP_OK);
        expect(&t, &s, &offset, 100);
        gnp_close(t.p, &s, 0);
        peer_close(&t, &peer, 0);
    }
    subject_close(&t);
}
END_TEST

Suite *suite_option(void)
{
    Suite *s = suite_create("option");

    ADD_TEST(s, set_and_get);
    ADD_TEST(s, unknown_options);
    ADD_TEST(s, values_beyond_an_int);
    ADD_TEST(s, incoming_cpu_is_read_only);
    ADD_TEST(s, interfaces);
    ADD_TEST(s, listed_options);
    ADD_TEST(s, listed_option_that_fails);
    ADD_STREAM_TEST(s, nodelay_is_inherited);
    ADD_POLLER_TEST(s, fast_open);
    return s;
}
