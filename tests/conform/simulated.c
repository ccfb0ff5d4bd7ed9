/* SPDX-License-Identifier: MIT */
/*
 * The cases on the simulated system: each in a world of its own, in the process that Check has made for it.
 * The suite runs in one weather after another, and each weather twice: the second run of a case must do
 * exactly what the first did.
 *
 * In the worse one verbs cut, say GNP_AGAIN and hint for nothing, as the contract lets them.  The cases don't
 * see that: the patient verbs below stand between, which ask again and drop the hints.  What is lost
 * on the way, or hinted at where no hint may be, they and the cases find.
 */
#define CONFORM_IMPATIENT
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
    { "all that costs nothing",
      { .switch_point = 64, .spurious_cond = 256, .slow_call = 4, .slow_call_ns = 20000,
        .short_read = 200, .short_write = 200, .again = 200, .spurious_event = 200, .interrupted = 200,
        .connect_at_once = 512, .reset_drops = 512, .late_send = 512, .pipe_bytes = 40000,
        .latency_ns = 50000 } },
};

#define WEATHERS ((int)(sizeof(weathers) / sizeof(weathers[0])))

static int pass;
static FILE *hashes; /* of the worlds of two passes, in order; the cases' processes write them */
static uint64_t first[4096];
static unsigned first_n;

/* Where everything is slow each weather comes once: that hashes are equal is no matter of tools. */
static int twice(void)
{
    return scaled(2, 1) == 2;
}

int system_passes(void)
{
    return twice() ? 2 * WEATHERS : WEATHERS;
}

const char *system_pass(int n)
{
    static char name[100];

    pass = twice() ? n : 2 * n;
    if (hashes != NULL)
        fclose(hashes);
    hashes = tmpfile();
    if (hashes == NULL)
        return "no temporary file";
    snprintf(name, sizeof(name), "%s%s", weathers[pass / 2].name, pass % 2 != 0 ? ", again" : "");
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

/* ---------------------------------------------------------- patient verbs */

/* The chance of a GNP_AGAIN for nothing is 200 of 1,024: so many in a row are meant. */
#define TRIES 40

static int tries(void)
{
    return gnp_sim_knobs_now()->again != 0 ? TRIES : 1;
}

/* Leaves what is not for nothing; the poller of the simulated system says in event.bytes what is. */
static int strip(gnp_event *events, int n)
{
    int i, k = 0;

    for (i = 0; i < n; i++) {
        gnp_event e = events[i];
        if (e.what == GNP_EV_SENT) { /* here bytes are bytes */
            events[k++] = e;
            continue;
        }
        ck_assert((e.bytes & ~(size_t)e.what) == 0);
        if (e.bytes & GNP_EV_READABLE)
            ck_assert_msg(e.sock->interest & GNP_READ, "a hint to read without interest (clause 10)");
        e.what &= ~(uint32_t)e.bytes;
        e.bytes = 0;
        if (e.what != 0)
            events[k++] = e;
    }
    memset(events + k, 0, (size_t)(n - k) * sizeof(*events));
    return k;
}

int patient_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline)
{
    const gnp_sim_knobs *k = gnp_sim_knobs_now();
    int n;

    do {
        n = gnp_poller_wait(p, events, cap, deadline);
        if (n > 0)
            n = strip(events, n);
    } while (n == 0 && (k->interrupted || k->spurious_event) && gnp_now() < deadline);
    return n;
}

int patient_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    int i = tries(), r;

    while ((r = gnp_recv(p, s, data, n)) == GNP_AGAIN && --i > 0)
        ;
    return r;
}

int patient_accept(gnp_poller *p, gnp_sock *l, gnp_sock *out, gnp_addr *peer)
{
    int i = tries(), r;

    while ((r = gnp_accept(p, l, out, peer)) == GNP_AGAIN && --i > 0)
        ;
    return r;
}

int patient_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    int i = tries(), r;

    while ((r = gnp_recvfrom(p, s, out)) == GNP_AGAIN && --i > 0)
        ;
    return r;
}

int patient_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    unsigned done = 0;
    int i = tries(), r;

    do {
        r = gnp_sendto(p, s, out + done, count - done, sent);
        done += *sent;
    } while (r == GNP_AGAIN && --i > 0);
    *sent = done;
    return r;
}

/* Drops the first n bytes of the spans. */
static unsigned cut(gnp_iov *v, unsigned count, size_t n)
{
    unsigned i = 0;

    while (i < count && n >= v[i].len)
        n -= v[i++].len;
    memmove(v, v + i, (count - i) * sizeof(*v));
    if (i < count) {
        v[0].base = (const char *)v[0].base + n;
        v[0].len -= n;
    }
    return count - i;
}

int patient_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent)
{
    gnp_iov *v;
    size_t done = 0;
    int i = tries(), r;

    if (flags & GNP_SEND_PINNED) /* those who pin are patient themselves */
        return gnp_send(p, s, iov, count, flags, sent);
    v = malloc((count + 1) * sizeof(*v));
    ck_assert_ptr_nonnull(v);
    memcpy(v, iov, count * sizeof(*v));
    do {
        r = gnp_send(p, s, v, count, flags, sent);
        if (r == GNP_OK) {
            done += *sent;
            count = cut(v, count, *sent);
            i = tries() > 1 ? tries() : 0;
        }
    } while (count > 0 && i > 0 && (r == GNP_OK || (r == GNP_AGAIN && --i > 0)));
    free(v);
    *sent = done;
    return done > 0 ? GNP_OK : r;
}

int patient_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    uint64_t size = 0, done = 0;
    int i = tries(), r;

    (void)gnp_file_size(file, &size);
    do {
        r = gnp_sendfile(p, s, file, offset + done, n - done, sent);
        done += *sent;
    } while (i > 1 && done < n && ((r == GNP_OK && offset + done < size) || (r == GNP_AGAIN && --i > 0)));
    *sent = done;
    return done > 0 ? GNP_OK : r;
}

int patient_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n, size_t *sent)
{
    int i = tries(), r;
    size_t more;

    while ((r = gnp_send_descriptor(p, s, os, data, n, sent)) == GNP_AGAIN && --i > 0)
        ;
    if (r == GNP_OK && *sent < n && tries() > 1) {
        gnp_iov rest = { (const char *)data + *sent, n - *sent };
        if (patient_send(p, s, &rest, 1, 0, &more) == GNP_OK)
            *sent += more;
    }
    return r;
}

/* ----------------------------------------------------------------- files */

/* What files borrow, as long as descriptors may be open: the largest first; every one begins like it. */
typedef struct contents {
    struct contents *smaller;
    size_t size;
    unsigned char data[];
} contents;

intptr_t stream_file(size_t n)
{
    static contents *largest;
    intptr_t os;

    if (largest == NULL || n > largest->size) {
        contents *k = malloc(sizeof *k + n + 1);
        ck_assert_ptr_nonnull(k);
        k->smaller = largest;
        k->size = n;
        stream_fill(k->data, 0, n);
        largest = k;
    }
    gnp_sim_file("data", largest->data, n);
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

    dispositions[what] = SIGNAL_DEFAULT;
    return was;
}

void signal_send(int what)
{
    int r = gnp_sim_signal(what);

    if (r == 1)
        return;
    if (r < 0 || dispositions[what] == SIGNAL_DEFAULT)
        raise(what == GNP_SIGNAL_INT ? SIGINT : SIGTERM);
    handled += dispositions[what] == SIGNAL_HANDLE;
}

int signals_stay(void)
{
    return 1;
}

int signals_handled(void)
{
    int n = handled;

    handled = 0;
    return n;
}
