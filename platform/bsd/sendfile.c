/* SPDX-License-Identifier: MIT */
/*
 * sendfile(2) of FreeBSD and DragonFly: -1 with EAGAIN or EINTR still tells what went, 0 bytes without an
 * error are the end of the file.  It has no MSG_NOSIGNAL; the socket is told once and for all instead.
 * Headers without SO_NOSIGPIPE leave the copy.
 */
#include "../posix/posix.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define AT_ONCE ((uint64_t)1 << 30) /* size_t may have 32 bits */

static int no_signal(int fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#else
    (void)fd;
    return -1;
#endif
}

/* How many bytes went, *e is why not more: 0, or errno. */
static uint64_t send_some(int to, int file, uint64_t offset, uint64_t n, int *e)
{
    off_t went = 0;

    *e = sendfile(file, to, (off_t)offset, n < AT_ONCE ? (size_t)n : (size_t)AT_ONCE, NULL, &went, 0) == 0
             ? 0 : errno;
    return (uint64_t)went;
}

int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    uint64_t some = 1;
    int e = 0;

    *sent = 0;
    if (no_signal((int)s->os) != 0)
        return gnp_px_sendfile_copy(s, file, offset, n, sent);
    while (*sent < n && (some > 0 || e == EINTR) && (e == 0 || e == EINTR)) {
        some = send_some((int)s->os, file, offset + *sent, n - *sent, &e);
        *sent += some;
    }
    if (*sent >= n) {
        s->state &= ~(uint32_t)PX_WRITE;
        return GNP_OK;
    }
    /* A kind of file or socket that it does not take. */
    if ((e == EINVAL || e == ENOTSOCK || e == EOPNOTSUPP || e == ENOSYS) && *sent == 0)
        return gnp_px_sendfile_copy(s, file, offset, n, sent);
    return gnp_px_sendfile_end(s, e == 0 ? GNP_EOF : gnp_px_send_fail(e), *sent > 0);
}
