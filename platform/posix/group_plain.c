/* SPDX-License-Identifier: MIT */
/* Groups, and no trains: what any system with sockets gives. */
#include "dgram.h"
#include "sock_posix.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

int gnp_px_control_segment(struct msghdr *m, gnp_px_control_out *room, size_t segment)
{
    (void)m;
    (void)room;
    (void)segment;
    return GNP_ENOTSUP;
}

/* The interface by an address of it, as 4.4BSD did; those without one cannot be named. */
int gnp_px_os_group4(int fd, int join, const unsigned char group[4], unsigned interface_index)
{
    struct ip_mreq m;

    memset(&m, 0, sizeof(m));
    memcpy(&m.imr_multiaddr, group, 4);
    if (interface_index != 0 && gnp_px_interface_address(interface_index, &m.imr_interface) != GNP_OK) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    return setsockopt(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &m, sizeof(m));
}

int gnp_px_os_own_groups(int fd, int family)
{
#ifdef IP_MULTICAST_ALL
    int off = 0;

    if (family == GNP_FAMILY_IPV4)
        return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
#endif
    (void)fd;
    (void)family;
    return 0;
}
