/* SPDX-License-Identifier: MIT */
#ifndef GNP_MEM_H
#define GNP_MEM_H

#include <stddef.h>

/*
 * The one door to memory.  The platform layer takes its own memory through the
 * same hooks as the core, so that a user's allocator sees all of it.
 * gnp_mem_hooks replaces them; NULL restores malloc.  [setup]
 */
typedef struct gnp_mem {
    void *(*alloc)(size_t size, void *user);
    void *(*realloc)(void *p, size_t old_size, size_t new_size, void *user);
    void (*free)(void *p, size_t size, void *user);
    void *user;
} gnp_mem;

void gnp_mem_hooks(const gnp_mem *m);

/* NULL when there is none.  Not zeroed.  [any] */
void *gnp_alloc(size_t size);
/* Zeroed.  [any] */
void *gnp_zalloc(size_t size);
/* old_size is the size asked for before; p NULL allocates.  On NULL p is untouched.  [any] */
void *gnp_realloc(void *p, size_t old_size, size_t new_size);
/* size is the size asked for; p may be NULL.  [any] */
void gnp_free(void *p, size_t size);

#endif
