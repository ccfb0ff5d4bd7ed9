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
    GN_EIO = -31,          /* any other error; see gn_os_error */
    GN_EDEADLOCK = -32,    /* waiting here could wait for itself */
    GN_EMALFORMED = -33    /* bytes that break a framing rule */
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

/* [any] Sets the lowest level that is written.  At first it is that of the environment variable
 * GANNET_LOG (debug, info, warn, error or off), or GN_LOG_WARN without one.  GANNET_LOG_FILE names
 * a file that the default sink appends to instead of writing to standard error.  Both are read when the
 * first engine or pool is created. */
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

/* [any] Parses "host:port", "[v6%zone]:port" with numeric hosts, or "unix:/path"; "unix:@name" is
 * an abstract name, where the system has them (a path that begins with @ is "./@name").
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

/* Names an operation that is under way and can be cancelled (gn_cancel).  A number, as safe as a handle. */
typedef uint64_t gn_op;
#define GN_OP_NONE ((gn_op)0)

/* A descriptor (int) or a SOCKET, as the system has it; -1: none. */
typedef intptr_t gn_descriptor;

typedef struct gn_iov {
    const void *base;
    size_t len;
} gn_iov;

/* Tells the outcome of an operation; see "from any thread". */
typedef void (*gn_done)(gn_handle h, int status, void *arg);

typedef enum gn_timeout {
    GN_TIMEOUT_IDLE = 1, /* no byte moved either way for so long */
    GN_TIMEOUT_READ = 2, /* the read deadline has passed */
    GN_TIMEOUT_WRITE = 3 /* the write deadline has passed, and something is still unsent */
} gn_timeout;

/* What a callback asks for when it returns. */
typedef enum gn_action {
    GN_NONE = 0,    /* go on */
    GN_CLOSE = 1,   /* send what was written, then close this connection */
    GN_SHUTDOWN = 2 /* stop the engine, with the drain time of its options */
} gn_action;

/*
 * The callbacks; leave out what you don't need.  The table is not copied and must live as long as the
 * engine.  A listener and a dialled connection may have tables of their own, of which on_boot,
 * on_shutdown, on_tick and on_stall are not used.  The last member reserves room, so that the table
 * can grow without a new ABI: leave it zero (a designated initialiser does).
 *
 * Callbacks of one connection never overlap; those of different loops run side by side.  A callback is
 * never called from inside another one.
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

    /* What was unsent had passed the high watermark and has fallen to the low one. */
    gn_action (*on_writable)(gn_conn *c, void *user);

    /* Something had stayed unsent, and the last byte of it was handed to the system now. */
    gn_action (*on_drained)(gn_conn *c, void *user);

    /* The error that breaks the connection; on_close follows with the same reason.  On a datagram
     * endpoint: a datagram was not sent, or the network answered one with an error; it goes on. */
    void (*on_error)(gn_conn *c, int error, void *user);

    /* A deadline has passed.  Without this callback, or if it returns GN_CLOSE, the connection
     * sends what was written (also what this callback writes) and closes with GN_ETIMEDOUT; what
     * could not leave by a write deadline, or while idle, is cut.  With GN_NONE it goes on: an idle
     * time-out starts anew, the others are off until set again. */
    gn_action (*on_timeout)(gn_conn *c, gn_timeout which, void *user);

    /* A callback has kept loop number loop busy for ns, longer than stall_ns; conn is the
     * connection whose callback runs, or GN_HANDLE_NONE.  Once per stall, on a thread of its own, which the
     * end of the engine waits for: don't join it here. */
    void (*on_stall)(gn_engine *e, unsigned loop, gn_handle conn, uint64_t ns, void *user);

    void (*reserved[11])(void);
} gn_handler;

/* --------------------------------------------------------------- options */

typedef enum gn_lb {
    GN_LB_ROUND_ROBIN = 0,
    GN_LB_LEAST_CONNECTIONS = 1,
    GN_LB_SOURCE_HASH = 2, /* by the peer's IP address, not its port; Unix peers go round */
    GN_LB_POWER_OF_TWO = 3,/* the less loaded of two that are drawn at random */
    GN_LB_USER = 4         /* options.lb_fn chooses */
} gn_lb;

/* Chooses the loop for a connection that was accepted: a number below loops (others are taken modulo).
 * On the accepting loop's thread; the engine may be asked for its statistics. */
typedef unsigned (*gn_lb_fn)(gn_engine *e, const gn_addr *peer, unsigned loops, void *user);

/* What happens to connections that come when conns_max or a budget of bytes is reached. */
typedef enum gn_overload {
    GN_OVERLOAD_WAIT = 0,  /* they wait in the listener's queue until there is room */
    GN_OVERLOAD_REFUSE = 1 /* they are accepted and reset at once */
} gn_overload;

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

    size_t outbound_low;       /* where the high watermark is left again; 0: half of outbound_high */
    size_t loop_bytes_max;     /* bytes that one loop holds for its connections, unread and unsent; 0: no
                                  limit.  At the limit reading pauses wherever something is held, writes
                                  fail with GN_ELIMIT, and new connections meet `overload` */
    size_t engine_bytes_max;   /* the same for all loops together; 0: no limit */
    size_t post_max;           /* bytes that operations of other threads wait with for one loop, each with
                                  its own head; 64 MiB.  Beyond it they fail with GN_ELIMIT */
    uint64_t conns_max;        /* connections of the engine, dialled ones included; 0: no limit */
    gn_overload overload;      /* what newcomers meet at these limits */
    gn_lb_fn lb_fn;            /* of GN_LB_USER */
    void *lb_user;
    int reuseport_cpu;         /* 1: with reuseport, the loop of the CPU that took the packet, where the
                                  system can (GN_ENOTSUP from listening where it cannot) */
    unsigned spin_us;          /* polls for so long before it sleeps: latency for CPU; 0: no spin */
    uint64_t stall_ns;         /* a callback that runs longer is reported (on_stall, or the log); 0: off */
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
 * running), GN_ELIMIT (more than 65,535 addresses), GN_ENOMEM, GN_EMFILE. */
GN_API int gn_engine_listen(gn_engine *e, const char *addr);

/* Socket options, for gn_conn_set_opt and listeners.  Those that a system or a kind of socket does not
 * have give GN_ENOTSUP. */
typedef enum gn_opt {
    GN_OPT_NODELAY = 1,         /* TCP: 0 or 1 */
    GN_OPT_KEEPALIVE = 2,       /* TCP: idle seconds before the first probe; 0: off */
    GN_OPT_KEEPALIVE_INTVL = 3, /* TCP: seconds between probes */
    GN_OPT_KEEPALIVE_COUNT = 4, /* TCP: probes unanswered until it is dead */
    GN_OPT_RECV_BUFFER = 5,     /* bytes; Linux doubles what is set */
    GN_OPT_SEND_BUFFER = 6,
    GN_OPT_LINGER = 7,          /* seconds; -1: off.  Rarely wanted: gannet lingers by itself */
    GN_OPT_USER_TIMEOUT = 8,    /* TCP: milliseconds that sent data may stay unacknowledged */
    GN_OPT_NOTSENT_LOWAT = 9,   /* TCP: bytes not yet sent above which the socket is not writable */
    GN_OPT_TOS = 10,            /* the byte of IPv4 TOS or IPv6 traffic class */
    GN_OPT_TTL = 11,            /* hops of unicast packets */
    GN_OPT_FAST_OPEN = 12,      /* TCP listeners: length of its queue; 0: off (RFC 7413) */
    GN_OPT_FAST_OPEN_CONNECT = 13, /* TCP, before the dial: data goes with the SYN */
    GN_OPT_BUSY_POLL = 14,      /* microseconds that the system polls the device */
    GN_OPT_QUICKACK = 15,       /* TCP: 0 or 1; not kept by the system for ever */
    GN_OPT_DEFER_ACCEPT = 16,   /* TCP listeners: seconds to wait for the first data */
    GN_OPT_PRIORITY = 17,       /* SO_PRIORITY */
    GN_OPT_MARK = 18,           /* SO_MARK; needs a privilege */
    GN_OPT_INCOMING_CPU = 19,   /* read only: the CPU that its packets come to */
    GN_OPT_BROADCAST = 20,      /* UDP: 0 or 1 */
    GN_OPT_MULTICAST_TTL = 21,  /* UDP: hops; 1 at first */
    GN_OPT_MULTICAST_LOOP = 22, /* UDP: 0 or 1: our own host hears it too */
    GN_OPT_MULTICAST_IF = 23,   /* UDP: index of the interface that multicasts leave by */
    GN_OPT_PACKET_INFO = 24,    /* UDP: 0 or 1: fills gn_dgram_info */
    GN_OPT_GRO = 25,            /* UDP: 0 or 1: the system hands over trains, which gannet takes apart */
    GN_OPT_PASS_DESCRIPTORS = 26, /* Unix streams: 0 or 1: descriptors may be received */
    GN_OPT_MAXSEG = 27          /* TCP: bytes of a segment, before listening or dialling */
} gn_opt;

typedef struct gn_opt_value {
    gn_opt opt;
    int64_t value;
} gn_opt_value;

/* Of one listener; fill it with gn_listen_options_init, then change what you want. */
typedef struct gn_listen_options {
    size_t size;               /* set by gn_listen_options_init */
    const gn_handler *handler; /* its callbacks and their user; NULL: those of the engine */
    void *user;
    int backlog;               /* 0: that of the engine's options */
    int v6only;                /* -1: by the scheme (tcp6, udp6: only IPv6); 0 or 1 */
    const char *device;        /* network interface to bind to, NULL: any.  Linux may want a privilege */
    unsigned unix_mode;        /* permissions of a Unix path such as 0660; 0: by the umask.  Nobody can
                                  connect before they are set */
    uint64_t conns_max;        /* connections open by this listener; 0: no limit.  Then `overload` */
    const gn_opt_value *opts;  /* set before it binds; accepted sockets inherit what the system lets them */
    unsigned opt_count;
    const char *multicast_if;  /* a multicast address is joined on this interface (name or IPv4 address);
                                  NULL: the system's choice */
} gn_listen_options;

/* [any] */
GN_API void gn_listen_options_init_sized(gn_listen_options *o, size_t size);
#define gn_listen_options_init(o) gn_listen_options_init_sized((o), sizeof(gn_listen_options))

/* [setup] gn_engine_listen with options of its own; they are copied, options may be NULL.  "unix://@name"
 * listens on an abstract name.  A UDP address that is a multicast group is joined, on one socket.  More
 * errors: GN_ENOTSUP (an option that this system does not have), GN_ENOENT (no such device). */
GN_API int gn_engine_listen_with(gn_engine *e, const char *addr, const gn_listen_options *options);

/* [setup] Serves a socket that somebody else has bound (and, for streams, made listen): socket
 * activation, a restart without a gap.  The descriptor belongs to the engine from a GN_OK on; it is made
 * non-blocking and closed on exec.  A Unix path is not removed in the end.  GN_EINVAL if it is no listening
 * socket or bound datagram socket of a known family; GN_ENOTSUP (an option), GN_EBUSY (e runs or ran
 * already), GN_ELIMIT, GN_ENOMEM. */
GN_API int gn_engine_listen_descriptor(gn_engine *e, gn_descriptor d, const gn_listen_options *options);

/* [setup] Serves every socket that the service manager has passed (LISTEN_PID and LISTEN_FDS of
 * sd_listen_fds), and takes the variables away.  name: only those of that LISTEN_FDNAMES, or NULL.
 * Returns how many, 0 when there are none, or an error as above; then those before it are served, and the
 * rest waits for another call.  GN_EBUSY also while another thread is in this function. */
GN_API int gn_engine_listen_inherited(gn_engine *e, const char *name, const gn_listen_options *options);

/* [setup; any while it runs] A duplicate of listener i's (first) socket, closed on exec, yours.
 * GN_EINVAL, GN_EMFILE, GN_ECLOSED when the engine has closed it. */
GN_API int gn_engine_listener_dup(const gn_engine *e, unsigned i, gn_descriptor *out);

/* [any] Stops and starts accepting on listener i, on every loop, soon after it returns; who connects
 * meanwhile waits in the listener's queue.  For a UDP endpoint: receiving.  GN_EINVAL, GN_ECLOSED
 * (it stops or has ended). */
GN_API int gn_engine_pause_accept(gn_engine *e, unsigned i);
GN_API int gn_engine_resume_accept(gn_engine *e, unsigned i);

/* [any] The datagram endpoint of listener i on loop number loop, for gn_send_to; GN_HANDLE_NONE if
 * there is none (one socket serves all loops: ask for each until one answers). */
GN_API gn_handle gn_engine_endpoint(const gn_engine *e, unsigned i, unsigned loop);

/* [any] The number of addresses; and address i as bound, with the real port.
 * GN_EINVAL for an i that is too high. */
GN_API unsigned gn_engine_addr_count(const gn_engine *e);
GN_API int gn_engine_addr(const gn_engine *e, unsigned i, gn_addr *out);

/* [any] Writes address i the way gn_engine_listen takes it, with its scheme and
 * the real port.  Returns the length of the whole text, or GN_EINVAL. */
GN_API int gn_engine_url(const gn_engine *e, unsigned i, char *out, size_t cap);

/* [setup] Starts the loops on their threads and returns.  on_boot is called first.
 * GN_EBUSY if it runs or ran already, or if 64 engines have stop_on_signals and run; GN_ECANCELED if
 * on_boot said GN_SHUTDOWN; GN_ELIMIT when the process has no room for more loops (1,023); GN_ENOMEM,
 * GN_EMFILE, GN_EAGAIN (no thread). */
GN_API int gn_engine_start(gn_engine *e);

/* [any, but not on a loop] Waits until the engine has stopped, calls on_shutdown,
 * and gives the reason: GN_OK, or the error that ended it.  One caller per start.
 * On any loop, or while
 * another thread joins: GN_EBUSY.  Not started, or joined already: GN_EINVAL. */
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

/* Counters since the start, and levels now (marked).  Always on: each is a plain addition of its loop. */
typedef struct gn_stats {
    size_t size;           /* set by the caller: sizeof(gn_stats) */
    uint64_t conns;        /* now open */
    uint64_t accepted, dialed, adopted, closed;
    uint64_t refused;      /* reset at a limit, or for want of descriptors or memory */
    uint64_t timeouts;     /* connections ended by a deadline */
    uint64_t errors;       /* connections that an error broke */
    uint64_t migrated;     /* away from a loop */
    uint64_t bytes_in, bytes_out;
    uint64_t datagrams_in, datagrams_out;
    uint64_t datagrams_lost; /* not sent, or truncated when received */
    uint64_t reads, writes; /* system calls of them, or what stands for these */
    uint64_t turns;        /* of the loop */
    uint64_t tasks;        /* operations of other threads that were run */
    uint64_t timers;       /* that fired */
    uint64_t stalls;       /* callbacks that ran longer than stall_ns */
    uint64_t bytes_held;   /* now: unread, unsent */
    uint64_t bytes_posted; /* now: with operations that wait */
} gn_stats;

/* [any] Of loop i, or of all together.  At most *out's size is written.  GN_EINVAL. */
GN_API int gn_engine_loop_stats(const gn_engine *e, unsigned i, gn_stats *out);
GN_API int gn_engine_stats(const gn_engine *e, gn_stats *out);

typedef enum gn_signal {
    GN_SIGNAL_HUP = 1, GN_SIGNAL_INT = 2, GN_SIGNAL_QUIT = 3, GN_SIGNAL_USR1 = 10, GN_SIGNAL_USR2 = 12,
    GN_SIGNAL_TERM = 15, GN_SIGNAL_CHLD = 17, GN_SIGNAL_WINCH = 28
} gn_signal;

typedef void (*gn_on_signal)(gn_engine *e, gn_signal s, void *arg);

/* [setup] fn runs on loop 0 when the process gets the signal, once for one or more of them; what the
 * signal did before is restored when the engine ends.  One fn for each signal.  With INT or TERM
 * stop_on_signals no longer acts on that one.  GN_ENOTSUP where the system has no such signal, GN_EBUSY
 * when another engine has it or e runs, GN_EINVAL. */
GN_API int gn_engine_on_signal(gn_engine *e, gn_signal s, gn_on_signal fn, void *arg);

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

/* The index, in order of gn_engine_listen, of the address it came by; GN_NO_LISTENER for NULL and for what
 * was not accepted. */
GN_API unsigned gn_conn_listener(const gn_conn *c);
#define GN_NO_LISTENER (~0u) /* of connections that were dialled or adopted */

/* The system's code of the error that broke the connection; 0 if none did, or if the system
 * gave none. */
GN_API int gn_conn_os_error(const gn_conn *c);

/* Closes the connection with GN_ETIMEDOUT: idle, when no byte moved either way for
 * so long; read, when this much time has passed from now, whatever comes until it is
 * set anew.  0 takes it off.  GN_ENOTSUP for the datagram endpoints of listeners. */
GN_API int gn_conn_set_idle_timeout(gn_conn *c, uint64_t ns);
GN_API int gn_conn_set_read_deadline(gn_conn *c, uint64_t ns_from_now);

/* ... when something is still unsent after this much time from now; with GN_TIMEOUT_WRITE. */
GN_API int gn_conn_set_write_deadline(gn_conn *c, uint64_t ns_from_now);

/* Stops and starts reading; what was buffered before brings an on_traffic soon after the resume.  On
 * datagrams the rest of a train in hand (GN_OPT_GRO) still comes. */
GN_API int gn_conn_pause(gn_conn *c);
GN_API int gn_conn_resume(gn_conn *c);

/* Marks of unsent bytes, instead of those of the options: above high gn_conn_is_writable says 0 and
 * reading pauses; at low on_writable follows and reading goes on.  GN_EINVAL unless low <= high;
 * GN_ENOMEM. */
GN_API int gn_conn_set_watermarks(gn_conn *c, size_t high, size_t low);
GN_API int gn_conn_is_writable(gn_conn *c);

/* Limits instead of inbound_max and outbound_max of the options; 0 leaves that one.  GN_ENOMEM. */
GN_API int gn_conn_set_limits(gn_conn *c, size_t inbound_max, size_t outbound_max);

/* Queues memory of yours without a copy: it must stay untouched until done is called, exactly once, on
 * its loop, with GN_OK when the system has taken all of it, else why it did not, and with its handle
 * there, also after it has migrated.  If an error is
 * returned nothing was queued and done is not called.  Errors as gn_conn_write; never inside this call. */
GN_API int gn_conn_write_ref(gn_conn *c, const gn_iov *iov, unsigned count, gn_done done, void *arg);

/* Queues a part of a file, which the system sends without a copy where it can.  The descriptor stays
 * yours and open until done is called, as above; its offset does not move.  n 0: up to its end as it
 * is now.  A file that turns out shorter breaks the connection with GN_EIO.  It counts as nothing
 * against outbound_max. */
GN_API int gn_conn_send_file(gn_conn *c, gn_descriptor file, uint64_t offset, uint64_t n, gn_done done,
                             void *arg);

/* Queues data (n > 0 bytes) and a descriptor that the peer gets with the first of them; it is duplicated,
 * yours stays yours.  Unix streams only, else GN_ENOTSUP. */
GN_API int gn_conn_send_descriptor(gn_conn *c, gn_descriptor d, const void *data, size_t n);

/* The next descriptor that came by this connection, closed on exec, yours; GN_EAGAIN when there is
 * none; GN_EMFILE, once, in the place of those that came when the process could open no more, and are
 * lost.  Wants GN_OPT_PASS_DESCRIPTORS.  At most GN_DESCRIPTORS_MAX wait, more are closed. */
GN_API int gn_conn_recv_descriptor(gn_conn *c, gn_descriptor *out);
#define GN_DESCRIPTORS_MAX 64u

/* From now on all that comes by `from`, and what is buffered unread, is written to `to`: without
 * on_traffic, and without reading more than `to` can send.  Both are of one loop, else GN_EINVAL.  The
 * end of from's stream becomes the end of to's (both ways piped: as two half-closes); when one of them
 * closes for another reason, the other closes after what it still has to send, with the same reason.
 * Each way flows by itself: what waits to be sent to `from` does not keep it from being read.  Until
 * gn_conn_unpipe(from), also in the on_close of `to`: then what was not passed on is from's to read, and
 * on_eof follows if its end has come meanwhile.  GN_EBUSY if from is piped already, or something into to;
 * GN_EPIPE after gn_conn_shutdown_write(to); GN_ECLOSED, GN_ENOMEM. */
GN_API int gn_conn_pipe(gn_conn *from, gn_conn *to);
GN_API int gn_conn_unpipe(gn_conn *from);

/* Socket options.  GN_ENOTSUP, GN_EINVAL, GN_EACCES, GN_ECLOSED. */
GN_API int gn_conn_set_opt(gn_conn *c, gn_opt opt, int64_t value);
GN_API int gn_conn_get_opt(gn_conn *c, gn_opt opt, int64_t *value);

/* The descriptor itself, which stays gannet's: look, don't read, write or close.  And a duplicate of it,
 * closed on exec, yours. */
GN_API gn_descriptor gn_conn_descriptor(const gn_conn *c);
GN_API int gn_conn_dup(gn_conn *c, gn_descriptor *out);

/* Who is at the other end of a Unix stream, as of its connect; -1 where the system does not tell.
 * GN_ENOTSUP for other sockets, GN_ECLOSED, GN_EINVAL. */
typedef struct gn_cred {
    int64_t pid, uid, gid;
} gn_cred;
GN_API int gn_conn_peer_cred(gn_conn *c, gn_cred *out);

/* ------------------------------------------------------------- datagrams */
/* [loop], on datagram endpoints and dialled datagram connections. */

/* What is known of the datagram in hand; only within its on_traffic. */
typedef struct gn_dgram_info {
    gn_addr local;         /* the address it was sent to; with GN_OPT_PACKET_INFO, else family NONE */
    unsigned interface_index; /* it came by; with GN_OPT_PACKET_INFO, else 0 */
    int truncated;         /* 1: it was longer than 64 KiB and its end is lost */
} gn_dgram_info;
GN_API int gn_conn_dgram_info(gn_conn *c, gn_dgram_info *out);

/* Queues one datagram to an address.  As gn_conn_write, and GN_EINVAL: an address of another family, or on a
 * dialled connection another one than the peer's.  At most 64 datagrams and 128 KiB wait: then GN_EAGAIN, and
 * on_drained follows when none is left.  What the system refuses later is told to on_error, once a turn, and
 * counted in gn_stats.datagrams_lost. */
GN_API int gn_conn_send_to(gn_conn *c, const gn_addr *to, const void *data, size_t n);

/* Queues n bytes as datagrams of segment bytes (the last may be shorter), which the system cuts itself
 * where it can (GSO) and gannet where not.  to NULL: the peer, as gn_conn_write.  All or none; GN_EMSGSIZE
 * beyond 128 KiB, or for more than 64 trains of 64 datagrams. */
GN_API int gn_conn_send_segments(gn_conn *c, const gn_addr *to, const void *data, size_t n, size_t segment);

/* Joins and leaves a multicast group on an interface (its index; 0: the system's choice). */
GN_API int gn_conn_join_group(gn_conn *c, const gn_addr *group, unsigned interface_index);
GN_API int gn_conn_leave_group(gn_conn *c, const gn_addr *group, unsigned interface_index);

/* [any] The index of a network interface by its name, 0 if there is none. */
GN_API unsigned gn_interface_index(const char *name);

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

/* A pointer of yours for each loop; NULL at first.  [loop] */
GN_API void *gn_loop_context(const gn_loop *l);
GN_API void gn_loop_set_context(gn_loop *l, void *context);

/* ---------------------------------------------------------------- timers */
/* [loop] */

/* A timer in your own memory, which must stay until it has fired or was stopped.  Zeroed is stopped. */
typedef struct gn_timer {
    uint64_t opaque[8];
} gn_timer;

typedef void (*gn_timer_fn)(gn_loop *l, gn_timer *t, void *arg);

/* Calls fn(arg) after delay_ns, from gn_now() on, rounded up to the next tick of about a millisecond; then
 * every period_ns (0: once).  A periodic timer whose loop was late fires once for what it missed and
 * keeps its rhythm.  Starting one that runs sets it anew.  fn may start, stop and free its own timer.
 * When the loop ends, fn is not called any more.  GN_EINVAL. */
GN_API int gn_timer_start(gn_loop *l, gn_timer *t, uint64_t delay_ns, uint64_t period_ns, gn_timer_fn fn,
                          void *arg);

/* Returns 1 if it was running, 0 if not. */
GN_API int gn_timer_stop(gn_loop *l, gn_timer *t);
GN_API int gn_timer_running(const gn_timer *t);

/* ------------------------------------------------------- from any thread */
/*
 * Each of these either returns an error, and then nothing more happens, or
 * returns GN_OK, and then done (if not NULL) is called exactly once on the
 * connection's loop with the outcome: GN_OK, or GN_ECLOSED when the connection,
 * or the loop, went first.  What one thread asks of one loop happens in the order
 * of asking.  done gets the connection's handle on that loop, which is another one
 * than it was asked with if the connection has migrated: gn_conn_from_handle knows it.
 */
/* Queues a write.  The bytes are copied before it returns.  GN_OK in done means
 * that they took their place in the outbound queue; else as gn_conn_write.
 * On a listener's datagram endpoint: GN_ENOTCONN in done; use gn_send_to. */
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

/* The same in the loop's second queue, which has its turn after the first and a smaller share: for work that
 * must not delay writes.  First in, first out within each of the two queues. */
GN_API int gn_execute_low(gn_handle h, gn_done fn, void *arg);

/* gn_write without a copy: the memory must stay untouched until done, which here comes when the system
 * has taken all of it, or with the error because of which that is not known to have happened: the peer may
 * have got some of it, or all.  done must not be NULL.  In done also GN_ENOTSUP: a datagram connection. */
GN_API int gn_write_ref(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg);

/* gn_write (with a copy) whose done comes when the system has taken all of it. */
GN_API int gn_write_sent(gn_handle h, const gn_iov *iov, unsigned count, gn_done done, void *arg);

/* Runs fn on the loop of h after delay_ns: GN_OK; GN_ECANCELED after gn_cancel; GN_ECLOSED when the
 * loop, or the connection h, was gone by then.  op may be NULL. */
GN_API int gn_schedule(gn_handle h, uint64_t delay_ns, gn_done fn, void *arg, gn_op *op);

/* Asks to cancel an operation; its done tells whether that came in time.  GN_ECLOSED: it is known that
 * it came too late.  GN_ELIMIT, GN_ENOMEM.  A dial that had to follow a connection to another loop
 * is not found any more: it has its deadline. */
GN_API int gn_cancel(gn_op op);

/* Moves a connection to another loop of its engine: nothing is lost, and nothing is called while it
 * moves. Handles stay valid: what is asked by an old one follows the connection.  done is called on
 * the new loop with the handle that is the shortest way from now on; on failure on the old loop
 * (GN_ENOMEM, GN_ECLOSED, GN_EBUSY when it is closing or piped, or datagrams wait) where the connection
 * goes on. GN_ENOTSUP for datagram endpoints of listeners; GN_EINVAL at once if loop names no loop or h no
 * connection.  The gn_conn is another one afterwards: keep handles, not pointers.  Its context stays; what a
 * callback stores elsewhere must not belong to one loop only. */
GN_API int gn_migrate(gn_handle h, gn_handle loop, gn_done done, void *arg);

/* Fill it with gn_dial_options_init, then change what you want. */
typedef struct gn_dial_options {
    size_t size;               /* set by gn_dial_options_init */
    const gn_handler *handler; /* its callbacks and their user; NULL: those of the engine */
    void *user;
    void *context;             /* gn_conn_context, from on_open on */
    uint64_t timeout_ns;       /* for resolving and connecting together; 10 s, also for 0 */
    uint64_t attempt_delay_ns; /* until the next address is tried beside the last; 250 ms (RFC 8305);
                                  within 10 ms and 2 s */
    const char *local;         /* address to bind to, "host:port" with numeric host, port 0: any; NULL: any */
    const gn_opt_value *opts;  /* set before it connects; at most 64 */
    unsigned opt_count;
} gn_dial_options;

/* [any] Sets every default. */
GN_API void gn_dial_options_init_sized(gn_dial_options *o, size_t size);
#define gn_dial_options_init(o) gn_dial_options_init_sized((o), sizeof(gn_dial_options))

/* Connects to addr (scheme://host:port as gn_engine_listen, or unix://path; an empty host or "*" is this
 * one) on the loop that `where` names, or that owns that connection.  A host name is resolved on another
 * thread; its addresses (at most 16) are tried, IPv6 and IPv4 in turn, the next one when one fails or
 * attempt_delay_ns has passed.  Then on_open is called, then done(GN_OK) with the handle of the
 * connection; or done alone, with GN_HANDLE_NONE, and GN_EADDR, GN_ETIMEDOUT, GN_ECANCELED, GN_ECLOSED
 * (the loop went first), GN_ESHUTDOWN, GN_ELIMIT (conns_max; or 1,024 names wait already), or the error
 * of the attempt that came furthest.  options are copied and may be NULL, as may done and op. udp://...: a
 * connected datagram socket, with on_open, on_traffic for each datagram, gn_conn_write and on_close.
 *
 * The system's resolver cannot be interrupted: deadline, gn_cancel and stop don't wait for it, but
 * gn_engine_destroy does. */
GN_API int gn_dial(gn_handle where, const char *addr, const gn_dial_options *options, gn_done done, void *arg,
                   gn_op *op);

/* Makes a connected stream or datagram socket that somebody else has made a connection of the loop; as
 * a dial, but for connecting.  The descriptor belongs to gannet from a GN_OK on, also if done tells a
 * failure.  GN_EINVAL: it is no such socket; GN_ENOTCONN. */
GN_API int gn_adopt(gn_handle where, gn_descriptor d, const gn_dial_options *options, gn_done done,
                    void *arg);

/* [any] The loop with the fewest connections now, those under way included, for gn_dial and gn_adopt;
 * GN_HANDLE_NONE when none runs. */
GN_API gn_handle gn_engine_least_loop(const gn_engine *e);

/* ---------------------------------------------------------- worker pool */
/*
 * Threads for work that blocks.  Workers are started on demand and end after an idle time.  Each task
 * that was accepted is called exactly once: with GN_OK to do its work, or with GN_ECANCELED
 * (gn_pool_cancel, or the pool was released first) only to clean up.
 */
typedef struct gn_pool gn_pool;
typedef void (*gn_task_fn)(int status, void *arg);

/* Fill it with gn_pool_options_init, then change what you want. */
typedef struct gn_pool_options {
    size_t size;           /* set by gn_pool_options_init */
    unsigned capacity;     /* most workers; 0: no limit but the system's */
    size_t queue_max;      /* tasks that wait for a worker; 0: none.  4,096 */
    unsigned blocking_max; /* callers that may block in gn_pool_submit at once; 0: no limit */
    int nonblocking;       /* 1: gn_pool_submit never blocks: GN_ELIMIT */
    int prealloc;          /* 1: memory for workers and queue is taken, and workers started, at once */
    uint64_t expiry_ns;    /* idle time after which a worker ends; 1 s.  UINT64_MAX: never */
    gn_task_fn fn;         /* of gn_pool_invoke */
    const char *name;      /* of the threads, at most 15 bytes are shown; NULL: "gn-worker".  Copied */
} gn_pool_options;

/* [any] Sets every default. */
GN_API void gn_pool_options_init_sized(gn_pool_options *o, size_t size);
#define gn_pool_options_init(o) gn_pool_options_init_sized((o), sizeof(gn_pool_options))

/* [any] options may be NULL.  GN_EINVAL: prealloc without capacity; GN_ENOMEM, GN_EAGAIN (no thread,
 * prealloc only). */
GN_API int gn_pool_create(gn_pool **out, const gn_pool_options *options);

/* [any] Hands a task to a worker, or to the queue; blocks while there is room in neither, unless
 * nonblocking (GN_ELIMIT), or blocking_max callers block already (GN_ELIMIT).  From a worker of this
 * pool, when it would block: GN_EDEADLOCK.  On a loop blocking is a bad idea, see gn_offload.
 * GN_ECLOSED after the release, GN_EINVAL (fn NULL), GN_ENOMEM, GN_EAGAIN (no thread could be started,
 * and there is none to wait for). */
GN_API int gn_pool_submit(gn_pool *p, gn_task_fn fn, void *arg);
GN_API int gn_pool_try_submit(gn_pool *p, gn_task_fn fn, void *arg); /* never blocks: GN_ELIMIT */
/* ... or GN_ETIMEDOUT */
GN_API int gn_pool_submit_wait(gn_pool *p, gn_task_fn fn, void *arg, uint64_t timeout_ns);

/* [any] gn_pool_submit of the pool's fixed function.  GN_EINVAL if it has none. */
GN_API int gn_pool_invoke(gn_pool *p, void *arg);

/* [any] gn_pool_try_submit of a task that can be cancelled while it waits.  gn_pool_cancel: GN_OK, its
 * fn has been called with GN_ECANCELED on this thread; GN_EBUSY, it runs; GN_ECLOSED, it has ended. */
GN_API int gn_pool_submit_op(gn_pool *p, gn_task_fn fn, void *arg, gn_op *op);
GN_API int gn_pool_cancel(gn_pool *p, gn_op op);

/* [any] Work on the pool, then done on the loop of h: work(arg) runs on a worker, then done(h, status,
 * arg) on the loop, with GN_OK, or GN_ECLOSED if the connection or the loop is gone (then, if the loop
 * is, on the worker's thread), or GN_ECANCELED if the pool was released before the work was begun (on
 * the thread that releases).  If the connection has migrated, done gets its handle there.  Never blocks;
 * errors as gn_pool_try_submit.  For one connection: the order of done is that of ending, not of asking. */
GN_API int gn_offload(gn_pool *p, gn_handle h, void (*work)(void *arg), gn_done done, void *arg);

/* [any] Another capacity, live: more let callers in at once; fewer take effect as workers end their
 * task.  GN_ENOTSUP with prealloc, GN_EINVAL for 0 (unless it was 0). */
GN_API int gn_pool_resize(gn_pool *p, unsigned capacity);

/* [any] Closes it: those who block in submit get GN_ECLOSED, waiting tasks are cancelled on this
 * thread, running ones end by themselves.  The second form also waits for the workers to end, so long;
 * GN_ETIMEDOUT; GN_EDEADLOCK, and nothing is done, on a worker or in a task that is being cancelled;
 * GN_EBUSY if it was opened again meanwhile. */
GN_API int gn_pool_release(gn_pool *p);
GN_API int gn_pool_release_wait(gn_pool *p, uint64_t timeout_ns);

/* [any] Opens a released pool again.  GN_EBUSY if it is not released. */
GN_API int gn_pool_reboot(gn_pool *p);

/* [setup] Releases it, waits for the running tasks however long they take, and frees it.  NULL is
 * allowed.  GN_EDEADLOCK. */
GN_API int gn_pool_destroy(gn_pool *p);

typedef struct gn_pool_stats {
    size_t size;       /* set by the caller: sizeof(gn_pool_stats) */
    unsigned capacity; /* 0: no limit */
    unsigned workers;  /* threads, busy or idle */
    unsigned running;  /* tasks that run */
    unsigned blocked;  /* callers that block in submit */
    uint64_t free;     /* capacity - running; UINT64_MAX without a limit */
    uint64_t waiting;  /* tasks in the queue */
    uint64_t submitted, completed, canceled, refused; /* since it was created */
    int closed;
} gn_pool_stats;

/* [any] At most *out's size is written. */
GN_API int gn_pool_get_stats(gn_pool *p, gn_pool_stats *out);

/* Several pools behind one door: fewer callers meet at one lock. */
typedef struct gn_multipool gn_multipool;
typedef enum gn_pool_lb { GN_POOL_ROUND_ROBIN = 0, GN_POOL_LEAST_TASKS = 1 } gn_pool_lb;

/* [any] count pools of these options each, 1 to 65,536.  Round robin tries the pool with the least tasks
 * when its choice is full.  Errors of all of these as of those for one pool. */
GN_API int gn_multipool_create(gn_multipool **out, unsigned count, gn_pool_lb lb,
                               const gn_pool_options *options);
GN_API int gn_multipool_submit(gn_multipool *m, gn_task_fn fn, void *arg);
GN_API int gn_multipool_try_submit(gn_multipool *m, gn_task_fn fn, void *arg);
GN_API int gn_multipool_invoke(gn_multipool *m, void *arg);
GN_API unsigned gn_multipool_count(const gn_multipool *m);
GN_API gn_pool *gn_multipool_at(gn_multipool *m, unsigned i); /* NULL if i is too high; lent */
GN_API int gn_multipool_get_stats(gn_multipool *m, gn_pool_stats *out); /* sums */
GN_API int gn_multipool_resize(gn_multipool *m, unsigned capacity); /* of each */
GN_API int gn_multipool_release(gn_multipool *m);
GN_API int gn_multipool_release_wait(gn_multipool *m, uint64_t timeout_ns); /* all within that time */
GN_API int gn_multipool_reboot(gn_multipool *m); /* those that are released; GN_EBUSY if none is */
GN_API int gn_multipool_destroy(gn_multipool *m);

/* --------------------------------------------------------------- framing */
/*
 * Helpers that find messages in a stream.  Each looks at the unread bytes of a connection: GN_OK and a
 * frame, lent as by gn_conn_next and consumed with its delimiter or head; GN_EAGAIN when it is not
 * complete yet, and nothing is consumed; GN_EMSGSIZE when it is, or will be, longer than max;
 * GN_EMALFORMED when a head makes no sense.  They copy nothing. max must not be above inbound_max of
 * the connection less the head, or a long frame waits for ever.  [loop]
 *
 * The gn_scan_ forms do the same on memory of yours: *used is how many bytes the frame takes in all.
 * [any]
 */
typedef struct gn_frame {
    const void *data; /* without delimiter or head, unless asked for */
    size_t len;
} gn_frame;

/* Up to LF, which is taken off with a CR before it. */
GN_API int gn_conn_read_line(gn_conn *c, size_t max, gn_frame *out);
GN_API int gn_scan_line(const void *p, size_t n, size_t max, gn_frame *out, size_t *used);

/* Up to a delimiter of len >= 1 bytes, which is taken off. */
GN_API int gn_conn_read_delimited(gn_conn *c, const void *delimiter, size_t len, size_t max, gn_frame *out);
GN_API int gn_scan_delimited(const void *p, size_t n, const void *delimiter, size_t len, size_t max,
                             gn_frame *out, size_t *used);

/* Exactly len bytes. */
GN_API int gn_conn_read_fixed(gn_conn *c, size_t len, gn_frame *out);

/* A head with the length of what follows.  Frame = skipped bytes, length field, body; body length = value of
 * the field + adjust (the field counts itself: adjust = -(offset + width)). */
typedef struct gn_length_field {
    size_t offset;     /* bytes before the field */
    unsigned width;    /* 1, 2, 3, 4 or 8 bytes */
    int little_endian; /* 0: network byte order */
    int64_t adjust;
    size_t max;        /* of the body */
    int keep_head;     /* 1: the frame is given with its head */
} gn_length_field;
GN_API int gn_conn_read_length(gn_conn *c, const gn_length_field *f, gn_frame *out);
GN_API int gn_scan_length(const void *p, size_t n, const gn_length_field *f, gn_frame *out, size_t *used);

/* A body after its length as a varint (base 128, least significant group first, at most 10 bytes). */
GN_API int gn_conn_read_varint(gn_conn *c, size_t max, gn_frame *out);
GN_API int gn_scan_varint(const void *p, size_t n, size_t max, gn_frame *out, size_t *used);

/* [any] Writes v as a varint into out[0..10) and returns its length. */
GN_API unsigned gn_put_varint(void *out, uint64_t v);

#ifdef __cplusplus
}
#endif
#endif
