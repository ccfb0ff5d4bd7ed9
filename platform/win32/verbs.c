/* SPDX-License-Identifier: MIT */
/* The verbs of poll.h on plain non-blocking sockets. */
#include "win32.h"

#include <mstcpip.h>
#include <string.h>

#define IOV_BATCH 64u /* spans of a call; 1 KiB of stack */

/* One of Windows' non-blocking sends may take all that it is given into the kernel's memory. */
#define BYTES_BATCH ((size_t)1 << 20)

/* ------------------------------------------------------------ extensions */

static BOOL load_one(SOCKET s, GUID id, void *out, size_t size)
{
    const DWORD ask = SIO_GET_EXTENSION_FUNCTION_POINTER;
    DWORD n;

    if (WSAIoctl(s, ask, &id, sizeof(id), out, (DWORD)size, &n, NULL, NULL) == 0)
        return TRUE;
    memset(out, 0, size);
    return FALSE;
}

static BOOL CALLBACK load(PINIT_ONCE once, PVOID table, PVOID *context)
{
    gnp_wx_ext *x = table;
    SOCKET stream = gnp_wx_os_socket(AF_INET, SOCK_STREAM), dgram;

    (void)once;
    (void)context;
    if (stream == INVALID_SOCKET)
        return FALSE; /* asked again next time */
    dgram = gnp_wx_os_socket(AF_INET, SOCK_DGRAM);
    load_one(stream, (GUID)WSAID_ACCEPTEX, &x->accept, sizeof(x->accept));
    load_one(stream, (GUID)WSAID_GETACCEPTEXSOCKADDRS, &x->accept_addresses, sizeof(x->accept_addresses));
    load_one(stream, (GUID)WSAID_CONNECTEX, &x->connect, sizeof(x->connect));
    load_one(stream, (GUID)WSAID_TRANSMITFILE, &x->transmit_file, sizeof(x->transmit_file));
    load_one(dgram, (GUID)WSAID_WSARECVMSG, &x->recvmsg, sizeof(x->recvmsg));
    load_one(dgram, (GUID)WSAID_WSASENDMSG, &x->sendmsg, sizeof(x->sendmsg));
    closesocket(stream);
    if (dgram == INVALID_SOCKET)
        return FALSE;
    closesocket(dgram);
    return x->recvmsg != NULL;
}

const gnp_wx_ext *gnp_wx_extensions(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    static gnp_wx_ext table;

    return InitOnceExecuteOnce(&once, load, &table, NULL) ? &table : NULL;
}

/* --------------------------------------------------------------- reading */

int gnp_wx_recv_failed(gnp_sock *s, int e)
{
    if (e == WSAECONNABORTED || e == ERROR_CONNECTION_ABORTED) /* by this side, for its peer is gone */
        e = WSAECONNRESET;
    if (e != WSAEWOULDBLOCK && e != WSAENOBUFS && e != ERROR_NOT_ENOUGH_MEMORY)
        s->state |= PX_EOF; /* broken for good: the kernel would go on to report it */
    return gnp_px_fail(e);
}

int gnp_wx_received(gnp_px *p, gnp_sock *s, int r, const void **data, size_t *n)
{
    if (r > 0) {
        *data = p->scratch;
        *n = (size_t)r;
        return GNP_OK;
    }
    if (r == 0) {
        s->state |= PX_EOF;
        return GNP_EOF;
    }
    return gnp_wx_recv_failed(s, WSAGetLastError());
}

int gnp_px_recv(gnp_px *p, gnp_sock *s, const void **data, size_t *n)
{
    int most = p->scratch_size < 0x7fffffff ? (int)p->scratch_size : 0x7fffffff;

    return gnp_wx_received(p, s, recv(gnp_wx_socket(s), (char *)p->scratch, most, 0), data, n);
}

/* --------------------------------------------------------------- writing */

/* How many of the spans go into one call, the first from an offset; *bytes is their sum. */
static unsigned batch(const gnp_iov *iov, unsigned count, size_t offset, WSABUF out[IOV_BATCH], size_t *bytes)
{
    unsigned n = 0;

    *bytes = 0;
    while (n < count && n < IOV_BATCH && *bytes < BYTES_BATCH) {
        size_t len = iov[n].len - offset, room = BYTES_BATCH - *bytes;
        out[n].buf = (char *)(uintptr_t)iov[n].base + offset;
        out[n].len = (ULONG)(len < room ? len : room);
        *bytes += out[n++].len;
        offset = 0;
    }
    return n;
}

/* Spans that are sent in whole; what is sent of the next one is the new offset. */
static unsigned advance(const gnp_iov *iov, unsigned count, size_t *offset, size_t sent)
{
    unsigned i = 0;

    *offset += sent;
    while (i < count && *offset >= iov[i].len)
        *offset -= iov[i++].len;
    return i;
}

int gnp_px_send_cut(gnp_sock *s, int code, int some)
{
    if (code != GNP_AGAIN && !some)
        return code;
    /* What has left is told first; another failure comes up again. */
    s->state |= PX_WRITE;
    return some ? GNP_OK : GNP_AGAIN;
}

static int send_failed(int e)
{
    if (e == WSAECONNABORTED)
        e = WSAECONNRESET;
    if (e == WSAENOTCONN || e == WSAEDISCON)
        e = WSAESHUTDOWN;
    return gnp_px_fail(e);
}

int gnp_px_send(gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent)
{
    WSABUF v[IOV_BATCH];
    size_t offset = 0;

    (void)flags; /* Windows has no MSG_MORE */
    *sent = 0;
    do {
        size_t bytes;
        unsigned n = batch(iov, count, offset, v, &bytes);
        DWORD put = 0;
        if (WSASend(gnp_wx_socket(s), v, n, &put, 0, NULL, NULL) != 0)
            return gnp_px_send_cut(s, send_failed(WSAGetLastError()), *sent > 0);
        *sent += put;
        if (put < bytes) {
            s->state |= PX_WRITE;
            return GNP_OK;
        }
        n = advance(iov, count, &offset, put);
        iov += n;
        count -= n;
    } while (count > 0);
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}

int gnp_px_shutdown(gnp_poller *p, gnp_sock *s)
{
    (void)p;
    return shutdown(gnp_wx_socket(s), SD_SEND) == 0 ? GNP_OK : gnp_wx_fail_wsa();
}

/* ------------------------------------------------------------ connections */

/* Those that are about a connection which came and went. */
int gnp_wx_accept_code(int e)
{
    switch (e) {
    case WSAECONNRESET:
    case WSAENETDOWN:
    case WSAENETUNREACH:
    case WSAEHOSTUNREACH:
    case WSAETIMEDOUT:
    case ERROR_NETNAME_DELETED:
    case ERROR_SEM_TIMEOUT: return gnp_px_fail(WSAECONNABORTED);
    default: return gnp_px_fail(e);
    }
}

void gnp_wx_accepted(const gnp_sock *listener, SOCKET os, gnp_sock *out)
{
    int on = 1;

    SetHandleInformation((HANDLE)os, HANDLE_FLAG_INHERIT, 0);
    /* That it fails on a connection already reset is no harm. */
    if (listener->state & PX_NODELAY)
        setsockopt(os, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof(on));
    memset(out, 0, sizeof(*out));
    out->os = (intptr_t)os;
    out->kind = GNP_STREAM;
    out->family = listener->family;
}

int gnp_px_accept(gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    gnp_native native;
    int len = sizeof(native);
    u_long on = 1;
    SOCKET os;

    memset(&native, 0, sizeof(native));
    os = accept(gnp_wx_socket(listener), &native.sa, &len);
    if (os == INVALID_SOCKET)
        return gnp_wx_accept_code(WSAGetLastError());
    if (ioctlsocket(os, FIONBIO, &on) != 0) {
        int code = gnp_wx_accept_code(WSAGetLastError());
        gnp_wx_close(os);
        return code;
    }
    gnp_wx_accepted(listener, os, out);
    if (peer != NULL)
        gnp_px_from_native(&native, (unsigned)len, peer);
    return GNP_OK;
}

static int is_loopback(const gnp_addr *a)
{
    static const unsigned char one[16] = { [15] = 1 };

    return a->family == GNP_FAMILY_IPV4 ? a->u.ip[0] == 127
                                        : a->family == GNP_FAMILY_IPV6 && memcmp(a->u.ip, one, 16) == 0;
}

#ifndef SIO_TCP_INITIAL_RTO
#  define SIO_TCP_INITIAL_RTO _WSAIOW(IOC_VENDOR, 17)
#endif

/* TCP_INITIAL_RTO_PARAMETERS of mstcpip.h, Windows 8. */
struct initial_rto {
    USHORT rtt;
    UCHAR retransmissions;
};
#define NO_RETRANSMISSIONS 0xfe /* TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS, Windows 10, known to hold from
                                  version 1709 on; before, a connect that is refused may take a second */
#define RTT_DEFAULT 0xffff      /* TCP_INITIAL_RTO_UNSPECIFIED_RTT */

/* Windows asks three times, half a second apart, also when the answer is a reset. */
void gnp_wx_connect_fast(const gnp_sock *s, const gnp_addr *to)
{
    struct initial_rto r = { RTT_DEFAULT, NO_RETRANSMISSIONS };
    DWORD n;

    if (is_loopback(to) && s->kind == GNP_STREAM)
        WSAIoctl(gnp_wx_socket(s), SIO_TCP_INITIAL_RTO, &r, sizeof(r), NULL, 0, &n, NULL, NULL);
}

int gnp_px_connect(gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local, const gnp_sock_opts *o)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(to, to->family, &native);
    int r, e;

    s->os = -1;
    if (len == 0)
        return gnp_px_no_native(to);
    r = gnp_px_socket(s, to->family, kind, o);
    if (r != GNP_OK)
        return r;
    if (local != NULL && (r = gnp_px_bind(s, local)) != GNP_OK) {
        gnp_px_close_fd(s, 0);
        return r;
    }
    gnp_wx_connect_fast(s, to);
    gnp_px_adopt(s, 0);
    if (connect(gnp_wx_socket(s), &native.sa, (int)len) == 0)
        return GNP_OK;
    e = WSAGetLastError();
    if (e == WSAEWOULDBLOCK) {
        s->state |= PX_WRITE | PX_CONNECT;
        return GNP_INFLIGHT;
    }
    r = gnp_px_fail(e);
    gnp_px_close_fd(s, 0);
    return r;
}

int gnp_px_connect_end(gnp_sock *s)
{
    int e = 0, len = sizeof(e);

    if (s->state & PX_CONNECT)
        return GNP_AGAIN;
    if (getsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_ERROR, (char *)&e, &len) != 0)
        e = WSAGetLastError();
    if (e != 0)
        return gnp_px_fail(e);
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}

/* ------------------------------------------- descriptors over Unix streams */

/* AF_UNIX of Windows has no ancillary data. */
int gnp_px_recv_descriptor(gnp_poller *p, gnp_sock *s, intptr_t *out)
{
    (void)p;
    (void)s;
    *out = -1;
    return GNP_AGAIN;
}

int gnp_px_send_descriptor(gnp_sock *s, int os, const void *data, size_t n, size_t *sent)
{
    (void)s;
    (void)os;
    (void)data;
    (void)n;
    *sent = 0;
    return gnp_px_fail(WSAEOPNOTSUPP);
}

void gnp_px_rights_drop(gnp_px *p)
{
    (void)p;
}
