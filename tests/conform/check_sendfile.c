/* SPDX-License-Identifier: MIT */
/* gnp_sendfile: bytes of a file, by the clauses of gnp_send. */
#include "conform.h"

#define SIZE 3000017u /* more than the buffers hold, which are made small */

START_TEST(whole_file)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(SIZE);
    uint64_t at = 0, got = 0, sent, size;
    int r, full = 0;

    ck_assert_int_eq(gnp_file_size(os, &size), GNP_OK);
    ck_assert_uint_eq(size, SIZE);
    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sock_set(&s, GNP_OPT_SEND_BUFFER, 100000), GNP_OK);
    ck_assert_int_eq(gnp_sock_set(&peer, GNP_OPT_RECV_BUFFER, 100000), GNP_OK);
    while (at < SIZE) {
        r = gnp_sendfile(t.p, &s, os, at, SIZE - at, &sent);
        ck_assert(r == GNP_OK || (r == GNP_AGAIN && sent == 0));
        ck_assert(r != GNP_OK || sent > 0);
        ck_assert_uint_le(sent, SIZE - at);
        at += sent;
        if (at == SIZE)
            break;
        full++;
        peer_expect(&t, &peer, &got, (size_t)(at - got));
        await(&t, &s, GNP_EV_WRITABLE);
    }
    ck_assert_int_gt(full, 0);
    peer_expect(&t, &peer, &got, (size_t)(at - got));
    quiet(&t, NULL, ~0u);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

/* From the middle, and no more than was asked for; the file's own position has no part in it. */
START_TEST(part_of_a_file)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(20000);
    uint64_t got = 777, sent;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 777, 1, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 1);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 778, 17000, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 17000);
    peer_expect(&t, &peer, &got, 17001);
    ck_assert_int_eq(gnp_want(t.q, &peer, GNP_READ), GNP_OK);
    quiet(&t, &s, ~0u);
    ck_assert_int_eq(gnp_poller_wait(t.q, t.qev, ROUND, gnp_now() + QUIET), 0);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

/* Less there than asked for: what there is, then GNP_EOF, and the connection goes on. */
START_TEST(file_that_ends)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(1000);
    uint64_t got = 0, sent;
    size_t n;
    gnp_iov v = { "", 1 };

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 0, 5000, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 1000);
    await(&t, &s, GNP_EV_WRITABLE);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 1000, 4000, &sent), GNP_EOF);
    ck_assert_uint_eq(sent, 0);
    quiet(&t, &s, ~0u);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 1u << 30, 1, &sent), GNP_EOF);
    peer_expect(&t, &peer, &got, 1000);
    ck_assert_int_eq(gnp_send(t.p, &s, &v, 1, 0, &n), GNP_OK);
    got = 0;
    peer_expect(&t, &peer, &got, 1);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

START_TEST(no_file)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(1000);
    uint64_t sent = 1;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, -1, 0, 1, &sent), GNP_EINVAL);
    ck_assert_uint_eq(sent, 0);
    ck_assert_int_lt(gnp_sendfile(t.p, &s, peer.os, 0, 1, &sent), GNP_AGAIN); /* a socket is none */
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, UINT64_MAX - 1, 1, &sent), GNP_EINVAL);
    quiet(&t, &s, ~0u);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

/* The peer is gone: an error and no signal. */
START_TEST(broken_connection)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(100000);
    uint64_t sent, limit = gnp_now() + PATIENCE;
    int r;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    peer_close(&t, &peer, 1);
    do { /* the first may still find room */
        r = gnp_sendfile(t.p, &s, os, 0, 100000, &sent);
        ck_assert(gnp_now() < limit);
    } while (r == GNP_OK || r == GNP_AGAIN);
    ck_assert(r == GNP_EPIPE || r == GNP_ECONNRESET);
    r = gnp_sendfile(t.p, &s, os, 0, 100000, &sent);
    ck_assert(r == GNP_EPIPE || (r == GNP_ECONNRESET && emulator_lacks("broken-pipes", NULL)));
    gnp_close(t.p, &s, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

/* What the poller has lent is not disturbed by a send in between. */
START_TEST(while_a_span_is_lent)
{
    subject t;
    gnp_sock s, peer;
    intptr_t os = stream_file(40000);
    uint64_t offset = 0, got = 0, sent;
    const void *data;
    size_t n;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, GNP_READ);
    offset = 100;
    peer_fill(&t, &peer, &offset, 500);
    await(&t, &s, GNP_EV_READABLE);
    ck_assert_int_eq(gnp_recv(t.p, &s, &data, &n), GNP_OK);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 0, 40000, &sent), GNP_OK);
    ck_assert(stream_matches(data, 100, n));
    gnp_recv_done(t.p, &s);
    peer_expect(&t, &peer, &got, (size_t)sent);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

/* A file that the system's own call does not take is copied.  On Linux that is one whose text is made as it
 * is read: sendfile(2) answers EINVAL for it, since 5.10. */
START_TEST(file_that_must_be_copied)
{
    subject t;
    gnp_sock s, peer;
    unsigned char want[64];
    intptr_t os;
    uint64_t sent;
    size_t size;
    FILE *f;

    if (gnp_file_open(&os, "/proc/self/cmdline") != GNP_OK) {
        printf("no file here that must be copied\n");
        return;
    }
    f = fopen("/proc/self/cmdline", "rb");
    ck_assert_ptr_nonnull(f);
    size = fread(want, 1, sizeof(want), f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_uint_gt(size, 4);
    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert_int_eq(gnp_sendfile(t.p, &s, os, 4, size - 4, &sent), GNP_OK);
    ck_assert_uint_eq(sent, size - 4);
    peer_expect_bytes(&t, &peer, want + 4, size - 4);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    gnp_descriptor_close(os);
}
END_TEST

Suite *suite_sendfile(void)
{
    Suite *s = suite_create("sendfile");

    ADD_STREAM_TEST(s, whole_file);
    ADD_STREAM_TEST(s, part_of_a_file);
    ADD_STREAM_TEST(s, file_that_ends);
    ADD_STREAM_TEST(s, no_file);
    ADD_STREAM_TEST(s, broken_connection);
    ADD_STREAM_TEST(s, while_a_span_is_lent);
    ADD_STREAM_TEST(s, file_that_must_be_copied);
    return s;
}
