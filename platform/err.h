/* SPDX-License-Identifier: MIT */
/*
 * Error codes of the platform layer.  The numbers are those of gn_error in
 * gannet.h (lib/error.c asserts it), so no table stands between the two.
 */
#ifndef GNP_ERR_H
#define GNP_ERR_H

enum {
    GNP_OK = 0,
    GNP_AGAIN = -1,
    GNP_EOF = -2,
    GNP_EINVAL = -3,
    GNP_ENOMEM = -4,
    GNP_ENOTSUP = -5,
    GNP_EADDR = -6,
    GNP_EADDRINUSE = -8,
    GNP_EADDRNOTAVAIL = -9,
    GNP_EACCES = -10,
    GNP_EMFILE = -11,
    GNP_ENFILE = -12,
    GNP_ENOBUFS = -13,
    GNP_ECONNREFUSED = -14,
    GNP_ECONNRESET = -15,
    GNP_ECONNABORTED = -16,
    GNP_EPIPE = -17,
    GNP_ETIMEDOUT = -18,
    GNP_ENETUNREACH = -19,
    GNP_EHOSTUNREACH = -20,
    GNP_EEXIST = -21,
    GNP_ENAMETOOLONG = -22,
    GNP_ENOENT = -23,
    GNP_EMSGSIZE = -27,
    GNP_EBUSY = -29,
    GNP_ENOTCONN = -30,
    GNP_EIO = -31,
    GNP_INFLIGHT = 1 /* not an error: a completion event will follow */
};

/* The system's own code of the last call of this layer that failed on this
 * thread (errno, WSAGetLastError), 0 if none did.  [any] */
int gnp_os_error(void);

#endif
