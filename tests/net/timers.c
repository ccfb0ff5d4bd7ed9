/* SPDX-License-Identifier: MIT */
/* Timers in the user's own memory. */
#include "harness.h"

static const gn_handler quiet = { .on_open = nt_on_open };

static gn_engine *start(void)
{
    gn_options o = nt_options(1);
    return nt_start(&quiet, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
}

/* Runs fn on the loop and waits for it. */
static void on_loop(gn_engine *e, gn_done fn, void *arg)
{
    unsigned n = nt_count(NT_B);
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), fn, arg), GN_OK);
    nt_await(NT_B, n + 1);
}

typedef struct timer {
    gn_timer t; /* first */
    uint64_t at, period;
    unsigned fires, most;
    int heap;
} timer;

static void fire(gn_loop *l, gn_timer *t, void *arg)
{
    timer *m = arg;
    NT_EXPECT((void *)t == (void *)m);
    NT_EXPECT(gn_now() >= m->at);
    NT_EXPECT_INT(gn_timer_running(t), m->period != 0);
    m->at += m->period;
    m->fires++;
    nt_note(NT_A, m->fires, 0);
    if (m->most != 0 && m->fires == m->most)
        NT_EXPECT_INT(gn_timer_stop(l, t), 1);
    if (m->heap)
        free(m);
}

static void begin(gn_handle h, int status, void *arg)
{
    timer *m = arg;
    gn_loop *l = gn_loop_current();
    (void)h;
    (void)status;
    NT_EXPECT_INT(gn_timer_running(&m->t), 0);
    NT_EXPECT_INT(gn_timer_stop(l, &m->t), 0);
    uint64_t delay = m->at;
    m->at = gn_now() + delay;
    NT_EXPECT_INT(gn_timer_start(NULL, &m->t, 0, 0, fire, m), GN_EINVAL);
    NT_EXPECT_INT(gn_timer_start(l, NULL, 0, 0, fire, m), GN_EINVAL);
    NT_EXPECT_INT(gn_timer_start(l, &m->t, 0, 0, NULL, m), GN_EINVAL);
    NT_EXPECT_INT(gn_timer_start(l, &m->t, 3600 * NT_SECOND, 0, fire, m), GN_OK); /* set anew below */
    NT_EXPECT_INT(gn_timer_start(l, &m->t, delay, m->period, fire, m), GN_OK);
    NT_EXPECT_INT(gn_timer_running(&m->t), 1);
    nt_note(NT_B, 0, 0);
}

START_TEST(once)
{
    gn_engine *e = start();
    timer m = { .at = 20 * NT_MS };
    timer *own = calloc(1, sizeof *own);
    on_loop(e, begin, &m);
    nt_await(NT_A, 1);
    own->heap = 1; /* freed by its own callback */
    on_loop(e, begin, own);
    nt_await(NT_A, 2);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(m.fires, 1);
    ck_assert_int_eq(gn_timer_running(&m.t), 0);
    ck_assert_int_eq(gn_timer_running(NULL), 0);
}
END_TEST

START_TEST(periodic_until_stopped)
{
    gn_engine *e = start();
    timer m = { .at = 5 * NT_MS, .period = 5 * NT_MS, .most = 10 };
    uint64_t begun = gnp_now();
    on_loop(e, begin, &m);
    nt_await(NT_A, 10);
    ck_assert(gnp_now() - begun >= 50 * NT_MS);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(m.fires, 10);
}
END_TEST

/* The loop is late by several periods: one call for all of them, then the old rhythm. */
typedef struct rhythm {
    gn_timer t;
    uint64_t begun;
    unsigned fires;
} rhythm;

#define PERIOD (20 * NT_MS)

static void beat(gn_loop *l, gn_timer *t, void *arg)
{
    rhythm *r = arg;
    uint64_t phase = (gn_now() - r->begun) % PERIOD;
    nt_note(NT_A, (gn_now() - r->begun) / PERIOD, (int)(phase / 1000));
    if (++r->fires == 2)
        gnp_sleep_until(r->begun + 2 * PERIOD + PERIOD * 7 / 2); /* 3 beats are missed, the fourth is due */
    if (r->fires == 5)
        NT_EXPECT_INT(gn_timer_stop(l, t), 1);
}

static void begin_rhythm(gn_handle h, int status, void *arg)
{
    rhythm *r = arg;
    (void)h;
    (void)status;
    r->begun = gn_now();
    NT_EXPECT_INT(gn_timer_start(gn_loop_current(), &r->t, PERIOD, PERIOD, beat, r), GN_OK);
    nt_note(NT_B, 0, 0);
}

START_TEST(a_late_loop_keeps_the_rhythm)
{
    gn_engine *e = start();
    rhythm r = { .fires = 0 };
    on_loop(e, begin_rhythm, &r);
    nt_await(NT_A, 5);
    nt_stop(e, NT_SECOND);
    /* Each beat is in its own period, as far as a busy machine lets it: never two in one. */
    for (unsigned i = 1; i < 5; i++)
        ck_assert_uint_gt(nt_nth(NT_A, i).id, nt_nth(NT_A, i - 1).id);
    ck_assert_uint_ge(nt_nth(NT_A, 2).id, 5);
    ck_assert_uint_eq(r.fires, 5);
}
END_TEST

/* A period below the tick is a turn's work each time, never a spin: the loop answers. */
static void often(gn_loop *l, gn_timer *t, void *arg)
{
    (void)l;
    (void)t;
    ++*(uint64_t *)arg;
}

static gn_timer fast;
static uint64_t fast_fires;

static void begin_fast(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    NT_EXPECT_INT(gn_timer_start(gn_loop_current(), &fast, 0, 1, often, &fast_fires), GN_OK);
    nt_note(NT_B, 0, 0);
}

START_TEST(a_very_short_period)
{
    gn_engine *e = start();
    on_loop(e, begin_fast, NULL);
    gnp_sleep_until(gnp_now() + 30 * NT_MS);
    uint64_t before = gnp_now();
    nt_stop(e, NT_SECOND);
    ck_assert(gnp_now() - before < NT_SECOND * 5);
    ck_assert_uint_ge(fast_fires, 2);
    ck_assert_uint_le(fast_fires, 60 * NT_SECOND / NT_MS);
}
END_TEST

/* Very many at once, some stopped, some set anew: those that should fire do so once, in time. */
typedef struct crowd {
    struct member {
        gn_timer t; /* first */
        uint64_t at;
        unsigned fires;
    } *m;
    unsigned count, expected;
    gnp_atomic32 fired;
} crowd;

static void member_fires(gn_loop *l, gn_timer *t, void *arg)
{
    struct member *m = (struct member *)(void *)t;
    crowd *k = arg;
    (void)l;
    NT_EXPECT(gn_now() >= m->at);
    m->fires++;
    gnp_add32(&k->fired, 1);
}

static void begin_crowd(gn_handle h, int status, void *arg)
{
    crowd *k = arg;
    gn_loop *l = gn_loop_current();
    uint64_t random = 5;
    (void)h;
    (void)status;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < k->count; i++) {
            struct member *m = &k->m[i];
            uint64_t delay = pass == 0 ? nt_random(&random) % (3600 * NT_SECOND)
                                       : nt_random(&random) % (300 * NT_MS);
            if (pass == 1 && i % 3 == 0) {
                NT_EXPECT_INT(gn_timer_stop(l, &m->t), 1);
                continue;
            }
            m->at = gn_now() + delay;
            k->expected += pass;
            NT_EXPECT_INT(gn_timer_start(l, &m->t, delay, 0, member_fires, k), GN_OK);
        }
    }
    nt_note(NT_B, 0, 0);
}

START_TEST(a_million_timers)
{
    gn_engine *e = start();
    crowd k;
    memset(&k, 0, sizeof k);
    k.count = nt_scaled(1000000, 20000);
    k.m = calloc(k.count, sizeof *k.m);
    ck_assert_ptr_nonnull(k.m);
    on_loop(e, begin_crowd, &k);
    NT_UNTIL(gnp_load32(&k.fired) >= k.expected);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(gnp_load32(&k.fired), k.expected);
    for (unsigned i = 0; i < k.count; i++)
        ck_assert_uint_eq(k.m[i].fires, i % 3 == 0 ? 0 : 1);
    free(k.m);
}
END_TEST

/* When the loop has ended nothing fires, and the memory is the user's again. */
START_TEST(the_end_of_the_loop)
{
    gn_engine *e = start();
    timer m = { .at = 200 * NT_MS, .period = 200 * NT_MS };
    on_loop(e, begin, &m);
    nt_stop(e, 0);
    unsigned fires = m.fires; /* none, unless this machine was away for so long */
    gnp_sleep_until(gnp_now() + 250 * NT_MS);
    ck_assert_uint_eq(m.fires, fires);
    ck_assert_int_eq(gn_timer_running(&m.t), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("timers");
    TCase *t = nt_case(s, "timers", 60);
    tcase_add_test(t, once);
    tcase_add_test(t, periodic_until_stopped);
    tcase_add_test(t, a_late_loop_keeps_the_rhythm);
    tcase_add_test(t, a_very_short_period);
    tcase_add_test(t, a_million_timers);
    tcase_add_test(t, the_end_of_the_loop);
    return nt_main(s);
}
