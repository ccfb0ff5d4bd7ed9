/* SPDX-License-Identifier: MIT */
/* What ../timers.c measures, with libuv's uv_timer. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define SPREAD_MS 60000u
#define FIRE_MS 500u

typedef enum what { SET, CANCEL, REARM } what;

static uv_loop_t loop;
static uv_timer_t *timers;
static unsigned *order, count;
static uint64_t seed, fired, first, last;

static uint64_t next_random(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void shuffle(void)
{
    for (unsigned i = count - 1; i > 0; i--) {
        unsigned k = (unsigned)(next_random() % (i + 1));
        unsigned t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
}

static void nothing(uv_timer_t *t)
{
    (void)t;
}

static void finish(uv_timer_t *t)
{
    (void)t;
    if (fired++ == 0) {
        first = uv_hrtime();
    }
    if (fired == count) {
        last = uv_hrtime();
    }
}

static void one(what w, unsigned i, uint64_t delay)
{
    if (w == CANCEL) {
        uv_timer_stop(&timers[i]);
    } else {
        uv_timer_start(&timers[i], nothing, delay, 0);
    }
}

static void measure(what w, const char *name)
{
    uint64_t worst = 0;
    uint64_t *delay = malloc(count * sizeof *delay);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count; i++) {
            delay[i] = next_random() % SPREAD_MS + 1000;
            if (w == SET) {
                one(SET, i, 1000);
                one(CANCEL, i, 0);
            } else {
                one(SET, i, next_random() % SPREAD_MS + 1000);
            }
        }
        if (w != SET) {
            shuffle();
        }
        uint64_t start = uv_hrtime();
        for (unsigned i = 0; pass == 0 && i < count; i++) {
            one(w, order[i], delay[i]);
        }
        if (pass == 0) {
            printf("libuv %s count=%u ns=%.1f", name, count, (double)(uv_hrtime() - start) / count);
        }
        for (unsigned i = 0; pass == 1 && i < count; i++) {
            uint64_t before = uv_hrtime();
            one(w, order[i], delay[i]);
            uint64_t took = uv_hrtime() - before;
            worst = took > worst ? took : worst;
        }
    }
    printf(" worst=%llu\n", (unsigned long long)worst);
    free(delay);
}

int main(int argc, char **argv)
{
    count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
    timers = calloc(count, sizeof *timers);
    order = malloc(count * sizeof *order);
    uv_loop_init(&loop);
    for (unsigned i = 0; i < count; i++) {
        uv_timer_init(&loop, &timers[i]);
        order[i] = i;
    }
    measure(SET, "set");
    measure(CANCEL, "cancel");
    measure(REARM, "re-arm");
    shuffle();
    uv_update_time(&loop);
    for (unsigned i = 0; i < count; i++) {
        uv_timer_start(&timers[order[i]], finish, 1000 + next_random() % FIRE_MS, 0);
    }
    uv_sleep(2000);
    uv_run(&loop, UV_RUN_DEFAULT);
    printf("libuv fire count=%u ns=%.1f\n", count, (double)(last - first) / count);
    free(timers);
    free(order);
    return 0;
}
