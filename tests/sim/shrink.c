/* SPDX-License-Identifier: MIT */
/*
 * The fewest knobs with which a scenario still fails in the same way: each is turned off, then halved, while
 * the failure stays.  A world with other knobs is another world, so some more seeds are tried with each.
 */
#include "runner.h"

#include <stdio.h>
#include <string.h>

#define SEEDS_TRIED 12u
#define ROUNDS 8u

typedef struct search {
    const scenario *scenario;
    gnp_sim_config config; /* fails */
    gnp_sim_result result;
    unsigned worlds;
} search;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The same but for its numbers. */
static int same_kind(const char *a, const char *b)
{
    for (;;) {
        while (is_digit(*a))
            a++;
        while (is_digit(*b))
            b++;
        if (*a != *b)
            return 0;
        if (*a == '\0')
            return 1;
        a++;
        b++;
    }
}

/* 1 if it fails with these knobs and some seed; they are kept then. */
static int still_fails(search *s, const gnp_sim_knobs *knobs)
{
    gnp_sim_config c = s->config;
    gnp_sim_result r;

    c.knobs = *knobs;
    for (unsigned i = 0; i < SEEDS_TRIED; i++) {
        c.seed = s->config.seed + i;
        gnp_sim_run(&c, s->scenario->run, NULL, &r);
        s->worlds++;
        if (r.failed && same_kind(r.what, s->result.what)) {
            s->config = c;
            s->result = r;
            return 1;
        }
    }
    return 0;
}

static uint64_t value_of(const search *s, const char *name)
{
    uint64_t v = 0;

    (void)gnp_sim_knob_get(&s->config.knobs, name, &v);
    return v;
}

static int try_value(search *s, const char *name, uint64_t value)
{
    gnp_sim_knobs k = s->config.knobs;

    (void)gnp_sim_knob_set(&k, name, value);
    return still_fails(s, &k);
}

/* 1 if something went. */
static int round_of(search *s)
{
    const char *name;
    int some = 0;

    for (unsigned i = 0; (name = gnp_sim_knob_name(i)) != NULL; i++)
        some |= value_of(s, name) != 0 && try_value(s, name, 0);
    for (unsigned i = 0; (name = gnp_sim_knob_name(i)) != NULL; i++) {
        while (value_of(s, name) > 1 && try_value(s, name, value_of(s, name) / 2))
            some = 1;
    }
    return some;
}

static void print_found(const plan *p, const search *s)
{
    plan found = { .harm = -1, .plain = 1, .version = p->version };
    const char *name;

    for (unsigned i = 0; (name = gnp_sim_knob_name(i)) != NULL; i++) {
        if (value_of(s, name) != 0)
            found.set[found.set_n++] = (knob_value){ name, value_of(s, name) };
    }
    printf("after %u worlds: %u knobs are left\n", s->worlds, found.set_n);
    print_failure(&found, s->scenario, s->config.seed, &s->result);
}

int shrink(const plan *p, const scenario *of)
{
    search s = { .scenario = of };

    plan_config(p, p->first, &s.config);
    s.config.trace = s.config.in_place = 0;
    gnp_sim_run(&s.config, of->run, NULL, &s.result);
    if (!s.result.failed) {
        printf("%s does not fail with seed %llu\n", of->name, (unsigned long long)p->first);
        return 1;
    }
    print_failure(p, of, p->first, &s.result);
    for (unsigned i = 0; i < ROUNDS && round_of(&s); i++)
        ;
    print_found(p, &s);
    return 0;
}
