/* SPDX-License-Identifier: MIT */
/*
 * Paths of Unix listeners, since Windows 10, version 1803.  A path is taken over only from a socket that
 * nobody serves: what else stands there may be somebody's data.
 */
#include "win32.h"

#include <string.h>

#ifndef IO_REPARSE_TAG_AF_UNIX
#  define IO_REPARSE_TAG_AF_UNIX 0x80000023u
#endif

/* The path itself and no file that it may lead to. */
static HANDLE open_path(const wchar_t *path)
{
    return CreateFileW(path, FILE_READ_ATTRIBUTES, GNP_WX_SHARE, NULL, OPEN_EXISTING,
                       FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

/* GNP_OK: a socket, *b tells which; GNP_ENOENT; GNP_EEXIST: something else. */
static int look(const wchar_t *path, gnp_bound *b)
{
    FILE_ATTRIBUTE_TAG_INFO tag;
    BY_HANDLE_FILE_INFORMATION info;
    HANDLE h = open_path(path);
    int r = GNP_OK;

    if (h == INVALID_HANDLE_VALUE)
        return gnp_wx_fail_last();
    if (!GetFileInformationByHandleEx(h, FileAttributeTagInfo, &tag, sizeof(tag)) ||
        !GetFileInformationByHandle(h, &info))
        r = gnp_wx_fail_last();
    else if (!(tag.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) || tag.ReparseTag != IO_REPARSE_TAG_AF_UNIX)
        r = gnp_px_fail(ERROR_ALREADY_EXISTS);
    CloseHandle(h);
    if (r != GNP_OK)
        return r;
    b->dev = info.dwVolumeSerialNumber;
    b->ino = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
    b->made = (uint64_t)info.ftCreationTime.dwHighDateTime << 32 | info.ftCreationTime.dwLowDateTime;
    b->owned = 1;
    return GNP_OK;
}

static int same(const gnp_bound *a, const gnp_bound *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->made == b->made;
}

/* What a connect that runs ends with.  One that has not ended in a second is somebody's who is busy. */
static int outcome(SOCKET s)
{
    struct timeval second = { 1, 0 };
    int e = 0, len = sizeof(e);
    fd_set good, bad;

    FD_ZERO(&good);
    FD_ZERO(&bad);
    FD_SET(s, &good);
    FD_SET(s, &bad);
    if (select(0, NULL, &good, &bad, &second) <= 0 || !FD_ISSET(s, &bad))
        return 0;
    return getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&e, &len) == 0 ? e : WSAGetLastError();
}

/* GNP_OK: nobody answers there. */
static int probe(const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, GNP_FAMILY_UNIX, &native);
    SOCKET s = gnp_wx_os_socket(AF_UNIX, SOCK_STREAM);
    int e;

    if (s == INVALID_SOCKET)
        return gnp_wx_fail_wsa();
    e = connect(s, &native.sa, (int)len) == 0 ? 0 : WSAGetLastError();
    if (e == WSAEWOULDBLOCK)
        e = outcome(s);
    closesocket(s);
    return e == WSAECONNREFUSED ? GNP_OK : gnp_px_fail(e == WSAEACCES ? e : WSAEADDRINUSE);
}

static int clear_stale(const gnp_addr *a, const wchar_t *path)
{
    gnp_bound was, now;
    int r = look(path, &was);

    if (r == GNP_ENOENT)
        return GNP_OK;
    if (r == GNP_OK)
        r = probe(a);
    if (r != GNP_OK)
        return r;
    r = look(path, &now);
    if (r != GNP_OK)
        return r == GNP_ENOENT ? GNP_OK : r;
    if (!same(&was, &now))
        return gnp_px_fail(WSAEADDRINUSE);
    return DeleteFileW(path) ? GNP_OK : gnp_wx_fail_last();
}

/* a's path as the file functions want it; that of AF_UNIX is UTF-8, too. */
static int path_of(const gnp_addr *a, wchar_t out[GNP_WX_PATH])
{
    char path[GNP_UNIX_PATH_MAX + 1];

    memcpy(path, a->u.path, a->len);
    path[a->len] = '\0';
    return gnp_wx_wide(path, out, GNP_WX_PATH);
}

int gnp_px_bind_path(const gnp_sock *s, const gnp_addr *a, unsigned mode, gnp_bound *bound)
{
    wchar_t path[GNP_WX_PATH];
    int r;

    if (a->len > gnp_unix_path_max() || a->len == 0)
        return gnp_px_fail(a->len == 0 ? WSAEINVAL : WSAENAMETOOLONG);
    if (mode != 0) /* the folder's access list decides, as for every file */
        return gnp_px_fail(mode > 07777 ? WSAEINVAL : WSAEOPNOTSUPP);
    r = path_of(a, path);
    if (r < 0)
        return r;
    r = gnp_px_bind(s, a);
    if (r == GNP_EADDRINUSE) {
        r = clear_stale(a, path);
        if (r == GNP_OK)
            r = gnp_px_bind(s, a);
    }
    if (r == GNP_OK && look(path, bound) != GNP_OK)
        memset(bound, 0, sizeof(*bound));
    return r;
}

void gnp_unlink_bound(const gnp_addr *a, const gnp_bound *bound)
{
    wchar_t path[GNP_WX_PATH];
    gnp_bound now;

    if (!bound->owned || a->family != GNP_FAMILY_UNIX || a->len > gnp_unix_path_max() || path_of(a, path) < 0)
        return;
    if (look(path, &now) == GNP_OK && same(&now, bound))
        DeleteFileW(path);
}
