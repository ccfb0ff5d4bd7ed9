/* SPDX-License-Identifier: MIT */
/*
 * The outbound queue of a connection: what leaves, in order.  Copied bytes stand in fixed segments
 * that never move, so that a backend may send from them while more is appended; between them are
 * items: the user's own memory, parts of files, descriptors, and marks.  An item may have a
 * completion, which is due when all before it and itself has left, or when the queue is cleared.
 *
 * Segments and items come from a pool per loop and go back as soon as they are done with.  The pool
 * is only a cache: a queue may move to another loop and be freed there.
 */
#ifndef GNI_SEGQ_H
#define GNI_SEGQ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../include/gannet.h"
#include "../platform/sock.h"

#define GNI_SEG_SIZE 8192u /* with its head; measured in bench/, see doc/architecture.md */

/* Items of one queue: at 64 bytes each they take no more than outbound_max does by default. */
#define GNI_ITEMS_MAX (1u << 20)

enum {
    GNI_NODE_DATA,
    GNI_NODE_REF,       /* bytes of the user's */
    GNI_NODE_MARK,      /* nothing but a completion */
    GNI_NODE_FILE,
    GNI_NODE_DESCRIPTOR /* goes with the first of the bytes behind it, which are always there */
};

typedef struct gni_node {
    struct gni_node *next;
    uint16_t begin, end; /* of the bytes in a segment's data */
    unsigned kind : 4;
    unsigned order : 28; /* items before it, modulo 2^28: tells their number from the queue's ends */
} gni_node;

typedef struct gni_seg {
    gni_node node;
    unsigned char data[GNI_SEG_SIZE - sizeof(gni_node)];
} gni_seg;

/* Of a file: what is still to be sent. */
typedef struct gni_part {
    intptr_t os;
    uint64_t offset, left;
} gni_part;

typedef struct gni_item {
    gni_node node;
    union {
        struct {
            const unsigned char *base;
            size_t len;
        } ref;
        gni_part file;
        intptr_t descriptor; /* ours */
        int status;          /* once it is finished */
    } u;
    gn_done done; /* or NULL */
    gn_handle h;
    void *arg;
} gni_item;

/* Segments and items not in use, at most so many kept; and items whose completion is due. */
typedef struct gni_segpool {
    gni_node *free, *items;
    unsigned count, max;
    unsigned item_count;
    gni_node *finished, **finished_tail; /* oldest first; the loop calls and gives them */
} gni_segpool;

typedef struct gni_segq {
    gni_node *head, *tail;
    size_t bytes; /* in memory, copied or not; files and marks have none */
} gni_segq;

/* Where the queue ended, to go back to. */
typedef struct gni_segq_tip {
    gni_node *tail;
    uint16_t end;
    size_t bytes;
} gni_segq_tip;

void gni_segpool_init(gni_segpool *p, unsigned max);
void gni_segpool_free(gni_segpool *p);

/* An item of a kind, to be filled in; NULL: no memory. */
gni_item *gni_item_take(gni_segpool *p, unsigned kind);
void gni_item_give(gni_segpool *p, gni_item *i);

static inline gni_item *gni_item_of(gni_node *n) { return (gni_item *)(void *)n; }

/* Makes its completion due, or gives the item back if it has none. */
void gni_item_finish(gni_segpool *p, gni_item *i, int status);

/* Gives back an item that will not be queued, without its completion but with what it owns. */
void gni_item_drop(gni_segpool *p, gni_item *i);

/* Nothing is left to be sent.  A queue without bytes may still hold files. */
static inline int gni_segq_empty(const gni_segq *q) { return q->head == NULL; }

/* Appends n bytes, all or nothing.  GN_OK or GN_ENOMEM. */
int gni_segq_append(gni_segq *q, gni_segpool *p, const void *data, size_t n);

/* The short way to append: n bytes at most gni_seg_room to a last node that is a segment. */
static inline size_t gni_seg_room(const gni_node *n) { return sizeof(((gni_seg *)0)->data) - n->end; }
static inline void gni_seg_add(gni_segq *q, const void *data, size_t n)
{
    gni_seg *s = (gni_seg *)(void *)q->tail;
    memcpy(s->data + s->node.end, data, n);
    s->node.end = (uint16_t)(s->node.end + n);
    q->bytes += n;
}

/* Appends an item, which now is the queue's.  A mark in an empty queue is finished at once.
 * GN_OK or GN_ELIMIT (there are GNI_ITEMS_MAX); then it stays the caller's. */
int gni_segq_put(gni_segq *q, gni_segpool *p, gni_item *i);

/* Describes the first bytes in at most cap spans, up to a file or a descriptor; returns how many: 0
 * if a file comes first.  If a descriptor comes first, those that may go with it.  *more: something
 * that is to be sent follows these. */
unsigned gni_segq_iov(const gni_segq *q, gnp_iov *iov, unsigned cap, int *more);

/* Drops the first n bytes, which have left: of a file, if one comes first, else of what gni_segq_iov
 * describes, with a descriptor before it.  Finishes what thereby is done. */
void gni_segq_consume(gni_segq *q, gni_segpool *p, uint64_t n);

/* Drops all that was appended since the queue had that tip, while nothing was consumed; no
 * completion of it is due.  For a write that is taken back. */
gni_segq_tip gni_segq_tip_of(const gni_segq *q);
void gni_segq_rewind(gni_segq *q, gni_segpool *p, const gni_segq_tip *tip);

/* The connection has another handle now: completions tell that one. */
void gni_segq_rename(gni_segq *q, gn_handle h);

/* Drops everything; completions are due with that status. */
void gni_segq_clear(gni_segq *q, gni_segpool *p, int status);

#endif
