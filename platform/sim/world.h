/* SPDX-License-Identifier: MIT */
/* Inside of the simulated system. */
#ifndef GNP_SIM_WORLD_H
#define GNP_SIM_WORLD_H

#include "../platform.h"
#include "../backend.h"
#include "sim.h"

/* Something that happens at a time.  Embedded in what it is about. */
typedef struct sim_event {
    uint64_t at, seq; /* total order */
    void (*fn)(struct sim_event *e);
    size_t pos; /* in the heap, from 1; 0: not there */
} sim_event;

/* A host thread that runs only while it has the baton. */
struct gnp_sim_thread;
typedef struct gnp_sim_thread sim_thread;

typedef struct sim_world {
    gnp_sim_knobs knobs;
    uint64_t seed, rng;
    uint64_t now, hash, points, switches, faults;
    uint64_t limit_ns, limit_points;
    uint64_t seq; /* of events */
    sim_event **heap;
    size_t heap_n, heap_cap;
    sim_thread *threads; /* all that are not joined, in order of their start */
    unsigned threads_made;
    int live, trace, quiet;
    int partitioned; /* nothing gets through, but between Unix sockets */
    uint64_t wall_ns; /* added to the wall clock, modulo 2^64 */
    int scheduled; /* who runs is chosen by schedule.c, not by chance */
    uint64_t allocs, blocks, bytes;
    unsigned descriptors;
    int result_fd; /* where a world in a process of its own tells; -1 */
} sim_world;

#define SIM_START_NS UINT64_C(1000000000) /* of the monotonic clock */

extern sim_world gnp_sim_w;
#define sim gnp_sim_w

/* ------------------------------------------------------------------ world.c */

uint64_t gnp_sim_rand(void);
int gnp_sim_chance(unsigned of_1024);
/* A fault of a kind that may cost something; counts it. */
int gnp_sim_fault(unsigned of_1024);
/* The same of rare_error. */
int gnp_sim_rarely(void);
/* One of the codes when it happens, GNP_OK otherwise. */
int gnp_sim_misfortune(unsigned of_1024, const int *codes, size_t n);
#define SIM_MISFORTUNE(chance, ...) \
    gnp_sim_misfortune(chance, (const int[]){ __VA_ARGS__ }, \
                       sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))
/* Adds a call to hash and trace. */
void gnp_sim_mark(const char *call, int64_t a, int64_t b, int64_t result);
#define SIM_NOTE INT64_MIN /* as the result: it is the test's */

/* posix/baton.c or baton_plain.c: what a thread of the host waits for.  Passed once, taken once. */
typedef struct gnp_sim_baton gnp_sim_baton;
gnp_sim_baton *gnp_sim_baton_new(void);
void gnp_sim_baton_free(gnp_sim_baton *b);
void gnp_sim_baton_pass(gnp_sim_baton *b);
void gnp_sim_baton_take(gnp_sim_baton *b);

/* The world's process has one CPU from now on, where the host can do that. */
void gnp_sim_one_cpu(void);

/* ------------------------------------------------------------------ trace.c */

/* One line of it. */
void gnp_sim_trace(const char *call, int64_t a, int64_t b, int64_t result);

void gnp_sim_at(sim_event *e, uint64_t at, void (*fn)(sim_event *e));
void gnp_sim_cancel(sim_event *e);
/* Runs what is due.  1 if there was something. */
int gnp_sim_due(void);

/* ----------------------------------------------------------------- thread.c */

/* A point where another thread may go on: at each platform call. */
void gnp_sim_call(void);
/* The same where threads meet: the points that matter to a schedule. */
void gnp_sim_meet(void);
/* Lets others go first. */
void gnp_sim_pass(void);
/* Sleeps until gnp_sim_wake(on) or the time; 1 if it was the time. */
int gnp_sim_block(const void *on, const char *what, uint64_t deadline_ns);
void gnp_sim_wake(const void *on);
void gnp_sim_begin_threads(void);
void gnp_sim_end_threads(void); /* fails the world when one is left */
unsigned gnp_sim_self(void);    /* number of this thread, from 1; 0: not of the world */
const char *gnp_sim_thread_name(unsigned id); /* "": none that is left */

/* ------------------------------------------------------------------- late.c */

typedef struct sim_flight sim_flight;
typedef struct sim_late sim_late;
/* Takes what was in flight on s, if any. */
void gnp_sim_late_close(sim_late **list, gnp_poller *p, gnp_sock *s, sim_flight *flight);
int gnp_sim_late_events(sim_late **list, gnp_event *events, int cap);

/* ----------------------------------------------------------------- flight.c */

struct sim_file;
void gnp_sim_flight_start(sim_flight **list, gnp_poller *p, gnp_sock *s, struct sim_file *f,
                          const gnp_iov *iov, unsigned count);
int gnp_sim_flight_has(const sim_flight *list, const gnp_sock *s);
/* Goes on with those that can; the events of those that have ended. */
int gnp_sim_flight_events(sim_flight **list, gnp_event *events, int cap);
/* Takes that of s out, or NULL; ends one whose memory must be as it was. */
sim_flight *gnp_sim_flight_take(sim_flight **list, const gnp_sock *s);
void gnp_sim_flight_end(sim_flight *t);

/* --------------------------------------------------------------- schedule.c */

void gnp_sim_schedule_begin(const char *text);
/* One of so many ways, the first of which is the default. */
unsigned gnp_sim_choose(unsigned ways, int preempts);
/* How many ways there were at each choice. */
size_t gnp_sim_trail(const void **out);
/* gnp_sim_finish that gives that as well, at most cap of it. */
size_t gnp_sim_finish_with(gnp_sim_job *j, gnp_sim_result *out, void *trail, size_t cap);

/* ------------------------------------------------------------------- file.c */

typedef struct sim_watch { /* a file is attached to a poller */
    struct sim_watch *next;
    gnp_poller *poller;
    struct sim_file *file;
} sim_watch;

enum { SIM_STREAM = 1, SIM_LISTENER, SIM_DGRAM, SIM_DATA, SIM_OTHER };

/* What a descriptor stands for. */
typedef struct sim_file {
    uint8_t kind, family;
    unsigned refs;
    int ours;            /* of the simulated process, not of a peer */
    gnp_addr local, peer;
    sim_watch *watches;
    int64_t opts[32];
    uint32_t opts_set;
    /* SIM_STREAM */
    struct sim_conn *conn; /* NULL while it connects, and after that failed */
    unsigned side;
    int connecting, connect_code;
    struct sim_dial *dial;
    /* SIM_LISTENER and SIM_DGRAM */
    struct sim_file *next;  /* all that are bound */
    struct sim_file **queue;/* connections that wait */
    unsigned queued, backlog, queue_cap;
    int shared, v6only, reuseaddr;
    struct sim_packet *first, *last;
    size_t packets, packets_max;
    int error;              /* of an ICMP message */
    int connected;          /* a datagram socket */
    gnp_addr groups[8];
    unsigned group_count;
    /* SIM_DATA */
    const unsigned char *data;
    size_t size;
} sim_file;

sim_file *gnp_sim_file_new(int kind, int family, int ours);
void gnp_sim_file_unref(sim_file *f, int reset);
/* The lowest free descriptor for f, or GNP_EMFILE. */
int gnp_sim_open(sim_file *f, intptr_t *os);
sim_file *gnp_sim_get(intptr_t os); /* fails the world for one that is not open */
sim_file *gnp_sim_look(intptr_t os);/* NULL for one that is not open */
void gnp_sim_shut(intptr_t os, int reset);
void gnp_sim_end_files(void);

/* Tells who waits for something on f. */
void gnp_sim_kick(sim_file *f);

/* -------------------------------------------------------------------- net.c */

/* What the system would report. */
enum { SIM_IN = 1, SIM_OUT = 2, SIM_HUP = 4 };
unsigned gnp_sim_ready(const sim_file *f);

int gnp_sim_bind(sim_file *f, const gnp_addr *a, int shared); /* and makes it known */
int gnp_sim_bind_early(sim_file *f, const gnp_addr *a);       /* of a stream that will connect */
void gnp_sim_unbind(sim_file *f);
/* GNP_OK, GNP_INFLIGHT, or an error. */
int gnp_sim_dial(sim_file *f, const gnp_addr *to);
void gnp_sim_dial_cancel(sim_file *f);
int gnp_sim_stream_send(sim_file *f, const gnp_iov *iov, unsigned count, size_t max, size_t *sent);
int gnp_sim_stream_recv(sim_file *f, void *out, size_t cap, size_t *n);
void gnp_sim_stream_ride(sim_file *f, size_t n, sim_file *file);
sim_file *gnp_sim_stream_rider(sim_file *f);
void gnp_sim_stream_end(sim_file *f);            /* FIN */
void gnp_sim_stream_close(sim_file *f, int reset);
void gnp_sim_stream_break(sim_file *f, int code); /* both ends will see that it is gone */
void gnp_sim_stream_cut(sim_file *f, size_t arrives);
void gnp_sim_stream_stall(sim_file *f, int on);
void gnp_sim_stream_vanish(sim_file *f);
int gnp_sim_stream_connected(const sim_file *f);
size_t gnp_sim_stream_unread(const sim_file *f);
void gnp_sim_listener_close(sim_file *f);
void gnp_sim_dgram_close(sim_file *f);
void gnp_sim_begin_net(void);
void gnp_sim_end_net(void);

typedef struct sim_packet {
    struct sim_packet *next;
    sim_event ev;
    gnp_addr from, to;
    size_t len, segment; /* > 0: a train of datagrams of this size */
    int cut;             /* the rest is lost */
    unsigned char data[];
} sim_packet;
int gnp_sim_dgram_send(sim_file *f, const gnp_addr *to, const void *data, size_t n, size_t segment);

int gnp_sim_addr_same(const gnp_addr *a, const gnp_addr *b); /* without port */
uint64_t gnp_sim_latency(void);

/* ------------------------------------------------------------------- sock.c */

/* Keeps code for gnp_os_error and gives it back. */
int gnp_sim_error(int code);
/* A stream or datagram socket that will connect. */
int gnp_sim_make(gnp_sock *s, int kind, int family, const gnp_addr *local, const gnp_sock_opts *o);
int gnp_sim_path_bind(sim_file *f, const gnp_addr *a, gnp_bound *out);
int gnp_sim_path_find(const gnp_addr *a, sim_file **out);
void gnp_sim_path_leave(const sim_file *f);
void gnp_sim_path_remove(const gnp_addr *a);
void gnp_sim_begin_paths(void);
void gnp_sim_end_paths(void); /* fails the world when a socket's is left */

/* -------------------------------------------------------------------- sys.c */

void gnp_sim_begin_sys(void);

#endif
