/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share.  Each is one file with LLVMFuzzerTestOneInput, which returns if all was well and
 * aborts if not; it is linked either with driver.c or with libFuzzer.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run unless the condition holds. */
#define must(ok, ...) \
    do { \
        if (!(ok)) { \
            (void)fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
            (void)fprintf(stderr, __VA_ARGS__); \
            (void)fputc('\n', stderr); \
            abort(); \
        } \
    } while (0)

/* A copy in a block of exactly n bytes, so that a sanitizer sees the first byte read beyond them. */
static inline void *exactly(const void *p, size_t n)
{
    void *b = malloc(n);

    must(b != NULL || n == 0, "the test has no memory");
    if (n > 0)
        memcpy(b, p, n);
    return b;
}

/* The input as a list of numbers; zero when it has ended. */
typedef struct input {
    const uint8_t *p;
    size_t n;
} input;

static inline uint8_t next8(input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static inline uint16_t next16(input *in)
{
    uint16_t low = next8(in);

    return (uint16_t)(low | next8(in) << 8);
}

static inline uint64_t next64(input *in)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)next8(in) << (8 * i);
    return v;
}

/* Any number of bits, and the neighbours of powers of two, in two bytes. */
static inline uint64_t next_scaled(input *in)
{
    uint8_t shape = next8(in), low = next8(in);

    if (shape < 64)
        return (uint64_t)shape << 8 | low;
    return (UINT64_C(1) << (shape & 63)) + (uint64_t)(int64_t)(int8_t)low;
}

#endif
