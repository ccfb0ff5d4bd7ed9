/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include "../cpu.h"
#include "../sys.h"

#include <limits.h>

/* The mask that the process has had at first; of its first processor group only, since a process is in more
 * than one only by its own doing before Windows 11. */
static gnp_atomic64 allowed;

static uint64_t mask_now(void)
{
    DWORD_PTR process, machine;

    return GetProcessAffinityMask(GetCurrentProcess(), &process, &machine) ? process : 0;
}

static uint64_t mask(void)
{
    uint64_t m = gnp_load64(&allowed);

    if (m == 0) {
        m = mask_now();
        gnp_store64(&allowed, m);
    }
    return m;
}

static unsigned bits_of(uint64_t m)
{
    unsigned n = 0;

    for (; m != 0; m &= m - 1)
        n++;
    return n;
}

/* CPUs that a job object leaves to us, rounded up; UINT_MAX without a limit. */
static unsigned quota(void)
{
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION r;
    const DWORD hard = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    uint64_t all = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);

    if (!QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &r, sizeof(r), NULL) ||
        (r.ControlFlags & hard) != hard || all == 0)
        return UINT_MAX;
    return (unsigned)((all * r.CpuRate + 9999) / 10000); /* hundredths of a per cent of the machine */
}

unsigned gnp_cpu_count(void)
{
    unsigned n = bits_of(mask()), limit = quota();

    if (n == 0) /* 0 for a process with threads in several groups */
        n = (unsigned)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    if (n > limit)
        n = limit;
    return n > 0 ? n : 1;
}

int gnp_cpu_pin(unsigned i)
{
    uint64_t m = mask();
    unsigned n = bits_of(m);

    if (n == 0)
        return GNP_ENOTSUP;
    for (i %= n; i > 0; i--)
        m &= m - 1;
    m &= ~m + 1;
    return SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)m) != 0 ? GNP_OK : gnp_wx_fail_last();
}

void gnp_cpu_relax(void)
{
    YieldProcessor();
}
