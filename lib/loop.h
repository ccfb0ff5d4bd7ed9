/* SPDX-License-Identifier: MIT */
#ifndef GNI_LOOP_H
#define GNI_LOOP_H

#include "../include/gannet.h"
#include "../platform/platform.h"
#include "conn.h"
#include "conntab.h"
#include "listener.h"
#include "mpsc.h"
#include "op.h"
#include "opmem.h"
#include "segq.h"
#include "stall.h"
#include "stats.h"
#include "timer.h"

#define GNI_LOOP_MAGIC 0x676e6c70u /* "gnlp" */

/* Slots for handles, in the whole process; slot 0 is never used, so that no handle is 0. */
#define GNI_LOOP_SLOTS 1024u

/* Events of one wait.  64 to 1,024 make no difference that can be measured on echo and HTTP;
 * 256 keep a turn short. */
#define GNI_LOOP_EVENTS 256

/* Posted tasks of one turn, so that they never starve I/O, and of the second queue, so that the first
 * does not starve it.  The more writes share a turn, the more share a system call. */
#define GNI_LOOP_TASKS 1024u
#define GNI_LOOP_TASKS_LOW 64u

/* Bytes that the tasks of one turn bring: what one connection may send in it, see outbound.c. */
#define GNI_LOOP_TASK_BYTES ((size_t)1024 * 1024)

/* Timers of one turn, for the same reason. */
#define GNI_LOOP_TIMERS 1024

/* What a callback has written and what has not left yet.  Copied bytes stand in buf; those of
 * the lent span are only pointed at, since they stay until the callback's writes have left. */
#define GNI_STAGE_BYTES 65536u
#define GNI_STAGE_SPANS 64u

typedef struct gni_stage {
    gnp_iov span[GNI_STAGE_SPANS];
    unsigned count;
    size_t bytes;
    size_t used; /* of buf */
    unsigned char *buf;
} gni_stage;

struct gn_loop {
    uint32_t magic;
    uint32_t index; /* in the engine; the acceptor's is the number of loops */
    uint32_t slot, gen;
    gn_engine *engine;
    gnp_poller *poller;
    gni_mailbox *box;
    uint64_t now;
    gni_wheel wheel;
    gni_conntab conns;
    gni_segpool segs;
    gni_stage stage;
    int watched;       /* busy is kept up to date */
    gni_busy busy;
    gn_conn *current;  /* whose callback runs, for writes into the stage */
    const unsigned char *lent; /* the bytes lent to that callback */
    size_t lent_len;
    size_t span_len; /* how many of them, at the end, are unread */
    const gnp_dgram *dgram; /* the one in hand */
    gn_conn *dgram_gathering; /* who has a queue that the system was not offered yet */
    struct gni_dgram_queue *dgram_spares;
    unsigned dgram_spare_count;
    gni_timer starved_timer; /* when those without memory to receive try again */
    gn_conn *dirty, **dirty_tail;
    uint32_t stones;   /* slots in conns that are tombstones */
    uint32_t moving;   /* of these, connections that have not yet arrived */
    gni_taskq tasks[GNI_PRIORITIES]; /* taken out of the box, not yet run */
    size_t uncharged;   /* bytes of tasks that have run, to be told to the box */
    gni_op_pool *op_pool;
    gni_op_batch op_batch;
    uint64_t spin_ns;   /* of the options */
    gni_acceptor *acceptors;
    unsigned acceptor_count;
    gnp_reserve reserve;
    unsigned resting;  /* acceptors in back-off */
    gni_task kick;     /* gni_acceptors_sync, for other threads */
    gnp_atomic32 kicked;  /* it is on its way */
    gnp_atomic32 limited; /* an acceptor here waits at a limit */
    unsigned late;     /* acceptors whose close is in flight */
    unsigned pinned;   /* flag of gnp_send for what is in queues, if this poller has sends in flight */
    int edge;
    size_t read_buffer, edge_chunk, outbound_max; /* of the options */
    int draining;
    uint64_t drain_at;
    gni_timer drain_timer, tick_timer;
    uint64_t open; /* connections whose on_close is owed */
    gnp_atomic64 open_shared; /* the same, for other threads */
    gni_stats stats;
    gni_ops ops;       /* what can be cancelled */
    struct gni_dial *dials; /* under way */
    void *context; /* of the user */
    gnp_atomic32 alive; /* posts reach it */
    gnp_atomic32 load; /* open and on their way here, for the balancer */
    gnp_thread thread;
    uint64_t held;            /* KiB, see budget.h */
    gnp_atomic64 held_shared; /* the same, for other threads */
    int budgeted; /* there is a budget */
    int strained;
    gni_timer strain_timer;
    int watching; /* for signals */
    int woken;    /* by somebody, in this turn */
    int started; /* its thread runs or has run */
    int status;  /* of its start; then why it ended */
    gnp_event events[GNI_LOOP_EVENTS];
};

/* Gives a loop its slot; GN_ELIMIT when the process has too many. */
int gni_loop_init(gn_loop *l, gn_engine *e, uint32_t index);
void gni_loop_free(gn_loop *l);

/* The body of the loop's thread. */
void gni_loop_main(void *loop);

/* Drains: no accepts any more, every connection ends, the rest is cut at the deadline. */
void gni_loop_drain(gn_loop *l, uint64_t deadline_ns);

/* What a drain does to one connection that has come late. */
void gni_loop_drain_conn(gn_loop *l, gn_conn *c);

/*
 * The loops of the process by the slot in their handles.  A slot is never given back to the
 * system, so that a handle that is years old still finds a mailbox, closed or of a later loop
 * whose generations begin above its own.
 */
typedef struct gni_loop_slot {
    gni_mailbox box;
    gni_op_pool ops;
    gnp_atomic32 taken;
    gnp_atomic32 gen; /* of the loop that has it now; its connections have higher ones */
    gnp_atomic64 tokens; /* given out, see op.h */
    gnp_atomic32 expected; /* connections that were asked for and have not arrived */
    gn_loop *loop;    /* read on the loop's own thread only */
} gni_loop_slot;

extern gni_loop_slot gni_loop_slots[GNI_LOOP_SLOTS];

static inline gni_loop_slot *gni_loop_slot_at(unsigned s) { return &gni_loop_slots[s % GNI_LOOP_SLOTS]; }

/* The slot in h, unless what h names is gone for certain.  [any] */
static inline gni_loop_slot *gni_loop_slot_of(gn_handle h)
{
    gni_loop_slot *s = gni_loop_slot_at(GNI_HANDLE_SLOT(h));
    return GNI_HANDLE_SLOT(h) == 0 || GNI_HANDLE_GEN(h) < gnp_load32(&s->gen) ? NULL : s;
}

/* Posts a task to the loop that h names.  GN_ECLOSED when it is gone. */
int gni_loop_post(gn_handle h, gni_task *t);
int gni_loop_post_to(gn_loop *l, gni_task *t);

/* ... or to whatever loop has that slot now. */
int gni_loop_push(unsigned slot, gni_task *t, unsigned priority);

/* Connections that it has, and that are on their way. [any] */
uint32_t gni_loop_load(const gn_loop *l);

/* 1 if h names this very loop (not one of its connections). */
int gni_loop_is(const gn_loop *l, gn_handle h);

static inline const unsigned char *gni_loop_span(const gn_loop *l)
{
    return l->lent + (l->lent_len - l->span_len);
}

static inline uint32_t gni_ticks(uint64_t ns) { return (uint32_t)(ns >> GNI_TICK_BITS); }

#endif
