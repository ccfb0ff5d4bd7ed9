/* SPDX-License-Identifier: MIT */
/*
 * The tasks that wait in a worker pool: a ring that grows, and the slots of those that can be cancelled.
 * A cancelled task leaves a gap in the ring, so that cancelling takes constant time; gaps go when they
 * are taken, or when the ring is packed instead of growing.  No locks here: the pool has one.
 */
#ifndef GNI_POOLQ_H
#define GNI_POOLQ_H

#include "../include/gannet.h"

/* fn NULL: arg is the number of a slot. */
typedef struct gni_pooltask {
    gn_task_fn fn;
    void *arg;
} gni_pooltask;

typedef enum gni_poolop_state {
    GNI_POOLOP_FREE = 0,
    GNI_POOLOP_WAITS,
    GNI_POOLOP_GONE, /* cancelled, its gap is still in the ring */
    GNI_POOLOP_RUNS
} gni_poolop_state;

typedef struct gni_poolop {
    gn_op op;
    gni_pooltask task;
    uint32_t next; /* free slot after this one */
    gni_poolop_state state;
} gni_poolop;

typedef struct gni_poolq {
    gni_pooltask *ring;
    size_t cap, head, count; /* cap: 0 or a power of two; count: gaps too */
    size_t gaps;
    gni_poolop *ops;
    uint32_t ops_cap, ops_free; /* ops_free: slot + 1, 0 for none */
} gni_poolq;

/* A zeroed queue is empty. */
void gni_poolq_free(gni_poolq *q);

static inline size_t gni_poolq_live(const gni_poolq *q) { return q->count - q->gaps; }

/* Memory for so many tasks, gaps that cancelled ones leave included.  GN_ENOMEM. */
int gni_poolq_prealloc(gni_poolq *q, size_t n);

/* Room for more tasks beside those within.  GN_ENOMEM. */
int gni_poolq_reserve(gni_poolq *q, size_t more);

/* A free slot for gni_poolq_push_op.  GN_ENOMEM, GN_ELIMIT. */
int gni_poolq_reserve_op(gni_poolq *q);

/* After a reserve that was not used up. */
static inline void gni_poolq_push(gni_poolq *q, gni_pooltask t)
{
    q->ring[(q->head + q->count) & (q->cap - 1)] = t;
    q->count++;
}
gn_op gni_poolq_push_op(gni_poolq *q, gni_pooltask t);
/* To the front, where it came from. */
void gni_poolq_unpop(gni_poolq *q, gni_pooltask t);

/* The oldest tasks, at most max (at least 1).  One with a slot comes alone: *slot becomes its slot + 1,
 * and it counts as running until gni_poolq_op_end. */
unsigned gni_poolq_take(gni_poolq *q, gni_pooltask *out, unsigned max, uint32_t *slot);
void gni_poolq_op_end(gni_poolq *q, uint32_t slot_plus_1);

/* GN_OK: *out was waiting and is the caller's now.  GN_EBUSY: it runs.  GN_ECLOSED: there is none. */
int gni_poolq_cancel(gni_poolq *q, gn_op op, gni_pooltask *out);

/* Moves all that waits into *out, as plain tasks.  q keeps its slots, since some of them run. */
void gni_poolq_cut(gni_poolq *q, gni_poolq *out);

#endif
