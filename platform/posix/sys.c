/* SPDX-License-Identifier: MIT */
#include "../sys.h"
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* macOS says that there is no limit, and refuses what is above one that is not told (setrlimit(2): OPEN_MAX,
 * 10,240, or more): found by halves from here. */
#define NO_LIMIT ((rlim_t)64 * 10240)

int gnp_sys_init(void)
{
    gnp_px_cpu_init();
    return GNP_OK;
}

const char *gnp_env(const char *name)
{
    return getenv(name);
}

static int write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t r = write(fd, text, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return gnp_px_fail(r < 0 ? errno : EIO);
        text += r;
        n -= (size_t)r;
    }
    return GNP_OK;
}

void gnp_stderr(const char *text, size_t n)
{
    (void)write_all(STDERR_FILENO, text, n);
}

int gnp_append_open(const char *path, intptr_t *out)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0)
        return gnp_px_fail(errno);
    *out = fd;
    return GNP_OK;
}

int gnp_append(intptr_t file, const char *text, size_t n)
{
    return write_all((int)file, text, n);
}

void gnp_append_close(intptr_t file)
{
    (void)close((int)file);
}

int gnp_stderr_is_terminal(void)
{
    return isatty(STDERR_FILENO);
}

uint64_t gnp_process_cpu(void)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

uint64_t gnp_descriptor_limit(int raise)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        return 0;
    if (raise && l.rlim_cur != l.rlim_max) {
        rlim_t before = l.rlim_cur, most = NO_LIMIT;
        l.rlim_cur = l.rlim_max;
        while (setrlimit(RLIMIT_NOFILE, &l) != 0) {
            l.rlim_cur = most > before ? most : before;
            if (most <= before)
                break;
            most /= 2;
        }
        /* FreeBSD and OpenBSD cut it to kern.maxfilesperproc or kern.maxfiles without a word. */
        if (getrlimit(RLIMIT_NOFILE, &l) != 0)
            return 0;
    }
    return l.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)l.rlim_cur;
}

int gnp_descriptor_limit_set(uint64_t n)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        return gnp_px_fail(errno);
    l.rlim_cur = n == UINT64_MAX ? RLIM_INFINITY : (rlim_t)n;
    if (setrlimit(RLIMIT_NOFILE, &l) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}
