/* SPDX-License-Identifier: MIT */
/* In place of pool-uv.c without libuv. */
#include <stddef.h>

#include "../pool.h"

const bench_pool bench_pool_uv = { "libuv", NULL, NULL, NULL };
