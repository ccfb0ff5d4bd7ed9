/* SPDX-License-Identifier: MIT */
/* What only Windows has: files for overlapped use, connections that are made ahead of gnp_accept, and a
 * hang-up that nobody but a packet can tell. */
#include "platform/win32/win32.h"

#include "conform.h"

#define SIZE 40000u

/* A file of the stream's first SIZE bytes, opened with flags; it goes away with its handle. */
static HANDLE open_file(DWORD flags)
{
    static unsigned char buf[SIZE];
    char path[32];
    HANDLE h;
    FILE *f;

    temp_name(path, sizeof(path), "data");
    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    stream_fill(buf, 0, SIZE);
    ck_assert_uint_eq(fwrite(buf, 1, SIZE, f), SIZE);
    ck_assert_int_eq(fclose(f), 0);
    h = CreateFileA(path, GENERIC_READ, GNP_WX_SHARE, NULL, OPEN_EXISTING, flags | FILE_FLAG_DELETE_ON_CLOSE,
                    NULL);
    ck_assert_ptr_ne(h, INVALID_HANDLE_VALUE);
    return h;
}

/* The bytes come, and no packet goes to the port that the handle's owner waits on. */
START_TEST(overlapped_file)
{
    HANDLE h = open_file(FILE_FLAG_OVERLAPPED), port = CreateIoCompletionPort(h, NULL, 7, 1);
    subject t;
    gnp_sock s, peer;
    uint64_t at = 0, got = 0, sent;
    OVERLAPPED *ov;
    ULONG_PTR key;
    DWORD n;

    ck_assert_ptr_nonnull(port);
    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    while (at < SIZE) {
        ck_assert_int_eq(gnp_sendfile(t.p, &s, (intptr_t)h, at, SIZE - at, &sent), GNP_OK);
        ck_assert_uint_gt(sent, 0);
        at += sent;
        peer_expect(&t, &peer, &got, (size_t)(at - got));
    }
    ck_assert(!GetQueuedCompletionStatus(port, &n, &key, &ov, 0));
    ck_assert_ptr_null(ov);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    CloseHandle(h);
    CloseHandle(port);
}
END_TEST

/* gannet.h: a file's offset does not move. */
START_TEST(place_in_a_file)
{
    HANDLE h = open_file(0);
    LARGE_INTEGER place = { .QuadPart = 5 };
    subject t;
    gnp_sock s, peer;
    uint64_t got = 100, sent;

    subject_open_stream(&t, _i, NULL);
    pair(&t, &s, &peer, 0);
    ck_assert(SetFilePointerEx(h, place, NULL, FILE_BEGIN));
    ck_assert_int_eq(gnp_sendfile(t.p, &s, (intptr_t)h, 100, 1000, &sent), GNP_OK);
    ck_assert_uint_eq(sent, 1000);
    peer_expect(&t, &peer, &got, 1000);
    place.QuadPart = 0;
    ck_assert(SetFilePointerEx(h, place, &place, FILE_CURRENT));
    ck_assert_int_eq(place.QuadPart, 5);
    gnp_close(t.p, &s, 0);
    peer_close(&t, &peer, 0);
    subject_close(&t);
    CloseHandle(h);
}
END_TEST

/* How many HANGUPs come in a while; nothing else may. */
static int hangups(subject *t)
{
    uint64_t limit = gnp_now() + 10 * QUIET;
    int n = 0;

    while (gnp_now() < limit) {
        step(t, ROUND, limit);
        for (int i = 0; i < t->n; i++) {
            ck_assert_uint_eq(t->ev[i].what, GNP_EV_HANGUP);
            n++;
        }
    }
    return n;
}

/* Paused behind a reset: with bytes that nobody has read, or without any. */
START_TEST(paused_after_the_reset)
{
    subject t;
    gnp_sock s, peer;
    uint64_t sent = 0, offset = 0;

    for (int bytes = 0; bytes <= 300; bytes += 300) {
        subject_open_stream(&t, _i, NULL);
        pair(&t, &s, &peer, GNP_READ);
        peer_fill(&t, &peer, &sent, 300);
        if (bytes == 0)
            expect(&t, &s, &offset, 300);
        else
            await(&t, &s, GNP_EV_READABLE);
        peer_close(&t, &peer, 1);
        gnp_sleep_until(gnp_now() + 50 * MS);
        ck_assert_int_eq(gnp_want(t.p, &s, 0), GNP_OK);
        ck_assert_int_eq(hangups(&t), 1);
        gnp_close(t.p, &s, 0);
        subject_close(&t);
    }
}
END_TEST

#define BURST 3

/* A listener that is paused has no connections made for it that its duplicate should get. */
START_TEST(paused_listener_and_its_duplicate)
{
    subject t, to;
    gnp_sock l, s, peer[BURST];
    intptr_t os;

    subject_open_stream(&t, _i, NULL);
    subject_open_poller(&to, _i, NULL);
    ck_assert_int_eq(gnp_want(t.p, &t.listener, 0), GNP_OK);
    quiet(&t, NULL, ~0u);
    ck_assert_int_eq(gnp_sock_dup(&t.listener, &os), GNP_OK);
    ck_assert_int_eq(gnp_sock_import(&l, os), GNP_OK);
    ck_assert_int_eq(gnp_attach(to.p, &l, GNP_READ), GNP_OK);
    for (int i = 0; i < BURST; i++)
        peer_connect(&t, &peer[i]);
    for (int i = 0; i < BURST; i++) {
        int r = gnp_accept(to.p, &l, &s, NULL);
        if (r == GNP_AGAIN) {
            await(&to, &l, GNP_EV_READABLE);
            r = gnp_accept(to.p, &l, &s, NULL);
        }
        ck_assert_int_eq(r, GNP_OK);
        gnp_sock_close(&s, 0);
    }
    for (int i = 0; i < BURST; i++)
        peer_close(&t, &peer[i], 0);
    gnp_close(to.p, &l, 0);
    subject_close(&to);
    subject_close(&t);
}
END_TEST

Suite *suite_port(void)
{
    Suite *s = suite_create("port");

    ADD_STREAM_TEST(s, overlapped_file);
    ADD_STREAM_TEST(s, place_in_a_file);
    ADD_STREAM_TEST(s, paused_after_the_reset);
    ADD_STREAM_TEST(s, paused_listener_and_its_duplicate);
    add_interlocked_tests(s);
    return s;
}
