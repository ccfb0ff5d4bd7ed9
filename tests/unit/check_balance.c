/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "lib/balance.h"

#define LOOPS 7u

static gnp_addr ipv4(uint32_t ip, uint16_t port)
{
    gnp_addr a;

    memset(&a, 0, sizeof a);
    a.family = GNP_FAMILY_IPV4;
    a.port = port;
    for (unsigned i = 0; i < 4; i++)
        a.u.ip[i] = (uint8_t)(ip >> (24 - 8 * i));
    return a;
}

static gnp_addr ipv6(uint64_t high, uint64_t low)
{
    gnp_addr a;

    memset(&a, 0, sizeof a);
    a.family = GNP_FAMILY_IPV6;
    for (unsigned i = 0; i < 8; i++) {
        a.u.ip[i] = (uint8_t)(high >> (56 - 8 * i));
        a.u.ip[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return a;
}

START_TEST(goes_round)
{
    for (unsigned n = 1; n <= GN_MAX_LOOPS; n++) {
        for (uint64_t turn = 0; turn < 3 * n; turn++)
            MUST(gni_balance_pick(GN_LB_ROUND_ROBIN, turn, NULL, n, NULL) == turn % n);
    }
}
END_TEST

START_TEST(takes_the_least)
{
    rng g = { (uint64_t)_i };
    gnp_atomic32 count[LOOPS];
    const gnp_atomic32 *conns[LOOPS];

    for (unsigned i = 0; i < LOOPS; i++)
        conns[i] = &count[i];
    for (uint64_t turn = 0; turn < 2000; turn++) {
        uint32_t least = UINT32_MAX;
        unsigned pick;

        for (unsigned i = 0; i < LOOPS; i++) {
            uint32_t c = (uint32_t)rng_scaled(&g, 32);

            gnp_store32(&count[i], c);
            least = c < least ? c : least;
        }
        pick = gni_balance_pick(GN_LB_LEAST_CONNECTIONS, turn, conns, LOOPS, NULL);
        MUST(pick < LOOPS);
        MUST(gnp_load32(&count[pick]) == least);
    }
}
END_TEST

/* Short connections that have always gone before the next comes must not all meet on loop 0. */
START_TEST(least_goes_round_among_equals)
{
    gnp_atomic32 count[LOOPS];
    const gnp_atomic32 *conns[LOOPS];
    unsigned taken[LOOPS] = { 0 };

    for (unsigned i = 0; i < LOOPS; i++) {
        conns[i] = &count[i];
        gnp_store32(&count[i], 3);
    }
    for (uint64_t turn = 0; turn < 100 * LOOPS; turn++)
        taken[gni_balance_least(conns, LOOPS, turn)]++;
    for (unsigned i = 0; i < LOOPS; i++)
        ck_assert_uint_eq(taken[i], 100);
}
END_TEST

/* Every pair is drawn about as often, and the less loaded of it is taken. */
START_TEST(two_are_drawn_at_random)
{
    enum { DRAWS = 28000 }; /* 1,000 for each pair of 8 */
    gnp_atomic32 count[8];
    const gnp_atomic32 *conns[8];
    unsigned taken[8] = { 0 };

    for (unsigned i = 0; i < 8; i++) {
        conns[i] = &count[i];
        gnp_store32(&count[i], i); /* loop i wins against the 7 - i above it */
    }
    for (uint64_t turn = 0; turn < DRAWS; turn++)
        taken[gni_balance_pick(GN_LB_POWER_OF_TWO, turn, conns, 8, NULL)]++;
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_ge(taken[i], (7 - i) * 900);
        ck_assert_uint_le(taken[i], (7 - i) * 1100);
    }
    ck_assert_uint_eq(gni_balance_two(conns, 1, 5), 0);
}
END_TEST

START_TEST(hash_is_of_the_ip_alone)
{
    gnp_addr a = ipv4(0x0a000001, 1), b = ipv4(0x0a000001, 65535), c = ipv4(0x0a000002, 1);
    gnp_addr mapped = ipv6(0, UINT64_C(0x0000ffff0a000001)), compatible = ipv6(0, 0x0a000001);
    gnp_addr scoped = ipv6(1, 2), other = ipv6(2, 1);
    uint64_t h = gni_addr_hash_ip(&scoped);

    ck_assert_uint_eq(gni_addr_hash_ip(&a), gni_addr_hash_ip(&b));
    ck_assert_uint_ne(gni_addr_hash_ip(&a), gni_addr_hash_ip(&c));
    ck_assert_uint_eq(gni_addr_hash_ip(&a), gni_addr_hash_ip(&mapped));
    ck_assert_uint_ne(gni_addr_hash_ip(&a), gni_addr_hash_ip(&compatible));
    ck_assert_uint_ne(h, gni_addr_hash_ip(&other));
    scoped.scope = 7;
    scoped.port = 9;
    ck_assert_uint_eq(h, gni_addr_hash_ip(&scoped));
    /* Bytes behind an IPv4 address are no part of it. */
    memset(b.u.ip + 4, 0x77, 12);
    ck_assert_uint_eq(gni_addr_hash_ip(&a), gni_addr_hash_ip(&b));
}
END_TEST

START_TEST(no_ip_address_goes_round)
{
    gnp_addr a;

    memset(&a, 0, sizeof a);
    ck_assert_uint_eq(gni_addr_hash_ip(NULL), 0);
    ck_assert_uint_eq(gni_addr_hash_ip(&a), 0);
    a.family = GNP_FAMILY_UNIX;
    ck_assert_uint_eq(gni_addr_hash_ip(&a), 0);
    a.family = 99;
    ck_assert_uint_eq(gni_addr_hash_ip(&a), 0);
    a.family = GNP_FAMILY_UNIX;
    for (uint64_t turn = 0; turn < 3 * LOOPS; turn++) {
        ck_assert_uint_eq(gni_balance_pick(GN_LB_SOURCE_HASH, turn, NULL, LOOPS, &a), turn % LOOPS);
        ck_assert_uint_eq(gni_balance_pick(GN_LB_SOURCE_HASH, turn, NULL, LOOPS, NULL), turn % LOOPS);
    }
}
END_TEST

/* 65,536 addresses that differ little, over n loops: no loop is off its share by more than six
 * standard deviations (binomial). */
static void spread(unsigned n, gnp_addr (*make)(unsigned i))
{
    const unsigned total = 65536;
    double share = (double)total / n, variance = share * (1.0 - 1.0 / n);
    unsigned taken[GN_MAX_LOOPS] = { 0 };

    for (unsigned i = 0; i < total; i++) {
        gnp_addr a = make(i);
        unsigned pick = gni_balance_pick(GN_LB_SOURCE_HASH, i, NULL, n, &a);

        MUST(pick < n);
        MUST(pick == gni_balance_pick(GN_LB_SOURCE_HASH, i + 1, NULL, n, &a));
        taken[pick]++;
    }
    for (unsigned i = 0; i < n; i++) {
        double off = taken[i] - share;

        ck_assert_msg(off * off <= 36 * variance + 1e-9, "loop %u of %u got %u", i, n, taken[i]);
    }
}

static gnp_addr neighbours(unsigned i) { return ipv4(0x0a000000 + i, 1); }
static gnp_addr every_256th(unsigned i) { return ipv4(0x0a000000 + i * 256, 1); }
static gnp_addr high_octets(unsigned i) { return ipv4(i << 16 | 1, 1); }
static gnp_addr v6_hosts(unsigned i) { return ipv6(UINT64_C(0x20010db800000000), i); }
static gnp_addr v6_networks(unsigned i) { return ipv6(UINT64_C(0x20010db800000000) + i, 1); }
static gnp_addr v6_both(unsigned i) { return ipv6(i, i); }

START_TEST(hash_spreads)
{
    unsigned n = _i == 0 ? GN_MAX_LOOPS : (unsigned)_i;

    spread(n, neighbours);
    spread(n, every_256th);
    spread(n, high_octets);
    spread(n, v6_hosts);
    spread(n, v6_networks);
    spread(n, v6_both);
}
END_TEST

/* Each bit of the address flips each bit of the hash in about half of all cases. */
START_TEST(hash_avalanches)
{
    rng g = { 1 };
    const unsigned rounds = 2000;

    for (unsigned bit = 0; bit < 128; bit++) {
        unsigned flips[64] = { 0 };

        for (unsigned k = 0; k < rounds; k++) {
            gnp_addr a = ipv6(rng_next(&g), rng_next(&g)), b = a;
            uint64_t changed;

            b.u.ip[bit / 8] ^= (uint8_t)(1u << bit % 8);
            changed = gni_addr_hash_ip(&a) ^ gni_addr_hash_ip(&b);
            for (unsigned i = 0; i < 64; i++)
                flips[i] += (unsigned)(changed >> i & 1);
        }
        /* 1,000 of 2,000, give or take six deviations of 22. */
        for (unsigned i = 0; i < 64; i++)
            MUST(flips[i] > 866 && flips[i] < 1134);
    }
}
END_TEST

Suite *suite_balance(void)
{
    Suite *s = suite_create("balance");
    TCase *t = tcase_create("balance");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, goes_round);
    tcase_add_loop_test(t, takes_the_least, 0, 4);
    tcase_add_test(t, least_goes_round_among_equals);
    tcase_add_test(t, two_are_drawn_at_random);
    tcase_add_test(t, hash_is_of_the_ip_alone);
    tcase_add_test(t, no_ip_address_goes_round);
    tcase_add_loop_test(t, hash_spreads, 0, 17);
    tcase_add_test(t, hash_avalanches);
    suite_add_tcase(s, t);
    return s;
}
