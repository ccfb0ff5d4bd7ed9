/* SPDX-License-Identifier: MIT */
/*
 * Runs scenarios in simulated worlds, one for each seed.
 *
 *   sim [OPTION...] [SCENARIO...]
 *
 *   --seed N, --seeds A..B  which worlds; 1..50
 *   --harm 0|1              without, with faults that may cost a connection; odd seeds have them
 *   --plain                 no knob is drawn: nothing goes wrong
 *   --knob NAME=VALUE       after that, sets one (sim.h names them); any number of times
 *   --jobs N                so many worlds at a time; 1
 *   --twice                 each world twice, which must not differ
 *   --first                 end with the first failure
 *   --trace                 every call to standard error
 *   --in-place              the world is this process: for debuggers
 *   --shrink                finds the fewest knobs with which the world of --seed still fails
 *   --schedules P           all schedules with at most P preemptions, of the scenarios that are small
 *   --limit N               no more than N of each
 *   --schedule TEXT         the one that --schedules told of
 *   --tap                   a line for each scenario, as make check reads it
 *   --quiet                 failures and the sum only
 *   --version TEXT          what failures are reported of
 *   --list                  the names of all scenarios
 */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const scenario *const scenarios[] = {
    &scenario_binds,
    &scenario_bounds,
    &scenario_broadcast,
    &scenario_corners,
    &scenario_cuts,
    &scenario_datagrams,
    &scenario_dial,
    &scenario_echo,
    &scenario_edges,
    &scenario_engines,
    &scenario_famine,
    &scenario_flow,
    &scenario_framing,
    &scenario_listeners,
    &scenario_migration,
    &scenario_offload,
    &scenario_pipeline,
    &scenario_pool,
    &scenario_post,
    &scenario_proxy,
    &scenario_stop,
    &scenario_strays,
    &scenario_timers,
    &scenario_watch,
};

/* These are small enough for all their schedules; with --schedules they are what runs. */
static const scenario *const small[] = {
    &small_blocked,
    &small_cancel,
    &small_close,
    &small_crowded,
    &small_gate,
    &small_idle,
    &small_inherit,
    &small_log,
    &small_migrate,
    &small_place,
    &small_posters,
    &small_release,
    &small_seat,
    &small_stop,
    &small_store,
    &small_twins,
    &small_undo,
    &small_wake,
};

/* These run only when they are named. */
static const scenario *const others[] = { &scenario_planted, &small_planted };

#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])
#define OTHERS (sizeof others / sizeof others[0])
#define SMALL (sizeof small / sizeof small[0])

static int usage(void)
{
    (void)fprintf(stderr, "usage: sim [--seed N | --seeds A..B] [--harm 0|1] [--plain] [--knob NAME=VALUE] "
                          "[--jobs N]\n"
                          "           [--schedules P [--limit N] | --schedule TEXT] [--twice] [--first]\n"
                          "           [--trace] [--in-place] [--shrink] [--tap] [--quiet]\n"
                          "           [--version TEXT] [--list] [SCENARIO...]\n");
    return 2;
}

static const scenario *find(const scenario *const *in, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(in[i]->name, name) == 0)
            return in[i];
    }
    return NULL;
}

static int choose(plan *p, const char *name)
{
    const scenario *s = find(scenarios, SCENARIOS, name);

    s = s != NULL ? s : find(small, SMALL, name);
    s = s != NULL ? s : find(others, OTHERS, name);
    if (s != NULL && p->chosen_n < SCENARIOS_MAX) {
        p->chosen[p->chosen_n++] = s;
        return 0;
    }
    (void)fprintf(stderr, "no scenario \"%s\"\n", name);
    return 2;
}

static void choose_all(plan *p)
{
    if (p->schedules >= 0)
        memcpy(p->chosen, small, sizeof small);
    else
        memcpy(p->chosen, scenarios, sizeof scenarios);
    p->chosen_n = p->schedules >= 0 ? SMALL : SCENARIOS;
}

static int range(plan *p, const char *text)
{
    char *end;

    p->first = p->last = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) == 0)
        p->last = strtoull(end + 2, &end, 10);
    return *text == '\0' || *end != '\0' || p->last < p->first ? usage() : 0;
}

static int turn_knob(plan *p, char *text)
{
    char *equals = strchr(text, '='), *end;
    gnp_sim_knobs k;

    if (equals == NULL || p->set_n == KNOBS_SET_MAX)
        return usage();
    *equals = '\0';
    p->set[p->set_n].name = text;
    p->set[p->set_n].value = strtoull(equals + 1, &end, 10);
    if (equals[1] == '\0' || *end != '\0' || gnp_sim_knob_set(&k, text, p->set[p->set_n].value) != 0) {
        (void)fprintf(stderr, "no knob, or no value of it: %s=%s\n", text, equals + 1);
        return 2;
    }
    p->set_n++;
    return 0;
}

static int count(unsigned *out, const char *text)
{
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out >= 1 && *out <= GNP_SIM_JOBS_MAX ? 0 : usage();
}

/* An option with a value. */
static int option(plan *p, const char *name, char *value)
{
    if (strcmp(name, "--seed") == 0 || strcmp(name, "--seeds") == 0)
        return range(p, value);
    if (strcmp(name, "--knob") == 0)
        return turn_knob(p, value);
    if (strcmp(name, "--jobs") == 0)
        return count(&p->jobs, value);
    if (strcmp(name, "--version") == 0)
        p->version = value;
    else if (strcmp(name, "--schedule") == 0)
        p->schedule = value;
    else if (strcmp(name, "--schedules") == 0)
        p->schedules = atoi(value);
    else if (strcmp(name, "--limit") == 0)
        p->limit = strtoull(value, NULL, 10);
    else if (strcmp(name, "--harm") == 0)
        p->harm = atoi(value) != 0;
    else
        return usage();
    return 0;
}

static int *flag(plan *p, const char *name, int *shrinks, int *lists)
{
    const struct {
        const char *name;
        int *at;
    } flags[] = { { "--plain", &p->plain },  { "--twice", &p->twice },       { "--trace", &p->trace },
                  { "--first", &p->stop },
                  { "--tap", &p->tap },      { "--in-place", &p->in_place }, { "--quiet", &p->quiet },
                  { "--shrink", shrinks },   { "--list", lists } };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].at;
    }
    return NULL;
}

static void list(void)
{
    for (size_t i = 0; i < SCENARIOS; i++)
        printf("%s\n", scenarios[i]->name);
}

int main(int argc, char **argv)
{
    plan p = { .first = 1, .last = 50, .harm = -1, .jobs = 1, .schedules = -1, .version = gn_version() };
    int rc = 0, shrinks = 0, lists = 0, *on;

    for (int i = 1; i < argc && rc == 0; i++) {
        if (argv[i][0] != '-')
            rc = choose(&p, argv[i]);
        else if ((on = flag(&p, argv[i], &shrinks, &lists)) != NULL)
            *on = 1;
        else if (i + 1 < argc)
            rc = option(&p, argv[i], argv[i + 1]), i++;
        else
            rc = usage();
    }
    if (rc != 0)
        return rc;
    if (lists) {
        list();
        return 0;
    }
    if (shrinks)
        return p.chosen_n == 1 && p.first == p.last ? shrink(&p, p.chosen[0]) : usage();
    if (p.chosen_n == 0)
        choose_all(&p);
    if (p.schedules >= 0)
        return run_schedules(&p) != 0;
    return run_worlds(&p) != 0;
}
