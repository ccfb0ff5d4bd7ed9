/* SPDX-License-Identifier: MIT */
#include "migrate.h"

#include <string.h>

#include "budget.h"
#include "engine.h"
#include "log.h"
#include "loop.h"
#include "outbound.h"
#include "post.h"
#include "udp.h"

/*
 * The departures of a connection are numbered.  A tombstone has the number of the one that left it, and
 * stamps what it posts on with it; 0: no tombstone has.  Along a path of tombstones they rise.
 * The stamp stands in the upper bits of a task's priority, and comes round after a billion moves.
 */
#define STAMP_SHIFT 1u
#define STAMP_MASK (UINT32_MAX >> STAMP_SHIFT)
#define STAMP(t) ((t)->priority >> STAMP_SHIFT)

/* A slot of the connection on one loop. */
typedef struct home {
    gni_task task; /* first: tells the loop that the tombstone may go */
    gni_trail *trail;
    gn_handle h;
} home;

/* Where a connection has been.  It goes with the connection; from its end on it belongs to the messages
 * that tell the homes. */
struct gni_trail {
    gnp_atomic32 refs;
    unsigned loops;
    uint32_t departures;
    uint32_t left; /* with GNI_F_CATCHING: the number of its last departure from this loop */
    unsigned markers; /* ... and how many are still under way */
    gni_taskq held;
    gni_taskq landing; /* moves that wait for the end of a send in flight */
    home home[]; /* by the index of the loop */
};

/* Comes behind all that tombstones have posted on in one of the two queues. */
typedef struct marker {
    gni_task task; /* first */
    struct move *move;
    gn_handle to, home;
} marker;

/* The message between two loops, there and back. */
typedef struct move {
    gni_task task; /* first */
    gnp_atomic32 refs;
    gn_loop *from, *target;
    gn_handle old, now; /* handles on them */
    gni_ask *ask;
    int status; /* why it comes back */
    gni_taskq waiting; /* at the tombstone, for the end of the journey */
    marker marker[GNI_PRIORITIES];
    gn_conn conn;
} move;

static void queue_add(gni_taskq *q, gni_task *t)
{
    t->next = NULL;
    if (q->first == NULL) {
        q->first = t;
    } else {
        q->last->next = t;
    }
    q->last = t;
}

/* A task may lead back here and add to the queue that it was taken from. */
static void queue_run(gni_taskq *q, int status)
{
    gni_task *t = q->first;
    q->first = NULL;
    while (t != NULL) {
        gni_task *next = t->next;
        t->run(t, status);
        t = next;
    }
}

static void move_unref(move *m)
{
    if (gnp_sub32(&m->refs, 1) == 1) {
        gnp_free(m, sizeof *m);
    }
}

static size_t trail_size(unsigned loops)
{
    return sizeof(gni_trail) + loops * sizeof(home);
}

static void trail_unref(gni_trail *k)
{
    if (gnp_sub32(&k->refs, 1) == 1) {
        gnp_free(k, trail_size(k->loops));
    }
}

/* The slot that h names on this loop, tombstones included. */
static gn_conn *slot_of(gn_handle h)
{
    gn_loop *l = gn_loop_current();
    return GNI_HANDLE_SLOT(h) == l->slot
               ? gni_conntab_find(&l->conns, GNI_HANDLE_INDEX(h), GNI_HANDLE_GEN(h))
               : NULL;
}

/* ------------------------------------------------------------------ following */

/* A tombstone has its journey in user, until that has ended, and then the handle in t.close_at; its number
 * in active; and GNI_F_CATCHING once it has posted something on. */
static void post_on(gn_conn *stone, gn_handle *to, gni_task *t)
{
    move *m = stone->user;
    if (m != NULL) {
        queue_add(&m->waiting, t);
        return;
    }
    stone->flags |= GNI_F_CATCHING;
    *to = stone->t.close_at;
    if (gni_loop_push(GNI_HANDLE_SLOT(*to), t, (t->priority & GNI_LOW) | stone->active << STAMP_SHIFT) !=
        GN_OK) {
        t->run(t, GN_ECLOSED);
    }
}

int gni_migrate_follow(gn_handle *to, gni_task *t, gn_conn **c)
{
    gn_conn *x = slot_of(*to);
    *c = x;
    if (x == NULL || (x->state != GNI_CONN_MOVED && (x->flags & GNI_F_CATCHING) == 0)) {
        return 1;
    }
    if (x->state == GNI_CONN_MOVED) {
        post_on(x, to, t);
        return 0;
    }
    /* Who has passed our tombstone comes before the marker; who has not must wait for it. */
    gni_trail *k = x->more->trail;
    if (STAMP(t) != 0 && ((STAMP(t) - k->left) & STAMP_MASK) <= STAMP_MASK / 2) {
        return 1;
    }
    queue_add(&k->held, t);
    return 0;
}

static void caught_up(gn_handle h)
{
    gn_conn *c = slot_of(h);
    if (c == NULL) { /* it has ended; before it has caught up it does not move */
        return;
    }
    gni_trail *k = c->more->trail;
    if (--k->markers == 0) {
        c->flags &= ~(uint32_t)GNI_F_CATCHING;
        queue_run(&k->held, GN_OK);
    }
}

static void marker_back(gni_task *t, int status)
{
    marker *k = (marker *)(void *)t;
    (void)status; /* a loop that ends has no connection any more */
    caught_up(k->home);
    move_unref(k->move);
}

/* Where the path ends elsewhere, nothing can come by it any more: then straight home. */
static void marker_run(gni_task *t, int status)
{
    marker *k = (marker *)(void *)t;
    gn_conn *c;
    if (status == GN_OK && !gni_migrate_follow(&k->to, t, &c)) {
        return;
    }
    if (GNI_HANDLE_SLOT(k->home) == gn_loop_current()->slot) {
        marker_back(t, GN_OK);
        return;
    }
    t->run = marker_back;
    if (gni_loop_push(GNI_HANDLE_SLOT(k->home), t, GNI_HIGH) != GN_OK) {
        move_unref(k->move);
    }
}

static void catch_up(gn_conn *c, move *m, gn_handle path, uint32_t left)
{
    c->flags |= GNI_F_CATCHING;
    c->more->trail->left = left;
    c->more->trail->markers = GNI_PRIORITIES;
    gnp_add32(&m->refs, GNI_PRIORITIES);
    for (unsigned i = 0; i < GNI_PRIORITIES; i++) {
        marker *k = &m->marker[i];
        k->move = m;
        k->to = path;
        k->home = m->now;
        k->task.run = marker_run;
        if (gni_loop_push(GNI_HANDLE_SLOT(path), &k->task, i | left << STAMP_SHIFT) != GN_OK) {
            marker_back(&k->task, GN_OK);
        }
    }
}

/* ---------------------------------------------------------------- the end */

/* Gives a tombstone's slot back. */
static void stone_end(gn_loop *l, gn_conn *c)
{
    l->stones--;
    gni_conntab_retire(&l->conns, c);
    gni_conn_free_slot(c);
}

static void home_run(gni_task *t, int status)
{
    home *o = (home *)(void *)t;
    gn_conn *c = status == GN_OK ? slot_of(o->h) : NULL;
    if (c != NULL) {
        stone_end(c->loop, c);
    }
    trail_unref(o->trail);
}

void gni_migrate_end(gn_conn *c)
{
    gni_trail *k = c->more->trail;
    if (k == NULL) {
        return;
    }
    c->more->trail = NULL;
    c->flags &= ~(uint32_t)GNI_F_CATCHING;
    queue_run(&k->held, GN_ECLOSED);
    queue_run(&k->landing, GN_ECLOSED);
    for (unsigned i = 0; i < k->loops; i++) {
        home *o = &k->home[i];
        if (o->h == GN_HANDLE_NONE || slot_of(o->h) == c) {
            continue;
        }
        gnp_add32(&k->refs, 1);
        o->task.run = home_run;
        if (gni_loop_push(GNI_HANDLE_SLOT(o->h), &o->task, GNI_HIGH) != GN_OK) {
            trail_unref(k);
        }
    }
    trail_unref(k);
}

/* ------------------------------------------------------------------ moving */

static gni_trail *trail_make(gn_conn *c)
{
    gni_more *more = gni_conn_more(c);
    unsigned loops = c->loop->engine->nloops;
    if (more == NULL || more->trail != NULL) {
        return more == NULL ? NULL : more->trail;
    }
    gni_trail *k = gnp_zalloc(trail_size(loops));
    if (k != NULL) {
        gnp_store32(&k->refs, 1);
        k->loops = loops;
        for (unsigned i = 0; i < loops; i++) {
            k->home[i].trail = k;
        }
        more->trail = k;
    }
    return k;
}

static void count_open(gn_loop *l, uint64_t change)
{
    l->open += change;
    gnp_store64_relaxed(&l->open_shared, l->open);
}

/* Takes the connection out of the message into its slot on loop l.  Its socket is attached, or an error
 * says why not. */
static int settle_down(move *m, gn_loop *l, gn_conn *c)
{
    uint32_t index = c->index;
    uint32_t gen = c->gen;
    uint32_t dirty = c->flags & GNI_F_DIRTY;
    gn_conn *dirty_next = c->dirty_next;
    *c = m->conn;
    c->index = index;
    c->gen = gen;
    c->dirty_next = dirty_next;
    c->loop = l;
    c->flags = (c->flags & ~(uint32_t)(GNI_F_DIRTY | GNI_F_HELD | GNI_F_BLOCKED | GNI_F_STARVED)) | dirty;
    if ((int32_t)(gni_ticks(l->now) - c->active) < 0) {
        c->active = gni_ticks(l->now); /* the other loop's turn was later than ours */
    }
    int rest = (c->flags & (GNI_F_PAUSED | GNI_F_EOF)) != 0; /* an end is told once */
    int rc = gnp_attach(l->poller, &c->sock, rest ? 0 : GNP_READ);
    if (rc == GNP_OK) {
        if ((c->flags & GNI_F_DGRAM) == 0) {
            gni_segq_rename(&c->u.out, gn_conn_handle(c));
        }
        gni_budget_update(c);
        gni_conn_deadlines(c);
        gni_conn_mark_dirty(c);
    }
    return rc;
}

int gni_migrate_waits(const gn_conn *c)
{
    return c->more != NULL && c->more->trail != NULL && c->more->trail->landing.first != NULL;
}

void gni_migrate_landed(gn_conn *c)
{
    queue_run(&c->more->trail->landing, GN_OK);
}

static void move_finish(move *m, gn_handle h, int status)
{
    gni_ask *ask = m->ask;
    m->ask = NULL;
    ask->to = h;
    gni_ask_finish(ask, status);
}

/* Nobody can take it: it ends here, unattached, in the memory of the message. */
static void lost(move *m, int why)
{
    m->conn.loop = gn_loop_current();
    m->conn.flags |= GNI_F_DIRTY; /* on_close may read, but must not put this memory on a list */
    gni_conn_end_detached(&m->conn, why);
    gni_conn_more_free(&m->conn);
    queue_run(&m->waiting, GN_ECLOSED);
    move_finish(m, m->old, GN_ECLOSED);
    move_unref(m);
}

/* Back on its loop: it goes on there, if that can be. */
static void returned(gni_task *t, int status)
{
    move *m = (move *)(void *)t;
    gn_loop *l = gn_loop_current();
    if (status != GN_OK) {
        lost(m, GN_ECLOSED);
        return;
    }
    gn_conn *c = slot_of(m->old);
    l->stones--;
    l->moving--;
    int rc = settle_down(m, l, c);
    if (rc != GNP_OK) {
        gni_log(GN_LOG_WARN, "a connection was lost between two loops: %s", gn_strerror(rc));
        gni_conn_end_detached(c, rc);
        gni_conn_free_slot(c);
        m->status = GN_ECLOSED;
    } else if (l->draining) {
        gni_loop_drain_conn(l, c);
    }
    queue_run(&m->waiting, GN_OK);
    move_finish(m, m->old, m->status);
    move_unref(m);
}

/* From the target, or in its place. */
static void give_back(move *m, int why)
{
    m->status = why;
    m->task.run = returned;
    gnp_sub32(&m->target->load, 1);
    gnp_add32(&m->from->load, 1);
    if (gni_loop_post_to(m->from, &m->task) != GN_OK) {
        gnp_sub32(&m->from->load, 1);
        gn_loop *l = gn_loop_current();
        gnp_add32(&l->load, 1); /* what its end takes off again */
        count_open(l, 1);
        lost(m, why);
    }
}

/* The journey has ended well: what has waited goes after it. */
static void settled(gni_task *t, int status)
{
    move *m = (move *)(void *)t;
    if (status == GN_OK) {
        gn_loop *l = gn_loop_current();
        gn_conn *stone = slot_of(m->old);
        l->moving--;
        count_open(l, (uint64_t)-1);
        gni_count(&l->stats.migrated, 1);
        stone->user = NULL;
        stone->t.close_at = m->now;
    }
    queue_run(&m->waiting, status);
    move_unref(m);
}

/* Its old slot, if it has been here before: the tombstone comes to life again.  *was is how it was. */
static gn_conn *slot_take(gn_loop *l, gn_handle old, gn_conn *was)
{
    if (old == GN_HANDLE_NONE) {
        return gni_conntab_alloc(&l->conns);
    }
    gn_conn *c = slot_of(old);
    *was = *c;
    return c;
}

static void arrive(gni_task *t, int status)
{
    move *m = (move *)(void *)t;
    gn_loop *l = m->target;
    home *o = &m->conn.more->trail->home[l->index];
    gn_conn was;
    if (status != GN_OK) {
        give_back(m, GN_ECLOSED);
        return;
    }
    gn_conn *c = slot_take(l, o->h, &was);
    if (c == NULL) {
        give_back(m, GN_ENOMEM);
        return;
    }
    int rc = settle_down(m, l, c);
    if (rc != GNP_OK) {
        if (o->h == GN_HANDLE_NONE) {
            c->more = NULL; /* still the message's */
            gni_conn_discard_slot(c);
        } else {
            *c = was;
        }
        give_back(m, rc);
        return;
    }
    m->now = gn_conn_handle(c);
    count_open(l, 1);
    if (o->h != GN_HANDLE_NONE) {
        l->stones--;
        if ((was.flags & GNI_F_CATCHING) != 0) {
            catch_up(c, m, was.t.close_at, was.active);
        }
    }
    o->h = m->now;
    move_finish(m, m->now, GN_OK);
    if (l->draining) {
        gni_loop_drain_conn(l, c);
    }
    m->task.run = settled;
    if (gni_loop_post_to(m->from, &m->task) != GN_OK) {
        settled(&m->task, GN_ECLOSED);
    }
}

/* The loop of the engine that h names. */
static gn_loop *target_of(const gn_engine *e, gn_handle h)
{
    for (unsigned i = 0; i < e->nloops; i++) {
        if (gni_loop_is(e->loops[i], h)) {
            return e->loops[i];
        }
    }
    return NULL;
}

/* GN_OK, or why it cannot go now. */
static int movable(gn_conn *c)
{
    if (gni_conn_is_endpoint(c)) {
        return GN_ENOTSUP;
    }
    if (!gni_conn_usable(c) || (c->flags & (GNI_F_RESET | GNI_F_PIPED | GNI_F_SINK)) != 0) {
        return GN_EBUSY;
    }
    if ((c->flags & GNI_F_DGRAM) != 0) {
        gni_udp_flush(c);
        return c->u.dgram.queue != NULL ? GN_EBUSY : GN_OK;
    }
    return GN_OK;
}

/* From now on c is a tombstone. */
static void depart(gn_conn *c, move *m)
{
    gn_loop *l = c->loop;
    gni_trail *k = c->more->trail;
    k->departures = (k->departures & STAMP_MASK) == STAMP_MASK ? 1 : k->departures + 1; /* never 0 */
    uint32_t number = k->departures;
    gni_timer_cancel(&l->wheel, &c->timer);
    m->conn = *c;
    memset(&c->u, 0, sizeof c->u);
    memset(&c->inbound, 0, sizeof c->inbound);
    gni_budget_update(c);
    m->conn.held = 0;
    c->flags &= GNI_F_DIRTY;
    c->active = number;
    c->state = GNI_CONN_MOVED;
    c->more = NULL;
    c->user = m;
    c->sock.os = -1;
    l->stones++;
    l->moving++;
    gnp_sub32(&l->load, 1);
    gnp_add32(&m->target->load, 1);
    m->task.run = arrive;
    if (gni_loop_post_to(m->target, &m->task) != GN_OK) {
        give_back(m, GN_ECLOSED);
    }
}

static int move_start(gn_conn *c, gn_loop *target, gni_ask *ask)
{
    gni_trail *k = trail_make(c);
    move *m = k == NULL ? NULL : gnp_zalloc(sizeof *m);
    if (m == NULL) {
        return GN_ENOMEM;
    }
    if (gnp_detach(c->loop->poller, &c->sock) != GNP_OK) {
        gnp_free(m, sizeof *m);
        return GN_EBUSY;
    }
    gnp_store32(&m->refs, 1);
    m->from = c->loop;
    m->target = target;
    m->ask = ask;
    m->old = k->home[c->loop->index].h = gn_conn_handle(c);
    depart(c, m);
    return GN_OK;
}

static int landing_wait(gn_conn *c, gni_task *t)
{
    gni_trail *k = trail_make(c);
    if (k == NULL) {
        return GN_ENOMEM;
    }
    queue_add(&k->landing, t);
    return GN_OK;
}

/* Outside of every callback, as all tasks run. */
static void migrate_run(gni_task *t, int status)
{
    gni_ask *o = (gni_ask *)(void *)t;
    gn_loop *l = gn_loop_current();
    gn_conn *c;
    gn_handle where;
    if (!gni_ask_conn(o, status, &c)) {
        return;
    }
    if (c == NULL) {
        gni_ask_finish(o, GN_ECLOSED);
        return;
    }
    if ((c->flags & GNI_F_CATCHING) != 0) { /* what is held would be overtaken */
        queue_add(&c->more->trail->held, t);
        return;
    }
    if (l->segs.finished != NULL) {
        gni_out_finish(l); /* while what they tell of is still here */
    }
    memcpy(&where, o->data, sizeof where);
    gn_loop *target = target_of(l->engine, where);
    int rc = movable(c);
    if (rc == GN_OK && target == NULL) {
        rc = GN_ECLOSED;
    }
    if (rc == GN_OK && target != l) {
        rc = (c->flags & GNI_F_FLYING) != 0 ? landing_wait(c, t) : move_start(c, target, o);
        if (rc == GN_OK) {
            return;
        }
    }
    gni_ask_finish(o, rc);
}

int gn_migrate(gn_handle h, gn_handle loop, gn_done done, void *arg)
{
    gni_ask *o;
    if (GNI_HANDLE_INDEX(loop) != GNI_LOOP_INDEX || GNI_HANDLE_INDEX(h) == GNI_LOOP_INDEX) {
        return GN_EINVAL;
    }
    int rc = gni_ask_make(&o, h, sizeof loop, done, arg);
    if (rc != GN_OK) {
        return rc;
    }
    memcpy(o->data, &loop, sizeof loop);
    return gni_ask_post(o, migrate_run, GNI_HIGH);
}
