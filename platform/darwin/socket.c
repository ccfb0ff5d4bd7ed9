/* SPDX-License-Identifier: MIT */
/*
 * Sockets of macOS: no accept4 and no SOCK_NONBLOCK; and no MSG_NOSIGNAL but in the latest, so that each
 * socket is told by SO_NOSIGPIPE.  Accepted ones have that from their listener too (xnu, sonewconn).  Where
 * both ways are shut an option cannot be set any more (EINVAL): such a TCP connection was reset, its peer has
 * no name, and it counts as aborted; but such a Unix stream has a peer that closed, perhaps behind data.
 */
#include "../posix/native.h"
#include "../posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int gnp_px_os_quiet(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
}

/* getsockopt(2) has no SO_ACCEPTCONN. */
int gnp_px_os_listens(int fd)
{
    struct socket_fdinfo i;

    return proc_pidfdinfo(getpid(), fd, PROC_PIDFDSOCKETINFO, &i, (int)sizeof(i)) == (int)sizeof(i) &&
           (i.psi.soi_options & SO_ACCEPTCONN) != 0;
}

/* poll(2) calls each end of reading a hang-up (xnu, poll_callback).  It is one when nobody is connected. */
int gnp_px_os_hung_up(int fd)
{
    gnp_native n;
    socklen_t len = sizeof(n);

    return getpeername(fd, &n.sa, &len) != 0;
}

static int is_quiet(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, &len) == 0 && on;
}

/* heir: it may have what it needs from its listener.  Between this and the call that made fd another thread
 * may fork and exec; nothing helps there. */
static int prepare(int fd, int heir)
{
    int e;

    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
        if (gnp_px_os_quiet(fd) == 0 || (heir && is_quiet(fd)))
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

    return fd >= 0 ? prepare(fd, 0) : -1;
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
    return prepare(fd, listener->family == GNP_FAMILY_UNIX);
}
