/* SPDX-License-Identifier: MIT */
/*
 * What a timer costs while many are live: set, cancel and set again in random order, re-arm, fire; the
 * mean of each, and the worst single operation.  peers/uv-timers is the same with libuv.
 *
 * Usage: timers [COUNT]
 */
#include <stdio.h>
#include <stdlib.h>

#include <gannet.h>

#include "platform/platform.h"

#define SECOND UINT64_C(1000000000)

/* They fire within a minute, as the deadlines of connections do.  When firing is measured they are spread
 * over half a second, and the loop sleeps until all are due. */
#define SPREAD_NS (60 * SECOND)
#define FIRE_NS (SECOND / 2)

typedef struct bench {
    gn_timer *timer;
    uint32_t *order;
    unsigned count;
    uint64_t fired, random;
    uint64_t first, last; /* firing */
    gnp_atomic32 done;
} bench;

static uint64_t next_random(bench *b)
{
    uint64_t z = b->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void shuffle(bench *b)
{
    for (unsigned i = b->count - 1; i > 0; i--) {
        unsigned k = (unsigned)(next_random(b) % (i + 1));
        uint32_t t = b->order[i];
        b->order[i] = b->order[k];
        b->order[k] = t;
    }
}

static void nothing(gn_loop *l, gn_timer *t, void *arg)
{
    (void)l;
    (void)t;
    (void)arg;
}

static void finish(gn_loop *l, gn_timer *t, void *arg)
{
    bench *b = arg;
    (void)l;
    (void)t;
    if (b->fired++ == 0) {
        b->first = gnp_now();
    }
    if (b->fired == b->count) {
        b->last = gnp_now();
        gnp_store32(&b->done, 1);
    }
}

typedef enum what { SET, CANCEL, REARM } what;

static void one(gn_loop *l, bench *b, what w, unsigned i, uint64_t delay)
{
    if (w == CANCEL) {
        (void)gn_timer_stop(l, &b->timer[i]);
    } else {
        (void)gn_timer_start(l, &b->timer[i], delay, 0, nothing, b);
    }
}

/* The mean without looking at the clock, then the worst by looking each time. */
static void measure(gn_loop *l, bench *b, what w, const char *name)
{
    uint64_t worst = 0;
    uint64_t *delay = malloc(b->count * sizeof *delay);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < b->count; i++) {
            delay[i] = next_random(b) % SPREAD_NS + SECOND;
            if (w == SET) {
                one(l, b, SET, i, SECOND); /* its page is there from now on */
                one(l, b, CANCEL, i, 0);
            } else {
                one(l, b, SET, i, next_random(b) % SPREAD_NS + SECOND);
            }
        }
        if (w != SET) {
            shuffle(b);
        }
        uint64_t start = gnp_now();
        for (unsigned i = 0; pass == 0 && i < b->count; i++) {
            one(l, b, w, b->order[i], delay[i]);
        }
        if (pass == 0) {
            printf("gannet %s count=%u ns=%.1f", name, b->count, (double)(gnp_now() - start) / b->count);
        }
        for (unsigned i = 0; pass == 1 && i < b->count; i++) {
            uint64_t before = gnp_now();
            one(l, b, w, b->order[i], delay[i]);
            uint64_t took = gnp_now() - before;
            worst = took > worst ? took : worst;
        }
    }
    printf(" worst=%llu\n", (unsigned long long)worst);
    free(delay);
}

static void run(gn_handle h, int status, void *arg)
{
    bench *b = arg;
    gn_loop *l = gn_loop_current();
    (void)h;
    (void)status;
    for (unsigned i = 0; i < b->count; i++) {
        b->order[i] = i;
    }
    measure(l, b, SET, "set");
    measure(l, b, CANCEL, "cancel");
    measure(l, b, REARM, "re-arm");
    shuffle(b);
    uint64_t start = gnp_now();
    uint64_t from = start - gn_now() + SECOND;
    for (unsigned i = 0; i < b->count; i++) {
        (void)gn_timer_start(l, &b->timer[b->order[i]], from + next_random(b) % FIRE_NS, 0, finish, b);
    }
    gnp_sleep_until(start + SECOND * 2);
}

int main(int argc, char **argv)
{
    static const gn_handler h = { .on_open = NULL };
    static bench b;
    int n = argc > 1 ? atoi(argv[1]) : 1000000;
    if (n < 1) {
        fprintf(stderr, "usage: timers [COUNT]\n");
        return 2;
    }
    b.count = (unsigned)n;
    b.timer = calloc(b.count, sizeof *b.timer);
    b.order = malloc(b.count * sizeof *b.order);
    gn_options o;
    gn_options_init(&o);
    o.loops = 1;
    gn_engine *e;
    int rc = gn_engine_create(&e, &h, NULL, &o);
    if (rc == GN_OK) {
        rc = gn_engine_start(e);
    }
    if (rc != GN_OK) {
        fprintf(stderr, "timers: %s\n", gn_strerror(rc));
        return 1;
    }
    (void)gn_execute(gn_engine_loop(e, 0), run, &b);
    while (!gnp_load32(&b.done)) {
        gnp_sleep_until(gnp_now() + SECOND / 100);
    }
    printf("gannet fire count=%u ns=%.1f\n", b.count, (double)(b.last - b.first) / b.count);
    gn_engine_stop(e, 0);
    rc = gn_engine_join(e);
    gn_engine_destroy(e);
    free(b.timer);
    free(b.order);
    return rc == GN_OK ? 0 : 1;
}
