/* SPDX-License-Identifier: MIT */
/*
 * What it costs to hand work over to a loop: threads ask one loop as fast as it takes it, either to
 * run a function or to write 64 bytes to one connection, whose peer only reads.  peers/uv-post is the same
 * with libuv; run them in turn.
 *
 * Usage: post execute|write [THREADS [ITEMS]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gannet.h>

#include "platform/platform.h"

#define PAYLOAD 64u
#define THREADS_MAX 64u

/* So much waits at most: about 8,000 operations, as the peer's queue has room for. */
#define POST_MAX ((size_t)1024 * 1024)

typedef struct thread {
    gnp_thread thread;
    gn_handle h;
    uint64_t items, refused;
    int writes;
} thread;

static gnp_atomic64 opened; /* the handle of the connection */
static uint64_t ran;        /* the loop's */
static gnp_atomic64 ran_shared;
static uint64_t goal;

static gn_action on_open(gn_conn *c, void *user)
{
    (void)user;
    gnp_store64(&opened, gn_conn_handle(c));
    return GN_NONE;
}

static void run(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    if (status == GN_OK && ++ran == goal) {
        gnp_store64(&ran_shared, ran);
    }
}

static void produce(void *arg)
{
    static const char payload[PAYLOAD] = "what is written";
    thread *t = arg;
    for (uint64_t i = 0; i < t->items;) {
        int rc = t->writes ? gn_write(t->h, payload, sizeof payload, NULL, NULL)
                           : gn_execute(t->h, run, NULL);
        if (rc == GN_OK) {
            i++;
        } else {
            t->refused++;
            gnp_thread_yield();
        }
    }
}

static void die(const char *what, int rc)
{
    fprintf(stderr, "post: %s: %s\n", what, gn_strerror(rc));
    exit(1);
}

/* The peer of the connection. */
typedef struct sink {
    gnp_thread thread;
    gnp_addr to;
    uint64_t want;
    gnp_atomic32 done;
} sink;

static void sink_run(void *arg)
{
    sink *k = arg;
    gnp_poller_config config = { 0 };
    gnp_sock_opts opts = { 0 };
    gnp_poller *p;
    gnp_sock s;
    gnp_event ev[4];
    uint64_t got = 0;
    int rc = gnp_poller_open(&p, &config);
    if (rc == GNP_OK) {
        rc = gnp_connect(p, &s, GNP_STREAM, &k->to, NULL, &opts);
        rc = rc == GNP_INFLIGHT ? GNP_OK : rc;
    }
    while (rc == GNP_OK && gnp_poller_wait(p, ev, 4, GNP_NEVER) >= 0) {
        rc = gnp_connect_end(p, &s);
        if (rc != GNP_AGAIN) {
            break;
        }
        rc = GNP_OK;
    }
    if (rc == GNP_OK) {
        rc = gnp_want(p, &s, GNP_READ);
    }
    if (rc != GNP_OK) {
        die("connecting", rc);
    }
    while (got < k->want && gnp_poller_wait(p, ev, 4, GNP_NEVER) >= 0) {
        const void *data;
        size_t n;
        if (gnp_recv(p, &s, &data, &n) == GNP_OK) {
            got += n;
            gnp_recv_done(p, &s);
        }
    }
    gnp_store32(&k->done, 1);
    gnp_close(p, &s, 0);
    gnp_poller_close(p);
}

static void measure(gn_engine *e, thread *t, unsigned threads, int writes)
{
    static sink k;
    gn_addr a;
    gn_engine_addr(e, 0, &a);
    gnp_ip_parse("127.0.0.1", &k.to);
    k.to.port = (uint16_t)gn_addr_port(&a);
    k.want = goal * (writes ? PAYLOAD : 0);
    if (writes) {
        gnp_thread_start(&k.thread, sink_run, &k, "sink");
        while (gnp_load64(&opened) == 0) {
            gnp_thread_yield();
        }
    }
    uint64_t start = gnp_now();
    for (unsigned i = 0; i < threads; i++) {
        t[i].h = writes ? gnp_load64(&opened) : gn_engine_loop(e, 0);
        gnp_thread_start(&t[i].thread, produce, &t[i], "producer");
    }
    uint64_t refused = 0;
    for (unsigned i = 0; i < threads; i++) {
        gnp_thread_join(&t[i].thread);
        refused += t[i].refused;
    }
    while (!(writes ? gnp_load32(&k.done) : gnp_load64(&ran_shared) == goal)) {
        gnp_sleep_until(gnp_now() + 100000);
    }
    uint64_t ns = gnp_now() - start;
    if (writes) {
        gnp_thread_join(&k.thread);
    }
    printf("gannet %s threads=%u items=%llu ns/item=%.1f refused=%llu\n",
           writes ? "write" : "execute", threads, (unsigned long long)goal,
           (double)ns / (double)goal, (unsigned long long)refused);
}

int main(int argc, char **argv)
{
    static const gn_handler h = { .on_open = on_open };
    static thread t[THREADS_MAX];
    int writes = argc > 1 && strcmp(argv[1], "write") == 0;
    unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    uint64_t items = argc > 3 ? (uint64_t)atoll(argv[3]) : 5000000;
    if (argc < 2 || threads == 0 || threads > THREADS_MAX || items == 0) {
        fprintf(stderr, "usage: post execute|write [THREADS [ITEMS]]\n");
        return 2;
    }
    gn_options o;
    gn_options_init(&o);
    o.loops = 1;
    o.post_max = POST_MAX;
    o.outbound_max = SIZE_MAX / 4;
    gn_engine *e;
    int rc = gn_engine_create(&e, &h, NULL, &o);
    if (rc == GN_OK) {
        rc = gn_engine_listen(e, "tcp://127.0.0.1:0");
    }
    if (rc == GN_OK) {
        rc = gn_engine_start(e);
    }
    if (rc != GN_OK) {
        die("starting", rc);
    }
    for (unsigned i = 0; i < threads; i++) {
        t[i].items = items / threads;
        t[i].writes = writes;
    }
    goal = items / threads * threads;
    measure(e, t, threads, writes);
    gn_engine_stop(e, 0);
    rc = gn_engine_join(e);
    gn_engine_destroy(e);
    return rc == GN_OK ? 0 : 1;
}
