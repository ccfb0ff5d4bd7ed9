/* SPDX-License-Identifier: MIT */
/*
 * The cases on the simulated system: each in a world of its own, in the process that Check has made for it.
 * The suite runs in one weather after another, and each weather twice: the second run of a case must do
 * exactly what the first did.
 */
#include "conform.h"
#include "platform/sim/sim.h"

#include <signal.h> /* raise is of the C standard */

/* $GANNET_SIM_SEED, or this one. */
#define SEED 1

static const struct weather {
    const char *name;
    gnp_sim_knobs knobs;
} weathers[] = {
    { "no faults", { .switch_point = 16, .latency_ns = 10000, .reuseport_balances = 1 } },
};

#define WEATHERS ((int)(sizeof(weathers) / sizeof(weathers[0])))

static int pass;
static FILE *hashes; /* of the worlds of two passes, in order; the cases' processes write them */
static uint64_t first[4096];
static unsigned first_n;

int system_passes(void)
{
    return 2 * WEATHERS;
}

const char *system_pass(int n)
{
    static char name[100];

    pass = n;
    if (hashes != NULL)
        fclose(hashes);
    hashes = tmpfile();
    if (hashes == NULL)
        return "no temporary file";
    snprintf(name, sizeof(name), "%s%s", weathers[n / 2].name, n % 2 != 0 ? ", again" : "");
    return name;
}

/* A case that failed, or had to end its process, has left no hash. */
static int has_hash(TestResult *t)
{
    return tr_rtype(t) == CK_PASS && strcmp(tr_tcname(t), "second_signal_kills") != 0;
}

int system_judge(SRunner *r)
{
    TestResult **all = srunner_results(r);
    int i, bad = 0, n = srunner_ntests_run(r);
    unsigned k = 0;
    unsigned long long hash;

    rewind(hashes);
    for (i = 0; i < n; i++) {
        if (!has_hash(all[i]))
            continue;
        if (fscanf(hashes, "%llx", &hash) != 1 || k == sizeof(first) / sizeof(first[0])) {
            printf("%s: its world has no hash\n", tr_tcname(all[i]));
            bad++;
            break;
        }
        if (pass % 2 == 0) {
            first[k] = hash;
        } else if (first_n > k && first[k] != hash) {
            printf("%s: the hash of its world was %016llx, and is %016llx\n", tr_tcname(all[i]),
                   (unsigned long long)first[k], hash);
            bad++;
        }
        k++;
    }
    free(all);
    if (pass % 2 == 0)
        first_n = k;
    else if (bad == 0)
        printf("%u worlds, each twice with the same hash\n", k);
    return bad;
}

/* ---------------------------------------------------------------- worlds */

static disposition dispositions[32];
static int handled;

void system_begin(void)
{
    static const char *const passed[] = { "GANNET_TEST_SCALE" };
    const char *seed = getenv("GANNET_SIM_SEED");
    gnp_sim_config c = { .knobs = weathers[pass / 2].knobs, .trace = getenv("GANNET_SIM_TRACE") != NULL };
    size_t i;

    c.seed = seed != NULL ? strtoull(seed, NULL, 0) : SEED;
    gnp_sim_begin(&c);
    for (i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        if (getenv(passed[i]) != NULL)
            gnp_sim_setenv(passed[i], getenv(passed[i]));
    }
    memset(dispositions, 0, sizeof(dispositions));
    handled = 0;
}

void system_end(void)
{
    gnp_sim_result r;

    gnp_sim_end(&r);
    if (hashes == NULL)
        return;
    fprintf(hashes, "%016llx\n", (unsigned long long)r.hash);
    fflush(hashes);
}

int system_hints(void)
{
    return gnp_sim_knobs_now()->spurious_event != 0;
}

/* ----------------------------------------------------------------- files */

intptr_t stream_file(size_t n)
{
    static unsigned char *data; /* the largest so far; every one begins like it */
    static size_t size;
    intptr_t os;

    if (data == NULL || n > size) {
        data = malloc(n + 1);
        ck_assert_ptr_nonnull(data);
        size = n;
        stream_fill(data, 0, n);
    }
    gnp_sim_file("data", data, n);
    ck_assert_int_eq(gnp_file_open(&os, "data"), GNP_OK);
    ck_assert_int_eq(gnp_sim_unlink("data"), 1);
    return os;
}

void path_make(const char *path)
{
    gnp_sim_file(path, "", 0);
}

int path_exists(const char *path)
{
    return gnp_sim_exists(path);
}

int path_remove(const char *path)
{
    return gnp_sim_unlink(path);
}

int path_rename(const char *path, const char *to)
{
    return gnp_sim_rename(path, to);
}

/* --------------------------------------------------------------- signals */

void signal_dispose(int what, disposition how)
{
    dispositions[what] = how;
}

disposition signal_disposition(int what)
{
    disposition was = dispositions[what];

    dispositions[what] = DEFAULT;
    return was;
}

void signal_send(int what)
{
    int r = gnp_sim_signal(what);

    if (r == 1)
        return;
    if (r < 0 || dispositions[what] == DEFAULT)
        raise(what == GNP_SIGNAL_INT ? SIGINT : SIGTERM);
    handled += dispositions[what] == HANDLE;
}

int signals_handled(void)
{
    int n = handled;

    handled = 0;
    return n;
}
