/* SPDX-License-Identifier: MIT */
/*
 * The simulated system, as tests see it.  A world is one process on one simulated host: threads that run one
 * at a time, a clock that jumps, a network, and faults; all of it follows from a seed.  What runs is the
 * core itself, compiled with GNP_SIM so that each atomic operation, too, is a point where the
 * seed may let another thread go on.
 *
 * Not simulated: memory order (every thread sees every store at once); sends that are in flight;
 * fast open, deferred accepts, sharing a port by CPU (they say GNP_ENOTSUP); processes.
 */
#ifndef GNP_SIM_H
#define GNP_SIM_H

#include <stddef.h>
#include <stdint.h>

/* What can go wrong.  Chances are of 1,024 calls, 0: never. */
typedef struct gnp_sim_knobs {
    /* Schedule and clock. */
    unsigned switch_point;   /* another thread goes on at a platform call or an atomic operation */
    unsigned spurious_cond;  /* a wait for a condition returns without a signal */
    unsigned slow_call;      /* a call takes up to slow_call_ns longer: preempted, paged out */
    uint64_t slow_call_ns;

    /* What the contract of poll.h allows at any time: a correct core loses nothing by these. */
    unsigned short_read;
    unsigned short_write;
    unsigned again;          /* GNP_AGAIN although there is something, or room */
    unsigned spurious_event;
    unsigned interrupted;    /* a wait ends early without an event */
    unsigned connect_at_once;/* a TCP connect that succeeds says so at once */
    unsigned reset_drops;    /* of 1,024 resets: what came before it and is unread goes as well */
    unsigned late_close;     /* a close takes a while, and CLOSED follows */
    unsigned late_send;      /* a send of pinned memory takes a while, and SENT follows */
    unsigned wall_jump;      /* the wall clock jumps by up to an hour, either way */

    /* What may cost a connection or a call: counted in gnp_sim_faults. */
    unsigned accept_error;
    unsigned send_error;
    unsigned recv_error;
    unsigned connect_error;
    unsigned alloc_error;
    unsigned thread_error;
    unsigned sock_error;     /* listen, attach, poller_open, reserve_take, dup */
    unsigned lost_peer;      /* of 1,024 connections: the other host vanishes; it takes a while to be known */
    unsigned want_error;     /* a change of interest fails.  Never drawn */
    unsigned rare_error;     /* so does what hardly ever does: detach, sock_peer, signal_hold.  Never drawn */
    unsigned wait_error;     /* a wait fails: that poller, and its loop, are at their end.  Never drawn */
    uint64_t alloc_fail_at;  /* the allocation of that number fails, counted from 1; 0: none */
    unsigned descriptors;    /* most at a time; 0: no limit */

    /* Datagrams. */
    unsigned dgram_lost, dgram_twice;
    unsigned dgram_cut;      /* what comes is only the beginning of it, and said to be */

    /* The network. */
    size_t pipe_bytes;       /* a stream holds so much per direction: on its way and unread */
    uint64_t latency_ns;     /* least time of one way */
    uint64_t jitter_ns;      /* up to so much more, each time */
    int reuseport_balances;
    unsigned no_ipv6;        /* 1: the host has none; 2: it has, but no address of it;
                                3: its sockets for every address take no IPv4 */
    unsigned no_trains;      /* datagrams to be cut: 1: ENOTSUP, 2: EIO, 3: EINVAL, 4: EMSGSIZE */
} gnp_sim_knobs;

/* Draws from the seed which knobs are on, and how far.  harm 0: only those that cost nothing.  All zero is
 * fine as well: nothing goes wrong, and who runs next is chosen only when a thread waits. */
void gnp_sim_draw(gnp_sim_knobs *out, uint64_t seed, int harm);

/* Knobs by the names of their members, for command lines: the i-th name, NULL after the last; -1 for a name
 * that is none, or a number that does not fit. */
const char *gnp_sim_knob_name(unsigned i);
int gnp_sim_knob_get(const gnp_sim_knobs *k, const char *name, uint64_t *value);
int gnp_sim_knob_set(gnp_sim_knobs *k, const char *name, uint64_t value);

typedef struct gnp_sim_config {
    uint64_t seed;
    gnp_sim_knobs knobs;
    uint64_t limit_ns;     /* virtual time after which the world counts as hung; 0: an hour */
    uint64_t limit_points; /* steps after which it does; 0: 50 million */
    unsigned host_s;       /* real seconds after which it does: a loop without a point; 0: 30 */
    int trace;             /* 1: every call goes to standard error */
    int in_place;          /* 1: not in a process of its own, for debuggers.  A failure aborts */
    const char *schedule;  /* not NULL: who runs is not chance but this, see gnp_sim_explore */
} gnp_sim_config;

typedef struct gnp_sim_result {
    int failed;
    uint64_t hash;      /* over all calls, their results, and all switches */
    uint64_t points, switches, allocs, faults;
    uint64_t virtual_ns;
    char what[600];     /* why it failed */
} gnp_sim_result;

/*
 * Makes a world, runs fn(arg) as its first thread, and looks when that returns that nothing is left: no
 * thread, memory, descriptor or path.  Each world is a process of its own (a copy of this one), so
 * that none sees what an older one left in static memory, and crashes and hangs are results.
 */
void gnp_sim_run(const gnp_sim_config *config, void (*fn)(void *arg), void *arg, gnp_sim_result *out);

/* Worlds beside each other: start returns at once, wait_any tells which of n (1 to GNP_SIM_JOBS_MAX) has
 * ended, and finish waits for it, gives what gnp_sim_run would have, and frees it.  in_place does not
 * count. */
typedef struct gnp_sim_job gnp_sim_job;
#define GNP_SIM_JOBS_MAX 64u
gnp_sim_job *gnp_sim_start(const gnp_sim_config *config, void (*fn)(void *arg), void *arg);
unsigned gnp_sim_wait_any(gnp_sim_job *const *jobs, unsigned n);
void gnp_sim_finish(gnp_sim_job *j, gnp_sim_result *out);

/*
 * The two halves of gnp_sim_run, for a test framework that has a process for each of its cases already: the
 * world is in this process, and the thread that begins it is its first.  A failure goes to standard error and
 * aborts, as with in_place.
 */
void gnp_sim_begin(const gnp_sim_config *config);
void gnp_sim_end(gnp_sim_result *out);

/*
 * All schedules of a small world instead of one that a seed draws.  Who runs is chosen where threads meet: at
 * atomic operations (but relaxed ones), locks, conditions, waits and wakes; between gnp_sim_focus(1) and (0)
 * only.  Elsewhere a thread goes on until it waits.  Those with fewer preemptions come first; the first
 * failure ends it.  The knobs should be zero, so that nothing but the schedule differs.
 */
typedef struct gnp_sim_schedules {
    unsigned preemptions; /* most of them in a schedule, up to 4; to hand over while waiting is none */
    uint64_t limit;       /* most schedules; 0: no limit */
    unsigned jobs;        /* worlds at a time */
} gnp_sim_schedules;

#define GNP_SIM_SCHEDULE_TEXT 256

typedef struct gnp_sim_explored {
    uint64_t schedules; /* that were run */
    uint64_t choices;   /* of the world that had most */
    uint64_t dropped;   /* schedules that were found but are too many or too long to keep */
    int complete;       /* 1: these were all */
    int failed;
    gnp_sim_result result;                /* of the one that failed, */
    char schedule[GNP_SIM_SCHEDULE_TEXT]; /* which this runs again as config.schedule */
} gnp_sim_explored;

void gnp_sim_explore(const gnp_sim_config *config, const gnp_sim_schedules *plan, void (*fn)(void *arg),
                     void *arg, gnp_sim_explored *out);

/* Everything below: on threads of the world only. */

/* Where gnp_sim_explore tries all schedules. */
void gnp_sim_focus(int on);

/* The world has failed: for oracles. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
_Noreturn void gnp_sim_fail(const char *format, ...);

/* Adds a number to the hash (and to the trace), so that two runs compare what the test saw as well. */
void gnp_sim_note(const char *what, int64_t a, int64_t b);

/* Those of this world, as they are now. */
const gnp_sim_knobs *gnp_sim_knobs_now(void);

/* A number below n. */
uint64_t gnp_sim_below(uint64_t n);

/* Faults so far that may have cost somebody a connection or a call. */
uint64_t gnp_sim_faults(void);

/* No fault of the kinds that cost something happens any more. */
void gnp_sim_heal(void);

/* From now on the knob of that name has this value: for faults at a moment of the test's choice. */
void gnp_sim_turn(const char *knob, uint64_t value);

/* Allocations and descriptors that are out now. */
uint64_t gnp_sim_blocks(void);
unsigned gnp_sim_descriptors(void);

/* Threads of the test, which no fault keeps from starting. */
typedef struct gnp_sim_thread gnp_sim_thread;
gnp_sim_thread *gnp_sim_spawn(void (*fn)(void *arg), void *arg, const char *name);
void gnp_sim_join(gnp_sim_thread *t);
void gnp_sim_sleep(uint64_t ns);

/* An environment variable as gnp_env will see it.  Borrowed. */
void gnp_sim_setenv(const char *name, const char *value);

/* A file that gnp_file_open finds.  Borrowed. */
void gnp_sim_file(const char *path, const void *data, size_t n);

/* What is at a path, a file or a socket of a Unix listener: is there something; it is removed; it gets
 * another name, in the place of what had it.  1 if it was there. */
int gnp_sim_exists(const char *path);
int gnp_sim_unlink(const char *path);
int gnp_sim_rename(const char *path, const char *to);

/* A signal comes to the process.  1: somebody holds, watches or has claimed it.  0: nobody, and it is left to
 * what the program had said about it.  -1: it is the second one, which ends the process. */
int gnp_sim_signal(int what);

/*
 * Peers: the other end of a connection, on another host, driven by a thread of the test.  No fault
 * of our host hits them.  They block in virtual time.
 */
typedef struct gnp_sim_peer gnp_sim_peer;
enum { GNP_SIM_EOF = -2, GNP_SIM_RESET = -15, GNP_SIM_TIMEOUT = -18, GNP_SIM_REFUSED = -14 };

/* addr: "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@name".  NULL and *why when nobody answers. */
gnp_sim_peer *gnp_sim_connect(const char *addr, int *why);
/* All n bytes: 0, or GNP_SIM_RESET or GNP_SIM_TIMEOUT; *sent (may be NULL) tells how many went. */
int gnp_sim_send(gnp_sim_peer *p, const void *data, size_t n, size_t *sent);
/* What there is, at least a byte: how many, GNP_SIM_EOF, GNP_SIM_RESET, or GNP_SIM_TIMEOUT when nothing came
 * for so long. */
int64_t gnp_sim_recv(gnp_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns);
void gnp_sim_half_close(gnp_sim_peer *p);
/* Sends n bytes of any kind as fast as they go, until that takes longer than timeout_ns: how many went. */
uint64_t gnp_sim_flood(gnp_sim_peer *p, uint64_t n, uint64_t timeout_ns);
/* Of what p has sent and is still on its way, `arrives` bytes arrive at once; then the connection is cut. */
void gnp_sim_cut(gnp_sim_peer *p, size_t arrives);
/* on: nothing gets through between p and the other end, either way, until off; no byte is lost. */
void gnp_sim_stall(gnp_sim_peer *p, int on);
/* The same for all connections between hosts; datagrams are lost and nobody can connect. */
void gnp_sim_partition(int on);
/* The host of p is gone without a word: after 1 to 20 s the other end hears of a time-out. */
void gnp_sim_vanish(gnp_sim_peer *p);
/* The connection is cut, also for threads that are inside a call on p; part of what it sent last may never
 * arrive.  It still has to be closed. */
void gnp_sim_reset(gnp_sim_peer *p);
/* Closes and frees it. */
void gnp_sim_close(gnp_sim_peer *p, int reset);

/* A peer that listens where others dial; accept gives NULL after timeout_ns. */
typedef struct gnp_sim_server gnp_sim_server;
gnp_sim_server *gnp_sim_listen(const char *addr, int backlog);
gnp_sim_peer *gnp_sim_accept(gnp_sim_server *l, uint64_t timeout_ns);
void gnp_sim_server_close(gnp_sim_server *l);

/* A peer that sends and takes datagrams. */
gnp_sim_peer *gnp_sim_dgram(const char *bind);
int gnp_sim_sendto(gnp_sim_peer *p, const char *to, const void *data, size_t n);
int64_t gnp_sim_recvfrom(gnp_sim_peer *p, void *out, size_t cap, uint64_t timeout_ns);

/* The host's own clock, for rates; not for what happens in a world. */
uint64_t gnp_sim_host_now(void);

#endif
