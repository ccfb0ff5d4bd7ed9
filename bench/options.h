/* SPDX-License-Identifier: MIT */
/* The command line of gannet-load. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "load.h"

typedef struct options {
    load_config load;
    const char *target; /* as given */
    const char *json;   /* file, "-" for standard output, NULL: none */
    int live;
    gnp_addr sources[LOAD_SOURCES_MAX];
    char request[4096];
} options;

enum { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_BAD };

/* OPTIONS_BAD after a message on standard error. */
int options_parse(options *o, int argc, char **argv);

void options_help(void);

/* Number with an optional unit.  1, or 0 when it is none.  Durations: ns us ms s m, without one s;
 * sizes: K M (powers of 1024); counts: k M (powers of 1000). */
int parse_duration(const char *text, uint64_t *ns);
int parse_size(const char *text, uint64_t *bytes);
int parse_count(const char *text, uint64_t *count);

#endif
