/* SPDX-License-Identifier: MIT */
/* Dialled datagram sockets: connections with one peer and an end, over datagrams that may get lost. */
#include "harness.h"

#include <stdio.h>

#define RESEND (50 * NT_MS)

static gn_handle dialed;

static void on_dialed(gn_handle h, int status, void *arg)
{
    (void)arg;
    dialed = h;
    nt_note(NT_DONE, h, status);
}

static void note_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_C, h, status);
}

static void note_error(gn_conn *c, int error, void *user)
{
    (void)user;
    nt_note(NT_B, gn_conn_handle(c), error);
}

static const gn_handler echo_server = { .on_traffic = nt_echo };

/* Dials url on loop 0 of e with these callbacks, and waits until it is open. */
static gn_handle dial(gn_engine *e, const char *url, const gn_handler *h, void *user)
{
    static unsigned seen;
    gn_dial_options o;
    gn_dial_options_init(&o);
    o.handler = h;
    o.user = user;
    seen = nt_count(NT_DONE);
    ck_assert_int_eq(gn_dial(gn_engine_loop(e, 0), url, &o, on_dialed, NULL, NULL), GN_OK);
    nt_await(NT_DONE, seen + 1);
    ck_assert_int_eq(nt_nth(NT_DONE, seen).status, GN_OK);
    return dialed;
}

/* ---------------------------------------------------------------- ping pong */

typedef struct game {
    unsigned rounds, at;
} game;

static size_t size_of(unsigned round)
{
    return round % 7 == 6 ? 0 : 4 + round * 37 % 1400;
}

static void serve(gn_conn *c, const game *g)
{
    unsigned char ball[2000];
    nt_fill(g->at, 0, ball, size_of(g->at));
    NT_EXPECT_INT(gn_conn_write(c, ball, size_of(g->at)), GN_OK);
    NT_EXPECT_INT(gn_conn_set_read_deadline(c, RESEND), GN_OK);
}

static gn_action game_open(gn_conn *c, void *user)
{
    nt_note(NT_OPEN, gn_conn_handle(c), 0);
    serve(c, user);
    return GN_NONE;
}

static gn_action game_traffic(gn_conn *c, void *user)
{
    game *g = user;
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    if (n != size_of(g->at) || nt_match(g->at, 0, p, n) != n)
        return GN_NONE; /* an answer to one that was sent twice */
    if (++g->at == g->rounds)
        return GN_CLOSE;
    serve(c, g);
    return GN_NONE;
}

static gn_action game_timeout(gn_conn *c, gn_timeout which, void *user)
{
    NT_EXPECT_INT(which, GN_TIMEOUT_READ);
    serve(c, user);
    return GN_NONE;
}

static const gn_handler game_handler = { .on_open = game_open,
                                         .on_traffic = game_traffic,
                                         .on_timeout = game_timeout,
                                         .on_close = nt_on_close };

START_TEST(ping_pong)
{
    static const char *const urls[] = { "udp4://127.0.0.1:0", "udp6://[::1]:0" };
    gn_options o = nt_options(2);
    gn_engine *e;
    game g = { 200, 0 };
    if (_i == 1 && !gnp_has_ipv6())
        return;
    e = nt_start(&echo_server, NULL, &o, urls[_i], (char *)NULL);
    (void)dial(e, nt_url(e, 0), &game_handler, &g);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    ck_assert_uint_eq(g.at, g.rounds);
    ck_assert_uint_eq(nt_count(NT_OPEN), 1);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 1);
}
END_TEST

/* ------------------------------------------------------------------- verbs */

static gn_action verbs_traffic(gn_conn *c, void *user)
{
    size_t n;
    (void)gn_conn_peek(c, &n);
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), (int)n);
    return GN_NONE;
}

static void verbs(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    gn_addr server, other, remote, local;
    gn_dgram_info info;
    gn_iov two[2] = { { "ab", 2 }, { "cde", 3 } };
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(c != NULL);
    if (c == NULL)
        return;
    NT_EXPECT_INT(gn_conn_is_datagram(c), 1);
    NT_EXPECT(gn_conn_listener(c) == GN_NO_LISTENER);
    NT_EXPECT_INT(gn_engine_addr(arg, 0, &server), GN_OK);
    NT_EXPECT_INT(gn_conn_remote_addr(c, &remote), GN_OK); /* between datagrams, too */
    NT_EXPECT(gn_addr_equal(&server, &remote));
    NT_EXPECT_INT(gn_conn_local_addr(c, &local), GN_OK);
    NT_EXPECT(gn_addr_port(&local) != 0);
    NT_EXPECT_INT(gn_addr_parse("127.0.0.1:9", &other), GN_OK);
    NT_EXPECT_INT(gn_conn_send_to(c, &other, "x", 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_segments(c, &other, "xx", 2, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_dgram_info(c, &info), GN_ENOTCONN);
    NT_EXPECT_INT(gn_conn_set_idle_timeout(c, 100 * NT_SECOND), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "", 0), GN_OK);
    NT_EXPECT_INT(gn_conn_send_to(c, &server, "a", 1), GN_OK);
    NT_EXPECT_INT(gn_conn_outbound(c), 1);
    NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
    NT_EXPECT_INT(gn_conn_outbound(c), 0);
    NT_EXPECT_INT(gn_conn_writev(c, two, 2), GN_OK);
    NT_EXPECT_INT(gn_conn_send_segments(c, NULL, "123456789", 9, 8), GN_OK);
    nt_note(NT_A, h, 0);
}

START_TEST(verbs_of_a_client)
{
    NT_WANTS("gro");
    static const gn_handler h = { .on_traffic = verbs_traffic, .on_close = nt_on_close };
    static const int sizes[] = { 0, 1, 5, 8, 1, 3, 4 };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    gn_addr server, other;
    gn_handle c = dial(e, nt_url(e, 0), &h, NULL);
    ck_assert_int_eq(gn_execute(c, verbs, e), GN_OK);
    nt_await(NT_A, 1);
    ck_assert_int_eq(gn_engine_addr(e, 0, &server), GN_OK);
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:9", &other), GN_OK);
    ck_assert_int_eq(gn_write(c, "xyz", 3, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_send_to(c, &server, "wxyz", 4, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_send_to(c, &other, "x", 1, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_wake(c, note_done, NULL), GN_OK);
    nt_await(NT_C, 4);
    ck_assert_int_eq(nt_nth(NT_C, 0).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_C, 1).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_C, 2).status, GN_EINVAL);
    ck_assert_int_eq(nt_nth(NT_C, 3).status, GN_ENOTSUP);
    nt_await(NT_TRAFFIC, 7); /* a few bytes on the loopback: they all fit the buffers */
    for (unsigned i = 0; i < 7; i++)
        ck_assert_int_eq(nt_nth(NT_TRAFFIC, i).status, sizes[i]);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    ck_assert_int_eq(gn_close(c, note_done, NULL), GN_OK);
    nt_await(NT_C, 5);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 1); /* before done */
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    ck_assert_int_eq(nt_nth(NT_C, 4).status, GN_OK);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* -------------------------------------------------------------------- ends */

/* Writes, then closes in each of the ways that there are. */
typedef enum how { BY_CLOSE, BY_ACTION, BY_ABORT, BY_STOP, HOWS } how;

static gn_action end_open(gn_conn *c, void *user)
{
    how way = *(how *)user;
    for (unsigned char i = 0; i < 10; i++)
        NT_EXPECT_INT(gn_conn_write(c, &i, 1), GN_OK);
    if (way == BY_CLOSE) {
        NT_EXPECT_INT(gn_conn_close(c), GN_OK);
        NT_EXPECT_INT(gn_conn_write(c, "late", 4), GN_ECLOSED);
    } else if (way == BY_ABORT) {
        NT_EXPECT_INT(gn_conn_abort(c), GN_OK);
    }
    return way == BY_ACTION ? GN_CLOSE : way == BY_STOP ? GN_SHUTDOWN : GN_NONE;
}

static gn_action count_traffic(gn_conn *c, void *user)
{
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);
    (void)user;
    NT_EXPECT_INT(n, 1);
    nt_note(NT_TRAFFIC, 0, p[0]);
    return GN_NONE;
}

START_TEST(ends_once_and_loses_nothing)
{
    static const int reasons[HOWS] = { GN_OK, GN_OK, GN_ECANCELED, GN_ESHUTDOWN };
    static const gn_handler server = { .on_traffic = count_traffic };
    static const gn_handler h = { .on_open = end_open, .on_close = nt_on_close };
    how way = (how)_i;
    gn_options o = nt_options(1);
    gn_engine *there = nt_start(&server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    gn_engine *here = nt_start(&h, &way, &o, (char *)NULL);
    (void)gn_dial(gn_engine_loop(here, 0), nt_url(there, 0), NULL, on_dialed, NULL, NULL);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, reasons[way]);
    if (way != BY_ABORT) {
        nt_await(NT_TRAFFIC, 10);
        for (int i = 0; i < 10; i++)
            ck_assert_int_eq(nt_nth(NT_TRAFFIC, (unsigned)i).status, i);
    }
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_OK);
    if (way == BY_STOP) {
        ck_assert_int_eq(nt_join(here), GN_OK);
        ck_assert_int_eq(gn_engine_destroy(here), GN_OK);
    } else {
        nt_stop(here, NT_SECOND);
    }
    nt_stop(there, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 1);
    ck_assert_uint_eq(nt_count(NT_DONE), 1);
}
END_TEST

static gn_action idle_open(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_set_idle_timeout(c, 30 * NT_MS), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_OK);
    return GN_NONE;
}

START_TEST(idle_ones_time_out)
{
    static const gn_handler h = { .on_open = idle_open, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    uint64_t begin = gnp_now();
    (void)dial(e, nt_url(e, 0), &h, NULL);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ETIMEDOUT);
    ck_assert_uint_ge(nt_nth(NT_CLOSE, 0).when - begin, 30 * NT_MS);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* Sending alone keeps it open. */
START_TEST(busy_ones_do_not_time_out)
{
    static const gn_handler server = { .on_traffic = verbs_traffic };
    static const gn_handler h = { .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e;
    gn_handle c;
    uint64_t begin, last, gap = 0;
    unsigned sent = 0;
    o.idle_timeout_ns = 500 * NT_MS; /* the loop may be late as well as this thread */
    e = nt_start(&server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    c = dial(e, nt_url(e, 0), &h, NULL);
    begin = last = gnp_now();
    while (gnp_now() - begin < 1100 * NT_MS) {
        if (gn_write(c, "x", 1, note_done, NULL) != GN_OK)
            break;
        nt_await(NT_C, ++sent);
        gap = gnp_now() - last > gap ? gnp_now() - last : gap;
        last = gnp_now();
        gnp_sleep_until(last + 20 * NT_MS);
    }
    gap = gnp_now() - last > gap ? gnp_now() - last : gap;
    if (gap < 200 * NT_MS) /* else this machine was too busy to tell */
        ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ETIMEDOUT);
    nt_stop(e, NT_SECOND);
}
END_TEST

/* ------------------------------------------------------------------ errors */

static gn_action write_open(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_OK);
    return GN_NONE;
}

/* Nobody is there: told, not ended; when somebody comes, it works. */
START_TEST(refusals_are_told)
{
    if (nt_lacks("refused-datagrams"))
        NT_SKIP("nobody is told that a datagram was refused");
    static const gn_handler h = { .on_open = write_open, .on_traffic = verbs_traffic,
                                  .on_error = note_error, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, (char *)NULL), *there;
    gnp_addr a;
    gnp_sock s;
    gn_handle c;
    char url[64];
    ck_assert_int_eq(gnp_ip_parse("127.0.0.1", &a), GNP_OK);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, NULL), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&s, &a), GNP_OK);
    gnp_sock_close(&s, 0);
    snprintf(url, sizeof(url), "udp4://127.0.0.1:%u", (unsigned)a.port);
    c = dial(e, url, &h, NULL);
    nt_await(NT_B, 1);
    ck_assert_int_eq(nt_nth(NT_B, 0).status, GN_ECONNREFUSED);
    there = nt_start(&echo_server, NULL, &o, url, (char *)NULL);
    for (unsigned i = 0; nt_count(NT_TRAFFIC) == 0; i++) { /* the answer to the first may be to this send */
        ck_assert_uint_lt(i, 5);
        ck_assert_int_eq(gn_write(c, "y", 1, note_done, NULL), GN_OK);
        nt_await(NT_C, i + 1);
        for (unsigned k = 0; k < 200 && nt_count(NT_TRAFFIC) == 0 && nt_count(NT_B) == 1 + i; k++)
            gnp_sleep_until(gnp_now() + NT_MS);
    }
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    nt_stop(there, NT_SECOND);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ESHUTDOWN);
}
END_TEST

/* ------------------------------------------------------------------- pauses */

static void pause_it(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);
    NT_EXPECT(c != NULL && status == GN_OK);
    if (c != NULL && arg != NULL)
        NT_EXPECT_INT(gn_conn_resume(c), GN_OK);
    else if (c != NULL) {
        NT_EXPECT_INT(gn_conn_pause(c), GN_OK);
        NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_OK);
    }
    nt_note(NT_A, h, 0);
}

START_TEST(reading_can_rest)
{
    static const gn_handler h = { .on_traffic = verbs_traffic };
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&echo_server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    gn_handle c = dial(e, nt_url(e, 0), &h, NULL);
    ck_assert_int_eq(gn_execute(c, pause_it, NULL), GN_OK);
    nt_await(NT_A, 1);
    gnp_sleep_until(gnp_now() + 20 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 0);
    ck_assert_int_eq(gn_execute(c, pause_it, e), GN_OK);
    nt_await(NT_TRAFFIC, 1);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), 1);
}
END_TEST

/* ------------------------------------------------------------------- memory */

#define MANY 384u /* six whole slabs; the system's usual limit of descriptors is 1,024 */

static gn_action many_traffic(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), 0);
    return GN_NONE;
}

/* A connection that has sent and received costs, when idle, its slot and no queue. */
START_TEST(idle_ones_cost_a_slot)
{
    static nt_alloc count;
    static const gn_handler h = { .on_open = write_open, .on_traffic = many_traffic };
    gn_allocator hooks = nt_alloc_hooks(&count);
    gn_options o = nt_options(1);
    gn_engine *there, *here;
    uint64_t before, after, most = 256;
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    there = nt_start(&echo_server, NULL, &o, "udp4://127.0.0.1:0", (char *)NULL);
    here = nt_start(&h, NULL, &o, (char *)NULL);
    (void)dial(here, nt_url(there, 0), NULL, NULL); /* makes what the loop keeps */
    nt_await(NT_TRAFFIC, 1);
    before = gnp_load64(&count.bytes);
    for (unsigned i = 0; i < MANY; i++) {
        (void)dial(here, nt_url(there, 0), NULL, NULL);
        nt_await(NT_TRAFFIC, i + 2);
    }
    after = gnp_load64(&count.bytes);
    if (strcmp(gn_engine_poller(here), "poll") == 0)
        most += 128; /* poll(2) wants an array of all sockets, which grows by doubling */
    if (strcmp(gn_engine_poller(here), "kqueue") == 0)
        most += 16; /* one of pointers */
    if (strcmp(gn_engine_poller(here), "afd") == 0 || strcmp(gn_engine_poller(here), "iocp") == 0)
        most += 192; /* a record that Windows writes to */
    ck_assert_msg((after - before) / MANY <= most, "%u bytes each", (unsigned)((after - before) / MANY));
    nt_stop(here, NT_SECOND);
    nt_stop(there, NT_SECOND);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("datagram client");
    TCase *t = nt_case(s, "clients", 30);
    tcase_add_loop_test(t, ping_pong, 0, 2);
    tcase_add_test(t, verbs_of_a_client);
    tcase_add_loop_test(t, ends_once_and_loses_nothing, 0, HOWS);
    tcase_add_test(t, idle_ones_time_out);
    tcase_add_test(t, busy_ones_do_not_time_out);
    tcase_add_test(t, refusals_are_told);
    tcase_add_test(t, reading_can_rest);
    tcase_add_test(t, idle_ones_cost_a_slot);
    return nt_main(s);
}
