/* SPDX-License-Identifier: MIT */
/*
 * A chat: what a member or a thread says goes to every member, by handle from callbacks of other loops and
 * from threads, directly where both are of one loop.  Members join, leave, reset, stall and read slowly.
 * What a member reads is a prefix of the messages that were queued for it, in that order, and all of them
 * if it stayed to the end; each sender's messages are in the order of saying; a message is refused only
 * where it would have passed that member's own outbound_max, and who is refused is closed, or does without
 * that message, and nobody else.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS 6
#define THREADS 3
#define SENDERS (MEMBERS + THREADS)
#define HEAD 8
#define SAY_MAX 120
#define PATIENCE (600 * SECOND)

enum { STAYS, HALF, LEAVES, RESETS, STALLS, WAYS }; /* of members */

typedef struct saying {
    uint32_t sender, number;
} saying;

typedef struct room room;

typedef struct member {
    room *room;
    uint32_t id;
    int way, slow;
    uint32_t says;      /* as many messages of its own */
    uint64_t wanted;    /* that it reads before it goes */
    gnp_sim_peer *peer;
    gn_handle handle;   /* from its hello to its end */
    gn_loop *loop;
    int direct;         /* it reaches others of its loop without a handle */
    int joined, closing, closed, gone, reason;
    uint32_t heard;     /* of its own, by the server */
    int whole_heard;    /* all that it sent was read before it closed */
    saying *log;        /* what was queued for it */
    size_t logged, cap;
    uint32_t next[SENDERS]; /* least number that each sender may still have for it */
    uint64_t got, shed;
} member;

struct room {
    gn_engine *engine;
    member members[MEMBERS];
    unsigned n;
    uint32_t said[SENDERS];
    size_t left;        /* bytes that may still be said */
    size_t outbound_max;
    int closes;         /* who is refused: 1, is closed; 0, does without */
    int few_posts;      /* post_max is low */
    int stopping;
    uint64_t asked, done, opened, closed;
};

typedef struct ask {
    member *to;
    saying what;
    size_t len;
} ask;

/* ----------------------------------------------------------------- messages */

static size_t compose(unsigned char *out, saying w, size_t len)
{
    uint16_t head[2] = { (uint16_t)len, (uint16_t)w.sender };

    memcpy(out, head, 4);
    memcpy(out + 4, &w.number, 4);
    stream_fill(w.sender << 16 ^ w.number, 0, out + HEAD, len - HEAD);
    return len;
}

static void log_add(member *m, saying w)
{
    must(w.number >= m->next[w.sender], "member %u: %u of sender %u comes after %u", m->id, w.number,
         w.sender, m->next[w.sender] - 1);
    m->next[w.sender] = w.number + 1;
    if (m->logged == m->cap) {
        m->cap = m->cap != 0 ? m->cap * 2 : 64;
        m->log = realloc(m->log, m->cap * sizeof *m->log);
        must(m->log != NULL, "no memory");
    }
    m->log[m->logged++] = w;
}

/* Why a member may be gone without having been closed here. */
static int excused(const member *m)
{
    return m->closing || m->closed || m->gone || m->room->stopping || gnp_sim_faults() > 0;
}

static void refused(member *m, gn_conn *c, size_t len)
{
    must(gnp_sim_faults() > 0 || gn_conn_outbound(c) + len > m->room->outbound_max,
         "member %u is refused %zu bytes with %zu unsent", m->id, len, gn_conn_outbound(c));
    m->shed++;
    if (!m->room->closes || m->closing)
        return;
    m->closing = 1;
    must((one_in(2) ? gn_conn_close(c) : gn_conn_abort(c)) == GN_OK, "a member cannot be closed");
}

/* What became of a message for m, on its loop. */
static void outcome(member *m, gn_conn *c, saying w, size_t len, int rc)
{
    gnp_sim_note("said", rc, w.number);
    if (rc == GN_OK)
        return;
    must(m->logged > 0 && m->log[m->logged - 1].number == w.number, "another message came in between");
    m->logged--;
    if (rc == GN_ELIMIT)
        refused(m, c, len);
    else
        must(rc == GN_ECLOSED ? excused(m) : gnp_sim_faults() > 0, "member %u: %s", m->id,
             gn_strerror(rc));
}

static void on_said(gn_handle h, int rc, void *arg)
{
    ask *a = arg;
    member *m = a->to;
    gn_conn *c = gn_conn_from_handle(h);

    m->room->done++;
    must(rc != GN_OK || (c != NULL && gn_conn_context(c) == m), "what was for member %u went elsewhere",
         m->id);
    must(rc != GN_OK || gn_conn_outbound(c) <= m->room->outbound_max, "outbound_max is passed");
    log_add(m, a->what);
    outcome(m, c, a->what, a->len, rc);
    free(a);
}

static void say_direct(member *m, saying w, const unsigned char *text, size_t len)
{
    gn_conn *c = gn_conn_from_handle(m->handle);

    if (c == NULL) {
        must(excused(m), "member %u is not on its loop", m->id);
        return;
    }
    log_add(m, w); /* before: it may arrive before the call returns */
    outcome(m, c, w, len, gn_conn_write(c, text, len));
}

static void say_by_handle(member *m, saying w, const unsigned char *text, size_t len)
{
    room *r = m->room;
    ask *a = calloc(1, sizeof *a);
    gn_iov v[2] = { { text, 3 }, { text + 3, len - 3 } };

    must(a != NULL, "no memory");
    *a = (ask){ m, w, len };
    r->asked++;
    int rc = one_in(2) ? gn_write(m->handle, text, len, on_said, a)
                       : gn_writev(m->handle, v, 2, on_said, a);
    if (rc == GN_OK)
        return;
    r->asked--;
    free(a);
    must(rc == GN_ELIMIT ? r->few_posts : rc == GN_ECLOSED ? excused(m) : gnp_sim_faults() > 0,
         "asking: %s", gn_strerror(rc));
}

/* from: the loop that this runs on, if its members are to be reached directly. */
static void say(room *r, uint32_t sender, const gn_loop *from)
{
    unsigned char text[SAY_MAX];
    size_t len = HEAD + (size_t)gnp_sim_below(one_in(4) ? SAY_MAX - HEAD + 1 : 8);
    saying w = { sender, r->said[sender] };

    if (len > r->left)
        return;
    r->left -= len;
    r->said[sender]++;
    (void)compose(text, w, len);
    for (unsigned i = 0; i < r->n; i++) {
        member *m = &r->members[i];
        if (m->handle == GN_HANDLE_NONE)
            continue;
        if (from != NULL && m->loop == from)
            say_direct(m, w, text, len);
        else
            say_by_handle(m, w, text, len);
    }
}

/* ------------------------------------------------------------------- server */

static gn_action on_open(gn_conn *c, void *user)
{
    (void)c;
    gnp_sim_note("on_open", 0, 0);
    ((room *)user)->opened++;
    return GN_NONE;
}

static void join(room *r, gn_conn *c, uint32_t id)
{
    member *m;

    must(id < r->n, "hello of member %u of %u", id, r->n);
    m = &r->members[id];
    must(!m->joined, "member %u joins twice", id);
    m->joined = 1;
    m->handle = gn_conn_handle(c);
    m->loop = gn_conn_loop(c);
    m->direct = one_in(2);
    for (unsigned i = 0; i < SENDERS; i++) /* the last one may still be under way to all */
        m->next[i] = r->said[i] > 0 ? r->said[i] - 1 : 0;
    gn_conn_set_context(c, m);
}

/* First its number, then a byte for each message that it wants to be said. */
static gn_action on_traffic(gn_conn *c, void *user)
{
    room *r = user;
    member *m = gn_conn_context(c);
    unsigned char b;

    must(m == NULL || (!m->closed && gn_conn_handle(c) == m->handle), "on_traffic of another connection");
    while (gn_conn_read(c, &b, 1) == 1) {
        if (m == NULL) {
            join(r, c, b);
            m = gn_conn_context(c);
            continue;
        }
        must(b == stream_byte(m->id, m->heard), "member %u: byte %u is another one", m->id, m->heard);
        m->heard++;
        must(m->heard <= m->says, "member %u said more than it sent", m->id);
        say(r, m->id, m->direct ? m->loop : NULL);
    }
    return GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    member *m = gn_conn_context(c);

    (void)user;
    if (m == NULL)
        return GN_CLOSE;
    must(m->gone || gnp_sim_faults() > 0, "member %u did not end its stream", m->id);
    must(m->heard == m->says || m->way != HALF || gnp_sim_faults() > 0,
         "the end of member %u comes after %u of %u bytes", m->id, m->heard, m->says);
    if (m->way != HALF)
        m->closing = 1;
    return m->way == HALF ? GN_NONE : GN_CLOSE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    room *r = user;
    member *m = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    r->closed++;
    if (m == NULL)
        return GN_NONE;
    must(!m->closed, "on_close twice");
    must(excused(m), "member %u is closed with %s for nothing", m->id, gn_strerror(reason));
    m->whole_heard = m->heard == m->says;
    m->reason = reason;
    m->closed = 1;
    m->handle = GN_HANDLE_NONE;
    return GN_NONE;
}

/* ------------------------------------------------------------------ members */

static void member_says(void *arg)
{
    member *m = arg;
    unsigned char b = (unsigned char)m->id;

    if (gnp_sim_send(m->peer, &b, 1, NULL) != 0)
        return;
    for (uint32_t i = 0; i < m->says; i++) {
        b = stream_byte(m->id, i);
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(10) * MS);
        if (gnp_sim_send(m->peer, &b, 1, NULL) != 0)
            return;
    }
    if (m->way == HALF) {
        m->gone = 1; /* may be closed by now, if it was too slow */
        gnp_sim_half_close(m->peer);
    }
}

static void check(member *m, const unsigned char *at, size_t len)
{
    unsigned char want[SAY_MAX];

    must(m->got < m->logged, "member %u gets a message that is not for it", m->id);
    (void)compose(want, m->log[m->got], len);
    must(memcmp(at, want, len) == 0, "member %u: message %llu is another one", m->id,
         (unsigned long long)m->got);
    m->got++;
}

/* Takes whole messages off the front; how many bytes are left. */
static size_t take(member *m, unsigned char *buf, size_t have)
{
    uint16_t len;

    while (have >= HEAD) {
        memcpy(&len, buf, 2);
        must(len >= HEAD && len <= SAY_MAX, "member %u: a message of %u bytes", m->id, len);
        if (have < len)
            break;
        check(m, buf, len);
        memmove(buf, buf + len, have - len);
        have -= len;
    }
    return have;
}

static int leaves_early(const member *m)
{
    return (m->way == LEAVES || m->way == RESETS) && m->got >= m->wanted;
}

static int64_t member_reads(member *m)
{
    unsigned char buf[2 * SAY_MAX];
    size_t have = 0;
    int64_t k = 1;

    while (k > 0 && !leaves_early(m)) {
        size_t cap = m->slow ? 1 + (size_t)gnp_sim_below(20) : sizeof buf - have;
        int early = m->way == LEAVES || m->way == RESETS;
        k = gnp_sim_recv(m->peer, buf + have, cap < sizeof buf - have ? cap : sizeof buf - have,
                         early ? 200 * MS : PATIENCE);
        if (k > 0)
            have = take(m, buf, have + (size_t)k);
        if (m->slow && one_in(3))
            gnp_sim_sleep(gnp_sim_below(100) * MS);
    }
    must(k != GNP_SIM_TIMEOUT || m->way == LEAVES || m->way == RESETS, "member %u waits for ever", m->id);
    return k;
}

/* It read to the end: then nothing of what was queued may be missing. */
static void check_end(const member *m, int64_t k)
{
    int orderly = m->reason == GN_OK || m->reason == GN_EOF || m->reason == GN_ESHUTDOWN;

    if (gnp_sim_faults() > 0 || !m->joined || k == 0 || k == GNP_SIM_TIMEOUT)
        return;
    must(m->closed, "member %u sees an end, but on_close was not called", m->id);
    if (!orderly || !m->whole_heard)
        return;
    must(k == GNP_SIM_EOF, "member %u: closed with %s, but reset", m->id, gn_strerror(m->reason));
    must(m->got == m->logged, "member %u got %llu of %zu messages", m->id, (unsigned long long)m->got,
         m->logged);
}

static void member_run(void *arg)
{
    member *m = arg;
    char addr[GN_ADDR_TEXT_MAX];
    int64_t k = 0;

    peer_address(m->room->engine, 0, addr, sizeof addr);
    gnp_sim_sleep(gnp_sim_below(one_in(3) ? 60 : 3) * MS);
    m->peer = gnp_sim_connect(addr, NULL);
    if (m->peer == NULL) {
        must(gnp_sim_faults() > 0 || m->room->stopping, "connect fails");
        return;
    }
    gnp_sim_thread *t = gnp_sim_spawn(member_says, m, "says");
    if (m->way == STALLS)
        gnp_sim_sleep(gnp_sim_below(3) * SECOND);
    k = member_reads(m);
    if (leaves_early(m) || k == GNP_SIM_TIMEOUT)
        k = 0;
    m->gone = 1;
    if (m->way == RESETS)
        gnp_sim_reset(m->peer);
    gnp_sim_join(t);
    check_end(m, k);
    gnp_sim_close(m->peer, 0);
}

/* ------------------------------------------------------------------ threads */

typedef struct speaker {
    room *room;
    uint32_t sender, count;
} speaker;

static void on_kicked(gn_handle h, int rc, void *arg)
{
    member *m = arg;

    (void)h;
    m->room->done++;
    must(rc == GN_OK || rc == GN_ECLOSED, "close: %s", gn_strerror(rc));
    must(m->closed, "a close has completed, but not closed");
}

static void kick(room *r)
{
    member *m = &r->members[gnp_sim_below(r->n)];

    if (m->handle == GN_HANDLE_NONE)
        return;
    m->closing = 1;
    r->asked++;
    if (gn_close(m->handle, on_kicked, m) != GN_OK)
        r->asked--;
}

static void speaker_run(void *arg)
{
    speaker *s = arg;

    for (uint32_t i = 0; i < s->count; i++) {
        say(s->room, s->sender, NULL);
        if (one_in(3))
            gnp_sim_sleep(gnp_sim_below(20) * MS);
        if (one_in(40))
            kick(s->room);
    }
}

/* --------------------------------------------------------------------- world */

static void draw_member(member *m, room *r, uint32_t id)
{
    m->room = r;
    m->id = id;
    m->way = one_in(2) ? STAYS : (int)gnp_sim_below(WAYS);
    m->slow = one_in(4);
    m->says = (uint32_t)gnp_sim_below(12);
    m->wanted = gnp_sim_below(20);
}

static void draw_room(room *r, gn_options *o)
{
    static const size_t most[] = { 130, 1000, 5000, 1 << 26 };
    size_t pipe = gnp_sim_knobs_now()->pipe_bytes;

    draw_options(o);
    r->outbound_max = o->outbound_max = pick(most, 4);
    if (o->outbound_high > o->outbound_max)
        o->outbound_high = o->outbound_max;
    r->few_posts = one_in(6);
    if (r->few_posts)
        o->post_max = 2000;
    r->closes = one_in(2);
    r->n = 1 + (unsigned)gnp_sim_below(MEMBERS);
    r->left = 300 * pipe < 10000 ? 300 * pipe : 10000; /* each byte may be an event */
    for (unsigned i = 0; i < r->n; i++)
        draw_member(&r->members[i], r, i);
}

static void talk(room *r)
{
    speaker speakers[THREADS];
    crew members = { .n = 0 }, threads = { .n = 0 };

    for (unsigned i = 0; i < r->n; i++)
        crew_add(&members, member_run, &r->members[i], "member");
    for (unsigned i = 0; i < THREADS; i++) {
        speakers[i] = (speaker){ r, MEMBERS + i, one_in(2) ? 0 : (uint32_t)gnp_sim_below(20) };
        crew_add(&threads, speaker_run, &speakers[i], "speaker");
    }
    if (one_in(2)) { /* before all is said, often */
        gnp_sim_sleep(gnp_sim_below(100) * MS);
        r->stopping = 1;
        (void)gn_engine_stop(r->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&threads);
    gnp_sim_sleep(gnp_sim_below(4) * SECOND);
    r->stopping = 1;
    (void)gn_engine_stop(r->engine, 60 * SECOND);
    crew_join(&members);
    finish(r->engine, 60 * SECOND);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_close = on_close
    };
    room r = { 0 };
    gn_options o;

    (void)arg;
    draw_room(&r, &o);
    r.engine = serve(&handler, &r, &o, draw_stream_address());
    if (r.engine == NULL)
        return;
    talk(&r);
    must(r.asked == r.done, "%llu operations were asked for, %llu completed", (unsigned long long)r.asked,
         (unsigned long long)r.done);
    must(r.opened == r.closed, "%llu opened, %llu closed", (unsigned long long)r.opened,
         (unsigned long long)r.closed);
    for (unsigned i = 0; i < r.n; i++)
        free(r.members[i].log);
}

const scenario scenario_broadcast = { "broadcast", run };
