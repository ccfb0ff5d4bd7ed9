/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "../include/gannet.h"
#include "../platform/atomic.h"
#include "../platform/mem.h"

static gnp_atomic32 engines;

void gni_engines_add(void)
{
    gnp_add32(&engines, 1);
}

void gni_engines_sub(void)
{
    gnp_sub32(&engines, 1);
}

int gn_set_allocator(const gn_allocator *a)
{
    gnp_mem m;

    if (a != NULL && (a->alloc == NULL || a->realloc == NULL || a->free == NULL))
        return GN_EINVAL;
    if (gnp_load32(&engines) != 0)
        return GN_EBUSY;
    if (a == NULL) {
        gnp_mem_hooks(NULL);
        return GN_OK;
    }
    m.alloc = a->alloc;
    m.realloc = a->realloc;
    m.free = a->free;
    m.user = a->user;
    gnp_mem_hooks(&m);
    return GN_OK;
}
