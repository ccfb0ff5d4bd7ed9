/* SPDX-License-Identifier: MIT */
/*
 * How signals are caught: the C library's two that raise() and Ctrl+C give, and the console's events.
 * Ctrl+Break, the closed window, log-off and shutdown are SIGTERM; Windows has no other signals.
 */
#include "win32.h"

#include "../sys.h"

#include <signal.h>

typedef struct number {
    int what, sig;
    gnp_atomic32 caught; /* the console's handler is to take it */
    void (*before)(int);
} number;

static number numbers[] = {
    { .what = GNP_SIGNAL_INT, .sig = SIGINT },
    { .what = GNP_SIGNAL_TERM, .sig = SIGTERM },
};
#define NUMBERS 2

static number *number_of(int what)
{
    return &numbers[what == GNP_SIGNAL_INT ? 0 : 1];
}

int gnp_px_signal_has(int what)
{
    return what == GNP_SIGNAL_INT || what == GNP_SIGNAL_TERM;
}

/* The C library has put the default back before it calls this. */
static void on_signal(int sig)
{
    const number *n = &numbers[sig == SIGINT ? 0 : 1];

    signal(sig, gnp_load32(&n->caught) != 0 ? on_signal : n->before);
    gnp_px_signal(n->what);
}

/* Runs in a thread of its own.  After the last three events the process ends as soon as this returns, so it
 * does not: main does, or the system's patience (5 to 20 seconds). */
static BOOL WINAPI on_console(DWORD type)
{
    const number *n = number_of(type == CTRL_C_EVENT ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);

    if (gnp_load32(&n->caught) == 0)
        return FALSE;
    gnp_px_signal(n->what);
    if (type == CTRL_CLOSE_EVENT || type == CTRL_LOGOFF_EVENT || type == CTRL_SHUTDOWN_EVENT)
        Sleep(INFINITE);
    return TRUE;
}

/* Once for the whole life of the process: while nothing is caught it passes everything on. */
static BOOL CALLBACK add_console(PINIT_ONCE once, PVOID unused, PVOID *context)
{
    HMODULE self;

    /* Nothing takes it away: a DLL with it must stay when its users unload it. */
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                             (LPCWSTR)(uintptr_t)on_console, &self);
    (void)once;
    (void)unused;
    (void)context;
    (void)SetConsoleCtrlHandler(on_console, TRUE); /* fails without a console, which then has no events */
    return TRUE;
}

int gnp_px_signal_catch(int what, int keep)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    number *n = number_of(what);
    void (*was)(int);

    InitOnceExecuteOnce(&once, add_console, NULL, NULL);
    was = signal(n->sig, on_signal);
    if (was == SIG_ERR)
        return gnp_px_fail(ERROR_INVALID_PARAMETER);
    if (keep)
        n->before = was;
    gnp_store32(&n->caught, 1);
    return GNP_OK;
}

void gnp_px_signal_restore(int what)
{
    number *n = number_of(what);

    gnp_store32(&n->caught, 0);
    signal(n->sig, n->before);
}

void gnp_px_signal_default(int what)
{
    number *n = number_of(what);

    gnp_store32(&n->caught, 0);
    signal(n->sig, SIG_DFL);
}
