/* SPDX-License-Identifier: MIT */
/*
 * kqueue that a library makes of something else: libkqueue of epoll.  It cannot see a descriptor being
 * closed, and would take the next one of that number for the same; its kevent takes locks, which a signal
 * handler must not; and it takes the errors of sockets away when it reports them.
 */
#include "kqueue.h"

#include <poll.h>
#include <string.h>
#include <sys/event.h>
#include <unistd.h>

int gnp_kq_user_add(int kq)
{
    (void)kq;
    return 0;
}

void gnp_kq_user_trigger(int kq)
{
    (void)kq;
}

/* The error that was reported last in this thread.  One that another follows is lost, as datagrams are. */
static GNP_THREAD_LOCAL const gnp_sock *error_of;
static GNP_THREAD_LOCAL int error;

/* Exported, but in none of its headers (2.7). */
void libkqueue_drain_pending_close(void);

/* A thread of the library's notices the close later.  A fork before that would close, in the child, whatever
 * has the number by then. */
void gnp_kq_close(int kq)
{
    close(kq);
    libkqueue_drain_pending_close();
}

static void drop(int kq, int fd, short filter)
{
    struct kevent e;

    memset(&e, 0, sizeof(e));
    e.ident = (uintptr_t)fd;
    e.filter = filter;
    e.flags = EV_DELETE;
    (void)kevent(kq, &e, 1, NULL, 0, NULL);
}

void gnp_kq_closing(int kq, const gnp_sock *s)
{
    if (s->armed & (PX_IN | PX_HUP))
        drop(kq, (int)s->os, EVFILT_READ);
    if (s->armed & PX_OUT)
        drop(kq, (int)s->os, EVFILT_WRITE);
    gnp_kq_error_forget(s);
}

/* Linux remembers the peer of a Unix socket after that is gone. */
int gnp_kq_over(const gnp_sock *s)
{
    struct pollfd f = { .fd = (int)s->os };

    return poll(&f, 1, 0) == 1 && (f.revents & (POLLHUP | POLLERR)) != 0;
}

void gnp_kq_error_keep(const gnp_sock *s, int e)
{
    error_of = s;
    error = e;
}

int gnp_kq_error_kept(const gnp_sock *s)
{
    return error_of == s ? error : 0;
}

void gnp_kq_error_forget(const gnp_sock *s)
{
    if (error_of == s)
        error_of = NULL;
}
