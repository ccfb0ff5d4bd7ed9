/* SPDX-License-Identifier: MIT */
/* What the unit suites share. */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

Suite *suite_addr(void);
Suite *suite_balance(void);
Suite *suite_conntab(void);
Suite *suite_dial(void);
Suite *suite_error(void);
Suite *suite_frame(void);
Suite *suite_leaves(void);
Suite *suite_mailbox(void);
Suite *suite_memory(void);
Suite *suite_op(void);
Suite *suite_options(void);
Suite *suite_ring(void);
Suite *suite_segq(void);
Suite *suite_timer(void);
Suite *suite_udp(void);

/* ck_assert for hot loops: Check's own writes to a pipe each time it passes. */
#define MUST(condition) \
    do { \
        if (!(condition)) \
            ck_abort_msg("%s", #condition); \
    } while (0)

/*
 * SplitMix64.  Randomised tests are loop tests seeded with Check's loop index, which Check
 * prints when one fails: "suite:test:7" is seed 7, and runs the same every time.
 */
typedef struct rng { uint64_t state; } rng;
uint64_t rng_next(rng *r);
uint64_t rng_below(rng *r, uint64_t n);
/* Any number of bits is as likely as any other: small and huge numbers alike. */
uint64_t rng_scaled(rng *r, unsigned max_bits);

/* n, or less of it when $GANNET_TEST_SCALE says so (slow tools set it); at least least. */
unsigned scaled(unsigned n, unsigned least);

/* The byte at an offset of an endless stream, so that a queue's contents can be told from two
 * numbers.  Its period is a prime, so no power of two hides a shift. */
unsigned char stream_byte(uint64_t offset);
void stream_fill(unsigned char *out, uint64_t offset, size_t n);
int stream_matches(const void *data, uint64_t offset, size_t n);

/*
 * An allocator that counts, checks the sizes it is told, and fails at call number fail_at
 * (from 1; 0: never).  For one thread.
 */
typedef struct heap {
    size_t bytes, blocks, peak;
    uint64_t calls, fail_at;
} heap;
void heap_use(heap *h);
/* Restores malloc; fails the test if anything was not given back. */
void heap_done(heap *h);

#endif
