/* SPDX-License-Identifier: MIT */
/* Addresses that an engine serves, and the sockets of each on the loops. */
#ifndef GNI_LISTENER_H
#define GNI_LISTENER_H

#include "../include/gannet.h"
#include "../platform/atomic.h"
#include "../platform/poll.h"
#include "addr.h"
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
    unsigned count; /* sockets: one, or one per loop */
    unsigned cap;   /* of socks */
    gnp_sock *socks;
} gni_listener;

enum { GNI_ACCEPTOR_DETACHED, GNI_ACCEPTOR_ATTACHED, GNI_ACCEPTOR_CLOSED };

/* One socket of a listener on one loop. */
typedef struct gni_acceptor {
    gnp_sock sock; /* first: events find the acceptor by it */
    gni_listener *listener;
    gn_loop *loop;
    gni_timer backoff; /* set while accepting rests for want of descriptors or memory */
    uint64_t delay_ns;
    uint64_t starved_since;
    uint64_t logged; /* when its rest was last told */
    gnp_atomic64 endpoint; /* of datagrams: its handle, from the start on */
    int state;
} gni_acceptor;

/* Parses, binds and listens.  GN_* as gn_engine_listen. */
int gni_listener_open(gni_listener **out, const char *url, unsigned index, const gn_options *o,
                      unsigned loops);
void gni_listener_close(gni_listener *ln);
void gni_listener_free(gni_listener *ln);

/* 1 if its connections come by a loop that accepts for the others. */
int gni_listener_needs_acceptor(const gni_listener *ln, unsigned loops);

/* On the loop's thread. */
int gni_acceptor_attach(gni_acceptor *a);
void gni_acceptor_detach(gni_acceptor *a);
void gni_acceptor_event(gni_acceptor *a, const gnp_event *ev);

/* A descriptor was given back: those that rest try again at the next turn. */
void gni_acceptor_retry(gn_loop *l);

#endif
