/* SPDX-License-Identifier: MIT */
/* Reads HTTP/1.x responses from a stream, cut anywhere; takes no memory. */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include <stddef.h>
#include <stdint.h>

#define REPLY_LINE_KEPT 200u /* of a line that arrives in pieces; the fields that matter are shorter */
#define REPLY_LINE_MAX 16384u
#define REPLY_LINES_MAX 200u

typedef struct reply {
    uint64_t left;       /* bytes to come of the body, or of the chunk */
    uint32_t line_len;   /* of the line that is being read, also what was not kept */
    uint16_t lines;      /* of the head, or of the trailer */
    uint16_t status;     /* of the last whole status line */
    uint8_t state;
    char last;           /* byte of a line in pieces */
    uint8_t has_length;
    uint8_t chunked;
    uint8_t closes;      /* the server will close after this response */
    char line[REPLY_LINE_KEPT];
} reply;

typedef enum reply_step {
    REPLY_MORE, /* all bytes are used, the response is not at its end */
    REPLY_DONE, /* *used bytes end it; r->status tells how; the next byte begins another */
    REPLY_BAD   /* this is no HTTP response */
} reply_step;

/* Makes it ready for the first byte of a response; reply_feed does it itself after REPLY_DONE. */
void reply_init(reply *r);

reply_step reply_feed(reply *r, const char *p, size_t n, size_t *used);

/* The stream has ended: REPLY_DONE if that is what ends this response, else REPLY_BAD. */
reply_step reply_end(const reply *r);

/* 1 between two responses. */
int reply_idle(const reply *r);

#endif
