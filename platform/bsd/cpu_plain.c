/* SPDX-License-Identifier: MIT */
/* OpenBSD (hw.ncpuonline) and macOS: no thread is pinned. */
#include "../cpu.h"
#include "../err.h"
#include "../posix/posix.h"

#include <unistd.h>

void gnp_px_cpu_init(void)
{
}

unsigned gnp_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (unsigned)n : 1;
}

int gnp_cpu_pin(unsigned i)
{
    (void)i;
    return GNP_ENOTSUP;
}
