/* SPDX-License-Identifier: MIT */
/*
 * The poller contract.  Its surface is level-triggered readiness with pull verbs;
 * what is below is each kernel's fast path.  tests/conform proves every clause for
 * every poller.
 *
 *  1. A poller and its sockets belong to one thread, the one that opened it; only
 *     gnp_wake may be called from another.  Wakes are coalesced: one event for many,
 *     and no wake is lost: one that comes before a wait ends that wait.
 *  2. Events are hints: a spurious one is allowed (the verb then says GNP_AGAIN), a
 *     lost one is a bug.
 *  3. Level at the surface: while a verb would not say GNP_AGAIN and the interest is
 *     there, every wait reports the socket.  Backends that are edge-triggered, one-shot
 *     or completion-based keep a ready list and do not block while it is not empty.
 *     No socket reported starves another: over successive waits all get their turn.
 *  4. At most one span is lent per poller, from gnp_recv or gnp_recvfrom until
 *     gnp_recv_done.  In between, no other verb of reading, and no wait.
 *  5. End of stream is told once, by gnp_recv, after all data; no READABLE follows.
 *  6. After gnp_close returned GNP_OK no event carries that socket, also none that an
 *     earlier gnp_poller_wait of the same round would still have had in its array:
 *     the poller blanks those (what = 0, sock = NULL).  A descriptor that is used anew never
 *     gets another's bytes or events.
 *  7. gnp_send that took less than all, or said GNP_AGAIN, is followed by WRITABLE as
 *     soon as there is room.  Otherwise WRITABLE comes only as a spurious hint.
 *  8. GNP_INFLIGHT of gnp_send: the system reads the memory until exactly one SENT says how many
 *     of the bytes went (the rest was not taken, as after a short send) or why none did.  Until then
 *     the memory stays as it is, the socket gets no other verb of sending and no gnp_shutdown,
 *     and gnp_detach says GNP_EBUSY.  GNP_INFLIGHT of gnp_close: exactly one CLOSED follows, and until
 *     then gnp_sock, and what was in flight, stay as they are; no SENT comes any more.  Only a backend
 *     with GNP_CAP_INFLIGHT ever says it, gnp_send only to a caller who passed GNP_SEND_PINNED.
 *  9. gnp_poller_wait takes absolute monotonic time and never returns before it without
 *     an event, except on interruption, which is "no events".
 * 10. Without GNP_READ nothing is read from the socket, whatever the peer sends, and no
 *     READABLE comes; a reset or a full hang-up may be told once as HANGUP.  Never a spin.
 */
#ifndef GNP_POLL_H
#define GNP_POLL_H

#include "err.h"
#include "sock.h"
#include "time.h"

enum { GNP_READ = 1 }; /* interest; that in writing is kept by the poller itself, see 7 */

enum {
    GNP_EV_READABLE = 1, /* gnp_recv, gnp_recvfrom or gnp_accept may have something */
    GNP_EV_WRITABLE = 2, /* gnp_send may take more; or a connect has ended */
    GNP_EV_SENT = 4,     /* a send in flight has ended: event.bytes went, or event.status is its error */
    GNP_EV_CLOSED = 8,   /* the memory of the socket is free again */
    GNP_EV_HANGUP = 16,  /* see 10; also beside READABLE and WRITABLE */
    GNP_EV_WOKEN = 32    /* sock is NULL */
};

typedef struct gnp_event {
    gnp_sock *sock;
    uint32_t what;
    int status;
    size_t bytes;
} gnp_event;

typedef struct gnp_poller_config {
    const char *name;    /* NULL: the first that is available */
    int edge;            /* 1: edge-triggered below, if the backend has a choice */
    size_t read_buffer;  /* most bytes of one gnp_recv; 0: 64 KiB */
    size_t dgram_size;   /* longest datagram received whole; 0: 64 KiB */
    unsigned dgram_batch;/* datagrams per system call; 0: the backend's choice */
} gnp_poller_config;

enum { GNP_CAP_INFLIGHT = 1, GNP_CAP_EDGE = 2 };

/* Name of the i-th backend of this build in order of preference, NULL after the last;
 * available (may be NULL) tells whether its probe succeeds here.  [any] */
const char *gnp_poller_name(unsigned i, int *available);

/* GNP_ENOENT: no such backend; GNP_ENOTSUP: it does not work here; GNP_ENOMEM, GNP_EMFILE.  [any] */
int gnp_poller_open(gnp_poller **out, const gnp_poller_config *config);
/* Every socket must be closed, and CLOSED taken, before; no gnp_wake may run or follow. */
void gnp_poller_close(gnp_poller *p);
const char *gnp_poller_backend(const gnp_poller *p);
unsigned gnp_poller_caps(const gnp_poller *p);

/* Fills up to cap events and returns how many, or an error after which the poller is of no
 * more use.  The array must stay until the next wait (see 6).  deadline 0: don't block. */
int gnp_poller_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns);

/* [any; async-signal-safe] */
void gnp_wake(gnp_poller *p);

/* Binds a detached socket, with the interest it starts with.  On error (GNP_ENOMEM,
 * GNP_ENOBUFS, GNP_EMFILE...) it stays detached. */
int gnp_attach(gnp_poller *p, gnp_sock *s, unsigned interest);

/* Sets the interest: GNP_READ or 0. */
int gnp_want(gnp_poller *p, gnp_sock *s, unsigned interest);

/* Lends what has come: GNP_OK with *n > 0, GNP_AGAIN, GNP_EOF, or GNP_ECONNRESET, GNP_ETIMEDOUT,
 * GNP_EHOSTUNREACH, GNP_ENETUNREACH, GNP_ENOMEM, GNP_EIO.  recv_done follows GNP_OK only. */
int gnp_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n);
void gnp_recv_done(gnp_poller *p, gnp_sock *s);

enum { GNP_SEND_PINNED = 1, GNP_SEND_MORE = 2 };

/* Sends from count >= 1 spans of together > 0 bytes (any count: the backend cuts it to what
 * the system takes).  GNP_OK with *sent > 0; GNP_AGAIN; GNP_INFLIGHT (all of it); GNP_EPIPE,
 * GNP_ECONNRESET, GNP_ETIMEDOUT, GNP_EHOSTUNREACH, GNP_ENETUNREACH, GNP_ENOBUFS, GNP_ENOMEM, GNP_EIO. */
int gnp_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent);

/* Sends n > 0 bytes of a file from offset.  As gnp_send; also GNP_EOF: the file has no byte there. */
int gnp_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent);

/* Sends n > 0 bytes with a descriptor, on a Unix stream.  As gnp_send; the descriptor went if *sent > 0.
 * GNP_ENOTSUP on other sockets. */
int gnp_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n, size_t *sent);

/* After a gnp_recv on a socket with GNP_OPT_PASS_DESCRIPTORS and before its gnp_recv_done: the next
 * descriptor that came with those bytes, closed on exec, the caller's; GNP_AGAIN when there is none
 * left; before that once GNP_EMFILE if some were lost because this process may not open more.  Those not
 * taken are closed by gnp_recv_done, or by the next gnp_recv if that one told no data. */
int gnp_recv_descriptor(gnp_poller *p, gnp_sock *s, intptr_t *out);

/* Takes the next connection of an attached listener, detached.  peer may be NULL.
 * GNP_AGAIN; GNP_ECONNABORTED (that one is gone; go on); GNP_EMFILE, GNP_ENFILE, GNP_ENOBUFS,
 * GNP_ENOMEM, GNP_EACCES (firewall), GNP_EIO. */
int gnp_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer);

typedef struct gnp_dgram {
    const void *data;
    size_t len;
    const gnp_addr *peer; /* lent like data */
    int truncated;        /* 1: longer than dgram_size (or the train was); the rest is lost */
    size_t segment;       /* with GNP_OPT_GRO: data is a train of datagrams of this size, the last may be
                             shorter; 0: it is one */
    const gnp_addr *local;/* with GNP_OPT_PACKET_INFO: where it was sent to, port 0; else NULL */
    unsigned interface_index; /* it came by, or 0 */
} gnp_dgram;

/* Lends the next datagram (len may be 0).  GNP_AGAIN; GNP_ECONNREFUSED and the like from ICMP: go on. */
int gnp_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out);

typedef struct gnp_dgram_out {
    const void *data;
    size_t len;
    const gnp_addr *peer; /* NULL: the connected peer */
    size_t segment;       /* > 0: data is a train of datagrams of this size, at most GNP_SEGMENTS_MAX and
                             64 KiB.  GNP_ENOTSUP where the system cannot cut it */
} gnp_dgram_out;

#define GNP_SEGMENTS_MAX 64u /* UDP_MAX_SEGMENTS of Linux before 6.9 */

/* Sends count datagrams, in as few system calls as the system allows.  *sent is how many
 * left, also on an error, which is about datagram number *sent (skip it and go on):
 * GNP_OK (all), GNP_AGAIN (clause 7 holds), GNP_EMSGSIZE, GNP_EACCES, GNP_ECONNREFUSED, GNP_EHOSTUNREACH,
 * GNP_ENETUNREACH, GNP_EINVAL, GNP_ENOBUFS, GNP_ENOMEM, GNP_EIO. */
int gnp_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent);

/* Makes a stream or datagram socket (kind) on p, binds it to local if not NULL, and begins to
 * connect.  GNP_OK: connected already, as datagram sockets always are; GNP_INFLIGHT: WRITABLE follows,
 * then gnp_connect_end tells; else an error and no socket.  The socket is attached with interest 0. */
int gnp_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                const gnp_sock_opts *o);
/* GNP_OK, GNP_AGAIN (not yet), or why it failed; the socket must then be closed. */
int gnp_connect_end(gnp_poller *p, gnp_sock *s);

/* Undoes gnp_attach: the socket is detached again, with all that has come and is not read, and clause 6
 * holds.  What was told once (5, 10) is not told again where it is attached next, and the WRITABLE that
 * is owed (7) comes there.  No span is lent.  GNP_EBUSY: sends are in flight, it connects, or
 * datagrams were received that gnp_recvfrom has not lent yet; it stays attached. */
int gnp_detach(gnp_poller *p, gnp_sock *s);

/* Ends our stream; data sent before still arrives.  GNP_OK, GNP_ENOTCONN, GNP_EIO. */
int gnp_shutdown(gnp_poller *p, gnp_sock *s);

/* Closes an attached socket.  reset: drop what is unsent, the peer sees a reset.
 * GNP_OK or GNP_INFLIGHT (clauses 6 and 8). */
int gnp_close(gnp_poller *p, gnp_sock *s, int reset);

#endif
