/* SPDX-License-Identifier: MIT */
/*
 * A server that speaks the Redis protocol (RESP2): strings, counters, expiry; enough for redis-cli,
 * redis-benchmark and many a cache.  redis.c is the program around it, redis_sim.c its test under faults.
 *
 * What is worth seeing here:
 *   - Nothing is shared and nothing is locked: each key belongs to one loop, by its hash.  A command whose
 *     key is of another loop is handed over (gn_execute), and its answer comes back the same way.  With
 *     --loops 1 every key is at home, and commands run on the bytes that gannet lends, without a copy.
 *   - Answers keep the order of commands: what a client has sent at once is one batch; each loop gets its
 *     part in one message, and the answers are put together when all parts are back.  Meanwhile what the
 *     client sends stays where it is, and gannet stops reading from it when that is too much.
 *   - A client that does not read its answers gets no more of them made (on_drained goes on).
 *   - Memory has a limit: memory_max for the keys, command_max for what a client sends.
 *   - Keys that have expired are gone when somebody looks for them, and a timer on each loop
 *     (gn_timer_start) removes those that nobody looks for.
 */
#include "redis_server.h"
#include "redis_db.h"
#include "resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define SWEEP_EVERY (100 * MS)
#define SWEEP_PLACES 4096u       /* of the table, each time */
#define NAME_MAX_BYTES 64u       /* of a client's name */

/* ---------------------------------------------------------------- memory */

struct buf {
    char *p;
    size_t n, size;
    int failed; /* something is missing at the end */
};

static char *buf_room(struct buf *b, size_t n)
{
    if (n > b->size - b->n) {
        size_t size = b->size ? b->size : 256;
        char *p;

        while (size - b->n < n && size <= SIZE_MAX / 4)
            size *= 2;
        p = size - b->n < n ? NULL : realloc(b->p, size);
        if (!p) {
            b->failed = 1;
            return NULL;
        }
        b->p = p;
        b->size = size;
    }
    return b->p + b->n;
}

static void put(struct buf *b, const void *data, size_t n)
{
    char *p = n > 0 && !b->failed ? buf_room(b, n) : NULL;

    if (!p)
        return;
    memcpy(p, data, n);
    b->n += n;
}

#define PUT(b, text) put(b, text, sizeof(text) - 1)

/* A letter, a number, the end of the line. */
static void put_number(struct buf *b, char letter, int64_t v)
{
    char text[32];
    int i = sizeof text;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    text[--i] = '\n';
    text[--i] = '\r';
    do {
        text[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0)
        text[--i] = '-';
    text[--i] = letter;
    put(b, text + i, sizeof text - (size_t)i);
}

static void put_bulk(struct buf *b, const char *p, size_t n)
{
    put_number(b, '$', (int64_t)n);
    put(b, p, n);
    PUT(b, "\r\n");
}

static void put_text(struct buf *b, const char *text)
{
    put_bulk(b, text, strlen(text));
}

#define NIL "$-1\r\n"
#define OK "+OK\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NO_NUMBER "-ERR value is not an integer or out of range\r\n"
#define NO_ROOM "-OOM command not allowed when used memory > 'maxmemory'.\r\n"

/* ---------------------------------------------------------------- what there is */

struct redis_server {
    redis_options o;
    gn_engine *engine;
    struct worker *workers; /* one a loop */
    unsigned count;
};

/* What belongs to one loop. */
struct worker {
    redis_server *server;
    unsigned index;
    int started;
    gn_timer sweeper;
    db keys;
    struct buf out;       /* answers of the callback in hand */
    resp_command command; /* the one in hand */
    struct batch *batches;/* that wait for other loops */
    struct part *stuck;   /* parts of others that there was no memory to send home */
};

struct session {
    struct batch *batch; /* that is under way; no other command begins until it is back */
    size_t need;         /* bytes without which parsing is of no use */
    int eof;             /* the client has ended its stream */
    int ending;          /* no more commands: QUIT, or an error */
    int stalled;         /* the client does not read */
    char name[NAME_MAX_BYTES];
    size_t name_length;
};

/* A command that runs. */
struct call {
    struct worker *w;
    gn_conn *c;        /* whose command it is, and what belongs to it; NULL for those with keys */
    struct session *s;
    const struct command *def;
    unsigned argc;
    const resp_arg *argv;
    uint64_t hash;     /* of argv[1], if that is a key */
    uint64_t now;
    struct buf *out;
    int64_t n;         /* of SUM and MERGE */
};

enum where {
    HERE, /* on the client's loop: no key */
    ONE,  /* on the loop of its key */
    EACH, /* one for each key, with `step` words, on its loop */
    ALL   /* one on each loop */
};
enum join { /* how the answers of EACH and ALL become one */
    FIRST, ARRAY, SUM, DONE, MERGE
};

struct command {
    const char *name;
    unsigned least, most; /* words, with the name; most 0: any number */
    enum where where;
    unsigned step;
    enum join join;
    void (*fn)(struct call *x);
};

/* ---------------------------------------------------------------- commands with a key */

static db_entry *find(struct call *x)
{
    return db_find(&x->w->keys, x->hash, x->argv[1].p, x->argv[1].n, x->now);
}

static int set(struct call *x, const char *value, size_t n, uint64_t expires)
{
    return db_set(&x->w->keys, x->hash, x->argv[1].p, x->argv[1].n, value, n, expires, x->now);
}

static void put_entry(struct buf *out, const db_entry *e)
{
    if (e)
        put_bulk(out, db_value(e), e->length);
    else
        PUT(out, NIL);
}

static void do_get(struct call *x)
{
    put_entry(x->out, find(x));
}

/* The time after so many units from now; 0 if that is no time. */
static uint64_t after(const struct call *x, resp_arg a, uint64_t unit, int64_t least)
{
    int64_t v;

    if (!resp_integer(a.p, a.n, &v) || v < least || (v > 0 && (uint64_t)v > (UINT64_MAX / 2 - x->now) / unit))
        return 0;
    return v > 0 ? x->now + (uint64_t)v * unit : 1;
}

struct set_options {
    uint64_t expires;
    int ttl, nx, xx, keep, get;
};

/* 1 if they make sense; else the answer is given. */
static int set_options(struct call *x, struct set_options *o)
{
    for (unsigned i = 3; i < x->argc; i++) {
        resp_arg a = x->argv[i];

        if (resp_is(a, "nx")) {
            o->nx = 1;
        } else if (resp_is(a, "xx")) {
            o->xx = 1;
        } else if (resp_is(a, "keepttl")) {
            o->keep = 1;
        } else if (resp_is(a, "get")) {
            o->get = 1;
        } else if ((resp_is(a, "ex") || resp_is(a, "px")) && i + 1 < x->argc && !o->ttl) {
            int64_t v;

            o->ttl = 1;
            i++;
            if (!resp_integer(x->argv[i].p, x->argv[i].n, &v)) {
                PUT(x->out, NO_NUMBER);
                return 0;
            }
            o->expires = after(x, x->argv[i], resp_is(a, "ex") ? SECOND : MS, 1);
            if (o->expires == 0) {
                PUT(x->out, "-ERR invalid expire time in 'set' command\r\n");
                return 0;
            }
        } else {
            PUT(x->out, SYNTAX);
            return 0;
        }
    }
    if ((o->nx && o->xx) || (o->keep && o->ttl)) {
        PUT(x->out, SYNTAX);
        return 0;
    }
    return 1;
}

static void do_set(struct call *x)
{
    struct set_options o = {DB_NEVER, 0, 0, 0, 0, 0};
    const db_entry *old;
    size_t before = x->out->n;

    if (!set_options(x, &o))
        return;
    old = o.nx || o.xx || o.keep || o.get ? find(x) : NULL;
    if (o.get)
        put_entry(x->out, old); /* now: the value goes away below */
    if ((o.nx && old) || (o.xx && !old)) {
        if (!o.get)
            PUT(x->out, NIL);
        return;
    }
    if (o.keep && old)
        o.expires = old->expires;
    if (set(x, x->argv[2].p, x->argv[2].n, o.expires)) {
        if (!o.get)
            PUT(x->out, OK);
        return;
    }
    x->out->n = before;
    PUT(x->out, NO_ROOM);
}

/* One pair of MSET: says nothing if all is well. */
static void do_mset(struct call *x)
{
    if (!set(x, x->argv[2].p, x->argv[2].n, DB_NEVER))
        PUT(x->out, NO_ROOM);
}

static void do_del(struct call *x)
{
    const db_entry *e = find(x);

    if (!e)
        return;
    db_remove(&x->w->keys, e);
    x->n = 1;
}

static void do_exists(struct call *x)
{
    x->n = find(x) != NULL;
}

static void add_to(struct call *x, int64_t by)
{
    const db_entry *e = find(x);
    int64_t v = 0;
    struct buf text = {NULL, 0, 0, 0};
    char digits[32];

    if (e && !resp_integer(db_value(e), e->length, &v)) {
        PUT(x->out, NO_NUMBER);
        return;
    }
    if (by > 0 ? v > INT64_MAX - by : v < INT64_MIN - by) {
        PUT(x->out, "-ERR increment or decrement would overflow\r\n");
        return;
    }
    v += by;
    text.p = digits;
    text.size = sizeof digits;
    put_number(&text, ':', v);
    /* The digits, without the letter and the end of the line. */
    if (set(x, digits + 1, text.n - 3, e ? e->expires : DB_NEVER))
        put(x->out, digits, text.n);
    else
        PUT(x->out, NO_ROOM);
}

static void do_incr(struct call *x)
{
    add_to(x, 1);
}

static void do_decr(struct call *x)
{
    add_to(x, -1);
}

static void do_incrby(struct call *x)
{
    int64_t by;

    if (!resp_integer(x->argv[2].p, x->argv[2].n, &by))
        PUT(x->out, NO_NUMBER);
    else
        add_to(x, by);
}

static void do_decrby(struct call *x)
{
    int64_t by;

    if (!resp_integer(x->argv[2].p, x->argv[2].n, &by))
        PUT(x->out, NO_NUMBER);
    else if (by == INT64_MIN)
        PUT(x->out, "-ERR decrement would overflow\r\n");
    else
        add_to(x, -by);
}

static void expire(struct call *x, uint64_t unit)
{
    db_entry *e;
    int64_t v;
    uint64_t at;

    if (!resp_integer(x->argv[2].p, x->argv[2].n, &v)) {
        PUT(x->out, NO_NUMBER);
        return;
    }
    at = after(x, x->argv[2], unit, INT64_MIN);
    if (at == 0) {
        PUT(x->out, "-ERR invalid expire time in 'expire' command\r\n");
        return;
    }
    e = find(x);
    if (e && v <= 0)
        db_remove(&x->w->keys, e);
    else if (e)
        e->expires = at;
    put_number(x->out, ':', e != NULL);
}

static void do_expire(struct call *x)
{
    expire(x, SECOND);
}

static void do_pexpire(struct call *x)
{
    expire(x, MS);
}

/* -2: no such key; -1: it does not expire. */
static void ttl(struct call *x, uint64_t unit)
{
    const db_entry *e = find(x);
    int64_t left = -2;

    if (e)
        left = e->expires == DB_NEVER ? -1 : (int64_t)((e->expires - x->now + unit / 2) / unit);
    put_number(x->out, ':', left);
}

static void do_ttl(struct call *x)
{
    ttl(x, SECOND);
}

static void do_pttl(struct call *x)
{
    ttl(x, MS);
}

static void do_persist(struct call *x)
{
    db_entry *e = find(x);
    int was = e && e->expires != DB_NEVER;

    if (was)
        e->expires = DB_NEVER;
    put_number(x->out, ':', was);
}

static void do_strlen(struct call *x)
{
    const db_entry *e = find(x);

    put_number(x->out, ':', e ? (int64_t)e->length : 0);
}

static void do_type(struct call *x)
{
    if (find(x))
        PUT(x->out, "+string\r\n");
    else
        PUT(x->out, "+none\r\n");
}

/* ---------------------------------------------------------------- commands for all keys */

/* One of the letters in [...]; *p stands behind the bracket, and then behind its end. */
static int in_set(const char **p, const char *end, char c)
{
    const char *q = *p;
    int no = q < end && *q == '^', found = 0;

    for (q += no; q < end && *q != ']'; q++) {
        if (*q == '\\' && q + 1 < end) {
            found |= *++q == c;
        } else if (q + 2 < end && q[1] == '-' && q[2] != ']') {
            unsigned char a = (unsigned char)q[0], b = (unsigned char)q[2], x = (unsigned char)c;

            found |= a <= b ? x >= a && x <= b : x >= b && x <= a;
            q += 2;
        } else {
            found |= *q == c;
        }
    }
    *p = q < end ? q + 1 : q;
    return found != no;
}

/* One letter against what is not a star; p moves behind that. */
static int matches_letter(const char **p, const char *end, char c)
{
    const char *q = (*p)++;

    if (*q == '?')
        return 1;
    if (*q == '[')
        return in_set(p, end, c);
    if (*q == '\\' && *p < end)
        q = (*p)++;
    return *q == c;
}

/* A pattern of KEYS: * ? [a-z] [^a] \x.  Going back to the last star only is enough, and so a
 * pattern of many stars takes length times length, never more. */
static int matches(const char *p, const char *end, const char *s, size_t n)
{
    const char *stop = s + n, *star = NULL, *from = NULL;

    while (s < stop) {
        if (p < end && *p == '*') {
            star = ++p;
            from = s;
        } else if (p < end && matches_letter(&p, end, *s)) {
            s++;
        } else if (star) {
            p = star;
            s = ++from;
        } else {
            return 0;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

static void do_keys(struct call *x)
{
    const db *d = &x->w->keys;
    const char *end = x->argv[1].p + x->argv[1].n;

    for (size_t i = 0; i < d->size; i++) {
        for (const db_entry *e = d->table[i]; e; e = e->next) {
            if ((e->expires != DB_NEVER && e->expires <= x->now)
                || !matches(x->argv[1].p, end, e->bytes, e->key_length))
                continue;
            put_bulk(x->out, e->bytes, e->key_length);
            x->n++;
        }
    }
}

static void do_dbsize(struct call *x)
{
    x->n = (int64_t)x->w->keys.count;
}

static void do_flush(struct call *x)
{
    db_clear(&x->w->keys);
}

/* ---------------------------------------------------------------- commands without a key */

static void do_ping(struct call *x)
{
    if (x->argc == 2)
        put_bulk(x->out, x->argv[1].p, x->argv[1].n);
    else
        PUT(x->out, "+PONG\r\n");
}

static void do_echo(struct call *x)
{
    put_bulk(x->out, x->argv[1].p, x->argv[1].n);
}

static void do_quit(struct call *x)
{
    x->s->ending = 1;
    PUT(x->out, OK);
}

static void do_select(struct call *x)
{
    int64_t v;

    if (!resp_integer(x->argv[1].p, x->argv[1].n, &v))
        PUT(x->out, "-ERR invalid DB index\r\n");
    else if (v != 0)
        PUT(x->out, "-ERR DB index is out of range\r\n");
    else
        PUT(x->out, OK);
}

static int64_t client_id(const struct call *x)
{
    return (int64_t)(gn_conn_handle(x->c) & INT64_MAX);
}

static void do_hello(struct call *x)
{
    int64_t v = 2;

    if (x->argc > 1 && !resp_integer(x->argv[1].p, x->argv[1].n, &v)) {
        PUT(x->out, "-ERR Protocol version is not an integer or out of range\r\n");
        return;
    }
    if (v != 2) {
        PUT(x->out, "-NOPROTO unsupported protocol version\r\n");
        return;
    }
    if (x->argc > 2) {
        PUT(x->out, "-ERR Syntax error in HELLO\r\n"); /* AUTH and SETNAME */
        return;
    }
    PUT(x->out, "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n");
    put_text(x->out, gn_version());
    PUT(x->out, "$5\r\nproto\r\n:2\r\n$2\r\nid\r\n");
    put_number(x->out, ':', client_id(x));
    PUT(x->out, "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
}

static int printable(resp_arg a)
{
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] < '!' || a.p[i] > '~')
            return 0;
    return 1;
}

static void do_client(struct call *x)
{
    resp_arg what = x->argv[1];

    if (resp_is(what, "id") && x->argc == 2) {
        put_number(x->out, ':', client_id(x));
    } else if (resp_is(what, "getname") && x->argc == 2) {
        if (x->s->name_length > 0)
            put_bulk(x->out, x->s->name, x->s->name_length);
        else
            PUT(x->out, NIL);
    } else if (resp_is(what, "setname") && x->argc == 3) {
        resp_arg name = x->argv[2];

        if (name.n > sizeof x->s->name || !printable(name)) {
            PUT(x->out, "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
            return;
        }
        memcpy(x->s->name, name.p, name.n);
        x->s->name_length = name.n;
        PUT(x->out, OK);
    } else if (resp_is(what, "setinfo") && x->argc == 4) {
        PUT(x->out, OK);
    } else {
        PUT(x->out, "-ERR unknown subcommand or wrong number of arguments for 'client' command\r\n");
    }
}

static void put_setting(struct call *x, const char *name, const char *value, int64_t *found)
{
    size_t n = strlen(name);

    if (!matches(x->argv[2].p, x->argv[2].p + x->argv[2].n, name, n))
        return;
    put_bulk(x->out, name, n);
    put_text(x->out, value);
    *found += 2;
}

/* What redis-benchmark asks for. */
static void do_config(struct call *x)
{
    char memory[24];
    struct buf settings = {NULL, 0, 0, 0}, *out = x->out;
    int64_t found = 0;

    if (!resp_is(x->argv[1], "get") || x->argc != 3) {
        PUT(out, "-ERR unknown subcommand or wrong number of arguments for 'config' command\r\n");
        return;
    }
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)x->w->server->o.memory_max);
    x->out = &settings;
    put_setting(x, "appendonly", "no", &found);
    put_setting(x, "maxmemory", memory, &found);
    put_setting(x, "save", "", &found);
    x->out = out;
    put_number(out, '*', found);
    put(out, settings.p, settings.n);
    out->failed |= settings.failed;
    free(settings.p);
}

static void do_info(struct call *x)
{
    gn_engine *e = gn_conn_engine(x->c);
    char text[512];
    int n = snprintf(text, sizeof text,
                     "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\ngannet_poller:%s\r\n"
                     "gannet_loops:%u\r\n\r\n# Clients\r\nconnected_clients:%llu\r\n\r\n"
                     "# Memory\r\nmaxmemory:%llu\r\n\r\n# Replication\r\nrole:master\r\n",
                     gn_version(), gn_engine_poller(e), gn_engine_loop_count(e),
                     (unsigned long long)gn_engine_conn_count(e),
                     (unsigned long long)x->w->server->o.memory_max);

    put_bulk(x->out, text, n > 0 ? (size_t)n : 0);
}

static void do_command(struct call *x);

/* Those that are asked for most come first. */
static const struct command commands[] = {
    {"get", 2, 2, ONE, 0, FIRST, do_get},
    {"set", 3, 0, ONE, 0, FIRST, do_set},
    {"incr", 2, 2, ONE, 0, FIRST, do_incr},
    {"ping", 1, 2, HERE, 0, FIRST, do_ping},
    {"mset", 3, 0, EACH, 2, DONE, do_mset},
    {"mget", 2, 0, EACH, 1, ARRAY, do_get},
    {"del", 2, 0, EACH, 1, SUM, do_del},
    {"exists", 2, 0, EACH, 1, SUM, do_exists},
    {"expire", 3, 3, ONE, 0, FIRST, do_expire},
    {"ttl", 2, 2, ONE, 0, FIRST, do_ttl},
    {"incrby", 3, 3, ONE, 0, FIRST, do_incrby},
    {"decr", 2, 2, ONE, 0, FIRST, do_decr},
    {"decrby", 3, 3, ONE, 0, FIRST, do_decrby},
    {"pexpire", 3, 3, ONE, 0, FIRST, do_pexpire},
    {"pttl", 2, 2, ONE, 0, FIRST, do_pttl},
    {"persist", 2, 2, ONE, 0, FIRST, do_persist},
    {"strlen", 2, 2, ONE, 0, FIRST, do_strlen},
    {"type", 2, 2, ONE, 0, FIRST, do_type},
    {"unlink", 2, 0, EACH, 1, SUM, do_del},
    {"keys", 2, 2, ALL, 0, MERGE, do_keys},
    {"dbsize", 1, 1, ALL, 0, SUM, do_dbsize},
    {"flushall", 1, 2, ALL, 0, DONE, do_flush},
    {"flushdb", 1, 2, ALL, 0, DONE, do_flush},
    {"echo", 2, 2, HERE, 0, FIRST, do_echo},
    {"hello", 1, 0, HERE, 0, FIRST, do_hello},
    {"select", 2, 2, HERE, 0, FIRST, do_select},
    {"client", 2, 0, HERE, 0, FIRST, do_client},
    {"config", 2, 0, HERE, 0, FIRST, do_config},
    {"command", 1, 0, HERE, 0, FIRST, do_command},
    {"info", 1, 0, HERE, 0, FIRST, do_info},
    {"quit", 1, 0, HERE, 0, FIRST, do_quit},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

/* redis-cli wants help texts for its hints; an empty answer is one. */
static void do_command(struct call *x)
{
    if (x->argc == 2 && resp_is(x->argv[1], "count"))
        put_number(x->out, ':', COMMANDS);
    else
        PUT(x->out, "*0\r\n");
}

static const struct command *lookup(resp_arg name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (resp_is(name, commands[i].name))
            return &commands[i];
    return NULL;
}

/* What a client sent is shown again only as far as it is harmless. */
static void put_harmless(struct buf *out, resp_arg a)
{
    for (size_t i = 0; i < a.n && i < 64; i++) {
        char c = a.p[i] < ' ' || a.p[i] > '~' ? '?' : a.p[i];

        put(out, &c, 1);
    }
}

static int good(const struct command *def, unsigned argc)
{
    return def && argc >= def->least && (def->most == 0 || argc <= def->most)
           && (def->step < 2 || (argc - 1) % def->step == 0);
}

static void complain(const struct command *def, resp_arg name, struct buf *out)
{
    if (!def) {
        PUT(out, "-ERR unknown command '");
        put_harmless(out, name);
        PUT(out, "'\r\n");
    } else {
        PUT(out, "-ERR wrong number of arguments for '");
        put(out, def->name, strlen(def->name));
        PUT(out, "' command\r\n");
    }
}

/* ---------------------------------------------------------------- batches */

/* A command for one loop, and what came of it. */
struct op {
    const struct command *def;
    unsigned argc;
    size_t bytes, lengths; /* where its words begin */
    uint64_t hash;
    size_t out, out_length;
    int64_t n;
};

/* What one loop has to do of a batch.  It owns all it needs and travels there and back. */
struct part {
    struct part *next; /* of those that are stuck */
    gn_handle home;
    struct batch *batch;
    redis_server *server;
    unsigned loop; /* whose keys it is for */
    int lost; /* it could not be done */
    size_t done, joined; /* ops that were run, and whose answers were given */
    struct buf ops, bytes, lengths, out;
};

/* One command of the batch: count refs of its ops. */
struct want {
    const struct command *def;
    unsigned first, count;
};
struct ref {
    unsigned loop, op;
};

struct batch {
    struct batch *next, *prev;
    gn_handle conn;
    unsigned waiting; /* parts that are away */
    unsigned count;   /* of commands */
    unsigned joined;  /* that were answered */
    int failed;       /* no memory */
    struct buf wants, refs;
    struct part *parts[]; /* one a loop: NULL when there is none, or it is away */
};

static void part_free(struct part *t)
{
    if (!t)
        return;
    free(t->ops.p);
    free(t->bytes.p);
    free(t->lengths.p);
    free(t->out.p);
    free(t);
}

static void batch_free(struct worker *w, struct batch *b)
{
    if (b->prev)
        b->prev->next = b->next;
    else
        w->batches = b->next;
    if (b->next)
        b->next->prev = b->prev;
    for (unsigned i = 0; i < w->server->count; i++)
        part_free(b->parts[i]);
    free(b->wants.p);
    free(b->refs.p);
    free(b);
}

static struct batch *batch_new(struct worker *w, gn_conn *c)
{
    struct batch *b = calloc(1, sizeof *b + w->server->count * sizeof b->parts[0]);

    if (!b)
        return NULL;
    b->conn = gn_conn_handle(c);
    b->next = w->batches;
    if (b->next)
        b->next->prev = b;
    w->batches = b;
    return b;
}

/* The part of the batch for a loop, made when it is first needed. */
static struct part *part_of(struct worker *w, struct batch *b, unsigned loop)
{
    if (!b->parts[loop]) {
        struct part *t = calloc(1, sizeof *t);

        if (!t)
            return NULL;
        t->home = gn_loop_handle(gn_loop_current());
        t->batch = b;
        t->server = w->server;
        t->loop = loop;
        b->parts[loop] = t;
    }
    return b->parts[loop];
}

/* A command of argc words for one loop: the name, then argc - 1 words from `words` on. */
static void add_op(struct worker *w, struct batch *b, const struct command *def, unsigned loop, uint64_t hash,
                   unsigned argc, const resp_arg *words)
{
    struct part *t = part_of(w, b, loop);
    struct op op = {def, argc, 0, 0, hash, 0, 0, 0};
    struct ref ref;

    if (!t) {
        b->failed = 1;
        return;
    }
    op.bytes = t->bytes.n;
    op.lengths = t->lengths.n / sizeof(size_t);
    for (unsigned i = 0; i + 1 < argc; i++) {
        put(&t->bytes, words[i].p, words[i].n);
        put(&t->lengths, &words[i].n, sizeof words[i].n);
    }
    ref.loop = loop;
    ref.op = (unsigned)(t->ops.n / sizeof op);
    put(&t->ops, &op, sizeof op);
    put(&b->refs, &ref, sizeof ref);
    b->failed |= t->bytes.failed | t->lengths.failed | t->ops.failed | b->refs.failed;
}

static unsigned owner(const redis_server *s, uint64_t hash)
{
    return (unsigned)((hash >> 32) % s->count);
}

static void add_command(struct worker *w, struct batch *b, const struct command *def, const resp_command *r)
{
    redis_server *s = w->server;
    struct want want = {def, (unsigned)(b->refs.n / sizeof(struct ref)), 0};
    unsigned step = def->where == EACH ? def->step : r->argc - 1;

    if (def->where == ALL) {
        for (unsigned i = 0; i < s->count; i++)
            add_op(w, b, def, i, 0, r->argc, r->argv + 1);
    } else {
        for (unsigned i = 1; i < r->argc; i += step) {
            uint64_t hash = db_hash(s->o.seed, r->argv[i].p, r->argv[i].n);

            add_op(w, b, def, owner(s, hash), hash, step + 1, r->argv + i);
        }
    }
    want.count = (unsigned)(b->refs.n / sizeof(struct ref)) - want.first;
    put(&b->wants, &want, sizeof want);
    b->failed |= b->wants.failed;
    b->count++;
}

static struct op *op_at(const struct part *t, size_t i)
{
    return (struct op *)(void *)t->ops.p + i;
}

static size_t op_count(const struct part *t)
{
    return t->ops.n / sizeof(struct op);
}

/* Runs ops of a part on the loop whose keys they are for, until there are enough answers to hand over.
 * What is there already does not count: it may be of an MGET that needs more of this part, however long. */
static void part_run(struct worker *w, struct part *t)
{
    const size_t *lengths = (const size_t *)(const void *)t->lengths.p;
    size_t enough = t->out.n + w->server->o.part_max;

    while (t->done < op_count(t) && t->out.n < enough && !t->lost) {
        struct op *op = op_at(t, t->done++);
        resp_arg *argv = w->command.argv; /* nobody needs what is there */
        size_t at = op->bytes;
        struct call x = {w, NULL, NULL, op->def, op->argc, argv, op->hash, gn_now(), &t->out, 0};

        for (unsigned k = 1; k < op->argc; k++) {
            argv[k].p = t->bytes.p ? t->bytes.p + at : "";
            argv[k].n = lengths[op->lengths + k - 1];
            at += argv[k].n;
        }
        op->out = t->out.n;
        op->def->fn(&x);
        op->out_length = t->out.n - op->out;
        op->n = x.n;
        t->lost = t->out.failed;
    }
}

/* All answers of a command in one; 0 if they are not all there. */
static int join(const struct batch *b, const struct want *want, struct buf *out)
{
    const struct ref *refs = (const struct ref *)(const void *)b->refs.p + want->first;
    int64_t sum = 0;
    int lost = 0, errors = 0;

    for (unsigned i = 0; i < want->count; i++) {
        const struct part *t = b->parts[refs[i].loop];

        if (!t->lost && refs[i].op >= t->done)
            return 0;
        lost |= t->lost;
        sum += op_at(t, refs[i].op)->n;
    }
    if (lost) {
        PUT(out, "-ERR the server is out of memory or stops\r\n");
        return 1;
    }
    if (want->def->join == ARRAY)
        put_number(out, '*', want->count);
    else if (want->def->join == SUM)
        put_number(out, ':', sum);
    else if (want->def->join == MERGE)
        put_number(out, '*', sum);
    for (unsigned i = 0; i < want->count; i++) {
        struct part *t = b->parts[refs[i].loop];
        const struct op *op = op_at(t, refs[i].op);

        t->joined = refs[i].op + 1u;
        if (op->out_length > 0 && (want->def->join != DONE || !errors++)) /* one error is enough */
            put(out, t->out.p + op->out, op->out_length);
    }
    if (want->def->join == DONE && !errors)
        PUT(out, OK);
    return 1;
}

/* Answers commands in their order, as far as all is there. */
static void batch_join(const struct worker *w, struct batch *b, struct buf *out)
{
    const struct want *wants = (const struct want *)(const void *)b->wants.p;

    while (b->joined < b->count && join(b, &wants[b->joined], out))
        b->joined++;
    for (unsigned i = 0; i < w->server->count; i++)
        if (b->parts[i] && b->parts[i]->joined == b->parts[i]->done)
            b->parts[i]->out.n = 0; /* the loop of the first answer that is missing has room again */
}

/* ---------------------------------------------------------------- there and back */

static void part_back(gn_handle h, int status, void *arg);

/* Sends a part home.  Somebody waits for it there, so without memory it is tried again by the sweeper, which
 * needs none. */
static void part_home(struct worker *w, struct part *t)
{
    int rc = gn_execute(t->home, part_back, t);

    if (rc == GN_ENOMEM || rc == GN_ELIMIT) {
        t->next = w->stuck;
        w->stuck = t;
    } else if (rc != GN_OK) {
        part_free(t);
    }
}

static void sweep(gn_loop *l, gn_timer *t, void *arg)
{
    struct worker *w = arg;
    struct part *stuck = w->stuck, *next;

    (void)l;
    (void)t;
    db_expire(&w->keys, SWEEP_PLACES, gn_now());
    for (w->stuck = NULL; stuck; stuck = next) {
        next = stuck->next;
        part_home(w, stuck);
    }
}

/* What belongs to the loop of this callback.  What can only be done on it is done the first time. */
static struct worker *worker_here(redis_server *server)
{
    gn_loop *l = gn_loop_current();
    struct worker *w = &server->workers[gn_loop_index(l)];

    if (!w->started) {
        w->started = 1;
        gn_timer_start(l, &w->sweeper, SWEEP_EVERY, SWEEP_EVERY, sweep, w);
    }
    return w;
}

static void batch_back(struct worker *w, struct batch *b);

/* A part is home again.  If home has ended meanwhile, nobody waits for it any more. */
static void part_back(gn_handle h, int status, void *arg)
{
    struct part *t = arg;
    struct batch *b = t->batch;

    (void)h;
    if (status != GN_OK) {
        part_free(t);
        return;
    }
    b->parts[t->loop] = t;
    if (--b->waiting == 0)
        batch_back(worker_here(t->server), b);
}

static void part_there(gn_handle h, int status, void *arg)
{
    struct part *t = arg;

    (void)h;
    if (status == GN_OK) {
        struct worker *w = worker_here(t->server);

        part_run(w, t);
        part_home(w, t);
        return;
    }
    /* This loop ends, and so does the one where somebody waits. */
    t->lost = 1;
    if (gn_execute(t->home, part_back, t) != GN_OK)
        part_free(t);
}

/* Another round for the parts that are not done: those of other loops first, so that they run while ours
 * does. */
static void dispatch(struct worker *w, struct batch *b)
{
    for (unsigned i = 0; i < w->server->count; i++) {
        struct part *t = b->parts[i];

        if (!t || i == w->index || t->lost || t->done == op_count(t))
            continue;
        if (gn_execute(gn_engine_loop(w->server->engine, i), part_there, t) == GN_OK) {
            b->parts[i] = NULL;
            b->waiting++;
        } else {
            t->lost = 1;
        }
    }
    if (b->parts[w->index])
        part_run(w, b->parts[w->index]);
}

/* ---------------------------------------------------------------- connections */

/* An answer that cannot be given would leave the client with a wrong idea of all that follow. */
static void write_out(struct worker *w, gn_conn *c, struct session *s)
{
    int rc = w->out.failed ? GN_ENOMEM : w->out.n > 0 ? gn_conn_write(c, w->out.p, w->out.n) : GN_OK;

    if (rc != GN_OK) {
        s->ending = 1;
        if (rc != GN_ECLOSED) /* which is closing in order already */
            gn_conn_abort(c);
    }
    if (w->out.size > 4 * w->server->o.out_flush) {
        free(w->out.p);
        w->out.p = NULL;
        w->out.size = 0;
    }
    w->out.n = 0;
    w->out.failed = 0;
}

/* If the client does not read, no more answers are made until it has. */
static void check_stalled(const struct worker *w, gn_conn *c, struct session *s)
{
    if (gn_conn_outbound(c) < w->server->o.out_stop)
        return;
    gn_conn_flush(c);
    s->stalled = gn_conn_outbound(c) > 0; /* and then on_drained follows */
}

/* One command.  0: it must wait for the batch before it. */
static int take(struct worker *w, gn_conn *c, struct session *s, struct batch **b)
{
    const resp_command *r = &w->command;
    const struct command *def = lookup(r->argv[0]);
    struct call x = {w, c, s, def, r->argc, r->argv, 0, gn_now(), &w->out, 0};

    if (!good(def, r->argc)) {
        if (*b)
            return 0;
        complain(def, r->argv[0], &w->out);
        return 1;
    }
    if (def->where == HERE) {
        if (*b)
            return 0;
        def->fn(&x);
        return 1;
    }
    if (def->where == ONE && !*b) {
        x.hash = db_hash(w->server->o.seed, r->argv[1].p, r->argv[1].n);
        if (owner(w->server, x.hash) == w->index) {
            def->fn(&x);
            return 1;
        }
    }
    if (!*b)
        *b = batch_new(w, c);
    if (*b)
        add_command(w, *b, def, r);
    else
        PUT(&w->out, "-ERR the server is out of memory\r\n");
    return 1;
}

/* Runs what is for this loop and gathers what is not.  Returns how many bytes that were. */
static size_t gather(struct worker *w, gn_conn *c, struct session *s, const char *p, size_t n,
                     struct batch **b)
{
    size_t at = 0;

    while (at < n && !s->ending && w->out.n < w->server->o.out_flush
           && (!*b || (*b)->count < w->server->o.batch_max)) {
        resp_step step = resp_parse(p + at, n - at, w->server->o.command_max, &w->command);

        if (step == RESP_MORE) {
            s->need = w->command.need;
            break;
        }
        if (step == RESP_ERROR) {
            if (*b)
                break;
            PUT(&w->out, "-ERR ");
            put(&w->out, w->command.error, strlen(w->command.error));
            PUT(&w->out, "\r\n");
            s->ending = 1;
            break;
        }
        if (w->command.argc > 0 && !take(w, c, s, b))
            break;
        at += w->command.used;
    }
    return at;
}

/* Rounds of the batch, of which nothing is away, until something is, or the client does not read. */
static void batch_go(struct worker *w, gn_conn *c, struct session *s)
{
    struct batch *b = s->batch;

    while (b->waiting == 0 && !s->stalled && !s->ending) {
        batch_join(w, b, &w->out);
        write_out(w, c, s);
        check_stalled(w, c, s);
        if (b->joined == b->count) {
            s->batch = NULL;
            batch_free(w, b);
            return;
        }
        if (!s->stalled)
            dispatch(w, b);
    }
}

/* As much as can be done now.  In a callback of the connection, or when a batch is back. */
static void process(struct worker *w, gn_conn *c, struct session *s)
{
    size_t n;

    if (s->batch && s->batch->waiting == 0)
        batch_go(w, c, s);
    while (!s->batch && !s->ending && !s->stalled && s->need == 0) {
        const char *p = gn_conn_peek(c, &n);
        struct batch *b = NULL;

        if (n == 0)
            break;
        gn_conn_discard(c, gather(w, c, s, p, n, &b));
        if (b && b->failed) {
            w->out.failed = 1;
            batch_free(w, b);
            b = NULL;
        }
        write_out(w, c, s);
        check_stalled(w, c, s);
        s->batch = b;
        if (b)
            batch_go(w, c, s);
    }
    if (s->ending || (s->eof && !s->stalled && !s->batch))
        gn_conn_close(c);
}

static void batch_back(struct worker *w, struct batch *b)
{
    gn_conn *c = gn_conn_from_handle(b->conn);
    struct session *s = gn_conn_context(c);

    if (s)
        process(w, c, s);
    else
        batch_free(w, b);
}

static gn_action on_open(gn_conn *c, void *user)
{
    struct session *s = calloc(1, sizeof *s);

    worker_here(user);
    gn_conn_set_context(c, s);
    return s ? GN_NONE : GN_CLOSE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    struct session *s = gn_conn_context(c);

    if (gn_conn_inbound(c) < s->need)
        return GN_NONE;
    s->need = 0;
    process(worker_here(user), c, s);
    return GN_NONE;
}

/* Answers that are under way are still given. */
static gn_action on_eof(gn_conn *c, void *user)
{
    struct session *s = gn_conn_context(c);

    s->eof = 1;
    process(worker_here(user), c, s);
    return GN_NONE;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    struct session *s = gn_conn_context(c);

    s->stalled = 0;
    process(worker_here(user), c, s);
    return GN_NONE;
}

/* A batch that is away finds nobody by its handle when it is back. */
static gn_action on_close(gn_conn *c, int reason, void *user)
{
    struct session *s = gn_conn_context(c);

    (void)reason;
    if (s && s->batch && s->batch->waiting == 0)
        batch_free(worker_here(user), s->batch);
    free(s);
    gn_conn_set_context(c, NULL);
    return GN_NONE;
}

/* ---------------------------------------------------------------- the server */

static gn_action on_boot(gn_engine *e, void *user)
{
    redis_server *s = user;

    s->engine = e;
    s->count = gn_engine_loop_count(e);
    s->workers = calloc(s->count, sizeof *s->workers);
    if (!s->workers)
        return GN_SHUTDOWN;
    for (unsigned i = 0; i < s->count; i++) {
        s->workers[i].server = s;
        s->workers[i].index = i;
        s->workers[i].keys.bytes_max = (size_t)(s->o.memory_max / s->count);
    }
    return GN_NONE;
}

const gn_handler redis_handler = {
    .on_boot = on_boot, .on_open = on_open, .on_traffic = on_traffic, .on_eof = on_eof,
    .on_drained = on_drained, .on_close = on_close
};

void redis_options_init(redis_options *o)
{
    *o = (redis_options){
        .memory_max = 64u << 20, .command_max = 1u << 20, .out_flush = 65536, .out_stop = 1024 * 1024,
        .part_max = 1024 * 1024, .batch_max = 256
    };
}

redis_server *redis_server_create(const redis_options *o, gn_options *engine)
{
    redis_server *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->o = *o;
    /* A command that is not whole yet waits unread. */
    engine->inbound_max = (size_t)o->command_max + o->out_flush;
    return s;
}

void redis_server_destroy(redis_server *s)
{
    for (unsigned i = 0; s && s->workers && i < s->count; i++) {
        struct worker *w = &s->workers[i];

        while (w->batches)
            batch_free(w, w->batches);
        for (struct part *t = w->stuck, *next; t; t = next) {
            next = t->next;
            part_free(t);
        }
        db_clear(&w->keys);
        free(w->out.p);
    }
    if (s)
        free(s->workers);
    free(s);
}
