/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <errno.h>
#include <sys/socket.h>

/* The kernel remembers them at connect (and, for the connecting side, at listen). */
int gnp_sock_cred(const gnp_sock *s, gnp_cred *out)
{
    struct ucred c;
    socklen_t len = sizeof(c);

    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return GNP_ENOTSUP;
    if (getsockopt((int)s->os, SOL_SOCKET, SO_PEERCRED, &c, &len) != 0)
        return gnp_px_fail(errno);
    out->pid = c.pid > 0 ? c.pid : -1; /* 0: of a PID namespace that is not seen from here */
    out->uid = c.uid != (uid_t)-1 ? (int64_t)c.uid : -1;
    out->gid = c.gid != (gid_t)-1 ? (int64_t)c.gid : -1;
    return GNP_OK;
}
