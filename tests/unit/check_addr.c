/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "platform/sock.h"

#define NAME_OF_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Parsed and written again: the second text, or the code. */
static const struct { const char *text; int code; const char *again; } numeric[] = {
    { "127.0.0.1:80", GN_OK, "tcp://127.0.0.1:80" },
    { "tcp://127.0.0.1:80", GN_OK, "tcp://127.0.0.1:80" },
    { "TCP4://255.255.255.255:65535", GN_OK, "tcp4://255.255.255.255:65535" },
    { "udp://0.0.0.0:0", GN_OK, "udp://0.0.0.0:0" },
    { "udp4://10.1.2.3:00053", GN_OK, "udp4://10.1.2.3:53" },
    { "[::1]:80", GN_OK, "tcp://[::1]:80" },
    { "tcp6://[::1]:80", GN_OK, "tcp6://[::1]:80" },
    { "udp6://[2001:db8::1]:9", GN_OK, "udp6://[2001:db8::1]:9" },
    { "tcp6://[::ffff:1.2.3.4]:9", GN_OK, NULL },
    { "tcp://[::]:9", GN_OK, "tcp://[::]:9" },
    /* unknown schemes */
    { "http://127.0.0.1:80", GN_ESCHEME, NULL },
    { "tcp5://127.0.0.1:80", GN_ESCHEME, NULL },
    { "://127.0.0.1:80", GN_ESCHEME, NULL },
    { " tcp://127.0.0.1:80", GN_ESCHEME, NULL },
    { "unixgram:///tmp/x", GN_ESCHEME, NULL },
    /* the wrong family */
    { "tcp4://[::1]:80", GN_EADDR, NULL },
    { "udp4://[::1]:80", GN_EADDR, NULL },
    { "tcp6://127.0.0.1:80", GN_EADDR, NULL },
    { "udp6://127.0.0.1:80", GN_EADDR, NULL },
    /* ports */
    { "127.0.0.1", GN_EADDR, NULL },
    { "127.0.0.1:", GN_EADDR, NULL },
    { "127.0.0.1:65536", GN_EADDR, NULL },
    { "127.0.0.1:99999", GN_EADDR, NULL },
    { "127.0.0.1:000080", GN_EADDR, NULL },
    { "127.0.0.1:4294967376", GN_EADDR, NULL },
    { "127.0.0.1:+80", GN_EADDR, NULL },
    { "127.0.0.1:-1", GN_EADDR, NULL },
    { "127.0.0.1: 80", GN_EADDR, NULL },
    { "127.0.0.1:80 ", GN_EADDR, NULL },
    { "127.0.0.1:80/", GN_EADDR, NULL },
    { "127.0.0.1:8O", GN_EADDR, NULL },
    { "127.0.0.1:0x50", GN_EADDR, NULL },
    { "127.0.0.1:http", GN_EADDR, NULL },
    { "127.0.0.1:80:80", GN_EADDR, NULL },
    /* hosts */
    { "", GN_EADDR, NULL },
    { "tcp://", GN_EADDR, NULL },
    { "tcp:127.0.0.1:80", GN_EADDR, NULL },
    { "tcp:/127.0.0.1:80", GN_EADDR, NULL },
    { "tcp:///127.0.0.1:80", GN_EADDR, NULL },
    { "tcp://tcp://127.0.0.1:80", GN_EADDR, NULL },
    { "tcp://user@127.0.0.1:80", GN_EADDR, NULL },
    { "::1:80", GN_EADDR, NULL },
    { "::1", GN_EADDR, NULL },
    { "[::1]", GN_EADDR, NULL },
    { "[::1]80", GN_EADDR, NULL },
    { "[::1:80", GN_EADDR, NULL },
    { "[::1]]:80", GN_EADDR, NULL },
    { "[[::1]]:80", GN_EADDR, NULL },
    { "[]:80", GN_EADDR, NULL },
    { "[*]:80", GN_EADDR, NULL },
    { "[127.0.0.1]:80", GN_EADDR, NULL },
    { "[localhost]:80", GN_EADDR, NULL },
    { "[:::1]:80", GN_EADDR, NULL },
    { "[1:2:3:4:5:6:7:8:9]:80", GN_EADDR, NULL },
    { "[12345::]:80", GN_EADDR, NULL },
    { "[::1%]:80", GN_EADDR, NULL },
    { "[fe80::1%no/such-interface]:80", GN_EADDR, NULL },
    { "[" NAME_OF_63 NAME_OF_63 "::]:80", GN_EADDR, NULL },
    { "**:80", GN_EADDR, NULL },
    { "*.*:80", GN_EADDR, NULL },
    { "127.0.0.1 :80", GN_EADDR, NULL },
    { " 127.0.0.1:80", GN_EADDR, NULL },
    { "127.0.0.1\n:80", GN_EADDR, NULL },
    { "127.0.0.\xff:80", GN_EADDR, NULL },
    { "ex\xc3\xa4mple.invalid:80", GN_EADDR, NULL },
    { "a/b:80", GN_EADDR, NULL },
    { "a{b:80", GN_EADDR, NULL },
    { "under_score..x:80", GN_EADDR, NULL },
    { "[fe80::1%2x1]:80", GN_EADDR, NULL },
    { "a%20b:80", GN_EADDR, NULL },
    { ".:80", GN_EADDR, NULL },
    { "..:80", GN_EADDR, NULL },
    { ".a:80", GN_EADDR, NULL },
    { "a..b:80", GN_EADDR, NULL },
    /* IPv4 as resolvers of 1983 read it */
    { "256.0.0.1:80", GN_EADDR, NULL },
    { "127.1:80", GN_EADDR, NULL },
    { "2130706433:80", GN_EADDR, NULL },
    { "0x7f000001:80", GN_EADDR, NULL },
    { "0x7f.0.0.1:80", GN_EADDR, NULL },
    { "127.0.0.0x1:80", GN_EADDR, NULL },
    { "0177.0.0.1:80", GN_EADDR, NULL },
    { "127.0.0.1.:80", GN_EADDR, NULL },
    { "1.2.3.4.5:80", GN_EADDR, NULL },
    { "0:80", GN_EADDR, NULL },
    { "a.012:80", GN_EADDR, NULL },
    /* Unix */
    { "unix:///tmp/x.sock", GN_OK, "unix:///tmp/x.sock" },
    { "unix://x.sock", GN_OK, "unix://x.sock" },
    { "unix:/tmp/x.sock", GN_OK, "unix:///tmp/x.sock" },
    { "unix:x.sock", GN_OK, "unix://x.sock" },
    { "UNIX:x y:80", GN_OK, "unix://x y:80" },
    { "unix:////x", GN_OK, "unix:////x" },
    { "unix:", GN_EADDR, NULL },
    { "unix://", GN_EADDR, NULL },
};

START_TEST(table)
{
    for (size_t i = 0; i < sizeof numeric / sizeof numeric[0]; i++) {
        gni_endpoint e;
        char out[GN_ADDR_TEXT_MAX];
        int code = gni_endpoint_parse(numeric[i].text, &e);

        ck_assert_msg(code == numeric[i].code, "\"%s\": %s", numeric[i].text, gn_strerror(code));
        if (code != GN_OK)
            continue;
        ck_assert_int_eq(e.any, 0);
        ck_assert_uint_eq(gni_endpoint_format(e.scheme, &e.addr, out, sizeof out), strlen(out));
        if (numeric[i].again != NULL)
            ck_assert_str_eq(out, numeric[i].again);
    }
}
END_TEST

START_TEST(fields)
{
    static const uint8_t v4[4] = { 10, 20, 30, 40 };
    static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd };
    gni_endpoint e;

    ck_assert_int_eq(gni_endpoint_parse("udp4://10.20.30.40:4660", &e), GN_OK);
    ck_assert_int_eq(e.scheme, GNI_UDP4);
    ck_assert_int_eq(e.addr.family, GNP_FAMILY_IPV4);
    ck_assert_uint_eq(e.addr.port, 0x1234);
    ck_assert(memcmp(e.addr.u.ip, v4, 4) == 0);
    ck_assert_int_eq(gni_endpoint_parse("[2001:DB8::abcd]:1", &e), GN_OK);
    ck_assert_int_eq(e.scheme, GNI_TCP);
    ck_assert_int_eq(e.addr.family, GNP_FAMILY_IPV6);
    ck_assert_uint_eq(e.addr.scope, 0);
    ck_assert(memcmp(e.addr.u.ip, v6, 16) == 0);
    ck_assert_int_eq(gni_endpoint_parse("unix:abc", &e), GN_OK);
    ck_assert_int_eq(e.scheme, GNI_UNIX);
    ck_assert_int_eq(e.addr.family, GNP_FAMILY_UNIX);
    ck_assert_uint_eq(e.addr.len, 3);
    ck_assert_uint_eq(e.addr.port, 0);
    ck_assert(memcmp(e.addr.u.path, "abc", 3) == 0);
}
END_TEST

START_TEST(any_host)
{
    static const char *const text[] = { ":80", "*:80", "tcp://:80", "tcp4://*:80", "tcp6://:80", "udp://*:80",
                                        "udp4://:80", "udp6://*:80" };
    static const uint8_t zero[16];

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        int want = strstr(text[i], "4://") != NULL || (strstr(text[i], "6://") == NULL && !gnp_has_ipv6())
                       ? GNP_FAMILY_IPV4 : GNP_FAMILY_IPV6;
        gni_endpoint e;

        ck_assert_int_eq(gni_endpoint_parse(text[i], &e), GN_OK);
        ck_assert_int_eq(e.any, 1);
        ck_assert_int_eq(e.addr.family, want);
        ck_assert_uint_eq(e.addr.port, 80);
        ck_assert(memcmp(e.addr.u.ip, zero, 16) == 0);
    }
}
END_TEST

/* The one name that every host knows without a network. */
START_TEST(names)
{
    static const uint8_t loopback[4] = { 127, 0, 0, 1 };
    gni_endpoint e;

    ck_assert_int_eq(gni_endpoint_parse("localhost:8080", &e), GN_OK);
    ck_assert_int_eq(e.addr.family, GNP_FAMILY_IPV4); /* first, where a name has both */
    ck_assert(memcmp(e.addr.u.ip, loopback, 4) == 0);
    ck_assert_uint_eq(e.addr.port, 8080);
    ck_assert_int_eq(e.any, 0);
    ck_assert_int_eq(gni_endpoint_parse("udp4://LOCALHOST:1", &e), GN_OK);
    ck_assert_int_eq(e.addr.family, GNP_FAMILY_IPV4);
    if (gni_endpoint_parse("tcp6://localhost:1", &e) == GN_OK)
        ck_assert_int_eq(e.addr.family, GNP_FAMILY_IPV6);
    /* A label has at most 63 characters, a name 253. */
    ck_assert_int_eq(gni_endpoint_parse("a" NAME_OF_63 ".invalid:1", &e), GN_EADDR);
    ck_assert_int_eq(gni_endpoint_parse(NAME_OF_63 "." NAME_OF_63 "." NAME_OF_63 "." NAME_OF_63 ":1", &e),
                     GN_EADDR);
}
END_TEST

START_TEST(zones)
{
    gn_addr a, b;
    gni_endpoint e;
    char text[GN_ADDR_TEXT_MAX];

    /* A zone may be a number anywhere; the loopback interface has another name everywhere. */
    if (gn_addr_parse("[fe80::1%1]:80", &a) != GN_OK)
        return;
    ck_assert_int_eq(gn_addr_parse("[fe80::1]:80", &b), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));
    ck_assert_int_eq(gn_addr_parse("[fe80::1%251]:80", &b), GN_OK); /* %25 is an escaped % */
    ck_assert(gn_addr_equal(&a, &b));
    ck_assert_int_gt(gn_addr_format(&a, text, sizeof text), 0);
    ck_assert(strchr(text, '%') != NULL);
    ck_assert_int_eq(gn_addr_parse(text, &b), GN_OK);
    ck_assert(gn_addr_equal(&a, &b));
    ck_assert_int_eq(gni_endpoint_parse("tcp6://[fe80::1%251]:80", &e), GN_OK);
    ck_assert_uint_eq(e.addr.scope, 1);
    gni_endpoint_format(e.scheme, &e.addr, text, sizeof text);
    e.addr.scope = 0;
    ck_assert_int_eq(gni_endpoint_parse(text, &e), GN_OK);
    ck_assert_uint_eq(e.addr.scope, 1);
}
END_TEST

/* Numbers of interfaces that begin with 25 are written so that they are read again. */
START_TEST(zones_that_look_escaped)
{
    static const uint32_t scope[] = { 2, 25, 250, 251, 2500, 4294967295u };
    gn_addr probe;

    if (gn_addr_parse("[fe80::1%77]:1", &probe) != GN_OK)
        return; /* this system wants the interface to exist */
    for (size_t i = 0; i < sizeof scope / sizeof scope[0]; i++) {
        gnp_addr n;
        gn_addr a, b;
        char text[GN_ADDR_TEXT_MAX];

        memset(&n, 0, sizeof n);
        n.family = GNP_FAMILY_IPV6;
        n.u.ip[0] = 0xfe;
        n.u.ip[1] = 0x80;
        n.scope = scope[i];
        gni_addr_set(&a, &n);
        gn_addr_format(&a, text, sizeof text);
        ck_assert_msg(gn_addr_parse(text, &b) == GN_OK, "%s", text);
        ck_assert_msg(gn_addr_equal(&a, &b), "%s", text);
    }
}
END_TEST

START_TEST(long_paths)
{
    size_t max = gnp_unix_path_max();
    char *text = malloc(100000);

    ck_assert(text != NULL);
    ck_assert_uint_ge(max, 90);
    ck_assert_uint_le(max, GNP_UNIX_PATH_MAX);
    for (size_t n = 1; n < 99000; n = n < 300 ? n + 1 : n * 3) {
        gni_endpoint e;
        gn_addr a;
        int want = n <= max ? GN_OK : GN_ENAMETOOLONG;

        snprintf(text, 100000, "unix://");
        memset(text + 7, 'p', n);
        text[7 + n] = '\0';
        ck_assert_int_eq(gni_endpoint_parse(text, &e), want);
        memcpy(text + 2, "unix:", 5);
        ck_assert_int_eq(gn_addr_parse(text + 2, &a), want);
        if (want == GN_OK) {
            char again[GN_ADDR_TEXT_MAX];

            ck_assert_uint_eq(e.addr.len, n);
            ck_assert_int_eq(gn_addr_format(&a, again, sizeof again), (int)n + 5);
            ck_assert_str_eq(again, text + 2);
        }
    }
    free(text);
}
END_TEST

START_TEST(long_text)
{
    static const char *const fill[] = { "1", ":", "[", "a.", "0.", "/", "%", "unix", "tcp://", "1:" };
    char *text = malloc(200001);

    ck_assert(text != NULL);
    for (size_t i = 0; i < sizeof fill / sizeof fill[0]; i++) {
        size_t n = strlen(fill[i]);
        gni_endpoint e;
        gn_addr a;

        for (size_t at = 0; at + n <= 200000; at += n)
            memcpy(text + at, fill[i], n);
        text[200000 - 200000 % n] = '\0';
        ck_assert_int_lt(gni_endpoint_parse(text, &e), 0);
        ck_assert_int_lt(gn_addr_parse(text, &a), 0);
        text[0] = '[';
        ck_assert_int_lt(gni_endpoint_parse(text, &e), 0);
        ck_assert_int_lt(gn_addr_parse(text, &a), 0);
    }
    free(text);
}
END_TEST

START_TEST(public_addresses)
{
    gn_addr a, b;
    char out[GN_ADDR_TEXT_MAX];

    ck_assert_int_eq(gn_addr_parse("127.0.0.1:80", &a), GN_OK);
    ck_assert_int_eq(gn_addr_family(&a), GN_FAMILY_IPV4);
    ck_assert_uint_eq(gn_addr_port(&a), 80);
    ck_assert_int_eq(gn_addr_format(&a, out, sizeof out), 12);
    ck_assert_str_eq(out, "127.0.0.1:80");
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:81", &b), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));
    ck_assert_int_eq(gn_addr_parse("127.0.0.2:80", &b), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));
    ck_assert_int_eq(gn_addr_parse("[::ffff:127.0.0.1]:80", &b), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));
    ck_assert_int_eq(gn_addr_family(&b), GN_FAMILY_IPV6);
    ck_assert_int_eq(gn_addr_parse("unix:/a/b", &b), GN_OK);
    ck_assert_int_eq(gn_addr_family(&b), GN_FAMILY_UNIX);
    ck_assert_uint_eq(gn_addr_port(&b), 0);
    ck_assert(gn_addr_equal(&b, &b));
    ck_assert_int_eq(gn_addr_parse("unix:/a/bc", &a), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));

    ck_assert_int_eq(gn_addr_parse("localhost:80", &a), GN_EADDR); /* numeric only */
    ck_assert_int_eq(gn_addr_parse("*:80", &a), GN_EADDR);
    ck_assert_int_eq(gn_addr_parse(":80", &a), GN_EADDR);
    ck_assert_int_eq(gn_addr_parse("tcp://127.0.0.1:80", &a), GN_EADDR);
    ck_assert_int_eq(gn_addr_parse("unix:", &a), GN_EADDR);
}
END_TEST

START_TEST(null_and_nothing)
{
    gni_endpoint e;
    gnp_addr n;
    gn_addr a, b;
    char out[64];

    ck_assert_int_eq(gni_endpoint_parse(NULL, &e), GN_EINVAL);
    ck_assert_int_eq(gni_endpoint_parse("127.0.0.1:1", NULL), GN_EINVAL);
    ck_assert_int_eq(gn_addr_parse(NULL, &a), GN_EINVAL);
    ck_assert_int_eq(gn_addr_parse("127.0.0.1:1", NULL), GN_EINVAL);
    ck_assert_int_eq(gn_addr_format(NULL, out, sizeof out), GN_EINVAL);
    ck_assert_int_eq(gni_endpoint_format(GNI_TCP, NULL, out, sizeof out), GN_EINVAL);
    ck_assert_int_eq(gni_endpoint_format((gni_scheme)99, &e.addr, out, sizeof out), GN_EINVAL);
    ck_assert_int_eq(gni_endpoint_format(GNI_TCP, &e.addr, NULL, 1), GN_EINVAL);
    ck_assert_int_eq(gn_addr_family(NULL), GN_FAMILY_NONE);
    ck_assert_uint_eq(gn_addr_port(NULL), 0);

    memset(&a, 0, sizeof a);
    b = a;
    ck_assert_int_eq(gn_addr_format(&a, NULL, 10), GN_EINVAL);
    ck_assert_int_eq(gn_addr_format(&a, out, sizeof out), 0);
    ck_assert_str_eq(out, "");
    ck_assert(gn_addr_equal(&a, &b));
    ck_assert(gn_addr_equal(NULL, NULL));
    ck_assert(!gn_addr_equal(&a, NULL));
    ck_assert(!gn_addr_equal(NULL, &a));

    /* A Unix peer without a name, and one with an abstract name. */
    memset(&n, 0, sizeof n);
    n.family = GNP_FAMILY_UNIX;
    gni_addr_set(&a, &n);
    ck_assert_int_eq(gn_addr_format(&a, out, sizeof out), 5);
    ck_assert_str_eq(out, "unix:");
    n.len = 3;
    n.u.path[1] = 'a';
    n.u.path[2] = 'b';
    gni_addr_set(&a, &n);
    gn_addr_format(&a, out, sizeof out);
    ck_assert_str_eq(out, "unix:@ab");
    ck_assert_int_eq(gn_addr_parse("unix:@ab", &b), GN_OK);
    ck_assert(gn_addr_equal(&a, &b));
    ck_assert_int_eq(gn_addr_parse("unix:@", &b), GN_EADDR);

    /* A path that begins with @ is written so that it is not taken for one. */
    n.u.path[0] = '@';
    gni_addr_set(&a, &n);
    gn_addr_format(&a, out, sizeof out);
    ck_assert_str_eq(out, "unix:./@ab");
    ck_assert_int_eq(gn_addr_parse(out, &b), GN_OK);
    ck_assert(!gn_addr_equal(&a, &b));
    gn_addr_format(&b, out, sizeof out);
    ck_assert_str_eq(out, "unix:./@ab");
}
END_TEST

/* Cut at every length, never beyond cap. */
START_TEST(format_keeps_to_cap)
{
    static const char *const text[] = { "127.0.0.1:80", "[2001:db8::1]:65535", "unix:/tmp/some/path" };

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        int n = (int)strlen(text[i]);
        gn_addr a;
        char out[64];

        MUST(gn_addr_parse(text[i], &a) == GN_OK);
        MUST(gn_addr_format(&a, NULL, 0) == n);
        for (int cap = 0; cap < n + 5; cap++) {
            int kept = cap == 0 ? 0 : cap - 1 < n ? cap - 1 : n;

            memset(out, '!', sizeof out);
            MUST(gn_addr_format(&a, out, (size_t)cap) == n);
            if (cap > 0) {
                MUST(memcmp(out, text[i], (size_t)kept) == 0);
                MUST(out[kept] == '\0');
            }
            for (size_t k = (size_t)cap; k < sizeof out; k++)
                MUST(out[k] == '!');
        }
    }
}
END_TEST

START_TEST(written_and_read_again)
{
    rng g = { (uint64_t)_i };

    for (unsigned i = 0; i < 2000; i++) {
        gnp_addr n;
        gn_addr a, b;
        char text[GN_ADDR_TEXT_MAX];

        memset(&n, 0, sizeof n);
        n.port = (uint16_t)rng_next(&g);
        n.family = rng_below(&g, 2) ? GNP_FAMILY_IPV4 : GNP_FAMILY_IPV6;
        for (unsigned k = 0; k < (n.family == GNP_FAMILY_IPV4 ? 4 : 16); k++)
            n.u.ip[k] = rng_below(&g, 3) ? 0 : (uint8_t)rng_next(&g);
        gni_addr_set(&a, &n);
        ck_assert_uint_eq(gn_addr_format(&a, text, sizeof text), strlen(text));
        ck_assert_msg(gn_addr_parse(text, &b) == GN_OK, "%s", text);
        ck_assert_msg(gn_addr_equal(&a, &b), "%s", text);
        ck_assert(memcmp(&a, &b, sizeof a) == 0);
    }
}
END_TEST

/* A user may hand us memory that was never an address. */
START_TEST(garbage_addresses)
{
    rng g = { (uint64_t)_i };

    for (unsigned i = 0; i < 2000; i++) {
        gn_addr a, b;
        char text[GN_ADDR_TEXT_MAX];

        for (unsigned k = 0; k < sizeof a / 8; k++) {
            a.opaque[k] = rng_next(&g);
            b.opaque[k] = rng_below(&g, 2) ? a.opaque[k] : rng_next(&g);
        }
        if (rng_below(&g, 2))
            *(unsigned char *)&a = GNP_FAMILY_UNIX;
        MUST(gn_addr_format(&a, text, sizeof text) >= 0);
        MUST(strlen(text) < sizeof text);
        gn_addr_family(&a);
        gn_addr_port(&a);
        gn_addr_equal(&a, &b);
    }
}
END_TEST

/* Pieces of addresses in any order.  None makes a host name, which would ask the network. */
START_TEST(random_text)
{
    static const char *const piece[] = {
        "tcp://", "udp6://", "unix:/", "[", "]", "::1", "127.0.0.1", ":", "80", "65536", "%", "%25", "%1",
        "*", "/", "//", "\x01", "\xff", " ", ".", "..", "0", "255", "[ffff::", "@", "[::1]:80", "\n", "?", "#"
    };
    const uint64_t pieces = sizeof piece / sizeof piece[0];
    rng g = { (uint64_t)_i };

    for (unsigned i = 0; i < scaled(20000, 1000); i++) {
        char text[256], *copy, out[GN_ADDR_TEXT_MAX];
        size_t n = 0, size;
        gni_endpoint e;
        gn_addr a;

        for (uint64_t k = rng_below(&g, 8); k > 0; k--)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", piece[rng_below(&g, pieces)]);
        if (n > 0 && rng_below(&g, 8) == 0)
            text[rng_below(&g, n)] = (char)(rng_next(&g) | 0x80);
        /* Exactly as long as it is, so that a read beyond is found. */
        size = strlen(n > 0 ? text : "") + 1;
        copy = malloc(size);
        MUST(copy != NULL);
        memcpy(copy, n > 0 ? text : "", size);
        if (gni_endpoint_parse(copy, &e) == GN_OK && !e.any) {
            gni_endpoint again;

            gni_endpoint_format(e.scheme, &e.addr, out, sizeof out);
            ck_assert_msg(gni_endpoint_parse(out, &again) == GN_OK, "\"%s\" became \"%s\"", copy, out);
            MUST(memcmp(&e.addr, &again.addr, sizeof e.addr) == 0);
        }
        if (gn_addr_parse(copy, &a) == GN_OK)
            MUST(gn_addr_format(&a, out, sizeof out) > 0);
        free(copy);
    }
}
END_TEST

START_TEST(random_bytes)
{
    rng g = { (uint64_t)_i };

    for (unsigned i = 0; i < scaled(20000, 1000); i++) {
        size_t n = (size_t)rng_below(&g, 64);
        char *text = malloc(n + 1);
        gn_addr a;
        int code;

        MUST(text != NULL);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(rng_next(&g) | 1);
        text[n] = '\0';
        code = gn_addr_parse(text, &a);
        MUST(code == GN_OK || code == GN_EADDR || code == GN_ENAMETOOLONG);
        free(text);
    }
}
END_TEST

Suite *suite_addr(void)
{
    Suite *s = suite_create("addr");
    TCase *t = tcase_create("addr");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, table);
    tcase_add_test(t, fields);
    tcase_add_test(t, any_host);
    tcase_add_test(t, names);
    tcase_add_test(t, zones);
    tcase_add_test(t, zones_that_look_escaped);
    tcase_add_test(t, long_paths);
    tcase_add_test(t, long_text);
    tcase_add_test(t, public_addresses);
    tcase_add_test(t, null_and_nothing);
    tcase_add_test(t, format_keeps_to_cap);
    tcase_add_loop_test(t, written_and_read_again, 0, 4);
    tcase_add_loop_test(t, garbage_addresses, 0, 4);
    tcase_add_loop_test(t, random_text, 0, 8);
    tcase_add_loop_test(t, random_bytes, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
