/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "gannet.h"
#include "lib/segq.h"

#define SEG_DATA sizeof(((gni_seg *)0)->data)

static unsigned char scratch[1 << 20];

static int append(gni_segq *q, gni_segpool *p, uint64_t offset, size_t n)
{
    stream_fill(scratch, offset, n);
    return gni_segq_append(q, p, scratch, n);
}

/* The queue holds the stream from begin to end, in segments none of which is empty, and no
 * memory is owned but by them and the pool. */
static void expect(const gni_segq *q, const gni_segpool *p, const heap *h, uint64_t begin, uint64_t end)
{
    static gnp_iov iov[1024];
    unsigned n = gni_segq_iov(q, iov, 1024);
    uint64_t at = begin;

    MUST(q->bytes == end - begin);
    MUST((q->head == NULL) == (begin == end));
    MUST((q->tail == NULL) == (begin == end));
    for (unsigned i = 0; i < n; i++) {
        MUST(iov[i].len > 0);
        MUST(stream_matches(iov[i].base, at, iov[i].len));
        at += iov[i].len;
    }
    MUST(at == end);
    MUST(p->count <= p->max);
    MUST(h->bytes == (n + p->count) * sizeof(gni_seg));
}

START_TEST(against_a_model)
{
    rng g = { (uint64_t)_i };
    gni_segq q = { 0 };
    gni_segpool p;
    uint64_t begin = 0, end = 0;
    unsigned bits = 8 + (unsigned)rng_below(&g, 9);
    unsigned rounds = scaled(3000, 300);
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, (unsigned)rng_below(&g, 6));
    for (unsigned i = 0; i < rounds; i++) {
        size_t n = (size_t)rng_scaled(&g, bits);

        if (end - begin < 4000000 && rng_below(&g, 2) == 0) {
            ck_assert_int_eq(append(&q, &p, end, n), GN_OK);
            end += n;
        } else {
            if (n > end - begin)
                n = (size_t)(end - begin);
            gni_segq_consume(&q, &p, n);
            begin += n;
        }
        expect(&q, &p, &h, begin, end);
    }
    gni_segq_clear(&q, &p);
    expect(&q, &p, &h, end, end);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

/* Sizes around the ends of segments, appended to queues that end around there too. */
START_TEST(edges_of_segments)
{
    heap h;

    heap_use(&h);
    for (size_t first = SEG_DATA - 2; first <= SEG_DATA + 2; first++) {
        for (size_t n = 0; n <= 3 * SEG_DATA + 2; n = n % SEG_DATA == 2 ? n + SEG_DATA - 4 : n + 1) {
            gni_segq q = { 0 };
            gni_segpool p;
            size_t left = first + n;

            gni_segpool_init(&p, 2);
            ck_assert_int_eq(append(&q, &p, 0, first), GN_OK);
            ck_assert_int_eq(append(&q, &p, first, n), GN_OK);
            expect(&q, &p, &h, 0, left);
            ck_assert_uint_eq(h.blocks, (left + SEG_DATA - 1) / SEG_DATA);
            gni_segq_consume(&q, &p, first);
            expect(&q, &p, &h, first, left);
            gni_segq_consume(&q, &p, n);
            expect(&q, &p, &h, left, left);
            gni_segpool_free(&p);
        }
    }
    heap_done(&h);
}
END_TEST

/* A backend may be sending from them: bytes stay where they are while more comes. */
START_TEST(bytes_never_move)
{
    gni_segq q = { 0 };
    gni_segpool p;
    gnp_iov before[4], after[4];
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 4);
    ck_assert_int_eq(append(&q, &p, 0, 3 * SEG_DATA + 100), GN_OK);
    gni_segq_consume(&q, &p, 50);
    ck_assert_uint_eq(gni_segq_iov(&q, before, 4), 4);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(append(&q, &p, 3 * SEG_DATA + 100 + i * 777u, 777), GN_OK);
    ck_assert_uint_eq(gni_segq_iov(&q, after, 4), 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert(before[i].base == after[i].base);
    ck_assert(stream_matches(before[3].base, 3 * SEG_DATA, 100));
    gni_segq_clear(&q, &p);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

START_TEST(iov_is_cut_to_its_cap)
{
    gni_segq q = { 0 };
    gni_segpool p;
    gnp_iov iov[3] = { { 0 } };
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 0);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 3), 0);
    ck_assert_int_eq(append(&q, &p, 0, 5 * SEG_DATA), GN_OK);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 0), 0);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 2), 2);
    ck_assert(iov[2].base == NULL);
    gni_segq_clear(&q, &p);
    /* A pool that keeps none gives all back at once. */
    ck_assert_uint_eq(h.blocks, 0);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

START_TEST(pool_serves_without_allocating)
{
    gni_segq q = { 0 };
    gni_segpool p;
    uint64_t calls;
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 8);
    ck_assert_int_eq(append(&q, &p, 0, 8 * SEG_DATA), GN_OK);
    gni_segq_clear(&q, &p);
    ck_assert_uint_eq(p.count, 8);
    calls = h.calls;
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_int_eq(append(&q, &p, i, 8 * SEG_DATA), GN_OK);
        gni_segq_consume(&q, &p, 8 * SEG_DATA);
    }
    ck_assert_uint_eq(h.calls, calls);
    gni_segpool_free(&p);
    ck_assert_uint_eq(p.count, 0);
    heap_done(&h);
}
END_TEST

/* Whichever segment cannot be had, nothing was appended and nothing is lost. */
START_TEST(out_of_memory)
{
    const size_t some = SEG_DATA / 3, more = 7 * SEG_DATA;

    for (uint64_t fail = 1; fail <= 8; fail++) {
        gni_segq q = { 0 };
        gni_segpool p;
        int e;
        heap h;

        heap_use(&h);
        gni_segpool_init(&p, 3);
        ck_assert_int_eq(append(&q, &p, 0, some), GN_OK);
        h.fail_at = h.calls + fail;
        e = append(&q, &p, some, more);
        /* The tail has room for two thirds of one: seven more are needed. */
        ck_assert_int_eq(e, fail <= 7 ? GN_ENOMEM : GN_OK);
        expect(&q, &p, &h, 0, e == GN_OK ? some + more : some);
        h.fail_at = 0;
        if (e != GN_OK)
            ck_assert_int_eq(append(&q, &p, some, more), GN_OK);
        expect(&q, &p, &h, 0, some + more);
        gni_segq_clear(&q, &p);
        gni_segpool_free(&p);
        heap_done(&h);
    }
}
END_TEST

START_TEST(absurd_sizes)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4, SIZE_MAX / 2 };
    gni_segq q = { 0 };
    gni_segpool p;
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 1);
    ck_assert_int_eq(append(&q, &p, 0, 5), GN_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        h.fail_at = h.calls + 20;
        ck_assert_int_eq(gni_segq_append(&q, &p, scratch, sizes[i]), GN_ENOMEM);
        expect(&q, &p, &h, 0, 5);
    }
    gni_segq_clear(&q, &p);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

Suite *suite_segq(void)
{
    Suite *s = suite_create("segq");
    TCase *t = tcase_create("segq");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, against_a_model, 0, 16);
    tcase_add_test(t, edges_of_segments);
    tcase_add_test(t, bytes_never_move);
    tcase_add_test(t, iov_is_cut_to_its_cap);
    tcase_add_test(t, pool_serves_without_allocating);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, absurd_sizes);
    suite_add_tcase(s, t);
    return s;
}
