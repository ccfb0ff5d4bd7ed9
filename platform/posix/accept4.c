/* SPDX-License-Identifier: MIT */
/* Sockets that are non-blocking and closed on exec from the start: Linux and the BSDs. */
#include "posix.h"

#include <sys/socket.h>

int gnp_px_os_socket(int domain, int type)
{
    return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* These systems hand TCP_NODELAY and SO_KEEPALIVE on from the listener. */
int gnp_px_os_accept(gnp_sock *listener, struct sockaddr *sa, unsigned *len)
{
    socklen_t n = sa != NULL ? (socklen_t)*len : 0;
    int fd = accept4((int)listener->os, sa, sa != NULL ? &n : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (sa != NULL)
        *len = (unsigned)n;
    return fd;
}

_Static_assert(MSG_NOSIGNAL != 0, "a send need not raise SIGPIPE");

int gnp_px_os_quiet(int fd)
{
    (void)fd;
    return 0; /* MSG_NOSIGNAL does it */
}
