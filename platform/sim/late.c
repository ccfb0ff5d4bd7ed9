/* SPDX-License-Identifier: MIT */
/*
 * Closes that take a while (clause 8 of poll.h): until CLOSED the memory of the socket is the poller's.  It
 * is full of a pattern then, so that who touches it, frees it or uses it anew is seen.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define PATTERN 0xE7
#define LATE_NS UINT64_C(50000000) /* a close takes up to so long */

struct sim_late {
    sim_late *next;
    gnp_poller *poller;
    gnp_sock *sock, as_it_was;
    sim_flight *flight;
    sim_event ev;
    int due;
};

static void due(sim_event *e)
{
    sim_late *l = (sim_late *)(void *)((char *)e - offsetof(sim_late, ev));

    l->due = 1;
    gnp_sim_wake(l->poller);
}

void gnp_sim_late_close(sim_late **list, gnp_poller *p, gnp_sock *s, sim_flight *flight)
{
    sim_late *l = calloc(1, sizeof(*l));

    if (l == NULL)
        abort();
    l->poller = p;
    l->sock = s;
    l->flight = flight;
    l->next = *list;
    *list = l;
    l->as_it_was = *s;
    memset(s, PATTERN, sizeof(*s));
    gnp_sim_at(&l->ev, sim.now + gnp_sim_below(LATE_NS), due);
}

static void check(const gnp_sock *s)
{
    gnp_sock pattern;

    memset(&pattern, PATTERN, sizeof(pattern));
    if (memcmp(s, &pattern, sizeof(pattern)) != 0)
        gnp_sim_fail("a socket was touched between its close and CLOSED (clause 8)");
}

int gnp_sim_late_events(sim_late **list, gnp_event *events, int cap)
{
    int n = 0;

    while (*list != NULL && n < cap) {
        sim_late *l = *list;
        if (!l->due) {
            list = &l->next;
            continue;
        }
        check(l->sock);
        gnp_sim_flight_end(l->flight);
        *l->sock = l->as_it_was;
        events[n++] = (gnp_event){ .sock = l->sock, .what = GNP_EV_CLOSED };
        *list = l->next;
        free(l);
    }
    return n;
}
