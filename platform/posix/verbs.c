/* SPDX-License-Identifier: MIT */
/* The verbs of poll.h on plain non-blocking descriptors. */
#include "native.h"
#include "posix.h"
#include "sock_posix.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* gnp_iov arrays go to the kernel as they are. */
_Static_assert(sizeof(gnp_iov) == sizeof(struct iovec), "gnp_iov is an iovec");
_Static_assert(offsetof(gnp_iov, base) == offsetof(struct iovec, iov_base), "gnp_iov is an iovec");
_Static_assert(offsetof(gnp_iov, len) == offsetof(struct iovec, iov_len), "gnp_iov is an iovec");

#define IOV_BATCH 1024u /* IOV_MAX of Linux, macOS and the BSDs */

/* Linux cuts a call at 2 GiB less a page, which would look like a full socket. */
#define BYTES_BATCH ((size_t)1 << 30)

int gnp_px_received(gnp_px *p, gnp_sock *s, ssize_t r, const void **data, size_t *n)
{
    if (r > 0) {
        *data = p->scratch;
        *n = (size_t)r;
        return GNP_OK;
    }
    if (r == 0) {
        s->state |= PX_EOF;
        return GNP_EOF;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOMEM && errno != ENOBUFS)
        s->state |= PX_EOF; /* broken for good: the kernel would go on to report it */
    return gnp_px_fail(errno);
}

int gnp_px_recv(gnp_px *p, gnp_sock *s, const void **data, size_t *n)
{
    ssize_t r;

    if (s->state & PX_DESCRIPTORS)
        return gnp_px_recv_rights(p, s, data, n);
    do {
        r = recv((int)s->os, p->scratch, p->scratch_size, 0);
    } while (r < 0 && errno == EINTR);
    return gnp_px_received(p, s, r, data, n);
}

int gnp_px_send_fail(int e)
{
    return gnp_px_fail(e == ENOTCONN || e == EPROTOTYPE ? EPIPE : e);
}

/* One system call.  Bytes sent, or -1. */
static ssize_t send_batch(int fd, const gnp_iov *iov, unsigned count, int flags)
{
    struct msghdr m;
    ssize_t r;

    if (count == 1) {
        do {
            r = send(fd, iov->base, iov->len, flags);
        } while (r < 0 && errno == EINTR);
        return r;
    }
    memset(&m, 0, sizeof(m));
    m.msg_iov = (struct iovec *)(uintptr_t)iov;
    m.msg_iovlen = count;
    do {
        r = sendmsg(fd, &m, flags);
    } while (r < 0 && errno == EINTR);
    return r;
}

/* How many of the spans go into one call; *bytes is their sum. */
static unsigned cut(const gnp_iov *iov, unsigned count, size_t *bytes)
{
    unsigned i = 1;

    *bytes = iov[0].len;
    while (i < count && i < IOV_BATCH && *bytes + iov[i].len <= BYTES_BATCH)
        *bytes += iov[i++].len;
    return i;
}

int gnp_px_send_cut(gnp_sock *s, int code, int some)
{
    if (code != GNP_AGAIN && !some)
        return code;
    /* What has left is told first; another failure comes up again at once, by no edge. */
    s->state |= code == GNP_AGAIN ? PX_WRITE : PX_WRITE | PX_CAN_WRITE;
    return some ? GNP_OK : GNP_AGAIN;
}

/* Goes on past the limit of one call by itself: room that is left behind would never be
 * reported by an edge. */
int gnp_px_send(gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent)
{
    int last = MSG_NOSIGNAL | (flags & GNP_SEND_MORE ? gnp_px_msg_more : 0);

    *sent = 0;
    do {
        size_t bytes;
        unsigned n = cut(iov, count, &bytes);
        ssize_t r = send_batch((int)s->os, iov, n, n < count ? MSG_NOSIGNAL | gnp_px_msg_more : last);
        if (r < 0)
            return gnp_px_send_cut(s, gnp_px_send_fail(errno), *sent > 0);
        *sent += (size_t)r;
        if ((size_t)r < bytes) {
            s->state |= PX_WRITE;
            return GNP_OK;
        }
        iov += n;
        count -= n;
    } while (count > 0);
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}

/* accept(2) of Linux gives errors that wait on the new socket; they are that one's end only. */
static int accept_code(int e)
{
    switch (e) {
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
#ifdef EHOSTDOWN
    case EHOSTDOWN:
#endif
    case EHOSTUNREACH:
    case ETIMEDOUT:
    case ECONNRESET: return gnp_px_fail(ECONNABORTED);
    default: return gnp_px_fail(e);
    }
}

int gnp_px_accept(gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    gnp_native native;
    unsigned len = sizeof(native);
    int fd;

    do {
        fd = gnp_px_os_accept(listener, peer != NULL ? &native.sa : NULL, &len);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return accept_code(errno);
    memset(out, 0, sizeof(*out));
    out->os = fd;
    out->kind = GNP_STREAM;
    out->family = listener->family;
    out->state = listener->state & PX_DESCRIPTORS;
    if (listener->state & PX_TIMES)
        gnp_px_keepalive_copy(listener, out);
    if (peer != NULL)
        gnp_px_from_native(&native, len, peer);
    return GNP_OK;
}

int gnp_px_connect(gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local, const gnp_sock_opts *o)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(to, to->family, &native);
    int r;

    s->os = -1;
    if (len == 0)
        return gnp_px_no_native(to);
    r = gnp_px_socket(s, to->family, kind, o);
    if (r != GNP_OK)
        return r;
    if (local != NULL && local->port == 0 && local->family != GNP_FAMILY_UNIX && kind == GNP_STREAM)
        gnp_px_os_bind_late((int)s->os);
    if (local != NULL && (r = gnp_px_bind(s, local)) != GNP_OK) {
        gnp_px_close_fd(s, 0);
        return r;
    }
    gnp_px_adopt(s, 0);
    /* EINTR: the connect goes on, as POSIX says. */
    if (connect((int)s->os, &native.sa, len) == 0)
        return GNP_OK;
    if (errno == EINPROGRESS || errno == EINTR) {
        s->state |= PX_WRITE | PX_CONNECT;
        return GNP_INFLIGHT;
    }
    r = gnp_px_fail(errno); /* Unix sockets, EAGAIN: their queue is full, and nothing goes on */
    gnp_px_close_fd(s, 0);
    return r;
}

int gnp_px_connect_end(gnp_sock *s)
{
    int e = 0;
    socklen_t len = sizeof(e);

    if (s->state & PX_CONNECT)
        return GNP_AGAIN;
    if (getsockopt((int)s->os, SOL_SOCKET, SO_ERROR, &e, &len) != 0)
        e = errno;
    if (e != 0)
        return gnp_px_fail(e);
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}

int gnp_px_shutdown(gnp_poller *p, gnp_sock *s)
{
    (void)p;
    if (shutdown((int)s->os, SHUT_WR) == 0)
        return GNP_OK;
    /* After a reset NetBSD and OpenBSD have nothing left to shut down (EINVAL), others tell of it here. */
    return gnp_px_fail(errno == EINVAL || errno == ECONNRESET ? ENOTCONN : errno);
}

void gnp_px_wake_close(int rd, int wr)
{
    close(rd);
    if (wr != rd)
        close(wr);
}
