/* SPDX-License-Identifier: MIT */
/* No packet info. */
#include "dgram.h"

void gnp_px_control_read(struct msghdr *m, gnp_dgram *out, gnp_addr *local)
{
    (void)m;
    (void)out;
    (void)local;
}
