/* SPDX-License-Identifier: MIT */
/* The two queues of a loop, their limit and their memory; operations that wait for their time. */
#include "harness.h"

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

static void note_done(gn_handle h, int status, void *arg)
{
    (void)h;
    nt_note(NT_DONE, (uint64_t)(uintptr_t)arg, status);
}

/* Keeps the loop busy until it is let go. */
typedef struct gate {
    gnp_atomic32 held, go;
} gate;

static void hold(gn_handle h, int status, void *arg)
{
    gate *g = arg;
    uint64_t deadline = nt_deadline();
    (void)h;
    (void)status;
    gnp_store32(&g->held, 1);
    while (!gnp_load32(&g->go) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS / 10);
}

static void hold_loop(gate *g, gn_handle loop)
{
    memset(g, 0, sizeof *g);
    ck_assert_int_eq(gn_execute(loop, hold, g), GN_OK);
    NT_UNTIL(gnp_load32(&g->held));
}

/* ---------------------------------------------------------------- queues */

START_TEST(the_high_queue_goes_first)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    gn_handle loop = gn_engine_loop(e, 0);
    gate g;
    hold_loop(&g, loop);
    for (uintptr_t i = 0; i < 20; i++) {
        ck_assert_int_eq(gn_execute_low(loop, note_done, (void *)(100 + i)), GN_OK);
        ck_assert_int_eq(gn_execute(loop, note_done, (void *)i), GN_OK);
    }
    ck_assert_int_eq(gn_execute_low(loop, NULL, NULL), GN_EINVAL);
    gnp_store32(&g.go, 1);
    nt_await(NT_DONE, 40);
    for (unsigned i = 0; i < 40; i++)
        ck_assert_uint_eq(nt_nth(NT_DONE, i).id, i < 20 ? i : 80 + i);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* A task that asks for itself again, so that its queue is never empty. */
typedef struct treadmill {
    gn_handle loop;
    gnp_atomic32 end;
    gnp_atomic64 turns, left;
    int low;
} treadmill;

static void tread(gn_handle h, int status, void *arg)
{
    treadmill *t = arg;
    (void)h;
    (void)status;
    gnp_add64(&t->turns, 1);
    if (gnp_load32(&t->end) || (t->low ? gn_execute_low : gn_execute)(t->loop, tread, t) != GN_OK)
        gnp_sub64(&t->left, 1);
}

/* 3,000 tasks that never end fill every turn's share; the other queue, I/O and timers still have theirs. */
START_TEST(nobody_starves)
{
    gn_options o = nt_options(1);
    o.idle_timeout_ns = 600 * NT_SECOND;
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    treadmill t;
    memset(&t, 0, sizeof t);
    t.loop = gn_engine_loop(e, 0);
    t.low = _i;
    gnp_store64(&t.left, 3000);
    for (unsigned i = 0; i < 3000; i++)
        ck_assert_int_eq((t.low ? gn_execute_low : gn_execute)(t.loop, tread, &t), GN_OK);
    for (unsigned i = 1; i <= 20; i++) {
        ck_assert_int_eq(tc_send_text(c, "still there?"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "still there?"), GNP_OK);
        ck_assert_int_eq((t.low ? gn_execute : gn_execute_low)(t.loop, note_done, NULL), GN_OK);
        nt_await(NT_DONE, 2 * i - 1);
        ck_assert_int_eq(gn_schedule(t.loop, NT_MS, note_done, NULL, NULL), GN_OK);
        nt_await(NT_DONE, 2 * i);
    }
    ck_assert_uint_gt(gnp_load64(&t.turns), 3000);
    gnp_store32(&t.end, 1);
    NT_UNTIL(gnp_load64(&t.left) == 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The other way: connections that always have something to read do not keep tasks waiting. */
START_TEST(input_does_not_starve_tasks)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc_flow flow[4];
    memset(flow, 0, sizeof flow);
    for (unsigned i = 0; i < 4; i++) {
        flow[i].c = tc_connect(net, nt_url(e, 0));
        flow[i].seed = i;
        flow[i].total = nt_scaled(4096, 1024) * NT_KIB;
        flow[i].chunk = 64 * NT_KIB;
    }
    for (unsigned i = 0; i < 2000; i++)
        ck_assert_int_eq((i % 2 ? gn_execute : gn_execute_low)(gn_engine_loop(e, 0), note_done, NULL), GN_OK);
    ck_assert_int_eq(tc_exchange(net, flow, 4), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 2000);
    for (unsigned i = 0; i < 4; i++)
        tc_close(flow[i].c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

#define SENDERS 4u

/* Writes and executions of one thread, numbered together. */
typedef struct sender {
    gnp_thread thread;
    gn_handle h;
    unsigned index, count;
    uint32_t due; /* the loop's */
} sender;

typedef struct record {
    uint32_t sender, number;
} record;

static sender senders[SENDERS];

static void step(gn_handle h, int status, void *arg)
{
    uintptr_t k = (uintptr_t)arg;
    sender *s = &senders[k % SENDERS];
    (void)h;
    NT_EXPECT_INT(status, GN_OK);
    if (s->due != k / SENDERS)
        nt_wrong(__FILE__, __LINE__, "sender %u: %u came where %u was due", s->index,
                 (unsigned)(k / SENDERS), (unsigned)s->due);
    s->due++;
}

static void send_all(void *arg)
{
    sender *s = arg;
    for (uint32_t i = 0; i < s->count; i++) {
        void *k = (void *)(uintptr_t)(i * SENDERS + s->index);
        record r = { s->index, i };
        int rc = i % 2 == 0 ? gn_write(s->h, &r, sizeof r, step, k) : gn_execute(s->h, step, k);
        NT_EXPECT_INT(rc, GN_OK);
    }
}

START_TEST(senders_keep_their_order)
{
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned count = nt_scaled(20000, 1000) & ~1u;
    uint32_t next[SENDERS] = { 0 };
    nt_await(NT_OPEN, 1);
    memset(senders, 0, sizeof senders);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].h = nt_nth(NT_OPEN, 0).id;
        senders[i].index = i;
        senders[i].count = count;
        ck_assert_int_eq(gnp_thread_start(&senders[i].thread, send_all, &senders[i], "sender"), GN_OK);
    }
    for (unsigned i = 0; i < SENDERS * count / 2; i++) {
        record r;
        ck_assert_int_eq(tc_recv_exact(c, &r, sizeof r), GNP_OK);
        ck_assert_uint_lt(r.sender, SENDERS);
        ck_assert_uint_eq(r.number, next[r.sender]);
        next[r.sender] += 2;
    }
    for (unsigned i = 0; i < SENDERS; i++)
        gnp_thread_join(&senders[i].thread);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_uint_eq(senders[i].due, count);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- limit and memory */

/* D13: what waits for a loop is bounded... */
START_TEST(waiting_bytes_have_a_limit)
{
    gn_options o = nt_options(1);
    o.post_max = 64 * NT_KIB;
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char *big = calloc(1, NT_MIB);
    unsigned char small[100];
    unsigned n = 0;
    gate g;
    nt_await(NT_OPEN, 1);
    gn_handle h = nt_nth(NT_OPEN, 0).id;
    for (unsigned round = 0; round < 3; round++) {
        unsigned before = n;
        hold_loop(&g, gn_engine_loop(e, 0));
        ck_assert_int_eq(gn_write(h, big, NT_MIB, note_done, NULL), GN_ELIMIT);
        nt_fill(round, 0, small, sizeof small);
        int rc;
        while ((rc = gn_write(h, small, sizeof small, note_done, NULL)) == GN_OK)
            ck_assert_uint_lt(++n - before, 64 * NT_KIB / sizeof small);
        ck_assert_int_eq(rc, GN_ELIMIT);
        ck_assert_uint_ge(n - before, 64 * NT_KIB / 512);
        ck_assert_uint_eq(nt_count(NT_DONE), before); /* nothing more happens */
        gnp_store32(&g.go, 1);
        for (unsigned i = before; i < n; i++)
            ck_assert_int_eq(tc_recv_stream(c, round, 0, sizeof small), GNP_OK);
        nt_await(NT_DONE, n);
        NT_UNTIL(gn_write(h, big, 32 * NT_KIB, NULL, NULL) == GN_OK); /* there is room again */
        unsigned char *back = malloc(32 * NT_KIB);
        ck_assert_int_eq(tc_recv_exact(c, back, 32 * NT_KIB), GNP_OK);
        ck_assert_int_eq(memcmp(back, big, 32 * NT_KIB), 0);
        free(back);
    }
    free(big);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

#define ASKERS 3u
static gnp_atomic64 asked, answered;
static gnp_atomic32 asking;
static gn_handle ask_conn[4], ask_loop[2];
static unsigned char ask_data[40000];

static void answer(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    gnp_add64(&answered, 1);
}

static int ask_one(uint64_t dice)
{
    gn_handle c = ask_conn[dice % 4], l = ask_loop[dice / 4 % 2];
    size_t n = dice / 8 % 64 == 0 ? sizeof ask_data : (size_t)(dice / 512 % 300);
    gn_iov v = { ask_data, n };
    gn_op op = GN_OP_NONE;
    int rc;
    switch (dice / 1000003 % 10) {
    case 0:
        return gn_write(c, ask_data, n, answer, NULL);
    case 1:
        return gn_write_ref(c, &v, 1, answer, NULL);
    case 2:
        return gn_write_sent(c, &v, 1, answer, NULL);
    case 3:
        return gn_execute(dice % 3 ? c : l, answer, NULL);
    case 4:
        return gn_execute_low(dice % 3 ? c : l, answer, NULL);
    case 5:
        return gn_wake(c, answer, NULL);
    case 6:
    case 7:
        return gn_migrate(c, l, answer, NULL);
    case 8:
        return dice % 1001 == 0 ? gn_close(c, answer, NULL) : gn_wake(c, answer, NULL);
    default:
        rc = gn_schedule(c, dice % 3 ? dice % 3000000 : 600 * NT_SECOND, answer, NULL, &op);
        if (rc == GN_OK && dice % 5 == 0)
            (void)gn_cancel(op);
        return rc;
    }
}

static void ask_much(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    int rc = GN_OK;
    while (rc != GN_ECLOSED || gnp_load32(&asking)) {
        gnp_add64(&asked, 1);
        rc = ask_one(nt_random(&seed) >> 8);
        if (rc != GN_OK)
            (void)gnp_sub64(&asked, 1);
        NT_EXPECT(rc == GN_OK || rc == GN_ELIMIT || rc == GN_ECLOSED);
    }
}

static gn_action drop(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    return GN_NONE;
}

/* Whatever the operations are about when the loops end under their senders: each that was accepted is
 * answered once, and no byte of them is counted in the loops' next life. */
START_TEST(nothing_stays_charged)
{
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = drop };
    gn_options o = nt_options(2);
    o.post_max = NT_MIB;
    gnp_store64(&asked, 0);
    gnp_store64(&answered, 0);
    for (unsigned round = 0; round < nt_scaled(12, 2); round++) {
        gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
        tc_net *net = tc_net_open();
        gnp_thread t[ASKERS];
        tc *c[4];
        gn_stats s = { .size = sizeof s };
        ck_assert_int_eq(gn_engine_stats(e, &s), GN_OK);
        ck_assert_uint_eq(s.bytes_posted, 0);
        for (unsigned i = 0; i < 4; i++) {
            c[i] = tc_connect(net, nt_url(e, 0));
            nt_await(NT_OPEN, 4 * round + i + 1);
            ask_conn[i] = nt_nth(NT_OPEN, 4 * round + i).id;
        }
        ask_loop[0] = gn_engine_loop(e, 0);
        ask_loop[1] = gn_engine_loop(e, 1);
        gnp_store32(&asking, 1);
        for (uintptr_t i = 0; i < ASKERS; i++)
            ck_assert_int_eq(gnp_thread_start(&t[i], ask_much, (void *)(8 * round + i + 1), "asks"), GNP_OK);
        gnp_sleep_until(gnp_now() + 20 * NT_MS);
        ck_assert_int_eq(gn_engine_stop(e, round % 3 ? 5 * NT_MS : 0), GN_OK);
        gnp_store32(&asking, 0);
        for (unsigned i = 0; i < ASKERS; i++)
            gnp_thread_join(&t[i]);
        (void)nt_join(e);
        ck_assert_uint_eq(gnp_load64(&answered), gnp_load64(&asked));
        ck_assert_int_eq(gn_engine_stats(e, &s), GN_OK);
        ck_assert_uint_eq(s.bytes_posted, 0);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        for (unsigned i = 0; i < 4; i++)
            tc_close(c[i]);
        tc_net_close(net);
    }
    ck_assert_uint_gt(gnp_load64(&answered), 100);
}
END_TEST

static gnp_atomic64 small_done;

static void count_done(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    gnp_add64(&small_done, 1);
}

/* Once as many operations as now are under way have been made, no more memory is taken. */
START_TEST(steady_state_allocates_nothing)
{
    nt_alloc a;
    memset(&a, 0, sizeof a);
    gn_allocator hooks = nt_alloc_hooks(&a);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char bytes[64], back[64];
    uint64_t calls = 0;
    const unsigned rounds = 40, burst = 100;
    nt_await(NT_OPEN, 1);
    gn_handle h = nt_nth(NT_OPEN, 0).id;
    nt_fill(1, 0, bytes, sizeof bytes);
    for (unsigned r = 0; r < rounds; r++) {
        gate g;
        gnp_store64(&small_done, 0);
        hold_loop(&g, gn_engine_loop(e, 0)); /* all of them are under way at once */
        for (unsigned i = 0; i < burst; i++) {
            ck_assert_int_eq(gn_write(h, bytes, sizeof bytes, count_done, NULL), GN_OK);
            ck_assert_int_eq(gn_execute_low(h, count_done, NULL), GN_OK);
            ck_assert_int_eq(gn_schedule(h, 0, count_done, NULL, NULL), GN_OK);
        }
        gnp_store32(&g.go, 1);
        for (unsigned i = 0; i < burst; i++)
            ck_assert_int_eq(tc_recv_exact(c, back, sizeof back), GNP_OK);
        NT_UNTIL(gnp_load64(&small_done) == 3 * burst);
        /* What has run last is given back at the end of its turn or of the next. */
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_int_eq(gn_execute(h, note_done, NULL), GN_OK);
            nt_await(NT_DONE, 2 * r + i + 1);
        }
        if (r == 2)
            calls = gnp_load64(&a.calls);
    }
    /* Who meets another in a stripe allocates instead; and if that one has just lost its CPU there, the loop
     * gives a whole round back only later.  Without reuse it would be 3 * burst each round. */
    ck_assert_uint_le(gnp_load64(&a.calls) - calls, 3 * burst);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_uint_eq(gnp_load64(&a.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

/* ---------------------------------------------------------------- schedule */

typedef struct due {
    uint64_t at;
    unsigned number;
} due;

static void note_due(gn_handle h, int status, void *arg)
{
    due *d = arg;
    (void)h;
    NT_EXPECT(gnp_now() >= d->at);
    NT_EXPECT(gn_loop_current() != NULL);
    nt_note(NT_A, d->number, status);
}

START_TEST(scheduled_in_time)
{
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    static const unsigned ms[5] = { 90, 30, 0, 60, 31 };
    static const unsigned order[5] = { 2, 1, 4, 3, 0 };
    due d[5];
    gn_handle loop = gn_engine_loop(e, 1);
    gn_op op = 1;
    ck_assert_int_eq(gn_schedule(loop, 0, NULL, NULL, &op), GN_EINVAL);
    ck_assert_uint_eq(op, GN_OP_NONE);
    op = 1;
    ck_assert_int_eq(gn_schedule(GN_HANDLE_NONE, 0, note_due, NULL, &op), GN_ECLOSED);
    ck_assert_uint_eq(op, GN_OP_NONE);
    for (unsigned i = 0; i < 5; i++) {
        d[i].number = i;
        d[i].at = gnp_now() + ms[i] * NT_MS;
        ck_assert_int_eq(gn_schedule(loop, ms[i] * NT_MS, note_due, &d[i], NULL), GN_OK);
    }
    nt_await(NT_A, 5);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(nt_nth(NT_A, i).status, GN_OK);
        if (i != 1 && i != 2) /* these two are a tick apart */
            ck_assert_uint_eq(nt_nth(NT_A, i).id, order[i]);
    }
    nt_stop(e, NT_SECOND);
}
END_TEST

START_TEST(scheduled_and_cancelled)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle loop = gn_engine_loop(e, 0);
    gn_op op[3];
    nt_await(NT_OPEN, 1);
    gn_handle h = nt_nth(NT_OPEN, 0).id;
    for (uintptr_t i = 0; i < 3; i++)
        ck_assert_int_eq(gn_schedule(loop, 600 * NT_SECOND, note_done, (void *)i, &op[i]), GN_OK);
    ck_assert(op[0] != GN_OP_NONE && op[0] != op[1] && op[1] != op[2]);
    ck_assert_int_eq(gn_cancel(op[1]), GN_OK);
    ck_assert_int_eq(gn_cancel(op[1]), GN_OK); /* nobody knows yet */
    nt_await(NT_DONE, 1);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).id, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECANCELED);
    /* For a connection: it runs while that is open, and tells when it is gone. */
    ck_assert_int_eq(gn_schedule(h, NT_MS, note_done, (void *)7, NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    ck_assert_int_eq(gn_schedule(h, 50 * NT_MS, note_done, (void *)8, NULL), GN_OK);
    tc_close(c);
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_ECLOSED);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), 5);
    for (unsigned i = 3; i < 5; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_ECLOSED);
    ck_assert_int_eq(gn_cancel(op[0]), GN_ECLOSED);
    tc_net_close(net);
}
END_TEST

static gnp_atomic64 fired, ended;

static void count_end(gn_handle h, int status, void *arg)
{
    gnp_atomic32 *mark = arg;
    (void)h;
    NT_EXPECT_INT(gnp_add32(mark, 1), 0); /* exactly once */
    gnp_add64(status == GN_OK ? &fired : &ended, 1);
    NT_EXPECT(status == GN_OK || status == GN_ECLOSED);
}

/* Very many, some of which come due before the loop ends. */
START_TEST(a_million_scheduled)
{
    unsigned count = nt_scaled(1000000, 20000);
    gn_options o = nt_options(2);
    o.post_max = (size_t)1 << 30;
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    gnp_atomic32 *mark = calloc(count, sizeof *mark);
    gnp_store64(&fired, 0);
    gnp_store64(&ended, 0);
    unsigned soon = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t delay = i % 16 == 0 ? NT_MS * (i % 100) : 100 * NT_SECOND + i * UINT64_C(1000000);
        soon += i % 16 == 0;
        ck_assert_int_eq(gn_schedule(gn_engine_loop(e, i % 2), delay, count_end, &mark[i], NULL), GN_OK);
    }
    NT_UNTIL(gnp_load64(&fired) == soon);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(gnp_load64(&fired), soon);
    ck_assert_uint_eq(gnp_load64(&ended), count - soon);
    free(mark);
}
END_TEST

/* ---------------------------------------------------------------- the loop */

static void use_context(gn_handle h, int status, void *arg)
{
    gn_loop *l = gn_loop_current();
    (void)h;
    (void)status;
    nt_note(NT_B, (uint64_t)(uintptr_t)gn_loop_context(l), 0);
    gn_loop_set_context(l, arg);
}

START_TEST(loops_have_a_context)
{
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    for (uintptr_t i = 0; i < 4; i++) {
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, i % 2), use_context, (void *)(i + 1)), GN_OK);
        nt_await(NT_B, (unsigned)i + 1);
        ck_assert_uint_eq(nt_nth(NT_B, (unsigned)i).id, i < 2 ? 0 : i - 1);
    }
    ck_assert_ptr_null(gn_loop_context(NULL));
    nt_stop(e, NT_SECOND);
}
END_TEST

/* Spinning changes nothing but the time it takes: input, tasks, timers and the stop are all noticed. */
START_TEST(spinning_misses_nothing)
{
    gn_options o = nt_options(1);
    o.spin_us = 2000;
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 1; i <= 10; i++) {
        ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "x"), GNP_OK);
        ck_assert_int_eq(gn_schedule(gn_engine_loop(e, 0), i % 2 * 5 * NT_MS, note_done, NULL, NULL), GN_OK);
        nt_await(NT_DONE, i);
        gnp_sleep_until(gnp_now() + i % 3 * 2 * NT_MS); /* asleep, or not */
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("post");
    TCase *t = nt_case(s, "queues", 60);
    tcase_add_test(t, the_high_queue_goes_first);
    tcase_add_loop_test(t, nobody_starves, 0, 2);
    tcase_add_test(t, input_does_not_starve_tasks);
    tcase_add_test(t, senders_keep_their_order);
    tcase_add_test(t, waiting_bytes_have_a_limit);
    tcase_add_test(t, nothing_stays_charged);
    tcase_add_test(t, steady_state_allocates_nothing);
    t = nt_case(s, "schedule", 60);
    tcase_add_test(t, scheduled_in_time);
    tcase_add_test(t, scheduled_and_cancelled);
    tcase_add_test(t, a_million_scheduled);
    t = nt_case(s, "loop", 60);
    tcase_add_test(t, loops_have_a_context);
    tcase_add_test(t, spinning_misses_nothing);
    return nt_main(s);
}
