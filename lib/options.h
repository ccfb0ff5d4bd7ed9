/* SPDX-License-Identifier: MIT */
#ifndef GNI_OPTIONS_H
#define GNI_OPTIONS_H

#include "../include/gannet.h"

/* Copies the caller's options (of whatever size its header had; NULL: all defaults) into a
 * whole struct, checks every field and fills in what 0 stands for.  GN_EINVAL with a
 * logged reason when a value is absurd. */
int gni_options_take(gn_options *out, const gn_options *in);

#endif
