/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include <string.h>

#define HOST_MAX 256 /* a name has at most 253 bytes (RFC 1035 2.3.4), and a zero */

/* Copies one answer unless it is there already. */
static int add(gnp_addr *out, int n, const ADDRINFOW *ai)
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
    if (n < len || _strnicmp(host + n - len, name, len) != 0)
        return 0;
    return n == len || (n > len + 1 && host[n - len - 1] == '.');
}

/* Has this host the address at all? */
static int is_ours(const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, a->family, &native);
    SOCKET fd = gnp_wx_os_socket(gnp_px_domain(a->family), SOCK_DGRAM);
    int r = fd != INVALID_SOCKET ? bind(fd, &native.sa, (int)len) : -1;

    if (fd != INVALID_SOCKET)
        closesocket(fd);
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
    wchar_t wide[HOST_MAX];
    ADDRINFOW hints, *list = NULL;
    const ADDRINFOW *ai;
    int r, n = 0;

    if (gnp_wx_start() != GNP_OK)
        return GNP_EADDR;
    if (is_localhost(host))
        return loopback(family, out, cap);
    if (gnp_wx_wide(host, wide, HOST_MAX) < 0)
        return GNP_EADDR;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = family == 0 ? AF_UNSPEC : gnp_px_domain(family);
    hints.ai_socktype = SOCK_STREAM;
    r = GetAddrInfoW(wide, NULL, &hints, &list);
    if (r == WSA_NOT_ENOUGH_MEMORY)
        return gnp_px_fail(ERROR_NOT_ENOUGH_MEMORY);
    if (r != 0) {
        gnp_px_fail(r);
        return GNP_EADDR;
    }
    for (ai = list; ai != NULL && n < cap; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
            n = add(out, n, ai);
    }
    FreeAddrInfoW(list);
    return n > 0 ? n : GNP_EADDR;
}
