/* SPDX-License-Identifier: MIT */
/* Writes that tell when the system has taken all of them: the user's own memory, or a copy. */
#include <stddef.h>
#include <string.h>

#include "conn.h"
#include "loop.h"
#include "outbound.h"
#include "post.h"

int gn_conn_write_ref(gn_conn *c, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    if (!gni_conn_valid(c) || (iov == NULL && count > 0)) {
        return GN_EINVAL;
    }
    int rc = gni_out_refusal(c);
    return rc != GN_OK ? rc : gni_out_write_ref(c, iov, count, gn_conn_handle(c), done, arg);
}

/* ---------------------------------------------------------- from any thread */

/* GN_OK if the pieces make sense; *total is their length. */
static int pieces_check(const gn_iov *iov, unsigned count, size_t *total)
{
    *total = 0;
    if (iov == NULL && count > 0) {
        return GN_EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        if ((iov[i].base == NULL && iov[i].len > 0) || iov[i].len > SIZE_MAX - *total) {
            return GN_EINVAL;
        }
        *total += iov[i].len;
    }
    return GN_OK;
}

_Static_assert(offsetof(gni_ask, data) % _Alignof(gn_iov) == 0, "pieces may stand in the data");

/* Queues what an operation brings.  0 if the operation has moved on to another loop. */
static int ask_queue(gni_ask *o, int status, const gn_iov *iov, unsigned count, gn_done done, void *arg,
                     int *rc)
{
    gn_conn *c;
    if (!gni_ask_conn(o, status, &c)) {
        return 0;
    }
    *rc = c == NULL ? GN_ECLOSED : gni_out_refusal(c);
    if (*rc == GN_OK) {
        *rc = gni_out_write_ref(c, iov, count, o->to, done, arg);
    }
    return 1;
}

static void write_ref_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    const gn_iov *iov = (const gn_iov *)(const void *)o->data;
    unsigned count = (unsigned)(gni_ask_len(o) / sizeof(gn_iov));
    int rc;
    if (!ask_queue(o, status, iov, count, o->done, o->arg, &rc)) {
        return;
    }
    if (rc == GN_OK) {
        o->done = NULL; /* now the queue's */
    }
    gni_ask_finish(o, rc);
}

int gn_write_ref(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    size_t total;
    if (done == NULL || pieces_check(iov, count, &total) != GN_OK) {
        return GN_EINVAL;
    }
    if (count > GNI_ITEMS_MAX) { /* no queue would take them */
        return GN_ELIMIT;
    }
    gni_ask *o;
    int rc = gni_ask_make(&o, h, count * sizeof *iov, done, arg);
    if (rc != GN_OK) {
        return rc;
    }
    if (count > 0) {
        memcpy(o->data, iov, count * sizeof *iov);
    }
    return gni_ask_post(o, write_ref_run, GNI_HIGH);
}

static void sent(gn_handle h, int status, void *arg)
{
    gni_ask *o = arg;
    o->to = h;
    gni_ask_finish(o, status);
}

/* The copy stays in the operation until all of it has left. */
static void write_sent_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_iov one = { o->data, gni_ask_len(o) };
    int rc;
    if (ask_queue(o, status, &one, 1, sent, o, &rc) && rc != GN_OK) {
        gni_ask_finish(o, rc);
    }
}

int gn_write_sent(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    size_t total;
    if (pieces_check(iov, count, &total) != GN_OK) {
        return GN_EINVAL;
    }
    gni_ask *o;
    int rc = gni_ask_make(&o, h, total, done, arg);
    if (rc != GN_OK) {
        return rc;
    }
    unsigned char *at = o->data;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > 0) {
            memcpy(at, iov[i].base, iov[i].len);
            at += iov[i].len;
        }
    }
    return gni_ask_post(o, write_sent_run, GNI_HIGH);
}
