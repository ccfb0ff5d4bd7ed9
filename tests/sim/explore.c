/* SPDX-License-Identifier: MIT */
/* All schedules of small scenarios. */
#include "runner.h"

#include <stdio.h>
#include <string.h>

static void print_one(const plan *p, unsigned i, const gnp_sim_explored *x)
{
    if (p->tap)
        printf("%sok %u - ", x->failed ? "not " : "", i + 1);
    printf("%s: %llu schedules with at most %d preemptions, %s; up to %llu choices\n", p->chosen[i]->name,
           (unsigned long long)x->schedules, p->schedules, x->complete ? "complete" : "stopped there",
           (unsigned long long)x->choices);
}

static int one(const plan *p, unsigned i)
{
    gnp_sim_schedules how = { (unsigned)p->schedules, p->limit, p->jobs };
    plan plain = *p;
    gnp_sim_explored x;
    gnp_sim_config c;

    plain.plain = 1;
    plan_config(&plain, p->first, &c);
    gnp_sim_explore(&c, &how, p->chosen[i]->run, NULL, &x);
    print_one(p, i, &x);
    if (x.failed) {
        plain.schedule = x.schedule;
        print_failure(&plain, p->chosen[i], p->first, &x.result);
    }
    (void)fflush(stdout);
    return x.failed;
}

uint64_t run_schedules(const plan *p)
{
    uint64_t failed = 0;

    for (unsigned i = 0; i < p->chosen_n; i++)
        failed += (uint64_t)one(p, i);
    if (p->tap)
        printf("1..%u\n", p->chosen_n);
    return failed;
}
