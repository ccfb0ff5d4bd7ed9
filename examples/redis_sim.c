/* SPDX-License-Identifier: MIT */
/*
 * A test of the Redis server in simulated worlds, as a user of gannet would write it for a server of his own:
 * redis_server.c unchanged, linked with libgannet_sim.
 *
 *   redis_sim                    seeds 1 to 200, as make check does
 *   redis_sim --seed 4711 --trace
 *
 * Clients send pipelines of random commands, in pieces, read the answers slowly, reset, or half-close, while
 * the network, the memory and the threads misbehave as the seed says, and in some worlds the server stops in
 * the middle.  Each client has keys of its own and knows what each must be; a command that was not answered
 * may have run or not, so the client lets its keys go and takes new ones.  When the faults are over the
 * server must serve again, and still have what it has acknowledged.
 *
 * Time is simulated, so there is little vague about expiry: a command ran between the moment when it was
 * sent (less a turn of the loop, for which gn_now stands still) and the moment when its answer came, and
 * every TTL must fit.
 */
#include <gannet_sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_server.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PATIENCE (600 * SECOND) /* no answer for so long: there will be none */
#define CLIENTS 4u
#define KEYS 5u                 /* of a client at a time */
#define VALUE_MAX 2000u
#define ROUND_MAX 32u           /* commands of a pipeline */
#define WORDS 3u                /* keys of a command */
#define OUT_MAX (ROUND_MAX * (WORDS * (VALUE_MAX + 64) + 64))
#define TTL_MAX (10 * SECOND)

/* What a client knows of one of its keys. */
typedef struct key {
    char name[24];
    int exists;
    int unknown;     /* a command may have run or not; no more than a name until the pipeline ends */
    uint64_t lo, hi; /* it expires at lo or later, and at hi at last; 0: never */
    size_t n;
    char value[VALUE_MAX];
} key;

enum what {
    GET, SET, SET_PX, SET_NX, SET_XX, SET_KEEPTTL, INCRBY, DEL, EXISTS, EXPIRE, PEXPIRE, TTL, PTTL, PERSIST,
    STRLEN, MSET, MGET, SHARED, PING, NONSENSE, WHATS
};

/* A command that was sent. */
typedef struct command {
    enum what what;
    unsigned count;       /* of keys */
    unsigned keys[WORDS];
    int64_t number;       /* to add, or units of time */
    size_t value[WORDS], n[WORDS]; /* where in the pipeline the value stands */
} command;

typedef struct client {
    struct world *world;
    unsigned id, made;    /* keys made so far */
    gn_sim_peer *peer;
    key keys[KEYS];
    command commands[ROUND_MAX];
    unsigned count, answered;
    char out[OUT_MAX];    /* the pipeline */
    size_t out_n;
    uint64_t sent_at;     /* no command ran before */
    size_t reset_at;      /* the writer cuts the connection there; SIZE_MAX: it does not */
    int half_close, was_reset;
    char in[4096];        /* of the answers */
    size_t in_n, in_at;
    size_t bite;          /* bytes read at once, */
    uint64_t pause_ns;    /* and up to so much time between */
    int64_t shared;       /* the last answer to the INCR of all */
} client;

typedef struct world {
    gn_engine *engine;
    char url[GN_ADDR_TEXT_MAX];
    size_t value_max;     /* less where the network takes a byte at a time */
    unsigned round_max;
    int stopping, tight;  /* tight: so little memory that -OOM is right */
    uint64_t let_go;      /* keys that may be there or not */
    uint64_t turn_ns;     /* no turn of a loop takes longer */
    client clients[CLIENTS];
} world;

/* A world is a process of its own, so this is empty in each, and no allocation of the test's own can fail. */
static world the_world;

static int one_in(unsigned n)
{
    return gn_sim_below(n) == 0;
}

/* Somebody else may be the reason when a connection ends or an answer is an error. */
static int excused(const client *c)
{
    return c->was_reset || c->world->stopping || gn_sim_faults() > 0;
}

/* ---------------------------------------------------------------- keys */

/* What runs from now on does not run before. */
static uint64_t before(const world *w)
{
    uint64_t now = gn_now();

    return now > w->turn_ns ? now - w->turn_ns : 0;
}

static void key_new(client *c, key *k)
{
    memset(k, 0, sizeof *k);
    (void)snprintf(k->name, sizeof k->name, "c%u:%u", c->id, c->made++);
}

/* Nobody knows what they are now: they are not used again. */
static void let_go(client *c, const command *x)
{
    for (unsigned i = 0; i < x->count; i++)
        c->keys[x->keys[i]].unknown = 1;
}

static void keys_renew(client *c)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (c->keys[i].unknown) {
            key_new(c, &c->keys[i]);
            c->world->let_go++;
        }
    }
}

enum { NO, YES, PERHAPS };

/* Was it there at some time from..until? */
static int there(const key *k, uint64_t from, uint64_t until)
{
    if (k->unknown)
        return PERHAPS;
    if (!k->exists || (k->hi != 0 && from >= k->hi))
        return NO;
    return k->hi == 0 || until < k->lo ? YES : PERHAPS;
}

/* An answer tells whether it was there. */
static void learn(key *k, int is, uint64_t from, uint64_t until)
{
    int was = there(k, from, until);

    gn_sim_must(was != (is ? NO : YES), "%s %s at %llu..%llu; it expires at %llu..%llu", k->name,
                is ? "is there" : "is not there", (unsigned long long)from, (unsigned long long)until,
                (unsigned long long)k->lo, (unsigned long long)k->hi);
    if (!is)
        k->exists = 0;
    else if (k->hi != 0 && k->lo <= from)
        k->lo = from + 1;
}

static void key_set(key *k, const char *value, size_t n)
{
    k->exists = 1;
    k->lo = k->hi = 0;
    k->n = n;
    memcpy(k->value, value, n);
}

/* 1 if the value is a number. */
static int as_number(const key *k, int64_t *out)
{
    char text[24];
    char *end;

    if (k->n == 0 || k->n >= sizeof text)
        return 0;
    memcpy(text, k->value, k->n);
    text[k->n] = '\0';
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

/* ---------------------------------------------------------------- commands */

static void put(client *c, const char *data, size_t n)
{
    memcpy(c->out + c->out_n, data, n);
    c->out_n += n;
}

static void put_word(client *c, const char *data, size_t n)
{
    char head[24];

    put(c, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", n));
    put(c, data, n);
    put(c, "\r\n", 2);
}

static void put_text(client *c, const char *text)
{
    put_word(c, text, strlen(text));
}

static void put_number(client *c, int64_t v)
{
    char text[24];

    put_word(c, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

/* A number that INCR can take, or letters. */
static void put_value(client *c, command *x, unsigned i)
{
    char value[VALUE_MAX];
    size_t n = gn_sim_below(c->world->value_max + 1);

    if (one_in(2)) {
        n = (size_t)snprintf(value, sizeof value, "%d", (int)gn_sim_below(100));
    } else {
        char first = (char)('a' + gn_sim_below(26));

        for (size_t k = 0; k < n; k++)
            value[k] = (char)('a' + (first + k * 7) % 26);
    }
    put_word(c, value, n);
    x->value[i] = c->out_n - n - 2;
    x->n[i] = n;
}

static const struct {
    const char *name;
    unsigned keys;   /* at most */
    unsigned values; /* for each key */
} table[WHATS] = {
    [GET] = { "GET", 1, 0 }, [SET] = { "SET", 1, 1 }, [SET_PX] = { "SET", 1, 1 }, [SET_NX] = { "SET", 1, 1 },
    [SET_XX] = { "SET", 1, 1 }, [SET_KEEPTTL] = { "SET", 1, 1 }, [INCRBY] = { "INCRBY", 1, 0 },
    [DEL] = { "DEL", WORDS, 0 }, [EXISTS] = { "EXISTS", WORDS, 0 }, [EXPIRE] = { "EXPIRE", 1, 0 },
    [PEXPIRE] = { "PEXPIRE", 1, 0 }, [TTL] = { "TTL", 1, 0 }, [PTTL] = { "PTTL", 1, 0 },
    [PERSIST] = { "PERSIST", 1, 0 }, [STRLEN] = { "STRLEN", 1, 0 }, [MSET] = { "MSET", WORDS, 1 },
    [MGET] = { "MGET", WORDS, 0 }, [SHARED] = { "INCR", 0, 0 }, [PING] = { "PING", 0, 0 },
    [NONSENSE] = { "NONSENSE", 0, 0 }
};

static int has_number(enum what w)
{
    return w == SET_PX || w == INCRBY || w == EXPIRE || w == PEXPIRE;
}

static void put_command(client *c, command *x)
{
    char head[16];
    unsigned words;

    x->what = (enum what)gn_sim_below(WHATS);
    x->count = table[x->what].keys == 0 ? 0 : 1 + (unsigned)gn_sim_below(table[x->what].keys);
    words = 1 + x->count * (1 + table[x->what].values);
    words += x->what == SET_PX ? 2 : x->what == SET_NX || x->what == SET_XX || x->what == SET_KEEPTTL;
    words += x->what == INCRBY || x->what == EXPIRE || x->what == PEXPIRE || x->what == SHARED;
    put(c, head, (size_t)snprintf(head, sizeof head, "*%u\r\n", words));
    put_text(c, table[x->what].name);
    for (unsigned i = 0; i < x->count; i++) {
        x->keys[i] = (unsigned)gn_sim_below(KEYS);
        put_text(c, c->keys[x->keys[i]].name);
        if (table[x->what].values > 0)
            put_value(c, x, i);
    }
    if (x->what == SHARED)
        put_text(c, "shared");
    if (x->what == SET_NX || x->what == SET_XX || x->what == SET_KEEPTTL)
        put_text(c, x->what == SET_NX ? "NX" : x->what == SET_XX ? "XX" : "KEEPTTL");
    if (x->what == SET_PX)
        put_text(c, "PX");
    x->number = x->what == EXPIRE ? (int64_t)gn_sim_below(TTL_MAX / SECOND + 1) /* 0: at once */
                : x->what == INCRBY ? 1 + (int64_t)gn_sim_below(9)
                                    : 1 + (int64_t)gn_sim_below(one_in(2) ? 20 : TTL_MAX / MS);
    if (has_number(x->what))
        put_number(c, x->number);
}

/* ---------------------------------------------------------------- answers */

/* More bytes, after a while.  0: the connection has ended. */
static int more(client *c)
{
    int64_t n;

    if (c->pause_ns != 0 && one_in(3))
        gn_sim_sleep(gn_sim_below(c->pause_ns));
    n = gn_sim_peer_recv(c->peer, c->in, c->bite, PATIENCE);
    gn_sim_must(n != GN_ETIMEDOUT, "client %u: no answer to command %u of %u", c->id, c->answered, c->count);
    c->in_at = 0;
    c->in_n = n > 0 ? (size_t)n : 0;
    gn_sim_must(n > 0 || excused(c) || (c->half_close && c->answered == c->count),
                "client %u was cut off: %s", c->id, gn_strerror((int)n));
    return n > 0;
}

static int next_byte(client *c, char *out)
{
    if (c->in_at == c->in_n && !more(c))
        return 0;
    *out = c->in[c->in_at++];
    return 1;
}

typedef struct reply {
    char type;
    int64_t number; /* of : $ and * */
    size_t n;
    char text[VALUE_MAX + 2]; /* of + - and $ */
} reply;

/* One line or one bulk string.  0: the connection has ended. */
static int read_reply(client *c, reply *r)
{
    char b = 0;
    size_t want;

    if (!next_byte(c, &r->type))
        return 0;
    for (r->n = 0; b != '\n'; r->text[r->n++] = b) {
        gn_sim_must(r->n < 100, "client %u: a line without an end", c->id);
        if (!next_byte(c, &b))
            return 0;
    }
    gn_sim_must(r->n >= 2 && strchr("+-:$*", r->type) != NULL, "client %u: no answer begins with %d", c->id,
                r->type);
    r->n -= 2;
    r->text[r->n] = '\0';
    r->number = strtoll(r->text, NULL, 10);
    if (r->type != '$' || r->number < 0)
        return 1;
    want = (size_t)r->number + 2;
    gn_sim_must(want <= sizeof r->text, "client %u: a value of %zu bytes", c->id, want);
    for (r->n = 0; r->n < want; r->n++)
        if (!next_byte(c, &r->text[r->n]))
            return 0;
    r->n -= 2;
    return 1;
}

static int is_text(const reply *r, char type, const char *text)
{
    return r->type == type && r->n == strlen(text) && memcmp(r->text, text, r->n) == 0;
}

static void wrong(const client *c, const command *x, const reply *r)
{
    gn_sim_fail("client %u, %s: a wrong answer: %c%.*s", c->id, table[x->what].name, r->type,
                (int)(r->n < 100 ? r->n : 100), r->text);
}

/* ---------------------------------------------------------------- what must be */

/* A value, or none. */
static void judge_get(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    if (r->type != '$')
        wrong(c, x, r);
    if (k->unknown)
        return;
    learn(k, r->number >= 0, c->sent_at, now);
    if (r->number >= 0)
        gn_sim_must(r->n == k->n && memcmp(r->text, k->value, k->n) == 0, "%s has another value", k->name);
}

static void judge_set(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    int done = is_text(r, '+', "OK"), was = there(k, c->sent_at, now);
    key old = *k;

    if (!done && !(r->type == '$' && r->number == -1 && (x->what == SET_NX || x->what == SET_XX)))
        wrong(c, x, r);
    if (x->what == SET_NX)
        learn(k, !done, c->sent_at, now);
    if (x->what == SET_XX)
        learn(k, done, c->sent_at, now);
    if (done)
        key_set(k, c->out + x->value[0], x->n[0]);
    if (done && x->what == SET_PX) {
        k->lo = c->sent_at + (uint64_t)x->number * MS;
        k->hi = now + (uint64_t)x->number * MS;
    }
    if (x->what == SET_KEEPTTL && was == PERHAPS) {
        let_go(c, x);
    } else if (x->what == SET_KEEPTTL && was == YES) {
        k->lo = old.lo;
        k->hi = old.hi;
    }
}

static void judge_add(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    int was = there(k, c->sent_at, now), is_number;
    int64_t v = 0;
    char digits[24];

    is_number = as_number(k, &v);
    if (r->type == '-' && was != NO && !is_number) {
        learn(k, 1, c->sent_at, now);
        return;
    }
    if (r->type != ':')
        wrong(c, x, r);
    if (was == PERHAPS && (!is_number || v == 0)) { /* was it 0, or new? */
        gn_sim_must(r->number == x->number, "%s: %lld", k->name, (long long)r->number);
        let_go(c, x);
        return;
    }
    if (was == PERHAPS && r->number == x->number)
        was = NO;
    gn_sim_must(r->number == (was == NO ? 0 : v) + x->number, "%s: %lld and %lld are %lld", k->name,
                (long long)(was == NO ? 0 : v), (long long)x->number, (long long)r->number);
    learn(k, was != NO, c->sent_at, now);
    if (was == NO)
        k->lo = k->hi = 0;
    k->exists = 1;
    k->n = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)r->number);
    memcpy(k->value, digits, k->n);
}

/* DEL and EXISTS: how many were there. */
static void judge_count(client *c, const command *x, const reply *r, uint64_t now)
{
    int64_t least = 0, most = 0;

    if (r->type != ':')
        wrong(c, x, r);
    for (unsigned i = 0; i < x->count; i++) {
        key *k = &c->keys[x->keys[i]];
        int was = there(k, c->sent_at, now);

        least += was == YES;
        most += was != NO;
        if (x->what == DEL)
            k->exists = 0;
    }
    gn_sim_must(r->number >= least && r->number <= most, "%s: %lld of %lld to %lld", table[x->what].name,
                (long long)r->number, (long long)least, (long long)most);
}

static void judge_expire(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    uint64_t span = (uint64_t)x->number * (x->what == EXPIRE ? SECOND : MS);

    if (r->type != ':' || r->number < 0 || r->number > 1)
        wrong(c, x, r);
    learn(k, r->number == 1, c->sent_at, now);
    if (r->number == 1 && span == 0)
        k->exists = 0;
    k->lo = c->sent_at + span;
    k->hi = now + span;
}

/* What is left, rounded to the nearest unit. */
static void judge_ttl(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    uint64_t unit = x->what == TTL ? SECOND : MS, least, most;

    if (r->type != ':' || r->number < -2)
        wrong(c, x, r);
    learn(k, r->number != -2, c->sent_at, now);
    if (!k->exists)
        return;
    gn_sim_must((r->number == -1) == (k->hi == 0), "%s: TTL %lld", k->name, (long long)r->number);
    if (k->hi == 0)
        return;
    least = (k->lo > now ? k->lo - now : 0) + unit / 2;
    most = k->hi - c->sent_at + unit / 2;
    gn_sim_must((uint64_t)r->number >= least / unit && (uint64_t)r->number <= most / unit,
                "%s: TTL %lld of %llu to %llu", k->name, (long long)r->number,
                (unsigned long long)(least / unit), (unsigned long long)(most / unit));
}

static void judge_persist(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    if (r->type != ':' || r->number < 0 || r->number > 1)
        wrong(c, x, r);
    if (r->number == 0 && k->hi == 0)
        return; /* not there, or without an end */
    learn(k, r->number == 1, c->sent_at, now);
    gn_sim_must(r->number == 0 || k->hi != 0, "%s did not expire", k->name);
    k->lo = k->hi = 0;
}

static void judge_length(client *c, const command *x, key *k, const reply *r, uint64_t now)
{
    if (r->type != ':')
        wrong(c, x, r);
    if (k->exists && k->n == 0 && r->number == 0)
        return;
    learn(k, r->number > 0, c->sent_at, now);
    gn_sim_must(!k->exists || (size_t)r->number == k->n, "%s: length %lld", k->name, (long long)r->number);
}

/* Counted by all clients: no two see the same, and each sees more than before. */
static void judge_shared(client *c, const command *x, const reply *r)
{
    static unsigned char seen[4096];

    if (r->type != ':' || r->number <= c->shared)
        wrong(c, x, r);
    c->shared = r->number;
    gn_sim_must((size_t)r->number < sizeof seen && !seen[r->number]++, "%lld was counted twice",
                (long long)r->number);
}

/* 1 if the server has refused, as it may. */
static int refused(client *c, const command *x, const reply *r)
{
    if (r->type != '-')
        return 0;
    if (is_text(r, '-', "ERR the server is out of memory or stops")) {
        gn_sim_must(excused(c), "%s was lost", table[x->what].name);
        let_go(c, x); /* some of it may have run */
        return 1;
    }
    if (is_text(r, '-', "ERR the server is out of memory")) {
        gn_sim_must(excused(c), "there was memory for %s", table[x->what].name);
        return 1;
    }
    if (strncmp(r->text, "OOM ", 4) == 0) { /* and all is as before */
        gn_sim_must(excused(c) || c->world->tight, "there was room for %s", table[x->what].name);
        if (x->what == MSET)
            let_go(c, x);
        return 1;
    }
    return 0;
}

/* The values of MSET; a key that stands there twice has the last of its values, which one loop sets. */
static void judge_mset(client *c, const command *x, const reply *r)
{
    if (!is_text(r, '+', "OK"))
        wrong(c, x, r);
    for (unsigned i = 0; i < x->count; i++)
        key_set(&c->keys[x->keys[i]], c->out + x->value[i], x->n[i]);
}

/* 0: the connection ended inside of the answer. */
static int judge_mget(client *c, const command *x, reply *r)
{
    if (r->type != '*' || r->number != (int64_t)x->count)
        wrong(c, x, r);
    for (unsigned i = 0; i < x->count; i++) {
        if (!read_reply(c, r))
            return 0;
        judge_get(c, x, &c->keys[x->keys[i]], r, gn_now());
    }
    return 1;
}

/* 0: the connection ended before the answer did. */
static int judge(client *c, const command *x, reply *r)
{
    key *k = &c->keys[x->keys[0]];
    uint64_t now;

    if (!read_reply(c, r))
        return 0;
    now = gn_now();
    gn_sim_note("answer", r->type, r->number);
    if (refused(c, x, r) || (table[x->what].keys == 1 && k->unknown))
        return 1;
    switch (x->what) {
    case GET: judge_get(c, x, k, r, now); break;
    case SET: case SET_PX: case SET_NX: case SET_XX: case SET_KEEPTTL: judge_set(c, x, k, r, now); break;
    case INCRBY: judge_add(c, x, k, r, now); break;
    case DEL: case EXISTS: judge_count(c, x, r, now); break;
    case EXPIRE: case PEXPIRE: judge_expire(c, x, k, r, now); break;
    case TTL: case PTTL: judge_ttl(c, x, k, r, now); break;
    case PERSIST: judge_persist(c, x, k, r, now); break;
    case STRLEN: judge_length(c, x, k, r, now); break;
    case MSET: judge_mset(c, x, r); break;
    case MGET: return judge_mget(c, x, r);
    case SHARED: judge_shared(c, x, r); break;
    case PING:
        if (!is_text(r, '+', "PONG"))
            wrong(c, x, r);
        break;
    default:
        if (!is_text(r, '-', "ERR unknown command 'NONSENSE'"))
            wrong(c, x, r);
        break;
    }
    return 1;
}

/* ---------------------------------------------------------------- clients */

/* Sends the pipeline in pieces.  A thread of its own: a server may well stop reading while nobody reads. */
static void writer(void *arg)
{
    client *c = arg;
    size_t at = 0;

    while (at < c->out_n) {
        size_t n = 1 + gn_sim_below(one_in(2) ? 16 : c->out_n), end;

        end = c->out_n < c->reset_at ? c->out_n : c->reset_at;
        n = n < end - at ? n : end - at;
        if (n == 0) {
            c->was_reset = 1;
            gn_sim_peer_reset(c->peer);
            return;
        }
        if (gn_sim_peer_send(c->peer, c->out + at, n, NULL) != GN_OK)
            return; /* the reader sees why */
        at += n;
        if (one_in(8))
            gn_sim_sleep(gn_sim_below(20 * MS));
    }
    if (c->half_close)
        gn_sim_peer_half_close(c->peer);
}

/* 1: connected.  Faults may keep it from that for a while. */
static int connect_client(client *c)
{
    for (unsigned i = 0; i < 20; i++) {
        int why;

        c->peer = gn_sim_peer_connect(c->world->url, &why);
        if (c->peer)
            break;
        gn_sim_must(excused(c), "client %u: nobody answers: %s", c->id, gn_strerror(why));
        gn_sim_sleep(SECOND);
    }
    c->in_n = c->in_at = 0;
    c->was_reset = 0;
    c->bite = one_in(3) ? 1 + gn_sim_below(40) : sizeof c->in;
    c->pause_ns = one_in(2) ? 0 : MS << gn_sim_below(6);
    return c->peer != NULL;
}

/* A pipeline and its answers.  0: the connection is of no more use. */
static int round_trip(client *c, unsigned count)
{
    reply r;
    gn_sim_thread *t;
    char b;

    c->out_n = 0;
    c->answered = 0;
    c->count = count;
    for (unsigned i = 0; i < count; i++)
        put_command(c, &c->commands[i]);
    c->half_close = one_in(12);
    c->reset_at = one_in(12) ? 1 + gn_sim_below(c->out_n) : SIZE_MAX;
    c->sent_at = before(c->world);
    t = gn_sim_spawn(writer, c, "writer");
    while (c->answered < count && judge(c, &c->commands[c->answered], &r))
        c->answered++;
    gn_sim_join(t);
    for (unsigned i = c->answered; i < count; i++)
        let_go(c, &c->commands[i]);
    keys_renew(c);
    if (c->answered == count && c->half_close && !c->was_reset)
        gn_sim_must(!next_byte(c, &b), "client %u: an answer that nobody asked for", c->id);
    return c->answered == count && !c->half_close && !c->was_reset;
}

static void client_run(void *arg)
{
    client *c = arg;
    unsigned rounds = 1 + (unsigned)gn_sim_below(6);

    for (unsigned i = 0; i < KEYS; i++)
        key_new(c, &c->keys[i]);
    while (rounds-- > 0) {
        if (!c->peer && !connect_client(c))
            return;
        if (!round_trip(c, 1 + (unsigned)gn_sim_below(c->world->round_max))) {
            gn_sim_peer_close(c->peer, one_in(2));
            c->peer = NULL;
        }
        if (one_in(2))
            gn_sim_sleep(gn_sim_below(one_in(2) ? 20 * MS : TTL_MAX));
    }
    if (c->peer)
        gn_sim_peer_close(c->peer, one_in(4));
    c->peer = NULL;
}

/* ---------------------------------------------------------------- at the end */

/* Asks for what a client knows, and how many keys there are. */
static uint64_t ask_again(client *c)
{
    static const char dbsize[] = "*1\r\n$6\r\nDBSIZE\r\n";
    uint64_t size;
    reply r;

    gn_sim_must(connect_client(c), "client %u: the server does not come back", c->id);
    c->out_n = 0;
    c->half_close = c->was_reset = 0;
    c->reset_at = SIZE_MAX;
    c->answered = 0;
    c->count = KEYS;
    put(c, dbsize, sizeof dbsize - 1); /* first: a GET removes what has expired */
    for (unsigned i = 0; i < KEYS; i++) {
        c->commands[i] = (command){ .what = GET, .count = 1, .keys = { i } };
        put(c, "*2\r\n", 4);
        put_text(c, "GET");
        put_text(c, c->keys[i].name);
    }
    c->sent_at = before(c->world);
    gn_sim_must(gn_sim_peer_send(c->peer, c->out, c->out_n, NULL) == GN_OK, "client %u: reset", c->id);
    gn_sim_must(read_reply(c, &r) && r.type == ':', "no DBSIZE");
    size = (uint64_t)r.number;
    for (; c->answered < KEYS; c->answered++)
        gn_sim_must(judge(c, &c->commands[c->answered], &r), "client %u: cut off at the end", c->id);
    gn_sim_peer_close(c->peer, 0);
    c->peer = NULL;
    return size;
}

/* The faults are over: the server must work, and have what it acknowledged; and when all that can expire has
 * expired, only the rest is there. */
static void verify(world *w, unsigned clients)
{
    uint64_t kept = 0, size = 0;

    gn_sim_heal();
    gn_sim_sleep(one_in(2) ? SECOND : 2 * TTL_MAX);
    for (unsigned i = 0; i < clients; i++)
        (void)ask_again(&w->clients[i]);
    gn_sim_sleep(2 * TTL_MAX);
    for (unsigned i = 0; i < clients; i++) {
        uint64_t n = ask_again(&w->clients[i]);

        size = i == 0 ? n : size;
        for (unsigned k = 0; k < KEYS; k++)
            kept += (uint64_t)w->clients[i].keys[k].exists;
    }
    gn_sim_must(size >= kept && size <= kept + w->let_go + 1, "%llu keys, %llu are kept, %llu are not known",
                (unsigned long long)size, (unsigned long long)kept, (unsigned long long)w->let_go);
}

/* ---------------------------------------------------------------- worlds */

static void draw(world *w, gn_options *o, redis_options *r)
{
    static const size_t sizes[] = { 1, 100, 2000, 65536 };
    gn_sim_knobs k;

    gn_sim_knobs_init(&k);
    (void)gn_sim_knobs_now(&k);
    w->value_max = k.pipe_bytes < 100 ? 20 : k.pipe_bytes < 4096 ? 200 : VALUE_MAX;
    w->round_max = k.pipe_bytes < 100 ? 6 : ROUND_MAX;
    w->tight = one_in(5);
    /* Some thousand calls, of which some tens are slow. */
    w->turn_ns = 2 * MS + (k.slow_call != 0 ? 60 * k.slow_call_ns : 0);
    gn_options_init(o);
    o->loops = 1 + (unsigned)gn_sim_below(3);
    o->lb = (gn_lb)gn_sim_below(4);
    o->reuseport = one_in(3);
    o->edge_triggered = one_in(3);
    o->read_buffer = one_in(2) ? 1024 : 65536;
    redis_options_init(r);
    r->seed = gn_sim_below(UINT64_MAX);
    r->memory_max = w->tight ? 3000 : 64u << 20;
    r->command_max = one_in(2) ? 8192 : 1u << 20;
    r->out_flush = sizes[gn_sim_below(4)];
    r->out_stop = sizes[gn_sim_below(4)];
    r->part_max = sizes[gn_sim_below(4)];
    r->batch_max = 1 + (unsigned)gn_sim_below(one_in(2) ? 3 : 256);
}

static void serve(world *w)
{
    unsigned n = 1 + (unsigned)gn_sim_below(CLIENTS);
    gn_sim_thread *threads[CLIENTS];
    int rc;

    for (unsigned i = 0; i < n; i++) {
        w->clients[i].world = w;
        w->clients[i].id = i;
        threads[i] = gn_sim_spawn(client_run, &w->clients[i], "client");
    }
    if (one_in(3)) { /* in the middle */
        gn_sim_sleep(gn_sim_below(one_in(2) ? 50 * MS : 10 * SECOND));
        w->stopping = 1;
        (void)gn_engine_stop(w->engine, gn_sim_below(3) * SECOND);
    }
    for (unsigned i = 0; i < n; i++)
        gn_sim_join(threads[i]);
    if (!w->stopping)
        verify(w, n);
    (void)gn_engine_stop(w->engine, SECOND);
    rc = gn_engine_join(w->engine);
    gn_sim_must(rc == GN_OK || gn_sim_faults() > 0, "the engine ended: %s", gn_strerror(rc));
}

static void run(void *arg)
{
    world *w = &the_world;
    gn_options o;
    redis_options r;
    redis_server *s;
    int rc = GN_ENOMEM;

    (void)arg;
    draw(w, &o, &r);
    s = redis_server_create(&r, &o);
    if (s)
        rc = gn_engine_create(&w->engine, &redis_handler, s, &o);
    if (rc == GN_OK)
        rc = gn_engine_listen(w->engine, one_in(2) ? "tcp://127.0.0.1:0" : "unix:///tmp/redis");
    if (rc == GN_OK)
        rc = gn_engine_start(w->engine);
    gn_sim_must(rc == GN_OK || gn_sim_faults() > 0, "the server does not start: %s", gn_strerror(rc));
    if (rc == GN_OK) {
        (void)gn_engine_url(w->engine, 0, w->url, sizeof w->url);
        serve(w);
    }
    gn_engine_destroy(w->engine);
    redis_server_destroy(s);
}

int main(int argc, char **argv)
{
    return gn_sim_main(argc, argv, run, NULL);
}
