/* SPDX-License-Identifier: MIT */
/*
 * Any allocation may fail.  Each scenario is a small life of everything of one kind that the
 * library offers; it is lived once to count the allocations, then once for each of them with
 * that one failing, then with all from there on failing.  Never may it crash, hang, leak or
 * lose a completion; and what failed must have been said.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static nt_alloc alloc;

/* Operations that were accepted, and completions that came. */
static gnp_atomic32 asked, told;

static void done(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    gnp_add32(&told, 1);
}

static void done_free(gn_handle h, int status, void *arg)
{
    free(arg);
    done(h, status, NULL);
}

/* Counts it before it is asked, since done may come first. */
#define ASK(call) \
    do { \
        int rc_; \
        gnp_add32(&asked, 1); \
        rc_ = (call); \
        if (rc_ != GN_OK) { \
            gnp_sub32(&asked, 1); \
            NT_EXPECT(fair(rc_)); \
        } \
    } while (0)

/* What may be said when there is no memory, and what follows from that. */
static int fair(int rc)
{
    return rc == GN_ENOMEM || rc == GN_ECLOSED || rc == GN_ELIMIT || rc == GN_EAGAIN || rc == GN_ENOBUFS ||
           rc == GN_ESHUTDOWN || rc == GN_ECANCELED || rc == GN_ECONNRESET || rc == GN_ETIMEDOUT ||
           rc == GN_EINVAL || rc == GN_EPIPE || rc == GN_EBUSY || rc == GN_ENOTCONN;
}

static gn_options short_options(unsigned loops)
{
    gn_options o = nt_options(loops);
    o.linger_ns = 5 * NT_MS;
    o.close_timeout_ns = 200 * NT_MS;
    return o;
}

/* ---------------------------------------------------------------- a server and a client of the harness */

typedef struct life {
    gn_engine *e;
    tc_net *net;
    gnp_atomic64 first, second; /* handles of the connections, as they open */
    gnp_atomic32 piped;
} life;

static gn_action life_open(gn_conn *c, void *user)
{
    life *s = user;
    if (gnp_load64(&s->first) == GN_HANDLE_NONE)
        gnp_store64(&s->first, gn_conn_handle(c));
    else
        gnp_store64(&s->second, gn_conn_handle(c));
    return nt_on_open(c, NULL);
}

static gn_action life_traffic(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    (void)gn_conn_write(c, p, n);
    gn_conn_discard(c, n);
    return GN_NONE;
}

static const gn_handler life_handler = { .on_open = life_open, .on_traffic = life_traffic,
                                         .on_close = nt_on_close };

/* 1 if it runs. */
static int life_start(life *s, const gn_handler *h, const gn_options *o, const char *url)
{
    int rc;
    memset(s, 0, sizeof(*s));
    rc = gn_engine_create(&s->e, h, s, o);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc == GN_OK && url != NULL)
        rc = gn_engine_listen(s->e, url);
    if (rc == GN_OK)
        rc = gn_engine_start(s->e);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc != GN_OK) {
        NT_EXPECT_INT(gn_engine_destroy(s->e), GN_OK);
        return 0;
    }
    tc_exempt = 1;
    s->net = tc_net_open();
    tc_exempt = 0;
    return 1;
}

static tc *life_connect(life *s, gnp_atomic64 *handle)
{
    tc *c = NULL;
    tc_exempt = 1;
    if (tc_try_connect(s->net, nt_url(s->e, 0), &c) != GNP_OK)
        c = NULL;
    if (c != NULL && tc_send_text(c, "x") == GNP_OK && tc_recv_text(c, "x") != GNP_OK) {
        tc_close(c); /* the server had no memory for it */
        c = NULL;
    }
    tc_exempt = 0;
    return gnp_load64(handle) != GN_HANDLE_NONE ? c : (c != NULL ? (tc_close(c), NULL) : NULL);
}

static void life_end(life *s)
{
    NT_EXPECT_INT(gn_engine_stop(s->e, 100 * NT_MS), GN_OK);
    {
        int rc = nt_join(s->e);
        NT_EXPECT(rc == GN_OK || fair(rc));
    }
    NT_EXPECT_INT(gn_engine_destroy(s->e), GN_OK);
    tc_exempt = 1;
    tc_net_close(s->net);
    tc_exempt = 0;
}

static void drop(tc *c)
{
    tc_exempt = 1;
    if (c != NULL)
        tc_close(c);
    tc_exempt = 0;
}

/* ---------------------------------------------------------------- the scenarios */

static void live_posts(int variant)
{
    static unsigned char bytes[30000];
    gn_options o = short_options(2);
    gn_iov iov = { bytes, sizeof(bytes) };
    gn_op op = GN_OP_NONE;
    life s;
    tc *c;
    o.edge_triggered = variant;
    if (!life_start(&s, &life_handler, &o, "tcp://127.0.0.1:0"))
        return;
    c = life_connect(&s, &s.first);
    if (c != NULL) {
        gn_handle h = gnp_load64(&s.first);
        ASK(gn_write(h, "abc", 3, done, NULL));
        ASK(gn_write_ref(h, &iov, 1, done, NULL));
        ASK(gn_write_sent(h, &iov, 1, done, NULL));
        ASK(gn_execute(h, done, NULL));
        ASK(gn_execute_low(h, done, NULL));
        ASK(gn_schedule(h, NT_MS, done, NULL, NULL));
        gnp_add32(&asked, 1);
        if (gn_schedule(h, 100 * NT_SECOND, done, NULL, &op) == GN_OK)
            (void)gn_cancel(op);
        else
            gnp_sub32(&asked, 1);
        ASK(gn_migrate(h, gn_engine_loop(s.e, 0), done, NULL));
        ASK(gn_migrate(h, gn_engine_loop(s.e, 1), done, NULL));
        ASK(gn_write(h, bytes, sizeof(bytes), done, NULL));
        ASK(gn_wake(h, done, NULL));
        gnp_add32(&asked, 1);
        if (gn_close(h, done, NULL) == GN_OK) {
            tc_exempt = 1;
            NT_EXPECT(tc_recv_to_eof(c, NULL) != GNP_ETIMEDOUT);
            tc_exempt = 0;
        } else {
            gnp_sub32(&asked, 1);
        }
    }
    drop(c);
    life_end(&s);
}

static gn_action dialed_open(gn_conn *c, void *user)
{
    (void)user;
    (void)gn_conn_write(c, "hello", 5);
    return nt_on_open(c, NULL);
}

static gn_action dialed_traffic(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, 0, 0);
    gn_conn_discard(c, SIZE_MAX);
    return gn_conn_is_datagram(c) ? GN_NONE : GN_CLOSE;
}

/* Dials to an engine that has all it needs... as has nobody here: both ends starve. */
static void live_dials(int variant)
{
    static const gn_handler dialed = { .on_open = dialed_open, .on_traffic = dialed_traffic,
                                       .on_close = nt_on_close };
    gn_options o = short_options(1 + (unsigned)variant);
    gn_dial_options d;
    gn_handle loop;
    gn_op op = GN_OP_NONE;
    char name[64];
    const char *port;
    life s;
    if (!life_start(&s, &life_handler, &o, "tcp://127.0.0.1:0"))
        return;
    port = strrchr(nt_url(s.e, 0), ':');
    snprintf(name, sizeof(name), "tcp://localhost%s", port);
    gn_dial_options_init(&d);
    d.handler = &dialed;
    d.timeout_ns = NT_SECOND;
    loop = gn_engine_loop(s.e, 0);
    ASK(gn_dial(loop, nt_url(s.e, 0), &d, done, NULL, NULL));
    ASK(gn_dial(loop, name, &d, done, NULL, NULL));
    d.local = "127.0.0.1:0";
    ASK(gn_dial(gn_engine_least_loop(s.e), nt_url(s.e, 0), &d, done, NULL, NULL));
    gnp_add32(&asked, 1);
    if (gn_dial(loop, "tcp://198.51.100.1:9", &d, done, NULL, &op) == GN_OK)
        (void)gn_cancel(op);
    else
        gnp_sub32(&asked, 1);
    NT_UNTIL(gnp_load32(&told) >= gnp_load32(&asked));
    NT_UNTIL(gn_engine_conn_count(s.e) == 0);
    life_end(&s);
}

static void live_datagrams(int variant)
{
    static const gn_handler dialed = { .on_open = dialed_open, .on_traffic = dialed_traffic,
                                       .on_close = nt_on_close };
    gn_options o = short_options(1 + (unsigned)variant);
    gn_dial_options d;
    gn_addr to;
    unsigned traffic = nt_count(NT_TRAFFIC);
    life s;
    if (!life_start(&s, &life_handler, &o, "udp://127.0.0.1:0"))
        return;
    gn_dial_options_init(&d);
    d.handler = &dialed;
    ASK(gn_dial(gn_engine_loop(s.e, 0), nt_url(s.e, 0), &d, done, NULL, NULL));
    if (gn_engine_addr(s.e, 0, &to) == GN_OK) {
        static unsigned char train[9000];
        for (unsigned i = 0; i < 4; i++)
            ASK(gn_send_to(gn_engine_endpoint(s.e, 0, i % (1 + (unsigned)nt_sharing(variant))), &to, train,
                           100, done, NULL));
    }
    NT_UNTIL(gnp_load32(&told) >= gnp_load32(&asked));
    for (int i = 0; i < 20 && nt_count(NT_TRAFFIC) == traffic; i++) /* a datagram may be lost */
        gnp_sleep_until(gnp_now() + NT_MS);
    life_end(&s);
}

static void piped(gn_handle h, int status, void *arg)
{
    life *s = arg;
    gn_conn *a = status == GN_OK ? gn_conn_from_handle(h) : NULL;
    gn_conn *b = status == GN_OK ? gn_conn_from_handle(gnp_load64(&s->second)) : NULL;
    if (a != NULL && b != NULL && gn_conn_pipe(a, b) == GN_OK) {
        gnp_store32(&s->piped, 1);
        (void)gn_conn_pipe(b, a);
    }
    if (a != NULL)
        (void)gn_conn_set_limits(a, 4096, 0);
    if (b != NULL)
        (void)gn_conn_set_write_deadline(b, NT_SECOND);
    done(h, status, NULL);
}

/* Bytes, a descriptor and a file by one connection; then two that are piped. */
static void live_streams(int variant)
{
    gn_options o = short_options(1);
    life s;
    tc *a, *b;
    o.edge_triggered = variant;
    o.send_buffer = o.recv_buffer = 16 * 1024;
    if (!life_start(&s, &life_handler, &o, nt_unix_url()))
        return;
    a = life_connect(&s, &s.first);
    b = life_connect(&s, &s.second);
    if (a != NULL && b != NULL) {
        uint64_t sent;
        ASK(gn_execute(gnp_load64(&s.first), piped, &s));
        tc_exempt = 1;
        sent = tc_stuff(a, 200000, 5 * NT_MS);
        (void)tc_shutdown(a);
        {
            uint64_t total = 0;
            if (gnp_load32(&s.piped)) {
                int rc = tc_recv_to_eof(b, &total);
                NT_EXPECT(rc != GNP_ETIMEDOUT);
            }
            NT_EXPECT(total <= sent);
        }
        tc_exempt = 0;
    }
    drop(a);
    drop(b);
    life_end(&s);
}

static void task(int status, void *arg)
{
    (void)status;
    (void)arg;
    gnp_add32(&told, 1);
}

static void work(void *arg) { (void)arg; }

/* What is refused is still the caller's. */
static int offload(gn_pool *p, gn_handle h)
{
    void *arg = malloc(8);
    int rc = gn_offload(p, h, work, done_free, arg);
    if (rc != GN_OK)
        free(arg);
    return rc;
}

static void live_pools(int variant)
{
    gn_options o = short_options(1);
    gn_pool_options po;
    gn_pool *p = NULL;
    gn_multipool *m = NULL;
    gn_op op;
    life s;
    int rc;
    gn_pool_options_init(&po);
    po.capacity = 2;
    po.queue_max = 64;
    po.prealloc = variant;
    po.fn = task;
    rc = gn_pool_create(&p, &po);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc == GN_OK) {
        for (unsigned i = 0; i < 40; i++)
            ASK(gn_pool_try_submit(p, task, NULL));
        ASK(gn_pool_submit(p, task, NULL));
        ASK(gn_pool_invoke(p, NULL));
        gnp_add32(&asked, 1);
        if (gn_pool_submit_op(p, task, NULL, &op) == GN_OK)
            (void)gn_pool_cancel(p, op);
        else
            gnp_sub32(&asked, 1);
        if (life_start(&s, &life_handler, &o, "tcp://127.0.0.1:0")) {
            tc *c = life_connect(&s, &s.first);
            if (c != NULL)
                ASK(offload(p, gnp_load64(&s.first)));
            drop(c);
            life_end(&s);
        }
        NT_EXPECT(gn_pool_release_wait(p, 10 * NT_SECOND) == GN_OK);
        rc = gn_pool_reboot(p);
        NT_EXPECT(rc == GN_OK || fair(rc));
        if (rc == GN_OK)
            ASK(gn_pool_submit(p, task, NULL));
        NT_EXPECT_INT(gn_pool_destroy(p), GN_OK);
    }
    rc = gn_multipool_create(&m, 3, GN_POOL_LEAST_TASKS, &po);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc == GN_OK) {
        for (unsigned i = 0; i < 10; i++)
            ASK(gn_multipool_try_submit(m, task, NULL));
        NT_EXPECT_INT(gn_multipool_destroy(m), GN_OK);
    }
}

static void on_signal(gn_engine *e, gn_signal which, void *arg)
{
    (void)e;
    (void)which;
    (void)arg;
}

static void live_setup(int variant)
{
    const char *const urls[] = { "tcp://127.0.0.1:0", "udp://127.0.0.1:0", nt_unix_url(), NULL };
    gn_options o = short_options(3);
    gn_engine *e = NULL;
    gn_listen_options lo;
    gn_opt_value opts[] = { { GN_OPT_NODELAY, 1 }, { GN_OPT_RECV_BUFFER, 65536 } };
    gn_descriptor d = -1;
    gn_stats st;
    int rc;
    o.reuseport = nt_sharing(variant);
    o.stall_ns = 500 * NT_MS;
    o.conns_max = 100;
    o.loop_bytes_max = NT_MIB;
    o.stop_on_signals = 1;
    rc = gn_engine_create(&e, &life_handler, NULL, &o);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc != GN_OK)
        return;
    gn_listen_options_init(&lo);
    lo.conns_max = 10;
    for (unsigned i = 0; urls[i] != NULL && rc == GN_OK; i++) {
        lo.opts = i == 0 ? opts : NULL;
        lo.opt_count = i == 0 ? 2 : 0;
        rc = gn_engine_listen_with(e, urls[i], &lo);
        NT_EXPECT(rc == GN_OK || fair(rc));
    }
    if (rc == GN_OK && gn_engine_listener_dup(e, 0, &d) == GN_OK) {
        if (gn_engine_listen_descriptor(e, d, NULL) != GN_OK)
            gnp_descriptor_close(d);
    }
    if (rc == GN_OK)
        rc = gn_engine_on_signal(e, GN_SIGNAL_USR1, on_signal, NULL);
    if (rc == GN_OK || (rc == GN_ENOTSUP && nt_lacks("user-signals")))
        rc = gn_engine_start(e);
    NT_EXPECT(rc == GN_OK || fair(rc));
    if (rc == GN_OK) {
        rc = gn_engine_pause_accept(e, 0);
        NT_EXPECT(rc == GN_OK || fair(rc));
        rc = gn_engine_resume_accept(e, 0);
        NT_EXPECT(rc == GN_OK || fair(rc));
        st.size = sizeof(st);
        NT_EXPECT_INT(gn_engine_stats(e, &st), GN_OK);
        NT_EXPECT_INT(gn_engine_stop(e, 0), GN_OK);
        rc = nt_join(e);
        NT_EXPECT(rc == GN_OK || fair(rc));
    }
    NT_EXPECT_INT(gn_engine_destroy(e), GN_OK);
}

/* ---------------------------------------------------------------- living them all */

static const struct scenario {
    const char *name;
    void (*live)(int variant);
    unsigned opened, told; /* connections and completions when nothing fails */
} scenarios[] = {
    { "posts", live_posts, 1, 12 },         { "dials", live_dials, 6, 4 },
    { "datagrams", live_datagrams, 1, 5 },  { "streams", live_streams, 2, 1 },
    { "pools", live_pools, 1, 55 },         { "setup", live_setup, 0, 0 },
};
#define SCENARIOS ((int)(sizeof(scenarios) / sizeof(scenarios[0])))

static void live_once(const struct scenario *s, int variant, uint64_t at, uint64_t n)
{
    char what[96];
    snprintf(what, sizeof(what), "%s: allocation %llu fails, %s", s->name, (unsigned long long)at,
             n == 1 ? "alone" : "and all after it");
    nt_name(what);
    gnp_store32(&asked, 0);
    gnp_store32(&told, 0);
    gnp_store64(&alloc.calls, 0);
    gnp_store64(&alloc.fail_n, n);
    gnp_store64(&alloc.fail_at, at);
    s->live(variant);
    gnp_store64(&alloc.fail_at, 0);
    NT_EXPECT_INT(gnp_load32(&told), gnp_load32(&asked));
    NT_EXPECT_INT(nt_count(NT_OPEN), nt_count(NT_CLOSE));
    NT_EXPECT_INT(gnp_load64(&alloc.live), 0);
    nt_verify();
}

START_TEST(every_allocation_of)
{
    const struct scenario *s = &scenarios[_i / 2];
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    uint64_t total, step;
    gn_log_set_level(GN_LOG_OFF);
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    live_once(s, _i % 2, 0, 1);
    ck_assert_uint_eq(nt_count(NT_OPEN), s->opened);
    ck_assert_uint_eq(gnp_load32(&told), s->told);
    total = gnp_load64(&alloc.calls);
    ck_assert_uint_gt(total, 10);
    step = (uint64_t)(1.0 / (nt_scale() < 1.0 ? nt_scale() : 1.0));
    for (uint64_t at = 1; at <= total + 1; at += step)
        live_once(s, _i % 2, at, 1);
    for (uint64_t at = 1; at <= total + 1; at += 4 * step)
        live_once(s, _i % 2, at, UINT64_MAX / 2);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    gn_log_set_level(GN_LOG_WARN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("famine");
    TCase *t = nt_case(s, "every allocation", 120);
    tcase_add_loop_test(t, every_allocation_of, 0, SCENARIOS * 2);
    return nt_main(s);
}
