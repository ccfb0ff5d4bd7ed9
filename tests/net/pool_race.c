/* SPDX-License-Identifier: MIT */
/* The worker pool under many threads and without memory: each task that was accepted is called once. */
#include "harness.h"

#define PRODUCERS 4u

typedef struct record {
    gnp_atomic32 ran, canceled;
    int accepted;
    gn_op op;
} record;

/* What every producer of a test does, and what came of it. */
typedef struct field {
    gn_pool *pool;
    gn_multipool *multi;
    record *records; /* each producer has its share */
    unsigned each;
    gnp_atomic32 producing, stop;
    gnp_atomic32 accepted, cancels, busy, ended;
} field;

typedef struct producer {
    gnp_thread thread;
    field *f;
    unsigned index;
} producer;

static void task(int status, void *arg)
{
    record *r = arg;
    if (status == GN_OK)
        gnp_add32(&r->ran, 1);
    else if (status == GN_ECANCELED)
        gnp_add32(&r->canceled, 1);
    else
        nt_wrong(__FILE__, __LINE__, "status %d", status);
}

static int submit(field *f, record *r, uint64_t dice)
{
    if (f->multi != NULL)
        return dice % 2 ? gn_multipool_submit(f->multi, task, r) : gn_multipool_try_submit(f->multi, task, r);
    switch (dice % 4) {
    case 0:
        return gn_pool_try_submit(f->pool, task, r);
    case 1:
        return gn_pool_submit_wait(f->pool, task, r, dice % 50000);
    case 2:
        return gn_pool_submit_op(f->pool, task, r, &r->op);
    default:
        return gn_pool_submit(f->pool, task, r);
    }
}

static void produce(void *arg)
{
    producer *p = arg;
    field *f = p->f;
    uint64_t seed = p->index + 1;
    record *mine = f->records + (size_t)p->index * f->each;

    for (unsigned i = 0; i < f->each; i++) {
        uint64_t dice = nt_random(&seed);
        int rc = submit(f, &mine[i], dice >> 8);
        mine[i].accepted = rc == GN_OK;
        if (rc == GN_OK)
            gnp_add32(&f->accepted, 1);
        else if (rc == GN_ECLOSED)
            gnp_sleep_until(gnp_now() + 20000);
        else if (rc != GN_ELIMIT && rc != GN_ETIMEDOUT)
            nt_wrong(__FILE__, __LINE__, "submit: %d", rc);
        if (dice % 3 == 0) { /* one of the last few, of whatever kind */
            record *r = &mine[i - (i < 8 ? i : dice % 8)];
            if (r->op == GN_OP_NONE)
                continue;
            rc = gn_pool_cancel(f->pool, r->op);
            gnp_add32(rc == GN_OK ? &f->cancels : rc == GN_EBUSY ? &f->busy : &f->ended, 1);
            NT_EXPECT(rc == GN_OK || rc == GN_EBUSY || rc == GN_ECLOSED);
            if (rc == GN_OK)
                NT_EXPECT_INT(gnp_load32(&r->canceled), 1);
        }
    }
    gnp_sub32(&f->producing, 1);
}

static void field_start(field *f, producer *p, unsigned each)
{
    f->each = each;
    f->records = calloc((size_t)each * PRODUCERS, sizeof *f->records);
    ck_assert_ptr_nonnull(f->records);
    gnp_store32(&f->producing, PRODUCERS);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i].f = f;
        p[i].index = i;
        ck_assert_int_eq(gnp_thread_start(&p[i].thread, produce, &p[i], "producer"), GNP_OK);
    }
}

/* After the pool was released and waited for. */
static void field_check(field *f, producer *p)
{
    unsigned ran = 0, canceled = 0;
    for (unsigned i = 0; i < PRODUCERS; i++)
        gnp_thread_join(&p[i].thread);
    if (f->pool != NULL)
        ck_assert_int_eq(gn_pool_release_wait(f->pool, nt_patience()), GN_OK);
    else
        ck_assert_int_eq(gn_multipool_release_wait(f->multi, nt_patience()), GN_OK);
    for (unsigned i = 0; i < f->each * PRODUCERS; i++) {
        record *r = &f->records[i];
        unsigned calls = gnp_load32(&r->ran) + gnp_load32(&r->canceled);
        ck_assert_msg(calls == (unsigned)r->accepted, "task %u: accepted %d, called %u times", i, r->accepted,
                      calls);
        ran += gnp_load32(&r->ran);
        canceled += gnp_load32(&r->canceled);
    }
    gn_pool_stats s;
    s.size = sizeof s;
    ck_assert_int_eq(f->pool != NULL ? gn_pool_get_stats(f->pool, &s) : gn_multipool_get_stats(f->multi, &s),
                     GN_OK);
    ck_assert_uint_eq(s.submitted, gnp_load32(&f->accepted));
    ck_assert_uint_eq(s.completed, ran);
    ck_assert_uint_eq(s.canceled, canceled);
    ck_assert_uint_eq(s.refused, f->each * PRODUCERS - gnp_load32(&f->accepted));
    ck_assert_uint_eq(s.waiting + s.running + s.workers + s.blocked, 0);
    free(f->records);
}

/* Queue sizes and capacities of all kinds, while another thread changes the capacity. */
START_TEST(producers_and_resizes)
{
    static const unsigned capacities[] = { 1, 2, 4, 3, 1, 0 };
    static const size_t queues[] = { 0, 1, 7, 64, 4096, 5 };
    producer p[PRODUCERS];
    gn_pool_options o;
    field f;
    uint64_t seed = (uint64_t)_i + 1;

    memset(&f, 0, sizeof f);
    gn_pool_options_init(&o);
    o.capacity = capacities[_i];
    o.queue_max = queues[_i];
    o.expiry_ns = _i % 2 == 0 ? NT_SECOND : 50000; /* workers that come and go all the time */
    o.name = NULL;
    ck_assert_int_eq(gn_pool_create(&f.pool, &o), GN_OK);
    field_start(&f, p, nt_scaled(4000, 400));
    while (gnp_load32(&f.producing) > 0) {
        gn_pool_stats s;
        s.size = sizeof s;
        if (o.capacity != 0)
            ck_assert_int_eq(gn_pool_resize(f.pool, 1 + (unsigned)(nt_random(&seed) % 5)), GN_OK);
        ck_assert_int_eq(gn_pool_get_stats(f.pool, &s), GN_OK);
        if (o.capacity != 0) /* tasks of workers that became too many stay */
            ck_assert_uint_le(s.waiting, queues[_i] + 5);
        ck_assert_uint_le(s.completed + s.canceled + s.waiting, s.submitted);
        gnp_sleep_until(gnp_now() + 100000);
    }
    field_check(&f, p);
    ck_assert_uint_gt(gnp_load32(&f.accepted), 0);
    ck_assert_int_eq(gn_pool_destroy(f.pool), GN_OK);
}
END_TEST

START_TEST(multipool_producers)
{
    producer p[PRODUCERS];
    gn_pool_options o;
    field f;

    memset(&f, 0, sizeof f);
    gn_pool_options_init(&o);
    o.capacity = 2;
    o.queue_max = 16;
    ck_assert_int_eq(gn_multipool_create(&f.multi, 3, (gn_pool_lb)_i, &o), GN_OK);
    field_start(&f, p, nt_scaled(4000, 400));
    field_check(&f, p);
    ck_assert_int_eq(gn_multipool_destroy(f.multi), GN_OK);
}
END_TEST

/* Released and opened again under their hands. */
START_TEST(releases_and_reboots)
{
    producer p[PRODUCERS];
    gn_pool_options o;
    field f;
    unsigned round;

    memset(&f, 0, sizeof f);
    gn_pool_options_init(&o);
    o.capacity = 2;
    o.queue_max = 32;
    o.prealloc = _i;
    ck_assert_int_eq(gn_pool_create(&f.pool, &o), GN_OK);
    field_start(&f, p, nt_scaled(20000, 1000));
    for (round = 0; gnp_load32(&f.producing) > 0; round++) {
        ck_assert_int_eq(round % 2 ? gn_pool_release(f.pool) : gn_pool_release_wait(f.pool, nt_patience()),
                         GN_OK);
        ck_assert_int_eq(gn_pool_reboot(f.pool), GN_OK);
        gnp_sleep_until(gnp_now() + 300000);
    }
    ck_assert_uint_gt(round, 1);
    field_check(&f, p);
    ck_assert_int_eq(gn_pool_destroy(f.pool), GN_OK);
}
END_TEST

static gnp_atomic_ptr doomed;

static void doom(int status, void *arg)
{
    (void)status;
    gnp_store_ptr(&doomed, arg);
}

/* Whose task has told another thread that the pool may go: it is still on its way out of the submit. */
static void submit_last(void *arg)
{
    NT_EXPECT_INT(gn_pool_submit(arg, doom, arg), GN_OK);
}

/* For a checker of races, which finds what is read too late also when nothing comes of it. */
START_TEST(destroyed_by_its_last_task)
{
    for (unsigned i = 0; i < nt_scaled(300, 30); i++) {
        gn_pool_options o;
        gnp_thread t;
        gn_pool *p;
        record r;

        memset(&r, 0, sizeof r);
        gn_pool_options_init(&o);
        o.capacity = 2;
        o.prealloc = _i; /* then workers sleep, and are signalled */
        ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
        ck_assert_int_eq(gn_pool_submit(p, task, &r), GN_OK);
        NT_UNTIL(gnp_load32(&r.ran) == 1);
        gnp_store_ptr(&doomed, NULL);
        ck_assert_int_eq(gnp_thread_start(&t, submit_last, p, "last"), GNP_OK);
        while (gnp_load_ptr(&doomed) == NULL)
            gnp_thread_yield();
        ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
        gnp_thread_join(&t);
    }
}
END_TEST

/* ------------------------------------------------------------------ memory */

static gnp_atomic32 works, dones;

static void work(void *arg)
{
    (void)arg;
    gnp_add32(&works, 1);
}

static void done(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    NT_EXPECT(status == GN_ECLOSED || status == GN_ECANCELED); /* there is no loop */
    gnp_add32(&dones, 1);
}

/* All that takes memory.  Returns how often it was told that there is none. */
static unsigned scenario(nt_alloc *heap)
{
    record r[200];
    unsigned failed = 0, asked = 0, offloads = 0;
    gn_pool_options o;
    gn_multipool *m;
    gn_pool *p;
    int rc;

    memset(r, 0, sizeof r);
    gn_pool_options_init(&o);
    o.capacity = 2;
    o.prealloc = 1;
    rc = gn_multipool_create(&m, 2, GN_POOL_ROUND_ROBIN, &o);
    ck_assert(rc == GN_OK || (rc == GN_ENOMEM && m == NULL));
    failed += rc != GN_OK;
    ck_assert_int_eq(gn_multipool_destroy(m), GN_OK);
    o.capacity = 3;
    o.prealloc = 0;
    rc = gn_pool_create(&p, &o);
    ck_assert(rc == GN_OK || (rc == GN_ENOMEM && p == NULL));
    if (rc != GN_OK)
        return failed + 1;
    gnp_store32(&dones, 0);
    for (unsigned i = 0; i < 200; i++) {
        rc = i % 4 == 0 ? gn_pool_submit_op(p, task, &r[i], &r[i].op)
             : i % 4 == 1 ? gn_offload(p, 1, work, done, NULL)
                          : gn_pool_submit(p, task, &r[i]);
        ck_assert_msg(rc == GN_OK || rc == GN_ENOMEM, "%d", rc);
        failed += rc != GN_OK;
        r[i].accepted = rc == GN_OK && i % 4 != 1;
        asked += r[i].accepted;
        offloads += rc == GN_OK && i % 4 == 1;
    }
    ck_assert_int_eq(gn_pool_release_wait(p, nt_patience()), GN_OK);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_uint_eq(gnp_load32(&r[i].ran) + gnp_load32(&r[i].canceled), (unsigned)r[i].accepted);
    ck_assert_uint_eq(gnp_load32(&dones), offloads);
    ck_assert_uint_ge(asked, 100);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(gnp_load64(&heap->live), 0);
    return failed;
}

/* One allocation fails, or all from it on for a while; whatever comes of it, nothing is lost or leaks. */
START_TEST(each_allocation_may_fail)
{
    static nt_alloc heap;
    gn_allocator hooks = nt_alloc_hooks(&heap);
    uint64_t calls;
    unsigned failed = 0;

    gn_log_set_level(GN_LOG_OFF);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    ck_assert_uint_eq(scenario(&heap), 0);
    calls = gnp_load64(&heap.calls);
    for (uint64_t n = 1; n <= calls; n++) {
        gnp_store64(&heap.calls, 0);
        gnp_store64(&heap.fail_n, _i);
        gnp_store64(&heap.fail_at, n);
        failed += scenario(&heap);
        gnp_store64(&heap.fail_at, 0);
    }
    ck_assert_uint_gt(failed, 20);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

/* A sink may use the very pool that logs. */
static gnp_atomic32 told;

static void sink(gn_log_level level, const char *line, void *user)
{
    gn_pool_stats s;
    (void)line;
    s.size = sizeof s;
    NT_EXPECT_INT(level, GN_LOG_WARN);
    NT_EXPECT_INT(gn_pool_get_stats(*(gn_pool **)user, &s), GN_OK);
    gnp_add32(&told, 1);
}

/* No thread to be had: with none the caller hears of it, with one its task waits for that. */
START_TEST(threads_that_do_not_start)
{
    static nt_alloc heap;
    gn_allocator hooks = nt_alloc_hooks(&heap);
    record r[40];
    gn_pool_options o;
    gn_pool *p;
    unsigned ok = 0;

    memset(r, 0, sizeof r);
    gn_log_set_sink(sink, &p);
    gnp_store32(&told, 0);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    gn_pool_options_init(&o);
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    gnp_store64(&heap.fail_n, UINT32_MAX);
    gnp_store64(&heap.fail_at, gnp_load64(&heap.calls) + 2); /* the ring is had, no worker */
    ck_assert_int_eq(gn_pool_submit(p, task, &r[0]), GN_ENOMEM);
    ck_assert_int_eq(gn_pool_try_submit(p, task, &r[0]), GN_ENOMEM);
    gnp_store64(&heap.fail_at, gnp_load64(&heap.calls) + 2); /* the worker is had, no thread */
    ck_assert_int_eq(gn_pool_submit(p, task, &r[0]), GN_ENOMEM);
    ck_assert_uint_eq(gnp_load32(&told), 1);
    gnp_store64(&heap.fail_at, 0);
    ck_assert_int_eq(gn_pool_submit(p, task, &r[0]), GN_OK);
    gnp_store64(&heap.fail_at, gnp_load64(&heap.calls) + 1);
    for (unsigned i = 1; i < 40; i++)
        ok += gn_pool_submit(p, task, &r[i]) == GN_OK;
    ck_assert_uint_eq(ok, 39);
    for (unsigned i = 0; i < 40; i++)
        NT_UNTIL(gnp_load32(&r[i].ran) == 1);
    gnp_store64(&heap.fail_at, 0);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(gnp_load64(&heap.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool_race");
    TCase *t = nt_case(s, "threads", 60);
    tcase_add_loop_test(t, producers_and_resizes, 0, 6);
    tcase_add_loop_test(t, multipool_producers, 0, 2);
    tcase_add_loop_test(t, releases_and_reboots, 0, 2);
    tcase_add_loop_test(t, destroyed_by_its_last_task, 0, 2);
    t = nt_case(s, "memory", 60);
    tcase_add_loop_test(t, each_allocation_may_fail, 1, 4);
    tcase_add_test(t, threads_that_do_not_start);
    return nt_main(s);
}
