/* SPDX-License-Identifier: MIT */
/*
 * SIGINT and SIGTERM.  The handler touches lock-free atomics, gnp_wake and sigaction only.
 */
#include "../sys.h"
#include "posix.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define WATCHERS 64 /* one per engine is usual */

typedef struct watcher {
    gnp_atomic_ptr poller; /* NULL: free */
    gnp_atomic32 pending;  /* GNP_SIGNAL_..., not taken yet */
} watcher;

static watcher watchers[WATCHERS];
static gnp_atomic32 handlers; /* that run now */
static gnp_atomic32 kept;     /* the signal that has come since somebody began to hold or watch */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* watch against unwatch */
static unsigned watching;
static struct sigaction before_int, before_term;

static void restore_default(void)
{
    struct sigaction dfl;

    memset(&dfl, 0, sizeof(dfl));
    dfl.sa_handler = SIG_DFL;
    sigaction(SIGINT, &dfl, NULL);
    sigaction(SIGTERM, &dfl, NULL);
}

static void on_signal(int sig)
{
    int saved = errno, i;

    gnp_add32(&handlers, 1);
    restore_default();
    gnp_store32(&kept, sig == SIGINT ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
    for (i = 0; i < WATCHERS; i++) {
        gnp_poller *p = gnp_load_ptr(&watchers[i].poller);
        if (p == NULL)
            continue;
        gnp_store32(&watchers[i].pending, sig == SIGINT ? GNP_SIGNAL_INT : GNP_SIGNAL_TERM);
        gnp_wake(p);
    }
    gnp_sub32(&handlers, 1);
    errno = saved;
}

static void restore_before(void)
{
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
}

static int install(void)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);
    sigaddset(&sa.sa_mask, SIGINT);
    sigaddset(&sa.sa_mask, SIGTERM);
    if (sigaction(SIGINT, &sa, &before_int) != 0)
        return gnp_px_fail(errno);
    if (sigaction(SIGTERM, &sa, &before_term) == 0)
        return GNP_OK;
    sigaction(SIGINT, &before_int, NULL);
    return gnp_px_fail(errno);
}

/* One more who wants signals kept; the first installs the handler.  Under the lock. */
static int join(void)
{
    int r = GNP_OK;

    if (watching == 0) {
        gnp_store32(&kept, GNP_SIGNAL_NONE);
        r = install();
    }
    if (r == GNP_OK)
        watching++;
    return r;
}

/* One less; the last puts back what was before.  Under the lock. */
static void leave(void)
{
    if (--watching == 0)
        restore_before();
    /* A handler on another thread may have a poller in hand: it ends soon, and that lives till then. */
    while (gnp_add32(&handlers, 0) != 0)
        sched_yield();
    if (watching == 0)
        restore_before(); /* once more: that handler may have put the default in its place */
}

int gnp_signal_hold(void)
{
    int r;

    pthread_mutex_lock(&lock);
    r = join();
    pthread_mutex_unlock(&lock);
    return r;
}

void gnp_signal_unhold(void)
{
    pthread_mutex_lock(&lock);
    leave();
    pthread_mutex_unlock(&lock);
}

int gnp_signal_watch(gnp_poller *p)
{
    int r = GNP_EBUSY, i;

    pthread_mutex_lock(&lock);
    for (i = 0; i < WATCHERS && gnp_load_ptr(&watchers[i].poller) != NULL; i++)
        ;
    if (i < WATCHERS) {
        gnp_store32(&watchers[i].pending, GNP_SIGNAL_NONE);
        gnp_store_ptr(&watchers[i].poller, p);
        r = join();
        if (r != GNP_OK) {
            gnp_store_ptr(&watchers[i].poller, NULL);
        } else if (gnp_load32(&kept) != GNP_SIGNAL_NONE) {
            /* Came before the poller was there; twice the same is once. */
            gnp_store32(&watchers[i].pending, gnp_load32(&kept));
            gnp_wake(p);
        }
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static watcher *find(const gnp_poller *p)
{
    int i;

    for (i = 0; i < WATCHERS; i++) {
        if (gnp_load_ptr(&watchers[i].poller) == p)
            return &watchers[i];
    }
    return NULL;
}

int gnp_signal_take(gnp_poller *p)
{
    watcher *w = find(p);

    return w != NULL ? (int)gnp_swap32(&w->pending, GNP_SIGNAL_NONE) : GNP_SIGNAL_NONE;
}

void gnp_signal_unwatch(gnp_poller *p)
{
    watcher *w;

    pthread_mutex_lock(&lock);
    w = find(p);
    if (w != NULL) {
        gnp_swap_ptr(&w->poller, NULL);
        leave();
    }
    pthread_mutex_unlock(&lock);
}
