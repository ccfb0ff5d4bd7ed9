/* SPDX-License-Identifier: MIT */
/* How much flows, and who is told: watermarks, pauses, limits, deadlines, budgets, pipes. */
#include "harness.h"

/* The engine's options for case i: every poller that works here, level and edge. */
static int variant(gn_options *o, int i, unsigned loops)
{
    int available = 0;
    const char *name = gn_poller_name((unsigned)i / 2, &available);
    *o = nt_options(loops);
    o->poller = name;
    o->edge_triggered = i % 2;
    return name != NULL && available;
}
#define VARIANTS 4

/* ---------------------------------------------------------------- watermarks */

typedef struct source {
    size_t total, chunk, written, most;
    gnp_atomic32 full;
    gnp_atomic32 told;
    gnp_atomic32 drained;
} source;

static void pump(gn_conn *c, source *s)
{
    unsigned char buf[32 * 1024];
    while (s->written < s->total && gn_conn_is_writable(c)) {
        size_t n = s->total - s->written < s->chunk ? s->total - s->written : s->chunk;
        nt_fill(7, s->written, buf, n);
        NT_EXPECT_INT(gn_conn_write(c, buf, n), GN_OK);
        s->written += n;
        if (gn_conn_outbound(c) > s->most)
            s->most = gn_conn_outbound(c);
    }
    if (s->written < s->total)
        gnp_add32(&s->full, 1);
}

static gn_action pump_traffic(gn_conn *c, void *user)
{
    gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 0, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 10, 11), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 96 * 1024, 16 * 1024), GN_OK);
    pump(c, user);
    return GN_NONE;
}

static gn_action pump_writable(gn_conn *c, void *user)
{
    source *s = user;
    gnp_add32(&s->told, 1);
    NT_EXPECT(gn_conn_outbound(c) <= 16 * 1024);
    NT_EXPECT(gn_conn_is_writable(c));
    pump(c, s);
    return GN_NONE;
}

static gn_action pump_drained(gn_conn *c, void *user)
{
    source *s = user;
    NT_EXPECT_INT(gn_conn_outbound(c), 0);
    gnp_add32(&s->drained, 1);
    return GN_NONE;
}

/* Who asks is_writable and goes on at on_writable sends everything and never queues much. */
START_TEST(watermarks_pace_a_writer)
{
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = pump_traffic,
                                  .on_writable = pump_writable,
                                  .on_drained = pump_drained, .on_close = nt_on_close };
    source s = { .total = 12 * NT_MIB, .chunk = 20000 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i, 1))
        return;
    o.send_buffer = 64 * 1024;
    s.total = nt_scaled(12, 2) * NT_MIB;
    e = nt_start(&h, &s, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    net->opts.rcvbuf = 64 * 1024;
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
    NT_UNTIL(gnp_load32(&s.full) >= 1); /* a reader as fast as the writer leaves nothing to pace */
    ck_assert_int_eq(tc_recv_stream(c, 7, 0, s.total), GNP_OK);
    NT_UNTIL(gnp_load32(&s.drained) >= 1);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_ge(gnp_load32(&s.told), 1);
    ck_assert_uint_le(s.most, 96 * 1024 + s.chunk);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action small_write(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_write(c, "hello", 5), GN_OK);
    return GN_NONE;
}

/* What leaves at once is no queue: nobody is told. */
START_TEST(no_word_without_a_queue)
{
    static const gn_handler h = { .on_traffic = small_write, .on_writable = pump_writable,
                                  .on_drained = pump_drained, .on_close = nt_on_close };
    source s = { .total = 0 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&h, &s, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "hello"), GNP_OK);
    }
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_eq(gnp_load32(&s.told) + gnp_load32(&s.drained), 0);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- pauses */

typedef struct rest {
    gnp_atomic64 handle;
    gnp_atomic64 got;
    int keep; /* leave what comes unread and pause */
} rest;

static gn_action rest_open(gn_conn *c, void *user)
{
    rest *r = user;
    gnp_store64(&r->handle, gn_conn_handle(c));
    if (!r->keep)
        NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    return nt_on_open(c, NULL);
}

static gn_action rest_traffic(gn_conn *c, void *user)
{
    rest *r = user;
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    nt_note(NT_TRAFFIC, n, 0);
    if (r->keep) {
        r->keep = 0;
        NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
        return GN_NONE;
    }
    NT_EXPECT(nt_match(3, gnp_load64(&r->got), p, n) == n);
    gnp_store64(&r->got, gnp_load64(&r->got) + n);
    gn_conn_discard(c, n);
    return GN_NONE;
}

static void do_resume(gn_handle h, int status, void *arg)
{
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gn_conn_resume(gn_conn_from_handle(h)), GN_OK);
}

static const gn_handler rest_handler = { .on_open = rest_open,
                                         .on_traffic = rest_traffic,
                                         .on_close = nt_on_close };

START_TEST(pause_stops_reading)
{
    rest r = { .keep = 0 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&rest_handler, &r, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_stream(c, 3, 0, 20000), GNP_OK);
    ck_assert_int_eq(tc_shutdown(c), GNP_OK);
    nt_await(NT_OPEN, 1);
    gnp_sleep_until(gnp_now() + 60 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC) + nt_count(NT_CLOSE), 0);
    ck_assert_int_eq(gn_execute(gnp_load64(&r.handle), do_resume, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_eq(gnp_load64(&r.got), 20000);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* What was left unread before the pause is seen again after it, though nothing new comes. */
START_TEST(resume_shows_what_is_buffered)
{
    rest r = { .keep = 1 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&rest_handler, &r, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_stream(c, 3, 0, 100), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    gnp_sleep_until(gnp_now() + 30 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 1);
    ck_assert_int_eq(gn_execute(gnp_load64(&r.handle), do_resume, NULL), GN_OK);
    NT_UNTIL(gnp_load64(&r.got) == 100);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- limits */

static gn_action limits_traffic(gn_conn *c, void *user)
{
    static char big[70000];
    (void)user;
    if (gn_conn_outbound(c) == 0 && nt_count(NT_TRAFFIC) == 0) {
        NT_EXPECT_INT(gn_conn_set_limits(c, 8 * 1024, 64 * 1024), GN_OK);
        NT_EXPECT_INT(gn_conn_write(c, big, 64 * 1024 + 1), GN_ELIMIT);
        NT_EXPECT_INT(gn_conn_write(c, big, 64 * 1024), GN_OK);
        NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_ELIMIT);
        NT_EXPECT_INT(gn_conn_set_limits(c, 0, 64 * 1024 + 1), GN_OK); /* 0: stays as it is */
        NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_OK);
    }
    nt_note(NT_TRAFFIC, gn_conn_inbound(c), 0);
    return GN_NONE; /* leaves all unread */
}

/* Limits of one connection: of what it queues, and of what it leaves unread. */
START_TEST(own_limits)
{
    static const gn_handler h = { .on_traffic = limits_traffic, .on_close = nt_on_close };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    uint64_t stuffed;
    if (!variant(&o, _i, 1))
        return;
    o.recv_buffer = 16 * 1024;
    o.read_buffer = 4096;
    o.edge_chunk = 4096;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    net->opts.sndbuf = 16 * 1024;
    c = tc_connect(net, nt_url(e, 0));
    stuffed = tc_stuff(c, 4 * NT_MIB, 100 * NT_MS);
    ck_assert_uint_lt(stuffed, NT_MIB / 2);
    for (unsigned i = 0; i < nt_count(NT_TRAFFIC); i++)
        ck_assert_uint_le(nt_nth(NT_TRAFFIC, i).id, 8 * 1024 + 4096);
    tc_reset(c);
    nt_await(NT_CLOSE, 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- deadlines and errors */

static gn_action late_traffic(gn_conn *c, void *user)
{
    const size_t big = 32 * NT_MIB;
    char *p = calloc(1, big);
    gn_conn_discard(c, SIZE_MAX);
    if (user == NULL) {
        NT_EXPECT_INT(gn_conn_write(c, p, big), GN_OK);
    } else {
        NT_EXPECT_INT(gn_conn_write(c, p, 10), GN_OK);
    }
    free(p);
    NT_EXPECT_INT(gn_conn_set_write_deadline(c, 80 * NT_MS), GN_OK);
    return GN_NONE;
}

static gn_action late_timeout(gn_conn *c, gn_timeout which, void *user)
{
    (void)user;
    nt_note(NT_A, (uint64_t)which, (int)(gn_conn_outbound(c) > 0));
    return GN_CLOSE;
}

/* A peer that does not read what must leave by a deadline is cut; one that does is not. */
START_TEST(write_deadline)
{
    static const gn_handler h = { .on_traffic = late_traffic,
                                  .on_timeout = late_timeout,
                                  .on_close = nt_on_close };
    int small = 1;
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i / 2 * 2, 1))
        return;
    e = nt_start(&h, _i % 2 ? &small : NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
    if (_i % 2) {
        gnp_sleep_until(gnp_now() + 200 * NT_MS);
        ck_assert_uint_eq(nt_count(NT_A) + nt_count(NT_CLOSE), 0);
        tc_close(c);
        nt_await(NT_CLOSE, 1);
    } else {
        nt_await(NT_CLOSE, 1);
        ck_assert_uint_eq(nt_count(NT_A), 1);
        ck_assert_uint_eq(nt_nth(NT_A, 0).id, GN_TIMEOUT_WRITE);
        ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ETIMEDOUT);
        tc_close(c);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

typedef struct answer {
    int close_at; /* which call of on_timeout closes */
    gnp_atomic32 calls;
    int read;     /* a read deadline instead of an idle time-out */
} answer;

static gn_action answer_open(gn_conn *c, void *user)
{
    answer *a = user;
    if (a->read) {
        NT_EXPECT_INT(gn_conn_set_read_deadline(c, 60 * NT_MS), GN_OK);
    } else {
        NT_EXPECT_INT(gn_conn_set_idle_timeout(c, 60 * NT_MS), GN_OK);
    }
    return GN_NONE;
}

static gn_action answer_timeout(gn_conn *c, gn_timeout which, void *user)
{
    answer *a = user;
    NT_EXPECT_INT(which, a->read ? GN_TIMEOUT_READ : GN_TIMEOUT_IDLE);
    NT_EXPECT_INT(gn_conn_write(c, "late", 4), GN_OK);
    return gnp_add32(&a->calls, 1) + 1 == (uint32_t)a->close_at ? GN_CLOSE : GN_NONE;
}

/* The callback of a deadline may still say something, and may let the connection live. */
START_TEST(timeout_answers)
{
    static const gn_handler h = { .on_open = answer_open,
                                  .on_timeout = answer_timeout,
                                  .on_close = nt_on_close };
    answer a = { .close_at = 1 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c;
    if (!variant(&o, _i / 4 * 2, 1))
        return;
    a.read = _i % 2;
    a.close_at = _i / 2 % 2 ? 3 : 1;
    e = nt_start(&h, &a, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "late"), GNP_OK);
    if (a.close_at == 1) {
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    } else if (a.read) { /* once, until it is set again */
        ck_assert(tc_quiet(c, 150 * NT_MS));
        ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    } else { /* an idle time-out starts anew */
        ck_assert_int_eq(tc_recv_text(c, "latelate"), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    }
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, a.close_at == 1 || !a.read ? GN_ETIMEDOUT : GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static void error_noted(gn_conn *c, int error, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_ECLOSED);
    nt_note(NT_B, nt_count(NT_CLOSE), error);
}

START_TEST(error_comes_before_close)
{
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = nt_echo, .on_error = error_noted,
                                  .on_close = nt_on_close };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c, *d;
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    tc_reset(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_eq(nt_count(NT_B), 1);
    ck_assert_uint_eq(nt_nth(NT_B, 0).id, 0);
    ck_assert_int_eq(nt_nth(NT_B, 0).status, GN_ECONNRESET);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECONNRESET);
    d = tc_connect(net, nt_url(e, 0));
    tc_close(d); /* in good order: no error */
    nt_await(NT_CLOSE, 2);
    ck_assert_uint_eq(nt_count(NT_B), 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- budgets */

#define HOARDERS 12

static gn_action hoard_traffic(gn_conn *c, void *user)
{
    static const char block[40000];
    gnp_atomic32 *refused = user;
    gn_conn_discard(c, SIZE_MAX);
    for (int i = 0; i < 200; i++) {
        int rc = gn_conn_write(c, block, sizeof(block));
        if (rc != GN_OK) { /* or the test has reset it already */
            gnp_add32(refused, rc == GN_ELIMIT);
            break;
        }
    }
    return GN_NONE;
}

/* Peers that ask for much and read nothing: a limit of all together refuses what no limit of one
 * would; when they read or go, all is as before. */
START_TEST(budget_of_bytes)
{
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = hoard_traffic,
                                  .on_close = nt_on_close };
    gnp_atomic32 refused;
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[HOARDERS], *d;
    uint64_t held;
    unsigned clients = 0;
    gn_stats st = { .size = sizeof(st) };
    if (!variant(&o, _i / 2, _i % 2 ? 2 : 1))
        return;
    gnp_store32(&refused, 0);
    o.send_buffer = 32 * 1024;
    if (_i % 2)
        o.engine_bytes_max = 4 * NT_MIB;
    else
        o.loop_bytes_max = 4 * NT_MIB;
    e = nt_start(&h, &refused, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    net->opts.rcvbuf = 32 * 1024;
    for (; clients < HOARDERS && gnp_load32(&refused) == 0; clients++) { /* then newcomers wait */
        c[clients] = tc_connect(net, nt_url(e, 0));
        NT_UNTIL(nt_count(NT_OPEN) > clients || gnp_load32(&refused) > 0);
        ck_assert_int_eq(tc_send_text(c[clients], "more"), GNP_OK);
        NT_UNTIL(gn_engine_stats(e, &st) == GN_OK &&
                 (st.bytes_in >= 4 * (clients + 1) || gnp_load32(&refused) > 0));
    }
    NT_UNTIL(gnp_load32(&refused) > 0);
    ck_assert_int_eq(gn_engine_stats(e, &st), GN_OK);
    held = st.bytes_held;
    ck_assert_uint_gt(held, 2 * NT_MIB);
    ck_assert_uint_le(held, 4 * NT_MIB + 2 * (65536 + 40000));
    while (clients > 0)
        tc_reset(c[--clients]);
    NT_UNTIL(gn_engine_stats(e, &st) == GN_OK && st.bytes_held == 0);
    gnp_store32(&refused, 0);
    d = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(d, "one"), GNP_OK);
    {
        char buf[4000];
        ck_assert_int_eq(tc_recv_exact(d, buf, sizeof(buf)), GNP_OK);
    }
    tc_reset(d);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action keep_all(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    return GN_NONE;
}

/* Unread input counts too: reading pauses on those that hold some; who holds none is served. */
START_TEST(budget_pauses_reading)
{
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = keep_all, .on_close = nt_on_close };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[8];
    gn_stats st = { .size = sizeof(st) };
    uint64_t before;
    if (!variant(&o, _i, 1))
        return;
    o.recv_buffer = 32 * 1024;
    o.read_buffer = o.edge_chunk = 16 * 1024;
    o.loop_bytes_max = 512 * 1024;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    for (unsigned i = 0; i < 8; i++)
        c[i] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 8);
    for (unsigned i = 0; i < 8; i++)
        (void)tc_stuff(c[i], NT_MIB, 20 * NT_MS);
    NT_UNTIL(gn_engine_stats(e, &st) == GN_OK && st.bytes_held > 400 * 1024);
    /* Rings double: what was held may have doubled with the last piece of each. */
    ck_assert_uint_le(st.bytes_held, 1200 * 1024);
    before = st.bytes_in;
    gnp_sleep_until(gnp_now() + 60 * NT_MS);
    ck_assert_int_eq(gn_engine_stats(e, &st), GN_OK);
    /* Up to the budget, and a piece each. */
    ck_assert_uint_le(st.bytes_in - before, (512 - 400) * 1024 + 8 * 16 * 1024);
    for (unsigned i = 0; i < 8; i++)
        tc_reset(c[i]);
    nt_await(NT_CLOSE, 8);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- pipes */

/* Connections are piped in pairs, as they come; the second of a pair sends what the first left unread too. */
typedef struct plumber {
    gn_conn *first;
    int one_way;
    int unpipe_on_eof;
    gnp_atomic64 handle[2];
} plumber;

static gn_action plumb_open(gn_conn *c, void *user)
{
    plumber *p = user;
    if (p->first == NULL) {
        p->first = c;
        gnp_store64(&p->handle[0], gn_conn_handle(c));
        NT_EXPECT_INT(gn_conn_unpipe(c), GN_EINVAL);
        return nt_on_open(c, NULL);
    }
    gnp_store64(&p->handle[1], gn_conn_handle(c));
    NT_EXPECT_INT(gn_conn_pipe(p->first, c), GN_OK);
    NT_EXPECT_INT(gn_conn_pipe(p->first, c), GN_EBUSY);
    if (!p->one_way)
        NT_EXPECT_INT(gn_conn_pipe(c, p->first), GN_OK);
    p->first = NULL;
    return nt_on_open(c, NULL); /* last: then the handles are those of this pair */
}

static gn_action plumb_traffic(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_inbound(c), 0);
    return GN_NONE; /* what comes before it is piped stays unread */
}

static const gn_handler plumb_handler = { .on_open = plumb_open, .on_traffic = plumb_traffic,
                                          .on_close = nt_on_close };

static void plumb(gn_engine *e, tc_net *net, tc *c[2])
{
    unsigned opened = nt_count(NT_OPEN);
    c[0] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, opened + 1);
    c[1] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, opened + 2);
}

/* Bytes go both ways, ends pass as half-closes, and both connections end in good order. */
START_TEST(pipe_both_ways)
{
    plumber p = { .first = NULL };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[2];
    const uint64_t n = nt_scaled(6, 1) * NT_MIB;
    uint64_t sent[2] = { 0, 0 }, got[2] = { 0, 0 };
    unsigned char *buf = malloc(65536);
    int ended[2] = { 0, 0 };
    unsigned traffic;
    if (!variant(&o, _i % VARIANTS, 1)) {
        free(buf);
        return;
    }
    e = nt_start(&plumb_handler, &p, &o, _i / VARIANTS ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c[0] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    ck_assert_int_eq(tc_send_stream(c[0], 0, 0, 1000), GNP_OK); /* before there is a pipe */
    sent[0] = 1000;
    nt_await(NT_TRAFFIC, 1);
    c[1] = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 2);
    traffic = nt_count(NT_TRAFFIC);
    while (!ended[0] || !ended[1]) {
        for (unsigned k = 0; k < 2; k++) {
            if (sent[k] < n) {
                uint64_t part = n - sent[k] < 50000 ? n - sent[k] : 50000;
                ck_assert_int_eq(tc_send_stream(c[k], k, sent[k], part), GNP_OK);
                sent[k] += part;
                if (sent[k] == n)
                    ck_assert_int_eq(tc_shutdown(c[k]), GNP_OK);
            }
            if (!ended[k]) {
                size_t m = 0;
                int far = sent[1 - k] - got[k] > 200000; /* or both ways fill while nobody reads */
                int rc = tc_recv_until(c[k], buf, 65536, &m, sent[k] < n && !far ? 0 : nt_deadline());
                if (rc == GNP_OK) {
                    ck_assert(nt_match(1 - k, got[k], buf, m) == m);
                    got[k] += m;
                } else if (rc == GNP_EOF) {
                    ended[k] = 1;
                } else {
                    ck_assert_int_eq(rc, GNP_ETIMEDOUT);
                    ck_assert(sent[k] < n);
                }
            }
        }
    }
    ck_assert_uint_eq(got[0], n);
    ck_assert_uint_eq(got[1], n);
    nt_await(NT_CLOSE, 2);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 1).status, GN_EOF);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), traffic);
    tc_close(c[0]);
    tc_close(c[1]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    free(buf);
}
END_TEST

/* Who writes into a pipe whose end does not read is held back, and loses nothing. */
START_TEST(pipe_has_back_pressure)
{
    plumber p = { .first = NULL };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[2];
    uint64_t stuffed;
    gn_stats st = { .size = sizeof(st) };
    if (!variant(&o, _i, 1))
        return;
    o.recv_buffer = o.send_buffer = 64 * 1024;
    o.outbound_high = 128 * 1024;
    e = nt_start(&plumb_handler, &p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    net->opts.rcvbuf = net->opts.sndbuf = 64 * 1024;
    plumb(e, net, c);
    stuffed = tc_stuff(c[0], 32 * NT_MIB, 100 * NT_MS);
    ck_assert_uint_lt(stuffed, 4 * NT_MIB);
    ck_assert_int_eq(gn_engine_stats(e, &st), GN_OK);
    ck_assert_uint_le(st.bytes_held, NT_MIB);
    ck_assert_int_eq(tc_shutdown(c[0]), GNP_OK);
    {
        uint64_t total = 0;
        ck_assert_int_eq(tc_shutdown(c[1]), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c[1], &total), GNP_OK);
        ck_assert_uint_eq(total, stuffed);
    }
    nt_await(NT_CLOSE, 2);
    tc_close(c[0]);
    tc_close(c[1]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* One end breaks: the other gets what was read before, then an end. */
START_TEST(pipe_ends_together)
{
    plumber p = { .first = NULL };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[2];
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&plumb_handler, &p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    plumb(e, net, c);
    ck_assert_int_eq(tc_send_text(c[0], "last words"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c[1], "last words"), GNP_OK);
    tc_reset(c[0]);
    ck_assert_int_eq(tc_recv_to_eof(c[1], NULL), GNP_OK);
    tc_close(c[1]);
    nt_await(NT_CLOSE, 2);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECONNRESET);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 1).status, GN_ECONNRESET);

    plumb(e, net, c); /* and with gn_close */
    ck_assert_int_eq(gn_close(gnp_load64(&p.handle[1]), NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c[0], NULL), GNP_OK);
    tc_close(c[0]);
    tc_close(c[1]);
    nt_await(NT_CLOSE, 4);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 2).status, GN_OK);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static void do_unpipe(gn_handle h, int status, void *arg)
{
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gn_conn_unpipe(gn_conn_from_handle(h)), GN_OK);
    nt_note(NT_A, 0, 0);
}

START_TEST(unpiped_it_is_as_before)
{
    plumber p = { .one_way = 1 };
    gn_options o;
    tc_net *net;
    gn_engine *e;
    tc *c[2];
    if (!variant(&o, _i, 1))
        return;
    e = nt_start(&plumb_handler, &p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    plumb(e, net, c);
    ck_assert_int_eq(tc_send_text(c[0], "through"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c[1], "through"), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 0);
    ck_assert_int_eq(tc_send_text(c[1], "the other way is not piped"), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    ck_assert_int_eq(gn_execute(gnp_load64(&p.handle[0]), do_unpipe, NULL), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_int_eq(tc_send_text(c[0], "stays"), GNP_OK);
    NT_UNTIL(nt_count(NT_TRAFFIC) >= 2 && nt_nth(NT_TRAFFIC, nt_count(NT_TRAFFIC) - 1).id == 5);
    ck_assert(tc_quiet(c[1], 30 * NT_MS));
    tc_close(c[0]);
    nt_await(NT_CLOSE, 1);
    ck_assert(tc_quiet(c[1], 30 * NT_MS)); /* no longer tied */
    tc_close(c[1]);
    nt_await(NT_CLOSE, 2);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("flow");
    TCase *t = nt_case(s, "watermarks", 60);
    tcase_add_loop_test(t, watermarks_pace_a_writer, 0, VARIANTS);
    tcase_add_loop_test(t, no_word_without_a_queue, 0, VARIANTS);
    t = nt_case(s, "pauses and limits", 60);
    tcase_add_loop_test(t, pause_stops_reading, 0, VARIANTS);
    tcase_add_loop_test(t, resume_shows_what_is_buffered, 0, VARIANTS);
    tcase_add_loop_test(t, own_limits, 0, VARIANTS);
    t = nt_case(s, "deadlines and errors", 60);
    tcase_add_loop_test(t, write_deadline, 0, VARIANTS);
    tcase_add_loop_test(t, timeout_answers, 0, 8);
    tcase_add_loop_test(t, error_comes_before_close, 0, VARIANTS);
    t = nt_case(s, "budgets", 60);
    tcase_add_loop_test(t, budget_of_bytes, 0, VARIANTS * 2);
    tcase_add_loop_test(t, budget_pauses_reading, 0, VARIANTS);
    t = nt_case(s, "pipes", 60);
    tcase_add_loop_test(t, pipe_both_ways, 0, VARIANTS * 2);
    tcase_add_loop_test(t, pipe_has_back_pressure, 0, VARIANTS);
    tcase_add_loop_test(t, pipe_ends_together, 0, VARIANTS);
    tcase_add_loop_test(t, unpiped_it_is_as_before, 0, VARIANTS);
    return nt_main(s);
}
