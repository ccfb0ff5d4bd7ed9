# SPDX-License-Identifier: MIT
# The network suite against the public API.  libplatform.la is for the client's side: see
# harness.h for why two copies of it may be in one program.
net_programs = %D%/matrix %D%/lifecycle %D%/async %D%/stream
net_harness = %D%/harness.c %D%/harness.h
net_libs = libgannet.la libplatform.la $(CHECK_LIBS)

check_PROGRAMS += $(net_programs)
TESTS += $(net_programs)

%C%_matrix_SOURCES = %D%/matrix.c $(net_harness)
%C%_matrix_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_matrix_LDADD = $(net_libs)
%C%_lifecycle_SOURCES = %D%/lifecycle.c $(net_harness)
%C%_lifecycle_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_lifecycle_LDADD = $(net_libs)
%C%_async_SOURCES = %D%/async.c $(net_harness)
%C%_async_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_async_LDADD = $(net_libs)
%C%_stream_SOURCES = %D%/stream.c $(net_harness)
%C%_stream_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_stream_LDADD = $(net_libs)
