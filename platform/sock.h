/* SPDX-License-Identifier: MIT */
#ifndef GNP_SOCK_H
#define GNP_SOCK_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

typedef struct gnp_poller gnp_poller;
typedef struct gnp_sock gnp_sock;

enum { GNP_STREAM = 1, GNP_LISTENER = 2, GNP_DGRAM = 3 };

/*
 * A socket, in place inside its owner (who finds itself from the address of this).
 * All fields belong to the platform.  A socket is *detached* (gnp_accept, gnp_listen,
 * gnp_dgram_open made it) until gnp_attach binds it, once, to one poller; a detached
 * one may be copied by assignment and go to another thread, an attached one stays
 * where it is until it is closed.
 */
struct gnp_sock {
    intptr_t os;          /* descriptor or SOCKET; -1: none */
    struct gnp_sock *next; /* the poller's ready list */
    struct gnp_sock *prev;
    void *priv;           /* what the backend keeps per socket */
    uint8_t kind;         /* GNP_STREAM... */
    uint8_t family;       /* GNP_FAMILY_... */
    uint8_t interest;     /* what the core wants: GNP_READ */
    uint8_t armed;        /* what the system was told */
    uint32_t state;       /* bits of the backend */
};

typedef struct gnp_iov {
    const void *base;
    size_t len;
} gnp_iov;

/* ------------------------------------------------------ detached sockets */

/* Of sockets that share a port, the first may insist that nobody had it before. */
enum { GNP_EXCLUSIVE = 0, GNP_SHARED = 1, GNP_SHARED_FIRST = 2 };

/* Options of single sockets; the numbers are those of gn_opt in gannet.h, which says what each means. */
enum {
    GNP_OPT_NODELAY = 1, GNP_OPT_KEEPALIVE, GNP_OPT_KEEPALIVE_INTVL, GNP_OPT_KEEPALIVE_COUNT,
    GNP_OPT_RECV_BUFFER, GNP_OPT_SEND_BUFFER, GNP_OPT_LINGER, GNP_OPT_USER_TIMEOUT, GNP_OPT_NOTSENT_LOWAT,
    GNP_OPT_TOS, GNP_OPT_TTL, GNP_OPT_FAST_OPEN, GNP_OPT_FAST_OPEN_CONNECT, GNP_OPT_BUSY_POLL,
    GNP_OPT_QUICKACK, GNP_OPT_DEFER_ACCEPT, GNP_OPT_PRIORITY, GNP_OPT_MARK, GNP_OPT_INCOMING_CPU,
    GNP_OPT_BROADCAST, GNP_OPT_MULTICAST_TTL, GNP_OPT_MULTICAST_LOOP, GNP_OPT_MULTICAST_IF,
    GNP_OPT_PACKET_INFO, GNP_OPT_GRO, GNP_OPT_PASS_DESCRIPTORS, GNP_OPT_MAXSEG
};

typedef struct gnp_opt_value {
    int opt;
    int64_t value;
} gnp_opt_value;

typedef struct gnp_sock_opts {
    int backlog;              /* listeners; 0: the system's maximum */
    int reuseaddr;            /* 1: bind in TIME_WAIT; a multicast group: beside others who allow it too */
    int reuseport;            /* GNP_SHARED: several sockets share the port, the kernel balances */
    int v6only;               /* -1: the system's default, else 0 or 1 */
    int nodelay;              /* 1: TCP_NODELAY, inherited or set on each accepted socket */
    unsigned keepalive_s;     /* 0: off */
    unsigned keepalive_intvl_s;
    unsigned keepalive_count;
    size_t rcvbuf;            /* 0: the system's */
    size_t sndbuf;
    const char *device;       /* network interface to bind to, or NULL */
    unsigned unix_mode;       /* of a listening path, before anybody can connect; 0: by the umask */
    const gnp_opt_value *opts;/* set before bind and connect */
    unsigned opt_count;
} gnp_sock_opts;

/* What a bound Unix path is remembered by, so that only our own is removed.  The time too: a file system
 * may give the number of a file that is gone to the next one. */
typedef struct gnp_bound {
    uint64_t dev, ino, made;
    int owned;
} gnp_bound;

/*
 * Makes a socket that listens on a; non-blocking, closed on exec.  A Unix path that is
 * taken: removed and bound anew only if it is a socket that refuses connections;
 * GNP_EADDRINUSE if somebody serves it, GNP_EEXIST if it is no socket (never removed).
 * bound may be NULL for IP addresses.  GNP_EADDRINUSE, _EADDRNOTAVAIL, _EACCES, _EMFILE,
 * _ENFILE, _ENOBUFS, _ENOMEM, _ENAMETOOLONG, _ENOENT (folder, device), _EINVAL (an option's value), _ENOTSUP
 * (family, reuseport, an option, abstract names or permissions of one), _EIO.  [any]
 */
int gnp_listen(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o, gnp_bound *bound);

/* Makes a bound datagram socket.  a->family also alone (port 0, zero address).  Errors as gnp_listen. */
int gnp_dgram_open(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o);

/* Closes a detached socket at once.  reset: the peer sees a reset.  [any] */
void gnp_sock_close(gnp_sock *s, int reset);

/* Removes the path of a Unix listener if it is still the one that was bound.  [any] */
void gnp_unlink_bound(const gnp_addr *a, const gnp_bound *bound);

/* Both ends of a socket, detached or attached.  GNP_ENOTCONN, GNP_EIO. */
int gnp_sock_local(const gnp_sock *s, gnp_addr *out);
int gnp_sock_peer(const gnp_sock *s, gnp_addr *out);

/* Sets and reads an option, on a detached or attached socket.  GNP_ENOTSUP (unknown here, or not of
 * this kind of socket), GNP_EINVAL (the value), GNP_EACCES, GNP_EIO. */
int gnp_sock_set(gnp_sock *s, int opt, int64_t value);
int gnp_sock_get(const gnp_sock *s, int opt, int64_t *value);

/* Takes a socket that others have made: finds its kind and family, makes it non-blocking and closed on
 * exec. Detached.  GNP_EINVAL: no socket, or of a kind or state that is of no use; then it stays the
 * caller's.  [any] */
int gnp_sock_import(gnp_sock *out, intptr_t os);

/* A second descriptor of the same socket, closed on exec.  GNP_EMFILE, GNP_EIO.  [any] */
int gnp_sock_dup(const gnp_sock *s, intptr_t *out);

/* Closes a descriptor that gnp_sock_dup, gnp_descriptor_dup, gnp_recv_descriptor or gnp_file_open gave.
 * [any] */
void gnp_descriptor_close(intptr_t os);
int gnp_descriptor_dup(intptr_t os, intptr_t *out);

/* Opens a file for reading, closed on exec.  GNP_ENOENT, GNP_EACCES, GNP_EMFILE, GNP_ENFILE, GNP_EIO.
 * [any] */
int gnp_file_open(intptr_t *out, const char *path);

/* Size of the file behind a descriptor; GNP_EINVAL if it is no file with one.  [any] */
int gnp_file_size(intptr_t file, uint64_t *size);

/* The peer of a Unix stream, as of its connect; -1 for what the system does not tell.  GNP_ENOTSUP. */
typedef struct gnp_cred {
    int64_t pid, uid, gid;
} gnp_cred;
int gnp_sock_cred(const gnp_sock *s, gnp_cred *out);

/* Joins and leaves a multicast group.  A membership is the socket's own, whatever others have joined.
 * GNP_EINVAL (no group, or not of this socket), GNP_ENOENT (no such interface), GNP_EADDRINUSE (joined
 * already), GNP_EADDRNOTAVAIL (not joined), GNP_ENOBUFS. */
int gnp_sock_join(const gnp_sock *s, const gnp_addr *group, unsigned interface_index);
int gnp_sock_leave(const gnp_sock *s, const gnp_addr *group, unsigned interface_index);

/* Index of an interface by its name or by an IPv4 address of it; 0: none.  [any] */
unsigned gnp_interface_index(const char *name);

/* Of n sockets that share a port, in the order they were bound: the one whose number is the CPU of the packet
 * modulo n gets it.  s: any of them.  GNP_ENOTSUP, GNP_EINVAL (n is 0, or the port is not shared). */
int gnp_reuseport_by_cpu(const gnp_sock *s, unsigned n);

/* The sockets that a service manager passed to this process (sd_listen_fds(3)); reads and removes the
 * environment variables.  Returns how many were written, at most cap; the rest, if any, is closed.
 * [setup] */
typedef struct gnp_inherited {
    intptr_t os;
    char name[64]; /* of LISTEN_FDNAMES, or "" */
} gnp_inherited;
int gnp_inherited_take(gnp_inherited *out, int cap);

/* 1 if several sockets bound with reuseport really share the load on this system: GNP_STREAM or GNP_DGRAM.
 * both: of IPv6 for every address, that take IPv4 too.  [any] */
int gnp_reuseport_balances(int kind, int both);

/* 1 if IPv6 sockets can be made here.  [any] */
int gnp_has_ipv6(void);

/*
 * A descriptor kept in reserve for the day when there is none left: release gives its
 * place back, so that one connection can be accepted and closed; take gets it again
 * (GNP_EMFILE: not yet).  A zeroed gnp_reserve with os -1 is empty.  [any, one at a time]
 */
typedef struct gnp_reserve { intptr_t os; } gnp_reserve;
int gnp_reserve_take(gnp_reserve *r);
void gnp_reserve_release(gnp_reserve *r);

#endif
