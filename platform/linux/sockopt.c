/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"
#include "../sockopt.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#define TCP_LISTENER (PX_LISTENER | PX_IP)
#define TCP_STREAM (PX_STREAM | PX_IP)

const int gnp_px_backlog_max = INT_MAX; /* the kernel cuts it to net.core.somaxconn */
const int gnp_px_msg_cloexec = MSG_CMSG_CLOEXEC;
const int gnp_px_msg_more = MSG_MORE;

/* The kernel's own limits where no better is known: it says EINVAL itself. */
const gnp_px_opt gnp_px_os_opts[] = {
    { GNP_OPT_KEEPALIVE, PX_TCP, 1, INT_MAX, IPPROTO_TCP, TCP_KEEPIDLE, 0, 0 },
    { GNP_OPT_KEEPALIVE_INTVL, PX_TCP, 1, INT_MAX, IPPROTO_TCP, TCP_KEEPINTVL, 0, 0 },
    { GNP_OPT_KEEPALIVE_COUNT, PX_TCP, 1, INT_MAX, IPPROTO_TCP, TCP_KEEPCNT, 0, 0 },
    { GNP_OPT_USER_TIMEOUT, PX_TCP, 0, INT_MAX, IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0 },
    { GNP_OPT_NOTSENT_LOWAT, PX_TCP, 0, UINT_MAX, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, 0 },
    { GNP_OPT_FAST_OPEN, TCP_LISTENER, 0, INT_MAX, IPPROTO_TCP, TCP_FASTOPEN, 0, 0 },
    { GNP_OPT_FAST_OPEN_CONNECT, TCP_STREAM, 0, 1, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0, 0 },
    { GNP_OPT_QUICKACK, TCP_STREAM, 0, 1, IPPROTO_TCP, TCP_QUICKACK, 0, 0 },
    { GNP_OPT_DEFER_ACCEPT, TCP_LISTENER, 0, INT_MAX, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, 0 },
    { GNP_OPT_MAXSEG, PX_TCP, 1, INT_MAX, IPPROTO_TCP, TCP_MAXSEG, 0, 0 },
    { GNP_OPT_BUSY_POLL, PX_ANY, 0, INT_MAX, SOL_SOCKET, SO_BUSY_POLL, 0, 0 },
    { GNP_OPT_PRIORITY, PX_ANY, 0, INT_MAX, SOL_SOCKET, SO_PRIORITY, 0, 0 },
    { GNP_OPT_MARK, PX_ANY, 0, UINT_MAX, SOL_SOCKET, SO_MARK, 0, 0 },
    { GNP_OPT_INCOMING_CPU, PX_ANY | PX_READ_ONLY, 0, INT_MAX, SOL_SOCKET, SO_INCOMING_CPU, 0, 0 },
    { GNP_OPT_PACKET_INFO, PX_UDP, 0, 1, IPPROTO_IP, IP_PKTINFO, IPPROTO_IPV6, IPV6_RECVPKTINFO },
    { GNP_OPT_GRO, PX_UDP, 0, 1, IPPROTO_UDP, UDP_GRO, 0, 0 },
    { 0, 0, 0, 0, 0, 0, 0, 0 }
};

const int gnp_px_abstract = 1;
const int gnp_px_keepalive_lost = 0;

/* The kernel would cut a name that is too long, and might find another device. */
int gnp_px_os_device(int fd, const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n >= IFNAMSIZ) {
        errno = ENODEV;
        return -1;
    }
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)n + 1);
}

/* Else bind takes a port for itself alone, and one address has no more than 28,232 of them for all its
 * peers; connect can share a port among peers.  Linux 4.2. */
void gnp_px_os_bind_late(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
}

const int gnp_px_group_at_bind = 0;

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

/* Since Linux 3.9 the kernel spreads connections and datagrams by a hash of both ends. */
int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    (void)both;
    return 1;
}
