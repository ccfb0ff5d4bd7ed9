/* SPDX-License-Identifier: MIT */
/*
 * An echo server: whatever comes in goes out again, over TCP, UDP and Unix sockets.
 *
 *   echo --listen tcp://127.0.0.1:9000 --listen udp://127.0.0.1:9000
 *
 * What is worth seeing here:
 *   - One callback is the whole server.  gn_conn_peek lends the bytes that have come (no
 *     copy is made), gn_conn_write queues them, gn_conn_discard says that they are dealt
 *     with.  They leave in one system call after the callback has returned.
 *   - A client that sends but does not read cannot make this server use up the memory:
 *     gannet stops reading from it while too much is waiting to be sent.
 *   - A client that ends its stream still gets all its bytes: without an on_eof callback
 *     gannet sends what was written, then closes.
 *   - Nothing here knows how many threads there are, for a connection stays on one.
 */
#include "common.h"

static gn_action on_traffic(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    int rc = gn_conn_write(c, p, n);

    (void)user;
    gn_conn_discard(c, n);
    if (gn_conn_is_datagram(c))
        return GN_NONE; /* a datagram that could not be sent is lost, as datagrams may be */
    return rc == GN_OK ? GN_NONE : GN_CLOSE;
}

int main(int argc, char **argv)
{
    static const gn_handler handler = {.on_boot = common_on_boot, .on_traffic = on_traffic};
    struct common o = {
        .name = "echo", .about = "Sends back what it receives.", .addr = "tcp://127.0.0.1:9000"
    };
    int status;

    if (!common_parse(&o, argc, argv, &status))
        return status;
    return common_run(&o, &handler, NULL);
}
