/* SPDX-License-Identifier: MIT */
/* The pollers of a system about which nothing is known but POSIX. */
#include "poll.h"

const gnp_ops *const gnp_backends[] = { &gnp_poll_ops, NULL };
