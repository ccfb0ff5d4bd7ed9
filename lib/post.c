/* SPDX-License-Identifier: MIT */
/* The verbs that work from any thread: each becomes one task in the mailbox of the loop. */
#include <string.h>

#include "addr.h"
#include "conn.h"
#include "engine.h"
#include "loop.h"
#include "migrate.h"
#include "outbound.h"
#include "post.h"
#include "udp.h"

_Static_assert(sizeof(gni_ask) <= GNI_OP_LEAST, "an operation without data is one cache line");

/* task.owner: the stripe of the block; if it counts among the bytes that wait; the length of its data. */
#define STRIPE 3u
#define CHARGED 4u
#define LEN_SHIFT 3u
#define LEN_MAX (UINT32_MAX >> LEN_SHIFT)
_Static_assert(GNI_OP_STRIPES == STRIPE + 1, "a stripe has two bits");

size_t gni_ask_len(const gni_ask *o)
{
    return o->task.owner >> LEN_SHIFT;
}

static size_t block_bytes(const gni_ask *o)
{
    return gni_op_block(sizeof *o + gni_ask_len(o));
}

static void op_free(gni_ask *o)
{
    gn_loop *l = gn_loop_current();
    gni_loop_slot *s = gni_loop_slot_at(GNI_HANDLE_SLOT(o->h));
    size_t n = sizeof *o + gni_ask_len(o);
    uint32_t stripe = o->task.owner & STRIPE;
    if (l != NULL && l->op_pool == &s->ops) {
        gni_op_batch_add(&l->op_batch, o, n, stripe);
    } else {
        gni_op_give(&s->ops, o, n, stripe);
    }
}

void gni_ask_finish(gni_ask *o, int status)
{
    if (o->done != NULL) {
        o->done(o->to, status, o->arg);
    }
    op_free(o);
}

/* The limit is asked before anything is copied. */
int gni_ask_make(gni_ask **out, gn_handle h, size_t len, gn_done done, void *arg)
{
    gni_loop_slot *s = gni_loop_slot_of(h);
    if (s == NULL) {
        return GN_ECLOSED;
    }
    if (len > LEN_MAX) {
        return GN_ELIMIT;
    }
    size_t n = gni_op_block(sizeof(gni_ask) + len);
    int rc = gni_mailbox_charge(&s->box, n);
    if (rc != GN_OK) {
        return rc;
    }
    uint32_t stripe;
    gni_ask *o = gni_op_take(&s->ops, n, &stripe);
    if (o == NULL) {
        gni_mailbox_uncharge(&s->box, n);
        return GN_ENOMEM;
    }
    o->task.owner = (uint32_t)len << LEN_SHIFT | CHARGED | stripe;
    o->h = o->to = h;
    o->done = done;
    o->arg = arg;
    *out = o;
    return GN_OK;
}

int gni_ask_post(gni_ask *o, void (*run)(gni_task *, int), unsigned priority)
{
    unsigned slot = GNI_HANDLE_SLOT(o->h);
    o->task.run = run;
    int rc = gni_loop_push(slot, &o->task, priority);
    if (rc != GN_OK) {
        gni_mailbox_uncharge(&gni_loop_slot_at(slot)->box, block_bytes(o));
        op_free(o);
    }
    return rc;
}

/* An operation without data. */
static int ask(gn_handle h, gn_done done, void *arg, void (*run)(gni_task *, int), unsigned priority)
{
    gni_ask *o;
    int rc = gni_ask_make(&o, h, 0, done, arg);
    return rc != GN_OK ? rc : gni_ask_post(o, run, priority);
}

/* What has followed a connection still counts where it was posted. */
void gni_ask_arrived(gni_ask *o)
{
    gn_loop *l = gn_loop_current();
    if ((o->task.owner & CHARGED) == 0) {
        return;
    }
    o->task.owner &= ~CHARGED;
    if (GNI_HANDLE_SLOT(o->h) == l->slot) {
        l->uncharged += block_bytes(o);
    } else {
        gni_mailbox_uncharge(&gni_loop_slot_at(GNI_HANDLE_SLOT(o->h))->box, block_bytes(o));
    }
}

int gni_ask_conn(gni_ask *o, int status, gn_conn **c)
{
    *c = NULL;
    if (status == GN_OK && !gni_migrate_follow(&o->to, &o->task, c)) {
        return 0;
    }
    gni_ask_arrived(o);
    return 1;
}

/* ... and can still be used. */
static int op_usable(gni_ask *o, int status, gn_conn **c)
{
    int here = gni_ask_conn(o, status, c);
    if (here && *c != NULL && !gni_conn_usable(*c)) {
        *c = NULL;
    }
    return here;
}

/* ----------------------------------------------------------------- writing */

static void write_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_conn *c;
    if (op_usable(o, status, &c)) {
        gni_ask_finish(o, c == NULL ? GN_ECLOSED : gni_out_post(c, o->data, gni_ask_len(o)));
    }
}

int gn_write(gn_handle h, const void *data, size_t n, gn_done done, void *arg)
{
    if (data == NULL && n > 0) {
        return GN_EINVAL;
    }
    gni_ask *o;
    int rc = gni_ask_make(&o, h, n, done, arg);
    if (rc != GN_OK) {
        return rc;
    }
    if (n > 0) {
        memcpy(o->data, data, n);
    }
    return gni_ask_post(o, write_run, GNI_HIGH);
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
    return gni_ask_post(o, write_run, GNI_HIGH);
}

/* The data of a gn_send_to begins with the address. */
static void send_to_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_conn *c;
    int rc = GN_ECLOSED;
    if (!op_usable(o, status, &c)) {
        return;
    }
    if (c != NULL && !gn_conn_is_datagram(c)) {
        rc = GN_ENOTSUP;
    } else if (c != NULL) {
        gn_addr a;
        gnp_addr to;
        gn_iov one;
        memcpy(&a, o->data, sizeof a);
        gni_addr_get(&to, &a);
        one.base = o->data + sizeof a;
        one.len = gni_ask_len(o) - sizeof a;
        rc = gni_udp_send(c, &to, &one, 1);
    }
    gni_ask_finish(o, rc);
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
    gni_ask *o;
    int rc = n > SIZE_MAX - sizeof *to ? GN_ENOMEM : gni_ask_make(&o, h, sizeof *to + n, done, arg);
    if (rc != GN_OK) {
        return rc;
    }
    memcpy(o->data, to, sizeof *to);
    if (n > 0) {
        memcpy(o->data + sizeof *to, data, n);
    }
    return gni_ask_post(o, send_to_run, GNI_HIGH);
}

/* ----------------------------------------------------------- wake and close */

static void wake_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_conn *c;
    int rc = GN_ECLOSED;
    if (!op_usable(o, status, &c)) {
        return;
    }
    if (c != NULL && gn_conn_is_datagram(c)) {
        rc = GN_ENOTSUP;
    } else if (c != NULL) {
        gni_conn_traffic(c, NULL, 0);
        gni_conn_mark_dirty(c);
        rc = GN_OK;
    }
    gni_ask_finish(o, rc);
}

int gn_wake(gn_handle h, gn_done done, void *arg)
{
    return ask(h, done, arg, wake_run, GNI_HIGH);
}

static void close_finish(gni_task *t, int status)
{
    gni_ask_finish((gni_ask *)(void *)t, status);
}

/* It waits with the connection until on_close has returned, whoever asked first. */
static void close_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_conn *c;
    if (!gni_ask_conn(o, status, &c)) {
        return;
    }
    if (c == NULL || gni_conn_is_endpoint(c)) {
        gni_ask_finish(o, c == NULL ? GN_ECLOSED : GN_ENOTSUP);
        return;
    }
    t->run = close_finish;
    t->next = c->closers;
    c->closers = t;
    (void)gn_conn_close(c);
}

int gn_close(gn_handle h, gn_done done, void *arg)
{
    return ask(h, done, arg, close_run, GNI_HIGH);
}

/* ----------------------------------------------------------------- execute */

static void execute_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_conn *c;
    if (!gni_ask_conn(o, status, &c)) {
        return;
    }
    if (status == GN_OK && c == NULL && !gni_loop_is(gn_loop_current(), o->to)) {
        status = GN_ECLOSED;
    }
    gni_ask_finish(o, status);
}

void gni_execute_now(gni_ask *o, int status)
{
    o->task.run = execute_run; /* also if it must follow the connection first */
    execute_run(&o->task, status);
}

int gn_execute(gn_handle h, gn_done fn, void *arg)
{
    return fn == NULL ? GN_EINVAL : ask(h, fn, arg, execute_run, GNI_HIGH);
}

int gn_execute_low(gn_handle h, gn_done fn, void *arg)
{
    return fn == NULL ? GN_EINVAL : ask(h, fn, arg, execute_run, GNI_LOW);
}
