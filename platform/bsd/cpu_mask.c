/* SPDX-License-Identifier: MIT */
/* FreeBSD and DragonFly: a mask of fixed size, whose type and macros come with pthread_np.h. */
#include "../cpu.h"
#include "../err.h"
#include "../posix/posix.h"

#include <sys/param.h>

#include <errno.h>
#include <pthread.h>
#include <pthread_np.h>
#include <unistd.h>

static unsigned short allowed[CPU_SETSIZE]; /* CPU numbers */
static unsigned allowed_n;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_mask(void)
{
    cpuset_t set;
    unsigned i;

    CPU_ZERO(&set);
    if (pthread_getaffinity_np(pthread_self(), sizeof(set), &set) != 0)
        return;
    for (i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &set))
            allowed[allowed_n++] = (unsigned short)i;
    }
}

void gnp_px_cpu_init(void)
{
    pthread_once(&once, read_mask);
}

/* The set that a jail or cpuset(1) leaves may be smaller than the machine, and the mask of a process that
 * nobody restricted larger. */
unsigned gnp_cpu_count(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = online > 0 ? (unsigned)online : 1;

    gnp_px_cpu_init();
    return allowed_n > 0 && allowed_n < n ? allowed_n : n;
}

int gnp_cpu_pin(unsigned i)
{
    unsigned n = gnp_cpu_count();
    cpuset_t set;
    int e;

    if (allowed_n == 0)
        return GNP_ENOTSUP;
    CPU_ZERO(&set);
    CPU_SET(allowed[i % n], &set);
    e = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    return e == 0 ? GNP_OK : gnp_px_fail(e);
}
