/* SPDX-License-Identifier: MIT */
/*
 * Signals: who watches, who has a claim.  How one is caught is the system's part (px.h).
 * A handler touches lock-free atomics, gnp_wake and gnp_px_signal_default only.
 *
 * A signal has a claim, and then goes to that alone; or it is SIGINT or SIGTERM, and goes to all who
 * watch.  Each of these is a user of the signal: the first installs the handler, the last puts back what
 * was before.
 */
#include "px.h"
#include "sys.h"
#include "thread.h"

#define WATCHERS 64 /* one per engine is usual */

typedef struct watcher {
    gnp_atomic_ptr poller; /* NULL: free */
    gnp_atomic32 pending;  /* GNP_SIGNAL_..., not taken yet */
} watcher;

typedef struct kind {
    int what;
    gnp_atomic32 claimed;
    gnp_atomic32 came;     /* since it was asked for */
    gnp_atomic_ptr poller; /* that the claim wakes */
    unsigned users;        /* under the lock */
} kind;

static kind kinds[] = {
    { .what = GNP_SIGNAL_INT },  { .what = GNP_SIGNAL_TERM }, { .what = GNP_SIGNAL_HUP },
    { .what = GNP_SIGNAL_QUIT }, { .what = GNP_SIGNAL_USR1 }, { .what = GNP_SIGNAL_USR2 },
    { .what = GNP_SIGNAL_CHLD }, { .what = GNP_SIGNAL_WINCH },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define STOPPERS 2 /* the first of them are what is watched for */

static watcher watchers[WATCHERS];
static gnp_atomic32 handlers; /* that run now */
static gnp_atomic32 kept;     /* the signal that has come since somebody began to hold or watch */
static gnp_atomic32 locked;   /* all but the handler; held for a few system calls */
static gnp_atomic32 watching; /* how many; the handler looks at it, others change it under the lock */

static void lock(void)
{
    uint32_t no = 0;

    while (!gnp_cas32(&locked, &no, 1)) {
        no = 0;
        gnp_thread_yield();
    }
}

static void unlock(void)
{
    gnp_store32(&locked, 0);
}

static void tell_watchers(int what)
{
    int i;

    for (i = 0; i < STOPPERS; i++) {
        if (gnp_load32(&kinds[i].claimed) == 0)
            gnp_px_signal_default(kinds[i].what);
    }
    gnp_store32(&kept, (uint32_t)what);
    for (i = 0; i < WATCHERS; i++) {
        gnp_poller *p = gnp_load_ptr(&watchers[i].poller);
        if (p == NULL)
            continue;
        gnp_store32(&watchers[i].pending, (uint32_t)what);
        gnp_wake(p);
    }
}

static void tell_claim(kind *k)
{
    gnp_poller *p;

    gnp_store32(&k->came, 1);
    p = gnp_load_ptr(&k->poller);
    if (p != NULL)
        gnp_wake(p);
}

void gnp_px_signal(int what)
{
    size_t i = 0;

    gnp_add32(&handlers, 1);
    while (i < KINDS - 1 && kinds[i].what != what)
        i++;
    if (gnp_load32(&kinds[i].claimed) != 0)
        tell_claim(&kinds[i]);
    else if (i < STOPPERS && gnp_load32(&watching) != 0) /* else a claim begins or has ended */
        tell_watchers(what);
    gnp_sub32(&handlers, 1);
}

/* A handler on another thread may have a poller in hand, or an old state in mind; it ends soon.  One that
 * begins after this sees all that was stored before it. */
static void handlers_end(void)
{
    while (gnp_add32(&handlers, 0) != 0)
        gnp_thread_yield();
}

static int use(kind *k)
{
    int r = k->users == 0 ? gnp_px_signal_catch(k->what, 1) : GNP_OK;

    if (r == GNP_OK)
        k->users++;
    return r;
}

static void unuse(kind *k)
{
    if (--k->users == 0)
        gnp_px_signal_restore(k->what);
}

/* One more who wants signals kept.  Under the lock. */
static int join(void)
{
    int r;

    if (gnp_load32(&watching) == 0)
        gnp_store32(&kept, GNP_SIGNAL_NONE);
    gnp_add32(&watching, 1); /* first: what comes from the install on is kept */
    r = use(&kinds[0]);
    if (r == GNP_OK) {
        r = use(&kinds[1]);
        if (r != GNP_OK)
            unuse(&kinds[0]);
    }
    if (r != GNP_OK)
        gnp_sub32(&watching, 1);
    return r;
}

/* One less.  Under the lock. */
static void leave(void)
{
    int i;

    gnp_sub32(&watching, 1);
    for (i = 0; i < STOPPERS; i++)
        unuse(&kinds[i]);
    handlers_end();
    for (i = 0; i < STOPPERS; i++) { /* once more: a handler may have put the default in its place */
        if (kinds[i].users == 0)
            gnp_px_signal_restore(kinds[i].what);
    }
}

int gnp_signal_hold(void)
{
    int r;

    lock();
    r = join();
    unlock();
    return r;
}

void gnp_signal_unhold(void)
{
    lock();
    leave();
    unlock();
}

int gnp_signal_watch(gnp_poller *p)
{
    int r = GNP_EBUSY, i;

    lock();
    for (i = 0; i < WATCHERS && gnp_load_ptr(&watchers[i].poller) != NULL; i++)
        ;
    if (i < WATCHERS) {
        gnp_store32(&watchers[i].pending, GNP_SIGNAL_NONE);
        gnp_store_ptr(&watchers[i].poller, p);
        r = join();
        handlers_end();
        if (r != GNP_OK) {
            gnp_store_ptr(&watchers[i].poller, NULL);
        } else if (gnp_load32(&kept) != GNP_SIGNAL_NONE) {
            /* Came before the poller was there; twice the same is once. */
            gnp_store32(&watchers[i].pending, gnp_load32(&kept));
            gnp_wake(p);
        }
    }
    unlock();
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

    lock();
    w = find(p);
    if (w != NULL) {
        gnp_swap_ptr(&w->poller, NULL);
        leave();
    }
    unlock();
}

/* ---------------------------------------------------------------- claims */

static kind *kind_of(int what)
{
    size_t i;

    for (i = 0; i < KINDS; i++) {
        if (kinds[i].what == what)
            return gnp_px_signal_has(what) ? &kinds[i] : NULL;
    }
    return NULL;
}

int gnp_signal_claim(int what)
{
    kind *k = kind_of(what);
    int r = GNP_EBUSY;

    if (k == NULL)
        return GNP_ENOTSUP;
    lock();
    if (gnp_load32(&k->claimed) == 0) {
        gnp_store32(&k->came, 0);
        gnp_store32(&k->claimed, 1); /* first: what comes from the install on is the claim's */
        r = use(k);
        if (r == GNP_OK) {
            handlers_end();
            /* For watchers it may be back at the default already. */
            r = gnp_px_signal_catch(what, 0);
            if (r != GNP_OK)
                unuse(k);
        }
        if (r != GNP_OK)
            gnp_store32(&k->claimed, 0);
    }
    unlock();
    return r;
}

void gnp_signal_route(int what, gnp_poller *p)
{
    kind *k = kind_of(what);

    if (k == NULL)
        return;
    gnp_swap_ptr(&k->poller, p);
    handlers_end();
    if (p != NULL && gnp_load32(&k->came) != 0)
        gnp_wake(p);
}

int gnp_signal_came(int what)
{
    kind *k = kind_of(what);

    return k != NULL && gnp_load32(&k->came) != 0 && gnp_swap32(&k->came, 0) != 0;
}

void gnp_signal_disclaim(int what)
{
    kind *k = kind_of(what);

    if (k == NULL)
        return;
    lock();
    gnp_store32(&k->claimed, 0);
    gnp_swap_ptr(&k->poller, NULL);
    unuse(k);
    handlers_end();
    if (k->users > 0 && gnp_load32(&kept) != GNP_SIGNAL_NONE)
        gnp_px_signal_default(what); /* those who watch have had their signal */
    unlock();
}
