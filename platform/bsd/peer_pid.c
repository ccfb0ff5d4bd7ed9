/* SPDX-License-Identifier: MIT */
/* By the option that the headers have: macOS, NetBSD, OpenBSD.  None: DragonFly. */
#include "cred.h"

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#if defined(LOCAL_PEERPID)

int64_t gnp_bsd_peer_pid(int fd)
{
    pid_t pid = -1;
    socklen_t len = sizeof(pid);

    return getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &len) == 0 ? pid : -1;
}

#elif defined(LOCAL_PEEREID)

/* NetBSD: level 0 is that of Unix sockets, see unix(4). */
int64_t gnp_bsd_peer_pid(int fd)
{
    struct unpcbid id;
    socklen_t len = sizeof(id);

    return getsockopt(fd, 0, LOCAL_PEEREID, &id, &len) == 0 ? id.unp_pid : -1;
}

#elif defined(SO_PEERCRED)

int64_t gnp_bsd_peer_pid(int fd)
{
    struct sockpeercred c;
    socklen_t len = sizeof(c);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 ? c.pid : -1;
}

#else

int64_t gnp_bsd_peer_pid(int fd)
{
    (void)fd;
    return -1;
}

#endif
