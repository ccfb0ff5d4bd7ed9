/* SPDX-License-Identifier: MIT */
#include "segq.h"

#include <string.h>

#include "../platform/mem.h"

#define SEG_DATA sizeof(((gni_seg *)0)->data)
#define ORDER_MASK ((1u << 28) - 1u)

/* Items kept for each segment that is kept: 512 bytes beside 8 KiB. */
#define ITEMS_A_SEGMENT 8u

_Static_assert(sizeof(gni_seg) <= GNI_SEG_SIZE, "a segment fits its size class");
_Static_assert(GNI_SEG_SIZE <= UINT16_MAX, "begin and end fit");
_Static_assert(GNI_ITEMS_MAX < ORDER_MASK, "the number of items can be told from their order");
_Static_assert(sizeof(gni_item) <= 64, "an item is a cache line");

/* ------------------------------------------------------------------- pool */

static gni_seg *seg_of(gni_node *n)
{
    return (gni_seg *)(void *)n;
}

void gni_segpool_init(gni_segpool *p, unsigned max)
{
    memset(p, 0, sizeof *p);
    p->max = max;
    p->finished_tail = &p->finished;
}

static void nodes_free(gni_node *n, size_t size)
{
    while (n != NULL) {
        gni_node *next = n->next;

        gnp_free(n, size);
        n = next;
    }
}

void gni_segpool_free(gni_segpool *p)
{
    nodes_free(p->free, sizeof(gni_seg));
    nodes_free(p->items, sizeof(gni_item));
    p->free = p->items = NULL;
    p->count = p->item_count = 0;
}

static gni_node *seg_take(gni_segpool *p)
{
    gni_node *s = p->free;

    if (s != NULL) {
        p->free = s->next;
        p->count--;
    } else {
        s = gnp_alloc(sizeof(gni_seg));
        if (s == NULL)
            return NULL;
    }
    memset(s, 0, sizeof *s);
    return s;
}

static void seg_give(gni_segpool *p, gni_node *s)
{
    if (p->count >= p->max) {
        gnp_free(s, sizeof(gni_seg));
        return;
    }
    s->next = p->free;
    p->free = s;
    p->count++;
}

gni_item *gni_item_take(gni_segpool *p, unsigned kind)
{
    gni_node *n = p->items;
    gni_item *i;

    if (n != NULL) {
        p->items = n->next;
        p->item_count--;
    } else {
        n = gnp_alloc(sizeof(gni_item));
        if (n == NULL)
            return NULL;
    }
    i = gni_item_of(n);
    memset(i, 0, sizeof *i);
    i->node.kind = kind & 15u;
    return i;
}

void gni_item_give(gni_segpool *p, gni_item *i)
{
    if (p->item_count >= p->max * ITEMS_A_SEGMENT) {
        gnp_free(i, sizeof *i);
        return;
    }
    i->node.next = p->items;
    p->items = &i->node;
    p->item_count++;
}

void gni_item_finish(gni_segpool *p, gni_item *i, int status)
{
    if (i->done == NULL) {
        gni_item_give(p, i);
        return;
    }
    i->node.next = NULL;
    i->u.status = status;
    *p->finished_tail = &i->node;
    p->finished_tail = &i->node.next;
}

static void list_give(gni_segpool *p, gni_node *s)
{
    while (s != NULL) {
        gni_node *next = s->next;

        seg_give(p, s);
        s = next;
    }
}

/* A chain of n empty segments (n > 0), or NULL and nothing taken. */
static gni_node *list_take(gni_segpool *p, size_t n)
{
    gni_node *first = NULL;

    for (; n > 0; n--) {
        gni_node *s = seg_take(p);

        if (s == NULL) {
            list_give(p, first);
            return NULL;
        }
        s->next = first;
        first = s;
    }
    return first;
}

/* -------------------------------------------------------------- appending */

/* Items so far, with those that have left. */
static unsigned order_next(const gni_segq *q)
{
    const gni_node *t = q->tail;

    if (t == NULL)
        return 0;
    return (t->order + (t->kind != GNI_NODE_DATA)) & ORDER_MASK;
}

static void link_tail(gni_segq *q, gni_node *n)
{
    n->order = order_next(q) & ORDER_MASK;
    if (q->tail != NULL)
        q->tail->next = n;
    else
        q->head = n;
    q->tail = n;
}

/* Copies into the free end of s as much as fits; returns how much. */
static size_t seg_fill(gni_node *s, const unsigned char *data, size_t n)
{
    size_t room = SEG_DATA - s->end;

    if (n > room)
        n = room;
    memcpy(seg_of(s)->data + s->end, data, n);
    s->end = (uint16_t)(s->end + n);
    return n;
}

int gni_segq_append(gni_segq *q, gni_segpool *p, const void *data, size_t n)
{
    const unsigned char *from = data;
    size_t room = q->tail != NULL && q->tail->kind == GNI_NODE_DATA ? SEG_DATA - q->tail->end : 0;
    gni_node *fresh = NULL;

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
    while (fresh != NULL) {
        gni_node *s = fresh;
        size_t done = seg_fill(s, from, n);

        fresh = s->next;
        s->next = NULL;
        link_tail(q, s);
        from += done;
        n -= done;
    }
    return GN_OK;
}

int gni_segq_put(gni_segq *q, gni_segpool *p, gni_item *i)
{
    if (i->node.kind == GNI_NODE_MARK && gni_segq_empty(q)) {
        gni_item_finish(p, i, GN_OK);
        return GN_OK;
    }
    if (!gni_segq_empty(q) && ((order_next(q) - q->head->order) & ORDER_MASK) >= GNI_ITEMS_MAX)
        return GN_ELIMIT;
    link_tail(q, &i->node);
    if (i->node.kind == GNI_NODE_REF)
        q->bytes += i->u.ref.len;
    return GN_OK;
}

gni_segq_tip gni_segq_tip_of(const gni_segq *q)
{
    gni_segq_tip t = { q->tail, 0, q->bytes };

    if (q->tail != NULL)
        t.end = q->tail->end;
    return t;
}

/* Drops one node that is out of the list.  A completion of it is due only if something ends it. */
static void node_drop(gni_segpool *p, gni_node *n, int status)
{
    gni_item *i;

    if (n->kind == GNI_NODE_DATA) {
        seg_give(p, n);
        return;
    }
    i = gni_item_of(n);
    if (n->kind == GNI_NODE_DESCRIPTOR)
        gnp_descriptor_close(i->u.descriptor);
    gni_item_finish(p, i, status);
}

void gni_item_drop(gni_segpool *p, gni_item *i)
{
    i->done = NULL;
    node_drop(p, &i->node, GN_OK);
}

void gni_segq_rewind(gni_segq *q, gni_segpool *p, const gni_segq_tip *tip)
{
    gni_node *n = tip->tail != NULL ? tip->tail->next : q->head;

    q->tail = tip->tail;
    q->bytes = tip->bytes;
    if (q->tail == NULL) {
        q->head = NULL;
    } else {
        q->tail->next = NULL;
        q->tail->end = tip->end;
    }
    while (n != NULL) {
        gni_node *next = n->next;

        if (n->kind == GNI_NODE_DATA)
            seg_give(p, n);
        else
            gni_item_drop(p, gni_item_of(n));
        n = next;
    }
}

/* ---------------------------------------------------------------- leaving */

unsigned gni_segq_iov(const gni_segq *q, gnp_iov *iov, unsigned cap, int *more)
{
    gni_node *s = q->head;
    unsigned n = 0;

    if (s != NULL && s->kind == GNI_NODE_DESCRIPTOR)
        s = s->next;
    for (; s != NULL; s = s->next) {
        if (s->kind == GNI_NODE_MARK)
            continue;
        if (n == cap || s->kind == GNI_NODE_FILE || s->kind == GNI_NODE_DESCRIPTOR)
            break;
        if (s->kind == GNI_NODE_DATA) {
            iov[n].base = seg_of(s)->data + s->begin;
            iov[n].len = (size_t)s->end - s->begin;
        } else {
            iov[n].base = gni_item_of(s)->u.ref.base;
            iov[n].len = gni_item_of(s)->u.ref.len;
        }
        n++;
    }
    *more = s != NULL;
    return n;
}

/* Takes what it can of n from the first node; 1 if thereby all of it has left. */
static int head_eat(gni_segq *q, uint64_t *n)
{
    gni_node *s = q->head;
    gni_item *i = gni_item_of(s);
    uint64_t have = 0, take;

    switch (s->kind) {
    case GNI_NODE_DATA: have = (uint64_t)s->end - s->begin; break;
    case GNI_NODE_REF: have = i->u.ref.len; break;
    case GNI_NODE_FILE: have = i->u.file.left; break;
    default: return 1;
    }
    take = *n < have ? *n : have;
    *n -= take;
    switch (s->kind) {
    case GNI_NODE_DATA:
        s->begin = (uint16_t)(s->begin + take);
        q->bytes -= (size_t)take;
        break;
    case GNI_NODE_REF:
        i->u.ref.base += take;
        i->u.ref.len -= (size_t)take;
        q->bytes -= (size_t)take;
        break;
    default:
        i->u.file.offset += take;
        i->u.file.left -= take;
    }
    return take == have;
}

static void head_drop(gni_segq *q, gni_segpool *p)
{
    gni_node *s = q->head;

    q->head = s->next;
    if (q->head == NULL)
        q->tail = NULL;
    node_drop(p, s, GN_OK);
}

void gni_segq_consume(gni_segq *q, gni_segpool *p, uint64_t n)
{
    while (n > 0 && head_eat(q, &n))
        head_drop(q, p);
    while (q->head != NULL && q->head->kind == GNI_NODE_MARK)
        head_drop(q, p);
}

void gni_segq_rename(gni_segq *q, gn_handle h)
{
    for (gni_node *n = q->head; n != NULL; n = n->next) {
        if (n->kind != GNI_NODE_DATA)
            gni_item_of(n)->h = h;
    }
}

void gni_segq_clear(gni_segq *q, gni_segpool *p, int status)
{
    gni_node *n = q->head;

    q->head = q->tail = NULL;
    q->bytes = 0;
    while (n != NULL) {
        gni_node *next = n->next;

        node_drop(p, n, status);
        n = next;
    }
}
