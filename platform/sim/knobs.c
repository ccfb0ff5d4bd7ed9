/* SPDX-License-Identifier: MIT */
/* The knobs: their names, and how a seed draws them. */
#include "world.h"

#include <string.h>

typedef struct knob {
    const char *name;
    size_t offset, size;
} knob;

#define KNOB(name) { #name, offsetof(gnp_sim_knobs, name), sizeof(((gnp_sim_knobs *)0)->name) }

static const knob knobs[] = {
    KNOB(switch_point),   KNOB(spurious_cond),   KNOB(slow_call),     KNOB(slow_call_ns),
    KNOB(short_read),     KNOB(short_write),     KNOB(again),         KNOB(spurious_event),
    KNOB(interrupted),    KNOB(connect_at_once), KNOB(reset_drops),   KNOB(accept_error),
    KNOB(send_error),     KNOB(recv_error),      KNOB(connect_error), KNOB(alloc_error),
    KNOB(thread_error),   KNOB(sock_error),      KNOB(alloc_fail_at), KNOB(descriptors),
    KNOB(dgram_lost),     KNOB(dgram_twice),     KNOB(pipe_bytes),    KNOB(latency_ns),
    KNOB(jitter_ns),      KNOB(reuseport_balances), KNOB(late_close), KNOB(wall_jump),
    KNOB(late_send),
    KNOB(lost_peer),      KNOB(wait_error),      KNOB(dgram_cut),
    KNOB(no_ipv6),        KNOB(no_trains),          KNOB(want_error),
    KNOB(rare_error),
};

#define KNOBS (sizeof(knobs) / sizeof(knobs[0]))

const char *gnp_sim_knob_name(unsigned i)
{
    return i < KNOBS ? knobs[i].name : NULL;
}

static const knob *named(const char *name)
{
    size_t i;

    for (i = 0; i < KNOBS; i++) {
        if (strcmp(knobs[i].name, name) == 0)
            return &knobs[i];
    }
    return NULL;
}

/* Each is an unsigned number of four or eight bytes, or an int that is never negative. */
int gnp_sim_knob_get(const gnp_sim_knobs *k, const char *name, uint64_t *value)
{
    const knob *at = named(name);
    uint32_t v32;

    if (at == NULL)
        return -1;
    if (at->size == sizeof(*value)) {
        memcpy(value, (const char *)k + at->offset, sizeof(*value));
        return 0;
    }
    memcpy(&v32, (const char *)k + at->offset, sizeof(v32));
    *value = v32;
    return 0;
}

int gnp_sim_knob_set(gnp_sim_knobs *k, const char *name, uint64_t value)
{
    const knob *at = named(name);
    uint32_t v32 = (uint32_t)value;

    if (at == NULL || (at->size == sizeof(v32) && value > INT32_MAX))
        return -1;
    if (at->size == sizeof(value))
        memcpy((char *)k + at->offset, &value, sizeof(value));
    else
        memcpy((char *)k + at->offset, &v32, sizeof(v32));
    return 0;
}

void gnp_sim_turn(const char *name, uint64_t value)
{
    if (gnp_sim_knob_set(&sim.knobs, name, value) != 0)
        gnp_sim_fail("there is no knob %s, or it cannot be %llu", name, (unsigned long long)value);
}

/* ------------------------------------------------------------------ drawing */

/* On in one world of three, and then often, now and then or seldom. */
static unsigned draw(void)
{
    static const unsigned often[] = { 300, 60, 10, 2 };

    return gnp_sim_below(3) != 0 ? 0 : often[gnp_sim_below(4)];
}

static void draw_harmless(gnp_sim_knobs *k)
{
    static const unsigned switches[] = { 512, 128, 32, 8, 2, 1 };
    static const size_t pipes[] = { 1, 7, 100, 1500, 4096, 65536, 262144 };

    k->switch_point = switches[gnp_sim_below(6)];
    k->spurious_cond = draw();
    k->slow_call = draw() / 8;
    k->slow_call_ns = UINT64_C(1000) << gnp_sim_below(20);
    k->short_read = draw();
    k->short_write = draw();
    k->again = draw();
    k->spurious_event = draw();
    k->interrupted = draw();
    k->connect_at_once = draw();
    k->reset_drops = gnp_sim_below(2) ? 1024 : 0;
    k->pipe_bytes = pipes[gnp_sim_below(7)];
    k->latency_ns = UINT64_C(1000) << gnp_sim_below(16); /* 1 us to 32 ms */
    k->jitter_ns = gnp_sim_below(2) ? k->latency_ns * (1 + gnp_sim_below(4)) : 0;
    k->reuseport_balances = (int)gnp_sim_below(2);
}

static void draw_harm(gnp_sim_knobs *k)
{
    k->accept_error = draw();
    k->send_error = draw() / 8;
    k->recv_error = draw() / 8;
    k->connect_error = draw();
    k->alloc_error = draw() / 8;
    k->thread_error = draw();
    k->sock_error = draw() / 4;
    k->alloc_fail_at = gnp_sim_below(4) == 0 ? 1 + gnp_sim_below(600) : 0;
    k->descriptors = gnp_sim_below(4) == 0 ? 8 + (unsigned)gnp_sim_below(24) : 0;
    k->dgram_lost = draw();
    k->dgram_twice = draw();
}

/* Came later: drawn after the rest, so that a seed's other knobs are what they were. */
static void draw_new(gnp_sim_knobs *k, int harm)
{
    k->late_close = draw() * 3;
    k->wall_jump = draw();
    if (harm) {
        k->lost_peer = draw() / 4;
        k->dgram_cut = draw() / 4;
    }
    k->late_send = draw() * 3;
}

void gnp_sim_draw(gnp_sim_knobs *k, uint64_t seed, int harm)
{
    uint64_t before = sim.rng;

    sim.rng = seed ^ UINT64_C(0x5DEECE66D1234567);
    memset(k, 0, sizeof(*k));
    draw_harmless(k);
    if (harm)
        draw_harm(k);
    draw_new(k, harm);
    sim.rng = before;
}
