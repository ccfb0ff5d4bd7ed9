/* SPDX-License-Identifier: MIT */
/* Connections that go from loop to loop: nothing is lost, nothing twice, old handles follow in order. */
#include "harness.h"

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

static void note_done(gn_handle h, int status, void *arg)
{
    nt_note(NT_DONE, h, status);
    (void)arg;
}

/* What the i-th run of a test takes: each poller that works here, level- and edge-triggered. */
static int variant(int i, gn_options *o)
{
    int available = 0;
    const char *name = gn_poller_name((unsigned)i / 2, &available);
    if (name == NULL || !available)
        return 0;
    o->poller = name;
    o->edge_triggered = i % 2;
    nt_name(name);
    return 1;
}

#define VARIANTS (2 * nt_pollers())

static unsigned loop_of_conn(gn_engine *e)
{
    unsigned i = 0;
    while (i + 1 < gn_engine_loop_count(e) && gn_engine_loop_accepted(e, i) == 0)
        i++;
    return i;
}

/* ---------------------------------------------------------------- the verb */

static gn_action keep_open(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_set_context(c, (void *)(uintptr_t)gn_conn_handle(c));
    return nt_on_open(c, user);
}

static gn_action context_stays(gn_conn *c, int reason, void *user)
{
    (void)user;
    nt_note(NT_CLOSE, (uint64_t)(uintptr_t)gn_conn_context(c), reason);
    nt_note(NT_C, gn_conn_handle(c), (int)gn_loop_index(gn_conn_loop(c)));
    return GN_NONE;
}

static void note_loop(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    nt_note(NT_A, h, (int)gn_loop_index(gn_loop_current()));
}

/* There and back: the old handle works throughout, and is the handle again on the first loop. */
START_TEST(handles_follow)
{
    static const gn_handler h = { .on_open = keep_open,
                                  .on_traffic = nt_echo,
                                  .on_close = context_stays };
    gn_options o = nt_options(3);
    if (!variant(_i, &o))
        NT_SKIP("this poller is not on this system");
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    gn_handle first = nt_nth(NT_OPEN, 0).id;
    unsigned home = loop_of_conn(e);
    gn_handle at[3];
    unsigned n = 0;
    at[home] = first;
    for (unsigned i = 1; i <= 6; i++) {
        unsigned to = (home + i) % 3;
        ck_assert_int_eq(gn_migrate(first, gn_engine_loop(e, to), note_done, NULL), GN_OK);
        nt_await(NT_DONE, i);
        ck_assert_int_eq(nt_nth(NT_DONE, i - 1).status, GN_OK);
        if (i <= 2) {
            at[to] = nt_nth(NT_DONE, i - 1).id;
            ck_assert(at[to] != first);
        }
        ck_assert_uint_eq(nt_nth(NT_DONE, i - 1).id, at[to]);
        ck_assert_int_eq(tc_send_text(c, "ping"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "ping"), GNP_OK);
        for (unsigned k = 0; k < (i < 3 ? 1 : 3); k++) {
            gn_handle by = i < 3 ? first : at[k];
            ck_assert_int_eq(gn_write(by, "told", 4, NULL, NULL), GN_OK);
            ck_assert_int_eq(tc_recv_text(c, "told"), GNP_OK);
            ck_assert_int_eq(gn_execute_low(by, note_loop, NULL), GN_OK);
            nt_await(NT_A, ++n);
            ck_assert_int_eq(nt_nth(NT_A, n - 1).status, (int)to);
            ck_assert_uint_eq(nt_nth(NT_A, n - 1).id, at[to]);
        }
        ck_assert_uint_eq(gn_engine_conn_count(e), 1);
    }
    gn_stats s = { .size = sizeof s };
    ck_assert_int_eq(gn_close(first, note_done, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_DONE, 7);
    ck_assert_int_eq(nt_nth(NT_DONE, 6).status, GN_OK);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 1);
    ck_assert_uint_eq(nt_nth(NT_CLOSE, 0).id, (uintptr_t)first); /* the context went along */
    ck_assert_uint_eq(nt_nth(NT_C, 0).id, first);
    for (unsigned k = 0; k < 3; k++) {
        NT_UNTIL(gn_write(at[k], "x", 1, note_done, NULL) != GN_OK || nt_count(NT_DONE) > 7);
    }
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    (void)s;
    tc_close(c);
    nt_stop(e, NT_SECOND);
    for (unsigned k = 7; k < nt_count(NT_DONE); k++)
        ck_assert_int_eq(nt_nth(NT_DONE, k).status, GN_ECLOSED);
    tc_net_close(net);
}
END_TEST

/* Whoever has to say something about the connection can find it by the handle that he tells. */
static void found(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(c != NULL);
    if (c != NULL) {
        NT_EXPECT_INT(gn_conn_handle(c), h);
        NT_EXPECT(gn_conn_context(c) != NULL);
    }
    nt_note(NT_B, h, (int)(intptr_t)arg);
}

static char few[] = "0123456789";
static unsigned char many[8 * 1024 * 1024];

/* More than the system takes: these completions wait for a reader, and migrate. */
static gn_action queue_some(gn_conn *c, void *user)
{
    const gn_iov iov = { many, sizeof(many) };
    (void)user;
    gn_conn_set_context(c, few);
    NT_EXPECT_INT(gn_conn_write(c, many, sizeof(many)), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, &iov, 1, found, (void *)(intptr_t)1), GN_OK);
    NT_EXPECT_INT(gn_write_sent(gn_conn_handle(c), &iov, 1, found, (void *)(intptr_t)2), GN_OK);
    NT_EXPECT_INT(gn_write_ref(gn_conn_handle(c), &iov, 1, found, (void *)(intptr_t)3), GN_OK);
    return nt_on_open(c, NULL);
}

START_TEST(completions_know_where_it_is)
{
    static const gn_handler h = { .on_open = queue_some, .on_traffic = nt_echo, .on_close = nt_on_close };
    const gn_iov iov = { few, 10 };
    gn_options o = nt_options(2);
    if (!variant(_i, &o))
        NT_SKIP("this poller is not on this system");
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    gn_handle old = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(gn_migrate(old, gn_engine_loop(e, 1 - loop_of_conn(e)), note_done, NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_uint_eq(nt_count(NT_B), 0);
    gn_handle now = nt_nth(NT_DONE, 0).id;
    ck_assert_int_eq(gn_write(old, few, 10, found, NULL), GN_OK);
    ck_assert_int_eq(gn_writev(old, &iov, 1, found, NULL), GN_OK);
    ck_assert_int_eq(gn_write_ref(old, &iov, 1, found, NULL), GN_OK);
    ck_assert_int_eq(gn_write_sent(old, &iov, 1, found, NULL), GN_OK);
    ck_assert_int_eq(gn_wake(old, found, NULL), GN_OK);
    ck_assert_int_eq(gn_execute(old, found, NULL), GN_OK);
    ck_assert_int_eq(gn_execute_low(old, found, NULL), GN_OK);
    ck_assert_int_eq(gn_schedule(old, NT_MS, found, NULL, NULL), GN_OK);
    for (unsigned i = 0; i < 4; i++)
        for (size_t left = sizeof(many); left > 0; left -= 65536) {
            static unsigned char buf[65536];
            ck_assert_int_eq(tc_recv_exact(c, buf, sizeof(buf)), GNP_OK);
        }
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(tc_recv_text(c, few), GNP_OK);
    nt_await(NT_B, 11);
    for (unsigned i = 0; i < 11; i++)
        ck_assert_uint_eq(nt_nth(NT_B, i).id, now);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action keep_unread(gn_conn *c, void *user)
{
    size_t n = gn_conn_inbound(c);
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)n);
    if (n >= 6) {
        const char *p = gn_conn_next(c, n);
        NT_EXPECT(memcmp(p, "abcdef", 6) == 0);
        NT_EXPECT_INT(gn_conn_write(c, p, n), GN_OK);
    }
    return GN_NONE;
}

static gn_action note_eof(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_EOF, gn_conn_handle(c), 0);
    return GN_NONE;
}

/* What is buffered goes along, what comes on the way is noticed, an end is told once. */
START_TEST(buffers_and_ends_go_along)
{
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = keep_unread,
                                  .on_eof = note_eof,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(2);
    if (!variant(_i, &o))
        NT_SKIP("this poller is not on this system");
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    gn_handle g = nt_nth(NT_OPEN, 0).id;
    unsigned home = loop_of_conn(e);
    ck_assert_int_eq(tc_send_text(c, "abc"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(gn_migrate(g, gn_engine_loop(e, 1 - home), note_done, NULL), GN_OK);
    ck_assert_int_eq(tc_send_text(c, "def"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "abcdef"), GNP_OK);
    ck_assert_int_eq(tc_shutdown(c), GNP_OK);
    nt_await(NT_EOF, 1);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(gn_migrate(g, gn_engine_loop(e, i % 2 == 0 ? home : 1 - home), note_done, NULL),
                         GN_OK);
        ck_assert_int_eq(gn_write(g, "on", 2, NULL, NULL), GN_OK);
        ck_assert_int_eq(tc_recv_text(c, "on"), GNP_OK);
    }
    nt_await(NT_DONE, 5);
    ck_assert_uint_eq(nt_count(NT_EOF), 1);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    ck_assert_int_eq(gn_close(g, NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action set_deadline(gn_conn *c, void *user)
{
    NT_EXPECT_INT(gn_conn_set_read_deadline(c, 300 * NT_MS), GN_OK);
    return nt_on_open(c, user);
}

START_TEST(deadlines_go_along)
{
    static const gn_handler h = { .on_open = set_deadline,
                                  .on_traffic = nt_echo,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(2);
    o.idle_timeout_ns = 600 * NT_SECOND;
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    uint64_t opened = nt_nth(NT_OPEN, 0).when;
    unsigned home = loop_of_conn(e);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(gn_migrate(nt_nth(NT_OPEN, 0).id, gn_engine_loop(e, i % 2 == 0 ? 1 - home : home),
                                    note_done, NULL),
                         GN_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ETIMEDOUT);
    ck_assert(nt_nth(NT_CLOSE, 0).when - opened >= 290 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_DONE), 5);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(what_cannot_move)
{
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", "udp://127.0.0.1:0", (char *)NULL);
    gn_engine *f = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    gn_handle g = nt_nth(NT_OPEN, 0).id;
    gn_handle home = gn_engine_loop(e, loop_of_conn(e));
    ck_assert_int_eq(gn_migrate(g, g, note_done, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_migrate(home, home, note_done, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_migrate(g, gn_engine_loop(f, 0), note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_migrate(g, home, note_done, NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECLOSED);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_OK);
    ck_assert_uint_eq(nt_nth(NT_DONE, 1).id, g);
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "x"), GNP_OK);
    gn_handle endpoint = gn_engine_endpoint(e, 1, 0);
    if (endpoint != GN_HANDLE_NONE) {
        ck_assert_int_eq(gn_migrate(endpoint, gn_engine_loop(e, 1), note_done, NULL), GN_OK);
        nt_await(NT_DONE, 3);
        ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_ENOTSUP);
    }
    tc_close(c);
    nt_stop(f, NT_SECOND);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- storms */

#define CONNS 8u

/* A connection that is asked to go on as soon as it has arrived, for as long as the storm lasts. */
typedef struct nomad {
    gn_engine *engine;
    gnp_atomic32 *end;
    gnp_atomic64 asked, arrived, failed;
    gn_handle first;
    uint64_t random;
} nomad;

static void go_on(gn_handle h, int status, void *arg)
{
    nomad *n = arg;
    if (status == GN_OK) {
        gnp_add64(&n->arrived, 1);
    } else {
        NT_EXPECT(status == GN_ECLOSED || status == GN_EBUSY);
        gnp_add64(&n->failed, 1);
    }
    if (gnp_load32(n->end) || status == GN_ECLOSED)
        return;
    unsigned to = (unsigned)(nt_random(&n->random) % gn_engine_loop_count(n->engine));
    gn_handle by = nt_random(&n->random) % 2 == 0 ? h : n->first;
    if (gn_migrate(by, gn_engine_loop(n->engine, to), go_on, n) == GN_OK)
        gnp_add64(&n->asked, 1);
}

static void storm_begin(nomad *n, unsigned count, gn_engine *e, gnp_atomic32 *end)
{
    gnp_store32(end, 0);
    for (unsigned i = 0; i < count; i++) {
        memset(&n[i], 0, sizeof n[i]);
        n[i].engine = e;
        n[i].end = end;
        n[i].random = i + 1;
        n[i].first = nt_nth(NT_OPEN, i).id;
        gnp_store64(&n[i].asked, 1);
        ck_assert_int_eq(gn_migrate(n[i].first, gn_engine_loop(e, i % gn_engine_loop_count(e)), go_on, &n[i]),
                         GN_OK);
    }
}

static uint64_t storm_end(nomad *n, unsigned count, gnp_atomic32 *end)
{
    uint64_t arrived = 0;
    gnp_store32(end, 1);
    for (unsigned i = 0; i < count; i++) {
        NT_UNTIL(gnp_load64(&n[i].arrived) + gnp_load64(&n[i].failed) == gnp_load64(&n[i].asked));
        arrived += gnp_load64(&n[i].arrived);
    }
    return arrived;
}

/* Streams in both directions, byte by byte, while their connections wander. */
START_TEST(streams_survive_a_storm)
{
    gn_options o = nt_options(2 + (unsigned)_i % 3);
    if (!variant(_i, &o))
        NT_SKIP("this poller is not on this system");
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc_flow flow[CONNS];
    nomad n[CONNS];
    gnp_atomic32 end;
    memset(flow, 0, sizeof flow);
    for (unsigned i = 0; i < CONNS; i++) {
        flow[i].c = tc_connect(net, nt_url(e, 0));
        flow[i].seed = i + 1;
        flow[i].total = nt_scaled(1024, 64) * NT_KIB;
        flow[i].chunk = 1000 + i * 3000;
        flow[i].half_close = i % 2 == 0;
    }
    nt_await(NT_OPEN, CONNS);
    storm_begin(n, CONNS, e, &end);
    ck_assert_int_eq(tc_exchange(net, flow, CONNS), GNP_OK);
    ck_assert_uint_gt(storm_end(n, CONNS, &end), CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        tc_close(flow[i].c);
    nt_await(NT_CLOSE, CONNS);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_CLOSE), CONNS);
    tc_net_close(net);
}
END_TEST

#define SENDERS 4u

/* One thread that asks for numbered executions, in both queues, by the oldest handle. */
typedef struct sender {
    gnp_thread thread;
    gn_handle h;
    unsigned count;
    gnp_atomic32 next[2]; /* only whichever loop has the connection */
    gnp_atomic64 asked, done;
} sender;

typedef struct number {
    sender *s;
    uint32_t n;
    int low;
} number;

static void numbered(gn_handle h, int status, void *arg)
{
    number *k = arg;
    sender *s = k->s;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(gn_conn_from_handle(h) != NULL); /* it is the one on this loop */
    uint32_t due = gnp_load32(&s->next[k->low]);
    if (k->n != due)
        nt_wrong(__FILE__, __LINE__, "%s number %u came where %u was due", k->low ? "low" : "high",
                 (unsigned)k->n, (unsigned)due);
    gnp_store32(&s->next[k->low], k->n + 1);
    gnp_add64(&s->done, 1);
    free(k);
}

static void send_numbers(void *arg)
{
    sender *s = arg;
    uint32_t next[2] = { 0, 0 };
    for (unsigned i = 0; i < s->count; i++) {
        number *k = malloc(sizeof *k);
        k->s = s;
        k->low = i % 4 == 3;
        k->n = next[k->low]++;
        NT_EXPECT_INT((k->low ? gn_execute_low : gn_execute)(s->h, numbered, k), GN_OK);
        gnp_add64(&s->asked, 1);
        if (i % 64 == 0)
            gnp_sleep_until(gnp_now() + NT_MS / 20);
    }
}

START_TEST(old_handles_keep_the_order)
{
    gn_options o = nt_options(2 + (unsigned)_i % 2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    static sender s[SENDERS];
    nomad n;
    gnp_atomic32 end;
    nt_await(NT_OPEN, 1);
    memset(s, 0, sizeof s);
    storm_begin(&n, 1, e, &end);
    for (unsigned i = 0; i < SENDERS; i++) {
        s[i].h = n.first;
        s[i].count = nt_scaled(10000, 300);
        ck_assert_int_eq(gnp_thread_start(&s[i].thread, send_numbers, &s[i], "sender"), GNP_OK);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        gnp_thread_join(&s[i].thread);
    for (unsigned i = 0; i < SENDERS; i++)
        NT_UNTIL(gnp_load64(&s[i].done) == s[i].count);
    ck_assert_uint_gt(storm_end(&n, 1, &end), 1); /* how often, says the speed of the machine */
    nt_verify();
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The engine stops in the middle: every operation completes once, every connection closes once. */
START_TEST(a_stop_in_a_storm)
{
    for (unsigned round = 0; round < nt_scaled(6, 2); round++) {
        gn_options o = nt_options(3);
        gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
        tc_net *net = tc_net_open();
        tc *c[CONNS];
        nomad n[CONNS];
        gnp_atomic32 end;
        unsigned before = nt_count(NT_OPEN);
        ck_assert_uint_eq(before, 0);
        for (unsigned i = 0; i < CONNS; i++)
            c[i] = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, CONNS);
        storm_begin(n, CONNS, e, &end);
        gnp_sleep_until(gnp_now() + round * 2 * NT_MS);
        ck_assert_int_eq(gn_engine_stop(e, round % 2 == 0 ? 0 : NT_SECOND), GN_OK);
        for (unsigned i = 0; i < CONNS; i++)
            tc_close(c[i]);
        ck_assert_int_eq(nt_join(e), GN_OK);
        (void)storm_end(n, CONNS, &end);
        ck_assert_uint_eq(nt_count(NT_CLOSE), CONNS);
        ck_assert_uint_eq(gn_engine_conn_count(e), 0);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
        tc_net_close(net);
        nt_verify();
        nt_begin();
    }
}
END_TEST

/* Memory that ends anywhere on the way: the connection goes on where it is. */
START_TEST(memory_may_end)
{
    nt_alloc a;
    memset(&a, 0, sizeof a);
    gn_allocator hooks = nt_alloc_hooks(&a);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_exempt = 1;
    tc_net *net = tc_net_open();
    unsigned failed = 0;
    for (unsigned i = 0; i < 8; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, i + 1);
        gn_handle g = nt_nth(NT_OPEN, i).id;
        ck_assert_int_eq(tc_send_text(c, "one"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "one"), GNP_OK);
        gnp_store64(&a.fail_n, 1);
        gnp_store64(&a.fail_at, gnp_load64(&a.calls) + 1 + i);
        for (unsigned k = 0; k < 2; k++)
            ck_assert_int_eq(gn_migrate(g, gn_engine_loop(e, k), note_done, NULL), GN_OK);
        nt_await(NT_DONE, 2 * i + 2);
        gnp_store64(&a.fail_at, 0);
        for (unsigned k = 0; k < 2; k++) {
            int status = nt_nth(NT_DONE, 2 * i + k).status;
            ck_assert(status == GN_OK || status == GN_ENOMEM);
            failed += status == GN_ENOMEM;
        }
        ck_assert_int_eq(tc_send_text(c, "two"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "two"), GNP_OK);
        ck_assert_int_eq(gn_write(g, "three", 5, NULL, NULL), GN_OK);
        ck_assert_int_eq(tc_recv_text(c, "three"), GNP_OK);
        tc_close(c);
        nt_await(NT_CLOSE, i + 1);
    }
    ck_assert_uint_ge(failed, 3); /* more, trail, move, a slot */
    tc_net_close(net);
    tc_exempt = 0;
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(gnp_load64(&a.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("migrate");
    TCase *t = nt_case(s, "verb", 60);
    tcase_add_loop_test(t, handles_follow, 0, VARIANTS);
    tcase_add_loop_test(t, completions_know_where_it_is, 0, VARIANTS);
    tcase_add_loop_test(t, buffers_and_ends_go_along, 0, VARIANTS);
    tcase_add_test(t, deadlines_go_along);
    tcase_add_test(t, what_cannot_move);
    tcase_add_test(t, memory_may_end);
    t = nt_case(s, "storm", 120);
    tcase_add_loop_test(t, streams_survive_a_storm, 0, VARIANTS);
    tcase_add_loop_test(t, old_handles_keep_the_order, 0, 4);
    tcase_add_test(t, a_stop_in_a_storm);
    return nt_main(s);
}
