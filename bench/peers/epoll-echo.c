/* SPDX-License-Identifier: MIT */
/*
 * Echo by level-triggered epoll: one recv and one send a readable event.  What the kernel does
 * not take waits in a buffer of the connection; until it is gone nothing is read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

struct conn {
    int fd;
    unsigned begin, end; /* of the bytes in out */
    char *out;           /* NULL while nothing waits */
};

static void conn_close(struct conn *c)
{
    close(c->fd);
    free(c->out);
    free(c);
}

static void accept_all(int ep, int listener)
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
        peer_watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

/* Keeps what was not sent and waits for room.  0 if the connection is of no more use. */
static int keep(int ep, struct conn *c, const char *rest, size_t n)
{
    c->out = malloc(n);
    if (c->out == NULL)
        return 0;
    memcpy(c->out, rest, n);
    c->begin = 0;
    c->end = (unsigned)n;
    peer_watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
    return 1;
}

static int on_readable(int ep, struct conn *c, char *buf)
{
    ssize_t n = recv(c->fd, buf, PEER_READ, 0);
    ssize_t sent;

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    sent = send(c->fd, buf, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return 1;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return 0;
        sent = 0;
    }
    return keep(ep, c, buf + sent, (size_t)(n - sent));
}

static int on_writable(int ep, struct conn *c)
{
    ssize_t sent = send(c->fd, c->out + c->begin, c->end - c->begin, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    c->begin += (unsigned)sent;
    if (c->begin == c->end) {
        free(c->out);
        c->out = NULL;
        peer_watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
    return 1;
}

static void loop(int listener)
{
    struct epoll_event events[PEER_EVENTS];
    char *buf = malloc(PEER_READ);
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (ep < 0 || buf == NULL)
        peer_die("start");
    peer_watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(ep, events, PEER_EVENTS, -1);
        int i;

        for (i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (c == NULL)
                accept_all(ep, listener);
            else if (!(c->out != NULL ? on_writable(ep, c) : on_readable(ep, c, buf)))
                conn_close(c);
        }
    }
}

int main(int argc, char **argv)
{
    return peer_main(argc, argv, "peer-epoll-echo", loop);
}
