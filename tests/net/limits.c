/* SPDX-License-Identifier: MIT */
/* The ends of resources: descriptors, memory, ten thousand connections. */
#include "harness.h"

#include <stdio.h>

static gn_action steady_echo(gn_conn *c, void *user);

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = steady_echo,
                                         .on_close = nt_on_close };

/* Like nt_echo, but a failed write is the test's business. */
static gn_action steady_echo(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    (void)gn_conn_write(c, p, n);
    gn_conn_discard(c, n);
    return GN_NONE;
}

static int echo_once(tc *c, const char *text)
{
    int status = tc_send_text(c, text);
    return status == GNP_OK ? tc_recv_text(c, text) : status;
}

/* ---------------------------------------------------------------- descriptors */

#define FILLERS 400u

/* Windows has no such limit. */
static int can_limit(void)
{
    return gnp_descriptor_limit_set(gnp_descriptor_limit(0)) != GNP_ENOTSUP;
}

/* D1: accept has no descriptor.  The engine lives, serves those it has, does not spin, and serves
 * those who waited as soon as there are descriptors again. */
START_TEST(accept_survives_without_descriptors)
{
    gn_options o = nt_options(_i % 2 ? 3 : 1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *served[4], *waiting[5];
    gnp_sock fill[FILLERS];
    gnp_sock_opts opts;
    gnp_addr any;
    unsigned filled = 0, opened;
    uint64_t cpu, limit = gnp_descriptor_limit(0);
    /* Valgrind has a limit of its own: it accepts, closes, then says EMFILE. */
    if (nt_wrapped() || !can_limit()) {
        tc_net_close(net);
        NT_SKIP("no limit of descriptors");
    }
    memset(&opts, 0, sizeof(opts));
    memset(&any, 0, sizeof(any));
    any.family = GNP_FAMILY_IPV4;
    opts.v6only = -1;
    o.edge_triggered = _i / 2 % 2;
    o.reuseport = nt_sharing(_i / 4);
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    for (unsigned i = 0; i < 4; i++) {
        served[i] = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(echo_once(served[i], "before"), GNP_OK);
    }
    ck_assert_int_eq(gnp_descriptor_limit_set(FILLERS), GNP_OK);

    /* All descriptors but five go; then five clients come.  Each takes one, none is left to accept. */
    while (filled < FILLERS && gnp_dgram_open(&fill[filled], &any, &opts) == GNP_OK)
        filled++;
    ck_assert_uint_lt(filled, FILLERS);
    for (unsigned i = 0; i < 5; i++)
        gnp_sock_close(&fill[--filled], 0);
    opened = nt_count(NT_OPEN);
    for (unsigned i = 0; i < 5; i++) {
        int status = tc_try_connect(net, nt_url(e, 0), &waiting[i]);
        if (status == GNP_EMFILE || status == GNP_ENFILE) { /* the server was quicker: give us one */
            ck_assert_uint_gt(filled, 0);
            gnp_sock_close(&fill[--filled], 0);
            i--;
            continue;
        }
        ck_assert_int_eq(status, GNP_OK);
    }
    while (filled < FILLERS && gnp_dgram_open(&fill[filled], &any, &opts) == GNP_OK)
        filled++;
    ck_assert_uint_lt(nt_count(NT_OPEN), opened + 5); /* somebody waits, or this tests nothing */

    cpu = gnp_process_cpu();
    gnp_sleep_until(gnp_now() + 600 * NT_MS);
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 150 * NT_MS);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(echo_once(served[i], "during"), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);

    while (filled > 0)
        gnp_sock_close(&fill[--filled], 0);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(echo_once(waiting[i], "after"), GNP_OK);
    ck_assert_int_eq(gnp_descriptor_limit_set(limit), GNP_OK);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(echo_once(served[i], "after"), GNP_OK);
        tc_close(served[i]);
    }
    for (unsigned i = 0; i < 5; i++)
        tc_close(waiting[i]);
    nt_await(NT_CLOSE, 9);
    ck_assert_uint_eq(nt_count(NT_OPEN), 9);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Starved for long, the reserve lets those who wait be told; a later client is served. */
START_TEST(long_starvation_ends_well)
{
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *served, *waiting = NULL, *later;
    gnp_sock fill[FILLERS];
    gnp_sock_opts opts;
    gnp_addr any;
    unsigned filled = 0;
    uint64_t end, limit = gnp_descriptor_limit(0);
    if (!can_limit())
        NT_SKIP("no limit of descriptors");
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    served = tc_connect(net, nt_url(e, 0));
    memset(&opts, 0, sizeof(opts));
    memset(&any, 0, sizeof(any));
    any.family = GNP_FAMILY_IPV4;
    opts.v6only = -1;
    ck_assert_int_eq(echo_once(served, "before"), GNP_OK);
    ck_assert_int_eq(gnp_descriptor_limit_set(FILLERS), GNP_OK);
    while (filled < FILLERS && gnp_dgram_open(&fill[filled], &any, &opts) == GNP_OK)
        filled++;
    gnp_sock_close(&fill[--filled], 0);
    ck_assert_int_eq(tc_try_connect(net, nt_url(e, 0), &waiting), GNP_OK);
    end = gnp_now() + 3 * NT_SECOND; /* longer than the engine waits before it sheds */
    while (gnp_now() < end) {
        ck_assert_int_eq(echo_once(served, "during"), GNP_OK);
        gnp_sleep_until(gnp_now() + 50 * NT_MS);
    }
    while (filled > 0)
        gnp_sock_close(&fill[--filled], 0);
    ck_assert_int_eq(gnp_descriptor_limit_set(limit), GNP_OK);
    {
        int status = echo_once(waiting, "after"); /* served now, or told before that it cannot be */
        ck_assert_msg(status == GNP_OK || status == GNP_ECONNRESET || status == GNP_EOF ||
                          status == GNP_EPIPE,
                      "the one who waited got %s", gn_strerror(status));
    }
    later = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(later, "after"), GNP_OK);
    ck_assert_int_eq(echo_once(served, "after"), GNP_OK);
    tc_close(later);
    tc_close(waiting);
    tc_close(served);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* An engine that gets no descriptors fails to start, with a name for it, and leaves nothing. */
START_TEST(start_without_descriptors)
{
    uint64_t limit = gnp_descriptor_limit(0);
    unsigned failures = 0;
    if (!can_limit())
        NT_SKIP("no limit of descriptors");
    for (unsigned n = 3; n < 40; n++) {
        gn_options o = nt_options(3);
        gn_engine *e = NULL;
        int status;
        ck_assert_int_eq(gnp_descriptor_limit_set(n), GNP_OK);
        status = gn_engine_create(&e, &echo_handler, NULL, &o);
        if (status == GN_OK)
            status = gn_engine_listen(e, "tcp://127.0.0.1:0");
        if (status == GN_OK)
            status = gn_engine_listen(e, "udp://127.0.0.1:0");
        if (status == GN_OK)
            status = gn_engine_start(e);
        gnp_descriptor_limit_set(limit);
        if (status == GN_OK) {
            nt_stop(e, NT_SECOND);
            continue;
        }
        ck_assert_msg(status == GN_EMFILE || status == GN_ENFILE, "with %u descriptors: %s", n,
                      gn_strerror(status));
        failures++;
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    }
    ck_assert_uint_gt(failures, 0);
}
END_TEST

/* ---------------------------------------------------------------- ten thousand */

#define CROWD 10000u

static gnp_atomic64 crowd_most;

static gn_action crowd_traffic(gn_conn *c, void *user)
{
    uint64_t open = gn_engine_conn_count(gn_conn_engine(c)), most = gnp_load64(&crowd_most);
    while (open > most && !gnp_cas64(&crowd_most, &most, open))
        ;
    return nt_echo(c, user);
}

static gnp_atomic64 crowd_opened, crowd_closed;

static gn_action crowd_open(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    gnp_add64(&crowd_opened, 1);
    return GN_NONE;
}

static gn_action crowd_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    NT_EXPECT_INT(reason, GN_EOF);
    gnp_add64(&crowd_closed, 1);
    return GN_NONE;
}

/* The other end: this program again, in a process of its own, since both ends together would need
 * twice the descriptors.  Connects all, then has an echo on each, twice, then closes. */
static const char *crowd_url;
static unsigned crowd_count;

START_TEST(crowd_clients)
{
    tc_net *net = tc_net_open();
    tc_flow *flows = calloc(crowd_count, sizeof(*flows));
    ck_assert_ptr_nonnull(flows);
    gnp_descriptor_limit(1);
    for (unsigned i = 0; i < crowd_count; i++)
        flows[i].c = tc_connect(net, crowd_url);
    for (unsigned round = 1; round <= 2; round++) {
        for (unsigned i = 0; i < crowd_count; i++) {
            flows[i].seed = i;
            flows[i].total = round * 100;
            flows[i].chunk = 100;
        }
        ck_assert_int_eq(tc_exchange(net, flows, crowd_count), GNP_OK);
    }
    for (unsigned i = 0; i < crowd_count; i++)
        tc_close(flows[i].c);
    tc_net_close(net);
    free(flows);
}
END_TEST

static int be_the_crowd(const char *url, const char *count)
{
    Suite *s = suite_create("crowd");
    SRunner *runner = srunner_create(s);
    int failed;
    crowd_url = url;
    crowd_count = (unsigned)strtoul(count, NULL, 10);
    tcase_add_test(nt_case(s, "clients", 120), crowd_clients);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    if (failed)
        srunner_print(runner, CK_NORMAL);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const char *this_program;

typedef struct crowd {
    gnp_thread thread;
    char command[400];
    gnp_atomic32 ended;
    int status;
} crowd;

static void crowd_thread(void *arg)
{
    crowd *cr = arg;
    cr->status = nt_shell("%s", cr->command);
    gnp_store32(&cr->ended, 1);
}

/* 10,000 connections open at once, each with its echo; an idle one costs at most 256 bytes. */
START_TEST(ten_thousand_connections)
{
    static const gn_handler h = { .on_open = crowd_open,
                                  .on_traffic = crowd_traffic,
                                  .on_close = crowd_close };
    static nt_alloc alloc;
    static crowd cr;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(2);
    gn_engine *e;
    unsigned count = nt_scaled(CROWD, 500);
    uint64_t most = gnp_descriptor_limit(1), deadline;
    count = count > CROWD ? CROWD : count;
    gnp_store64(&crowd_opened, 0);
    gnp_store64(&crowd_closed, 0);
    gnp_store64(&crowd_most, 0);
    gnp_store32(&cr.ended, 0);
    if (most < count + 100)
        count = most > 200 ? (unsigned)most - 100 : 100; /* the hard limit of this machine */
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.edge_triggered = _i;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    /* Its report must not take the place of ours.  It needs our emulator; valgrind would be for us alone. */
    snprintf(cr.command, sizeof(cr.command),
             nt_shell("true") == 0 ? "unset CK_LOG_FILE_NAME CK_TAP_LOG_FILE_NAME CK_XML_LOG_FILE_NAME;"
                                     " unset CK_RUN_CASE; wrap=$GANNET_EXEWRAP;"
                                     " case $wrap in *valgrind*) wrap=;; esac;"
                                     " exec $wrap '%s' --crowd '%s' %u"
                                   : "set CK_RUN_CASE=&%s --crowd %s %u", /* that of Windows */
             this_program, nt_url(e, 0), count);
    ck_assert_int_eq(gnp_thread_start(&cr.thread, crowd_thread, &cr, "crowd"), GNP_OK);
    deadline = gnp_now() + 3 * nt_patience();
    while (!gnp_load32(&cr.ended) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + 10 * NT_MS);
    ck_assert_msg(gnp_load32(&cr.ended), "the clients hang; %llu are open",
                  (unsigned long long)gn_engine_conn_count(e));
    gnp_thread_join(&cr.thread);
    ck_assert_int_eq(cr.status, 0);
    NT_UNTIL(gnp_load64(&crowd_closed) == count);
    ck_assert_uint_eq(gnp_load64(&crowd_opened), count);
    ck_assert_uint_eq(gnp_load64(&crowd_most), count); /* all at once */
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
}
END_TEST

/* What an idle connection costs, as the difference between many and none. */
START_TEST(idle_connection_costs_256_bytes)
{
    nt_alloc alloc;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(1);
    gn_engine *e;
    unsigned count = nt_lacks("crowds") ? 1000 : 4000;
    uint64_t most = gnp_descriptor_limit(1), before, after, polled;
    tc_net *net;
    tc **c;
    if (most / 2 < count + 50)
        count = (unsigned)(most / 2) - 50;
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.edge_triggered = _i;
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = calloc(count, sizeof(tc *));
    ck_assert_ptr_nonnull(c);
    c[0] = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(c[0], "warm"), GNP_OK);
    before = gnp_load64(&alloc.bytes);
    polled = gnp_load64(&alloc.clients);
    for (unsigned i = 1; i < count; i++) {
        c[i] = tc_connect(net, nt_url(e, 0));
        if (i % 100 == 0)
            ck_assert_int_eq(echo_once(c[i], "has been busy once"), GNP_OK);
    }
    nt_await(NT_OPEN, count);
    after = gnp_load64(&alloc.bytes);
    /* A poller may have a record of each socket beside, at both ends the same, of which the client's shows
     * the size; most have none.  The rest is the core's. */
    polled = gnp_load64(&alloc.clients) - polled;
    ck_assert_msg(polled <= (uint64_t)512 * count, "%u bytes of the poller", (unsigned)(polled / count));
    after -= 2 * polled;
    /* In whole slabs: one more of them is allowed for. */
    ck_assert_msg(after - before <= (uint64_t)256 * count + 65536, "%u bytes a connection",
                  (unsigned)((after - before) / count));
    for (unsigned i = 0; i < count; i++)
        tc_close(c[i]);
    nt_await(NT_CLOSE, count);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    free(c);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
}
END_TEST

/* ---------------------------------------------------------------- memory */

/* Echo in steady state allocates nothing: level and edge, TCP, Unix and UDP. */
START_TEST(steady_state_allocates_nothing)
{
    static const char *const kinds[] = { "tcp://127.0.0.1:0", "unix", "udp://127.0.0.1:0" };
    nt_alloc alloc;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(1 + (unsigned)_i / 6);
    gn_engine *e;
    tc_net *net;
    tc_flow f[8];
    uint64_t calls;
    const char *url = kinds[_i % 3];
    if (_i % 3 == 1)
        NT_WANTS_UNIX();
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.edge_triggered = _i / 3 % 2;
    e = nt_start(&echo_handler, NULL, &o, strcmp(url, "unix") == 0 ? nt_unix_url() : url, (char *)NULL);
    net = tc_net_open();
    memset(f, 0, sizeof(f));
    for (unsigned i = 0; i < 8; i++) {
        f[i].c = tc_connect(net, nt_url(e, 0));
        f[i].seed = i;
        f[i].chunk = 4000;
        f[i].total = 100000;
    }
    ck_assert_int_eq(tc_exchange(net, f, 8), GNP_OK); /* warm: slabs and rings have their size */
    calls = gnp_load64(&alloc.calls);
    for (unsigned round = 0; round < nt_scaled(500, 50); round++) {
        for (unsigned i = 0; i < 8; i++)
            f[i].total += 1 + (round * 131 + i * 977) % 3000; /* fits: nothing has to wait in a queue */
        ck_assert_int_eq(tc_exchange(net, f, 8), GNP_OK);
    }
    ck_assert_uint_eq(gnp_load64(&alloc.calls), calls);
    for (unsigned i = 0; i < 8; i++)
        tc_close(f[i].c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
    ck_assert_uint_eq(gnp_load64(&alloc.bytes), 0);
}
END_TEST

/* Large queues are given back when they are empty, while the connection lives. */
START_TEST(queues_are_given_back)
{
    nt_alloc alloc;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    unsigned char *bytes = calloc(1, 20 * NT_MIB);
    uint64_t before;
    ck_assert_ptr_nonnull(bytes);
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(c, "warm"), GNP_OK);
    before = gnp_load64(&alloc.bytes);
    ck_assert_int_eq(gn_write(nt_nth(NT_OPEN, 0).id, bytes, 20 * NT_MIB, NULL, NULL), GN_OK);
    free(bytes);
    NT_UNTIL(gnp_load64(&alloc.bytes) > before + 10 * NT_MIB);
    for (uint64_t got = 0; got < 20 * NT_MIB;) {
        size_t n = 0;
        ck_assert_int_eq(tc_recv(c, net->scratch, 65536, &n), GNP_OK);
        got += n;
    }
    ck_assert_int_eq(echo_once(c, "done"), GNP_OK);
    /* A pool may keep some segments for the next time, by far not all. */
    NT_UNTIL(gnp_load64(&alloc.bytes) <= before + 2 * NT_MIB);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
}
END_TEST

/* A small life of an engine: start, echo on each kind of address, writes by handle, stop.
 * Returns 1 if all of it went well; it must never hang, crash or leak. */
static int small_life(unsigned loops, int edge)
{
    gn_options o = nt_options(loops);
    gn_engine *e = NULL;
    tc_net *net = NULL;
    tc *c = NULL;
    int ok = 0, status;
    static unsigned char bytes[200000];
    o.edge_triggered = edge;
    o.linger_ns = 10 * NT_MS;
    status = gn_engine_create(&e, &echo_handler, NULL, &o);
    NT_EXPECT(status == GN_OK ? e != NULL : e == NULL && status == GN_ENOMEM);
    if (status != GN_OK)
        return 0;
    status = gn_engine_listen(e, "tcp://127.0.0.1:0");
    if (status == GN_OK)
        status = gn_engine_listen(e, "udp://127.0.0.1:0");
    if (status == GN_OK)
        status = gn_engine_start(e);
    NT_EXPECT(status == GN_OK || status == GN_ENOMEM);
    if (status == GN_OK) {
        net = tc_net_open();
        if (tc_try_connect(net, nt_url(e, 0), &c) == GNP_OK) {
            status = tc_send_stream(c, 1, 0, 100000);
            if (status == GNP_OK)
                status = tc_recv_stream(c, 1, 0, 100000);
            NT_EXPECT(status != GNP_ETIMEDOUT && status != GNP_EIO); /* told so, not left to wait */
            if (status == GNP_OK) { /* so the last that opened is this one */
                gn_handle h = nt_nth(NT_OPEN, nt_count(NT_OPEN) - 1).id;
                nt_fill(2, 0, bytes, sizeof(bytes));
                status = gn_write(h, bytes, sizeof(bytes), NULL, NULL);
                NT_EXPECT(status == GN_OK || status == GN_ENOMEM || status == GN_ECLOSED);
                ok = status == GN_OK;
            }
            tc_close(c);
        }
        if (tc_try_connect(net, nt_url(e, 1), &c) == GNP_OK) {
            ok = tc_dgram_send(c, "x", 1) == GNP_OK && ok;
            tc_close(c);
        }
        tc_net_close(net);
        status = gn_engine_stop(e, 50 * NT_MS);
        NT_EXPECT_INT(status, GN_OK);
        status = nt_join(e);
        NT_EXPECT(status == GN_OK || status == GN_ENOMEM);
        ok = ok && status == GN_OK;
    }
    NT_EXPECT_INT(gn_engine_destroy(e), GN_OK);
    return ok;
}

/* The n-th allocation fails, for every n; then every one from the n-th on. */
START_TEST(any_allocation_may_fail)
{
    nt_alloc alloc;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    unsigned loops = 1 + (unsigned)_i % 2, survived = 0, step = nt_scale() < 1 ? 5 : 1;
    uint64_t calls;
    gn_log_set_level(GN_LOG_OFF);
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    ck_assert_int_eq(small_life(loops, _i / 2), 1);
    nt_verify();
    calls = gnp_load64(&alloc.calls);
    ck_assert_uint_gt(calls, 5);
    /* A few more than it took: threads make the number vary. */
    for (uint64_t n = 1; n <= calls + 5; n += step) {
        char name[64];
        snprintf(name, sizeof(name), "allocation %u of about %u fails", (unsigned)n, (unsigned)calls);
        nt_name(name);
        gnp_store64(&alloc.calls, 0);
        gnp_store64(&alloc.fail_n, 1);
        gnp_store64(&alloc.fail_at, n);
        survived += (unsigned)small_life(loops, _i / 2);
        gnp_store64(&alloc.fail_at, 0);
        nt_verify();
        ck_assert_msg(gnp_load64(&alloc.live) == 0, "%s: %u blocks are lost", name,
                      (unsigned)gnp_load64(&alloc.live));
    }
    ck_assert_uint_gt(survived, 0);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    gn_log_set_level(GN_LOG_WARN);
}
END_TEST

/* Memory is gone for a while: the engine lives on, and serves again afterwards. */
START_TEST(engine_outlives_a_famine)
{
    nt_alloc alloc;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(2);
    gn_engine *e;
    tc_net *net;
    tc *c, *d;
    uint64_t cpu;
    gn_log_set_level(GN_LOG_OFF);
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    o.edge_triggered = _i;
    e = nt_start(&echo_handler, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(c, "before"), GNP_OK);
    gnp_store64(&alloc.fail_n, UINT64_MAX / 2);
    gnp_store64(&alloc.fail_at, 1);
    for (unsigned i = 0; i < 20; i++) {
        tc *hungry = NULL;
        if (tc_try_connect(net, nt_url(e, 0), &hungry) == GNP_OK) {
            tc_send_text(hungry, "x");
            tc_close(hungry);
        }
    }
    cpu = gnp_process_cpu();
    gnp_sleep_until(gnp_now() + 300 * NT_MS);
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 150 * NT_MS);
    ck_assert_int_eq(echo_once(c, "during"), GNP_OK); /* has all it needs */
    gnp_store64(&alloc.fail_at, 0);
    d = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(echo_once(d, "after"), GNP_OK);
    ck_assert_int_eq(echo_once(c, "after"), GNP_OK);
    tc_close(c);
    tc_close(d);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    NT_UNTIL(nt_count(NT_OPEN) == nt_count(NT_CLOSE)); /* on_close comes after the count */
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
    gn_log_set_level(GN_LOG_WARN);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s;
    TCase *t;
    if (argc == 4 && strcmp(argv[1], "--crowd") == 0)
        return be_the_crowd(argv[2], argv[3]);
    this_program = argv[0];
    s = suite_create("limits");
    t = nt_case(s, "descriptors", 60);
    tcase_add_loop_test(t, accept_survives_without_descriptors, 0, 8);
    tcase_add_test(t, long_starvation_ends_well);
    tcase_add_test(t, start_without_descriptors);

    t = nt_case(s, "ten thousand", 120);
    tcase_add_loop_test(t, ten_thousand_connections, 0, 2);
    tcase_add_loop_test(t, idle_connection_costs_256_bytes, 0, 2);

    t = nt_case(s, "memory", 120);
    tcase_add_loop_test(t, steady_state_allocates_nothing, 0, 12);
    tcase_add_test(t, queues_are_given_back);
    tcase_add_loop_test(t, any_allocation_may_fail, 0, 4);
    tcase_add_loop_test(t, engine_outlives_a_famine, 0, 2);
    return nt_main(s);
}
