/* SPDX-License-Identifier: MIT */
/*
 * The request parser of the HTTP example, without a socket.
 *
 * Every request goes through the parser the way the server drives it, from heap blocks of
 * exactly the bytes that would have come, so that a sanitizer sees the first byte read
 * beyond them.  What happened is written down as one line of text (the transcript): two
 * ways to cut the same bytes must give the same line.
 */
#include "examples/http_parser.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 1000u
#define TEXT_MAX 4096u

#define CRLF "\r\n"
#define HOST "Host: h" CRLF
#define CHUNK_FIELD "Transfer-Encoding: chunked" CRLF
#define CHUNKED "POST /c HTTP/1.1" CRLF HOST CHUNK_FIELD CRLF

struct transcript {
    char text[TEXT_MAX];
    size_t length;
    http_step last;
    unsigned status;
};

/* A block of exactly n bytes; the only way this file shows bytes to the parser. */
static char *block(const char *p, size_t n)
{
    char *b = malloc(n);

    ck_assert(b != NULL || n == 0);
    if (n > 0)
        memcpy(b, p, n);
    return b;
}

static void put(struct transcript *t, const char *p, size_t n)
{
    if (n > TEXT_MAX - 1 - t->length)
        n = TEXT_MAX - 1 - t->length;
    memcpy(t->text + t->length, p, n);
    t->length += n;
    t->text[t->length] = 0;
}

static void put_head(struct transcript *t, const http_parser *h, const char *p)
{
    char line[96];

    snprintf(line, sizeof line, "[%u/%u flags %x len %llu ", h->method, h->minor, h->flags,
             (unsigned long long)h->content_length);
    put(t, line, strlen(line));
    put(t, p + h->target, h->target_length);
    put(t, " path ", 6);
    put(t, p + h->path, h->path_length);
    put(t, "] ", 2);
}

/* One parser call on the bytes from..to.  Returns how many were used up. */
static size_t step_head(struct transcript *t, http_parser *h, const char *p, size_t n)
{
    char *b = block(p, n);
    size_t used = 0;

    t->last = http_head(h, b, n);
    ck_assert(t->last != HTTP_DATA);
    if (t->last == HTTP_DONE) {
        ck_assert_uint_le(h->head_length, n);
        ck_assert_uint_le(h->target + h->target_length, h->head_length);
        ck_assert_uint_le(h->path + h->path_length, h->head_length);
        put_head(t, h, b);
        used = h->head_length;
    }
    free(b);
    return used;
}

static size_t step_body(struct transcript *t, http_parser *h, const char *p, size_t n)
{
    char *b = block(p, n);
    const char *data;
    size_t used, length;

    t->last = http_body(h, b, n, &used, &data, &length);
    ck_assert_uint_le(used, n);
    if (t->last == HTTP_DATA) {
        ck_assert(length > 0 && data >= b && data + length <= b + used);
        put(t, data, length);
    } else {
        ck_assert_uint_eq(length, 0);
    }
    if (t->last == HTTP_MORE)
        ck_assert_uint_eq(used, n);
    free(b);
    return used;
}

/* Feeds n bytes that come in pieces which end at the given cuts (ascending; the last is n). */
static void run(struct transcript *t, const char *p, size_t n, const size_t *cuts, size_t count)
{
    http_parser h;
    size_t at = 0;
    int in_body = 0;

    memset(t, 0, sizeof *t);
    http_parser_init(&h, BODY_MAX);
    for (size_t i = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : n;

        /* Each turn uses up bytes or ends a head or a body; 4 n + 4 is far beyond that. */
        for (size_t turns = 0; at < end || in_body; turns++) {
            ck_assert_uint_lt(turns, 4 * n + 4);
            at += in_body ? step_body(t, &h, p + at, end - at) : step_head(t, &h, p + at, end - at);
            if (t->last == HTTP_ERROR) {
                t->status = h.status;
                return;
            }
            if (t->last == HTTP_MORE)
                break;
            if (t->last == HTTP_DONE) {
                if (in_body) {
                    put(t, ". ", 2);
                    http_parser_init(&h, BODY_MAX);
                }
                in_body = !in_body;
            }
        }
    }
}

static void same_transcript(const struct transcript *a, const struct transcript *b, const char *p, size_t n,
                            const char *how, size_t where)
{
    if (a->last == b->last && a->status == b->status && strcmp(a->text, b->text) == 0)
        return;
    ck_abort_msg("cut %s %zu: step %d status %u \"%s\", whole: step %d status %u \"%s\"; input:\n%.*s", how,
                 where, b->last, b->status, b->text, a->last, a->status, a->text, (int)n, p);
}

/* The same result whole, cut at each byte, and byte by byte. */
static void check_cuts(const struct transcript *whole, const char *p, size_t n)
{
    struct transcript t;
    size_t *all = malloc((n + 1) * sizeof *all);

    ck_assert_ptr_nonnull(all);
    for (size_t i = 0; i <= n; i++) {
        all[i] = i;
        run(&t, p, n, &i, 1);
        same_transcript(whole, &t, p, n, "at", i);
    }
    run(&t, p, n, all, n + 1);
    same_transcript(whole, &t, p, n, "at every byte of", n);
    free(all);
}

/* ---------------------------------------------------------------- tables */

static const struct good {
    const char *request, *transcript;
} good[] = {
    {"GET / HTTP/1.1" CRLF HOST CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {CRLF "GET / HTTP/1.1" CRLF HOST CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {"GET / HTTP/1.0" CRLF CRLF, "[1/0 flags 0 len 0 / path /] . "},
    {"GET / HTTP/1.7" CRLF HOST CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {"HEAD /a?b=c HTTP/1.1" CRLF "hOsT:h:80" CRLF CRLF, "[2/1 flags 1 len 0 /a?b=c path /a] . "},
    {"GET /abcdefghijk?lmnopqrst?u?/ HTTP/1.1" CRLF HOST CRLF,
     "[1/1 flags 1 len 0 /abcdefghijk?lmnopqrst?u?/ path /abcdefghijk] . "},
    {"GET /? HTTP/1.1" CRLF "Host:" CRLF CRLF, "[1/1 flags 1 len 0 /? path /] . "},
    {"GET http://h HTTP/1.1" CRLF HOST CRLF, "[1/1 flags 1 len 0 http://h path ] . "},
    {"GET http://h?q HTTP/1.1" CRLF HOST CRLF, "[1/1 flags 1 len 0 http://h?q path ] . "},
    {"GET HTTPS://h:1/x/y?z HTTP/1.1" CRLF HOST CRLF, "[1/1 flags 1 len 0 HTTPS://h:1/x/y?z path /x/y] . "},
    {"OPTIONS * HTTP/1.1" CRLF HOST CRLF, "[6/1 flags 81 len 0 * path ] . "},
    {"OPTIONS http://h HTTP/1.1" CRLF HOST CRLF, "[6/1 flags 81 len 0 http://h path ] . "},
    {"CONNECT h:443 HTTP/1.1" CRLF HOST CRLF, "[9/1 flags 1 len 0 h:443 path ] . "},
    {"get / HTTP/1.1" CRLF HOST CRLF, "[0/1 flags 1 len 0 / path /] . "},
    {"PROPFIND / HTTP/1.1" CRLF HOST CRLF, "[0/1 flags 1 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF "Host: [::1]:8080" CRLF CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF "Host: [::1]" CRLF CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF HOST "Connection: close" CRLF CRLF, "[1/1 flags 11 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF HOST "connection: ,, TE ,Keep-Alive\t, , CLOSE" CRLF CRLF,
     "[1/1 flags 31 len 0 / path /] . "},
    {"GET / HTTP/1.0" CRLF "Connection: keep-alive" CRLF "Connection: x" CRLF CRLF,
     "[1/0 flags 20 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF "X-Empty:" CRLF "X-Tab: a\tb\t \t" CRLF "X-Obs: \xc3\xbc\xff" CRLF HOST CRLF,
     "[1/1 flags 1 len 0 / path /] . "},
    {"GET / HTTP/1.1" CRLF "!#$%&'*+-.^_`|~09azAZ: x" CRLF HOST CRLF, "[1/1 flags 1 len 0 / path /] . "},
    {"POST /p HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF CRLF "hello",
     "[3/1 flags 3 len 5 /p path /p] hello. "},
    {"POST /p HTTP/1.1" CRLF HOST "Content-Length: \t 0000000000000000000000005 \t" CRLF CRLF "hello",
     "[3/1 flags 3 len 5 /p path /p] hello. "},
    {"POST /p HTTP/1.1" CRLF HOST "Content-Length: 0" CRLF CRLF, "[3/1 flags 3 len 0 /p path /p] . "},
    {"POST /p HTTP/1.0" CRLF "Content-Length: 2" CRLF CRLF "\r\n", "[3/0 flags 2 len 2 /p path /p] \r\n. "},
    {"PUT /p HTTP/1.1" CRLF HOST "Expect: 100-Continue" CRLF "Content-Length: 1" CRLF CRLF "x",
     "[4/1 flags 43 len 1 /p path /p] x. "},
    {"PUT /p HTTP/1.0" CRLF "Expect: 100-continue" CRLF CRLF, "[4/0 flags 0 len 0 /p path /p] . "},
    {CHUNKED "5" CRLF "hello" CRLF "0" CRLF CRLF, "[3/1 flags d len 0 /c path /c] hello. "},
    {CHUNKED "0" CRLF CRLF, "[3/1 flags d len 0 /c path /c] . "},
    {CHUNKED "00a" CRLF "0123456789" CRLF "A" CRLF "0123456789" CRLF "0000" CRLF CRLF,
     "[3/1 flags d len 0 /c path /c] 01234567890123456789. "},
    {CHUNKED "2;a" CRLF CRLF CRLF "1 ; b = \"c;d\" ; e" CRLF "x" CRLF "0;z" CRLF CRLF,
     "[3/1 flags d len 0 /c path /c] \r\nx. "},
    {CHUNKED "1" CRLF "x" CRLF "0" CRLF "Sum: 1" CRLF "Host: other" CRLF "Content-Length: 9" CRLF CRLF,
     "[3/1 flags d len 0 /c path /c] x. "},
    {"POST /c HTTP/1.1" CRLF HOST "transfer-encoding:\tCHUNKED\t," CRLF CRLF "0" CRLF CRLF,
     "[3/1 flags d len 0 /c path /c] . "},
    {"GET /1 HTTP/1.1" CRLF HOST CRLF "POST /2 HTTP/1.1" CRLF HOST "Content-Length: 3" CRLF CRLF "abc"
     CHUNKED "1" CRLF "x" CRLF "0" CRLF CRLF "GET /3 HTTP/1.1" CRLF HOST CRLF,
     "[1/1 flags 1 len 0 /1 path /1] . [3/1 flags 3 len 3 /2 path /2] abc. "
     "[3/1 flags d len 0 /c path /c] x. [1/1 flags 1 len 0 /3 path /3] . "}
};

static const struct bad {
    unsigned status; /* 0: must want more, for ever */
    const char *request;
} bad[] = {
    /* the request line */
    {400, " GET / HTTP/1.1" CRLF HOST CRLF},
    {400, "\nGET / HTTP/1.1" CRLF HOST CRLF},
    {400, CRLF CRLF "GET / HTTP/1.1" CRLF HOST CRLF},
    {400, "\rGET / HTTP/1.1" CRLF HOST CRLF},
    {400, "GET  / HTTP/1.1" CRLF HOST CRLF},
    {400, "GET /  HTTP/1.1" CRLF HOST CRLF},
    {400, " / HTTP/1.1" CRLF HOST CRLF},
    {400, "GET  HTTP/1.1" CRLF HOST CRLF},
    {400, "GET\t/ HTTP/1.1" CRLF HOST CRLF},
    {400, "GET /\tHTTP/1.1" CRLF HOST CRLF},
    {400, "GET / HTTP/1.1 " CRLF HOST CRLF},
    {400, "GET / HTTP/1.1\n" HOST CRLF},
    {400, "GET / HTTP/1.1\r" HOST CRLF},
    {400, "GET / http/1.1" CRLF HOST CRLF},
    {400, "GET / HTTP/1" CRLF HOST CRLF},
    {400, "GET / HTTP/1.11" CRLF HOST CRLF},
    {400, "GET / HTTP/11.1" CRLF HOST CRLF},
    {400, "GET / HTTP /1.1" CRLF HOST CRLF},
    {400, "GET / HTTQ/1.1" CRLF HOST CRLF},
    {400, "GET /" CRLF},
    {400, "GET / " CRLF CRLF},
    {400, "GET" CRLF},
    {400, "GE(T / HTTP/1.1" CRLF HOST CRLF},
    {400, "GET: / HTTP/1.1" CRLF HOST CRLF},
    {400, "\x16\x03\x01\x02" /* a TLS hello */},
    {400, "GET x HTTP/1.1" CRLF HOST CRLF},
    {400, "GET * HTTP/1.1" CRLF HOST CRLF},
    {400, "OPTIONS ** HTTP/1.1" CRLF HOST CRLF},
    {400, "GET h:80 HTTP/1.1" CRLF HOST CRLF},
    {400, "GET ftp://h/ HTTP/1.1" CRLF HOST CRLF},
    {400, "GET http:/h/ HTTP/1.1" CRLF HOST CRLF},
    {400, "GET http:///p HTTP/1.1" CRLF HOST CRLF},
    {400, "GET http:// HTTP/1.1" CRLF HOST CRLF},
    {400, "GET http://u@h/ HTTP/1.1" CRLF HOST CRLF},
    {400, "GET http://h:x/ HTTP/1.1" CRLF HOST CRLF},
    {400, "GET /#f HTTP/1.1" CRLF HOST CRLF},
    {400, "GET /\xc3\xbc HTTP/1.1" CRLF HOST CRLF},
    {400, "GET /\x7f HTTP/1.1" CRLF HOST CRLF},
    {400, "CONNECT h HTTP/1.1" CRLF HOST CRLF},
    {400, "CONNECT h: HTTP/1.1" CRLF HOST CRLF},
    {400, "CONNECT :443 HTTP/1.1" CRLF HOST CRLF},
    {400, "CONNECT /x HTTP/1.1" CRLF HOST CRLF},
    {505, "GET / HTTP/2.0" CRLF HOST CRLF},
    {505, "GET / HTTP/0.9" CRLF CRLF},
    {505, "PRI * HTTP/2.0" CRLF CRLF "SM" CRLF CRLF},
    {501, "ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1" CRLF HOST CRLF},
    /* fields */
    {400, "GET / HTTP/1.1" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST HOST CRLF},
    {400, "GET / HTTP/1.0" CRLF HOST HOST CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: a b" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: a/b" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: u@h" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: h:80a" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: h:123456" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: h:1:2" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: [::1" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: []" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host: [::1]x" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF "Host : h" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF " Host: h" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: a" CRLF " b" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: a" CRLF "\tb" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST ": v" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X\x80: v" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X[]: v" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: a\rb" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: a\nY: b" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: a\r\r\n" CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: \x01" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "X: abcdefgh\x7f" CRLF CRLF},
    {400, "GET / HTTP/1.1" CRLF HOST "\n"},
    {400, "GET / HTTP/1.1" CRLF HOST "\rX"},
    {417, "GET / HTTP/1.1" CRLF HOST "Expect: 200-ok" CRLF CRLF},
    {417, "GET / HTTP/1.1" CRLF HOST "Expect:" CRLF CRLF},
    /* how long is the body? */
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF "Content-Length: 6" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF "Content-Length: 5" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5, 5" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: +5" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: -5" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 0x5" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 1 2" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5." CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length:" CRLF CRLF "hello"},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: five" CRLF CRLF "hello"},
    {413, "POST / HTTP/1.1" CRLF HOST "Content-Length: 1001" CRLF CRLF},
    {413, "POST / HTTP/1.1" CRLF HOST "Content-Length: 18446744073709551616" CRLF CRLF},
    {413, "POST / HTTP/1.1" CRLF HOST "Content-Length: 99999999999999999999999999999999999" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF "Transfer-Encoding: chunked" CRLF CRLF
          "0" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked" CRLF "Content-Length: 5" CRLF CRLF
          "0" CRLF CRLF},
    {400, "POST / HTTP/1.0" CRLF "Transfer-Encoding: chunked" CRLF CRLF "0" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked, chunked" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked, gzip" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: identity" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: gzip" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: xchunked" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked;q=1" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: \"chunked\"" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: \x0b" "chunked" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chun" CRLF " ked" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding:" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding : chunked" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked" CRLF "Transfer-Encoding: x" CRLF CRLF},
    {400, "POST / HTTP/1.1" CRLF HOST CHUNK_FIELD CHUNK_FIELD CRLF "0" CRLF CRLF},
    {501, "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: gzip, chunked" CRLF CRLF},
    /* chunks */
    {400, CHUNKED CRLF},
    {400, CHUNKED "g" CRLF},
    {400, CHUNKED "-1" CRLF},
    {400, CHUNKED "+1" CRLF "x"},
    {400, CHUNKED "0x1" CRLF "x"},
    {400, CHUNKED " 1" CRLF "x"},
    {400, CHUNKED "1 " CRLF "x"},
    {400, CHUNKED "1_0" CRLF "x"},
    {400, CHUNKED "1\nx\n0\n\n"},
    {400, CHUNKED "1\rx"},
    {400, CHUNKED "1" CRLF "xy"},
    {400, CHUNKED "1" CRLF "x\n"},
    {400, CHUNKED "1" CRLF "x\rY"},
    {400, CHUNKED "1" CRLF "x" CRLF CRLF},
    {400, CHUNKED "1;" CRLF},
    {400, CHUNKED "1;;a" CRLF},
    {400, CHUNKED "1;a\nx"},
    {400, CHUNKED "1;a\x01"},
    {400, CHUNKED "1;a\rx"},
    {400, CHUNKED "00000000000000001" CRLF "x"},
    {413, CHUNKED "3e9" CRLF},
    {413, CHUNKED "ffffffffffffffff" CRLF},
    {413, CHUNKED "1" CRLF "x" CRLF "ffffffffffffffff" CRLF},
    {400, CHUNKED "0" CRLF "\n"},
    {400, CHUNKED "0" CRLF "\rX"},
    {400, CHUNKED "0" CRLF " X: y" CRLF CRLF},
    {400, CHUNKED "0" CRLF "X : y" CRLF CRLF},
    {400, CHUNKED "0" CRLF ": y" CRLF CRLF},
    {400, CHUNKED "0" CRLF "X: y\nZ: a" CRLF CRLF},
    {400, CHUNKED "0" CRLF "X: y\rZ" CRLF CRLF},
    {400, CHUNKED "0" CRLF "X" CRLF CRLF},
    /* what a smuggler hides behind a good request */
    {400, CHUNKED "0" CRLF CRLF "G POST / HTTP/1.1" CRLF CRLF},
    /* not yet whole */
    {0, "GET / HTTP/1.1" CRLF HOST},
    {0, "GET / HTTP/1.1" CRLF HOST "\r"},
    {0, "POST / HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF CRLF "hell"},
    {0, CHUNKED "5" CRLF "hello" CRLF "0" CRLF},
    {0, CHUNKED "0" CRLF "X: y" CRLF}
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

START_TEST(test_good)
{
    const struct good *g = &good[_i];
    struct transcript t;

    run(&t, g->request, strlen(g->request), NULL, 0);
    ck_assert_msg(t.last == HTTP_DONE, "step %d status %u for:\n%s", t.last, t.status, g->request);
    ck_assert_str_eq(t.text, g->transcript);
    check_cuts(&t, g->request, strlen(g->request));
}
END_TEST

START_TEST(test_bad)
{
    const struct bad *b = &bad[_i];
    struct transcript t;

    run(&t, b->request, strlen(b->request), NULL, 0);
    ck_assert_msg(t.last == (b->status ? HTTP_ERROR : HTTP_MORE), "step %d status %u for:\n%s", t.last,
                  t.status, b->request);
    ck_assert_msg(t.status == b->status, "status %u, not %u, for:\n%s", t.status, b->status, b->request);
    check_cuts(&t, b->request, strlen(b->request));
}
END_TEST

/* A zero byte cannot stand in the table. */
START_TEST(test_zero_bytes)
{
    static const char request[] = "GET /a HTTP/1.1" CRLF "Host: h" CRLF "X: abc" CRLF CRLF;

    for (size_t i = 0; i < sizeof request - 1; i++) {
        struct transcript t;
        char copy[sizeof request];

        memcpy(copy, request, sizeof request);
        copy[i] = 0;
        run(&t, copy, sizeof request - 1, NULL, 0);
        ck_assert_msg(t.last == HTTP_ERROR && t.status == 400, "zero at %zu: step %d status %u", i, t.last,
                      t.status);
    }
}
END_TEST

/* ---------------------------------------------------------------- limits */

struct text {
    char p[3 * HTTP_HEAD_MAX];
    size_t n;
};

static void add(struct text *s, const char *p)
{
    size_t n = strlen(p);

    ck_assert_uint_lt(s->n + n, sizeof s->p);
    memcpy(s->p + s->n, p, n + 1);
    s->n += n;
}

static void fill(struct text *s, char c, size_t n)
{
    ck_assert_uint_lt(s->n + n, sizeof s->p);
    memset(s->p + s->n, c, n);
    s->n += n;
    s->p[s->n] = 0;
}

static void expect(const struct text *s, http_step last, unsigned status)
{
    struct transcript whole, t;
    size_t cuts[7];

    run(&whole, s->p, s->n, NULL, 0);
    ck_assert_msg(whole.last == last && whole.status == status, "step %d status %u, not %d and %u",
                  whole.last, whole.status, last, status);
    for (size_t i = 0; i < COUNT(cuts); i++)
        cuts[i] = (i + 1) * s->n / (COUNT(cuts) + 1);
    run(&t, s->p, s->n, cuts, COUNT(cuts));
    same_transcript(&whole, &t, "(long)", 6, "in eighths of", s->n);
}

START_TEST(test_limit_line)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0};

        add(&s, "GET /");
        fill(&s, 'a', HTTP_LINE_MAX - strlen("GET / HTTP/1.1\r\n") + (size_t)over);
        add(&s, " HTTP/1.1" CRLF HOST CRLF);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 414 : 0);
    }
}
END_TEST

START_TEST(test_limit_head)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0};

        add(&s, "GET / HTTP/1.1" CRLF HOST "X: ");
        fill(&s, 'a', HTTP_HEAD_MAX - s.n - 4 + (size_t)over);
        add(&s, CRLF CRLF);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 431 : 0);
    }
}
END_TEST

START_TEST(test_limit_fields)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0};

        add(&s, "GET / HTTP/1.1" CRLF HOST);
        for (int i = 1; i < HTTP_FIELDS_MAX + over; i++)
            add(&s, "X: y" CRLF);
        add(&s, CRLF);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 431 : 0);
    }
}
END_TEST

/* The trailer counts with the fields: there are two in the head. */
START_TEST(test_limit_trailer)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0}, wide = {.n = 0};

        add(&s, CHUNKED "0" CRLF);
        for (int i = 2; i < HTTP_FIELDS_MAX + over; i++)
            add(&s, "X: y" CRLF);
        add(&s, CRLF);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 431 : 0);

        add(&wide, CHUNKED "0;extensions=do;not=count" CRLF "X:");
        fill(&wide, 'y', HTTP_HEAD_MAX - strlen("X:" CRLF CRLF) + (size_t)over);
        add(&wide, CRLF CRLF);
        expect(&wide, over ? HTTP_ERROR : HTTP_DONE, over ? 431 : 0);
    }
}
END_TEST

START_TEST(test_limit_method)
{
    struct text s = {.n = 0};

    fill(&s, 'M', HTTP_METHOD_MAX);
    add(&s, " / HTTP/1.1" CRLF HOST CRLF);
    expect(&s, HTTP_DONE, 0);
    s.n = 0;
    fill(&s, 'M', HTTP_METHOD_MAX + 1);
    expect(&s, HTTP_ERROR, 501);
}
END_TEST

/* All extensions of one request count together. */
START_TEST(test_limit_extensions)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0};

        add(&s, CHUNKED "1;");
        fill(&s, 'e', HTTP_CHUNK_EXT_MAX / 2 - 1); /* and the CR is one */
        add(&s, CRLF "x" CRLF "1;");
        fill(&s, 'e', HTTP_CHUNK_EXT_MAX / 2 - 1 + (size_t)over);
        add(&s, CRLF "x" CRLF "0" CRLF CRLF);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 413 : 0);
    }
}
END_TEST

START_TEST(test_limit_body)
{
    for (int over = 0; over <= 1; over++) {
        struct text s = {.n = 0}, c = {.n = 0};
        char line[64];

        snprintf(line, sizeof line, "Content-Length: %u" CRLF CRLF, BODY_MAX + (unsigned)over);
        add(&s, "POST / HTTP/1.1" CRLF HOST);
        add(&s, line);
        fill(&s, 'b', BODY_MAX + (size_t)over);
        expect(&s, over ? HTTP_ERROR : HTTP_DONE, over ? 413 : 0);

        add(&c, CHUNKED);
        for (unsigned i = 0; i < BODY_MAX + (unsigned)over; i++)
            add(&c, "1" CRLF "b" CRLF);
        add(&c, "0" CRLF CRLF);
        expect(&c, over ? HTTP_ERROR : HTTP_DONE, over ? 413 : 0);
    }
}
END_TEST

/* A line or a head that never ends is refused when the limit is reached, not later. */
START_TEST(test_limit_early)
{
    struct text s = {.n = 0};

    add(&s, "GET /");
    fill(&s, 'a', HTTP_LINE_MAX - s.n);
    expect(&s, HTTP_ERROR, 414);
    s.n = 0;
    add(&s, "GET / HTTP/1.1" CRLF "X: ");
    fill(&s, 'a', HTTP_HEAD_MAX - s.n);
    expect(&s, HTTP_ERROR, 431);
}
END_TEST

/* ----------------------------------------------------- classes of bytes */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static int among(int c, const char *set)
{
    return c != 0 && (strchr(letters, c) != NULL || strchr(set, c) != NULL);
}

/* Byte c at the mark '@' of the pattern; 1 if the request is good. */
static int accepts(const char *pattern, int c)
{
    struct transcript t;
    char copy[128];
    size_t n = strlen(pattern);

    memcpy(copy, pattern, n);
    *(char *)memchr(copy, '@', n) = (char)c;
    run(&t, copy, n, NULL, 0);
    return t.last == HTTP_DONE;
}

START_TEST(test_bytes)
{
    int c = _i, token = among(c, "!#$%&'*+-.^_`|~");

    ck_assert_int_eq(accepts("G@T / HTTP/1.1" CRLF HOST CRLF, c), token);
    ck_assert_int_eq(accepts("GET / HTTP/1.1" CRLF HOST "X@Y: z" CRLF CRLF, c), token || c == ':');
    ck_assert_int_eq(accepts("GET /@ HTTP/1.1" CRLF HOST CRLF, c), c > 0x20 && c < 0x7f && c != '#');
    ck_assert_int_eq(accepts("GET /abcdefghi@jklmnopqrst HTTP/1.1" CRLF HOST CRLF, c),
                     c > 0x20 && c < 0x7f && c != '#');
    ck_assert_int_eq(accepts("GET / HTTP/1.1" CRLF HOST "X: abcdefghi@jklmnopqr" CRLF CRLF, c),
                     c == '\t' || (c >= 0x20 && c != 0x7f));
    ck_assert_int_eq(accepts("GET / HTTP/1.1" CRLF "Host: a@1" CRLF CRLF, c),
                     among(c, "-._~!$&'()*+,;=%:"));
    ck_assert_int_eq(accepts("GET / HTTP/1.1" CRLF HOST "Content-Length: @" CRLF CRLF, c), c == '0');
    ck_assert_int_eq(accepts(CHUNKED "0000@" CRLF CRLF, c), c == '0');
}
END_TEST

/* ------------------------------------------------------------------ rest */

START_TEST(test_keep_alive)
{
    static const struct { int want; const char *request; } table[] = {
        {1, "GET / HTTP/1.1" CRLF HOST CRLF},
        {1, "GET / HTTP/1.1" CRLF HOST "Connection: keep-alive" CRLF CRLF},
        {0, "GET / HTTP/1.1" CRLF HOST "Connection: close" CRLF CRLF},
        {0, "GET / HTTP/1.1" CRLF HOST "Connection: keep-alive" CRLF "Connection: close" CRLF CRLF},
        {0, "GET / HTTP/1.0" CRLF CRLF},
        {1, "GET / HTTP/1.0" CRLF "Connection: Keep-Alive" CRLF CRLF},
        {0, "GET / HTTP/1.0" CRLF "Connection: close, keep-alive" CRLF CRLF}
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        http_parser h;

        http_parser_init(&h, 0);
        ck_assert_int_eq(http_head(&h, table[i].request, strlen(table[i].request)), HTTP_DONE);
        ck_assert_msg(http_keeps_alive(&h) == table[i].want, "%s", table[i].request);
    }
}
END_TEST

/* Calls that make no sense are answered, not obeyed. */
START_TEST(test_misuse)
{
    static const char request[] = "GET / HTTP/1.1" CRLF HOST CRLF, wrong[] = "GET\n";
    http_parser h;
    const char *data;
    char *few = block(request, 5);
    size_t used, length;

    http_parser_init(&h, 10);
    ck_assert_int_eq(http_head(&h, "", 0), HTTP_MORE);
    ck_assert_int_eq(http_head(&h, request, 10), HTTP_MORE);
    ck_assert_int_eq(http_head(&h, few, 5), HTTP_MORE); /* fewer than before */
    free(few);
    ck_assert_int_eq(http_head(&h, request, strlen(request)), HTTP_DONE);
    ck_assert_int_eq(http_head(&h, request, strlen(request)), HTTP_DONE);
    ck_assert_int_eq(http_body(&h, "x", 1, &used, &data, &length), HTTP_DONE);
    ck_assert_uint_eq(used, 0);

    http_parser_init(&h, 10);
    ck_assert_int_eq(http_body(&h, "x", 1, &used, &data, &length), HTTP_ERROR);
    http_parser_init(&h, 10);
    ck_assert_int_eq(http_head(&h, wrong, strlen(wrong)), HTTP_ERROR);
    ck_assert_int_eq(http_head(&h, request, strlen(request)), HTTP_ERROR);
    ck_assert_int_eq(http_body(&h, "x", 1, &used, &data, &length), HTTP_ERROR);
    ck_assert_uint_eq(h.status, 400);
    ck_assert_str_eq(http_reason(431), "Request Header Fields Too Large");
    ck_assert_str_eq(http_reason(999), "Bad Request");
}
END_TEST

/* ---------------------------------------------------------------- random */

static uint64_t state;

/* xorshift64*, Vigna 2014. */
static uint64_t rnd(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1du) % below;
}

static const char *any_request(void)
{
    uint64_t i = rnd(COUNT(good) + COUNT(bad));

    return i < COUNT(good) ? good[i].request : bad[i - COUNT(good)].request;
}

/* One change of the kinds that find the seams of parsers. */
static size_t mutate(char *p, size_t n, size_t cap)
{
    static const char *const words[] = {
        CRLF, "\n", "\r", " ", "\t", ":", ";", ",", "0", "f", "\0", "\x80", "HTTP/1.1", "Host: h" CRLF,
        "Content-Length: 3" CRLF, "Transfer-Encoding: chunked" CRLF, "Connection: close" CRLF,
        "ffffffffffffffff", "5;a=b"
    };
    size_t at = rnd(n + 1), length;
    const char *word;

    switch (rnd(4)) {
    case 0:
        if (at < n)
            p[at] = (char)rnd(256);
        return n;
    case 1: /* cut a piece out */
        length = rnd(n - at + 1);
        length = length < 8 ? length : 8;
        memmove(p + at, p + at + length, n - at - length);
        return n - length;
    case 2: /* a piece twice */
        length = rnd(n - at + 1);
        length = length < 40 ? length : 40;
        if (n + length > cap)
            return n;
        memmove(p + at + length, p + at, n - at);
        return n + length;
    default:
        word = words[rnd(COUNT(words))];
        length = word[0] ? strlen(word) : 1;
        if (n + length > cap)
            return n;
        memmove(p + at + length, p + at, n - at);
        memcpy(p + at, word, length);
        return n + length;
    }
}

START_TEST(test_random)
{
    const char *scale = getenv("GANNET_TEST_SCALE"), *seed = getenv("GANNET_TEST_SEED");
    double rounds = 20000 * (scale ? strtod(scale, NULL) : 1);
    uint64_t first = seed ? strtoull(seed, NULL, 0) : 1;

    for (uint64_t round = 0; (double)round < rounds || round < 100; round++) {
        static struct transcript whole, t;
        char p[2048];
        size_t n = 0, cuts[3];

        state = (first + round) * 0x9e3779b97f4a7c15u | 1;
        for (uint64_t k = rnd(3) + 1; k > 0; k--) {
            const char *r = any_request();

            memcpy(p + n, r, strlen(r));
            n += strlen(r);
        }
        for (uint64_t k = rnd(6); k > 0; k--)
            n = mutate(p, n, sizeof p);
        cuts[0] = rnd(n + 1);
        cuts[1] = cuts[0] + rnd(n - cuts[0] + 1);
        cuts[2] = cuts[1] + rnd(n - cuts[1] + 1);
        run(&whole, p, n, NULL, 0);
        run(&t, p, n, cuts, COUNT(cuts));
        if (whole.last != t.last || whole.status != t.status || strcmp(whole.text, t.text) != 0)
            ck_abort_msg("GANNET_TEST_SEED=%llu: cut at %zu, %zu, %zu differs",
                         (unsigned long long)(first + round), cuts[0], cuts[1], cuts[2]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_parser");
    TCase *table = tcase_create("table"), *limits = tcase_create("limits"), *rest = tcase_create("rest");
    SRunner *r;
    int failed;

    tcase_add_loop_test(table, test_good, 0, (int)COUNT(good));
    tcase_add_loop_test(table, test_bad, 0, (int)COUNT(bad));
    tcase_add_test(table, test_zero_bytes);
    tcase_add_loop_test(table, test_bytes, 0, 256);
    tcase_add_test(limits, test_limit_line);
    tcase_add_test(limits, test_limit_head);
    tcase_add_test(limits, test_limit_fields);
    tcase_add_test(limits, test_limit_trailer);
    tcase_add_test(limits, test_limit_method);
    tcase_add_test(limits, test_limit_extensions);
    tcase_add_test(limits, test_limit_body);
    tcase_add_test(limits, test_limit_early);
    tcase_add_test(rest, test_keep_alive);
    tcase_add_test(rest, test_misuse);
    tcase_add_test(rest, test_random);
    tcase_set_timeout(rest, 120);
    suite_add_tcase(s, table);
    suite_add_tcase(s, limits);
    suite_add_tcase(s, rest);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
