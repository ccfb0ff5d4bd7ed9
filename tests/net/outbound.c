/* SPDX-License-Identifier: MIT */
/* All that can stand in the way out of a connection, in order, and what tells that it has left. */
#include "harness.h"

#include <stdio.h>

/* Which kind of socket and polling a looped test runs with. */
static const char *const kind_names[] = { "tcp level", "unix level", "tcp edge", "unix edge" };
#define KINDS 4

/* Looped tests with a poller: case i is kind i % KINDS of poller i / KINDS; NULL past the last. */
static gn_engine *start_case(int i, const gn_handler *h, void *user, gn_options *o)
{
    static char name[64];
    int kind = i % KINDS, available = 0;
    o->poller = gn_poller_name((unsigned)(i / KINDS), &available);
    if (o->poller == NULL || !available)
        return NULL;
    snprintf(name, sizeof(name), "%s %s", o->poller, kind_names[kind]);
    nt_name(name);
    o->edge_triggered = kind / 2;
    return nt_start(h, user, o, kind % 2 ? nt_unix_url() : "tcp://127.0.0.1:0", (char *)NULL);
}

/* ---------------------------------------------------------------- a stream in memory and in a file */

#define SEED 77
#define WHOLE (16 * NT_MIB)

static unsigned char *whole;
static intptr_t whole_file = -1;
static const char *whole_path;

static intptr_t file_with(const char *path, const void *data, size_t n)
{
    intptr_t os = -1;
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert(n == 0 || fwrite(data, 1, n, f) == n);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(gnp_file_open(&os, path), GNP_OK);
    return os;
}

static void whole_make(void)
{
    whole = malloc(WHOLE);
    ck_assert_ptr_nonnull(whole);
    nt_fill(SEED, 0, whole, WHOLE);
    whole_path = nt_path();
    whole_file = file_with(whole_path, whole, WHOLE);
}

static void whole_end(void)
{
    gnp_descriptor_close(whole_file);
    remove(whole_path);
    free(whole);
    whole = NULL;
}

/* ---------------------------------------------------------------- all kinds, in order */

/* What one connection writes: the stream SEED up to total, in pieces of random kinds. */
typedef struct feed {
    uint64_t rnd, pos, total;
    size_t ahead;        /* unsent bytes at which it rests until some have left */
    int unix_socket;
    int moves;           /* from loop to loop */
    int inside;          /* a callback of the connection, or the call that asks */
    uint64_t asked, done; /* completions; on the loop */
    int status;          /* wanted of the completions */
    gnp_atomic64 handle, all_done;
} feed;

static void feed_more(gn_conn *c, feed *f);

static feed *current_feed;

static void piece_done(gn_handle h, int status, void *arg)
{
    feed *f = current_feed;
    NT_EXPECT(!f->inside);
    NT_EXPECT(gn_loop_current() != NULL);
    if (f->moves)
        NT_EXPECT(gn_conn_from_handle(h) != NULL); /* the handle that it has here */
    else
        NT_EXPECT(h == gnp_load64(&f->handle));
    NT_EXPECT_INT((uintptr_t)arg, f->done); /* in the order of asking, each once */
    NT_EXPECT_INT(status, f->status);
    f->done++;
    if (f->done == f->asked && f->pos == f->total)
        gnp_store64(&f->all_done, f->done);
}

static void batch_done(gn_handle h, int status, void *arg)
{
    feed *f = current_feed;
    gn_conn *c = gn_conn_from_handle(h);
    piece_done(h, status, arg);
    if (f->pos == f->total)
        return;
    if (nt_random(&f->rnd) % 2)
        feed_more(c, f); /* outside of any callback */
    else
        NT_EXPECT_INT(gn_wake(h, NULL, NULL), GN_OK); /* inside one */
}

static void *serial(feed *f)
{
    return (void *)(uintptr_t)f->asked++;
}

static size_t some(feed *f, size_t most)
{
    uint64_t left = f->total - f->pos;
    size_t n = 1 + (size_t)(nt_random(&f->rnd) % most);
    return n < left ? n : (size_t)left;
}

static int feed_copy(gn_conn *c, feed *f, size_t n)
{
    unsigned char *p = malloc(n);
    int status;
    if (p == NULL)
        return GN_ENOMEM;
    memcpy(p, whole + f->pos, n);
    status = gn_conn_write(c, p, n);
    memset(p, 0, n); /* it was copied */
    free(p);
    f->pos += n;
    return status;
}

static int feed_ref(gn_conn *c, feed *f, size_t most)
{
    gn_iov iov[5];
    unsigned count = (unsigned)(nt_random(&f->rnd) % 6);
    for (unsigned i = 0; i < count; i++) {
        iov[i].len = nt_random(&f->rnd) % 8 == 0 ? 0 : some(f, most);
        iov[i].base = iov[i].len > 0 ? whole + f->pos : NULL;
        f->pos += iov[i].len;
    }
    if (nt_random(&f->rnd) % 4 == 0)
        return gn_conn_write_ref(c, iov, count, NULL, NULL);
    return gn_conn_write_ref(c, iov, count, piece_done, serial(f));
}

static int feed_file(gn_conn *c, feed *f, size_t n)
{
    uint64_t at = f->pos;
    f->pos += n;
    if (f->pos == WHOLE && n > 0)
        n = 0; /* up to the end of the file */
    return gn_conn_send_file(c, whole_file, at, n, piece_done, serial(f));
}

static int feed_descriptor(gn_conn *c, feed *f, size_t n)
{
    uint64_t at = f->pos;
    if (!f->unix_socket) {
        NT_EXPECT_INT(gn_conn_send_descriptor(c, whole_file, whole + at, n), GN_ENOTSUP);
        return GN_OK;
    }
    f->pos += n;
    return gn_conn_send_descriptor(c, whole_file, whole + at, n);
}

static int feed_piece(gn_conn *c, feed *f)
{
    switch (nt_random(&f->rnd) % 10) {
    case 0:
    case 1: return feed_copy(c, f, some(f, 2000));
    case 2: return feed_copy(c, f, some(f, 200 * NT_KIB));
    case 3: return feed_ref(c, f, 300);
    case 4:
    case 5: return feed_ref(c, f, 60 * NT_KIB);
    case 6: return feed_file(c, f, some(f, 300 * NT_KIB));
    case 7: return feed_file(c, f, some(f, 100));
    case 8: return feed_descriptor(c, f, some(f, 3000));
    default: return gn_conn_flush(c);
    }
}

static void feed_more(gn_conn *c, feed *f)
{
    int before = f->inside;
    if (c == NULL)
        return;
    f->inside = 1;
    for (unsigned i = 0; i < 30 && f->pos < f->total && gn_conn_outbound(c) < f->ahead; i++)
        NT_EXPECT_INT(feed_piece(c, f), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, NULL, 0, batch_done, serial(f)), GN_OK);
    f->inside = before;
}

static gn_action feed_open(gn_conn *c, void *user)
{
    feed *f = user;
    gnp_store64(&f->handle, gn_conn_handle(c));
    feed_more(c, f);
    return nt_on_open(c, user);
}

static gn_action feed_traffic(gn_conn *c, void *user)
{
    feed_more(c, user);
    return GN_NONE;
}

static const gn_handler feed_handler = { .on_open = feed_open,
                                         .on_traffic = feed_traffic,
                                         .on_close = nt_on_close };

static void feed_begin(feed *f, int i)
{
    memset(f, 0, sizeof(*f));
    f->rnd = 1000 + (unsigned)i;
    f->ahead = 256 * NT_KIB << i % 3;
    f->unix_socket = i % KINDS % 2 && nt_has_unix();
    current_feed = f;
}

/* A reader with small buffers that rests now and then. */
static void read_slowly(tc *c, uint64_t pos, uint64_t n)
{
    uint64_t rnd = n;
    while (n > 0) {
        uint64_t part = 1 + nt_random(&rnd) % NT_MIB;
        part = part < n ? part : n;
        ck_assert_int_eq(tc_recv_stream(c, SEED, pos, part), GNP_OK);
        pos += part;
        n -= part;
        if (nt_random(&rnd) % 4 == 0)
            gnp_sleep_until(gnp_now() + 2 * NT_MS);
    }
}

/* D4 among them: a file much larger than the system's buffer leaves whole, without a flush. */
START_TEST(all_kinds_in_order)
{
    if (_i % 2)
        NT_WANTS_UNIX();
    static feed f;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    feed_begin(&f, _i);
    f.total = WHOLE < nt_scaled(WHOLE, NT_MIB) ? WHOLE : nt_scaled(WHOLE, NT_MIB);
    o.send_buffer = _i % 3 == 0 ? 16 * NT_KIB : 0;
    e = start_case(_i, &feed_handler, &f, &o);
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    whole_make();
    net = tc_net_open();
    net->opts.rcvbuf = _i % 2 == 0 ? 16 * NT_KIB : 0;
    c = tc_connect(net, nt_url(e, 0));
    read_slowly(c, 0, f.total);
    NT_UNTIL(gnp_load64(&f.all_done) != 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(f.done, f.asked);
    ck_assert_uint_ge(f.done, 5);
    tc_net_close(net);
    whole_end();
}
END_TEST

/* ---------------------------------------------------------------- endings */

enum { ABORT, CLOSE, RESET, IDLE, STOP, STOP_LATE, SHORT_FILE, ORDERLY, ENDINGS };

typedef struct ending {
    int how;
    intptr_t file; /* shorter than is promised */
    gnp_atomic64 handle;
    gnp_atomic32 asked, done, closed;
    gnp_atomic32 reason; /* negated */
} ending;

static void ending_done(gn_handle h, int status, void *arg)
{
    ending *x = arg;
    NT_EXPECT(h == gnp_load64(&x->handle));
    nt_note(NT_DONE, h, status);
    gnp_add32(&x->done, 1);
}

static void ask(ending *x, int status)
{
    NT_EXPECT_INT(status, GN_OK);
    gnp_add32(&x->asked, 1);
}

/* More than any socket takes, so that most of it is there when the end comes; ORDERLY: all leaves. */
static gn_action ending_open(gn_conn *c, void *user)
{
    ending *x = user;
    gn_iov iov[2] = { { whole, 1000 }, { whole + 1000, 6 * NT_MIB } };
    gnp_store64(&x->handle, gn_conn_handle(c));
    if (x->how == IDLE)
        NT_EXPECT_INT(gn_conn_set_idle_timeout(c, 50 * NT_MS), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, whole, 100), GN_OK);
    if (x->how == SHORT_FILE)
        ask(x, gn_conn_send_file(c, x->file, 0, 1000, ending_done, x));
    ask(x, gn_conn_write_ref(c, iov, 2, ending_done, x));
    ask(x, gn_conn_send_file(c, whole_file, 5, 6 * NT_MIB, ending_done, x));
    ask(x, gn_conn_write_ref(c, NULL, 0, ending_done, x));
    NT_EXPECT_INT(gn_conn_write(c, whole, 5000), GN_OK);
    ask(x, gn_conn_write_ref(c, iov, 1, ending_done, x));
    ask(x, gn_write_ref(gn_conn_handle(c), iov, 2, ending_done, x));
    ask(x, gn_write_sent(gn_conn_handle(c), iov, 2, ending_done, x));
    if (x->how == ORDERLY)
        NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_OK); /* what was posted comes too late */
    return nt_on_open(c, user);
}

static void end_now(gn_handle h, int status, void *arg)
{
    ending *x = arg;
    gn_conn *c = gn_conn_from_handle(h);
    if (status != GN_OK || c == NULL)
        return;
    NT_EXPECT_INT(x->how == ABORT ? gn_conn_abort(c) : gn_conn_close(c), GN_OK);
}

static gn_action ending_close(gn_conn *c, int reason, void *user)
{
    ending *x = user;
    gnp_store32(&x->reason, (uint32_t)-reason);
    gnp_store32(&x->closed, 1);
    return nt_on_close(c, reason, user);
}

static const gn_handler ending_handler = { .on_open = ending_open,
                                           .on_close = ending_close };

static uint64_t ending_drain(int how)
{
    return how == STOP ? 0 : how == STOP_LATE ? 50 * NT_MS : NT_SECOND;
}

/* Whatever ends the connection, each completion comes once, with the reason of the end for what was
 * not taken. */
START_TEST(every_ending_completes_once)
{
    if (_i % 2)
        NT_WANTS_UNIX();
    static ending x;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    unsigned ok = 0;
    int reason;
    memset(&x, 0, sizeof(x));
    x.how = _i / KINDS;
    o.close_timeout_ns = x.how == CLOSE ? 50 * NT_MS : 10 * NT_SECOND;
    whole_make();
    e = start_case(_i % KINDS, &ending_handler, &x, &o);
    {
        const char *path = nt_path();
        x.file = file_with(path, whole, 900);
        remove(path);
    }
    net = tc_net_open();
    net->opts.rcvbuf = 16 * NT_KIB;
    reason = tc_try_connect(net, nt_url(e, 0), &c);
    if (reason == GN_ECONNRESET && x.how == SHORT_FILE) {
        c = NULL; /* it had ended before we could look */
        nt_await(NT_OPEN, 1);
    } else if (reason != GNP_OK) {
        ck_abort_msg("connect: %s", gn_strerror(reason));
    } else if (x.how == ORDERLY) {
        ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
        tc_close(c);
        c = NULL;
    } else if (x.how == RESET) {
        nt_await(NT_OPEN, 1);
        tc_reset(c);
        c = NULL;
    } else if (x.how == ABORT || x.how == CLOSE) {
        nt_await(NT_OPEN, 1);
        ck_assert_int_eq(gn_execute(gnp_load64(&x.handle), end_now, &x), GN_OK);
    } else {
        nt_await(NT_OPEN, 1);
    }
    if (x.how != STOP && x.how != STOP_LATE) {
        nt_await(NT_CLOSE, 1);
        NT_UNTIL(gnp_load32(&x.done) == gnp_load32(&x.asked));
    }
    nt_stop(e, ending_drain(x.how));
    /* Over TCP bytes are lost, and the peer can tell. */
    if (c != NULL && x.how == SHORT_FILE && _i % KINDS % 2 == 0)
        ck_assert_int_ne(tc_recv_to_eof(c, NULL), GNP_OK);
    if (c != NULL)
        tc_close(c);
    tc_net_close(net);
    ck_assert_uint_eq(gnp_load32(&x.done), gnp_load32(&x.asked));
    ck_assert_uint_eq(gnp_load32(&x.asked), x.how == SHORT_FILE ? 7u : 6u);
    reason = -(int)gnp_load32(&x.reason);
    for (unsigned i = 0; i < gnp_load32(&x.asked); i++) {
        int status = nt_nth(NT_DONE, i).status;
        ok += status == GN_OK;
        if (x.how == ORDERLY)
            ck_assert_int_eq(status == GN_OK || status == GN_EPIPE, 1);
        else if (status != GN_OK && status != GN_ECLOSED) /* posted, and the connection went first */
            ck_assert_int_eq(status, reason);
    }
    ck_assert_uint_eq(ok, x.how == ORDERLY ? 4 : 0);
    switch (x.how) {
    case ABORT: ck_assert_int_eq(reason, GN_ECANCELED); break;
    case CLOSE:
    case IDLE:
    case STOP:
    case STOP_LATE: ck_assert_int_eq(reason, GN_ETIMEDOUT); break;
    case RESET: ck_assert(reason == GN_ECONNRESET || reason == GN_EPIPE); break;
    case SHORT_FILE: ck_assert_int_eq(reason, GN_EIO); break;
    default: ck_assert_int_eq(reason, GN_EOF);
    }
    gnp_descriptor_close(x.file);
    whole_end();
}
END_TEST

/* ---------------------------------------------------------------- from any thread */

#define SENDERS 3
#define MESSAGE 700 /* longer than what is copied into the queue */

typedef struct sender {
    gnp_thread thread;
    gn_handle h;
    unsigned number, count;
    unsigned char *messages; /* count of MESSAGE bytes: who, which, and the stream of the sender */
    gnp_atomic32 done;
} sender;

static sender senders[SENDERS];

static void sender_done(gn_handle h, int status, void *arg)
{
    sender *s = arg;
    NT_EXPECT(h == s->h);
    NT_EXPECT_INT(status, GN_OK);
    gnp_add32(&s->done, 1);
}

static void sender_main(void *arg)
{
    sender *s = arg;
    for (unsigned i = 0; i < s->count; i++) {
        unsigned char *m = s->messages + (size_t)i * MESSAGE;
        gn_iov iov[3] = { { m, 100 }, { NULL, 0 }, { m + 100, MESSAGE - 100 } };
        m[0] = (unsigned char)s->number;
        m[1] = (unsigned char)(i >> 8);
        m[2] = (unsigned char)i;
        nt_fill(s->number, (uint64_t)i * MESSAGE, m + 3, MESSAGE - 3);
        if (i % 2) {
            NT_EXPECT_INT(gn_write_ref(s->h, iov, 3, sender_done, s), GN_OK);
        } else {
            NT_EXPECT_INT(gn_write_sent(s->h, iov, 3, sender_done, s), GN_OK);
            memset(m, 0xee, MESSAGE); /* it was copied */
        }
    }
}

START_TEST(from_other_threads_in_order)
{
    if (_i % 2)
        NT_WANTS_UNIX();
    gn_options o = nt_options(1);
    static const gn_handler h = { .on_open = nt_on_open, .on_close = nt_on_close };
    gn_engine *e = start_case(_i, &h, NULL, &o);
    unsigned next[SENDERS] = { 0 };
    unsigned count = nt_scaled(2000, 100);
    unsigned char got[MESSAGE];
    tc_net *net;
    tc *c;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    net->opts.rcvbuf = 16 * NT_KIB;
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    for (unsigned i = 0; i < SENDERS; i++) {
        sender *s = &senders[i];
        memset(s, 0, sizeof(*s));
        s->number = i;
        s->count = count;
        s->h = nt_nth(NT_OPEN, 0).id;
        s->messages = malloc((size_t)count * MESSAGE);
        ck_assert_ptr_nonnull(s->messages);
        ck_assert_int_eq(gnp_thread_start(&s->thread, sender_main, s, "sender"), GNP_OK);
    }
    for (unsigned n = 0; n < SENDERS * count; n++) {
        unsigned i;
        ck_assert_int_eq(tc_recv_exact(c, got, MESSAGE), GNP_OK);
        i = got[0];
        ck_assert_uint_lt(i, SENDERS);
        ck_assert_uint_eq(((unsigned)got[1] << 8 | got[2]), next[i] & 0xffff);
        ck_assert_uint_eq(nt_match(i, (uint64_t)next[i] * MESSAGE, got + 3, MESSAGE - 3), MESSAGE - 3);
        next[i]++;
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        gnp_thread_join(&senders[i].thread);
        NT_UNTIL(gnp_load32(&senders[i].done) == count);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    for (unsigned i = 0; i < SENDERS; i++) {
        ck_assert_uint_eq(gnp_load32(&senders[i].done), count);
        free(senders[i].messages);
    }
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

static void never_called(gn_handle h, int status, void *arg)
{
    nt_wrong(__FILE__, __LINE__, "a completion came that must not, for %llx with %d (%p)",
             (unsigned long long)h, status, arg);
}

static gn_action refused_open(gn_conn *c, void *user)
{
    gn_iov big = { whole, 2 * NT_MIB }, none = { NULL, 1 }, small = { "end", 3 };
    gn_iov overflow[2] = { { whole, SIZE_MAX }, { whole, 2 } };
    uint64_t past = (uint64_t)INT64_MAX;
    (void)user;
    NT_EXPECT_INT(gn_conn_write_ref(NULL, &small, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, NULL, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, &none, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, overflow, 2, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_write_ref(c, &big, 1, never_called, NULL), GN_ELIMIT);
    NT_EXPECT_INT(gn_conn_send_file(NULL, whole_file, 0, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_file(c, -1, 0, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, past, 1, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_file(c, gn_conn_descriptor(c), 0, 0, never_called, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, whole_file, "", 0), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, -1, "x", 1), GN_EINVAL);
    /* Half of the limit is taken, by reference; a file counts as nothing. */
    big.len = 512 * NT_KIB;
    NT_EXPECT_INT(gn_conn_write_ref(c, &big, 1, NULL, NULL), GN_OK);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, big.len, NT_MIB, NULL, NULL), GN_OK);
    NT_EXPECT_INT((long long)gn_conn_outbound(c), (long long)big.len);
    big.len++;
    NT_EXPECT_INT(gn_conn_write_ref(c, &big, 1, never_called, NULL), GN_ELIMIT);
    NT_EXPECT_INT(gn_conn_write(c, big.base, big.len), GN_ELIMIT);
    NT_EXPECT_INT(gn_conn_write_ref(c, &small, 1, NULL, NULL), GN_OK);
    NT_EXPECT_INT(gn_conn_shutdown_write(c), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, &small, 1, never_called, NULL), GN_EPIPE);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, 0, 1, never_called, NULL), GN_EPIPE);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, whole_file, "x", 1), GN_EPIPE);
    return nt_on_open(c, NULL);
}

static gn_action refused_eof(gn_conn *c, void *user)
{
    gn_iov small = { "end", 3 };
    (void)user;
    NT_EXPECT_INT(gn_conn_close(c), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, &small, 1, never_called, NULL), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, 0, 1, never_called, NULL), GN_ECLOSED);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, whole_file, "x", 1), GN_ECLOSED);
    return GN_NONE;
}

static gn_action refused_datagram(gn_conn *c, void *user)
{
    gn_iov small = { "end", 3 };
    (void)user;
    NT_EXPECT_INT(gn_conn_write_ref(c, &small, 1, never_called, NULL), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, 0, 1, never_called, NULL), GN_ENOTSUP);
    NT_EXPECT_INT(gn_conn_send_descriptor(c, whole_file, "x", 1), GN_ENOTSUP);
    nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

static void note_done(gn_handle h, int status, void *arg)
{
    (void)arg;
    nt_note(NT_DONE, h, status);
}

START_TEST(refused_without_a_trace)
{
    static const gn_handler h = { .on_open = refused_open,
                                  .on_traffic = refused_datagram,
                                  .on_eof = refused_eof,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_iov small = { "end", 3 }, none = { NULL, 1 };
    gn_handle old;
    gn_engine *e;
    tc_net *net;
    tc *c;
    int rc;
    o.outbound_max = NT_MIB;
    whole_make();
    e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", "udp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_stream(c, SEED, 0, 512 * NT_KIB + NT_MIB), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "end"), GNP_OK);
    ck_assert_int_eq(tc_recv_to_eof(c, NULL), GNP_OK);
    tc_close(c);
    nt_await(NT_CLOSE, 1);
    old = nt_nth(NT_OPEN, 0).id;
    c = tc_connect(net, nt_url(e, 1));
    ck_assert_int_eq(tc_dgram_send(c, "x", 1), GNP_OK);
    nt_await(NT_TRAFFIC, 1);
    tc_close(c);
    /* By handle: an error and nothing more, or GN_OK and GN_ECLOSED in done. */
    ck_assert_int_eq(gn_write_ref(old, &small, 1, NULL, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_write_ref(old, &none, 1, never_called, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_write_sent(old, &none, 1, never_called, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_write_sent(old, NULL, 1, never_called, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_write_ref(GN_HANDLE_NONE, &small, 1, never_called, NULL), GN_ECLOSED);
    rc = gn_write_ref(old, &small, 1, note_done, NULL);
    ck_assert_int_eq(rc, GN_OK);
    ck_assert_int_eq(gn_write_sent(old, &small, 1, note_done, NULL), GN_OK);
    ck_assert_int_eq(gn_write_sent(old, &small, 1, NULL, NULL), GN_OK);
    nt_await(NT_DONE, 2);
    ck_assert_int_eq(nt_nth(NT_DONE, 0).status, GN_ECLOSED);
    ck_assert_int_eq(nt_nth(NT_DONE, 1).status, GN_ECLOSED);
    nt_stop(e, NT_SECOND);
    ck_assert_int_eq(gn_write_ref(old, &small, 1, never_called, NULL), GN_ECLOSED);
    ck_assert_int_eq(gn_write_sent(old, &small, 1, never_called, NULL), GN_ECLOSED);
    tc_net_close(net);
    whole_end();
}
END_TEST

/* ---------------------------------------------------------------- memory */

static nt_alloc alloc;

typedef struct thrift {
    uint64_t sent;
    unsigned rounds;
    gnp_atomic32 done;
    uint64_t calls, bytes; /* of the allocator, after the first round */
} thrift;

static void thrift_done(gn_handle h, int status, void *arg);

static void thrift_write(gn_conn *c, thrift *t)
{
    gn_iov iov = { whole, WHOLE };
    uint64_t bytes = gnp_load64(&alloc.bytes);
    NT_EXPECT_INT(gn_conn_write(c, "head", 4), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, &iov, 1, thrift_done, t), GN_OK);
    NT_EXPECT_INT(gn_conn_send_file(c, whole_file, 0, WHOLE, NULL, NULL), GN_OK);
    NT_EXPECT(gnp_load64(&alloc.bytes) < bytes + 16 * NT_KIB); /* a segment and some items */
}

static void thrift_done(gn_handle h, int status, void *arg)
{
    thrift *t = arg;
    gn_conn *c = gn_conn_from_handle(h);
    NT_EXPECT_INT(status, GN_OK);
    t->rounds++;
    if (t->rounds == 2)
        t->calls = gnp_load64(&alloc.calls);
    if (t->rounds < 4 && c != NULL) {
        thrift_write(c, t);
        return;
    }
    if (t->rounds == 4)
        NT_EXPECT_INT((long long)gnp_load64(&alloc.calls), (long long)t->calls);
    gnp_store32(&t->done, 1);
}

static gn_action thrift_open(gn_conn *c, void *user)
{
    thrift_write(c, user);
    return nt_on_open(c, user);
}

/* What is passed by reference, or from a file, is not copied to memory of ours, also when most of it
 * has to wait; and after the first round nothing is allocated at all. */
START_TEST(references_cost_no_memory)
{
    if (_i % 2)
        NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = thrift_open, .on_close = nt_on_close };
    static thrift t;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    memset(&alloc, 0, sizeof(alloc));
    memset(&t, 0, sizeof(t));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    whole_make();
    e = start_case(_i, &h, &t, &o);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(tc_recv_text(c, "head"), GNP_OK);
        ck_assert_int_eq(tc_recv_stream(c, SEED, 0, WHOLE), GNP_OK);
        ck_assert_int_eq(tc_recv_stream(c, SEED, 0, WHOLE), GNP_OK);
    }
    NT_UNTIL(gnp_load32(&t.done) == 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
    whole_end();
}
END_TEST

/* Fails the first, second... allocation of a call until it succeeds; all but the last must leave no
 * trace.  What was staged before stays in its place. */
static void famine(gn_conn *c, int verb)
{
    gn_iov iov[3] = { { "small", 5 }, { whole, 20000 }, { whole + 20000, 300 } };
    int status = GN_ENOMEM;
    for (unsigned n = 1; status != GN_OK; n++) {
        NT_EXPECT(n < 10);
        gnp_store64(&alloc.fail_n, 1);
        gnp_store64(&alloc.fail_at, gnp_load64(&alloc.calls) + n);
        switch (verb) {
        case 0: status = gn_conn_write_ref(c, iov, 3, note_done, NULL); break;
        case 1: status = gn_conn_send_file(c, whole_file, 0, 20300, note_done, NULL); break;
        default: status = gn_conn_send_descriptor(c, whole_file, whole, 20300); break;
        }
        gnp_store64(&alloc.fail_at, 0);
        if (status != GN_OK) {
            NT_EXPECT_INT(status, GN_ENOMEM);
            nt_note(NT_A, n, status);
        }
    }
}

static gn_action famine_open(gn_conn *c, void *user)
{
    int verb = *(int *)user;
    NT_EXPECT_INT(gn_conn_write(c, "before", 6), GN_OK);
    famine(c, verb);
    NT_EXPECT_INT(gn_conn_write(c, "after", 5), GN_OK);
    return nt_on_open(c, user);
}

START_TEST(any_allocation_may_fail)
{
    static const gn_handler h = { .on_open = famine_open, .on_close = nt_on_close };
    static int verb;
    gn_allocator hooks = nt_alloc_hooks(&alloc);
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    if (_i == 2) /* sends descriptors */
        NT_WANTS_UNIX();
    verb = _i;
    memset(&alloc, 0, sizeof(alloc));
    ck_assert_int_eq(gn_set_allocator(&hooks), GN_OK);
    whole_make();
    e = nt_start(&h, &verb, &o, nt_unix_url(), (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "before"), GNP_OK);
    if (verb == 0)
        ck_assert_int_eq(tc_recv_text(c, "small"), GNP_OK);
    ck_assert_int_eq(tc_recv_stream(c, SEED, 0, 20300), GNP_OK);
    ck_assert_int_eq(tc_recv_text(c, "after"), GNP_OK);
    if (verb < 2)
        nt_await(NT_DONE, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    ck_assert_uint_eq(nt_count(NT_DONE), verb < 2);
    ck_assert_uint_ge(nt_count(NT_A), verb == 1 ? 1 : 2);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    ck_assert_uint_eq(gnp_load64(&alloc.live), 0);
    whole_end();
}
END_TEST

/* ---------------------------------------------------------------- descriptors */

/* One gnp_recv of a client; the descriptors that came with it are put behind *count. */
static int recv_with(tc *c, unsigned char *out, size_t cap, size_t *n, intptr_t *os, unsigned *count)
{
    uint64_t deadline = nt_deadline();
    const void *data;
    int status;
    while ((status = gnp_recv(c->net->poller, &c->sock, &data, n)) == GNP_AGAIN) {
        if (tc_step(c->net, deadline) == 0 && gnp_now() >= deadline)
            return GNP_ETIMEDOUT;
    }
    if (status != GNP_OK)
        return status;
    ck_assert_uint_le(*n, cap);
    memcpy(out, data, *n);
    while (gnp_recv_descriptor(c->net->poller, &c->sock, &os[*count]) == GNP_OK)
        ++*count;
    gnp_recv_done(c->net->poller, &c->sock);
    return GNP_OK;
}

#define PASSED 40

static gn_action pass_open(gn_conn *c, void *user)
{
    (void)user;
    NT_EXPECT_INT(gn_conn_write(c, "+", 1), GN_OK);
    for (unsigned i = 0; i < PASSED; i++) {
        intptr_t os = -1;
        char text[8];
        const char *path = nt_path();
        FILE *f = fopen(path, "wb");
        NT_EXPECT(f != NULL && fprintf(f, "file %02u", i) == 7 && fclose(f) == 0);
        NT_EXPECT_INT(gnp_file_open(&os, path), GNP_OK);
        remove(path);
        snprintf(text, sizeof(text), "<%02u>", i);
        NT_EXPECT_INT(gn_conn_send_descriptor(c, os, text, 4), GN_OK);
        gnp_descriptor_close(os); /* it was duplicated */
        NT_EXPECT_INT(gn_conn_write(c, "...", 3), GN_OK);
    }
    return nt_on_open(c, user);
}

/* Each arrives with the first of its bytes, in order, and is the very file. */
START_TEST(descriptors_go_with_their_bytes)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = pass_open, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = start_case(_i, &h, NULL, &o);
    static unsigned char got[4096];
    static intptr_t os[PASSED + 64];
    unsigned count = 0;
    size_t at = 0;
    tc_net *net;
    tc *c;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    net->greedy = 1;
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(gnp_sock_set(&c->sock, GNP_OPT_PASS_DESCRIPTORS, 1), GNP_OK);
    ck_assert_int_eq(gnp_want(net->poller, &c->sock, GNP_READ), GNP_OK);
    while (at < 1 + 7 * PASSED) {
        unsigned before = count;
        size_t n;
        ck_assert_int_eq(recv_with(c, got + at, sizeof(got) - at, &n, os, &count), GNP_OK);
        for (unsigned i = before; i < count; i++) /* not later than its first byte, nor much sooner */
            ck_assert(at <= 1 + 7 * i && 1 + 7 * i < at + n);
        at += n;
    }
    ck_assert_uint_eq(count, PASSED);
    for (unsigned i = 0; i < PASSED; i++) {
        uint64_t size = 0;
        char text[9];
        snprintf(text, sizeof(text), "<%02u>...", i);
        ck_assert(memcmp(got + 1 + 7 * i, text, 7) == 0);
        ck_assert_int_eq(gnp_file_size(os[i], &size), GNP_OK);
        ck_assert_uint_eq(size, 7);
        gnp_descriptor_close(os[i]);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

/* The client's side of passing: one descriptor with n bytes. */
static void send_with(tc *c, intptr_t os, const void *data, size_t n)
{
    uint64_t deadline = nt_deadline();
    size_t sent = 0;
    int status;
    while ((status = gnp_send_descriptor(c->net->poller, &c->sock, os, data, n, &sent)) == GNP_AGAIN) {
        (void)tc_step(c->net, gnp_now() + NT_MS);
        ck_assert(gnp_now() < deadline);
    }
    ck_assert_int_eq(status, GNP_OK);
    ck_assert_uint_eq(sent, n);
}

static gn_action take_open(gn_conn *c, void *user)
{
    gn_descriptor d = -1;
    NT_EXPECT_INT(gn_conn_recv_descriptor(NULL, &d), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_recv_descriptor(c, NULL), GN_EINVAL);
    NT_EXPECT_INT(gn_conn_recv_descriptor(c, &d), GN_EAGAIN);
    NT_EXPECT_INT(gn_conn_set_opt(c, GN_OPT_PASS_DESCRIPTORS, 1), GN_OK);
    NT_EXPECT_INT(gn_conn_write(c, "go", 2), GN_OK);
    return nt_on_open(c, user);
}

static void returned(gn_handle h, int status, void *arg)
{
    (void)h;
    NT_EXPECT_INT(status, GN_OK);
    gnp_descriptor_close((intptr_t)arg);
    nt_note(NT_DONE, 0, status);
}

/* Sends back what is in each file that comes. */
static gn_action take_traffic(gn_conn *c, void *user)
{
    gn_descriptor d = -1;
    (void)user;
    gn_conn_discard(c, gn_conn_inbound(c));
    while (gn_conn_recv_descriptor(c, &d) == GN_OK)
        NT_EXPECT_INT(gn_conn_send_file(c, d, 0, 0, returned, (void *)d), GN_OK);
    return GN_NONE;
}

START_TEST(received_descriptors_can_be_used)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = take_open, .on_traffic = take_traffic, .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = start_case(_i, &h, NULL, &o);
    tc_net *net;
    tc *c;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "go"), GNP_OK);
    for (unsigned i = 0; i < PASSED; i++) {
        const char *path = nt_path();
        char text[32];
        intptr_t os;
        snprintf(text, sizeof(text), "content of file %u", i);
        os = file_with(path, text, strlen(text));
        remove(path);
        send_with(c, os, "some bytes", 10);
        gnp_descriptor_close(os);
    }
    for (unsigned i = 0; i < PASSED; i++) {
        char text[32];
        snprintf(text, sizeof(text), "content of file %u", i);
        ck_assert_int_eq(tc_recv_text(c, text), GNP_OK);
    }
    nt_await(NT_DONE, PASSED);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action tell_traffic(gn_conn *c, void *user)
{
    gn_descriptor d = -1;
    int rc;
    (void)user;
    gn_conn_discard(c, gn_conn_inbound(c));
    while ((rc = gn_conn_recv_descriptor(c, &d)) != GN_EAGAIN) {
        NT_EXPECT((rc == GN_OK) == (d >= 0));
        gnp_descriptor_close(d);
        nt_note(NT_TRAFFIC, 0, rc);
    }
    return GN_NONE;
}

/* Whose descriptor finds no room in the process hears of it, in its place, and the next one arrives. */
START_TEST(descriptors_without_room)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = take_open, .on_traffic = tell_traffic };
    gn_options o = nt_options(1);
    gn_engine *e = start_case(_i, &h, NULL, &o);
    static intptr_t filler[400];
    uint64_t limit = gnp_descriptor_limit(0);
    unsigned n = 0;
    tc_net *net;
    tc *c;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "go"), GNP_OK);
    send_with(c, c->sock.os, "x", 1);
    nt_await(NT_TRAFFIC, 1);
    if (!nt_wrapped() && gnp_descriptor_limit_set(300) != GNP_ENOTSUP) {
        while (n < 400 && gnp_descriptor_dup(c->sock.os, &filler[n]) == GNP_OK)
            n++;
        ck_assert_uint_lt(n, 300);
        send_with(c, c->sock.os, "x", 1);
        nt_await(NT_TRAFFIC, 2);
        ck_assert_int_eq(nt_nth(NT_TRAFFIC, 1).status, GN_EMFILE);
        while (n > 0)
            gnp_descriptor_close(filler[--n]);
        ck_assert_int_eq(gnp_descriptor_limit_set(limit), GNP_OK);
        send_with(c, c->sock.os, "x", 1);
        nt_await(NT_TRAFFIC, 3);
        ck_assert_int_eq(nt_nth(NT_TRAFFIC, 2).status, GN_OK);
    }
    ck_assert_int_eq(nt_nth(NT_TRAFFIC, 0).status, GN_OK);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action flood_traffic(gn_conn *c, void *user)
{
    (void)user;
    for (size_t n = gn_conn_discard(c, gn_conn_inbound(c)); n > 0; n--)
        nt_note(NT_TRAFFIC, 0, 0);
    return GN_NONE;
}

/* One that takes none of them keeps at most GN_DESCRIPTORS_MAX, and those only as long as it lives: the
 * connection whose descriptors they are ends when the last is closed. */
START_TEST(flood_of_descriptors)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = take_open,
                                  .on_traffic = flood_traffic,
                                  .on_close = nt_on_close };
    const unsigned flood = 3 * GN_DESCRIPTORS_MAX;
    gn_options o = nt_options(1);
    gn_engine *e = start_case(_i, &h, NULL, &o);
    tc_net *net;
    tc *passed, *c;
    gn_handle first;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    passed = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(passed, "go"), GNP_OK);
    nt_await(NT_OPEN, 1);
    first = nt_nth(NT_OPEN, 0).id;
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "go"), GNP_OK);
    for (unsigned i = 0; i < flood; i++)
        send_with(c, passed->sock.os, "x", 1);
    nt_await(NT_TRAFFIC, flood);
    tc_close(passed);
    gnp_sleep_until(gnp_now() + 30 * NT_MS);
    ck_assert_uint_eq(nt_count(NT_CLOSE), 0); /* still held */
    tc_close(c);
    nt_await(NT_CLOSE, 2);
    ck_assert_uint_eq(nt_nth(NT_CLOSE, 1).id, first);
    ck_assert_int_eq(nt_nth(NT_CLOSE, 1).status, GN_EOF);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action count_traffic(gn_conn *c, void *user)
{
    gn_descriptor d = -1;
    unsigned n = 0;
    (void)user;
    if (gn_conn_inbound(c) < 3 * GN_DESCRIPTORS_MAX)
        return GN_NONE;
    gn_conn_discard(c, gn_conn_inbound(c));
    for (; gn_conn_recv_descriptor(c, &d) == GN_OK; n++)
        gnp_descriptor_close(d);
    nt_note(NT_A, 0, (int)n);
    return GN_NONE;
}

START_TEST(waiting_descriptors_are_bounded)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = take_open,
                                  .on_traffic = count_traffic,
                                  .on_close = nt_on_close };
    gn_options o = nt_options(1);
    gn_engine *e = start_case(_i, &h, NULL, &o);
    tc_net *net;
    tc *c;
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    ck_assert_int_eq(tc_recv_text(c, "go"), GNP_OK);
    for (unsigned round = 1; round <= 2; round++) { /* with room again, more can come */
        for (unsigned i = 0; i < 3 * GN_DESCRIPTORS_MAX; i++)
            send_with(c, c->sock.os, "x", 1);
        nt_await(NT_A, round);
        ck_assert_int_eq(nt_nth(NT_A, round - 1).status, GN_DESCRIPTORS_MAX);
    }
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

static gn_action queued_open(gn_conn *c, void *user)
{
    gn_handle *first = user;
    gn_iov iov = { whole, WHOLE };
    gn_conn *other = gn_conn_from_handle(*first);
    if (other == NULL) {
        *first = gn_conn_handle(c);
    } else {
        NT_EXPECT_INT(gn_conn_write_ref(c, &iov, 1, note_done, NULL), GN_OK); /* the peer does not read */
        for (unsigned i = 0; i < 10; i++)
            NT_EXPECT_INT(gn_conn_send_descriptor(c, gn_conn_descriptor(other), "x", 1), GN_OK);
        NT_EXPECT_INT(gn_conn_abort(other), GN_OK);
    }
    return nt_on_open(c, user);
}

/* Duplicates that wait to be sent are closed with the connection: then the peer of what they are
 * duplicates of sees its end, and not before. */
START_TEST(unsent_descriptors_are_closed)
{
    NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = queued_open, .on_close = nt_on_close };
    static gn_handle first;
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *one, *two;
    first = GN_HANDLE_NONE;
    e = start_case(_i, &h, &first, &o);
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    whole_make();
    net = tc_net_open();
    one = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    two = tc_connect(net, nt_url(e, 0));
    nt_await(NT_CLOSE, 1); /* the first */
    ck_assert(tc_quiet(one, 20 * NT_MS));
    tc_reset(two);
    ck_assert_int_eq(tc_recv_to_eof(one, NULL), GNP_OK);
    tc_close(one);
    nt_await(NT_DONE, 1);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    whole_end();
}
END_TEST

/* ---------------------------------------------------------------- on the move */

static gn_action pack_open(gn_conn *c, void *user)
{
    feed *f = user;
    gnp_store64(&f->handle, gn_conn_handle(c));
    f->inside = 1;
    while (f->pos < f->total)
        NT_EXPECT_INT(feed_piece(c, f), GN_OK);
    NT_EXPECT_INT(gn_conn_write_ref(c, NULL, 0, piece_done, serial(f)), GN_OK);
    f->inside = 0;
    return nt_on_open(c, user);
}

/* A connection goes from loop to loop with everything that is queued; the completions come in order
 * all the same, on whatever loop it is. */
START_TEST(moves_with_all_that_is_queued)
{
    if (_i % 2)
        NT_WANTS_UNIX();
    static const gn_handler h = { .on_open = pack_open, .on_close = nt_on_close };
    static feed f;
    gn_options o = nt_options(2);
    gn_engine *e;
    tc_net *net;
    tc *c;
    feed_begin(&f, _i);
    f.total = 8 * NT_MIB;
    f.moves = 1;
    e = start_case(_i, &h, &f, &o);
    if (e == NULL)
        NT_SKIP("this poller is not on this system");
    whole_make();
    net = tc_net_open();
    net->opts.rcvbuf = 16 * NT_KIB;
    c = tc_connect(net, nt_url(e, 0));
    nt_await(NT_OPEN, 1);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert_int_eq(gn_migrate(gnp_load64(&f.handle), gn_engine_loop(e, i % 2), note_done, NULL), GN_OK);
        read_slowly(c, i * 512 * NT_KIB, 512 * NT_KIB);
        nt_await(NT_DONE, i + 1);
        ck_assert_int_eq(nt_nth(NT_DONE, i).status, GN_OK);
    }
    NT_UNTIL(gnp_load64(&f.all_done) != 0);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    ck_assert_uint_eq(f.done, f.asked);
    tc_net_close(net);
    whole_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outbound");
    TCase *t = nt_case(s, "order", 60);
    tcase_add_loop_test(t, all_kinds_in_order, 0, KINDS * nt_pollers());
    tcase_add_loop_test(t, from_other_threads_in_order, 0, KINDS);

    tcase_add_loop_test(t, moves_with_all_that_is_queued, 0, KINDS * nt_pollers());

    t = nt_case(s, "endings", 60);
    tcase_add_loop_test(t, every_ending_completes_once, 0, KINDS * ENDINGS);
    tcase_add_test(t, refused_without_a_trace);

    t = nt_case(s, "memory", 60);
    tcase_add_loop_test(t, references_cost_no_memory, 0, KINDS);
    tcase_add_loop_test(t, any_allocation_may_fail, 0, 3);

    t = nt_case(s, "descriptors", 60);
    for (int i = 1; i < KINDS * nt_pollers(); i += 2) { /* Unix sockets */
        tcase_add_loop_test(t, descriptors_go_with_their_bytes, i, i + 1);
        tcase_add_loop_test(t, received_descriptors_can_be_used, i, i + 1);
        tcase_add_loop_test(t, descriptors_without_room, i, i + 1);
        tcase_add_loop_test(t, flood_of_descriptors, i, i + 1);
        tcase_add_loop_test(t, waiting_descriptors_are_bounded, i, i + 1);
        tcase_add_loop_test(t, unsent_descriptors_are_closed, i, i + 1);
    }
    return nt_main(s);
}
