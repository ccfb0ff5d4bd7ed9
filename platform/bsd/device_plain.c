/* SPDX-License-Identifier: MIT */
/* The BSDs route by address and table, a socket is not bound to an interface. */
#include "../posix/posix.h"

#include <errno.h>

int gnp_px_os_device(int fd, const char *name)
{
    (void)fd;
    (void)name;
    errno = ENOPROTOOPT;
    return -1;
}
