# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += libplatform.la
libplatform_la_SOURCES = \
	%D%/addr.h %D%/atomic.h %D%/cpu.h %D%/err.h %D%/mem.h %D%/platform.h %D%/poll.h \
	%D%/sock.h %D%/sys.h %D%/thread.h %D%/time.h
