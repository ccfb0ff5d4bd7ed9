/* SPDX-License-Identifier: MIT */
/*
 * What state a stream socket is in.
 *
 * Does it listen?  POSIX has SO_ACCEPTCONN for that.  OpenBSD, and older versions of NetBSD and
 * DragonFly, know it in the header only (ENOPROTOOPT).  There it is what has an address, but no connection
 * and never had one: a socket that was bound and does not listen yet looks the same.
 */
#include "native.h"
#include "posix.h"

#include <errno.h>
#include <string.h>

static int is_bound(int fd)
{
    gnp_native n;
    socklen_t len = sizeof(n);
    gnp_addr a;

    memset(&n, 0, sizeof(n));
    if (getsockname(fd, &n.sa, &len) != 0)
        return 0;
    gnp_px_from_native(&n, (unsigned)len, &a);
    return a.family == GNP_FAMILY_UNIX ? a.len > 0 : a.port != 0;
}

/* Whose connection has ended reads its end, or an error. */
static int was_connected(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != ENOTCONN;
}

int gnp_px_os_listens(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0)
        return on != 0;
    return errno == ENOPROTOOPT && is_bound(fd) && !was_connected(fd);
}

int gnp_px_os_hung_up(int fd)
{
    (void)fd;
    return 1;
}
