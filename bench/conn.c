/* SPDX-License-Identifier: MIT */
/* The connections of one thread: opening, asking, checking what comes back, failing. */
#include <string.h>

#include "worker.h"

#define RETRY_NS UINT64_C(100000000)     /* after a failure */
#define AGAIN_NS UINT64_C(2000000)       /* a Unix listener's queue is full */

static void conn_retry(load_worker *w, load_conn *c, uint64_t now);

static int may_begin(const load_worker *w)
{
    return w->phase == PHASE_RUN && w->quota != 0;
}

/* ------------------------------------------------------------ going down */

void load_conn_shut(load_worker *w, load_conn *c, int reset)
{
    if (c->state == CONN_CONNECTING)
        w->connecting--;
    else
        w->open--;
    w->outstanding -= c->outstanding;
    c->outstanding = 0;
    c->tx_left = 0;
    c->state = CONN_DOWN;
    if (gnp_close(w->poller, &c->sock, reset) == GNP_INFLIGHT) {
        c->state = CONN_CLOSING;
        w->closing++;
    }
}

static void count_error(load_worker *w, int kind)
{
    w->result.errors[kind]++;
    w->errors_seen++;
}

static void conn_fail(load_worker *w, load_conn *c, int kind, uint64_t now)
{
    count_error(w, kind);
    c->retry_ns = now + RETRY_NS;
    load_conn_shut(w, c, 1);
}

/* c never came up.  If that is true of every attempt of this thread, the load makes no sense. */
static void count_connect_error(load_worker *w, load_conn *c, int code, uint64_t now)
{
    if (code == GNP_AGAIN) {
        c->retry_ns = now + AGAIN_NS;
        return;
    }
    c->retry_ns = now + RETRY_NS;
    count_error(w, LOAD_E_CONNECT);
    if (w->result.connects == 0 && w->result.fatal == GNP_OK) {
        w->result.fatal = code;
        w->result.fatal_os = gnp_os_error();
        gnp_store32(&w->run->fatal, 1);
    }
}

static int error_kind(int code)
{
    switch (code) {
    case GNP_ETIMEDOUT:
        return LOAD_E_TIMEOUT;
    case GNP_ECONNRESET:
    case GNP_EPIPE:
        return LOAD_E_RESET;
    default:
        return LOAD_E_OTHER;
    }
}

/* --------------------------------------------------------------- sending */

static void conn_flush(load_worker *w, load_conn *c, uint64_t now)
{
    const wave *v = &w->run->wave;

    while (c->tx_left != 0 && !c->blocked) {
        gnp_iov iov;
        size_t sent = 0;
        int r;

        iov.base = v->bytes + c->tx_at;
        iov.len = c->tx_left < v->span ? c->tx_left : v->span;
        r = gnp_send(w->poller, &c->sock, &iov, 1, 0, &sent);
        if (r == GNP_AGAIN) {
            c->blocked = 1;
            return;
        }
        if (r != GNP_OK) {
            conn_fail(w, c, error_kind(r), now);
            return;
        }
        c->blocked = sent < iov.len;
        c->tx_left -= sent;
        c->tx_at = (c->tx_at + sent) % v->period;
        w->result.bytes_out += sent;
    }
}

static void conn_push_dirty(load_worker *w, load_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = 1;
    c->next_dirty = w->dirty;
    w->dirty = c;
}

void load_flush_dirty(load_worker *w, uint64_t now)
{
    while (w->dirty != NULL) {
        load_conn *c = w->dirty;

        w->dirty = c->next_dirty;
        c->dirty = 0;
        if (c->state == CONN_OPEN)
            conn_flush(w, c, now);
    }
}

/* Begins one request on a connection that has room for it. */
static void conn_begin(load_worker *w, load_conn *c, uint64_t start, uint64_t now)
{
    uint32_t at = c->first + c->outstanding;

    if (at >= w->config->pipeline)
        at -= w->config->pipeline;
    c->started[at] = start;
    if (c->outstanding++ == 0)
        c->moved_ns = now;
    w->outstanding++;
    if (now >= w->measure_ns)
        w->quota--;
    if (c->state == CONN_DOWN) {
        load_conn_open(w, c, now);
        return;
    }
    c->tx_left += w->config->request_len;
    conn_push_dirty(w, c);
}

void load_conn_room(load_worker *w, load_conn *c, uint64_t now)
{
    const load_config *f = w->config;

    if (f->hold && (!f->touch || c->answered))
        return;
    if (f->rate > 0.0) {
        if (c->queued)
            return;
        c->queued = 1;
        c->next_free = NULL;
        if (w->free_head == NULL)
            w->free_head = c;
        else
            w->free_tail->next_free = c;
        w->free_tail = c;
        return;
    }
    while (may_begin(w) && c->outstanding < f->pipeline) {
        conn_begin(w, c, now, now);
        if (f->reconnect)
            return;
    }
}

int load_conn_has_room(const load_worker *w, const load_conn *c, uint64_t now)
{
    return w->config->reconnect ? c->state == CONN_DOWN && c->retry_ns <= now
        : c->state == CONN_OPEN && c->outstanding < w->config->pipeline;
}

static load_conn *free_pop(load_worker *w, uint64_t now)
{
    load_conn *c;

    do {
        c = w->free_head;
        if (c == NULL)
            return NULL;
        w->free_head = c->next_free;
        c->queued = 0;
    } while (!load_conn_has_room(w, c, now));
    return c;
}

void load_begin_due(load_worker *w, uint64_t now)
{
    uint64_t at;

    while (may_begin(w) && (at = schedule_time(&w->schedule, w->due)) <= now && at < w->stop_ns) {
        load_conn *c = free_pop(w, now);

        if (c == NULL)
            return;
        w->due++;
        conn_begin(w, c, at, now);
        if (load_conn_has_room(w, c, now))
            load_conn_room(w, c, now);
    }
}

/* ------------------------------------------------------------- receiving */

static void complete(load_worker *w, load_conn *c, uint64_t now)
{
    uint64_t start = c->started[c->first];
    uint64_t took = now > start ? now - start : 0;

    if (++c->first == w->config->pipeline)
        c->first = 0;
    c->outstanding--;
    c->answered = 1;
    w->outstanding--;
    w->total++;
    w->latency_sum += took;
    if (took > w->latency_max)
        w->latency_max = took;
    if (now < w->measure_ns || start >= w->stop_ns || (w->config->requests != 0 && start < w->measure_ns))
        return;
    /* Late answers are no throughput, but they are the slowest of all. */
    hdr_record_corrected(&w->result.latency, took, w->config->expected_interval_ns);
    if (now < w->stop_ns) {
        w->result.requests++;
        w->last_done_ns = now;
    }
}

/* 0, or 1 when the bytes are not what was to come. */
static int take_echo(load_worker *w, load_conn *c, const unsigned char *p, size_t n, uint64_t now)
{
    const wave *v = &w->run->wave;

    while (n != 0) {
        size_t part = n < v->span ? n : v->span;

        if (c->outstanding == 0)
            return 1;
        if (part > c->rx_left)
            part = c->rx_left;
        if (memcmp(p, v->bytes + c->rx_at, part) != 0)
            return 1;
        p += part;
        n -= part;
        c->rx_at = (c->rx_at + part) % v->period;
        c->rx_left -= part;
        if (c->rx_left == 0) {
            c->rx_left = w->config->request_len;
            complete(w, c, now);
        }
    }
    return 0;
}

static int take_http(load_worker *w, load_conn *c, const char *p, size_t n, uint64_t now)
{
    while (n != 0) {
        size_t used = 0;
        reply_step step = c->outstanding == 0 ? REPLY_BAD : reply_feed(&c->reply, p, n, &used);

        p += used;
        n -= used;
        if (step == REPLY_BAD)
            return 1;
        if (step == REPLY_DONE) {
            if (c->reply.status < 200 || c->reply.status > 299)
                count_error(w, LOAD_E_STATUS);
            complete(w, c, now);
        }
    }
    return 0;
}

/* Closes it in good order and goes on with a new one. */
static void conn_again(load_worker *w, load_conn *c, uint64_t now)
{
    c->retry_ns = now;
    load_conn_shut(w, c, 0);
    if (c->state == CONN_DOWN)
        conn_retry(w, c, now);
}

/* The server has ended the connection; between two requests that is its right. */
static void conn_ended(load_worker *w, load_conn *c, uint64_t now)
{
    if (w->config->job == LOAD_HTTP && c->outstanding != 0 && reply_end(&c->reply) == REPLY_DONE)
        complete(w, c, now);
    if (c->outstanding != 0 || !c->answered || w->config->hold) {
        conn_fail(w, c, LOAD_E_CLOSED, now);
        return;
    }
    conn_again(w, c, now);
}

/* After answers came: what the connection does next. */
static void conn_next(load_worker *w, load_conn *c, uint64_t now)
{
    if (w->config->reconnect && c->outstanding == 0)
        conn_again(w, c, now);
    else if (c->outstanding < w->config->pipeline)
        load_conn_room(w, c, now);
}

static void conn_readable(load_worker *w, load_conn *c)
{
    const void *data;
    size_t n;
    int bad;
    int r = gnp_recv(w->poller, &c->sock, &data, &n);
    uint64_t now;

    if (r == GNP_AGAIN)
        return;
    now = gnp_now();
    if (r == GNP_EOF) {
        conn_ended(w, c, now);
        return;
    }
    if (r != GNP_OK) {
        conn_fail(w, c, error_kind(r), now);
        return;
    }
    c->moved_ns = now;
    w->bytes_in += n;
    bad = w->config->job == LOAD_ECHO ? take_echo(w, c, data, n, now) : take_http(w, c, data, n, now);
    gnp_recv_done(w->poller, &c->sock);
    if (bad) {
        conn_fail(w, c, LOAD_E_BAD, now);
        return;
    }
    conn_next(w, c, now);
    if (c->dirty == 0 || c->state != CONN_OPEN)
        return;
    conn_flush(w, c, now); /* stays in the list of dirty ones with nothing left to do */
}

/* ------------------------------------------------------------- coming up */

static void conn_opened(load_worker *w, load_conn *c, uint64_t now)
{
    const wave *v = &w->run->wave;

    c->state = CONN_OPEN;
    c->blocked = 0;
    c->answered = 0;
    c->moved_ns = now;
    c->tx_at = w->config->job == LOAD_ECHO ? (size_t)c->number * 7919u % v->period : 0;
    c->rx_at = c->tx_at;
    c->rx_left = w->config->request_len;
    reply_init(&c->reply);
    w->open++;
    w->result.connects++;
    if (gnp_want(w->poller, &c->sock, GNP_READ) != GNP_OK) {
        conn_fail(w, c, LOAD_E_OTHER, now);
        return;
    }
    if (c->outstanding != 0) { /* reconnect: the request that it was opened for */
        c->tx_left = w->config->request_len;
        conn_flush(w, c, now);
    } else if (w->phase == PHASE_RUN) {
        load_conn_room(w, c, now);
    }
}

void load_conn_open(load_worker *w, load_conn *c, uint64_t now)
{
    const load_config *f = w->config;
    const gnp_addr *source = f->source_count != 0 ? &f->sources[c->number % f->source_count] : NULL;
    gnp_sock_opts o;
    int r;

    memset(&o, 0, sizeof o);
    o.v6only = -1;
    o.nodelay = 1;
    c->moved_ns = now;
    r = gnp_connect(w->poller, &c->sock, GNP_STREAM, &f->target, source, &o);
    if (r == GNP_OK) {
        conn_opened(w, c, now);
    } else if (r == GNP_INFLIGHT) {
        c->state = CONN_CONNECTING;
        w->connecting++;
    } else {
        w->outstanding -= c->outstanding;
        c->outstanding = 0;
        count_connect_error(w, c, r, now);
    }
}

static void conn_connected(load_worker *w, load_conn *c, uint64_t now)
{
    int r = gnp_connect_end(w->poller, &c->sock);

    if (r == GNP_AGAIN)
        return;
    if (r == GNP_OK) {
        w->connecting--;
        conn_opened(w, c, now);
        return;
    }
    count_connect_error(w, c, r, now);
    load_conn_shut(w, c, 1);
}

/* It is down and may come up again. */
static void conn_retry(load_worker *w, load_conn *c, uint64_t now)
{
    if (w->config->reconnect)
        load_conn_room(w, c, now);
    else if (w->phase < PHASE_DRAIN && w->connecting < LOAD_CONNECTING_MAX)
        load_conn_open(w, c, now);
}

void load_conn_event(load_worker *w, const gnp_event *e, uint64_t now)
{
    load_conn *c = (load_conn *)(void *)e->sock;

    if (e->what & GNP_EV_CLOSED) {
        w->closing--;
        c->state = CONN_DOWN;
        if (c->retry_ns <= now)
            conn_retry(w, c, now);
        return;
    }
    if (c->state == CONN_CONNECTING) {
        if (e->what & (GNP_EV_WRITABLE | GNP_EV_HANGUP | GNP_EV_READABLE))
            conn_connected(w, c, now);
        return;
    }
    if ((e->what & GNP_EV_WRITABLE) && c->state == CONN_OPEN && c->blocked) {
        c->blocked = 0;
        conn_flush(w, c, now);
    }
    if ((e->what & (GNP_EV_READABLE | GNP_EV_HANGUP)) && c->state == CONN_OPEN)
        conn_readable(w, c);
}

void load_sweep(load_worker *w, uint64_t now)
{
    const load_config *f = w->config;
    unsigned i;

    for (i = 0; i < w->count; i++) {
        load_conn *c = &w->conns[i];
        int waits = c->state == CONN_CONNECTING || (c->state == CONN_OPEN && c->outstanding != 0);

        if (waits && now > c->moved_ns && now - c->moved_ns > f->timeout_ns) {
            if (c->state == CONN_CONNECTING) {
                count_connect_error(w, c, GNP_ETIMEDOUT, now);
                load_conn_shut(w, c, 1);
            } else {
                conn_fail(w, c, LOAD_E_TIMEOUT, now);
            }
        } else if (c->state == CONN_DOWN && c->retry_ns <= now && (f->reconnect || i < w->next_open)) {
            conn_retry(w, c, now);
        }
    }
}
