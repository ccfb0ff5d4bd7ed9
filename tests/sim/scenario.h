/* SPDX-License-Identifier: MIT */
/* Scenarios: small programs on the library in a simulated world, with oracles. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stddef.h>
#include <stdint.h>

#include "include/gannet.h"
#include "platform/sim/sim.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

typedef struct scenario {
    const char *name;
    void (*run)(void *arg); /* draws what it does from the world's seed */
} scenario;

extern const scenario scenario_binds;
extern const scenario scenario_bounds;
extern const scenario scenario_broadcast;
extern const scenario scenario_corners;
extern const scenario scenario_cuts;
extern const scenario scenario_datagrams;
extern const scenario scenario_dial;
extern const scenario scenario_echo;
extern const scenario scenario_edges;
extern const scenario scenario_engines;
extern const scenario scenario_famine;
extern const scenario scenario_flow;
extern const scenario scenario_framing;
extern const scenario scenario_listeners;
extern const scenario scenario_migration;
extern const scenario scenario_offload;
extern const scenario scenario_pipeline;
extern const scenario scenario_planted; /* for the tests of the runner */
extern const scenario scenario_pool;
extern const scenario scenario_post;
extern const scenario scenario_proxy;
extern const scenario scenario_stop;
extern const scenario scenario_strays;
extern const scenario scenario_timers;
extern const scenario scenario_watch;

/* Small ones, for all schedules. */
extern const scenario small_blocked, small_cancel, small_close, small_crowded, small_gate, small_idle,
    small_inherit, small_log, small_migrate, small_place, small_posters, small_release, small_seat,
    small_stop, small_store, small_twins, small_undo, small_wake;
extern const scenario small_planted; /* for the tests of the runner */

/* ------------------------------------------------------------------- common */

/* Fails the world unless ok. */
#define must(ok, ...) ((ok) ? (void)0 : gnp_sim_fail(__VA_ARGS__))

/* 1 in n. */
int one_in(unsigned n);

/* One of the numbers. */
size_t pick(const size_t *of, size_t n);

/* Options that differ from world to world but serve every program. */
void draw_options(gn_options *o);

/* An address to listen on, any transport of streams. */
const char *draw_stream_address(void);

/* What peers connect to: address i of the engine as text. */
void peer_address(const gn_engine *e, unsigned i, char *out, size_t cap);

/* Byte number i of the stream that key names. */
unsigned char stream_byte(uint32_t key, uint64_t i);
void stream_fill(uint32_t key, uint64_t from, unsigned char *out, size_t n);

/* Creates, listens and starts; NULL if a fault prevented it (then all is cleaned up). */
gn_engine *serve(const gn_handler *h, void *user, const gn_options *o, const char *addr);
/* Stops, joins, destroys.  The reason of join must be GN_OK unless faults were injected. */
void finish(gn_engine *e, uint64_t drain_ns);

/* How much later than it should a loop may do something: calls that are slow add up. */
uint64_t tardiness(void);

/* For tests that do one thing at a time.  Waits until *flag is not 0, or fails. */
void await(const int *flag, const char *what);
/* Calls fn(arg) on loop i, and returns when it has. */
void on_loop(const gn_engine *e, unsigned i, void (*fn)(void *arg), void *arg);
/* serve, where nothing can prevent it. */
gn_engine *serve_well(const gn_handler *h, void *user, const gn_options *o, const char *addr);
/* Sends text, all of which comes back. */
void expect_echo(gnp_sim_peer *p, const char *text);

/* Threads of user code. */
typedef struct crew {
    gnp_sim_thread *threads[64];
    unsigned n;
} crew;
void crew_add(crew *c, void (*fn)(void *arg), void *arg, const char *name);
void crew_join(crew *c);

#endif
