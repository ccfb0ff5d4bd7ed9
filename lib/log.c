/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../platform/atomic.h"
#include "../platform/sys.h"
#include "../platform/thread.h"

#define LINE_MAX_BYTES 512

static gnp_atomic32 lowest = { GN_LOG_WARN };

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

static void write_stderr(gn_log_level level, const char *line)
{
    static const char *const names[] = { "debug", "info", "warning", "error" };
    char text[LINE_MAX_BYTES + 32];
    int n = snprintf(text, sizeof text, "gannet: %s: %s\n", names[level], line);

    /* One write, so that lines of several threads do not mix. */
    if (n > 0)
        gnp_stderr(text, (size_t)n);
}

void gni_log(gn_log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    gn_log_sink sink;
    void *user;
    va_list args;

    if ((int)level < (int)GN_LOG_DEBUG || (int)level >= (int)GN_LOG_OFF)
        return;
    if ((uint32_t)level < gnp_load32(&lowest))
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
        write_stderr(level, line);
}
