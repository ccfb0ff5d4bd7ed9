/* SPDX-License-Identifier: MIT */
#include "descriptor.h"

#include "loop.h"
#include "outbound.h"

#define ROOM (GN_DESCRIPTORS_MAX * sizeof(intptr_t))

/* GN_OK, GN_ENOMEM, or GN_ELIMIT when too many wait already. */
static int keep(gn_conn *c, intptr_t os)
{
    gni_more *m = gni_conn_more(c);
    if (m != NULL && m->descriptors == NULL) {
        m->descriptors = gnp_alloc(ROOM);
    }
    if (m == NULL || m->descriptors == NULL) {
        return GN_ENOMEM;
    }
    if (m->descriptor_count == GN_DESCRIPTORS_MAX) {
        return GN_ELIMIT;
    }
    m->descriptors[(m->descriptor_first + m->descriptor_count) % GN_DESCRIPTORS_MAX] = os;
    m->descriptor_count++;
    return GN_OK;
}

void gni_descriptors_take(gn_conn *c)
{
    intptr_t os = -1;
    int got;
    /* -1 keeps the place of those that the process had no room for. */
    while ((got = gnp_recv_descriptor(c->loop->poller, &c->sock, &os)) == GNP_OK || got == GNP_EMFILE) {
        int rc = keep(c, os);
        if (rc != GN_OK) {
            gnp_descriptor_close(os);
        }
        if (rc == GN_ENOMEM) {
            gni_conn_fail(c, rc, 0);
            return; /* the poller closes what is left */
        }
    }
}

void gni_descriptors_drop(gn_conn *c)
{
    gni_more *m = c->more;
    if (m == NULL || m->descriptors == NULL) {
        return;
    }
    for (; m->descriptor_count > 0; m->descriptor_count--) {
        gnp_descriptor_close(m->descriptors[m->descriptor_first]);
        m->descriptor_first = (m->descriptor_first + 1) % GN_DESCRIPTORS_MAX;
    }
    gnp_free(m->descriptors, ROOM);
    m->descriptors = NULL;
}

int gn_conn_recv_descriptor(gn_conn *c, gn_descriptor *out)
{
    if (!gni_conn_valid(c) || out == NULL) {
        return GN_EINVAL;
    }
    gni_more *m = c->more;
    if (m == NULL || m->descriptor_count == 0) {
        return GN_EAGAIN;
    }
    *out = m->descriptors[m->descriptor_first];
    m->descriptor_first = (m->descriptor_first + 1) % GN_DESCRIPTORS_MAX;
    m->descriptor_count--;
    return *out != -1 ? GN_OK : GN_EMFILE;
}

int gn_conn_send_descriptor(gn_conn *c, gn_descriptor d, const void *data, size_t n)
{
    if (!gni_conn_valid(c) || data == NULL || n == 0 || d < 0) {
        return GN_EINVAL;
    }
    int rc = gni_out_refusal(c);
    if (rc != GN_OK) {
        return rc;
    }
    gnp_addr a;
    rc = gnp_sock_local(&c->sock, &a);
    if (rc != GNP_OK || a.family != GNP_FAMILY_UNIX) {
        return rc != GNP_OK ? rc : GN_ENOTSUP;
    }
    intptr_t copy = -1;
    rc = gnp_descriptor_dup(d, &copy);
    return rc != GNP_OK ? rc : gni_out_send_descriptor(c, copy, data, n);
}
