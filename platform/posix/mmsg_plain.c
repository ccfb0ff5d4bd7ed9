/* SPDX-License-Identifier: MIT */
/* Datagrams one by one, where there is no recvmmsg.  The batch is a single buffer, one per poller. */
#include "dgram.h"
#include "native.h"
#include "posix.h"
#include "../mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct gnp_px_batch {
    gnp_addr peer, local;
    size_t size;
    unsigned char data[];
};

static gnp_px_batch *buffer_of(gnp_px *p)
{
    if (p->batches == NULL) {
        p->batches = gnp_alloc(sizeof(gnp_px_batch) + p->dgram_size);
        if (p->batches != NULL)
            p->batches->size = p->dgram_size;
    }
    return p->batches;
}

int gnp_px_recvfrom(gnp_px *p, gnp_sock *s, gnp_px_batch **held, gnp_dgram *out)
{
    gnp_px_batch *b;
    struct iovec v;
    struct msghdr m;
    gnp_native from;
    gnp_px_control control;
    ssize_t r;

    (void)held;
    if (!(s->state & PX_CAN_READ))
        return GNP_AGAIN;
    b = buffer_of(p);
    if (b == NULL)
        return GNP_ENOMEM;
    v.iov_base = b->data;
    v.iov_len = b->size;
    memset(&m, 0, sizeof(m));
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_name = &from;
    m.msg_namelen = sizeof(from);
    m.msg_control = &control;
    m.msg_controllen = sizeof(control);
    do {
        r = recvmsg((int)s->os, &m, 0);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        int code = gnp_px_fail(errno);
        if (code == GNP_AGAIN)
            s->state &= ~(uint32_t)PX_CAN_READ;
        return code;
    }
    gnp_px_from_native(&from, (unsigned)m.msg_namelen, &b->peer);
    out->data = b->data;
    out->len = (size_t)r;
    out->truncated = (m.msg_flags & MSG_TRUNC) != 0;
    out->peer = &b->peer;
    out->segment = 0;
    out->local = NULL;
    out->interface_index = 0;
    if (m.msg_controllen > 0)
        gnp_px_control_read(&m, out, &b->local);
    return GNP_OK;
}

void gnp_px_dgram_done(gnp_px *p, gnp_sock *s, gnp_px_batch **held)
{
    (void)p;
    (void)s;
    (void)held;
}

void gnp_px_dgram_drop(gnp_px *p, gnp_px_batch **held)
{
    (void)p;
    (void)held;
}

void gnp_px_dgram_fini(gnp_px *p)
{
    if (p->batches != NULL)
        gnp_free(p->batches, sizeof(gnp_px_batch) + p->batches->size);
    p->batches = NULL;
}

static int send_one(gnp_sock *s, const gnp_dgram_out *out)
{
    gnp_native to;
    gnp_px_control_out control;
    struct iovec v = { (void *)(uintptr_t)out->data, out->len };
    struct msghdr m;
    ssize_t r;

    memset(&m, 0, sizeof(m));
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    if (out->peer != NULL) {
        m.msg_name = &to;
        m.msg_namelen = gnp_px_to_native(out->peer, s->family, &to);
        if (m.msg_namelen == 0)
            return gnp_px_fail(EINVAL);
    }
    if (out->segment > 0 && out->segment < out->len) {
        int code = gnp_px_control_segment(&m, &control, out->segment);
        if (code != GNP_OK)
            return code;
    }
    do {
        r = sendmsg((int)s->os, &m, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r >= 0 ? GNP_OK : gnp_px_fail(errno);
}

int gnp_px_sendto(gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    for (*sent = 0; *sent < count; ++*sent) {
        int r = send_one(s, &out[*sent]);
        if (r != GNP_OK) {
            gnp_px_sendto_cut(s, r);
            return r;
        }
    }
    s->state &= ~(uint32_t)PX_WRITE;
    return GNP_OK;
}
