/* SPDX-License-Identifier: MIT */
/*
 * gnp_sock_set and gnp_sock_get.  Most options are an integer to the system and a row of a table here;
 * the few that are not are spelled out.
 */
#include "native.h"
#include "posix.h"
#include "sock_posix.h"
#include "../sockopt.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>

#define LINGER_MAX 32767 /* l_linger is 16 bits wide on some systems */

/* macOS takes hundredths of a second for SO_LINGER, and keeps in 16 bits what it makes of seconds for
 * SO_LINGER_SEC (xnu, uipc_socket.c). */
#ifdef SO_LINGER_SEC
#  define LINGER SO_LINGER_SEC
#  define LINGER_KEPT (LINGER_MAX / 100)
#else
#  define LINGER SO_LINGER
#  define LINGER_KEPT LINGER_MAX
#endif

/* RFC 1122 4.2.3.6: what a keep-alive waits at least where the system does not tell. */
#define KEEPALIVE_DEFAULT 7200

/* Those of IPv4 are in no POSIX, but in every system since 4.3BSD; IPV6_TCLASS is of RFC 3542. */
static const gnp_px_opt common[] = {
    { GNP_OPT_NODELAY, PX_TCP, 0, 1, IPPROTO_TCP, TCP_NODELAY, 0, 0 },
    { GNP_OPT_RECV_BUFFER, PX_ANY | PX_UNIX | PX_CUT, 1, INT32_MAX, SOL_SOCKET, SO_RCVBUF, 0, 0 },
    { GNP_OPT_SEND_BUFFER, PX_ANY | PX_UNIX | PX_CUT, 1, INT32_MAX, SOL_SOCKET, SO_SNDBUF, 0, 0 },
    { GNP_OPT_TOS, PX_ANY, 0, 255, IPPROTO_IP, IP_TOS, IPPROTO_IPV6, IPV6_TCLASS },
    { GNP_OPT_TTL, PX_ANY, 1, 255, IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS },
    { GNP_OPT_BROADCAST, PX_UDP, 0, 1, SOL_SOCKET, SO_BROADCAST, 0, 0 },
    { GNP_OPT_MULTICAST_TTL, PX_UDP | PX_BYTE, 0, 255, IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6,
      IPV6_MULTICAST_HOPS },
    { GNP_OPT_MULTICAST_LOOP, PX_UDP | PX_BYTE, 0, 1, IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6,
      IPV6_MULTICAST_LOOP },
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

/* A buffer larger than it allows Linux cuts, and the BSDs refuse (kern.ipc.maxsockbuf, kern.sbmax): found by
 * halves. */
static int put_four(const gnp_sock *s, const gnp_px_opt *o, uint32_t bits)
{
    unsigned char byte = (unsigned char)bits;
    int r;

    if (o->on & PX_BYTE)
        return setsockopt((int)s->os, o->level, o->name, &byte, sizeof(byte));
    do {
        r = setsockopt((int)s->os, o->level, o->name, &bits, sizeof(bits));
    } while (r != 0 && errno == ENOBUFS && (o->on & PX_CUT) && (bits /= 2) > 0);
    return r;
}

static int put(const gnp_sock *s, const gnp_px_opt *o, int64_t value)
{
    uint32_t bits;

    if (value > o->max && (o->on & PX_CUT))
        value = o->max;
    if (value < o->min || value > o->max)
        return gnp_px_fail(EINVAL);
    bits = (uint32_t)value;
    if (is_six(s, o)) {
        if (setsockopt((int)s->os, o->level6, o->name6, &bits, sizeof(bits)) != 0)
            return gnp_px_fail(errno);
        put_four(s, o, bits); /* refused by systems that map no addresses */
        return GNP_OK;
    }
    return put_four(s, o, bits) == 0 ? GNP_OK : gnp_px_fail(errno);
}

static int get(const gnp_sock *s, const gnp_px_opt *o, int64_t *value)
{
    int six = is_six(s, o);
    uint32_t bits = 0;
    unsigned char byte;
    socklen_t len = sizeof(bits);

    if (getsockopt((int)s->os, six ? o->level6 : o->level, six ? o->name6 : o->name, &bits, &len) != 0)
        return gnp_px_fail(errno);
    if (len == sizeof(byte)) { /* as the BSDs answer for PX_BYTE */
        memcpy(&byte, &bits, sizeof(byte));
        bits = byte;
    }
    if (o->max == 1) /* on or off: the BSDs give the bit that they keep */
        bits = bits != 0;
    *value = o->max > INT32_MAX ? (int64_t)bits : (int64_t)(int32_t)bits;
    return GNP_OK;
}

/* ------------------------------------------------- not just an integer */

static int set_linger(const gnp_sock *s, int64_t value)
{
    struct linger l;

    if (value < -1 || value > LINGER_MAX)
        return gnp_px_fail(EINVAL);
    l.l_onoff = value >= 0;
    l.l_linger = value < 0 ? 0 : value < LINGER_KEPT ? (int)value : LINGER_KEPT;
    if (setsockopt((int)s->os, SOL_SOCKET, LINGER, &l, sizeof(l)) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}

static int get_linger(const gnp_sock *s, int64_t *value)
{
    struct linger l;
    socklen_t len = sizeof(l);

    if (getsockopt((int)s->os, SOL_SOCKET, LINGER, &l, &len) != 0)
        return gnp_px_fail(errno);
    *value = l.l_onoff ? l.l_linger : -1;
    return GNP_OK;
}

/* One option of ours, two of the system: on or off, which all have, and the time. */
static int set_keepalive(gnp_sock *s, int64_t value)
{
    const gnp_px_opt *idle = row_of(gnp_px_os_opts, GNP_OPT_KEEPALIVE);
    int on = value != 0, r;

    if (value < 0 || value > INT32_MAX)
        return gnp_px_fail(EINVAL);
    if (on && idle != NULL && (r = put(s, idle, value)) != GNP_OK)
        return r;
    if (setsockopt((int)s->os, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0)
        return gnp_px_fail(errno);
    if (gnp_px_keepalive_lost && s->kind == GNP_LISTENER)
        s->state = (s->state & ~(uint32_t)PX_TIMES) | (on ? PX_TIMES : 0);
    return GNP_OK;
}

void gnp_px_keepalive_copy(const gnp_sock *listener, const gnp_sock *s)
{
    static const int times[] = { GNP_OPT_KEEPALIVE, GNP_OPT_KEEPALIVE_INTVL, GNP_OPT_KEEPALIVE_COUNT };
    int64_t wanted, has;
    size_t i;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const gnp_px_opt *o = row_of(gnp_px_os_opts, times[i]);
        if (o != NULL && get(listener, o, &wanted) == GNP_OK && get(s, o, &has) == GNP_OK && wanted != has)
            (void)put(s, o, wanted); /* refused if it was reset already */
    }
}

static int get_keepalive(const gnp_sock *s, int64_t *value)
{
    const gnp_px_opt *idle = row_of(gnp_px_os_opts, GNP_OPT_KEEPALIVE);
    int on = 0;
    socklen_t len = sizeof(on);

    if (getsockopt((int)s->os, SOL_SOCKET, SO_KEEPALIVE, &on, &len) != 0)
        return gnp_px_fail(errno);
    if (on && idle != NULL)
        return get(s, idle, value);
    *value = on ? KEEPALIVE_DEFAULT : 0;
    return GNP_OK;
}

/* IPv4 knows the interface by its address, IPv6 by its index. */
static int set_multicast_if(const gnp_sock *s, int64_t value)
{
    char name[IF_NAMESIZE];
    unsigned index = (unsigned)value;
    struct in_addr a = { INADDR_ANY };
    int r;

    if (value < 0 || value > INT32_MAX || (index != 0 && if_indextoname(index, name) == NULL))
        return gnp_px_fail(EINVAL);
    if (s->family == GNP_FAMILY_IPV6)
        r = setsockopt((int)s->os, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
    else if (index == 0 || gnp_px_interface_address(index, &a) == GNP_OK)
        r = setsockopt((int)s->os, IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof(a));
    else
        return gnp_px_fail(EINVAL);
    return r == 0 ? GNP_OK : gnp_px_fail(errno);
}

static int get_multicast_if(const gnp_sock *s, int64_t *value)
{
    unsigned index = 0;
    struct in_addr a;
    socklen_t len = s->family == GNP_FAMILY_IPV6 ? sizeof(index) : sizeof(a);
    int r;

    if (s->family == GNP_FAMILY_IPV6)
        r = getsockopt((int)s->os, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, &len);
    else if ((r = getsockopt((int)s->os, IPPROTO_IP, IP_MULTICAST_IF, &a, &len)) == 0)
        index = a.s_addr == htonl(INADDR_ANY) ? 0 : gnp_px_interface_of(a);
    *value = index;
    return r == 0 ? GNP_OK : gnp_px_fail(errno);
}

/* The system always lets descriptors through; only a receive that asks for them gets them. */
static int set_descriptors(gnp_sock *s, int64_t value)
{
    if (value != 0 && value != 1)
        return gnp_px_fail(EINVAL);
    s->state = (s->state & ~(uint32_t)PX_DESCRIPTORS) | (value ? PX_DESCRIPTORS : 0);
    return GNP_OK;
}

static unsigned special(int opt)
{
    switch (opt) {
    case GNP_OPT_LINGER: return PX_TCP | PX_UNIX;
    case GNP_OPT_KEEPALIVE: return PX_TCP;
    case GNP_OPT_MULTICAST_IF: return PX_UDP;
    case GNP_OPT_PASS_DESCRIPTORS: return PX_STREAM | PX_LISTENER | PX_UNIX;
    default: return 0;
    }
}

int gnp_sock_set(gnp_sock *s, int opt, int64_t value)
{
    unsigned on = special(opt);
    const gnp_px_opt *o = on == 0 ? find(s, opt) : NULL;
    int r;

    if (on != 0 ? !fits(s, on) : o == NULL || (o->on & PX_READ_ONLY))
        return gnp_px_fail(ENOPROTOOPT);
    switch (opt) {
    case GNP_OPT_LINGER: return set_linger(s, value);
    case GNP_OPT_KEEPALIVE: return set_keepalive(s, value);
    case GNP_OPT_MULTICAST_IF: return set_multicast_if(s, value);
    case GNP_OPT_PASS_DESCRIPTORS: return set_descriptors(s, value);
    default: break;
    }
    r = put(s, o, value);
    if (r == GNP_OK && opt == GNP_OPT_NODELAY) /* see accept_plain.c */
        s->state = (s->state & ~(uint32_t)PX_NODELAY) | (value ? PX_NODELAY : 0);
    return r;
}

int gnp_sock_get(const gnp_sock *s, int opt, int64_t *value)
{
    unsigned on = special(opt);
    const gnp_px_opt *o = on == 0 ? find(s, opt) : NULL;

    if (on != 0 ? !fits(s, on) : o == NULL)
        return gnp_px_fail(ENOPROTOOPT);
    switch (opt) {
    case GNP_OPT_LINGER: return get_linger(s, value);
    case GNP_OPT_KEEPALIVE: return get_keepalive(s, value);
    case GNP_OPT_MULTICAST_IF: return get_multicast_if(s, value);
    case GNP_OPT_PASS_DESCRIPTORS: *value = (s->state & PX_DESCRIPTORS) != 0; return GNP_OK;
    default: return get(s, o, value);
    }
}
