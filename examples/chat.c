/* SPDX-License-Identifier: MIT */
/*
 * A chat room: each line that one sends goes to all, on whatever loop they are.
 *
 *   chat --listen tcp://127.0.0.1:9200       and then: telnet 127.0.0.1 9200, or socat
 *   /nick NAME, /who, /quit
 *
 * What is worth seeing here:
 *   - Each loop keeps a list of its own members (gn_loop_context), so nothing needs a lock.  A
 *     line goes to the other loops by gn_execute, once for each loop and not for each member.
 *   - On a loop all members share one copy of the line: gn_conn_write_ref points to it, and the
 *     last one that has been sent frees it.
 *   - Who does not read is skipped, not waited for: gn_conn_is_writable says when too much waits
 *     for a member, on_writable when it has caught up, and then it is told what it missed.
 *   - gn_conn_read_line finds the lines in what has come, whatever pieces it came in.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_ 1024
#define NAME_MAX_ 24
#define BEHIND_HIGH (256 * 1024)
#define BEHIND_LOW (16 * 1024)

struct member {
    struct member *next, **at; /* in its loop's list */
    gn_conn *conn;
    char name[NAME_MAX_ + 1];
    unsigned long missed;
};

/* One line for all members of one loop; only that loop touches it. */
struct line {
    unsigned refs;
    gn_handle from; /* who sent it does not get it back */
    size_t n;
    char text[];
};

/* ---- saying */

static void line_release(gn_handle h, int status, void *arg)
{
    struct line *l = arg;

    (void)h;
    (void)status;
    if (--l->refs == 0)
        free(l);
}

/* On the loop of the members. */
static void line_deliver(gn_handle h, int status, void *arg)
{
    struct line *l = arg;
    struct member *m = status == GN_OK ? gn_loop_context(gn_loop_current()) : NULL;
    gn_iov text;

    text.base = l->text;
    text.len = l->n;
    for (; m != NULL; m = m->next) {
        if (gn_conn_handle(m->conn) == l->from)
            continue;
        if (m->missed > 0 || !gn_conn_is_writable(m->conn)) {
            m->missed++;
            continue;
        }
        l->refs++;
        if (gn_conn_write_ref(m->conn, &text, 1, line_release, l) != GN_OK)
            l->refs--; /* it is closing */
    }
    line_release(h, status, l); /* our own */
}

static void say_all(gn_conn *from, const char *text, size_t n)
{
    gn_engine *e = gn_conn_engine(from);

    for (unsigned i = 0; i < gn_engine_loop_count(e); i++) {
        struct line *l = malloc(sizeof *l + n);

        if (l == NULL)
            return; /* those on the other loops miss it */
        l->refs = 1;
        l->from = gn_conn_handle(from);
        l->n = n;
        memcpy(l->text, text, n);
        if (gn_execute(gn_engine_loop(e, i), line_deliver, l) != GN_OK)
            free(l); /* that loop is stopping, or too much waits for it */
    }
}

/* ---- members */

static void announce(gn_conn *c, const struct member *m, const char *what)
{
    char text[NAME_MAX_ + 32];
    int n = snprintf(text, sizeof text, "* %s %s\n", m->name, what);

    say_all(c, text, (size_t)n);
}

static gn_action on_open(gn_conn *c, void *user)
{
    struct member *m = calloc(1, sizeof *m);
    gn_loop *l = gn_conn_loop(c);
    struct member *first = gn_loop_context(l);

    (void)user;
    if (m == NULL || gn_conn_set_watermarks(c, BEHIND_HIGH, BEHIND_LOW) != GN_OK) {
        free(m);
        return GN_CLOSE;
    }
    snprintf(m->name, sizeof m->name, "guest-%08lx", (unsigned long)(gn_conn_handle(c) & 0xffffffff));
    m->conn = c;
    m->next = first;
    if (first != NULL)
        first->at = &m->next;
    gn_loop_set_context(l, m);
    gn_conn_set_context(c, m);
    announce(c, m, "has come");
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    struct member *m = gn_conn_context(c);

    (void)reason;
    (void)user;
    if (m == NULL)
        return GN_NONE;
    if (m->at != NULL)
        *m->at = m->next;
    else
        gn_loop_set_context(gn_conn_loop(c), m->next);
    if (m->next != NULL)
        m->next->at = m->at;
    announce(c, m, "has gone");
    free(m);
    return GN_NONE;
}

static gn_action on_writable(gn_conn *c, void *user)
{
    struct member *m = gn_conn_context(c);
    char text[64];
    int n;

    (void)user;
    if (m->missed == 0)
        return GN_NONE;
    n = snprintf(text, sizeof text, "* you were too slow and missed %lu lines\n", m->missed);
    m->missed = 0;
    gn_conn_write(c, text, (size_t)n);
    return GN_NONE;
}

/* ---- hearing */

static int name_good(const char *p, size_t n)
{
    if (n == 0 || n > NAME_MAX_)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] == 0x7f)
            return 0;
    return 1;
}

static void nick(gn_conn *c, struct member *m, const char *name, size_t n)
{
    char text[2 * NAME_MAX_ + 32];
    int length;

    if (!name_good(name, n)) {
        gn_conn_write(c, "* not a name\n", 13);
        return;
    }
    length = snprintf(text, sizeof text, "* %s is now %.*s\n", m->name, (int)n, name);
    memcpy(m->name, name, n);
    m->name[n] = 0;
    gn_conn_write(c, text, (size_t)length);
    say_all(c, text, (size_t)length);
}

static void who(gn_conn *c)
{
    char text[64];
    int n = snprintf(text, sizeof text, "* %llu here\n",
                     (unsigned long long)gn_engine_conn_count(gn_conn_engine(c)));

    gn_conn_write(c, text, (size_t)n);
}

static gn_action heard(gn_conn *c, struct member *m, const char *p, size_t n)
{
    char text[NAME_MAX_ + LINE_MAX_ + 8];
    int length;

    if (n > 6 && memcmp(p, "/nick ", 6) == 0) {
        nick(c, m, p + 6, n - 6);
    } else if (n == 4 && memcmp(p, "/who", 4) == 0) {
        who(c);
    } else if (n == 5 && memcmp(p, "/quit", 5) == 0) {
        return GN_CLOSE;
    } else if (n > 0) {
        length = snprintf(text, sizeof text, "%s: %.*s\n", m->name, (int)n, p);
        say_all(c, text, (size_t)length);
    }
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    struct member *m = gn_conn_context(c);
    gn_frame line;
    gn_action action = GN_NONE;
    int rc = GN_OK;

    (void)user;
    while (action == GN_NONE && (rc = gn_conn_read_line(c, LINE_MAX_, &line)) == GN_OK)
        action = heard(c, m, line.data, line.len);
    if (rc != GN_EMSGSIZE)
        return action;
    gn_conn_write(c, "* that line is too long\n", 24);
    return GN_CLOSE;
}

int main(int argc, char **argv)
{
    static const gn_handler handler = {
        .on_boot = common_on_boot, .on_open = on_open, .on_traffic = on_traffic, .on_close = on_close,
        .on_writable = on_writable
    };
    struct common o = {
        .name = "chat", .about = "Passes lines on to everybody.", .addr = "tcp://127.0.0.1:9200"
    };
    int status;

    if (!common_parse(&o, argc, argv, &status))
        return status;
    return common_run(&o, &handler, NULL);
}
