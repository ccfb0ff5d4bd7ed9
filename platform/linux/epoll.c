/* SPDX-License-Identifier: MIT */
/* The parts of the epoll poller that do not depend on how it is triggered. */
#include "epoll.h"
#include "../mem.h"

#include <errno.h>
#include <unistd.h>

int gnp_epoll_probe(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return errno == ENOSYS || errno == EPERM ? GNP_ENOTSUP : GNP_OK; /* else it exists; open tells more */
    close(fd);
    return GNP_OK;
}

/* The wake-up is edge-triggered: each write to the eventfd is one event, and nobody has to read it. */
static int add_wake(gnp_epoll *ep)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };

    if (epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->px.wake_read, &e) == 0)
        return GNP_OK;
    return gnp_px_fail(errno);
}

int gnp_epoll_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_epoll *ep = gnp_zalloc(sizeof(*ep));
    int r;

    if (ep == NULL)
        return GNP_ENOMEM;
    r = gnp_px_init(&ep->px, config->edge ? &gnp_epoll_edge_ops : &gnp_epoll_ops, config);
    if (r != GNP_OK) {
        gnp_free(ep, sizeof(*ep));
        return r;
    }
    ep->px.base.caps = GNP_CAP_EDGE;
    ep->fd = epoll_create1(EPOLL_CLOEXEC);
    r = ep->fd >= 0 ? add_wake(ep) : gnp_px_fail(errno);
    if (r != GNP_OK) {
        gnp_epoll_close(&ep->px.base);
        return r;
    }
    *out = &ep->px.base;
    return GNP_OK;
}

void gnp_epoll_close(gnp_poller *p)
{
    gnp_epoll *ep = (gnp_epoll *)(void *)p;

    gnp_px_fini(&ep->px);
    if (ep->fd >= 0)
        close(ep->fd);
    gnp_free(ep, sizeof(*ep));
}

int gnp_epoll_ctl(gnp_epoll *ep, int op, gnp_sock *s, uint32_t bits)
{
    struct epoll_event e = { .events = bits, .data.ptr = s };

    if (epoll_ctl(ep->fd, op, (int)s->os, &e) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}

int gnp_epoll_collect(gnp_epoll *ep, int max, uint64_t deadline_ns, int *interrupted)
{
    uint64_t now = 0;
    int n;

    if (max > EP_EVENTS)
        max = EP_EVENTS;
    *interrupted = 0;
    if (deadline_ns != 0 && deadline_ns != GNP_NEVER)
        now = gnp_now();
    if (deadline_ns <= now)
        n = epoll_wait(ep->fd, ep->events, max, 0);
    else if (deadline_ns == GNP_NEVER)
        n = epoll_wait(ep->fd, ep->events, max, -1);
    else
        n = gnp_epoll_wait_ns(ep->fd, ep->events, max, deadline_ns - now);
    if (n >= 0)
        return n;
    if (errno != EINTR)
        return gnp_px_fail(errno);
    *interrupted = 1;
    return 0;
}

int gnp_epoll_detach(gnp_poller *p, gnp_sock *s)
{
    gnp_epoll *ep = (gnp_epoll *)(void *)p;

    if ((s->state & PX_CONNECT) || s->priv != NULL)
        return GNP_EBUSY;
    if ((s->state & PX_INSET) && epoll_ctl(ep->fd, EPOLL_CTL_DEL, (int)s->os, NULL) != 0)
        return gnp_px_fail(errno);
    gnp_px_release(&ep->px, s);
    return GNP_OK;
}

/*
 * The kernel takes a closed descriptor out of the set by itself only when no other
 * descriptor shares its file.  A child between fork and exec, started by any thread of the
 * program, does share it for a moment, and its events would then carry memory that is no
 * longer a socket's.  So it is taken out by hand, at about 2 % of the cost of a short connection.
 */
int gnp_epoll_close_sock(gnp_poller *p, gnp_sock *s, int reset)
{
    gnp_epoll *ep = (gnp_epoll *)(void *)p;

    if (s->state & PX_INSET)
        epoll_ctl(ep->fd, EPOLL_CTL_DEL, (int)s->os, NULL);
    gnp_px_forget(&ep->px, s);
    if (s->priv != NULL) {
        gnp_px_batch *b = s->priv;
        gnp_px_dgram_drop(&ep->px, &b);
        s->priv = NULL;
    }
    gnp_px_close_fd(s, reset);
    s->state = 0;
    return GNP_OK;
}

int gnp_epoll_connect_end(gnp_poller *p, gnp_sock *s)
{
    (void)p;
    return gnp_px_connect_end(s);
}
