/* SPDX-License-Identifier: MIT */
/* Signals that the user has asked an engine for. */
#ifndef GNI_SIGNAL_H
#define GNI_SIGNAL_H

#include "../include/gannet.h"
#include "../platform/platform.h"

#define GNI_SIGNALS 8u /* of gn_signal */

typedef struct gni_signal_entry {
    gn_signal signal;
    gn_on_signal fn;
    void *arg;
} gni_signal_entry;

typedef struct gni_signals {
    gni_signal_entry entry[GNI_SIGNALS];
    unsigned count;
} gni_signals;

/* Says which poller they wake; NULL: none. */
void gni_signals_route(const gni_signals *s, gnp_poller *p);

/* Calls whoever asked for what has come. */
void gni_signals_run(const gni_signals *s, gn_engine *e);

/* Restores what was before. */
void gni_signals_release(gni_signals *s);

#endif
