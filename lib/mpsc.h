/* SPDX-License-Identifier: MIT */
/*
 * The mailbox of a loop: what other threads ask of it.  Many producers, one consumer, no
 * lock: producers push on a stack by compare-and-swap, the consumer takes all of it by one
 * exchange and turns it round, so what one producer pushes comes out in its order.
 *
 * A box is open or closed, and the change is one atomic exchange: a push either is seen by
 * the consumer exactly once or fails with GN_ECLOSED.
 *
 * Boxes must live in memory that is never given back (a static table): a late push may
 * touch the box of a loop that is gone.
 */
#ifndef GNI_MPSC_H
#define GNI_MPSC_H

#include "../include/gannet.h"
#include "../platform/atomic.h"
#include "../platform/poll.h"

typedef struct gni_task gni_task;

/* Of a task, set by the push.  One box for both, so that one exchange empties it; take parts them.  The
 * bits above GNI_LOW are the sender's. */
enum { GNI_HIGH, GNI_LOW, GNI_PRIORITIES };

/* First member of whatever is sent; run gets it back, with GN_OK or why it will not be done. */
struct gni_task {
    gni_task *next;
    void (*run)(gni_task *t, int status);
    const void *older; /* what its sender pushed a little earlier; only to be prefetched, may be gone */
    uint32_t priority;
    uint32_t owner; /* for the sender's use */
};

/* Oldest first; last counts only while first is not NULL. */
typedef struct gni_taskq {
    gni_task *first, *last;
} gni_taskq;

/* One cache line each: the heads of two loops are written by different threads. */
typedef struct gni_mailbox {
    _Alignas(64) gnp_atomic_ptr head; /* NULL: closed, so a zeroed table holds closed boxes */
    gnp_atomic32 wakers;              /* threads between "it is empty" and the end of gnp_wake */
    gnp_poller *poller;
    gnp_atomic64 posted; /* bytes of what waits; here, since who pushes has this line anyway */
    gnp_atomic64 posted_max;
} gni_mailbox;

/* Once per box, before any push; a zeroed box needs none. */
void gni_mailbox_init_closed(gni_mailbox *mb);

/* Opens a closed box for the loop that waits on poller.  [its loop] */
void gni_mailbox_open(gni_mailbox *mb, gnp_poller *poller);

/* Takes n bytes of the room that senders have: GN_OK, or GN_ELIMIT (GN_ECLOSED) and nothing is taken.
 * Uncharge gives them back.  Both sides keep to it across the lives of a box, so it is never reset.  [any] */
static inline int gni_mailbox_charge(gni_mailbox *mb, uint64_t n)
{
    uint64_t max = gnp_load64_relaxed(&mb->posted_max);

    /* Charges that overtake each other may refuse one that would just have fitted, never pass the limit. */
    if (gnp_load64_relaxed(&mb->posted) + n <= max) {
        if (gnp_add64(&mb->posted, n) + n <= max)
            return GN_OK;
        (void)gnp_sub64(&mb->posted, n);
    }
    return gnp_load_ptr(&mb->head) == NULL ? GN_ECLOSED : GN_ELIMIT;
}
static inline void gni_mailbox_uncharge(gni_mailbox *mb, uint64_t n) { (void)gnp_sub64(&mb->posted, n); }

/* GN_OK: the task now belongs to the loop.  GN_ECLOSED: it still belongs to the caller.
 * Wakes the poller if the loop may be asleep and own_thread is 0.  [any] */
int gni_mailbox_push(gni_mailbox *mb, gni_task *task, unsigned priority, int own_thread);

/* Appends all tasks to the queues of their priorities, q[GNI_PRIORITIES]; 0 when there are none,
 * which is one load.  [its loop] */
int gni_mailbox_take(gni_mailbox *mb, gni_taskq *q);

/* 1 if take would give something: then the loop must not block, since tasks that it
 * pushed itself wake nobody, and neither do others' on top of them.  [its loop] */
int gni_mailbox_pending(const gni_mailbox *mb);

/* Before the loop blocks: 1 if there is nothing, and from now on the first push wakes the poller, until
 * something is taken; 0 if there is.  A loop that has taken nothing since pays one load.  Who is awake is
 * not woken: that system call would cost more than the task.  [its loop] */
int gni_mailbox_rest(gni_mailbox *mb);

/* Closes the box and appends what is left, as take.  Afterwards no thread is in, or
 * will come to, gnp_wake for the poller, so it may be closed.  [its loop] */
void gni_mailbox_close(gni_mailbox *mb, gni_taskq *q);

#endif
