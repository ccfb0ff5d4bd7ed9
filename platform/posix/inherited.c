/* SPDX-License-Identifier: MIT */
/* Descriptors that a service manager passed, by the protocol of sd_listen_fds(3). */
#include "posix.h"

#include "../sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST 3 /* SD_LISTEN_FDS_START */

/* A decimal number and nothing else; 0 if it is none. */
static unsigned long number(const char *text)
{
    char *end;
    unsigned long n;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    n = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 ? n : 0;
}

/* The next of the names, which colons separate; where the one after it begins. */
static const char *next_name(const char *names, char *out, size_t cap)
{
    size_t n = strcspn(names, ":"), kept = n < cap ? n : cap - 1;

    memcpy(out, names, kept);
    out[kept] = '\0';
    return names[n] == ':' ? names + n + 1 : names + n;
}

int gnp_inherited_take(gnp_inherited *out, int cap)
{
    const char *names = getenv("LISTEN_FDNAMES");
    unsigned long count = number(getenv("LISTEN_FDS")), i;
    uint64_t limit = gnp_descriptor_limit(0);
    gnp_inherited one;
    int n = 0;

    if (number(getenv("LISTEN_PID")) != (unsigned long)getpid())
        count = 0; /* for another process, whose child this is */
    if (count > limit || count > INT_MAX - FIRST)
        count = 0;
    for (i = 0; i < count; i++) {
        one.os = FIRST + (intptr_t)i;
        names = next_name(names != NULL ? names : "", one.name, sizeof(one.name));
        if (fcntl((int)one.os, F_SETFD, FD_CLOEXEC) != 0)
            continue; /* not open */
        if (n < cap)
            out[n++] = one;
        else
            close((int)one.os);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    unsetenv("LISTEN_PIDFDID"); /* of systemd 258 */
    return n;
}
