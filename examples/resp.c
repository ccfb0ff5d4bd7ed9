/* SPDX-License-Identifier: MIT */
#include "resp.h"

#include <string.h>

#define NUMBER_MAX 10u /* characters of a count or a length; more is beyond every limit here */

static resp_step wrong(resp_command *out, const char *error)
{
    out->error = error;
    return RESP_ERROR;
}

static resp_step more(resp_command *out, size_t need)
{
    out->need = need;
    return RESP_MORE;
}

/* The number and CR LF that begin at *at, which moves behind them.  error: what a bad one is called. */
static resp_step number(const char *p, size_t n, size_t *at, int64_t *value, resp_command *out,
                        const char *error)
{
    size_t i = *at, first;
    int minus = i < n && p[i] == '-';
    int64_t v = 0;

    first = i += (size_t)minus;
    while (i < n && p[i] >= '0' && p[i] <= '9' && i - first < NUMBER_MAX)
        v = v * 10 + (p[i++] - '0');
    if (i == n)
        return more(out, n + (i == first ? 3 : 2));
    if (i == first || p[i] != '\r')
        return wrong(out, error);
    if (i + 1 == n)
        return more(out, n + 1);
    if (p[i + 1] != '\n')
        return wrong(out, error);
    *at = i + 2;
    *value = minus ? -v : v;
    return RESP_OK;
}

static resp_step bulk(const char *p, size_t n, size_t *at, size_t max, resp_command *out)
{
    resp_arg *a = &out->argv[out->argc];
    int64_t length;
    resp_step s;

    if (*at == n)
        return more(out, n + 4); /* "$0" and two ends of line are longer still */
    if (p[(*at)++] != '$')
        return wrong(out, "Protocol error: expected '$'");
    s = number(p, n, at, &length, out, "Protocol error: invalid bulk length");
    if (s != RESP_OK)
        return s;
    if (length < 0)
        return wrong(out, "Protocol error: invalid bulk length");
    if ((uint64_t)length > max || *at > max - (size_t)length || max - (size_t)length - *at < 2)
        return wrong(out, "Protocol error: command too long");
    a->n = (size_t)length;
    a->p = p + *at;
    if (n - *at < a->n + 1)
        return more(out, *at + a->n + 2);
    if (a->p[a->n] != '\r')
        return wrong(out, "Protocol error: a bulk string is longer than it says");
    if (n - *at < a->n + 2)
        return more(out, *at + a->n + 2);
    if (a->p[a->n + 1] != '\n')
        return wrong(out, "Protocol error: a bulk string is longer than it says");
    *at += a->n + 2;
    out->argc++;
    return RESP_OK;
}

static resp_step array(const char *p, size_t n, size_t max, resp_command *out)
{
    size_t at = 1;
    int64_t count;
    resp_step s = number(p, n, &at, &count, out, "Protocol error: invalid multibulk length");

    if (s == RESP_OK && count > (int64_t)RESP_ARGS_MAX)
        return wrong(out, "Protocol error: invalid multibulk length");
    while (s == RESP_OK && (int64_t)out->argc < count)
        s = bulk(p, n, &at, max, out);
    out->used = at;
    return s;
}

static resp_step line(const char *p, size_t n, size_t max, resp_command *out)
{
    size_t most = max < RESP_INLINE_MAX ? max : RESP_INLINE_MAX, at = 0;
    const char *lf = memchr(p, '\n', n < most ? n : most);

    if (!lf)
        return n < most ? more(out, n + 1) : wrong(out, "Protocol error: too big inline request");
    out->used = (size_t)(lf - p) + 1;
    n = out->used - 1;
    if (n > 0 && p[n - 1] == '\r')
        n--;
    while (at < n) {
        size_t begin;

        while (at < n && (p[at] == ' ' || p[at] == '\t'))
            at++;
        begin = at;
        while (at < n && p[at] != ' ' && p[at] != '\t')
            at++;
        if (at == begin)
            break;
        if (out->argc == RESP_ARGS_MAX)
            return wrong(out, "Protocol error: too big inline request");
        out->argv[out->argc].p = p + begin;
        out->argv[out->argc++].n = at - begin;
    }
    return RESP_OK;
}

resp_step resp_parse(const char *p, size_t n, size_t max, resp_command *out)
{
    out->argc = 0;
    out->used = 0;
    if (n == 0)
        return more(out, 1);
    return p[0] == '*' ? array(p, n, max, out) : line(p, n, max, out);
}

int resp_integer(const char *p, size_t n, int64_t *out)
{
    int minus = n > 0 && p[0] == '-';
    size_t i = (size_t)minus;
    uint64_t most = (uint64_t)INT64_MAX + (uint64_t)minus, v = 0;

    if (i == n || (p[i] == '0' && n > 1))
        return 0;
    for (; i < n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)p[i] - '0';

        if (digit > 9 || v > (most - digit) / 10)
            return 0;
        v = v * 10 + digit;
    }
    *out = !minus ? (int64_t)v : v == most ? INT64_MIN : -(int64_t)v;
    return 1;
}

int resp_is(resp_arg a, const char *name)
{
    size_t i;

    for (i = 0; i < a.n && name[i]; i++) {
        char c = a.p[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != name[i])
            return 0;
    }
    return i == a.n && !name[i];
}
