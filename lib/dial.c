/* SPDX-License-Identifier: MIT */
#include "dial.h"

#include <string.h>

#include "addr.h"
#include "conn.h"
#include "engine.h"
#include "loop.h"
#include "migrate.h"
#include "options.h"
#include "resolver.h"
#include "udp.h"

#define MS UINT64_C(1000000)
#define TIMEOUT_NS (10000 * MS)

/* RFC 8305, 5 and 8: the delay between two attempts. */
#define ATTEMPT_DELAY_NS (250 * MS)
#define ATTEMPT_DELAY_MIN_NS (10 * MS)
#define ATTEMPT_DELAY_MAX_NS (2000 * MS)

/* A Unix listener whose queue is full tells nobody when there is room again. */
#define BACKOFF_MIN_NS MS
#define BACKOFF_MAX_NS (50 * MS)

/* More than there are options: nobody needs to set one twice. */
#define OPTS_MAX 64u

typedef struct attempt {
    gnp_addr to;
    gn_conn *conn; /* while it is under way */
} attempt;

struct gni_dial {
    gni_task task; /* first: the mailbox knows only this */
    gni_op op;
    gni_dial *next, *prev; /* in the loop's list */
    gn_loop *loop;
    gni_asked asked;
    uint64_t deadline, attempt_delay_ns, backoff_ns;
    gni_timer deadline_timer;
    gni_timer step_timer; /* the next attempt */
    gni_resolving *resolving; /* until the answer is here */
    gnp_addr local; /* family GNP_FAMILY_NONE: any */
    gnp_sock_opts sock_opts;
    int kind;
    int error;      /* of the attempt that came furthest */
    unsigned room;  /* of attempts */
    unsigned count, begun, live;
    size_t size;    /* of this allocation */
    attempt *attempts; /* behind opts */
    gnp_opt_value opts[];
};

/* ------------------------------------------------------------------ options */

void gn_dial_options_init_sized(gn_dial_options *o, size_t size)
{
    if (o == NULL) {
        return;
    }
    gn_dial_options all;
    memset(&all, 0, sizeof all);
    all.size = size;
    all.timeout_ns = TIMEOUT_NS;
    all.attempt_delay_ns = ATTEMPT_DELAY_NS;
    if (size > sizeof all) {
        memset((unsigned char *)o + sizeof all, 0, size - sizeof all);
    }
    memcpy(o, &all, size < sizeof all ? size : sizeof all);
}

int gni_dial_options_take(gn_dial_options *out, const gn_dial_options *in)
{
    gn_dial_options_init(out);
    int rc = in == NULL ? GN_OK : gni_options_copy(out, sizeof *out, in);
    if (rc != GN_OK) {
        return rc;
    }
    if (out->opt_count > OPTS_MAX || (out->opts == NULL && out->opt_count > 0)) {
        return GN_EINVAL;
    }
    if (out->timeout_ns == 0) {
        out->timeout_ns = TIMEOUT_NS;
    }
    if (out->attempt_delay_ns == 0) {
        out->attempt_delay_ns = ATTEMPT_DELAY_NS;
    } else if (out->attempt_delay_ns < ATTEMPT_DELAY_MIN_NS) {
        out->attempt_delay_ns = ATTEMPT_DELAY_MIN_NS;
    } else if (out->attempt_delay_ns > ATTEMPT_DELAY_MAX_NS) {
        out->attempt_delay_ns = ATTEMPT_DELAY_MAX_NS;
    }
    return GN_OK;
}

/* ---------------------------------------------------------- who asks, and gets */

/* Inside a callback a connection only stands for its loop: it may well close before the dial has its
 * turn. */
void gni_asked_init(gni_asked *a, gn_handle where, const gn_dial_options *o, gn_done done, void *arg)
{
    const gn_conn *c = gn_conn_from_handle(where);
    a->where = c != NULL ? gn_loop_handle(c->loop) : where;
    a->done = done;
    a->arg = arg;
    a->handler = o->handler;
    a->user = o->user;
    a->context = o->context;
}

int gni_asked_post(gni_asked *a, gni_task *t, size_t bytes)
{
    gn_handle where = a->where; /* a may be gone once it is posted */
    gni_loop_slot *s = gni_loop_slot_of(where);
    int rc = s == NULL ? GN_ECLOSED : gni_mailbox_charge(&s->box, bytes);
    if (rc != GN_OK) {
        return rc;
    }
    a->bytes = bytes;
    gnp_add32(&s->expected, 1);
    rc = gni_loop_post(where, t);
    if (rc != GN_OK) {
        gnp_sub32(&s->expected, 1);
        gni_mailbox_uncharge(&s->box, bytes);
    }
    return rc;
}

int gni_asked_arrive(gni_asked *a, gni_task *t, int *status)
{
    gn_loop *l = gn_loop_current();
    gn_conn *c = NULL;
    if (a->bytes > 0) {
        l->uncharged += a->bytes;
        gnp_sub32(&gni_loop_slot_at(l->slot)->expected, 1);
        a->bytes = 0; /* it may come by another loop yet */
    }
    if (*status != GN_OK) {
        *status = GN_ECLOSED;
    } else if (l->draining || gni_engine_stopping(l->engine)) {
        *status = GN_ESHUTDOWN;
    } else if (gni_loop_is(l, a->where)) {
        *status = gni_engine_conn_admit(l->engine);
    } else if (!gni_migrate_follow(&a->where, t, &c)) {
        return 0;
    } else {
        *status = c != NULL ? gni_engine_conn_admit(l->engine) : GN_ECLOSED;
    }
    return 1;
}

void gni_asked_fail(const gni_asked *a, int status)
{
    if (a->done != NULL) {
        a->done(GN_HANDLE_NONE, status, a->arg);
    }
}

/* It is settled only after done, so that done has it before on_close, whatever on_open did. */
void gni_asked_open(const gni_asked *a, gn_conn *c)
{
    c->context = a->context;
    c->flags |= GNI_F_DIALED;
    if (c->sock.kind == GNP_DGRAM) {
        gni_udp_dialed(c);
    }
    gni_conn_begin(c);
    if (a->done != NULL) {
        a->done(gn_conn_handle(c), GN_OK, a->arg);
    }
    gni_conn_mark_dirty(c);
}

/* ---------------------------------------------------------------- beginning */

static void dial_free(gni_dial *d)
{
    if (d->resolving != NULL) {
        gni_resolver_abandon(d->resolving);
    }
    gnp_free(d, d->size);
}

static int local_take(const char *text, gnp_addr *out)
{
    memset(out, 0, sizeof *out);
    if (text == NULL) {
        return GN_OK;
    }
    gn_addr a;
    int rc = gn_addr_parse(text, &a);
    if (rc == GN_OK) {
        gni_addr_get(out, &a);
    }
    return rc;
}

static gni_dial *dial_new(const gn_dial_options *o, unsigned room)
{
    size_t size = sizeof(gni_dial) + o->opt_count * sizeof(gnp_opt_value) + room * sizeof(attempt);
    gni_dial *d = gnp_zalloc(size);
    if (d == NULL) {
        return NULL;
    }
    d->size = size;
    d->room = room;
    d->attempts = (attempt *)(void *)&d->opts[o->opt_count];
    for (unsigned i = 0; i < o->opt_count; i++) {
        d->opts[i].opt = (int)o->opts[i].opt;
        d->opts[i].value = o->opts[i].value;
    }
    d->sock_opts.opts = d->opts;
    d->sock_opts.opt_count = o->opt_count;
    d->attempt_delay_ns = o->attempt_delay_ns;
    uint64_t now = gnp_now();
    d->deadline = o->timeout_ns > GNP_NEVER - 1 - now ? GNP_NEVER : now + o->timeout_ns;
    return d;
}

/* What can be said without a resolver. */
static void addresses_set(gni_dial *d, const gni_endpoint *ep)
{
    d->attempts[d->count++].to = ep->addr;
    if (ep->any) { /* ::1, and this */
        gnp_addr *v4 = &d->attempts[d->count++].to;
        v4->family = GNP_FAMILY_IPV4;
        v4->port = ep->addr.port;
        v4->u.ip[0] = 127;
        v4->u.ip[3] = 1;
    }
}

static void dial_run(gni_task *t, int status);

int gn_dial(gn_handle where, const char *addr, const gn_dial_options *options, gn_done done, void *arg,
            gn_op *op)
{
    gn_dial_options o;
    gni_endpoint ep;
    gnp_addr local;
    char host[GNI_HOST_MAX + 1];
    if (op != NULL) {
        *op = GN_OP_NONE;
    }
    int rc = gni_dial_options_take(&o, options);
    if (rc == GN_OK) {
        rc = gni_target_parse(addr, &ep, host);
    }
    if (rc == GN_OK) {
        rc = local_take(o.local, &local);
    }
    if (rc != GN_OK) {
        return rc;
    }
    gni_dial *d = dial_new(&o, host[0] != '\0' ? GNI_DIAL_ADDRS : 2);
    if (d == NULL) {
        return GN_ENOMEM;
    }
    gni_asked_init(&d->asked, where, &o, done, arg);
    d->local = local;
    d->kind = gni_scheme_is_datagram(ep.scheme) ? GNP_DGRAM : GNP_STREAM;
    d->task.run = dial_run;
    if (host[0] == '\0') {
        addresses_set(d, &ep);
    } else {
        d->resolving = gni_resolving_new(host, gni_scheme_family(ep.scheme), ep.addr.port);
        if (d->resolving == NULL) {
            dial_free(d);
            return GN_ENOMEM;
        }
    }
    if (op != NULL) {
        *op = d->op.token = gni_op_token(d->asked.where); /* now: the post may see it done */
    }
    rc = gni_asked_post(&d->asked, &d->task, d->size);
    if (rc != GN_OK) {
        dial_free(d);
        if (op != NULL) {
            *op = GN_OP_NONE;
        }
    }
    return rc;
}

/* ------------------------------------------------------------------- ending */

/* The loop knows it no more. */
static void dial_leave(gni_dial *d)
{
    gn_loop *l = d->loop;
    gni_timer_cancel(&l->wheel, &d->deadline_timer);
    gni_timer_cancel(&l->wheel, &d->step_timer);
    gni_ops_remove(&l->ops, &d->op);
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    if (d->prev != NULL) {
        d->prev->next = d->next;
    } else {
        l->dials = d->next;
    }
}

static void attempt_drop(gni_dial *d, attempt *a)
{
    gn_conn *c = a->conn;
    a->conn = NULL;
    d->live--;
    gni_conn_drop(c, 0);
}

static void attempts_drop(gni_dial *d)
{
    for (unsigned i = 0; i < d->begun; i++) {
        if (d->attempts[i].conn != NULL) {
            attempt_drop(d, &d->attempts[i]);
        }
    }
}

static void dial_end(gni_dial *d, int status)
{
    gni_asked asked = d->asked;
    dial_leave(d);
    attempts_drop(d);
    gnp_sub32(&d->loop->load, 1);
    gni_engine_conn_leave(d->loop->engine);
    dial_free(d);
    gni_asked_fail(&asked, status);
}

static void dial_won(gni_dial *d, attempt *a)
{
    gni_asked asked = d->asked;
    gn_conn *c = a->conn;
    a->conn = NULL;
    d->live--;
    dial_leave(d);
    attempts_drop(d);
    dial_free(d);
    gni_count(&c->loop->stats.dialed, 1);
    gni_asked_open(&asked, c);
}

void gni_dials_end(gn_loop *l, int status)
{
    while (l->dials != NULL) { /* what done dials anew is posted, and refused later */
        dial_end(l->dials, status);
    }
}

static void dial_cancel(gni_op *o)
{
    dial_end((gni_dial *)(void *)((char *)o - offsetof(gni_dial, op)), GN_ECANCELED);
}

static void dial_expired(gni_timer *t, void *arg)
{
    (void)arg;
    dial_end((gni_dial *)(void *)((char *)t - offsetof(gni_dial, deadline_timer)), GN_ETIMEDOUT);
}

/* ----------------------------------------------------------------- attempts */

/* How far an attempt came: the peer's host spoke, nobody did, there was no way, we could not even try. */
static int distance(int error)
{
    switch (error) {
    case GN_OK: return -1; /* none has failed yet */
    case GN_ECONNREFUSED:
    case GN_ECONNRESET: return 3;
    case GN_ETIMEDOUT: return 2;
    case GN_EHOSTUNREACH:
    case GN_ENETUNREACH:
    case GN_EACCES: return 1;
    default: return 0;
    }
}

static void attempt_failed(gni_dial *d, attempt *a, int error)
{
    if (a->conn != NULL) {
        attempt_drop(d, a);
    }
    if (distance(error) > distance(d->error)) {
        d->error = error;
    }
}

/* GN_OK: connected; GNP_INFLIGHT; or why not. */
static int attempt_begin(gni_dial *d, attempt *a)
{
    gn_loop *l = d->loop;
    const gnp_addr *local = d->local.family != GNP_FAMILY_NONE ? &d->local : NULL;
    if (local != NULL && local->family != a->to.family) {
        return GN_EADDRNOTAVAIL;
    }
    gn_conn *c = gni_conntab_alloc(&l->conns);
    if (c == NULL) {
        return GN_ENOMEM;
    }
    gni_conn_init(c, l, d->asked.handler, d->asked.user, &a->to);
    c->state = GNI_CONN_DIALING;
    c->context = d; /* the user's comes when it opens */
    int rc = gnp_connect(l->poller, &c->sock, d->kind, &a->to, local, &d->sock_opts);
    if (rc != GNP_OK && rc != GNP_INFLIGHT) {
        gni_conn_discard_slot(c);
        return rc;
    }
    a->conn = c;
    d->live++;
    return rc;
}

/*
 * A connect to a port of this host that nobody listens on may get that very port for its own end, and then
 * meets itself (RFC 9293, 3.5: simultaneous open).  Nobody listens: say so.
 */
static int met_itself(const gn_conn *c, const gnp_addr *to)
{
    gnp_addr me;
    return to->family != GNP_FAMILY_UNIX && c->sock.kind == GNP_STREAM &&
           gnp_sock_local(&c->sock, &me) == GNP_OK && me.port == to->port &&
           memcmp(me.u.ip, to->u.ip, sizeof me.u.ip) == 0;
}

static int attempt_check(const attempt *a)
{
    gn_conn *c = a->conn;
    return met_itself(c, &a->to) ? GN_ECONNREFUSED : gnp_want(c->loop->poller, &c->sock, GNP_READ);
}

static void backoff(gni_dial *d)
{
    d->backoff_ns = d->backoff_ns == 0 ? BACKOFF_MIN_NS : d->backoff_ns * 2;
    if (d->backoff_ns > BACKOFF_MAX_NS) {
        d->backoff_ns = BACKOFF_MAX_NS;
    }
    gni_timer_set(&d->loop->wheel, &d->step_timer, d->loop->now + d->backoff_ns);
}

/* Begins the next attempt; and, as long as they fail at once, those after it.  May be its end. */
static void dial_step(gni_dial *d)
{
    gn_loop *l = d->loop;
    gni_timer_cancel(&l->wheel, &d->step_timer);
    while (d->begun < d->count) {
        attempt *a = &d->attempts[d->begun];
        int rc = attempt_begin(d, a);
        if (rc == GNP_AGAIN) { /* the queue of a Unix listener is full */
            backoff(d);
            return;
        }
        d->begun++;
        if (rc == GNP_INFLIGHT) {
            if (d->begun < d->count) {
                gni_timer_set(&l->wheel, &d->step_timer, l->now + d->attempt_delay_ns);
            }
            return;
        }
        if (rc == GNP_OK) {
            rc = attempt_check(a);
        }
        if (rc == GN_OK) {
            dial_won(d, a);
            return;
        }
        attempt_failed(d, a, rc);
    }
    if (d->live == 0) {
        dial_end(d, d->error);
    }
}

static void step_due(gni_timer *t, void *arg)
{
    (void)arg;
    dial_step((gni_dial *)(void *)((char *)t - offsetof(gni_dial, step_timer)));
}

static attempt *attempt_of(gni_dial *d, const gn_conn *c)
{
    attempt *a = d->attempts;
    while (a->conn != c) {
        a++;
    }
    return a;
}

void gni_dial_event(gn_conn *c, const gnp_event *ev)
{
    (void)ev; /* a hint: connect_end knows */
    gni_dial *d = c->context;
    int rc = gnp_connect_end(c->loop->poller, &c->sock);
    if (rc == GNP_AGAIN) {
        return;
    }
    attempt *a = attempt_of(d, c);
    if (rc == GNP_OK) {
        rc = attempt_check(a);
    }
    if (rc == GN_OK) {
        dial_won(d, a);
        return;
    }
    attempt_failed(d, a, rc);
    dial_step(d);
}

/* --------------------------------------------------------------- on the loop */

static void sock_opts_set(gnp_sock_opts *so, const gn_options *o, int kind, int family)
{
    so->v6only = -1;
    so->rcvbuf = o->recv_buffer;
    so->sndbuf = o->send_buffer;
    if (kind == GNP_STREAM && family != GNP_FAMILY_UNIX) {
        so->nodelay = o->tcp_nodelay;
        so->keepalive_s = o->keepalive_s;
        so->keepalive_intvl_s = o->keepalive_intvl_s;
        so->keepalive_count = o->keepalive_count;
    }
}

static void dial_join(gni_dial *d, gn_loop *l)
{
    d->loop = l;
    d->next = l->dials;
    if (d->next != NULL) {
        d->next->prev = d;
    }
    l->dials = d;
    gnp_add32(&l->load, 1);
    if (d->op.token != GN_OP_NONE) {
        d->op.cancel = dial_cancel;
        gni_ops_add(&l->ops, &d->op, d->op.token);
    }
    d->step_timer.fn = step_due;
    d->deadline_timer.fn = dial_expired;
    gni_timer_set(&l->wheel, &d->deadline_timer, d->deadline);
}

static void dial_run(gni_task *t, int status)
{
    gni_dial *d = (gni_dial *)(void *)t;
    gn_loop *l = gn_loop_current();
    if (!gni_asked_arrive(&d->asked, t, &status)) {
        return;
    }
    if (status != GN_OK) {
        gni_asked asked = d->asked;
        dial_free(d);
        gni_asked_fail(&asked, status);
        return;
    }
    dial_join(d, l);
    sock_opts_set(&d->sock_opts, &l->engine->options, d->kind, d->attempts[0].to.family);
    if (d->resolving == NULL) {
        dial_step(d);
        return;
    }
    status = gni_resolver_ask(l, d->resolving, d);
    if (status != GN_OK) {
        dial_end(d, status);
    }
}

int gni_dial_order(const gnp_addr *in, int n, gnp_addr *out, int cap)
{
    int at[2] = { 0, 0 };
    int turn = 0;
    int count = 0;
    while (count < cap && (at[0] < n || at[1] < n)) {
        uint8_t family = turn == 0 ? GNP_FAMILY_IPV6 : GNP_FAMILY_IPV4;
        int *i = &at[turn];
        while (*i < n && in[*i].family != family) {
            (*i)++;
        }
        if (*i < n) {
            out[count++] = in[(*i)++];
        }
        turn = !turn;
    }
    return count;
}

void gni_dial_resolved(gni_dial *d, const gnp_addr *found, int count)
{
    gnp_addr sorted[GNI_DIAL_ADDRS];
    d->resolving = NULL;
    if (count <= 0) {
        dial_end(d, count < 0 ? count : GN_EADDR);
        return;
    }
    d->count = (unsigned)gni_dial_order(found, count, sorted, (int)d->room);
    for (unsigned i = 0; i < d->count; i++) {
        d->attempts[i].to = sorted[i];
    }
    dial_step(d);
}
