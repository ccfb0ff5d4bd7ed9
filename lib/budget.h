/* SPDX-License-Identifier: MIT */
/*
 * Budgets of bytes: what the connections of a loop, and of all loops together, hold unread and
 * unsent.  At a limit the loop is *strained*: connections that hold something do not read, writes
 * that would have to wait fail, and listeners refuse newcomers.  It ends at seven eighths.  Who is
 * piped does not read while its way holds something, here unread or there unsent.
 */
#ifndef GNI_BUDGET_H
#define GNI_BUDGET_H

#include "conn.h"

/* Brings what c holds up to date in the sums.  Cheap while nothing has changed. */
void gni_budget_update(gn_conn *c);

/* 1 if n more bytes may be queued. */
int gni_budget_allows(const gn_loop *l, size_t n);

/* The loop is set up; it ends. */
void gni_budget_init(gn_loop *l);
void gni_budget_end(gn_loop *l);

#endif
