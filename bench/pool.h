/* SPDX-License-Identifier: MIT */
/* The worker pools that bench/pool compares. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

typedef struct bench_pool {
    const char *name;
    /* 0 if it cannot be had; NULL if it was not built. */
    int (*open)(unsigned workers);
    /* Hands in so many tasks that do nothing, one by one, and returns when all are done. */
    void (*round)(unsigned depth);
    void (*close)(void);
} bench_pool;

#define BENCH_POOL_DEPTH_MAX 1024u

extern const bench_pool bench_pool_glib, bench_pool_uv;

/* For pools that do not tell when all is done: expect comes before the tasks, each task calls
 * did, and the last one wakes the thread that is in await. */
void bench_pool_expect(unsigned n);
void bench_pool_did(void);
void bench_pool_await(void);

#endif
