/* SPDX-License-Identifier: MIT */
/* What DragonFly tells of a process: struct kinfo_proc of <sys/kinfo.h>, with kp_vm_rssize. */
#include "../sys.h"

#include <sys/param.h>
#include <sys/sysctl.h>
#include <sys/kinfo.h>

#include <unistd.h>

uint64_t gnp_resident(void)
{
    int name[4] = { CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)getpid() };
    struct kinfo_proc p;
    size_t n = sizeof(p);

    if (sysctl(name, 4, &p, &n, NULL, 0) != 0 || n < sizeof(p))
        return 0;
    return (uint64_t)p.kp_vm_rssize * (uint64_t)sysconf(_SC_PAGESIZE);
}
