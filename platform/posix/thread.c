/* SPDX-License-Identifier: MIT */
#include "../thread.h"
#include "../atomic.h"
#include "../mem.h"
#include "posix.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define NAME_MAX_BYTES 15 /* what Linux shows; others take more */

_Static_assert(sizeof(pthread_t) <= sizeof(gnp_thread), "pthread_t fits");
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(gnp_mutex), "pthread_mutex_t fits");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(gnp_mutex), "pthread_mutex_t is aligned");

struct start {
    void (*fn)(void *arg);
    void *arg;
    char name[NAME_MAX_BYTES + 1];
};

static void *run(void *arg)
{
    struct start st = *(struct start *)arg;

    gnp_free(arg, sizeof(st));
    if (st.name[0] != '\0')
        gnp_px_thread_name(st.name);
    st.fn(st.arg);
    return NULL;
}

int gnp_thread_start(gnp_thread *t, void (*fn)(void *arg), void *arg, const char *name)
{
    struct start *st = gnp_zalloc(sizeof(*st));
    sigset_t all, before;
    pthread_t id;
    int r;

    if (st == NULL)
        return GNP_ENOMEM;
    st->fn = fn;
    st->arg = arg;
    if (name != NULL)
        strncpy(st->name, name, NAME_MAX_BYTES);

    /* A new thread inherits the mask: blocking first leaves no moment for a signal in it.
     * Those of its own faults cannot be blocked in a meaningful way. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGTRAP);
    sigdelset(&all, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&id, NULL, run, st);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        gnp_free(st, sizeof(*st));
        return gnp_px_fail(r);
    }
    memset(t, 0, sizeof(*t));
    memcpy(t, &id, sizeof(id));
    return GNP_OK;
}

void gnp_thread_join(gnp_thread *t)
{
    pthread_t id;

    memcpy(&id, t, sizeof(id));
    pthread_join(id, NULL);
}

/* The address of something that each live thread has of its own. */
uint64_t gnp_thread_id(void)
{
    static GNP_THREAD_LOCAL char self;

    return (uint64_t)(uintptr_t)&self;
}

void gnp_thread_yield(void)
{
    sched_yield();
}

static pthread_mutex_t *mutex_of(gnp_mutex *m)
{
    return (pthread_mutex_t *)(void *)m;
}

int gnp_mutex_init(gnp_mutex *m)
{
    int r = pthread_mutex_init(mutex_of(m), NULL);

    return r == 0 ? GNP_OK : gnp_px_fail(r);
}

void gnp_mutex_destroy(gnp_mutex *m)
{
    pthread_mutex_destroy(mutex_of(m));
}

void gnp_mutex_lock(gnp_mutex *m)
{
    pthread_mutex_lock(mutex_of(m));
}

int gnp_mutex_try(gnp_mutex *m)
{
    return pthread_mutex_trylock(mutex_of(m)) == 0 ? GNP_OK : GNP_AGAIN;
}

void gnp_mutex_unlock(gnp_mutex *m)
{
    pthread_mutex_unlock(mutex_of(m));
}
