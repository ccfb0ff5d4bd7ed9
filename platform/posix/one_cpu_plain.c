/* SPDX-License-Identifier: MIT */
#include "../sim/world.h"

/* POSIX has no affinity: the host's scheduler has to see that the threads never run at once. */
void gnp_sim_one_cpu(void)
{
}
