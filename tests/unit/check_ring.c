/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "gannet.h"
#include "lib/ring.h"

static unsigned char scratch[1 << 20];

/* The ring holds the bytes of the stream from begin to end. */
static void expect(gni_ring *r, const heap *h, uint64_t begin, uint64_t end)
{
    const unsigned char *p;

    MUST(r->len == end - begin);
    MUST(h->bytes == r->cap);
    if (begin == end) {
        MUST(r->buf == NULL);
        MUST(r->cap == 0);
        MUST(gni_ring_linear(r) == NULL);
        return;
    }
    MUST((r->cap & (r->cap - 1)) == 0);
    MUST(r->cap >= r->len);
    MUST(r->head < r->cap);
    p = gni_ring_linear(r);
    MUST(p >= r->buf && p + r->len <= r->buf + r->cap);
    MUST(stream_matches(p, begin, (size_t)(end - begin)));
}

static void put(gni_ring *r, uint64_t offset, size_t n)
{
    stream_fill(scratch, offset, n);
    ck_assert_int_eq(gni_ring_write(r, scratch, n), GN_OK);
}

START_TEST(against_a_model)
{
    rng g = { (uint64_t)_i };
    gni_ring r = { 0 };
    uint64_t begin = 0, end = 0;
    unsigned rounds = scaled(1500, 300);
    unsigned bits = 6 + (unsigned)rng_below(&g, 12);
    heap h;

    heap_use(&h);
    for (unsigned i = 0; i < rounds; i++) {
        size_t n = (size_t)rng_scaled(&g, bits);

        if (rng_below(&g, 100) < 55) {
            put(&r, end, n);
            end += n;
        } else {
            if (n > end - begin)
                n = (size_t)(end - begin);
            gni_ring_discard(&r, n);
            begin += n;
        }
        /* Not each time: turning the ring hides how writes go over its end. */
        if (rng_below(&g, 4) == 0)
            expect(&r, &h, begin, end);
    }
    expect(&r, &h, begin, end);
    gni_ring_free(&r);
    heap_done(&h);
}
END_TEST

/* Makes a ring of capacity cap whose first byte stands at head, with len bytes of the stream. */
static void place(gni_ring *r, size_t cap, size_t head, size_t len)
{
    put(r, 0, cap);
    gni_ring_discard(r, head);
    if (len > cap - head) {
        put(r, cap, len - (cap - head));
    } else {
        /* Not wrapped: cut at the end, which no call does. */
        r->len = len;
    }
}

START_TEST(turns_at_every_place)
{
    const size_t cap = 1024;
    size_t step = scaled(16, 1) > 1 ? 1 : 37;

    for (size_t head = 1; head < cap; head += step) {
        for (size_t len = 1; len <= cap; len += 31) {
            gni_ring r = { 0 };

            place(&r, cap, head, len);
            MUST(r.cap == cap);
            MUST(stream_matches(gni_ring_linear(&r), head, len));
            MUST(stream_matches(gni_ring_linear(&r), head, len));
            gni_ring_free(&r);
        }
    }
}
END_TEST

/* Both parts are longer than the spare memory and the gap is small or nothing. */
START_TEST(turns_large_ones_in_place)
{
    rng g = { (uint64_t)_i };
    gni_ring r = { 0 };
    size_t cap = (size_t)4096 << rng_below(&g, 7);
    size_t head = 1 + (size_t)rng_below(&g, cap - 1);
    size_t gap = (size_t)rng_below(&g, 3) * (size_t)rng_below(&g, 64);
    size_t len = cap - (gap < head ? gap : 0);
    const void *before;
    heap h;

    heap_use(&h);
    place(&r, cap, head, len);
    before = r.buf;
    ck_assert(stream_matches(gni_ring_linear(&r), head, len));
    ck_assert(r.buf == before);
    ck_assert_uint_eq(h.calls, 1);
    /* And it goes on as a ring. */
    gni_ring_discard(&r, 10);
    put(&r, head + len, 10);
    ck_assert(stream_matches(gni_ring_linear(&r), head + 10, len));
    gni_ring_free(&r);
    heap_done(&h);
}
END_TEST

START_TEST(grows_while_wrapped)
{
    rng g = { (uint64_t)_i };
    gni_ring r = { 0 };
    size_t head = 1 + (size_t)rng_below(&g, 1023);
    size_t more = 1 + (size_t)rng_below(&g, 9000);
    heap h;

    heap_use(&h);
    place(&r, 1024, head, 1024);
    put(&r, head + 1024, more);
    ck_assert_uint_ge(r.cap, 2048);
    expect(&r, &h, head, head + 1024 + more);
    gni_ring_free(&r);
    heap_done(&h);
}
END_TEST

START_TEST(owns_nothing_while_empty)
{
    gni_ring r = { 0 };
    heap h;

    heap_use(&h);
    ck_assert_int_eq(gni_ring_write(&r, NULL, 0), GN_OK);
    gni_ring_discard(&r, 0);
    expect(&r, &h, 0, 0);
    put(&r, 0, 1);
    ck_assert_uint_eq(r.cap, 1024);
    gni_ring_discard(&r, 1);
    expect(&r, &h, 1, 1);
    put(&r, 0, 1025);
    ck_assert_uint_eq(r.cap, 2048);
    gni_ring_free(&r);
    gni_ring_free(&r);
    expect(&r, &h, 0, 0);
    heap_done(&h);
}
END_TEST

/* Whichever allocation fails, the ring is as it was and a later write succeeds. */
START_TEST(out_of_memory)
{
    for (uint64_t fail = 1; fail <= 8; fail++) {
        gni_ring r = { 0 };
        uint64_t end = 0;
        unsigned failures = 0;
        heap h;

        heap_use(&h);
        h.fail_at = fail;
        for (unsigned i = 0; i < 40; i++) {
            int e;

            if (i == 1) {
                gni_ring_discard(&r, 0);
            }
            stream_fill(scratch, end, 3000);
            e = gni_ring_write(&r, scratch, 3000);
            if (e == GN_OK) {
                end += 3000;
            } else {
                ck_assert_int_eq(e, GN_ENOMEM);
                failures++;
            }
            expect(&r, &h, 0, end);
        }
        /* 120,000 bytes: 4 KiB, then doubled to 128 KiB, is six. */
        ck_assert_uint_eq(failures, fail <= 6 ? 1 : 0);
        gni_ring_free(&r);
        heap_done(&h);
    }
}
END_TEST

START_TEST(absurd_sizes)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 4, SIZE_MAX / 2 + 2, SIZE_MAX / 2 };
    gni_ring r = { 0 };
    heap h;

    heap_use(&h);
    put(&r, 0, 5);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        /* Only the last of these is a size that can be asked for. */
        h.fail_at = sizes[i] == SIZE_MAX / 2 ? h.calls + 1 : 0;
        ck_assert_int_eq(gni_ring_write(&r, scratch, sizes[i]), GN_ENOMEM);
        expect(&r, &h, 0, 5);
    }
    gni_ring_free(&r);
    heap_done(&h);
}
END_TEST

Suite *suite_ring(void)
{
    Suite *s = suite_create("ring");
    TCase *t = tcase_create("ring");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, against_a_model, 0, 24);
    tcase_add_test(t, turns_at_every_place);
    tcase_add_loop_test(t, turns_large_ones_in_place, 0, 64);
    tcase_add_loop_test(t, grows_while_wrapped, 0, 16);
    tcase_add_test(t, owns_nothing_while_empty);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, absurd_sizes);
    suite_add_tcase(s, t);
    return s;
}
