/* SPDX-License-Identifier: MIT */
/* gn_conn_pipe: the input of one connection is the output of another. */
#ifndef GNI_PIPE_H
#define GNI_PIPE_H

#include "conn.h"

/* Input of a piped connection: n lent bytes, or with data NULL what its ring holds. */
void gni_pipe_input(gn_conn *from, const void *data, size_t n);

/* The peer of a piped connection has ended its stream. */
void gni_pipe_eof(gn_conn *from);

/* 1 if a piped connection may read on. */
int gni_pipe_has_room(const gn_conn *from);

/* What c sends has fallen to the low mark: who is piped into it goes on. */
void gni_pipe_writable(gn_conn *c);

/* c ends for that reason: so does who is tied to it. */
void gni_pipe_end(gn_conn *c, int reason);

#endif
