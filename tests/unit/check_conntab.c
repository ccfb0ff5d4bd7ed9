/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "lib/conn.h"
#include "lib/conntab.h"

START_TEST(handle_names_one_connection)
{
    gni_conntab t;

    gni_conntab_init(&t, 7);
    gn_conn *a = gni_conntab_alloc(&t);
    gn_conn *b = gni_conntab_alloc(&t);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_gt(a->gen, 7); /* above everything that an earlier loop gave out */
    ck_assert_ptr_eq(gni_conntab_find(&t, a->index, a->gen), a);
    ck_assert_ptr_eq(gni_conntab_find(&t, b->index, b->gen), b);
    ck_assert_ptr_null(gni_conntab_find(&t, a->index, a->gen + 1));
    ck_assert_ptr_null(gni_conntab_find(&t, 1u << 20, 8));

    uint32_t index = a->index;
    uint32_t gen = a->gen;
    gni_conntab_retire(&t, a);
    ck_assert_ptr_null(gni_conntab_find(&t, index, gen));
    gni_conntab_release(&t, a);
    ck_assert_ptr_null(gni_conntab_find(&t, index, gen));
    gni_conntab_free(&t);
}
END_TEST

/* Whole chunks come and go; a handle of before must never match again. */
START_TEST(handles_never_resurrect)
{
    enum { CONNS = 1000, ROUNDS = 50 };
    static gn_conn *c[CONNS];
    static uint32_t index[CONNS], gen[CONNS];
    gni_conntab t;

    gni_conntab_init(&t, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CONNS; i++) {
            c[i] = gni_conntab_alloc(&t);
            ck_assert_ptr_nonnull(c[i]);
        }
        for (unsigned i = 0; round > 0 && i < CONNS; i++)
            ck_assert_msg(gni_conntab_find(&t, index[i], gen[i]) == NULL, "round %u: handle %u is back",
                          round, i);
        ck_assert_uint_eq(t.live, CONNS);
        for (unsigned i = 0; i < CONNS; i++) {
            index[i] = c[i]->index;
            gen[i] = c[i]->gen;
            if ((i + round) % 3 == 0)
                gni_conntab_retire(&t, c[i]);
            gni_conntab_release(&t, c[i]);
        }
        ck_assert_uint_eq(t.live, 0);
        ck_assert_uint_le(t.empty, 1); /* the rest of the memory was given back */
    }
    gni_conntab_free(&t);
}
END_TEST

START_TEST(each_visits_the_live_ones)
{
    gni_conntab t;
    gn_conn *c[200];
    unsigned seen = 0;
    uint32_t at = 0;

    gni_conntab_init(&t, 0);
    for (unsigned i = 0; i < 200; i++)
        c[i] = gni_conntab_alloc(&t);
    for (unsigned i = 0; i < 200; i += 2)
        gni_conntab_release(&t, c[i]);
    for (gn_conn *x; (x = gni_conntab_each(&t, &at)) != NULL; seen++)
        ck_assert_uint_eq(x->index % 2, 1);
    ck_assert_uint_eq(seen, 100);

    /* Releasing while walking is what a stopping loop does. */
    at = 0;
    for (gn_conn *x; (x = gni_conntab_each(&t, &at)) != NULL;)
        gni_conntab_release(&t, x);
    ck_assert_uint_eq(t.live, 0);
    gni_conntab_free(&t);
}
END_TEST

/* At the end of its generations a slot is never used again. */
START_TEST(used_up_slots_retire)
{
    gni_conntab t;

    gni_conntab_init(&t, 0);
    gn_conn *a = gni_conntab_alloc(&t);
    uint32_t index = a->index;
    a->gen = GNI_GEN_LAST;
    gni_conntab_retire(&t, a);
    gni_conntab_release(&t, a);
    for (unsigned i = 0; i < 3 * GNI_CHUNK_CONNS; i++) {
        gn_conn *b = gni_conntab_alloc(&t);
        ck_assert_ptr_nonnull(b);
        ck_assert_uint_ne(b->index, index);
    }
    gni_conntab_free(&t);
}
END_TEST

START_TEST(no_memory_is_an_answer)
{
    gni_conntab t;
    heap h;

    heap_use(&h);
    for (unsigned n = 1; n <= 2; n++) {
        gni_conntab_init(&t, 0);
        h.calls = 0;
        h.fail_at = n;
        ck_assert_ptr_null(gni_conntab_alloc(&t));
        h.fail_at = 0;
        ck_assert_ptr_nonnull(gni_conntab_alloc(&t)); /* and later it works */
        gni_conntab_free(&t);
    }
    heap_done(&h);
}
END_TEST

Suite *suite_conntab(void)
{
    Suite *s = suite_create("conntab");
    TCase *t = tcase_create("conntab");

    tcase_add_test(t, handle_names_one_connection);
    tcase_add_test(t, handles_never_resurrect);
    tcase_add_test(t, each_visits_the_live_ones);
    tcase_add_test(t, used_up_slots_retire);
    tcase_add_test(t, no_memory_is_an_answer);
    suite_add_tcase(s, t);
    return s;
}
