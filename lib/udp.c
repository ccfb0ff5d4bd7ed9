/* SPDX-License-Identifier: MIT */
#include "udp.h"

#include <string.h>

#include "engine.h"
#include "log.h"
#include "loop.h"

/* Datagrams of one turn and one endpoint. */
#define TURN_DATAGRAMS 256

/* What waits to be sent by one endpoint.  64 a system call is where recvmmsg and sendmmsg stop
 * getting cheaper; the bytes hold two datagrams of the largest size. */
#define QUEUE_DATAGRAMS 64u
#define QUEUE_BYTES     (128u * 1024u)

/* The largest payload: 65,535 less the UDP head (RFC 768), over IPv4 less its head too (RFC 791). */
#define MAX_PAYLOAD_V4 65507u
#define MAX_PAYLOAD_V6 65527u

typedef struct gni_dgram_queue {
    unsigned first, count; /* out[first .. count) wait */
    size_t used;
    gnp_dgram_out out[QUEUE_DATAGRAMS];
    gnp_addr peer[QUEUE_DATAGRAMS];
    unsigned char data[QUEUE_BYTES];
} gni_dgram_queue;

int gni_udp_open(gn_loop *l, gnp_sock *s, gni_listener *ln)
{
    gn_conn *c = gni_conntab_alloc(&l->conns);
    if (c == NULL) {
        return GN_ENOMEM;
    }
    c->u.dgrams = gnp_alloc(sizeof *c->u.dgrams);
    int rc = c->u.dgrams == NULL ? GN_ENOMEM : GN_OK;
    if (rc == GN_OK) {
        c->u.dgrams->first = c->u.dgrams->count = 0;
        c->u.dgrams->used = 0;
        c->sock = *s;
        rc = gnp_attach(l->poller, &c->sock, GNP_READ);
    }
    if (rc != GN_OK) {
        gnp_free(c->u.dgrams, sizeof *c->u.dgrams);
        gni_conntab_release(&l->conns, c);
        return rc;
    }
    s->os = -1; /* the connection has it now */
    gni_conn_init(c, l, ln->handler, ln->user, NULL);
    c->listener = (uint16_t)ln->index;
    c->flags = GNI_F_DGRAM;
    c->state = GNI_CONN_OPEN;
    return GN_OK;
}

static void queue_reset(gni_dgram_queue *q)
{
    q->first = q->count = 0;
    q->used = 0;
}

void gni_udp_flush(gn_conn *c)
{
    gni_dgram_queue *q = c->u.dgrams;
    if (c->state != GNI_CONN_OPEN || (c->flags & GNI_F_BLOCKED) != 0) {
        return;
    }
    while (q->first < q->count) {
        unsigned sent = 0;
        int rc = gnp_sendto(c->loop->poller, &c->sock, q->out + q->first, q->count - q->first, &sent);
        q->first += sent;
        if (rc == GNP_AGAIN) {
            c->flags |= GNI_F_BLOCKED;
            return;
        }
        if (rc != GNP_OK) { /* about that one datagram: it is lost, as datagrams may be */
            gni_log(GN_LOG_DEBUG, "a datagram was not sent: %s", gn_strerror(rc));
            q->first++;
        }
    }
    queue_reset(q);
}

size_t gni_udp_queued(const gn_conn *c)
{
    const gni_dgram_queue *q = c->u.dgrams;
    size_t n = 0;
    for (unsigned i = q->first; i < q->count; i++) {
        n += q->out[i].len;
    }
    return n;
}

static int queue_has_room(const gni_dgram_queue *q, size_t n)
{
    return q->count < QUEUE_DATAGRAMS && n <= QUEUE_BYTES - q->used;
}

/* An IPv6 endpoint for every address reaches IPv4 peers too; the platform maps them (RFC 4291 2.5.5.2). */
static int family_fits(const gn_conn *c, const gnp_addr *to)
{
    const gni_listener *ln = c->loop->engine->listeners[c->listener];
    int both = ln->scheme == GNI_UDP && ln->addr.family == GNP_FAMILY_IPV6;
    return to->family == ln->addr.family || (both && to->family == GNP_FAMILY_IPV4);
}

int gni_udp_send(gn_conn *c, const gnp_addr *to, const gn_iov *iov, unsigned count)
{
    gni_dgram_queue *q = c->u.dgrams;
    if (!family_fits(c, to)) {
        return GN_EINVAL;
    }
    size_t max = to->family == GNP_FAMILY_IPV4 ? MAX_PAYLOAD_V4 : MAX_PAYLOAD_V6;
    size_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].base == NULL && iov[i].len > 0) {
            return GN_EINVAL;
        }
        if (iov[i].len > max - total) {
            return GN_EMSGSIZE;
        }
        total += iov[i].len;
    }
    if (!queue_has_room(q, total)) {
        gni_udp_flush(c);
        if (!queue_has_room(q, total)) {
            return GN_EAGAIN;
        }
    }
    unsigned char *data = q->data + q->used;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > 0) {
            memcpy(q->data + q->used, iov[i].base, iov[i].len);
            q->used += iov[i].len;
        }
    }
    q->peer[q->count] = *to;
    q->out[q->count].data = data;
    q->out[q->count].len = total;
    q->out[q->count].peer = &q->peer[q->count];
    q->out[q->count].segment = 0;
    q->count++;
    gni_conn_mark_dirty(c);
    return GN_OK;
}

static void datagram(gn_conn *c, const gnp_dgram *d)
{
    gn_loop *l = c->loop;
    const gn_handler *h = c->handler;
    gn_action action = GN_NONE;
    l->current = c;
    l->lent = d->data;
    l->span_len = l->lent_len = d->len;
    l->dgram_peer = d->peer;
    if (h->on_traffic != NULL) {
        action = h->on_traffic(c, c->user);
    }
    l->current = NULL;
    l->span_len = l->lent_len = 0;
    l->dgram_peer = NULL;
    gni_conn_action(c, action);
}

void gni_udp_event(gn_conn *c, const gnp_event *ev)
{
    gn_loop *l = c->loop;
    if ((ev->what & GNP_EV_CLOSED) != 0) {
        c->flags &= ~(uint32_t)GNI_F_INFLIGHT;
        gni_conn_mark_dirty(c); /* the list gives the slot back */
        return;
    }
    if (c->state != GNI_CONN_OPEN) {
        return;
    }
    if ((ev->what & GNP_EV_WRITABLE) != 0) {
        c->flags &= ~(uint32_t)GNI_F_BLOCKED;
    }
    for (int i = 0; i < TURN_DATAGRAMS && (ev->what & GNP_EV_READABLE) != 0; i++) {
        gnp_dgram d;
        int rc = gnp_recvfrom(l->poller, &c->sock, &d);
        if (rc == GNP_OK) {
            datagram(c, &d);
            gnp_recv_done(l->poller, &c->sock);
        } else if (rc == GNP_AGAIN) {
            break;
        } /* else an answer to an earlier send (ICMP): nothing that ends the endpoint */
    }
    gni_udp_flush(c);
}

void gni_udp_close(gn_conn *c)
{
    gn_loop *l = c->loop;
    if (c->state != GNI_CONN_OPEN) {
        return;
    }
    gni_udp_flush(c);
    gnp_free(c->u.dgrams, sizeof *c->u.dgrams);
    c->u.dgrams = NULL;
    c->state = GNI_CONN_DEAD;
    gni_conntab_retire(&l->conns, c);
    if (gnp_close(l->poller, &c->sock, 0) == GNP_INFLIGHT) {
        c->flags |= GNI_F_INFLIGHT;
    }
    gni_conn_mark_dirty(c);
}
