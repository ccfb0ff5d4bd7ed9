/* SPDX-License-Identifier: MIT */
/* What only some systems have: abstract names, devices, credentials, sharing by CPU. */
#include "conform.h"

static void abstract_addr(gnp_addr *a, const char *name, size_t n)
{
    memset(a, 0, sizeof(*a));
    a->family = GNP_FAMILY_UNIX;
    a->len = (uint8_t)(n + 1);
    memcpy(a->u.path + 1, name, n);
}

static void check_same(const gnp_addr *a, const gnp_addr *b)
{
    ck_assert_int_eq(a->family, b->family);
    ck_assert_int_eq(a->len, b->len);
    ck_assert_int_eq(memcmp(a->u.path, b->u.path, a->len), 0);
}

START_TEST(abstract_names)
{
    gnp_sock_opts o = { .v6only = -1 };
    gnp_addr a, b, from, seen;
    gnp_bound bound;
    gnp_sock l, other, s, peer;
    subject t;
    char name[40];
    size_t n;
    int r;

    subject_open_poller(&t, _i, NULL);
    temp_name(name, sizeof(name) - 1, "abs");
    n = strlen(name);
    abstract_addr(&a, name, n);
    abstract_addr(&b, name, n + 1); /* with a zero at its end: another name */
    abstract_addr(&from, "", 0);
    r = gnp_listen(&l, &a, &o, &bound);
    if (r == GNP_ENOTSUP) {
        printf("no abstract names here\n");
        ck_assert_int_eq(l.os, -1);
        ck_assert_int_eq(gnp_connect(t.q, &peer, GNP_STREAM, &a, NULL, &o), GNP_ENOTSUP);
        subject_close(&t);
        return;
    }
    ck_assert_int_eq(r, GNP_OK);
    ck_assert_int_eq(bound.owned, 0);
    ck_assert_int_eq(gnp_sock_local(&l, &seen), GNP_OK);
    check_same(&a, &seen);
    ck_assert_int_eq(gnp_listen(&other, &a, &o, &bound), GNP_EADDRINUSE);
    ck_assert_int_eq(gnp_listen(&other, &b, &o, &bound), GNP_OK);
    gnp_unlink_bound(&b, &bound); /* nothing to remove */
    gnp_sock_close(&other, 0);

    t.listener = l;
    ck_assert_int_eq(gnp_attach(t.p, &t.listener, GNP_READ), GNP_OK);
    name[0] = 'x';
    abstract_addr(&from, name, n);
    ck_assert_int_eq(gnp_connect(t.q, &peer, GNP_STREAM, &a, &from, &o), GNP_OK);
    await(&t, &t.listener, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, &seen), GNP_OK);
    check_same(&from, &seen);
    ck_assert_int_eq(gnp_sock_peer(&s, &seen), GNP_OK);
    check_same(&from, &seen);
    ck_assert_int_eq(gnp_sock_peer(&peer, &seen), GNP_OK);
    check_same(&a, &seen);
    gnp_sock_close(&s, 0);
    gnp_close(t.q, &peer, 0);
    gnp_close(t.p, &t.listener, 0);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_OK); /* free with its listener */
    gnp_sock_close(&l, 0);
    ck_assert_int_eq(gnp_connect(t.q, &peer, GNP_STREAM, &a, NULL, &o), GNP_ECONNREFUSED);

    o.unix_mode = 0600; /* it has none, and a wish for safety is not passed over */
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_ENOTSUP);
    memset(a.u.path, 'x', sizeof(a.u.path));
    a.u.path[0] = '\0';
    a.len = GNP_UNIX_PATH_MAX;
    o.unix_mode = 0;
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_ENAMETOOLONG);
    subject_close(&t);
}
END_TEST

START_TEST(unix_mode_out_of_range)
{
    gnp_sock_opts o = { .v6only = -1, .unix_mode = 010000 };
    char path[32];
    gnp_addr a;
    gnp_sock l;

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "mode");
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_EINVAL);
    ck_assert_int_eq(l.os, -1);
    ck_assert(!path_exists(path)); /* nothing was left there */
    ck_assert(!path_remove(path));
}
END_TEST

/* The loopback device, by which loopback connections come. */
START_TEST(bound_to_a_device)
{
    gnp_sock_opts o = { .v6only = -1, .device = "no-such-device" };
    gnp_sock s, peer;
    subject t;
    int r;

    subject_open_poller(&t, _i, NULL);
    ip_addr(&t.addr, "127.0.0.1", 0);
    r = gnp_listen(&t.listener, &t.addr, &o, NULL);
    if (r == GNP_ENOTSUP || r == GNP_EACCES) {
        printf("no binding to a device here: %d\n", r);
        subject_close(&t);
        return;
    }
    ck_assert_int_eq(r, GNP_ENOENT);
    ck_assert_int_eq(t.listener.os, -1);
    ck_assert_int_eq(gnp_dgram_open(&s, &t.addr, &o), GNP_ENOENT);
    o.device = "lo-and-behold-a-long-name"; /* that a system may not cut to one that it knows */
    ck_assert_int_eq(gnp_listen(&s, &t.addr, &o, NULL), GNP_ENOENT);
    o.device = "";
    ck_assert_int_eq(gnp_listen(&s, &t.addr, &o, NULL), GNP_ENOENT);
    o.device = gnp_interface_index("lo") != 0 ? "lo" : "lo0";
    ck_assert_int_eq(gnp_listen(&t.listener, &t.addr, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&t.listener, &t.addr), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &t.listener, GNP_READ), GNP_OK);
    t.listening = 1;
    pair(&t, &s, &peer, 0);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    r = gnp_connect(t.q, &peer, GNP_STREAM, &t.addr, NULL, &o);
    ck_assert(r == GNP_OK || r == GNP_INFLIGHT);
    accept_only(&t, &s);
    gnp_sock_close(&s, 0);
    gnp_close(t.q, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(credentials)
{
    subject t;
    gnp_sock s, peer;
    gnp_cred a, b;
    int r;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    r = gnp_sock_cred(&s, &a);
    if (t.tp == UNIX_STREAM && r == GNP_OK) {
        ck_assert_int_eq(gnp_sock_cred(&peer, &b), GNP_OK); /* both ends are this process */
        ck_assert(a.pid > 0 && a.uid >= 0 && a.gid >= 0);
        ck_assert(a.pid == b.pid && a.uid == b.uid && a.gid == b.gid);
    } else {
        ck_assert_int_eq(r, GNP_ENOTSUP);
    }
    ck_assert_int_eq(gnp_sock_cred(&t.listener, &a), GNP_ENOTSUP);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

#define SHARERS 4
#define DIALS 24

/* All connections that one CPU makes over the loopback come to one listener, not to all by a hash. */
START_TEST(reuseport_by_cpu)
{
    gnp_sock_opts o = { .v6only = -1, .reuseport = GNP_SHARED };
    gnp_sock l[SHARERS], s, peer;
    int got[SHARERS] = { 0 }, i, k, r, full = 0;
    subject t;
    gnp_addr a;

    subject_open_poller(&t, _i, NULL);
    ip_addr(&a, "127.0.0.1", 0);
    if (gnp_listen(&l[0], &a, &o, NULL) != GNP_OK || gnp_reuseport_by_cpu(&l[0], SHARERS) == GNP_ENOTSUP ||
        gnp_cpu_pin(0) != GNP_OK) {
        printf("no sharing by CPU here\n");
        gnp_sock_close(&l[0], 0);
        subject_close(&t);
        return;
    }
    ck_assert_int_eq(gnp_reuseport_by_cpu(&l[0], 0), GNP_EINVAL);
    ck_assert_int_eq(gnp_sock_local(&l[0], &a), GNP_OK);
    for (i = 1; i < SHARERS; i++)
        ck_assert_int_eq(gnp_listen(&l[i], &a, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_reuseport_by_cpu(&l[SHARERS - 1], SHARERS), GNP_OK);
    for (i = 0; i < SHARERS; i++)
        ck_assert_int_eq(gnp_attach(t.p, &l[i], GNP_READ), GNP_OK);
    t.addr = a;
    for (k = 0; k < DIALS; k++) {
        peer_connect(&t, &peer);
        step(&t, ROUND, gnp_now() + PATIENCE);
        for (i = 0; i < SHARERS; i++) {
            r = event_of(&t, &l[i]) != NULL ? gnp_accept(t.p, &l[i], &s, NULL) : GNP_AGAIN;
            got[i] += r == GNP_OK;
            if (r == GNP_OK)
                gnp_sock_close(&s, 1);
        }
        peer_close(&t, &peer, 1);
    }
    for (i = 0; i < SHARERS; i++) {
        full += got[i] == DIALS;
        gnp_close(t.p, &l[i], 0);
    }
    ck_assert_msg(full == 1, "%d %d %d %d of %d", got[0], got[1], got[2], got[3], DIALS);
    subject_close(&t);
}
END_TEST

START_TEST(not_to_be_shared)
{
    subject t;
    gnp_sock s, peer;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_reuseport_by_cpu(&s, 2), GNP_ENOTSUP); /* a stream */
    ck_assert_int_lt(gnp_reuseport_by_cpu(&t.listener, 2), GNP_OK); /* alone on its port, or no port */
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

/* From an address of ours, the port by the system: each connection has one, and the address is ours. */
START_TEST(from_an_address)
{
    gnp_addr from, seen;
    subject t;
    gnp_sock s, peer[8];
    int i, r;

    subject_open_stream(&t, _i, NULL);
    from = t.addr;
    from.port = 0;
    for (i = 0; i < 8 && t.tp != UNIX_STREAM; i++) {
        r = gnp_connect(t.q, &peer[i], GNP_STREAM, &t.addr, &from, NULL);
        ck_assert(r == GNP_INFLIGHT || r == GNP_OK);
        do { /* the accept before may have left a hint that there is more */
            await(&t, &t.listener, GNP_EV_READABLE);
            r = gnp_accept(t.p, &t.listener, &s, &seen);
        } while (r == GNP_AGAIN);
        ck_assert_int_eq(r, GNP_OK);
        ck_assert_int_eq(memcmp(&seen.u, &from.u, seen.family == GNP_FAMILY_IPV6 ? 16 : 4), 0);
        ck_assert_uint_ne(seen.port, 0);
        ck_assert_int_eq(gnp_sock_local(&peer[i], &from), GNP_OK);
        ck_assert_uint_eq(seen.port, from.port);
        from.port = 0;
        gnp_sock_close(&s, 0);
    }
    while (i > 0)
        gnp_close(t.q, &peer[--i], 0);
    subject_close(&t);
}
END_TEST

Suite *suite_special(void)
{
    Suite *s = suite_create("special");

    ADD_POLLER_TEST(s, abstract_names);
    ADD_TEST(s, unix_mode_out_of_range);
    ADD_POLLER_TEST(s, bound_to_a_device);
    ADD_STREAM_TEST(s, credentials);
    ADD_POLLER_TEST(s, reuseport_by_cpu);
    ADD_STREAM_TEST(s, not_to_be_shared);
    ADD_STREAM_TEST(s, from_an_address);
    return s;
}
