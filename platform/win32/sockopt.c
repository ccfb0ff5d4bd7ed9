/* SPDX-License-Identifier: MIT */
/*
 * gnp_sock_set and gnp_sock_get.  Without rows: IP_TOS, which Windows takes and ignores ("Quality Of
 * Service ... setting IP_TOS is ignored"), and what it has no word for.
 */
#include "win32.h"

#include "../sockopt.h"

#include <iphlpapi.h>
#include <mstcpip.h>
#include <string.h>

#define LINGER_MAX 32767 /* l_linger is 16 bits wide on some systems, here unsigned */

/* RFC 1122 4.2.3.6: what a keep-alive waits at least where the system does not tell. */
#define KEEPALIVE_DEFAULT 7200
#define KEEPALIVE_INTVL_MS 1000 /* the system's own, which SIO_KEEPALIVE_VALS wants to be told again */

/* Of ws2ipdef.h, in no older kit. */
#ifndef TCP_KEEPIDLE
#  define TCP_KEEPIDLE 3
#endif
#ifndef TCP_FASTOPEN
#  define TCP_FASTOPEN 15
#endif
#ifndef TCP_KEEPCNT
#  define TCP_KEEPCNT 16
#endif
#ifndef TCP_KEEPINTVL
#  define TCP_KEEPINTVL 17
#endif
#ifndef TCP_MAXRTMS
#  define TCP_MAXRTMS 14
#endif

static const gnp_px_opt common[] = {
    { GNP_OPT_NODELAY, PX_TCP, 0, 1, IPPROTO_TCP, TCP_NODELAY, 0, 0 },
    { GNP_OPT_RECV_BUFFER, PX_ANY | PX_UNIX | PX_CUT, 1, INT32_MAX, SOL_SOCKET, SO_RCVBUF, 0, 0 },
    { GNP_OPT_SEND_BUFFER, PX_ANY | PX_UNIX | PX_CUT, 1, INT32_MAX, SOL_SOCKET, SO_SNDBUF, 0, 0 },
    { GNP_OPT_TTL, PX_ANY, 1, 255, IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS },
    { GNP_OPT_BROADCAST, PX_UDP, 0, 1, SOL_SOCKET, SO_BROADCAST, 0, 0 },
    { GNP_OPT_MULTICAST_TTL, PX_UDP, 0, 255, IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6,
      IPV6_MULTICAST_HOPS },
    { GNP_OPT_MULTICAST_LOOP, PX_UDP, 0, 1, IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6,
      IPV6_MULTICAST_LOOP },
    { 0, 0, 0, 0, 0, 0, 0, 0 }
};

/* Windows 10 has these, since version 1607 the second last, since 1709 the keep-alives. */
const gnp_px_opt gnp_px_os_opts[] = {
    { GNP_OPT_KEEPALIVE, PX_TCP, 1, INT32_MAX / 1000, IPPROTO_TCP, TCP_KEEPIDLE, 0, 0 },
    { GNP_OPT_KEEPALIVE_INTVL, PX_TCP, 1, 32767, IPPROTO_TCP, TCP_KEEPINTVL, 0, 0 },
    { GNP_OPT_KEEPALIVE_COUNT, PX_TCP, 1, 255, IPPROTO_TCP, TCP_KEEPCNT, 0, 0 },
    { GNP_OPT_USER_TIMEOUT, PX_TCP, 0, INT32_MAX, IPPROTO_TCP, TCP_MAXRTMS, 0, 0 },
    { GNP_OPT_FAST_OPEN, PX_LISTENER | PX_IP, 0, INT32_MAX, IPPROTO_TCP, TCP_FASTOPEN, 0, 0 },
    { GNP_OPT_PACKET_INFO, PX_UDP, 0, 1, IPPROTO_IP, IP_PKTINFO, IPPROTO_IPV6, IPV6_PKTINFO },
    { 0, 0, 0, 0, 0, 0, 0, 0 }
};

static const gnp_px_opt *row_of(const gnp_px_opt *table, int opt)
{
    for (; table->opt != 0; table++) {
        if (table->opt == opt)
            return table;
    }
    return NULL;
}

/* Has a socket like s the options with these bits? */
static int fits(const gnp_sock *s, unsigned on)
{
    return (on >> s->kind & 1) != 0 && (on & (s->family == GNP_FAMILY_UNIX ? PX_UNIX : PX_IP)) != 0;
}

/* The option's row if it has one and s has the option, else NULL. */
static const gnp_px_opt *find(const gnp_sock *s, int opt)
{
    const gnp_px_opt *o = row_of(common, opt);

    if (o == NULL)
        o = row_of(gnp_px_os_opts, opt);
    return o != NULL && fits(s, o->on) ? o : NULL;
}

static int is_six(const gnp_sock *s, const gnp_px_opt *o)
{
    return s->family == GNP_FAMILY_IPV6 && o->level6 != 0;
}

static int put_raw(const gnp_sock *s, int level, int name, DWORD bits)
{
    return setsockopt(gnp_wx_socket(s), level, name, (const char *)&bits, sizeof(bits));
}

static int put(const gnp_sock *s, const gnp_px_opt *o, int64_t value)
{
    if (value > o->max && (o->on & PX_CUT))
        value = o->max;
    if (value < o->min || value > o->max)
        return gnp_px_fail(WSAEINVAL);
    if (is_six(s, o)) {
        if (put_raw(s, o->level6, o->name6, (DWORD)value) != 0)
            return gnp_wx_fail_wsa();
        put_raw(s, o->level, o->name, (DWORD)value); /* refused by sockets that map no addresses */
        return GNP_OK;
    }
    return put_raw(s, o->level, o->name, (DWORD)value) == 0 ? GNP_OK : gnp_wx_fail_wsa();
}

static int get(const gnp_sock *s, const gnp_px_opt *o, int64_t *value)
{
    int six = is_six(s, o), level = six ? o->level6 : o->level, name = six ? o->name6 : o->name;
    int len = sizeof(DWORD);
    DWORD bits = 0; /* some answer with a byte, which is the lower one */

    if (getsockopt(gnp_wx_socket(s), level, name, (char *)&bits, &len) != 0)
        return gnp_wx_fail_wsa();
    *value = (int32_t)bits;
    return GNP_OK;
}

/* ------------------------------------------------- not just an integer */

static int set_linger(const gnp_sock *s, int64_t value)
{
    struct linger l;

    if (value < -1 || value > LINGER_MAX)
        return gnp_px_fail(WSAEINVAL);
    l.l_onoff = value >= 0;
    l.l_linger = (u_short)(value >= 0 ? value : 0);
    if (setsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_LINGER, (const char *)&l, sizeof(l)) != 0)
        return gnp_wx_fail_wsa();
    return GNP_OK;
}

static int get_linger(const gnp_sock *s, int64_t *value)
{
    struct linger l;
    int len = sizeof(l);

    if (getsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_LINGER, (char *)&l, &len) != 0)
        return gnp_wx_fail_wsa();
    *value = l.l_onoff ? l.l_linger : -1;
    return GNP_OK;
}

/* Before Windows 10, version 1709: the time and the interval in one call, which nothing reads back. */
static int set_keepalive_vals(const gnp_sock *s, int64_t seconds)
{
    struct tcp_keepalive k = { 1, (u_long)seconds * 1000, KEEPALIVE_INTVL_MS };
    DWORD n;

    if (WSAIoctl(gnp_wx_socket(s), SIO_KEEPALIVE_VALS, &k, sizeof(k), NULL, 0, &n, NULL, NULL) != 0)
        return gnp_wx_fail_wsa();
    return GNP_OK;
}

static int set_keepalive(const gnp_sock *s, int64_t value)
{
    const gnp_px_opt *idle = row_of(gnp_px_os_opts, GNP_OPT_KEEPALIVE);
    int r = GNP_OK;

    if (value < 0 || value > idle->max)
        return gnp_px_fail(WSAEINVAL);
    if (value != 0 && (r = put(s, idle, value)) == GNP_ENOTSUP)
        r = set_keepalive_vals(s, value);
    if (r != GNP_OK)
        return r;
    return put_raw(s, SOL_SOCKET, SO_KEEPALIVE, value != 0) == 0 ? GNP_OK : gnp_wx_fail_wsa();
}

static int get_keepalive(const gnp_sock *s, int64_t *value)
{
    DWORD on = 0;
    int len = sizeof(on);

    if (getsockopt(gnp_wx_socket(s), SOL_SOCKET, SO_KEEPALIVE, (char *)&on, &len) != 0)
        return gnp_wx_fail_wsa();
    *value = on ? KEEPALIVE_DEFAULT : 0;
    if (on)
        (void)get(s, row_of(gnp_px_os_opts, GNP_OPT_KEEPALIVE), value);
    return GNP_OK;
}

/* IPv4 knows the interface by an address of it, IPv6 by its index. */
static int set_multicast_if(const gnp_sock *s, int64_t value)
{
    char name[NDIS_IF_MAX_STRING_SIZE + 1];
    unsigned index = (unsigned)value;
    struct in_addr a = { .s_addr = INADDR_ANY };
    int r;

    if (value < 0 || value > INT32_MAX || (index != 0 && if_indextoname(index, name) == NULL))
        return gnp_px_fail(WSAEINVAL);
    if (s->family == GNP_FAMILY_IPV6)
        r = put_raw(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
    else if (index == 0 || gnp_px_interface_address(index, &a) == GNP_OK)
        r = put_raw(s, IPPROTO_IP, IP_MULTICAST_IF, a.s_addr);
    else
        return gnp_px_fail(WSAEINVAL);
    return r == 0 ? GNP_OK : gnp_wx_fail_wsa();
}

static int get_multicast_if(const gnp_sock *s, int64_t *value)
{
    int six = s->family == GNP_FAMILY_IPV6, len = sizeof(DWORD);
    int level = six ? IPPROTO_IPV6 : IPPROTO_IP, name = six ? IPV6_MULTICAST_IF : IP_MULTICAST_IF;
    DWORD v = 0;
    struct in_addr a;

    if (getsockopt(gnp_wx_socket(s), level, name, (char *)&v, &len) != 0)
        return gnp_wx_fail_wsa();
    a.s_addr = v;
    *value = six || v == 0 ? v : gnp_px_interface_of(a);
    return GNP_OK;
}

static unsigned special(int opt)
{
    switch (opt) {
    case GNP_OPT_LINGER: return PX_TCP | PX_UNIX;
    case GNP_OPT_KEEPALIVE: return PX_TCP;
    case GNP_OPT_MULTICAST_IF: return PX_UDP;
    default: return 0;
    }
}

int gnp_sock_set(gnp_sock *s, int opt, int64_t value)
{
    unsigned on = special(opt);
    const gnp_px_opt *o = on == 0 ? find(s, opt) : NULL;
    int r;

    if (on != 0 ? !fits(s, on) : o == NULL || (o->on & PX_READ_ONLY))
        return gnp_px_fail(WSAENOPROTOOPT);
    switch (opt) {
    case GNP_OPT_LINGER: return set_linger(s, value);
    case GNP_OPT_KEEPALIVE: return set_keepalive(s, value);
    case GNP_OPT_MULTICAST_IF: return set_multicast_if(s, value);
    default: break;
    }
    r = put(s, o, value);
    if (r == GNP_OK && opt == GNP_OPT_NODELAY) /* for those that a listener accepts */
        s->state = (s->state & ~(uint32_t)PX_NODELAY) | (value ? PX_NODELAY : 0);
    return r;
}

int gnp_sock_get(const gnp_sock *s, int opt, int64_t *value)
{
    unsigned on = special(opt);
    const gnp_px_opt *o = on == 0 ? find(s, opt) : NULL;

    if (on != 0 ? !fits(s, on) : o == NULL)
        return gnp_px_fail(WSAENOPROTOOPT);
    switch (opt) {
    case GNP_OPT_LINGER: return get_linger(s, value);
    case GNP_OPT_KEEPALIVE: return get_keepalive(s, value);
    case GNP_OPT_MULTICAST_IF: return get_multicast_if(s, value);
    default: return get(s, o, value);
    }
}
