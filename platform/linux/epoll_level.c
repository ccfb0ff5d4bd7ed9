/* SPDX-License-Identifier: MIT */
/*
 * epoll, level-triggered: the kernel itself repeats what is left unread.  What it watches is
 * widened at once and narrowed only when it reports something that nobody wants: a pause
 * that ends before the next byte comes, or a short send, costs no extra epoll_ctl.
 */
#include "epoll.h"

static gnp_epoll *of(gnp_poller *p)
{
    return (gnp_epoll *)(void *)p;
}

static uint32_t kernel_bits(unsigned px)
{
    return (px & PX_IN ? (uint32_t)EPOLLIN : 0) | (px & PX_OUT ? (uint32_t)EPOLLOUT : 0);
}

static unsigned px_bits(uint32_t ev)
{
    return (ev & EPOLLIN ? PX_IN : 0) | (ev & EPOLLOUT ? PX_OUT : 0) |
           (ev & (EPOLLHUP | EPOLLERR) ? PX_HUP : 0);
}

/* Has the kernel watch what is wished for, if it does not yet. */
static int arm(gnp_epoll *ep, gnp_sock *s)
{
    unsigned mask = gnp_px_mask(s);
    int r;

    if ((mask & ~(unsigned)s->armed) == 0)
        return GNP_OK;
    r = gnp_epoll_ctl(ep, s->state & PX_INSET ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s, kernel_bits(mask));
    if (r != GNP_OK)
        return r;
    s->armed = (uint8_t)mask;
    s->state |= PX_INSET;
    return GNP_OK;
}

/* The kernel reported what nobody wants. */
static void disarm(gnp_epoll *ep, gnp_sock *s, unsigned watch)
{
    if (watch == PX_LEAVE) {
        gnp_epoll_ctl(ep, EPOLL_CTL_DEL, s, 0);
        s->state &= ~(uint32_t)PX_INSET;
        s->armed = 0;
    } else {
        gnp_epoll_ctl(ep, EPOLL_CTL_MOD, s, kernel_bits(watch));
        s->armed = (uint8_t)watch;
    }
}

/* Sockets with datagrams in hand are ready, whatever the kernel says. */
static void relist(gnp_epoll *ep, gnp_sock *s)
{
    int ready = s->priv != NULL && (s->interest & GNP_READ);

    if (ready == gnp_px_listed(s))
        return;
    if (ready)
        gnp_px_list(&ep->px, s);
    else
        gnp_px_unlist(s);
}

static uint32_t translate(gnp_epoll *ep, gnp_sock *s, uint32_t ev)
{
    unsigned watch, px;
    uint32_t what;

    if (ev == EPOLLIN && gnp_px_mask(s) == PX_IN) { /* nearly always; as gnp_px_level would say */
        s->state = (s->state | PX_CAN_READ) & ~(uint32_t)PX_DRY;
        return GNP_EV_READABLE;
    }
    px = px_bits(ev);
    what = gnp_px_level(s, px, &watch);
    if (watch == PX_LEAVE || (px & (PX_IN | PX_OUT) & ~watch) != 0)
        disarm(ep, s, watch);
    return what;
}

static int level_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns)
{
    return gnp_epoll_wait(p, events, cap, deadline_ns, translate);
}

static int level_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    gnp_px_adopt(s, interest);
    return arm(of(p), s);
}

static int level_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    if (s->kind == GNP_DGRAM)
        relist(of(p), s);
    return arm(of(p), s);
}

static int level_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    return gnp_px_recv((gnp_px *)(void *)p, s, data, n);
}

static void level_recv_done(gnp_poller *p, gnp_sock *s)
{
    gnp_px_batch *b = s->priv;

    if (of(p)->px.rights_of != NULL)
        gnp_px_rights_drop(&of(p)->px);
    if (s->kind != GNP_DGRAM)
        return;
    gnp_px_dgram_done(&of(p)->px, s, &b);
    s->priv = b;
    relist(of(p), s);
}

/* After a verb of sending that said r: WRITABLE may be owed. */
static int owe(gnp_poller *p, gnp_sock *s, int r)
{
    if (s->state & PX_WRITE) {
        int armed = arm(of(p), s);
        if (armed != GNP_OK)
            return armed;
    }
    return r;
}

static int level_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                      size_t *sent)
{
    return owe(p, s, gnp_px_send(s, iov, count, flags, sent));
}

static int level_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                          uint64_t *sent)
{
    return owe(p, s, gnp_px_sendfile(s, (int)file, offset, n, sent));
}

static int level_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                                 size_t *sent)
{
    return owe(p, s, gnp_px_send_descriptor(s, (int)os, data, n, sent));
}

static int level_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    (void)p;
    return gnp_px_accept(listener, out, peer);
}

static int level_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    gnp_px_batch *b = s->priv;
    int r = gnp_px_recvfrom(&of(p)->px, s, &b, out);

    s->priv = b;
    return r;
}

static int level_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    return owe(p, s, gnp_px_sendto(s, out, count, sent));
}

static int level_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                         const gnp_sock_opts *o)
{
    int r = gnp_px_connect(s, kind, to, local, o);
    int armed;

    if (r != GNP_INFLIGHT)
        return r;
    armed = arm(of(p), s);
    if (armed == GNP_OK)
        return r;
    gnp_epoll_close_sock(p, s, 0);
    return armed;
}

const gnp_ops gnp_epoll_ops = {
    .name = "epoll",
    .probe = gnp_epoll_probe,
    .open = gnp_epoll_open,
    .close = gnp_epoll_close,
    .wait = level_wait,
    .wake = gnp_px_wake,
    .attach = level_attach,
    .detach = gnp_epoll_detach,
    .want = level_want,
    .recv = level_recv,
    .recv_done = level_recv_done,
    .send = level_send,
    .sendfile = level_sendfile,
    .send_descriptor = level_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = level_accept,
    .recvfrom = level_recvfrom,
    .sendto = level_sendto,
    .connect = level_connect,
    .connect_end = gnp_epoll_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = gnp_epoll_close_sock,
};
