/* SPDX-License-Identifier: MIT */
#include "timer.h"

#include <string.h>

#include "../platform/time.h"
#include "bits.h"

#define TICK_NS (UINT64_C(1) << GNI_TICK_BITS)
#define SLOT_MASK (GNI_WHEEL_SLOTS - 1u)

/* Timers (and slots) moved down per timer that may fire.  A timer is moved at most once a
 * level in its life, so this keeps up with any load that firing keeps up with. */
#define MOVES_PER_FIRE GNI_WHEEL_LEVELS

_Static_assert(GNI_WHEEL_SLOTS % 64 == 0, "no word of busy belongs to two levels");
_Static_assert(GNI_WHEEL_LEVELS * GNI_WHEEL_SLOTS / 64 <= 64, "used has a bit for each word of busy");
_Static_assert(GNI_WHEEL_BITS * GNI_WHEEL_LEVELS > 64 - GNI_TICK_BITS, "the wheel covers all times");
_Static_assert(offsetof(gni_timer, link) == 0, "a link is its timer");

static void list_init(gni_timer_link *head)
{
    head->next = head->prev = head;
}

static int list_empty(const gni_timer_link *head)
{
    return head->next == head;
}

static void list_append(gni_timer_link *head, gni_timer_link *l)
{
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
}

static void list_unlink(gni_timer_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

/* Moves all of from between a and the link behind it. */
static void list_splice_after(gni_timer_link *a, gni_timer_link *from)
{
    if (list_empty(from))
        return;
    from->prev->next = a->next;
    a->next->prev = from->prev;
    from->next->prev = a;
    a->next = from->next;
    list_init(from);
}

static gni_timer *timer_of(gni_timer_link *l)
{
    return (gni_timer *)(void *)l;
}

void gni_wheel_init(gni_wheel *w, uint64_t now_ns)
{
    w->used = 0;
    memset(w->busy, 0, sizeof w->busy);
    w->now = now_ns >> GNI_TICK_BITS;
    w->count = 0;
    for (unsigned i = 0; i < GNI_WHEEL_LEVELS * GNI_WHEEL_SLOTS; i++)
        list_init(&w->slot[i]);
    list_init(&w->moving);
    list_init(&w->due);
}

static void mark_busy(gni_wheel *w, size_t slot)
{
    w->busy[slot / 64] |= UINT64_C(1) << slot % 64;
    w->used |= UINT64_C(1) << slot / 64;
}

static void mark_empty(gni_wheel *w, size_t slot)
{
    w->busy[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    if (w->busy[slot / 64] == 0)
        w->used &= ~(UINT64_C(1) << slot / 64);
}

/* Puts a timer where now and its time say. */
static void place(gni_wheel *w, gni_timer *t)
{
    unsigned level, slot;

    if (t->when <= w->now) {
        list_append(&w->due, &t->link);
        return;
    }
    level = gni_bit_highest(t->when ^ w->now) / GNI_WHEEL_BITS;
    slot = level * GNI_WHEEL_SLOTS + ((unsigned)(t->when >> (level * GNI_WHEEL_BITS)) & SLOT_MASK);
    list_append(&w->slot[slot], &t->link);
    mark_busy(w, slot);
}

/* Takes a timer out of whatever list it is in, and keeps busy true: a timer that was alone
 * has its list's head on both sides, and the heads of slots are known by their address. */
static void take_out(gni_wheel *w, gni_timer *t)
{
    gni_timer_link *head = t->link.next;
    uintptr_t offset = (uintptr_t)head - (uintptr_t)&w->slot[0];

    list_unlink(&t->link);
    if (head == t->link.prev && offset < sizeof w->slot)
        mark_empty(w, offset / sizeof *head);
}

void gni_timer_cancel(gni_wheel *w, gni_timer *t)
{
    if (!gni_timer_is_set(t))
        return;
    take_out(w, t);
    t->link.next = t->link.prev = NULL;
    w->count--;
}

void gni_timer_set(gni_wheel *w, gni_timer *t, uint64_t when_ns)
{
    if (when_ns == GNP_NEVER) {
        gni_timer_cancel(w, t);
        return;
    }
    if (gni_timer_is_set(t))
        take_out(w, t);
    else
        w->count++;
    t->when = (when_ns >> GNI_TICK_BITS) + ((when_ns & (TICK_NS - 1)) != 0);
    place(w, t);
}

/*
 * The next slot that now will come to, and the tick at which it does.  Timers of a lower
 * level come before all those of a higher one, which differ from now in a higher digit, and
 * the slots of one level all lie ahead of now's own.  0: the wheel is empty.
 */
static int next_slot(const gni_wheel *w, unsigned *slot, uint64_t *tick)
{
    unsigned word, shift;

    if (w->used == 0)
        return 0;
    word = gni_bit_lowest(w->used);
    *slot = word * 64 + gni_bit_lowest(w->busy[word]);
    shift = *slot / GNI_WHEEL_SLOTS * GNI_WHEEL_BITS;
    *tick = ((w->now >> shift & ~(uint64_t)SLOT_MASK) | (*slot & SLOT_MASK)) << shift;
    return 1;
}

uint64_t gni_wheel_next(const gni_wheel *w)
{
    unsigned slot;
    uint64_t tick;

    if (!list_empty(&w->due) || !list_empty(&w->moving))
        return 0;
    if (!next_slot(w, &slot, &tick) || tick > UINT64_MAX >> GNI_TICK_BITS)
        return GNP_NEVER;
    return tick << GNI_TICK_BITS;
}

/* Moves now on to target, from slot to slot, what is due into w->due. */
static void collect(gni_wheel *w, uint64_t target, uint64_t moves)
{
    unsigned slot;
    uint64_t tick;

    for (; moves > 0; moves--) {
        if (!list_empty(&w->moving)) {
            gni_timer *t = timer_of(w->moving.next);

            list_unlink(&t->link);
            gni_prefetch(w->moving.next->next);
            place(w, t);
            continue;
        }
        if (!next_slot(w, &slot, &tick) || tick > target) {
            if (target > w->now)
                w->now = target;
            return;
        }
        w->now = tick;
        mark_empty(w, slot);
        list_splice_after(slot < GNI_WHEEL_SLOTS ? w->due.prev : &w->moving, &w->slot[slot]);
    }
}

unsigned gni_wheel_advance(gni_wheel *w, uint64_t now_ns, unsigned limit, void *arg)
{
    gni_timer_link batch;
    unsigned fired = 0;

    collect(w, now_ns >> GNI_TICK_BITS, (uint64_t)limit * MOVES_PER_FIRE);
    /* Apart from due, where timers go that a callback sets in the past. */
    list_init(&batch);
    list_splice_after(&batch, &w->due);
    while (fired < limit && !list_empty(&batch)) {
        gni_timer *t = timer_of(batch.next);

        list_unlink(&t->link);
        gni_prefetch(batch.next->next); /* what the next unlink writes to; fn gives it time */
        t->link.next = t->link.prev = NULL;
        w->count--;
        fired++;
        t->fn(t, arg);
    }
    list_splice_after(&w->due, &batch);
    return fired;
}

gni_timer *gni_wheel_pop(gni_wheel *w)
{
    gni_timer_link *head = !list_empty(&w->due) ? &w->due : &w->moving;
    unsigned slot;
    uint64_t tick;

    if (list_empty(head)) {
        if (!next_slot(w, &slot, &tick))
            return NULL;
        head = &w->slot[slot];
    }
    gni_timer *t = timer_of(head->next);
    gni_timer_cancel(w, t);
    return t;
}
