/* SPDX-License-Identifier: MIT */
/*
 * Every way of serving an echo, crossed: {level, edge, edge with chunk, reuseport level,
 * reuseport edge} x {tcp, udp, unix} x {sync, async, async vector} x {1 loop, several} x {every
 * poller} x {one address, several}.  Each cell is a test: clients that send random bytes in
 * random pieces and check each byte that comes back.
 *
 * GANNET_TEST_CELLS=n/m runs only each m-th cell, from n on; GANNET_TEST_SCALE says how much.
 */
#include "harness.h"

#include <stdio.h>

enum { LEVEL, EDGE, EDGE_CHUNK, REUSEPORT_LEVEL, REUSEPORT_EDGE, MODES };
enum { TCP, UDP, UNIX, PROTOS };
enum { SYNC, ASYNC, ASYNC_VECTOR, OPS };

static const char *const mode_names[MODES] = { "level", "edge", "edge+chunk", "reuseport", "reuseport+edge" };
static const char *const proto_names[PROTOS] = { "tcp", "udp", "unix" };
static const char *const op_names[OPS] = { "sync", "async", "async vector" };

typedef struct cell {
    unsigned mode, proto, op, many_loops, several;
    const char *poller;
    char name[96];
} cell;

#define MANY_LOOPS 3u
#define EDGE_CHUNK_BYTES 3000u /* small and odd, so that it is reached often */
#define MAX_POLLERS 8u

static const char *pollers[MAX_POLLERS];
static unsigned poller_count;

static cell cell_at(unsigned i)
{
    cell c;
    c.several = i % 2;
    i /= 2;
    c.many_loops = i % 2;
    i /= 2;
    c.op = i % OPS;
    i /= OPS;
    c.proto = i % PROTOS;
    i /= PROTOS;
    c.mode = i % MODES;
    i /= MODES;
    c.poller = pollers[i];
    snprintf(c.name, sizeof(c.name), "%s/%s/%s/%s/%s/%s", c.poller, mode_names[c.mode], proto_names[c.proto],
             op_names[c.op], c.many_loops ? "3 loops" : "1 loop",
             c.several ? "several addresses" : "one address");
    return c;
}

static unsigned cell_count(void)
{
    return poller_count * MODES * PROTOS * OPS * 2 * 2;
}

/* ---------------------------------------------------------------- the asynchronous worker */

typedef struct job {
    struct job *next;
    gn_handle to;
    gn_addr peer;
    int datagram;
    size_t n;
    unsigned char *bytes;
} job;

typedef struct server {
    unsigned op;
    gnp_mutex lock;
    gnp_cond more;
    job *first, **last;
    int end;
    gnp_thread worker;
    gnp_atomic64 asked, completed, opened, closed;
} server;

static void done(gn_handle h, int status, void *arg)
{
    server *s = arg;
    NT_EXPECT(h != GN_HANDLE_NONE);
    NT_EXPECT_INT(status, GN_OK);
    gnp_add64(&s->completed, 1);
}

/* In up to six pieces of random size, some of them empty. */
static unsigned split(const job *j, gn_iov iov[6])
{
    uint64_t state = j->n;
    size_t at = 0;
    for (unsigned i = 0; i < 5; i++) {
        size_t part = (size_t)(nt_random(&state) % (j->n - at + 1));
        iov[i].base = j->bytes + at;
        iov[i].len = part;
        at += part;
    }
    iov[5].base = j->bytes + at;
    iov[5].len = j->n - at;
    return 6;
}

static void run_job(server *s, const job *j)
{
    gn_iov iov[6];
    int status;
    gnp_add64(&s->asked, 1);
    if (j->datagram)
        status = gn_send_to(j->to, &j->peer, j->bytes, j->n, done, s);
    else if (s->op == ASYNC)
        status = gn_write(j->to, j->bytes, j->n, done, s);
    else
        status = gn_writev(j->to, iov, split(j, iov), done, s);
    NT_EXPECT_INT(status, GN_OK);
}

static void worker(void *arg)
{
    server *s = arg;
    gnp_mutex_lock(&s->lock);
    for (;;) {
        job *j = s->first;
        if (j == NULL && s->end)
            break;
        if (j == NULL) {
            gnp_cond_wait(&s->more, &s->lock);
            continue;
        }
        s->first = j->next;
        if (s->first == NULL)
            s->last = &s->first;
        gnp_mutex_unlock(&s->lock);
        run_job(s, j);
        free(j->bytes);
        free(j);
        gnp_mutex_lock(&s->lock);
    }
    gnp_mutex_unlock(&s->lock);
}

static void hand_over(server *s, gn_conn *c, const void *data, size_t n)
{
    job *j = calloc(1, sizeof(*j));
    if (j != NULL)
        j->bytes = malloc(n + 1);
    if (j == NULL || j->bytes == NULL) {
        nt_wrong(__FILE__, __LINE__, "the test has no memory");
        free(j);
        return;
    }
    if (n > 0)
        memcpy(j->bytes, data, n);
    j->n = n;
    j->to = gn_conn_handle(c);
    j->datagram = gn_conn_is_datagram(c);
    if (j->datagram)
        NT_EXPECT_INT(gn_conn_remote_addr(c, &j->peer), GN_OK);
    gnp_mutex_lock(&s->lock);
    *s->last = j;
    s->last = &j->next;
    gnp_cond_signal(&s->more);
    gnp_mutex_unlock(&s->lock);
}

/* ---------------------------------------------------------------- the server */

/* Answers with each of the ways to read in turn; all leave the buffer empty. */
static void answer(gn_conn *c, size_t n)
{
    unsigned char small[700];
    const unsigned char *p;
    gn_iov iov[2];
    switch (n % 3) {
    case 0:
        p = gn_conn_next(c, 0);
        NT_EXPECT(p != NULL);
        NT_EXPECT_INT(gn_conn_write(c, p, n), GN_OK);
        break;
    case 1:
        p = gn_conn_peek(c, &n);
        iov[0].base = p;
        iov[0].len = n / 2;
        iov[1].base = p + n / 2;
        iov[1].len = n - n / 2;
        NT_EXPECT_INT(gn_conn_writev(c, iov, 2), GN_OK);
        NT_EXPECT_INT(gn_conn_discard(c, n), n);
        break;
    default:
        if (gn_conn_is_datagram(c)) {
            NT_EXPECT_INT(gn_conn_write(c, gn_conn_peek(c, &n), n), GN_OK);
            break;
        }
        while ((n = gn_conn_read(c, small, sizeof(small))) > 0)
            NT_EXPECT_INT(gn_conn_write(c, small, n), GN_OK);
        NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
        break;
    }
    NT_EXPECT(gn_conn_is_datagram(c) || gn_conn_inbound(c) == 0);
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    NT_EXPECT(p != NULL);
    NT_EXPECT_INT(gn_conn_inbound(c), n);
    NT_EXPECT(n > 0 || gn_conn_is_datagram(c));
    if (s->op == SYNC) {
        answer(c, n);
    } else {
        hand_over(s, c, p, n);
        gn_conn_discard(c, n);
    }
    return GN_NONE;
}

static gn_action on_open(gn_conn *c, void *user)
{
    server *s = user;
    NT_EXPECT(!gn_conn_is_datagram(c));
    gnp_add64(&s->opened, 1);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    server *s = user;
    (void)c;
    NT_EXPECT_INT(reason, GN_EOF);
    gnp_add64(&s->closed, 1);
    return GN_NONE;
}

static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close };

static gn_options options_of(const cell *c)
{
    gn_options o = nt_options(c->many_loops ? MANY_LOOPS : 1);
    o.poller = c->poller;
    o.edge_triggered = c->mode == EDGE || c->mode == EDGE_CHUNK || c->mode == REUSEPORT_EDGE;
    if (c->mode == EDGE_CHUNK)
        o.edge_chunk = EDGE_CHUNK_BYTES;
    o.reuseport = nt_sharing(c->mode == REUSEPORT_LEVEL || c->mode == REUSEPORT_EDGE);
    return o;
}

static gn_engine *serve(const cell *c, server *s, const gn_options *o)
{
    int six = gnp_has_ipv6();
    switch (c->proto) {
    case TCP:
        if (!c->several)
            return nt_start(&handler, s, o, "tcp://127.0.0.1:0", (char *)NULL);
        return nt_start(&handler, s, o, "tcp4://127.0.0.1:0", six ? "tcp6://[::1]:0" : "127.0.0.1:0",
                        nt_unix_url(), (char *)NULL);
    case UDP:
        if (!c->several)
            return nt_start(&handler, s, o, "udp://127.0.0.1:0", (char *)NULL);
        return nt_start(&handler, s, o, "udp4://127.0.0.1:0", six ? "udp6://[::1]:0" : "udp://127.0.0.1:0",
                        "tcp://127.0.0.1:0", (char *)NULL);
    default:
        if (!c->several)
            return nt_start(&handler, s, o, nt_unix_url(), (char *)NULL);
        return nt_start(&handler, s, o, nt_unix_url(), nt_unix_url(), "udp://127.0.0.1:0", (char *)NULL);
    }
}

/* ---------------------------------------------------------------- a cell */

#define MOST_CLIENTS 64u

static unsigned connect_all(const cell *c, gn_engine *e, tc_net *net, tc_flow *flows, unsigned count,
                            unsigned seed)
{
    unsigned streams = 0, addresses = gn_engine_addr_count(e);
    ck_assert_uint_eq(addresses, c->several ? 3 : 1);
    for (unsigned i = 0; i < count; i++) {
        tc_flow *f = &flows[i];
        memset(f, 0, sizeof(*f));
        f->c = tc_connect(net, nt_url(e, i % addresses));
        f->seed = ((uint64_t)seed << 32) + i;
        f->total = nt_scaled(160 * 1024, 8192) + 977 * i;
        /* All clients' datagrams together must fit the server's receive buffer: 212,992 bytes by
         * default on Linux, in which one of 2,000 bytes counts as up to 4 KiB. */
        f->chunk = f->c->dgram ? 2000 : i % 2 ? 1500 : 40000;
        /* An asynchronous answer may come after the close that the end brings; lifecycle.c
         * tests it with on_eof. */
        f->half_close = !f->c->dgram && c->op == SYNC && i % 2;
        streams += !f->c->dgram;
    }
    return streams;
}

static void run_cell(const cell *c, unsigned seed)
{
    server s;
    tc_flow flows[MOST_CLIENTS];
    unsigned count = nt_scaled(24, 4), streams;
    gn_options o = options_of(c);
    tc_net *net = tc_net_open();
    gn_engine *e;

    count = count > MOST_CLIENTS ? MOST_CLIENTS : count;
    memset(&s, 0, sizeof(s));
    s.op = c->op;
    s.last = &s.first;
    ck_assert_int_eq(gnp_mutex_init(&s.lock), GNP_OK);
    ck_assert_int_eq(gnp_cond_init(&s.more), GNP_OK);
    ck_assert_int_eq(gnp_thread_start(&s.worker, worker, &s, "worker"), GNP_OK);

    e = serve(c, &s, &o);
    ck_assert_str_eq(gn_engine_poller(e), c->poller);
    ck_assert_uint_eq(gn_engine_loop_count(e), o.loops);
    streams = connect_all(c, e, net, flows, count, seed);
    tc_exchange(net, flows, count);
    for (unsigned i = 0; i < count; i++)
        tc_close(flows[i].c);
    nt_verify();

    NT_UNTIL(gnp_load64(&s.closed) == streams);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    gnp_mutex_lock(&s.lock);
    s.end = 1;
    gnp_cond_signal(&s.more);
    gnp_mutex_unlock(&s.lock);
    gnp_thread_join(&s.worker);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(gnp_load64(&s.opened), streams);
    ck_assert_uint_eq(gnp_load64(&s.closed), streams);
    ck_assert_uint_eq(gnp_load64(&s.completed), gnp_load64(&s.asked));
    ck_assert(c->op == SYNC || gnp_load64(&s.asked) > 0);
    gnp_mutex_destroy(&s.lock);
    gnp_cond_destroy(&s.more);
    tc_net_close(net);
}

/* ---------------------------------------------------------------- the program */

/* A number that none of the dimensions divides, so that a few cells still have a bit of each. */
#define SHARDS_WRAPPED 7u

static unsigned shard, shards = 1;

START_TEST(every_cell)
{
    cell c = cell_at(shard + (unsigned)_i * shards);
    nt_name(c.name);
    if (c.proto == UNIX)
        NT_WANTS_UNIX();
    if ((c.mode == REUSEPORT_LEVEL || c.mode == REUSEPORT_EDGE) && !nt_sharing(1))
        NT_SKIP("no sharing of ports here");
    run_cell(&c, (unsigned)_i);
}
END_TEST

static void find_pollers(void)
{
    const char *name;
    int available = 0;
    for (unsigned i = 0; (name = gn_poller_name(i, &available)) != NULL; i++) {
        if (available && poller_count < MAX_POLLERS)
            pollers[poller_count++] = name;
    }
}

int main(void)
{
    Suite *s = suite_create("matrix");
    const char *cells = getenv("GANNET_TEST_CELLS");
    unsigned first = 0, each = 1;
    TCase *t = nt_case(s, "cells", 60);
    find_pollers();
    if (nt_wrapped())
        shards = SHARDS_WRAPPED;
    if (cells != NULL && sscanf(cells, "%u/%u", &first, &each) == 2 && first < each) {
        shard = first;
        shards = each;
    }
    tcase_add_loop_test(t, every_cell, 0, (int)((cell_count() - shard + shards - 1) / shards));
    if (poller_count == 0) {
        fprintf(stderr, "no poller is available\n");
        return EXIT_FAILURE;
    }
    return nt_main(s);
}
