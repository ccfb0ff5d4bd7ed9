/* SPDX-License-Identifier: MIT */
/* Detached sockets: made, bound, listening. */
#include "iocp.h"

#include <string.h>

#ifndef SIO_UDP_CONNRESET
#  define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif
#ifndef SIO_UDP_NETRESET
#  define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif

#ifndef SO_REUSE_UNICASTPORT
#  define SO_REUSE_UNICASTPORT 0x3007 /* Windows 10 */
#endif

static BOOL CALLBACK start(PINIT_ONCE once, PVOID result, PVOID *context)
{
    WSADATA data;

    (void)once;
    (void)context;
    *(int *)result = WSAStartup(MAKEWORD(2, 2), &data);
    return TRUE;
}

/* For the life of the process: a WSACleanup would break the sockets of others here. */
int gnp_wx_start(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    static int result;

    InitOnceExecuteOnce(&once, start, &result, NULL);
    return result == 0 ? GNP_OK : gnp_px_fail(result);
}

static int set_int(const gnp_sock *s, int level, int name, int value)
{
    return setsockopt(gnp_wx_socket(s), level, name, (const char *)&value, sizeof(value));
}

static int clamp_int(size_t n)
{
    return n < 0x7fffffff ? (int)n : 0x7fffffff;
}

SOCKET gnp_wx_os_socket(int domain, int type)
{
    u_long on = 1;
    SOCKET s;
    int e;

    if (gnp_wx_start() != GNP_OK) {
        WSASetLastError(WSANOTINITIALISED);
        return INVALID_SOCKET;
    }
    s = WSASocketW(domain, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (s == INVALID_SOCKET || ioctlsocket(s, FIONBIO, &on) == 0)
        return s;
    e = WSAGetLastError();
    closesocket(s);
    WSASetLastError(e);
    return INVALID_SOCKET;
}

/*
 * Windows lets a port in TIME_WAIT be bound anyway, and SO_REUSEADDR would let two servers have one port.
 * Without "reuseaddr" nobody else may have the port at all, nor may connections of a former listener live.
 */
static int set_exclusive(const gnp_sock *s, const gnp_sock_opts *o)
{
    if (s->kind == GNP_STREAM || o->reuseaddr)
        return 0;
    return set_int(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
}

/* The options that go before bind and connect.  GNP_OK or an error. */
static int set_options(const gnp_sock *s, const gnp_sock_opts *o)
{
    int ip = s->family != GNP_FAMILY_UNIX;

    if (ip && (o->reuseport == GNP_SHARED || o->device != NULL))
        return gnp_px_fail(WSAENOPROTOOPT); /* of several sockets on a port one gets all there is */
    if (ip && set_exclusive(s, o) != 0)
        return gnp_wx_fail_wsa();
    if (s->family == GNP_FAMILY_IPV6 && o->v6only >= 0 &&
        set_int(s, IPPROTO_IPV6, IPV6_V6ONLY, o->v6only) != 0)
        return gnp_wx_fail_wsa();
    if (o->rcvbuf != 0 && set_int(s, SOL_SOCKET, SO_RCVBUF, clamp_int(o->rcvbuf)) != 0)
        return gnp_wx_fail_wsa();
    if (o->sndbuf != 0 && set_int(s, SOL_SOCKET, SO_SNDBUF, clamp_int(o->sndbuf)) != 0)
        return gnp_wx_fail_wsa();
    return GNP_OK;
}

/* A member of gnp_sock_opts; 0: not asked for.  Where the system has no such time, its own holds. */
static int set_if(gnp_sock *s, int opt, unsigned value)
{
    int r = value != 0 ? gnp_sock_set(s, opt, value) : GNP_OK;

    return r == GNP_ENOTSUP && opt != GNP_OPT_KEEPALIVE ? GNP_OK : r;
}

/* Those of streams and listeners that have a number. */
static int set_tcp(gnp_sock *s, const gnp_sock_opts *o)
{
    int r;

    if (s->family == GNP_FAMILY_UNIX || s->kind == GNP_DGRAM)
        return GNP_OK;
    if (o->nodelay && (r = gnp_sock_set(s, GNP_OPT_NODELAY, 1)) != GNP_OK)
        return r;
    if (o->keepalive_s == 0)
        return GNP_OK;
    if ((r = set_if(s, GNP_OPT_KEEPALIVE, o->keepalive_s)) != GNP_OK)
        return r;
    if ((r = set_if(s, GNP_OPT_KEEPALIVE_INTVL, o->keepalive_intvl_s)) != GNP_OK)
        return r;
    return set_if(s, GNP_OPT_KEEPALIVE_COUNT, o->keepalive_count);
}

static int set_list(gnp_sock *s, const gnp_sock_opts *o)
{
    unsigned i;
    int r = GNP_OK;

    for (i = 0; i < o->opt_count && r == GNP_OK; i++)
        r = gnp_sock_set(s, o->opts[i].opt, o->opts[i].value);
    return r;
}

/* Closes after a failure without losing what failed. */
static int give_up(gnp_sock *s, int code)
{
    closesocket(gnp_wx_socket(s));
    memset(s, 0, sizeof(*s));
    s->os = -1;
    return code;
}

int gnp_px_socket(gnp_sock *s, int family, int kind, const gnp_sock_opts *o)
{
    static const gnp_sock_opts none = { .v6only = -1 };
    int domain = gnp_px_domain(family);
    SOCKET os;
    int r;

    if (o == NULL)
        o = &none;
    if (domain < 0 || (family == GNP_FAMILY_UNIX && kind == GNP_DGRAM))
        return GNP_ENOTSUP;
    os = gnp_wx_os_socket(domain, kind == GNP_DGRAM ? SOCK_DGRAM : SOCK_STREAM);
    if (os == INVALID_SOCKET)
        return gnp_wx_fail_wsa();
    memset(s, 0, sizeof(*s));
    s->os = (intptr_t)os;
    s->kind = (uint8_t)kind;
    s->family = (uint8_t)family;
    r = set_options(s, o);
    if (r == GNP_OK)
        r = set_tcp(s, o);
    if (r == GNP_OK)
        r = set_list(s, o);
    return r == GNP_OK ? GNP_OK : give_up(s, r);
}

int gnp_px_bind(const gnp_sock *s, const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, s->family, &native);
    int e;

    if (len == 0)
        return gnp_px_no_native(a);
    if (bind(gnp_wx_socket(s), &native.sa, (int)len) == 0)
        return GNP_OK;
    e = WSAGetLastError();
    /* What an exclusive socket in our way says, and not about rights: those are not checked for ports. */
    if (e == WSAEACCES && a->family != GNP_FAMILY_UNIX)
        e = WSAEADDRINUSE;
    return gnp_px_fail(e);
}

int gnp_wx_bind_any(const gnp_sock *s)
{
    gnp_addr a;

    memset(&a, 0, sizeof(a));
    if (gnp_sock_local(s, &a) == GNP_OK)
        return GNP_OK;
    /* By default a bind takes a port that nobody else has: this leaves the choice to ConnectEx, for which
     * other destinations may share one, as with connect. */
    (void)set_int(s, SOL_SOCKET, SO_REUSE_UNICASTPORT, 1);
    a.family = s->family;
    return gnp_px_bind(s, &a);
}

/*
 * A plain number above some 200 means no more than that; a negative one is meant as it is, from 200 to 65535
 * (SOMAXCONN_HINT of winsock2.h, for Microsoft's own IP only).  A connection that finds no room is refused.
 */
static int start_listening(const gnp_sock *s, unsigned backlog)
{
    int most = backlog > 0 && backlog < 65535 ? (int)backlog : 65535;

    if (most <= 200 || s->family == GNP_FAMILY_UNIX)
        return listen(gnp_wx_socket(s), most);
    return listen(gnp_wx_socket(s), -most) == 0 ? 0 : listen(gnp_wx_socket(s), SOMAXCONN);
}

int gnp_listen(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o, gnp_bound *bound)
{
    gnp_bound mine;
    int r;

    if (bound == NULL)
        bound = &mine;
    memset(bound, 0, sizeof(*bound));
    out->os = -1;
    r = gnp_px_socket(out, a->family, GNP_LISTENER, o);
    if (r != GNP_OK)
        return r;
    if (o != NULL && o->reuseport == GNP_SHARED_FIRST)
        r = gnp_px_fail(WSAENOPROTOOPT);
    else if (a->family == GNP_FAMILY_UNIX)
        r = gnp_px_bind_path(out, a, o != NULL ? o->unix_mode : 0, bound);
    else
        r = gnp_px_bind(out, a);
    if (r == GNP_OK && start_listening(out, o != NULL && o->backlog > 0 ? (unsigned)o->backlog : 0) != 0)
        r = gnp_wx_fail_wsa();
    if (r == GNP_OK)
        return GNP_OK;
    gnp_unlink_bound(a, bound);
    memset(bound, 0, sizeof(*bound));
    return give_up(out, r);
}

/* Else an ICMP message about any peer makes the next receive fail ("WSAECONNRESET" of recvfrom). */
static void ignore_icmp(const gnp_sock *s)
{
    BOOL off = FALSE;
    DWORD n;

    WSAIoctl(gnp_wx_socket(s), SIO_UDP_CONNRESET, &off, sizeof(off), NULL, 0, &n, NULL, NULL);
    WSAIoctl(gnp_wx_socket(s), SIO_UDP_NETRESET, &off, sizeof(off), NULL, 0, &n, NULL, NULL);
}

int gnp_dgram_open(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o)
{
    int group = o != NULL && o->reuseaddr && gnp_px_is_group(a);
    int r;

    out->os = -1;
    r = gnp_px_socket(out, a->family, GNP_DGRAM, o);
    if (r != GNP_OK)
        return r;
    if (o != NULL && o->reuseport == GNP_SHARED_FIRST)
        return give_up(out, gnp_px_fail(WSAENOPROTOOPT));
    if (group && set_int(out, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
        return give_up(out, gnp_wx_fail_wsa());
    ignore_icmp(out);
    r = gnp_px_bind(out, a);
    return r == GNP_OK ? GNP_OK : give_up(out, r);
}

void gnp_wx_close(SOCKET os)
{
    struct linger off = { 0, 0 };

    if (closesocket(os) == 0 || WSAGetLastError() != WSAEWOULDBLOCK)
        return;
    setsockopt(os, SOL_SOCKET, SO_LINGER, (const char *)&off, sizeof(off));
    closesocket(os);
}

void gnp_px_close_fd(gnp_sock *s, int reset)
{
    if (reset && s->kind == GNP_STREAM) {
        struct linger now = { 1, 0 };
        setsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_LINGER, (const char *)&now, sizeof(now));
    }
    gnp_wx_close(gnp_wx_socket(s));
    s->os = -1;
}

void gnp_sock_close(gnp_sock *s, int reset)
{
    if (s->os == -1)
        return;
    if (s->kind == GNP_LISTENER)
        gnp_iocp_queue_free(s->priv); /* what came to it before it was detached */
    gnp_px_close_fd(s, reset);
}

int gnp_sock_local(const gnp_sock *s, gnp_addr *out)
{
    gnp_native native;
    int len = sizeof(native);

    memset(&native, 0, sizeof(native));
    if (getsockname(gnp_wx_socket(s), &native.sa, &len) != 0)
        return gnp_wx_fail_wsa();
    gnp_px_from_native(&native, (unsigned)len, out);
    return GNP_OK;
}

int gnp_sock_peer(const gnp_sock *s, gnp_addr *out)
{
    gnp_native native;
    int len = sizeof(native);

    memset(&native, 0, sizeof(native));
    if (getpeername(gnp_wx_socket(s), &native.sa, &len) != 0)
        return gnp_wx_fail_wsa();
    gnp_px_from_native(&native, (unsigned)len, out);
    return GNP_OK;
}

int gnp_has_ipv6(void)
{
    SOCKET s = gnp_wx_os_socket(AF_INET6, SOCK_STREAM);

    if (s == INVALID_SOCKET)
        return 0;
    closesocket(s);
    return 1;
}

int gnp_reserve_take(gnp_reserve *r)
{
    HANDLE h;

    if (r->os != -1)
        return GNP_OK;
    h = CreateFileW(L"NUL", GENERIC_READ, GNP_WX_SHARE, NULL, OPEN_EXISTING, 0, NULL);
    if (h == INVALID_HANDLE_VALUE)
        return gnp_wx_fail_last();
    r->os = (intptr_t)h;
    return GNP_OK;
}

void gnp_reserve_release(gnp_reserve *r)
{
    if (r->os != -1)
        CloseHandle((HANDLE)r->os);
    r->os = -1;
}

/* One socket of a port gets everything while it is open. */
int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    (void)both;
    return 0;
}

int gnp_reuseport_by_cpu(const gnp_sock *s, unsigned n)
{
    (void)s;
    (void)n;
    return GNP_ENOTSUP;
}
