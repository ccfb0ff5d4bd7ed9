/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <string.h>

#include "engine.h"
#include "log.h"
#include "loop.h"

/* Connections taken in one turn: a storm of them must not starve those that are open. */
#define ACCEPT_BATCH 64

/* Without descriptors accepting rests so long, doubling; at most ten looks a second. */
#define BACKOFF_MIN_NS (UINT64_C(5) * 1000 * 1000)
#define BACKOFF_MAX_NS (UINT64_C(100) * 1000 * 1000)

/* At the limit of descriptors each one that closes lets one in and starts a new rest: one line is enough. */
#define LOG_INTERVAL_NS (UINT64_C(10) * 1000 * 1000 * 1000)

/* Who has waited so long in the queue is better told to go than left to wait. */
#define STARVED_NS (UINT64_C(5) * 1000 * 1000 * 1000)

/* ----------------------------------------------------------------- binding */

static void sock_options(gnp_sock_opts *so, const gn_options *o, gni_scheme scheme, int reuseport)
{
    memset(so, 0, sizeof *so);
    so->backlog = o->backlog;
    so->reuseport = reuseport;
    so->rcvbuf = o->recv_buffer;
    so->sndbuf = o->send_buffer;
    so->v6only = scheme == GNI_TCP6 || scheme == GNI_UDP6;
    if (!gni_scheme_is_datagram(scheme) && scheme != GNI_UNIX) {
        so->reuseaddr = o->reuseaddr;
        so->nodelay = o->tcp_nodelay;
        so->keepalive_s = o->keepalive_s;
        so->keepalive_intvl_s = o->keepalive_intvl_s;
        so->keepalive_count = o->keepalive_count;
    }
}

/* One socket per loop: TCP if it was asked for, datagrams always, where the kernel balances.
 * The others are accepted by one loop, whatever the number of loops. */
static unsigned sockets_wanted(gni_scheme scheme, const gn_options *o, unsigned loops)
{
    if (scheme == GNI_UNIX || loops == 1) {
        return 1;
    }
    if (gni_scheme_is_datagram(scheme)) {
        return gnp_reuseport_balances(GNP_DGRAM) ? loops : 1;
    }
    return o->reuseport && gnp_reuseport_balances(GNP_STREAM) ? loops : 1;
}

static int socket_open(gni_listener *ln, gnp_sock *s, const gnp_addr *a, const gnp_sock_opts *so)
{
    return ln->datagram ? gnp_dgram_open(s, a, so) : gnp_listen(s, a, so, &ln->bound);
}

/* Every address of the host: IPv6 that takes IPv4 too, or IPv4 where there is no IPv6. */
static int first_open(gni_listener *ln, gni_endpoint *ep, const gnp_sock_opts *so)
{
    int both = ep->any && (ep->scheme == GNI_TCP || ep->scheme == GNI_UDP);
    if (both && gnp_has_ipv6()) {
        gnp_addr v6 = { 0 };
        v6.family = GNP_FAMILY_IPV6;
        v6.port = ep->addr.port;
        int rc = socket_open(ln, &ln->socks[0], &v6, so);
        if (rc != GNP_EADDRNOTAVAIL && rc != GNP_ENOTSUP) {
            return rc;
        }
    }
    if (both) {
        memset(&ep->addr.u, 0, sizeof ep->addr.u);
        ep->addr.family = GNP_FAMILY_IPV4;
    }
    return socket_open(ln, &ln->socks[0], &ep->addr, so);
}

/* Who asked for reuseport shares a port of his choice with whoever else does; a free port, and one
 * that is shared only among our own loops, must be ours alone. */
static int first_mode(const gni_endpoint *ep, const gn_options *o, unsigned wanted)
{
    int asked = o->reuseport && ep->scheme != GNI_UNIX;
    if (asked && ep->addr.port != 0) {
        return GNP_SHARED;
    }
    return asked || wanted > 1 ? GNP_SHARED_FIRST : GNP_EXCLUSIVE;
}

/* The first socket may choose the port; the others take the same one. */
static int sockets_open(gni_listener *ln, gni_endpoint *ep, const gn_options *o, unsigned wanted)
{
    gnp_sock_opts so;
    sock_options(&so, o, ep->scheme, first_mode(ep, o, wanted));
    int rc = first_open(ln, ep, &so);
    if (rc != GNP_OK) {
        return rc;
    }
    ln->count = 1;
    rc = gnp_sock_local(&ln->socks[0], &ln->addr);
    so.reuseport = GNP_SHARED;
    while (rc == GNP_OK && ln->count < wanted) {
        rc = socket_open(ln, &ln->socks[ln->count], &ln->addr, &so);
        if (rc == GNP_OK) {
            ln->count++;
        }
    }
    return rc;
}

int gni_listener_open(gni_listener **out, const char *url, unsigned index, const gn_options *o,
                      unsigned loops)
{
    gni_endpoint ep;
    int rc = gni_endpoint_parse(url, &ep);
    if (rc != GN_OK) {
        return rc;
    }
    unsigned wanted = sockets_wanted(ep.scheme, o, loops);
    gni_listener *ln = gnp_zalloc(sizeof *ln);
    if (ln == NULL) {
        return GN_ENOMEM;
    }
    ln->index = index;
    ln->scheme = ep.scheme;
    ln->datagram = gni_scheme_is_datagram(ep.scheme);
    ln->cap = wanted;
    ln->socks = gnp_zalloc(wanted * sizeof *ln->socks);
    rc = ln->socks == NULL ? GN_ENOMEM : sockets_open(ln, &ep, o, wanted);
    if (rc != GN_OK) {
        gni_listener_close(ln);
        gni_listener_free(ln);
        return rc;
    }
    *out = ln;
    return GN_OK;
}

void gni_listener_close(gni_listener *ln)
{
    for (unsigned i = 0; i < ln->count; i++) {
        if (ln->socks[i].os != -1) {
            gnp_sock_close(&ln->socks[i], 0);
            ln->socks[i].os = -1;
        }
    }
    gnp_unlink_bound(&ln->addr, &ln->bound);
    memset(&ln->bound, 0, sizeof ln->bound);
}

void gni_listener_free(gni_listener *ln)
{
    gnp_free(ln->socks, ln->cap * sizeof *ln->socks);
    gnp_free(ln, sizeof *ln);
}

int gni_listener_needs_acceptor(const gni_listener *ln, unsigned loops)
{
    return !ln->datagram && loops > 1 && ln->count == 1;
}

/* --------------------------------------------------------------- accepting */

typedef struct handoff {
    gni_task task;
    gn_loop *loop;
    gni_listener *listener;
    gnp_sock sock;
    gnp_addr peer;
} handoff;

static void handoff_run(gni_task *t, int status)
{
    handoff *h = (handoff *)(void *)t;
    if (status == GN_OK) {
        gni_conn_accepted(h->loop, &h->sock, &h->peer, h->listener);
    } else {
        gnp_sub32(&h->loop->load, 1);
        gnp_sock_close(&h->sock, 0);
    }
    gnp_free(h, sizeof *h);
}

static void hand_over(gn_loop *to, gnp_sock *s, const gnp_addr *peer, gni_listener *ln)
{
    handoff *h = gnp_alloc(sizeof *h);
    if (h == NULL) {
        gnp_sock_close(s, 0);
        return;
    }
    h->task.run = handoff_run;
    h->loop = to;
    h->listener = ln;
    h->sock = *s;
    h->peer = *peer;
    gnp_add32(&to->load, 1);
    if (gni_loop_post_to(to, &h->task) != GN_OK) {
        handoff_run(&h->task, GN_ECLOSED);
    }
}

static void accepted(gni_acceptor *a, gnp_sock *s, const gnp_addr *peer)
{
    gn_loop *l = a->loop;
    gn_loop *to = l->index < l->engine->nloops ? l : gni_engine_balance(l->engine, peer);
    if (to == l) {
        gnp_add32(&l->load, 1);
        gni_conn_accepted(l, s, peer, a->listener);
    } else {
        hand_over(to, s, peer, a->listener);
    }
}

/* Out of descriptors for long: the one in reserve lets those who wait be told. */
static void shed(gni_acceptor *a)
{
    gn_loop *l = a->loop;
    gnp_sock s;
    gnp_addr peer;
    unsigned n = 0;
    gnp_reserve_release(&l->reserve);
    while (n < ACCEPT_BATCH && gnp_accept(l->poller, &a->sock, &s, &peer) == GNP_OK) {
        gnp_sock_close(&s, 1);
        n++;
    }
    (void)gnp_reserve_take(&l->reserve); /* if it is gone, the next time sheds nothing */
    gni_log(GN_LOG_WARN, "listener %u: no descriptors for a while, %u waiting connections refused",
            a->listener->index, n);
}

static void backoff_start(gni_acceptor *a, int why)
{
    gn_loop *l = a->loop;
    if (a->logged == 0 || l->now - a->logged >= LOG_INTERVAL_NS) {
        gni_log(GN_LOG_WARN, "listener %u: accepting rests: %s", a->listener->index, gn_strerror(why));
        a->logged = l->now;
    }
    if (a->delay_ns == 0) {
        a->delay_ns = BACKOFF_MIN_NS;
        a->starved_since = l->now;
    } else {
        a->delay_ns = a->delay_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : a->delay_ns * 2;
    }
    if (l->now - a->starved_since >= STARVED_NS) {
        shed(a);
        a->starved_since = l->now;
    }
    if (gnp_want(l->poller, &a->sock, 0) == GNP_OK) {
        l->resting++;
        gni_timer_set(&l->wheel, &a->backoff, l->now + a->delay_ns);
    }
}

static void backoff_over(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    gni_acceptor *a = (gni_acceptor *)(void *)((char *)t - offsetof(gni_acceptor, backoff));
    if (gnp_want(l->poller, &a->sock, GNP_READ) != GNP_OK) {
        gni_timer_set(&l->wheel, t, l->now + BACKOFF_MAX_NS);
        return;
    }
    l->resting--;
}

void gni_acceptor_retry(gn_loop *l)
{
    if (l->resting == 0) {
        return;
    }
    for (unsigned i = 0; i < l->acceptor_count; i++) {
        if (gni_timer_is_set(&l->acceptors[i].backoff)) {
            gni_timer_set(&l->wheel, &l->acceptors[i].backoff, l->now);
        }
    }
}

void gni_acceptor_event(gni_acceptor *a, const gnp_event *ev)
{
    gn_loop *l = a->loop;
    if ((ev->what & GNP_EV_CLOSED) != 0) {
        l->late--;
    }
    for (int i = 0; i < ACCEPT_BATCH && a->state == GNI_ACCEPTOR_ATTACHED && !gni_engine_stopping(l->engine);
         i++) {
        gnp_sock s;
        gnp_addr peer;
        int rc = gnp_accept(l->poller, &a->sock, &s, &peer);
        if (rc == GNP_OK) {
            a->delay_ns = 0;
            accepted(a, &s, &peer);
        } else if (rc == GNP_AGAIN) {
            return;
        } else if (rc != GNP_ECONNABORTED && rc != GNP_EACCES) {
            backoff_start(a, rc);
            return;
        }
    }
}

int gni_acceptor_attach(gni_acceptor *a)
{
    int rc = gnp_attach(a->loop->poller, &a->sock, GNP_READ);
    if (rc == GNP_OK) {
        a->state = GNI_ACCEPTOR_ATTACHED;
    }
    a->backoff.fn = backoff_over;
    return rc;
}

void gni_acceptor_detach(gni_acceptor *a)
{
    int was = a->state;
    a->state = GNI_ACCEPTOR_CLOSED;
    if (was == GNI_ACCEPTOR_ATTACHED) {
        if (gni_timer_is_set(&a->backoff)) {
            gni_timer_cancel(&a->loop->wheel, &a->backoff);
            a->loop->resting--;
        }
        if (gnp_close(a->loop->poller, &a->sock, 0) == GNP_INFLIGHT) {
            a->loop->late++;
        }
    } else if (was == GNI_ACCEPTOR_DETACHED && a->sock.os != -1) {
        gnp_sock_close(&a->sock, 0);
    }
}
