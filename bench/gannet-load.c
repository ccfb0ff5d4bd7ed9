/* SPDX-License-Identifier: MIT */
/* The load generator: see --help. */
#include <stdio.h>
#include <string.h>

#include "gannet.h"
#include "report.h"

#define LIVE_TERMINAL_NS UINT64_C(250000000)
#define LIVE_LINE_NS UINT64_C(1000000000)

typedef struct display {
    const options *o;
    int terminal;       /* rewrite one line */
    int holding;        /* that was said */
    int shown;          /* a line stands there to be rewritten */
    uint64_t at_ns;
    load_progress last;
} display;

static void live_line(display *d, const load_progress *p, uint64_t now)
{
    double span = (double)(now - d->at_ns) / 1e9;
    uint64_t done = p->done - d->last.done;
    double mean = done != 0 ? (double)(p->latency_sum_ns - d->last.latency_sum_ns) / (double)done : 0.0;
    char rate[TEXT_MAX], in[TEXT_MAX], avg[TEXT_MAX], max[TEXT_MAX], conns[TEXT_MAX], errors[TEXT_MAX];

    fprintf(stderr, "%s  %5.1f s %10s req/s %10s/s   mean %8s   max %8s   %s connections   %s errors%s%s",
            d->terminal ? "\r" : "", (double)p->elapsed_ns / 1e9,
            text_count(rate, (uint64_t)((double)done / span + 0.5)),
            text_bytes(in, (double)(p->bytes - d->last.bytes) / span), text_time(avg, mean),
            text_time(max, (double)p->latency_max_ns), text_count(conns, p->connections),
            text_count(errors, p->errors), p->measuring ? "" : "  (warm-up)", d->terminal ? "\033[K" : "\n");
    fflush(stderr);
    d->shown = d->terminal;
}

static void connecting_line(display *d, const load_progress *p)
{
    char conns[TEXT_MAX], all[TEXT_MAX], errors[TEXT_MAX];

    fprintf(stderr, "%s  connecting: %s of %s, %s errors%s", d->terminal ? "\r" : "",
            text_count(conns, p->connections), text_count(all, d->o->load.connections),
            text_count(errors, p->errors), d->terminal ? "\033[K" : "\n");
    fflush(stderr);
    d->shown = d->terminal;
}

static void live_end(display *d)
{
    if (d->shown)
        fputs("\r\033[K", stderr);
    d->shown = 0;
}

/* Who measures memory waits for this line. */
static void hold_line(display *d, const load_progress *p)
{
    char n[TEXT_MAX];

    if (d->holding || p->elapsed_ns == 0 || p->connections < d->o->load.connections
        || (d->o->load.touch && p->done < d->o->load.connections))
        return;
    live_end(d);
    printf("holding %s connections%s\n", text_count(n, p->connections),
           d->o->load.touch ? ", each after one request" : "");
    fflush(stdout);
    d->holding = 1;
}

static void on_progress(const load_progress *p, void *user)
{
    display *d = user;
    uint64_t now = gnp_now();

    if (d->o->load.hold)
        hold_line(d, p);
    if (d->o->live && p->elapsed_ns == 0)
        connecting_line(d, p);
    else if (d->o->live && !d->o->load.hold)
        live_line(d, p, now);
    d->last = *p;
    d->at_ns = now;
}

static int explain(const options *o, int code, const load_result *r)
{
    fprintf(stderr, "gannet-load: %s: %s", o->target, gn_strerror(code));
    if (r->fatal_os != 0)
        fprintf(stderr, " (%d)", r->fatal_os);
    fputs("\n", stderr);
    if (code == GNP_EMFILE)
        fprintf(stderr, "gannet-load: %u connections do not fit into the descriptor limit of %llu\n",
                o->load.connections, (unsigned long long)gnp_descriptor_limit(1));
    return 1;
}

static int hold_end(const options *o, const load_result *r)
{
    int good = load_errors(r) == 0 && r->connects >= o->load.connections;
    char a[TEXT_MAX], b[TEXT_MAX];

    printf("held %s connections for %.1f s, %s errors%s\n", text_count(a, r->connects),
           (double)r->total_ns / 1e9, text_count(b, load_errors(r)), r->interrupted ? ", interrupted" : "");
    return good ? 0 : 1;
}

static int write_json(const options *o, const load_result *r)
{
    int to_stdout = strcmp(o->json, "-") == 0;
    FILE *f = to_stdout ? stdout : fopen(o->json, "w");
    int bad;

    if (f == NULL) {
        perror(o->json);
        return 0;
    }
    report_json(f, o, r);
    bad = fflush(f) != 0 || ferror(f);
    if (!to_stdout)
        bad |= fclose(f) != 0;
    if (bad)
        perror(o->json);
    return !bad;
}

static int list(int argc, char **argv)
{
    const char *name;
    int available;
    unsigned i;

    for (i = 1; i < (unsigned)argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            options_help();
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("gannet-load %s\n", gn_version());
            return 0;
        }
        if (strcmp(argv[i], "--pollers") == 0)
            break;
    }
    for (i = 0; (name = gnp_poller_name(i, &available)) != NULL; i++)
        printf("%s%s\n", name, available ? "" : " (not here)");
    return 0;
}

int main(int argc, char **argv)
{
    static options o;
    static load_result result;
    display d;
    int r = options_parse(&o, argc, argv);
    int good;

    if (r != OPTIONS_RUN)
        return r == OPTIONS_HELP ? list(argc, argv) : 2;
    memset(&d, 0, sizeof d);
    d.o = &o;
    d.terminal = gnp_stderr_is_terminal();
    d.at_ns = gnp_now();
    o.load.user = &d;
    o.load.progress_ns = d.terminal || o.load.hold ? LIVE_TERMINAL_NS : LIVE_LINE_NS;
    if (o.live || o.load.hold)
        o.load.on_progress = on_progress;

    r = load_run(&o.load, &result);
    live_end(&d);
    if (r != GNP_OK)
        return explain(&o, r, &result);
    if (o.load.hold)
        return hold_end(&o, &result);
    good = result.requests != 0 && load_errors(&result) == 0;
    report_table(o.json != NULL && strcmp(o.json, "-") == 0 ? stderr : stdout, &o, &result);
    if (o.json != NULL && !write_json(&o, &result))
        good = 0;
    return good ? 0 : 1;
}
