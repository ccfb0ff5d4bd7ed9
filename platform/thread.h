/* SPDX-License-Identifier: MIT */
#ifndef GNP_THREAD_H
#define GNP_THREAD_H

#include <stdint.h>

/* Opaque, in place; a port asserts that its own types fit. */
typedef struct { uint64_t opaque[2]; } gnp_thread;
typedef struct { uint64_t opaque[8]; } gnp_mutex;
typedef struct { uint64_t opaque[8]; } gnp_cond;

/* Starts fn(arg) on a new thread.  name (at most 15 bytes are shown) is for debuggers.
 * Signals are blocked in it, as far as the system delivers signals to threads.
 * GNP_AGAIN or GNP_ENOMEM when there is no thread to be had.  [any] */
int gnp_thread_start(gnp_thread *t, void (*fn)(void *arg), void *arg, const char *name);

/* Waits for its end.  Exactly once per start.  [any but t] */
void gnp_thread_join(gnp_thread *t);

/* A number that no other live thread has, never 0.  [any] */
uint64_t gnp_thread_id(void);

/* Lets another thread run.  [any] */
void gnp_thread_yield(void);

/* Not recursive.  init may fail with GNP_ENOMEM. */
int gnp_mutex_init(gnp_mutex *m);
void gnp_mutex_destroy(gnp_mutex *m);
void gnp_mutex_lock(gnp_mutex *m);
int gnp_mutex_try(gnp_mutex *m); /* GNP_AGAIN while somebody has it */
void gnp_mutex_unlock(gnp_mutex *m);

/* wait may return without a signal.  wait_until: GNP_ETIMEDOUT once the monotonic
 * deadline has passed. */
int gnp_cond_init(gnp_cond *c);
void gnp_cond_destroy(gnp_cond *c);
void gnp_cond_signal(gnp_cond *c);
void gnp_cond_broadcast(gnp_cond *c);
void gnp_cond_wait(gnp_cond *c, gnp_mutex *m);
int gnp_cond_wait_until(gnp_cond *c, gnp_mutex *m, uint64_t deadline_ns);

#endif
