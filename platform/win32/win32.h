/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the Windows port.  px.h is the half that has nothing of the system: the head of a
 * poller, the state bits of a socket, the ready list and rounds; its verbs are here on non-blocking SOCKETs.
 *
 * Both pollers wait on a completion port (p->px.wake_read, see gnp_wx_port).  Of its packets
 * one without an OVERLAPPED is the wake-up, everything else belongs to the poller.
 */
#ifndef GNP_WIN32_H
#define GNP_WIN32_H

#include <winsock2.h>
#include <ws2tcpip.h>
#include <afunix.h>
#include <mswsock.h>
#include <windows.h>

#include "../px.h"

/* ----------------------------------------------------------------- errors */

/* gnp_px_fail takes the codes of GetLastError and of WSAGetLastError, whose numbers are apart; this one
 * the NTSTATUS of an operation that ended. */
int gnp_wx_fail_status(LONG status);

static inline int gnp_wx_fail_wsa(void)
{
    return gnp_px_fail(WSAGetLastError());
}

static inline int gnp_wx_fail_last(void)
{
    return gnp_px_fail((int)GetLastError());
}

/* -------------------------------------------------------------- addresses */

/* Smaller than sockaddr_storage. */
typedef union gnp_native {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} gnp_native;

/* As posix/native.h: the length, or 0 for a family that is not known or a path that is too long. */
unsigned gnp_px_to_native(const gnp_addr *a, int family, gnp_native *out);
int gnp_px_no_native(const gnp_addr *a); /* the error where that is 0 */
void gnp_px_from_native(const gnp_native *in, unsigned len, gnp_addr *out);
int gnp_px_domain(int family); /* AF_..., or -1 */

/* ---------------------------------------------------------------- sockets */

static inline SOCKET gnp_wx_socket(const gnp_sock *s)
{
    return (SOCKET)s->os;
}

/* WSAStartup, once; every function that makes or takes a socket begins with it. */
int gnp_wx_start(void);

/* socket(2): overlapped, non-blocking, not inherited by child processes; or INVALID_SOCKET. */
SOCKET gnp_wx_os_socket(int domain, int type);

/* closesocket(2), to which SO_LINGER with a time is an error of non-blocking sockets: they stay open.  The
 * time is given up then, and the system sends what is left by itself. */
void gnp_wx_close(SOCKET os);

/* Makes a detached socket with its options (NULL: none); binds it. */
int gnp_px_socket(gnp_sock *s, int family, int kind, const gnp_sock_opts *o);
int gnp_px_bind(const gnp_sock *s, const gnp_addr *a);
int gnp_px_bind_path(const gnp_sock *s, const gnp_addr *a, unsigned mode, gnp_bound *bound);

/* ConnectEx and AcceptEx want a bound socket; this binds to any address of its family, if it is not bound. */
int gnp_wx_bind_any(const gnp_sock *s);

/* Fills in what an accepted socket has of its listener.  os is its SOCKET, non-blocking. */
void gnp_wx_accepted(const gnp_sock *listener, SOCKET os, gnp_sock *out);

/* Options for a socket before it connects that are no options of the core: a connect to this host that is
 * refused says so at once and not after three attempts, half a second apart. */
void gnp_wx_connect_fast(const gnp_sock *s, const gnp_addr *to);

/* What a failed accept means: GNP_ECONNABORTED for those that are about one connection. */
int gnp_wx_accept_code(int e);

/* What a failed receive on s means, with PX_EOF if no other will succeed. */
int gnp_wx_recv_failed(gnp_sock *s, int e);

/* What one that gave r bytes, or failed with SOCKET_ERROR, means. */
int gnp_wx_received(gnp_px *p, gnp_sock *s, int r, const void **data, size_t *n);

/* Functions that Winsock gives by number only; NULL where it has none.  Any socket's will do for all. */
typedef struct gnp_wx_ext {
    LPFN_ACCEPTEX accept;
    LPFN_GETACCEPTEXSOCKADDRS accept_addresses;
    LPFN_CONNECTEX connect;
    LPFN_TRANSMITFILE transmit_file;
    LPFN_WSARECVMSG recvmsg;
    LPFN_WSASENDMSG sendmsg;
} gnp_wx_ext;
const gnp_wx_ext *gnp_wx_extensions(void); /* NULL when there are no sockets at all */

/* ---------------------------------------------------------------- datagrams */

/* Room for packet info of both families and a segment's size, WSA_CMSG_SPACE of each. */
typedef union gnp_wx_control {
    WSACMSGHDR align;
    unsigned char bytes[128];
} gnp_wx_control;

/* Reads what came with a datagram into out; the address it was sent to goes to *local. */
void gnp_wx_control_read(WSAMSG *m, gnp_dgram *out, gnp_addr *local);

/* A receive of a datagram that failed with e: truncated ones are none (WSAEMSGSIZE says 1). */
int gnp_wx_truncated(int e);

int gnp_px_is_group(const gnp_addr *a);
int gnp_px_interface_address(unsigned index, struct in_addr *out);
unsigned gnp_px_interface_of(struct in_addr a);

/* ---------------------------------------------------------- completion port */

static inline HANDLE gnp_wx_port(const gnp_px *p)
{
    return (HANDLE)(intptr_t)p->wake_read;
}

/* Milliseconds till the deadline, rounded up, as waits want them; 0 for 0, INFINITE for GNP_NEVER. */
DWORD gnp_wx_ms(uint64_t deadline_ns);

/* Takes up to max packets; how many, 0 at the deadline, or an error.  Rounds up to milliseconds, so it does
 * not return early by more than the clock's own tick: callers ask gnp_px_go_on. */
int gnp_wx_collect(const gnp_px *p, OVERLAPPED_ENTRY *entries, unsigned max, uint64_t deadline_ns);

/* Is it the wake-up?  Then others may wake again, and it becomes the event n of the round. */
static inline int gnp_wx_is_wake(const OVERLAPPED_ENTRY *e)
{
    return e->lpOverlapped == NULL;
}

/* ------------------------------------------------------------------- pollers */

extern const gnp_ops gnp_afd_ops;  /* readiness, by polls of \Device\Afd */
extern const gnp_ops gnp_iocp_ops; /* completions */

/* ---------------------------------------------------------------------- text */

/* UTF-8 to UTF-16, zero at the end; the number of units without it, or -1 (GNP_EINVAL, GNP_ENAMETOOLONG). */
int gnp_wx_wide(const char *text, wchar_t *out, int cap);
/* As elsewhere, nobody locks others out of a file. */
#define GNP_WX_SHARE (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define GNP_WX_PATH 1024 /* units of a path that is given to the system */

#endif
