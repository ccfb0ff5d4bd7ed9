/* SPDX-License-Identifier: MIT */
/*
 * What the pollers of all systems share: the head of their structs, the state of a socket, the ready
 * list, and the verbs on plain non-blocking sockets, of which posix/ has one set and win32/ another.
 *
 * The names of two alphabets are the same on purpose: a socket's wishes (PX_IN, PX_OUT)
 * are spelled like the events that answer them, so that "what is wished and there" is one AND.
 */
#ifndef GNP_PX_H
#define GNP_PX_H

#include "atomic.h"
#include "backend.h"

/* What a kernel reports about a socket, and what it is asked to watch. */
enum {
    PX_IN = GNP_EV_READABLE,
    PX_OUT = GNP_EV_WRITABLE,
    PX_HUP = 4 /* hang-up or error; reported unasked */
};

/* gnp_sock.state: flags, and above them the socket's place in the events of this round. */
enum {
    PX_EOF = 1,         /* the end or the failure of the stream was told: no more reads (== PX_IN) */
    PX_WRITE = 2,       /* WRITABLE is owed: a send was cut short, or a connect runs (== PX_OUT) */
    PX_HUNG = 4,        /* HANGUP was told */
    PX_INSET = 8,       /* the kernel's set holds the socket */
    PX_CAN_READ = 16,   /* no verb of reading has said AGAIN since the last event (PX_IN << 4) */
    PX_CAN_WRITE = 32,  /* edge: the same for writing (PX_OUT << 4) */
    PX_PROBE = 64,      /* edge: something beyond the data waits; don't trust a short read */
    PX_DRY = 128,       /* datagrams: the last batch was not full, the queue is empty behind it */
    PX_CONNECT = 256,   /* connecting, no event yet */
    PX_NODELAY = 512,   /* listener: accepted sockets get TCP_NODELAY */
    PX_DESCRIPTORS = 1024, /* Unix streams: descriptors may be received */
    PX_FOREIGN = 2048, /* Windows: its completion port is another poller's, for good */
    PX_FLAGS = 0xfff,
    /* From one poller to the next: */
    PX_KEPT = PX_EOF | PX_WRITE | PX_HUNG | PX_NODELAY | PX_DESCRIPTORS | PX_FOREIGN
};
#define PX_SLOT_SHIFT 12
#define PX_ROUND_MAX (1 << (32 - PX_SLOT_SHIFT))

typedef struct gnp_px_batch gnp_px_batch; /* datagrams received and not yet taken; mmsg.c */

#define PX_RIGHTS 253 /* most descriptors of one message: SCM_MAX_FD of Linux; the BSDs take fewer */

typedef struct gnp_px {
    gnp_poller base;
    unsigned char *scratch; /* what gnp_recv lends */
    size_t scratch_size;
    gnp_sock *rights_of; /* whose descriptors wait, or NULL; rights.c */
    gnp_event *round; /* the caller's array since the last wait */
    unsigned round_n;
    unsigned turn;            /* alternates when there is room for one event only */
    gnp_sock ready;           /* head of the ready list, a ring */
    gnp_px_batch *batches;    /* not in use */
    unsigned dgram_batch;     /* datagrams per system call */
    size_t dgram_size;
    gnp_atomic32 woken;       /* 1: a wake is on its way, others need not write */
    int wake_read, wake_write;
    unsigned rights_n, rights_next; /* received, taken */
    int rights_lost;
    int rights[PX_RIGHTS];
} gnp_px;

/* ----------------------------------------------------------------- errors */

/* Keeps the system's code e for gnp_os_error and gives its portable name. */
int gnp_px_fail(int e);

/* ------------------------------------------------------- parts of a poller */

/* Fills in the common part: buffers and the wake-up.  GNP_OK, GNP_ENOMEM, GNP_EMFILE... */
int gnp_px_init(gnp_px *p, const gnp_ops *ops, const gnp_poller_config *config);
/* The same without the wake-up, for a poller that has one of its own: GNP_OK or GNP_ENOMEM. */
int gnp_px_init_bare(gnp_px *p, const gnp_ops *ops, const gnp_poller_config *config);
void gnp_px_fini(gnp_px *p);

/* ops->wake; and what the poller does when the wake-up was reported. */
void gnp_px_wake(gnp_poller *p);
void gnp_px_woken(gnp_px *p);

/* The wake-up's descriptor or pair (write == read if it is one).  drain is for level-triggered use.
 * win32: the handle of a completion port, of which no more than 32 bits are used. */
int gnp_px_wake_open(int *rd, int *wr);
void gnp_px_wake_signal(int wr);
void gnp_px_wake_drain(int rd);
void gnp_px_wake_close(int rd, int wr);

/* ---------------------------------------------------------- socket state */

/* What the kernel shall watch for this socket. */
static inline unsigned gnp_px_mask(const gnp_sock *s)
{
    return ((unsigned)s->interest & ~s->state & PX_IN) | (s->state & PX_WRITE);
}

static inline int gnp_px_listed(const gnp_sock *s)
{
    return s->next != NULL;
}

static inline void gnp_px_list(gnp_px *p, gnp_sock *s)
{
    s->prev = p->ready.prev;
    s->next = &p->ready;
    p->ready.prev->next = s;
    p->ready.prev = s;
}

static inline void gnp_px_unlist(gnp_sock *s)
{
    s->prev->next = s->next;
    s->next->prev = s->prev;
    s->next = s->prev = NULL;
}

static inline int gnp_px_any_ready(const gnp_px *p)
{
    return p->ready.next != &p->ready;
}

/* Writes event number n of this round and remembers its place in the socket. */
static inline void gnp_px_event(gnp_event *events, unsigned n, gnp_sock *s, uint32_t what)
{
    gnp_event *e = &events[n];

    e->sock = s;
    e->what = what;
    e->status = 0;
    e->bytes = 0;
    s->state = (s->state & PX_FLAGS) | ((uint32_t)n << PX_SLOT_SHIFT);
}

/* The event that this round already has for s, or NULL.  The slot may be of an older
 * round: then somebody else is in it. */
static inline gnp_event *gnp_px_slot(gnp_event *events, unsigned n, const gnp_sock *s)
{
    unsigned slot = s->state >> PX_SLOT_SHIFT;

    return slot < n && events[slot].sock == s ? &events[slot] : NULL;
}

/* Begins a round: reports sockets of the ready list, in turn, in at most half of the
 * array so that there is room for what the kernel has.  Returns how many. */
unsigned gnp_px_begin(gnp_px *p, gnp_event *events, unsigned cap);

/* Must a wait that has nothing for the core yet go on?  Yes if all n kernel events were filtered
 * out, which narrows what the kernel watches, so this ends; if the ready list has had no
 * turn; or if the kernel was early. */
static inline int gnp_px_go_on(const gnp_px *p, int n, uint64_t deadline_ns)
{
    return n > 0 || gnp_px_any_ready(p) || (deadline_ns != 0 && gnp_now() < deadline_ns);
}

/* Takes s out of the round and out of the list (clause 6). */
void gnp_px_forget(gnp_px *p, gnp_sock *s);

/* Makes s an attached socket of its present descriptor. */
void gnp_px_adopt(gnp_sock *s, unsigned interest);

/* The end of gnp_detach: s is in no list, no round and no kernel's set of p. */
void gnp_px_release(gnp_px *p, gnp_sock *s);

/*
 * A level-triggered report ev (PX_...) on s: returns the events for the core, 0 for none.
 * *watch is what the kernel is to watch from now on, or PX_LEAVE: take the socket out of
 * the set, since a hang-up would be reported for ever.
 */
#define PX_LEAVE (~0u)
uint32_t gnp_px_level(gnp_sock *s, unsigned ev, unsigned *watch);

/* ------------------------------------------------------------------ verbs */
/* As in poll.h, on any poller.  They keep PX_EOF and PX_WRITE; the backend then sees to
 * it that the kernel watches what gnp_px_mask says. */

int gnp_px_recv(gnp_px *p, gnp_sock *s, const void **data, size_t *n);
int gnp_px_send(gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent);
/* sendfile.c of the system, or sendfile_plain.c; and the copy that does for every kind of file. */
int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent);
int gnp_px_sendfile_copy(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent);
int gnp_px_sendfile_end(gnp_sock *s, int code, int some); /* gnp_px_send_cut for a file */
/* A send ended early with code, while there may be room; what it says to the caller. */
int gnp_px_send_cut(gnp_sock *s, int code, int some);
int gnp_px_accept(gnp_sock *listener, gnp_sock *out, gnp_addr *peer);
int gnp_px_connect(gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local, const gnp_sock_opts *o);
int gnp_px_connect_end(gnp_sock *s);
int gnp_px_shutdown(gnp_poller *p, gnp_sock *s);
void gnp_px_close_fd(gnp_sock *s, int reset);

/* Descriptors over Unix streams; rights.c.  recv_rights is gnp_px_recv on sockets with PX_DESCRIPTORS; it
 * sets PX_PROBE when the read may have stopped at descriptors.  rights_drop closes what was not taken. */
int gnp_px_recv_rights(gnp_px *p, gnp_sock *s, const void **data, size_t *n);
int gnp_px_recv_descriptor(gnp_poller *p, gnp_sock *s, intptr_t *out);
int gnp_px_send_descriptor(gnp_sock *s, int os, const void *data, size_t n, size_t *sent);
void gnp_px_rights_drop(gnp_px *p);

/* Datagrams; mmsg.c or mmsg_plain.c.  *held is where the backend keeps the socket's batch.
 * dgram_done follows each GNP_OK of recvfrom; it clears PX_CAN_READ when nothing is left.
 * recvfrom says GNP_AGAIN without a system call while PX_CAN_READ is not set. */
int gnp_px_recvfrom(gnp_px *p, gnp_sock *s, gnp_px_batch **held, gnp_dgram *out);
void gnp_px_dgram_done(gnp_px *p, gnp_sock *s, gnp_px_batch **held);
void gnp_px_dgram_drop(gnp_px *p, gnp_px_batch **held); /* gives the batch back unread */
void gnp_px_dgram_fini(gnp_px *p);                      /* frees all batches */
int gnp_px_sendto(gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent);
/* ... ended early with code: WRITABLE is owed after GNP_AGAIN only, not for one that went wrong. */
static inline void gnp_px_sendto_cut(gnp_sock *s, int code)
{
    s->state = code == GNP_AGAIN ? s->state | PX_WRITE : s->state & ~(uint32_t)PX_WRITE;
}

/* --------------------------------------------------------------- signals */
/* Of each system.  catch has gnp_px_signal called each time that the signal comes; with keep what was
 * before is remembered, for restore.  default is called in handlers, too.  Only those that it has. */
int gnp_px_signal_has(int what);
int gnp_px_signal_catch(int what, int keep);
void gnp_px_signal_restore(int what);
void gnp_px_signal_default(int what);

/* signal.c: the signal has come. */
void gnp_px_signal(int what);

#endif
