/* SPDX-License-Identifier: MIT */
/* A server under measurement: a child process, its CPU time and its system calls.  Linux only. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "platform/platform.h"

#define SERVER_WORDS_MAX 32
#define SERVER_THREADS_MAX 16

/* The calls that are told apart; the rest is in the total. */
#define SERVER_CALLS 18
extern const char *const server_call_name[SERVER_CALLS];

typedef struct server {
    const char *name;
    char *words[SERVER_WORDS_MAX + 1]; /* its command */
    pid_t pid;                         /* 0: does not run */
    gnp_addr addr;                     /* IPv4 or IPv6 that it listens on */
    int counting;                      /* the counters are open */
    unsigned threads;
    int total_fd[SERVER_THREADS_MAX];
    int call_fd[SERVER_THREADS_MAX][SERVER_CALLS];
} server;

/* "NAME=COMMAND WORD..."; text is cut up and must live on.  1, or 0 if it is none. */
int server_parse(server *s, char *text);

/* Starts it on one CPU and waits for its "listening on tcp://ADDR:PORT".  1, or 0 after a message. */
int server_start(server *s, int cpu);

/* Ends it by SIGTERM, after 5 seconds by SIGKILL.  1 if it ended with status 0. */
int server_stop(server *s);

/* CPU time of all its threads so far. */
uint64_t server_cpu_ns(const server *s);

/* The part of that outside of the kernel, in clock ticks; sampled, so it needs seconds to mean something. */
uint64_t server_user_ticks(const server *s);

/* Opens counters of the system calls of its threads.  1, or 0 when the kernel does not let us. */
int server_count_open(server *s);
void server_count_close(server *s);

typedef struct server_counts {
    uint64_t total;
    uint64_t call[SERVER_CALLS];
} server_counts;

void server_counts_read(const server *s, server_counts *out);

/* Binds the calling thread to a CPU.  1, or 0. */
int pin_to(int cpu);

#endif
