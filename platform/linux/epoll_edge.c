/* SPDX-License-Identifier: MIT */
/*
 * epoll, edge-triggered: every socket is registered once, for everything.  The kernel reports
 * changes only, so sockets that still have something stay on the ready list until a verb
 * has seen the end of it.
 */
#include "epoll.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define EVERYTHING ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET))

/* Besides the data there is something that a short read says nothing about: the end, an error, or an
 * urgent mark, at which a read stops although there is more behind it. */
#define BEYOND (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

static gnp_epoll *of(gnp_poller *p)
{
    return (gnp_epoll *)(void *)p;
}

/* Puts s on the ready list or takes it off, as its state says. */
static void relist(gnp_epoll *ep, gnp_sock *s)
{
    int ready = (gnp_px_mask(s) & (s->state >> 4) & (PX_IN | PX_OUT)) != 0;

    if (ready == gnp_px_listed(s))
        return;
    if (ready)
        gnp_px_list(&ep->px, s);
    else
        gnp_px_unlist(s);
}

static void cannot(gnp_epoll *ep, gnp_sock *s, uint32_t bits)
{
    s->state &= ~bits;
    if (gnp_px_listed(s))
        relist(ep, s);
}

static uint32_t translate(gnp_epoll *ep, gnp_sock *s, uint32_t ev)
{
    uint32_t what = 0;

    if (ev & (EPOLLIN | BEYOND)) {
        s->state |= PX_CAN_READ | (ev & BEYOND ? PX_PROBE : 0);
        s->state &= ~(uint32_t)PX_DRY;
    }
    if (ev & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        if (s->state & PX_WRITE)
            s->state |= PX_CAN_WRITE;
        s->state &= ~(uint32_t)PX_CONNECT;
    }
    what = gnp_px_mask(s) & (s->state >> 4) & (PX_IN | PX_OUT);
    if (what != 0 && !gnp_px_listed(s))
        gnp_px_list(&ep->px, s);
    if ((ev & (EPOLLHUP | EPOLLERR)) && s->kind == GNP_STREAM && !(s->state & PX_HUNG)) {
        s->state |= PX_HUNG;
        what |= GNP_EV_HANGUP;
    }
    return what;
}

static int edge_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns)
{
    return gnp_epoll_wait(p, events, cap, deadline_ns, translate);
}

static int edge_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    int r;

    gnp_px_adopt(s, interest);
    r = gnp_epoll_ctl(of(p), EPOLL_CTL_ADD, s, EVERYTHING);
    if (r == GNP_OK)
        s->state |= PX_INSET;
    return r;
}

static int edge_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    relist(of(p), s);
    return GNP_OK;
}

/* Like gnp_px_recv on a Unix socket, where a read also stops behind bytes that came with
 * descriptors; only recvmsg tells.  The kernel drops the descriptors. */
static int recv_unix(gnp_px *p, gnp_sock *s, const void **data, size_t *n)
{
    struct iovec v = { p->scratch, p->scratch_size };
    struct msghdr m;
    ssize_t r;

    if (s->state & PX_DESCRIPTORS)
        return gnp_px_recv_rights(p, s, data, n);
    memset(&m, 0, sizeof(m));
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    do {
        r = recvmsg((int)s->os, &m, 0);
    } while (r < 0 && errno == EINTR);
    if (r > 0 && (m.msg_flags & MSG_CTRUNC))
        s->state |= PX_PROBE;
    return gnp_px_received(p, s, r, data, n);
}

static int edge_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    gnp_epoll *ep = of(p);
    int r;

    if (!(s->state & PX_CAN_READ))
        return GNP_AGAIN; /* the next event tells */
    r = s->family == GNP_FAMILY_UNIX ? recv_unix(&ep->px, s, data, n) : gnp_px_recv(&ep->px, s, data, n);
    if (r == GNP_OK && (*n == ep->px.scratch_size || (s->state & PX_PROBE)))
        return r;
    if (r == GNP_ENOMEM || r == GNP_ENOBUFS)
        return r;
    if (r == GNP_AGAIN)
        s->state &= ~(uint32_t)PX_PROBE;
    cannot(ep, s, PX_CAN_READ);
    return r;
}

static void edge_recv_done(gnp_poller *p, gnp_sock *s)
{
    gnp_px_batch *b = s->priv;

    if (of(p)->px.rights_of != NULL)
        gnp_px_rights_drop(&of(p)->px);
    if (s->kind != GNP_DGRAM)
        return;
    gnp_px_dgram_done(&of(p)->px, s, &b);
    s->priv = b;
    if (gnp_px_listed(s))
        relist(of(p), s);
}

static int edge_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                     size_t *sent)
{
    int r;

    s->state &= ~(uint32_t)PX_CAN_WRITE;
    r = gnp_px_send(s, iov, count, flags, sent);
    if (gnp_px_listed(s) || (s->state & PX_CAN_WRITE))
        relist(of(p), s);
    return r;
}

static int edge_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                         uint64_t *sent)
{
    int r;

    s->state &= ~(uint32_t)PX_CAN_WRITE;
    r = gnp_px_sendfile(s, (int)file, offset, n, sent);
    if (gnp_px_listed(s) || (s->state & PX_CAN_WRITE))
        relist(of(p), s);
    return r;
}

static int edge_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                                size_t *sent)
{
    int r;

    s->state &= ~(uint32_t)PX_CAN_WRITE;
    r = gnp_px_send_descriptor(s, (int)os, data, n, sent);
    if (gnp_px_listed(s))
        relist(of(p), s);
    return r;
}

static int edge_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    int r;

    if (!(listener->state & PX_CAN_READ))
        return GNP_AGAIN;
    r = gnp_px_accept(listener, out, peer);
    if (r == GNP_AGAIN)
        cannot(of(p), listener, PX_CAN_READ);
    return r;
}

static int edge_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    gnp_px_batch *b = s->priv;
    int r = gnp_px_recvfrom(&of(p)->px, s, &b, out);

    s->priv = b;
    if (r == GNP_AGAIN && gnp_px_listed(s))
        relist(of(p), s);
    return r;
}

static int edge_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    int r;

    s->state &= ~(uint32_t)PX_CAN_WRITE;
    r = gnp_px_sendto(s, out, count, sent);
    if (gnp_px_listed(s))
        relist(of(p), s);
    return r;
}

static int edge_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                        const gnp_sock_opts *o)
{
    int r = gnp_px_connect(s, kind, to, local, o);
    int added;

    if (r != GNP_OK && r != GNP_INFLIGHT)
        return r;
    added = gnp_epoll_ctl(of(p), EPOLL_CTL_ADD, s, EVERYTHING);
    if (added == GNP_OK) {
        s->state |= PX_INSET;
        return r;
    }
    gnp_epoll_close_sock(p, s, 0);
    return added;
}

static int edge_connect_end(gnp_poller *p, gnp_sock *s)
{
    int r = gnp_px_connect_end(s);

    if (r == GNP_OK)
        cannot(of(p), s, PX_CAN_WRITE);
    return r;
}

const gnp_ops gnp_epoll_edge_ops = {
    .name = "epoll",
    .probe = gnp_epoll_probe,
    .open = gnp_epoll_open,
    .close = gnp_epoll_close,
    .wait = edge_wait,
    .wake = gnp_px_wake,
    .attach = edge_attach,
    .detach = gnp_epoll_detach,
    .want = edge_want,
    .recv = edge_recv,
    .recv_done = edge_recv_done,
    .send = edge_send,
    .sendfile = edge_sendfile,
    .send_descriptor = edge_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = edge_accept,
    .recvfrom = edge_recvfrom,
    .sendto = edge_sendto,
    .connect = edge_connect,
    .connect_end = edge_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = gnp_epoll_close_sock,
};
