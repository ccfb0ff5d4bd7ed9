/* SPDX-License-Identifier: MIT */
/*
 * Timers: thousands on each loop, one-shot and periodic, that stop, restart and free themselves and each
 * other from their own callbacks; scheduled operations from other threads, and cancels of them; the tick.
 * None is early; none is passed over by a turn that it was due for; each fires as often as it should, and
 * never after it was stopped.
 */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#define LOOPS 3
#define THREADS 3
#define OPS 30
#define TICK (UINT64_C(1) << 20) /* about: the header says about a millisecond */
#define LATE (8 * MS)            /* without slow calls: a tick, and what others do meanwhile */
#define FEW 500                  /* a turn fires about a thousand; with fewer none has to wait for the next */

typedef struct bench bench;

typedef struct alarm {
    gn_timer timer; /* first */
    bench *bench;
    int armed;
    uint64_t armed_at, due, period, fires;
} alarm;

struct bench { /* of one loop */
    struct hall *hall;
    unsigned index, count;
    alarm **alarms;      /* NULL: freed by itself */
    uint64_t turn, before; /* the last two turns in which timers fired */
    uint64_t fires;
    int ready;
};

typedef struct hall {
    gn_engine *engine;
    bench benches[LOOPS];
    unsigned loops;
    uint64_t asked, done, horizon;
    uint64_t tick_at, ticks;
    int stopping, ended, calm; /* calm: no more is started */
} hall;

/* How late something may be; UINT64_MAX when the world has slow calls. */
static uint64_t tolerance(void)
{
    return gnp_sim_knobs_now()->slow_call != 0 ? UINT64_MAX : LATE;
}

static void check_late(const char *what, uint64_t due, uint64_t now)
{
    must(now < due || now - due <= tolerance(), "%s is %llu us late", what,
         (unsigned long long)((now - due) / 1000));
}

static uint64_t draw_delay(const hall *h)
{
    switch (gnp_sim_below(6)) {
    case 0: return gnp_sim_below(3);
    case 1: return gnp_sim_below(TICK);
    case 2: return gnp_sim_below(20) * TICK;
    case 3: return gnp_sim_below(3) * 64 * TICK + gnp_sim_below(3) * TICK; /* at the edges of the wheel */
    case 4: return one_in(2) ? UINT64_MAX - gnp_sim_below(3) : 100 * 3600 * SECOND; /* never comes */
    default: return gnp_sim_below(h->horizon);
    }
}

static void on_alarm(gn_loop *l, gn_timer *t, void *arg);

static void arm(gn_loop *l, alarm *a)
{
    const hall *h = a->bench->hall;
    uint64_t delay = draw_delay(h), now = gn_now();

    a->period = one_in(3) ? 1 + h->horizon / 20 + gnp_sim_below(h->horizon) : 0;
    if (one_in(64))
        a->period = 1;
    a->armed = 1;
    a->armed_at = now;
    a->due = delay > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + delay;
    int rc = gn_timer_start(l, &a->timer, delay, a->period, on_alarm, a);
    must(rc == GN_OK, "timer_start: %s", gn_strerror(rc));
    must(gn_timer_running(&a->timer), "a timer that was started does not run");
}

static void disarm(gn_loop *l, alarm *a)
{
    must(gn_timer_running(&a->timer) == a->armed, "running says %d of a timer that is %s",
         gn_timer_running(&a->timer), a->armed ? "started" : "stopped");
    must(gn_timer_stop(l, &a->timer) == a->armed, "stop is wrong about whether it ran");
    must(gn_timer_stop(l, &a->timer) == 0, "stopped twice");
    a->armed = 0;
}

/* What a callback does to its own timer, and to others. */
static void meddle(gn_loop *l, bench *b, unsigned i)
{
    alarm *a = b->alarms[i];

    if (a == NULL)
        return;
    switch (gnp_sim_below(4)) {
    case 0: disarm(l, a); break;
    case 1:
        disarm(l, a);
        free(a);
        b->alarms[i] = NULL;
        break;
    default:
        if (!b->hall->calm)
            arm(l, a);
        break;
    }
}

static unsigned index_of(const alarm *a)
{
    unsigned i = 0;

    while (a->bench->alarms[i] != a)
        i++;
    return i;
}

/* A turn that fired others should have fired it.  With many of them it may have left it to the next. */
static int passed_over(const alarm *a)
{
    const bench *b = a->bench;

    return b->count < FEW && b->before > a->armed_at && a->due <= b->before - 2 * TICK;
}

static void note_turn(bench *b)
{
    if (gn_now() != b->turn)
        b->before = b->turn;
    b->turn = gn_now();
}

/* When it should fire next: it keeps its rhythm, whatever it missed. */
static void fired(alarm *a)
{
    a->fires++;
    a->bench->fires++;
    a->armed = a->period != 0;
    a->armed_at = gn_now();
    if (a->period != 0)
        a->due += ((gn_now() - a->due) / a->period + 1) * a->period;
}

static void on_alarm(gn_loop *l, gn_timer *t, void *arg)
{
    alarm *a = arg;
    bench *b = a->bench;

    must(t == &a->timer && l == gn_loop_current() && gn_loop_index(l) == b->index, "another timer, or loop");
    must(!b->hall->ended, "a timer fires after the engine has ended");
    must(a->armed, "a timer fires that was stopped, or once too often");
    must(gn_now() >= a->due, "a timer is %llu ns early", (unsigned long long)(a->due - gn_now()));
    note_turn(b);
    check_late("a timer", a->due, gn_now());
    must(!passed_over(a), "a turn passed a timer over that was due %llu us before",
         (unsigned long long)((b->before - a->due) / 1000));
    fired(a);
    must(gn_timer_running(t) == a->armed, "running says %d in the callback", gn_timer_running(t));
    if (b->fires <= 8 || one_in(64))
        gnp_sim_note("alarm", (int64_t)b->index, (int64_t)a->fires);
    if (one_in(6))
        meddle(l, b, (unsigned)gnp_sim_below(b->count));
    else if (one_in(6))
        meddle(l, b, index_of(a));
}

static void set_up(gn_handle h, int status, void *arg)
{
    bench *b = arg;

    (void)h;
    b->hall->done++;
    b->ready = status == GN_OK;
    for (unsigned i = 0; b->ready && i < b->count; i++) {
        b->alarms[i]->bench = b;
        must(!gn_timer_running(&b->alarms[i]->timer), "a zeroed timer runs");
        must(gn_timer_stop(gn_loop_current(), &b->alarms[i]->timer) == 0, "a zeroed timer was running");
        arm(gn_loop_current(), b->alarms[i]);
    }
}

/* Nothing that was due long ago is still armed. */
static void look(gn_handle h, int status, void *arg)
{
    const bench *b = arg;

    (void)h;
    b->hall->done++;
    if (status != GN_OK)
        return;
    for (unsigned i = 0; i < b->count; i++) {
        const alarm *a = b->alarms[i];
        if (a == NULL)
            continue;
        must(gn_timer_running(&a->timer) == a->armed, "a timer runs and should not, or the other way round");
        if (a->armed)
            check_late("a timer that has not fired", a->due, gn_now());
        must(!a->armed || !passed_over(a), "a turn has passed a timer over");
    }
}

/* -------------------------------------------------------------- scheduled */

typedef struct waiting {
    hall *hall;
    uint64_t due, canceled_at;
    int ended, canceled, status;
    unsigned loop;
    gn_op op;
} waiting;

typedef struct scheduler {
    hall *hall;
    unsigned count;
    waiting waits[OPS];
} scheduler;

static void on_wait(gn_handle h, int status, void *arg)
{
    waiting *w = arg;
    const gn_loop *l = gn_loop_current();

    (void)h;
    gnp_sim_note("wait", status, (int64_t)w->loop);
    must(!w->ended, "a scheduled operation ends twice");
    w->ended = 1;
    w->status = status;
    w->hall->done++;
    must(status == GN_OK || status == GN_ECANCELED || (status == GN_ECLOSED && w->hall->stopping),
         "a scheduled operation ends with %s", gn_strerror(status));
    must(status != GN_ECANCELED || w->canceled, "a scheduled operation was cancelled by nobody");
    if (status != GN_OK)
        return;
    must(l != NULL && gn_loop_index(l) == w->loop, "a scheduled operation runs elsewhere");
    must(gn_now() >= w->due, "a scheduled operation is %llu ns early",
         (unsigned long long)(w->due - gn_now()));
    check_late("a scheduled operation", w->due, gn_now());
    /* A cancel that came long before is no longer on its way. */
    must(w->canceled_at == 0 || tolerance() == UINT64_MAX || w->canceled_at + LATE > w->due,
         "a cancel came in time and did nothing");
}

static void cancel(waiting *w)
{
    int ended = w->ended, rc;

    if (w->op == GN_OP_NONE)
        return;
    w->canceled = 1;
    rc = gn_cancel(w->op);
    gnp_sim_note("cancel", rc, ended);
    must(rc == GN_OK || (rc == GN_ECLOSED && w->hall->stopping) || gnp_sim_faults() > 0, "cancel: %s",
         gn_strerror(rc));
    if (rc == GN_OK && !w->ended && w->canceled_at == 0)
        w->canceled_at = gn_now();
}

static void scheduler_run(void *arg)
{
    scheduler *s = arg;
    hall *h = s->hall;

    for (unsigned i = 0; i < s->count; i++) {
        waiting *w = &s->waits[i];
        uint64_t delay = draw_delay(h), now = gn_now();
        w->hall = h;
        w->loop = (unsigned)gnp_sim_below(h->loops);
        w->due = delay > UINT64_MAX - now ? UINT64_MAX : now + delay;
        h->asked++;
        int rc = gn_schedule(gn_engine_loop(h->engine, w->loop), delay, on_wait, w, &w->op);
        gnp_sim_note("schedule", rc, 0);
        if (rc != GN_OK) {
            h->asked--;
            must(w->op == GN_OP_NONE && !w->ended, "a refused operation has a name, or has ended");
            must((rc == GN_ECLOSED && h->stopping) || gnp_sim_faults() > 0, "schedule: %s", gn_strerror(rc));
        }
        if (one_in(3))
            cancel(&s->waits[gnp_sim_below(i + 1)]);
        if (one_in(4))
            gnp_sim_sleep(gnp_sim_below(h->horizon / 8));
    }
}

/* -------------------------------------------------------------------- tick */

static gn_action on_tick(gn_engine *e, uint64_t *next_ns, void *user)
{
    hall *h = user;

    must(gn_loop_current() != NULL && gn_loop_index(gn_loop_current()) == 0 && !h->ended, "a tick elsewhere");
    must(*next_ns == UINT64_MAX && (h->engine == NULL || e == h->engine), "a tick with other arguments");
    must(h->ticks == 0 || gn_now() >= h->tick_at, "a tick is early");
    if (h->ticks++ > 0)
        check_late("a tick", h->tick_at, gn_now());
    gnp_sim_note("tick", (int64_t)h->ticks, 0);
    *next_ns = h->ticks > 40 ? UINT64_MAX : one_in(8) ? 0 : gnp_sim_below(h->horizon / 4);
    h->tick_at = *next_ns == UINT64_MAX ? UINT64_MAX : gn_now() + *next_ns;
    return GN_NONE;
}

/* --------------------------------------------------------------------- run */

static void bench_make(hall *h, unsigned i, unsigned count)
{
    bench *b = &h->benches[i];

    *b = (bench){ .hall = h, .index = i, .count = count };
    b->alarms = calloc(count, sizeof *b->alarms);
    must(b->alarms != NULL, "no memory");
    for (unsigned k = 0; k < count; k++) {
        b->alarms[k] = calloc(1, sizeof *b->alarms[k]);
        must(b->alarms[k] != NULL, "no memory");
    }
}

static void bench_free(bench *b)
{
    for (unsigned k = 0; k < b->count; k++)
        free(b->alarms[k]);
    free(b->alarms);
}

static void on_each_loop(hall *h, gn_done fn)
{
    for (unsigned i = 0; i < h->loops; i++) {
        h->asked++;
        int rc = gn_execute(gn_engine_loop(h->engine, i), fn, &h->benches[i]);
        if (rc != GN_OK)
            h->asked--;
        must(rc == GN_OK || gnp_sim_faults() > 0 || (rc == GN_ECLOSED && h->stopping), "execute: %s",
             gn_strerror(rc));
    }
}

static void end(hall *h)
{
    uint64_t fires = 0, now;

    h->stopping = 1;
    (void)gn_engine_stop(h->engine, gnp_sim_below(2) * SECOND);
    int rc = gn_engine_join(h->engine);
    must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    h->ended = 1;
    for (unsigned i = 0; i < h->loops; i++)
        fires += h->benches[i].fires;
    gn_stats s = { .size = sizeof s };
    must(gn_engine_stats(h->engine, &s) == GN_OK && s.timers >= fires, "stats: %llu timers fired; seen: %llu",
         (unsigned long long)s.timers, (unsigned long long)fires);
    now = fires;
    gnp_sim_sleep(SECOND);
    for (unsigned i = 0; i < h->loops; i++)
        now -= h->benches[i].fires;
    must(now == 0, "timers fire after the end");
    must(gn_engine_destroy(h->engine) == GN_OK, "destroy");
    must(h->asked == h->done, "%llu operations, %llu ended", (unsigned long long)h->asked,
         (unsigned long long)h->done);
}

static void run(void *arg)
{
    static const gn_handler quiet = { .on_boot = NULL }, ticking = { .on_tick = on_tick };
    static const size_t counts[] = { 1, 10, 60, 300 };
    hall h = { .horizon = (UINT64_C(5) << gnp_sim_below(9)) * MS };
    scheduler *s = calloc(THREADS, sizeof *s);
    unsigned n = (unsigned)gnp_sim_below(THREADS + 1);
    crew threads = { .n = 0 };
    gn_options o;

    (void)arg;
    must(s != NULL, "no memory");
    draw_options(&o);
    h.loops = o.loops;
    h.engine = serve(one_in(2) ? &quiet : &ticking, &h, &o, draw_stream_address());
    if (h.engine == NULL) {
        free(s);
        return;
    }
    for (unsigned i = 0; i < h.loops; i++)
        bench_make(&h, i, one_in(20) ? 3000 : (unsigned)pick(counts, 4));
    on_each_loop(&h, set_up);
    for (unsigned i = 0; i < n; i++) {
        s[i].hall = &h;
        s[i].count = (unsigned)gnp_sim_below(OPS + 1);
        crew_add(&threads, scheduler_run, &s[i], "scheduler");
    }
    gnp_sim_sleep(gnp_sim_below(h.horizon));
    if (one_in(3)) {
        h.stopping = 1;
        (void)gn_engine_stop(h.engine, gnp_sim_below(2) * SECOND);
    } else if (one_in(2)) {
        on_each_loop(&h, look);
        h.calm = 1;
        gnp_sim_sleep(h.horizon);
        on_each_loop(&h, look);
    }
    crew_join(&threads);
    end(&h);
    for (unsigned i = 0; i < h.loops; i++)
        bench_free(&h.benches[i]);
    free(s);
}

const scenario scenario_timers = { "timers", run };
