/* SPDX-License-Identifier: MIT */
#include "sock_posix.h"

#include <sys/stat.h>

uint64_t gnp_px_made(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}
