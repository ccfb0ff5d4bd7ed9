/* SPDX-License-Identifier: MIT */
/* One thread of the load: a poller and its share of the connections. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "load.h"
#include "reply.h"
#include "schedule.h"

/*
 * The bytes that are sent, as an endless periodic stream: any part of at most span bytes lies
 * in one piece.  HTTP: the request over and over.  Echo: 65,537 random bytes, a prime number
 * of them, so that bytes that come twice, late or on another connection do not match.
 */
typedef struct wave {
    unsigned char *bytes; /* period + span of them */
    size_t period, span;
} wave;

/* What the threads share. */
typedef struct load_run_state {
    const load_config *config;
    wave wave;
    gnp_atomic32 ready;    /* threads that have opened their connections */
    gnp_atomic64 start_ns; /* 0 until all are ready */
    gnp_atomic64 stop_ns;  /* not 0: a signal came, or a thread cannot go on */
    gnp_atomic32 fatal;    /* 1: one thread has a fatal error */
} load_run_state;

enum { CONN_DOWN, CONN_CONNECTING, CONN_OPEN, CONN_CLOSING };

typedef struct load_conn {
    gnp_sock sock;      /* first: events name it */
    struct load_conn *next_free, *next_dirty;
    uint64_t *started;  /* ring of the begin (or due) times of the outstanding requests */
    uint64_t moved_ns;  /* when it last made progress */
    uint64_t retry_ns;  /* down: not to be opened before */
    size_t tx_left;     /* bytes to send */
    size_t tx_at, rx_at; /* places in the wave */
    size_t rx_left;     /* echo: bytes missing of the current answer */
    uint32_t number;    /* among all connections of all threads */
    uint32_t first, outstanding; /* of started */
    uint8_t state;
    uint8_t queued;     /* in the list of those with room for a request */
    uint8_t dirty;      /* in the list of those with something to send */
    uint8_t blocked;    /* the kernel is full; WRITABLE follows */
    uint8_t answered;   /* at least one request since it was opened */
    reply reply;
} load_conn;

enum { PHASE_CONNECT, PHASE_READY, PHASE_RUN, PHASE_DRAIN, PHASE_OVER };

#define LOAD_EVENTS 256

typedef struct load_worker {
    const load_config *config;
    load_run_state *run;
    gnp_poller *poller;
    load_conn *conns;
    uint64_t *started;    /* of all its connections */
    unsigned index, count; /* of the thread; connections */
    load_conn *free_head, *free_tail; /* with room for a request, longest first */
    load_conn *dirty;
    int phase;
    unsigned next_open;   /* phase CONNECT: the first that was not tried yet */
    unsigned connecting, open, closing;
    uint64_t outstanding; /* requests */
    uint64_t quota;       /* requests that may still begin */
    schedule schedule;
    uint64_t due;         /* requests of the schedule that have begun */
    uint64_t begin_ns;    /* of this thread */
    uint64_t measure_ns, stop_ns, drain_ns; /* of the window; of the drain */
    uint64_t sweep_ns;
    uint64_t last_done_ns;
    int marked;           /* marks that were given */
    uint64_t total, errors_seen, latency_sum, latency_max, bytes_in;
    load_result result;   /* merged by load_run */
    gnp_event events[LOAD_EVENTS]; /* the poller looks at them until its next wait */

    /* For the progress display; written by this thread only, latency_max by both. */
    gnp_atomic64 live_done, live_bytes, live_errors, live_sum, live_max, live_open;
    gnp_atomic32 over;
    gnp_thread thread;
} load_worker;

#define LOAD_CONNECTING_MAX 128u /* at once and thread, well below common SYN backlogs */

/* conn.c.  Begins to connect; c must be down. */
void load_conn_open(load_worker *w, load_conn *c, uint64_t now);
/* Closes it, connected or not; requests that had no answer are forgotten. */
void load_conn_shut(load_worker *w, load_conn *c, int reset);
/* 1 if it could take a request now. */
int load_conn_has_room(const load_worker *w, const load_conn *c, uint64_t now);
/* It has room: the closed loop begins a request at once, the open loop when one is due. */
void load_conn_room(load_worker *w, load_conn *c, uint64_t now);
void load_conn_event(load_worker *w, const gnp_event *e, uint64_t now);
/* Begins what the schedule has due, as long as a connection has room for it. */
void load_begin_due(load_worker *w, uint64_t now);
/* All that was begun since the last turn leaves, one send a connection. */
void load_flush_dirty(load_worker *w, uint64_t now);
/* Looks at every connection: too slow ones are cut, lost ones opened again. */
void load_sweep(load_worker *w, uint64_t now);

/* Runs the thread's share to its end. */
void load_worker_main(void *worker);

#endif
