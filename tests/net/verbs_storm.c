/* SPDX-License-Identifier: MIT */
/*
 * Connections of an engine with itself, on which callbacks and other threads call any verb at any time.  What
 * must hold whatever they do: callbacks of a loop never nest, every connection that opened closes once, every
 * operation completes once, a loop that has nothing to do sleeps, and the engine ends.
 */
#include "harness.h"

#define SLOTS 48u

typedef struct life {
    gnp_atomic32 opened, closed;
} life;

static struct {
    gn_engine *e;
    char url[2][GN_ADDR_TEXT_MAX + 8];
    gnp_atomic64 slot[SLOTS];
    gnp_atomic64 seed;
    gnp_atomic32 calm, asked, told, opened, closed, next;
    life *lives;
    unsigned lives_max;
} storm;

static GNP_THREAD_LOCAL int depth;
static GNP_THREAD_LOCAL uint64_t dice;

static unsigned roll(unsigned n)
{
    if (dice == 0)
        dice = gnp_add64(&storm.seed, 0x9e3779b97f4a7c15u) + 1;
    return (unsigned)(nt_random(&dice) >> 20) % n;
}

static void done(gn_handle h, int status, void *arg)
{
    NT_EXPECT(depth == 0);
    if (status == GN_OK && arg != NULL)
        NT_EXPECT(gn_conn_from_handle(h) != NULL);
    gnp_add32(&storm.told, 1);
}

static void asked(int rc)
{
    if (rc == GN_OK)
        gnp_add32(&storm.asked, 1);
}

static gn_handle any_handle(void)
{
    return gnp_load64(&storm.slot[roll(SLOTS)]);
}

static void dial(gn_handle where)
{
    asked(gn_dial(where, storm.url[roll(2)], NULL, done, NULL, NULL));
}

static char bytes[300000];
static int here; /* its address says: the connection must be found */

/* From any thread. */
static void ask(gn_handle h)
{
    gn_iov iov = { bytes, roll(4) == 0 ? sizeof(bytes) : roll(3000) };
    switch (roll(10)) {
    case 0: asked(gn_write(h, bytes, roll(40000), done, NULL)); break;
    case 1: asked(gn_write_ref(h, &iov, 1, done, NULL)); break;
    case 2: asked(gn_write_sent(h, &iov, 1, done, NULL)); break;
    case 3: asked(gn_wake(h, done, &here)); break;
    case 4:
    case 5:
    case 6: asked(gn_migrate(h, gn_engine_loop(storm.e, roll(3)), done, NULL)); break;
    case 7: asked(gn_execute_low(h, done, &here)); break;
    case 8: asked(gn_schedule(h, roll(5000000), done, &here, NULL)); break;
    default:
        if (roll(4) == 0)
            asked(gn_close(h, done, NULL));
    }
}

/* On the loop of c. */
static void act(gn_conn *c)
{
    gn_conn *other = gn_conn_from_handle(any_handle());
    gn_iov iov = { bytes, roll(2) == 0 ? sizeof(bytes) : roll(1000) };
    switch (roll(24)) {
    case 0:
    case 1: (void)gn_conn_write(c, bytes, roll(100000)); break;
    case 2:
        if (other != NULL)
            (void)gn_conn_write(other, bytes, roll(100000));
        break;
    case 3: asked(gn_conn_write_ref(c, &iov, 1, done, NULL)); break;
    case 4: (void)gn_conn_flush(c); break;
    case 5:
    case 6: (void)gn_conn_pause(c); break;
    case 7:
    case 8:
    case 9: (void)gn_conn_resume(c); break;
    case 10:
    case 11:
    case 12:
        if (other != NULL)
            (void)gn_conn_pipe(c, other);
        break;
    case 13: (void)gn_conn_unpipe(c); break;
    case 14: (void)gn_conn_shutdown_write(c); break;
    case 15: (void)gn_conn_set_watermarks(c, 1 + roll(200000), 0); break;
    case 16: (void)gn_conn_set_limits(c, 1 + roll(100000), 1 + roll(100000)); break;
    case 17: (void)gn_conn_is_writable(c); break;
    case 18: (void)gn_conn_set_write_deadline(c, (20 + roll(50)) * NT_MS); break;
    case 19: (void)gn_conn_set_read_deadline(c, (20 + roll(50)) * NT_MS); break;
    case 20:
        if (other != NULL && roll(3) == 0)
            (void)(roll(2) == 0 ? gn_conn_close(other) : gn_conn_abort(other));
        break;
    case 21:
        if (roll(3) == 0)
            (void)(roll(2) == 0 ? gn_conn_close(c) : gn_conn_abort(c));
        break;
    case 22: ask(gn_conn_handle(c)); break;
    default: dial(gn_conn_handle(c));
    }
}

static void acts(gn_conn *c, unsigned n)
{
    if (gnp_load32(&storm.calm))
        return;
    while (n-- > 0)
        act(c);
}

static void enter(gn_conn *c)
{
    life *l = gn_conn_context(c);
    NT_EXPECT(depth++ == 0);
    NT_EXPECT(gn_conn_loop(c) == gn_loop_current());
    NT_EXPECT(gn_conn_from_handle(gn_conn_handle(c)) == c);
    if (l != NULL)
        NT_EXPECT(gnp_load32(&l->closed) == 0);
}

static gn_action leave(gn_conn *c)
{
    gnp_store64(&storm.slot[roll(SLOTS)], gn_conn_handle(c));
    depth--;
    return roll(200) == 0 && !gnp_load32(&storm.calm) ? GN_CLOSE : GN_NONE;
}

static gn_action on_open(gn_conn *c, void *user)
{
    unsigned i = gnp_add32(&storm.next, 1);
    (void)user;
    if (i >= storm.lives_max)
        return GN_CLOSE; /* on_close counts it by its context */
    gn_conn_set_context(c, &storm.lives[i]);
    gnp_add32(&storm.lives[i].opened, 1);
    gnp_add32(&storm.opened, 1);
    enter(c);
    acts(c, 3);
    return leave(c);
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    (void)user;
    enter(c);
    if (roll(4) != 0)
        (void)gn_conn_discard(c, roll(2) == 0 ? SIZE_MAX : roll(5000));
    acts(c, 2);
    return leave(c);
}

static gn_action on_event(gn_conn *c, void *user)
{
    (void)user;
    enter(c);
    acts(c, 2);
    return leave(c);
}

static gn_action on_timeout(gn_conn *c, gn_timeout which, void *user)
{
    (void)which;
    return on_event(c, user);
}

static void on_error(gn_conn *c, int error, void *user)
{
    (void)error;
    (void)on_event(c, user);
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    life *l = gn_conn_context(c);
    (void)reason;
    (void)user;
    if (l == NULL)
        return GN_NONE;
    enter(c);
    (void)gn_conn_discard(c, roll(100));
    acts(c, 2);
    NT_EXPECT(gnp_add32(&l->closed, 1) == 0);
    gnp_add32(&storm.closed, 1);
    (void)leave(c);
    return GN_NONE;
}

static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_event,
                                    .on_writable = on_event, .on_drained = on_event,
                                    .on_timeout = on_timeout, .on_error = on_error, .on_close = on_close };

/* Turns that nothing explains: bytes may go round in a ring of pipes for ever. */
static int64_t idle_turns(void)
{
    gn_stats s = { .size = sizeof(s) };
    ck_assert_int_eq(gn_engine_stats(storm.e, &s), GN_OK);
    return (int64_t)(s.turns - 2 * (s.reads + s.writes + s.timers + s.tasks));
}

/* Poller, edge, budget, and how it ends, by the number of the run. */
START_TEST(any_verb_at_any_time)
{
    gn_options o = nt_options(3);
    int available = 0;
    int64_t before;
    uint64_t until;
    o.poller = gn_poller_name((unsigned)_i / 2 % 2, &available);
    if (o.poller == NULL || !available)
        return;
    o.edge_triggered = _i % 2;
    o.outbound_high = 100000;
    o.close_timeout_ns = 50 * NT_MS;
    o.linger_ns = 20 * NT_MS;
    o.send_buffer = o.recv_buffer = 20000;
    if (_i / 4 % 2)
        o.loop_bytes_max = 2 * NT_MIB;
    memset(&storm, 0, sizeof(storm));
    gnp_store64(&storm.seed, (uint64_t)_i * 1000003u);
    storm.lives_max = 200000;
    storm.lives = calloc(storm.lives_max, sizeof(life));
    storm.e = nt_start(&handler, NULL, &o, "tcp://127.0.0.1:0", nt_unix_url(), (char *)NULL);
    for (unsigned i = 0; i < 2; i++)
        (void)gn_engine_url(storm.e, i, storm.url[i], sizeof(storm.url[i]));
    until = gnp_now() + nt_scaled(300, 60) * NT_MS;
    for (unsigned i = 0; gnp_now() < until; i++) {
        if (gn_engine_conn_count(storm.e) < SLOTS)
            dial(gn_engine_loop(storm.e, i % 3));
        ask(any_handle());
        if (i % 16 == 0)
            gnp_sleep_until(gnp_now() + NT_MS);
    }
    gnp_store32(&storm.calm, 1);
    gnp_sleep_until(gnp_now() + 150 * NT_MS);
    before = idle_turns();
    gnp_sleep_until(gnp_now() + 100 * NT_MS);
    before = idle_turns() - before;
    ck_assert_int_eq(gn_engine_stop(storm.e, _i / 2 % 2 ? 0 : 100 * NT_MS), GN_OK);
    ck_assert_int_eq(nt_join(storm.e), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(storm.e), GN_OK);
    ck_assert_uint_eq(gnp_load32(&storm.asked), gnp_load32(&storm.told));
    ck_assert_uint_eq(gnp_load32(&storm.opened), gnp_load32(&storm.closed));
    ck_assert_uint_gt(gnp_load32(&storm.opened), 0);
    ck_assert_int_lt(before, 2000);
    nt_verify();
    free(storm.lives);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verbs_storm");
    TCase *t = nt_case(s, "verbs_storm", 60);
    tcase_add_loop_test(t, any_verb_at_any_time, 0, 8);
    return nt_main(s);
}
