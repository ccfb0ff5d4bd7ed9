/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include <string.h>

#include "log.h"
#include "memory.h"

#define QUEUE_MAX 4096u
#define EXPIRY_NS UINT64_C(1000000000)
#define NAME "gn-worker"

/* With 16 tries a worker burns what the owner of the lock needs, once that was preempted; with 2 it sleeps
 * too often. */
#define LOCK_TRIES 3u
#define SUBMIT_PAUSES 8u

/* A size beyond this is not a newer header but a struct that nobody initialised. */
#define SIZE_LIMIT 4096u

/* ---------------------------------------------------------------- options */

static void defaults(gn_pool_options *o)
{
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
    o->queue_max = QUEUE_MAX;
    o->expiry_ns = EXPIRY_NS;
    o->name = NAME;
}

void gn_pool_options_init_sized(gn_pool_options *o, size_t size)
{
    gn_pool_options all;

    if (o == NULL)
        return;
    defaults(&all);
    all.size = size;
    /* The part that only a newer header knows: zero is what this library does anyway. */
    if (size > sizeof all)
        memset((unsigned char *)o + sizeof all, 0, size - sizeof all);
    memcpy(o, &all, size < sizeof all ? size : sizeof all);
}

static int options_take(gn_pool_options *out, const gn_pool_options *in)
{
    defaults(out);
    if (in == NULL)
        return GN_OK;
    if (in->size < sizeof in->size || in->size > SIZE_LIMIT || in->size % _Alignof(gn_pool_options) != 0)
        return GN_EINVAL;
    for (size_t i = sizeof *out; i < in->size; i++) {
        if (((const unsigned char *)in)[i] != 0)
            return GN_EINVAL; /* something that is newer than this library */
    }
    memcpy(out, in, in->size < sizeof *out ? in->size : sizeof *out);
    if ((out->nonblocking | out->prealloc) & ~1)
        return GN_EINVAL;
    if (out->prealloc && out->capacity == 0)
        return GN_EINVAL;
    if (out->name == NULL)
        out->name = NAME;
    return GN_OK;
}

/* ----------------------------------------------------------- make and free */

int gni_pool_valid(const gn_pool *p)
{
    return p != NULL && p->magic == GNI_POOL_MAGIC;
}

static int locks_init(gn_pool *p)
{
    int rc = gnp_mutex_init(&p->lock);
    if (rc != GNP_OK)
        return rc;
    rc = gnp_cond_init(&p->space);
    if (rc == GNP_OK) {
        rc = gnp_cond_init(&p->ended);
        if (rc != GNP_OK)
            gnp_cond_destroy(&p->space);
    }
    if (rc != GNP_OK)
        gnp_mutex_destroy(&p->lock);
    return rc;
}

static void pool_free(gn_pool *p)
{
    gni_worker *w;

    /* The task of a caller may have been done, and told somebody to end the pool, before its worker, or
     * one too many, is signalled. */
    while (gnp_load32(&p->wakers) != 0)
        gnp_thread_yield();
    while ((w = p->all) != NULL) {
        p->all = w->all_next;
        gnp_cond_destroy(&w->cond);
        gnp_free(w, sizeof *w);
    }
    gni_poolq_free(&p->q);
    gnp_cond_destroy(&p->ended);
    gnp_cond_destroy(&p->space);
    gnp_mutex_destroy(&p->lock);
    p->magic = 0;
    gnp_free(p, sizeof *p);
    gni_engines_sub();
}

static int pool_prealloc(gn_pool *p)
{
    int rc, why;

    if (p->queue_max > SIZE_MAX / 2)
        return GN_ENOMEM;
    rc = gni_poolq_prealloc(&p->q, p->queue_max + p->capacity);
    gnp_mutex_lock(&p->lock);
    while (rc == GN_OK && p->workers < p->capacity)
        rc = gni_worker_start(p);
    why = gni_pool_untold(p);
    gnp_mutex_unlock(&p->lock);
    gni_pool_tell(p, why);
    return rc;
}

int gn_pool_create(gn_pool **out, const gn_pool_options *options)
{
    gn_pool_options o;
    gn_pool *p;
    int rc;

    if (out == NULL)
        return GN_EINVAL;
    *out = NULL;
    rc = options_take(&o, options);
    if (rc != GN_OK)
        return rc;
    gni_log_setup();
    gni_engines_add();
    p = gnp_zalloc(sizeof *p);
    rc = p == NULL ? GN_ENOMEM : locks_init(p);
    if (rc != GN_OK) {
        gnp_free(p, sizeof *p);
        gni_engines_sub();
        return rc;
    }
    p->magic = GNI_POOL_MAGIC;
    p->group = p;
    p->capacity = o.capacity;
    p->queue_max = o.queue_max;
    p->blocking_max = o.blocking_max;
    p->nonblocking = o.nonblocking;
    p->prealloc = o.prealloc;
    p->expiry_ns = o.expiry_ns;
    p->fn = o.fn;
    strncpy(p->name, o.name, sizeof p->name - 1);
    rc = p->prealloc ? pool_prealloc(p) : GN_OK;
    if (rc != GN_OK) {
        (void)gn_pool_destroy(p);
        return rc;
    }
    *out = p;
    return GN_OK;
}

int gn_pool_destroy(gn_pool *p)
{
    int rc;

    if (p == NULL)
        return GN_OK;
    rc = gn_pool_release_wait(p, GNP_NEVER);
    if (rc != GN_OK)
        return rc;
    gnp_mutex_lock(&p->lock);
    while (p->blocked > 0)
        gnp_cond_wait(&p->ended, &p->lock);
    gnp_mutex_unlock(&p->lock);
    pool_free(p);
    return GN_OK;
}

/* ------------------------------------------------------------------ submit */

enum { FULL = 1 };

void gni_pool_rouse(gn_pool *p, unsigned n)
{
    while (n-- > 0 && p->roused < p->blocked) {
        p->roused++;
        gnp_cond_signal(&p->space);
    }
}

/* As many tasks may wait as workers have nothing to do, and queue_max more. */
static int has_room(const gn_pool *p, size_t waiting)
{
    return p->workers > 0 && (waiting < p->avail || waiting - p->avail < p->queue_max);
}

static int reserve(gn_pool *p, int with_op)
{
    int rc = with_op ? gni_poolq_reserve_op(&p->q) : GN_OK;
    if (rc != GN_OK || p->q.cap - p->q.count > p->batched)
        return rc;
    gni_workers_recall(p); /* what was counted as waiting may long be done */
    return gni_poolq_reserve(&p->q, 1);
}

/* GN_OK: there is room in the ring, and a worker. */
static int admit(gn_pool *p, int with_op)
{
    int rc = p->closed ? GN_ECLOSED : reserve(p, with_op);
    int growing = p->capacity == 0 || p->workers < p->capacity;
    size_t waiting = gni_pool_pending(p);

    if (rc != GN_OK || waiting < p->avail || (!growing && has_room(p, waiting)))
        return rc;
    waiting = gni_pool_waiting(p);
    if (waiting >= p->avail && growing)
        rc = gni_worker_start(p);
    if (has_room(p, waiting))
        return GN_OK;
    return p->workers > 0 ? FULL : rc;
}

/* What a caller hears who would have to wait now; GN_OK: it may. */
static int may_block(gn_pool *p, int how)
{
    if ((how & GNI_POOL_BLOCK) == 0 || p->nonblocking)
        return GN_ELIMIT;
    if (gni_inside_group(p->group, 1))
        return GN_EDEADLOCK;
    return p->blocking_max != 0 && p->blocked >= p->blocking_max ? GN_ELIMIT : GN_OK;
}

static uint64_t deadline_of(uint64_t timeout_ns)
{
    uint64_t now;

    if (timeout_ns == GNP_NEVER)
        return GNP_NEVER;
    now = gnp_now();
    return timeout_ns > GNP_NEVER - now ? GNP_NEVER : now + timeout_ns;
}

/* Admits the caller, who blocks meanwhile if need be. */
static int wait_for_room(gn_pool *p, int with_op, int how, uint64_t timeout_ns)
{
    int rc = may_block(p, how), late = 0;
    unsigned epoch = p->epoch;
    uint64_t deadline;

    if (rc != GN_OK)
        return rc;
    if (timeout_ns == 0)
        return GN_ETIMEDOUT;
    deadline = deadline_of(timeout_ns);
    p->blocked++;
    gni_workers_recall(p); /* from now on each task that is begun makes itself known */
    do {
        late = gnp_cond_wait_until(&p->space, &p->lock, deadline) == GNP_ETIMEDOUT;
        if (p->roused > 0)
            p->roused--;
        rc = p->epoch != epoch ? GN_ECLOSED : admit(p, with_op);
    } while (rc == FULL && !late);
    p->blocked--;
    if (p->closed && p->blocked == 0)
        gnp_cond_broadcast(&p->ended);
    return rc == FULL ? GN_ETIMEDOUT : rc;
}

void gni_pool_lock(gn_pool *p, unsigned pauses)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (gnp_mutex_try(&p->lock) == GNP_OK)
            return;
        for (unsigned k = 0; k < pauses; k++)
            gnp_cpu_relax();
    }
    gnp_mutex_lock(&p->lock);
}

int gni_pool_put(gn_pool *p, gni_pooltask t, gn_op *op, int how, uint64_t timeout_ns)
{
    gni_worker *wake = NULL;
    int rc, why;

    if (t.fn == NULL)
        return GN_EINVAL;
    gni_pool_lock(p, SUBMIT_PAUSES);
    rc = admit(p, op != NULL);
    if (rc == FULL)
        rc = wait_for_room(p, op != NULL, how, timeout_ns);
    if (rc == GN_OK) {
        if (op != NULL)
            *op = gni_poolq_push_op(&p->q, t);
        else
            gni_poolq_push(&p->q, t);
        p->submitted++;
        gni_pool_note_load(p);
        wake = gni_worker_to_wake(p);
    } else if ((how & GNI_POOL_UNCOUNTED) == 0 || !gni_pool_elsewhere(rc)) {
        p->refused++;
    }
    why = gni_pool_untold(p);
    if (wake != NULL || why != GN_OK) {
        gnp_add32(&p->wakers, 1);
        gnp_mutex_unlock(&p->lock);
        if (wake != NULL)
            gnp_cond_signal(&wake->cond);
        gni_pool_tell(p, why);
        gnp_sub32(&p->wakers, 1);
        return rc;
    }
    gnp_mutex_unlock(&p->lock);
    return rc;
}

static int put(gn_pool *p, gn_task_fn fn, void *arg, gn_op *op, int how, uint64_t timeout_ns)
{
    gni_pooltask t;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    t.fn = fn;
    t.arg = arg;
    return gni_pool_put(p, t, op, how, timeout_ns);
}

int gn_pool_submit(gn_pool *p, gn_task_fn fn, void *arg)
{
    return put(p, fn, arg, NULL, GNI_POOL_BLOCK, GNP_NEVER);
}

int gn_pool_try_submit(gn_pool *p, gn_task_fn fn, void *arg)
{
    return put(p, fn, arg, NULL, 0, 0);
}

int gn_pool_submit_wait(gn_pool *p, gn_task_fn fn, void *arg, uint64_t timeout_ns)
{
    return put(p, fn, arg, NULL, GNI_POOL_BLOCK, timeout_ns);
}

int gn_pool_invoke(gn_pool *p, void *arg)
{
    return gni_pool_valid(p) ? put(p, p->fn, arg, NULL, GNI_POOL_BLOCK, GNP_NEVER) : GN_EINVAL;
}

int gn_pool_submit_op(gn_pool *p, gn_task_fn fn, void *arg, gn_op *op)
{
    if (op == NULL)
        return GN_EINVAL;
    *op = GN_OP_NONE;
    return put(p, fn, arg, op, 0, 0);
}

/* ------------------------------------------------------------------ cancel */

/* Calls n cancelled tasks; the caller has counted itself in canceling under the lock. */
static void cancel_all(gn_pool *p, const gni_poolq *cut)
{
    gni_inside in;

    gni_inside_enter(&in, p, 0);
    for (size_t i = 0; i < cut->count; i++) {
        const gni_pooltask *t = &cut->ring[(cut->head + i) & (cut->cap - 1)];
        t->fn(GN_ECANCELED, t->arg);
    }
    gni_inside_leave(&in);
}

static void cancel_done(gn_pool *p)
{
    if (--p->canceling == 0)
        gnp_cond_broadcast(&p->ended);
}

int gn_pool_cancel(gn_pool *p, gn_op op)
{
    gni_pooltask t;
    gni_poolq one;
    int rc;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    gnp_mutex_lock(&p->lock);
    rc = gni_poolq_cancel(&p->q, op, &t);
    if (rc == GN_OK) {
        p->canceled++;
        p->canceling++;
        gni_pool_rouse(p, 1);
        gni_pool_note_load(p);
    }
    gnp_mutex_unlock(&p->lock);
    if (rc != GN_OK)
        return rc;
    memset(&one, 0, sizeof one);
    one.ring = &t;
    one.cap = one.count = 1;
    cancel_all(p, &one);
    gnp_mutex_lock(&p->lock);
    cancel_done(p);
    gnp_mutex_unlock(&p->lock);
    return GN_OK;
}

/* ----------------------------------------------------------------- release */

/* Under the lock: nobody comes in any more, and what waits is the caller's. */
static void pool_close(gn_pool *p, gni_poolq *cut)
{
    p->closed = 1;
    gni_workers_recall(p);
    gni_poolq_cut(&p->q, cut);
    p->canceled += cut->count;
    p->canceling++;
    gni_pool_note_load(p);
    gni_workers_call(p, p->workers);
    p->roused = p->blocked;
    gnp_cond_broadcast(&p->space);
}

int gn_pool_release(gn_pool *p)
{
    gni_poolq cut;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    gnp_mutex_lock(&p->lock);
    pool_close(p, &cut);
    gnp_mutex_unlock(&p->lock);
    cancel_all(p, &cut);
    gnp_mutex_lock(&p->lock);
    if (p->q.ring == NULL && p->prealloc) { /* for the next life */
        p->q.ring = cut.ring;
        p->q.cap = cut.cap;
        cut.ring = NULL;
        cut.cap = 0;
    }
    cancel_done(p);
    gnp_mutex_unlock(&p->lock);
    gni_poolq_free(&cut);
    return GN_OK;
}

int gn_pool_release_wait(gn_pool *p, uint64_t timeout_ns)
{
    uint64_t deadline;
    unsigned epoch;
    int rc = GN_OK;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    if (gni_inside_group(p->group, 0))
        return GN_EDEADLOCK;
    deadline = deadline_of(timeout_ns);
    gnp_mutex_lock(&p->lock);
    epoch = p->epoch;
    gnp_mutex_unlock(&p->lock);
    (void)gn_pool_release(p);
    gnp_mutex_lock(&p->lock);
    while (p->workers + p->leaving + p->canceling > 0 && rc == GN_OK) {
        rc = gnp_cond_wait_until(&p->ended, &p->lock, deadline);
        if (p->epoch != epoch)
            rc = GN_EBUSY;
        else if (p->workers + p->leaving + p->canceling == 0)
            rc = GN_OK;
    }
    gni_workers_reap(p);
    gnp_mutex_unlock(&p->lock);
    return rc;
}

int gn_pool_reboot(gn_pool *p)
{
    int rc = GN_EBUSY, why;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    gnp_mutex_lock(&p->lock);
    if (p->closed) {
        p->closed = 0;
        p->epoch++;
        p->retry_at = 0;
        gnp_cond_broadcast(&p->ended);
        rc = GN_OK;
    }
    while (rc == GN_OK && p->prealloc && p->workers < p->capacity && gni_worker_start(p) == GN_OK)
        continue;
    why = gni_pool_untold(p);
    gnp_mutex_unlock(&p->lock);
    gni_pool_tell(p, why);
    return rc;
}

/* ------------------------------------------------------------------ resize */

int gn_pool_resize(gn_pool *p, unsigned capacity)
{
    int rc = GN_OK, why;

    if (!gni_pool_valid(p))
        return GN_EINVAL;
    if (p->prealloc)
        return GN_ENOTSUP;
    gnp_mutex_lock(&p->lock);
    if (capacity == 0 && p->capacity != 0) {
        rc = GN_EINVAL;
    } else {
        p->capacity = capacity;
        if (capacity != 0 && p->workers > capacity) {
            gni_workers_recall(p); /* who is one too many ends with its task, not with its batch */
            gni_workers_call(p, p->workers - capacity);
        }
        while (!p->closed && gni_pool_pending(p) > p->avail && (capacity == 0 || p->workers < capacity) &&
               gni_worker_start(p) == GN_OK)
            continue;
        gni_pool_rouse(p, p->blocked);
    }
    why = gni_pool_untold(p);
    gnp_mutex_unlock(&p->lock);
    gni_pool_tell(p, why);
    return rc;
}

/* ------------------------------------------------------------------- stats */

static void stats_take(gn_pool *p, gn_pool_stats *s)
{
    memset(s, 0, sizeof *s);
    s->capacity = p->capacity;
    s->workers = p->workers;
    s->running = p->workers - p->avail;
    s->blocked = p->blocked;
    s->free = p->capacity == 0 ? UINT64_MAX : p->capacity > s->running ? p->capacity - s->running : 0;
    /* Before what waits: of what moves on meanwhile nothing is then counted twice. */
    for (const gni_worker *w = p->all; w != NULL; w = w->all_next)
        s->completed += gnp_load64_relaxed(&w->completed);
    s->waiting = gni_pool_waiting(p);
    s->submitted = p->submitted;
    s->canceled = p->canceled;
    s->refused = p->refused;
    s->closed = p->closed;
}

int gn_pool_get_stats(gn_pool *p, gn_pool_stats *out)
{
    gn_pool_stats s;

    if (!gni_pool_valid(p) || out == NULL || out->size < sizeof out->size)
        return GN_EINVAL;
    gnp_mutex_lock(&p->lock);
    stats_take(p, &s);
    gnp_mutex_unlock(&p->lock);
    s.size = out->size;
    memcpy(out, &s, out->size < sizeof s ? out->size : sizeof s);
    return GN_OK;
}
