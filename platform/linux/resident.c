/* SPDX-License-Identifier: MIT */
#include "../sys.h"

#include <stdio.h>
#include <unistd.h>

uint64_t gnp_resident(void)
{
    unsigned long long size, pages;
    FILE *f = fopen("/proc/self/statm", "re");
    int got;

    if (f == NULL)
        return 0;
    got = fscanf(f, "%llu %llu", &size, &pages);
    fclose(f);
    return got == 2 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
