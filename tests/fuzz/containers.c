/* SPDX-License-Identifier: MIT */
/*
 * The data structures of a loop against the plainest that do the same: bytes are operations on a ring, an
 * outbound queue, a timing wheel or a table of connections; every allocation may fail.
 */
#include "fuzz.h"

#include "lib/conn.h"
#include "lib/conntab.h"
#include "lib/memory.h"
#include "lib/ring.h"
#include "lib/segq.h"
#include "lib/timer.h"
#include "platform/mem.h"
#include "platform/time.h"

#define OPS_MAX 2000u

/* ------------------------------------------------------------------- memory */

static struct {
    size_t bytes;
    uint64_t calls, fail_every; /* each so manieth allocation fails; 0: none */
} heap;

static int refused(void)
{
    return ++heap.calls, heap.fail_every != 0 && heap.calls % heap.fail_every == 0;
}

static void *heap_alloc(size_t size, void *user)
{
    (void)user;
    if (refused())
        return NULL;
    heap.bytes += size;
    return malloc(size);
}

static void *heap_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    (void)user;
    if (refused())
        return NULL;
    heap.bytes += new_size - old_size;
    return realloc(p, new_size);
}

static void heap_free(void *p, size_t size, void *user)
{
    (void)user;
    must(size <= heap.bytes, "more is freed than was taken");
    heap.bytes -= size;
    free(p);
}

static void heap_begin(uint8_t fail)
{
    static const gnp_mem hooks = { heap_alloc, heap_realloc, heap_free, NULL };

    memset(&heap, 0, sizeof heap);
    heap.fail_every = fail < 128 ? 0 : fail - 126u;
    gnp_mem_hooks(&hooks);
}

static void heap_end(void)
{
    must(heap.bytes == 0, "%zu bytes were not given back", heap.bytes);
    gnp_mem_hooks(NULL);
}

/* Byte number i of an endless stream; its period is no power of two. */
static uint8_t stream(uint64_t i)
{
    return (uint8_t)(i % 251 ^ i / 251 % 241);
}

static void check_stream(const uint8_t *p, size_t n, uint64_t from)
{
    for (size_t i = 0; i < n; i++)
        must(p[i] == stream(from + i), "byte %llu is another one", (unsigned long long)(from + i));
}

static uint8_t *stream_bytes(uint64_t from, size_t n)
{
    uint8_t *b = malloc(n);

    for (size_t i = 0; i < n; i++)
        b[i] = stream(from + i);
    return b;
}

/* A length: mostly short. */
static size_t take_length(input *in)
{
    uint8_t b = next8(in);

    return b < 192 ? b : (size_t)(b - 191) * 397;
}

/* --------------------------------------------------------------------- ring */

static void ring(input *in)
{
    gni_ring r = { 0 };
    uint64_t begin = 0, end = 0;

    for (unsigned i = 0; i < OPS_MAX && in->n > 0; i++) {
        uint8_t op = next8(in) & 7;
        size_t n = take_length(in);
        uint8_t *b;

        switch (op) {
        case 0:
        case 1:
        case 2:
            b = stream_bytes(end, n);
            if (gni_ring_write(&r, b, n) == GN_OK)
                end += n;
            else
                must(heap.fail_every != 0, "no memory for %zu bytes", n);
            free(b);
            break;
        case 3:
        case 4:
        case 5:
            n = n < end - begin ? n : (size_t)(end - begin);
            gni_ring_discard(&r, n);
            begin += n;
            break;
        case 6:
            if (n > 180) {
                gni_ring_free(&r);
                begin = end;
            }
            break;
        default:
            break;
        }
        must(r.len == end - begin, "%zu bytes, not %llu", r.len, (unsigned long long)(end - begin));
        must((r.len == 0) == (r.buf == NULL) && r.cap == heap.bytes, "memory of %zu for %zu bytes",
             heap.bytes, r.len);
        if (op >= 5 && r.len > 0)
            check_stream(gni_ring_linear(&r), r.len, begin);
    }
    gni_ring_free(&r);
}

/* ----------------------------------------------------------- outbound queue */

#define MARKS_MAX 512u

/* Items in the order of the queue; done when all before them and they themselves have left. */
static struct {
    uint64_t at[MARKS_MAX]; /* where they end in the stream */
    uint8_t *memory[MARKS_MAX];
    int done[MARKS_MAX], status[MARKS_MAX];
    unsigned n, first; /* first: not done yet */
} marks;

static void mark_done(gn_handle h, int status, void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;

    must(h == 7, "another handle");
    must(i < marks.n && !marks.done[i], "item %u is done twice", i);
    marks.done[i] = 1;
    marks.status[i] = status;
}

/* Completions that are due, as the loop calls them. */
static void call_due(gni_segpool *p)
{
    while (p->finished != NULL) {
        gni_item *i = gni_item_of(p->finished);

        p->finished = i->node.next;
        if (p->finished == NULL)
            p->finished_tail = &p->finished;
        i->done(i->h, i->u.status, i->arg);
        gni_item_give(p, i);
    }
}

static void put(gni_segq *q, gni_segpool *p, uint64_t *end, size_t n)
{
    gni_item *i = marks.n < MARKS_MAX ? gni_item_take(p, n > 0 ? GNI_NODE_REF : GNI_NODE_MARK) : NULL;

    if (i == NULL)
        return;
    marks.memory[marks.n] = n > 0 ? stream_bytes(*end, n) : NULL;
    if (n > 0) {
        i->u.ref.base = marks.memory[marks.n];
        i->u.ref.len = n;
    }
    i->done = mark_done;
    i->h = 7;
    i->arg = (void *)(uintptr_t)marks.n;
    *end += n;
    marks.done[marks.n] = 0;
    marks.at[marks.n++] = *end;
    must(gni_segq_put(q, p, i) == GN_OK, "an item is refused");
}

/* What the queue shows is the stream from begin to end. */
static void show(const gni_segq *q, uint64_t begin, uint64_t end, unsigned cap)
{
    gnp_iov iov[16];
    int more = 0;
    unsigned n = gni_segq_iov(q, iov, cap, &more);

    must(q->bytes == end - begin, "%zu bytes, not %llu", q->bytes, (unsigned long long)(end - begin));
    must(n <= cap && (n > 0) == (end > begin), "%u spans of %zu bytes", n, q->bytes);
    for (unsigned i = 0; i < n; i++) {
        must(iov[i].len > 0, "an empty span");
        check_stream(iov[i].base, iov[i].len, begin);
        begin += iov[i].len;
    }
    must(begin == end || (n == cap && more), "%llu bytes are not shown", (unsigned long long)(end - begin));
}

static void check_marks(uint64_t begin, int cleared)
{
    for (unsigned i = marks.first; i < marks.n; i++) {
        must(marks.done[i] == (marks.at[i] <= begin), "item %u at %llu of %llu: done %d", i,
             (unsigned long long)marks.at[i], (unsigned long long)begin, marks.done[i]);
        if (!marks.done[i])
            break;
        must(marks.status[i] == (cleared ? GN_ECLOSED : GN_OK), "item %u: %d", i, marks.status[i]);
        free(marks.memory[i]);
        marks.first = i + 1;
    }
}

static void outbound(input *in)
{
    gni_segq q = { 0 };
    gni_segpool p;
    uint64_t begin = 0, end = 0;

    memset(&marks, 0, sizeof marks);
    gni_segpool_init(&p, next8(in) & 7);
    for (unsigned i = 0; i < OPS_MAX && in->n > 0; i++) {
        uint8_t op = next8(in) & 7;
        size_t n = take_length(in);
        gni_segq_tip tip = gni_segq_tip_of(&q);
        uint8_t *b = stream_bytes(end, n);

        switch (op) {
        case 0:
        case 1:
            if (gni_segq_append(&q, &p, b, n) == GN_OK)
                end += n;
            else
                must(heap.fail_every != 0, "no memory for %zu bytes", n);
            break;
        case 2: /* and back */
            if (gni_segq_append(&q, &p, b, n) == GN_OK)
                gni_segq_rewind(&q, &p, &tip);
            break;
        case 3:
            put(&q, &p, &end, n);
            break;
        case 4:
            put(&q, &p, &end, 0);
            break;
        case 5:
            n = end - begin; /* all */
            /* fall through */
        default:
            n = n < end - begin ? n : (size_t)(end - begin);
            gni_segq_consume(&q, &p, n);
            begin += n;
            break;
        }
        free(b);
        call_due(&p);
        show(&q, begin, end, 1 + i % 16);
        check_marks(begin, 0);
        must(p.count <= p.max, "%u segments are kept", p.count);
    }
    gni_segq_clear(&q, &p, GN_ECLOSED);
    call_due(&p);
    must(gni_segq_empty(&q) && q.bytes == 0, "something is left");
    check_marks(end, 1);
    must(marks.first == marks.n, "an item was never done");
    gni_segpool_free(&p);
}

/* -------------------------------------------------------------------- wheel */

#define TIMERS 32u
#define TICK (UINT64_C(1) << GNI_TICK_BITS)

static struct {
    gni_timer t[TIMERS];
    uint64_t when[TIMERS]; /* in ticks; GNP_NEVER: not set */
    uint64_t last, fired;
    uint64_t until; /* what the wheel was advanced to, in ticks */
    int set_anew;   /* timers that fire set themselves */
} timers;

static void on_timer(gni_timer *t, void *arg)
{
    size_t i = (size_t)(t - timers.t);
    gni_wheel *w = arg;

    must(i < TIMERS && timers.when[i] != GNP_NEVER, "timer %zu fires, but is not set", i);
    must(timers.when[i] <= timers.until, "timer %zu of %llu fires at %llu", i,
         (unsigned long long)timers.when[i], (unsigned long long)timers.until);
    must(!gni_timer_is_set(t), "it is set while it fires");
    timers.when[i] = GNP_NEVER;
    timers.fired++;
    if (timers.set_anew && i % 4 == 0) {
        timers.when[i] = timers.until > 5 ? timers.until - 5 : 0; /* past: not in this call */
        gni_timer_set(w, t, timers.when[i] * TICK);
    }
}

static uint64_t earliest(uint64_t *set)
{
    uint64_t least = GNP_NEVER;

    *set = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        *set += timers.when[i] != GNP_NEVER;
        least = timers.when[i] < least ? timers.when[i] : least;
    }
    return least;
}

/* With a limit, due ones may be left; then next says so. */
static void advance(gni_wheel *w, uint64_t now, unsigned limit)
{
    uint64_t before = timers.fired, set;

    timers.until = now >> GNI_TICK_BITS;
    unsigned n = gni_wheel_advance(w, now, limit, w);
    must(n == timers.fired - before && n <= limit, "%u fired of %u", n, limit);
    must(earliest(&set) > timers.until || gni_wheel_next(w) == 0 || gni_wheel_next(w) <= now,
         "a timer is late, and the next turn is at %llu", (unsigned long long)gni_wheel_next(w));
}

/* Until it says that there is nothing to do by now; then nothing may be due. */
static void settle(gni_wheel *w, uint64_t now)
{
    uint64_t set;

    for (unsigned turns = 0; gni_wheel_next(w) <= now; turns++) {
        must(turns < 100, "a wheel that never has done its work");
        advance(w, now, 64);
    }
    must(earliest(&set) > timers.until, "a timer is late");
}

static void wheel(input *in)
{
    static gni_wheel w;
    uint64_t now = next_scaled(in) >> 1, set;

    memset(&timers, 0, sizeof timers);
    for (unsigned i = 0; i < TIMERS; i++) {
        timers.when[i] = GNP_NEVER;
        timers.t[i].fn = on_timer;
    }
    gni_wheel_init(&w, now);
    timers.set_anew = next8(in) & 1;
    for (unsigned k = 0; k < OPS_MAX && in->n > 0; k++) {
        uint8_t op = next8(in), i = op % TIMERS;
        uint64_t by = next_scaled(in), at = by < GNP_NEVER - now ? now + by : GNP_NEVER;

        switch (op >> 5) {
        case 0:
        case 1:
        case 2:
            gni_timer_set(&w, &timers.t[i], at);
            timers.when[i] = at == GNP_NEVER ? GNP_NEVER : (at >> GNI_TICK_BITS) + (at % TICK != 0);
            break;
        case 3:
            gni_timer_cancel(&w, &timers.t[i]);
            timers.when[i] = GNP_NEVER;
            break;
        case 4: /* to where it says that there is something to do */
            at = gni_wheel_next(&w);
            now = at > now && at != GNP_NEVER ? at : now;
            advance(&w, now, 64);
            timers.set_anew ? (void)0 : settle(&w, now);
            break;
        default:
            now = at < UINT64_MAX / 2 ? at : now;
            advance(&w, now, 1 + i);
            break;
        }
        uint64_t first = earliest(&set);
        must(w.count == set, "%llu timers, not %llu", (unsigned long long)w.count, (unsigned long long)set);
        must(first > UINT64_MAX / TICK || gni_wheel_next(&w) <= first * TICK,
             "next is %llu, but a timer has %llu", (unsigned long long)gni_wheel_next(&w),
             (unsigned long long)(first * TICK));
        must(gni_timer_is_set(&timers.t[i]) == (timers.when[i] != GNP_NEVER), "timer %u is wrongly set", i);
    }
    timers.set_anew = 0;
    (void)earliest(&set);
    for (gni_timer *t; (t = gni_wheel_pop(&w)) != NULL; set--)
        must(timers.when[t - timers.t] != GNP_NEVER && !gni_timer_is_set(t), "popped, but not set");
    must(set == 0, "%llu timers are lost", (unsigned long long)set);
}

/* ----------------------------------------------------- table of connections */

#define CONNS 300u
#define GONE 512u

static void table(input *in)
{
    static struct {
        gn_conn *c;
        uint32_t index, gen;
    } live[CONNS], gone[GONE];
    gni_conntab t;
    unsigned n = 0, dead = 0;
    uint32_t base = (uint32_t)next_scaled(in);

    gni_conntab_init(&t, base < GNI_GEN_LAST ? base : GNI_GEN_LAST - 40);
    for (unsigned k = 0; k < OPS_MAX && in->n > 0; k++) {
        uint8_t op = next8(in);
        unsigned many = 1 + (op & 31);

        for (; op < 128 && many > 0 && n < CONNS; many--) {
            gn_conn *c = gni_conntab_alloc(&t);
            must(c != NULL || heap.fail_every != 0, "no memory for a connection");
            if (c == NULL)
                break;
            for (unsigned i = 0; i < n; i++)
                must(live[i].c != c && live[i].index != c->index, "a slot is given out twice");
            for (unsigned i = 0; i < GONE && i < dead; i++)
                must(gone[i].index != c->index || gone[i].gen != c->gen, "an old handle names a new one");
            live[n].c = c;
            live[n].index = c->index;
            live[n++].gen = c->gen;
        }
        for (; op >= 128 && many > 0 && n > 0; many--) {
            unsigned i = next8(in) * n / 256;

            if (op & 64)
                gni_conntab_retire(&t, live[i].c);
            gni_conntab_release(&t, live[i].c);
            must(gni_conntab_find(&t, live[i].index, live[i].gen) == NULL, "it is released, but found");
            gone[dead % GONE].index = live[i].index;
            gone[dead++ % GONE].gen = live[i].gen;
            live[i] = live[--n];
        }
        must(t.live == n, "%u live, not %u", t.live, n);
        unsigned seen = 0;
        for (uint32_t at = 0; gni_conntab_each(&t, &at) != NULL;)
            seen++;
        must(seen == n, "%u are seen, not %u", seen, n);
        for (unsigned i = 0; i < n; i++)
            must(gni_conntab_find(&t, live[i].index, live[i].gen) == live[i].c, "one is not found");
    }
    while (n > 0)
        gni_conntab_release(&t, live[--n].c);
    gni_conntab_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(input *in) = { ring, outbound, wheel, table };
    input in = { data, size };
    uint8_t kind = next8(&in);

    heap_begin(next8(&in));
    kinds[kind % 4](&in);
    heap_end();
    return 0;
}
