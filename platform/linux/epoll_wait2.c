/* SPDX-License-Identifier: MIT */
/* Waiting by epoll_pwait2 (Linux 5.11), which takes nanoseconds.  By system call, since the
 * C library may be older than the kernel; and the kernel may be older than the headers. */
#include "epoll.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static gnp_atomic32 missing;

int gnp_epoll_wait_ns(int fd, struct epoll_event *events, int max, uint64_t ns)
{
    /* The kernel's own timespec: 64 bits also where time_t has 32. */
    struct { int64_t sec, nsec; } ts;
    int r;

    if (gnp_load32(&missing) == 0) {
        ts.sec = (int64_t)(ns / 1000000000u);
        ts.nsec = (int64_t)(ns % 1000000000u);
        r = (int)syscall(SYS_epoll_pwait2, fd, events, max, &ts, NULL, (size_t)0);
        if (r >= 0 || (errno != ENOSYS && errno != EPERM)) /* EPERM: old seccomp filters of containers */
            return r;
        gnp_store32(&missing, 1);
    }
    return epoll_wait(fd, events, max, gnp_epoll_ms(ns));
}
