/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <pthread.h>

void gnp_px_thread_name(const char *name)
{
    (void)pthread_setname_np(name);
}
