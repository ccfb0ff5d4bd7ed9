/* SPDX-License-Identifier: MIT */
/*
 * The poller on a completion port, level at the surface: sockets that may have more stay on the ready list
 * until a verb has seen the end of it, and only then the next operation tells of them.  See iocp.h.
 */
#include "iocp.h"
#include "../mem.h"

#include <winternl.h>

/* ----------------------------------------------------------- opening, closing */

static int iocp_probe(void)
{
    HANDLE afd;
    int r = gnp_wx_start();

    if (r == GNP_OK && gnp_wx_extensions() == NULL)
        r = GNP_ENOTSUP;
    if (r == GNP_OK)
        r = gnp_afd_open(NULL, &afd);
    if (r == GNP_OK)
        CloseHandle(afd);
    return r == GNP_OK ? GNP_OK : GNP_ENOTSUP;
}

static void iocp_close(gnp_poller *base)
{
    gnp_iocp *p = gnp_iocp_of(base);

    gnp_iocp_drain(p); /* the system writes to records until then */
    if (p->afd != NULL)
        CloseHandle(p->afd);
    if (p->look != NULL)
        CloseHandle(p->look);
    gnp_iocp_spares_free(p);
    gnp_px_fini(&p->px);
    gnp_free(p, sizeof(*p));
}

static int iocp_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_iocp *p = gnp_zalloc(sizeof(*p));
    int r;

    if (p == NULL)
        return GNP_ENOMEM;
    r = gnp_px_init(&p->px, &gnp_iocp_ops, config);
    if (r != GNP_OK) {
        gnp_free(p, sizeof(*p));
        return r;
    }
    p->skip = gnp_iocp_may_skip();
    r = gnp_afd_open(gnp_wx_port(&p->px), &p->afd);
    if (r == GNP_OK)
        r = gnp_afd_open(NULL, &p->look);
    if (r != GNP_OK) {
        iocp_close(&p->px.base);
        return r;
    }
    *out = &p->px.base;
    return GNP_OK;
}

/* ------------------------------------------------------------------- waiting */

/* A failure that nobody may ask for is told once. */
static uint32_t hang_up(gnp_sock *s)
{
    if (gnp_iocp_rec_of(s)->code == GNP_OK || s->kind != GNP_STREAM || (s->state & PX_HUNG))
        return 0;
    s->state |= PX_HUNG;
    return GNP_EV_HANGUP;
}

/* Turns n packets into events, after the have that the ready list gave.  Returns how many there are then. */
static unsigned deliver(gnp_iocp *p, int n, gnp_event *events, unsigned have)
{
    int i;

    for (i = 0; i < n; i++) {
        gnp_event *e;
        gnp_sock *s;
        uint32_t what;
        if (gnp_wx_is_wake(&p->entries[i])) {
            gnp_px_woken(&p->px);
            events[have++] = (gnp_event){ .what = GNP_EV_WOKEN };
            continue;
        }
        s = gnp_iocp_packet(p, &p->entries[i]);
        if (s == NULL)
            continue;
        what = hang_up(s); /* before anything is begun: it ends the polls for it */
        gnp_iocp_arm(p, s);
        what |= gnp_iocp_ready(s);
        if (what == 0)
            continue;
        if ((e = gnp_px_slot(events, have, s)) != NULL)
            e->what |= what;
        else
            gnp_px_event(events, have++, s, what);
    }
    return have;
}

/* Asks for all that may have nothing more; those leave the ready list. */
static void make_sure(gnp_iocp *p)
{
    gnp_sock *s = p->px.ready.next, *next;

    p->unsure = 0;
    for (; s != &p->px.ready; s = next) {
        next = s->next;
        if (!(s->state & PX_PROBE))
            continue;
        s->state &= ~(uint32_t)PX_PROBE;
        gnp_iocp_cannot(p, s, PX_CAN_READ);
    }
}

static int iocp_wait(gnp_poller *base, gnp_event *events, int cap, uint64_t deadline_ns)
{
    gnp_iocp *p = gnp_iocp_of(base);
    unsigned have = 0;
    int n = 0;

    if (cap > PX_ROUND_MAX)
        cap = PX_ROUND_MAX;
    p->px.round = events;
    p->px.round_n = 0;
    do {
        unsigned room;
        if (p->unsure > 0)
            make_sure(p);
        if (gnp_px_any_ready(&p->px)) {
            have = gnp_px_begin(&p->px, events, (unsigned)cap);
            deadline_ns = 0;
        }
        room = (unsigned)cap - have;
        if (room > IOCP_ENTRIES)
            room = IOCP_ENTRIES;
        n = room > 0 ? gnp_wx_collect(&p->px, p->entries, room, deadline_ns) : 0;
        if (n < 0)
            return n;
        have = deliver(p, n, events, have);
    } while (have == 0 && gnp_px_go_on(&p->px, n, deadline_ns));
    p->px.round_n = have;
    return (int)have;
}

/* ------------------------------------------------------- attaching, detaching */

/* A listener brings what has come to it and was not taken; see iocp_detach. */
static int iocp_attach(gnp_poller *base, gnp_sock *s, unsigned interest)
{
    gnp_iocp *p = gnp_iocp_of(base);
    gnp_iocp_queue *q = s->kind == GNP_LISTENER ? s->priv : NULL;
    int r;

    gnp_px_adopt(s, interest);
    r = gnp_iocp_enter(p, s);
    if (r != GNP_OK) {
        s->priv = q;
        return r;
    }
    gnp_iocp_rec_of(s)->queue = q;
    if (q != NULL)
        s->state |= PX_CAN_READ;
    s->armed = !(interest & GNP_READ);
    gnp_iocp_arm(p, s);
    return GNP_OK;
}

/* Windows 8.1 and later: s belongs to no port again. */
static int disown(const gnp_sock *s)
{
    struct {
        HANDLE port;
        void *key;
    } none = { NULL, NULL };
    IO_STATUS_BLOCK io;

    return NtSetInformationFile((HANDLE)s->os, &io, &none, sizeof(none),
                                (FILE_INFORMATION_CLASS)61 /* FileReplaceCompletionInformation */) == 0;
}

static int iocp_detach(gnp_poller *base, gnp_sock *s)
{
    gnp_iocp *p = gnp_iocp_of(base);
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    gnp_iocp_queue *q = NULL;

    if ((s->state & PX_CONNECT) || r->held != NULL)
        return GNP_EBUSY;
    if (!gnp_iocp_calm(p, s)) {
        gnp_iocp_arm(p, s);
        return GNP_EBUSY;
    }
    if ((s->state & PX_INSET) && !disown(s))
        s->state |= PX_FOREIGN;
    if (r->queue != NULL && r->queue->come > 0) {
        q = r->queue;
        r->queue = NULL;
    }
    gnp_iocp_leave(p, s);
    gnp_px_release(&p->px, s);
    s->priv = q;
    return GNP_OK;
}

static int iocp_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    s->interest = (uint8_t)interest;
    s->armed = !(interest & GNP_READ);
    if (s->kind == GNP_LISTENER && s->armed && gnp_iocp_rec_of(s)->queue != NULL)
        gnp_iocp_accept_cancel(s, gnp_iocp_rec_of(s)->queue); /* what comes now is for its duplicates */
    gnp_iocp_arm(gnp_iocp_of(p), s);
    return GNP_OK;
}

static int iocp_close_sock(gnp_poller *base, gnp_sock *s, int reset)
{
    gnp_iocp *p = gnp_iocp_of(base);
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);

    gnp_px_forget(&p->px, s);
    if (r->held != NULL)
        gnp_px_dgram_drop(&p->px, &r->held);
    gnp_iocp_leave(p, s);
    gnp_px_close_fd(s, reset);
    s->state = 0;
    return GNP_OK;
}

/* ------------------------------------------------------------------- reading */

/* A receive that says "the end" after a reset which the system has told of before, as wine's does. */
static int really(const gnp_iocp *p, const gnp_sock *s)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);

    if (r->code != GNP_OK)
        return r->code;
    if (r->base == INVALID_SOCKET)
        r->base = gnp_afd_base(gnp_wx_socket(s));
    return gnp_afd_look(p->look, r->base, AFD_ABORT) != 0 ? gnp_px_fail(WSAECONNRESET) : GNP_EOF;
}

static int iocp_recv(gnp_poller *base, gnp_sock *s, const void **data, size_t *n)
{
    gnp_iocp *p = gnp_iocp_of(base);
    int r;

    if (!(s->state & PX_CAN_READ))
        return GNP_AGAIN; /* the next packet tells */
    r = gnp_px_recv(&p->px, s, data, n);
    if (r == GNP_OK && *n == p->px.scratch_size)
        return r;
    if (r == GNP_ENOMEM || r == GNP_ENOBUFS)
        return r;
    if (r == GNP_EOF)
        r = really(p, s);
    if (r == GNP_AGAIN && gnp_iocp_rec_of(s)->code != GNP_OK) {
        s->state |= PX_EOF;
        r = gnp_iocp_rec_of(s)->code;
    }
    gnp_iocp_cannot(p, s, PX_CAN_READ);
    return r;
}

static void iocp_recv_done(gnp_poller *base, gnp_sock *s)
{
    gnp_iocp *p = gnp_iocp_of(base);

    if (s->kind != GNP_DGRAM)
        return;
    gnp_px_dgram_done(&p->px, s, &gnp_iocp_rec_of(s)->held);
    s->state |= PX_PROBE;
    p->unsure++;
}

static int iocp_recvfrom(gnp_poller *base, gnp_sock *s, gnp_dgram *out)
{
    gnp_iocp *p = gnp_iocp_of(base);
    int r = gnp_px_recvfrom(&p->px, s, &gnp_iocp_rec_of(s)->held, out);

    if (r == GNP_AGAIN)
        gnp_iocp_cannot(p, s, PX_CAN_READ | PX_PROBE);
    return r;
}

/* ------------------------------------------------------------------- writing */

/* After a verb of sending: WRITABLE may be owed. */
static int owe(gnp_poller *base, gnp_sock *s, int r)
{
    if (gnp_px_listed(s) || (s->state & PX_WRITE))
        gnp_iocp_arm(gnp_iocp_of(base), s);
    return r;
}

static int iocp_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                     size_t *sent)
{
    s->state &= ~(uint32_t)PX_CAN_WRITE;
    return owe(p, s, gnp_px_send(s, iov, count, flags, sent));
}

static int iocp_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                         uint64_t *sent)
{
    s->state &= ~(uint32_t)PX_CAN_WRITE;
    return owe(p, s, gnp_px_sendfile(s, (int)file, offset, n, sent));
}

static int iocp_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                                size_t *sent)
{
    s->state &= ~(uint32_t)PX_CAN_WRITE;
    return owe(p, s, gnp_px_send_descriptor(s, (int)os, data, n, sent));
}

static int iocp_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    s->state &= ~(uint32_t)PX_CAN_WRITE;
    return owe(p, s, gnp_px_sendto(s, out, count, sent));
}

const gnp_ops gnp_iocp_ops = {
    .name = "iocp",
    .probe = iocp_probe,
    .open = iocp_open,
    .close = iocp_close,
    .wait = iocp_wait,
    .wake = gnp_px_wake,
    .attach = iocp_attach,
    .detach = iocp_detach,
    .want = iocp_want,
    .recv = iocp_recv,
    .recv_done = iocp_recv_done,
    .send = iocp_send,
    .sendfile = iocp_sendfile,
    .send_descriptor = iocp_send_descriptor,
    .recv_descriptor = gnp_px_recv_descriptor,
    .accept = gnp_iocp_accept,
    .recvfrom = iocp_recvfrom,
    .sendto = iocp_sendto,
    .connect = gnp_iocp_connect,
    .connect_end = gnp_iocp_connect_end,
    .shutdown = gnp_px_shutdown,
    .close_sock = iocp_close_sock,
};
