/* SPDX-License-Identifier: MIT */
/*
 * Operations: what another thread asks of a loop by handle, with a function that tells the outcome.
 *
 * Make one with room for its arguments, fill data, post it with the function that will do it; that
 * function gets it on the loop of its handle, with GN_OK, or with GN_ECLOSED when the loop has ended.  It
 * asks gni_ask_conn for the connection and ends with gni_ask_finish, exactly once, then or later.
 */
#ifndef GNI_POST_H
#define GNI_POST_H

#include "../include/gannet.h"
#include "mpsc.h"

typedef struct gni_ask {
    gni_task task; /* first: the mailbox knows only this */
    gn_handle h;   /* as the user gave it: its memory and its charge are of that loop */
    gn_handle to;  /* what it names now, if the connection has moved; done gets this one */
    gn_done done;
    void *arg;
    unsigned char data[];
} gni_ask;

/* Bytes of data. */
size_t gni_ask_len(const gni_ask *o);

/* One with len bytes of data that wait to be filled, counted against the room of the loop of h.
 * GN_ECLOSED, GN_ELIMIT, GN_ENOMEM.  [any] */
int gni_ask_make(gni_ask **out, gn_handle h, size_t len, gn_done done, void *arg);

/* Hands it to the loop of its handle.  On an error it is freed, and done is not called.  [any] */
int gni_ask_post(gni_ask *o, void (*run)(gni_task *t, int status), unsigned priority);

/*
 * What a run function calls first: *c is the connection, NULL if it is gone or the loop has ended.
 * Returns 0 if the operation has left for another loop, where the connection is now: then it is not ours
 * any more.  The loop no longer counts its bytes among those that wait.
 */
int gni_ask_conn(gni_ask *o, int status, gn_conn **c);

/* ... or this, if it does not ask: its bytes wait no more. */
void gni_ask_arrived(gni_ask *o);

/* The end of an operation that has waited on its loop: gn_execute from here on, for its handle. */
void gni_execute_now(gni_ask *o, int status);

/* Those whose time has not come complete with GN_ECLOSED; no timer of l is set any more. */
void gni_schedule_end(gn_loop *l);

/* Calls done, unless it is NULL, and frees the operation. */
void gni_ask_finish(gni_ask *o, int status);

#endif
