/* SPDX-License-Identifier: MIT */
/*
 * Compares servers by the CPU time that they spend on one request.  All are up at once, on one
 * CPU; the load runs on another one, goes round them in short slices and begins each round with
 * another server, so that what disturbs the machine disturbs all of them alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gannet.h"
#include "../load.h"
#include "../options.h"
#include "../report.h"
#include "server.h"

#define SERVERS_MAX 12
#define SLICES_MAX 200
#define TRIES 20 /* of one slice, when the machine was taken away in it */

typedef struct job {
    const char *name;
    int kind;                 /* LOAD_HTTP or LOAD_ECHO */
    unsigned size, connections, pipeline;
    int reconnect;
} job;

static const job jobs[] = {
    { "http-p1-c64", LOAD_HTTP, 0, 64, 1, 0 },
    { "http-p16-c64", LOAD_HTTP, 0, 64, 16, 0 },
    { "http-p1-c512", LOAD_HTTP, 0, 512, 1, 0 },
    { "echo-64", LOAD_ECHO, 64, 64, 1, 0 },
    { "echo-1K", LOAD_ECHO, 1024, 64, 1, 0 },
    { "echo-16K", LOAD_ECHO, 16384, 64, 1, 0 },
    { "echo-64K", LOAD_ECHO, 65536, 64, 1, 0 },
    { "connect-echo-close", LOAD_ECHO, 64, 64, 1, 1 }
};

#define JOBS (sizeof jobs / sizeof jobs[0])

typedef struct slice {
    double cpu_ns;   /* of the server, each request */
    double rate;     /* requests a second */
} slice;

typedef struct contender {
    server server;
    int kind;
    slice slices[SLICES_MAX];
    uint64_t user_ticks;  /* over all slices of the job */
    double cpu_s;
    server_counts counts; /* of the counted slice */
    double counted;       /* requests in it */
} contender;

static struct {
    contender list[SERVERS_MAX];
    unsigned count;
    unsigned slices;
    uint64_t slice_ns, warmup_ns;
    int server_cpu, load_cpu;
    const char *only;    /* jobs whose names contain this */
    int counting;
    unsigned disturbed;  /* slices that were thrown away */
    FILE *json;
    int json_rows;
} bench;

/* ---------------------------------------------------------------- slices */

typedef struct window {
    server *server;
    uint64_t cpu[2], now[2], done[2], user[2];
    server_counts counts[2];
} window;

static void on_mark(int mark, uint64_t now_ns, uint64_t done, void *user)
{
    window *w = user;

    w->cpu[mark] = server_cpu_ns(w->server);
    w->user[mark] = server_user_ticks(w->server);
    w->now[mark] = now_ns;
    w->done[mark] = done;
    if (w->server->counting)
        server_counts_read(w->server, &w->counts[mark]);
}

/* What was done in the window belongs to the CPU time in it only if nobody had to wait long: the
 * window is as long as it was to be, and the server worked in a good part of it. */
static int undisturbed(const window *w)
{
    uint64_t wall = w->now[1] - w->now[0], cpu = w->cpu[1] - w->cpu[0];

    return w->done[1] > w->done[0] && wall < bench.slice_ns + bench.slice_ns / 10
        && wall > bench.slice_ns - bench.slice_ns / 10 && cpu > wall / 20;
}

static int run_load(const job *j, server *s, window *w)
{
    static const char request[] = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static load_result result;
    load_config f;
    int r = GNP_OK, tries;

    memset(&f, 0, sizeof f);
    memset(w, 0, sizeof *w);
    w->server = s;
    f.job = j->kind;
    f.target = s->addr;
    f.request = request;
    f.request_len = j->kind == LOAD_HTTP ? sizeof request - 1 : j->size;
    f.connections = j->connections;
    f.pipeline = j->pipeline;
    f.reconnect = j->reconnect;
    f.threads = 1;
    f.warmup_ns = bench.warmup_ns;
    f.duration_ns = bench.slice_ns;
    f.timeout_ns = UINT64_C(5000000000);
    f.on_mark = on_mark;
    f.user = w;
    for (tries = 0; tries < TRIES; tries++) {
        r = load_run(&f, &result);
        if (r != GNP_OK || load_errors(&result) != 0)
            break;
        if (undisturbed(w))
            return 1;
        bench.disturbed++;
    }
    fprintf(stderr, "%s, %s: the load failed: %s, %llu errors; or the machine is too busy\n", j->name,
            s->name, gn_strerror(r), (unsigned long long)load_errors(&result));
    return 0;
}

static int run_slice(const job *j, contender *c, unsigned i)
{
    window w;

    if (!run_load(j, &c->server, &w))
        return 0;
    c->slices[i].cpu_ns = (double)(w.cpu[1] - w.cpu[0]) / (double)(w.done[1] - w.done[0]);
    c->user_ticks += w.user[1] - w.user[0];
    c->cpu_s += (double)(w.cpu[1] - w.cpu[0]) / 1e9;
    c->slices[i].rate = (double)(w.done[1] - w.done[0]) * 1e9 / (double)(w.now[1] - w.now[0]);
    return 1;
}

/* Counting slows the calls down, so it has a slice of its own. */
static int run_counted(const job *j, contender *c)
{
    window w;
    int i;

    c->counted = 0.0;
    if (!bench.counting || !server_count_open(&c->server))
        return 1;
    if (!run_load(j, &c->server, &w)) {
        server_count_close(&c->server);
        return 0;
    }
    server_count_close(&c->server);
    c->counted = (double)(w.done[1] - w.done[0]);
    c->counts.total = w.counts[1].total - w.counts[0].total;
    for (i = 0; i < SERVER_CALLS; i++)
        c->counts.call[i] = w.counts[1].call[i] - w.counts[0].call[i];
    return 1;
}

static int run_job(const job *j)
{
    unsigned round, k;

    for (k = 0; k < bench.count; k++) {
        bench.list[k].user_ticks = 0;
        bench.list[k].cpu_s = 0.0;
    }
    for (round = 0; round < bench.slices; round++) {
        for (k = 0; k < bench.count; k++) {
            contender *c = &bench.list[(round + k) % bench.count];

            if (c->kind == j->kind && !run_slice(j, c, round))
                return 0;
        }
    }
    for (k = 0; k < bench.count; k++) {
        if (bench.list[k].kind == j->kind && !run_counted(j, &bench.list[k]))
            return 0;
    }
    return 1;
}

/* --------------------------------------------------------------- figures */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *x, unsigned n)
{
    qsort(x, n, sizeof *x, compare_double);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2.0;
}

typedef struct figures {
    double min_ns, median_ns;        /* CPU each request */
    double of_minima, of_median;     /* ratio of minima; median of the ratios of each round */
    double rate;
    double calls;                    /* system calls each request; below 0: not known */
    double user;                     /* share of the CPU time outside of the kernel */
} figures;

static void figures_of(const contender *c, const contender *reference, figures *f)
{
    static double cpu[SLICES_MAX], ratio[SLICES_MAX], rate[SLICES_MAX];
    double least = 0.0;
    unsigned i;

    for (i = 0; i < bench.slices; i++) {
        cpu[i] = c->slices[i].cpu_ns;
        rate[i] = c->slices[i].rate;
        ratio[i] = c->slices[i].cpu_ns / reference->slices[i].cpu_ns;
        if (i == 0 || reference->slices[i].cpu_ns < least)
            least = reference->slices[i].cpu_ns;
    }
    f->median_ns = median(cpu, bench.slices);
    f->min_ns = cpu[0]; /* sorted now */
    f->of_minima = cpu[0] / least;
    f->of_median = median(ratio, bench.slices);
    f->rate = median(rate, bench.slices);
    f->user = c->cpu_s > 0.0 ? (double)c->user_ticks / (double)sysconf(_SC_CLK_TCK) / c->cpu_s : 0.0;
    f->calls = c->counted > 0.0 ? (double)c->counts.total / c->counted : -1.0;
}

static void print_calls(const contender *c)
{
    int i;

    if (c->counted <= 0.0) {
        printf("       -\n");
        return;
    }
    printf("  %6.2f:", (double)c->counts.total / c->counted);
    for (i = 0; i < SERVER_CALLS; i++) {
        double each = (double)c->counts.call[i] / c->counted;

        if (each >= 0.005)
            printf(" %s %.2f", server_call_name[i], each);
    }
    printf("\n");
}

static void write_json(const job *j, const contender *c, const figures *f)
{
    unsigned i;

    if (bench.json == NULL)
        return;
    fprintf(bench.json, "%s\n  {\"job\": \"%s\", \"server\": \"%s\", \"cpu_ns_min\": %.1f, ",
            bench.json_rows++ != 0 ? "," : "[", j->name, c->server.name, f->min_ns);
    fprintf(bench.json, "\"cpu_ns_median\": %.1f, \"ratio_of_minima\": %.4f, \"median_of_ratios\": %.4f, ",
            f->median_ns, f->of_minima, f->of_median);
    fprintf(bench.json, "\"user_share\": %.4f, \"requests_per_s\": %.0f, \"system_calls\": ", f->user,
            f->rate);
    if (f->calls < 0.0)
        fprintf(bench.json, "null");
    else
        fprintf(bench.json, "%.4f", f->calls);
    fprintf(bench.json, ", \"cpu_ns\": [");
    for (i = 0; i < bench.slices; i++)
        fprintf(bench.json, "%s%.1f", i != 0 ? ", " : "", c->slices[i].cpu_ns);
    fprintf(bench.json, "]}");
}

static void print_job(const job *j)
{
    const contender *reference = NULL;
    unsigned k;

    printf("\n%-18s CPU/request min  median   of minima  of median   user   requests/s   %s\n", j->name,
           "system calls/request");
    for (k = 0; k < bench.count; k++) {
        const contender *c = &bench.list[k];
        char a[TEXT_MAX], b[TEXT_MAX], rate[TEXT_MAX];
        figures f;

        if (c->kind != j->kind)
            continue;
        if (reference == NULL)
            reference = c;
        figures_of(c, reference, &f);
        printf("  %-16s %15s %8s %10.3f %10.3f %5.1f%% %12s ", c->server.name, text_time(a, f.min_ns),
               text_time(b, f.median_ns), f.of_minima, f.of_median, f.user * 100.0,
               text_count(rate, (uint64_t)(f.rate + 0.5)));
        print_calls(c);
        write_json(j, c, &f);
    }
    fflush(stdout);
}

/* ------------------------------------------------------------------ main */

static int usage(int status)
{
    fputs("Usage: gannet-compare [OPTION]... {--http|--echo NAME='COMMAND WORD...'}...\n"
          "Starts the servers and compares the CPU time that they spend on one request.  The first of\n"
          "--http and the first of --echo is what the others are compared with.  A server prints\n"
          "\"listening on tcp://ADDR:PORT\" and answers GET /plaintext, or echoes.\n"
          "\n"
          "  --slices N        measurements of each server and job (12; below 8 nothing is proved)\n"
          "  --slice TIME      length of one (0.5s), --warmup TIME before it (0.15s)\n"
          "  --server-cpu N    CPU of the servers (0), --load-cpu N of the load (1)\n"
          "  --jobs TEXT       only the jobs with TEXT in their name; --list-jobs\n"
          "  --no-counts       don't count system calls (needs tracefs mounted, and root)\n"
          "  --json FILE       write the figures, and each slice, as JSON\n"
          "\n"
          "of minima: least CPU time of this server / least of the first; the figure to judge by.\n"
          "of median: median of the ratios of each round.  Identical servers differ by up to 10 %.\n"
          "user: share of the CPU time outside of the kernel, sampled by the clock's tick.\n"
          "\n"
          "Exit status: 0 if every slice of every server went without an error.\n", status ? stderr : stdout);
    return status;
}

static int take_server(char *text, int kind)
{
    contender *c = &bench.list[bench.count];

    if (bench.count == SERVERS_MAX || !server_parse(&c->server, text))
        return 0;
    c->kind = kind;
    bench.count++;
    return 1;
}

static int take_number(const char *text, unsigned max, int *out)
{
    uint64_t n;

    if (!parse_count(text, &n) || n > max)
        return 0;
    *out = (int)n;
    return 1;
}

static int take_option(const char *name, char *value)
{
    int n = 0;

    if (strcmp(name, "--http") == 0)
        return take_server(value, LOAD_HTTP);
    if (strcmp(name, "--echo") == 0)
        return take_server(value, LOAD_ECHO);
    if (strcmp(name, "--slices") == 0) {
        if (!take_number(value, SLICES_MAX, &n) || n == 0)
            return 0;
        bench.slices = (unsigned)n;
        return 1;
    }
    if (strcmp(name, "--slice") == 0)
        return parse_duration(value, &bench.slice_ns) && bench.slice_ns != 0;
    if (strcmp(name, "--warmup") == 0)
        return parse_duration(value, &bench.warmup_ns);
    if (strcmp(name, "--server-cpu") == 0)
        return take_number(value, 1023, &bench.server_cpu);
    if (strcmp(name, "--load-cpu") == 0)
        return take_number(value, 1023, &bench.load_cpu);
    if (strcmp(name, "--jobs") == 0) {
        bench.only = value;
        return 1;
    }
    if (strcmp(name, "--json") == 0) {
        bench.json = fopen(value, "w");
        return bench.json != NULL;
    }
    return 0;
}

static int wanted(const job *j)
{
    unsigned k;

    if (bench.only != NULL && strstr(j->name, bench.only) == NULL)
        return 0;
    for (k = 0; k < bench.count; k++) {
        if (bench.list[k].kind == j->kind)
            return 1;
    }
    return 0;
}

static int run_all(void)
{
    unsigned k;
    int good = 1;
    size_t i;

    for (k = 0; k < bench.count && good; k++)
        good = server_start(&bench.list[k].server, bench.server_cpu);
    if (good && !pin_to(bench.load_cpu)) {
        perror("sched_setaffinity");
        good = 0;
    }
    for (i = 0; i < JOBS && good; i++) {
        if (!wanted(&jobs[i]))
            continue;
        good = run_job(&jobs[i]);
        if (good)
            print_job(&jobs[i]);
    }
    for (k = 0; k < bench.count; k++) {
        if (!server_stop(&bench.list[k].server)) {
            fprintf(stderr, "%s did not end in good order\n", bench.list[k].server.name);
            good = 0;
        }
    }
    return good;
}

int main(int argc, char **argv)
{
    int i, good;
    size_t k;

    bench.slices = 12;
    bench.slice_ns = 500000000;
    bench.warmup_ns = 150000000;
    bench.load_cpu = 1;
    bench.counting = 1;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(0);
        if (strcmp(argv[i], "--list-jobs") == 0) {
            for (k = 0; k < JOBS; k++)
                puts(jobs[k].name);
            return 0;
        }
        if (strcmp(argv[i], "--no-counts") == 0) {
            bench.counting = 0;
            continue;
        }
        if (i + 1 >= argc || !take_option(argv[i], argv[i + 1]))
            return usage(2);
        i++;
    }
    if (bench.count == 0)
        return usage(2);
    good = run_all();
    if (bench.disturbed != 0)
        printf("\n%u slices were disturbed and made again\n", bench.disturbed);
    if (bench.json != NULL) {
        fprintf(bench.json, "%s]\n", bench.json_rows == 0 ? "[" : "\n");
        good &= fclose(bench.json) == 0;
    }
    return good ? 0 : 1;
}
