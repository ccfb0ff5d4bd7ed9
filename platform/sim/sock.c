/* SPDX-License-Identifier: MIT */
/* Detached sockets, their options, and paths. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define BACKLOG_MAX 4096 /* net.core.somaxconn of Linux */

static GNP_THREAD_LOCAL int last_error;

int gnp_os_error(void)
{
    return last_error;
}

int gnp_sim_error(int code)
{
    if (code < 0 && code != GNP_AGAIN && code != GNP_EOF)
        last_error = -code; /* the simulated system's own numbers */
    return code;
}

/* ------------------------------------------------------------------ options */

enum { ON_TCP = 1, ON_LISTENER = 2, ON_UDP = 4, ON_UNIX = 8, ON_IP = ON_TCP | ON_LISTENER | ON_UDP };

typedef struct option {
    unsigned on;
    int64_t least, most;
    int64_t fresh; /* of a new socket */
    int cut;       /* 1: more than most is most */
} option;

/* Those that change what a program sees do so here as well, or are not there: fast open, deferred accepts
 * and the mark of unsent bytes are not.  Fresh values are Linux's. */
static const option options[] = {
    [GNP_OPT_NODELAY] = { ON_TCP | ON_LISTENER, 0, 1, 0, 0 },
    [GNP_OPT_KEEPALIVE] = { ON_TCP | ON_LISTENER, 0, 32767, 0, 0 },
    [GNP_OPT_KEEPALIVE_INTVL] = { ON_TCP | ON_LISTENER, 1, 32767, 75, 0 },
    [GNP_OPT_KEEPALIVE_COUNT] = { ON_TCP | ON_LISTENER, 1, 127, 9, 0 },
    [GNP_OPT_RECV_BUFFER] = { ON_IP | ON_UNIX, 1, INT32_MAX, 131072, 1 },
    [GNP_OPT_SEND_BUFFER] = { ON_IP | ON_UNIX, 1, INT32_MAX, 131072, 1 },
    [GNP_OPT_LINGER] = { ON_TCP | ON_LISTENER | ON_UNIX, -1, 32767, -1, 0 },
    [GNP_OPT_USER_TIMEOUT] = { ON_TCP | ON_LISTENER, 0, INT32_MAX, 0, 0 },
    [GNP_OPT_TOS] = { ON_IP, 0, 255, 0, 0 },
    [GNP_OPT_TTL] = { ON_IP, 1, 255, 64, 0 },
    [GNP_OPT_BUSY_POLL] = { ON_IP, 0, INT32_MAX, 0, 0 },
    [GNP_OPT_QUICKACK] = { ON_TCP, 0, 1, 1, 0 },
    [GNP_OPT_PRIORITY] = { ON_IP, 0, INT32_MAX, 0, 0 },
    [GNP_OPT_MARK] = { ON_IP, 0, UINT32_MAX, 0, 0 },
    [GNP_OPT_BROADCAST] = { ON_UDP, 0, 1, 0, 0 },
    [GNP_OPT_MULTICAST_TTL] = { ON_UDP, 0, 255, 1, 0 },
    [GNP_OPT_MULTICAST_LOOP] = { ON_UDP, 0, 1, 1, 0 },
    [GNP_OPT_MULTICAST_IF] = { ON_UDP, 0, 1, 0, 0 }, /* there is one interface */
    [GNP_OPT_PACKET_INFO] = { ON_UDP, 0, 1, 0, 0 },
    [GNP_OPT_GRO] = { ON_UDP, 0, 1, 0, 0 },
    [GNP_OPT_PASS_DESCRIPTORS] = { ON_UNIX, 0, 1, 0, 0 },
    [GNP_OPT_MAXSEG] = { ON_TCP | ON_LISTENER, 88, 65535, 0, 0 },
};

#define OPTIONS ((int)(sizeof(options) / sizeof(options[0])))

static unsigned sort_of(const gnp_sock *s)
{
    if (s->family == GNP_FAMILY_UNIX)
        return ON_UNIX;
    return s->kind == GNP_DGRAM ? ON_UDP : s->kind == GNP_LISTENER ? ON_LISTENER : ON_TCP;
}

static const option *option_of(const gnp_sock *s, int opt)
{
    if (opt <= 0 || opt >= OPTIONS)
        return NULL;
    return options[opt].on & sort_of(s) ? &options[opt] : NULL;
}

int gnp_sock_set(gnp_sock *s, int opt, int64_t value)
{
    sim_file *f = gnp_sim_get(s->os);
    const option *o = option_of(s, opt);
    int r = GNP_OK;

    gnp_sim_call();
    if (o != NULL && o->cut && value > o->most)
        value = o->most;
    if (o == NULL)
        r = GNP_ENOTSUP;
    else if (value < o->least || value > o->most)
        r = GNP_EINVAL;
    else
        r = SIM_MISFORTUNE(sim.knobs.sock_error, GNP_EACCES, GNP_EIO);
    if (r == GNP_OK) {
        f->opts[opt] = value;
        f->opts_set |= UINT32_C(1) << opt;
    }
    gnp_sim_mark("sock_set", opt, value, r);
    return gnp_sim_error(r);
}

int gnp_sock_get(const gnp_sock *s, int opt, int64_t *value)
{
    sim_file *f = gnp_sim_get(s->os);

    gnp_sim_call();
    if (option_of(s, opt) == NULL)
        return gnp_sim_error(GNP_ENOTSUP);
    if (gnp_sim_fault(sim.knobs.sock_error))
        return gnp_sim_error(GNP_EIO);
    *value = f->opts[opt];
    return GNP_OK;
}

/* -------------------------------------------------------------------- paths */

/* What stands at a path: a socket, or a file with its bytes.  Names without a folder are those of the current
 * one; every absolute folder is there, and no other. */
typedef struct path {
    struct path *next;
    gnp_addr addr;
    uint64_t ino;
    int is_file;
    sim_file *listener; /* of a socket; NULL: nobody serves it any more */
    const void *data;
    size_t n;
} path;

static path *paths;
static uint64_t next_ino;

static path **path_at(const gnp_addr *a)
{
    path **at = &paths;

    while (*at != NULL && !gnp_sim_addr_same(&(*at)->addr, a))
        at = &(*at)->next;
    return at;
}

static void path_addr(gnp_addr *a, const char *name)
{
    size_t n = strlen(name);

    memset(a, 0, sizeof(*a));
    if (n > GNP_UNIX_PATH_MAX)
        gnp_sim_fail("the name of a file is too long: %s", name);
    a->family = GNP_FAMILY_UNIX;
    a->len = (uint8_t)n;
    memcpy(a->u.path, name, n);
}

void gnp_sim_path_remove(const gnp_addr *a)
{
    path **at = path_at(a);
    path *p = *at;

    if (p == NULL)
        return;
    *at = p->next;
    free(p);
}

static path *path_new(const gnp_addr *a)
{
    path *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    p->addr = *a;
    p->ino = ++next_ino;
    p->next = paths;
    paths = p;
    return p;
}

/* May a socket be made there? */
static int path_free(const gnp_addr *a)
{
    const path *p = *path_at(a);
    char last = a->u.path[a->len - 1];

    if (last == '.' || last == '/' || (p != NULL && p->is_file))
        return GNP_EEXIST;
    if (a->u.path[0] != '/' && memchr(a->u.path, '/', a->len) != NULL)
        return GNP_ENOENT;
    return p != NULL && p->listener != NULL ? GNP_EADDRINUSE : GNP_OK;
}

int gnp_sim_path_bind(sim_file *f, const gnp_addr *a, gnp_bound *out)
{
    path *p;
    int r;

    memset(out, 0, sizeof(*out));
    if (a->len > gnp_unix_path_max())
        return GNP_ENAMETOOLONG;
    if (a->len == 0 || a->u.path[0] == '\0')
        return gnp_sim_bind(f, a, GNP_EXCLUSIVE);
    r = path_free(a);
    if (r != GNP_OK)
        return r;
    gnp_sim_path_remove(a); /* nobody serves it */
    p = path_new(a);
    p->listener = f;
    f->local = *a;
    out->ino = p->ino;
    out->owned = 1;
    return GNP_OK;
}

/* GNP_OK and who serves it, GNP_ECONNREFUSED: nobody any more, or GNP_ENOENT. */
int gnp_sim_path_find(const gnp_addr *a, sim_file **out)
{
    const path *p = *path_at(a);

    *out = p != NULL ? p->listener : NULL;
    return p == NULL ? GNP_ENOENT : p->listener != NULL ? GNP_OK : GNP_ECONNREFUSED;
}

/* Its paths stay, and nobody answers there. */
void gnp_sim_path_leave(const sim_file *f)
{
    path *p;

    for (p = paths; p != NULL; p = p->next) {
        if (p->listener == f)
            p->listener = NULL;
    }
}

void gnp_unlink_bound(const gnp_addr *a, const gnp_bound *bound)
{
    path *p;

    if (!bound->owned || a->family != GNP_FAMILY_UNIX)
        return;
    gnp_sim_call();
    p = *path_at(a);
    if (p != NULL && p->ino == bound->ino)
        gnp_sim_path_remove(a);
    gnp_sim_mark("unlink", p != NULL, 0, 0);
}

int gnp_sim_exists(const char *name)
{
    gnp_addr a;

    path_addr(&a, name);
    return *path_at(&a) != NULL;
}

int gnp_sim_unlink(const char *name)
{
    int was = gnp_sim_exists(name);
    gnp_addr a;

    path_addr(&a, name);
    gnp_sim_path_remove(&a);
    return was;
}

int gnp_sim_rename(const char *name, const char *to)
{
    gnp_addr a, b;
    path *p;

    path_addr(&a, name);
    path_addr(&b, to);
    p = *path_at(&a);
    if (p == NULL || gnp_sim_addr_same(&a, &b))
        return p != NULL;
    gnp_sim_path_remove(&b);
    p->addr = b;
    return 1;
}

void gnp_sim_begin_paths(void)
{
    paths = NULL;
    next_ino = 0;
    last_error = 0;
}

void gnp_sim_end_paths(void)
{
    while (paths != NULL) {
        if (!paths->is_file)
            gnp_sim_fail("the path of a Unix socket was left: %.*s", (int)paths->addr.len,
                         paths->addr.u.path);
        gnp_sim_path_remove(&paths->addr);
    }
}

/* ------------------------------------------------------------------- making */

/* The reasons why a socket cannot be had today. */
static int no_socket(void)
{
    return SIM_MISFORTUNE(sim.knobs.sock_error, GNP_EMFILE, GNP_ENFILE, GNP_ENOBUFS, GNP_ENOMEM, GNP_EACCES,
                          GNP_EIO);
}

/* ... why it cannot be bound... */
static int no_name(void)
{
    return SIM_MISFORTUNE(sim.knobs.sock_error, GNP_EADDRINUSE, GNP_EADDRNOTAVAIL, GNP_EACCES, GNP_ENOMEM);
}

static int known(int family)
{
    return family == GNP_FAMILY_UNIX || family == GNP_FAMILY_IPV4 || family == GNP_FAMILY_IPV6;
}

/* The members of gnp_sock_opts, of which 0 means that nobody asked. */
static int set_members(gnp_sock *s, const gnp_sock_opts *o)
{
    const gnp_opt_value of[] = {
        { GNP_OPT_NODELAY, o->nodelay },
        { GNP_OPT_KEEPALIVE, o->keepalive_s },
        { GNP_OPT_KEEPALIVE_INTVL, o->keepalive_s != 0 ? o->keepalive_intvl_s : 0 },
        { GNP_OPT_KEEPALIVE_COUNT, o->keepalive_s != 0 ? o->keepalive_count : 0 },
        { GNP_OPT_RECV_BUFFER, o->rcvbuf < INT32_MAX ? (int64_t)o->rcvbuf : INT32_MAX },
        { GNP_OPT_SEND_BUFFER, o->sndbuf < INT32_MAX ? (int64_t)o->sndbuf : INT32_MAX },
    };
    size_t i;
    int r = GNP_OK;

    for (i = 0; i < sizeof(of) / sizeof(of[0]) && r == GNP_OK; i++) {
        if (of[i].value != 0 && option_of(s, of[i].opt) != NULL)
            r = gnp_sock_set(s, of[i].opt, of[i].value);
    }
    return r;
}

static int set_all(gnp_sock *s, sim_file *f, const gnp_sock_opts *o)
{
    unsigned i;
    int r;

    if (o == NULL)
        return GNP_OK;
    if (o->device != NULL && strcmp(o->device, "lo") != 0)
        return GNP_ENOENT;
    f->v6only = s->family == GNP_FAMILY_IPV6 && o->v6only == 1;
    r = set_members(s, o);
    for (i = 0; r == GNP_OK && i < o->opt_count; i++)
        r = gnp_sock_set(s, o->opts[i].opt, o->opts[i].value);
    return r;
}

/* A descriptor of a new file in s; then the options. */
static int make(gnp_sock *s, int kind, int file_kind, int family, const gnp_sock_opts *o)
{
    sim_file *f;
    int r = no_socket(), i;

    memset(s, 0, sizeof(*s));
    s->os = -1;
    if (!known(family) || (family == GNP_FAMILY_UNIX && kind == GNP_DGRAM))
        return GNP_ENOTSUP;
    if (r == GNP_OK && family == GNP_FAMILY_IPV6)
        r = sim.knobs.no_ipv6 == 1 ? GNP_ENOTSUP : sim.knobs.no_ipv6 == 2 ? GNP_EADDRNOTAVAIL : GNP_OK;
    if (r != GNP_OK)
        return r;
    f = gnp_sim_file_new(file_kind, family, 1);
    r = gnp_sim_open(f, &s->os);
    if (r != GNP_OK) {
        gnp_sim_file_unref(f, 0);
        return r;
    }
    for (i = 0; i < OPTIONS; i++)
        f->opts[i] = options[i].fresh;
    s->kind = (uint8_t)kind;
    s->family = (uint8_t)family;
    return set_all(s, f, o);
}

static int give_up(gnp_sock *s, int r)
{
    if (s->os >= 0)
        gnp_sim_shut(s->os, 0);
    s->os = -1;
    return gnp_sim_error(r);
}

/* The address that a socket which will connect has before it does. */
static int bind_early(sim_file *f, int kind, const gnp_addr *local)
{
    gnp_addr here;

    if (kind == GNP_DGRAM) {
        memset(&here, 0, sizeof(here));
        here.family = f->family;
        return gnp_sim_bind(f, local != NULL ? local : &here, GNP_EXCLUSIVE);
    }
    if (local == NULL)
        return GNP_OK;
    if (local->family != f->family)
        return GNP_EINVAL;
    if (f->family == GNP_FAMILY_UNIX) { /* known to nobody but the peer */
        if (local->len > gnp_unix_path_max())
            return GNP_ENAMETOOLONG;
        f->local = *local;
        return GNP_OK;
    }
    return gnp_sim_bind_early(f, local);
}

int gnp_sim_make(gnp_sock *s, int kind, int family, const gnp_addr *local, const gnp_sock_opts *o)
{
    int r = make(s, kind, kind == GNP_DGRAM ? SIM_DGRAM : SIM_STREAM, family, o);

    if (r == GNP_OK)
        r = bind_early(gnp_sim_get(s->os), kind, local);
    return r == GNP_OK ? GNP_OK : give_up(s, r);
}

/* unix_mode has nothing to act on, but is looked at. */
static int bind_listener(sim_file *f, const gnp_addr *a, const gnp_sock_opts *o, gnp_bound *bound)
{
    unsigned mode = o != NULL ? o->unix_mode : 0;

    if (a->family != GNP_FAMILY_UNIX)
        return gnp_sim_bind(f, a, o != NULL ? o->reuseport : GNP_EXCLUSIVE);
    if (mode > 07777)
        return GNP_EINVAL;
    if (mode != 0 && (a->len == 0 || a->u.path[0] == '\0'))
        return GNP_ENOTSUP;
    return gnp_sim_path_bind(f, a, bound);
}

/* As OpenBSD, which has IPv6 sockets for IPv6 only. */
static int one_family(const gnp_addr *a, const gnp_sock_opts *o)
{
    int both = a->family == GNP_FAMILY_IPV6 && o != NULL && o->v6only == 0 && gnp_addr_is_any(a);

    return both && sim.knobs.no_ipv6 == 3 ? GNP_ENOTSUP : no_name();
}

int gnp_listen(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o, gnp_bound *bound)
{
    gnp_bound mine;
    sim_file *f;
    int r;

    if (bound == NULL)
        bound = &mine;
    memset(bound, 0, sizeof(*bound));
    gnp_sim_call();
    r = make(out, GNP_LISTENER, SIM_LISTENER, a->family, o);
    if (r != GNP_OK)
        return give_up(out, r);
    f = gnp_sim_get(out->os);
    f->backlog = o != NULL && o->backlog > 0 ? (unsigned)o->backlog : BACKLOG_MAX;
    r = one_family(a, o);
    if (r == GNP_OK)
        r = bind_listener(f, a, o, bound);
    gnp_sim_mark("listen", out->os, f->local.port, r);
    return r == GNP_OK ? GNP_OK : give_up(out, r);
}

int gnp_dgram_open(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o)
{
    int r;

    gnp_sim_call();
    r = make(out, GNP_DGRAM, SIM_DGRAM, a->family, o);
    if (r != GNP_OK)
        return give_up(out, r);
    gnp_sim_get(out->os)->reuseaddr = o != NULL && o->reuseaddr;
    r = one_family(a, o);
    if (r == GNP_OK)
        r = gnp_sim_bind(gnp_sim_get(out->os), a, o != NULL ? o->reuseport : GNP_EXCLUSIVE);
    gnp_sim_mark("dgram_open", out->os, gnp_sim_get(out->os)->local.port, r);
    return r == GNP_OK ? GNP_OK : give_up(out, r);
}

void gnp_sock_close(gnp_sock *s, int reset)
{
    if (s->os < 0)
        return;
    gnp_sim_call();
    gnp_sim_mark("sock_close", s->os, reset, 0);
    gnp_sim_shut(s->os, reset);
    s->os = -1;
}

int gnp_sock_local(const gnp_sock *s, gnp_addr *out)
{
    gnp_sim_call();
    if (gnp_sim_fault(sim.knobs.sock_error))
        return gnp_sim_error(GNP_EIO);
    *out = gnp_sim_get(s->os)->local;
    return GNP_OK;
}

int gnp_sock_peer(const gnp_sock *s, gnp_addr *out)
{
    const sim_file *f = gnp_sim_get(s->os);

    gnp_sim_call();
    if ((f->kind == SIM_STREAM ? !gnp_sim_stream_connected(f) : !f->connected) || gnp_sim_rarely())
        return gnp_sim_error(GNP_ENOTCONN);
    if (gnp_sim_fault(sim.knobs.sock_error))
        return gnp_sim_error(GNP_EIO);
    *out = f->peer;
    return GNP_OK;
}

/* -------------------------------------------------------------- descriptors */

int gnp_sock_import(gnp_sock *out, intptr_t os)
{
    sim_file *f = gnp_sim_look(os);

    gnp_sim_call();
    out->os = -1;
    if (f == NULL || (f->kind != SIM_STREAM && f->kind != SIM_LISTENER && f->kind != SIM_DGRAM))
        return gnp_sim_error(GNP_EINVAL);
    memset(out, 0, sizeof(*out));
    out->os = os;
    out->family = f->family;
    out->kind = f->kind == SIM_STREAM ? GNP_STREAM : f->kind == SIM_LISTENER ? GNP_LISTENER : GNP_DGRAM;
    return GNP_OK;
}

int gnp_descriptor_dup(intptr_t os, intptr_t *out)
{
    sim_file *f = gnp_sim_look(os);
    int r;

    gnp_sim_call();
    *out = -1;
    if (f == NULL)
        return gnp_sim_error(GNP_EINVAL);
    r = SIM_MISFORTUNE(sim.knobs.sock_error, GNP_EMFILE, GNP_EIO);
    if (r == GNP_OK)
        r = gnp_sim_open(f, out);
    if (r == GNP_OK)
        f->refs++;
    gnp_sim_mark("dup", os, 0, r);
    return gnp_sim_error(r);
}

int gnp_sock_dup(const gnp_sock *s, intptr_t *out)
{
    return gnp_descriptor_dup(s->os, out);
}

void gnp_descriptor_close(intptr_t os)
{
    gnp_sim_call();
    gnp_sim_mark("descriptor_close", os, 0, 0);
    if (os >= 0)
        gnp_sim_shut(os, 0);
}

/* -------------------------------------------------------------------- files */

void gnp_sim_file(const char *name, const void *data, size_t n)
{
    gnp_addr a;
    path *p;

    path_addr(&a, name);
    gnp_sim_path_remove(&a);
    p = path_new(&a);
    p->is_file = 1;
    p->data = data;
    p->n = n;
}

int gnp_file_open(intptr_t *out, const char *name)
{
    gnp_addr a;
    const path *p = NULL;
    sim_file *f;
    int r;

    gnp_sim_call();
    *out = -1;
    if (strlen(name) <= GNP_UNIX_PATH_MAX) {
        path_addr(&a, name);
        p = *path_at(&a);
    }
    if (p == NULL)
        return gnp_sim_error(GNP_ENOENT);
    if (!p->is_file)
        return gnp_sim_error(GNP_EIO); /* open(2) of a socket: ENXIO */
    r = SIM_MISFORTUNE(sim.knobs.sock_error, GNP_ENFILE, GNP_EMFILE, GNP_EACCES, GNP_EIO);
    if (r != GNP_OK)
        return gnp_sim_error(r);
    f = gnp_sim_file_new(SIM_DATA, 0, 1);
    f->data = p->data;
    f->size = p->n;
    r = gnp_sim_open(f, out);
    if (r != GNP_OK)
        gnp_sim_file_unref(f, 0);
    return gnp_sim_error(r);
}

int gnp_file_size(intptr_t file, uint64_t *size)
{
    const sim_file *f = gnp_sim_look(file);

    gnp_sim_call();
    if (f == NULL || f->kind != SIM_DATA)
        return gnp_sim_error(GNP_EINVAL);
    *size = f->size;
    return GNP_OK;
}

/* Of the process that is simulated: everybody is the same one. */
int gnp_sock_cred(const gnp_sock *s, gnp_cred *out)
{
    gnp_sim_call();
    if (s->family != GNP_FAMILY_UNIX || s->kind != GNP_STREAM)
        return gnp_sim_error(GNP_ENOTSUP);
    *out = (gnp_cred){ 100, 1000, 1000 };
    return GNP_OK;
}

/* ------------------------------------------------------------------- groups */

static int is_group(const sim_file *f, const gnp_addr *g)
{
    if (f->kind != SIM_DGRAM || f->family != g->family)
        return 0;
    return g->family == GNP_FAMILY_IPV4 ? g->u.ip[0] >= 224 && g->u.ip[0] < 240 : g->u.ip[0] == 0xff;
}

static unsigned group_at(const sim_file *f, const gnp_addr *g)
{
    unsigned i = 0;

    while (i < f->group_count && !gnp_sim_addr_same(&f->groups[i], g))
        i++;
    return i;
}

int gnp_sock_join(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    sim_file *f = gnp_sim_get(s->os);

    gnp_sim_call();
    if (!is_group(f, group))
        return gnp_sim_error(GNP_EINVAL);
    if (interface_index > 1)
        return gnp_sim_error(GNP_ENOENT);
    if (group_at(f, group) < f->group_count)
        return gnp_sim_error(GNP_EADDRINUSE);
    if (f->group_count == sizeof(f->groups) / sizeof(f->groups[0]))
        return gnp_sim_error(GNP_ENOBUFS);
    if (gnp_sim_fault(sim.knobs.sock_error))
        return gnp_sim_error(GNP_ENOBUFS);
    f->groups[f->group_count++] = *group;
    return GNP_OK;
}

int gnp_sock_leave(const gnp_sock *s, const gnp_addr *group, unsigned interface_index)
{
    sim_file *f = gnp_sim_get(s->os);
    unsigned i = group_at(f, group);

    (void)interface_index;
    gnp_sim_call();
    if (!is_group(f, group))
        return gnp_sim_error(GNP_EINVAL);
    if (i == f->group_count)
        return gnp_sim_error(GNP_EADDRNOTAVAIL);
    f->groups[i] = f->groups[--f->group_count];
    return GNP_OK;
}

/* ------------------------------------------------------------- what there is */

int gnp_reuseport_by_cpu(const gnp_sock *s, unsigned n)
{
    (void)s;
    (void)n;
    return gnp_sim_error(GNP_ENOTSUP);
}

int gnp_reuseport_balances(int kind, int both)
{
    (void)kind;
    (void)both;
    return sim.knobs.reuseport_balances;
}

int gnp_inherited_take(gnp_inherited *out, int cap)
{
    (void)out;
    (void)cap;
    return 0;
}

int gnp_has_ipv6(void)
{
    return sim.knobs.no_ipv6 != 1;
}

int gnp_reserve_take(gnp_reserve *r)
{
    sim_file *f;
    int code;

    if (r->os >= 0)
        return GNP_OK;
    gnp_sim_call();
    f = gnp_sim_file_new(SIM_OTHER, 0, 1);
    code = gnp_sim_fault(sim.knobs.sock_error) ? GNP_EMFILE : gnp_sim_open(f, &r->os);
    if (code != GNP_OK)
        gnp_sim_file_unref(f, 0);
    gnp_sim_mark("reserve", r->os, 0, code);
    return gnp_sim_error(code);
}

void gnp_reserve_release(gnp_reserve *r)
{
    gnp_sim_call();
    if (r->os >= 0)
        gnp_sim_shut(r->os, 0);
    r->os = -1;
}
