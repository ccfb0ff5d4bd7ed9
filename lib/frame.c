/* SPDX-License-Identifier: MIT */
/*
 * Finds messages in a stream, without a copy and without state: each call looks at what is there from its
 * beginning.  A frame that comes byte by byte is thus looked at again with each read, but never beyond
 * max; at 64 KiB that is about a microsecond of memchr, less than the read itself.
 *
 * A verdict is never taken back: when a prefix of the input gives anything but GN_EAGAIN, every longer
 * input gives the same.
 */
#include <string.h>

#include "conn.h"

/* a + b, or the largest size. */
static size_t add(size_t a, size_t b)
{
    return b <= SIZE_MAX - a ? a + b : SIZE_MAX;
}

static int found(gn_frame *out, size_t *used, const void *data, size_t len, size_t all)
{
    out->data = data;
    out->len = len;
    *used = all;
    return GN_OK;
}

int gn_scan_line(const void *p, size_t n, size_t max, gn_frame *out, size_t *used)
{
    if ((p == NULL && n > 0) || out == NULL || used == NULL) {
        return GN_EINVAL;
    }
    const unsigned char *b = p;
    size_t most = add(max, 2); /* of the longest line with its CR and LF */
    size_t look = n < most ? n : most;
    const unsigned char *lf = look > 0 ? memchr(b, '\n', look) : NULL;
    if (lf == NULL) {
        /* One byte too many may still be a CR that does not count. */
        return n <= max || (n - max == 1 && b[max] == '\r') ? GN_EAGAIN : GN_EMSGSIZE;
    }
    size_t len = (size_t)(lf - b);
    size_t all = len + 1;
    if (len > 0 && b[len - 1] == '\r') {
        len--;
    }
    return len <= max ? found(out, used, p, len, all) : GN_EMSGSIZE;
}

/* The first place of the delimiter, or NULL.  At worst n * len steps: the delimiter is the program's, not
 * the peer's, so that it is short and has few repetitions. */
static const unsigned char *search(const unsigned char *p, size_t n, const unsigned char *delimiter,
                                   size_t len)
{
    if (n < len) {
        return NULL;
    }
    const unsigned char *end = p + (n - len) + 1; /* beyond the last place where it fits */
    while ((p = memchr(p, delimiter[0], (size_t)(end - p))) != NULL) {
        if (memcmp(p, delimiter, len) == 0) {
            return p;
        }
        if (++p == end) {
            return NULL;
        }
    }
    return NULL;
}

/* 1 if a delimiter that is not all there may begin at most max < n bytes from the beginning. */
static int may_begin(const unsigned char *p, size_t n, const unsigned char *delimiter, size_t len, size_t max)
{
    for (size_t at = n < len ? 0 : n - len + 1; at <= max; at++) {
        if (memcmp(p + at, delimiter, n - at) == 0) {
            return 1;
        }
    }
    return 0;
}

int gn_scan_delimited(const void *p, size_t n, const void *delimiter, size_t len, size_t max, gn_frame *out,
                      size_t *used)
{
    if ((p == NULL && n > 0) || delimiter == NULL || len == 0 || out == NULL || used == NULL) {
        return GN_EINVAL;
    }
    size_t most = add(max, len);
    const unsigned char *b = p;
    const unsigned char *at = search(b, n < most ? n : most, delimiter, len);
    if (at != NULL) {
        return found(out, used, p, (size_t)(at - b), (size_t)(at - b) + len);
    }
    return n <= max || may_begin(b, n, delimiter, len, max) ? GN_EAGAIN : GN_EMSGSIZE;
}

static uint64_t read_number(const unsigned char *p, unsigned width, int little_endian)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < width; i++) {
        v = v << 8 | p[little_endian ? width - 1 - i : i];
    }
    return v;
}

int gn_scan_length(const void *p, size_t n, const gn_length_field *f, gn_frame *out, size_t *used)
{
    if ((p == NULL && n > 0) || f == NULL || out == NULL || used == NULL) {
        return GN_EINVAL;
    }
    if (f->width == 0 || f->width > 8 || (f->width > 4 && f->width < 8) || f->offset > SIZE_MAX - f->width) {
        return GN_EINVAL;
    }
    size_t head = f->offset + f->width;
    if (n < head) {
        return GN_EAGAIN;
    }
    const unsigned char *b = p;
    uint64_t body = read_number(b + f->offset, f->width, f->little_endian);
    if (f->adjust < 0) {
        uint64_t less = 0 - (uint64_t)f->adjust; /* also for the least number, which has no negative */
        if (body < less) {
            return GN_EMALFORMED;
        }
        body -= less;
    } else if ((uint64_t)f->adjust > UINT64_MAX - body) {
        return GN_EMSGSIZE;
    } else {
        body += (uint64_t)f->adjust;
    }
    if (body > f->max || body > SIZE_MAX - head) {
        return GN_EMSGSIZE;
    }
    size_t len = (size_t)body;
    if (n - head < len) {
        return GN_EAGAIN;
    }
    return f->keep_head ? found(out, used, b, head + len, head + len)
                        : found(out, used, b + head, len, head + len);
}

#define VARINT_MAX 10u /* bytes of 7 bits that hold 64 */

int gn_scan_varint(const void *p, size_t n, size_t max, gn_frame *out, size_t *used)
{
    if ((p == NULL && n > 0) || out == NULL || used == NULL) {
        return GN_EINVAL;
    }
    const unsigned char *b = p;
    uint64_t v = 0;
    size_t head = 0;
    do {
        if (head == n) {
            return GN_EAGAIN;
        }
        if (head == VARINT_MAX - 1 && b[head] > 1) { /* bit 64, or an eleventh byte */
            return GN_EMALFORMED;
        }
        v |= (uint64_t)(b[head] & 0x7f) << (7 * head);
        if (v > max) {
            return GN_EMSGSIZE;
        }
    } while (b[head++] >= 0x80);
    if (v > SIZE_MAX - head) {
        return GN_EMSGSIZE;
    }
    size_t len = (size_t)v;
    return n - head < len ? GN_EAGAIN : found(out, used, b + head, len, head + len);
}

unsigned gn_put_varint(void *out, uint64_t v)
{
    unsigned char *b = out;
    unsigned n = 0;
    while (v >= 0x80) {
        b[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    b[n++] = (unsigned char)v;
    return n;
}

/* ------------------------------------------------------------- connections */

/* Shows the unread bytes; 0 if c is no connection. */
static int unread(gn_conn *c, const void **p, size_t *n)
{
    *p = gn_conn_peek(c, n);
    return gni_conn_valid(c);
}

/* Takes what a scan has found; the memory stays, unlike with a discard. */
static int take(gn_conn *c, int rc, const size_t *used)
{
    if (rc == GN_OK && *used > 0) {
        (void)gn_conn_next(c, *used);
    }
    return rc;
}

int gn_conn_read_line(gn_conn *c, size_t max, gn_frame *out)
{
    const void *p;
    size_t n, used;
    return unread(c, &p, &n) ? take(c, gn_scan_line(p, n, max, out, &used), &used) : GN_EINVAL;
}

int gn_conn_read_delimited(gn_conn *c, const void *delimiter, size_t len, size_t max, gn_frame *out)
{
    const void *p;
    size_t n, used;
    return unread(c, &p, &n) ? take(c, gn_scan_delimited(p, n, delimiter, len, max, out, &used), &used)
                             : GN_EINVAL;
}

int gn_conn_read_fixed(gn_conn *c, size_t len, gn_frame *out)
{
    const void *p;
    size_t n;
    if (!unread(c, &p, &n) || out == NULL) {
        return GN_EINVAL;
    }
    return n < len ? GN_EAGAIN : take(c, found(out, &n, p, len, len), &n);
}

int gn_conn_read_length(gn_conn *c, const gn_length_field *f, gn_frame *out)
{
    const void *p;
    size_t n, used;
    return unread(c, &p, &n) ? take(c, gn_scan_length(p, n, f, out, &used), &used) : GN_EINVAL;
}

int gn_conn_read_varint(gn_conn *c, size_t max, gn_frame *out)
{
    const void *p;
    size_t n, used;
    return unread(c, &p, &n) ? take(c, gn_scan_varint(p, n, max, out, &used), &used) : GN_EINVAL;
}
