/* SPDX-License-Identifier: MIT */
/* What a thread does from start to end: connect, wait for the others, run, drain, close. */
#include <string.h>

#include "worker.h"

#define CONNECT_LIMIT_NS UINT64_C(20000000000)
#define SWEEP_NS UINT64_C(50000000)      /* between two looks at all connections */
#define READY_NS UINT64_C(1000000)       /* between two looks at the other threads */
#define UNSENT_STEPS UINT64_C(1000000)

static void phase_connect(load_worker *w, uint64_t now)
{
    unsigned i;

    for (i = 0; i < LOAD_CONNECTING_MAX && w->connecting < LOAD_CONNECTING_MAX && w->next_open < w->count
         && w->result.fatal == GNP_OK && !w->config->reconnect; i++)
        load_conn_open(w, &w->conns[w->next_open++], now);
    if (w->result.fatal != GNP_OK) {
        w->phase = PHASE_OVER;
        return;
    }
    if (!w->config->reconnect && w->open < w->count && now - w->begin_ns < CONNECT_LIMIT_NS)
        return;
    w->result.connect_ns = now - w->begin_ns;
    w->phase = PHASE_READY;
    /* The last one fires the starting gun, a little ahead so that nobody is late. */
    if (gnp_add32(&w->run->ready, 1) + 1 == w->config->threads)
        gnp_store64(&w->run->start_ns, now + (w->config->threads > 1 ? 2 * READY_NS : 0));
}

static void phase_ready(load_worker *w, uint64_t now)
{
    const load_config *f = w->config;
    uint64_t start = gnp_load64(&w->run->start_ns);
    unsigned i;

    if (start == 0 || now < start)
        return;
    w->begin_ns = start;
    w->measure_ns = start + f->warmup_ns;
    w->stop_ns = w->measure_ns + f->duration_ns;
    if (f->rate > 0.0)
        schedule_init(&w->schedule, start, f->rate, w->index, f->threads);
    w->phase = PHASE_RUN;
    for (i = 0; i < w->count; i++) {
        if (load_conn_has_room(w, &w->conns[i], now))
            load_conn_room(w, &w->conns[i], now);
    }
}

static void mark(load_worker *w, int which, uint64_t now)
{
    if (w->marked != which)
        return;
    w->marked++;
    if (w->index == 0 && w->config->on_mark != NULL)
        w->config->on_mark(which, now, w->total, w->config->user);
}

static void phase_run(load_worker *w, uint64_t now)
{
    uint64_t stop = gnp_load64(&w->run->stop_ns);

    if (stop != 0 && stop < w->stop_ns) {
        w->stop_ns = stop;
        w->result.interrupted = 1;
    }
    if (now >= w->measure_ns)
        mark(w, LOAD_MARK_BEGIN, now);
    if (now < w->stop_ns && (w->quota != 0 || w->outstanding != 0))
        return;
    load_begin_due(w, now); /* what was due before the end, but we woke up after it */
    mark(w, LOAD_MARK_END, now);
    w->drain_ns = now;
    w->phase = w->config->hold ? PHASE_OVER : PHASE_DRAIN;
}

/* The schedule's requests that never left have waited too; without them the slowest would be missing. */
static void count_unsent(load_worker *w, uint64_t now)
{
    uint64_t n, step, end;

    if (w->config->rate <= 0.0 || w->measure_ns == 0 || w->quota == 0)
        return;
    end = schedule_first(&w->schedule, w->stop_ns);
    n = end > w->due ? end - w->due : 0;
    if (n > w->quota)
        n = w->quota;
    w->result.unsent = n;
    for (step = 1 + n / UNSENT_STEPS; n != 0; ) {
        uint64_t part = n < step ? n : step;

        hdr_record_n(&w->result.latency, now - schedule_time(&w->schedule, w->due), part);
        w->due += part;
        n -= part;
    }
}

static void phase_drain(load_worker *w, uint64_t now)
{
    if (w->outstanding != 0 && now - w->drain_ns < w->config->timeout_ns)
        return;
    if (w->outstanding != 0) {
        w->result.errors[LOAD_E_TIMEOUT] += w->outstanding;
        w->errors_seen += w->outstanding;
    }
    w->phase = PHASE_OVER;
}

static void phase_step(load_worker *w, uint64_t now)
{
    if (gnp_load32(&w->run->fatal) || (w->phase < PHASE_RUN && gnp_load64(&w->run->stop_ns) != 0)) {
        w->result.interrupted = w->result.fatal == GNP_OK && !gnp_load32(&w->run->fatal);
        w->phase = PHASE_OVER;
        return;
    }
    if (w->phase == PHASE_CONNECT)
        phase_connect(w, now);
    if (w->phase == PHASE_READY)
        phase_ready(w, now);
    if (w->phase == PHASE_RUN)
        phase_run(w, now);
    if (w->phase == PHASE_DRAIN)
        phase_drain(w, now);
}

static uint64_t next_deadline(const load_worker *w, uint64_t now)
{
    uint64_t next = w->sweep_ns;
    uint64_t at = UINT64_MAX;

    if (w->phase == PHASE_READY)
        at = now + READY_NS;
    if (w->phase == PHASE_CONNECT && w->next_open < w->count && w->connecting < LOAD_CONNECTING_MAX
        && !w->config->reconnect)
        at = 0;
    if (w->phase == PHASE_RUN) {
        at = now < w->measure_ns ? w->measure_ns : w->stop_ns;
        if (w->config->rate > 0.0 && w->free_head != NULL && w->quota != 0
            && schedule_time(&w->schedule, w->due) < at)
            at = schedule_time(&w->schedule, w->due);
    }
    return at < next ? at : next;
}

static void publish(load_worker *w)
{
    gnp_store64_relaxed(&w->live_done, w->total);
    gnp_store64_relaxed(&w->live_bytes, w->bytes_in);
    gnp_store64_relaxed(&w->live_errors, w->errors_seen);
    gnp_store64_relaxed(&w->live_sum, w->latency_sum);
    gnp_store64_relaxed(&w->live_open, w->open);
    if (w->latency_max > gnp_load64_relaxed(&w->live_max))
        gnp_store64_relaxed(&w->live_max, w->latency_max); /* may undo the reader's zero: it is a display */
    w->latency_max = 0;
}

static void woken(load_worker *w, uint64_t now)
{
    if (w->config->watch_signals && w->index == 0 && gnp_signal_take(w->poller) != GNP_SIGNAL_NONE)
        gnp_store64(&w->run->stop_ns, now);
}

static void run(load_worker *w)
{
    uint64_t now = gnp_now();

    w->begin_ns = now;
    w->sweep_ns = now + SWEEP_NS;
    for (;;) {
        int i, n;

        phase_step(w, now);
        load_begin_due(w, now);
        load_flush_dirty(w, now);
        publish(w);
        if (w->phase == PHASE_OVER)
            return;
        n = gnp_poller_wait(w->poller, w->events, LOAD_EVENTS, next_deadline(w, now));
        now = gnp_now();
        if (n < 0) {
            w->result.fatal = n;
            w->result.fatal_os = gnp_os_error();
            gnp_store32(&w->run->fatal, 1);
            n = 0;
        }
        for (i = 0; i < n; i++) {
            if (w->events[i].sock == NULL)
                woken(w, now);
            else if (w->events[i].what != 0)
                load_conn_event(w, &w->events[i], now);
        }
        if (now >= w->sweep_ns) {
            load_sweep(w, now);
            w->sweep_ns = now + SWEEP_NS;
        }
    }
}

/* Every socket must be closed, and be told so, before the poller may go. */
static void close_all(load_worker *w)
{
    uint64_t limit = gnp_now() + w->config->timeout_ns;
    unsigned i;

    for (i = 0; i < w->count; i++) {
        load_conn *c = &w->conns[i];

        if (c->state == CONN_OPEN || c->state == CONN_CONNECTING)
            load_conn_shut(w, c, c->outstanding != 0);
    }
    while (w->closing != 0 && gnp_now() < limit) {
        int n = gnp_poller_wait(w->poller, w->events, LOAD_EVENTS, limit);
        int k;

        if (n < 0)
            return;
        for (k = 0; k < n; k++) {
            if (w->events[k].sock != NULL && (w->events[k].what & GNP_EV_CLOSED))
                w->closing--;
        }
    }
}

static int worker_open(load_worker *w)
{
    gnp_poller_config pc;
    const char *name;
    int r;

    memset(&pc, 0, sizeof pc);
    pc.name = w->config->poller;
    r = gnp_poller_open(&w->poller, &pc);
    if (r != GNP_OK)
        return r;
    name = gnp_poller_backend(w->poller);
    strncpy(w->result.poller, name, sizeof w->result.poller - 1);
    if (w->config->watch_signals && w->index == 0)
        r = gnp_signal_watch(w->poller);
    return r;
}

void load_worker_main(void *worker)
{
    load_worker *w = worker;
    int r = worker_open(w);
    uint64_t now;

    if (r != GNP_OK) {
        w->result.fatal = r;
        w->result.fatal_os = gnp_os_error();
        gnp_store32(&w->run->fatal, 1);
    } else {
        run(w);
        now = gnp_now();
        count_unsent(w, now);
        w->result.total = w->total;
        w->result.bytes_in = w->bytes_in;
        w->result.total_ns = now - w->begin_ns;
        if (w->drain_ns > w->measure_ns) {
            /* A quota ends the window with its last answer. */
            uint64_t end = w->quota == 0 && w->last_done_ns < w->stop_ns ? w->last_done_ns : w->stop_ns;

            w->result.elapsed_ns = end > w->measure_ns ? end - w->measure_ns : 0;
        }
        close_all(w);
    }
    if (w->poller != NULL) {
        if (w->config->watch_signals && w->index == 0)
            gnp_signal_unwatch(w->poller);
        gnp_poller_close(w->poller);
    }
    gnp_store32(&w->over, 1);
}
