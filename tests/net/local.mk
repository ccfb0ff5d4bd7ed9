# SPDX-License-Identifier: MIT
# The network suite against the public API.  libplatform.la is for the client's side: see
# harness.h for why two copies of it may be in one program.
net_programs = \
	%D%/async \
	%D%/badinput \
	%D%/client \
	%D%/cross \
	%D%/datagram \
	%D%/datagram_client \
	%D%/datagram_verbs \
	%D%/famine \
	%D%/flow \
	%D%/framing \
	%D%/lifecycle \
	%D%/limits \
	%D%/listen \
	%D%/listeners \
	%D%/matrix \
	%D%/migrate \
	%D%/misuse \
	%D%/names \
	%D%/outbound \
	%D%/pool \
	%D%/pool_race \
	%D%/post \
	%D%/regress \
	%D%/regress_conn \
	%D%/signals \
	%D%/stall \
	%D%/stream \
	%D%/timers \
	%D%/verbs_storm
net_harness = %D%/harness.c %D%/harness.h
net_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS)
net_libs = libgannet.la libplatform.la $(CHECK_LIBS)

check_PROGRAMS += $(net_programs)
TESTS += $(net_programs)

# What activation and threads start is a test only there.
EXTRA_PROGRAMS += %D%/activated %D%/threadless
check_DATA += %D%/activated$(EXEEXT) %D%/threadless$(EXEEXT)
CLEANFILES += %D%/activated$(EXEEXT) %D%/threadless$(EXEEXT)
program_scripts += %D%/activation %D%/threads
EXTRA_DIST += %D%/activation %D%/threads

%C%_activated_SOURCES = %D%/activated.c $(net_harness)
%C%_activated_CFLAGS = $(net_cflags)
%C%_activated_LDADD = $(net_libs)
%C%_async_SOURCES = %D%/async.c $(net_harness)
%C%_async_CFLAGS = $(net_cflags)
%C%_async_LDADD = $(net_libs)
%C%_badinput_SOURCES = %D%/badinput.c $(net_harness)
%C%_badinput_CFLAGS = $(net_cflags)
%C%_badinput_LDADD = $(net_libs)
%C%_client_SOURCES = %D%/client.c $(net_harness)
%C%_client_CFLAGS = $(net_cflags)
%C%_client_LDADD = $(net_libs)
%C%_cross_SOURCES = %D%/cross.c $(net_harness)
%C%_cross_CFLAGS = $(net_cflags)
%C%_cross_LDADD = $(net_libs)
%C%_datagram_SOURCES = %D%/datagram.c $(net_harness)
%C%_datagram_CFLAGS = $(net_cflags)
%C%_datagram_LDADD = $(net_libs)
%C%_datagram_client_SOURCES = %D%/datagram_client.c $(net_harness)
%C%_datagram_client_CFLAGS = $(net_cflags)
%C%_datagram_client_LDADD = $(net_libs)
%C%_datagram_verbs_SOURCES = %D%/datagram_verbs.c $(net_harness)
%C%_datagram_verbs_CFLAGS = $(net_cflags)
%C%_datagram_verbs_LDADD = $(net_libs)
%C%_famine_SOURCES = %D%/famine.c $(net_harness)
%C%_famine_CFLAGS = $(net_cflags)
%C%_famine_LDADD = $(net_libs)
%C%_flow_SOURCES = %D%/flow.c $(net_harness)
%C%_flow_CFLAGS = $(net_cflags)
%C%_flow_LDADD = $(net_libs)
%C%_framing_SOURCES = %D%/framing.c $(net_harness)
%C%_framing_CFLAGS = $(net_cflags)
%C%_framing_LDADD = $(net_libs)
%C%_lifecycle_SOURCES = %D%/lifecycle.c $(net_harness)
%C%_lifecycle_CFLAGS = $(net_cflags)
%C%_lifecycle_LDADD = $(net_libs)
%C%_limits_SOURCES = %D%/limits.c $(net_harness)
%C%_limits_CFLAGS = $(net_cflags)
%C%_limits_LDADD = $(net_libs)
%C%_listen_SOURCES = %D%/listen.c $(net_harness)
%C%_listen_CFLAGS = $(net_cflags)
%C%_listen_LDADD = $(net_libs)
%C%_listeners_SOURCES = %D%/listeners.c $(net_harness)
%C%_listeners_CFLAGS = $(net_cflags)
%C%_listeners_LDADD = $(net_libs)
%C%_matrix_SOURCES = %D%/matrix.c $(net_harness)
%C%_matrix_CFLAGS = $(net_cflags)
%C%_matrix_LDADD = $(net_libs)
%C%_migrate_SOURCES = %D%/migrate.c $(net_harness)
%C%_migrate_CFLAGS = $(net_cflags)
%C%_migrate_LDADD = $(net_libs)
%C%_misuse_SOURCES = %D%/misuse.c $(net_harness)
%C%_misuse_CFLAGS = $(net_cflags)
%C%_misuse_LDADD = $(net_libs)
# With the parts of the library, so that its resolver can be replaced.
%C%_names_SOURCES = %D%/names.c $(net_harness)
%C%_names_CFLAGS = $(net_cflags)
%C%_names_LDADD = libcore.la libplatform.la $(CHECK_LIBS)
%C%_outbound_SOURCES = %D%/outbound.c $(net_harness)
%C%_outbound_CFLAGS = $(net_cflags)
%C%_outbound_LDADD = $(net_libs)
%C%_pool_SOURCES = %D%/pool.c $(net_harness)
%C%_pool_CFLAGS = $(net_cflags)
%C%_pool_LDADD = $(net_libs)
%C%_pool_race_SOURCES = %D%/pool_race.c $(net_harness)
%C%_pool_race_CFLAGS = $(net_cflags)
%C%_pool_race_LDADD = $(net_libs)
%C%_post_SOURCES = %D%/post.c $(net_harness)
%C%_post_CFLAGS = $(net_cflags)
%C%_post_LDADD = $(net_libs)
%C%_regress_SOURCES = %D%/regress.c $(net_harness)
%C%_regress_CFLAGS = $(net_cflags)
%C%_regress_LDADD = $(net_libs)
%C%_regress_conn_SOURCES = %D%/regress_conn.c $(net_harness)
%C%_regress_conn_CFLAGS = $(net_cflags)
%C%_regress_conn_LDADD = $(net_libs)
%C%_signals_SOURCES = %D%/signals.c $(net_harness)
%C%_signals_CFLAGS = $(net_cflags)
%C%_signals_LDADD = $(net_libs)
%C%_stall_SOURCES = %D%/stall.c $(net_harness)
%C%_stall_CFLAGS = $(net_cflags)
%C%_stall_LDADD = $(net_libs)
%C%_stream_SOURCES = %D%/stream.c $(net_harness)
%C%_stream_CFLAGS = $(net_cflags)
%C%_stream_LDADD = $(net_libs)
%C%_threadless_SOURCES = %D%/threadless.c $(net_harness)
%C%_threadless_CFLAGS = $(net_cflags)
%C%_threadless_LDADD = $(net_libs)
%C%_timers_SOURCES = %D%/timers.c $(net_harness)
%C%_timers_CFLAGS = $(net_cflags)
%C%_timers_LDADD = $(net_libs)
%C%_verbs_storm_SOURCES = %D%/verbs_storm.c $(net_harness)
%C%_verbs_storm_CFLAGS = $(net_cflags)
%C%_verbs_storm_LDADD = $(net_libs)
