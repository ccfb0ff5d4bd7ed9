/* SPDX-License-Identifier: MIT */
/*
 * Addresses in text: what gn_addr_parse takes, against a plain reading of RFC 4291 and of dotted quads; what
 * it takes goes to text and back unchanged; the same for what listeners and dials take, but for names.
 */
#include "fuzz.h"

#include "lib/addr.h"
#include "platform/sock.h"

typedef struct span {
    const char *p;
    size_t n;
} span;

static int digit(char c)
{
    return c >= '0' && c <= '9';
}

/* a.b.c.d, without zeros before other digits. */
static int quad(span s, uint8_t out[4])
{
    size_t at = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned v = 0;
        size_t first = at;

        while (at < s.n && digit(s.p[at]) && at - first < 3)
            v = v * 10 + (unsigned)(s.p[at++] - '0');
        if (at == first || v > 255 || (s.p[first] == '0' && at - first > 1))
            return 0;
        out[i] = (uint8_t)v;
        if (i < 3 && (at == s.n || s.p[at++] != '.'))
            return 0;
    }
    return at == s.n;
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)((at - digits) & 15) : -1;
}

/* Groups from *at on, at most max, up to "::" or the end; 2 bytes each, a quad as the last of the address is
 * two.  How many, or -1. */
static int groups(span s, size_t *at, int max, uint8_t *out)
{
    int n = 0;

    while (n < max) {
        size_t first = *at;
        unsigned v = 0;
        span rest = { s.p + *at, s.n - *at };

        if (max - n >= 2 && quad(rest, out + 2 * n)) {
            *at = s.n;
            return n + 2;
        }
        while (*at < s.n && hex(s.p[*at]) >= 0 && *at - first < 4)
            v = v << 4 | (unsigned)hex(s.p[(*at)++]);
        if (*at == first)
            return n == 0 ? 0 : -1; /* after a colon there must be one */
        out[2 * n] = (uint8_t)(v >> 8);
        out[2 * n++ + 1] = (uint8_t)v;
        if (*at == s.n || (s.n - *at >= 2 && memcmp(s.p + *at, "::", 2) == 0))
            return n;
        if (s.p[*at] != ':' || n == max)
            return -1;
        ++*at;
    }
    return n;
}

/* RFC 4291 2.2; "::" stands for one group at least. */
static int v6(span s, uint8_t out[16])
{
    uint8_t tail[16];
    size_t at = 0;
    int before, after;

    memset(out, 0, 16);
    before = groups(s, &at, 8, out);
    if (before < 0)
        return 0;
    if (at == s.n)
        return before == 8;
    if (s.n - at < 2 || memcmp(s.p + at, "::", 2) != 0 || before == 8)
        return 0;
    at += 2;
    if (at == s.n)
        return 1;
    after = groups(s, &at, 7 - before, tail);
    if (after <= 0 || at != s.n)
        return 0;
    memcpy(out + 16 - 2 * after, tail, 2 * (size_t)after);
    return 1;
}

static int port(span s, unsigned *out)
{
    *out = 0;
    if (s.n == 0 || s.n > 5)
        return 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!digit(s.p[i]))
            return 0;
        *out = *out * 10 + (unsigned)(s.p[i] - '0');
    }
    return *out <= 65535;
}

/* What the text is: 1 with *out, 0 if it is no address, -1 if only the system knows (a zone). */
static int expected(const char *text, size_t n, gnp_addr *out)
{
    const char *end = n > 0 && text[0] == '[' ? memchr(text, ']', n) : NULL;
    const char *colon = end != NULL ? end + 1 : memchr(text, ':', n);
    unsigned number;
    span host;

    memset(out, 0, sizeof *out);
    if (colon == NULL || *colon != ':' || !port((span){ colon + 1, (size_t)(text + n - colon) - 1 }, &number))
        return 0;
    out->port = (uint16_t)number;
    if (end == NULL) {
        out->family = GNP_FAMILY_IPV4;
        return quad((span){ text, (size_t)(colon - text) }, out->u.ip);
    }
    host = (span){ text + 1, (size_t)(end - text) - 1 };
    out->family = GNP_FAMILY_IPV6;
    const char *zone = memchr(host.p, '%', host.n);
    if (zone == NULL)
        return v6(host, out->u.ip);
    host.n = (size_t)(zone - host.p);
    return v6(host, out->u.ip) && zone + 1 < end ? -1 : 0;
}

/* ------------------------------------------------------------------ oracles */

/* The text form, cut wherever a buffer may end. */
static void check_cuts(const gn_addr *a, const char *whole, int length)
{
    for (size_t cap = 0; cap <= (size_t)length + 1; cap++) {
        char *cut = malloc(cap);
        int n = gn_addr_format(a, cut, cap);

        must(n == length, "cut to %zu, the length is %d and not %d", cap, n, length);
        if (cap > 0) {
            size_t keep = cap - 1 < (size_t)length ? cap - 1 : (size_t)length;
            must(memcmp(cut, whole, keep) == 0 && cut[keep] == '\0', "cut to %zu: %.*s", cap, (int)keep, cut);
        }
        free(cut);
    }
}

static void check_round_trip(const gn_addr *a, char text[GN_ADDR_TEXT_MAX])
{
    gn_addr again;
    int length = gn_addr_format(a, text, GN_ADDR_TEXT_MAX);

    must(length > 0 && length < (int)GN_ADDR_TEXT_MAX, "an address has %d characters", length);
    must(strlen(text) == (size_t)length, "its text has %zu characters, not %d", strlen(text), length);
    must(gn_addr_parse(text, &again) == GN_OK, "its text is no address: %s", text);
    must(gn_addr_equal(a, &again) && gn_addr_equal(&again, a), "its text is another address: %s", text);
    must(memcmp(a, &again, sizeof again) == 0, "equal addresses differ: %s", text);
    check_cuts(a, text, length);
}

static int is_unix(const char *text)
{
    for (size_t i = 0; i < 4; i++) {
        if ((text[i] | 0x20) != "unix"[i])
            return 0;
    }
    return text[4] == ':';
}

static void check_path(const char *path, int rc, const gn_addr *a)
{
    char text[GN_ADDR_TEXT_MAX];
    size_t n = strlen(path), max = gnp_unix_path_max();

    if (n == 0 || strcmp(path, "@") == 0)
        must(rc == GN_EADDR, "an empty path gives %d", rc);
    else if (n > max)
        must(rc == GN_ENAMETOOLONG, "a path of %zu gives %d", n, rc);
    else
        must(rc == GN_OK, "a path of %zu gives %d", n, rc);
    if (rc != GN_OK)
        return;
    check_round_trip(a, text);
    must(gn_addr_family(a) == GN_FAMILY_UNIX && gn_addr_port(a) == 0, "a path is no Unix address");
    must(strcmp(text + 5, path) == 0, "the path %s became %s", path, text);
}

static void check_ip(const char *text, int rc, const gn_addr *a)
{
    char out[GN_ADDR_TEXT_MAX];
    gnp_addr want, got;
    int is = expected(text, strlen(text), &want);

    must(rc == GN_OK || rc == GN_EADDR, "%s gives %d", text, rc);
    must(is < 0 || (rc == GN_OK) == is, "%s gives %d", text, rc);
    if (rc != GN_OK)
        return;
    gni_addr_get(&got, a);
    must(got.family == want.family && got.port == want.port, "%s: family %d, port %d", text, got.family,
         got.port);
    must(memcmp(got.u.ip, want.u.ip, 16) == 0, "%s is another address", text);
    must(gn_addr_family(a) == (gn_family)want.family && gn_addr_port(a) == want.port, "%s: read wrongly",
         text);
    check_round_trip(a, out);
}

/* Who listens or dials: what is no name comes back from its text.  Never resolves. */
static void check_target(const char *text)
{
    gni_endpoint ep, again;
    char host[GNI_HOST_MAX + 1], name[GNI_HOST_MAX + 1], out[GN_ADDR_TEXT_MAX + 16];
    int rc = gni_target_parse(text, &ep, host), n;

    must(rc == GN_OK || rc == GN_EADDR || rc == GN_ESCHEME || rc == GN_ENAMETOOLONG, "%s gives %d", text,
         rc);
    if (rc != GN_OK)
        return;
    must(strlen(host) <= 253, "a name of %zu", strlen(host));
    if (host[0] != '\0') {
        must(ep.addr.port != 0 && strstr(text, host) != NULL, "%s: the name is %s", text, host);
        must(host[strspn(host, "0123456789.")] != '\0', "%s is a name", host);
        return;
    }
    n = gni_endpoint_format(ep.scheme, &ep.addr, out, sizeof out);
    must(n > 0 && n < (int)sizeof out && strlen(out) == (size_t)n, "%s: a text of %d", text, n);
    must(gni_target_parse(out, &again, name) == GN_OK && name[0] == '\0', "%s became %s, which is none", text,
         out);
    must(again.scheme == ep.scheme && memcmp(&again.addr, &ep.addr, sizeof ep.addr) == 0, "%s became %s",
         text, out);
}

/* Addresses that come from the system and not from text: any zone, and paths that begin with '@'.  What
 * text says of such a path is another way to the same file. */
static void check_raw(input *in)
{
    char text[GN_ADDR_TEXT_MAX];
    gn_addr a, again;
    gnp_addr raw, back;

    memset(&raw, 0, sizeof raw);
    raw.family = next8(in) & 1 ? GNP_FAMILY_UNIX : GNP_FAMILY_IPV6;
    if (raw.family == GNP_FAMILY_IPV6) {
        raw.port = next16(in);
        raw.scope = (uint32_t)next_scaled(in);
        for (unsigned i = 0; i < 16; i++)
            raw.u.ip[i] = next8(in);
        gni_addr_set(&a, &raw);
        check_round_trip(&a, text);
        return;
    }
    while (raw.len < gnp_unix_path_max() && in->n > 0) {
        uint8_t c = next8(in);
        raw.u.path[raw.len] = (char)(c != 0 || raw.len == 0 ? c : 'x');
        raw.len++;
    }
    if (raw.len == 0 || (raw.len == 1 && raw.u.path[0] == '\0'))
        return;
    gni_addr_set(&a, &raw);
    must(gn_addr_format(&a, text, sizeof text) < (int)sizeof text, "a path is too long for its text");
    if (raw.u.path[0] != '@') {
        check_round_trip(&a, text);
        return;
    }
    must(strncmp(text, "unix:./@", 8) == 0, "the path %s would be an abstract name", text);
    if (raw.len + 2u > gnp_unix_path_max())
        return;
    must(gn_addr_parse(text, &again) == GN_OK, "%s is no address", text);
    gni_addr_get(&back, &again);
    must(back.len == raw.len + 2 && memcmp(back.u.path + 2, raw.u.path, raw.len) == 0, "%s is another", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t n = zero != NULL ? (size_t)(zero - data) : size;
    char *text = malloc(n + 1);
    gn_addr a, before;
    int rc;

    must(text != NULL, "the test has no memory");
    if (n > 0)
        memcpy(text, data, n);
    text[n] = '\0';
    memset(&a, 0x5a, sizeof a);
    before = a;
    rc = gn_addr_parse(text, &a);
    must(rc == GN_OK || memcmp(&a, &before, sizeof a) == 0, "%s is none, but was written", text);
    if (is_unix(text))
        check_path(text + 5, rc, &a);
    else
        check_ip(text, rc, &a);
    check_target(text);
    free(text);
    if (size > 1 && data[0] == '\0') { /* no text */
        input in = { data + 1, size - 1 };
        check_raw(&in);
    }
    return 0;
}
