/* SPDX-License-Identifier: MIT */
/* The public verbs of a connection that only look, read or write. */
#include <string.h>

#include "addr.h"
#include "conn.h"
#include "engine.h"
#include "loop.h"
#include "outbound.h"
#include "udp.h"

static int is_dgram(const gn_conn *c)
{
    return (c->flags & GNI_F_DGRAM) != 0;
}

/* Input that was left made reading pause; with room again it goes on. */
static void consumed(gn_conn *c)
{
    if ((c->flags & GNI_F_PAUSED) != 0) {
        gni_conn_mark_dirty(c);
    }
}

/* ----------------------------------------------------------------- reading */

const void *gn_conn_peek(gn_conn *c, size_t *n)
{
    if (!gni_conn_valid(c)) {
        if (n != NULL) {
            *n = 0;
        }
        return "";
    }
    const gn_loop *l = c->loop;
    size_t have = 0;
    const void *p = "";
    if (c->inbound.len > 0) {
        have = c->inbound.len;
        p = gni_ring_linear(&c->inbound);
    } else if (l->current == c && l->span_len > 0) {
        have = l->span_len;
        p = gni_loop_span(l);
    }
    if (n != NULL) {
        *n = have;
    }
    return p;
}

const void *gn_conn_next(gn_conn *c, size_t n)
{
    size_t have;
    const void *p = gn_conn_peek(c, &have);
    if (n > have || !gni_conn_valid(c)) {
        return NULL;
    }
    if (have == 0) {
        return p;
    }
    if (n == 0) {
        n = have;
    }
    if (c->inbound.len > 0) {
        /* The memory stays until the callback ends, even if this was all. */
        c->inbound.head = (c->inbound.head + n) & (c->inbound.cap - 1);
        c->inbound.len -= n;
        if (c->loop->current != c) {
            gni_conn_mark_dirty(c);
        }
        consumed(c);
    } else {
        c->loop->span_len -= n;
    }
    return p;
}

size_t gn_conn_discard(gn_conn *c, size_t n)
{
    if (!gni_conn_valid(c)) {
        return 0;
    }
    gn_loop *l = c->loop;
    if (c->inbound.len > 0) {
        n = n < c->inbound.len ? n : c->inbound.len;
        gni_ring_discard(&c->inbound, n);
        consumed(c);
        return n;
    }
    if (l->current != c) {
        return 0;
    }
    n = n < l->span_len ? n : l->span_len;
    l->span_len -= n;
    return n;
}

size_t gn_conn_read(gn_conn *c, void *out, size_t cap)
{
    size_t have;
    const void *p = gn_conn_peek(c, &have);
    size_t n = have < cap ? have : cap;
    if (n == 0 || out == NULL) {
        return 0;
    }
    memcpy(out, p, n);
    return gn_conn_discard(c, n);
}

/* ----------------------------------------------------------------- writing */

int gn_conn_writev(gn_conn *c, const gn_iov *iov, unsigned count)
{
    if (!gni_conn_valid(c) || (iov == NULL && count > 0)) {
        return GN_EINVAL;
    }
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    if (is_dgram(c)) {
        const gnp_dgram *d = c->loop->current == c ? c->loop->dgram : NULL;
        return gni_udp_send(c, d == NULL || !gni_conn_is_endpoint(c) ? NULL : d->peer, iov, count);
    }
    if ((c->flags & GNI_F_SHUT) != 0) {
        return GN_EPIPE;
    }
    return gni_out_write(c, iov, count);
}

int gn_conn_write(gn_conn *c, const void *data, size_t n)
{
    if (gni_conn_valid(c) && gni_out_write_short(c, data, n)) {
        return GN_OK;
    }
    gn_iov one;
    one.base = data;
    one.len = n;
    return gn_conn_writev(c, &one, 1);
}

int gn_conn_flush(gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    if (is_dgram(c)) {
        gni_udp_flush(c);
        return GN_OK;
    }
    if (c->loop->current == c) {
        (void)gni_out_send_stage(c);
    }
    if ((c->flags & (GNI_F_BLOCKED | GNI_F_FAILED)) == 0) {
        gni_out_send_queue(c);
    }
    if ((c->flags & GNI_F_FAILED) != 0) {
        gni_conn_mark_dirty(c);
        return c->reason;
    }
    return GN_OK;
}

size_t gn_conn_inbound(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return 0;
    }
    return c->inbound.len + (c->loop->current == c ? c->loop->span_len : 0);
}

size_t gn_conn_outbound(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return 0;
    }
    if (is_dgram(c)) {
        return gni_udp_queued(c);
    }
    return gni_out_bytes(c);
}

/* ------------------------------------------------------------------ ending */

static int closable(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    return gni_conn_is_endpoint(c) ? GN_ENOTSUP : GN_OK;
}

int gn_conn_close(gn_conn *c)
{
    int rc = closable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    gni_conn_request_close(c, GN_OK, c->loop->engine->options.close_timeout_ns);
    return GN_OK;
}

int gn_conn_abort(gn_conn *c)
{
    int rc = closable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if ((c->state != GNI_CONN_OPEN && c->state != GNI_CONN_CLOSING) || (c->flags & GNI_F_FAILED) != 0) {
        return GN_ECLOSED;
    }
    c->flags |= GNI_F_RESET;
    c->state = GNI_CONN_CLOSING;
    c->reason = GN_ECANCELED;
    gni_conn_mark_dirty(c);
    return GN_OK;
}

int gn_conn_shutdown_write(gn_conn *c)
{
    int rc = closable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (is_dgram(c)) {
        return GN_ENOTSUP;
    }
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    c->flags |= GNI_F_SHUT;
    gni_conn_mark_dirty(c);
    return GN_OK;
}

/* ----------------------------------------------------------------- looking */

void *gn_conn_context(const gn_conn *c)
{
    return gni_conn_valid(c) ? c->context : NULL;
}

void gn_conn_set_context(gn_conn *c, void *context)
{
    if (gni_conn_valid(c)) {
        c->context = context;
    }
}

int gn_conn_local_addr(gn_conn *c, gn_addr *out)
{
    if (!gni_conn_valid(c) || out == NULL) {
        return GN_EINVAL;
    }
    gnp_addr a;
    int rc = gnp_sock_local(&c->sock, &a);
    if (rc == GNP_OK) {
        gni_addr_set(out, &a);
    }
    return rc;
}

int gn_conn_remote_addr(gn_conn *c, gn_addr *out)
{
    if (!gni_conn_valid(c) || out == NULL) {
        return GN_EINVAL;
    }
    gnp_addr a;
    memset(&a, 0, sizeof a);
    if (is_dgram(c)) {
        if (!gni_udp_peer(c, &a)) {
            return GN_ENOTCONN;
        }
    } else if (c->remote_family == GNP_FAMILY_UNIX) {
        if (gnp_sock_peer(&c->sock, &a) != GNP_OK) {
            memset(&a, 0, sizeof a); /* gone already: unnamed, as nearly all are */
            a.family = GNP_FAMILY_UNIX;
        }
    } else {
        a.family = c->remote_family;
        a.port = c->remote_port;
        a.scope = c->remote_scope;
        memcpy(a.u.ip, c->remote_ip, sizeof c->remote_ip);
    }
    gni_addr_set(out, &a);
    return GN_OK;
}

gn_handle gn_conn_handle(const gn_conn *c)
{
    return gni_conn_valid(c) ? GNI_HANDLE(c->loop->slot, c->index, c->gen) : GN_HANDLE_NONE;
}

gn_loop *gn_conn_loop(const gn_conn *c)
{
    return gni_conn_valid(c) ? c->loop : NULL;
}

gn_engine *gn_conn_engine(const gn_conn *c)
{
    return gni_conn_valid(c) ? c->loop->engine : NULL;
}

int gn_conn_is_datagram(const gn_conn *c)
{
    return gni_conn_valid(c) && is_dgram(c);
}

unsigned gn_conn_listener(const gn_conn *c)
{
    return gni_conn_valid(c) && c->listener != GNI_NO_LISTENER ? c->listener : GN_NO_LISTENER;
}

int gn_conn_os_error(const gn_conn *c)
{
    return gni_conn_valid(c) ? c->os_error : 0;
}
