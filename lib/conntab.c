/* SPDX-License-Identifier: MIT */
#include "conntab.h"

#include <string.h>

#include "../platform/mem.h"
#include "conn.h"

#define CHUNK_BYTES (GNI_CHUNK_CONNS * sizeof(gn_conn))

void gni_conntab_init(gni_conntab *t, uint32_t gen_base)
{
    memset(t, 0, sizeof *t);
    t->gen_base = gen_base;
    t->gen_max = gen_base;
}

void gni_conntab_free(gni_conntab *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        gnp_free(t->chunks[i].mem, CHUNK_BYTES);
    }
    gnp_free(t->chunks, t->cap * sizeof *t->chunks);
    t->chunks = NULL;
    t->count = t->cap = t->partial = 0;
}

static unsigned lowest_bit(uint64_t mask)
{
    unsigned n = 0;
    for (unsigned step = 32; step > 0; step >>= 1) {
        if ((mask & ((UINT64_C(1) << step) - 1)) == 0) {
            mask >>= step;
            n += step;
        }
    }
    return n;
}

static void partial_add(gni_conntab *t, uint32_t i)
{
    gni_chunk *k = &t->chunks[i];
    k->prev = 0;
    k->next = t->partial;
    if (k->next != 0) {
        t->chunks[k->next - 1].prev = i + 1;
    }
    t->partial = i + 1;
}

static void partial_remove(gni_conntab *t, uint32_t i)
{
    gni_chunk *k = &t->chunks[i];
    if (k->prev != 0) {
        t->chunks[k->prev - 1].next = k->next;
    } else {
        t->partial = k->next;
    }
    if (k->next != 0) {
        t->chunks[k->next - 1].prev = k->prev;
    }
}

static int table_grow(gni_conntab *t)
{
    uint32_t cap = t->cap == 0 ? 16 : t->cap * 2;
    gni_chunk *chunks = gnp_realloc(t->chunks, t->cap * sizeof *chunks, cap * sizeof *chunks);
    if (chunks == NULL) {
        return GN_ENOMEM;
    }
    t->chunks = chunks;
    t->cap = cap;
    return GN_OK;
}

/* Memory for a chunk: of one that gave it back, or of a new one.  The floor of a chunk
 * keeps the generations of its earlier memory from coming again. */
static int chunk_add(gni_conntab *t)
{
    uint32_t i = t->holes > 0 ? 0 : t->count;
    while (i < t->count && t->chunks[i].mem != NULL) {
        i++;
    }
    if (i > GNI_CONN_INDEX_MAX / GNI_CHUNK_CONNS - 1) {
        return GN_ELIMIT;
    }
    if (i == t->cap && table_grow(t) != GN_OK) {
        return GN_ENOMEM;
    }
    gn_conn *mem = gnp_zalloc(CHUNK_BYTES);
    if (mem == NULL) {
        return GN_ENOMEM;
    }
    gni_chunk *k = &t->chunks[i];
    if (i == t->count) {
        memset(k, 0, sizeof *k);
        k->gen_floor = t->gen_base;
        t->count++;
    } else {
        t->holes--;
    }
    for (unsigned s = 0; s < GNI_CHUNK_CONNS; s++) {
        mem[s].index = i * GNI_CHUNK_CONNS + s;
        mem[s].gen = k->gen_floor;
    }
    k->mem = mem;
    k->free = UINT64_MAX;
    partial_add(t, i);
    t->empty++;
    return GN_OK;
}

gn_conn *gni_conntab_alloc(gni_conntab *t)
{
    if (t->partial == 0 && chunk_add(t) != GN_OK) {
        return NULL;
    }
    uint32_t at = t->partial - 1;
    gni_chunk *k = &t->chunks[at];
    unsigned s = lowest_bit(k->free);
    if (k->free == UINT64_MAX) {
        t->empty--;
    }
    k->free &= ~(UINT64_C(1) << s);
    if (k->free == 0) {
        partial_remove(t, at);
    }
    gn_conn *c = &k->mem[s];
    uint32_t index = c->index;
    uint32_t gen = c->gen + 1;
    memset(c, 0, sizeof *c);
    c->index = index;
    c->gen = gen;
    c->state = GNI_CONN_NEW;
    if (gen > t->gen_max) {
        t->gen_max = gen;
    }
    t->live++;
    return c;
}

void gni_conntab_retire(gni_conntab *t, gn_conn *c)
{
    c->gen++;
    if (c->gen > t->gen_max) {
        t->gen_max = c->gen;
    }
}

/* All its slots are free, so none is used up, and the floor is GNI_GEN_LAST at most. */
static void chunk_give_back(gni_conntab *t, uint32_t i)
{
    gni_chunk *k = &t->chunks[i];
    for (unsigned s = 0; s < GNI_CHUNK_CONNS; s++) {
        if (k->mem[s].gen > k->gen_floor) {
            k->gen_floor = k->mem[s].gen;
        }
    }
    partial_remove(t, i);
    gnp_free(k->mem, CHUNK_BYTES);
    k->mem = NULL;
    k->free = 0;
    t->empty--;
    t->holes++;
}

void gni_conntab_release(gni_conntab *t, gn_conn *c)
{
    uint32_t i = c->index / GNI_CHUNK_CONNS;
    gni_chunk *k = &t->chunks[i];
    c->state = GNI_CONN_FREE;
    c->magic = 0;
    t->live--;
    if (c->gen > GNI_GEN_LAST) {
        return; /* used up: its generation must not come round */
    }
    if (k->free == 0) {
        partial_add(t, i);
    }
    k->free |= UINT64_C(1) << (c->index % GNI_CHUNK_CONNS);
    if (k->free == UINT64_MAX) {
        t->empty++;
        if (t->empty > 1) {
            chunk_give_back(t, i);
        }
    }
}

gn_conn *gni_conntab_find(const gni_conntab *t, uint32_t index, uint32_t gen)
{
    uint32_t i = index / GNI_CHUNK_CONNS;
    if (i >= t->count || t->chunks[i].mem == NULL) {
        return NULL;
    }
    gn_conn *c = &t->chunks[i].mem[index % GNI_CHUNK_CONNS];
    return c->gen == gen && c->state != GNI_CONN_FREE ? c : NULL;
}

gn_conn *gni_conntab_each(const gni_conntab *t, uint32_t *index)
{
    while (*index / GNI_CHUNK_CONNS < t->count) {
        const gni_chunk *k = &t->chunks[*index / GNI_CHUNK_CONNS];
        if (k->mem == NULL || k->free == UINT64_MAX) {
            *index = (*index / GNI_CHUNK_CONNS + 1) * GNI_CHUNK_CONNS;
            continue;
        }
        gn_conn *c = &k->mem[*index % GNI_CHUNK_CONNS];
        (*index)++;
        if (c->state != GNI_CONN_FREE) {
            return c;
        }
    }
    return NULL;
}
