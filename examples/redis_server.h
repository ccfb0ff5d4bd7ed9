/* SPDX-License-Identifier: MIT */
/* The Redis server as such, for a program or a test to run. */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include <gannet.h>

typedef struct redis_options {
    uint64_t seed;        /* a secret, so that nobody can send keys that all meet in one place */
    uint64_t memory_max;  /* of all keys and values */
    uint64_t command_max; /* of one command with all its words */
    size_t out_flush;     /* answers gathered before they go to gannet */
    size_t out_stop;      /* unsent bytes at which no more answers are made */
    size_t part_max;      /* bytes of answers after which a loop hands over what it has */
    unsigned batch_max;   /* commands of a batch */
} redis_options;

/* All but the seed. */
void redis_options_init(redis_options *o);

typedef struct redis_server redis_server;

/* The server is the user pointer of the engine that gets this handler, and the only one of its kind there.
 * Callbacks that are called from others beside it must be handed on. */
extern const gn_handler redis_handler;

/* Sets what the server needs in the engine's options.  NULL without memory. */
redis_server *redis_server_create(const redis_options *o, gn_options *engine);

/* After the engine was destroyed.  NULL does nothing. */
void redis_server_destroy(redis_server *s);

#endif
