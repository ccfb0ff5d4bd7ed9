/* SPDX-License-Identifier: MIT */
/* In place of pool-glib.c without GLib. */
#include <stddef.h>

#include "../pool.h"

const bench_pool bench_pool_glib = { "GLib", NULL, NULL, NULL };
