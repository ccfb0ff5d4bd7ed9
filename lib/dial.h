/* SPDX-License-Identifier: MIT */
/*
 * Connections that we ask for.  A dial has up to GNI_DIAL_ADDRS addresses; each attempt to connect to
 * one of them lives in a slot of the loop's table, in state GNI_CONN_DIALING.  The first to succeed
 * becomes the connection where it stands, the others are dropped.
 */
#ifndef GNI_DIAL_H
#define GNI_DIAL_H

#include "../include/gannet.h"
#include "../platform/poll.h"
#include "mpsc.h"

typedef struct gni_dial gni_dial;

/* Addresses tried for one name.  With the default delay between two attempts the tenth begins after
 * 2 s; who has more than 16 addresses has them for balance, and any will do. */
#define GNI_DIAL_ADDRS 16

/* What a dial and an adoption have in common: who asked, and whose the connection shall be. */
typedef struct gni_asked {
    gn_handle where;
    gn_done done;
    void *arg;
    const gn_handler *handler;
    void *user;
    void *context;
    size_t bytes; /* that it waits with */
} gni_asked;

/* Defaults, then the caller's, checked.  GN_EINVAL. */
int gni_dial_options_take(gn_dial_options *out, const gn_dial_options *in);

void gni_asked_init(gni_asked *a, gn_handle where, const gn_dial_options *o, gn_done done, void *arg);

/* Posts a task of so many bytes for a connection that the loop will have if all goes well; GN_ECLOSED,
 * GN_ELIMIT. */
int gni_asked_post(gni_asked *a, gni_task *t, size_t bytes);

/* What its run must begin with.  0: it has left for another loop, after the connection that `where` names,
 * and is not ours any more (nor does a gn_cancel find it there).  Else *status says if it may go on:
 * GN_OK, or GN_ECLOSED, GN_ESHUTDOWN, GN_ELIMIT.  With GN_OK it has a place in the engine:
 * gni_engine_conn_leave if it does not open in the end. */
int gni_asked_arrive(gni_asked *a, gni_task *t, int *status);

/* The connection is made, its socket attached, with GNP_READ: on_open, then done.  If it cannot be opened
 * it is dropped and done tells why. */
void gni_asked_open(const gni_asked *a, gn_conn *c);
void gni_asked_fail(const gni_asked *a, int status);

/* What the poller reported of an attempt. */
void gni_dial_event(gn_conn *c, const gnp_event *ev);

/* The resolver's answer: count addresses, or an error. */
void gni_dial_resolved(gni_dial *d, const gnp_addr *found, int count);

/* Ends all dials of a loop with that status. */
void gni_dials_end(gn_loop *l, int status);

/* Orders n addresses for trying: families take turns, IPv6 first, the resolver's order within each (RFC
 * 8305, 4). Writes at most cap and returns how many. */
int gni_dial_order(const gnp_addr *in, int n, gnp_addr *out, int cap);

#endif
