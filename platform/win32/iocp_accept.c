/* SPDX-License-Identifier: MIT */
/* Listeners, by a few AcceptEx at a time.  Their sockets belong to no port yet: any poller may have them. */
#include "iocp.h"
#include "../mem.h"

#include <string.h>

#define CANCELLED ((LONG)0xC0000120)
#define ADDRESS ((DWORD)(sizeof(SOCKADDR_STORAGE) + 16))

/* a's connection has come, or failed. */
static void come(gnp_iocp_queue *q, gnp_iocp_slot *a, int code)
{
    a->come = 1;
    a->code = code;
    q->order[(q->first + q->come++) % IOCP_ACCEPTS] = (uint8_t)(a - q->slots);
}

static void give_up(gnp_iocp_slot *a)
{
    gnp_wx_close(a->os);
    a->os = INVALID_SOCKET;
}

/* A failure of one connection: but for want of memory it is about its peer, whose end came first. */
static int of_one(int code)
{
    return code == GNP_OK || code == GNP_ENOBUFS || code == GNP_ENOMEM ? code : GNP_ECONNABORTED;
}

/* Waits for one connection.  GNP_OK: one has come; GNP_INFLIGHT; or why it cannot. */
static int begin(gnp_iocp *p, const gnp_sock *l, gnp_iocp_slot *a)
{
    const gnp_wx_ext *x = gnp_wx_extensions();
    DWORD n;
    int ok, r;

    if (x == NULL || x->accept == NULL)
        return GNP_ENOTSUP;
    a->os = gnp_wx_os_socket(gnp_px_domain(l->family), SOCK_STREAM);
    if (a->os == INVALID_SOCKET)
        return gnp_wx_fail_wsa();
    memset(&a->op.ov, 0, sizeof(a->op.ov));
    ok = x->accept(gnp_wx_socket(l), a->os, a->addresses, 0, ADDRESS, ADDRESS, &n, &a->op.ov);
    r = gnp_iocp_begun(p, &a->op, ok, ok ? 0 : WSAGetLastError());
    if (r != GNP_OK && r != GNP_INFLIGHT)
        give_up(a);
    return r;
}

/* The queue of r, which may be one that came along with the listener. */
static gnp_iocp_queue *queue_of(gnp_iocp_rec *r)
{
    unsigned i;

    if (r->queue == NULL) {
        r->queue = gnp_zalloc(sizeof(*r->queue));
        for (i = 0; r->queue != NULL && i < IOCP_ACCEPTS; i++)
            r->queue->slots[i].os = INVALID_SOCKET;
    }
    for (i = 0; r->queue != NULL && i < IOCP_ACCEPTS; i++) {
        r->queue->slots[i].op.kind = IOCP_ACCEPT;
        r->queue->slots[i].op.rec = r;
    }
    return r->queue;
}

void gnp_iocp_accept_fill(gnp_iocp *p, gnp_sock *l)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(l);
    gnp_iocp_queue *q = queue_of(r);
    int code = q != NULL ? GNP_OK : GNP_ENOMEM;
    unsigned i;

    for (i = 0; i < IOCP_ACCEPTS && (code == GNP_OK || code == GNP_INFLIGHT); i++) {
        gnp_iocp_slot *a = &q->slots[i];
        if (a->op.pending || a->come)
            continue;
        code = begin(p, l, a);
        if (code == GNP_ECONNRESET || code == GNP_ECONNABORTED) { /* about the connection that was first */
            come(q, a, GNP_ECONNABORTED);
            code = GNP_OK;
        } else if (code == GNP_OK) {
            come(q, a, GNP_OK);
        }
    }
    r->code = code != GNP_INFLIGHT ? code : GNP_OK;
    if ((q != NULL && q->come > 0) || (r->code != GNP_OK && r->pending == 0))
        l->state |= PX_CAN_READ;
}

void gnp_iocp_accept_done(gnp_iocp_rec *r, gnp_iocp_slot *a, gnp_sock *l)
{
    LONG status = (LONG)a->op.ov.Internal;
    int code = status == 0 ? GNP_OK : gnp_wx_fail_status(status);

    if (l == NULL) {
        give_up(a);
        return;
    }
    if (status != 0)
        give_up(a);
    if (status == CANCELLED)
        return;
    come(r->queue, a, of_one(code));
    l->state |= PX_CAN_READ;
}

void gnp_iocp_accept_cancel(const gnp_sock *l, gnp_iocp_queue *q)
{
    unsigned i;

    for (i = 0; i < IOCP_ACCEPTS; i++) {
        if (q->slots[i].op.pending)
            CancelIoEx((HANDLE)l->os, &q->slots[i].op.ov);
    }
}

void gnp_iocp_queue_free(gnp_iocp_queue *q)
{
    unsigned i;

    for (i = 0; q != NULL && i < IOCP_ACCEPTS; i++) {
        if (q->slots[i].os != INVALID_SOCKET)
            gnp_wx_close(q->slots[i].os);
    }
    gnp_free(q, sizeof(*q));
}

/* Hands out the connection in a, whose place is free then. */
static int finish(const gnp_sock *l, gnp_iocp_slot *a, gnp_sock *out, gnp_addr *peer)
{
    SOCKET os = a->os, from = gnp_wx_socket(l);
    struct sockaddr *local, *remote;
    int local_n = 0, remote_n = 0;

    a->come = 0;
    a->os = INVALID_SOCKET;
    if (a->code != GNP_OK)
        return a->code;
    if (setsockopt(os, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&from, sizeof(from)) != 0) {
        int code = of_one(gnp_wx_fail_wsa());
        gnp_wx_close(os);
        return code;
    }
    gnp_wx_accepted(l, os, out);
    if (peer == NULL)
        return GNP_OK;
    gnp_wx_extensions()->accept_addresses(a->addresses, 0, ADDRESS, ADDRESS, &local, &local_n, &remote,
                                          &remote_n);
    gnp_px_from_native((const gnp_native *)(const void *)remote, (unsigned)remote_n, peer);
    return GNP_OK;
}

/* The next one that has come. */
static int next(gnp_iocp *p, gnp_sock *l, gnp_sock *out, gnp_addr *peer)
{
    gnp_iocp_queue *q = gnp_iocp_rec_of(l)->queue;
    gnp_iocp_slot *a = &q->slots[q->order[q->first]];
    int r;

    q->first = (q->first + 1) % IOCP_ACCEPTS;
    q->come--;
    r = finish(l, a, out, peer);
    if ((l->state & PX_INSET) && (l->interest & GNP_READ))
        gnp_iocp_accept_fill(p, l);
    if (q->come == 0)
        gnp_iocp_cannot(p, l, PX_CAN_READ);
    return r;
}

int gnp_iocp_accept(gnp_poller *base, gnp_sock *l, gnp_sock *out, gnp_addr *peer)
{
    gnp_iocp *p = gnp_iocp_of(base);
    gnp_iocp_rec *r = gnp_iocp_rec_of(l);
    int code;

    if (r->queue != NULL && r->queue->come > 0)
        return next(p, l, out, peer);
    if (!(l->state & PX_CAN_READ))
        return GNP_AGAIN;
    if (!(l->state & PX_INSET)) {
        code = gnp_px_accept(l, out, peer);
        if (code == GNP_AGAIN)
            gnp_iocp_cannot(p, l, PX_CAN_READ);
        return code;
    }
    gnp_iocp_cannot(p, l, PX_CAN_READ); /* what could not be waited for before may be now */
    if (r->queue != NULL && r->queue->come > 0)
        return next(p, l, out, peer);
    return l->state & PX_CAN_READ ? r->code : GNP_AGAIN;
}
