/* SPDX-License-Identifier: MIT */
/*
 * The poller of the simulated system.  It takes the contract of poll.h at its word, in both directions: it
 * does what is allowed and seldom happens, and it fails the world when the core does what is not.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum {
    ST_EOF = 1,   /* told once, clause 5 */
    ST_WRITE = 2, /* WRITABLE is owed, clause 7 */
    ST_HUNG = 4,  /* told once, clause 10 */
    ST_KEPT = ST_EOF | ST_WRITE | ST_HUNG
};

#define RIGHTS 64u      /* a receive ends at the next byte that has one, so it is one in practice */
#define LENT_STALE 0xDD /* what a span is full of when it has been given back */

typedef struct sim_poller {
    gnp_poller base;
    unsigned owner;       /* thread */
    int woken;
    gnp_sock ring;        /* head of all its sockets */
    unsigned sockets;
    gnp_event *round;     /* events of the last wait */
    int round_n;
    gnp_sock *lent_of;    /* whose span is out */
    unsigned char *buffer;
    size_t buffer_size, lent_n, dgram_size;
    sim_packet *packet;   /* lent */
    gnp_addr where;       /* that the packet was sent to */
    intptr_t rights[RIGHTS]; /* descriptors that came with the last receive, on rights_of */
    unsigned rights_n, rights_next;
    int rights_lost;      /* some, for want of numbers; to be told */
    gnp_sock *rights_of;
    sim_late *late;       /* closes that are not done */
    sim_flight *flights;  /* sends that are not */
    sim_file *self;       /* its descriptor */
    intptr_t os;
} sim_poller;

static sim_poller *of(gnp_poller *p)
{
    return (sim_poller *)(void *)p;
}

static sim_file *file_of(const gnp_sock *s)
{
    return ((sim_watch *)s->priv)->file;
}

/* Clause 1, and that s is a socket of p. */
static sim_file *check(gnp_poller *base, const gnp_sock *s, const char *call)
{
    sim_poller *p = of(base);

    gnp_sim_call();
    if (p->owner != gnp_sim_self())
        gnp_sim_fail("%s: on t%u, but the poller is of t%u", call, gnp_sim_self(), p->owner);
    if (s == NULL)
        return NULL;
    if (s->priv == NULL || ((sim_watch *)s->priv)->poller != base)
        gnp_sim_fail("%s: the socket is not attached to this poller", call);
    if (gnp_sim_look(s->os) != file_of(s))
        gnp_sim_fail("%s: its descriptor %lld is another's", call, (long long)s->os);
    return file_of(s);
}

static void not_lent(gnp_poller *base, const char *call)
{
    if (of(base)->lent_of != NULL)
        gnp_sim_fail("%s: a span is lent (clause 4)", call);
}

static void rights_drop(sim_poller *p)
{
    while (p->rights_next < p->rights_n)
        gnp_sim_shut(p->rights[p->rights_next++], 0);
    p->rights_n = p->rights_next = 0;
    p->rights_lost = 0;
    p->rights_of = NULL;
}

/* ----------------------------------------------------------- opening, closing */

static int sim_probe(void)
{
    return GNP_OK;
}

static int sim_open_poller(gnp_poller **out, const gnp_poller_config *config);

static void sim_close_poller(gnp_poller *base)
{
    sim_poller *p = of(base);

    (void)check(base, NULL, "gnp_poller_close");
    if (p->sockets != 0)
        gnp_sim_fail("gnp_poller_close: %u sockets are attached", p->sockets);
    if (p->late != NULL)
        gnp_sim_fail("gnp_poller_close: CLOSED of a socket was not taken (clause 8)");
    gnp_sim_mark("poller_close", p->os, 0, 0);
    gnp_sim_shut(p->os, 0);
    gnp_free(p->buffer, p->buffer_size);
    p->base.ops = NULL;
    gnp_free(p, sizeof(*p));
}

/* ------------------------------------------------------------------- waiting */

/* What a wait would say of s; clauses 3, 5, 7 and 10. */
static uint32_t look(gnp_sock *s)
{
    unsigned ready = gnp_sim_ready(file_of(s));
    unsigned mask = ((s->interest & GNP_READ) && !(s->state & ST_EOF) ? GNP_EV_READABLE : 0) |
                    (s->state & ST_WRITE ? GNP_EV_WRITABLE : 0);
    uint32_t what = 0;

    if ((ready & SIM_HUP) && s->kind == GNP_STREAM) {
        if (mask == 0 && (s->state & ST_HUNG))
            return 0;
        if (mask == 0)
            s->state |= ST_HUNG;
        what = GNP_EV_HANGUP;
        ready |= SIM_IN | SIM_OUT;
    }
    if (ready & SIM_IN)
        what |= GNP_EV_READABLE & mask;
    if (ready & SIM_OUT)
        what |= GNP_EV_WRITABLE & mask;
    return what;
}

/* A hint for nothing, where clauses 5 and 10 don't forbid it. */
static uint32_t spurious(const gnp_sock *s)
{
    if (gnp_sim_below(4) != 0)
        return 0;
    if (gnp_sim_below(2) && (s->interest & GNP_READ) && !(s->state & ST_EOF))
        return GNP_EV_READABLE;
    return s->kind != GNP_LISTENER ? GNP_EV_WRITABLE : 0;
}

static void shuffle(gnp_event *e, int n)
{
    int i;

    for (i = n - 1; i > 0; i--) {
        int k = (int)gnp_sim_below((uint64_t)i + 1);
        gnp_event t = e[i];
        e[i] = e[k];
        e[k] = t;
    }
}

/* The head moves on, so that each has its turn when the array is too small for all. */
static void turn(sim_poller *p, gnp_sock *s)
{
    gnp_sock *head = &p->ring;

    if (s == head || s == head->next)
        return;
    head->prev->next = head->next;
    head->next->prev = head->prev;
    head->next = s;
    head->prev = s->prev;
    s->prev->next = head;
    s->prev = head;
}

static int fill(sim_poller *p, gnp_event *events, int cap)
{
    int n = 0;
    gnp_sock *s;

    if (p->woken) {
        p->woken = 0;
        events[n++] = (gnp_event){ .what = GNP_EV_WOKEN };
    }
    n += gnp_sim_late_events(&p->late, events + n, cap - n);
    n += gnp_sim_flight_events(&p->flights, events + n, cap - n);
    for (s = p->ring.next; s != &p->ring && n < cap; s = s->next) {
        uint32_t what = look(s);
        if (what != 0)
            events[n++] = (gnp_event){ .sock = s, .what = what };
    }
    turn(p, s);
    return n;
}

/* Adds hints for nothing.  event.bytes, at which no program may look, tells tests which they are. */
static int hint(sim_poller *p, gnp_event *events, int n, int cap)
{
    gnp_sock *s;

    for (s = p->ring.next; s != &p->ring; s = s->next) {
        uint32_t what = spurious(s);
        int i = 0;
        while (i < n && (events[i].sock != s || (events[i].what & GNP_EV_SENT) != 0))
            i++;
        if (i < n) {
            events[i].bytes |= what & ~events[i].what;
            events[i].what |= what;
        } else if (what != 0 && n < cap) {
            events[n++] = (gnp_event){ .sock = s, .what = what, .bytes = what };
        }
    }
    if (gnp_sim_below(4) == 0 && n < cap)
        events[n++] = (gnp_event){ .what = GNP_EV_WOKEN, .bytes = GNP_EV_WOKEN };
    return n;
}

#define EARLY_NS UINT64_C(20000000) /* a wait that ends for nothing has taken up to so long: never a spin */

static int sim_wait(gnp_poller *base, gnp_event *events, int cap, uint64_t deadline_ns)
{
    sim_poller *p = of(base);
    int n, i, hints = gnp_sim_chance(sim.knobs.spurious_event);
    uint64_t until = deadline_ns;

    (void)check(base, NULL, "gnp_poller_wait");
    gnp_sim_meet();
    not_lent(base, "gnp_poller_wait");
    p->round = NULL;
    if (gnp_sim_fault(sim.knobs.wait_error))
        return gnp_sim_error(GNP_EIO);
    if ((hints || gnp_sim_chance(sim.knobs.interrupted)) && until > sim.now + EARLY_NS)
        until = sim.now + 1 + gnp_sim_below(EARLY_NS);
    while ((n = fill(p, events, cap)) == 0 && until > sim.now)
        (void)gnp_sim_block(p, "poller", until);
    if (hints)
        n = hint(p, events, n, cap);
    shuffle(events, n);
    p->round = events;
    p->round_n = n;
    for (i = 0; i < n; i++)
        gnp_sim_mark("event", events[i].sock != NULL ? events[i].sock->os : -1, events[i].what, 0);
    gnp_sim_mark("wait", n, 0, n);
    return n;
}

static void sim_wake(gnp_poller *base)
{
    sim_poller *p = of(base);

    gnp_sim_meet();
    if (p->base.ops == NULL || gnp_sim_look(p->os) != p->self)
        gnp_sim_fail("gnp_wake: the poller is closed");
    p->woken = 1;
    gnp_sim_wake(p);
    gnp_sim_mark("wake", p->os, 0, 0);
    gnp_sim_call();
}

/* ------------------------------------------------------- attaching, detaching */

static void enter(sim_poller *p, gnp_sock *s, sim_file *f, unsigned interest)
{
    sim_watch *w = calloc(1, sizeof(*w));

    if (w == NULL)
        abort();
    w->poller = &p->base;
    w->file = f;
    w->next = f->watches;
    f->watches = w;
    s->priv = w;
    s->interest = (uint8_t)interest;
    s->state &= ST_KEPT;
    s->prev = p->ring.prev;
    s->next = &p->ring;
    s->prev->next = s->next->prev = s;
    p->sockets++;
}

static void leave(sim_poller *p, gnp_sock *s)
{
    sim_watch *w = s->priv;
    sim_watch **at = &w->file->watches;
    int i;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w);
    s->prev->next = s->next;
    s->next->prev = s->prev;
    s->next = s->prev = NULL;
    s->priv = NULL;
    p->sockets--;
    for (i = 0; p->round != NULL && i < p->round_n; i++) {
        if (p->round[i].sock == s)
            p->round[i] = (gnp_event){ .sock = NULL };
    }
}

static int sim_attach(gnp_poller *base, gnp_sock *s, unsigned interest)
{
    int r = GNP_OK;

    (void)check(base, NULL, "gnp_attach");
    if (s->priv != NULL)
        gnp_sim_fail("gnp_attach: it is attached");
    r = SIM_MISFORTUNE(sim.knobs.sock_error, GNP_ENOMEM, GNP_ENOBUFS, GNP_EMFILE);
    if (r == GNP_OK)
        enter(of(base), s, gnp_sim_get(s->os), interest);
    gnp_sim_mark("attach", s->os, interest, r);
    return gnp_sim_error(r);
}

static int sim_detach(gnp_poller *base, gnp_sock *s)
{
    const sim_file *f = check(base, s, "gnp_detach");

    not_lent(base, "gnp_detach");
    gnp_sim_mark("detach", s->os, 0, f->connecting);
    if (f->connecting || gnp_sim_flight_has(of(base)->flights, s) || gnp_sim_rarely())
        return GNP_EBUSY;
    leave(of(base), s);
    return GNP_OK;
}

static int sim_want(gnp_poller *base, gnp_sock *s, unsigned interest)
{
    int some = sim.knobs.want_error != 0; /* no chance is drawn in worlds that know nothing of it */
    int r = some && gnp_sim_fault(sim.knobs.want_error) ? GNP_ENOMEM : GNP_OK;

    (void)check(base, s, "gnp_want");
    if (r == GNP_OK)
        s->interest = (uint8_t)interest;
    gnp_sim_mark("want", s->os, interest, r);
    return gnp_sim_error(r);
}

static void give_back(sim_poller *p);

static int sim_close_sock(gnp_poller *base, gnp_sock *s, int reset)
{
    sim_poller *p = of(base);
    sim_flight *flight;

    (void)check(base, s, "gnp_close");
    if (p->lent_of == s)
        give_back(p); /* the span ends with its socket */
    gnp_sim_mark("close", s->os, reset, 0);
    leave(p, s);
    gnp_sim_shut(s->os, reset);
    s->os = -1;
    s->state = 0;
    flight = gnp_sim_flight_take(&p->flights, s);
    if (!gnp_sim_chance(sim.knobs.late_close) && (flight == NULL || gnp_sim_below(2))) {
        gnp_sim_flight_end(flight);
        return GNP_OK;
    }
    gnp_sim_late_close(&p->late, base, s, flight);
    return GNP_INFLIGHT;
}

/* ------------------------------------------------------------------- reading */

/* The ways that a stream may break; the last one passes. */
static int breakage(void)
{
    static const int codes[] = { GNP_ECONNRESET, GNP_ETIMEDOUT, GNP_EHOSTUNREACH, GNP_ENETUNREACH,
                                 GNP_EIO,        GNP_ENOMEM };

    return codes[gnp_sim_below(6)];
}

static void rights_take(sim_poller *p, gnp_sock *s, sim_file *f);

static int sim_recv(gnp_poller *base, gnp_sock *s, const void **data, size_t *n)
{
    sim_poller *p = of(base);
    sim_file *f = check(base, s, "gnp_recv");
    size_t cap = p->buffer_size;
    int r;

    not_lent(base, "gnp_recv");
    rights_drop(p);
    if (gnp_sim_chance(sim.knobs.short_read))
        cap = 1 + (size_t)gnp_sim_below(gnp_sim_below(2) ? 3 : cap);
    if (cap > p->buffer_size)
        cap = p->buffer_size;
    if (gnp_sim_chance(sim.knobs.again)) {
        r = GNP_AGAIN;
    } else if (gnp_sim_fault(sim.knobs.recv_error)) {
        r = breakage();
        if (r != GNP_ENOMEM) {
            gnp_sim_stream_break(f, GNP_OK);
            s->state |= ST_EOF;
        }
    } else {
        r = gnp_sim_stream_recv(f, p->buffer, cap, n);
        if (r != GNP_OK && r != GNP_AGAIN)
            s->state |= ST_EOF;
    }
    if (r == GNP_OK) {
        *data = p->buffer;
        p->lent_of = s;
        p->lent_n = *n;
        rights_take(p, s, f);
    }
    gnp_sim_mark("recv", s->os, r == GNP_OK ? (int64_t)*n : 0, r);
    return gnp_sim_error(r);
}

static void give_back(sim_poller *p)
{
    p->lent_of = NULL;
    rights_drop(p);
    if (p->packet != NULL) {
        memset(p->packet->data, LENT_STALE, p->packet->len);
        free(p->packet);
        p->packet = NULL;
    } else {
        memset(p->buffer, LENT_STALE, p->lent_n);
    }
}

static void sim_recv_done(gnp_poller *base, gnp_sock *s)
{
    (void)check(base, s, "gnp_recv_done");
    if (of(base)->lent_of != s)
        gnp_sim_fail("gnp_recv_done: nothing of this socket is lent");
    give_back(of(base));
}

/* Who has not asked for them gets none: they are closed. */
static void rights_take(sim_poller *p, gnp_sock *s, sim_file *f)
{
    sim_file *rider;

    while ((rider = gnp_sim_stream_rider(f)) != NULL) {
        int r = GNP_EMFILE;
        if (f->opts[GNP_OPT_PASS_DESCRIPTORS]) {
            p->rights_of = s;
            if (p->rights_n < RIGHTS)
                r = gnp_sim_open(rider, &p->rights[p->rights_n]);
            p->rights_n += r == GNP_OK;
            p->rights_lost |= r != GNP_OK;
        }
        if (r != GNP_OK)
            gnp_sim_file_unref(rider, 0);
    }
}

static int sim_recv_descriptor(gnp_poller *base, gnp_sock *s, intptr_t *out)
{
    sim_poller *p = of(base);
    int r = GNP_AGAIN;

    (void)check(base, s, "gnp_recv_descriptor");
    *out = -1;
    if (p->rights_of == s && p->rights_next < p->rights_n) {
        *out = p->rights[p->rights_next++];
        r = GNP_OK;
    } else if (p->rights_of == s && p->rights_lost) {
        p->rights_lost = 0;
        r = GNP_EMFILE;
    }
    gnp_sim_mark("recv_descriptor", s->os, *out, r);
    return gnp_sim_error(r);
}

/* The reasons why a connection cannot be taken now; the first one is its own end. */
static int refusal(void)
{
    static const int codes[] = { GNP_ECONNABORTED, GNP_EMFILE, GNP_ENFILE,
                                 GNP_ENOBUFS,      GNP_ENOMEM, GNP_EACCES, GNP_EIO };

    return codes[gnp_sim_below(7)];
}

static sim_file *queue_pop(sim_file *l)
{
    sim_file *f = l->queue[0];

    memmove(l->queue, l->queue + 1, --l->queued * sizeof(*l->queue));
    return f;
}

static int accept_one(sim_file *l, gnp_sock *out)
{
    sim_file *f;
    int r = GNP_OK;

    if (l->queued == 0)
        return GNP_AGAIN;
    if (gnp_sim_fault(sim.knobs.accept_error)) {
        r = refusal();
        if (r == GNP_ECONNABORTED)
            gnp_sim_file_unref(queue_pop(l), 1);
        return r;
    }
    memset(out, 0, sizeof(*out));
    out->os = -1;
    r = gnp_sim_open(l->queue[0], &out->os);
    if (r != GNP_OK)
        return r;
    f = queue_pop(l);
    out->kind = GNP_STREAM;
    out->family = f->family;
    return GNP_OK;
}

static int sim_accept(gnp_poller *base, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    sim_file *l = check(base, listener, "gnp_accept");
    int r = gnp_sim_chance(sim.knobs.again) ? GNP_AGAIN : accept_one(l, out);

    if (r == GNP_OK && peer != NULL)
        *peer = gnp_sim_get(out->os)->peer;
    gnp_sim_mark("accept", listener->os, r == GNP_OK ? out->os : 0, r);
    return gnp_sim_error(r);
}

/* What a datagram socket hears of others, or lacks; the datagram stays. */
static int icmp(void)
{
    static const int codes[] = { GNP_ECONNREFUSED, GNP_EHOSTUNREACH, GNP_ENETUNREACH, GNP_ENOMEM };

    return codes[gnp_sim_below(4)];
}

static int sim_recvfrom(gnp_poller *base, gnp_sock *s, gnp_dgram *out)
{
    sim_poller *p = of(base);
    sim_file *f = check(base, s, "gnp_recvfrom");
    sim_packet *packet = f->first;
    int r = GNP_OK;

    not_lent(base, "gnp_recvfrom");
    if (f->error != 0) {
        r = f->error;
        f->error = 0;
    } else if (packet == NULL || gnp_sim_chance(sim.knobs.again)) {
        r = GNP_AGAIN;
    } else if (gnp_sim_fault(sim.knobs.recv_error)) {
        r = icmp();
    } else {
        f->first = packet->next;
        f->packets--;
        p->packet = packet;
        p->lent_of = s;
        memset(out, 0, sizeof(*out));
        out->data = packet->data;
        out->len = packet->len < p->dgram_size ? packet->len : p->dgram_size;
        out->truncated = packet->len > p->dgram_size || packet->cut;
        out->peer = &packet->from;
        out->segment = packet->segment;
        if (f->opts[GNP_OPT_PACKET_INFO]) {
            p->where = packet->to;
            p->where.port = 0;
            out->local = &p->where;
            out->interface_index = 1;
        }
    }
    gnp_sim_mark("recvfrom", s->os, r == GNP_OK ? (int64_t)out->len : 0, r);
    return gnp_sim_error(r);
}

/* ------------------------------------------------------------------- writing */

static size_t total(const gnp_iov *iov, unsigned count)
{
    size_t n = 0;
    unsigned i;

    for (i = 0; i < count; i++)
        n += iov[i].len;
    return n;
}

static int send_some(sim_file *f, const gnp_iov *iov, unsigned count, size_t max, size_t *sent)
{
    int r;

    *sent = 0;
    if (gnp_sim_chance(sim.knobs.again))
        return GNP_AGAIN;
    if (gnp_sim_fault(sim.knobs.send_error)) {
        r = gnp_sim_below(8) == 0 ? GNP_ENOBUFS : breakage();
        if (r != GNP_ENOMEM && r != GNP_ENOBUFS)
            gnp_sim_stream_break(f, GNP_OK);
        return r;
    }
    if (gnp_sim_chance(sim.knobs.short_write))
        max = 1 + (size_t)gnp_sim_below(max);
    return gnp_sim_stream_send(f, iov, count, max, sent);
}

/* Clause 7. */
static void owe(gnp_sock *s, int r, int all)
{
    if (r == GNP_AGAIN || (r == GNP_OK && !all))
        s->state |= ST_WRITE;
    else
        s->state &= ~(uint32_t)ST_WRITE;
}

/* Clause 8. */
static void not_in_flight(gnp_poller *base, const gnp_sock *s, const char *call)
{
    if (gnp_sim_flight_has(of(base)->flights, s))
        gnp_sim_fail("%s: a send is in flight (clause 8)", call);
}

static int sim_send(gnp_poller *base, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                    size_t *sent)
{
    sim_file *f = check(base, s, "gnp_send");
    size_t n = total(iov, count);
    int r;

    if (count == 0 || n == 0)
        gnp_sim_fail("gnp_send: of nothing");
    not_in_flight(base, s, "gnp_send");
    if ((flags & GNP_SEND_PINNED) && sim.knobs.late_send != 0 && gnp_sim_chance(sim.knobs.late_send)) {
        gnp_sim_flight_start(&of(base)->flights, base, s, f, iov, count);
        s->state &= ~(uint32_t)ST_WRITE;
        gnp_sim_mark("send", s->os, (int64_t)n, GNP_INFLIGHT);
        return GNP_INFLIGHT;
    }
    r = send_some(f, iov, count, n, sent);
    owe(s, r, *sent == n);
    gnp_sim_mark("send", s->os, (int64_t)*sent, r);
    return gnp_sim_error(r);
}

static int sim_sendfile(gnp_poller *base, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n,
                        uint64_t *sent)
{
    sim_file *f = check(base, s, "gnp_sendfile");
    const sim_file *from = gnp_sim_look(file);
    gnp_iov v;
    size_t done = 0;
    int r;

    *sent = 0;
    if (n == 0)
        gnp_sim_fail("gnp_sendfile: of nothing");
    not_in_flight(base, s, "gnp_sendfile");
    if (from == NULL || from->kind != SIM_DATA || offset > INT64_MAX - n)
        return gnp_sim_error(GNP_EINVAL);
    if (offset >= from->size) {
        owe(s, GNP_OK, 1); /* that the file ends is nothing to wait for */
        return GNP_EOF;
    }
    v.base = from->data + offset;
    v.len = (size_t)(n < from->size - offset ? n : from->size - offset);
    r = send_some(f, &v, 1, v.len, &done);
    *sent = done;
    owe(s, r, done == n);
    gnp_sim_mark("sendfile", s->os, (int64_t)done, r);
    return gnp_sim_error(r);
}

static int sim_send_descriptor(gnp_poller *base, gnp_sock *s, intptr_t os, const void *data, size_t n,
                               size_t *sent)
{
    sim_file *f = check(base, s, "gnp_send_descriptor");
    sim_file *file = gnp_sim_look(os);
    gnp_iov v = { data, n };
    int r;

    *sent = 0;
    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return gnp_sim_error(GNP_ENOTSUP);
    if (n == 0)
        gnp_sim_fail("gnp_send_descriptor: with nothing");
    not_in_flight(base, s, "gnp_send_descriptor");
    if (file == NULL)
        return gnp_sim_error(GNP_EINVAL);
    r = send_some(f, &v, 1, n, sent);
    if (*sent > 0)
        gnp_sim_stream_ride(f, *sent, file);
    owe(s, r, *sent == n);
    gnp_sim_mark("send_descriptor", s->os, (int64_t)*sent, r);
    return gnp_sim_error(r);
}

/* One that may be a train.  All of it or an error. */
static int sendto_one(sim_file *f, const gnp_dgram_out *d)
{
    static const int whys[] = { GNP_OK, GNP_ENOTSUP, GNP_EIO, GNP_EINVAL, GNP_EMSGSIZE };

    if (d->segment != 0 && d->segment < d->len && sim.knobs.no_trains != 0)
        return whys[sim.knobs.no_trains % 5];
    if (d->peer == NULL && !f->connected)
        return GNP_EINVAL;
    return gnp_sim_dgram_send(f, d->peer != NULL ? d->peer : &f->peer, d->data, d->len, d->segment);
}

static int sim_sendto(gnp_poller *base, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    sim_file *f = check(base, s, "gnp_sendto");
    int r = GNP_OK;

    for (*sent = 0; *sent < count && r == GNP_OK;) {
        if (gnp_sim_chance(sim.knobs.again))
            r = GNP_AGAIN;
        else
            r = SIM_MISFORTUNE(sim.knobs.send_error, GNP_ENOBUFS, GNP_EHOSTUNREACH, GNP_ENETUNREACH,
                               GNP_EACCES, GNP_ECONNREFUSED, GNP_EMSGSIZE, GNP_EINVAL, GNP_ENOMEM, GNP_EIO);
        if (r == GNP_OK)
            r = sendto_one(f, &out[*sent]);
        if (r == GNP_OK)
            ++*sent;
    }
    owe(s, r, *sent == count);
    gnp_sim_mark("sendto", s->os, *sent, r);
    return gnp_sim_error(r);
}

static int sim_shutdown(gnp_poller *base, gnp_sock *s)
{
    sim_file *f = check(base, s, "gnp_shutdown");
    not_in_flight(base, s, "gnp_shutdown");
    int r = gnp_sim_stream_connected(f) ? SIM_MISFORTUNE(sim.knobs.send_error, GNP_EIO) : GNP_ENOTCONN;

    if (r == GNP_OK)
        gnp_sim_stream_end(f);
    gnp_sim_mark("shutdown", s->os, 0, r);
    return gnp_sim_error(r);
}

/* ---------------------------------------------------------------- connecting */

static int dial(sim_file *f, int kind, const gnp_addr *to)
{
    if (kind == GNP_STREAM)
        return gnp_sim_dial(f, to);
    f->connected = 1;
    f->peer = *to;
    memcpy(f->local.u.ip, to->u.ip, sizeof(to->u.ip)); /* one host: we leave by the address we go to */
    return GNP_OK;
}

static int sim_connect(gnp_poller *base, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                       const gnp_sock_opts *o)
{
    sim_file *f;
    int r;

    (void)check(base, NULL, "gnp_connect");
    r = gnp_sim_make(s, kind, to->family, local, o);
    if (r != GNP_OK)
        return r;
    f = gnp_sim_get(s->os);
    r = SIM_MISFORTUNE(sim.knobs.connect_error / 4, GNP_ENETUNREACH, GNP_EADDRNOTAVAIL, GNP_EACCES,
                       GNP_ENOBUFS);
    if (r == GNP_OK)
        r = dial(f, kind, to);
    gnp_sim_mark("connect", s->os, to->port, r);
    if (r != GNP_OK && r != GNP_INFLIGHT) {
        gnp_sim_shut(s->os, 0);
        s->os = -1;
        return gnp_sim_error(r);
    }
    enter(of(base), s, f, 0);
    if (r == GNP_INFLIGHT)
        s->state |= ST_WRITE;
    return r;
}

static int sim_connect_end(gnp_poller *base, gnp_sock *s)
{
    const sim_file *f = check(base, s, "gnp_connect_end");
    int r = f->connecting ? GNP_AGAIN : f->connect_code;

    if (r == GNP_OK)
        s->state &= ~(uint32_t)ST_WRITE;
    gnp_sim_mark("connect_end", s->os, 0, r);
    return gnp_sim_error(r);
}

static const gnp_ops sim_ops = {
    .name = "sim",
    .probe = sim_probe,
    .open = sim_open_poller,
    .close = sim_close_poller,
    .wait = sim_wait,
    .wake = sim_wake,
    .attach = sim_attach,
    .detach = sim_detach,
    .want = sim_want,
    .recv = sim_recv,
    .recv_done = sim_recv_done,
    .send = sim_send,
    .sendfile = sim_sendfile,
    .send_descriptor = sim_send_descriptor,
    .recv_descriptor = sim_recv_descriptor,
    .accept = sim_accept,
    .recvfrom = sim_recvfrom,
    .sendto = sim_sendto,
    .connect = sim_connect,
    .connect_end = sim_connect_end,
    .shutdown = sim_shutdown,
    .close_sock = sim_close_sock,
};

static int poller_init(sim_poller *p, const gnp_poller_config *config)
{
    int r;

    p->base.ops = &sim_ops;
    p->base.caps = (sim.knobs.late_close | sim.knobs.late_send) != 0 ? GNP_CAP_INFLIGHT : 0;
    p->owner = gnp_sim_self();
    p->ring.next = p->ring.prev = &p->ring;
    p->dgram_size = config->dgram_size;
    p->buffer_size = config->read_buffer;
    p->buffer = gnp_alloc(p->buffer_size);
    if (p->buffer == NULL)
        return GNP_ENOMEM;
    p->self = gnp_sim_file_new(SIM_OTHER, 0, 1);
    r = gnp_sim_fault(sim.knobs.sock_error) ? GNP_EMFILE : gnp_sim_open(p->self, &p->os);
    if (r != GNP_OK) {
        gnp_sim_file_unref(p->self, 0);
        gnp_free(p->buffer, p->buffer_size);
    }
    return r;
}

static int sim_open_poller(gnp_poller **out, const gnp_poller_config *config)
{
    sim_poller *p;
    int r;

    gnp_sim_call();
    p = gnp_zalloc(sizeof(*p));
    if (p == NULL)
        return gnp_sim_error(GNP_ENOMEM);
    r = poller_init(p, config);
    if (r == GNP_OK)
        *out = &p->base;
    else
        gnp_free(p, sizeof(*p));
    gnp_sim_mark("poller_open", r == GNP_OK ? p->os : -1, 0, r);
    return gnp_sim_error(r);
}

const gnp_ops *const gnp_backends[] = { &sim_ops, NULL };
