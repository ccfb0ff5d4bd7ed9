/* SPDX-License-Identifier: MIT */
/* Chooses a backend and passes the calls of poll.h on to it. */
#include "backend.h"
#include "sys.h"

#include <string.h>

#define READ_BUFFER 65536u /* one full TCP receive of a busy loopback or 10 GbE peer */
#define DGRAM_SIZE 65536u  /* no UDP payload is longer than 65,507 bytes */

const char *gnp_poller_name(unsigned i, int *available)
{
    unsigned k;

    for (k = 0; gnp_backends[k] != NULL; k++) {
        if (k == i) {
            if (available != NULL)
                *available = gnp_backends[k]->probe() == GNP_OK;
            return gnp_backends[k]->name;
        }
    }
    return NULL;
}

static int open_named(gnp_poller **out, const char *name, const gnp_poller_config *config)
{
    unsigned k;

    for (k = 0; gnp_backends[k] != NULL; k++) {
        if (strcmp(gnp_backends[k]->name, name) == 0) {
            int r = gnp_backends[k]->probe();
            return r != GNP_OK ? r : gnp_backends[k]->open(out, config);
        }
    }
    return GNP_ENOENT;
}

static int open_first(gnp_poller **out, const gnp_poller_config *config)
{
    unsigned k;

    for (k = 0; gnp_backends[k] != NULL; k++) {
        if (gnp_backends[k]->probe() == GNP_OK)
            return gnp_backends[k]->open(out, config);
    }
    return GNP_ENOTSUP;
}

int gnp_poller_open(gnp_poller **out, const gnp_poller_config *config)
{
    gnp_poller_config c;
    const char *name;

    memset(&c, 0, sizeof(c));
    if (config != NULL)
        c = *config;
    if (c.read_buffer == 0)
        c.read_buffer = READ_BUFFER;
    if (c.dgram_size == 0)
        c.dgram_size = DGRAM_SIZE;

    name = c.name != NULL ? c.name : gnp_env("GANNET_POLLER");
    if (name != NULL && (c.name != NULL || name[0] != '\0'))
        return open_named(out, name, &c);
    return open_first(out, &c);
}

void gnp_poller_close(gnp_poller *p)
{
    p->ops->close(p);
}

const char *gnp_poller_backend(const gnp_poller *p)
{
    return p->ops->name;
}

unsigned gnp_poller_caps(const gnp_poller *p)
{
    return p->caps;
}

int gnp_poller_wait(gnp_poller *p, gnp_event *events, int cap, uint64_t deadline_ns)
{
    return p->ops->wait(p, events, cap, deadline_ns);
}

void gnp_wake(gnp_poller *p)
{
    p->ops->wake(p);
}

int gnp_attach(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    return p->ops->attach(p, s, interest);
}

int gnp_detach(gnp_poller *p, gnp_sock *s)
{
    return p->ops->detach(p, s);
}

int gnp_want(gnp_poller *p, gnp_sock *s, unsigned interest)
{
    return p->ops->want(p, s, interest);
}

int gnp_recv(gnp_poller *p, gnp_sock *s, const void **data, size_t *n)
{
    return p->ops->recv(p, s, data, n);
}

void gnp_recv_done(gnp_poller *p, gnp_sock *s)
{
    p->ops->recv_done(p, s);
}

int gnp_send(gnp_poller *p, gnp_sock *s, const gnp_iov *iov, unsigned count, unsigned flags, size_t *sent)
{
    return p->ops->send(p, s, iov, count, flags, sent);
}

int gnp_sendfile(gnp_poller *p, gnp_sock *s, intptr_t file, uint64_t offset, uint64_t n, uint64_t *sent)
{
    return p->ops->sendfile(p, s, file, offset, n, sent);
}

int gnp_send_descriptor(gnp_poller *p, gnp_sock *s, intptr_t os, const void *data, size_t n, size_t *sent)
{
    return p->ops->send_descriptor(p, s, os, data, n, sent);
}

int gnp_recv_descriptor(gnp_poller *p, gnp_sock *s, intptr_t *out)
{
    return p->ops->recv_descriptor(p, s, out);
}

int gnp_accept(gnp_poller *p, gnp_sock *listener, gnp_sock *out, gnp_addr *peer)
{
    return p->ops->accept(p, listener, out, peer);
}

int gnp_recvfrom(gnp_poller *p, gnp_sock *s, gnp_dgram *out)
{
    return p->ops->recvfrom(p, s, out);
}

int gnp_sendto(gnp_poller *p, gnp_sock *s, const gnp_dgram_out *out, unsigned count, unsigned *sent)
{
    return p->ops->sendto(p, s, out, count, sent);
}

int gnp_connect(gnp_poller *p, gnp_sock *s, int kind, const gnp_addr *to, const gnp_addr *local,
                const gnp_sock_opts *o)
{
    return p->ops->connect(p, s, kind, to, local, o);
}

int gnp_connect_end(gnp_poller *p, gnp_sock *s)
{
    return p->ops->connect_end(p, s);
}

int gnp_shutdown(gnp_poller *p, gnp_sock *s)
{
    return p->ops->shutdown(p, s);
}

int gnp_close(gnp_poller *p, gnp_sock *s, int reset)
{
    return p->ops->close_sock(p, s, reset);
}
