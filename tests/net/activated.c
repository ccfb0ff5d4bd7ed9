/* SPDX-License-Identifier: MIT */
/*
 * What a service manager starts: tests/net/activation runs it with these sockets, in this order:
 * a TCP listener (web), a Unix listener (admin), a UDP socket (web), and a pipe's end (odd).
 * Without fork, since the sockets are meant for one process.
 */
#include "harness.h"

#include <stdio.h>

static const gn_handler echo_handler = { .on_traffic = nt_echo };

static gn_engine *make(unsigned loops)
{
    gn_options o = nt_options(loops);
    gn_engine *e = NULL;
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    return e;
}

static void stream_echo(tc_net *net, const char *url)
{
    tc *c = tc_connect(net, url);
    ck_assert_int_eq(tc_send_text(c, "echo"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "echo"), GNP_OK);
    tc_close(c);
}

START_TEST(sockets_by_name)
{
    gn_engine *e = make(3), *f = make(1);
    gn_listen_options lo;
    tc_net *net = tc_net_open();
    char text[8], path[128];
    size_t n;
    tc *c;
    gn_listen_options_init(&lo);
    lo.backlog = -1;
    ck_assert_int_eq(gn_engine_listen_inherited(e, "admin", &lo), GN_EINVAL); /* and it is still there */
    ck_assert_int_eq(gn_engine_listen_inherited(e, "nobody", NULL), 0);
    ck_assert_int_eq(gn_engine_listen_inherited(e, "admin", NULL), 1);
    ck_assert_int_eq(gn_engine_listen_inherited(e, "admin", NULL), 0); /* once */
    ck_assert_int_eq(gn_engine_listen_inherited(f, "web", NULL), 2);   /* the rest, of another engine */
    ck_assert_int_eq(gn_engine_listen_inherited(f, NULL, NULL), GN_EINVAL); /* the odd one is no socket */
    ck_assert_int_eq(gn_engine_listen_inherited(f, "web", NULL), 0);
    ck_assert_ptr_null(gnp_env("LISTEN_FDS")); /* not for the children of this process */
    ck_assert_uint_eq(gn_engine_addr_count(e), 1);
    ck_assert_uint_eq(gn_engine_addr_count(f), 2);
    ck_assert_int_eq(strncmp(nt_url(e, 0), "unix://", 7), 0);
    ck_assert_int_eq(strncmp(nt_url(f, 0), "tcp://127.0.0.1:", 16), 0);
    ck_assert_int_eq(strncmp(nt_url(f, 1), "udp://127.0.0.1:", 16), 0);

    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    ck_assert_int_eq(gn_engine_start(f), GN_OK);
    for (unsigned i = 0; i < 6; i++) {
        stream_echo(net, nt_url(e, 0));
        stream_echo(net, nt_url(f, 0));
    }
    c = tc_connect(net, nt_url(f, 1));
    ck_assert_int_eq(tc_dgram_send(c, "echo", 4), GNP_OK);
    ck_assert_int_eq(tc_dgram_recv(c, text, sizeof(text), &n), GNP_OK);
    ck_assert_uint_eq(n, 4);
    tc_close(c);
    ck_assert_int_eq(gn_engine_listen_inherited(f, NULL, NULL), GN_EBUSY); /* it runs */
    snprintf(path, sizeof(path), "%s", nt_url(e, 0) + 7);
    nt_stop(f, NT_SECOND);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(nt_shell("test -S %s", path), 0); /* the manager's, for the next time */
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("activated");
    TCase *t = nt_case(s, "inherited", 30);
    tcase_add_test(t, sockets_by_name);
    return nt_main(s);
}
