/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <string.h>

#include "../platform/cpu.h"
#include "log.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND UINT64_C(1000000000)

#define READ_BUFFER (64 * KIB)
#define EDGE_CHUNK MIB
#define INBOUND_MAX MIB
#define OUTBOUND_MAX (64 * MIB)
#define OUTBOUND_HIGH MIB
#define POST_MAX (64 * MIB)
#define SPIN_US_MAX 1000000u

/* A size beyond this is not a newer header but a struct that nobody initialised. */
#define OPTIONS_SIZE_MAX 4096u

/* Linux: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT of include/net/tcp.h; no
 * system known takes less. */
#define KEEPALIVE_SECONDS_MAX 32767u
#define KEEPALIVE_COUNT_MAX 127u

/* Permissions for owner, group and others (POSIX); a socket has no use for the bits above. */
#define UNIX_MODE_MAX 0777u

/* 146 years: "for ever", and still no overflow when the time of day is added. */
#define DURATION_MAX (UINT64_C(1) << 62)

static void defaults(gn_options *o)
{
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
    o->lb = GN_LB_ROUND_ROBIN;
    o->reuseaddr = 1;
    o->tcp_nodelay = 1;
    o->read_buffer = READ_BUFFER;
    o->edge_chunk = EDGE_CHUNK;
    o->inbound_max = INBOUND_MAX;
    o->outbound_max = OUTBOUND_MAX;
    o->outbound_high = OUTBOUND_HIGH;
    o->close_timeout_ns = 30 * SECOND;
    o->linger_ns = 2 * SECOND;
    o->drain_ns = 5 * SECOND;
}

static void listen_defaults(gn_listen_options *o)
{
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
    o->v6only = -1;
}

void gni_options_fill(void *out, size_t size, const void *all, size_t known)
{
    /* The part that only a newer header knows: zero is what this library does anyway. */
    if (size > known)
        memset((unsigned char *)out + known, 0, size - known);
    memcpy(out, all, size < known ? size : known);
}

void gn_options_init_sized(gn_options *o, size_t size)
{
    gn_options all;

    if (o == NULL)
        return;
    defaults(&all);
    all.size = size;
    gni_options_fill(o, size, &all, sizeof all);
}

void gn_listen_options_init_sized(gn_listen_options *o, size_t size)
{
    gn_listen_options all;

    if (o == NULL)
        return;
    listen_defaults(&all);
    all.size = size;
    gni_options_fill(o, size, &all, sizeof all);
}

static int refuse(const char *why)
{
    gni_log(GN_LOG_ERROR, "options: %s", why);
    return GN_EINVAL;
}

static int all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return 0;
    }
    return 1;
}

int gni_options_copy(void *out, size_t known, const void *in)
{
    size_t size;

    memcpy(&size, in, sizeof size);
    if (size < sizeof size || size > OPTIONS_SIZE_MAX || size % _Alignof(uint64_t) != 0)
        return refuse("size is wrong: call the init function first");
    if (size > known && !all_zero((const unsigned char *)in + known, size - known))
        return refuse("they ask for something that is newer than this library");
    memcpy(out, in, size < known ? size : known);
    memcpy(out, &known, sizeof known);
    return GN_OK;
}

static int check_flags(const gn_options *o)
{
    const int flags[] = {
        o->poller_fallback, o->reuseport, o->reuseaddr, o->edge_triggered,
        o->tcp_nodelay, o->pin_threads, o->stop_on_signals, o->reuseport_cpu
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i] != 0 && flags[i] != 1)
            return refuse("a switch is neither 0 nor 1");
    }
    return GN_OK;
}

static int take_loops(gn_options *o)
{
    if (o->loops > GN_MAX_LOOPS)
        return refuse("loops is above GN_MAX_LOOPS");
    if (o->loops == 0) {
        o->loops = gnp_cpu_count();
        if (o->loops > GN_MAX_LOOPS)
            o->loops = GN_MAX_LOOPS;
    }
    if ((int)o->lb < (int)GN_LB_ROUND_ROBIN || (int)o->lb > (int)GN_LB_USER)
        return refuse("lb is not a gn_lb");
    if (o->lb == GN_LB_USER && o->lb_fn == NULL)
        return refuse("GN_LB_USER without lb_fn");
    if (o->overload != GN_OVERLOAD_WAIT && o->overload != GN_OVERLOAD_REFUSE)
        return refuse("overload is not a gn_overload");
    if (o->spin_us > SPIN_US_MAX)
        return refuse("spin_us is above a second");
    return GN_OK;
}

static int take_socket(gn_options *o)
{
    if (o->backlog < 0)
        return refuse("backlog is negative");
    if (o->recv_buffer > GIB || o->send_buffer > GIB)
        return refuse("recv_buffer or send_buffer is above 1 GiB");
    if (o->keepalive_s > KEEPALIVE_SECONDS_MAX || o->keepalive_intvl_s > KEEPALIVE_SECONDS_MAX)
        return refuse("a keep-alive time is above 32767 seconds");
    if (o->keepalive_count > KEEPALIVE_COUNT_MAX)
        return refuse("keepalive_count is above 127");
    if (o->keepalive_intvl_s == 0)
        o->keepalive_intvl_s = o->keepalive_s >= 5 ? o->keepalive_s / 5 : 1;
    if (o->keepalive_count == 0)
        o->keepalive_count = 5;
    return GN_OK;
}

/* The next power of two, for sizes that were checked to have one. */
static size_t round_up(size_t n)
{
    size_t p = KIB;

    while (p < n)
        p *= 2;
    return p;
}

static int take_reading(gn_options *o)
{
    if (o->read_buffer == 0)
        o->read_buffer = READ_BUFFER;
    if (o->edge_chunk == 0)
        o->edge_chunk = EDGE_CHUNK;
    if (o->inbound_max == 0)
        o->inbound_max = INBOUND_MAX;
    if (o->read_buffer < KIB || o->read_buffer > GIB)
        return refuse("read_buffer is not within 1 KiB and 1 GiB");
    if (o->edge_chunk < KIB || o->edge_chunk > GIB)
        return refuse("edge_chunk is not within 1 KiB and 1 GiB");
    o->read_buffer = round_up(o->read_buffer);
    /* A turn reads at most a chunk, hence so does one read. */
    while (o->edge_triggered && o->read_buffer > o->edge_chunk)
        o->read_buffer /= 2;
    if (o->inbound_max > SIZE_MAX / 2)
        o->inbound_max = SIZE_MAX / 2;
    return GN_OK;
}

static int take_writing(gn_options *o)
{
    if (o->outbound_max == 0)
        o->outbound_max = OUTBOUND_MAX;
    if (o->outbound_high == 0)
        o->outbound_high = OUTBOUND_HIGH;
    if (o->outbound_max > SIZE_MAX / 2)
        o->outbound_max = SIZE_MAX / 2;
    if (o->outbound_high > o->outbound_max) {
        /* Who lowers outbound_max only must not trip over the default of the other. */
        if (o->outbound_high != OUTBOUND_HIGH)
            return refuse("outbound_high is above outbound_max");
        o->outbound_high = o->outbound_max;
    }
    if (o->outbound_low == 0)
        o->outbound_low = o->outbound_high / 2;
    if (o->outbound_low > o->outbound_high)
        return refuse("outbound_low is above outbound_high");
    if (o->post_max == 0)
        o->post_max = POST_MAX;
    return GN_OK;
}

static void take_times(gn_options *o)
{
    uint64_t *const times[] = { &o->close_timeout_ns, &o->linger_ns, &o->drain_ns, &o->idle_timeout_ns,
                                &o->stall_ns };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (*times[i] > DURATION_MAX)
            *times[i] = DURATION_MAX;
    }
}

int gni_options_take(gn_options *out, const gn_options *in)
{
    int e;

    defaults(out);
    if (in != NULL && (e = gni_options_copy(out, sizeof *out, in)) != GN_OK)
        return e;
    if ((e = check_flags(out)) != GN_OK || (e = take_loops(out)) != GN_OK ||
        (e = take_socket(out)) != GN_OK || (e = take_reading(out)) != GN_OK ||
        (e = take_writing(out)) != GN_OK)
        return e;
    take_times(out);
    return GN_OK;
}

int gni_listen_options_take(gn_listen_options *out, const gn_listen_options *in)
{
    int e;

    listen_defaults(out);
    if (in != NULL && (e = gni_options_copy(out, sizeof *out, in)) != GN_OK)
        return e;
    if (out->backlog < 0)
        return refuse("backlog is negative");
    if (out->v6only < -1 || out->v6only > 1)
        return refuse("v6only is not -1, 0 or 1");
    if (out->unix_mode > UNIX_MODE_MAX)
        return refuse("unix_mode is above 0777");
    if (out->opt_count > 0 && out->opts == NULL)
        return refuse("opt_count without opts");
    return GN_OK;
}
