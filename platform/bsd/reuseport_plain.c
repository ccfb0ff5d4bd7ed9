/* SPDX-License-Identifier: MIT */
/* NetBSD, OpenBSD, macOS: several sockets may have one port, but one of them gets all that comes. */
#include "../posix/posix.h"

#include <sys/socket.h>

const int gnp_px_group_at_bind = 0;

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    (void)both;
    return 0;
}
