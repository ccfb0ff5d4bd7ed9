/* SPDX-License-Identifier: MIT */
/* FreeBSD, OpenBSD, DragonFly. */
#include "../posix/posix.h"

#include <pthread.h>
#include <pthread_np.h>

void gnp_px_thread_name(const char *name)
{
    pthread_set_name_np(pthread_self(), name);
}
