/* SPDX-License-Identifier: MIT */
/*
 * What a task costs in a worker pool, from handing it in to the end of the last one: gannet's and, where
 * they were found, those of libuv and GLib.  A round hands in as many tasks as the depth says and waits
 * for all of them.  All pools are open at once and take turns in short slices, so that what
 * disturbs meets all of them; the least and the median of the slices are shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gannet.h>

#include "../platform/platform.h"
#include "pool.h"

#define SLICES_MAX 1000u
#define NS_PER_MS UINT64_C(1000000)

/* ----------------------------------------------------------------- waiting */

static gnp_mutex lock;
static gnp_cond cond;
static gnp_atomic32 left;
static int all_done;

void bench_pool_expect(unsigned n)
{
    all_done = 0;
    gnp_store32(&left, n);
}

void bench_pool_did(void)
{
    if (gnp_sub32(&left, 1) == 1) {
        gnp_mutex_lock(&lock);
        all_done = 1;
        gnp_cond_signal(&cond);
        gnp_mutex_unlock(&lock);
    }
}

void bench_pool_await(void)
{
    gnp_mutex_lock(&lock);
    while (!all_done)
        gnp_cond_wait(&cond, &lock);
    gnp_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ gannet */

static gn_pool *pool;

static void task(int status, void *arg)
{
    (void)status;
    (void)arg;
    bench_pool_did();
}

static int gannet_open(unsigned workers)
{
    gn_pool_options o;
    gn_pool_options_init(&o);
    o.capacity = workers;
    o.expiry_ns = UINT64_MAX;
    return gn_pool_create(&pool, &o) == GN_OK;
}

static void gannet_round(unsigned depth)
{
    bench_pool_expect(depth);
    for (unsigned i = 0; i < depth; i++) {
        if (gn_pool_submit(pool, task, NULL) != GN_OK)
            abort();
    }
    bench_pool_await();
}

static void gannet_close(void)
{
    (void)gn_pool_destroy(pool);
}

static const bench_pool gannet = { "gannet", gannet_open, gannet_round, gannet_close };
static const bench_pool *const pools[] = { &gannet, &bench_pool_uv, &bench_pool_glib };
static const unsigned depths[] = { 1, 64, 1024 };
enum { POOLS = sizeof pools / sizeof pools[0], DEPTHS = sizeof depths / sizeof depths[0] };

/* ------------------------------------------------------------------ slices */

static int is_open[POOLS];
static double slices[POOLS][SLICES_MAX];

/* Nanoseconds a task over about so long a time. */
static double slice(const bench_pool *b, unsigned depth, uint64_t ns)
{
    uint64_t begin = gnp_now(), now, tasks = 0;
    do {
        b->round(depth);
        tasks += depth;
        now = gnp_now();
    } while (now - begin < ns);
    return (double)(now - begin) / (double)tasks;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(unsigned depth, unsigned count)
{
    for (unsigned p = 0; p < POOLS; p++)
        qsort(slices[p], count, sizeof slices[p][0], by_size);
    for (unsigned p = 0; p < POOLS; p++) {
        if (!is_open[p])
            continue;
        printf("%6u  %-8s %12.1f %12.1f", depth, pools[p]->name, slices[p][0], slices[p][count / 2]);
        if (p > 0 && is_open[0])
            printf(" %12.2f %12.2f", slices[p][0] / slices[0][0],
                   slices[p][count / 2] / slices[0][count / 2]);
        printf("\n");
    }
}

static void measure(unsigned depth, unsigned count, uint64_t ns)
{
    for (unsigned s = 0; s < count; s++) {
        for (unsigned i = 0; i < POOLS; i++) {
            unsigned p = (s + i) % POOLS; /* each round begins with another one */
            if (!is_open[p])
                continue;
            (void)slice(pools[p], depth, ns / 8);
            slices[p][s] = slice(pools[p], depth, ns);
        }
    }
    report(depth, count);
}

/* The number after a flag, or what it is without; ends the program if it makes no sense. */
static unsigned number(int argc, char **argv, const char *flag, unsigned value, unsigned most)
{
    for (int i = 1; i < argc; i += 2) {
        char *end;
        unsigned long v;
        if (strcmp(argv[i], flag) != 0)
            continue;
        v = i + 1 < argc ? strtoul(argv[i + 1], &end, 10) : 0;
        if (i + 1 == argc || *end != '\0' || v == 0 || v > most) {
            fprintf(stderr, "pool: %s wants a number from 1 to %u\n", flag, most);
            exit(2);
        }
        value = (unsigned)v;
    }
    return value;
}

static void usage(int argc, char **argv)
{
    static const char *const flags[] = { "--workers", "--slices", "--ms", "--depth", "--only" };
    enum { FLAGS = sizeof flags / sizeof flags[0] };
    for (int i = 1; i < argc; i += 2) {
        unsigned k = 0;
        while (k < FLAGS && strcmp(argv[i], flags[k]) != 0)
            k++;
        if (k == FLAGS) {
            fprintf(stderr, "usage: pool [--workers 2] [--slices 40] [--ms 25] [--depth N] [--only POOL]\n");
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    usage(argc, argv);
    unsigned workers = number(argc, argv, "--workers", 2, 128);
    unsigned count = number(argc, argv, "--slices", 40, SLICES_MAX);
    uint64_t ns = number(argc, argv, "--ms", 25, 10000) * NS_PER_MS;

    unsigned depth = number(argc, argv, "--depth", 0, BENCH_POOL_DEPTH_MAX); /* 0: the usual ones */
    unsigned only = number(argc, argv, "--only", 0, POOLS); /* the first, second... of them */

    if (gnp_mutex_init(&lock) != GNP_OK || gnp_cond_init(&cond) != GNP_OK)
        return 1;
    for (unsigned p = 0; p < POOLS; p++)
        is_open[p] = (only == 0 || only == p + 1) && pools[p]->open != NULL && pools[p]->open(workers);
    printf("%u workers, %u slices of %u ms each; ns a task, and times gannet's\n", workers, count,
           (unsigned)(ns / NS_PER_MS));
    printf("%6s  %-8s %12s %12s %12s %12s\n", "depth", "pool", "least", "median", "of least", "of median");
    for (unsigned d = 0; d < (depth != 0 ? 1u : (unsigned)DEPTHS); d++)
        measure(depth != 0 ? depth : depths[d], count, ns);
    for (unsigned p = 0; p < POOLS; p++) {
        if (is_open[p])
            pools[p]->close();
    }
    return 0;
}
