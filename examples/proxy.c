/* SPDX-License-Identifier: MIT */
/*
 * A TCP forwarder: each client that comes is tied to a connection of its own to a server.
 *
 *   proxy --listen tcp://127.0.0.1:8000 --to tcp://localhost:8080
 *
 * What is worth seeing here:
 *   - Server and client live on the same loops.  The upstream connection is dialled on the loop
 *     of its client, so the two may touch each other without a lock.
 *   - gn_dial neither blocks nor copies a name into a resolver of ours: the host name is looked up
 *     on another thread, its addresses are tried in turn.  Until it is there the client is
 *     paused: what it sends waits in the system, within the system's bounds.
 *   - gn_conn_pipe does the rest, both ways: bytes pass from one to the other without a copy
 *     where they can leave at once, and a side that reads slowly slows down the other side's
 *     sender, not our memory.  A half-close passes, too.
 *   - Whoever goes first takes the other along, after what it still has to send.  A client that
 *     goes while we dial cancels the dial.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>

/* A client whose upstream is being dialled.  Freed when the dial has ended, well or not. */
struct pair {
    gn_handle client;
    gn_op dial;
};

static const char *to;
static uint64_t connect_timeout_ms = 10000;
static uint64_t idle_timeout_ms;

static gn_action upstream_open(gn_conn *c, void *user)
{
    (void)user;
    if (idle_timeout_ms != 0)
        gn_conn_set_idle_timeout(c, idle_timeout_ms * 1000000);
    return GN_NONE;
}

static const gn_handler upstream = {.on_open = upstream_open};

/* Both are on this loop.  done is called exactly once, whatever has happened meanwhile. */
static void dialed(gn_handle h, int status, void *arg)
{
    struct pair *p = arg;
    gn_conn *client = gn_conn_from_handle(p->client), *server = gn_conn_from_handle(h);

    free(p);
    if (client != NULL)
        gn_conn_set_context(client, NULL);
    if (status == GN_OK && client != NULL && gn_conn_pipe(client, server) == GN_OK &&
        gn_conn_pipe(server, client) == GN_OK) {
        gn_conn_resume(client);
        return;
    }
    if (status != GN_OK && status != GN_ECANCELED)
        fprintf(stderr, "proxy: %s: %s\n", to, gn_strerror(status));
    if (client != NULL)
        gn_conn_abort(client); /* it has sent something that nobody will read: tell it so */
    if (server != NULL)
        gn_conn_close(server);
}

static gn_action on_open(gn_conn *c, void *user)
{
    struct pair *p = malloc(sizeof *p);
    gn_dial_options o;

    (void)user;
    if (p == NULL)
        return GN_CLOSE;
    p->client = gn_conn_handle(c);
    gn_conn_set_context(c, p);
    gn_conn_pause(c);
    if (idle_timeout_ms != 0)
        gn_conn_set_idle_timeout(c, idle_timeout_ms * 1000000);
    gn_dial_options_init(&o);
    o.handler = &upstream;
    o.timeout_ns = connect_timeout_ms * 1000000;
    if (gn_dial(gn_conn_handle(c), to, &o, dialed, p, &p->dial) == GN_OK)
        return GN_NONE;
    gn_conn_set_context(c, NULL);
    free(p);
    return GN_CLOSE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    struct pair *p = gn_conn_context(c);

    (void)reason;
    (void)user;
    if (p != NULL) /* still dialling; dialed() will be told, and frees p */
        gn_cancel(p->dial);
    return GN_NONE;
}

int main(int argc, char **argv)
{
    static const gn_handler handler = {
        .on_boot = common_on_boot, .on_open = on_open, .on_close = on_close
    };
    static const struct common_flag flags[] = {
        {.name = "to ADDR", .help = "where connections are forwarded to; must be given", .text = &to},
        {.name = "connect-timeout MS", .help = "for finding and reaching it", .value = &connect_timeout_ms,
         .max = 3600000},
        {.name = "idle-timeout MS", .help = "ends pairs that are silent for so long; 0: never",
         .value = &idle_timeout_ms, .max = 86400000},
        {.name = NULL}
    };
    struct common o = {
        .name = "proxy", .about = "Forwards connections to another server.", .addr = "tcp://127.0.0.1:8000",
        .flags = flags
    };
    int status;

    if (!common_parse(&o, argc, argv, &status))
        return status;
    if (to == NULL)
        return common_complain(&o, "--to is missing", NULL);
    return common_run(&o, &handler, NULL);
}
