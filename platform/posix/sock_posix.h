/* SPDX-License-Identifier: MIT */
/* Between the files that make sockets. */
#ifndef GNP_SOCK_POSIX_H
#define GNP_SOCK_POSIX_H

#include "../sock.h"

#include <netinet/in.h>

/* Makes a detached socket with its options.  NULL: none. */
int gnp_px_socket(gnp_sock *s, int family, int kind, const gnp_sock_opts *o);

int gnp_px_bind(const gnp_sock *s, const gnp_addr *a);

/* Binds to a Unix path by the rule of gnp_listen, with permissions if mode is not 0. */
int gnp_px_bind_path(const gnp_sock *s, const gnp_addr *a, unsigned mode, gnp_bound *bound);

/* mtime.c: when the file was written, in nanoseconds.  For a socket that is when it was bound: nothing that
 * is done to its path changes this. */
struct stat;
uint64_t gnp_px_made(const struct stat *st);

/* interface.c.  An IPv4 address of the interface: GNP_EADDRNOTAVAIL, GNP_EMFILE...; and the index of
 * that which has the address, or 0. */
int gnp_px_interface_address(unsigned index, struct in_addr *out);
unsigned gnp_px_interface_of(struct in_addr a);

#endif
