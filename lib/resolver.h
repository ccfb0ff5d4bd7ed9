/* SPDX-License-Identifier: MIT */
/*
 * Host names, resolved on threads of the engine's own, since the system's resolver blocks, for as long as
 * it likes.  Whoever no longer waits for an answer goes on at once; the call itself cannot be ended, so
 * gn_engine_destroy waits for those that still run.
 */
#ifndef GNI_RESOLVER_H
#define GNI_RESOLVER_H

#include "../include/gannet.h"
#include "dial.h"

typedef struct gni_resolving gni_resolving;

/* NULL: no memory.  family 0: both. */
gni_resolving *gni_resolving_new(const char *host, int family, uint16_t port);

/* Begins; gni_dial_resolved follows on l, unless it is abandoned, or l ends.  GN_ELIMIT: too many wait
 * already; GN_ENOMEM, GN_EAGAIN (no thread).  On an error it still belongs to the caller. */
int gni_resolver_ask(gn_loop *l, gni_resolving *r, gni_dial *d);

/* Nobody waits for it any more, also if it was never begun. */
void gni_resolver_abandon(gni_resolving *r);

/* Ends the threads of an engine whose loops have ended. */
void gni_resolver_destroy(gn_engine *e);

#endif
