/* SPDX-License-Identifier: MIT */
/*
 * Worker pools and multipools: threads hand in tasks in every mode, cancel some, and a boss resizes,
 * releases and reboots meanwhile.  Each task that was accepted is called exactly once; capacity and queue
 * keep their bounds at every step; what the pool counts is what was seen; who is idle ends; and a pool that
 * is at rest takes exactly as much as it should.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define TASKS 24
#define NESTED 3 /* tasks that one task may hand in itself */
#define PROBES 24
#define STEP (100 * UINT64_C(1000)) /* between two looks at something that others change */
#define LATE SECOND /* more than all the delays of a world add up to between two events */

typedef struct house {
    gn_pool *pool; /* or */
    gn_multipool *multi;
    unsigned pools;
    gn_pool_options o; /* of each */
    unsigned most;     /* capacity of each, now or a moment ago; of a multipool, the largest so far */
    uint64_t inside;   /* callers in a submit */
    uint64_t accepted, refused, begun, ended, canceled;
    uint64_t running, grace; /* see shrunk */
    uint64_t canceling; /* threads: their task no longer waits, and has not been called yet */
    int releasing, released, over;
    int gate; /* 1: probes go */
} house;

typedef struct task {
    house *house;
    unsigned number, tried; /* tried: how often it was handed in */
    int called, status, accepted;
    int canceling; /* by the thread that is inside gn_pool_cancel */
    int probe;
    unsigned nested;
    struct task *child;
    gn_op op;
} task;

static uint64_t room(const house *h)
{
    return (uint64_t)h->pools * (h->o.queue_max + h->most);
}

/* Workers that there may be: those within the capacity, and those of an older one that have not yet ended
 * the task that they had begun, or were about to begin, when it shrank. */
static uint64_t workers(const house *h)
{
    uint64_t now = (uint64_t)h->pools * h->most;

    return h->running + h->grace > now ? h->running + h->grace : now;
}

static void shrunk(house *h, unsigned to)
{
    h->grace = workers(h) - h->running;
    if (h->multi == NULL) /* whose worker of an older capacity it is that runs cannot be seen */
        h->most = to;
}

/* ------------------------------------------------------------------- tasks */

static void submit(house *h, task *t, int how);

static void nested(task *t)
{
    for (; t->nested > 0; t->nested--) {
        task *child = &t->child[t->nested - 1];
        child->house = t->house;
        submit(t->house, child, (int)gnp_sim_below(5));
    }
}

static void try_to_wait_for_itself(house *h)
{
    int rc = h->multi != NULL ? gn_multipool_release_wait(h->multi, SECOND)
                              : gn_pool_release_wait(h->pool, SECOND);

    must(rc == GN_EDEADLOCK, "a worker may wait for itself: %s", gn_strerror(rc));
}

static void work(task *t)
{
    house *h = t->house;

    h->begun++;
    if (++h->running > (uint64_t)h->pools * h->most && h->most != 0) {
        must(h->grace > 0, "%llu tasks run at once; the capacity is %u, of %u pools",
             (unsigned long long)h->running, h->most, h->pools);
        h->grace--;
    }
    gnp_sim_note("task", t->number, (int64_t)h->running);
    if (one_in(16))
        try_to_wait_for_itself(h);
    if (!t->probe && one_in(2))
        gnp_sim_sleep(gnp_sim_below(2 * MS));
    nested(t);
    while (t->probe && !h->gate)
        gnp_sim_sleep(STEP);
    h->running--;
    h->ended++;
}

static void task_run(int status, void *arg)
{
    task *t = arg;
    house *h = t->house;

    must(t->tried > 0, "a task is called that nobody has handed in");
    must(!t->called, "a task is called twice");
    must(status == GN_OK || status == GN_ECANCELED, "a task is called with %s", gn_strerror(status));
    must(status == GN_OK || t->canceling || h->releasing, "a task was cancelled by nobody");
    t->called = 1;
    t->status = status;
    if (status == GN_OK) {
        work(t);
        return;
    }
    gnp_sim_note("canceled", t->number, 0);
    h->canceled++;
    nested(t);
}

static int put(house *h, task *t, int how)
{
    uint64_t wait = how == 2 ? gnp_sim_below(3 * MS) : 0, began = gn_now();
    int rc;

    if (h->multi != NULL && how == 3 && h->o.fn != NULL)
        return gn_multipool_invoke(h->multi, t);
    if (h->multi != NULL)
        return how == 0 ? gn_multipool_submit(h->multi, task_run, t)
                        : gn_multipool_try_submit(h->multi, task_run, t);
    switch (how) {
    case 0: return gn_pool_submit(h->pool, task_run, t);
    case 2:
        rc = gn_pool_submit_wait(h->pool, task_run, t, wait);
        must(rc != GN_ETIMEDOUT || gn_now() - began >= wait, "a wait for room ended %llu ns too soon",
             (unsigned long long)(wait - (gn_now() - began)));
        return rc;
    case 3:
        rc = gn_pool_invoke(h->pool, t);
        must(rc != GN_EINVAL || h->o.fn == NULL, "invoke: there is a function");
        if (rc != GN_EINVAL)
            return rc;
        h->refused--; /* it was no attempt */
        return rc;
    case 4: return gn_pool_submit_op(h->pool, task_run, t, &t->op);
    default: return gn_pool_try_submit(h->pool, task_run, t);
    }
}

static int legal(const house *h, int how, int rc)
{
    int may_block = !h->o.nonblocking && how != 1 && how != 4;

    switch (rc) {
    case GN_OK: return 1;
    case GN_ELIMIT: return !may_block || h->o.blocking_max != 0;
    case GN_ETIMEDOUT: return how == 2 && may_block && h->multi == NULL;
    case GN_ECLOSED: return h->released > 0;
    case GN_EDEADLOCK: return may_block && h->running > 0;
    case GN_EINVAL: return how == 3 && h->o.fn == NULL;
    default: return gnp_sim_faults() > 0;
    }
}

static void submit(house *h, task *t, int how)
{
    int rc;

    if (h->multi != NULL && how == 3 && h->o.fn == NULL)
        how = 1;
    if (h->multi != NULL && (how == 2 || how == 4))
        how = 1;
    t->tried++;
    h->inside++;
    rc = put(h, t, how);
    h->inside--;
    gnp_sim_note("submit", rc, how);
    must(legal(h, how, rc), "submit in mode %d: %s", how, gn_strerror(rc));
    must(rc == GN_OK || !t->called, "a task that was refused was called");
    if (rc == GN_OK) {
        t->accepted = 1;
        h->accepted++;
        uint64_t most = (uint64_t)h->pools * h->o.queue_max + workers(h) + h->canceling;
        must(h->accepted <= most + h->ended + h->canceled || h->most == 0 || h->releasing,
             "%llu tasks wait or run; there is room for %llu",
             (unsigned long long)(h->accepted - h->ended - h->canceled), (unsigned long long)most);
    } else {
        h->refused++;
    }
}

/* ----------------------------------------------------------------- threads */

typedef struct submitter {
    house *house;
    task tasks[TASKS];
    task children[TASKS][NESTED];
    unsigned count;
} submitter;

static void cancel(house *h, task *t)
{
    int rc;

    if (t->op == GN_OP_NONE || !t->accepted)
        return;
    int ended = t->called && t->status == GN_ECANCELED;
    t->canceling = 1;
    h->canceling++;
    rc = gn_pool_cancel(h->pool, t->op);
    h->canceling--;
    t->canceling = 0;
    gnp_sim_note("cancel", rc, t->number);
    must(rc == GN_OK || rc == GN_EBUSY || rc == GN_ECLOSED, "cancel: %s", gn_strerror(rc));
    must(rc != GN_OK || (t->called && t->status == GN_ECANCELED), "cancel has called nothing");
    must(rc != GN_OK || !ended, "cancel of a task that was cancelled before");
    must(rc != GN_ECLOSED || t->called || h->releasing, "cancel of a task that waits finds nothing");
    if (t->called && t->status == GN_OK)
        must(rc != GN_OK, "cancel of a task that has run");
}

static void submitter_run(void *arg)
{
    submitter *s = arg;

    for (unsigned i = 0; i < s->count; i++) {
        task *t = &s->tasks[i];
        t->house = s->house;
        t->number = i;
        t->child = s->children[i];
        t->nested = one_in(8) ? 1 + (unsigned)gnp_sim_below(NESTED) : 0;
        submit(s->house, t, (int)gnp_sim_below(5));
        if (one_in(3))
            cancel(s->house, &s->tasks[gnp_sim_below(i + 1)]);
        if (one_in(8))
            gnp_sim_sleep(gnp_sim_below(2 * MS));
    }
}

static void get_stats(const house *h, gn_pool_stats *s)
{
    s->size = sizeof *s;
    int rc = h->multi != NULL ? gn_multipool_get_stats(h->multi, s) : gn_pool_get_stats(h->pool, s);
    must(rc == GN_OK, "stats: %s", gn_strerror(rc));
}

/* At any moment.  A worker that is one too many may have ended its task and not yet told the pool. */
static void check_stats(const house *h)
{
    gn_pool_stats s;
    uint64_t before, until = gn_now() + LATE;

    for (;;) {
        before = workers(h);
        get_stats(h, &s);
        before = before > workers(h) ? before : workers(h);
        if (h->most == 0)
            return;
        if (s.workers <= before || gn_now() >= until)
            break;
        gnp_sim_sleep(STEP);
    }
    must(s.workers <= before, "%u workers; %llu are allowed", s.workers, (unsigned long long)before);
    must(s.running <= s.workers, "%u tasks run on %u workers", s.running, s.workers);
    must(h->o.blocking_max == 0 || s.blocked <= h->o.blocking_max * h->pools, "%u callers block", s.blocked);
}

static void resize(house *h)
{
    unsigned to = 1 + (unsigned)gnp_sim_below(4);
    int rc;

    if (h->most == 0)
        return;
    if (to > h->most)
        h->most = to;
    rc = h->multi != NULL ? gn_multipool_resize(h->multi, to) : gn_pool_resize(h->pool, to);
    gnp_sim_note("resize", rc, to);
    must(rc == (h->o.prealloc ? GN_ENOTSUP : GN_OK), "resize: %s", gn_strerror(rc));
    if (rc != GN_OK)
        h->most = h->o.capacity;
    else if (to < h->most)
        shrunk(h, to);
}

static int release(house *h, int wait)
{
    uint64_t ns = one_in(2) ? gnp_sim_below(3 * MS) : UINT64_MAX, accepted, began = gn_now();
    int rc;

    h->releasing = 1;
    h->released++;
    if (wait)
        rc = h->multi != NULL ? gn_multipool_release_wait(h->multi, ns) : gn_pool_release_wait(h->pool, ns);
    else
        rc = h->multi != NULL ? gn_multipool_release(h->multi) : gn_pool_release(h->pool);
    accepted = h->accepted;
    h->releasing = 0;
    gnp_sim_note("release", rc, wait);
    must(rc == GN_OK || (wait && rc == GN_ETIMEDOUT), "release: %s", gn_strerror(rc));
    must(rc == GN_OK || gn_now() - began >= ns, "release gave up too soon");
    must(!wait || rc != GN_OK || (h->running == 0 && accepted <= h->ended + h->canceled),
         "released: %llu of %llu tasks have ended, %llu run", (unsigned long long)(h->ended + h->canceled),
         (unsigned long long)accepted, (unsigned long long)h->running);
    return rc;
}

static void reboot(house *h)
{
    int rc = h->multi != NULL ? gn_multipool_reboot(h->multi) : gn_pool_reboot(h->pool);

    gnp_sim_note("reboot", rc, 0);
    must(rc == GN_OK, "reboot: %s", gn_strerror(rc));
}

static void boss_run(void *arg)
{
    house *h = arg;
    int closing = one_in(2);

    while (!h->over) {
        if (one_in(3))
            resize(h);
        if (closing && one_in(4)) {
            (void)release(h, one_in(2));
            if (one_in(2))
                gnp_sim_sleep(gnp_sim_below(3 * MS));
            reboot(h);
        }
        check_stats(h);
        gnp_sim_sleep(gnp_sim_below(2 * MS));
    }
}

/* ------------------------------------------------------------------ probes */

static void settle(const house *h)
{
    uint64_t until = gn_now() + 10 * LATE;
    gn_pool_stats s;

    while (h->accepted != h->ended + h->canceled) {
        must(gn_now() < until, "%llu tasks were accepted, %llu have ended", (unsigned long long)h->accepted,
             (unsigned long long)(h->ended + h->canceled));
        gnp_sim_sleep(STEP);
    }
    do { /* the last worker may not have told that it is free */
        gnp_sim_sleep(STEP);
        get_stats(h, &s);
    } while (s.running + s.waiting > 0 && gn_now() < until);
}

static void idle_soon(const house *h)
{
    gn_pool_stats s;

    do {
        gnp_sim_sleep(UINT64_C(1000));
        get_stats(h, &s);
    } while (s.running + s.waiting > 0);
}

/* All workers have had something to do and go idle within microseconds; their time is over, within
 * microseconds, when this returns. */
static void just_when_they_end(house *h)
{
    task *t = calloc(PROBES, sizeof *t);
    unsigned all = h->pools * h->most;

    must(t != NULL, "no memory");
    h->gate = 1;
    for (unsigned i = 0; i < all && i < PROBES; i++) {
        t[i] = (task){ .house = h, .number = 2000 + i, .probe = 1, .tried = 1 };
        int rc = put(h, &t[i], 1);
        h->accepted += rc == GN_OK;
        h->refused += rc != GN_OK;
    }
    idle_soon(h);
    gnp_sim_sleep(h->o.expiry_ns - 6000 + gnp_sim_below(8000));
    free(t);
}

typedef struct late_comer {
    house *house;
    task task;
    int in;
} late_comer;

static void late_comer_run(void *arg)
{
    late_comer *l = arg;

    submit(l->house, &l->task, 0);
    l->in = 1;
}

/* Somebody blocks before a full pool; a cancel makes room, and nothing else does. */
static void squeeze(house *h, task *probes)
{
    late_comer l = { .house = h };
    gn_pool_stats s;
    task *waits = probes;

    while (waits->called)
        waits++;

    l.task = (task){ .house = h, .number = 3000, .probe = 1 };
    gnp_sim_thread *thread = gnp_sim_spawn(late_comer_run, &l, "late comer");
    do {
        gnp_sim_sleep(STEP);
        get_stats(h, &s);
    } while (s.blocked == 0 && gnp_sim_faults() == 0);
    cancel(h, waits);
    must(waits->called || gnp_sim_faults() > 0, "a task that waits is not cancelled");
    for (uint64_t until = gn_now() + LATE; !l.in && gn_now() < until;)
        gnp_sim_sleep(STEP);
    must(l.in || gnp_sim_faults() > 0, "who blocks is not let in by a cancel");
    h->gate = 1;
    gnp_sim_join(thread);
    settle(h);
}

/* A pool at rest takes as many tasks as it has workers and places, all of its workers run, and then it
 * is full. */
static void probe(house *h)
{
    task *tasks = calloc(PROBES, sizeof *tasks);
    uint64_t all = room(h), n = 0, until, calm = (uint64_t)h->pools * h->most;
    gn_pool_stats s;
    int rc = GN_OK;

    must(tasks != NULL, "no memory");
    settle(h);
    if (h->o.expiry_ns < SECOND && one_in(2))
        just_when_they_end(h);
    h->gate = 0;
    for (; rc == GN_OK && n < PROBES; n++) {
        tasks[n] = (task){ .house = h, .number = 1000 + (unsigned)n, .probe = 1, .tried = 1 };
        rc = put(h, &tasks[n], h->multi == NULL ? 4 : 1);
        tasks[n].accepted = rc == GN_OK;
        h->accepted += rc == GN_OK;
        h->refused += rc != GN_OK;
    }
    if (gnp_sim_faults() == 0 && all < PROBES) {
        must(rc == GN_ELIMIT && n == all + 1, "a pool at rest took %llu tasks, not %llu: %s",
             (unsigned long long)n - 1, (unsigned long long)all, gn_strerror(rc));
        for (until = gn_now() + LATE; h->running < calm && gn_now() < until;)
            gnp_sim_sleep(STEP);
        must(h->running == calm, "%llu of %llu workers run", (unsigned long long)h->running,
             (unsigned long long)calm);
        get_stats(h, &s);
        must(s.running == calm && s.waiting == (uint64_t)h->pools * h->o.queue_max && s.free == 0,
             "stats: %u run, %llu wait", s.running, (unsigned long long)s.waiting);
        if (h->multi == NULL && h->o.queue_max > 0 && !h->o.nonblocking)
            squeeze(h, tasks);
    }
    h->gate = 1;
    settle(h);
    free(tasks);
}

static void check_idle_end(house *h)
{
    gn_pool_stats s;
    uint64_t until = gn_now() + h->o.expiry_ns + 10 * LATE;

    if (h->o.expiry_ns == UINT64_MAX)
        return;
    do {
        gnp_sim_sleep(h->o.expiry_ns / 2 + STEP);
        get_stats(h, &s);
    } while (s.workers > 0 && gn_now() < until);
    must(s.workers == 0, "%u idle workers do not end", s.workers);
}

static void check_sums(const house *h)
{
    gn_pool_stats s;

    get_stats(h, &s);
    must(s.submitted == h->accepted && s.completed == h->ended && s.canceled == h->canceled,
         "stats: %llu submitted, %llu completed, %llu canceled; seen: %llu, %llu, %llu",
         (unsigned long long)s.submitted, (unsigned long long)s.completed, (unsigned long long)s.canceled,
         (unsigned long long)h->accepted, (unsigned long long)h->ended, (unsigned long long)h->canceled);
    must(s.refused == h->refused, "stats: %llu refused; seen: %llu", (unsigned long long)s.refused,
         (unsigned long long)h->refused);
    must(s.waiting == 0 && s.blocked == 0, "stats: %llu wait, %u block", (unsigned long long)s.waiting,
         s.blocked);
}

/* --------------------------------------------------------------------- run */

static int make(house *h)
{
    gn_pool_options *o = &h->o;
    int rc;

    memset(h, 0, sizeof *h);
    gn_pool_options_init(o);
    o->capacity = (unsigned)gnp_sim_below(4);
    o->queue_max = one_in(4) ? 100 : gnp_sim_below(4);
    o->blocking_max = (unsigned)gnp_sim_below(3);
    o->nonblocking = one_in(3);
    o->prealloc = o->capacity > 0 && one_in(4);
    o->expiry_ns = one_in(6) ? UINT64_MAX : one_in(2) ? 200 * UINT64_C(1000) : 2 * MS;
    o->fn = one_in(2) ? task_run : NULL;
    h->most = o->capacity;
    h->pools = one_in(3) ? 1 + (unsigned)gnp_sim_below(3) : 0;
    if (h->pools > 0) {
        gn_pool_lb lb = one_in(2) ? GN_POOL_ROUND_ROBIN : GN_POOL_LEAST_TASKS;
        rc = gn_multipool_create(&h->multi, h->pools, lb, o);
    } else {
        h->pools = 1;
        rc = gn_pool_create(&h->pool, o);
    }
    gnp_sim_note("make", rc, h->pools);
    must(rc == GN_OK || gnp_sim_faults() > 0, "pool: %s", gn_strerror(rc));
    return rc == GN_OK;
}

static void end(house *h)
{
    int rc;

    h->releasing = 1;
    h->released++;
    rc = h->multi != NULL ? gn_multipool_destroy(h->multi) : gn_pool_destroy(h->pool);
    must(rc == GN_OK, "destroy: %s", gn_strerror(rc));
    must(h->accepted == h->ended + h->canceled, "%llu tasks were accepted, %llu ended, %llu cancelled",
         (unsigned long long)h->accepted, (unsigned long long)h->ended, (unsigned long long)h->canceled);
}

static void run(void *arg)
{
    house h;
    unsigned n = 1 + (unsigned)gnp_sim_below(THREADS), boss = one_in(2);
    submitter *s = calloc(THREADS, sizeof *s);
    crew threads = { .n = 0 }, bosses = { .n = 0 };

    (void)arg;
    must(s != NULL, "no memory");
    if (!make(&h)) {
        free(s);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        s[i].house = &h;
        s[i].count = (unsigned)gnp_sim_below(TASKS + 1);
        crew_add(&threads, submitter_run, &s[i], "submitter");
    }
    if (boss)
        crew_add(&bosses, boss_run, &h, "boss");
    crew_join(&threads);
    h.over = 1;
    crew_join(&bosses);
    if (one_in(4)) { /* with what still waits and runs */
        if (one_in(2))
            (void)release(&h, one_in(2));
    } else {
        settle(&h);
        check_sums(&h);
        if (h.multi != NULL && h.most != 0 && !h.o.prealloc)
            must(gn_multipool_resize(h.multi, h.most) == GN_OK, "resize");
        for (unsigned i = (unsigned)gnp_sim_below(4); h.most != 0 && i > 0; i--)
            probe(&h);
        check_sums(&h);
        check_idle_end(&h);
    }
    end(&h);
    free(s);
}

const scenario scenario_pool = { "pool", run };
