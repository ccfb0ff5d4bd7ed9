/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <sys/prctl.h>

void gnp_px_thread_name(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
