/* SPDX-License-Identifier: MIT */
#ifndef GNP_BSD_CRED_H
#define GNP_BSD_CRED_H

#include <stdint.h>

/* The process that connected, or made the listener, to which fd is connected; -1: unknown. */
int64_t gnp_bsd_peer_pid(int fd);

#endif
