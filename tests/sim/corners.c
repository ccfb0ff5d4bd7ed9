/* SPDX-License-Identifier: MIT */
/*
 * Corners of the core that chance hardly finds, each walked into on purpose: what fails twice, what ends
 * while something else begins, memory that ends in the middle of a job.  Each world takes one of them.
 */
#include "scenario.h"

#include <string.h>

#define LOOK (100 * UINT64_C(1000))
#define PATIENCE (300 * SECOND) /* virtual */
#define FILL ((size_t)300000)
#define GUESTS 4

typedef struct corner {
    gn_engine *engine;
    char where[64];
    gn_conn *c[GUESTS];
    gn_handle h[GUESTS];
    unsigned loop[GUESTS];
    gnp_sim_peer *p[GUESTS];
    unsigned opened;
    int closed, reason, eofs, drained, errors, dones, good, status;
    gn_action (*traffic)(gn_conn *c);
    gn_action (*drain)(gn_conn *c);
    size_t got;
} corner;

static corner k;
static unsigned char much[FILL];

static gn_action on_open(gn_conn *c, void *user)
{
    (void)user;
    if (k.opened < GUESTS) {
        k.c[k.opened] = c;
        k.h[k.opened] = gn_conn_handle(c);
        k.loop[k.opened] = gn_loop_index(gn_conn_loop(c));
    }
    k.opened++;
    return GN_NONE;
}

static gn_action on_close(gn_conn *c, int reason, void *user)
{
    (void)c;
    (void)user;
    k.closed++;
    k.reason = reason;
    return GN_NONE;
}

static gn_action on_traffic(gn_conn *c, void *user)
{
    size_t n;
    const void *p;

    (void)user;
    if (k.traffic != NULL)
        return k.traffic(c);
    p = gn_conn_peek(c, &n);
    (void)gn_conn_write(c, p, n);
    gn_conn_discard(c, n);
    return GN_NONE;
}

static gn_action on_eof(gn_conn *c, void *user)
{
    (void)c;
    (void)user;
    k.eofs++;
    return GN_CLOSE;
}

static gn_action on_drained(gn_conn *c, void *user)
{
    (void)user;
    k.drained++;
    return k.drain != NULL ? k.drain(c) : GN_NONE;
}

static void on_error(gn_conn *c, int error, void *user)
{
    (void)c;
    (void)user;
    must(error < 0, "an error that is none");
    k.errors++;
}

static const gn_handler host = { .on_open = on_open,   .on_close = on_close,     .on_traffic = on_traffic,
                                 .on_eof = on_eof,     .on_drained = on_drained, .on_error = on_error };

static void on_done(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)arg;
    gnp_sim_note("done", status, k.dones);
    k.dones++;
    k.good += status == GN_OK;
    k.status = status;
}

static int told[8], tells;
static gn_handle last;

static void tell(gn_handle h, int status, void *arg)
{
    last = h;
    gnp_sim_note("told", status, *(int *)arg);
    must(*(int *)arg == 0, "it is done twice");
    *(int *)arg = 1;
    tells++;
}

/* Faults come only when the test wants them, and no event is late by chance. */
static void calm(void)
{
    static const char *const off[] = { "short_read", "short_write", "again", "spurious_event", "late_close",
                                       "late_send",  "interrupted" };

    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        gnp_sim_turn(off[i], 0);
    gnp_sim_turn("pipe_bytes", 4096);
}

static void options(gn_options *o, unsigned loops)
{
    draw_options(o);
    o->loops = loops;
    o->lb = GN_LB_ROUND_ROBIN;
    o->reuseport = 0;
    o->backlog = 0;
    o->read_buffer = 4096;
    o->inbound_max = FILL;
    o->outbound_high = FILL * 4;
    o->outbound_max = FILL * 8;
    o->stall_ns = 0;
}

static void open_with(const gn_handler *h, const gn_options *o, const char *url)
{
    stream_fill(9, 0, much, sizeof much);
    k.engine = serve_well(h, NULL, o, url);
    peer_address(k.engine, 0, k.where, sizeof k.where);
}

static void wait_for(const int *count, int n, const char *what)
{
    uint64_t until = gn_now() + PATIENCE;

    while (*count < n) {
        must(gn_now() < until, "%s does not happen", what);
        gnp_sim_sleep(LOOK);
    }
}

/* Guest number i comes in. */
static void guest(unsigned i)
{
    uint64_t until = gn_now() + PATIENCE;
    int why = 0;

    k.p[i] = gnp_sim_connect(k.where, &why);
    must(k.p[i] != NULL, "connect: %d", why);
    for (; k.opened <= i; gnp_sim_sleep(LOOK))
        must(gn_now() < until, "guest %u is not let in", i);
}

static void open_one(const char *url)
{
    gn_options o;

    calm();
    options(&o, 1);
    open_with(&host, &o, url);
    guest(0);
}

/* Reads n bytes of what was written from `from` on. */
static void read_much(unsigned i, size_t from, size_t n)
{
    static unsigned char part[4096];

    while (n > 0) {
        int64_t got = gnp_sim_recv(k.p[i], part, n < sizeof part ? n : sizeof part, PATIENCE);
        must(got > 0, "%zu bytes do not come: %lld", n, (long long)got);
        for (int64_t x = 0; x < got; x++, from++)
            must(part[x] == much[from % FILL], "byte %zu is another", from);
        n -= (size_t)got;
    }
}

static int64_t ending(unsigned i)
{
    static unsigned char part[4096];
    int64_t got;

    while ((got = gnp_sim_recv(k.p[i], part, sizeof part, PATIENCE)) > 0)
        k.got += (size_t)got;
    return got;
}

static void leave(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gnp_sim_close(k.p[i], 0);
    finish(k.engine, SECOND);
    must(k.closed == (int)k.opened, "%u opened, %d closed", k.opened, k.closed);
}

static void write_much(void *arg)
{
    int rc = gn_conn_write(k.c[*(unsigned *)arg], much, FILL);

    must(rc == GN_OK, "write: %s", gn_strerror(rc));
}

/* ------------------------------------------------------------ what fails twice */

static int first_reason, lost_input;

/* The peer is found gone, and then there is no memory for what it left unread. */
static gn_action fails_traffic(gn_conn *c)
{
    lost_input = one_in(2);
    gnp_sim_turn("send_error", 1024);
    must(gn_conn_write(c, "x", 1) == GN_OK, "no write");
    first_reason = gn_conn_flush(c);
    must(first_reason < 0, "a flush that fails: %s", gn_strerror(first_reason));
    must(gn_conn_flush(c) == GN_ECLOSED, "it goes on");
    must(gn_conn_abort(c) == GN_ECLOSED, "it can be aborted once more");
    gnp_sim_turn("send_error", 0);
    if (lost_input)
        gnp_sim_turn("alloc_error", 1024);
    return GN_CLOSE;
}

static void fails_twice(void)
{
    static const gn_handler mute = { .on_open = on_open, .on_traffic = on_traffic };
    int full = one_in(2);
    int64_t end;
    gn_options o;

    calm();
    options(&o, 1);
    open_with(full ? &host : &mute, &o, draw_stream_address());
    k.traffic = fails_traffic;
    guest(0);
    must(gnp_sim_send(k.p[0], "hello", 5, NULL) == 0, "the peer cannot send");
    end = ending(0);
    must(end == GNP_SIM_RESET || end == GNP_SIM_EOF, "the peer hears %lld", (long long)end);
    gnp_sim_turn("alloc_error", 0);
    if (full)
        wait_for(&k.closed, 1, "the end");
    must(!full || k.reason == first_reason, "it ends with %s, but failed with %s", gn_strerror(k.reason),
         gn_strerror(first_reason));
    must(!full || k.errors == 1, "%d errors are told", k.errors);
    k.closed = (int)k.opened;
    leave(1);
}

/* ------------------------------------------------- who cannot be listened to any more */

static void deaf_pause(void *arg)
{
    (void)arg;
    must(gn_conn_pause(k.c[0]) == GN_OK, "no pause");
}

static void deaf_close(void *arg)
{
    (void)arg;
    gnp_sim_turn("want_error", 1024);
    must(gn_conn_close(k.c[0]) == GN_OK, "no close");
}

/* Its end cannot be waited for, so it ends now. */
static void deaf_at_its_end(void)
{
    unsigned before;

    open_one(draw_stream_address());
    before = gnp_sim_descriptors();
    on_loop(k.engine, 0, deaf_pause, NULL);
    gnp_sim_sleep(MS);
    on_loop(k.engine, 0, deaf_close, NULL);
    wait_for(&k.closed, 1, "the end");
    must(k.reason == GN_OK, "it ends with %s", gn_strerror(k.reason));
    gnp_sim_sleep(SECOND);
    must(gnp_sim_descriptors() < before, "it lingers, and will never hear the end");
    gnp_sim_turn("want_error", 0);
    must(ending(0) < 0, "it goes on");
    leave(1);
}

/* ---------------------------------------------------- a callback that closes */

static gn_action close_now(gn_conn *c)
{
    (void)c;
    return GN_CLOSE;
}

static gn_action never(gn_conn *c)
{
    (void)c;
    gnp_sim_fail("a callback for nobody");
}

static gn_action writable_close(gn_conn *c, void *user)
{
    (void)user;
    return close_now(c);
}

static void marks_set(void *arg)
{
    (void)arg;
    must(gn_conn_set_watermarks(k.c[0], 1000, 0) == GN_OK, "no marks");
}

/* on_writable and on_drained are due at once, and the first of them closes. */
static void closes_when_writable(void)
{
    static const gn_handler h = { .on_open = on_open,
                                  .on_close = on_close,
                                  .on_writable = writable_close,
                                  .on_drained = on_drained };
    unsigned first = 0;
    gn_options o;

    calm();
    options(&o, 1);
    open_with(&h, &o, draw_stream_address());
    guest(0);
    k.drain = never;
    on_loop(k.engine, 0, marks_set, NULL);
    on_loop(k.engine, 0, write_much, &first);
    read_much(0, 0, FILL);
    must(ending(0) == GNP_SIM_EOF, "no end");
    wait_for(&k.closed, 1, "the end");
    must(k.reason == GN_OK, "it ends with %s", gn_strerror(k.reason));
    leave(1);
}

/* ------------------------------------------------------- a reset that nobody heard */

static void shut_unheard(void *arg)
{
    gn_addr a;

    (void)arg;
    gnp_sim_cut(k.p[0], 0);
    gnp_sim_turn("rare_error", 1024); /* as some systems do for who is gone */
    must(gn_conn_remote_addr(k.c[0], &a) == GN_OK, "no address");
    must(gn_addr_family(&a) == (strncmp(k.where, "unix", 4) == 0   ? GN_FAMILY_UNIX
                                : strncmp(k.where, "[", 1) == 0 ? GN_FAMILY_IPV6
                                                                : GN_FAMILY_IPV4),
         "an address of family %d", (int)gn_addr_family(&a));
    gnp_sim_turn("rare_error", 0);
    must(gn_conn_shutdown_write(k.c[0]) == GN_OK, "no shutdown");
}

static void shut_in_vain(void *arg)
{
    (void)arg;
    gnp_sim_turn("send_error", 1024);
    must(gn_conn_shutdown_write(k.c[0]) == GN_OK, "no shutdown");
}

static void reset_unheard(void)
{
    int cut = one_in(2);

    open_one(draw_stream_address());
    on_loop(k.engine, 0, cut ? shut_unheard : shut_in_vain, NULL);
    wait_for(&k.closed, 1, "the end");
    gnp_sim_turn("send_error", 0);
    must(k.reason == (cut ? GN_ECONNRESET : GN_EIO), "it ends with %s", gn_strerror(k.reason));
    leave(1);
}

/* ----------------------------------------------------- memory ends while it reads */

static gn_action leaves_it(gn_conn *c)
{
    k.got = gn_conn_inbound(c);
    return GN_NONE;
}

static void no_room_for_more(void)
{
    gnp_sim_peer *p;

    open_one(draw_stream_address());
    p = k.p[0];
    k.traffic = leaves_it;
    must(gnp_sim_send(p, much, 10, NULL) == 0, "the peer cannot send");
    for (uint64_t until = gn_now() + PATIENCE; k.got < 10; gnp_sim_sleep(LOOK))
        must(gn_now() < until, "it does not come");
    gnp_sim_turn("alloc_error", 1024);
    (void)gnp_sim_flood(p, 100000, SECOND);
    wait_for(&k.closed, 1, "the end");
    must(k.reason == GN_ENOMEM, "it ends with %s", gn_strerror(k.reason));
    gnp_sim_turn("alloc_error", 0);
    leave(1);
}

/* ------------------------------------------------------------ input of who closes */

static void pass_on(void *arg)
{
    (void)arg;
    must(gn_conn_set_opt(k.c[0], GN_OPT_PASS_DESCRIPTORS, 1) == GN_OK, "no descriptors");
}

static void close_it(void *arg)
{
    (void)arg;
    must(gn_conn_close(k.c[0]) == GN_OK, "no close");
}

/* What is queued leaves; what comes meanwhile is nobody's. */
static void closes_slowly(void)
{
    unsigned first = 0;
    int unix_too = one_in(2);

    open_one(unix_too ? "unix:///tmp/corner" : "tcp://127.0.0.1:0");
    if (unix_too)
        on_loop(k.engine, 0, pass_on, NULL);
    on_loop(k.engine, 0, write_much, &first);
    on_loop(k.engine, 0, close_it, NULL);
    k.traffic = never;
    must(gnp_sim_send(k.p[0], "too late", 8, NULL) == 0, "the peer cannot send");
    gnp_sim_sleep(SECOND);
    read_much(0, 0, FILL);
    must(ending(0) == GNP_SIM_EOF, "no end");
    must(k.closed == 1 && k.reason == GN_OK, "it ends with %s", gn_strerror(k.reason));
    leave(1);
}

/* ------------------------------------------------------------- a loop that is held */

/* A callback that does not return until the test lets it. */
typedef struct hold {
    gn_loop *loop;
    gn_timer timer;
    int at_timers; /* not in the task, but behind all tasks of that turn */
    int inside, go;
    void (*then)(void);
} hold;

static void held(hold *w)
{
    w->inside = 1;
    while (!w->go)
        gnp_sim_sleep(LOOK);
    if (w->then != NULL)
        w->then();
}

static void held_timer(gn_loop *l, gn_timer *t, void *arg)
{
    (void)l;
    (void)t;
    held(arg);
}

static void held_task(gn_handle h, int status, void *arg)
{
    hold *w = arg;

    (void)h;
    must(status == GN_OK, "held with %s", gn_strerror(status));
    w->loop = gn_loop_current();
    if (w->at_timers)
        must(gn_timer_start(w->loop, &w->timer, 0, 0, held_timer, w) == GN_OK, "no timer");
    else
        held(w);
}

static void hold_post(hold *w, unsigned loop, int at_timers, void (*then)(void))
{
    memset(w, 0, sizeof *w);
    w->at_timers = at_timers;
    w->then = then;
    must(gn_execute(gn_engine_loop(k.engine, loop), held_task, w) == GN_OK, "it cannot be held");
}

static void hold_loop(hold *w, unsigned loop, int at_timers, void (*then)(void))
{
    hold_post(w, loop, at_timers, then);
    await(&w->inside, "holding a loop");
}

static void memory_off(void) { gnp_sim_turn("alloc_error", 1024); }
static void memory_on(void) { gnp_sim_turn("alloc_error", 0); }
static void sockets_off(void) { gnp_sim_turn("sock_error", 512); }

/* ------------------------------------------------- a deadline in the turn of a close */

static void deadline_soon(void *arg)
{
    (void)arg;
    must(gn_conn_set_read_deadline(k.c[0], 10 * MS) == GN_OK, "no deadline");
}

static void close_meets_deadline(void)
{
    unsigned first = 0;
    hold w;

    open_one(draw_stream_address());
    on_loop(k.engine, 0, write_much, &first);
    on_loop(k.engine, 0, deadline_soon, NULL);
    hold_loop(&w, 0, 1, NULL);
    gnp_sim_sleep(SECOND); /* now it has passed, as the next turn will see after its tasks */
    must(gn_close(k.h[0], on_done, NULL) == GN_OK, "no close");
    w.go = 1;
    gnp_sim_sleep(SECOND);
    read_much(0, 0, FILL);
    must(ending(0) == GNP_SIM_EOF, "no end");
    wait_for(&k.dones, 1, "a close");
    must(k.reason == GN_OK || k.reason == GN_ETIMEDOUT, "it ends with %s", gn_strerror(k.reason));
    leave(1);
}

/* ------------------------------------------------------- loops without a slot to give */

static gn_descriptor twin;

static void twin_make(void *arg)
{
    (void)arg;
    must(gn_conn_dup(k.c[0], &twin) == GN_OK, "no duplicate");
}

/* Two loops, one guest; *other is the loop on which nobody ever was. */
static void open_two(unsigned *other)
{
    gn_options o;

    calm();
    options(&o, 2);
    o.idle_timeout_ns = 500 * SECOND;
    open_with(&host, &o, "tcp://127.0.0.1:0");
    guest(0);
    *other = 1 - k.loop[0];
}

/* The way there fails, for want of a slot or because the socket is not taken: it is back, or it has ended. */
static void nobody_takes_it(void)
{
    unsigned other;
    int memory = one_in(2);
    hold w;

    open_two(&other);
    hold_loop(&w, other, 0, memory ? memory_off : sockets_off);
    must(gn_migrate(k.h[0], gn_engine_loop(k.engine, other), on_done, NULL) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    w.go = 1;
    wait_for(&k.dones, 1, "a migration");
    memory_on();
    gnp_sim_turn("sock_error", 0);
    must(!memory || k.status == GN_ENOMEM, "without memory it ends with %s", gn_strerror(k.status));
    if (k.status == GN_ECLOSED)
        wait_for(&k.closed, 1, "the end");
    else
        expect_echo(k.p[0], "here");
    leave(1);
}

/* The same on the way back, where its old place waits for it. */
static void not_taken_back(void)
{
    unsigned other;
    hold w;

    open_two(&other);
    must(gn_migrate(k.h[0], gn_engine_loop(k.engine, other), tell, &told[0]) == GN_OK, "no migration");
    await(&told[0], "a migration");
    hold_loop(&w, k.loop[0], 0, sockets_off);
    must(gn_migrate(last, gn_engine_loop(k.engine, k.loop[0]), on_done, NULL) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    w.go = 1;
    wait_for(&k.dones, 1, "a migration");
    gnp_sim_turn("sock_error", 0);
    if (k.status == GN_ECLOSED)
        wait_for(&k.closed, 1, "the end");
    else
        expect_echo(k.p[0], "here");
    leave(1);
}

static void stop_while_away(void)
{
    unsigned other, first = 0;
    hold w;

    open_two(&other);
    on_loop(k.engine, k.loop[0], write_much, &first);
    hold_loop(&w, other, 0, memory_off);
    must(gn_migrate(k.h[0], gn_engine_loop(k.engine, other), on_done, NULL) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    must(gn_engine_stop(k.engine, 100 * SECOND) == GN_OK, "no stop");
    gnp_sim_sleep(SECOND);
    w.go = 1;
    wait_for(&k.dones, 1, "a migration");
    memory_on();
    must(k.status == GN_ENOMEM, "it ends with %s", gn_strerror(k.status));
    read_much(0, 0, FILL); /* it is drained where it came from */
    must(ending(0) == GNP_SIM_EOF, "no end");
    must(k.closed == 1 && k.reason == GN_ESHUTDOWN, "it ends with %s", gn_strerror(k.reason));
    leave(1);
}

/* A socket for a loop without memory; and for the loop to which a connection has gone. */
static void adopted_elsewhere(void)
{
    unsigned other;
    int follow = one_in(2), ended = follow && one_in(2);
    gn_handle to;
    hold w;

    open_two(&other);
    to = gn_engine_loop(k.engine, other);
    on_loop(k.engine, k.loop[0], twin_make, NULL);
    if (follow) {
        must(gn_migrate(k.h[0], to, on_done, NULL) == GN_OK, "no migration");
        wait_for(&k.good, 1, "a migration");
        k.dones = 0;
        if (ended) {
            must(gn_close(k.h[0], on_done, NULL) == GN_OK, "no close");
            wait_for(&k.dones, 1, "a close");
            k.dones = 0;
        }
        must(gn_adopt(k.h[0], twin, NULL, on_done, NULL) == GN_OK, "no adoption");
        wait_for(&k.dones, 1, "an adoption");
        must(k.status == (ended ? GN_ECLOSED : GN_OK), "it is adopted with %s", gn_strerror(k.status));
        must(ended || k.loop[1] == other, "it is where the connection was");
    } else {
        hold_loop(&w, other, 0, memory_off);
        must(gn_adopt(to, twin, NULL, on_done, NULL) == GN_OK, "no adoption");
        w.go = 1;
        wait_for(&k.dones, 1, "an adoption");
        memory_on();
        must(k.status == GN_ENOMEM, "without memory it is adopted with %s", gn_strerror(k.status));
        expect_echo(k.p[0], "here");
    }
    leave(1);
}

/* It comes from a turn that began later than the one it arrives in. */
static void back_in_time(void)
{
    unsigned other;
    hold w;

    open_two(&other);
    hold_loop(&w, other, 0, NULL);
    gnp_sim_sleep(10 * SECOND);
    expect_echo(k.p[0], "late");
    must(gn_migrate(k.h[0], gn_engine_loop(k.engine, other), on_done, NULL) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    w.go = 1;
    wait_for(&k.good, 1, "a migration");
    gnp_sim_sleep(400 * SECOND);
    must(k.closed == 0, "it is closed before its time");
    expect_echo(k.p[0], "later");
    gnp_sim_sleep(600 * SECOND);
    must(k.closed == 1 && k.reason == GN_ETIMEDOUT, "it is idle for ever");
    leave(1);
}

/* The system does not let it go. */
static void not_let_go(void)
{
    unsigned other;

    open_two(&other);
    gnp_sim_turn("rare_error", 1024);
    must(gn_migrate(k.h[0], gn_engine_loop(k.engine, other), on_done, NULL) == GN_OK, "no migration");
    wait_for(&k.dones, 1, "a migration");
    must(k.status == GN_EBUSY, "it ends with %s", gn_strerror(k.status));
    gnp_sim_turn("rare_error", 0);
    expect_echo(k.p[0], "here");
    leave(1);
}

/* -------------------------------------------------------------- loops that end */

static void ref_write(void *arg)
{
    gn_iov v = { much, FILL };

    must(gn_conn_write_ref(k.c[0], &v, 1, tell, arg) == GN_OK, "no write");
}

/* The poller of loop i ends, at its next wait: and with it the loop, if the others are held or asleep. */
static void kill_loop(unsigned i)
{
    gnp_sim_turn("wait_error", 1024);
    (void)gn_wake(gn_engine_loop(k.engine, i), NULL, NULL);
    (void)gn_execute(gn_engine_loop(k.engine, i), on_done, NULL);
    for (uint64_t until = gn_now() + PATIENCE; gn_engine_loop(k.engine, i) != GN_HANDLE_NONE;
         gnp_sim_sleep(LOOK))
        must(gn_now() < until, "a loop does not end");
    gnp_sim_turn("wait_error", 0);
}

static void leave_broken(int operations)
{
    int rc = gn_engine_join(k.engine);

    must(rc < 0, "an engine without one of its loops is well");
    must(gn_engine_destroy(k.engine) == GN_OK, "not destroyed");
    must(tells == operations, "%d operations, %d done", operations, tells);
    must(k.closed == (int)k.opened, "%u opened, %d closed", k.opened, k.closed);
    gnp_sim_close(k.p[0], 0);
}

/* A connection is between two loops when one of them ends, and then the other. */
static void ends_on_the_way(void)
{
    unsigned home, other, mode = (unsigned)gnp_sim_below(4);
    gn_handle there;
    hold w, v;

    open_two(&other);
    home = k.loop[0];
    there = gn_engine_loop(k.engine, other);
    on_loop(k.engine, home, ref_write, &told[0]);
    gnp_sim_note("mode", mode, 0);
    if (mode == 3) { /* the way there ends before it begins */
        hold_loop(&w, home, 0, NULL);
        must(gn_migrate(k.h[0], there, tell, &told[1]) == GN_OK, "no migration");
        kill_loop(other);
        w.go = 1;
        leave_broken(2);
        return;
    }
    hold_loop(&w, other, mode == 1, mode == 2 ? memory_off : NULL);
    must(gn_migrate(k.h[0], there, tell, &told[1]) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    must(gn_write(k.h[0], "x", 1, tell, &told[2]) == GN_OK, "no write");
    if (mode == 2) { /* it is sent back, to who ends meanwhile */
        hold_loop(&v, home, 1, NULL);
        w.go = 1;
        gnp_sim_sleep(SECOND);
        memory_on();
        gnp_sim_turn("wait_error", 1024);
        v.go = 1;
        gnp_sim_sleep(SECOND);
        gnp_sim_turn("wait_error", 0);
    } else {
        kill_loop(home); /* 0: it arrives, and nobody is there to hear of it.  1: nor does it arrive */
        w.go = 1;
    }
    leave_broken(3);
}

/* What went by an old handle is still under way when the connection is back, and a loop ends. */
static void ends_before_it_has_caught_up(void)
{
    unsigned home, other, mode = (unsigned)gnp_sim_below(2);
    gn_handle there, old, now;
    hold w, v;

    open_two(&other);
    home = k.loop[0];
    old = k.h[0];
    there = gn_engine_loop(k.engine, other);
    must(gn_migrate(old, there, tell, &told[0]) == GN_OK, "no migration");
    await(&told[0], "a migration");
    gnp_sim_sleep(SECOND);
    now = last;
    must(gn_write(old, "x", 1, tell, &told[1]) == GN_OK, "no write"); /* goes by the tombstone */
    await(&told[1], "a write");
    hold_loop(&w, home, 0, NULL);
    must(gn_migrate(now, gn_engine_loop(k.engine, home), tell, &told[2]) == GN_OK, "no migration");
    gnp_sim_sleep(SECOND);
    if (mode == 0) { /* nobody is there who could say that nothing is left */
        kill_loop(other);
        w.go = 1;
        leave_broken(3);
        return;
    }
    hold_post(&v, home, 1, NULL); /* once it has come, and asked */
    w.go = 1;
    await(&v.inside, "the second hold");
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("wait_error", 1024);
    v.go = 1;
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("wait_error", 0);
    leave_broken(3);
}

/* All that it still has ends with it. */
static void ends_with_all(void)
{
    gn_options o;

    calm();
    options(&o, 1);
    open_with(&host, &o, draw_stream_address());
    guest(0);
    on_loop(k.engine, 0, ref_write, &told[0]);
    kill_loop(0);
    leave_broken(1);
}

/* What a worker or a resolver hands back comes to a loop that takes no more. */
static void dial_name(gn_handle h, int status, void *arg)
{
    (void)h;
    must(status == GN_OK, "no loop");
    must(gn_dial(gn_loop_handle(gn_loop_current()), "tcp://two.test:6000", NULL, tell, arg, NULL) == GN_OK,
         "no dial");
}

static void no_work(void *arg)
{
    (void)arg;
}

static void answers_too_late(void)
{
    gn_pool *pool = NULL;
    hold w, w2;

    open_one("tcp://127.0.0.1:0");
    gnp_sim_close(k.p[0], 1);
    wait_for(&k.closed, 1, "the end of a guest");
    must(gn_pool_create(&pool, NULL) == GN_OK, "no pool");
    hold_loop(&w, 0, 0, NULL);
    must(gn_execute(gn_engine_loop(k.engine, 0), dial_name, &told[0]) == GN_OK, "no task");
    hold_post(&w2, 0, 1, NULL);
    w.go = 1;
    await(&w2.inside, "the second hold");
    must(gn_offload(pool, gn_engine_loop(k.engine, 0), no_work, tell, &told[1]) == GN_OK, "no offload");
    gnp_sim_sleep(SECOND);
    must(gn_engine_stop(k.engine, 0) == GN_OK, "no stop");
    w2.go = 1;
    must(gn_engine_join(k.engine) == GN_OK, "it does not end well");
    must(tells == 2, "2 operations, %d done", tells);
    must(gn_pool_destroy(pool) == GN_OK, "no end of the pool");
    must(gn_engine_least_loop(k.engine) == GN_HANDLE_NONE, "a loop that has ended is offered");
    must(gn_engine_destroy(k.engine) == GN_OK, "not destroyed");
}

/* --------------------------------------------------------- handles of another life */

static void of_another_life(void)
{
    gn_handle old, h;
    gn_op op = 7;

    open_one("tcp://127.0.0.1:0");
    old = gn_engine_loop(k.engine, 0);
    h = k.h[0];
    leave(1);
    memset(&k, 0, sizeof k);
    open_one("tcp://127.0.0.1:0");
    must(old != gn_engine_loop(k.engine, 0), "a loop has the handle of another");
    must(gn_migrate(k.h[0], old, tell, &told[0]) == GN_OK, "no migration");
    await(&told[0], "a migration");
    must(gn_write(h, "x", 1, on_done, NULL) != GN_OK || gn_wake(h, NULL, NULL) <= 0, "an old connection");
    must(gn_dial(GN_HANDLE_NONE, "tcp://127.0.0.1:1", NULL, on_done, NULL, &op) == GN_ECLOSED, "no loop");
    must(op == GN_OP_NONE, "an operation that is none has a token");
    expect_echo(k.p[0], "alive");
    leave(1);
}

/* ------------------------------------------------------------------- budgets */

static void over_budget(void *arg)
{
    (void)arg;
    must(gn_conn_write(k.c[0], much, 100000) == GN_ELIMIT, "more than there may be is taken");
    must(gn_conn_write(k.c[0], much, 30000) == GN_OK, "less is refused");
}

static void fill_budget(void *arg)
{
    unsigned i = *(unsigned *)arg;

    must(gn_conn_write(k.c[i], much, i == 0 ? 190000 : 14000) == GN_OK, "it is refused");
}

/* One loop holds what strains all; another, which holds nothing any more, ends first. */
static void budgets(void)
{
    unsigned at[2] = { 0, 1 };
    gn_options o;

    calm();
    options(&o, 2);
    if (one_in(2)) {
        o.loop_bytes_max = 65536;
        open_with(&host, &o, "tcp://127.0.0.1:0");
        guest(0);
        on_loop(k.engine, k.loop[0], over_budget, NULL);
        read_much(0, 0, 30000);
        leave(1);
        return;
    }
    o.engine_bytes_max = 200 * 1024;
    gnp_sim_turn("pipe_bytes", 100);
    gnp_sim_turn("latency_ns", 1000);
    gnp_sim_turn("jitter_ns", 0);
    open_with(&host, &o, "tcp://127.0.0.1:0");
    guest(0);
    guest(1);
    must(k.loop[0] != k.loop[1], "both are on one loop");
    on_loop(k.engine, k.loop[0], fill_budget, &at[0]);
    on_loop(k.engine, k.loop[1], fill_budget, &at[1]);
    gnp_sim_sleep(SECOND);
    must(gn_engine_stop(k.engine, 3600 * SECOND) == GN_OK, "no stop");
    gnp_sim_reset(k.p[1]);
    gnp_sim_sleep(SECOND);
    read_much(0, 0, 190000);
    leave(2);
}

/* --------------------------------------------------------------------- pipes */

static gn_conn *ours(unsigned i)
{
    gn_conn *c = gn_conn_from_handle(k.h[i]);

    must(c != NULL, "guest %u is gone", i);
    return c;
}

static void pipe_up(void *arg)
{
    (void)arg;
    must(gn_conn_set_watermarks(ours(1), 20000, 1000) == GN_OK, "no marks");
    must(gn_conn_pipe(ours(0), ours(1)) == GN_OK, "no pipe");
}

static gn_timer each_turn;
static size_t on_its_way;
static int all_read;

static gn_action takes_and_closes(gn_conn *c)
{
    k.got = gn_conn_inbound(c);
    gn_conn_discard(c, k.got);
    return GN_CLOSE;
}

/* In the turn after that in which all bytes are there, the end has just been read. */
static void part_in_time(gn_loop *l, gn_timer *t, void *arg)
{
    gn_conn *c = gn_conn_from_handle(k.h[0]);

    if (c == NULL)
        return;
    if (gn_conn_inbound(c) == on_its_way && all_read++ == 1)
        must(gn_conn_unpipe(c) == GN_OK, "no pipe");
    else
        must(gn_timer_start(l, t, 0, 0, part_in_time, arg) == GN_OK, "no timer");
}

static void count_left(void *arg)
{
    (void)arg;
    on_its_way = gn_conn_inbound(ours(0));
}

static void watch_each_turn(void *arg)
{
    must(gn_timer_start(gn_loop_current(), &each_turn, 0, 0, part_in_time, arg) == GN_OK, "no timer");
    gnp_sim_close(k.p[0], 0);
}

/* The end of the input was seen while it was piped; who then closes at the last bytes hears no end. */
static void parted_at_its_end(void)
{
    uint64_t sent;
    gn_stats st = { .size = sizeof st };
    gn_options o;

    calm();
    gnp_sim_turn("jitter_ns", 0);
    options(&o, 1);
    open_with(&host, &o, "unix:///tmp/corner");
    guest(0);
    guest(1);
    on_loop(k.engine, 0, pipe_up, NULL);
    sent = gnp_sim_flood(k.p[0], 60000, SECOND);
    gnp_sim_sleep(SECOND);
    on_loop(k.engine, 0, count_left, NULL);
    must(gn_engine_stats(k.engine, &st) == GN_OK, "no statistics");
    on_its_way += (size_t)(sent - st.bytes_in);
    k.traffic = takes_and_closes;
    on_loop(k.engine, 0, watch_each_turn, NULL);
    wait_for(&k.closed, 1, "the end");
    must(all_read < 2 || (k.got == on_its_way && k.reason == GN_OK), "it takes %zu bytes and ends with %s",
         k.got, gn_strerror(k.reason));
    must(k.eofs == 0, "it hears of an end that it did not wait for");
    gnp_sim_close(k.p[1], 1);
    finish(k.engine, SECOND);
}

static void sink_close(void *arg)
{
    (void)arg;
    must(gn_conn_close(ours(1)) == GN_OK, "no close");
}

/* The end of the input comes while the other side closes already. */
static void sink_closes_first(void)
{
    open_one(one_in(2) ? "tcp://127.0.0.1:0" : "unix:///tmp/corner");
    guest(1);
    on_loop(k.engine, 0, pipe_up, NULL);
    must(gnp_sim_flood(k.p[0], 10000, SECOND) == 10000, "the pipe is full");
    gnp_sim_sleep(SECOND);
    on_loop(k.engine, 0, sink_close, NULL);
    gnp_sim_half_close(k.p[0]);
    gnp_sim_sleep(SECOND);
    must(k.closed == 0, "it does not wait for what is queued");
    must(ending(1) == GNP_SIM_EOF && k.got == 10000, "%zu bytes came", k.got);
    wait_for(&k.closed, 2, "the end of both");
    leave(2);
}

static void end_source(void *arg)
{
    (void)arg;
    gnp_sim_turn("alloc_error", 1024);
    must(gn_conn_abort(ours(0)) == GN_OK, "no abort");
}

static void shut_sink(void *arg)
{
    (void)arg;
    must(gn_conn_shutdown_write(ours(1)) == GN_OK, "no shutdown");
    if (*(int *)arg)
        must(gn_conn_abort(ours(0)) == GN_OK, "no abort");
}

static void shut_free_sink(void *arg)
{
    (void)arg;
    must(gn_conn_shutdown_write(ours(1)) == GN_OK, "no shutdown");
}

/* 1 takes no more, and then something comes for it. */
static void pipe_to_nobody(void)
{
    open_one(one_in(2) ? "tcp://127.0.0.1:0" : "unix:///tmp/corner");
    guest(1);
    on_loop(k.engine, 0, pipe_up, NULL);
    on_loop(k.engine, 0, shut_free_sink, NULL);
    must(ending(1) == GNP_SIM_EOF, "no end");
    must(gnp_sim_send(k.p[0], "too late", 8, NULL) == 0, "the peer cannot send");
    wait_for(&k.closed, 1, "the end");
    must(k.reason == GN_EPIPE, "it ends with %s", gn_strerror(k.reason));
    leave(2);
}

/* 1 is full: and there is no memory for the rest of who ends; or it takes no more at all. */
static void pipe_ends(void)
{
    unsigned how = (unsigned)gnp_sim_below(3);
    int abort = how == 2;

    open_one(one_in(2) ? "tcp://127.0.0.1:0" : "unix:///tmp/corner");
    guest(1);
    on_loop(k.engine, 0, pipe_up, NULL);
    (void)gnp_sim_flood(k.p[0], 60000, SECOND);
    gnp_sim_note("pipe", how, 0);
    if (how == 0) {
        on_loop(k.engine, 0, end_source, NULL);
    } else {
        on_loop(k.engine, 0, shut_sink, &abort);
        (void)ending(1);
        (void)gnp_sim_flood(k.p[0], 1, SECOND); /* where all had passed already, something for nobody */
    }
    wait_for(&k.closed, 1, "the end");
    gnp_sim_sleep(SECOND);
    memory_on();
    leave(2);
}

#define ROOM ((size_t)65536)

static void rest_now(void *arg)
{
    (void)arg;
    must(gn_conn_pause(ours(0)) == GN_OK, "no pause");
}

static void rest_over_without_memory(void *arg)
{
    (void)arg;
    memory_off();
    must(gn_conn_resume(ours(0)) == GN_OK, "no resume");
}

static void pipe_narrow(void *arg)
{
    (void)arg;
    must(gn_conn_set_watermarks(ours(1), 20000, 19000) == GN_OK, "no marks");
    must(gn_conn_pipe(ours(0), ours(1)) == GN_OK, "no pipe");
}

/* There is no memory to queue what comes next. */
static void pipe_without_memory(void)
{
    static unsigned char part[12000];
    gn_options o;

    calm();
    gnp_sim_turn("pipe_bytes", ROOM);
    gnp_sim_turn("jitter_ns", 0);
    options(&o, 1);
    o.read_buffer = ROOM;
    open_with(&host, &o, "unix:///tmp/corner");
    guest(0);
    guest(1);
    on_loop(k.engine, 0, pipe_narrow, NULL);
    must(gnp_sim_flood(k.p[0], ROOM + 30000, SECOND) == ROOM + 30000, "the pipe is narrow");
    gnp_sim_sleep(SECOND);
    on_loop(k.engine, 0, rest_now, NULL);
    must(gnp_sim_flood(k.p[0], 60000, SECOND) == 60000, "the system takes less");
    gnp_sim_sleep(SECOND);
    for (size_t n = 0, want = 12000; want > 0; want -= n) { /* so much that 1 is below its mark */
        int64_t got = gnp_sim_recv(k.p[1], part, want, PATIENCE);
        must(got > 0, "nothing comes: %lld", (long long)got);
        n = (size_t)got;
    }
    gnp_sim_sleep(SECOND);
    on_loop(k.engine, 0, rest_over_without_memory, NULL);
    wait_for(&k.closed, 2, "the end of both");
    must(k.reason == GN_ENOMEM, "it ends with %s", gn_strerror(k.reason));
    memory_on();
    leave(2);
}

static void pipe_across(void *arg)
{
    (void)arg;
    must(gn_conn_pipe(k.c[0], k.c[1]) == GN_EINVAL, "a pipe between two loops");
    must(gn_conn_pipe(k.c[1], k.c[1]) == GN_EINVAL, "a pipe on another loop");
}

static void not_my_pipe(void)
{
    gn_options o;

    calm();
    options(&o, 2);
    open_with(&host, &o, "tcp://127.0.0.1:0");
    guest(0);
    guest(1);
    must(k.loop[0] != k.loop[1], "both are on one loop");
    on_loop(k.engine, k.loop[0], pipe_across, NULL);
    leave(2);
}

/* --------------------------------------------------------------- what is written */

#define PIECE 256
#define PIECES 100
#define SPANS 64 /* that wait at a time */
#define LETTER (PIECE * PIECES + 10)

/* Pieces of what is lent, so that none goes on where the one before ended. */
static gn_action backwards(gn_conn *c)
{
    static const char *const faults[] = { "send_error", "short_write", "again" };
    gn_iov v[PIECES];
    size_t n;
    const unsigned char *p = gn_conn_peek(c, &n);
    int rc;

    if (n < (size_t)PIECE * PIECES)
        return GN_NONE; /* it comes again with more */
    for (unsigned i = 0; i < PIECES; i++)
        v[i] = (gn_iov){ p + (PIECES - 1 - i) * PIECE, PIECE };
    if (k.status > 0)
        gnp_sim_turn(faults[k.status - 1], 1024);
    must(gn_conn_writev(c, v, SPANS) == GN_OK, "no room for so many spans");
    rc = gn_conn_write(c, "and so on:", 10); /* there is no room for one more */
    must((rc == GN_OK) == (k.status != 1), "write: %s", gn_strerror(rc));
    rc = gn_conn_writev(c, v + SPANS, PIECES - SPANS);
    must((rc == GN_OK) == (k.status != 1), "writev: %s", gn_strerror(rc));
    if (k.status > 0)
        gnp_sim_turn(faults[k.status - 1], 0);
    gn_conn_discard(c, n);
    k.good = 1;
    return GN_NONE;
}

static void many_spans(void)
{
    static unsigned char got[LETTER];
    size_t have = 0;
    gn_options o;

    calm();
    gnp_sim_turn("pipe_bytes", 262144);
    gnp_sim_turn("jitter_ns", 0);
    options(&o, 1);
    o.read_buffer = 65536;
    open_with(&host, &o, draw_stream_address());
    guest(0);
    k.traffic = backwards;
    k.status = (int)gnp_sim_below(4);
    must(gnp_sim_send(k.p[0], much, (size_t)PIECE * PIECES, NULL) == 0, "the peer cannot send");
    if (k.status == 1) {
        must(ending(0) < 0, "it goes on");
        wait_for(&k.closed, 1, "the end");
        leave(1);
        return;
    }
    while (have < sizeof got) {
        int64_t n = gnp_sim_recv(k.p[0], got + have, sizeof got - have, PATIENCE);
        must(n > 0, "%zu bytes come, then %lld", have, (long long)n);
        have += (size_t)n;
    }
    must(memcmp(got + (size_t)SPANS * PIECE, "and so on:", 10) == 0, "the middle is another");
    memmove(got + (size_t)SPANS * PIECE, got + (size_t)SPANS * PIECE + 10, (size_t)(PIECES - SPANS) * PIECE);
    for (unsigned i = 0; i < PIECES; i++)
        must(memcmp(got + (size_t)i * PIECE, much + (size_t)(PIECES - 1 - i) * PIECE, PIECE) == 0,
             "piece %u is another", i);
    leave(1);
}

static size_t promised;
static int lent_out, given_back;

static void back(gn_handle h, int status, void *arg)
{
    (void)h;
    (void)status;
    (void)arg;
    given_back++;
}

/* Memory ends anywhere in a write of several parts: then nothing of it is sent. */
static void hungry_writes(void *arg)
{
    (void)arg;
    gnp_sim_turn("alloc_error", 300);
    for (unsigned i = 0; i < 150; i++) {
        gn_iov v[6];
        size_t at = promised, n = 0;
        int rc, kind = (int)gnp_sim_below(3);
        for (unsigned x = 0; x < 6; x++) {
            size_t len = one_in(4) ? 0 : one_in(2) ? (size_t)gnp_sim_below(200) : (size_t)gnp_sim_below(3000);
            v[x] = (gn_iov){ much + at + n, len };
            n += len;
        }
        if (kind == 0) {
            rc = gn_conn_write_ref(k.c[0], v, 6, back, NULL);
            lent_out += rc == GN_OK;
        } else if (kind == 1) {
            rc = gn_conn_writev(k.c[0], v, 6);
        } else {
            rc = gn_conn_write_ref(k.c[0], v, 6, NULL, NULL);
        }
        must(rc == GN_OK || rc == GN_ENOMEM || rc == GN_ELIMIT, "a write: %s", gn_strerror(rc));
        promised += rc == GN_OK ? n : 0;
        k.good += rc == GN_OK;
        k.errors += rc != GN_OK;
        if (promised > FILL - 40000)
            break;
    }
    memory_on();
}

static void writes_without_memory(void)
{
    open_one(draw_stream_address());
    on_loop(k.engine, 0, hungry_writes, NULL);
    gnp_sim_note("hungry", (int64_t)promised, k.errors);
    read_much(0, 0, promised);
    wait_for(&given_back, lent_out, "what was lent");
    must(given_back == lent_out, "%d were lent, %d given back", lent_out, given_back);
    gnp_sim_half_close(k.p[0]);
    must(ending(0) == GNP_SIM_EOF && k.got == 0, "%zu bytes more", k.got);
    leave(1);
}

/* -------------------------------------------------------------- who comes, who dials */

/* A full queue of a Unix listener: tried again, less and less often. */
static void full_house(void)
{
    gnp_sim_server *l;
    gnp_sim_peer *in[6];
    gn_dial_options d;

    open_one("tcp://127.0.0.1:0");
    l = gnp_sim_listen("unix:/tmp/full", 1);
    gn_dial_options_init(&d);
    d.timeout_ns = 100 * SECOND;
    for (unsigned i = 0; i < 6; i++)
        must(gn_dial(k.h[0], "unix:///tmp/full", &d, on_done, NULL, NULL) == GN_OK, "no dial");
    gnp_sim_sleep(5 * SECOND);
    must(k.dones < 6, "the queue is never full");
    for (unsigned i = 0; i < 6; i++) {
        in[i] = gnp_sim_accept(l, PATIENCE);
        must(in[i] != NULL, "%u have come", i);
    }
    wait_for(&k.dones, 6, "six dials");
    must(k.good == 6, "%d of 6 are well", k.good);
    for (unsigned i = 0; i < 6; i++)
        gnp_sim_close(in[i], 0);
    gnp_sim_server_close(l);
    leave(1);
}

/* The same port, but another address: that is not itself. */
static void a_namesake(void)
{
    gnp_sim_server *l;
    gnp_sim_peer *in;
    gn_dial_options d;

    open_one("tcp://127.0.0.1:0");
    l = gnp_sim_listen("127.0.0.2:6000", 5);
    gn_dial_options_init(&d);
    d.local = "127.0.0.1:6000";
    must(gn_dial(k.h[0], "tcp://127.0.0.2:6000", &d, on_done, NULL, NULL) == GN_OK, "no dial");
    wait_for(&k.dones, 1, "a dial");
    must(k.status == GN_OK, "a dial: %s", gn_strerror(k.status));
    in = gnp_sim_accept(l, PATIENCE);
    must(in != NULL, "nobody comes");
    gnp_sim_close(in, 0);
    gnp_sim_server_close(l);
    leave(1);
}

/* The last place is taken by a dial, which ends: then who waits for it comes in. */
static void place_of_a_dial(void)
{
    gn_options o;
    gnp_sim_peer *late;
    int why;

    calm();
    gnp_sim_turn("latency_ns", 50 * MS);
    gnp_sim_turn("jitter_ns", 0);
    options(&o, 1);
    o.conns_max = 2;
    o.overload = GN_OVERLOAD_WAIT;
    open_with(&host, &o, "tcp://127.0.0.1:0");
    guest(0);
    gnp_sim_turn("connect_error", 1024);
    gnp_sim_turn("latency_ns", SECOND);
    must(gn_dial(k.h[0], "tcp://127.0.0.1:9", NULL, on_done, NULL, NULL) == GN_OK, "no dial");
    gnp_sim_sleep(10 * MS);
    gnp_sim_turn("latency_ns", 10 * MS);
    late = gnp_sim_connect(k.where, &why);
    must(late != NULL, "connect: %d", why);
    wait_for(&k.dones, 1, "a dial");
    gnp_sim_turn("connect_error", 0);
    expect_echo(late, "at last");
    gnp_sim_close(late, 0);
    leave(1);
}

/* More wait than one turn takes. */
static void many_are_shed(void)
{
    enum { CROWD = 70 };
    static gnp_sim_peer *p[CROWD];
    gn_options o;
    int why;

    calm();
    options(&o, 1);
    o.backlog = 128;
    open_with(&host, &o, "tcp://127.0.0.1:0");
    gnp_sim_turn("descriptors", gnp_sim_descriptors());
    for (unsigned i = 0; i < CROWD; i++) {
        p[i] = gnp_sim_connect(k.where, &why);
        must(p[i] != NULL, "connect: %d", why);
    }
    gnp_sim_sleep(20 * SECOND);
    for (unsigned i = 0; i < CROWD; i++) {
        char byte;
        int64_t got = gnp_sim_recv(p[i], &byte, 1, SECOND);
        must(got == GNP_SIM_RESET, "peer %u is told %lld", i, (long long)got);
        gnp_sim_close(p[i], 0);
    }
    gnp_sim_turn("descriptors", 0);
    guest(0);
    expect_echo(k.p[0], "served");
    leave(1);
}

/* No claim on the signals is to be had. */
static void no_signals(void)
{
    gn_options o;
    gn_engine *e = NULL;

    calm();
    options(&o, 1);
    o.stop_on_signals = 1;
    must(gn_engine_create(&e, &host, NULL, &o) == GN_OK, "no engine");
    gnp_sim_turn("rare_error", 1024);
    must(gn_engine_start(e) < 0, "it starts all the same");
    gnp_sim_turn("rare_error", 0);
    must(gn_engine_destroy(e) == GN_OK, "not destroyed");
}

/* A path is not bound for a look whether it was an option that failed. */
static void options_of_paths(void)
{
    gn_opt_value no = { GN_OPT_BROADCAST, 1 };
    gn_listen_options lo;
    gn_engine *e = NULL;

    gn_listen_options_init(&lo);
    lo.opts = &no;
    lo.opt_count = 1;
    must(gn_engine_create(&e, &host, NULL, NULL) == GN_OK, "no engine");
    must(gn_engine_listen_with(e, "unix:///tmp/corner", &lo) < 0, "a path with an option that it has not");
    must(!gnp_sim_exists("/tmp/corner"), "it is bound");
    must(gn_engine_destroy(e) == GN_OK, "not destroyed");
}

/* ---------------------------------------------------------------------- pools */

static gn_pool *pool;
static int canceled, ran, reboots;

static void counted(int status, void *arg)
{
    (void)arg;
    ran += status == GN_OK;
    canceled += status != GN_OK;
}

static int stuck;

static void busy(int status, void *arg)
{
    counted(status, arg);
    while (stuck)
        gnp_sim_sleep(LOOK);
}

/* Called for a task that is cancelled: the pool lives again before its end is complete. */
static void reboots_it(int status, void *arg)
{
    counted(status, arg);
    if (status != GN_OK && reboots++ == 0) {
        must(gn_pool_reboot(pool) == GN_OK, "no reboot");
        (void)gn_pool_try_submit(pool, counted, NULL);
        if (one_in(2)) { /* and ends again */
            must(gn_pool_release(pool) == GN_OK && gn_pool_reboot(pool) == GN_OK, "no release");
        }
    }
}

static void wait_in_vain(void *arg)
{
    *(int *)arg = gn_pool_release_wait(pool, 100 * SECOND);
}

static void pools(void)
{
    gn_pool_options o;
    gnp_sim_thread *t;
    gn_pool *other;
    int rc = 7;

    calm();
    gn_pool_options_init(&o);
    o.capacity = 1;
    o.queue_max = 10;
    o.prealloc = one_in(2);
    o.expiry_ns = one_in(2) ? UINT64_MAX - 1 : SECOND;
    must(gn_pool_create(&pool, &o) == GN_OK, "no pool");
    stuck = 1;
    must(gn_pool_submit(pool, busy, NULL) == GN_OK, "no task");
    gnp_sim_sleep(SECOND);
    must(gn_pool_submit(pool, reboots_it, NULL) == GN_OK, "no task");
    t = gnp_sim_spawn(wait_in_vain, &rc, "waits");
    gnp_sim_sleep(SECOND);
    stuck = 0;
    gnp_sim_join(t);
    must(rc == GN_EBUSY, "who waits for the end of a pool that lives again hears %s", gn_strerror(rc));
    must(gn_pool_release_wait(pool, UINT64_MAX) == GN_OK, "no release");
    must(gn_pool_resize(pool, o.prealloc ? 1 : 2) == (o.prealloc ? GN_ENOTSUP : GN_OK), "a resize");
    must(gn_pool_destroy(pool) == GN_OK, "not destroyed");

    gn_pool_options_init(&o);
    o.capacity = 0;
    o.queue_max = 10;
    must(gn_pool_create(&other, &o) == GN_OK, "no pool");
    stuck = 1;
    must(gn_pool_submit(other, busy, NULL) == GN_OK, "no task");
    gnp_sim_sleep(SECOND);
    gnp_sim_turn("thread_error", 1024);
    must(gn_pool_try_submit(other, counted, NULL) == GN_OK, "no room in the queue");
    gnp_sim_turn("thread_error", 0);
    gnp_sim_sleep(SECOND);
    ran = 0;
    must(gn_pool_resize(other, 0) == GN_OK, "no limit before, no limit now");
    gnp_sim_sleep(SECOND);
    must(ran == 1, "who waits is not begun, but there may be more threads");
    stuck = 0;
    must(gn_pool_destroy(other) == GN_OK, "not destroyed");
}

/* A task of one pool may wait for the end of another. */
static void ends_another(int status, void *arg)
{
    must(status == GN_OK, "it does not run");
    must(gn_pool_destroy(arg) == GN_OK, "not destroyed");
    ran = 1;
}

static void pools_in_pools(void)
{
    gn_pool *other;

    must(gn_pool_create(&pool, NULL) == GN_OK && gn_pool_create(&other, NULL) == GN_OK, "no pools");
    ran = 0;
    must(gn_pool_submit(pool, ends_another, other) == GN_OK, "no task");
    await(&ran, "the end of a pool");
    must(gn_pool_destroy(pool) == GN_OK, "not destroyed");
}

static void corners(void *arg)
{
    static void (*const all[])(void) = {
        fails_twice, deaf_at_its_end, closes_when_writable, reset_unheard, no_room_for_more,
        closes_slowly, close_meets_deadline, nobody_takes_it, stop_while_away, adopted_elsewhere,
        back_in_time, not_let_go, not_taken_back, options_of_paths, ends_on_the_way,
        ends_before_it_has_caught_up, ends_with_all, answers_too_late, of_another_life, budgets,
        parted_at_its_end, pipe_ends, pipe_without_memory, pipe_to_nobody, sink_closes_first,
        not_my_pipe, many_spans,
        writes_without_memory, full_house, a_namesake, place_of_a_dial, many_are_shed, no_signals, pools,
        pools_in_pools
    };
    size_t i = gnp_sim_below(sizeof all / sizeof all[0]);

    (void)arg;
    memset(&k, 0, sizeof k);
    gnp_sim_heal();
    gnp_sim_note("corner", (int64_t)i, 0);
    all[i]();
}

const scenario scenario_corners = { "corners", corners };
