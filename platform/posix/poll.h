/* SPDX-License-Identifier: MIT */
#ifndef GNP_POSIX_POLL_H
#define GNP_POSIX_POLL_H

#include "../backend.h"

extern const gnp_ops gnp_poll_ops; /* poll(2) */

#endif
