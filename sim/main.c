/* SPDX-License-Identifier: MIT */
/* A main for tests of one scenario: many seeds, or one again. */
#include "include/gannet_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 200u
#define FAILURES_SHOWN 20u

typedef struct plan {
    uint64_t first, last;
    int harm; /* -1: by the seed */
    int trace, in_place, twice, quiet;
} plan;

static int usage(const char *name)
{
    (void)fprintf(stderr,
                  "usage: %s [--seed N | --seeds A..B] [--harm 0|1] [--trace] [--in-place] [--twice] "
                  "[--quiet]\n",
                  name);
    return 2;
}

static int number(const char *text, const char **end, uint64_t *out)
{
    char *stop;

    if (*text < '0' || *text > '9')
        return 0;
    *out = strtoull(text, &stop, 10);
    *end = stop;
    return 1;
}

/* "N" or "A..B". */
static int range(plan *p, const char *text)
{
    const char *end;

    if (!number(text, &end, &p->first))
        return 0;
    p->last = p->first;
    if (strncmp(end, "..", 2) == 0 && !number(end + 2, &end, &p->last))
        return 0;
    return *end == '\0' && p->last >= p->first;
}

static int parse(plan *p, int argc, char **argv)
{
    const char *seed = getenv("GANNET_SIM_SEED");
    int i, good = seed == NULL || range(p, seed);

    for (i = 1; i < argc && good; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(a, "--seed") == 0 || strcmp(a, "--seeds") == 0) {
            good = range(p, value);
            i++;
        } else if (strcmp(a, "--harm") == 0) {
            good = strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
            p->harm = *value == '1';
            i++;
        } else if (strcmp(a, "--trace") == 0) {
            p->trace = 1;
        } else if (strcmp(a, "--in-place") == 0) {
            p->in_place = 1;
        } else if (strcmp(a, "--twice") == 0) {
            p->twice = 1;
        } else if (strcmp(a, "--quiet") == 0) {
            p->quiet = 1;
        } else {
            good = 0;
        }
    }
    return good ? 0 : usage(argc > 0 ? argv[0] : "test");
}

static void world(const plan *p, uint64_t seed, void (*fn)(void *arg), void *arg, gn_sim_result *out)
{
    gn_sim_options o;

    gn_sim_options_init(&o);
    o.seed = seed;
    o.flags = (p->harm >= 0 ? p->harm : (int)(seed & 1)) ? GN_SIM_HARM : 0;
    o.trace = p->trace;
    o.in_place = p->in_place;
    gn_sim_result_init(out);
    (void)gn_sim_run(&o, fn, arg, out);
}

/* One seed; 1 if it failed. */
static int one(const plan *p, uint64_t seed, void (*fn)(void *arg), void *arg, uint64_t failures,
               gn_sim_result *r)
{
    gn_sim_result again;

    world(p, seed, fn, arg, r);
    if (p->twice && !r->failed) {
        world(p, seed, fn, arg, &again);
        r->failed = again.failed || again.hash != r->hash;
        if (r->failed)
            (void)snprintf(r->what, sizeof r->what, "the second run differs: %.500s", again.what);
    }
    if (r->failed && failures < FAILURES_SHOWN)
        printf("FAIL seed %llu harm %d gannet %s hash %016llx after %llu ns: %s\n", (unsigned long long)seed,
               p->harm >= 0 ? p->harm : (int)(seed & 1), gn_version(), (unsigned long long)r->hash,
               (unsigned long long)r->virtual_ns, r->what);
    else if (!r->failed && p->first == p->last && !p->quiet)
        printf("seed %llu hash %016llx points %llu switches %llu faults %llu simulated %llu us\n",
               (unsigned long long)seed, (unsigned long long)r->hash, (unsigned long long)r->points,
               (unsigned long long)r->switches, (unsigned long long)r->faults,
               (unsigned long long)(r->virtual_ns / 1000));
    (void)fflush(stdout); /* each world is a fork */
    return r->failed;
}

int gn_sim_main(int argc, char **argv, void (*fn)(void *arg), void *arg)
{
    plan p = { .first = 1, .last = SEEDS, .harm = -1 };
    uint64_t failures = 0, faults = 0, virtual_ns = 0, seed = 0;
    gn_sim_result r;
    int rc = parse(&p, argc, argv);

    if (rc != 0)
        return rc;
    for (seed = p.first;; seed++) {
        failures += (uint64_t)one(&p, seed, fn, arg, failures, &r);
        faults += r.faults;
        virtual_ns += r.virtual_ns;
        if (seed == p.last)
            break;
    }
    if (!p.quiet || failures > 0)
        printf("%llu worlds, %llu failed, %llu faults, %.1f simulated seconds\n",
               (unsigned long long)(p.last - p.first) + 1, (unsigned long long)failures,
               (unsigned long long)faults, (double)virtual_ns / 1e9);
    return failures != 0;
}
