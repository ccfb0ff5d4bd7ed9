/* SPDX-License-Identifier: MIT */
/* Waiting where the headers do not know epoll_pwait2. */
#include "epoll.h"

int gnp_epoll_wait_ns(int fd, struct epoll_event *events, int max, uint64_t ns)
{
    return epoll_wait(fd, events, max, gnp_epoll_ms(ns));
}
