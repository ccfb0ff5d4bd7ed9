/* SPDX-License-Identifier: MIT */
/*
 * The engine of the load generator: what to ask (load_config), what came of it
 * (load_result).  gannet-load puts a command line around it.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "hdr.h"
#include "platform/platform.h"

#define LOAD_PIPELINE_MAX 1024u
#define LOAD_THREADS_MAX 64u
#define LOAD_SOURCES_MAX 64u
#define LOAD_CONNECTIONS_MAX 1000000u
#define LOAD_ECHO_MAX (16u << 20)

enum { LOAD_HTTP, LOAD_ECHO };

/* What can go wrong with a connection or a request. */
enum {
    LOAD_E_CONNECT, /* no connection */
    LOAD_E_TIMEOUT, /* no byte for as long as timeout_ns while an answer was due */
    LOAD_E_RESET,   /* the connection broke */
    LOAD_E_CLOSED,  /* the server ended the connection while an answer was due */
    LOAD_E_BAD,     /* no HTTP response, or other bytes than those sent */
    LOAD_E_STATUS,  /* an HTTP response with a status other than 2xx */
    LOAD_E_OTHER,
    LOAD_ERRORS
};
extern const char *const load_error_name[LOAD_ERRORS];

enum { LOAD_MARK_BEGIN, LOAD_MARK_END }; /* of the measured window */

/* The state of a running load, for a progress display. */
typedef struct load_progress {
    uint64_t elapsed_ns;     /* since traffic began; 0 while connecting */
    uint64_t done;           /* answers so far, those of the warm-up included */
    uint64_t bytes;          /* received so far */
    uint64_t errors;
    uint64_t latency_sum_ns; /* of all answers so far */
    uint64_t latency_max_ns; /* since the last call */
    uint64_t connections;    /* open now */
    int measuring;           /* 1 inside the measured window */
} load_progress;

typedef struct load_config {
    int job;
    gnp_addr target;
    const gnp_addr *sources;       /* connection i is bound to sources[i % count] */
    unsigned source_count;
    const char *request;           /* HTTP: the bytes of one request */
    size_t request_len;            /* also the size of an echo */
    unsigned connections, pipeline, threads;
    double rate;                   /* requests a second in all; 0: a closed loop */
    uint64_t expected_interval_ns; /* closed loop: correct for coordinated omission; 0: don't */
    uint64_t warmup_ns, duration_ns;
    uint64_t timeout_ns;           /* also what late answers are waited for at the end */
    uint64_t requests;             /* stop after so many that began in the window; 0: no limit */
    int reconnect;                 /* a connection for each request */
    int hold;                      /* open all, ask nothing, until the time is over */
    int touch;                     /* hold: one request on each first */
    int watch_signals;             /* SIGINT and SIGTERM end it early, with the results so far */
    const char *poller;

    /* On the thread that called load_run, every progress_ns; NULL: not at all. */
    void (*on_progress)(const load_progress *p, void *user);
    uint64_t progress_ns;
    /* At both ends of the measured window, on thread 0 between two events, with the answers so far
     * of that thread.  NULL: not at all. */
    void (*on_mark)(int mark, uint64_t now_ns, uint64_t done, void *user);
    void *user;
} load_config;

typedef struct load_result {
    hdr latency;             /* of those answered in the window, or begun (due) in it and later */
    uint64_t requests;       /* answered in the window */
    uint64_t total;          /* answers, those outside of the window included */
    uint64_t bytes_in, bytes_out; /* of everything */
    uint64_t errors[LOAD_ERRORS];
    uint64_t unsent;         /* open loop: due, but no connection was free for them */
    uint64_t connects;       /* connections that were opened */
    uint64_t connect_ns;     /* until all were open */
    uint64_t elapsed_ns;     /* of the window */
    uint64_t total_ns;       /* of everything after connecting */
    int interrupted;         /* by a signal */
    int fatal;               /* GNP_OK, or why nothing could be done at all */
    int fatal_os;            /* gnp_os_error of that */
    char poller[16];
} load_result;

/* Runs the load to its end, which comes at the latest after connect limit + warmup + duration +
 * timeout.  GNP_EINVAL, GNP_ENOMEM, GNP_EMFILE (descriptor limit), GNP_AGAIN (no thread), or
 * result->fatal. */
int load_run(const load_config *config, load_result *result);

uint64_t load_errors(const load_result *r);

#endif
