/* SPDX-License-Identifier: MIT */
/* Addresses: what they bind, what they must leave alone, and which loop a connection gets. */
#include "harness.h"

#include <stdio.h>

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

/* Notes the loop that a connection came to. */
static gn_action loop_open(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_OPEN, gn_conn_handle(c), (int)gn_loop_index(gn_conn_loop(c)));
    return GN_NONE;
}

static const gn_handler loop_handler = { .on_open = loop_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

static void one_echo(tc_net *net, const char *url)
{
    tc *c = tc_connect(net, url);
    ck_assert_int_eq(tc_send_text(c, "echo"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
    tc_close(c);
}

/* Connects one by one, each seen by the server before the next. */
static void connect_in_turn(tc_net *net, const char *url, tc **c, unsigned n)
{
    unsigned before = nt_count(NT_OPEN);
    for (unsigned i = 0; i < n; i++) {
        c[i] = tc_connect(net, url);
        nt_await(NT_OPEN, before + i + 1);
    }
}

static void close_all(tc **c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        tc_close(c[i]);
}

/* ---------------------------------------------------------------- balance */

static void expect_even(gn_engine *e, unsigned loops, unsigned each)
{
    for (unsigned i = 0; i < loops; i++)
        ck_assert_uint_eq(gn_engine_loop_accepted(e, i), each);
    ck_assert_uint_eq(gn_engine_loop_accepted(e, loops), 0);
}

START_TEST(round_robin_takes_turns)
{
    if (_i == 1)
        NT_WANTS_UNIX();
    gn_options o = nt_options(3);
    gn_engine *e = nt_start(&loop_handler, NULL, &o, _i ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[30];
    connect_in_turn(net, nt_url(e, 0), c, 30);
    expect_even(e, 3, 10);
    for (unsigned i = 3; i < 30; i++)
        ck_assert_int_eq(nt_nth(NT_OPEN, i).status, nt_nth(NT_OPEN, i - 3).status);
    close_all(c, 30);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(least_connections_fills_the_emptiest)
{
    if (_i == 1)
        NT_WANTS_UNIX();
    gn_options o = nt_options(3);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c[30], *more[10];
    unsigned closed = 0;
    o.lb = GN_LB_LEAST_CONNECTIONS;
    e = nt_start(&loop_handler, NULL, &o, _i ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
    connect_in_turn(net, nt_url(e, 0), c, 30);
    expect_even(e, 3, 10);
    for (unsigned i = 0; i < 30; i++) {
        if (nt_nth(NT_OPEN, i).status == 1) {
            tc_close(c[i]);
            c[i] = NULL;
            closed++;
        }
    }
    ck_assert_uint_eq(closed, 10);
    NT_UNTIL(gn_engine_conn_count(e) == 20);
    connect_in_turn(net, nt_url(e, 0), more, 10);
    ck_assert_uint_eq(gn_engine_loop_accepted(e, 0), 10);
    ck_assert_uint_eq(gn_engine_loop_accepted(e, 1), 20);
    ck_assert_uint_eq(gn_engine_loop_accepted(e, 2), 10);
    for (unsigned i = 0; i < 30; i++) {
        if (c[i] != NULL)
            tc_close(c[i]);
    }
    close_all(more, 10);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* GNET.md 42: the hash is over the IP, so that a client keeps its loop whatever its port. */
START_TEST(source_hash_is_of_the_address)
{
    gn_options o = nt_options(4);
    gn_engine *e;
    tc_net *net = tc_net_open();
    unsigned used = 0;
    o.lb = GN_LB_SOURCE_HASH;
    e = nt_start(&loop_handler, NULL, &o, "tcp://127.0.0.1:0", nt_unix_url(), (char *)NULL);
    for (unsigned ip = 1; ip <= 24; ip++) {
        char text[32];
        tc *c[3];
        unsigned first = nt_count(NT_OPEN);
        snprintf(text, sizeof(text), "127.0.0.%u", ip);
        net->local = text;
        if (ip > 1) { /* some systems have only 127.0.0.1 */
            int status = tc_try_connect(net, nt_url(e, 0), &c[0]);
            if (status == GNP_EADDRNOTAVAIL)
                break;
            ck_assert_int_eq(status, GNP_OK);
            nt_await(NT_OPEN, first + 1);
            tc_close(c[0]);
        }
        connect_in_turn(net, nt_url(e, 0), c, 3);
        for (unsigned i = first + 1; i < nt_count(NT_OPEN); i++)
            ck_assert_int_eq(nt_nth(NT_OPEN, i).status, nt_nth(NT_OPEN, first).status);
        close_all(c, 3);
    }
    net->local = NULL;
    for (unsigned i = 0; i < 4; i++)
        used += gn_engine_loop_accepted(e, i) > 0;
    ck_assert_msg(used >= 3 || nt_count(NT_OPEN) == 3, "24 addresses came to only %u loops", used);
    if (nt_has_unix()) {
        /* Unix peers have no address: they take turns. */
        uint64_t before[4];
        tc *c[20];
        for (unsigned i = 0; i < 4; i++)
            before[i] = gn_engine_loop_accepted(e, i);
        connect_in_turn(net, nt_url(e, 1), c, 20);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(gn_engine_loop_accepted(e, i) - before[i], 5);
        close_all(c, 20);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* D7: UDP, Unix and TCP on one engine: the connections of each use all loops. */
START_TEST(mixed_addresses_use_all_loops)
{
    gn_options o = nt_options(4);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c[40];
    uint64_t tcp[4];
    o.reuseport = nt_sharing(_i);
    e = nt_start(&loop_handler, NULL, &o, "udp://127.0.0.1:0", nt_unix_url(), "tcp://127.0.0.1:0",
                 (char *)NULL);
    connect_in_turn(net, nt_url(e, 1), c, 40);
    expect_even(e, 4, 10);
    close_all(c, 40);
    connect_in_turn(net, nt_url(e, 2), c, 40);
    for (unsigned i = 0; i < 4; i++)
        tcp[i] = gn_engine_loop_accepted(e, i) - 10;
    ck_assert_uint_eq(tcp[0] + tcp[1] + tcp[2] + tcp[3], 40);
    if (!_i) {
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(tcp[i], 10);
    }
    close_all(c, 40);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* D8: port 0 with reuseport is one port, and all loops take from it where the kernel balances. */
START_TEST(port_0_is_one_port)
{
    gn_options o = nt_options(3);
    gn_engine *e;
    gn_addr a;
    tc_net *net = tc_net_open();
    tc *c[90];
    o.reuseport = nt_sharing(1);
    o.edge_triggered = _i;
    e = nt_start(&loop_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    ck_assert_uint_eq(gn_engine_addr_count(e), 1);
    ck_assert_int_eq(gn_engine_addr(e, 0, &a), GN_OK);
    ck_assert_uint_ne(gn_addr_port(&a), 0);
    connect_in_turn(net, nt_url(e, 0), c, 90);
    ck_assert_uint_eq(
        gn_engine_loop_accepted(e, 0) + gn_engine_loop_accepted(e, 1) + gn_engine_loop_accepted(e, 2), 90);
    if (gnp_reuseport_balances(GNP_STREAM, 0)) {
        /* 90 clients by chance on 3 loops: all miss one of them once in 10^15 runs */
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_gt(gn_engine_loop_accepted(e, i), 0);
    }
    close_all(c, 90);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- families */

static unsigned port_of(gn_engine *e, unsigned i)
{
    gn_addr a;
    ck_assert_int_eq(gn_engine_addr(e, i, &a), GN_OK);
    return gn_addr_port(&a);
}

static const char *url_with(const char *start, unsigned port)
{
    static char urls[4][64];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, sizeof(urls[0]), "%s:%u", start, port);
    return url;
}

/* Does a listener of one family leave the other alone? */
static int refuses(const gn_options *o, const char *listener, const char *same, const char *other)
{
    gn_engine *e = nt_start(&echo_handler, NULL, o, listener, (char *)NULL);
    tc_net *net = tc_net_open();
    unsigned port = port_of(e, 0);
    int refused;
    one_echo(net, url_with(same, port));
    refused = tc_refused(net, url_with(other, port));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    return refused;
}

/* D15: tcp6 is IPv6 only, with and without reuseport; tcp without a host is both families.  Another program
 * may listen on that port of the other family by chance. */
START_TEST(tcp6_is_ipv6_only)
{
    gn_options o = nt_options(3);
    if (!gnp_has_ipv6())
        return;
    o.reuseport = nt_sharing(_i);
    for (unsigned i = 0; !refuses(&o, "tcp6://:0", "tcp6://[::1]", "tcp4://127.0.0.1"); i++)
        ck_assert_uint_lt(i, 3);
    for (unsigned i = 0; !refuses(&o, "tcp4://:0", "tcp4://127.0.0.1", "tcp6://[::1]"); i++)
        ck_assert_uint_lt(i, 3);
}
END_TEST

START_TEST(no_host_is_every_address)
{
    static const char *const urls[] = { "tcp://:0", "tcp://*:0", ":0", "tcp4://*:0" };
    gn_options o = nt_options(2);
    tc_net *net = tc_net_open();
    for (unsigned i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        gn_engine *e = nt_start(&echo_handler, NULL, &o, urls[i], (char *)NULL);
        one_echo(net, url_with("tcp4://127.0.0.1", port_of(e, 0)));
        if (gnp_has_ipv6() && strncmp(urls[i], "tcp4", 4) != 0)
            one_echo(net, url_with("tcp6://[::1]", port_of(e, 0)));
        nt_stop(e, NT_SECOND);
    }
    {
        gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://localhost:0", (char *)NULL);
        one_echo(net, nt_url(e, 0));
        nt_stop(e, NT_SECOND);
    }
    tc_net_close(net);
}
END_TEST

/* Both families on the same port, as two addresses.  Another program may have one of them by chance. */
START_TEST(families_share_a_port)
{
    gn_options o = nt_options(2);
    gn_engine *e;
    int rc;
    tc_net *net = tc_net_open();
    if (!gnp_has_ipv6()) {
        tc_net_close(net);
        return;
    }
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
        ck_assert_int_eq(gn_engine_listen(e, "tcp6://[::1]:0"), GN_OK);
        rc = gn_engine_listen(e, url_with("tcp4://127.0.0.1", port_of(e, 0)));
        if (rc == GN_OK)
            rc = gn_engine_listen(e, url_with("udp4://127.0.0.1", port_of(e, 0)));
        if (rc != GN_EADDRINUSE)
            break;
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    }
    ck_assert_int_eq(rc, GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    one_echo(net, nt_url(e, 0));
    one_echo(net, nt_url(e, 1));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(addresses_are_told_as_bound)
{
    NT_WANTS_UNIX();
    gn_options o = nt_options(2);
    const char *path = nt_path();
    char url[128], want[128];
    gn_engine *e;
    gn_addr a;
    int n;
    snprintf(want, sizeof(want), "unix://%s", path);
    e = nt_start(&echo_handler, NULL, &o, "127.0.0.1:0", want, "udp4://127.0.0.1:0", (char *)NULL);
    ck_assert_uint_eq(gn_engine_addr_count(e), 3);
    ck_assert_str_eq(nt_url(e, 1), want);
    ck_assert_int_eq(gn_engine_addr(e, 1, &a), GN_OK);
    ck_assert_int_eq(gn_addr_family(&a), GN_FAMILY_UNIX);
    snprintf(want, sizeof(want), "tcp://127.0.0.1:%u", port_of(e, 0));
    ck_assert_str_eq(nt_url(e, 0), want);
    snprintf(want, sizeof(want), "udp4://127.0.0.1:%u", port_of(e, 2));
    ck_assert_str_eq(nt_url(e, 2), want);
    /* cut, terminated, and with the whole length */
    n = gn_engine_url(e, 2, url, 5);
    ck_assert_int_eq(n, (int)strlen(want));
    ck_assert_str_eq(url, "udp4");
    ck_assert_int_eq(gn_engine_url(e, 2, NULL, 0), n);
    ck_assert_int_eq(gn_engine_url(e, 3, url, sizeof(url)), GN_EINVAL);
    ck_assert_int_eq(gn_engine_addr(e, 3, &a), GN_EINVAL);
    nt_stop(e, NT_SECOND);
}
END_TEST

START_TEST(port_in_use_is_an_error)
{
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", "udp://127.0.0.1:0", (char *)NULL),
              *f;
    tc_net *net = tc_net_open();
    ck_assert_int_eq(gn_engine_create(&f, &echo_handler, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(f, nt_url(e, 0)), GN_EADDRINUSE);
    ck_assert_int_ne(gn_os_error(), 0);
    ck_assert_int_eq(gn_engine_listen(f, nt_url(e, 1)), GN_EADDRINUSE);
    ck_assert_uint_eq(gn_engine_addr_count(f), 0);
    ck_assert_int_eq(gn_engine_listen(f, "tcp://127.0.0.1:0"), GN_OK); /* it still can */
    ck_assert_int_eq(gn_engine_start(f), GN_OK);
    one_echo(net, nt_url(f, 0));
    one_echo(net, nt_url(e, 0)); /* and the owner was not harmed */
    ck_assert_int_eq(gn_run(nt_url(e, 0), &echo_handler, NULL, &o), GN_EADDRINUSE);
    nt_stop(f, NT_SECOND);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(gn_run("tcp://192.0.2.1:0", &echo_handler, NULL, &o), GN_EADDRNOTAVAIL); /* RFC 5737 */
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- Unix paths */

static int exists(const char *path)
{
    FILE *f = fopen(path, "r"); /* a socket cannot be opened, but a missing one gives the same */
    if (f != NULL)
        fclose(f);
    return f != NULL;
}

static void write_file(const char *path)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("precious", f);
    fclose(f);
}

static void expect_precious(const char *path)
{
    char text[16] = "";
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s is gone", path);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
    fclose(f);
    ck_assert_str_eq(text, "precious");
}

static const char *unix_url(const char *path)
{
    static char url[320];
    snprintf(url, sizeof(url), "unix://%s", path);
    return url;
}

/* D10: what is no socket stays, whatever it is. */
START_TEST(files_and_directories_are_never_removed)
{
    NT_WANTS_UNIX();
    char path[120], inner[140];
    gn_options o = nt_options(2);
    gn_engine *e;
    snprintf(path, sizeof(path), "%s", nt_path());
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    write_file(path);
    ck_assert_int_eq(gn_engine_listen(e, unix_url(path)), GN_EEXIST);
    ck_assert_int_eq(gn_run(unix_url(path), &echo_handler, NULL, &o), GN_EEXIST);
    expect_precious(path);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    expect_precious(path);
    remove(path);

    snprintf(inner, sizeof(inner), "%s/inner", path);
    ck_assert_int_eq(nt_shell("mkdir %s", path), 0);
    write_file(inner);
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, unix_url(path)), GN_EEXIST);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    expect_precious(inner);
    remove(inner);
    /* an empty one too */
    ck_assert_int_eq(gn_run(unix_url(path), &echo_handler, NULL, &o), GN_EEXIST);
    write_file(inner);
    remove(inner);
    ck_assert_int_eq(nt_shell("rmdir %s", path), 0);
}
END_TEST

/* A socket that a crash left behind is taken over; one that is served is not. */
START_TEST(stale_socket_is_taken_over)
{
    NT_WANTS_UNIX();
    char path[120];
    gn_options o = nt_options(2);
    gn_engine *e, *f;
    gnp_sock stale;
    gnp_sock_opts opts;
    gnp_bound bound;
    gnp_addr a;
    tc_net *net = tc_net_open();
    tc *c = NULL;
    snprintf(path, sizeof(path), "%s", nt_path());
    memset(&a, 0, sizeof(a));
    memset(&opts, 0, sizeof(opts));
    a.family = GNP_FAMILY_UNIX;
    a.len = (uint8_t)strlen(path);
    memcpy(a.u.path, path, a.len);
    ck_assert_int_eq(gnp_listen(&stale, &a, &opts, &bound), GNP_OK);
    gnp_sock_close(&stale, 0); /* the path stays: nobody unlinked it */

    e = nt_start(&echo_handler, NULL, &o, unix_url(path), (char *)NULL);
    one_echo(net, unix_url(path));
    ck_assert_int_eq(gn_engine_create(&f, &echo_handler, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(f, unix_url(path)), GN_EADDRINUSE);
    ck_assert_int_eq(gn_engine_destroy(f), GN_OK);
    one_echo(net, unix_url(path)); /* the refused one removed nothing */
    nt_stop(e, NT_SECOND);
    /* Removed after destroy: not even a stale socket is there. */
    ck_assert_int_eq(tc_try_connect(net, unix_url(path), &c), GNP_ENOENT);
    tc_net_close(net);
}
END_TEST

/* Somebody put another file in its place: that one is not ours to remove. */
START_TEST(only_our_own_path_is_removed)
{
    NT_WANTS_UNIX();
    char path[120];
    gn_options o = nt_options(1);
    gn_engine *e;
    snprintf(path, sizeof(path), "%s", nt_path());
    e = nt_start(&echo_handler, NULL, &o, unix_url(path), (char *)NULL);
    ck_assert_int_eq(remove(path), 0);
    write_file(path);
    nt_stop(e, NT_SECOND);
    expect_precious(path);
    remove(path);
    ck_assert(!exists(path));
}
END_TEST

START_TEST(restart_on_the_same_path)
{
    NT_WANTS_UNIX();
    char path[120];
    gn_options o = nt_options(2);
    tc_net *net = tc_net_open();
    snprintf(path, sizeof(path), "%s", nt_path());
    for (unsigned i = 0; i < 5; i++) {
        gn_engine *e = nt_start(&echo_handler, NULL, &o, unix_url(path), (char *)NULL);
        one_echo(net, unix_url(path));
        nt_stop(e, NT_SECOND);
    }
    tc_net_close(net);
}
END_TEST

START_TEST(paths_have_limits)
{
    NT_WANTS_UNIX();
    char path[300];
    gn_options o = nt_options(1);
    size_t most = gnp_unix_path_max(), n;
    gn_engine *e;
    tc_net *net = tc_net_open();
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    n = (size_t)snprintf(path, sizeof(path), "%s", nt_path());
    memset(path + n, 'x', sizeof(path) - n);
    path[most] = '\0';
    ck_assert_int_eq(gn_engine_listen(e, unix_url(path)), GN_OK); /* just fits */
    path[most] = 'x';
    path[most + 1] = '\0';
    ck_assert_int_eq(gn_engine_listen(e, unix_url(path)), GN_ENAMETOOLONG);
    path[most + 1] = 'x';
    path[180] = '\0';
    ck_assert_int_eq(gn_engine_listen(e, unix_url(path)), GN_ENAMETOOLONG);
    ck_assert_int_lt(gn_engine_listen(e, "unix://"), 0);
    ck_assert_int_eq(gn_engine_listen(e, "unix:///no/such/directory/s"), GN_ENOENT);
    ck_assert_uint_eq(gn_engine_addr_count(e), 1);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    one_echo(net, nt_url(e, 0));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- pollers */

START_TEST(pollers_are_chosen_by_name)
{
    gn_options o = nt_options(1);
    gn_engine *e;
    const char *name;
    int available = 0, first = -1;
    unsigned i, works = 0;
    for (i = 0; (name = gn_poller_name(i, &available)) != NULL; i++) {
        o.poller = name;
        if (!available) {
            ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_ENOTSUP);
            continue;
        }
        first = first < 0 ? (int)i : first;
        works++;
        e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
        ck_assert_str_eq(gn_engine_poller(e), name);
        nt_stop(e, NT_SECOND);
    }
    ck_assert_uint_ge(works, 2); /* every build has poll beside its best one */
    ck_assert_ptr_null(gn_poller_name(i + 100, NULL));
    o.poller = "no such poller";
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_ENOENT);
    o.poller_fallback = 1;
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    ck_assert_str_eq(gn_engine_poller(e), gn_poller_name((unsigned)first, NULL));
    nt_stop(e, NT_SECOND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listen");
    TCase *t = nt_case(s, "balance", 30);
    tcase_add_loop_test(t, round_robin_takes_turns, 0, 2);
    tcase_add_loop_test(t, least_connections_fills_the_emptiest, 0, 2);
    tcase_add_test(t, source_hash_is_of_the_address);
    tcase_add_loop_test(t, mixed_addresses_use_all_loops, 0, 2);
    tcase_add_loop_test(t, port_0_is_one_port, 0, 2);

    t = nt_case(s, "families", 30);
    tcase_add_loop_test(t, tcp6_is_ipv6_only, 0, 2);
    tcase_add_test(t, no_host_is_every_address);
    tcase_add_test(t, families_share_a_port);
    tcase_add_test(t, addresses_are_told_as_bound);
    tcase_add_test(t, port_in_use_is_an_error);

    t = nt_case(s, "paths", 30);
    tcase_add_test(t, files_and_directories_are_never_removed);
    tcase_add_test(t, stale_socket_is_taken_over);
    tcase_add_test(t, only_our_own_path_is_removed);
    tcase_add_test(t, restart_on_the_same_path);
    tcase_add_test(t, paths_have_limits);

    t = nt_case(s, "pollers", 30);
    tcase_add_test(t, pollers_are_chosen_by_name);
    return nt_main(s);
}
