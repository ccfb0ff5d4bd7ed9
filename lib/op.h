/* SPDX-License-Identifier: MIT */
/*
 * Operations of one loop that can be cancelled, found by their tokens.  A token has the slot of the
 * loop in its upper 10 bits and a number below that its slot never gives out again, so that an old
 * one finds nothing.  All but gni_op_token belongs to the loop's thread.
 */
#ifndef GNI_OP_H
#define GNI_OP_H

#include "../include/gannet.h"

#define GNI_OP_SLOT_SHIFT 54u
#define GNI_OP_SLOT(op) ((unsigned)((op) >> GNI_OP_SLOT_SHIFT))

/* In place in its owner; token 0: not registered. */
typedef struct gni_op {
    struct gni_op *next; /* in its bucket */
    gn_op token;
    void (*cancel)(struct gni_op *o); /* takes it out and completes it with GN_ECANCELED */
} gni_op;

#define GNI_OPS_FEW 16u /* buckets in place */

/* Numbers are given out in a row: their low bits are as good a hash as any. */
typedef struct gni_ops {
    gni_op *few[GNI_OPS_FEW];
    gni_op **many; /* instead of few, or NULL */
    size_t buckets; /* of many */
    size_t count;
} gni_ops;

/* A new token of the loop that h names, or that owns that connection; GN_OP_NONE if h names nothing.
 * [any] */
gn_op gni_op_token(gn_handle h);

/* Registers o under its token.  Never fails: without memory to grow it only gets slower. */
void gni_ops_add(gni_ops *t, gni_op *o, gn_op token);

/* Takes it out, if it is in. */
void gni_ops_remove(gni_ops *t, gni_op *o);

gni_op *gni_ops_find(const gni_ops *t, gn_op token);

/* Gives back its memory; nothing is registered any more. */
void gni_ops_free(gni_ops *t);

#endif
