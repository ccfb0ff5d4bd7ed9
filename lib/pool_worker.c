/* SPDX-License-Identifier: MIT */
/* The workers of a pool: how they start, get tasks, sleep and end. */
#include <string.h>

#include "log.h"
#include "pool.h"
#include "stats.h"

/* A system that has no thread to give is not asked at each task. */
#define RETRY_NS UINT64_C(10000000)

/* A worker that meets somebody at the lock stays away for a microsecond or two: whoever hands in tasks hands
 * in more, each exchange of the lock costs some cache misses on both sides, and then it takes a batch.  1,024
 * tasks at once cost 107, 78 and 74 ns each with 10, 40 and 80 pauses. */
#define WORKER_PAUSES 64u

/* Before it sleeps, a worker that may look out for its next call: about as long as two threads take to wake
 * each other, some 10 microseconds, since a shorter look gains nothing. */
#define LOOK_PAUSES 400u
#define LOOKS_MORE 4u
#define LOOK_EVERY 64u

static GNP_THREAD_LOCAL gni_inside *inside;

void gni_inside_enter(gni_inside *in, gn_pool *p, int worker)
{
    in->pool = p;
    in->worker = worker;
    in->prev = inside;
    inside = in;
}

void gni_inside_leave(gni_inside *in)
{
    inside = in->prev;
}

int gni_inside_group(const void *group, int workers_only)
{
    for (const gni_inside *in = inside; in != NULL; in = in->prev) {
        if (in->pool->group == group && (in->worker || !workers_only))
            return 1;
    }
    return 0;
}

/* ------------------------------------------------------------------ batches */

#define RANGE(first, end) ((uint64_t)(end) << 32 | (first))
#define RANGE_FIRST(r) ((uint32_t)(r))
#define RANGE_END(r) ((uint32_t)((r) >> 32))

/* Its worker begins the next task of its batch, without the lock. */
static int batch_begin(gni_worker *w, gni_pooltask *t)
{
    uint64_t r = gnp_load64(&w->range);
    do {
        if (RANGE_FIRST(r) == RANGE_END(r))
            return 0;
    } while (!gnp_cas64(&w->range, &r, RANGE(RANGE_FIRST(r) + 1, RANGE_END(r))));
    *t = w->batch[RANGE_FIRST(r)];
    return 1;
}

/* Under the lock: the oldest tasks of w's batch, half of them or all.  The range never comes back to a
 * former value while somebody looks, since only w fills it, under the lock. */
static unsigned batch_steal(gni_worker *w, int all, gni_pooltask *out)
{
    uint64_t r = gnp_load64(&w->range);
    unsigned n, left;
    do {
        left = RANGE_END(r) - RANGE_FIRST(r);
        n = all ? left : (left + 1) / 2;
        if (n == 0)
            return 0;
    } while (!gnp_cas64(&w->range, &r, RANGE(RANGE_FIRST(r) + n, RANGE_END(r))));
    memcpy(out, &w->batch[RANGE_FIRST(r)], n * sizeof *out);
    return n;
}

static void batch_hold(gn_pool *p, gni_worker *w, unsigned n)
{
    w->given = n;
    p->batched += n;
    w->held_prev = NULL;
    w->held_next = p->holders;
    if (p->holders != NULL)
        p->holders->held_prev = w;
    else
        p->holders_last = w;
    p->holders = w;
}

/* n of the tasks given to w are no longer its. */
static void batch_shrink(gn_pool *p, gni_worker *w, unsigned n)
{
    p->batched -= n;
    w->given -= n;
    if (w->given > 0 || n == 0)
        return;
    if (w->held_prev != NULL)
        w->held_prev->held_next = w->held_next;
    else
        p->holders = w->held_next;
    if (w->held_next != NULL)
        w->held_next->held_prev = w->held_prev;
    else
        p->holders_last = w->held_prev;
}

size_t gni_pool_waiting(const gn_pool *p)
{
    size_t n = gni_poolq_live(&p->q);
    for (const gni_worker *w = p->holders; w != NULL; w = w->held_next) {
        uint64_t r = gnp_load64(&w->range);
        n += RANGE_END(r) - RANGE_FIRST(r);
    }
    return n;
}

void gni_workers_recall(gn_pool *p)
{
    gni_pooltask got[GNI_POOL_BATCH];

    /* The youngest batch first, so that the oldest task ends up in front.  There is room: the ring
     * counts the batches whenever it makes some. */
    while (p->holders != NULL) {
        gni_worker *w = p->holders;
        for (unsigned n = batch_steal(w, 1, got); n > 0; n--)
            gni_poolq_unpop(&p->q, got[n - 1]);
        batch_shrink(p, w, w->given);
    }
}

static unsigned steal_from(gn_pool *p, gni_worker *w, gni_worker *thief)
{
    unsigned n = batch_steal(w, 0, thief->batch);
    batch_shrink(p, w, n);
    return n;
}

static unsigned steal(gn_pool *p, gni_worker *thief)
{
    unsigned n = 0;
    for (gni_worker *w = p->holders, *next; w != NULL && n == 0; w = next) {
        next = w->held_next;
        n = steal_from(p, w, thief);
    }
    return n;
}

/* The oldest batch holds tasks that are older than any in the queue.  If nothing of it was begun since
 * somebody last looked, its worker is held up, and it is due before the queue. */
static unsigned steal_overdue(gn_pool *p, gni_worker *thief)
{
    gni_worker *w = p->holders_last;
    uint64_t r = w == NULL ? 0 : gnp_load64(&w->range);
    int overdue = w != NULL && w == p->seen && r == p->seen_range;

    p->seen = w;
    p->seen_range = r;
    return overdue ? steal_from(p, w, thief) : 0;
}

/* -------------------------------------------------------------------- tasks */

/* Shared with those who are coming; who comes later can steal.  Who waits for room should get it task by
 * task. */
static unsigned share(const gn_pool *p)
{
    size_t n = gni_poolq_live(&p->q) / (p->waking + 1u);
    if (n <= 1 || p->blocked > 0)
        return 1;
    return n < GNI_POOL_BATCH ? (unsigned)n : GNI_POOL_BATCH;
}

/* The next task for w; the rest of what it takes is its batch. */
static int take(gn_pool *p, gni_worker *w, gni_pooltask *t)
{
    unsigned n;

    if (gni_pool_pending(p) == 0)
        return 0;
    n = steal_overdue(p, w);
    if (n == 0)
        n = gni_poolq_take(&p->q, w->batch, share(p), &w->op);
    if (n == 0)
        n = steal(p, w);
    if (n == 0)
        return 0;
    *t = w->batch[0];
    if (n > 1) {
        gnp_store64(&w->range, RANGE(1, n));
        batch_hold(p, w, n - 1);
    }
    if (!w->busy) {
        w->busy = 1;
        p->avail--;
    } else {
        gni_pool_rouse(p, 1);
    }
    gni_pool_note_load(p);
    return 1;
}

/* w has done all that it took. */
static void settle(gn_pool *p, gni_worker *w)
{
    batch_shrink(p, w, w->given);
    if (w->op != 0) {
        gni_poolq_op_end(&p->q, w->op);
        w->op = 0;
    }
}

static void now_free(gn_pool *p, gni_worker *w)
{
    if (w->busy) {
        w->busy = 0;
        p->avail++;
        gni_pool_rouse(p, 1);
        gni_pool_note_load(p);
    }
}

/* -------------------------------------------------------------------- sleep */

static void idle_push(gn_pool *p, gni_worker *w)
{
    gnp_store32(&w->woken, 0);
    w->prev = NULL;
    w->next = p->idle;
    if (p->idle != NULL)
        p->idle->prev = w;
    else
        p->idle_last = w;
    p->idle = w;
}

static void idle_remove(gn_pool *p, gni_worker *w)
{
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        p->idle = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        p->idle_last = w->prev;
}

static void call(gn_pool *p, gni_worker *w)
{
    idle_remove(p, w);
    gnp_store32(&w->woken, 1);
    p->waking++;
}

gni_worker *gni_worker_to_wake(gn_pool *p)
{
    gni_worker *w = p->idle;
    if (w == NULL || p->waking > 0 || gni_pool_pending(p) == 0)
        return NULL;
    call(p, w);
    return w;
}

void gni_workers_call(gn_pool *p, unsigned count)
{
    while (count-- > 0 && p->idle_last != NULL) {
        gni_worker *w = p->idle_last;
        call(p, w);
        gnp_cond_signal(&w->cond);
    }
}

/* Only if it was called one of the last times that it looked, and now and then to try anew: on a busy system
 * it would stand in the way of who wants to call it.  It can be called meanwhile as one that sleeps. */
static void look_out(gn_pool *p, gni_worker *w)
{
    if (++w->rests % LOOK_EVERY != 0 && w->looks == 0)
        return;
    gnp_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < LOOK_PAUSES && gnp_load32(&w->woken) == 0; i++)
        gnp_cpu_relax();
    if (gnp_load32(&w->woken) != 0)
        w->looks = LOOKS_MORE;
    else if (w->looks > 0)
        w->looks--;
    gni_pool_lock(p, WORKER_PAUSES);
}

/* 1: there may be something to do.  0: there was nothing for so long that it should end.  Tasks may wait when
 * its time is over: another was called for them, and would have called this one next. */
static int rest(gn_pool *p, gni_worker *w)
{
    uint64_t now = p->expiry_ns == GNP_NEVER ? 0 : gnp_now();
    uint64_t deadline = p->expiry_ns > GNP_NEVER - now ? GNP_NEVER : now + p->expiry_ns;

    idle_push(p, w);
    look_out(p, w);
    while (gnp_load32(&w->woken) == 0) {
        if (gnp_cond_wait_until(&w->cond, &p->lock, deadline) == GNP_ETIMEDOUT &&
            gnp_load32(&w->woken) == 0) {
            idle_remove(p, w);
            return gni_pool_pending(p) > 0;
        }
    }
    p->waking--;
    return 1;
}

/* ---------------------------------------------------------------------- end */

/* Those that have ended before; each leaves at most a few to its successors. */
static void join_all(gni_worker *w)
{
    for (; w != NULL; w = w->next)
        gnp_thread_join(&w->thread);
}

void gni_workers_reap(gn_pool *p)
{
    gni_worker *list = p->dead;

    if (list == NULL)
        return;
    p->dead = NULL;
    gnp_mutex_unlock(&p->lock);
    join_all(list);
    gnp_mutex_lock(&p->lock);
    while (list != NULL) {
        gni_worker *w = list;
        list = w->next;
        w->next = p->spare;
        p->spare = w;
    }
}

/* Under the lock, which it gives back: w is no worker any more. */
static void leave(gn_pool *p, gni_worker *w)
{
    gni_worker *heir;

    p->workers--;
    p->avail--;
    p->leaving++;
    heir = gni_worker_to_wake(p); /* w may have been called for a task */
    if (heir != NULL)
        gnp_cond_signal(&heir->cond);
    gni_pool_rouse(p, 1); /* another may be started */
    gni_workers_reap(p);
    w->next = p->dead;
    p->dead = w;
    p->leaving--;
    if (p->workers == 0 && p->leaving == 0)
        gnp_cond_broadcast(&p->ended);
    gnp_mutex_unlock(&p->lock);
}

static int unwanted(const gn_pool *p)
{
    return p->closed || (p->capacity != 0 && p->workers > p->capacity);
}

static void worker_main(void *arg)
{
    gni_worker *w = arg;
    gn_pool *p = w->pool;
    gni_inside in;
    gni_pooltask t;

    gni_inside_enter(&in, p, 1);
    gnp_mutex_lock(&p->lock);
    p->waking--;
    for (;;) {
        if (!unwanted(p) && take(p, w, &t)) {
            gni_worker *next = gni_worker_to_wake(p);
            gnp_mutex_unlock(&p->lock);
            if (next != NULL)
                gnp_cond_signal(&next->cond);
            do {
                t.fn(GN_OK, t.arg);
                gni_count(&w->completed, 1);
            } while (batch_begin(w, &t));
            gni_pool_lock(p, WORKER_PAUSES);
            settle(p, w);
            continue;
        }
        now_free(p, w);
        if (unwanted(p) || !rest(p, w))
            break;
    }
    leave(p, w);
    gni_inside_leave(&in);
}

/* -------------------------------------------------------------------- start */

/* Memory of workers is kept until the pool is destroyed: who calls one signals it without the lock. */
static gni_worker *worker_get(gn_pool *p)
{
    gni_worker *w;

    if (p->spare == NULL && p->dead != NULL) {
        w = p->dead;
        p->dead = w->next;
        gnp_thread_join(&w->thread);
        return w;
    }
    w = p->spare;
    if (w != NULL) {
        p->spare = w->next;
        return w;
    }
    w = gnp_zalloc(sizeof *w);
    if (w == NULL)
        return NULL;
    if (gnp_cond_init(&w->cond) != GNP_OK) {
        gnp_free(w, sizeof *w);
        return NULL;
    }
    w->pool = p;
    w->all_next = p->all;
    p->all = w;
    return w;
}

void gni_pool_tell(gn_pool *p, int why)
{
    if (why != GN_OK)
        gni_log(GN_LOG_WARN, "pool %s: no more threads: %s", p->name, gn_strerror(why));
}

/* With the lock held, so that nobody builds on a thread that then does not start. */
int gni_worker_start(gn_pool *p)
{
    gni_worker *w;
    int rc;

    if (p->retry_at != 0 && p->workers > 0 && gnp_now() < p->retry_at)
        return GN_EAGAIN;
    w = worker_get(p);
    if (w == NULL)
        return GN_ENOMEM;
    rc = gnp_thread_start(&w->thread, worker_main, w, p->name);
    if (rc != GNP_OK) {
        w->next = p->spare;
        p->spare = w;
        if (p->retry_at == 0)
            p->untold = rc;
        p->retry_at = gnp_now() + RETRY_NS;
        return rc == GNP_ENOMEM ? GN_ENOMEM : GN_EAGAIN;
    }
    p->retry_at = 0;
    p->workers++;
    p->avail++;
    p->waking++;
    return GN_OK;
}
