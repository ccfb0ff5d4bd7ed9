/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include "../mem.h"
#include "../thread.h"

#include <errno.h>
#include <process.h>
#include <string.h>

#define NAME_MAX_BYTES 15 /* as elsewhere, so that one name is the same everywhere */

_Static_assert(sizeof(HANDLE) <= sizeof(gnp_thread), "a handle fits");
_Static_assert(sizeof(SRWLOCK) <= sizeof(gnp_mutex), "SRWLOCK fits");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(gnp_cond), "CONDITION_VARIABLE fits");

struct start {
    void (*fn)(void *arg);
    void *arg;
    char name[NAME_MAX_BYTES + 1];
};

typedef HRESULT(WINAPI *set_description)(HANDLE thread, PCWSTR text);

/* SetThreadDescription is of Windows 10, version 1607, and in no import library of older kits. */
static void name_thread(const char *name)
{
    union { FARPROC any; set_description set; } fn;
    wchar_t wide[NAME_MAX_BYTES + 1];

    fn.any = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "SetThreadDescription");
    if (fn.any != NULL && gnp_wx_wide(name, wide, NAME_MAX_BYTES + 1) > 0)
        fn.set(GetCurrentThread(), wide);
}

static unsigned __stdcall run(void *arg)
{
    struct start st = *(struct start *)arg;

    gnp_free(arg, sizeof(st));
    if (st.name[0] != '\0')
        name_thread(st.name);
    st.fn(st.arg);
    return 0;
}

int gnp_thread_start(gnp_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    struct start *st = gnp_zalloc(sizeof(*st));
    uintptr_t handle;

    if (st == NULL)
        return GNP_ENOMEM;
    st->fn = fn;
    st->arg = arg;
    if (name != NULL)
        strncpy(st->name, name, NAME_MAX_BYTES);
    handle = _beginthreadex(NULL, 0, run, st, 0, NULL); /* the C library has state per thread */
    if (handle == 0) {
        int code = errno == EAGAIN ? GNP_AGAIN : GNP_ENOMEM;
        gnp_free(st, sizeof(*st));
        return code;
    }
    memset(t, 0, sizeof(*t));
    memcpy(t, &handle, sizeof(handle));
    return GNP_OK;
}

void gnp_thread_join(gnp_thread *t)
{
    HANDLE handle;

    memcpy(&handle, t, sizeof(handle));
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
}

uint64_t gnp_thread_id(void)
{
    return GetCurrentThreadId();
}

void gnp_thread_yield(void)
{
    SwitchToThread();
}

static SRWLOCK *lock_of(gnp_mutex *m)
{
    return (SRWLOCK *)(void *)m;
}

int gnp_mutex_init(gnp_mutex *m)
{
    InitializeSRWLock(lock_of(m));
    return GNP_OK;
}

void gnp_mutex_destroy(gnp_mutex *m)
{
    (void)m;
}

void gnp_mutex_lock(gnp_mutex *m)
{
    AcquireSRWLockExclusive(lock_of(m));
}

int gnp_mutex_try(gnp_mutex *m)
{
    return TryAcquireSRWLockExclusive(lock_of(m)) ? GNP_OK : GNP_AGAIN;
}

void gnp_mutex_unlock(gnp_mutex *m)
{
    ReleaseSRWLockExclusive(lock_of(m));
}

static CONDITION_VARIABLE *cond_of(gnp_cond *c)
{
    return (CONDITION_VARIABLE *)(void *)c;
}

int gnp_cond_init(gnp_cond *c)
{
    InitializeConditionVariable(cond_of(c));
    return GNP_OK;
}

void gnp_cond_destroy(gnp_cond *c)
{
    (void)c;
}

void gnp_cond_signal(gnp_cond *c)
{
    WakeConditionVariable(cond_of(c));
}

void gnp_cond_broadcast(gnp_cond *c)
{
    WakeAllConditionVariable(cond_of(c));
}

void gnp_cond_wait(gnp_cond *c, gnp_mutex *m)
{
    SleepConditionVariableSRW(cond_of(c), lock_of(m), INFINITE, 0);
}

int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns)
{
    if (deadline_ns == GNP_NEVER) {
        gnp_cond_wait(c, m);
        return GNP_OK;
    }
    if (SleepConditionVariableSRW(cond_of(c), lock_of(m), gnp_wx_ms(deadline_ns), 0))
        return GNP_OK;
    /* The system's tick may be early: then it has been a wake-up without a reason. */
    return gnp_now() >= deadline_ns ? GNP_ETIMEDOUT : GNP_OK;
}
