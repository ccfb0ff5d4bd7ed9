/* SPDX-License-Identifier: MIT */
/* The framing helpers on connections: on the lent span, on what was left of it, and on their seams. */
#include "harness.h"

#define FRAMES 300u
#define BODY_MAX 3000u

/* What kind of frame connection bytes are cut into. */
typedef enum kind { LINES, DELIMITED, FIXED, LENGTH, VARINT, KINDS } kind;

static const gn_length_field field = { 2, 4, 1, -6, BODY_MAX, 0 };

static int take(gn_conn *c, kind k, gn_frame *f)
{
    switch (k) {
    case LINES: return gn_conn_read_line(c, BODY_MAX, f);
    case DELIMITED: return gn_conn_read_delimited(c, "--end--", 7, BODY_MAX, f);
    case FIXED: return gn_conn_read_fixed(c, 37, f);
    case LENGTH: return gn_conn_read_length(c, &field, f);
    default: return gn_conn_read_varint(c, BODY_MAX, f);
    }
}

/* Frame i as the client sends it; its body begins at *at. */
static size_t make(kind k, unsigned i, unsigned char *out, size_t *at, size_t *len)
{
    uint64_t r = i;
    size_t n = nt_random(&r) % 10 == 0 ? BODY_MAX : (size_t)(nt_random(&r) % 60);
    size_t head = k == LENGTH ? 6 : k == VARINT ? gn_put_varint(out, n) : 0;

    n = k == FIXED ? 37 : n;
    for (size_t b = 0; b < n; b++)
        out[head + b] = (unsigned char)("abc-"[nt_random(&r) % 4]);
    if (k == LENGTH) {
        size_t whole = n + 6;
        out[0] = out[1] = 0xee;
        for (unsigned b = 0; b < 4; b++)
            out[2 + b] = (unsigned char)(whole >> (8 * b));
    }
    *at = head;
    *len = n;
    if (k == LINES && i % 2 != 0)
        out[head + n++] = '\r';
    if (k == LINES)
        out[head + n++] = '\n';
    if (k == DELIMITED) {
        memcpy(out + head + n, "--end--", 7);
        n += 7;
    }
    return head + n;
}

typedef struct cutter {
    kind k;
    unsigned next; /* frame */
    unsigned calls;
} cutter;

/* Compares each frame with the one that was sent.  Only every other call takes what is complete, so that
 * frames begin in what an earlier call left. */
static gn_action cut_traffic(gn_conn *c, void *user)
{
    static unsigned char want[BODY_MAX + 32];
    cutter *t = user;
    gn_frame f = { NULL, 0 };
    size_t at, len, before;
    int rc;

    if (t->calls++ % 2 != 0 && gn_conn_inbound(c) < 20000)
        return GN_NONE;
    while (before = gn_conn_inbound(c), (rc = take(c, t->k, &f)) == GN_OK) {
        size_t all = make(t->k, t->next, want, &at, &len);
        NT_EXPECT_INT(f.len, len);
        NT_EXPECT(memcmp(f.data, want + at, len) == 0);
        NT_EXPECT_INT(before - gn_conn_inbound(c), all);
        if (++t->next == FRAMES)
            return GN_CLOSE;
    }
    NT_EXPECT_INT(rc, GN_EAGAIN);
    NT_EXPECT_INT(gn_conn_inbound(c), before);
    return GN_NONE;
}

/* What is left when a callback waits for more is looked at again without new bytes at the end. */
static gn_action cut_eof(gn_conn *c, void *user)
{
    cutter *t = user;
    t->calls = 0;
    if (cut_traffic(c, user) != GN_CLOSE)
        nt_wrong(__FILE__, __LINE__, "ended at frame %u of %u", t->next, FRAMES);
    return GN_CLOSE;
}

START_TEST(frames)
{
    static const gn_handler h = { .on_traffic = cut_traffic, .on_eof = cut_eof, .on_close = nt_on_close };
    cutter t = { (kind)(_i % KINDS), 0, 0 };
    int small = _i >= KINDS; /* reads of 1 KiB, sent in small pieces */
    gn_options o = nt_options(1);
    gn_engine *e;
    tc_net *net;
    tc *c;
    unsigned char *all = malloc(FRAMES * (BODY_MAX + 32u));
    size_t n = 0, at, len;
    uint64_t r = 1;

    ck_assert_ptr_nonnull(all);
    o.read_buffer = small ? 1024 : o.read_buffer;
    e = nt_start(&h, &t, &o, "tcp://127.0.0.1:0", (char *)NULL);
    net = tc_net_open();
    c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < FRAMES; i++)
        n += make(t.k, i, all + n, &at, &len);
    for (size_t sent = 0; sent < n;) {
        size_t most = small ? 1 + nt_random(&r) % 700 : 1 + nt_random(&r) % 100000;
        size_t piece = n - sent < most ? n - sent : most;
        ck_assert_int_eq(tc_send_all(c, all + sent, piece), GNP_OK);
        sent += piece;
    }
    ck_assert_int_eq(tc_shutdown(c), GNP_OK);
    nt_await(NT_CLOSE, 1);
    ck_assert_uint_eq(t.next, FRAMES);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
    free(all);
}
END_TEST

/* ---------------------------------------------------------------- one byte at a time */

static gn_action slow_traffic(gn_conn *c, void *user)
{
    gn_frame f;
    int rc = gn_conn_read_line(c, 5, &f);
    (void)user;
    nt_note(NT_TRAFFIC, gn_conn_inbound(c), rc);
    if (rc == GN_OK) {
        gn_iov iov[3] = { { "[", 1 }, { f.data, f.len }, { "]", 1 } };
        NT_EXPECT_INT(gn_conn_writev(c, iov, 3), GN_OK);
    }
    return rc == GN_EMSGSIZE ? GN_CLOSE : GN_NONE;
}

/* Each byte has its own turn; a line that is too long is known at its sixth byte, and nothing of it is
 * consumed. */
START_TEST(line_by_bytes)
{
    static const gn_handler h = { .on_traffic = slow_traffic, .on_close = nt_on_close };
    static const char text[] = "a\r\n\nhello\r\nlonger";
    gn_options o = nt_options(1);
    gn_engine *e = nt_start(&h, NULL, &o, "tcp://127.0.0.1:0", (char *)NULL);
    tc_net *net = tc_net_open();
    tc *c = tc_connect(net, nt_url(e, 0));
    for (unsigned i = 0; i < sizeof text - 1; i++) {
        ck_assert_int_eq(tc_send_all(c, text + i, 1), GNP_OK);
        nt_await(NT_TRAFFIC, i + 1);
        int want = text[i] == '\n' ? GN_OK : i == sizeof text - 2 ? GN_EMSGSIZE : GN_EAGAIN;
        ck_assert_int_eq(nt_nth(NT_TRAFFIC, i).status, want);
    }
    ck_assert_uint_eq(nt_nth(NT_TRAFFIC, sizeof text - 2).id, 6);
    ck_assert_int_eq(tc_recv_text(c, "[a][][hello]"), GNP_OK);
    nt_await(NT_CLOSE, 1);
    tc_close(c);
    nt_stop(e, NT_SECOND);
    tc_net_close(net);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("framing");
    TCase *t = nt_case(s, "framing", 20);
    tcase_add_loop_test(t, frames, 0, 2 * KINDS);
    tcase_add_test(t, line_by_bytes);
    return nt_main(s);
}
