/* SPDX-License-Identifier: MIT */
/* The world: chance, time, events, the hash of all that happens, and its beginning and end. */
#include "world.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_NS UINT64_C(3600000000000)      /* an hour */
#define LIMIT_POINTS UINT64_C(50000000)
#define HOST_SECONDS 30u

sim_world gnp_sim_w;

/* ------------------------------------------------------------------- chance */

/* SplitMix64 of Steele, Lea and Flood (2014). */
uint64_t gnp_sim_rand(void)
{
    uint64_t z = (sim.rng += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* The remainder is uneven by n in 2^64, which nobody will notice, and there is no loop. */
uint64_t gnp_sim_below(uint64_t n)
{
    return n == 0 ? 0 : gnp_sim_rand() % n;
}

/* Draws for a knob that is off as well: to turn off one that did nothing so far changes nothing. */
int gnp_sim_chance(unsigned of_1024)
{
    return (gnp_sim_rand() & 1023) < of_1024;
}

int gnp_sim_fault(unsigned of_1024)
{
    if (!gnp_sim_chance(of_1024))
        return 0;
    sim.faults++;
    return 1;
}

/* Nothing is drawn in worlds that know nothing of it. */
int gnp_sim_rarely(void)
{
    return sim.knobs.rare_error != 0 && gnp_sim_fault(sim.knobs.rare_error);
}

int gnp_sim_misfortune(unsigned of_1024, const int *codes, size_t n)
{
    return gnp_sim_fault(of_1024) ? codes[gnp_sim_below(n)] : GNP_OK;
}

uint64_t gnp_sim_faults(void)
{
    return sim.faults;
}

const gnp_sim_knobs *gnp_sim_knobs_now(void)
{
    return &sim.knobs;
}

void gnp_sim_heal(void)
{
    gnp_sim_knobs *k = &sim.knobs;

    k->accept_error = k->send_error = k->recv_error = k->connect_error = 0;
    k->alloc_error = k->thread_error = k->sock_error = 0;
    k->alloc_fail_at = 0;
    k->descriptors = 0;
    k->dgram_lost = k->dgram_twice = k->dgram_cut = 0;
    k->lost_peer = k->wait_error = 0;
    sim.partitioned = 0;
}

/* --------------------------------------------------------------------- hash */

static void mix(uint64_t x)
{
    uint64_t h = (sim.hash ^ x) * UINT64_C(0xD6E8FEB86659FD93);

    sim.hash = h ^ (h >> 32);
}

void gnp_sim_mark(const char *call, int64_t a, int64_t b, int64_t result)
{
    uint64_t name = 0;
    const char *p;

    if (!sim.live)
        return;
    for (p = call; *p != '\0'; p++)
        name = name * 31 + (unsigned char)*p;
    mix(name ^ ((uint64_t)gnp_sim_self() << 56));
    mix((uint64_t)a);
    mix((uint64_t)b);
    mix((uint64_t)result);
    mix(sim.now);
    if (sim.trace)
        gnp_sim_trace(call, a, b, result);
}

void gnp_sim_note(const char *what, int64_t a, int64_t b)
{
    gnp_sim_mark(what, a, b, SIM_NOTE);
}

/* ------------------------------------------------------------------- events */

static int before(const sim_event *a, const sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void put(size_t i, sim_event *e)
{
    sim.heap[i - 1] = e;
    e->pos = i;
}

static void up(size_t i, sim_event *e)
{
    while (i > 1 && before(e, sim.heap[i / 2 - 1])) {
        put(i, sim.heap[i / 2 - 1]);
        i /= 2;
    }
    put(i, e);
}

static void down(size_t i, sim_event *e)
{
    size_t k;

    while ((k = i * 2) <= sim.heap_n) {
        if (k < sim.heap_n && before(sim.heap[k], sim.heap[k - 1]))
            k++;
        if (!before(sim.heap[k - 1], e))
            break;
        put(i, sim.heap[k - 1]);
        i = k;
    }
    put(i, e);
}

void gnp_sim_at(sim_event *e, uint64_t at, void (*fn)(sim_event *e))
{
    if (sim.heap_n == sim.heap_cap) {
        sim.heap_cap = sim.heap_cap != 0 ? sim.heap_cap * 2 : 64;
        sim.heap = realloc(sim.heap, sim.heap_cap * sizeof(*sim.heap));
        if (sim.heap == NULL)
            abort();
    }
    e->at = at > sim.now ? at : sim.now;
    e->seq = sim.seq++;
    e->fn = fn;
    up(++sim.heap_n, e);
}

void gnp_sim_cancel(sim_event *e)
{
    size_t i = e->pos;
    sim_event *last;

    if (i == 0)
        return;
    e->pos = 0;
    last = sim.heap[--sim.heap_n];
    if (last == e)
        return;
    if (i > 1 && before(last, sim.heap[i / 2 - 1]))
        up(i, last);
    else
        down(i, last);
}

int gnp_sim_due(void)
{
    int some = 0;

    while (sim.heap_n > 0 && sim.heap[0]->at <= sim.now) {
        sim_event *e = sim.heap[0];
        gnp_sim_cancel(e);
        e->fn(e);
        some = 1;
    }
    return some;
}

/* -------------------------------------------------------- beginning and end */

/* A build for gcov counts what a world ran, which _exit would forget. */
#ifdef GNP_COVERAGE
void __gcov_dump(void);
#  define COUNTS_KEEP() __gcov_dump()
#else
#  define COUNTS_KEEP() ((void)0)
#endif

static _Noreturn void tell(const gnp_sim_result *r)
{
    COUNTS_KEEP();
    const void *trail;
    size_t n = gnp_sim_trail(&trail);

    if (write(sim.result_fd, r, sizeof(*r)) != (ssize_t)sizeof(*r) ||
        (n > 0 && write(sim.result_fd, trail, n) != (ssize_t)n)) /* both fit in a pipe */
        _exit(3);
    _exit(0); /* nothing of the parent's is flushed or run here */
}

static void fill(gnp_sim_result *r)
{
    memset(r, 0, sizeof(*r));
    r->hash = sim.hash;
    r->points = sim.points;
    r->switches = sim.switches;
    r->allocs = sim.allocs;
    r->faults = sim.faults;
    r->virtual_ns = sim.now - SIM_START_NS;
}

void gnp_sim_fail(const char *format, ...)
{
    gnp_sim_result r;
    va_list args;

    fill(&r);
    r.failed = 1;
    va_start(args, format);
    vsnprintf(r.what, sizeof(r.what), format, args);
    va_end(args);
    if (sim.trace || sim.result_fd < 0)
        fprintf(stderr, "seed %llu, after %llu ns: %s\n", (unsigned long long)sim.seed,
                (unsigned long long)r.virtual_ns, r.what);
    if (sim.result_fd < 0)
        abort();
    tell(&r);
}

static void begin(const gnp_sim_config *c, int result_fd)
{
    memset(&sim, 0, sizeof(sim));
    sim.knobs = c->knobs;
    sim.seed = c->seed;
    sim.rng = c->seed * 2 + 1;
    sim.hash = c->seed;
    sim.now = SIM_START_NS;
    sim.limit_ns = SIM_START_NS + (c->limit_ns != 0 ? c->limit_ns : LIMIT_NS);
    sim.limit_points = c->limit_points != 0 ? c->limit_points : LIMIT_POINTS;
    sim.trace = c->trace;
    sim.result_fd = result_fd;
    gnp_sim_begin_net();
    gnp_sim_begin_paths();
    gnp_sim_begin_sys();
    gnp_sim_begin_threads();
    sim.live = 1;
    sim.scheduled = c->schedule != NULL;
    gnp_sim_schedule_begin(c->schedule);
}

void gnp_sim_begin(const gnp_sim_config *c)
{
    begin(c, -1);
}

void gnp_sim_end(gnp_sim_result *out)
{
    gnp_sim_end_threads();
    sim.live = 0;
    gnp_sim_end_net();
    gnp_sim_end_files();
    gnp_sim_end_paths();
    if (sim.blocks != 0)
        gnp_sim_fail("%llu blocks of memory, %llu bytes, were not given back", (unsigned long long)sim.blocks,
                     (unsigned long long)sim.bytes);
    free(sim.heap);
    sim.heap = NULL;
    sim.heap_cap = 0;
    fill(out);
}

static void run(const gnp_sim_config *c, int result_fd, void (*fn)(void *arg), void *arg,
                gnp_sim_result *out)
{
    begin(c, result_fd);
    fn(arg);
    gnp_sim_end(out);
}

/* What a world that ended by itself has to say. */
static void died(int status, gnp_sim_result *out)
{
    memset(out, 0, sizeof(*out));
    out->failed = 1;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(out->what, sizeof(out->what), "hung in a loop without a point");
    else if (WIFSIGNALED(status))
        snprintf(out->what, sizeof(out->what), "ended by signal %d", WTERMSIG(status));
    else
        snprintf(out->what, sizeof(out->what), "ended with status %d", WEXITSTATUS(status));
}

struct gnp_sim_job {
    pid_t pid;
    int fd;
};

gnp_sim_job *gnp_sim_start(const gnp_sim_config *c, void (*fn)(void *arg), void *arg)
{
    gnp_sim_job *j = malloc(sizeof(*j));
    int fds[2];

    fflush(NULL);
    if (j == NULL || pipe(fds) != 0 || (j->pid = fork()) < 0) {
        perror("a process for the world");
        exit(2);
    }
    if (j->pid == 0) {
        gnp_sim_result r;
        close(fds[0]);
        alarm(c->host_s != 0 ? c->host_s : HOST_SECONDS);
        gnp_sim_one_cpu();
        run(c, fds[1], fn, arg, &r);
        tell(&r);
    }
    close(fds[1]);
    j->fd = fds[0];
    return j;
}

unsigned gnp_sim_wait_any(gnp_sim_job *const *jobs, unsigned n)
{
    struct pollfd p[GNP_SIM_JOBS_MAX];
    unsigned i;

    for (i = 0; i < n && i < GNP_SIM_JOBS_MAX; i++)
        p[i] = (struct pollfd){ .fd = jobs[i]->fd, .events = POLLIN };
    while (poll(p, i, -1) < 1)
        ;
    for (i = 0; p[i].revents == 0;)
        i++;
    return i;
}

size_t gnp_sim_finish_with(gnp_sim_job *j, gnp_sim_result *out, void *trail, size_t cap)
{
    ssize_t n = read(j->fd, out, sizeof(*out)), more;
    size_t have = 0;
    int status = 0;

    while (have < cap && (more = read(j->fd, (char *)trail + have, cap - have)) > 0)
        have += (size_t)more;
    close(j->fd);
    (void)waitpid(j->pid, &status, 0);
    if (n != (ssize_t)sizeof(*out))
        died(status, out);
    free(j);
    return have;
}

void gnp_sim_finish(gnp_sim_job *j, gnp_sim_result *out)
{
    (void)gnp_sim_finish_with(j, out, NULL, 0);
}

void gnp_sim_run(const gnp_sim_config *c, void (*fn)(void *arg), void *arg, gnp_sim_result *out)
{
    if (c->in_place)
        run(c, -1, fn, arg, out);
    else
        gnp_sim_finish(gnp_sim_start(c, fn, arg), out);
}

uint64_t gnp_sim_host_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}
