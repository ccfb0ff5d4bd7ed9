/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <string.h>

#include "addr.h"
#include "budget.h"
#include "descriptor.h"
#include "dial.h"
#include "engine.h"
#include "log.h"
#include "loop.h"
#include "migrate.h"
#include "outbound.h"
#include "pipe.h"
#include "udp.h"

_Static_assert(sizeof(gn_conn) <= 248, "an idle connection costs at most 256 bytes, table and all");
_Static_assert(offsetof(gn_conn, sock) == 0, "events find the connection by its socket");

static const gn_options *options_of(const gn_conn *c)
{
    return &c->loop->engine->options;
}

/* ------------------------------------------------------------- deadlines */

/* Half of what the counter of ticks holds, 26 days; longer is for ever. */
#define IDLE_TICKS_MAX (UINT32_MAX / 2)

static void idle_set(gn_conn *c, uint64_t ns)
{
    /* Rounded up and one more, since the last byte may have come at the end of its tick. */
    uint64_t ticks = (ns >> GNI_TICK_BITS) + 2;
    c->idle_ticks = ns == 0 || ticks > IDLE_TICKS_MAX ? 0 : (uint32_t)ticks;
    c->active = gni_ticks(c->loop->now);
}

static uint32_t idle_left(const gn_conn *c)
{
    uint32_t gone = gni_ticks(c->loop->now) - c->active;
    return gone >= c->idle_ticks ? 0 : c->idle_ticks - gone;
}

static void deadline_update(gn_conn *c)
{
    uint64_t at = GNP_NEVER;
    if (c->state >= GNI_CONN_CLOSING) {
        at = c->t.close_at;
    } else {
        if (c->idle_ticks != 0) {
            at = c->loop->now + ((uint64_t)idle_left(c) << GNI_TICK_BITS);
        }
        if (c->t.read_at != 0 && c->t.read_at < at) {
            at = c->t.read_at;
        }
        if (c->more != NULL && c->more->write_at != 0 && c->more->write_at < at) {
            at = c->more->write_at;
        }
    }
    if (at == GNP_NEVER) {
        gni_timer_cancel(&c->loop->wheel, &c->timer);
    } else {
        gni_timer_set(&c->loop->wheel, &c->timer, at);
    }
}

static uint64_t after(const gn_loop *l, uint64_t ns)
{
    return ns > GNP_NEVER - 1 - l->now ? GNP_NEVER : l->now + ns;
}

/* ------------------------------------------------------------ the way down */

gni_more *gni_conn_more(gn_conn *c)
{
    if (c->more == NULL) {
        c->more = gnp_zalloc(sizeof *c->more);
    }
    return c->more;
}

void gni_conn_more_free(gn_conn *c)
{
    gnp_free(c->more, sizeof *c->more);
    c->more = NULL;
}

static void traffic(gn_conn *c, const void *data, size_t n);

static void outbound_clear(gn_conn *c)
{
    int lost = c->reason == GN_OK || c->reason == GN_EOF ? GN_ECLOSED : c->reason;
    gni_segq_clear(&c->u.out, &c->loop->segs, lost);
}

static void conn_release(gn_conn *c)
{
    if ((c->flags & (GNI_F_DIRTY | GNI_F_INFLIGHT)) == 0) {
        if ((c->flags & GNI_F_FLYING) != 0) {
            outbound_clear(c); /* only now does the system no longer read from there */
            gni_budget_update(c);
        }
        gni_conn_more_free(c);
        gni_conntab_release(&c->loop->conns, c);
    }
}

static void sock_close(gn_conn *c, int reset)
{
    gn_loop *l = c->loop;
    gni_timer_cancel(&l->wheel, &c->timer);
    c->state = GNI_CONN_DEAD;
    if (gnp_close(l->poller, &c->sock, reset) == GNP_INFLIGHT) {
        c->flags |= GNI_F_INFLIGHT;
    }
    gni_acceptor_retry(l);
    conn_release(c);
}

/*
 * Our end is sent, the peer's has not come.  Closing now would make the system answer what
 * the peer still sends with a reset, and a reset destroys what the peer has not yet read of
 * our last bytes (RFC 1122 4.2.2.13).  So wait for its end, for a while.
 */
static int linger_start(gn_conn *c)
{
    gn_loop *l = c->loop;
    uint64_t ns = options_of(c)->linger_ns;
    if ((c->flags & (GNI_F_EOF | GNI_F_FAILED | GNI_F_RESET | GNI_F_DGRAM)) != 0 || ns == 0) {
        return 0;
    }
    if ((c->flags & GNI_F_SHUT_DONE) == 0 && gnp_shutdown(l->poller, &c->sock) != GNP_OK) {
        return 0;
    }
    if ((c->flags & GNI_F_PAUSED) != 0 && gnp_want(l->poller, &c->sock, GNP_READ) != GNP_OK) {
        return 0;
    }
    c->t.close_at = after(l, ns);
    if (l->draining && l->drain_at < c->t.close_at) {
        c->t.close_at = l->drain_at;
    }
    deadline_update(c);
    return 1;
}

static void closers_done(gn_conn *c)
{
    gni_task *t = NULL;
    while (c->closers != NULL) { /* the last to ask is first in the list */
        gni_task *next = c->closers->next;
        c->closers->next = t;
        t = c->closers;
        c->closers = next;
    }
    while (t != NULL) {
        gni_task *next = t->next;
        t->run(t, GN_OK);
        t = next;
    }
}

static void counts_leave(gn_loop *l)
{
    l->open--;
    gnp_store64_relaxed(&l->open_shared, l->open);
    gnp_sub32(&l->load, 1);
}

static void counts_end(gn_conn *c, int reason)
{
    gni_stats *s = &c->loop->stats;
    gni_count(&s->closed, 1);
    if ((c->flags & GNI_F_FAILED) != 0) {
        gni_count(&s->errors, 1);
    } else if (reason == GN_ETIMEDOUT) {
        gni_count(&s->timeouts, 1);
    }
}

/* All of its end but the socket's. */
static gn_action conn_finish(gn_conn *c, int reason)
{
    gn_loop *l = c->loop;
    const gn_handler *h = c->handler;
    gn_action action = GN_NONE;
    c->state = GNI_CONN_LINGER;
    counts_end(c, reason);
    c->reason = (int16_t)reason;
    counts_leave(l);
    if (l->watched) {
        gni_busy_begin(&l->busy, gn_conn_handle(c));
    }
    if ((c->flags & GNI_F_FAILED) != 0 && h->on_error != NULL) {
        h->on_error(c, reason, c->user);
    }
    if (h->on_close != NULL) {
        action = h->on_close(c, reason, c->user);
    }
    gni_pipe_end(c, reason);
    gni_ring_free(&c->inbound);
    if ((c->flags & GNI_F_DGRAM) != 0) {
        gni_udp_forget(c);
    } else if ((c->flags & GNI_F_FLYING) == 0) {
        outbound_clear(c);
    }
    gni_descriptors_drop(c);
    gni_budget_update(c);
    if (c->more != NULL) {
        gni_migrate_end(c);
    }
    gni_conntab_retire(&l->conns, c);
    closers_done(c);
    return action;
}

/* The socket is closed, or lingers: there is room for another. */
static void end_settle(gn_loop *l, unsigned listener, gn_action action)
{
    if (l->engine->guarded) {
        gni_listener_leave(l->engine, listener);
    }
    if (action == GN_SHUTDOWN) {
        gn_engine_stop(l->engine, l->engine->options.drain_ns);
    }
}

static void conn_end(gn_conn *c, int reason)
{
    gn_loop *l = c->loop;
    unsigned listener = c->listener;
    gn_action action = conn_finish(c, reason);
    if (!linger_start(c)) {
        /* What failed may have lost bytes: its end must not look like the end of a whole stream. */
        sock_close(c, (c->flags & (GNI_F_RESET | GNI_F_FAILED)) != 0);
    }
    end_settle(l, listener, action);
}

void gni_conn_end_detached(gn_conn *c, int reason)
{
    c->flags |= GNI_F_FAILED;
    gn_action action = conn_finish(c, reason);
    gnp_sock_close(&c->sock, 1);
    c->state = GNI_CONN_DEAD;
    end_settle(c->loop, c->listener, action);
}

void gni_conn_free_slot(gn_conn *c)
{
    c->state = GNI_CONN_DEAD;
    conn_release(c);
}

void gni_conn_deadlines(gn_conn *c)
{
    deadline_update(c);
}

void gni_conn_fail(gn_conn *c, int reason, int os_error)
{
    if ((c->flags & GNI_F_FAILED) == 0) {
        c->flags |= GNI_F_FAILED;
        c->reason = (int16_t)reason;
        c->os_error = (int16_t)os_error;
    }
}

void gni_conn_cut(gn_conn *c, int reason)
{
    if (gni_conn_is_endpoint(c)) {
        gni_udp_close(c, 1);
    } else if (c->state == GNI_CONN_OPEN || c->state == GNI_CONN_CLOSING) {
        c->flags |= GNI_F_RESET;
        conn_end(c, reason);
    } else if (c->state == GNI_CONN_LINGER) {
        sock_close(c, 0);
    }
}

void gni_conn_request_close(gn_conn *c, int reason, uint64_t timeout_ns)
{
    if (c->state != GNI_CONN_OPEN || (c->flags & GNI_F_FAILED) != 0) {
        return;
    }
    c->state = GNI_CONN_CLOSING;
    c->reason = (int16_t)reason;
    c->t.close_at = after(c->loop, timeout_ns);
    gni_conn_mark_dirty(c);
}

/* ----------------------------------------------------------------- settle */

size_t gni_conn_high(const gn_conn *c)
{
    return c->more != NULL && c->more->high != 0 ? c->more->high : options_of(c)->outbound_high;
}

static size_t low_of(const gn_conn *c)
{
    return c->more != NULL && c->more->high != 0 ? c->more->low : options_of(c)->outbound_low;
}

static size_t inbound_max(const gn_conn *c)
{
    return c->more != NULL && c->more->inbound_max != 0 ? c->more->inbound_max : options_of(c)->inbound_max;
}

size_t gni_conn_outbound_max(const gn_conn *c)
{
    return c->more != NULL && c->more->outbound_max != 0 ? c->more->outbound_max : c->loop->outbound_max;
}

/* Reading rests while the user asks for that or leaves too much unread, while the peer reads too little of
 * what we send, and while the loop holds too much of which some is ours: both ends of a queue are bounded. */
static int reading_rests(const gn_conn *c)
{
    if (c->state != GNI_CONN_OPEN) {
        return 0;
    }
    if ((c->flags & (GNI_F_REST | GNI_F_STARVED)) != 0) {
        return 1;
    }
    if ((c->flags & GNI_F_HUNG) != 0) { /* what there is must be read, to see its end */
        return 0;
    }
    /* Who is piped answers nobody: if its own way out were to stop it, two full directions would hold each
     * other for ever. */
    if ((c->flags & GNI_F_PIPED) != 0) {
        return !gni_pipe_has_room(c);
    }
    return (c->flags & GNI_F_HIGH) != 0 || c->inbound.len >= inbound_max(c) ||
           ((c->flags & GNI_F_HELD) != 0 && c->loop->strained);
}

static void interest_update(gn_conn *c)
{
    int pause = reading_rests(c);
    int paused = (c->flags & GNI_F_PAUSED) != 0;
    if (pause == paused || (c->flags & GNI_F_EOF) != 0) {
        return;
    }
    int rc = gnp_want(c->loop->poller, &c->sock, pause ? 0 : GNP_READ);
    if (rc != GNP_OK) {
        gni_conn_fail(c, rc, gnp_os_error());
        gni_conn_mark_dirty(c);
    }
    c->flags ^= GNI_F_PAUSED;
}

static void tell(gn_conn *c, gn_action (*fn)(gn_conn *c, void *user))
{
    gni_conn_callback_begin(c, NULL, 0);
    gn_action action = fn(c, c->user);
    gni_conn_callback_end(c);
    gni_conn_action(c, action);
    gni_conn_mark_dirty(c); /* what it wrote, or asked for, is seen to in the next turn */
}

/* The marks of the outbound queue, and who wants to know of them. */
static void marks_update(gn_conn *c)
{
    const gn_handler *h = c->handler;
    size_t out = c->u.out.bytes;
    if (out > gni_conn_high(c)) {
        c->flags |= GNI_F_HIGH;
    } else if ((c->flags & GNI_F_HIGH) != 0 && out <= low_of(c)) {
        c->flags &= ~(uint32_t)GNI_F_HIGH;
        if ((c->flags & GNI_F_SINK) != 0) {
            gni_pipe_writable(c);
        }
        if (h->on_writable != NULL && c->state == GNI_CONN_OPEN) {
            tell(c, h->on_writable);
        }
    }
    if ((c->flags & GNI_F_SINK) != 0 && c->more->pipe_full != 0 && out <= c->more->pipe_full / 2) {
        gni_pipe_writable(c);
    }
    if (!gni_segq_empty(&c->u.out)) {
        c->flags |= GNI_F_QUEUED;
    } else if ((c->flags & GNI_F_QUEUED) != 0) {
        c->flags &= ~(uint32_t)GNI_F_QUEUED;
        if ((c->flags & GNI_F_SINK) != 0 && c->loop->strained) {
            gni_pipe_writable(c);
        }
        if (h->on_drained != NULL && c->state == GNI_CONN_OPEN) {
            tell(c, h->on_drained);
        }
    }
}

/* 1 when the connection has ended. */
static int settle_drained(gn_conn *c)
{
    if (c->state == GNI_CONN_CLOSING) {
        conn_end(c, c->reason);
        return 1;
    }
    if ((c->flags & (GNI_F_SHUT | GNI_F_SHUT_DONE)) == GNI_F_SHUT) {
        c->flags |= GNI_F_SHUT_DONE;
        int rc = gnp_shutdown(c->loop->poller, &c->sock);
        if (rc != GNP_OK) { /* the first to hear of a reset is told that there is no connection */
            gni_conn_fail(c, rc == GNP_ENOTCONN ? GN_ECONNRESET : rc, gnp_os_error());
            conn_end(c, c->reason);
            return 1;
        }
    }
    if ((c->flags & GNI_F_SHUT_DONE) != 0 && (c->flags & GNI_F_EOF) != 0) {
        conn_end(c, GN_EOF);
        return 1;
    }
    return 0;
}

static void settle_datagrams(gn_conn *c)
{
    if (!gni_udp_settle(c)) {
        interest_update(c);
        if (c->state == GNI_CONN_CLOSING && !gni_conn_is_endpoint(c)) {
            deadline_update(c);
        }
    } else if (gni_conn_is_endpoint(c)) {
        gni_udp_close(c, 1);
    } else {
        conn_end(c, c->reason);
    }
}

/* An on_traffic without new bytes can be called; else it waits for a resume, or for nothing. */
static int traffic_due(const gn_conn *c)
{
    return (c->flags & (GNI_F_AGAIN | GNI_F_REST)) == GNI_F_AGAIN && gni_conn_usable(c);
}

static void settle(gn_conn *c)
{
    if (c->state != GNI_CONN_OPEN && c->state != GNI_CONN_CLOSING) {
        return;
    }
    if ((c->flags & GNI_F_DGRAM) != 0) {
        settle_datagrams(c);
        return;
    }
    if (!gni_segq_empty(&c->u.out) &&
        (c->flags & (GNI_F_BLOCKED | GNI_F_FLYING | GNI_F_FAILED | GNI_F_RESET)) == 0) {
        gni_out_send_queue(c);
    }
    if (c->inbound.len == 0 && c->inbound.buf != NULL) {
        gni_ring_free(&c->inbound); /* gn_conn_next leaves it, since it lends it */
    }
    if ((c->flags & (GNI_F_FAILED | GNI_F_RESET)) != 0) {
        conn_end(c, c->reason);
        return;
    }
    if (gni_segq_empty(&c->u.out) && settle_drained(c)) {
        return;
    }
    marks_update(c);
    gni_budget_update(c);
    interest_update(c);
    if (traffic_due(c)) {
        gni_conn_mark_dirty(c);
    }
    if (c->state == GNI_CONN_CLOSING) {
        deadline_update(c);
    }
}

/* Flags under which there may be something to do after a callback. */
#define UNSETTLED                                                                                   \
    (GNI_F_DGRAM | GNI_F_FAILED | GNI_F_RESET | GNI_F_SHUT | GNI_F_PAUSED | GNI_F_HIGH | GNI_F_REST | \
     GNI_F_AGAIN | GNI_F_QUEUED | GNI_F_HELD)

void gni_conn_settle(gn_conn *c)
{
    if (c->state == GNI_CONN_OPEN && gni_segq_empty(&c->u.out) && c->inbound.buf == NULL &&
        (c->flags & UNSETTLED) == 0) {
        return;
    }
    settle(c);
}

void gni_conn_mark_dirty(gn_conn *c)
{
    gn_loop *l = c->loop;
    if (c == l->current || (c->flags & GNI_F_DIRTY) != 0) {
        return;
    }
    c->flags |= GNI_F_DIRTY;
    c->dirty_next = NULL;
    *l->dirty_tail = c;
    l->dirty_tail = &c->dirty_next;
}

static void traffic_again(gn_conn *c);

void gni_conn_clean(gn_conn *c)
{
    c->flags &= ~(uint32_t)GNI_F_DIRTY;
    if (c->state == GNI_CONN_DEAD) {
        conn_release(c);
    } else {
        if (traffic_due(c)) {
            traffic_again(c);
        }
        gni_conn_settle(c);
    }
}

/* --------------------------------------------------------------- callbacks */

void gni_conn_action(gn_conn *c, gn_action action)
{
    if (action == GN_NONE) {
        return;
    }
    if (!gni_conn_is_endpoint(c)) {
        if (action == GN_CLOSE) {
            gni_conn_request_close(c, GN_OK, options_of(c)->close_timeout_ns);
        }
    }
    if (action == GN_SHUTDOWN) {
        gn_engine_stop(c->loop->engine, options_of(c)->drain_ns);
    }
}

void gni_conn_callback_begin(gn_conn *c, const void *data, size_t n)
{
    gn_loop *l = c->loop;
    if (l->watched) {
        gni_busy_begin(&l->busy, gn_conn_handle(c));
    }
    l->current = c;
    l->lent = data;
    l->span_len = l->lent_len = n;
}

/* What was staged leaves while the lent span still stands. */
void gni_conn_callback_end(gn_conn *c)
{
    gn_loop *l = c->loop;
    (void)gni_out_send_stage(c);
    l->current = NULL;
    l->span_len = l->lent_len = 0;
}

static void traffic(gn_conn *c, const void *data, size_t n)
{
    gn_loop *l = c->loop;
    const gn_handler *h = c->handler;
    gn_action action = GN_NONE;
    if ((c->flags & GNI_F_PIPED) != 0) {
        gni_pipe_input(c, data, n);
        return;
    }
    gni_conn_callback_begin(c, data, n);
    if (h->on_traffic != NULL) {
        action = h->on_traffic(c, c->user);
    } else {
        (void)gn_conn_discard(c, SIZE_MAX);
    }
    if (l->span_len > 0 && (h->on_close != NULL || gni_conn_usable(c))) { /* on_close may peek */
        int rc = gni_ring_write(&c->inbound, gni_loop_span(l), l->span_len);
        if (rc != GN_OK) {
            gni_conn_fail(c, rc, 0);
        }
    }
    gni_conn_callback_end(c);
    gni_conn_action(c, action);
}

void gni_conn_traffic(gn_conn *c, const void *data, size_t n)
{
    traffic(c, data, n);
}

static void conn_eof(gn_conn *c)
{
    const gn_handler *h = c->handler;
    c->flags |= GNI_F_EOF;
    if (c->state != GNI_CONN_OPEN) {
        return;
    }
    if ((c->flags & GNI_F_PIPED) != 0) {
        gni_pipe_eof(c);
        return;
    }
    gn_action action = GN_CLOSE;
    if (h->on_eof != NULL) {
        gni_conn_callback_begin(c, NULL, 0);
        action = h->on_eof(c, c->user);
        gni_conn_callback_end(c);
    }
    if (action == GN_CLOSE) {
        gni_conn_request_close(c, GN_EOF, options_of(c)->close_timeout_ns);
    } else {
        gni_conn_action(c, action);
    }
}

/* What is owed after a resume, and what a pipe has left behind. */
static void traffic_again(gn_conn *c)
{
    c->flags &= ~(uint32_t)GNI_F_AGAIN;
    if (c->inbound.len > 0 || (c->flags & GNI_F_PIPED) != 0) {
        traffic(c, NULL, 0);
    }
    if ((c->flags & (GNI_F_END | GNI_F_PIPED)) == GNI_F_END && gni_conn_usable(c)) {
        c->flags &= ~(uint32_t)GNI_F_END;
        conn_eof(c);
    }
}

/* ------------------------------------------------------------------ events */

static void conn_input(gn_conn *c, const void *data, size_t n)
{
    gn_loop *l = c->loop;
    if (c->idle_ticks != 0) {
        c->active = gni_ticks(l->now);
    }
    if (c->inbound.len > 0) {
        int rc = gni_ring_write(&c->inbound, data, n);
        gnp_recv_done(l->poller, &c->sock);
        if (rc != GN_OK) {
            gni_conn_fail(c, rc, 0);
            return;
        }
        traffic(c, NULL, 0);
        return;
    }
    traffic(c, data, n);
    gnp_recv_done(l->poller, &c->sock);
}

/* One piece of input.  Returns its length if reading should go on, else 0. */
static size_t conn_receive(gn_conn *c)
{
    gn_loop *l = c->loop;
    const void *data = NULL;
    size_t n = 0;
    int rc = gnp_recv(l->poller, &c->sock, &data, &n);
    gni_count(&l->stats.reads, 1);
    if (rc == GNP_OK) {
        gni_count(&l->stats.bytes_in, n);
        if ((c->flags & GNI_F_FDS) != 0 && c->state == GNI_CONN_OPEN) {
            gni_descriptors_take(c);
        }
        if (gni_conn_usable(c)) {
            conn_input(c, data, n);
            /* A callback may have stopped reading, or ended the connection. */
            return gni_conn_usable(c) && gni_segq_empty(&c->u.out) && c->inbound.len == 0 &&
                           (c->flags & (GNI_F_REST | GNI_F_PIPED)) == 0 ? n : 0;
        }
        gnp_recv_done(l->poller, &c->sock); /* closing: nobody wants it any more */
        return n;
    }
    if (rc == GNP_EOF) {
        conn_eof(c);
    } else if (rc != GNP_AGAIN) {
        gni_conn_fail(c, rc, gnp_os_error());
    }
    return 0;
}

/* Level: one read a turn, the poller reports the rest.  Edge: on, while reads come back full, up
 * to the chunk; the poller keeps what is left on its ready list. */
static void conn_readable(gn_conn *c)
{
    gn_loop *l = c->loop;
    size_t got = 0;
    size_t n;
    do {
        n = conn_receive(c);
        got += n;
    } while (l->edge && n >= l->read_buffer && got < l->edge_chunk);
}

static void linger_event(gn_conn *c)
{
    (void)conn_receive(c);
    if ((c->flags & (GNI_F_EOF | GNI_F_FAILED)) != 0) {
        sock_close(c, 0);
    }
}

/*
 * The peer is gone both ways.  With something to send, sending finds out what happened.  With
 * its end read already and nothing to send, nothing else ever would.  Else what it left behind is
 * read, also past the limit that made reading pause: there is no more of it than the system holds.
 */
static void conn_hangup(gn_conn *c)
{
    if (c->state != GNI_CONN_OPEN) {
        return;
    }
    c->flags |= GNI_F_HUNG;
    if (gni_segq_empty(&c->u.out) && (c->flags & GNI_F_EOF) != 0 && (c->flags & GNI_F_SHUT_DONE) == 0) {
        gni_conn_fail(c, GN_ECONNRESET, 0);
    }
}

void gni_conn_event(gn_conn *c, const gnp_event *ev)
{
    if (ev->what == GNP_EV_READABLE && c->state == GNI_CONN_OPEN) { /* nearly always */
        conn_readable(c);
        gni_conn_settle(c);
        return;
    }
    if ((ev->what & GNP_EV_CLOSED) != 0) {
        c->flags &= ~(uint32_t)GNI_F_INFLIGHT;
        conn_release(c);
        return;
    }
    if (c->state == GNI_CONN_LINGER) {
        linger_event(c);
        return;
    }
    if (c->state == GNI_CONN_DIALING) {
        gni_dial_event(c, ev);
        return;
    }
    if ((ev->what & GNP_EV_SENT) != 0) {
        gni_out_sent(c, ev); /* settling it sends more */
    }
    if ((ev->what & (GNP_EV_WRITABLE | GNP_EV_HANGUP)) != 0 && (c->flags & GNI_F_BLOCKED) != 0) {
        c->flags &= ~(uint32_t)GNI_F_BLOCKED;
        gni_out_send_queue(c); /* first, so that reading can go on */
    }
    if ((ev->what & GNP_EV_READABLE) != 0 && (c->flags & GNI_F_FAILED) == 0) {
        conn_readable(c);
    }
    if ((ev->what & GNP_EV_HANGUP) != 0) {
        conn_hangup(c);
    }
    if ((ev->what & GNP_EV_SENT) != 0 && gni_migrate_waits(c)) {
        gni_conn_mark_dirty(c);
        gni_migrate_landed(c);
        return;
    }
    gni_conn_settle(c);
}

static int unsent(const gn_conn *c)
{
    return (c->flags & GNI_F_DGRAM) != 0 ? c->u.dgram.queue != NULL : !gni_segq_empty(&c->u.out);
}

/* What a deadline of an open connection means, after its callback was asked. */
static void timed_out(gn_conn *c, gn_timeout which)
{
    gn_action action = GN_CLOSE;
    if (c->handler->on_timeout != NULL) {
        gni_conn_callback_begin(c, NULL, 0);
        action = c->handler->on_timeout(c, which, c->user);
        gni_conn_callback_end(c);
    }
    if (action != GN_CLOSE) {
        gni_conn_action(c, action);
    } else if (which != GN_TIMEOUT_READ && unsent(c)) {
        gni_conn_cut(c, GN_ETIMEDOUT); /* what is queued did not move either */
    } else {
        gni_conn_request_close(c, GN_ETIMEDOUT, options_of(c)->close_timeout_ns);
    }
}

/* Takes one deadline that has passed off and says which; 0: none has. */
static int deadline_passed(gn_conn *c)
{
    uint64_t now = c->loop->now;
    if (c->more != NULL && c->more->write_at != 0 && now >= c->more->write_at) {
        c->more->write_at = 0;
        if (unsent(c)) {
            return GN_TIMEOUT_WRITE;
        }
    }
    if (c->t.read_at != 0 && now >= c->t.read_at) {
        c->t.read_at = 0;
        return GN_TIMEOUT_READ;
    }
    if (c->idle_ticks != 0 && idle_left(c) == 0) {
        c->active = gni_ticks(now);
        return GN_TIMEOUT_IDLE;
    }
    return 0;
}

static void conn_timer(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    gn_conn *c = (gn_conn *)(void *)((char *)t - offsetof(gn_conn, timer));
    if (c->state == GNI_CONN_LINGER) {
        sock_close(c, 0);
        return;
    }
    if (c->state == GNI_CONN_CLOSING) {
        if (l->now >= c->t.close_at) { /* else it is a deadline of the same turn, from before the close */
            gni_conn_cut(c, GN_ETIMEDOUT);
            return;
        }
    } else {
        int which = deadline_passed(c);
        if (which != 0) {
            gni_conn_mark_dirty(c); /* first: then it stays until the end of the turn, whatever happens */
            timed_out(c, (gn_timeout)which);
        }
        if (c->state != GNI_CONN_OPEN) {
            return;
        }
    }
    deadline_update(c);
}

/* ------------------------------------------------------------------- start */

static void remote_set(gn_conn *c, const gnp_addr *peer)
{
    c->remote_family = peer->family;
    if (peer->family != GNP_FAMILY_UNIX) {
        c->remote_port = peer->port;
        c->remote_scope = peer->scope;
        memcpy(c->remote_ip, peer->u.ip, sizeof c->remote_ip);
    }
}

void gni_conn_begin(gn_conn *c)
{
    gn_loop *l = c->loop;
    const gn_handler *h = c->handler;
    c->state = GNI_CONN_OPEN;
    l->open++;
    gnp_store64_relaxed(&l->open_shared, l->open);
    if (options_of(c)->idle_timeout_ns != 0) {
        idle_set(c, options_of(c)->idle_timeout_ns);
        deadline_update(c);
    }
    if (h->on_open != NULL) {
        gni_conn_callback_begin(c, NULL, 0);
        gn_action action = h->on_open(c, c->user);
        gni_conn_callback_end(c);
        gni_conn_action(c, action);
    }
}

void gni_conn_open(gn_conn *c)
{
    gni_conn_begin(c);
    gni_conn_settle(c);
}

void gni_conn_init(gn_conn *c, gn_loop *l, const gn_handler *handler, void *user, const gnp_addr *peer)
{
    c->magic = GNI_CONN_MAGIC;
    c->loop = l;
    c->handler = handler != NULL ? handler : l->engine->handler;
    c->user = handler != NULL ? user : l->engine->user;
    c->listener = GNI_NO_LISTENER;
    c->timer.fn = conn_timer;
    if (peer != NULL) {
        remote_set(c, peer);
    }
}

void gni_conn_discard_slot(gn_conn *c)
{
    gni_conntab_retire(&c->loop->conns, c);
    gni_conntab_release(&c->loop->conns, c);
}

void gni_conn_drop(gn_conn *c, int reset)
{
    gni_conntab_retire(&c->loop->conns, c);
    sock_close(c, reset);
}

void gni_conn_accepted(gn_loop *l, gnp_sock *s, const gnp_addr *peer, gni_listener *ln)
{
    if (l->draining) {
        gni_accepted_lost(l, s, ln, 0);
        return;
    }
    gn_conn *c = gni_conntab_alloc(&l->conns);
    int rc = GN_ENOMEM;
    if (c != NULL) {
        gni_conn_init(c, l, ln->handler, ln->user, peer);
        c->listener = (uint16_t)ln->index;
        c->flags = ln->pass_descriptors ? GNI_F_FDS : 0;
        c->sock = *s;
        rc = gnp_attach(l->poller, &c->sock, GNP_READ);
    }
    if (rc != GN_OK) {
        gni_log(GN_LOG_WARN, "a connection was refused: %s", gn_strerror(rc));
        gni_count(&l->stats.refused, 1);
        if (c != NULL) {
            gni_conntab_release(&l->conns, c);
        }
        gni_accepted_lost(l, s, ln, 1);
        return;
    }
    gni_count(&l->stats.accepted, 1);
    gni_conn_open(c);
}

/* ---------------------------------------------------- deadlines, in public */

static int deadline_settable(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    if (gni_conn_is_endpoint(c)) {
        return GN_ENOTSUP;
    }
    return gni_conn_usable(c) ? GN_OK : GN_ECLOSED;
}

int gn_conn_set_idle_timeout(gn_conn *c, uint64_t ns)
{
    int rc = deadline_settable(c);
    if (rc == GN_OK) {
        idle_set(c, ns);
        deadline_update(c);
    }
    return rc;
}

int gn_conn_set_read_deadline(gn_conn *c, uint64_t ns_from_now)
{
    int rc = deadline_settable(c);
    if (rc == GN_OK) {
        c->t.read_at = ns_from_now == 0 ? 0 : after(c->loop, ns_from_now);
        deadline_update(c);
    }
    return rc;
}

int gn_conn_set_write_deadline(gn_conn *c, uint64_t ns_from_now)
{
    int rc = deadline_settable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (ns_from_now != 0 && gni_conn_more(c) == NULL) {
        return GN_ENOMEM;
    }
    if (c->more != NULL) {
        c->more->write_at = ns_from_now == 0 ? 0 : after(c->loop, ns_from_now);
        deadline_update(c);
    }
    return GN_OK;
}
