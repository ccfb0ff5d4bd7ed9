/* SPDX-License-Identifier: MIT */
/* Which loop gets a connection.  n, the number of loops, is at least 1. */
#ifndef GNI_BALANCE_H
#define GNI_BALANCE_H

#include <stdint.h>

#include "../include/gannet.h"
#include "../platform/addr.h"
#include "../platform/atomic.h"

/* The loop with the fewest connections, *conns[i] for each; looks from loop turn % n on, so
 * that equal ones take turns and an idle engine fills evenly too. */
unsigned gni_balance_least(const gnp_atomic32 *const conns[], unsigned n, uint64_t turn);

/* The one with fewer connections of two that are drawn by turn. */
unsigned gni_balance_two(const gnp_atomic32 *const conns[], unsigned n, uint64_t turn);

/* A well mixed hash of the IP address, the same for every port; an IPv4-mapped IPv6 address
 * gives that of its IPv4 address.  0: there is no IP address (a Unix peer). */
uint64_t gni_addr_hash_ip(const gnp_addr *a);

/* By policy.  turn goes up by one from call to call: round robin follows it, and so do
 * peers without an IP address.  conns is used by GN_LB_LEAST_CONNECTIONS and GN_LB_POWER_OF_TWO
 * only.  Not for GN_LB_USER. */
unsigned gni_balance_pick(gn_lb policy, uint64_t turn, const gnp_atomic32 *const conns[], unsigned n,
                          const gnp_addr *peer);

#endif
