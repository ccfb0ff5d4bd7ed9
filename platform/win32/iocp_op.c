/* SPDX-License-Identifier: MIT */
/*
 * What is begun on a socket and how its packet is understood.
 *
 * A stream is told of by a receive of no bytes: it ends when there are some, or the end, or an error.  All
 * else is told of by a poll of the driver: room to send, datagrams, and everything of a socket that
 * belongs to another completion port, which is for ever before Windows 8.1.
 */
#include "iocp.h"
#include "../mem.h"

#include <string.h>

#define CANCELLED ((LONG)0xC0000120)

#define READS ((ULONG)(AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT | AFD_ABORT | AFD_LOCAL_CLOSE))
#define WRITES ((ULONG)(AFD_SEND | AFD_ABORT | AFD_CONNECT_FAIL | AFD_LOCAL_CLOSE))
#define ALWAYS ((ULONG)(AFD_ABORT | AFD_LOCAL_CLOSE))

/* How long a cancelled operation may take; it takes microseconds. */
#define CALM_NS UINT64_C(2000000000)

/* ------------------------------------------------------------------- records */

int gnp_iocp_enter(gnp_iocp *p, gnp_sock *s)
{
    gnp_iocp_rec *r = p->spares;

    if (r != NULL) {
        p->spares = r->next;
        p->spare_count--;
    } else {
        r = gnp_alloc(sizeof(*r));
        if (r == NULL)
            return GNP_ENOMEM;
    }
    memset(r, 0, sizeof(*r));
    r->sock = s;
    r->receive.rec = r->poll.rec = r;
    r->poll.kind = IOCP_POLL;
    r->base = INVALID_SOCKET;
    s->priv = r;
    return GNP_OK;
}

static void rec_free(gnp_iocp *p, gnp_iocp_rec *r)
{
    gnp_iocp_queue_free(r->queue);
    r->queue = NULL;
    if (p->spare_count >= IOCP_SPARES) {
        gnp_free(r, sizeof(*r));
        return;
    }
    r->next = p->spares;
    p->spares = r;
    p->spare_count++;
}

void gnp_iocp_spares_free(gnp_iocp *p)
{
    gnp_iocp_rec *r;

    while ((r = p->spares) != NULL) {
        p->spares = r->next;
        gnp_free(r, sizeof(*r));
    }
}

static void cancel(const gnp_iocp *p, const gnp_sock *s, gnp_iocp_rec *r)
{
    if (r->receive.pending)
        CancelIoEx((HANDLE)s->os, &r->receive.ov);
    if (r->poll.pending)
        CancelIoEx(p->afd, &r->poll.ov);
    if (r->queue != NULL)
        gnp_iocp_accept_cancel(s, r->queue);
}

void gnp_iocp_leave(gnp_iocp *p, gnp_sock *s)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);

    if (r->pending > 0)
        cancel(p, s, r);
    r->sock = NULL;
    s->priv = NULL;
    if (r->pending == 0)
        rec_free(p, r);
}

/* ---------------------------------------------------------------- beginning */

int gnp_iocp_may_skip(void)
{
    static const int domains[] = { AF_INET, AF_INET6 };
    size_t i;

    for (i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
        SOCKET os = gnp_wx_os_socket(domains[i], SOCK_STREAM);
        WSAPROTOCOL_INFOW info;
        int n = sizeof(info), good;
        if (os == INVALID_SOCKET)
            continue;
        good = getsockopt(os, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &n) == 0 &&
               (info.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
        closesocket(os);
        if (!good)
            return 0;
    }
    return 1;
}

int gnp_iocp_home(gnp_iocp *p, gnp_sock *s)
{
    if (s->state & PX_INSET)
        return 1;
    if (s->state & PX_FOREIGN)
        return 0;
    if (CreateIoCompletionPort((HANDLE)s->os, gnp_wx_port(&p->px), 0, 0) == NULL) {
        s->state |= PX_FOREIGN; /* also what others have made and gave to a port of theirs */
        return 0;
    }
    s->state |= PX_INSET;
    gnp_iocp_rec_of(s)->skip =
        p->skip && SetFileCompletionNotificationModes((HANDLE)s->os, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS |
                                                                         FILE_SKIP_SET_EVENT_ON_HANDLE);
    return 1;
}

int gnp_iocp_begun(gnp_iocp *p, gnp_iocp_op *op, int done, int e)
{
    if (done && op->rec->skip)
        return GNP_OK;
    if (!done && e != WSA_IO_PENDING)
        return gnp_px_fail(e);
    op->pending = 1;
    op->rec->pending++;
    p->pending++;
    return GNP_INFLIGHT;
}

/* Whatever is wrong: the verb is to find out, or to come again. */
static void receive_failed(gnp_sock *s, gnp_iocp_rec *r, int code)
{
    if (code != GNP_ENOBUFS && code != GNP_ENOMEM && code != GNP_AGAIN)
        r->code = code;
    s->state |= PX_CAN_READ;
}

static void begin_receive(gnp_iocp *p, gnp_sock *s)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    WSABUF none = { 0, NULL };
    DWORD n, flags = 0;
    int failed, code;

    if (r->receive.pending)
        return;
    memset(&r->receive.ov, 0, sizeof(r->receive.ov));
    r->receive.kind = IOCP_RECEIVE;
    failed = WSARecv(gnp_wx_socket(s), &none, 1, &n, &flags, &r->receive.ov, NULL);
    code = gnp_iocp_begun(p, &r->receive, !failed, failed ? WSAGetLastError() : 0);
    if (code == GNP_OK)
        s->state |= PX_CAN_READ;
    else if (code != GNP_INFLIGHT)
        receive_failed(s, r, code);
}

/* What the driver has told of s. */
static void told(gnp_sock *s, gnp_iocp_rec *r, ULONG events)
{
    if ((events & AFD_ABORT) && s->kind == GNP_STREAM && !(s->state & PX_CONNECT))
        r->code = gnp_px_fail(WSAECONNRESET);
    if (events & READS) {
        s->state |= PX_CAN_READ;
        s->state &= ~(uint32_t)PX_DRY;
    }
    if ((events & WRITES) && (s->state & PX_WRITE)) {
        s->state |= PX_CAN_WRITE;
        s->state &= ~(uint32_t)PX_CONNECT;
    }
}

/* There is one poll: when it is about too little, it ends, and the next one is about all. */
static void begin_poll(gnp_iocp *p, gnp_sock *s, unsigned mask)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    int code;

    if (r->poll.pending) {
        if (mask & ~(r->polled | PX_HUP))
            CancelIoEx(p->afd, &r->poll.ov);
        return;
    }
    if (r->base == INVALID_SOCKET)
        r->base = gnp_afd_base(gnp_wx_socket(s));
    r->polled = mask;
    code = gnp_afd_begin(p->afd, r->base,
                         (mask & PX_IN ? READS : 0) | (mask & PX_OUT ? WRITES : 0) | ALWAYS, &r->afd,
                         &r->poll.ov);
    if (code == GNP_INFLIGHT) {
        r->poll.pending = 1;
        r->pending++;
        p->pending++;
    } else if (code == GNP_OK && mask == PX_HUP &&
               PostQueuedCompletionStatus(gnp_wx_port(&p->px), 0, 0, &r->poll.ov)) {
        /* Nobody asks a paused socket: its hang-up has to come by a packet. */
        r->poll.pending = 1;
        r->pending++;
        p->pending++;
    } else {
        ULONG events = code == GNP_OK ? gnp_afd_events(&r->afd, &r->poll.ov) : 0;
        told(s, r, events != 0 ? events : AFD_LOCAL_CLOSE); /* else a hint, and it is asked again */
    }
}

void gnp_iocp_relist(gnp_iocp *p, gnp_sock *s)
{
    int ready = gnp_iocp_ready(s) != 0;

    if (ready == gnp_px_listed(s))
        return;
    if (ready)
        gnp_px_list(&p->px, s);
    else
        gnp_px_unlist(s);
}

/* Which of mask is told of by other means than a poll; those are begun. */
static unsigned begin_own(gnp_iocp *p, gnp_sock *s, unsigned mask)
{
    if (s->kind == GNP_DGRAM || (s->state & PX_CONNECT) != 0 || !(mask & PX_IN) || !gnp_iocp_home(p, s))
        return 0;
    if (s->kind == GNP_LISTENER)
        gnp_iocp_accept_fill(p, s);
    else
        begin_receive(p, s);
    return PX_IN;
}

/* Nobody reads s, but a reset is to be told. */
static int paused(const gnp_sock *s)
{
    return s->armed != 0 && s->kind == GNP_STREAM && !(s->interest & GNP_READ) &&
           !(s->state & (PX_EOF | PX_HUNG | PX_CONNECT)) && !gnp_iocp_rec_of(s)->receive.pending;
}

void gnp_iocp_arm(gnp_iocp *p, gnp_sock *s)
{
    const gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    unsigned mask = gnp_px_mask(s) & ~(s->state >> 4) & (PX_IN | PX_OUT);

    if (paused(s))
        mask |= PX_HUP;

    if (mask != 0 && !(r->receive.pending && r->receive.kind == IOCP_CONNECT)) {
        mask &= ~begin_own(p, s, mask);
        if (mask != 0)
            begin_poll(p, s, mask);
    }
    gnp_iocp_relist(p, s);
}

void gnp_iocp_cannot(gnp_iocp *p, gnp_sock *s, uint32_t bits)
{
    s->state &= ~bits;
    gnp_iocp_arm(p, s);
}

/* ------------------------------------------------------------------ packets */

int gnp_iocp_why(const gnp_sock *s, gnp_iocp_op *op)
{
    DWORD n, flags;

    return WSAGetOverlappedResult(gnp_wx_socket(s), &op->ov, &n, FALSE, &flags) ? GNP_OK : gnp_wx_fail_wsa();
}

static void understand(gnp_iocp_op *op, gnp_sock *s)
{
    gnp_iocp_rec *r = op->rec;
    LONG status = (LONG)op->ov.Internal;

    switch (op->kind) {
    case IOCP_RECEIVE:
        if (status == 0)
            s->state |= PX_CAN_READ;
        else if (status != CANCELLED)
            receive_failed(s, r, gnp_iocp_why(s, op));
        break;
    case IOCP_CONNECT: gnp_iocp_connect_done(s, r); break;
    case IOCP_POLL: told(s, r, gnp_afd_events(&r->afd, &op->ov)); break;
    case IOCP_ACCEPT: gnp_iocp_accept_done(r, (gnp_iocp_slot *)(void *)op, s); break;
    }
}

gnp_sock *gnp_iocp_packet(gnp_iocp *p, const OVERLAPPED_ENTRY *e)
{
    gnp_iocp_op *op = (gnp_iocp_op *)(void *)e->lpOverlapped;
    gnp_iocp_rec *r = op->rec;

    op->pending = 0;
    r->pending--;
    p->pending--;
    if (r->sock != NULL) {
        understand(op, r->sock);
        return r->sock;
    }
    if (op->kind == IOCP_ACCEPT)
        gnp_iocp_accept_done(r, (gnp_iocp_slot *)(void *)op, NULL);
    if (r->pending == 0)
        rec_free(p, r);
    return NULL;
}

/* Takes the packets that are there by the deadline.  The wake-up is for the next wait, and nothing more is
 * begun for calmed. */
static void take(gnp_iocp *p, const gnp_sock *calmed, uint64_t deadline)
{
    OVERLAPPED_ENTRY entries[8];
    gnp_sock *s;
    int i, woken = 0, n = gnp_wx_collect(&p->px, entries, 8, deadline);

    for (i = 0; i < n; i++) {
        if (gnp_wx_is_wake(&entries[i])) {
            woken = 1;
            continue;
        }
        s = gnp_iocp_packet(p, &entries[i]);
        if (s != NULL && s != calmed)
            gnp_iocp_arm(p, s);
    }
    if (woken)
        gnp_px_wake_signal(p->px.wake_write);
}

int gnp_iocp_calm(gnp_iocp *p, gnp_sock *s)
{
    const gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    uint64_t limit = gnp_now() + CALM_NS, now;

    if (r->pending > 0)
        cancel(p, s, gnp_iocp_rec_of(s));
    while (r->pending > 0 && (now = gnp_now()) < limit)
        take(p, s, now + 1000000u);
    return r->pending == 0;
}

void gnp_iocp_drain(gnp_iocp *p)
{
    uint64_t limit = gnp_now() + CALM_NS, now;

    while (p->pending > 0 && (now = gnp_now()) < limit)
        take(p, NULL, now + 1000000u);
}
