/* SPDX-License-Identifier: MIT */
/*
 * Framing: each peer sends messages of all kinds in a row, lines, delimited, fixed, with length fields and
 * with varints, cut anywhere.  The server reads each with the helper of its kind, leaves some for later,
 * pauses and resumes. What it gets are the messages that were sent; "not yet" is said only while something
 * is missing and consumes nothing; a message that breaks its rule, which some send at last, is found out,
 * with the right error and never before.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define PEERS 4
#define MESSAGES 40
#define MAX_LEN 300
#define WIRE_MAX (MAX_LEN + 64)
#define BUF_MAX (MESSAGES * WIRE_MAX)
#define PATIENCE (600 * SECOND)

enum { LINE, LINE_CR, DELIMITED, FIXED, LENGTH, VARINT, KINDS };

static const char delimiter[] = "aab"; /* overlaps itself */
#define DELIMITER_LEN 3

typedef struct message {
    unsigned kind;
    gn_length_field field;
    int bad;            /* GN_EMSGSIZE or GN_EMALFORMED, or 0 */
    size_t body, frame; /* offsets into the wire form: of what the helper shows */
    size_t len, wire_len;
    unsigned char wire[WIRE_MAX];
} message;

typedef struct talk {
    const char *addr;
    size_t max;
    int slow;
    unsigned n;          /* of messages, the bad one included */
    message *messages;
    /* server */
    unsigned seen;
    int eof, over, closed, found_out;
    gn_handle handle;
} talk;

typedef struct server {
    talk talks[PEERS];
    unsigned n;
    uint64_t opened, closed;
    int lazy, pauses, stopping;
} server;

/* ----------------------------------------------------------------- messages */

static void text(unsigned char *p, size_t n, uint32_t key, unsigned kind)
{
    stream_fill(key, 0, p, n);
    for (size_t i = 0; i < n; i++) {
        if (kind == DELIMITED)
            p[i] = p[i] & 1 ? 'a' : 'c';
        else if (kind <= LINE_CR && p[i] == '\n')
            p[i] = '\r';
    }
    if (kind == LINE && n > 0 && p[n - 1] == '\r')
        p[n - 1] = 'r';
}

static void put_number(unsigned char *p, uint64_t v, const gn_length_field *f)
{
    for (unsigned i = 0; i < f->width; i++)
        p[f->little_endian ? i : f->width - 1 - i] = (unsigned char)(v >> 8 * i);
}

static size_t length_head(message *m, size_t max, size_t len)
{
    static const unsigned widths[] = { 1, 2, 3, 4, 8 };
    gn_length_field *f = &m->field;

    f->offset = (size_t)gnp_sim_below(5);
    f->width = widths[gnp_sim_below(5)];
    if (f->width == 1 && len > 200)
        f->width = 2;
    f->little_endian = one_in(2);
    f->adjust = one_in(2) ? 0 : one_in(2) ? -(int64_t)(f->offset + f->width) : -(int64_t)gnp_sim_below(20);
    if (f->adjust == 0 && one_in(4))
        f->adjust = (int64_t)gnp_sim_below(len + 1);
    f->max = max;
    f->keep_head = one_in(3);
    stream_fill(7, len, m->wire, f->offset);
    put_number(m->wire + f->offset, (uint64_t)((int64_t)len - f->adjust), f);
    return f->offset + f->width;
}

static void seal(message *m, const void *tail, size_t n)
{
    memcpy(m->wire + m->body + m->len, tail, n);
    m->wire_len = m->body + m->len + n;
    m->frame = m->kind == LENGTH && m->field.keep_head ? 0 : m->body;
}

/* A message of len bytes, at most max. */
static void compose(message *m, size_t max, size_t len, uint32_t key)
{
    memset(m, 0, sizeof *m);
    m->kind = (unsigned)gnp_sim_below(KINDS);
    if (len == 0 && m->kind == FIXED)
        m->kind = LINE; /* nothing would come for it */
    m->len = len;
    if (m->kind == LENGTH)
        m->body = length_head(m, max, len);
    else if (m->kind == VARINT)
        m->body = gn_put_varint(m->wire, len);
    text(m->wire + m->body, len, key, m->kind);
    switch (m->kind) {
    case LINE: seal(m, "\n", 1); break;
    case LINE_CR: seal(m, "\r\n", 2); break;
    case DELIMITED: seal(m, delimiter, DELIMITER_LEN); break;
    default: seal(m, "", 0);
    }
}

/* One that no helper may take. */
static void compose_bad(message *m, size_t max)
{
    compose(m, max, max, 1);
    m->bad = GN_EMSGSIZE;
    switch (m->kind) {
    case LINE:
    case LINE_CR:
    case DELIMITED:
        memset(m->wire, 'c', max + 2); /* two: the first may belong to an end */
        m->wire_len = max + 2;
        break;
    case LENGTH:
        if (m->field.adjust < 0 && one_in(2)) {
            m->bad = GN_EMALFORMED;
            put_number(m->wire + m->field.offset, 0, &m->field);
        } else {
            m->field.max--;
        }
        m->wire_len = m->body;
        break;
    default:
        m->kind = VARINT;
        m->wire_len = gn_put_varint(m->wire, max + 1);
        if (one_in(2)) {
            m->bad = max > 0 ? GN_EMSGSIZE : GN_EMALFORMED;
            memset(m->wire, max > 0 ? 0xff : 0x80, 11);
            m->wire_len = 11;
        }
    }
}

static int read_message(gn_conn *c, const message *m, size_t max, gn_frame *f)
{
    switch (m->kind) {
    case LINE:
    case LINE_CR: return gn_conn_read_line(c, max, f);
    case DELIMITED: return gn_conn_read_delimited(c, delimiter, DELIMITER_LEN, max, f);
    case FIXED: return gn_conn_read_fixed(c, m->len, f);
    case LENGTH: return gn_conn_read_length(c, &m->field, f);
    default: return gn_conn_read_varint(c, max, f);
    }
}

/* ------------------------------------------------------------------- server */

static gn_action on_open(gn_conn *c, void *user)
{
    (void)c;
    gnp_sim_note("on_open", 0, 0);
    ((server *)user)->opened++;
    return GN_NONE;
}

static void check(const talk *t, const message *m, const gn_frame *f, size_t before, size_t after)
{
    size_t want = m->body + m->len - m->frame;

    must(m->bad == 0, "message %u should have been refused", t->seen);
    must(f->len == want && memcmp(f->data, m->wire + m->frame, want) == 0,
         "message %u of kind %u: another one, of %zu instead of %zu bytes", t->seen, m->kind, f->len, want);
    must(before - after == m->wire_len, "message %u: %zu bytes consumed, not %zu", t->seen, before - after,
         m->wire_len);
}

/* 1: there may be another one. */
static int one_message(gn_conn *c, talk *t)
{
    const message *m = &t->messages[t->seen];
    size_t before = gn_conn_inbound(c);
    gn_frame f = { NULL, 0 };
    int rc = read_message(c, m, t->max, &f);
    size_t after = gn_conn_inbound(c);

    gnp_sim_note("message", rc, t->seen);
    if (rc == GN_OK) {
        check(t, m, &f, before, after);
        t->seen++;
        return 1;
    }
    must(before == after, "message %u: %s, but something was consumed", t->seen, gn_strerror(rc));
    if (rc == GN_EAGAIN) {
        must(before < m->wire_len, "message %u of kind %u is all there", t->seen, m->kind);
        return 0;
    }
    must(m->bad == rc, "message %u of kind %u: %s", t->seen, m->kind, gn_strerror(rc));
    t->found_out = 1;
    return 0;
}

static void resume(gn_handle h, int status, void *arg)
{
    gn_conn *c = gn_conn_from_handle(h);

    (void)arg;
    if (status == GN_OK && c != NULL)
        must(gn_conn_resume(c) == GN_OK || gnp_sim_faults() > 0 || gn_conn_resume(c) == GN_ECLOSED, "resume");
}

/* Comes back to what it leaves unread. */
static void rest(const server *s, gn_conn *c)
{
    gn_handle h = gn_conn_handle(c);
    int rc = GN_OK;

    if (s->pauses && one_in(2)) {
        if (gn_conn_pause(c) == GN_OK)
            rc = gn_schedule(h, gnp_sim_below(20) * MS, resume, NULL, NULL);
    } else {
        rc = gn_wake(h, NULL, NULL);
    }
    must(rc == GN_OK || gnp_sim_faults() > 0 || s->stopping, "coming back: %s", gn_strerror(rc));
    if (rc != GN_OK)
        (void)gn_conn_abort(c);
}

static talk *known(server *s, gn_conn *c)
{
    talk *t = gn_conn_context(c);
    unsigned char id;

    if (t != NULL || gn_conn_read(c, &id, 1) == 0)
        return t;
    must(id < s->n, "hello of %u", id);
    t = &s->talks[id];
    must(t->handle == GN_HANDLE_NONE, "two connections of peer %u", id);
    t->handle = gn_conn_handle(c);
    gn_conn_set_context(c, t);
    return t;
}

static gn_action done(gn_conn *c, talk *t)
{
    uint32_t n = t->seen;

    if (!t->over && gn_conn_write(c, &n, sizeof n) != GN_OK)
        must(gnp_sim_faults() > 0, "the answer is refused");
    t->over = 1;
    return GN_CLOSE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    server *s = user;
    talk *t = known(s, c);

    if (t == NULL)
        return GN_NONE;
    must(!t->closed && gn_conn_handle(c) == t->handle, "on_traffic of another connection");
    while (t->seen < t->n && one_message(c, t)) {
        if (s->lazy && t->seen < t->n && one_in(4)) {
            rest(s, c);
            return GN_NONE;
        }
    }
    if (t->found_out)
        return done(c, t);
    must(t->seen < t->n || gn_conn_inbound(c) == 0, "more came than was sent");
    return t->eof && t->seen == t->n ? done(c, t) : GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    server *s = user;
    talk *t = gn_conn_context(c);

    if (t == NULL) {
        must(gnp_sim_faults() > 0, "an end without hello");
        return GN_CLOSE;
    }
    t->eof = 1;
    if (t->seen == t->n)
        return done(c, t);
    must(s->lazy || gnp_sim_faults() > 0, "an end after %u of %u messages", t->seen, t->n);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    server *s = user;
    talk *t = gn_conn_context(c);

    gnp_sim_note("on_close", reason, 0);
    s->closed++;
    if (t == NULL)
        return GN_NONE;
    must(!t->closed, "on_close twice");
    t->closed = 1;
    if (gnp_sim_faults() == 0 && !s->stopping) {
        must(t->over && (reason == GN_OK || reason == GN_EOF || t->found_out),
             "closed with %s after %u of %u messages", gn_strerror(reason), t->seen, t->n);
        must(!t->messages[t->n - 1].bad || t->found_out, "a bad message was not found out");
    }
    return GN_NONE;
}

/* -------------------------------------------------------------------- peers */

static void say(const talk *t, gnp_sim_peer *p, const unsigned char *all, size_t n)
{
    size_t at = 0;

    while (at < n) {
        size_t k = 1 + (size_t)gnp_sim_below(one_in(2) ? 4 : 2000);
        k = k < n - at ? k : n - at;
        if (gnp_sim_send(p, all + at, k, NULL) != 0)
            return;
        at += k;
        if (t->slow && one_in(4))
            gnp_sim_sleep(gnp_sim_below(20) * MS);
    }
    gnp_sim_half_close(p);
}

static void listen_to(const server *s, const talk *t, gnp_sim_peer *p)
{
    unsigned char got[sizeof(uint32_t)];
    uint32_t n;
    size_t have = 0;
    int64_t k = 1;

    while (have < sizeof got && (k = gnp_sim_recv(p, got + have, sizeof got - have, PATIENCE)) > 0)
        have += (size_t)k;
    must(k != GNP_SIM_TIMEOUT, "no answer after %u of %u messages", t->seen, t->n);
    if (gnp_sim_faults() > 0 || s->stopping || t->found_out)
        return;
    must(have == sizeof got, "no answer, but an end (%lld)", (long long)k);
    memcpy(&n, got, sizeof n);
    must(n == t->n, "%u of %u messages arrived", n, t->n);
}

typedef struct peer {
    server *server;
    talk *talk;
} peer;

static void peer_run(void *arg)
{
    const peer *me = arg;
    talk *t = me->talk;
    unsigned char *all = malloc(BUF_MAX + 1);
    size_t n = 0;

    must(all != NULL, "no memory");
    all[n++] = (unsigned char)(t - me->server->talks);
    for (unsigned i = 0; i < t->n; i++) {
        memcpy(all + n, t->messages[i].wire, t->messages[i].wire_len);
        n += t->messages[i].wire_len;
    }
    gnp_sim_peer *p = gnp_sim_connect(t->addr, NULL);
    if (p != NULL) {
        say(t, p, all, n);
        listen_to(me->server, t, p);
        gnp_sim_close(p, 0);
    } else {
        must(gnp_sim_faults() > 0 || me->server->stopping, "connect fails");
    }
    free(all);
}

static void draw_talk(talk *t, const char *addr, size_t max)
{
    size_t pipe = gnp_sim_knobs_now()->pipe_bytes, total = 0;
    size_t most = 200 * pipe < 8000 ? 200 * pipe : 8000; /* each byte may be an event */
    unsigned n = 1 + (unsigned)gnp_sim_below(MESSAGES);

    t->addr = addr;
    t->max = max;
    t->slow = one_in(3);
    t->messages = calloc(n, sizeof *t->messages);
    must(t->messages != NULL, "no memory");
    while (t->n < n && (t->n == 0 || total < most)) {
        size_t len = one_in(4) ? max : (size_t)gnp_sim_below(one_in(2) ? 10 : max + 1);
        compose(&t->messages[t->n], max, len < max ? len : max, t->n);
        total += t->messages[t->n++].wire_len;
    }
    if (one_in(4))
        compose_bad(&t->messages[t->n - 1], max);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof, .on_close = on_close
    };
    static const size_t maxima[] = { 1, 20, 128, MAX_LEN };
    server s = { 0 };
    peer peers[PEERS];
    char addr[GN_ADDR_TEXT_MAX];
    size_t max = pick(maxima, 4);
    crew c = { .n = 0 };
    gn_options o;

    (void)arg;
    draw_options(&o);
    o.inbound_max = max + (one_in(2) ? 64 : 5000); /* max and the longest head */
    s.lazy = one_in(2);
    s.pauses = one_in(2);
    s.n = 1 + (unsigned)gnp_sim_below(PEERS);
    for (unsigned i = 0; i < s.n; i++)
        draw_talk(&s.talks[i], addr, max);
    gn_engine *e = serve(&handler, &s, &o, draw_stream_address());
    if (e != NULL) {
        peer_address(e, 0, addr, sizeof addr);
        for (unsigned i = 0; i < s.n; i++) {
            peers[i] = (peer){ &s, &s.talks[i] };
            crew_add(&c, peer_run, &peers[i], "peer");
        }
        if (one_in(6)) {
            gnp_sim_sleep(gnp_sim_below(100) * MS);
            s.stopping = 1;
            (void)gn_engine_stop(e, gnp_sim_below(2) * SECOND);
        }
        crew_join(&c);
        s.stopping = 1;
        finish(e, SECOND);
        must(s.opened == s.closed, "%llu opened, %llu closed", (unsigned long long)s.opened,
             (unsigned long long)s.closed);
    }
    for (unsigned i = 0; i < s.n; i++)
        free(s.talks[i].messages);
}

const scenario scenario_framing = { "framing", run };
