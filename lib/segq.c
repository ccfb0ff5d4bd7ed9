/* SPDX-License-Identifier: MIT */
#include "segq.h"

#include <string.h>

#include "../include/gannet.h"
#include "../platform/mem.h"

#define SEG_DATA sizeof(((gni_seg *)0)->data)

_Static_assert(sizeof(gni_seg) <= GNI_SEG_SIZE, "a segment fits its size class");

void gni_segpool_init(gni_segpool *p, unsigned max)
{
    p->free = NULL;
    p->count = 0;
    p->max = max;
}

void gni_segpool_free(gni_segpool *p)
{
    while (p->free != NULL) {
        gni_seg *s = p->free;

        p->free = s->next;
        gnp_free(s, sizeof *s);
    }
    p->count = 0;
}

static gni_seg *seg_take(gni_segpool *p)
{
    gni_seg *s = p->free;

    if (s != NULL) {
        p->free = s->next;
        p->count--;
    } else {
        s = gnp_alloc(sizeof *s);
        if (s == NULL)
            return NULL;
    }
    s->next = NULL;
    s->begin = s->end = 0;
    return s;
}

static void seg_give(gni_segpool *p, gni_seg *s)
{
    if (p->count >= p->max) {
        gnp_free(s, sizeof *s);
        return;
    }
    s->next = p->free;
    p->free = s;
    p->count++;
}

static void list_give(gni_segpool *p, gni_seg *s)
{
    while (s != NULL) {
        gni_seg *next = s->next;

        seg_give(p, s);
        s = next;
    }
}

/* A chain of n empty segments (n > 0), or NULL and nothing taken. */
static gni_seg *list_take(gni_segpool *p, size_t n)
{
    gni_seg *first = NULL;

    for (; n > 0; n--) {
        gni_seg *s = seg_take(p);

        if (s == NULL) {
            list_give(p, first);
            return NULL;
        }
        s->next = first;
        first = s;
    }
    return first;
}

/* Copies into the free end of s as much as fits; returns how much. */
static size_t seg_fill(gni_seg *s, const unsigned char *data, size_t n)
{
    size_t room = SEG_DATA - s->end;

    if (n > room)
        n = room;
    memcpy(s->data + s->end, data, n);
    s->end += (uint32_t)n;
    return n;
}

int gni_segq_append(gni_segq *q, gni_segpool *p, const void *data, size_t n)
{
    const unsigned char *from = data;
    size_t room = q->tail != NULL ? SEG_DATA - q->tail->end : 0;
    gni_seg *fresh = NULL;

    if (n == 0)
        return GN_OK;
    if (n > room) {
        fresh = list_take(p, (n - room - 1) / SEG_DATA + 1);
        if (fresh == NULL)
            return GN_ENOMEM;
    }
    q->bytes += n;
    if (room > 0) {
        size_t done = seg_fill(q->tail, from, n);

        from += done;
        n -= done;
    }
    if (fresh == NULL)
        return GN_OK;
    if (q->tail != NULL)
        q->tail->next = fresh;
    else
        q->head = fresh;
    for (; fresh != NULL; fresh = fresh->next) {
        size_t done = seg_fill(fresh, from, n);

        from += done;
        n -= done;
        q->tail = fresh;
    }
    return GN_OK;
}

unsigned gni_segq_iov(const gni_segq *q, gnp_iov *iov, unsigned cap)
{
    unsigned n = 0;

    for (const gni_seg *s = q->head; s != NULL && n < cap; s = s->next, n++) {
        iov[n].base = s->data + s->begin;
        iov[n].len = s->end - s->begin;
    }
    return n;
}

void gni_segq_consume(gni_segq *q, gni_segpool *p, size_t n)
{
    q->bytes -= n;
    while (n > 0) {
        gni_seg *s = q->head;
        size_t have = s->end - s->begin;

        if (n < have) {
            s->begin += (uint32_t)n;
            return;
        }
        n -= have;
        q->head = s->next;
        if (q->head == NULL)
            q->tail = NULL;
        seg_give(p, s);
    }
}

void gni_segq_truncate(gni_segq *q, gni_segpool *p, size_t n)
{
    gni_seg *s = q->head;
    size_t left = n;

    if (n == 0) {
        gni_segq_clear(q, p);
        return;
    }
    while (left > s->end - s->begin) {
        left -= s->end - s->begin;
        s = s->next;
    }
    s->end = s->begin + (uint32_t)left;
    list_give(p, s->next);
    s->next = NULL;
    q->tail = s;
    q->bytes = n;
}

void gni_segq_clear(gni_segq *q, gni_segpool *p)
{
    list_give(p, q->head);
    q->head = q->tail = NULL;
    q->bytes = 0;
}
