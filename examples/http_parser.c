/* SPDX-License-Identifier: MIT */
#include "http_parser.h"

#include <string.h>

/* Where the parser is.  The order matters: line, fields, then the body. */
enum phase {
    START, METHOD, TARGET, VERSION,                       /* the request line */
    NAME, VALUE, LAST,                                    /* the fields; LAST: the empty line's LF */
    LENGTH,                                               /* a body with Content-Length, or none */
    SIZE, SIZE_SPACE, SIZE_NAME, SIZE_EXT, SIZE_LF,       /* the line before a chunk */
    CHUNK, CHUNK_CR, CHUNK_LF,                            /* a chunk and its end */
    TRAILER, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, TRAILER_LAST,
    FINISHED, FAILED
};

/* The fields that matter to this parser; it checks the form of all others and skips them. */
enum field { FIELD_OTHER, FIELD_HOST, FIELD_LENGTH, FIELD_CODING, FIELD_CONNECTION, FIELD_EXPECT };

/* What a byte may be part of (RFC 9110 5.6.2, RFC 3986 2, RFC 9110 5.5).
 * T token, R request target (visible ASCII without '#'), H host name, V field value,
 * P target up to the query (R without '?'). */
enum { T = 1, R = 2, H = 4, V = 8, P = 16 };

static const uint8_t class[256] = {
     0,  0,  0,  0,  0,  0,  0,  0,  0,  8,  0,  0,  0,  0,  0,  0,
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
     8, 31, 26,  9, 31, 31, 31, 31, 30, 30, 31, 31, 30, 31, 31, 26, /*  !"#$%&'()*+,-./ */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 30, 26, 30, 26, 10, /* 0123456789:;<=>? */
    26, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, /* @ABCDEFGHIJKLMNO */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 26, 26, 27, 31, /* PQRSTUVWXYZ[\]^_ */
    27, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, /* `abcdefghijklmno */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 27, 26, 31,  0, /* pqrstuvwxyz{|}~  */
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,
     8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8,  8
};

_Static_assert(HTTP_HEAD_MAX < UINT16_MAX && HTTP_LINE_MAX < HTTP_HEAD_MAX, "offsets are 16 bits wide");
_Static_assert(HTTP_FIELDS_MAX < UINT8_MAX && HTTP_CHUNK_EXT_MAX < UINT16_MAX, "counters must not wrap");

static http_step fail(http_parser *h, unsigned status)
{
    h->phase = FAILED;
    h->status = (uint16_t)status;
    return HTTP_ERROR;
}

/* ASCII case does not count; lower must be letters, digits and '-'.  Bytes that the caller let
 * through are no control characters, so setting bit 5 maps nothing else onto these. */
static int same(const uint8_t *p, size_t n, const char *lower)
{
    if (n != strlen(lower))
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((p[i] | 0x20) != (uint8_t)lower[i])
            return 0;
    return 1;
}

/* Eight bytes at once.  Subtracting or adding sets the top bit of a byte that is out of range;
 * a carry from its neighbour may set it too, so 0 only means "look at each byte". */
#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

static uint64_t word_at(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof w);
    return w;
}

/* All are at least 0x20 and none is 0x7f: part of any value, without a look at the table. */
static int word_is_text(uint64_t w)
{
    return (((w - EACH(0x20)) | (w + EACH(1))) & ~w & EACH(0x80)) == 0;
}

/* All are within 0x21 and 0x7e and none is '#' or '?'. */
static int word_is_path(uint64_t w)
{
    uint64_t hash = (w ^ EACH('#')) - EACH(1), query = (w ^ EACH('?')) - EACH(1);

    return (((w - EACH(0x21)) | (w + EACH(1)) | hash | query) & EACH(0x80)) == 0;
}

/* The first position from pos on whose byte is not of this class, or end.  Four at a time, for
 * the check for the end would cost as much as that of the class. */
static inline size_t class_end(const uint8_t *p, size_t pos, size_t end, uint8_t bit)
{
    for (; end - pos >= 4; pos += 4) {
        if (!(class[p[pos]] & bit))
            return pos;
        if (!(class[p[pos + 1]] & bit))
            return pos + 1;
        if (!(class[p[pos + 2]] & bit))
            return pos + 2;
        if (!(class[p[pos + 3]] & bit))
            return pos + 3;
    }
    while (pos < end && (class[p[pos]] & bit))
        pos++;
    return pos;
}

/* The first position from pos on that cannot be in a field value, or end.  A word that fails
 * is looked at byte by byte, for it may hold a tab; then words go on. */
static size_t text_end(const uint8_t *p, size_t pos, size_t end)
{
    for (;;) {
        size_t stop;

        while (end - pos >= 8 && word_is_text(word_at(p + pos)))
            pos += 8;
        stop = end - pos >= 8 ? pos + 8 : end;
        while (pos < stop && (class[p[pos]] & V))
            pos++;
        if (pos < stop || pos == end)
            return pos;
    }
}

static uint8_t method_find(const uint8_t *p, size_t n)
{
    static const struct { const char *name; uint8_t length, method; } methods[] = {
        {"GET", 3, HTTP_METHOD_GET},       {"POST", 4, HTTP_METHOD_POST},
        {"HEAD", 4, HTTP_METHOD_HEAD},     {"PUT", 3, HTTP_METHOD_PUT},
        {"DELETE", 6, HTTP_METHOD_DELETE}, {"OPTIONS", 7, HTTP_METHOD_OPTIONS},
        {"PATCH", 5, HTTP_METHOD_PATCH},   {"TRACE", 5, HTTP_METHOD_TRACE},
        {"CONNECT", 7, HTTP_METHOD_CONNECT}
    };

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (n == methods[i].length && memcmp(p, methods[i].name, n) == 0)
            return methods[i].method;
    return HTTP_METHOD_OTHER;
}

/* host [":" port], RFC 9110 7.2.  Empty is a host too.  need_port: as CONNECT asks.  p[n] is a
 * byte of the head that cannot be part of it (a space, CR, '/' or '?'), so that scans stop there. */
static int host_valid(const uint8_t *p, size_t n, int need_port)
{
    size_t i = 0;

    if (n > 0 && p[0] == '[') {
        for (i = 1; i < n && p[i] != ']'; i++)
            if (!(class[p[i]] & H) && p[i] != ':')
                return 0;
        if (i == n || i == 1)
            return 0;
        i++;
    } else {
        i = class_end(p, 0, n, H);
    }
    if (i == n)
        return !need_port;
    if (p[i++] != ':' || n - i > 5 || (need_port && (i == n || i == 1)))
        return 0;
    while (p[i] >= '0' && p[i] <= '9')
        i++;
    return i == n;
}

/* ---- the request line: method SP target SP HTTP/1.x CRLF ---- */

/* RFC 9112 2.2: one empty line before a request is forgiven, for old clients send it after a body. */
static http_step start_parse(http_parser *h, const uint8_t *p, size_t end)
{
    if (end == 0)
        return HTTP_MORE;
    if (p[0] == '\r') {
        if (end == 1)
            return HTTP_MORE;
        if (p[1] != '\n')
            return fail(h, 400);
        h->pos = h->start = 2;
    }
    h->phase = METHOD;
    return HTTP_DONE;
}

static http_step method_parse(http_parser *h, const uint8_t *p, size_t end)
{
    size_t pos = h->pos, start = h->start;

    if (end - start >= 4 && memcmp(p + start, "GET ", 4) == 0) {
        h->method = HTTP_METHOD_GET; /* what most clients send */
        h->pos = h->start = (uint16_t)(start + 4);
        h->phase = TARGET;
        return HTTP_DONE;
    }
    while (pos < end && (class[p[pos]] & T) && pos - start <= HTTP_METHOD_MAX)
        pos++;
    if (pos - start > HTTP_METHOD_MAX)
        return fail(h, 501);
    h->pos = (uint16_t)pos;
    if (pos == end)
        return HTTP_MORE;
    if (p[pos] != ' ' || pos == start)
        return fail(h, 400);
    h->method = method_find(p + start, pos - start);
    h->pos = h->start = (uint16_t)(pos + 1);
    h->phase = TARGET;
    return HTTP_DONE;
}

static http_step target_parse(http_parser *h, const uint8_t *p, size_t end)
{
    size_t pos = h->pos;

    if (h->query == 0) {
        while (end - pos >= 8 && word_is_path(word_at(p + pos)))
            pos += 8;
        pos = class_end(p, pos, end, P);
        if (pos < end && p[pos] == '?')
            h->query = (uint16_t)pos;
    }
    if (h->query > 0)
        pos = class_end(p, pos, end, R);
    h->pos = (uint16_t)pos;
    if (pos == end)
        return HTTP_MORE;
    if (p[pos] != ' ' || pos == h->start)
        return fail(h, 400);
    h->target = h->start;
    h->target_length = (uint16_t)(pos - h->start);
    h->pos = h->start = (uint16_t)(pos + 1);
    h->phase = VERSION;
    return HTTP_DONE;
}

static void path_set(http_parser *h, size_t from)
{
    h->path = (uint16_t)from;
    h->path_length = (uint16_t)((h->query ? h->query : h->target + h->target_length) - from);
}

/* http://host[:port][/path][?query]: RFC 9112 3.2.2 bids every server to take it. */
static int target_absolute(http_parser *h, const uint8_t *p)
{
    const uint8_t *t = p + h->target;
    size_t end = (size_t)h->target + h->target_length, host, pos;

    if (h->target_length > 7 && same(t, 4, "http") && memcmp(t + 4, "://", 3) == 0)
        host = (size_t)h->target + 7;
    else if (h->target_length > 8 && same(t, 5, "https") && memcmp(t + 5, "://", 3) == 0)
        host = (size_t)h->target + 8;
    else
        return 0;
    for (pos = host; pos < end && p[pos] != '/' && p[pos] != '?'; pos++)
        continue;
    if (pos == host || !host_valid(p + host, pos - host, 0))
        return 0;
    if (pos == end && h->method == HTTP_METHOD_OPTIONS)
        h->flags |= HTTP_ASTERISK;
    else if (pos < end && p[pos] == '/')
        path_set(h, pos);
    return 1;
}

static int target_valid(http_parser *h, const uint8_t *p)
{
    const uint8_t *t = p + h->target;

    if (h->method == HTTP_METHOD_CONNECT)
        return host_valid(t, h->target_length, 1);
    if (t[0] == '/') {
        path_set(h, h->target);
        return 1;
    }
    if (h->target_length == 1 && t[0] == '*' && h->method == HTTP_METHOD_OPTIONS) {
        h->flags |= HTTP_ASTERISK;
        return 1;
    }
    return target_absolute(h, p);
}

/* HTTP/1.x; x above 1 is taken as 1, for that is the latest that this parser knows (RFC 9110 2.5). */
static http_step version_parse(http_parser *h, const uint8_t *p, size_t end)
{
    static const char pattern[10] = {'H', 'T', 'T', 'P', '/', '0', '.', '0', '\r', '\n'}; /* 0: a digit */
    size_t start = h->start, pos = h->pos;

    if (end - start >= sizeof pattern && memcmp(p + start, "HTTP/1.1\r\n", 10) == 0) {
        h->minor = 1; /* what all clients send */
        pos = start + sizeof pattern;
    } else {
        for (; pos < end && pos < start + sizeof pattern; pos++) {
            char want = pattern[pos - start];

            if (want == '0' ? p[pos] < '0' || p[pos] > '9' : p[pos] != (uint8_t)want)
                return fail(h, 400);
        }
        h->pos = (uint16_t)pos;
        if (pos < start + sizeof pattern)
            return HTTP_MORE;
        if (p[start + 5] != '1')
            return fail(h, 505);
        h->minor = p[start + 7] != '0';
    }
    h->pos = h->start = (uint16_t)pos;
    h->phase = NAME;
    return target_valid(h, p) ? HTTP_DONE : fail(h, 400);
}

static http_step line_parse(http_parser *h, const uint8_t *p, size_t end)
{
    http_step step;

    if (h->phase == START && (step = start_parse(h, p, end)) != HTTP_DONE)
        return step;
    if (h->phase == METHOD && (step = method_parse(h, p, end)) != HTTP_DONE)
        return step;
    if (h->phase == TARGET && (step = target_parse(h, p, end)) != HTTP_DONE)
        return step;
    return version_parse(h, p, end);
}

/* ---- the fields ---- */

/* Takes the next element off a comma-separated list; 0 at its end.  Empty elements are skipped. */
static int list_next(const uint8_t **list, const uint8_t *end, const uint8_t **item, size_t *n)
{
    const uint8_t *p = *list, *last;

    while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
        p++;
    for (*item = p; p < end && *p != ','; p++)
        continue;
    *list = p;
    for (last = p; last > *item && (last[-1] == ' ' || last[-1] == '\t'); last--)
        continue;
    *n = (size_t)(last - *item);
    return *n > 0;
}

/* Digits only: no sign, no space inside, no list, and never twice (RFC 9112 6.3 allows
 * repeating the same value, but no client needs it and smugglers do). */
static unsigned length_take(http_parser *h, const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    if (n == 0 || (h->flags & HTTP_LENGTH))
        return 400;
    for (size_t i = 0; i < n; i++) {
        unsigned digit = (unsigned)p[i] - '0';

        if (digit > 9)
            return 400;
        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    h->flags |= HTTP_LENGTH;
    h->content_length = v;
    return 0;
}

/* "chunked" is the only coding that this parser removes.  If it is not the last, nobody
 * knows where the body ends (RFC 9112 6.3): 400.  Below it, another one: 501. */
static unsigned coding_take(http_parser *h, const uint8_t *p, size_t n)
{
    const uint8_t *item, *end = p + n;
    unsigned others = 0, chunked = 0;
    size_t length;

    if (h->flags & HTTP_CODING)
        return 400;
    while (list_next(&p, end, &item, &length)) {
        if (chunked)
            return 400;
        chunked = (unsigned)same(item, length, "chunked");
        others += !chunked;
    }
    h->flags |= HTTP_CODING | HTTP_CHUNKED;
    return !chunked ? 400 : others ? 501 : 0;
}

static unsigned connection_take(http_parser *h, const uint8_t *p, size_t n)
{
    const uint8_t *item, *end = p + n;
    size_t length;

    while (list_next(&p, end, &item, &length)) {
        if (same(item, length, "close"))
            h->flags |= HTTP_CLOSE;
        else if (same(item, length, "keep-alive"))
            h->flags |= HTTP_KEEP_ALIVE;
    }
    return 0;
}

static unsigned host_take(http_parser *h, const uint8_t *p, size_t n)
{
    if ((h->flags & HTTP_HOST) || !host_valid(p, n, 0))
        return 400;
    h->flags |= HTTP_HOST;
    return 0;
}

static unsigned expect_take(http_parser *h, const uint8_t *p, size_t n)
{
    if (!same(p, n, "100-continue"))
        return 417;
    if (h->minor > 0) /* RFC 9110 10.1.1: of HTTP/1.0 it must be ignored */
        h->flags |= HTTP_CONTINUE;
    return 0;
}

static uint8_t field_find(const uint8_t *p, size_t n)
{
    switch (n) {
    case 4:
        return same(p, n, "host") ? FIELD_HOST : FIELD_OTHER;
    case 6:
        return same(p, n, "expect") ? FIELD_EXPECT : FIELD_OTHER;
    case 10:
        return same(p, n, "connection") ? FIELD_CONNECTION : FIELD_OTHER;
    case 14:
        return same(p, n, "content-length") ? FIELD_LENGTH : FIELD_OTHER;
    case 17:
        return same(p, n, "transfer-encoding") ? FIELD_CODING : FIELD_OTHER;
    default:
        return FIELD_OTHER;
    }
}

static unsigned field_take(http_parser *h, const uint8_t *p, size_t n)
{
    while (n > 0 && (p[0] == ' ' || p[0] == '\t'))
        p++, n--;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    switch (h->field) {
    case FIELD_HOST:
        return host_take(h, p, n);
    case FIELD_LENGTH:
        return length_take(h, p, n);
    case FIELD_CODING:
        return coding_take(h, p, n);
    case FIELD_CONNECTION:
        return connection_take(h, p, n);
    default:
        return expect_take(h, p, n);
    }
}

/* A name is a token up to the colon: so a space before the colon and a line that begins
 * with one (a folded value) are errors, as RFC 9112 5.1 and 5.2 demand. */
static http_step name_parse(http_parser *h, const uint8_t *p, size_t end)
{
    size_t pos = h->pos, start = h->start;

    if (pos == start && pos < end) {
        if (p[pos] == '\r') {
            h->pos++;
            h->phase = LAST;
            return HTTP_DONE;
        }
        if (h->fields == HTTP_FIELDS_MAX)
            return fail(h, 431);
    }
    pos = class_end(p, pos, end, T);
    h->pos = (uint16_t)pos;
    if (pos == end)
        return HTTP_MORE;
    if (p[pos] != ':' || pos == start)
        return fail(h, 400);
    h->field = field_find(p + start, pos - start);
    h->fields++;
    h->pos = h->start = (uint16_t)(pos + 1);
    h->phase = VALUE;
    return HTTP_DONE;
}

/* A line ends in CRLF; a CR or an LF alone, or any other control character, is an error. */
static http_step value_parse(http_parser *h, const uint8_t *p, size_t end)
{
    size_t pos = text_end(p, h->pos, end), start = h->start;
    unsigned status;

    h->pos = (uint16_t)pos;
    if (pos == end)
        return HTTP_MORE;
    if (p[pos] != '\r')
        return fail(h, 400);
    if (pos + 1 == end)
        return HTTP_MORE;
    if (p[pos + 1] != '\n')
        return fail(h, 400);
    h->pos = h->start = (uint16_t)(pos + 2);
    h->phase = NAME;
    if (h->field == FIELD_OTHER || (status = field_take(h, p + start, pos - start)) == 0)
        return HTTP_DONE;
    return fail(h, status);
}

/* The whole head is there: is it one request, and how long is its body? */
static http_step head_finish(http_parser *h, const uint8_t *p, size_t end)
{
    if (h->pos == end)
        return HTTP_MORE;
    if (p[h->pos] != '\n')
        return fail(h, 400);
    if (h->minor > 0 && !(h->flags & HTTP_HOST))
        return fail(h, 400);
    if ((h->flags & HTTP_CODING) && ((h->flags & HTTP_LENGTH) || h->minor == 0))
        return fail(h, 400);
    if (h->content_length > h->body_max)
        return fail(h, 413);
    h->head_length = (uint16_t)(h->pos + 1);
    h->left = h->content_length;
    h->phase = h->flags & HTTP_CHUNKED ? SIZE : LENGTH;
    if (h->flags & HTTP_CHUNKED)
        h->left = 0;
    return HTTP_DONE;
}

/* Ends, for each turn takes at least one byte. */
static http_step fields_parse(http_parser *h, const uint8_t *p, size_t end)
{
    http_step step = HTTP_DONE;

    while (step == HTTP_DONE && h->phase != LAST)
        step = h->phase == NAME ? name_parse(h, p, end) : value_parse(h, p, end);
    return step == HTTP_DONE ? head_finish(h, p, end) : step;
}

void http_parser_init(http_parser *h, uint64_t body_max)
{
    memset(h, 0, sizeof *h);
    h->body_max = body_max;
}

http_step http_head(http_parser *h, const char *p, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)p;
    http_step step;

    if (h->phase > LAST)
        return h->phase == FAILED ? HTTP_ERROR : HTTP_DONE;
    if (n < h->pos)
        return HTTP_MORE; /* bytes that were there are gone: do not look for them */
    if (h->phase < NAME) {
        step = line_parse(h, bytes, n < HTTP_LINE_MAX ? n : HTTP_LINE_MAX);
        if (step == HTTP_MORE && n >= HTTP_LINE_MAX)
            return fail(h, 414);
        if (step != HTTP_DONE)
            return step;
    }
    step = fields_parse(h, bytes, n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX);
    if (step == HTTP_MORE && n >= HTTP_HEAD_MAX)
        return fail(h, 431);
    return step;
}

/* ---- the body ---- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static http_step size_digit(http_parser *h, uint8_t c)
{
    int v = hex_value(c);

    if (v >= 0 && h->digits < HTTP_CHUNK_DIGITS) {
        h->digits++;
        h->left = h->left << 4 | (uint64_t)v;
        return HTTP_MORE;
    }
    if (v >= 0 || h->digits == 0)
        return fail(h, 400);
    if (c == '\r')
        h->phase = SIZE_LF;
    else if (c == ';')
        h->phase = SIZE_NAME;
    else if (c == ' ' || c == '\t')
        h->phase = SIZE_SPACE;
    else
        return fail(h, 400);
    return HTTP_MORE;
}

/* Extensions mean nothing here and are skipped; where they end must be beyond doubt. */
static http_step size_extension(http_parser *h, uint8_t c)
{
    int space = c == ' ' || c == '\t';

    if (++h->extra > HTTP_CHUNK_EXT_MAX)
        return fail(h, 413);
    switch (h->phase) {
    case SIZE_SPACE: /* between the size and the semicolon */
        if (c == ';')
            h->phase = SIZE_NAME;
        return c == ';' || space ? HTTP_MORE : fail(h, 400);
    case SIZE_NAME: /* after the semicolon: an extension has a name */
        if (class[c] & T)
            h->phase = SIZE_EXT;
        return space || (class[c] & T) ? HTTP_MORE : fail(h, 400);
    default: /* SIZE_EXT */
        if (c == '\r')
            h->phase = SIZE_LF;
        return c == '\r' || (class[c] & V) ? HTTP_MORE : fail(h, 400);
    }
}

static http_step size_finish(http_parser *h, uint8_t c)
{
    if (c != '\n')
        return fail(h, 400);
    if (h->left > h->body_max - h->got)
        return fail(h, 413);
    h->got += h->left;
    h->phase = h->left > 0 ? CHUNK : TRAILER;
    if (h->phase == TRAILER)
        h->extra = 0;
    return HTTP_MORE;
}

/* The trailer must have the form of fields; what it says is dropped, for no field of the
 * head may be changed after it was acted upon (RFC 9110 6.5.1). */
static http_step trailer_byte(http_parser *h, uint8_t c)
{
    if (++h->extra > HTTP_HEAD_MAX)
        return fail(h, 431);
    switch (h->phase) {
    case TRAILER:
        if (c == '\r') {
            h->phase = TRAILER_LAST;
            return HTTP_MORE;
        }
        if (h->fields == HTTP_FIELDS_MAX)
            return fail(h, 431);
        h->fields++;
        h->phase = TRAILER_NAME;
        return class[c] & T ? HTTP_MORE : fail(h, 400);
    case TRAILER_NAME:
        if (c == ':')
            h->phase = TRAILER_VALUE;
        return c == ':' || (class[c] & T) ? HTTP_MORE : fail(h, 400);
    case TRAILER_VALUE:
        if (c == '\r')
            h->phase = TRAILER_LF;
        return c == '\r' || (class[c] & V) ? HTTP_MORE : fail(h, 400);
    case TRAILER_LF:
        h->phase = TRAILER;
        return c == '\n' ? HTTP_MORE : fail(h, 400);
    default: /* TRAILER_LAST */
        h->phase = FINISHED;
        return c == '\n' ? HTTP_DONE : fail(h, 400);
    }
}

/* One byte of what stands around the chunks. */
static http_step chunk_byte(http_parser *h, uint8_t c)
{
    switch (h->phase) {
    case SIZE:
        return size_digit(h, c);
    case SIZE_SPACE:
    case SIZE_NAME:
    case SIZE_EXT:
        return size_extension(h, c);
    case SIZE_LF:
        return size_finish(h, c);
    case CHUNK_CR:
        h->phase = CHUNK_LF;
        return c == '\r' ? HTTP_MORE : fail(h, 400);
    case CHUNK_LF:
        h->phase = SIZE;
        h->digits = 0;
        return c == '\n' ? HTTP_MORE : fail(h, 400);
    default:
        return trailer_byte(h, c);
    }
}

http_step http_body(http_parser *h, const char *p, size_t n, size_t *used, const char **data, size_t *length)
{
    size_t i = 0;

    *used = *length = 0;
    *data = p;
    if (h->phase == FINISHED || (h->phase == LENGTH && h->left == 0))
        return HTTP_DONE;
    if (h->phase == FAILED || h->phase <= LAST) /* LAST: called before the head was done */
        return fail(h, h->status ? h->status : 400);
    while (i < n) {
        http_step step;

        if (h->phase == CHUNK || h->phase == LENGTH) {
            *data = p + i;
            *length = n - i < h->left ? n - i : (size_t)h->left;
            *used = i + *length;
            h->left -= *length;
            if (h->phase == CHUNK && h->left == 0)
                h->phase = CHUNK_CR;
            return HTTP_DATA;
        }
        step = chunk_byte(h, (uint8_t)p[i++]);
        if (step != HTTP_MORE) {
            *used = i;
            return step;
        }
    }
    *used = n;
    return HTTP_MORE;
}

int http_has_body(const http_parser *h)
{
    return h->content_length > 0 || (h->flags & HTTP_CHUNKED) != 0;
}

int http_keeps_alive(const http_parser *h)
{
    if (h->flags & HTTP_CLOSE)
        return 0;
    return h->minor > 0 || (h->flags & HTTP_KEEP_ALIVE) != 0;
}

const char *http_reason(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 505: return "HTTP Version Not Supported";
    default: return "Bad Request";
    }
}
