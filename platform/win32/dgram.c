/* SPDX-License-Identifier: MIT */
/* Datagrams, one a call: Windows has none that takes several. */
#include "win32.h"

#include "../mem.h"

#include <stddef.h>
#include <string.h>

/* One buffer a poller, since one span is lent. */
struct gnp_px_batch {
    gnp_addr peer, local;
    size_t size;
    unsigned char data[];
};

static gnp_px_batch *buffer_of(gnp_px *p)
{
    if (p->batches == NULL) {
        p->batches = gnp_alloc(sizeof(gnp_px_batch) + p->dgram_size);
        if (p->batches != NULL)
            p->batches->size = p->dgram_size;
    }
    return p->batches;
}

int gnp_wx_truncated(int e)
{
    return e == WSAEMSGSIZE || e == ERROR_MORE_DATA;
}

/* The first tells it as the peer is told. */
static void local_set(gnp_dgram *out, gnp_addr *local, int family, const void *ip, size_t n, unsigned index)
{
    if (out->local != NULL)
        return;
    memset(local, 0, offsetof(gnp_addr, u) + sizeof(local->u.ip));
    local->family = (uint8_t)family;
    memcpy(local->u.ip, ip, n);
    out->local = local;
    out->interface_index = index;
}

void gnp_wx_control_read(WSAMSG *m, gnp_dgram *out, gnp_addr *local)
{
    WSACMSGHDR *c;

    for (c = WSA_CMSG_FIRSTHDR(m); c != NULL; c = WSA_CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo i;
            memcpy(&i, WSA_CMSG_DATA(c), sizeof(i));
            local_set(out, local, GNP_FAMILY_IPV4, &i.ipi_addr, 4, i.ipi_ifindex);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo i;
            memcpy(&i, WSA_CMSG_DATA(c), sizeof(i));
            local_set(out, local, GNP_FAMILY_IPV6, &i.ipi6_addr, 16, i.ipi6_ifindex);
        }
    }
}

/* What has failed has left the queue, but for this. */
static int failed(gnp_sock *s, int e)
{
    if (e == WSAEWOULDBLOCK)
        s->state &= ~(uint32_t)PX_CAN_READ;
    if (e == WSAECONNRESET || e == WSAENETRESET) /* of a connected socket: ICMP says that nobody is there */
        e = WSAECONNREFUSED;
    return gnp_px_fail(e);
}

int gnp_px_recvfrom(gnp_px *p, gnp_sock *s, gnp_px_batch **held, gnp_dgram *out)
{
    const gnp_wx_ext *ext = gnp_wx_extensions();
    gnp_px_batch *b;
    gnp_wx_control control;
    gnp_native from;
    WSABUF v;
    WSAMSG m;
    DWORD n = 0;
    int e = 0;

    (void)held;
    if (!(s->state & PX_CAN_READ))
        return GNP_AGAIN;
    b = buffer_of(p);
    if (b == NULL || ext == NULL)
        return GNP_ENOMEM;
    v.buf = (char *)b->data;
    v.len = (ULONG)b->size;
    memset(&m, 0, sizeof(m));
    memset(&from, 0, sizeof(from));
    m.name = &from.sa;
    m.namelen = sizeof(from);
    m.lpBuffers = &v;
    m.dwBufferCount = 1;
    m.Control.buf = (char *)control.bytes;
    m.Control.len = sizeof(control);
    if (ext->recvmsg(gnp_wx_socket(s), &m, &n, NULL, NULL) != 0)
        e = WSAGetLastError();
    if (e != 0 && !gnp_wx_truncated(e))
        return failed(s, e);
    gnp_px_from_native(&from, (unsigned)m.namelen, &b->peer);
    out->data = b->data;
    out->len = e != 0 ? b->size : n;
    out->truncated = e != 0 || (m.dwFlags & MSG_TRUNC) != 0;
    out->peer = &b->peer;
    out->segment = 0;
    out->local = NULL;
    out->interface_index = 0;
    if (m.Control.len > 0 && m.Control.len <= sizeof(control))
        gnp_wx_control_read(&m, out, &b->local);
    return GNP_OK;
}

void gnp_px_dgram_done(gnp_px *p, gnp_sock *s, gnp_px_batch **held)
{
    (void)p;
    (void)s;
    (void)held;
}

void gnp_px_dgram_drop(gnp_px *p, gnp_px_batch **held)
{
    (void)p;
    (void)held;
}

void gnp_px_dgram_fini(gnp_px *p)
{
    if (p->batches != NULL)
        gnp_free(p->batches, sizeof(gnp_px_batch) + p->batches->size);
    p->batches = NULL;
}

static int send_one(gnp_sock *s, const gnp_dgram_out *out)
{
    WSABUF v = { (ULONG)out->len, (char *)(uintptr_t)out->data };
    gnp_native to;
    unsigned len = 0;
    DWORD n;

    if (out->segment > 0 && out->segment < out->len)
        return GNP_ENOTSUP;
    if (out->len > UINT32_MAX)
        return gnp_px_fail(WSAEMSGSIZE);
    if (out->peer != NULL && (len = gnp_px_to_native(out->peer, s->family, &to)) == 0)
        return gnp_px_fail(WSAEINVAL);
    if (WSASendTo(gnp_wx_socket(s), &v, 1, &n, 0, len != 0 ? &to.sa : NULL, (int)len, NULL, NULL) == 0)
        return GNP_OK;
    n = (DWORD)WSAGetLastError();
    return gnp_px_fail(n == WSAECONNRESET || n == WSAENETRESET ? WSAECONNREFUSED : (int)n);
}

int gnp_px_sendto(gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    for (*sent = 0; *sent < count; ++*sent) {
        int r = send_one(s, &out[*sent]);
        if (r != GNP_OK) {
            gnp_px_sendto_cut(s, r);
            return r;
        }
    }
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}
