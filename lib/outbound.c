/* SPDX-License-Identifier: MIT */
#include "outbound.h"

#include <string.h>

#include "engine.h"
#include "loop.h"

/* Bytes of one connection's queue sent in one turn, so that a fast reader of a big answer does
 * not hold up the loop: 1 MiB is about 0.2 ms of loopback. */
#define TURN_BYTES (1024u * 1024u)

/* Shorter pieces of the lent span are copied: one more span costs the system call more than
 * copying a few cache lines. */
#define BORROW_MIN 256u

#define QUEUE_SPANS 64u

size_t gni_out_bytes(const gn_conn *c)
{
    size_t staged = c->loop->current == c ? c->loop->stage.bytes : 0;
    return c->u.out.bytes + staged;
}

static void stage_clear(gni_stage *s)
{
    s->count = 0;
    s->bytes = 0;
    s->used = 0;
}

static void touch(gn_conn *c)
{
    if (c->idle_ticks != 0) {
        c->active = gni_ticks(c->loop->now);
    }
}

static int queue_append(gn_conn *c, const gnp_iov *span, unsigned count, size_t skip)
{
    for (unsigned i = 0; i < count; i++) {
        if (skip >= span[i].len) {
            skip -= span[i].len;
            continue;
        }
        const unsigned char *p = (const unsigned char *)span[i].base + skip;
        int rc = gni_segq_append(&c->u.out, &c->loop->segs, p, span[i].len - skip);
        skip = 0;
        if (rc != GN_OK) {
            gni_conn_fail(c, rc); /* part of it may have left: the stream is broken */
            return rc;
        }
    }
    return GN_OK;
}

int gni_out_send_stage(gn_conn *c)
{
    gn_loop *l = c->loop;
    gni_stage *s = &l->stage;
    if (s->bytes == 0) {
        return GN_OK;
    }
    if ((c->flags & (GNI_F_FAILED | GNI_F_RESET)) != 0) {
        stage_clear(s);
        return GN_ECLOSED;
    }
    size_t sent = 0;
    int rc = gnp_send(l->poller, &c->sock, s->span, s->count, 0, &sent);
    if (rc == GNP_AGAIN) {
        sent = 0;
    } else if (rc != GNP_OK) {
        stage_clear(s);
        gni_conn_fail(c, rc);
        return rc;
    }
    touch(c);
    rc = GN_OK;
    if (sent < s->bytes) {
        c->flags |= GNI_F_BLOCKED;
        rc = queue_append(c, s->span, s->count, sent);
    }
    stage_clear(s);
    return rc;
}

void gni_out_send_queue(gn_conn *c)
{
    gn_loop *l = c->loop;
    gni_segq *q = &c->u.out;
    size_t moved = 0;
    while (q->bytes > 0 && (c->flags & (GNI_F_BLOCKED | GNI_F_FAILED)) == 0) {
        gnp_iov span[QUEUE_SPANS];
        unsigned count = gni_segq_iov(q, span, QUEUE_SPANS);
        size_t total = 0;
        size_t sent = 0;
        for (unsigned i = 0; i < count; i++) {
            total += span[i].len;
        }
        int rc = gnp_send(l->poller, &c->sock, span, count, 0, &sent);
        if (rc == GNP_AGAIN) {
            c->flags |= GNI_F_BLOCKED;
            return;
        }
        if (rc != GNP_OK) {
            gni_conn_fail(c, rc);
            return;
        }
        touch(c);
        gni_segq_consume(q, &l->segs, sent);
        if (sent < total) {
            c->flags |= GNI_F_BLOCKED;
        }
        moved += sent;
        if (moved >= TURN_BYTES && q->bytes > 0) {
            gni_conn_mark_dirty(c);
            return;
        }
    }
}

static int in_lent_span(const gn_loop *l, const unsigned char *p, size_t n)
{
    return l->lent != NULL && p >= l->lent && n <= l->lent_len && (size_t)(p - l->lent) <= l->lent_len - n;
}

/* Makes the last span longer if p goes on where it ends. */
static int stage_extend(gni_stage *s, const unsigned char *p, size_t n)
{
    if (s->count == 0) {
        return 0;
    }
    gnp_iov *last = &s->span[s->count - 1];
    if ((const unsigned char *)last->base + last->len != p) {
        return 0;
    }
    last->len += n;
    s->bytes += n;
    return 1;
}

static void stage_point(gni_stage *s, const unsigned char *p, size_t n)
{
    if (!stage_extend(s, p, n)) {
        s->span[s->count].base = p;
        s->span[s->count].len = n;
        s->count++;
        s->bytes += n;
    }
}

static void stage_copy(gni_stage *s, const unsigned char *p, size_t n)
{
    unsigned char *to = s->buf + s->used;
    memcpy(to, p, n);
    s->used += n;
    stage_point(s, to, n);
}

/* One piece into the stage.  *hot is set when the caller's own memory is pointed at, which must
 * leave before the write returns. */
static int stage_piece(gn_conn *c, const unsigned char *p, size_t n, int *hot)
{
    gn_loop *l = c->loop;
    gni_stage *s = &l->stage;
    if (s->count == GNI_STAGE_SPANS) {
        int rc = gni_out_send_stage(c);
        if (rc != GN_OK) {
            return rc;
        }
    }
    if (c->u.out.bytes > 0) { /* sending early has filled the system's buffer */
        gnp_iov one = {p, n};
        return queue_append(c, &one, 1, 0);
    }
    if (n >= BORROW_MIN && in_lent_span(l, p, n)) {
        stage_point(s, p, n);
    } else if (n <= GNI_STAGE_BYTES - s->used) {
        stage_copy(s, p, n);
    } else {
        stage_point(s, p, n);
        *hot = 1;
    }
    return GN_OK;
}

static int stage_write(gn_conn *c, const gn_iov *iov, unsigned count)
{
    int hot = 0;
    for (unsigned i = 0; i < count; i++) {
        int rc = iov[i].len == 0 ? GN_OK : stage_piece(c, iov[i].base, iov[i].len, &hot);
        if (rc != GN_OK) {
            return rc;
        }
    }
    return hot ? gni_out_send_stage(c) : GN_OK;
}

/* Several pieces are gathered aside first, so that running out of memory leaves the queue as it was. */
static int queue_write(gn_conn *c, const gn_iov *iov, unsigned count)
{
    gni_segq *q = &c->u.out;
    gni_segpool *pool = &c->loop->segs;
    if (count == 1) {
        return gni_segq_append(q, pool, iov[0].base, iov[0].len);
    }
    gni_segq aside = {NULL, NULL, 0};
    for (unsigned i = 0; i < count; i++) {
        int rc = iov[i].len == 0 ? GN_OK : gni_segq_append(&aside, pool, iov[i].base, iov[i].len);
        if (rc != GN_OK) {
            gni_segq_clear(&aside, pool);
            return rc;
        }
    }
    if (q->tail != NULL) {
        q->tail->next = aside.head;
    } else {
        q->head = aside.head;
    }
    q->tail = aside.tail;
    q->bytes += aside.bytes;
    return GN_OK;
}

int gni_out_write(gn_conn *c, const gn_iov *iov, unsigned count)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > SIZE_MAX - total || (iov[i].base == NULL && iov[i].len > 0)) {
            return GN_EINVAL;
        }
        total += iov[i].len;
    }
    if (total == 0) {
        return GN_OK;
    }
    size_t max = c->loop->engine->options.outbound_max;
    size_t have = gni_out_bytes(c);
    if (total > max || have > max - total) {
        return GN_ELIMIT;
    }
    if (c->loop->current == c && c->u.out.bytes == 0) {
        return stage_write(c, iov, count);
    }
    int rc = queue_write(c, iov, count);
    if (rc == GN_OK) {
        gni_conn_mark_dirty(c);
    }
    return rc;
}
