/* SPDX-License-Identifier: MIT */
#include "outbound.h"

#include <string.h>

#include "budget.h"
#include "engine.h"
#include "loop.h"

/* Bytes of one connection's queue sent in one turn, so that a fast reader of a big answer does
 * not hold up the loop: 1 MiB is about 0.2 ms of loopback. */
#define TURN_BYTES (1024u * 1024u)

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
            gni_conn_fail(c, rc, 0); /* part of it may have left: the stream is broken */
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
        gni_conn_fail(c, rc, gnp_os_error());
        return rc;
    }
    if (sent > 0) {
        touch(c);
    }
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
            gni_conn_fail(c, rc, gnp_os_error());
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
        gnp_iov one = { p, n };
        return queue_append(c, &one, 1, 0);
    }
    if (n >= GNI_BORROW_MIN && gni_out_is_lent(l, p, n)) {
        gni_stage_point(s, p, n);
    } else if (n <= GNI_STAGE_BYTES - s->used) {
        gni_stage_copy(s, p, n);
    } else {
        gni_stage_point(s, p, n);
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

/* Behind one another, so that small pieces share segments; back to where it was if memory ends. */
static int queue_write(gn_conn *c, const gn_iov *iov, unsigned count)
{
    gni_segq *q = &c->u.out;
    gni_segpool *pool = &c->loop->segs;
    size_t before = q->bytes;
    for (unsigned i = 0; i < count; i++) {
        int rc = iov[i].len == 0 ? GN_OK : gni_segq_append(q, pool, iov[i].base, iov[i].len);
        if (rc != GN_OK) {
            gni_segq_truncate(q, pool, before);
            return rc;
        }
    }
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
    size_t max = gni_conn_outbound_max(c);
    size_t have = gni_out_bytes(c);
    if (total > max || have > max - total) {
        return GN_ELIMIT;
    }
    /* Small writes with nothing queued nearly always leave at once: they cost the budget nothing. */
    if ((c->u.out.bytes > 0 || total > GNI_STAGE_BYTES) && !gni_budget_allows(c->loop, total)) {
        return GN_ELIMIT;
    }
    int rc;
    if (c->loop->current == c && c->u.out.bytes == 0) {
        rc = stage_write(c, iov, count);
    } else {
        rc = queue_write(c, iov, count);
        gni_conn_mark_dirty(c);
    }
    if (c->loop->budgeted) {
        gni_budget_update(c); /* now: a callback may write for long, and to many */
    }
    return rc;
}
