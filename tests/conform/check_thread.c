/* SPDX-License-Identifier: MIT */
#include "conform.h"

typedef struct box {
    gnp_mutex m;
    gnp_cond c;
    unsigned count, rounds;
    int open, waiting, tried;
    uint64_t id;
} box;

static void box_init(box *b)
{
    memset(b, 0, sizeof(*b));
    ck_assert_int_eq(gnp_mutex_init(&b->m), GNP_OK);
    ck_assert_int_eq(gnp_cond_init(&b->c), GNP_OK);
}

static void box_fini(box *b)
{
    gnp_cond_destroy(&b->c);
    gnp_mutex_destroy(&b->m);
}

static void tell_id(void *arg)
{
    box *b = arg;

    b->id = gnp_thread_id();
    if (b->id != gnp_thread_id())
        b->id = 0;
}

START_TEST(start_and_join)
{
    static const char *const names[] = { NULL, "", "short", "longer than fifteen bytes, much longer" };
    box b;
    int i;

    box_init(&b);
    ck_assert_uint_ne(gnp_thread_id(), 0);
    for (i = 0; i < 100; i++) {
        gnp_thread t;
        b.id = 0;
        ck_assert_int_eq(gnp_thread_start(&t, tell_id, &b, names[i % 4]), GNP_OK);
        gnp_thread_join(&t);
        ck_assert_uint_ne(b.id, 0);
        ck_assert_uint_ne(b.id, gnp_thread_id());
    }
    box_fini(&b);
}
END_TEST

static void count_up(void *arg)
{
    box *b = arg;
    unsigned i;

    for (i = 0; i < b->rounds; i++) {
        gnp_mutex_lock(&b->m);
        b->count++;
        gnp_mutex_unlock(&b->m);
        if (i % 1000 == 0)
            gnp_thread_yield();
    }
}

/* The same for one that may not wait in the mutex. */
static void count_up_trying(void *arg)
{
    box *b = arg;
    unsigned i;

    for (i = 0; i < b->rounds; i++) {
        while (gnp_mutex_try(&b->m) != GNP_OK)
            gnp_thread_yield();
        b->count++;
        gnp_mutex_unlock(&b->m);
    }
}

static void try_once(void *arg)
{
    box *b = arg;

    b->tried = gnp_mutex_try(&b->m);
    if (b->tried == GNP_OK)
        gnp_mutex_unlock(&b->m);
}

static int tried_elsewhere(box *b)
{
    gnp_thread t;

    ck_assert_int_eq(gnp_thread_start(&t, try_once, b, "tries"), GNP_OK);
    gnp_thread_join(&t);
    return b->tried;
}

START_TEST(mutex_try_does_not_wait)
{
    box b;

    box_init(&b);
    gnp_mutex_lock(&b.m);
    ck_assert_int_eq(tried_elsewhere(&b), GNP_AGAIN);
    gnp_mutex_unlock(&b.m);
    ck_assert_int_eq(tried_elsewhere(&b), GNP_OK);
    ck_assert_int_eq(gnp_mutex_try(&b.m), GNP_OK);
    ck_assert_int_eq(tried_elsewhere(&b), GNP_AGAIN);
    gnp_mutex_unlock(&b.m);
    box_fini(&b);
}
END_TEST

START_TEST(mutex_excludes)
{
    gnp_thread t[4];
    box b;
    int i;

    box_init(&b);
    b.rounds = scaled(50000, 1000);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(gnp_thread_start(&t[i], i % 2 == 0 ? count_up : count_up_trying, &b, "counter"),
                         GNP_OK);
    for (i = 0; i < 4; i++)
        gnp_thread_join(&t[i]);
    ck_assert_uint_eq(b.count, 4 * b.rounds);
    box_fini(&b);
}
END_TEST

START_TEST(timed_wait_is_never_early)
{
    static const uint64_t spans[] = { 0, 1, 100000, MS, 10 * MS, 25 * MS };
    box b;
    size_t i;

    box_init(&b);
    gnp_mutex_lock(&b.m);
    for (i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        uint64_t deadline = gnp_now() + spans[i];
        int r;
        while ((r = gnp_cond_wait_until(&b.c, &b.m, deadline)) == GNP_OK)
            ck_assert_uint_lt(gnp_now(), deadline + 5 * SECOND);
        ck_assert_int_eq(r, GNP_ETIMEDOUT);
        ck_assert_uint_ge(gnp_now(), deadline);
        ck_assert_uint_lt(gnp_now(), deadline + 5 * SECOND);
    }
    ck_assert_int_eq(gnp_cond_wait_until(&b.c, &b.m, 0), GNP_ETIMEDOUT);
    gnp_mutex_unlock(&b.m);
    box_fini(&b);
}
END_TEST

static void wait_for_door(void *arg)
{
    box *b = arg;
    uint64_t limit = gnp_now() + PATIENCE;

    gnp_mutex_lock(&b->m);
    b->waiting++;
    while (!b->open) {
        if (b->rounds == 0)
            gnp_cond_wait(&b->c, &b->m);
        else if (gnp_cond_wait_until(&b->c, &b->m, b->rounds == 1 ? limit : GNP_NEVER) == GNP_ETIMEDOUT)
            break;
    }
    if (b->open) {
        b->count++;
        if (b->open > 0)
            b->open--;
    }
    gnp_mutex_unlock(&b->m);
}

/* signal lets one through, broadcast all; with all three ways of waiting. */
START_TEST(signal_and_broadcast)
{
    gnp_thread t[3];
    unsigned how;
    int i;

    for (how = 0; how < 3; how++) {
        uint64_t limit = gnp_now() + PATIENCE;
        unsigned through = 0;
        box b;
        box_init(&b);
        b.rounds = how;
        for (i = 0; i < 3; i++)
            ck_assert_int_eq(gnp_thread_start(&t[i], wait_for_door, &b, "waiter"), GNP_OK);
        gnp_mutex_lock(&b.m);
        while (b.waiting < 3) {
            gnp_mutex_unlock(&b.m);
            gnp_thread_yield();
            gnp_mutex_lock(&b.m);
        }
        b.open = 1;
        gnp_cond_signal(&b.c);
        while (through == 0 && gnp_now() < limit) {
            gnp_mutex_unlock(&b.m);
            gnp_thread_yield();
            gnp_mutex_lock(&b.m);
            through = b.count;
        }
        ck_assert_uint_eq(through, 1);
        b.open = -1; /* for all */
        gnp_cond_broadcast(&b.c);
        gnp_mutex_unlock(&b.m);
        for (i = 0; i < 3; i++)
            gnp_thread_join(&t[i]);
        ck_assert_uint_eq(b.count, 3);
        box_fini(&b);
    }
}
END_TEST

START_TEST(clocks)
{
    uint64_t start = gnp_now(), before = start, cpu = gnp_thread_cpu(), all = gnp_process_cpu();
    volatile unsigned x = 0; /* work that the compiler leaves in */
    unsigned i;

    ck_assert_uint_ne(start, 0);
    for (i = 0; i < 10000; i++) {
        uint64_t now = gnp_now();
        ck_assert_uint_ge(now, before);
        before = now;
    }
    ck_assert_uint_gt(before, start);
    ck_assert_uint_gt(gnp_wall(), UINT64_C(1700000000) * SECOND); /* after 2023 */
    for (i = 0; i < 20000000u; i++)
        x = x + i;
    if (cpu != 0)
        ck_assert_uint_gt(gnp_thread_cpu(), cpu);
    if (all != 0)
        ck_assert_uint_gt(gnp_process_cpu(), all);
    for (i = 0; i < 20; i++) {
        uint64_t deadline = gnp_now() + i * 500000;
        gnp_sleep_until(deadline);
        ck_assert_uint_ge(gnp_now(), deadline);
        ck_assert_uint_lt(gnp_now(), deadline + 5 * SECOND);
    }
    gnp_sleep_until(0);
    gnp_sleep_until(start);
}
END_TEST

Suite *suite_thread(void)
{
    Suite *s = suite_create("thread");

    ADD_TEST(s, start_and_join);
    ADD_TEST(s, mutex_excludes);
    ADD_TEST(s, mutex_try_does_not_wait);
    ADD_TEST(s, timed_wait_is_never_early);
    ADD_TEST(s, signal_and_broadcast);
    ADD_TEST(s, clocks);
    add_atomic_tests(s);
    return s;
}
