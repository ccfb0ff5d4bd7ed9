/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "reply.h"

enum { START, FIELDS, BODY, BODY_TO_END, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

void reply_init(reply *r)
{
    memset(r, 0, offsetof(reply, line));
}

int reply_idle(const reply *r)
{
    return r->state == START && r->line_len == 0;
}

reply_step reply_end(const reply *r)
{
    return r->state == BODY_TO_END ? REPLY_DONE : REPLY_BAD;
}

/* Compares without regard to case; b is in lower case. */
static int same(const char *a, size_t n, const char *b)
{
    size_t i;

    for (i = 0; i < n; i++) {
        char ch = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] + 32) : a[i];

        if (b[i] == '\0' || ch != b[i])
            return 0;
    }
    return b[n] == '\0';
}

/* Does the comma-separated list v hold word? */
static int listed(const char *v, size_t n, const char *word)
{
    size_t i = 0;

    while (i < n) {
        size_t from, to;

        while (i < n && (v[i] == ' ' || v[i] == '\t' || v[i] == ','))
            i++;
        from = i;
        while (i < n && v[i] != ',')
            i++;
        for (to = i; to > from && (v[to - 1] == ' ' || v[to - 1] == '\t'); )
            to--;
        if (same(v + from, to - from, word))
            return 1;
    }
    return 0;
}

/* "HTTP/1.x NNN", then nothing or a blank and any text. */
static int status_line(reply *r, const char *p, size_t n)
{
    int i;

    if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
        return 0;
    r->status = 0;
    for (i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return 0;
        r->status = (uint16_t)(r->status * 10 + (p[i] - '0'));
    }
    r->closes = p[7] == '0';
    return r->status >= 100 && (n == 12 || p[12] == ' ');
}

static int content_length(reply *r, const char *v, size_t n)
{
    uint64_t x = 0;
    size_t i;

    if (n == 0 || n > 18) /* 18 digits do not overflow */
        return 0;
    for (i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9')
            return 0;
        x = x * 10 + (uint64_t)(v[i] - '0');
    }
    if (r->has_length && r->left != x)
        return 0;
    r->has_length = 1;
    r->left = x;
    return 1;
}

static int field(reply *r, const char *name, size_t n, const char *v, size_t vn)
{
    switch (n) {
    case 10:
        if (same(name, n, "connection")) {
            if (listed(v, vn, "close"))
                r->closes = 1;
            else if (listed(v, vn, "keep-alive"))
                r->closes = 0;
        }
        return 1;
    case 14:
        return !same(name, n, "content-length") || content_length(r, v, vn);
    case 17:
        if (same(name, n, "transfer-encoding")) {
            if (!same(v, vn, "chunked")) /* we never ask for another coding */
                return 0;
            r->chunked = 1;
        }
        return 1;
    default:
        return 1;
    }
}

static int field_line(reply *r, const char *p, size_t n, int cut)
{
    const char *colon = memchr(p, ':', n);
    const char *v, *end = p + n;

    if (colon == NULL || colon == p)
        return colon == NULL && cut; /* a name longer than what is kept is none that we know */
    if (memchr(p, ' ', (size_t)(colon - p)) != NULL)
        return 0;
    for (v = colon + 1; v < end && (*v == ' ' || *v == '\t'); )
        v++;
    while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (cut && (same(p, (size_t)(colon - p), "content-length")
                || same(p, (size_t)(colon - p), "transfer-encoding")))
        return 0;
    return field(r, p, (size_t)(colon - p), v, (size_t)(end - v));
}

/* The empty line has come.  1: the response is at its end, 0: it is not, -1: it is malformed. */
static int head_end(reply *r)
{
    if (r->status < 200) { /* an interim response: the real one follows; 101 is not ours to see */
        if (r->status == 101)
            return -1;
        reply_init(r);
        return 0;
    }
    if (r->chunked && r->has_length)
        return -1;
    r->lines = 0;
    if (r->status == 204 || r->status == 304)
        return 1;
    if (r->chunked)
        r->state = CHUNK_SIZE;
    else if (r->has_length)
        r->state = BODY;
    else
        r->state = BODY_TO_END;
    return r->state == BODY && r->left == 0;
}

static int hex(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

static int chunk_size(reply *r, const char *p, size_t n)
{
    uint64_t x = 0;
    size_t i;

    for (i = 0; i < n && hex(p[i]) >= 0; i++) {
        if (i == 15) /* 15 digits do not overflow */
            return -1;
        x = x * 16 + (uint64_t)hex(p[i]);
    }
    if (i == 0 || (i < n && p[i] != ';' && p[i] != ' ' && p[i] != '\t'))
        return -1;
    r->left = x;
    r->state = x != 0 ? CHUNK : TRAILER;
    return 0;
}

/* One whole line without its end; cut: only its first part is here. */
static int line_done(reply *r, const char *p, size_t n, int cut)
{
    if (++r->lines > REPLY_LINES_MAX && r->state != CHUNK_SIZE && r->state != CHUNK_END)
        return -1;
    switch (r->state) {
    case START:
        r->state = FIELDS;
        return status_line(r, p, n) ? 0 : -1;
    case FIELDS:
        if (n == 0)
            return head_end(r);
        return field_line(r, p, n, cut) ? 0 : -1;
    case CHUNK_SIZE:
        r->lines = 0;
        return chunk_size(r, p, n);
    case CHUNK_END:
        r->state = CHUNK_SIZE;
        return n == 0 ? 0 : -1;
    default: /* TRAILER */
        return n == 0;
    }
}

/* The same rule for lines that came in one piece and for others. */
static int line_whole(reply *r, const char *p, size_t n)
{
    return n > REPLY_LINE_KEPT ? line_done(r, p, REPLY_LINE_KEPT, 1) : line_done(r, p, n, 0);
}

/* Takes bytes of one line; as line_done once it is whole. */
static int line_feed(reply *r, const char *p, size_t n, size_t *used)
{
    const char *lf = memchr(p, '\n', n);
    size_t part = lf != NULL ? (size_t)(lf - p) + 1 : n;
    size_t text;

    *used = part;
    if (part > REPLY_LINE_MAX - r->line_len)
        return -1;
    if (lf != NULL && r->line_len == 0) {
        if (part < 2 || lf[-1] != '\r')
            return -1;
        return line_whole(r, p, part - 2);
    }
    if (r->line_len < REPLY_LINE_KEPT) {
        size_t room = REPLY_LINE_KEPT - r->line_len;

        memcpy(r->line + r->line_len, p, part < room ? part : room);
    }
    r->line_len += (uint32_t)part;
    if (lf == NULL) {
        r->last = p[part - 1];
        return 0;
    }
    if (r->line_len < 2 || (part >= 2 ? lf[-1] : r->last) != '\r')
        return -1;
    text = r->line_len - 2;
    r->line_len = 0;
    return line_whole(r, r->line, text);
}

static int body_feed(reply *r, size_t n, size_t *used)
{
    if (r->state == BODY_TO_END) {
        *used = n;
        return 0;
    }
    *used = n < r->left ? n : (size_t)r->left;
    r->left -= *used;
    if (r->left != 0)
        return 0;
    if (r->state == BODY)
        return 1;
    r->state = CHUNK_END;
    return 0;
}

reply_step reply_feed(reply *r, const char *p, size_t n, size_t *used)
{
    size_t at = 0;

    while (at < n) {
        size_t took;
        int in_body = r->state == BODY || r->state == BODY_TO_END || r->state == CHUNK;
        int done = in_body ? body_feed(r, n - at, &took) : line_feed(r, p + at, n - at, &took);

        at += took;
        if (done == 0)
            continue;
        *used = at;
        if (done < 0)
            return REPLY_BAD;
        r->state = START;
        r->line_len = 0;
        r->lines = 0;
        r->has_length = 0;
        r->chunked = 0;
        r->left = 0;
        return REPLY_DONE;
    }
    *used = at;
    return REPLY_MORE;
}
