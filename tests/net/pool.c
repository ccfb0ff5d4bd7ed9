/* SPDX-License-Identifier: MIT */
/* The worker pool: each clause of its part of gannet.h. */
#include "harness.h"

/* ------------------------------------------------------------------- tools */

typedef struct gate {
    gnp_mutex m;
    gnp_cond c;
    unsigned entered, passed;
    int open;
} gate;

static void gate_init(gate *g)
{
    memset(g, 0, sizeof *g);
    ck_assert_int_eq(gnp_mutex_init(&g->m), GNP_OK);
    ck_assert_int_eq(gnp_cond_init(&g->c), GNP_OK);
}

static void gate_fini(gate *g)
{
    gnp_cond_destroy(&g->c);
    gnp_mutex_destroy(&g->m);
}

static void gate_open(gate *g)
{
    gnp_mutex_lock(&g->m);
    g->open = 1;
    gnp_cond_broadcast(&g->c);
    gnp_mutex_unlock(&g->m);
}

static void gate_wait(gate *g)
{
    gnp_mutex_lock(&g->m);
    g->entered++;
    gnp_cond_broadcast(&g->c);
    while (!g->open)
        gnp_cond_wait(&g->c, &g->m);
    g->passed++;
    gnp_mutex_unlock(&g->m);
}

/* A task, and the work of an offload, that waits until the gate is open. */
static void hold(int status, void *arg)
{
    NT_EXPECT_INT(status, GN_OK);
    gate_wait(arg);
}

static void gate_work(void *arg)
{
    gate_wait(arg);
}

static void gate_await(gate *g, unsigned n)
{
    uint64_t deadline = nt_deadline();
    gnp_mutex_lock(&g->m);
    while (g->entered < n)
        ck_assert_msg(gnp_cond_wait_until(&g->c, &g->m, deadline) == GNP_OK, "only %u of %u tasks began",
                      g->entered, n);
    gnp_mutex_unlock(&g->m);
}

/* A task that notes how it was called; arg is its number. */
static void note(int status, void *arg)
{
    nt_note(NT_A, (uint64_t)(uintptr_t)arg, status);
}

static void *number(unsigned i)
{
    return (void *)(uintptr_t)i;
}

static gn_pool_options options_of(unsigned capacity, size_t queue_max)
{
    gn_pool_options o;
    gn_pool_options_init(&o);
    o.capacity = capacity;
    o.queue_max = queue_max;
    return o;
}

static gn_pool *pool_of(unsigned capacity, size_t queue_max)
{
    gn_pool_options o = options_of(capacity, queue_max);
    gn_pool *p;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    return p;
}

static gn_pool_stats stats_of(gn_pool *p)
{
    gn_pool_stats s;
    s.size = sizeof s;
    ck_assert_int_eq(gn_pool_get_stats(p, &s), GN_OK);
    return s;
}

/* ------------------------------------------------------------------ submit */

START_TEST(runs_each_task_once)
{
    enum { N = 1000 };
    unsigned char seen[N] = { 0 };
    gn_pool *p = pool_of(4, N);

    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(gn_pool_submit(p, note, number(i)), GN_OK);
    nt_await(NT_A, N);
    ck_assert_int_eq(gn_pool_release_wait(p, nt_patience()), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), N);
    for (unsigned i = 0; i < N; i++) {
        nt_entry e = nt_nth(NT_A, i);
        ck_assert_int_eq(e.status, GN_OK);
        ck_assert_uint_ne(e.thread, gnp_thread_id());
        ck_assert_uint_eq(seen[e.id]++, 0);
    }
    ck_assert_uint_eq(stats_of(p).submitted, N);
    ck_assert_uint_eq(stats_of(p).completed, N);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}
END_TEST

/* One worker at a time, what came first first; also over the batches that it takes. */
START_TEST(one_worker_keeps_the_order)
{
    enum { N = 500 };
    gn_pool *p = pool_of(1, N);
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 1);
    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(gn_pool_try_submit(p, note, number(i)), GN_OK);
    gate_open(&g);
    nt_await(NT_A, N);
    for (unsigned i = 0; i < N; i++)
        ck_assert_uint_eq(nt_nth(NT_A, i).id, i);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST


/* A task only counts as running until its worker has come back to the lock. */
static void await_idle(gn_pool *p)
{
    NT_UNTIL(stats_of(p).running == 0);
}

/* A thread of the test's that may block. */
typedef struct helper {
    gnp_thread thread;
    gn_pool *pool;
    gn_multipool *multi;
    gn_task_fn fn;
    void *arg;
    uint64_t timeout_ns;
    gnp_atomic32 done;
    int rc;
} helper;

static void helper_main(void *arg)
{
    helper *h = arg;
    if (h->multi != NULL)
        h->rc = gn_multipool_submit(h->multi, h->fn, h->arg);
    else if (h->timeout_ns == GNP_NEVER)
        h->rc = gn_pool_submit(h->pool, h->fn, h->arg);
    else
        h->rc = gn_pool_submit_wait(h->pool, h->fn, h->arg, h->timeout_ns);
    gnp_store32(&h->done, 1);
}

static void helper_submits(helper *h, gn_pool *p, gn_task_fn fn, void *arg)
{
    memset(h, 0, sizeof *h);
    h->pool = p;
    h->fn = fn;
    h->arg = arg;
    h->timeout_ns = GNP_NEVER;
    ck_assert_int_eq(gnp_thread_start(&h->thread, helper_main, h, "submits"), GNP_OK);
}

static int helper_result(helper *h)
{
    NT_UNTIL(gnp_load32(&h->done));
    gnp_thread_join(&h->thread);
    return h->rc;
}

START_TEST(full_is_full)
{
    gn_pool *p = pool_of(1, 2);
    gn_op op = 1;
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 1);
    ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_OK);
    ck_assert_uint_eq(stats_of(p).waiting, 2);
    ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_ELIMIT);
    ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_ELIMIT);
    ck_assert_uint_eq(op, GN_OP_NONE);
    ck_assert_int_eq(gn_offload(p, GN_HANDLE_NONE, gate_work, NULL, &g), GN_ELIMIT);
    ck_assert_int_eq(gn_pool_submit_wait(p, note, NULL, 0), GN_ETIMEDOUT);
    uint64_t before = gnp_now();
    ck_assert_int_eq(gn_pool_submit_wait(p, note, NULL, 20 * NT_MS), GN_ETIMEDOUT);
    ck_assert(gnp_now() - before >= 20 * NT_MS);
    ck_assert_uint_eq(stats_of(p).refused, 5);
    ck_assert_uint_eq(stats_of(p).waiting, 2);
    ck_assert_uint_eq(stats_of(p).running, 1);
    ck_assert_uint_eq(stats_of(p).free, 0);
    ck_assert_uint_eq(stats_of(p).blocked, 0);
    gate_open(&g);
    nt_await(NT_A, 2);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 2);
    gate_fini(&g);
}
END_TEST

/* Without a queue a task needs a worker that has nothing to do, or a new one. */
START_TEST(no_queue_means_none)
{
    gn_pool *p = pool_of(2, 0);
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_try_submit(p, hold, &g), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, hold, &g), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, hold, &g), GN_ELIMIT);
    gate_await(&g, 2);
    gate_open(&g);
    await_idle(p);
    ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_uint_eq(stats_of(p).workers, 2);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(submit_blocks_until_there_is_room)
{
    gn_pool *p = pool_of(1, 1);
    helper h[3];
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, note, number(0)), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        helper_submits(&h[i], p, note, number(i + 1));
    NT_UNTIL(stats_of(p).blocked == 3);
    gnp_sleep_until(gnp_now() + 5 * NT_MS);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(gnp_load32(&h[i].done), 0);
    gate_open(&g);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(helper_result(&h[i]), GN_OK);
    nt_await(NT_A, 4);
    ck_assert_uint_eq(stats_of(p).blocked, 0);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(blocking_has_its_limits)
{
    gn_pool_options o = options_of(1, 0);
    gn_pool *p;
    helper h[2];
    gate g;

    gate_init(&g);
    o.blocking_max = 2;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    helper_submits(&h[0], p, note, NULL);
    helper_submits(&h[1], p, note, NULL);
    NT_UNTIL(stats_of(p).blocked == 2);
    ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_ELIMIT);
    ck_assert_int_eq(gn_pool_submit_wait(p, note, NULL, NT_SECOND), GN_ELIMIT);
    gate_open(&g);
    ck_assert_int_eq(helper_result(&h[0]), GN_OK);
    ck_assert_int_eq(helper_result(&h[1]), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 2);
    gate_fini(&g);

    gate_init(&g);
    o.blocking_max = 0;
    o.nonblocking = 1;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_ELIMIT);
    gate_await(&g, 1);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

/* What a worker took at once and has not begun still waits: it is counted, it fills the queue, and an idle
 * worker does it while the first one is held up. */
START_TEST(nothing_waits_behind_a_task_that_blocks)
{
    enum { N = 200 };
    gn_pool *p = pool_of(2, 1 + N);
    gate first, second, held;

    gate_init(&first);
    gate_init(&second);
    gate_init(&held);
    ck_assert_int_eq(gn_pool_submit(p, hold, &first), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, hold, &second), GN_OK);
    gate_await(&first, 1);
    gate_await(&second, 1);
    ck_assert_int_eq(gn_pool_try_submit(p, hold, &held), GN_OK);
    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(gn_pool_try_submit(p, note, number(i)), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_ELIMIT);
    gate_open(&first); /* its worker takes held, and others with it */
    gate_await(&held, 1);
    ck_assert_uint_eq(stats_of(p).waiting, N);
    ck_assert_int_eq(gn_pool_try_submit(p, note, number(N)), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_ELIMIT);
    ck_assert_uint_eq(stats_of(p).waiting, N + 1);
    gate_open(&second); /* the other worker does all of them */
    nt_await(NT_A, N + 1);
    ck_assert_uint_eq(stats_of(p).waiting, 0);
    /* and it does not leave the oldest, which the other had taken, for last */
    unsigned at = 0;
    while (nt_nth(NT_A, at).id != 0)
        at++;
    ck_assert_uint_lt(at, N / 2);
    gate_open(&held);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), N + 1);
    gate_fini(&first);
    gate_fini(&second);
    gate_fini(&held);
}
END_TEST

/* Who blocks gets in as soon as one task of a batch has begun, not when all have ended. */
START_TEST(room_in_the_middle_of_a_batch)
{
    enum { N = 40 };
    gn_pool *p = pool_of(1, N);
    gate first, a, b;
    helper h;

    gate_init(&first);
    gate_init(&a);
    gate_init(&b);
    ck_assert_int_eq(gn_pool_submit(p, hold, &first), GN_OK);
    gate_await(&first, 1);
    ck_assert_int_eq(gn_pool_submit(p, hold, &a), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, hold, &b), GN_OK);
    for (unsigned i = 2; i < N; i++)
        ck_assert_int_eq(gn_pool_submit(p, note, number(i)), GN_OK);
    gate_open(&first);
    gate_await(&a, 1);
    ck_assert_int_eq(gn_pool_try_submit(p, note, number(N)), GN_OK);
    helper_submits(&h, p, note, number(N + 1));
    NT_UNTIL(stats_of(p).blocked == 1);
    gate_open(&a);
    gate_await(&b, 1);
    ck_assert_int_eq(helper_result(&h), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    gate_open(&b);
    nt_await(NT_A, N);
    for (unsigned i = 0; i < N; i++) /* and the order is what it was */
        ck_assert_uint_eq(nt_nth(NT_A, i).id, i + 2);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&first);
    gate_fini(&a);
    gate_fini(&b);
}
END_TEST

START_TEST(fixed_function)
{
    gn_pool_options o = options_of(1, 10);
    gn_pool *p, *none = pool_of(1, 10);

    o.fn = note;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    ck_assert_int_eq(gn_pool_invoke(p, number(7)), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_uint_eq(nt_nth(NT_A, 0).id, 7);
    ck_assert_int_eq(gn_pool_invoke(none, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(none), GN_OK);
}
END_TEST

START_TEST(arguments)
{
    struct { gn_pool_options o; uint64_t more; } newer;
    gn_pool_options o;
    gn_pool *p = (gn_pool *)1;
    gn_op op;

    ck_assert_int_eq(gn_pool_create(NULL, NULL), GN_EINVAL);
    gn_pool_options_init(&o);
    ck_assert_uint_eq(o.size, sizeof o);
    ck_assert_uint_eq(o.capacity, 0);
    ck_assert_uint_eq(o.queue_max, 4096);
    ck_assert_uint_eq(o.expiry_ns, NT_SECOND);
    o.prealloc = 1;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_EINVAL);
    ck_assert_ptr_null(p);
    gn_pool_options_init(&o);
    o.nonblocking = 2;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_EINVAL);
    memset(&o, 0, sizeof o);
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_EINVAL);
    memset(&newer, 0xff, sizeof newer);
    gn_pool_options_init_sized(&newer.o, sizeof newer);
    ck_assert_uint_eq(newer.more, 0);
    newer.more = 1;
    ck_assert_int_eq(gn_pool_create(&p, &newer.o), GN_EINVAL);
    newer.more = 0;
    ck_assert_int_eq(gn_pool_create(&p, &newer.o), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_submit(NULL, note, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_pool_submit_op(p, NULL, NULL, &op), GN_EINVAL);
    ck_assert_int_eq(gn_pool_cancel(p, GN_OP_NONE), GN_ECLOSED);
    ck_assert_int_eq(gn_offload(p, GN_HANDLE_NONE, NULL, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_EBUSY);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(NULL), GN_OK);
}
END_TEST

START_TEST(stats_write_no_more_than_they_may)
{
    gn_pool *p = pool_of(3, 1);
    gn_pool_stats s;

    memset(&s, 0x5a, sizeof s);
    s.size = offsetof(gn_pool_stats, workers);
    ck_assert_int_eq(gn_pool_get_stats(p, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 3);
    ck_assert_uint_eq(s.size, offsetof(gn_pool_stats, workers));
    ck_assert_uint_eq(s.workers, 0x5a5a5a5a);
    s.size = 1;
    ck_assert_int_eq(gn_pool_get_stats(p, &s), GN_EINVAL);
    ck_assert_uint_eq(stats_of(p).free, 3);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_int_eq(gn_pool_create(&p, NULL), GN_OK);
    ck_assert_uint_eq(stats_of(p).free, UINT64_MAX);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}
END_TEST

/* ----------------------------------------------------------------- workers */

START_TEST(workers_start_on_demand_and_are_used_again)
{
    gn_pool *p = pool_of(0, 0);
    gate g;

    gate_init(&g);
    ck_assert_uint_eq(stats_of(p).workers, 0);
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_OK);
        nt_await(NT_A, i + 1);
        await_idle(p);
        ck_assert_uint_eq(stats_of(p).workers, 1);
    }
    for (unsigned i = 0; i < 20; i++) /* no limit */
        ck_assert_int_eq(gn_pool_try_submit(p, hold, &g), GN_OK);
    gate_await(&g, 20);
    ck_assert_uint_eq(stats_of(p).workers, 20);
    ck_assert_uint_eq(stats_of(p).running, 20);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

/* The last to sleep is woken first: one task at a time keeps one worker, and the others end. */
START_TEST(idle_workers_end)
{
    gn_pool_options o = options_of(4, 10);
    gn_pool *p;
    unsigned n = 0;
    gate g;

    gate_init(&g);
    o.expiry_ns = 50 * NT_MS;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 4);
    ck_assert_uint_eq(stats_of(p).workers, 4);
    gate_open(&g);
    uint64_t until = nt_deadline();
    while (stats_of(p).workers != 1) {
        ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_OK);
        nt_await(NT_A, ++n);
        await_idle(p);
        ck_assert(gnp_now() < until);
    }
    NT_UNTIL(stats_of(p).workers == 0);
    ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_OK);
    nt_await(NT_A, n + 1);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(preallocated)
{
    static nt_alloc heap;
    gn_allocator hooks = nt_alloc_hooks(&heap);
    gn_pool_options o = options_of(3, 100);
    gn_pool *p;
    gn_op op;
    gate g;

    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.prealloc = 1;
    o.expiry_ns = UINT64_MAX;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    ck_assert_uint_eq(stats_of(p).workers, 3);
    ck_assert_int_eq(gn_pool_resize(p, 4), GN_ENOTSUP);
    ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_OK); /* the slots of ops come once */
    nt_await(NT_A, 1);
    await_idle(p);
    uint64_t calls = gnp_load64(&heap.calls);
    for (unsigned round = 0; round < 20; round++) {
        unsigned before = nt_count(NT_A);
        gate_init(&g);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(gn_pool_try_submit(p, hold, &g), GN_OK);
        gate_await(&g, 3);
        for (unsigned i = 0; i < 90; i++)
            ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_OK);
        for (unsigned i = 0; i < 200; i++) {
            ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_OK);
            ck_assert_int_eq(gn_pool_cancel(p, op), GN_OK);
        }
        for (unsigned i = 0; i < 10; i++)
            ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_OK);
        ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_ELIMIT);
        gate_open(&g);
        nt_await(NT_A, before + 300);
        await_idle(p);
        gate_fini(&g);
    }
    ck_assert_uint_le(gnp_load64(&heap.calls), calls + 8); /* slots of ops whose gaps wait: as many as gaps */
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(gnp_load64(&heap.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

START_TEST(steady_state_allocates_nothing)
{
    static nt_alloc heap;
    gn_allocator hooks = nt_alloc_hooks(&heap);
    gn_pool_options o = options_of(2, 1000);
    uint64_t calls = 0;
    gn_pool *p;

    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.expiry_ns = UINT64_MAX;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    for (unsigned round = 0; round < 10; round++) {
        gate g;
        gate_init(&g);
        ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
        ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
        gate_await(&g, 2);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert_int_eq(gn_pool_try_submit(p, note, NULL), GN_OK);
        gate_open(&g);
        nt_await(NT_A, (round + 1) * 1000);
        await_idle(p);
        gate_fini(&g);
        if (round == 0)
            calls = gnp_load64(&heap.calls);
    }
    ck_assert_uint_eq(gnp_load64(&heap.calls), calls);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(gnp_load64(&heap.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

START_TEST(resize_up_lets_callers_in)
{
    gn_pool *p = pool_of(1, 2);
    helper h[2];
    gate g;

    gate_init(&g);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    helper_submits(&h[0], p, hold, &g);
    helper_submits(&h[1], p, hold, &g);
    NT_UNTIL(stats_of(p).blocked == 2);
    ck_assert_uint_eq(stats_of(p).workers, 1);
    ck_assert_int_eq(gn_pool_resize(p, 0), GN_EINVAL);
    ck_assert_int_eq(gn_pool_resize(p, 3), GN_OK);
    gate_await(&g, 3); /* what waited, without another submit */
    ck_assert_int_eq(helper_result(&h[0]), GN_OK);
    ck_assert_int_eq(helper_result(&h[1]), GN_OK);
    ck_assert_uint_eq(stats_of(p).workers, 3);
    ck_assert_uint_eq(stats_of(p).waiting, 2);
    ck_assert_int_eq(gn_pool_resize(p, 5), GN_OK);
    gate_await(&g, 5);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(resize_down_takes_effect)
{
    gn_pool_options o = options_of(0, 100);
    gn_pool *p;
    gate g, h;

    gate_init(&g);
    gate_init(&h);
    o.expiry_ns = UINT64_MAX;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(gn_pool_submit(p, hold, i < 2 ? &h : &g), GN_OK);
    gate_await(&g, 4);
    gate_await(&h, 2);
    gate_open(&g);
    NT_UNTIL(stats_of(p).running == 2);
    ck_assert_uint_eq(stats_of(p).workers, 6);
    ck_assert_int_eq(gn_pool_resize(p, 4), GN_OK); /* idle ones end at once */
    NT_UNTIL(stats_of(p).workers == 4);
    ck_assert_int_eq(gn_pool_resize(p, 1), GN_OK); /* busy ones after their task */
    NT_UNTIL(stats_of(p).workers == 2);
    ck_assert_uint_eq(stats_of(p).free, 0);
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(gn_pool_submit(p, note, number(i)), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    gate_open(&h);
    nt_await(NT_A, 50);
    NT_UNTIL(stats_of(p).workers == 1);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
    gate_fini(&h);
}
END_TEST

/* A worker that is one too many ends with its task, not with the batch that it took. */
START_TEST(resize_down_in_a_batch)
{
    gn_pool *p = pool_of(2, 100);
    gate a, b, k;

    gate_init(&a);
    gate_init(&b);
    gate_init(&k);
    ck_assert_int_eq(gn_pool_submit(p, hold, &a), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, hold, &b), GN_OK);
    gate_await(&a, 1);
    gate_await(&b, 1);
    ck_assert_int_eq(gn_pool_submit(p, hold, &k), GN_OK);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_int_eq(gn_pool_submit(p, note, number(i)), GN_OK);
    gate_open(&a);
    gate_await(&k, 1);
    ck_assert_int_eq(gn_pool_resize(p, 1), GN_OK);
    gate_open(&k);
    NT_UNTIL(stats_of(p).workers == 1);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    gate_open(&b);
    nt_await(NT_A, 9);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&a);
    gate_fini(&b);
    gate_fini(&k);
}
END_TEST

/* ----------------------------------------------------------------- release */

START_TEST(release_cancels_refuses_and_lets_finish)
{
    gn_pool *p = pool_of(1, 40);
    gn_op op;
    helper h;
    gate g, held;

    gate_init(&g);
    gate_init(&held);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 1);
    ck_assert_int_eq(gn_pool_submit(p, hold, &held), GN_OK);
    for (unsigned i = 1; i < 39; i++)
        ck_assert_int_eq(gn_pool_submit(p, note, number(i)), GN_OK);
    ck_assert_int_eq(gn_pool_submit_op(p, note, number(39), &op), GN_OK);
    gate_open(&g); /* the worker has a batch in hand now */
    gate_await(&held, 1);
    ck_assert_int_eq(gn_pool_submit(p, note, number(40)), GN_OK);
    helper_submits(&h, p, note, number(41));
    NT_UNTIL(stats_of(p).blocked == 1);
    ck_assert_int_eq(gn_pool_reboot(p), GN_EBUSY);
    ck_assert_int_eq(gn_pool_release(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 40);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_int_eq(nt_nth(NT_A, i).status, GN_ECANCELED);
        ck_assert_uint_eq(nt_nth(NT_A, i).thread, gnp_thread_id());
        ck_assert_uint_eq(nt_nth(NT_A, i).id, i + 1);
    }
    ck_assert_int_eq(helper_result(&h), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_cancel(p, op), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_release(p), GN_OK);
    ck_assert_int_eq(stats_of(p).closed, 1);
    ck_assert_uint_eq(stats_of(p).running, 1);
    ck_assert_uint_eq(stats_of(p).canceled, 40);
    ck_assert_int_eq(gn_pool_release_wait(p, 0), GN_ETIMEDOUT);
    ck_assert_int_eq(gn_pool_release_wait(p, 10 * NT_MS), GN_ETIMEDOUT);
    gate_open(&held);
    ck_assert_int_eq(gn_pool_release_wait(p, nt_patience()), GN_OK);
    ck_assert_int_eq(gn_pool_release_wait(p, 0), GN_OK);
    ck_assert_uint_eq(held.passed, 1);
    ck_assert_uint_eq(stats_of(p).workers, 0);
    ck_assert_uint_eq(stats_of(p).completed, 2);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 40);
    gate_fini(&g);
    gate_fini(&held);
}
END_TEST

static void reboot_case(int prealloc)
{
    gn_pool_options o = options_of(2, 10);
    gn_pool *p;

    o.prealloc = prealloc;
    ck_assert_int_eq(gn_pool_create(&p, &o), GN_OK);
    for (unsigned life = 0; life < 10; life++) {
        gate g;
        gate_init(&g);
        ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
        gate_await(&g, 1);
        if (life % 2 == 0)
            gate_open(&g);
        ck_assert_int_eq(life % 2 == 0 ? gn_pool_release_wait(p, nt_patience()) : gn_pool_release(p), GN_OK);
        ck_assert_int_eq(gn_pool_reboot(p), GN_OK);
        ck_assert_int_eq(gn_pool_reboot(p), GN_EBUSY);
        ck_assert_int_eq(stats_of(p).closed, 0);
        ck_assert_int_eq(gn_pool_submit(p, note, NULL), GN_OK);
        nt_await(NT_A, life + 1); /* also beside one that runs since its former life */
        gate_open(&g);
        await_idle(p);
        gate_fini(&g);
    }
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}

START_TEST(reboot)
{
    reboot_case(_i);
}
END_TEST

/* ---------------------------------------------------------------- deadlock */

typedef struct nest {
    gn_pool *p, *other;
    gn_multipool *m;
    gate *g;
} nest;

static void nested(int status, void *arg)
{
    nest *n = arg;
    gate_wait(n->g);
    NT_EXPECT_INT(status, GN_OK);
    nt_note(NT_B, 0, gn_pool_submit(n->p, note, NULL));
    nt_note(NT_B, 1, gn_pool_submit(n->p, note, NULL)); /* no room: it would wait for itself */
    nt_note(NT_B, 2, gn_pool_submit_wait(n->p, note, NULL, NT_SECOND));
    nt_note(NT_B, 3, gn_pool_try_submit(n->p, note, NULL));
    nt_note(NT_B, 4, gn_pool_release_wait(n->p, 0));
    nt_note(NT_B, 5, gn_pool_destroy(n->p));
    nt_note(NT_B, 6, gn_pool_submit(n->other, note, NULL)); /* another pool is another matter */
}

START_TEST(waiting_for_oneself_is_an_error)
{
    static const int want[] = { GN_OK,        GN_EDEADLOCK, GN_EDEADLOCK, GN_ELIMIT,
                                GN_EDEADLOCK, GN_EDEADLOCK, GN_OK };
    gate g;
    nest n;

    gate_init(&g);
    n.p = pool_of(1, 1);
    n.other = pool_of(1, 1);
    n.g = &g;
    ck_assert_int_eq(gn_pool_submit(n.p, nested, &n), GN_OK);
    gate_open(&g);
    nt_await(NT_B, 7);
    for (unsigned i = 0; i < 7; i++) {
        ck_assert_uint_eq(nt_nth(NT_B, i).id, i);
        ck_assert_int_eq(nt_nth(NT_B, i).status, want[i]);
    }
    nt_await(NT_A, 2);
    ck_assert_int_eq(stats_of(n.p).closed, 0);
    ck_assert_int_eq(gn_pool_destroy(n.p), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(n.other), GN_OK);
    gate_fini(&g);
}
END_TEST

static void canceled_waits(int status, void *arg)
{
    nest *n = arg;
    nt_note(NT_B, 0, status);
    nt_note(NT_B, 1, gn_pool_release_wait(n->p, UINT64_MAX));
}

START_TEST(a_cancelled_task_cannot_wait_for_the_release)
{
    gate g;
    nest n;

    gate_init(&g);
    n.p = pool_of(1, 1);
    ck_assert_int_eq(gn_pool_submit(n.p, hold, &g), GN_OK);
    gate_await(&g, 1);
    ck_assert_int_eq(gn_pool_submit(n.p, canceled_waits, &n), GN_OK);
    ck_assert_int_eq(gn_pool_release(n.p), GN_OK);
    ck_assert_int_eq(nt_nth(NT_B, 0).status, GN_ECANCELED);
    ck_assert_int_eq(nt_nth(NT_B, 1).status, GN_EDEADLOCK);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(n.p), GN_OK);
    gate_fini(&g);
}
END_TEST

static void nested_multi(int status, void *arg)
{
    nest *n = arg;
    (void)status;
    gate_wait(n->g);
    nt_note(NT_B, 0, gn_multipool_submit(n->m, note, NULL));
    nt_note(NT_B, 1, gn_pool_submit(gn_multipool_at(n->m, 0), note, NULL));
    nt_note(NT_B, 2, gn_pool_submit(gn_multipool_at(n->m, 1), note, NULL));
    nt_note(NT_B, 3, gn_multipool_release_wait(n->m, 0));
    nt_note(NT_B, 4, gn_multipool_destroy(n->m));
}

START_TEST(also_through_a_multipool)
{
    gn_pool_options o = options_of(1, 0);
    gate g;
    nest n;

    gate_init(&g);
    n.g = &g;
    ck_assert_int_eq(gn_multipool_create(&n.m, 2, GN_POOL_ROUND_ROBIN, &o), GN_OK);
    ck_assert_int_eq(gn_multipool_submit(n.m, nested_multi, &n), GN_OK);
    gate h;
    gate_init(&h);
    ck_assert_int_eq(gn_multipool_submit(n.m, hold, &h), GN_OK);
    gate_await(&h, 1);
    gate_open(&g);
    nt_await(NT_B, 5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(nt_nth(NT_B, i).status, GN_EDEADLOCK);
    gate_open(&h);
    ck_assert_int_eq(gn_multipool_destroy(n.m), GN_OK);
    gate_fini(&g);
    gate_fini(&h);
}
END_TEST

/* ------------------------------------------------------------------ cancel */

START_TEST(cancel)
{
    gn_pool *p = pool_of(1, 3), *other = pool_of(1, 3);
    gn_op running, waiting, later, foreign;
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit_op(p, hold, &g, &running), GN_OK);
    gate_await(&g, 1);
    ck_assert_int_eq(gn_pool_cancel(p, running), GN_EBUSY);
    ck_assert_int_eq(gn_pool_submit_op(p, note, number(1), &waiting), GN_OK);
    ck_assert_int_eq(gn_pool_submit_op(p, note, number(2), &later), GN_OK);
    ck_assert_int_eq(gn_pool_submit(p, note, number(3)), GN_OK);
    ck_assert_int_eq(gn_pool_try_submit(p, note, number(4)), GN_ELIMIT);
    ck_assert_int_eq(gn_pool_cancel(other, waiting), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_submit_op(other, note, number(5), &foreign), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_int_eq(gn_pool_cancel(other, waiting), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_cancel(p, waiting), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 2);
    ck_assert_uint_eq(nt_nth(NT_A, 1).id, 1);
    ck_assert_int_eq(nt_nth(NT_A, 1).status, GN_ECANCELED);
    ck_assert_uint_eq(nt_nth(NT_A, 1).thread, gnp_thread_id());
    ck_assert_int_eq(gn_pool_cancel(p, waiting), GN_ECLOSED);
    ck_assert_uint_eq(stats_of(p).waiting, 2);
    ck_assert_uint_eq(stats_of(p).canceled, 1);
    ck_assert_int_eq(gn_pool_try_submit(p, note, number(6)), GN_OK); /* its place is free */
    gate_open(&g);
    nt_await(NT_A, 5);
    await_idle(p);
    ck_assert_int_eq(gn_pool_cancel(p, running), GN_ECLOSED);
    ck_assert_int_eq(gn_pool_cancel(p, later), GN_ECLOSED);
    ck_assert_uint_eq(nt_nth(NT_A, 2).id, 2);
    ck_assert_uint_eq(nt_nth(NT_A, 3).id, 3);
    ck_assert_uint_eq(nt_nth(NT_A, 4).id, 6);
    /* Slots are used again, names are not. */
    for (unsigned i = 0; i < 100; i++) {
        gn_op op;
        ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_OK);
        ck_assert(op != running && op != waiting && op != later && op != foreign && op != GN_OP_NONE);
        ck_assert_int_eq(gn_pool_cancel(p, waiting), GN_ECLOSED);
        nt_await(NT_A, 6 + i);
    }
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_int_eq(gn_pool_destroy(other), GN_OK);
    gate_fini(&g);
}
END_TEST

/* Cancelling frees a caller that blocks, and what is cancelled leaves no pile behind. */
START_TEST(cancelled_tasks_leave_no_pile)
{
    static nt_alloc heap;
    gn_allocator hooks = nt_alloc_hooks(&heap);
    gn_pool *p;
    gn_op op;
    helper h;
    gate g;

    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    p = pool_of(1, 1);
    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 1);
    for (unsigned i = 0; i < 20000; i++) {
        ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_OK);
        ck_assert_int_eq(gn_pool_cancel(p, op), GN_OK);
    }
    ck_assert_uint_lt(gnp_load64(&heap.bytes), 16384);
    ck_assert_int_eq(gn_pool_submit_op(p, note, NULL, &op), GN_OK);
    helper_submits(&h, p, note, NULL);
    NT_UNTIL(stats_of(p).blocked == 1);
    ck_assert_int_eq(gn_pool_cancel(p, op), GN_OK);
    ck_assert_int_eq(helper_result(&h), GN_OK);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 20002);
    ck_assert_uint_eq(gnp_load64(&heap.live), 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    gate_fini(&g);
}
END_TEST

/* --------------------------------------------------------------- multipool */

static unsigned held_by(gn_multipool *m, unsigned i)
{
    gn_pool_stats s = stats_of(gn_multipool_at(m, i));
    return (unsigned)(s.running + s.waiting);
}

START_TEST(multipool_goes_round_and_evades)
{
    gn_pool_options o = options_of(1, 1);
    gn_multipool *m;
    gn_pool_stats s;
    helper h;
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_multipool_create(&m, 0, GN_POOL_ROUND_ROBIN, &o), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_create(&m, 3, (gn_pool_lb)7, &o), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_create(NULL, 3, GN_POOL_ROUND_ROBIN, &o), GN_EINVAL);
    ck_assert_int_eq(gn_multipool_create(&m, 3, GN_POOL_ROUND_ROBIN, &o), GN_OK);
    ck_assert_uint_eq(gn_multipool_count(m), 3);
    ck_assert_ptr_null(gn_multipool_at(m, 3));
    ck_assert_int_eq(gn_multipool_invoke(m, NULL), GN_EINVAL);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(gn_multipool_submit(m, hold, &g), GN_OK);
        ck_assert_uint_eq(held_by(m, i), 1);
    }
    gate_await(&g, 3);
    ck_assert_int_eq(gn_pool_submit(gn_multipool_at(m, 0), hold, &g), GN_OK); /* the next in turn is full */
    ck_assert_int_eq(gn_multipool_submit(m, hold, &g), GN_OK);
    ck_assert_int_eq(gn_multipool_try_submit(m, hold, &g), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(held_by(m, i), 2);
    ck_assert_int_eq(gn_multipool_try_submit(m, hold, &g), GN_ELIMIT);
    s.size = sizeof s;
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.capacity, 3);
    ck_assert_uint_eq(s.free, 0);
    ck_assert_uint_eq(s.running, 3);
    ck_assert_uint_eq(s.waiting, 3);
    ck_assert_uint_eq(s.submitted, 6);
    ck_assert_uint_eq(s.refused, 1);
    ck_assert_int_eq(s.closed, 0);
    memset(&h, 0, sizeof h);
    h.multi = m;
    h.fn = note;
    ck_assert_int_eq(gnp_thread_start(&h.thread, helper_main, &h, "submits"), GNP_OK);
    NT_UNTIL(gn_multipool_get_stats(m, &s) == GN_OK && s.blocked == 1);
    ck_assert_int_eq(gn_multipool_resize(m, 2), GN_OK);
    ck_assert_int_eq(helper_result(&h), GN_OK);
    gate_await(&g, 6);
    ck_assert_int_eq(gn_multipool_reboot(m), GN_EBUSY);
    ck_assert_int_eq(gn_multipool_release_wait(m, 5 * NT_MS), GN_ETIMEDOUT);
    ck_assert_int_eq(gn_multipool_submit(m, note, NULL), GN_ECLOSED);
    ck_assert_int_eq(gn_multipool_get_stats(m, &s), GN_OK);
    ck_assert_uint_eq(s.refused, 2);
    gate_open(&g);
    ck_assert_int_eq(gn_multipool_release_wait(m, nt_patience()), GN_OK);
    ck_assert_int_eq(gn_multipool_reboot(m), GN_OK);
    ck_assert_int_eq(gn_multipool_submit(m, note, NULL), GN_OK);
    nt_await(NT_A, 2);
    ck_assert_int_eq(gn_multipool_destroy(m), GN_OK);
    ck_assert_int_eq(gn_multipool_destroy(NULL), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(multipool_least_tasks)
{
    gn_pool_options o = options_of(1, 10);
    gn_multipool *m;
    gate g;

    gate_init(&g);
    o.fn = hold;
    ck_assert_int_eq(gn_multipool_create(&m, 3, GN_POOL_LEAST_TASKS, &o), GN_OK);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(gn_pool_submit(gn_multipool_at(m, 1), hold, &g), GN_OK);
    ck_assert_int_eq(gn_pool_submit(gn_multipool_at(m, 0), hold, &g), GN_OK);
    for (unsigned i = 0; i < 7; i++)
        ck_assert_int_eq(gn_multipool_invoke(m, &g), GN_OK);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(held_by(m, i), 4);
    gate_open(&g);
    gate_await(&g, 12);
    ck_assert_int_eq(gn_multipool_destroy(m), GN_OK);
    gate_fini(&g);
}
END_TEST

/* ----------------------------------------------------------------- offload */

static void count_work(void *arg)
{
    (void)arg;
    nt_note(NT_A, gn_loop_current() != NULL, 0);
}

static void offload_done(gn_handle h, int status, void *arg)
{
    nt_note(NT_DONE, h, status);
    if (status == GN_OK && gn_conn_from_handle(h) != NULL)
        NT_EXPECT_INT(gn_conn_write(gn_conn_from_handle(h), arg, strlen(arg)), GN_OK);
}

static void moved_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    NT_EXPECT(gn_conn_from_handle(h) != NULL);
    offload_done(h, status, (void *)(uintptr_t)"moved");
}

static void offload_moved(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_B, h, status);
}

static gn_action offload_traffic(gn_conn *c, void *user)
{
    (void)gn_conn_discard(c, gn_conn_inbound(c));
    NT_EXPECT_INT(gn_offload(user, gn_conn_handle(c), count_work, offload_done, (void *)(uintptr_t)"done"),
                  GN_OK);
    return GN_NONE;
}

static const gn_handler offload_handler = { .on_open = nt_on_open,
                                            .on_traffic = offload_traffic,
                                            .on_close = nt_on_close };

START_TEST(offload_ends_on_the_loop)
{
    gn_options o = nt_options(2);
    gn_pool *p = pool_of(2, 100);
    gn_engine *e = nt_start(&offload_handler, p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c[2];

    for (unsigned i = 0; i < 2; i++) {
        c[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(c[i], "x"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c[i], "done"), GNP_OK);
        nt_await(NT_DONE, i + 1);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
        ck_assert_uint_eq(nt_nth(NT_DONE, i).thread, nt_nth(NT_OPEN, i).thread);
        ck_assert_uint_ne(nt_nth(NT_A, i).thread, nt_nth(NT_OPEN, i).thread);
        ck_assert_uint_eq(nt_nth(NT_A, i).id, 0);
    }
    for (unsigned i = 0; i < 2; i++) /* a loop itself */
        ck_assert_int_eq(gn_offload(p, gn_engine_loop(e, i), count_work, offload_done, NULL), GN_OK);
    nt_await(NT_DONE, 4);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_DONE, 3).status, GN_OK);
    tc_close(c[0]);
    tc_close(c[1]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}
END_TEST

START_TEST(offload_follows_its_connection)
{
    gn_options o = nt_options(2);
    gn_pool *p = pool_of(1, 100);
    gn_engine *e = nt_start(&offload_handler, p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle h;
    gate g;

    gate_init(&g);
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    ck_assert_int_eq(gn_offload(p, h, gate_work, moved_done, &g), GN_OK);
    gate_await(&g, 1);
    for (unsigned i = 0; i < 2; i++) { /* one of them is where it is */
        (void)gn_migrate(h, gn_engine_loop(e, i), offload_moved, NULL);
        nt_await(NT_B, i + 1);
    }
    gate_open(&g);
    ck_assert_int_eq(tc_recv_text(c, "moved"), GNP_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).thread, nt_nth(NT_B, 1).thread);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    gate_fini(&g);
}
END_TEST

START_TEST(offload_whose_connection_or_loop_is_gone)
{
    gn_options o = nt_options(1);
    gn_pool *p = pool_of(1, 100);
    gn_engine *e = nt_start(&offload_handler, p, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    gn_handle h, loop = gn_engine_loop(e, 0);
    gate g;

    gate_init(&g);
    nt_await(NT_OPEN, 1);
    h = nt_nth(NT_OPEN, 0).id;
    uint64_t its = nt_nth(NT_OPEN, 0).thread;
    ck_assert_int_eq(gn_offload(p, h, gate_work, offload_done, &g), GN_OK);
    gate_await(&g, 1);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    gate_open(&g);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECLOSED);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).id, h);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).thread, its); /* the loop is still there */
    nt_stop(e, NT_SECOND);
    gate_fini(&g);
    ck_assert_int_eq(gn_offload(p, loop, count_work, offload_done, NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_ECLOSED);
    ck_assert_uint_eq(nt_count(NT_A), 1);
    ck_assert_uint_eq(nt_nth(NT_DONE, 1).thread, nt_nth(NT_A, 0).thread);
    tc_net_close(net);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
}
END_TEST

START_TEST(offload_cancelled_by_the_release)
{
    gn_pool *p = pool_of(1, 100);
    gate g;

    gate_init(&g);
    ck_assert_int_eq(gn_pool_submit(p, hold, &g), GN_OK);
    gate_await(&g, 1);
    ck_assert_int_eq(gn_offload(p, 77, count_work, offload_done, NULL), GN_OK);
    ck_assert_int_eq(gn_offload(p, 78, count_work, NULL, NULL), GN_OK);
    ck_assert_int_eq(gn_pool_release(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECANCELED);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).id, 77);
    ck_assert_uint_eq(nt_nth(NT_DONE, 0).thread, gnp_thread_id());
    ck_assert_int_eq(gn_offload(p, 79, count_work, offload_done, NULL), GN_ECLOSED);
    gate_open(&g);
    ck_assert_int_eq(gn_pool_destroy(p), GN_OK);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    gate_fini(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = nt_case(s, "submit", 30);
    tcase_add_test(t, runs_each_task_once);
    tcase_add_test(t, one_worker_keeps_the_order);
    tcase_add_test(t, full_is_full);
    tcase_add_test(t, no_queue_means_none);
    tcase_add_test(t, submit_blocks_until_there_is_room);
    tcase_add_test(t, blocking_has_its_limits);
    tcase_add_test(t, nothing_waits_behind_a_task_that_blocks);
    tcase_add_test(t, room_in_the_middle_of_a_batch);
    tcase_add_test(t, fixed_function);
    tcase_add_test(t, arguments);
    tcase_add_test(t, stats_write_no_more_than_they_may);
    t = nt_case(s, "workers", 30);
    tcase_add_test(t, workers_start_on_demand_and_are_used_again);
    tcase_add_test(t, idle_workers_end);
    tcase_add_test(t, preallocated);
    tcase_add_test(t, steady_state_allocates_nothing);
    tcase_add_test(t, resize_up_lets_callers_in);
    tcase_add_test(t, resize_down_takes_effect);
    tcase_add_test(t, resize_down_in_a_batch);
    t = nt_case(s, "release", 30);
    tcase_add_test(t, release_cancels_refuses_and_lets_finish);
    tcase_add_loop_test(t, reboot, 0, 2);
    tcase_add_test(t, waiting_for_oneself_is_an_error);
    tcase_add_test(t, a_cancelled_task_cannot_wait_for_the_release);
    tcase_add_test(t, also_through_a_multipool);
    t = nt_case(s, "cancel", 30);
    tcase_add_test(t, cancel);
    tcase_add_test(t, cancelled_tasks_leave_no_pile);
    t = nt_case(s, "multipool", 30);
    tcase_add_test(t, multipool_goes_round_and_evades);
    tcase_add_test(t, multipool_least_tasks);
    t = nt_case(s, "offload", 30);
    tcase_add_test(t, offload_ends_on_the_loop);
    tcase_add_test(t, offload_follows_its_connection);
    tcase_add_test(t, offload_whose_connection_or_loop_is_gone);
    tcase_add_test(t, offload_cancelled_by_the_release);
    return nt_main(s);
}
