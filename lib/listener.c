/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <string.h>

#include "engine.h"
#include "log.h"
#include "loop.h"
#include "udp.h"

/* Connections taken in one turn: a storm of them must not starve those that are open. */
#define ACCEPT_BATCH 64

/* Without descriptors accepting rests so long, doubling; at most ten looks a second. */
#define BACKOFF_MIN_NS (UINT64_C(5) * 1000 * 1000)
#define BACKOFF_MAX_NS (UINT64_C(100) * 1000 * 1000)

/* At the limit of descriptors each one that closes lets one in and starts a new rest: one line is enough. */
#define LOG_INTERVAL_NS (UINT64_C(10) * 1000 * 1000 * 1000)

/* While too many bytes are held, accepting looks again this often; whoever frees them may call sooner. */
#define OVERLOAD_LOOK_NS (UINT64_C(20) * 1000 * 1000)

/* Who has waited so long in the queue is better told to go than left to wait. */
#define STARVED_NS (UINT64_C(5) * 1000 * 1000 * 1000)

/* ----------------------------------------------------------------- binding */

/* RFC 5771 (224.0.0.0/4) and RFC 4291 2.7. */
static int is_group(const gni_endpoint *ep)
{
    if (!gni_scheme_is_datagram(ep->scheme)) {
        return 0;
    }
    return ep->addr.family == GNP_FAMILY_IPV6 ? ep->addr.u.ip[0] == 0xff : ep->addr.u.ip[0] >> 4 == 14;
}

static int v6only(const gn_listen_options *lo, gni_scheme scheme)
{
    return lo->v6only >= 0 ? lo->v6only : scheme == GNI_TCP6 || scheme == GNI_UDP6;
}

/* Of the engine, and of this listener.  gn_opt_value and gnp_opt_value are the same, see sockopt.c. */
static void sock_options(gnp_sock_opts *so, const gn_options *o, const gn_listen_options *lo,
                         gni_scheme scheme, int reuseport)
{
    memset(so, 0, sizeof *so);
    so->backlog = lo->backlog != 0 ? lo->backlog : o->backlog;
    so->reuseport = reuseport;
    so->rcvbuf = o->recv_buffer;
    so->sndbuf = o->send_buffer;
    so->v6only = v6only(lo, scheme);
    so->device = lo->device;
    so->unix_mode = lo->unix_mode;
    so->opts = (const gnp_opt_value *)(const void *)lo->opts;
    so->opt_count = lo->opt_count;
    if (!gni_scheme_is_datagram(scheme) && scheme != GNI_UNIX) {
        so->reuseaddr = o->reuseaddr;
        so->nodelay = o->tcp_nodelay;
        so->keepalive_s = o->keepalive_s;
        so->keepalive_intvl_s = o->keepalive_intvl_s;
        so->keepalive_count = o->keepalive_count;
    }
}

/* Will it be a socket of IPv6 for every address that takes IPv4 too? */
static int takes_both(const gni_endpoint *ep, const gn_listen_options *lo)
{
    return ep->addr.family == GNP_FAMILY_IPV6 && gnp_addr_is_any(&ep->addr) && !v6only(lo, ep->scheme);
}

static int balances(const gni_endpoint *ep, const gn_listen_options *lo)
{
    int kind = gni_scheme_is_datagram(ep->scheme) ? GNP_DGRAM : GNP_STREAM;
    return gnp_reuseport_balances(kind, takes_both(ep, lo));
}

/* One socket per loop: TCP if it was asked for, datagrams always, where the kernel balances.
 * The others are accepted by one loop, whatever the number of loops. */
static unsigned sockets_wanted(const gni_endpoint *ep, const gn_options *o, const gn_listen_options *lo,
                               unsigned loops)
{
    gni_scheme scheme = ep->scheme;
    if (scheme == GNI_UNIX || loops == 1 || is_group(ep)) { /* of a group each socket would get a copy */
        return 1;
    }
    return (o->reuseport || gni_scheme_is_datagram(scheme)) && balances(ep, lo) ? loops : 1;
}

static int socket_open(gni_listener *ln, gnp_sock *s, const gnp_addr *a, const gnp_sock_opts *so)
{
    return ln->datagram ? gnp_dgram_open(s, a, so) : gnp_listen(s, a, so, &ln->bound);
}

/* Every address of the host: IPv6 that takes IPv4 too, or IPv4 where there is no IPv6, or none that does. */
static int any_open(gni_listener *ln, gni_endpoint *ep, const gnp_sock_opts *so)
{
    int both = ep->any && (ep->scheme == GNI_TCP || ep->scheme == GNI_UDP);
    if (both && gnp_has_ipv6()) {
        gnp_addr v6 = { 0 };
        v6.family = GNP_FAMILY_IPV6;
        v6.port = ep->addr.port;
        int rc = socket_open(ln, &ln->socks[0], &v6, so);
        if ((rc != GNP_EADDRNOTAVAIL && rc != GNP_ENOTSUP) || so->v6only) {
            return rc;
        }
    }
    if (both && so->v6only) {
        return GN_ENOTSUP;
    }
    if (both) {
        memset(&ep->addr.u, 0, sizeof ep->addr.u);
        ep->addr.family = GNP_FAMILY_IPV4;
    }
    return socket_open(ln, &ln->socks[0], &ep->addr, so);
}

/* Options are set before the bind, so one that fails would hide that the address is of no use either,
 * which is what the user must know first.  A Unix path is not bound for a look. */
static int first_open(gni_listener *ln, gni_endpoint *ep, const gnp_sock_opts *so)
{
    int rc = any_open(ln, ep, so);
    if (rc == GN_OK || so->opt_count == 0 || ep->scheme == GNI_UNIX) {
        return rc;
    }
    gnp_sock_opts plain = *so;
    plain.opt_count = 0;
    int without = any_open(ln, ep, &plain);
    if (without != GN_OK) {
        return without;
    }
    gnp_sock_close(&ln->socks[0], 0);
    return rc;
}

/* Who asked for reuseport shares a port of his choice with whoever else does; a free port, and one
 * that is shared only among our own loops, must be ours alone. */
static int first_mode(const gni_endpoint *ep, const gn_options *o, unsigned wanted)
{
    int asked = o->reuseport && ep->scheme != GNI_UNIX;
    if (asked && ep->addr.port != 0) {
        return GNP_SHARED;
    }
    return asked || wanted > 1 ? GNP_SHARED_FIRST : GNP_EXCLUSIVE;
}

/* Several programs may listen to one group.  Of IPv6 a link-local one is bound on its interface.  0 if there
 * is no such interface. */
static int group_options(gnp_sock_opts *so, gni_endpoint *ep, const gn_listen_options *lo,
                         unsigned *interface_index)
{
    *interface_index = ep->addr.scope;
    if (lo->multicast_if != NULL) {
        *interface_index = gnp_interface_index(lo->multicast_if);
        if (*interface_index == 0) {
            return 0;
        }
    }
    so->reuseaddr = 1;
    so->reuseport = GNP_EXCLUSIVE;
    if (ep->addr.family == GNP_FAMILY_IPV6) {
        ep->addr.scope = *interface_index;
    }
    return 1;
}

/* The first socket may choose the port; the others take the same one. */
static int sockets_open(gni_listener *ln, gni_endpoint *ep, const gn_options *o, const gn_listen_options *lo)
{
    gnp_sock_opts so;
    unsigned interface_index = 0;
    sock_options(&so, o, lo, ep->scheme, first_mode(ep, o, ln->cap));
    if (is_group(ep) && !group_options(&so, ep, lo, &interface_index)) {
        return GN_ENOENT;
    }
    int rc = first_open(ln, ep, &so);
    if (rc != GNP_OK) {
        return rc;
    }
    ln->count = 1;
    ln->first = ln->socks[0];
    ln->addr = ep->addr; /* what is bound is given back by it, also if the system does not tell */
    rc = gnp_sock_local(&ln->socks[0], &ln->addr);
    ln->both = ln->addr.family == GNP_FAMILY_IPV6 && !so.v6only;
    if (rc == GNP_OK && is_group(ep)) {
        rc = gnp_sock_join(&ln->socks[0], &ln->addr, interface_index);
    }
    so.reuseport = GNP_SHARED;
    while (rc == GNP_OK && ln->count < ln->cap) {
        rc = socket_open(ln, &ln->socks[ln->count], &ln->addr, &so);
        if (rc == GNP_OK) {
            ln->count++;
        }
    }
    if (rc == GNP_OK && o->reuseport_cpu && ln->cap > 1) {
        rc = gnp_reuseport_by_cpu(&ln->socks[0], ln->count); /* which counts them as they were bound */
    }
    return rc;
}

static gni_listener *listener_new(const gn_listen_options *lo, unsigned socks)
{
    gni_listener *ln = gnp_zalloc(sizeof *ln);
    if (ln == NULL) {
        return NULL;
    }
    ln->first.os = -1;
    ln->cap = socks;
    ln->handler = lo->handler;
    ln->user = lo->user;
    ln->gate.max = lo->conns_max < GNI_GATE_MOST ? lo->conns_max : GNI_GATE_MOST;
    for (unsigned i = 0; i < lo->opt_count; i++) {
        if (lo->opts[i].opt == GN_OPT_PASS_DESCRIPTORS) {
            ln->pass_descriptors = lo->opts[i].value != 0;
        }
    }
    ln->socks = gnp_zalloc(socks * sizeof *ln->socks);
    if (ln->socks == NULL) {
        gnp_free(ln, sizeof *ln);
        return NULL;
    }
    return ln;
}

/* The kernel's balance among our own sockets was asked for, by CPU, and there is none. */
static int cpu_wanted_in_vain(const gni_endpoint *ep, const gn_options *o, const gn_listen_options *lo,
                              unsigned loops)
{
    return o->reuseport_cpu && o->reuseport && loops > 1 && ep->scheme != GNI_UNIX && !balances(ep, lo);
}

int gni_listener_open(gni_listener **out, const char *url, const gn_options *o, const gn_listen_options *lo,
                      unsigned loops)
{
    gni_endpoint ep;
    int rc = gni_endpoint_parse(url, &ep);
    if (rc != GN_OK) {
        return rc;
    }
    if (cpu_wanted_in_vain(&ep, o, lo, loops) ||
        (ep.scheme == GNI_UNIX && lo->device != NULL) ||
        (lo->unix_mode != 0 && (ep.scheme != GNI_UNIX || ep.addr.u.path[0] == '\0'))) {
        return GN_ENOTSUP;
    }
    gni_listener *ln = listener_new(lo, sockets_wanted(&ep, o, lo, loops));
    if (ln == NULL) {
        return GN_ENOMEM;
    }
    ln->scheme = ep.scheme;
    ln->datagram = gni_scheme_is_datagram(ep.scheme);
    rc = sockets_open(ln, &ep, o, lo);
    if (rc != GN_OK) {
        gni_listener_close(ln);
        gni_listener_free(ln);
        return rc;
    }
    *out = ln;
    return GN_OK;
}

/* What accepted sockets would have inherited had we made the listener.  Where it is refused they do without:
 * the socket is its maker's. */
static void import_options(gnp_sock *s, const gn_options *o)
{
    if (s->kind != GNP_LISTENER || s->family == GNP_FAMILY_UNIX) {
        return;
    }
    if (o->tcp_nodelay) {
        (void)gnp_sock_set(s, GNP_OPT_NODELAY, 1);
    }
    if (o->keepalive_s != 0) {
        (void)gnp_sock_set(s, GNP_OPT_KEEPALIVE, o->keepalive_s);
        (void)gnp_sock_set(s, GNP_OPT_KEEPALIVE_INTVL, o->keepalive_intvl_s);
        (void)gnp_sock_set(s, GNP_OPT_KEEPALIVE_COUNT, o->keepalive_count);
    }
}

static int import_socket(gni_listener *ln, gn_descriptor d, const gn_options *o, const gn_listen_options *lo)
{
    gnp_sock *s = &ln->socks[0];
    int rc = gnp_sock_import(s, d);
    if (rc != GNP_OK) {
        return rc;
    }
    rc = gnp_sock_local(s, &ln->addr);
    if (rc != GNP_OK || (s->kind != GNP_LISTENER && s->kind != GNP_DGRAM) ||
        (s->kind == GNP_DGRAM && (s->family == GNP_FAMILY_UNIX || ln->addr.port == 0))) {
        return GN_EINVAL;
    }
    import_options(s, o);
    for (unsigned i = 0; i < lo->opt_count; i++) {
        rc = gnp_sock_set(s, (int)lo->opts[i].opt, lo->opts[i].value);
        if (rc != GNP_OK) {
            return rc;
        }
    }
    ln->datagram = s->kind == GNP_DGRAM;
    ln->scheme = s->family == GNP_FAMILY_UNIX ? GNI_UNIX : ln->datagram ? GNI_UDP : GNI_TCP;
    ln->both = s->family == GNP_FAMILY_IPV6; /* sending finds out */
    ln->first = *s;
    ln->count = 1;
    return GN_OK;
}

int gni_listener_import(gni_listener **out, gn_descriptor d, const gn_options *o, const gn_listen_options *lo)
{
    gni_listener *ln = listener_new(lo, 1);
    if (ln == NULL) {
        return GN_ENOMEM;
    }
    int rc = import_socket(ln, d, o, lo);
    if (rc != GN_OK) {
        gni_listener_free(ln);
        return rc;
    }
    *out = ln;
    return GN_OK;
}

void gni_listener_close(gni_listener *ln)
{
    for (unsigned i = 0; i < ln->count; i++) {
        if (ln->socks[i].os != -1) {
            gnp_sock_close(&ln->socks[i], 0);
            ln->socks[i].os = -1;
        }
    }
    gnp_unlink_bound(&ln->addr, &ln->bound);
    memset(&ln->bound, 0, sizeof ln->bound);
}

void gni_listener_free(gni_listener *ln)
{
    gnp_free(ln->socks, ln->cap * sizeof *ln->socks);
    gnp_free(ln, sizeof *ln);
}

int gni_listener_needs_acceptor(const gni_listener *ln, unsigned loops)
{
    return !ln->datagram && loops > 1 && ln->count == 1;
}

/* --------------------------------------------------------------- accepting */

typedef struct handoff {
    gni_task task;
    gn_loop *loop;
    gni_listener *listener;
    gnp_sock sock;
    gnp_addr peer;
} handoff;

void gni_accepted_lost(gn_loop *to, gnp_sock *s, const gni_listener *ln, int reset)
{
    gnp_sub32(&to->load, 1);
    gnp_sock_close(s, reset);
    if (to->engine->guarded) {
        gni_listener_leave(to->engine, ln->index);
    }
}

static void handoff_run(gni_task *t, int status)
{
    handoff *h = (handoff *)(void *)t;
    if (status == GN_OK) {
        gni_conn_accepted(h->loop, &h->sock, &h->peer, h->listener);
    } else {
        gni_accepted_lost(h->loop, &h->sock, h->listener, 0);
    }
    gnp_free(h, sizeof *h);
}

static void hand_over(gn_loop *from, gn_loop *to, gnp_sock *s, const gnp_addr *peer, gni_listener *ln)
{
    handoff *h = gnp_alloc(sizeof *h);
    gnp_add32(&to->load, 1);
    if (h == NULL) {
        gni_count(&from->stats.refused, 1);
        gni_accepted_lost(to, s, ln, 1);
        return;
    }
    h->task.run = handoff_run;
    h->loop = to;
    h->listener = ln;
    h->sock = *s;
    h->peer = *peer;
    if (gni_loop_post_to(to, &h->task) != GN_OK) {
        handoff_run(&h->task, GN_ECLOSED);
    }
}

static void accepted(gni_acceptor *a, gnp_sock *s, const gnp_addr *peer)
{
    gn_loop *l = a->loop;
    gn_loop *to = l->index < l->engine->nloops ? l : gni_engine_balance(l->engine, peer);
    if (to == l) {
        gnp_add32(&l->load, 1);
        gni_conn_accepted(l, s, peer, a->listener);
    } else {
        hand_over(l, to, s, peer, a->listener);
    }
}

/* ------------------------------------------------------------------ resting */

static void look_again(gni_acceptor *a, uint64_t after_ns)
{
    if (!gni_timer_is_set(&a->backoff)) {
        a->loop->resting++;
    }
    gni_timer_set(&a->loop->wheel, &a->backoff, a->loop->now + after_ns);
}

/* Tells the poller what follows from the reasons to rest.  If it will not: accepting starts later, or its
 * next event finds it resting and tells again. */
static void interest_follow(gni_acceptor *a)
{
    int want = a->rest == 0;
    if (want == a->wanting) {
        return;
    }
    if (gnp_want(a->loop->poller, &a->sock, want ? GNP_READ : 0) == GNP_OK) {
        a->wanting = want;
    } else if (want) {
        a->rest |= GNI_REST_STARVED;
        look_again(a, BACKOFF_MAX_NS);
    }
}

static void rest(gni_acceptor *a, unsigned why)
{
    a->rest |= why;
    interest_follow(a);
}

/* Out of descriptors for long: the one in reserve lets those who wait be told. */
static void shed(gni_acceptor *a)
{
    gn_loop *l = a->loop;
    gnp_sock s;
    gnp_addr peer;
    unsigned n = 0;
    gnp_reserve_release(&l->reserve);
    while (n < ACCEPT_BATCH && gnp_accept(l->poller, &a->sock, &s, &peer) == GNP_OK) {
        gnp_sock_close(&s, 1);
        n++;
    }
    (void)gnp_reserve_take(&l->reserve); /* if it is gone, the next time sheds nothing */
    gni_count(&l->stats.refused, n);
    gni_log(GN_LOG_WARN, "listener %u: no descriptors for a while, %u waiting connections refused",
            a->listener->index, n);
}

static void backoff_start(gni_acceptor *a, int why)
{
    gn_loop *l = a->loop;
    if (a->logged == 0 || l->now - a->logged >= LOG_INTERVAL_NS) {
        gni_log(GN_LOG_WARN, "listener %u: accepting rests: %s", a->listener->index, gn_strerror(why));
        a->logged = l->now;
    }
    if (a->delay_ns == 0) {
        a->delay_ns = BACKOFF_MIN_NS;
        a->starved_since = l->now;
    } else {
        a->delay_ns = a->delay_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : a->delay_ns * 2;
    }
    if (l->now - a->starved_since >= STARVED_NS) {
        shed(a);
        a->starved_since = l->now;
    }
    rest(a, GNI_REST_STARVED);
    look_again(a, a->delay_ns);
}

static void backoff_over(gni_timer *t, void *arg)
{
    gn_loop *l = arg;
    gni_acceptor *a = (gni_acceptor *)(void *)((char *)t - offsetof(gni_acceptor, backoff));
    l->resting--;
    a->rest &= ~(unsigned)(GNI_REST_STARVED | GNI_REST_LIMIT);
    interest_follow(a);
}

void gni_acceptor_retry(gn_loop *l)
{
    if (l->resting == 0) {
        return;
    }
    for (unsigned i = 0; i < l->acceptor_count; i++) {
        if (gni_timer_is_set(&l->acceptors[i].backoff)) {
            gni_timer_set(&l->wheel, &l->acceptors[i].backoff, l->now);
        }
    }
}

/* What was asked for, and a new look at the limits. */
static void sync_one(gni_acceptor *a)
{
    int paused = gnp_load32(&a->listener->paused) != 0;
    if (a->listener->datagram) {
        if (paused == a->wanting && gni_udp_pause(a, paused) == GN_OK) {
            a->wanting = !paused;
        }
        return;
    }
    a->rest &= ~(unsigned)(GNI_REST_LIMIT | GNI_REST_PAUSED);
    a->rest |= paused ? GNI_REST_PAUSED : 0;
    interest_follow(a);
}

void gni_acceptors_sync(gn_loop *l)
{
    gnp_store32(&l->limited, 0); /* who still is sets it again before he waits */
    for (unsigned i = 0; i < l->acceptor_count && !l->draining; i++) {
        sync_one(&l->acceptors[i]);
    }
}

static void kick_run(gni_task *t, int status)
{
    gn_loop *l = (gn_loop *)(void *)((char *)t - offsetof(gn_loop, kick));
    (void)gnp_swap32(&l->kicked, 0); /* before it looks: what is asked from now on posts again */
    if (status == GN_OK) {
        gni_acceptors_sync(l);
    }
}

void gni_acceptors_kick(gn_loop *l)
{
    if (gnp_swap32(&l->kicked, 1) == 0) {
        l->kick.run = kick_run;
        (void)gni_loop_post_to(l, &l->kick); /* else the loop has ended */
    }
}

/* ------------------------------------------------------------------- limits */

void gni_engine_room(gn_engine *e)
{
    for (unsigned i = 0; i < e->loops_made; i++) {
        if (gnp_load32(&e->loops[i]->limited) != 0) {
            gni_acceptors_kick(e->loops[i]);
        }
    }
}

void gni_listener_leave(gn_engine *e, unsigned index)
{
    int wanted = gni_gate_leave(&e->gate);
    if (index < e->nlisteners && gni_gate_leave(&e->listeners[index]->gate)) {
        wanted = 1;
    }
    if (wanted) {
        gni_engine_room(e);
    }
}

/*
 * A place in the engine and one of the listener's; NULL, or the gate that is shut.  Both are looked at
 * before one is taken: loops that took one, failed at the other and gave the first back would call each
 * other for ever.
 */
static gni_gate *enter(gni_acceptor *a)
{
    gn_engine *e = a->loop->engine;
    gni_gate *own = &a->listener->gate;
    if (gni_gate_is_shut(&e->gate)) {
        return &e->gate;
    }
    if (gni_gate_is_shut(own)) {
        return own;
    }
    if (!gni_gate_enter(&e->gate)) {
        return &e->gate;
    }
    if (!gni_gate_enter(own)) {
        gni_engine_conn_leave(e);
        return own;
    }
    return NULL;
}

/* Before accepting, so that who finds no room stays in the system's queue.  1: go on. */
static int room_or_rest(gni_acceptor *a)
{
    gn_loop *l = a->loop;
    gni_gate *shut = NULL;
    if (gni_engine_overloaded(l->engine)) {
        gnp_store32(&l->limited, 1);
        rest(a, GNI_REST_LIMIT);
        look_again(a, OVERLOAD_LOOK_NS);
        return 0;
    }
    while ((shut = enter(a)) != NULL) {
        gnp_store32(&l->limited, 1); /* first: who sees the mark calls those that are limited */
        if (gni_gate_wait(shut)) {
            rest(a, GNI_REST_LIMIT);
            return 0;
        }
    }
    return 1;
}

/* After accepting: a place taken before would keep others out who have come already. */
static int room_or_refuse(gni_acceptor *a, gnp_sock *s)
{
    if (!gni_engine_overloaded(a->loop->engine) && enter(a) == NULL) {
        return 1;
    }
    gnp_sock_close(s, 1);
    gni_count(&a->loop->stats.refused, 1);
    return 0;
}

/* One connection.  GNP_OK, GNP_AGAIN (nothing more for now), or what accepting says. */
static int accept_one(gni_acceptor *a)
{
    gn_loop *l = a->loop;
    gnp_sock s;
    gnp_addr peer;
    int waits = a->guarded && l->engine->options.overload == GN_OVERLOAD_WAIT;
    if (waits && !room_or_rest(a)) {
        return GNP_AGAIN;
    }
    int rc = gnp_accept(l->poller, &a->sock, &s, &peer);
    if (rc == GNP_OK) {
        a->delay_ns = 0;
        if (!a->guarded || waits || room_or_refuse(a, &s)) {
            accepted(a, &s, &peer);
        }
    } else if (waits) {
        gni_listener_leave(l->engine, a->listener->index);
    }
    return rc;
}

static int accepting(const gni_acceptor *a)
{
    return !gni_engine_stopping(a->loop->engine) && gnp_load32(&a->listener->paused) == 0;
}

void gni_acceptor_event(gni_acceptor *a, const gnp_event *ev)
{
    if ((ev->what & GNP_EV_CLOSED) != 0) {
        a->loop->late--;
        return;
    }
    if (a->rest != 0) {
        interest_follow(a);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH && accepting(a); i++) {
        int rc = accept_one(a);
        if (rc == GNP_AGAIN) {
            return;
        }
        if (rc != GNP_OK && rc != GNP_ECONNABORTED && rc != GNP_EACCES) {
            backoff_start(a, rc);
            return;
        }
    }
}

int gni_acceptor_attach(gni_acceptor *a)
{
    const gn_engine *e = a->loop->engine;
    a->wanting = 1;
    a->backoff.fn = backoff_over;
    if (a->listener->datagram) {
        return gni_udp_open(a);
    }
    a->guarded = e->gate.max != 0 || a->listener->gate.max != 0 || e->options.loop_bytes_max != 0 ||
                 e->options.engine_bytes_max != 0;
    int rc = gnp_attach(a->loop->poller, &a->sock, GNP_READ);
    if (rc == GNP_OK) {
        a->state = GNI_ACCEPTOR_ATTACHED;
    }
    return rc;
}

/* From now on the number may be another file's: nobody duplicates it any more. */
static void first_forget(gni_acceptor *a)
{
    gn_engine *e = a->loop->engine;
    gnp_mutex_lock(&e->lock);
    if (a->first) {
        a->listener->first.os = -1;
    }
    gnp_mutex_unlock(&e->lock);
}

void gni_acceptor_detach(gni_acceptor *a)
{
    int was = a->state;
    if (was == GNI_ACCEPTOR_CLOSED) {
        return;
    }
    first_forget(a);
    a->state = GNI_ACCEPTOR_CLOSED;
    if (gni_timer_is_set(&a->backoff)) {
        gni_timer_cancel(&a->loop->wheel, &a->backoff);
        a->loop->resting--;
    }
    if (was == GNI_ACCEPTOR_ATTACHED) {
        if (gnp_close(a->loop->poller, &a->sock, 0) == GNP_INFLIGHT) {
            a->loop->late++;
        }
    } else if (a->sock.os != -1) {
        gnp_sock_close(&a->sock, 0);
    }
}
