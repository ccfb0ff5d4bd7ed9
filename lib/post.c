/* SPDX-License-Identifier: MIT */
/* The verbs that work from any thread: each becomes one task in the mailbox of the loop. */
#include <string.h>

#include "addr.h"
#include "conn.h"
#include "engine.h"
#include "loop.h"
#include "outbound.h"
#include "udp.h"

/* One asked operation.  It is freed after done was called, exactly once. */
typedef struct op {
    gni_task task; /* first: the mailbox knows only this */
    gn_handle h;
    gn_done done;
    void *arg;
    size_t size; /* of this allocation */
    size_t len;  /* of data */
    gn_addr to;  /* gn_send_to only */
    unsigned char data[];
} op;

static void op_finish(op *o, int status)
{
    if (o->done != NULL) {
        o->done(o->h, status, o->arg);
    }
    gnp_free(o, o->size);
}

static op *op_new(gn_handle h, size_t len, gn_done done, void *arg)
{
    if (len > SIZE_MAX - sizeof(op)) {
        return NULL;
    }
    op *o = gnp_alloc(sizeof *o + len);
    if (o != NULL) {
        o->h = h;
        o->done = done;
        o->arg = arg;
        o->size = sizeof *o + len;
        o->len = len;
    }
    return o;
}

static int op_post(op *o, void (*run)(gni_task *, int))
{
    if (o == NULL) {
        return GN_ENOMEM;
    }
    o->task.run = run;
    int rc = gni_loop_post(o->h, &o->task);
    if (rc != GN_OK) {
        gnp_free(o, o->size);
    }
    return rc;
}

/* The connection, if it can still be used; an ended loop has none. */
static gn_conn *op_conn(const op *o, int status)
{
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(o->h) : NULL;
    return c != NULL && gni_conn_usable(c) ? c : NULL;
}

/* ----------------------------------------------------------------- writing */

static void write_run(gni_task *t, int status)
{
    op *o = (op *)(void *)t;
    gn_conn *c = op_conn(o, status);
    op_finish(o, c == NULL ? GN_ECLOSED : gn_conn_write(c, o->data, o->len));
}

int gn_writev(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg)
{
    size_t total = 0;
    if (iov == NULL && count > 0) {
        return GN_EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        if ((iov[i].base == NULL && iov[i].len > 0) || iov[i].len > SIZE_MAX - total) {
            return GN_EINVAL;
        }
        total += iov[i].len;
    }
    op *o = op_new(h, total, done, arg);
    if (o != NULL) {
        unsigned char *at = o->data;
        for (unsigned i = 0; i < count; i++) {
            if (iov[i].len > 0) {
                memcpy(at, iov[i].base, iov[i].len);
                at += iov[i].len;
            }
        }
    }
    return op_post(o, write_run);
}

int gn_write(gn_handle h, const void *data, size_t n, gn_done done, void *arg)
{
    gn_iov one;
    one.base = data;
    one.len = n;
    return gn_writev(h, &one, 1, done, arg);
}

static void send_to_run(gni_task *t, int status)
{
    op *o = (op *)(void *)t;
    gn_conn *c = op_conn(o, status);
    int rc = GN_ECLOSED;
    if (c != NULL && !gn_conn_is_datagram(c)) {
        rc = GN_ENOTSUP;
    } else if (c != NULL) {
        gnp_addr to;
        gn_iov one;
        gni_addr_get(&to, &o->to);
        one.base = o->data;
        one.len = o->len;
        rc = gni_udp_send(c, &to, &one, 1);
    }
    op_finish(o, rc);
}

int gn_send_to(gn_handle h, const gn_addr *to, const void *data, size_t n, gn_done done, void *arg)
{
    if (to == NULL || (data == NULL && n > 0)) {
        return GN_EINVAL;
    }
    gn_family family = gn_addr_family(to);
    if (family != GN_FAMILY_IPV4 && family != GN_FAMILY_IPV6) {
        return GN_EINVAL;
    }
    op *o = op_new(h, n, done, arg);
    if (o != NULL) {
        o->to = *to;
        if (n > 0) {
            memcpy(o->data, data, n);
        }
    }
    return op_post(o, send_to_run);
}

/* ----------------------------------------------------------- wake and close */

static void wake_run(gni_task *t, int status)
{
    op *o = (op *)(void *)t;
    gn_conn *c = op_conn(o, status);
    int rc = GN_ECLOSED;
    if (c != NULL && gn_conn_is_datagram(c)) {
        rc = GN_ENOTSUP;
    } else if (c != NULL) {
        gni_conn_traffic(c, NULL, 0);
        gni_conn_mark_dirty(c);
        rc = GN_OK;
    }
    op_finish(o, rc);
}

int gn_wake(gn_handle h, gn_done done, void *arg)
{
    return op_post(op_new(h, 0, done, arg), wake_run);
}

static void close_finish(gni_task *t, int status)
{
    op_finish((op *)(void *)t, status);
}

/* It waits with the connection until on_close has returned, whoever asked first. */
static void close_run(gni_task *t, int status)
{
    op *o = (op *)(void *)t;
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(o->h) : NULL;
    if (c == NULL) {
        op_finish(o, GN_ECLOSED);
        return;
    }
    if (gn_conn_is_datagram(c)) {
        op_finish(o, GN_ENOTSUP);
        return;
    }
    t->run = close_finish;
    t->next = c->closers;
    c->closers = t;
    (void)gn_conn_close(c);
}

int gn_close(gn_handle h, gn_done done, void *arg)
{
    return op_post(op_new(h, 0, done, arg), close_run);
}

/* ----------------------------------------------------------------- execute */

static void execute_run(gni_task *t, int status)
{
    op *o = (op *)(void *)t;
    const gn_loop *l = gn_loop_current();
    if (status == GN_OK && !gni_loop_is(l, o->h) && gn_conn_from_handle(o->h) == NULL) {
        status = GN_ECLOSED;
    }
    op_finish(o, status);
}

int gn_execute(gn_handle h, gn_done fn, void *arg)
{
    return fn == NULL ? GN_EINVAL : op_post(op_new(h, 0, fn, arg), execute_run);
}
