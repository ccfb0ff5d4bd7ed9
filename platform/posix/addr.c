/* SPDX-License-Identifier: MIT */
#include "native.h"
#include "posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

size_t gnp_unix_path_max(void)
{
    /* Linux takes a path that fills sun_path without a zero, but then getsockname gives
     * one byte more than the struct has; nobody else takes it. */
    size_t n = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    return n < GNP_UNIX_PATH_MAX ? n : GNP_UNIX_PATH_MAX;
}

int gnp_px_domain(int family)
{
    switch (family) {
    case GNP_FAMILY_IPV4: return AF_INET;
    case GNP_FAMILY_IPV6: return AF_INET6;
    case GNP_FAMILY_UNIX: return AF_UNIX;
    default: return -1;
    }
}

static unsigned to_in(const gnp_addr *a, gnp_native *out)
{
    memset(&out->in, 0, sizeof(out->in));
    out->in.sin_family = AF_INET;
    out->in.sin_port = htons(a->port);
    memcpy(&out->in.sin_addr, a->u.ip, 4);
    return sizeof(out->in);
}

static unsigned to_in6(const gnp_addr *a, gnp_native *out)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    memset(&out->in6, 0, sizeof(out->in6));
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_port = htons(a->port);
    if (a->family == GNP_FAMILY_IPV4) {
        memcpy(&out->in6.sin6_addr, mapped, 12);
        memcpy((unsigned char *)&out->in6.sin6_addr + 12, a->u.ip, 4);
    } else {
        memcpy(&out->in6.sin6_addr, a->u.ip, 16);
        out->in6.sin6_scope_id = a->scope;
    }
    return sizeof(out->in6);
}

static int is_abstract(const gnp_addr *a)
{
    return a->len > 0 && a->u.path[0] == '\0';
}

static unsigned to_un(const gnp_addr *a, gnp_native *out)
{
    if (a->len > gnp_unix_path_max() || (is_abstract(a) && !gnp_px_abstract))
        return 0;
    memset(&out->un, 0, sizeof(out->un));
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, a->u.path, a->len);
    if (is_abstract(a)) /* an abstract name is counted, not terminated */
        return (unsigned)(PATH_OFFSET + a->len);
    return (unsigned)(PATH_OFFSET + a->len + 1);
}

unsigned gnp_px_to_native(const gnp_addr *a, int family, gnp_native *out)
{
    switch (a->family) {
    case GNP_FAMILY_IPV4: return family == GNP_FAMILY_IPV6 ? to_in6(a, out) : to_in(a, out);
    case GNP_FAMILY_IPV6: return to_in6(a, out);
    case GNP_FAMILY_UNIX: return to_un(a, out);
    default: return 0;
    }
}

int gnp_px_no_native(const gnp_addr *a)
{
    if (a->family != GNP_FAMILY_UNIX)
        return GNP_EADDR;
    return gnp_px_fail(is_abstract(a) && !gnp_px_abstract ? EOPNOTSUPP : ENAMETOOLONG);
}

static void from_un(const struct sockaddr_un *un, unsigned len, gnp_addr *out)
{
    size_t n = len > PATH_OFFSET ? len - PATH_OFFSET : 0;

    if (n > sizeof(un->sun_path))
        n = sizeof(un->sun_path);
    if (n > GNP_UNIX_PATH_MAX)
        n = GNP_UNIX_PATH_MAX;
    if (n > 0 && (un->sun_path[0] != '\0' || !gnp_px_abstract)) /* the BSDs give an unnamed peer many zeros */
        n = strnlen(un->sun_path, n);
    out->family = GNP_FAMILY_UNIX;
    out->len = (uint8_t)n;
    memcpy(out->u.path, un->sun_path, n);
}

void gnp_px_from_native(const gnp_native *in, unsigned len, gnp_addr *out)
{
    memset(out, 0, offsetof(gnp_addr, u) + sizeof(out->u.ip));
    if (len < PATH_OFFSET) /* an unnamed Unix peer has no family on some systems */
        out->family = GNP_FAMILY_UNIX;
    else if (in->sa.sa_family == AF_INET) {
        out->family = GNP_FAMILY_IPV4;
        out->port = ntohs(in->in.sin_port);
        memcpy(out->u.ip, &in->in.sin_addr, 4);
    } else if (in->sa.sa_family == AF_INET6) {
        out->family = GNP_FAMILY_IPV6;
        out->port = ntohs(in->in6.sin6_port);
        out->scope = in->in6.sin6_scope_id;
        memcpy(out->u.ip, &in->in6.sin6_addr, 16);
    } else if (in->sa.sa_family == AF_UNIX) {
        from_un(&in->un, len, out);
    }
}

/* An interface by number or by name; 0 if there is none. */
static uint32_t zone_index(const char *zone)
{
    char *end;
    unsigned long n;

    errno = 0; /* where a long has 32 bits, it alone tells a number that is too great */
    n = strtoul(zone, &end, 10);
    if (zone[0] >= '0' && zone[0] <= '9' && *end == '\0')
        return errno == 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
    return if_nametoindex(zone);
}

static int parse_v6(const char *text, gnp_addr *out)
{
    const char *percent = strchr(text, '%');
    char buf[INET6_ADDRSTRLEN];
    size_t n = percent != NULL ? (size_t)(percent - text) : strlen(text);

    if (n >= sizeof(buf))
        return GNP_EADDR;
    memcpy(buf, text, n);
    buf[n] = '\0';
    if (inet_pton(AF_INET6, buf, out->u.ip) != 1)
        return GNP_EADDR;
    if (percent != NULL && (out->scope = zone_index(percent + 1)) == 0)
        return GNP_EADDR;
    out->family = GNP_FAMILY_IPV6;
    return GNP_OK;
}

int gnp_ip_parse(const char *text, gnp_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, out->u.ip) == 1) {
        out->family = GNP_FAMILY_IPV4;
        return GNP_OK;
    }
    if (parse_v6(text, out) == GNP_OK)
        return GNP_OK;
    memset(out, 0, sizeof(*out));
    return GNP_EADDR;
}

void gnp_ip_format(const gnp_addr *a, char out[GNP_IP_TEXT_MAX])
{
    char name[IF_NAMESIZE];
    size_t n;

    out[0] = '\0';
    if (a->family == GNP_FAMILY_IPV4)
        inet_ntop(AF_INET, a->u.ip, out, GNP_IP_TEXT_MAX);
    if (a->family != GNP_FAMILY_IPV6)
        return;
    inet_ntop(AF_INET6, a->u.ip, out, GNP_IP_TEXT_MAX);
    if (a->scope == 0)
        return;
    n = strlen(out);
    if (if_indextoname(a->scope, name) != NULL)
        snprintf(out + n, GNP_IP_TEXT_MAX - n, "%%%s", name);
    else
        snprintf(out + n, GNP_IP_TEXT_MAX - n, "%%%u", (unsigned)a->scope);
}
