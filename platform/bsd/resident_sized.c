/* SPDX-License-Identifier: MIT */
/* What NetBSD and OpenBSD tell of a process: a struct of p_vm_rssize and more, of which the caller says how
 * much it knows.  NetBSD kept the older call beside it and has another name for this one. */
#include "../sys.h"

#include <sys/param.h>
#include <sys/sysctl.h>

#include <unistd.h>

#ifdef KERN_PROC2
#  define PROCESS KERN_PROC2
typedef struct kinfo_proc2 process;
#else
#  define PROCESS KERN_PROC
typedef struct kinfo_proc process;
#endif

uint64_t gnp_resident(void)
{
    process p;
    int name[6] = { CTL_KERN, PROCESS, KERN_PROC_PID, (int)getpid(), (int)sizeof(p), 1 };
    size_t n = sizeof(p);

    if (sysctl(name, 6, &p, &n, NULL, 0) != 0 || n < sizeof(p))
        return 0;
    return (uint64_t)p.p_vm_rssize * (uint64_t)sysconf(_SC_PAGESIZE);
}
