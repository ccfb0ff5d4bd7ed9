/* SPDX-License-Identifier: MIT */
/* Where the system has no sendfile. */
#include "posix.h"

int gnp_px_sendfile(gnp_sock *s, int file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    return gnp_px_sendfile_copy(s, file, offset, n, sent);
}
