/* SPDX-License-Identifier: MIT */
/*
 * The parser and the table of the Redis example, without a socket.  Every input is shown in blocks of
 * exactly the bytes that would have come, so that a sanitizer sees the first byte read beyond them.
 */
#include "examples/redis_db.h"
#include "examples/resp.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 4096u

static uint64_t state;

static uint64_t below(uint64_t n)
{
    uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % n;
}

/* What the parser says of the first n bytes, as text that does not name the place in memory. */
static resp_step parse(const char *p, size_t n, char *said, size_t cap, resp_command *r)
{
    char *b = malloc(n + 1);
    resp_step s;
    size_t at = 0;

    ck_assert_ptr_nonnull(b);
    memcpy(b + 1, p, n);
    s = resp_parse(b + 1, n, MAX, r);
    said[0] = 0;
    if (s == RESP_ERROR)
        snprintf(said, cap, "%s", r->error);
    if (s == RESP_OK) {
        at += (size_t)snprintf(said, cap, "%u words in %zu:", r->argc, r->used);
        if (r->used > n)
            ck_abort_msg("used %zu of %zu", r->used, n);
        for (unsigned i = 0; i < r->argc && at < cap; i++) {
            if (r->argv[i].p < b + 1 || r->argv[i].p + r->argv[i].n > b + 1 + r->used)
                ck_abort_msg("word %u stands outside", i);
            at += (size_t)snprintf(said + at, cap - at, " [%.*s]", (int)r->argv[i].n, r->argv[i].p);
        }
    }
    free(b);
    return s;
}

/* Prefixes: more, more..., then the last word on it; and `need` is never too much. */
static resp_step every_prefix(const char *p, size_t n, char *said, size_t cap)
{
    static resp_command r;
    char *part = malloc(cap);
    resp_step last = parse(p, n, said, cap, &r);
    size_t used = r.used;
    int decided = 0;

    ck_assert_ptr_nonnull(part);
    for (size_t i = 0; i < n; i++) {
        resp_step s = parse(p, i, part, cap, &r);

        if (s == RESP_MORE) {
            if (decided || r.need <= i || (last == RESP_OK && (i >= used || r.need > used)))
                ck_abort_msg("more at %zu of %zu, and needs %zu", i, n, r.need);
        } else {
            decided = 1;
            if (s != last || strcmp(part, said) != 0)
                ck_abort_msg("at %zu of %zu: %s, then %s", i, n, part, said);
        }
    }
    free(part);
    return last;
}

START_TEST(table)
{
    static const struct {
        const char *in;
        resp_step step;
        const char *said;
    } t[] = {
        { "*1\r\n$4\r\nPING\r\n", RESP_OK, "1 words in 14: [PING]" },
        { "*2\r\n$3\r\nGET\r\n$0\r\n\r\nrest", RESP_OK, "2 words in 19: [GET] []" },
        { "*2\r\n$3\r\nGET\r\n$4\r\n\r\n\r\n\r\n", RESP_OK, "2 words in 23: [GET] [\r\n\r\n]" },
        { "*0\r\nPING\r\n", RESP_OK, "0 words in 4:" },
        { "*-1\r\n", RESP_OK, "0 words in 5:" },
        { "PING\r\n", RESP_OK, "1 words in 6: [PING]" },
        { "PING\n", RESP_OK, "1 words in 5: [PING]" },
        { "  set\ta   b  \r\nx", RESP_OK, "3 words in 15: [set] [a] [b]" },
        { "\r\n", RESP_OK, "0 words in 2:" },
        { "\n", RESP_OK, "0 words in 1:" },
        { "*1025\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*99999999999\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*x\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*--1\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*1\n$4\r\nPING\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*1\r$4\r\nPING\r\n", RESP_ERROR, "Protocol error: invalid multibulk length" },
        { "*1\r\n:4\r\n", RESP_ERROR, "Protocol error: expected '$'" },
        { "*1\r\n$-1\r\n", RESP_ERROR, "Protocol error: invalid bulk length" },
        { "*1\r\n$4x\r\n", RESP_ERROR, "Protocol error: invalid bulk length" },
        { "*1\r\n$4080\r\n", RESP_MORE, "" },
        { "*1\r\n$4083\r\n", RESP_MORE, "" },
        { "*1\r\n$4084\r\n", RESP_ERROR, "Protocol error: command too long" },
        { "*1\r\n$9999999999\r\n", RESP_ERROR, "Protocol error: command too long" },
        { "*1\r\n$99999999999\r\n", RESP_ERROR, "Protocol error: invalid bulk length" },
        { "*1\r\n$4\r\nPINGS\r\n", RESP_ERROR, "Protocol error: a bulk string is longer than it says" },
        { "*1\r\n$4\r\nPING\r\r\n", RESP_ERROR, "Protocol error: a bulk string is longer than it says" },
    };
    char said[512];

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        resp_step s = every_prefix(t[i].in, strlen(t[i].in), said, sizeof said);

        ck_assert_msg(s == t[i].step && strcmp(said, t[i].said) == 0, "row %zu: %d %s", i, (int)s, said);
    }
}
END_TEST

START_TEST(long_lines)
{
    static char text[RESP_INLINE_MAX + 2], said[64];
    static resp_command r;

    memset(text, 'a', sizeof text);
    /* Here max is smaller than what is allowed for lines. */
    ck_assert_int_eq(parse(text, MAX - 1, said, sizeof said, &r), RESP_MORE);
    ck_assert_int_eq(parse(text, MAX, said, sizeof said, &r), RESP_ERROR);
    text[MAX - 1] = '\n';
    ck_assert_int_eq(parse(text, MAX, said, sizeof said, &r), RESP_OK);
    text[MAX - 1] = 'a';
    ck_assert_int_eq(resp_parse(text, RESP_INLINE_MAX - 1, SIZE_MAX, &r), RESP_MORE);
    ck_assert_int_eq(resp_parse(text, RESP_INLINE_MAX, SIZE_MAX, &r), RESP_ERROR);
    /* Too many words. */
    for (size_t i = 0; i < sizeof text; i += 2)
        text[i] = ' ';
    text[2 * RESP_ARGS_MAX] = '\n';
    ck_assert_int_eq(resp_parse(text, sizeof text, SIZE_MAX, &r), RESP_OK);
    ck_assert_uint_eq(r.argc, RESP_ARGS_MAX);
    text[2 * RESP_ARGS_MAX] = ' ';
    text[2 * RESP_ARGS_MAX + 2] = '\n';
    ck_assert_int_eq(resp_parse(text, sizeof text, SIZE_MAX, &r), RESP_ERROR);
}
END_TEST

/* Commands there and back, whole and with some bytes changed. */
START_TEST(random_commands)
{
    static char in[MAX * 2], said[MAX * 4], want[MAX * 4];

    state = (uint64_t)_i;
    for (unsigned round = 0; round < 150; round++) {
        unsigned argc = (unsigned)below(6);
        size_t n = (size_t)sprintf(in, "*%u\r\n", argc), at = 0, end;
        char words[6][40];
        size_t length[6];

        for (unsigned i = 0; i < argc; i++) {
            length[i] = (size_t)below(20);
            for (size_t k = 0; k < length[i]; k++)
                words[i][k] = "ab\r\n$*1 "[below(8)];
            n += (size_t)sprintf(in + n, "$%zu\r\n", length[i]);
            memcpy(in + n, words[i], length[i]);
            n += length[i];
            n += (size_t)sprintf(in + n, "\r\n");
        }
        at = (size_t)sprintf(want, "%u words in %zu:", argc, n);
        for (unsigned i = 0; i < argc; i++)
            at += (size_t)sprintf(want + at, " [%.*s]", (int)length[i], words[i]);
        end = n;
        for (unsigned i = (unsigned)below(10); i > 0; i--)
            in[n++] = (char)below(256);
        ck_assert_int_eq(every_prefix(in, n, said, sizeof said), RESP_OK);
        ck_assert_str_eq(said, want);
        for (unsigned i = 1 + (unsigned)below(3); i > 0; i--)
            in[below(end)] = "0129*$\r\n-a"[below(10)];
        every_prefix(in, n, said, sizeof said);
    }
}
END_TEST

START_TEST(integers)
{
    static const struct {
        const char *text;
        int good;
        int64_t value;
    } t[] = {
        { "0", 1, 0 }, { "7", 1, 7 }, { "-1", 1, -1 }, { "9223372036854775807", 1, INT64_MAX },
        { "-9223372036854775808", 1, INT64_MIN }, { "9223372036854775808", 0, 0 },
        { "-9223372036854775809", 0, 0 }, { "18446744073709551616", 0, 0 }, { "", 0, 0 }, { "-", 0, 0 },
        { "-0", 0, 0 }, { "00", 0, 0 }, { "01", 0, 0 }, { "+1", 0, 0 }, { " 1", 0, 0 }, { "1 ", 0, 0 },
        { "1e3", 0, 0 }, { "--1", 0, 0 }
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        int64_t v = 0;

        ck_assert_msg(resp_integer(t[i].text, strlen(t[i].text), &v) == t[i].good && v == t[i].value, "%s",
                      t[i].text);
    }
}
END_TEST

/* ---------------------------------------------------------------- the table of keys */

#define KEYS 200u

/* Against an array. */
START_TEST(keys_against_a_model)
{
    struct {
        int there;
        uint64_t expires;
        char value[8];
        size_t length;
    } model[KEYS];
    db d = { .bytes_max = SIZE_MAX };
    uint64_t now = 1;

    state = (uint64_t)_i;
    memset(model, 0, sizeof model);
    for (unsigned round = 0; round < 20000; round++) {
        unsigned k = (unsigned)below(KEYS);
        char key[16];
        size_t n = (size_t)sprintf(key, "key %u", k);
        /* A poor hash now and then: keys that meet must not be mistaken for each other. */
        uint64_t hash = _i % 2 == 0 ? db_hash(7, key, n) : k % 3;
        db_entry *e = db_find(&d, hash, key, n, now);

        if (model[k].there && model[k].expires != DB_NEVER && model[k].expires <= now)
            model[k].there = 0;
        if ((e != NULL) != model[k].there)
            ck_abort_msg("round %u", round);
        if (e && (e->length != model[k].length || memcmp(db_value(e), model[k].value, e->length) != 0
                  || e->expires != model[k].expires))
            ck_abort_msg("round %u: another value", round);
        if (below(2) == 0) {
            model[k].there = 1;
            model[k].length = (size_t)below(sizeof model[k].value);
            model[k].expires = below(2) == 0 ? DB_NEVER : now + 1 + below(300);
            memset(model[k].value, 'a' + (int)below(26), sizeof model[k].value);
            ck_assert(db_set(&d, hash, key, n, model[k].value, model[k].length, model[k].expires, now));
        } else if (e && below(3) == 0) {
            model[k].there = 0;
            db_remove(&d, e);
        }
        now += below(3);
        if (below(100) == 0)
            db_expire(&d, (size_t)below(2000), now);
    }
    /* All that has expired is found, and nothing else. */
    db_expire(&d, d.size, now);
    size_t left = 0;
    for (unsigned k = 0; k < KEYS; k++)
        left += model[k].there && (model[k].expires == DB_NEVER || model[k].expires > now);
    ck_assert_uint_eq(d.count, left);
    db_clear(&d);
    ck_assert_uint_eq(d.bytes, 0);
    ck_assert_uint_eq(d.count, 0);
}
END_TEST

/* No more bytes than allowed; what does not fit changes nothing; what shrinks always fits. */
START_TEST(keys_within_a_limit)
{
    static char big[1000];
    db d = { .bytes_max = 20000 };
    unsigned stored = 0;
    char key[16];
    size_t n;

    for (unsigned i = 0; i < 100; i++) {
        n = (size_t)sprintf(key, "%u", i);
        stored += (unsigned)db_set(&d, db_hash(1, key, n), key, n, big, sizeof big, DB_NEVER, 1);
        ck_assert_uint_le(d.bytes, d.bytes_max);
    }
    ck_assert_uint_ge(stored, 15);
    ck_assert_uint_le(stored, 20);
    ck_assert_uint_eq(d.count, stored);
    ck_assert(!db_set(&d, db_hash(1, "0", 1), "0", 1, big, 1000 + (d.bytes_max - d.bytes) + 1, DB_NEVER, 1));
    ck_assert_uint_eq(db_find(&d, db_hash(1, "0", 1), "0", 1, 1)->length, sizeof big);
    ck_assert(db_set(&d, db_hash(1, "0", 1), "0", 1, big, 10, DB_NEVER, 1));
    ck_assert(db_set(&d, db_hash(1, "0", 1), "0", 1, big, 900, DB_NEVER, 1));
    db_clear(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resp");
    TCase *t = tcase_create("resp");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, table);
    tcase_add_test(t, long_lines);
    tcase_add_loop_test(t, random_commands, 0, 8);
    tcase_add_test(t, integers);
    tcase_add_loop_test(t, keys_against_a_model, 0, 4);
    tcase_add_test(t, keys_within_a_limit);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
