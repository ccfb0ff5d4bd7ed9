/* SPDX-License-Identifier: MIT */
/*
 * The parser of the Redis example, against one that looks for whole lines; on every prefix, for it must not
 * matter how the network cuts a command, and `need` must never ask for more than the command has.
 */
#include "fuzz.h"

#include "examples/resp.h"

#define BYTES_MAX 70000u
#define PREFIXES_MAX 300u /* of a longer input only some are looked at */

static resp_command ref, got, part;

/* A number of at most 10 digits and its CR LF.  -1: no; 0: it has not come yet; 1. */
static int ref_number(const char *p, size_t n, size_t *at, int64_t *out)
{
    int minus = *at < n && p[*at] == '-';
    size_t i = *at + (size_t)minus, first = i;

    for (*out = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
        if (i - first == 10)
            return -1;
        *out = *out * 10 + (p[i] - '0');
    }
    if (i == n)
        return 0;
    if (i == first || p[i] != '\r')
        return -1;
    if (i + 1 == n)
        return 0;
    if (p[i + 1] != '\n')
        return -1;
    *at = i + 2;
    *out = minus ? -*out : *out;
    return 1;
}

static resp_step step(int is)
{
    return is < 0 ? RESP_ERROR : RESP_MORE;
}

static resp_step ref_array(const char *p, size_t n, size_t max)
{
    size_t at = 1;
    int64_t count, length;
    int is = ref_number(p, n, &at, &count);

    if (is <= 0)
        return step(is);
    if (count > 1024)
        return RESP_ERROR;
    for (int64_t i = 0; i < count; i++) {
        if (at == n)
            return RESP_MORE;
        if (p[at++] != '$')
            return RESP_ERROR;
        is = ref_number(p, n, &at, &length);
        if (is <= 0)
            return step(is);
        if (length < 0 || (uint64_t)length + at + 2 > max)
            return RESP_ERROR;
        for (size_t k = 0; k < 2; k++) {
            size_t end = at + (size_t)length + k;

            if (end >= n)
                return RESP_MORE;
            if (p[end] != "\r\n"[k])
                return RESP_ERROR;
        }
        ref.argv[ref.argc].p = p + at;
        ref.argv[ref.argc++].n = (size_t)length;
        at += (size_t)length + 2;
    }
    ref.used = at;
    return RESP_OK;
}

static resp_step ref_line(const char *p, size_t n, size_t max)
{
    size_t most = max < 65536 ? max : 65536, end = 0;
    int in_word = 0;

    while (end < n && end < most && p[end] != '\n')
        end++;
    if (end == most)
        return RESP_ERROR;
    if (end == n)
        return RESP_MORE;
    ref.used = end + 1;
    if (end > 0 && p[end - 1] == '\r')
        end--;
    for (size_t i = 0; i < end; i++) {
        if (p[i] == ' ' || p[i] == '\t') {
            in_word = 0;
            continue;
        }
        if (!in_word && ref.argc == 1024)
            return RESP_ERROR;
        if (!in_word) {
            ref.argv[ref.argc].p = p + i;
            ref.argv[ref.argc++].n = 0;
        }
        in_word = 1;
        ref.argv[ref.argc - 1].n++;
    }
    return RESP_OK;
}

static resp_step reference(const char *p, size_t n, size_t max)
{
    ref.argc = 0;
    ref.used = 0;
    if (n == 0)
        return RESP_MORE;
    return p[0] == '*' ? ref_array(p, n, max) : ref_line(p, n, max);
}

static void check(const char *p, size_t n, size_t max, resp_step s)
{
    resp_step want = reference(p, n, max);

    must(s == want, "%zu bytes: step %d, not %d", n, (int)s, (int)want);
    must(s != RESP_MORE || got.need > n, "needs %zu of %zu", got.need, n);
    must(s != RESP_ERROR || strlen(got.error) > 0, "no error");
    if (s != RESP_OK)
        return;
    must(got.used <= n && got.used == ref.used, "%zu used, not %zu", got.used, ref.used);
    must(p[0] != '*' || got.argc == 0 || got.used <= max, "a command of %zu bytes", got.used);
    must(got.argc == ref.argc && got.argc <= RESP_ARGS_MAX, "%u words, not %u", got.argc, ref.argc);
    for (unsigned i = 0; i < got.argc; i++)
        must(got.argv[i].p == ref.argv[i].p && got.argv[i].n == ref.argv[i].n, "word %u is another", i);
}

/* The first i bytes of a command whose end is known. */
static void check_prefix(const char *p, size_t i, size_t max, resp_step whole)
{
    char *b = exactly(p, i);
    resp_step s = resp_parse(b, i, max, &part);

    must(s == reference(b, i, max), "%zu bytes: step %d", i, (int)s);
    if (s == RESP_MORE) {
        must(part.need > i, "has %zu, needs %zu", i, part.need);
        must(whole != RESP_OK || (i < got.used && part.need <= got.used), "has %zu, needs %zu, takes %zu", i,
             part.need, got.used);
    } else {
        must(s == whole, "the first %zu bytes: step %d, not %d", i, (int)s, (int)whole);
        must(s != RESP_OK || (part.used == got.used && part.argc == got.argc), "another command");
        must(s != RESP_ERROR || part.error == got.error, "another error");
    }
    free(b);
}

static void check_number(const resp_arg *a)
{
    char text[32], back[32];
    int64_t v;
    int is = resp_integer(a->p, a->n, &v);

    if (is) {
        (void)snprintf(back, sizeof back, "%lld", (long long)v);
        must(strlen(back) == a->n && memcmp(back, a->p, a->n) == 0, "%.*s is %s", (int)a->n, a->p, back);
    } else if (a->n > 0 && a->n < 19) { /* all that short are in range */
        memcpy(text, a->p, a->n);
        text[a->n] = '\0';
        char *end;
        v = strtoll(text, &end, 10);
        (void)snprintf(back, sizeof back, "%lld", (long long)v);
        must(end != text + a->n || strcmp(text, back) != 0, "%s is no number", text);
    }
    must(!resp_is(*a, "get") || (a->n == 3 && (a->p[0] | 0x20) == 'g'), "%.*s is get", (int)a->n, a->p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    size_t max = next16(&in), n, at = 0;
    char *all;

    if (max & 1) /* most limits are not met */
        max = SIZE_MAX;
    n = in.n < BYTES_MAX ? in.n : BYTES_MAX;
    all = exactly(in.p, n);
    for (size_t commands = 0; commands <= n; commands++) {
        char *p = exactly(all + at, n - at);
        size_t left = n - at, stride = left / PREFIXES_MAX + 1;
        resp_step s = resp_parse(p, left, max, &got);

        check(p, left, max, s);
        for (size_t i = 0; commands < 4 && i < left; i += stride)
            check_prefix(p, i, max, s);
        for (unsigned i = 0; s == RESP_OK && i < got.argc; i++)
            check_number(&got.argv[i]);
        free(p);
        if (s != RESP_OK || at == n)
            break;
        at += got.used;
    }
    free(all);
    return 0;
}
