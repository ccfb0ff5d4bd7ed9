/* SPDX-License-Identifier: MIT */
/* Descriptors that come by a connection. */
#ifndef GNI_DESCRIPTOR_H
#define GNI_DESCRIPTOR_H

#include "conn.h"

/* Takes those that came with the bytes lent just now.  Without memory for them the connection
 * fails: to lose one silently would put the user's out of step with the bytes. */
void gni_descriptors_take(gn_conn *c);

/* Closes those that nobody wanted. */
void gni_descriptors_drop(gn_conn *c);

#endif
