/* SPDX-License-Identifier: MIT */
#include "cred.h"
#include "../posix/posix.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/socket.h> /* getpeereid of OpenBSD; the others have it in unistd.h */
#include <unistd.h>

/* As they were at connect and at listen. */
int gnp_sock_cred(const gnp_sock *s, gnp_cred *out)
{
    uid_t uid;
    gid_t gid;

    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return GNP_ENOTSUP;
    if (getpeereid((int)s->os, &uid, &gid) != 0)
        return gnp_px_fail(errno);
    out->uid = (int64_t)uid;
    out->gid = (int64_t)gid;
    out->pid = gnp_bsd_peer_pid((int)s->os);
    return GNP_OK;
}
