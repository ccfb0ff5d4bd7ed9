/* SPDX-License-Identifier: MIT */
#include "../cpu.h"
#include "../err.h"
#include "../posix/posix.h"
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* The mask may be wider than cpu_set_t's 1,024 bits; the kernel refuses one that is too short
 * for it.  CONFIG_NR_CPUS ends at 8,192. */
#define CPUS_MAX 8192

static unsigned short allowed[CPUS_MAX]; /* CPU numbers */
static unsigned allowed_n;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_mask(void)
{
    static unsigned char mask[CPU_ALLOC_SIZE(CPUS_MAX)] __attribute__((aligned(sizeof(long))));
    cpu_set_t *set = (cpu_set_t *)(void *)mask;
    unsigned i;

    if (sched_getaffinity(0, sizeof(mask), set) != 0)
        return;
    for (i = 0; i < CPUS_MAX; i++) {
        if (CPU_ISSET_S(i, sizeof(mask), set))
            allowed[allowed_n++] = (unsigned short)i;
    }
}

void gnp_px_cpu_init(void)
{
    pthread_once(&once, read_mask);
}

static int read_file(void *ctx, const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t r = 1;

    (void)ctx;
    if (fd < 0)
        return -1;
    while (n + 1 < cap && r > 0) {
        r = read(fd, buf + n, cap - 1 - n);
        n += r > 0 ? (size_t)r : 0;
    }
    close(fd);
    buf[n] = '\0';
    return r < 0 ? -1 : (int)n;
}

unsigned gnp_cpu_count(void)
{
    unsigned n, quota;

    gnp_px_cpu_init();
    n = allowed_n;
    if (n == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        n = online > 0 ? (unsigned)online : 1;
    }
    quota = gnp_linux_cgroup_cpus(read_file, NULL);
    return quota != 0 && quota < n ? quota : n;
}

int gnp_cpu_pin(unsigned i)
{
    unsigned char mask[CPU_ALLOC_SIZE(CPUS_MAX)] __attribute__((aligned(sizeof(long)))) = { 0 };
    cpu_set_t *set = (cpu_set_t *)(void *)mask;

    gnp_px_cpu_init();
    if (allowed_n == 0)
        return GNP_ENOTSUP;
    CPU_SET_S(allowed[i % allowed_n], sizeof(mask), set);
    if (sched_setaffinity(0, sizeof(mask), set) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}
