/* SPDX-License-Identifier: MIT */
#include "opmem.h"

#include <string.h>

#include "../platform/cpu.h"
#include "../platform/mem.h"
#include "../platform/thread.h"
#include "bits.h"

#define LINE ((size_t)64)

/* Who is in a stripe leaves it after a few instructions, unless it was preempted there. */
#define STRIPE_SPINS 32u

/* The stripe of this thread, plus one; 0: not chosen yet. */
static GNP_THREAD_LOCAL uint32_t my_stripe;
static gnp_atomic32 next_stripe;

static uint32_t stripe_of_thread(void)
{
    if (my_stripe == 0) {
        my_stripe = gnp_add32(&next_stripe, 1) % GNI_OP_STRIPES + 1;
    }
    return my_stripe - 1;
}

static inline int enter_at_once(gni_op_stripe *s)
{
    return gnp_load32(&s->busy) == 0 && gnp_swap32(&s->busy, 1) == 0;
}

static int try_enter(gni_op_stripe *s)
{
    for (unsigned i = 0; i < STRIPE_SPINS; i++) {
        if (enter_at_once(s)) {
            return 1;
        }
        gnp_cpu_relax();
    }
    return 0;
}

/* For what happens once in a loop's life. */
static void enter(gni_op_stripe *s)
{
    while (!try_enter(s)) {
        gnp_thread_yield();
    }
}

static void leave(gni_op_stripe *s)
{
    gnp_store32(&s->busy, 0);
}

/* GNI_OP_CLASSES: too large for any. */
static unsigned class_of(size_t n)
{
    if (n <= GNI_OP_LEAST) {
        return 0;
    }
    if (n > GNI_OP_LEAST << (GNI_OP_CLASSES - 1)) {
        return GNI_OP_CLASSES;
    }
    return gni_bit_highest((n - 1) / GNI_OP_LEAST) + 1;
}

static size_t class_size(unsigned class)
{
    return GNI_OP_LEAST << class;
}

/* Allocators give 16 bytes of alignment at least; what is skipped stands before the block. */
static void *block_alloc(size_t size)
{
    unsigned char *raw = gnp_alloc(size + LINE);
    if (raw == NULL) {
        return NULL;
    }
    size_t skip = LINE - ((uintptr_t)raw & (LINE - 1));
    memcpy(raw + skip - sizeof skip, &skip, sizeof skip);
    return raw + skip;
}

static void block_free(void *block, size_t size)
{
    unsigned char *p = block;
    size_t skip;
    memcpy(&skip, p - sizeof skip, sizeof skip);
    gnp_free(p - skip, size + LINE);
}

static void list_free(gni_block *b, size_t size)
{
    while (b != NULL) {
        gni_block *next = b->next;
        block_free(b, size);
        b = next;
    }
}

void gni_op_pool_open(gni_op_pool *p)
{
    for (unsigned i = 0; i < GNI_OP_STRIPES; i++) {
        enter(&p->stripe[i]);
        p->stripe[i].open = 1;
        leave(&p->stripe[i]);
    }
}

void gni_op_pool_close(gni_op_pool *p)
{
    for (unsigned i = 0; i < GNI_OP_STRIPES; i++) {
        gni_op_stripe *s = &p->stripe[i];
        gni_block *lists[GNI_OP_CLASSES];
        enter(s);
        memcpy(lists, s->free, sizeof lists);
        memset(s->free, 0, sizeof s->free);
        s->kept = 0;
        s->open = 0;
        leave(s);
        for (unsigned k = 0; k < GNI_OP_CLASSES; k++) {
            list_free(lists[k], class_size(k));
        }
    }
}

static void *pop(gni_op_stripe *s, unsigned class)
{
    if (!enter_at_once(s) && !try_enter(s)) {
        return NULL;
    }
    gni_block *b = s->free[class];
    if (b != NULL) {
        s->free[class] = b->next;
        gni_prefetch(b->next); /* the one after this is wanted soon */
        s->kept -= class_size(class);
    }
    leave(s);
    return b;
}

size_t gni_op_block(size_t n)
{
    unsigned class = class_of(n);
    return class < GNI_OP_CLASSES ? class_size(class) : n;
}

void *gni_op_take(gni_op_pool *p, size_t n, uint32_t *stripe)
{
    unsigned class = class_of(n);
    uint32_t mine = stripe_of_thread();
    *stripe = mine;
    for (unsigned i = 0; i < GNI_OP_STRIPES && class < GNI_OP_CLASSES; i++) {
        void *b = pop(&p->stripe[(mine + i) % GNI_OP_STRIPES], class);
        if (b != NULL) {
            return b;
        }
    }
    return block_alloc(gni_op_block(n));
}

enum { PUT, FULL, BUSY };

/* A list of blocks of one class, bytes in all. */
static int put(gni_op_stripe *s, unsigned class, gni_block *first, gni_block *last, size_t bytes)
{
    int rc = FULL;
    if (!try_enter(s)) {
        return BUSY;
    }
    if (s->open && s->kept + bytes <= GNI_OP_KEPT) {
        last->next = s->free[class];
        s->free[class] = first;
        s->kept += bytes;
        rc = PUT;
    }
    leave(s);
    return rc;
}

void gni_op_give(gni_op_pool *p, void *block, size_t n, uint32_t stripe)
{
    unsigned class = class_of(n);
    size_t size = gni_op_block(n);
    if (class == GNI_OP_CLASSES || put(&p->stripe[stripe], class, block, block, size) != PUT) {
        block_free(block, size);
    }
}

void gni_op_batch_add(gni_op_batch *batch, void *block, size_t n, uint32_t stripe)
{
    unsigned class = class_of(n);
    gni_block *b = block;
    if (class == GNI_OP_CLASSES) {
        block_free(block, n);
        return;
    }
    b->next = batch->list[stripe][class].first;
    if (b->next == NULL) {
        batch->list[stripe][class].last = b;
        batch->list[stripe][class].bytes = 0;
    }
    batch->list[stripe][class].first = b;
    batch->list[stripe][class].bytes += class_size(class);
    batch->blocks++;
}

void gni_op_batch_give(gni_op_batch *batch, gni_op_pool *p)
{
    unsigned left = 0;
    for (unsigned i = 0; i < GNI_OP_STRIPES; i++) {
        for (unsigned k = 0; k < GNI_OP_CLASSES; k++) {
            gni_block *first = batch->list[i][k].first;
            size_t bytes = batch->list[i][k].bytes;
            if (first == NULL) {
                continue;
            }
            int rc = put(&p->stripe[i], k, first, batch->list[i][k].last, bytes);
            if (rc == BUSY && bytes <= GNI_OP_KEPT) {
                left++; /* the next time */
                continue;
            }
            if (rc != PUT) {
                list_free(first, class_size(k));
            }
            batch->list[i][k].first = NULL;
        }
    }
    batch->blocks = left;
}

void gni_op_batch_free(gni_op_batch *batch)
{
    for (unsigned i = 0; i < GNI_OP_STRIPES; i++) {
        for (unsigned k = 0; k < GNI_OP_CLASSES; k++) {
            list_free(batch->list[i][k].first, class_size(k));
        }
    }
    memset(batch, 0, sizeof *batch);
}
