/* SPDX-License-Identifier: MIT */
/* FreeBSD since 12: SO_REUSEPORT as ever gives all to one of the sockets, SO_REUSEPORT_LB shares connections
 * and datagrams by a hash, among at most 256 sockets. */
#include "../posix/posix.h"

#include <sys/socket.h>

const int gnp_px_group_at_bind = 1; /* in_pcbinshash */

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT_LB, &on, sizeof(on));
}

/* A socket of both families is in no group (in_pcbinslbgrouphash). */
int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    return !both;
}
