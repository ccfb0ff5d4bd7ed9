/* SPDX-License-Identifier: MIT */
#ifndef GNP_CPU_H
#define GNP_CPU_H

/* CPUs that this process may really use: online, within its affinity mask and its
 * container's quota (rounded up).  At least 1.  [any] */
unsigned gnp_cpu_count(void);

/* Binds the calling thread to the i-th CPU (modulo their number) of those that the
 * process was allowed when it started.  GNP_ENOTSUP where there is no such thing.  [any] */
int gnp_cpu_pin(unsigned i);

/* A hint to the CPU inside a short spin.  [any] */
void gnp_cpu_relax(void);

#endif
