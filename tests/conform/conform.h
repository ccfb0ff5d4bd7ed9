/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite of the platform layer: each clause of platform/poll.h for every
 * poller that works here, level- and edge-triggered, over every kind of socket.
 *
 * A test sees one combination, a subject: a poller p under test, and sockets on it whose
 * peers live on a second poller q, so that what p reports is about the tested side only.
 */
#ifndef TESTS_CONFORM_H
#define TESTS_CONFORM_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PATIENCE (20 * SECOND) /* what surely happens has happened by then, valgrind included */
#define QUIET (10 * MS)        /* what must not happen is waited for so long */
#define ROUND 64               /* events of one wait */

/* ---------------------------------------------------------- combinations */

typedef enum transport { TCP4, TCP6, UNIX_STREAM, TRANSPORTS } transport;

/* Pollers, counted in both forms; and those times the transports that work here. */
int poller_count(void);
int stream_count(void);

typedef struct subject {
    gnp_poller *p, *q;
    gnp_event ev[ROUND], qev[ROUND];
    int n; /* events in ev */
    int edge;
    const char *name;
    transport tp;
    char path[32]; /* of the Unix listener */
    gnp_sock listener;
    gnp_addr addr; /* of the listener */
    gnp_bound bound;
    int listening; /* attached to p, with GNP_READ */
} subject;

/* Opens the pollers of combination i.  config may be NULL; name and edge are filled in. */
void subject_open_poller(subject *t, int i, const gnp_poller_config *config);
void subject_open_stream(subject *t, int i, const gnp_poller_config *config); /* and listens */
void subject_close(subject *t);

/* ----------------------------------------------------------------- steps */

/* Waits on p once, with room for cap events.  A wait that returns nothing must have lasted. */
int step(subject *t, int cap, uint64_t deadline);

/* The event of the last step for s; NULL if it has none. */
gnp_event *event_of(subject *t, const gnp_sock *s);

/* Waits until p reports one of what on s. */
void await(subject *t, const gnp_sock *s, uint32_t what);

/* Waits QUIET long and fails if p reports any of what on s (any socket if NULL), or if it
 * wakes up more than a few times. */
void quiet(subject *t, const gnp_sock *s, uint32_t what);

/* ----------------------------------------------------------------- peers */

/* Begins to connect peer, on q, to the subject's listener. */
void peer_connect(subject *t, gnp_sock *peer);

/* Accepts the only connection that waits; the listener has nothing to report afterwards. */
void accept_only(subject *t, gnp_sock *s);

/* A connected pair: s accepted and attached to p, peer on q with interest 0. */
void pair(subject *t, gnp_sock *s, gnp_sock *peer, unsigned interest);

/* The same, but s is the side that connects. */
void pair_dialed(subject *t, gnp_sock *s, gnp_sock *peer, unsigned interest);

void peer_send(subject *t, gnp_sock *peer, const void *data, size_t n);
/* Sends until the system takes no more; returns how much it took, at most limit. */
size_t peer_fill(subject *t, gnp_sock *peer, uint64_t *offset, size_t limit);
/* Reads n bytes that must be those of the stream at *offset; moves it. */
void peer_expect(subject *t, gnp_sock *peer, uint64_t *offset, size_t n);
/* Reads n bytes that must be these. */
void peer_expect_bytes(subject *t, gnp_sock *peer, const unsigned char *want, size_t n);
void peer_close(subject *t, gnp_sock *peer, int reset);

/* Reads n bytes of the stream at *offset from s on p, as events come. */
void expect(subject *t, gnp_sock *s, uint64_t *offset, size_t n);
/* Reads until gnp_recv says something else than data or AGAIN; returns that. */
int drain(subject *t, gnp_sock *s, size_t *total);

/* A stream of bytes in which no two places near each other look alike. */
void stream_fill(unsigned char *out, uint64_t offset, size_t n);
int stream_matches(const void *data, uint64_t offset, size_t n);

/* n, or less when $GANNET_TEST_SCALE says so (slow tools), at least least. */
unsigned scaled(unsigned n, unsigned least);

/* Is there AF_UNIX here?  If not, it must be known that there is none, and the case does without. */
int has_unix(void);
/* Is the feature among $GANNET_EMULATOR_LACKS?  That is a list of words which tests/tools/foreign gives to an
 * emulator of system calls that cannot pass it on; the case then ends, and is counted as skipped (a part of
 * one, with test NULL, is not). */
int emulator_lacks(const char *feature, const char *test);

/* A file name in the current folder that no other test has. */
void temp_name(char *out, size_t cap, const char *what);
void unix_addr(gnp_addr *a, const char *path);
void ip_addr(gnp_addr *a, const char *ip, uint16_t port);

/* Adds the test fn as a case of its own: for each combination, for each poller, or once. */
TCase *case_of(Suite *s, const char *name);
#define ADD_STREAM_TEST(s, fn) tcase_add_loop_test(case_of(s, #fn), fn, 0, stream_count())
#define ADD_POLLER_TEST(s, fn) tcase_add_loop_test(case_of(s, #fn), fn, 0, poller_count())
#define ADD_TEST(s, fn) tcase_add_test(case_of(s, #fn), fn)

/* ---------------------------------------------------- the system under the cases */

/*
 * real.c: the one that this was built for.  simulated.c: a world for each case.
 *
 * The suite runs once for each pass; system_pass begins one and names it (or NULL), system_judge looks at it
 * when it is over and returns how many failures it saw that the runner did not.  system_begin and _end stand
 * around each case, in its process.
 */
int system_passes(void);
const char *system_pass(int pass);
int system_judge(SRunner *r);
void system_begin(void);
void system_end(void);

/* The descriptor of a file of the stream's first n bytes that has no name any more. */
intptr_t stream_file(size_t n);

/* An empty file; what fopen, remove and rename say of a path.  1: it is there, it was done. */
void path_make(const char *path);
int path_exists(const char *path);
int path_remove(const char *path);
int path_rename(const char *path, const char *to);

/* GNP_SIGNAL_INT and _TERM: what the process does about one that the platform layer does not take. */
typedef enum disposition { SIGNAL_DEFAULT, SIGNAL_IGNORE, SIGNAL_HANDLE } disposition;
void signal_dispose(int what, disposition how);
disposition signal_disposition(int what); /* sets the default */
void signal_send(int what);
int signals_handled(void); /* since the last call */
int signals_stay(void);    /* 1: a handler stays when it has been called */

/* Where the system cuts, hints and says GNP_AGAIN as it likes, the cases go by these: see simulated.c. */
#ifdef GNP_SIM
int patient_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline);
int patient_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n);
int patient_accept(gnp_poller *p, gnp_sock *l, gnp_sock *out, gnp_addr *peer);
int patient_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out);
int patient_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent);
int patient_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags,
                 size_t *sent);
int patient_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent);
int patient_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n,
                            size_t *sent);
#  ifndef CONFORM_IMPATIENT
#    define gnp_poller_wait patient_wait
#    define gnp_recv patient_recv
#    define gnp_accept patient_accept
#    define gnp_recvfrom patient_recvfrom
#    define gnp_sendto patient_sendto
#    define gnp_send patient_send
#    define gnp_sendfile patient_sendfile
#    define gnp_send_descriptor patient_send_descriptor
#  endif
#endif

Suite *suite_read(void);
Suite *suite_write(void);
Suite *suite_close(void);
Suite *suite_connect(void);
Suite *suite_accept(void);
Suite *suite_wait(void);
Suite *suite_dgram(void);
Suite *suite_detach(void);
Suite *suite_rights(void);
Suite *suite_sendfile(void);
Suite *suite_special(void);
Suite *suite_option(void);
Suite *suite_descriptor(void);
Suite *suite_poller(void);
Suite *suite_listen(void);
Suite *suite_addr(void);
Suite *suite_thread(void);
Suite *suite_sys(void);
void add_atomic_tests(Suite *s);
void add_interlocked_tests(Suite *s);
Suite *suite_port(void); /* of what one system has beyond the contract; NULL */
void add_signal_suite(SRunner *r);

#endif
