/* SPDX-License-Identifier: MIT */
/* Descriptors that come from elsewhere or go there: SOCKETs and file HANDLEs. */
#include "win32.h"

#include "../mem.h"

#include <string.h>

static int get_int(SOCKET s, int level, int name)
{
    int v = 0, len = sizeof(v);

    return getsockopt(s, level, name, (char *)&v, &len) == 0 ? v : 0;
}

static int is_socket(intptr_t os)
{
    return gnp_wx_start() == GNP_OK && get_int((SOCKET)os, SOL_SOCKET, SO_TYPE) != 0;
}

/* Of sockets that are not bound, too, for which there is no getsockname: the protocol tells. */
static int family_of(SOCKET s)
{
    WSAPROTOCOL_INFOW info;
    int len = sizeof(info);

    if (getsockopt(s, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &len) != 0)
        return GNP_FAMILY_NONE;
    switch (info.iAddressFamily) {
    case AF_INET: return GNP_FAMILY_IPV4;
    case AF_INET6: return GNP_FAMILY_IPV6;
    case AF_UNIX: return GNP_FAMILY_UNIX;
    default: return GNP_FAMILY_NONE;
    }
}

/* GNP_STREAM..., or 0: a stream that is not connected, or something else. */
static int kind_of(SOCKET s, int family)
{
    gnp_native n;
    int len = sizeof(n);
    int type = get_int(s, SOL_SOCKET, SO_TYPE);

    if (type == SOCK_DGRAM && family != GNP_FAMILY_UNIX)
        return GNP_DGRAM;
    if (type != SOCK_STREAM)
        return 0;
    if (get_int(s, SOL_SOCKET, SO_ACCEPTCONN))
        return GNP_LISTENER;
    return getpeername(s, &n.sa, &len) == 0 ? GNP_STREAM : 0;
}

int gnp_sock_import(gnp_sock *out, intptr_t os)
{
    SOCKET s = (SOCKET)os;
    int family = os != -1 && is_socket(os) ? family_of(s) : GNP_FAMILY_NONE;
    int kind = family != GNP_FAMILY_NONE ? kind_of(s, family) : 0;
    u_long on = 1;

    memset(out, 0, sizeof(*out));
    out->os = -1;
    if (kind == 0)
        return gnp_px_fail(WSAEINVAL);
    if (ioctlsocket(s, FIONBIO, &on) != 0)
        return gnp_wx_fail_wsa();
    SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0); /* a layer between may have none */
    out->os = os;
    out->kind = (uint8_t)kind;
    out->family = (uint8_t)family;
    if (kind == GNP_LISTENER && family != GNP_FAMILY_UNIX && get_int(s, IPPROTO_TCP, TCP_NODELAY))
        out->state = PX_NODELAY;
    return GNP_OK;
}

static int dup_socket(SOCKET s, intptr_t *out)
{
    WSAPROTOCOL_INFOW info;
    SOCKET copy;

    if (WSADuplicateSocketW(s, GetCurrentProcessId(), &info) != 0)
        return gnp_wx_fail_wsa();
    copy = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (copy == INVALID_SOCKET)
        return gnp_wx_fail_wsa();
    *out = (intptr_t)copy;
    return GNP_OK;
}

int gnp_descriptor_dup(intptr_t os, intptr_t *out)
{
    HANDLE self = GetCurrentProcess(), copy;

    *out = -1;
    if (os == -1) /* the handle of this process, to DuplicateHandle */
        return gnp_px_fail(ERROR_INVALID_HANDLE);
    if (is_socket(os))
        return dup_socket((SOCKET)os, out);
    if (!DuplicateHandle(self, (HANDLE)os, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return gnp_wx_fail_last();
    *out = (intptr_t)copy;
    return GNP_OK;
}

int gnp_sock_dup(const gnp_sock *s, intptr_t *out)
{
    *out = -1;
    return dup_socket(gnp_wx_socket(s), out);
}

void gnp_descriptor_close(intptr_t os)
{
    if (os == -1)
        return;
    if (is_socket(os))
        gnp_wx_close((SOCKET)os);
    else
        CloseHandle((HANDLE)os);
}

int gnp_file_open(intptr_t *out, const char *path)
{
    wchar_t wide[GNP_WX_PATH];
    int r = gnp_wx_wide(path, wide, GNP_WX_PATH);
    HANDLE h;

    *out = -1;
    if (r < 0)
        return r;
    h = CreateFileW(wide, GENERIC_READ, GNP_WX_SHARE, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (h == INVALID_HANDLE_VALUE)
        return gnp_wx_fail_last();
    *out = (intptr_t)h;
    return GNP_OK;
}

int gnp_file_size(intptr_t file, uint64_t *size)
{
    LARGE_INTEGER n;

    if (file == -1 || GetFileType((HANDLE)file) != FILE_TYPE_DISK || !GetFileSizeEx((HANDLE)file, &n))
        return gnp_px_fail(ERROR_INVALID_HANDLE);
    *size = (uint64_t)n.QuadPart;
    return GNP_OK;
}

/* There is no service manager here that would pass sockets. */
int gnp_inherited_take(gnp_inherited *out, int cap)
{
    (void)out;
    (void)cap;
    return 0;
}

#ifndef SIO_AF_UNIX_GETPEERPID
#  define SIO_AF_UNIX_GETPEERPID _WSAIOR(IOC_VENDOR, 256)
#endif

/* Users have no numbers here. */
int gnp_sock_cred(const gnp_sock *s, gnp_cred *out)
{
    ULONG pid = 0;
    DWORD n;

    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return GNP_ENOTSUP;
    if (WSAIoctl(gnp_wx_socket(s), SIO_AF_UNIX_GETPEERPID, NULL, 0, &pid, sizeof(pid), &n, NULL, NULL) != 0)
        return gnp_wx_fail_wsa();
    out->pid = pid;
    out->uid = out->gid = -1;
    return GNP_OK;
}
