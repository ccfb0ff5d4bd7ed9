/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../platform/atomic.h"
#include "../platform/err.h"
#include "../platform/sys.h"
#include "../platform/thread.h"
#include "../platform/time.h"

#define LINE_MAX_BYTES 512

#define UNCHOSEN 256u /* beside the level: nobody has chosen it yet, so the environment may */

static gnp_atomic32 lowest = { GN_LOG_WARN | UNCHOSEN };
static gnp_atomic32 set_up; /* the environment was read */
static gnp_atomic64 file;   /* its number plus one; 0: standard error */

/* The sink and its pointer change together.  The lock is held for two loads or stores only,
 * never while a sink runs, so a sink may log or set another. */
static gnp_atomic32 sink_lock;
static gn_log_sink sink_fn;
static void *sink_user;

static void lock_sink(void)
{
    while (gnp_swap32(&sink_lock, 1) != 0)
        gnp_thread_yield();
}

static void unlock_sink(void)
{
    gnp_store32(&sink_lock, 0);
}

void gn_log_set_sink(gn_log_sink sink, void *user)
{
    lock_sink();
    sink_fn = sink;
    sink_user = user;
    unlock_sink();
}

void gn_log_set_level(gn_log_level level)
{
    int n = (int)level;

    if (n < (int)GN_LOG_DEBUG)
        n = (int)GN_LOG_DEBUG;
    if (n > (int)GN_LOG_OFF)
        n = (int)GN_LOG_OFF;
    gnp_store32(&lowest, (uint32_t)n);
}

/* Days since 1970-01-01 as a date.  Years that begin with March have their leap day at the end. */
static void date_of(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t d = days + 719468; /* since 0000-03-01 */
    unsigned era = (unsigned)(d / 146097); /* of 400 years, which all have so many days */
    unsigned in_era = (unsigned)(d % 146097);
    unsigned y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * y + y / 4 - y / 100);
    unsigned m = (5 * in_year + 2) / 153; /* 0: March; five months have 153 days, twice and a bit */
    *day = in_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = era * 400 + y + (*month <= 2 ? 1 : 0);
}

void gni_log_stamp(uint64_t wall_ns, char out[GNI_LOG_STAMP])
{
    uint64_t seconds = wall_ns / 1000000000u;
    unsigned micros = (unsigned)(wall_ns % 1000000000u / 1000);
    unsigned s = (unsigned)(seconds % 86400), year, month, day;

    date_of(seconds / 86400, &year, &month, &day);
    (void)snprintf(out, GNI_LOG_STAMP, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", year % 10000, month % 100,
                   day % 100, s / 3600, s / 60 % 60, s % 60, micros % 1000000);
}

static const char *const level_names[] = { "debug", "info", "warning", "error" };

/* One write each, so that lines of several threads and processes do not mix. */
static void write_stderr(gn_log_level level, const char *line)
{
    char text[LINE_MAX_BYTES + 32];
    int n = snprintf(text, sizeof text, "gannet: %s: %s\n", level_names[level], line);

    if (n > 0)
        gnp_stderr(text, (size_t)n);
}

static void write_default(gn_log_level level, const char *line)
{
    uint64_t to = gnp_load64(&file);
    char stamp[GNI_LOG_STAMP], text[LINE_MAX_BYTES + 64];
    int n;

    if (to == 0) {
        write_stderr(level, line);
        return;
    }
    gni_log_stamp(gnp_wall(), stamp);
    n = snprintf(text, sizeof text, "%s %s: %s\n", stamp, level_names[level], line);
    if (n > 0 && gnp_append((intptr_t)(to - 1), text, (size_t)n) != GNP_OK)
        write_stderr(level, line); /* the disk is full, or so */
}

/* One of the names, or -1. */
static int level_of(const char *name)
{
    static const char *const names[] = { "debug", "info", "warn", "error", "off" };

    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    return -1;
}

void gni_log_setup(void)
{
    const char *name = gnp_env("GANNET_LOG"), *path = gnp_env("GANNET_LOG_FILE");
    uint32_t first = 0, before = GN_LOG_WARN | UNCHOSEN;
    int level, rc;
    intptr_t f;

    if (gnp_load32(&set_up) != 0 || !gnp_cas32(&set_up, &first, 1))
        return;
    if (path != NULL && path[0] != '\0') {
        rc = gnp_append_open(path, &f);
        if (rc == GNP_OK)
            gnp_store64(&file, (uint64_t)f + 1);
        else
            gni_log(GN_LOG_ERROR, "GANNET_LOG_FILE: \"%.255s\": %s", path, gn_strerror(rc));
    }
    if (name == NULL || name[0] == '\0')
        return;
    level = level_of(name);
    if (level < 0)
        gni_log(GN_LOG_ERROR, "GANNET_LOG: \"%.31s\" is none of debug, info, warn, error and off", name);
    else
        (void)gnp_cas32(&lowest, &before, (uint32_t)level);
}

void gni_log(gn_log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    gn_log_sink sink;
    void *user;
    va_list args;

    if ((int)level < (int)GN_LOG_DEBUG || (int)level >= (int)GN_LOG_OFF)
        return;
    if ((uint32_t)level < (gnp_load32(&lowest) & ~UNCHOSEN))
        return;
    va_start(args, format);
    if (vsnprintf(line, sizeof line, format, args) < 0)
        line[0] = '\0';
    va_end(args);
    /* Names and paths in it may come from outside: they must not forge a second line or
     * drive a terminal. */
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    lock_sink();
    sink = sink_fn;
    user = sink_user;
    unlock_sink();
    if (sink != NULL)
        sink(level, line, user);
    else
        write_default(level, line);
}
