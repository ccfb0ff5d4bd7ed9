/* SPDX-License-Identifier: MIT */
/*
 * What the network suites share: notes that callbacks of any loop leave for the test,
 * engines with a guard against hanging, and a client of their own.
 *
 * The client (tc_) is built on platform/platform.h only, so that an error of the core cannot
 * hide in both ends.  It blocks, with a deadline on everything: a server that says nothing
 * gives GNP_ETIMEDOUT, never a test that hangs.
 *
 * Which copy of the platform layer?  Programs link libgannet.la and libplatform.la.  With the
 * shared library its gnp_ symbols are hidden, so the client has a copy of its own; with
 * the static one the linker takes each object once.  Either works, as the layer's only state
 * of the process are its memory hooks and its signals, and the client uses neither; but a
 * test with an allocator must expect the client's few calls in it (see tc_exempt).
 */
#ifndef NT_HARNESS_H
#define NT_HARNESS_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <gannet.h>

#include "platform/platform.h"

#if defined(__GNUC__)
#  define NT_PRINTF(at, args) __attribute__((format(printf, at, args)))
#else
#  define NT_PRINTF(at, args)
#endif

#define NT_MS UINT64_C(1000000)
#define NT_SECOND UINT64_C(1000000000)
#define NT_KIB ((size_t)1024)
#define NT_MIB ((size_t)1024 * 1024)

/* ---------------------------------------------------------------- environment */

/* GANNET_TEST_SCALE: how much work; 1.0 is what make check does, less under a tool that is slow. */
double nt_scale(void);
/* n times the scale, at least least. */
unsigned nt_scaled(unsigned n, unsigned least);
/* How long a test waits for what must happen; grows with CK_TIMEOUT_MULTIPLIER and slow tools. */
uint64_t nt_patience(void);
uint64_t nt_deadline(void);
/* 1 under valgrind or an emulator, whose system calls are not the system's own. */
int nt_wrapped(void);
/* 1 if Check runs each test in a process of its own. */
int nt_forks(void);
/* A path that nobody uses, short enough for a Unix socket; static storage, 8 at a time. */
const char *nt_path(void);
/* "unix://" and such a path; where there are no Unix sockets (it says so), "tcp://127.0.0.1:0". */
const char *nt_unix_url(void);
int nt_has_unix(void);
/* How many pollers have a name here, see gn_poller_name. */
int nt_pollers(void);
/* Is the feature among $GANNET_EMULATOR_LACKS, see tests/conform/conform.h? */
int nt_lacks(const char *feature);

/* Says that the rest of this case is skipped, so that count-tests counts it as that, and leaves it. */
#define NT_SKIP(why) \
    do { \
        nt_skipped(__func__, _i, why); \
        return; \
    } while (0)
void nt_skipped(const char *test, int i, const char *why);
/* For what is about Unix sockets. */
#define NT_WANTS_UNIX() \
    do { \
        if (!nt_has_unix()) \
            NT_SKIP("no Unix sockets here"); \
    } while (0)

/* For what an emulator may not have. */
#define NT_WANTS(feature) \
    do { \
        if (nt_lacks(feature)) \
            NT_SKIP("the emulator does not pass on " feature); \
    } while (0)

/* wanted, or 0 where sockets cannot share a port (it says so). */
int nt_sharing(int wanted);
/* Runs a shell command; its exit status, or -1.  For what C has no words for. */
int nt_shell(const char *format, ...) NT_PRINTF(1, 2);
/* Sends this process a signal, "TERM": by the shell, which is its child; or by raise, where there is only
 * that one and "INT" (nt_lacks("user-signals")).  0, or not. */
int nt_signal(const char *name);
/* For what sends such signals: the shell's parent must be the test alone. */
#define NT_WANTS_SIGNALS() \
    do { \
        if (!nt_forks() && !nt_lacks("user-signals")) \
            NT_SKIP("one process for all cases"); \
    } while (0)

/* ---------------------------------------------------------------- notes */

typedef enum nt_what {
    NT_BOOT, NT_SHUTDOWN, NT_OPEN, NT_TRAFFIC, NT_EOF, NT_CLOSE, NT_TICK, NT_DONE, NT_A, NT_B, NT_C,
    NT_KINDS
} nt_what;

typedef struct nt_entry {
    nt_what what;
    uint64_t id; /* of the connection, or whatever the test likes */
    int status;
    uint64_t thread;
    uint64_t when;
} nt_entry;

/* Checked fixtures of each test case: forget everything; fail if something was wrong. */
void nt_begin(void);
void nt_end(void);

/* Notes what happened.  [any] */
void nt_note(nt_what what, uint64_t id, int status);
unsigned nt_count(nt_what what);
/* Waits until what was noted n times; fails the test after nt_patience. */
void nt_await(nt_what what, unsigned n);
/* The i-th note of all, or of a kind; fails the test if there is none. */
nt_entry nt_entry_at(unsigned i);
nt_entry nt_nth(nt_what what, unsigned i);
unsigned nt_logged(void);

/* Notes a failure from any thread (Check's own assertions only work on the test's). */
void nt_wrong(const char *file, int line, const char *format, ...) NT_PRINTF(3, 4);
unsigned nt_wrongs(void);
/* Fails the test now if something was wrong. */
void nt_verify(void);
/* What the test is about, for its messages; copied. */
void nt_name(const char *name);
#define NT_EXPECT(cond) \
    do { \
        if (!(cond)) \
            nt_wrong(__FILE__, __LINE__, "%s", #cond); \
    } while (0)
#define NT_EXPECT_INT(a, b) \
    do { \
        long long nt_a_ = (long long)(a), nt_b_ = (long long)(b); \
        if (nt_a_ != nt_b_) \
            nt_wrong(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", #a, nt_a_, #b, nt_b_); \
    } while (0)

void nt_abandon(const char *file, int line, const char *condition);
/* Waits until a condition holds, looking each millisecond; fails the test after nt_patience. */
#define NT_UNTIL(cond) \
    do { \
        uint64_t nt_until_ = nt_deadline(); \
        while (!(cond)) { \
            if (gnp_now() > nt_until_) \
                nt_abandon(__FILE__, __LINE__, #cond); \
            gnp_sleep_until(gnp_now() + NT_MS); \
        } \
    } while (0)

/* ---------------------------------------------------------------- payload */

/* A stream of bytes for each seed, readable at any position. */
void nt_fill(uint64_t seed, uint64_t pos, void *out, size_t n);
/* How many of n bytes are right; n if all. */
size_t nt_match(uint64_t seed, uint64_t pos, const void *data, size_t n);
/* The next of a sequence of random numbers; *state is the seed. */
uint64_t nt_random(uint64_t *state);

/* ---------------------------------------------------------------- engines */

/* Creates, listens on the addresses (up to the NULL that ends them) and starts; fails the test. */
gn_engine *nt_start(const gn_handler *h, void *user, const gn_options *o, const char *url, ...);
/* The address i of e the way a client takes it; static storage, 8 at a time. */
const char *nt_url(gn_engine *e, unsigned i);
/* gn_engine_join that fails the test if it takes too long. */
int nt_join(gn_engine *e);
/* Stops with a drain time, joins (expects GN_OK) and destroys. */
void nt_stop(gn_engine *e, uint64_t drain_ns);
/* Options with n loops, otherwise the defaults. */
gn_options nt_options(unsigned loops);
/* Handler functions that only note. */
gn_action nt_on_boot(gn_engine *e, void *user);
void nt_on_shutdown(gn_engine *e, void *user);
gn_action nt_on_open(gn_conn *c, void *user);
gn_action nt_on_close(gn_conn *c, int reason, void *user);
/* Sends back what came, without noting. */
gn_action nt_echo(gn_conn *c, void *user);

/* ---------------------------------------------------------------- client */

typedef struct tc_net {
    gnp_poller *poller;
    gnp_event events[128];
    int greedy;           /* 1: keep the interest of every connection */
    gnp_sock_opts opts;   /* of the sockets it makes */
    const char *local;    /* IP address to connect from, or NULL */
    unsigned char *scratch;
} tc_net;

typedef struct tc {
    gnp_sock sock; /* first: an event leads from it to its client */
    tc_net *net;
    int dgram, ended, wanting, closed;
    unsigned hint; /* GNP_EV_ of the events since last looked at */
    unsigned char *left; /* what was lent beyond what was asked for */
    size_t left_at, left_n, left_cap;
} tc;

tc_net *tc_net_open(void);
void tc_net_close(tc_net *n);

/* GNP_OK, or why not. */
int tc_try_connect(tc_net *n, const char *url, tc **out);
/* Fails the test if it cannot. */
tc *tc_connect(tc_net *n, const char *url);

/* 1 if nobody takes connections there.  Whoever does may be a stranger: another program, given that port. */
int tc_refused(tc_net *n, const char *url);

/* All of these: GNP_OK, GNP_EOF, GNP_ETIMEDOUT (nothing moved for nt_patience), or the error. */
int tc_send_all(tc *c, const void *data, size_t n);
int tc_send_text(tc *c, const char *text);
/* What is there, at least a byte. */
int tc_recv(tc *c, void *out, size_t cap, size_t *n);
int tc_recv_until(tc *c, void *out, size_t cap, size_t *n, uint64_t deadline);
int tc_recv_exact(tc *c, void *out, size_t n);
/* Whether text comes next, byte by byte. */
int tc_recv_text(tc *c, const char *text);
/* Drops what comes up to a clean end; *total (may be NULL) counts it. */
int tc_recv_to_eof(tc *c, uint64_t *total);
/* Sends and receives n bytes of a stream at pos; what does not match is noted and GNP_EIO. */
int tc_send_stream(tc *c, uint64_t seed, uint64_t pos, uint64_t n);
int tc_recv_stream(tc *c, uint64_t seed, uint64_t pos, uint64_t n);
/* 1 if nothing comes for so long. */
int tc_quiet(tc *c, uint64_t ns);
/* Sends as much as the system takes at once, and a bit of patience more; how much. */
uint64_t tc_stuff(tc *c, uint64_t most, uint64_t quiet_ns);
int tc_shutdown(tc *c);
void tc_close(tc *c);
void tc_reset(tc *c);

int tc_dgram_send(tc *c, const void *data, size_t n);
/* The next datagram; one longer than cap is an error of the test. */
int tc_dgram_recv(tc *c, void *out, size_t cap, size_t *n);

/* A client that sends total bytes of its stream and wants them all back. */
typedef struct tc_flow {
    tc *c;
    uint64_t seed, total, sent, got;
    size_t chunk;   /* most bytes of one send, or of a datagram */
    int half_close; /* 1: end our stream when all is sent, and want a clean end back */
    int closed;     /* we did */
    size_t waiting; /* datagrams: size of the one that is on its way, plus one */
    uint64_t turn;  /* sends so far */
} tc_flow;

/* Drives all of them at once until all bytes are back. */
int tc_exchange(tc_net *n, tc_flow *flows, unsigned count);

/* Waits for events of any client of n and notes them in it. */
int tc_step(tc_net *n, uint64_t deadline);

/* ---------------------------------------------------------------- programs */

/* A suite with one test case, whose tests have this limit and the fixtures above. */
TCase *nt_case(Suite *s, const char *name, double limit_s);
/* Runs them and gives the exit status of the program. */
int nt_main(Suite *s);

/* An allocator that counts, and that can be told to fail. */
typedef struct nt_alloc {
    gnp_atomic64 calls;   /* of alloc and realloc, also of those that failed */
    gnp_atomic64 live;    /* blocks */
    gnp_atomic64 bytes;
    gnp_atomic64 clients; /* of these bytes, what the client's calls took */
    gnp_atomic64 fail_at; /* number of the call that fails; 0: none */
    gnp_atomic64 fail_n;  /* how many from there on */
} nt_alloc;
gn_allocator nt_alloc_hooks(nt_alloc *a);
/* While it is set on a thread, the allocator does not count its calls and never fails them. */
extern GNP_THREAD_LOCAL int tc_exempt;

#endif
