/* SPDX-License-Identifier: MIT */
/* gnp_addr and the system's socket addresses. */
#ifndef GNP_POSIX_NATIVE_H
#define GNP_POSIX_NATIVE_H

#include "../addr.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

/* Smaller than sockaddr_storage, which matters where batches of them are kept. */
typedef union gnp_native {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} gnp_native;

/* Length of the native form, or 0 if a has a family that is not known or a path that is too
 * long.  family is the socket's: an IPv4 address for an IPv6 socket becomes a mapped one. */
unsigned gnp_px_to_native(const gnp_addr *a, int family, gnp_native *out);
int gnp_px_no_native(const gnp_addr *a); /* the error where that is 0 */
void gnp_px_from_native(const gnp_native *in, unsigned len, gnp_addr *out);

int gnp_px_domain(int family); /* AF_..., or -1 */

#endif
