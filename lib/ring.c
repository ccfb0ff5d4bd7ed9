/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <string.h>

#include "../include/gannet.h"
#include "../platform/mem.h"
#include "bits.h"

/* One request line or small frame that came in two pieces fits without growing. */
#define RING_MIN 1024u

/* Spare memory of a turn in place, on the stack. */
#define TURN_SPARE 1024u

/* Bytes of the contents that stand at the start of the buffer, behind those at its end. */
static size_t ring_wrapped(const gni_ring *r)
{
    size_t to_end = r->cap - r->head;

    return r->len > to_end ? r->len - to_end : 0;
}

static int ring_grow(gni_ring *r, size_t need)
{
    size_t cap = gni_pow2_ceil(need < RING_MIN ? RING_MIN : need);
    size_t wrapped = ring_wrapped(r);
    unsigned char *buf;

    if (cap == 0)
        return GN_ENOMEM;
    buf = gnp_realloc(r->buf, r->cap, cap);
    if (buf == NULL)
        return GN_ENOMEM;
    /* It at least doubled, so what was wrapped has room right behind the old end. */
    memcpy(buf + r->cap, buf, wrapped);
    r->buf = buf;
    r->cap = cap;
    return GN_OK;
}

int gni_ring_write(gni_ring *r, const void *data, size_t n)
{
    size_t tail, to_end;

    if (n == 0)
        return GN_OK;
    if (n > r->cap - r->len) {
        if (n > SIZE_MAX - r->len || ring_grow(r, r->len + n) != GN_OK)
            return GN_ENOMEM;
    }
    tail = (r->head + r->len) & (r->cap - 1);
    to_end = r->cap - tail;
    if (n <= to_end) {
        memcpy(r->buf + tail, data, n);
    } else {
        memcpy(r->buf + tail, data, to_end);
        memcpy(r->buf, (const unsigned char *)data + to_end, n - to_end);
    }
    r->len += n;
    return GN_OK;
}

/* Exchanges two blocks of n bytes that do not overlap. */
static void swap_blocks(unsigned char *a, unsigned char *b, size_t n)
{
    unsigned char spare[TURN_SPARE];

    while (n > 0) {
        size_t part = n < sizeof spare ? n : sizeof spare;

        memcpy(spare, a, part);
        memcpy(a, b, part);
        memcpy(b, spare, part);
        a += part;
        b += part;
        n -= part;
    }
}

/*
 * Turns the neighbours left|right into right|left: Gries and Mills' block swap puts the
 * shorter one in its final place each time; once it is short, the stack holds it.
 */
static void turn(unsigned char *p, size_t left, size_t right)
{
    unsigned char spare[TURN_SPARE];

    while (left > sizeof spare && right > sizeof spare) {
        if (left <= right) {
            swap_blocks(p, p + right, left);
            right -= left;
        } else {
            swap_blocks(p, p + left, right);
            p += right;
            left -= right;
        }
    }
    if (left <= right) {
        memcpy(spare, p, left);
        memmove(p, p + left, right);
        memcpy(p + right, spare, left);
    } else {
        memcpy(spare, p + left, right);
        memmove(p + right, p, left);
        memcpy(p, spare, right);
    }
}

const void *gni_ring_linear(gni_ring *r)
{
    size_t wrapped, first;

    if (r->len == 0)
        return NULL;
    wrapped = ring_wrapped(r);
    if (wrapped == 0)
        return r->buf + r->head;
    first = r->len - wrapped;
    if (r->len <= r->head) {
        /* The gap is wide enough: two copies. */
        memmove(r->buf + first, r->buf, wrapped);
        memcpy(r->buf, r->buf + r->head, first);
    } else {
        memmove(r->buf + wrapped, r->buf + r->head, first);
        turn(r->buf, wrapped, first);
    }
    r->head = 0;
    return r->buf;
}

void gni_ring_discard(gni_ring *r, size_t n)
{
    if (n >= r->len) {
        gni_ring_free(r);
        return;
    }
    r->head = (r->head + n) & (r->cap - 1);
    r->len -= n;
}

void gni_ring_free(gni_ring *r)
{
    gnp_free(r->buf, r->cap);
    r->buf = NULL;
    r->cap = r->head = r->len = 0;
}
