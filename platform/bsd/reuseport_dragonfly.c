/* SPDX-License-Identifier: MIT */
/* DragonFly since 3.6: SO_REUSEPORT shares connections and datagrams by a hash, among at most 256 sockets,
 * unless the administrator has turned that off. */
#include "../posix/posix.h"

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/sysctl.h>

const int gnp_px_group_at_bind = 1; /* of datagrams; of TCP listen would do: in_pcbinswildcardhash */

int gnp_px_os_reuseport(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

/* Sockets of both families are not there. */
int gnp_reuseport_balances(int kind, int both)
{
    const char *name = kind == GNP_DGRAM ? "net.inet.udp.reuseport_ext" : "net.inet.tcp.reuseport_ext";
    int on = 0;
    size_t n = sizeof(on);

    (void)both;
    return sysctlbyname(name, &on, &n, NULL, 0) == 0 && on != 0;
}
