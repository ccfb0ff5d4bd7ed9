/* SPDX-License-Identifier: MIT */
/* Options of the BSDs and macOS.  Which a system has is what its headers define. */
#define __APPLE_USE_RFC_3542 1 /* macOS shows the options of RFC 3542 to those who ask for them, see in6.h */

#include "../posix/posix.h"
#include "../sockopt.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* All of them cut it to their own limit (kern.ipc.soacceptqueue, kern.somaxconn), which may be far above the
 * 128 of SOMAXCONN. */
const int gnp_px_backlog_max = INT_MAX;

#ifdef MSG_CMSG_CLOEXEC
const int gnp_px_msg_cloexec = MSG_CMSG_CLOEXEC;
#else
const int gnp_px_msg_cloexec = 0;
#endif

/* TCP_NOPUSH holds back the rest of a segment until it is taken back, by a call of its own each time; and
 * taking it back does not send at once everywhere. */
const int gnp_px_msg_more = 0;

const int gnp_px_abstract = 0;

/* NetBSD's accepted sockets have no time of their listener (syn_cache_get), those of macOS not the first one
 * (tcp_input). */
const int gnp_px_keepalive_lost = 1;

/* Seconds before the first probe.  macOS has an older name for it, OpenBSD no option. */
#if defined(TCP_KEEPIDLE)
#  define KEEP_IDLE TCP_KEEPIDLE
#elif defined(TCP_KEEPALIVE)
#  define KEEP_IDLE TCP_KEEPALIVE
#endif

/* DragonFly takes seconds since 5.8, milliseconds before.  The limits are Linux's (tcp.h: MAX_TCP_KEEPIDLE,
 * MAX_TCP_KEEPCNT), so that a value is good everywhere or nowhere. */
#define KEEP_MAX 32767
#define COUNT_MAX 127

/* The address that a datagram was sent to: with the interface where there is IP_RECVPKTINFO. */
#if defined(IP_RECVPKTINFO)
#  define RECV_LOCAL IP_RECVPKTINFO
#else
#  define RECV_LOCAL IP_RECVDSTADDR
#endif

const gnp_px_opt gnp_px_os_opts[] = {
#ifdef KEEP_IDLE
    { GNP_OPT_KEEPALIVE, PX_TCP, 1, KEEP_MAX, IPPROTO_TCP, KEEP_IDLE, 0, 0 },
#endif
#ifdef TCP_KEEPINTVL
    { GNP_OPT_KEEPALIVE_INTVL, PX_TCP, 1, KEEP_MAX, IPPROTO_TCP, TCP_KEEPINTVL, 0, 0 },
#endif
#ifdef TCP_KEEPCNT
    { GNP_OPT_KEEPALIVE_COUNT, PX_TCP, 1, COUNT_MAX, IPPROTO_TCP, TCP_KEEPCNT, 0, 0 },
#endif
#ifdef TCP_NOTSENT_LOWAT
    { GNP_OPT_NOTSENT_LOWAT, PX_TCP, 0, INT_MAX, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, 0 },
#endif
    { GNP_OPT_MAXSEG, PX_TCP, 1, INT_MAX, IPPROTO_TCP, TCP_MAXSEG, 0, 0 },
    { GNP_OPT_PACKET_INFO, PX_UDP, 0, 1, IPPROTO_IP, RECV_LOCAL, IPPROTO_IPV6, IPV6_RECVPKTINFO },
    { 0, 0, 0, 0, 0, 0, 0, 0 }
};

/* connect chooses a port by both ends anyway, if the socket is not bound. */
void gnp_px_os_bind_late(int fd)
{
    (void)fd;
}

int gnp_reuseport_by_cpu(const gnp_sock *s, unsigned n)
{
    (void)s;
    (void)n;
    return GNP_ENOTSUP;
}
