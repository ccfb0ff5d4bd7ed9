/* SPDX-License-Identifier: MIT */
/*
 * Paths of Unix listeners.  A path is taken over only from a socket that nobody serves: what
 * else stands there may be somebody's data.
 */
#include "native.h"
#include "posix.h"
#include "sock_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* a's path as text; empty for an unnamed or abstract one. */
static void path_text(const gnp_addr *a, char out[GNP_UNIX_PATH_MAX + 1])
{
    memcpy(out, a->u.path, a->len);
    out[a->len] = '\0';
}

/* GNP_OK: a socket, *st tells which; GNP_ENOENT; GNP_EEXIST: something else. */
static int look(const char *path, struct stat *st)
{
    if (lstat(path, st) != 0)
        return gnp_px_fail(errno);
    return S_ISSOCK(st->st_mode) ? GNP_OK : gnp_px_fail(EEXIST);
}

/* Has somebody the socket there open?  The BSDs refuse a connection alike if there is nobody and if his queue
 * is full; one of the wrong type they refuse for its type if there is somebody, as Linux does. */
static int held(const gnp_native *native, unsigned len)
{
    int fd = gnp_px_os_socket(AF_UNIX, SOCK_DGRAM);
    int r;

    if (fd < 0)
        return 1;
    r = connect(fd, &native->sa, len) == 0 || errno == EPROTOTYPE;
    close(fd);
    return r;
}

/* GNP_OK: nobody answers there. */
static int probe(const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, GNP_FAMILY_UNIX, &native);
    int fd = gnp_px_os_socket(AF_UNIX, SOCK_STREAM);
    int e;

    if (fd < 0)
        return gnp_px_fail(errno);
    e = connect(fd, &native.sa, len) == 0 ? 0 : errno;
    close(fd);
    switch (e) {
    case ECONNREFUSED: return held(&native, len) ? gnp_px_fail(EADDRINUSE) : GNP_OK;
    case ENOENT: return GNP_OK;
    case EACCES:
    case EPERM: return gnp_px_fail(e);
    default: return gnp_px_fail(EADDRINUSE); /* EAGAIN: a full queue; EPROTOTYPE: for datagrams */
    }
}

/* Removes path if it is still the socket that st describes. */
static int remove_same(const char *path, const struct stat *st)
{
    struct stat now;

    if (lstat(path, &now) != 0)
        return errno == ENOENT ? GNP_OK : gnp_px_fail(errno);
    if (!S_ISSOCK(now.st_mode) || now.st_dev != st->st_dev || now.st_ino != st->st_ino ||
        gnp_px_made(&now) != gnp_px_made(st))
        return gnp_px_fail(EADDRINUSE);
    if (unlink(path) != 0 && errno != ENOENT)
        return gnp_px_fail(errno);
    return GNP_OK;
}

static int clear_stale(const gnp_addr *a, const char *path)
{
    struct stat st;
    int r = look(path, &st);

    if (r == GNP_ENOENT)
        return GNP_OK;
    if (r == GNP_OK)
        r = probe(a);
    return r == GNP_OK ? remove_same(path, &st) : r;
}

/* By path: fchmod on a socket changes something else on Linux and nothing on the BSDs.  Nobody can connect
 * before listen, so no one slips in between.  A link is not followed where the system can tell. */
static int set_mode(const char *path, unsigned mode)
{
    if (fchmodat(AT_FDCWD, path, (mode_t)mode, AT_SYMLINK_NOFOLLOW) == 0)
        return GNP_OK;
    if (errno != ENOTSUP && errno != EOPNOTSUPP && errno != EINVAL)
        return gnp_px_fail(errno);
    return chmod(path, (mode_t)mode) == 0 ? GNP_OK : gnp_px_fail(errno);
}

int gnp_px_bind_path(const gnp_sock *s, const gnp_addr *a, unsigned mode, gnp_bound *bound)
{
    char path[GNP_UNIX_PATH_MAX + 1];
    struct stat st;
    int r;

    if (a->len > gnp_unix_path_max())
        return gnp_px_fail(ENAMETOOLONG);
    if (mode > 07777)
        return gnp_px_fail(EINVAL);
    path_text(a, path);
    if (mode != 0 && path[0] == '\0') /* an abstract name has no permissions */
        return gnp_px_fail(EOPNOTSUPP);
    r = gnp_px_bind(s, a);
    if (r == GNP_EADDRINUSE && path[0] != '\0') {
        r = clear_stale(a, path);
        if (r == GNP_OK)
            r = gnp_px_bind(s, a);
    }
    if (r == GNP_OK && path[0] != '\0' && lstat(path, &st) == 0) {
        bound->dev = (uint64_t)st.st_dev;
        bound->ino = (uint64_t)st.st_ino;
        bound->made = gnp_px_made(&st);
        bound->owned = 1;
    }
    if (r == GNP_OK && mode != 0)
        r = set_mode(path, mode); /* gnp_listen takes the path away again */
    return r;
}

void gnp_unlink_bound(const gnp_addr *a, const gnp_bound *bound)
{
    char path[GNP_UNIX_PATH_MAX + 1];
    struct stat st;

    if (!bound->owned || a->family != GNP_FAMILY_UNIX || a->len > gnp_unix_path_max())
        return;
    path_text(a, path);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (uint64_t)st.st_dev == bound->dev &&
        (uint64_t)st.st_ino == bound->ino && gnp_px_made(&st) == bound->made)
        unlink(path);
}
