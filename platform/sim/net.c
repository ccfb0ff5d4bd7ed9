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
#define SYN_RETRIES 6u                            /* about two minutes, as Linux does */
#define PACKETS_MAX 256u                          /* that wait at a datagram socket */
#define DGRAM_MAX 65507u                          /* 65,535 less the heads of IPv4 and UDP */

enum { BYTES, FIN, RST };

typedef struct sim_pipe {
    unsigned char *data;
    size_t cap, head, len; /* a ring; len: on their way and unread */
    size_t arrived;        /* the first so many of them can be read */
    int fin_sent, fin_arrived;
    unsigned epoch;        /* what was on its way before a reset does not arrive */
    uint64_t last_at;      /* when the last one arrives */
} sim_pipe;

typedef struct sim_conn {
    unsigned refs;         /* sides, and events under way */
    sim_pipe dir[2];       /* what side i sends */
    sim_file *end[2];      /* NULL: closed */
    int error[2];          /* what side i is told once */
    int broken[2];
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

static int any(const gnp_addr *a)
{
    static const uint8_t zero[16];

    return a->family != GNP_FAMILY_UNIX && memcmp(a->u.ip, zero, a->family == GNP_FAMILY_IPV4 ? 4 : 16) == 0;
}

static int group(const gnp_addr *a)
{
    return (a->family == GNP_FAMILY_IPV4 && a->u.ip[0] >= 224 && a->u.ip[0] < 240) ||
           (a->family == GNP_FAMILY_IPV6 && a->u.ip[0] == 0xff);
}

/* Would what is sent to `to` come to f? */
static int reaches(const sim_file *f, const gnp_addr *to)
{
    if (f->family == GNP_FAMILY_UNIX || to->family == GNP_FAMILY_UNIX)
        return gnp_sim_addr_same(&f->local, to);
    if (f->local.port != to->port)
        return 0;
    if (f->local.family == GNP_FAMILY_IPV6 && any(&f->local)) /* both families */
        return 1;
    return f->local.family == to->family && (any(&f->local) || any(to) || gnp_sim_addr_same(&f->local, to));
}

uint64_t gnp_sim_latency(void)
{
    return sim.knobs.latency_ns + gnp_sim_below(sim.knobs.jitter_ns + 1);
}

/* ------------------------------------------------------------------ binding */

static int taken(int kind, const gnp_addr *a, int shared)
{
    const sim_file *f;

    for (f = bound; f != NULL; f = f->next) {
        if (f->kind == kind && f->family == a->family && reaches(f, a) && !(shared && f->shared))
            return 1;
    }
    return 0;
}

int gnp_sim_bind(sim_file *f, const gnp_addr *a, int shared)
{
    f->local = *a;
    if (a->family != GNP_FAMILY_UNIX && a->port == 0) {
        do {
            f->local.port = next_port++;
            if (next_port == 0)
                next_port = FIRST_PORT;
        } while (taken(f->kind, &f->local, 0));
    } else if (taken(f->kind, a, shared == GNP_SHARED)) {
        return GNP_EADDRINUSE;
    }
    f->shared = shared != GNP_EXCLUSIVE;
    f->next = bound;
    bound = f;
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

static void conn_unref(sim_conn *c)
{
    if (--c->refs > 0)
        return;
    free(c->dir[0].data);
    free(c->dir[1].data);
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
    if (gnp_sim_chance(sim.knobs.reset_drops))
        in->len = in->arrived = 0;
    tell(c, side);
}

static void arrive(sim_event *e)
{
    arrival *a = (arrival *)(void *)((char *)e - offsetof(arrival, ev));
    sim_conn *c = a->conn;
    unsigned to = !a->from;
    sim_pipe *p = &c->dir[a->from];

    if (a->what == RST) {
        broke(c, to, GNP_ECONNRESET);
    } else if (a->epoch != p->epoch) {
        ; /* overtaken by a reset */
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

static sim_conn *conn_new(sim_file *dialer, sim_file *server)
{
    sim_conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    c->refs = 2;
    c->end[0] = dialer;
    c->end[1] = server;
    c->latency_ns = dialer->family == GNP_FAMILY_UNIX ? 1000 : gnp_sim_latency();
    pipe_init(&c->dir[0]);
    pipe_init(&c->dir[1]);
    dialer->conn = server->conn = c;
    server->side = 1;
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
    cap = cap < p->arrived ? cap : p->arrived;
    first = cap < p->cap - p->head ? cap : p->cap - p->head;
    memcpy(out, p->data + p->head, first);
    memcpy((char *)out + first, p->data, cap - first);
    p->head = (p->head + cap) % p->cap;
    p->len -= cap;
    p->arrived -= cap;
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

/* A reset overtakes part of what is on its way. */
static void send_reset(sim_conn *c, unsigned side)
{
    uint64_t last = c->dir[side].last_at > sim.now ? c->dir[side].last_at : sim.now;

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
        if (reset || c->dir[!f->side].arrived > 0) /* unread bytes: the peer shall know that they are lost */
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
    server = gnp_sim_file_new(SIM_STREAM, f->family, l->ours);
    server->local = *to;
    server->peer = f->local;
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
    sim_file *l = listener_for(&d->to);

    if (l == NULL) {
        d->code = GNP_ECONNREFUSED;
    } else if (!establish(d->file, l, &d->to)) {
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
    sim_file *l = listener_for(to);

    if (l == NULL)
        return to->len > 0 && to->u.path[0] == '\0' ? GNP_ECONNREFUSED : GNP_ENOENT;
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
        f->local.port = next_port++;
        if (next_port == 0)
            next_port = FIRST_PORT;
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
    if (f->kind != SIM_DGRAM)
        return 0;
    if (group(&p->to) ? f->local.port != p->to.port || !joined(f, &p->to) : !reaches(f, &p->to))
        return 0;
    return !f->connected || (f->peer.port == p->from.port && gnp_sim_addr_same(&f->peer, &p->from));
}

static void deliver(sim_file *f, const sim_packet *p)
{
    sim_packet *copy;

    if (f->packets >= PACKETS_MAX)
        return; /* as the system does; nobody is told */
    copy = malloc(sizeof(*copy) + p->len);
    if (copy == NULL)
        abort();
    memcpy(copy, p, sizeof(*copy) + p->len);
    copy->next = NULL;
    if (f->first == NULL)
        f->first = copy;
    else
        f->last->next = copy;
    f->last = copy;
    f->packets++;
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

int gnp_sim_dgram_send(sim_file *f, const gnp_addr *to, const void *data, size_t n)
{
    unsigned copies = gnp_sim_chance(sim.knobs.dgram_lost) ? 0 : 1;

    if (n > DGRAM_MAX)
        return GNP_EMSGSIZE;
    if (f->error != 0) {
        int e = f->error;
        f->error = 0;
        return e;
    }
    copies += gnp_sim_chance(sim.knobs.dgram_twice);
    while (copies-- > 0) {
        sim_packet *p = calloc(1, sizeof(*p) + n);
        if (p == NULL)
            abort();
        p->from = f->local;
        if (any(&p->from)) /* it leaves by some address: the one that it goes to does for our one host */
            memcpy(p->from.u.ip, to->u.ip, 16);
        p->from.family = to->family;
        p->to = *to;
        p->len = n;
        if (n > 0)
            memcpy(p->data, data, n);
        gnp_sim_at(&p->ev, sim.now + gnp_sim_latency(), packet_arrives);
    }
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
    if (c->broken[f->side] || (in->fin_arrived && out->fin_sent))
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
        } else if (e->fn == packet_arrives) {
            free((char *)e - offsetof(sim_packet, ev));
        }
    }
}
