/* SPDX-License-Identifier: MIT */
/*
 * The queue of datagrams while the system takes none.  The loopback always takes them, so the tests set the
 * flag that a full socket would, and take it back.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include <gannet.h>

#include "lib/engine.h"
#include "lib/loop.h"
#include "lib/udp.h"

static gnp_atomic32 steps, drained, traffic, bad, closed;
static int close_reason;
static gn_engine *engine;
static gn_handle dialed;

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            gnp_add32(&bad, 1); \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        } \
    } while (0)

static void wait_for(const gnp_atomic32 *what, uint32_t n)
{
    uint64_t until = gnp_now() + UINT64_C(20000000000);

    while (gnp_load32(what) < n) {
        MUST(gnp_now() < until);
        gnp_sleep_until(gnp_now() + 1000000);
    }
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    gnp_add32(&traffic, 1);
    return GN_NONE;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    (void)user;
    EXPECT(gn_conn_outbound(c) == 0);
    gnp_add32(&drained, 1);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    close_reason = reason;
    gnp_add32(&closed, 1);
    return GN_NONE;
}

static const gn_handler handler = { .on_traffic = on_traffic,
                                    .on_drained = on_drained,
                                    .on_close = on_close };

static void on_dialed(gn_handle h, int status, void *arg)
{
    (void)arg;
    EXPECT(status == GN_OK);
    dialed = h;
    gnp_add32(&steps, 1);
}

/* An engine that listens and a connection of its own to it. */
static void begin(const gn_handler *h)
{
    static char url[64];
    gn_options o;

    gnp_store32(&steps, 0);
    gnp_store32(&drained, 0);
    gnp_store32(&traffic, 0);
    gnp_store32(&bad, 0);
    gnp_store32(&closed, 0);
    gn_options_init(&o);
    o.loops = 1;
    o.close_timeout_ns = UINT64_C(30000000);
    ck_assert_int_eq(gn_engine_create(&engine, h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(engine, "udp4://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_start(engine), GN_OK);
    ck_assert_int_gt(gn_engine_url(engine, 0, url, sizeof(url)), 0);
    ck_assert_int_eq(gn_dial(gn_engine_loop(engine, 0), url, NULL, on_dialed, NULL, NULL), GN_OK);
    wait_for(&steps, 1);
}

static void end(uint64_t drain_ns)
{
    ck_assert_int_eq(gn_engine_stop(engine, drain_ns), GN_OK);
    ck_assert_int_eq(gn_engine_join(engine), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(engine), GN_OK);
    ck_assert_uint_eq(gnp_load32(&bad), 0);
}

/* Runs a step on the loop for the connection h and waits for it. */
static void step(gn_handle h, gn_done fn, void *arg)
{
    uint32_t n = gnp_load32(&steps);

    ck_assert_int_eq(gn_execute(h, fn, arg), GN_OK);
    wait_for(&steps, n + 1);
}

static void block(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    int i, rc = GN_OK;

    (void)arg;
    EXPECT(status == GN_OK && c != NULL);
    c->flags |= GNI_F_BLOCKED;
    for (i = 0; i < 64; i++)
        EXPECT(gn_conn_write(c, "0123456789", 10) == GN_OK);
    for (i = 0; i < 3; i++) {
        rc = gn_conn_write(c, "x", 1);
        EXPECT(rc == GN_EAGAIN);
    }
    EXPECT(gn_conn_flush(c) == GN_OK);
    EXPECT(gn_conn_outbound(c) == 640);
    gnp_add32(&steps, 1);
}

static void unblock(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);

    (void)status;
    (void)arg;
    EXPECT(c != NULL && c->u.dgram.queue != NULL);
    c->flags &= ~(uint32_t)GNI_F_BLOCKED;
    gni_conn_mark_dirty(c);
    gnp_add32(&steps, 1);
}

static void is_free(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);

    (void)status;
    (void)arg;
    EXPECT(c != NULL && c->u.dgram.queue == NULL && c->loop->dgram_gathering == NULL);
    gnp_add32(&steps, 1);
}

START_TEST(refuses_when_full_and_tells_when_drained)
{
    begin(&handler);
    step(dialed, block, NULL);
    ck_assert_uint_eq(gnp_load32(&drained), 0);
    ck_assert_uint_eq(gnp_load32(&traffic), 0);
    step(dialed, unblock, NULL);
    wait_for(&drained, 1);
    wait_for(&traffic, 64);
    step(dialed, is_free, NULL);
    end(UINT64_C(1000000000));
    ck_assert_uint_eq(gnp_load32(&drained), 1);
    ck_assert_uint_eq(gnp_load32(&traffic), 64);
    ck_assert_uint_eq(gnp_load32(&closed), 1);
    ck_assert_int_eq(close_reason, GN_ESHUTDOWN);
}
END_TEST

/* While one must wait others gather and send. */
static void endpoint_sends(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr self;

    (void)status;
    (void)arg;
    EXPECT(c != NULL && gn_engine_addr(engine, 0, &self) == GN_OK);
    EXPECT(gn_conn_send_to(c, &self, "y", 1) == GN_OK);
    EXPECT(c->loop->dgram_gathering == c);
    EXPECT(gn_conn_flush(c) == GN_OK);
    EXPECT(c->u.dgram.queue == NULL);
    gnp_add32(&steps, 1);
}

START_TEST(others_go_on)
{
    begin(&handler);
    step(dialed, block, NULL);
    step(gn_engine_endpoint(engine, 0, 0), endpoint_sends, NULL);
    wait_for(&traffic, 1);
    step(dialed, unblock, NULL);
    wait_for(&traffic, 65);
    end(UINT64_C(1000000000));
}
END_TEST

/* Each is sent before the other begins to gather. */
static void by_turns(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h), *e = gn_conn_from_handle(gn_engine_endpoint(engine, 0, 0));
    gn_addr self;
    int i;

    (void)status;
    (void)arg;
    EXPECT(c != NULL && e != NULL && gn_engine_addr(engine, 0, &self) == GN_OK);
    for (i = 0; i < 5; i++) {
        EXPECT(gn_conn_write(c, "x", 1) == GN_OK);
        EXPECT(e->u.dgram.queue == NULL && c->u.dgram.queue != NULL);
        EXPECT(gn_conn_send_to(e, &self, "y", 1) == GN_OK);
        EXPECT(c->u.dgram.queue == NULL && e->u.dgram.queue != NULL);
    }
    gnp_add32(&steps, 1);
}

START_TEST(one_queue_serves_all)
{
    begin(&handler);
    step(dialed, by_turns, NULL);
    wait_for(&traffic, 10);
    end(UINT64_C(1000000000));
}
END_TEST

static void cut_train(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    static unsigned char bytes[6400];

    (void)status;
    (void)arg;
    EXPECT(c != NULL);
    c->u.dgram.cut = 1; /* as after the system has refused a train */
    EXPECT(gn_conn_write(c, "a", 1) == GN_OK);
    EXPECT(gn_conn_send_segments(c, NULL, bytes, sizeof(bytes), 100) == GN_OK);
    EXPECT(gn_conn_write(c, "b", 1) == GN_OK);
    EXPECT(gn_conn_send_segments(c, NULL, bytes, 150, 100) == GN_OK);
    gnp_add32(&steps, 1);
}

START_TEST(trains_are_cut_where_the_system_does_not)
{
    gn_stats s;

    begin(&handler);
    step(dialed, cut_train, NULL);
    wait_for(&traffic, 68);
    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    ck_assert_int_eq(gn_engine_stats(engine, &s), GN_OK);
    ck_assert_uint_eq(s.datagrams_out, 68);
    ck_assert_uint_eq(s.datagrams_lost, 0);
    end(UINT64_C(1000000000));
}
END_TEST

static void block_and_close(gn_handle h, int status, void *arg)
{
    block(h, status, arg);
    EXPECT(gn_conn_close(gn_conn_from_handle(h)) == GN_OK);
}

/* A close waits for the queue, but not for ever. */
START_TEST(close_waits_for_the_queue)
{
    begin(&handler);
    step(dialed, block_and_close, NULL);
    if (_i) {
        step(dialed, unblock, NULL);
        wait_for(&traffic, 64);
    }
    wait_for(&closed, 1);
    ck_assert_int_eq(close_reason, _i ? GN_OK : GN_ETIMEDOUT);
    end(UINT64_C(1000000000));
    ck_assert_uint_eq(gnp_load32(&traffic), _i ? 64 : 0);
    ck_assert_uint_eq(gnp_load32(&closed), 1);
}
END_TEST

static void block_endpoint(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr self;

    (void)status;
    (void)arg;
    EXPECT(c != NULL && gn_engine_addr(engine, 0, &self) == GN_OK);
    c->flags |= GNI_F_BLOCKED;
    EXPECT(gn_conn_send_to(c, &self, "y", 1) == GN_OK);
    gnp_add32(&steps, 1);
}

/* So does a stop, which cuts the rest at its deadline. */
START_TEST(stop_waits_for_the_queue)
{
    uint64_t from;

    begin(&handler);
    step(gn_engine_endpoint(engine, 0, 0), block_endpoint, NULL);
    from = gnp_now();
    end(UINT64_C(40000000));
    ck_assert_uint_ge(gnp_now() - from, UINT64_C(40000000));
}
END_TEST

Suite *suite_udp(void)
{
    Suite *s = suite_create("udp");
    TCase *t = tcase_create("queue");

    tcase_add_test(t, refuses_when_full_and_tells_when_drained);
    tcase_add_test(t, others_go_on);
    tcase_add_test(t, one_queue_serves_all);
    tcase_add_test(t, trains_are_cut_where_the_system_does_not);
    tcase_add_loop_test(t, close_waits_for_the_queue, 0, 2);
    tcase_add_test(t, stop_waits_for_the_queue);
    suite_add_tcase(s, t);
    return s;
}
