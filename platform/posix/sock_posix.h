/* SPDX-License-Identifier: MIT */
/* Between the files that make sockets. */
#ifndef GNP_SOCK_POSIX_H
#define GNP_SOCK_POSIX_H

#include "../sock.h"

/* Makes a detached socket with its options.  NULL: none. */
int gnp_px_socket(gnp_sock *s, int family, int kind, const gnp_sock_opts *o);

int gnp_px_bind(const gnp_sock *s, const gnp_addr *a);

/* Binds to a Unix path by the rule of gnp_listen. */
int gnp_px_bind_path(const gnp_sock *s, const gnp_addr *a, gnp_bound *bound);

#endif
