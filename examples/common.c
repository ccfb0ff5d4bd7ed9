/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const lb_names[] = {
    [GN_LB_ROUND_ROBIN] = "round-robin",
    [GN_LB_LEAST_CONNECTIONS] = "least-connections",
    [GN_LB_SOURCE_HASH] = "source-hash",
    [GN_LB_POWER_OF_TWO] = "power-of-two"
};

static void usage(const struct common *o, FILE *out)
{
    const char *poller;
    int available;

    fprintf(out,
            "usage: %s [flags]\n%s\n\n"
            "  --listen ADDR             tcp tcp4 tcp6 udp udp4 udp6 ://host:port, or unix://path;\n"
            "                            may be given more than once; port 0 takes a free one\n"
            "                            (%s)\n"
            "  --loops N                 event loops, 0 for one per CPU (0)\n"
            "  --poller NAME            ",
            o->name, o->about, o->addr);
    for (unsigned i = 0; (poller = gn_poller_name(i, &available)) != NULL; i++)
        fprintf(out, " %s%s", poller, available ? "" : " (not on this system)");
    fprintf(out,
            "\n"
            "  --edge-triggered[=CHUNK]  edge-triggered polling, CHUNK bytes a turn at most\n"
            "  --reuseport               one listener per loop, balanced by the kernel\n"
            "  --lb NAME                 round-robin, least-connections, source-hash or power-of-two\n"
            "  --spin MICROSECONDS       poll for so long before sleeping: less latency for more CPU (0)\n"
            "  --stats                   at the end, print how many connections each loop took\n");
    for (const struct common_flag *f = o->flags; f && f->name; f++) {
        if (f->text)
            fprintf(out, "  --%-23s %s (%s)\n", f->name, f->help, *f->text ? *f->text : "none");
        else
            fprintf(out, "  --%-23s %s (%llu)\n", f->name, f->help, (unsigned long long)*f->value);
    }
    fprintf(out, "  --help\n");
}

int common_complain(const struct common *o, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s%s%s\n", o->name, what, value ? ": " : "", value ? value : "");
    usage(o, stderr);
    return 2;
}

/* Decimal digits and nothing else, at most max. */
static int number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (*text == 0)
        return 0;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(unsigned char)*text - '0';

        if (digit > 9 || v > (max - digit) / 10 || digit > max)
            return 0;
        v = v * 10 + digit;
    }
    *out = v;
    return 1;
}

static int lb_find(const char *name, gn_lb *out)
{
    for (size_t i = 0; i < COUNT(lb_names); i++) {
        if (strcmp(name, lb_names[i]) == 0) {
            *out = (gn_lb)i;
            return 1;
        }
    }
    return 0;
}

static int extra_flag(struct common *o, const char *name, const char *value)
{
    size_t n = strlen(name);

    for (const struct common_flag *f = o->flags; f && f->name; f++) {
        if (strncmp(name, f->name, n) != 0 || f->name[n] != ' ')
            continue;
        if (!f->text)
            return number(value, f->max, f->value);
        *f->text = value;
        return *value != 0;
    }
    return -1;
}

/* A flag with a value.  1: good, 0: a bad value, -1: no such flag. */
static int flag_value(struct common *o, const char *name, const char *value)
{
    uint64_t n;

    if (strcmp(name, "listen") == 0) {
        if (o->listen_count == COMMON_LISTEN_MAX)
            return 0;
        o->listen[o->listen_count++] = value;
        return 1;
    }
    if (strcmp(name, "loops") == 0) {
        if (!number(value, GN_MAX_LOOPS, &n))
            return 0;
        o->options.loops = (unsigned)n;
        return 1;
    }
    if (strcmp(name, "spin") == 0) {
        if (!number(value, 1000000, &n))
            return 0;
        o->options.spin_us = (unsigned)n;
        return 1;
    }
    if (strcmp(name, "poller") == 0) {
        o->options.poller = value;
        return *value != 0; /* the library would take "" for its default */
    }
    if (strcmp(name, "lb") == 0)
        return lb_find(value, &o->options.lb);
    return extra_flag(o, name, value);
}

/* A flag that can stand alone.  1: good, 0: a bad value, -1: no such flag. */
static int flag_plain(struct common *o, const char *name, const char *value)
{
    uint64_t n;

    if (strcmp(name, "edge-triggered") == 0) {
        o->options.edge_triggered = 1;
        if (!value)
            return 1;
        if (!number(value, SIZE_MAX, &n) || n == 0)
            return 0;
        o->options.edge_chunk = (size_t)n;
        return 1;
    }
    if (strcmp(name, "reuseport") == 0)
        o->options.reuseport = 1;
    else if (strcmp(name, "stats") == 0)
        o->stats = 1;
    else
        return -1;
    return value == NULL;
}

/* --name, --name value or --name=value. */
int common_parse(struct common *o, int argc, char **argv, int *status)
{
    gn_options_init(&o->options);
    o->options.stop_on_signals = 1;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = strchr(arg, '=');
        char name[32];
        size_t length = value ? (size_t)(value - arg) : strlen(arg);
        int known;

        if (strcmp(arg, "--help") == 0) {
            usage(o, stdout);
            *status = 0;
            return 0;
        }
        if (strncmp(arg, "--", 2) != 0 || length - 2 >= sizeof name) {
            *status = common_complain(o, "not a flag", arg);
            return 0;
        }
        memcpy(name, arg + 2, length - 2);
        name[length - 2] = 0;
        value = value ? value + 1 : NULL;
        known = flag_plain(o, name, value);
        if (known < 0 && !value && i + 1 < argc)
            value = argv[++i];
        if (known < 0 && value)
            known = flag_value(o, name, value);
        if (known <= 0) {
            const char *what = known < 0 ? "no such flag, or its value is missing" : "bad value";

            *status = common_complain(o, what, arg);
            return 0;
        }
    }
    if (o->listen_count == 0)
        o->listen[o->listen_count++] = o->addr;
    return 1;
}

gn_action common_on_boot(gn_engine *e, void *user)
{
    char url[GN_ADDR_TEXT_MAX];

    (void)user;
    for (unsigned i = 0; i < gn_engine_addr_count(e); i++)
        if (gn_engine_url(e, i, url, sizeof url) >= 0)
            printf("listening on %s\n", url);
    fflush(stdout); /* whoever waits for this line reads from a pipe */
    return GN_NONE;
}

static int failed(const struct common *o, const char *what, int code)
{
    fprintf(stderr, "%s: %s: %s\n", o->name, what, gn_strerror(code));
    return 1;
}

static int listen_all(const struct common *o, gn_engine *e)
{
    for (unsigned i = 0; i < o->listen_count; i++) {
        int rc = gn_engine_listen(e, o->listen[i]);

        if (rc == GN_OK)
            continue;
        failed(o, o->listen[i], rc);
        if (rc != GN_EADDR && rc != GN_ESCHEME && rc != GN_ENAMETOOLONG)
            return 1;
        usage(o, stderr);
        return 2;
    }
    return 0;
}

static void print_stats(const gn_engine *e)
{
    for (unsigned i = 0; i < gn_engine_loop_count(e); i++)
        fprintf(stderr, "loop %u: %llu connections\n", i, (unsigned long long)gn_engine_loop_accepted(e, i));
}

int common_run(struct common *o, const gn_handler *handler, void *user)
{
    gn_engine *e;
    int status, rc = gn_engine_create(&e, handler, user, &o->options);

    if (rc == GN_ENOENT)
        return common_complain(o, "no such poller", o->options.poller);
    if (rc != GN_OK)
        return failed(o, "cannot make an engine", rc);
    status = listen_all(o, e);
    if (status == 0) {
        rc = gn_engine_run(e);
        if (rc != GN_OK)
            status = failed(o, "stopped", rc);
        if (o->stats)
            print_stats(e);
    }
    gn_engine_destroy(e);
    return status;
}
