/* SPDX-License-Identifier: MIT */
/* The keys of one loop: a hash table of byte strings that may expire.  For one thread. */
#ifndef REDIS_DB_H
#define REDIS_DB_H

#include <stddef.h>
#include <stdint.h>

#define DB_NEVER 0u /* does not expire */

typedef struct db_entry {
    struct db_entry *next;
    uint64_t hash;
    uint64_t expires; /* time of gn_now, or DB_NEVER */
    size_t key_length, length;
    char bytes[]; /* key, then value */
} db_entry;

typedef struct db {
    db_entry **table;
    size_t size; /* of the table: a power of two, or 0 */
    size_t count;
    size_t bytes, bytes_max;
    size_t sweep; /* where the search for expired keys goes on */
} db;

/* The seed is a secret, so that nobody can send keys that all meet in one place. */
uint64_t db_hash(uint64_t seed, const char *key, size_t n);

/* NULL if it is not there or has expired by now. */
db_entry *db_find(db *d, uint64_t hash, const char *key, size_t n, uint64_t now);

static inline const char *db_value(const db_entry *e)
{
    return e->bytes + e->key_length;
}

/* Sets a key to a value.  0 if bytes_max or the memory does not allow it; then all is as before. */
int db_set(db *d, uint64_t hash, const char *key, size_t n, const char *value, size_t length,
           uint64_t expires, uint64_t now);

void db_remove(db *d, const db_entry *e);
void db_clear(db *d);

/* Removes what has expired from the next places of the table; call it now and then. */
void db_expire(db *d, size_t places, uint64_t now);

#endif
