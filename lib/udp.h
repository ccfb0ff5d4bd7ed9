/* SPDX-License-Identifier: MIT */
/*
 * Datagrams.  Listeners have endpoints: one connection object for all peers, without on_open and
 * on_close, which is the flag GNI_F_DGRAM alone.  Dialled (and adopted) datagram connections have
 * GNI_F_DIALED too, one peer, and the life of a connection.
 *
 * What is sent is gathered in a queue and leaves in few system calls: at the end of the event, of the
 * turn, or before another endpoint of the loop begins to gather.  So one queue a loop serves all its
 * endpoints, and one that has nothing to send owns none; those that the system makes wait keep theirs.
 */
#ifndef GNI_UDP_H
#define GNI_UDP_H

#include <stddef.h>

#include "../platform/poll.h"
#include "conn.h"
#include "listener.h"

/* What there is of a gnp_addr that is an IP address; the room for Unix paths is not copied. */
#define GNI_IP_BYTES (offsetof(gnp_addr, u) + sizeof(((gnp_addr *)0)->u.ip))

/* Makes the endpoint of a listener on its loop from the acceptor's detached socket.  GN_ENOMEM and what
 * attaching gives. */
int gni_udp_open(gni_acceptor *a);

/* Begins and stops to receive at the acceptor's endpoint.  GN_ECLOSED. */
int gni_udp_pause(gni_acceptor *a, int pause);

/* Makes c, whose socket is connected, a datagram connection, before gni_conn_open. */
void gni_udp_dialed(gn_conn *c);

void gni_udp_event(gn_conn *c, const gnp_event *ev);

/* Queues one datagram; to NULL: the connected peer.  GN_EINVAL (an address that it cannot reach),
 * GN_EMSGSIZE, GN_EAGAIN (the queue is full), GN_ENOMEM, GN_ENOTCONN. */
int gni_udp_send(gn_conn *c, const gnp_addr *to, const gn_iov *iov, unsigned count);

/* Queues n > 0 bytes as datagrams of segment bytes.  All or none; as gni_udp_send. */
int gni_udp_send_segments(gn_conn *c, const gnp_addr *to, const void *data, size_t n, size_t segment);

/* Sends what is queued; never calls back. */
void gni_udp_flush(gn_conn *c);

size_t gni_udp_queued(const gn_conn *c);

/* The end of an event or a turn: sends, and tells what is owed.  1: a closing connection has nothing
 * left to do and must end now. */
int gni_udp_settle(gn_conn *c);

/* Drops what is queued. */
void gni_udp_forget(gn_conn *c);

/* Ends an endpoint of a listener: after what is queued, or now. */
void gni_udp_close(gn_conn *c, int now);

/* The peer of the datagram in hand or of the connection, into *out; 0 if there is none. */
int gni_udp_peer(const gn_conn *c, gnp_addr *out);

/* Frees the queues that the loop has in reserve. */
void gni_udp_spares_free(gn_loop *l);

#endif
