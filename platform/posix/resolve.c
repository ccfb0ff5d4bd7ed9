/* SPDX-License-Identifier: MIT */
#include "native.h"
#include "posix.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

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

int gnp_resolve(const char *host, int family, gnp_addr *out, int cap)
{
    struct addrinfo hints, *list = NULL;
    const struct addrinfo *ai;
    int r, n = 0;

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
