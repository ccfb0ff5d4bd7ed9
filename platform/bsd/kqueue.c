/* SPDX-License-Identifier: MIT */
/*
 * The poller on kqueue(2) of the BSDs and macOS, after their manual pages.
 *
 * Reading is watched by level: the kernel looks at the socket again before it reports it once more, so that
 * a read which left something, the end behind the data and a reset need no bookkeeping here, and a socket
 * that was read empty is not reported again.  Writing is watched only while WRITABLE is owed, once
 * (EV_ONESHOT): a permanent EVFILT_WRITE would be reported for each acknowledgement that comes in.
 *
 * Changes are not told one by one.  Sockets whose wishes the kernel does not know wait in an array, and
 * what has become of their wishes by then goes to the kernel with the next wait, in the same call.  As with
 * epoll, what is watched is widened at once and narrowed only after a report that nobody wanted.  A
 * connection of request and answer is one change in all.
 */
#include "kqueue.h"
#include "../mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/event.h>
#include <sys/time.h>

/* Most changes and events of one kevent.  An entry has 32 to 64 bytes. */
#define KQ_EVENTS 512

#define FIRST_CAP 64u

/* gnp_sock.state: the socket waits for its changes.  A flag that otherwise is epoll's. */
#define PX_CHANGED ((uint32_t)PX_INSET)

/* Longest wait in seconds: kernels have refused more than 10^8, and the loop in kq_wait goes on anyway. */
#define SECONDS_MAX 1000000u

typedef struct gnp_kqueue {
    gnp_px px;
    int fd;
    int user;           /* woken by a user event; else by the pipe */
    gnp_sock **changed; /* room for every attached socket, so that a wish never fails for want of memory */
    unsigned changed_n, changed_cap;
    unsigned attached;
    struct kevent events[KQ_EVENTS]; /* also for the changes: "the same array may be used" (kqueue(2)) */
} gnp_kqueue;

static gnp_kqueue *of(gnp_poller *p)
{
    return (gnp_kqueue *)(void *)p;
}

/* ---------------------------------------------------------------- changes */

/* By memcpy: udata is a pointer, but an integer with NetBSD before 10. */
static void change(struct kevent *e, int fd, int filter, int flags, gnp_sock *s)
{
    memset(e, 0, sizeof(*e));
    e->ident = (uintptr_t)fd;
    e->filter = (short)filter;
    e->flags = (unsigned short)flags;
    memcpy(&e->udata, &s, sizeof(s));
}

static gnp_sock *sock_of(const struct kevent *e)
{
    gnp_sock *s;

    memcpy(&s, &e->udata, sizeof(s));
    return s;
}

static void note(gnp_kqueue *kq, gnp_sock *s)
{
    if (s->state & PX_CHANGED)
        return;
    s->state |= PX_CHANGED;
    kq->changed[kq->changed_n++] = s;
}

/* Those that close before the kernel heard of them are few and young: looked for from the end. */
static void unnote(gnp_kqueue *kq, gnp_sock *s)
{
    unsigned i = kq->changed_n;

    if (!(s->state & PX_CHANGED))
        return;
    while (kq->changed[--i] != s)
        ;
    kq->changed[i] = kq->changed[--kq->changed_n];
    s->state &= ~PX_CHANGED;
}

/* Has the kernel watch what is wished for, from the next wait on. */
static void arm(gnp_kqueue *kq, gnp_sock *s)
{
    if ((gnp_px_mask(s) & ~(unsigned)s->armed) != 0)
        note(kq, s);
}

/*
 * What the kernel shall watch, as it stands in gnp_sock.armed.  A stream that nobody reads and nobody waits
 * to write to is still watched for a reset (PX_HUP): by EVFILT_READ with EV_CLEAR, so that what comes in is
 * told once and not for ever.  While WRITABLE is owed, that tells a reset.
 */
static unsigned watched(const gnp_sock *s)
{
    unsigned mask = gnp_px_mask(s);

    return mask == 0 && s->kind == GNP_STREAM && !(s->state & PX_HUNG) ? PX_HUP : mask;
}

#define CHANGES_MAX 3 /* of one socket */

/* What the kernel must hear about s.  How many entries.  That it was heard is taken for granted; what failed
 * comes back, see failed.  EV_ADD would not turn EV_CLEAR on or off where it is set (NetBSD): the old watch
 * is deleted first. */
static int changes_of(gnp_sock *s, struct kevent *e)
{
    unsigned want = watched(s), add = want & ~(unsigned)s->armed, drop = s->armed & ~want;
    int n = 0;

    if (drop & (PX_IN | PX_HUP))
        change(&e[n++], (int)s->os, EVFILT_READ, EV_DELETE, s);
    if (add & PX_OUT)
        change(&e[n++], (int)s->os, EVFILT_WRITE, EV_ADD | EV_ONESHOT, s);
    if (add & (PX_IN | PX_HUP))
        change(&e[n++], (int)s->os, EVFILT_READ, add & PX_IN ? EV_ADD : EV_ADD | EV_CLEAR, s);
    s->armed = (uint8_t)(want | (drop & PX_OUT)); /* which goes by itself once it was reported */
    return n;
}

/* Fills in the changes of as many sockets as leave room for all their errors, but at least of one.  How
 * many entries. */
static int collect_changes(gnp_kqueue *kq, int room)
{
    unsigned i;
    int n = 0;

    for (i = 0; i < kq->changed_n && (n == 0 || n + CHANGES_MAX <= room); i++) {
        gnp_sock *s = kq->changed[i];
        s->state &= ~PX_CHANGED;
        n += changes_of(s, &kq->events[n]);
    }
    kq->changed_n -= i;
    if (kq->changed_n > 0)
        memmove(kq->changed, kq->changed + i, kq->changed_n * sizeof(gnp_sock *));
    return n;
}

static int reserve(gnp_kqueue *kq)
{
    unsigned cap = kq->changed_cap != 0 ? kq->changed_cap * 2 : FIRST_CAP;
    gnp_sock **more;

    if (kq->attached < kq->changed_cap)
        return GNP_OK;
    more = gnp_alloc(cap * sizeof(gnp_sock *));
    if (more == NULL)
        return gnp_px_fail(ENOMEM);
    if (kq->changed_n > 0)
        memcpy(more, kq->changed, kq->changed_n * sizeof(gnp_sock *));
    gnp_free(kq->changed, kq->changed_cap * sizeof(gnp_sock *));
    kq->changed = more;
    kq->changed_cap = cap;
    return GNP_OK;
}

/* ----------------------------------------------------------- the poller itself */

static int kq_probe(void)
{
    int fd = kqueue();

    if (fd < 0)
        return errno == ENOSYS ? GNP_ENOTSUP : GNP_OK; /* else it exists; open tells more */
    gnp_kq_close(fd);
    return GNP_OK;
}

static void kq_close(gnp_poller *p)
{
    gnp_kqueue *kq = of(p);

    gnp_px_fini(&kq->px);
    if (kq->fd >= 0)
        gnp_kq_close(kq->fd);
    gnp_free(kq->changed, kq->changed_cap * sizeof(gnp_sock *));
    gnp_free(kq, sizeof(*kq));
}

/* Older kernels, such as NetBSD's before 10, refuse a user event with EINVAL. */
static int add_wake(gnp_kqueue *kq)
{
    struct kevent e;
    int r;

    kq->user = gnp_kq_user_add(kq->fd);
    if (kq->user)
        return GNP_OK;
    r = gnp_px_wake_open(&kq->px.wake_read, &kq->px.wake_write);
    if (r != GNP_OK)
        return r;
    change(&e, kq->px.wake_read, EVFILT_READ, EV_ADD, NULL);
    return kevent(kq->fd, &e, 1, NULL, 0, NULL) == 0 ? GNP_OK : gnp_px_fail(errno);
}

/* A child that was forked does not have the kqueue; a process that execs without a fork shall not either. */
static int open_queue(gnp_kqueue *kq)
{
    kq->fd = kqueue();
    if (kq->fd < 0 || fcntl(kq->fd, F_SETFD, FD_CLOEXEC) != 0)
        return gnp_px_fail(errno);
    return add_wake(kq);
}

static int kq_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_kqueue *kq = gnp_zalloc(sizeof(*kq));
    int r;

    if (kq == NULL)
        return GNP_ENOMEM;
    r = gnp_px_init_bare(&kq->px, &gnp_kqueue_ops, config);
    if (r != GNP_OK) {
        gnp_free(kq, sizeof(*kq));
        return r;
    }
    kq->fd = -1;
    r = open_queue(kq);
    if (r == GNP_OK)
        r = reserve(kq);
    if (r != GNP_OK) {
        kq_close(&kq->px.base);
        return r;
    }
    *out = &kq->px.base;
    return GNP_OK;
}

static void kq_wake(gnp_poller *p)
{
    gnp_kqueue *kq = of(p);
    int saved = errno;

    if (gnp_swap32(&kq->px.woken, 1) != 0)
        return;
    if (kq->user)
        gnp_kq_user_trigger(kq->fd);
    else
        gnp_px_wake_signal(kq->px.wake_write);
    errno = saved;
}

/* ----------------------------------------------------------------- waiting */

/* The time that is left until the deadline, or NULL: for ever. */
static const struct timespec *timeout(uint64_t deadline_ns, struct timespec *ts)
{
    uint64_t now, ns = 0;

    if (deadline_ns == GNP_NEVER)
        return NULL;
    if (deadline_ns != 0 && (now = gnp_now()) < deadline_ns)
        ns = deadline_ns - now;
    if (ns / 1000000000u >= SECONDS_MAX)
        ns = (uint64_t)SECONDS_MAX * 1000000000u;
    ts->tv_sec = (time_t)(ns / 1000000000u);
    ts->tv_nsec = (long)(ns % 1000000000u);
    return ts;
}

/* Tells the kernel the changes and waits for at most room events.  How many, 0 at the deadline or on
 * interruption (then *interrupted is 1; the changes have been made all the same), or an error. */
static int collect(gnp_kqueue *kq, int room, uint64_t deadline_ns, int *interrupted)
{
    struct timespec ts;
    int n, changes;

    if (room > KQ_EVENTS)
        room = KQ_EVENTS;
    changes = collect_changes(kq, room);
    if (kq->changed_n > 0) /* more than go into one call, or room for one event only */
        deadline_ns = 0;
    n = kevent(kq->fd, kq->events, (size_t)changes, kq->events, (size_t)room, timeout(deadline_ns, &ts));
    if (n >= 0)
        return n;
    if (errno != EINTR)
        return gnp_px_fail(errno);
    *interrupted = 1;
    return 0;
}

/* A change that the kernel did not make.  One to add can only have lacked memory, as the socket is open:
 * it is tried again, and the core looks meanwhile.  One to delete is about what had gone already. */
static uint32_t failed(gnp_kqueue *kq, gnp_sock *s, const struct kevent *e)
{
    unsigned px = e->filter == EVFILT_READ ? PX_IN | PX_HUP : PX_OUT;

    if (!(s->armed & px))
        return 0;
    s->armed &= (uint8_t)~px;
    note(kq, s);
    return gnp_px_mask(s) & px;
}

/* Sockets with datagrams in hand, or an error, are ready, whatever the kernel says. */
static void relist(gnp_kqueue *kq, gnp_sock *s)
{
    int ready = (s->priv != NULL || gnp_kq_error_kept(s) != 0) && (s->interest & GNP_READ);

    if (ready == gnp_px_listed(s))
        return;
    if (ready)
        gnp_px_list(&kq->px, s);
    else
        gnp_px_unlist(s);
}

/*
 * EV_EOF: for reading the stream has an end, perhaps behind data, and perhaps by an error, which is in
 * fflags; for writing nothing goes out any more, be it that nobody reads or that we said so ourselves.
 * The error is kept: whoever asks the socket first (the program itself, a send) takes it away from it.
 * Without one a stream may be over all the same, as when a Unix peer closed; who reads is told by the end.
 */
static unsigned eof_bits(gnp_kqueue *kq, gnp_sock *s, const struct kevent *e)
{
    unsigned px = e->filter == EVFILT_READ ? PX_IN : PX_OUT;

    if (e->fflags == 0) {
        int told = px == PX_IN && (gnp_px_mask(s) & PX_IN) != 0;
        return !told && s->kind == GNP_STREAM && gnp_kq_over(s) ? px | PX_HUP : px;
    }
    if (s->kind == GNP_STREAM) {
        s->priv = (void *)(uintptr_t)e->fflags;
    } else if (s->kind == GNP_DGRAM) {
        gnp_kq_error_keep(s, (int)e->fflags);
        relist(kq, s);
    }
    return px | PX_HUP;
}

static uint32_t translate(gnp_kqueue *kq, gnp_sock *s, const struct kevent *e)
{
    unsigned watch, px;
    uint32_t what;

    if (e->filter == EVFILT_READ && !(e->flags & (EV_EOF | EV_ERROR)) && (gnp_px_mask(s) & PX_IN)) {
        s->state = (s->state | PX_CAN_READ) & ~(uint32_t)PX_DRY; /* nearly always; as gnp_px_level says */
        return GNP_EV_READABLE;
    }
    if (e->flags & EV_ERROR)
        return failed(kq, s, e);
    if (e->filter == EVFILT_WRITE)
        s->armed &= (uint8_t)~PX_OUT;
    px = e->flags & EV_EOF ? eof_bits(kq, s, e) : e->filter == EVFILT_READ ? PX_IN : PX_OUT;
    what = gnp_px_level(s, px, &watch);
    if ((s->armed & PX_IN & ~gnp_px_mask(s)) != 0 || e->filter == EVFILT_WRITE)
        note(kq, s); /* nobody wanted it; or it is told once, but was it enough? */
    return what;
}

/* Turns n kernel events into the core's, after the have of the ready list.  How many there are then.  A
 * socket may have two, for reading and for writing, and both go into one. */
static unsigned deliver(gnp_kqueue *kq, int n, gnp_event *events, unsigned have)
{
    int i;

    for (i = 0; i < n; i++) {
        gnp_sock *s = sock_of(&kq->events[i]);
        gnp_event *e;
        uint32_t what;

        if (s == NULL) {
            if (!kq->user)
                gnp_px_wake_drain(kq->px.wake_read);
            gnp_px_woken(&kq->px);
            events[have++] = (gnp_event){ .what = GNP_EV_WOKEN };
            continue;
        }
        what = translate(kq, s, &kq->events[i]);
        if (what == 0)
            continue;
        if ((e = gnp_px_slot(events, have, s)) != NULL)
            e->what |= what;
        else
            gnp_px_event(events, have++, s, what);
    }
    return have;
}

static int kq_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns)
{
    gnp_kqueue *kq = of(p);
    int interrupted = 0, n = 0;
    unsigned have = 0;

    if (cap > PX_ROUND_MAX)
        cap = PX_ROUND_MAX;
    kq->px.round = events;
    kq->px.round_n = 0;
    do {
        if (gnp_px_any_ready(&kq->px)) {
            have = gnp_px_begin(&kq->px, events, (unsigned)cap);
            deadline_ns = 0;
        }
        if ((int)have < cap)
            n = collect(kq, cap - (int)have, deadline_ns, &interrupted);
        if (n < 0)
            return n;
        have = deliver(kq, n, events, have);
    } while (have == 0 && !interrupted && (kq->changed_n > 0 || gnp_px_go_on(&kq->px, n, deadline_ns)));
    kq->px.round_n = have;
    return (int)have;
}

/* ------------------------------------------------------------------- verbs */

static int enter(gnp_kqueue *kq, gnp_sock *s)
{
    int r = reserve(kq);

    if (r != GNP_OK)
        return r;
    kq->attached++;
    arm(kq, s);
    return GNP_OK;
}

static int kq_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    gnp_px_adopt(s, interest);
    return enter(of(p), s);
}

/* At once: the socket may be with another poller, in another thread, before the next wait here. */
static int kq_detach(gnp_poller *p, gnp_sock *s)
{
    gnp_kqueue *kq = of(p);
    struct kevent e[2];
    int n = 0, i;

    if ((s->state & PX_CONNECT) || (s->kind == GNP_DGRAM && s->priv != NULL))
        return GNP_EBUSY;
    if (s->armed & (PX_IN | PX_HUP))
        change(&e[n++], (int)s->os, EVFILT_READ, EV_DELETE, s);
    if (s->armed & PX_OUT)
        change(&e[n++], (int)s->os, EVFILT_WRITE, EV_DELETE, s);
    for (i = 0; i < n; i++) {
        if (kevent(kq->fd, &e[i], 1, NULL, 0, NULL) != 0 && errno != ENOENT)
            return gnp_px_fail(errno);
    }
    unnote(kq, s);
    kq->attached--;
    gnp_px_release(&kq->px, s);
    return GNP_OK;
}

static int kq_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    if (s->kind == GNP_DGRAM)
        relist(of(p), s);
    arm(of(p), s);
    return GNP_OK;
}

static int kq_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    int r = gnp_px_recv((gnp_px *)(void *)p, s, data, n);

    if (r == GNP_EOF && s->priv != NULL)
        return gnp_px_fail((int)(uintptr_t)s->priv);
    return r;
}

static void kq_recv_done(gnp_poller *p, gnp_sock *s)
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
    if (s->state & PX_WRITE)
        arm(of(p), s);
    return r;
}

static int kq_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                   size_t *sent)
{
    return owe(p, s, gnp_px_send(s, iov, count, flags, sent));
}

static int kq_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    return owe(p, s, gnp_px_sendfile(s, (int)file, offset, n, sent));
}

static int kq_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                              size_t *sent)
{
    return owe(p, s, gnp_px_send_descriptor(s, (int)os, data, n, sent));
}

static int kq_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    (void)p;
    return gnp_px_accept(listener, out, peer);
}

static int kq_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    gnp_px_batch *b = s->priv;
    int r = gnp_px_recvfrom(&of(p)->px, s, &b, out), e;

    s->priv = b;
    if (r != GNP_AGAIN || (e = gnp_kq_error_kept(s)) == 0)
        return r;
    gnp_kq_error_forget(s);
    relist(of(p), s);
    return gnp_px_fail(e);
}

static int kq_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    return owe(p, s, gnp_px_sendto(s, out, count, sent));
}

static int kq_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
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

static int kq_connect_end(gnp_poller *p, gnp_sock *s)
{
    (void)p;
    if (s->kind == GNP_STREAM && s->priv != NULL)
        return gnp_px_fail((int)(uintptr_t)s->priv);
    return gnp_px_connect_end(s);
}

/* The kernel forgets what it watched of a descriptor when that is closed, whoever else shares its file. */
static int kq_close_sock(gnp_poller *p, gnp_sock *s, int reset)
{
    gnp_kqueue *kq = of(p);

    gnp_kq_closing(kq->fd, s);
    unnote(kq, s);
    kq->attached--;
    gnp_px_forget(&kq->px, s);
    if (s->kind == GNP_DGRAM && s->priv != NULL) {
        gnp_px_batch *b = s->priv;
        gnp_px_dgram_drop(&kq->px, &b);
    }
    s->priv = NULL;
    gnp_px_close_fd(s, reset);
    s->state = 0;
    s->armed = 0;
    return GNP_OK;
}

const gnp_ops gnp_kqueue_ops = {
    .name = "kqueue",
    .probe = kq_probe,
    .open = kq_open,
    .close = kq_close,
    .wait = kq_wait,
    .wake = kq_wake,
    .attach = kq_attach,
    .detach = kq_detach,
    .want = kq_want,
    .recv = kq_recv,
    .recv_done = kq_recv_done,
    .send = kq_send,
    .sendfile = kq_sendfile,
    .send_descriptor = kq_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = kq_accept,
    .recvfrom = kq_recvfrom,
    .sendto = kq_sendto,
    .connect = kq_connect,
    .connect_end = kq_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = kq_close_sock,
};
