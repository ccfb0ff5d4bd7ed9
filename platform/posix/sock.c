/* SPDX-License-Identifier: MIT */
/* Detached sockets: made, bound, listening. */
#include "dgram.h"
#include "native.h"
#include "posix.h"
#include "sock_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static int clamp_int(size_t n)
{
    return n < 0x7fffffff ? (int)n : 0x7fffffff;
}

/* The options that go before bind and connect.  GNP_OK or an error. */
static int set_options(int fd, int family, int kind, const gnp_sock_opts *o)
{
    int ip = family != GNP_FAMILY_UNIX;

    /* Not for datagrams, but for groups, see gnp_dgram_open: they have no TIME_WAIT, and on Linux it would
     * let two servers take one port. */
    if (ip && kind != GNP_DGRAM && o->reuseaddr && set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
        return gnp_px_fail(errno);
    if (ip && o->reuseport == GNP_SHARED && gnp_px_os_reuseport(fd) != 0)
        return gnp_px_fail(errno);
    if (ip && o->device != NULL && gnp_px_os_device(fd, o->device) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}

static int set_buffers(gnp_sock *s, const gnp_sock_opts *o)
{
    int r = o->rcvbuf != 0 ? gnp_sock_set(s, GNP_OPT_RECV_BUFFER, clamp_int(o->rcvbuf)) : GNP_OK;

    if (r == GNP_OK && o->sndbuf != 0)
        r = gnp_sock_set(s, GNP_OPT_SEND_BUFFER, clamp_int(o->sndbuf));
    return r;
}

/* A member of gnp_sock_opts; 0: not asked for.  Where the system has no such time, its own holds. */
static int set_if(gnp_sock *s, int opt, unsigned value)
{
    int r = value != 0 ? gnp_sock_set(s, opt, value) : GNP_OK;

    return r == GNP_ENOTSUP && opt != GNP_OPT_KEEPALIVE ? GNP_OK : r;
}

/* Those of streams and listeners that have a number. */
static int set_tcp(gnp_sock *s, const gnp_sock_opts *o)
{
    int r;

    if (s->family == GNP_FAMILY_UNIX || s->kind == GNP_DGRAM)
        return GNP_OK;
    if (o->nodelay && (r = gnp_sock_set(s, GNP_OPT_NODELAY, 1)) != GNP_OK)
        return r;
    if (o->keepalive_s == 0)
        return GNP_OK;
    if ((r = set_if(s, GNP_OPT_KEEPALIVE, o->keepalive_s)) != GNP_OK)
        return r;
    if ((r = set_if(s, GNP_OPT_KEEPALIVE_INTVL, o->keepalive_intvl_s)) != GNP_OK)
        return r;
    return set_if(s, GNP_OPT_KEEPALIVE_COUNT, o->keepalive_count);
}

static int set_list(gnp_sock *s, const gnp_sock_opts *o)
{
    unsigned i;
    int r = GNP_OK;

    for (i = 0; i < o->opt_count && r == GNP_OK; i++)
        r = gnp_sock_set(s, o->opts[i].opt, o->opts[i].value);
    return r;
}

/* Closes after a failure without losing what failed. */
static int give_up(gnp_sock *s, int code)
{
    close((int)s->os);
    memset(s, 0, sizeof(*s));
    s->os = -1;
    return code;
}

int gnp_px_socket(gnp_sock *s, int family, int kind, const gnp_sock_opts *o)
{
    static const gnp_sock_opts none = { .v6only = -1 };
    int domain = gnp_px_domain(family);
    int fd, r;

    if (o == NULL)
        o = &none;
    if (domain < 0 || (family == GNP_FAMILY_UNIX && kind == GNP_DGRAM))
        return GNP_ENOTSUP;
    fd = gnp_px_os_socket(domain, kind == GNP_DGRAM ? SOCK_DGRAM : SOCK_STREAM);
    if (fd < 0)
        return gnp_px_fail(errno);
    memset(s, 0, sizeof(*s));
    s->os = fd;
    s->kind = (uint8_t)kind;
    s->family = (uint8_t)family;
    r = set_options(fd, family, kind, o);
    if (r == GNP_OK)
        r = set_buffers(s, o);
    if (r == GNP_OK)
        r = set_tcp(s, o);
    if (r == GNP_OK)
        r = set_list(s, o);
    return r == GNP_OK ? GNP_OK : give_up(s, r);
}

int gnp_px_bind(const gnp_sock *s, const gnp_addr *a)
{
    gnp_native native;
    unsigned len = gnp_px_to_native(a, s->family, &native);

    if (len == 0)
        return gnp_px_no_native(a);
    if (bind((int)s->os, &native.sa, len) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}

/*
 * OpenBSD and DragonFly never let IPv4 into IPv6 sockets.  One refuses to turn that on (EINVAL), of the other
 * versions are known that say yes and leave it off.  It matters to sockets for every address only.
 */
static int set_v6only(const gnp_sock *s, const gnp_addr *a, const gnp_sock_opts *o)
{
    int only = 1, r;
    socklen_t len = sizeof(only);

    if (a->family != GNP_FAMILY_IPV6 || o == NULL || o->v6only < 0)
        return GNP_OK;
    r = set_int((int)s->os, IPPROTO_IPV6, IPV6_V6ONLY, o->v6only);
    if (o->v6only != 0)
        return r == 0 ? GNP_OK : gnp_px_fail(errno);
    if (!gnp_addr_is_any(a))
        return GNP_OK;
    if (r == 0 && getsockopt((int)s->os, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && !only)
        return GNP_OK;
    return gnp_px_fail(EOPNOTSUPP);
}

/*
 * FreeBSD and DragonFly put a socket into the group when it is bound; who takes the option later gets
 * nothing.  There another socket binds as if it were alone, lets the others in, and goes when the first of
 * them has come.
 */
static int bind_behind(const gnp_sock *s, const gnp_addr *a, const gnp_sock_opts *o)
{
    gnp_sock_opts bare = { .v6only = o->v6only, .reuseaddr = o->reuseaddr };
    gnp_addr at;
    gnp_sock holder = { .os = -1 };
    int r = gnp_px_socket(&holder, a->family, s->kind, &bare);

    if (r == GNP_OK)
        r = set_v6only(&holder, a, &bare);
    if (r == GNP_OK)
        r = gnp_px_bind(&holder, a);
    if (r == GNP_OK)
        r = gnp_sock_local(&holder, &at);
    if (r == GNP_OK && gnp_px_os_reuseport((int)s->os) != 0)
        r = gnp_px_fail(errno);
    if (r == GNP_OK && gnp_px_os_reuseport((int)holder.os) != 0)
        gnp_sock_close(&holder, 0); /* no more once it is bound: somebody may come in between */
    if (r == GNP_OK)
        r = gnp_px_bind(s, &at);
    gnp_sock_close(&holder, 0);
    return r;
}

/*
 * The first of several sockets to share a port binds as if it were alone, so that it fails where
 * somebody else is, and a port that the system picks is a free one; then it lets the others in.
 */
static int bind_ip(const gnp_sock *s, const gnp_addr *a, const gnp_sock_opts *o)
{
    int first = o != NULL && o->reuseport == GNP_SHARED_FIRST;
    int r = set_v6only(s, a, o);

    if (r != GNP_OK)
        return r;
    if (first && gnp_px_group_at_bind)
        return bind_behind(s, a, o);
    r = gnp_px_bind(s, a);
    if (r == GNP_OK && first && gnp_px_os_reuseport((int)s->os) != 0)
        r = gnp_px_fail(errno);
    return r;
}

int gnp_listen(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o, gnp_bound *bound)
{
    gnp_bound mine;
    int backlog = o != NULL && o->backlog > 0 ? o->backlog : gnp_px_backlog_max;
    int r;

    if (bound == NULL)
        bound = &mine;
    memset(bound, 0, sizeof(*bound));
    out->os = -1;
    r = gnp_px_socket(out, a->family, GNP_LISTENER, o);
    if (r != GNP_OK)
        return r;
    if (a->family == GNP_FAMILY_UNIX)
        r = gnp_px_bind_path(out, a, o != NULL ? o->unix_mode : 0, bound);
    else
        r = bind_ip(out, a, o);
    if (r == GNP_OK && listen((int)out->os, backlog) != 0)
        r = gnp_px_fail(errno);
    if (r == GNP_OK)
        return GNP_OK;
    gnp_unlink_bound(a, bound);
    memset(bound, 0, sizeof(*bound));
    return give_up(out, r);
}

int gnp_dgram_open(gnp_sock *out, const gnp_addr *a, const gnp_sock_opts *o)
{
    int r;

    out->os = -1;
    r = gnp_px_socket(out, a->family, GNP_DGRAM, o);
    if (r != GNP_OK)
        return r;
    /* Of a group everybody who has bound it gets a copy, if all of them allow it. */
    if (o != NULL && o->reuseaddr && gnp_px_is_group(a) &&
        set_int((int)out->os, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
        return give_up(out, gnp_px_fail(errno));
    r = bind_ip(out, a, o);
    return r == GNP_OK ? GNP_OK : give_up(out, r);
}

void gnp_px_close_fd(gnp_sock *s, int reset)
{
    if (reset && s->kind == GNP_STREAM) {
        struct linger now = { 1, 0 };
        setsockopt((int)s->os, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    /* Not again on EINTR: the descriptor is gone on every system that is known, and its
     * number may be another thread's by now. */
    close((int)s->os);
    s->os = -1;
}

void gnp_sock_close(gnp_sock *s, int reset)
{
    if (s->os >= 0)
        gnp_px_close_fd(s, reset);
}

/* After a reset, or a shutdown of both ways, there is no name: EINVAL (the BSDs), ECONNRESET (DragonFly). */
static int name_fail(int e)
{
    return gnp_px_fail(e == EINVAL || e == ECONNRESET ? ENOTCONN : e);
}

int gnp_sock_local(const gnp_sock *s, gnp_addr *out)
{
    gnp_native native;
    socklen_t len = sizeof(native);

    if (getsockname((int)s->os, &native.sa, &len) != 0)
        return name_fail(errno);
    gnp_px_from_native(&native, (unsigned)len, out);
    return GNP_OK;
}

int gnp_sock_peer(const gnp_sock *s, gnp_addr *out)
{
    gnp_native native;
    socklen_t len = sizeof(native);

    if (getpeername((int)s->os, &native.sa, &len) != 0)
        return name_fail(errno);
    gnp_px_from_native(&native, (unsigned)len, out);
    return GNP_OK;
}

int gnp_has_ipv6(void)
{
    int fd = gnp_px_os_socket(AF_INET6, SOCK_STREAM);

    if (fd < 0)
        return 0;
    close(fd);
    return 1;
}

int gnp_reserve_take(gnp_reserve *r)
{
    if (r->os >= 0)
        return GNP_OK;
    r->os = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return r->os >= 0 ? GNP_OK : gnp_px_fail(errno);
}

void gnp_reserve_release(gnp_reserve *r)
{
    if (r->os >= 0)
        close((int)r->os);
    r->os = -1;
}
