/* SPDX-License-Identifier: MIT */
/* Unit tests of the parts of the core that need no network. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

uint64_t rng_next(rng *r)
{
    uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t rng_below(rng *r, uint64_t n)
{
    return rng_next(r) % n;
}

uint64_t rng_scaled(rng *r, unsigned max_bits)
{
    unsigned bits = (unsigned)rng_below(r, max_bits) + 1;

    return rng_next(r) >> (64 - bits);
}

unsigned scaled(unsigned n, unsigned least)
{
    const char *text = gnp_env("GANNET_TEST_SCALE");
    double scale = text != NULL ? strtod(text, NULL) : 1.0;
    unsigned some = scale > 0 && scale < 1 ? (unsigned)(n * scale) : n;

    return some > least ? some : least;
}

unsigned char stream_byte(uint64_t offset)
{
    return (unsigned char)(offset % 251);
}

void stream_fill(unsigned char *out, uint64_t offset, size_t n)
{
    unsigned at = (unsigned)(offset % 251);

    for (size_t i = 0; i < n; i++) {
        out[i] = (unsigned char)at;
        at = at == 250 ? 0 : at + 1;
    }
}

int stream_matches(const void *data, uint64_t offset, size_t n)
{
    const unsigned char *p = data;
    unsigned at = (unsigned)(offset % 251);

    for (size_t i = 0; i < n; i++) {
        if (p[i] != at)
            return 0;
        at = at == 250 ? 0 : at + 1;
    }
    return 1;
}

/* Stands before each block; a union, so that the block is aligned for everything. */
typedef union block {
    size_t size;
    max_align_t align;
} block;

static void *heap_alloc(size_t size, void *user)
{
    heap *h = user;
    block *b;

    if (++h->calls == h->fail_at)
        return NULL;
    b = malloc(sizeof *b + size);
    MUST(b != NULL);
    b->size = size;
    memset(b + 1, 0xa5, size);
    h->blocks++;
    h->bytes += size;
    if (h->bytes > h->peak)
        h->peak = h->bytes;
    return b + 1;
}

static void heap_free(void *p, size_t size, void *user)
{
    heap *h = user;
    block *b = (block *)p - 1;

    MUST(b->size == size);
    memset(b, 0x5a, sizeof *b + size);
    h->blocks--;
    h->bytes -= size;
    free(b);
}

/* Always moves, so that a pointer kept by mistake is found. */
static void *heap_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    void *fresh = heap_alloc(new_size, user);

    if (fresh != NULL) {
        memcpy(fresh, p, old_size < new_size ? old_size : new_size);
        heap_free(p, old_size, user);
    }
    return fresh;
}

void heap_use(heap *h)
{
    gnp_mem hooks = { heap_alloc, heap_realloc, heap_free, h };

    memset(h, 0, sizeof *h);
    gnp_mem_hooks(&hooks);
}

void heap_done(heap *h)
{
    gnp_mem_hooks(NULL);
    ck_assert_uint_eq(h->blocks, 0);
    ck_assert_uint_eq(h->bytes, 0);
}

int main(void)
{
    SRunner *r = srunner_create(suite_addr());
    int failed;

    srunner_add_suite(r, suite_balance());
    srunner_add_suite(r, suite_conntab());
    srunner_add_suite(r, suite_dial());
    srunner_add_suite(r, suite_error());
    srunner_add_suite(r, suite_frame());
    srunner_add_suite(r, suite_leaves());
    srunner_add_suite(r, suite_mailbox());
    srunner_add_suite(r, suite_memory());
    srunner_add_suite(r, suite_op());
    srunner_add_suite(r, suite_options());
    srunner_add_suite(r, suite_ring());
    srunner_add_suite(r, suite_segq());
    srunner_add_suite(r, suite_timer());
    srunner_add_suite(r, suite_udp());
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
