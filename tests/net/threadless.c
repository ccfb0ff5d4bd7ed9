/* SPDX-License-Identifier: MIT */
/*
 * A process that can start no thread: tests/net/threads limits its memory so that the stacks of a hundred
 * threads are all there is room for.
 */
#include "harness.h"

#include <stdio.h>

#define MANY 600u

static gnp_atomic32 open_gate, inside;

static void held(int status, void *arg)
{
    (void)arg;
    gnp_add32(&inside, status == GN_OK);
    while (status == GN_OK && gnp_load32(&open_gate) == 0)
        gnp_sleep_until(gnp_now() + NT_MS);
}

static gnp_atomic32 ran;

static void run(int status, void *arg)
{
    (void)arg;
    NT_EXPECT_INT(status, GN_OK);
    gnp_add32(&ran, 1);
}

/* A pool that has taken all threads there are. */
static gn_pool *take_all(unsigned *count)
{
    gn_pool_options o;
    gn_pool *p;
    unsigned before;
    int rc = GN_OK;
    gn_pool_options_init(&o);
    o.queue_max = 0;
    o.expiry_ns = UINT64_MAX;
    gnp_store32(&open_gate, 0);
    gnp_store32(&inside, 0);
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    *count = 0;
    /* Until none starts although all others have settled: on its way in a thread takes more than it keeps. */
    do {
        before = *count;
        while (*count < MANY && (rc = gn_pool_try_submit(p, held, NULL)) == GN_OK)
            ++*count;
        /* Those that are there may end. */
        ck_assert_msg(rc == GN_ELIMIT, "%u threads, then %s", *count, gn_strerror(rc));
        NT_UNTIL(gnp_load32(&inside) == *count);
        gnp_sleep_until(gnp_now() + 30 * NT_MS); /* a pool does not ask the system at each task */
    } while (*count > before);
    return p;
}

static unsigned lines;

static void sink(gn_log_level level, const char *line, void *user)
{
    (void)user;
    lines += level == GN_LOG_WARN && strstr(line, "GN_EAGAIN") != NULL;
}

START_TEST(pools)
{
    gn_pool_options o;
    unsigned count;
    gn_pool *p, *q, *r = NULL;
    gn_multipool *m = NULL;
    gn_pool_stats s;
    gn_log_set_sink(sink, NULL);
    lines = 0;
    p = take_all(&count);
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_ge(lines, 1);
    lines = 0;
    gn_pool_options_init(&o);
    ck_assert_int_eq(gn_pool_create(&q, &o), GN_OK);
    ck_assert_int_eq(gn_pool_submit(q, run, NULL), GN_EAGAIN);
    ck_assert_int_eq(gn_pool_submit(q, run, NULL), GN_EAGAIN);
    ck_assert_uint_eq(lines, 1); /* once for each pool */
    o.capacity = 2;
    o.prealloc = 1;
    ck_assert_int_eq(gn_pool_create(&r, &o), GN_EAGAIN);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(gn_multipool_create(&m, 3, GN_POOL_ROUND_ROBIN, &o), GN_EAGAIN);
    ck_assert_ptr_null(m);
    gnp_store32(&open_gate, 1);
    ck_assert_int_eq(gn_pool_release_wait(p, nt_patience()), GN_OK);
    ck_assert_int_eq(gn_pool_submit(q, run, NULL), GN_OK); /* at once, whoever failed before */
    NT_UNTIL(gnp_load32(&ran) == 1);
    s.size = sizeof s;
    ck_assert_int_eq(gn_pool_get_stats(q, &s), GN_OK);
    ck_assert_uint_eq(s.submitted, 1);
    ck_assert_uint_eq(s.refused, 2);
    ck_assert_int_eq(gn_pool_destroy(q), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}
END_TEST

static const gn_handler echo_handler = { .on_traffic = nt_echo, .on_shutdown = nt_on_shutdown };

/* None, the one that watches for stalls, and some of those that it wants. */
START_TEST(engines)
{
    gn_options o = nt_options(_i == 2 ? 8 : 1);
    unsigned count;
    gn_pool *p;
    gn_engine *e = NULL;
    gn_log_set_sink(sink, NULL);
    o.stall_ns = _i == 1 ? NT_SECOND : 0;
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    p = take_all(&count);
    if (_i == 2) { /* room for three */
        ck_assert_uint_gt(count, 3);
        ck_assert_int_eq(gn_pool_resize(p, count - 3), GN_OK);
        gnp_store32(&open_gate, 1);
        gn_pool_stats s;
        s.size = sizeof s;
        do {
            ck_assert_int_eq(gn_pool_get_stats(p, &s), GN_OK);
        } while (s.workers > count - 3);
        ck_assert_int_eq(gn_pool_resize(p, count - 3), GN_OK);
    }
    ck_assert_int_eq(gn_engine_start(e), GN_EAGAIN);
    ck_assert_int_eq(gn_engine_start(e), GN_EBUSY);
    ck_assert_int_eq(gn_engine_join(e), GN_EINVAL);
    ck_assert_uint_eq(nt_count(NT_SHUTDOWN), 0);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    gnp_store32(&open_gate, 1);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    o.loops = 1; /* what allocators keep for each thread stays */
    nt_stop(nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL), NT_SECOND);
}
END_TEST

static void nothing(void *arg)
{
    (void)arg;
}

/* Whether it runs at all within the limit, and the limit is one: 77 if not. */
static int probe(void)
{
    static gnp_thread t[MANY];
    unsigned n = 0;
    while (n < MANY && gnp_thread_start(&t[n], nothing, NULL, NULL) == GNP_OK)
        n++;
    for (unsigned i = 0; i < n; i++)
        gnp_thread_join(&t[i]);
    return n > 8 && n < MANY ? 0 : 77;
}

int main(int argc, char **argv)
{
    Suite *s = suite_create("threadless");
    TCase *t = nt_case(s, "threads", 30);
    if (argc > 1 && strcmp(argv[1], "--probe") == 0)
        return probe();
    tcase_add_test(t, pools);
    tcase_add_loop_test(t, engines, 0, 3);
    return nt_main(s);
}
