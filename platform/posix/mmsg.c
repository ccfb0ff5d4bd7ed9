/* SPDX-License-Identifier: MIT */
/*
 * Datagrams by recvmmsg and sendmmsg: many in one system call, handed out one by one.
 *
 * A socket holds a batch only while it has datagrams that were not taken yet; otherwise
 * the batch waits in the poller for the next socket.  So there are no more batches than
 * sockets which the core left with unread datagrams, one as a rule.
 */
#include "dgram.h"
#include "native.h"
#include "posix.h"
#include "../mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct gnp_px_batch {
    gnp_px_batch *next; /* in the poller's list */
    unsigned next_out;  /* the next one to be handed out */
    unsigned count;     /* how many were received */
    gnp_addr peer;      /* of the one that is lent */
    gnp_addr local;
    struct mmsghdr *hdr;
    struct iovec *iov;
    gnp_native *from;
    gnp_px_control *control;
    unsigned char *data;
};

/* The distance of two buffers: in whole cache lines, and an odd number of them, so that the first
 * bytes of the buffers don't all fall into the same few sets of the cache. */
static size_t stride_of(size_t dgram_size)
{
    return ((dgram_size + 63) / 64 | 1) * 64;
}

static size_t batch_bytes(const gnp_px *p)
{
    size_t each = sizeof(struct mmsghdr) + sizeof(struct iovec) + sizeof(gnp_px_control) + sizeof(gnp_native);

    return sizeof(gnp_px_batch) + p->dgram_batch * (each + stride_of(p->dgram_size)) + 64;
}

/* What the kernel overwrites with each datagram. */
static void header_reset(struct msghdr *m)
{
    m->msg_namelen = sizeof(gnp_native);
    m->msg_controllen = sizeof(gnp_px_control);
}

static gnp_px_batch *make(const gnp_px *p)
{
    unsigned n = p->dgram_batch, i;
    gnp_px_batch *b = gnp_alloc(batch_bytes(p));

    if (b == NULL)
        return NULL;
    memset(b, 0, sizeof(*b));
    b->hdr = (struct mmsghdr *)(void *)(b + 1);
    b->iov = (struct iovec *)(void *)(b->hdr + n);
    b->control = (gnp_px_control *)(void *)(b->iov + n);
    b->from = (gnp_native *)(void *)(b->control + n);
    b->data = (unsigned char *)(b->from + n);
    b->data += (64 - (uintptr_t)b->data % 64) % 64;
    memset(b->hdr, 0, n * sizeof(*b->hdr));
    for (i = 0; i < n; i++) {
        b->iov[i].iov_base = b->data + i * stride_of(p->dgram_size);
        b->iov[i].iov_len = p->dgram_size;
        b->hdr[i].msg_hdr.msg_iov = &b->iov[i];
        b->hdr[i].msg_hdr.msg_iovlen = 1;
        b->hdr[i].msg_hdr.msg_name = &b->from[i];
        b->hdr[i].msg_hdr.msg_control = &b->control[i];
        header_reset(&b->hdr[i].msg_hdr);
    }
    return b;
}

static gnp_px_batch *take(gnp_px *p)
{
    gnp_px_batch *b = p->batches;

    if (b == NULL)
        return make(p);
    p->batches = b->next;
    return b;
}

void gnp_px_dgram_drop(gnp_px *p, gnp_px_batch **held)
{
    gnp_px_batch *b = *held;

    for (; b->next_out < b->count; b->next_out++) /* what the kernel wrote into those never handed out */
        header_reset(&b->hdr[b->next_out].msg_hdr);
    b->next = p->batches;
    p->batches = b;
    *held = NULL;
}

void gnp_px_dgram_fini(gnp_px *p)
{
    gnp_px_batch *b;

    while ((b = p->batches) != NULL) {
        p->batches = b->next;
        gnp_free(b, batch_bytes(p));
    }
}

static int fill(gnp_px *p, gnp_sock *s, gnp_px_batch *b)
{
    int n;

    do {
        n = recvmmsg((int)s->os, b->hdr, p->dgram_batch, 0, NULL);
    } while (n < 0 && errno == EINTR);
    b->next_out = 0;
    b->count = n > 0 ? (unsigned)n : 0;
    if (n < 0) {
        int code = gnp_px_fail(errno);
        if (code == GNP_AGAIN)
            s->state &= ~(uint32_t)PX_CAN_READ;
        return code;
    }
    if ((unsigned)n < p->dgram_batch)
        s->state |= PX_DRY;
    return GNP_OK;
}

int gnp_px_recvfrom(gnp_px *p, gnp_sock *s, gnp_px_batch **held, gnp_dgram *out)
{
    gnp_px_batch *b = *held;
    struct mmsghdr *h;
    int r;

    if (b == NULL) {
        if (!(s->state & PX_CAN_READ))
            return GNP_AGAIN;
        b = *held = take(p);
        if (b == NULL)
            return GNP_ENOMEM;
        r = fill(p, s, b);
        if (r != GNP_OK) {
            gnp_px_dgram_drop(p, held);
            return r;
        }
    }
    h = &b->hdr[b->next_out];
    gnp_px_from_native(&b->from[b->next_out], (unsigned)h->msg_hdr.msg_namelen, &b->peer);
    out->segment = 0;
    out->local = NULL;
    out->interface_index = 0;
    if (h->msg_hdr.msg_controllen > 0)
        gnp_px_control_read(&h->msg_hdr, out, &b->local);
    header_reset(&h->msg_hdr);
    out->data = b->iov[b->next_out].iov_base;
    out->len = h->msg_len;
    out->truncated = (h->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    out->peer = &b->peer;
    b->next_out++;
    return GNP_OK;
}

void gnp_px_dgram_done(gnp_px *p, gnp_sock *s, gnp_px_batch **held)
{
    gnp_px_batch *b = *held;

    if (b == NULL || b->next_out < b->count)
        return;
    gnp_px_dgram_drop(p, held);
    if (s->state & PX_DRY) /* nothing was behind this batch; what came since is a new event */
        s->state &= ~(uint32_t)(PX_DRY | PX_CAN_READ);
}

#define SEND_BATCH 64u /* 15 KiB of stack; the cost of the call itself is spread thin by then */

/* Fills in one header of a call. */
static int header_set(const gnp_sock *s, const gnp_dgram_out *out, struct msghdr *m, gnp_native *to,
                      gnp_px_control_out *control)
{
    if (out->segment > 0 && out->segment < out->len) {
        int r = gnp_px_control_segment(m, control, out->segment);
        if (r != GNP_OK)
            return r;
    }
    if (out->peer == NULL)
        return GNP_OK;
    m->msg_name = to;
    m->msg_namelen = gnp_px_to_native(out->peer, s->family, to);
    return m->msg_namelen != 0 ? GNP_OK : gnp_px_fail(EINVAL);
}

/* One system call for count <= SEND_BATCH datagrams.  How many left, or an error. */
static int send_some(gnp_sock *s, const gnp_dgram_out *out, unsigned count)
{
    struct mmsghdr hdr[SEND_BATCH];
    struct iovec iov[SEND_BATCH];
    gnp_native to[SEND_BATCH];
    gnp_px_control_out control[SEND_BATCH];
    unsigned i;
    int n;

    for (i = 0; i < count; i++) {
        iov[i].iov_base = (void *)(uintptr_t)out[i].data;
        iov[i].iov_len = out[i].len;
        memset(&hdr[i], 0, sizeof(hdr[i]));
        hdr[i].msg_hdr.msg_iov = &iov[i];
        hdr[i].msg_hdr.msg_iovlen = 1;
        n = header_set(s, &out[i], &hdr[i].msg_hdr, &to[i], &control[i]);
        if (n != GNP_OK && i == 0)
            return n;
        if (n != GNP_OK)
            count = i; /* those before it go, the next call tells of it */
    }
    do {
        n = sendmmsg((int)s->os, hdr, count, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : gnp_px_fail(errno);
}

int gnp_px_sendto(gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    *sent = 0;
    while (*sent < count) { /* each turn sends at least one or ends */
        unsigned left = count - *sent;
        int n = send_some(s, out + *sent, left < SEND_BATCH ? left : SEND_BATCH);
        if (n < 0) {
            gnp_px_sendto_cut(s, n);
            return n;
        }
        *sent += (unsigned)n;
    }
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}
