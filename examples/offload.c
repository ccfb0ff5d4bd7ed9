/* SPDX-License-Identifier: MIT */
/*
 * Work that blocks, in a worker pool: each line with a number N is answered with the number of
 * primes up to N, which takes a while.  Answers come in the order of the questions.
 *
 *   offload --listen tcp://127.0.0.1:9100 --workers 4
 *   printf '10\n1000000\n100\n' | socat - tcp:127.0.0.1:9100
 *
 * What is worth seeing here:
 *   - gn_offload runs a function on the pool and then another one on the loop of the connection,
 *     which is named by its handle: if it is gone by then, we are told so, and free the job.
 *   - The pool ends jobs in any order.  A ring of the jobs of each connection brings their
 *     answers back into the order of the questions.
 *   - Nothing grows without a bound: a connection has at most JOBS questions under way, then it
 *     is paused; when the pool's queue is full, the line stays unread until there is room.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS 32         /* under way for one connection */
#define LINE_MAX_ 64    /* a number and some blanks */
#define NUMBER_MAX 20000000u
#define RETRY_NS 5000000 /* a full pool is asked again so soon */

/* Belongs to the pool from the question to the answer.  It does not point to its client, which
 * may be gone by then, and its loop too. */
struct job {
    unsigned slot;
    uint32_t n, answer;
};

struct client {
    struct {
        int done;
        uint32_t answer;
    } ring[JOBS];
    unsigned first, count;
    int ended; /* it asks no more */
    gn_timer retry;
    gn_handle h;
};

static gn_pool *pool;

/* ---- on a worker */

static void count_primes(void *arg)
{
    struct job *j = arg;
    unsigned char *sieve = calloc(1, (size_t)j->n + 1);

    j->answer = 0;
    if (sieve == NULL)
        return;
    for (uint32_t i = 2; i <= j->n; i++) {
        if (sieve[i])
            continue;
        j->answer++;
        for (uint64_t k = (uint64_t)i * i; k <= j->n; k += i)
            sieve[k] = 1;
    }
    free(sieve);
}

/* ---- on the loop */

/* The answers at the head of the ring that are ready leave together. */
static void answer(gn_conn *c, struct client *s)
{
    while (s->count > 0 && s->ring[s->first].done) {
        char line[32];
        int n = snprintf(line, sizeof line, "%lu\n", (unsigned long)s->ring[s->first].answer);

        gn_conn_write(c, line, (size_t)n);
        s->first = (s->first + 1) % JOBS;
        s->count--;
    }
    if (s->count < JOBS)
        gn_conn_resume(c); /* lines that were left unread are seen again */
    if (s->ended && s->count == 0 && gn_conn_inbound(c) == 0)
        gn_conn_close(c);
}

static void job_done(gn_handle h, int status, void *arg)
{
    struct job *j = arg;
    gn_conn *c = status == GN_OK ? gn_conn_from_handle(h) : NULL;

    if (c != NULL) {
        struct client *s = gn_conn_context(c);

        s->ring[j->slot].done = 1;
        s->ring[j->slot].answer = j->answer;
        answer(c, s);
    }
    free(j);
}

static void retry(gn_loop *l, gn_timer *t, void *arg)
{
    struct client *s = arg;
    gn_conn *c = gn_conn_from_handle(s->h);

    (void)l;
    (void)t;
    if (c != NULL)
        gn_conn_resume(c);
}

/* 1: asked; 0: not now; -1: it is no question. */
static int ask(gn_conn *c, struct client *s, const gn_frame *line)
{
    char text[LINE_MAX_ + 1], *end;
    struct job *j;
    unsigned long n;

    memcpy(text, line->data, line->len);
    text[line->len] = 0;
    n = strtoul(text, &end, 10);
    if (end == text || *end != 0 || text[0] == '-' || n > NUMBER_MAX)
        return -1;
    j = malloc(sizeof *j);
    if (j == NULL)
        return 0;
    j->slot = (s->first + s->count) % JOBS;
    j->n = (uint32_t)n;
    s->ring[j->slot].done = 0;
    if (gn_offload(pool, gn_conn_handle(c), count_primes, job_done, j) != GN_OK) {
        free(j);
        return 0;
    }
    s->count++; /* job_done comes by this loop, later */
    return 1;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    struct client *s = gn_conn_context(c);

    (void)user;
    while (s->count < JOBS) {
        size_t n, used;
        gn_frame line;
        const void *p = gn_conn_peek(c, &n);
        int rc = gn_scan_line(p, n, LINE_MAX_, &line, &used);

        if (rc == GN_EAGAIN)
            return GN_NONE;
        rc = rc == GN_OK ? ask(c, s, &line) : -1;
        if (rc < 0) {
            gn_conn_write(c, "a number, please\n", 17);
            return GN_CLOSE;
        }
        if (rc == 0) { /* the pool is full: the line stays where it is */
            gn_conn_pause(c);
            gn_timer_start(gn_conn_loop(c), &s->retry, RETRY_NS, 0, retry, s);
            return GN_NONE;
        }
        gn_conn_discard(c, used);
    }
    gn_conn_pause(c);
    return GN_NONE;
}

static gn_action on_open(gn_conn *c, void *user)
{
    struct client *s = calloc(1, sizeof *s);

    (void)user;
    if (s == NULL)
        return GN_CLOSE;
    s->h = gn_conn_handle(c);
    gn_conn_set_context(c, s);
    return GN_NONE;
}

/* It has asked all; the connection stays until it has all answers. */
static gn_action on_eof(gn_conn *c, void *user)
{
    struct client *s = gn_conn_context(c);

    (void)user;
    s->ended = 1;
    return s->count == 0 && gn_conn_inbound(c) == 0 ? GN_CLOSE : GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    struct client *s = gn_conn_context(c);

    (void)reason;
    (void)user;
    if (s == NULL)
        return GN_NONE;
    gn_timer_stop(gn_conn_loop(c), &s->retry);
    free(s);
    return GN_NONE;
}

int main(int argc, char **argv)
{
    static const gn_handler handler = {
        .on_boot = common_on_boot, .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof,
        .on_close = on_close
    };
    static uint64_t workers = 4, queue = 256;
    static const struct common_flag flags[] = {
        {.name = "workers N", .help = "threads that count", .value = &workers, .max = 1024},
        {.name = "queue N", .help = "questions that may wait for them", .value = &queue, .max = 1000000},
        {.name = NULL}
    };
    struct common o = {
        .name = "offload", .about = "Counts primes in a worker pool.", .addr = "tcp://127.0.0.1:9100",
        .flags = flags
    };
    gn_pool_options po;
    int status, rc;

    if (!common_parse(&o, argc, argv, &status))
        return status;
    gn_pool_options_init(&po);
    po.capacity = (unsigned)workers;
    po.queue_max = (size_t)queue;
    rc = gn_pool_create(&pool, &po);
    if (rc != GN_OK) {
        fprintf(stderr, "offload: cannot make the pool: %s\n", gn_strerror(rc));
        return 1;
    }
    status = common_run(&o, &handler, NULL);
    gn_pool_destroy(pool); /* waits for what still runs; its done is told that all is gone */
    return status;
}
