/* SPDX-License-Identifier: MIT */
/* Sockets of systems without accept4 and SOCK_NONBLOCK. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Between this and the call that made fd another thread may fork and exec; nothing helps there. */
static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return fd;
    flags = errno;
    close(fd);
    errno = flags;
    return -1;
}

int gnp_px_os_socket(int domain, int type)
{
    int fd = socket(domain, type, 0);

    return fd >= 0 ? prepare(fd) : -1;
}

int gnp_px_os_accept(gnp_sock *listener, struct sockaddr *sa, unsigned *len)
{
    socklen_t n = sa != NULL ? (socklen_t)*len : 0;
    int fd = accept((int)listener->os, sa, sa != NULL ? &n : NULL);
    int on = 1;

    if (sa != NULL)
        *len = (unsigned)n;
    if (fd < 0)
        return -1;
    /* Not every system hands the option on; that it fails on a connection already reset is no harm. */
    if (listener->state & PX_NODELAY)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return prepare(fd);
}

_Static_assert(MSG_NOSIGNAL != 0, "a send need not raise SIGPIPE");

int gnp_px_os_quiet(int fd)
{
    (void)fd;
    return 0; /* MSG_NOSIGNAL does it */
}
