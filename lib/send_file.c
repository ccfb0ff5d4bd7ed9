/* SPDX-License-Identifier: MIT */
#include "conn.h"
#include "loop.h"
#include "outbound.h"

int gn_conn_send_file(gn_conn *c, gn_descriptor file, uint64_t offset, uint64_t n, gn_done done, void *arg)
{
    if (!gni_conn_valid(c) || file < 0 || offset > INT64_MAX || n > INT64_MAX - offset) {
        return GN_EINVAL;
    }
    int rc = gni_out_refusal(c);
    if (rc == GN_OK && n == 0) {
        uint64_t size = 0;
        rc = gnp_file_size(file, &size);
        n = size > offset ? size - offset : 0;
    }
    if (rc != GN_OK) {
        return rc;
    }
    if (n == 0) { /* nothing, in its place */
        return gni_out_write_ref(c, NULL, 0, gn_conn_handle(c), done, arg);
    }
    gni_part part = { file, offset, n };
    return gni_out_send_file(c, &part, done, arg);
}
