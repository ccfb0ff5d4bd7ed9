/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include "../time.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_TICK 100u /* of FILETIME */
#define EPOCH UINT64_C(116444736000000000) /* 1970 in FILETIME, which counts from 1601 */

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#  define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2 /* Windows 10, version 1803 */
#endif

/* The frequency is fixed when the system starts; a race between two threads stores the same number twice. */
static uint64_t frequency(void)
{
    static gnp_atomic64 known;
    uint64_t f = gnp_load64_relaxed(&known);
    LARGE_INTEGER q;

    if (f == 0) {
        QueryPerformanceFrequency(&q);
        f = (uint64_t)q.QuadPart;
        gnp_store64_relaxed(&known, f);
    }
    return f;
}

uint64_t gnp_now(void)
{
    uint64_t f = frequency(), t;
    LARGE_INTEGER q;

    QueryPerformanceCounter(&q);
    t = (uint64_t)q.QuadPart;
    t = f == NS_PER_S / NS_PER_TICK ? t * NS_PER_TICK : t / f * NS_PER_S + t % f * NS_PER_S / f;
    return t != 0 ? t : 1;
}

static uint64_t ticks_of(FILETIME t)
{
    return (uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime;
}

uint64_t gnp_wall(void)
{
    FILETIME t;

    GetSystemTimePreciseAsFileTime(&t);
    return (ticks_of(t) - EPOCH) * NS_PER_TICK;
}

uint64_t gnp_thread_cpu(void)
{
    FILETIME made, gone, kernel, user;

    if (!GetThreadTimes(GetCurrentThread(), &made, &gone, &kernel, &user))
        return 0;
    return (ticks_of(kernel) + ticks_of(user)) * NS_PER_TICK;
}

/* A timer of its own tick where there is one; else the system's, of up to 16 ms, rounded up. */
static void sleep_ns(HANDLE timer, uint64_t ns)
{
    uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);
    LARGE_INTEGER due;

    due.QuadPart = -(LONGLONG)(ns < NS_PER_S ? ns / NS_PER_TICK + 1 : NS_PER_S / NS_PER_TICK);
    if (timer != NULL && SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE))
        WaitForSingleObject(timer, INFINITE);
    else
        Sleep(ms < 1000 ? (DWORD)ms : 1000);
}

void gnp_sleep_until(uint64_t deadline_ns)
{
    uint64_t now = gnp_now();
    HANDLE timer;

    if (now >= deadline_ns)
        return;
    timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    for (; now < deadline_ns; now = gnp_now())
        sleep_ns(timer, deadline_ns - now);
    if (timer != NULL)
        CloseHandle(timer);
}
