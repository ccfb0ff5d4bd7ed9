/* SPDX-License-Identifier: MIT */
#include "win32.h"

#include "../sys.h"

#include <psapi.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_MAX (1u << 30) /* WriteFile takes 32 bits */

int gnp_sys_init(void)
{
    return gnp_wx_start();
}

const char *gnp_env(const char *name)
{
    return getenv(name);
}

static int write_all(HANDLE file, const char *text, size_t n)
{
    while (n > 0) {
        DWORD put = 0;
        if (!WriteFile(file, text, n < WRITE_MAX ? (DWORD)n : WRITE_MAX, &put, NULL))
            return gnp_wx_fail_last();
        if (put == 0)
            return gnp_px_fail(ERROR_WRITE_FAULT);
        text += put;
        n -= put;
    }
    return GNP_OK;
}

void gnp_stderr(const char *text, size_t n)
{
    (void)write_all(GetStdHandle(STD_ERROR_HANDLE), text, n);
}

/* With the right to append and none to write, the system puts each WriteFile at the end in one piece. */
int gnp_append_open(const char *path, intptr_t *out)
{
    wchar_t wide[GNP_WX_PATH];
    int r = gnp_wx_wide(path, wide, GNP_WX_PATH);
    HANDLE h;

    if (r < 0)
        return r;
    h = CreateFileW(wide, FILE_APPEND_DATA | SYNCHRONIZE, GNP_WX_SHARE, NULL, OPEN_ALWAYS,
                    FILE_ATTRIBUTE_NORMAL, NULL);
    if (h == INVALID_HANDLE_VALUE)
        return gnp_wx_fail_last();
    *out = (intptr_t)h;
    return GNP_OK;
}

int gnp_append(intptr_t file, const char *text, size_t n)
{
    return write_all((HANDLE)file, text, n);
}

void gnp_append_close(intptr_t file)
{
    CloseHandle((HANDLE)file);
}

int gnp_stderr_is_terminal(void)
{
    DWORD mode;

    return GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) != 0;
}

uint64_t gnp_resident(void)
{
    PROCESS_MEMORY_COUNTERS m;

    memset(&m, 0, sizeof(m));
    return GetProcessMemoryInfo(GetCurrentProcess(), &m, sizeof(m)) ? m.WorkingSetSize : 0;
}

static uint64_t ns_of(FILETIME t)
{
    return ((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) * 100u;
}

uint64_t gnp_process_cpu(void)
{
    FILETIME made, gone, kernel, user;

    if (!GetProcessTimes(GetCurrentProcess(), &made, &gone, &kernel, &user))
        return 0;
    return ns_of(kernel) + ns_of(user);
}

/* "Pushing the Limits of Windows: Handles"; memory ends before. */
uint64_t gnp_descriptor_limit(int raise)
{
    (void)raise;
    return 16711680;
}

int gnp_descriptor_limit_set(uint64_t n)
{
    (void)n;
    return GNP_ENOTSUP;
}

int gnp_wx_wide(const char *text, wchar_t *out, int cap)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, out, cap);

    if (n > 0)
        return n - 1;
    if (GetLastError() == ERROR_INSUFFICIENT_BUFFER)
        return gnp_px_fail(ERROR_FILENAME_EXCED_RANGE);
    return gnp_px_fail(ERROR_INVALID_NAME);
}
