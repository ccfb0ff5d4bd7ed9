/* SPDX-License-Identifier: MIT */
#include "redis_db.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 1024u

/* Eight bytes at a time, multiplied and folded. */
uint64_t db_hash(uint64_t seed, const char *key, size_t n)
{
    uint64_t h = seed ^ (n * UINT64_C(0x9e3779b97f4a7c15));

    while (n > 0) {
        uint64_t word = 0;
        size_t take = n < 8 ? n : 8;

        memcpy(&word, key, take);
        h = (h ^ word ^ seed >> 7) * UINT64_C(0xd6e8feb86659fd93);
        h ^= h >> 32;
        key += take;
        n -= take;
    }
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 29;
}

static size_t cost(size_t key_length, size_t length)
{
    return sizeof(db_entry) + key_length + length + sizeof(db_entry *);
}

/* Where the pointer to the entry stands, or the NULL at the end of its chain. */
static db_entry **place(const db *d, uint64_t hash, const char *key, size_t n)
{
    db_entry **at = &d->table[hash & (d->size - 1)];

    while (*at && ((*at)->hash != hash || (*at)->key_length != n || memcmp((*at)->bytes, key, n) != 0))
        at = &(*at)->next;
    return at;
}

static void drop(db *d, db_entry **at)
{
    db_entry *e = *at;

    *at = e->next;
    d->count--;
    d->bytes -= cost(e->key_length, e->length);
    free(e);
}

static int is_over(const db_entry *e, uint64_t now)
{
    return e->expires != DB_NEVER && e->expires <= now;
}

db_entry *db_find(db *d, uint64_t hash, const char *key, size_t n, uint64_t now)
{
    db_entry **at;

    if (d->count == 0)
        return NULL;
    at = place(d, hash, key, n);
    if (*at && is_over(*at, now))
        drop(d, at);
    else if (*at)
        return *at;
    return NULL;
}

/* Twice the size when there are as many keys as places.  All at once: a million keys take some 50 ms, which
 * a real server would spread over many commands.  Without memory the chains just grow. */
static int grow(db *d)
{
    size_t size = d->size ? d->size * 2 : FIRST_SIZE;
    db_entry **table = calloc(size, sizeof(db_entry *));

    if (!table)
        return d->size > 0;
    for (size_t i = 0; i < d->size; i++) {
        for (db_entry *e = d->table[i], *next; e; e = next) {
            next = e->next;
            e->next = table[e->hash & (size - 1)];
            table[e->hash & (size - 1)] = e;
        }
    }
    free(d->table);
    d->table = table;
    d->size = size;
    return 1;
}

int db_set(db *d, uint64_t hash, const char *key, size_t n, const char *value, size_t length,
           uint64_t expires, uint64_t now)
{
    db_entry *old = db_find(d, hash, key, n, now), *e;
    size_t free_bytes = d->bytes_max - d->bytes + (old ? cost(n, old->length) : 0);

    if (cost(n, length) > free_bytes)
        return 0;
    if (old && old->length == length) {
        memmove(old->bytes + n, value, length);
        old->expires = expires;
        return 1;
    }
    if (d->count >= d->size && !grow(d))
        return 0;
    e = malloc(sizeof *e + n + length);
    if (!e)
        return 0;
    e->hash = hash;
    e->expires = expires;
    e->key_length = n;
    e->length = length;
    memcpy(e->bytes, key, n);
    memcpy(e->bytes + n, value, length);
    if (old)
        db_remove(d, old);
    e->next = d->table[hash & (d->size - 1)];
    d->table[hash & (d->size - 1)] = e;
    d->count++;
    d->bytes += cost(n, length);
    return 1;
}

void db_remove(db *d, const db_entry *e)
{
    drop(d, place(d, e->hash, e->bytes, e->key_length));
}

void db_clear(db *d)
{
    for (size_t i = 0; i < d->size; i++)
        while (d->table[i])
            drop(d, &d->table[i]);
    free(d->table);
    d->table = NULL;
    d->size = 0;
}

void db_expire(db *d, size_t places, uint64_t now)
{
    if (places > d->size)
        places = d->size;
    while (places-- > 0) {
        db_entry **at = &d->table[d->sweep++ & (d->size - 1)];

        while (*at) {
            if (is_over(*at, now))
                drop(d, at);
            else
                at = &(*at)->next;
        }
    }
}
