/* SPDX-License-Identifier: MIT */
/* Writes that tell when the system has taken all of them: the user's own memory, or a copy. */
#include <string.h>

#include "conn.h"
#include "loop.h"
#include "outbound.h"

/* Why c cannot take any of these now, or GN_OK. */
static int writable(const gn_conn *c)
{
    if (!gni_conn_usable(c)) {
        return GN_ECLOSED;
    }
    if ((c->flags & GNI_F_DGRAM) != 0) {
        return GN_ENOTSUP;
    }
    return (c->flags & GNI_F_SHUT) != 0 ? GN_EPIPE : GN_OK;
}

int gn_conn_write_ref(gn_conn *c, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    if (!gni_conn_valid(c) || (iov == NULL && count > 0)) {
        return GN_EINVAL;
    }
    int rc = writable(c);
    return rc != GN_OK ? rc : gni_out_write_ref(c, iov, count, gn_conn_handle(c), done, arg);
}

/* ---------------------------------------------------------- from any thread */

/* A write on its way to the loop.  A copy lives until all of it has left, the list of the user's
 * pieces until it is queued. */
typedef struct ref_op {
    gni_task task; /* first: the mailbox knows only this */
    gn_handle h;
    gn_done done;
    void *arg;
    size_t size; /* of this allocation */
    size_t len;  /* of the copy */
    unsigned count;
    gn_iov iov[]; /* the pieces; or none, and the copy stands here */
} ref_op;

static ref_op *op_new(gn_handle h, size_t extra, gn_done done, void *arg)
{
    if (extra > SIZE_MAX - sizeof(ref_op)) {
        return NULL;
    }
    ref_op *o = gnp_alloc(sizeof *o + extra);
    if (o != NULL) {
        o->h = h;
        o->done = done;
        o->arg = arg;
        o->size = sizeof *o + extra;
        o->len = 0;
        o->count = 0;
    }
    return o;
}

static int op_post(ref_op *o, void (*run)(gni_task *, int))
{
    o->task.run = run;
    int rc = gni_loop_post(o->h, &o->task);
    if (rc != GN_OK) {
        gnp_free(o, o->size);
    }
    return rc;
}

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

static int op_queue(const ref_op *o, int status, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(o->h) : NULL;
    int rc = c == NULL ? GN_ECLOSED : writable(c);
    return rc != GN_OK ? rc : gni_out_write_ref(c, iov, count, o->h, done, arg);
}

static void write_ref_run(gni_task *t, int status)
{
    ref_op *o = (ref_op *)(void *)t;
    int rc = op_queue(o, status, o->iov, o->count, o->done, o->arg);
    if (rc != GN_OK) {
        o->done(o->h, rc, o->arg);
    }
    gnp_free(o, o->size);
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
    ref_op *o = op_new(h, count * sizeof *iov, done, arg);
    if (o == NULL) {
        return GN_ENOMEM;
    }
    o->count = count;
    if (count > 0) {
        memcpy(o->iov, iov, count * sizeof *iov);
    }
    return op_post(o, write_ref_run);
}

static void sent(gn_handle h, int status, void *arg)
{
    ref_op *o = arg;
    if (o->done != NULL) {
        o->done(h, status, o->arg);
    }
    gnp_free(o, o->size);
}

static void write_sent_run(gni_task *t, int status)
{
    ref_op *o = (ref_op *)(void *)t;
    gn_iov one = { o->iov, o->len };
    int rc = op_queue(o, status, &one, 1, sent, o);
    if (rc != GN_OK) {
        sent(o->h, rc, o);
    }
}

int gn_write_sent(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    size_t total;
    if (pieces_check(iov, count, &total) != GN_OK) {
        return GN_EINVAL;
    }
    ref_op *o = op_new(h, total, done, arg);
    if (o == NULL) {
        return GN_ENOMEM;
    }
    unsigned char *at = (unsigned char *)o->iov;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].len > 0) {
            memcpy(at, iov[i].base, iov[i].len);
            at += iov[i].len;
        }
    }
    o->len = total;
    return op_post(o, write_sent_run);
}
