/* SPDX-License-Identifier: MIT */
/*
 * Listeners that are opened and given up, again and again, at any step that can fail: nothing of a listener
 * that could not be had is left, neither its descriptor nor the path of a Unix socket, and the same
 * address can be had by the next one.
 */
#include "scenario.h"

#define ROUNDS 12

static gn_action on_traffic(gn_conn *c, void *user)
{
    size_t n;

    (void)user;
    (void)gn_conn_peek(c, &n);
    (void)gn_conn_discard(c, n);
    return GN_NONE;
}

static const char *draw_address(void)
{
    static const char *const all[] = { "tcp://127.0.0.1:7000", "tcp://[::]:7000", "unix:///tmp/binds",
                                       "udp://127.0.0.1:7000", "udp://239.1.2.3:7000" };

    return all[gnp_sim_below(5)];
}

static void round_of(void)
{
    static const gn_handler handler = { .on_traffic = on_traffic };
    unsigned before = gnp_sim_descriptors();
    uint64_t faults = gnp_sim_faults();
    gn_engine *e = NULL;
    gn_options o;

    draw_options(&o);
    int rc = gn_engine_create(&e, &handler, NULL, &o);
    for (int i = 0; i < 3 && rc == GN_OK; i++) {
        rc = gn_engine_listen(e, draw_address());
        gnp_sim_note("listen", rc, i);
        if (rc == GN_EADDRINUSE && i > 0)
            rc = GN_OK; /* the same as one of this round */
    }
    int started = rc == GN_OK && one_in(2);
    if (started)
        rc = gn_engine_start(e);
    must(rc == GN_OK || gnp_sim_faults() > faults, "an address that was given back: %s", gn_strerror(rc));
    if (started && rc == GN_OK)
        finish(e, 0);
    else if (e != NULL)
        must(gn_engine_destroy(e) == GN_OK, "destroy");
    must(gnp_sim_descriptors() == before, "%u descriptors are left", gnp_sim_descriptors() - before);
}

static void run(void *arg)
{
    (void)arg;
    for (uint64_t i = gnp_sim_below(ROUNDS); i < ROUNDS; i++)
        round_of();
}

const scenario scenario_binds = { "binds", run };
