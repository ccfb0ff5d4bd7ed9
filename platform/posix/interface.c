/* SPDX-License-Identifier: MIT */
/* Network interfaces.  getifaddrs is in no POSIX, but in every system that has sockets. */
#include "posix.h"
#include "sock_posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

static const struct in_addr *four_of(const struct ifaddrs *i)
{
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
        return NULL;
    return &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
}

int gnp_px_interface_address(unsigned index, struct in_addr *out)
{
    struct ifaddrs *list, *i;

    if (getifaddrs(&list) != 0)
        return gnp_px_fail(errno);
    for (i = list; i != NULL; i = i->ifa_next) {
        if (four_of(i) != NULL && if_nametoindex(i->ifa_name) == index)
            break;
    }
    if (i != NULL)
        *out = *four_of(i);
    freeifaddrs(list);
    return i != NULL ? GNP_OK : gnp_px_fail(EADDRNOTAVAIL);
}

unsigned gnp_px_interface_of(struct in_addr a)
{
    struct ifaddrs *list, *i;
    unsigned index = 0;

    if (getifaddrs(&list) != 0)
        return 0;
    for (i = list; i != NULL && index == 0; i = i->ifa_next) {
        if (four_of(i) != NULL && four_of(i)->s_addr == a.s_addr)
            index = if_nametoindex(i->ifa_name);
    }
    freeifaddrs(list);
    return index;
}

unsigned gnp_interface_index(const char *name)
{
    struct in_addr a;

    return inet_pton(AF_INET, name, &a) == 1 ? gnp_px_interface_of(a) : if_nametoindex(name);
}
