/* SPDX-License-Identifier: MIT */
/* FreeBSD since 12: SO_REUSEPORT as ever gives all to one of the sockets, SO_REUSEPORT_LB shares connections
 * and datagrams by a hash, among at most 256 sockets. */
#include "../posix/posix.h"

#include <sys/socket.h>

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT_LB, &on, sizeof(on));
}

int gnp_reuseport_balances(int kind)
{
    (void)kind;
    return 1;
}
