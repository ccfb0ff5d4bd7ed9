/* SPDX-License-Identifier: MIT */
/* What the example servers share: their command line, and starting and stopping. */
#ifndef COMMON_H
#define COMMON_H

#include <gannet.h>

#define COMMON_LISTEN_MAX 64

/* A flag of one program beside the shared ones: a number, or a text. */
struct common_flag {
    const char *name;  /* with its unit, "max-body BYTES"; NULL ends the table */
    const char *help;
    uint64_t *value;   /* a number of at most max */
    uint64_t max;
    const char **text; /* instead of value; borrowed from the command line */
};

struct common {
    /* The program says: */
    const char *name;
    const char *about;               /* one line */
    const char *addr;                /* where it listens if nobody says otherwise */
    const struct common_flag *flags; /* may be NULL */
    /* common_parse fills in: */
    const char *listen[COMMON_LISTEN_MAX];
    unsigned listen_count;
    int stats;
    gn_options options;
};

/* Reads the command line.  1: go on; 0: end the program with *status. */
int common_parse(struct common *o, int argc, char **argv, int *status);

/* Says what is wrong with a flag, and how the program is used.  Gives the exit status, 2. */
int common_complain(const struct common *o, const char *what, const char *value);

/* Listens on all addresses and runs until a signal ends it.  Gives the exit status: 0 after
 * an orderly stop, 1 if the system refused something, 2 if the user asked for nonsense. */
int common_run(struct common *o, const gn_handler *handler, void *user);

/* Prints "listening on ADDR", with the real port, for every address.  Its form is that of
 * on_boot, for that is the time to say it: the addresses are bound, clients may come. */
gn_action common_on_boot(gn_engine *e, void *user);

#endif
