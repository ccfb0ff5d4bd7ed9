/* SPDX-License-Identifier: MIT */
/* Addresses, names, interfaces and paths of the simulated host. */
#include "world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK 1u /* index of the one interface, "lo" */

size_t gnp_unix_path_max(void)
{
    return GNP_UNIX_PATH_MAX - 1;
}

static int zone(const char *text, uint32_t *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (strcmp(text, "lo") == 0)
        n = LOOPBACK;
    else if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 || n > UINT32_MAX)
        return GNP_EADDR;
    *out = (uint32_t)n;
    return GNP_OK;
}

static int parse_v6(const char *text, gnp_addr *out)
{
    const char *percent = strchr(text, '%');
    char buf[INET6_ADDRSTRLEN];
    size_t n = percent != NULL ? (size_t)(percent - text) : strlen(text);

    if (n >= sizeof(buf))
        return GNP_EADDR;
    memcpy(buf, text, n);
    buf[n] = '\0';
    if (inet_pton(AF_INET6, buf, out->u.ip) != 1)
        return GNP_EADDR;
    out->family = GNP_FAMILY_IPV6;
    return percent != NULL ? zone(percent + 1, &out->scope) : GNP_OK;
}

int gnp_ip_parse(const char *text, gnp_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, out->u.ip) == 1) {
        out->family = GNP_FAMILY_IPV4;
        return GNP_OK;
    }
    if (parse_v6(text, out) == GNP_OK)
        return GNP_OK;
    memset(out, 0, sizeof(*out));
    return GNP_EADDR;
}

void gnp_ip_format(const gnp_addr *a, char out[GNP_IP_TEXT_MAX])
{
    size_t n;

    out[0] = '\0';
    if (a->family == GNP_FAMILY_IPV4)
        inet_ntop(AF_INET, a->u.ip, out, GNP_IP_TEXT_MAX);
    if (a->family != GNP_FAMILY_IPV6)
        return;
    inet_ntop(AF_INET6, a->u.ip, out, GNP_IP_TEXT_MAX);
    n = strlen(out);
    if (a->scope == LOOPBACK)
        snprintf(out + n, GNP_IP_TEXT_MAX - n, "%%lo");
    else if (a->scope != 0)
        snprintf(out + n, GNP_IP_TEXT_MAX - n, "%%%u", (unsigned)a->scope);
}

/* RFC 6761: "localhost", and what ends in ".localhost", in any case and with or without the root's dot. */
static int is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t n = strlen(host), len = sizeof(name) - 1, i;

    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n < len)
        return 0;
    for (i = 0; i < len; i++) {
        if ((host[n - len + i] | 0x20) != name[i])
            return 0;
    }
    return n == len || (n > len + 1 && host[n - len - 1] == '.');
}

/* What the name servers of this world know: 4, 6, or both added; 0: no such name. */
static int families_of(const char *host)
{
    static const struct { const char *name; int families; } known[] = {
        { "two.test", GNP_FAMILY_IPV4 + GNP_FAMILY_IPV6 },
        { "four.test", GNP_FAMILY_IPV4 },
        { "six.test", GNP_FAMILY_IPV6 },
        { "slow.test", GNP_FAMILY_IPV4 },
    };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(host, known[i].name) == 0)
            return known[i].families;
    }
    return 0;
}

static int resolve_name(const char *host, int family, gnp_addr *out, int cap)
{
    int local = is_localhost(host), n = 0;
    int has = local ? GNP_FAMILY_IPV4 + GNP_FAMILY_IPV6 : families_of(host);

    if (strcmp(host, "slow.test") == 0)
        gnp_sleep_until(sim.now + UINT64_C(10000000000));
    else if (!local)
        gnp_sleep_until(sim.now + gnp_sim_latency());
    if (gnp_sim_fault(sim.knobs.alloc_error))
        return GNP_ENOMEM;
    if (has != GNP_FAMILY_IPV4 && has != 0 && family != GNP_FAMILY_IPV4 && n < cap)
        (void)gnp_ip_parse("::1", &out[n++]);
    if (has != GNP_FAMILY_IPV6 && has != 0 && family != GNP_FAMILY_IPV6 && n < cap)
        (void)gnp_ip_parse("127.0.0.1", &out[n++]);
    return n > 0 ? n : GNP_EADDR;
}

/* Names end in what they have: "two.test" both families, "four.test", "six.test", "slow.test" after ten
 * seconds; anything else but localhost has none. */
int gnp_resolve(const char *host, int family, gnp_addr *out, int cap)
{
    gnp_addr a;
    int n;

    gnp_sim_call();
    if (gnp_ip_parse(host, &a) == GNP_OK) {
        n = (family == 0 || family == a.family) && cap > 0 ? 1 : GNP_EADDR;
        if (n > 0)
            *out = a;
    } else {
        n = resolve_name(host, family, out, cap);
    }
    gnp_sim_mark("resolve", family, cap, n);
    return n;
}

unsigned gnp_interface_index(const char *name)
{
    return strcmp(name, "lo") == 0 || strcmp(name, "127.0.0.1") == 0 ? LOOPBACK : 0;
}
