/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "hdr.h"

void hdr_init(hdr *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

static unsigned log2_floor(uint64_t v)
{
    unsigned n = 0;
    unsigned step;

    for (step = 32; step != 0; step >>= 1) {
        if (v >> step != 0) {
            v >>= step;
            n += step;
        }
    }
    return n;
}

/* Values of b bits (b > 11) lose their lowest b - 11; what is left is 1024 to 2047, and each
 * further bit moves up by 1024 slots. */
unsigned hdr_slot(uint64_t ns)
{
    unsigned shift;

    if (ns > HDR_MAX)
        ns = HDR_MAX;
    if (ns < 2 * HDR_PARTS)
        return (unsigned)ns;
    shift = log2_floor(ns) - HDR_PART_BITS;
    return shift * HDR_PARTS + (unsigned)(ns >> shift);
}

uint64_t hdr_slot_top(unsigned slot)
{
    unsigned shift;

    if (slot < 2 * HDR_PARTS)
        return slot;
    shift = slot / HDR_PARTS - 1;
    return (((uint64_t)(slot - shift * HDR_PARTS) + 1) << shift) - 1;
}

void hdr_record(hdr *h, uint64_t ns)
{
    hdr_record_n(h, ns, 1);
}

void hdr_record_n(hdr *h, uint64_t ns, uint64_t n)
{
    if (n == 0)
        return;
    h->slot[hdr_slot(ns)] += n;
    h->count += n;
    h->sum += (double)ns * (double)n;
    h->squares += (double)ns * (double)ns * (double)n;
    if (ns < h->min)
        h->min = ns;
    if (ns > h->max)
        h->max = ns;
}

void hdr_record_corrected(hdr *h, uint64_t ns, uint64_t interval_ns)
{
    uint64_t missed;

    hdr_record(h, ns);
    if (interval_ns == 0)
        return;
    for (missed = ns; missed >= 2 * interval_ns; ) {
        missed -= interval_ns;
        hdr_record(h, missed);
    }
}

void hdr_add(hdr *h, const hdr *from)
{
    unsigned i;

    for (i = 0; i < HDR_SLOTS; i++)
        h->slot[i] += from->slot[i];
    h->count += from->count;
    h->sum += from->sum;
    h->squares += from->squares;
    if (from->min < h->min)
        h->min = from->min;
    if (from->max > h->max)
        h->max = from->max;
}

uint64_t hdr_percentile(const hdr *h, unsigned parts)
{
    uint64_t rank, seen = 0;
    unsigned i;

    if (h->count == 0)
        return 0;
    /* Rounded up, and without a product that could be too great. */
    rank = h->count / HDR_ALL * parts + (h->count % HDR_ALL * parts + HDR_ALL - 1) / HDR_ALL;
    if (rank == 0)
        rank = 1;
    for (i = 0; i < HDR_SLOTS; i++) {
        seen += h->slot[i];
        if (seen >= rank) {
            uint64_t top = hdr_slot_top(i);

            return rank == h->count || top > h->max ? h->max : top;
        }
    }
    return h->max;
}

double hdr_mean(const hdr *h)
{
    return h->count == 0 ? 0.0 : h->sum / (double)h->count;
}

double hdr_deviation(const hdr *h)
{
    double mean = hdr_mean(h);
    double variance = h->count == 0 ? 0.0 : h->squares / (double)h->count - mean * mean;

    return variance > 0.0 ? sqrt(variance) : 0.0;
}
