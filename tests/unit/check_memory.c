/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "gannet.h"
#include "lib/bits.h"
#include "lib/memory.h"
#include "platform/mem.h"

typedef struct seen { unsigned allocs, reallocs, frees; size_t old_size, size; } seen;

static void *see_alloc(size_t size, void *user)
{
    seen *s = user;

    s->allocs++;
    s->size = size;
    return malloc(size);
}

static void *see_realloc(void *p, size_t old_size, size_t size, void *user)
{
    seen *s = user;

    s->reallocs++;
    s->old_size = old_size;
    s->size = size;
    return realloc(p, size);
}

static void see_free(void *p, size_t size, void *user)
{
    seen *s = user;

    s->frees++;
    s->old_size = size;
    free(p);
}

START_TEST(takes_all_memory_through_it)
{
    seen s = { 0 };
    gn_allocator a = { see_alloc, see_realloc, see_free, &s };
    unsigned char *p;

    ck_assert_int_eq(gn_set_allocator(&a), GN_OK);
    memset(&a, 0, sizeof a); /* the table is copied */
    p = gnp_zalloc(100);
    ck_assert(p != NULL && p[0] == 0 && p[99] == 0);
    ck_assert_uint_eq(s.size, 100);
    p = gnp_realloc(p, 100, 200);
    ck_assert_uint_eq(s.old_size, 100);
    ck_assert_uint_eq(s.size, 200);
    gnp_free(p, 200);
    ck_assert_uint_eq(s.old_size, 200);
    gnp_free(NULL, 5);
    ck_assert_uint_eq(s.frees, 1);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
    gnp_free(gnp_alloc(1), 1);
    ck_assert_uint_eq(s.allocs + s.reallocs + s.frees, 3);
}
END_TEST

START_TEST(refuses_half_a_table)
{
    seen s = { 0 };
    const gn_allocator whole = { see_alloc, see_realloc, see_free, &s };
    gn_allocator a = whole;

    a.alloc = NULL;
    ck_assert_int_eq(gn_set_allocator(&a), GN_EINVAL);
    a = whole;
    a.realloc = NULL;
    ck_assert_int_eq(gn_set_allocator(&a), GN_EINVAL);
    a = whole;
    a.free = NULL;
    ck_assert_int_eq(gn_set_allocator(&a), GN_EINVAL);
    gnp_free(gnp_alloc(1), 1);
    ck_assert_uint_eq(s.allocs, 0);
}
END_TEST

START_TEST(stays_while_an_engine_exists)
{
    seen s = { 0 };
    const gn_allocator a = { see_alloc, see_realloc, see_free, &s };

    gni_engines_add();
    gni_engines_add();
    ck_assert_int_eq(gn_set_allocator(&a), GN_EBUSY);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_EBUSY);
    gni_engines_sub();
    ck_assert_int_eq(gn_set_allocator(&a), GN_EBUSY);
    gni_engines_sub();
    ck_assert_int_eq(gn_set_allocator(&a), GN_OK);
    ck_assert_int_eq(gn_set_allocator(NULL), GN_OK);
}
END_TEST

START_TEST(bits)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t x = UINT64_C(1) << i;

        ck_assert_uint_eq(gni_bit_lowest(x), i);
        ck_assert_uint_eq(gni_bit_highest(x), i);
        ck_assert_uint_eq(gni_bit_lowest(UINT64_MAX << i), i);
        ck_assert_uint_eq(gni_bit_highest(UINT64_MAX >> i), 63 - i);
    }
    ck_assert_uint_eq(gni_pow2_ceil(0), 1);
    ck_assert_uint_eq(gni_pow2_ceil(1), 1);
    for (size_t p = 2; p != 0; p *= 2) {
        ck_assert_uint_eq(gni_pow2_ceil(p), p);
        ck_assert_uint_eq(gni_pow2_ceil(p + 1), p * 2); /* 0 for the last */
        if (p > 2)
            ck_assert_uint_eq(gni_pow2_ceil(p - 1), p);
    }
    ck_assert_uint_eq(gni_pow2_ceil(SIZE_MAX), 0);
}
END_TEST

Suite *suite_memory(void)
{
    Suite *s = suite_create("memory");
    TCase *t = tcase_create("memory");

    tcase_add_test(t, takes_all_memory_through_it);
    tcase_add_test(t, refuses_half_a_table);
    tcase_add_test(t, stays_while_an_engine_exists);
    tcase_add_test(t, bits);
    suite_add_tcase(s, t);
    return s;
}
