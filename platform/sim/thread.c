/* SPDX-License-Identifier: MIT */
/*
 * Threads and time.  Each thread is one of the host, but only the one with the baton runs; the others wait
 * for it, each at its own place.  So the order is the seed's, whatever the host's scheduler does.
 */
#include "world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES (512u * 1024u) /* enough for tests; many threads come and go */
#define ATOMIC_NS 5u               /* what an atomic operation and a call take; the size matters little */
#define CALL_NS 100u
#define PAUSE_NS 25u /* no call: it is never slow */

enum { RUNNABLE, BLOCKED, DONE };

struct gnp_sim_thread {
    sim_thread *next;
    unsigned id;
    int state;
    char name[16];
    void (*fn)(void *arg);
    void *arg;
    pthread_t host;
    gnp_sim_baton *go;    /* passed: it has the baton */
    const void *on;       /* what it is blocked on */
    const char *what;
    sim_event timer;
    int timed_out;
};

static GNP_THREAD_LOCAL sim_thread *self;

unsigned gnp_sim_self(void)
{
    return self != NULL ? self->id : 0;
}

const char *gnp_sim_thread_name(unsigned id)
{
    const sim_thread *t = sim.threads;

    while (t != NULL && t->id != id)
        t = t->next;
    return t != NULL ? t->name : "";
}

/* -------------------------------------------------------------------- baton */

static void hand(sim_thread *to)
{
    gnp_sim_baton_pass(to->go);
}

static void await(sim_thread *t)
{
    gnp_sim_baton_take(t->go);
}

static void report_deadlock(void)
{
    char text[500];
    size_t n = 0;
    sim_thread *t;

    for (t = sim.threads; t != NULL && n < sizeof(text); t = t->next) {
        if (t->state == BLOCKED)
            n += (size_t)snprintf(text + n, sizeof(text) - n, " t%u %s: %s;", t->id, t->name, t->what);
    }
    gnp_sim_fail("deadlock:%s", n > 0 ? text : " nobody is left");
}

static void check_limits(void)
{
    if (sim.now > sim.limit_ns)
        gnp_sim_fail("no end within %llu s of virtual time",
                     (unsigned long long)(sim.limit_ns / UINT64_C(1000000000)));
    if (sim.points > sim.limit_points)
        gnp_sim_fail("no end within %llu steps", (unsigned long long)sim.limit_points);
}

/* How many can run, but for skip. */
static unsigned runnable(const sim_thread *skip)
{
    unsigned n = 0;
    sim_thread *t;

    for (t = sim.threads; t != NULL; t = t->next)
        n += t != skip && t->state == RUNNABLE;
    return n;
}

static sim_thread *runnable_at(const sim_thread *skip, uint64_t i)
{
    sim_thread *t;

    for (t = sim.threads; t != NULL; t = t->next) {
        if (t != skip && t->state == RUNNABLE && i-- == 0)
            return t;
    }
    return NULL;
}

static void switch_to(sim_thread *t)
{
    sim_thread *me = self;
    int done = me->state == DONE; /* others write it once the baton is theirs */

    if (t == me)
        return;
    sim.switches++;
    gnp_sim_mark("switch", t->id, (int64_t)sim.points, me->state);
    hand(t);
    if (!done)
        await(me);
}

/* Goes on with any that can run; when none can, time jumps to what happens next. */
static void reschedule(void)
{
    unsigned n;

    gnp_sim_due();
    while ((n = runnable(NULL)) == 0) {
        if (sim.heap_n == 0)
            report_deadlock();
        sim.now = sim.heap[0]->at;
        check_limits();
        gnp_sim_due();
    }
    switch_to(runnable_at(NULL, sim.scheduled ? gnp_sim_choose(n, 0) : gnp_sim_below(n)));
}

static void step(unsigned ns)
{
    sim.points++;
    sim.now += ns;
    if (gnp_sim_chance(sim.knobs.slow_call) && ns == CALL_NS)
        sim.now += gnp_sim_below(sim.knobs.slow_call_ns);
    if ((sim.points & 1023) == 0)
        check_limits();
    gnp_sim_due();
}

static void maybe_switch(unsigned of_1024)
{
    unsigned n;

    if (sim.scheduled)
        return;
    if (gnp_sim_chance(of_1024) && (n = runnable(self)) > 0)
        switch_to(runnable_at(self, gnp_sim_below(n)));
}

/* Where a schedule may take the CPU from a thread. */
static void may_preempt(void)
{
    unsigned n, way;

    if (!sim.scheduled || (n = runnable(self)) == 0)
        return;
    way = gnp_sim_choose(n + 1, 1);
    if (way > 0)
        switch_to(runnable_at(self, way - 1));
}

void gnp_sim_point(void)
{
    if (self == NULL)
        return;
    step(ATOMIC_NS);
    maybe_switch(sim.knobs.switch_point);
    may_preempt();
}

/* Of what orders nothing, such as counters: there are many, and no schedule is another one by what they
 * show. */
void gnp_sim_point_relaxed(void)
{
    if (self == NULL)
        return;
    step(ATOMIC_NS);
    maybe_switch(sim.knobs.switch_point);
}

void gnp_sim_meet(void)
{
    gnp_sim_call();
    if (self != NULL)
        may_preempt();
}

void gnp_sim_call(void)
{
    if (self == NULL)
        return;
    step(CALL_NS);
    maybe_switch(sim.knobs.switch_point);
}

/* The one behind this, in a ring: so that of those who spin each has its turn. */
static sim_thread *next_runnable(void)
{
    sim_thread *t = self;

    do
        t = t->next != NULL ? t->next : sim.threads;
    while (t->state != RUNNABLE);
    return t;
}

/* Who spins must let the one it waits for go on. */
static void pass(unsigned ns)
{
    if (self == NULL)
        return;
    step(ns);
    if (sim.scheduled)
        switch_to(next_runnable());
    else
        maybe_switch(1024);
}

void gnp_sim_pass(void)
{
    pass(CALL_NS);
}

static void timer(sim_event *e)
{
    sim_thread *t = (sim_thread *)(void *)((char *)e - offsetof(sim_thread, timer));

    t->timed_out = 1;
    t->state = RUNNABLE;
}

int gnp_sim_block(const void *on, const char *what, uint64_t deadline_ns)
{
    if (self == NULL)
        return 1;
    self->on = on;
    self->what = what;
    self->timed_out = 0;
    self->state = BLOCKED;
    if (deadline_ns != GNP_NEVER)
        gnp_sim_at(&self->timer, deadline_ns, timer);
    reschedule();
    gnp_sim_cancel(&self->timer);
    self->on = NULL;
    return self->timed_out;
}

void gnp_sim_wake(const void *on)
{
    sim_thread *t;

    for (t = sim.threads; t != NULL; t = t->next) {
        if (t->state == BLOCKED && t->on == on)
            t->state = RUNNABLE;
    }
}

/* Wakes one of them: which is the seed's choice. */
static void wake_one(const void *on)
{
    sim_thread *t;
    unsigned n = 0;
    uint64_t i;

    for (t = sim.threads; t != NULL; t = t->next)
        n += t->state == BLOCKED && t->on == on;
    i = sim.scheduled ? gnp_sim_choose(n, 0) : gnp_sim_below(n);
    for (t = sim.threads; t != NULL; t = t->next) {
        if (t->state == BLOCKED && t->on == on && i-- == 0) {
            t->state = RUNNABLE;
            return;
        }
    }
}

/* ------------------------------------------------------------------ threads */

static sim_thread *thread_new(const char *name)
{
    sim_thread *t = calloc(1, sizeof(*t));
    sim_thread **end = &sim.threads;

    if (t == NULL)
        abort();
    t->id = ++sim.threads_made;
    strncpy(t->name, name != NULL ? name : "", sizeof(t->name) - 1);
    t->go = gnp_sim_baton_new();
    while (*end != NULL)
        end = &(*end)->next;
    *end = t;
    return t;
}

static void thread_free(sim_thread *t)
{
    sim_thread **at = &sim.threads;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    gnp_sim_baton_free(t->go);
    free(t);
}

void gnp_sim_begin_threads(void)
{
    self = thread_new("main");
}

void gnp_sim_end_threads(void)
{
    sim_thread *t;

    for (t = sim.threads; t != NULL; t = t->next) {
        if (t != self)
            gnp_sim_fail("thread t%u %s was not joined", t->id, t->name);
    }
    t = self;
    self = NULL;
    thread_free(t);
}

static void *thread_main(void *arg)
{
    self = arg;
    await(self);
    self->fn(self->arg);
    self->state = DONE;
    gnp_sim_mark("exit", 0, 0, 0);
    gnp_sim_wake(self);
    reschedule();
    return NULL;
}

gnp_sim_thread *gnp_sim_spawn(void (*fn)(void *arg), void *arg, const char *name)
{
    sim_thread *t = thread_new(name);
    pthread_attr_t a;

    t->fn = fn;
    t->arg = arg;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, STACK_BYTES);
    if (pthread_create(&t->host, &a, thread_main, t) != 0) {
        fprintf(stderr, "the host has no thread left\n");
        abort();
    }
    pthread_attr_destroy(&a);
    gnp_sim_mark("spawn", t->id, 0, 0);
    return t;
}

void gnp_sim_join(gnp_sim_thread *t)
{
    while (t->state != DONE)
        gnp_sim_block(t, "join", GNP_NEVER);
    gnp_sim_mark("join", t->id, 0, 0);
    pthread_join(t->host, NULL);
    thread_free(t);
}

int gnp_thread_start(gnp_thread *out, void (*fn)(void *arg), void *arg, const char *name)
{
    sim_thread *t;

    gnp_sim_call();
    if (gnp_sim_fault(sim.knobs.thread_error))
        return gnp_sim_below(2) ? GNP_AGAIN : GNP_ENOMEM;
    t = gnp_sim_spawn(fn, arg, name);
    memset(out, 0, sizeof(*out));
    out->opaque[0] = (uint64_t)(uintptr_t)t;
    gnp_sim_call();
    return GNP_OK;
}

void gnp_thread_join(gnp_thread *t)
{
    gnp_sim_call();
    gnp_sim_join((sim_thread *)(uintptr_t)t->opaque[0]);
}

uint64_t gnp_thread_id(void)
{
    return (uint64_t)gnp_sim_self() + 1;
}

void gnp_thread_yield(void)
{
    gnp_sim_pass();
}

void gnp_cpu_relax(void)
{
    pass(PAUSE_NS);
}

/* ------------------------------------------------------- mutex and condition */

#define MUTEX UINT64_C(0x6d75746578) /* in opaque[0]; [1] is the owner's number plus one */
#define COND UINT64_C(0x636f6e64)

static void must_be(const uint64_t *opaque, uint64_t magic, const char *call)
{
    if (opaque[0] != magic)
        gnp_sim_fail("%s: not initialised, or destroyed", call);
}

int gnp_mutex_init(gnp_mutex *m)
{
    if (gnp_sim_fault(sim.knobs.alloc_error))
        return GNP_ENOMEM;
    memset(m, 0, sizeof(*m));
    m->opaque[0] = MUTEX;
    return GNP_OK;
}

void gnp_mutex_destroy(gnp_mutex *m)
{
    must_be(m->opaque, MUTEX, "gnp_mutex_destroy");
    if (m->opaque[1] != 0)
        gnp_sim_fail("gnp_mutex_destroy: locked");
    m->opaque[0] = 0;
}

static void lock(gnp_mutex *m)
{
    must_be(m->opaque, MUTEX, "gnp_mutex_lock");
    if (m->opaque[1] == gnp_thread_id())
        gnp_sim_fail("gnp_mutex_lock: it has it already");
    while (m->opaque[1] != 0)
        gnp_sim_block(m, "mutex", GNP_NEVER);
    m->opaque[1] = gnp_thread_id();
}

static void unlock(gnp_mutex *m)
{
    must_be(m->opaque, MUTEX, "gnp_mutex_unlock");
    if (m->opaque[1] != gnp_thread_id())
        gnp_sim_fail("gnp_mutex_unlock: it is another's");
    m->opaque[1] = 0;
    gnp_sim_wake(m);
}

void gnp_mutex_lock(gnp_mutex *m)
{
    gnp_sim_meet();
    lock(m);
    gnp_sim_mark("lock", 0, 0, 0);
}

int gnp_mutex_try(gnp_mutex *m)
{
    gnp_sim_meet();
    must_be(m->opaque, MUTEX, "gnp_mutex_try");
    if (m->opaque[1] != 0)
        return GNP_AGAIN;
    m->opaque[1] = gnp_thread_id();
    gnp_sim_mark("lock", 0, 0, 0);
    return GNP_OK;
}

void gnp_mutex_unlock(gnp_mutex *m)
{
    unlock(m);
    gnp_sim_meet();
}

int gnp_cond_init(gnp_cond *c)
{
    if (gnp_sim_fault(sim.knobs.alloc_error))
        return GNP_ENOMEM;
    memset(c, 0, sizeof(*c));
    c->opaque[0] = COND;
    return GNP_OK;
}

void gnp_cond_destroy(gnp_cond *c)
{
    sim_thread *t;

    must_be(c->opaque, COND, "gnp_cond_destroy");
    for (t = sim.threads; t != NULL; t = t->next) {
        if (t->state == BLOCKED && t->on == c)
            gnp_sim_fail("gnp_cond_destroy: t%u %s waits for it", t->id, t->name);
    }
    c->opaque[0] = 0;
}

void gnp_cond_signal(gnp_cond *c)
{
    must_be(c->opaque, COND, "gnp_cond_signal");
    gnp_sim_meet();
    wake_one(c);
    gnp_sim_mark("signal", 0, 0, 0);
}

void gnp_cond_broadcast(gnp_cond *c)
{
    must_be(c->opaque, COND, "gnp_cond_broadcast");
    gnp_sim_meet();
    gnp_sim_wake(c);
    gnp_sim_mark("broadcast", 0, 0, 0);
}

int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns)
{
    int late = 0;

    must_be(c->opaque, COND, "gnp_cond_wait");
    gnp_sim_meet();
    unlock(m);
    if (deadline_ns <= sim.now)
        late = 1;
    else if (gnp_sim_chance(sim.knobs.spurious_cond))
        gnp_sim_pass();
    else
        late = gnp_sim_block(c, "condition", deadline_ns);
    lock(m);
    gnp_sim_mark("cond_wait", late, 0, 0);
    return late ? GNP_ETIMEDOUT : GNP_OK;
}

void gnp_cond_wait(gnp_cond *c, gnp_mutex *m)
{
    (void)gnp_cond_wait_until(c, m, GNP_NEVER);
}

/* --------------------------------------------------------------------- time */

#define WALL_START_NS UINT64_C(1700000000000000000)
#define WALL_JUMP_NS UINT64_C(3600000000000)

uint64_t gnp_now(void)
{
    gnp_sim_call();
    return sim.now != 0 ? sim.now : 1;
}

uint64_t gnp_wall(void)
{
    gnp_sim_call();
    if (gnp_sim_chance(sim.knobs.wall_jump))
        sim.wall_ns += gnp_sim_below(2 * WALL_JUMP_NS) - WALL_JUMP_NS;
    return WALL_START_NS + sim.now + sim.wall_ns;
}

/* All of the world's time is spent by somebody, but who knows by whom. */
uint64_t gnp_thread_cpu(void)
{
    return 0;
}

uint64_t gnp_process_cpu(void)
{
    return 0;
}

void gnp_sleep_until(uint64_t deadline_ns)
{
    gnp_sim_call();
    while (sim.now < deadline_ns)
        gnp_sim_block(&sim.now, "sleep", deadline_ns);
    gnp_sim_mark("sleep", (int64_t)deadline_ns, 0, 0);
}

void gnp_sim_sleep(uint64_t ns)
{
    gnp_sleep_until(sim.now + ns);
}
