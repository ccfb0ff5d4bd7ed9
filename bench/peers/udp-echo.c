/* SPDX-License-Identifier: MIT */
/*
 * UDP echo by recvmmsg and sendmmsg: what has come is received in one call and sent back in one.
 * As an event loop (epoll, the default), which can serve more than this socket, or blocking in recvmmsg,
 * which cannot but saves a call a batch.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH_MAX 1024
#define BYTES 2048 /* longer ones are cut; the bench sends none */

static struct mmsghdr hdr[BATCH_MAX];
static struct iovec iov[BATCH_MAX];
static struct sockaddr_in from[BATCH_MAX];
static unsigned char data[BATCH_MAX][BYTES + 64]; /* not all on the same cache sets */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Sends n answers back; what the socket does not take is dropped, as datagrams may be. */
static void answer(int fd, int n)
{
    int i, sent;

    for (i = 0; i < n; i++)
        iov[i].iov_len = hdr[i].msg_len;
    for (i = 0; i < n; i += sent) {
        sent = sendmmsg(fd, hdr + i, (unsigned)(n - i), 0);
        if (sent <= 0)
            sent = 1;
    }
    for (i = 0; i < n; i++) {
        iov[i].iov_len = BYTES;
        hdr[i].msg_hdr.msg_namelen = sizeof(from[i]);
    }
}

static void loop(int fd, unsigned batch, int blocking)
{
    struct epoll_event e = { .events = EPOLLIN };
    int ep = epoll_create1(EPOLL_CLOEXEC);
    int n;

    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll");
    for (;;) {
        if (!blocking && epoll_wait(ep, &e, 1, -1) < 1)
            continue;
        do {
            n = recvmmsg(fd, hdr, batch, blocking ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
            if (n > 0)
                answer(fd, n);
        } while (n == (int)batch);
    }
}

int main(int argc, char **argv)
{
    unsigned batch = argc > 1 ? (unsigned)atoi(argv[1]) : 64;
    int blocking = argc > 2 && strcmp(argv[2], "blocking") == 0;
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned i;

    if (batch == 0 || batch > BATCH_MAX) {
        fprintf(stderr, "usage: peer-udp-echo [BATCH [blocking]]\nSee bench/README.\n");
        return 2;
    }
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        die("socket");
    for (i = 0; i < batch; i++) {
        iov[i].iov_base = data[i];
        iov[i].iov_len = BYTES;
        hdr[i].msg_hdr.msg_iov = &iov[i];
        hdr[i].msg_hdr.msg_iovlen = 1;
        hdr[i].msg_hdr.msg_name = &from[i];
        hdr[i].msg_hdr.msg_namelen = sizeof(from[i]);
    }
    printf("listening on udp://127.0.0.1:%u\n", (unsigned)ntohs(a.sin_port));
    fflush(stdout);
    loop(fd, batch, blocking);
    return 0;
}
