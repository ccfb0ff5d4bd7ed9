/* SPDX-License-Identifier: MIT */
/* Binding to an interface: by its index, and by an option of the socket's family (ip(4), ip6(4)). */
#include "../posix/native.h"
#include "../posix/posix.h"

#include <errno.h>
#include <net/if.h>

int gnp_px_os_device(int fd, const char *name)
{
    unsigned index = if_nametoindex(name);
    gnp_native n;
    socklen_t len = sizeof(n);

    if (index == 0) {
        errno = ENODEV;
        return -1;
    }
    if (getsockname(fd, &n.sa, &len) != 0)
        return -1;
    if (n.sa.sa_family == AF_INET6)
        return setsockopt(fd, IPPROTO_IPV6, IPV6_BOUND_IF, &index, sizeof(index));
    return setsockopt(fd, IPPROTO_IP, IP_BOUND_IF, &index, sizeof(index));
}
