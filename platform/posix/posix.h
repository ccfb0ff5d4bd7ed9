/* SPDX-License-Identifier: MIT */
/* What the verbs and pollers of POSIX systems have beside px.h, and what differs between these systems. */
#ifndef GNP_POSIX_H
#define GNP_POSIX_H

#include "../px.h"

#include <sys/types.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL /* macOS before 15: see darwin/socket.c */
#  define MSG_NOSIGNAL 0
#endif

/* What a receive into the scratch buffer that returned r (and errno) means. */
int gnp_px_received(gnp_px *p, gnp_sock *s, ssize_t r, const void **data, size_t *n);

/* What the errno of a send on a stream means.  One that is gone: the sendfile of FreeBSD and macOS says
 * ENOTCONN, and macOS EPROTOTYPE to whoever sends while the connection ends. */
int gnp_px_send_fail(int e);

/* --------------------------------------------- what differs between systems */

/* accept4.c or accept_plain.c: sockets that are non-blocking and closed on exec. */
struct sockaddr;
int gnp_px_os_socket(int domain, int type);
int gnp_px_os_accept(gnp_sock *listener, struct sockaddr *sa, unsigned *len);

/* Where there is no MSG_NOSIGNAL: no write to a socket that others have made raises SIGPIPE.  0, or -1 with
 * errno. */
int gnp_px_os_quiet(int fd);

/* state.c: does the stream socket listen?  Is one of which poll(2) says so hung up? */
int gnp_px_os_listens(int fd);
int gnp_px_os_hung_up(int fd);

/* sockopt.c of the system. */
int gnp_px_os_reuseport(int fd); /* 0, or -1 with errno */
extern const int gnp_px_group_at_bind; /* 1: who shares a port must say so before it is bound */
int gnp_px_os_device(int fd, const char *name);
void gnp_px_os_bind_late(int fd); /* let connect choose the port, if the system can */
extern const int gnp_px_keepalive_lost; /* 1: accepted sockets may not have the times of their listener */
extern const int gnp_px_abstract; /* 1: Unix names that begin with a zero byte are no paths */
extern const int gnp_px_backlog_max;
extern const int gnp_px_msg_cloexec; /* flag of recvmsg that descriptors are closed on exec, or 0 */
extern const int gnp_px_msg_more; /* flag of send that more follows, or 0 */

/* gnp_sock.state of a listener: it has times of keep-alive that may be lost.  A flag that otherwise is of
 * Windows.  gnp_px_keepalive_copy gives s what it lacks of them. */
#define PX_TIMES PX_FOREIGN
void gnp_px_keepalive_copy(const gnp_sock *listener, const gnp_sock *s);

/* thread_name.c: names the calling thread. */
void gnp_px_thread_name(const char *name);

/* cpu.c: remembers the CPUs that the process may use, before any thread is pinned. */
void gnp_px_cpu_init(void);

#endif
