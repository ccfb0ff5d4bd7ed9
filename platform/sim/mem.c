/* SPDX-License-Identifier: MIT */
/*
 * Memory that knows its size, is never zero by luck, and is refused when the seed says so.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC UINT64_C(0x616c6c6f63617465)
#define FRESH 0xC7 /* what new memory is full of, and old */
#define STALE 0xA5

typedef struct head {
    uint64_t magic;
    size_t size;
} head;

static int refused(void)
{
    if (!sim.live)
        return 0;
    sim.allocs++;
    if (sim.allocs == sim.knobs.alloc_fail_at) {
        sim.faults++;
        return 1;
    }
    return gnp_sim_fault(sim.knobs.alloc_error);
}

static void *sim_alloc(size_t size, void *user)
{
    head *h;

    (void)user;
    if (refused())
        return NULL;
    h = malloc(sizeof(*h) + size);
    if (h == NULL)
        abort();
    h->magic = MAGIC;
    h->size = size;
    memset(h + 1, FRESH, size);
    sim.blocks++;
    sim.bytes += size;
    return h + 1;
}

static void sim_free(void *p, size_t size, void *user)
{
    head *h = (head *)p - 1;

    (void)user;
    if (h->magic != MAGIC)
        gnp_sim_fail("gnp_free: freed already, or no memory of gnp_alloc");
    if (h->size != size)
        gnp_sim_fail("gnp_free: %zu bytes were asked for, %zu are given back", h->size, size);
    h->magic = 0;
    memset(p, STALE, size);
    sim.blocks--;
    sim.bytes -= size;
    free(h);
}

static void *sim_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    void *q = sim_alloc(new_size, user);

    if (q == NULL)
        return NULL;
    memcpy(q, p, old_size < new_size ? old_size : new_size);
    sim_free(p, old_size, user);
    return q;
}

static const gnp_mem own_hooks = { sim_alloc, sim_realloc, sim_free, NULL };
static gnp_mem hooks = { sim_alloc, sim_realloc, sim_free, NULL };

void gnp_mem_hooks(const gnp_mem *m)
{
    hooks = m != NULL ? *m : own_hooks;
}

void *gnp_alloc(size_t size)
{
    void *p;

    gnp_sim_call();
    p = hooks.alloc(size != 0 ? size : 1, hooks.user);
    gnp_sim_mark("alloc", (int64_t)size, 0, p != NULL);
    return p;
}

void *gnp_zalloc(size_t size)
{
    void *p = gnp_alloc(size);

    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void *gnp_realloc(void *p, size_t old_size, size_t new_size)
{
    if (p == NULL)
        return gnp_alloc(new_size);
    gnp_sim_call();
    p = hooks.realloc(p, old_size != 0 ? old_size : 1, new_size != 0 ? new_size : 1, hooks.user);
    gnp_sim_mark("realloc", (int64_t)old_size, (int64_t)new_size, p != NULL);
    return p;
}

void gnp_free(void *p, size_t size)
{
    if (p == NULL)
        return;
    gnp_sim_mark("free", (int64_t)size, 0, 0);
    hooks.free(p, size != 0 ? size : 1, hooks.user);
}

uint64_t gnp_sim_blocks(void)
{
    return sim.blocks;
}
