/* SPDX-License-Identifier: MIT */
/* Descriptors that come from elsewhere or go there. */
#include "native.h"
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Duplicates stay clear of the standard streams, also in a process that has closed them. */
#define FIRST_FREE 3

static int get_int(int fd, int level, int name)
{
    int v = 0;
    socklen_t len = sizeof(v);

    return getsockopt(fd, level, name, &v, &len) == 0 ? v : 0;
}

static int family_of(int fd)
{
    gnp_native n;
    socklen_t len = sizeof(n);

    memset(&n, 0, sizeof(n));
    if (getsockname(fd, &n.sa, &len) != 0)
        return GNP_FAMILY_NONE;
    switch (n.sa.sa_family) {
    case AF_INET: return GNP_FAMILY_IPV4;
    case AF_INET6: return GNP_FAMILY_IPV6;
    case AF_UNIX: return GNP_FAMILY_UNIX;
    default: return GNP_FAMILY_NONE;
    }
}

/* GNP_STREAM..., or 0: a stream that is not connected, or something else. */
static int kind_of(int fd, int family)
{
    gnp_native n;
    socklen_t len = sizeof(n);
    int type = get_int(fd, SOL_SOCKET, SO_TYPE);

    if (type == SOCK_DGRAM && family != GNP_FAMILY_UNIX)
        return GNP_DGRAM;
    if (type != SOCK_STREAM)
        return 0;
    if (gnp_px_os_listens(fd))
        return GNP_LISTENER;
    return getpeername(fd, &n.sa, &len) == 0 ? GNP_STREAM : 0;
}

int gnp_sock_import(gnp_sock *out, intptr_t os)
{
    int fd = (int)os;
    int family = family_of(fd);
    int kind = family != GNP_FAMILY_NONE ? kind_of(fd, family) : 0;
    int flags;

    memset(out, 0, sizeof(*out));
    out->os = -1;
    if (kind == 0 || fd != os) /* its lower half names another one */
        return gnp_px_fail(EINVAL);
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return gnp_px_fail(errno);
    if (gnp_px_os_quiet(fd) != 0)
        return gnp_px_fail(EINVAL); /* it is dead */
    out->os = os;
    out->kind = (uint8_t)kind;
    out->family = (uint8_t)family;
    if (kind == GNP_LISTENER && family != GNP_FAMILY_UNIX && get_int(fd, IPPROTO_TCP, TCP_NODELAY))
        out->state = PX_NODELAY;
    return GNP_OK;
}

int gnp_descriptor_dup(intptr_t os, intptr_t *out)
{
    int fd = (int)os == os ? fcntl((int)os, F_DUPFD_CLOEXEC, FIRST_FREE) : -1;

    *out = fd;
    if ((int)os != os)
        return gnp_px_fail(EINVAL);
    return fd >= 0 ? GNP_OK : gnp_px_fail(errno);
}

int gnp_sock_dup(const gnp_sock *s, intptr_t *out)
{
    return gnp_descriptor_dup(s->os, out);
}

void gnp_descriptor_close(intptr_t os)
{
    if (os >= 0)
        close((int)os);
}

int gnp_file_open(intptr_t *out, const char *path)
{
    int fd;

    *out = -1;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return gnp_px_fail(errno);
    *out = fd;
    return GNP_OK;
}

int gnp_file_size(intptr_t file, uint64_t *size)
{
    struct stat st;

    if (fstat((int)file, &st) != 0)
        return gnp_px_fail(errno);
    if (!S_ISREG(st.st_mode))
        return gnp_px_fail(EINVAL);
    *size = (uint64_t)st.st_size;
    return GNP_OK;
}
