/* SPDX-License-Identifier: MIT */
/*
 * The way out of a connection.  What its own callback writes is staged and leaves in one
 * system call after the callback; what does not leave, and what others write, is queued.
 */
#ifndef GNI_OUTBOUND_H
#define GNI_OUTBOUND_H

#include <string.h>

#include "conn.h"
#include "engine.h"
#include "loop.h"

/* Shorter pieces of the lent span are copied: one more span costs the system call more than
 * copying a few cache lines. */
#define GNI_BORROW_MIN 256u

/* Stages or queues.  All or nothing: GN_ELIMIT, GN_ENOMEM; then nothing of it will be sent.
 * An error that is found by sending early fails the connection and is returned. */
int gni_out_write(gn_conn *c, const gn_iov *iov, unsigned count);

/* Queues memory of the user's, which done gives back; short pieces are copied.  All or nothing:
 * GN_ELIMIT, GN_ENOMEM, GN_EINVAL; then done is not called. */
int gni_out_write_ref(gn_conn *c, const gn_iov *iov, unsigned count, gn_handle h, gn_done done, void *arg);

/* Queues a part of a file, not empty.  GN_ELIMIT, GN_ENOMEM. */
int gni_out_send_file(gn_conn *c, const gni_part *f, gn_done done, void *arg);

/* Queues a descriptor, which now is the library's in any case, and n > 0 bytes that it goes with. */
int gni_out_send_descriptor(gn_conn *c, intptr_t os, const void *data, size_t n);

/* Why c can take no more of the user's, or GN_OK. */
int gni_out_refusal(const gn_conn *c);

/* Calls the completions that are due now.  Those that come due meanwhile wait for the next turn, so that
 * they cannot hold the loop. */
void gni_out_finish(gn_loop *l);

/* Sends what the callback of c (the loop's current connection) has staged. */
int gni_out_send_stage(gn_conn *c);

/* Sends from the queue until it is empty, the system takes no more, or the turn's share is used
 * up (then the connection is marked dirty).  A failure is kept in the connection. */
void gni_out_send_queue(gn_conn *c);

/* The send in flight has ended.  What is next in the queue is not sent yet. */
void gni_out_sent(gn_conn *c, const gnp_event *ev);

/* Bytes staged or queued. */
size_t gni_out_bytes(const gn_conn *c);

/* 1 if p[0 .. n) is part of what the poller lends to the callback that runs. */
static inline int gni_out_is_lent(const gn_loop *l, const unsigned char *p, size_t n)
{
    return n <= l->lent_len && p >= l->lent && (size_t)(p - l->lent) <= l->lent_len - n;
}

/* Adds a span, or makes the last one longer if p goes on where it ends.  There must be room. */
static inline void gni_stage_point(gni_stage *s, const unsigned char *p, size_t n)
{
    s->bytes += n;
    if (s->count > 0) {
        gnp_iov *last = &s->span[s->count - 1];
        if ((const unsigned char *)last->base + last->len == p) {
            last->len += n;
            return;
        }
    }
    s->span[s->count].base = p;
    s->span[s->count].len = n;
    s->count++;
}

static inline void gni_stage_copy(gni_stage *s, const void *p, size_t n)
{
    unsigned char *to = s->buf + s->used;
    memcpy(to, p, n);
    s->used += n;
    gni_stage_point(s, to, n);
}

/* The way of nearly every write: from the connection's own callback, with nothing queued, into
 * the stage.  1 if it is done, 0 if gni_out_write must look closer. */
static inline int gni_out_write_short(gn_conn *c, const void *p, size_t n)
{
    gn_loop *l = c->loop;
    gni_stage *s = &l->stage;
    if (l->current != c || c->state != GNI_CONN_OPEN || !gni_segq_empty(&c->u.out) || n == 0 ||
        p == NULL || (c->flags & (GNI_F_FAILED | GNI_F_SHUT | GNI_F_DGRAM | GNI_F_LIMITED)) != 0) {
        return 0;
    }
    if (n > GNI_STAGE_BYTES - s->used || s->count == GNI_STAGE_SPANS ||
        n + s->bytes > l->outbound_max || (n >= GNI_BORROW_MIN && gni_out_is_lent(l, p, n))) {
        return 0;
    }
    gni_stage_copy(s, p, n);
    return 1;
}

/* gn_conn_write of what another thread has posted: outside of every callback, and c is usable.  Nearly always
 * the end of a segment has room. */
static inline int gni_out_post(gn_conn *c, const void *p, size_t n)
{
    gn_loop *l = c->loop;
    gni_node *tail = c->u.out.tail;
    if (n > 0 && (c->flags & (GNI_F_SHUT | GNI_F_DGRAM | GNI_F_LIMITED)) == 0 && !l->budgeted &&
        tail != NULL && tail->kind == GNI_NODE_DATA && n <= gni_seg_room(tail) &&
        c->u.out.bytes + n <= l->outbound_max) {
        gni_seg_add(&c->u.out, p, n);
        gni_conn_mark_dirty(c);
        return GN_OK;
    }
    return gn_conn_write(c, p, n);
}

#endif
