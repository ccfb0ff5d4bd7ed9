/* SPDX-License-Identifier: MIT */
/* What other threads ask by handle: in order, each exactly once, never to another's connection. */
#include "harness.h"

#include <stdio.h>

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

static void note_done(gn_handle h, int status, void *arg)
{
    nt_note(NT_DONE, h, status);
    (void)arg;
}

/* ---------------------------------------------------------------- verbs */

static gn_action wake_traffic(gn_conn *c, void *user)
{
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)gn_conn_inbound(c));
    if (gn_conn_inbound(c) == 0)
        NT_EXPECT_INT(gn_conn_write(c, "woken", 5), GN_OK);
    return nt_echo(c, user);
}

START_TEST(wake_calls_on_traffic)
{
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = wake_traffic,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle handle;
    nt_await(NT_OPEN, 1);
    handle = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(gn_wake(handle, note_done, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_text(c, "woken"), GNP_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).id, handle);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).thread, nt_nth(NT_OPEN, 0).thread);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 1);
    ck_assert(nt_nth(NT_TRAFFIC, 0).when <= nt_nth(NT_DONE, 0).when);
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "x"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static void on_its_loop(gn_handle h, int status, void *arg)
{
    gn_engine *e = arg;
    gn_loop *l = gn_loop_current();
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(l != NULL && gn_loop_engine(l) == e);
    if (l == NULL)
        return;
    if (gn_conn_from_handle(h) != NULL) {
        NT_EXPECT(gn_conn_loop(gn_conn_from_handle(h)) == l);
        NT_EXPECT_INT(gn_conn_write(gn_conn_from_handle(h), "done", 4), GN_OK);
        nt_note(NT_B, h, (int)gn_loop_index(l));
    } else {
        NT_EXPECT(h == gn_loop_handle(l));
        nt_note(NT_A, h, (int)gn_loop_index(l));
    }
}

static gn_handle foreign_conn;

static void not_mine(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    NT_EXPECT(gn_conn_from_handle(foreign_conn) == NULL); /* of another loop */
    nt_note(NT_C, 0, 0);
}

START_TEST(execute_runs_on_the_right_loop)
{
    gn_options o = nt_options(3);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[3];
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(gn_execute(gn_engine_loop(e, i), on_its_loop, e), GN_OK);
        nt_await(NT_A, i + 1);
        ck_assert_int_eq(nt_nth(NT_A, i).status, (int)i);
    }
    for (unsigned i = 0; i < 3; i++) {
        gn_handle h;
        c[i] = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, i + 1);
        h = nt_nth(NT_OPEN, i).id;
        ck_assert_int_eq(gn_execute(h, on_its_loop, e), GN_OK);
        ck_assert_int_eq(tc_recv_text(c[i], "done"), GNP_OK);
        nt_await(NT_B, i + 1);
        ck_assert_uint_eq(nt_nth(NT_B, i).thread, nt_nth(NT_OPEN, i).thread);
        ck_assert_uint_eq(nt_nth(NT_B, i).id, h);
    }
    /* From a foreign loop, and from no loop at all, a handle does not become a pointer. */
    foreign_conn = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(
        gn_execute(gn_engine_loop(e, (unsigned)(nt_nth(NT_B, 0).status + 1) % 3), not_mine, NULL), GN_OK);
    nt_await(NT_C, 1);
    ck_assert_ptr_null(gn_conn_from_handle(foreign_conn));
    ck_assert_int_eq(gn_execute(foreign_conn, NULL, NULL), GN_EINVAL);
    for (unsigned i = 0; i < 3; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

START_TEST(close_completes_after_on_close)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle h;
    int second;
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(gn_write(h, "bye", 3, NULL, NULL), GN_OK);
    ck_assert_int_eq(gn_close(h, note_done, NULL), GN_OK);
    second = gn_close(h, note_done, NULL);
    ck_assert(second == GN_OK || second == GN_ECLOSED);
    ck_assert_int_eq(tc_recv_text(c, "bye"), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_DONE, second == GN_OK ? 2 : 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert(nt_nth(NT_CLOSE, 0).when <= nt_nth(NT_DONE, 0).when);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* done may be NULL, the bytes are copied before the call returns, empty writes are writes. */
START_TEST(writes_copy_what_they_are_given)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char *bytes = malloc(NT_MIB);
    gn_handle h;
    gn_iov iov[3];
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    ck_assert_ptr_nonnull(bytes);
    nt_fill(1, 0, bytes, NT_MIB);
    iov[0].base = bytes;
    iov[0].len = 1000;
    iov[1].base = NULL;
    iov[1].len = 0;
    iov[2].base = bytes + 1000;
    iov[2].len = NT_MIB - 1000;
    ck_assert_int_eq(gn_writev(h, iov, 3, NULL, NULL), GN_OK);
    memset(bytes, 0, NT_MIB);
    nt_fill(1, NT_MIB, bytes, 100);
    ck_assert_int_eq(gn_write(h, bytes, 100, note_done, NULL), GN_OK);
    memset(bytes, 0, 100);
    ck_assert_int_eq(gn_write(h, bytes, 0, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_writev(h, iov, 0, note_done, NULL), GN_OK);
    free(bytes);
    ck_assert_int_eq(tc_recv_stream(c, 1, 0, NT_MIB + 100), GNP_OK);
    nt_await(NT_DONE, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    ck_assert_int_eq(gn_close(h, NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* A close asked for after writes, from another thread: the writes arrive whole. */
START_TEST(close_waits_for_the_writes_before_it)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char *bytes = malloc(NT_MIB);
    gn_handle h;
    int late;
    ck_assert_ptr_nonnull(bytes);
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    for (unsigned i = 0; i < 8; i++) {
        nt_fill(2, i * NT_MIB, bytes, NT_MIB);
        ck_assert_int_eq(gn_write(h, bytes, NT_MIB, NULL, NULL), GN_OK);
    }
    ck_assert_int_eq(gn_close(h, NULL, NULL), GN_OK);
    late = gn_write(h, "late", 4, note_done, NULL); /* behind the close: refused, not sent */
    if (late == GN_OK) {
        nt_await(NT_DONE, 1);
        late = nt_nth(NT_DONE, 0).status;
    }
    ck_assert_int_eq(late, GN_ECLOSED);
    ck_assert_int_eq(tc_recv_stream(c, 2, 0, 8 * NT_MIB), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    free(bytes);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- order */

typedef struct order {
    uint32_t next; /* only the loop touches it */
    gnp_atomic32 done;
    gn_handle conn;
} order;

typedef struct step {
    order *order;
    uint32_t number;
} step;

static void in_order(gn_handle h, int status, void *arg)
{
    step *s = arg;
    (void)h;
    if (s->order->next != s->number)
        nt_wrong(__FILE__, __LINE__, "number %u came where %u was due", (unsigned)s->number,
                 (unsigned)s->order->next);
    NT_EXPECT_INT(status, GN_OK);
    s->order->next = s->number + 1;
    gnp_store32(&s->order->done, s->number + 1);
}

static gn_action ignore_traffic(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    return GN_NONE;
}

/* D12: 20,000 mixed requests of one thread are done in the order of asking. */
START_TEST(requests_of_one_thread_keep_their_order)
{
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = ignore_traffic,
                                  .on_close = nt_on_close };
    unsigned count = nt_scaled(20000, 500), written = 0;
    gn_options o = nt_options(2);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    step *steps = calloc(count + 1, sizeof(*steps));
    uint64_t random = 3;
    order ord;
    gn_handle loop;
    memset(&ord, 0, sizeof(ord));
    ck_assert_ptr_nonnull(steps);
    nt_await(NT_OPEN, 1);
    ord.conn = nt_nth(NT_OPEN, 0).id;
    /* The loop of the connection: the one that has taken one. */
    loop = gn_engine_loop(e, gn_engine_loop_accepted(e, 0) == 1 ? 0 : 1);
    for (unsigned i = 0; i < count; i++) {
        int status;
        unsigned char two[2];
        gn_iov iov[2] = { { two, 1 }, { two + 1, 1 } };
        steps[i].order = &ord;
        steps[i].number = i;
        nt_fill(4, written, two, 2);
        switch (nt_random(&random) % 5) {
        case 0:
            status = gn_execute(ord.conn, in_order, &steps[i]);
            break;
        case 1:
            status = gn_execute(loop, in_order, &steps[i]);
            break;
        case 2:
            status = gn_wake(ord.conn, in_order, &steps[i]);
            break;
        case 3:
            status = gn_write(ord.conn, two, 2, in_order, &steps[i]);
            written += 2;
            break;
        default:
            status = gn_writev(ord.conn, iov, 2, in_order, &steps[i]);
            written += 2;
            break;
        }
        ck_assert_int_eq(status, GN_OK);
    }
    steps[count].order = &ord;
    steps[count].number = count;
    ck_assert_int_eq(gn_close(ord.conn, in_order, &steps[count]), GN_OK);
    ck_assert_int_eq(tc_recv_stream(c, 4, 0, written), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    NT_UNTIL(gnp_load32(&ord.done) == count + 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    free(steps);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- exactly once */

#define RACERS 3u
#define TARGETS 32u

typedef struct op {
    gnp_atomic32 done;
    int asked;
} op;

typedef struct race {
    gn_engine *engine;
    gnp_atomic64 handles[TARGETS];
    gnp_atomic64 next_target;
    gnp_atomic32 end;
    gnp_atomic64 ok, closed, refused;
} race;

typedef struct racer {
    race *race;
    gnp_thread thread;
    op *ops;
    unsigned count, cap;
} racer;

static race the_race;

static gn_action race_open(gn_conn *c, void *user)
{
    race *r = user;
    gnp_store64(&r->handles[gnp_add64(&r->next_target, 1) % TARGETS], gn_conn_handle(c));
    return GN_NONE;
}

static void once(gn_handle h, int status, void *arg)
{
    op *o = arg;
    (void)h;
    if (gnp_add32(&o->done, 1) != 0)
        nt_wrong(__FILE__, __LINE__, "an operation completed twice, now with %s", gn_strerror(status));
    if (status == GN_OK)
        gnp_add64(&the_race.ok, 1);
    else if (status == GN_ECLOSED || status == GN_ELIMIT)
        gnp_add64(&the_race.closed, 1);
    else
        nt_wrong(__FILE__, __LINE__, "an operation ended with %s", gn_strerror(status));
}

static void racer_thread(void *arg)
{
    racer *r = arg;
    uint64_t random = gnp_thread_id();
    while (!gnp_load32(&r->race->end) && r->count < r->cap) {
        op *o = &r->ops[r->count++];
        gn_handle h = gnp_load64(&r->race->handles[nt_random(&random) % TARGETS]);
        gn_iov iov[2] = { { "vec", 3 }, { "tor", 3 } };
        gn_handle loop = gn_engine_loop(r->race->engine, (unsigned)(nt_random(&random) % 2));
        int status;
        switch (nt_random(&random) % 8) {
        case 0:
        case 1:
            status = gn_write(h, "write", 5, once, o);
            break;
        case 2:
            status = gn_writev(h, iov, 2, once, o);
            break;
        case 3:
            status = gn_wake(h, once, o);
            break;
        case 4:
            status = gn_execute(h, once, o);
            break;
        case 5:
            status = gn_execute(loop, once, o);
            break;
        case 6:
            status = nt_random(&random) % 16 == 0 ? gn_close(h, once, o) : gn_execute(h, once, o);
            break;
        default:
            gnp_thread_yield();
            status = gn_write(h, "w", 1, once, o);
            break;
        }
        o->asked = status == GN_OK;
        if (status != GN_OK) {
            gnp_add64(&r->race->refused, 1);
            NT_EXPECT(status == GN_ECLOSED || status == GN_ESHUTDOWN || status == GN_ELIMIT);
        }
    }
}

/* D9: requests race with closes from both ends and with the stop of the engine.  What said
 * GN_OK completes once; what did not never does.  The threads go on after the engine ended. */
START_TEST(each_request_completes_once)
{
    static const gn_handler h = { .on_open = race_open, .on_traffic = nt_echo };
    racer racers[RACERS];
    unsigned rounds = nt_scaled(150, 20);
    gn_options o = nt_options(2);
    tc_net *net = tc_net_open();
    race *r = &the_race;
    memset(r, 0, sizeof(*r));
    memset(racers, 0, sizeof(racers));
    o.edge_triggered = _i;
    r->engine = nt_start(&h, r, &o, "tcp://127.0.0.1:0", nt_unix_url(), (char *)NULL);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i].race = r;
        racers[i].cap = 200000;
        racers[i].ops = calloc(racers[i].cap, sizeof(op));
        ck_assert_ptr_nonnull(racers[i].ops);
        ck_assert_int_eq(gnp_thread_start(&racers[i].thread, racer_thread, &racers[i], "racer"), GNP_OK);
    }
    /* On a busy machine the racers may come late; without a request that is done nothing is proved. */
    for (unsigned i = 0; i < rounds || (gnp_load64(&r->ok) == 0 && i < 100 * rounds); i++) {
        tc *c[4];
        for (unsigned k = 0; k < 4; k++)
            c[k] = tc_connect(net, nt_url(r->engine, k % 2));
        for (unsigned k = 0; k < 4; k++) {
            if (i % 3 == 0)
                tc_reset(c[k]);
            else
                tc_close(c[k]);
        }
    }
    ck_assert_int_eq(gn_engine_stop(r->engine, 100 * NT_MS), GN_OK);
    ck_assert_int_eq(nt_join(r->engine), GN_OK);
    gnp_store32(&r->end, 1);
    for (unsigned i = 0; i < RACERS; i++)
        gnp_thread_join(&racers[i].thread);
    nt_verify();
    for (unsigned i = 0; i < RACERS; i++) {
        for (unsigned k = 0; k < racers[i].count; k++)
            ck_assert_uint_eq(gnp_load32(&racers[i].ops[k].done), racers[i].ops[k].asked ? 1 : 0);
        free(racers[i].ops);
    }
    ck_assert_uint_gt(gnp_load64(&r->ok), 0);
    ck_assert_int_eq(gn_engine_destroy(r->engine), GN_OK);
    tc_net_close(net);
}
END_TEST

/* Requests that wait in the mailbox when the engine stops still complete. */
static void hold(gn_handle h, int status, void *arg)
{
    gnp_atomic32 *go = arg;
    uint64_t deadline = nt_deadline();
    (void)h;
    (void)status;
    nt_note(NT_A, 0, 0);
    while (!gnp_load32(go) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS);
}

START_TEST(requests_before_a_stop_complete)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gnp_atomic32 go;
    gn_handle h;
    memset(&go, 0, sizeof(go));
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), hold, &go), GN_OK);
    nt_await(NT_A, 1);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(gn_write(h, "0123456789", 10, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_engine_stop(e, 10 * NT_SECOND), GN_OK);
    gnp_store32(&go, 1);
    nt_await(NT_DONE, 1000);
    { /* those that came before the stop was seen are sent, the others say that they are not */
        uint64_t total = 0;
        unsigned ok = 0;
        ck_assert_int_eq(tc_recv_to_eof(c, &total), GNP_OK);
        for (unsigned i = 0; i < 1000; i++)
            ok += nt_nth(NT_DONE, i).status == GN_OK;
        ck_assert_uint_eq(total, 10 * ok);
    }
    tc_close(c);
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- stale handles */

/* The outcome of each verb on h: refused at once, or in done; the rest must be ECLOSED. */
static void expect_stale(gn_handle h, int running)
{
    gn_iov iov = { "x", 1 };
    gn_addr a;
    unsigned accepted = 0, before = nt_count(NT_DONE);
    int status[6];
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:9", &a), GN_OK);
    status[0] = gn_write(h, "x", 1, note_done, NULL);
    status[1] = gn_writev(h, &iov, 1, note_done, NULL);
    status[2] = gn_wake(h, note_done, NULL);
    status[3] = gn_close(h, note_done, NULL);
    status[4] = gn_execute(h, note_done, NULL);
    status[5] = gn_send_to(h, &a, "x", 1, note_done, NULL);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_msg(status[i] == GN_ECLOSED || (running && status[i] == GN_OK),
                      "verb %u on a stale handle: %s", i, gn_strerror(status[i]));
        accepted += status[i] == GN_OK;
    }
    nt_await(NT_DONE, before + accepted);
    ck_assert_uint_eq(nt_count(NT_DONE), before + accepted);
    for (unsigned i = 0; i < accepted; i++) {
        ck_assert_int_eq(nt_nth(NT_DONE, before + i).status, GN_ECLOSED);
        ck_assert_uint_eq(nt_nth(NT_DONE, before + i).id, h);
    }
    ck_assert_ptr_null(gn_conn_from_handle(h));
}

START_TEST(stale_handles_name_nothing)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle h, loop = gn_engine_loop(e, 0);
    uint64_t random = 5;
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    expect_stale(h, 1);
    expect_stale(GN_HANDLE_NONE, 1);
    expect_stale(UINT64_MAX, 1);
    for (unsigned i = 0; i < 50; i++)
        expect_stale(nt_random(&random), 1);
    c = tc_connect(net, nt_url(e, 0)); /* most likely in the slot of the first */
    nt_await(NT_OPEN, 2);
    ck_assert_uint_ne(nt_nth(NT_OPEN, 1).id, h);
    expect_stale(h, 1);
    ck_assert_int_eq(tc_send_text(c, "alive"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "alive"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);

    expect_stale(h, 0);
    expect_stale(nt_nth(NT_OPEN, 1).id, 0);
    expect_stale(loop, 0);

    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 3);
    ck_assert_uint_ne(gn_engine_loop(e, 0), loop);
    ck_assert_uint_ne(nt_nth(NT_OPEN, 2).id, h);
    expect_stale(h, 1);
    expect_stale(nt_nth(NT_OPEN, 1).id, 1);
    expect_stale(loop, 1);
    ck_assert_int_eq(tc_send_text(c, "alive"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "alive"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static int compare_handles(const void *a, const void *b)
{
    gn_handle x = *(const gn_handle *)a, y = *(const gn_handle *)b;
    return x < y ? -1 : x > y;
}

/* Thousands of connections in the same few slots: no handle comes twice, none comes to life. */
START_TEST(handles_never_resurrect)
{
    unsigned count = nt_scaled(1500, 100);
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, nt_unix_url(), (char *)NULL);
    tc_net *net = tc_net_open();
    gn_handle *seen = calloc(count, sizeof(*seen));
    tc *c;
    ck_assert_ptr_nonnull(seen);
    for (unsigned i = 0; i < count; i++) {
        c = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, i + 1);
        seen[i] = nt_nth(NT_OPEN, i).id;
        tc_close(c);
        nt_await(NT_CLOSE, i + 1);
    }
    c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < count; i++) {
        int status = gn_write(seen[i], "ghost", 5, NULL, NULL);
        ck_assert(status == GN_ECLOSED || status == GN_OK);
    }
    ck_assert_int_eq(tc_send_text(c, "only this"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "only this"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    qsort(seen, count, sizeof(*seen), compare_handles);
    for (unsigned i = 1; i < count; i++)
        ck_assert_uint_ne(seen[i - 1], seen[i]);
    free(seen);
    tc_net_close(net);
}
END_TEST

#define WAVE 200u
#define WAVES 4u

/* Waves of many connections, so that their memory is given back and taken anew in between. */
START_TEST(handles_never_resurrect_in_new_memory)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, nt_unix_url(), (char *)NULL);
    tc_net *net = tc_net_open();
    static gn_handle seen[WAVES * WAVE];
    tc *c[WAVE];
    for (unsigned wave = 0; wave < WAVES; wave++) {
        for (unsigned i = 0; i < WAVE; i++)
            c[i] = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, (wave + 1) * WAVE);
        for (unsigned i = 0; i < WAVE; i++)
            seen[wave * WAVE + i] = nt_nth(NT_OPEN, wave * WAVE + i).id;
        for (unsigned i = 0; i < wave * WAVE; i++)
            ck_assert_msg(gn_write(seen[i], "ghost", 5, NULL, NULL) <= 0, "a positive status");
        for (unsigned i = 0; i < WAVE; i++) {
            ck_assert_int_eq(tc_send_text(c[i], "only this"), GNP_OK);
            ck_assert_int_eq(tc_recv_text(c[i], "only this"), GNP_OK);
            tc_close(c[i]);
        }
        nt_await(NT_CLOSE, (wave + 1) * WAVE);
    }
    nt_stop(e, NT_SECOND);
    qsort(seen, WAVES * WAVE, sizeof(*seen), compare_handles);
    for (unsigned i = 1; i < WAVES * WAVE; i++)
        ck_assert_uint_ne(seen[i - 1], seen[i]);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- fairness */

typedef struct flood {
    gn_handle loop;
    gnp_atomic32 end;
    gnp_atomic64 ran;
    uint64_t asked;
    gnp_thread thread;
} flood;

static void count_run(gn_handle h, int status, void *arg)
{
    flood *f = arg;
    (void)h;
    NT_EXPECT(status == GN_OK || status == GN_ECLOSED);
    gnp_add64(&f->ran, 1);
}

static void flood_thread(void *arg)
{
    flood *f = arg;
    while (!gnp_load32(&f->end)) {
        if (f->asked - gnp_load64(&f->ran) > 50000) { /* bounded: it is the loop that is tested */
            gnp_thread_yield();
            continue;
        }
        if (gn_execute(f->loop, count_run, f) == GN_OK)
            f->asked++;
    }
}

/* Two threads that never let the mailbox be empty do not starve I/O. */
START_TEST(tasks_do_not_starve_io)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    flood f[2];
    memset(f, 0, sizeof(f));
    for (unsigned i = 0; i < 2; i++) {
        f[i].loop = gn_engine_loop(e, 0);
        ck_assert_int_eq(gnp_thread_start(&f[i].thread, flood_thread, &f[i], "flood"), GNP_OK);
    }
    NT_UNTIL(gnp_load64(&f[0].ran) > 1000);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(tc_send_text(c, "me too"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "me too"), GNP_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        gnp_store32(&f[i].end, 1);
        gnp_thread_join(&f[i].thread);
    }
    NT_UNTIL(gnp_load64(&f[0].ran) == f[0].asked && gnp_load64(&f[1].ran) == f[1].asked);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

typedef struct again {
    gnp_atomic32 end;
    gnp_atomic32 ended;
} again;

static void post_again(gn_handle h, int status, void *arg)
{
    again *a = arg;
    (void)status;
    if (gnp_load32(&a->end) || gn_execute(h, post_again, a) != GN_OK)
        gnp_store32(&a->ended, 1);
}

/* A task that posts itself for ever runs once a turn, not for ever in one turn. */
START_TEST(task_that_posts_itself_starves_nobody)
{
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    again a;
    memset(&a, 0, sizeof(a));
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), post_again, &a), GN_OK);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(tc_send_text(c, "me too"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "me too"), GNP_OK);
    }
    if (_i == 0) {
        gnp_store32(&a.end, 1);
        NT_UNTIL(gnp_load32(&a.ended));
    }
    tc_close(c);
    nt_stop(e, NT_SECOND); /* also ends with the task still at it */
    ck_assert_uint_eq(gnp_load32(&a.ended), 1);
    tc_net_close(net);
}
END_TEST

/* One that writes by handle inside callbacks: same rules. */
static gn_action write_by_handle(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    NT_EXPECT_INT(gn_write(gn_conn_handle(c), p, n, note_done, NULL), GN_OK);
    gn_conn_discard(c, n);
    return GN_NONE;
}

START_TEST(handles_work_on_their_own_loop)
{
    static const gn_handler h = { .on_traffic = write_by_handle };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc_flow flow;
    memset(&flow, 0, sizeof(flow));
    flow.c = tc_connect(net, nt_url(e, 0));
    flow.seed = 8;
    flow.total = 300000;
    flow.chunk = 5000;
    ck_assert_int_eq(tc_exchange(net, &flow, 1), GNP_OK);
    tc_close(flow.c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_gt(nt_count(NT_DONE), 0);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("async");
    TCase *t = nt_case(s, "verbs", 30);
    tcase_add_test(t, wake_calls_on_traffic);
    tcase_add_test(t, execute_runs_on_the_right_loop);
    tcase_add_test(t, close_completes_after_on_close);
    tcase_add_test(t, writes_copy_what_they_are_given);
    tcase_add_test(t, close_waits_for_the_writes_before_it);
    tcase_add_test(t, handles_work_on_their_own_loop);

    t = nt_case(s, "order and count", 60);
    tcase_add_test(t, requests_of_one_thread_keep_their_order);
    tcase_add_loop_test(t, each_request_completes_once, 0, 2);
    tcase_add_test(t, requests_before_a_stop_complete);

    t = nt_case(s, "stale", 60);
    tcase_add_test(t, stale_handles_name_nothing);
    tcase_add_test(t, handles_never_resurrect);
    tcase_add_test(t, handles_never_resurrect_in_new_memory);

    t = nt_case(s, "fairness", 60);
    tcase_add_test(t, tasks_do_not_starve_io);
    tcase_add_loop_test(t, task_that_posts_itself_starves_nobody, 0, 2);
    return nt_main(s);
}
