/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "lib/addr.h"
#include "lib/dial.h"

static void make(gnp_addr *a, const char *families)
{
    for (unsigned i = 0; families[i] != '\0'; i++) {
        memset(&a[i], 0, sizeof(a[i]));
        a[i].family = (uint8_t)(families[i] - '0');
        a[i].port = (uint16_t)(i + 1); /* where it stood */
    }
}

/* Families take turns, IPv6 first; within one the resolver's order stays; other families are left out. */
START_TEST(order)
{
    static const struct { const char *in; int cap; const char *out; } cases[] = {
        { "", 16, "" },
        { "4", 16, "1" },
        { "6", 16, "1" },
        { "46", 16, "21" },
        { "64", 16, "12" },
        { "446644", 16, "314256" },
        { "666664", 16, "162345" },
        { "666664", 3, "162" },
        { "444", 2, "12" },
        { "164", 16, "23" },
        { "1", 16, "" },
        { "46", 0, "" },
    };
    gnp_addr in[16], out[16];
    int n = (int)strlen(cases[_i].out);

    make(in, cases[_i].in);
    ck_assert_int_eq(gni_dial_order(in, (int)strlen(cases[_i].in), out, cases[_i].cap), n);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(out[i].port, cases[_i].out[i] - '0');
}
END_TEST

/* What can be dialled, without asking a resolver. */
START_TEST(targets)
{
    static const struct { const char *text; int status; const char *host, *addr; int any; } cases[] = {
        { "tcp://127.0.0.1:80", GN_OK, "", "127.0.0.1:80", 0 },
        { "127.0.0.1:80", GN_OK, "", "127.0.0.1:80", 0 },
        { "udp6://[fe00::1]:5", GN_OK, "", "[fe00::1]:5", 0 },
        { "tcp://Some-Host.example.:443", GN_OK, "Some-Host.example.", NULL, 0 },
        { "tcp4://:7", GN_OK, "", "127.0.0.1:7", 0 },
        { "tcp4://*:7", GN_OK, "", "127.0.0.1:7", 0 },
        { "tcp6://*:7", GN_OK, "", "[::1]:7", 0 },
        { "tcp://0.0.0.0:7", GN_OK, "", "127.0.0.1:7", 0 },
        { "tcp6://[::]:7", GN_OK, "", "[::1]:7", 0 },
        { "tcp://[::]:7", GN_OK, "", "[::1]:7", 1 }, /* as gn_engine_url tells of a server for both */
        { "unix:///tmp/x", GN_OK, "", "unix:/tmp/x", 0 },
        { "tcp://127.0.0.1:0", GN_EADDR, NULL, NULL, 0 },
        { "tcp://name:0", GN_EADDR, NULL, NULL, 0 },
        { "tcp://name", GN_EADDR, NULL, NULL, 0 },
        { "tcp4://[::1]:80", GN_EADDR, NULL, NULL, 0 },
        { "sctp://name:80", GN_ESCHEME, NULL, NULL, 0 },
        { NULL, GN_EINVAL, NULL, NULL, 0 },
    };
    char host[GNI_HOST_MAX + 1], text[GN_ADDR_TEXT_MAX];
    gni_endpoint ep;
    gn_addr a;

    ck_assert_int_eq(gni_target_parse(cases[_i].text, &ep, host), cases[_i].status);
    if (cases[_i].status != GN_OK)
        return;
    ck_assert_str_eq(host, cases[_i].host);
    ck_assert_int_eq(ep.any, cases[_i].any);
    if (cases[_i].addr != NULL) {
        gni_addr_set(&a, &ep.addr);
        gn_addr_format(&a, text, sizeof(text));
        ck_assert_str_eq(text, cases[_i].addr);
    } else {
        ck_assert_int_eq(ep.addr.port, 443);
    }
}
END_TEST

START_TEST(longest_name)
{
    char url[300], host[GNI_HOST_MAX + 1];
    gni_endpoint ep;

    for (unsigned n = 250; n <= 256; n++) {
        memcpy(url, "tcp://", 6);
        for (unsigned i = 0; i < n; i++)
            url[6 + i] = i % 60 == 59 ? '.' : 'a';
        memcpy(url + 6 + n, ":80", 4);
        ck_assert_int_eq(gni_target_parse(url, &ep, host), n <= GNI_HOST_MAX ? GN_OK : GN_EADDR);
        if (n <= GNI_HOST_MAX)
            ck_assert_uint_eq(strlen(host), n);
    }
}
END_TEST

START_TEST(options)
{
    gn_dial_options in, out;
    static const struct { uint64_t in, out; } delays[] = {
        { 0, 250 }, { 1, 10 }, { 10, 10 }, { 300, 300 }, { 2000, 2000 }, { 9999, 2000 },
    };
    const uint64_t ms = 1000000;
    struct {
        gn_dial_options o;
        unsigned char more[32];
    } newer;

    ck_assert_int_eq(gni_dial_options_take(&out, NULL), GN_OK);
    ck_assert_uint_eq(out.timeout_ns, 10000 * ms);
    ck_assert_uint_eq(out.attempt_delay_ns, 250 * ms);
    gn_dial_options_init(&in);
    for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        in.attempt_delay_ns = delays[i].in * ms;
        ck_assert_int_eq(gni_dial_options_take(&out, &in), GN_OK);
        ck_assert_uint_eq(out.attempt_delay_ns, delays[i].out * ms);
    }
    in.timeout_ns = 0;
    ck_assert_int_eq(gni_dial_options_take(&out, &in), GN_OK);
    ck_assert_uint_eq(out.timeout_ns, 10000 * ms);

    /* A program of an older header: the rest is the default. */
    memset(&in, 0xff, sizeof(in));
    gn_dial_options_init_sized(&in, offsetof(gn_dial_options, timeout_ns));
    ck_assert_uint_eq(in.timeout_ns, UINT64_MAX); /* not touched */
    ck_assert_int_eq(gni_dial_options_take(&out, &in), GN_OK);
    ck_assert_uint_eq(out.timeout_ns, 10000 * ms);
    ck_assert_ptr_null(out.local);
    gn_dial_options_init_sized(NULL, 8);

    /* And one of a newer one: what we do not know of is zero. */
    memset(&newer, 0xff, sizeof(newer));
    gn_dial_options_init_sized(&newer.o, sizeof(newer));
    ck_assert_uint_eq(newer.more[0] + newer.more[31], 0);
    ck_assert_int_eq(gni_dial_options_take(&out, &newer.o), GN_OK);
    ck_assert_uint_eq(out.timeout_ns, 10000 * ms);
}
END_TEST

Suite *suite_dial(void)
{
    Suite *s = suite_create("dial");
    TCase *t = tcase_create("dial");

    tcase_add_loop_test(t, order, 0, 12);
    tcase_add_loop_test(t, targets, 0, 17);
    tcase_add_test(t, longest_name);
    tcase_add_test(t, options);
    suite_add_tcase(s, t);
    return s;
}
