/* SPDX-License-Identifier: MIT */
/* Network interfaces. */
#include "win32.h"

#include "../mem.h"

#include <iphlpapi.h>
#include <string.h>

#define ROOM 15360u /* what the manual of GetAdaptersAddresses tells to begin with */
#define TRIES 3     /* adapters may come meanwhile */

typedef int visit(void *arg, unsigned index, struct in_addr a); /* 1: enough */

static int each(const IP_ADAPTER_ADDRESSES *list, visit *fn, void *arg)
{
    const IP_ADAPTER_UNICAST_ADDRESS *u;

    for (; list != NULL; list = list->Next) {
        for (u = list->FirstUnicastAddress; u != NULL; u = u->Next) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)u->Address.lpSockaddr;
            if (in->sin_family == AF_INET && fn(arg, list->IfIndex, in->sin_addr))
                return 1;
        }
    }
    return 0;
}

/* Calls fn for every IPv4 address of every interface; 1 if it had enough, 0 if not, or an error. */
static int addresses(visit *fn, void *arg)
{
    const ULONG flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    ULONG size = ROOM, r = ERROR_BUFFER_OVERFLOW;
    int try, found = 0;

    for (try = 0; try < TRIES && r == ERROR_BUFFER_OVERFLOW; try++) {
        ULONG had = size;
        IP_ADAPTER_ADDRESSES *list = gnp_alloc(had);
        if (list == NULL)
            return gnp_px_fail(ERROR_NOT_ENOUGH_MEMORY);
        r = GetAdaptersAddresses(AF_INET, flags, NULL, list, &size);
        if (r == ERROR_SUCCESS)
            found = each(list, fn, arg);
        gnp_free(list, had);
    }
    return r == ERROR_SUCCESS || r == ERROR_NO_DATA ? found : gnp_px_fail((int)r);
}

typedef struct wanted {
    unsigned index;
    struct in_addr a;
} wanted;

static int has_index(void *arg, unsigned index, struct in_addr a)
{
    wanted *w = arg;

    if (w->index != index)
        return 0;
    w->a = a;
    return 1;
}

static int has_address(void *arg, unsigned index, struct in_addr a)
{
    wanted *w = arg;

    if (w->a.s_addr != a.s_addr)
        return 0;
    w->index = index;
    return 1;
}

int gnp_px_interface_address(unsigned index, struct in_addr *out)
{
    wanted w = { .index = index };
    int r = addresses(has_index, &w);

    if (r < 0)
        return r;
    *out = w.a;
    return r == 1 ? GNP_OK : gnp_px_fail(WSAEADDRNOTAVAIL);
}

unsigned gnp_px_interface_of(struct in_addr a)
{
    wanted w = { .a = a };

    return addresses(has_address, &w) == 1 ? w.index : 0;
}

unsigned gnp_interface_index(const char *name)
{
    struct in_addr a;

    return inet_pton(AF_INET, name, &a) == 1 ? gnp_px_interface_of(a) : if_nametoindex(name);
}
