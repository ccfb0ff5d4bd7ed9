/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include "pool.h"

#include <string.h>

struct gn_multipool {
    uint32_t magic;
    unsigned count;
    gn_pool_lb lb;
    gnp_atomic32 next;
    gn_pool *at[];
};

/* More pools than threads make sense make none. */
#define COUNT_MAX 65536u

static int valid(const gn_multipool *m)
{
    return m != NULL && m->magic == GNI_MULTI_MAGIC;
}

static size_t size_of(unsigned count)
{
    return sizeof(gn_multipool) + count * sizeof(gn_pool *);
}

static void multi_free(gn_multipool *m)
{
    m->magic = 0;
    gnp_free(m, size_of(m->count));
    gni_engines_sub();
}

int gn_multipool_create(gn_multipool **out, unsigned count, gn_pool_lb lb, const gn_pool_options *options)
{
    gn_multipool *m;
    int rc = GN_OK;

    if (out == NULL)
        return GN_EINVAL;
    *out = NULL;
    if (count == 0 || count > COUNT_MAX || (lb != GN_POOL_ROUND_ROBIN && lb != GN_POOL_LEAST_TASKS))
        return GN_EINVAL;
    gni_engines_add();
    m = gnp_zalloc(size_of(count));
    if (m == NULL) {
        gni_engines_sub();
        return GN_ENOMEM;
    }
    m->magic = GNI_MULTI_MAGIC;
    m->count = count;
    m->lb = lb;
    for (unsigned i = 0; i < count && rc == GN_OK; i++) {
        rc = gn_pool_create(&m->at[i], options);
        if (rc == GN_OK)
            m->at[i]->group = m;
    }
    if (rc != GN_OK) {
        (void)gn_multipool_destroy(m);
        return rc;
    }
    *out = m;
    return GN_OK;
}

int gn_multipool_destroy(gn_multipool *m)
{
    if (m == NULL)
        return GN_OK;
    if (!valid(m))
        return GN_EINVAL;
    if (gni_inside_group(m, 0))
        return GN_EDEADLOCK;
    for (unsigned i = 0; i < m->count; i++) {
        if (m->at[i] != NULL)
            (void)gn_pool_release(m->at[i]);
    }
    /* None goes while a task of another runs that may yet submit. */
    for (unsigned i = 0; i < m->count; i++) {
        if (m->at[i] != NULL)
            (void)gn_pool_release_wait(m->at[i], GNP_NEVER);
    }
    for (unsigned i = 0; i < m->count; i++)
        (void)gn_pool_destroy(m->at[i]);
    multi_free(m);
    return GN_OK;
}

/* ------------------------------------------------------------------ submit */

static gn_pool *least(const gn_multipool *m)
{
    gn_pool *best = m->at[0];
    uint64_t load = gnp_load64_relaxed(&best->load);

    for (unsigned i = 1; i < m->count && load > 0; i++) {
        uint64_t other = gnp_load64_relaxed(&m->at[i]->load);
        if (other < load) {
            load = other;
            best = m->at[i];
        }
    }
    return best;
}

static int multi_put(gn_multipool *m, gn_task_fn fn, void *arg, int how)
{
    gni_pooltask t;
    int rc;

    if (fn == NULL)
        return GN_EINVAL; /* and nobody's turn */
    t.fn = fn;
    t.arg = arg;
    if (m->lb == GN_POOL_ROUND_ROBIN) {
        rc = gni_pool_put(m->at[gnp_add32(&m->next, 1) % m->count], t, NULL, GNI_POOL_UNCOUNTED, 0);
        if (!gni_pool_elsewhere(rc))
            return rc;
    }
    return gni_pool_put(least(m), t, NULL, how, GNP_NEVER);
}

int gn_multipool_submit(gn_multipool *m, gn_task_fn fn, void *arg)
{
    return valid(m) ? multi_put(m, fn, arg, GNI_POOL_BLOCK) : GN_EINVAL;
}

int gn_multipool_try_submit(gn_multipool *m, gn_task_fn fn, void *arg)
{
    return valid(m) ? multi_put(m, fn, arg, 0) : GN_EINVAL;
}

int gn_multipool_invoke(gn_multipool *m, void *arg)
{
    return valid(m) ? multi_put(m, m->at[0]->fn, arg, GNI_POOL_BLOCK) : GN_EINVAL;
}

/* ----------------------------------------------------------------- looking */

unsigned gn_multipool_count(const gn_multipool *m)
{
    return valid(m) ? m->count : 0;
}

gn_pool *gn_multipool_at(gn_multipool *m, unsigned i)
{
    return valid(m) && i < m->count ? m->at[i] : NULL;
}

int gn_multipool_get_stats(gn_multipool *m, gn_pool_stats *out)
{
    gn_pool_stats sum, one;

    if (!valid(m) || out == NULL || out->size < sizeof out->size)
        return GN_EINVAL;
    memset(&sum, 0, sizeof sum);
    sum.closed = 1;
    one.size = sizeof one;
    for (unsigned i = 0; i < m->count; i++) {
        (void)gn_pool_get_stats(m->at[i], &one);
        /* One without a limit makes the sum have none. */
        sum.capacity = one.capacity == 0 || (i > 0 && sum.capacity == 0) ? 0 : sum.capacity + one.capacity;
        sum.free = sum.free > UINT64_MAX - one.free ? UINT64_MAX : sum.free + one.free;
        sum.workers += one.workers;
        sum.running += one.running;
        sum.blocked += one.blocked;
        sum.waiting += one.waiting;
        sum.submitted += one.submitted;
        sum.completed += one.completed;
        sum.canceled += one.canceled;
        sum.refused += one.refused;
        sum.closed &= one.closed;
    }
    sum.size = out->size;
    memcpy(out, &sum, out->size < sizeof sum ? out->size : sizeof sum);
    return GN_OK;
}

/* ---------------------------------------------------------------- changing */

int gn_multipool_resize(gn_multipool *m, unsigned capacity)
{
    int rc = valid(m) ? GN_OK : GN_EINVAL;

    for (unsigned i = 0; rc == GN_OK && i < m->count; i++)
        rc = gn_pool_resize(m->at[i], capacity); /* the first refuses what any refuses */
    return rc;
}

int gn_multipool_release(gn_multipool *m)
{
    if (!valid(m))
        return GN_EINVAL;
    for (unsigned i = 0; i < m->count; i++)
        (void)gn_pool_release(m->at[i]);
    return GN_OK;
}

int gn_multipool_release_wait(gn_multipool *m, uint64_t timeout_ns)
{
    uint64_t begin = gnp_now();
    int rc = GN_OK;

    if (!valid(m))
        return GN_EINVAL;
    if (gni_inside_group(m, 0))
        return GN_EDEADLOCK;
    (void)gn_multipool_release(m);
    for (unsigned i = 0; i < m->count; i++) {
        uint64_t spent = gnp_now() - begin;
        uint64_t left = timeout_ns == GNP_NEVER ? GNP_NEVER : timeout_ns > spent ? timeout_ns - spent : 0;
        int one = gn_pool_release_wait(m->at[i], left);
        if (rc == GN_OK)
            rc = one;
    }
    return rc;
}

/* Those that are open stay open. */
int gn_multipool_reboot(gn_multipool *m)
{
    int rc = GN_EBUSY;

    if (!valid(m))
        return GN_EINVAL;
    for (unsigned i = 0; i < m->count; i++) {
        if (gn_pool_reboot(m->at[i]) == GN_OK)
            rc = GN_OK;
    }
    return rc;
}
