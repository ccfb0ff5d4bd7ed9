/* SPDX-License-Identifier: MIT */
/* The public verbs that only datagrams have. */
#include <string.h>

#include "addr.h"
#include "engine.h"
#include "loop.h"
#include "udp.h"

/* GN_OK for a datagram connection that can be used. */
static int usable(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    if ((c->flags & GNI_F_DGRAM) == 0) {
        return GN_ENOTSUP;
    }
    return gni_conn_usable(c) ? GN_OK : GN_ECLOSED;
}

int gn_conn_dgram_info(gn_conn *c, gn_dgram_info *out)
{
    if (!gni_conn_valid(c) || out == NULL) {
        return GN_EINVAL;
    }
    memset(out, 0, sizeof *out);
    if ((c->flags & GNI_F_DGRAM) == 0) {
        return GN_ENOTSUP;
    }
    const gnp_dgram *d = c->loop->current == c ? c->loop->dgram : NULL;
    if (d == NULL) {
        return GN_ENOTCONN;
    }
    if (d->local != NULL) {
        gnp_addr local;
        memset(&local, 0, sizeof local); /* the poller fills in no more than an IP address takes */
        memcpy(&local, d->local, GNI_IP_BYTES);
        gni_addr_set(&out->local, &local);
    }
    out->interface_index = d->interface_index;
    out->truncated = d->truncated;
    return GN_OK;
}

/* The platform's form of an address to send to, or of a group. */
static int address_get(gnp_addr *out, const gn_addr *a)
{
    if (a == NULL || (gn_addr_family(a) != GN_FAMILY_IPV4 && gn_addr_family(a) != GN_FAMILY_IPV6)) {
        return GN_EINVAL;
    }
    gni_addr_get(out, a);
    return GN_OK;
}

int gn_conn_send_to(gn_conn *c, const gn_addr *to, const void *data, size_t n)
{
    gnp_addr peer;
    gn_iov one;
    int rc = usable(c);
    if (rc == GN_OK) {
        rc = address_get(&peer, to);
    }
    if (rc != GN_OK) {
        return rc;
    }
    one.base = data;
    one.len = n;
    return gni_udp_send(c, &peer, &one, 1);
}

int gn_conn_send_segments(gn_conn *c, const gn_addr *to, const void *data, size_t n, size_t segment)
{
    gnp_addr peer;
    const gnp_addr *dest = &peer;
    int rc = usable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (segment == 0 || data == NULL || n == 0) {
        return GN_EINVAL;
    }
    if (to != NULL) {
        rc = address_get(&peer, to);
    } else if (!gni_conn_is_endpoint(c)) {
        dest = NULL;
    } else {
        rc = gni_udp_peer(c, &peer) ? GN_OK : GN_ENOTCONN;
    }
    return rc == GN_OK ? gni_udp_send_segments(c, dest, data, n, segment) : rc;
}

int gn_conn_join_group(gn_conn *c, const gn_addr *group, unsigned interface_index)
{
    gnp_addr a;
    int rc = usable(c);
    if (rc == GN_OK) {
        rc = address_get(&a, group);
    }
    return rc == GN_OK ? gnp_sock_join(&c->sock, &a, interface_index) : rc;
}

int gn_conn_leave_group(gn_conn *c, const gn_addr *group, unsigned interface_index)
{
    gnp_addr a;
    int rc = usable(c);
    if (rc == GN_OK) {
        rc = address_get(&a, group);
    }
    return rc == GN_OK ? gnp_sock_leave(&c->sock, &a, interface_index) : rc;
}

unsigned gn_interface_index(const char *name)
{
    return name == NULL ? 0 : gnp_interface_index(name);
}

gn_handle gn_engine_endpoint(const gn_engine *e, unsigned i, unsigned loop)
{
    if (e == NULL || e->magic != GNI_ENGINE_MAGIC || loop >= gnp_load32(&e->loops_shown)) {
        return GN_HANDLE_NONE;
    }
    const gn_loop *l = e->loops[loop];
    for (unsigned k = 0; k < l->acceptor_count; k++) {
        if (l->acceptors[k].listener->index == i) {
            return gnp_load64(&l->acceptors[k].endpoint);
        }
    }
    return GN_HANDLE_NONE;
}
