/* SPDX-License-Identifier: MIT */
/* Datagram endpoints: one callback a datagram, replies gathered and sent together. */
#ifndef GNI_UDP_H
#define GNI_UDP_H

#include "../platform/poll.h"
#include "listener.h"

/* Makes the endpoint of a listener on a loop from its detached socket.  GN_ENOMEM and what
 * attaching gives. */
int gni_udp_open(gn_loop *l, gnp_sock *s, gni_listener *ln);

void gni_udp_event(gn_conn *c, const gnp_event *ev);

/* Queues one datagram.  GN_EINVAL (an address that it cannot reach), GN_EMSGSIZE, GN_EAGAIN (the
 * queue is full). */
int gni_udp_send(gn_conn *c, const gnp_addr *to, const gn_iov *iov, unsigned count);

/* Sends what is queued. */
void gni_udp_flush(gn_conn *c);

size_t gni_udp_queued(const gn_conn *c);

/* Closes and frees it. */
void gni_udp_close(gn_conn *c);

#endif
