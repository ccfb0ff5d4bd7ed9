/* SPDX-License-Identifier: MIT */
/*
 * Datagrams: talkers and a server that answers each in one way or another, at once, later or from another
 * thread; connected clients and responders, strangers who write to a client's port, and clients of ports
 * that nobody has.  The network reorders, in some worlds it also loses and doubles.  Each datagram is
 * registered when it is sent: what arrives is one of them, whole, at the right socket, no more often than
 * it was sent, and exactly once where nothing is lost; what was refused never arrives; who is refused for
 * want of room hears on_drained; who writes to nobody hears on_error and goes on.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TALKERS 3
#define RESPONDERS 2
#define CLIENTS 3
#define TABLE 1500
#define HEAD 8
#define LEN_MAX 65507u /* over IPv4 */
#define TRAIN_MAX 10
#define WAITING_MAX (128u * 1024u)

enum { SERVER, TALKER, RESPONDER = TALKER + TALKERS, CLIENT = RESPONDER + RESPONDERS,
       NOBODY = CLIENT + CLIENTS, IDS };

typedef struct dgram {
    uint32_t len;
    uint8_t from, to;
    uint8_t sent; /* taken by who was to send it */
    unsigned got;
} dgram;

typedef struct world world;

typedef struct client {
    world *world;
    unsigned id, target;
    gn_handle handle;
    char addr[GN_ADDR_TEXT_MAX];
    int open, closed, dialed, blocked, refused;
    unsigned left, written;
} client;

typedef struct party { /* a talker or responder */
    world *world;
    unsigned id, left;
    gnp_sim_peer *peer;
    gn_addr addr;      /* as the server sees a talker */
    gn_handle by;      /* the endpoint that has heard it */
} party;

struct world {
    gn_engine *engine;
    dgram table[TABLE];
    uint32_t n;
    party parties[TALKERS + RESPONDERS];
    client clients[CLIENTS];
    unsigned clients_n;
    char addr[GN_ADDR_TEXT_MAX];
    int v6, burst, stopping, over;
    int blocked[8];    /* endpoints, by loop */
    uint64_t asked, done, opened, closed, heard, empties, empties_heard;
};

/* --------------------------------------------------------------- the register */

/* A new datagram in out, of len bytes at least HEAD; UINT32_MAX when there were enough. */
static uint32_t register_one(world *w, unsigned from, unsigned to, unsigned char *out, size_t len)
{
    uint32_t number = w->n, n = (uint32_t)len;

    if (number == TABLE)
        return UINT32_MAX;
    w->n++;
    w->table[number] = (dgram){ .len = n, .from = (uint8_t)from, .to = (uint8_t)to, .sent = 1 };
    memcpy(out, &number, 4);
    memcpy(out + 4, &n, 4);
    stream_fill(number, 0, out + HEAD, len - HEAD);
    return number;
}

/* Of one that was cut, what there is must be right.  0: it cannot even be told which it was. */
static int beginning(const world *w, unsigned at, const unsigned char *p, size_t n)
{
    uint32_t number;

    must(gnp_sim_knobs_now()->dgram_cut > 0, "a datagram is cut");
    if (n < HEAD)
        return 0;
    memcpy(&number, p, 4);
    must(number < w->n && n < w->table[number].len && w->table[number].to == at,
         "%u gets %zu bytes of datagram %u", at, n, number);
    for (size_t i = HEAD; i < n; i++)
        must(p[i] == stream_byte(number, i - HEAD), "byte %zu of datagram %u is another one", i, number);
    return 1;
}

static void not_sent(world *w, uint32_t number)
{
    if (number != UINT32_MAX)
        w->table[number].sent = 0;
}

static void arrived(world *w, unsigned at, const unsigned char *p, size_t n)
{
    uint32_t number, len;
    dgram *d;

    must(n >= HEAD, "%u gets %zu bytes", at, n);
    memcpy(&number, p, 4);
    memcpy(&len, p + 4, 4);
    must(number < w->n && len == n && len == w->table[number].len, "%u gets %zu bytes of datagram %u, of %u",
         at, n, number, len);
    for (size_t i = HEAD; i < n; i++)
        must(p[i] == stream_byte(number, i - HEAD), "byte %zu of datagram %u is another one", i, number);
    d = &w->table[number];
    must(d->to == at, "%u gets what was for %u", at, d->to);
    must(d->sent, "datagram %u was refused, but arrives", number);
    d->got++;
    must(d->got <= (gnp_sim_knobs_now()->dgram_twice > 0 ? 2u : 1u), "datagram %u arrives again", number);
}

static size_t draw_len(void)
{
    switch (gnp_sim_below(80)) {
    case 0: return LEN_MAX;
    case 1: return HEAD + (size_t)gnp_sim_below(20000);
    default: return HEAD + (size_t)gnp_sim_below(1400);
    }
}

/* What a send may say.  blocked: who hears on_drained later. */
static void check_sent(world *w, uint32_t number, int rc, int *blocked)
{
    gnp_sim_note("sent", rc, number);
    if (rc == GN_OK)
        return;
    not_sent(w, number);
    if (rc == GN_EAGAIN && blocked != NULL)
        *blocked = 1;
    must(rc == GN_EAGAIN || gnp_sim_faults() > 0 || w->stopping, "a send: %s", gn_strerror(rc));
}

/* One by one or as a train, to an address (NULL: that of the connection, or of the datagram in hand). */
static void send_some(world *w, gn_conn *c, const gn_addr *to, unsigned from, unsigned id, int *blocked,
                      int small)
{
    unsigned char *buf = malloc(LEN_MAX);
    uint32_t numbers[TRAIN_MAX], count = 1;
    size_t len = small ? HEAD : draw_len(), all = 0;
    int rc = GN_OK;

    must(buf != NULL, "no memory");
    if (!small && one_in(4)) {
        count = 2 + (uint32_t)gnp_sim_below(TRAIN_MAX - 1);
        len = HEAD + (size_t)gnp_sim_below(1400);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t last = i + 1 == count && count > 1 ? HEAD + (size_t)gnp_sim_below(len - HEAD + 1) : len;
        numbers[i] = register_one(w, from, id, buf + all, last);
        if (numbers[i] == UINT32_MAX)
            count = i;
        else
            all += last;
    }
    if (count > 1)
        rc = gn_conn_send_segments(c, to, buf, all, len);
    else if (count == 1)
        rc = to != NULL ? gn_conn_send_to(c, to, buf, all) : gn_conn_write(c, buf, all);
    free(buf);
    for (uint32_t i = 0; i < count; i++)
        check_sent(w, numbers[i], rc, blocked);
    must(gn_conn_outbound(c) <= WAITING_MAX, "%zu bytes wait", gn_conn_outbound(c));
}

static void try_absurd(gn_conn *c)
{
    static unsigned char buf[LEN_MAX + 40];

    must(gn_conn_write(c, buf, sizeof buf) == GN_EMSGSIZE, "a datagram that is too long is taken");
}

/* ------------------------------------------------------------------- server */

static void remember(world *w, gn_conn *c, unsigned from)
{
    party *t = &w->parties[from - TALKER];
    gn_addr a;

    must(gn_conn_remote_addr(c, &a) == GN_OK && gn_addr_port(&a) == 7000 + from, "%u comes from port %u",
         from, gn_addr_port(&a));
    t->addr = a;
    t->by = gn_conn_handle(c);
}

static gn_action on_endpoint(gn_conn *c, world *w)
{
    int *blocked = &w->blocked[gn_loop_index(gn_conn_loop(c))];
    gn_dgram_info info;
    uint32_t number;
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);

    w->heard++;
    must(gn_conn_dgram_info(c, &info) == GN_OK, "a datagram without information");
    if (info.truncated && !beginning(w, SERVER, p, n))
        return GN_NONE;
    if (n == 0) {
        w->empties_heard++;
        return GN_NONE;
    }
    if (!info.truncated)
        arrived(w, SERVER, p, n);
    memcpy(&number, p, 4);
    remember(w, c, w->table[number].from);
    const party *t = &w->parties[w->table[number].from - TALKER];
    /* More than the queue takes.  Once a world: two could be more than wait at the talker's socket. */
    int burst = !w->burst && one_in(10);
    w->burst |= burst;
    if (one_in(2))
        (void)gn_conn_discard(c, n / 2); /* the rest is dropped */
    if (one_in(30))
        try_absurd(c);
    for (unsigned k = (unsigned)gnp_sim_below(burst ? 90 : 3); k > 0; k--)
        send_some(w, c, one_in(2) ? &t->addr : NULL, SERVER, t->id, blocked, burst);
    return GN_NONE;
}

/* ------------------------------------------------------------------ clients */

static void client_sends(gn_handle h, int rc, void *arg)
{
    client *z = arg;
    gn_conn *c = gn_conn_from_handle(h);
    world *w = z->world;

    w->done++;
    must(rc == GN_OK || z->closed || w->stopping || gnp_sim_faults() > 0, "a timer: %s", gn_strerror(rc));
    if (c == NULL || z->closed)
        return;
    if (z->left > 0 && !z->blocked) {
        z->left--;
        z->written++;
        send_some(w, c, NULL, z->id, z->target, &z->blocked, 0);
    }
    if (z->left == 0)
        return;
    w->asked++;
    if (gn_schedule(h, gnp_sim_below(5) * MS, client_sends, z, NULL) != GN_OK)
        w->asked--;
}

static gn_action on_client(gn_conn *c, client *z)
{
    gn_dgram_info info;
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);

    must(z->open && !z->closed && gn_conn_handle(c) == z->handle, "on_traffic of another connection");
    z->world->heard++;
    must(gn_conn_dgram_info(c, &info) == GN_OK, "a datagram without information");
    if (info.truncated)
        (void)beginning(z->world, z->id, p, n);
    else
        arrived(z->world, z->id, p, n);
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    client *z = gn_conn_context(c);

    return z != NULL ? on_client(c, z) : on_endpoint(c, user);
}

static gn_action on_open(gn_conn *c, void *user)
{
    client *z = gn_conn_context(c);
    world *w = user;
    gn_addr a;

    must(z != NULL && !z->open, "on_open of an endpoint");
    w->opened++;
    z->open = 1;
    z->handle = gn_conn_handle(c);
    if (gn_conn_local_addr(c, &a) == GN_OK)
        (void)gn_addr_format(&a, z->addr, sizeof z->addr);
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    client *z = gn_conn_context(c);
    world *w = user;

    gnp_sim_note("on_close", reason, 0);
    must(z != NULL && z->open && !z->closed, "on_close twice, or of an endpoint");
    must(w->stopping || gnp_sim_faults() > 0, "a client is closed with %s", gn_strerror(reason));
    z->closed = 1;
    w->closed++;
    return GN_NONE;
}

static void on_error(gn_conn *c, int error, void *user)
{
    client *z = gn_conn_context(c);

    (void)user;
    gnp_sim_note("on_error", error, 0);
    if (gnp_sim_faults() > 0)
        return;
    must(z != NULL && z->target == NOBODY && z->written > 0 && error == GN_ECONNREFUSED,
         "an error out of nowhere: %s", gn_strerror(error));
    z->refused = 1;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    client *z = gn_conn_context(c);
    world *w = user;

    if (z != NULL)
        z->blocked = 0;
    else
        w->blocked[gn_loop_index(gn_conn_loop(c))] = 0;
    return GN_NONE;
}

static void on_dialed(gn_handle h, int rc, void *arg)
{
    client *z = arg;

    z->world->done++;
    z->dialed = 1;
    must(rc == GN_OK ? z->open && h == z->handle : z->world->stopping || gnp_sim_faults() > 0, "a dial: %s",
         gn_strerror(rc));
    if (rc == GN_OK) {
        z->world->asked++;
        client_sends(h, GN_OK, z);
    }
}

static void dial(client *z)
{
    world *w = z->world;
    gn_dial_options o;
    char to[60];

    gn_dial_options_init(&o);
    o.context = z;
    (void)snprintf(to, sizeof to, "udp://%s:%u", w->v6 ? "[::1]" : "127.0.0.1", 7000 + z->target);
    w->asked++;
    unsigned loop = (unsigned)gnp_sim_below(gn_engine_loop_count(w->engine));
    int rc = gn_dial(gn_engine_loop(w->engine, loop), to, &o, on_dialed, z, NULL);
    if (rc != GN_OK)
        w->asked--;
    must(rc == GN_OK || w->stopping || gnp_sim_faults() > 0, "dial: %s", gn_strerror(rc));
}

/* -------------------------------------------------------------------- others */

static void party_send(party *t, unsigned to, const char *addr)
{
    unsigned char *buf = malloc(LEN_MAX);
    world *w = t->world;
    size_t len = draw_len();

    must(buf != NULL, "no memory");
    if (to == SERVER && one_in(12)) {
        w->empties++;
        (void)gnp_sim_sendto(t->peer, addr, buf, 0);
    } else if (register_one(w, t->id, to, buf, len) != UINT32_MAX) {
        (void)gnp_sim_sendto(t->peer, addr, buf, len);
    }
    free(buf);
}

/* To the server; now and then, as a stranger, to a client, which must not hear it. */
static void talker_run(void *arg)
{
    party *t = arg;
    world *w = t->world;
    unsigned char buf[LEN_MAX];

    while (!w->over) {
        if (t->left > 0) {
            const client *z = &w->clients[gnp_sim_below(CLIENTS)];
            t->left--;
            if (one_in(6) && z->addr[0] != '\0')
                party_send(t, NOBODY, z->addr);
            else
                party_send(t, SERVER, w->addr);
        }
        int64_t n = gnp_sim_recvfrom(t->peer, buf, sizeof buf, t->left > 0 ? gnp_sim_below(4) * MS : 50 * MS);
        if (n >= 0)
            arrived(w, t->id, buf, (size_t)n);
    }
}

/* Answers whom it hears. */
static void responder_run(void *arg)
{
    party *t = arg;
    world *w = t->world;
    unsigned char buf[LEN_MAX];
    uint32_t number;

    while (!w->over) {
        int64_t n = gnp_sim_recvfrom(t->peer, buf, sizeof buf, 50 * MS);
        if (n < 0)
            continue;
        arrived(w, t->id, buf, (size_t)n);
        memcpy(&number, buf, 4);
        unsigned from = w->table[number].from;
        must(from >= CLIENT && from < NOBODY, "a responder hears %u", from);
        if (one_in(2) && w->clients[from - CLIENT].addr[0] != '\0')
            party_send(t, from, w->clients[from - CLIENT].addr);
    }
}

typedef struct push {
    world *world;
    uint32_t number;
} push;

static void on_pushed(gn_handle h, int rc, void *arg)
{
    push *p = arg;
    const gn_conn *c = gn_conn_from_handle(h);

    p->world->done++;
    if (rc == GN_EAGAIN && c != NULL)
        p->world->blocked[gn_loop_index(gn_conn_loop(c))] = 1;
    must(rc == GN_OK || rc == GN_EAGAIN || p->world->stopping || gnp_sim_faults() > 0, "gn_send_to: %s",
         gn_strerror(rc));
    if (rc != GN_OK)
        not_sent(p->world, p->number);
    free(p);
}

/* From another thread, to who was heard before. */
static void pusher_run(void *arg)
{
    unsigned char buf[2000];
    world *w = arg;

    for (unsigned n = (unsigned)gnp_sim_below(20); n > 0; n--) {
        const party *t = &w->parties[gnp_sim_below(TALKERS)];
        size_t len = HEAD + (size_t)gnp_sim_below(sizeof buf - HEAD);
        push *p = t->by != GN_HANDLE_NONE ? malloc(sizeof *p) : NULL;
        gnp_sim_sleep(gnp_sim_below(5) * MS);
        if (p == NULL)
            continue;
        *p = (push){ w, register_one(w, SERVER, t->id, buf, len) };
        if (p->number == UINT32_MAX) {
            free(p);
            return;
        }
        w->asked++;
        int rc = gn_send_to(t->by, &t->addr, buf, len, on_pushed, p);
        if (rc == GN_OK)
            continue;
        must(w->stopping || gnp_sim_faults() > 0, "asking: %s", gn_strerror(rc));
        w->asked--;
        not_sent(w, p->number);
        free(p);
    }
}

/* --------------------------------------------------------------------- world */

/* All is quiet, nothing was lost on the way. */
static void check_all(const world *w)
{
    gn_stats s = { .size = sizeof s };

    must(gn_engine_stats(w->engine, &s) == GN_OK, "no statistics");
    must(s.datagrams_in == w->heard, "%llu datagrams came, %llu were shown",
         (unsigned long long)s.datagrams_in, (unsigned long long)w->heard);
    must(w->empties == w->empties_heard, "%llu empty ones were sent, %llu came",
         (unsigned long long)w->empties, (unsigned long long)w->empties_heard);
    for (uint32_t i = 0; i < w->n; i++) {
        const dgram *d = &w->table[i];
        must(d->got == (d->sent && d->to != NOBODY), "datagram %u of %u for %u: arrived %u times", i, d->from,
             d->to, d->got);
    }
    for (unsigned i = 0; i < w->clients_n; i++) {
        const client *z = &w->clients[i];
        must(!z->blocked && z->left == 0, "client %u still waits for on_drained", z->id);
        must(z->target != NOBODY || z->refused, "client %u wrote to nobody, and nobody told", z->id);
    }
    for (unsigned i = 0; i < 8; i++)
        must(!w->blocked[i], "the endpoint of loop %u still waits for on_drained", i);
}

static void draw_world(world *w, gn_options *o)
{
    char addr[60];

    draw_options(o);
    w->v6 = one_in(3);
    for (unsigned i = 0; i < TALKERS + RESPONDERS; i++) {
        party *t = &w->parties[i];
        t->world = w;
        t->id = TALKER + i;
        t->left = (unsigned)gnp_sim_below(25);
        (void)snprintf(addr, sizeof addr, "%s:%u", w->v6 ? "[::1]" : "127.0.0.1", 7000 + t->id);
        t->peer = gnp_sim_dgram(addr);
    }
    w->clients_n = (unsigned)gnp_sim_below(CLIENTS + 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client *z = &w->clients[i];
        z->world = w;
        z->id = CLIENT + i;
        z->left = 1 + (unsigned)gnp_sim_below(15);
        z->target = one_in(4) ? NOBODY : RESPONDER + (unsigned)gnp_sim_below(RESPONDERS);
    }
}

static void play(world *w)
{
    crew c = { .n = 0 }, parties = { .n = 0 };
    int early = one_in(4);

    peer_address(w->engine, 0, w->addr, sizeof w->addr);
    for (unsigned i = 0; i < TALKERS + RESPONDERS; i++)
        crew_add(&parties, i < TALKERS ? talker_run : responder_run, &w->parties[i], "party");
    crew_add(&c, pusher_run, w, "pusher");
    for (unsigned i = 0; i < w->clients_n; i++)
        dial(&w->clients[i]);
    if (early) {
        gnp_sim_sleep(gnp_sim_below(40) * MS);
        w->stopping = 1;
        (void)gn_engine_stop(w->engine, gnp_sim_below(2) * SECOND);
    }
    crew_join(&c);
    gnp_sim_sleep(5 * SECOND);
    const gnp_sim_knobs *k = gnp_sim_knobs_now();
    if (!early && gnp_sim_faults() == 0 && k->dgram_lost == 0 && k->dgram_twice == 0 && k->slow_call == 0)
        check_all(w);
    w->over = w->stopping = 1;
    finish(w->engine, SECOND);
    crew_join(&parties);
}

static void run(void *arg)
{
    static const gn_handler handler = {
        .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close, .on_error = on_error,
        .on_drained = on_drained
    };
    world *w = calloc(1, sizeof *w);
    gn_options o;

    (void)arg;
    must(w != NULL, "no memory");
    draw_world(w, &o);
    w->engine = serve(&handler, w, &o, w->v6 ? "udp://[::1]:0" : "udp://127.0.0.1:0");
    if (w->engine != NULL) {
        play(w);
        must(w->asked == w->done, "%llu operations were asked for, %llu completed",
             (unsigned long long)w->asked, (unsigned long long)w->done);
        must(w->opened == w->closed, "%llu opened, %llu closed", (unsigned long long)w->opened,
             (unsigned long long)w->closed);
    }
    for (unsigned i = 0; i < TALKERS + RESPONDERS; i++)
        gnp_sim_close(w->parties[i].peer, 0);
    free(w);
}

const scenario scenario_datagrams = { "datagrams", run };
