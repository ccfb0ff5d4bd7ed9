/* SPDX-License-Identifier: MIT */
/* Many worlds, some at a time; told in the order of their seeds, whichever ends first. */
#include "runner.h"

#include <stdio.h>
#include <string.h>

#define FAILURES_SHOWN 20u
#define PROGRESS_NS (10 * SECOND)
#define WINDOW GNP_SIM_JOBS_MAX /* worlds that have begun and are not told of */

typedef struct totals {
    uint64_t worlds, failures, points, switches, virtual_ns, faults, hash;
} totals;

typedef struct slot {
    const scenario *scenario;
    uint64_t seed;
    int again; /* the second time: must be as the slot before */
    gnp_sim_job *job; /* NULL: has ended */
    gnp_sim_result result;
} slot;

typedef struct runner {
    const plan *plan;
    uint64_t next_seed; /* of the next world, */
    unsigned next_scenario;
    int next_again, all;
    slot slots[WINDOW]; /* a ring: first ... first + n */
    unsigned first, n, running;
    gnp_sim_result before; /* what was told last */
    totals sum, each[SCENARIOS_MAX];
    uint64_t began, told_at;
} runner;

void plan_config(const plan *p, uint64_t seed, gnp_sim_config *c)
{
    memset(c, 0, sizeof *c);
    c->seed = seed;
    c->trace = p->trace;
    c->in_place = p->in_place;
    c->schedule = p->schedule;
    if (!p->plain)
        gnp_sim_draw(&c->knobs, seed, p->harm >= 0 ? p->harm : (int)(seed & 1));
    for (unsigned i = 0; i < p->set_n; i++)
        (void)gnp_sim_knob_set(&c->knobs, p->set[i].name, p->set[i].value);
}

void print_failure(const plan *p, const scenario *s, uint64_t seed, const gnp_sim_result *r)
{
    const char *lead = p->tap ? "# " : "";

    printf("%sFAIL %s seed %llu version %s hash %016llx after %llu ns: %s\n", lead, s->name,
           (unsigned long long)seed, p->version, (unsigned long long)r->hash,
           (unsigned long long)r->virtual_ns, r->what);
    printf("%s  again: ", lead);
    if (p->harm < 0 && !p->plain && p->schedule == NULL && p->set_n == 0)
        printf("GANNET_SIM_SEED=%llu GANNET_SIM_SCENARIO=%s make check-sim, or ", (unsigned long long)seed,
               s->name);
    printf("tests/sim/sim --trace --seed %llu", (unsigned long long)seed);
    if (p->harm >= 0)
        printf(" --harm %d", p->harm);
    if (p->plain)
        printf(" --plain");
    if (p->schedule != NULL)
        printf(" --schedule '%s'", p->schedule);
    for (unsigned i = 0; i < p->set_n; i++)
        printf(" --knob %s=%llu", p->set[i].name, (unsigned long long)p->set[i].value);
    printf(" %s\n", s->name);
    (void)fflush(stdout);
}

static void print_world(const slot *s)
{
    const gnp_sim_result *r = &s->result;

    printf("%s seed %llu hash %016llx points %llu switches %llu faults %llu virtual %llu us\n",
           s->scenario->name, (unsigned long long)s->seed, (unsigned long long)r->hash,
           (unsigned long long)r->points, (unsigned long long)r->switches, (unsigned long long)r->faults,
           (unsigned long long)(r->virtual_ns / 1000));
}

static void add(totals *t, const gnp_sim_result *r)
{
    t->worlds++;
    t->failures += r->failed != 0;
    t->points += r->points;
    t->switches += r->switches;
    t->virtual_ns += r->virtual_ns;
    t->faults += r->faults;
    t->hash = (t->hash ^ r->hash) * UINT64_C(0x9E3779B97F4A7C15);
}

static unsigned index_of(const plan *p, const scenario *s)
{
    unsigned i = 0;

    while (p->chosen[i] != s)
        i++;
    return i;
}

static void tell(runner *r, slot *s)
{
    if (s->again && !r->before.failed && (s->result.failed || s->result.hash != r->before.hash)) {
        char what[sizeof s->result.what];
        (void)snprintf(what, sizeof what, "the second run differs: hash %016llx before, %.400s",
                       (unsigned long long)r->before.hash, s->result.failed ? s->result.what : "no failure");
        memcpy(s->result.what, what, sizeof what);
        s->result.failed = 1;
    } else if (s->again) {
        return; /* as the first one, which is told */
    }
    add(&r->sum, &s->result);
    add(&r->each[index_of(r->plan, s->scenario)], &s->result);
    if (s->result.failed && r->sum.failures <= FAILURES_SHOWN)
        print_failure(r->plan, s->scenario, s->seed, &s->result);
    else if (!s->result.failed && r->plan->first == r->plan->last && !r->plan->quiet && !r->plan->tap)
        print_world(s);
    r->before = s->result;
    r->all |= r->plan->stop && s->result.failed;
}

static void progress(runner *r)
{
    uint64_t now = gnp_sim_host_now();
    double s = (double)(now - r->began) / 1e9;
    uint64_t seeds = r->sum.worlds / r->plan->chosen_n;

    if (r->plan->quiet || r->plan->tap || now - r->told_at < PROGRESS_NS)
        return;
    r->told_at = now;
    printf("... %llu of %llu seeds, %llu worlds, %llu failed; %.0f seeds/s, %.0f worlds/s\n",
           (unsigned long long)seeds, (unsigned long long)(r->plan->last - r->plan->first + 1),
           (unsigned long long)r->sum.worlds, (unsigned long long)r->sum.failures, (double)seeds / s,
           (double)r->sum.worlds / s);
    (void)fflush(stdout);
}

/* Every scenario of a seed, then those of the next. */
static void advance(runner *r)
{
    const plan *p = r->plan;

    if (p->twice && !r->next_again) {
        r->next_again = 1;
        return;
    }
    r->next_again = 0;
    if (++r->next_scenario < p->chosen_n)
        return;
    r->next_scenario = 0;
    r->all = r->next_seed == p->last;
    r->next_seed++;
}

static void begin(runner *r)
{
    slot *s = &r->slots[(r->first + r->n) % WINDOW];
    gnp_sim_config c;

    s->scenario = r->plan->chosen[r->next_scenario];
    s->seed = r->next_seed;
    s->again = r->next_again;
    s->job = NULL;
    plan_config(r->plan, s->seed, &c);
    if (c.in_place)
        gnp_sim_run(&c, s->scenario->run, NULL, &s->result);
    else
        s->job = gnp_sim_start(&c, s->scenario->run, NULL);
    r->running += s->job != NULL;
    r->n++;
    advance(r);
}

static void wait_for_one(runner *r)
{
    gnp_sim_job *jobs[WINDOW];
    slot *of[WINDOW];
    unsigned n = 0, i;

    for (i = 0; i < r->n; i++) {
        slot *s = &r->slots[(r->first + i) % WINDOW];
        if (s->job != NULL) {
            of[n] = s;
            jobs[n++] = s->job;
        }
    }
    if (n == 0)
        return;
    i = gnp_sim_wait_any(jobs, n);
    gnp_sim_finish(of[i]->job, &of[i]->result);
    of[i]->job = NULL;
    r->running--;
}

static void print_sum(const runner *r)
{
    double s = (double)(gnp_sim_host_now() - r->began) / 1e9;
    uint64_t seeds = r->plan->last - r->plan->first + 1;

    s = s > 0 ? s : 1e-9;
    printf("%s%llu seeds, %llu worlds, %llu failed, hash %016llx; %.1f s, %.0f seeds/s, %.0f worlds/s, "
           "%.1f simulated hours, %llu switches, %llu faults\n",
           r->plan->tap ? "# " : "", (unsigned long long)seeds, (unsigned long long)r->sum.worlds,
           (unsigned long long)r->sum.failures, (unsigned long long)r->sum.hash, s, (double)seeds / s,
           (double)r->sum.worlds / s, (double)r->sum.virtual_ns / 3.6e12, (unsigned long long)r->sum.switches,
           (unsigned long long)r->sum.faults);
}

static void print_tap(const runner *r)
{
    const plan *p = r->plan;

    for (unsigned i = 0; i < p->chosen_n; i++)
        printf("%sok %u - %s: seeds %llu to %llu%s\n", r->each[i].failures != 0 ? "not " : "", i + 1,
               p->chosen[i]->name, (unsigned long long)p->first, (unsigned long long)p->last,
               p->twice ? ", each twice with the same hash" : "");
    printf("1..%u\n", p->chosen_n);
}

uint64_t run_worlds(const plan *p)
{
    static runner r; /* its ring is large */

    memset(&r, 0, sizeof r);
    r.plan = p;
    r.next_seed = p->first;
    r.began = r.told_at = gnp_sim_host_now();
    while (!r.all || r.n > 0) {
        while (!r.all && r.running < p->jobs && r.n < WINDOW)
            begin(&r);
        wait_for_one(&r);
        for (; r.n > 0 && r.slots[r.first].job == NULL; r.n--) {
            tell(&r, &r.slots[r.first]);
            r.first = (r.first + 1) % WINDOW;
        }
        progress(&r);
    }
    if (p->tap)
        print_tap(&r);
    print_sum(&r);
    return r.sum.failures;
}
