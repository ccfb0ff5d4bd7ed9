/* SPDX-License-Identifier: MIT */
/* Detached sockets: addresses in use, and Unix paths, which are never taken from somebody else. */
#include "conform.h"

static gnp_sock_opts plain(void)
{
    return (gnp_sock_opts){ .v6only = -1 };
}

START_TEST(port_in_use)
{
    gnp_sock_opts o = plain();
    gnp_sock l, second;
    gnp_addr a;

    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_OK);
    ck_assert_int_eq(l.kind, GNP_LISTENER);
    ck_assert_int_eq(gnp_sock_local(&l, &a), GNP_OK);
    ck_assert_int_eq(gnp_listen(&second, &a, &o, NULL), GNP_EADDRINUSE);
    ck_assert_int_eq(second.os, -1);
    ck_assert_int_ne(gnp_os_error(), 0);
    o.reuseaddr = 1;
    ck_assert_int_eq(gnp_listen(&second, &a, &o, NULL), GNP_EADDRINUSE);
    ck_assert_int_eq(gnp_sock_peer(&l, &a), GNP_ENOTCONN);
    gnp_sock_close(&second, 0); /* nothing to close, no harm */
    gnp_sock_close(&l, 0);
    ck_assert_int_eq(l.os, -1);
    gnp_sock_close(&l, 0);
}
END_TEST

START_TEST(datagram_port_in_use)
{
    gnp_sock_opts o = { .v6only = -1, .reuseaddr = 1 };
    gnp_sock s, second;
    gnp_addr a;

    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s, &a), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&second, &a, &o), GNP_EADDRINUSE);
    ck_assert_int_eq(second.os, -1);
    gnp_sock_close(&s, 0);
    ck_assert_int_eq(gnp_dgram_open(&second, &a, &o), GNP_OK);
    gnp_sock_close(&second, 0);
}
END_TEST

START_TEST(not_our_address)
{
    gnp_sock_opts o = plain();
    gnp_sock l;
    gnp_addr a;

    ip_addr(&a, "192.0.2.1", 0); /* RFC 5737: nobody's */
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_EADDRNOTAVAIL);
    if (!emulator_lacks("address-checks", NULL))
        ck_assert_int_eq(gnp_dgram_open(&l, &a, &o), GNP_EADDRNOTAVAIL);
    memset(&a, 0, sizeof(a));
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_ENOTSUP);
    ck_assert_int_eq(gnp_dgram_open(&l, &a, &o), GNP_ENOTSUP);
    a.family = GNP_FAMILY_UNIX;
    ck_assert_int_eq(gnp_dgram_open(&l, &a, &o), GNP_ENOTSUP);
}
END_TEST

/* A restart finds connections of its predecessor in TIME_WAIT. */
START_TEST(restart_on_the_same_port)
{
    gnp_sock_opts o = plain();
    subject t;
    gnp_sock s, peer, again;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    gnp_close(t.p, &s, 0); /* ours first: the wait is on our side */
    peer_close(&t, &peer, 0);
    gnp_close(t.p, &t.listener, 0);
    t.listening = 0;
    o.reuseaddr = 1;
    ck_assert_int_eq(gnp_listen(&again, &t.addr, &o, &t.bound), GNP_OK);
    gnp_sock_close(&again, 0);
    gnp_unlink_bound(&t.addr, &t.bound);
    subject_close(&t);
}
END_TEST

START_TEST(every_option)
{
    gnp_sock_opts o = { .backlog = 7, .reuseaddr = 1, .v6only = 1, .nodelay = 1, .keepalive_s = 60,
                        .keepalive_intvl_s = 10, .keepalive_count = 4,
                        .rcvbuf = 1u << 17, .sndbuf = 1u << 17 };
    gnp_sock l, v4;
    gnp_addr a;

    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_OK);
    gnp_sock_close(&l, 0);
    o.rcvbuf = o.sndbuf = SIZE_MAX; /* the system cuts it */
    ck_assert_int_eq(gnp_dgram_open(&l, &a, &o), GNP_OK);
    gnp_sock_close(&l, 0);
    if (!gnp_has_ipv6())
        return;
    ip_addr(&a, "::", 0);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&l, &a), GNP_OK);
    ip_addr(&a, "0.0.0.0", a.port);
    ck_assert_int_eq(gnp_listen(&v4, &a, &o, NULL), GNP_OK); /* v6only leaves IPv4 free */
    gnp_sock_close(&v4, 0);
    gnp_sock_close(&l, 0);
}
END_TEST

/* ------------------------------------------------------------ Unix paths */

/* 1 if somebody answers at a. */
static int served(const gnp_addr *a)
{
    gnp_poller *p;
    gnp_sock s;
    int r;

    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    r = gnp_connect(p, &s, GNP_STREAM, a, NULL, NULL);
    if (r == GNP_OK || r == GNP_INFLIGHT)
        gnp_close(p, &s, 0);
    gnp_poller_close(p);
    return r == GNP_OK || r == GNP_INFLIGHT;
}

START_TEST(path_is_a_file)
{
    gnp_sock_opts o = plain();
    char path[32];
    gnp_addr a;
    gnp_bound b;
    gnp_sock l;

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "file");
    path_make(path);
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_EEXIST);
    ck_assert_int_eq(b.owned, 0);
    gnp_unlink_bound(&a, &b);
    ck_assert(path_exists(path));
    ck_assert(path_remove(path));
}
END_TEST

START_TEST(path_is_a_folder)
{
    gnp_sock_opts o = plain();
    gnp_addr a;
    gnp_bound b;
    gnp_sock l;

    if (!has_unix())
        return;
    unix_addr(&a, ".");
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_EEXIST);
    unix_addr(&a, "no/such/folder/socket");
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_ENOENT);
}
END_TEST

START_TEST(path_is_served)
{
    gnp_sock_opts o = plain();
    char path[32];
    gnp_addr a;
    gnp_bound b, b2;
    gnp_sock l, l2;
    int i;

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "used");
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_OK);
    ck_assert_int_eq(b.owned, 1);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(gnp_listen(&l2, &a, &o, &b2), GNP_EADDRINUSE);
    ck_assert_int_eq(l2.os, -1);
    gnp_unlink_bound(&a, &b2); /* the failed one owns nothing */
    ck_assert(served(&a));
    gnp_sock_close(&l, 0);
    gnp_unlink_bound(&a, &b);
    ck_assert(!path_remove(path)); /* it is gone */
}
END_TEST

/* So busy that it does not even take the probe. */
START_TEST(path_is_served_with_a_full_queue)
{
    gnp_sock_opts o = { .v6only = -1, .backlog = 1 };
    char path[32];
    gnp_addr a;
    gnp_bound b, b2;
    gnp_sock l, l2, s[8];
    gnp_poller *p;
    int i, r[8];

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "busy");
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_OK);
    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    for (i = 0; i < 8; i++)
        r[i] = gnp_connect(p, &s[i], GNP_STREAM, &a, NULL, NULL);
    r[0] = r[0] == GNP_OK || r[0] == GNP_INFLIGHT ? r[0] : -1;
    ck_assert_int_ne(r[0], -1);
    ck_assert_int_eq(gnp_listen(&l2, &a, &o, &b2), GNP_EADDRINUSE);
    for (i = 0; i < 8; i++) {
        if (r[i] == GNP_OK || r[i] == GNP_INFLIGHT)
            gnp_close(p, &s[i], 0);
    }
    gnp_poller_close(p);
    gnp_sock_close(&l, 0);
    gnp_unlink_bound(&a, &b);
}
END_TEST

START_TEST(path_is_stale)
{
    gnp_sock_opts o = plain();
    char path[32];
    gnp_addr a, local;
    gnp_bound b, b2;
    gnp_sock l;

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "stale");
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_OK);
    gnp_sock_close(&l, 0); /* as after a crash: the path stays */
    ck_assert(!served(&a));
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &b2), GNP_OK);
    ck_assert_int_eq(b2.owned, 1);
    ck_assert(served(&a));
    ck_assert_int_eq(gnp_sock_local(&l, &local), GNP_OK);
    ck_assert_int_eq(local.family, GNP_FAMILY_UNIX);
    ck_assert_int_eq(local.len, strlen(path));
    ck_assert(memcmp(local.u.path, path, local.len) == 0);
    gnp_sock_close(&l, 0);
    gnp_unlink_bound(&a, &b2);
    ck_assert(!path_remove(path));
}
END_TEST

/* Somebody put another socket in the place of ours: it stays. */
START_TEST(foreign_socket_stays)
{
    gnp_sock_opts o = plain();
    char path[32], aside[40];
    gnp_addr a;
    gnp_bound mine, theirs;
    gnp_sock l, l2;

    if (!has_unix())
        return;
    temp_name(path, sizeof(path), "own");
    snprintf(aside, sizeof(aside), "%s.aside", path);
    unix_addr(&a, path);
    ck_assert_int_eq(gnp_listen(&l, &a, &o, &mine), GNP_OK);
    ck_assert(path_rename(path, aside));
    ck_assert_int_eq(gnp_listen(&l2, &a, &o, &theirs), GNP_OK);
    gnp_sock_close(&l, 0);
    gnp_unlink_bound(&a, &mine);
    ck_assert(served(&a));
    gnp_sock_close(&l2, 0);
    gnp_unlink_bound(&a, &theirs);
    ck_assert(!path_remove(path));
    ck_assert(path_remove(aside));
}
END_TEST

START_TEST(path_lengths)
{
    gnp_sock_opts o = plain();
    size_t max = gnp_unix_path_max(), n;
    char path[2 * GNP_UNIX_PATH_MAX], start[32];
    gnp_addr a, local;
    gnp_bound b;
    gnp_sock l;
    gnp_poller *p;

    if (!has_unix())
        return;
    ck_assert_uint_ge(max, 90);
    ck_assert_uint_le(max, GNP_UNIX_PATH_MAX);
    temp_name(start, sizeof(start), "len");
    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    for (n = max - 1; n <= max + 1; n++) {
        memset(path, 'x', sizeof(path));
        memcpy(path, start, strlen(start));
        path[n] = '\0';
        unix_addr(&a, path);
        if (n > max) {
            ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_ENAMETOOLONG);
            ck_assert_int_eq(gnp_connect(p, &l, GNP_STREAM, &a, NULL, NULL), GNP_ENAMETOOLONG);
            continue;
        }
        ck_assert_int_eq(gnp_listen(&l, &a, &o, &b), GNP_OK);
        ck_assert_int_eq(gnp_sock_local(&l, &local), GNP_OK);
        ck_assert_uint_eq(local.len, n);
        ck_assert(memcmp(local.u.path, path, n) == 0);
        gnp_sock_close(&l, 0);
        gnp_unlink_bound(&a, &b);
        ck_assert(!path_remove(path));
    }
    gnp_poller_close(p);
}
END_TEST

START_TEST(unnamed_peers)
{
    subject t;
    gnp_sock s, peer;
    gnp_addr a;

    subject_open_stream(&t, _i, NULL);
    if (t.tp == UNIX_STREAM) {
        peer_connect(&t, &peer);
        await(&t, &t.listener, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_accept(t.p, &t.listener, &s, &a), GNP_OK);
        ck_assert_int_eq(a.family, GNP_FAMILY_UNIX);
        ck_assert_int_eq(a.len, 0);
        ck_assert_int_eq(gnp_sock_peer(&s, &a), GNP_OK);
        ck_assert_int_eq(a.family, GNP_FAMILY_UNIX);
        ck_assert_int_eq(a.len, 0);
        ck_assert_int_eq(gnp_sock_peer(&peer, &a), GNP_OK);
        ck_assert_uint_eq(a.len, strlen(t.path));
        gnp_sock_close(&s, 0);
        peer_close(&t, &peer, 0);
    }
    subject_close(&t);
}
END_TEST

Suite *suite_listen(void)
{
    Suite *s = suite_create("listen");

    ADD_TEST(s, port_in_use);
    ADD_TEST(s, datagram_port_in_use);
    ADD_TEST(s, not_our_address);
    ADD_STREAM_TEST(s, restart_on_the_same_port);
    ADD_TEST(s, every_option);
    ADD_TEST(s, path_is_a_file);
    ADD_TEST(s, path_is_a_folder);
    ADD_TEST(s, path_is_served);
    ADD_TEST(s, path_is_served_with_a_full_queue);
    ADD_TEST(s, path_is_stale);
    ADD_TEST(s, foreign_socket_stays);
    ADD_TEST(s, path_lengths);
    ADD_STREAM_TEST(s, unnamed_peers);
    return s;
}
