/* SPDX-License-Identifier: MIT */
/*
 * The elastic inbound buffer of a connection: a ring that owns no memory while it is
 * empty, doubles on demand up to a limit, and can always show its bytes in one piece.
 */
#ifndef GNI_RING_H
#define GNI_RING_H

#include <stddef.h>
#include <stdint.h>

typedef struct gni_ring {
    unsigned char *buf; /* NULL while empty */
    size_t cap;         /* a power of two, or 0 */
    size_t head;        /* offset of the first byte */
    size_t len;
} gni_ring;

/* Appends n bytes, growing as needed.  GN_OK, GN_ENOMEM (nothing was appended). */
int gni_ring_write(gni_ring *r, const void *data, size_t n);

/* All bytes in one piece; turns the buffer in place if it wraps.  NULL when empty.
 * Valid until the next call on r. */
const void *gni_ring_linear(gni_ring *r);

/* Drops the first n (<= len) bytes; gives the memory back when none is left. */
void gni_ring_discard(gni_ring *r, size_t n);

/* Empties it and gives the memory back. */
void gni_ring_free(gni_ring *r);

#endif
