/* SPDX-License-Identifier: MIT */
/* POSIX calls it st_mtim; Apple's headers do so only where nothing but POSIX is asked for. */
#include "../posix/sock_posix.h"

#include <sys/stat.h>

uint64_t gnp_px_made(const struct stat *st)
{
    return (uint64_t)st->st_mtimespec.tv_sec * 1000000000u + (uint64_t)st->st_mtimespec.tv_nsec;
}
