/* SPDX-License-Identifier: MIT */
/* Tests of the load generator's leaves: histogram, schedule, response parser, units. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdr.h"
#include "options.h"
#include "reply.h"
#include "schedule.h"

static uint64_t random_state;

static uint64_t random_next(void) /* splitmix64, Steele et al. 2014 */
{
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The definition: the smallest recorded value that at least so many parts of all do not exceed. */
static uint64_t model_percentile(const uint64_t *sorted, size_t n, unsigned parts)
{
    size_t i = 0;

    while (i + 1 < n && (uint64_t)(i + 1) * HDR_ALL < (uint64_t)parts * n)
        i++;
    return sorted[i];
}

static const unsigned asked[] = { 0, 1000, 25000, 50000, 75000, 90000, 99000, 99900, 99990, HDR_ALL };

static void check_against_model(const hdr *h, uint64_t *values, size_t n)
{
    size_t i;

    qsort(values, n, sizeof *values, compare);
    for (i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        uint64_t want = model_percentile(values, n, asked[i]);
        uint64_t got = hdr_percentile(h, asked[i]);

        ck_assert_msg(got >= want && (double)(got - want) <= (double)want / 1024.0,
                      "%u parts of %zu: %llu, should be %llu", asked[i], n, (unsigned long long)got,
                      (unsigned long long)want);
    }
    ck_assert_uint_eq(h->count, n);
    ck_assert_uint_eq(h->min, values[0]);
    ck_assert_uint_eq(h->max, values[n - 1]);
    ck_assert_uint_eq(hdr_percentile(h, HDR_ALL), values[n - 1]);
}

/* Every slot begins right after the one before it, and none is wider than 1/1024 of its values. */
START_TEST(hdr_slots_cover_all)
{
    uint64_t next = 0;
    unsigned i;

    for (i = 0; i < HDR_SLOTS; i++) {
        uint64_t top = hdr_slot_top(i);

        ck_assert_uint_eq(hdr_slot(next), i);
        ck_assert_uint_eq(hdr_slot(top), i);
        ck_assert_uint_ge(top, next);
        ck_assert_uint_le((top - next) * 1024, next);
        next = top + 1;
    }
    ck_assert_uint_eq(next, HDR_MAX + 1);
    ck_assert_uint_eq(hdr_slot(UINT64_MAX), HDR_SLOTS - 1);
}
END_TEST

static hdr h1, h2, h3;

START_TEST(hdr_percentiles_match_sorted_values)
{
    static const size_t sizes[] = { 1, 2, 3, 10, 99, 100, 101, 1000, 50000 };
    uint64_t *values = malloc(50000 * sizeof *values);
    double sum = 0.0, squares = 0.0;
    size_t k, i;

    ck_assert_ptr_nonnull(values);
    random_state = 1;
    for (k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        size_t n = sizes[k];
        double mean;

        hdr_init(&h1);
        sum = 0.0;
        squares = 0.0;
        for (i = 0; i < n; i++) { /* as many of each magnitude, from 0 to 100 s */
            values[i] = random_next() >> (28 + random_next() % 36);
            hdr_record(&h1, values[i]);
            sum += (double)values[i];
        }
        mean = sum / (double)n;
        for (i = 0; i < n; i++)
            squares += ((double)values[i] - mean) * ((double)values[i] - mean);
        check_against_model(&h1, values, n);
        ck_assert(fabs(hdr_mean(&h1) - mean) <= mean * 1e-9);
        ck_assert(fabs(hdr_deviation(&h1) - sqrt(squares / (double)n)) <= 1.0 + mean * 1e-6);
    }
    free(values);
}
END_TEST

START_TEST(hdr_keeps_extremes)
{
    hdr_init(&h1);
    ck_assert_uint_eq(hdr_percentile(&h1, HDR_ALL / 2), 0);
    ck_assert(hdr_mean(&h1) == 0.0 && hdr_deviation(&h1) == 0.0);
    hdr_record(&h1, UINT64_C(1) << 60);
    ck_assert_uint_eq(h1.max, UINT64_C(1) << 60);
    ck_assert_uint_eq(hdr_percentile(&h1, HDR_ALL / 2), UINT64_C(1) << 60);
    hdr_record(&h1, 0);
    ck_assert_uint_eq(hdr_percentile(&h1, HDR_ALL / 2), 0);
    ck_assert_uint_eq(h1.min, 0);
}
END_TEST

START_TEST(hdr_parts_add_up)
{
    uint64_t i;

    hdr_init(&h1);
    hdr_init(&h2);
    hdr_init(&h3);
    random_state = 2;
    for (i = 0; i < 10000; i++) {
        uint64_t v = random_next() >> 40, n = random_next() % 4, k;

        hdr_record_n(i % 2 ? &h1 : &h2, v, n);
        for (k = 0; k < n; k++)
            hdr_record(&h3, v);
    }
    hdr_add(&h1, &h2);
    ck_assert_uint_eq(h1.count, h3.count);
    ck_assert_uint_eq(h1.min, h3.min);
    ck_assert_uint_eq(h1.max, h3.max);
    ck_assert(fabs(h1.sum - h3.sum) <= h3.sum * 1e-12);
    ck_assert_mem_eq(h1.slot, h3.slot, sizeof h1.slot);
}
END_TEST

START_TEST(hdr_correction_is_the_definition)
{
    uint64_t values[16];
    unsigned i;

    hdr_init(&h1);
    hdr_record_corrected(&h1, 105, 10); /* and 95, 85 ... 15 */
    for (i = 0; i < 10; i++)
        values[i] = 105 - 10 * i;
    check_against_model(&h1, values, 10);

    hdr_init(&h1);
    hdr_record_corrected(&h1, 100, 10); /* and 90 ... 10 */
    ck_assert_uint_eq(h1.count, 10);
    ck_assert_uint_eq(h1.min, 10);

    hdr_init(&h1);
    hdr_record_corrected(&h1, 19, 10);
    hdr_record_corrected(&h1, 1000000, 0);
    ck_assert_uint_eq(h1.count, 2);
}
END_TEST

/*
 * A server that answers in 1 ms but stops for 1 s after 10,000 requests; the client meant to ask
 * every 10 ms.  The true latencies of all that should have been asked are known; a closed loop
 * sees one slow request and, corrected, must come to the truth.
 */
START_TEST(hdr_correction_finds_the_stall)
{
    const uint64_t ms = 1000000;
    uint64_t *truth = malloc(10100 * sizeof *truth);
    size_t n = 0;
    uint64_t i;

    ck_assert_ptr_nonnull(truth);
    hdr_init(&h1);
    hdr_init(&h2);
    for (i = 0; i < 10000; i++) {
        truth[n++] = ms;
        hdr_record_corrected(&h1, ms, 10 * ms);
        hdr_record(&h2, ms);
    }
    for (i = 0; i < 100; i++)
        truth[n++] = 1000 * ms - i * 10 * ms;
    hdr_record_corrected(&h1, 1000 * ms, 10 * ms);
    hdr_record(&h2, 1000 * ms);
    check_against_model(&h1, truth, n);
    ck_assert_uint_gt(hdr_percentile(&h1, 99900), 800 * ms);
    ck_assert_uint_le(hdr_percentile(&h2, 99900), ms + ms / 1024); /* what is omitted otherwise */
    free(truth);
}
END_TEST

START_TEST(schedule_threads_share_evenly)
{
    static const double rates[] = { 1.0, 3.0, 333.3, 10000.0, 1e6, 7e7 };
    unsigned threads, t, r;

    for (r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        for (threads = 1; threads <= 5; threads++) {
            uint64_t k;

            for (k = 0; k < 1000; k++) {
                uint64_t number = k % 7 == 0 ? k * 1000003 : k; /* far ones too: no drift */
                schedule s;
                double want;

                t = (unsigned)(number % threads);
                schedule_init(&s, 12345, rates[r], t, threads);
                want = 12345.0 + (double)number * 1e9 / rates[r];
                ck_assert(fabs((double)schedule_time(&s, number / threads) - want) <= 1.0 + want * 1e-12);
            }
        }
    }
}
END_TEST

START_TEST(schedule_first_is_the_first)
{
    schedule s;
    uint64_t at, k = 0;

    schedule_init(&s, 1000, 3e6, 2, 4); /* every 1333.3 ns from 1666.7 on */
    for (at = 0; at < 100000; at += 13) {
        while (schedule_time(&s, k) < at)
            k++;
        ck_assert_uint_eq(schedule_first(&s, at), k);
    }
}
END_TEST

/* --------------------------------------------------------------- replies */

#define OUTCOME_MAX 8

/* What came of a stream: the status of each response and where it ended, then how it went on. */
typedef struct outcome {
    unsigned count;
    unsigned status[OUTCOME_MAX];
    size_t end[OUTCOME_MAX];
    unsigned closes;  /* bit i: response i */
    int bad;
    int at_end;       /* reply_end when all was fed */
    int idle;
} outcome;

static void feed(reply *r, outcome *o, const char *p, size_t n, size_t *at)
{
    size_t used;

    while (n != 0 && !o->bad) {
        /* A copy of exact size, so that a read past its end is seen by the tools. */
        char *part = malloc(n);
        reply_step step;

        ck_assert_ptr_nonnull(part);
        memcpy(part, p, n);
        step = reply_feed(r, part, n, &used);
        free(part);
        ck_assert_uint_le(used, n);
        p += used;
        n -= used;
        *at += used;
        if (step == REPLY_BAD) {
            o->bad = 1;
        } else if (step == REPLY_DONE) {
            ck_assert_uint_lt(o->count, OUTCOME_MAX);
            o->status[o->count] = r->status;
            o->closes |= (unsigned)r->closes << o->count;
            o->end[o->count++] = *at;
        } else {
            ck_assert_uint_eq(n, 0);
        }
    }
}

static outcome feed_cut(const char *p, size_t n, size_t cut1, size_t cut2)
{
    size_t at = 0;
    outcome o;
    reply r;

    memset(&o, 0, sizeof o);
    memset(&r, 0xA5, sizeof r);
    reply_init(&r);
    feed(&r, &o, p, cut1, &at);
    feed(&r, &o, p + cut1, cut2 - cut1, &at);
    feed(&r, &o, p + cut2, n - cut2, &at);
    o.at_end = !o.bad && reply_end(&r) == REPLY_DONE;
    o.idle = !o.bad && reply_idle(&r);
    return o;
}

static outcome feed_bytes(const char *p, size_t n)
{
    size_t at = 0, i;
    outcome o;
    reply r;

    memset(&o, 0, sizeof o);
    reply_init(&r);
    for (i = 0; i < n; i++)
        feed(&r, &o, p + i, 1, &at);
    o.at_end = !o.bad && reply_end(&r) == REPLY_DONE;
    o.idle = !o.bad && reply_idle(&r);
    return o;
}

static void same_outcome(const outcome *a, const outcome *b, const char *text, size_t cut1, size_t cut2)
{
    ck_assert_msg(a->count == b->count && a->bad == b->bad && a->at_end == b->at_end && a->idle == b->idle
                  && a->closes == b->closes
                  && memcmp(a->status, b->status, sizeof a->status) == 0
                  && memcmp(a->end, b->end, sizeof a->end) == 0,
                  "cut at %zu and %zu: %s", cut1, cut2, text);
}

/* Whatever way the stream is cut, the outcome is that of the whole. */
static outcome feed_all_ways(const char *p)
{
    size_t n = strlen(p), a, b;
    outcome whole = feed_cut(p, n, n, n), o;

    for (a = 0; a <= n; a++) {
        for (b = a; b <= n; b += n > 200 ? 19 : 1) {
            o = feed_cut(p, n, a, b);
            same_outcome(&whole, &o, p, a, b);
        }
    }
    o = feed_bytes(p, n);
    same_outcome(&whole, &o, p, 1, 1);
    return whole;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

START_TEST(reply_plain_and_pipelined)
{
    outcome o = feed_all_ways(OK_HEAD "Content-Length: 5\r\n\r\nhello");

    ck_assert(o.count == 1 && !o.bad && o.idle && o.status[0] == 200 && o.closes == 0);
    o = feed_all_ways(OK_HEAD "content-length:5\r\nServer: x\r\n\r\nhello"
                      "HTTP/1.1 404 Not Found\r\nContent-Length: \t0 \r\n\r\n"
                      "HTTP/1.1 204\r\nConnection: foo, close\r\n\r\n"
                      "HTTP/1.0 503 \r\nContent-Length: 1\r\n\r\nx"
                      "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx");
    ck_assert(o.count == 5 && !o.bad && o.idle);
    ck_assert(o.status[0] == 200 && o.status[1] == 404 && o.status[2] == 204 && o.status[3] == 503);
    ck_assert_uint_eq(o.closes, 4 | 8);
}
END_TEST

START_TEST(reply_without_length_ends_with_the_stream)
{
    outcome o = feed_all_ways(OK_HEAD "\r\nany\r\n\r\nthing");

    ck_assert(o.count == 0 && !o.bad && o.at_end && !o.idle);
    o = feed_all_ways(OK_HEAD "Content-Length: 6\r\n\r\nhello");
    ck_assert(o.count == 0 && !o.bad && !o.at_end && !o.idle);
    o = feed_all_ways("HTTP/1.1 200 O");
    ck_assert(o.count == 0 && !o.bad && !o.at_end && !o.idle);
}
END_TEST

START_TEST(reply_chunked)
{
    outcome o = feed_all_ways(OK_HEAD "Transfer-Encoding: Chunked\r\n\r\n"
                              "5\r\nhello\r\n00a;x=\"y\"\r\n0123\r\n\r\n89\r\n0\r\nTrailer: 1\r\n\r\n"
                              OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                              OK_HEAD "Content-Length: 1\r\n\r\nx");

    ck_assert(o.count == 3 && !o.bad && o.idle);
}
END_TEST

START_TEST(reply_interim)
{
    outcome o = feed_all_ways("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                              "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n" OK_HEAD
                              "Content-Length: 1\r\n\r\nx");

    ck_assert(o.count == 2 && !o.bad && o.idle && o.status[0] == 304 && o.status[1] == 200);
}
END_TEST

START_TEST(reply_long_lines)
{
    char text[1200];
    size_t n = REPLY_LINE_KEPT - 12, k;

    /* Around the length that is kept of a line in pieces, and far above. */
    for (k = n; k < n + 12; k++) {
        outcome o;

        snprintf(text, sizeof text, OK_HEAD "X-Long: %0*d\r\nContent-Length: 2\r\n\r\nab", (int)k, 7);
        o = feed_all_ways(text);
        ck_assert(o.count == 1 && !o.bad && o.idle);
    }
    snprintf(text, sizeof text, OK_HEAD "%0*d: x\r\nContent-Length: 2\r\n\r\nab", 400, 7);
    ck_assert(feed_all_ways(text).count == 1);
    /* Of a field that matters all must have been kept. */
    for (k = REPLY_LINE_KEPT - 20; k < REPLY_LINE_KEPT + 4 - 15; k++) {
        outcome o;

        snprintf(text, sizeof text, OK_HEAD "Content-Length:%*d\r\n\r\nab", (int)k, 2);
        o = feed_all_ways(text);
        ck_assert_int_eq(o.bad, k + 15 > REPLY_LINE_KEPT);
        ck_assert_uint_eq(o.count, k + 15 <= REPLY_LINE_KEPT);
    }
}
END_TEST

START_TEST(reply_without_bound_is_bad)
{
    static char text[REPLY_LINE_MAX + 4000];
    size_t n, i;
    outcome o;

    memset(text, 'a', sizeof text);
    memcpy(text, OK_HEAD "X: ", sizeof OK_HEAD + 2);
    o = feed_bytes(text, sizeof text);
    ck_assert(o.bad);
    o = feed_cut(text, sizeof text, 100, 200);
    ck_assert(o.bad);
    n = sizeof OK_HEAD - 1;
    for (i = 0; n + 6 <= sizeof text; i++, n += 6)
        memcpy(text + n, "A: b\r\n", 6);
    ck_assert_uint_gt(i, REPLY_LINES_MAX);
    o = feed_cut(text, n, 10, 11);
    ck_assert(o.bad);
}
END_TEST

START_TEST(reply_malformed_is_bad)
{
    static const char *const bad[] = {
        "hello\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/1.2 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000\r\n",
        "HTTP/1.1 099 x\r\n", "HTTP/1.1  200 OK\r\n", "HTTP/1.1 200 OK\n", "\r\n", "\n",
        "http/1.1 200 OK\r\n",
        OK_HEAD "NoColon\r\n", OK_HEAD ": x\r\n", OK_HEAD "A b: c\r\n", OK_HEAD "A : c\r\n",
        OK_HEAD "A: b\n", OK_HEAD "Content-Length: \r\n", OK_HEAD "Content-Length: -1\r\n",
        OK_HEAD "Content-Length: 5x\r\n", OK_HEAD "Content-Length: 1234567890123456789\r\n",
        OK_HEAD "Content-Length: 1\r\nContent-Length: 2\r\n", OK_HEAD "Transfer-Encoding: gzip\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n", OK_HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1x\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n"
    };
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        outcome o = feed_all_ways(bad[i]);

        ck_assert_msg(o.bad && o.count == 0, "taken: %s", bad[i]);
    }
}
END_TEST

START_TEST(units)
{
    uint64_t n;

    ck_assert(parse_duration("1", &n) && n == UINT64_C(1000000000));
    ck_assert(parse_duration("0.25s", &n) && n == 250000000);
    ck_assert(parse_duration("500ms", &n) && n == 500000000);
    ck_assert(parse_duration("20us", &n) && n == 20000);
    ck_assert(parse_duration("7ns", &n) && n == 7);
    ck_assert(parse_duration("2m", &n) && n == UINT64_C(120000000000));
    ck_assert(!parse_duration("", &n) && !parse_duration("s", &n) && !parse_duration("-1", &n));
    ck_assert(!parse_duration("1h", &n) && !parse_duration("1e9", &n) && !parse_duration("nan", &n));
    ck_assert(!parse_duration("0x10", &n) || n != 16);
    ck_assert(parse_size("64", &n) && n == 64);
    ck_assert(parse_size("16K", &n) && n == 16384);
    ck_assert(parse_size("1M", &n) && n == 1048576);
    ck_assert(!parse_size("1G", &n) && !parse_size(" 1", &n) && !parse_size("inf", &n));
    ck_assert(parse_count("10k", &n) && n == 10000);
    ck_assert(parse_count("1.5M", &n) && n == 1500000);
    ck_assert(!parse_count("10K", &n) && !parse_count("1e30", &n));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("load");
    TCase *hdr_case = tcase_create("histogram");
    TCase *rest = tcase_create("schedule, replies, units");
    SRunner *runner;
    int failed;

    tcase_add_test(hdr_case, hdr_slots_cover_all);
    tcase_add_test(hdr_case, hdr_percentiles_match_sorted_values);
    tcase_add_test(hdr_case, hdr_keeps_extremes);
    tcase_add_test(hdr_case, hdr_parts_add_up);
    tcase_add_test(hdr_case, hdr_correction_is_the_definition);
    tcase_add_test(hdr_case, hdr_correction_finds_the_stall);
    tcase_add_test(rest, schedule_threads_share_evenly);
    tcase_add_test(rest, schedule_first_is_the_first);
    tcase_add_test(rest, reply_plain_and_pipelined);
    tcase_add_test(rest, reply_without_length_ends_with_the_stream);
    tcase_add_test(rest, reply_chunked);
    tcase_add_test(rest, reply_interim);
    tcase_add_test(rest, reply_long_lines);
    tcase_add_test(rest, reply_without_bound_is_bad);
    tcase_add_test(rest, reply_malformed_is_bad);
    tcase_add_test(rest, units);
    tcase_set_timeout(hdr_case, 60);
    tcase_set_timeout(rest, 120); /* under valgrind */
    suite_add_tcase(s, hdr_case);
    suite_add_tcase(s, rest);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
