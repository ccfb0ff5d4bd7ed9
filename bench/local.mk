# SPDX-License-Identifier: MIT
# The load generator and, on Linux, the comparison with hand-written servers; see README here.
# Nothing of this is installed.

noinst_LTLIBRARIES += %D%/libload.la
%C%_libload_la_SOURCES = \
	%D%/conn.c %D%/hdr.c %D%/hdr.h %D%/load.c %D%/load.h %D%/reply.c %D%/reply.h \
	%D%/schedule.h %D%/worker.c %D%/worker.h
%C%_libload_la_LIBADD = libcore.la libplatform.la $(LIBM)

noinst_PROGRAMS += %D%/gannet-load
%C%_gannet_load_SOURCES = %D%/gannet-load.c %D%/options.c %D%/options.h %D%/report.c %D%/report.h
%C%_gannet_load_LDADD = %D%/libload.la

noinst_PROGRAMS += %D%/post %D%/timers
%C%_post_SOURCES = %D%/post.c
%C%_post_LDADD = libcore.la libplatform.la
%C%_timers_SOURCES = %D%/timers.c
%C%_timers_LDADD = libcore.la libplatform.la
if HAVE_LIBUV
noinst_PROGRAMS += %D%/peers/uv-post %D%/peers/uv-timers
%C%_peers_uv_post_SOURCES = %D%/peers/uv-post.c
%C%_peers_uv_post_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS)
%C%_peers_uv_post_LDADD = $(LIBUV_LIBS)
%C%_peers_uv_timers_SOURCES = %D%/peers/uv-timers.c
%C%_peers_uv_timers_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS)
%C%_peers_uv_timers_LDADD = $(LIBUV_LIBS)
endif

if HAVE_CHECK
check_PROGRAMS += %D%/check_load
TESTS += %D%/check_load
%C%_check_load_SOURCES = %D%/check_load.c %D%/options.c %D%/options.h
%C%_check_load_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_check_load_LDADD = %D%/libload.la $(CHECK_LIBS)
endif

if OS_LINUX
noinst_PROGRAMS += %D%/linux/gannet-compare %D%/linux/gannet-udp \
	%D%/peers/peer-epoll-echo %D%/peers/peer-epoll-http %D%/peers/peer-udp-echo
endif
peer_common = %D%/peers/peer.c %D%/peers/peer.h
%C%_peers_peer_epoll_echo_SOURCES = %D%/peers/epoll-echo.c $(peer_common)
%C%_peers_peer_epoll_http_SOURCES = %D%/peers/epoll-http.c $(peer_common) \
	examples/http_parser.c examples/http_parser.h

%C%_linux_gannet_compare_SOURCES = \
	%D%/linux/gannet-compare.c %D%/linux/server.c %D%/linux/server.h \
	%D%/options.c %D%/options.h %D%/report.c %D%/report.h
%C%_linux_gannet_compare_LDADD = %D%/libload.la

%C%_linux_gannet_udp_SOURCES = %D%/linux/gannet-udp.c %D%/linux/server.c %D%/linux/server.h
%C%_linux_gannet_udp_LDADD = %D%/libload.la
%C%_peers_peer_udp_echo_SOURCES = %D%/peers/udp-echo.c
# The worker pools; a peer that is not installed is left out of the table.
noinst_LTLIBRARIES += %D%/libpeeruv.la %D%/libpeerglib.la
if HAVE_LIBUV
%C%_libpeeruv_la_SOURCES = %D%/peers/pool-uv.c
else
%C%_libpeeruv_la_SOURCES = %D%/peers/pool-uv-none.c
endif
%C%_libpeeruv_la_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS)
%C%_libpeeruv_la_LIBADD = $(LIBUV_LIBS)
if HAVE_GLIB
%C%_libpeerglib_la_SOURCES = %D%/peers/pool-glib.c
else
%C%_libpeerglib_la_SOURCES = %D%/peers/pool-glib-none.c
endif
%C%_libpeerglib_la_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS)
%C%_libpeerglib_la_LIBADD = $(GLIB_LIBS)
noinst_PROGRAMS += %D%/pool
%C%_pool_SOURCES = %D%/pool.c %D%/pool.h
%C%_pool_LDADD = %D%/libpeeruv.la %D%/libpeerglib.la libcore.la libplatform.la

TESTS += %D%/load-test
EXTRA_DIST += %D%/README %D%/compare %D%/idle %D%/instructions %D%/load-test

# By hand: they take minutes and want the machine for themselves.
.PHONY: bench-compare bench-idle bench-instructions
bench-compare: all
	sh $(srcdir)/%D%/compare $(abs_builddir)
bench-idle: all
	sh $(srcdir)/%D%/idle $(abs_builddir)
bench-instructions: all
	sh $(srcdir)/%D%/instructions $(abs_builddir)
