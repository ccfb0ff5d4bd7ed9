/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "lib/loop.h"
#include "lib/op.h"
#include "lib/opmem.h"

/* As tokens come: in a row, in one slot.  Taken out in any order, found as long as they are in. */
START_TEST(found_while_registered)
{
    enum { OPS = 3000 };
    static gni_op o[OPS];
    static gn_op token[OPS];
    gni_ops t = { 0 };
    heap h = { 0 };
    rng r = { (uint64_t)_i };

    heap_use(&h);
    for (unsigned i = 0; i < OPS; i++) {
        token[i] = (UINT64_C(5) << GNI_OP_SLOT_SHIFT) | (i + 1);
        gni_ops_add(&t, &o[i], token[i]);
        MUST(o[i].token == token[i]);
    }
    MUST(t.count == OPS && t.buckets >= OPS);
    for (unsigned left = OPS; left > 0; left--) {
        unsigned i = (unsigned)rng_below(&r, OPS);
        while (o[i].token == GN_OP_NONE)
            i = (i + 1) % OPS;
        MUST(gni_ops_find(&t, token[i]) == &o[i]);
        gni_ops_remove(&t, &o[i]);
        MUST(gni_ops_find(&t, token[i]) == NULL);
        gni_ops_remove(&t, &o[i]); /* does nothing */
        MUST(t.count == left - 1);
    }
    MUST(h.blocks == 0); /* a big table goes when it is empty */
    gni_ops_free(&t);
    heap_done(&h);
}
END_TEST

/* Without memory everything is still found. */
START_TEST(no_memory_only_slows)
{
    enum { OPS = 100 };
    gni_op o[OPS];
    gni_ops t = { 0 };
    heap h = { 0 };

    heap_use(&h);
    for (unsigned i = 0; i < OPS; i++) {
        h.fail_at = i < OPS - 1 ? h.calls + 1 : 0;
        gni_ops_add(&t, &o[i], i + 1);
        ck_assert_int_eq(t.buckets != 0, i == OPS - 1);
    }
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_ptr_eq(gni_ops_find(&t, i + 1), &o[i]);
    ck_assert_ptr_null(gni_ops_find(&t, OPS + 1));
    for (unsigned i = 0; i < OPS; i++)
        gni_ops_remove(&t, &o[i]);
    gni_ops_free(&t);
    heap_done(&h);
}
END_TEST

/* Two tokens are never the same, and each leads to its loop; what names no loop has none. */
START_TEST(tokens_are_new)
{
    gn_op a = gni_op_token(GNI_HANDLE(9, GNI_LOOP_INDEX, 1));
    gn_op b = gni_op_token(GNI_HANDLE(9, 77, 12));
    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(GNI_OP_SLOT(a), 9);
    ck_assert_uint_eq(GNI_OP_SLOT(b), 9);
    ck_assert_uint_eq(gni_op_token(GN_HANDLE_NONE), GN_OP_NONE);
    ck_assert_int_eq(gn_cancel(GN_OP_NONE), GN_ECLOSED);
    ck_assert_int_eq(gn_cancel(a), GN_ECLOSED); /* no loop runs there */
}
END_TEST

/* What cannot go back, as somebody is there, waits for the next time: unless it is more than is ever kept. */
START_TEST(a_batch_that_meets_somebody)
{
    static gni_op_pool p;
    gni_op_batch b;
    heap h = { 0 };
    const size_t n = GNI_OP_LEAST << (GNI_OP_CLASSES - 1);
    uint32_t stripe = 0;

    heap_use(&h);
    gni_op_pool_open(&p);
    memset(&b, 0, sizeof(b));
    for (int full = 0; full < 2; full++) {
        const size_t blocks = full ? GNI_OP_KEPT / n + 1 : 2;
        static void *block[GNI_OP_KEPT / GNI_OP_LEAST];
        for (size_t i = 0; i < blocks; i++)
            ck_assert_ptr_nonnull(block[i] = gni_op_take(&p, n, &stripe));
        for (size_t i = 0; i < blocks; i++)
            gni_op_batch_add(&b, block[i], n, stripe);
        gnp_store32(&p.stripe[stripe].busy, 1);
        gni_op_batch_give(&b, &p);
        ck_assert_uint_eq(b.blocks, full ? 0 : 1);
        ck_assert_uint_eq(p.stripe[stripe].kept, 0);
        gnp_store32(&p.stripe[stripe].busy, 0);
        gni_op_batch_give(&b, &p);
        ck_assert_uint_eq(b.blocks, 0);
        ck_assert_uint_eq(p.stripe[stripe].kept, full ? 0 : 2 * n);
        gni_op_pool_close(&p);
        gni_op_pool_open(&p);
    }
    gni_op_pool_close(&p);
    heap_done(&h);
}
END_TEST

Suite *suite_op(void)
{
    Suite *s = suite_create("op");
    TCase *t = tcase_create("op");

    tcase_add_loop_test(t, found_while_registered, 0, 4);
    tcase_add_test(t, no_memory_only_slows);
    tcase_add_test(t, tokens_are_new);
    tcase_add_test(t, a_batch_that_meets_somebody);
    suite_add_tcase(s, t);
    return s;
}
