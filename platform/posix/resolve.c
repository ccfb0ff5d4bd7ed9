/* SPDX-License-Identifier: MIT */
#include "native.h"
#include "posix.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Copies one answer unless it is there already: one address may come once per socket type. */
static int add(gnp_addr *out, int n, const struct addrinfo *ai)
{
    gnp_native native;
    int i;

    if (ai->ai_addrlen > sizeof(native))
        return n;
    memset(&native, 0, sizeof(native));
    memcpy(&native, ai->ai_addr, ai->ai_addrlen);
    memset(&out[n], 0, sizeof(out[n]));
    gnp_px_from_native(&native, (unsigned)ai->ai_addrlen, &out[n]);
    for (i = 0; i < n; i++) {
        if (memcmp(&out[i], &out[n], sizeof(out[n])) == 0)
            return n;
    }
    return n + 1;
}

/* RFC 6761 6.3: "localhost" and all below it is this host, whoever may say something else. */
static int is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), len = sizeof(name) - 1;

    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n < len || strncasecmp(host + n - len, name, len) != 0)
        return 0;
    return n == len || (n > len + 1 && host[n - len - 1] == '.');
}

/* Has this host the address at all?  A system with IPv6 need not have ::1. */
static int is_ours(const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, a->family, &native);
    int fd = gnp_px_os_socket(gnp_px_domain(a->family), SOCK_DGRAM);
    int r = fd >= 0 ? bind(fd, &native.sa, len) : -1;

    if (fd >= 0)
        close(fd);
    return r == 0;
}

static int loopback(int family, gnp_addr *out, int cap)
{
    static const char *const text[] = { "::1", "127.0.0.1" };
    gnp_addr a;
    int i, n = 0;

    for (i = 0; i < 2 && n < cap; i++) { /* IPv6 first, as RFC 6724 sorts them */
        gnp_ip_parse(text[i], &a);
        if (family == a.family || (family == 0 && (a.family == GNP_FAMILY_IPV4 || is_ours(&a))))
            out[n++] = a;
    }
    return n > 0 ? n : GNP_EADDR;
}

int gnp_resolve(const char *host, int family, gnp_addr *out, int cap)
{
    struct addrinfo hints, *list = NULL;
    const struct addrinfo *ai;
    int r, n = 0;

    if (is_localhost(host))
        return loopback(family, out, cap);
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = family == 0 ? AF_UNSPEC : gnp_px_domain(family);
    hints.ai_socktype = SOCK_STREAM;
    r = getaddrinfo(host, NULL, &hints, &list);
    if (r == EAI_MEMORY)
        return gnp_px_fail(ENOMEM);
    if (r == EAI_SYSTEM)
        gnp_px_fail(errno);
    if (r != 0)
        return GNP_EADDR;
    for (ai = list; ai != NULL && n < cap; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
            n = add(out, n, ai);
    }
    freeaddrinfo(list);
    return n > 0 ? n : GNP_EADDR;
}
