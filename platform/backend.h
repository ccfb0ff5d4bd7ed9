/* SPDX-License-Identifier: MIT */
/*
 * What a poller is made of.  Only platform/ includes this.
 *
 * A backend is a table of functions and a struct of its own that begins with a
 * gnp_poller; poller.c passes every call of poll.h on to the table.  Each port lists its
 * backends, best first, in gnp_backends.
 */
#ifndef GNP_BACKEND_H
#define GNP_BACKEND_H

#include "poll.h"

typedef struct gnp_ops {
    const char *name;

    /* Does it work on this system, now?  GNP_OK or GNP_ENOTSUP.  [any] */
    int (*probe)(void);

    /* Makes a poller whose base.ops points to a table that may be more specific than
     * this one.  Every member of config is set.  As gnp_poller_open. */
    int (*open)(gnp_poller **out, const gnp_poller_config *config);
    void (*close)(gnp_poller *p);

    int (*wait)(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns);
    void (*wake)(gnp_poller *p);

    int (*attach)(gnp_poller *p, gnp_sock *s, unsigned interest);
    int (*detach)(gnp_poller *p, gnp_sock *s);
    int (*want)(gnp_poller *p, gnp_sock *s, unsigned interest);
    int (*recv)(gnp_poller *p, gnp_sock *s, const void **data, size_t *n);
    void (*recv_done)(gnp_poller *p, gnp_sock *s);
    int (*send)(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent);
    int (*sendfile)(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent);
    int (*send_descriptor)(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n, size_t *sent);
    int (*recv_descriptor)(gnp_poller *p, gnp_sock *s, intptr_t *out);
    int (*accept)(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer);
    int (*recvfrom)(gnp_poller *p, gnp_sock *s, gnp_dgram *out);
    int (*sendto)(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent);
    int (*connect)(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                   const gnp_sock_opts *o);
    int (*connect_end)(gnp_poller *p, gnp_sock *s);
    int (*shutdown)(gnp_poller *p, gnp_sock *s);
    int (*close_sock)(gnp_poller *p, gnp_sock *s, int reset);
} gnp_ops;

struct gnp_poller {
    const gnp_ops *ops;
    unsigned caps; /* GNP_CAP_... */
};

/* The port's backends in order of preference, ended by NULL. */
extern const gnp_ops *const gnp_backends[];

#endif
