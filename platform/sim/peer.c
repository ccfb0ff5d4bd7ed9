/* SPDX-License-Identifier: MIT */
/* Peers: what is at the other end, on hosts that work. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

struct gnp_sim_peer {
    sim_file *file;
};

struct gnp_sim_server {
    sim_file *file;
};

/* "host:port", "[host]:port", "unix:/path", "unix:@name". */
static gnp_addr parse(const char *text)
{
    gnp_addr a;
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t n;

    memset(&a, 0, sizeof(a));
    if (strncmp(text, "unix:", 5) == 0) {
        a.family = GNP_FAMILY_UNIX;
        a.len = (uint8_t)strlen(text + 5);
        memcpy(a.u.path, text + 5, a.len);
        if (text[5] == '@')
            a.u.path[0] = '\0';
        return a;
    }
    if (colon == NULL || (n = (size_t)(colon - text)) >= sizeof(host))
        gnp_sim_fail("no address: %s", text);
    if (text[0] == '[') {
        text++;
        n -= 2;
    }
    memcpy(host, text, n);
    host[n] = '\0';
    if (gnp_ip_parse(host, &a) != GNP_OK)
        gnp_sim_fail("no address: %s", text);
    a.port = (uint16_t)atoi(colon + 1);
    return a;
}

static gnp_sim_peer *peer_of(sim_file *f)
{
    gnp_sim_peer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    p->file = f;
    return p;
}

/* Each peer dials from a host of its own, so balancing by address has something to do. */
static void give_host(sim_file *f, const gnp_addr *to)
{
    static uint16_t n;

    if (to->family == GNP_FAMILY_UNIX)
        return;
    f->local = *to;
    f->local.port = (uint16_t)(10000 + n % 20000);
    if (to->family == GNP_FAMILY_IPV4) {
        f->local.u.ip[0] = 10;
        f->local.u.ip[1] = (uint8_t)gnp_sim_below(4);
        f->local.u.ip[2] = (uint8_t)gnp_sim_below(256);
    } else {
        f->local.u.ip[0] = 0xfd;
        f->local.u.ip[1] = (uint8_t)gnp_sim_below(256);
    }
    n++;
}

gnp_sim_peer *gnp_sim_connect(const char *text, int *why)
{
    gnp_addr to = parse(text);
    sim_file *f = gnp_sim_file_new(SIM_STREAM, to.family, 0);
    int r;

    gnp_sim_call();
    give_host(f, &to);
    r = gnp_sim_dial(f, &to);
    while (r == GNP_AGAIN) { /* a Unix socket's queue is full */
        gnp_sim_sleep(1000000);
        r = gnp_sim_dial(f, &to);
    }
    while (f->connecting)
        (void)gnp_sim_block(f, "peer: connect", GNP_NEVER);
    if (r == GNP_INFLIGHT)
        r = f->connect_code;
    gnp_sim_mark("peer_connect", to.port, 0, r);
    if (why != NULL)
        *why = r;
    if (r == GNP_OK)
        return peer_of(f);
    gnp_sim_file_unref(f, 0);
    return NULL;
}

int gnp_sim_send(gnp_sim_peer *p, const void *data, size_t n, size_t *sent)
{
    size_t done = 0, k;
    int r = GNP_OK;

    gnp_sim_call();
    while (done < n) {
        gnp_iov v = { (const char *)data + done, n - done };
        r = gnp_sim_stream_send(p->file, &v, 1, v.len, &k);
        done += k;
        if (r != GNP_AGAIN && r != GNP_OK)
            break;
        if (done < n)
            (void)gnp_sim_block(p->file, "peer: send", GNP_NEVER);
    }
    if (sent != NULL)
        *sent = done;
    gnp_sim_mark("peer_send", (int64_t)n, (int64_t)done, r);
    return done == n ? GNP_OK : GNP_SIM_RESET;
}

int64_t gnp_sim_recv(gnp_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns)
{
    uint64_t until = timeout_ns < GNP_NEVER - sim.now ? sim.now + timeout_ns : GNP_NEVER;
    size_t n = 0;
    int r;

    gnp_sim_call();
    while ((r = gnp_sim_stream_recv(p->file, out, cap, &n)) == GNP_AGAIN && sim.now < until)
        (void)gnp_sim_block(p->file, "peer: recv", until);
    gnp_sim_mark("peer_recv", (int64_t)n, 0, r);
    if (r == GNP_OK)
        return (int64_t)n;
    return r == GNP_EOF ? GNP_SIM_EOF : r == GNP_AGAIN ? GNP_SIM_TIMEOUT : GNP_SIM_RESET;
}

void gnp_sim_half_close(gnp_sim_peer *p)
{
    gnp_sim_call();
    if (gnp_sim_stream_connected(p->file))
        gnp_sim_stream_end(p->file);
    gnp_sim_mark("peer_half_close", 0, 0, 0);
}

uint64_t gnp_sim_flood(gnp_sim_peer *p, uint64_t n, uint64_t timeout_ns)
{
    static const unsigned char bytes[4096];
    uint64_t until = timeout_ns < GNP_NEVER - sim.now ? sim.now + timeout_ns : GNP_NEVER, done = 0;

    gnp_sim_call();
    while (done < n && sim.now < until) {
        gnp_iov v = { bytes, n - done < sizeof(bytes) ? (size_t)(n - done) : sizeof(bytes) };
        size_t k;
        int r = gnp_sim_stream_send(p->file, &v, 1, v.len, &k);
        done += k;
        if (r == GNP_AGAIN)
            (void)gnp_sim_block(p->file, "peer: flood", until);
        else if (r != GNP_OK)
            break;
    }
    gnp_sim_mark("peer_flood", (int64_t)n, (int64_t)done, 0);
    return done;
}

void gnp_sim_cut(gnp_sim_peer *p, size_t arrives)
{
    gnp_sim_call();
    gnp_sim_stream_cut(p->file, arrives);
    gnp_sim_mark("peer_cut", (int64_t)arrives, 0, 0);
}

void gnp_sim_stall(gnp_sim_peer *p, int on)
{
    gnp_sim_call();
    gnp_sim_stream_stall(p->file, on);
    gnp_sim_mark("peer_stall", on, 0, 0);
}

void gnp_sim_partition(int on)
{
    gnp_sim_call();
    sim.partitioned = on;
    gnp_sim_mark("partition", on, 0, 0);
}

void gnp_sim_vanish(gnp_sim_peer *p)
{
    gnp_sim_call();
    gnp_sim_stream_vanish(p->file);
    gnp_sim_mark("peer_vanish", 0, 0, 0);
}

void gnp_sim_reset(gnp_sim_peer *p)
{
    gnp_sim_call();
    gnp_sim_stream_break(p->file, GNP_ECONNRESET);
    gnp_sim_mark("peer_reset", 0, 0, 0);
}

void gnp_sim_close(gnp_sim_peer *p, int reset)
{
    gnp_sim_call();
    gnp_sim_mark("peer_close", reset, 0, 0);
    gnp_sim_file_unref(p->file, reset);
    free(p);
}

/* ------------------------------------------------------------------ servers */

gnp_sim_server *gnp_sim_listen(const char *text, int backlog)
{
    gnp_addr a = parse(text);
    gnp_sim_server *l = calloc(1, sizeof(*l));
    gnp_bound bound;

    if (l == NULL)
        abort();
    gnp_sim_call();
    l->file = gnp_sim_file_new(SIM_LISTENER, a.family, 0);
    l->file->backlog = (unsigned)backlog;
    if ((a.family == GNP_FAMILY_UNIX ? gnp_sim_path_bind(l->file, &a, &bound)
                                     : gnp_sim_bind(l->file, &a, GNP_EXCLUSIVE)) != GNP_OK)
        gnp_sim_fail("a peer cannot listen on %s", text);
    return l;
}

gnp_sim_peer *gnp_sim_accept(gnp_sim_server *l, uint64_t timeout_ns)
{
    uint64_t until = timeout_ns < GNP_NEVER - sim.now ? sim.now + timeout_ns : GNP_NEVER;
    sim_file *f;

    gnp_sim_call();
    while (l->file->queued == 0 && sim.now < until)
        (void)gnp_sim_block(l->file, "peer: accept", until);
    if (l->file->queued == 0)
        return NULL;
    f = l->file->queue[0];
    memmove(l->file->queue, l->file->queue + 1, --l->file->queued * sizeof(*l->file->queue));
    gnp_sim_mark("peer_accept", 0, 0, 0);
    return peer_of(f);
}

void gnp_sim_server_close(gnp_sim_server *l)
{
    gnp_sim_call();
    if (l->file->family == GNP_FAMILY_UNIX)
        gnp_sim_path_remove(&l->file->local);
    gnp_sim_file_unref(l->file, 0);
    free(l);
}

/* ---------------------------------------------------------------- datagrams */

gnp_sim_peer *gnp_sim_dgram(const char *text)
{
    gnp_addr a = parse(text);
    sim_file *f = gnp_sim_file_new(SIM_DGRAM, a.family, 0);

    gnp_sim_call();
    if (gnp_sim_bind(f, &a, GNP_EXCLUSIVE) != GNP_OK)
        gnp_sim_fail("a peer cannot bind %s", text);
    return peer_of(f);
}

int gnp_sim_sendto(gnp_sim_peer *p, const char *to, const void *data, size_t n)
{
    gnp_addr a = parse(to);

    gnp_sim_call();
    gnp_sim_mark("peer_sendto", a.port, (int64_t)n, 0);
    return gnp_sim_dgram_send(p->file, &a, data, n, 0);
}

int64_t gnp_sim_recvfrom(gnp_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns)
{
    uint64_t until = timeout_ns < GNP_NEVER - sim.now ? sim.now + timeout_ns : GNP_NEVER;
    sim_packet *packet;
    size_t n;

    gnp_sim_call();
    while (p->file->first == NULL && sim.now < until)
        (void)gnp_sim_block(p->file, "peer: recvfrom", until);
    packet = p->file->first;
    gnp_sim_mark("peer_recvfrom", packet != NULL ? (int64_t)packet->len : -1, 0, 0);
    if (packet == NULL)
        return GNP_SIM_TIMEOUT;
    p->file->first = packet->next;
    p->file->packets--;
    n = packet->len < cap ? packet->len : cap;
    memcpy(out, packet->data, n);
    free(packet);
    return (int64_t)n;
}
