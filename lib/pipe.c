/* SPDX-License-Identifier: MIT */
#include "pipe.h"

#include "engine.h"
#include "loop.h"
#include "outbound.h"

/* It takes no more, though it may be below its marks.  Half of what is queued must leave before the next try,
 * so each try follows progress; with nothing queued it always takes something. */
static void full(gn_conn *to)
{
    to->more->pipe_full = to->u.out.bytes;
    to->flags |= GNI_F_QUEUED;
}

/* As much as `to` takes now.  The bytes are lent to it as if they had come to its own callback, so that
 * what leaves at once is not copied. */
static size_t forward(gn_conn *to, const void *p, size_t n)
{
    size_t room = gni_conn_outbound_max(to);
    room = to->u.out.bytes < room ? room - to->u.out.bytes : 0;
    if ((to->flags & GNI_F_HIGH) != 0) {
        return 0;
    }
    if (room == 0) {
        full(to);
        return 0;
    }
    n = n < room ? n : room;
    n = n < GNI_STAGE_BYTES ? n : GNI_STAGE_BYTES; /* so much is never refused while nothing is queued */
    gni_conn_callback_begin(to, p, n);
    int rc = gn_conn_write(to, p, n);
    gni_conn_callback_end(to);
    if (rc == GN_OK && to->u.out.bytes > gni_conn_high(to)) {
        to->flags |= GNI_F_HIGH; /* now, since the reader asks before it settles */
    }
    if (rc == GN_ELIMIT) { /* a budget, and something is queued */
        full(to);
        n = 0;
    } else if (rc != GN_OK) {
        gni_conn_fail(to, rc, 0);
    }
    gni_conn_mark_dirty(to);
    return n;
}

/* The end of our input, once all of it has gone. */
static void pass_end(gn_conn *from)
{
    gn_conn *to = from->more->pipe_to;
    if ((from->flags & GNI_F_EOF) != 0 && from->inbound.len == 0 && gni_conn_usable(to)) {
        to->flags |= GNI_F_SHUT;
        gni_conn_mark_dirty(to);
    }
}

static void keep(gn_conn *from, const void *data, size_t n)
{
    int rc = n > 0 ? gni_ring_write(&from->inbound, data, n) : GN_OK;
    if (rc != GN_OK) {
        gni_conn_fail(from, rc, 0);
    }
}

void gni_pipe_input(gn_conn *from, const void *data, size_t n)
{
    gn_conn *to = from->more->pipe_to;
    if (!gni_conn_usable(to)) { /* it ends, and with it this one, unless the user parts them first */
        keep(from, data, n);
        return;
    }
    if ((to->flags & GNI_F_SHUT) != 0 && (data != NULL || from->inbound.len > 0)) {
        gni_conn_request_close(from, GN_EPIPE, from->loop->engine->options.close_timeout_ns);
        return;
    }
    if (data != NULL) {
        size_t gone = forward(to, data, n);
        keep(from, (const unsigned char *)data + gone, n - gone);
    } else if (from->inbound.len > 0) {
        const void *p = gni_ring_linear(&from->inbound);
        gni_ring_discard(&from->inbound, forward(to, p, from->inbound.len));
    }
    if (from->inbound.len > 0 && (to->flags & GNI_F_HIGH) == 0 && to->more->pipe_full == 0) {
        from->flags |= GNI_F_AGAIN; /* the rest in the next turn */
    }
    pass_end(from);
}

void gni_pipe_eof(gn_conn *from)
{
    from->flags |= GNI_F_END;
    pass_end(from);
}

int gni_pipe_has_room(const gn_conn *from)
{
    const gn_conn *to = from->more->pipe_to;
    int holds = from->loop->strained && to->u.out.bytes > 0; /* the way from here to there, see budget.h */
    return from->inbound.len == 0 && (to->flags & GNI_F_HIGH) == 0 && !holds && gni_conn_usable(to);
}

void gni_pipe_writable(gn_conn *c)
{
    gn_conn *from = c->more->pipe_from;
    c->more->pipe_full = 0;
    from->flags |= GNI_F_AGAIN;
    gni_conn_mark_dirty(from);
}

static void unlink_pair(gn_conn *from, gn_conn *to)
{
    from->more->pipe_to = NULL;
    from->flags &= ~(uint32_t)GNI_F_PIPED;
    to->more->pipe_from = NULL;
    to->more->pipe_full = 0;
    to->flags &= ~(uint32_t)GNI_F_SINK;
}

/* What was read and not yet passed on is the last that `to` sends.  No limit is asked: it only goes from one
 * buffer to another, and without it `to` would end as if it had sent all. */
static void pass_rest(gn_conn *from, gn_conn *to)
{
    size_t n = from->inbound.len;
    if (n == 0 || (to->flags & (GNI_F_FAILED | GNI_F_RESET | GNI_F_SHUT)) != 0) {
        return;
    }
    int rc = gni_segq_append(&to->u.out, &to->loop->segs, gni_ring_linear(&from->inbound), n);
    if (rc != GN_OK) {
        gni_conn_fail(to, rc, 0);
    }
    gni_conn_mark_dirty(to);
}

void gni_pipe_end(gn_conn *c, int reason)
{
    uint64_t timeout = c->loop->engine->options.close_timeout_ns;
    if ((c->flags & GNI_F_PIPED) != 0) {
        gn_conn *to = c->more->pipe_to;
        pass_rest(c, to);
        unlink_pair(c, to);
        gni_conn_request_close(to, reason, timeout);
    }
    if ((c->flags & GNI_F_SINK) != 0) {
        gn_conn *from = c->more->pipe_from;
        unlink_pair(from, c);
        gni_conn_request_close(from, reason, timeout);
    }
}

static int is_stream(const gn_conn *c)
{
    return gni_conn_valid(c) && (c->flags & GNI_F_DGRAM) == 0;
}

int gn_conn_pipe(gn_conn *from, gn_conn *to)
{
    if (!is_stream(from) || !is_stream(to) || from->loop != to->loop || from->loop != gn_loop_current()) {
        return GN_EINVAL;
    }
    if (!gni_conn_usable(from) || !gni_conn_usable(to)) {
        return GN_ECLOSED;
    }
    if ((to->flags & GNI_F_SHUT) != 0) {
        return GN_EPIPE;
    }
    if ((from->flags & GNI_F_PIPED) != 0 || (to->flags & GNI_F_SINK) != 0) {
        return GN_EBUSY;
    }
    if (gni_conn_more(from) == NULL || gni_conn_more(to) == NULL) {
        return GN_ENOMEM;
    }
    from->more->pipe_to = to;
    to->more->pipe_from = from;
    from->flags |= GNI_F_PIPED | GNI_F_AGAIN; /* what is unread, and an end that was seen, go first */
    to->flags |= GNI_F_SINK;
    gni_conn_mark_dirty(from);
    return GN_OK;
}

int gn_conn_unpipe(gn_conn *from)
{
    if (!is_stream(from) || (from->flags & GNI_F_PIPED) == 0) {
        return GN_EINVAL;
    }
    unlink_pair(from, from->more->pipe_to);
    if (from->inbound.len > 0 || (from->flags & GNI_F_END) != 0) {
        from->flags |= GNI_F_AGAIN;
    }
    gni_conn_mark_dirty(from);
    return GN_OK;
}
