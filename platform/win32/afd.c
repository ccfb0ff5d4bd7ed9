/* SPDX-License-Identifier: MIT */
/*
 * Readiness on Windows: polls of the driver under Winsock (afd_device.h), each of one socket and ending at
 * the poller's port, so that a wait costs by events and not by sockets.
 *
 * A poll is one-shot and looks at the present state when it begins: asking anew after each report makes it
 * level-triggered.  It is asked at the next wait, so that a change of mind in between costs nothing.
 */
#include "afd_device.h"

#include "../mem.h"

#include <string.h>

#define AFD_ALWAYS (AFD_ABORT | AFD_LOCAL_CLOSE | AFD_CONNECT_FAIL)

/* Polls are asked by a handle of the driver.  To cancel one the kernel walks all that its handle has asked,
 * so each handle serves a few sockets only. */
#define SOCKETS_PER_DEVICE 32u

typedef struct device device;
struct device {
    device *next; /* of those with room */
    device *prev;
    HANDLE handle;
    unsigned sockets;
};

/* A socket's poll.  The kernel writes to it until its packet has come, also when the socket is gone. */
typedef struct ask ask;
struct ask {
    OVERLAPPED ov; /* first: what a packet points to */
    gnp_afd_poll poll;
    gnp_sock *sock; /* NULL: gone, only the packet is waited for */
    device *dev;
    SOCKET base; /* of the socket, below what others may have put upon Winsock */
    ask *next;   /* in the list of those to be looked at before the next wait */
    ask *prev;
    unsigned asked; /* PX_..., while it runs */
    int running, cancelled;
};

#define PACKETS 256

typedef struct gnp_afd {
    gnp_px px;
    ask changed;    /* head of a ring */
    device devices; /* head of a ring: with room */
    HANDLE look; /* of the driver, for polls that end at once */
    unsigned orphans;
    OVERLAPPED_ENTRY packets[PACKETS];
} gnp_afd;

static gnp_afd *of(gnp_poller *p)
{
    return (gnp_afd *)(void *)p;
}

static ask *ask_of(const gnp_sock *s)
{
    return s->priv;
}

/* --------------------------------------------------------------- devices */

static int device_open(const gnp_afd *p, device **out)
{
    device *d = gnp_zalloc(sizeof(*d));
    int r;

    if (d == NULL)
        return GNP_ENOMEM;
    r = gnp_afd_open(gnp_wx_port(&p->px), &d->handle);
    if (r != GNP_OK) {
        gnp_free(d, sizeof(*d));
        return r;
    }
    *out = d;
    return GNP_OK;
}

static void device_list(gnp_afd *p, device *d)
{
    d->next = p->devices.next;
    d->prev = &p->devices;
    p->devices.next->prev = d;
    p->devices.next = d;
}

static void device_unlist(device *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
}

/* One with room for a socket more. */
static int device_take(gnp_afd *p, device **out)
{
    device *d = p->devices.next;

    if (d == &p->devices) {
        int r = device_open(p, &d);
        if (r != GNP_OK)
            return r;
        device_list(p, d);
    }
    if (++d->sockets == SOCKETS_PER_DEVICE)
        device_unlist(d);
    *out = d;
    return GNP_OK;
}

static void device_give(gnp_afd *p, device *d)
{
    if (d->sockets-- == SOCKETS_PER_DEVICE)
        device_list(p, d);
    if (d->sockets > 0)
        return;
    device_unlist(d);
    CloseHandle(d->handle);
    gnp_free(d, sizeof(*d));
}

/* ----------------------------------------------------------------- polls */

static void mark(gnp_afd *p, ask *a)
{
    if (a->next != NULL)
        return;
    a->prev = p->changed.prev;
    a->next = &p->changed;
    p->changed.prev->next = a;
    p->changed.prev = a;
}

static void unmark(ask *a)
{
    if (a->next == NULL)
        return;
    a->prev->next = a->next;
    a->next->prev = a->prev;
    a->next = a->prev = NULL;
}

static void ask_free(gnp_afd *p, ask *a)
{
    device_give(p, a->dev);
    gnp_free(a, sizeof(*a));
}

static ULONG afd_bits(unsigned px)
{
    const ULONG in = AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT;

    return AFD_ALWAYS | (px & PX_IN ? in : 0) | (px & PX_OUT ? AFD_SEND : 0);
}

static unsigned px_bits(const ask *a)
{
    ULONG ev = gnp_afd_events(&a->poll, &a->ov);

    return (ev & (AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT) ? PX_IN : 0) | (ev & AFD_SEND ? PX_OUT : 0) |
           (ev & AFD_ALWAYS ? PX_HUP : 0);
}

/* GNP_INFLIGHT: a packet will come; GNP_OK: it has ended already, and none will. */
static int submit(ask *a, unsigned mask)
{
    int r = gnp_afd_begin(a->dev->handle, a->base, afd_bits(mask), &a->poll, &a->ov);

    a->asked = mask;
    a->running = r == GNP_INFLIGHT;
    a->cancelled = 0;
    return r;
}

/* Its packet comes then, cancelled or not. */
static void cancel(ask *a)
{
    if (a->cancelled)
        return;
    a->cancelled = 1;
    (void)CancelIoEx(a->dev->handle, &a->ov);
}

/* Has the kernel look for what is wished.  A socket that nothing is wished of is left alone after a hang-up
 * was told, or it would be told for ever.  As submit. */
static int look(ask *a)
{
    unsigned mask = gnp_px_mask(a->sock);

    if (a->running) {
        if ((mask & ~a->asked) != 0)
            cancel(a);
        return GNP_INFLIGHT;
    }
    if (mask == 0 && (a->sock->state & PX_HUNG))
        return GNP_INFLIGHT;
    return submit(a, mask);
}

/* A socket of which something else is wished now. */
static void rearm(gnp_afd *p, gnp_sock *s)
{
    ask *a = ask_of(s);

    if (!a->running || (gnp_px_mask(s) & ~a->asked) != 0)
        mark(p, a);
}

/* Adds the event of a poll that reports ev; how many there are then.  It is asked again by the next wait. */
static unsigned report(gnp_afd *p, ask *a, unsigned ev, gnp_event *events, unsigned have)
{
    unsigned watch;
    uint32_t what = gnp_px_level(a->sock, ev, &watch);

    mark(p, a);
    if (what != 0)
        gnp_px_event(events, have++, a->sock, what);
    return have;
}

/* Asks what has changed, and reports what is so already: in at most half of the array, so that there is room
 * for what waits at the port.  One that cannot be asked is reported as if it were ready: its verb will fail,
 * or work. */
static unsigned ask_all(gnp_afd *p, gnp_event *events, unsigned cap)
{
    unsigned limit = cap > 1 ? cap / 2 : (p->px.turn ^= 1), have = 0;
    const ask *last = p->changed.prev; /* those behind it are for the next wait */
    ask *a = NULL;

    while (a != last && p->changed.next != &p->changed && have < limit) {
        int r;
        a = p->changed.next;
        unmark(a);
        r = look(a);
        if (r != GNP_INFLIGHT)
            have = report(p, a, r == GNP_OK ? px_bits(a) : PX_HUP, events, have);
    }
    return have;
}

/* ------------------------------------------------------------------ waits */

/* Adds what a packet tells to the events; how many there are then. */
static unsigned deliver(gnp_afd *p, ask *a, gnp_event *events, unsigned have)
{
    a->running = 0;
    if (a->sock == NULL) {
        p->orphans--;
        ask_free(p, a);
        return have;
    }
    return report(p, a, px_bits(a), events, have);
}

static int afd_wait(gnp_poller *base, gnp_event *events, int cap, uint64_t deadline_ns)
{
    gnp_afd *p = of(base);
    unsigned max = (unsigned)(cap < PX_ROUND_MAX ? cap : PX_ROUND_MAX), have;
    int n, i;

    p->px.round = events;
    p->px.round_n = 0;
    do {
        n = 0;
        have = ask_all(p, events, max);
        if (have < max)
            n = gnp_wx_collect(&p->px, p->packets, max - have < PACKETS ? max - have : PACKETS,
                               have > 0 || p->changed.next != &p->changed ? 0 : deadline_ns);
        if (n < 0)
            return n;
        for (i = 0; i < n; i++) {
            if (gnp_wx_is_wake(&p->packets[i])) {
                gnp_px_woken(&p->px);
                events[have++] = (gnp_event){ .what = GNP_EV_WOKEN };
            } else {
                have = deliver(p, (ask *)(void *)p->packets[i].lpOverlapped, events, have);
            }
        }
    } while (have == 0 && (p->changed.next != &p->changed || gnp_px_go_on(&p->px, n, deadline_ns)));
    p->px.round_n = have;
    return (int)have;
}

/* --------------------------------------------------------------- sockets */

/* Gives s, which has its state already, its ask. */
static int enter(gnp_afd *p, gnp_sock *s)
{
    ask *a = gnp_zalloc(sizeof(*a));
    int r;

    if (a == NULL)
        return gnp_px_fail(ERROR_NOT_ENOUGH_MEMORY);
    r = device_take(p, &a->dev);
    if (r != GNP_OK) {
        gnp_free(a, sizeof(*a));
        return r;
    }
    a->sock = s;
    a->base = gnp_afd_base(gnp_wx_socket(s));
    s->priv = a;
    mark(p, a);
    return GNP_OK;
}

static void leave(gnp_afd *p, gnp_sock *s)
{
    ask *a = ask_of(s);

    gnp_px_forget(&p->px, s);
    unmark(a);
    s->priv = NULL;
    a->sock = NULL;
    if (!a->running) {
        ask_free(p, a);
        return;
    }
    p->orphans++;
    cancel(a);
}

static int afd_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    gnp_px_adopt(s, interest);
    return enter(of(p), s);
}

static int afd_detach(gnp_poller *base, gnp_sock *s)
{
    gnp_afd *p = of(base);

    if (s->state & PX_CONNECT)
        return GNP_EBUSY;
    leave(p, s);
    gnp_px_release(&p->px, s);
    return GNP_OK;
}

static int afd_close_sock(gnp_poller *p, gnp_sock *s, int reset)
{
    leave(of(p), s);
    gnp_px_close_fd(s, reset);
    s->state = 0;
    return GNP_OK;
}

static int afd_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    rearm(of(p), s);
    return GNP_OK;
}

/* ----------------------------------------------------------------- verbs */

/* Where Windows is emulated a reset ends the stream as if it were the end; that must not be taken for one. */
static int afd_recv(gnp_poller *base, gnp_sock *s, const void **data, size_t *n)
{
    gnp_afd *p = of(base);
    int r = gnp_px_recv(&p->px, s, data, n);

    if (r == GNP_EOF && gnp_afd_look(p->look, ask_of(s)->base, AFD_ABORT) != 0)
        return gnp_px_fail(WSAECONNRESET);
    return r;
}

static void afd_recv_done(gnp_poller *p, gnp_sock *s)
{
    (void)p;
    (void)s;
}

static int afd_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                    size_t *sent)
{
    int r = gnp_px_send(s, iov, count, flags, sent);

    rearm(of(p), s);
    return r;
}

static int afd_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                        uint64_t *sent)
{
    int r = gnp_px_sendfile(s, (int)file, offset, n, sent);

    rearm(of(p), s);
    return r;
}

static int afd_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                               size_t *sent)
{
    (void)p;
    return gnp_px_send_descriptor(s, (int)os, data, n, sent);
}

static int afd_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    (void)p;
    return gnp_px_accept(listener, out, peer);
}

static int afd_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    gnp_px_batch *none = NULL;

    return gnp_px_recvfrom(&of(p)->px, s, &none, out);
}

static int afd_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    int r = gnp_px_sendto(s, out, count, sent);

    rearm(of(p), s);
    return r;
}

static int afd_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
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

static int afd_connect_end(gnp_poller *p, gnp_sock *s)
{
    int r = gnp_px_connect_end(s);

    rearm(of(p), s);
    return r;
}

/* ---------------------------------------------------------------- poller */

static int afd_probe(void)
{
    HANDLE h;

    if (gnp_wx_start() != GNP_OK || gnp_wx_extensions() == NULL || gnp_afd_open(NULL, &h) != GNP_OK)
        return GNP_ENOTSUP;
    CloseHandle(h);
    return GNP_OK;
}

static int afd_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_afd *p = gnp_zalloc(sizeof(*p));
    int r;

    if (p == NULL)
        return GNP_ENOMEM;
    r = gnp_afd_open(NULL, &p->look);
    if (r != GNP_OK) {
        gnp_free(p, sizeof(*p));
        return r;
    }
    r = gnp_px_init(&p->px, &gnp_afd_ops, config);
    if (r != GNP_OK) {
        CloseHandle(p->look);
        gnp_free(p, sizeof(*p));
        return r;
    }
    p->changed.next = p->changed.prev = &p->changed;
    p->devices.next = p->devices.prev = &p->devices;
    *out = &p->px.base;
    return GNP_OK;
}

/* The kernel still writes to the asks of sockets that were closed lately. */
static void afd_close(gnp_poller *base)
{
    gnp_afd *p = of(base);
    int i, n = 0;

    while (p->orphans > 0 && n >= 0) {
        n = gnp_wx_collect(&p->px, p->packets, PACKETS, GNP_NEVER);
        for (i = 0; i < n; i++) {
            if (!gnp_wx_is_wake(&p->packets[i]))
                deliver(p, (ask *)(void *)p->packets[i].lpOverlapped, NULL, 0);
        }
    }
    gnp_px_fini(&p->px);
    CloseHandle(p->look);
    gnp_free(p, sizeof(*p));
}

const gnp_ops gnp_afd_ops = {
    .name = "afd",
    .probe = afd_probe,
    .open = afd_open,
    .close = afd_close,
    .wait = afd_wait,
    .wake = gnp_px_wake,
    .attach = afd_attach,
    .detach = afd_detach,
    .want = afd_want,
    .recv = afd_recv,
    .recv_done = afd_recv_done,
    .send = afd_send,
    .sendfile = afd_sendfile,
    .send_descriptor = afd_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = afd_accept,
    .recvfrom = afd_recvfrom,
    .sendto = afd_sendto,
    .connect = afd_connect,
    .connect_end = afd_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = afd_close_sock,
};
