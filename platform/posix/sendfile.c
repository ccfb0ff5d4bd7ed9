/* SPDX-License-Identifier: MIT */
/* A file to a socket by way of a buffer. */
#include "posix.h"

#include <errno.h>
#include <unistd.h>

/* On the stack, since the poller's buffer may be lent.  Larger ones are hardly faster. */
#define COPY 16384u

/* A file that ends or fails is no failure of the socket: nothing is owed. */
int gnp_px_sendfile_end(gnp_sock *s, int code, int some)
{
    if (code != GNP_AGAIN && !some)
        s->state &= ~(uint32_t)PX_WRITE;
    return gnp_px_send_cut(s, code, some);
}

int gnp_px_sendfile_copy(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    unsigned char buf[COPY];

    *sent = 0;
    while (*sent < n) { /* each turn sends at least one or ends */
        uint64_t left = n - *sent;
        gnp_iov v = { buf, 0 };
        size_t put;
        ssize_t got;
        int r;

        do {
            got = pread(file, buf, left < COPY ? (size_t)left : COPY, (off_t)(offset + *sent));
        } while (got < 0 && errno == EINTR);
        if (got <= 0) /* EAGAIN: a file that would have to be waited for is none */
            return gnp_px_sendfile_end(s, got == 0 ? GNP_EOF : gnp_px_fail(errno == EAGAIN ? EINVAL : errno),
                                       *sent > 0);
        v.len = (size_t)got;
        r = gnp_px_send(s, &v, 1, (uint64_t)got < left ? GNP_SEND_MORE : 0, &put);
        if (r != GNP_OK)
            return gnp_px_send_cut(s, r, *sent > 0);
        *sent += put;
        if (put < v.len)
            return GNP_OK;
    }
    return GNP_OK;
}
