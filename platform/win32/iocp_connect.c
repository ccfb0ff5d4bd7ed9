/* SPDX-License-Identifier: MIT */
/* Connecting, by ConnectEx over IP. */
#include "iocp.h"

#include <string.h>

/* Until this, getpeername and shutdown don't know of the connection. */
static int connected(const gnp_sock *s)
{
    return setsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0
               ? GNP_OK
               : gnp_wx_fail_wsa();
}

void gnp_iocp_connect_done(gnp_sock *s, gnp_iocp_rec *r)
{
    LONG status = (LONG)r->receive.ov.Internal;

    r->connect_code = status == 0 ? connected(s) : gnp_iocp_why(s, &r->receive);
    s->state &= ~(uint32_t)PX_CONNECT;
    s->state |= PX_CAN_WRITE;
}

/* s is made, and bound. */
static int begin(gnp_iocp *p, gnp_sock *s, const gnp_native *to, unsigned len)
{
    gnp_iocp_rec *r = gnp_iocp_rec_of(s);
    int ok, code;

    if (!gnp_iocp_home(p, s))
        return gnp_wx_fail_last();
    r->receive.kind = IOCP_CONNECT;
    ok = gnp_wx_extensions()->connect(gnp_wx_socket(s), &to->sa, (int)len, NULL, 0, NULL, &r->receive.ov);
    code = gnp_iocp_begun(p, &r->receive, ok, ok ? 0 : WSAGetLastError());
    if (code == GNP_INFLIGHT)
        s->state |= PX_WRITE | PX_CONNECT;
    return code == GNP_OK ? connected(s) : code;
}

static void drop(gnp_iocp *p, gnp_sock *s)
{
    if (s->priv != NULL)
        gnp_iocp_leave(p, s);
    gnp_px_close_fd(s, 0);
    s->state = 0;
}

/* Without an operation of its own: datagrams, which connect at once, and Unix streams, for which
 * nobody promises ConnectEx. */
static int connect_plain(gnp_iocp *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                         const gnp_sock_opts *o)
{
    int r = gnp_px_connect(s, kind, to, local, o), entered;

    if (r != GNP_OK && r != GNP_INFLIGHT)
        return r;
    entered = gnp_iocp_enter(p, s);
    if (entered != GNP_OK) {
        drop(p, s);
        return entered;
    }
    gnp_iocp_arm(p, s);
    return r;
}

int gnp_iocp_connect(gnp_poller *base, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                     const gnp_sock_opts *o)
{
    gnp_iocp *p = gnp_iocp_of(base);
    gnp_native native;
    unsigned len;
    int r;

    if (kind != GNP_STREAM || to->family == GNP_FAMILY_UNIX || gnp_wx_extensions() == NULL ||
        gnp_wx_extensions()->connect == NULL)
        return connect_plain(p, s, kind, to, local, o);
    s->os = -1;
    memset(&native, 0, sizeof(native));
    len = gnp_px_to_native(to, to->family, &native);
    if (len == 0)
        return gnp_px_no_native(to);
    r = gnp_px_socket(s, to->family, kind, o);
    if (r != GNP_OK)
        return r;
    gnp_px_adopt(s, 0);
    gnp_wx_connect_fast(s, to);
    r = local != NULL ? gnp_px_bind(s, local) : gnp_wx_bind_any(s);
    if (r == GNP_OK)
        r = gnp_iocp_enter(p, s);
    if (r == GNP_OK)
        r = begin(p, s, &native, len);
    if (r != GNP_OK && r != GNP_INFLIGHT)
        drop(p, s);
    return r;
}

int gnp_iocp_connect_end(gnp_poller *base, gnp_sock *s)
{
    gnp_iocp *p = gnp_iocp_of(base);
    int r = s->state & PX_CONNECT ? GNP_AGAIN : gnp_iocp_rec_of(s)->connect_code;

    if (r == GNP_OK)
        r = gnp_px_connect_end(s);
    if (r == GNP_OK)
        gnp_iocp_cannot(p, s, PX_CAN_WRITE);
    return r;
}
