/* SPDX-License-Identifier: MIT */
#include "mem.h"

#include <stdlib.h>
#include <string.h>

static void *libc_alloc(size_t size, void *user)
{
    (void)user;
    return malloc(size);
}

static void *libc_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    (void)old_size;
    (void)user;
    return realloc(p, new_size);
}

static void libc_free(void *p, size_t size, void *user)
{
    (void)size;
    (void)user;
    free(p);
}

static const gnp_mem libc_hooks = { libc_alloc, libc_realloc, libc_free, NULL };
static gnp_mem hooks = { libc_alloc, libc_realloc, libc_free, NULL };

void gnp_mem_hooks(const gnp_mem *m)
{
    hooks = m != NULL ? *m : libc_hooks;
}

/* Never asks for 0 bytes: what an allocator answers then differs, and NULL means none here. */
void *gnp_alloc(size_t size)
{
    return hooks.alloc(size != 0 ? size : 1, hooks.user);
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
    return hooks.realloc(p, old_size != 0 ? old_size : 1, new_size != 0 ? new_size : 1, hooks.user);
}

void gnp_free(void *p, size_t size)
{
    if (p != NULL)
        hooks.free(p, size != 0 ? size : 1, hooks.user);
}
