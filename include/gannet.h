/* SPDX-License-Identifier: MIT */
/*
 * gannet: a portable, event-driven network framework.
 *
 * An engine runs N event loops, each on a thread of its own.  You hand it a
 * table of callbacks and one or more addresses; it calls you when connections
 * open, bring data and close.
 *
 * How to read this header.  Every function states its purpose, the thread it
 * may be called from, who owns each pointer, units, and errors:
 *
 *   [any]    from any thread, at any time, including signal-free callbacks
 *   [loop]   only on the thread of the loop that owns the object, that is,
 *            inside a callback of that loop or in a function run by gn_execute
 *   [setup]  before the engine runs, on one thread
 *
 * Functions that return int give GN_OK (0) or a negative gn_error.  Times are
 * nanoseconds, sizes are bytes.  Text is UTF-8 and zero-terminated.
 */
#ifndef GANNET_H
#define GANNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The attribute that exports a symbol; everything else stays hidden. */
#if defined(_WIN32) || defined(__CYGWIN__)
#  if defined(GN_BUILDING) && defined(DLL_EXPORT)
#    define GN_API __declspec(dllexport)
#  elif defined(GN_DLL)
#    define GN_API __declspec(dllimport)
#  else
#    define GN_API
#  endif
#elif defined(__GNUC__)
#  define GN_API __attribute__((visibility("default")))
#else
#  define GN_API
#endif

#define GN_VERSION_MAJOR 0
#define GN_VERSION_MINOR 1
#define GN_VERSION_PATCH 0

/* [any] The version of the library that runs, as "major.minor.patch". Static. */
GN_API const char *gn_version(void);

/* ---------------------------------------------------------------- errors */

/*
 * Error codes.  They are the same on every system; the system's own code of
 * the last failed call is kept beside them (gn_os_error, gn_conn_os_error).
 */
typedef enum gn_error {
    GN_OK = 0,
    GN_EAGAIN = -1,        /* would block; try again after an event */
    GN_EOF = -2,           /* the peer ended its stream */
    GN_EINVAL = -3,        /* an argument is out of range or NULL */
    GN_ENOMEM = -4,        /* out of memory */
    GN_ENOTSUP = -5,       /* not supported by this object, poller or system */
    GN_EADDR = -6,         /* an address does not parse or does not resolve */
    GN_ESCHEME = -7,       /* an address names a scheme that is not known */
    GN_EADDRINUSE = -8,    /* the address is in use */
    GN_EADDRNOTAVAIL = -9, /* the address is not of this host */
    GN_EACCES = -10,       /* permission denied */
    GN_EMFILE = -11,       /* the process has no descriptor left */
    GN_ENFILE = -12,       /* the system has no descriptor left */
    GN_ENOBUFS = -13,      /* the system has no buffer space left */
    GN_ECONNREFUSED = -14, /* nobody listens there */
    GN_ECONNRESET = -15,   /* the peer reset the connection */
    GN_ECONNABORTED = -16, /* the connection died before it was accepted */
    GN_EPIPE = -17,        /* the peer no longer reads */
    GN_ETIMEDOUT = -18,    /* a deadline passed */
    GN_ENETUNREACH = -19,  /* no route to that network */
    GN_EHOSTUNREACH = -20, /* no route to that host */
    GN_EEXIST = -21,       /* a Unix path is taken by something that is no socket */
    GN_ENAMETOOLONG = -22, /* a name is longer than the system allows */
    GN_ENOENT = -23,       /* no such file, device or poller */
    GN_ECLOSED = -24,      /* the connection or the engine is closed; a stale handle */
    GN_ESHUTDOWN = -25,    /* the engine is stopping */
    GN_ECANCELED = -26,    /* the operation was cancelled */
    GN_EMSGSIZE = -27,     /* a datagram is larger than the transport takes */
    GN_ELIMIT = -28,       /* a limit that the options set was reached */
    GN_EBUSY = -29,        /* the object is in a state that forbids this */
    GN_ENOTCONN = -30,     /* the socket is not connected */
    GN_EIO = -31           /* any other error; see gn_os_error */
} gn_error;

/* [any] The name and meaning of a code, such as "GN_EOF: the peer ended its
 * stream".  Static; never NULL, also for a number that is no code. */
GN_API const char *gn_strerror(int code);

/* [any] The system's own code (errno, WSAGetLastError) of the last gannet call
 * that failed on this thread, or 0. */
GN_API int gn_os_error(void);

/* ---------------------------------------------------------------- memory */

/* The three functions that gannet takes all its memory from.  They must be
 * callable from any thread.  realloc is called with old sizes so that sized
 * allocators can be used; a NULL pointer has old size 0. */
typedef struct gn_allocator {
    void *(*alloc)(size_t size, void *user);
    void *(*realloc)(void *p, size_t old_size, size_t new_size, void *user);
    void (*free)(void *p, size_t size, void *user);
    void *user;
} gn_allocator;

/* [setup] Replaces the allocator of the whole process.  Call it before any
 * other gannet function; the table is copied.  NULL restores malloc.
 * GN_EBUSY while an engine exists, GN_EINVAL if a function is missing. */
GN_API int gn_set_allocator(const gn_allocator *a);

/* --------------------------------------------------------------- logging */

typedef enum gn_log_level {
    GN_LOG_DEBUG = 0,
    GN_LOG_INFO = 1,
    GN_LOG_WARN = 2,
    GN_LOG_ERROR = 3,
    GN_LOG_OFF = 4
} gn_log_level;

/* Receives one line without a newline; called on the thread that logs. */
typedef void (*gn_log_sink)(gn_log_level level, const char *line, void *user);

/* [any] Sets the sink of the process; NULL restores the default, which writes
 * to standard error.  Another thread may still be inside the old sink when it returns, so
 * what user points to must outlive the engines. */
GN_API void gn_log_set_sink(gn_log_sink sink, void *user);

/* [any] Sets the lowest level that is written; GN_LOG_WARN at first. */
GN_API void gn_log_set_level(gn_log_level level);

/* ------------------------------------------------------------- addresses */

typedef enum gn_family {
    GN_FAMILY_NONE = 0,
    GN_FAMILY_UNIX = 1,
    GN_FAMILY_IPV4 = 4,
    GN_FAMILY_IPV6 = 6
} gn_family;

/* A network address.  Copy it freely; read it through the functions below. */
typedef struct gn_addr {
    uint64_t opaque[16];
} gn_addr;

/* Enough for any address in text form, zero included. */
#define GN_ADDR_TEXT_MAX 192

/* [any] Parses "host:port", "[v6%zone]:port" with numeric hosts, or "unix:/path".
 * GN_EADDR if the text is none of these, GN_ENAMETOOLONG for a long path. */
GN_API int gn_addr_parse(const char *text, gn_addr *out);

/* [any] Writes the text form ("127.0.0.1:80", "[::1]:80", "unix:/path"; "unix:"
 * for an unnamed Unix peer), cut to cap and always zero-terminated if cap > 0.
 * Returns the length of the whole text without the zero, or GN_EINVAL. */
GN_API int gn_addr_format(const gn_addr *a, char *out, size_t cap);

/* [any] */
GN_API gn_family gn_addr_family(const gn_addr *a);
GN_API unsigned gn_addr_port(const gn_addr *a); /* host byte order; 0 for Unix */
GN_API int gn_addr_equal(const gn_addr *a, const gn_addr *b);

/* ----------------------------------------------------------------- types */

typedef struct gn_engine gn_engine; /* loops, listeners and their threads */
typedef struct gn_loop gn_loop;     /* one event loop; lives as long as its engine runs */
typedef struct gn_conn gn_conn;     /* one connection; valid until on_close returns */

/*
 * Names a connection or a loop from any thread.  A handle is a number: copy it,
 * store it, send it.  When what it named is gone, it names nothing: every use
 * gives GN_ECLOSED, for ever, also after the engine was destroyed.
 */
typedef uint64_t gn_handle;
#define GN_HANDLE_NONE ((gn_handle)0)

typedef struct gn_iov {
    const void *base;
    size_t len;
} gn_iov;

/* What a callback asks for when it returns. */
typedef enum gn_action {
    GN_NONE = 0,    /* go on */
    GN_CLOSE = 1,   /* send what was written, then close this connection */
    GN_SHUTDOWN = 2 /* stop the engine, with the drain time of its options */
} gn_action;

/*
 * The callbacks; leave out what you don't need.  The table is not copied and
 * must live as long as the engine.  The last member reserves room, so that the
 * table can grow without a new ABI: leave it zero (a designated initialiser does).
 *
 * Callbacks of one connection never overlap; those of different loops run side
 * by side.  A callback is never called from inside another one.
 */
typedef struct gn_handler {
    /* Listeners are bound and listening; no loop runs yet.  On the thread that
     * starts the engine.  GN_SHUTDOWN makes the start fail with GN_ECANCELED
     * and nothing else is called. */
    gn_action (*on_boot)(gn_engine *e, void *user);

    /* Truly last: every loop has ended and every on_close has returned.  On the
     * thread that runs or joins the engine. */
    void (*on_shutdown)(gn_engine *e, void *user);

    /* A connection was accepted. */
    gn_action (*on_open)(gn_conn *c, void *user);

    /* Bytes have come (or gn_wake was called).  What is left unread stays
     * buffered; the next call sees it with what came since.  For datagrams: one
     * call each, also for an empty one; what is left unread is dropped, and c is
     * the endpoint itself, with the sender as its remote address; it has no
     * on_open and no on_close, and GN_CLOSE means nothing to it. */
    gn_action (*on_traffic)(gn_conn *c, void *user);

    /* The peer has ended its stream; nothing more will be read, writing still
     * works.  Without this callback, or if it returns GN_CLOSE, what was written
     * is sent and the connection closes with reason GN_EOF.  With GN_NONE it
     * stays open until you close it, or have ended your stream too
     * (gn_conn_shutdown_write). */
    gn_action (*on_eof)(gn_conn *c, void *user);

    /* Exactly once for every on_open.  reason: GN_OK if you closed it, GN_EOF if
     * the peer did, GN_ESHUTDOWN if the engine stopped, GN_ETIMEDOUT if a
     * deadline passed, else the error that broke it.  After GN_OK, GN_EOF and
     * GN_ESHUTDOWN everything written was handed to the system.  Bytes that were
     * never read can still be peeked; writing fails with GN_ECLOSED. */
    gn_action (*on_close)(gn_conn *c, int reason, void *user);

    /* On loop 0, first when it starts, then after the delay that it left in
     * *next_ns (0: at the next turn, never a spin without I/O between;
     * UINT64_MAX: never again). */
    gn_action (*on_tick)(gn_engine *e, uint64_t *next_ns, void *user);

    void (*reserved[9])(void);
} gn_handler;

/* --------------------------------------------------------------- options */

typedef enum gn_lb {
    GN_LB_ROUND_ROBIN = 0,
    GN_LB_LEAST_CONNECTIONS = 1,
    GN_LB_SOURCE_HASH = 2 /* by the peer's IP address, not its port; Unix peers go round */
} gn_lb;

/* Fill it with gn_options_init, then change what you want. */
typedef struct gn_options {
    size_t size; /* set by gn_options_init */

    unsigned loops;            /* 0: one per CPU that this process may use; at most GN_MAX_LOOPS */
    gn_lb lb;                  /* how an accepted connection gets its loop */
    const char *poller;        /* "epoll", "poll"...; NULL: $GANNET_POLLER, then the system's best.
                                  Copied. */
    int poller_fallback;       /* 1: take another poller if the named one is not available */
    int reuseport;             /* 1: one TCP listener per loop, balanced by the kernel, where it does */
    int reuseaddr;             /* 1 (default): a restart may bind during TIME_WAIT */
    int edge_triggered;        /* 1: edge-triggered polling */
    int tcp_nodelay;           /* 1 (default): no Nagle delay */
    int pin_threads;           /* 1: loop i runs on the i-th CPU that the process may use */
    int stop_on_signals;       /* 1: SIGINT and SIGTERM stop the engine; a second one kills */
    int backlog;               /* accept queue; 0: the system's maximum */
    unsigned keepalive_s;      /* 0: off, else TCP keep-alive after this many idle seconds */
    unsigned keepalive_intvl_s;/* 0: a fifth of keepalive_s, at least 1 */
    unsigned keepalive_count;  /* 0: 5 */
    size_t recv_buffer;        /* SO_RCVBUF; 0: the system's */
    size_t send_buffer;        /* SO_SNDBUF; 0: the system's */
    size_t read_buffer;        /* most bytes of one read, one buffer per loop; 64 KiB */
    size_t edge_chunk;         /* most bytes read of one connection per turn when edge-triggered; 1 MiB */
    size_t inbound_max;        /* unread bytes of a connection at which reading pauses; 1 MiB.  A
                                  handler that waits for more than this waits for ever */
    size_t outbound_max;       /* unsent bytes of a connection at which a write fails; 64 MiB */
    size_t outbound_high;      /* unsent bytes at which reading pauses until half of it; 1 MiB */
    uint64_t close_timeout_ns; /* time for unsent bytes after a close; 30 s, then the rest is cut */
    uint64_t linger_ns;        /* time to wait for the peer's end after ours, so that bytes on their
                                  way to us do not make the system reset what it still has to send; 2 s */
    uint64_t drain_ns;         /* drain time of GN_SHUTDOWN and of signals; 5 s */
    uint64_t idle_timeout_ns;  /* closes a connection without traffic for so long; 0: never */
} gn_options;

#define GN_MAX_LOOPS 256u

/* [any] Sets every default.  A program compiled against an older header passes a
 * smaller struct; only its part is touched. */
GN_API void gn_options_init_sized(gn_options *o, size_t size);
#define gn_options_init(o) gn_options_init_sized((o), sizeof(gn_options))

/* ---------------------------------------------------------------- engine */

/*
 * [setup] Runs a server on one address until it is stopped: create, listen, run,
 * destroy.  addr is scheme://host:port with scheme tcp, tcp4, tcp6, udp, udp4 or
 * udp6 (no scheme: tcp), or unix://path.  An empty host or "*" means every
 * address, port 0 a free port.  options may be NULL.
 * GN_OK after an orderly stop, else what failed.
 */
GN_API int gn_run(const char *addr, const gn_handler *handler, void *user, const gn_options *options);

/* [setup] Makes an engine.  handler is borrowed until gn_engine_destroy; options
 * are copied and may be NULL.  GN_EINVAL: an option is absurd; GN_ENOENT: no such
 * poller; GN_ENOTSUP: that poller does not work here; GN_ENOMEM. */
GN_API int gn_engine_create(gn_engine **out, const gn_handler *handler, void *user,
                            const gn_options *options);

/* [setup] Binds and listens at once.  Call it once per address, in any mixture of
 * schemes.  A Unix path is removed first only if it is a socket that nobody serves;
 * anything else there gives GN_EEXIST and is left alone.  GN_ESCHEME, GN_EADDR,
 * GN_EADDRINUSE, GN_EADDRNOTAVAIL, GN_EACCES, GN_ENAMETOOLONG, GN_EBUSY (already
 * running), GN_ENOMEM, GN_EMFILE. */
GN_API int gn_engine_listen(gn_engine *e, const char *addr);

/* [any] The number of addresses; and address i as bound, with the real port.
 * GN_EINVAL for an i that is too high. */
GN_API unsigned gn_engine_addr_count(const gn_engine *e);
GN_API int gn_engine_addr(const gn_engine *e, unsigned i, gn_addr *out);

/* [any] Writes address i the way gn_engine_listen takes it, with its scheme and
 * the real port.  Returns the length of the whole text, or GN_EINVAL. */
GN_API int gn_engine_url(const gn_engine *e, unsigned i, char *out, size_t cap);

/* [setup] Starts the loops on their threads and returns.  on_boot is called first.
 * GN_EBUSY if it runs or ran already; GN_ECANCELED if on_boot said GN_SHUTDOWN; GN_ELIMIT when
 * the process has no room for more loops (1,023); GN_ENOMEM, GN_EMFILE, GN_EAGAIN (no thread). */
GN_API int gn_engine_start(gn_engine *e);

/* [any, but not on a loop] Waits until the engine has stopped, calls on_shutdown,
 * and gives the reason: GN_OK, or the error that ended it.  One caller per start.
 * On any loop, or while
 * another thread joins: GN_EBUSY.  Not started: GN_EINVAL. */
GN_API int gn_engine_join(gn_engine *e);

/* [setup] gn_engine_start, then gn_engine_join. */
GN_API int gn_engine_run(gn_engine *e);

/* [any] Asks the engine to stop and returns at once: no more accepts; every
 * connection sends what was written and closes with GN_ESHUTDOWN; after drain_ns
 * the rest is cut.  Again with a shorter time: that one counts.  Also before
 * gn_engine_start, which then stops right after on_boot.  The engine must exist. */
GN_API int gn_engine_stop(gn_engine *e, uint64_t drain_ns);

/* [setup] Frees it.  GN_EBUSY while it runs and is not joined.  NULL is allowed.
 * Listeners are closed and Unix paths that it bound removed. */
GN_API int gn_engine_destroy(gn_engine *e);

/* [any] Connections now open. */
GN_API uint64_t gn_engine_conn_count(const gn_engine *e);

/* [any] The loops of the engine, and a handle of loop i for gn_execute
 * (GN_HANDLE_NONE if i is too high or the loop does not run). */
GN_API unsigned gn_engine_loop_count(const gn_engine *e);
GN_API gn_handle gn_engine_loop(const gn_engine *e, unsigned i);

/* [any] Connections that loop i has taken since the start, to show balance. */
GN_API uint64_t gn_engine_loop_accepted(const gn_engine *e, unsigned i);

/* [any] The poller in use, such as "epoll".  Static. */
GN_API const char *gn_engine_poller(const gn_engine *e);

/* [any] Name of the i-th poller of this build in order of preference, NULL after the
 * last; *available (may be NULL) says whether it works on this system. */
GN_API const char *gn_poller_name(unsigned i, int *available);

/* ----------------------------------------------------------- connections */
/* All of these are [loop]: call them only on the connection's own loop. */

/* All unread bytes, contiguous, and their number in *n.  Lent: valid until the
 * callback returns, or a gn_conn_discard, _next or _read of this connection.
 * Never NULL; *n may be 0. */
GN_API const void *gn_conn_peek(gn_conn *c, size_t *n);

/* The first n unread bytes, consumed; NULL and nothing consumed if there are fewer.
 * n 0 takes all there is, also none.  Lent until the callback returns or the
 * next call on this connection. */
GN_API const void *gn_conn_next(gn_conn *c, size_t n);

/* Consumes n bytes, or all if there are fewer.  Returns how many. */
GN_API size_t gn_conn_discard(gn_conn *c, size_t n);

/* Copies and consumes up to cap bytes.  Returns how many. */
GN_API size_t gn_conn_read(gn_conn *c, void *out, size_t cap);

/* Queues n bytes (copied; the caller keeps data).  They leave in one system call
 * after the callback returns, or at gn_conn_flush.  All or nothing: GN_ELIMIT
 * when outbound_max would be passed, GN_ENOMEM, GN_ECLOSED when the connection is
 * closing.  On a datagram endpoint: one datagram to the sender of the current
 * one (GN_EMSGSIZE, GN_EAGAIN when the socket's queue is full, GN_ENOTCONN outside
 * of on_traffic). */
GN_API int gn_conn_write(gn_conn *c, const void *data, size_t n);
GN_API int gn_conn_writev(gn_conn *c, const gn_iov *iov, unsigned count);

/* Hands to the system now what the callback has written so far; what it does not
 * take stays queued.  A failure closes the connection after the callback. */
GN_API int gn_conn_flush(gn_conn *c);

/* Bytes unread; bytes queued and not yet taken by the system. */
GN_API size_t gn_conn_inbound(const gn_conn *c);
GN_API size_t gn_conn_outbound(const gn_conn *c);

/* Sends what is queued (for at most close_timeout_ns), then closes; on_close
 * follows, never inside this call.  No on_traffic from now on.  On a datagram
 * endpoint of a server: GN_ENOTSUP. */
GN_API int gn_conn_close(gn_conn *c);

/* Closes at once: what is queued is dropped, the peer sees a reset.  on_close
 * follows with GN_ECANCELED, never inside this call. */
GN_API int gn_conn_abort(gn_conn *c);

/* Ends our stream once all that is queued is sent; reading goes on, writing gives GN_EPIPE.
 * When the peer has ended its stream too, the connection closes with GN_EOF. */
GN_API int gn_conn_shutdown_write(gn_conn *c);

/* A pointer of yours; NULL at first. */
GN_API void *gn_conn_context(const gn_conn *c);
GN_API void gn_conn_set_context(gn_conn *c, void *context);

/* Both ends.  The remote address is known until on_close returns, also after a
 * reset.  GN_ENOTCONN when there is none (a datagram endpoint between datagrams). */
GN_API int gn_conn_local_addr(gn_conn *c, gn_addr *out);
GN_API int gn_conn_remote_addr(gn_conn *c, gn_addr *out);

/* What names it from other threads; GN_HANDLE_NONE for NULL. */
GN_API gn_handle gn_conn_handle(const gn_conn *c);

/* The loop and the engine that it belongs to; NULL for NULL. */
GN_API gn_loop *gn_conn_loop(const gn_conn *c);
GN_API gn_engine *gn_conn_engine(const gn_conn *c);

/* 1 for a datagram endpoint, else 0. */
GN_API int gn_conn_is_datagram(const gn_conn *c);

/* The index, in order of gn_engine_listen, of the address it came by. */
GN_API unsigned gn_conn_listener(const gn_conn *c);

/* The system's code of the error that broke the connection; 0 if none did, or if the system
 * gave none. */
GN_API int gn_conn_os_error(const gn_conn *c);

/* Closes the connection with GN_ETIMEDOUT: idle, when no byte moved either way for
 * so long; read, when this much time has passed from now, whatever comes until it is
 * set anew.  0 takes it off.  GN_ENOTSUP for datagrams. */
GN_API int gn_conn_set_idle_timeout(gn_conn *c, uint64_t ns);
GN_API int gn_conn_set_read_deadline(gn_conn *c, uint64_t ns_from_now);

/* ----------------------------------------------------------------- loops */

/* [loop] */
GN_API gn_handle gn_loop_handle(const gn_loop *l);
GN_API unsigned gn_loop_index(const gn_loop *l);
GN_API gn_engine *gn_loop_engine(const gn_loop *l);

/* [any] The loop that runs on the calling thread, or NULL. */
GN_API gn_loop *gn_loop_current(void);

/* [any] Monotonic time.  On a loop: the time of this turn, which costs nothing. */
GN_API uint64_t gn_now(void);

/* [loop] The connection that h names, or NULL if it is gone or of another loop. */
GN_API gn_conn *gn_conn_from_handle(gn_handle h);

/* ------------------------------------------------------- from any thread */
/*
 * Each of these either returns an error, and then nothing more happens, or
 * returns GN_OK, and then done (if not NULL) is called exactly once on the
 * connection's loop with the outcome: GN_OK, or GN_ECLOSED when the connection,
 * or the loop, went first.  What one thread asks of one loop happens in the order
 * of asking.
 */
typedef void (*gn_done)(gn_handle h, int status, void *arg);

/* Queues a write.  The bytes are copied before it returns.  GN_OK in done means
 * that they took their place in the outbound queue; else as gn_conn_write.
 * On a datagram endpoint: GN_ENOTCONN in done; use gn_send_to. */
GN_API int gn_write(gn_handle h, const void *data, size_t n, gn_done done, void *arg);
GN_API int gn_writev(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg);

/* Sends one datagram from the endpoint h to an address.  In done also GN_EINVAL (an address of
 * another family), GN_EMSGSIZE, GN_EAGAIN (its queue is full), GN_ENOTSUP (h is no datagram
 * endpoint). */
GN_API int gn_send_to(gn_handle h, const gn_addr *to, const void *data, size_t n, gn_done done, void *arg);

/* Calls on_traffic of the connection, also without new bytes; then done.  In done GN_ENOTSUP for
 * a datagram endpoint, as with gn_close. */
GN_API int gn_wake(gn_handle h, gn_done done, void *arg);

/* gn_conn_close; done when it has closed, after on_close, also if another reason
 * closed it first. */
GN_API int gn_close(gn_handle h, gn_done done, void *arg);

/* Runs fn on the loop that h names, or that owns the connection h.  fn must not be
 * NULL; its status is GN_OK, or GN_ECLOSED if the loop or the connection is gone. */
GN_API int gn_execute(gn_handle h, gn_done fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
