/* SPDX-License-Identifier: MIT */
/* Choosing, opening and closing pollers; running out of memory. */
#include "conform.h"

START_TEST(list_of_pollers)
{
    const char *name, *first = NULL;
    unsigned i, k, n = 0;
    int works, usable = 0;

    while ((name = gnp_poller_name(n, &works)) != NULL) {
        ck_assert_str_ne(name, "");
        ck_assert(works == 0 || works == 1);
        for (k = 0; k < n; k++)
            ck_assert_str_ne(name, gnp_poller_name(k, NULL));
        if (works && first == NULL)
            first = name;
        usable += works;
        n++;
    }
    ck_assert_int_gt(usable, 0);
    for (i = n; i < n + 5; i++)
        ck_assert_ptr_null(gnp_poller_name(i, &works));
    if (gnp_env("GANNET_POLLER") == NULL) {
        gnp_poller *p;
        ck_assert_int_eq(gnp_poller_open(&p, NULL), GNP_OK);
        ck_assert_str_eq(gnp_poller_backend(p), first);
        gnp_poller_close(p);
    }
}
END_TEST

START_TEST(unknown_poller)
{
    gnp_poller *p;
    gnp_poller_config c = { .name = "no such poller" };

    ck_assert_int_eq(gnp_poller_open(&p, &c), GNP_ENOENT);
    c.name = "";
    ck_assert_int_eq(gnp_poller_open(&p, &c), GNP_ENOENT);
}
END_TEST

START_TEST(open_and_close)
{
    gnp_poller_config c = { .read_buffer = 1, .dgram_size = 1, .dgram_batch = 1 };
    subject t;
    int i;

    for (i = 0; i < 50; i++) {
        subject_open_poller(&t, _i, i % 2 != 0 ? &c : NULL);
        ck_assert_int_eq(step(&t, ROUND, 0), 0);
        subject_close(&t);
    }
}
END_TEST

typedef struct heap {
    uint64_t calls, fail_at;
    int64_t blocks, bytes;
} heap;

static void *heap_alloc(size_t size, void *user)
{
    heap *h = user;

    if (++h->calls == h->fail_at)
        return NULL;
    h->blocks++;
    h->bytes += (int64_t)size;
    return malloc(size);
}

static void *heap_realloc(void *p, size_t old_size, size_t new_size, void *user)
{
    heap *h = user;

    if (++h->calls == h->fail_at)
        return NULL;
    h->bytes += (int64_t)new_size - (int64_t)old_size;
    return realloc(p, new_size);
}

static void heap_free(void *p, size_t size, void *user)
{
    heap *h = user;

    h->blocks--;
    h->bytes -= (int64_t)size;
    free(p);
}

/* A life of a poller in which any allocation may fail.  Returns GNP_OK or GNP_ENOMEM. */
static int live(subject *t, gnp_sock *s, const gnp_poller_config *c)
{
    gnp_sock_opts o = { .v6only = -1 };
    gnp_sock d;
    gnp_addr a;
    gnp_dgram g;
    unsigned sent;
    gnp_dgram_out out = { "x", 1, &a, 0 };
    int i, r = gnp_poller_open(&t->p, c), attached = 0;

    if (r != GNP_OK)
        return r;
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_dgram_open(&d, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&d, &a), GNP_OK);
    r = gnp_attach(t->p, &d, GNP_READ);
    if (r != GNP_OK) {
        gnp_sock_close(&d, 0);
        goto end;
    }
    for (i = 0; i < 80 && r == GNP_OK; i++) { /* more than fit into a first array */
        ip_addr(&t->addr, "127.0.0.1", 0);
        ck_assert_int_eq(gnp_dgram_open(&s[i], &t->addr, &o), GNP_OK);
        r = gnp_attach(t->p, &s[i], GNP_READ);
        if (r != GNP_OK)
            gnp_sock_close(&s[i], 0); /* it stays detached */
        else
            attached++;
    }
    if (r == GNP_OK) {
        for (i = 0; i < 3; i++) /* two are left in hand at the close */
            ck_assert_int_eq(gnp_sendto(t->p, &d, &out, 1, &sent), GNP_OK);
        await(t, &d, GNP_EV_READABLE);
        r = gnp_recvfrom(t->p, &d, &g);
        if (r == GNP_OK) {
            ck_assert(g.len == 1 && memcmp(g.data, "x", 1) == 0);
            gnp_recv_done(t->p, &d);
        } else { /* it is not lost for that */
            await(t, &d, GNP_EV_READABLE);
            ck_assert_int_eq(gnp_recvfrom(t->p, &d, &g), GNP_OK);
            gnp_recv_done(t->p, &d);
        }
    }
    while (attached > 0)
        gnp_close(t->p, &s[--attached], 0);
    gnp_close(t->p, &d, 0);
end:
    gnp_poller_close(t->p);
    return r;
}

START_TEST(no_memory)
{
    static gnp_sock s[80];
    heap h = { 0 };
    gnp_mem hooks = { heap_alloc, heap_realloc, heap_free, &h };
    gnp_poller_config c = { 0 };
    gnp_reserve before = { -1 }, after = { -1 };
    intptr_t lowest;
    subject t;
    int r = GNP_ENOMEM, failures = 0;

    subject_open_poller(&t, _i, NULL);
    c.name = t.name;
    c.edge = t.edge;
    subject_close(&t);
    ck_assert_int_eq(gnp_reserve_take(&before), GNP_OK);
    lowest = before.os;
    gnp_reserve_release(&before);
    gnp_mem_hooks(&hooks);
    while (r != GNP_OK) {
        h.calls = 0;
        h.fail_at++;
        ck_assert_uint_lt(h.fail_at, 1000);
        r = live(&t, s, &c);
        ck_assert_msg(r == GNP_OK || r == GNP_ENOMEM, "%d", r);
        failures += r != GNP_OK;
        ck_assert_int_eq(h.blocks, 0);
        ck_assert_int_eq(h.bytes, 0);
    }
    gnp_mem_hooks(NULL);
    ck_assert_int_ge(failures, 2);
    ck_assert_int_eq(gnp_reserve_take(&after), GNP_OK);
    ck_assert_msg(after.os <= lowest, "descriptors were left behind");
    gnp_reserve_release(&after);
}
END_TEST

/* Steady traffic allocates nothing. */
START_TEST(no_allocation_in_steady_state)
{
    heap h = { 0 };
    gnp_mem hooks = { heap_alloc, heap_realloc, heap_free, &h };
    subject t;
    gnp_sock s, peer, d;
    gnp_sock_opts o = { .v6only = -1 };
    uint64_t offset = 0, sent = 0, calls = 0;
    gnp_addr a;
    int i;

    gnp_mem_hooks(&hooks);
    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_dgram_open(&d, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_local(&d, &a), GNP_OK);
    ck_assert_int_eq(gnp_attach(t.p, &d, GNP_READ), GNP_OK);
    for (i = 0; i < 200; i++) {
        gnp_dgram_out out = { "x", 1, &a, 0 };
        gnp_dgram g;
        unsigned n;
        size_t m;
        gnp_iov v = { "y", 1 };
        if (i == 3)
            calls = h.calls;
        peer_fill(&t, &peer, &sent, 1000);
        expect(&t, &s, &offset, 1000);
        ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, 0, &m), GNP_OK);
        ck_assert_int_eq(gnp_sendto(t.p, &d, &out, 1, &n), GNP_OK);
        await(&t, &d, GNP_EV_READABLE);
        ck_assert_int_eq(gnp_recvfrom(t.p, &d, &g), GNP_OK);
        gnp_recv_done(t.p, &d);
        gnp_want(t.p, &s, 0);
        gnp_wake(t.p);
        step(&t, ROUND, 0);
        gnp_want(t.p, &s, GNP_READ);
    }
    ck_assert_uint_eq(h.calls, calls);
    gnp_close(t.p, &d, 0);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_mem_hooks(NULL);
    ck_assert_int_eq(h.blocks, 0);
    ck_assert_int_eq(h.bytes, 0);
}
END_TEST

START_TEST(memory_hooks)
{
    heap h = { 0 };
    gnp_mem hooks = { heap_alloc, heap_realloc, heap_free, &h };
    unsigned char *p, *q;
    int i;

    gnp_mem_hooks(&hooks);
    p = gnp_alloc(0);
    ck_assert_ptr_nonnull(p);
    gnp_free(p, 0);
    p = gnp_zalloc(100);
    for (i = 0; i < 100; i++)
        ck_assert_int_eq(p[i], 0);
    p[99] = 7;
    h.fail_at = h.calls + 1;
    ck_assert_ptr_null(gnp_realloc(p, 100, 200));
    ck_assert_int_eq(p[99], 7);
    p = gnp_realloc(p, 100, 200);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p[99], 7);
    q = gnp_realloc(NULL, 0, 50);
    ck_assert_ptr_nonnull(q);
    gnp_free(q, 50);
    gnp_free(p, 200);
    gnp_free(NULL, 10);
    ck_assert_int_eq(h.blocks, 0);
    ck_assert_int_eq(h.bytes, 0);
    gnp_mem_hooks(NULL);
    gnp_free(gnp_alloc(10), 10);
}
END_TEST

Suite *suite_poller(void)
{
    Suite *s = suite_create("poller");

    ADD_TEST(s, list_of_pollers);
    ADD_TEST(s, unknown_poller);
    ADD_TEST(s, memory_hooks);
    ADD_POLLER_TEST(s, open_and_close);
    ADD_POLLER_TEST(s, no_memory);
    ADD_POLLER_TEST(s, no_allocation_in_steady_state);
    return s;
}
