/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 request parser (RFC 9112) for servers that face the open network.
 *
 * It takes memory from nobody, keeps no pointer into your buffer and calls nothing
 * back.  It is strict: what two parsers could read in two ways is an error, for that
 * is what request smuggling lives on.  It is incremental: what it answers depends on
 * the bytes alone, never on how the network cut them into pieces.
 *
 *   http_head()  looks at the bytes from the first byte of a request on.  While it
 *                says HTTP_MORE, keep them and show them again with what came since;
 *                it goes on where it stopped.
 *   http_body()  then takes the body, piece by piece, and removes the chunking.
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stddef.h>
#include <stdint.h>

/* Limits.  RFC 9112 section 3 asks for request lines of 8000 bytes at least; the rest
 * is what common servers allow (16 KiB and 100 fields). */
#define HTTP_LINE_MAX 8192   /* request line: 414 */
#define HTTP_HEAD_MAX 16384  /* request line and fields: 431.  Also the trailer */
#define HTTP_FIELDS_MAX 100  /* fields, trailer included: 431 */
#define HTTP_METHOD_MAX 20   /* longer than any registered method: 501 */
#define HTTP_CHUNK_DIGITS 16 /* digits of a chunk size, enough for 64 bits: 400 */
#define HTTP_CHUNK_EXT_MAX 4096 /* chunk extensions of one request, which nobody reads: 413 */

typedef enum http_step {
    HTTP_MORE,  /* all of it was good so far; more bytes are needed */
    HTTP_DATA,  /* http_body: here is a piece of the body; call again */
    HTTP_DONE,  /* the head, or the body, is complete */
    HTTP_ERROR  /* answer with parser.status, then close: where the next request
                   starts is not known any more */
} http_step;

typedef enum http_method {
    HTTP_METHOD_OTHER, /* a well-formed name that this parser does not know */
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_TRACE,
    HTTP_METHOD_CONNECT
} http_method;

enum http_flag {
    HTTP_HOST = 1,       /* there was a Host field */
    HTTP_LENGTH = 2,     /* there was a Content-Length field */
    HTTP_CODING = 4,     /* there was a Transfer-Encoding field */
    HTTP_CHUNKED = 8,    /* the body is chunked */
    HTTP_CLOSE = 16,     /* Connection: close */
    HTTP_KEEP_ALIVE = 32,/* Connection: keep-alive */
    HTTP_CONTINUE = 64,  /* Expect: 100-continue of an HTTP/1.1 request */
    HTTP_ASTERISK = 128  /* the target is "*", or names a server without a path */
};

/* Zero it (or http_parser_init) before each request.  Read what is above the line
 * after http_head said HTTP_DONE; status and method also after HTTP_ERROR. */
typedef struct http_parser {
    uint64_t content_length; /* of the body; 0 without one; unknown if HTTP_CHUNKED */
    uint64_t body_max;       /* a longer body is an error: 413 */
    uint16_t head_length;    /* bytes from the start of the request to its body */
    uint16_t target, target_length; /* the request target: offset, length */
    uint16_t path, path_length; /* its path, without the query; 0, 0 if there is none */
    uint16_t status;         /* after HTTP_ERROR: 400, 413, 414, 417, 431, 501 or 505 */
    uint8_t method;          /* http_method */
    uint8_t minor;           /* HTTP/1.minor: 0, or 1 for 1 and above */
    uint8_t flags;           /* http_flag */
    /* ---- private ---- */
    uint8_t phase;
    uint8_t field;           /* which field the value belongs to */
    uint8_t fields;          /* how many there were */
    uint8_t digits;          /* of a chunk size */
    uint16_t pos;            /* bytes of the head looked at */
    uint16_t start;          /* offset of the token that pos is in */
    uint16_t query;          /* offset of the target's '?', or 0 */
    uint16_t extra;          /* bytes of chunk extensions, or of the trailer */
    uint64_t left;           /* bytes of the body, or of the chunk, to come */
    uint64_t got;            /* bytes of a chunked body so far */
} http_parser;

/* Makes it ready for the first byte of a request. */
void http_parser_init(http_parser *h, uint64_t body_max);

/* The n bytes at p begin with the first byte of the request.  Give the same bytes
 * again, and more, until the answer is not HTTP_MORE.  HTTP_DONE: offsets in *h are
 * offsets into p, and the body (if any) begins at p + head_length. */
http_step http_head(http_parser *h, const char *p, size_t n);

/* Takes up to n bytes of the body, which begin where the last call's ended; *used
 * says how many it took.  HTTP_DATA: *data and *length are a piece of the body, inside
 * of p.  HTTP_DONE: the next request begins at p + *used. */
http_step http_body(http_parser *h, const char *p, size_t n, size_t *used, const char **data, size_t *length);

/* 1 if a body of at least a byte, or in chunks, follows the head. */
int http_has_body(const http_parser *h);

/* 1 if the client means to send more requests after this one. */
int http_keeps_alive(const http_parser *h);

/* The standard's words for a status that this server sends. */
const char *http_reason(unsigned status);

#endif
