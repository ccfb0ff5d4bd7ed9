/* SPDX-License-Identifier: MIT */
/* Multicast groups.  A socket gets those that it has joined only: Windows never did otherwise. */
#include "win32.h"

#include <iphlpapi.h>
#include <string.h>

int gnp_px_is_group(const gnp_addr *a)
{
    if (a->family == GNP_FAMILY_IPV4)
        return a->u.ip[0] >= 224 && a->u.ip[0] <= 239; /* RFC 5771: 224.0.0.0/4 */
    return a->family == GNP_FAMILY_IPV6 && a->u.ip[0] == 0xff; /* RFC 4291 2.7 */
}

static int group6(SOCKET s, int join, const gnp_addr *group, unsigned interface_index)
{
    int what = join ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP;
    struct ipv6_mreq m;

    memcpy(&m.ipv6mr_multiaddr, group->u.ip, 16);
    m.ipv6mr_interface = interface_index != 0 ? interface_index : group->scope;
    return setsockopt(s, IPPROTO_IPV6, what, (const char *)&m, sizeof(m));
}

/* The interface by an address of it, 0 for the system's choice. */
static int group4(SOCKET s, int join, const gnp_addr *group, struct in_addr via)
{
    int what = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
    struct ip_mreq m;

    memcpy(&m.imr_multiaddr, group->u.ip, 4);
    m.imr_interface = via;
    return setsockopt(s, IPPROTO_IP, what, (const char *)&m, sizeof(m));
}

/* Windows says WSAEINVAL for a second join; no such group to leave is WSAEADDRNOTAVAIL or, too, WSAEINVAL. */
static int failed(int join)
{
    int e = WSAGetLastError();

    if (e == WSAEINVAL || e == WSAENOTSOCK)
        e = join ? WSAEADDRINUSE : WSAEADDRNOTAVAIL;
    return gnp_px_fail(e);
}

static int member(const gnp_sock *s, int join, const gnp_addr *group, unsigned interface_index)
{
    SOCKET os = gnp_wx_socket(s);
    struct in_addr via = { .s_addr = INADDR_ANY };
    char name[NDIS_IF_MAX_STRING_SIZE + 1];
    int r;

    if (s->kind != GNP_DGRAM || !gnp_px_is_group(group) ||
        (group->family == GNP_FAMILY_IPV6 && s->family != GNP_FAMILY_IPV6))
        return gnp_px_fail(WSAEINVAL);
    if (interface_index != 0 && if_indextoname(interface_index, name) == NULL) {
        gnp_px_fail(ERROR_FILE_NOT_FOUND);
        return GNP_ENOENT;
    }
    if (group->family == GNP_FAMILY_IPV6) {
        r = group6(os, join, group, interface_index);
    } else {
        if (interface_index != 0 && (r = gnp_px_interface_address(interface_index, &via)) != GNP_OK)
            return r;
        r = group4(os, join, group, via);
    }
    return r == 0 ? GNP_OK : failed(join);
}

int gnp_sock_join(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    return member(s, 1, group, interface_index);
}

int gnp_sock_leave(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    return member(s, 0, group, interface_index);
}
