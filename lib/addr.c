/* SPDX-License-Identifier: MIT */
#include "addr.h"

#include <stdio.h>
#include <string.h>

#include "../platform/err.h"
#include "../platform/sock.h"

/* Longest host: a DNS name has at most 253 characters and each of its labels 63 (RFC 1035); no
 * numeric address with a zone comes near it. */
#define HOST_MAX GNI_HOST_MAX
#define LABEL_MAX 63u
#define SCHEME_MAX 5u /* "tcp4:" and its like; longer ones are not known */
#define RESOLVE_MAX 16

_Static_assert(sizeof(gnp_addr) <= sizeof(gn_addr), "the public address holds the platform's");
_Static_assert(_Alignof(gnp_addr) <= _Alignof(gn_addr), "the public address holds the platform's");
_Static_assert((int)GN_FAMILY_NONE == (int)GNP_FAMILY_NONE && (int)GN_FAMILY_IPV4 == (int)GNP_FAMILY_IPV4 &&
               (int)GN_FAMILY_IPV6 == (int)GNP_FAMILY_IPV6 && (int)GN_FAMILY_UNIX == (int)GNP_FAMILY_UNIX,
               "families are the platform's");

static const struct { const char *name; int family; } schemes[] = {
    [GNI_TCP] = { "tcp", GNP_FAMILY_NONE },
    [GNI_TCP4] = { "tcp4", GNP_FAMILY_IPV4 },
    [GNI_TCP6] = { "tcp6", GNP_FAMILY_IPV6 },
    [GNI_UDP] = { "udp", GNP_FAMILY_NONE },
    [GNI_UDP4] = { "udp4", GNP_FAMILY_IPV4 },
    [GNI_UDP6] = { "udp6", GNP_FAMILY_IPV6 },
    [GNI_UNIX] = { "unix", GNP_FAMILY_UNIX },
};
#define SCHEME_COUNT (sizeof schemes / sizeof schemes[0])

/* Text that is not zero-terminated. */
typedef struct span {
    const char *p;
    size_t n;
} span;

/* ASCII only: the C library's would follow the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_name_char(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* strlen that never looks further than limit; limit + 1 when the text is longer. */
static size_t bounded_length(const char *text, size_t limit)
{
    const char *end = memchr(text, '\0', limit + 1);

    return end != NULL ? (size_t)(end - text) : limit + 1;
}

/* Whether text begins with word, in any case; word is lower case. */
static int starts_with(const char *text, const char *word)
{
    for (; *word != '\0'; text++, word++) {
        if (lower(*text) != *word)
            return 0;
    }
    return 1;
}

/* ------------------------------------------------------------- parsing */

/* "@name" is an abstract name, which begins with a zero byte (unix(7)); "./@name" a path. */
static int parse_path(const char *path, gnp_addr *out)
{
    size_t max = gnp_unix_path_max() < GNP_UNIX_PATH_MAX ? gnp_unix_path_max() : GNP_UNIX_PATH_MAX;
    size_t n = bounded_length(path, max);

    if (n == 0 || (n == 1 && path[0] == '@'))
        return GN_EADDR;
    if (n > max)
        return GN_ENAMETOOLONG;
    memset(out, 0, sizeof *out);
    out->family = GNP_FAMILY_UNIX;
    out->len = (uint8_t)n;
    memcpy(out->u.path, path, n);
    if (path[0] == '@')
        out->u.path[0] = '\0';
    return GN_OK;
}

static int parse_port(const char *s, uint16_t *out)
{
    unsigned long port = 0;
    size_t n = bounded_length(s, 5);

    if (n == 0 || n > 5)
        return GN_EADDR;
    for (; *s != '\0'; s++) {
        if (!is_digit(*s))
            return GN_EADDR;
        port = port * 10 + (unsigned long)(*s - '0');
    }
    if (port > 65535)
        return GN_EADDR;
    *out = (uint16_t)port;
    return GN_OK;
}

/*
 * Splits "host:port" or "[v6]:port".  Without brackets a second colon is refused: "::1:80"
 * could mean two things.
 */
static int split(const char *text, span *host, int *bracketed, uint16_t *port)
{
    const char *end;

    *bracketed = text[0] == '[';
    if (*bracketed) {
        host->p = text + 1;
        end = memchr(host->p, ']', bounded_length(host->p, HOST_MAX + 1));
        if (end == NULL || end[1] != ':')
            return GN_EADDR;
        host->n = (size_t)(end - host->p);
        return parse_port(end + 2, port);
    }
    host->p = text;
    end = memchr(text, ':', bounded_length(text, HOST_MAX + 1));
    if (end == NULL)
        return GN_EADDR;
    host->n = (size_t)(end - text);
    return parse_port(end + 1, port);
}

/* What stands in brackets: an IPv6 address, perhaps with a zone.  In a URL its '%' may be
 * written "%25" (RFC 6874); a zone that itself begins with 25 must be. */
static int parse_v6(span host, gnp_addr *out)
{
    char text[GNP_IP_TEXT_MAX];
    const char *zone;
    size_t before;

    if (host.n >= sizeof text || memchr(host.p, ':', host.n) == NULL)
        return GN_EADDR;
    zone = memchr(host.p, '%', host.n);
    before = zone != NULL ? (size_t)(zone - host.p) + 1 : host.n;
    memcpy(text, host.p, before);
    host.p += before;
    host.n -= before;
    if (zone != NULL && host.n == 0)
        return GN_EADDR;
    if (host.n > 2 && host.p[0] == '2' && host.p[1] == '5') {
        host.p += 2;
        host.n -= 2;
    }
    memcpy(text + before, host.p, host.n);
    text[before + host.n] = '\0';
    return gnp_ip_parse(text, out) == GNP_OK ? GN_OK : GN_EADDR; /* with a colon in it, it is IPv6 */
}

/* Whether the last label of a name is a number.  No top-level domain is one (RFC 3696), but
 * resolvers read such names as IPv4 addresses in forms of 1983: "127.1", "0x7f.1", "010.0.0.1". */
static int looks_numeric(const char *host, size_t n)
{
    size_t start;

    if (host[n - 1] == '.') /* the root, n > 1 */
        n--;
    start = n;
    while (start > 0 && host[start - 1] != '.')
        start--;
    if (n - start > 2 && host[start] == '0' && lower(host[start + 1]) == 'x')
        return 1;
    while (start < n && is_digit(host[start]))
        start++;
    return start == n;
}

static int resolve(const char *host, int family, gnp_addr *out)
{
    gnp_addr found[RESOLVE_MAX];
    int n = gnp_resolve(host, family, found, RESOLVE_MAX);
    int pick = 0;

    if (n < 0) /* none is an error */
        return n;
    /* One socket listens on one of them; where a name has both families, as localhost does,
     * that is IPv4, since more clients will try it. */
    for (int i = n - 1; i >= 0; i--) {
        if (found[i].family == GNP_FAMILY_IPV4)
            pick = i;
    }
    *out = found[pick];
    return GN_OK;
}

/* Letters, digits, '-' and '_' in labels that are neither empty nor too long; one dot may end it. */
static int is_name(span host)
{
    size_t label = 0;

    if (host.n == 0 || host.n > HOST_MAX)
        return 0;
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == '.') {
            if (label == 0)
                return 0;
            label = 0;
        } else if (!is_name_char(host.p[i]) || ++label > LABEL_MAX) {
            return 0;
        }
    }
    return 1;
}

/* A host without brackets: an IPv4 address, or, if name is not NULL, a name, which goes there. */
static int parse_host(span host, char *name, gnp_addr *out)
{
    char text[HOST_MAX + 1];

    if (!is_name(host))
        return GN_EADDR;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (gnp_ip_parse(text, out) == GNP_OK)
        return GN_OK;
    if (name == NULL || looks_numeric(text, host.n))
        return GN_EADDR;
    memcpy(name, text, host.n + 1);
    return GN_OK;
}

/* name[0] is zero unless the host is one. */
static int parse_ip(span host, int bracketed, int family, char *name, gnp_addr *out)
{
    int e = bracketed ? parse_v6(host, out) : parse_host(host, name, out);

    if (e != GN_OK || (name != NULL && name[0] != '\0'))
        return e;
    if (family != GNP_FAMILY_NONE && out->family != family)
        return GN_EADDR;
    return GN_OK;
}

/* The unspecified address of a family; for "both" the IPv6 one, which can take IPv4 too. */
static void set_any(int family, gnp_addr *out)
{
    if (family == GNP_FAMILY_NONE)
        family = gnp_has_ipv6() ? GNP_FAMILY_IPV6 : GNP_FAMILY_IPV4;
    memset(out, 0, sizeof *out);
    out->family = (uint8_t)family;
}

/* Finds the scheme and moves *text behind it.  Unix paths also do without the slashes. */
static int parse_scheme(const char **text, gni_scheme *out)
{
    const char *rest = *text;
    size_t n;

    *out = GNI_TCP;
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        n = strlen(schemes[i].name);
        if (!starts_with(rest, schemes[i].name) || rest[n] != ':')
            continue;
        if (rest[n + 1] == '/' && rest[n + 2] == '/')
            n += 3;
        else if (i == GNI_UNIX)
            n += 1;
        else
            continue;
        *out = (gni_scheme)i;
        *text = rest + n;
        return GN_OK;
    }
    /* Anything else before "://" is a scheme that we don't know. */
    n = bounded_length(rest, HOST_MAX);
    for (size_t i = 0; i + 2 < n; i++) {
        if (rest[i] == ':')
            return rest[i + 1] == '/' && rest[i + 2] == '/' ? GN_ESCHEME : GN_OK;
    }
    return GN_OK;
}

int gni_scheme_family(gni_scheme s)
{
    return schemes[s].family;
}

int gni_scheme_is_datagram(gni_scheme s)
{
    return s == GNI_UDP || s == GNI_UDP4 || s == GNI_UDP6;
}

/* host[0] is zero unless the host is a name. */
static int parse_endpoint(const char *text, gni_endpoint *out, char *host)
{
    span h;
    int bracketed, e;
    uint16_t port;

    memset(out, 0, sizeof *out);
    host[0] = '\0';
    e = parse_scheme(&text, &out->scheme);
    if (e != GN_OK)
        return e;
    if (out->scheme == GNI_UNIX)
        return parse_path(text, &out->addr);
    e = split(text, &h, &bracketed, &port);
    if (e != GN_OK)
        return e;
    if (!bracketed && (h.n == 0 || (h.n == 1 && h.p[0] == '*'))) {
        out->any = 1;
        set_any(schemes[out->scheme].family, &out->addr);
    } else {
        e = parse_ip(h, bracketed, schemes[out->scheme].family, host, &out->addr);
        if (e != GN_OK)
            return e;
    }
    out->addr.port = port;
    return GN_OK;
}

int gni_endpoint_parse(const char *text, gni_endpoint *out)
{
    char host[HOST_MAX + 1];
    uint16_t port;
    int e;

    if (text == NULL || out == NULL)
        return GN_EINVAL;
    e = parse_endpoint(text, out, host);
    if (e != GN_OK || host[0] == '\0')
        return e;
    port = out->addr.port;
    e = resolve(host, schemes[out->scheme].family, &out->addr);
    out->addr.port = port;
    return e;
}

/* Nobody has the unspecified address; systems that connect to it all the same mean themselves. */
static void set_loopback(gni_endpoint *ep)
{
    gnp_addr *a = &ep->addr;

    if (!gnp_addr_is_any(a))
        return;
    ep->any = schemes[ep->scheme].family == GNP_FAMILY_NONE && a->family == GNP_FAMILY_IPV6;
    a->u.ip[a->family == GNP_FAMILY_IPV4 ? 3 : 15] = 1;
    if (a->family == GNP_FAMILY_IPV4)
        a->u.ip[0] = 127;
}

int gni_target_parse(const char *text, gni_endpoint *out, char host[GNI_HOST_MAX + 1])
{
    int e;

    if (text == NULL)
        return GN_EINVAL;
    e = parse_endpoint(text, out, host);
    if (e != GN_OK || out->scheme == GNI_UNIX)
        return e;
    if (out->addr.port == 0)
        return GN_EADDR;
    if (host[0] == '\0')
        set_loopback(out);
    return GN_OK;
}

int gn_addr_parse(const char *text, gn_addr *out)
{
    gnp_addr a;
    span host;
    int bracketed, e;
    uint16_t port;

    if (text == NULL || out == NULL)
        return GN_EINVAL;
    if (starts_with(text, "unix:")) {
        e = parse_path(text + 5, &a);
    } else {
        e = split(text, &host, &bracketed, &port);
        if (e == GN_OK)
            e = parse_ip(host, bracketed, GNP_FAMILY_NONE, NULL, &a);
        if (e == GN_OK)
            a.port = port;
    }
    if (e == GN_OK)
        gni_addr_set(out, &a);
    return e;
}

/* ----------------------------------------------------------- formatting */

/* "unix:" and the path, zero bytes (an abstract name begins with one) shown as '@', and a path that
 * begins with '@' as "./@", so that parsing finds the same file. */
static size_t format_path(const gnp_addr *a, const char *prefix, char *out, size_t cap)
{
    size_t len = a->len < GNP_UNIX_PATH_MAX ? a->len : GNP_UNIX_PATH_MAX;
    int n;
    char path[GNP_UNIX_PATH_MAX + 1];
    const char *here = len > 0 && a->u.path[0] == '@' ? "./" : "";

    for (size_t i = 0; i < len; i++)
        path[i] = a->u.path[i] != '\0' ? a->u.path[i] : '@';
    path[len] = '\0';
    n = snprintf(out, cap, "%s%s%s", prefix, here, path);
    return n > 0 ? (size_t)n : 0;
}

static size_t format_ip(const gnp_addr *a, const char *prefix, char *out, size_t cap)
{
    char ip[GNP_IP_TEXT_MAX];
    const char *zone, *escape = "";
    unsigned port = a->port;
    int n, before;

    gnp_ip_format(a, ip);
    zone = strchr(ip, '%');
    if (a->family == GNP_FAMILY_IPV4) {
        n = snprintf(out, cap, "%s%s:%u", prefix, ip, port);
    } else if (zone == NULL) {
        n = snprintf(out, cap, "%s[%s]:%u", prefix, ip, port);
    } else {
        /* So that parsing does not take the zone's own 25 for an escape. */
        if (strncmp(zone, "%25", 3) == 0 && zone[3] != '\0')
            escape = "25";
        before = (int)(++zone - ip);
        n = snprintf(out, cap, "%s[%.*s%s%s]:%u", prefix, before, ip, escape, zone, port);
    }
    return n > 0 ? (size_t)n : 0;
}

static size_t format_any(const gnp_addr *a, const char *prefix, char *out, size_t cap)
{
    int n;

    if (a->family == GNP_FAMILY_UNIX)
        return format_path(a, prefix, out, cap);
    if (a->family == GNP_FAMILY_IPV4 || a->family == GNP_FAMILY_IPV6)
        return format_ip(a, prefix, out, cap);
    n = snprintf(out, cap, "%s", prefix);
    return n > 0 ? (size_t)n : 0;
}

int gni_endpoint_format(gni_scheme scheme, const gnp_addr *a, char *out, size_t cap)
{
    char prefix[SCHEME_MAX + 3];

    if (a == NULL || (out == NULL && cap > 0) || (size_t)scheme >= SCHEME_COUNT)
        return GN_EINVAL;
    snprintf(prefix, sizeof prefix, "%s://", schemes[scheme].name);
    return (int)format_any(a, prefix, out, cap);
}

/* ------------------------------------------------------- the public type */

void gni_addr_set(gn_addr *out, const gnp_addr *a)
{
    memset(out, 0, sizeof *out);
    memcpy(out, a, sizeof *a);
}

void gni_addr_get(gnp_addr *out, const gn_addr *a)
{
    memcpy(out, a, sizeof *out);
}

int gn_addr_format(const gn_addr *a, char *out, size_t cap)
{
    gnp_addr n;

    if (a == NULL || (out == NULL && cap > 0))
        return GN_EINVAL;
    gni_addr_get(&n, a);
    return (int)format_any(&n, n.family == GNP_FAMILY_UNIX ? "unix:" : "", out, cap);
}

gn_family gn_addr_family(const gn_addr *a)
{
    gnp_addr n;

    if (a == NULL)
        return GN_FAMILY_NONE;
    gni_addr_get(&n, a);
    if (n.family == GNP_FAMILY_IPV4 || n.family == GNP_FAMILY_IPV6 || n.family == GNP_FAMILY_UNIX)
        return (gn_family)n.family;
    return GN_FAMILY_NONE;
}

unsigned gn_addr_port(const gn_addr *a)
{
    gnp_addr n;

    if (a == NULL)
        return 0;
    gni_addr_get(&n, a);
    return n.family == GNP_FAMILY_IPV4 || n.family == GNP_FAMILY_IPV6 ? n.port : 0;
}

int gn_addr_equal(const gn_addr *a, const gn_addr *b)
{
    gnp_addr x, y;

    if (a == NULL || b == NULL)
        return a == b;
    gni_addr_get(&x, a);
    gni_addr_get(&y, b);
    if (x.family != y.family)
        return 0;
    switch (x.family) {
    case GNP_FAMILY_IPV4:
        return x.port == y.port && memcmp(x.u.ip, y.u.ip, 4) == 0;
    case GNP_FAMILY_IPV6:
        return x.port == y.port && x.scope == y.scope && memcmp(x.u.ip, y.u.ip, 16) == 0;
    case GNP_FAMILY_UNIX:
        return x.len == y.len && x.len <= GNP_UNIX_PATH_MAX && memcmp(x.u.path, y.u.path, x.len) == 0;
    default:
        return 1;
    }
}
