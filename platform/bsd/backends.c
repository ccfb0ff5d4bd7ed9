/* SPDX-License-Identifier: MIT */
#include "../posix/poll.h"
#include "kqueue.h"

const gnp_ops *const gnp_backends[] = { &gnp_kqueue_ops, &gnp_poll_ops, NULL };
