/* SPDX-License-Identifier: MIT */
/* Options of one listener, limits of connections, pauses, balance, and sockets of others. */
#include "harness.h"

#include <stdio.h>

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

/* The ways of a connection to its loop: no other loop, an acceptor for all, one listener each, Unix. */
enum { WAY_ALONE, WAY_ACCEPTOR, WAY_REUSEPORT, WAY_UNIX, WAYS };

static gn_options way_options(int way)
{
    gn_options o = nt_options(way == WAY_ALONE ? 1 : 3);
    o.reuseport = nt_sharing(way == WAY_REUSEPORT);
    return o;
}

static const char *way_url(int way)
{
    return way == WAY_UNIX ? nt_unix_url() : "tcp://127.0.0.1:0";
}

static gn_engine *make(const gn_handler *h, void *user, const gn_options *o)
{
    gn_engine *e = NULL;
    ck_assert_int_eq(gn_engine_create(&e, h, user, o), GN_OK);
    return e;
}

static int echo_once(tc *c)
{
    int rc = tc_send_text(c, "echo");
    return rc == GNP_OK ? tc_recv_text(c, "echo") : rc;
}

static void one_echo(tc_net *net, const char *url)
{
    tc *c = tc_connect(net, url);
    ck_assert_int_eq(echo_once(c), GNP_OK);
    tc_close(c);
}

static unsigned port_of(gn_engine *e, unsigned i)
{
    gn_addr a;
    ck_assert_int_eq(gn_engine_addr(e, i, &a), GN_OK);
    return gn_addr_port(&a);
}

static gn_stats stats_of(const gn_engine *e)
{
    gn_stats s;
    s.size = sizeof(s);
    ck_assert_int_eq(gn_engine_stats(e, &s), GN_OK);
    return s;
}

/* ---------------------------------------------------------------- options */

static gn_action shout(gn_conn *c, void *user)
{
    const char *word = user;
    (void)gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_write(c, word, strlen(word)), GN_OK);
    return GN_NONE;
}

/* Each address has its own table and user; one without has those of the engine. */
START_TEST(each_listener_has_its_handler)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    static const gn_handler other = { .on_traffic = shout };
    static char first[] = "first", second[] = "second", third[] = "nobody's";
    gn_options o = way_options(_i);
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    gn_engine *e = make(&echo_handler, NULL, &o);
    gn_listen_options_init(&lo);
    lo.handler = &other;
    lo.user = first;
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), &lo), GN_OK);
    lo.user = second;
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), &lo), GN_OK);
    lo.user = third;
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), NULL), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 0; i < 6; i++) {
        tc *a = tc_connect(net, nt_url(e, 0)), *b = tc_connect(net, nt_url(e, 1));
        ck_assert_int_eq(tc_send_text(a, "?"), GNP_OK);
        ck_assert_int_eq(tc_send_text(b, "?"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(a, "first"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(b, "second"), GNP_OK);
        tc_close(a);
        tc_close(b);
        one_echo(net, nt_url(e, 2));
    }
    nt_await(NT_CLOSE, 6);
    ck_assert_uint_eq(nt_count(NT_OPEN), 6);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Is a listener of every address, or of IPv6's alone, what v6only says? */
static int as_told(const gn_options *o, int only)
{
    char v4[64], v6[64];
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    gn_engine *e = make(&echo_handler, NULL, o);
    int refused = 1;
    gn_listen_options_init(&lo);
    lo.v6only = only;
    ck_assert_int_eq(gn_engine_listen_with(e, only ? "tcp://:0" : "tcp6://:0", &lo), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    snprintf(v4, sizeof(v4), "tcp://127.0.0.1:%u", port_of(e, 0));
    snprintf(v6, sizeof(v6), "tcp://[::1]:%u", port_of(e, 0));
    for (unsigned i = 0; i < 12; i++) {
        one_echo(net, v6);
        if (only)
            refused &= tc_refused(net, v4);
        else
            one_echo(net, v4);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    return refused;
}

/* D15 too: what v6only says holds for each of the sockets that share the port.  Another program may listen
 * there on IPv4 by chance. */
START_TEST(v6only_is_as_told)
{
    gn_options o = way_options(_i);
    if (!gnp_has_ipv6())
        return;
    ck_assert(as_told(&o, 0));
    for (unsigned i = 0; !as_told(&o, 1); i++)
        ck_assert_uint_lt(i, 3);
}
END_TEST

START_TEST(absurd_listen_options_are_refused)
{
    struct { gn_listen_options o; unsigned char newer[64]; } big;
    size_t older = offsetof(gn_listen_options, backlog);
    gn_options o = nt_options(1);
    gn_engine *e = make(&echo_handler, NULL, &o);
    gn_listen_options lo;
    const char *url = "tcp://127.0.0.1:0";
    gn_listen_options_init(&lo);
    ck_assert_int_eq(lo.v6only, -1);
    lo.backlog = -1;
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_EINVAL);
    gn_listen_options_init(&lo);
    lo.v6only = 2;
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_EINVAL);
    gn_listen_options_init(&lo);
    lo.unix_mode = 01777;
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_EINVAL);
    lo.unix_mode = 0600; /* of a TCP port? */
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_ENOTSUP);
    gn_listen_options_init(&lo);
    lo.opt_count = 1;
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_EINVAL);
    memset(&lo, 0, sizeof(lo)); /* nobody initialised it */
    ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen_with(e, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen_with(NULL, url, NULL), GN_EINVAL);

    /* An older header knows less, a newer one more; what is set of that is refused. */
    memset(&big, 0xff, sizeof(big));
    gn_listen_options_init_sized(&big.o, sizeof(big));
    ck_assert_uint_eq(big.newer[0] + big.newer[63], 0);
    ck_assert_int_eq(gn_engine_listen_with(e, url, &big.o), GN_OK);
    big.newer[8] = 1;
    ck_assert_int_eq(gn_engine_listen_with(e, url, &big.o), GN_EINVAL);
    memset(&big, 0xff, sizeof(big));
    gn_listen_options_init_sized(&big.o, older + (0 - older) % _Alignof(gn_listen_options));
    ck_assert_int_eq(gn_engine_listen_with(e, url, &big.o), GN_OK);
    ck_assert_uint_eq(gn_engine_addr_count(e), 2);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

static gn_action note_keepalive(gn_conn *c, void *user)
{
    int64_t v = -1;
    (void)user;
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_KEEPALIVE, &v), GN_OK);
    nt_note(NT_OPEN, 0, (int)v);
    return GN_NONE;
}

/* Options of the listener, of which the accepted inherit. */
START_TEST(options_are_inherited)
{
    static const gn_handler h = { .on_open = note_keepalive, .on_traffic = nt_echo };
    const gn_opt_value opts[] = { { GN_OPT_KEEPALIVE, 77 }, { GN_OPT_KEEPALIVE_COUNT, 3 } };
    gn_options o = way_options(_i);
    gn_listen_options lo;
    gn_engine *e = make(&h, NULL, &o);
    tc_net *net = tc_net_open();
    gn_listen_options_init(&lo);
    lo.opts = opts;
    lo.opt_count = 2;
    lo.backlog = 64;
    if (nt_lacks("keepalive-times")) {
        ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), &lo), GN_ENOTSUP);
        lo.opt_count = 1;
    }
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), &lo), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 0; i < 6; i++) {
        one_echo(net, nt_url(e, 0));
        if (nt_lacks("keepalive-times"))
            ck_assert_int_gt(nt_nth(NT_OPEN, i).status, 0); /* which time is not told */
        else
            ck_assert_int_eq(nt_nth(NT_OPEN, i).status, 77);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* D14: that the port is taken is what counts, not that an option would have failed too. */
START_TEST(bind_error_comes_first)
{
    const gn_opt_value bad = { GN_OPT_INCOMING_CPU, 0 }; /* read only */
    gn_options o = way_options(_i);
    gn_listen_options lo;
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL), *f;
    tc_net *net = tc_net_open();
    int rc;
    o.reuseport = 0;
    f = make(&echo_handler, NULL, &o);
    gn_listen_options_init(&lo);
    lo.opts = &bad;
    lo.opt_count = 1;
    ck_assert_int_eq(gn_engine_listen_with(f, nt_url(e, 0), &lo), GN_EADDRINUSE);
    rc = gn_engine_listen_with(f, "tcp://127.0.0.1:0", &lo);
    ck_assert_msg(rc == GN_ENOTSUP || rc == GN_EINVAL, "a read-only option: %s", gn_strerror(rc));
    ck_assert_uint_eq(gn_engine_addr_count(f), 0);
    ck_assert_int_eq(gn_engine_destroy(f), GN_OK);
    one_echo(net, nt_url(e, 0));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(devices_and_groups)
{
    gn_options o = nt_options(2);
    gn_engine *e = make(&echo_handler, NULL, &o);
    gn_listen_options lo;
    int rc;
    gn_listen_options_init(&lo);
    lo.device = "no-such-device";
    rc = gn_engine_listen_with(e, "tcp://127.0.0.1:0", &lo);
    ck_assert_msg(rc == GN_ENOENT || rc == GN_EACCES || rc == GN_ENOTSUP, "%s", gn_strerror(rc));
    ck_assert_int_eq(gn_engine_listen_with(e, nt_unix_url(), &lo), GN_ENOTSUP);
    gn_listen_options_init(&lo);
    lo.multicast_if = "no-such-device";
    ck_assert_int_eq(gn_engine_listen_with(e, "udp://239.255.77.1:0", &lo), GN_ENOENT);
    ck_assert_uint_eq(gn_engine_addr_count(e), 0);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

/* A socket of one interface is not to be reached by another: the loopback serves itself only. */
START_TEST(one_device)
{
    static const char *const names[] = { "lo", "lo0", "eth0", "ens3", "en0" };
    tc_net *net = tc_net_open();
    gn_options o = nt_options(1);
    gn_engine *e;
    gn_listen_options lo;
    unsigned loopback = gn_interface_index("127.0.0.1");
    int rc, status;
    tc *c;
    gn_listen_options_init(&lo);
    lo.device = names[_i];
    e = make(&echo_handler, NULL, &o);
    rc = gn_engine_listen_with(e, "tcp4://0.0.0.0:0", &lo);
    if (gn_interface_index(names[_i]) == 0) {
        ck_assert_msg(rc == GN_ENOENT || rc == GN_EACCES || rc == GN_ENOTSUP, "%s", gn_strerror(rc));
    } else if (rc != GN_EACCES && rc != GN_ENOTSUP) {
        char url[64];
        gn_addr a;
        ck_assert_int_eq(rc, GN_OK);
        ck_assert_int_eq(gn_engine_addr(e, 0, &a), GN_OK);
        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", gn_addr_port(&a));
        ck_assert_int_eq(gn_engine_start(e), GN_OK);
        status = tc_try_connect(net, url, &c);
        ck_assert_int_eq(status, gn_interface_index(names[_i]) == loopback ? GNP_OK : GNP_ECONNREFUSED);
        if (status == GNP_OK) {
            ck_assert_int_eq(tc_send_text(c, "echo"), GNP_OK);
            ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
            tc_close(c);
        }
        nt_stop(e, NT_SECOND);
        e = NULL;
    }
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    tc_net_close(net);
}
END_TEST

/* An address of one zone: the loopback's own, by name and number, and zones that are none. */
START_TEST(zones)
{
    gn_options o = nt_options(2);
    gn_engine *e = make(&echo_handler, NULL, &o);
    char url[64];
    int rc;
    ck_assert_int_eq(gn_engine_listen(e, "tcp://[fe80::1%no-such-device]:0"), GN_EADDR);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://[fe80::1%]:0"), GN_EADDR);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://[fe80::1%0]:0"), GN_EADDR);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://[fe80::1%4294967297]:0"), GN_EADDR);
    if (gnp_has_ipv6() && gn_interface_index("127.0.0.1") != 0) {
        tc_net *net = tc_net_open();
        snprintf(url, sizeof(url), "tcp://[fe80::77%%%u]:0", gn_interface_index("127.0.0.1"));
        rc = gn_engine_listen(e, url); /* a link-local address that nobody has */
        ck_assert_msg(rc == GN_EADDRNOTAVAIL || rc == GN_EINVAL, "%s: %s", url, gn_strerror(rc));
        snprintf(url, sizeof(url), "tcp://[::1%%%u]:0", gn_interface_index("127.0.0.1"));
        rc = gn_engine_listen(e, url);
        if (rc == GN_OK) { /* which this system takes for what it is */
            ck_assert_int_eq(gn_engine_start(e), GN_OK);
            one_echo(net, nt_url(e, 0));
            nt_stop(e, NT_SECOND);
            e = NULL;
        }
        tc_net_close(net);
    }
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

static unsigned heard; /* by group_traffic */

static gn_action group_traffic(gn_conn *c, void *user)
{
    (void)user;
    heard += (unsigned)gn_conn_inbound(c);
    nt_note(NT_TRAFFIC, 0, (int)gn_loop_index(gn_conn_loop(c)));
    return GN_NONE;
}

static void send_to_group(gn_handle h, int status, void *arg)
{
    int64_t loopback = (int64_t)gn_interface_index("127.0.0.1");
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gn_conn_set_opt(gn_conn_from_handle(h), GN_OPT_MULTICAST_IF, loopback), GN_OK);
    NT_EXPECT_INT(gn_conn_send_to(gn_conn_from_handle(h), arg, "group", 5), GN_OK);
    nt_note(NT_DONE, 0, 0);
}

/* Joined on one socket: each datagram comes once, however many loops there are. */
START_TEST(a_group_is_joined_once)
{
    NT_WANTS("multicast");
    static const gn_handler h = { .on_traffic = group_traffic };
    gn_options o = nt_options(3);
    gn_engine *e = make(&h, NULL, &o), *sender;
    gn_listen_options lo;
    gn_addr to;
    int rc;
    heard = 0;
    gn_listen_options_init(&lo);
    lo.multicast_if = "127.0.0.1";
    rc = gn_engine_listen_with(e, "udp4://239.255.77.1:0", &lo);
    ck_assert_msg(rc == GN_OK, "joining: %s (%d)", gn_strerror(rc), gn_os_error());
    ck_assert_int_eq(gn_engine_addr(e, 0, &to), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    o.loops = 1;
    sender = nt_start(&h, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(gn_execute(gn_engine_endpoint(sender, 0, 0), send_to_group, &to), GN_OK);
        nt_await(NT_TRAFFIC, i + 1);
    }
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 3);
    nt_stop(sender, NT_SECOND);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(heard, 15);
}
END_TEST

START_TEST(abstract_names)
{
    gn_options o = nt_options(2);
    gn_engine *e = make(&echo_handler, NULL, &o), *f;
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    char url[160];
    int rc;
    snprintf(url, sizeof(url), "unix://@gannet-%s", strrchr(nt_path(), '/') + 1);
    rc = gn_engine_listen(e, url);
    if (rc == GN_ENOTSUP) {
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        tc_net_close(net);
        NT_SKIP("no abstract names here");
    }
    ck_assert_int_eq(rc, GN_OK);
    ck_assert_str_eq(nt_url(e, 0), url);
    f = make(&echo_handler, NULL, &o);
    ck_assert_int_eq(gn_engine_listen(f, url), GN_EADDRINUSE);
    gn_listen_options_init(&lo);
    lo.unix_mode = 0600;
    ck_assert_int_eq(gn_engine_listen_with(f, "unix://@gannet-mode", &lo), GN_ENOTSUP);
    ck_assert_int_eq(gn_engine_listen(f, "unix://@"), GN_EADDR);
    ck_assert_int_eq(gn_engine_destroy(f), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    one_echo(net, url);
    nt_stop(e, NT_SECOND);
    f = nt_start(&echo_handler, NULL, &o, url, (char *)NULL); /* it is free at once */
    one_echo(net, url);
    nt_stop(f, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(unix_paths_have_permissions)
{
    NT_WANTS_UNIX();
    static const unsigned modes[] = { 0600, 0660, 0777 };
    static const char *const shown[] = { "srw-------", "srw-rw----", "srwxrwxrwx" };
    gn_options o = nt_options(1);
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    char url[160];
    for (unsigned i = 0; i < 3; i++) {
        const char *path = nt_path();
        gn_engine *e = make(&echo_handler, NULL, &o);
        snprintf(url, sizeof(url), "unix://%s", path);
        gn_listen_options_init(&lo);
        lo.unix_mode = modes[i];
        ck_assert_int_eq(gn_engine_listen_with(e, url, &lo), GN_OK);
        ck_assert_int_eq(nt_shell("ls -l %s | grep -q '^%s'", path, shown[i]), 0);
        ck_assert_int_eq(gn_engine_start(e), GN_OK);
        one_echo(net, url);
        nt_stop(e, NT_SECOND);
        ck_assert_int_ne(nt_shell("test -e %s", path), 0);
    }
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- sockets of others */

/* A restart without a gap: the next engine takes a duplicate, and nobody who connects is refused. */
START_TEST(restart_without_a_gap)
{
    if (_i == 3)
        NT_WANTS_UNIX();
    static const char *const urls[] = { "tcp://127.0.0.1:0", "udp://127.0.0.1:0", "tcp6://[::1]:0" };
    gn_options o = nt_options(2);
    const char *own = nt_unix_url();
    const char *url = _i < 3 ? urls[_i] : own;
    gn_engine *e, *f;
    gn_descriptor d = -1;
    tc_net *net = tc_net_open();
    char text[8], first[160];
    size_t n;
    tc *c;
    if (_i == 2 && !gnp_has_ipv6()) {
        tc_net_close(net);
        return;
    }
    e = nt_start(&echo_handler, NULL, &o, url, (char *)NULL);
    snprintf(first, sizeof(first), "%s", nt_url(e, 0));
    ck_assert_int_eq(gn_engine_listener_dup(e, 1, &d), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listener_dup(e, 0, &d), GN_OK);
    ck_assert_int_ge(d, 0);
    ck_assert_int_eq(gn_engine_stop(e, NT_SECOND), GN_OK);
    ck_assert_int_eq(nt_join(e), GN_OK);
    {
        gn_descriptor none;
        ck_assert_int_eq(gn_engine_listener_dup(e, 0, &none), GN_ECLOSED);
    }
    if (_i < 3)
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK); /* of the Unix one it would remove the path */

    c = tc_connect(net, first); /* nobody serves, but the socket is there */
    ck_assert_int_eq(_i == 1 ? tc_dgram_send(c, "echo", 4) : tc_send_text(c, "echo"), GNP_OK);
    f = make(&echo_handler, NULL, &o);
    ck_assert_int_eq(gn_engine_listen_descriptor(f, d, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_start(f), GN_OK);
    ck_assert_str_eq(strchr(nt_url(f, 0), ':'), strchr(first, ':'));
    if (_i == 1)
        ck_assert_int_eq(tc_dgram_recv(c, text, sizeof(text), &n), GNP_OK);
    else
        ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
    tc_close(c);
    nt_stop(f, NT_SECOND);
    if (_i == 3) {
        ck_assert_int_eq(nt_shell("test -S %s", first + strlen("unix://")), 0); /* not ours to remove */
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        ck_assert_int_ne(nt_shell("test -e %s", first + strlen("unix://")), 0);
    }
    tc_net_close(net);
}
END_TEST

/* One that has ended and is destroyed late takes no path away that is another's by now, also if the file
 * system gave that the number of its own. */
START_TEST(path_of_a_successor)
{
    NT_WANTS_UNIX();
    gn_options o = nt_options(1);
    const char *url = nt_unix_url();
    tc_net *net = tc_net_open();
    for (unsigned i = 0; i < 5; i++) {
        gn_engine *e = nt_start(&echo_handler, NULL, &o, url, (char *)NULL), *f;
        ck_assert_int_eq(gn_engine_stop(e, NT_SECOND), GN_OK);
        ck_assert_int_eq(nt_join(e), GN_OK);
        gnp_sleep_until(gnp_now() + 20 * NT_MS); /* beyond the steps of the file system's clock */
        f = nt_start(&echo_handler, NULL, &o, url, (char *)NULL);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        one_echo(net, url);
        nt_stop(f, NT_SECOND);
        ck_assert_int_ne(nt_shell("test -e %s", url + strlen("unix://")), 0);
    }
    tc_net_close(net);
}
END_TEST

static gn_descriptor dup_of_conn;

static gn_action look_at_socket(gn_conn *c, void *user)
{
    int64_t v = -1;
    gn_cred cred;
    int unix_stream = user != NULL;
    gn_addr mine;
    int rc;
    (void)gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_local_addr(c, &mine), GN_OK);
    NT_EXPECT(gn_conn_descriptor(c) >= 0);
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, &v), unix_stream ? GN_ENOTSUP : GN_OK);
    if (!unix_stream) {
        NT_EXPECT_INT(v, 1);
        NT_EXPECT_INT(gn_conn_set_opt(c, GN_OPT_NODELAY, 0), GN_OK);
        NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, &v), GN_OK);
        NT_EXPECT_INT(v, 0);
    }
    NT_EXPECT(gn_conn_set_opt(c, (gn_opt)9999, 1) < 0);
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_set_opt(NULL, GN_OPT_NODELAY, 1), GN_EINVAL);
    rc = gn_conn_peer_cred(c, &cred);
    NT_EXPECT(rc == GN_ENOTSUP || (unix_stream && rc == GN_OK && (cred.uid >= 0 || cred.uid == -1)));
    if (rc == GN_OK) { /* both ends are this process, whose child the shell is */
        NT_EXPECT(cred.pid == -1 || nt_shell("test $PPID -eq %lld", (long long)cred.pid) == 0);
        NT_EXPECT(cred.uid == -1 || nt_shell("test $(id -u) -eq %lld", (long long)cred.uid) == 0);
        NT_EXPECT(cred.gid == -1 || nt_shell("test $(id -g) -eq %lld", (long long)cred.gid) == 0);
    }
    NT_EXPECT_INT(gn_conn_peer_cred(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_dup(c, &dup_of_conn), GN_OK);
    NT_EXPECT(dup_of_conn >= 0 && dup_of_conn != gn_conn_descriptor(c));
    NT_EXPECT_INT(gn_conn_close(c), GN_OK);
    NT_EXPECT_INT(gn_conn_set_opt(c, GN_OPT_RECV_BUFFER, 65536), GN_OK); /* it still sends */
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

static gn_action closed_socket(gn_conn *c, int reason, void *user)
{
    int64_t v;
    (void)user;
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_RECV_BUFFER, &v), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_descriptor(c), -1);
    nt_note(NT_CLOSE, 0, reason);
    return GN_NONE;
}

static gn_action note_descriptors(gn_conn *c, void *user)
{
    gn_descriptor d = -1;
    (void)user;
    gn_conn_discard(c, gn_conn_inbound(c));
    while (gn_conn_recv_descriptor(c, &d) == GN_OK) {
        NT_EXPECT(d >= 0);
        gnp_descriptor_close(d);
        nt_note(NT_A, 0, 0);
    }
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

/* What is asked of the listener each connection has, on whatever loop; and without it none. */
START_TEST(listener_that_passes_descriptors)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_traffic = note_descriptors };
    gn_opt_value pass = { GN_OPT_PASS_DESCRIPTORS, _i };
    gn_options o = nt_options(2);
    gn_engine *e = make(&h, NULL, &o);
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    gn_listen_options_init(&lo);
    lo.opts = &pass;
    lo.opt_count = 1;
    ck_assert_int_eq(gn_engine_listen_with(e, "tcp://127.0.0.1:0", &lo), GN_ENOTSUP);
    ck_assert_int_eq(gn_engine_listen_with(e, nt_unix_url(), &lo), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 1; i <= 4; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        size_t sent;
        ck_assert_int_eq(gnp_send_descriptor(net->poller, &c->sock, c->sock.os, "x", 1, &sent), GNP_OK);
        nt_await(NT_TRAFFIC, i);
        ck_assert_uint_eq(nt_count(NT_A), _i ? i : 0);
        tc_close(c);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(the_socket_of_a_connection)
{
    if (_i == 1)
        NT_WANTS_UNIX();
    static const gn_handler h = { .on_traffic = look_at_socket, .on_close = closed_socket };
    static int yes;
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, _i ? &yes : NULL, &o, _i ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL),
              *f = make(&h, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "?"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    nt_await(NT_CLOSE, 1);
    /* A connection is nothing to listen on, and stays ours; nor is what is no socket. */
    ck_assert_int_eq(gn_engine_listen_descriptor(f, dup_of_conn, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen_descriptor(f, -1, NULL), GN_EINVAL);
    if (sizeof(gn_descriptor) > sizeof(int)) { /* the lower half is one that would do */
        gn_descriptor d = -1;
        ck_assert_int_eq(gn_engine_listener_dup(e, 0, &d), GN_OK);
        ck_assert_int_eq(gn_engine_listen_descriptor(f, d | (gn_descriptor)((uint64_t)1 << 32), NULL),
                         GN_EINVAL);
        gnp_descriptor_close(d);
    }
    gnp_descriptor_close(dup_of_conn);
    ck_assert_int_eq(gn_engine_listen_descriptor(f, dup_of_conn, NULL), GN_EINVAL);
    ck_assert_uint_eq(gn_engine_addr_count(f), 0);
    ck_assert_int_eq(gn_engine_destroy(f), GN_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- limits */

static gnp_atomic32 inside, most; /* connections between on_open and the end of on_close */

static gn_action crowd_open(gn_conn *c, void *user)
{
    uint32_t now = gnp_add32(&inside, 1) + 1, seen = gnp_load32(&most);
    (void)c;
    (void)user;
    while (now > seen && !gnp_cas32(&most, &seen, now)) {
    }
    nt_note(NT_OPEN, 0, 0);
    return GN_NONE;
}

static gn_action crowd_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    gnp_sub32(&inside, 1);
    nt_note(NT_CLOSE, 0, reason);
    return GN_NONE;
}

static const gn_handler crowd_handler = { .on_open = crowd_open,
                                          .on_traffic = nt_echo,
                                          .on_close = crowd_close };

static gn_engine *limited(int way, int of_listener, unsigned max, gn_overload overload)
{
    gn_options o = way_options(way);
    gn_listen_options lo;
    gn_engine *e;
    gnp_store32(&inside, 0);
    gnp_store32(&most, 0);
    gn_listen_options_init(&lo);
    o.overload = overload;
    *(of_listener ? &lo.conns_max : &o.conns_max) = max;
    e = make(&crowd_handler, NULL, &o);
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(way), &lo), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    return e;
}

/* A storm: all connect at once, each is served and leaves, and there are never more than the limit. */
START_TEST(who_waits_is_served)
{
    if (_i % WAYS == WAY_UNIX)
        NT_WANTS_UNIX();
    enum { MOST = 5 };
    unsigned n = nt_scaled(120, 20);
    gn_engine *e = limited(_i % WAYS, _i / WAYS, MOST, GN_OVERLOAD_WAIT);
    tc_net *net = tc_net_open();
    tc **c = calloc(n, sizeof(tc *));
    unsigned left = n;
    uint64_t end = nt_deadline();
    for (unsigned i = 0; i < n; i++) {
        c[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(c[i], "echo"), GNP_OK);
    }
    nt_await(NT_OPEN, MOST);
    while (left > 0) {
        ck_assert_msg(gnp_now() < end, "%u of %u were never served", left, n);
        for (unsigned i = 0; i < n; i++) {
            char text[8];
            size_t got = 0;
            int rc = c[i] == NULL ? GNP_ETIMEDOUT : tc_recv_until(c[i], text, sizeof(text), &got, gnp_now());
            ck_assert_msg(rc == GNP_OK || rc == GNP_ETIMEDOUT, "receiving: %d", rc);
            if (rc == GNP_OK) {
                ck_assert_uint_eq(got, 4);
                tc_close(c[i]);
                c[i] = NULL;
                left--;
            }
        }
    }
    nt_await(NT_CLOSE, n);
    ck_assert_uint_eq(gnp_load32(&most), MOST);
    ck_assert_uint_eq(stats_of(e).refused, 0);
    ck_assert_uint_eq(stats_of(e).accepted, n);
    one_echo(net, nt_url(e, 0)); /* none of the places was lost */
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    free(c);
}
END_TEST

/* At the limit it is quiet: no spin, and those inside are served. */
START_TEST(waiting_costs_nothing)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    gn_engine *e = limited(_i, 0, 1, GN_OVERLOAD_WAIT);
    tc_net *net = tc_net_open();
    tc *in = tc_connect(net, nt_url(e, 0)), *out[3];
    uint64_t cpu;
    ck_assert_int_eq(echo_once(in), GNP_OK);
    for (unsigned i = 0; i < 3; i++) {
        out[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(out[i], "echo"), GNP_OK);
    }
    cpu = gnp_process_cpu();
    ck_assert(tc_quiet(out[0], 200 * NT_MS));
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 60 * NT_MS);
    ck_assert_int_eq(echo_once(in), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_OPEN), 1);
    tc_close(in);
    for (unsigned i = 0; i < 3; i++) {
        if (_i != WAY_REUSEPORT) { /* one queue: in order of coming */
            ck_assert_int_eq(tc_recv_text(out[i], "echo"), GNP_OK);
        }
        tc_close(out[i]);
    }
    nt_await(NT_CLOSE, 4);
    ck_assert_uint_eq(gnp_load32(&most), 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Who comes at the limit is reset and counted, nobody else is; a place that is left is taken. */
START_TEST(who_is_too_many_is_refused)
{
    if (_i % WAYS == WAY_UNIX)
        NT_WANTS_UNIX();
    enum { MOST = 4, MORE = 10 };
    gn_engine *e = limited(_i % WAYS, _i / WAYS, MOST, GN_OVERLOAD_REFUSE);
    tc_net *net = tc_net_open();
    tc *c[MOST], *late;
    unsigned refused = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = round == 0 ? 0 : 3; i < MOST; i++) {
            c[i] = tc_connect(net, nt_url(e, 0));
            ck_assert_int_eq(echo_once(c[i]), GNP_OK);
        }
        for (unsigned i = 0; i < MORE; i++) {
            char byte;
            if (tc_try_connect(net, nt_url(e, 0), &late) == GNP_OK) {
                int rc = tc_recv_exact(late, &byte, 1);
                ck_assert_msg(rc == GNP_ECONNRESET || rc == GNP_EOF, "got %d", rc); /* Unix has no reset */
                tc_close(late);
            }
            refused++;
        }
        NT_UNTIL(stats_of(e).refused == refused);
        tc_close(c[3]);
        nt_await(NT_CLOSE, round + 1);
        NT_UNTIL(stats_of(e).conns == MOST - 1);
        gnp_sleep_until(gnp_now() + 5 * NT_MS); /* the place is free just after on_close */
    }
    ck_assert_uint_eq(stats_of(e).accepted, MOST + 2);
    ck_assert_uint_le(gnp_load32(&most), MOST);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(echo_once(c[i]), GNP_OK);
        tc_close(c[i]);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The limit of one listener is no business of the other's, but both are the engine's. */
START_TEST(limits_of_listener_and_engine)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    gn_options o = way_options(_i);
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    tc *small, *big[4], *waits, *waits_too;
    gn_engine *e;
    o.conns_max = 4;
    e = make(&echo_handler, NULL, &o);
    gn_listen_options_init(&lo);
    lo.conns_max = 1;
    ck_assert_int_eq(gn_engine_listen_with(e, way_url(_i), &lo), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, way_url(_i)), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    small = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(small), GNP_OK);
    waits = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(waits, "echo"), GNP_OK);
    for (unsigned i = 0; i < 3; i++) {
        big[i] = tc_connect(net, nt_url(e, 1));
        ck_assert_int_eq(echo_once(big[i]), GNP_OK);
    }
    big[3] = tc_connect(net, nt_url(e, 1));
    ck_assert_int_eq(tc_send_text(big[3], "echo"), GNP_OK);
    ck_assert(tc_quiet(waits, 30 * NT_MS));
    ck_assert_uint_eq(nt_count(NT_OPEN), 4);

    /* One of the other listener leaves: its place is not for the one who waits at the small one. */
    tc_close(big[0]);
    ck_assert_int_eq(tc_recv_text(big[3], "echo"), GNP_OK);
    ck_assert(tc_quiet(waits, 30 * NT_MS));
    tc_close(small);
    ck_assert_int_eq(tc_recv_text(waits, "echo"), GNP_OK);

    /* Both full again; the small one's place alone is of no use while the engine is full. */
    waits_too = tc_connect(net, nt_url(e, 1));
    ck_assert_int_eq(tc_send_text(waits_too, "echo"), GNP_OK);
    ck_assert(tc_quiet(waits_too, 30 * NT_MS));
    tc_close(waits);
    ck_assert_int_eq(tc_recv_text(waits_too, "echo"), GNP_OK);
    for (unsigned i = 1; i < 4; i++)
        tc_close(big[i]);
    tc_close(waits_too);
    nt_await(NT_CLOSE, 7);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Keeps all it gets: the budget of bytes fills. */
static gn_action hoard(gn_conn *c, void *user)
{
    (void)user;
    if (gn_conn_inbound(c) < 64 * NT_KIB)
        return GN_NONE;
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

/* A budget that is full is a limit too; as soon as bytes are given back, newcomers are welcome. */
START_TEST(full_budget_keeps_newcomers_out)
{
    if (_i % WAYS == WAY_UNIX)
        NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = hoard, .on_close = nt_on_close };
    gn_options o = way_options(_i % WAYS);
    gn_overload overload = _i / WAYS ? GN_OVERLOAD_REFUSE : GN_OVERLOAD_WAIT;
    gn_engine *e;
    tc_net *net = tc_net_open();
    unsigned char *bytes = calloc(1, 64 * NT_KIB);
    tc *full, *late;
    char byte;
    o.overload = overload;
    o.engine_bytes_max = 64 * NT_KIB;
    e = nt_start(&h, NULL, &o, way_url(_i % WAYS), (char *)NULL);
    full = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_all(full, bytes, 64 * NT_KIB), GNP_OK);
    NT_UNTIL(stats_of(e).bytes_held >= 64 * NT_KIB);
    gnp_sleep_until(gnp_now() + 5 * NT_MS);
    if (overload == GN_OVERLOAD_WAIT) {
        late = tc_connect(net, nt_url(e, 0));
        gnp_sleep_until(gnp_now() + 50 * NT_MS);
        ck_assert_uint_eq(nt_count(NT_OPEN), 1);
        tc_reset(full); /* a plain end is read only once there is room */
        nt_await(NT_OPEN, 2);
        ck_assert_uint_eq(stats_of(e).refused, 0);
        tc_close(late);
    } else {
        int rc = tc_try_connect(net, nt_url(e, 0), &late);
        if (rc == GNP_OK) {
            rc = tc_recv_exact(late, &byte, 1);
            ck_assert_msg(rc == GNP_ECONNRESET || rc == GNP_EOF, "got %d", rc);
            tc_close(late);
        }
        NT_UNTIL(stats_of(e).refused == 1);
        tc_reset(full);
        nt_await(NT_CLOSE, 1);
        gnp_sleep_until(gnp_now() + 30 * NT_MS);
        late = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, 2);
        tc_close(late);
    }
    nt_await(NT_CLOSE, 2);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    free(bytes);
}
END_TEST

/* ---------------------------------------------------------------- pauses */

/* Also again and again, in any order: the last word counts. */
START_TEST(pause_and_resume)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    gn_options o = way_options(_i);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, way_url(_i), way_url(_i), (char *)NULL);
    tc_net *net = tc_net_open();
    for (unsigned round = 1; round <= 5; round++) {
        unsigned before = nt_count(NT_OPEN);
        tc *c[8];
        uint64_t cpu;
        for (unsigned i = 0; i < round; i++)
            ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
        for (unsigned i = 0; i < 8; i++) {
            c[i] = tc_connect(net, nt_url(e, 0));
            ck_assert_int_eq(tc_send_text(c[i], "echo"), GNP_OK);
        }
        cpu = gnp_process_cpu();
        ck_assert(tc_quiet(c[0], 60 * NT_MS));
        ck_assert_uint_lt(gnp_process_cpu() - cpu, 40 * NT_MS); /* no spin on what waits */
        ck_assert_uint_eq(nt_count(NT_OPEN), before);
        one_echo(net, nt_url(e, 1)); /* the other one goes on */
        for (unsigned i = 0; i < round; i++) {
            ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
            ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
            ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
        }
        for (unsigned i = 0; i < 8; i++) {
            ck_assert_int_eq(tc_recv_text(c[i], "echo"), GNP_OK);
            tc_close(c[i]);
        }
    }
    ck_assert_int_eq(gn_engine_pause_accept(e, 2), GN_EINVAL);
    ck_assert_int_eq(gn_engine_resume_accept(NULL, 0), GN_EINVAL);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK); /* it stops paused */
    ck_assert_int_eq(gn_engine_stop(e, NT_SECOND), GN_OK);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_ECLOSED);
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_ECLOSED);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    tc_net_close(net);
}
END_TEST

START_TEST(paused_before_it_runs)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    gn_options o = way_options(_i);
    gn_engine *e = make(&echo_handler, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c;
    ck_assert_int_eq(gn_engine_listen(e, way_url(_i)), GN_OK);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "echo"), GNP_OK);
    ck_assert(tc_quiet(c, 40 * NT_MS));
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
    ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Two reasons to rest: neither's end undoes the other. */
START_TEST(pause_at_the_limit)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    gn_engine *e = limited(_i, 0, 2, GN_OVERLOAD_WAIT);
    tc_net *net = tc_net_open();
    tc *in[2], *out[2];
    for (unsigned i = 0; i < 2; i++) {
        in[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(echo_once(in[i]), GNP_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        out[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(out[i], "echo"), GNP_OK);
    }
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    tc_close(in[0]); /* room, but paused */
    nt_await(NT_CLOSE, 1);
    ck_assert(tc_quiet(out[0], 40 * NT_MS));
    ck_assert_uint_eq(nt_count(NT_OPEN), 2);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK); /* one of them goes in */
    nt_await(NT_OPEN, 3);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK); /* not paused, but no room */
    gnp_sleep_until(gnp_now() + 40 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_OPEN), 3);
    tc_close(in[1]);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(tc_recv_text(out[i], "echo"), GNP_OK);
    ck_assert_uint_eq(gnp_load32(&most), 2);
    for (unsigned i = 0; i < 2; i++)
        tc_close(out[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Without descriptors accepting rests by itself; a pause then must outlast that. */
START_TEST(pause_without_descriptors)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    enum { FILLERS = 300 };
    gn_options o = way_options(_i);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c = NULL;
    gnp_sock fill[FILLERS];
    gnp_sock_opts opts;
    gnp_addr any;
    unsigned filled = 0;
    uint64_t limit = gnp_descriptor_limit(0);
    if (nt_wrapped() || gnp_descriptor_limit_set(FILLERS) == GNP_ENOTSUP) {
        tc_net_close(net);
        return;
    }
    memset(&opts, 0, sizeof(opts));
    memset(&any, 0, sizeof(any));
    any.family = GNP_FAMILY_IPV4;
    opts.v6only = -1;
    e = nt_start(&echo_handler, NULL, &o, way_url(_i), (char *)NULL);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "echo"), GNP_OK);
    while (filled < FILLERS && gnp_dgram_open(&fill[filled], &any, &opts) == GNP_OK)
        filled++;
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
    gnp_sleep_until(gnp_now() + 30 * NT_MS); /* it finds that it cannot, and rests */
    ck_assert_uint_eq(nt_count(NT_OPEN), 0);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
    gnp_sleep_until(gnp_now() + 10 * NT_MS);
    while (filled > 0)
        gnp_sock_close(&fill[--filled], 0);
    ck_assert(tc_quiet(c, 150 * NT_MS)); /* longer than any of its rests */
    ck_assert_uint_eq(nt_count(NT_OPEN), 0);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
    ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
    ck_assert_int_eq(gnp_descriptor_limit_set(limit), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(paused_datagrams_wait)
{
    gn_options o = nt_options(_i ? 3 : 1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[6];
    char text[8];
    size_t n;
    for (unsigned i = 0; i < 6; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    for (unsigned round = 0; round < 3; round++) {
        ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_OK);
        gnp_sleep_until(gnp_now() + 10 * NT_MS);
        for (unsigned i = 0; i < 6; i++)
            ck_assert_int_eq(tc_dgram_send(c[i], "echo", 4), GNP_OK);
        for (unsigned i = 0; i < 6; i++)
            ck_assert(tc_quiet(c[i], 10 * NT_MS));
        ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_OK);
        for (unsigned i = 0; i < 6; i++) {
            ck_assert_int_eq(tc_dgram_recv(c[i], text, sizeof(text), &n), GNP_OK);
            ck_assert_uint_eq(n, 4);
        }
    }
    for (unsigned i = 0; i < 6; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* One endpoint for each socket; they are gone when the engine stops. */
START_TEST(endpoints_can_be_asked_for)
{
    gn_options o = nt_options(3);
    gn_engine *e = make(&echo_handler, NULL, &o);
    unsigned found = 0;
    gn_handle h = GN_HANDLE_NONE;
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "udp://127.0.0.1:0"), GN_OK);
    ck_assert(gn_engine_endpoint(e, 1, 0) == GN_HANDLE_NONE);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(gn_engine_endpoint(e, 0, i) == GN_HANDLE_NONE);
        if (gn_engine_endpoint(e, 1, i) != GN_HANDLE_NONE) {
            ck_assert(gn_engine_endpoint(e, 1, i) != h);
            h = gn_engine_endpoint(e, 1, i);
            found++;
        }
    }
    ck_assert_uint_eq(found, gnp_reuseport_balances(GNP_DGRAM, 0) ? 3 : 1);
    ck_assert(gn_engine_endpoint(e, 1, 3) == GN_HANDLE_NONE);
    ck_assert(gn_engine_endpoint(e, 2, 0) == GN_HANDLE_NONE);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* ---------------------------------------------------------------- balance */

/* Two looks instead of all: nearly as even as the least of all. */
START_TEST(power_of_two_is_even)
{
    if (_i == 1)
        NT_WANTS_UNIX();
    enum { LOOPS = 8, CONNS = 200 };
    gn_options o = nt_options(LOOPS);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c[CONNS];
    uint64_t low = UINT64_MAX, high = 0;
    o.lb = GN_LB_POWER_OF_TWO;
    e = nt_start(&echo_handler, NULL, &o, _i ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < CONNS; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, CONNS);
    for (unsigned i = 0; i < LOOPS; i++) {
        uint64_t n = gn_engine_loop_accepted(e, i);
        low = n < low ? n : low;
        high = n > high ? n : high;
    }
    /* 25 each; by chance alone it would be about 15 to 36. */
    ck_assert_msg(low >= 21 && high <= 29, "from %u to %u a loop", (unsigned)low, (unsigned)high);
    for (unsigned i = 0; i < CONNS; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static unsigned by_port(gn_engine *e, const gn_addr *peer, unsigned loops, void *user)
{
    gn_stats s;
    s.size = sizeof(s);
    NT_EXPECT_INT(loops, 3);
    NT_EXPECT(user == &most);
    NT_EXPECT_INT(gn_engine_loop_stats(e, 2, &s), GN_OK);
    return gn_addr_port(peer); /* of any size: it is taken modulo */
}

static gn_action by_port_open(gn_conn *c, void *user)
{
    gn_addr a;
    (void)user;
    NT_EXPECT_INT(gn_conn_remote_addr(c, &a), GN_OK);
    NT_EXPECT_INT(gn_addr_port(&a) % 3, gn_loop_index(gn_conn_loop(c)));
    nt_note(NT_OPEN, 0, 0);
    return GN_NONE;
}

START_TEST(users_function_chooses)
{
    static const gn_handler h = { .on_open = by_port_open, .on_traffic = nt_echo, .on_close = nt_on_close };
    gn_options o = nt_options(3);
    gn_engine *e;
    tc_net *net = tc_net_open();
    o.lb = GN_LB_USER;
    ck_assert_int_eq(gn_engine_create(&e, &h, NULL, &o), GN_EINVAL); /* which function? */
    o.lb_fn = by_port;
    o.lb_user = &most;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < 30; i++)
        one_echo(net, nt_url(e, 0));
    nt_await(NT_CLOSE, 30);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* By CPU where the system can: every connection has a loop, and a client that stays on a CPU has one. */
START_TEST(reuseport_by_cpu)
{
    gn_options o = nt_options(2);
    gn_engine *e;
    tc_net *net = tc_net_open();
    int rc;
    o.reuseport = 1;
    o.reuseport_cpu = 1;
    e = make(&echo_handler, NULL, &o);
    rc = gn_engine_listen(e, "tcp://127.0.0.1:0");
    if (rc == GN_ENOTSUP) {
        ck_assert_uint_eq(gn_engine_addr_count(e), 0);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        tc_net_close(net);
        return;
    }
    ck_assert_int_eq(rc, GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    if (gnp_cpu_pin(0) != GNP_OK) {
        nt_stop(e, NT_SECOND);
        tc_net_close(net);
        return;
    }
    for (unsigned i = 0; i < 20; i++)
        one_echo(net, nt_url(e, 0));
    /* A hash of ports would give both loops some, but once in half a million runs. */
    ck_assert_msg(gn_engine_loop_accepted(e, 0) == 20 || gn_engine_loop_accepted(e, 1) == 20,
                  "%u and %u", (unsigned)gn_engine_loop_accepted(e, 0),
                  (unsigned)gn_engine_loop_accepted(e, 1));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- statistics */

START_TEST(statistics_are_exact)
{
    if (_i == WAY_UNIX)
        NT_WANTS_UNIX();
    enum { CONNS = 9, ROUNDS = 5, SIZE = 1000 };
    struct { gn_stats s; unsigned char beyond[16]; } big;
    gn_options o = way_options(_i);
    gn_engine *e = make(&echo_handler, NULL, &o);
    gn_stats all, sum, one;
    tc_net *net = tc_net_open();
    tc *c[CONNS];
    unsigned char bytes[SIZE];
    all = stats_of(e);
    ck_assert_uint_eq(all.turns + all.accepted, 0);
    ck_assert_int_eq(gn_engine_listen(e, way_url(_i)), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned i = 0; i < CONNS; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < CONNS * ROUNDS; i++) {
        ck_assert_int_eq(tc_send_stream(c[i % CONNS], i, 0, SIZE), GNP_OK);
        ck_assert_int_eq(tc_recv_exact(c[i % CONNS], bytes, SIZE), GNP_OK);
    }
    /* What was sent is counted just after the peer may have it. */
    NT_UNTIL(stats_of(e).bytes_out >= (uint64_t)CONNS * ROUNDS * SIZE);
    all = stats_of(e);
    ck_assert_uint_eq(all.conns, CONNS);
    ck_assert_uint_eq(all.accepted, CONNS);
    ck_assert_uint_eq(all.closed, 0);
    ck_assert_uint_eq(all.bytes_in, (uint64_t)CONNS * ROUNDS * SIZE);
    ck_assert_uint_eq(all.bytes_out, (uint64_t)CONNS * ROUNDS * SIZE);
    ck_assert_uint_ge(all.reads, CONNS * ROUNDS);
    ck_assert_uint_ge(all.writes, CONNS * ROUNDS);
    ck_assert_uint_le(all.writes, all.reads); /* an echo writes once for each read */
    ck_assert_uint_ge(all.turns, all.reads / 256);

    tc_reset(c[0]); /* the error of one, the end of the others */
    for (unsigned i = 1; i < CONNS; i++)
        tc_close(c[i]);
    nt_await(NT_CLOSE, CONNS);
    NT_UNTIL(stats_of(e).conns == 0);
    memset(&sum, 0, sizeof(sum));
    for (unsigned i = 0; i < o.loops; i++) {
        one.size = sizeof(one);
        ck_assert_int_eq(gn_engine_loop_stats(e, i, &one), GN_OK);
        ck_assert_uint_eq(one.accepted, gn_engine_loop_accepted(e, i));
        ck_assert_uint_eq(one.accepted, one.closed);
        sum.closed += one.closed;
        sum.bytes_in += one.bytes_in;
        sum.bytes_out += one.bytes_out;
        sum.errors += one.errors;
        sum.timeouts += one.timeouts;
    }
    ck_assert_uint_eq(sum.closed, CONNS);
    ck_assert_uint_eq(sum.bytes_in, all.bytes_in);
    ck_assert_uint_eq(sum.bytes_out, all.bytes_out);
    ck_assert_uint_eq(sum.errors, _i == WAY_UNIX ? 0 : 1); /* Unix streams have no reset of that kind */
    ck_assert_uint_eq(sum.timeouts, 0);

    /* Sizes: less is cut, more is zeroed, none is an error. */
    memset(&big, 0xff, sizeof(big));
    big.s.size = offsetof(gn_stats, accepted);
    ck_assert_int_eq(gn_engine_stats(e, &big.s), GN_OK);
    ck_assert_uint_eq(big.s.conns, 0);
    ck_assert_uint_eq(big.s.accepted, UINT64_MAX);
    ck_assert_uint_eq(big.s.size, offsetof(gn_stats, accepted));
    big.s.size = sizeof(big);
    ck_assert_int_eq(gn_engine_stats(e, &big.s), GN_OK);
    ck_assert_uint_eq(big.s.accepted, CONNS);
    ck_assert_uint_eq(big.beyond[0] + big.beyond[15], 0);
    one.size = 0;
    ck_assert_int_eq(gn_engine_stats(e, &one), GN_EINVAL);
    ck_assert_int_eq(gn_engine_loop_stats(e, 0, NULL), GN_EINVAL);
    one.size = sizeof(one);
    ck_assert_int_eq(gn_engine_loop_stats(e, o.loops, &one), GN_EINVAL);
    ck_assert_int_eq(gn_engine_stats(NULL, &one), GN_EINVAL);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static void task(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    nt_note(NT_DONE, 0, status);
}

/* Who waits for each task before the next one makes a turn of each, and few beside them. */
START_TEST(turns_are_counted_once)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    uint64_t before = stats_of(e).turns;
    for (unsigned i = 1; i <= 100; i++) {
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), task, NULL), GN_OK);
        nt_await(NT_DONE, i);
        gnp_sleep_until(gnp_now() + NT_MS / 3); /* else it may come to the same turn still */
    }
    ck_assert_uint_lt(stats_of(e).turns - before, 150);
    nt_stop(e, NT_SECOND);
}
END_TEST

static void look_at_statistics(void *arg)
{
    while (stats_of(arg).turns < 3)
        gnp_thread_yield();
}

/* Asked for by a thread that knows nothing of the start. */
START_TEST(statistics_while_it_starts)
{
    for (unsigned i = 0; i < 10; i++) {
        gn_options o = nt_options(4);
        gn_engine *e = make(&echo_handler, NULL, &o);
        gnp_thread t;
        ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
        ck_assert_int_eq(gnp_thread_start(&t, look_at_statistics, e, "looks"), GNP_OK);
        ck_assert_int_eq(gn_engine_start(e), GN_OK);
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), task, NULL), GN_OK);
        for (unsigned k = 0; k < 4; k++)
            ck_assert_int_eq(gn_execute(gn_engine_loop(e, k), task, NULL), GN_OK);
        gnp_thread_join(&t);
        nt_stop(e, NT_SECOND);
    }
}
END_TEST

START_TEST(tasks_timeouts_and_timers_are_counted)
{
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c[3];
    o.idle_timeout_ns = 20 * NT_MS;
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), task, NULL), GN_OK);
    nt_await(NT_DONE, 10);
    NT_UNTIL(stats_of(e).tasks == 10); /* counted when all of a turn have run */
    ck_assert_uint_eq(stats_of(e).timers, 0);
    for (unsigned i = 0; i < 3; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_CLOSE, 3);
    NT_UNTIL(stats_of(e).timeouts == 3);
    ck_assert_uint_ge(stats_of(e).timers, 3);
    ck_assert_uint_eq(stats_of(e).errors, 0);
    for (unsigned i = 0; i < 3; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listeners");
    TCase *t = nt_case(s, "options", 30);
    tcase_add_loop_test(t, each_listener_has_its_handler, 0, WAYS);
    tcase_add_loop_test(t, v6only_is_as_told, 0, WAY_UNIX);
    tcase_add_test(t, absurd_listen_options_are_refused);
    tcase_add_loop_test(t, options_are_inherited, 0, WAY_UNIX);
    tcase_add_loop_test(t, bind_error_comes_first, 0, WAY_UNIX);
    tcase_add_test(t, devices_and_groups);
    tcase_add_loop_test(t, one_device, 0, 5);
    tcase_add_test(t, zones);
    tcase_add_test(t, a_group_is_joined_once);
    tcase_add_test(t, abstract_names);
    tcase_add_test(t, unix_paths_have_permissions);

    t = nt_case(s, "sockets", 30);
    tcase_add_loop_test(t, restart_without_a_gap, 0, 4);
    tcase_add_test(t, path_of_a_successor);
    tcase_add_loop_test(t, the_socket_of_a_connection, 0, 2);
    tcase_add_loop_test(t, listener_that_passes_descriptors, 0, 2);

    t = nt_case(s, "limits", 30);
    tcase_add_loop_test(t, who_waits_is_served, 0, 2 * WAYS);
    tcase_add_loop_test(t, waiting_costs_nothing, 0, WAYS);
    tcase_add_loop_test(t, who_is_too_many_is_refused, 0, 2 * WAYS);
    tcase_add_loop_test(t, limits_of_listener_and_engine, 0, WAYS);

    tcase_add_loop_test(t, full_budget_keeps_newcomers_out, 0, 2 * WAYS);

    t = nt_case(s, "pauses", 30);
    tcase_add_loop_test(t, pause_and_resume, 0, WAYS);
    tcase_add_loop_test(t, paused_before_it_runs, 0, WAYS);
    tcase_add_loop_test(t, pause_at_the_limit, 0, WAYS);
    tcase_add_loop_test(t, pause_without_descriptors, 0, WAYS);
    tcase_add_loop_test(t, paused_datagrams_wait, 0, 2);
    tcase_add_test(t, endpoints_can_be_asked_for);

    t = nt_case(s, "balance", 30);
    tcase_add_loop_test(t, power_of_two_is_even, 0, 2);
    tcase_add_test(t, users_function_chooses);
    tcase_add_test(t, reuseport_by_cpu);

    t = nt_case(s, "statistics", 30);
    tcase_add_loop_test(t, statistics_are_exact, 0, WAYS);
    tcase_add_test(t, turns_are_counted_once);
    tcase_add_test(t, statistics_while_it_starts);
    tcase_add_test(t, tasks_timeouts_and_timers_are_counted);
    return nt_main(s);
}
