/* SPDX-License-Identifier: MIT */
/* The rest of the simulated process: environment, output, signals, limits. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gnp_sys_init(void)
{
    return GNP_OK;
}

/* -------------------------------------------------------------- environment */

#define VARIABLES 16

static struct {
    const char *name, *value;
} variables[VARIABLES];

void gnp_sim_setenv(const char *name, const char *value)
{
    unsigned i = 0;

    while (i < VARIABLES - 1 && variables[i].name != NULL && strcmp(variables[i].name, name) != 0)
        i++;
    variables[i].name = name;
    variables[i].value = value;
}

const char *gnp_env(const char *name)
{
    unsigned i;

    for (i = 0; i < VARIABLES && variables[i].name != NULL; i++) {
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    }
    return NULL;
}

/* ------------------------------------------------------------------- output */

/* Seen only with the trace: worlds in their thousands would fill a terminal. */
void gnp_stderr(const char *text, size_t n)
{
    gnp_sim_call();
    gnp_sim_mark("stderr", (int64_t)n, 0, 0);
    if (sim.trace)
        fwrite(text, 1, n, stderr);
}

int gnp_append_open(const char *path, intptr_t *out)
{
    sim_file *f;
    int r;

    (void)path;
    gnp_sim_call();
    f = gnp_sim_file_new(SIM_OTHER, 0, 1);
    r = SIM_MISFORTUNE(sim.knobs.sock_error, GNP_EACCES, GNP_ENOENT, GNP_EMFILE, GNP_EIO);
    if (r == GNP_OK)
        r = gnp_sim_open(f, out);
    if (r != GNP_OK)
        gnp_sim_file_unref(f, 0);
    return gnp_sim_error(r);
}

int gnp_append(intptr_t file, const char *text, size_t n)
{
    (void)gnp_sim_get(file);
    if (gnp_sim_fault(sim.knobs.sock_error))
        return gnp_sim_error(GNP_EIO);
    gnp_stderr(text, n);
    return GNP_OK;
}

void gnp_append_close(intptr_t file)
{
    gnp_descriptor_close(file);
}

int gnp_stderr_is_terminal(void)
{
    return 0;
}

/* ------------------------------------------------------------------ signals */

#define WATCHERS 64 /* as on POSIX */
#define SIGNALS 32

static struct {
    gnp_poller *poller;
    int pending;
} watchers[WATCHERS];
static unsigned keepers; /* holds, and pollers that watch */
static int kept;         /* the signal that has come since the first of them */
static unsigned handlers; /* that run now */
static struct {
    int claimed, came;
    int is_default;      /* a signal that was kept has put the default in the handler's place */
    gnp_poller *route;
} claims[SIGNALS];

static int exists(int what)
{
    static const int all[] = { GNP_SIGNAL_HUP,  GNP_SIGNAL_INT,  GNP_SIGNAL_QUIT, GNP_SIGNAL_USR1,
                               GNP_SIGNAL_USR2, GNP_SIGNAL_TERM, GNP_SIGNAL_CHLD, GNP_SIGNAL_WINCH };
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] == what)
            return 1;
    }
    return 0;
}

static int ends(int what)
{
    return what == GNP_SIGNAL_INT || what == GNP_SIGNAL_TERM;
}

static void keep(void)
{
    if (keepers++ > 0)
        return;
    kept = GNP_SIGNAL_NONE;
    claims[GNP_SIGNAL_INT].is_default = claims[GNP_SIGNAL_TERM].is_default = 0;
}

int gnp_signal_hold(void)
{
    gnp_sim_call();
    if (gnp_sim_rarely())
        return gnp_sim_error(GNP_EMFILE);
    keep();
    return GNP_OK;
}

void gnp_signal_unhold(void)
{
    gnp_sim_call();
    if (keepers == 0)
        gnp_sim_fail("gnp_signal_unhold: without a hold");
    keepers--;
}

static int watcher_of(const gnp_poller *p)
{
    int i;

    for (i = 0; i < WATCHERS; i++) {
        if (watchers[i].poller == p)
            return i;
    }
    return -1;
}

int gnp_signal_watch(gnp_poller *p)
{
    int i;

    gnp_sim_call();
    i = watcher_of(NULL);
    if (i < 0)
        return gnp_sim_error(GNP_EBUSY);
    keep();
    watchers[i].poller = p;
    watchers[i].pending = kept;
    if (kept != GNP_SIGNAL_NONE)
        gnp_wake(p);
    return GNP_OK;
}

int gnp_signal_take(gnp_poller *p)
{
    int i, what;

    gnp_sim_call();
    i = watcher_of(p);
    if (i < 0)
        return GNP_SIGNAL_NONE;
    what = watchers[i].pending;
    watchers[i].pending = GNP_SIGNAL_NONE;
    return what;
}

/* One that runs may have a poller in hand; it ends soon. */
static void handlers_end(void)
{
    while (handlers != 0)
        gnp_sim_pass();
}

void gnp_signal_unwatch(gnp_poller *p)
{
    int i;

    gnp_sim_call();
    i = watcher_of(p);
    if (i < 0)
        return;
    watchers[i].poller = NULL;
    keepers--;
    handlers_end();
}

int gnp_signal_claim(int what)
{
    gnp_sim_call();
    if (!exists(what))
        return gnp_sim_error(GNP_ENOTSUP);
    if (claims[what].claimed)
        return gnp_sim_error(GNP_EBUSY);
    claims[what].claimed = 1;
    claims[what].came = 0;
    claims[what].route = NULL;
    return GNP_OK;
}

void gnp_signal_disclaim(int what)
{
    gnp_sim_call();
    claims[what].claimed = 0;
    claims[what].route = NULL;
    claims[what].is_default = kept != GNP_SIGNAL_NONE; /* those who watch have had their signal */
    handlers_end();
}

void gnp_signal_route(int what, gnp_poller *p)
{
    gnp_sim_call();
    claims[what].route = p;
    handlers_end();
    if (p != NULL && claims[what].came)
        gnp_wake(p);
}

int gnp_signal_came(int what)
{
    int came;

    gnp_sim_call();
    came = claims[what].came; /* not before: one that comes in between is not lost */
    claims[what].came = 0;
    return came;
}

static void tell_watchers(int what)
{
    int i;

    kept = what;
    claims[GNP_SIGNAL_INT].is_default = !claims[GNP_SIGNAL_INT].claimed;
    claims[GNP_SIGNAL_TERM].is_default = !claims[GNP_SIGNAL_TERM].claimed;
    for (i = 0; i < WATCHERS; i++) {
        if (watchers[i].poller != NULL) {
            watchers[i].pending = what;
            gnp_wake(watchers[i].poller);
        }
    }
}

static int deliver(int what)
{
    if (claims[what].claimed) {
        claims[what].came = 1;
        if (claims[what].route != NULL)
            gnp_wake(claims[what].route);
        return 1;
    }
    if (keepers == 0 || !ends(what))
        return 0;
    if (claims[what].is_default)
        return -1;
    tell_watchers(what);
    return 1;
}

int gnp_sim_signal(int what)
{
    int r;

    gnp_sim_call();
    gnp_sim_mark("kill", what, 0, 0);
    if (!exists(what))
        gnp_sim_fail("there is no signal %d", what);
    handlers++;
    r = deliver(what);
    handlers--;
    return r;
}

/* ------------------------------------------------------------ CPU and limits */

unsigned gnp_cpu_count(void)
{
    return 2;
}

int gnp_cpu_pin(unsigned i)
{
    (void)i;
    return GNP_OK;
}

#define PROGRAM_BYTES UINT64_C(1048576) /* what it has resident beside its heap */

uint64_t gnp_resident(void)
{
    return PROGRAM_BYTES + sim.bytes;
}

uint64_t gnp_descriptor_limit(int raise)
{
    (void)raise;
    return sim.knobs.descriptors != 0 ? sim.knobs.descriptors : UINT64_MAX;
}

int gnp_descriptor_limit_set(uint64_t n)
{
    sim.knobs.descriptors = n < UINT32_MAX ? (unsigned)n : 0;
    return GNP_OK;
}

/* Each world begins with a process that has done nothing yet. */
void gnp_sim_begin_sys(void)
{
    memset(variables, 0, sizeof(variables));
    memset(watchers, 0, sizeof(watchers));
    memset(claims, 0, sizeof(claims));
    keepers = 0;
    handlers = 0;
    kept = GNP_SIGNAL_NONE;
}
