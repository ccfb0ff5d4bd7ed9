/* SPDX-License-Identifier: MIT */
#ifndef GNI_CONN_H
#define GNI_CONN_H

#include "../include/gannet.h"
#include "../platform/poll.h"
#include "mpsc.h"
#include "ring.h"
#include "segq.h"
#include "timer.h"

struct gni_listener;
struct gni_dgram_queue;

#define GNI_CONN_MAGIC 0x6763u /* "gc" */

enum {
    GNI_CONN_FREE = 0,
    GNI_CONN_NEW,     /* has a slot; on_open was not called */
    GNI_CONN_DIALING, /* an attempt to connect; lib/dial.c has it */
    GNI_CONN_MOVED,   /* went to another loop; stands here so that old handles find it, see migrate.c */
    GNI_CONN_OPEN,
    GNI_CONN_CLOSING, /* sends what is queued, then ends; the user may not write any more */
    GNI_CONN_LINGER,  /* on_close is done; waits for the peer's end */
    GNI_CONN_DEAD     /* closed; only waits to leave the dirty list, or for CLOSED */
};

enum {
    GNI_F_DIRTY = 1,      /* in the loop's list of connections to settle */
    GNI_F_BLOCKED = 2,    /* the system took less than all; WRITABLE follows */
    GNI_F_EOF = 4,        /* the peer's end was seen */
    GNI_F_FAILED = 8,     /* reason says why; ends at the next settle */
    GNI_F_SHUT = 16,      /* our end was asked for, after what is queued */
    GNI_F_SHUT_DONE = 32,
    GNI_F_PAUSED = 64,    /* reading is paused */
    GNI_F_HIGH = 128,     /* outbound passed the high mark and is not yet below the low one */
    GNI_F_DGRAM = 256,    /* datagrams; without GNI_F_DIALED the endpoint of a listener */
    GNI_F_OPENED = 512,   /* on_open was called: on_close is owed */
    GNI_F_RESET = 1024,   /* end with a reset */
    GNI_F_INFLIGHT = 2048, /* the system still holds it: CLOSED follows */
    GNI_F_HUNG = 4096,    /* the peer is gone both ways */
    GNI_F_REST = 8192,    /* the user has paused reading */
    GNI_F_QUEUED = 16384, /* something stayed unsent: on_drained is owed */
    GNI_F_PIPED = 32768,  /* its input goes to another connection, see pipe.c */
    GNI_F_DIALED = 65536, /* was dialled or adopted */
    GNI_F_AGAIN = 131072, /* on_traffic is owed without new bytes: after a resume */
    GNI_F_FDS = 262144,   /* descriptors may come: look for them after each read */
    GNI_F_LIMITED = 524288, /* has an outbound_max of its own */
    GNI_F_HELD = 1048576, /* counts in the budgets: held is not 0 */
    GNI_F_SINK = 2097152, /* the input of another connection comes here */
    GNI_F_CATCHING = 4194304, /* see migrate.c */
    GNI_F_END = 8388608,  /* its end came while it was piped: on_eof is owed when it no longer is */
    GNI_F_STARVED = 16777216, /* there was no memory for what came: it rests for a while, see udp.c */
    GNI_F_FLYING = 33554432 /* the system reads from the outbound queue: SENT follows, or CLOSED */
};

/*
 * One connection, in a slab slot.  It must stay within 248 bytes (asserted in conn.c): with its part of the
 * table and of what the allocator adds, an idle connection then costs less than 256.  What every event
 * touches comes first.
 */
struct gn_conn {
    gnp_sock sock; /* first: events find the connection by it */
    uint16_t magic;
    int16_t os_error; /* errno and the codes of other systems' sockets fit */
    uint32_t flags;
    gn_loop *loop;
    const gn_handler *handler; /* of its listener or its dial */
    void *user;
    void *context;
    union {
        gni_segq out;
        struct {
            struct gni_dgram_queue *queue; /* NULL while nothing waits */
            int16_t error; /* to be told to on_error */
            uint8_t cut;   /* the system does not cut trains */
        } dgram;
    } u;
    gni_ring inbound;
    uint32_t index;
    uint32_t gen;
    gn_conn *dirty_next;
    gni_task *closers; /* who asked for a close by handle and waits for it */
    struct gni_more *more; /* what few connections need, or NULL */
    gni_timer timer;   /* at the nearest of the deadlines below */
    union {
        uint64_t close_at; /* from CLOSING on: when the rest is cut; LINGER: when the wait ends */
        uint64_t read_at;  /* until then: read deadline, 0: none */
    } t;
    uint32_t idle_ticks; /* idle time-out, 0: none; in wheel ticks */
    uint32_t active;     /* tick of the last byte, low half */
    uint32_t held;       /* KiB that it has in the budgets of its loop and engine */
    int16_t reason;
    uint16_t listener; /* index, or GNI_NO_LISTENER */
    uint8_t state;
    uint8_t remote_family;
    uint16_t remote_port;
    uint32_t remote_scope; /* the peer's IP address; a Unix peer is asked for when needed */
    uint8_t remote_ip[16];
};

#define GNI_NO_LISTENER 0xffffu

/* Made when first needed, freed with the connection. */
typedef struct gni_more {
    size_t high, low;     /* watermarks, if high is not 0 */
    size_t inbound_max, outbound_max; /* limits, if not 0 */
    uint64_t write_at;    /* write deadline, 0: none */
    gn_conn *pipe_to;     /* where its input goes */
    gn_conn *pipe_from;   /* whose input comes here */
    size_t pipe_full;     /* what was unsent when no more of that was taken; 0: it is taken */
    intptr_t *descriptors;/* received and not yet taken, GN_DESCRIPTORS_MAX of room */
    unsigned descriptor_first, descriptor_count;
    struct gni_trail *trail; /* where it has been, see migrate.c */
} gni_more;

/* NULL when there is no memory. */
gni_more *gni_conn_more(gn_conn *c);

/* Takes a detached socket into the loop and opens it.  The socket is closed if that fails. */
void gni_conn_accepted(gn_loop *l, gnp_sock *s, const gnp_addr *peer, struct gni_listener *ln);

/* Fills in what every connection has: magic, loop, timer, handler (NULL: the engine's), peer (may be
 * NULL). */
void gni_conn_init(gn_conn *c, gn_loop *l, const gn_handler *handler, void *user, const gnp_addr *peer);

/* Opens it: counts it, calls on_open.  Its socket is attached, with GNP_READ. */
void gni_conn_open(gn_conn *c);

/* The same, but leaves it to the caller to settle it, or to mark it dirty. */
void gni_conn_begin(gn_conn *c);

/* Gives back a slot whose connection was never opened.  Its socket is closed. */
void gni_conn_discard_slot(gn_conn *c);

/* Closes the socket now, without any callback: of attempts that lost, of what moved away. */
void gni_conn_drop(gn_conn *c, int reset);

/* For its journey: sets its timer anew on its loop; ends it, callbacks and all, while its socket is not
 * attached (its slot, if it has one, is still to be given back); gives back a slot whose socket is gone
 * or elsewhere; frees more. */
void gni_conn_deadlines(gn_conn *c);
void gni_conn_end_detached(gn_conn *c, int reason);
void gni_conn_free_slot(gn_conn *c);
void gni_conn_more_free(gn_conn *c);

/* What the poller reported. */
void gni_conn_event(gn_conn *c, const gnp_event *ev);

/* Sends, ends or pauses the connection as its state demands, outside of any callback. */
void gni_conn_settle(gn_conn *c);

/* Puts it on the loop's list of connections to settle at the end of the turn. */
void gni_conn_mark_dirty(gn_conn *c);

/* The end of a turn for one connection of that list. */
void gni_conn_clean(gn_conn *c);

/* Limits of one connection: its own, or those of the options. */
size_t gni_conn_high(const gn_conn *c);
size_t gni_conn_outbound_max(const gn_conn *c);

/* Brackets of every callback of c: in between, what it writes is staged, and n bytes of data are lent. */
void gni_conn_callback_begin(gn_conn *c, const void *data, size_t n);
void gni_conn_callback_end(gn_conn *c);

/* Asks for an orderly end with that reason; the first one counts. */
void gni_conn_request_close(gn_conn *c, int reason, uint64_t timeout_ns);

/* Keeps the error that broke it, and the system's code of it (0: it is our own); it ends at the
 * next settle. */
void gni_conn_fail(gn_conn *c, int reason, int os_error);

/* Ends it now, whatever is queued. */
void gni_conn_cut(gn_conn *c, int reason);

/* Calls on_traffic, also without bytes (data NULL). */
void gni_conn_traffic(gn_conn *c, const void *data, size_t n);

/* Applies what a callback returned. */
void gni_conn_action(gn_conn *c, gn_action action);

/* 1 while the user may use it. */
static inline int gni_conn_usable(const gn_conn *c)
{
    return c->state == GNI_CONN_OPEN && (c->flags & GNI_F_FAILED) == 0;
}

/* 1 for the datagram endpoint of a listener, which has neither a peer nor an end. */
static inline int gni_conn_is_endpoint(const gn_conn *c)
{
    return (c->flags & (GNI_F_DGRAM | GNI_F_DIALED)) == GNI_F_DGRAM;
}

/* The rules that say if c is one; a NULL pointer is the caller's error, not a crash. */
static inline int gni_conn_valid(const gn_conn *c)
{
    return c != NULL && c->magic == GNI_CONN_MAGIC;
}

/* Handles: 10 bits of loop slot, 22 of index, 32 of generation. */
#define GNI_LOOP_INDEX ((1u << 22) - 1u)
#define GNI_GEN_LAST 0xfffffff0u
#define GNI_HANDLE(slot, index, gen) (((uint64_t)(slot) << 54) | ((uint64_t)(index) << 32) | (gen))
#define GNI_HANDLE_SLOT(h) ((unsigned)((h) >> 54))
#define GNI_HANDLE_INDEX(h) ((uint32_t)((h) >> 32) & GNI_LOOP_INDEX)
#define GNI_HANDLE_GEN(h) ((uint32_t)(h))

#endif
