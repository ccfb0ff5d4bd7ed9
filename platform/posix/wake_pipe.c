/* SPDX-License-Identifier: MIT */
/* The wake-up by a pipe, which every POSIX system has. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int prepare(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

int gnp_px_wake_open(int *rd, int *wr)
{
    int fd[2], r;

    if (pipe(fd) != 0)
        return gnp_px_fail(errno);
    if (prepare(fd[0]) && prepare(fd[1])) {
        *rd = fd[0];
        *wr = fd[1];
        return GNP_OK;
    }
    r = gnp_px_fail(errno);
    close(fd[0]);
    close(fd[1]);
    return r;
}

/* Runs in signal handlers. */
void gnp_px_wake_signal(int wr)
{
    int saved = errno;

    while (write(wr, "", 1) < 0 && errno == EINTR)
        ;
    errno = saved;
}

/* One byte at most is in it, see gnp_px_wake. */
void gnp_px_wake_drain(int rd)
{
    char c;

    while (read(rd, &c, 1) < 0 && errno == EINTR)
        ;
}
