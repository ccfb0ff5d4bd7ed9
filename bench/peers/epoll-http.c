/* SPDX-License-Identifier: MIT */
/*
 * Plaintext HTTP/1.1 by level-triggered epoll: one recv and one send a readable event, however
 * many requests came.  A partial request waits in a buffer of the connection, as does what the
 * kernel does not take; until that is gone nothing is read.  The parser is that of
 * examples/http, so that the comparison shows the frameworks and not the parsers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "examples/http_parser.h"
#include "peer.h"

#define HEAD_ROOM 512u /* more than any answer of this server */
#define OUT_MAX 32768u /* answers gathered for one send; a whole pipeline fits */
#define BODY_MAX (1u << 20)

enum { IN_HEAD, IN_BODY, IN_BODY_PLAIN }; /* which part comes next; of a request for the plain text */

/* A request of which only a part is here. */
struct request {
    http_parser parser;
    int where;
    unsigned kept;
    char data[];
};

struct conn {
    int fd;
    unsigned begin, end;   /* of the bytes in out */
    int closing;           /* close as soon as out is empty */
    char *out;             /* NULL while nothing waits */
    struct request *part;  /* NULL while no request is partial */
};

struct loop {
    int ep;
    time_t second;      /* that date shows */
    char date[40];
    size_t filled;      /* of out */
    http_parser fresh;
    char in[HTTP_HEAD_MAX + 2 * PEER_READ];
    char out[OUT_MAX];
};

static void conn_close(struct conn *c)
{
    close(c->fd);
    free(c->out);
    free(c->part);
    free(c);
}

static void refresh(struct loop *l)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now == l->second)
        return;
    l->second = now;
    gmtime_r(&now, &tm);
    strftime(l->date, sizeof l->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

#define PUT(p, text) ((char *)memcpy((p), text, sizeof(text) - 1) + (sizeof(text) - 1))

/* An answer is put together for every request, as the example does it. */
static void reply(struct loop *l, unsigned status, const char *body, int keep, int minor)
{
    size_t n = strlen(body);
    char *p = l->out + l->filled;

    if (status == 200)
        p = PUT(p, "HTTP/1.1 200 OK\r\n");
    else
        p += sprintf(p, "HTTP/1.1 %u %s\r\n", status, http_reason(status));
    p = PUT(p, "Server: gannet\r\nDate: ");
    p = (char *)memcpy(p, l->date, 29) + 29;
    p = PUT(p, "\r\nContent-Type: text/plain\r\nContent-Length: ");
    if (n >= 10)
        *p++ = (char)('0' + n / 10);
    *p++ = (char)('0' + n % 10);
    if (!keep)
        p = PUT(p, "\r\nConnection: close");
    else if (minor == 0)
        p = PUT(p, "\r\nConnection: keep-alive");
    p = PUT(p, "\r\n\r\n");
    p = (char *)memcpy(p, body, n) + n;
    l->filled = (size_t)(p - l->out);
}

/* Answers a whole request; 0 if the connection closes after it. */
static int answer(struct loop *l, const http_parser *h, int plain)
{
    int keep = http_keeps_alive(h);
    unsigned status = h->method != HTTP_METHOD_GET ? 501 : plain ? 200 : 404;

    reply(l, status, status == 200 ? "Hello, World!" : http_reason(status), keep, h->minor);
    return keep;
}

/* Sends what is in out; keeps the rest and waits for room.  0 if the connection is of no more use. */
static int flush(struct loop *l, struct conn *c)
{
    ssize_t sent;
    size_t n = l->filled;

    l->filled = 0;
    sent = send(c->fd, l->out, n, MSG_NOSIGNAL);
    if (sent == (ssize_t)n)
        return 1;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return 0;
        sent = 0;
    }
    c->out = malloc(n - (size_t)sent);
    if (c->out == NULL)
        return 0;
    memcpy(c->out, l->out + sent, n - (size_t)sent);
    c->begin = 0;
    c->end = (unsigned)(n - (size_t)sent);
    peer_watch(l->ep, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
    return 1;
}

static int is_plain(const char *path, size_t n)
{
    return n <= 1 || (n == 10 && memcmp(path, "/plaintext", 10) == 0);
}

/* Drops the body of the request; HTTP_DONE when it is over. */
static http_step skip_body(http_parser *h, const char *p, size_t n, size_t *at)
{
    const char *data;
    size_t used, length;
    http_step step;

    do {
        step = http_body(h, p + *at, n - *at, &used, &data, &length);
        *at += used;
    } while (step == HTTP_DATA);
    return step;
}

/* Answers the requests in p until one is partial or the kernel is full.  *at: bytes used;
 * *where the last one stands.  0 if the connection is of no more use. */
static int serve(struct loop *l, struct conn *c, http_parser *h, int *where, const char *p, size_t n,
                 size_t *at)
{
    while (*at < n && !c->closing && c->out == NULL) {
        http_step step = HTTP_DONE;

        if (*where == IN_HEAD) {
            step = http_head(h, p + *at, n - *at);
            if (step == HTTP_DONE) {
                *where = is_plain(p + *at + h->path, h->path_length) ? IN_BODY_PLAIN : IN_BODY;
                *at += h->head_length;
            }
        }
        if (step == HTTP_DONE)
            step = skip_body(h, p, n, at);
        if (step == HTTP_MORE)
            break;
        if (step == HTTP_ERROR) {
            reply(l, h->status, http_reason(h->status), 0, 1);
            c->closing = 1;
        } else {
            c->closing = !answer(l, h, *where == IN_BODY_PLAIN);
        }
        http_parser_init(h, BODY_MAX);
        *where = IN_HEAD;
        if (OUT_MAX - l->filled < HEAD_ROOM && !flush(l, c))
            return 0;
    }
    return l->filled == 0 || flush(l, c);
}

/* Keeps the partial request, or all that came after the kernel was full. */
static int keep_part(struct conn *c, const http_parser *h, int where, const char *p, size_t n)
{
    struct request *r = malloc(sizeof *r + n);

    if (r == NULL)
        return 0;
    r->parser = *h;
    r->where = where;
    r->kept = (unsigned)n;
    memcpy(r->data, p, n);
    free(c->part);
    c->part = r;
    return 1;
}

/* n bytes are in l->in, those of a partial request first. */
static int serve_all(struct loop *l, struct conn *c, size_t n)
{
    int where = IN_HEAD;
    size_t at = 0;

    if (c->part != NULL) {
        l->fresh = c->part->parser;
        where = c->part->where;
    } else {
        http_parser_init(&l->fresh, BODY_MAX);
    }
    if (!serve(l, c, &l->fresh, &where, l->in, n, &at) || (c->closing && c->out == NULL))
        return 0;
    if (at < n || where != IN_HEAD)
        return keep_part(c, &l->fresh, where, l->in + at, n - at);
    if (c->part != NULL) {
        free(c->part);
        c->part = NULL;
    }
    return 1;
}

static size_t load_part(struct loop *l, const struct conn *c)
{
    if (c->part == NULL)
        return 0;
    memcpy(l->in, c->part->data, c->part->kept);
    return c->part->kept;
}

static int on_readable(struct loop *l, struct conn *c)
{
    size_t kept = load_part(l, c);
    ssize_t n = recv(c->fd, l->in + kept, PEER_READ, 0);

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    return serve_all(l, c, kept + (size_t)n);
}

static int on_writable(struct loop *l, struct conn *c)
{
    ssize_t sent = send(c->fd, c->out + c->begin, c->end - c->begin, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    c->begin += (unsigned)sent;
    if (c->begin < c->end)
        return 1;
    free(c->out);
    c->out = NULL;
    if (c->closing)
        return 0;
    peer_watch(l->ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    if (c->part == NULL)
        return 1;
    return serve_all(l, c, load_part(l, c)); /* what came before the kernel was full */
}

static void accept_all(struct loop *l, int listener)
{
    int i;

    for (i = 0; i < PEER_ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct conn *c;

        if (fd < 0)
            return;
        c = calloc(1, sizeof *c);
        if (c == NULL) {
            close(fd);
            return;
        }
        c->fd = fd;
        peer_watch(l->ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void loop(int listener)
{
    struct epoll_event events[PEER_EVENTS];
    struct loop *l = calloc(1, sizeof *l);

    if (l == NULL || (l->ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
        peer_die("start");
    peer_watch(l->ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(l->ep, events, PEER_EVENTS, -1);
        int i;

        refresh(l);
        for (i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (c == NULL)
                accept_all(l, listener);
            else if (!(c->out != NULL ? on_writable(l, c) : on_readable(l, c)))
                conn_close(c);
        }
    }
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, "peer-epoll-http", loop);
}
