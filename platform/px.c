/* SPDX-License-Identifier: MIT */
/* The common part of a poller. */
#include "px.h"
#include "mem.h"

#define DGRAM_BATCH 32u       /* 8 to 128 make no difference beyond the noise, see bench/linux/gannet-udp */
#define DGRAM_BATCH_MAX 1024u /* UIO_MAXIOV, the most that recvmmsg takes */

int gnp_px_init_bare(gnp_px *p, const gnp_ops *ops, const gnp_poller_config *config)
{
    p->base.ops = ops;
    p->ready.next = p->ready.prev = &p->ready;
    p->dgram_size = config->dgram_size;
    p->dgram_batch = config->dgram_batch != 0 ? config->dgram_batch : DGRAM_BATCH;
    if (p->dgram_batch > DGRAM_BATCH_MAX)
        p->dgram_batch = DGRAM_BATCH_MAX;
    p->scratch_size = config->read_buffer;
    p->wake_read = p->wake_write = -1;
    p->scratch = gnp_alloc(p->scratch_size);
    return p->scratch != NULL ? GNP_OK : GNP_ENOMEM;
}

int gnp_px_init(gnp_px *p, const gnp_ops *ops, const gnp_poller_config *config)
{
    int r = gnp_px_init_bare(p, ops, config);

    if (r != GNP_OK)
        return r;
    r = gnp_px_wake_open(&p->wake_read, &p->wake_write);
    if (r != GNP_OK)
        gnp_free(p->scratch, p->scratch_size);
    return r;
}

void gnp_px_fini(gnp_px *p)
{
    gnp_px_rights_drop(p);
    gnp_px_dgram_fini(p);
    if (p->wake_read >= 0)
        gnp_px_wake_close(p->wake_read, p->wake_write);
    gnp_free(p->scratch, p->scratch_size);
}

void gnp_px_wake(gnp_poller *base)
{
    gnp_px *p = (gnp_px *)(void *)base;

    if (gnp_swap32(&p->woken, 1) == 0)
        gnp_px_wake_signal(p->wake_write);
}

/* A swap and not a store: it takes over what wakers that saw 1 had done before, so that
 * the core finds it; a plain store might pass the loads that follow it. */
void gnp_px_woken(gnp_px *p)
{
    gnp_swap32(&p->woken, 0);
}

unsigned gnp_px_begin(gnp_px *p, gnp_event *events, unsigned cap)
{
    gnp_sock *head = &p->ready;
    gnp_sock *s = head->next;
    unsigned limit = cap > 1 ? cap / 2 : (p->turn ^= 1);
    unsigned n = 0;

    p->round = events;
    while (s != head && n < limit) {
        gnp_px_event(events, n++, s, gnp_px_mask(s) & (s->state >> 4));
        s = s->next;
    }
    if (n > 0 && s != head) { /* the next round begins with s: the head moves, not its sockets */
        gnp_px_unlist(head);
        head->next = s;
        head->prev = s->prev;
        s->prev->next = head;
        s->prev = head;
    }
    return n;
}

void gnp_px_forget(gnp_px *p, gnp_sock *s)
{
    gnp_event *e = gnp_px_slot(p->round, p->round_n, s);

    if (p->rights_of == s)
        gnp_px_rights_drop(p);
    if (e != NULL) {
        e->sock = NULL;
        e->what = 0;
    }
    if (gnp_px_listed(s))
        gnp_px_unlist(s);
}

void gnp_px_adopt(gnp_sock *s, unsigned interest)
{
    s->next = s->prev = NULL;
    s->priv = NULL;
    s->armed = 0;
    s->interest = (uint8_t)interest;
    s->state &= PX_KEPT;
}

void gnp_px_release(gnp_px *p, gnp_sock *s)
{
    gnp_px_forget(p, s);
    gnp_px_adopt(s, 0);
}

uint32_t gnp_px_level(gnp_sock *s, unsigned ev, unsigned *watch)
{
    unsigned mask = gnp_px_mask(s);
    uint32_t what = 0;

    *watch = mask;
    if (ev & PX_HUP) {
        ev |= PX_IN | PX_OUT; /* the verbs tell what has happened */
        what = s->kind == GNP_STREAM ? GNP_EV_HANGUP : 0;
        if (mask == 0) {
            *watch = PX_LEAVE;
            what = s->state & PX_HUNG ? 0 : what;
            s->state |= PX_HUNG;
        }
    }
    if (ev & PX_IN) {
        s->state |= PX_CAN_READ;
        s->state &= ~(uint32_t)PX_DRY;
    }
    if (ev & PX_OUT)
        s->state &= ~(uint32_t)PX_CONNECT;
    return what | (ev & mask);
}
