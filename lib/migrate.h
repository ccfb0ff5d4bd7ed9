/* SPDX-License-Identifier: MIT */
/*
 * Connections that go to another loop, and how operations find them.
 *
 * The slot that a connection leaves stays behind as a tombstone (GNI_CONN_MOVED), which keeps its handle
 * valid and knows where the connection went.  While it is on its way, operations wait at the
 * tombstone; afterwards they are posted on to the new handle.  A connection has one slot a loop at most:
 * when it comes back it gets its old one, and so its old handle.  Then operations that were posted
 * on may still be under way on the path of the tombstones, and those that come by a shorter path must not
 * overtake them: they are held until a marker has come by the long one.
 *
 * Every way is first in, first out, so what one thread asks by one handle keeps its order.
 */
#ifndef GNI_MIGRATE_H
#define GNI_MIGRATE_H

#include "conn.h"

typedef struct gni_trail gni_trail;

/* Finds the connection of a task on this loop: *to is its handle.  Returns 1 with *c, NULL if there is
 * none; or 0 when the task was taken: it has gone on, or waits, and its run will be called again,
 * here or on another loop, with GN_ECLOSED if the path ends. */
int gni_migrate_follow(gn_handle *to, gni_task *t, gn_conn **c);

/* The connection ends: so do its tombstones, and what is held completes. */
void gni_migrate_end(gn_conn *c);

/* It is to move, but waits until no send is in flight: then no other is begun. */
int gni_migrate_waits(const gn_conn *c);

/* If so, and the send in flight has ended, outside of every callback: it may have moved away after this. */
void gni_migrate_landed(gn_conn *c);

#endif
