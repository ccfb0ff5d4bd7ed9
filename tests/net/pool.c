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

/* A task that waits until the gate is open. */
static void hold(int status, void *arg)
{
    gate *g = arg;
    NT_EXPECT_INT(status, GN_OK);
    gnp_mutex_lock(&g->m);
    g->entered++;
    gnp_cond_broadcast(&g->c);
    while (!g->open)
        gnp_cond_wait(&g->c, &g->m);
    g->passed++;
    gnp_mutex_unlock(&g->m);
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

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = nt_case(s, "submit", 30);
    tcase_add_test(t, runs_each_task_once);
    tcase_add_test(t, one_worker_keeps_the_order);
    return nt_main(s);
}
