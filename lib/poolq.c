/* SPDX-License-Identifier: MIT */
#include "poolq.h"

#include <string.h>

#include "../platform/atomic.h"
#include "../platform/mem.h"
#include "bits.h"

#define RING_MIN 64u

/* An op is a serial number of the process and a slot + 1, so that neither an old one nor one of
 * another pool names a task by mistake. */
#define SLOT_BITS 24u
#define SLOT_MASK ((UINT32_C(1) << SLOT_BITS) - 1)
#define OPS_MIN 16u
#define OPS_MAX SLOT_MASK

static gnp_atomic64 serial;

void gni_poolq_free(gni_poolq *q)
{
    gnp_free(q->ring, q->cap * sizeof *q->ring);
    gnp_free(q->ops, q->ops_cap * sizeof *q->ops);
    memset(q, 0, sizeof *q);
}

static gni_pooltask *at(const gni_poolq *q, size_t i)
{
    return &q->ring[(q->head + i) & (q->cap - 1)];
}

static uint32_t slot_of(const gni_pooltask *t) { return (uint32_t)(uintptr_t)t->arg; }

/* Frees the slot of a gap; 0 if t is none. */
static int gap_drop(gni_poolq *q, const gni_pooltask *t)
{
    if (t->fn != NULL || q->ops[slot_of(t)].state != GNI_POOLOP_GONE)
        return 0;
    gni_poolq_op_end(q, slot_of(t) + 1);
    q->gaps--;
    return 1;
}

/* Closes the gaps; the number of tasks that are left. */
static size_t pack(gni_poolq *q)
{
    size_t n = 0;

    for (size_t i = 0; i < q->count; i++) {
        const gni_pooltask t = *at(q, i);
        if (!gap_drop(q, &t))
            *at(q, n++) = t;
    }
    return n;
}

static int ring_resize(gni_poolq *q, size_t cap)
{
    gni_pooltask *ring = cap == 0 || cap > SIZE_MAX / sizeof *ring ? NULL : gnp_alloc(cap * sizeof *ring);

    if (ring == NULL)
        return GN_ENOMEM;
    for (size_t i = 0; i < q->count; i++)
        ring[i] = *at(q, i);
    gnp_free(q->ring, q->cap * sizeof *ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return GN_OK;
}

int gni_poolq_prealloc(gni_poolq *q, size_t n)
{
    /* Half as much again: then a full ring has enough gaps to be worth packing. */
    if (n > SIZE_MAX / 2)
        return GN_ENOMEM;
    n += n / 2;
    return ring_resize(q, gni_pow2_ceil(n < RING_MIN ? RING_MIN : n));
}

int gni_poolq_reserve(gni_poolq *q, size_t more)
{
    if (q->cap - q->count >= more)
        return GN_OK;
    if (q->gaps > 0 && q->gaps >= q->cap / 4) {
        q->count = pack(q);
        if (q->cap - q->count >= more)
            return GN_OK;
    }
    if (more > SIZE_MAX / 2 - q->count)
        return GN_ENOMEM;
    return ring_resize(q, gni_pow2_ceil(q->count + more < RING_MIN ? RING_MIN : q->count + more));
}

int gni_poolq_reserve_op(gni_poolq *q)
{
    uint32_t cap = q->ops_cap == 0 ? OPS_MIN : q->ops_cap * 2;
    gni_poolop *ops;

    if (q->ops_free != 0)
        return GN_OK;
    if (cap > OPS_MAX)
        return GN_ELIMIT;
    ops = gnp_realloc(q->ops, q->ops_cap * sizeof *ops, cap * sizeof *ops);
    if (ops == NULL)
        return GN_ENOMEM;
    q->ops = ops;
    for (uint32_t i = cap; i > q->ops_cap; i--) {
        ops[i - 1].op = GN_OP_NONE;
        ops[i - 1].state = GNI_POOLOP_FREE;
        ops[i - 1].next = q->ops_free;
        q->ops_free = i;
    }
    q->ops_cap = cap;
    return GN_OK;
}

gn_op gni_poolq_push_op(gni_poolq *q, gni_pooltask t)
{
    uint32_t i = q->ops_free - 1;
    gni_poolop *o = &q->ops[i];
    gni_pooltask named;

    q->ops_free = o->next;
    o->op = (gnp_add64(&serial, 1) << SLOT_BITS) | (i + 1);
    o->task = t;
    o->state = GNI_POOLOP_WAITS;
    named.fn = NULL;
    named.arg = (void *)(uintptr_t)i;
    gni_poolq_push(q, named);
    return o->op;
}

void gni_poolq_unpop(gni_poolq *q, gni_pooltask t)
{
    q->head = (q->head - 1) & (q->cap - 1);
    q->count++;
    *at(q, 0) = t;
}

static void pop(gni_poolq *q)
{
    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
}

unsigned gni_poolq_take(gni_poolq *q, gni_pooltask *out, unsigned max, uint32_t *slot)
{
    unsigned n = 0;

    while (q->count > 0 && n < max) {
        const gni_pooltask t = *at(q, 0);
        if (t.fn != NULL) {
            out[n++] = t;
        } else if (!gap_drop(q, &t)) {
            if (n > 0)
                break;
            q->ops[slot_of(&t)].state = GNI_POOLOP_RUNS;
            out[n++] = q->ops[slot_of(&t)].task;
            *slot = slot_of(&t) + 1;
            max = 1;
        }
        pop(q);
    }
    return n;
}

void gni_poolq_op_end(gni_poolq *q, uint32_t slot_plus_1)
{
    gni_poolop *o = &q->ops[slot_plus_1 - 1];

    o->op = GN_OP_NONE;
    o->state = GNI_POOLOP_FREE;
    o->next = q->ops_free;
    q->ops_free = slot_plus_1;
}

int gni_poolq_cancel(gni_poolq *q, gn_op op, gni_pooltask *out)
{
    uint32_t slot = (uint32_t)op & SLOT_MASK;
    gni_poolop *o;

    if (slot == 0 || slot > q->ops_cap)
        return GN_ECLOSED;
    o = &q->ops[slot - 1];
    if (o->op != op || o->state == GNI_POOLOP_GONE)
        return GN_ECLOSED;
    if (o->state == GNI_POOLOP_RUNS)
        return GN_EBUSY;
    *out = o->task;
    o->state = GNI_POOLOP_GONE;
    q->gaps++;
    return GN_OK;
}

void gni_poolq_cut(gni_poolq *q, gni_poolq *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < q->count; i++) {
        gni_pooltask *t = at(q, i);
        uint32_t slot = slot_of(t);
        if (t->fn == NULL && q->ops[slot].state == GNI_POOLOP_WAITS) {
            *t = q->ops[slot].task;
            gni_poolq_op_end(q, slot + 1);
        }
    }
    out->count = pack(q);
    out->ring = q->ring;
    out->cap = q->cap;
    out->head = q->head;
    q->ring = NULL;
    q->cap = q->head = q->count = 0;
}
