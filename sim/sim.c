/* SPDX-License-Identifier: MIT */
/*
 * The public face of platform/sim: structs that can grow, addresses as gannet writes them, and memory for
 * the program under test.  The rest is the same under another name.
 */
#include "include/gannet_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/mem.h"
#include "platform/sim/sim.h"

/* A size beyond this is not a newer header but a struct that nobody initialised; smaller than its first
 * member, too. */
#define SIZE_MOST 4096u
#define ADDRESS_BYTES 256u /* GN_ADDR_TEXT_MAX, and more */

static int sane(size_t size)
{
    return size > sizeof(size_t) && size <= SIZE_MOST;
}

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What only a newer header knows is zero. */
static void fill(void *out, size_t size, const void *all, size_t known)
{
    memset(out, 0, size);
    memcpy(out, all, lesser(size, known));
}

/* ---------------------------------------------------------------- knobs */

static gn_sim_knobs to_public(const gnp_sim_knobs *k)
{
    return (gn_sim_knobs){
        .switch_point = k->switch_point, .spurious_cond = k->spurious_cond, .slow_call = k->slow_call,
        .slow_call_ns = k->slow_call_ns, .short_read = k->short_read, .short_write = k->short_write,
        .again = k->again, .spurious_event = k->spurious_event, .interrupted = k->interrupted,
        .connect_at_once = k->connect_at_once, .reset_drops = k->reset_drops,
        .accept_error = k->accept_error, .send_error = k->send_error, .recv_error = k->recv_error,
        .connect_error = k->connect_error, .alloc_error = k->alloc_error, .thread_error = k->thread_error,
        .sock_error = k->sock_error, .alloc_fail_at = k->alloc_fail_at, .descriptors = k->descriptors,
        .dgram_lost = k->dgram_lost, .dgram_twice = k->dgram_twice, .pipe_bytes = k->pipe_bytes,
        .latency_ns = k->latency_ns, .jitter_ns = k->jitter_ns, .reuseport_balances = k->reuseport_balances
    };
}

static gnp_sim_knobs from_public(const gn_sim_knobs *in)
{
    gn_sim_knobs k = { 0 };

    memcpy(&k, in, lesser(in->size, sizeof k));
    return (gnp_sim_knobs){
        .switch_point = k.switch_point, .spurious_cond = k.spurious_cond, .slow_call = k.slow_call,
        .slow_call_ns = k.slow_call_ns, .short_read = k.short_read, .short_write = k.short_write,
        .again = k.again, .spurious_event = k.spurious_event, .interrupted = k.interrupted,
        .connect_at_once = k.connect_at_once, .reset_drops = k.reset_drops,
        .accept_error = k.accept_error, .send_error = k.send_error, .recv_error = k.recv_error,
        .connect_error = k.connect_error, .alloc_error = k.alloc_error, .thread_error = k.thread_error,
        .sock_error = k.sock_error, .alloc_fail_at = k.alloc_fail_at, .descriptors = k.descriptors,
        .dgram_lost = k.dgram_lost, .dgram_twice = k.dgram_twice,
        .pipe_bytes = k.pipe_bytes != 0 ? k.pipe_bytes : 1, .latency_ns = k.latency_ns,
        .jitter_ns = k.jitter_ns, .reuseport_balances = k.reuseport_balances
    };
}

static int give(gn_sim_knobs *out, const gnp_sim_knobs *k)
{
    gn_sim_knobs all = to_public(k);

    if (out == NULL || !sane(out->size))
        return GN_EINVAL;
    all.size = out->size;
    fill(out, all.size, &all, sizeof all);
    return GN_OK;
}

void gn_sim_knobs_init_sized(gn_sim_knobs *k, size_t size)
{
    gn_sim_knobs all = { .size = size, .pipe_bytes = 65536, .latency_ns = 50000, .reuseport_balances = 1 };

    if (k != NULL)
        fill(k, size, &all, sizeof all);
}

int gn_sim_knobs_draw(gn_sim_knobs *k, uint64_t seed, unsigned flags)
{
    gnp_sim_knobs drawn;

    if (flags & ~(unsigned)GN_SIM_HARM)
        return GN_EINVAL;
    gnp_sim_draw(&drawn, seed, (flags & GN_SIM_HARM) != 0);
    return give(k, &drawn);
}

int gn_sim_knobs_now(gn_sim_knobs *k)
{
    return give(k, gnp_sim_knobs_now());
}

/* ---------------------------------------------------------------- worlds */

void gn_sim_options_init_sized(gn_sim_options *o, size_t size)
{
    gn_sim_options all = { .size = size, .seed = 1 };

    if (o != NULL)
        fill(o, size, &all, sizeof all);
}

void gn_sim_result_init_sized(gn_sim_result *r, size_t size)
{
    gn_sim_result all = { .size = size };

    if (r != NULL)
        fill(r, size, &all, sizeof all);
}

static void tell(gn_sim_result *out, const gnp_sim_result *r)
{
    gn_sim_result all = {
        .size = out->size, .failed = r->failed, .hash = r->hash, .points = r->points,
        .switches = r->switches, .allocs = r->allocs, .faults = r->faults, .virtual_ns = r->virtual_ns
    };

    (void)snprintf(all.what, sizeof all.what, "%s", r->failed ? r->what : "");
    fill(out, all.size, &all, sizeof all);
}

int gn_sim_run(const gn_sim_options *options, void (*fn)(void *arg), void *arg, gn_sim_result *out)
{
    gn_sim_options o;
    gnp_sim_config c;
    gnp_sim_result r;

    gn_sim_options_init(&o);
    if (options != NULL && !sane(options->size))
        return GN_EINVAL;
    if (options != NULL)
        memcpy(&o, options, lesser(options->size, sizeof o));
    if (fn == NULL || out == NULL || !sane(out->size) || (o.flags & ~(unsigned)GN_SIM_HARM) != 0
        || (o.knobs != NULL && !sane(o.knobs->size)))
        return GN_EINVAL;
    memset(&c, 0, sizeof c);
    c.seed = o.seed;
    c.limit_ns = o.limit_ns;
    c.limit_points = o.limit_points;
    c.host_s = o.host_s;
    c.trace = o.trace;
    c.in_place = o.in_place;
    if (o.knobs != NULL)
        c.knobs = from_public(o.knobs);
    else
        gnp_sim_draw(&c.knobs, o.seed, (o.flags & GN_SIM_HARM) != 0);
    gnp_sim_run(&c, fn, arg, &r);
    tell(out, &r);
    return GN_OK;
}

/* ---------------------------------------------------------------- inside */

void gn_sim_fail(const char *format, ...)
{
    char text[600]; /* as much as a result holds */
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    gnp_sim_fail("%s", text);
}

uint64_t gn_sim_below(uint64_t n)
{
    return gnp_sim_below(n);
}

void gn_sim_note(const char *what, int64_t a, int64_t b)
{
    gnp_sim_note(what, a, b);
}

uint64_t gn_sim_faults(void)
{
    return gnp_sim_faults();
}

void gn_sim_heal(void)
{
    gnp_sim_heal();
}

uint64_t gn_sim_blocks(void)
{
    return gnp_sim_blocks();
}

unsigned gn_sim_descriptors(void)
{
    return gnp_sim_descriptors();
}

gn_sim_thread *gn_sim_spawn(void (*fn)(void *arg), void *arg, const char *name)
{
    return (gn_sim_thread *)gnp_sim_spawn(fn, arg, name);
}

void gn_sim_join(gn_sim_thread *t)
{
    gnp_sim_join((gnp_sim_thread *)t);
}

void gn_sim_sleep(uint64_t ns)
{
    gnp_sim_sleep(ns);
}

void gn_sim_setenv(const char *name, const char *value)
{
    gnp_sim_setenv(name, value);
}

void gn_sim_file(const char *path, const void *data, size_t n)
{
    gnp_sim_file(path, data, n);
}

int gn_sim_signal(gn_signal s)
{
    return gnp_sim_signal((int)s) > 0;
}

/* ---------------------------------------------------------------- memory */

/* The platform wants sizes back, so they stand in front; what follows is aligned for all. */
typedef union head {
    size_t size;
    long double for_alignment;
    void *and_this;
} head;

void *gn_sim_malloc(size_t n)
{
    head *h = n <= SIZE_MAX - sizeof *h ? gnp_alloc(sizeof *h + n) : NULL;

    if (h == NULL)
        return NULL;
    h->size = n;
    return h + 1;
}

void *gn_sim_calloc(size_t count, size_t n)
{
    void *p = n == 0 || count <= SIZE_MAX / n ? gn_sim_malloc(count * n) : NULL;

    if (p != NULL)
        memset(p, 0, count * n);
    return p;
}

void *gn_sim_realloc(void *p, size_t n)
{
    head *h;

    if (p == NULL)
        return gn_sim_malloc(n);
    if (n > SIZE_MAX - sizeof *h)
        return NULL;
    h = (head *)p - 1;
    h = gnp_realloc(h, sizeof *h + h->size, sizeof *h + n);
    if (h == NULL)
        return NULL;
    h->size = n;
    return h + 1;
}

void gn_sim_free(void *p)
{
    head *h;

    if (p == NULL)
        return;
    h = (head *)p - 1;
    gnp_free(h, sizeof *h + h->size);
}

/* ---------------------------------------------------------------- peers */

/* "tcp://host:port" is "host:port" below, "unix:///path" is "unix:/path". */
static const char *address(const char *text, char *room)
{
    const char *rest = strstr(text, "://");

    if (rest == NULL)
        return text;
    if (strncmp(text, "unix", 4) != 0)
        return rest + 3;
    (void)snprintf(room, ADDRESS_BYTES, "unix:%s", rest + 3);
    return room;
}

static gnp_sim_peer *inner(gn_sim_peer *p)
{
    return (gnp_sim_peer *)p;
}

gn_sim_peer *gn_sim_peer_connect(const char *addr, int *why)
{
    char room[ADDRESS_BYTES];

    return (gn_sim_peer *)gnp_sim_connect(address(addr, room), why);
}

int gn_sim_peer_send(gn_sim_peer *p, const void *data, size_t n, size_t *sent)
{
    return gnp_sim_send(inner(p), data, n, sent);
}

int64_t gn_sim_peer_recv(gn_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns)
{
    return gnp_sim_recv(inner(p), out, cap, timeout_ns);
}

void gn_sim_peer_half_close(gn_sim_peer *p)
{
    gnp_sim_half_close(inner(p));
}

void gn_sim_peer_reset(gn_sim_peer *p)
{
    gnp_sim_reset(inner(p));
}

void gn_sim_peer_close(gn_sim_peer *p, int reset)
{
    gnp_sim_close(inner(p), reset);
}

gn_sim_server *gn_sim_server_listen(const char *addr, int backlog)
{
    char room[ADDRESS_BYTES];

    return (gn_sim_server *)gnp_sim_listen(address(addr, room), backlog);
}

gn_sim_peer *gn_sim_server_accept(gn_sim_server *s, uint64_t timeout_ns)
{
    return (gn_sim_peer *)gnp_sim_accept((gnp_sim_server *)s, timeout_ns);
}

void gn_sim_server_close(gn_sim_server *s)
{
    gnp_sim_server_close((gnp_sim_server *)s);
}

gn_sim_peer *gn_sim_peer_bind(const char *addr)
{
    char room[ADDRESS_BYTES];

    return (gn_sim_peer *)gnp_sim_dgram(address(addr, room));
}

int gn_sim_peer_sendto(gn_sim_peer *p, const char *to, const void *data, size_t n)
{
    char room[ADDRESS_BYTES];

    return gnp_sim_sendto(inner(p), address(to, room), data, n);
}

int64_t gn_sim_peer_recvfrom(gn_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns)
{
    return gnp_sim_recvfrom(inner(p), out, cap, timeout_ns);
}

_Static_assert((int)GN_EOF == (int)GNP_SIM_EOF && (int)GN_ECONNRESET == (int)GNP_SIM_RESET
                   && (int)GN_ETIMEDOUT == (int)GNP_SIM_TIMEOUT,
               "codes of the two headers are the same");
