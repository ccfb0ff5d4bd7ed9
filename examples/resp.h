/* SPDX-License-Identifier: MIT */
/*
 * Commands of the Redis protocol (RESP2) as a server reads them: arrays of bulk strings, and inline
 * commands, which are words on a line (without quotes).
 *
 * The parser keeps nothing: it looks at the bytes from the first one of a command on, copies none, and
 * what it says depends on the bytes alone, never on how the network cut them into pieces.  While it says
 * RESP_MORE there is no use in asking again before `need` bytes are there, so a long value that comes in
 * many pieces is looked at a few times only.
 */
#ifndef RESP_H
#define RESP_H

#include <stddef.h>
#include <stdint.h>

#define RESP_ARGS_MAX 1024u    /* words of a command; Redis takes a million */
#define RESP_INLINE_MAX 65536u /* bytes of an inline command, as Redis */

typedef enum resp_step {
    RESP_OK,   /* a command of argc words in `used` bytes; argc 0: nothing, and nothing to answer */
    RESP_MORE, /* good so far */
    RESP_ERROR /* answer -ERR with the error, then close: where the next one begins is not known */
} resp_step;

typedef struct resp_arg {
    const char *p; /* in the caller's bytes */
    size_t n;
} resp_arg;

typedef struct resp_command {
    unsigned argc;
    size_t used, need;
    const char *error; /* static */
    resp_arg argv[RESP_ARGS_MAX];
} resp_command;

/* max: bytes of a command in all. */
resp_step resp_parse(const char *p, size_t n, size_t max, resp_command *out);

/* The number that a word is, as Redis takes it: no sign but minus, no zero before others, no blanks.  1 if
 * it is one. */
int resp_integer(const char *p, size_t n, int64_t *out);

/* 1 if a word is a name, in whatever case; the name is in lower case. */
int resp_is(resp_arg a, const char *name);

#endif
