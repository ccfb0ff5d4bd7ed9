/* SPDX-License-Identifier: MIT */
/* What POSIX has no words for about datagrams; dgram.c of the system, or dgram_plain.c
 * and group_plain.c. */
#ifndef GNP_POSIX_DGRAM_H
#define GNP_POSIX_DGRAM_H

#include "../poll.h"

#include <stdint.h>
#include <sys/socket.h>

/* Ancillary data of one datagram.  What may come: the packet info of one family and the size of a
 * segment, 64 bytes together on a 64-bit system; the rest is for options that others have set on a
 * socket which was imported. */
typedef union gnp_px_control {
    size_t align; /* as struct cmsghdr */
    unsigned char bytes[128];
} gnp_px_control;

/* And of one that is sent: an unsigned short at most. */
typedef union gnp_px_control_out {
    size_t align; /* as struct cmsghdr */
    unsigned char bytes[32];
} gnp_px_control_out;

/* Reads what came with a datagram into out; the address it was sent to goes to *local. */
void gnp_px_control_read(struct msghdr *m, gnp_dgram *out, gnp_addr *local);

/* Asks the system to cut m into datagrams of that size.  GNP_OK, or GNP_ENOTSUP. */
int gnp_px_control_segment(struct msghdr *m, gnp_px_control_out *room, size_t segment);

/* Joins (or leaves) an IPv4 group on an interface by its index, 0: the system's choice.  0, or -1 with
 * errno. */
int gnp_px_os_group4(int fd, int join, const unsigned char group[4], unsigned interface_index);

/* Makes a socket that has joined groups hear only those, where that is not so anyway.  0, or -1 with
 * errno. */
int gnp_px_os_own_groups(int fd, int family);

int gnp_px_is_group(const gnp_addr *a);

#endif
