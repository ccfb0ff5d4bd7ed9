/* SPDX-License-Identifier: MIT */
/* NetBSD, OpenBSD, macOS: several sockets may have one port, but one of them gets all that comes. */
#include "../posix/posix.h"

#include <sys/socket.h>

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

int gnp_reuseport_balances(int kind)
{
    (void)kind;
    return 0;
}
