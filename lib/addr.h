/* SPDX-License-Identifier: MIT */
/* Addresses in text: gn_addr and the URL-like names that listeners take. */
#ifndef GNI_ADDR_H
#define GNI_ADDR_H

#include "../include/gannet.h"
#include "../platform/addr.h"

typedef enum gni_scheme {
    GNI_TCP, GNI_TCP4, GNI_TCP6, GNI_UDP, GNI_UDP4, GNI_UDP6, GNI_UNIX
} gni_scheme;

/* A parsed name.  any: the host was empty or "*", so that tcp and udp mean both families; addr
 * is then 0.0.0.0 for the schemes with a 4 and where there is no IPv6, else "::". */
typedef struct gni_endpoint {
    gni_scheme scheme;
    int any;
    gnp_addr addr;
} gni_endpoint;

/* Parses scheme://host:port, host:port (tcp) and unix://path; resolves host names, blocking.
 * GN_EINVAL (NULL), GN_ESCHEME, GN_EADDR, GN_ENAMETOOLONG, GN_ENOMEM. */
int gni_endpoint_parse(const char *text, gni_endpoint *out);

/* Longest host name: 253 characters (RFC 1035). */
#define GNI_HOST_MAX 253u

/* The same for who connects, and never blocking: a host name stays text in host, to be resolved to
 * gni_scheme_family; else host is "" and addr complete.  Every address means this host: any is kept for tcp
 * and udp, and addr is the loopback address. Also GN_EADDR: a port 0. */
int gni_target_parse(const char *text, gni_endpoint *out, char host[GNI_HOST_MAX + 1]);

/* The family of a scheme, 0 for both; and 1 if it is udp or one of its forms. */
int gni_scheme_family(gni_scheme s);
int gni_scheme_is_datagram(gni_scheme s);

/* Writes "scheme://address" with a's port.  Length of the whole text. */
int gni_endpoint_format(gni_scheme scheme, const gnp_addr *a, char *out, size_t cap);

/* Copies between the public and the platform's type. */
void gni_addr_set(gn_addr *out, const gnp_addr *a);
void gni_addr_get(gnp_addr *out, const gn_addr *a);

#endif
