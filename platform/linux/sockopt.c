/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

const int gnp_px_backlog_max = INT_MAX; /* the kernel cuts it to net.core.somaxconn */
const int gnp_px_msg_more = MSG_MORE;

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int set(int fd, int name, unsigned value)
{
    int v = value < INT_MAX ? (int)value : INT_MAX;

    return value == 0 ? 0 : setsockopt(fd, IPPROTO_TCP, name, &v, sizeof(v));
}

int gnp_px_os_keepalive(int fd, const gnp_sock_opts *o)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0)
        return -1;
    if (set(fd, TCP_KEEPIDLE, o->keepalive_s) != 0 || set(fd, TCP_KEEPINTVL, o->keepalive_intvl_s) != 0)
        return -1;
    return set(fd, TCP_KEEPCNT, o->keepalive_count);
}

/* Since Linux 3.9 the kernel spreads connections and datagrams by a hash of both ends. */
int gnp_reuseport_balances(int kind)
{
    (void)kind;
    return 1;
}
