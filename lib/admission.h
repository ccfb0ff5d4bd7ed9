/* SPDX-License-Identifier: MIT */
/*
 * A gate that at most max connections are behind at a time.  Who finds it shut may say that he waits;
 * then whoever leaves next is told to call those who wait.  Count and mark are one word, so that
 * nobody leaves between the look and the mark.
 */
#ifndef GNI_ADMISSION_H
#define GNI_ADMISSION_H

#include "../platform/atomic.h"

typedef struct gni_gate {
    uint64_t max; /* 0: open for all, and nothing is counted */
    gnp_atomic64 word;
} gni_gate;

#define GNI_GATE_WAITED (UINT64_C(1) << 63)
#define GNI_GATE_MOST (GNI_GATE_WAITED - 1)

static inline int gni_gate_is_shut(const gni_gate *g)
{
    return g->max != 0 && (gnp_load64(&g->word) & ~GNI_GATE_WAITED) >= g->max;
}

/* 1: inside. */
static inline int gni_gate_enter(gni_gate *g)
{
    uint64_t w = gnp_load64(&g->word);
    while ((w & ~GNI_GATE_WAITED) < g->max) {
        if (gnp_cas64(&g->word, &w, w + 1)) {
            return 1;
        }
    }
    return g->max == 0;
}

/* 1: marked.  0: there is room by now. */
static inline int gni_gate_wait(gni_gate *g)
{
    uint64_t w = gnp_load64(&g->word);
    while ((w & ~GNI_GATE_WAITED) >= g->max) {
        if (gnp_cas64(&g->word, &w, w | GNI_GATE_WAITED)) {
            return 1;
        }
    }
    return 0;
}

/* 1: somebody waits, and it is on the caller to call all who do. */
static inline int gni_gate_leave(gni_gate *g)
{
    uint64_t w = gnp_load64(&g->word);
    if (g->max == 0) {
        return 0;
    }
    while (!gnp_cas64(&g->word, &w, (w - 1) & ~GNI_GATE_WAITED)) {
    }
    return (w & GNI_GATE_WAITED) != 0;
}

#endif
