/* SPDX-License-Identifier: MIT */
#include "conform.h"

#include <signal.h> /* SIGTERM, by which a case ends, is of the C standard */

START_TEST(environment)
{
    ck_assert_ptr_null(gnp_env("GANNET_THERE_IS_NO_SUCH_VARIABLE"));
    gnp_stderr("", 0);
    ck_assert_uint_gt(gnp_descriptor_limit(0), 0);
    ck_assert_uint_ge(gnp_descriptor_limit(1), gnp_descriptor_limit(0));
}
END_TEST

START_TEST(resident_memory_grows)
{
    const size_t size = 64u << 20;
    uint64_t before = gnp_resident();
    volatile char *p; /* else the compiler sees that nobody reads it */
    size_t i;

    if (before == 0)
        return; /* not known here */
    p = gnp_alloc(size);
    ck_assert_ptr_nonnull((void *)(uintptr_t)p);
    for (i = 0; i < size; i += 1024)
        p[i] = 1;
    ck_assert_uint_ge(gnp_resident(), before + size / 2);
    gnp_free((void *)(uintptr_t)p, size);
}
END_TEST

static void pin(void *arg)
{
    int *r = arg;
    unsigned n = gnp_cpu_count(), i;

    for (i = 0; i < 2 * n && (*r = gnp_cpu_pin(i)) == GNP_OK; i++)
        gnp_cpu_relax();
    if (*r == GNP_OK && gnp_cpu_count() != n)
        *r = 1; /* a pinned thread does not change what the process may use */
}

START_TEST(cpus)
{
    gnp_thread t;
    int r = 0;

    ck_assert_uint_ge(gnp_cpu_count(), 1);
    ck_assert_uint_le(gnp_cpu_count(), 65536);
    ck_assert_int_eq(gnp_thread_start(&t, pin, &r, "pinned"), GNP_OK);
    gnp_thread_join(&t);
    ck_assert_msg(r == GNP_OK || r == GNP_ENOTSUP, "%d", r);
}
END_TEST

/* --------------------------------------------------------------- signals */

static gnp_poller *open_poller(void)
{
    gnp_poller *p;

    ck_assert_int_eq(gnp_sys_init(), GNP_OK);
    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    return p;
}

static void expect_woken(gnp_poller *p)
{
    gnp_event ev[4];

    ck_assert_int_eq(gnp_poller_wait(p, ev, 4, gnp_now() + PATIENCE), 1);
    ck_assert_uint_eq(ev[0].what, GNP_EV_WOKEN);
}

START_TEST(signal_is_kept)
{
    gnp_poller *a = open_poller(), *b = open_poller();

    ck_assert_int_eq(gnp_signal_watch(a), GNP_OK);
    ck_assert_int_eq(gnp_signal_watch(b), GNP_OK);
    ck_assert_int_eq(gnp_signal_take(a), GNP_SIGNAL_NONE);
    signal_send(_i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    expect_woken(a);
    expect_woken(b);
    ck_assert_int_eq(gnp_signal_take(a), _i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    ck_assert_int_eq(gnp_signal_take(a), GNP_SIGNAL_NONE);
    ck_assert_int_eq(gnp_signal_take(b), _i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    gnp_signal_unwatch(a);
    ck_assert_int_eq(gnp_signal_take(a), GNP_SIGNAL_NONE);
    gnp_signal_unwatch(b);
    gnp_signal_unwatch(b); /* not watched: nothing happens */
    gnp_poller_close(a);
    gnp_poller_close(b);
}
END_TEST

/* Held from before there is a poller, and given to the one that comes. */
START_TEST(signal_before_the_poller)
{
    gnp_poller *p;

    ck_assert_int_eq(gnp_signal_hold(), GNP_OK);
    signal_send(_i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
    ck_assert_int_eq(gnp_signal_watch(p), GNP_OK);
    ck_assert_int_eq(gnp_signal_take(p), _i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    ck_assert_int_eq(gnp_signal_take(p), GNP_SIGNAL_NONE);
    gnp_signal_unwatch(p);
    gnp_signal_unhold();

    /* That one is over. */
    ck_assert_int_eq(gnp_signal_watch(p), GNP_OK);
    ck_assert_int_eq(gnp_signal_take(p), GNP_SIGNAL_NONE);
    gnp_signal_unwatch(p);
    gnp_poller_close(p);
}
END_TEST

/* Taken once, watched for the second time: the engine was started again. */
START_TEST(signal_after_a_restart)
{
    gnp_poller *p = open_poller();
    int i;

    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(gnp_signal_watch(p), GNP_OK);
        signal_send(GNP_SIGNAL_TERM);
        expect_woken(p);
        ck_assert_int_eq(gnp_signal_take(p), GNP_SIGNAL_TERM);
        gnp_signal_unwatch(p);
    }
    gnp_poller_close(p);
}
END_TEST

/* The case ends by the signal, which the runner expects. */
START_TEST(second_signal_kills)
{
    gnp_poller *p = open_poller();

    ck_assert_int_eq(gnp_signal_watch(p), GNP_OK);
    signal_send(GNP_SIGNAL_INT);
    ck_assert_int_eq(gnp_signal_take(p), GNP_SIGNAL_INT);
    signal_send(GNP_SIGNAL_TERM);
    exit(0);
}
END_TEST

START_TEST(unwatch_restores_what_was)
{
    gnp_poller *p = open_poller();
    int i;

    for (i = 0; i < 4; i++) {
        signal_dispose(GNP_SIGNAL_TERM, SIGNAL_HANDLE);
        signal_dispose(GNP_SIGNAL_INT, SIGNAL_IGNORE);
        ck_assert_int_eq(gnp_signal_watch(p), GNP_OK);
        if (i % 2 != 0) {
            signal_send(GNP_SIGNAL_TERM);
            ck_assert_int_eq(gnp_signal_take(p), GNP_SIGNAL_TERM);
        }
        gnp_signal_unwatch(p);
        ck_assert_int_eq(signals_handled(), 0);
        signal_send(GNP_SIGNAL_TERM);
        signal_send(GNP_SIGNAL_INT);
        ck_assert_int_eq(signals_handled(), 1);
    }
    signal_dispose(GNP_SIGNAL_TERM, SIGNAL_DEFAULT);
    signal_dispose(GNP_SIGNAL_INT, SIGNAL_DEFAULT);
    gnp_poller_close(p);
}
END_TEST

START_TEST(too_many_watchers)
{
    static gnp_poller *p[4096];
    int n = 0, r = GNP_OK;

    while (n < 4096 && r == GNP_OK) {
        gnp_poller_config c = { .read_buffer = 1, .dgram_size = 1 };
        if (gnp_poller_open(&p[n], &c) != GNP_OK)
            break;
        r = gnp_signal_watch(p[n]);
        n++;
    }
    ck_assert_int_ge(n, 16);
    ck_assert(r == GNP_OK || r == GNP_EBUSY);
    signal_send(GNP_SIGNAL_INT);
    while (n-- > 0) {
        if (r == GNP_OK)
            ck_assert_int_eq(gnp_signal_take(p[n]), GNP_SIGNAL_INT);
        else
            ck_assert_int_eq(gnp_signal_take(p[n]), GNP_SIGNAL_NONE);
        r = GNP_OK; /* the last one only was refused */
        gnp_signal_unwatch(p[n]);
        gnp_poller_close(p[n]);
    }
}
END_TEST

typedef struct loop {
    gnp_poller *p;
    gnp_atomic32 ready, done;
} loop;

static void wait_for_signal(void *arg)
{
    loop *l = arg;
    gnp_event ev[4];

    l->p = open_poller();
    gnp_store32(&l->ready, 1);
    gnp_poller_wait(l->p, ev, 4, gnp_now() + PATIENCE);
    gnp_store32(&l->ready, 0);
    while (gnp_load32(&l->done) == 0)
        gnp_thread_yield();
    gnp_poller_close(l->p);
}

/* A loop on a thread of its own is woken although the signal never comes to that thread. */
START_TEST(signal_wakes_another_thread)
{
    static loop l;
    gnp_thread t;
    uint64_t start = gnp_now();

    gnp_store32(&l.ready, 0);
    gnp_store32(&l.done, 0);
    ck_assert_int_eq(gnp_thread_start(&t, wait_for_signal, &l, "loop"), GNP_OK);
    while (gnp_load32(&l.ready) == 0)
        gnp_thread_yield();
    ck_assert_int_eq(gnp_signal_watch(l.p), GNP_OK);
    gnp_sleep_until(gnp_now() + 20 * MS);
    signal_send(GNP_SIGNAL_INT);
    while (gnp_load32(&l.ready) != 0)
        gnp_thread_yield();
    ck_assert_uint_lt(gnp_now(), start + PATIENCE);
    ck_assert_int_eq(gnp_signal_take(l.p), GNP_SIGNAL_INT);
    gnp_signal_unwatch(l.p);
    gnp_store32(&l.done, 1);
    gnp_thread_join(&t);
}
END_TEST

/* ---------------------------------------------------------------- claims */

/* Caught each time, told once for several, to whoever has the claim only. */
START_TEST(claimed_signal)
{
    gnp_poller *p = open_poller(), *w = open_poller();
    int what = _i == 0 ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM, i;

    ck_assert_int_eq(gnp_signal_watch(w), GNP_OK);
    ck_assert_int_eq(gnp_signal_claim(what), GNP_OK);
    ck_assert_int_eq(gnp_signal_claim(what), GNP_EBUSY);
    signal_send(what);
    gnp_signal_route(what, p); /* it came before */
    for (i = 0; i < 3; i++) {
        expect_woken(p);
        ck_assert_int_eq(gnp_signal_came(what), 1);
        ck_assert_int_eq(gnp_signal_came(what), 0);
        signal_send(what);
        signal_send(what);
    }
    gnp_signal_route(what, NULL);
    signal_send(what);
    ck_assert_int_eq(gnp_signal_came(what), 1);
    ck_assert_int_eq(gnp_signal_take(w), GNP_SIGNAL_NONE);

    /* The other one is still watched for; it puts back its own default and that of none that is claimed. */
    signal_send(_i == 0 ? GNP_SIGNAL_TERM : GNP_SIGNAL_INT);
    ck_assert_int_eq(gnp_signal_take(w), _i == 0 ? GNP_SIGNAL_TERM : GNP_SIGNAL_INT);
    signal_send(what);
    ck_assert_int_eq(gnp_signal_came(what), 1);
    gnp_signal_disclaim(what);
    gnp_signal_unwatch(w);
    gnp_poller_close(p);
    gnp_poller_close(w);
}
END_TEST

static gnp_atomic32 claiming;

static void claim_often(void *arg)
{
    unsigned i;

    (void)arg;
    for (i = 0; i < scaled(20000, 500); i++) {
        ck_assert_int_eq(gnp_signal_claim(GNP_SIGNAL_INT), GNP_OK);
        gnp_signal_disclaim(GNP_SIGNAL_INT);
    }
    gnp_store32(&claiming, 0);
}

/* A signal that comes at the beginning or the end of a claim is no matter of those who watch, of whom there
 * are none: nobody's handling of the two becomes the default, which would end this process. */
START_TEST(signal_while_it_is_claimed)
{
    gnp_thread t;

    if (emulator_lacks("changing-handlers", "signal_while_it_is_claimed"))
        return;
    if (!signals_stay()) {
        printf("raise() sets the default before a handler runs: it may end the process during a claim\n");
        return;
    }
    signal_dispose(GNP_SIGNAL_INT, SIGNAL_IGNORE);
    signal_dispose(GNP_SIGNAL_TERM, SIGNAL_IGNORE);
    gnp_store32(&claiming, 1);
    ck_assert_int_eq(gnp_thread_start(&t, claim_often, NULL, "claims"), GNP_OK);
    while (gnp_load32(&claiming) != 0)
        signal_send(GNP_SIGNAL_INT);
    gnp_thread_join(&t);
    ck_assert_int_eq(signal_disposition(GNP_SIGNAL_TERM), SIGNAL_IGNORE);
    ck_assert_int_eq(signal_disposition(GNP_SIGNAL_INT), SIGNAL_IGNORE);
}
END_TEST

/* Whoever leaves first. */
START_TEST(disclaim_restores_what_was)
{
    gnp_poller *w = open_poller();

    signal_dispose(GNP_SIGNAL_TERM, SIGNAL_HANDLE);
    if (_i % 2 != 0)
        ck_assert_int_eq(gnp_signal_watch(w), GNP_OK);
    ck_assert_int_eq(gnp_signal_claim(GNP_SIGNAL_TERM), GNP_OK);
    signal_send(GNP_SIGNAL_TERM);
    if (_i == 1)
        gnp_signal_unwatch(w);
    signal_send(GNP_SIGNAL_TERM);
    ck_assert_int_eq(signals_handled(), 0);
    gnp_signal_disclaim(GNP_SIGNAL_TERM);
    if (_i == 3) { /* those who watch get it again */
        signal_send(GNP_SIGNAL_TERM);
        ck_assert_int_eq(gnp_signal_take(w), GNP_SIGNAL_TERM);
        gnp_signal_unwatch(w);
    }
    ck_assert_int_eq(signals_handled(), 0);
    signal_send(GNP_SIGNAL_TERM);
    ck_assert_int_eq(signals_handled(), 1);
    ck_assert_int_eq(gnp_signal_claim(GNP_SIGNAL_TERM), GNP_OK);
    ck_assert_int_eq(gnp_signal_came(GNP_SIGNAL_TERM), 0);
    gnp_signal_disclaim(GNP_SIGNAL_TERM);
    signal_dispose(GNP_SIGNAL_TERM, SIGNAL_DEFAULT);
    gnp_poller_close(w);
}
END_TEST

START_TEST(claims_of_every_kind)
{
    static const int kinds[] = { GNP_SIGNAL_HUP, GNP_SIGNAL_INT, GNP_SIGNAL_QUIT, GNP_SIGNAL_USR1,
                                 GNP_SIGNAL_USR2, GNP_SIGNAL_TERM, GNP_SIGNAL_CHLD, GNP_SIGNAL_WINCH };

    for (int again = 0; again < 2; again++) {
        int got[8];

        for (int i = 0; i < 8; i++) {
            got[i] = gnp_signal_claim(kinds[i]);
            ck_assert(got[i] == GNP_OK || got[i] == GNP_ENOTSUP);
        }
        for (int i = 0; i < 8; i++) {
            if (got[i] == GNP_OK)
                gnp_signal_disclaim(kinds[i]);
        }
    }
    ck_assert_int_eq(gnp_signal_claim(GNP_SIGNAL_NONE), GNP_ENOTSUP);
}
END_TEST

Suite *suite_sys(void)
{
    Suite *s = suite_create("sys");

    ADD_TEST(s, environment);
    ADD_TEST(s, resident_memory_grows);
    ADD_TEST(s, cpus);
    tcase_add_loop_test(case_of(s, "signal_is_kept"), signal_is_kept, 0, 2);
    tcase_add_loop_test(case_of(s, "signal_before_the_poller"), signal_before_the_poller, 0, 2);
    ADD_TEST(s, signal_after_a_restart);
    ADD_TEST(s, unwatch_restores_what_was);
    ADD_TEST(s, too_many_watchers);
    ADD_TEST(s, signal_wakes_another_thread);
    tcase_add_loop_test(case_of(s, "claimed_signal"), claimed_signal, 0, 2);
    tcase_add_test(case_of(s, "signal_while_it_is_claimed"), signal_while_it_is_claimed);
    tcase_add_loop_test(case_of(s, "disclaim_restores_what_was"), disclaim_restores_what_was, 0, 4);
    ADD_TEST(s, claims_of_every_kind);
    return s;
}

/* Apart, since it ends its process: not where the runner cannot fork. */
void add_signal_suite(SRunner *r)
{
    Suite *s;

    if (srunner_fork_status(r) == CK_NOFORK)
        return;
    s = suite_create("signal");
    tcase_add_test_raise_signal(case_of(s, "second_signal_kills"), second_signal_kills, SIGTERM);
    srunner_add_suite(r, s);
}
