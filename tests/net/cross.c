/* SPDX-License-Identifier: MIT */
/* Connections of one loop that touch each other inside callbacks: what one does to another must
 * hit that one, once, and later than now. */
#include "harness.h"

#include <stdio.h>

#define PEERS 16u

/* All open connections of the test's one loop; only that loop touches it. */
static gn_handle peers[PEERS];
static unsigned peer_count, depth;

static void enter(void)
{
    if (depth++ != 0)
        nt_wrong(__FILE__, __LINE__, "a callback inside another");
}

static void leave(void)
{
    depth--;
}

static gn_action peer_open(gn_conn *c, void *user)
{
    (void)user;
    enter();
    if (peer_count < PEERS)
        peers[peer_count++] = gn_conn_handle(c);
    nt_note(NT_OPEN, gn_conn_handle(c), 0);
    leave();
    return GN_NONE;
}

static unsigned index_of(const gn_conn *c)
{
    for (unsigned i = 0; i < peer_count; i++) {
        if (peers[i] == gn_conn_handle(c))
            return i;
    }
    nt_wrong(__FILE__, __LINE__, "a connection that never opened");
    return 0;
}

/* Holds the loop until everything of the test is on its way, so that one wait reports it all. */
typedef struct gate {
    gnp_atomic32 held, go;
} gate;

static void hold(gn_handle h, int status, void *arg)
{
    gate *g = arg;
    uint64_t deadline = nt_deadline();
    (void)h;
    (void)status;
    gnp_store32(&g->held, 1);
    while (!gnp_load32(&g->go) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS);
}

static void close_gate(gate *g, gn_engine *e)
{
    memset(g, 0, sizeof(*g));
    ck_assert_int_eq(gn_execute(gn_engine_loop(e, 0), hold, g), GN_OK);
    NT_UNTIL(gnp_load32(&g->held));
}

static gn_engine *start_one_loop(const gn_handler *h, void *user, int edge)
{
    gn_options o = nt_options(1);
    o.edge_triggered = edge;
    peer_count = depth = 0;
    memset(peers, 0, sizeof(peers));
    return nt_start(h, user, &o, "tcp://127.0.0.1:0", (char *)NULL);
}

static void connect_peers(tc_net *net, gn_engine *e, tc **c)
{
    for (unsigned i = 0; i < PEERS; i++) {
        c[i] = tc_connect(net, nt_url(e, 0));
        nt_await(NT_OPEN, i + 1);
    }
}

/* ---------------------------------------------------------------- broadcast */

static gn_action broadcast(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    (void)user;
    enter();
    for (unsigned i = 0; i < peer_count; i++) {
        gn_conn *to = gn_conn_from_handle(peers[i]);
        NT_EXPECT(to != NULL);
        if (to != NULL)
            NT_EXPECT_INT(gn_conn_write(to, p, n), GN_OK);
    }
    gn_conn_discard(c, n);
    leave();
    return GN_NONE;
}

/* What one says, all hear, itself too, whole and once. */
START_TEST(broadcast_reaches_all)
{
    static const gn_handler h = { .on_open = peer_open, .on_traffic = broadcast };
    gn_engine *e = start_one_loop(&h, NULL, _i);
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    unsigned rounds = nt_scaled(50, 10);
    connect_peers(net, e, c);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < PEERS; i++) {
            unsigned char message[8];
            memset(message, 'a' + (int)i, sizeof(message));
            ck_assert_int_eq(tc_send_all(c[i], message, 1 + i % sizeof(message)), GNP_OK);
        }
    }
    for (unsigned i = 0; i < PEERS; i++) {
        unsigned heard[PEERS] = { 0 };
        unsigned total = 0;
        for (unsigned k = 0; k < PEERS; k++)
            total += rounds * (1 + k % 8);
        ck_assert_int_eq(tc_recv_exact(c[i], net->scratch, total), GNP_OK);
        for (unsigned k = 0; k < total; k++) {
            ck_assert(net->scratch[k] >= 'a' && net->scratch[k] < 'a' + PEERS);
            heard[net->scratch[k] - 'a']++;
        }
        for (unsigned k = 0; k < PEERS; k++)
            ck_assert_uint_eq(heard[k], rounds * (1 + k % 8));
    }
    for (unsigned i = 0; i < PEERS; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- killing */

enum { KILL_ABORT, KILL_CLOSE, KILL_BY_HANDLE, KILLS };

static unsigned killed[PEERS];

static gn_action kill_the_others(gn_conn *c, void *user)
{
    int how = *(int *)user;
    unsigned me = index_of(c);
    enter();
    if (killed[me] && how != KILL_BY_HANDLE) /* a request by handle comes a little later */
        nt_wrong(__FILE__, __LINE__, "on_traffic of one that was closed in the same round");
    for (unsigned i = 0; i < peer_count; i++) {
        gn_conn *other = gn_conn_from_handle(peers[i]);
        if (i == me || killed[i] || killed[me])
            continue;
        killed[i] = 1;
        NT_EXPECT(other != NULL);
        if (other == NULL)
            continue;
        NT_EXPECT_INT(gn_conn_write(other, "bye", 3), GN_OK);
        switch (how) {
        case KILL_ABORT:
            NT_EXPECT_INT(gn_conn_abort(other), GN_OK);
            NT_EXPECT_INT(gn_conn_write(other, "x", 1), GN_ECLOSED);
            break;
        case KILL_CLOSE:
            NT_EXPECT_INT(gn_conn_close(other), GN_OK);
            NT_EXPECT_INT(gn_conn_write(other, "x", 1), GN_ECLOSED);
            break;
        default:
            NT_EXPECT_INT(gn_close(peers[i], NULL, NULL), GN_OK);
            break;
        }
    }
    NT_EXPECT_INT(nt_count(NT_CLOSE), 0); /* not inside this callback */
    gn_conn_discard(c, SIZE_MAX);
    if (!killed[me])
        NT_EXPECT_INT(gn_conn_write(c, "alive", 5), GN_OK);
    leave();
    return GN_NONE;
}

static gn_action peer_close(gn_conn *c, int reason, void *user)
{
    (void)user;
    enter();
    nt_note(NT_CLOSE, index_of(c), reason);
    leave();
    return GN_NONE;
}

/* All have data in the same round of events; the first that is served ends all the others.  Their
 * events must not reach them any more. */
START_TEST(victims_of_the_same_round)
{
    static const gn_handler h = {
        .on_open = peer_open, .on_traffic = kill_the_others, .on_close = peer_close
    };
    int how = _i / 2;
    gn_engine *e = start_one_loop(&h, &how, _i % 2);
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    gate g;
    unsigned alive = PEERS;
    memset(killed, 0, sizeof(killed));
    connect_peers(net, e, c);
    close_gate(&g, e);
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_int_eq(tc_send_text(c[i], "kill"), GNP_OK);
    gnp_store32(&g.go, 1);
    nt_await(NT_CLOSE, PEERS - 1);
    nt_verify();
    for (unsigned i = 0; i < PEERS - 1; i++) {
        nt_entry close = nt_nth(NT_CLOSE, i);
        ck_assert_int_eq(close.status, how == KILL_ABORT ? GN_ECANCELED : GN_OK);
        ck_assert_uint_eq(killed[close.id], 1);
        killed[close.id] = 2; /* once */
    }
    for (unsigned i = 0; i < PEERS; i++) {
        if (killed[i] == 0) {
            ck_assert_uint_eq(alive, PEERS);
            alive = i;
            ck_assert_int_eq(tc_recv_text(c[i], "alive"), GNP_OK);
        } else if (how == KILL_ABORT) {
            ck_assert_int_eq(tc_recv_to_eof(c[i], NULL), GNP_ECONNRESET);
        } else {
            ck_assert_int_eq(tc_recv_text(c[i], "bye"), GNP_OK);
            ck_assert_int_eq(tc_recv_to_eof(c[i], NULL), GNP_OK);
        }
    }
    ck_assert_uint_lt(alive, PEERS);
    for (unsigned i = 0; i < PEERS; i++)
        tc_close(c[i]);
    nt_await(NT_CLOSE, PEERS);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_CLOSE), PEERS);
    tc_net_close(net);
}
END_TEST

/* on_close of each closes the next: a chain through all, never one inside another. */
static gn_action close_the_next(gn_conn *c, int reason, void *user)
{
    unsigned me = index_of(c);
    enter();
    (void)user;
    nt_note(NT_CLOSE, me, reason);
    if (me + 1 < peer_count) {
        gn_conn *next = gn_conn_from_handle(peers[me + 1]);
        NT_EXPECT(next != NULL);
        if (next != NULL) {
            NT_EXPECT_INT(gn_conn_write(next, "next", 4), GN_OK);
            NT_EXPECT_INT(gn_conn_close(next), GN_OK);
        }
    }
    leave();
    return GN_NONE;
}

START_TEST(chain_of_closes)
{
    static const gn_handler h = { .on_open = peer_open, .on_traffic = nt_echo, .on_close = close_the_next };
    gn_engine *e = start_one_loop(&h, NULL, _i);
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    connect_peers(net, e, c);
    tc_close(c[0]);
    nt_await(NT_CLOSE, PEERS);
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_uint_eq(nt_nth(NT_CLOSE, i).id, i);
    for (unsigned i = 1; i < PEERS; i++) {
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_OK);
        ck_assert_int_eq(tc_recv_text(c[i], "next"), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c[i], NULL), GNP_OK);
        tc_close(c[i]);
    }
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- dropped bytes */

static gn_action write_and_abort(gn_conn *c, void *user)
{
    size_t n;
    const char *p = gn_conn_peek(c, &n);
    (void)user;
    if (n > 0 && p[0] == 's') {
        NT_EXPECT_INT(gn_conn_write(c, "secret of another", 17), GN_OK);
        NT_EXPECT_INT(gn_conn_write(c, p, n), GN_OK);
        NT_EXPECT_INT(gn_conn_abort(c), GN_OK);
        gn_conn_discard(c, n);
        return GN_NONE;
    }
    return nt_echo(c, user);
}

/* What was written before an abort is dropped; it never goes to the one served next. */
START_TEST(dropped_bytes_go_to_nobody)
{
    static const gn_handler h = {
        .on_open = peer_open, .on_traffic = write_and_abort, .on_close = peer_close
    };
    gn_engine *e = start_one_loop(&h, NULL, _i);
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    gate g;
    connect_peers(net, e, c);
    close_gate(&g, e);
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_int_eq(tc_send_text(c[i], i % 2 ? "hello" : "secret"), GNP_OK);
    gnp_store32(&g.go, 1);
    for (unsigned i = 1; i < PEERS; i += 2)
        ck_assert_int_eq(tc_recv_text(c[i], "hello"), GNP_OK);
    for (unsigned i = 0; i < PEERS; i += 2) {
        uint64_t total = 0;
        ck_assert_int_eq(tc_recv_to_eof(c[i], &total), GNP_ECONNRESET);
        ck_assert_uint_eq(total, 0);
    }
    for (unsigned i = 1; i < PEERS; i += 2)
        ck_assert(tc_quiet(c[i], NT_MS));
    for (unsigned i = 0; i < PEERS; i++)
        tc_close(c[i]);
    nt_await(NT_CLOSE, PEERS);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- ping-pong */

/* Each byte that comes to one is written to the next: two of them can go on for ever, and the
 * loop must still serve the others and stop. */
static gn_action to_the_next(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    unsigned me = index_of(c);
    (void)user;
    enter();
    if (me >= 2) {
        gn_conn_write(c, p, n);
    } else if (peer_count >= 2) {
        gn_conn *next = gn_conn_from_handle(peers[1 - me]);
        if (next != NULL && gn_conn_write(next, p, n) == GN_OK)
            NT_EXPECT_INT(gn_wake(peers[1 - me], NULL, NULL), GN_OK);
    }
    gn_conn_discard(c, n);
    leave();
    return GN_NONE;
}

START_TEST(wakes_in_a_circle_starve_nobody)
{
    static const gn_handler h = { .on_open = peer_open, .on_traffic = to_the_next };
    gn_engine *e = start_one_loop(&h, NULL, _i);
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    connect_peers(net, e, c);
    ck_assert_int_eq(tc_send_text(c[0], "go"), GNP_OK); /* wakes go round between 0 and 1 from now on */
    ck_assert_int_eq(tc_recv_text(c[1], "go"), GNP_OK);
    for (unsigned i = 2; i < PEERS; i++) {
        ck_assert_int_eq(tc_send_text(c[i], "me too"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c[i], "me too"), GNP_OK);
    }
    for (unsigned i = 0; i < PEERS; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- turns */

#define FLOOD (2 * NT_MIB)
#define CHUNK (32 * NT_KIB)

static uint64_t flooded;

static gn_action count_flood(gn_conn *c, void *user)
{
    (void)user;
    if (index_of(c) == 0) {
        flooded += gn_conn_discard(c, SIZE_MAX);
        return GN_NONE;
    }
    nt_note(NT_TRAFFIC, index_of(c), (int)flooded);
    return nt_echo(c, NULL);
}

/* One with megabytes waiting gets a chunk of them, then the others have their turn. */
START_TEST(one_with_much_waits_its_turn)
{
    static const gn_handler h = { .on_open = peer_open, .on_traffic = count_flood };
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c[PEERS];
    gate g;
    o.edge_triggered = _i;
    o.edge_chunk = CHUNK;
    o.read_buffer = 4096;
    o.recv_buffer = FLOOD;
    peer_count = depth = 0;
    flooded = 0;
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    connect_peers(net, e, c);
    close_gate(&g, e);
    ck_assert_uint_gt(tc_stuff(c[0], FLOOD, 20 * NT_MS), 4 * CHUNK); /* into the system's buffers */
    for (unsigned i = 1; i < PEERS; i++)
        ck_assert_int_eq(tc_send_text(c[i], "me too"), GNP_OK);
    gnp_store32(&g.go, 1);
    for (unsigned i = 1; i < PEERS; i++)
        ck_assert_int_eq(tc_recv_text(c[i], "me too"), GNP_OK);
    for (unsigned i = 0; i < PEERS - 1; i++)
        ck_assert_msg(nt_nth(NT_TRAFFIC, i).status <= (int)(2 * CHUNK), "served after %d bytes of the other",
                      nt_nth(NT_TRAFFIC, i).status);
    for (unsigned i = 0; i < PEERS; i++)
        tc_close(c[i]);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cross");
    TCase *t = nt_case(s, "cross", 30);
    tcase_add_loop_test(t, broadcast_reaches_all, 0, 2);
    tcase_add_loop_test(t, victims_of_the_same_round, 0, 2 * KILLS);
    tcase_add_loop_test(t, chain_of_closes, 0, 2);
    tcase_add_loop_test(t, dropped_bytes_go_to_nobody, 0, 2);
    tcase_add_loop_test(t, one_with_much_waits_its_turn, 0, 2);
    tcase_add_loop_test(t, wakes_in_a_circle_starve_nobody, 0, 2);
    return nt_main(s);
}
