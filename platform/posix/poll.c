/* SPDX-License-Identifier: MIT */
/*
 * The poller on poll(2): what every POSIX system has, and the yardstick that the others are
 * compared with.  A dense array that goes to the kernel each time; a socket knows its
 * index.  O(sockets) per wait.
 */
#include "poll.h"
#include "posix.h"
#include "../mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define FIRST_CAP 64u

typedef struct entry {
    gnp_sock *sock;
    gnp_px_batch *held;
} entry;

typedef struct gnp_pollp {
    gnp_px px;
    struct pollfd *fds; /* [0] is the wake-up */
    entry *entries;     /* beside fds */
    unsigned n, cap;
    unsigned start; /* where the scan begins: where the last one found the caller's array full */
} gnp_pollp;

static gnp_pollp *of(gnp_poller *p)
{
    return (gnp_pollp *)(void *)p;
}

static unsigned index_of(const gnp_sock *s)
{
    return (unsigned)(uintptr_t)s->priv;
}

static int poll_probe(void)
{
    return GNP_OK;
}

static void poll_close(gnp_poller *base)
{
    gnp_pollp *p = of(base);

    gnp_px_fini(&p->px);
    gnp_free(p->fds, p->cap * sizeof(*p->fds));
    gnp_free(p->entries, p->cap * sizeof(*p->entries));
    gnp_free(p, sizeof(*p));
}

/* Makes room for one more. */
static int grow(gnp_pollp *p)
{
    unsigned cap = p->cap != 0 ? p->cap * 2 : FIRST_CAP;
    struct pollfd *fds;
    entry *entries;

    if (p->n < p->cap)
        return GNP_OK;
    fds = gnp_alloc(cap * sizeof(*fds));
    entries = gnp_alloc(cap * sizeof(*entries));
    if (fds == NULL || entries == NULL) {
        gnp_free(fds, cap * sizeof(*fds));
        gnp_free(entries, cap * sizeof(*entries));
        return gnp_px_fail(ENOMEM);
    }
    if (p->n > 0) {
        memcpy(fds, p->fds, p->n * sizeof(*fds));
        memcpy(entries, p->entries, p->n * sizeof(*entries));
    }
    gnp_free(p->fds, p->cap * sizeof(*p->fds));
    gnp_free(p->entries, p->cap * sizeof(*p->entries));
    p->fds = fds;
    p->entries = entries;
    p->cap = cap;
    return GNP_OK;
}

static int poll_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_pollp *p = gnp_zalloc(sizeof(*p));
    int r;

    if (p == NULL)
        return GNP_ENOMEM;
    r = gnp_px_init(&p->px, &gnp_poll_ops, config);
    if (r != GNP_OK) {
        gnp_free(p, sizeof(*p));
        return r;
    }
    r = grow(p);
    if (r != GNP_OK) {
        poll_close(&p->px.base);
        return r;
    }
    p->fds[0] = (struct pollfd){ .fd = p->px.wake_read, .events = POLLIN };
    p->entries[0] = (entry){ NULL, NULL };
    p->n = 1;
    p->start = 1;
    *out = &p->px.base;
    return GNP_OK;
}

/* Watches what is wished for.  A socket that was taken out after a hang-up comes back with a wish only. */
static void arm(gnp_pollp *p, gnp_sock *s)
{
    struct pollfd *f = &p->fds[index_of(s)];
    unsigned mask = gnp_px_mask(s);

    f->events = (short)((mask & PX_IN ? POLLIN : 0) | (mask & PX_OUT ? POLLOUT : 0));
    if (mask != 0)
        f->fd = (int)s->os;
}

static void relist(gnp_pollp *p, gnp_sock *s)
{
    int ready = p->entries[index_of(s)].held != NULL && (s->interest & GNP_READ);

    if (ready == gnp_px_listed(s))
        return;
    if (ready)
        gnp_px_list(&p->px, s);
    else
        gnp_px_unlist(s);
}

static unsigned px_bits(const struct pollfd *f)
{
    unsigned px = (f->revents & POLLIN ? PX_IN : 0) | (f->revents & POLLOUT ? PX_OUT : 0);

    if (f->revents & (POLLERR | POLLNVAL))
        return px | PX_HUP;
    if (f->revents & POLLHUP)
        px |= gnp_px_os_hung_up(f->fd) ? PX_HUP : PX_IN;
    return px;
}

/* Adds what entry i reports to the events; how many there are then. */
static unsigned deliver(gnp_pollp *p, unsigned i, gnp_event *events, unsigned listed, unsigned have)
{
    gnp_sock *s = p->entries[i].sock;
    unsigned watch;
    uint32_t what = gnp_px_level(s, px_bits(&p->fds[i]), &watch);
    gnp_event *e;

    if (watch == PX_LEAVE)
        p->fds[i].fd = -1;
    else
        arm(p, s);
    if (what == 0)
        return have;
    if ((e = gnp_px_slot(events, listed, s)) != NULL)
        e->what |= what;
    else
        gnp_px_event(events, have++, s, what);
    return have;
}

/* Goes once round the found entries that have something, or until the array is full. */
static unsigned scan(gnp_pollp *p, int found, gnp_event *events, unsigned cap, unsigned have)
{
    unsigned listed = have, left = p->n - 1, i = p->start < p->n ? p->start : 1;

    if (found > 0 && p->fds[0].revents != 0 && have < cap) {
        gnp_px_wake_drain(p->px.wake_read);
        gnp_px_woken(&p->px);
        events[have++] = (gnp_event){ .what = GNP_EV_WOKEN };
        found--;
    }
    for (; found > 0 && left > 0 && have < cap; left--) {
        if (p->fds[i].revents != 0) {
            have = deliver(p, i, events, listed, have);
            found--;
        }
        if (++i >= p->n)
            i = 1;
    }
    p->start = i;
    return have;
}

/* Milliseconds till the deadline, rounded up; -1: for ever. */
static int timeout_ms(uint64_t deadline_ns)
{
    uint64_t now, ms;

    if (deadline_ns == 0 || deadline_ns == GNP_NEVER)
        return deadline_ns == 0 ? 0 : -1;
    now = gnp_now();
    if (deadline_ns <= now)
        return 0;
    ms = (deadline_ns - now) / 1000000u + ((deadline_ns - now) % 1000000u != 0);
    return ms < 0x7fffffff ? (int)ms : 0x7fffffff;
}

static int poll_wait(gnp_poller *base, gnp_event *events, int cap, uint64_t deadline_ns)
{
    gnp_pollp *p = of(base);
    unsigned have = 0, max = (unsigned)(cap < PX_ROUND_MAX ? cap : PX_ROUND_MAX);
    int found;

    p->px.round = events;
    p->px.round_n = 0;
    do {
        if (gnp_px_any_ready(&p->px)) {
            have = gnp_px_begin(&p->px, events, max);
            deadline_ns = 0;
        }
        found = have < max ? poll(p->fds, p->n, timeout_ms(deadline_ns)) : 0;
        if (found < 0 && errno == EINTR)
            break;
        if (found < 0)
            return gnp_px_fail(errno);
        have = scan(p, found, events, max, have);
    } while (have == 0 && gnp_px_go_on(&p->px, found, deadline_ns));
    p->px.round_n = have;
    return (int)have;
}

/* Gives s, which has its state already, a place. */
static int enter(gnp_pollp *p, gnp_sock *s)
{
    int r = grow(p);

    if (r != GNP_OK)
        return r;
    s->priv = (void *)(uintptr_t)p->n;
    p->fds[p->n] = (struct pollfd){ .fd = (int)s->os };
    p->entries[p->n] = (entry){ s, NULL };
    p->n++;
    arm(p, s);
    return GNP_OK;
}

static int poll_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    gnp_px_adopt(s, interest);
    return enter(of(p), s);
}

static int poll_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    arm(of(p), s);
    if (s->kind == GNP_DGRAM)
        relist(of(p), s);
    return GNP_OK;
}

static int poll_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    return gnp_px_recv(&of(p)->px, s, data, n);
}

static void poll_recv_done(gnp_poller *base, gnp_sock *s)
{
    gnp_pollp *p = of(base);

    if (p->px.rights_of != NULL)
        gnp_px_rights_drop(&p->px);
    if (s->kind != GNP_DGRAM)
        return;
    gnp_px_dgram_done(&p->px, s, &p->entries[index_of(s)].held);
    relist(p, s);
}

static int poll_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                     size_t *sent)
{
    int r = gnp_px_send(s, iov, count, flags, sent);

    arm(of(p), s);
    return r;
}

static int poll_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                         uint64_t *sent)
{
    int r = gnp_px_sendfile(s, (int)file, offset, n, sent);

    arm(of(p), s);
    return r;
}

static int poll_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                                size_t *sent)
{
    int r = gnp_px_send_descriptor(s, (int)os, data, n, sent);

    arm(of(p), s);
    return r;
}

static int poll_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    (void)p;
    return gnp_px_accept(listener, out, peer);
}

static int poll_recvfrom(gnp_poller *base, gnp_sock *s, gnp_dgram *out)
{
    gnp_pollp *p = of(base);

    return gnp_px_recvfrom(&p->px, s, &p->entries[index_of(s)].held, out);
}

static int poll_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    int r = gnp_px_sendto(s, out, count, sent);

    arm(of(p), s);
    return r;
}

static int poll_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                        const gnp_sock_opts *o)
{
    int r = gnp_px_connect(s, kind, to, local, o);
    int entered;

    if (r != GNP_OK && r != GNP_INFLIGHT)
        return r;
    entered = enter(of(p), s);
    if (entered == GNP_OK)
        return r;
    gnp_px_close_fd(s, 0);
    return entered;
}

static int poll_connect_end(gnp_poller *p, gnp_sock *s)
{
    int r = gnp_px_connect_end(s);

    arm(of(p), s);
    return r;
}

/* Gives the place of s, whose datagrams are gone, to the last one. */
static void leave(gnp_pollp *p, gnp_sock *s)
{
    unsigned i = index_of(s), last = p->n - 1;

    if (i != last) {
        p->fds[i] = p->fds[last];
        p->entries[i] = p->entries[last];
        p->entries[i].sock->priv = (void *)(uintptr_t)i;
    }
    p->n = last;
}

static int poll_detach(gnp_poller *base, gnp_sock *s)
{
    gnp_pollp *p = of(base);

    if ((s->state & PX_CONNECT) || p->entries[index_of(s)].held != NULL)
        return GNP_EBUSY;
    leave(p, s);
    gnp_px_release(&p->px, s);
    return GNP_OK;
}

static int poll_close_sock(gnp_poller *base, gnp_sock *s, int reset)
{
    gnp_pollp *p = of(base);
    unsigned i = index_of(s);

    gnp_px_forget(&p->px, s);
    if (p->entries[i].held != NULL)
        gnp_px_dgram_drop(&p->px, &p->entries[i].held);
    leave(p, s);
    gnp_px_close_fd(s, reset);
    s->state = 0;
    return GNP_OK;
}

const gnp_ops gnp_poll_ops = {
    .name = "poll",
    .probe = poll_probe,
    .open = poll_open,
    .close = poll_close,
    .wait = poll_wait,
    .wake = gnp_px_wake,
    .attach = poll_attach,
    .detach = poll_detach,
    .want = poll_want,
    .recv = poll_recv,
    .recv_done = poll_recv_done,
    .send = poll_send,
    .sendfile = poll_sendfile,
    .send_descriptor = poll_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = poll_accept,
    .recvfrom = poll_recvfrom,
    .sendto = poll_sendto,
    .connect = poll_connect,
    .connect_end = poll_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = poll_close_sock,
};
