/* SPDX-License-Identifier: MIT */
/* Small parts at their edges: gates under several threads, queues of tasks beyond what memory holds. */
#include "unit.h"

#include <string.h>

#include "lib/admission.h"
#include "lib/bits.h"
#include "lib/conn.h"
#include "lib/conntab.h"
#include "lib/engine.h"
#include "lib/loop.h"
#include "lib/poolq.h"
#include "platform/platform.h"

/* -------------------------------------------------------------------- gates */

START_TEST(gates_count)
{
    gni_gate g;

    memset(&g, 0, sizeof g);
    ck_assert_int_eq(gni_gate_is_shut(&g), 0); /* no limit */
    ck_assert_int_eq(gni_gate_enter(&g), 1);
    ck_assert_int_eq(gni_gate_leave(&g), 0);
    g.max = 2;
    ck_assert_int_eq(gni_gate_enter(&g), 1);
    ck_assert_int_eq(gni_gate_wait(&g), 0); /* there is room: nothing to wait for */
    ck_assert_int_eq(gni_gate_enter(&g), 1);
    ck_assert_int_eq(gni_gate_is_shut(&g), 1);
    ck_assert_int_eq(gni_gate_enter(&g), 0);
    ck_assert_int_eq(gni_gate_wait(&g), 1);
    ck_assert_int_eq(gni_gate_leave(&g), 1); /* and calls who waits, once */
    ck_assert_int_eq(gni_gate_leave(&g), 0);
    ck_assert_int_eq(gni_gate_is_shut(&g), 0);
}
END_TEST

enum { GUESTS = 4 };

static gni_gate door;
static gnp_atomic32 inside, too_many, entered, marked, called;

static void guest(void *arg)
{
    unsigned n = *(unsigned *)arg;

    for (unsigned i = 0; i < n; i++) {
        if (gni_gate_enter(&door)) {
            if (gnp_add32(&inside, 1) >= door.max)
                gnp_add32(&too_many, 1);
            gnp_add32(&entered, 1);
            gnp_sub32(&inside, 1);
            if (gni_gate_leave(&door))
                gnp_add32(&called, 1);
        } else if (gni_gate_wait(&door)) {
            gnp_add32(&marked, 1);
        }
    }
}

/* Never more inside than there is room, nobody is counted twice, and one call at most for each mark. */
START_TEST(gates_hold)
{
    gnp_thread t[GUESTS];
    unsigned n = scaled(200000, 20000);

    memset(&door, 0, sizeof door);
    door.max = 1 + (uint64_t)_i;
    for (unsigned i = 0; i < GUESTS; i++)
        ck_assert_int_eq(gnp_thread_start(&t[i], guest, &n, "guest"), GNP_OK);
    for (unsigned i = 0; i < GUESTS; i++)
        gnp_thread_join(&t[i]);
    ck_assert_uint_eq(gnp_load32(&too_many), 0);
    ck_assert_uint_eq(gnp_load64(&door.word) & ~GNI_GATE_WAITED, 0);
    ck_assert_uint_gt(gnp_load32(&entered), 0);
    ck_assert_uint_le(gnp_load32(&called), gnp_load32(&marked));
}
END_TEST

/* ----------------------------------------------------------- queues of tasks */

START_TEST(task_queues_know_their_end)
{
    gni_poolq q;
    gni_pooltask t = { NULL, NULL }, out[4];
    uint32_t slot;
    gn_op ops[3];
    heap h;

    heap_use(&h);
    memset(&q, 0, sizeof q);
    ck_assert_int_eq(gni_poolq_prealloc(&q, SIZE_MAX), GN_ENOMEM);
    ck_assert_int_eq(gni_poolq_prealloc(&q, SIZE_MAX / 2), GN_ENOMEM);
    ck_assert_int_eq(gni_poolq_prealloc(&q, SIZE_MAX / 16), GN_ENOMEM);
    ck_assert_int_eq(gni_poolq_reserve(&q, SIZE_MAX), GN_ENOMEM);
    q.ops_cap = UINT32_C(1) << 23; /* as if there were so many: twice that have no names */
    ck_assert_int_eq(gni_poolq_reserve_op(&q), GN_ELIMIT);
    q.ops_cap = 0;
    ck_assert_int_eq(gni_poolq_reserve(&q, 1), GN_OK);
    ck_assert_int_eq(gni_poolq_reserve(&q, 1), GN_OK); /* it is there already */
    size_t cap = q.cap;
    ck_assert_uint_gt(cap, 4);
    /* A third of the ring is gaps: packing makes room, once without growing, once not enough. */
    for (size_t i = 0; i < cap; i++) {
        if (i < cap / 2) {
            ck_assert_int_eq(gni_poolq_reserve_op(&q), GN_OK);
            gn_op op = gni_poolq_push_op(&q, t);
            if (i < 3)
                ops[i] = op;
            ck_assert_int_eq(gni_poolq_cancel(&q, op, out), GN_OK);
        } else {
            gni_poolq_push(&q, t);
        }
    }
    ck_assert_int_eq(gni_poolq_cancel(&q, ops[0], out), GN_ECLOSED);
    ck_assert_uint_eq(gni_poolq_live(&q), cap - cap / 2);
    ck_assert_int_eq(gni_poolq_reserve(&q, cap), GN_OK);
    ck_assert_uint_gt(q.cap, cap);
    ck_assert_uint_eq(q.gaps, 0);
    ck_assert_uint_eq(gni_poolq_live(&q), cap - cap / 2);
    size_t left = 0;
    while (gni_poolq_live(&q) > 0)
        left += gni_poolq_take(&q, out, 4, &slot);
    ck_assert_uint_eq(left, cap - cap / 2);
    gni_poolq_free(&q);
    heap_done(&h);
}
END_TEST

/* ------------------------------------------------------------------- numbers */

START_TEST(powers_of_two)
{
    ck_assert_uint_eq(gni_pow2_ceil(0), 1);
    ck_assert_uint_eq(gni_pow2_ceil(1), 1);
    ck_assert_uint_eq(gni_pow2_ceil(2), 2);
    ck_assert_uint_eq(gni_pow2_ceil(3), 4);
    ck_assert_uint_eq(gni_pow2_ceil(SIZE_MAX / 2 + 1), SIZE_MAX / 2 + 1);
    ck_assert_uint_eq(gni_pow2_ceil(SIZE_MAX / 2 + 2), 0);
}
END_TEST

/* Handles into memory that was given back, and to slots that are free. */
START_TEST(handles_into_nothing)
{
    enum { CONNS = 200 };
    static gn_conn *c[CONNS];
    uint32_t index[CONNS], gen[CONNS], last;
    gni_conntab t;

    gni_conntab_init(&t, 0);
    for (unsigned i = 0; i < CONNS; i++) {
        c[i] = gni_conntab_alloc(&t);
        ck_assert_ptr_nonnull(c[i]);
        index[i] = c[i]->index;
        gen[i] = c[i]->gen;
    }
    uint32_t count = t.count; /* as if all connections that a handle can name were there */
    t.count = GNI_CONN_INDEX_MAX / GNI_CHUNK_CONNS;
    uint32_t partial = t.partial;
    t.partial = 0;
    ck_assert_ptr_null(gni_conntab_alloc(&t));
    t.partial = partial;
    t.count = count;
    last = c[0]->gen;
    gni_conntab_release(&t, c[0]); /* not retired: the generation is still in the slot */
    ck_assert_uint_eq(c[0]->gen, last);
    ck_assert_ptr_null(gni_conntab_find(&t, index[0], last));
    for (unsigned i = 1; i < CONNS; i++)
        gni_conntab_release(&t, c[i]);
    for (unsigned i = 0; i < CONNS; i++)
        ck_assert_ptr_null(gni_conntab_find(&t, index[i], gen[i]));
    gni_conntab_free(&t);
}
END_TEST

/* -------------------------------------------------------------- places for loops */

static void never(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    ck_abort_msg("it is called");
}

static gn_action nothing(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    return GN_NONE;
}

static gn_engine *engine_new(void)
{
    static const gn_handler h = { .on_traffic = nothing };
    gn_options o;
    gn_engine *e = NULL;

    gn_options_init(&o);
    o.loops = 1;
    ck_assert_int_eq(gn_engine_create(&e, &h, NULL, &o), GN_OK);
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    return e;
}

START_TEST(places_for_listeners_run_out)
{
    gn_engine *e = engine_new();
    unsigned n = e->nlisteners;

    e->nlisteners = GNI_NO_LISTENER; /* as if all that a connection can name were there */
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_ELIMIT);
    e->nlisteners = n;
    ck_assert_int_eq(gn_engine_listen(e, "tcp://127.0.0.1:0"), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
}
END_TEST

static void places_take(uint32_t how)
{
    for (unsigned i = 1; i < GNI_LOOP_SLOTS; i++)
        gnp_store32(&gni_loop_slots[i].taken, how);
}

/* A process has places for so many loops, each of which names so many generations of connections. */
START_TEST(places_for_loops_run_out)
{
    gn_engine *e = engine_new();
    unsigned taken = 0;

    places_take(1);
    ck_assert_int_eq(gn_engine_start(e), GN_ELIMIT);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    places_take(0);
    for (unsigned i = 1; i < GNI_LOOP_SLOTS; i++)
        gnp_store32(&gni_loop_slots[i].gen, GNI_GEN_LAST - 1);
    e = engine_new();
    ck_assert_int_eq(gn_engine_start(e), GN_OK);
    gn_handle h = gn_engine_loop(e, 0);
    ck_assert_int_eq(gn_engine_stop(e, 0), GN_OK);
    ck_assert_int_eq(gn_engine_join(e), GN_OK);
    ck_assert_int_eq(gn_engine_destroy(e), GN_OK);
    for (unsigned i = 1; i < GNI_LOOP_SLOTS; i++)
        taken += gnp_load32(&gni_loop_slots[i].taken) != 0;
    ck_assert_uint_eq(taken, 1); /* used up: nobody gets its handles again */
    ck_assert_int_eq(gn_execute(h, never, NULL), GN_ECLOSED);
    ck_assert_int_eq(gni_loop_push(0, NULL, GNI_HIGH), GN_ECLOSED);
    ck_assert_int_eq(gni_loop_push(GNI_LOOP_SLOTS, NULL, GNI_HIGH), GN_ECLOSED);
    ck_assert_uint_eq(gni_op_token(GN_HANDLE_NONE), GN_OP_NONE);
}
END_TEST

Suite *suite_leaves(void)
{
    Suite *s = suite_create("leaves");
    TCase *t = tcase_create("leaves");

    tcase_add_test(t, gates_count);
    tcase_add_loop_test(t, gates_hold, 0, 2);
    tcase_add_test(t, task_queues_know_their_end);
    tcase_add_test(t, powers_of_two);
    tcase_add_test(t, handles_into_nothing);
    tcase_add_test(t, places_for_loops_run_out);
    tcase_add_test(t, places_for_listeners_run_out);
    suite_add_tcase(s, t);
    return s;
}
