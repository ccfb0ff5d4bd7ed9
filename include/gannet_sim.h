/* SPDX-License-Identifier: MIT */
/*
 * gannet in a simulated system: a server runs unchanged in a world whose clock, threads, network and faults
 * all follow from a number, the seed.  A seed that fails fails again, at the same step, as often as it is
 * asked.
 *
 * Link with libgannet_sim instead of libgannet (pkg-config gannet_sim); the program and <gannet.h> stay as
 * they are.  Installed by ./configure --enable-sim.  For tests only: nothing here reaches a real network.
 *
 * A world is one process on one simulated host.  Its threads run one at a time, and every call of gannet
 * is a point where the seed may let another one go on.  What the program does beside gannet must follow
 * from the seed too: random numbers from gn_sim_below, time from gn_now and gn_sim_sleep, threads from
 * gn_sim_spawn.
 *
 * Beside the tags of gannet.h:
 *
 *   [test]   on the thread that called gn_sim_run, outside of worlds
 *   [world]  on any thread of a world: in the function that gn_sim_run was given, in what gn_sim_spawn
 *            started, and in the callbacks of gannet
 *
 * All of gannet.h but gn_version, gn_strerror and the init functions is for threads of a world.
 * Not simulated: memory order (every thread sees every store at once), TCP fast open, deferred accepts and
 * sharing a port by CPU (they say GN_ENOTSUP), other processes.
 */
#ifndef GANNET_SIM_H
#define GANNET_SIM_H

#include <gannet.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- worlds */

/* Draw also what may cost somebody a connection or a call.  Without it only what a correct program does not
 * notice: short reads and writes, threads that take turns, late and spurious events, slow networks. */
#define GN_SIM_HARM 1

/*
 * What can go wrong.  Chances are of 1,024 calls, 0 is never.  Fill it with gn_sim_knobs_init (nothing goes
 * wrong) or gn_sim_knobs_draw, then change what you want.
 */
typedef struct gn_sim_knobs {
    size_t size; /* set by gn_sim_knobs_init */
    /* Schedule and clock. */
    unsigned switch_point;    /* another thread goes on at a call */
    unsigned spurious_cond;   /* a wait for a condition returns without a signal */
    unsigned slow_call;       /* a call takes up to slow_call_ns longer */
    uint64_t slow_call_ns;
    /* What a correct program does not notice. */
    unsigned short_read;
    unsigned short_write;
    unsigned again;           /* a socket that was ready is not */
    unsigned spurious_event;
    unsigned interrupted;     /* a wait ends early without an event */
    unsigned connect_at_once; /* a dial over TCP succeeds at once */
    unsigned reset_drops;     /* of 1,024 resets: what came before it and is unread goes as well */
    /* What may cost a connection or a call: counted by gn_sim_faults. */
    unsigned accept_error;
    unsigned send_error;
    unsigned recv_error;
    unsigned connect_error;
    unsigned alloc_error;
    unsigned thread_error;
    unsigned sock_error;      /* listening, and what the system does for sockets beside the above */
    uint64_t alloc_fail_at;   /* the allocation of that number fails, counted from 1; 0: none */
    unsigned descriptors;     /* most at a time; 0: no limit */
    unsigned dgram_lost, dgram_twice;
    /* The network. */
    size_t pipe_bytes;        /* a stream holds so much per direction, on its way and unread */
    uint64_t latency_ns;      /* least time of one way */
    uint64_t jitter_ns;       /* up to so much more, each time */
    int reuseport_balances;   /* reuseport of gn_options spreads connections over the loops */
} gn_sim_knobs;

/* [any] Nothing goes wrong: a stream holds 64 KiB, and each way takes 50 microseconds. */
GN_API void gn_sim_knobs_init_sized(gn_sim_knobs *k, size_t size);
#define gn_sim_knobs_init(k) gn_sim_knobs_init_sized((k), sizeof(gn_sim_knobs))

/* [any] Draws from the seed which knobs are on and how far; flags: 0 or GN_SIM_HARM.  k must have been
 * initialised.  GN_EINVAL. */
GN_API int gn_sim_knobs_draw(gn_sim_knobs *k, uint64_t seed, unsigned flags);

/* Fill it with gn_sim_options_init, then change what you want. */
typedef struct gn_sim_options {
    size_t size;               /* set by gn_sim_options_init */
    uint64_t seed;             /* all follows from it; 1 */
    const gn_sim_knobs *knobs; /* borrowed for the call; NULL: drawn from the seed */
    unsigned flags;            /* of the draw */
    uint64_t limit_ns;         /* simulated time after which the world counts as hung; an hour */
    uint64_t limit_points;     /* calls after which it does; 50 million */
    unsigned host_s;           /* real seconds after which it does: a loop without a call; 30 */
    int trace;                 /* 1: every call goes to standard error, and the log of gannet too */
    int in_place;              /* 1: not in a process of its own, for debuggers; a failure aborts */
} gn_sim_options;

/* [any] Fills in the defaults. */
GN_API void gn_sim_options_init_sized(gn_sim_options *o, size_t size);
#define gn_sim_options_init(o) gn_sim_options_init_sized((o), sizeof(gn_sim_options))

/* Fill it with gn_sim_result_init. */
typedef struct gn_sim_result {
    size_t size;         /* set by gn_sim_result_init */
    int failed;
    uint64_t hash;       /* over all calls, their results and all switches: equal for equal runs */
    uint64_t points;     /* calls at which another thread might have gone on */
    uint64_t switches;   /* and did */
    uint64_t allocs, faults;
    uint64_t virtual_ns; /* how long it took, in its own time */
    char what[600];      /* why it failed; "" if it did not */
} gn_sim_result;

/* [any] Empties it. */
GN_API void gn_sim_result_init_sized(gn_sim_result *r, size_t size);
#define gn_sim_result_init(r) gn_sim_result_init_sized((r), sizeof(gn_sim_result))

/*
 * [test] Makes a world, runs fn(arg) as its first thread, and looks when that returns that nothing is left:
 * no thread, no memory of gannet or gn_sim_malloc, no descriptor, no Unix path.  Each world is a process of
 * its own, a copy of this one, so what it does to memory is gone afterwards, and crashes and hangs are
 * results.  The options may be NULL.  At most *out's size is written.  GN_OK also when the world failed;
 * GN_EINVAL.
 */
GN_API int gn_sim_run(const gn_sim_options *options, void (*fn)(void *arg), void *arg, gn_sim_result *out);

/*
 * [test] A main for a test: a world of fn(arg) for each seed, and a line for each that fails.  Flags of its
 * command line: --seed N, --seeds A..B (1..200), --harm 0 or 1 (without it, odd seeds draw with
 * GN_SIM_HARM), --trace, --in-place, --twice (each world again: it must have the same hash), --quiet.
 * Environment variable GANNET_SIM_SEED: the same as --seed, for a test that others start.  Gives the exit
 * status: 0, 1 if a world failed, 2 if the command line makes no sense.
 */
GN_API int gn_sim_main(int argc, char **argv, void (*fn)(void *arg), void *arg);

/* ---------------------------------------------------------------- inside */

/* [world] The world has failed; does not return. */
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 1, 2)))
#endif
GN_API void gn_sim_fail(const char *format, ...);

/* The same unless ok. */
#define gn_sim_must(ok, ...) ((ok) ? (void)0 : gn_sim_fail(__VA_ARGS__))

/* [world] A number below n, by the seed; 0 if n is 0. */
GN_API uint64_t gn_sim_below(uint64_t n);

/* [world] Adds to the hash and to the trace what the test saw, so that two runs compare that as well. */
GN_API void gn_sim_note(const char *what, int64_t a, int64_t b);

/* [world] The knobs of this world as they are now.  k must have been initialised.  GN_EINVAL. */
GN_API int gn_sim_knobs_now(gn_sim_knobs *k);

/* [world] Faults so far that may have cost somebody a connection or a call. */
GN_API uint64_t gn_sim_faults(void);

/* [world] No fault of that kind happens any more. */
GN_API void gn_sim_heal(void);

/* [world] Allocations, and descriptors, that are out now. */
GN_API uint64_t gn_sim_blocks(void);
GN_API unsigned gn_sim_descriptors(void);

/* [world] Starts a thread of the test, which no fault prevents.  Join each. */
typedef struct gn_sim_thread gn_sim_thread;
GN_API gn_sim_thread *gn_sim_spawn(void (*fn)(void *arg), void *arg, const char *name);
GN_API void gn_sim_join(gn_sim_thread *t);

/* [world] Sleeps in simulated time, which costs none of yours. */
GN_API void gn_sim_sleep(uint64_t ns);

/* [world] A variable of the environment as gannet sees it; at first there is none.  Both are borrowed. */
GN_API void gn_sim_setenv(const char *name, const char *value);

/* [world] A file that gn_conn_send_file can open.  Both are borrowed. */
GN_API void gn_sim_file(const char *path, const void *data, size_t n);

/* [world] The process gets the signal.  1: gannet takes it; 0: nobody does, and it is left to what the
 * program had said about it; -1: it is the second one, which ends the process. */
GN_API int gn_sim_signal(gn_signal s);

/* [world] The memory functions of C for the program under test: refused when the seed says so, filled with
 * rubbish, and missed when they are not given back.  Compile it with -Dmalloc=gn_sim_malloc and so on. */
GN_API void *gn_sim_malloc(size_t n);
GN_API void *gn_sim_calloc(size_t count, size_t n);
GN_API void *gn_sim_realloc(void *p, size_t n);
GN_API void gn_sim_free(void *p);

/* ---------------------------------------------------------------- peers */

/*
 * A peer is the other end of a connection, on another host, driven by threads of the test.  No fault of our
 * host hits it, and the calls below wait in simulated time.  To read slowly, sleep between calls.  Addresses
 * are those of gn_engine_url and gn_addr_format: "tcp://127.0.0.1:80", "[::1]:80", "unix:///path".
 */
typedef struct gn_sim_peer gn_sim_peer;

/* [world] Connects; NULL and *why (may be NULL) when nobody answers. */
GN_API gn_sim_peer *gn_sim_peer_connect(const char *addr, int *why);

/* [world] Sends all n bytes.  GN_ECONNRESET; *sent (may be NULL) tells how many went. */
GN_API int gn_sim_peer_send(gn_sim_peer *p, const void *data, size_t n, size_t *sent);

/* [world] Receives what there is, at least a byte: how many, GN_EOF, GN_ECONNRESET, or GN_ETIMEDOUT when
 * nothing came for so long. */
GN_API int64_t gn_sim_peer_recv(gn_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns);

/* [world] Ends its stream; it may still receive. */
GN_API void gn_sim_peer_half_close(gn_sim_peer *p);

/* [world] Cuts the connection, also for threads that are inside a call on p; part of what it sent last may
 * never arrive.  It must still be closed. */
GN_API void gn_sim_peer_reset(gn_sim_peer *p);

/* [world] Closes it, in order or by a reset, and frees it. */
GN_API void gn_sim_peer_close(gn_sim_peer *p, int reset);

/* [world] A peer that listens where gn_dial goes.  accept gives NULL after timeout_ns. */
typedef struct gn_sim_server gn_sim_server;
GN_API gn_sim_server *gn_sim_server_listen(const char *addr, int backlog);
GN_API gn_sim_peer *gn_sim_server_accept(gn_sim_server *s, uint64_t timeout_ns);
GN_API void gn_sim_server_close(gn_sim_server *s);

/* [world] A peer for datagrams.  sendto: GN_OK, or the error that the system would give; recvfrom: the length
 * of the datagram, of which cap bytes were written at most, or GN_ETIMEDOUT. */
GN_API gn_sim_peer *gn_sim_peer_bind(const char *addr);
GN_API int gn_sim_peer_sendto(gn_sim_peer *p, const char *to, const void *data, size_t n);
GN_API int64_t gn_sim_peer_recvfrom(gn_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns);

#ifdef __cplusplus
}
#endif
#endif
