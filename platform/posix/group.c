/* SPDX-License-Identifier: MIT */
/* Multicast groups. */
#include "dgram.h"
#include "posix.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

int gnp_px_is_group(const gnp_addr *a)
{
    if (a->family == GNP_FAMILY_IPV4)
        return a->u.ip[0] >= 224 && a->u.ip[0] <= 239; /* RFC 5771: 224.0.0.0/4 */
    return a->family == GNP_FAMILY_IPV6 && a->u.ip[0] == 0xff; /* RFC 4291 2.7 */
}

/* IPv6 has them in POSIX. */
static int group6(int fd, int join, const gnp_addr *group, unsigned interface_index)
{
    struct ipv6_mreq m;

    memcpy(&m.ipv6mr_multiaddr, group->u.ip, 16);
    m.ipv6mr_interface = interface_index != 0 ? interface_index : group->scope;
    return setsockopt(fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &m, sizeof(m));
}

/* Of an IPv4 group any datagram socket may be a member that can get its datagrams. */
static int member(const gnp_sock *s, int join, const gnp_addr *group, unsigned interface_index)
{
    int r;

    if (s->kind != GNP_DGRAM || !gnp_px_is_group(group) ||
        (group->family == GNP_FAMILY_IPV6 && s->family != GNP_FAMILY_IPV6))
        return gnp_px_fail(EINVAL);
    if (group->family == GNP_FAMILY_IPV6)
        r = group6((int)s->os, join, group, interface_index);
    else
        r = gnp_px_os_group4((int)s->os, join, group->u.ip, interface_index);
    if (r == 0 && join)
        r = gnp_px_os_own_groups((int)s->os, group->family);
    if (r == 0)
        return GNP_OK;
    return errno == ENODEV || errno == ENXIO ? (gnp_px_fail(errno), GNP_ENOENT) : gnp_px_fail(errno);
}

int gnp_sock_join(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    return member(s, 1, group, interface_index);
}

int gnp_sock_leave(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    return member(s, 0, group, interface_index);
}
