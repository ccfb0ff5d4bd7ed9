/* SPDX-License-Identifier: MIT */
#ifndef GNP_ADDR_H
#define GNP_ADDR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { GNP_FAMILY_NONE = 0, GNP_FAMILY_UNIX = 1, GNP_FAMILY_IPV4 = 4, GNP_FAMILY_IPV6 = 6 };

#define GNP_UNIX_PATH_MAX 108 /* sun_path of Linux and Windows, the largest known; BSDs have 104 */

/* A socket address that is the same on every system. */
typedef struct gnp_addr {
    uint8_t family; /* GNP_FAMILY_... */
    uint8_t len;    /* Unix: bytes of path, 0 for an unnamed one */
    uint16_t port;  /* host byte order */
    uint32_t scope; /* IPv6: interface index, or 0 */
    union {
        uint8_t ip[16]; /* network byte order; IPv4 in the first four */
        char path[GNP_UNIX_PATH_MAX]; /* not terminated; an abstract name begins with a zero byte */
    } u;
} gnp_addr;

/* 1 for the unspecified address, 0.0.0.0 or ::, that of every address of this host.  [any] */
static inline int gnp_addr_is_any(const gnp_addr *a)
{
    static const uint8_t zero[16];
    size_t n = a->family == GNP_FAMILY_IPV4 ? 4 : a->family == GNP_FAMILY_IPV6 ? 16 : 0;

    return n > 0 && memcmp(a->u.ip, zero, n) == 0;
}

/* Longest text of gnp_ip_format: an IPv6 address, '%', an interface name, zero. */
#define GNP_IP_TEXT_MAX 80

/* Parses a numeric IPv4 or IPv6 address (with %zone) into out, port 0.  GNP_EADDR.  [any] */
int gnp_ip_parse(const char *text, gnp_addr *out);

/* Writes the numeric text of an IP address, without port and brackets.  [any] */
void gnp_ip_format(const gnp_addr *a, char out[GNP_IP_TEXT_MAX]);

/* Longest Unix path that this system takes, without a terminator.  [any] */
size_t gnp_unix_path_max(void);

/* Resolves a host name; blocks.  family 0, 4 or 6.  Returns how many addresses were
 * written (at most cap), or GNP_EADDR if the name has none, GNP_ENOMEM.  Ports are 0.  "localhost" and
 * what ends in ".localhost" is always this host (RFC 6761).  [any] */
int gnp_resolve(const char *host, int family, gnp_addr *out, int cap);

#endif
