/* SPDX-License-Identifier: MIT */
#include "../bsd/kqueue.h"
#include "../posix/poll.h"
#include "epoll.h"

const gnp_ops *const gnp_backends[] = { &gnp_epoll_ops, &gnp_kqueue_ops, &gnp_poll_ops, NULL };
