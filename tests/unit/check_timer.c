/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/timer.h"
#include "platform/time.h"

#define TICK (UINT64_C(1) << GNI_TICK_BITS)
#define COUNT 300u

static uint64_t ticks_up(uint64_t ns)
{
    return ns / TICK + (ns % TICK != 0);
}

/* What a plain table thinks of the same timers. */
typedef struct model_timer {
    gni_timer t; /* first */
    int set;
    int fresh; /* set by a callback of the advance that is going on */
    int late;  /* was set in the past, so its order says nothing */
    uint64_t when;
} model_timer;

typedef struct model {
    gni_wheel w;
    rng g;
    uint64_t now;
    uint64_t last; /* tick of the last that fired since time moved */
    unsigned fired;
    int meddles; /* callbacks set and cancel timers */
    model_timer timer[COUNT];
} model;

static void model_set(model *m, model_timer *t, uint64_t when)
{
    gni_timer_set(&m->w, &t->t, when);
    t->set = when != GNP_NEVER;
    t->when = when;
    t->late = when <= m->now;
    MUST(gni_timer_is_set(&t->t) == t->set);
}

static void model_cancel(model *m, model_timer *t)
{
    gni_timer_cancel(&m->w, &t->t);
    t->set = 0;
    MUST(!gni_timer_is_set(&t->t));
}

/* A time ahead at any distance, from less than a tick to years. */
static uint64_t ahead(model *m, unsigned bits)
{
    uint64_t by = rng_scaled(&m->g, bits);

    return by < GNP_NEVER - 1 - m->now ? m->now + by : GNP_NEVER - 1;
}

static uint64_t somewhere(model *m, unsigned bits)
{
    uint64_t by = rng_scaled(&m->g, bits);

    if (rng_below(&m->g, 10) == 0)
        return by < m->now ? m->now - by : 0;
    return ahead(m, bits);
}

static void on_model(gni_timer *t, void *arg)
{
    model *m = arg;
    model_timer *mt = (model_timer *)t;

    MUST(mt->set);
    MUST(!mt->fresh);
    MUST(!gni_timer_is_set(t));
    MUST(ticks_up(mt->when) <= m->now / TICK);
    MUST(mt->when <= m->now); /* never early, also within a tick */
    if (!mt->late && !m->meddles) {
        MUST(ticks_up(mt->when) >= m->last);
        m->last = ticks_up(mt->when);
    }
    mt->set = 0;
    m->fired++;
    while (m->meddles && rng_below(&m->g, 2) == 0) {
        model_timer *other = &m->timer[rng_below(&m->g, COUNT)];

        if (rng_below(&m->g, 4) == 0)
            other = mt;
        if (rng_below(&m->g, 3) == 0) {
            model_cancel(m, other);
        } else {
            model_set(m, other, somewhere(m, 40));
            other->fresh = 1;
        }
    }
}

static unsigned count_set(const model *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < COUNT; i++)
        n += m->timer[i].set != 0;
    return n;
}

/* gni_wheel_next may be early, since far timers move down, but never late. */
static void check_next(const model *m)
{
    uint64_t next = gni_wheel_next(&m->w), first = GNP_NEVER;

    for (unsigned i = 0; i < COUNT; i++) {
        if (m->timer[i].set && m->timer[i].when < first)
            first = m->timer[i].when;
    }
    if (first == GNP_NEVER)
        MUST(next == GNP_NEVER);
    else if (first > GNP_NEVER - TICK)
        MUST(next > m->now);
    else
        MUST(next <= ticks_up(first) * TICK);
    MUST(m->w.count == count_set(m));
}

static void advance(model *m, unsigned limit)
{
    unsigned n;

    for (unsigned i = 0; i < COUNT; i++)
        m->timer[i].fresh = 0;
    m->fired = 0;
    n = gni_wheel_advance(&m->w, m->now, limit, m);
    MUST(n == m->fired);
    MUST(n <= limit);
}

/* After an advance that its limit did not stop, nothing that was set before it is due. */
static void expect_none_due(const model *m)
{
    for (unsigned i = 0; i < COUNT; i++) {
        const model_timer *t = &m->timer[i];

        MUST(!t->set || t->fresh || ticks_up(t->when) > m->now / TICK);
    }
}

static model *model_new(uint64_t seed, int meddles)
{
    model *m = calloc(1, sizeof *m);

    MUST(m != NULL);
    m->g.state = seed;
    m->meddles = meddles;
    m->now = rng_scaled(&m->g, 62);
    gni_wheel_init(&m->w, m->now);
    for (unsigned i = 0; i < COUNT; i++)
        m->timer[i].t.fn = on_model;
    return m;
}

static void run_model(uint64_t seed, int meddles)
{
    model *m = model_new(seed, meddles);
    unsigned bits = 20 + (unsigned)rng_below(&m->g, 38); /* 58 bits: nine years */
    unsigned rounds = scaled(2000, 200);

    for (unsigned i = 0; i < rounds; i++) {
        for (uint64_t k = rng_below(&m->g, 20); k > 0; k--) {
            model_timer *t = &m->timer[rng_below(&m->g, COUNT)];

            if (rng_below(&m->g, 4) == 0)
                model_cancel(m, t);
            else
                model_set(m, t, somewhere(m, bits));
        }
        check_next(m);
        m->now = ahead(m, bits - 1);
        m->last = 0;
        advance(m, UINT32_MAX);
        expect_none_due(m);
        check_next(m);
    }
    free(m);
}

START_TEST(against_a_model)
{
    run_model((uint64_t)_i, 0);
}
END_TEST

START_TEST(callbacks_that_meddle)
{
    run_model((uint64_t)_i, 1);
}
END_TEST

/* With a limit, advance goes on at the next call; by and by all fire, each once. */
START_TEST(limited)
{
    model *m = model_new((uint64_t)_i, 0);
    unsigned bits = 21 + (unsigned)rng_below(&m->g, 36);

    for (unsigned i = 0; i < scaled(200, 20); i++) {
        unsigned limit = 1 + (unsigned)rng_below(&m->g, 40);
        unsigned calls = 0, total = 0, expected = 0;

        for (unsigned k = 0; k < COUNT; k++)
            model_set(m, &m->timer[k], somewhere(m, bits));
        m->now = ahead(m, bits);
        m->last = 0; /* and then in order over all calls */
        for (unsigned k = 0; k < COUNT; k++)
            expected += ticks_up(m->timer[k].when) <= m->now / TICK;
        do {
            advance(m, limit);
            total += m->fired;
            MUST(calls++ < COUNT * 4);
        } while (gni_wheel_next(&m->w) <= m->now);
        MUST(total == expected);
        expect_none_due(m);
        check_next(m);
    }
    free(m);
}
END_TEST

/* A loop that sleeps until gni_wheel_next: a timer fires in its own tick, and on the way
 * the loop wakes in vain at most once a level. */
START_TEST(sleeps_exactly)
{
    model *m = model_new((uint64_t)_i, 0);

    m->now >>= 2; /* room for a sleep of years */
    gni_wheel_init(&m->w, m->now);
    for (unsigned bits = 1; bits <= 60; bits++) {
        uint64_t when = m->now + rng_scaled(&m->g, bits);
        uint64_t tick = m->now / TICK < ticks_up(when) ? ticks_up(when) : m->now / TICK;
        unsigned wakes = 0;

        model_set(m, &m->timer[0], when);
        m->last = 0;
        do {
            uint64_t next = gni_wheel_next(&m->w);

            MUST(next != GNP_NEVER);
            if (next > m->now)
                m->now = next;
            advance(m, 10);
            MUST(++wakes <= GNI_WHEEL_LEVELS);
        } while (m->fired == 0);
        MUST(m->now / TICK == tick);
    }
    free(m);
}
END_TEST

static int list_is_empty(const gni_timer_link *head)
{
    return head->next == head;
}

typedef struct tally { unsigned fired; } tally;

static void on_tally(gni_timer *t, void *arg)
{
    (void)t;
    ((tally *)arg)->fired++;
}

/* Work of one call is bounded also when a whole slot of a high level comes down at once. */
START_TEST(moving_down_is_bounded)
{
    const unsigned n = 20000, limit = 10, start = GNI_WHEEL_SLOTS * GNI_WHEEL_SLOTS;
    gni_timer *t = calloc(n, sizeof *t);
    gni_wheel *w = malloc(sizeof *w);
    tally y = { 0 };
    unsigned calls = 0, at_first = 0;

    ck_assert(t != NULL && w != NULL);
    gni_wheel_init(w, 0);
    /* All in one slot of level 2. */
    for (unsigned i = 0; i < n; i++) {
        t[i].fn = on_tally;
        gni_timer_set(w, &t[i], (start + i) * TICK);
    }
    ck_assert(!list_is_empty(&w->slot[2 * GNI_WHEEL_SLOTS + 1]));
    ck_assert_uint_eq(w->used & (w->used - 1), 0);
    gni_wheel_advance(w, (start + n) * TICK, limit, &y);
    for (gni_timer_link *l = w->moving.next; l != &w->moving; l = l->next)
        at_first++;
    ck_assert_uint_ge(at_first, n - limit * GNI_WHEEL_LEVELS);
    ck_assert_uint_eq(gni_wheel_next(w), 0);
    /* Those on the move can be cancelled and set like any other. */
    gni_timer_cancel(w, &t[n - 1]);
    gni_timer_set(w, &t[n - 2], 0);
    while (w->count > 0) {
        ck_assert_uint_le(gni_wheel_advance(w, (start + n) * TICK, limit, &y), limit);
        ck_assert_uint_lt(calls++, n);
    }
    ck_assert_uint_eq(y.fired, n - 1);
    ck_assert_uint_eq(gni_wheel_next(w), GNP_NEVER);
    free(w);
    free(t);
}
END_TEST

START_TEST(never_and_the_end_of_time)
{
    gni_wheel *w = malloc(sizeof *w);
    gni_timer t = { .fn = on_tally };
    tally y = { 0 };

    ck_assert(w != NULL);
    gni_wheel_init(w, 12345);
    ck_assert_uint_eq(gni_wheel_next(w), GNP_NEVER);
    gni_timer_cancel(w, &t);
    gni_timer_set(w, &t, GNP_NEVER);
    ck_assert(!gni_timer_is_set(&t));
    gni_timer_set(w, &t, 5 * TICK);
    gni_timer_set(w, &t, GNP_NEVER);
    ck_assert(!gni_timer_is_set(&t));
    ck_assert_uint_eq(w->count, 0);
    ck_assert_uint_eq(gni_wheel_next(w), GNP_NEVER);

    gni_timer_set(w, &t, GNP_NEVER - 1); /* rounded up, it is past all time */
    ck_assert(gni_timer_is_set(&t));
    ck_assert_uint_eq(gni_wheel_next(w), GNP_NEVER);
    ck_assert_uint_eq(gni_wheel_advance(w, GNP_NEVER, 10, &y), 0);
    gni_timer_set(w, &t, GNP_NEVER - TICK + 1); /* the last whole tick */
    ck_assert_uint_eq(gni_wheel_advance(w, GNP_NEVER, 10, &y), 1);

    gni_timer_set(w, &t, 0);
    ck_assert_uint_eq(gni_wheel_next(w), 0);
    ck_assert_uint_eq(gni_wheel_advance(w, GNP_NEVER, 0, &y), 0);
    ck_assert_uint_eq(gni_wheel_advance(w, GNP_NEVER, 1, &y), 1);
    ck_assert_uint_eq(y.fired, 2);
    free(w);
}
END_TEST

/* Time that goes back is a caller's error, but no timer fires early because of it. */
START_TEST(time_does_not_go_back)
{
    gni_wheel *w = malloc(sizeof *w);
    gni_timer t = { .fn = on_tally }, past = { .fn = on_tally };
    tally y = { 0 };

    ck_assert(w != NULL);
    gni_wheel_init(w, 1000 * TICK);
    gni_timer_set(w, &t, 1005 * TICK);
    gni_timer_set(w, &past, 990 * TICK);
    ck_assert_uint_eq(gni_wheel_advance(w, 10 * TICK, 10, &y), 1);
    ck_assert_uint_eq(gni_wheel_advance(w, 1004 * TICK, 10, &y), 0);
    ck_assert_uint_eq(gni_wheel_advance(w, 1005 * TICK, 10, &y), 1);
    free(w);
}
END_TEST

static void on_again(gni_timer *t, void *arg)
{
    gni_wheel *w = arg;

    gni_timer_set(w, t, 0);
}

/* A timer that sets itself in the past fires once a call, not for ever. */
START_TEST(no_endless_advance)
{
    gni_wheel *w = malloc(sizeof *w);
    gni_timer t = { .fn = on_again };

    ck_assert(w != NULL);
    gni_wheel_init(w, 0);
    gni_timer_set(w, &t, 0);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq(gni_wheel_advance(w, i, 1000, w), 1);
    gni_timer_cancel(w, &t);
    ck_assert_uint_eq(gni_wheel_next(w), GNP_NEVER);
    free(w);
}
END_TEST

/* Timers of one tick fire in the order in which they were set, wherever they were before. */
static unsigned order_next;
typedef struct ordered { gni_timer t; unsigned number; } ordered;

static void on_ordered(gni_timer *t, void *arg)
{
    (void)arg;
    ck_assert_uint_eq(((ordered *)t)->number, order_next);
    order_next++;
}

START_TEST(first_set_first_fired)
{
    gni_wheel *w = malloc(sizeof *w);
    ordered o[60];
    const uint64_t when = UINT64_C(300000) * TICK;
    uint64_t now = 0;

    ck_assert(w != NULL);
    gni_wheel_init(w, now);
    order_next = 0;
    memset(o, 0, sizeof o);
    for (unsigned i = 0; i < 60; i++) {
        o[i].number = i;
        o[i].t.fn = on_ordered;
        gni_timer_set(w, &o[i].t, when);
        now += (when - now) / 2; /* nearer and nearer, from level to level */
        ck_assert_uint_eq(gni_wheel_advance(w, now, 100, NULL), 0);
    }
    ck_assert_uint_eq(gni_wheel_advance(w, when, 100, NULL), 60);
    free(w);
}
END_TEST

Suite *suite_timer(void)
{
    Suite *s = suite_create("timer");
    TCase *t = tcase_create("timer");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, against_a_model, 0, 30);
    tcase_add_loop_test(t, callbacks_that_meddle, 0, 30);
    tcase_add_loop_test(t, limited, 0, 20);
    tcase_add_loop_test(t, sleeps_exactly, 0, 20);
    tcase_add_test(t, moving_down_is_bounded);
    tcase_add_test(t, never_and_the_end_of_time);
    tcase_add_test(t, time_does_not_go_back);
    tcase_add_test(t, no_endless_advance);
    tcase_add_test(t, first_set_first_fired);
    suite_add_tcase(s, t);
    return s;
}
