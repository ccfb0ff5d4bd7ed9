/* SPDX-License-Identifier: MIT */
#ifndef GNI_OPTIONS_H
#define GNI_OPTIONS_H

#include "../include/gannet.h"

/* Copies the caller's options (of whatever size its header had; NULL: all defaults) into a
 * whole struct, checks every field and fills in what 0 stands for.  GN_EINVAL with a
 * logged reason when a value is absurd. */
int gni_options_take(gn_options *out, const gn_options *in);

/*
 * Copies what the caller's header knows of a struct that begins with its size over the defaults in out,
 * which has known bytes.  Sizes of real structs are multiples of their alignment; a field added later must
 * not lie in what was padding, or an older caller's padding would be read as its value.  GN_EINVAL.
 */
int gni_options_copy(void *out, size_t known, const void *in);

#endif
