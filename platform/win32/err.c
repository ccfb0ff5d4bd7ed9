/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include <winternl.h>

static GNP_THREAD_LOCAL int last_error;

int gnp_os_error(void)
{
    return last_error;
}

/* Of Winsock: 10000 and more. */
static int code_of_wsa(int e)
{
    switch (e) {
    case WSAEWOULDBLOCK:
    case WSAEINPROGRESS: return GNP_AGAIN;
    case WSAEBADF:
    case WSAENOTSOCK:
    case WSAEISCONN:
    case WSAEFAULT: /* an option's value, or an address, of a wrong size */
    case WSAEDESTADDRREQ:
    case WSAEINVAL: return GNP_EINVAL;
    case WSAEPROTONOSUPPORT:
    case WSAESOCKTNOSUPPORT:
    case WSAEPFNOSUPPORT:
    case WSAEAFNOSUPPORT:
    case WSAENOPROTOOPT:
    case WSAEPROTOTYPE:
    case WSAEOPNOTSUPP: return GNP_ENOTSUP;
    case WSAEADDRINUSE: return GNP_EADDRINUSE;
    case WSAEADDRNOTAVAIL: return GNP_EADDRNOTAVAIL;
    case WSAEACCES: return GNP_EACCES;
    case WSAEMFILE:
    case WSAEPROCLIM: return GNP_EMFILE;
    case WSAENOBUFS: return GNP_ENOBUFS;
    case WSAECONNREFUSED: return GNP_ECONNREFUSED;
    case WSAENETRESET: /* keep-alive found nobody; TTL of a datagram expired */
    case WSAECONNRESET: return GNP_ECONNRESET;
    case WSAECONNABORTED: return GNP_ECONNABORTED;
    case WSAEDISCON:
    case WSAESHUTDOWN: return GNP_EPIPE;
    case WSAETIMEDOUT: return GNP_ETIMEDOUT;
    case WSAENETDOWN:
    case WSAENETUNREACH: return GNP_ENETUNREACH;
    case WSAEHOSTDOWN:
    case WSAEHOSTUNREACH: return GNP_EHOSTUNREACH;
    case WSAENAMETOOLONG: return GNP_ENAMETOOLONG;
    case WSAEMSGSIZE: return GNP_EMSGSIZE;
    case WSAENOTCONN: return GNP_ENOTCONN;
    default: return GNP_EIO;
    }
}

/* Of the system.  Those with NETNAME, CONNECTION and PORT are what overlapped socket operations end with. */
static int code_of(int e)
{
    switch (e) {
    case ERROR_IO_PENDING: return GNP_AGAIN;
    case ERROR_INVALID_HANDLE:
    case ERROR_INVALID_FUNCTION: /* what is no file with bytes at an offset */
    case ERROR_INVALID_NAME:
    case ERROR_NEGATIVE_SEEK:
    case ERROR_SEEK_ON_DEVICE:
    case ERROR_NO_UNICODE_TRANSLATION:
    case ERROR_INVALID_PARAMETER: return GNP_EINVAL;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_OUTOFMEMORY: return GNP_ENOMEM;
    case ERROR_CALL_NOT_IMPLEMENTED:
    case ERROR_NOT_SUPPORTED: return GNP_ENOTSUP;
    case ERROR_DUP_NAME:     /* STATUS_ADDRESS_ALREADY_EXISTS */
    case ERROR_TOO_MANY_NAMES: /* STATUS_TOO_MANY_ADDRESSES */
    case ERROR_ADDRESS_ALREADY_ASSOCIATED: return GNP_EADDRINUSE;
    case ERROR_INVALID_NETNAME: return GNP_EADDRNOTAVAIL; /* STATUS_INVALID_ADDRESS_COMPONENT */
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_WRITE_PROTECT: return GNP_EACCES;
    case ERROR_TOO_MANY_OPEN_FILES: return GNP_EMFILE;
    case ERROR_WORKING_SET_QUOTA:
    case ERROR_NOT_ENOUGH_QUOTA: /* STATUS_QUOTA_EXCEEDED */
    case ERROR_NO_SYSTEM_RESOURCES: return GNP_ENOBUFS;
    case ERROR_REM_NOT_LIST:
    case ERROR_CONNECTION_REFUSED:
    case ERROR_PORT_UNREACHABLE: return GNP_ECONNREFUSED;
    case ERROR_NETNAME_DELETED: return GNP_ECONNRESET;
    case ERROR_OPERATION_ABORTED: /* cancelled */
    case ERROR_REQUEST_ABORTED:
    case ERROR_CONNECTION_ABORTED: return GNP_ECONNABORTED;
    case ERROR_HANDLE_EOF: return GNP_EOF;
    case ERROR_GRACEFUL_DISCONNECT:
    case ERROR_BROKEN_PIPE: return GNP_EPIPE;
    case ERROR_SEM_TIMEOUT: return GNP_ETIMEDOUT;
    case ERROR_NETWORK_UNREACHABLE: return GNP_ENETUNREACH;
    case ERROR_HOST_UNREACHABLE:
    case ERROR_PROTOCOL_UNREACHABLE: return GNP_EHOSTUNREACH;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: return GNP_EEXIST;
    case ERROR_FILENAME_EXCED_RANGE: return GNP_ENAMETOOLONG;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_BAD_NETPATH:
    case ERROR_INVALID_DRIVE: return GNP_ENOENT;
    case ERROR_MORE_DATA: return GNP_EMSGSIZE;
    case ERROR_BUSY: return GNP_EBUSY;
    case ERROR_NOT_CONNECTED:
    case ERROR_CONNECTION_INVALID: return GNP_ENOTCONN;
    default: return GNP_EIO;
    }
}

int gnp_px_fail(int e)
{
    int code = e >= WSABASEERR ? code_of_wsa(e) : code_of(e);

    if (code != GNP_AGAIN) /* the usual answer of a non-blocking socket is no failure */
        last_error = e;
    return code;
}

int gnp_wx_fail_status(LONG status)
{
    return gnp_px_fail((int)RtlNtStatusToDosError(status));
}
