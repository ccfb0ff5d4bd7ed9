/* SPDX-License-Identifier: MIT */
/*
 * Socket activation.  The service manager tells of its sockets once, in the environment; they are kept
 * here until a call that wants their name, perhaps of another engine, takes them.
 */
#include <string.h>

#include "engine.h"

/* systemd itself has no limit but that of descriptors; more sockets than this one process does not serve. */
#define INHERITED_MAX 256

static gnp_inherited kept[INHERITED_MAX];
static int kept_count;
static gnp_atomic32 busy;

static int collect(void)
{
    int n = gnp_inherited_take(kept + kept_count, INHERITED_MAX - kept_count);
    if (n > 0) {
        kept_count += n;
    }
    return n < 0 ? n : GN_OK;
}

/* In the order in which they were passed. */
static int serve(gn_engine *e, const char *name, const gn_listen_options *options)
{
    int served = 0;
    int rc = collect();
    for (int i = 0; rc == GN_OK && i < kept_count;) {
        if (name != NULL && strncmp(kept[i].name, name, sizeof kept[i].name) != 0) {
            i++;
            continue;
        }
        rc = gn_engine_listen_descriptor(e, kept[i].os, options);
        if (rc == GN_OK) {
            kept_count--;
            memmove(kept + i, kept + i + 1, (size_t)(kept_count - i) * sizeof kept[0]);
            served++;
        }
    }
    return rc == GN_OK ? served : rc;
}

int gn_engine_listen_inherited(gn_engine *e, const char *name, const gn_listen_options *options)
{
    if (!gni_engine_valid(e)) {
        return GN_EINVAL;
    }
    if (gnp_swap32(&busy, 1) != 0) {
        return GN_EBUSY; /* another thread sets up another engine at this moment */
    }
    int rc = serve(e, name, options);
    gnp_store32(&busy, 0);
    return rc;
}
