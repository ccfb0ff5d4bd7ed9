/* SPDX-License-Identifier: MIT */
/* Callbacks that block their loop are told, with their connection; others are not. */
#include "harness.h"

#define STALL (60 * NT_MS)
#define BLOCK (400 * NT_MS) /* long enough for a few looks, on a busy machine too */

static gnp_atomic64 told_conn;
static gnp_atomic64 told_ns;

static void on_stall(gn_engine *e, unsigned loop, gn_handle conn, uint64_t ns, void *user)
{
    (void)e;
    (void)user;
    NT_EXPECT(gn_loop_current() == NULL);
    gnp_store64(&told_conn, conn);
    gnp_store64(&told_ns, ns);
    nt_note(NT_A, loop, 0);
}

static void block(uint64_t ns)
{
    gnp_sleep_until(gnp_now() + ns);
}

static gn_action block_traffic(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    block(BLOCK);
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)gn_loop_index(gn_conn_loop(c)));
    return GN_NONE;
}

static gn_options stall_options(unsigned loops, uint64_t ns)
{
    gn_options o = nt_options(loops);
    o.stall_ns = ns;
    return o;
}

static uint64_t stalls(gn_engine *e)
{
    gn_stats s = { .size = sizeof s };
    ck_assert_int_eq(gn_engine_stats(e, &s), GN_OK);
    return s.stalls;
}

/* Once for each stall, with its loop and connection. */
START_TEST(told_once)
{
    static const gn_handler h = { .on_traffic = block_traffic, .on_stall = on_stall };
    gn_options o = stall_options(2, STALL);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[2];
    for (unsigned i = 0; i < 2; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(tc_send_text(c[i % 2], "x"), GNP_OK);
        nt_await(NT_TRAFFIC, i + 1);
        nt_entry is = nt_nth(NT_TRAFFIC, i);
        nt_await(NT_A, i + 1);
        ck_assert_uint_eq(nt_count(NT_A), i + 1);
        ck_assert_uint_eq(gnp_load64(&told_conn), is.id);
        ck_assert_int_eq((int)nt_nth(NT_A, i).id, is.status);
        ck_assert_uint_gt(gnp_load64(&told_ns), STALL);
    }
    ck_assert_uint_eq(stalls(e), 3);
    for (unsigned i = 0; i < 2; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static void block_task(gn_handle h, int status, void *arg)
{
    (void)h;
    NT_EXPECT_INT(status, GN_OK);
    block(*(const uint64_t *)arg);
    nt_note(NT_DONE, 0, 0);
}

static gn_action block_open(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_OPEN, gn_conn_handle(c), 0);
    block(BLOCK);
    return GN_CLOSE;
}

static gn_action block_close(gn_conn *c, int reason, void *user)
{
    block(BLOCK);
    return nt_on_close(c, reason, user);
}

/* In tasks, in on_open and in on_close, which also belong to a connection or to none. */
START_TEST(in_other_callbacks)
{
    static const gn_handler h = { .on_open = block_open, .on_close = block_close, .on_stall = on_stall };
    static const uint64_t ns = BLOCK;
    gn_options o = stall_options(1, STALL);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c;
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), block_task, (void *)(uintptr_t)&ns), GN_OK);
    nt_await(NT_DONE, 1);
    nt_await(NT_A, 1);
    ck_assert_uint_eq(nt_count(NT_A), 1);
    ck_assert_uint_eq(gnp_load64(&told_conn), GN_HANDLE_NONE);
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_CLOSE, 1);
    nt_await(NT_A, 3);
    ck_assert_uint_eq(nt_count(NT_A), 3);
    ck_assert_uint_eq(gnp_load64(&told_conn), nt_nth(NT_OPEN, 0).id);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gnp_atomic32 tick_blocks;

static gn_action ask_tick(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    gnp_store32(&tick_blocks, nt_count(NT_TRAFFIC) > 0); /* the one of this very turn */
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

static gn_action block_tick(gn_engine *e, uint64_t *next_ns, void *user)
{
    (void)e;
    (void)user;
    *next_ns = 0;
    if (gnp_swap32(&tick_blocks, 0) != 0) {
        block(BLOCK);
        nt_note(NT_TICK, 0, 0);
    }
    return GN_NONE;
}

static void block_signal(gn_engine *e, gn_signal s, void *arg)
{
    (void)e;
    (void)arg;
    block(BLOCK);
    nt_note(NT_TICK, 0, (int)s);
}

static gn_action raise_traffic(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    if (nt_count(NT_TRAFFIC) == 0) {
        nt_note(NT_TRAFFIC, 0, 0);
        NT_EXPECT_INT(nt_signal(nt_lacks("user-signals") ? "TERM" : "HUP"), 0);
        block(STALL / 3); /* the next turn finds the signal, and what is sent meanwhile */
    }
    return GN_NONE;
}

/* What a tick or a signal does is no connection's, whose callback was the last before. */
START_TEST(of_no_connection)
{
    static const gn_handler tick = { .on_traffic = ask_tick, .on_tick = block_tick, .on_stall = on_stall };
    static const gn_handler sig = { .on_traffic = raise_traffic, .on_stall = on_stall };
    gn_options o = stall_options(1, STALL);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    ck_assert_int_eq(gn_engine_create(&e, _i == 0 ? &tick : &sig, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    if (_i == 1)
        ck_assert_int_eq(gn_engine_on_signal(e, nt_lacks("user-signals") ? GN_SIGNAL_TERM : GN_SIGNAL_HUP,
                                             block_signal, NULL),
                         GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    nt_await(NT_TICK, 1);
    nt_await(NT_A, 1);
    ck_assert_uint_eq(gnp_load64(&told_conn), GN_HANDLE_NONE);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* A turn of many short callbacks is no stall, nor is a loop that waits for long. */
START_TEST(many_short_are_none)
{
    static const gn_handler h = { .on_stall = on_stall };
    static const uint64_t ns = 30 * NT_MS;
    gn_options o = stall_options(1, 400 * NT_MS);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < 25; i++)
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), block_task, (void *)(uintptr_t)&ns), GN_OK);
    nt_await(NT_DONE, 25);
    block(800 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    ck_assert_uint_eq(stalls(e), 0);
    nt_stop(e, NT_SECOND);
}
END_TEST

static void count_line(gn_log_level level, const char *line, void *user)
{
    (void)user;
    if (level == GN_LOG_WARN && strstr(line, "loop 0: ") == line && strstr(line, " has run for ") != NULL)
        nt_note(NT_B, 0, 0);
}

/* Without on_stall the log has it; without stall_ns nobody looks. */
START_TEST(logged)
{
    static const gn_handler h = { .on_traffic = block_traffic };
    static const gn_handler unwatched = { .on_traffic = block_traffic, .on_stall = on_stall };
    gn_options o = stall_options(1, _i == 0 ? STALL : 0);
    gn_engine *e = nt_start(_i == 0 ? &h : &unwatched, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_log_set_sink(count_line, NULL);
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    nt_await(NT_B, _i == 0 ? 1 : 0);
    ck_assert_uint_eq(nt_count(NT_B), _i == 0 ? 1 : 0);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    ck_assert_uint_eq(stalls(e), _i == 0 ? 1 : 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    gn_log_set_sink(NULL, NULL);
}
END_TEST

/* The watcher does not wait for its next look. */
START_TEST(stops_at_once)
{
    static const gn_handler h = { .on_stall = on_stall };
    gn_options o = stall_options(1, _i == 0 ? 3600 * NT_SECOND : _i == 1 ? UINT64_MAX : 1);
    uint64_t begin = gnp_now();
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    block(20 * NT_MS);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_lt(gnp_now() - begin, 5 * NT_SECOND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stall");
    TCase *t = nt_case(s, "stall", 20);
    tcase_add_test(t, told_once);
    tcase_add_test(t, in_other_callbacks);
    tcase_add_loop_test(t, of_no_connection, 0, 2);
    tcase_add_test(t, many_short_are_none);
    tcase_add_loop_test(t, logged, 0, 2);
    tcase_add_loop_test(t, stops_at_once, 0, 3);
    return nt_main(s);
}
