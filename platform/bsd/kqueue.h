/* SPDX-License-Identifier: MIT */
/* The kqueue poller, and what its kernel side needs: kqueue_native.c or kqueue_library.c. */
#ifndef GNP_BSD_KQUEUE_H
#define GNP_BSD_KQUEUE_H

#include "../posix/posix.h"

extern const gnp_ops gnp_kqueue_ops;

/* A user event of kq that wakes its kevent up, if the kernel has such a thing: 1 or 0.  trigger runs in any
 * thread and in signal handlers; it may change errno. */
int gnp_kq_user_add(int kq);
void gnp_kq_user_trigger(int kq);

void gnp_kq_close(int kq);

/* s, which is attached to kq, is about to be closed. */
void gnp_kq_closing(int kq, const gnp_sock *s);

/* Is the stream s, of which one direction has ended, over in both? */
int gnp_kq_over(const gnp_sock *s);

/* The error e was reported of the datagram socket s.  If that took it away from the socket, keep remembers
 * it; kept tells it, or 0, until it is forgotten. */
void gnp_kq_error_keep(const gnp_sock *s, int e);
int gnp_kq_error_kept(const gnp_sock *s);
void gnp_kq_error_forget(const gnp_sock *s);

#endif
