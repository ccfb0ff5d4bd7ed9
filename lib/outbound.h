/* SPDX-License-Identifier: MIT */
/*
 * The way out of a connection.  What its own callback writes is staged and leaves in one
 * system call after the callback; what does not leave, and what others write, is queued.
 */
#ifndef GNI_OUTBOUND_H
#define GNI_OUTBOUND_H

#include "conn.h"

/* Stages or queues.  All or nothing: GN_ELIMIT, GN_ENOMEM; then nothing of it will be sent.
 * An error that is found by sending early fails the connection and is returned. */
int gni_out_write(gn_conn *c, const gn_iov *iov, unsigned count);

/* Sends what the callback of c (the loop's current connection) has staged. */
int gni_out_send_stage(gn_conn *c);

/* Sends from the queue until it is empty, the system takes no more, or the turn's share is used
 * up (then the connection is marked dirty).  A failure is kept in the connection. */
void gni_out_send_queue(gn_conn *c);

/* Bytes staged or queued. */
size_t gni_out_bytes(const gn_conn *c);

#endif
