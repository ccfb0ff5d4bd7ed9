/* SPDX-License-Identifier: MIT */
/* NetBSD: a set is an object.  One that is empty says that the thread may run anywhere; and only those who
 * may (security.models.extensions.user_set_cpu_affinity) can pin. */
#include "../cpu.h"
#include "../err.h"
#include "../posix/posix.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define CPUS_MAX 1024u /* MAXCPUS is 256 at most */

static unsigned short allowed[CPUS_MAX]; /* CPU numbers */
static unsigned allowed_n;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_set(void)
{
    cpuset_t *set = cpuset_create();
    unsigned i;

    if (set == NULL)
        return;
    if (pthread_getaffinity_np(pthread_self(), cpuset_size(set), set) == 0) {
        for (i = 0; i < CPUS_MAX && i < cpuset_size(set) * 8; i++) {
            if (cpuset_isset(i, set) > 0)
                allowed[allowed_n++] = (unsigned short)i;
        }
    }
    cpuset_destroy(set);
}

void gnp_px_cpu_init(void)
{
    pthread_once(&once, read_set);
}

unsigned gnp_cpu_count(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    gnp_px_cpu_init();
    if (allowed_n > 0)
        return allowed_n;
    return online > 0 ? (unsigned)online : 1;
}

int gnp_cpu_pin(unsigned i)
{
    unsigned n = gnp_cpu_count();
    cpuset_t *set = cpuset_create();
    int e;

    if (set == NULL)
        return GNP_ENOMEM;
    cpuset_set(allowed_n > 0 ? allowed[i % n] : i % n, set);
    e = pthread_setaffinity_np(pthread_self(), cpuset_size(set), set);
    cpuset_destroy(set);
    return e == 0 ? GNP_OK : gnp_px_fail(e);
}
