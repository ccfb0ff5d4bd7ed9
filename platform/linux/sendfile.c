/* SPDX-License-Identifier: MIT */
/*
 * sendfile(2), which has no MSG_NOSIGNAL: to a broken connection it raises SIGPIPE.  The signal is
 * blocked meanwhile and taken away, two short system calls beside one that moves a file's pages; the
 * process's own handling of SIGPIPE stays what it is.
 */
#include "../posix/posix.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <time.h>

#define AT_ONCE ((uint64_t)1 << 30) /* the kernel cuts a call at 2 GiB less a page */

typedef struct quiet {
    sigset_t before;
    int pending; /* one waited already, that is not ours */
} quiet;

static void pipe_only(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

static void hush(quiet *q)
{
    sigset_t set;

    q->pending = 0;
    pipe_only(&set);
    pthread_sigmask(SIG_BLOCK, &set, &q->before);
    if (sigismember(&q->before, SIGPIPE) && sigpending(&set) == 0)
        q->pending = sigismember(&set, SIGPIPE);
}

static void unhush(const quiet *q, int broken)
{
    static const struct timespec now = { 0, 0 };
    sigset_t set;

    pipe_only(&set);
    if (broken && !q->pending)
        sigtimedwait(&set, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

static ssize_t send_some(int to, int file, uint64_t offset, uint64_t n)
{
    off_t at = (off_t)offset;
    ssize_t r;

    do {
        r = sendfile(to, file, &at, n < AT_ONCE ? (size_t)n : (size_t)AT_ONCE);
    } while (r < 0 && errno == EINTR);
    return r;
}

/* A short count may be the end of the file as well as that of the room, which no edge would
 * report: so it goes on until the system says which. */
int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    ssize_t r = 1;
    quiet q;
    int e = 0;

    *sent = 0;
    hush(&q);
    while (*sent < n && r > 0) {
        r = send_some((int)s->os, file, offset + *sent, n - *sent);
        e = r < 0 ? errno : 0;
        *sent += r > 0 ? (uint64_t)r : 0;
    }
    unhush(&q, e == EPIPE);
    if (r > 0) {
        s->state &= ~(uint32_t)PX_WRITE;
        return GNP_OK;
    }
    if ((e == EINVAL || e == ENOSYS) && *sent == 0) /* a kind of file that it does not take */
        return gnp_px_sendfile_copy(s, file, offset, n, sent);
    return gnp_px_sendfile_end(s, r == 0 ? GNP_EOF : gnp_px_fail(e), *sent > 0);
}
