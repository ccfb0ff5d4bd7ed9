/* SPDX-License-Identifier: MIT */
/* A scenario that fails, if one knob is on far enough and otherwise not: for the tests of the runner. */
#include "scenario.h"

#include "platform/atomic.h"

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

/* A lost update: it takes one preemption. */
static unsigned shared, seen;
static gnp_atomic32 meeting; /* an operation on it is where threads may switch */

static void add_one(void *arg)
{
    (void)arg;
    unsigned was = shared;
    gnp_store32(&meeting, 0);
    shared = was + 1;
    seen++;
}

static void run_race(void *arg)
{
    crew c = { .n = 0 };

    (void)arg;
    crew_add(&c, add_one, NULL, "one");
    crew_add(&c, add_one, NULL, "two");
    gnp_sim_focus(1);
    crew_join(&c);
    gnp_sim_focus(0);
    must(shared == seen, "planted: %u added, %u there", seen, shared);
}

const scenario small_planted = { "race", run_race };
const scenario scenario_planted = { "planted", run };
