/* SPDX-License-Identifier: MIT */
#include "win32.h"

const gnp_ops *const gnp_backends[] = { &gnp_iocp_ops, &gnp_afd_ops, NULL };
