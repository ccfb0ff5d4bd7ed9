/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "gannet.h"
#include "lib/mpsc.h"
#include "platform/platform.h"

#define PRODUCERS 4u

/* Of a producer's i-th note. */
#define PRIORITY_OF(i) ((i) % 3 == 2 ? GNI_LOW : GNI_HIGH)

#define SECOND UINT64_C(1000000000)

/* As in the library: in static memory, since threads may be late. */
static gni_mailbox box;

typedef struct note {
    gni_task task; /* first */
    unsigned producer;
    uint32_t number;
    unsigned seen;
} note;

static gnp_poller *open_poller(void)
{
    gnp_poller *p = NULL;
    gnp_poller_config c;

    memset(&c, 0, sizeof c);
    ck_assert_int_eq(gnp_sys_init(), GN_OK);
    ck_assert_int_eq(gnp_poller_open(&p, &c), GN_OK);
    return p;
}

START_TEST(closed_until_opened)
{
    note n[3] = { { .number = 0 } };
    gnp_poller *p = open_poller();
    gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
    gni_task *t;

    /* Zeroed, as static memory is. */
    ck_assert_int_eq(gni_mailbox_push(&box, &n[0].task, GNI_HIGH, 0), GN_ECLOSED);
    ck_assert_int_eq(gni_mailbox_take(&box, q), 0);
    ck_assert(!gni_mailbox_pending(&box));
    gni_mailbox_close(&box, q);
    gni_mailbox_init_closed(&box);
    ck_assert_int_eq(gni_mailbox_push(&box, &n[0].task, GNI_LOW, 1), GN_ECLOSED);

    gni_mailbox_open(&box, p);
    ck_assert_int_eq(gni_mailbox_take(&box, q), 0);
    ck_assert(q[GNI_HIGH].first == NULL && q[GNI_LOW].first == NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(gni_mailbox_push(&box, &n[i].task, GNI_HIGH, i == 1), GN_OK);
    ck_assert(gni_mailbox_pending(&box));
    ck_assert_int_eq(gni_mailbox_take(&box, q), 1);
    t = q[GNI_HIGH].first;
    for (unsigned i = 0; i < 3; i++, t = t->next)
        ck_assert(t == &n[i].task);
    ck_assert(t == NULL && q[GNI_HIGH].last == &n[2].task && q[GNI_LOW].first == NULL);
    ck_assert(!gni_mailbox_pending(&box));
    q[GNI_HIGH].first = NULL;
    ck_assert_int_eq(gni_mailbox_push(&box, &n[2].task, GNI_HIGH, 1), GN_OK);
    ck_assert_int_eq(gni_mailbox_push(&box, &n[0].task, GNI_HIGH, 1), GN_OK);
    gni_mailbox_close(&box, q);
    t = q[GNI_HIGH].first;
    ck_assert(t == &n[2].task && t->next == &n[0].task && n[0].task.next == NULL);
    ck_assert_int_eq(gni_mailbox_push(&box, &n[1].task, GNI_HIGH, 0), GN_ECLOSED);
    gnp_poller_close(p);
}
END_TEST

/* One box, two queues: what is taken goes behind what was taken before, each in its own. */
START_TEST(priorities_are_parted)
{
    note n[6] = { { .number = 0 } };
    const unsigned priority[6] = { GNI_LOW, GNI_HIGH, GNI_LOW, GNI_HIGH, GNI_HIGH, GNI_LOW };
    gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
    gnp_poller *p = open_poller();

    gni_mailbox_open(&box, p);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(gni_mailbox_push(&box, &n[i].task, priority[i], 1), GN_OK);
        if (i == 2)
            ck_assert_int_eq(gni_mailbox_take(&box, q), 1);
    }
    gni_mailbox_close(&box, q);
    for (unsigned k = 0; k < GNI_PRIORITIES; k++) {
        gni_task *t = q[k].first;

        for (unsigned i = 0; i < 6; i++) {
            if (priority[i] != k)
                continue;
            ck_assert(t == &n[i].task);
            t = t->next;
        }
        ck_assert(t == NULL);
    }
    ck_assert(q[GNI_HIGH].last == &n[4].task && q[GNI_LOW].last == &n[5].task);
    gnp_poller_close(p);
}
END_TEST

START_TEST(charges_have_a_limit)
{
    gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
    gnp_poller *p = open_poller();

    gnp_store64(&box.posted_max, 100);
    ck_assert_int_eq(gni_mailbox_charge(&box, 101), GN_ECLOSED); /* the better reason */
    gni_mailbox_open(&box, p);
    ck_assert_int_eq(gni_mailbox_charge(&box, 60), GN_OK);
    ck_assert_int_eq(gni_mailbox_charge(&box, 41), GN_ELIMIT);
    ck_assert_int_eq(gni_mailbox_charge(&box, 40), GN_OK);
    ck_assert_int_eq(gni_mailbox_charge(&box, 1), GN_ELIMIT);
    gni_mailbox_uncharge(&box, 60);
    ck_assert_uint_eq(gnp_load64(&box.posted), 40);
    ck_assert_int_eq(gni_mailbox_charge(&box, 101), GN_ELIMIT);
    gni_mailbox_uncharge(&box, 40);
    ck_assert_int_eq(gni_mailbox_charge(&box, 100), GN_OK);
    gni_mailbox_uncharge(&box, 100);
    gni_mailbox_close(&box, q);
    gnp_poller_close(p);
}
END_TEST

/* Producers push until they are refused; each keeps count of what was taken from it. */
typedef struct producer {
    gnp_thread thread;
    unsigned index;
    uint32_t count;  /* notes that it has */
    uint32_t pushed; /* GN_OK */
    int refused;
    unsigned pause; /* yields now and then, so that the box runs empty */
    note *notes;
} producer;

static void produce(void *arg)
{
    producer *p = arg;

    for (uint32_t i = 0; i < p->count; i++) {
        note *n = &p->notes[i];

        n->producer = p->index;
        n->number = i;
        if (gni_mailbox_push(&box, &n->task, PRIORITY_OF(i), 0) != GN_OK) {
            p->refused = 1;
            return;
        }
        p->pushed++;
        if (p->pause != 0 && i % p->pause == 0)
            gnp_thread_yield();
    }
}

static void producers_start(producer *p, uint32_t count, unsigned pause)
{
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i].index = i;
        p[i].count = count;
        p[i].pushed = 0;
        p[i].refused = 0;
        p[i].pause = pause * i;
        p[i].notes = calloc(count, sizeof *p[i].notes);
        ck_assert(p[i].notes != NULL);
        ck_assert_int_eq(gnp_thread_start(&p[i].thread, produce, &p[i], "producer"), GN_OK);
    }
}

/* Takes note of both queues, and empties them: each note once, and those of one producer in its order. */
static uint32_t read_notes(gni_taskq *q, uint32_t (*next)[GNI_PRIORITIES])
{
    uint32_t n = 0;

    for (unsigned k = 0; k < GNI_PRIORITIES; k++) {
        for (gni_task *t = q[k].first; t != NULL; t = t->next, n++) {
            note *got = (note *)(void *)t;
            uint32_t *at = &next[got->producer][k];

            while (PRIORITY_OF(*at) != k)
                ++*at;
            MUST(got->number == *at);
            MUST(got->seen == 0);
            got->seen = 1;
            ++*at;
        }
        q[k].first = NULL;
    }
    return n;
}

/* Sleeps until it is woken, as a loop does; a wake that is lost is a failure. */
static void sleep_until_woken(gnp_poller *p)
{
    gnp_event ev[4];
    uint64_t deadline = gnp_now() + 60 * SECOND;

    for (;;) {
        int n = gnp_poller_wait(p, ev, 4, deadline);

        ck_assert_int_ge(n, 0);
        if (n > 0)
            return;
        ck_assert_msg(gnp_now() < deadline, "a wake was lost");
    }
}

START_TEST(many_producers)
{
    const uint32_t count = scaled(50000, 2000);
    uint32_t next[PRODUCERS][GNI_PRIORITIES] = { { 0 } }, total = 0;
    gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
    producer p[PRODUCERS];
    gnp_poller *poller = open_poller();

    gni_mailbox_open(&box, poller);
    producers_start(p, count, (unsigned)_i * 7);
    while (total < PRODUCERS * count) {
        if (!gni_mailbox_take(&box, q) && gni_mailbox_rest(&box))
            sleep_until_woken(poller);
        total += read_notes(q, next);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        gnp_thread_join(&p[i].thread);
        ck_assert_uint_eq(p[i].pushed, count);
        free(p[i].notes);
    }
    gni_mailbox_close(&box, q);
    ck_assert_uint_eq(read_notes(q, next), 0);
    gnp_poller_close(poller);
}
END_TEST

/* The loop ends while all push; then the box gets another loop, with late pushers around. */
START_TEST(close_races_with_pushes)
{
    unsigned rounds = scaled(40, 4);
    rng g = { (uint64_t)_i };

    for (unsigned r = 0; r < rounds; r++) {
        uint32_t next[PRODUCERS][GNI_PRIORITIES] = { { 0 } };
        gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
        uint64_t pushed = 0, stop = rng_below(&g, 20000);
        producer p[PRODUCERS];
        gnp_poller *poller = open_poller();
        uint64_t total = 0, start = gnp_now();

        gni_mailbox_open(&box, poller);
        producers_start(p, 20000, (unsigned)rng_below(&g, 50));
        while (total < stop && gnp_now() - start < 20 * SECOND) {
            (void)gni_mailbox_take(&box, q);
            total += read_notes(q, next);
        }
        gni_mailbox_close(&box, q);
        total += read_notes(q, next);
        /* Whoever still came to gnp_wake would use it after this. */
        gnp_poller_close(poller);
        for (unsigned i = 0; i < PRODUCERS; i++) {
            gnp_thread_join(&p[i].thread);
            pushed += p[i].pushed;
            ck_assert_int_eq(p[i].refused, p[i].pushed < p[i].count);
            free(p[i].notes);
        }
        ck_assert_uint_eq(total, pushed);
        ck_assert_int_eq(gni_mailbox_take(&box, q), 0);
    }
}
END_TEST

static gnp_atomic32 waker_left;

static void be_a_slow_waker(void *arg)
{
    (void)arg;
    gnp_sleep_until(gnp_now() + SECOND / 20);
    gnp_store32(&waker_left, 1);
    gnp_sub32(&box.wakers, 1);
}

/* A thread that was preempted just before gnp_wake is waited for. */
START_TEST(close_waits_for_wakers)
{
    gni_taskq q[GNI_PRIORITIES] = { { NULL, NULL }, { NULL, NULL } };
    gnp_poller *poller = open_poller();
    gnp_thread t;

    gnp_store32(&waker_left, 0);
    gni_mailbox_open(&box, poller);
    gnp_add32(&box.wakers, 1);
    ck_assert_int_eq(gnp_thread_start(&t, be_a_slow_waker, NULL, "waker"), GN_OK);
    gni_mailbox_close(&box, q);
    ck_assert(q[GNI_HIGH].first == NULL);
    ck_assert_uint_eq(gnp_load32(&waker_left), 1);
    gnp_thread_join(&t);
    gnp_poller_close(poller);
}
END_TEST

Suite *suite_mailbox(void)
{
    Suite *s = suite_create("mailbox");
    TCase *t = tcase_create("mailbox");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, closed_until_opened);
    tcase_add_test(t, priorities_are_parted);
    tcase_add_test(t, charges_have_a_limit);
    tcase_add_loop_test(t, many_producers, 0, 4);
    tcase_add_loop_test(t, close_races_with_pushes, 0, 4);
    tcase_add_test(t, close_waits_for_wakers);
    suite_add_tcase(s, t);
    return s;
}
