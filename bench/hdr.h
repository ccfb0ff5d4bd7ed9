/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times with a fixed relative precision (the idea of Gil Tene's HdrHistogram):
 * up to 2047 ns it counts each nanosecond, above that each doubling of the value is cut into
 * 1024 equal parts, so that no value is off by more than 1/1024: three significant digits.
 */
#ifndef BENCH_HDR_H
#define BENCH_HDR_H

#include <stdint.h>

#define HDR_PART_BITS 10
#define HDR_PARTS (1u << HDR_PART_BITS)
#define HDR_MAX_BITS 37 /* 2^37 ns = 137 s; above the 100 s that requests are waited for at most */
#define HDR_MAX ((UINT64_C(1) << HDR_MAX_BITS) - 1)
#define HDR_SLOTS ((HDR_MAX_BITS - HDR_PART_BITS + 1) * HDR_PARTS)

typedef struct hdr {
    uint64_t count;
    uint64_t min, max;   /* exact; of all values, also those that were cut to HDR_MAX */
    double sum, squares; /* for mean and deviation, exact up to rounding */
    uint64_t slot[HDR_SLOTS];
} hdr;

/* Empties it. */
void hdr_init(hdr *h);

/* Counts one value, or n equal ones.  Values above HDR_MAX count as HDR_MAX, but max tells the truth. */
void hdr_record(hdr *h, uint64_t ns);
void hdr_record_n(hdr *h, uint64_t ns, uint64_t n);

/*
 * Counts a value together with those that a client who asks once every interval_ns would have
 * seen if it had not been kept waiting itself: ns - interval, ns - 2 * interval, and so on down
 * to interval.  That is the correction for coordinated omission of a closed loop; interval 0 is
 * hdr_record.
 */
void hdr_record_corrected(hdr *h, uint64_t ns, uint64_t interval_ns);

/* Adds all of from to h. */
void hdr_add(hdr *h, const hdr *from);

/* The value that so many of all values do not exceed (parts in HDR_ALL: 99,900 is p99.9; exact, where a
 * fraction would depend on how wide the machine's registers are), to three digits, never above the largest
 * one; 0 when empty. */
#define HDR_ALL 100000u
uint64_t hdr_percentile(const hdr *h, unsigned parts);

double hdr_mean(const hdr *h);
double hdr_deviation(const hdr *h);

/* The slot of a value and the largest value of a slot; for tests. */
unsigned hdr_slot(uint64_t ns);
uint64_t hdr_slot_top(unsigned slot);

#endif
