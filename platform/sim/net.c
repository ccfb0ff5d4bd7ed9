/* SPDX-License-Identifier: MIT */
/*
 * The network: streams of two pipes, listeners, datagrams.  Bytes of a pipe are first on their way, then
 * unread; both count against its room, as a window does.  What arrives is an event, in order per
 * direction.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define PIPE_BYTES 65536u
#define FIRST_PORT 40000u                         /* of those that the system picks */
#define SYN_RETRY_NS UINT64_C(1000000000)         /* RFC 6298: the first time-out */
#define RESEND_NS UINT64_C(200000000)             /* the least RTO of Linux */
#define LOST_NS UINT64_C(2000000000)              /* a host vanishes within so long */
#define KNOWN_NS UINT64_C(19000000000)            /* and after 1 s and up to this, it is known */
#define SYN_RETRIES 6u                            /* about two minutes, as Linux does */
#define PACKETS_MAX 256u                          /* that wait at a datagram socket */
#define DGRAM_MAX 65507u                          /* 65,535 less the heads of IPv4 and UDP */

enum { BYTES, FIN, RST };

/* A descriptor that goes along with the byte of that number. */
typedef struct rider {
    struct rider *next;
    uint64_t at;
    sim_file *file;
} rider;

typedef struct sim_pipe {
    uint64_t taken;        /* bytes that were read */
    rider *riders;         /* in order */
    unsigned char *data;
    size_t cap, head, len; /* a ring; len: on their way and unread */
    size_t arrived;        /* the first so many of them can be read */
    int fin_sent, fin_arrived;
    unsigned epoch;        /* what was on its way before a reset does not arrive */
    uint64_t last_at;      /* when the last one arrives */
    uint64_t held_until;   /* nothing does before */
} sim_pipe;

typedef struct sim_conn {
    unsigned refs;         /* sides, and events under way */
    sim_pipe dir[2];       /* what side i sends */
    sim_file *end[2];      /* NULL: closed */
    int error[2];          /* what side i is told once */
    int broken[2];
    int local;             /* Unix sockets */
    int lost;              /* one of the hosts is gone */
    int stalled;           /* nothing gets through */
    sim_event lost_ev;
    uint64_t latency_ns;
} sim_conn;

typedef struct arrival {
    sim_event ev;
    sim_conn *conn;
    unsigned from;         /* side */
    int what;
    size_t bytes;
    unsigned epoch;
} arrival;

static sim_file *bound;    /* listeners and datagram sockets */
static uint16_t next_port = FIRST_PORT;
static size_t pipes;

/* ---------------------------------------------------------------- addresses */

int gnp_sim_addr_same(const gnp_addr *a, const gnp_addr *b)
{
    if (a->family != b->family)
        return 0;
    if (a->family == GNP_FAMILY_UNIX)
        return a->len == b->len && memcmp(a->u.path, b->u.path, a->len) == 0;
    return memcmp(a->u.ip, b->u.ip, a->family == GNP_FAMILY_IPV4 ? 4 : 16) == 0;
}

static int group(const gnp_addr *a)
{
    return (a->family == GNP_FAMILY_IPV4 && a->u.ip[0] >= 224 && a->u.ip[0] < 240) ||
           (a->family == GNP_FAMILY_IPV6 && a->u.ip[0] == 0xff);
}

/* The form in which IPv6 writes an IPv4 address (RFC 4291 2.5.5.2), and back. */
static void map(gnp_addr *a)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
    uint8_t four[4];

    if (a->family != GNP_FAMILY_IPV4)
        return;
    memcpy(four, a->u.ip, 4);
    a->family = GNP_FAMILY_IPV6;
    memcpy(a->u.ip, prefix, 12);
    memcpy(a->u.ip + 12, four, 4);
}

static void unmap(gnp_addr *a)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
    uint8_t four[4];

    if (a->family != GNP_FAMILY_IPV6 || memcmp(a->u.ip, prefix, 12) != 0)
        return;
    memcpy(four, a->u.ip + 12, 4);
    memset(a->u.ip, 0, 16);
    a->family = GNP_FAMILY_IPV4;
    memcpy(a->u.ip, four, 4);
}

/* The host has one interface, the loopback; peers have whatever they say. */
static int ours(const gnp_addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    gnp_addr plain = *a;

    unmap(&plain);
    if (gnp_addr_is_any(&plain) || group(&plain))
        return 1;
    return plain.family == GNP_FAMILY_IPV4 ? plain.u.ip[0] == 127 : memcmp(plain.u.ip, one, 16) == 0;
}

/* Would what is sent to `to` come to f? */
static int reaches(const sim_file *f, const gnp_addr *to)
{
    gnp_addr local = f->local;

    if (f->family == GNP_FAMILY_UNIX || to->family == GNP_FAMILY_UNIX)
        return gnp_sim_addr_same(&f->local, to);
    if (local.port != to->port)
        return 0;
    if (local.family == GNP_FAMILY_IPV6 && gnp_addr_is_any(&local))
        return to->family == GNP_FAMILY_IPV6 || !f->v6only;
    unmap(&local);
    return local.family == to->family &&
           (gnp_addr_is_any(&local) || gnp_addr_is_any(to) || gnp_sim_addr_same(&local, to));
}

uint64_t gnp_sim_latency(void)
{
    return sim.knobs.latency_ns + gnp_sim_below(sim.knobs.jitter_ns + 1);
}

/* ------------------------------------------------------------------ binding */

/* May not both have their address. */
static int conflict(const sim_file *f, const sim_file *g)
{
    if (f->kind != g->kind || f->local.port != g->local.port)
        return 0;
    if (group(&f->local) && f->reuseaddr && g->reuseaddr)
        return 0;
    return reaches(f, &g->local) || reaches(g, &f->local);
}

static int taken(const sim_file *f, int shared)
{
    const sim_file *g;

    for (g = bound; g != NULL; g = g->next) {
        if (conflict(g, f) && !(shared && g->shared))
            return 1;
    }
    return 0;
}

static uint16_t pick_port(void)
{
    uint16_t port = next_port++;

    if (next_port == 0)
        next_port = FIRST_PORT;
    return port;
}

int gnp_sim_bind(sim_file *f, const gnp_addr *a, int shared)
{
    if (a->family != f->family)
        return GNP_EINVAL;
    if (a->family != GNP_FAMILY_UNIX && f->ours && !ours(a))
        return GNP_EADDRNOTAVAIL;
    f->local = *a;
    if (a->family != GNP_FAMILY_UNIX && a->port == 0) {
        do
            f->local.port = pick_port();
        while (taken(f, 0));
    } else if (taken(f, shared == GNP_SHARED)) {
        return GNP_EADDRINUSE;
    }
    f->shared = shared != GNP_EXCLUSIVE;
    f->next = bound;
    bound = f;
    return GNP_OK;
}

int gnp_sim_bind_early(sim_file *f, const gnp_addr *a)
{
    if (f->ours && !ours(a))
        return GNP_EADDRNOTAVAIL;
    f->local = *a;
    if (a->port == 0)
        f->local.port = pick_port();
    else if (taken(f, 0))
        return GNP_EADDRINUSE;
    return GNP_OK;
}

void gnp_sim_unbind(sim_file *f)
{
    sim_file **at = &bound;

    while (*at != NULL && *at != f)
        at = &(*at)->next;
    if (*at == f)
        *at = f->next;
}

/* ------------------------------------------------------------------ streams */

static void pipe_init(sim_pipe *p)
{
    p->cap = sim.knobs.pipe_bytes != 0 ? sim.knobs.pipe_bytes : PIPE_BYTES;
    p->data = malloc(p->cap);
    if (p->data == NULL)
        abort();
    pipes++;
}

static void pipe_fini(sim_pipe *p)
{
    while (p->riders != NULL) {
        rider *r = p->riders;
        p->riders = r->next;
        gnp_sim_file_unref(r->file, 0);
        free(r);
    }
    free(p->data);
}

static void conn_unref(sim_conn *c)
{
    if (--c->refs > 0)
        return;
    pipe_fini(&c->dir[0]);
    pipe_fini(&c->dir[1]);
    pipes -= 2;
    free(c);
}

static void tell(sim_conn *c, unsigned side)
{
    if (c->end[side] != NULL)
        gnp_sim_kick(c->end[side]);
}

static void arrive(sim_event *e);

static void post(sim_conn *c, unsigned from, int what, size_t bytes, uint64_t at)
{
    arrival *a = calloc(1, sizeof(*a));
    sim_pipe *p = &c->dir[from];

    if (a == NULL)
        abort();
    if (what != RST && at < p->last_at)
        at = p->last_at;
    p->last_at = at > p->last_at ? at : p->last_at;
    a->conn = c;
    a->from = from;
    a->what = what;
    a->bytes = bytes;
    a->epoch = p->epoch;
    c->refs++;
    gnp_sim_at(&a->ev, at, arrive);
}

static uint64_t one_way(const sim_conn *c)
{
    return sim.now + c->latency_ns + gnp_sim_below(sim.knobs.jitter_ns + 1);
}

/* side is told that the connection is gone; what it had sent and what is on its way to it is lost. */
static void broke(sim_conn *c, unsigned side, int code)
{
    sim_pipe *in = &c->dir[!side], *out = &c->dir[side];

    if (c->broken[side])
        return;
    c->broken[side] = 1;
    c->error[side] = code;
    in->len = in->arrived;
    in->epoch++;
    out->len = out->arrived;
    out->epoch++;
    if (!c->local && gnp_sim_chance(sim.knobs.reset_drops))
        in->len = in->arrived = 0;
    tell(c, side);
}

/* What does not get through is sent again after a while, in order. */
static int hold(arrival *a)
{
    sim_pipe *p = &a->conn->dir[a->from];
    uint64_t at = sim.now + RESEND_NS;

    if (!a->conn->stalled && !(sim.partitioned && !a->conn->local)) {
        if (sim.now >= p->held_until)
            return 0;
        at = p->held_until;
    }
    p->held_until = at;
    p->last_at = at > p->last_at ? at : p->last_at;
    gnp_sim_at(&a->ev, at, arrive);
    return 1;
}

static void arrive(sim_event *e)
{
    arrival *a = (arrival *)(void *)((char *)e - offsetof(arrival, ev));
    sim_conn *c = a->conn;
    unsigned to = !a->from;
    sim_pipe *p = &c->dir[a->from];

    if (hold(a))
        return;
    if (c->lost) {
        ; /* nobody is there */
    } else if (a->what == RST) {
        broke(c, to, GNP_ECONNRESET);
    } else if (a->epoch != p->epoch) {
        ; /* overtaken by a reset */
    } else if (c->broken[to]) {
        p->len -= a->bytes; /* sent before the reset arrived there: what came after a hole is no stream */
    } else if (c->end[to] == NULL && a->what == BYTES) {
        p->len -= a->bytes; /* nobody reads: answered with a reset, as RFC 9293 3.10.7.1 wants */
        post(c, to, RST, 0, one_way(c));
    } else if (a->what == BYTES) {
        p->arrived += a->bytes;
        tell(c, to);
    } else {
        p->fin_arrived = 1;
        tell(c, to);
        tell(c, a->from); /* a hang-up on both sides */
    }
    conn_unref(c);
    free(a);
}

static sim_conn *conn_of_event(sim_event *e)
{
    return (sim_conn *)(void *)((char *)e - offsetof(sim_conn, lost_ev));
}

/* Both ends hear of it, whichever it was. */
static void lost_known(sim_event *e)
{
    sim_conn *c = conn_of_event(e);

    broke(c, 0, GNP_ETIMEDOUT);
    broke(c, 1, GNP_ETIMEDOUT);
    conn_unref(c);
}

static void lost_now(sim_event *e)
{
    sim_conn *c = conn_of_event(e);

    if (c->end[0] != NULL || c->end[1] != NULL)
        sim.faults++;
    c->lost = 1;
    gnp_sim_at(e, sim.now + UINT64_C(1000000000) + gnp_sim_below(KNOWN_NS), lost_known);
}

static void lose(sim_conn *c, uint64_t at)
{
    if (c->lost_ev.fn != NULL)
        return;
    c->refs++;
    gnp_sim_at(&c->lost_ev, at, lost_now);
}

void gnp_sim_stream_vanish(sim_file *f)
{
    if (f->conn != NULL)
        lose(f->conn, sim.now);
}

void gnp_sim_stream_stall(sim_file *f, int on)
{
    if (f->conn != NULL)
        f->conn->stalled = on;
}

/* Of what f has sent and has not arrived, so much does; then the other end hears of a reset. */
void gnp_sim_stream_cut(sim_file *f, size_t arrives)
{
    sim_conn *c = f->conn;
    sim_pipe *p;
    size_t under_way;

    if (c == NULL || c->broken[f->side])
        return;
    p = &c->dir[f->side];
    under_way = p->len - p->arrived;
    p->arrived += arrives < under_way ? arrives : under_way;
    p->len = p->arrived;
    p->epoch++;
    if (!c->broken[!f->side]) {
        c->broken[!f->side] = 1;
        c->error[!f->side] = GNP_ECONNRESET;
        tell(c, !f->side);
    }
    broke(c, f->side, GNP_ECONNRESET);
}

static sim_conn *conn_new(sim_file *dialer, sim_file *server)
{
    sim_conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    c->refs = 2;
    c->end[0] = dialer;
    c->end[1] = server;
    c->local = dialer->family == GNP_FAMILY_UNIX;
    c->latency_ns = c->local ? 1000 : gnp_sim_latency();
    pipe_init(&c->dir[0]);
    pipe_init(&c->dir[1]);
    dialer->conn = server->conn = c;
    server->side = 1;
    if (!c->local && gnp_sim_chance(sim.knobs.lost_peer))
        lose(c, sim.now + gnp_sim_below(LOST_NS));
    return c;
}

int gnp_sim_stream_connected(const sim_file *f)
{
    return f->conn != NULL && !f->connecting && !f->conn->broken[f->side];
}

size_t gnp_sim_stream_unread(const sim_file *f)
{
    return f->conn != NULL ? f->conn->dir[!f->side].arrived : 0;
}

static size_t room(const sim_pipe *p)
{
    return p->cap - p->len;
}

static int take_error(sim_conn *c, unsigned side)
{
    int e = c->error[side];

    c->error[side] = 0;
    return e;
}

static void copy_in(sim_pipe *p, const unsigned char *from, size_t n)
{
    size_t at = (p->head + p->len) % p->cap;
    size_t first = n < p->cap - at ? n : p->cap - at;

    memcpy(p->data + at, from, first);
    memcpy(p->data, from + first, n - first);
    p->len += n;
}

int gnp_sim_stream_send(sim_file *f, const gnp_iov *iov, unsigned count, size_t max, size_t *sent)
{
    sim_conn *c = f->conn;
    sim_pipe *p;
    size_t n = 0;
    unsigned i;

    *sent = 0;
    if (c == NULL || f->connecting)
        return GNP_ENOTCONN;
    p = &c->dir[f->side];
    if (c->error[f->side] != 0)
        return take_error(c, f->side);
    if (p->fin_sent || c->broken[f->side])
        return GNP_EPIPE;
    if (room(p) == 0)
        return GNP_AGAIN;
    for (i = 0; i < count && n < max && room(p) > 0; i++) {
        size_t k = iov[i].len;
        k = k < max - n ? k : max - n;
        k = k < room(p) ? k : room(p);
        copy_in(p, iov[i].base, k);
        n += k;
    }
    post(c, f->side, BYTES, n, one_way(c));
    *sent = n;
    return n > 0 ? GNP_OK : GNP_AGAIN;
}

/* Some bytes were sent to f's peer; the first of the n has a descriptor with it. */
void gnp_sim_stream_ride(sim_file *f, size_t n, sim_file *file)
{
    sim_pipe *p = &f->conn->dir[f->side];
    rider *r = calloc(1, sizeof(*r)), **at = &p->riders;

    if (r == NULL)
        abort();
    r->at = p->taken + p->len - n;
    r->file = file;
    file->refs++;
    while (*at != NULL)
        at = &(*at)->next;
    *at = r;
}

/* What went along with the bytes that the last receive of f has taken; the caller's, one at a time. */
sim_file *gnp_sim_stream_rider(sim_file *f)
{
    sim_pipe *p = f->conn != NULL ? &f->conn->dir[!f->side] : NULL;
    rider *r = p != NULL ? p->riders : NULL;
    sim_file *file;

    if (r == NULL || r->at >= p->taken)
        return NULL;
    p->riders = r->next;
    file = r->file;
    free(r);
    return file;
}

/* A receive ends before the next byte that has a descriptor with it, but for its own first one. */
static size_t up_to_rider(const sim_pipe *p, size_t n)
{
    const rider *r = p->riders;

    if (r != NULL && r->at == p->taken)
        r = r->next;
    return r != NULL && r->at - p->taken < n ? (size_t)(r->at - p->taken) : n;
}

int gnp_sim_stream_recv(sim_file *f, void *out, size_t cap, size_t *n)
{
    sim_conn *c = f->conn;
    sim_pipe *p;
    size_t first;

    *n = 0;
    if (c == NULL || f->connecting)
        return GNP_ENOTCONN;
    p = &c->dir[!f->side];
    if (p->arrived == 0) {
        if (c->error[f->side] != 0)
            return take_error(c, f->side);
        return p->fin_arrived || c->broken[f->side] ? GNP_EOF : GNP_AGAIN;
    }
    cap = up_to_rider(p, cap < p->arrived ? cap : p->arrived);
    first = cap < p->cap - p->head ? cap : p->cap - p->head;
    memcpy(out, p->data + p->head, first);
    memcpy((char *)out + first, p->data, cap - first);
    p->head = (p->head + cap) % p->cap;
    p->len -= cap;
    p->arrived -= cap;
    p->taken += cap;
    *n = cap;
    tell(c, !f->side); /* there is room again; the window's way back takes no time */
    return GNP_OK;
}

void gnp_sim_stream_end(sim_file *f)
{
    sim_pipe *p = &f->conn->dir[f->side];

    if (p->fin_sent || f->conn->broken[f->side])
        return;
    p->fin_sent = 1;
    post(f->conn, f->side, FIN, 0, one_way(f->conn));
}

/* A reset overtakes part of what is on its way, but not between Unix sockets. */
static void send_reset(sim_conn *c, unsigned side)
{
    uint64_t last = c->dir[side].last_at > sim.now ? c->dir[side].last_at : sim.now;

    if (c->local)
        post(c, side, RST, 0, last + c->latency_ns);
    else
        post(c, side, RST, 0, sim.now + 1 + gnp_sim_below(last + c->latency_ns - sim.now));
}

void gnp_sim_stream_break(sim_file *f, int code)
{
    if (f->conn == NULL || f->conn->broken[f->side])
        return;
    send_reset(f->conn, f->side);
    broke(f->conn, f->side, code);
}

void gnp_sim_stream_close(sim_file *f, int reset)
{
    sim_conn *c = f->conn;

    gnp_sim_dial_cancel(f);
    if (c == NULL)
        return;
    f->conn = NULL;
    if (!c->broken[f->side]) {
        /* Unread bytes: the peer shall know that they are lost. */
        if ((reset && !c->local) || c->dir[!f->side].arrived > 0)
            send_reset(c, f->side);
        else if (!c->dir[f->side].fin_sent)
            post(c, f->side, FIN, 0, one_way(c));
    }
    c->dir[f->side].fin_sent = 1;
    c->end[f->side] = NULL;
    conn_unref(c);
}

/* ------------------------------------------------------------ connecting */

typedef struct sim_dial {
    sim_event ev;
    sim_file *file;
    gnp_addr to;
    unsigned tries;
    int code;
} sim_dial;

/* Several that share a port: the seed picks one. */
static sim_file *listener_for(const gnp_addr *to)
{
    sim_file *f;
    uint64_t n = 0, i;

    for (f = bound; f != NULL; f = f->next)
        n += f->kind == SIM_LISTENER && reaches(f, to);
    i = gnp_sim_below(n);
    for (f = bound; f != NULL; f = f->next) {
        if (f->kind == SIM_LISTENER && reaches(f, to) && i-- == 0)
            return f;
    }
    return NULL;
}

static int queue(sim_file *l, sim_file *server)
{
    if (l->queued >= l->backlog)
        return 0;
    if (l->queued == l->queue_cap) {
        l->queue_cap = l->queue_cap != 0 ? l->queue_cap * 2 : 8;
        l->queue = realloc(l->queue, l->queue_cap * sizeof(*l->queue));
        if (l->queue == NULL)
            abort();
    }
    l->queue[l->queued++] = server;
    return 1;
}

/* The listener's half of a handshake; 0: its queue is full. */
static int establish(sim_file *f, sim_file *l, const gnp_addr *to)
{
    sim_file *server;

    if (l->queued >= l->backlog)
        return 0;
    server = gnp_sim_file_new(SIM_STREAM, l->family, l->ours);
    server->local = *to;
    server->peer = f->local;
    if (l->family == GNP_FAMILY_IPV6) {
        map(&server->local);
        map(&server->peer);
    }
    f->peer = *to;
    memcpy(server->opts, l->opts, sizeof(server->opts));
    server->opts_set = l->opts_set;
    conn_new(f, server);
    (void)queue(l, server);
    gnp_sim_kick(l);
    return 1;
}

static void dial_end(sim_event *e)
{
    sim_dial *d = (sim_dial *)(void *)((char *)e - offsetof(sim_dial, ev));
    sim_file *f = d->file;

    f->dial = NULL;
    f->connecting = 0;
    f->connect_code = d->code;
    free(d);
    gnp_sim_kick(f);
}

static void dial_syn(sim_event *e)
{
    sim_dial *d = (sim_dial *)(void *)((char *)e - offsetof(sim_dial, ev));
    gnp_addr to = d->to;
    sim_file *l;

    unmap(&to);
    l = listener_for(&to);
    if (l == NULL && !sim.partitioned) {
        d->code = GNP_ECONNREFUSED;
    } else if (sim.partitioned || !establish(d->file, l, &to)) {
        if (++d->tries > SYN_RETRIES) {
            d->code = GNP_ETIMEDOUT;
        } else {
            gnp_sim_at(e, sim.now + (SYN_RETRY_NS << (d->tries - 1)), dial_syn);
            return;
        }
    }
    gnp_sim_at(e, sim.now + gnp_sim_latency(), dial_end);
}

static int dial_unix(sim_file *f, const gnp_addr *to)
{
    sim_file *l;
    int r = GNP_OK;

    if (to->len > gnp_unix_path_max())
        return GNP_ENAMETOOLONG;
    if (to->len == 0 || to->u.path[0] != '\0')
        r = gnp_sim_path_find(to, &l);
    else if ((l = listener_for(to)) == NULL)
        r = GNP_ECONNREFUSED;
    if (r != GNP_OK)
        return r;
    return establish(f, l, to) ? GNP_OK : GNP_AGAIN;
}

/* Why a dial may fail for no fault of the program. */
static int dial_misfortune(void)
{
    static const int codes[] = { GNP_ECONNREFUSED, GNP_ETIMEDOUT, GNP_ENETUNREACH, GNP_EHOSTUNREACH };

    return codes[gnp_sim_below(4)];
}

int gnp_sim_dial(sim_file *f, const gnp_addr *to)
{
    sim_file *l;
    sim_dial *d;

    if (to->family == GNP_FAMILY_UNIX)
        return dial_unix(f, to);
    if (f->local.port == 0) {
        f->local = *to;
        f->local.port = pick_port();
    }
    f->peer = *to;
    l = listener_for(to);
    if (l != NULL && f->ours && gnp_sim_chance(sim.knobs.connect_at_once) && establish(f, l, to))
        return GNP_OK;
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        abort();
    d->file = f;
    d->to = *to;
    f->dial = d;
    f->connecting = 1;
    if (f->ours && gnp_sim_fault(sim.knobs.connect_error)) {
        d->code = dial_misfortune();
        gnp_sim_at(&d->ev, sim.now + gnp_sim_latency() * (1 + gnp_sim_below(1000)), dial_end);
    } else {
        gnp_sim_at(&d->ev, sim.now + gnp_sim_latency(), dial_syn);
    }
    return GNP_INFLIGHT;
}

void gnp_sim_dial_cancel(sim_file *f)
{
    if (f->dial == NULL)
        return;
    gnp_sim_cancel(&f->dial->ev);
    free(f->dial);
    f->dial = NULL;
}

void gnp_sim_listener_close(sim_file *f)
{
    unsigned i;

    gnp_sim_unbind(f);
    gnp_sim_path_leave(f);
    for (i = 0; i < f->queued; i++)
        gnp_sim_file_unref(f->queue[i], 1);
    f->queued = 0;
}

/* ---------------------------------------------------------------- datagrams */

static int joined(const sim_file *f, const gnp_addr *to)
{
    unsigned i;

    for (i = 0; i < f->group_count; i++) {
        if (gnp_sim_addr_same(&f->groups[i], to))
            return 1;
    }
    return 0;
}

static int takes(const sim_file *f, const sim_packet *p)
{
    gnp_addr peer = f->peer;

    if (f->kind != SIM_DGRAM)
        return 0;
    if (!reaches(f, &p->to) || (group(&p->to) && !joined(f, &p->to)))
        return 0;
    unmap(&peer);
    return !f->connected || (peer.port == p->from.port && gnp_sim_addr_same(&peer, &p->from));
}

static void deliver_piece(sim_file *f, const sim_packet *p, size_t at, size_t n)
{
    sim_packet *copy;

    if (f->packets >= PACKETS_MAX)
        return; /* as the system does; nobody is told */
    copy = calloc(1, sizeof(*copy) + n);
    if (copy == NULL)
        abort();
    copy->from = p->from;
    copy->to = p->to;
    if (f->family == GNP_FAMILY_IPV6) {
        map(&copy->from);
        map(&copy->to);
    }
    copy->len = n;
    if (n > 1 && f->ours && gnp_sim_chance(sim.knobs.dgram_cut)) {
        copy->len = 1 + (size_t)gnp_sim_below(n - 1); /* there is room for something */
        copy->cut = 1;
        sim.faults++;
    }
    copy->segment = n > p->segment ? p->segment : 0;
    memcpy(copy->data, p->data + at, n);
    if (f->first == NULL)
        f->first = copy;
    else
        f->last->next = copy;
    f->last = copy;
    f->packets++;
}

/* A train stays one for who has asked for trains. */
static void deliver(sim_file *f, const sim_packet *p)
{
    size_t step = p->segment == 0 || f->opts[GNP_OPT_GRO] ? p->len : p->segment, at = 0;

    do {
        size_t n = p->len - at < step ? p->len - at : step;
        deliver_piece(f, p, at, n);
        at += n;
    } while (at < p->len);
    gnp_sim_kick(f);
}

/* Nobody is there: the sender hears of it, if it is connected and still there. */
static void unreachable(const sim_packet *p)
{
    sim_file *f;

    for (f = bound; f != NULL; f = f->next) {
        if (f->kind == SIM_DGRAM && f->connected && f->local.port == p->from.port &&
            f->peer.port == p->to.port) {
            f->error = GNP_ECONNREFUSED;
            gnp_sim_kick(f);
        }
    }
}

static void packet_arrives(sim_event *e)
{
    sim_packet *p = (sim_packet *)(void *)((char *)e - offsetof(sim_packet, ev));
    sim_file *f;
    uint64_t n = 0, i;

    for (f = bound; f != NULL; f = f->next)
        n += (uint64_t)takes(f, p);
    i = gnp_sim_below(n);
    for (f = bound; f != NULL; f = f->next) {
        if (takes(f, p) && (group(&p->to) || i-- == 0))
            deliver(f, p);
    }
    if (n == 0 && !group(&p->to))
        unreachable(p);
    free(p);
}

/* Can f send to that at all? */
static int sendable(const sim_file *f, const gnp_addr *to)
{
    static const uint8_t all[4] = { 255, 255, 255, 255 };

    if (to->family != GNP_FAMILY_IPV4 && to->family != GNP_FAMILY_IPV6)
        return GNP_EINVAL;
    if (to->port == 0 || (f->family == GNP_FAMILY_IPV4 && to->family != GNP_FAMILY_IPV4))
        return GNP_EINVAL;
    if (f->v6only && to->family == GNP_FAMILY_IPV4)
        return GNP_ENETUNREACH;
    if (f->ours && memcmp(to->u.ip, all, 4) == 0 && to->family == GNP_FAMILY_IPV4 &&
        !f->opts[GNP_OPT_BROADCAST])
        return GNP_EACCES;
    return GNP_OK;
}

static void packet_leaves(const sim_file *f, const gnp_addr *to, const void *data, size_t n, size_t segment)
{
    unsigned copies = gnp_sim_chance(sim.knobs.dgram_lost) || sim.partitioned ? 0 : 1;

    copies += gnp_sim_chance(sim.knobs.dgram_twice);
    if (f->ours && group(to) && !f->opts[GNP_OPT_MULTICAST_LOOP])
        copies = 0; /* and nobody else is on the loopback */
    while (copies-- > 0) {
        sim_packet *p = calloc(1, sizeof(*p) + n);
        if (p == NULL)
            abort();
        p->from = f->local;
        unmap(&p->from);
        /* It leaves by some address: the one that it goes to does for our one host. */
        if (gnp_addr_is_any(&p->from))
            memcpy(p->from.u.ip, to->u.ip, 16);
        p->from.family = to->family;
        p->to = *to;
        p->len = n;
        p->segment = segment;
        if (n > 0)
            memcpy(p->data, data, n);
        gnp_sim_at(&p->ev, sim.now + gnp_sim_latency(), packet_arrives);
    }
}

int gnp_sim_dgram_send(sim_file *f, const gnp_addr *to, const void *data, size_t n, size_t segment)
{
    int together = sim.knobs.dgram_lost == 0 && sim.knobs.dgram_twice == 0; /* else each for itself */
    size_t at = 0, step = segment == 0 || together ? n : segment;
    gnp_addr plain = *to;
    int r = sendable(f, to);

    if (r != GNP_OK)
        return r;
    if (n > DGRAM_MAX || segment > DGRAM_MAX)
        return GNP_EMSGSIZE;
    if (segment != 0 && (n + segment - 1) / segment > GNP_SEGMENTS_MAX)
        return GNP_EINVAL;
    if (f->error != 0) {
        int e = f->error;
        f->error = 0;
        return e;
    }
    unmap(&plain);
    do {
        size_t k = n - at < step ? n - at : step;
        packet_leaves(f, &plain, (const char *)data + at, k, together && segment < n ? segment : 0);
        at += k;
    } while (at < n);
    return GNP_OK;
}

void gnp_sim_dgram_close(sim_file *f)
{
    gnp_sim_unbind(f);
    while (f->first != NULL) {
        sim_packet *p = f->first;
        f->first = p->next;
        free(p);
    }
}

/* ---------------------------------------------------------------- readiness */

static unsigned stream_ready(const sim_file *f)
{
    const sim_conn *c = f->conn;
    const sim_pipe *in, *out;
    unsigned r = 0;

    if (f->connecting)
        return 0;
    if (c == NULL)
        return SIM_IN | SIM_OUT | SIM_HUP;
    in = &c->dir[!f->side];
    out = &c->dir[f->side];
    if (in->arrived > 0 || in->fin_arrived || c->broken[f->side])
        r |= SIM_IN;
    if (room(out) > 0 || c->broken[f->side] || out->fin_sent)
        r |= SIM_OUT;
    /* Who closes a Unix socket closes both ways of it, at once (unix_release_sock of Linux). */
    if (c->broken[f->side] ||
        (in->fin_arrived && (out->fin_sent || (c->local && c->end[!f->side] == NULL))))
        r |= SIM_HUP;
    return r;
}

unsigned gnp_sim_ready(const sim_file *f)
{
    switch (f->kind) {
    case SIM_STREAM: return stream_ready(f);
    case SIM_LISTENER: return f->queued > 0 ? SIM_IN : 0;
    case SIM_DGRAM: return (f->first != NULL || f->error != 0 ? SIM_IN : 0) | SIM_OUT;
    default: return 0;
    }
}

void gnp_sim_begin_net(void)
{
    bound = NULL;
    next_port = FIRST_PORT;
    pipes = 0;
}

/* What was on its way when the world ended arrives nowhere. */
void gnp_sim_end_net(void)
{
    while (sim.heap_n > 0) {
        sim_event *e = sim.heap[0];
        gnp_sim_cancel(e);
        if (e->fn == arrive) {
            arrival *a = (arrival *)(void *)((char *)e - offsetof(arrival, ev));
            conn_unref(a->conn);
            free(a);
        } else if (e->fn == lost_now || e->fn == lost_known) {
            conn_unref(conn_of_event(e));
        } else if (e->fn == packet_arrives) {
            free((char *)e - offsetof(sim_packet, ev));
        }
    }
}
