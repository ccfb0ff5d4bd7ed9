/* SPDX-License-Identifier: MIT */
/*
 * Sockets of macOS: no accept4 and no SOCK_NONBLOCK; and no MSG_NOSIGNAL but in the latest, so that each
 * socket is told by SO_NOSIGPIPE.  One that was reset before it was accepted cannot be told any more (EINVAL)
 * and would raise the signal: it counts as aborted.
 */
#include "../posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int gnp_px_os_quiet(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
}

/* Between this and the call that made fd another thread may fork and exec; nothing helps there. */
static int prepare(int fd)
{
    int e;

    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
        if (gnp_px_os_quiet(fd) == 0)
            return fd;
        errno = errno == EINVAL ? ECONNABORTED : errno;
    }
    e = errno;
    close(fd);
    errno = e;
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
    if (listener->state & PX_NODELAY)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return prepare(fd);
}
