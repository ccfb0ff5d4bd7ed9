/* SPDX-License-Identifier: MIT */
/* The completion port that a poller waits on, and its wake-up: a packet without an OVERLAPPED. */
#include "win32.h"

#define POST_TRIES 1000 /* the kernel has no memory for a packet: a second of patience */

int gnp_px_wake_open(int *rd, int *wr)
{
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);

    if (port == NULL)
        return gnp_wx_fail_last();
    *rd = *wr = (int)(intptr_t)port; /* "Interprocess Communication Between 32-bit and 64-bit Applications" */
    return GNP_OK;
}

void gnp_px_wake_close(int rd, int wr)
{
    (void)wr;
    CloseHandle((HANDLE)(intptr_t)rd);
}

/* Wakes are coalesced, so one that gets lost is the last one. */
void gnp_px_wake_signal(int wr)
{
    DWORD saved = GetLastError();
    int i = 0;

    while (!PostQueuedCompletionStatus((HANDLE)(intptr_t)wr, 0, 0, NULL) && i++ < POST_TRIES)
        Sleep(1);
    SetLastError(saved);
}

/* Taking the packet off the port was it. */
void gnp_px_wake_drain(int rd)
{
    (void)rd;
}

DWORD gnp_wx_ms(uint64_t deadline_ns)
{
    uint64_t now, ms;

    if (deadline_ns == 0 || deadline_ns == GNP_NEVER)
        return deadline_ns == 0 ? 0 : INFINITE;
    now = gnp_now();
    if (deadline_ns <= now)
        return 0;
    ms = (deadline_ns - now) / 1000000u + ((deadline_ns - now) % 1000000u != 0);
    return ms < 0x7fffffff ? (DWORD)ms : 0x7fffffff;
}

int gnp_wx_collect(const gnp_px *p, OVERLAPPED_ENTRY *entries, unsigned max, uint64_t deadline_ns)
{
    ULONG n = 0;

    if (GetQueuedCompletionStatusEx(gnp_wx_port(p), entries, max, &n, gnp_wx_ms(deadline_ns), FALSE))
        return (int)n;
    return GetLastError() == WAIT_TIMEOUT ? 0 : gnp_wx_fail_last();
}
