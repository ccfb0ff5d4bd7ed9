/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/options.h"
#include "platform/cpu.h"

#define MIB ((size_t)1 << 20)

static void quiet(void)
{
    gn_log_set_level(GN_LOG_OFF);
}

static void loud(void)
{
    gn_log_set_level(GN_LOG_WARN);
}

static gn_options initial(void)
{
    gn_options o;

    memset(&o, 0xa5, sizeof o);
    gn_options_init(&o);
    return o;
}

START_TEST(defaults)
{
    gn_options o, none, in = initial();

    ck_assert_uint_eq(in.size, sizeof in);
    ck_assert_int_eq(gni_options_take(&none, NULL), GN_OK);
    ck_assert_int_eq(gni_options_take(&o, &in), GN_OK);
    ck_assert(memcmp(&o, &none, offsetof(gn_options, idle_timeout_ns)) == 0);
    ck_assert_uint_ge(o.loops, 1);
    ck_assert_uint_le(o.loops, GN_MAX_LOOPS);
    ck_assert(o.loops == gnp_cpu_count() || o.loops == GN_MAX_LOOPS);
    ck_assert_int_eq(o.lb, GN_LB_ROUND_ROBIN);
    ck_assert(o.poller == NULL);
    ck_assert_int_eq(o.poller_fallback, 0);
    ck_assert_int_eq(o.reuseport, 0);
    ck_assert_int_eq(o.reuseaddr, 1);
    ck_assert_int_eq(o.edge_triggered, 0);
    ck_assert_int_eq(o.tcp_nodelay, 1);
    ck_assert_int_eq(o.pin_threads, 0);
    ck_assert_int_eq(o.stop_on_signals, 0);
    ck_assert_int_eq(o.backlog, 0);
    ck_assert_uint_eq(o.keepalive_s, 0);
    ck_assert_uint_eq(o.keepalive_intvl_s, 1);
    ck_assert_uint_eq(o.keepalive_count, 5);
    ck_assert_uint_eq(o.recv_buffer, 0);
    ck_assert_uint_eq(o.send_buffer, 0);
    ck_assert_uint_eq(o.read_buffer, 65536);
    ck_assert_uint_eq(o.edge_chunk, MIB);
    ck_assert_uint_eq(o.inbound_max, MIB);
    ck_assert_uint_eq(o.outbound_max, 64 * MIB);
    ck_assert_uint_eq(o.outbound_high, MIB);
    ck_assert_uint_eq(o.close_timeout_ns, UINT64_C(30000000000));
    ck_assert_uint_eq(o.linger_ns, UINT64_C(2000000000));
    ck_assert_uint_eq(o.drain_ns, UINT64_C(5000000000));
    ck_assert_uint_eq(o.idle_timeout_ns, 0);
}
END_TEST

/* init touches size bytes and no more, whatever the size; one byte on either side tells. */
START_TEST(init_keeps_to_its_size)
{
    const size_t most = sizeof(gn_options) + 64;
    const gn_options whole = initial();

    gn_options_init_sized(NULL, sizeof(gn_options));
    for (size_t size = 0; size <= most; size++) {
        unsigned char *p = malloc(most + 16);
        gn_options *o = (gn_options *)(void *)p;
        size_t known = size < sizeof whole ? size : sizeof whole;

        ck_assert(p != NULL);
        memset(p, 0xa5, most + 16);
        gn_options_init_sized(o, size);
        if (size >= sizeof size) {
            ck_assert_uint_eq(o->size, size);
            ck_assert(memcmp(p + sizeof size, (const unsigned char *)&whole + sizeof size,
                             known - sizeof size) == 0);
        }
        for (size_t i = sizeof whole; i < size; i++)
            ck_assert_uint_eq(p[i], 0);
        for (size_t i = size; i < most + 16; i++)
            ck_assert_uint_eq(p[i], 0xa5);
        free(p);
    }
}
END_TEST

START_TEST(every_size_is_judged)
{
    const size_t align = _Alignof(gn_options);
    size_t most = 8192;
    unsigned char *p = malloc(most);
    gn_options *in = (gn_options *)(void *)p, out;

    ck_assert(p != NULL);
    quiet();
    for (size_t size = 0; size <= most; size++) {
        int fits = size >= sizeof size && size <= 4096 && size % align == 0;

        memset(p, 0, most);
        gn_options_init_sized(in, size);
        in->size = size;
        if (size >= offsetof(gn_options, reuseport))
            in->loops = 3;
        ck_assert_int_eq(gni_options_take(&out, in), fits ? GN_OK : GN_EINVAL);
        if (!fits)
            continue;
        ck_assert_uint_eq(out.size, sizeof out);
        if (size >= offsetof(gn_options, reuseport))
            ck_assert_uint_eq(out.loops, 3);
        /* What the caller's header did not have is at its default. */
        ck_assert_uint_eq(out.drain_ns, UINT64_C(5000000000));
        ck_assert_uint_eq(out.read_buffer, 65536);
        if (size > sizeof out) {
            p[size - 1] = 1;
            ck_assert_int_eq(gni_options_take(&out, in), GN_EINVAL);
            p[size - 1] = 0;
            p[sizeof out] = 1;
            ck_assert_int_eq(gni_options_take(&out, in), GN_EINVAL);
        }
    }
    loud();
    free(p);
}
END_TEST

/* An older caller's struct ends where its memory ends: valgrind and ASan see a read beyond. */
START_TEST(an_older_struct_is_not_read_beyond)
{
    /* A struct has its padding, which 64-bit members want on some 32-bit CPUs. */
    const size_t align = _Alignof(gn_options);
    size_t size = (offsetof(gn_options, recv_buffer) + align - 1) / align * align;
    gn_options *in = malloc(size), out;
    int backlog = 77;

    ck_assert(in != NULL);
    gn_options_init_sized(in, size);
    /* Not in->backlog: gcc sees that the struct is cut short, and warns. */
    memcpy((char *)in + offsetof(gn_options, backlog), &backlog, sizeof backlog);
    ck_assert_int_eq(gni_options_take(&out, in), GN_OK);
    ck_assert_int_eq(out.backlog, 77);
    ck_assert_uint_eq(out.outbound_max, 64 * MIB);
    free(in);
}
END_TEST

#define TRY(field, value, result) \
    do { \
        gn_options in_ = initial(), out_; \
        in_.field = (value); \
        ck_assert_msg(gni_options_take(&out_, &in_) == (result), "%s = %s", #field, #value); \
    } while (0)

START_TEST(absurd_values_are_refused)
{
    quiet();
    TRY(loops, GN_MAX_LOOPS, GN_OK);
    TRY(loops, GN_MAX_LOOPS + 1, GN_EINVAL);
    TRY(loops, UINT_MAX, GN_EINVAL);
    TRY(lb, GN_LB_SOURCE_HASH, GN_OK);
    TRY(lb, (gn_lb)5, GN_EINVAL);
    TRY(lb, (gn_lb)-1, GN_EINVAL);
    TRY(poller_fallback, 2, GN_EINVAL);
    TRY(reuseport, -1, GN_EINVAL);
    TRY(reuseaddr, 2, GN_EINVAL);
    TRY(edge_triggered, 4096, GN_EINVAL);
    TRY(tcp_nodelay, -1, GN_EINVAL);
    TRY(pin_threads, 7, GN_EINVAL);
    TRY(stop_on_signals, INT_MIN, GN_EINVAL);
    TRY(backlog, 0, GN_OK);
    TRY(backlog, INT_MAX, GN_OK);
    TRY(backlog, -1, GN_EINVAL);
    TRY(keepalive_s, 32767, GN_OK);
    TRY(keepalive_s, 32768, GN_EINVAL);
    TRY(keepalive_intvl_s, 32768, GN_EINVAL);
    TRY(keepalive_count, 127, GN_OK);
    TRY(keepalive_count, 128, GN_EINVAL);
    TRY(recv_buffer, 1024 * MIB, GN_OK);
    TRY(recv_buffer, 1024 * MIB + 1, GN_EINVAL);
    TRY(send_buffer, SIZE_MAX, GN_EINVAL);
    TRY(read_buffer, 1024, GN_OK);
    TRY(read_buffer, 1023, GN_EINVAL);
    TRY(read_buffer, 1024 * MIB, GN_OK);
    TRY(read_buffer, 1024 * MIB + 1, GN_EINVAL);
    TRY(read_buffer, SIZE_MAX, GN_EINVAL);
    TRY(edge_chunk, 1023, GN_EINVAL);
    TRY(edge_chunk, SIZE_MAX, GN_EINVAL);
    TRY(outbound_high, 64 * MIB, GN_OK);
    TRY(outbound_high, 64 * MIB + 1, GN_EINVAL);
    TRY(outbound_max, SIZE_MAX, GN_OK);
    TRY(inbound_max, SIZE_MAX, GN_OK);
    TRY(close_timeout_ns, UINT64_MAX, GN_OK);
    loud();
}
END_TEST

static gn_options taken(const gn_options *in)
{
    gn_options out;

    ck_assert_int_eq(gni_options_take(&out, in), GN_OK);
    return out;
}

START_TEST(values_are_made_whole)
{
    static const char name[] = "epoll";
    gn_options in = initial(), o;

    in.poller = name;
    in.keepalive_s = 60;
    in.read_buffer = 5000;
    in.close_timeout_ns = in.linger_ns = in.drain_ns = in.idle_timeout_ns = UINT64_MAX;
    in.inbound_max = in.outbound_max = SIZE_MAX;
    o = taken(&in);
    ck_assert(o.poller == name);
    ck_assert_uint_eq(o.keepalive_intvl_s, 12);
    ck_assert_uint_eq(o.read_buffer, 8192);
    /* Sums with these must not wrap. */
    ck_assert_uint_eq(o.close_timeout_ns, UINT64_C(1) << 62);
    ck_assert_uint_eq(o.linger_ns, UINT64_C(1) << 62);
    ck_assert_uint_eq(o.drain_ns, UINT64_C(1) << 62);
    ck_assert_uint_eq(o.idle_timeout_ns, UINT64_C(1) << 62);
    ck_assert_uint_eq(o.inbound_max, SIZE_MAX / 2);
    ck_assert_uint_eq(o.outbound_max, SIZE_MAX / 2);

    in = initial();
    in.keepalive_s = 3;
    in.read_buffer = in.edge_chunk = in.inbound_max = in.outbound_max = in.outbound_high = 0;
    in.close_timeout_ns = 0;
    o = taken(&in);
    ck_assert_uint_eq(o.keepalive_intvl_s, 1);
    ck_assert_uint_eq(o.read_buffer, 65536);
    ck_assert_uint_eq(o.edge_chunk, MIB);
    ck_assert_uint_eq(o.inbound_max, MIB);
    ck_assert_uint_eq(o.outbound_max, 64 * MIB);
    ck_assert_uint_eq(o.outbound_high, MIB);
    ck_assert_uint_eq(o.close_timeout_ns, 0);

    /* Only outbound_max was lowered: the other's default follows. */
    in = initial();
    in.outbound_max = 65536;
    o = taken(&in);
    ck_assert_uint_eq(o.outbound_high, 65536);

    /* One read is no more than a turn's chunk, when there are chunks. */
    in = initial();
    in.edge_chunk = 5000;
    o = taken(&in);
    ck_assert_uint_eq(o.read_buffer, 65536);
    in.edge_triggered = 1;
    o = taken(&in);
    ck_assert_uint_eq(o.edge_chunk, 5000);
    ck_assert_uint_eq(o.read_buffer, 4096);
}
END_TEST

Suite *suite_options(void)
{
    Suite *s = suite_create("options");
    TCase *t = tcase_create("options");

    tcase_add_test(t, defaults);
    tcase_add_test(t, init_keeps_to_its_size);
    tcase_add_test(t, every_size_is_judged);
    tcase_add_test(t, an_older_struct_is_not_read_beyond);
    tcase_add_test(t, absurd_values_are_refused);
    tcase_add_test(t, values_are_made_whole);
    suite_add_tcase(s, t);
    return s;
}
