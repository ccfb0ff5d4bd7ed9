/* SPDX-License-Identifier: MIT */
/*
 * The state machine of an engine: bytes are options, then calls of the interface and peers with scripts, in a
 * simulated world with faults.  Streams carry bytes that tell by whom and where they were written, so every
 * end sees what is lost, out of order, twice or another's; completions come once, callbacks in order; memory,
 * descriptors and threads are given back, which gnp_sim_run looks for.
 */
#include "fuzz.h"

#include "include/gannet.h"
#include "platform/sim/sim.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

#define PEERS_MAX 10u     /* each is a thread */
#define SESSIONS_MAX 120u /* connections of the engine; more are refused */
#define OPS_MAX 160u
#define CALLS_MAX 96u     /* of one input */
#define SCRIPT 10u        /* steps of a peer */
#define HABITS 6u
#define STREAM_MAX 60000u /* two that echo to each other would go on for ever */
#define TIMERS 3u         /* of a loop */
#define LOOPS 4u          /* and an acceptor */
#define PORT_SERVER "127.0.0.1:7000"
#define FIRST_SESSION 128u /* ids of streams: peers from 1, sessions from here */

/* For threads of the world; `must` would not tell the seed. */
#define hold(ok, ...) ((ok) ? (void)0 : gnp_sim_fail(__VA_ARGS__))

typedef struct session {
    uint8_t id;
    gn_handle handle;
    int closed, reason, ended; /* ended: on_eof came */
    int posting; /* only the first thread writes to it, else only callbacks: so the order is known */
    int mixed;   /* a pipe has written to it */
    int lossy;   /* a posted write has failed */
    int robbed;  /* a pipe has read from it, or what it reads cannot be told */
    int datagrams, paused, woken;
    int to_us;   /* dialled to our own listener: both of its ends are sessions */
    uint8_t from; /* whose stream it reads; 0: not known yet */
    uint64_t in, out; /* positions in both streams */
    uint8_t habit[HABITS];
    unsigned turn;
} session;

typedef struct peer {
    uint8_t id, from;
    int accepts, datagrams;
    gnp_sim_peer *p;
    int held; /* the first thread is inside of a call on p */
    gnp_sim_thread *thread;
    const char *addr;
    uint64_t sent, got;
    int ended, eof, broken; /* it has ended its stream; it has seen the end of the other, or a reset */
    int unknown;    /* what it reads cannot be told */
    uint8_t script[2 * SCRIPT];
} peer;

enum { EXECUTE, WRITE, WAKE, CLOSE, MIGRATE, DIAL, SCHEDULE, OFFLOAD, REFERENCE };

typedef struct op {
    int kind, asked, done, status;
    session *s; /* may be NULL */
    size_t n;
    uint8_t *memory;
    uint8_t act[2];
    gn_op id;
} op;

static struct {
    input in;
    gn_options options;
    gn_engine *e;
    gn_pool *pool;
    gnp_sim_server *server;
    session session[SESSIONS_MAX];
    unsigned sessions, open;
    peer peer[PEERS_MAX];
    unsigned peers;
    op op[OPS_MAX];
    unsigned ops;
    int inside[LOOPS];
    int stopping, piped, shutdown;
    uint8_t habit[HABITS], posting;
    gn_timer timer[LOOPS][TIMERS];
    uint64_t due[LOOPS][TIMERS];
    char addr[3][GN_ADDR_TEXT_MAX], url[3][GN_ADDR_TEXT_MAX + 16];
    gn_addr asker; /* who sent the last datagram */
} w;

/* ------------------------------------------------------------------ streams */

/* The first byte names the stream. */
static uint8_t stream(uint8_t id, uint64_t at)
{
    return at == 0 ? id : (uint8_t)((at * 7 + at / 256 * 11) ^ id);
}

static void stream_fill(uint8_t id, uint64_t at, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = stream(id, at + i);
}

static peer *peer_of(uint8_t id)
{
    return id >= 1 && id <= w.peers ? &w.peer[id - 1] : NULL;
}

static session *session_of(uint8_t id)
{
    return id >= FIRST_SESSION && id - FIRST_SESSION < w.sessions ? &w.session[id - FIRST_SESSION] : NULL;
}

/* What comes is the stream whose name was its first byte, from `at` on. */
static void stream_check(uint8_t *id, uint64_t at, const uint8_t *p, size_t n, const char *who)
{
    if (n == 0)
        return;
    if (at == 0 && *id == 0) {
        *id = p[0];
        hold((p[0] >= 1 && p[0] <= w.peers) || (p[0] >= FIRST_SESSION && p[0] < FIRST_SESSION + w.sessions),
             "%s: byte 0 is %u, which names nobody", who, p[0]);
    }
    if (session_of(*id) != NULL && session_of(*id)->lossy)
        return; /* a posted write was refused: there is a hole before those after it */
    for (size_t i = 0; i < n; i++)
        hold(p[i] == stream(*id, at + i), "%s: byte %llu of stream %u is another one", who,
             (unsigned long long)(at + i), *id);
}

/* ---------------------------------------------------------------- operations */

static op *op_new(int kind, session *s)
{
    op *o;

    if (w.ops == OPS_MAX)
        return NULL;
    o = &w.op[w.ops++];
    o->kind = kind;
    o->s = s;
    return o;
}

/* What a call said: from now on done is owed, or never. */
static int asked(op *o, int rc)
{
    gnp_sim_note("asked", o->kind, rc);
    hold(rc == GN_OK || !o->done, "kind %d: %s, but it was done", o->kind, gn_strerror(rc));
    o->asked = rc == GN_OK;
    hold(rc <= 0 && rc >= GN_EMALFORMED, "kind %d: code %d", o->kind, rc);
    return rc;
}

static void act(gn_conn *c, session *s, uint8_t what, uint8_t by);

/* Callbacks are never inside others. */
static int enter(gn_loop *l)
{
    unsigned i = l != NULL ? gn_loop_index(l) : LOOPS;

    if (i >= LOOPS)
        return -1;
    hold(w.inside[i]++ == 0, "a callback inside of another");
    return (int)i;
}

static void leave(int i)
{
    if (i >= 0)
        w.inside[i]--;
}

static void on_done(gn_handle h, int status, void *arg)
{
    op *o = arg;
    int in = enter(gn_loop_current());
    gn_conn *c = in >= 0 ? gn_conn_from_handle(h) : NULL;

    gnp_sim_note("done", o->kind, status);
    hold(o->done++ == 0, "kind %d is done twice", o->kind);
    o->status = status;
    if ((o->kind == WRITE || o->kind == REFERENCE) && status != GN_OK && o->s != NULL && o->s->posting)
        o->s->lossy = 1;
    if (o->kind == DIAL)
        hold((status == GN_OK) == (h != GN_HANDLE_NONE), "a dial ends with %s and handle %llu",
             gn_strerror(status), (unsigned long long)h);
    if (o->kind == MIGRATE && c != NULL)
        hold(gn_conn_context(c) == o->s, "another connection has migrated");
    if (o->kind == CLOSE && status == GN_OK && o->s != NULL)
        hold(o->s->closed, "closed, but on_close was not called");
    if ((o->kind == EXECUTE || o->kind == SCHEDULE) && status == GN_OK)
        act(c, c != NULL ? gn_conn_context(c) : NULL, o->act[0], o->act[1]);
    leave(in);
}

static void on_work(void *arg)
{
    op *o = arg;

    gnp_sim_sleep(o->act[1] * MS / 4);
}

/* -------------------------------------------------------- on the loops: calls */

static uint8_t *bytes_of(session *s, size_t n)
{
    uint8_t *b = malloc(n + 1);

    hold(b != NULL, "the test has no memory");
    stream_fill(s->id, s->out, b, n);
    return b;
}

/* A write by the loop that owns it; all or nothing. */
static void write_some(gn_conn *c, session *s, unsigned how, size_t n)
{
    uint8_t *b;
    int rc;

    if (s == NULL || s->posting || s->datagrams || s->out > STREAM_MAX)
        return;
    b = bytes_of(s, n);
    gn_iov v[3] = { { b, n / 3 }, { b + n / 3, 0 }, { b + n / 3, n - n / 3 } };
    op *o = how == 2 ? op_new(REFERENCE, s) : NULL;
    if (o != NULL) {
        o->memory = b;
        rc = asked(o, gn_conn_write_ref(c, v, 3, on_done, o));
        o->asked = rc == GN_OK;
    } else {
        rc = how == 0 ? gn_conn_write(c, b, n) : gn_conn_writev(c, v, 3);
        free(b);
    }
    gnp_sim_note("write", (int64_t)n, rc);
    if (rc == GN_OK)
        s->out += n;
    else
        hold(rc == GN_ELIMIT || rc == GN_ECLOSED || rc == GN_EPIPE ||
             (rc == GN_ENOMEM && gnp_sim_faults() > 0), "a write gives %s", gn_strerror(rc));
}

static void on_timer(gn_loop *l, gn_timer *t, void *arg)
{
    int in = enter(l);
    uint64_t *due = arg;

    (void)t;
    hold(gn_now() >= *due, "a timer of %llu fires at %llu", (unsigned long long)*due,
         (unsigned long long)gn_now());
    leave(in);
}

static void set_timer(uint8_t by)
{
    gn_loop *l = gn_loop_current();
    unsigned i = gn_loop_index(l), k = by % TIMERS;

    if (i >= LOOPS)
        return;
    if (by & 128) {
        int was = gn_timer_running(&w.timer[i][k]);
        hold(gn_timer_stop(l, &w.timer[i][k]) == was, "stop does not know if it ran");
        return;
    }
    w.due[i][k] = gn_now() + by * MS;
    hold(gn_timer_start(l, &w.timer[i][k], by * MS, by & 64 ? 3 * MS : 0, on_timer, &w.due[i][k]) == GN_OK,
         "a timer does not start");
}

static void pipe_to(gn_conn *c, session *s, uint8_t by)
{
    session *to = w.sessions > 0 ? &w.session[by % w.sessions] : NULL;
    gn_conn *d = to != NULL ? gn_conn_from_handle(to->handle) : NULL;
    int rc, was_mixed;

    if (d == NULL || s == NULL || s->datagrams || to->datagrams)
        return;
    if (s->to_us || to->to_us)
        return; /* a ring of pipes, in which bytes would go round for ever */
    was_mixed = to->mixed;
    rc = gn_conn_pipe(c, d);
    gnp_sim_note("pipe", by, rc);
    to->mixed = was_mixed || rc == GN_OK;
    s->robbed = s->robbed || rc == GN_OK;
    w.piped = w.piped || rc == GN_OK;
}

static void dial(gn_handle where, uint8_t by);

static void loop_call(session *s, uint8_t what, uint8_t by)
{
    switch (what & 3) {
    case 0:
        set_timer(by);
        break;
    case 1:
        dial(gn_loop_handle(gn_loop_current()), by);
        break;
    case 2:
        if (by > 250) {
            w.stopping = 1;
            (void)gn_engine_stop(w.e, by * MS);
        }
        break;
    default: {
        op *o = op_new(SCHEDULE, s);
        gn_handle h = s != NULL ? s->handle : gn_loop_handle(gn_loop_current());
        if (o != NULL) {
            o->act[0] = by;
            (void)asked(o, gn_schedule(h, by * MS, on_done, o, &o->id));
        }
        break;
    }
    }
}

static void limit_call(gn_conn *c, uint8_t what, uint8_t by)
{
    switch (what & 7) {
    case 0:
        (void)gn_conn_set_idle_timeout(c, by * 10 * MS);
        break;
    case 1:
        (void)gn_conn_set_read_deadline(c, by * 10 * MS);
        break;
    case 2:
        (void)gn_conn_set_write_deadline(c, by * 10 * MS);
        break;
    case 3:
        (void)gn_conn_set_watermarks(c, by * 16u, by * 8u);
        break;
    case 4:
        (void)gn_conn_set_limits(c, by * 32u, by * 64u);
        break;
    case 5:
        (void)gn_conn_set_opt(c, GN_OPT_NODELAY, by & 1);
        break;
    case 6: {
        gn_addr a;
        (void)gn_conn_local_addr(c, &a);
        (void)gn_conn_remote_addr(c, &a);
        break;
    }
    default:
        (void)gn_conn_is_writable(c);
        (void)gn_conn_flush(c);
        break;
    }
}

/* One call on a loop.  c may be NULL: the connection is gone, or only the loop was named. */
static void act(gn_conn *c, session *s, uint8_t what, uint8_t by)
{
    if (c == NULL || s == NULL || (what & 0xe0) == 0xe0) {
        loop_call(s, what, by);
        return;
    }
    if ((what & 0xe0) == 0xc0) {
        limit_call(c, what, by);
        return;
    }
    switch (what & 31) {
    case 0: case 1: case 2: case 3:
        write_some(c, s, what % 3, by);
        break;
    case 4: case 5: case 6:
        write_some(c, s, what % 3, by * 41u);
        break;
    case 7:
        s->paused = gn_conn_pause(c) == GN_OK;
        break;
    case 8: case 9:
        s->paused = gn_conn_resume(c) == GN_OK ? 0 : s->paused;
        break;
    case 10:
        (void)gn_conn_close(c);
        break;
    case 11:
        if (by > 128)
            (void)gn_conn_abort(c);
        break;
    case 12:
        (void)gn_conn_shutdown_write(c);
        break;
    case 13: case 14:
        pipe_to(c, s, by);
        break;
    case 15:
        (void)gn_conn_unpipe(c);
        break;
    default:
        break;
    }
}

/* ---------------------------------------------------- on the loops: callbacks */

static gn_action end_by_habit(session *s)
{
    uint8_t h = s->habit[HABITS - 1];

    if (h == 255 && s->turn == 3) {
        w.shutdown = w.stopping = 1;
        return GN_SHUTDOWN;
    }
    return (h & 15) == 7 && s->turn > h / 16 ? GN_CLOSE : GN_NONE;
}

static void habit(gn_conn *c, session *s)
{
    unsigned i = s->turn++ % (HABITS / 2);

    if (s->habit[2 * i] & 1)
        act(c, s, s->habit[2 * i] >> 1, s->habit[2 * i + 1]);
}

static int begin(gn_conn *c, session *s, const char *what)
{
    gn_loop *l = gn_conn_loop(c);

    /* The other end may be one of ours, into which something is piped. */
    if (s != NULL && w.piped && peer_of(s->from) == NULL)
        s->robbed = 1;

    hold(gn_loop_current() == l, "%s on another loop", what);
    hold(s != NULL && !s->closed, "%s before on_open or after on_close", what);
    s->handle = gn_conn_handle(c);
    hold(gn_conn_from_handle(s->handle) == c, "%s: its handle is another's", what);
    gnp_sim_note(what, s->id, 0);
    return enter(l);
}

static int dialled_us(gn_conn *c)
{
    char text[GN_ADDR_TEXT_MAX];
    gn_addr a;

    return gn_conn_remote_addr(c, &a) == GN_OK && gn_addr_format(&a, text, sizeof text) > 0 &&
           strcmp(text, w.url[0] + strlen("tcp://")) == 0;
}

static gn_action on_open(gn_conn *c, void *user)
{
    session *s;
    int in;

    (void)user;
    hold(gn_conn_context(c) == NULL, "a new connection has a context");
    hold(w.sessions < SESSIONS_MAX, "too many connections");
    s = &w.session[w.sessions];
    s->id = (uint8_t)(FIRST_SESSION + w.sessions++);
    s->posting = w.posting >> (s->id & 7) & 1;
    s->datagrams = gn_conn_is_datagram(c);
    s->to_us = dialled_us(c);
    memcpy(s->habit, w.habit, HABITS);
    s->habit[0] = (uint8_t)(s->habit[0] + s->id % 4 * 64);
    gn_conn_set_context(c, s);
    w.open++;
    in = begin(c, s, "on_open");
    habit(c, s);
    leave(in);
    return end_by_habit(s);
}

/* A datagram is the beginning of its sender's stream. */
static gn_action on_datagram(gn_conn *c)
{
    uint8_t id = 0;
    size_t n;
    const uint8_t *p = gn_conn_peek(c, &n);

    stream_check(&id, 0, p, n, "datagram");
    (void)gn_conn_remote_addr(c, &w.asker);
    if (n % 3 != 0)
        (void)gn_conn_write(c, p, n);
    return GN_NONE;
}

/* Reads some, as the habit is. */
static void consume(gn_conn *c, session *s, size_t n)
{
    size_t took = 0;
    char out[40];

    switch (s->habit[1] & 7) {
    case 0: case 1:
        took = gn_conn_discard(c, n);
        break;
    case 2:
        took = gn_conn_next(c, 0) != NULL ? n : 0;
        break;
    case 3:
        took = gn_conn_discard(c, n / 2 + 1);
        break;
    case 4:
        took = gn_conn_read(c, out, sizeof out);
        break;
    case 5: {
        gn_frame f;
        while (gn_conn_read_fixed(c, 7, &f) == GN_OK)
            took += f.len;
        break;
    }
    case 6:
        took = n > 100 ? gn_conn_discard(c, 100) : 0;
        break;
    default:
        break;
    }
    s->in += took;
    hold(took <= n && gn_conn_inbound(c) == n - took, "%zu unread, %zu taken, %zu left", n, took,
         gn_conn_inbound(c));
    if (took > 0 && s->habit[1] & 128)
        write_some(c, s, 0, took);
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    session *s = gn_conn_context(c);
    size_t n;
    int in;

    (void)user;
    if (s == NULL || s->datagrams) {
        hold(gn_conn_is_datagram(c), "on_traffic before on_open");
        return on_datagram(c);
    }
    in = begin(c, s, "on_traffic");
    hold(!s->paused || s->woken, "on_traffic while it is paused");
    const uint8_t *p = gn_conn_peek(c, &n);
    if (!s->robbed) {
        stream_check(&s->from, s->in, p, n, "connection");
        consume(c, s, n);
    } else {
        (void)gn_conn_discard(c, n);
    }
    habit(c, s);
    leave(in);
    return end_by_habit(s);
}

static gn_action on_eof(gn_conn *c, void *user)
{
    session *s = gn_conn_context(c);
    int in = begin(c, s, "on_eof");
    const peer *p = peer_of(s->from);

    (void)user;
    hold(!s->ended, "on_eof twice");
    s->ended = 1;
    if (p != NULL && !s->robbed)
        hold(p->ended && s->in + gn_conn_inbound(c) == p->sent, "the end came after %llu bytes of %llu",
             (unsigned long long)(s->in + gn_conn_inbound(c)), (unsigned long long)p->sent);
    habit(c, s);
    leave(in);
    return s->habit[3] & 1 ? GN_NONE : GN_CLOSE;
}

static gn_action on_writable(gn_conn *c, void *user)
{
    session *s = gn_conn_context(c);
    int in = begin(c, s, "on_writable");

    (void)user;
    habit(c, s);
    leave(in);
    return GN_NONE;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    session *s = gn_conn_context(c);

    (void)user;
    if (s == NULL || s->datagrams)
        return GN_NONE;
    leave(begin(c, s, "on_drained"));
    return GN_NONE;
}

static gn_action on_timeout(gn_conn *c, gn_timeout which, void *user)
{
    session *s = gn_conn_context(c);
    int in = begin(c, s, "on_timeout");

    (void)user;
    hold(which >= GN_TIMEOUT_IDLE && which <= GN_TIMEOUT_WRITE, "time-out %d", (int)which);
    habit(c, s);
    leave(in);
    return s->habit[5] & 1 ? GN_NONE : GN_CLOSE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    session *s = gn_conn_context(c);
    int in = begin(c, s, "on_close");
    size_t n;
    const uint8_t *p = gn_conn_peek(c, &n);

    (void)user;
    if (!s->robbed && !s->datagrams)
        stream_check(&s->from, s->in, p, n, "closed connection");
    if (!s->datagrams)
        hold(gn_conn_write(c, "x", 1) == GN_ECLOSED, "on_close: a write succeeds");
    hold(reason <= 0, "reason %d", reason);
    s->closed = 1;
    s->reason = reason;
    w.open--;
    leave(in);
    return GN_NONE;
}

/* -------------------------------------------------------------------- peers */

static void peer_send(peer *p, size_t n)
{
    uint8_t *b;
    size_t went;

    if (p->ended || n == 0)
        return;
    b = malloc(n);
    hold(b != NULL, "the test has no memory");
    stream_fill(p->id, p->sent, b, n);
    if (gnp_sim_send(p->p, b, n, &went) == GNP_SIM_RESET)
        p->broken = 1;
    p->sent += went;
    free(b);
}

/* 0 when nothing can follow. */
static int peer_recv(peer *p, size_t cap, uint64_t timeout)
{
    uint8_t part[600];
    int64_t n = gnp_sim_recv(p->p, part, cap < sizeof part ? cap : sizeof part, timeout);

    if (n < 0) {
        p->broken = p->broken || n == GNP_SIM_RESET; /* what is read after that is an end, too */
        p->eof = p->eof || (n == GNP_SIM_EOF && !p->broken);
        return n == GNP_SIM_TIMEOUT;
    }
    if (w.piped)
        p->unknown = 1;
    if (!p->unknown)
        stream_check(&p->from, p->got, part, (size_t)n, "peer");
    p->got += (uint64_t)n;
    return 1;
}

static void peer_end(peer *p)
{
    p->ended = 1; /* before it: others see it at once */
    gnp_sim_half_close(p->p);
}

/* 0 when it has left. */
static int peer_step(peer *p, uint8_t what, uint8_t by)
{
    switch (what % 10) {
    case 0: case 1:
        peer_send(p, by);
        return 1;
    case 2:
        peer_send(p, by * 61u);
        return 1;
    case 3: case 4:
        (void)peer_recv(p, (size_t)by * 3 + 1, by * MS);
        return 1;
    case 5: case 6:
        gnp_sim_sleep(what & 128 ? by * 20 * MS : by * MS / 4);
        return 1;
    case 7:
        peer_end(p);
        return 1;
    case 8:
        if (by & 1)
            gnp_sim_reset(p->p);
        return !(by & 1);
    default:
        return by < 128;
    }
}

static void peer_script(peer *p)
{
    int stays = 1;

    for (unsigned i = 0; i < SCRIPT && stays; i++)
        stays = peer_step(p, p->script[2 * i], p->script[2 * i + 1]);
    if (!stays)
        return;
    if (!p->ended && p->script[0] & 64)
        peer_end(p);
    while (peer_recv(p, 600, 3000 * SECOND))
        continue;
}

static void peer_main(void *arg)
{
    peer *p = arg;
    int why;

    p->p = p->accepts ? gnp_sim_accept(w.server, 5 * SECOND) : gnp_sim_connect(p->addr, &why);
    if (p->p == NULL)
        return;
    peer_script(p);
    gnp_sim_peer *gone = p->p;
    p->p = NULL;
    p->ended = 1;
    while (p->held)
        gnp_sim_sleep(1000);
    gnp_sim_close(gone, p->script[1] & 1 && p->script[0] & 32);
}

static void datagrams_main(void *arg)
{
    peer *p = arg;
    gnp_sim_peer *d = gnp_sim_dgram("10.1.2.3:0");
    uint8_t b[300];

    for (unsigned i = 0; i < SCRIPT; i++) {
        uint8_t id = 0;
        stream_fill(p->id, 0, b, p->script[2 * i]);
        (void)gnp_sim_sendto(d, p->addr, b, p->script[2 * i]);
        int64_t n = gnp_sim_recvfrom(d, b, sizeof b, p->script[2 * i + 1] * MS / 4);
        if (n > 0)
            stream_check(&id, 0, b, (size_t)n, "answer");
    }
    gnp_sim_close(d, 0);
}

static void peer_new(int accepts, const char *addr, int datagrams)
{
    peer *p;

    if (w.peers == PEERS_MAX)
        return;
    p = &w.peer[w.peers++];
    p->id = (uint8_t)w.peers;
    p->accepts = accepts;
    p->addr = addr;
    p->datagrams = datagrams;
    for (unsigned i = 0; i < 2 * SCRIPT && w.in.n > 0; i++)
        p->script[i] = next8(&w.in);
    p->thread = gnp_sim_spawn(datagrams ? datagrams_main : peer_main, p, "peer");
}

/* --------------------------------------------------------- the first thread */

static void dial(gn_handle where, uint8_t by)
{
    const char *to = by % 4 == 0 ? w.url[0] : by % 4 == 1 ? "tcp://127.0.0.1:7999" : "tcp://" PORT_SERVER;
    op *o = w.sessions + 8 < SESSIONS_MAX ? op_new(DIAL, NULL) : NULL;
    gn_dial_options d;

    if (o == NULL)
        return;
    gn_dial_options_init(&d);
    d.timeout_ns = by & 32 ? by * MS : 0;
    if (by % 8 == 7)
        to = w.url[2]; /* datagrams */
    (void)asked(o, gn_dial(where, to, &d, on_done, o, &o->id));
}

static session *any_session(uint8_t by)
{
    return w.sessions > 0 ? &w.session[by % w.sessions] : NULL;
}

static void post_write(session *s, uint8_t how, size_t n)
{
    op *o = s->posting && !s->datagrams && !s->lossy ? op_new(how % 4 == 3 ? REFERENCE : WRITE, s) : NULL;
    int rc;

    if (o == NULL)
        return;
    o->n = n;
    o->memory = bytes_of(s, n);
    gn_iov v[2] = { { o->memory, n / 2 }, { o->memory + n / 2, n - n / 2 } };
    switch (how % 4) {
    case 0:
        rc = gn_write(s->handle, o->memory, n, on_done, o);
        break;
    case 1:
        rc = gn_writev(s->handle, v, 2, on_done, o);
        break;
    case 2:
        rc = gn_write_sent(s->handle, v, 2, on_done, o);
        break;
    default:
        rc = gn_write_ref(s->handle, v, 2, on_done, o);
        break;
    }
    if (asked(o, rc) == GN_OK)
        s->out += n;
}

/* Asks something of a connection, from outside of its loop. */
static void ask(uint8_t what, uint8_t by)
{
    session *s = any_session(by);
    gn_handle loop = gn_engine_loop(w.e, by / 16), h = s != NULL ? s->handle : loop;
    int kind = what % 7;
    op *o;

    if (kind == WRITE) {
        if (s != NULL)
            post_write(s, what / 7, what & 64 ? by * 23u : by);
        return;
    }
    o = op_new(kind, s);
    if (o == NULL)
        return;
    switch (kind) {
    case WAKE:
        if (s != NULL)
            s->woken = 1;
        (void)asked(o, gn_wake(h, on_done, o));
        break;
    case CLOSE:
        (void)asked(o, gn_close(h, on_done, o));
        break;
    case MIGRATE:
        (void)asked(o, gn_migrate(h, loop, on_done, o));
        break;
    case SCHEDULE:
        o->act[0] = next8(&w.in);
        o->act[1] = next8(&w.in);
        (void)asked(o, gn_schedule(h, by * MS, on_done, o, &o->id));
        break;
    case DIAL:
        w.ops--;
        dial(loop, by);
        break;
    default:
        o->act[0] = next8(&w.in);
        o->act[1] = next8(&w.in);
        (void)asked(o, what & 64 ? gn_execute_low(h, on_done, o) : gn_execute(h, on_done, o));
        break;
    }
}

static void offload(uint8_t by)
{
    session *s = any_session(by);
    op *o = w.pool != NULL ? op_new(OFFLOAD, s) : NULL;

    if (o == NULL)
        return;
    o->act[1] = by;
    (void)asked(o, gn_offload(w.pool, s != NULL ? s->handle : gn_engine_loop(w.e, 0), on_work, on_done, o));
}

static void engine_call(uint8_t by)
{
    gn_stats st = { .size = sizeof st };

    switch (by % 6) {
    case 0:
        (void)gn_engine_pause_accept(w.e, by / 8 % 3);
        break;
    case 1: case 2:
        (void)gn_engine_resume_accept(w.e, by / 8 % 3);
        break;
    case 3:
        hold(gn_engine_stats(w.e, &st) == GN_OK, "no statistics");
        hold(w.options.conns_max == 0 || gn_engine_conn_count(w.e) <= w.options.conns_max,
             "%llu connections", (unsigned long long)gn_engine_conn_count(w.e));
        break;
    case 4: {
        uint8_t b[200];
        op *o = op_new(WAKE, NULL);
        stream_fill(1, 0, b, by % sizeof b);
        if (o != NULL)
            (void)asked(o, gn_send_to(gn_engine_endpoint(w.e, 2, 0), &w.asker, b, by % sizeof b, on_done, o));
        break;
    }
    default:
        if (by > 200) {
            w.stopping = 1;
            hold(gn_engine_stop(w.e, by * MS) == GN_OK, "stop fails");
        }
        break;
    }
}

static void reset_peer(uint8_t by)
{
    peer *p = w.peers > 0 ? &w.peer[by % w.peers] : NULL;

    if (p == NULL || p->p == NULL)
        return;
    p->held = 1;
    p->broken = 1; /* before it: its own thread sees it at once */
    gnp_sim_reset(p->p);
    p->held = 0;
}

static void call(uint8_t what, uint8_t by)
{
    switch (what & 15) {
    case 0: case 1:
        peer_new(0, w.addr[by & 1], 0);
        break;
    case 2:
        peer_new(1, NULL, 0);
        dial(gn_engine_least_loop(w.e), (uint8_t)(2 + by / 8 * 8));
        break;
    case 3:
        peer_new(0, w.addr[2], 1);
        break;
    case 4: case 5: case 6: case 7: case 8:
        ask(next8(&w.in), by);
        break;
    case 9: case 10:
        gnp_sim_sleep(by * MS / 8);
        break;
    case 11:
        gnp_sim_sleep(by * 40 * MS);
        break;
    case 12:
        if (w.ops > 0)
            (void)gn_cancel(w.op[by % w.ops].id);
        break;
    case 13:
        offload(by);
        break;
    case 14:
        engine_call(by);
        break;
    default:
        reset_peer(by);
        break;
    }
}

/* ----------------------------------------------------------- begin and end */

static void take_options(void)
{
    gn_options *o = &w.options;
    static const size_t sizes[] = { 1024, 2048, 8192, 65536 };
    uint8_t a = next8(&w.in), b = next8(&w.in), c = next8(&w.in);

    gn_options_init(o);
    o->loops = 1 + a % 3;
    o->lb = (gn_lb)(a / 4 % 4);
    o->edge_triggered = a >> 4 & 1;
    o->reuseport = a >> 5 & 1;
    o->overload = a >> 6 & 1 ? GN_OVERLOAD_REFUSE : GN_OVERLOAD_WAIT;
    o->conns_max = a >> 7 ? 1 + b % 4 : 0;
    o->read_buffer = sizes[b & 3];
    o->inbound_max = sizes[b >> 2 & 3];
    o->outbound_high = sizes[b >> 4 & 3];
    o->outbound_max = b & 64 ? sizes[b >> 4 & 3] * 2 : o->outbound_max;
    o->loop_bytes_max = b & 128 ? 20000 : 0;
    o->engine_bytes_max = c & 1 ? 30000 : 0;
    o->post_max = c & 2 ? 3000 : o->post_max;
    o->idle_timeout_ns = c & 4 ? 200 * MS : 0;
    o->close_timeout_ns = c & 8 ? 50 * MS : o->close_timeout_ns;
    o->linger_ns = c & 16 ? 10 * MS : o->linger_ns;
    o->drain_ns = c & 32 ? 0 : 2 * SECOND;
    o->spin_us = c >> 6 & 1; /* with more, spurious events keep it from ever sleeping */
    w.posting = next8(&w.in);
    for (unsigned i = 0; i < HABITS; i++)
        w.habit[i] = next8(&w.in);
}

static int open_engine(void)
{
    static const gn_handler handler = { .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof,
                                        .on_close = on_close, .on_writable = on_writable,
                                        .on_drained = on_drained, .on_timeout = on_timeout };
    static const char *const listen[] = { "tcp://127.0.0.1:0", "unix:///tmp/machine", "udp://127.0.0.1:0" };
    gn_addr a;
    int rc = gn_engine_create(&w.e, &handler, NULL, &w.options);

    for (unsigned i = 0; i < 3 && rc == GN_OK; i++) {
        rc = gn_engine_listen(w.e, listen[i]);
        if (rc != GN_OK)
            break;
        hold(gn_engine_addr(w.e, i, &a) == GN_OK && gn_addr_format(&a, w.addr[i], sizeof w.addr[i]) > 0 &&
             gn_engine_url(w.e, i, w.url[i], sizeof w.url[i]) > 0, "address %u is not known", i);
    }
    if (rc == GN_OK)
        rc = gn_engine_start(w.e);
    if (rc == GN_OK)
        return 1;
    hold(gnp_sim_faults() > 0, "the engine does not start: %s", gn_strerror(rc));
    hold(gn_engine_destroy(w.e) == GN_OK, "it did not start and cannot be destroyed");
    return 0;
}

static void open_pool(void)
{
    gn_pool_options o;

    gn_pool_options_init(&o);
    o.capacity = 2;
    o.queue_max = 4;
    if (gn_pool_create(&w.pool, &o) != GN_OK) {
        hold(gnp_sim_faults() > 0, "no pool");
        w.pool = NULL;
    }
}

static void close_all(uint64_t drain)
{
    int rc;

    gnp_sim_note("end", (int64_t)drain, 0);
    hold(gn_engine_stop(w.e, drain) == GN_OK, "stop fails");
    rc = gn_engine_join(w.e);
    hold(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    hold(w.open == 0, "%u connections were not closed", w.open);
    hold(gn_engine_conn_count(w.e) == 0, "connections are counted that are closed");
    gn_stats st = { .size = sizeof st };
    hold(gn_engine_stats(w.e, &st) == GN_OK && st.bytes_held == 0 && st.bytes_posted == 0,
         "%llu bytes are held, %llu posted", (unsigned long long)st.bytes_held,
         (unsigned long long)st.bytes_posted);
    hold(gn_pool_destroy(w.pool) == GN_OK, "the pool is not destroyed");
    hold(gn_engine_destroy(w.e) == GN_OK, "the engine is not destroyed");
}

/* Bytes of its stream that were written for certain. */
static uint64_t written(const session *s)
{
    uint64_t n = 0;

    if (!s->posting)
        return s->out;
    for (unsigned i = 0; i < w.ops; i++) {
        if (w.op[i].s == s && (w.op[i].kind == WRITE || w.op[i].kind == REFERENCE) && w.op[i].status == GN_OK)
            n += w.op[i].asked ? w.op[i].n : 0;
    }
    return n;
}

static void check_peer(const peer *p)
{
    const session *s = session_of(p->from);

    if (s == NULL || p->unknown || s->mixed)
        return;
    hold(s->from == 0 || s->from == p->id || s->robbed, "session %u reads of %u and writes to %u", s->id,
         s->from, p->id);
    hold(p->got <= s->out, "%llu bytes came, %llu were written", (unsigned long long)p->got,
         (unsigned long long)s->out);
    if (p->eof && !s->lossy && (s->reason == GN_OK || s->reason == GN_EOF || s->reason == GN_ESHUTDOWN))
        hold(p->got == written(s), "session %u closed with %s: %llu of %llu bytes came", s->id,
             gn_strerror(s->reason), (unsigned long long)p->got, (unsigned long long)written(s));
}

static void check_end(void)
{
    for (unsigned i = 0; i < w.ops; i++) {
        op *o = &w.op[i];
        hold(o->done == o->asked, "kind %d: asked %d, done %d times", o->kind, o->asked, o->done);
        free(o->memory);
        o->memory = NULL;
    }
    for (unsigned i = 0; i < w.peers; i++)
        check_peer(&w.peer[i]);
    for (unsigned i = 0; i < w.sessions; i++) {
        session *s = &w.session[i], *from = session_of(s->from);
        hold(from == NULL || s->robbed || s->in <= from->out, "session %u read more than was written", s->id);
        hold(gn_wake(s->handle, NULL, NULL) == GN_ECLOSED, "a handle outlives its engine");
        for (unsigned k = 0; k < i; k++)
            hold(s->from == 0 || s->from != w.session[k].from, "two read the stream %u", s->from);
    }
}

static void machine(void *arg)
{
    input in = w.in;

    (void)arg;
    memset(&w, 0, sizeof w);
    w.in = in;
    take_options();
    uint8_t flags = next8(&w.in);
    if (!open_engine())
        return;
    w.server = gnp_sim_listen(PORT_SERVER, 8);
    if (flags & 1)
        open_pool();
    for (unsigned i = 0; i < CALLS_MAX && w.in.n > 0; i++) {
        uint8_t what = next8(&w.in);
        call(what, next8(&w.in));
    }
    if (flags & 2)
        gnp_sim_sleep(SECOND);
    close_all(flags & 4 ? 0 : 5 * SECOND);
    for (unsigned i = 0; i < w.peers; i++)
        gnp_sim_join(w.peer[i].thread);
    gnp_sim_server_close(w.server);
    check_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gnp_sim_config c;
    gnp_sim_result r;

    memset(&c, 0, sizeof c);
    w.in = (input){ data, size };
    uint8_t harm = next8(&w.in);
    c.seed = next16(&w.in);
    c.in_place = 1; /* libFuzzer must see the branches */
    c.limit_points = 3000000;
    c.trace = getenv("GANNET_SIM_TRACE") != NULL;
    gnp_sim_draw(&c.knobs, c.seed, harm & 1);
    if (harm & 2) { /* a network that is fast enough for long inputs */
        c.knobs.pipe_bytes = 65536;
        c.knobs.latency_ns = 1000;
    }
    gnp_sim_run(&c, machine, NULL, &r);
    return 0;
}
