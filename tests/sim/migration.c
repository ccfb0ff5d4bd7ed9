/* SPDX-License-Identifier: MIT */
/*
 * Connections that move between loops at any moment: while they are written to by the handles they had at
 * first, with copied, borrowed, awaited and file writes queued, with timers and deadlines set, paused,
 * piped (then they stay) and closing.  Each operation completes once; each writer's bytes arrive whole and
 * in order, all of those that completed well if the end is orderly; what the peer sends is read in order;
 * callbacks come on the loop that the connection is on; a handle leads to its connection until that has
 * closed, and then nowhere.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define CONNS 4
#define MOVERS 2
#define CHUNKS 24 /* of one writer */
#define HEAD 8
#define BODY_MAX 150
#define FILE_BYTES 1000
#define PATIENCE (600 * SECOND)

enum { LOCAL, REMOTE, WRITERS };
enum { STREAM, FROM_FILE };
enum { ENDS, WAITS, RESETS, WAYS }; /* of peers */
enum { NOT_ASKED, PENDING, GOOD, BAD };

typedef struct world world;

typedef struct session {
    world *world;
    unsigned id;
    int way, slow, mute;     /* mute: its peer sends nothing, so that it can be piped into others */
    size_t total;            /* bytes that the peer sends */
    uint64_t heard;          /* of them, by the server */
    gnp_sim_peer *peer;
    gn_handle first, handle; /* as it was at first; as it is now, 0 when it has closed */
    gn_loop *loop;
    struct session *partner; /* of a pipe */
    unsigned pipe_tests;
    int opened, closing, closed, gone, reason, eof, whole_heard;
    int paused;
    uint64_t read_at;        /* deadline; 0: none */
    uint64_t closing_at;
    uint32_t asked[WRITERS]; /* chunks */
    uint8_t status[WRITERS][CHUNKS];
    uint8_t got[WRITERS][CHUNKS];
    uint32_t next[WRITERS];
    unsigned pending;        /* of REMOTE */
} session;

struct world {
    gn_engine *engine;
    session sessions[CONNS];
    unsigned n;
    size_t left; /* bytes that may still be written */
    intptr_t file;
    int stopping, over;
    uint64_t asked, done, opened, closed, moved;
};

static unsigned char file_data[FILE_BYTES];

/* Why it may be gone though nobody here closed it. */
static int excused(const session *z)
{
    return z->closing || z->closed || z->gone || z->world->stopping || gnp_sim_faults() > 0;
}

static void close_begins(session *z)
{
    if (!z->closing)
        z->closing_at = gn_now();
    z->closing = 1;
}

static session *of(gn_conn *c)
{
    session *z = gn_conn_context(c);

    must(z != NULL && !z->closed, "a callback before the hello, or after on_close");
    must(gn_loop_current() == z->loop && gn_conn_loop(c) == z->loop, "a callback on another loop");
    must(gn_conn_from_handle(z->handle) == c, "its handle does not lead to it");
    return z;
}

/* ------------------------------------------------------------------- chunks */

static size_t file_offset(uint32_t number)
{
    return number * 37 % (FILE_BYTES - BODY_MAX);
}

static void head_put(unsigned char *p, size_t len, unsigned writer, int kind, uint32_t number)
{
    uint16_t n = (uint16_t)len;

    memcpy(p, &n, 2);
    p[2] = (unsigned char)writer;
    p[3] = (unsigned char)kind;
    memcpy(p + 4, &number, 4);
}

static void body_want(const session *z, const unsigned char *head, unsigned char *out, size_t n)
{
    uint32_t number;

    memcpy(&number, head + 4, 4);
    if (head[3] == FROM_FILE)
        memcpy(out, file_data + file_offset(number), n);
    else
        stream_fill(z->id << 20 ^ (uint32_t)head[2] << 16 ^ number, 0, out, n);
}

typedef struct chunk {
    session *session;
    unsigned writer;
    uint32_t number;
    size_t len;
    gn_iov iov[2];
    unsigned char bytes[HEAD + BODY_MAX];
} chunk;

/* The next one of that writer; NULL when it has written enough. */
static chunk *chunk_new(session *z, unsigned writer, int kind)
{
    size_t len = HEAD + (size_t)gnp_sim_below(one_in(3) ? BODY_MAX : 10) + (kind == FROM_FILE);
    chunk *k;

    if (z->asked[writer] == CHUNKS || len > z->world->left)
        return NULL;
    k = calloc(1, sizeof *k);
    must(k != NULL, "no memory");
    z->world->left -= len;
    k->session = z;
    k->writer = writer;
    k->number = z->asked[writer]++;
    k->len = len;
    head_put(k->bytes, len, writer, kind, k->number);
    body_want(z, k->bytes, k->bytes + HEAD, len - HEAD);
    k->iov[0] = (gn_iov){ k->bytes, 3 };
    k->iov[1] = (gn_iov){ k->bytes + 3, len - 3 };
    z->status[writer][k->number] = PENDING;
    return k;
}

static void chunk_end(chunk *k, int rc)
{
    session *z = k->session;

    gnp_sim_note("chunk", rc, k->number);
    must(z->status[k->writer][k->number] == PENDING, "a write completes twice");
    must(rc == GN_OK || gnp_sim_faults() > 0 || excused(z), "a write to %u: %s", z->id, gn_strerror(rc));
    z->status[k->writer][k->number] = rc == GN_OK ? GOOD : BAD;
    free(k);
}

/* The handle that a completion of an open connection comes with is the one that it has now. */
static void check_handle(const session *z, gn_handle h, int rc)
{
    gn_conn *c = gn_conn_from_handle(h);

    must(c == NULL || gn_conn_context(c) == z, "what was for %u came to another one", z->id);
    must(rc != GN_OK || z->closed || c != NULL, "a completion without a connection");
    must(c == NULL || z->closed || gn_loop_current() == z->loop, "a completion on another loop");
}

static void on_chunk(gn_handle h, int rc, void *arg)
{
    chunk *k = arg;
    session *z = k->session;

    check_handle(z, h, rc);
    z->world->done++;
    z->pending -= k->writer == REMOTE;
    chunk_end(k, rc);
}

static int send_part(gn_conn *c, chunk *k)
{
    int rc = gn_conn_write(c, k->bytes, HEAD);

    if (rc == GN_OK)
        rc = gn_conn_send_file(c, k->session->world->file, file_offset(k->number), k->len - HEAD, on_chunk,
                               k);
    if (rc != GN_OK)
        (void)gn_conn_abort(c); /* half a chunk */
    return rc;
}

/* On its loop, now and then. */
static void write_local(session *z, gn_conn *c)
{
    int kind = z->world->file >= 0 && one_in(4) ? FROM_FILE : STREAM, direct = 0, rc;
    chunk *k = chunk_new(z, LOCAL, kind);

    if (k == NULL)
        return;
    z->world->asked++;
    if (kind == FROM_FILE) {
        rc = send_part(c, k);
    } else if (one_in(2)) {
        rc = gn_conn_write_ref(c, k->iov, 2, on_chunk, k);
    } else {
        rc = gn_conn_writev(c, k->iov, 2);
        direct = 1;
    }
    if (rc != GN_OK || direct) {
        z->world->asked--;
        chunk_end(k, rc);
    }
}

static int write_remote(session *z, gn_handle h)
{
    chunk *k = chunk_new(z, REMOTE, STREAM);
    int rc;

    if (k == NULL)
        return 0;
    z->world->asked++;
    z->pending++;
    switch (gnp_sim_below(4)) {
    case 0: rc = gn_write(h, k->bytes, k->len, on_chunk, k); break;
    case 1: rc = gn_writev(h, k->iov, 2, on_chunk, k); break;
    case 2: rc = gn_write_ref(h, k->iov, 2, on_chunk, k); break;
    default: rc = gn_write_sent(h, k->iov, 2, on_chunk, k);
    }
    if (rc == GN_OK)
        return 1;
    z->world->asked--;
    z->pending--;
    chunk_end(k, rc);
    return 1;
}

/* -------------------------------------------------------------------- moves */

typedef struct move {
    session *session;
    unsigned to;
} move;

static void on_moved(gn_handle h, int rc, void *arg)
{
    move *m = arg;
    session *z = m->session;

    gnp_sim_note("moved", rc, m->to);
    z->world->done++;
    check_handle(z, rc == GN_OK ? GN_HANDLE_NONE : h, GN_ECLOSED);
    if (rc == GN_OK) {
        gn_conn *c = gn_conn_from_handle(h);
        must(c != NULL && gn_conn_context(c) == z, "the connection that has moved is not there");
        must(gn_loop_index(gn_loop_current()) == m->to, "it moved to another loop");
        must(!z->closed && z->partner == NULL, "it moved though it was piped or closed");
        z->handle = h;
        z->loop = gn_loop_current();
        z->world->moved++;
        if (one_in(3))
            write_local(z, c);
    } else if (rc == GN_EBUSY) {
        must(z->partner != NULL || excused(z), "busy for nothing");
    } else {
        must(gnp_sim_faults() > 0 || (rc == GN_ECLOSED && excused(z)), "a move: %s", gn_strerror(rc));
    }
    free(m);
}

static void ask_move(session *z, gn_handle h)
{
    world *w = z->world;
    move *m = calloc(1, sizeof *m);

    must(m != NULL, "no memory");
    *m = (move){ z, (unsigned)gnp_sim_below(gn_engine_loop_count(w->engine)) };
    w->asked++;
    int rc = gn_migrate(h, gn_engine_loop(w->engine, m->to), on_moved, m);
    if (rc == GN_OK)
        return;
    w->asked--;
    free(m);
    must(gnp_sim_faults() > 0 || w->stopping || (rc == GN_ECLOSED && excused(z)), "asking for a move: %s",
         gn_strerror(rc));
}

static gn_handle some_handle(const session *z)
{
    return one_in(2) ? z->first : z->handle;
}

/* -------------------------------------------------------------------- pipes */

/* Both have been asked to move while they were piped: neither may have. */
static void on_stayed(gn_handle h, int rc, void *arg)
{
    session *z = arg, *sink = z->partner;
    gn_conn *c = gn_conn_from_handle(h);

    gnp_sim_note("stayed", rc, 0);
    z->world->done++;
    must(rc == GN_EBUSY || (rc == GN_ECLOSED && (excused(z) || excused(sink))), "piped and moved: %s",
         gn_strerror(rc));
    if (--z->pipe_tests > 0)
        return;
    c = z->closed ? NULL : gn_conn_from_handle(z->handle);
    if (c != NULL)
        (void)gn_conn_unpipe(c); /* GN_EINVAL when the other one has closed */
    z->partner = sink->partner = NULL;
}

static void stay(session *z, session *piped)
{
    z->world->asked++;
    piped->pipe_tests++;
    unsigned to = (unsigned)gnp_sim_below(gn_engine_loop_count(z->world->engine));
    if (gn_migrate(z->handle, gn_engine_loop(z->world->engine, to), on_stayed, piped) != GN_OK) {
        z->world->asked--;
        piped->pipe_tests--;
    }
}

/* Pipes a mute one into another of its loop. */
static void try_pipe(session *z, gn_conn *c)
{
    world *w = z->world;
    session *to = &w->sessions[gnp_sim_below(w->n)];
    gn_conn *other = to == z || to->partner != NULL || to->handle == GN_HANDLE_NONE || to->loop != z->loop
                         ? NULL : gn_conn_from_handle(to->handle);

    if (!z->mute || z->partner != NULL || other == NULL)
        return;
    int rc = gn_conn_pipe(c, other);
    must(rc == GN_OK || gnp_sim_faults() > 0 || (rc == GN_ECLOSED && (excused(z) || excused(to))), "pipe: %s",
         gn_strerror(rc));
    if (rc != GN_OK)
        return;
    z->partner = to;
    to->partner = z;
    z->pipe_tests = 1; /* so that it does not end in between */
    stay(z, z);
    stay(to, z);
    if (--z->pipe_tests == 0) {
        (void)gn_conn_unpipe(c);
        z->partner = to->partner = NULL;
    }
}

/* ---------------------------------------------------------------- callbacks */

static gn_action on_open(gn_conn *c, void *user)
{
    (void)c;
    ((world *)user)->opened++;
    return GN_NONE;
}

static void resume(gn_handle h, int rc, void *arg)
{
    session *z = arg;
    gn_conn *c = gn_conn_from_handle(h);

    z->world->done++;
    z->paused = 0;
    check_handle(z, h, rc);
    must(rc == GN_OK || gnp_sim_faults() > 0 || excused(z), "a timer of %u: %s", z->id, gn_strerror(rc));
    if (c != NULL && !z->closed) {
        (void)gn_conn_resume(c);
        write_local(z, c);
    }
}

static void pause_for_a_while(session *z, gn_conn *c)
{
    if (z->paused || gn_conn_pause(c) != GN_OK)
        return;
    z->paused = 1;
    z->world->asked++;
    if (gn_schedule(gn_conn_handle(c), gnp_sim_below(30) * MS, resume, z, NULL) != GN_OK) {
        z->world->asked--;
        z->paused = 0;
        (void)gn_conn_resume(c);
    }
}

static void do_something(session *z, gn_conn *c)
{
    switch (gnp_sim_below(8)) {
    case 0: pause_for_a_while(z, c); break;
    case 1: ask_move(z, some_handle(z)); break;
    case 2: try_pipe(z, c); break;
    case 3: {
        uint64_t ns = gnp_sim_below(50) * MS;
        if (gn_conn_set_read_deadline(c, ns) == GN_OK)
            z->read_at = ns != 0 ? gn_now() + ns : 0;
        break;
    }
    default: write_local(z, c);
    }
}

static session *hello(world *w, gn_conn *c)
{
    unsigned char id;
    session *z;

    if (gn_conn_read(c, &id, 1) == 0)
        return NULL;
    must(id < w->n, "hello of %u", id);
    z = &w->sessions[id];
    must(!z->opened, "two hellos of %u", id);
    gn_conn_set_context(c, z);
    z->loop = gn_conn_loop(c);
    z->first = z->handle = gn_conn_handle(c);
    z->opened = 1;
    return z;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c) != NULL ? of(c) : hello(user, c);
    const unsigned char *p;
    size_t n;

    if (z == NULL)
        return GN_NONE;
    must(!z->paused, "on_traffic of %u, which has paused", z->id);
    p = gn_conn_peek(c, &n);
    if (n > 1 && one_in(4))
        n /= 2; /* the rest goes with it */
    for (size_t i = 0; i < n; i++, z->heard++)
        must(p[i] == stream_byte(z->id, z->heard), "byte %llu of %u is another one",
             (unsigned long long)z->heard, z->id);
    must(z->heard <= z->total, "%u sent %zu bytes, %llu came", z->id, z->total, (unsigned long long)z->heard);
    (void)gn_conn_discard(c, n);
    do_something(z, c);
    return GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    const unsigned char *p;
    size_t n;
    session *z;

    (void)user;
    if (gn_conn_context(c) == NULL)
        return GN_CLOSE;
    z = of(c);
    must(!z->eof, "on_eof twice");
    z->eof = 1;
    p = gn_conn_peek(c, &n);
    for (size_t i = 0; i < n; i++, z->heard++)
        must(p[i] == stream_byte(z->id, z->heard), "byte %llu of %u is another one",
             (unsigned long long)z->heard, z->id);
    (void)gn_conn_discard(c, n);
    must(z->heard == z->total || gnp_sim_faults() > 0 || z->gone, "%u sent %zu bytes, %llu came", z->id,
         z->total, (unsigned long long)z->heard);
    return GN_NONE;
}

static gn_action on_timeout(gn_conn *c, gn_timeout which, void *user)
{
    session *z = of(c);

    (void)user;
    must(which == GN_TIMEOUT_READ && z->read_at != 0, "a deadline that was not set");
    must(gn_now() >= z->read_at, "a deadline fires %llu ns early",
         (unsigned long long)(z->read_at - gn_now()));
    z->read_at = 0;
    do_something(z, c);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    world *w = user;
    session *z = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    w->closed++;
    if (z == NULL)
        return GN_NONE;
    must(!z->closed, "on_close twice");
    must(excused(z), "%u is closed with %s for nothing", z->id, gn_strerror(reason));
    must(gn_loop_current() == z->loop || gnp_sim_faults() > 0 || w->stopping, "on_close on another loop");
    /* A close that waits for its queue has a time of its own instead. */
    must(z->read_at == 0 || gnp_sim_faults() > 0 || w->stopping ||
             (z->closing ? z->closing_at : gn_now()) <
                 z->read_at + (gnp_sim_knobs_now()->slow_call > 0 ? 60 * SECOND : 100 * MS),
         "a deadline did not fire");
    if (z->partner != NULL)
        close_begins(z->partner);
    z->whole_heard = z->heard + gn_conn_inbound(c) == z->total;
    z->closed = 1;
    z->reason = reason;
    z->handle = GN_HANDLE_NONE;
    return GN_NONE;
}

/* ------------------------------------------------------------------ threads */

static void nothing(gn_handle h, int rc, void *arg)
{
    session *z = arg;

    z->world->done++;
    must(rc == GN_ECLOSED && gn_conn_from_handle(h) == NULL,
         "a handle of a closed connection leads somewhere");
}

static void on_gone(gn_handle h, int rc, void *arg)
{
    session *z = arg;

    (void)h;
    gnp_sim_note("gone", rc, z->id);
    z->world->done++;
    must(rc == GN_OK || rc == GN_ECLOSED, "close: %s", gn_strerror(rc));
    /* A loop that ends takes the ways along that lead over it, and may end before the connection does. */
    must(z->closed || (z->world->stopping && rc == GN_ECLOSED),
         "%u is told that it has closed (%s), but it has not", z->id, gn_strerror(rc));
}

static void ask_close(session *z)
{
    world *w = z->world;

    close_begins(z);
    w->asked++;
    int rc = gn_close(some_handle(z), on_gone, z);
    if (rc != GN_OK) {
        w->asked--;
        must(gnp_sim_faults() > 0 || z->closed || w->stopping, "asking to close: %s", gn_strerror(rc));
    }
}

static void wait_until(const int *flag, const world *w, uint64_t most)
{
    for (uint64_t t = 0; t < most && !*flag && !w->stopping && gnp_sim_faults() == 0; t += 10 * MS)
        gnp_sim_sleep(10 * MS);
}

/* Writes by the handle that the connection had at first, or now and then by the newest. */
static void writer_run(void *arg)
{
    session *z = arg;
    world *w = z->world;
    gn_handle h;

    wait_until(&z->opened, w, 20 * SECOND);
    h = z->first;
    while (h != GN_HANDLE_NONE && !z->closed && write_remote(z, h)) {
        if (one_in(2))
            gnp_sim_sleep(gnp_sim_below(10) * MS);
        if (z->pending == 0 && z->handle != GN_HANDLE_NONE)
            h = some_handle(z); /* with nothing under way, the order is the same by any of them */
    }
    if (h == GN_HANDLE_NONE)
        return;
    if (!z->mute && z->way == ENDS)
        wait_until(&z->eof, w, 100 * SECOND);
    else
        gnp_sim_sleep(gnp_sim_below(300) * MS);
    for (unsigned i = 0; i < 6000 && z->pending > 0 && !excused(z); i++)
        gnp_sim_sleep(10 * MS); /* its peer reads */
    must(z->pending == 0 || excused(z), "%u: %u writes do not complete", z->id, z->pending);
    ask_close(z);
    wait_until(&z->closed, w, 100 * SECOND);
    if (z->closed) {
        w->asked++;
        if (gn_execute(z->first, nothing, z) != GN_OK)
            w->asked--;
    }
}

static void mover_run(void *arg)
{
    world *w = arg;

    for (unsigned n = (unsigned)gnp_sim_below(40); n > 0; n--) {
        session *z = &w->sessions[gnp_sim_below(w->n)];
        if (z->handle != GN_HANDLE_NONE)
            ask_move(z, some_handle(z));
        if (one_in(2))
            gnp_sim_sleep(gnp_sim_below(one_in(4) ? 20 * MS : MS / 10));
    }
}

/* -------------------------------------------------------------------- peers */

static void peer_sends(void *arg)
{
    session *z = arg;
    unsigned char part[100], id = (unsigned char)z->id;
    size_t at = 0;

    if (gnp_sim_send(z->peer, &id, 1, NULL) != 0)
        return;
    while (at < z->total) {
        size_t n = 1 + (size_t)gnp_sim_below(sizeof part);
        n = n < z->total - at ? n : z->total - at;
        stream_fill(z->id, at, part, n);
        if (gnp_sim_send(z->peer, part, n, NULL) != 0)
            return;
        at += n;
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(20) * MS);
    }
    if (z->way == ENDS && !z->mute)
        gnp_sim_half_close(z->peer);
}

static size_t take(session *z, unsigned char *buf, size_t have)
{
    unsigned char want[BODY_MAX];
    uint16_t len;
    uint32_t number;

    while (have >= HEAD) {
        memcpy(&len, buf, 2);
        memcpy(&number, buf + 4, 4);
        must(len >= HEAD && len <= HEAD + BODY_MAX && buf[2] < WRITERS && number < CHUNKS, "%u: no chunk",
             z->id);
        if (have < len)
            break;
        must(number >= z->next[buf[2]] && number < z->asked[buf[2]], "%u: chunk %u of writer %u after %u",
             z->id, number, buf[2], z->next[buf[2]] - 1);
        body_want(z, buf, want, len - (size_t)HEAD);
        must(memcmp(buf + HEAD, want, len - (size_t)HEAD) == 0, "%u: chunk %u of writer %u is torn", z->id,
             number, buf[2]);
        z->next[buf[2]] = number + 1;
        z->got[buf[2]][number] = 1;
        memmove(buf, buf + len, have - len);
        have -= len;
    }
    return have;
}

static int64_t peer_reads(session *z)
{
    unsigned char buf[2 * (HEAD + BODY_MAX)];
    uint64_t until = gnp_now() + gnp_sim_below(300) * MS;
    size_t have = 0;
    int64_t k = 1;

    while (k > 0 && (z->way != RESETS || gnp_now() < until)) {
        size_t cap = z->slow ? 1 + (size_t)gnp_sim_below(20) : sizeof buf - have;
        k = gnp_sim_recv(z->peer, buf + have, cap < sizeof buf - have ? cap : sizeof buf - have,
                         z->way == RESETS ? 300 * MS : PATIENCE);
        if (k > 0)
            have = take(z, buf, have + (size_t)k);
        if (z->slow && one_in(3))
            gnp_sim_sleep(gnp_sim_below(50) * MS);
    }
    must(k != GNP_SIM_TIMEOUT || z->way == RESETS, "%u waits for ever", z->id);
    return k;
}

static void peer_run(void *arg)
{
    session *z = arg;
    char addr[GN_ADDR_TEXT_MAX];
    int64_t k;

    peer_address(z->world->engine, 0, addr, sizeof addr);
    z->peer = gnp_sim_connect(addr, NULL);
    if (z->peer == NULL) {
        must(gnp_sim_faults() > 0 || z->world->stopping, "connect fails");
        return;
    }
    gnp_sim_thread *t = gnp_sim_spawn(peer_sends, z, "sends");
    k = peer_reads(z);
    z->gone = 1;
    if (z->way == RESETS)
        gnp_sim_reset(z->peer);
    gnp_sim_join(t);
    if (k == GNP_SIM_EOF && z->way != RESETS && gnp_sim_faults() == 0)
        z->whole_heard += 2; /* read to the end */
    gnp_sim_close(z->peer, 0);
}

/* --------------------------------------------------------------------- world */

static void check_session(const session *z)
{
    int whole = z->reason == GN_OK || z->reason == GN_EOF;
    int orderly = whole || z->reason == GN_ESHUTDOWN;

    for (unsigned w = 0; w < WRITERS; w++) {
        for (uint32_t i = 0; i < z->asked[w]; i++) {
            must(z->status[w][i] != PENDING, "%u: chunk %u of writer %u did not complete", z->id, i, w);
            if (gnp_sim_faults() > 0)
                continue;
            /* What is in flight when the connection is cut may arrive although nobody hears of it. */
            must(z->status[w][i] == GOOD || !z->got[w][i] || (!whole && gnp_sim_knobs_now()->late_send != 0),
                 "%u: chunk %u of writer %u failed, but arrived", z->id, i, w);
            must(z->got[w][i] || z->status[w][i] != GOOD || z->whole_heard != 3 || !orderly,
                 "%u: chunk %u of writer %u was sent, but did not arrive; %s", z->id, i, w,
                 gn_strerror(z->reason));
        }
    }
}

static void draw_world(world *w, gn_options *o)
{
    size_t pipe = gnp_sim_knobs_now()->pipe_bytes;

    draw_options(o);
    if (o->loops == 1 && !one_in(8))
        o->loops = 3;
    if (o->outbound_high < 5000)
        o->inbound_max = 20000; /* one small bound at a time */
    w->n = 1 + (unsigned)gnp_sim_below(CONNS);
    w->left = 300 * pipe < 8000 ? 300 * pipe : 8000; /* each byte may be an event */
    for (unsigned i = 0; i < w->n; i++) {
        session *z = &w->sessions[i];
        z->world = w;
        z->id = i;
        z->way = one_in(2) ? ENDS : (int)gnp_sim_below(WAYS);
        z->slow = one_in(4);
        z->mute = one_in(4);
        z->total = z->mute ? 0 : (size_t)gnp_sim_below(100 * pipe < 2000 ? 100 * pipe : 2000);
    }
}

static void play(world *w)
{
    crew peers = { .n = 0 }, threads = { .n = 0 };
    unsigned movers = 1 + (unsigned)gnp_sim_below(MOVERS);

    for (unsigned i = 0; i < w->n; i++) {
        crew_add(&peers, peer_run, &w->sessions[i], "peer");
        crew_add(&threads, writer_run, &w->sessions[i], "writer");
    }
    for (unsigned i = 0; i < movers; i++)
        crew_add(&threads, mover_run, w, "mover");
    if (one_in(3)) {
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        w->stopping = 1;
        (void)gn_engine_stop(w->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&threads);
    w->stopping = 1;
    (void)gn_engine_stop(w->engine, 60 * SECOND);
    crew_join(&peers);
    finish(w->engine, SECOND);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_timeout = on_timeout,
        .on_close = on_close
    };
    world w = { .file = -1 };
    gn_options o;

    (void)arg;
    draw_world(&w, &o);
    stream_fill(99, 0, file_data, sizeof file_data);
    gnp_sim_file("/file", file_data, sizeof file_data);
    if (gnp_file_open(&w.file, "/file") != GNP_OK)
        w.file = -1;
    w.engine = serve(&handler, &w, &o, draw_stream_address());
    if (w.engine != NULL) {
        play(&w);
        must(w.asked == w.done, "%llu operations were asked for, %llu completed", (unsigned long long)w.asked,
             (unsigned long long)w.done);
        must(w.opened == w.closed, "%llu opened, %llu closed", (unsigned long long)w.opened,
             (unsigned long long)w.closed);
        for (unsigned i = 0; i < w.n; i++)
            check_session(&w.sessions[i]);
        gnp_sim_note("moves", (int64_t)w.moved, 0);
    }
    if (w.file >= 0)
        gnp_descriptor_close(w.file);
}

const scenario scenario_migration = { "migration", run };
