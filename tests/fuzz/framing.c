/* SPDX-License-Identifier: MIT */
/*
 * The framing helpers, on memory and on a connection, against readings of gannet.h that look at one byte
 * after the other; for every prefix of the input, since a frame may come in any pieces.
 */
#include "fuzz.h"

#include "lib/conn.h"
#include "lib/loop.h"

#define BYTES_MAX 400u /* every prefix is looked at */
#define DELIMITER_MAX 8u

enum { LINE, DELIMITED, LENGTH, VARINT, FIXED, KINDS };

typedef struct plan {
    int kind;
    size_t max;
    uint8_t delimiter[DELIMITER_MAX];
    size_t delimiter_n;
    gn_length_field field;
} plan;

/* What a reader says: for GN_OK where the frame begins, its length, and all that it takes. */
typedef struct verdict {
    int rc;
    size_t at, len, used;
} verdict;

static verdict says(int rc)
{
    return (verdict){ .rc = rc };
}

static verdict frame(size_t at, size_t len, size_t used)
{
    return (verdict){ GN_OK, at, len, used };
}

/* ---------------------------------------------------------------- reference */

static verdict ref_line(const uint8_t *p, size_t n, size_t max)
{
    size_t len = 0, i;

    for (i = 0; i < n && p[i] != '\n'; i++)
        continue;
    len = i > 0 && p[i - 1] == '\r' ? i - 1 : i; /* if an LF is, or comes, here */
    if (len > max)
        return says(GN_EMSGSIZE);
    return i < n ? frame(0, len, i + 1) : says(GN_EAGAIN);
}

static verdict ref_delimited(const uint8_t *p, size_t n, const plan *f)
{
    for (size_t at = 0; at <= n && at <= f->max; at++) {
        size_t k = 0;

        while (k < f->delimiter_n && at + k < n && p[at + k] == f->delimiter[k])
            k++;
        if (k == f->delimiter_n)
            return frame(0, at, at + k);
        if (at + k == n)
            return says(GN_EAGAIN); /* it may begin here */
    }
    return says(GN_EMSGSIZE);
}

/* In halves, so that nothing can pass 64 bits. */
static verdict ref_length(const uint8_t *p, size_t n, const gn_length_field *f)
{
    size_t head = f->offset + f->width;
    int64_t high = 0, low = 0, adjust_low = f->adjust & 0xffffffff;
    uint64_t body;

    if (n < head)
        return says(GN_EAGAIN);
    for (unsigned i = 0; i < f->width; i++) {
        unsigned place = f->little_endian ? i : f->width - 1 - i;
        int64_t byte = p[f->offset + i];

        if (place < 4)
            low += byte << (8 * place);
        else
            high += byte << (8 * (place - 4));
    }
    low += adjust_low;
    high += (f->adjust - adjust_low) / INT64_C(0x100000000) + (low >> 32);
    low &= 0xffffffff;
    if (high < 0)
        return says(GN_EMALFORMED);
    body = (uint64_t)high << 32 | (uint64_t)low;
    if (high > 0xffffffff || body > f->max || body > SIZE_MAX - head)
        return says(GN_EMSGSIZE);
    if (n - head < body)
        return says(GN_EAGAIN);
    return f->keep_head ? frame(0, head + body, head + body) : frame(head, body, head + body);
}

static verdict ref_varint(const uint8_t *p, size_t n, size_t max)
{
    uint64_t body = 0, weight = 1;
    size_t i;

    for (i = 0; i < n; i++, weight *= 128) {
        if (i == 9 && p[i] > 1)
            return says(GN_EMALFORMED);
        body += (p[i] & 127) * weight;
        if (body > max)
            return says(GN_EMSGSIZE);
        if (p[i] < 128) {
            if (body > SIZE_MAX - (i + 1))
                return says(GN_EMSGSIZE);
            return n - (i + 1) < body ? says(GN_EAGAIN) : frame(i + 1, body, i + 1 + body);
        }
    }
    return says(GN_EAGAIN);
}

static verdict reference(const plan *f, const uint8_t *p, size_t n)
{
    switch (f->kind) {
    case LINE:
        return ref_line(p, n, f->max);
    case DELIMITED:
        return ref_delimited(p, n, f);
    case LENGTH:
        return ref_length(p, n, &f->field);
    case VARINT:
        return ref_varint(p, n, f->max);
    default:
        return n < f->max ? says(GN_EAGAIN) : frame(0, f->max, f->max);
    }
}

/* ---------------------------------------------------------- what is tested */

static verdict scan(const plan *f, const uint8_t *p, size_t n)
{
    gn_frame out = { NULL, 0 };
    size_t used = 0;
    int rc;

    switch (f->kind) {
    case LINE:
        rc = gn_scan_line(p, n, f->max, &out, &used);
        break;
    case DELIMITED:
        rc = gn_scan_delimited(p, n, f->delimiter, f->delimiter_n, f->max, &out, &used);
        break;
    case LENGTH:
        rc = gn_scan_length(p, n, &f->field, &out, &used);
        break;
    case VARINT:
        rc = gn_scan_varint(p, n, f->max, &out, &used);
        break;
    default: /* there is none on memory */
        return reference(f, p, n);
    }
    if (rc != GN_OK)
        return says(rc);
    must((const uint8_t *)out.data >= p, "a frame begins before the input");
    return frame((size_t)((const uint8_t *)out.data - p), out.len, used);
}

static verdict read_conn(const plan *f, gn_conn *c)
{
    size_t before, after;
    const uint8_t *p = gn_conn_peek(c, &before);
    gn_frame out = { NULL, 0 };
    int rc;

    switch (f->kind) {
    case LINE:
        rc = gn_conn_read_line(c, f->max, &out);
        break;
    case DELIMITED:
        rc = gn_conn_read_delimited(c, f->delimiter, f->delimiter_n, f->max, &out);
        break;
    case LENGTH:
        rc = gn_conn_read_length(c, &f->field, &out);
        break;
    case VARINT:
        rc = gn_conn_read_varint(c, f->max, &out);
        break;
    default:
        rc = gn_conn_read_fixed(c, f->max, &out);
        break;
    }
    (void)gn_conn_peek(c, &after);
    if (rc != GN_OK) {
        must(after == before, "%s, but %zu bytes are gone", gn_strerror(rc), before - after);
        return says(rc);
    }
    return frame((size_t)((const uint8_t *)out.data - p), out.len, before - after);
}

/* A connection in a callback of its loop, with n bytes: lent, or left from earlier ones and so in its ring,
 * turned by `turn`. */
static void conn_fill(gn_conn *c, gn_loop *l, const uint8_t *p, size_t n, int ring, size_t turn)
{
    static const uint8_t zeros[1024];

    memset(c, 0, sizeof *c);
    c->magic = GNI_CONN_MAGIC;
    c->state = GNI_CONN_OPEN;
    c->loop = l;
    l->current = c;
    l->lent = p;
    l->lent_len = l->span_len = ring ? 0 : n;
    if (!ring)
        return;
    must(gni_ring_write(&c->inbound, zeros, turn) == GN_OK && gni_ring_write(&c->inbound, p, n) == GN_OK,
         "the ring takes nothing");
    if (turn < c->inbound.len)
        gni_ring_discard(&c->inbound, turn);
    else
        gni_ring_free(&c->inbound);
}

/* ------------------------------------------------------------------ oracles */

static void same(const plan *f, verdict got, verdict want, const char *who, size_t n)
{
    must(got.rc == want.rc, "%s, kind %d, %zu bytes: %s, not %s", who, f->kind, n, gn_strerror(got.rc),
         gn_strerror(want.rc));
    must(got.at == want.at && got.len == want.len && got.used == want.used,
         "%s, kind %d, %zu bytes: %zu+%zu of %zu, not %zu+%zu of %zu", who, f->kind, n, got.at, got.len,
         got.used, want.at, want.len, want.used);
}

/* Each prefix: as the reference has it; and a verdict is never taken back. */
static verdict check_prefixes(const plan *f, const uint8_t *p, size_t n)
{
    verdict last = says(GN_EAGAIN);

    for (size_t i = 0; i <= n; i++) {
        uint8_t *part = exactly(p, i);
        verdict now = scan(f, part, i);

        same(f, now, reference(f, part, i), "scan", i);
        if (last.rc != GN_EAGAIN)
            same(f, now, last, "scan, again", i);
        must(now.rc != GN_OK || now.used <= i, "a frame of %zu bytes in %zu", now.used, i);
        last = now;
        free(part);
    }
    return last;
}

/* All frames of the input, taken off a connection one after the other. */
static void check_conn(const plan *f, const uint8_t *p, size_t n, int ring, size_t turn)
{
    static gn_loop l;
    static gn_conn c;
    uint8_t *all = exactly(p, n);
    size_t at = 0;

    conn_fill(&c, &l, all, n, ring, turn);
    for (size_t frames = 0; frames <= n; frames++) {
        verdict want = reference(f, all + at, n - at), got = read_conn(f, &c);

        same(f, got, want, ring ? "ring" : "span", n - at);
        if (want.rc != GN_OK || want.used == 0)
            break;
        at += want.used;
        size_t left;
        const void *rest = gn_conn_peek(&c, &left);
        must(left == n - at && memcmp(rest, all + at, left) == 0, "what follows a frame is another");
    }
    gni_ring_free(&c.inbound);
    free(all);
}

static void check_varint(uint64_t v)
{
    uint8_t out[16];
    gn_frame got;
    size_t used;
    unsigned n;

    memset(out, 0x5a, sizeof out);
    n = gn_put_varint(out, v);
    must(n >= 1 && n <= 10 && out[n] == 0x5a, "a varint of %u bytes", n);
    must(n == 10 || v >> (7 * n) == 0, "%llu in %u bytes", (unsigned long long)v, n);
    must(n == 1 || v >> (7 * (n - 1)) != 0, "%llu in as many as %u bytes", (unsigned long long)v, n);
    for (unsigned i = 0; i < n; i++) {
        int rc = gn_scan_varint(out, i, SIZE_MAX, &got, &used);
        /* Where a size has 32 bits, the first bytes may tell that it is too great for one. */
        must(rc == GN_EAGAIN || ((size_t)v != v && rc == GN_EMSGSIZE), "%u bytes of %u are a varint", i, n);
    }
    if (v < sizeof out - n) {
        must(gn_scan_varint(out, n + v, v, &got, &used) == GN_OK && got.len == v && used == n + v,
             "%llu does not come back", (unsigned long long)v);
    } else if (v < SIZE_MAX - 10) {
        must(gn_scan_varint(out, n, (size_t)v, &got, &used) == GN_EAGAIN, "%llu is too long for itself",
             (unsigned long long)v);
        must(gn_scan_varint(out, n, (size_t)v - 1, &got, &used) == GN_EMSGSIZE, "%llu is not too long",
             (unsigned long long)v);
    }
}

static void take_plan(plan *f, input *in)
{
    static const unsigned widths[] = { 1, 2, 3, 4, 8 };
    uint8_t flags;

    memset(f, 0, sizeof *f);
    f->kind = next8(in) % KINDS;
    flags = next8(in);
    f->max = flags & 1 ? (size_t)next_scaled(in) : next8(in);
    if (f->kind == DELIMITED) {
        f->delimiter_n = 1 + next8(in) % DELIMITER_MAX;
        for (size_t i = 0; i < f->delimiter_n; i++)
            f->delimiter[i] = next8(in);
    }
    if (f->kind == LENGTH) {
        f->field.width = widths[(flags >> 1) % 5];
        f->field.little_endian = flags >> 4 & 1;
        f->field.keep_head = flags >> 5 & 1;
        f->field.offset = next8(in) % 20;
        f->field.adjust = flags & 64 ? (int64_t)next_scaled(in) : (int8_t)next8(in);
        f->field.max = f->max;
    }
}

/* Widths that there are not, and heads that pass the address space. */
static void check_refused(const plan *f, const uint8_t *p, size_t n)
{
    gn_length_field bad = f->field;
    gn_frame out;
    size_t used;

    for (bad.width = 0; bad.width < 12; bad.width++) {
        if ((bad.width >= 1 && bad.width <= 4) || bad.width == 8)
            continue;
        must(gn_scan_length(p, n, &bad, &out, &used) == GN_EINVAL, "width %u is taken", bad.width);
    }
    bad = f->field;
    bad.offset = SIZE_MAX - bad.width + 1;
    must(gn_scan_length(p, n, &bad, &out, &used) == GN_EINVAL, "an offset of %zu is taken", bad.offset);
    bad.offset--;
    must(gn_scan_length(p, n, &bad, &out, &used) == GN_EAGAIN, "an offset of %zu is refused", bad.offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    plan f;
    size_t turn;

    check_varint(next_scaled(&in));
    turn = next16(&in) % 1023;
    take_plan(&f, &in);
    if (in.n > BYTES_MAX)
        in.n = BYTES_MAX;
    (void)check_prefixes(&f, in.p, in.n);
    check_conn(&f, in.p, in.n, 0, 0);
    check_conn(&f, in.p, in.n, 1, turn);
    if (f.kind == LENGTH)
        check_refused(&f, in.p, in.n);
    return 0;
}
