/* SPDX-License-Identifier: MIT */
/* GLib's GThreadPool with threads of its own. */
#include <stdlib.h>

#include <glib.h>

#include "../pool.h"

static GThreadPool *threads;

static void work(gpointer data, gpointer user)
{
    (void)data;
    (void)user;
    bench_pool_did();
}

static int glib_open(unsigned workers)
{
    threads = g_thread_pool_new(work, NULL, (gint)workers, TRUE, NULL);
    return threads != NULL;
}

static void glib_round(unsigned depth)
{
    bench_pool_expect(depth);
    for (unsigned i = 0; i < depth; i++) {
        if (!g_thread_pool_push(threads, &threads, NULL))
            abort();
    }
    bench_pool_await();
}

static void glib_close(void)
{
    g_thread_pool_free(threads, FALSE, TRUE);
}

const bench_pool bench_pool_glib = { "GLib", glib_open, glib_round, glib_close };
