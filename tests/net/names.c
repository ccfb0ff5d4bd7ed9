/* SPDX-License-Identifier: MIT */
/*
 * Names that are dialled.  The program has a gnp_resolve of its own, which the linker takes instead of the
 * platform's, so that names answer what a test wants, when it wants.
 */
#include "harness.h"

#include <stdio.h>

/* ------------------------------------------------------------- the resolver */

static gnp_atomic32 asked;     /* calls */
static gnp_atomic32 answering; /* 1: names that begin with "slow" answer */
static gnp_atomic32 family_seen;

static int put(gnp_addr *out, int cap, int n, const char *ip)
{
    if (n < cap)
        NT_EXPECT_INT(gnp_ip_parse(ip, &out[n]), GNP_OK);
    return n < cap ? n + 1 : n;
}

int gnp_resolve(const char *host, int family, gnp_addr *out, int cap)
{
    int n = 0;
    gnp_add32(&asked, 1);
    gnp_store32(&family_seen, (uint32_t)family);
    while (strncmp(host, "slow", 4) == 0 && !gnp_load32(&answering))
        gnp_sleep_until(gnp_now() + NT_MS);
    if (strcmp(host, "none.test") == 0)
        return GNP_EADDR;
    if (strcmp(host, "empty.test") == 0) /* as no platform should say it */
        return 0;
    if (strcmp(host, "nomem.test") == 0)
        return GNP_ENOMEM;
    if (strcmp(host, "far.test") == 0) { /* many that cannot be reached, and then one that can */
        for (int i = 0; i < 10; i++)
            n = put(out, cap, n, "::ffff:0:0:1"); /* no route, at once */
        return put(out, cap, n, "127.0.0.1");
    }
    return put(out, cap, put(out, cap, n, "127.0.0.1"), "::1");
}

/* ------------------------------------------------------------------- tools */

static gnp_atomic32 done_times[4096];

static void *id(unsigned i)
{
    return &done_times[i];
}

static void on_done(gn_handle h, int status, void *arg)
{
    gnp_atomic32 *at = arg;
    NT_EXPECT((status == GN_OK) == (h != GN_HANDLE_NONE));
    NT_EXPECT_INT(gnp_add32(at, 1), 0);
    nt_note(NT_DONE, (uint64_t)(at - done_times), status);
}

static const gn_handler quiet = { .on_open = nt_on_open, .on_close = nt_on_close };
static const gn_handler echo_server = { .on_traffic = nt_echo };
static gn_engine *server, *client;
static unsigned port;

static void names_begin(void)
{
    gn_options o = nt_options(1);
    gn_addr a;
    memset(done_times, 0, sizeof(done_times));
    gnp_store32(&asked, 0);
    gnp_store32(&answering, 0);
    server = nt_start(&echo_server, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    client = nt_start(&quiet, NULL, &o, (char *)NULL);
    ck_assert_int_eq(gn_engine_addr(server, 0, &a), GN_OK);
    port = gn_addr_port(&a);
}

static void names_end(void)
{
    gnp_store32(&answering, 1);
    nt_stop(client, NT_SECOND);
    nt_stop(server, NT_SECOND);
}

static int dial(const char *scheme, const char *host, uint64_t timeout_ns, unsigned i, gn_op *op)
{
    char url[400];
    gn_dial_options o;
    gn_dial_options_init(&o);
    if (timeout_ns != 0)
        o.timeout_ns = timeout_ns;
    snprintf(url, sizeof(url), "%s%s:%u", scheme, host, port);
    return gn_dial(gn_engine_loop(client, 0), url, &o, on_done, id(i), op);
}

/* ------------------------------------------------------------------- tests */

START_TEST(names_are_dialled)
{
    static const struct { const char *scheme, *host; int status, family; } names[] = {
        { "tcp://", "both.test", GN_OK, 0 },
        { "", "both.test", GN_OK, 0 },
        { "tcp4://", "both.test", GN_OK, 4 },
        { "tcp://", "none.test", GN_EADDR, 0 },
        { "tcp6://", "none.test", GN_EADDR, 6 },
        { "tcp://", "empty.test", GN_EADDR, 0 },
        { "tcp://", "nomem.test", GN_ENOMEM, 0 },
        { "tcp://", "far.test", GN_OK, 0 },
    };
    enum { N = sizeof(names) / sizeof(names[0]) };
    for (unsigned i = 0; i < N; i++) {
        ck_assert_int_eq(dial(names[i].scheme, names[i].host, 0, i, NULL), GN_OK);
        nt_await(NT_DONE, i + 1);
        nt_name(names[i].host);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, names[i].status);
        ck_assert_int_eq((int)gnp_load32(&family_seen), names[i].family);
    }
    ck_assert_uint_eq(gnp_load32(&asked), N);
    /* A number is no name: nobody is asked. */
    ck_assert_int_eq(dial("tcp://", "127.0.0.1", 0, N, NULL), GN_OK);
    nt_await(NT_DONE, N + 1);
    ck_assert_uint_eq(gnp_load32(&asked), N);
    names_end();
}
END_TEST

/* The deadline and a cancel need no answer; it is thrown away when it comes. */
START_TEST(slow_names_are_left)
{
    gn_op op;
    uint64_t begun = gnp_now();
    ck_assert_int_eq(dial("tcp://", "slow.test", 50 * NT_MS, 0, NULL), GN_OK);
    nt_await(NT_DONE, 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ETIMEDOUT);
    ck_assert_uint_ge(nt_nth(NT_DONE, 0).when - begun, 50 * NT_MS);
    ck_assert_int_eq(dial("tcp://", "slow.test", 0, 1, &op), GN_OK);
    NT_UNTIL(gnp_load32(&asked) == 2);
    ck_assert_int_eq(gn_cancel(op), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_ECANCELED);
    gnp_store32(&answering, 1);
    ck_assert_int_eq(dial("tcp://", "slow.test", 0, 2, NULL), GN_OK); /* and one that waits is served */
    nt_await(NT_DONE, 3);
    ck_assert_int_eq(nt_nth(NT_DONE, 2).status, GN_OK);
    names_end();
    ck_assert_uint_eq(nt_count(NT_DONE), 3);
    ck_assert_uint_eq(nt_count(NT_OPEN), 1);
}
END_TEST

/* A resolver that hangs does not hold up the stop, only the destroy. */
START_TEST(stop_does_not_wait_for_names)
{
    ck_assert_int_eq(dial("tcp://", "slow.test", 0, 0, NULL), GN_OK);
    NT_UNTIL(gnp_load32(&asked) == 1);
    ck_assert_int_eq(gn_engine_stop(client, 10 * NT_SECOND), GN_OK);
    ck_assert_int_eq(nt_join(client), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ESHUTDOWN);
    gnp_store32(&answering, 1); /* its loop is gone */
    ck_assert_int_eq(gn_engine_destroy(client), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
    nt_stop(server, NT_SECOND);
}
END_TEST

/* Four are resolved at once and 1,024 wait; more is refused.  Those that nobody wants any more are never
 * asked for. */
START_TEST(too_many_names)
{
    enum { THREADS = 4, WAITING = 1024, MORE = 50 };
    unsigned refused = 0;
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(dial("tcp://", "slow.test", 0, i, NULL), GN_OK);
    NT_UNTIL(gnp_load32(&asked) == THREADS);
    for (unsigned i = 0; i < WAITING + MORE; i++)
        ck_assert_int_eq(dial("tcp://", "slow.test", 0, THREADS + i, NULL), GN_OK);
    nt_await(NT_DONE, MORE);
    for (unsigned i = 0; i < MORE; i++) {
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_ELIMIT);
        refused++;
    }
    ck_assert_int_eq(gn_engine_stop(client, 0), GN_OK);
    ck_assert_int_eq(nt_join(client), GN_OK);
    ck_assert_uint_eq(nt_count(NT_DONE), THREADS + WAITING + MORE);
    for (unsigned i = refused; i < THREADS + WAITING + MORE; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_ESHUTDOWN);
    gnp_store32(&answering, 1);
    ck_assert_int_eq(gn_engine_destroy(client), GN_OK);
    ck_assert_uint_eq(gnp_load32(&asked), THREADS);
    nt_stop(server, NT_SECOND);
}
END_TEST

/* A name whose dial has ended while it waited for a thread is not asked for. */
START_TEST(unwanted_names_are_not_asked)
{
    enum { THREADS = 4, UNWANTED = 10 };
    gn_op op[UNWANTED];
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(dial("tcp://", "slow.test", 0, i, NULL), GN_OK);
    NT_UNTIL(gnp_load32(&asked) == THREADS);
    for (unsigned i = 0; i < UNWANTED; i++)
        ck_assert_int_eq(dial("tcp://", "both.test", 0, THREADS + i, &op[i]), GN_OK);
    for (unsigned i = 0; i < UNWANTED; i++)
        ck_assert_int_eq(gn_cancel(op[i]), GN_OK);
    nt_await(NT_DONE, UNWANTED);
    gnp_store32(&answering, 1);
    ck_assert_int_eq(dial("tcp://", "both.test", 0, THREADS + UNWANTED, NULL), GN_OK);
    nt_await(NT_DONE, UNWANTED + THREADS + 1);
    ck_assert_uint_eq(gnp_load32(&asked), THREADS + 1);
    names_end();
}
END_TEST

/* One name is slow: those that are not do not wait for it. */
START_TEST(fast_names_overtake)
{
    ck_assert_int_eq(dial("tcp://", "slow.test", 0, 0, NULL), GN_OK);
    NT_UNTIL(gnp_load32(&asked) == 1);
    for (unsigned i = 1; i <= 20; i++)
        ck_assert_int_eq(dial("tcp://", "both.test", 0, i, NULL), GN_OK);
    nt_await(NT_DONE, 20);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    gnp_store32(&answering, 1);
    nt_await(NT_DONE, 21);
    names_end();
}
END_TEST

/* Without memory, wherever it is missing, a dial still ends once, and nothing stays. */
START_TEST(no_memory)
{
    static nt_alloc count;
    unsigned failed = 0;
    nt_stop(client, 0);
    nt_stop(server, 0);
    memset(&count, 0, sizeof(count));
    gn_allocator hooks = nt_alloc_hooks(&count);
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    for (unsigned n = 1;; n++) {
        names_begin();
        uint64_t before = gnp_load64(&count.calls);
        gnp_store64(&count.fail_n, 1);
        gnp_store64(&count.fail_at, before + n);
        int rc = dial("tcp://", "both.test", 0, 0, NULL);
        if (rc != GN_OK)
            ck_assert_int_eq(rc, GN_ENOMEM);
        if (rc == GN_OK)
            NT_UNTIL(gnp_load32(&done_times[0]) == 1);
        int passed = gnp_load64(&count.calls) < before + n;
        failed += rc != GN_OK || nt_nth(NT_DONE, nt_count(NT_DONE) - 1).status != GN_OK;
        gnp_store64(&count.fail_at, 0);
        names_end();
        ck_assert_uint_eq(gnp_load64(&count.live), 0);
        if (passed)
            break;
        ck_assert_uint_lt(n, 200);
    }
    ck_assert_uint_gt(failed, 3); /* the dial, its name, the pool, a thread */
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("names");
    TCase *t = nt_case(s, "names", 60);
    tcase_add_checked_fixture(t, names_begin, NULL);
    tcase_add_test(t, names_are_dialled);
    tcase_add_test(t, slow_names_are_left);
    tcase_add_test(t, stop_does_not_wait_for_names);
    tcase_add_test(t, too_many_names);
    tcase_add_test(t, unwanted_names_are_not_asked);
    tcase_add_test(t, fast_names_overtake);
    tcase_add_test(t, no_memory);
    return nt_main(s);
}
