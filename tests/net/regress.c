/* SPDX-License-Identifier: MIT */
/* Bugs that were found in the core and that no suite by subject would have thought of.  Each
 * but the last failed before its fix. */
#include "harness.h"

/* ---------------------------------------------------------------- memory of small pieces */

static nt_alloc heap;

/* Blocks its own connection, then queues two bytes many times. */
static gn_action pieces_open(gn_conn *c, void *user)
{
    static unsigned char big[4096];
    gn_iov iov[2] = { { "a", 1 }, { "b", 1 } };
    uint64_t before;
    nt_on_open(c, user);
    do {
        NT_EXPECT_INT(gn_conn_write(c, big, sizeof(big)), GN_OK);
        NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
    } while (gn_conn_outbound(c) == 0);
    before = gnp_load64(&heap.bytes);
    for (unsigned i = 0; i < 20000; i++)
        NT_EXPECT_INT(gn_conn_writev(c, iov, 2), GN_OK);
    /* 40,000 bytes; twice that leaves room for the heads of segments. */
    NT_EXPECT(gnp_load64(&heap.bytes) - before < 80000);
    gn_conn_abort(c);
    return GN_NONE;
}

START_TEST(queued_pieces_share_segments)
{
    static const gn_handler h = { .on_open = pieces_open, .on_close = nt_on_close };
    gn_allocator hooks = nt_alloc_hooks(&heap);
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    if (tc_try_connect(net, nt_url(e, 0), &c) != GNP_OK) /* the reset may come first */
        c = NULL;
    nt_await(NT_CLOSE, 1);
    if (c != NULL)
        tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

/* ---------------------------------------------------------------- a stop that comes late */

static gn_action late_traffic(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    nt_note(NT_TRAFFIC, 0, 0);
    gnp_sleep_until(gnp_now() + 60 * NT_MS);
    gn_conn_write(c, "late", 4);
    return GN_NONE;
}

/* The loop is busy until after the drain deadline; still everybody is told in order. */
START_TEST(late_stop_still_closes_in_order)
{
    static const gn_handler h = {
        .on_open = nt_on_open, .on_traffic = late_traffic, .on_close = nt_on_close
    };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *idle = tc_connect(net, nt_url(e, 0));
    tc *busy = tc_connect(net, nt_url(e, 0));
    uint64_t total = 0;
    nt_await(NT_OPEN, 2);
    ck_assert_int_eq(tc_send_text(busy, "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    nt_stop(e, NT_MS);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 2);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_ESHUTDOWN);
    ck_assert_int_eq(tc_recv_to_eof(idle, &total), GNP_OK);
    ck_assert_int_eq(tc_recv_text(busy, "late"), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(busy, NULL), GNP_OK);
    tc_close(idle);
    tc_close(busy);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- what is left at the end */

static gn_action leave_traffic(gn_conn *c, void *user)
{
    switch (*(const unsigned *)user) {
    case 0: return GN_CLOSE;
    case 1: NT_EXPECT_INT(gn_conn_close(c), GN_OK); return GN_NONE;
    default: NT_EXPECT_INT(gn_conn_abort(c), GN_OK); return GN_NONE;
    }
}

static gn_action leave_close(gn_conn *c, int reason, void *user)
{
    size_t n;
    const char *p = gn_conn_peek(c, &n);
    NT_EXPECT(n == 6 && memcmp(p, "unread", 6) == 0);
    return nt_on_close(c, reason, user);
}

START_TEST(unread_bytes_stay_until_on_close)
{
    static const gn_handler h = { .on_traffic = leave_traffic, .on_close = leave_close };
    unsigned which = (unsigned)_i;
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, &which, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "unread"), GNP_OK);
    nt_await(NT_CLOSE, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- many closers */

static gnp_atomic64 last_closer;

static void closer_done(gn_handle h, int status, void *arg)
{
    uint64_t i = (uintptr_t)arg;
    (void)h;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gnp_load64(&last_closer), i - 1); /* in the order of asking */
    gnp_store64(&last_closer, i);
}

/* More than the system's buffers of both ends grow to. */
static gn_action blocked_open(gn_conn *c, void *user)
{
    static unsigned char big[1 << 20];
    for (unsigned i = 0; i < 48; i++)
        NT_EXPECT_INT(gn_conn_write(c, big, sizeof(big)), GN_OK);
    return nt_on_open(c, user);
}

/* 50,000 wait for one connection to close; a list that is walked for each took many seconds. */
START_TEST(many_may_wait_for_one_close)
{
    static const gn_handler h = { .on_open = blocked_open, .on_close = nt_on_close };
    unsigned n = nt_scaled(50000, 1000);
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle handle;
    nt_await(NT_OPEN, 1);
    handle = nt_nth(NT_OPEN, 0).id;
    for (uintptr_t i = 1; i <= n; i++)
        ck_assert_int_eq(gn_close(handle, closer_done, (void *)i), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    NT_UNTIL(gnp_load64(&last_closer) == n);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- loops from outside */

typedef struct looker {
    gn_engine *e;
    gnp_atomic32 stop;
    uint64_t seen;
} looker;

static void look(void *arg)
{
    looker *k = arg;
    while (gnp_load32(&k->stop) == 0) {
        k->seen += gn_engine_conn_count(k->e) + gn_engine_loop_accepted(k->e, 0);
        k->seen += gn_engine_loop(k->e, 1) != GN_HANDLE_NONE;
        gnp_thread_yield();
    }
}

/* For the thread sanitizer: they say [any], so also while the engine starts and stops. */
START_TEST(loops_can_be_looked_at_any_time)
{
    static const gn_handler h = { .on_traffic = nt_echo };
    gn_options o = nt_options(2);
    looker k = { .seen = 0 };
    gnp_thread t;
    ck_assert_int_eq(gn_engine_create(&k.e, &h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(k.e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gnp_thread_start(&t, look, &k, "looker"), GNP_OK);
    ck_assert(gn_engine_loop(k.e, 0) == GN_HANDLE_NONE);
    ck_assert_int_eq(gn_engine_start(k.e), GN_OK);
    ck_assert(gn_engine_loop(k.e, 0) != GN_HANDLE_NONE);
    ck_assert(gn_engine_loop(k.e, 2) == GN_HANDLE_NONE);
    ck_assert_int_eq(gn_engine_stop(k.e, 0), GN_OK);
    ck_assert_int_eq(nt_join(k.e), GN_OK);
    ck_assert(gn_engine_loop(k.e, 0) == GN_HANDLE_NONE); /* it does not run */
    gnp_store32(&k.stop, 1);
    gnp_thread_join(&t);
    ck_assert_int_eq(gn_engine_destroy(k.e), GN_OK);
}
END_TEST

static gn_action join_traffic(gn_conn *c, void *user)
{
    gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_engine_join(user), GN_EBUSY);
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

static void destroy_shutdown(gn_engine *e, void *user)
{
    NT_EXPECT_INT(gn_engine_destroy(e), GN_EBUSY); /* its join has not returned */
    nt_on_shutdown(e, user);
}

START_TEST(no_loop_waits_for_an_engine)
{
    static const gn_handler other_handler = { .on_shutdown = destroy_shutdown };
    static const gn_handler h = { .on_traffic = join_traffic };
    gn_options o = nt_options(1);
    gn_engine *other = nt_start(&other_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    gn_engine *e = nt_start(&h, other, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    nt_stop(other, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_SHUTDOWN), 1);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- whose error */

/* The second connection ends for want of memory, which no system call said. */
static gn_action memory_traffic(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    gnp_store64(&heap.fail_n, UINT64_MAX / 2);
    gnp_store64(&heap.fail_at, 1);
    return GN_NONE; /* what is unread needs memory now */
}

static gn_action error_close(gn_conn *c, int reason, void *user)
{
    gnp_store64(&heap.fail_at, 0);
    nt_note(NT_A, 0, gn_conn_os_error(c));
    return nt_on_close(c, reason, user);
}

START_TEST(error_of_one_is_not_told_of_another)
{
    static const gn_handler h = {
        .on_open = nt_on_open, .on_traffic = memory_traffic, .on_close = error_close
    };
    gn_allocator hooks = nt_alloc_hooks(&heap);
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c, *d;
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    tc_exempt = 1;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    d = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 2);
    tc_reset(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECONNRESET);
    ck_assert_int_ne(nt_nth(NT_A, 0).status, 0);
    ck_assert_int_eq(tc_send_text(d, "x"), GNP_OK);
    nt_await(NT_CLOSE, 2);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 1).status, GN_ENOMEM);
    ck_assert_int_eq(nt_nth(NT_A, 1).status, 0);
    tc_close(d);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    tc_exempt = 0;
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

/* ---------------------------------------------------------------- an early signal */

/* What a supervisor does that sees "listening": it may stop the server before a loop runs. */
static gn_action signalled_boot(gn_engine *e, void *user)
{
    NT_EXPECT_INT(nt_signal("TERM"), 0);
    return nt_on_boot(e, user);
}

START_TEST(signal_at_boot_stops)
{
    static const gn_handler h = { .on_boot = signalled_boot, .on_shutdown = nt_on_shutdown };
    gn_options o = nt_options(1);
    NT_WANTS_SIGNALS();
    o.stop_on_signals = 1;
    ck_assert_int_eq(gn_run("tcp://127.0.0.1:0", &h, NULL, &o), GN_OK);
    ck_assert_uint_eq(nt_count(NT_SHUTDOWN), 1);
}
END_TEST

/* ---------------------------------------------------------------- time */

static gn_action eager_tick(gn_engine *e, uint64_t *next_ns, void *user)
{
    (void)e;
    (void)user;
    nt_note(NT_TICK, gn_now(), 0);
    *next_ns = nt_count(NT_TICK) < 200 ? 0 : UINT64_MAX;
    return GN_NONE;
}

/* It came a millisecond later, always; now at least one gap of 199 is shorter. */
START_TEST(tick_without_delay_comes_at_the_next_turn)
{
    static const gn_handler h = { .on_tick = eager_tick };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    uint64_t least = UINT64_MAX;
    nt_await(NT_TICK, 200);
    for (unsigned i = 1; i < 200; i++) {
        uint64_t gap = nt_nth(NT_TICK, i).id - nt_nth(NT_TICK, i - 1).id;
        least = gap < least ? gap : least;
    }
    ck_assert_uint_lt(least, NT_MS * 9 / 10);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* Longer than the counter of ticks holds is for ever, not what is left of the number. */
START_TEST(idle_for_ever_is_not_26_days)
{
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = nt_echo, .on_close = nt_on_close };
    static const uint64_t times[] = { UINT64_MAX, 30 * 86400 * NT_SECOND, 86400 * NT_SECOND };
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    o.idle_timeout_ns = times[_i];
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    ck_assert(tc_quiet(c, 30 * NT_MS));
    ck_assert_int_eq(tc_send_text(c, "there"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "there"), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("regress");
    TCase *t = nt_case(s, "regress", 30);
    tcase_add_test(t, queued_pieces_share_segments);
    tcase_add_test(t, late_stop_still_closes_in_order);
    tcase_add_loop_test(t, unread_bytes_stay_until_on_close, 0, 3);
    tcase_add_test(t, many_may_wait_for_one_close);
    tcase_add_test(t, loops_can_be_looked_at_any_time);
    tcase_add_test(t, no_loop_waits_for_an_engine);
    tcase_add_test(t, error_of_one_is_not_told_of_another);
    tcase_add_test(t, signal_at_boot_stops);
    tcase_add_test(t, tick_without_delay_comes_at_the_next_turn);
    tcase_add_loop_test(t, idle_for_ever_is_not_26_days, 0, 3);
    return nt_main(s);
}
