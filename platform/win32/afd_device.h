/* SPDX-License-Identifier: MIT */
/*
 * Polls of \Device\Afd, the driver below Winsock: a socket is told of once, when it is ready for one of
 * some things.  select and WSAPoll are made of these.  The call has no page in the manual, but its numbers
 * are the same from Windows Vista to 11, and libuv, wepoll and Rust's mio stand on it.
 */
#ifndef GNP_WIN32_AFD_DEVICE_H
#define GNP_WIN32_AFD_DEVICE_H

#include "win32.h"

enum {
    AFD_RECEIVE = 0x0001,
    AFD_SEND = 0x0004,
    AFD_DISCONNECT = 0x0008, /* the peer has ended its stream */
    AFD_ABORT = 0x0010,      /* or reset it */
    AFD_LOCAL_CLOSE = 0x0020,
    AFD_ACCEPT = 0x0080,
    AFD_CONNECT_FAIL = 0x0100
};

/* Read when the poll begins, written when it ends. */
typedef struct gnp_afd_poll {
    LARGE_INTEGER timeout;
    ULONG handles;
    ULONG exclusive;
    HANDLE handle;
    ULONG events;
    LONG status;
} gnp_afd_poll;

/* Opens the device; its polls end on port, if that is not NULL, except those that end at once.  GNP_OK,
 * GNP_ENOTSUP, GNP_EMFILE... */
int gnp_afd_open(HANDLE port, HANDLE *out);

/* The socket that Windows itself knows: programs may have put layers over it. */
SOCKET gnp_afd_base(SOCKET os);

/* Begins a poll of base for events; ov and *poll stay where they are until its packet comes.  GNP_OK: it has
 * ended already and no packet comes; GNP_INFLIGHT; or an error.
 * One handle of the device has at most one poll of a socket: two would take events from each other. */
int gnp_afd_begin(HANDLE afd, SOCKET base, ULONG events, gnp_afd_poll *poll, OVERLAPPED *ov);

/* What a poll that has ended tells. */
ULONG gnp_afd_events(const gnp_afd_poll *poll, const OVERLAPPED *ov);

/* What is so now, of events.  afd is of no port.  0 also if that cannot be told. */
ULONG gnp_afd_look(HANDLE afd, SOCKET base, ULONG events);

#endif
