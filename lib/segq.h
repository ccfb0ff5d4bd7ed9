/* SPDX-License-Identifier: MIT */
/*
 * The outbound queue of a connection: a list of fixed segments that never move, so that
 * a backend may send from them while more is appended.  Segments come from a pool per loop
 * and go back as soon as they are empty.
 */
#ifndef GNI_SEGQ_H
#define GNI_SEGQ_H

#include <stddef.h>
#include <stdint.h>

#include "../platform/sock.h"

#define GNI_SEG_SIZE 8192u /* with its head; measured in bench/, see doc/architecture.md */

typedef struct gni_seg {
    struct gni_seg *next;
    uint32_t begin, end; /* of the bytes in data */
    unsigned char data[GNI_SEG_SIZE - 16];
} gni_seg;

/* Segments not in use, one pool per loop, at most max of them kept. */
typedef struct gni_segpool {
    gni_seg *free;
    unsigned count, max;
} gni_segpool;

typedef struct gni_segq {
    gni_seg *head, *tail;
    size_t bytes;
} gni_segq;

void gni_segpool_init(gni_segpool *p, unsigned max);
void gni_segpool_free(gni_segpool *p);

/* Appends n bytes, all or nothing.  GN_OK or GN_ENOMEM. */
int gni_segq_append(gni_segq *q, gni_segpool *p, const void *data, size_t n);

/* Describes the first bytes in at most cap spans; returns how many. */
unsigned gni_segq_iov(const gni_segq *q, gnp_iov *iov, unsigned cap);

/* Drops the first n (<= bytes) bytes. */
void gni_segq_consume(gni_segq *q, gni_segpool *p, size_t n);

/* Drops what is behind the first n (<= bytes) bytes.  For a write that is taken back. */
void gni_segq_truncate(gni_segq *q, gni_segpool *p, size_t n);

void gni_segq_clear(gni_segq *q, gni_segpool *p);

#endif
