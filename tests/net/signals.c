/* SPDX-License-Identifier: MIT */
/* Signals that call a function on loop 0. */
#include "harness.h"

#include <signal.h> /* raise and signal are of the C standard */

static const struct {
    gn_signal s;
    const char *name;
} all[] = {
    { GN_SIGNAL_HUP, "HUP" }, { GN_SIGNAL_INT, "INT" }, { GN_SIGNAL_QUIT, "QUIT" },
    { GN_SIGNAL_USR1, "USR1" }, { GN_SIGNAL_USR2, "USR2" }, { GN_SIGNAL_TERM, "TERM" },
    { GN_SIGNAL_CHLD, "CHLD" }, { GN_SIGNAL_WINCH, "WINCH" }
};
#define ALL ((int)(sizeof all / sizeof all[0]))

static const gn_handler quiet = { .on_open = nt_on_open, .on_close = nt_on_close };

/* Sends it to this process: the shell's parent.  While that waits for the shell it ignores some. */
static void send_signal(const char *name)
{
    if (nt_lacks("user-signals"))
        ck_assert_int_eq(nt_signal(name), 0);
    else
        ck_assert_int_eq(nt_shell("(sleep 0.1; kill -%s $PPID) &", name), 0);
}

static void on_signal(gn_engine *e, gn_signal s, void *arg)
{
    gn_loop *l = gn_loop_current();
    NT_EXPECT(l != NULL && gn_loop_index(l) == 0 && gn_loop_engine(l) == e);
    NT_EXPECT(arg == &quiet);
    nt_note(NT_A, s, 0);
}

static gn_engine *make(const gn_options *o, gn_signal s)
{
    gn_engine *e;
    ck_assert_int_eq(gn_engine_create(&e, &quiet, NULL, o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_on_signal(e, s, on_signal, (void *)(uintptr_t)&quiet), GN_OK);
    return e;
}

/* Each time, not only the first.  (The end of the shell is one CHLD more.) */
START_TEST(each_signal)
{
    gn_options o = nt_options(2);
    gn_engine *e;
    if (nt_lacks("user-signals") && all[_i].s != GN_SIGNAL_INT && all[_i].s != GN_SIGNAL_TERM) {
        ck_assert_int_eq(gn_engine_create(&e, &quiet, NULL, &o), GN_OK);
        ck_assert_int_eq(gn_engine_on_signal(e, all[_i].s, on_signal, NULL), GN_ENOTSUP);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        NT_SKIP("the system has no such signal");
    }
    e = make(&o, all[_i].s);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned n = 1; n <= 3; n++) {
        send_signal(all[_i].name);
        nt_await(NT_A, n);
        ck_assert_uint_eq(nt_nth(NT_A, n - 1).id, (uint64_t)all[_i].s);
    }
    if (all[_i].s != GN_SIGNAL_CHLD)
        ck_assert_uint_eq(nt_count(NT_A), 3);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* One that has a function does not stop the engine; the other one does, once more as before. */
START_TEST(beside_stop_on_signals)
{
    gn_options o = nt_options(2);
    gn_engine *e;
    o.stop_on_signals = 1;
    e = make(&o, _i == 0 ? GN_SIGNAL_INT : GN_SIGNAL_TERM);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    for (unsigned n = 1; n <= 3; n++) {
        raise(_i == 0 ? SIGINT : SIGTERM);
        nt_await(NT_A, n);
    }
    raise(_i == 0 ? SIGTERM : SIGINT);
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 3);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

START_TEST(before_the_start)
{
    gn_options o = nt_options(1);
    gn_engine *e = make(&o, GN_SIGNAL_TERM);
    raise(SIGTERM);
    raise(SIGTERM);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    nt_await(NT_A, 1);
    raise(SIGTERM);
    nt_await(NT_A, 2);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_A), 2);
}
END_TEST

static volatile sig_atomic_t handled;

static void own_handler(int sig)
{
    (void)sig;
    handled++;
}

/* Also of an engine that was destroyed without a start, and of one whose start failed. */
START_TEST(restores_what_was)
{
    gn_options o = nt_options(1);
    gn_engine *e;
    handled = 0;
    signal(SIGTERM, own_handler);
    e = make(&o, GN_SIGNAL_TERM);
    if (_i == 0) {
        ck_assert_int_eq(gn_engine_start(e), GN_OK);
        raise(SIGTERM);
        nt_await(NT_A, 1);
        ck_assert_int_eq(gn_engine_stop(e, NT_SECOND), GN_OK);
        ck_assert_int_eq(nt_join(e), GN_OK);
    } else {
        raise(SIGTERM);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    }
    ck_assert_int_eq(handled, 0);
    raise(SIGTERM);
    ck_assert_int_eq(handled, 1);
    signal(SIGTERM, SIG_DFL);
    if (_i == 0)
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

static void on_other(gn_engine *e, gn_signal s, void *arg)
{
    (void)e;
    (void)arg;
    nt_note(NT_B, s, 0);
}

START_TEST(one_function_each)
{
    gn_options o = nt_options(1);
    gn_engine *e = make(&o, GN_SIGNAL_TERM), *other;
    ck_assert_int_eq(gn_engine_create(&other, &quiet, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_on_signal(other, GN_SIGNAL_TERM, on_other, NULL), GN_EBUSY);
    ck_assert_int_eq(gn_engine_on_signal(other, GN_SIGNAL_INT, on_other, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_INT, on_other, NULL), GN_EBUSY);
    ck_assert_int_eq(gn_engine_on_signal(e, (gn_signal)9, on_other, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_on_signal(e, (gn_signal)0, on_other, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_HUP, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_on_signal(NULL, GN_SIGNAL_HUP, on_other, NULL), GN_EINVAL);
    /* A second function takes the place of the first. */
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_TERM, on_other, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_HUP, on_other, NULL), GN_EBUSY);
    raise(SIGTERM);
    nt_await(NT_B, 1);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(gn_engine_on_signal(other, GN_SIGNAL_TERM, on_other, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(other), GN_OK);
}
END_TEST

static gn_handle greeted;

static gn_action greet_open(gn_conn *c, void *user)
{
    greeted = gn_conn_handle(c);
    return nt_on_open(c, user);
}

static void on_greet(gn_engine *e, gn_signal s, void *arg)
{
    gn_conn *c = gn_conn_from_handle(greeted);
    (void)e;
    (void)s;
    (void)arg;
    NT_EXPECT(c != NULL && gn_conn_write(c, "hello", 5) == GN_OK && gn_conn_close(c) == GN_OK);
}

/* What it writes leaves soon, without any other event. */
START_TEST(may_use_connections)
{
    static const gn_handler h = { .on_open = greet_open, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    ck_assert_int_eq(gn_engine_create(&e, &h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_INT, on_greet, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    raise(SIGINT);
    ck_assert_int_eq(tc_recv_text(c, "hello"), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("signals");
    TCase *t = nt_case(s, "signals", 20);
    tcase_add_loop_test(t, each_signal, 0, ALL);
    tcase_add_loop_test(t, beside_stop_on_signals, 0, 2);
    tcase_add_test(t, before_the_start);
    tcase_add_loop_test(t, restores_what_was, 0, 2);
    tcase_add_test(t, one_function_each);
    tcase_add_test(t, may_use_connections);
    return nt_main(s);
}
