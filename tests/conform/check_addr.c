/* SPDX-License-Identifier: MIT */
#include "conform.h"

START_TEST(numeric_addresses)
{
    static const struct { const char *text, *back; int family; } good[] = {
        { "127.0.0.1", "127.0.0.1", 4 },
        { "0.0.0.0", "0.0.0.0", 4 },
        { "255.255.255.255", "255.255.255.255", 4 },
        { "::", "::", 6 },
        { "::1", "::1", 6 },
        { "2001:DB8:0:0:0:0:0:1", "2001:db8::1", 6 },
        { "::ffff:1.2.3.4", "::ffff:1.2.3.4", 6 },
        { "fe80::1:2:3:4", "fe80::1:2:3:4", 6 },
        { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 6 },
    };
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[GNP_IP_TEXT_MAX];
        gnp_addr a;
        memset(&a, 0xdd, sizeof(a));
        ck_assert_int_eq(gnp_ip_parse(good[i].text, &a), GNP_OK);
        ck_assert_int_eq(a.family, good[i].family);
        ck_assert_int_eq(a.port, 0);
        ck_assert_uint_eq(a.scope, 0);
        gnp_ip_format(&a, text);
        ck_assert_str_eq(text, good[i].back);
    }
}
END_TEST

START_TEST(bytes_are_in_network_order)
{
    gnp_addr a;

    ck_assert_int_eq(gnp_ip_parse("1.2.3.4", &a), GNP_OK);
    ck_assert(memcmp(a.u.ip, "\1\2\3\4", 4) == 0);
    ck_assert_int_eq(gnp_ip_parse("102:304::f", &a), GNP_OK);
    ck_assert(memcmp(a.u.ip, "\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0\x0f", 16) == 0);
}
END_TEST

START_TEST(malformed_addresses)
{
    static const char *const bad[] = {
        "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4",
        "localhost", ":", ":::", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::g", "[::1]",
        "::1%", "::1%no-such-interface", "1.2.3.4%1", "%1", "::%%", "::1 ", "::1%99999999999999999999",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", "1.2.3.4:80",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
    };
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        gnp_addr a;
        ck_assert_msg(gnp_ip_parse(bad[i], &a) == GNP_EADDR, "\"%s\" was taken", bad[i]);
        ck_assert_int_eq(a.family, GNP_FAMILY_NONE);
    }
}
END_TEST

START_TEST(zones)
{
    char text[GNP_IP_TEXT_MAX], again[GNP_IP_TEXT_MAX];
    gnp_addr a, b;

    ck_assert_int_eq(gnp_ip_parse("fe80::1%1", &a), GNP_OK);
    ck_assert_uint_eq(a.scope, 1);
    gnp_ip_format(&a, text); /* with the interface's name if it has one */
    ck_assert_ptr_nonnull(strchr(text, '%'));
    ck_assert_int_eq(gnp_ip_parse(text, &b), GNP_OK);
    ck_assert_uint_eq(b.scope, 1);
    gnp_ip_format(&b, again);
    ck_assert_str_eq(text, again);
    ck_assert_int_eq(gnp_ip_parse("fe80::1%4000000000", &a), GNP_OK); /* none has this number */
    ck_assert_uint_eq(a.scope, 4000000000u);
    gnp_ip_format(&a, text);
    ck_assert_str_eq(text, "fe80::1%4000000000");
    memset(&a, 0, sizeof(a));
    gnp_ip_format(&a, text);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(resolving)
{
    gnp_addr a[8];
    int i, n;

    n = gnp_resolve("127.0.0.1", 0, a, 8);
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(a[0].family, 4);
    ck_assert(memcmp(a[0].u.ip, "\x7f\0\0\1", 4) == 0);
    ck_assert_int_eq(a[0].port, 0);
    ck_assert_int_eq(gnp_resolve("::1", 0, a, 8), 1);
    ck_assert_int_eq(a[0].family, 6);
    ck_assert_int_eq(gnp_resolve("::1", 4, a, 8), GNP_EADDR);
    ck_assert_int_eq(gnp_resolve("127.0.0.1", 6, a, 8), GNP_EADDR);
    n = gnp_resolve("localhost", 4, a, 8);
    ck_assert_int_ge(n, 1);
    for (i = 0; i < n; i++) {
        ck_assert_int_eq(a[i].family, 4);
        ck_assert_int_eq(a[i].u.ip[0], 127);
    }
    n = gnp_resolve("localhost", 0, a, 1);
    ck_assert_int_eq(n, 1);
    for (i = 0; i < 4; i++) { /* RFC 6761: whatever a file or a server says */
        static const char *const ours[] = { "LocalHost", "localhost.", "a.test.localhost", "a.LOCALHOST." };
        n = gnp_resolve(ours[i], 4, a, 8);
        ck_assert_int_eq(n, 1);
        ck_assert(memcmp(a[0].u.ip, "\x7f\0\0\1", 4) == 0);
        n = gnp_resolve(ours[i], 6, a, 8);
        ck_assert(n == GNP_EADDR || (n == 1 && a[0].family == 6 && a[0].u.ip[15] == 1));
        n = gnp_resolve(ours[i], 0, a, 8);
        ck_assert(n == 1 || n == 2);
        ck_assert_int_eq(a[n - 1].family, 4);
    }
    ck_assert_int_eq(gnp_resolve(".localhost", 0, a, 8), GNP_EADDR);
    ck_assert_int_eq(gnp_resolve("no such host", 0, a, 8), GNP_EADDR);
    ck_assert_int_eq(gnp_resolve("..", 0, a, 8), GNP_EADDR);
}
END_TEST

Suite *suite_addr(void)
{
    Suite *s = suite_create("addr");

    ADD_TEST(s, numeric_addresses);
    ADD_TEST(s, bytes_are_in_network_order);
    ADD_TEST(s, malformed_addresses);
    ADD_TEST(s, zones);
    ADD_TEST(s, resolving);
    return s;
}
