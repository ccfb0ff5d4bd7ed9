/* SPDX-License-Identifier: MIT */
/* The trace for people: one line a call, with the time, the thread, names for numbers, and the result. */
#include "world.h"

#include <stdio.h>
#include <string.h>

enum { CODE = 1, EVENTS, INTEREST, REASON, THREAD, YES };

/* What a number of a call is; no label: it is not shown. */
typedef struct call {
    const char *name;
    const char *label[2];
    uint8_t kind[2]; /* 0: a number */
    uint8_t result;  /* 0: not shown */
} call;

static const call calls[] = {
    { "accept", { "listener", "descriptor" }, { 0 }, CODE },
    { "alloc", { "bytes" }, { 0 }, YES },
    { "attach", { "descriptor", "interest" }, { 0, INTEREST }, CODE },
    { "broadcast", { NULL }, { 0 }, 0 },
    { "close", { "descriptor", "reset" }, { 0 }, CODE },
    { "closed", { "descriptor" }, { 0 }, 0 },
    { "cond_wait", { "late" }, { 0 }, 0 },
    { "connect", { "descriptor", "port" }, { 0 }, CODE },
    { "connect_end", { "descriptor" }, { 0 }, CODE },
    { "descriptor_close", { "descriptor" }, { 0 }, 0 },
    { "detach", { "descriptor", "connecting" }, { 0 }, 0 },
    { "dgram_open", { "descriptor", "port" }, { 0 }, CODE },
    { "dup", { "descriptor" }, { 0 }, CODE },
    { "event", { "descriptor", "what" }, { 0, EVENTS }, 0 },
    { "exit", { NULL }, { 0 }, 0 },
    { "free", { "bytes" }, { 0 }, 0 },
    { "join", { "thread" }, { THREAD }, 0 },
    { "kill", { "signal" }, { 0 }, 0 },
    { "listen", { "descriptor", "port" }, { 0 }, CODE },
    { "lock", { NULL }, { 0 }, 0 },
    { "peer_accept", { NULL }, { 0 }, 0 },
    { "peer_close", { "reset" }, { 0 }, 0 },
    { "partition", { "on" }, { 0 }, 0 },
    { "peer_cut", { "bytes arrive" }, { 0 }, 0 },
    { "peer_flood", { "bytes", "went" }, { 0 }, 0 },
    { "peer_stall", { "on" }, { 0 }, 0 },
    { "peer_vanish", { NULL }, { 0 }, 0 },
    { "peer_connect", { "port" }, { 0 }, CODE },
    { "peer_half_close", { NULL }, { 0 }, 0 },
    { "peer_recv", { "bytes" }, { 0 }, CODE },
    { "peer_recvfrom", { "bytes" }, { 0 }, 0 },
    { "peer_reset", { NULL }, { 0 }, 0 },
    { "peer_send", { "bytes", "went" }, { 0 }, CODE },
    { "peer_sendto", { "port", "bytes" }, { 0 }, CODE },
    { "poller_close", { "poller" }, { 0 }, 0 },
    { "poller_open", { "poller" }, { 0 }, CODE },
    { "realloc", { "from", "to" }, { 0 }, YES },
    { "recv", { "descriptor", "bytes" }, { 0 }, CODE },
    { "recvfrom", { "descriptor", "bytes" }, { 0 }, CODE },
    { "reserve", { "descriptor" }, { 0 }, CODE },
    { "resolve", { "family", "most" }, { 0 }, CODE },
    { "send", { "descriptor", "bytes" }, { 0 }, CODE },
    { "sendfile", { "descriptor", "bytes" }, { 0 }, CODE },
    { "sendto", { "descriptor", "datagrams" }, { 0 }, CODE },
    { "shutdown", { "descriptor" }, { 0 }, CODE },
    { "signal", { NULL }, { 0 }, 0 },
    { "sleep", { NULL }, { 0 }, 0 },
    { "sock_close", { "descriptor", "reset" }, { 0 }, 0 },
    { "sock_set", { "option", "value" }, { 0 }, CODE },
    { "spawn", { "thread" }, { THREAD }, 0 },
    { "stderr", { "bytes" }, { 0 }, 0 },
    { "switch", { "to", "point" }, { THREAD }, REASON },
    { "unlink", { "there" }, { 0 }, 0 },
    { "wait", { "events" }, { 0 }, 0 },
    { "wake", { "poller" }, { 0 }, 0 },
    { "want", { "descriptor", "interest" }, { 0, INTEREST }, 0 },
};

static const call *call_of(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    }
    return NULL;
}

static const char *code_name(int64_t code)
{
    static const char *const names[] = {
        "OK",        "AGAIN",        "EOF",           "EINVAL",       "ENOMEM",     "ENOTSUP", "EADDR",
        NULL,        "EADDRINUSE",   "EADDRNOTAVAIL", "EACCES",       "EMFILE",     "ENFILE",  "ENOBUFS",
        "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE",        "ETIMEDOUT",  "ENETUNREACH",
        "EHOSTUNREACH", "EEXIST",    "ENAMETOOLONG",  "ENOENT",       NULL,         NULL,      NULL,
        "EMSGSIZE",  NULL,           "EBUSY",         "ENOTCONN",     "EIO",
    };

    if (code == GNP_INFLIGHT)
        return "INFLIGHT";
    return code <= 0 && code > -(int64_t)(sizeof(names) / sizeof(names[0])) ? names[-code] : NULL;
}

static void show_bits(int64_t bits, const char *const *names)
{
    const char *between = "";

    for (; *names != NULL; names++, bits >>= 1) {
        if (bits & 1) {
            fprintf(stderr, "%s%s", between, *names);
            between = "|";
        }
    }
    if (*between == '\0')
        fputs("none", stderr);
}

static void show(int kind, int64_t v)
{
    static const char *const events[] = { "READABLE", "WRITABLE", "SENT", "CLOSED", "HANGUP", "WOKEN", NULL };
    static const char *const interest[] = { "READ", NULL };
    static const char *const reasons[] = { "preempted", "waits", "ended" };
    const char *name;

    if (kind == EVENTS)
        show_bits(v, events);
    else if (kind == INTEREST)
        show_bits(v, interest);
    else if (kind == REASON && v >= 0 && v < 3)
        fputs(reasons[v], stderr);
    else if (kind == THREAD)
        fprintf(stderr, "t%lld %s", (long long)v, gnp_sim_thread_name((unsigned)v));
    else if (kind == YES)
        fputs(v ? "OK" : "none", stderr);
    else if (kind == CODE && (name = code_name(v)) != NULL)
        fputs(name, stderr);
    else
        fprintf(stderr, "%lld", (long long)v);
}

static void show_call(const call *c, int64_t a, int64_t b, int64_t result)
{
    int64_t v[2];
    int i;

    v[0] = a;
    v[1] = b;
    for (i = 0; i < 2; i++) {
        if (c->label[i] == NULL)
            continue;
        fprintf(stderr, " %s ", c->label[i]);
        show(c->kind[i], v[i]);
    }
    if (c->result == 0)
        return;
    fputs(": ", stderr);
    show(c->result, result);
}

void gnp_sim_trace(const char *name, int64_t a, int64_t b, int64_t result)
{
    const call *c = result != SIM_NOTE ? call_of(name) : NULL;

    uint64_t at = sim.now - SIM_START_NS;

    fprintf(stderr, "%9llu.%03u us  t%-2u %-12s ", (unsigned long long)(at / 1000), (unsigned)(at % 1000),
            gnp_sim_self(), gnp_sim_thread_name(gnp_sim_self()));
    fprintf(stderr, result != SIM_NOTE ? "%-12s" : "* %-10s", name);
    if (c != NULL)
        show_call(c, a, b, result);
    else if (result == SIM_NOTE)
        fprintf(stderr, " %lld %lld", (long long)a, (long long)b);
    else
        fprintf(stderr, " %lld %lld: %lld", (long long)a, (long long)b, (long long)result);
    fputc('\n', stderr);
}
