/* SPDX-License-Identifier: MIT */
#include "conform.h"

#define VARIANTS_MAX 32

typedef struct variant {
    const char *name;
    int edge;
} variant;

static variant variants[VARIANTS_MAX];
static int variant_n;
static transport transports[TRANSPORTS];
static int transport_n;

static const char *const transport_names[TRANSPORTS] = { "tcp4", "tcp6", "unix" };

/* ---------------------------------------------------------- combinations */

static void find_pollers(void)
{
    const char *name;
    unsigned i;
    int works;

    for (i = 0; (name = gnp_poller_name(i, &works)) != NULL && variant_n + 2 <= VARIANTS_MAX; i++) {
        gnp_poller_config c = { .name = name };
        gnp_poller *p;
        if (!works || gnp_poller_open(&p, &c) != GNP_OK) {
            printf("poller %s does not work here\n", name);
            continue;
        }
        variants[variant_n++] = (variant){ name, 0 };
        if (gnp_poller_caps(p) & GNP_CAP_EDGE)
            variants[variant_n++] = (variant){ name, 1 };
        gnp_poller_close(p);
    }
}

static int transport_works(transport tp)
{
    gnp_sock_opts o = { .v6only = -1 };
    gnp_addr a;
    gnp_bound b;
    gnp_sock s;
    char path[32];

    temp_name(path, sizeof(path), "probe");
    if (tp == UNIX_STREAM)
        unix_addr(&a, path);
    else if (gnp_ip_parse(tp == TCP4 ? "127.0.0.1" : "::1", &a) != GNP_OK)
        return 0;
    if (gnp_listen(&s, &a, &o, &b) != GNP_OK)
        return 0;
    gnp_sock_close(&s, 0);
    gnp_unlink_bound(&a, &b);
    return 1;
}

int has_unix(void)
{
    if (transport_works(UNIX_STREAM))
        return 1;
    ck_assert_msg(emulator_lacks("unix-sockets", NULL), "no Unix sockets here");
    printf("no Unix sockets here\n");
    return 0;
}

static void find_combinations(void)
{
    int i;

    find_pollers();
    for (i = 0; i < TRANSPORTS; i++) {
        if (transport_works((transport)i))
            transports[transport_n++] = (transport)i;
        else
            printf("%s does not work here\n", transport_names[i]);
    }
    for (i = 0; i < stream_count(); i++) {
        const variant *v = &variants[i % variant_n];
        printf("combination %d: %s %s %s\n", i, v->name, v->edge ? "edge" : "level",
               transport_names[transports[i / variant_n]]);
    }
}

/* The loop index of a poller test is that of the combination with the first transport. */
int poller_count(void)
{
    return variant_n;
}

int stream_count(void)
{
    return variant_n * transport_n;
}

void subject_open_poller(subject *t, int i, const gnp_poller_config *config)
{
    gnp_poller_config c = { 0 };

    memset(t, 0, sizeof(*t));
    if (config != NULL)
        c = *config;
    c.name = t->name = variants[i % variant_n].name;
    c.edge = t->edge = variants[i % variant_n].edge;
    ck_assert_int_eq(gnp_sys_init(), GNP_OK);
    ck_assert_int_eq(gnp_poller_open(&t->p, &c), GNP_OK);
    ck_assert_str_eq(gnp_poller_backend(t->p), c.name);
    ck_assert_int_eq(gnp_poller_open(&t->q, NULL), GNP_OK);
}

void subject_open_stream(subject *t, int i, const gnp_poller_config *config)
{
    gnp_sock_opts o = { .v6only = -1, .reuseaddr = 1, .nodelay = 1 };

    subject_open_poller(t, i, config);
    t->tp = transports[i / variant_n];
    if (t->tp == UNIX_STREAM) {
        temp_name(t->path, sizeof(t->path), "s");
        unix_addr(&t->addr, t->path);
    } else {
        ip_addr(&t->addr, t->tp == TCP4 ? "127.0.0.1" : "::1", 0);
    }
    ck_assert_int_eq(gnp_listen(&t->listener, &t->addr, &o, &t->bound), GNP_OK);
    if (t->tp != UNIX_STREAM)
        ck_assert_int_eq(gnp_sock_local(&t->listener, &t->addr), GNP_OK);
    ck_assert_int_eq(gnp_attach(t->p, &t->listener, GNP_READ), GNP_OK);
    t->listening = 1;
}

void subject_close(subject *t)
{
    if (t->listening) {
        ck_assert_int_eq(gnp_close(t->p, &t->listener, 0), GNP_OK);
        gnp_unlink_bound(&t->addr, &t->bound);
    }
    gnp_poller_close(t->p);
    gnp_poller_close(t->q);
}

/* ----------------------------------------------------------------- steps */

int step(subject *t, int cap, uint64_t deadline)
{
    int i;

    memset(t->ev, 0xee, sizeof(t->ev));
    t->n = gnp_poller_wait(t->p, t->ev, cap, deadline);
    ck_assert_int_ge(t->n, 0);
    ck_assert_int_le(t->n, cap);
    if (t->n == 0)
        ck_assert(deadline <= gnp_now());
    for (i = 0; i < t->n; i++) {
        ck_assert_uint_ne(t->ev[i].what, 0);
        ck_assert((t->ev[i].sock == NULL) == (t->ev[i].what == GNP_EV_WOKEN));
    }
    return t->n;
}

gnp_event *event_of(subject *t, const gnp_sock *s)
{
    int i;

    for (i = 0; i < t->n; i++) {
        if (t->ev[i].sock == s)
            return &t->ev[i];
    }
    return NULL;
}

void await(subject *t, const gnp_sock *s, uint32_t what)
{
    uint64_t limit = gnp_now() + PATIENCE;
    gnp_event *e;

    do {
        step(t, ROUND, limit);
        e = event_of(t, s);
        ck_assert_msg(gnp_now() < limit, "event %u did not come", (unsigned)what);
    } while (e == NULL || (e->what & what) == 0);
}

void quiet(subject *t, const gnp_sock *s, uint32_t what)
{
    uint64_t end = gnp_now() + QUIET;
    int waits = 0, i;

    while (gnp_now() < end) {
        step(t, ROUND, end);
        waits++;
        for (i = 0; i < t->n; i++) {
            /* Who owes a socket bytes is reminded at each wait; a slow system goes on making room. */
            if (t->ev[i].sock == s && t->ev[i].what == GNP_EV_WRITABLE && (what & GNP_EV_WRITABLE) == 0)
                waits--;
            ck_assert_msg((s != NULL && t->ev[i].sock != s) || (t->ev[i].what & what) == 0,
                          "event %u came", (unsigned)t->ev[i].what);
        }
    }
    ck_assert_msg(waits <= 4, "%d waits in a time of quiet", waits);
}

/* ----------------------------------------------------------------- peers */

static void await_peer(subject *t, const gnp_sock *peer, uint32_t what)
{
    uint64_t limit = gnp_now() + PATIENCE;
    int i, n;

    for (;;) {
        n = gnp_poller_wait(t->q, t->qev, ROUND, limit);
        ck_assert_int_ge(n, 0);
        for (i = 0; i < n; i++) {
            if (t->qev[i].sock == peer && (t->qev[i].what & what))
                return;
        }
        ck_assert_msg(gnp_now() < limit, "the peer's event %u did not come", (unsigned)what);
    }
}

void peer_connect(subject *t, gnp_sock *peer)
{
    gnp_sock_opts o = { .v6only = -1, .nodelay = 1 };
    int r = gnp_connect(t->q, peer, GNP_STREAM, &t->addr, NULL, &o);

    ck_assert_msg(r == GNP_OK || r == GNP_INFLIGHT, "connect: %d", r);
    if (r == GNP_OK)
        return;
    await_peer(t, peer, GNP_EV_WRITABLE);
    ck_assert_int_eq(gnp_connect_end(t->q, peer), GNP_OK);
}

void accept_only(subject *t, gnp_sock *s)
{
    gnp_sock none;

    await(t, &t->listener, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_accept(t->p, &t->listener, s, NULL), GNP_OK);
    ck_assert_int_eq(gnp_accept(t->p, &t->listener, &none, NULL), GNP_AGAIN);
}

void pair(subject *t, gnp_sock *s, gnp_sock *peer, unsigned interest)
{
    peer_connect(t, peer);
    accept_only(t, s);
    ck_assert_int_eq(gnp_attach(t->p, s, interest), GNP_OK);
}

void pair_dialed(subject *t, gnp_sock *s, gnp_sock *peer, unsigned interest)
{
    gnp_sock_opts o = { .v6only = -1, .nodelay = 1 };
    int r = gnp_connect(t->p, s, GNP_STREAM, &t->addr, NULL, &o);

    ck_assert_msg(r == GNP_OK || r == GNP_INFLIGHT, "connect: %d", r);
    if (r == GNP_INFLIGHT) {
        await(t, s, GNP_EV_WRITABLE);
        ck_assert_int_eq(gnp_connect_end(t->p, s), GNP_OK);
    }
    accept_only(t, peer);
    ck_assert_int_eq(gnp_attach(t->q, peer, 0), GNP_OK);
    ck_assert_int_eq(gnp_want(t->p, s, interest), GNP_OK);
}

void peer_send(subject *t, gnp_sock *peer, const void *data, size_t n)
{
    gnp_iov v = { data, n };

    while (v.len > 0) {
        size_t sent = 0;
        int r = gnp_send(t->q, peer, &v, 1, 0, &sent);
        ck_assert_msg(r == GNP_OK || r == GNP_AGAIN, "the peer's send: %d", r);
        if (r == GNP_AGAIN)
            await_peer(t, peer, GNP_EV_WRITABLE);
        v.base = (const char *)v.base + sent;
        v.len -= sent;
    }
}

size_t peer_fill(subject *t, gnp_sock *peer, uint64_t *offset, size_t limit)
{
    static unsigned char buf[65536];
    size_t total = 0;
    int r = GNP_OK;

    while (total < limit && r == GNP_OK) {
        size_t n = limit - total < sizeof(buf) ? limit - total : sizeof(buf), sent = 0;
        gnp_iov v = { buf, n };
        stream_fill(buf, *offset, n);
        r = gnp_send(t->q, peer, &v, 1, 0, &sent);
        ck_assert_msg(r == GNP_OK || r == GNP_AGAIN, "the peer's send: %d", r);
        *offset += sent;
        total += sent;
        if (sent < n)
            break;
    }
    return total;
}

/* want NULL: the stream from offset on. */
static void peer_compare(subject *t, gnp_sock *peer, const unsigned char *want, uint64_t offset, size_t n)
{
    ck_assert_int_eq(gnp_want(t->q, peer, GNP_READ), GNP_OK);
    while (n > 0) {
        const void *data;
        size_t got;
        int r = gnp_recv(t->q, peer, &data, &got);
        ck_assert_msg(r == GNP_OK || r == GNP_AGAIN, "the peer's receive: %d", r);
        if (r == GNP_AGAIN) {
            await_peer(t, peer, GNP_EV_READABLE);
            continue;
        }
        ck_assert_uint_le(got, n);
        ck_assert(want != NULL ? memcmp(data, want, got) == 0 : stream_matches(data, offset, got));
        want = want != NULL ? want + got : NULL;
        offset += got;
        n -= got;
        gnp_recv_done(t->q, peer);
    }
    ck_assert_int_eq(gnp_want(t->q, peer, 0), GNP_OK);
}

void peer_expect(subject *t, gnp_sock *peer, uint64_t *offset, size_t n)
{
    peer_compare(t, peer, NULL, *offset, n);
    *offset += n;
}

void peer_expect_bytes(subject *t, gnp_sock *peer, const unsigned char *want, size_t n)
{
    peer_compare(t, peer, want, 0, n);
}

void peer_close(subject *t, gnp_sock *peer, int reset)
{
    ck_assert_int_eq(gnp_close(t->q, peer, reset), GNP_OK);
}

void expect(subject *t, gnp_sock *s, uint64_t *offset, size_t n)
{
    while (n > 0) {
        const void *data;
        size_t got;
        int r;
        await(t, s, GNP_EV_READABLE);
        r = gnp_recv(t->p, s, &data, &got);
        if (r == GNP_AGAIN)
            continue;
        ck_assert_int_eq(r, GNP_OK);
        ck_assert_uint_gt(got, 0);
        ck_assert_uint_le(got, n);
        ck_assert(stream_matches(data, *offset, got));
        *offset += got;
        n -= got;
        gnp_recv_done(t->p, s);
    }
}

int drain(subject *t, gnp_sock *s, size_t *total)
{
    *total = 0;
    for (;;) {
        const void *data;
        size_t got;
        int r;
        await(t, s, GNP_EV_READABLE);
        r = gnp_recv(t->p, s, &data, &got);
        if (r == GNP_OK) {
            *total += got;
            gnp_recv_done(t->p, s);
        } else if (r != GNP_AGAIN) {
            return r;
        }
    }
}

/* --------------------------------------------------------------- helpers */

/* The period is a prime, so that no power of two hides a shift. */
void stream_fill(unsigned char *out, uint64_t offset, size_t n)
{
    unsigned at = (unsigned)(offset % 251);
    size_t i;

    for (i = 0; i < n; i++) {
        out[i] = (unsigned char)at;
        at = at == 250 ? 0 : at + 1;
    }
}

int stream_matches(const void *data, uint64_t offset, size_t n)
{
    const unsigned char *p = data;
    unsigned at = (unsigned)(offset % 251);
    size_t i;

    for (i = 0; i < n; i++) {
        if (p[i] != at)
            return 0;
        at = at == 250 ? 0 : at + 1;
    }
    return 1;
}

int emulator_lacks(const char *feature, const char *test)
{
    const char *at = gnp_env("GANNET_EMULATOR_LACKS");
    size_t n = strlen(feature);

    for (; at != NULL && (at = strstr(at, feature)) != NULL; at += n) {
        if (at[n] == ' ' || at[n] == '\0') {
            if (test != NULL)
                printf("case skipped: %s: the emulator does not pass on %s\n", test, feature);
            return 1;
        }
    }
    return 0;
}

unsigned scaled(unsigned n, unsigned least)
{
    const char *text = gnp_env("GANNET_TEST_SCALE");
    double scale = text != NULL ? strtod(text, NULL) : 1.0;
    unsigned some = scale > 0 && scale < 1 ? (unsigned)(n * scale) : n;

    return some > least ? some : least;
}

void temp_name(char *out, size_t cap, const char *what)
{
    static unsigned count;
    uint64_t x = gnp_wall() ^ gnp_now() << 20 ^ (uint64_t)(uintptr_t)out;

    snprintf(out, cap, "cf-%s-%08x-%u", what, (unsigned)(x ^ x >> 32), count++);
}

void unix_addr(gnp_addr *a, const char *path)
{
    size_t n = strlen(path);

    memset(a, 0, sizeof(*a));
    a->family = GNP_FAMILY_UNIX;
    a->len = (uint8_t)n;
    memcpy(a->u.path, path, n < GNP_UNIX_PATH_MAX ? n : GNP_UNIX_PATH_MAX);
}

void ip_addr(gnp_addr *a, const char *ip, uint16_t port)
{
    ck_assert_int_eq(gnp_ip_parse(ip, a), GNP_OK);
    a->port = port;
}

TCase *case_of(Suite *s, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, system_begin, system_end);
    suite_add_tcase(s, tc);
    return tc;
}

/* For the script "environment": the poller that is taken when nobody names one, or the error;
 * and all that work here. */
static int tell_pollers(void)
{
    gnp_poller *p;
    const char *name;
    unsigned i;
    int works, r = gnp_poller_open(&p, NULL);

    if (r == GNP_OK) {
        printf("%s\n", gnp_poller_backend(p));
        gnp_poller_close(p);
    } else {
        printf("error %d\n", r);
    }
    for (i = 0; (name = gnp_poller_name(i, &works)) != NULL; i++) {
        if (works)
            printf("%s\n", name);
    }
    return EXIT_SUCCESS;
}

/* For the script "inherited": what a service manager passed, and what a second look finds. */
static int tell_inherited(int cap)
{
    gnp_inherited in[8];
    int i, n = gnp_inherited_take(in, cap);

    printf("%d\n", n);
    for (i = 0; i < n; i++)
        printf("%d %s\n", (int)in[i].os, in[i].name);
    printf("then %d%s\n", gnp_inherited_take(in, cap),
           gnp_env("LISTEN_PID") || gnp_env("LISTEN_FDS") || gnp_env("LISTEN_FDNAMES") ? ", still set" : "");
    for (i = 3; i < 8; i++) {
        intptr_t os;
        if (gnp_descriptor_dup(i, &os) == GNP_OK)
            printf("open %d\n", i);
        gnp_descriptor_close(os);
    }
    return EXIT_SUCCESS;
}

/* For the script "permissions": a listener's path, which stays behind. */
static int leave_path(const char *path, const char *mode)
{
    gnp_sock_opts o = { .v6only = -1, .unix_mode = (unsigned)strtoul(mode, NULL, 8) };
    gnp_addr a;
    gnp_sock l;
    int r;

    unix_addr(&a, path);
    r = gnp_listen(&l, &a, &o, NULL);
    printf("%d\n", r);
    gnp_sock_close(&l, 0);
    return EXIT_SUCCESS;
}

static SRunner *all_suites(void)
{
    SRunner *r = srunner_create(suite_poller());
    Suite *port;

    srunner_add_suite(r, suite_wait());
    srunner_add_suite(r, suite_read());
    srunner_add_suite(r, suite_write());
    srunner_add_suite(r, suite_close());
    srunner_add_suite(r, suite_connect());
    srunner_add_suite(r, suite_accept());
    srunner_add_suite(r, suite_dgram());
    srunner_add_suite(r, suite_detach());
    srunner_add_suite(r, suite_rights());
    srunner_add_suite(r, suite_sendfile());
    srunner_add_suite(r, suite_special());
    srunner_add_suite(r, suite_option());
    srunner_add_suite(r, suite_descriptor());
    srunner_add_suite(r, suite_listen());
    srunner_add_suite(r, suite_addr());
    srunner_add_suite(r, suite_thread());
    srunner_add_suite(r, suite_sys());
    if ((port = suite_port()) != NULL)
        srunner_add_suite(r, port);
    add_signal_suite(r);
    return r;
}

static int run_pass(int pass)
{
    const char *name = system_pass(pass);
    SRunner *r = all_suites();
    int failed;

    if (name != NULL)
        printf("pass %d: %s\n", pass, name);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r) + system_judge(r);
    srunner_free(r);
    return failed;
}

int main(int argc, char **argv)
{
    int pass, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (gnp_sys_init() != GNP_OK)
        return EXIT_FAILURE;
    if (argc == 2 && strcmp(argv[1], "--pollers") == 0)
        return tell_pollers();
    if (argc == 3 && strcmp(argv[1], "--inherited") == 0)
        return tell_inherited(atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "--leave-path") == 0)
        return leave_path(argv[2], argv[3]);
    system_begin();
    gnp_descriptor_limit(1);
    find_combinations();
    system_end();
    for (pass = 0; pass < system_passes(); pass++)
        failed += run_pass(pass);
    return failed == 0 && variant_n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
