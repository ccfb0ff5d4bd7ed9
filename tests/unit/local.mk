# SPDX-License-Identifier: MIT
check_PROGRAMS += tests/unit/unit
tests_unit_unit_SOURCES = \
	%D%/check_addr.c \
	%D%/check_balance.c \
	%D%/check_conntab.c \
	%D%/check_dial.c \
	%D%/check_error.c \
	%D%/check_frame.c \
	%D%/check_leaves.c \
	%D%/check_mailbox.c \
	%D%/check_memory.c \
	%D%/check_op.c \
	%D%/check_options.c \
	%D%/check_ring.c \
	%D%/check_segq.c \
	%D%/check_timer.c \
	%D%/check_udp.c \
	%D%/unit.c \
	%D%/unit.h
tests_unit_unit_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_unit_LDADD = libcore.la libplatform.la $(CHECK_LIBS)
TESTS += tests/unit/unit %D%/header-check
EXTRA_DIST += %D%/header-check
