/* SPDX-License-Identifier: MIT */
/* platform/atomic.h under threads: nothing is lost, torn or seen too early.  On Windows once more, with what
 * stands in where the compiler has no atomics: interlocked_win32.c. */
#include "conform.h"

#include <stdlib.h>

/* Each atomic operation of the simulated system is a place to switch. */
#ifdef GNP_SIM
#  define ROUNDS 300u
#else
#  define ROUNDS 20000u
#endif
#define THREADS 4u
#define TWICE UINT64_C(0x100000001) /* times a number below 2^32: both halves are the same */

typedef struct arena {
    gnp_atomic32 n32, ready;
    gnp_atomic64 n64, twice, relaxed;
    gnp_atomic_ptr top, hole;
    unsigned char *taken; /* of a ticket, by whom drew it */
    uint64_t plain;       /* handed over by ready */
    gnp_atomic32 wrong;
    gnp_mutex lock; /* of here */
    unsigned here;  /* of the crowd, waiting for the others */
} arena;

typedef struct link {
    struct link *next;
} link;

typedef struct hand {
    arena *a;
    void (*work)(void *hand);
    link *links;
    uint64_t held;
} hand;

static int whole(uint64_t x)
{
    return (uint32_t)x == (uint32_t)(x >> 32);
}

/* Whether all are here; not told by what is tested. */
static int all_here(arena *a, unsigned more)
{
    int yes;

    gnp_mutex_lock(&a->lock);
    a->here += more;
    yes = a->here >= THREADS;
    gnp_mutex_unlock(&a->lock);
    return yes;
}

static void enter(void *arg)
{
    hand *h = arg;

    for (unsigned more = 1; !all_here(h->a, more); more = 0)
        gnp_thread_yield();
    h->work(h);
}

/* All of them at once, on the same words. */
static void crowd(arena *a, void (*work)(void *), hand *h)
{
    gnp_thread t[THREADS];

    ck_assert_int_eq(gnp_mutex_init(&a->lock), GNP_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        h[i].a = a;
        h[i].work = work;
        ck_assert_int_eq(gnp_thread_start(&t[i], enter, &h[i], "crowd"), GNP_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        gnp_thread_join(&t[i]);
    gnp_mutex_destroy(&a->lock);
    ck_assert_uint_eq(gnp_load32(&a->wrong), 0);
}

static void count(void *arg)
{
    hand *h = arg;
    arena *a = h->a;

    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)gnp_add32(&a->n32, 3);
        (void)gnp_add64(&a->n64, TWICE * 3);
        (void)gnp_sub32(&a->n32, 2);
        (void)gnp_sub64(&a->n64, TWICE * 2);
        if (!whole(gnp_load64(&a->n64)))
            gnp_add32(&a->wrong, 1);
    }
}

START_TEST(sums_are_whole)
{
    arena a;
    hand h[THREADS];

    memset(&a, 0, sizeof(a));
    memset(h, 0, sizeof(h));
    crowd(&a, count, h);
    ck_assert_uint_eq(gnp_load32(&a.n32), THREADS * ROUNDS);
    ck_assert_uint_eq(gnp_load64(&a.n64), TWICE * THREADS * ROUNDS);
    gnp_store32(&a.n32, 0);
    ck_assert_uint_eq(gnp_sub32(&a.n32, 1), 0);
    ck_assert_uint_eq(gnp_load32(&a.n32), UINT32_MAX);
    ck_assert_uint_eq(gnp_add32(&a.n32, 2), UINT32_MAX);
    ck_assert_uint_eq(gnp_swap32(&a.n32, 7), 1);
    ck_assert_uint_eq(gnp_load32(&a.n32), 7);
    gnp_store64(&a.n64, 0);
    ck_assert_uint_eq(gnp_sub64(&a.n64, 1), 0);
    ck_assert_uint_eq(gnp_add64(&a.n64, 1), UINT64_MAX);
}
END_TEST

static void ticket(void *arg)
{
    hand *h = arg;

    for (unsigned i = 0; i < ROUNDS; i++)
        h->a->taken[gnp_add32(&h->a->n32, 1)]++;
}

START_TEST(tickets_are_drawn_once)
{
    arena a;
    hand h[THREADS];

    memset(&a, 0, sizeof(a));
    memset(h, 0, sizeof(h));
    a.taken = calloc(THREADS * ROUNDS, 1);
    ck_assert_ptr_nonnull(a.taken);
    crowd(&a, ticket, h);
    for (unsigned i = 0; i < THREADS * ROUNDS; i++)
        ck_assert_uint_eq(a.taken[i], 1);
    free(a.taken);
}
END_TEST

/* Each gives what it holds for what is there. */
static void trade(void *arg)
{
    hand *h = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        h->held = gnp_swap32(&h->a->n32, (uint32_t)h->held);
        h->links = gnp_swap_ptr(&h->a->hole, h->links);
    }
}

START_TEST(swaps_lose_nothing)
{
    arena a;
    hand h[THREADS];
    link l[THREADS + 1];
    uint64_t sum = 0;
    unsigned seen = 0;

    memset(&a, 0, sizeof(a));
    memset(h, 0, sizeof(h));
    gnp_store32(&a.n32, 1);
    gnp_store_ptr(&a.hole, &l[THREADS]);
    for (unsigned i = 0; i < THREADS; i++) {
        h[i].held = UINT64_C(1) << (4 * (i + 1));
        h[i].links = &l[i];
    }
    crowd(&a, trade, h);
    sum = gnp_load32(&a.n32);
    seen = 1u << ((link *)gnp_load_ptr(&a.hole) - l);
    for (unsigned i = 0; i < THREADS; i++) {
        sum += h[i].held;
        seen |= 1u << (h[i].links - l);
    }
    ck_assert_uint_eq(sum, 0x11111);
    ck_assert_uint_eq(seen, (1u << (THREADS + 1)) - 1);
}
END_TEST

static void compete(void *arg)
{
    hand *h = arg;
    arena *a = h->a;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t n = gnp_load32(&a->n32);
        uint64_t w = gnp_load64(&a->twice);
        void *top = gnp_load_ptr(&a->top);

        while (!gnp_cas32(&a->n32, &n, n + 1)) {}
        while (!gnp_cas64(&a->twice, &w, w + TWICE))
            if (!whole(w))
                gnp_add32(&a->wrong, 1);
        do {
            h->links[i].next = top;
        } while (!gnp_cas_ptr(&a->top, &top, &h->links[i]));
    }
}

START_TEST(exchanges_that_compare)
{
    arena a;
    hand h[THREADS];
    unsigned n = 0;

    memset(&a, 0, sizeof(a));
    memset(h, 0, sizeof(h));
    for (unsigned i = 0; i < THREADS; i++) {
        h[i].links = calloc(ROUNDS, sizeof(link));
        ck_assert_ptr_nonnull(h[i].links);
    }
    crowd(&a, compete, h);
    ck_assert_uint_eq(gnp_load32(&a.n32), THREADS * ROUNDS);
    ck_assert_uint_eq(gnp_load64(&a.twice), TWICE * THREADS * ROUNDS);
    for (link *l = gnp_load_ptr(&a.top); l != NULL; l = l->next)
        n++;
    ck_assert_uint_eq(n, THREADS * ROUNDS);

    /* One that fails changes nothing and says what is there; one that does not leaves expected as it was. */
    uint32_t e32 = 5;
    uint64_t e64 = TWICE;
    void *e_ptr = &a;
    gnp_store32(&a.n32, UINT32_MAX);
    gnp_store64(&a.n64, UINT64_MAX - 1);
    gnp_store_ptr(&a.hole, &n);
    ck_assert(!gnp_cas32(&a.n32, &e32, 1));
    ck_assert(!gnp_cas64(&a.n64, &e64, 1));
    ck_assert(!gnp_cas_ptr(&a.hole, &e_ptr, NULL));
    ck_assert_uint_eq(e32, UINT32_MAX);
    ck_assert_uint_eq(e64, UINT64_MAX - 1);
    ck_assert_ptr_eq(e_ptr, &n);
    ck_assert(gnp_cas32(&a.n32, &e32, 1));
    ck_assert(gnp_cas64(&a.n64, &e64, TWICE));
    ck_assert(gnp_cas_ptr(&a.hole, &e_ptr, &a));
    ck_assert_uint_eq(e32, UINT32_MAX);
    ck_assert_uint_eq(e64, UINT64_MAX - 1);
    ck_assert_ptr_eq(e_ptr, &n);
    ck_assert_uint_eq(gnp_load32(&a.n32), 1);
    ck_assert_uint_eq(gnp_load64(&a.n64), TWICE);
    ck_assert_ptr_eq(gnp_load_ptr(&a.hole), &a);
    for (unsigned i = 0; i < THREADS; i++)
        free(h[i].links);
}
END_TEST

/* A store releases: who sees it sees what was written before it.  A relaxed one is at least never torn. */
static void hand_over(void *arg)
{
    arena *a = ((hand *)arg)->a;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        gnp_store64_relaxed(&a->relaxed, TWICE * i);
        while (gnp_load32(&a->ready) != 0)
            gnp_thread_yield();
        a->plain = i;
        gnp_store32(&a->ready, i);
    }
}

START_TEST(what_is_stored_is_seen)
{
    arena a;
    hand h = { &a, NULL, NULL, 0 };
    gnp_thread t;
    uint64_t last = 0;

    memset(&a, 0, sizeof(a));
    ck_assert_int_eq(gnp_thread_start(&t, hand_over, &h, "writer"), GNP_OK);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint64_t now;
        while (gnp_load32(&a.ready) == 0) {
            now = gnp_load64_relaxed(&a.relaxed);
            ck_assert(whole(now) && now >= last);
            last = now;
            gnp_thread_yield();
        }
        ck_assert_uint_eq(gnp_load32(&a.ready), i);
        ck_assert_uint_eq(a.plain, i);
        gnp_store32(&a.ready, 0);
    }
    gnp_thread_join(&t);
    ck_assert_uint_eq(gnp_load64_relaxed(&a.relaxed), TWICE * ROUNDS);
}
END_TEST

void add_atomic_tests(Suite *s)
{
    ADD_TEST(s, sums_are_whole);
    ADD_TEST(s, tickets_are_drawn_once);
    ADD_TEST(s, swaps_lose_nothing);
    ADD_TEST(s, exchanges_that_compare);
    ADD_TEST(s, what_is_stored_is_seen);
}
