/* SPDX-License-Identifier: MIT */
/* The CPU quota of the control groups that this process is in. */
#ifndef GNP_LINUX_CGROUP_H
#define GNP_LINUX_CGROUP_H

#include <stddef.h>

/* Reads a file as text, zero-terminated and cut to cap; its length, or -1. */
typedef int gnp_linux_read(void *ctx, const char *path, char *buf, size_t cap);

/* CPUs that the tightest quota from the process's group up to the root allows, rounded up;
 * 0: no quota, or none that can be read.  Versions 1 and 2, also a mixture of both. */
unsigned gnp_linux_cgroup_cpus(gnp_linux_read *read, void *ctx);

#endif
