/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <string.h>

#include "budget.h"
#include "dial.h"
#include "engine.h"
#include "log.h"
#include "outbound.h"
#include "post.h"
#include "udp.h"

/* Segments that a loop keeps for the next burst: 128 of 8 KiB are 1 MiB. */
#define SEGMENTS_KEPT 128u

gni_loop_slot gni_loop_slots[GNI_LOOP_SLOTS];
static GNP_THREAD_LOCAL gn_loop *current_loop;

int gni_loop_init(gn_loop *l, gn_engine *e, uint32_t index)
{
    for (uint32_t s = 1; s < GNI_LOOP_SLOTS; s++) {
        uint32_t no = 0;
        if (gnp_load32(&gni_loop_slots[s].taken) != 0 || !gnp_cas32(&gni_loop_slots[s].taken, &no, 1)) {
            continue;
        }
        l->magic = GNI_LOOP_MAGIC;
        l->engine = e;
        l->index = index;
        l->slot = s;
        l->gen = gnp_load32(&gni_loop_slots[s].gen) + 1;
        gnp_store32(&gni_loop_slots[s].gen, l->gen);
        l->box = &gni_loop_slots[s].box;
        l->op_pool = &gni_loop_slots[s].ops;
        gni_loop_slots[s].loop = l;
        l->dirty_tail = &l->dirty;
        l->reserve.os = -1;
        gni_conntab_init(&l->conns, l->gen);
        gni_segpool_init(&l->segs, SEGMENTS_KEPT);
        return GN_OK;
    }
    return GN_ELIMIT;
}

void gni_loop_free(gn_loop *l)
{
    gni_loop_slot *s = &gni_loop_slots[l->slot];
    uint32_t last = l->conns.gen_max;
    gni_conntab_free(&l->conns);
    gni_segpool_free(&l->segs);
    gni_ops_free(&l->ops);
    gni_udp_spares_free(l);
    gnp_free(l->stage.buf, GNI_STAGE_BYTES);
    l->stage.buf = NULL;
    l->magic = 0;
    s->loop = NULL;
    gnp_store32(&s->gen, last);
    if (last < GNI_GEN_LAST) {
        gnp_store32(&s->taken, 0); /* else it has given out all its generations */
    }
}

/* ------------------------------------------------------------------ posting */

int gni_loop_post(gn_handle h, gni_task *t)
{
    return gni_loop_slot_of(h) == NULL ? GN_ECLOSED : gni_loop_push(GNI_HANDLE_SLOT(h), t, GNI_HIGH);
}

int gni_loop_post_to(gn_loop *l, gni_task *t)
{
    return gni_mailbox_push(l->box, t, GNI_HIGH, current_loop == l);
}

int gni_loop_push(unsigned slot, gni_task *t, unsigned priority)
{
    if (slot == 0 || slot >= GNI_LOOP_SLOTS) {
        return GN_ECLOSED;
    }
    return gni_mailbox_push(&gni_loop_slots[slot].box, t, priority,
                            current_loop != NULL && current_loop->slot == slot);
}

gn_op gni_op_token(gn_handle h)
{
    unsigned s = GNI_HANDLE_SLOT(h); /* below GNI_LOOP_SLOTS: it has ten bits */
    if (s == 0) {
        return GN_OP_NONE;
    }
    uint64_t n = gnp_add64(&gni_loop_slots[s].tokens, 1) + 1;
    return ((uint64_t)s << GNI_OP_SLOT_SHIFT) | (n & ((UINT64_C(1) << GNI_OP_SLOT_SHIFT) - 1));
}

uint32_t gni_loop_load(const gn_loop *l)
{
    return gnp_load32(&l->load) + gnp_load32(&gni_loop_slots[l->slot].expected);
}

int gni_loop_is(const gn_loop *l, gn_handle h)
{
    return GNI_HANDLE_SLOT(h) == l->slot && GNI_HANDLE_INDEX(h) == GNI_LOOP_INDEX &&
           GNI_HANDLE_GEN(h) == l->gen;
}

gn_loop *gn_loop_current(void)
{
    return current_loop;
}

gn_handle gn_loop_handle(const gn_loop *l)
{
    return l == NULL || l->magic != GNI_LOOP_MAGIC ? GN_HANDLE_NONE
                                                   : GNI_HANDLE(l->slot, GNI_LOOP_INDEX, l->gen);
}

unsigned gn_loop_index(const gn_loop *l)
{
    return l == NULL ? 0 : l->index;
}

gn_engine *gn_loop_engine(const gn_loop *l)
{
    return l == NULL ? NULL : l->engine;
}

void *gn_loop_context(const gn_loop *l)
{
    return l == NULL ? NULL : l->context;
}

void gn_loop_set_context(gn_loop *l, void *context)
{
    if (l != NULL) {
        l->context = context;
    }
}

uint64_t gn_now(void)
{
    return current_loop != NULL ? current_loop->now : gnp_now();
}

gn_conn *gn_conn_from_handle(gn_handle h)
{
    gn_loop *l = current_loop;
    if (l == NULL || GNI_HANDLE_SLOT(h) != l->slot) {
        return NULL;
    }
    gn_conn *c = gni_conntab_find(&l->conns, GNI_HANDLE_INDEX(h), GNI_HANDLE_GEN(h));
    return c != NULL && c->state != GNI_CONN_MOVED ? c : NULL;
}

/* ------------------------------------------------------------------- ticks */

static void tick(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    const gn_engine *e = l->engine;
    uint64_t next = GNP_NEVER;
    if (l->watched) {
        gni_busy_begin(&l->busy, GN_HANDLE_NONE);
    }
    gn_action action = e->handler->on_tick(l->engine, &next, e->user);
    if (action == GN_SHUTDOWN) {
        gn_engine_stop(l->engine, e->options.drain_ns);
    }
    uint64_t now = l->now & ~((UINT64_C(1) << GNI_TICK_BITS) - 1); /* a tick that has begun: due at once */
    gni_timer_set(&l->wheel, t, next > GNP_NEVER - 1 - l->now ? GNP_NEVER : next == 0 ? now : l->now + next);
}

/* ---------------------------------------------------------------- draining */

/* What is marked while this runs waits for the next turn, so that two connections that write
 * to each other cannot hold the loop. */
static void dirty_clean(gn_loop *l)
{
    gn_conn *c = l->dirty;
    l->dirty = NULL;
    l->dirty_tail = &l->dirty;
    while (c != NULL) {
        gn_conn *next = c->dirty_next;
        gni_conn_clean(c);
        c = next;
    }
}

static void cut_all(gn_loop *l, int reason)
{
    uint32_t i = 0;
    gn_conn *c;
    while ((c = gni_conntab_each(&l->conns, &i)) != NULL) {
        gni_conn_cut(c, reason);
    }
}

static void drain_over(gni_timer *t, void *arg)
{
    (void)t;
    dirty_clean(arg); /* a stop that comes late still offers everything to the system once */
    cut_all(arg, GN_ETIMEDOUT);
}

static void acceptors_close(gn_loop *l)
{
    for (unsigned i = 0; i < l->acceptor_count; i++) {
        gni_acceptor_detach(&l->acceptors[i]);
    }
}

static void conn_drain(gn_conn *c, uint64_t deadline_ns)
{
    const gn_loop *l = c->loop;
    if (gni_conn_is_endpoint(c)) {
        gni_udp_close(c, 0);
    } else if (c->state == GNI_CONN_OPEN) {
        gni_conn_request_close(c, GN_ESHUTDOWN, deadline_ns > l->now ? deadline_ns - l->now : 0);
    } else if (c->state == GNI_CONN_LINGER && c->t.close_at > deadline_ns) {
        c->t.close_at = deadline_ns; /* drain_over cuts it */
    }
}

void gni_loop_drain_conn(gn_loop *l, gn_conn *c)
{
    conn_drain(c, l->drain_at);
}

void gni_loop_drain(gn_loop *l, uint64_t deadline_ns)
{
    l->drain_at = deadline_ns;
    l->drain_timer.fn = drain_over;
    gni_timer_set(&l->wheel, &l->drain_timer, deadline_ns);
    if (l->draining) {
        return; /* only sooner than before */
    }
    l->draining = 1;
    gni_timer_cancel(&l->wheel, &l->tick_timer);
    acceptors_close(l);
    gni_dials_end(l, GN_ESHUTDOWN);
    uint32_t i = 0;
    gn_conn *c;
    while ((c = gni_conntab_each(&l->conns, &i)) != NULL) {
        conn_drain(c, deadline_ns);
    }
}

/* ---------------------------------------------------------------- the turn */

static void events_dispatch(gn_loop *l, int count)
{
    for (int i = 0; i < count; i++) {
        const gnp_event *ev = &l->events[i];
        if (ev->sock == NULL) { /* a wake, or blanked by a close in this round */
            l->woken |= (ev->what & GNP_EV_WOKEN) != 0;
            continue;
        }
        if (ev->sock->kind == GNP_STREAM) {
            gni_conn_event((gn_conn *)(void *)ev->sock, ev);
        } else if (ev->sock->kind == GNP_LISTENER) {
            gni_acceptor_event((gni_acceptor *)(void *)ev->sock, ev);
        } else {
            gni_udp_event((gn_conn *)(void *)ev->sock, ev);
        }
    }
}

static unsigned queue_run(gn_loop *l, unsigned priority, unsigned most)
{
    gni_taskq *q = &l->tasks[priority];
    unsigned n = 0;
    while (n < most && l->uncharged < GNI_LOOP_TASK_BYTES) {
        if (q->first == NULL && (!gni_mailbox_take(l->box, l->tasks) || q->first == NULL)) {
            break;
        }
        gni_task *t = q->first;
        q->first = t->next;
        n++;
        if (l->watched) {
            gni_busy_begin(&l->busy, GN_HANDLE_NONE);
        }
        t->run(t, GN_OK);
    }
    return n;
}

/* What the tasks that ran have waited with is room again, and their memory is anybody's. */
static void tasks_settle(gn_loop *l)
{
    if (l->uncharged > 0) {
        gni_mailbox_uncharge(l->box, l->uncharged);
        l->uncharged = 0;
    }
    if (l->op_batch.blocks > 0) {
        gni_op_batch_give(&l->op_batch, l->op_pool);
    }
}

/* The second queue runs a few in each turn, whatever the first has left to do. */
static void tasks_run(gn_loop *l)
{
    unsigned n = queue_run(l, GNI_HIGH, GNI_LOOP_TASKS);
    tasks_settle(l);
    n += queue_run(l, GNI_LOW, GNI_LOOP_TASKS_LOW);
    tasks_settle(l);
    if (n > 0) {
        gni_count(&l->stats.tasks, n);
    }
}

static void stop_check(gn_loop *l)
{
    gn_engine *e = l->engine;
    if (l->woken && l->watching && gnp_signal_take(l->poller) != GNP_SIGNAL_NONE) {
        gn_engine_stop(e, e->options.drain_ns);
    }
    l->woken = 0;
    uint64_t at = gnp_load64(&e->stop_at);
    if (at != GNP_NEVER && (!l->draining || at < l->drain_at)) {
        gni_loop_drain(l, at);
    }
}

/* Who is on the list of the dirty ones has a slot, and completions that wait have a connection there. */
static int finished(const gn_loop *l)
{
    return l->draining && l->conns.live == l->stones && l->moving == 0 && l->late == 0;
}

/* Something is left to do now, whatever the poller will say.  Completions that wait are seen to with the
 * dirty ones: what adds to them at the end of a turn, a write and its flush, has marked its connection. */
static int has_work(const gn_loop *l)
{
    return l->dirty != NULL || l->tasks[GNI_HIGH].first != NULL ||
           l->tasks[GNI_LOW].first != NULL || gni_mailbox_pending(l->box);
}

/* Falling asleep and being woken costs more than the wait itself when the next event is near: so look
 * for it without sleeping first, if the user wants that. */
static int wait_spinning(gn_loop *l, uint64_t deadline)
{
    uint64_t until = gnp_now() + l->spin_ns;
    for (;;) {
        int count = gnp_poller_wait(l->poller, l->events, GNI_LOOP_EVENTS, 0);
        if (count != 0 || gni_mailbox_pending(l->box)) {
            return count;
        }
        uint64_t now = gnp_now();
        if (now >= deadline) {
            return 0;
        }
        if (now >= until) {
            deadline = gni_mailbox_rest(l->box) ? deadline : 0;
            return gnp_poller_wait(l->poller, l->events, GNI_LOOP_EVENTS, deadline);
        }
        gnp_cpu_relax();
    }
}

static int turn(gn_loop *l)
{
    uint64_t deadline = has_work(l) ? 0 : gni_wheel_next(&l->wheel);
    int spins = l->spin_ns != 0 && deadline != 0;
    if (!spins && deadline != 0 && !gni_mailbox_rest(l->box)) {
        deadline = 0;
    }
    int count = spins ? wait_spinning(l, deadline)
                      : gnp_poller_wait(l->poller, l->events, GNI_LOOP_EVENTS, deadline);
    l->now = gnp_now();
    if (count < 0) {
        gni_log(GN_LOG_ERROR, "loop %u: waiting for events failed: %s", l->index, gn_strerror(count));
        return count;
    }
    if (l->watched) {
        gni_busy_begin(&l->busy, GN_HANDLE_NONE);
    }
    gni_count(&l->stats.turns, 1);
    events_dispatch(l, count);
    if (l->woken && l->index == 0) {
        gni_signals_run(&l->engine->signals, l->engine);
    }
    tasks_run(l);
    if (l->wheel.count > 0) {
        gni_count(&l->stats.timers, gni_wheel_advance(&l->wheel, l->now, GNI_LOOP_TIMERS, l));
    }
    if (l->dirty != NULL) {
        dirty_clean(l);
    }
    if (l->segs.finished != NULL) {
        gni_out_finish(l);
    }
    stop_check(l);
    if (l->watched) {
        gni_busy_end(&l->busy);
    }
    return GN_OK;
}

/* -------------------------------------------------------------- the thread */

static int acceptors_attach(gn_loop *l)
{
    for (unsigned i = 0; i < l->acceptor_count; i++) {
        int rc = gni_acceptor_attach(&l->acceptors[i]);
        if (rc != GN_OK) {
            return rc;
        }
    }
    return l->acceptor_count > 0 ? gnp_reserve_take(&l->reserve) : GN_OK;
}

static int loop_setup(gn_loop *l)
{
    const gn_engine *e = l->engine;
    const gn_options *o = &e->options;
    gnp_poller_config config = { 0 };
    config.name = e->poller_name;
    config.edge = o->edge_triggered;
    config.read_buffer = o->read_buffer;
    if (o->pin_threads && l->index < e->nloops) {
        (void)gnp_cpu_pin(l->index); /* where there is no such thing, running unpinned is right */
    }
    l->stage.buf = gnp_alloc(GNI_STAGE_BYTES);
    if (l->stage.buf == NULL) {
        return GN_ENOMEM;
    }
    int rc = gnp_poller_open(&l->poller, &config);
    if (rc != GNP_OK) {
        return rc;
    }
    l->pinned = (gnp_poller_caps(l->poller) & GNP_CAP_INFLIGHT) != 0 ? GNP_SEND_PINNED : 0;
    l->edge = o->edge_triggered;
    l->read_buffer = o->read_buffer;
    l->edge_chunk = o->edge_chunk;
    l->outbound_max = o->outbound_max;
    l->now = gnp_now();
    gni_wheel_init(&l->wheel, l->now);
    gni_budget_init(l);
    l->spin_ns = (uint64_t)o->spin_us * 1000;
    gni_op_pool_open(l->op_pool);
    gnp_store64_relaxed(&l->box->posted_max, o->post_max);
    gni_mailbox_open(l->box, l->poller);
    gnp_store32(&l->alive, 1);
    rc = acceptors_attach(l);
    if (rc == GN_OK && o->stop_on_signals && l->index == 0) {
        rc = gnp_signal_watch(l->poller);
        l->watching = rc == GNP_OK;
    }
    if (rc == GN_OK && l->index == 0) {
        gni_signals_route(&e->signals, l->poller);
    }
    return rc;
}

/* The last tasks run with GN_ECLOSED; after that a push fails, so each completes exactly once. */
static void tasks_refuse(gn_loop *l)
{
    gnp_store32(&l->alive, 0);
    gni_mailbox_close(l->box, l->tasks);
    for (unsigned i = 0; i < GNI_PRIORITIES; i++) {
        while (l->tasks[i].first != NULL) {
            gni_task *t = l->tasks[i].first;
            l->tasks[i].first = t->next;
            t->run(t, GN_ECLOSED);
        }
    }
    gni_schedule_end(l);
    while (l->segs.finished != NULL) { /* of connections that ended on their way here */
        gni_out_finish(l);
    }
    tasks_settle(l);
    gni_op_batch_free(&l->op_batch);
    gni_op_pool_close(l->op_pool);
}

/* Backends whose close is late tell CLOSED for each; without events for this long they never will. */
#define LATE_CLOSE_NS (UINT64_C(5) * 1000 * 1000 * 1000)

static void conns_end(gn_loop *l)
{
    l->draining = 1;
    acceptors_close(l);
    gni_dials_end(l, l->status != GN_OK ? GN_ECLOSED : GN_ESHUTDOWN);
    uint32_t i = 0;
    gn_conn *c;
    while ((c = gni_conntab_each(&l->conns, &i)) != NULL) {
        if (gni_conn_is_endpoint(c)) {
            gni_udp_close(c, 1);
        }
    }
    cut_all(l, l->status != GN_OK ? l->status : GN_ESHUTDOWN);
    dirty_clean(l);
    while (l->segs.finished != NULL) { /* nothing is open that could make more of them */
        gni_out_finish(l);
    }
    uint64_t until = gnp_now() + LATE_CLOSE_NS;
    while ((l->conns.live > l->stones || l->late > 0) && gnp_now() < until) {
        int count = gnp_poller_wait(l->poller, l->events, GNI_LOOP_EVENTS, until);
        if (count < 0) {
            break;
        }
        events_dispatch(l, count);
        dirty_clean(l);
    }
}

static void loop_teardown(gn_loop *l)
{
    if (l->poller == NULL) {
        gni_engine_loop_ending(l->engine, l, l->status);
        return;
    }
    conns_end(l);
    gni_budget_end(l);
    tasks_refuse(l);
    gnp_reserve_release(&l->reserve);
    gnp_poller *p = l->poller;
    if (l->watching) {
        gnp_signal_unwatch(p);
    }
    if (l->index == 0) {
        gni_signals_route(&l->engine->signals, NULL);
    }
    gni_engine_loop_ending(l->engine, l, l->status);
    gnp_poller_close(p);
}

void gni_loop_main(void *loop)
{
    gn_loop *l = loop;
    current_loop = l;
    l->status = loop_setup(l);
    if (gni_engine_loop_ready(l->engine, l, l->status)) {
        if (l->index == 0 && l->engine->handler->on_tick != NULL) {
            l->tick_timer.fn = tick;
            gni_timer_set(&l->wheel, &l->tick_timer, l->now);
        }
        gni_acceptors_sync(l);
        stop_check(l);
        while (l->status == GN_OK && !finished(l)) {
            l->status = turn(l);
        }
    }
    loop_teardown(l);
    gni_busy_end(&l->busy);
    current_loop = NULL;
}
