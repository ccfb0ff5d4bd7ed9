/* SPDX-License-Identifier: MIT */
/* What no program should pass, and some do: wrong text, wrong numbers, no pointer at all. */
#include "harness.h"

#include <stdio.h>

static const gn_handler echo_handler = { .on_open = nt_on_open,
                                         .on_traffic = nt_echo,
                                         .on_close = nt_on_close };

/* Absurd options are logged with their reason; that is tested below, and noise elsewhere. */
static void quiet(void)
{
    gn_log_set_level(GN_LOG_OFF);
}

static void loud(void)
{
    gn_log_set_level(GN_LOG_WARN);
}

/* ---------------------------------------------------------------- addresses */

static const struct {
    const char *url;
    int status;
} bad_urls[] = {
    { "", GN_EADDR },
    { " ", GN_EADDR },
    { "tcp", GN_EADDR },
    { "tcp:", GN_EADDR },
    { "tcp:/", GN_EADDR },
    { "tcp://", GN_EADDR },
    { "tcp://127.0.0.1", GN_EADDR },
    { "tcp://127.0.0.1:", GN_EADDR },
    { "tcp://127.0.0.1:x", GN_EADDR },
    { "tcp://127.0.0.1:-1", GN_EADDR },
    { "tcp://127.0.0.1:65536", GN_EADDR },
    { "tcp://127.0.0.1:99999999999999999999", GN_EADDR },
    { "tcp://127.0.0.1:80 ", GN_EADDR },
    { "tcp://127.0.0.1:8o", GN_EADDR },
    { "tcp://127.0.0.1:0x50", GN_EADDR },
    { "tcp://127.0.0.1:+80", GN_EADDR },
    { "tcp://127.0.0.1:1:2", GN_EADDR },
    { "tcp://256.0.0.1:0", GN_EADDR },
    { "tcp://[::1:0", GN_EADDR },
    { "tcp://::1]:0", GN_EADDR },
    { "tcp://[::1]0", GN_EADDR },
    { "tcp://[::1]", GN_EADDR },
    { "tcp://[]:0", GN_EADDR },
    { "tcp://[:::]:0", GN_EADDR },
    { "tcp4://[::1]:0", GN_EADDR },
    { "tcp6://127.0.0.1:0", GN_EADDR },
    { "udp6://127.0.0.1:0", GN_EADDR },
    { "tcp://no.such.host.invalid:0", GN_EADDR }, /* RFC 6761: .invalid never resolves */
    { "tcp://a b:0", GN_EADDR },
    { "http://127.0.0.1:0", GN_ESCHEME },
    { "TCPX://127.0.0.1:0", GN_ESCHEME },
    { "tcp5://127.0.0.1:0", GN_ESCHEME },
    { "udp8://127.0.0.1:0", GN_ESCHEME },
    { "quic://127.0.0.1:0", GN_ESCHEME },
    { "unixgram:///tmp/x", GN_ESCHEME },
    { "://127.0.0.1:0", GN_ESCHEME },
    { "unix://", GN_EADDR },
};

START_TEST(malformed_addresses_are_refused)
{
    gn_options o = nt_options(2);
    gn_engine *e;
    int status;
    nt_name(bad_urls[_i].url);
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    status = gn_engine_listen(e, bad_urls[_i].url);
    ck_assert_msg(status == bad_urls[_i].status, "\"%s\": %s, not %s", bad_urls[_i].url, gn_strerror(status),
                  gn_strerror(bad_urls[_i].status));
    ck_assert_uint_eq(gn_engine_addr_count(e), 0);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    ck_assert_int_eq(gn_run(bad_urls[_i].url, &echo_handler, NULL, &o), bad_urls[_i].status);
    ck_assert_uint_eq(nt_logged(), 0);
}
END_TEST

/* Any text at all: an answer, never a crash. */
START_TEST(random_addresses_are_survived)
{
    static const char *const parts[] = { "tcp", "udp", "unix",  "4",    "6",         ":", "/",
                                         "//",  "[",   "]",     "::1",  "127.0.0.1", "%", "%lo",
                                         "*",   "0",   "99999", "\x01", "\xff\xfe",  "@", ".",
                                         "..",  "-1",  " ",     "\n" };
    uint64_t random = 77;
    gn_options o = nt_options(1);
    gn_engine *e;
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_OK);
    for (unsigned i = 0; i < 3000; i++) {
        char text[512] = "";
        gn_addr a;
        unsigned n = (unsigned)(nt_random(&random) % 9);
        size_t at = 0;
        for (unsigned k = 0; k < n; k++) {
            const char *part = parts[nt_random(&random) % (sizeof(parts) / sizeof(parts[0]))];
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", part);
        }
        /* Only what is surely no name: resolving would ask the network. */
        if (gn_addr_parse(text, &a) == GN_OK) {
            char back[GN_ADDR_TEXT_MAX];
            gn_addr b;
            ck_assert_int_gt(gn_addr_format(&a, back, sizeof(back)), 0);
            ck_assert_msg(gn_addr_parse(back, &b) == GN_OK && gn_addr_equal(&a, &b), "\"%s\" became \"%s\"",
                          text, back);
        }
    }
    {
        /* Longer than everything. */
        static char text[100000];
        gn_addr a;
        memset(text, 'x', sizeof(text) - 1);
        ck_assert_int_lt(gn_addr_parse(text, &a), 0);
        ck_assert_int_lt(gn_engine_listen(e, text), 0);
        memcpy(text, "tcp://", 6);
        ck_assert_int_lt(gn_engine_listen(e, text), 0);
        memcpy(text + sizeof(text) - 6, ":1234", 5);
        ck_assert_int_lt(gn_engine_listen(e, text), 0);
        memcpy(text, "unix://", 7);
        ck_assert_int_eq(gn_engine_listen(e, text), GN_ENAMETOOLONG);
        memcpy(text, "unix:/", 6);
        ck_assert_int_eq(gn_addr_parse(text, &a), GN_ENAMETOOLONG);
    }
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

START_TEST(addresses_have_text)
{
    static const struct {
        const char *text, *back;
        gn_family family;
        unsigned port;
    } good[] = {
        { "127.0.0.1:80", "127.0.0.1:80", GN_FAMILY_IPV4, 80 },
        { "0.0.0.0:0", "0.0.0.0:0", GN_FAMILY_IPV4, 0 },
        { "255.255.255.255:65535", "255.255.255.255:65535", GN_FAMILY_IPV4, 65535 },
        { "[::1]:8080", "[::1]:8080", GN_FAMILY_IPV6, 8080 },
        { "[2001:DB8:0:0::1]:1", "[2001:db8::1]:1", GN_FAMILY_IPV6, 1 },
        { "unix:/tmp/x", "unix:/tmp/x", GN_FAMILY_UNIX, 0 },
    };
    gn_addr a, b;
    char text[GN_ADDR_TEXT_MAX];
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int n;
        ck_assert_msg(gn_addr_parse(good[i].text, &a) == GN_OK, "%s", good[i].text);
        n = gn_addr_format(&a, text, sizeof(text));
        ck_assert_int_eq(n, (int)strlen(good[i].back));
        ck_assert_str_eq(text, good[i].back);
        ck_assert_int_eq(gn_addr_family(&a), good[i].family);
        ck_assert_uint_eq(gn_addr_port(&a), good[i].port);
        ck_assert_int_eq(gn_addr_format(&a, text, 4), n);
        ck_assert_uint_eq(strlen(text), 3);
        ck_assert_int_eq(gn_addr_format(&a, NULL, 0), n);
        ck_assert_int_eq(gn_addr_parse(good[i].back, &b), GN_OK);
        ck_assert(gn_addr_equal(&a, &b));
        ck_assert_int_eq(gn_addr_parse(good[(i + 1) % 6].text, &b), GN_OK);
        ck_assert(!gn_addr_equal(&a, &b));
    }
    ck_assert_int_eq(gn_addr_parse("localhost:80", &a), GN_EADDR); /* numeric only: it must not block */
}
END_TEST

/* ---------------------------------------------------------------- options */

static void absurd_lb(gn_options *o) { o->lb = (gn_lb)77; }
static void absurd_lb_negative(gn_options *o) { o->lb = (gn_lb)-1; }
static void absurd_loops(gn_options *o) { o->loops = GN_MAX_LOOPS + 1; }
static void absurd_loops_most(gn_options *o) { o->loops = UINT32_MAX; }
static void absurd_backlog(gn_options *o) { o->backlog = -1; }
static void absurd_read_0(gn_options *o) { o->read_buffer = 0; }
static void absurd_read_most(gn_options *o) { o->read_buffer = SIZE_MAX; }
static void absurd_chunk_0(gn_options *o) { o->edge_chunk = 0; }
static void absurd_inbound_0(gn_options *o) { o->inbound_max = 0; }
static void absurd_outbound_0(gn_options *o) { o->outbound_max = 0; }
static void absurd_high_over_max(gn_options *o) { o->outbound_high = o->outbound_max + 1; }
static void absurd_recv_buffer(gn_options *o) { o->recv_buffer = SIZE_MAX; }
static void absurd_send_buffer(gn_options *o) { o->send_buffer = SIZE_MAX; }
static void absurd_keepalive(gn_options *o) { o->keepalive_s = UINT32_MAX; }
static void absurd_size_1(gn_options *o) { o->size = 1; }

static const struct {
    const char *name;
    void (*set)(gn_options *o);
} absurd[] = {
    { "lb 77", absurd_lb },
    { "lb -1", absurd_lb_negative },
    { "loops 257", absurd_loops },
    { "loops 2^32-1", absurd_loops_most },
    { "backlog -1", absurd_backlog },
    { "read_buffer 0", absurd_read_0 },
    { "read_buffer SIZE_MAX", absurd_read_most },
    { "edge_chunk 0", absurd_chunk_0 },
    { "inbound_max 0", absurd_inbound_0 },
    { "outbound_max 0", absurd_outbound_0 },
    { "outbound_high over outbound_max", absurd_high_over_max },
    { "recv_buffer SIZE_MAX", absurd_recv_buffer },
    { "send_buffer SIZE_MAX", absurd_send_buffer },
    { "keepalive_s 2^32-1", absurd_keepalive },
    { "size 1", absurd_size_1 },
};
#define ABSURD (int)(sizeof(absurd) / sizeof(absurd[0]))

/* Each is refused by name, or means something sensible: then the engine must work. */
START_TEST(absurd_options_are_refused_or_harmless)
{
    gn_options o = nt_options(2);
    gn_engine *e = NULL;
    int status;
    nt_name(absurd[_i].name);
    absurd[_i].set(&o);
    status = gn_engine_create(&e, &echo_handler, NULL, &o);
    ck_assert_msg(status == GN_OK || status == GN_EINVAL, "%s: %s", absurd[_i].name, gn_strerror(status));
    if (status == GN_OK) {
        tc_net *net = tc_net_open();
        tc *c;
        ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
        ck_assert_int_eq(gn_engine_start(e), GN_OK);
        c = tc_connect(net, nt_url(e, 0));
        ck_assert_int_eq(tc_send_text(c, "works"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "works"), GNP_OK);
        tc_close(c);
        tc_net_close(net);
        nt_stop(e, NT_SECOND);
    } else {
        ck_assert_ptr_null(e);
        ck_assert_int_eq(gn_run("tcp://127.0.0.1:0", &echo_handler, NULL, &o), GN_EINVAL);
    }
}
END_TEST

/* These have no sensible meaning. */
START_TEST(impossible_options_are_refused)
{
    static void (*const set[])(gn_options *) = { absurd_lb,         absurd_lb_negative, absurd_loops,
                                                 absurd_loops_most, absurd_backlog,     absurd_high_over_max,
                                                 absurd_size_1 };
    for (unsigned i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        gn_options o = nt_options(2);
        gn_engine *e = NULL;
        set[i](&o);
        ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_EINVAL);
    }
}
END_TEST

/* Small values are work, not errors. */
START_TEST(smallest_options_work)
{
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net = tc_net_open();
    tc_flow f;
    int status;
    o.read_buffer = 1024;
    o.edge_chunk = 1;
    o.inbound_max = 1;
    o.outbound_high = 1;
    o.backlog = 1;
    o.recv_buffer = 1;
    o.send_buffer = 1;
    o.close_timeout_ns = 1;
    o.linger_ns = 0;
    o.drain_ns = 0;
    o.edge_triggered = _i;
    status = gn_engine_create(&e, &echo_handler, NULL, &o);
    if (status == GN_EINVAL) {
        tc_net_close(net);
        return;
    }
    ck_assert_int_eq(status, GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    memset(&f, 0, sizeof(f));
    f.c = tc_connect(net, nt_url(e, 0));
    f.total = 50000;
    f.chunk = 3000;
    ck_assert_int_eq(tc_exchange(net, &f, 1), GNP_OK);
    tc_close(f.c);
    nt_stop(e, 0);
    tc_net_close(net);
}
END_TEST

/* A program built against an older header: its struct ends earlier. */
START_TEST(options_of_an_older_program)
{
    union {
        gn_options o;
        unsigned char bytes[sizeof(gn_options) + 64];
    } u;
    size_t size = offsetof(gn_options, recv_buffer);
    gn_engine *e;
    size += (0 - size) % _Alignof(gn_options); /* as the size of a struct is */
    memset(u.bytes, 0xee, sizeof(u.bytes));
    gn_options_init_sized(&u.o, size);
    ck_assert_uint_eq(u.o.size, size);
    for (size_t i = size; i < sizeof(u.bytes); i++)
        ck_assert_msg(u.bytes[i] == 0xee, "byte %u beyond the old struct was written", (unsigned)i);
    u.o.loops = 2;
    e = nt_start(&echo_handler, NULL, &u.o, "tcp://127.0.0.1:0",
                 (char *)NULL); /* garbage beyond is not read */
    ck_assert_uint_eq(gn_engine_loop_count(e), 2);
    nt_stop(e, NT_SECOND);

    /* A newer one: what this library does not know stays as it is. */
    memset(u.bytes, 0, sizeof(u.bytes));
    gn_options_init_sized(&u.o, sizeof(u.bytes));
    u.o.loops = 1;
    if (gn_engine_create(&e, &echo_handler, NULL, &u.o) == GN_OK) {
        ck_assert_uint_eq(gn_engine_loop_count(e), 1);
        ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    }
    gn_options_init_sized(NULL, sizeof(gn_options));
    memset(u.bytes, 0xee, sizeof(u.bytes));
    gn_options_init_sized(&u.o, 0);
    for (size_t i = 0; i < sizeof(u.bytes); i++)
        ck_assert_uint_eq(u.bytes[i], 0xee);
}
END_TEST

START_TEST(defaults_are_those_of_the_header)
{
    gn_options o;
    gn_options_init(&o);
    ck_assert_uint_eq(o.size, sizeof(o));
    ck_assert_uint_eq(o.loops, 0);
    ck_assert_int_eq(o.lb, GN_LB_ROUND_ROBIN);
    ck_assert_int_eq(o.reuseaddr, 1);
    ck_assert_int_eq(o.tcp_nodelay, 1);
    ck_assert_int_eq(o.reuseport, 0);
    ck_assert_int_eq(o.edge_triggered, 0);
    ck_assert_uint_eq(o.read_buffer, 64 * NT_KIB);
    ck_assert_uint_eq(o.edge_chunk, NT_MIB);
    ck_assert_uint_eq(o.inbound_max, NT_MIB);
    ck_assert_uint_eq(o.outbound_max, 64 * NT_MIB);
    ck_assert_uint_eq(o.outbound_high, NT_MIB);
    ck_assert_uint_eq(o.close_timeout_ns, 30 * NT_SECOND);
    ck_assert_uint_eq(o.linger_ns, 2 * NT_SECOND);
    ck_assert_uint_eq(o.drain_ns, 5 * NT_SECOND);
    ck_assert_uint_eq(o.idle_timeout_ns, 0);
}
END_TEST

/* ---------------------------------------------------------------- null pointers */

START_TEST(null_engines_and_pointers)
{
    gn_engine *e = (gn_engine *)&e;
    gn_options o = nt_options(1);
    gn_addr a;
    char text[8];
    ck_assert_int_eq(gn_run(NULL, &echo_handler, NULL, &o), GN_EINVAL);
    ck_assert_int_eq(gn_run("tcp://127.0.0.1:0", NULL, NULL, &o), GN_EINVAL);
    ck_assert_int_eq(gn_engine_create(NULL, &echo_handler, NULL, &o), GN_EINVAL);
    ck_assert_int_eq(gn_engine_create(&e, NULL, NULL, &o), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen(NULL, "tcp://127.0.0.1:0"), GN_EINVAL);
    ck_assert_uint_eq(gn_engine_addr_count(NULL), 0);
    ck_assert_int_eq(gn_engine_addr(NULL, 0, &a), GN_EINVAL);
    ck_assert_int_eq(gn_engine_url(NULL, 0, text, sizeof(text)), GN_EINVAL);
    ck_assert_int_eq(gn_engine_start(NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_join(NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_run(NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_stop(NULL, 0), GN_EINVAL);
    ck_assert_int_eq(gn_engine_destroy(NULL), GN_OK);
    ck_assert_uint_eq(gn_engine_conn_count(NULL), 0);
    ck_assert_uint_eq(gn_engine_loop_count(NULL), 0);
    ck_assert_uint_eq(gn_engine_loop(NULL, 0), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_engine_loop_accepted(NULL, 0), 0);
    (void)gn_engine_poller(NULL);
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, NULL), GN_OK); /* options may be NULL */
    ck_assert_int_eq(gn_engine_listen(e, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_addr(e, 0, NULL), GN_EINVAL);
    ck_assert_int_gt(gn_engine_url(e, 0, NULL, 0), 0);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    ck_assert_int_eq(gn_addr_parse(NULL, &a), GN_EINVAL);
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:1", NULL), GN_EINVAL);
    ck_assert_int_eq(gn_addr_format(NULL, text, sizeof(text)), GN_EINVAL);
    ck_assert_int_eq(gn_addr_family(NULL), GN_FAMILY_NONE);
    ck_assert_uint_eq(gn_addr_port(NULL), 0);
    ck_assert_int_eq(gn_addr_equal(NULL, NULL), 1);
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:1", &a), GN_OK);
    ck_assert_int_eq(gn_addr_equal(&a, NULL), 0);
}
END_TEST

START_TEST(null_connections_and_loops)
{
    gn_addr a;
    gn_iov iov = { "x", 1 };
    char text[8];
    size_t n = 7;
    ck_assert_ptr_nonnull(gn_conn_peek(NULL, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(gn_conn_next(NULL, 1));
    ck_assert_uint_eq(gn_conn_discard(NULL, 1), 0);
    ck_assert_uint_eq(gn_conn_read(NULL, text, sizeof(text)), 0);
    ck_assert_int_eq(gn_conn_write(NULL, "x", 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_writev(NULL, &iov, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_flush(NULL), GN_EINVAL);
    ck_assert_uint_eq(gn_conn_inbound(NULL), 0);
    ck_assert_uint_eq(gn_conn_outbound(NULL), 0);
    ck_assert_int_eq(gn_conn_close(NULL), GN_EINVAL);
    ck_assert_int_eq(gn_conn_abort(NULL), GN_EINVAL);
    ck_assert_int_eq(gn_conn_shutdown_write(NULL), GN_EINVAL);
    ck_assert_ptr_null(gn_conn_context(NULL));
    gn_conn_set_context(NULL, text);
    ck_assert_int_eq(gn_conn_local_addr(NULL, &a), GN_EINVAL);
    ck_assert_int_eq(gn_conn_remote_addr(NULL, &a), GN_EINVAL);
    ck_assert_uint_eq(gn_conn_handle(NULL), GN_HANDLE_NONE);
    ck_assert_ptr_null(gn_conn_loop(NULL));
    ck_assert_ptr_null(gn_conn_engine(NULL));
    ck_assert_int_eq(gn_conn_is_datagram(NULL), 0);
    ck_assert_uint_eq(gn_conn_listener(NULL), GN_NO_LISTENER);
    ck_assert_int_eq(gn_conn_os_error(NULL), 0);
    ck_assert_int_eq(gn_conn_set_idle_timeout(NULL, 1), GN_EINVAL);
    ck_assert_int_eq(gn_conn_set_read_deadline(NULL, 1), GN_EINVAL);
    ck_assert_uint_eq(gn_loop_handle(NULL), GN_HANDLE_NONE);
    ck_assert_uint_eq(gn_loop_index(NULL), 0);
    ck_assert_ptr_null(gn_loop_engine(NULL));
    ck_assert_ptr_null(gn_loop_current());
    ck_assert_ptr_null(gn_conn_from_handle(GN_HANDLE_NONE));
    ck_assert_uint_gt(gn_now(), 0);
}
END_TEST

static void never(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    nt_note(NT_DONE, 0, 0);
}

static gn_action null_traffic(gn_conn *c, void *user)
{
    gn_handle h = gn_conn_handle(c);
    gn_iov iov = { NULL, 3 };
    gn_addr a;
    size_t n;
    (void)user;
    NT_EXPECT(gn_conn_peek(c, NULL) != NULL);
    NT_EXPECT_INT(gn_conn_read(c, NULL, 10), 0);
    NT_EXPECT_INT(gn_conn_write(c, NULL, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write(c, NULL, 0), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "x", SIZE_MAX), GN_ELIMIT);
    NT_EXPECT_INT(gn_conn_writev(c, NULL, 1), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_writev(c, NULL, 0), GN_OK);
    NT_EXPECT_INT(gn_conn_writev(c, &iov, 1), GN_EINVAL);
    {
        gn_iov over[2] = { { "x", SIZE_MAX }, { "x", SIZE_MAX } }; /* the sum overflows */
        NT_EXPECT(gn_conn_writev(c, over, 2) < 0);
        NT_EXPECT(gn_writev(h, over, 2, never, NULL) < 0);
    }
    NT_EXPECT_INT(gn_conn_local_addr(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_remote_addr(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_write(h, NULL, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_writev(h, NULL, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_writev(h, &iov, 1, never, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_execute(h, NULL, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_send_to(h, NULL, "x", 1, never, NULL), GN_EINVAL);
    memset(&a, 0, sizeof(a));
    NT_EXPECT(gn_send_to(h, &a, "x", 1, NULL, NULL) <= 0);
    gn_conn_peek(c, &n);
    NT_EXPECT_INT(gn_conn_write(c, gn_conn_peek(c, &n), n), GN_OK);
    gn_conn_discard(c, n);
    return (gn_action)(user != NULL ? 99 : 0); /* no action at all: taken as none */
}

START_TEST(null_arguments_on_a_live_connection)
{
    static const gn_handler h = { .on_traffic = null_traffic };
    gn_options o = nt_options(1);
    int any;
    gn_engine *e = nt_start(&h, &any, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(tc_send_text(c, "hello"), GNP_OK);
        ck_assert_int_eq(tc_recv_text(c, "hello"), GNP_OK);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(nt_count(NT_DONE), 0); /* what returned an error is never done */
    tc_net_close(net);
}
END_TEST

/* ---------------------------------------------------------------- the rest */

static void keep_line(gn_log_level level, const char *line, void *user)
{
    char *out = user;
    if (strchr(line, '\n') != NULL)
        nt_wrong(__FILE__, __LINE__, "a line with a newline in it");
    snprintf(out, 256, "%d %s", (int)level, line);
    nt_note(NT_A, 0, (int)level);
}

START_TEST(log_goes_to_the_sink)
{
    static char line[256];
    gn_options o = nt_options(1);
    gn_engine *e;
    gn_log_set_sink(keep_line, line);
    gn_log_set_level(GN_LOG_OFF);
    o.backlog = -7;
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_EINVAL);
    ck_assert_uint_eq(nt_count(NT_A), 0);
    gn_log_set_level(GN_LOG_WARN);
    ck_assert_int_eq(gn_engine_create(&e, &echo_handler, NULL, &o), GN_EINVAL);
    ck_assert_uint_ge(nt_count(NT_A), 1);
    ck_assert_ptr_nonnull(strstr(line, "backlog")); /* says which one */
    gn_log_set_sink(NULL, NULL);
}
END_TEST

START_TEST(every_code_has_a_name)
{
    for (int code = 5; code > -100; code--) {
        const char *text = gn_strerror(code);
        ck_assert_ptr_nonnull(text);
        ck_assert_uint_gt(strlen(text), 3);
        if (code <= 0 && code >= GN_EIO)
            ck_assert_ptr_eq(strstr(text, "GN_"), text);
    }
    ck_assert_ptr_nonnull(gn_strerror(INT32_MAX));
    ck_assert_ptr_nonnull(gn_strerror(INT32_MIN));
    {
        char version[32];
        snprintf(version, sizeof(version), "%d.%d.%d", GN_VERSION_MAJOR, GN_VERSION_MINOR, GN_VERSION_PATCH);
        ck_assert_str_eq(gn_version(), version);
    }
}
END_TEST

START_TEST(allocator_must_be_whole)
{
    nt_alloc alloc;
    gn_allocator good = nt_alloc_hooks(&alloc), bad;
    bad = good;
    bad.alloc = NULL;
    ck_assert_int_eq(gn_set_allocator(&bad), GN_EINVAL);
    bad = good;
    bad.realloc = NULL;
    ck_assert_int_eq(gn_set_allocator(&bad), GN_EINVAL);
    bad = good;
    bad.free = NULL;
    ck_assert_int_eq(gn_set_allocator(&bad), GN_EINVAL);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("badinput");
    TCase *t = nt_case(s, "text and numbers", 60);
    tcase_add_checked_fixture(t, quiet, loud);
    tcase_add_loop_test(t, malformed_addresses_are_refused, 0, (int)(sizeof(bad_urls) / sizeof(bad_urls[0])));
    tcase_add_test(t, random_addresses_are_survived);
    tcase_add_test(t, addresses_have_text);
    tcase_add_loop_test(t, absurd_options_are_refused_or_harmless, 0, ABSURD);
    tcase_add_test(t, impossible_options_are_refused);
    tcase_add_loop_test(t, smallest_options_work, 0, 2);
    tcase_add_test(t, options_of_an_older_program);
    tcase_add_test(t, defaults_are_those_of_the_header);

    t = nt_case(s, "pointers", 60);
    tcase_add_test(t, null_engines_and_pointers);
    tcase_add_test(t, null_connections_and_loops);
    tcase_add_test(t, null_arguments_on_a_live_connection);

    t = nt_case(s, "the rest", 30);
    tcase_add_test(t, log_goes_to_the_sink);
    tcase_add_test(t, every_code_has_a_name);
    tcase_add_test(t, allocator_must_be_whole);
    return nt_main(s);
}
