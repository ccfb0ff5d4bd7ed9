/* SPDX-License-Identifier: MIT */
/* libuv's thread pool, as its documentation has it: uv_queue_work, and the loop tells the end. */
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "../pool.h"

static uv_loop_t loop;
static uv_work_t requests[BENCH_POOL_DEPTH_MAX];

static void work(uv_work_t *request)
{
    (void)request;
}

static void after(uv_work_t *request, int status)
{
    (void)request;
    (void)status;
}

/* The number of threads is the process's and is read when the first task comes. */
static int uv_pool_open(unsigned workers)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", workers);
    return setenv("UV_THREADPOOL_SIZE", text, 1) == 0 && uv_loop_init(&loop) == 0;
}

static void uv_pool_round(unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        if (uv_queue_work(&loop, &requests[i], work, after) != 0)
            abort();
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

static void uv_pool_close(void)
{
    (void)uv_loop_close(&loop);
}

const bench_pool bench_pool_uv = { "libuv", uv_pool_open, uv_pool_round, uv_pool_close };
