# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES = \
	%D%/addr.h %D%/log.h %D%/options.h %D%/ring.h %D%/segq.h %D%/timer.h
libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -DGN_BUILDING
