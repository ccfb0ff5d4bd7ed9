/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <signal.h> /* raise is of the C standard */
#include <stdarg.h>
#include <stdio.h>

/* ---------------------------------------------------------------- environment */

static double env_number(const char *name, double otherwise)
{
    const char *text = getenv(name);
    double value = text != NULL ? strtod(text, NULL) : 0;
    return value > 0 ? value : otherwise;
}

int nt_wrapped(void)
{
    const char *wrapper = getenv("GANNET_EXEWRAP");
    return wrapper != NULL && *wrapper != '\0';
}

/* How much slower than alone: tests/tools/run-test tells of a wrapper such as valgrind, configure of
 * sanitizers. */
static double slowness(void)
{
    const char *instruments = getenv("GANNET_INSTRUMENTED");
    if (nt_wrapped())
        return 15;
    return instruments != NULL && strstr(instruments, "sanitize") != NULL ? 4 : 1;
}

double nt_scale(void)
{
    return env_number("GANNET_TEST_SCALE", slowness() > 10 ? 0.1 : slowness() > 1 ? 0.4 : 1.0);
}

unsigned nt_scaled(unsigned n, unsigned least)
{
    double scaled = n * nt_scale();
    return scaled < least ? least : (unsigned)scaled;
}

uint64_t nt_patience(void)
{
    return (uint64_t)(20.0 * (double)NT_SECOND * slowness() * env_number("CK_TIMEOUT_MULTIPLIER", 1.0));
}

uint64_t nt_deadline(void)
{
    return gnp_now() + nt_patience();
}

int nt_forks(void)
{
    const char *fork = getenv("CK_FORK");
    return fork == NULL || strcmp(fork, "no") != 0;
}

/* A directory that can be written: C has no other way to learn it than to try. */
static const char *temporary(void)
{
    static const char *dir;
    const char *tries[] = { getenv("GANNET_TEST_TMP"), getenv("TMPDIR"), "/tmp", "." };
    for (unsigned i = 0; dir == NULL && i < sizeof(tries) / sizeof(tries[0]); i++) {
        char path[512];
        FILE *f;
        if (tries[i] == NULL || strlen(tries[i]) > 60)
            continue; /* 60: the names below must still fit into sun_path */
        snprintf(path, sizeof(path), "%s/gnt%llx", tries[i], (unsigned long long)gnp_wall());
        f = fopen(path, "w");
        if (f == NULL)
            continue;
        fclose(f);
        remove(path);
        dir = tries[i];
    }
    return dir != NULL ? dir : ".";
}

const char *nt_path(void)
{
    static char paths[8][100];
    static unsigned next;
    char *path = paths[next % 8];
    snprintf(path, sizeof(paths[0]), "%s/gnt%llx-%llx-%u", temporary(), (unsigned long long)gnp_thread_id(),
             (unsigned long long)(gnp_wall() & 0xffffffffffu), next);
    next++;
    return path;
}

int nt_lacks(const char *feature)
{
    const char *at = gnp_env("GANNET_EMULATOR_LACKS");
    size_t n = strlen(feature);
    for (; at != NULL && (at = strstr(at, feature)) != NULL; at += n) {
        if (at[n] == ' ' || at[n] == '\0')
            return 1;
    }
    return 0;
}

/* Check makes the function's name of the test's. */
void nt_skipped(const char *test, int i, const char *why)
{
    size_t n = strlen(test);
    if (n > 3 && strcmp(test + n - 3, "_fn") == 0)
        n -= 3;
    printf("case skipped: %.*s:%d: %s\n", (int)n, test, i, why);
    fflush(stdout);
}

/* 1: the system takes a listener like that. */
static int listens(const gnp_addr *a, int reuseport)
{
    gnp_sock_opts o = { .v6only = -1, .reuseport = reuseport };
    gnp_bound bound;
    gnp_sock s;
    if (gnp_sys_init() != GNP_OK || gnp_listen(&s, a, &o, &bound) == GNP_ENOTSUP)
        return 0;
    gnp_sock_close(&s, 0);
    gnp_unlink_bound(a, &bound);
    return 1;
}

int nt_has_unix(void)
{
    static int known = -1;
    gnp_addr a = { .family = GNP_FAMILY_UNIX };
    const char *path;
    if (known < 0) {
        path = nt_path();
        a.len = (uint8_t)strlen(path);
        memcpy(a.u.path, path, a.len);
        known = listens(&a, 0);
        ck_assert_msg(known || nt_lacks("unix-sockets"), "no Unix sockets here");
        if (!known)
            printf("no Unix sockets here: the cases with them use TCP\n");
    }
    return known;
}

int nt_pollers(void)
{
    int n = 0, available;
    while (gn_poller_name((unsigned)n, &available) != NULL)
        n++;
    return n;
}

int nt_sharing(int wanted)
{
    static int known = -1;
    gnp_addr a = { .family = GNP_FAMILY_IPV4, .u.ip = { 127, 0, 0, 1 } };
    if (wanted && known < 0) {
        known = listens(&a, GNP_SHARED);
        ck_assert_msg(known || nt_lacks("shared-ports"), "no sharing of ports here");
        if (!known)
            printf("no sharing of ports here: the cases with it do without\n");
    }
    return wanted && known;
}

const char *nt_unix_url(void)
{
    static char urls[8][110];
    static unsigned next;
    char *url = urls[next++ % 8];
    if (!nt_has_unix())
        return "tcp://127.0.0.1:0";
    snprintf(url, sizeof(urls[0]), "unix://%s", nt_path());
    return url;
}

int nt_shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return system(command);
}

int nt_signal(const char *name)
{
    if (!nt_lacks("user-signals"))
        return nt_shell("kill -%s $PPID", name);
    ck_assert(strcmp(name, "TERM") == 0 || strcmp(name, "INT") == 0);
    return raise(strcmp(name, "TERM") == 0 ? SIGTERM : SIGINT);
}

/* ---------------------------------------------------------------- notes */

#define LOG_MAX 32768 /* more are counted, not kept */

static struct {
    gnp_mutex lock;
    gnp_cond changed;
    int ready;
    unsigned count[NT_KINDS];
    nt_entry log[LOG_MAX];
    unsigned logged;
    unsigned wrongs;
    char wrong[1024];
    char name[128];
} notes;

static const char *const what_names[NT_KINDS] = {
    "boot", "shutdown", "open", "traffic", "eof", "close", "tick", "done", "A", "B", "C"
};

void nt_begin(void)
{
    if (!notes.ready) {
        gnp_sys_init();
        ck_assert_int_eq(gnp_mutex_init(&notes.lock), GNP_OK);
        ck_assert_int_eq(gnp_cond_init(&notes.changed), GNP_OK);
        notes.ready = 1;
    } else { /* not forked: what the case before has set, and has not undone as it failed */
        gn_log_set_level(GN_LOG_WARN);
        gn_log_set_sink(NULL, NULL);
        (void)gn_set_allocator(NULL);
    }
    gnp_mutex_lock(&notes.lock);
    memset(notes.count, 0, sizeof(notes.count));
    notes.logged = 0;
    notes.wrongs = 0;
    notes.wrong[0] = '\0';
    notes.name[0] = '\0';
    gnp_mutex_unlock(&notes.lock);
}

void nt_end(void)
{
    nt_verify();
}

void nt_note(nt_what what, uint64_t id, int status)
{
    gnp_mutex_lock(&notes.lock);
    notes.count[what]++;
    if (notes.logged < LOG_MAX) {
        nt_entry *e = &notes.log[notes.logged++];
        e->what = what;
        e->id = id;
        e->status = status;
        e->thread = gnp_thread_id();
        e->when = gnp_now();
    }
    gnp_cond_broadcast(&notes.changed);
    gnp_mutex_unlock(&notes.lock);
}

unsigned nt_count(nt_what what)
{
    unsigned n;
    gnp_mutex_lock(&notes.lock);
    n = notes.count[what];
    gnp_mutex_unlock(&notes.lock);
    return n;
}

void nt_await(nt_what what, unsigned n)
{
    uint64_t deadline = nt_deadline();
    unsigned have;
    gnp_mutex_lock(&notes.lock);
    while (notes.count[what] < n &&
           gnp_cond_wait_until(&notes.changed, &notes.lock, deadline) != GNP_ETIMEDOUT)
        ;
    have = notes.count[what];
    gnp_mutex_unlock(&notes.lock);
    if (have < n) {
        nt_verify();
        ck_abort_msg("%s: waited in vain for %u times %s; saw %u", notes.name, n, what_names[what], have);
    }
}

unsigned nt_logged(void)
{
    unsigned n;
    gnp_mutex_lock(&notes.lock);
    n = notes.logged;
    gnp_mutex_unlock(&notes.lock);
    return n;
}

nt_entry nt_entry_at(unsigned i)
{
    nt_entry e;
    unsigned logged;
    gnp_mutex_lock(&notes.lock);
    logged = notes.logged;
    e = notes.log[i < logged ? i : 0];
    gnp_mutex_unlock(&notes.lock);
    ck_assert_msg(i < logged, "there are %u notes, none number %u", logged, i);
    return e;
}

nt_entry nt_nth(nt_what what, unsigned i)
{
    nt_entry e = { NT_KINDS, 0, 0, 0, 0 };
    int found = 0;
    gnp_mutex_lock(&notes.lock);
    for (unsigned k = 0; !found && k < notes.logged; k++) {
        if (notes.log[k].what != what)
            continue;
        if (i == 0) {
            e = notes.log[k];
            found = 1;
        }
        i--;
    }
    gnp_mutex_unlock(&notes.lock);
    ck_assert_msg(found, "%s was noted too few times", what_names[what]);
    return e;
}

void nt_wrong(const char *file, int line, const char *format, ...)
{
    va_list args;
    gnp_mutex_lock(&notes.lock);
    if (notes.wrongs++ == 0) {
        const char *base = strrchr(file, '/');
        int n = snprintf(notes.wrong, sizeof(notes.wrong), "%s:%d: ", base != NULL ? base + 1 : file, line);
        va_start(args, format);
        vsnprintf(notes.wrong + n, sizeof(notes.wrong) - (size_t)n, format, args);
        va_end(args);
    }
    gnp_mutex_unlock(&notes.lock);
}

unsigned nt_wrongs(void)
{
    unsigned n;
    gnp_mutex_lock(&notes.lock);
    n = notes.wrongs;
    gnp_mutex_unlock(&notes.lock);
    return n;
}

void nt_verify(void)
{
    unsigned n = nt_wrongs();
    ck_assert_msg(n == 0, "%s: %u wrong, first %s", notes.name, n, notes.wrong);
}

void nt_name(const char *name)
{
    snprintf(notes.name, sizeof(notes.name), "%s", name);
}

void nt_abandon(const char *file, int line, const char *condition)
{
    nt_verify();
    ck_abort_msg("%s: %s:%d: waited in vain for %s", notes.name, file, line, condition);
}

/* ---------------------------------------------------------------- payload */

/* splitmix64, Steele, Lea, Flood 2014: any position of its sequence in a few operations. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t nt_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

void nt_fill(uint64_t seed, uint64_t pos, void *out, size_t n)
{
    const uint64_t base = mix(seed);
    unsigned char *p = out;
    while (n > 0) {
        uint64_t word = mix(base + (pos / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15));
        size_t skip = (size_t)(pos % 8);
        size_t part = n < 8 - skip ? n : 8 - skip;
        unsigned char bytes[8];
        memcpy(bytes, &word, sizeof(bytes)); /* this machine's order: both ends are on it */
        memcpy(p, bytes + skip, part);
        p += part;
        pos += part;
        n -= part;
    }
}

size_t nt_match(uint64_t seed, uint64_t pos, const void *data, size_t n)
{
    const unsigned char *p = data;
    size_t done = 0;
    while (done < n) {
        unsigned char want[1024];
        size_t part = n - done < sizeof(want) ? n - done : sizeof(want);
        nt_fill(seed, pos + done, want, part);
        if (memcmp(p + done, want, part) != 0) {
            size_t i = 0;
            while (p[done + i] == want[i])
                i++;
            return done + i;
        }
        done += part;
    }
    return n;
}

/* ---------------------------------------------------------------- engines */

gn_options nt_options(unsigned loops)
{
    gn_options o;
    gn_options_init(&o);
    o.loops = loops;
    return o;
}

gn_engine *nt_start(const gn_handler *h, void *user, const gn_options *o, const char *url, ...)
{
    gn_engine *e = NULL;
    va_list args;
    int status = gn_engine_create(&e, h, user, o);
    ck_assert_msg(status == GN_OK, "create: %s", gn_strerror(status));
    va_start(args, url);
    for (const char *u = url; u != NULL; u = va_arg(args, const char *)) {
        status = gn_engine_listen(e, u);
        ck_assert_msg(status == GN_OK, "listen %s: %s (system's code %d)", u, gn_strerror(status),
                      gn_os_error());
    }
    va_end(args);
    status = gn_engine_start(e);
    ck_assert_msg(status == GN_OK, "start: %s", gn_strerror(status));
    return e;
}

const char *nt_url(gn_engine *e, unsigned i)
{
    static char urls[8][GN_ADDR_TEXT_MAX + 16];
    static unsigned next;
    char *url = urls[next++ % 8];
    int n = gn_engine_url(e, i, url, sizeof(urls[0]));
    ck_assert_msg(n > 0 && n < (int)sizeof(urls[0]), "url of address %u: %d", i, n);
    return url;
}

typedef struct joiner {
    gnp_thread thread;
    gnp_atomic32 done;
    gn_engine *e;
    int status;
} joiner;

static void join_thread(void *arg)
{
    joiner *j = arg;
    j->status = gn_engine_join(j->e);
    gnp_store32(&j->done, 1);
}

int nt_join(gn_engine *e)
{
    static joiner j;
    memset(&j, 0, sizeof(j));
    j.e = e;
    tc_exempt++;
    ck_assert_int_eq(gnp_thread_start(&j.thread, join_thread, &j, "join"), GNP_OK);
    tc_exempt--;
    NT_UNTIL(gnp_load32(&j.done));
    gnp_thread_join(&j.thread);
    return j.status;
}

void nt_stop(gn_engine *e, uint64_t drain_ns)
{
    int status = gn_engine_stop(e, drain_ns);
    ck_assert_msg(status == GN_OK, "stop: %s", gn_strerror(status));
    status = nt_join(e);
    ck_assert_msg(status == GN_OK, "join: %s", gn_strerror(status));
    status = gn_engine_destroy(e);
    ck_assert_msg(status == GN_OK, "destroy: %s", gn_strerror(status));
    nt_verify();
}

gn_action nt_on_boot(gn_engine *e, void *user)
{
    (void)user;
    NT_EXPECT(e != NULL);
    nt_note(NT_BOOT, 0, 0);
    return GN_NONE;
}

void nt_on_shutdown(gn_engine *e, void *user)
{
    (void)e;
    (void)user;
    nt_note(NT_SHUTDOWN, 0, 0);
}

gn_action nt_on_open(gn_conn *c, void *user)
{
    (void)user;
    nt_note(NT_OPEN, gn_conn_handle(c), 0);
    return GN_NONE;
}

gn_action nt_on_close(gn_conn *c, int reason, void *user)
{
    (void)user;
    nt_note(NT_CLOSE, gn_conn_handle(c), reason);
    return GN_NONE;
}

gn_action nt_echo(gn_conn *c, void *user)
{
    size_t n;
    const void *p = gn_conn_peek(c, &n);
    int status = gn_conn_write(c, p, n);
    (void)user;
    if (status != GN_OK)
        nt_wrong(__FILE__, __LINE__, "echo of %zu bytes: %s", n, gn_strerror(status));
    gn_conn_discard(c, n);
    return GN_NONE;
}

/* ---------------------------------------------------------------- client */

#define SCRATCH (256 * NT_KIB)

GNP_THREAD_LOCAL int tc_exempt;

tc_net *tc_net_open(void)
{
    tc_net *n = calloc(1, sizeof(*n));
    gnp_poller_config config;
    int status;
    memset(&config, 0, sizeof(config));
    ck_assert_ptr_nonnull(n);
    n->scratch = malloc(SCRATCH);
    ck_assert_ptr_nonnull(n->scratch);
    n->opts.v6only = -1;
    n->opts.nodelay = 1;
    tc_exempt++;
    status = gnp_poller_open(&n->poller, &config);
    tc_exempt--;
    ck_assert_msg(status == GNP_OK, "the client's poller: %s", gn_strerror(status));
    return n;
}

void tc_net_close(tc_net *n)
{
    tc_exempt++;
    gnp_poller_close(n->poller);
    tc_exempt--;
    free(n->scratch);
    free(n);
}

static void tc_want(tc *c, int on)
{
    if (c->wanting == on)
        return;
    tc_exempt++;
    gnp_want(c->net->poller, &c->sock, on ? GNP_READ : 0);
    tc_exempt--;
    c->wanting = on;
}

int tc_step(tc_net *n, uint64_t deadline)
{
    int k;
    tc_exempt++;
    k = gnp_poller_wait(n->poller, n->events, sizeof(n->events) / sizeof(n->events[0]), deadline);
    tc_exempt--;
    for (int i = 0; i < k; i++) {
        gnp_event *ev = &n->events[i];
        tc *c = (tc *)(void *)ev->sock;
        if (c == NULL || ev->what == 0)
            continue;
        c->hint |= ev->what;
        if (ev->what & GNP_EV_CLOSED)
            c->closed = 1;
        /* Level-triggered: one that nobody reads now would end every wait at once. */
        if ((ev->what & GNP_EV_READABLE) && !n->greedy)
            tc_want(c, 0);
    }
    return k;
}

static int await_hint(tc *c, unsigned hints, uint64_t deadline)
{
    while (!(c->hint & hints)) {
        int k;
        if (hints & GNP_EV_READABLE)
            tc_want(c, 1);
        k = tc_step(c->net, deadline);
        if (k < 0)
            return k;
        if (k == 0 && gnp_now() >= deadline)
            return GNP_ETIMEDOUT;
    }
    c->hint &= ~hints;
    return GNP_OK;
}

/* "tcp://127.0.0.1:80", "udp6://[::1]:80", "unix:///path" to an address; any host means ours. */
static int target(const char *url, gnp_addr *out, int *kind)
{
    char host[GNP_IP_TEXT_MAX];
    const char *rest = strstr(url, "://"), *colon;
    size_t n;
    int status;
    if (rest == NULL)
        return GNP_EADDR;
    rest += 3;
    *kind = strncmp(url, "udp", 3) == 0 ? GNP_DGRAM : GNP_STREAM;
    memset(out, 0, sizeof(*out));
    if (strncmp(url, "unix", 4) == 0) {
        n = strlen(rest);
        if (n > sizeof(out->u.path))
            return GNP_ENAMETOOLONG;
        out->family = GNP_FAMILY_UNIX;
        out->len = (uint8_t)n;
        memcpy(out->u.path, rest, n);
        if (rest[0] == '@') /* an abstract name */
            out->u.path[0] = '\0';
        return GNP_OK;
    }
    colon = strrchr(rest, ':');
    if (colon == NULL || colon - rest >= (int)sizeof(host))
        return GNP_EADDR;
    n = (size_t)(colon - rest);
    if (n >= 2 && rest[0] == '[') {
        rest++;
        n -= 2;
    }
    memcpy(host, rest, n);
    host[n] = '\0';
    status = gnp_ip_parse(strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1"
                          : strcmp(host, "::") == 0    ? "::1"
                                                       : host,
                          out);
    out->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return status;
}

static void dispose(tc *c, int reset)
{
    int status;
    tc_exempt++;
    status = gnp_close(c->net->poller, &c->sock, reset);
    tc_exempt--;
    if (status == GNP_INFLIGHT) {
        uint64_t deadline = nt_deadline();
        while (!c->closed && gnp_now() < deadline && tc_step(c->net, deadline) >= 0)
            ;
        ck_assert_msg(c->closed, "the client's socket does not close");
    }
    free(c->left);
    free(c);
}

static int connect_once(tc_net *n, const gnp_addr *to, int kind, const gnp_addr *local, tc **out)
{
    uint64_t deadline = nt_deadline();
    tc *c = calloc(1, sizeof(*c));
    int status;
    ck_assert_ptr_nonnull(c);
    c->net = n;
    c->dgram = kind == GNP_DGRAM;
    c->sock.os = -1;
    tc_exempt++;
    status = gnp_connect(n->poller, &c->sock, kind, to, local, &n->opts);
    if (status != GNP_OK && status != GNP_INFLIGHT) {
        tc_exempt--;
        free(c);
        return status;
    }
    while (status == GNP_INFLIGHT || status == GNP_AGAIN) {
        status = await_hint(c, GNP_EV_WRITABLE | GNP_EV_HANGUP, deadline);
        if (status == GNP_OK)
            status = gnp_connect_end(n->poller, &c->sock);
    }
    tc_exempt--;
    if (status != GNP_OK) {
        dispose(c, 0);
        return status;
    }
    *out = c;
    return GNP_OK;
}

int tc_try_connect(tc_net *n, const char *url, tc **out)
{
    uint64_t deadline = nt_deadline();
    gnp_addr to, local;
    int kind, status = target(url, &to, &kind);
    if (status == GNP_OK && n->local != NULL)
        status = gnp_ip_parse(n->local, &local);
    if (status != GNP_OK)
        return status;
    /* A Unix socket whose backlog is full says "again" rather than waiting. */
    while ((status = connect_once(n, &to, kind, n->local != NULL ? &local : NULL, out)) == GNP_AGAIN
           && gnp_now() < deadline)
        gnp_sleep_until(gnp_now() + NT_MS);
    return status;
}

tc *tc_connect(tc_net *n, const char *url)
{
    tc *c = NULL;
    int status = tc_try_connect(n, url, &c);
    if (status != GNP_OK) {
        nt_verify();
        ck_abort_msg("connect to %s: %s (system's code %d)", url, gn_strerror(status), gnp_os_error());
    }
    return c;
}

int tc_refused(tc_net *n, const char *url)
{
    tc *c = NULL;
    int status = tc_try_connect(n, url, &c);
    if (status == GNP_OK)
        tc_close(c);
    else
        ck_assert_msg(status == GNP_ECONNREFUSED, "connect to %s: %s", url, gn_strerror(status));
    return status != GNP_OK;
}

/* Sends what the system takes at once; GNP_AGAIN when that is nothing. */
static int send_some(tc *c, const void *data, size_t n, size_t *sent)
{
    gnp_iov iov = { data, n };
    int status;
    tc_exempt++;
    status = gnp_send(c->net->poller, &c->sock, &iov, 1, 0, sent);
    tc_exempt--;
    return status;
}

int tc_send_all(tc *c, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t deadline = nt_deadline();
    while (n > 0) {
        size_t sent = 0;
        int status = send_some(c, p, n, &sent);
        if (status == GNP_AGAIN)
            status = await_hint(c, GNP_EV_WRITABLE, deadline);
        if (status != GNP_OK)
            return status;
        p += sent;
        n -= sent;
    }
    return GNP_OK;
}

int tc_send_text(tc *c, const char *text)
{
    return tc_send_all(c, text, strlen(text));
}

static void keep(tc *c, const void *data, size_t n)
{
    if (c->left_cap < n) {
        free(c->left);
        c->left = malloc(n);
        ck_assert_ptr_nonnull(c->left);
        c->left_cap = n;
    }
    memcpy(c->left, data, n);
    c->left_at = 0;
    c->left_n = n;
}

static int recv_left(tc *c, void *out, size_t cap, size_t *n)
{
    *n = c->left_n < cap ? c->left_n : cap;
    memcpy(out, c->left + c->left_at, *n);
    c->left_at += *n;
    c->left_n -= *n;
    return GNP_OK;
}

/* One gnp_recv, without waiting. */
static int recv_some(tc *c, void *out, size_t cap, size_t *n)
{
    const void *data;
    size_t have;
    int status;
    if (c->left_n > 0)
        return recv_left(c, out, cap, n);
    if (c->ended)
        return GNP_EOF;
    tc_want(c, 1);
    tc_exempt++;
    status = gnp_recv(c->net->poller, &c->sock, &data, &have);
    if (status == GNP_OK) {
        *n = have < cap ? have : cap;
        memcpy(out, data, *n);
        if (have > cap)
            keep(c, (const unsigned char *)data + cap, have - cap);
        gnp_recv_done(c->net->poller, &c->sock);
    }
    tc_exempt--;
    if (status == GNP_EOF)
        c->ended = 1;
    if (status != GNP_OK && status != GNP_AGAIN)
        tc_want(c, 0);
    return status;
}

int tc_recv_until(tc *c, void *out, size_t cap, size_t *n, uint64_t deadline)
{
    for (;;) {
        int status = recv_some(c, out, cap, n);
        if (status != GNP_AGAIN)
            return status;
        c->hint &= ~(unsigned)GNP_EV_READABLE;
        status = await_hint(c, GNP_EV_READABLE | GNP_EV_HANGUP, deadline);
        if (status != GNP_OK)
            return status;
    }
}

int tc_recv(tc *c, void *out, size_t cap, size_t *n)
{
    return tc_recv_until(c, out, cap, n, nt_deadline());
}

int tc_recv_exact(tc *c, void *out, size_t n)
{
    uint64_t deadline = nt_deadline();
    unsigned char *p = out;
    while (n > 0) {
        size_t part = 0;
        int status = tc_recv_until(c, p, n, &part, deadline);
        if (status != GNP_OK)
            return status;
        p += part;
        n -= part;
    }
    return GNP_OK;
}

int tc_recv_text(tc *c, const char *text)
{
    char got[256];
    size_t n = strlen(text);
    int status;
    ck_assert_uint_lt(n, sizeof(got));
    status = tc_recv_exact(c, got, n);
    if (status == GNP_OK && memcmp(got, text, n) != 0) {
        got[n] = '\0';
        nt_wrong(__FILE__, __LINE__, "\"%s\" came, not \"%s\"", got, text);
        status = GNP_EIO;
    }
    return status;
}

int tc_recv_to_eof(tc *c, uint64_t *total)
{
    uint64_t sum = 0;
    int status;
    do {
        size_t n = 0;
        status = tc_recv(c, c->net->scratch, SCRATCH, &n);
        if (status == GNP_OK)
            sum += n;
    } while (status == GNP_OK);
    if (total != NULL)
        *total = sum;
    return status == GNP_EOF ? GNP_OK : status;
}

int tc_send_stream(tc *c, uint64_t seed, uint64_t pos, uint64_t n)
{
    while (n > 0) {
        size_t part = n < SCRATCH ? (size_t)n : SCRATCH;
        int status;
        nt_fill(seed, pos, c->net->scratch, part);
        status = tc_send_all(c, c->net->scratch, part);
        if (status != GNP_OK)
            return status;
        pos += part;
        n -= part;
    }
    return GNP_OK;
}

static int verify(uint64_t seed, uint64_t pos, const void *data, size_t n)
{
    size_t right = nt_match(seed, pos, data, n);
    if (right == n)
        return GNP_OK;
    nt_wrong(__FILE__, __LINE__, "byte %llu of stream %llx is wrong", (unsigned long long)(pos + right),
             (unsigned long long)seed);
    return GNP_EIO;
}

int tc_recv_stream(tc *c, uint64_t seed, uint64_t pos, uint64_t n)
{
    while (n > 0) {
        size_t part = 0;
        int status = tc_recv(c, c->net->scratch, n < SCRATCH ? (size_t)n : SCRATCH, &part);
        if (status == GNP_OK)
            status = verify(seed, pos, c->net->scratch, part);
        if (status != GNP_OK)
            return status;
        pos += part;
        n -= part;
    }
    return GNP_OK;
}

int tc_quiet(tc *c, uint64_t ns)
{
    char byte;
    size_t n = 0;
    return tc_recv_until(c, &byte, 1, &n, gnp_now() + ns) == GNP_ETIMEDOUT;
}

uint64_t tc_stuff(tc *c, uint64_t most, uint64_t quiet_ns)
{
    uint64_t sum = 0;
    memset(c->net->scratch, 'x', SCRATCH);
    while (sum < most) {
        size_t sent = 0;
        size_t n = most - sum < SCRATCH ? (size_t)(most - sum) : SCRATCH;
        int status = send_some(c, c->net->scratch, n, &sent);
        if (status == GNP_AGAIN)
            status = await_hint(c, GNP_EV_WRITABLE, gnp_now() + quiet_ns);
        if (status != GNP_OK)
            break;
        sum += sent;
    }
    return sum;
}

int tc_shutdown(tc *c)
{
    int status;
    tc_exempt++;
    status = gnp_shutdown(c->net->poller, &c->sock);
    tc_exempt--;
    return status;
}

void tc_close(tc *c)
{
    dispose(c, 0);
}

void tc_reset(tc *c)
{
    dispose(c, 1);
}

int tc_dgram_send(tc *c, const void *data, size_t n)
{
    uint64_t deadline = nt_deadline();
    gnp_dgram_out out = { data, n, NULL, 0 };
    int status;
    do {
        unsigned sent = 0;
        tc_exempt++;
        status = gnp_sendto(c->net->poller, &c->sock, &out, 1, &sent);
        tc_exempt--;
        if (status == GNP_AGAIN && await_hint(c, GNP_EV_WRITABLE, deadline) != GNP_OK)
            return GNP_ETIMEDOUT;
    } while (status == GNP_AGAIN);
    return status;
}

static int dgram_some(tc *c, void *out, size_t cap, size_t *n)
{
    gnp_dgram d;
    int status;
    tc_want(c, 1);
    tc_exempt++;
    status = gnp_recvfrom(c->net->poller, &c->sock, &d);
    if (status == GNP_OK) {
        NT_EXPECT(d.len <= cap);
        *n = d.len < cap ? d.len : cap;
        if (*n > 0)
            memcpy(out, d.data, *n);
        gnp_recv_done(c->net->poller, &c->sock);
    }
    tc_exempt--;
    return status;
}

int tc_dgram_recv(tc *c, void *out, size_t cap, size_t *n)
{
    uint64_t deadline = nt_deadline();
    for (;;) {
        int status = dgram_some(c, out, cap, n);
        if (status != GNP_AGAIN)
            return status;
        c->hint &= ~(unsigned)GNP_EV_READABLE;
        status = await_hint(c, GNP_EV_READABLE, deadline);
        if (status != GNP_OK)
            return status;
    }
}

/* ---------------------------------------------------------------- exchange */

/* Returns 1 if it got further, 0 if not, or the error. */
static int flow_send(tc_flow *f)
{
    unsigned char *scratch = f->c->net->scratch;
    uint64_t state = f->seed + f->turn;
    size_t n = (size_t)(1 + nt_random(&state) % f->chunk), sent = 0;
    int status;
    if (f->sent == f->total) {
        if (!f->half_close || f->closed)
            return 0;
        f->closed = 1;
        status = tc_shutdown(f->c);
        return status == GNP_OK ? 1 : status;
    }
    if (n > f->total - f->sent)
        n = (size_t)(f->total - f->sent);
    f->turn++;
    nt_fill(f->seed, f->sent, scratch, n);
    status = send_some(f->c, scratch, n, &sent);
    f->sent += sent;
    return status == GNP_OK ? 1 : status == GNP_AGAIN ? 0 : status;
}

static int flow_recv(tc_flow *f)
{
    unsigned char *scratch = f->c->net->scratch;
    size_t n = 0;
    int status;
    if (f->got == f->total && (!f->half_close || f->c->ended))
        return 0;
    status = recv_some(f->c, scratch, SCRATCH, &n);
    if (status == GNP_AGAIN)
        return 0;
    if (status == GNP_EOF && f->got == f->total && f->closed)
        return 1;
    if (status != GNP_OK)
        return status;
    if (n > f->total - f->got)
        return GNP_EMSGSIZE;
    status = verify(f->seed, f->got, scratch, n);
    f->got += n;
    return status == GNP_OK ? 1 : status;
}

/* Stop and wait: nothing is lost on a loopback whose buffers never fill. */
static int flow_datagram(tc_flow *f)
{
    unsigned char *scratch = f->c->net->scratch;
    uint64_t state = f->seed + f->turn;
    size_t n = 0;
    int status;
    if (f->waiting > 0) {
        status = dgram_some(f->c, scratch, SCRATCH, &n);
        if (status == GNP_AGAIN)
            return 0;
        if (status == GNP_OK && n != f->waiting - 1)
            status = GNP_EMSGSIZE;
        if (status == GNP_OK)
            status = verify(f->seed, f->got, scratch, n);
        f->got += n;
        f->waiting = 0;
        return status == GNP_OK ? 1 : status;
    }
    if (f->sent == f->total)
        return 0;
    n = (size_t)(nt_random(&state) % (f->chunk + 1));
    if (n > f->total - f->sent)
        n = (size_t)(f->total - f->sent);
    f->turn++;
    nt_fill(f->seed, f->sent, scratch, n);
    status = tc_dgram_send(f->c, scratch, n);
    f->sent += n;
    f->waiting = n + 1;
    return status == GNP_OK ? 1 : status;
}

static int flow_done(const tc_flow *f)
{
    return f->got == f->total && f->waiting == 0 && (!f->half_close || f->c->ended);
}

static int flow_turn(tc_flow *f)
{
    int sent, got;
    if (f->c->dgram)
        return flow_datagram(f);
    sent = flow_send(f);
    if (sent < 0)
        return sent;
    got = flow_recv(f);
    return got < 0 ? got : sent + got;
}

int tc_exchange(tc_net *n, tc_flow *flows, unsigned count)
{
    uint64_t deadline = nt_deadline();
    unsigned open;
    n->greedy = 1;
    do {
        int moved = 0;
        open = 0;
        for (unsigned i = 0; i < count; i++) {
            tc_flow *f = &flows[i];
            int status;
            if (flow_done(f)) {
                tc_want(f->c, 0);
                continue;
            }
            open++;
            status = flow_turn(f);
            if (status < 0) {
                nt_wrong(__FILE__, __LINE__, "client %u: %s after %llu sent, %llu back of %llu", i,
                         gn_strerror(status), (unsigned long long)f->sent, (unsigned long long)f->got,
                         (unsigned long long)f->total);
                return status;
            }
            moved |= status;
        }
        if (moved)
            deadline = nt_deadline();
        if (open > 0 && !moved && tc_step(n, deadline) == 0 && gnp_now() >= deadline) {
            nt_wrong(__FILE__, __LINE__, "%u of %u clients still wait for their bytes", open, count);
            return GNP_ETIMEDOUT;
        }
    } while (open > 0);
    n->greedy = 0;
    return GNP_OK;
}

/* ---------------------------------------------------------------- programs */

TCase *nt_case(Suite *s, const char *name, double limit_s)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, limit_s * slowness());
    tcase_add_checked_fixture(t, nt_begin, nt_end);
    suite_add_tcase(s, t);
    return t;
}

int nt_main(Suite *s)
{
    SRunner *runner = srunner_create(s);
    int failed;
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---------------------------------------------------------------- allocator */

/* In front of each block, so that wrong sizes and wild pointers are seen. */
typedef union block {
    struct {
        size_t size;
        uint64_t magic;
    } in;
    max_align_t align;
} block;

#define LIVE UINT64_C(0x67616e6e65746f6b)
#define CLIENTS UINT64_C(0x67616e6e65746f6c) /* live, and taken by the client */
#define DEAD UINT64_C(0x6465616464656164)

static int may_alloc(nt_alloc *a)
{
    uint64_t call, at;
    if (tc_exempt)
        return 1;
    call = gnp_add64(&a->calls, 1) + 1;
    at = gnp_load64(&a->fail_at);
    return at == 0 || call < at || call >= at + gnp_load64(&a->fail_n);
}

static void *hook_alloc(size_t size, void *user)
{
    nt_alloc *a = user;
    block *b;
    if (!may_alloc(a))
        return NULL;
    b = malloc(sizeof(*b) + size);
    if (b == NULL)
        return NULL;
    memset(b + 1, 0xa5, size); /* nobody may count on zeros */
    b->in.size = size;
    b->in.magic = tc_exempt ? CLIENTS : LIVE;
    gnp_add64(&a->live, 1);
    gnp_add64(&a->bytes, size);
    gnp_add64(&a->clients, tc_exempt ? size : 0);
    return b + 1;
}

static void hook_free(void *p, size_t size, void *user)
{
    nt_alloc *a = user;
    block *b = (block *)p - 1;
    if (p == NULL)
        return;
    NT_EXPECT(b->in.magic == LIVE || b->in.magic == CLIENTS);
    NT_EXPECT_INT(b->in.size, size);
    gnp_sub64(&a->clients, b->in.magic == CLIENTS ? b->in.size : 0);
    gnp_sub64(&a->live, 1);
    gnp_sub64(&a->bytes, b->in.size);
    b->in.magic = DEAD;
    free(b);
}

static void *hook_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    void *q = hook_alloc(new_size, user);
    if (q == NULL || p == NULL)
        return q;
    memcpy(q, p, old_size < new_size ? old_size : new_size);
    hook_free(p, old_size, user);
    return q;
}

gn_allocator nt_alloc_hooks(nt_alloc *a)
{
    gn_allocator hooks = { hook_alloc, hook_realloc, hook_free, NULL };
    hooks.user = a;
    return hooks;
}
