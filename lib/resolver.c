/* SPDX-License-Identifier: MIT */
#include "resolver.h"

#include <string.h>

#include "addr.h"
#include "engine.h"
#include "loop.h"

/* Names resolved at once.  A resolver waits, mostly, and a slow name must not hold up the others; more would
 * only press a name server that is late already. */
#define THREADS 4u
#define WAITING_MAX 1024u

/* More than are tried, so that one family cannot crowd out the other. */
#define FOUND_MAX 32

struct gni_resolving {
    gni_task task;  /* first: the mailbox knows only this */
    gni_dial *dial; /* on the loop; NULL: nobody waits */
    gn_handle loop;
    gnp_atomic32 unwanted; /* the same, for the thread */
    int begun;
    int family;
    int count;
    uint16_t port;
    gnp_addr found[FOUND_MAX];
    char host[GNI_HOST_MAX + 1];
};

gni_resolving *gni_resolving_new(const char *host, int family, uint16_t port)
{
    gni_resolving *r = gnp_zalloc(sizeof *r);
    if (r != NULL) {
        r->family = family;
        r->port = port;
        memcpy(r->host, host, strlen(host) + 1);
    }
    return r;
}

static void answer_run(gni_task *t, int status)
{
    gni_resolving *r = (gni_resolving *)(void *)t;
    if (status == GN_OK && r->dial != NULL) {
        gni_dial_resolved(r->dial, r->found, r->count);
    }
    gnp_free(r, sizeof *r);
}

/* On a thread of the pool. */
static void resolve(int status, void *arg)
{
    gni_resolving *r = arg;
    if (status == GN_OK && !gnp_load32(&r->unwanted)) {
        r->count = gnp_resolve(r->host, r->family, r->found, FOUND_MAX);
        for (int i = 0; i < r->count; i++) {
            r->found[i].port = r->port;
        }
    }
    r->task.run = answer_run;
    if (gni_loop_post(r->loop, &r->task) != GN_OK) {
        gnp_free(r, sizeof *r); /* the loop is gone, and has ended its dials before */
    }
}

/* The pool is made when the first name comes. */
static int pool_get(gn_engine *e, gn_pool **out)
{
    int rc = GN_OK;
    gnp_mutex_lock(&e->lock);
    if (e->resolver == NULL) {
        gn_pool_options o;
        gn_pool_options_init(&o);
        o.capacity = THREADS;
        o.queue_max = WAITING_MAX;
        o.nonblocking = 1;
        o.name = "gn-resolve";
        rc = gn_pool_create(&e->resolver, &o);
    }
    *out = e->resolver;
    gnp_mutex_unlock(&e->lock);
    return rc;
}

int gni_resolver_ask(gn_loop *l, gni_resolving *r, gni_dial *d)
{
    gn_pool *p;
    int rc = pool_get(l->engine, &p);
    if (rc != GN_OK) {
        return rc;
    }
    r->loop = gn_loop_handle(l);
    r->dial = d;
    r->begun = 1; /* first: it may be done before the submit returns */
    rc = gn_pool_try_submit(p, resolve, r);
    if (rc != GN_OK) {
        r->begun = 0;
    }
    return rc;
}

void gni_resolver_abandon(gni_resolving *r)
{
    if (!r->begun) {
        gnp_free(r, sizeof *r);
        return;
    }
    r->dial = NULL;
    gnp_store32(&r->unwanted, 1);
}

void gni_resolver_destroy(gn_engine *e)
{
    (void)gn_pool_destroy(e->resolver);
    e->resolver = NULL;
}
