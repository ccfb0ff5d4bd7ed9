/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 server on gannet, small but not a toy: it keeps connections alive, answers
 * pipelined requests, takes bodies of known length and in chunks, and holds out against
 * clients that are slow, greedy or hostile.
 *
 *   http --listen tcp://127.0.0.1:8080
 *
 *   /plaintext  "Hello, World!"                 as TechEmpower's benchmark defines it
 *   /json       {"message":"Hello, World!"}     likewise: made anew for each request
 *   /echo       POST: sends the body back
 *   /           what you read here
 *
 * How it is made:
 *   - http_parser.c works on the bytes that gannet lends (gn_conn_peek).  A request that came
 *     whole costs no memory and no copy; an idle connection has no state here at all.
 *     Only a request that came in part gets a struct request, until it is complete.
 *   - Each loop has a struct worker of its own.  Callbacks of one loop never overlap, so
 *     nothing in it needs a lock.
 *   - All answers to the requests of one callback are gathered and handed over with one
 *     gn_conn_write; gannet sends them with one system call.
 *   - Defences: every length has a limit (http_parser.h, --max-body); a request must be
 *     complete in --request-timeout seconds however it trickles in; after an error the
 *     answer is sent and the connection closed, for where the next request begins is not
 *     known; and what a client does not read is bounded by gannet.
 */
#include "common.h"
#include "http_parser.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
#define OUT_MAX 32768u  /* answers gathered before they go to gannet; a whole pipeline fits */
#define HEAD_ROOM 512u  /* more than any head of an answer here, with its small body */
#define SPARE_MAX 256u  /* requests kept for the next one that comes in part, per loop */
#define BODY_FIRST 4096u /* first size of the buffer for a body that comes in part */

/* One request while it is worked on. */
struct request {
    http_parser parser;
    int in_body;          /* the head is done and what follows is its body */
    int armed;            /* the deadline of this request runs */
    int last;             /* close after the answer, whatever the client wants */
    const struct route *route; /* what the path names, or NULL; set with in_body */
    const char *body;     /* the whole body, or the part that came: lent, or own */
    size_t body_length;
    char *own;            /* memory of a body that came in more than one piece, or chunked */
    size_t own_size;
    struct request *next; /* in the list of spare ones */
};

/* What belongs to one loop. */
struct worker {
    uint64_t date_until;  /* gn_now when the date below is too old */
    char date[30];        /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    struct request fresh; /* parsed into when none is held; reset whenever no callback runs */
    struct request *spare;
    unsigned spare_count;
    size_t out_length;
    char out[OUT_MAX];
};

struct server {
    struct worker *workers;
    unsigned worker_count;
    uint64_t body_max, request_s, idle_s;
};

/* ------------------------------------------------------------------ date */

static char *put_number(char *p, unsigned v, int digits)
{
    for (int i = digits - 1; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
    return p + digits;
}

/* The date of a day counted from 1970-01-01.  Years are taken to begin in March, so that
 * the leap day is their last; 400 of them have 146097 days.  (gmtime is not for threads.) */
static void civil_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t z = days + 719468, era = z / 146097;
    unsigned doe = (unsigned)(z % 146097);                                        /* day of the 400 years */
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;         /* year of them */
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);                       /* day of the year */
    unsigned mp = (5 * doy + 2) / 153;                                            /* month, March is 0 */

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (unsigned)(era * 400) + yoe + (*month <= 2);
}

/* RFC 9110 5.6.7.  Exactly 29 characters. */
static void date_format(char *p, uint64_t seconds)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned year, month, day, clock = (unsigned)(seconds % 86400);

    civil_from_days(seconds / 86400, &year, &month, &day);
    memcpy(p, "Day, 00 Mon 0000 00:00:00 GMT", 29);
    memcpy(p, days + seconds / 86400 % 7 * 3, 3);
    put_number(p + 5, day, 2);
    memcpy(p + 8, months + (month - 1) * 3, 3);
    put_number(p + 12, year, 4);
    put_number(p + 17, clock / 3600, 2);
    put_number(p + 20, clock / 60 % 60, 2);
    put_number(p + 23, clock % 60, 2);
}

/* On a loop gn_now costs nothing; the system's clock is asked once a second. */
static void date_refresh(struct worker *w)
{
    if (gn_now() < w->date_until)
        return;
    date_format(w->date, (uint64_t)time(NULL));
    w->date_until = gn_now() + SECOND;
}

/* --------------------------------------------------------------- answers */

struct text {
    const char *p;
    size_t n;
};

#define TEXT(literal) {literal, sizeof(literal) - 1}

static const struct text type_plain = TEXT("text/plain"), type_json = TEXT("application/json"),
                         type_bytes = TEXT("application/octet-stream");

/* An answer is put together from its parts for every request, as TechEmpower asks. */
struct answer {
    unsigned status;
    struct text type;  /* Content-Type */
    const char *allow; /* Allow, or NULL */
    const char *body;
    size_t length;
};

#define PUT(p, text) ((char *)memcpy((p), text, sizeof(text) - 1) + (sizeof(text) - 1))

static char *put_text(char *p, const char *text)
{
    size_t n = strlen(text);

    return (char *)memcpy(p, text, n) + n;
}

static char *put_size(char *p, size_t v)
{
    char digits[20];
    int n = 0;

    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

static char *put_status(char *p, unsigned status)
{
    if (status == 200)
        return PUT(p, "HTTP/1.1 200 OK\r\n");
    p = PUT(p, "HTTP/1.1 ");
    p = put_number(p, status, 3);
    *p++ = ' ';
    p = put_text(p, http_reason(status));
    return PUT(p, "\r\n");
}

/* Connection is said where the version does not say it already. */
static char *put_head(char *p, const struct worker *w, const struct answer *a, int keep, int minor)
{
    p = put_status(p, a->status);
    p = PUT(p, "Server: gannet\r\nDate: ");
    memcpy(p, w->date, 29);
    p = PUT(p + 29, "\r\nContent-Type: ");
    p = (char *)memcpy(p, a->type.p, a->type.n) + a->type.n;
    p = PUT(p, "\r\nContent-Length: ");
    p = put_size(p, a->length);
    if (a->allow) {
        p = PUT(p, "\r\nAllow: ");
        p = put_text(p, a->allow);
    }
    if (!keep)
        p = PUT(p, "\r\nConnection: close");
    else if (minor == 0)
        p = PUT(p, "\r\nConnection: keep-alive");
    return PUT(p, "\r\n\r\n");
}

/* Hands what was gathered to gannet. */
static int out_flush(struct worker *w, gn_conn *c)
{
    int rc = w->out_length > 0 ? gn_conn_write(c, w->out, w->out_length) : GN_OK;

    w->out_length = 0;
    return rc;
}

/* 0, or an error of gn_conn_write: then the connection cannot be answered any more. */
static int answer_send(struct worker *w, gn_conn *c, const http_parser *h, const struct answer *a, int keep)
{
    size_t body = h->method == HTTP_METHOD_HEAD ? 0 : a->length;
    int rc;

    if (OUT_MAX - w->out_length < HEAD_ROOM && (rc = out_flush(w, c)) != GN_OK)
        return rc;
    w->out_length = (size_t)(put_head(w->out + w->out_length, w, a, keep, h->minor) - w->out);
    if (body > OUT_MAX - w->out_length) { /* too large to gather */
        rc = out_flush(w, c);
        return rc == GN_OK ? gn_conn_write(c, a->body, body) : rc;
    }
    memcpy(w->out + w->out_length, a->body, body);
    w->out_length += body;
    return GN_OK;
}

/* ------------------------------------------------------------- resources */

/* A JSON string with what must be escaped escaped; the caller has 6 bytes for each of s. */
static char *put_json_string(char *p, const char *s)
{
    *p++ = '"';
    for (; *s; s++) {
        unsigned char ch = (unsigned char)*s;

        if (ch < 0x20) {
            p = PUT(p, "\\u00");
            *p++ = (char)('0' + (ch >> 4));
            *p++ = "0123456789abcdef"[ch & 15];
            continue;
        }
        if (ch == '"' || ch == '\\')
            *p++ = '\\';
        *p++ = (char)ch;
    }
    *p++ = '"';
    return p;
}

static const char hello[] = "Hello, World!";
static const char index_page[] = "gannet's HTTP example\n\n"
                                 "GET  /plaintext   Hello, World!\n"
                                 "GET  /json        the same as JSON\n"
                                 "POST /echo        sends the body back\n";

/* scratch: 256 bytes that live until the answer is sent. */
typedef void resource(struct answer *a, const struct request *r, char *scratch);

static void get_plaintext(struct answer *a, const struct request *r, char *scratch)
{
    (void)r;
    (void)scratch;
    a->body = hello;
    a->length = sizeof hello - 1;
}

static void get_json(struct answer *a, const struct request *r, char *scratch)
{
    struct { const char *message; } object = {hello};
    char *p = PUT(scratch, "{\"message\":");

    (void)r;
    p = put_json_string(p, object.message);
    *p++ = '}';
    a->type = type_json;
    a->body = scratch;
    a->length = (size_t)(p - scratch);
}

static void post_echo(struct answer *a, const struct request *r, char *scratch)
{
    (void)scratch;
    a->type = type_bytes;
    a->body = r->body;
    a->length = r->body_length;
}

static void get_index(struct answer *a, const struct request *r, char *scratch)
{
    (void)r;
    (void)scratch;
    a->body = index_page;
    a->length = sizeof index_page - 1;
}

#define BIT(method) (1u << (method))
#define GET_HEAD (BIT(HTTP_METHOD_GET) | BIT(HTTP_METHOD_HEAD))

static const struct route {
    const char *path;
    size_t length;
    unsigned methods;
    const char *allow;
    resource *make;
} routes[] = {
    {"/plaintext", 10, GET_HEAD, "GET, HEAD, OPTIONS", get_plaintext},
    {"/json", 5, GET_HEAD, "GET, HEAD, OPTIONS", get_json},
    {"/echo", 5, BIT(HTTP_METHOD_POST), "POST, OPTIONS", post_echo},
    {"/", 1, GET_HEAD, "GET, HEAD, OPTIONS", get_index}
};

static const struct route *route_find(const char *path, size_t n)
{
    if (n == 0) { /* http://host means http://host/ */
        path = "/";
        n = 1;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (n == routes[i].length && memcmp(path, routes[i].path, n) == 0)
            return &routes[i];
    return NULL;
}

static void answer_error(struct answer *a, unsigned status)
{
    a->status = status;
    a->body = http_reason(status);
    a->length = strlen(a->body);
}

/* The status that the head alone decides; 200: make the resource.  A method that no resource
 * knows is 501, one that this one does not allow is 405 (RFC 9110 15.6.2, 15.5.6). */
static unsigned head_status(const http_parser *h, const struct route *route)
{
    if (h->method == HTTP_METHOD_OTHER || h->method == HTTP_METHOD_CONNECT)
        return 501;
    if (h->flags & HTTP_ASTERISK)
        return 200;
    if (!route)
        return 404;
    return h->method == HTTP_METHOD_OPTIONS || (route->methods & BIT(h->method)) ? 200 : 405;
}

/* Answers one complete request.  1: the connection can go on. */
static int request_answer(struct worker *w, gn_conn *c, const struct request *r)
{
    const http_parser *h = &r->parser;
    struct answer a = {.status = 200, .type = type_plain, .body = "", .length = 0};
    int keep = !r->last && http_keeps_alive(h);
    unsigned status = head_status(h, r->route);
    char scratch[256];

    if (status != 200)
        answer_error(&a, status);
    else if (h->method != HTTP_METHOD_OPTIONS)
        r->route->make(&a, r, scratch);
    if (status == 405 || h->method == HTTP_METHOD_OPTIONS)
        a.allow = r->route ? r->route->allow : "GET, HEAD, POST, OPTIONS";
    return answer_send(w, c, h, &a, keep) == GN_OK && keep;
}

/* Answers one that the parser has refused. */
static void request_refuse(struct worker *w, gn_conn *c, const struct request *r)
{
    struct answer a = {.type = type_plain};

    answer_error(&a, r->parser.status);
    answer_send(w, c, &r->parser, &a, 0);
}

/* -------------------------------------------------------------- requests */

static void request_reset(const struct server *s, struct request *r)
{
    http_parser_init(&r->parser, s->body_max);
    r->in_body = r->armed = r->last = 0;
    r->body = "";
    r->body_length = 0;
    if (r->own) { /* bodies in pieces are rare; their memory is not kept */
        free(r->own);
        r->own = NULL;
        r->own_size = 0;
    }
}

/* Makes room for n more bytes, by doubling.  The parser has bounded the sum already. */
static int body_reserve(struct request *r, size_t n)
{
    size_t size = r->own_size ? r->own_size : BODY_FIRST;
    char *p;

    while (size - r->body_length < n)
        size *= 2;
    if (size == r->own_size)
        return 1;
    p = realloc(r->own, size);
    if (!p)
        return 0;
    r->own = p;
    r->own_size = size;
    return 1;
}

/* A body that came whole is used where it lies; another one is gathered. */
static int body_add(struct request *r, const char *data, size_t n)
{
    if (n == r->parser.content_length) {
        r->body = data;
        r->body_length = n;
        return 1;
    }
    if (!body_reserve(r, n))
        return 0;
    memcpy(r->own + r->body_length, data, n);
    r->body = r->own;
    r->body_length += n;
    return 1;
}

/* Goes on with the body at p; only a resource that takes one sees it. */
static http_step body_take(struct request *r, const char *p, size_t n, size_t *used)
{
    const http_parser *h = &r->parser;
    int wanted = h->method == HTTP_METHOD_POST && r->route && head_status(h, r->route) == 200;
    size_t took, length;
    const char *data;
    http_step step;

    while ((step = http_body(&r->parser, p + *used, n - *used, &took, &data, &length)) == HTTP_DATA) {
        *used += took;
        if (wanted && !body_add(r, data, length)) {
            r->parser.status = 500;
            return HTTP_ERROR;
        }
    }
    *used += took;
    return step;
}

/* The client waits for a word before it sends the body (RFC 9110 10.1.1).  If the answer is
 * known to be no, it is given at once, and as the body may or may not follow, the connection
 * ends with it. */
static int expect_answer(struct worker *w, gn_conn *c, struct request *r)
{
    if (head_status(&r->parser, r->route) != 200) {
        r->last = 1;
        return 0;
    }
    if (OUT_MAX - w->out_length < HEAD_ROOM && out_flush(w, c) != GN_OK)
        return 0;
    w->out_length = (size_t)(PUT(w->out + w->out_length, "HTTP/1.1 100 Continue\r\n\r\n") - w->out);
    return 1;
}

/* Goes on with a request.  *used: bytes of p that are dealt with; of a head that is not
 * complete none are. */
static http_step request_advance(struct worker *w, gn_conn *c, struct request *r, const char *p, size_t n,
                                 size_t *used)
{
    const http_parser *h = &r->parser;

    *used = 0;
    if (!r->in_body) {
        http_step step = http_head(&r->parser, p, n);

        if (step != HTTP_DONE)
            return step;
        *used = h->head_length;
        r->in_body = 1;
        r->route = route_find(p + h->path, h->path_length);
        if (*used == n && (h->flags & HTTP_CONTINUE) && http_has_body(h) && !expect_answer(w, c, r))
            return HTTP_DONE;
        if (!http_has_body(h))
            return HTTP_DONE;
    }
    return body_take(r, p, n, used);
}

/* The request that came in part gets memory of its own until the rest is there. */
static struct request *request_hold(const struct server *s, struct worker *w, gn_conn *c)
{
    struct request *r = w->spare;

    if (r) {
        w->spare = r->next;
        w->spare_count--;
    } else if ((r = malloc(sizeof *r)) == NULL) {
        return NULL;
    }
    *r = w->fresh;
    w->fresh.own = NULL; /* it moved */
    w->fresh.own_size = 0;
    request_reset(s, &w->fresh);
    gn_conn_set_context(c, r);
    return r;
}

static void request_release(const struct server *s, struct worker *w, gn_conn *c, struct request *r)
{
    gn_conn_set_context(c, NULL);
    request_reset(s, r);
    if (w->spare_count == SPARE_MAX) {
        free(r);
        return;
    }
    r->next = w->spare;
    w->spare = r;
    w->spare_count++;
}

/* ------------------------------------------------------------- callbacks */

static struct worker *worker_of(const struct server *s, const gn_conn *c)
{
    return &s->workers[gn_loop_index(gn_conn_loop(c))];
}

/* Answers all requests that the n bytes at p complete.  *at: bytes dealt with.  1: go on. */
static int serve(const struct server *s, struct worker *w, gn_conn *c, struct request *r, const char *p,
                 size_t n, size_t *at)
{
    int open = 1;

    while (open && *at < n) {
        size_t used;
        http_step step = request_advance(w, c, r, p + *at, n - *at, &used);

        *at += used;
        if (step == HTTP_MORE)
            break;
        if (step == HTTP_DONE)
            open = request_answer(w, c, r);
        else
            request_refuse(w, c, r), open = 0;
        request_reset(s, r);
    }
    return out_flush(w, c) == GN_OK && open;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    const struct server *s = user;
    struct worker *w = worker_of(s, c);
    struct request *held = gn_conn_context(c), *r = held ? held : &w->fresh;
    size_t n, at = 0;
    const char *p = gn_conn_peek(c, &n);
    int open;

    date_refresh(w);
    open = serve(s, w, c, r, p, n, &at);
    if (open && (at < n || r->in_body)) { /* a request came in part */
        if (!held && (r = request_hold(s, w, c)) == NULL) {
            request_reset(s, &w->fresh);
            return GN_CLOSE;
        }
        if (!r->armed)
            gn_conn_set_read_deadline(c, s->request_s * SECOND);
        r->armed = 1;
    } else if (held) {
        request_release(s, w, c, held);
        gn_conn_set_read_deadline(c, 0);
    }
    gn_conn_discard(c, open ? at : n);
    return open ? GN_NONE : GN_CLOSE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    struct server *s = user;
    struct request *held = gn_conn_context(c);

    (void)reason;
    if (held)
        request_release(s, worker_of(s, c), c, held);
    return GN_NONE;
}

/* The number of loops is known now, and none runs yet. */
static gn_action on_boot(gn_engine *e, void *user)
{
    struct server *s = user;

    s->worker_count = gn_engine_loop_count(e);
    s->workers = calloc(s->worker_count, sizeof *s->workers);
    if (!s->workers)
        return GN_SHUTDOWN;
    for (unsigned i = 0; i < s->worker_count; i++)
        request_reset(s, &s->workers[i].fresh);
    return common_on_boot(e, user);
}

static void on_shutdown(gn_engine *e, void *user)
{
    struct server *s = user;

    (void)e;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct worker *w = &s->workers[i];

        while (w->spare) {
            struct request *r = w->spare;

            w->spare = r->next;
            free(r);
        }
        free(w->fresh.own);
    }
    free(s->workers);
}

int main(int argc, char **argv)
{
    static const gn_handler handler = {
        .on_boot = on_boot, .on_shutdown = on_shutdown, .on_traffic = on_traffic, .on_close = on_close
    };
    struct server s = {.body_max = 1 << 20, .request_s = 30, .idle_s = 60};
    const struct common_flag flags[] = {
        {"max-body BYTES", "largest body of a request", &s.body_max, 1 << 30, NULL},
        {"request-timeout SECONDS", "for a request to come in whole", &s.request_s, 86400, NULL},
        {"idle-timeout SECONDS", "for a connection without any, 0: none", &s.idle_s, 86400, NULL},
        {NULL, NULL, NULL, 0, NULL}
    };
    struct common o = {.name = "http", .about = "Serves HTTP/1.1: /plaintext, /json and POST /echo.",
                       .addr = "tcp://127.0.0.1:8080", .flags = flags};
    int status;

    if (!common_parse(&o, argc, argv, &status))
        return status;
    for (unsigned i = 0; i < o.listen_count; i++)
        if (strncmp(o.listen[i], "udp", 3) == 0 && strstr(o.listen[i], "://"))
            return common_complain(&o, "HTTP needs a stream", o.listen[i]);
    o.options.idle_timeout_ns = s.idle_s * SECOND;
    return common_run(&o, &handler, &s);
}
