/* SPDX-License-Identifier: MIT */
#include "posix.h"

#include <errno.h>

static GNP_THREAD_LOCAL int last_error;

int gnp_os_error(void)
{
    return last_error;
}

static int code_of(int e)
{
    switch (e) {
    case EAGAIN: return GNP_AGAIN;
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK: return GNP_AGAIN;
#endif
    case EINVAL:
    case EBADF:
    case ENOTSOCK:
    case EISCONN:
    case EISDIR: /* what is no file with bytes at an offset */
    case ESPIPE:
    case EDESTADDRREQ: return GNP_EINVAL;
    case ENOMEM: return GNP_ENOMEM;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
#if ENOTSUP != EOPNOTSUPP /* macOS, NetBSD, OpenBSD */
    case ENOTSUP:
#endif
    case ENOSYS: return GNP_ENOTSUP;
    case EADDRINUSE: return GNP_EADDRINUSE;
    case EADDRNOTAVAIL: return GNP_EADDRNOTAVAIL;
    case EACCES:
    case EPERM:
    case EROFS: return GNP_EACCES;
    case EMFILE: return GNP_EMFILE;
    case ENFILE: return GNP_ENFILE;
    case ENOBUFS:
    case ETOOMANYREFS: /* descriptors on their way: as many as the process may open */
    case ENOSPC: return GNP_ENOBUFS; /* epoll_ctl: fs.epoll.max_user_watches is reached */
    case ECONNREFUSED: return GNP_ECONNREFUSED;
    case ECONNRESET: return GNP_ECONNRESET;
    case ECONNABORTED: return GNP_ECONNABORTED;
    case EPIPE: return GNP_EPIPE;
    case ETIMEDOUT: return GNP_ETIMEDOUT;
    case ENETUNREACH:
    case ENETDOWN: return GNP_ENETUNREACH;
#ifdef EHOSTDOWN /* the BSDs, of a neighbour that does not answer ARP */
    case EHOSTDOWN:
#endif
    case EHOSTUNREACH: return GNP_EHOSTUNREACH;
    case EEXIST: return GNP_EEXIST;
    case ENAMETOOLONG: return GNP_ENAMETOOLONG;
    case ENOENT:
    case ENODEV: /* no such interface */
    case ENOTDIR: return GNP_ENOENT;
    case EMSGSIZE: return GNP_EMSGSIZE;
    case EBUSY: return GNP_EBUSY;
    case ENOTCONN: return GNP_ENOTCONN;
    default: return GNP_EIO;
    }
}

int gnp_px_fail(int e)
{
    int code = code_of(e);

    if (code != GNP_AGAIN) /* the usual answer of a non-blocking socket is no failure */
        last_error = e;
    return code;
}
