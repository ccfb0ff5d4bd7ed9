/* SPDX-License-Identifier: MIT */
/*
 * A worker pool: one lock, one queue, workers that sleep on a condition each.
 *
 * What is kept true under the lock, and why nobody waits in vain:
 * - While tasks wait there is a worker that will come: a worker leaves only when none waits, or when
 *   more than one is left; a task is queued only if there is one.
 * - While a worker sleeps and a task waits, another worker is on its way here (waking); when it has taken
 *   a task and there are more, it calls the next.  So who hands in a task calls at most one worker, and
 *   none while all are busy or one is coming.
 * - A worker that finds many tasks takes a batch.  What it has not begun still counts as waiting: a
 *   worker with nothing to do steals from it, one that finds it untouched since the last look does so
 *   before it goes to the queue, and who needs room, or releases, calls all of it back.  So no task is
 *   stuck behind one that blocks while another worker is at work.
 */
#ifndef GNI_POOL_H
#define GNI_POOL_H

#include "../include/gannet.h"
#include "../platform/platform.h"
#include "poolq.h"

#define GNI_POOL_MAGIC 0x676e7770u   /* "gnwp" */
#define GNI_MULTI_MAGIC 0x676e6d70u /* "gnmp" */

/* Most tasks that a worker takes at once.  With 2 workers and tasks that do nothing, anything from 8 to 128
 * costs the same; one at a time costs half as much again. */
#define GNI_POOL_BATCH 32u

typedef struct gni_worker gni_worker;
struct gni_worker {
    gn_pool *pool;
    gni_worker *next, *prev;           /* among those that sleep; next: among the spare and the ended */
    gni_worker *held_next, *held_prev; /* among those with a batch */
    gni_worker *all_next;
    gnp_cond cond;
    gnp_thread thread;
    gnp_atomic32 woken; /* it is waking: on its way to the lock */
    unsigned rests; /* how often it had nothing to do */
    unsigned looks; /* so many times more it looks out before it sleeps */
    int busy;       /* it runs tasks */
    unsigned given; /* tasks of its batch, as far as the lock knows: begun ones too */
    uint32_t op;    /* slot + 1 of what it runs */
    gnp_atomic64 range; /* tasks of the batch that nobody has begun: first, and end in the upper half */
    gnp_atomic64 completed;
    gni_pooltask batch[GNI_POOL_BATCH]; /* written under the lock by its worker, read by thieves under it */
};

struct gn_pool {
    uint32_t magic;
    char name[16];
    int nonblocking, prealloc;
    unsigned blocking_max;
    uint64_t expiry_ns;
    gn_task_fn fn;
    const void *group; /* pools whose workers must not wait for each other: the multipool, or this one */
    gnp_cond space; /* for those who block in submit */
    gnp_cond ended; /* for those who wait for the end */

    /* What each task touches stands together. */
    gnp_mutex lock;
    gni_poolq q;
    size_t queue_max;
    size_t batched; /* sum of given */
    unsigned capacity;
    int closed;
    unsigned workers; /* threads that serve */
    unsigned avail;   /* of them, those without a task */
    unsigned waking;  /* of them, those that come without being called again */
    unsigned blocked; /* callers in submit */
    gni_worker *idle, *idle_last; /* the last to sleep first */
    uint64_t submitted;
    gnp_atomic64 load; /* tasks here, about: for the balancing of a multipool */
    gnp_atomic32 wakers; /* callers behind the lock that still look at the pool: it waits for them */

    gni_worker *holders, *holders_last; /* the last to take a batch first */
    const gni_worker *seen; /* holders_last when a task was last taken, and its range */
    uint64_t seen_range;
    gni_worker *all, *spare, *dead;
    unsigned leaving;   /* threads that serve no more and have not ended */
    unsigned roused;    /* of the blocked, those that were signalled */
    unsigned canceling; /* threads that call cancelled tasks */
    unsigned epoch;     /* how often it was opened again */
    uint64_t retry_at;  /* no thread could be started; not before this again */
    int untold;         /* ... why, until gni_pool_tell; or GN_OK */
    uint64_t canceled, refused;
};

/* Where the calling thread is inside of pools. */
typedef struct gni_inside {
    gn_pool *pool;
    int worker;
    struct gni_inside *prev;
} gni_inside;
void gni_inside_enter(gni_inside *in, gn_pool *p, int worker);
void gni_inside_leave(gni_inside *in);
/* 1 if a worker of the group, or anything of it at all, is below us on the stack. */
int gni_inside_group(const void *group, int workers_only);

/* How to submit. */
enum { GNI_POOL_BLOCK = 1, GNI_POOL_UNCOUNTED = 2 /* a refusal that leads elsewhere is none yet */ };
/* Only what stands for "not here, not now" is worth another try with another pool. */
static inline int gni_pool_elsewhere(int rc) { return rc == GN_ELIMIT || rc == GN_EAGAIN; }
int gni_pool_put(gn_pool *p, gni_pooltask t, gn_op *op, int how, uint64_t timeout_ns);
int gni_pool_valid(const gn_pool *p);

/* After the lock: the log's sink may be the user's, and may use the pool. */
void gni_pool_tell(gn_pool *p, int why);

/* Takes the lock.  It is held for a few stores, so who comes meanwhile tries again, so many pauses later,
 * before it sleeps: that and being woken costs both sides a hundred times as much. */
void gni_pool_lock(gn_pool *p, unsigned pauses);

/* All of these want the lock. */

/* What is to be told when it was given back. */
static inline int gni_pool_untold(gn_pool *p)
{
    int why = p->untold;
    p->untold = GN_OK;
    return why;
}

/* Starts one.  GN_ENOMEM, GN_EAGAIN. */
int gni_worker_start(gn_pool *p);
/* Takes one off the sleepers if a task waits and nobody comes for it; the caller signals it. */
gni_worker *gni_worker_to_wake(gn_pool *p);
/* Calls the sleepers, so that they see that the pool is closed, or that they are too many. */
void gni_workers_call(gn_pool *p, unsigned count);
/* What the workers have taken and not begun goes back to the front of the queue. */
void gni_workers_recall(gn_pool *p);
/* Joins those that have ended; gives the lock away meanwhile. */
void gni_workers_reap(gn_pool *p);
/* Room for n more who submit. */
void gni_pool_rouse(gn_pool *p, unsigned n);

/* Tasks that wait; it looks at each batch. */
size_t gni_pool_waiting(const gn_pool *p);

/* At least as many, at once. */
static inline size_t gni_pool_pending(const gn_pool *p) { return gni_poolq_live(&p->q) + p->batched; }

static inline void gni_pool_note_load(gn_pool *p)
{
    gnp_store64_relaxed(&p->load, (uint64_t)gni_pool_pending(p) + (p->workers - p->avail));
}

#endif
