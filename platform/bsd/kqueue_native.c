/* SPDX-License-Identifier: MIT */
/* kqueue of the kernel. */
#include "kqueue.h"
#include "../posix/native.h"

#include <string.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef EVFILT_USER

/* EV_CLEAR: the event that was reported is over, nobody has to reset it.  A kernel that is older than its
 * headers says EINVAL. */
int gnp_kq_user_add(int kq)
{
    struct kevent e;

    memset(&e, 0, sizeof(e));
    e.filter = EVFILT_USER;
    e.flags = EV_ADD | EV_CLEAR;
    return kevent(kq, &e, 1, NULL, 0, NULL) == 0;
}

/* A system call and nothing else, so that a signal handler may do it.  It is never interrupted, as it does
 * not wait. */
void gnp_kq_user_trigger(int kq)
{
    struct kevent e;

    memset(&e, 0, sizeof(e));
    e.filter = EVFILT_USER;
    e.fflags = NOTE_TRIGGER;
    (void)kevent(kq, &e, 1, NULL, 0, NULL);
}

#else

int gnp_kq_user_add(int kq)
{
    (void)kq;
    return 0;
}

void gnp_kq_user_trigger(int kq)
{
    (void)kq;
}

#endif

void gnp_kq_close(int kq)
{
    close(kq);
}

void gnp_kq_closing(int kq, const gnp_sock *s)
{
    (void)kq;
    (void)s;
}

/* Then the socket is connected to nobody.  Not poll(2): macOS makes that of kqueue, and calls each end of
 * reading a hang-up. */
int gnp_kq_over(const gnp_sock *s)
{
    gnp_native n;
    socklen_t len = sizeof(n);

    return getpeername((int)s->os, &n.sa, &len) != 0;
}

/* The kernels look at the error and leave it where it is. */
void gnp_kq_error_keep(const gnp_sock *s, int e)
{
    (void)s;
    (void)e;
}

int gnp_kq_error_kept(const gnp_sock *s)
{
    (void)s;
    return 0;
}

void gnp_kq_error_forget(const gnp_sock *s)
{
    (void)s;
}
