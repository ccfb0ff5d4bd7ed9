/* SPDX-License-Identifier: MIT */
/* NetBSD: the name is a format with one argument. */
#include "../posix/posix.h"

#include <pthread.h>
#include <stdint.h>

void gnp_px_thread_name(const char *name)
{
    (void)pthread_setname_np(pthread_self(), "%s", (void *)(uintptr_t)name);
}
