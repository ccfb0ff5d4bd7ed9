/* SPDX-License-Identifier: MIT */
/* Descriptors over Unix streams.  Those of one receive wait in the poller, since only one span is lent. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 64: credentials, which come along if somebody has asked for them before we got the socket. */
#define CONTROL (CMSG_SPACE(PX_RIGHTS * sizeof(int)) + 64)

void gnp_px_rights_drop(gnp_px *p)
{
    while (p->rights_next < p->rights_n)
        close(p->rights[p->rights_next++]);
    p->rights_n = p->rights_next = 0;
    p->rights_lost = 0;
    p->rights_of = NULL;
}

static void keep(gnp_px *p, int fd)
{
    if (gnp_px_msg_cloexec == 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (p->rights_n < PX_RIGHTS)
        p->rights[p->rights_n++] = fd;
    else
        close(fd);
}

/* OpenBSD's CMSG_NXTHDR casts what it has aligned. */
#pragma GCC diagnostic ignored "-Wcast-align"

/* Takes everything that is in m, also when not all had room. */
static void collect(gnp_px *p, struct msghdr *m)
{
    struct cmsghdr *c;
    size_t i, n;
    int fd;

    for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
        for (i = 0; i < n; i++) {
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            keep(p, fd);
        }
    }
}

/* The BSDs fail a receive whose descriptors find no place, and have discarded them; the bytes are still there
 * (EMSGSIZE of NetBSD's and OpenBSD's unp_externalize, of others' too). */
static int lost(gnp_px *p, int e)
{
    if (e != EMSGSIZE && e != EMFILE)
        return 0;
    p->rights_lost = 1;
    return 1;
}

int gnp_px_recv_rights(gnp_px *p, gnp_sock *s, const void **data, size_t *n)
{
    union { struct cmsghdr align; unsigned char room[CONTROL]; } control;
    struct iovec v = { p->scratch, p->scratch_size };
    struct msghdr m;
    ssize_t r;
    int e;

    gnp_px_rights_drop(p);
    memset(&m, 0, sizeof(m));
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    do {
        m.msg_control = control.room;
        m.msg_controllen = sizeof(control.room);
        r = recvmsg((int)s->os, &m, gnp_px_msg_cloexec);
    } while (r < 0 && (errno == EINTR || lost(p, errno))); /* each loss takes a message out of the queue */
    e = errno;
    if (r >= 0) {
        collect(p, &m);
        p->rights_lost |= (m.msg_flags & MSG_CTRUNC) != 0;
    }
    if (p->rights_n > 0 || p->rights_lost) {
        p->rights_of = s;
        s->state |= PX_PROBE; /* a read stops behind bytes that came with descriptors */
    }
    errno = e;
    return gnp_px_received(p, s, r, data, n);
}

int gnp_px_recv_descriptor(gnp_poller *base, gnp_sock *s, intptr_t *out)
{
    gnp_px *p = (gnp_px *)(void *)base;

    *out = -1;
    if (p->rights_of != s)
        return GNP_AGAIN;
    if (p->rights_next < p->rights_n) {
        *out = p->rights[p->rights_next++];
        return GNP_OK;
    }
    if (!p->rights_lost)
        return GNP_AGAIN;
    p->rights_lost = 0;
    return gnp_px_fail(EMFILE);
}

int gnp_px_send_descriptor(gnp_sock *s, int os, const void *data, size_t n, size_t *sent)
{
    union { struct cmsghdr align; unsigned char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec v = { (void *)(uintptr_t)data, n };
    struct msghdr m;
    struct cmsghdr *c;
    ssize_t r;

    *sent = 0;
    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return gnp_px_fail(EOPNOTSUPP);
    memset(&m, 0, sizeof(m));
    memset(&control, 0, sizeof(control));
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = control.room;
    m.msg_controllen = sizeof(control.room);
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &os, sizeof(os));
    do {
        r = sendmsg((int)s->os, &m, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        /* EMSGSIZE: NetBSD and macOS take what the peer has not read off the size of the buffer, and then a
         * full one is too small for the descriptor. */
        int code = gnp_px_send_fail(errno == EMSGSIZE ? EAGAIN : errno);
        if (code == GNP_AGAIN)
            s->state |= PX_WRITE;
        return code;
    }
    *sent = (size_t)r;
    if (*sent < n)
        s->state |= PX_WRITE;
    else
        s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}
