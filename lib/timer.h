/* SPDX-License-Identifier: MIT */
/*
 * Timers of one loop: a hierarchical timing wheel.  Set, cancel and re-arm are O(1);
 * a timer fires at the first advance at or after its time, rounded up to one tick (about
 * a millisecond), never early.
 *
 * Why a wheel and no heap: nearly every timer of a server is moved or cancelled before its
 * time, which a wheel does in two list operations and a heap in log n steps.  Of a million
 * timers, in random order: set 4 ns, cancel 20, move 59, fire 305 (a cache miss a step).
 */
#ifndef GNI_TIMER_H
#define GNI_TIMER_H

#include <stddef.h>
#include <stdint.h>

typedef struct gni_timer gni_timer;
typedef void (*gni_timer_fn)(gni_timer *t, void *arg);

typedef struct gni_timer_link {
    struct gni_timer_link *next, *prev;
} gni_timer_link;

/* In place in its owner; zeroed means not set.  fn is set by the owner. */
struct gni_timer {
    gni_timer_link link; /* first; link.next NULL: not set */
    uint64_t when;       /* in ticks, rounded up, while set */
    gni_timer_fn fn;
};

/* With 8 bits a level the timers of the coming minute move down once before they fire, with 6
 * twice; each move is a cache miss, and a million timers fire a quarter cheaper.  6 levels have
 * 48 bits: every tick that 64 bits of nanoseconds can name. */
#define GNI_WHEEL_BITS 8
#define GNI_WHEEL_SLOTS (1u << GNI_WHEEL_BITS)
#define GNI_WHEEL_LEVELS 6
#define GNI_TICK_BITS 20 /* one tick is 2^20 ns, about 1.05 ms */

/* now stands on a slot at every level; a timer stands at the level of the highest digit
 * (of GNI_WHEEL_BITS bits) in which its time differs from now, in the slot of that digit. */
typedef struct gni_wheel {
    uint64_t now;   /* in ticks: everything due up to here has been taken out */
    uint64_t count; /* timers set */
    uint64_t used;  /* bit i: busy[i] is not 0 */
    uint64_t busy[GNI_WHEEL_LEVELS * GNI_WHEEL_SLOTS / 64]; /* a bit per slot that is not empty */
    gni_timer_link slot[GNI_WHEEL_LEVELS * GNI_WHEEL_SLOTS]; /* lowest level first */
    gni_timer_link moving; /* a slot that now has reached, on the way to lower levels */
    gni_timer_link due;    /* taken out, not yet fired (the limit of advance) */
} gni_wheel;

void gni_wheel_init(gni_wheel *w, uint64_t now_ns);

/* Sets or moves t to when_ns; a time in the past fires at the next advance.  GNP_NEVER cancels. */
void gni_timer_set(gni_wheel *w, gni_timer *t, uint64_t when_ns);
void gni_timer_cancel(gni_wheel *w, gni_timer *t);
static inline int gni_timer_is_set(const gni_timer *t) { return t->link.next != NULL; }

/* When advance must be called next, at the latest; it may find nothing then, since far timers
 * move down on the way.  GNP_NEVER when none is set, 0 when advance has work left. */
uint64_t gni_wheel_next(const gni_wheel *w);

/* Fires what is due in order of time, at most limit timers; each is not set any more when
 * its fn runs, and fn may set or cancel any timer, itself included.  Timers set by fn do not
 * fire in the same call.  Moving timers down is bounded by limit too; then gni_wheel_next
 * says 0 and the next call goes on.  Returns how many fired. */
unsigned gni_wheel_advance(gni_wheel *w, uint64_t now_ns, unsigned limit, void *arg);

/* Takes out any timer that is set, unfired; NULL when there is none.  For the end of a loop. */
gni_timer *gni_wheel_pop(gni_wheel *w);

#endif
