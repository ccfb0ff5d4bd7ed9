/* SPDX-License-Identifier: MIT */
/* FreeBSD since 13: unix(4). */
#include "cred.h"

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/ucred.h>
#include <sys/un.h>

int64_t gnp_bsd_peer_pid(int fd)
{
    struct xucred c;
    socklen_t len = sizeof(c);

    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &c, &len) != 0 || c.cr_version != XUCRED_VERSION)
        return -1;
    return c.cr_pid > 0 ? c.cr_pid : -1;
}
