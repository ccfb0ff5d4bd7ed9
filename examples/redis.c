/* SPDX-License-Identifier: MIT */
/*
 * A server that speaks the Redis protocol; see redis_server.c.
 *
 *   redis --listen tcp://127.0.0.1:6379
 */
#include "common.h"
#include "redis_server.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static gn_action on_boot(gn_engine *e, void *user)
{
    gn_action a = redis_handler.on_boot(e, user);

    return a == GN_NONE ? common_on_boot(e, user) : a;
}

int main(int argc, char **argv)
{
    gn_handler handler = redis_handler;
    redis_options r;
    redis_server *server;
    const struct common_flag flags[] = {
        {"max-memory BYTES", "of all keys and values", &r.memory_max, UINT64_C(1) << 46, NULL},
        {"max-command BYTES", "of one command with all its words", &r.command_max, 512u << 20, NULL},
        {NULL, NULL, NULL, 0, NULL}
    };
    struct common o = {
        .name = "redis", .about = "Speaks the Redis protocol: strings, counters, expiry.",
        .addr = "tcp://127.0.0.1:6379", .flags = flags
    };
    int status;

    redis_options_init(&r);
    if (!common_parse(&o, argc, argv, &status))
        return status;
    for (unsigned i = 0; i < o.listen_count; i++)
        if (strncmp(o.listen[i], "udp", 3) == 0)
            return common_complain(&o, "Redis goes over streams", o.listen[i]);
    r.seed = ((uint64_t)time(NULL) << 32 ^ gn_now() ^ (uintptr_t)&r) * UINT64_C(0x9e3779b97f4a7c15);
    server = redis_server_create(&r, &o.options);
    if (!server) {
        fprintf(stderr, "redis: no memory\n");
        return 1;
    }
    handler.on_boot = on_boot;
    status = common_run(&o, &handler, server);
    redis_server_destroy(server);
    return status;
}
