/* SPDX-License-Identifier: MIT */
#ifndef GNP_SYS_H
#define GNP_SYS_H

#include <stddef.h>
#include <stdint.h>

#include "sock.h"

/* Gets the network ready (Winsock, SIGPIPE where sends cannot suppress it).  Any number of times.  [any] */
int gnp_sys_init(void);

/* An environment variable, or NULL.  Borrowed.  [any] */
const char *gnp_env(const char *name);

/* Writes all of it to standard error, unbuffered.  [any] */
void gnp_stderr(const char *text, size_t n);

/* Opens a file to append to, making it if there is none; closed on exec.  gnp_append puts n bytes at its
 * end, in one write of the system where that takes them.  GNP_OK or why not.  [any] */
int gnp_append_open(const char *path, intptr_t *out);
int gnp_append(intptr_t file, const char *text, size_t n);
void gnp_append_close(intptr_t file);

/* 1 if a person watches standard error: it is a terminal, where a line can be rewritten.  [any] */
int gnp_stderr_is_terminal(void);

/* The numbers of gn_signal, whatever the system's are. */
enum {
    GNP_SIGNAL_NONE = 0, GNP_SIGNAL_HUP = 1, GNP_SIGNAL_INT = 2, GNP_SIGNAL_QUIT = 3, GNP_SIGNAL_USR1 = 10,
    GNP_SIGNAL_USR2 = 12, GNP_SIGNAL_TERM = 15, GNP_SIGNAL_CHLD = 17, GNP_SIGNAL_WINCH = 28
};

/*
 * From now on SIGINT and SIGTERM (or the console's events) are kept and wake p.  The first
 * signal restores the default, so that a second one ends the process.  Several pollers may
 * watch; each is told.  GNP_EBUSY when there are too many.  gnp_signal_take gives the signal
 * that p has not seen yet, or GNP_SIGNAL_NONE.  The last unwatch restores what was before.
 *
 * hold keeps signals before there is a poller: one that comes is given to every poller that
 * watches later.  Each hold that succeeds wants one unhold.  [any]
 */
int gnp_signal_hold(void);
void gnp_signal_unhold(void);
int gnp_signal_watch(gnp_poller *p);
int gnp_signal_take(gnp_poller *p);
void gnp_signal_unwatch(gnp_poller *p);

/*
 * Claims a signal for one user in the process: it is caught each time, and those who watch are not told
 * of it.  GNP_EBUSY when it is claimed, GNP_ENOTSUP when the system has none like it.  disclaim restores
 * what was before.  The others want a signal that is claimed: route says which poller it wakes (NULL: none;
 * then nobody touches the one before any more, when it returns), at once if it has come already; came gives
 * 1 if it has come since the last call, once for one or more of them.  [any]
 */
int gnp_signal_claim(int what);
void gnp_signal_disclaim(int what);
void gnp_signal_route(int what, gnp_poller *p);
int gnp_signal_came(int what);

/* Memory of this process in bytes that is resident; 0 if unknown.  [any] */
uint64_t gnp_resident(void);

/* CPU time of the process so far, user and system, in nanoseconds; 0 if unknown.  [any] */
uint64_t gnp_process_cpu(void);

/* Most descriptors that this process may open, after raising the soft limit to the hard one
 * when raise is 1; UINT64_MAX if there is no limit.  [any] */
uint64_t gnp_descriptor_limit(int raise);

/* Sets the soft limit of descriptors, for tests of its exhaustion.  GNP_ENOTSUP, GNP_EINVAL.  [any] */
int gnp_descriptor_limit_set(uint64_t n);

#endif
