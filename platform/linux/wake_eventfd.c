/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int gnp_px_wake_open(int *rd, int *wr)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return gnp_px_fail(errno);
    *rd = *wr = fd;
    return GNP_OK;
}

/* Runs in signal handlers.  An epoll poller never reads the counter: it would take 2^64 wakes
 * to fill it. */
void gnp_px_wake_signal(int wr)
{
    static const uint64_t one = 1;
    int saved = errno;

    while (write(wr, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void gnp_px_wake_drain(int rd)
{
    uint64_t count;

    while (read(rd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}
