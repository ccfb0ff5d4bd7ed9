# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += libcore.la
libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -DGN_BUILDING
libcore_la_SOURCES = \
	%D%/addr.c \
	%D%/addr.h \
	%D%/balance.c \
	%D%/balance.h \
	%D%/bits.h \
	%D%/budget.c \
	%D%/budget.h \
	%D%/conn.c \
	%D%/conn.h \
	%D%/conn_api.c \
	%D%/conntab.c \
	%D%/conntab.h \
	%D%/engine.c \
	%D%/engine.h \
	%D%/error.c \
	%D%/frame.c \
	%D%/flow.c \
	%D%/listener.c \
	%D%/listener.h \
	%D%/log.c \
	%D%/log.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/memory.c \
	%D%/memory.h \
	%D%/mpsc.c \
	%D%/mpsc.h \
	%D%/op.c \
	%D%/op.h \
	%D%/multipool.c \
	%D%/offload.c \
	%D%/opmem.c \
	%D%/opmem.h \
	%D%/options.c \
	%D%/options.h \
	%D%/outbound.c \
	%D%/outbound.h \
	%D%/pipe.c \
	%D%/pipe.h \
	%D%/pool.c \
	%D%/pool.h \
	%D%/pool_worker.c \
	%D%/poolq.c \
	%D%/poolq.h \
	%D%/post.c \
	%D%/post.h \
	%D%/ring.c \
	%D%/ring.h \
	%D%/segq.c \
	%D%/segq.h \
	%D%/signal.c \
	%D%/signal.h \
	%D%/stats.h \
	%D%/timer.c \
	%D%/timer.h \
	%D%/timer_api.c \
	%D%/udp.c \
	%D%/udp.h \
	%D%/write_ref.c
	%D%/udp_api.c
