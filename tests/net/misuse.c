/* SPDX-License-Identifier: MIT */
/*
 * Every verb with what it should never get: no object, an object that is none (any more), one of the other
 * kind, one that has ended, and times beyond the end of time.
 */
#include "harness.h"

#include <stdio.h>

/* Memory that is no object: what a freed one has for its magic word. */
static union {
    max_align_t align;
    unsigned char bytes[4096];
} nothing;

#define FOREVER UINT64_MAX

static const gn_handler echo_handler = { .on_traffic = nt_echo };

static void never(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    nt_note(NT_DONE, 0, 0);
}

static void no_task(int status, void *arg)
{
    (void)status;
    (void)arg;
    nt_note(NT_DONE, 0, 0);
}

static void no_work(void *arg)
{
    (void)arg;
    nt_note(NT_DONE, 0, 0);
}

static void no_signal(gn_engine *e, gn_signal s, void *arg)
{
    (void)e;
    (void)s;
    (void)arg;
}

static void no_timer(gn_loop *l, gn_timer *t, void *arg)
{
    (void)l;
    (void)t;
    (void)arg;
    nt_note(NT_DONE, 0, 0);
}

/* ---------------------------------------------------------------- no object */

static void engine_verbs(gn_engine *e)
{
    gn_stats s = { .size = sizeof s };
    gn_descriptor d = 5;
    gn_addr a;
    char text[64];

    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen_descriptor(e, 0, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen_inherited(e, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listener_dup(e, 0, &d), GN_EINVAL);
    ck_assert_int_eq(gn_engine_pause_accept(e, 0), GN_EINVAL);
    ck_assert_int_eq(gn_engine_resume_accept(e, 0), GN_EINVAL);
    ck_assert_uint_eq(gn_engine_endpoint(e, 0, 0), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_engine_addr_count(e), 0);
    ck_assert_int_eq(gn_engine_addr(e, 0, &a), GN_EINVAL);
    ck_assert_int_eq(gn_engine_url(e, 0, text, sizeof text), GN_EINVAL);
    ck_assert_int_eq(gn_engine_start(e), GN_EINVAL);
    ck_assert_int_eq(gn_engine_join(e), GN_EINVAL);
    ck_assert_int_eq(gn_engine_run(e), GN_EINVAL);
    ck_assert_int_eq(gn_engine_stop(e, 0), GN_EINVAL);
    ck_assert_int_eq(gn_engine_destroy(e), e == NULL ? GN_OK : GN_EINVAL);
    ck_assert_uint_eq(gn_engine_conn_count(e), 0);
    ck_assert_uint_eq(gn_engine_loop_count(e), 0);
    ck_assert_uint_eq(gn_engine_loop(e, 0), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_engine_loop_accepted(e, 0), 0);
    ck_assert_int_eq(gn_engine_loop_stats(e, 0, &s), GN_EINVAL);
    ck_assert_int_eq(gn_engine_stats(e, &s), GN_EINVAL);
    ck_assert_int_eq(gn_engine_on_signal(e, GN_SIGNAL_USR1, no_signal, NULL), GN_EINVAL);
    ck_assert_uint_eq(gn_engine_least_loop(e), GN_HANDLE_NONE);
    (void)gn_engine_poller(e);
}

START_TEST(engines_that_are_none)
{
    engine_verbs(NULL);
    engine_verbs((gn_engine *)(void *)&nothing);
}
END_TEST

/* What every connection verb says of c, which is no connection. */
static void conn_verbs(gn_conn *c)
{
    gn_iov one = { "x", 1 };
    gn_descriptor d = 5;
    gn_dgram_info info;
    gn_cred cred;
    gn_addr a;
    gn_frame f;
    gn_length_field field = { .width = 2 };
    size_t n = 1;
    int64_t v = 0;
    char text[8];

    ck_assert_int_eq(gn_addr_parse("127.0.0.1:9", &a), GN_OK);
    ck_assert_ptr_nonnull(gn_conn_peek(c, NULL));
    ck_assert_ptr_nonnull(gn_conn_peek(c, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(gn_conn_next(c, 0));
    ck_assert_ptr_null(gn_conn_next(c, 1));
    ck_assert_uint_eq(gn_conn_discard(c, 1), 0);
    ck_assert_uint_eq(gn_conn_read(c, text, sizeof text), 0);
    ck_assert_int_eq(gn_conn_write(c, "x", 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_writev(c, &one, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_flush(c), GN_EINVAL);
    ck_assert_uint_eq(gn_conn_inbound(c), 0);
    ck_assert_uint_eq(gn_conn_outbound(c), 0);
    ck_assert_int_eq(gn_conn_close(c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_abort(c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_shutdown_write(c), GN_EINVAL);
    ck_assert_ptr_null(gn_conn_context(c));
    gn_conn_set_context(c, text);
    ck_assert_int_eq(gn_conn_local_addr(c, &a), GN_EINVAL);
    ck_assert_int_eq(gn_conn_remote_addr(c, &a), GN_EINVAL);
    ck_assert_uint_eq(gn_conn_handle(c), GN_HANDLE_NONE);
    ck_assert_ptr_null(gn_conn_loop(c));
    ck_assert_ptr_null(gn_conn_engine(c));
    ck_assert_int_eq(gn_conn_is_datagram(c), 0);
    ck_assert_uint_eq(gn_conn_listener(c), GN_NO_LISTENER);
    ck_assert_int_eq(gn_conn_os_error(c), 0);
    ck_assert_int_eq(gn_conn_set_idle_timeout(c, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_set_read_deadline(c, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_set_write_deadline(c, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_pause(c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_resume(c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_set_watermarks(c, 2, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_is_writable(c), 0);
    ck_assert_int_eq(gn_conn_set_limits(c, 1, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_write_ref(c, &one, 1, never, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_conn_send_file(c, 0, 0, 1, never, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_conn_send_descriptor(c, 0, "x", 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_recv_descriptor(c, &d), GN_EINVAL);
    ck_assert_int_eq(gn_conn_pipe(c, c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_unpipe(c), GN_EINVAL);
    ck_assert_int_eq(gn_conn_set_opt(c, GN_OPT_NODELAY, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_get_opt(c, GN_OPT_NODELAY, &v), GN_EINVAL);
    ck_assert_int_eq((int)gn_conn_descriptor(c), -1);
    ck_assert_int_eq(gn_conn_dup(c, &d), GN_EINVAL);
    ck_assert_int_eq((int)d, -1); /* whatever happens: there is nothing to close */
    ck_assert_int_eq(gn_conn_peer_cred(c, &cred), GN_EINVAL);
    ck_assert_int_eq(gn_conn_dgram_info(c, &info), GN_EINVAL);
    ck_assert_int_eq(gn_conn_send_to(c, &a, "x", 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_send_segments(c, &a, "x", 1, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_join_group(c, &a, 0), GN_EINVAL);
    ck_assert_int_eq(gn_conn_leave_group(c, &a, 0), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_line(c, 8, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_delimited(c, ",", 1, 8, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_fixed(c, 1, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_length(c, &field, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_varint(c, 8, &f), GN_EINVAL);
}

START_TEST(connections_that_are_none)
{
    conn_verbs(NULL);
    conn_verbs((gn_conn *)(void *)&nothing);
}
END_TEST

START_TEST(loops_that_are_none)
{
    gn_loop *all[] = { NULL, (gn_loop *)(void *)&nothing };
    gn_timer t;

    memset(&t, 0, sizeof t);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(gn_loop_handle(all[i]), GN_HANDLE_NONE);
        ck_assert_int_eq(gn_timer_start(all[i], &t, 1, 0, no_timer, NULL), GN_EINVAL);
        ck_assert_int_eq(gn_timer_stop(all[i], &t), 0);
        ck_assert_int_eq(gn_timer_running(&t), 0);
    }
    ck_assert_int_eq(gn_timer_running(NULL), 0);
    gn_loop_set_context(NULL, &t);
    ck_assert_ptr_null(gn_loop_context(NULL));
}
END_TEST

static void pool_verbs(gn_pool *p)
{
    gn_pool_stats s = { .size = sizeof s };
    gn_op op = 7;

    ck_assert_int_eq(gn_pool_submit(p, no_task, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_try_submit(p, no_task, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_submit_wait(p, no_task, NULL, 1), GN_EINVAL);
    ck_assert_int_eq(gn_pool_invoke(p, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_submit_op(p, no_task, NULL, &op), GN_EINVAL);
    ck_assert_int_eq(gn_pool_cancel(p, 1), GN_EINVAL);
    ck_assert_int_eq(gn_offload(p, GN_HANDLE_NONE, no_work, never, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_resize(p, 1), GN_EINVAL);
    ck_assert_int_eq(gn_pool_release(p), GN_EINVAL);
    ck_assert_int_eq(gn_pool_release_wait(p, 1), GN_EINVAL);
    ck_assert_int_eq(gn_pool_reboot(p), GN_EINVAL);
    ck_assert_int_eq(gn_pool_get_stats(p, &s), GN_EINVAL);
    ck_assert_int_eq(gn_pool_destroy(p), p == NULL ? GN_OK : GN_EINVAL);
}

static void multipool_verbs(gn_multipool *m)
{
    gn_pool_stats s = { .size = sizeof s };

    ck_assert_int_eq(gn_multipool_submit(m, no_task, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_try_submit(m, no_task, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_invoke(m, NULL), GN_EINVAL);
    ck_assert_uint_eq(gn_multipool_count(m), 0);
    ck_assert_ptr_null(gn_multipool_at(m, 0));
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_resize(m, 1), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_release(m), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_release_wait(m, 1), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_reboot(m), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_destroy(m), m == NULL ? GN_OK : GN_EINVAL);
}

START_TEST(pools_that_are_none)
{
    gn_pool_options o;
    gn_pool_stats small = { .size = 1 };
    gn_multipool *m;
    gn_pool *p;

    pool_verbs(NULL);
    pool_verbs((gn_pool *)(void *)&nothing);
    multipool_verbs(NULL);
    multipool_verbs((gn_multipool *)(void *)&nothing);
    gn_pool_options_init_sized(NULL, sizeof o);
    gn_listen_options_init_sized(NULL, sizeof(gn_listen_options));
    gn_dial_options_init_sized(NULL, sizeof(gn_dial_options));
    gn_pool_options_init(&o);

    ck_assert_int_eq(gn_multipool_create(&m, 1, (gn_pool_lb)77, &o), GN_EINVAL);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(gn_multipool_create(&m, UINT32_MAX, GN_POOL_ROUND_ROBIN, &o), GN_EINVAL);
    o.size += 1; /* no compiler makes such a struct */
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_EINVAL);
    o.size = SIZE_MAX;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_EINVAL);
    gn_pool_options_init(&o);
    ck_assert_int_eq(gn_multipool_create(&m, 2, GN_POOL_ROUND_ROBIN, &o), GN_OK);
    ck_assert_ptr_nonnull(gn_multipool_at(m, 1));
    ck_assert_ptr_null(gn_multipool_at(m, 2));
    ck_assert_int_eq(gn_multipool_get_stats(m, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_get_stats(m, &small), GN_EINVAL);
    ck_assert_int_eq(gn_pool_get_stats(gn_multipool_at(m, 0), NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_get_stats(gn_multipool_at(m, 0), &small), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_submit(m, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_invoke(m, NULL), GN_EINVAL); /* without a function of its own */
    ck_assert_int_eq(gn_offload(gn_multipool_at(m, 0), GN_HANDLE_NONE, NULL, never, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_destroy(m), GN_OK);
}
END_TEST

/* The sums of several: limits and none, and what grows together. */
START_TEST(multipools_add_up)
{
    gn_pool_options o;
    gn_pool_stats s = { .size = sizeof s };
    gn_multipool *m;

    gn_pool_options_init(&o);
    o.capacity = 0;
    ck_assert_int_eq(gn_multipool_create(&m, 3, GN_POOL_LEAST_TASKS, &o), GN_OK);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 0);
    ck_assert(s.free == UINT64_MAX); /* thrice that does not wrap around */
    ck_assert_int_eq(gn_pool_resize(gn_multipool_at(m, 1), 3), GN_OK);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 0); /* no limit, then one, then none */
    ck_assert_int_eq(gn_pool_resize(gn_multipool_at(m, 0), 3), GN_OK);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 0);
    ck_assert_int_eq(gn_multipool_resize(m, 4), GN_OK);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 12);
    ck_assert_uint_eq(s.free, 12);
    ck_assert_int_eq(gn_multipool_resize(m, 0), GN_EINVAL); /* a limit is not taken away again */
    ck_assert_int_eq(s.closed, 0);
    ck_assert_int_eq(gn_multipool_release_wait(m, FOREVER), GN_OK);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_int_eq(s.closed, 1);
    ck_assert_int_eq(gn_multipool_reboot(m), GN_OK);
    ck_assert_int_eq(gn_multipool_reboot(m), GN_EBUSY);
    ck_assert_int_eq(gn_multipool_release_wait(m, 0), GN_OK); /* nothing runs, so no time is enough */
    ck_assert_int_eq(gn_multipool_destroy(m), GN_OK);
}
END_TEST

/* ---------------------------------------------------- one of the other kind */

static void stream_asked_for_datagrams(gn_conn *c)
{
    gn_dgram_info info;
    gn_addr a;

    NT_EXPECT_INT(gn_addr_parse("127.0.0.1:9", &a), GN_OK);
    NT_EXPECT_INT(gn_conn_dgram_info(c, &info), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_send_to(c, &a, "x", 1), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_send_segments(c, &a, "x", 1, 1), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_join_group(c, &a, 0), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_leave_group(c, &a, 0), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, 0, "x", 1), GN_ENOTSUP); /* TCP carries none */
}

/* Wrong arguments for a connection that is right. */
static void wrong_arguments(gn_conn *c)
{
    gn_handle h = gn_conn_handle(c);
    gn_iov bad = { NULL, 3 }, two[2] = { { "x", 1 }, { "x", SIZE_MAX } };
    gn_descriptor d;
    gn_frame f;
    gn_length_field field = { .width = 2, .max = 8 };
    gn_opt_value many_opts[65] = { { GN_OPT_NODELAY, 1 } };
    gn_dial_options no_opts;
    gn_addr a;
    size_t used;

    gn_dial_options_init(&no_opts);
    no_opts.opt_count = 1;
    NT_EXPECT_INT(gn_addr_parse("unix:/tmp/x", &a), GN_OK);
    NT_EXPECT_INT(gn_conn_send_file(c, -1, 0, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_file(c, 0, UINT64_MAX, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_file(c, 0, 1, INT64_MAX, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, -1, "x", 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, 0, NULL, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, 0, "x", 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_recv_descriptor(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_recv_descriptor(c, &d), GN_EAGAIN);
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_dup(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_peer_cred(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_dgram_info(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 0, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 1, 2), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_pipe(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_pipe(NULL, c), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_unpipe(c), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, NULL, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, &bad, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write_ref(h, NULL, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write_ref(h, &bad, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write_ref(h, two, 2, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write_sent(h, NULL, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write_sent(h, two, 2, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write(h, "x", SIZE_MAX, never, NULL), GN_ELIMIT);
    NT_EXPECT_INT(gn_send_to(h, &a, "x", 1, never, NULL), GN_EINVAL); /* no address of datagrams */
    NT_EXPECT_INT(gn_addr_parse("127.0.0.1:9", &a), GN_OK);
    NT_EXPECT_INT(gn_send_to(h, &a, "x", SIZE_MAX, never, NULL), GN_ENOMEM);
    NT_EXPECT_INT(gn_dial(h, "tcp://127.0.0.1:9", &no_opts, never, NULL, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_adopt(h, 0, &no_opts, never, NULL), GN_EINVAL);
    no_opts.opts = many_opts;
    no_opts.opt_count = 65;
    NT_EXPECT_INT(gn_dial(h, "tcp://127.0.0.1:9", &no_opts, never, NULL, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_read_fixed(c, 1, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_read_fixed(c, 0, &f), GN_OK); /* nothing, which is always there */
    NT_EXPECT_INT(f.len, 0);
    NT_EXPECT_INT(gn_scan_length(NULL, 0, &field, &f, &used), GN_EAGAIN);
    NT_EXPECT_INT(gn_scan_length(NULL, 1, &field, &f, &used), GN_EINVAL);
    NT_EXPECT_INT(gn_scan_varint(NULL, 0, 8, &f, &used), GN_EAGAIN);
    NT_EXPECT_INT(gn_scan_varint(NULL, 1, 8, &f, &used), GN_EINVAL);
    NT_EXPECT_INT(gn_timer_stop(gn_conn_loop(c), NULL), 0);
    NT_EXPECT_INT(gn_timer_start(gn_conn_loop(c), NULL, 1, 0, no_timer, NULL), GN_EINVAL);
}

static void nothing_written(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    nt_note(NT_A, 0, status);
}

/* Nothing is something that can be written: it is done in its place. */
static void nothing_to_write(gn_conn *c)
{
    enum { MANY = (1 << 20) + 1 }; /* more than a queue has places */
    gn_iov *many = calloc(MANY, sizeof *many);
    gn_handle h = gn_conn_handle(c);
    gn_iov empty = { NULL, 0 };

    NT_EXPECT_INT(many == NULL ? GN_ELIMIT : gn_write_ref(h, many, MANY, never, NULL), GN_ELIMIT);
    free(many);
    NT_EXPECT_INT(gn_write(h, NULL, 0, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_writev(h, NULL, 0, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_writev(h, &empty, 1, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_write_ref(h, NULL, 0, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_write_sent(h, NULL, 0, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, NULL, 0, nothing_written, NULL), GN_OK);
}

/* Inside on_close a connection can be looked at, and nothing else. */
static gn_action looked_at_last(gn_conn *c, int reason, void *user)
{
    gn_descriptor d = 5;
    gn_cred cred;
    int64_t v;

    (void)user;
    (void)reason;
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_flush(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_close(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_abort(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_pause(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_resume(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 2, 1), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_set_limits(c, 1, 1), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_is_writable(c), 0);
    NT_EXPECT_INT(gn_conn_pipe(c, c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_set_opt(c, GN_OPT_NODELAY, 1), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_get_opt(c, GN_OPT_NODELAY, &v), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_dup(c, &d), GN_ECLOSED);
    NT_EXPECT_INT(d, -1);
    NT_EXPECT_INT(gn_conn_descriptor(c), -1);
    NT_EXPECT_INT(gn_conn_peer_cred(c, &cred), GN_ECLOSED);
    nt_note(NT_CLOSE, 0, reason);
    return GN_NONE;
}

static gn_action stream_misused(gn_conn *c, void *user)
{
    stream_asked_for_datagrams(c);
    wrong_arguments(c);
    nothing_to_write(c);
    return nt_echo(c, user);
}

static gn_action nothing_to_read(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT(gn_conn_next(c, 0) != NULL);
    NT_EXPECT(gn_conn_next(c, 1) == NULL);
    NT_EXPECT_INT(gn_conn_inbound(c), 0);
    return GN_NONE;
}

START_TEST(streams_are_no_datagrams)
{
    static const gn_handler h = { .on_open = nothing_to_read,
                                  .on_traffic = stream_misused,
                                  .on_close = looked_at_last };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));

    ck_assert_int_eq(tc_send_text(c, "hello"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "hello"), GNP_OK);
    nt_await(NT_A, 6);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), 0);
    tc_net_close(net);
}
END_TEST

static gn_action datagram_misused(gn_conn *c, void *user)
{
    gn_addr unix_addr, group;
    gn_iov bad = { NULL, 3 };

    NT_EXPECT_INT(gn_addr_parse("unix:/tmp/x", &unix_addr), GN_OK);
    NT_EXPECT_INT(gn_addr_parse("[ff02::1]:0", &group), GN_OK);
    NT_EXPECT_INT(gn_conn_close(c), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_abort(c), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_set_watermarks(c, 2, 1), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_set_limits(c, 1, 1), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_is_writable(c), 0);
    NT_EXPECT_INT(gn_conn_pipe(c, c), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_unpipe(c), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
    NT_EXPECT_INT(gn_conn_resume(c), GN_OK);
    NT_EXPECT_INT(gn_conn_resume(c), GN_OK);
    NT_EXPECT_INT(gn_conn_writev(c, &bad, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_to(c, NULL, "x", 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_to(c, &unix_addr, "x", 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, &unix_addr, "x", 1, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, NULL, 1, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, "x", 1, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, "x", 0, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_join_group(c, &unix_addr, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_leave_group(c, NULL, 0), GN_EINVAL);
    NT_EXPECT_INT(gn_migrate(gn_conn_handle(c), gn_loop_handle(gn_conn_loop(c)), NULL, NULL) <= 0, 1);
    return nt_echo(c, user);
}

START_TEST(datagrams_are_no_streams)
{
    static const gn_handler h = { .on_traffic = datagram_misused };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    char back[16];
    size_t n;

    ck_assert_uint_ne(gn_engine_endpoint(e, 0, 0), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_engine_endpoint(e, 0, 1), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_engine_endpoint(e, 1, 0), GN_HANDLE_NONE);
    ck_assert_int_eq(tc_dgram_send(c, "hello", 5), GNP_OK);
    ck_assert_int_eq(tc_dgram_recv(c, back, sizeof back, &n), GNP_OK);
    ck_assert_uint_eq(n, 5);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* An abort counts more than a close that still sends. */
static gn_action close_then_abort(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_close(c), GN_OK);
    NT_EXPECT_INT(gn_conn_close(c), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_abort(c), GN_OK);
    return GN_NONE;
}

START_TEST(aborts_after_closes)
{
    static const gn_handler h = { .on_traffic = close_then_abort, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));

    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECANCELED);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* A file that is over where the part begins: done all the same, in its place. */
static gn_action empty_part(gn_conn *c, void *user)
{
    intptr_t *file = user;

    NT_EXPECT_INT(gn_conn_send_file(c, *file, 0, 0, nothing_written, NULL), GN_OK);
    NT_EXPECT_INT(gn_conn_send_file(c, *file, 7, 0, nothing_written, NULL), GN_OK);
    return nt_echo(c, user);
}

START_TEST(files_without_bytes)
{
    static const gn_handler h = { .on_traffic = empty_part };
    gn_options o = nt_options(1);
    const char *path = nt_path();
    intptr_t file = -1;
    gn_engine *e;
    tc_net *net;
    tc *c;
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    fclose(f);
    ck_assert_int_eq(gnp_file_open(&file, path), GNP_OK);
    e = nt_start(&h, &file, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "x"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "x"), GNP_OK);
    nt_await(NT_A, 2);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    gnp_descriptor_close(file);
    remove(path);
    tc_net_close(net);
}
END_TEST

static gn_action destroy_at_boot(gn_engine *e, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_engine_destroy(e), GN_EBUSY);
    NT_EXPECT_INT(gn_engine_start(e), GN_EBUSY);
    return GN_NONE;
}

START_TEST(engines_are_busy_from_the_start)
{
    static const gn_handler h = { .on_boot = destroy_at_boot, .on_traffic = nt_echo };
    gn_options o = nt_options(1);

    o.poller = ""; /* none by name: the default */
    nt_stop(nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL), 0);
}
END_TEST

/* Nobody asked for errors: a datagram that was answered by "nobody there" is no harm. */
static void refused_dialed(gn_handle h, int status, void *arg)
{
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    for (unsigned i = 0; i < 3; i++)
        NT_EXPECT_INT(gn_write(h, "x", 1, nothing_written, NULL), GN_OK);
}

START_TEST(errors_that_nobody_wants)
{
    static const gn_handler h = { .on_traffic = nt_echo, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL), *gone;
    char url[64];

    gone = nt_start(&h, NULL, &o, "udp://127.0.0.1:0", (char *)NULL);
    snprintf(url, sizeof url, "%s", nt_url(gone, 0));
    nt_stop(gone, 0);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, NULL, refused_dialed, NULL, NULL), GN_OK);
    nt_await(NT_A, 3);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* ------------------------------------------------------ the end of time */

static gn_timer late_timer;

static void long_timers(gn_handle h, int status, void *arg)
{
    gn_loop *l = gn_loop_current();

    (void)h;
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT_INT(gn_timer_start(l, &late_timer, FOREVER, FOREVER, no_timer, NULL), GN_OK);
    NT_EXPECT_INT(gn_timer_running(&late_timer), 1);
    nt_note(NT_A, 0, 0);
}

static gn_action endless_deadlines(gn_conn *c, void *user)
{
    NT_EXPECT_INT(gn_conn_set_idle_timeout(c, FOREVER), GN_OK);
    NT_EXPECT_INT(gn_conn_set_read_deadline(c, FOREVER), GN_OK);
    NT_EXPECT_INT(gn_conn_set_write_deadline(c, 0), GN_OK); /* there is none to take away */
    NT_EXPECT_INT(gn_conn_set_write_deadline(c, FOREVER), GN_OK);
    NT_EXPECT_INT(gn_conn_set_write_deadline(c, 0), GN_OK);
    NT_EXPECT_INT(gn_conn_set_write_deadline(c, FOREVER), GN_OK);
    return nt_echo(c, user);
}

static void canceled(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    nt_note(NT_B, 0, status);
}

static void run(int status, void *arg)
{
    (void)arg;
    nt_note(NT_C, 0, status);
}

/* Times that overflow mean never, not now. */
START_TEST(endless_times_do_not_pass)
{
    static const gn_handler h = { .on_traffic = endless_deadlines, .on_open = nt_on_open };
    gn_options o = nt_options(1);
    gn_dial_options d;
    gn_pool_options po;
    gn_op op = GN_OP_NONE;
    gn_engine *e;
    gn_pool *p;
    tc_net *net = tc_net_open();
    tc *c;

    o.stall_ns = FOREVER;
    o.idle_timeout_ns = FOREVER;
    o.close_timeout_ns = FOREVER;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "hello"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "hello"), GNP_OK);
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), long_timers, NULL), GN_OK);
    ck_assert_int_eq(gn_schedule(gn_engine_loop(e, 0), FOREVER, canceled, NULL, &op), GN_OK);
    gn_dial_options_init(&d);
    d.timeout_ns = FOREVER;
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), nt_url(e, 0), &d, NULL, NULL, NULL), GN_OK);
    nt_await(NT_OPEN, 3); /* both ends of that one */
    nt_await(NT_A, 1);
    ck_assert(tc_quiet(c, 20 * NT_MS));
    ck_assert_uint_eq(nt_count(NT_B), 0);
    ck_assert_int_eq(gn_cancel(op), GN_OK);
    nt_await(NT_B, 1);
    ck_assert_int_eq(nt_nth(NT_B, 0).status, GN_ECANCELED);

    gn_pool_options_init(&po);
    po.capacity = 1;
    po.expiry_ns = FOREVER;
    ck_assert_int_eq(gn_pool_create(&p, &po), GN_OK);
    ck_assert_int_eq(gn_pool_submit_wait(p, run, NULL, FOREVER), GN_OK);
    ck_assert_int_eq(gn_pool_submit_wait(p, run, NULL, FOREVER - 1), GN_OK);
    ck_assert_int_eq(gn_pool_submit_wait(p, run, NULL, FOREVER - 1), GN_OK);
    nt_await(NT_C, 3);
    ck_assert_int_eq(gn_pool_release_wait(p, FOREVER - 1), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);

    tc_close(c);
    ck_assert_int_eq(gn_engine_stop(e, FOREVER), GN_OK); /* drains for ever, which is what closing takes */
    ck_assert_int_eq(gn_engine_stop(e, 0), GN_OK);
    ck_assert_int_eq(nt_join(e), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 0);
    tc_net_close(net);
}
END_TEST

/* -------------------------------------------------------- options and states */

static void lb_without(gn_options *o) { o->lb = GN_LB_USER; }
static void overload_77(gn_options *o) { o->overload = (gn_overload)77; }
static void overload_minus(gn_options *o) { o->overload = (gn_overload)-1; }
static void spin_long(gn_options *o) { o->spin_us = 1000001; }
static void low_over_high(gn_options *o)
{
    o->outbound_high = 10;
    o->outbound_low = 11;
}

START_TEST(options_that_contradict_themselves)
{
    static void (*const set[])(gn_options *) = { lb_without, overload_77, overload_minus, spin_long,
                                                 low_over_high };
    gn_listen_options lo;
    gn_engine *e = NULL;
    gn_options o;

    gn_log_set_level(GN_LOG_OFF);
    for (unsigned i = 0; i < sizeof set / sizeof set[0]; i++) {
        o = nt_options(2);
        set[i](&o);
        ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_EINVAL);
        ck_assert_ptr_null(e);
    }
    o = nt_options(1);
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    gn_listen_options_init(&lo);
    lo.v6only = -2;
    ck_assert_int_eq(gn_engine_listen_with(e, "tcp://127.0.0.1:0", &lo), GN_EINVAL);
    lo.v6only = 2;
    ck_assert_int_eq(gn_engine_listen_with(e, "tcp://127.0.0.1:0", &lo), GN_EINVAL);
    gn_log_set_level(GN_LOG_WARN);
    ck_assert_int_eq(gn_engine_listen_descriptor(e, -1, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listener_dup(e, 0, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_url(e, 0, NULL, 9), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listener_dup(e, 0, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_join(e), GN_EINVAL); /* it was not started */
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("misuse");
    TCase *t = nt_case(s, "no object", 60);

    tcase_add_test(t, engines_that_are_none);
    tcase_add_test(t, connections_that_are_none);
    tcase_add_test(t, loops_that_are_none);
    tcase_add_test(t, pools_that_are_none);
    t = nt_case(s, "other kind", 60);
    tcase_add_test(t, streams_are_no_datagrams);
    tcase_add_test(t, datagrams_are_no_streams);
    tcase_add_test(t, errors_that_nobody_wants);
    tcase_add_test(t, aborts_after_closes);
    tcase_add_test(t, files_without_bytes);
    tcase_add_test(t, engines_are_busy_from_the_start);
    t = nt_case(s, "end of time", 60);
    tcase_add_test(t, endless_times_do_not_pass);
    t = nt_case(s, "options", 60);
    tcase_add_test(t, multipools_add_up);
    tcase_add_test(t, options_that_contradict_themselves);
    return nt_main(s);
}
