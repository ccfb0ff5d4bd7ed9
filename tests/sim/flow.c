/* SPDX-License-Identifier: MIT */
/*
 * Flow: a server that writes a stream to each peer as fast as the marks let it, and reads one, with
 * pauses, under small budgets of connections, loops and the engine, and with deadlines.  Peers read at
 * once, stall for a while, or are silent.  Budgets hold whenever somebody looks; a write is refused only
 * where it would have passed one; on_writable comes after the high mark was passed and not before the low
 * one is reached, on_drained when nothing is left; nobody is read who has paused; deadlines fire in time
 * and never early, and what they mean happens; in the end all bytes of both ways have arrived in order.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 5
#define CHUNK_MAX 1500
#define PATIENCE (600 * SECOND)
#define TOLERANCE (10 * MS) /* of deadlines: ticks of a millisecond, rounded up, and some work in between */

enum { READS, STALLS, SILENT, WAYS }; /* of peers */

typedef struct world world;

typedef struct session {
    world *world;
    unsigned id;
    int way, slow, refused;
    size_t in_total, out_total, in, out; /* in and out so far, by the server */
    size_t high, low, outbound_max, inbound_max;
    int own_marks;
    gn_handle handle;
    int open, closed, eof, paused, over, unsent, scheduled, timed_out;
    uint64_t moved_at;                   /* the last time a byte is known to have moved */
    uint64_t idle_ns, read_at, write_at; /* 0: none */
    unsigned idle_fired;
    int cut_by, reason; /* the deadline that has closed it */
    size_t got;         /* by the peer */
} session;

struct world {
    gn_engine *engine;
    session sessions[PEERS];
    unsigned n;
    gn_options o;
    size_t slack; /* that budgets of bytes may be passed by */
    int stopping, over, exact;
    uint64_t asked, done, opened, closed;
};

static int disturbed(const world *w)
{
    return gnp_sim_faults() > 0 || w->stopping;
}

static int budgeted(const world *w)
{
    return w->o.loop_bytes_max != 0 || w->o.engine_bytes_max != 0;
}

static void check_budgets(const world *w)
{
    gn_stats s = { .size = sizeof s };

    must(gn_engine_stats(w->engine, &s) == GN_OK, "no statistics");
    must(w->o.engine_bytes_max == 0 || s.bytes_held <= w->o.engine_bytes_max + w->slack,
         "%llu bytes are held by the engine, at most %zu are allowed", (unsigned long long)s.bytes_held,
         w->o.engine_bytes_max);
    for (unsigned i = 0; i < gn_engine_loop_count(w->engine); i++) {
        s.size = sizeof s;
        must(gn_engine_loop_stats(w->engine, i, &s) == GN_OK, "no statistics of loop %u", i);
        must(w->o.loop_bytes_max == 0 || s.bytes_held <= w->o.loop_bytes_max + w->slack,
             "%llu bytes are held by loop %u, at most %zu are allowed", (unsigned long long)s.bytes_held, i,
             w->o.loop_bytes_max);
    }
}

static void check_conn(const session *z, gn_conn *c)
{
    must(gn_conn_outbound(c) <= z->outbound_max, "%u: %zu bytes unsent, at most %zu are allowed", z->id,
         gn_conn_outbound(c), z->outbound_max);
    must(gn_conn_inbound(c) <= z->inbound_max + z->world->o.read_buffer || gnp_sim_faults() > 0,
         "%u: %zu bytes unread, at most %zu are allowed", z->id, gn_conn_inbound(c), z->inbound_max);
    must(!z->closed && gn_conn_handle(c) == z->handle, "a callback of another connection");
}

/* ------------------------------------------------------------------- writing */

static void go_on(session *z, gn_conn *c);

static void on_time(gn_handle h, int rc, void *arg)
{
    session *z = arg;
    gn_conn *c = gn_conn_from_handle(h);

    z->world->done++;
    z->scheduled = 0;
    must(rc == GN_OK || z->closed || disturbed(z->world), "a timer: %s", gn_strerror(rc));
    if (c == NULL || z->closed)
        return;
    if (z->paused) {
        z->paused = 0;
        must(gn_conn_resume(c) == GN_OK || z->over || disturbed(z->world), "resume fails");
    }
    go_on(z, c);
}

static void later(session *z, uint64_t ns)
{
    if (z->scheduled)
        return;
    z->world->asked++;
    z->scheduled = 1;
    if (gn_schedule(z->handle, ns, on_time, z, NULL) == GN_OK)
        return;
    z->world->asked--;
    z->scheduled = 0;
    must(disturbed(z->world), "no timer");
    if (gn_conn_from_handle(z->handle) != NULL)
        (void)gn_conn_abort(gn_conn_from_handle(z->handle)); /* nothing would bring it on */
}

/* 1 when it was taken. */
static int write_one(session *z, gn_conn *c)
{
    unsigned char buf[CHUNK_MAX];
    size_t n = 1 + (size_t)gnp_sim_below(one_in(2) ? CHUNK_MAX : 40), before = gn_conn_outbound(c);

    n = n < z->out_total - z->out ? n : z->out_total - z->out;
    stream_fill(z->id * 2 + 1, z->out, buf, n);
    z->out += n; /* before: the peer may have it before the call returns */
    int rc = gn_conn_write(c, buf, n);
    gnp_sim_note("write", rc, (int64_t)n);
    check_conn(z, c);
    if (before + n > z->high)
        z->over = 1;
    if (rc == GN_OK) {
        z->unsent = 1;
        return 1;
    }
    z->out -= n;
    must(rc == GN_ELIMIT || disturbed(z->world) || z->cut_by != 0, "%u: a write: %s", z->id, gn_strerror(rc));
    must(rc != GN_ELIMIT || before + n > z->outbound_max || budgeted(z->world) || gnp_sim_faults() > 0,
         "%u: a write of %zu is refused with %zu unsent of %zu", z->id, n, before, z->outbound_max);
    return 0;
}

/* One write a time; the marks, or a timer, bring the next. */
static void go_on(session *z, gn_conn *c)
{
    check_conn(z, c);
    if (z->out == z->out_total && z->eof && z->way != SILENT) {
        z->read_at = 0; /* the time of the close counts from now on */
        (void)gn_conn_close(c);
        return;
    }
    if (z->out == z->out_total || z->cut_by != 0)
        return;
    if (!gn_conn_is_writable(c)) {
        must(z->over || disturbed(z->world), "%u: not writable with %zu unsent", z->id, gn_conn_outbound(c));
        return; /* on_writable comes */
    }
    later(z, write_one(z, c) ? gnp_sim_below(3) * MS : MS);
}

/* ---------------------------------------------------------------- callbacks */

static gn_action on_open(gn_conn *c, void *user)
{
    (void)c;
    ((world *)user)->opened++;
    return GN_NONE;
}

static void marks_of_engine(session *z)
{
    const gn_options *o = &z->world->o;

    z->high = o->outbound_high;
    z->low = o->outbound_low != 0 ? o->outbound_low : z->high / 2;
}

static void set_up(session *z, gn_conn *c)
{
    if (z->own_marks && gn_conn_set_watermarks(c, z->high, z->low) != GN_OK) {
        must(gnp_sim_faults() > 0, "marks are refused");
        marks_of_engine(z);
    } else if (z->own_marks) {
        must(gn_conn_set_limits(c, z->inbound_max, z->outbound_max) == GN_OK || gnp_sim_faults() > 0,
             "limits are refused");
    }
    if (gnp_sim_faults() > 0)
        z->outbound_max = z->inbound_max = SIZE_MAX / 2;
    if (z->way == SILENT && gn_conn_set_idle_timeout(c, 20 * MS) == GN_OK)
        z->idle_ns = 20 * MS;
}

static void set_deadlines(session *z, gn_conn *c)
{
    uint64_t ns = (1 + gnp_sim_below(60)) * MS;

    if (one_in(6) && gn_conn_set_read_deadline(c, ns) == GN_OK)
        z->read_at = gn_now() + ns;
    if (one_in(6) && gn_conn_set_write_deadline(c, ns) == GN_OK)
        z->write_at = gn_now() + ns;
}

static session *hello(world *w, gn_conn *c)
{
    unsigned char id;
    session *z;

    if (gn_conn_read(c, &id, 1) == 0)
        return NULL;
    must(id < w->n && !w->sessions[id].open, "a hello of %u", id);
    z = &w->sessions[id];
    z->open = 1;
    z->handle = gn_conn_handle(c);
    gn_conn_set_context(c, z);
    set_up(z, c);
    return z;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c) != NULL ? gn_conn_context(c) : hello(user, c);
    const unsigned char *p;
    size_t n;

    if (z == NULL)
        return GN_NONE;
    must(!z->paused, "%u is read while it has paused", z->id);
    check_conn(z, c);
    z->moved_at = gn_now();
    p = gn_conn_peek(c, &n);
    if (one_in(8) && gn_conn_pause(c) == GN_OK) { /* all, or part of it, is left for then */
        z->paused = 1;
        n = one_in(2) ? 0 : n / 2;
    }
    for (size_t i = 0; i < n; i++, z->in++)
        must(p[i] == stream_byte(z->id * 2, z->in), "%u: byte %zu is another one", z->id, z->in);
    must(z->in <= z->in_total, "%u: more came than was sent", z->id);
    (void)gn_conn_discard(c, n);
    set_deadlines(z, c);
    go_on(z, c);
    if (z->paused) {
        later(z, gnp_sim_below(20) * MS);
        if (!z->scheduled) {
            z->paused = 0;
            (void)gn_conn_resume(c);
        }
    }
    return GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c);

    (void)user;
    if (z == NULL)
        return GN_CLOSE;
    must(!z->eof, "on_eof twice");
    must(z->in + gn_conn_inbound(c) == z->in_total || gnp_sim_faults() > 0, "%u: the end after %zu of %zu",
         z->id, z->in, z->in_total);
    z->eof = 1;
    z->moved_at = gn_now();
    go_on(z, c);
    return GN_NONE;
}

static gn_action on_writable(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c);

    (void)user;
    gnp_sim_note("on_writable", (int64_t)gn_conn_outbound(c), 0);
    must(z->over, "%u: on_writable, but it was never above the high mark", z->id);
    must(gn_conn_outbound(c) <= z->low, "%u: on_writable with %zu unsent, the mark is at %zu", z->id,
         gn_conn_outbound(c), z->low);
    must(gn_conn_is_writable(c) || disturbed(z->world), "%u: on_writable, but it is not", z->id);
    z->over = 0;
    go_on(z, c);
    return GN_NONE;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    session *z = gn_conn_context(c);

    (void)user;
    gnp_sim_note("on_drained", (int64_t)gn_conn_outbound(c), 0);
    must(z->unsent, "%u: on_drained, but nothing was written", z->id);
    must(gn_conn_outbound(c) == 0, "%u: on_drained with %zu unsent", z->id, gn_conn_outbound(c));
    z->unsent = 0;
    go_on(z, c);
    return GN_NONE;
}

static void check_deadline(const session *z, uint64_t at, const char *which)
{
    must(at != 0, "%u: a %s deadline that was not set", z->id, which);
    must(gn_now() >= at, "%u: a %s deadline fires %llu ns early", z->id, which,
         (unsigned long long)(at - gn_now()));
    must(!z->world->exact || gn_now() <= at + TOLERANCE, "%u: a %s deadline fires %llu ns late", z->id, which,
         (unsigned long long)(gn_now() - at));
}

static gn_action on_timeout(gn_conn *c, gn_timeout which, void *user)
{
    session *z = gn_conn_context(c);
    (void)user;
    gnp_sim_note("on_timeout", which, 0);
    check_conn(z, c);
    if (which == GN_TIMEOUT_READ) {
        check_deadline(z, z->read_at, "read");
        z->read_at = 0;
        return GN_NONE;
    }
    if (which == GN_TIMEOUT_WRITE) {
        check_deadline(z, z->write_at, "write");
        must(gn_conn_outbound(c) > 0, "%u: a write deadline with nothing unsent", z->id);
        z->write_at = 0;
    } else {
        check_deadline(z, z->idle_ns != 0 ? z->moved_at + z->idle_ns : 0, "idle");
        z->moved_at = gn_now();
        if (z->idle_fired++ == 0)
            return GN_NONE; /* it starts anew */
    }
    if (which == GN_TIMEOUT_WRITE && one_in(2))
        return GN_NONE;
    z->cut_by = which;
    z->read_at = 0;
    return GN_CLOSE;
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
    must(disturbed(w) || (reason == GN_ETIMEDOUT) == (z->cut_by != 0), "%u: closed with %s", z->id,
         gn_strerror(reason));
    must(disturbed(w) || z->cut_by != 0 || (z->eof && z->out == z->out_total),
         "%u: closed with %s for nothing", z->id, gn_strerror(reason));
    must(!w->exact || disturbed(w) || z->read_at == 0 || gn_now() <= z->read_at + TOLERANCE,
         "%u: a read deadline did not fire", z->id);
    z->closed = 1;
    z->reason = reason;
    return GN_NONE;
}

/* -------------------------------------------------------------------- peers */

typedef struct talk {
    session *session;
    gnp_sim_peer *peer;
} talk;

static void peer_sends(void *arg)
{
    const talk *t = arg;
    session *z = t->session;
    unsigned char part[600], id = (unsigned char)z->id;
    size_t at = 0;

    if (gnp_sim_send(t->peer, &id, 1, NULL) != 0)
        return;
    while (at < z->in_total) {
        size_t n = 1 + (size_t)gnp_sim_below(sizeof part);
        n = n < z->in_total - at ? n : z->in_total - at;
        stream_fill(z->id * 2, at, part, n);
        if (gnp_sim_send(t->peer, part, n, NULL) != 0)
            return;
        at += n;
        if (one_in(4))
            gnp_sim_sleep(gnp_sim_below(20) * MS);
    }
    if (z->way != SILENT)
        gnp_sim_half_close(t->peer);
}

static void peer_reads(const talk *t)
{
    session *z = t->session;
    unsigned char part[800], want[800];
    int64_t n;

    while ((n = gnp_sim_recv(t->peer, part, z->slow ? 100 : sizeof part, PATIENCE)) > 0) {
        stream_fill(z->id * 2 + 1, z->got, want, (size_t)n);
        must(memcmp(part, want, (size_t)n) == 0, "%u: bytes after %zu are other ones", z->id, z->got);
        z->got += (size_t)n;
        must(z->got <= z->out_total, "%u: more comes than was written", z->id);
        if (z->slow && one_in(3))
            gnp_sim_sleep(gnp_sim_below(10) * MS);
    }
    must(n != GNP_SIM_TIMEOUT, "%u waits for ever: %zu of %zu bytes, %zu written", z->id, z->got,
         z->out_total, z->out);
    if (disturbed(z->world) || z->cut_by != 0)
        return;
    if (!z->open && z->world->o.overload == GN_OVERLOAD_REFUSE && budgeted(z->world))
        return; /* came at a bad time, and was reset: its sender or its reader was told */
    must(n == GNP_SIM_EOF && z->got == z->out_total, "%u: ends (%lld) after %zu of %zu bytes", z->id,
         (long long)n, z->got, z->out_total);
}

static void peer_run(void *arg)
{
    talk t = { arg, NULL };
    session *z = arg;
    char addr[GN_ADDR_TEXT_MAX];

    peer_address(z->world->engine, 0, addr, sizeof addr);
    gnp_sim_sleep(gnp_sim_below(20) * MS);
    t.peer = gnp_sim_connect(addr, NULL);
    if (t.peer == NULL) {
        must(disturbed(z->world), "connect fails");
        return;
    }
    gnp_sim_thread *s = gnp_sim_spawn(peer_sends, &t, "sends");
    if (z->way == STALLS)
        gnp_sim_sleep(gnp_sim_below(500) * MS);
    peer_reads(&t);
    gnp_sim_join(s);
    gnp_sim_close(t.peer, 0);
}

static void watch_run(void *arg)
{
    world *w = arg;

    while (!w->over) {
        check_budgets(w);
        gnp_sim_sleep(gnp_sim_below(5) * MS);
    }
}

/* --------------------------------------------------------------------- world */

static void draw_session(session *z, world *w, unsigned id)
{
    size_t pipe = gnp_sim_knobs_now()->pipe_bytes;
    size_t cap = budgeted(w) && pipe < 4096 ? 30000 : 10000; /* the former to fill the budgets */
    size_t most = 150 * pipe < cap ? 150 * pipe : cap; /* each byte may be an event */

    z->world = w;
    z->id = id;
    z->way = one_in(2) ? READS : (int)gnp_sim_below(WAYS);
    z->slow = one_in(3);
    z->in_total = z->way == SILENT ? 0 : (size_t)gnp_sim_below(most / 3 + 1);
    z->out_total = z->way == SILENT ? 0 : (size_t)gnp_sim_below(most + 1);
    marks_of_engine(z);
    z->inbound_max = w->o.inbound_max;
    z->outbound_max = w->o.outbound_max;
    z->own_marks = one_in(3);
    if (z->own_marks) {
        z->high = 1 + (size_t)gnp_sim_below(3000);
        z->low = (size_t)gnp_sim_below(z->high + 1);
        z->outbound_max = CHUNK_MAX + (size_t)gnp_sim_below(5000);
        z->inbound_max = 1 + (size_t)gnp_sim_below(3000);
    }
}

static void draw_world(world *w)
{
    static const size_t most[] = { CHUNK_MAX, 5000, 1 << 26 };
    static const size_t bytes[] = { 4096, 10000, 40000 };

    draw_options(&w->o);
    w->o.outbound_max = pick(most, 3);
    if (w->o.outbound_high > w->o.outbound_max)
        w->o.outbound_high = w->o.outbound_max;
    if (one_in(2))
        w->o.outbound_low = (size_t)gnp_sim_below(w->o.outbound_high);
    if (one_in(3))
        w->o.loop_bytes_max = pick(bytes, 3);
    if (one_in(3))
        w->o.engine_bytes_max = pick(bytes, 3);
    w->o.overload = one_in(2) ? GN_OVERLOAD_WAIT : GN_OVERLOAD_REFUSE;
    w->o.close_timeout_ns = PATIENCE; /* a pipe of some bytes and 200 ms takes longer than its 30 s */
    if (budgeted(w))
        w->o.read_buffer = 1024;
    w->n = 1 + (unsigned)gnp_sim_below(PEERS);
    /* Who holds nothing may still begin: each with a write, and a read, in the next power of two. */
    w->slack = w->n * (size_t)4096;
    w->exact = gnp_sim_knobs_now()->slow_call == 0;
    for (unsigned i = 0; i < w->n; i++)
        draw_session(&w->sessions[i], w, i);
}

static void play(world *w)
{
    crew peers = { .n = 0 }, watch = { .n = 0 };

    for (unsigned i = 0; i < w->n; i++)
        crew_add(&peers, peer_run, &w->sessions[i], "peer");
    crew_add(&watch, watch_run, w, "watch");
    if (one_in(6)) {
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        w->stopping = 1;
        (void)gn_engine_stop(w->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&peers);
    w->stopping = w->over = 1;
    crew_join(&watch);
    finish(w->engine, SECOND);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_close = on_close,
        .on_writable = on_writable, .on_drained = on_drained, .on_timeout = on_timeout
    };
    world w = { 0 };

    (void)arg;
    draw_world(&w);
    w.engine = serve(&handler, &w, &w.o, draw_stream_address());
    if (w.engine == NULL)
        return;
    play(&w);
    must(w.asked == w.done, "%llu operations were asked for, %llu completed", (unsigned long long)w.asked,
         (unsigned long long)w.done);
    must(w.opened == w.closed, "%llu opened, %llu closed", (unsigned long long)w.opened,
         (unsigned long long)w.closed);
}

const scenario scenario_flow = { "flow", run };
