/* SPDX-License-Identifier: MIT */
/*
 * What the hand-written servers share: flags, the listening socket, threads.  They are the
 * yardstick of the comparison, so each has its event loop in its own file, written out.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>

/* Most bytes of one recv; the same as gannet's default read_buffer. */
#define PEER_READ 65536u

/* Events of one epoll_wait and accepts of one turn; the point of diminishing returns is about 64. */
#define PEER_EVENTS 256
#define PEER_ACCEPTS 64

/* Runs the event loop on a listening socket; never returns. */
typedef void peer_loop(int listener);

/* Parses the flags, listens, prints "listening on tcp://ADDR:PORT", runs the loops and ends
 * the process with status 0 on SIGINT or SIGTERM. */
int peer_main(int argc, char **argv, const char *name, peer_loop *loop);

/* Adds fd to or changes it in epoll set ep; ends the process if that fails when adding. */
void peer_watch(int ep, int op, int fd, unsigned events, void *ptr);

void peer_die(const char *what);

#endif
