/* SPDX-License-Identifier: MIT */
/*
 * CPU time of UDP echo servers for one datagram, in alternation; bench/README tells how to read it.
 * All servers are up at once on CPU 0, the load is on CPU 1.
 *
 *   gannet-udp [--window N] [--bytes N] [--sockets N] [--slices N] NAME=COMMAND...
 *
 * The load is a closed loop: so many datagrams are on their way on so many sockets, and each that comes back
 * is sent again; what is lost is replaced after a while.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define SERVERS_MAX 16
#define SOCKETS_MAX 256
#define WINDOW_MAX 256
#define SLICES_MAX 100
#define SLICE_NS (UINT64_C(500) * 1000 * 1000)
#define WARM_NS (UINT64_C(150) * 1000 * 1000)
#define LOST_MS 5

static unsigned window = 64, bytes = 64, sockets = 1, slices = 12;

static struct mmsghdr out[WINDOW_MAX], in[WINDOW_MAX];
static struct iovec out_iov[WINDOW_MAX], in_iov[WINDOW_MAX];
static unsigned char payload[65536], received[WINDOW_MAX][2048];

typedef struct target {
    server s;
    int fd[SOCKETS_MAX];
    unsigned flying[SOCKETS_MAX];
    double cost[SLICES_MAX], rate[SLICES_MAX];
    uint64_t lost;
} target;

static target targets[SERVERS_MAX];
static unsigned count;

static void connect_all(target *t)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    unsigned i;

    a.sin_port = htons(t->s.addr.port);
    memcpy(&a.sin_addr, t->s.addr.u.ip, 4);
    for (i = 0; i < sockets; i++) {
        t->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (t->fd[i] < 0 || connect(t->fd[i], (struct sockaddr *)&a, sizeof(a)) != 0) {
            perror("connect");
            exit(1);
        }
    }
}

/* Takes what has come on socket i and fills the window again; how many came. */
static unsigned turn(target *t, unsigned i)
{
    int got = recvmmsg(t->fd[i], in, window, MSG_DONTWAIT, NULL);
    int sent;

    got = got < 0 ? 0 : got;
    t->flying[i] -= (unsigned)got < t->flying[i] ? (unsigned)got : t->flying[i];
    if (t->flying[i] < window) {
        sent = sendmmsg(t->fd[i], out, window - t->flying[i], MSG_DONTWAIT);
        t->flying[i] += sent > 0 ? (unsigned)sent : 0;
    }
    return (unsigned)got;
}

/* Drives one server until then; how many datagrams came back. */
static uint64_t drive(target *t, uint64_t until)
{
    struct pollfd p[SOCKETS_MAX];
    uint64_t n = 0;
    unsigned i;

    for (i = 0; i < sockets; i++) {
        p[i].fd = t->fd[i];
        p[i].events = POLLIN;
        n += turn(t, i);
    }
    while (gnp_now() < until) {
        if (poll(p, sockets, LOST_MS) <= 0) { /* all of the window is lost */
            for (i = 0; i < sockets; i++) {
                t->lost += t->flying[i];
                t->flying[i] = 0;
                p[i].revents = POLLIN;
            }
        }
        for (i = 0; i < sockets; i++)
            n += p[i].revents != 0 ? turn(t, i) : 0;
    }
    return n;
}

static void slice(target *t, unsigned k)
{
    uint64_t cpu, begin, n;

    (void)drive(t, gnp_now() + WARM_NS);
    cpu = server_cpu_ns(&t->s);
    begin = gnp_now();
    n = drive(t, begin + SLICE_NS);
    t->cost[k] = n == 0 ? 1e12 : (double)(server_cpu_ns(&t->s) - cpu) / (double)n;
    t->rate[k] = (double)n * 1e9 / (double)(gnp_now() - begin);
    gnp_sleep_until(gnp_now() + 10 * UINT64_C(1000000)); /* what is still on its way is not the next one's */
    while (recvmmsg(t->fd[0], in, window, MSG_DONTWAIT, NULL) > 0)
        ;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(void)
{
    double base = 0;
    unsigned i;

    printf("%u bytes, window %u, %u sockets, %u slices\n", bytes, window, sockets, slices);
    printf("%-28s %10s %10s %10s %12s %8s\n", "server", "ns least", "ns median", "of minima",
           "datagrams/s", "lost");
    for (i = 0; i < count; i++) {
        target *t = &targets[i];
        qsort(t->cost, slices, sizeof(t->cost[0]), by_value);
        qsort(t->rate, slices, sizeof(t->rate[0]), by_value);
        if (i == 0)
            base = t->cost[0];
        printf("%-28s %10.0f %10.0f %10.3f %12.0f %8llu\n", t->s.name, t->cost[0], t->cost[slices / 2],
               t->cost[0] / base, t->rate[slices - 1], (unsigned long long)t->lost);
    }
}

static unsigned number(const char *text, unsigned max)
{
    long n = strtol(text, NULL, 10);

    if (n < 1 || n > (long)max) {
        fprintf(stderr, "gannet-udp: %s is not within 1 and %u\n", text, max);
        exit(2);
    }
    return (unsigned)n;
}

static void parse(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            if (count == SERVERS_MAX || !server_parse(&targets[count].s, argv[i])) {
                fprintf(stderr, "gannet-udp: what is %s?\n", argv[i]);
                exit(2);
            }
            count++;
        } else if (i + 1 < argc && strcmp(argv[i], "--window") == 0)
            window = number(argv[++i], WINDOW_MAX);
        else if (i + 1 < argc && strcmp(argv[i], "--bytes") == 0)
            bytes = number(argv[++i], 2048);
        else if (i + 1 < argc && strcmp(argv[i], "--sockets") == 0)
            sockets = number(argv[++i], SOCKETS_MAX);
        else if (i + 1 < argc && strcmp(argv[i], "--slices") == 0)
            slices = number(argv[++i], SLICES_MAX);
        else
            count = 0, i = argc;
    }
    if (count == 0) {
        fprintf(stderr, "usage: gannet-udp [--window N] [--bytes N] [--sockets N] [--slices N] "
                        "NAME=COMMAND...\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    unsigned i, k;
    int status = 0;

    parse(argc, argv);
    for (i = 0; i < WINDOW_MAX; i++) {
        out_iov[i] = (struct iovec){ payload, bytes };
        in_iov[i] = (struct iovec){ received[i], sizeof(received[i]) };
        out[i].msg_hdr.msg_iov = &out_iov[i];
        in[i].msg_hdr.msg_iov = &in_iov[i];
        out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
    }
    for (i = 0; i < count && status == 0; i++)
        status = !server_start(&targets[i].s, 0);
    if (!pin_to(1))
        fprintf(stderr, "gannet-udp: no CPU 1: server and load share one\n");
    for (i = 0; i < count && status == 0; i++)
        connect_all(&targets[i]);
    for (k = 0; k < slices && status == 0; k++) {
        for (i = 0; i < count; i++)
            slice(&targets[(i + k) % count], k);
    }
    if (status == 0)
        report();
    for (i = 0; i < count; i++)
        (void)server_stop(&targets[i].s);
    return status;
}
