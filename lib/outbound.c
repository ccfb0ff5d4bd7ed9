/* SPDX-License-Identifier: MIT */
#include "outbound.h"

#include <string.h>

#include "budget.h"
#include "engine.h"
#include "loop.h"
#include "migrate.h"

/* Bytes of one connection's queue sent in one turn, so that a fast reader of a big answer does
 * not hold up the loop: 1 MiB is about 0.2 ms of loopback. */
#define TURN_BYTES (1024u * 1024u)

#define QUEUE_SPANS 64u

/* Staged bytes that are copied into the queue rather than sent by a call of their own: a segment. */
#define STAGE_MOVE_MAX ((size_t)GNI_SEG_SIZE)

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
    gni_count(&l->stats.writes, 1);
    if (rc == GNP_AGAIN) {
        sent = 0;
    } else if (rc != GNP_OK) {
        stage_clear(s);
        gni_conn_fail(c, rc, gnp_os_error());
        return rc;
    }
    if (sent > 0) {
        gni_count(&l->stats.bytes_out, sent);
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

static int send_file(gn_conn *c, const gni_item *i, uint64_t *asked, uint64_t *sent)
{
    *asked = i->u.file.left < TURN_BYTES ? i->u.file.left : TURN_BYTES;
    int rc = gnp_sendfile(c->loop->poller, &c->sock, i->u.file.os, i->u.file.offset, *asked, sent);
    return rc == GNP_EOF ? GNP_EIO : rc; /* shorter than was promised to the peer */
}

/* One system call for what comes first in the queue.  *asked is how much it was offered. */
static int send_first(gn_conn *c, uint64_t *asked, uint64_t *sent)
{
    gnp_poller *p = c->loop->poller;
    gni_node *first = c->u.out.head;
    if (first->kind == GNI_NODE_FILE) {
        return send_file(c, gni_item_of(first), asked, sent);
    }
    gnp_iov span[QUEUE_SPANS];
    int more = 0;
    size_t n = 0;
    int rc;
    if (first->kind == GNI_NODE_DESCRIPTOR) {
        (void)gni_segq_iov(&c->u.out, span, 1, &more);
        *asked = span[0].len;
        intptr_t os = gni_item_of(first)->u.descriptor;
        rc = gnp_send_descriptor(p, &c->sock, os, span[0].base, span[0].len, &n);
    } else {
        unsigned count = gni_segq_iov(&c->u.out, span, QUEUE_SPANS, &more);
        *asked = 0;
        for (unsigned i = 0; i < count; i++) {
            *asked += span[i].len;
        }
        unsigned pinned = gni_migrate_waits(c) ? 0 : c->loop->pinned;
        rc = gnp_send(p, &c->sock, span, count, pinned | (more ? GNP_SEND_MORE : 0), &n);
    }
    *sent = n;
    return rc;
}

void gni_out_send_queue(gn_conn *c)
{
    gn_loop *l = c->loop;
    gni_segq *q = &c->u.out;
    uint64_t moved = 0;
    while (!gni_segq_empty(q) && (c->flags & (GNI_F_BLOCKED | GNI_F_FLYING | GNI_F_FAILED)) == 0) {
        uint64_t asked = 0;
        uint64_t sent = 0;
        int rc = send_first(c, &asked, &sent);
        gni_count(&l->stats.writes, 1);
        if (rc == GNP_AGAIN || rc == GNP_INFLIGHT) {
            c->flags |= rc == GNP_AGAIN ? GNI_F_BLOCKED : GNI_F_FLYING;
            return;
        }
        if (rc != GNP_OK) {
            gni_conn_fail(c, rc, gnp_os_error());
            return;
        }
        gni_count(&l->stats.bytes_out, sent);
        touch(c);
        gni_segq_consume(q, &l->segs, sent);
        if (sent < asked) {
            c->flags |= GNI_F_BLOCKED;
        }
        moved += sent;
        if (moved >= TURN_BYTES && !gni_segq_empty(q)) {
            gni_conn_mark_dirty(c);
            return;
        }
    }
}

void gni_out_sent(gn_conn *c, const gnp_event *ev)
{
    gn_loop *l = c->loop;
    c->flags &= ~(uint32_t)GNI_F_FLYING;
    if (ev->status != GNP_OK) {
        gni_conn_fail(c, ev->status, 0);
        return;
    }
    gni_count(&l->stats.bytes_out, ev->bytes);
    touch(c);
    gni_segq_consume(&c->u.out, &l->segs, ev->bytes);
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
    if (!gni_segq_empty(&c->u.out)) { /* sending early has filled the system's buffer */
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
    gni_segq_tip tip = gni_segq_tip_of(q);
    for (unsigned i = 0; i < count; i++) {
        int rc = iov[i].len == 0 ? GN_OK : gni_segq_append(q, pool, iov[i].base, iov[i].len);
        if (rc != GN_OK) {
            gni_segq_rewind(q, pool, &tip);
            return rc;
        }
    }
    return GN_OK;
}

/* GN_OK if there is room for all of iov, whose length is *total. */
static int room_check(const gn_conn *c, const gn_iov *iov, unsigned count, size_t *total)
{
    *total = 0;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > SIZE_MAX - *total || (iov[i].base == NULL && iov[i].len > 0)) {
            return GN_EINVAL;
        }
        *total += iov[i].len;
    }
    size_t max = gni_conn_outbound_max(c);
    size_t have = gni_out_bytes(c);
    if (*total == 0) {
        return GN_OK;
    }
    if (*total > max || have > max - *total) {
        return GN_ELIMIT;
    }
    /* Small writes with nothing queued nearly always leave at once: they cost the budget nothing. */
    if ((c->u.out.bytes > 0 || *total > GNI_STAGE_BYTES) && !gni_budget_allows(c->loop, *total)) {
        return GN_ELIMIT;
    }
    return GN_OK;
}

static void changed(gn_conn *c)
{
    gni_conn_mark_dirty(c);
    if (c->loop->budgeted) {
        gni_budget_update(c); /* now: a callback may write for long, and to many */
    }
}

int gni_out_write(gn_conn *c, const gn_iov *iov, unsigned count)
{
    size_t total = 0;
    int rc = room_check(c, iov, count, &total);
    if (rc != GN_OK || total == 0) {
        return rc;
    }
    if (c->loop->current == c && gni_segq_empty(&c->u.out)) {
        rc = stage_write(c, iov, count);
    } else {
        rc = queue_write(c, iov, count);
    }
    changed(c);
    return rc;
}

/* ------------------------------------------------- more than copied bytes */

int gni_out_refusal(const gn_conn *c)
{
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    if ((c->flags & GNI_F_DGRAM) != 0) {
        return GN_ENOTSUP;
    }
    return (c->flags & GNI_F_SHUT) != 0 ? GN_EPIPE : GN_OK;
}

/* What was staged comes before what is now queued.  A little of it is moved to the queue, so that both
 * leave in one system call. */
static int stage_to_queue(gn_conn *c)
{
    gn_loop *l = c->loop;
    gni_stage *s = &l->stage;
    if (l->current != c || s->bytes == 0) {
        return GN_OK;
    }
    if (s->bytes > STAGE_MOVE_MAX) {
        return gni_out_send_stage(c);
    }
    gni_segq_tip tip = gni_segq_tip_of(&c->u.out);
    for (unsigned i = 0; i < s->count; i++) {
        int rc = gni_segq_append(&c->u.out, &l->segs, s->span[i].base, s->span[i].len);
        if (rc != GN_OK) {
            gni_segq_rewind(&c->u.out, &l->segs, &tip);
            return rc;
        }
    }
    stage_clear(s);
    return GN_OK;
}

static gni_item *item_new(gn_conn *c, unsigned kind, gn_handle h, gn_done done, void *arg)
{
    gni_item *i = gni_item_take(&c->loop->segs, kind);
    if (i != NULL) {
        i->h = h;
        i->done = done;
        i->arg = arg;
    }
    return i;
}

/* Short pieces share a segment: one more span costs the system call more than copying them. */
static int queue_ref(gn_conn *c, const gn_iov *iov)
{
    gni_segpool *pool = &c->loop->segs;
    if (iov->len < GNI_BORROW_MIN) {
        return gni_segq_append(&c->u.out, pool, iov->base, iov->len);
    }
    gni_item *i = item_new(c, GNI_NODE_REF, GN_HANDLE_NONE, NULL, NULL);
    if (i == NULL) {
        return GN_ENOMEM;
    }
    i->u.ref.base = iov->base;
    i->u.ref.len = iov->len;
    int rc = gni_segq_put(&c->u.out, pool, i);
    if (rc != GN_OK) {
        gni_item_drop(pool, i);
    }
    return rc;
}

/* The pieces, then the mark that tells when they have left. */
static int queue_refs(gn_conn *c, const gn_iov *iov, unsigned count, gni_item *mark)
{
    gni_segpool *pool = &c->loop->segs;
    gni_segq_tip tip = gni_segq_tip_of(&c->u.out);
    int rc = GN_OK;
    for (unsigned i = 0; i < count && rc == GN_OK; i++) {
        rc = iov[i].len == 0 ? GN_OK : queue_ref(c, &iov[i]);
    }
    if (rc == GN_OK && mark != NULL) {
        rc = gni_segq_put(&c->u.out, pool, mark);
    }
    if (rc != GN_OK) {
        gni_segq_rewind(&c->u.out, pool, &tip);
    }
    return rc;
}

int gni_out_write_ref(gn_conn *c, const gn_iov *iov, unsigned count, gn_handle h, gn_done done, void *arg)
{
    gni_segpool *pool = &c->loop->segs;
    gni_item *mark = NULL;
    size_t total = 0;
    int rc = room_check(c, iov, count, &total);
    if (rc == GN_OK && done != NULL) {
        mark = item_new(c, GNI_NODE_MARK, h, done, arg);
        rc = mark == NULL ? GN_ENOMEM : GN_OK;
    }
    if (rc == GN_OK) {
        rc = stage_to_queue(c);
    }
    if (rc == GN_OK) {
        rc = queue_refs(c, iov, count, mark);
    }
    if (rc == GN_OK) {
        changed(c);
    } else if (mark != NULL) {
        gni_item_drop(pool, mark);
    }
    return rc;
}

int gni_out_send_file(gn_conn *c, const gni_part *f, gn_done done, void *arg)
{
    gni_segpool *pool = &c->loop->segs;
    gni_item *i = item_new(c, GNI_NODE_FILE, gn_conn_handle(c), done, arg);
    if (i == NULL) {
        return GN_ENOMEM;
    }
    i->u.file = *f;
    int rc = stage_to_queue(c);
    if (rc == GN_OK) {
        rc = gni_segq_put(&c->u.out, pool, i);
    }
    if (rc != GN_OK) {
        gni_item_drop(pool, i);
        return rc;
    }
    changed(c);
    return GN_OK;
}

int gni_out_send_descriptor(gn_conn *c, intptr_t os, const void *data, size_t n)
{
    gni_segpool *pool = &c->loop->segs;
    gn_iov one = { data, n };
    size_t total = 0;
    gni_item *i = item_new(c, GNI_NODE_DESCRIPTOR, GN_HANDLE_NONE, NULL, NULL);
    if (i == NULL) {
        gnp_descriptor_close(os);
        return GN_ENOMEM;
    }
    i->u.descriptor = os;
    int rc = room_check(c, &one, 1, &total);
    if (rc == GN_OK) {
        rc = stage_to_queue(c);
    }
    gni_segq_tip tip = gni_segq_tip_of(&c->u.out);
    if (rc == GN_OK) {
        rc = gni_segq_put(&c->u.out, pool, i);
    }
    if (rc != GN_OK) {
        gni_item_drop(pool, i);
        return rc;
    }
    rc = gni_segq_append(&c->u.out, pool, data, n);
    if (rc != GN_OK) {
        gni_segq_rewind(&c->u.out, pool, &tip);
        return rc;
    }
    changed(c);
    return GN_OK;
}

void gni_out_finish(gn_loop *l)
{
    gni_segpool *pool = &l->segs;
    gni_node *n = pool->finished;
    pool->finished = NULL;
    pool->finished_tail = &pool->finished;
    while (n != NULL) {
        gni_item *i = gni_item_of(n);
        n = n->next;
        gn_done done = i->done;
        gn_handle h = i->h;
        void *arg = i->arg;
        int status = i->u.status;
        gni_item_give(pool, i); /* first: what done queues may use it again */
        if (l->watched) {
            gni_busy_begin(&l->busy, h);
        }
        done(h, status, arg);
    }
}
