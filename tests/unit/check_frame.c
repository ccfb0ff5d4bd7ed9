/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "gannet.h"

/*
 * What a scan must say of an input, told from the naive rule for complete frames alone: GN_OK with that
 * frame; GN_EAGAIN while some continuation would make one; else the error.
 */
typedef struct verdict {
    int rc;
    size_t at, len, used;
} verdict;

typedef verdict (*rule)(const unsigned char *p, size_t n, const void *arg);
typedef int (*scan)(const void *p, size_t n, const void *arg, gn_frame *out, size_t *used);

/* Runs the scan on memory that ends where the input does, for tools that watch the heap. */
static verdict run(scan f, const unsigned char *p, size_t n, const void *arg)
{
    unsigned char *exact = malloc(n + 1);
    gn_frame frame = { NULL, 4711 };
    verdict v = { 0, 0, 0, 4711 };

    MUST(exact != NULL);
    if (n > 0)
        memcpy(exact + 1, p, n);
    v.rc = f(exact + 1, n, arg, &frame, &v.used);
    if (v.rc == GN_OK) {
        v.at = (size_t)((const unsigned char *)frame.data - (exact + 1));
        v.len = frame.len;
        MUST(v.used <= n && v.at <= v.used && v.len <= v.used - v.at);
    } else {
        MUST(frame.data == NULL && frame.len == 4711 && v.used == 4711);
    }
    free(exact);
    return v;
}

static int same(verdict a, verdict b)
{
    return a.rc == b.rc && (a.rc != GN_OK || (a.at == b.at && a.len == b.len && a.used == b.used));
}

/* Whether p[0..n), of longest bytes of room, can be continued with the letters to a frame. */
static int can(rule r, unsigned char *p, size_t n, size_t longest, const char *letters, const void *arg)
{
    if (r(p, n, arg).rc == GN_OK)
        return 1;
    if (n == longest)
        return 0;
    for (const char *l = letters; *l != '\0'; l++) {
        p[n] = (unsigned char)*l;
        if (can(r, p, n + 1, longest, letters, arg))
            return 1;
    }
    return 0;
}

/* Every input of up to longest letters. */
static void every_input(scan f, rule r, const char *letters, size_t longest, size_t beyond, const void *arg)
{
    size_t base = strlen(letters);
    unsigned char p[32];

    for (size_t n = 0; n <= longest; n++) {
        size_t count = 1;

        for (size_t i = 0; i < n; i++)
            count *= base;
        for (size_t code = 0; code < count; code++) {
            size_t rest = code;
            verdict want;

            for (size_t i = 0; i < n; i++, rest /= base)
                p[i] = (unsigned char)letters[rest % base];
            want = r(p, n, arg);
            if (want.rc != GN_OK)
                want.rc = can(r, p, n, n > beyond ? n : beyond, letters, arg) ? GN_EAGAIN : GN_EMSGSIZE;
            MUST(same(run(f, p, n, arg), want));
        }
    }
}

/* All prefixes: GN_EAGAIN up to some length, and the last verdict from there on. */
static void every_prefix(scan f, const unsigned char *p, size_t n, const void *arg)
{
    verdict last = run(f, p, n, arg);
    size_t i = 0;

    while (i < n && run(f, p, i, arg).rc == GN_EAGAIN)
        i++;
    if (last.rc == GN_OK)
        MUST(i == last.used);
    for (; i < n; i++)
        MUST(same(run(f, p, i, arg), last));
}

/* ---------------------------------------------------------------- lines */

static int line_scan(const void *p, size_t n, const void *arg, gn_frame *out, size_t *used)
{
    return gn_scan_line(p, n, *(const size_t *)arg, out, used);
}

static verdict line_rule(const unsigned char *p, size_t n, const void *arg)
{
    verdict v = { GN_EMSGSIZE, 0, 0, 0 };

    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            v.len = i > 0 && p[i - 1] == '\r' ? i - 1 : i;
            v.used = i + 1;
            v.rc = v.len <= *(const size_t *)arg ? GN_OK : GN_EMSGSIZE;
            break;
        }
    }
    return v;
}

START_TEST(lines)
{
    for (size_t max = 0; max <= 5; max++)
        every_input(line_scan, line_rule, "a\r\n", 9, max + 2, &max);
}
END_TEST

START_TEST(line_without_a_limit)
{
    size_t max = SIZE_MAX - (size_t)_i;
    verdict v = run(line_scan, (const unsigned char *)"ab\r\nc", 5, &max);

    ck_assert_int_eq(v.rc, GN_OK);
    ck_assert_uint_eq(v.len, 2);
    ck_assert_uint_eq(v.used, 4);
    ck_assert_int_eq(run(line_scan, (const unsigned char *)"ab\r", 3, &max).rc, GN_EAGAIN);
}
END_TEST

/* ---------------------------------------------------------------- delimiters */

typedef struct cut {
    unsigned char text[8];
    size_t len, max;
} cut;

static int cut_scan(const void *p, size_t n, const void *arg, gn_frame *out, size_t *used)
{
    const cut *c = arg;

    return gn_scan_delimited(p, n, c->text, c->len, c->max, out, used);
}

static verdict cut_rule(const unsigned char *p, size_t n, const void *arg)
{
    const cut *c = arg;
    verdict v = { GN_EMSGSIZE, 0, 0, 0 };

    for (size_t i = 0; i + c->len <= n; i++) {
        size_t k = 0;

        while (k < c->len && p[i + k] == c->text[k])
            k++;
        if (k == c->len) {
            v.len = i;
            v.used = i + c->len;
            v.rc = i <= c->max ? GN_OK : GN_EMSGSIZE;
            break;
        }
    }
    return v;
}

/* Every delimiter of up to four letters of two: all ways in which one can overlap itself. */
START_TEST(delimiters)
{
    cut c;

    for (c.len = 1; c.len <= 4; c.len++) {
        for (unsigned code = 0; code < 1u << c.len; code++) {
            for (size_t i = 0; i < c.len; i++)
                c.text[i] = (code >> i & 1) != 0 ? 'b' : 'a';
            for (c.max = 0; c.max <= 4; c.max++)
                every_input(cut_scan, cut_rule, "ab", 9, c.max + c.len, &c);
        }
    }
}
END_TEST

START_TEST(long_delimiters)
{
    rng g = { (uint64_t)_i };
    unsigned rounds = scaled(300, 30);

    for (unsigned i = 0; i < rounds; i++) {
        unsigned char p[300];
        size_t n = (size_t)rng_below(&g, sizeof p + 1);
        cut c;
        verdict want;

        c.len = 1 + (size_t)rng_below(&g, sizeof c.text);
        c.max = rng_below(&g, 3) == 0 ? SIZE_MAX - (size_t)rng_below(&g, 9) : (size_t)rng_below(&g, 310);
        for (size_t k = 0; k < n; k++)
            p[k] = (unsigned char)rng_below(&g, 3);
        for (size_t k = 0; k < c.len; k++)
            c.text[k] = (unsigned char)rng_below(&g, 3);
        want = cut_rule(p, n, &c);
        if (want.rc == GN_OK)
            MUST(same(run(cut_scan, p, n, &c), want));
        else
            MUST(run(cut_scan, p, n, &c).rc != GN_OK);
        every_prefix(cut_scan, p, n, &c);
    }
}
END_TEST

/* ---------------------------------------------------------------- length fields */

static int length_scan(const void *p, size_t n, const void *arg, gn_frame *out, size_t *used)
{
    return gn_scan_length(p, n, arg, out, used);
}

/* In numbers that cannot overflow: |adjust| and max are below 2^62 and the field has at most 4 bytes. */
static verdict length_rule(const unsigned char *p, size_t n, const void *arg)
{
    const gn_length_field *f = arg;
    size_t head = f->offset + f->width;
    verdict v = { GN_EAGAIN, 0, 0, 0 };
    int64_t body = 0;

    if (n < head)
        return v;
    for (unsigned i = 0; i < f->width; i++) {
        unsigned shift = 8 * (f->little_endian ? i : f->width - 1 - i);

        body += (int64_t)p[f->offset + i] << shift;
    }
    body += f->adjust;
    if (body < 0)
        v.rc = GN_EMALFORMED;
    else if (body > (int64_t)f->max)
        v.rc = GN_EMSGSIZE;
    else if ((int64_t)(n - head) >= body)
        v.rc = GN_OK;
    v.at = f->keep_head ? 0 : head;
    v.len = (size_t)body + (f->keep_head ? head : 0);
    v.used = head + (size_t)body;
    return v;
}

START_TEST(length_fields)
{
    rng g = { (uint64_t)_i };
    unsigned rounds = scaled(1000, 100);
    unsigned good = 0;

    for (unsigned i = 0; i < rounds; i++) {
        unsigned char p[64];
        size_t n = (size_t)rng_below(&g, sizeof p + 1);
        gn_length_field f = { (size_t)rng_below(&g, 6), 1 + (unsigned)rng_below(&g, 4), 0, 0, 0, 0 };

        f.little_endian = (int)rng_below(&g, 2);
        f.keep_head = (int)rng_below(&g, 2);
        f.max = (size_t)rng_scaled(&g, 30) + 20;
        f.adjust = (int64_t)rng_below(&g, 20) - 10;
        if (rng_below(&g, 4) == 0)
            f.adjust = (int64_t)rng_scaled(&g, 61) * (rng_below(&g, 2) == 0 ? 1 : -1);
        for (size_t k = 0; k < n; k++)
            p[k] = (unsigned char)(rng_below(&g, 3) == 0 ? rng_below(&g, 40) : 0);
        MUST(same(run(length_scan, p, n, &f), length_rule(p, n, &f)));
        every_prefix(length_scan, p, n, &f);
        good += length_rule(p, n, &f).rc == GN_OK;
    }
    ck_assert_uint_gt(good, rounds / 20);
}
END_TEST

START_TEST(length_at_the_edges)
{
    static const struct {
        unsigned char field[8];
        int64_t adjust;
        size_t max;
        int rc;
        size_t len;
    } t[] = {
        { { 255, 255, 255, 255, 255, 255, 255, 255 }, 0, SIZE_MAX, GN_EMSGSIZE, 0 }, /* head + body */
        { { 255, 255, 255, 255, 255, 255, 255, 247 }, 0, SIZE_MAX, GN_EAGAIN, 0 },   /* just fits a size */
        { { 255, 255, 255, 255, 255, 255, 255, 248 }, 0, SIZE_MAX, GN_EMSGSIZE, 0 },
        { { 255, 255, 255, 255, 255, 255, 255, 255 }, 1, SIZE_MAX, GN_EMSGSIZE, 0 }, /* field + adjust */
        { { 255, 255, 255, 255, 255, 255, 255, 255 }, INT64_MAX, SIZE_MAX, GN_EMSGSIZE, 0 },
        { { 128, 0, 0, 0, 0, 0, 0, 0 }, INT64_MIN, 10, GN_OK, 0 },
        { { 128, 0, 0, 0, 0, 0, 0, 3 }, INT64_MIN, 3, GN_OK, 3 },
        { { 128, 0, 0, 0, 0, 0, 0, 3 }, INT64_MIN, 2, GN_EMSGSIZE, 0 },
        { { 127, 255, 255, 255, 255, 255, 255, 255 }, INT64_MIN, SIZE_MAX, GN_EMALFORMED, 0 },
        { { 0 }, INT64_MIN, SIZE_MAX, GN_EMALFORMED, 0 },
        { { 0 }, -1, SIZE_MAX, GN_EMALFORMED, 0 },
        { { 0, 0, 0, 0, 0, 0, 0, 8 }, -8, 0, GN_OK, 0 }, /* a field that counts itself */
        { { 0, 0, 0, 0, 0, 0, 0, 7 }, -8, 0, GN_EMALFORMED, 0 },
        { { 0, 0, 0, 0, 0, 0, 0, 12 }, -8, 4, GN_OK, 4 },
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        unsigned char p[16] = { 0 };
        gn_length_field f = { 0, 8, 0, t[i].adjust, t[i].max, 0 };
        verdict v;

        /* The first three know a size of 64 bits. */
        if (i < 3 && SIZE_MAX != UINT64_MAX)
            continue;
        memcpy(p, t[i].field, 8);
        v = run(length_scan, p, sizeof p, &f);
        ck_assert_msg(v.rc == t[i].rc && (v.rc != GN_OK || v.len == t[i].len), "row %zu: %d, %zu bytes", i,
                      v.rc, v.len);
    }
}
END_TEST

START_TEST(length_of_no_sense)
{
    static const unsigned widths[] = { 0, 5, 6, 7, 9, ~0u };
    unsigned char p[16] = { 0 };
    gn_length_field f = { 0, 1, 0, 0, 100, 0 };

    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        f.width = widths[i];
        ck_assert_int_eq(run(length_scan, p, sizeof p, &f).rc, GN_EINVAL);
    }
    f.width = 4;
    f.offset = SIZE_MAX - 3;
    ck_assert_int_eq(run(length_scan, p, sizeof p, &f).rc, GN_EINVAL);
    f.offset = SIZE_MAX - 4;
    ck_assert_int_eq(run(length_scan, p, sizeof p, &f).rc, GN_EAGAIN);
}
END_TEST

/* ---------------------------------------------------------------- varints */

static int varint_scan(const void *p, size_t n, const void *arg, gn_frame *out, size_t *used)
{
    return gn_scan_varint(p, n, *(const size_t *)arg, out, used);
}

/* Bit by bit, up to 70 of them. */
static verdict varint_rule(const unsigned char *p, size_t n, size_t max)
{
    verdict v = { GN_EAGAIN, 0, 0, 0 };
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        for (unsigned bit = 0; bit < 7; bit++) {
            if ((p[i] >> bit & 1) == 0)
                continue;
            if (7 * i + bit > 63) {
                v.rc = GN_EMALFORMED;
                return v;
            }
            value += UINT64_C(1) << (7 * i + bit);
        }
        if (i == 9 && p[i] > 127)
            v.rc = GN_EMALFORMED;
        else if (value > max)
            v.rc = GN_EMSGSIZE; /* more groups can only add to it */
        else if (p[i] < 128) {
            v.at = i + 1;
            v.len = (size_t)value;
            v.used = v.at + v.len;
            v.rc = value > n - v.at ? GN_EAGAIN : GN_OK;
            return v;
        }
        if (v.rc != GN_EAGAIN)
            return v;
    }
    return v;
}

START_TEST(varints)
{
    static const unsigned char letters[] = { 0, 1, 2, 5, 0x7f, 0x80, 0x80, 0x80, 0x81, 0xff, 0xff };
    rng g = { (uint64_t)_i };
    unsigned rounds = scaled(1000, 100);

    for (unsigned i = 0; i < rounds; i++) {
        unsigned char p[40];
        size_t n = (size_t)rng_below(&g, sizeof p + 1);
        size_t max = rng_below(&g, 2) == 0 ? SIZE_MAX : (size_t)rng_scaled(&g, 63);

        for (size_t k = 0; k < n; k++)
            p[k] = letters[rng_below(&g, rng_below(&g, 2) == 0 ? sizeof letters : 8)];
        /* Half of them nearly as long as they may be. */
        for (size_t k = 0; k < 9 && k < n && (i & 1) != 0; k++)
            p[k] |= 0x80;
        MUST(same(run(varint_scan, p, n, &max), varint_rule(p, n, max)));
        every_prefix(varint_scan, p, n, &max);
    }
}
END_TEST

START_TEST(varints_there_and_back)
{
    rng g = { 7 };

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t value = i < 300 ? i : i < 364 ? UINT64_C(1) << (i - 300)
                       : i < 428 ? (UINT64_C(1) << (i - 364)) - 1 : rng_scaled(&g, 64);
        unsigned char p[11];
        uint64_t back = 0;
        unsigned n, want = 1;
        size_t max = SIZE_MAX;

        if (i == 428)
            value = UINT64_MAX;
        memset(p, 0xee, sizeof p);
        n = gn_put_varint(p, value);
        for (uint64_t v = value; v >= 128; v >>= 7)
            want++;
        MUST(n == want && n <= 10 && p[n] == 0xee);
        for (unsigned k = 0; k < n; k++) {
            MUST((p[k] >= 0x80) == (k + 1 < n));
            back |= (uint64_t)(p[k] & 0x7f) << (7 * k);
        }
        MUST(back == value);
        /* The bodies are not there; one of length 0 needs none, one too long for memory is refused. */
        MUST(run(varint_scan, p, n, &max).rc
             == (value == 0 ? GN_OK : value > SIZE_MAX - n ? GN_EMSGSIZE : GN_EAGAIN));
        if (value > 0) {
            max = (size_t)(value - 1 < SIZE_MAX ? value - 1 : SIZE_MAX);
            MUST(run(varint_scan, p, n, &max).rc == GN_EMSGSIZE);
        }
    }
}
END_TEST

/* ---------------------------------------------------------------- arguments */

START_TEST(arguments)
{
    gn_frame f;
    size_t used;
    gn_length_field field = { 0, 1, 0, 0, 10, 0 };

    ck_assert_int_eq(gn_scan_line(NULL, 1, 9, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_line("\n", 1, 9, NULL, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_line("\n", 1, 9, &f, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_scan_line(NULL, 0, 9, &f, &used), GN_EAGAIN);
    ck_assert_int_eq(gn_scan_delimited(NULL, 1, "x", 1, 9, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_delimited("x", 1, "x", 0, 9, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_delimited("x", 1, NULL, 1, 9, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_delimited("x", 1, "x", 1, 9, NULL, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_delimited("x", 1, "x", 1, 9, &f, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_scan_delimited(NULL, 0, "x", 1, 9, &f, &used), GN_EAGAIN);
    ck_assert_int_eq(gn_scan_length(NULL, 1, &field, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_length("x", 1, NULL, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_length("x", 1, &field, NULL, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_length("x", 1, &field, &f, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_scan_varint(NULL, 1, 9, &f, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_varint("x", 1, 9, NULL, &used), GN_EINVAL);
    ck_assert_int_eq(gn_scan_varint("x", 1, 9, &f, NULL), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_line(NULL, 9, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_delimited(NULL, "x", 1, 9, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_fixed(NULL, 0, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_length(NULL, &field, &f), GN_EINVAL);
    ck_assert_int_eq(gn_conn_read_varint(NULL, 9, &f), GN_EINVAL);
}
END_TEST

Suite *suite_frame(void)
{
    Suite *s = suite_create("frame");
    TCase *t = tcase_create("frame");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, lines);
    tcase_add_loop_test(t, line_without_a_limit, 0, 4);
    tcase_add_test(t, delimiters);
    tcase_add_loop_test(t, long_delimiters, 0, 4);
    tcase_add_loop_test(t, length_fields, 0, 8);
    tcase_add_test(t, length_at_the_edges);
    tcase_add_test(t, length_of_no_sense);
    tcase_add_loop_test(t, varints, 0, 8);
    tcase_add_test(t, varints_there_and_back);
    tcase_add_test(t, arguments);
    suite_add_tcase(s, t);
    return s;
}
