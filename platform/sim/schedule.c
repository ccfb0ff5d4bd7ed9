/* SPDX-License-Identifier: MIT */
/*
 * All schedules of a small world, with a bound on preemptions: Musuvathi and Qadeer, "Iterative context
 * bounding for systematic testing of multithreaded programs" (2007).  A world is run with a list of
 * deviations from the default, which is to go on with the same thread as long as it can; it tells how many
 * ways there were at each choice, and each other way behind its last deviation is a world that is still to
 * be run.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 16384u  /* of one world */
#define DEVIATIONS_MAX 24u
#define PREEMPTIONS_MAX 4u
#define WAITING_MAX 400000u /* worlds that are still to be run, of one bound */
#define COSTS 0x80          /* in the trail: other ways are preemptions */

typedef struct deviation {
    uint16_t at;
    uint8_t way;
} deviation;

typedef struct item {
    uint8_t n, spent;
    deviation of[DEVIATIONS_MAX];
} item;

/* ------------------------------------------------------------ in the world */

static struct {
    item plan;
    unsigned next; /* of the plan's deviations */
    unsigned n;
    int focus;
    uint8_t trail[CHOICES_MAX];
} here;

void gnp_sim_focus(int on)
{
    here.focus = on;
}

unsigned gnp_sim_choose(unsigned ways, int preempts)
{
    const deviation *d = &here.plan.of[here.next];

    if (ways < 2 || !here.focus)
        return 0;
    if (here.n == CHOICES_MAX || ways > 127)
        gnp_sim_fail("too many choices: %u, the last among %u", here.n, ways);
    here.trail[here.n++] = (uint8_t)(ways | (preempts ? COSTS : 0));
    if (here.next == here.plan.n || d->at != here.n - 1)
        return 0;
    here.next++;
    if (d->way >= ways)
        gnp_sim_fail("no such schedule: choice %u has %u ways", d->at, ways);
    return d->way;
}

size_t gnp_sim_trail(const void **out)
{
    *out = here.trail;
    return here.n;
}

/* "5.1,20.2": at choice 5 the way 1... */
void gnp_sim_schedule_begin(const char *text)
{
    memset(&here, 0, sizeof(here));
    while (text != NULL && *text != '\0' && here.plan.n < DEVIATIONS_MAX) {
        deviation *d = &here.plan.of[here.plan.n++];
        char *end;
        d->at = (uint16_t)strtoul(text, &end, 10);
        if (*end == '.')
            d->way = (uint8_t)strtoul(end + 1, &end, 10);
        text = *end == ',' ? end + 1 : end;
        if (*end != ',' && *end != '\0')
            gnp_sim_fail("no schedule: %s", text);
    }
}

/* --------------------------------------------------------------- outside */

typedef struct stack {
    item *items;
    size_t n, cap;
} stack;

typedef struct explorer {
    const gnp_sim_schedules *plan;
    gnp_sim_config config;
    void (*fn)(void *arg);
    void *arg;
    stack waiting[PREEMPTIONS_MAX + 1]; /* by preemptions */
    gnp_sim_job *jobs[GNP_SIM_JOBS_MAX];
    item of[GNP_SIM_JOBS_MAX];
    unsigned running;
    gnp_sim_explored *out;
} explorer;

static void push(explorer *x, const item *i)
{
    stack *s = &x->waiting[i->spent];

    if (s->n == WAITING_MAX) {
        x->out->dropped++;
        return;
    }
    if (s->n == s->cap) {
        s->cap = s->cap != 0 ? s->cap * 2 : 256;
        s->items = realloc(s->items, s->cap * sizeof(*s->items));
        if (s->items == NULL)
            abort();
    }
    s->items[s->n++] = *i;
}

/* The deepest one of those with the fewest preemptions. */
static int pop(explorer *x, item *out)
{
    unsigned i;

    for (i = 0; i <= x->plan->preemptions; i++) {
        if (x->waiting[i].n > 0) {
            *out = x->waiting[i].items[--x->waiting[i].n];
            return 1;
        }
    }
    return 0;
}

static void text_of(const item *i, char *out, size_t cap)
{
    size_t n = 0;
    unsigned k;

    out[0] = '\0';
    for (k = 0; k < i->n && n < cap; k++)
        n += (size_t)snprintf(out + n, cap - n, "%s%u.%u", k > 0 ? "," : "", i->of[k].at, i->of[k].way);
}

static void begin(explorer *x, const item *i)
{
    char text[GNP_SIM_SCHEDULE_TEXT];

    text_of(i, text, sizeof(text));
    x->config.schedule = text;
    x->of[x->running] = *i;
    x->jobs[x->running++] = gnp_sim_start(&x->config, x->fn, x->arg);
    x->out->schedules++;
}

/* Every other way behind the last deviation that the bound allows. */
static void spread(explorer *x, const item *from, const uint8_t *trail, size_t n)
{
    size_t at = from->n > 0 ? from->of[from->n - 1].at + 1u : 0;

    for (; at < n; at++) {
        unsigned ways = trail[at] & ~(unsigned)COSTS, way;
        item i = *from;
        i.spent = (uint8_t)(from->spent + (trail[at] & COSTS ? 1 : 0));
        if (i.spent > x->plan->preemptions)
            continue;
        if (i.n == DEVIATIONS_MAX) {
            x->out->dropped += ways - 1;
            continue;
        }
        i.of[i.n].at = (uint16_t)at;
        i.n++;
        for (way = 1; way < ways; way++) {
            i.of[i.n - 1].way = (uint8_t)way;
            push(x, &i);
        }
    }
}

static void end(explorer *x, unsigned which)
{
    static uint8_t trail[CHOICES_MAX];
    item i = x->of[which];
    gnp_sim_result r;
    size_t n = gnp_sim_finish_with(x->jobs[which], &r, trail, sizeof(trail));

    x->jobs[which] = x->jobs[--x->running];
    x->of[which] = x->of[x->running];
    if (n > x->out->choices)
        x->out->choices = n;
    if (!r.failed) {
        spread(x, &i, trail, n);
    } else if (!x->out->failed) {
        x->out->failed = 1;
        x->out->result = r;
        text_of(&i, x->out->schedule, sizeof(x->out->schedule));
    }
}

static size_t waiting(const explorer *x)
{
    size_t n = 0;
    unsigned i;

    for (i = 0; i <= PREEMPTIONS_MAX; i++)
        n += x->waiting[i].n;
    return n;
}

static int goes_on(const explorer *x)
{
    return !x->out->failed && (x->plan->limit == 0 || x->out->schedules < x->plan->limit);
}

void gnp_sim_explore(const gnp_sim_config *config, const gnp_sim_schedules *plan, void (*fn)(void *arg),
                     void *arg, gnp_sim_explored *out)
{
    gnp_sim_schedules p = *plan;
    explorer x;
    item i;

    memset(out, 0, sizeof(*out));
    memset(&x, 0, sizeof(x));
    memset(&i, 0, sizeof(i));
    p.preemptions = p.preemptions < PREEMPTIONS_MAX ? p.preemptions : PREEMPTIONS_MAX;
    p.jobs = p.jobs < 1 ? 1 : p.jobs < GNP_SIM_JOBS_MAX ? p.jobs : GNP_SIM_JOBS_MAX;
    x.plan = &p;
    x.config = *config;
    x.config.in_place = 0;
    x.fn = fn;
    x.arg = arg;
    x.out = out;
    push(&x, &i);
    do {
        while (x.running < p.jobs && goes_on(&x) && pop(&x, &i))
            begin(&x, &i);
        if (x.running > 0)
            end(&x, gnp_sim_wait_any(x.jobs, x.running));
    } while (x.running > 0 || (goes_on(&x) && waiting(&x) > 0));
    out->complete = !out->failed && waiting(&x) == 0 && out->dropped == 0;
    for (unsigned k = 0; k <= PREEMPTIONS_MAX; k++)
        free(x.waiting[k].items);
}
