/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "worker.h"

#define ECHO_PERIOD 65537u        /* prime; see worker.h */
#define SPAN_MIN ((size_t)64 << 10)
#define SPAN_MAX ((size_t)256 << 10) /* most bytes of one send */
#define POLL_NS UINT64_C(20000000) /* between two looks at the threads */
#define DESCRIPTORS_EXTRA 16u     /* standard streams, pollers and wake-ups of one thread, with room */

const char *const load_error_name[LOAD_ERRORS] = {
    "connect", "timeout", "reset", "closed", "bad", "status", "other"
};

uint64_t load_errors(const load_result *r)
{
    uint64_t n = 0;
    int i;

    for (i = 0; i < LOAD_ERRORS; i++)
        n += r->errors[i];
    return n;
}

static int wave_make(wave *v, const load_config *f)
{
    size_t burst = f->request_len * f->pipeline;
    uint64_t x = UINT64_C(0x9E3779B97F4A7C15);
    size_t i;

    v->period = f->job == LOAD_ECHO ? ECHO_PERIOD : f->request_len;
    v->span = burst < SPAN_MIN ? SPAN_MIN : burst > SPAN_MAX ? SPAN_MAX : burst;
    v->bytes = gnp_alloc(v->period + v->span);
    if (v->bytes == NULL)
        return GNP_ENOMEM;
    for (i = 0; i < v->period; i++) {
        if (f->job == LOAD_HTTP) {
            v->bytes[i] = (unsigned char)f->request[i];
            continue;
        }
        x ^= x << 13; /* xorshift64, Marsaglia 2003 */
        x ^= x >> 7;
        x ^= x << 17;
        v->bytes[i] = (unsigned char)(x >> 56);
    }
    for (; i < v->period + v->span; i++)
        v->bytes[i] = v->bytes[i - v->period];
    return GNP_OK;
}

static int config_check(const load_config *f)
{
    uint64_t limit;

    if (f->connections == 0 || f->connections > LOAD_CONNECTIONS_MAX || f->pipeline == 0
        || f->pipeline > LOAD_PIPELINE_MAX || f->threads == 0 || f->threads > LOAD_THREADS_MAX
        || f->threads > f->connections || f->request_len == 0 || f->request_len > LOAD_ECHO_MAX
        || (f->reconnect && f->pipeline != 1) || f->timeout_ns == 0)
        return GNP_EINVAL;
    limit = gnp_descriptor_limit(1);
    return limit < (uint64_t)f->connections + f->threads * DESCRIPTORS_EXTRA ? GNP_EMFILE : GNP_OK;
}

static int worker_make(load_worker *w, load_run_state *run, unsigned index, unsigned first)
{
    const load_config *f = run->config;
    unsigned i;

    w->config = f;
    w->run = run;
    w->index = index;
    w->count = f->connections / f->threads + (index < f->connections % f->threads);
    w->quota = f->requests == 0 ? UINT64_MAX : f->requests / f->threads + (index < f->requests % f->threads);
    hdr_init(&w->result.latency);
    w->conns = gnp_zalloc(w->count * sizeof *w->conns);
    w->started = gnp_alloc((size_t)w->count * f->pipeline * sizeof *w->started);
    if (w->conns == NULL || w->started == NULL)
        return GNP_ENOMEM;
    for (i = 0; i < w->count; i++) {
        w->conns[i].number = first + i;
        w->conns[i].started = w->started + (size_t)i * f->pipeline;
    }
    return GNP_OK;
}

static void worker_free(load_worker *w)
{
    gnp_free(w->conns, w->count * sizeof *w->conns);
    gnp_free(w->started, (size_t)w->count * w->config->pipeline * sizeof *w->started);
}

static void progress_take(load_worker *w, unsigned n, load_run_state *run, load_progress *p)
{
    const load_config *f = run->config;
    uint64_t start = gnp_load64(&run->start_ns), now = gnp_now();
    unsigned i;

    memset(p, 0, sizeof *p);
    p->elapsed_ns = start != 0 && now > start ? now - start : 0;
    p->measuring = p->elapsed_ns >= f->warmup_ns && p->elapsed_ns < f->warmup_ns + f->duration_ns;
    for (i = 0; i < n; i++) {
        uint64_t max = gnp_load64_relaxed(&w[i].live_max);

        p->done += gnp_load64_relaxed(&w[i].live_done);
        p->bytes += gnp_load64_relaxed(&w[i].live_bytes);
        p->errors += gnp_load64_relaxed(&w[i].live_errors);
        p->latency_sum_ns += gnp_load64_relaxed(&w[i].live_sum);
        p->connections += gnp_load64_relaxed(&w[i].live_open);
        if (max > p->latency_max_ns)
            p->latency_max_ns = max;
        gnp_store64_relaxed(&w[i].live_max, 0);
    }
}

/* Shows progress until every thread is over. */
static void watch(load_worker *w, unsigned n, load_run_state *run)
{
    const load_config *f = run->config;
    uint64_t next = gnp_now() + f->progress_ns;
    load_progress p;
    unsigned i = 0;

    while (i < n) {
        uint64_t now = gnp_now();

        if (gnp_load32(&w[i].over)) {
            i++;
        } else if (now < next) {
            gnp_sleep_until(next - now < POLL_NS ? next : now + POLL_NS);
        } else {
            progress_take(w, n, run, &p);
            f->on_progress(&p, f->user);
            next += f->progress_ns;
        }
    }
}

static void merge(load_result *to, const load_result *from)
{
    int i;

    hdr_add(&to->latency, &from->latency);
    to->requests += from->requests;
    to->total += from->total;
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    for (i = 0; i < LOAD_ERRORS; i++)
        to->errors[i] += from->errors[i];
    to->unsent += from->unsent;
    to->connects += from->connects;
    if (from->connect_ns > to->connect_ns)
        to->connect_ns = from->connect_ns;
    if (from->elapsed_ns > to->elapsed_ns)
        to->elapsed_ns = from->elapsed_ns;
    if (from->total_ns > to->total_ns)
        to->total_ns = from->total_ns;
    to->interrupted |= from->interrupted;
    if (to->fatal == GNP_OK) {
        to->fatal = from->fatal;
        to->fatal_os = from->fatal_os;
    }
    memcpy(to->poller, from->poller, sizeof to->poller);
}

/* Starts the threads and waits for them; one thread alone without a display is the caller's own. */
static int workers_run(load_worker *w, unsigned n, load_run_state *run)
{
    unsigned i, started;
    int r = GNP_OK;

    if (n == 1 && run->config->on_progress == NULL) {
        load_worker_main(w);
        return GNP_OK;
    }
    for (started = 0; started < n && r == GNP_OK; started += r == GNP_OK)
        r = gnp_thread_start(&w[started].thread, load_worker_main, &w[started], "load");
    if (r != GNP_OK)
        gnp_store32(&run->fatal, 1);
    if (r == GNP_OK && run->config->on_progress != NULL)
        watch(w, n, run);
    for (i = 0; i < started; i++)
        gnp_thread_join(&w[i].thread);
    return r;
}

int load_run(const load_config *config, load_result *result)
{
    load_run_state run;
    load_worker *w;
    unsigned i, first = 0, made = 0;
    int r = config_check(config);

    memset(result, 0, sizeof *result);
    hdr_init(&result->latency);
    if (r != GNP_OK)
        return r;
    memset(&run, 0, sizeof run);
    run.config = config;
    w = gnp_zalloc(config->threads * sizeof *w);
    r = w == NULL ? GNP_ENOMEM : gnp_sys_init();
    if (r == GNP_OK)
        r = wave_make(&run.wave, config);
    while (r == GNP_OK && made < config->threads) {
        r = worker_make(&w[made], &run, made, first);
        first += w[made++].count;
    }
    if (r == GNP_OK)
        r = workers_run(w, made, &run);
    for (i = 0; i < made; i++) {
        if (r == GNP_OK)
            merge(result, &w[i].result);
        worker_free(&w[i]);
    }
    gnp_free(run.wave.bytes, run.wave.period + run.wave.span);
    gnp_free(w, config->threads * sizeof *w);
    return r != GNP_OK ? r : result->fatal;
}
