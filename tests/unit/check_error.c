/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "gannet.h"
#include "lib/log.h"

#define CODE(name) { name, #name }
static const struct { int code; const char *name; } codes[] = {
    CODE(GN_OK), CODE(GN_EAGAIN), CODE(GN_EOF), CODE(GN_EINVAL), CODE(GN_ENOMEM), CODE(GN_ENOTSUP),
    CODE(GN_EADDR), CODE(GN_ESCHEME), CODE(GN_EADDRINUSE), CODE(GN_EADDRNOTAVAIL), CODE(GN_EACCES),
    CODE(GN_EMFILE), CODE(GN_ENFILE), CODE(GN_ENOBUFS), CODE(GN_ECONNREFUSED), CODE(GN_ECONNRESET),
    CODE(GN_ECONNABORTED), CODE(GN_EPIPE), CODE(GN_ETIMEDOUT), CODE(GN_ENETUNREACH),
    CODE(GN_EHOSTUNREACH), CODE(GN_EEXIST), CODE(GN_ENAMETOOLONG), CODE(GN_ENOENT), CODE(GN_ECLOSED),
    CODE(GN_ESHUTDOWN), CODE(GN_ECANCELED), CODE(GN_EMSGSIZE), CODE(GN_ELIMIT), CODE(GN_EBUSY),
    CODE(GN_ENOTCONN), CODE(GN_EIO), CODE(GN_EDEADLOCK), CODE(GN_EMALFORMED)
};
#define CODE_COUNT ((int)(sizeof codes / sizeof codes[0]))

/* tests/unit/header-check compares the number of codes with the header's. */
START_TEST(every_code_has_its_name)
{
    for (int i = 0; i < CODE_COUNT; i++) {
        const char *text = gn_strerror(codes[i].code);
        size_t n = strlen(codes[i].name);

        ck_assert_int_eq(codes[i].code, -i);
        ck_assert_msg(strncmp(text, codes[i].name, n) == 0 && strncmp(text + n, ": ", 2) == 0, "%s", text);
        ck_assert_uint_gt(strlen(text), n + 5);
    }
}
END_TEST

START_TEST(other_numbers_have_a_text_too)
{
    const int others[] = { 1, 2, -CODE_COUNT, -1000, INT_MAX, INT_MIN };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_str_eq(gn_strerror(others[i]), "unknown gannet error");
}
END_TEST

START_TEST(version_is_the_headers)
{
    char text[32];

    snprintf(text, sizeof text, "%d.%d.%d", GN_VERSION_MAJOR, GN_VERSION_MINOR, GN_VERSION_PATCH);
    ck_assert_str_eq(gn_version(), text);
}
END_TEST

typedef struct heard {
    unsigned lines;
    gn_log_level level;
    char line[1024];
} heard;

static void listen_to(gn_log_level level, const char *line, void *user)
{
    heard *h = user;

    h->lines++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void log_restore(void)
{
    gn_log_set_sink(NULL, NULL);
    gn_log_set_level(GN_LOG_WARN);
}

START_TEST(log_stamps)
{
    static const struct {
        uint64_t seconds, ns;
        const char *text;
    } t[] = {
        { 0, 0, "1970-01-01T00:00:00.000000Z" },
        { 951782399, 999999999, "2000-02-28T23:59:59.999999Z" },
        { 951782400, 1000, "2000-02-29T00:00:00.000001Z" },
        { 951868800, 999, "2000-03-01T00:00:00.000000Z" },
        { 1735689599, 0, "2024-12-31T23:59:59.000000Z" },
        { 1735689600, 0, "2025-01-01T00:00:00.000000Z" },
        { 1772323200, 0, "2026-03-01T00:00:00.000000Z" },
        { 4107542400, 0, "2100-03-01T00:00:00.000000Z" }, /* 2100 has no leap day */
        { 4107542399, 0, "2100-02-28T23:59:59.000000Z" },
        { 18446744073, 709551615, "2554-07-21T23:34:33.709551Z" },
    };
    char out[GNI_LOG_STAMP];

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        gni_log_stamp(t[i].seconds * 1000000000u + t[i].ns, out);
        ck_assert_str_eq(out, t[i].text);
    }
}
END_TEST

START_TEST(log_levels)
{
    heard h = { 0 };

    gn_log_set_sink(listen_to, &h);
    gni_log(GN_LOG_INFO, "hidden");
    ck_assert_uint_eq(h.lines, 0);
    for (int lowest = GN_LOG_DEBUG - 1; lowest <= GN_LOG_OFF + 1; lowest++) {
        gn_log_set_level((gn_log_level)lowest);
        for (int level = GN_LOG_DEBUG - 1; level <= GN_LOG_OFF + 1; level++) {
            int shown = level >= GN_LOG_DEBUG && level < GN_LOG_OFF && level >= lowest;

            h.lines = 0;
            gni_log((gn_log_level)level, "%s %d", "line", level);
            ck_assert_uint_eq(h.lines, shown ? 1 : 0);
            if (shown) {
                char text[32];

                snprintf(text, sizeof text, "line %d", level);
                ck_assert_str_eq(h.line, text);
                ck_assert_int_eq(h.level, level);
            }
        }
    }
    log_restore();
}
END_TEST

START_TEST(log_lines_are_clean_and_cut)
{
    heard h = { 0 };
    char text[2000];

    gn_log_set_sink(listen_to, &h);
    gni_log(GN_LOG_ERROR, "%s", "a\nb\r\033[31m\x7f \xc3\xa9\t");
    ck_assert_str_eq(h.line, "a?b??[31m? \xc3\xa9?");
    gni_log(GN_LOG_ERROR, "%s", "");
    ck_assert_str_eq(h.line, "");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    gni_log(GN_LOG_ERROR, "%s", text);
    ck_assert_uint_eq(strlen(h.line), 511);
    ck_assert_uint_eq(h.lines, 3);
    log_restore();
}
END_TEST

static void log_from_inside(gn_log_level level, const char *line, void *user)
{
    heard *h = user;

    listen_to(level, line, h);
    gn_log_set_sink(listen_to, h);
    gni_log(GN_LOG_ERROR, "inner");
}

START_TEST(a_sink_may_log_and_set_another)
{
    heard h = { 0 };

    gn_log_set_sink(log_from_inside, &h);
    gni_log(GN_LOG_ERROR, "outer");
    ck_assert_uint_eq(h.lines, 2);
    ck_assert_str_eq(h.line, "inner");
    log_restore();
}
END_TEST

Suite *suite_error(void)
{
    Suite *s = suite_create("error");
    TCase *t = tcase_create("error");

    tcase_add_test(t, every_code_has_its_name);
    tcase_add_test(t, other_numbers_have_a_text_too);
    tcase_add_test(t, version_is_the_headers);
    tcase_add_test(t, log_stamps);
    tcase_add_test(t, log_levels);
    tcase_add_test(t, log_lines_are_clean_and_cut);
    tcase_add_test(t, a_sink_may_log_and_set_another);
    suite_add_tcase(s, t);
    return s;
}
