/* SPDX-License-Identifier: MIT */
/* Socket options, descriptors and credentials of connections. */
#include <stddef.h>

#include "conn.h"
#include "loop.h"

#define SAME(name) _Static_assert((int)GN_OPT_##name == (int)GNP_OPT_##name, "one number for both: " #name)
SAME(NODELAY);
SAME(KEEPALIVE);
SAME(KEEPALIVE_INTVL);
SAME(KEEPALIVE_COUNT);
SAME(RECV_BUFFER);
SAME(SEND_BUFFER);
SAME(LINGER);
SAME(USER_TIMEOUT);
SAME(NOTSENT_LOWAT);
SAME(TOS);
SAME(TTL);
SAME(FAST_OPEN);
SAME(FAST_OPEN_CONNECT);
SAME(BUSY_POLL);
SAME(QUICKACK);
SAME(DEFER_ACCEPT);
SAME(PRIORITY);
SAME(MARK);
SAME(INCOMING_CPU);
SAME(BROADCAST);
SAME(MULTICAST_TTL);
SAME(MULTICAST_LOOP);
SAME(MULTICAST_IF);
SAME(PACKET_INFO);
SAME(GRO);
SAME(PASS_DESCRIPTORS);
SAME(MAXSEG);
#undef SAME

/* Arrays of the one are handed down as arrays of the other. */
_Static_assert(sizeof(gn_opt_value) == sizeof(gnp_opt_value) && sizeof(gn_opt) == sizeof(int) &&
               offsetof(gn_opt_value, value) == offsetof(gnp_opt_value, value), "options are the platform's");

/* The socket is open, and the user may know it. */
static int check(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    return c->state == GNI_CONN_OPEN || c->state == GNI_CONN_CLOSING ? GN_OK : GN_ECLOSED;
}

int gn_conn_set_opt(gn_conn *c, gn_opt opt, int64_t value)
{
    int rc = check(c);
    if (rc == GN_OK) {
        rc = gnp_sock_set(&c->sock, (int)opt, value);
    }
    if (rc == GN_OK && opt == GN_OPT_PASS_DESCRIPTORS) {
        c->flags = value != 0 ? c->flags | GNI_F_FDS : c->flags & ~(uint32_t)GNI_F_FDS;
    }
    return rc;
}

int gn_conn_get_opt(gn_conn *c, gn_opt opt, int64_t *value)
{
    if (value == NULL) {
        return GN_EINVAL;
    }
    int rc = check(c);
    return rc == GN_OK ? gnp_sock_get(&c->sock, (int)opt, value) : rc;
}

gn_descriptor gn_conn_descriptor(const gn_conn *c)
{
    return check(c) == GN_OK ? c->sock.os : -1;
}

int gn_conn_dup(gn_conn *c, gn_descriptor *out)
{
    if (out == NULL) {
        return GN_EINVAL;
    }
    *out = -1;
    int rc = check(c);
    return rc == GN_OK ? gnp_sock_dup(&c->sock, out) : rc;
}

int gn_conn_peer_cred(gn_conn *c, gn_cred *out)
{
    if (out == NULL) {
        return GN_EINVAL;
    }
    int rc = check(c);
    gnp_cred cred;
    if (rc == GN_OK) {
        rc = gnp_sock_cred(&c->sock, &cred);
    }
    if (rc == GN_OK) {
        out->pid = cred.pid;
        out->uid = cred.uid;
        out->gid = cred.gid;
    }
    return rc;
}
