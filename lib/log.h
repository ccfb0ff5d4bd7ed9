/* SPDX-License-Identifier: MIT */
#ifndef GNI_LOG_H
#define GNI_LOG_H

#include "../include/gannet.h"

#if defined(__GNUC__)
#  define GNI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#  define GNI_PRINTF(f, a)
#endif

/* Writes one line to the sink if the level is on.  Cut at 511 bytes.  [any] */
void gni_log(gn_log_level level, const char *format, ...) GNI_PRINTF(2, 3);

/* Reads GANNET_LOG and GANNET_LOG_FILE, the first time only.  [any] */
void gni_log_setup(void);

/* Writes the time as "2026-01-31T23:59:59.123456Z", in UTC and zero-terminated. */
#define GNI_LOG_STAMP 28u
void gni_log_stamp(uint64_t wall_ns, char out[GNI_LOG_STAMP]);

#endif
