/* SPDX-License-Identifier: MIT */
/*
 * Memory of the operations that threads ask of a loop.  A thread takes it, the loop gives it back:
 * an allocator sees each block freed by another thread than the one that will want the next.  So blocks
 * wait here between two uses, in a few stripes, each for some of the threads; the loop gives them back
 * in batches.  A stripe is never waited for: who meets somebody in it goes on to the next, and in the
 * end to the allocator.
 *
 * A pool lives in static memory, as the mailbox does: a late thread may touch that of a loop that is gone.
 */
#ifndef GNI_OPMEM_H
#define GNI_OPMEM_H

#include <stddef.h>

#include "../platform/atomic.h"

#define GNI_OP_STRIPES 4u

/* Blocks of 64 bytes (an operation without data), 128 and so on up to 16 KiB; larger ones come from the
 * allocator each time, which is little beside the copy into them.  Each begins a cache line: they go
 * from one core's cache to another's and back, and a line more is a miss more. */
#define GNI_OP_CLASSES 9u
#define GNI_OP_LEAST ((size_t)64)

/* What a stripe keeps at most: 8,192 operations with little data, under way at once and by one thread. */
#define GNI_OP_KEPT (2 * GNI_OP_LEAST * 8192)

typedef struct gni_block {
    struct gni_block *next;
} gni_block;

typedef struct gni_op_stripe {
    _Alignas(64) gnp_atomic32 busy; /* 1: a thread is in it */
    uint32_t open;
    size_t kept; /* bytes */
    gni_block *free[GNI_OP_CLASSES];
} gni_op_stripe;

typedef struct gni_op_pool {
    gni_op_stripe stripe[GNI_OP_STRIPES];
} gni_op_pool;

/* What the loop has not yet given back: a list for each stripe and class. */
typedef struct gni_op_batch {
    struct {
        gni_block *first, *last;
        size_t bytes;
    } list[GNI_OP_STRIPES][GNI_OP_CLASSES];
    unsigned blocks; /* 0: all lists are empty */
} gni_op_batch;

/* From open to close blocks are kept.  Afterwards the pool is empty, and what comes late is freed. */
void gni_op_pool_open(gni_op_pool *p);
void gni_op_pool_close(gni_op_pool *p);

/* The size of the block that n bytes get. */
size_t gni_op_block(size_t n);

/* A block for n bytes; *stripe is where it goes back to.  NULL: no memory.  [any] */
void *gni_op_take(gni_op_pool *p, size_t n, uint32_t *stripe);

/* Gives one back, with the same n and stripe.  [any] */
void gni_op_give(gni_op_pool *p, void *block, size_t n, uint32_t stripe);

/* The same later, together with others.  [the batch's thread] */
void gni_op_batch_add(gni_op_batch *b, void *block, size_t n, uint32_t stripe);
void gni_op_batch_give(gni_op_batch *b, gni_op_pool *p);
void gni_op_batch_free(gni_op_batch *b);

#endif
