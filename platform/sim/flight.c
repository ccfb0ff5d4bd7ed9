/* SPDX-License-Identifier: MIT */
/*
 * Sends that take a while (clause 8 of poll.h): until SENT, or CLOSED, the bytes are read from the caller's
 * memory, and must be what they were when the send began.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define FLIGHT_NS UINT64_C(20000000) /* nothing goes for up to so long */

struct sim_flight {
    sim_flight *next;
    gnp_poller *poller;
    gnp_sock *sock;
    sim_file *file;
    gnp_iov *span;
    unsigned count;
    unsigned char *copy; /* of all the spans */
    size_t total, gone;
    sim_event ev;
    int due;
};

static void due(sim_event *e)
{
    sim_flight *t = (sim_flight *)(void *)((char *)e - offsetof(sim_flight, ev));

    t->due = 1;
    gnp_sim_wake(t->poller);
}

static void rest(sim_flight *t)
{
    t->due = 0;
    gnp_sim_at(&t->ev, sim.now + gnp_sim_below(FLIGHT_NS), due);
}

void gnp_sim_flight_start(sim_flight **list, gnp_poller *p, gnp_sock *s, sim_file *f, const gnp_iov *iov,
                          unsigned count)
{
    sim_flight *t = calloc(1, sizeof(*t));
    size_t at = 0;
    unsigned i;

    if (t == NULL || (t->span = calloc(count, sizeof(*iov))) == NULL)
        abort();
    for (i = 0; i < count; i++) {
        t->span[i] = iov[i];
        t->total += iov[i].len;
    }
    t->copy = malloc(t->total);
    if (t->copy == NULL)
        abort();
    for (i = 0; i < count; at += iov[i].len, i++)
        memcpy(t->copy + at, iov[i].base, iov[i].len);
    t->poller = p;
    t->sock = s;
    t->file = f;
    t->count = count;
    t->next = *list;
    *list = t;
    rest(t);
}

int gnp_sim_flight_has(const sim_flight *list, const gnp_sock *s)
{
    while (list != NULL && list->sock != s)
        list = list->next;
    return list != NULL;
}

static void check(const sim_flight *t)
{
    size_t at = 0;
    unsigned i;

    for (i = 0; i < t->count; at += t->span[i].len, i++) {
        if (memcmp(t->copy + at, t->span[i].base, t->span[i].len) != 0)
            gnp_sim_fail("memory was touched while a send was in flight (clause 8)");
    }
}

void gnp_sim_flight_end(sim_flight *t)
{
    if (t == NULL)
        return;
    check(t);
    gnp_sim_cancel(&t->ev);
    free(t->copy);
    free(t->span);
    free(t);
}

sim_flight *gnp_sim_flight_take(sim_flight **list, const gnp_sock *s)
{
    sim_flight *t;

    while (*list != NULL && (*list)->sock != s)
        list = &(*list)->next;
    t = *list;
    if (t != NULL)
        *list = t->next;
    return t;
}

/* The codes with which a stream may break while it sends. */
static int breakage(sim_file *f)
{
    static const int codes[] = { GNP_ECONNRESET, GNP_ETIMEDOUT, GNP_EHOSTUNREACH, GNP_ENETUNREACH, GNP_EIO };

    gnp_sim_stream_break(f, GNP_OK);
    return codes[gnp_sim_below(5)];
}

/* GNP_AGAIN while it goes on. */
static int go_on(sim_flight *t)
{
    gnp_iov v = { t->copy + t->gone, t->total - t->gone };
    size_t most = v.len, n = 0;
    int r;

    if (gnp_sim_chance(sim.knobs.again)) {
        rest(t);
        return GNP_AGAIN;
    }
    if (gnp_sim_fault(sim.knobs.send_error))
        return breakage(t->file);
    if (gnp_sim_chance(sim.knobs.short_write))
        most = 1 + (size_t)gnp_sim_below(most);
    check(t);
    r = gnp_sim_stream_send(t->file, &v, 1, most, &n);
    t->gone += n;
    if (r != GNP_OK)
        return r;
    return t->gone == t->total || gnp_sim_chance(sim.knobs.short_write) ? GNP_OK : GNP_AGAIN;
}

int gnp_sim_flight_events(sim_flight **list, gnp_event *events, int cap)
{
    int n = 0;

    while (*list != NULL && n < cap) {
        sim_flight *t = *list;
        int r = t->due ? go_on(t) : GNP_AGAIN;
        if (r == GNP_AGAIN) {
            list = &t->next;
            continue;
        }
        events[n] = (gnp_event){ .sock = t->sock, .what = GNP_EV_SENT, .status = r, .bytes = t->gone };
        gnp_sim_mark("sent", t->sock->os, (int64_t)t->gone, r);
        *list = t->next;
        gnp_sim_flight_end(t);
        n++;
    }
    return n;
}
