/* SPDX-License-Identifier: MIT */
#include "afd_device.h"

#include <string.h>
#include <winternl.h>

#define IOCTL_AFD_POLL 0x00012024u /* FSCTL_AFD_BASE 0x12, operation 9, METHOD_BUFFERED */

#ifndef SIO_BSP_HANDLE_POLL
#  define SIO_BSP_HANDLE_POLL 0x4800001D
#endif

#define ENDED_PENDING ((LONG)0x00000103)
#define ENDED_CANCELLED ((LONG)0xC0000120)

int gnp_afd_open(HANDLE port, HANDLE *out)
{
    static wchar_t path[] = L"\\Device\\Afd\\Gannet"; /* any name below Afd */
    UNICODE_STRING name = { .Length = sizeof(path) - sizeof(path[0]), .MaximumLength = sizeof(path),
                            .Buffer = path };
    OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes), .ObjectName = &name };
    IO_STATUS_BLOCK io;
    HANDLE h;
    NTSTATUS status = NtCreateFile(&h, SYNCHRONIZE, &attributes, &io, NULL, 0,
                                   FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0);

    if (status != 0)
        return gnp_wx_fail_status(status);
    if (port != NULL &&
        (CreateIoCompletionPort(h, port, 0, 0) == NULL ||
         !SetFileCompletionNotificationModes(h, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS |
                                                    FILE_SKIP_SET_EVENT_ON_HANDLE))) {
        int code = gnp_wx_fail_last();
        CloseHandle(h);
        return code;
    }
    *out = h;
    return GNP_OK;
}

SOCKET gnp_afd_base(SOCKET os)
{
    static const DWORD ways[] = { SIO_BASE_HANDLE, SIO_BSP_HANDLE_POLL }; /* some layers break the first */
    SOCKET base;
    DWORD n;
    size_t i;

    for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (WSAIoctl(os, ways[i], NULL, 0, &base, sizeof(base), &n, NULL, NULL) == 0)
            return base;
    }
    return os;
}

static LONG ask(HANDLE afd, SOCKET base, ULONG events, int64_t timeout, gnp_afd_poll *poll, OVERLAPPED *ov,
                void *context)
{
    memset(ov, 0, sizeof(*ov));
    ov->Internal = (ULONG_PTR)ENDED_PENDING;
    poll->timeout.QuadPart = timeout;
    poll->handles = 1;
    poll->exclusive = 0;
    poll->handle = (HANDLE)base;
    poll->events = events;
    poll->status = 0;
    /* An OVERLAPPED begins with an IO_STATUS_BLOCK. */
    return NtDeviceIoControlFile(afd, NULL, NULL, context, (IO_STATUS_BLOCK *)(void *)ov, IOCTL_AFD_POLL,
                                 poll, sizeof(*poll), poll, sizeof(*poll));
}

int gnp_afd_begin(HANDLE afd, SOCKET base, ULONG events, gnp_afd_poll *poll, OVERLAPPED *ov)
{
    LONG status = ask(afd, base, events, INT64_MAX, poll, ov, ov);

    if (status == ENDED_PENDING)
        return GNP_INFLIGHT;
    return status == 0 ? GNP_OK : gnp_wx_fail_status(status);
}

ULONG gnp_afd_events(const gnp_afd_poll *poll, const OVERLAPPED *ov)
{
    LONG status = (LONG)ov->Internal;

    if (status == ENDED_CANCELLED || (status == 0 && poll->handles == 0))
        return 0;
    return status == 0 ? poll->events : AFD_LOCAL_CLOSE; /* a failure: the verbs tell why */
}

ULONG gnp_afd_look(HANDLE afd, SOCKET base, ULONG events)
{
    gnp_afd_poll poll;
    OVERLAPPED ov;
    LONG status = ask(afd, base, events, 0, &poll, &ov, NULL);

    if (status == ENDED_PENDING) {
        WaitForSingleObject(afd, INFINITE); /* its time is over already */
        status = (LONG)ov.Internal;
    }
    return status == 0 && poll.handles > 0 ? poll.events & events : 0;
}
