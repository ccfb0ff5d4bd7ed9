/* SPDX-License-Identifier: MIT */
/* Bugs that were found in connections, and in what ties them together, when all their parts met.  Each test
 * failed before its fix. */
#include "harness.h"

/* ---------------------------------------------------------------- two connections of one loop */

typedef struct pair {
    gn_conn *c[2];
    gnp_atomic64 bytes;
    int both;
    gn_engine *e;
} pair;

static gn_action pair_open(gn_conn *c, void *user)
{
    pair *p = user;
    p->c[p->c[0] != NULL] = c;
    return nt_on_open(c, NULL);
}

static gn_action pair_traffic(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)gn_conn_inbound(c));
    return GN_NONE; /* it stays unread */
}

static gn_action pair_eof(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_EOF, gn_conn_handle(c), 0);
    return GN_NONE;
}

static const gn_handler pair_handler = {
    .on_open = pair_open, .on_traffic = pair_traffic, .on_eof = pair_eof, .on_close = nt_on_close
};

static void connect_pair(pair *p, const gn_handler *h, gn_options *o, tc_net **net, tc *c[2])
{
    p->e = nt_start(h, p, o, "tcp://127.0.0.1:0", (char *)NULL);
    *net = tc_net_open();
    for (unsigned i = 0; i < 2; i++) {
        c[i] = tc_connect(*net, nt_url(p->e, 0));
        nt_await(NT_OPEN, i + 1);
    }
}

static void part_pair(pair *p, tc_net *net, tc *c[2])
{
    tc_close(c[0]);
    tc_close(c[1]);
    nt_stop(p->e, NT_SECOND);
    tc_net_close(net);
}

/* Runs fn on the loop, between two callbacks, and waits for it. */
static void on_loop(pair *p, gn_done fn)
{
    unsigned had = nt_count(NT_A);
    ck_assert_int_eq(gn_execute(gn_engine_loop(p->e, 0), fn, p), GN_OK);
    nt_await(NT_A, had + 1);
}

static void pipe_pair(gn_handle h, int status, void *arg)
{
    pair *p = arg;
    (void)h;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gn_conn_pipe(p->c[0], p->c[1]), GN_OK);
    if (p->both)
        NT_EXPECT_INT(gn_conn_pipe(p->c[1], p->c[0]), GN_OK);
    nt_note(NT_A, 0, 0);
}

static uint64_t turns(pair *p)
{
    gn_stats s = { .size = sizeof(s) };
    ck_assert_int_eq(gn_engine_loop_stats(p->e, 0, &s), GN_OK);
    return s.turns;
}

/* Nothing happens, so the loop sleeps: a loop that spins makes thousands of turns in this time. */
static void expect_rest(pair *p)
{
    uint64_t before;
    gnp_sleep_until(gnp_now() + 30 * NT_MS);
    before = turns(p);
    gnp_sleep_until(gnp_now() + 100 * NT_MS);
    ck_assert_uint_lt(turns(p) - before, 60);
}

/* More than the system's buffers of both ends grow to. */
static void block(gn_conn *c)
{
    static unsigned char big[1 << 20];
    for (unsigned i = 0; i < 40; i++)
        NT_EXPECT_INT(gn_conn_write(c, big, sizeof(big)), GN_OK);
}

/* ---------------------------------------------------------------- turns without progress */

static void pause_again(gn_handle h, int status, void *arg)
{
    gn_conn *c = ((pair *)arg)->c[0];
    (void)h;
    (void)status;
    NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    NT_EXPECT_INT(gn_conn_resume(c), GN_OK);
    NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    nt_note(NT_A, 0, 0);
}

static void resume_close(gn_handle h, int status, void *arg)
{
    gn_conn *c = ((pair *)arg)->c[0];
    (void)h;
    (void)status;
    block(c);
    NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    NT_EXPECT_INT(gn_conn_resume(c), GN_OK);
    NT_EXPECT_INT(gn_conn_close(c), GN_OK);
    nt_note(NT_A, 0, 0);
}

static void resume_only(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    NT_EXPECT_INT(gn_conn_resume(((pair *)arg)->c[0]), GN_OK);
    nt_note(NT_A, 0, 0);
}

/* An on_traffic that is owed cannot be paid while the connection is paused, or once it closes: the loop
 * tried in every turn. */
START_TEST(owed_traffic_of_who_rests_keeps_no_loop_busy)
{
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    connect_pair(&p, &pair_handler, &o, &net, c);
    ck_assert_int_eq(tc_send_text(c[0], "x"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    on_loop(&p, _i == 0 ? pause_again : resume_close);
    expect_rest(&p);
    if (_i == 0) {
        on_loop(&p, resume_only);
        nt_await(NT_TRAFFIC, 2); /* still owed */
    } else {
        ck_assert_int_eq(tc_recv_to_eof(c[0], NULL), GNP_OK);
        nt_await(NT_CLOSE, 1);
    }
    part_pair(&p, net, c);
}
END_TEST

static void limit_second(gn_handle h, int status, void *arg)
{
    NT_EXPECT_INT(gn_conn_set_limits(((pair *)arg)->c[1], 0, 64 * NT_KIB), GN_OK);
    pipe_pair(h, status, arg);
}

/* The end of a pipe takes no more, though it is below its high mark: by a limit of its own, by outbound_max,
 * by a budget. */
START_TEST(full_pipe_keeps_no_loop_busy)
{
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    uint64_t stuffed, total = 0;
    if (_i == 1)
        o.outbound_max = 64 * NT_KIB;
    if (_i == 2)
        o.loop_bytes_max = 256 * NT_KIB;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, _i == 0 ? limit_second : pipe_pair);
    stuffed = tc_stuff(c[0], 64 * NT_MIB, 60 * NT_MS);
    ck_assert_uint_gt(stuffed, NT_MIB);
    ck_assert_uint_lt(stuffed, 64 * NT_MIB);
    expect_rest(&p);
    ck_assert_int_eq(tc_shutdown(c[0]), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c[1], &total), GNP_OK);
    ck_assert_uint_eq(total, stuffed);
    part_pair(&p, net, c);
}
END_TEST

START_TEST(turn_is_counted_once)
{
    pair p = { .both = 1 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    uint64_t before;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, pipe_pair);
    before = turns(&p);
    for (unsigned i = 0; i < 400; i++) {
        ck_assert_int_eq(tc_send_text(c[i % 2], "x"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c[1 - i % 2], "x"), GNP_OK);
    }
    ck_assert_uint_le(turns(&p) - before, 400 + 200); /* one for each event, and a few */
    part_pair(&p, net, c);
}
END_TEST

/* ---------------------------------------------------------------- pipes */

/* The end of one direction is no end of the other, whatever calls on_traffic later. */
START_TEST(wake_after_the_end_of_a_pipe_breaks_nothing)
{
    pair p = { .both = 1 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    unsigned char byte;
    size_t n = 0;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, pipe_pair);
    ck_assert_int_eq(tc_shutdown(c[0]), GNP_OK);
    ck_assert_int_eq(tc_recv(c[1], &byte, 1, &n), GNP_EOF);
    ck_assert_int_eq(gn_wake(nt_nth(NT_OPEN, 0).id, NULL, NULL), GN_OK);
    ck_assert(tc_quiet(c[0], 30 * NT_MS));
    ck_assert_int_eq(tc_send_text(c[1], "answer"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c[0], "answer"), GNP_OK);
    ck_assert_int_eq(tc_shutdown(c[1]), GNP_OK);
    nt_await(NT_CLOSE, 2);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 1).status, GN_EOF);
    part_pair(&p, net, c);
}
END_TEST

/* A peer that sends everything before it reads: between the two ends alone that works, so it must through a
 * pipe; it was not read while what waited for it was above the high mark, or (1) at the budget of the
 * loop. */
START_TEST(full_pipe_does_not_stop_the_other_way)
{
    pair p = { .both = 1 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    uint64_t stuffed, total = 0;
    o.loop_bytes_max = _i == 1 ? 256 << 10 : 0;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, pipe_pair);
    stuffed = tc_stuff(c[1], 64 * NT_MIB, 60 * NT_MS);
    ck_assert_uint_gt(stuffed, NT_MIB);
    ck_assert_int_eq(tc_send_text(c[0], "the other way"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c[1], "the other way"), GNP_OK);
    ck_assert_int_eq(tc_shutdown(c[1]), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c[0], &total), GNP_OK);
    ck_assert_uint_eq(total, stuffed);
    part_pair(&p, net, c);
}
END_TEST

static void look_first(gn_handle h, int status, void *arg)
{
    pair *p = arg;
    (void)h;
    (void)status;
    gnp_store64(&p->bytes, gn_conn_inbound(p->c[0]));
    nt_note(NT_A, 0, 0);
}

/* Until some of it has been read and does not fit. */
static void fill(pair *p, tc *c)
{
    do {
        (void)tc_stuff(c, 64 * NT_MIB, 60 * NT_MS);
        on_loop(p, look_first);
    } while (gnp_load64(&p->bytes) == 0);
}

static void close_first(gn_handle h, int status, void *arg)
{
    pair *p = arg;
    gn_stats s = { .size = sizeof(s) };
    (void)h;
    (void)status;
    NT_EXPECT(gn_conn_inbound(p->c[0]) > 0);
    NT_EXPECT_INT(gn_engine_stats(p->e, &s), GN_OK);
    gnp_store64(&p->bytes, s.bytes_in);
    NT_EXPECT_INT(gn_conn_close(p->c[0]), GN_OK);
    nt_note(NT_A, 0, 0);
}

/* What was read and did not fit is the last that is sent, however full the other end is. */
START_TEST(closed_pipe_passes_on_all_that_was_read)
{
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    uint64_t total = 0;
    if (_i == 1)
        o.loop_bytes_max = 256 * NT_KIB;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, _i == 0 ? limit_second : pipe_pair);
    fill(&p, c[0]);
    on_loop(&p, close_first);
    ck_assert_int_eq(tc_recv_to_eof(c[1], &total), GNP_OK);
    ck_assert_uint_eq(total, gnp_load64(&p.bytes));
    part_pair(&p, net, c);
}
END_TEST

static void unpipe_first(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    NT_EXPECT_INT(gn_conn_unpipe(((pair *)arg)->c[0]), GN_OK);
    nt_note(NT_A, 0, 0);
}

/* It came while the pipe was there, which kept it for itself: the handler would wait for ever. */
START_TEST(end_that_a_pipe_saw_is_told_after_it)
{
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    unsigned char byte;
    size_t n = 0;
    connect_pair(&p, &pair_handler, &o, &net, c);
    on_loop(&p, pipe_pair);
    ck_assert_int_eq(tc_shutdown(c[0]), GNP_OK);
    ck_assert_int_eq(tc_recv(c[1], &byte, 1, &n), GNP_EOF);
    ck_assert_uint_eq(nt_count(NT_EOF), 0);
    on_loop(&p, unpipe_first);
    nt_await(NT_EOF, 1);
    ck_assert_uint_eq(nt_nth(NT_EOF, 0).id, nt_nth(NT_OPEN, 0).id);
    ck_assert(tc_quiet(c[0], 20 * NT_MS));
    ck_assert_uint_eq(nt_count(NT_EOF), 1);
    part_pair(&p, net, c);
}
END_TEST

static void close_second(gn_handle h, int status, void *arg)
{
    pair *p = arg;
    NT_EXPECT_INT(gn_conn_set_watermarks(p->c[1], 256 * NT_MIB, 1), GN_OK); /* the pipe still reads */
    block(p->c[1]);
    NT_EXPECT_INT(gn_conn_pipe(p->c[0], p->c[1]), GN_OK);
    NT_EXPECT_INT(gn_conn_close(p->c[1]), GN_OK);
    nt_note(NT_A, 0, 0);
    (void)h;
    (void)status;
}

static gn_action failover_close(gn_conn *c, int reason, void *user)
{
    pair *p = user;
    if (c == p->c[1])
        NT_EXPECT_INT(gn_conn_unpipe(p->c[0]), GN_OK);
    return nt_on_close(c, reason, NULL);
}

/* Who puts another connection in the place of the one that closes wants what came meanwhile. */
START_TEST(pipe_into_a_closing_connection_loses_nothing)
{
    static const gn_handler h = {
        .on_open = pair_open, .on_traffic = pair_traffic, .on_close = failover_close
    };
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    connect_pair(&p, &h, &o, &net, c);
    on_loop(&p, close_second);
    ck_assert_int_eq(tc_send_text(c[0], "for another"), GNP_OK);
    expect_rest(&p);
    ck_assert_int_eq(tc_recv_to_eof(c[1], NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_uint_eq(nt_nth(NT_TRAFFIC, 0).id, nt_nth(NT_OPEN, 0).id);
    ck_assert_int_eq(nt_nth(NT_TRAFFIC, 0).status, 11);
    part_pair(&p, net, c);
}
END_TEST

static gn_action close_other(gn_conn *c, int reason, void *user)
{
    pair *p = user;
    if (c == p->c[0])
        NT_EXPECT_INT(gn_conn_close(p->c[1]), GN_OK);
    return nt_on_close(c, reason, NULL);
}

/* What most will write by habit: the end of one closes the other, before the pipe could say its last word. */
START_TEST(closing_the_other_end_as_well_loses_nothing)
{
    static const gn_handler h = { .on_open = pair_open, .on_traffic = pair_traffic, .on_close = close_other };
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    tc_net *net;
    tc *c[2];
    uint64_t total = 0;
    connect_pair(&p, &h, &o, &net, c);
    on_loop(&p, limit_second);
    fill(&p, c[0]);
    on_loop(&p, close_first);
    ck_assert_int_eq(tc_recv_to_eof(c[1], &total), GNP_OK);
    ck_assert_uint_eq(total, gnp_load64(&p.bytes));
    part_pair(&p, net, c);
}
END_TEST

/* ---------------------------------------------------------------- resets */

static gnp_atomic32 was_reset;

static gn_action shut_after_reset(gn_conn *c, void *user)
{
    gn_action action = nt_on_open(c, user);
    NT_UNTIL(gnp_load32(&was_reset) != 0);
    NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_OK);
    return action;
}

/* The end of our stream is the first that meets a reset; the system only says that nothing is connected. */
START_TEST(half_close_after_a_reset_tells_of_the_reset)
{
    static const gn_handler h = { .on_open = shut_after_reset, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gnp_store32(&was_reset, 0);
    nt_await(NT_OPEN, 1);
    tc_reset(c);
    gnp_sleep_until(gnp_now() + 20 * NT_MS); /* loopback: it has come */
    gnp_store32(&was_reset, 1);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECONNRESET);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- datagrams */

static nt_alloc heap;

static void starved_error(gn_conn *c, int error, void *user)
{
    (void)c;
    (void)user;
    nt_note(NT_B, 0, error);
}

/* There is no memory to receive into: the datagram stays with the system, which said so in every turn. */
START_TEST(endpoint_without_memory_keeps_no_loop_busy)
{
    static const gn_handler h = { .on_traffic = nt_echo, .on_error = starved_error };
    gn_allocator hooks = nt_alloc_hooks(&heap);
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    unsigned char buf[16];
    size_t n = 0;
    int available = 0;
    tc_net *net;
    tc *c;
    o.poller = gn_poller_name((unsigned)_i / 2, &available);
    if (o.poller == NULL || !available)
        return;
    o.edge_triggered = _i % 2;
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    tc_exempt = 1;
    p.e = nt_start(&h, &p, &o, "udp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(p.e, 0));
    gnp_store64(&heap.fail_n, UINT64_MAX / 2);
    gnp_store64(&heap.fail_at, 1);
    ck_assert_int_eq(tc_dgram_send(c, "waits", 5), GNP_OK);
    nt_await(NT_B, 1);
    ck_assert_int_eq(nt_nth(NT_B, 0).status, GN_ENOMEM);
    expect_rest(&p);
    gnp_store64(&heap.fail_at, 0);
    ck_assert_int_eq(tc_dgram_recv(c, buf, sizeof(buf), &n), GNP_OK);
    ck_assert_uint_eq(n, 5);
    tc_close(c);
    nt_stop(p.e, NT_SECOND);
    tc_net_close(net);
    tc_exempt = 0;
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

static gn_action refused_open(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_OK);
    return nt_on_open(c, NULL);
}

/* The network's answer to a datagram waits at a socket that does not read. */
START_TEST(paused_datagrams_keep_no_loop_busy)
{
    static const gn_handler h = { .on_open = refused_open, .on_close = nt_on_close };
    static const gn_handler none = { .on_traffic = nt_echo };
    pair p = { .both = 0 };
    gn_options o = nt_options(1);
    gn_engine *other;
    char url[64];
    int available = 0;
    o.poller = gn_poller_name((unsigned)_i / 2, &available);
    if (o.poller == NULL || !available)
        return;
    o.edge_triggered = _i % 2;
    other = nt_start(&none, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    strncpy(url, nt_url(other, 0), sizeof(url) - 1);
    url[sizeof(url) - 1] = '\0';
    nt_stop(other, 0);
    p.e = nt_start(&h, &p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    ck_assert_int_eq(gn_dial(gn_engine_loop(p.e, 0), url, NULL, NULL, NULL, NULL), GN_OK);
    nt_await(NT_OPEN, 1);
    expect_rest(&p);
    nt_stop(p.e, NT_SECOND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("regress_conn");
    TCase *t = nt_case(s, "turns", 60);
    tcase_add_loop_test(t, owed_traffic_of_who_rests_keeps_no_loop_busy, 0, 2);
    tcase_add_loop_test(t, full_pipe_keeps_no_loop_busy, 0, 3);
    tcase_add_test(t, turn_is_counted_once);
    tcase_add_loop_test(t, paused_datagrams_keep_no_loop_busy, 0, 4);
    tcase_add_loop_test(t, endpoint_without_memory_keeps_no_loop_busy, 0, 4);
    t = nt_case(s, "pipes", 60);
    tcase_add_test(t, wake_after_the_end_of_a_pipe_breaks_nothing);
    tcase_add_loop_test(t, full_pipe_does_not_stop_the_other_way, 0, 2);
    tcase_add_loop_test(t, closed_pipe_passes_on_all_that_was_read, 0, 2);
    tcase_add_test(t, closing_the_other_end_as_well_loses_nothing);
    tcase_add_test(t, end_that_a_pipe_saw_is_told_after_it);
    tcase_add_test(t, pipe_into_a_closing_connection_loses_nothing);
    t = nt_case(s, "resets", 60);
    tcase_add_test(t, half_close_after_a_reset_tells_of_the_reset);
    return nt_main(s);
}
