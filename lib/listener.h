/* SPDX-License-Identifier: MIT */
/* Addresses that an engine serves, and the sockets of each on the loops. */
#ifndef GNI_LISTENER_H
#define GNI_LISTENER_H

#include "../include/gannet.h"
#include "../platform/atomic.h"
#include "../platform/poll.h"
#include "addr.h"
#include "admission.h"
#include "timer.h"

/* One gn_engine_listen.  Its sockets wait here, detached, until the loops start. */
typedef struct gni_listener {
    unsigned index;
    gni_scheme scheme;
    int datagram;
    gnp_addr addr; /* as bound */
    gnp_bound bound;
    const gn_handler *handler;
    void *user;
    gni_gate gate;       /* of its conns_max */
    gnp_atomic32 paused; /* as asked for; each loop follows */
    int both;            /* an IPv6 socket that takes IPv4 too */
    int pass_descriptors;
    gnp_sock first; /* to duplicate, while it is open; under the engine's lock once that runs */
    unsigned count; /* sockets: one, or one per loop */
    unsigned cap;   /* of socks */
    gnp_sock *socks;
} gni_listener;

/* Why an acceptor does not accept: it was paused, the system has no room, a limit of ours is reached. */
enum { GNI_REST_PAUSED = 1, GNI_REST_STARVED = 2, GNI_REST_LIMIT = 4 };

enum { GNI_ACCEPTOR_DETACHED, GNI_ACCEPTOR_ATTACHED, GNI_ACCEPTOR_CLOSED };

/* One socket of a listener on one loop. */
typedef struct gni_acceptor {
    gnp_sock sock; /* first: events find the acceptor by it */
    gni_listener *listener;
    gn_loop *loop;
    unsigned rest;     /* GNI_REST_ */
    int wanting;       /* what the poller was told */
    int first;         /* it has the listener's first socket */
    int guarded;       /* a limit may keep connections out */
    gni_timer backoff; /* set while accepting rests for want of descriptors or memory */
    uint64_t delay_ns;
    uint64_t starved_since;
    uint64_t logged; /* when its rest was last told */
    gnp_atomic64 endpoint; /* of datagrams: its handle, from the start on */
    int state;
} gni_acceptor;

/* Parses, binds and listens, with options that were taken (lo).  GN_* as gn_engine_listen_with. */
int gni_listener_open(gni_listener **out, const char *url, const gn_options *o, const gn_listen_options *lo,
                      unsigned loops);

/* The same for a socket that others have bound; on an error it stays theirs. */
int gni_listener_import(gni_listener **out, gn_descriptor d, const gn_options *o,
                        const gn_listen_options *lo);

void gni_listener_close(gni_listener *ln);
void gni_listener_free(gni_listener *ln);

/* 1 if its connections come by a loop that accepts for the others. */
int gni_listener_needs_acceptor(const gni_listener *ln, unsigned loops);

/* On the loop's thread. */
int gni_acceptor_attach(gni_acceptor *a);
void gni_acceptor_detach(gni_acceptor *a);
void gni_acceptor_event(gni_acceptor *a, const gnp_event *ev);

/* Follows what was asked since: pauses, resumes, tries again where a limit was in the way. */
void gni_acceptors_sync(gn_loop *l);

/* Makes a running loop do so soon; calls until then are one.  [any] */
void gni_acceptors_kick(gn_loop *l);

/* Closes what was accepted and counted for a loop, and undoes the counting. */
void gni_accepted_lost(gn_loop *to, gnp_sock *s, const gni_listener *ln, int reset);

/* A connection that was accepted for this listener (its index) is no more: makes room for another. */
void gni_listener_leave(gn_engine *e, unsigned index);

/* A descriptor was given back: those that rest try again at the next turn. */
void gni_acceptor_retry(gn_loop *l);

#endif
