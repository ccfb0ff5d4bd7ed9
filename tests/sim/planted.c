/* SPDX-License-Identifier: MIT */
/* A scenario that fails, if one knob is on far enough and otherwise not: for the tests of the runner. */
#include "scenario.h"

#define AGAIN_MIN 8

static void noise(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        gnp_sim_sleep(gnp_sim_below(MS));
}

static void run(void *arg)
{
    crew c = { .n = 0 };

    (void)arg;
    crew_add(&c, noise, NULL, "noise");
    crew_add(&c, noise, NULL, "noise");
    crew_join(&c);
    gnp_sim_note("planted", gnp_sim_knobs_now()->again, AGAIN_MIN);
    must(gnp_sim_knobs_now()->again < AGAIN_MIN, "planted: again is %u", gnp_sim_knobs_now()->again);
}

const scenario scenario_planted = { "planted", run };
