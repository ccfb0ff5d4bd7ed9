/* SPDX-License-Identifier: MIT */
/* How signals are caught; what comes of them is in ../signal.c. */
#include "../sys.h"
#include "posix.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

typedef struct number {
    int what, sig;
    struct sigaction before;
} number;

static number numbers[] = {
    { .what = GNP_SIGNAL_INT, .sig = SIGINT },
    { .what = GNP_SIGNAL_TERM, .sig = SIGTERM },
    { .what = GNP_SIGNAL_HUP, .sig = SIGHUP },
    { .what = GNP_SIGNAL_QUIT, .sig = SIGQUIT },
    { .what = GNP_SIGNAL_USR1, .sig = SIGUSR1 },
    { .what = GNP_SIGNAL_USR2, .sig = SIGUSR2 },
    { .what = GNP_SIGNAL_CHLD, .sig = SIGCHLD },
#ifdef SIGWINCH /* in POSIX since 2024 */
    { .what = GNP_SIGNAL_WINCH, .sig = SIGWINCH },
#endif
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static number *number_of(int what)
{
    size_t i;

    for (i = 0; i < NUMBERS; i++) {
        if (numbers[i].what == what)
            return &numbers[i];
    }
    return NULL;
}

int gnp_px_signal_has(int what)
{
    return number_of(what) != NULL;
}

static void on_signal(int sig)
{
    int saved = errno;
    size_t i = 0;

    while (i < NUMBERS - 1 && numbers[i].sig != sig)
        i++;
    gnp_px_signal(numbers[i].what);
    errno = saved;
}

int gnp_px_signal_catch(int what, int keep)
{
    number *n = number_of(what);
    struct sigaction sa;
    size_t i;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);
    for (i = 0; i < NUMBERS; i++)
        sigaddset(&sa.sa_mask, numbers[i].sig);
    return sigaction(n->sig, &sa, keep ? &n->before : NULL) == 0 ? GNP_OK : gnp_px_fail(errno);
}

void gnp_px_signal_restore(int what)
{
    const number *n = number_of(what);

    sigaction(n->sig, &n->before, NULL);
}

void gnp_px_signal_default(int what)
{
    const number *n = number_of(what);
    struct sigaction dfl;

    memset(&dfl, 0, sizeof(dfl));
    dfl.sa_handler = SIG_DFL;
    sigaction(n->sig, &dfl, NULL);
}
