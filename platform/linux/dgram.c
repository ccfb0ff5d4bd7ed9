/* SPDX-License-Identifier: MIT */
/* Packet info, trains of datagrams (UDP GSO since Linux 4.18, GRO since 5.0) and groups by interface. */
#include "../posix/dgram.h"
#include "../atomic.h"
#include "../posix/native.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) <= sizeof(gnp_px_control),
               "what is asked for has room");
_Static_assert(CMSG_SPACE(sizeof(uint16_t)) <= sizeof(gnp_px_control_out), "a segment's size has room");

/* An IPv6 socket may tell of an IPv4 datagram twice, first as a mapped one, as its peer is told. */
static void local_set(gnp_dgram *out, gnp_addr *local, int family, const void *ip, size_t n, int index)
{
    if (out->local != NULL)
        return;
    memset(local, 0, offsetof(gnp_addr, u) + sizeof(local->u.ip));
    local->family = (uint8_t)family;
    memcpy(local->u.ip, ip, n);
    out->local = local;
    out->interface_index = (unsigned)index;
}

void gnp_px_control_read(struct msghdr *m, gnp_dgram *out, gnp_addr *local)
{
    struct cmsghdr *c;

    for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            out->segment = size > 0 ? (size_t)size : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo i;
            memcpy(&i, CMSG_DATA(c), sizeof(i));
            local_set(out, local, GNP_FAMILY_IPV4, &i.ipi_addr, 4, i.ipi_ifindex);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo i;
            memcpy(&i, CMSG_DATA(c), sizeof(i));
            local_set(out, local, GNP_FAMILY_IPV6, &i.ipi6_addr, 16, (int)i.ipi6_ifindex);
        }
    }
}

/* A kernel that does not know the message ignores it, and would send one big datagram. */
static int segments_known(void)
{
    static gnp_atomic32 known; /* 0: not asked yet, 1: no, 2: yes */
    uint32_t k = gnp_load32(&known);
    int fd, v;
    socklen_t len = sizeof(v);

    if (k != 0)
        return k == 2;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0; /* of no descriptors: ask again another time */
    k = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &v, &len) == 0 ? 2 : 1;
    close(fd);
    gnp_store32(&known, k);
    return k == 2;
}

int gnp_px_control_segment(struct msghdr *m, gnp_px_control_out *room, size_t segment)
{
    uint16_t size = (uint16_t)segment;
    struct cmsghdr *c;

    if (segment > UINT16_MAX || !segments_known())
        return GNP_ENOTSUP;
    m->msg_control = room;
    m->msg_controllen = CMSG_SPACE(sizeof(size));
    memset(room, 0, CMSG_SPACE(sizeof(size)));
    c = CMSG_FIRSTHDR(m);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
    return GNP_OK;
}

int gnp_px_os_group4(int fd, int join, const unsigned char group[4], unsigned interface_index)
{
    struct ip_mreqn m;

    memset(&m, 0, sizeof(m));
    memcpy(&m.imr_multiaddr, group, 4);
    m.imr_ifindex = (int)interface_index;
    return setsockopt(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &m, sizeof(m));
}

#ifndef IPV6_MULTICAST_ALL
#  define IPV6_MULTICAST_ALL 29 /* since Linux 4.20; older ones say ENOPROTOOPT, and nothing can be done */
#endif

/* Without this a socket for every address also gets what others of this host have joined (ip(7)). */
int gnp_px_os_own_groups(int fd, int family)
{
    int off = 0;

    if (family == GNP_FAMILY_IPV4)
        return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
    return 0;
}
