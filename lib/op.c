/* SPDX-License-Identifier: MIT */
#include "op.h"

#include <string.h>

#include "loop.h"
#include "post.h"

/* A table that is empty again keeps its memory up to this size. */
#define BUCKETS_KEPT 1024u

static gni_op **bucket_of(gni_ops *t, gn_op token)
{
    return t->many != NULL ? &t->many[token & (t->buckets - 1)] : &t->few[token & (GNI_OPS_FEW - 1)];
}

static void to_few(gni_ops *t)
{
    gnp_free(t->many, t->buckets * sizeof *t->many);
    t->many = NULL;
    t->buckets = 0;
}

static void grow(gni_ops *t)
{
    size_t had = t->many != NULL ? t->buckets : GNI_OPS_FEW;
    size_t want = had * 4;
    gni_op **from = t->many != NULL ? t->many : t->few;
    gni_op **to = gnp_zalloc(want * sizeof *to);
    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < had; i++) {
        while (from[i] != NULL) {
            gni_op *o = from[i];
            from[i] = o->next;
            o->next = to[o->token & (want - 1)];
            to[o->token & (want - 1)] = o;
        }
    }
    to_few(t);
    t->many = to;
    t->buckets = want;
}

void gni_ops_add(gni_ops *t, gni_op *o, gn_op token)
{
    if (t->count >= (t->many != NULL ? t->buckets : GNI_OPS_FEW)) {
        grow(t);
    }
    gni_op **b = bucket_of(t, token);
    o->token = token;
    o->next = *b;
    *b = o;
    t->count++;
}

void gni_ops_remove(gni_ops *t, gni_op *o)
{
    if (o->token == GN_OP_NONE) {
        return;
    }
    gni_op **at = bucket_of(t, o->token);
    while (*at != o) {
        at = &(*at)->next;
    }
    *at = o->next;
    o->token = GN_OP_NONE;
    t->count--;
    if (t->count == 0 && t->buckets > BUCKETS_KEPT) {
        to_few(t);
    }
}

gni_op *gni_ops_find(const gni_ops *t, gn_op token)
{
    gni_op *o = t->many != NULL ? t->many[token & (t->buckets - 1)] : t->few[token & (GNI_OPS_FEW - 1)];
    while (o != NULL && o->token != token) {
        o = o->next;
    }
    return o;
}

void gni_ops_free(gni_ops *t)
{
    if (t->many != NULL) {
        to_few(t);
    }
}

/* ----------------------------------------------------------------- cancelling */

static void cancel_run(gni_task *t, int status)
{
    gni_ask *k = (gni_ask *)(void *)t;
    gn_op token;
    memcpy(&token, k->data, sizeof token);
    gni_ask_arrived(k);
    gni_ask_finish(k, status);
    gni_op *o = status == GN_OK ? gni_ops_find(&gn_loop_current()->ops, token) : NULL;
    if (o != NULL) {
        o->cancel(o);
    }
}

/* Its task comes behind that of the operation itself, which whoever knows the token had posted. */
int gn_cancel(gn_op op)
{
    gni_ask *k;
    /* Whatever loop has that slot now; a later one than the token's finds nothing. */
    gn_handle any = GNI_HANDLE(GNI_OP_SLOT(op), GNI_LOOP_INDEX, UINT32_MAX);
    int rc = gni_ask_make(&k, any, sizeof op, NULL, NULL);
    if (rc != GN_OK) {
        return rc;
    }
    memcpy(k->data, &op, sizeof op);
    return gni_ask_post(k, cancel_run, GNI_HIGH);
}
