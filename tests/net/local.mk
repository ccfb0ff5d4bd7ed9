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
net_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS)
net_libs = %D%/libharness.la libgannet.la libplatform.la $(CHECK_LIBS)

check_LTLIBRARIES += %D%/libharness.la
%C%_libharness_la_SOURCES = %D%/harness.c %D%/harness.h
%C%_libharness_la_CFLAGS = $(net_cflags)

check_PROGRAMS += $(net_programs)
TESTS += $(net_programs)

# What activation and threads start is a test only there.
EXTRA_PROGRAMS += %D%/activated %D%/threadless
check_DATA += %D%/activated$(EXEEXT) %D%/threadless$(EXEEXT)
CLEANFILES += %D%/activated$(EXEEXT) %D%/threadless$(EXEEXT)
program_scripts += %D%/activation %D%/threads
EXTRA_DIST += %D%/activation %D%/threads

%C%_activated_SOURCES = %D%/activated.c
%C%_activated_CFLAGS = $(net_cflags)
%C%_activated_LDADD = $(net_libs)
%C%_async_SOURCES = %D%/async.c
%C%_async_CFLAGS = $(net_cflags)
%C%_async_LDADD = $(net_libs)
%C%_badinput_SOURCES = %D%/badinput.c
%C%_badinput_CFLAGS = $(net_cflags)
%C%_badinput_LDADD = $(net_libs)
%C%_client_SOURCES = %D%/client.c
%C%_client_CFLAGS = $(net_cflags)
%C%_client_LDADD = $(net_libs)
%C%_cross_SOURCES = %D%/cross.c
%C%_cross_CFLAGS = $(net_cflags)
%C%_cross_LDADD = $(net_libs)
%C%_datagram_SOURCES = %D%/datagram.c
%C%_datagram_CFLAGS = $(net_cflags)
%C%_datagram_LDADD = $(net_libs)
%C%_datagram_client_SOURCES = %D%/datagram_client.c
%C%_datagram_client_CFLAGS = $(net_cflags)
%C%_datagram_client_LDADD = $(net_libs)
%C%_datagram_verbs_SOURCES = %D%/datagram_verbs.c
%C%_datagram_verbs_CFLAGS = $(net_cflags)
%C%_datagram_verbs_LDADD = $(net_libs)
%C%_famine_SOURCES = %D%/famine.c
%C%_famine_CFLAGS = $(net_cflags)
%C%_famine_LDADD = $(net_libs)
%C%_flow_SOURCES = %D%/flow.c
%C%_flow_CFLAGS = $(net_cflags)
%C%_flow_LDADD = $(net_libs)
%C%_framing_SOURCES = %D%/framing.c
%C%_framing_CFLAGS = $(net_cflags)
%C%_framing_LDADD = $(net_libs)
%C%_lifecycle_SOURCES = %D%/lifecycle.c
%C%_lifecycle_CFLAGS = $(net_cflags)
%C%_lifecycle_LDADD = $(net_libs)
%C%_limits_SOURCES = %D%/limits.c
%C%_limits_CFLAGS = $(net_cflags)
%C%_limits_LDADD = $(net_libs)
%C%_listen_SOURCES = %D%/listen.c
%C%_listen_CFLAGS = $(net_cflags)
%C%_listen_LDADD = $(net_libs)
%C%_listeners_SOURCES = %D%/listeners.c
%C%_listeners_CFLAGS = $(net_cflags)
%C%_listeners_LDADD = $(net_libs)
%C%_matrix_SOURCES = %D%/matrix.c
%C%_matrix_CFLAGS = $(net_cflags)
%C%_matrix_LDADD = $(net_libs)
%C%_migrate_SOURCES = %D%/migrate.c
%C%_migrate_CFLAGS = $(net_cflags)
%C%_migrate_LDADD = $(net_libs)
%C%_misuse_SOURCES = %D%/misuse.c
%C%_misuse_CFLAGS = $(net_cflags)
%C%_misuse_LDADD = $(net_libs)
# With the parts of the library, so that its resolver can be replaced.
%C%_names_SOURCES = %D%/names.c
%C%_names_CFLAGS = $(net_cflags)
%C%_names_LDADD = %D%/libharness.la libcore.la libplatform.la $(CHECK_LIBS)
%C%_outbound_SOURCES = %D%/outbound.c
%C%_outbound_CFLAGS = $(net_cflags)
%C%_outbound_LDADD = $(net_libs)
%C%_pool_SOURCES = %D%/pool.c
%C%_pool_CFLAGS = $(net_cflags)
%C%_pool_LDADD = $(net_libs)
%C%_pool_race_SOURCES = %D%/pool_race.c
%C%_pool_race_CFLAGS = $(net_cflags)
%C%_pool_race_LDADD = $(net_libs)
%C%_post_SOURCES = %D%/post.c
%C%_post_CFLAGS = $(net_cflags)
%C%_post_LDADD = $(net_libs)
%C%_regress_SOURCES = %D%/regress.c
%C%_regress_CFLAGS = $(net_cflags)
%C%_regress_LDADD = $(net_libs)
%C%_regress_conn_SOURCES = %D%/regress_conn.c
%C%_regress_conn_CFLAGS = $(net_cflags)
%C%_regress_conn_LDADD = $(net_libs)
%C%_signals_SOURCES = %D%/signals.c
%C%_signals_CFLAGS = $(net_cflags)
%C%_signals_LDADD = $(net_libs)
%C%_stall_SOURCES = %D%/stall.c
%C%_stall_CFLAGS = $(net_cflags)
%C%_stall_LDADD = $(net_libs)
%C%_stream_SOURCES = %D%/stream.c
%C%_stream_CFLAGS = $(net_cflags)
%C%_stream_LDADD = $(net_libs)
%C%_threadless_SOURCES = %D%/threadless.c
%C%_threadless_CFLAGS = $(net_cflags)
%C%_threadless_LDADD = $(net_libs)
%C%_timers_SOURCES = %D%/timers.c
%C%_timers_CFLAGS = $(net_cflags)
%C%_timers_LDADD = $(net_libs)
%C%_verbs_storm_SOURCES = %D%/verbs_storm.c
%C%_verbs_storm_CFLAGS = $(net_cflags)
%C%_verbs_storm_LDADD = $(net_libs)
