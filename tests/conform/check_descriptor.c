/* SPDX-License-Identifier: MIT */
/* Descriptors that go in and out. */
#include "conform.h"

/* Soft limit of descriptors at which nothing is left; returns the one before. */
static uint64_t use_up(gnp_reserve *all, int cap, int *n)
{
    uint64_t before = gnp_descriptor_limit(0);

    ck_assert_int_eq(gnp_descriptor_limit_set((uint64_t)cap), GNP_OK);
    for (*n = 0; *n < cap; ++*n) {
        all[*n].os = -1;
        if (gnp_reserve_take(&all[*n]) != GNP_OK)
            break;
    }
    return before;
}

static void give_back(gnp_reserve *all, int n, uint64_t limit)
{
    while (n > 0)
        gnp_reserve_release(&all[--n]);
    ck_assert_int_eq(gnp_descriptor_limit_set(limit), GNP_OK);
}

/* A duplicate of an attached stream, imported and attached elsewhere, is the same connection. */
START_TEST(duplicated_stream)
{
    subject t;
    gnp_sock s, peer, twin;
    intptr_t os;
    uint64_t offset = 0, sent = 0;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sock_dup(&s, &os), GNP_OK);
    ck_assert_int_ge(os, 3);
    ck_assert_int_ne(os, s.os);
    ck_assert_int_eq(gnp_sock_import(&twin, os), GNP_OK);
    ck_assert_int_eq(twin.os, os);
    ck_assert_int_eq(twin.kind, GNP_STREAM);
    ck_assert_int_eq(twin.family, t.addr.family);
    ck_assert_int_eq(gnp_close(t.p, &s, 0), GNP_OK); /* the connection lives on in the twin */
    ck_assert_int_eq(gnp_attach(t.p, &twin, GNP_READ), GNP_OK);
    peer_fill(&t, &peer, &sent, 300);
    expect(&t, &twin, &offset, 300);
    gnp_close(t.p, &twin, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(duplicated_listener)
{
    subject t;
    gnp_sock l, s, peer;
    intptr_t os, again;

    subject_open_stream(&t, _i, NULL);
    ck_assert_int_eq(gnp_sock_dup(&t.listener, &os), GNP_OK);
    ck_assert_int_eq(gnp_descriptor_dup(os, &again), GNP_OK);
    gnp_descriptor_close(os);
    ck_assert_int_eq(gnp_close(t.p, &t.listener, 0), GNP_OK);
    ck_assert_int_eq(gnp_sock_import(&l, again), GNP_OK);
    ck_assert_int_eq(l.kind, GNP_LISTENER);
    ck_assert_int_eq(l.family, t.addr.family);
    t.listener = l;
    ck_assert_int_eq(gnp_attach(t.p, &t.listener, GNP_READ), GNP_OK);
    pair(&t, &s, &peer, 0);
    if (t.tp != UNIX_STREAM) { /* the listener of the harness has it, and an import keeps it */
        int64_t v = 0;
        ck_assert_int_eq(gnp_sock_get(&s, GNP_OPT_NODELAY, &v), GNP_OK);
        ck_assert_int_eq(v, 1);
    }
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

START_TEST(imported_datagram_socket)
{
    gnp_sock_opts o = { .v6only = -1 };
    gnp_sock s, in;
    gnp_addr a;

    ip_addr(&a, "127.0.0.1", 0);
    ck_assert_int_eq(gnp_dgram_open(&s, &a, &o), GNP_OK);
    ck_assert_int_eq(gnp_sock_import(&in, s.os), GNP_OK);
    ck_assert_int_eq(in.kind, GNP_DGRAM);
    ck_assert_int_eq(in.family, GNP_FAMILY_IPV4);
    gnp_sock_close(&in, 0);
}
END_TEST

START_TEST(nothing_to_import)
{
    gnp_reserve file = { -1 };
    gnp_sock in;
    uint64_t size;
    intptr_t os;

    ck_assert_int_eq(gnp_sock_import(&in, -1), GNP_EINVAL);
    ck_assert_int_eq(in.os, -1);
    ck_assert_int_eq(gnp_sock_import(&in, 100000), GNP_EINVAL);
    ck_assert_int_eq(gnp_reserve_take(&file), GNP_OK);
    ck_assert_int_eq(gnp_sock_import(&in, file.os), GNP_EINVAL); /* no socket, */
    ck_assert_int_eq(in.os, -1);
    ck_assert_int_eq(gnp_descriptor_dup(file.os, &os), GNP_OK); /* and still the caller's */
    ck_assert_int_eq(gnp_file_size(os, &size), GNP_EINVAL); /* a device */
    gnp_descriptor_close(os);
    gnp_reserve_release(&file);
    ck_assert_int_eq(gnp_descriptor_dup(-1, &os), GNP_EINVAL);
    ck_assert_int_eq(os, -1);
    ck_assert_int_eq(gnp_file_size(-1, &size), GNP_EINVAL);
    ck_assert_int_eq(gnp_file_open(&os, "no/such/file"), GNP_ENOENT);
    ck_assert_int_eq(os, -1);
    gnp_descriptor_close(-1); /* no harm */
}
END_TEST

#define LIMIT 64

START_TEST(no_descriptor_to_duplicate)
{
    static gnp_reserve all[LIMIT];
    subject t;
    gnp_sock s, peer;
    intptr_t os;
    uint64_t before;
    int n;

    if (gnp_descriptor_limit_set(gnp_descriptor_limit(0)) == GNP_ENOTSUP) {
        printf("descriptors cannot be limited here\n");
        return;
    }
    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    before = use_up(all, LIMIT, &n);
    ck_assert_int_eq(gnp_sock_dup(&s, &os), GNP_EMFILE);
    ck_assert_int_eq(os, -1);
    ck_assert_int_eq(gnp_descriptor_dup(s.os, &os), GNP_EMFILE);
    give_back(all, n, before);
    ck_assert_int_eq(gnp_sock_dup(&s, &os), GNP_OK);
    gnp_descriptor_close(os);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
}
END_TEST

Suite *suite_descriptor(void)
{
    Suite *s = suite_create("descriptor");

    ADD_STREAM_TEST(s, duplicated_stream);
    ADD_STREAM_TEST(s, duplicated_listener);
    ADD_TEST(s, imported_datagram_socket);
    ADD_TEST(s, nothing_to_import);
    ADD_STREAM_TEST(s, no_descriptor_to_duplicate);
    return s;
}
