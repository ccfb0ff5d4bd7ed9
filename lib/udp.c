/* SPDX-License-Identifier: MIT */
#include "udp.h"

#include <string.h>

#include "engine.h"
#include "log.h"
#include "loop.h"

/* Datagrams of one turn and one endpoint. */
#define TURN_DATAGRAMS 256u

/* What waits to be sent by one endpoint: more a system call makes it no cheaper (bench/linux/gannet-udp); the
 * bytes hold two datagrams of the largest size. */
#define QUEUE_DATAGRAMS 64u
#define QUEUE_BYTES     (128u * 1024u)

/* Queues that a loop keeps for the next burst: the one in use, and some of sockets that had to wait. */
#define SPARES_MAX 4u

/* Who had no memory to receive tries again after this time, as acceptors do. */
#define STARVED_NS (UINT64_C(10) * 1000 * 1000)

/* The largest payload: 65,535 less the UDP head (RFC 768), over IPv4 less its head too (RFC 791). */
#define MAX_PAYLOAD_V4 65507u
#define MAX_PAYLOAD_V6 65527u

typedef struct gni_dgram_queue {
    struct gni_dgram_queue *next; /* among the loop's spares */
    unsigned first, count;        /* out[first .. count) wait */
    size_t used;
    gnp_dgram_out out[QUEUE_DATAGRAMS];
    gnp_addr peer[QUEUE_DATAGRAMS];
    unsigned char data[QUEUE_BYTES];
} gni_dgram_queue;

/* ---------------------------------------------------------------- the queue */

/* The queue of c.  Another endpoint's that was gathering leaves first. */
static gni_dgram_queue *queue_take(gn_conn *c)
{
    gn_loop *l = c->loop;
    if (c->u.dgram.queue != NULL) {
        return c->u.dgram.queue;
    }
    if (l->dgram_gathering != NULL) {
        gni_udp_flush(l->dgram_gathering);
    }
    gni_dgram_queue *q = l->dgram_spares;
    if (q != NULL) {
        l->dgram_spares = q->next;
        l->dgram_spare_count--;
    } else {
        q = gnp_alloc(sizeof *q);
        if (q == NULL) {
            return NULL;
        }
    }
    q->first = q->count = 0;
    q->used = 0;
    c->u.dgram.queue = q;
    l->dgram_gathering = c;
    return q;
}

static void queue_give(gn_conn *c)
{
    gn_loop *l = c->loop;
    gni_dgram_queue *q = c->u.dgram.queue;
    c->u.dgram.queue = NULL;
    if (l->dgram_gathering == c) {
        l->dgram_gathering = NULL;
    }
    if (l->dgram_spare_count == SPARES_MAX) {
        gnp_free(q, sizeof *q);
        return;
    }
    q->next = l->dgram_spares;
    l->dgram_spares = q;
    l->dgram_spare_count++;
}

void gni_udp_forget(gn_conn *c)
{
    if (c->u.dgram.queue != NULL) {
        queue_give(c);
    }
}

void gni_udp_spares_free(gn_loop *l)
{
    gni_dgram_queue *q;
    while ((q = l->dgram_spares) != NULL) {
        l->dgram_spares = q->next;
        gnp_free(q, sizeof *q);
    }
    l->dgram_spare_count = 0;
}

size_t gni_udp_queued(const gn_conn *c)
{
    const gni_dgram_queue *q = c->u.dgram.queue;
    size_t n = 0;
    for (unsigned i = q == NULL ? 0 : q->first; q != NULL && i < q->count; i++) {
        n += q->out[i].len;
    }
    return n;
}

/* --------------------------------------------------------------- sending */

static void touch(gn_conn *c)
{
    if (c->idle_ticks != 0) {
        c->active = gni_ticks(c->loop->now);
    }
}

static void count_sent(gn_conn *c, const gnp_dgram_out *out, unsigned count)
{
    gni_stats *s = &c->loop->stats;
    uint64_t datagrams = 0, bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += out[i].len;
        datagrams += out[i].segment == 0 ? 1 : (out[i].len + out[i].segment - 1) / out[i].segment;
    }
    gni_count(&s->writes, 1);
    gni_count(&s->datagrams_out, datagrams);
    gni_count(&s->bytes_out, bytes);
    touch(c);
}

/* Told when no callback runs: of several errors the last. */
static void error_note(gn_conn *c, int error, int os_error)
{
    c->u.dgram.error = (int16_t)error;
    c->os_error = (int16_t)os_error;
    gni_conn_mark_dirty(c);
}

/* About one datagram: it is lost, as datagrams may be. */
static void lost(gn_conn *c, int error)
{
    int os_error = gnp_os_error();
    gni_count(&c->loop->stats.datagrams_lost, 1);
    gni_log(GN_LOG_DEBUG, "a datagram was not sent: %s", gn_strerror(error));
    error_note(c, error, os_error);
}

/* The train does without its first n datagrams, which are not all. */
static void train_shorten(gnp_dgram_out *train, unsigned n)
{
    size_t gone = n * train->segment;
    train->data = (const unsigned char *)train->data + gone;
    train->len -= gone;
}

/* Sends a train one by one, which the system does not cut.  GNP_OK when nothing of it is left. */
static int train_send(gn_conn *c, gnp_dgram_out *train)
{
    gnp_dgram_out part[GNP_SEGMENTS_MAX];
    unsigned count = 0;
    for (size_t at = 0; at < train->len; at += train->segment) {
        part[count].data = (const unsigned char *)train->data + at;
        part[count].len = train->len - at < train->segment ? train->len - at : train->segment;
        part[count].peer = train->peer;
        part[count].segment = 0;
        count++;
    }
    for (unsigned i = 0; i < count;) {
        unsigned sent = 0;
        int rc = gnp_sendto(c->loop->poller, &c->sock, part + i, count - i, &sent);
        count_sent(c, part + i, sent);
        i += sent;
        if (rc == GNP_AGAIN) {
            train_shorten(train, i);
            return rc;
        }
        if (rc != GNP_OK) {
            lost(c, rc);
            i++;
        }
    }
    return GNP_OK;
}

/* ENOTSUP: no such thing; EIO: the route's device has no checksums of its own (udp_send_skb of Linux).
 * Both are so for all of them.  EINVAL, EMSGSIZE: the segment is longer than the route takes unfragmented. */
static int train_failed(gn_conn *c, int rc)
{
    if (rc == GNP_ENOTSUP || rc == GNP_EIO) {
        c->u.dgram.cut = 1;
    }
    return rc == GNP_ENOTSUP || rc == GNP_EIO || rc == GNP_EINVAL || rc == GNP_EMSGSIZE;
}

/* One system call or one train.  GNP_OK, GNP_AGAIN, or an error about the datagram that is now first. */
static int queue_send(gn_conn *c, gni_dgram_queue *q)
{
    unsigned n = 0;
    unsigned sent = 0;
    while (q->first + n < q->count && !(c->u.dgram.cut && q->out[q->first + n].segment > 0)) {
        n++;
    }
    int rc = GNP_OK;
    if (n > 0) {
        rc = gnp_sendto(c->loop->poller, &c->sock, q->out + q->first, n, &sent);
        count_sent(c, q->out + q->first, sent);
        q->first += sent;
        if (rc == GNP_OK || rc == GNP_AGAIN || q->out[q->first].segment == 0 || !train_failed(c, rc)) {
            return rc;
        }
    }
    rc = train_send(c, &q->out[q->first]);
    q->first += rc == GNP_OK;
    return rc;
}

void gni_udp_flush(gn_conn *c)
{
    gni_dgram_queue *q = c->u.dgram.queue;
    if (q == NULL || (c->flags & GNI_F_BLOCKED) != 0) {
        return;
    }
    while (q->first < q->count) { /* each turn sends or drops at least one, or ends */
        int rc = queue_send(c, q);
        if (rc == GNP_AGAIN) {
            c->flags |= GNI_F_BLOCKED | GNI_F_QUEUED;
            if (c->loop->dgram_gathering == c) {
                c->loop->dgram_gathering = NULL;
            }
            return;
        }
        if (rc != GNP_OK) {
            lost(c, rc);
            q->first++;
        }
    }
    queue_give(c);
    if ((c->flags & GNI_F_QUEUED) != 0) {
        gni_conn_mark_dirty(c); /* on_drained is owed */
    }
}

/* --------------------------------------------------------------- queueing */

/* An IPv6 endpoint for every address reaches IPv4 peers too, and there are no others; the platform maps them
 * (RFC 4291 2.5.5.2). */
static int family_fits(const gn_conn *c, const gnp_addr *to)
{
    const gni_listener *ln = c->loop->engine->listeners[c->listener];
    return to->family == ln->addr.family || ln->both;
}

static int same_peer(const gn_conn *c, const gnp_addr *to)
{
    size_t n = to->family == GNP_FAMILY_IPV4 ? 4 : 16;
    return to->family == c->remote_family && to->port == c->remote_port && to->scope == c->remote_scope &&
           memcmp(to->u.ip, c->remote_ip, n) == 0;
}

/* Sockets differ in what they do with an address on a connected one (Linux takes it, BSD says EISCONN): here
 * only the peer's own is good.  *max is the longest payload. */
static int destination_check(const gn_conn *c, const gnp_addr **to, size_t *max)
{
    int family = *to != NULL ? (*to)->family : c->remote_family;
    *max = family == GNP_FAMILY_IPV4 ? MAX_PAYLOAD_V4 : MAX_PAYLOAD_V6;
    if (gni_conn_is_endpoint(c)) {
        return *to == NULL ? GN_ENOTCONN : family_fits(c, *to) ? GN_OK : GN_EINVAL;
    }
    if (*to != NULL && !same_peer(c, *to)) {
        return GN_EINVAL;
    }
    *to = NULL;
    return GN_OK;
}

static int queue_has_room(const gni_dgram_queue *q, unsigned count, size_t n)
{
    return count <= QUEUE_DATAGRAMS - q->count && n <= QUEUE_BYTES - q->used;
}

/* A queue with room for so much. */
static int queue_room(gn_conn *c, unsigned count, size_t n, gni_dgram_queue **out)
{
    *out = queue_take(c);
    if (*out != NULL && !queue_has_room(*out, count, n)) {
        gni_udp_flush(c);
        *out = queue_take(c); /* the flush may have given it back */
    }
    if (*out == NULL) {
        return GN_ENOMEM;
    }
    if (queue_has_room(*out, count, n)) {
        return GN_OK;
    }
    c->flags |= GNI_F_QUEUED;
    return GN_EAGAIN;
}

/* Adds one entry whose bytes stand behind those in use already. */
static void queue_push(gni_dgram_queue *q, const gnp_addr *to, size_t n, size_t segment)
{
    gnp_dgram_out *out = &q->out[q->count];
    out->data = q->data + q->used;
    out->len = n;
    out->segment = segment;
    out->peer = NULL;
    if (to != NULL) {
        memcpy(&q->peer[q->count], to, GNI_IP_BYTES);
        out->peer = &q->peer[q->count];
    }
    q->used += n;
    q->count++;
}

int gni_udp_send(gn_conn *c, const gnp_addr *to, const gn_iov *iov, unsigned count)
{
    size_t max;
    size_t total = 0;
    int rc = destination_check(c, &to, &max);
    if (rc != GN_OK) {
        return rc;
    }
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].base == NULL && iov[i].len > 0) {
            return GN_EINVAL;
        }
        if (iov[i].len > max - total) {
            return GN_EMSGSIZE;
        }
        total += iov[i].len;
    }
    gni_dgram_queue *q;
    rc = queue_room(c, 1, total, &q);
    if (rc != GN_OK) {
        return rc;
    }
    unsigned char *at = q->data + q->used;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > 0) {
            memcpy(at, iov[i].base, iov[i].len);
            at += iov[i].len;
        }
    }
    queue_push(q, to, total, 0);
    gni_conn_mark_dirty(c);
    return GN_OK;
}

int gni_udp_send_segments(gn_conn *c, const gnp_addr *to, const void *data, size_t n, size_t segment)
{
    size_t max;
    int rc = destination_check(c, &to, &max);
    if (rc != GN_OK) {
        return rc;
    }
    if (segment > max || n > QUEUE_BYTES) {
        return GN_EMSGSIZE;
    }
    size_t train = max / segment < GNP_SEGMENTS_MAX ? max / segment * segment : GNP_SEGMENTS_MAX * segment;
    size_t trains = (n + train - 1) / train;
    if (trains > QUEUE_DATAGRAMS) {
        return GN_EMSGSIZE;
    }
    gni_dgram_queue *q;
    rc = queue_room(c, (unsigned)trains, n, &q);
    if (rc != GN_OK) {
        return rc;
    }
    memcpy(q->data + q->used, data, n);
    while (n > 0) {
        size_t part = n < train ? n : train;
        queue_push(q, to, part, part > segment ? segment : 0);
        n -= part;
    }
    gni_conn_mark_dirty(c);
    return GN_OK;
}

/* -------------------------------------------------------------- receiving */

int gni_udp_peer(const gn_conn *c, gnp_addr *out)
{
    const gn_loop *l = c->loop;
    memset(out, 0, sizeof *out);
    if (!gni_conn_is_endpoint(c)) {
        out->family = c->remote_family;
        out->port = c->remote_port;
        out->scope = c->remote_scope;
        memcpy(out->u.ip, c->remote_ip, sizeof c->remote_ip);
        return 1;
    }
    if (l->current != c || l->dgram == NULL) {
        return 0;
    }
    memcpy(out, l->dgram->peer, GNI_IP_BYTES);
    return 1;
}

static void datagram(gn_conn *c, const gnp_dgram *d, const void *data, size_t n)
{
    gn_loop *l = c->loop;
    const gn_handler *h = c->handler;
    gn_action action = GN_NONE;
    gni_conn_callback_begin(c, data, n);
    l->dgram = d;
    if (h->on_traffic != NULL) {
        action = h->on_traffic(c, c->user);
    }
    l->dgram = NULL;
    gni_conn_callback_end(c);
    gni_conn_action(c, action);
}

typedef struct tally {
    uint64_t bytes, truncated;
    unsigned datagrams;
} tally;

/* A train, piece by piece.  A callback may close the connection; then nobody wants the rest. */
static void train_received(gn_conn *c, gnp_dgram *d, tally *t)
{
    const unsigned char *data = d->data;
    size_t left = d->len;
    int truncated = d->truncated;
    while (left > 0 && c->state == GNI_CONN_OPEN) {
        size_t n = left < d->segment ? left : d->segment;
        d->truncated = truncated && n == left; /* the end of a train is the end of its last */
        datagram(c, d, data, n);
        data += n;
        left -= n;
        t->datagrams++;
    }
    t->datagrams += left > 0; /* so that a turn ends whoever sends */
}

static void received(gn_conn *c, gnp_dgram *d, tally *t)
{
    t->bytes += d->len;
    t->truncated += d->truncated != 0;
    if (d->segment > 0) {
        train_received(c, d, t);
    } else {
        t->datagrams++;
        if (c->state == GNI_CONN_OPEN) {
            datagram(c, d, d->data, d->len);
        }
    }
}

static void starved_over(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    uint32_t i = 0;
    gn_conn *c;
    (void)t;
    while ((c = gni_conntab_each(&l->conns, &i)) != NULL) {
        if ((c->flags & GNI_F_STARVED) != 0) {
            c->flags &= ~(uint32_t)GNI_F_STARVED;
            gni_conn_mark_dirty(c);
        }
    }
}

/* What came stays with the system, which would report it in every turn. */
static void starve(gn_conn *c)
{
    gn_loop *l = c->loop;
    c->flags |= GNI_F_STARVED;
    l->starved_timer.fn = starved_over;
    if (!gni_timer_is_set(&l->starved_timer)) {
        gni_timer_set(&l->wheel, &l->starved_timer, l->now + STARVED_NS);
    }
}

static void readable(gn_conn *c)
{
    gn_loop *l = c->loop;
    tally t = { 0, 0, 0 };
    while (t.datagrams < TURN_DATAGRAMS && (c->flags & GNI_F_REST) == 0) {
        gnp_dgram d;
        int rc = gnp_recvfrom(l->poller, &c->sock, &d);
        if (rc == GNP_OK) {
            received(c, &d, &t);
            gnp_recv_done(l->poller, &c->sock);
            continue;
        }
        if (rc != GNP_AGAIN) { /* an answer to an earlier send (ICMP): nothing that ends it */
            error_note(c, rc, gnp_os_error());
        }
        if (rc == GNP_ENOMEM) {
            starve(c);
        }
        break;
    }
    if (t.datagrams > 0) {
        gni_count(&l->stats.reads, 1);
        gni_count(&l->stats.datagrams_in, t.datagrams);
        gni_count(&l->stats.bytes_in, t.bytes);
        gni_count(&l->stats.datagrams_lost, t.truncated);
        touch(c);
    }
}

void gni_udp_event(gn_conn *c, const gnp_event *ev)
{
    if ((ev->what & GNP_EV_CLOSED) != 0) {
        c->flags &= ~(uint32_t)GNI_F_INFLIGHT;
        gni_conn_mark_dirty(c); /* the list gives the slot back */
        return;
    }
    if ((ev->what & GNP_EV_WRITABLE) != 0) {
        c->flags &= ~(uint32_t)GNI_F_BLOCKED;
    }
    if ((ev->what & GNP_EV_READABLE) != 0) {
        readable(c);
    }
    gni_conn_settle(c);
}

/* ------------------------------------------------------------ the end of a turn */

static void tell_error(gn_conn *c)
{
    const gn_handler *h = c->handler;
    int error = c->u.dgram.error;
    c->u.dgram.error = GN_OK;
    if (h->on_error != NULL) {
        gni_conn_callback_begin(c, NULL, 0);
        h->on_error(c, error, c->user);
        gni_conn_callback_end(c);
        gni_conn_mark_dirty(c); /* what it wrote leaves in the next turn, and errors of that one come then */
    }
}

static void tell_drained(gn_conn *c)
{
    const gn_handler *h = c->handler;
    c->flags &= ~(uint32_t)GNI_F_QUEUED;
    if (h->on_drained != NULL) {
        gni_conn_callback_begin(c, NULL, 0);
        gn_action action = h->on_drained(c, c->user);
        gni_conn_callback_end(c);
        gni_conn_action(c, action);
        gni_conn_mark_dirty(c);
    }
}

int gni_udp_settle(gn_conn *c)
{
    gni_udp_flush(c);
    if (c->u.dgram.error != GN_OK && c->state == GNI_CONN_OPEN) {
        tell_error(c);
    }
    if ((c->flags & GNI_F_QUEUED) != 0 && c->u.dgram.queue == NULL && c->state == GNI_CONN_OPEN) {
        tell_drained(c);
    }
    if ((c->flags & (GNI_F_FAILED | GNI_F_RESET)) != 0) {
        return 1;
    }
    return c->state == GNI_CONN_CLOSING && c->u.dgram.queue == NULL;
}

/* -------------------------------------------------------------- begin and end */

int gni_udp_open(gni_acceptor *a)
{
    gn_loop *l = a->loop;
    gni_listener *ln = a->listener;
    gn_conn *c = gni_conntab_alloc(&l->conns);
    if (c == NULL) {
        return GN_ENOMEM;
    }
    c->sock = a->sock;
    int rc = gnp_attach(l->poller, &c->sock, GNP_READ);
    if (rc != GN_OK) {
        gni_conntab_release(&l->conns, c);
        return rc;
    }
    a->sock.os = -1; /* the connection has it now */
    gni_conn_init(c, l, ln->handler, ln->user, NULL);
    c->listener = (uint16_t)ln->index;
    c->flags = GNI_F_DGRAM;
    c->state = GNI_CONN_OPEN;
    gnp_store64(&a->endpoint, gn_conn_handle(c));
    return GN_OK;
}

int gni_udp_pause(gni_acceptor *a, int pause)
{
    gn_conn *c = gn_conn_from_handle(gnp_load64(&a->endpoint));
    if (c == NULL) { /* it has failed, and was closed */
        return GN_ECLOSED;
    }
    c->flags = pause ? c->flags | GNI_F_REST : c->flags & ~(uint32_t)GNI_F_REST;
    gni_conn_mark_dirty(c);
    return GN_OK;
}

void gni_udp_dialed(gn_conn *c)
{
    memset(&c->u, 0, sizeof c->u);
    c->flags |= GNI_F_DGRAM | GNI_F_DIALED;
}

void gni_udp_close(gn_conn *c, int now)
{
    gn_loop *l = c->loop;
    if (c->state != GNI_CONN_OPEN && c->state != GNI_CONN_CLOSING) {
        return;
    }
    gni_udp_flush(c);
    if (!now && c->u.dgram.queue != NULL) {
        c->state = GNI_CONN_CLOSING; /* what the system takes only now still leaves */
        return;
    }
    gni_udp_forget(c);
    c->state = GNI_CONN_DEAD;
    gni_conntab_retire(&l->conns, c);
    if (gnp_close(l->poller, &c->sock, 0) == GNP_INFLIGHT) {
        c->flags |= GNI_F_INFLIGHT;
    }
    gni_conn_mark_dirty(c);
}
