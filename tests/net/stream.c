/* SPDX-License-Identifier: MIT */
/* Bytes of streams: reading what is lent, writing more than fits, half-closed and slow peers. */
#include "harness.h"

#include <stdio.h>

/* Which kind of socket and polling a looped test runs with: TCP, Unix; level, edge. */
#define KINDS 4

#define WANTS_KIND() \
    do { \
        if (_i % 2) \
            NT_WANTS_UNIX(); \
    } while (0)

static gn_engine *start_kind(int kind, const gn_handler *h, void *user, gn_options *o)
{
    static const char *const names[KINDS] = { "tcp level", "unix level", "tcp edge", "unix edge" };
    nt_name(names[kind]);
    o->edge_triggered = kind / 2;
    return nt_start(h, user, o, kind % 2 ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
}

/* A plan of what the one connection of a test does, and what it saw. */
typedef struct plan {
    uint64_t reply;      /* bytes to write */
    int close;           /* 1: then close */
    size_t piece;        /* bytes of one write; 0: all at once */
    gnp_atomic64 handle; /* of the connection */
    gnp_atomic64 read, written, most, calls;
    gnp_atomic32 flag, other;
    unsigned depth;
} plan;

static gn_action plan_open(gn_conn *c, void *user)
{
    plan *p = user;
    gnp_store64(&p->handle, gn_conn_handle(c));
    return nt_on_open(c, user);
}

/* Writes n bytes of stream seed from pos on; returns the status. */
static int write_stream(gn_conn *c, uint64_t seed, uint64_t pos, uint64_t n, size_t piece)
{
    int status = GN_OK;
    unsigned char *bytes;
    piece = piece == 0 || piece > n ? (size_t)n : piece;
    bytes = malloc(piece + 1);
    if (bytes == NULL)
        return GN_ENOMEM;
    while (n > 0 && status == GN_OK) {
        size_t part = n < piece ? (size_t)n : piece;
        nt_fill(seed, pos, bytes, part);
        status = gn_conn_write(c, bytes, part);
        memset(bytes, 0, part); /* it was copied */
        pos += part;
        n -= part;
    }
    free(bytes);
    return status;
}

/* ---------------------------------------------------------------- half-close */

static gn_action half_eof_stays(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_inbound(c), 0);
    nt_note(NT_EOF, gn_conn_handle(c), 0);
    return GN_NONE;
}

/* D6: the client ends its stream at once after the request: the whole reply comes. */
START_TEST(half_close_gets_the_whole_reply)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = nt_echo, .on_close = nt_on_close };
    gn_options o = nt_options(2);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    tc_flow f[8];
    memset(f, 0, sizeof(f));
    for (unsigned i = 0; i < 8; i++) {
        f[i].c = tc_connect(net, nt_url(e, 0));
        f[i].seed = 10 + i;
        f[i].total = (i + 1) * NT_MIB / 2;
        f[i].chunk = 100000;
        f[i].half_close = 1;
    }
    ck_assert_int_eq(tc_exchange(net, f, 8), GNP_OK);
    for (unsigned i = 0; i < 8; i++)
        tc_close(f[i].c);
    nt_await(NT_CLOSE, 8);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The request and the end in one segment, before the server has seen anything. */
START_TEST(half_close_right_behind_the_request)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = nt_echo, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    for (unsigned i = 0; i < 50; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(c, "request"), GNP_OK);
        ck_assert_int_eq(tc_shutdown(c), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "request"), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
        tc_close(c);
    }
    nt_await(NT_CLOSE, 50);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* on_eof says go on: the reply comes much later, from another thread. */
START_TEST(reply_long_after_the_end)
{
    WANTS_KIND();
    static const gn_handler h = {
        .on_open = nt_on_open, .on_traffic = nt_echo, .on_eof = half_eof_stays, .on_close = nt_on_close
    };
    gn_options o = nt_options(1);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char *bytes = malloc(4 * NT_MIB);
    uint64_t cpu;
    gn_handle handle;
    ck_assert_ptr_nonnull(bytes);
    nt_fill(5, 0, bytes, 4 * NT_MIB);
    ck_assert_int_eq(tc_send_text(c, "ping"), GNP_OK);
    ck_assert_int_eq(tc_shutdown(c), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "ping"), GNP_OK);
    nt_await(NT_EOF, 1);
    /* A half-closed connection is readable for ever; the loop must not spin on it. */
    cpu = gnp_process_cpu();
    gnp_sleep_until(gnp_now() + 300 * NT_MS);
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 150 * NT_MS);
    handle = nt_nth(NT_OPEN, 0).id;
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    ck_assert_int_eq(gn_write(handle, bytes, 4 * NT_MIB, NULL, NULL), GN_OK);
    ck_assert_int_eq(gn_close(handle, NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_stream(c, 5, 0, 4 * NT_MIB), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    ck_assert_uint_eq(nt_count(NT_EOF), 1);
    free(bytes);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action end_ours(gn_conn *c, void *user)
{
    plan *p = user;
    size_t n = gn_conn_inbound(c);
    const unsigned char *data = gn_conn_next(c, 0);
    uint64_t before = gnp_add64(&p->read, n);
    if (before == 0) {
        NT_EXPECT_INT(write_stream(c, 6, 0, 6 * NT_MIB, 0), GN_OK);
        NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_OK);
        NT_EXPECT(gn_conn_write(c, "late", 4) < 0);
    }
    NT_EXPECT(nt_match(7, before, data, n) == n);
    return GN_NONE;
}

/* We end our stream and go on reading. */
START_TEST(reading_goes_on_after_our_end)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = end_ours, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    memset(&p, 0, sizeof(p));
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_stream(c, 7, 0, 1000), GNP_OK);
    ck_assert_int_eq(tc_recv_stream(c, 6, 0, 6 * NT_MIB), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    ck_assert_int_eq(tc_send_stream(c, 7, 1000, 3 * NT_MIB), GNP_OK);
    NT_UNTIL(gnp_load64(&p.read) == 3 * NT_MIB + 1000);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- nothing is lost */

/* More than every buffer of the system, also where a slow tool asks for less. */
#define BIG ((uint64_t)nt_scaled(32, 12) * NT_MIB)

static gn_action big_open(gn_conn *c, void *user)
{
    plan *p = user;
    nt_on_open(c, user);
    NT_EXPECT_INT(write_stream(c, 11, 0, p->reply, p->piece), GN_OK);
    if (p->close == 2)
        NT_EXPECT_INT(gn_conn_close(c), GN_OK);
    return p->close == 1 ? GN_CLOSE : GN_NONE;
}

static gn_action no_traffic(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    nt_wrong(__FILE__, __LINE__, "on_traffic after the close was asked for");
    return GN_NONE;
}

/* D5: 32 MiB written, then closed; the client starts to read late and takes small sips at first. */
START_TEST(written_then_closed_arrives_whole)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = big_open, .on_traffic = no_traffic, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    memset(&p, 0, sizeof(p));
    p.reply = BIG;
    p.close = 1 + _i / KINDS;
    p.piece = p.close == 1 ? 0 : 77777;
    e = start_kind(_i % KINDS, &h, &p, &o);
    net->opts.rcvbuf = 64 * NT_KIB;
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    gnp_sleep_until(gnp_now() + 100 * NT_MS); /* slowness itself is the subject */
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(tc_recv_stream(c, 11, i * 1000, 1000), GNP_OK);
        gnp_sleep_until(gnp_now() + 5 * NT_MS);
    }
    ck_assert_int_eq(tc_recv_stream(c, 11, 20000, BIG - 20000), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The same while the client itself goes on sending: bytes that nobody will read must not make
 * the system answer with a reset that eats the rest of the reply. */
START_TEST(written_then_closed_while_the_peer_sends)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = big_open, .on_traffic = no_traffic, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    uint64_t got = 0, deadline = nt_deadline();
    int status = GNP_OK;
    memset(&p, 0, sizeof(p));
    p.reply = BIG;
    p.close = 1;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    while (status == GNP_OK && gnp_now() < deadline) {
        unsigned char back[32768];
        size_t n = 0;
        tc_stuff(c, 16384, 0); /* as much as goes without waiting */
        status = tc_recv(c, back, sizeof(back), &n);
        ck_assert_uint_eq(nt_match(11, got, back, n), n);
        got += n;
    }
    ck_assert_int_eq(status, GNP_EOF);
    ck_assert_uint_eq(got, BIG);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_OK);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action answer_and_close(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_handle(c), 0);
    NT_EXPECT_INT(gn_conn_write(c, "413 too large", 13), GN_OK);
    return GN_CLOSE;
}

/* What a server does with a request that is too large: answer, close, while much is still on its
 * way.  The answer arrives every time. */
START_TEST(early_answer_is_not_eaten_by_a_reset)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = answer_and_close, .on_close = nt_on_close };
    gn_options o = nt_options(2);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    unsigned rounds = nt_scaled(40, 10);
    for (unsigned i = 0; i < rounds; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        tc_send_stream(c, i, 0, 400 * NT_KIB);
        ck_assert_int_eq(tc_recv_text(c, "413 too large"), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
        tc_close(c);
    }
    nt_await(NT_CLOSE, rounds);
    ck_assert_uint_eq(nt_count(NT_TRAFFIC), rounds); /* none after the close was asked for */
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action greet(gn_conn *c, void *user)
{
    nt_on_open(c, user);
    NT_EXPECT_INT(gn_conn_write(c, "busy, ", 6), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "", 0), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "come later", 10), GN_OK);
    return GN_CLOSE;
}

START_TEST(greeting_and_close_in_on_open)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = greet, .on_traffic = no_traffic, .on_close = nt_on_close };
    gn_options o = nt_options(2);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    for (unsigned i = 0; i < 50; i++) {
        tc *c = tc_connect(net, nt_url(e, 0));
        if (i % 2)
            tc_send_text(c, "hello?"); /* may come before or after the close */
        ck_assert_int_eq(tc_recv_text(c, "busy, come later"), GNP_OK);
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
        tc_close(c);
    }
    nt_await(NT_CLOSE, 50);
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(nt_nth(NT_CLOSE, i).status, GN_OK);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- writing */

#define VECTORS 3500u /* well over IOV_MAX, 1,024 on most systems */

static size_t make_vectors(unsigned char *bytes, size_t cap, gn_iov *iov)
{
    uint64_t random = 9;
    size_t at = 0;
    nt_fill(13, 0, bytes, cap);
    for (unsigned i = 0; i < VECTORS; i++) {
        iov[i].len = (size_t)(nt_random(&random) % 600); /* some are empty */
        iov[i].base = iov[i].len > 0 ? bytes + at : NULL;
        at += iov[i].len;
    }
    ck_assert_uint_le(at, cap);
    return at;
}

static unsigned char vector_bytes[VECTORS * 600];
static gn_iov vectors[VECTORS];

static gn_action write_vectors(gn_conn *c, void *user)
{
    (void)user;
    gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_writev(c, vectors, VECTORS), GN_OK);
    return GN_NONE;
}

/* D3: any number of vectors. */
START_TEST(writev_takes_any_number)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = write_vectors,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    size_t total = make_vectors(vector_bytes, sizeof(vector_bytes), vectors);
    ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
    ck_assert_int_eq(tc_recv_stream(c, 13, 0, total), GNP_OK);
    ck_assert_int_eq(gn_writev(nt_nth(NT_OPEN, 0).id, vectors, VECTORS, NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_stream(c, 13, 0, total), GNP_OK);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action write_in_pieces(gn_conn *c, void *user)
{
    plan *p = user;
    uint64_t random = 21, pos = 0;
    gn_conn_discard(c, SIZE_MAX);
    while (pos < p->reply) {
        /* From a byte to beyond every buffer, with a flush now and then. */
        uint64_t n = nt_random(&random) % (UINT64_C(1) << (nt_random(&random) % 20)) + 1;
        n = n < p->reply - pos ? n : p->reply - pos;
        NT_EXPECT_INT(write_stream(c, 22, pos, n, 0), GN_OK);
        pos += n;
        if (nt_random(&random) % 16 == 0)
            NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
    }
    return GN_NONE;
}

START_TEST(writes_of_every_size_keep_their_order)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = write_in_pieces };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    memset(&p, 0, sizeof(p));
    p.reply = nt_scaled(9, 2) * NT_MIB;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
        ck_assert_int_eq(tc_recv_stream(c, 22, 0, p.reply), GNP_OK);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Writes from the lent span, of copies of it, and of a part of it twice, mixed: each byte is
 * taken at the time of the call, whatever is done to the buffer afterwards. */
static gn_action write_from_span(gn_conn *c, void *user)
{
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);
    unsigned char copy[64];
    (void)user;
    if (n < 64)
        return GN_NONE;
    memcpy(copy, p, 64);
    NT_EXPECT_INT(gn_conn_write(c, p, 32), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, copy + 32, 32), GN_OK);
    memset(copy, 0, sizeof(copy));
    NT_EXPECT_INT(gn_conn_write(c, p, 64), GN_OK);
    p = gn_conn_next(c, 64);
    NT_EXPECT_INT(gn_conn_write(c, p + 16, 16), GN_OK);
    return GN_NONE;
}

START_TEST(writes_may_point_into_the_lent_span)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = write_from_span };
    gn_options o = nt_options(1);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    unsigned char back[16];
    for (unsigned i = 0; i < 200; i++) {
        ck_assert_int_eq(tc_send_stream(c, i, 0, 64), GNP_OK);
        ck_assert_int_eq(tc_recv_stream(c, i, 0, 64), GNP_OK);
        ck_assert_int_eq(tc_recv_stream(c, i, 0, 64), GNP_OK);
        ck_assert_int_eq(tc_recv_exact(c, back, 16), GNP_OK);
        ck_assert_uint_eq(nt_match(i, 16, back, 16), 16);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action flush_and_wait(gn_conn *c, void *user)
{
    plan *p = user;
    uint64_t deadline = nt_deadline();
    gn_conn_discard(c, SIZE_MAX);
    NT_EXPECT_INT(gn_conn_write(c, "early", 5), GN_OK);
    NT_EXPECT_INT(gn_conn_outbound(c), 5);
    NT_EXPECT_INT(gn_conn_flush(c), GN_OK);
    NT_EXPECT_INT(gn_conn_outbound(c), 0);
    while (!gnp_load32(&p->flag) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS);
    NT_EXPECT(gnp_load32(&p->flag));
    NT_EXPECT_INT(gn_conn_write(c, "late", 4), GN_OK);
    return GN_NONE;
}

/* The client has the bytes while the callback still runs. */
START_TEST(flush_sends_at_once)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = flush_and_wait };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    memset(&p, 0, sizeof(p));
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "early"), GNP_OK);
    gnp_store32(&p.flag, 1);
    ck_assert_int_eq(tc_recv_text(c, "late"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action write_to_the_dead(gn_conn *c, void *user)
{
    plan *p = user;
    uint64_t deadline = nt_deadline();
    int status = GN_OK;
    static unsigned char bytes[256 * 1024];
    p->depth++;
    gn_conn_discard(c, SIZE_MAX);
    gnp_store32(&p->flag, 1);
    while (!gnp_load32(&p->other) && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS);
    while (status == GN_OK && gnp_now() < deadline) {
        status = gn_conn_write(c, bytes, sizeof(bytes));
        if (status == GN_OK)
            status = gn_conn_flush(c);
    }
    NT_EXPECT(status == GN_EPIPE || status == GN_ECONNRESET || status == GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_write(c, "x", 1), GN_ECLOSED);
    NT_EXPECT_INT(nt_count(NT_CLOSE), 0);
    p->depth--;
    return GN_NONE;
}

static gn_action close_at_depth_0(gn_conn *c, int reason, void *user)
{
    plan *p = user;
    gn_addr a;
    NT_EXPECT_INT(p->depth, 0);
    NT_EXPECT(gn_conn_os_error(c) != 0);
    NT_EXPECT_INT(gn_conn_remote_addr(c, &a), GN_OK);
    return nt_on_close(c, reason, user);
}

/* GNET.md 32: a write that fails inside on_traffic closes after it, not within. */
START_TEST(failing_write_does_not_reenter)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = write_to_the_dead, .on_close = close_at_depth_0 };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    int reason;
    memset(&p, 0, sizeof(p));
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "go"), GNP_OK);
    NT_UNTIL(gnp_load32(&p.flag));
    tc_reset(c);
    gnp_store32(&p.other, 1);
    nt_await(NT_CLOSE, 1);
    reason = nt_nth(NT_CLOSE, 0).status;
    ck_assert_msg(reason == GN_EPIPE || reason == GN_ECONNRESET, "reason: %s", gn_strerror(reason));
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- limits */

static gn_action fill_up(gn_conn *c, void *user)
{
    plan *p = user;
    size_t piece = 60000;
    uint64_t written = 0;
    int status;
    gn_conn_discard(c, SIZE_MAX);
    while ((status = write_stream(c, 31, written, piece, 0)) == GN_OK && written < 64 * NT_MIB) {
        written += piece;
        NT_EXPECT(gn_conn_outbound(c) <= 512 * NT_KIB);
    }
    NT_EXPECT_INT(status, GN_ELIMIT);
    {
        size_t before = gn_conn_outbound(c), room = 512 * NT_KIB - before;
        gn_iov two[2] = { { NULL, 0 }, { NULL, 0 } };
        unsigned char *bytes = malloc(room + 2);
        NT_EXPECT(before > 512 * NT_KIB - piece && before <= 512 * NT_KIB);
        if (bytes != NULL) {
            nt_fill(31, written, bytes, room + 2);
            two[0].base = bytes;
            two[0].len = room;
            two[1].base = bytes + room;
            two[1].len = 1;
            NT_EXPECT_INT(gn_conn_writev(c, two, 2), GN_ELIMIT); /* nothing of it */
            NT_EXPECT_INT(gn_conn_outbound(c), before);
            NT_EXPECT_INT(gn_conn_write(c, bytes, room), GN_OK); /* exactly full */
            written += room;
            NT_EXPECT_INT(gn_conn_write(c, bytes, 1), GN_ELIMIT);
            free(bytes);
        }
    }
    gnp_store64(&p->written, written);
    return GN_NONE;
}

static void note_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_DONE, h, status);
}

/* D13: ... and what is unsent... */
START_TEST(outbound_max_is_all_or_nothing)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = fill_up, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    int status;
    memset(&p, 0, sizeof(p));
    o.outbound_max = 512 * NT_KIB;
    o.outbound_high = 256 * NT_KIB;
    o.send_buffer = 64 * NT_KIB;
    net->opts.rcvbuf = 64 * NT_KIB;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "fill"), GNP_OK);
    NT_UNTIL(gnp_load64(&p.written) > 0);
    {
        /* Beyond the limit also by handle, as the client does not read yet. */
        unsigned char *big = calloc(1, 600 * NT_KIB);
        status = gn_write(nt_nth(NT_OPEN, 0).id, big, 600 * NT_KIB, note_done, NULL);
        free(big);
    }
    if (status == GN_OK) {
        nt_await(NT_DONE, 1);
        status = nt_nth(NT_DONE, 0).status;
    }
    ck_assert_int_eq(status, GN_ELIMIT);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    ck_assert_int_eq(tc_recv_stream(c, 31, 0, gnp_load64(&p.written)), GNP_OK);
    ck_assert(tc_quiet(c, 50 * NT_MS));
    ck_assert_int_eq(gn_write(nt_nth(NT_OPEN, 0).id, "room again", 10, NULL, NULL), GN_OK);
    ck_assert_int_eq(tc_recv_text(c, "room again"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action watched_echo(gn_conn *c, void *user)
{
    plan *p = user;
    size_t n;
    const void *data = gn_conn_peek(c, &n);
    NT_EXPECT_INT(gn_conn_write(c, data, n), GN_OK);
    gn_conn_discard(c, n);
    gnp_add64(&p->read, n);
    if (gn_conn_outbound(c) > gnp_load64(&p->most))
        gnp_store64(&p->most, gn_conn_outbound(c));
    return GN_NONE;
}

/* A client that never reads its echo: reading of it pauses, memory stays bounded, nobody spins;
 * once it reads, all comes back. */
START_TEST(outbound_high_pauses_and_resumes)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open,
                                  .on_traffic = watched_echo,
                                  .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    uint64_t sent, cpu;
    memset(&p, 0, sizeof(p));
    o.outbound_high = 256 * NT_KIB;
    o.send_buffer = 64 * NT_KIB;
    o.recv_buffer = 64 * NT_KIB;
    o.read_buffer = 16 * NT_KIB;
    o.edge_chunk = 64 * NT_KIB;
    net->opts.rcvbuf = net->opts.sndbuf = 64 * NT_KIB;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    sent = tc_stuff(c, 64 * NT_MIB, 300 * NT_MS);
    ck_assert_msg(sent < 8 * NT_MIB, "%llu bytes went in", (unsigned long long)sent);
    /* Read ahead by at most one turn. */
    ck_assert_uint_le(gnp_load64(&p.most), 256 * NT_KIB + 64 * NT_KIB + 16 * NT_KIB);
    cpu = gnp_process_cpu();
    gnp_sleep_until(gnp_now() + 300 * NT_MS);
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 150 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0);
    for (uint64_t got = 0; got < sent;) {
        size_t n = 0;
        ck_assert_int_eq(tc_recv(c, net->scratch, 65536, &n), GNP_OK);
        for (size_t i = 0; i < n; i++)
            ck_assert_int_eq(net->scratch[i], 'x');
        got += n;
    }
    ck_assert_int_eq(tc_send_text(c, "still here"), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "still here"), GNP_OK);
    ck_assert_uint_eq(gnp_load64(&p.read), sent + 10);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action leave_it(gn_conn *c, void *user)
{
    plan *p = user;
    size_t n = gn_conn_inbound(c);
    gnp_add64(&p->calls, 1);
    if (gnp_load32(&p->flag)) {
        gn_conn_discard(c, n);
        gnp_add64(&p->read, n);
    } else if (n > gnp_load64(&p->most)) {
        gnp_store64(&p->most, n);
    }
    return GN_NONE;
}

static void take_it(gn_handle h, int status, void *arg)
{
    plan *p = arg;
    gn_conn *c = gn_conn_from_handle(h);
    NT_EXPECT_INT(status, GN_OK);
    NT_EXPECT(c != NULL);
    if (c != NULL) {
        gnp_store32(&p->flag, 1);
        gnp_add64(&p->read, gn_conn_discard(c, SIZE_MAX));
    }
}

/* D13: ... and unread.  A server that does not consume: reading pauses at inbound_max; consuming
 * outside of on_traffic resumes it. */
START_TEST(inbound_max_pauses_and_resumes)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = plan_open, .on_traffic = leave_it, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    uint64_t sent, cpu;
    memset(&p, 0, sizeof(p));
    o.inbound_max = 128 * NT_KIB;
    o.read_buffer = 16 * NT_KIB;
    o.edge_chunk = 64 * NT_KIB;
    o.recv_buffer = 64 * NT_KIB;
    net->opts.sndbuf = 64 * NT_KIB;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    sent = tc_stuff(c, 64 * NT_MIB, 300 * NT_MS);
    while (gnp_load64(&p.most) < 128 * NT_KIB) /* on a busy machine it is only slow */
        sent += tc_stuff(c, 64 * NT_MIB, 300 * NT_MS);
    ck_assert_msg(sent < 8 * NT_MIB, "%llu bytes went in", (unsigned long long)sent);
    ck_assert_uint_le(gnp_load64(&p.most), 128 * NT_KIB + 16 * NT_KIB);
    cpu = gnp_process_cpu();
    gnp_sleep_until(gnp_now() + 300 * NT_MS);
    ck_assert_uint_lt(gnp_process_cpu() - cpu, 150 * NT_MS);
    ck_assert_int_eq(gn_execute(gnp_load64(&p.handle), take_it, &p), GN_OK);
    NT_UNTIL(gnp_load64(&p.read) == sent);
    ck_assert_int_eq(tc_send_stream(c, 1, 0, NT_MIB), GNP_OK);
    NT_UNTIL(gnp_load64(&p.read) == sent + NT_MIB);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* Paused with unread bytes, the peer resets: it is seen, though nothing is being read. */
START_TEST(reset_is_seen_while_paused)
{
    static const gn_handler h = { .on_open = plan_open, .on_traffic = leave_it, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    memset(&p, 0, sizeof(p));
    o.inbound_max = 16 * NT_KIB;
    o.read_buffer = 16 * NT_KIB;
    e = start_kind(_i * 2, &h, &p, &o); /* TCP: level, edge */
    c = tc_connect(net, nt_url(e, 0));
    tc_stuff(c, 64 * NT_MIB, 100 * NT_MS);
    tc_reset(c);
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ECONNRESET);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* A peer that never reads cannot hold a closing connection for ever. */
START_TEST(close_timeout_cuts)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = big_open, .on_traffic = no_traffic, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    uint64_t start = gnp_now();
    memset(&p, 0, sizeof(p));
    p.reply = BIG;
    p.close = 1;
    o.close_timeout_ns = 250 * NT_MS;
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_CLOSE, 1);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 0).status, GN_ETIMEDOUT);
    ck_assert_uint_ge(nt_nth(NT_CLOSE, 0).when - start, 245 * NT_MS);
    NT_UNTIL(gn_engine_conn_count(e) == 0);
    if (_i % 2 == 0) /* what was cut must not look like a clean end; Unix sockets know no reset */
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_ECONNRESET);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- reading */

/* Frames of a length byte pair and that many bytes, taken by each of the verbs in turn. */
static gn_action frames(gn_conn *c, void *user)
{
    plan *p = user;
    for (;;) {
        size_t have = gn_conn_inbound(c), n, size;
        const unsigned char *head = gn_conn_peek(c, &n), *body;
        unsigned char copy[4096];
        uint64_t at;
        NT_EXPECT_INT(n, have);
        NT_EXPECT(head != NULL);
        if (n < 2)
            break;
        size = (size_t)head[0] * 16;
        NT_EXPECT_INT(head[1], (unsigned char)(head[0] ^ 0x5a));
        if (n < 2 + size) {
            NT_EXPECT(gn_conn_next(c, n + 1) == NULL);
            NT_EXPECT_INT(gn_conn_inbound(c), have); /* nothing was consumed */
            break;
        }
        at = gnp_add64(&p->read, size);
        switch (gnp_add64(&p->calls, 1) % 4) {
        case 0:
            body = gn_conn_next(c, 2 + size);
            NT_EXPECT(body != NULL && nt_match(41, at, body + 2, size) == size);
            break;
        case 1:
            NT_EXPECT_INT(gn_conn_read(c, copy, 2), 2);
            NT_EXPECT_INT(gn_conn_read(c, copy, size), size);
            NT_EXPECT(nt_match(41, at, copy, size) == size);
            break;
        case 2:
            NT_EXPECT(nt_match(41, at, head + 2, size) == size);
            NT_EXPECT_INT(gn_conn_discard(c, 2 + size), 2 + size);
            break;
        default:
            NT_EXPECT_INT(gn_conn_discard(c, 2), 2);
            body = gn_conn_peek(c, &n);
            NT_EXPECT_INT(n, have - 2);
            NT_EXPECT(nt_match(41, at, body, size) == size);
            NT_EXPECT_INT(gn_conn_read(c, copy, 0), 0);
            NT_EXPECT_INT(gn_conn_discard(c, 0), 0);
            if (size > 0) {
                NT_EXPECT(gn_conn_next(c, size) != NULL);
            }
            break;
        }
        NT_EXPECT_INT(gn_conn_inbound(c), have - 2 - size);
    }
    return GN_NONE;
}

/* Frames cut at random places, so that leftovers wait in the ring and it wraps. */
START_TEST(leftovers_survive_every_cut)
{
    WANTS_KIND();
    static const gn_handler h = { .on_open = nt_on_open, .on_traffic = frames, .on_close = nt_on_close };
    plan p;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc *c;
    size_t total = 0, cap = nt_scaled(3 * 1024 * 1024, 200000), at = 0;
    unsigned char *bytes = malloc(cap + 8192);
    uint64_t random = 17, body = 0;
    memset(&p, 0, sizeof(p));
    ck_assert_ptr_nonnull(bytes);
    while (total < cap) {
        unsigned char k = (unsigned char)(nt_random(&random) >> (nt_random(&random) % 60));
        bytes[total] = k;
        bytes[total + 1] = k ^ 0x5a;
        nt_fill(41, body, bytes + total + 2, (size_t)k * 16);
        body += (size_t)k * 16;
        total += 2 + (size_t)k * 16;
    }
    o.read_buffer = 4096; /* many cuts */
    e = start_kind(_i, &h, &p, &o);
    c = tc_connect(net, nt_url(e, 0));
    while (at < total) {
        size_t n = (size_t)(nt_random(&random) % (UINT64_C(1) << (1 + nt_random(&random) % 15))) + 1;
        n = n < total - at ? n : total - at;
        ck_assert_int_eq(tc_send_all(c, bytes + at, n), GNP_OK);
        at += n;
    }
    NT_UNTIL(gnp_load64(&p.read) == body || nt_wrongs());
    free(bytes);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action read_rules(gn_conn *c, void *user)
{
    size_t n;
    char copy[16];
    const char *p;
    (void)user;
    if (gn_conn_inbound(c) < 10)
        return GN_NONE;
    NT_EXPECT_INT(gn_conn_inbound(c), 10);
    NT_EXPECT(gn_conn_next(c, 11) == NULL);
    NT_EXPECT(gn_conn_next(c, SIZE_MAX) == NULL);
    NT_EXPECT_INT(gn_conn_inbound(c), 10);
    p = gn_conn_next(c, 3);
    NT_EXPECT(p != NULL && memcmp(p, "012", 3) == 0);
    NT_EXPECT_INT(gn_conn_read(c, copy, 2), 2);
    NT_EXPECT(memcmp(copy, "34", 2) == 0);
    p = gn_conn_peek(c, &n);
    NT_EXPECT(n == 5 && memcmp(p, "56789", 5) == 0);
    NT_EXPECT_INT(gn_conn_discard(c, 1), 1);
    p = gn_conn_next(c, 0);
    NT_EXPECT(p != NULL && memcmp(p, "6789", 4) == 0);
    NT_EXPECT_INT(gn_conn_inbound(c), 0);
    p = gn_conn_peek(c, &n);
    NT_EXPECT(p != NULL && n == 0);
    NT_EXPECT(gn_conn_next(c, 1) == NULL);
    NT_EXPECT_INT(gn_conn_discard(c, 5), 0);
    NT_EXPECT_INT(gn_conn_read(c, copy, sizeof(copy)), 0);
    NT_EXPECT_INT(gn_conn_write(c, "ok", 2), GN_OK);
    return GN_NONE;
}

START_TEST(reading_verbs_have_their_rules)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = read_rules };
    gn_options o = nt_options(1);
    gn_engine *e = start_kind(_i, &h, NULL, &o);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_send_text(c, "0123456789"), GNP_OK); /* from the lent span */
    ck_assert_int_eq(tc_recv_text(c, "ok"), GNP_OK);
    for (unsigned i = 0; i < 10; i++) { /* from the ring */
        ck_assert_int_eq(tc_send_all(c, &"0123456789"[i], 1), GNP_OK);
        gnp_sleep_until(gnp_now() + 2 * NT_MS); /* most likely a read each; any cut is right */
    }
    ck_assert_int_eq(tc_recv_text(c, "ok"), GNP_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- nobody gets another's bytes */

/* Each connection begins with the number of its stream; the first callback closes some of them
 * while more of their bytes wait.  D2: their descriptors go to newcomers at once. */
#define CLOSED ((uintptr_t)255)

static gn_action owner_traffic(gn_conn *c, void *user)
{
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);
    uintptr_t state = (uintptr_t)gn_conn_context(c); /* stream + 1 in the low byte, position above */
    uint64_t pos = state >> 8;
    (void)user;
    NT_EXPECT(n > 0);
    if (n == 0)
        return GN_NONE;
    if (state == 0) {
        state = (uintptr_t)p[0] + 1;
        p++;
        n--;
        if (p[-1] & 1) {
            gn_conn_set_context(c, (void *)CLOSED);
            nt_note(NT_A, gn_conn_handle(c), 0);
            if (p[-1] & 2)
                NT_EXPECT_INT(gn_conn_abort(c), GN_OK);
            return GN_CLOSE;
        }
    }
    NT_EXPECT(state != CLOSED); /* yet it was called again */
    if (nt_match((state & 0xff) - 1, pos, p, n) != n)
        nt_wrong(__FILE__, __LINE__, "stream %u got bytes of another", (unsigned)(state & 0xff) - 1);
    gn_conn_set_context(c, (void *)((uintptr_t)(pos + n) << 8 | (state & 0xff)));
    gn_conn_discard(c, SIZE_MAX);
    if (pos + n == 20000)
        NT_EXPECT_INT(gn_conn_write(c, "all", 3), GN_OK);
    return GN_NONE;
}

typedef struct churn {
    const char *url;
    unsigned first, rounds;
    gnp_thread thread;
} churn;

static void churn_thread(void *arg)
{
    churn *ch = arg;
    tc_net *net = tc_net_open();
    for (unsigned i = 0; i < ch->rounds; i++) {
        unsigned char stream = (unsigned char)((ch->first + i * 2) % 254);
        tc *c = NULL;
        NT_EXPECT_INT(tc_try_connect(net, ch->url, &c), GNP_OK);
        if (c == NULL)
            break;
        tc_send_all(c, &stream, 1);
        tc_send_stream(c, stream, 0, 20000);
        if (!(stream & 1)) /* the odd ones are closed by the server at their first byte */
            NT_EXPECT_INT(tc_recv_text(c, "all"), GNP_OK);
        tc_close(c);
    }
    tc_net_close(net);
}

START_TEST(closed_with_more_pending_harms_nobody)
{
    WANTS_KIND();
    static const gn_handler h = { .on_traffic = owner_traffic, .on_close = nt_on_close };
    unsigned rounds = nt_scaled(200, 30);
    gn_options o = nt_options(2);
    churn ch[4];
    gn_engine *e;
    o.read_buffer = 1024; /* so that every connection has more pending */
    o.linger_ns = 0;      /* the descriptor is free at once */
    e = start_kind(_i, &h, NULL, &o);
    memset(ch, 0, sizeof(ch));
    for (unsigned i = 0; i < 4; i++) {
        ch[i].url = nt_url(e, 0);
        ch[i].first = i; /* two threads of odd streams, two of even ones */
        ch[i].rounds = rounds;
        ck_assert_int_eq(gnp_thread_start(&ch[i].thread, churn_thread, &ch[i], "churn"), GNP_OK);
    }
    for (unsigned i = 0; i < 4; i++)
        gnp_thread_join(&ch[i].thread);
    nt_verify();
    nt_stop(e, NT_SECOND);
    ck_assert_uint_gt(nt_count(NT_A), rounds / 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    TCase *t = nt_case(s, "half-close", 60);
    tcase_add_loop_test(t, half_close_gets_the_whole_reply, 0, KINDS);
    tcase_add_loop_test(t, half_close_right_behind_the_request, 0, KINDS);
    tcase_add_loop_test(t, reply_long_after_the_end, 0, KINDS);
    tcase_add_loop_test(t, reading_goes_on_after_our_end, 0, KINDS);

    t = nt_case(s, "nothing is lost", 60);
    tcase_add_loop_test(t, written_then_closed_arrives_whole, 0, 2 * KINDS);
    tcase_add_loop_test(t, written_then_closed_while_the_peer_sends, 0, KINDS);
    tcase_add_loop_test(t, early_answer_is_not_eaten_by_a_reset, 0, KINDS);
    tcase_add_loop_test(t, greeting_and_close_in_on_open, 0, KINDS);

    t = nt_case(s, "writing", 60);
    tcase_add_loop_test(t, writev_takes_any_number, 0, KINDS);
    tcase_add_loop_test(t, writes_of_every_size_keep_their_order, 0, KINDS);
    tcase_add_loop_test(t, writes_may_point_into_the_lent_span, 0, KINDS);
    tcase_add_loop_test(t, flush_sends_at_once, 0, KINDS);
    tcase_add_loop_test(t, failing_write_does_not_reenter, 0, KINDS);

    t = nt_case(s, "bounds", 60);
    tcase_add_loop_test(t, outbound_max_is_all_or_nothing, 0, KINDS);
    tcase_add_loop_test(t, outbound_high_pauses_and_resumes, 0, KINDS);
    tcase_add_loop_test(t, inbound_max_pauses_and_resumes, 0, KINDS);
    tcase_add_loop_test(t, reset_is_seen_while_paused, 0, 2);
    tcase_add_loop_test(t, close_timeout_cuts, 0, KINDS);

    t = nt_case(s, "reading", 60);
    tcase_add_loop_test(t, leftovers_survive_every_cut, 0, KINDS);
    tcase_add_loop_test(t, reading_verbs_have_their_rules, 0, KINDS);
    tcase_add_loop_test(t, closed_with_more_pending_harms_nobody, 0, KINDS);
    return nt_main(s);
}
