/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the poller on a completion port.
 *
 * What the system may write to is never a gnp_sock, but a record of the poller: when a socket is closed or
 * leaves, its record stays until the last packet has come.  So gnp_close is done at once (GNP_OK), whatever
 * was begun.  No operation moves bytes: they tell of readiness or make connections, and the verbs go to
 * the non-blocking SOCKET.  So nothing is in flight that a close, a pause or a move could lose.
 */
#ifndef GNP_WIN32_IOCP_H
#define GNP_WIN32_IOCP_H

#include "afd_device.h"
#include "win32.h"

/* Most packets of one wait; 4 KiB. */
#define IOCP_ENTRIES 128

/* Records kept for the next sockets; 50 KiB. */
#define IOCP_SPARES 256

/* Connections that the system may make for a listener ahead of gnp_accept: a burst of so many costs no
 * second round. */
#define IOCP_ACCEPTS 16

typedef struct gnp_iocp_rec gnp_iocp_rec;

typedef enum iocp_kind { IOCP_RECEIVE, IOCP_CONNECT, IOCP_POLL, IOCP_ACCEPT } iocp_kind;

/* Something that was begun. */
typedef struct gnp_iocp_op {
    OVERLAPPED ov; /* first: a packet carries its address */
    gnp_iocp_rec *rec;
    iocp_kind kind;
    int pending; /* a packet will come */
} gnp_iocp_op;

/* A place for a connection.  It is free, or the system has it (op.pending), or it has come. */
typedef struct gnp_iocp_slot {
    gnp_iocp_op op; /* first, as above */
    SOCKET os;
    int come;
    int code; /* GNP_OK, or why it came to nothing: then os is none */
    unsigned char addresses[2 * (sizeof(SOCKADDR_STORAGE) + 16)]; /* as AcceptEx wants it */
} gnp_iocp_slot;

typedef struct gnp_iocp_queue {
    unsigned first, come;        /* those that have come and are not taken, in order */
    uint8_t order[IOCP_ACCEPTS]; /* a ring */
    gnp_iocp_slot slots[IOCP_ACCEPTS];
} gnp_iocp_queue;

struct gnp_iocp_rec {
    gnp_sock *sock;     /* NULL: it is gone */
    gnp_iocp_rec *next; /* of the spares */
    unsigned pending;   /* packets to come */
    int skip;           /* what ends at once makes no packet */
    int code;           /* why the verb of reading will fail, or GNP_OK */
    int connect_code;   /* how the connect ended */
    gnp_iocp_op receive; /* a receive of no bytes; before it the connect */
    gnp_iocp_op poll;
    gnp_afd_poll afd;   /* of the poll */
    unsigned polled;    /* what it is about: PX_IN, PX_OUT */
    SOCKET base;        /* see gnp_afd_base */
    gnp_px_batch *held;
    gnp_iocp_queue *queue; /* of a listener that is driven by AcceptEx */
};

typedef struct gnp_iocp {
    gnp_px px;
    HANDLE afd;  /* polls */
    HANDLE look; /* polls that don't wait */
    int skip;    /* no layer over TCP is in the way of it, see iocp_op.c */
    unsigned pending; /* packets to come */
    unsigned unsure;  /* at most so many sockets have PX_PROBE: datagrams were taken, and nobody saw the
                         last one; their driver is asked before they are reported again */
    gnp_iocp_rec *spares;
    unsigned spare_count;
    OVERLAPPED_ENTRY entries[IOCP_ENTRIES];
} gnp_iocp;

static inline gnp_iocp *gnp_iocp_of(gnp_poller *p)
{
    return (gnp_iocp *)(void *)p;
}

/* In gnp_sock.armed: 1 for a stream that was paused, and is to be told of a reset nevertheless.  One that has
 * just connected is not: as a rule it is read at once. */

static inline gnp_iocp_rec *gnp_iocp_rec_of(const gnp_sock *s)
{
    return s->priv;
}

/* ---------------------------------------------------------- iocp_op.c: records, operations, packets */

/* Gives s, which has its state already, a record.  GNP_OK or GNP_ENOMEM. */
int gnp_iocp_enter(gnp_iocp *p, gnp_sock *s);

/* Takes it away again; what is pending is cancelled, and its packets are nobody's. */
void gnp_iocp_leave(gnp_iocp *p, gnp_sock *s);

void gnp_iocp_spares_free(gnp_iocp *p);

/* Layers over TCP which are no file handles of the system don't keep to
 * FILE_SKIP_COMPLETION_PORT_ON_SUCCESS (KB2568167). */
int gnp_iocp_may_skip(void);

/* 1: what is begun on s ends on p's port.  0: it belongs to another one for good (PX_FOREIGN). */
int gnp_iocp_home(gnp_iocp *p, gnp_sock *s);

/* What a call that begins *op has said: it is done, or has failed with e.  GNP_OK: no packet comes;
 * GNP_INFLIGHT; or an error, and there is none either. */
int gnp_iocp_begun(gnp_iocp *p, gnp_iocp_op *op, int done, int e);

/* Puts s on the ready list or takes it off, as its state says. */
void gnp_iocp_relist(gnp_iocp *p, gnp_sock *s);

/* Begins what tells of all that s wants and is not known to be there. */
void gnp_iocp_arm(gnp_iocp *p, gnp_sock *s);

/* s can no more do bits (PX_CAN_...). */
void gnp_iocp_cannot(gnp_iocp *p, gnp_sock *s, uint32_t bits);

/* What s wants and has. */
static inline uint32_t gnp_iocp_ready(const gnp_sock *s)
{
    return gnp_px_mask(s) & (s->state >> 4) & (PX_IN | PX_OUT);
}

/* Takes note of a packet that is not the wake-up.  Returns its socket, for which gnp_iocp_arm is due; NULL
 * if that is gone. */
gnp_sock *gnp_iocp_packet(gnp_iocp *p, const OVERLAPPED_ENTRY *e);

/* Why op, which is of s and not of the driver, has failed: in Winsock's words, not those of the kernel. */
int gnp_iocp_why(const gnp_sock *s, gnp_iocp_op *op);

/* Cancels all that s has begun and takes packets until it has ended.  0: it has not. */
int gnp_iocp_calm(gnp_iocp *p, gnp_sock *s);

/* Takes packets of sockets that are gone, for a while. */
void gnp_iocp_drain(gnp_iocp *p);

/* -------------------------------------------------------------------- iocp_accept.c */

/* Has the system wait for connections to l in every place that is free.  What fails is told by gnp_accept if
 * then there is none to wait for. */
void gnp_iocp_accept_fill(gnp_iocp *p, gnp_sock *l);

/* The packet of a slot; l is NULL when it is gone. */
void gnp_iocp_accept_done(gnp_iocp_rec *r, gnp_iocp_slot *a, gnp_sock *l);
void gnp_iocp_accept_cancel(const gnp_sock *l, gnp_iocp_queue *q);

/* Closes what has come; for a listener that is closed.  q may be NULL. */
void gnp_iocp_queue_free(gnp_iocp_queue *q);
int gnp_iocp_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer);

/* -------------------------------------------------------------------- iocp_connect.c */

int gnp_iocp_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                     const gnp_sock_opts *o);
int gnp_iocp_connect_end(gnp_poller *p, gnp_sock *s);
void gnp_iocp_connect_done(gnp_sock *s, gnp_iocp_rec *r);

#endif
