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
    int more = 0;
    unsigned n = gni_segq_iov(q, iov, 1024, &more);
    uint64_t at = begin;

    MUST(q->bytes == end - begin && !more);
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
    gni_segq_clear(&q, &p, GN_ECLOSED);
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
    int more;
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 4);
    ck_assert_int_eq(append(&q, &p, 0, 3 * SEG_DATA + 100), GN_OK);
    gni_segq_consume(&q, &p, 50);
    ck_assert_uint_eq(gni_segq_iov(&q, before, 4, &more), 4);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(append(&q, &p, 3 * SEG_DATA + 100 + i * 777u, 777), GN_OK);
    ck_assert_uint_eq(gni_segq_iov(&q, after, 4, &more), 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert(before[i].base == after[i].base);
    ck_assert(stream_matches(before[3].base, 3 * SEG_DATA, 100));
    gni_segq_clear(&q, &p, GN_ECLOSED);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

START_TEST(iov_is_cut_to_its_cap)
{
    gni_segq q = { 0 };
    gni_segpool p;
    gnp_iov iov[3] = { { 0 } };
    int more = 1;
    heap h;

    heap_use(&h);
    gni_segpool_init(&p, 0);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 3, &more), 0);
    ck_assert_int_eq(more, 0);
    ck_assert_int_eq(append(&q, &p, 0, 5 * SEG_DATA), GN_OK);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 0, &more), 0);
    ck_assert_uint_eq(gni_segq_iov(&q, iov, 2, &more), 2);
    ck_assert_int_eq(more, 1);
    ck_assert(iov[2].base == NULL);
    gni_segq_clear(&q, &p, GN_ECLOSED);
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
    gni_segq_clear(&q, &p, GN_ECLOSED);
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
        gni_segq_clear(&q, &p, GN_ECLOSED);
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
    gni_segq_clear(&q, &p, GN_ECLOSED);
    gni_segpool_free(&p);
    heap_done(&h);
}
END_TEST

/* ------------------------------------------------------------ mixed queues */

/*
 * The model: a list of what must leave, in order.  Bytes in memory are one stream, whoever's memory it
 * is; parts of files are told apart by their offset; completions by a number.
 */
enum { MEMORY, PART, PASS, DONE };

typedef struct thing {
    int what;
    uint64_t n; /* offset of a part, number of a completion */
    uint64_t len;
} thing;

#define ARENA ((size_t)4 << 20)
#define THINGS 4000u

typedef struct model {
    gni_segq q;
    gni_segpool p;
    heap h;
    rng g;
    thing list[THINGS];
    unsigned head, tail;
    uint64_t begin, end;           /* of the stream of bytes in memory */
    uint64_t asked, due, finished; /* completions */
    uint64_t file;                 /* offset of the next part */
} model;

static unsigned char arena[ARENA];

static void never_called(gn_handle h, int status, void *arg)
{
    (void)arg;
    ck_abort_msg("completion %u is called with %d", (unsigned)h, status);
}

static void note(model *m, int what, uint64_t n, uint64_t len)
{
    MUST(m->tail < THINGS);
    m->list[m->tail].what = what;
    m->list[m->tail].n = n;
    m->list[m->tail++].len = len;
}

static void note_bytes(model *m, size_t n)
{
    note(m, MEMORY, 0, n);
    m->end += n;
}

static gni_item *push_item(model *m, unsigned kind, size_t n)
{
    gni_item *i = gni_item_take(&m->p, kind);

    if (i == NULL)
        return NULL;
    if (kind == GNI_NODE_REF) {
        i->u.ref.base = arena + m->end;
        i->u.ref.len = n;
        note_bytes(m, n);
    } else if (kind == GNI_NODE_FILE) {
        i->u.file.offset = m->file;
        i->u.file.left = n * 1000u;
        note(m, PART, m->file, n * 1000u);
        m->file += n * 1000u;
    } else if (kind == GNI_NODE_DESCRIPTOR) {
        i->u.descriptor = -1;
        note(m, PASS, 0, 0);
    }
    if (kind == GNI_NODE_MARK || (kind != GNI_NODE_DESCRIPTOR && rng_below(&m->g, 2) == 0)) {
        i->done = never_called;
        i->h = m->asked;
        note(m, DONE, m->asked++, 0);
    }
    MUST(gni_segq_put(&m->q, &m->p, i) == GN_OK);
    return i;
}

/* Appends one thing of a random kind, unless memory ends. */
static void push(model *m)
{
    unsigned kind = (unsigned)rng_below(&m->g, 5);
    size_t n = 1 + (size_t)rng_scaled(&m->g, 15);

    if (m->end + n > ARENA || m->tail + 3 > THINGS)
        return;
    if (kind == GNI_NODE_DATA) {
        if (gni_segq_append(&m->q, &m->p, arena + m->end, n) == GN_OK)
            note_bytes(m, n);
    } else if (kind != GNI_NODE_DESCRIPTOR) {
        (void)push_item(m, kind, n);
    } else {
        gni_segq_tip tip = gni_segq_tip_of(&m->q);

        if (push_item(m, kind, n) == NULL)
            return;
        if (gni_segq_append(&m->q, &m->p, arena + m->end, n) == GN_OK) {
            note_bytes(m, n);
        } else {
            gni_segq_rewind(&m->q, &m->p, &tip);
            m->tail--;
        }
    }
}

/* Appends some and takes all of it back. */
static void push_back(model *m)
{
    gni_segq_tip tip = gni_segq_tip_of(&m->q);
    unsigned tail = m->tail;
    uint64_t end = m->end, asked = m->asked;

    if (gni_segq_empty(&m->q)) { /* a mark would finish at once */
        MUST(gni_segq_append(&m->q, &m->p, arena, 1) == GN_OK);
    }
    for (unsigned n = (unsigned)rng_below(&m->g, 6); n > 0; n--)
        push(m);
    gni_segq_rewind(&m->q, &m->p, &tip);
    m->tail = tail;
    m->end = end;
    m->asked = asked;
}

static void pop_done(model *m)
{
    for (; m->head < m->tail && m->list[m->head].what == DONE; m->head++)
        MUST(m->list[m->head].n == m->due++);
}

/* The completions that are due, in order, each once, and nothing else. */
static void check_finished(model *m, int status)
{
    gni_node *n = m->p.finished;

    m->p.finished = NULL;
    m->p.finished_tail = &m->p.finished;
    while (n != NULL) {
        gni_item *i = gni_item_of(n);

        n = n->next;
        MUST(i->done == never_called && i->h == m->finished++ && i->u.status == status);
        gni_item_give(&m->p, i);
    }
    MUST(m->finished == m->due);
}

/* Bytes in memory up to the next part or descriptor. */
static uint64_t model_span(const model *m, int *more)
{
    unsigned i = m->head + (m->head < m->tail && m->list[m->head].what == PASS);
    uint64_t n = 0;

    for (; i < m->tail && (m->list[i].what == MEMORY || m->list[i].what == DONE); i++)
        n += m->list[i].len;
    *more = i < m->tail;
    return n;
}

static void check_queue(model *m)
{
    gnp_iov iov[64];
    unsigned cap = 1 + (unsigned)rng_below(&m->g, 64);
    int more = -1, want;
    uint64_t total = 0, have = model_span(m, &want);
    unsigned n = gni_segq_iov(&m->q, iov, cap, &more);

    check_finished(m, GN_OK);
    for (unsigned i = 0; i < n; i++) {
        MUST(iov[i].len > 0 && memcmp(iov[i].base, arena + m->begin + total, iov[i].len) == 0);
        total += iov[i].len;
    }
    MUST(n == cap ? total <= have : total == have);
    MUST(more == (want || total < have));
    MUST(gni_segq_empty(&m->q) == (m->head == m->tail));
    MUST((m->q.tail == NULL) == (m->q.head == NULL));
    MUST(m->q.bytes == m->end - m->begin);
    if (m->head < m->tail && m->list[m->head].what == PART) {
        const gni_item *i = gni_item_of(m->q.head);

        MUST(n == 0 && m->q.head->kind == GNI_NODE_FILE);
        MUST(i->u.file.offset == m->list[m->head].n && i->u.file.left == m->list[m->head].len);
    }
}

static void consume(model *m)
{
    int part = m->head < m->tail && m->list[m->head].what == PART, more;
    uint64_t most = part ? m->list[m->head].len : model_span(m, &more);
    uint64_t n = rng_below(&m->g, 3) == 0 ? most : rng_below(&m->g, most + 1);

    gni_segq_consume(&m->q, &m->p, n);
    while (n > 0) {
        thing *t = &m->list[m->head];
        uint64_t some = n < t->len ? n : t->len;

        t->len -= some;
        n -= some;
        if (t->what == MEMORY)
            m->begin += some;
        else if (t->what == PART)
            t->n += some;
        m->head += t->len == 0;
        pop_done(m);
    }
}

static model *model_new(uint64_t seed)
{
    static model m;

    memset(&m, 0, sizeof m);
    stream_fill(arena, 0, ARENA);
    m.g.state = seed;
    heap_use(&m.h);
    gni_segpool_init(&m.p, (unsigned)rng_below(&m.g, 6));
    return &m;
}

/* What has not left is finished with the reason, in order. */
static void model_end(model *m)
{
    check_finished(m, GN_OK);
    gni_segq_clear(&m->q, &m->p, GN_ECONNRESET);
    m->due = m->asked;
    check_finished(m, GN_ECONNRESET);
    MUST(gni_segq_empty(&m->q) && m->q.tail == NULL && m->q.bytes == 0);
    gni_segpool_free(&m->p);
    heap_done(&m->h);
}

START_TEST(mixed_against_a_model)
{
    model *m = model_new((uint64_t)_i);
    unsigned pushes = 1 + (unsigned)rng_below(&m->g, 4);

    for (unsigned i = 0; i < 4000 && m->tail + 20 < THINGS; i++) {
        unsigned dice = (unsigned)rng_below(&m->g, 8);

        if (_i % 2 == 1 && rng_below(&m->g, 4) == 0) /* the next but so many allocations fails */
            m->h.fail_at = m->h.calls + 1 + rng_below(&m->g, 3);
        if (dice < pushes)
            push(m);
        else if (dice == 7 && m->h.fail_at <= m->h.calls)
            push_back(m);
        else
            consume(m);
        pop_done(m);
        check_queue(m);
    }
    model_end(m);
}
END_TEST

/* Marks have no bytes: only their number bounds them. */
START_TEST(items_are_bounded)
{
    model *m = model_new(1);
    gni_item *i = NULL;
    unsigned left = 1000;

    for (unsigned round = 0; round < 2; round++) {
        MUST(gni_segq_append(&m->q, &m->p, arena, 1) == GN_OK);
        for (unsigned n = 0; n < GNI_ITEMS_MAX; n++) {
            i = gni_item_take(&m->p, GNI_NODE_MARK);
            MUST(i != NULL);
            MUST(gni_segq_put(&m->q, &m->p, i) == GN_OK);
        }
        i = gni_item_take(&m->p, GNI_NODE_MARK);
        ck_assert_int_eq(gni_segq_put(&m->q, &m->p, i), GN_ELIMIT);
        gni_item_give(&m->p, i);
        ck_assert_int_eq(gni_segq_append(&m->q, &m->p, arena, 1), GN_OK);
        gni_segq_consume(&m->q, &m->p, round == 0 ? 2 : 1); /* with the marks behind it */
        ck_assert_uint_eq(m->q.bytes, round);
    }
    /* The count goes on where the queue never is empty. */
    while (left-- > 0) {
        i = gni_item_take(&m->p, GNI_NODE_MARK);
        MUST(gni_segq_put(&m->q, &m->p, i) == GN_OK);
        MUST(gni_segq_append(&m->q, &m->p, arena, 1) == GN_OK);
        gni_segq_consume(&m->q, &m->p, 1);
    }
    model_end(m);
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
    tcase_add_loop_test(t, mixed_against_a_model, 0, 24);
    tcase_add_test(t, items_are_bounded);
    suite_add_tcase(s, t);
    return s;
}
