/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/log.h"
#include "options.h"

#define DURATION_MAX UINT64_C(86400000000000) /* a day: what runs longer was mistyped */

static const char help_text[] =
    "Usage: gannet-load [OPTION]... TARGET\n"
    "Puts load on an HTTP or echo server and tells what came of it.\n"
    "\n"
    "TARGET is tcp://HOST:PORT, http://HOST:PORT[/PATH] or unix://SOCKET.\n"
    "\n"
    "What is asked:\n"
    "  --http PATH          GET PATH by HTTP/1.1; this is the default, with PATH /\n"
    "  --echo SIZE          send SIZE bytes and compare what comes back (64, 16K, 1M)\n"
    "  --connections N      open at the same time (64)\n"
    "  --pipeline N         requests outstanding on each connection (1)\n"
    "  --reconnect          a new connection for each request\n"
    "  --hold               open the connections, keep them idle, end\n"
    "  --touch              with --hold: one request on each first\n"
    "\n"
    "How fast and how long:\n"
    "  --rate N             N requests a second in all (10k, 1M), whatever the server does\n"
    "                       (open loop); without it each connection asks again as soon as it\n"
    "                       has its answer (closed loop)\n"
    "  --duration TIME      of the measurement (10s; 500ms, 2m)\n"
    "  --warmup TIME        of traffic before it that does not count (0.5s; 0 with --requests)\n"
    "  --requests N         stop after N requests (after the warm-up), or after the duration\n"
    "  --timeout TIME       without a byte before a due answer is an error (5s)\n"
    "  --expected-interval TIME\n"
    "                       closed loop: correct the latencies as if each connection had meant\n"
    "                       to ask once in this time\n"
    "\n"
    "How it is made:\n"
    "  --threads N          share the connections among N threads (1)\n"
    "  --poller NAME        how to wait for events: see --pollers\n"
    "  --source ADDR[-N]    local address to connect from, again for more, or a range of the\n"
    "                       last number (127.0.0.2-7): each has ports of its own\n"
    "\n"
    "What is shown:\n"
    "  --live, --no-live    progress on standard error (on)\n"
    "  --json FILE          write the results as JSON too; - is standard output, and the\n"
    "                       table goes to standard error\n"
    "  --pollers            list the pollers and exit\n"
    "  --help, --version\n"
    "\n"
    "Latency runs from the sending of a request to the end of its answer.  With --rate it runs\n"
    "from the time at which the request was due, also if it could not be sent then, so that\n"
    "waiting caused by a slow server counts (no coordinated omission).  It is kept in a\n"
    "histogram with three significant digits.  Requests count if they were answered inside the\n"
    "measured time; the latencies also tell of those that began in it and ended later.\n"
    "\n"
    "JSON: one object with target, job (\"http\" or \"echo\"), request_bytes, connections, pipeline,\n"
    "threads, poller, rate (null: closed loop), corrected (\"schedule\", \"expected-interval\" or null),\n"
    "duration_s (measured), requests, requests_per_s, total (answers at any time), unsent (due, but no\n"
    "connection was free), bytes_in, bytes_out (at any time), connects, connect_s,\n"
    "interrupted, latency_ns {count, min, mean, stddev, p50, p75, p90, p99, p99_9, p99_99, max} and\n"
    "errors {connect, timeout, reset, closed, bad, status, other}.\n"
    "\n"
    "Errors: connect, no connection; timeout; reset; closed, by the server with an answer due;\n"
    "bad, no HTTP or other bytes than those sent; status, other than 2xx.\n"
    "\n"
    "Exit status: 0 if at least one request (or with --hold every connection) succeeded and\n"
    "nothing failed, 1 if not, 2 for a wrong command line.\n";

void options_help(void)
{
    fputs(help_text, stdout);
}

/* Always 0, so that it can stand where a check fails. */
static int complain(const char *format, ...) GNI_PRINTF(1, 2);

static int complain(const char *format, ...)
{
    va_list ap;

    fputs("gannet-load: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("\n", stderr);
    return 0;
}

struct unit {
    const char *name;
    double factor;
};

static int parse_unit(const char *text, const struct unit *units, double max, uint64_t *out)
{
    char *end;
    double x;

    if ((*text < '0' || *text > '9') && *text != '.')
        return 0;
    x = strtod(text, &end);
    for (; units->name != NULL; units++) {
        if (strcmp(end, units->name) == 0) {
            x *= units->factor;
            if (!(x <= max))
                return 0;
            *out = (uint64_t)(x + 0.5);
            return 1;
        }
    }
    return 0;
}

int parse_duration(const char *text, uint64_t *ns)
{
    static const struct unit units[] = {
        { "", 1e9 }, { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 }, { "ns", 1.0 }, { "m", 6e10 }, { NULL, 0.0 }
    };

    return parse_unit(text, units, (double)DURATION_MAX, ns);
}

int parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = { { "", 1.0 }, { "K", 1024.0 }, { "M", 1048576.0 }, { NULL, 0.0 } };

    return parse_unit(text, units, 1e15, bytes);
}

int parse_count(const char *text, uint64_t *count)
{
    static const struct unit units[] = { { "", 1.0 }, { "k", 1e3 }, { "M", 1e6 }, { NULL, 0.0 } };

    return parse_unit(text, units, 1e15, count);
}

/* --source 127.0.0.2 or 127.0.0.2-7. */
static int add_source(options *o, const char *text)
{
    char first[GNP_IP_TEXT_MAX];
    const char *dash = strchr(text, '-');
    size_t n = dash != NULL ? (size_t)(dash - text) : strlen(text);
    uint64_t last = 0;
    gnp_addr a;

    if (n >= sizeof first)
        return 0;
    memcpy(first, text, n);
    first[n] = '\0';
    if (gnp_ip_parse(first, &a) != GNP_OK)
        return 0;
    if (dash != NULL && (a.family != GNP_FAMILY_IPV4 || !parse_count(dash + 1, &last)
                         || last < a.u.ip[3] || last > 254))
        return 0;
    do {
        if (o->load.source_count == LOAD_SOURCES_MAX)
            return 0;
        o->sources[o->load.source_count++] = a;
    } while (dash != NULL && a.u.ip[3]++ < last);
    return 1;
}

enum {
    O_HTTP, O_ECHO, O_CONNECTIONS, O_PIPELINE, O_RECONNECT, O_HOLD, O_TOUCH, O_RATE, O_DURATION, O_WARMUP,
    O_REQUESTS, O_TIMEOUT, O_EXPECTED, O_THREADS, O_POLLER, O_SOURCE, O_LIVE, O_NO_LIVE, O_JSON
};

static const struct option {
    const char *name;
    int id;
    int takes_value;
} option_table[] = {
    { "http", O_HTTP, 1 }, { "echo", O_ECHO, 1 }, { "connections", O_CONNECTIONS, 1 },
    { "pipeline", O_PIPELINE, 1 }, { "reconnect", O_RECONNECT, 0 }, { "hold", O_HOLD, 0 },
    { "touch", O_TOUCH, 0 }, { "rate", O_RATE, 1 }, { "duration", O_DURATION, 1 },
    { "warmup", O_WARMUP, 1 }, { "requests", O_REQUESTS, 1 }, { "timeout", O_TIMEOUT, 1 },
    { "expected-interval", O_EXPECTED, 1 }, { "threads", O_THREADS, 1 }, { "poller", O_POLLER, 1 },
    { "source", O_SOURCE, 1 }, { "live", O_LIVE, 0 }, { "no-live", O_NO_LIVE, 0 }, { "json", O_JSON, 1 }
};

#define OPTION_COUNT (sizeof option_table / sizeof option_table[0])

static int take_count(const char *v, uint64_t min, uint64_t max, unsigned *out)
{
    uint64_t n;

    if (!parse_count(v, &n) || n < min || n > max)
        return 0;
    *out = (unsigned)n;
    return 1;
}

static int take_value(options *o, const struct option *p, const char *v, const char **path, int *warmup_given)
{
    load_config *f = &o->load;
    uint64_t n = 0;

    switch (p->id) {
    case O_HTTP:
        *path = v;
        return v[0] == '/' && strpbrk(v, " \r\n\t") == NULL;
    case O_ECHO:
        f->job = LOAD_ECHO;
        if (!parse_size(v, &n) || n == 0 || n > LOAD_ECHO_MAX)
            return 0;
        f->request_len = (size_t)n;
        return 1;
    case O_CONNECTIONS:
        return take_count(v, 1, LOAD_CONNECTIONS_MAX, &f->connections);
    case O_PIPELINE:
        return take_count(v, 1, LOAD_PIPELINE_MAX, &f->pipeline);
    case O_THREADS:
        return take_count(v, 1, LOAD_THREADS_MAX, &f->threads);
    case O_RATE:
        if (!parse_count(v, &n) || n == 0 || n > 100000000)
            return 0;
        f->rate = (double)n;
        return 1;
    case O_DURATION:
        return parse_duration(v, &f->duration_ns) && f->duration_ns != 0;
    case O_WARMUP:
        *warmup_given = 1;
        return parse_duration(v, &f->warmup_ns);
    case O_TIMEOUT:
        return parse_duration(v, &f->timeout_ns) && f->timeout_ns != 0;
    case O_EXPECTED:
        return parse_duration(v, &f->expected_interval_ns) && f->expected_interval_ns != 0;
    case O_REQUESTS:
        return parse_count(v, &f->requests) && f->requests != 0;
    case O_POLLER:
        f->poller = v;
        return 1;
    case O_SOURCE:
        return add_source(o, v);
    default: /* O_JSON */
        o->json = v;
        return 1;
    }
}

static void take_flag(options *o, int id)
{
    switch (id) {
    case O_RECONNECT:
        o->load.reconnect = 1;
        break;
    case O_HOLD:
        o->load.hold = 1;
        break;
    case O_TOUCH:
        o->load.touch = 1;
        break;
    default:
        o->live = id == O_LIVE;
        break;
    }
}

/* --name, --name value or --name=value.  How many arguments it took, 0 after a message. */
static int take_option(options *o, int left, char **arg, const char **path, int *warmup_given)
{
    const char *name = arg[0] + 2;
    size_t n = strcspn(name, "=");
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        const struct option *p = &option_table[i];
        int words = p->takes_value && value == NULL ? 2 : 1;

        if (strlen(p->name) != n || memcmp(p->name, name, n) != 0)
            continue;
        if (!p->takes_value) {
            take_flag(o, p->id);
            return value == NULL ? 1 : complain("--%s takes no value", p->name);
        }
        if (words == 2 && left < 2)
            return complain("--%s needs a value", p->name);
        if (words == 2)
            value = arg[1];
        if (!take_value(o, p, value, path, warmup_given))
            return complain("--%s: '%s' is not possible here; see --help", p->name, value);
        return words;
    }
    return complain("unknown option %s; see --help", arg[0]);
}

/* http://HOST:PORT/PATH is taken apart here, the rest by the library's own parser. */
static int take_target(options *o, char *text, size_t cap, const char **path)
{
    const char *t = o->target;
    gni_endpoint e;
    const char *slash;
    int r;

    if (strncmp(t, "http://", 7) == 0) {
        slash = strchr(t + 7, '/');
        if (slash != NULL && *path == NULL)
            *path = slash;
        if (snprintf(text, cap, "tcp://%.*s", (int)(slash != NULL ? slash - t - 7 : 1000), t + 7) >= (int)cap)
            return complain("%s: too long", t);
        if (*path != NULL && strpbrk(*path, " \r\n\t") != NULL)
            return complain("%s: the path has blanks in it", t);
    } else if (snprintf(text, cap, "%s", t) >= (int)cap) {
        return complain("%s: too long", t);
    }
    r = gni_endpoint_parse(text, &e);
    if (r != GN_OK)
        return complain("%s: %s", t, gn_strerror(r));
    if (e.scheme == GNI_UDP || e.scheme == GNI_UDP4 || e.scheme == GNI_UDP6)
        return complain("%s: only tcp, http and unix", t);
    o->load.target = e.addr;
    return 1;
}

static int make_request(options *o, const char *text, const char *path)
{
    load_config *f = &o->load;
    const char *host = strstr(text, "://");
    int n;

    if (f->job == LOAD_ECHO)
        return path == NULL || complain("either --http or --echo");
    host = f->target.family == GNP_FAMILY_UNIX ? "localhost" : host != NULL ? host + 3 : text;
    n = snprintf(o->request, sizeof o->request, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                 path != NULL ? path : "/", host, f->reconnect ? "Connection: close\r\n" : "");
    if (n >= (int)sizeof o->request)
        return complain("the path is too long");
    f->request = o->request;
    f->request_len = (size_t)n;
    return 1;
}

static int check_combination(options *o, int warmup_given)
{
    load_config *f = &o->load;

    if (f->hold && (f->reconnect || f->rate > 0.0 || f->requests != 0))
        return complain("--hold goes with none of --reconnect, --rate and --requests");
    if (f->touch && !f->hold)
        return complain("--touch goes with --hold only");
    if (f->reconnect && f->pipeline > 1)
        return complain("--reconnect goes with --pipeline 1 only");
    if (f->expected_interval_ns != 0 && f->rate > 0.0)
        return complain("--expected-interval is for the closed loop; --rate corrects by itself");
    if (f->threads > f->connections)
        return complain("more threads than connections");
    if (f->requests != 0 && f->requests < f->threads)
        return complain("fewer requests than threads");
    if (f->hold) {
        f->warmup_ns = 0;
        f->pipeline = 1;
    } else if (f->requests != 0 && !warmup_given) {
        f->warmup_ns = 0;
    }
    return 1;
}

static void set_defaults(options *o)
{
    memset(o, 0, sizeof *o);
    o->live = 1;
    o->load.job = LOAD_HTTP;
    o->load.sources = o->sources;
    o->load.connections = 64;
    o->load.pipeline = 1;
    o->load.threads = 1;
    o->load.warmup_ns = UINT64_C(500000000);
    o->load.duration_ns = UINT64_C(10000000000);
    o->load.timeout_ns = UINT64_C(5000000000);
    o->load.watch_signals = 1;
}

int options_parse(options *o, int argc, char **argv)
{
    const char *path = NULL;
    char text[256];
    int warmup_given = 0;
    int i, words;

    set_defaults(o);
    for (i = 1; i < argc; i += words) {
        words = 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0
            || strcmp(argv[i], "--pollers") == 0)
            return OPTIONS_HELP;
        if (strncmp(argv[i], "--", 2) == 0) {
            words = take_option(o, argc - i, argv + i, &path, &warmup_given);
            if (words == 0)
                return OPTIONS_BAD;
        } else if (o->target == NULL) {
            o->target = argv[i];
        } else {
            complain("one target only; see --help");
            return OPTIONS_BAD;
        }
    }
    if (o->target == NULL) {
        complain("no target; see --help");
        return OPTIONS_BAD;
    }
    if (!check_combination(o, warmup_given) || !take_target(o, text, sizeof text, &path)
        || !make_request(o, text, path))
        return OPTIONS_BAD;
    return OPTIONS_RUN;
}
