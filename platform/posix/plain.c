/* SPDX-License-Identifier: MIT */
/* What a port gives that knows nothing but POSIX. */
#include "../cpu.h"
#include "../err.h"
#include "../sys.h"
#include "posix.h"
#include "../sockopt.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

const int gnp_px_backlog_max = SOMAXCONN;
const int gnp_px_msg_cloexec = 0;
const int gnp_px_msg_more = 0;

const int gnp_px_abstract = 0;
const int gnp_px_keepalive_lost = 1;

int gnp_px_os_device(int fd, const char *name)
{
    (void)fd;
    (void)name;
    errno = ENOPROTOOPT;
    return -1;
}

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

int gnp_sock_cred(const gnp_sock *s, gnp_cred *out)
{
    (void)s;
    (void)out;
    return GNP_ENOTSUP;
}

const int gnp_px_group_at_bind = 0;

/* Without POSIX's word on it there is no telling what SO_REUSEPORT does. */
int gnp_px_os_reuseport(int fd)
{
    (void)fd;
    errno = ENOPROTOOPT;
    return -1;
}

int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    (void)both;
    return 0;
}

const gnp_px_opt gnp_px_os_opts[] = { { 0, 0, 0, 0, 0, 0, 0, 0 } };

void gnp_px_thread_name(const char *name)
{
    (void)name;
}

void gnp_px_cpu_init(void)
{
}

unsigned gnp_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* everybody has it, POSIX since 2024 */

    return n > 0 ? (unsigned)n : 1;
}

int gnp_cpu_pin(unsigned i)
{
    (void)i;
    return GNP_ENOTSUP;
}

uint64_t gnp_resident(void)
{
    return 0;
}
