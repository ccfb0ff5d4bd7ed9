/* SPDX-License-Identifier: MIT */
/* What the parts of the runner share. */
#ifndef RUNNER_H
#define RUNNER_H

#include "scenario.h"

#define KNOBS_SET_MAX 64u
#define SCENARIOS_MAX 64u

typedef struct knob_value {
    const char *name;
    uint64_t value;
} knob_value;

typedef struct plan {
    uint64_t first, last;
    int harm; /* -1: by the seed */
    int plain; /* no knob is drawn */
    int twice, trace, in_place, quiet, tap;
    int stop; /* with the first failure */
    unsigned jobs;
    const char *version;
    int schedules;        /* preemptions of those that are tried; -1: none are */
    uint64_t limit;
    const char *schedule; /* the one to run again */
    const scenario *chosen[SCENARIOS_MAX];
    unsigned chosen_n;
    knob_value set[KNOBS_SET_MAX]; /* after the draw */
    unsigned set_n;
} plan;

/* What a world is made of that runs by the plan. */
void plan_config(const plan *p, uint64_t seed, gnp_sim_config *out);

/* Prints a failure and how to see it again. */
void print_failure(const plan *p, const scenario *s, uint64_t seed, const gnp_sim_result *r);

/* Every chosen scenario with every seed.  How many failed. */
uint64_t run_worlds(const plan *p);

/* Every schedule of every chosen scenario, within the bounds.  How many scenarios failed. */
uint64_t run_schedules(const plan *p);

/* Finds the fewest knobs with which the scenario fails.  0: found. */
int shrink(const plan *p, const scenario *s);

#endif
