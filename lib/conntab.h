/* SPDX-License-Identifier: MIT */
/*
 * The connections of one loop: a slab in chunks, and the table that handles look up.
 * A slot counts a generation up for every connection that lives in it; a slot whose
 * counter would wrap is never used again, so a stale handle can never match.
 */
#ifndef GNI_CONNTAB_H
#define GNI_CONNTAB_H

#include "../include/gannet.h"

#define GNI_CHUNK_CONNS 64u /* one bit each in a 64-bit mask */
#define GNI_CONN_INDEX_BITS 22u
#define GNI_CONN_INDEX_MAX ((1u << GNI_CONN_INDEX_BITS) - 2u) /* the last index names the loop itself */

typedef struct gni_chunk {
    gn_conn *mem;       /* NULL while no connection lives here */
    uint64_t free;      /* bit i: slot i is free */
    uint32_t gen_floor; /* what new memory of this chunk starts its generations at */
    uint32_t next, prev; /* chunk + 1 in the list of those with free slots; 0 ends it */
} gni_chunk;

typedef struct gni_conntab {
    gni_chunk *chunks;
    uint32_t count, cap;
    uint32_t partial;  /* chunk + 1: head of the list of chunks with free slots */
    uint32_t gen_base; /* above every generation that the loop's slot ever gave out */
    uint32_t gen_max;
    uint32_t live;
    uint32_t empty;    /* chunks that have memory but no connection */
    uint32_t holes;    /* chunks that gave their memory back */
} gni_conntab;

void gni_conntab_init(gni_conntab *t, uint32_t gen_base);
void gni_conntab_free(gni_conntab *t);

/* A zeroed connection with its index and a new generation; NULL: no memory, or full. */
gn_conn *gni_conntab_alloc(gni_conntab *t);

/* Gives its slot back; whole chunks without a connection go back too, but for one. */
void gni_conntab_release(gni_conntab *t, gn_conn *c);

/* Makes every handle of c stale; c stays where it is. */
void gni_conntab_retire(gni_conntab *t, gn_conn *c);

/* The live connection at index with that generation, or NULL. */
gn_conn *gni_conntab_find(const gni_conntab *t, uint32_t index, uint32_t gen);

/* The first live slot at or after *index, which moves behind it; NULL at the end. */
gn_conn *gni_conntab_each(const gni_conntab *t, uint32_t *index);

#endif
