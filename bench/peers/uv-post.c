/* SPDX-License-Identifier: MIT */
/* What ../post.c measures, with libuv as it is meant to be used: a list under a mutex and uv_async_send; the
 * loop takes the whole list and writes it with one uv_try_write a buffer. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PAYLOAD 64u
#define THREADS_MAX 64u
#define WAITING_MAX 8192u
#define BUFFER 65536u

typedef struct item {
    struct item *next;
    void (*fn)(void *arg);
    void *arg;
    char data[PAYLOAD];
} item;

static uv_loop_t loop;
static uv_async_t wake;
static uv_tcp_t server, conn;
static uv_sem_t connected;
static uv_mutex_t lock;
static item *first, **last = &first;
static unsigned waiting;
static unsigned long long goal, ran, per_thread;
static int writes;
static volatile int finished;

static void run(void *arg)
{
    (void)arg;
    ran++;
}

static int post(void)
{
    item *i = malloc(sizeof *i);
    i->next = NULL;
    i->fn = run;
    i->arg = NULL;
    if (writes) {
        memset(i->data, 'x', sizeof i->data);
    }
    uv_mutex_lock(&lock);
    if (waiting == WAITING_MAX) {
        uv_mutex_unlock(&lock);
        free(i);
        return 0;
    }
    *last = i;
    last = &i->next;
    waiting++;
    uv_mutex_unlock(&lock);
    uv_async_send(&wake);
    return 1;
}

static void send_all(const char *p, size_t n)
{
    while (n > 0) {
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
        int sent = uv_try_write((uv_stream_t *)&conn, &b, 1);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
    }
}

static void on_wake(uv_async_t *a)
{
    static char buffer[BUFFER];
    size_t used = 0;
    uv_mutex_lock(&lock);
    item *i = first;
    first = NULL;
    last = &first;
    waiting = 0;
    uv_mutex_unlock(&lock);
    while (i != NULL) {
        item *next = i->next;
        if (writes) {
            memcpy(buffer + used, i->data, PAYLOAD);
            used += PAYLOAD;
            if (used == BUFFER) {
                send_all(buffer, used);
                used = 0;
            }
        }
        i->fn(i->arg);
        free(i);
        i = next;
    }
    send_all(buffer, used);
    if (ran == goal) {
        if (!writes) {
            finished = 1;
        }
        uv_close((uv_handle_t *)a, NULL);
        uv_close((uv_handle_t *)&server, NULL);
        if (writes) {
            uv_close((uv_handle_t *)&conn, NULL);
        }
    }
}

static void on_connection(uv_stream_t *s, int status)
{
    (void)status;
    uv_tcp_init(&loop, &conn);
    uv_accept(s, (uv_stream_t *)&conn);
    uv_sem_post(&connected);
}

static void loop_run(void *arg)
{
    (void)arg;
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void produce(void *arg)
{
    (void)arg;
    for (unsigned long long i = 0; i < per_thread;) {
        if (post()) {
            i++;
        } else {
            sched_yield();
        }
    }
}

typedef struct sink {
    uv_loop_t loop;
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct sockaddr_in to;
    unsigned long long got;
} sink;

static void sink_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    static char buffer[BUFFER];
    (void)h;
    (void)n;
    *b = uv_buf_init(buffer, sizeof buffer);
}

static void sink_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    sink *k = s->data;
    (void)b;
    if (n > 0) {
        k->got += (unsigned long long)n;
    }
    if (k->got == goal * PAYLOAD || n < 0) {
        finished = 1;
        uv_close((uv_handle_t *)s, NULL);
    }
}

static void sink_connected(uv_connect_t *r, int status)
{
    (void)status;
    uv_read_start(r->handle, sink_alloc, sink_read);
}

static void sink_run(void *arg)
{
    sink *k = arg;
    uv_loop_init(&k->loop);
    uv_tcp_init(&k->loop, &k->tcp);
    k->tcp.data = k;
    uv_tcp_connect(&k->connect, &k->tcp, (const struct sockaddr *)&k->to, sink_connected);
    uv_run(&k->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static uv_thread_t threads[THREADS_MAX];
    static sink k;
    uv_thread_t loop_thread, sink_thread;
    writes = argc > 1 && strcmp(argv[1], "write") == 0;
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    goal = argc > 3 ? strtoull(argv[3], NULL, 10) : 5000000;
    if (argc < 2 || n == 0 || n > THREADS_MAX || goal < n) {
        fprintf(stderr, "usage: uv-post execute|write [THREADS [ITEMS]]\n");
        return 2;
    }
    per_thread = goal / n;
    goal = per_thread * n;
    struct sockaddr_in a;
    int len = sizeof a;
    uv_loop_init(&loop);
    uv_mutex_init(&lock);
    uv_sem_init(&connected, 0);
    uv_async_init(&loop, &wake, on_wake);
    uv_tcp_init(&loop, &server);
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_bind(&server, (const struct sockaddr *)&a, 0);
    uv_listen((uv_stream_t *)&server, 16, on_connection);
    uv_tcp_getsockname(&server, (struct sockaddr *)&k.to, &len);
    uv_thread_create(&loop_thread, loop_run, NULL);
    if (writes) {
        uv_thread_create(&sink_thread, sink_run, &k);
        uv_sem_wait(&connected);
    }
    uint64_t start = uv_hrtime();
    for (unsigned i = 0; i < n; i++) {
        uv_thread_create(&threads[i], produce, NULL);
    }
    for (unsigned i = 0; i < n; i++) {
        uv_thread_join(&threads[i]);
    }
    while (!finished) {
        uv_sleep(0);
    }
    uint64_t ns = uv_hrtime() - start;
    printf("libuv %s threads=%u items=%llu ns/item=%.1f\n", writes ? "write" : "execute", n, goal,
           (double)ns / (double)goal);
    uv_thread_join(&loop_thread);
    if (writes) {
        uv_thread_join(&sink_thread);
    }
    return 0;
}
