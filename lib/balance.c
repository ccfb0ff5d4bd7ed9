/* SPDX-License-Identifier: MIT */
#include "balance.h"

#include <string.h>

unsigned gni_balance_least(const gnp_atomic32 *const conns[], unsigned n, uint64_t turn)
{
    unsigned best = (unsigned)(turn % n);
    uint32_t least = gnp_load32(conns[best]);

    for (unsigned k = 1, i = best; k < n && least > 0; k++) {
        uint32_t count;

        i = i + 1 < n ? i + 1 : 0;
        count = gnp_load32(conns[i]);
        if (count < least) {
            least = count;
            best = i;
        }
    }
    return best;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014, variant 13 of Stafford): every
 * input bit flips every output bit about half of the time. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
    uint64_t x = 0;

    for (unsigned i = 0; i < n; i++)
        x = x << 8 | p[i];
    return x;
}

uint64_t gni_addr_hash_ip(const gnp_addr *a)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    /* 2^64 over the golden ratio, so that 0.0.0.0 mixes too. */
    const uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h;

    if (a == NULL)
        return 0;
    if (a->family == GNP_FAMILY_IPV4)
        h = mix(big_endian(a->u.ip, 4) + seed);
    else if (a->family != GNP_FAMILY_IPV6)
        return 0;
    else if (memcmp(a->u.ip, mapped, sizeof mapped) == 0)
        h = mix(big_endian(a->u.ip + 12, 4) + seed);
    else
        h = mix(mix(big_endian(a->u.ip, 8) + seed) ^ big_endian(a->u.ip + 8, 8));
    return h != 0 ? h : 1;
}

/* Two different ones by chance (a counter, well mixed), and the less loaded of them: the longest queue is
 * log log n instead of log n long, for two looks instead of n (Mitzenmacher 2001). */
unsigned gni_balance_two(const gnp_atomic32 *const conns[], unsigned n, uint64_t turn)
{
    /* Steps of 2^64 over the golden ratio, as SplitMix64 takes them. */
    uint64_t r = mix((turn + 1) * UINT64_C(0x9e3779b97f4a7c15));
    unsigned a = (unsigned)((r >> 32) * n >> 32);
    unsigned b;

    if (n == 1)
        return 0;
    b = (unsigned)((r & 0xffffffffu) * (n - 1) >> 32);
    if (b >= a)
        b++;
    return gnp_load32(conns[b]) < gnp_load32(conns[a]) ? b : a;
}

unsigned gni_balance_pick(gn_lb policy, uint64_t turn, const gnp_atomic32 *const conns[], unsigned n,
                          const gnp_addr *peer)
{
    if (policy == GN_LB_LEAST_CONNECTIONS)
        return gni_balance_least(conns, n, turn);
    if (policy == GN_LB_POWER_OF_TWO)
        return gni_balance_two(conns, n, turn);
    if (policy == GN_LB_SOURCE_HASH) {
        uint64_t h = gni_addr_hash_ip(peer);

        /* The upper half, scaled to n: as even as a remainder, without the division. */
        if (h != 0)
            return (unsigned)((h >> 32) * n >> 32);
    }
    return (unsigned)(turn % n);
}
