/* SPDX-License-Identifier: MIT */
/* Counts the engines of the process: while there is one, the allocator must not change. */
#ifndef GNI_MEMORY_H
#define GNI_MEMORY_H

/* add comes before the engine takes its first memory, sub after it gave back its last.  [any] */
void gni_engines_add(void);
void gni_engines_sub(void);

#endif
