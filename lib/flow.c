/* SPDX-License-Identifier: MIT */
/* The public verbs that steer how much flows: pauses, watermarks, limits. */
#include "conn.h"
#include "loop.h"
#include "outbound.h"

static int stream_usable(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    if ((c->flags & GNI_F_DGRAM) != 0) {
        return GN_ENOTSUP;
    }
    return gni_conn_usable(c) ? GN_OK : GN_ECLOSED;
}

/* Reading can be paused on datagrams too; there is nothing buffered to be told about afterwards. */
static int pausable(const gn_conn *c)
{
    if (!gni_conn_valid(c)) {
        return GN_EINVAL;
    }
    return gni_conn_usable(c) ? GN_OK : GN_ECLOSED;
}

int gn_conn_pause(gn_conn *c)
{
    int rc = pausable(c);
    if (rc == GN_OK) {
        c->flags |= GNI_F_REST;
        gni_conn_mark_dirty(c);
    }
    return rc;
}

int gn_conn_resume(gn_conn *c)
{
    int rc = pausable(c);
    if (rc == GN_OK && (c->flags & GNI_F_REST) != 0) {
        c->flags &= ~(uint32_t)GNI_F_REST;
        if (gn_conn_inbound(c) > 0 && (c->flags & GNI_F_DGRAM) == 0) {
            c->flags |= GNI_F_AGAIN;
        }
        gni_conn_mark_dirty(c);
    }
    return rc;
}

int gn_conn_set_watermarks(gn_conn *c, size_t high, size_t low)
{
    int rc = stream_usable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (high == 0 || low > high) {
        return GN_EINVAL;
    }
    if (gni_conn_more(c) == NULL) {
        return GN_ENOMEM;
    }
    c->more->high = high;
    c->more->low = low;
    gni_conn_mark_dirty(c);
    return GN_OK;
}

/* Who is told no is owed an on_writable, so the mark is passed from now on. */
int gn_conn_is_writable(gn_conn *c)
{
    if (stream_usable(c) != GN_OK || (c->flags & GNI_F_SHUT) != 0) {
        return 0;
    }
    if ((c->flags & GNI_F_HIGH) == 0 && gni_out_bytes(c) > gni_conn_high(c)) {
        c->flags |= GNI_F_HIGH;
        gni_conn_mark_dirty(c);
    }
    return (c->flags & GNI_F_HIGH) == 0;
}

int gn_conn_set_limits(gn_conn *c, size_t inbound_max, size_t outbound_max)
{
    int rc = stream_usable(c);
    if (rc != GN_OK) {
        return rc;
    }
    if (gni_conn_more(c) == NULL) {
        return GN_ENOMEM;
    }
    if (inbound_max != 0) {
        c->more->inbound_max = inbound_max;
    }
    if (outbound_max != 0) {
        c->more->outbound_max = outbound_max;
        c->flags |= GNI_F_LIMITED;
    }
    gni_conn_mark_dirty(c);
    return GN_OK;
}
