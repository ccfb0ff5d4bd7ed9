/* SPDX-License-Identifier: MIT */
/* Connected sockets that others have made. */
#include <string.h>

#include "conn.h"
#include "dial.h"
#include "engine.h"
#include "loop.h"

typedef struct adoption {
    gni_task task; /* first: the mailbox knows only this */
    gni_asked asked;
    gnp_sock sock;
    gnp_addr peer;
    unsigned opt_count;
    gnp_opt_value opts[];
} adoption;

static size_t adoption_size(unsigned opt_count)
{
    return sizeof(adoption) + opt_count * sizeof(gnp_opt_value);
}

static int opts_apply(adoption *a)
{
    int rc = GN_OK;
    for (unsigned i = 0; rc == GN_OK && i < a->opt_count; i++) {
        rc = gnp_sock_set(&a->sock, a->opts[i].opt, a->opts[i].value);
    }
    return rc;
}

/* The slot that has the socket now. */
static int adopt(adoption *a, gn_loop *l, gn_conn **out)
{
    int rc = opts_apply(a);
    if (rc != GN_OK) {
        return rc;
    }
    gn_conn *c = gni_conntab_alloc(&l->conns);
    if (c == NULL) {
        return GN_ENOMEM;
    }
    gni_conn_init(c, l, a->asked.handler, a->asked.user, &a->peer);
    c->sock = a->sock;
    rc = gnp_attach(l->poller, &c->sock, GNP_READ);
    if (rc != GNP_OK) {
        gni_conn_discard_slot(c);
        return rc;
    }
    *out = c;
    return GN_OK;
}

static void adopt_run(gni_task *t, int status)
{
    adoption *a = (adoption *)(void *)t;
    gn_loop *l = gn_loop_current();
    gn_conn *c = NULL;
    int rc = status;
    if (!gni_asked_arrive(&a->asked, t, &rc)) {
        return;
    }
    gni_asked asked = a->asked;
    if (rc == GN_OK) {
        rc = adopt(a, l, &c);
        if (rc != GN_OK) {
            gni_engine_conn_leave(l->engine);
        }
    }
    if (rc != GN_OK) {
        gnp_sock_close(&a->sock, 0);
    }
    gnp_free(a, adoption_size(a->opt_count));
    if (rc != GN_OK) {
        gni_asked_fail(&asked, rc);
        return;
    }
    gnp_add32(&l->load, 1);
    gni_count(&l->stats.adopted, 1);
    gni_asked_open(&asked, c);
}

/* On an error the descriptor stays the caller's. */
static int sock_take(gnp_sock *s, gnp_addr *peer, gn_descriptor d)
{
    int rc = gnp_sock_import(s, d);
    if (rc == GNP_OK && s->kind == GNP_LISTENER) {
        rc = GN_EINVAL;
    }
    return rc == GNP_OK ? gnp_sock_peer(s, peer) : rc;
}

int gn_adopt(gn_handle where, gn_descriptor d, const gn_dial_options *options, gn_done done, void *arg)
{
    gn_dial_options o;
    int rc = gni_dial_options_take(&o, options);
    if (rc != GN_OK) {
        return rc;
    }
    adoption *a = gnp_zalloc(adoption_size(o.opt_count));
    if (a == NULL) {
        return GN_ENOMEM;
    }
    gni_asked_init(&a->asked, where, &o, done, arg);
    a->task.run = adopt_run;
    a->opt_count = o.opt_count;
    for (unsigned i = 0; i < o.opt_count; i++) {
        a->opts[i].opt = (int)o.opts[i].opt;
        a->opts[i].value = o.opts[i].value;
    }
    rc = sock_take(&a->sock, &a->peer, d);
    if (rc == GN_OK) {
        rc = gni_asked_post(&a->asked, &a->task, adoption_size(o.opt_count));
    }
    if (rc != GN_OK) {
        gnp_free(a, adoption_size(o.opt_count));
    }
    return rc;
}
