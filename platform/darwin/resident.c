/* SPDX-License-Identifier: MIT */
#include "../sys.h"

#include <mach/mach.h>

uint64_t gnp_resident(void)
{
    struct mach_task_basic_info i;
    mach_msg_type_number_t n = MACH_TASK_BASIC_INFO_COUNT;

    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&i, &n) != KERN_SUCCESS)
        return 0;
    return i.resident_size;
}
