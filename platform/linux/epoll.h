/* SPDX-License-Identifier: MIT */
/* Between the files of the epoll poller. */
#ifndef GNP_LINUX_EPOLL_H
#define GNP_LINUX_EPOLL_H

#include "../posix/posix.h"

#include <sys/epoll.h>

/* Most events of one epoll_wait.  6 KiB; a round of so many is long already. */
#define EP_EVENTS 512

typedef struct gnp_epoll {
    gnp_px px;
    int fd;
    struct epoll_event events[EP_EVENTS];
} gnp_epoll;

extern const gnp_ops gnp_epoll_ops;       /* level-triggered, and the one that is listed */
extern const gnp_ops gnp_epoll_edge_ops;

/* Waits for kernel events into ep->events; how many, 0 at the deadline or on interruption
 * (then *interrupted is 1), or an error. */
int gnp_epoll_collect(gnp_epoll *ep, int max, uint64_t deadline_ns, int *interrupted);

/* What the kernel's bits ev on s mean for the core; 0: nothing. */
typedef uint32_t gnp_epoll_translate(gnp_epoll *ep, gnp_sock *s, uint32_t ev);

/* epoll_ctl on s: bits is EPOLL...  GNP_OK or an error. */
int gnp_epoll_ctl(gnp_epoll *ep, int op, gnp_sock *s, uint32_t bits);

int gnp_epoll_detach(gnp_poller *p, gnp_sock *s);

/* Takes s out of the kernel's set and off the round, and closes it. */
int gnp_epoll_close_sock(gnp_poller *p, gnp_sock *s, int reset);

int gnp_epoll_probe(void);
int gnp_epoll_open(gnp_poller **out, const gnp_poller_config *config);
void gnp_epoll_close(gnp_poller *p);
int gnp_epoll_connect_end(gnp_poller *p, gnp_sock *s);

/* epoll_wait2.c or epoll_wait1.c: waits at most ns > 0 nanoseconds, rounded up to what the
 * system can tell; like epoll_wait. */
int gnp_epoll_wait_ns(int fd, struct epoll_event *events, int max, uint64_t ns);

/* Milliseconds for epoll_wait, rounded up. */
static inline int gnp_epoll_ms(uint64_t ns)
{
    uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);

    return ms < 0x7fffffff ? (int)ms : 0x7fffffff;
}

/* Turns n kernel events into the core's, after the have that the ready list gave.  Returns
 * how many there are then. */
static inline unsigned gnp_epoll_deliver(gnp_epoll *ep, int n, gnp_event *events, unsigned have,
                                         gnp_epoll_translate *translate)
{
    unsigned listed = have;
    int i;

    for (i = 0; i < n; i++) {
        gnp_sock *s = ep->events[i].data.ptr;
        gnp_event *e;
        uint32_t what;

        if (s == NULL) {
            gnp_px_woken(&ep->px);
            events[have++] = (gnp_event){ .what = GNP_EV_WOKEN };
            continue;
        }
        what = translate(ep, s, ep->events[i].events);
        if (what == 0)
            continue;
        if (listed > 0 && (e = gnp_px_slot(events, listed, s)) != NULL)
            e->what |= what;
        else
            gnp_px_event(events, have++, s, what);
    }
    return have;
}

/* ops->wait.  In the header so that translate is inlined. */
static inline int gnp_epoll_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns,
                                 gnp_epoll_translate *translate)
{
    gnp_epoll *ep = (gnp_epoll *)(void *)p;
    int interrupted = 0, n = 0;
    unsigned have = 0;

    if (cap > PX_ROUND_MAX)
        cap = PX_ROUND_MAX;
    ep->px.round = events;
    ep->px.round_n = 0;
    do {
        if (gnp_px_any_ready(&ep->px)) {
            have = gnp_px_begin(&ep->px, events, (unsigned)cap);
            deadline_ns = 0;
        }
        if ((int)have < cap)
            n = gnp_epoll_collect(ep, cap - (int)have, deadline_ns, &interrupted);
        if (n < 0)
            return n;
        have = gnp_epoll_deliver(ep, n, events, have, translate);
    } while (have == 0 && !interrupted && gnp_px_go_on(&ep->px, n, deadline_ns));
    ep->px.round_n = have;
    return (int)have;
}

#endif
