/* SPDX-License-Identifier: MIT */
/*
 * The request parser of the HTTP example: whatever the cuts, the same comes out; and whole heads and chunked
 * bodies against a reader that goes by lines and by the letter of RFC 9112, so that nothing is taken that
 * two parsers could read in two ways.
 */
#include "fuzz.h"

#include "examples/http_parser.h"

#define REQUESTS_MAX 8u
#define BYTES_MAX 40000u /* beyond every limit of the parser */

enum { NO = -1, MORE = 0, YES = 1 };

/* What came of the bytes: heads and bodies one after the other. */
typedef struct transcript {
    struct {
        http_parser head; /* as it was after the head */
        size_t begin, body, body_n, next; /* offsets; body_n bytes of the decoded body */
        int whole;
    } request[REQUESTS_MAX];
    unsigned requests;
    http_step last;
    unsigned status;
    size_t used;
    uint8_t *data; /* all bodies */
    size_t data_n;
} transcript;

/* ------------------------------------------------------------------- to run */

static size_t head_step(transcript *t, http_parser *h, const char *p, size_t n)
{
    char *b = exactly(p, n);

    t->last = http_head(h, b, n);
    free(b);
    must(t->last != HTTP_DATA, "a head is a piece of a body");
    if (t->last != HTTP_DONE)
        return 0;
    must(h->head_length > 0 && h->head_length <= n, "a head of %u bytes in %zu", h->head_length, n);
    must(h->target_length > 0 && h->target + h->target_length < h->head_length, "the target is not inside");
    must(h->path_length == 0 || (h->path >= h->target && h->path + h->path_length <= h->target +
         h->target_length), "the path is not inside");
    return h->head_length;
}

static size_t body_step(transcript *t, http_parser *h, const char *p, size_t n)
{
    char *b = exactly(p, n);
    const char *data;
    size_t used, length;

    t->last = http_body(h, b, n, &used, &data, &length);
    must(used <= n, "%zu of %zu bytes used", used, n);
    if (t->last == HTTP_DATA) {
        must(length > 0 && data >= b && data + length <= b + used, "a piece that is not inside");
        memcpy(t->data + t->data_n, data, length);
        t->data_n += length;
    } else {
        must(length == 0, "%zu bytes come with step %d", length, t->last);
    }
    must(t->last != HTTP_MORE || used == n, "more is wanted, but %zu bytes are left", n - used);
    free(b);
    return used;
}

/* Shows bytes up to `end` until they are used up.  0: nothing can follow. */
static int feed(transcript *t, http_parser *h, int *in_body, const char *p, size_t end, uint64_t body_max)
{
    for (size_t turns = 0; t->used < end || *in_body; turns++) {
        must(turns < 4 * end + 4, "no end");
        size_t n = end - t->used, before = t->data_n;
        size_t used = *in_body ? body_step(t, h, p + t->used, n) : head_step(t, h, p + t->used, n);

        if (*in_body)
            t->request[t->requests - 1].body_n += t->data_n - before;
        t->used += used;
        if (t->last == HTTP_ERROR) {
            t->status = h->status;
            return 0;
        }
        if (t->last == HTTP_MORE)
            return 1;
        if (t->last == HTTP_DONE && !*in_body) {
            t->request[t->requests].head = *h;
            t->request[t->requests].begin = t->used - used;
            t->request[t->requests++].body = t->used;
            *in_body = 1;
        } else if (t->last == HTTP_DONE) {
            t->request[t->requests - 1].next = t->used;
            t->request[t->requests - 1].whole = 1;
            *in_body = 0;
            http_parser_init(h, body_max);
            if (t->requests == REQUESTS_MAX)
                return 0;
        }
    }
    return 1;
}

/* The bytes come in pieces of these lengths, over and over; 0: whole. */
static void run(transcript *t, const char *p, size_t n, const uint8_t *pieces, size_t count,
                uint64_t body_max)
{
    http_parser h;
    int in_body = 0, go_on = 1;
    size_t end = 0;

    memset(t, 0, sizeof *t);
    t->data = malloc(n + 1);
    must(t->data != NULL, "the test has no memory");
    http_parser_init(&h, body_max);
    for (size_t i = 0; go_on && end < n; i++) {
        size_t piece = count == 0 ? n : 1 + (size_t)pieces[i % count];

        end = piece < n - end ? end + piece : n;
        go_on = feed(t, &h, &in_body, p, end, body_max);
    }
}

static void same(const transcript *a, const transcript *b, const char *how)
{
    must(a->requests == b->requests && a->last == b->last && a->status == b->status,
         "%s: %u requests, step %d, status %u; whole: %u, %d, %u", how, b->requests, b->last, b->status,
         a->requests, a->last, a->status);
    must(a->data_n == b->data_n && memcmp(a->data, b->data, a->data_n) == 0, "%s: another body", how);
    for (unsigned i = 0; i < a->requests; i++) {
        const http_parser *x = &a->request[i].head, *y = &b->request[i].head;

        must(a->request[i].begin == b->request[i].begin && a->request[i].body == b->request[i].body &&
             a->request[i].next == b->request[i].next && a->request[i].body_n == b->request[i].body_n,
             "%s: request %u stands elsewhere", how, i);
        must(x->method == y->method && x->minor == y->minor && x->flags == y->flags &&
             x->content_length == y->content_length && x->target == y->target &&
             x->target_length == y->target_length && x->path == y->path && x->path_length == y->path_length,
             "%s: request %u is another", how, i);
    }
}

/* ---------------------------------------------------------------- reference */

static int among(uint8_t c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static int alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int is_token(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!alnum(p[i]) && !among(p[i], "!#$%&'*+-.^_`|~"))
            return 0;
    }
    return n > 0;
}

static int is_value(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\t' && (p[i] < 0x20 || p[i] == 0x7f))
            return 0;
    }
    return 1;
}

static int equal(const uint8_t *p, size_t n, const char *lower)
{
    if (n != strlen(lower))
        return 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = p[i] >= 'A' && p[i] <= 'Z' ? (uint8_t)(p[i] + 32) : p[i];
        if (c != (uint8_t)lower[i])
            return 0;
    }
    return 1;
}

/* What the fields say together. */
typedef struct facts {
    unsigned fields, hosts, lengths, codings;
    int bad; /* one of them cannot be */
    uint64_t length;
} facts;

/* "chunked" once and at the end; anything else is refused in one way or another. */
static int coding_is_chunked(const uint8_t *p, size_t n)
{
    unsigned words = 0;
    int chunked = 0;

    for (size_t i = 0; i < n;) {
        size_t first = i, last;

        while (i < n && p[i] != ',')
            i++;
        for (last = i; first < last && (p[first] == ' ' || p[first] == '\t'); first++)
            continue;
        for (; last > first && (p[last - 1] == ' ' || p[last - 1] == '\t'); last--)
            continue;
        if (last > first) {
            words++;
            chunked = equal(p + first, last - first, "chunked");
        }
        i++;
    }
    return words == 1 && chunked;
}

static void field(facts *f, const uint8_t *name, size_t name_n, const uint8_t *p, size_t n)
{
    while (n > 0 && (p[0] == ' ' || p[0] == '\t'))
        p++, n--;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    f->fields++;
    if (equal(name, name_n, "host"))
        f->hosts++;
    if (equal(name, name_n, "content-length")) {
        f->lengths++;
        f->bad |= n == 0;
        for (size_t i = 0; i < n; i++) {
            f->bad |= p[i] < '0' || p[i] > '9';
            f->length = f->length > UINT64_MAX / 10 - 1 ? UINT64_MAX : f->length * 10 + (p[i] & 15u);
        }
    }
    if (equal(name, name_n, "transfer-encoding")) {
        f->codings++;
        f->bad |= !coding_is_chunked(p, n);
    }
}

/* Where a CR LF begins from `at` on; n if there is none. */
static size_t line_end(const uint8_t *p, size_t n, size_t at)
{
    while (at + 1 < n && !(p[at] == '\r' && p[at + 1] == '\n'))
        at++;
    return at + 1 < n ? at : n;
}

/* A head that the parser has taken: each line of it is what the standard allows. */
static void check_head(const http_parser *h, const uint8_t *p, uint64_t body_max)
{
    facts f = { 0 };
    size_t at = p[0] == '\r' ? 2 : 0, n = h->head_length, end = line_end(p, n, at);
    const uint8_t *line = p + at, *space = memchr(line, ' ', end - at);

    must(n <= HTTP_HEAD_MAX && end + 2 <= HTTP_LINE_MAX, "a head of %zu bytes, a line of %zu", n, end);
    must(memcmp(p + n - 4, "\r\n\r\n", 4) == 0, "the head ends before its end");
    must(space != NULL && is_token(line, (size_t)(space - line)), "the method is no token");
    must(space - line <= HTTP_METHOD_MAX, "a method of %td", space - line);
    must(h->target == space + 1 - p && p[h->target + h->target_length] == ' ', "the target is elsewhere");
    for (size_t i = 0; i < h->target_length; i++)
        must(p[h->target + i] > 0x20 && p[h->target + i] < 0x7f, "a byte %u in the target", p[h->target + i]);
    must(end - (h->target + h->target_length) == 9 && memcmp(p + end - 8, "HTTP/1.", 7) == 0, "no version");
    must((p[end - 1] != '0') == (h->minor != 0), "the version is read wrongly");
    for (at = end + 2; at + 2 < n; at = end + 2) {
        end = line_end(p, n, at);
        const uint8_t *colon = memchr(p + at, ':', end - at);
        must(colon != NULL && is_token(p + at, (size_t)(colon - p) - at), "a field without a name");
        must(is_value(colon + 1, (size_t)(p + end - colon) - 1), "a field with control characters");
        field(&f, p + at, (size_t)(colon - p) - at, colon + 1, (size_t)(p + end - colon) - 1);
    }
    must(f.fields <= HTTP_FIELDS_MAX, "%u fields", f.fields);
    must(f.hosts <= 1 && (f.hosts == 1 || h->minor == 0), "%u Host fields", f.hosts);
    must(f.lengths <= 1 && f.codings <= 1 && f.lengths + f.codings <= 1, "%u lengths, %u codings", f.lengths,
         f.codings);
    must(!f.bad, "a length or a coding that is none");
    must(f.codings == 0 || h->minor > 0, "a coding in HTTP/1.0");
    must(!(h->flags & HTTP_HOST) == !f.hosts && !(h->flags & HTTP_LENGTH) == !f.lengths &&
         !(h->flags & HTTP_CHUNKED) == !f.codings, "flags %x", h->flags);
    must(h->content_length == f.length && f.length <= body_max, "a length of %llu, not %llu",
         (unsigned long long)h->content_length, (unsigned long long)f.length);
}

/* A head that has come to its end and was refused: something is wrong with it that this reader knows of, or
 * its status tells of what it does not look for. */
static int head_is_plain(const uint8_t *p, size_t n)
{
    static const char first[] = "GET / HTTP/1.1\r\nHost: h\r\n";
    size_t at = sizeof first - 1, fields = 1;

    if (n < at || memcmp(p, first, at) != 0)
        return 0;
    for (;; fields++) {
        size_t end = line_end(p, n, at);

        if (end == n || end > HTTP_HEAD_MAX - 2 || fields > HTTP_FIELDS_MAX)
            return 0;
        if (end == at)
            return 1;
        const uint8_t *colon = memchr(p + at, ':', end - at);
        if (colon == NULL || p[at] != 'X' || !is_token(p + at, (size_t)(colon - p) - at) ||
            !is_value(colon + 1, (size_t)(p + end - colon) - 1))
            return 0;
        at = end + 2;
    }
}

/* The body in chunks from p on.  YES: whole, with *out its *got bytes and *used those that it takes. */
static int dechunk(const uint8_t *p, size_t n, uint64_t max, uint8_t *out, size_t *got, size_t *used)
{
    size_t at = 0;

    for (*got = 0;;) {
        size_t end = line_end(p, n, at), digits = 0;
        uint64_t size = 0;

        if (end == n)
            return MORE;
        for (; at < end && alnum(p[at]) && (p[at] | 0x20) <= 'f'; at++, digits++)
            size = size << 4 | (p[at] <= '9' ? p[at] & 15u : (p[at] & 15u) + 9u);
        if (digits == 0 || digits > HTTP_CHUNK_DIGITS || size > max - *got)
            return NO;
        if (at < end) { /* extensions */
            while (at < end && (p[at] == ' ' || p[at] == '\t'))
                at++;
            if (at == end || p[at] != ';' || !is_value(p + at, end - at))
                return NO;
        }
        at = end + 2;
        if (size == 0)
            break;
        if (n - at < size)
            return MORE;
        memcpy(out + *got, p + at, size);
        *got += size;
        at += size;
        if (n - at < 2)
            return MORE;
        if (memcmp(p + at, "\r\n", 2) != 0)
            return NO;
        at += 2;
    }
    for (;;) {
        size_t end = line_end(p, n, at);
        const uint8_t *colon;

        if (end == n)
            return MORE;
        if (end == at)
            break;
        colon = memchr(p + at, ':', end - at);
        if (colon == NULL || !is_token(p + at, (size_t)(colon - p) - at) ||
            !is_value(colon + 1, (size_t)(p + end - colon) - 1))
            return NO;
        at = end + 2;
    }
    *used = at + 2;
    return YES;
}

/* ------------------------------------------------------------------ oracles */

static void check_body(const transcript *t, unsigned i, const uint8_t *p, size_t n, const uint8_t *data,
                       uint64_t body_max)
{
    const http_parser *h = &t->request[i].head;
    size_t body = t->request[i].body, used = 0, got = 0;
    uint8_t *want;
    int is;

    if (!(h->flags & HTTP_CHUNKED)) {
        got = t->request[i].body_n;
        must(t->request[i].whole ? got == h->content_length && t->request[i].next == body + got :
             got < h->content_length, "a body of %zu bytes, not %llu", got,
             (unsigned long long)h->content_length);
        must(memcmp(data, p + body, got) == 0, "a body that was not sent");
        return;
    }
    want = malloc(n - body + 1);
    is = dechunk(p + body, n - body, body_max, want, &got, &used);
    if (t->request[i].whole) {
        must(is == YES, "a body in chunks was taken that is %d", is);
        must(t->request[i].next == body + used && t->request[i].body_n == got, "%zu bytes of body, not %zu",
             t->request[i].body_n, got);
        must(memcmp(want, data, got) == 0, "another body");
    } else if (is == NO) {
        must(t->last == HTTP_ERROR, "a body that is none wants more");
    } else if (is == YES) {
        must(t->last == HTTP_ERROR, "a whole body wants more");
        must(t->status == 413 || t->status == 431 || t->status == 400, "a body is refused with %u",
             t->status);
    }
    free(want);
}

static void check(const transcript *t, const char *text, size_t n, uint64_t body_max)
{
    const uint8_t *p = (const uint8_t *)text, *data = t->data;

    for (unsigned i = 0; i < t->requests; i++) {
        check_head(&t->request[i].head, p + t->request[i].begin, body_max);
        check_body(t, i, p, n, data, body_max);
        must(t->request[i].body_n <= body_max, "a body of %zu bytes", t->request[i].body_n);
        data += t->request[i].body_n;
    }
    if (t->last == HTTP_ERROR) {
        static const unsigned known[] = { 400, 413, 414, 417, 431, 501, 505 };
        unsigned is = 0;

        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is += t->status == known[i];
        must(is == 1, "status %u", t->status);
    }
    /* What stands after the last whole request. */
    size_t at = t->requests == 0 ? 0 : t->request[t->requests - 1].next;
    if (t->requests == 0 || (t->request[t->requests - 1].whole && t->requests < REQUESTS_MAX)) {
        must(t->last != HTTP_MORE || n - at < HTTP_HEAD_MAX, "%zu bytes of a head, and more is wanted",
             n - at);
        must(!head_is_plain(p + at, n - at), "a plain request was not taken: step %d, status %u", t->last,
             t->status);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t one = 0;
    input in = { data, size };
    uint64_t body_max = next16(&in);
    uint8_t pieces[4];
    transcript whole, t;

    for (size_t i = 0; i < sizeof pieces; i++)
        pieces[i] = next8(&in);
    size_t n = in.n < BYTES_MAX ? in.n : BYTES_MAX;
    char *text = exactly(in.p, n);
    run(&whole, text, n, NULL, 0, body_max);
    check(&whole, text, n, body_max);
    run(&t, text, n, pieces, sizeof pieces, body_max);
    same(&whole, &t, "in pieces");
    free(t.data);
    if (n < 700) {
        run(&t, text, n, &one, 1, body_max);
        same(&whole, &t, "byte by byte");
        free(t.data);
    }
    free(whole.data);
    free(text);
    return 0;
}
