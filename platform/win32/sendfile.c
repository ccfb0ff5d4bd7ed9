/* SPDX-License-Identifier: MIT */
/*
 * A file to a socket by way of a buffer.  TransmitFile does not say AGAIN: without an OVERLAPPED it blocks,
 * and client editions of Windows run two at a time.
 */
#include "win32.h"

/* On the stack, since the poller's buffer may be lent. */
#define COPY 16384u

/* A file that ends or fails is no failure of the socket: nothing is owed. */
int gnp_px_sendfile_end(gnp_sock *s, int code, int some)
{
    if (code != GNP_AGAIN && !some)
        s->state &= ~(uint32_t)PX_WRITE;
    return gnp_px_send_cut(s, code, some);
}

/* Bytes read at the offset, or an error; GNP_EOF at the end.  The handle may be one for overlapped use, and
 * belong to somebody's port: the lowest bit of the event keeps our packets from there. */
static int read_at(HANDLE file, HANDLE event, uint64_t offset, void *buf, DWORD n)
{
    OVERLAPPED at = { .Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32) };
    DWORD got = 0;

    at.hEvent = (HANDLE)((ULONG_PTR)event | 1);
    if (!ReadFile(file, buf, n, &got, &at) &&
        (GetLastError() != ERROR_IO_PENDING || !GetOverlappedResult(file, &at, &got, TRUE)))
        return GetLastError() == ERROR_HANDLE_EOF ? GNP_EOF : gnp_wx_fail_last();
    return got > 0 ? (int)got : GNP_EOF;
}

static int copy(gnp_sock *s, HANDLE file, HANDLE event, uint64_t offset, uint64_t n, uint64_t *sent)
{
    unsigned char buf[COPY];

    while (*sent < n) { /* each turn sends at least one or ends */
        uint64_t left = n - *sent;
        gnp_iov v = { buf, 0 };
        size_t put;
        int r = read_at(file, event, offset + *sent, buf, left < COPY ? (DWORD)left : COPY);

        if (r < 0)
            return gnp_px_sendfile_end(s, r, *sent > 0);
        v.len = (size_t)r;
        r = gnp_px_send(s, &v, 1, 0, &put);
        if (r != GNP_OK)
            return gnp_px_send_cut(s, r, *sent > 0);
        *sent += put;
        if (put < v.len)
            return GNP_OK;
    }
    return GNP_OK;
}

int gnp_px_sendfile_copy(gnp_sock *s, int fd, uint64_t offset, uint64_t n, uint64_t *sent)
{
    HANDLE file = (HANDLE)(intptr_t)fd, event;
    LARGE_INTEGER zero = { .QuadPart = 0 }, was;
    int r, placed;

    *sent = 0;
    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return gnp_px_sendfile_end(s, gnp_px_fail(ERROR_INVALID_PARAMETER), 0);
    if (GetFileType(file) != FILE_TYPE_DISK)
        return gnp_px_sendfile_end(s, gnp_px_fail(ERROR_INVALID_HANDLE), 0);
    event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (event == NULL)
        return gnp_px_sendfile_end(s, gnp_wx_fail_last(), 0);
    placed = SetFilePointerEx(file, zero, &was, FILE_CURRENT);
    r = copy(s, file, event, offset, n, sent);
    if (placed) /* a handle that is not for overlapped use: the reads have moved its place */
        SetFilePointerEx(file, was, NULL, FILE_BEGIN);
    CloseHandle(event);
    return r;
}

int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    return gnp_px_sendfile_copy(s, file, offset, n, sent);
}
