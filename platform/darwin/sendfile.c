/* SPDX-License-Identifier: MIT */
/*
 * sendfile(2) of macOS: the length goes in and out by one variable, 0 would be "to the end of the file";
 * EAGAIN and EINTR still tell what went, none of it without an error is the end of the file.  Sockets have
 * SO_NOSIGPIPE from the start, see socket.c.
 */
#include "../posix/posix.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

static uint64_t send_some(int to, int file, uint64_t offset, uint64_t n, int *e)
{
    off_t len = n < INT64_MAX ? (off_t)n : INT64_MAX;

    *e = sendfile(file, to, (off_t)offset, &len, NULL, 0) == 0 ? 0 : errno;
    return *e == 0 || *e == EAGAIN || *e == EINTR ? (uint64_t)len : 0;
}

int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    uint64_t some = 1;
    int e = 0;

    *sent = 0;
    while (*sent < n && (some > 0 || e == EINTR) && (e == 0 || e == EINTR)) {
        some = send_some((int)s->os, file, offset + *sent, n - *sent, &e);
        *sent += some;
    }
    if (*sent >= n) {
        s->state &= ~(uint32_t)PX_WRITE;
        return GNP_OK;
    }
    if ((e == EINVAL || e == ENOTSUP || e == EOPNOTSUPP || e == ENOTSOCK) && *sent == 0)
        return gnp_px_sendfile_copy(s, file, offset, n, sent);
    return gnp_px_sendfile_end(s, e == 0 ? GNP_EOF : gnp_px_send_fail(e), *sent > 0);
}
