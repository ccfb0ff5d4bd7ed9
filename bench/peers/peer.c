/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define PEER_LOOPS_MAX 64

static struct {
    peer_loop *loop;
    int pin;
    int listener[PEER_LOOPS_MAX];
} peer;

void peer_die(const char *what)
{
    perror(what);
    exit(1);
}

void peer_watch(int ep, int op, int fd, unsigned events, void *ptr)
{
    struct epoll_event ev;

    memset(&ev, 0, sizeof ev);
    ev.events = events;
    ev.data.ptr = ptr;
    if (epoll_ctl(ep, op, fd, &ev) != 0)
        peer_die("epoll_ctl");
}

/* Every loop has a socket of its own on one port; TCP_NODELAY is inherited by what it accepts. */
static int listen_on(const char *host, unsigned port)
{
    struct sockaddr_in a;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((unsigned short)port);
    if (fd < 0 || inet_pton(AF_INET, host, &a.sin_addr) != 1)
        peer_die(host);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, SOMAXCONN) != 0)
        peer_die("listen");
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        peer_die("getsockname");
    return ntohs(a.sin_port);
}

static void *loop_thread(void *arg)
{
    int i = (int)(size_t)arg;
    cpu_set_t set;

    if (peer.pin >= 0) {
        CPU_ZERO(&set);
        CPU_SET((unsigned)(peer.pin + i), &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
            peer_die("sched_setaffinity");
    }
    peer.loop(peer.listener[i]);
    return NULL;
}

static void raise_descriptor_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void usage(const char *name, int status)
{
    fprintf(status ? stderr : stdout,
            "usage: %s [--host ADDR] [--port N] [--loops N] [--pin CPU]\n"
            "A hand-written server to compare gannet with; see bench/README.\n"
            "  --host ADDR  numeric IPv4 address (127.0.0.1)\n"
            "  --port N     port; 0 picks a free one (0)\n"
            "  --loops N    event loops, each with a listener of its own (1)\n"
            "  --pin CPU    loop i runs on CPU + i\n", name);
    exit(status);
}

static long number(const char *name, const char *text, long min, long max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end != '\0' || n < min || n > max)
        usage(name, 2);
    return n;
}

int peer_main(int argc, char **argv, const char *name, peer_loop *loop)
{
    const char *host = "127.0.0.1";
    unsigned port = 0;
    int loops = 1;
    int i, sig;
    sigset_t signals;
    pthread_t t;

    peer.pin = -1;
    for (i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--help") == 0)
            usage(name, 0);
        if (value == NULL)
            usage(name, 2);
        if (strcmp(argv[i], "--host") == 0)
            host = value;
        else if (strcmp(argv[i], "--port") == 0)
            port = (unsigned)number(name, value, 0, 65535);
        else if (strcmp(argv[i], "--loops") == 0)
            loops = (int)number(name, value, 1, PEER_LOOPS_MAX);
        else if (strcmp(argv[i], "--pin") == 0)
            peer.pin = (int)number(name, value, 0, CPU_SETSIZE - PEER_LOOPS_MAX - 1);
        else
            usage(name, 2);
    }

    peer.loop = loop;
    raise_descriptor_limit();
    for (i = 0; i < loops; i++) {
        peer.listener[i] = listen_on(host, port);
        port = port_of(peer.listener[i]);
    }

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (i = 0; i < loops; i++) {
        if (pthread_create(&t, NULL, loop_thread, (void *)(size_t)i) != 0)
            peer_die("pthread_create");
    }
    printf("listening on tcp://%s:%u\n", host, port);
    fflush(stdout);
    (void)sigwait(&signals, &sig);
    return 0;
}
