/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

int one_in(unsigned n)
{
    return gnp_sim_below(n) == 0;
}

size_t pick(const size_t *of, size_t n)
{
    return of[gnp_sim_below(n)];
}

void draw_options(gn_options *o)
{
    static const size_t reads[] = { 1024, 2048, 4096, 65536 };
    static const size_t bounds[] = { 1024, 20000, 1048576 };

    gn_options_init(o);
    o->loops = 1 + (unsigned)gnp_sim_below(3);
    o->lb = (gn_lb)gnp_sim_below(4);
    o->reuseport = one_in(3);
    o->edge_triggered = one_in(3);
    o->read_buffer = pick(reads, 4);
    o->inbound_max = pick(bounds, 3);
    o->outbound_high = pick(bounds, 3);
    o->backlog = one_in(4) ? 1 : 0;
    o->spin_us = one_in(8) ? 5 : 0;
    o->stall_ns = one_in(8) ? 50 * MS : 0;
}

const char *draw_stream_address(void)
{
    static const char *const all[] = { "tcp://127.0.0.1:0", "tcp://[::1]:0", "unix:///tmp/echo" };

    return all[gnp_sim_below(3)];
}

void peer_address(const gn_engine *e, unsigned i, char *out, size_t cap)
{
    gn_addr a;

    must(gn_engine_addr(e, i, &a) == GN_OK, "address %u is not known", i);
    must(gn_addr_format(&a, out, cap) > 0, "address %u has no text", i);
}

unsigned char stream_byte(uint32_t key, uint64_t i)
{
    uint64_t x = (i + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ key * UINT64_C(0xD6E8FEB86659FD93);

    return (unsigned char)(x >> 56 ^ x >> 23);
}

void stream_fill(uint32_t key, uint64_t from, unsigned char *out, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        out[i] = stream_byte(key, from + i);
}

uint64_t tardiness(void)
{
    return gnp_sim_knobs_now()->slow_call > 0 ? 60 * SECOND : 20 * MS;
}

gn_engine *serve(const gn_handler *h, void *user, const gn_options *o, const char *addr)
{
    gn_engine *e = NULL;
    int rc = gn_engine_create(&e, h, user, o);

    if (rc == GN_OK)
        rc = gn_engine_listen(e, addr);
    if (rc == GN_OK)
        rc = gn_engine_start(e);
    gnp_sim_note("serve", rc, 0);
    if (rc == GN_OK)
        return e;
    must(gnp_sim_faults() > 0, "the engine did not start: %s", gn_strerror(rc));
    rc = gn_engine_destroy(e);
    must(rc == GN_OK, "the engine that did not start is not destroyed: %s", gn_strerror(rc));
    return NULL;
}

void finish(gn_engine *e, uint64_t drain_ns)
{
    int rc = gn_engine_stop(e, drain_ns);

    must(rc == GN_OK, "stop: %s", gn_strerror(rc));
    rc = gn_engine_join(e);
    gnp_sim_note("join", rc, 0);
    must(rc == GN_OK || gnp_sim_faults() > 0, "join: %s", gn_strerror(rc));
    rc = gn_engine_destroy(e);
    must(rc == GN_OK, "destroy: %s", gn_strerror(rc));
}

void crew_add(crew *c, void (*fn)(void *arg), void *arg, const char *name)
{
    must(c->n < sizeof c->threads / sizeof c->threads[0], "the crew is too large");
    c->threads[c->n++] = gnp_sim_spawn(fn, arg, name);
}

void crew_join(crew *c)
{
    for (unsigned i = 0; i < c->n; i++)
        gnp_sim_join(c->threads[i]);
    c->n = 0;
}

/* -------------------------------------------------- at a moment of the test's choice */

#define LOOK (100 * UINT64_C(1000))
#define PATIENCE (300 * SECOND) /* virtual */

/* What a loop does for a test, which waits for it. */
typedef struct errand {
    void (*fn)(void *arg);
    void *arg;
    int over;
} errand;

static void errand_run(gn_handle h, int status, void *arg)
{
    errand *e = arg;

    (void)h;
    must(status == GN_OK, "an errand is called with %s", gn_strerror(status));
    e->fn(e->arg);
    e->over = 1;
}

void await(const int *flag, const char *what)
{
    uint64_t until = gn_now() + PATIENCE;

    while (!*flag) {
        must(gn_now() < until, "%s does not happen", what);
        gnp_sim_sleep(LOOK);
    }
}

void on_loop(const gn_engine *e, unsigned i, void (*fn)(void *arg), void *arg)
{
    errand job = { fn, arg, 0 };
    int rc = gn_execute(gn_engine_loop(e, i), errand_run, &job);

    must(rc == GN_OK, "execute: %s", gn_strerror(rc));
    await(&job.over, "an errand");
}

/* All of text comes back. */
void expect_echo(gnp_sim_peer *p, const char *text)
{
    size_t n = strlen(text), have = 0;
    char back[64];

    must(gnp_sim_send(p, text, n, NULL) == 0, "the peer cannot send");
    while (have < n) {
        int64_t got = gnp_sim_recv(p, back + have, sizeof back - have, PATIENCE);
        must(got > 0, "instead of an echo: %lld", (long long)got);
        have += (size_t)got;
    }
    must(have == n && memcmp(back, text, n) == 0, "the echo is another");
}

gn_engine *serve_well(const gn_handler *h, void *user, const gn_options *o, const char *addr)
{
    gn_engine *e = serve(h, user, o, addr);

    must(e != NULL, "without faults the engine does not start");
    return e;
}
