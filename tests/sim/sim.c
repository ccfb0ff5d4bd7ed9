/* SPDX-License-Identifier: MIT */
/*
 * Runs scenarios in simulated worlds, one for each seed.
 *
 *   sim [--seed N | --seeds A..B] [--harm 0|1] [--twice] [--trace] [--in-place] [--quiet] [--first]
 *       [SCENARIO...]
 *
 * A world that fails is replayed by its seed; --trace then shows every call of it.  --harm 1 turns
 * on faults that may cost a connection, 0 keeps to those that may not; without it odd seeds have them.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const scenario *const scenarios[] = {
    &scenario_broadcast,
    &scenario_dial,
    &scenario_echo,
    &scenario_framing,
    &scenario_pipeline,
    &scenario_pool,
    &scenario_post,
};

#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])
#define FAILURES_SHOWN 20u

typedef struct plan {
    uint64_t first, last;
    int harm; /* -1: by the seed */
    int twice, trace, in_place, quiet;
    int first_only; /* ends at the first failure */
    int chosen[SCENARIOS], any;
} plan;

typedef struct totals {
    uint64_t worlds, failures, points, switches, virtual_ns, faults, hash;
} totals;

static void one(const plan *p, const scenario *s, uint64_t seed, gnp_sim_result *out)
{
    gnp_sim_config c;

    memset(&c, 0, sizeof c);
    c.seed = seed;
    c.trace = p->trace;
    c.in_place = p->in_place;
    gnp_sim_draw(&c.knobs, seed, p->harm >= 0 ? p->harm : (int)(seed & 1));
    gnp_sim_run(&c, s->run, NULL, out);
}

static void failed(totals *t, const scenario *s, uint64_t seed, const gnp_sim_result *r)
{
    if (t->failures++ < FAILURES_SHOWN)
        printf("FAIL %s seed %llu hash %016llx after %llu ns: %s\n", s->name, (unsigned long long)seed,
               (unsigned long long)r->hash, (unsigned long long)r->virtual_ns, r->what);
    (void)fflush(stdout);
}

static void world(const plan *p, const scenario *s, uint64_t seed, totals *t)
{
    gnp_sim_result r, again;

    one(p, s, seed, &r);
    t->worlds++;
    t->points += r.points;
    t->switches += r.switches;
    t->virtual_ns += r.virtual_ns;
    t->faults += r.faults;
    t->hash = (t->hash ^ r.hash) * UINT64_C(0x9E3779B97F4A7C15);
    if (p->twice && !r.failed) {
        one(p, s, seed, &again);
        if (again.failed || again.hash != r.hash) {
            r.failed = 1;
            (void)snprintf(r.what, sizeof r.what, "the second run differs: hash %016llx, %.400s",
                           (unsigned long long)again.hash, again.what);
        }
    }
    if (r.failed)
        failed(t, s, seed, &r);
    else if (p->first == p->last && !p->quiet)
        printf("%s seed %llu hash %016llx points %llu switches %llu faults %llu virtual %llu us\n", s->name,
               (unsigned long long)seed, (unsigned long long)r.hash, (unsigned long long)r.points,
               (unsigned long long)r.switches, (unsigned long long)r.faults,
               (unsigned long long)(r.virtual_ns / 1000));
}

static void run(const plan *p, totals *t)
{
    uint64_t began = gnp_sim_host_now(), told = began;

    for (uint64_t seed = p->first; seed <= p->last && seed >= p->first; seed++) {
        if (p->first_only && t->failures > 0)
            break;
        for (size_t i = 0; i < SCENARIOS && !(p->first_only && t->failures > 0); i++) {
            if (!p->any || p->chosen[i])
                world(p, scenarios[i], seed, t);
        }
        if (!p->quiet && gnp_sim_host_now() - told > 10 * SECOND) {
            told = gnp_sim_host_now();
            printf("... seed %llu, %llu worlds, %llu failures\n", (unsigned long long)seed,
                   (unsigned long long)t->worlds, (unsigned long long)t->failures);
            (void)fflush(stdout);
        }
    }
    double seconds = (double)(gnp_sim_host_now() - began) / 1e9;
    printf("%llu worlds, %llu failed, hash %016llx; %.1f s, %.0f worlds/s, %.1f simulated hours, "
           "%llu switches, %llu faults\n",
           (unsigned long long)t->worlds, (unsigned long long)t->failures, (unsigned long long)t->hash,
           seconds, (double)t->worlds / (seconds > 0 ? seconds : 1), (double)t->virtual_ns / 3.6e12,
           (unsigned long long)t->switches, (unsigned long long)t->faults);
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: sim [--seed N | --seeds A..B] [--harm 0|1] [--twice] [--trace] "
                          "[--in-place] [--quiet] [--first] [SCENARIO...]\n");
    return 2;
}

static int choose(plan *p, const char *name)
{
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i]->name, name) == 0) {
            p->chosen[i] = p->any = 1;
            return 0;
        }
    }
    (void)fprintf(stderr, "no scenario \"%s\"\n", name);
    return 2;
}

static int range(plan *p, const char *text)
{
    char *end;

    p->first = p->last = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        p->last = strtoull(end + 2, &end, 10);
    return *text == '\0' || *end != '\0' || p->last < p->first ? usage() : 0;
}

static int parse(plan *p, int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc && rc == 0; i++) {
        const char *a = argv[i];
        if ((strcmp(a, "--seed") == 0 || strcmp(a, "--seeds") == 0) && i + 1 < argc)
            rc = range(p, argv[++i]);
        else if (strcmp(a, "--harm") == 0 && i + 1 < argc)
            p->harm = atoi(argv[++i]);
        else if (strcmp(a, "--twice") == 0)
            p->twice = 1;
        else if (strcmp(a, "--trace") == 0)
            p->trace = 1;
        else if (strcmp(a, "--in-place") == 0)
            p->in_place = 1;
        else if (strcmp(a, "--first") == 0)
            p->first_only = 1;
        else if (strcmp(a, "--quiet") == 0)
            p->quiet = 1;
        else
            rc = a[0] == '-' ? usage() : choose(p, a);
    }
    return rc;
}

int main(int argc, char **argv)
{
    plan p = { .first = 1, .last = 50, .harm = -1 };
    totals t = { 0 };
    int rc = parse(&p, argc, argv);

    if (rc != 0)
        return rc;
    run(&p, &t);
    return t.failures != 0;
}
