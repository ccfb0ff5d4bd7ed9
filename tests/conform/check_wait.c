/* SPDX-License-Identifier: MIT */
/* Clauses 1 (wakes) and 9 (deadlines). */
#include "conform.h"

START_TEST(deadlines_are_never_early)
{
    static const uint64_t spans[] = { 1, 50000, 999999, MS, MS + 1, 3 * MS / 2, 10 * MS, 33333333 };
    subject t;
    size_t i;

    subject_open_poller(&t, _i, NULL);
    for (i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        uint64_t deadline = gnp_now() + spans[i];
        ck_assert_int_eq(gnp_poller_wait(t.p, t.ev, ROUND, deadline), 0);
        ck_assert_uint_ge(gnp_now(), deadline);
        ck_assert_uint_lt(gnp_now(), deadline + 5 * SECOND);
    }
    subject_close(&t);
}
END_TEST

START_TEST(no_waiting_when_it_is_late)
{
    subject t;
    uint64_t start = gnp_now();
    int i;

    subject_open_poller(&t, _i, NULL);
    for (i = 0; i < 200; i++) {
        ck_assert_int_eq(gnp_poller_wait(t.p, t.ev, ROUND, 0), 0);
        ck_assert_int_eq(gnp_poller_wait(t.p, t.ev, 1, 1), 0);
        ck_assert_int_eq(gnp_poller_wait(t.p, t.ev, ROUND, start), 0);
    }
    ck_assert_uint_lt(gnp_now(), start + 5 * SECOND);
    subject_close(&t);
}
END_TEST

/* Bytes for a paused socket must not end a wait. */
START_TEST(filtered_events_do_not_end_a_wait)
{
    subject t;
    gnp_sock s, peer;
    uint64_t deadline;
    int i;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    for (i = 0; i < 5; i++) {
        gnp_want(t.p, &s, 0);
        peer_send(&t, &peer, "x", 1);
        deadline = gnp_now() + 5 * MS;
        step(&t, ROUND, deadline);
        ck_assert_int_eq(t.n, 0);
        ck_assert_uint_ge(gnp_now(), deadline);
        gnp_want(t.p, &s, GNP_READ);
        await(&t, &s, GNP_EV_READABLE);
    }
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(wake_before_wait)
{
    subject t;
    int i, k;

    subject_open_poller(&t, _i, NULL);
    for (k = 0; k < 50; k++) {
        for (i = 0; i <= k; i++)
            gnp_wake(t.p);
        ck_assert_int_eq(step(&t, ROUND, k % 2 != 0 ? GNP_NEVER : gnp_now() + PATIENCE), 1);
        ck_assert_uint_eq(t.ev[0].what, GNP_EV_WOKEN);
        ck_assert_int_eq(step(&t, ROUND, gnp_now() + MS / 10), 0);
    }
    gnp_wake(t.p); /* is found without waiting, too */
    ck_assert_int_eq(step(&t, ROUND, 0), 1);
    gnp_wake(t.p); /* and may be left over at the end */
    subject_close(&t);
}
END_TEST

typedef struct waker {
    gnp_thread thread;
    gnp_poller *p;
    gnp_atomic32 *work;
    unsigned rounds;
    unsigned pause; /* of how many rounds one yields */
} waker;

static void wake_often(void *arg)
{
    waker *w = arg;
    unsigned i;

    for (i = 1; i <= w->rounds; i++) {
        gnp_add32(w->work, 1);
        gnp_wake(w->p);
        if (w->pause != 0 && i % w->pause == 0)
            gnp_thread_yield();
    }
}

#define WAKERS 4

/* A wait that would not end although there is work is a lost wake. */
START_TEST(wakes_from_threads_are_not_lost)
{
    subject t;
    gnp_atomic32 work;
    waker w[WAKERS];
    uint32_t done = 0, total = 0;
    int i;

    subject_open_poller(&t, _i, NULL);
    gnp_store32(&work, 0);
    for (i = 0; i < WAKERS; i++) {
        w[i] = (waker){ .p = t.p, .work = &work, .rounds = scaled(20000, 500), .pause = (unsigned)i * 3 };
        total += w[i].rounds;
        ck_assert_int_eq(gnp_thread_start(&w[i].thread, wake_often, &w[i], "waker"), GNP_OK);
    }
    while (done < total) {
        ck_assert_msg(step(&t, ROUND, gnp_now() + PATIENCE) == 1, "stuck at %u of %u", done, total);
        ck_assert_uint_eq(t.ev[0].what, GNP_EV_WOKEN);
        done = gnp_load32(&work);
    }
    for (i = 0; i < WAKERS; i++)
        gnp_thread_join(&w[i].thread);
    step(&t, ROUND, 0); /* one may be left */
    ck_assert_int_eq(step(&t, ROUND, gnp_now() + MS), 0);
    subject_close(&t);
}
END_TEST

/* Ball and wall: each wake waits for the answer to the one before, so that none can cover
 * for another that was lost. */
typedef struct ball {
    gnp_poller *p;
    gnp_atomic32 thrown, caught;
    unsigned rounds;
} ball;

static void throw_balls(void *arg)
{
    ball *b = arg;
    uint32_t i;

    for (i = 1; i <= b->rounds; i++) {
        gnp_store32(&b->thrown, i);
        gnp_wake(b->p);
        while (gnp_load32(&b->caught) != i)
            gnp_thread_yield();
    }
}

START_TEST(every_single_wake_counts)
{
    subject t;
    ball b = { .rounds = scaled(5000, 200) };
    gnp_thread th;
    uint32_t i = 0;

    subject_open_poller(&t, _i, NULL);
    b.p = t.p;
    ck_assert_int_eq(gnp_thread_start(&th, throw_balls, &b, "thrower"), GNP_OK);
    while (i < b.rounds) {
        ck_assert_int_eq(step(&t, ROUND, gnp_now() + PATIENCE), 1);
        i = gnp_load32(&b.thrown);
        gnp_store32(&b.caught, i);
    }
    gnp_thread_join(&th);
    subject_close(&t);
}
END_TEST

static void wake_later(void *arg)
{
    gnp_sleep_until(gnp_now() + 20 * MS);
    gnp_wake(arg);
}

START_TEST(wake_ends_an_endless_wait)
{
    subject t;
    gnp_thread th;

    subject_open_poller(&t, _i, NULL);
    ck_assert_int_eq(gnp_thread_start(&th, wake_later, t.p, NULL), GNP_OK);
    ck_assert_int_eq(step(&t, ROUND, GNP_NEVER), 1);
    ck_assert_uint_eq(t.ev[0].what, GNP_EV_WOKEN);
    gnp_thread_join(&th);
    subject_close(&t);
}
END_TEST

/* Wakes and sockets come together, in whatever order. */
START_TEST(wake_beside_data)
{
    subject t;
    gnp_sock s, peer;
    int i, k, woken, readable;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    peer_send(&t, &peer, "x", 1);
    await(&t, &s, GNP_EV_READABLE);
    for (i = 0; i < 20; i++) {
        gnp_wake(t.p);
        for (k = woken = readable = 0; k < 4; k++) {
            step(&t, 1 + i % 3, gnp_now() + PATIENCE);
            readable += event_of(&t, &s) != NULL;
            woken += event_of(&t, NULL) != NULL;
        }
        ck_assert_int_eq(woken, 1);
        ck_assert_int_ge(readable, 1);
    }
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

Suite *suite_wait(void)
{
    Suite *s = suite_create("wait");

    ADD_POLLER_TEST(s, deadlines_are_never_early);
    ADD_POLLER_TEST(s, no_waiting_when_it_is_late);
    ADD_POLLER_TEST(s, filtered_events_do_not_end_a_wait);
    ADD_POLLER_TEST(s, wake_before_wait);
    ADD_POLLER_TEST(s, wakes_from_threads_are_not_lost);
    ADD_POLLER_TEST(s, every_single_wake_counts);
    ADD_POLLER_TEST(s, wake_ends_an_endless_wait);
    ADD_POLLER_TEST(s, wake_beside_data);
    return s;
}
