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

/* The same for the options of one listener.  Pointers in it stay the caller's. */
int gni_listen_options_take(gn_listen_options *out, const gn_listen_options *in);

/* Fills in the first size bytes of *out from all, which has known bytes, and zeroes what is beyond. */
void gni_options_fill(void *out, size_t size, const void *all, size_t known);

#endif
