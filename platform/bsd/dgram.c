/* SPDX-License-Identifier: MIT */
/* The address that a datagram was sent to; how the option for it is called is in sockopt.c. */
#define __APPLE_USE_RFC_3542 1 /* as there */

#include "../posix/dgram.h"
#include "../posix/native.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(16) <= sizeof(gnp_px_control),
               "what is asked for has room");

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

static void read_four(const struct cmsghdr *c, gnp_dgram *out, gnp_addr *local)
{
    const unsigned char *data = (const unsigned char *)CMSG_DATA(c);

#ifdef IP_RECVPKTINFO
    if (c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo i;
        memcpy(&i, data, sizeof(i));
        local_set(out, local, GNP_FAMILY_IPV4, &i.ipi_addr, 4, (unsigned)i.ipi_ifindex);
    }
#else
    if (c->cmsg_type == IP_RECVDSTADDR)
        local_set(out, local, GNP_FAMILY_IPV4, data, 4, 0); /* the interface is not told */
#endif
}

/* OpenBSD's CMSG_NXTHDR casts what it has aligned. */
#pragma GCC diagnostic ignored "-Wcast-align"

void gnp_px_control_read(struct msghdr *m, gnp_dgram *out, gnp_addr *local)
{
    struct cmsghdr *c;

    for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP) {
            read_four(c, out, local);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo i;
            memcpy(&i, CMSG_DATA(c), sizeof(i));
            local_set(out, local, GNP_FAMILY_IPV6, &i.ipi6_addr, 16, i.ipi6_ifindex);
        }
    }
}
