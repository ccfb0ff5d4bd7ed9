# SPDX-License-Identifier: MIT
conform_cases = \
	%D%/check_accept.c \
	%D%/check_addr.c \
	%D%/check_atomic.c \
	%D%/check_close.c \
	%D%/check_connect.c \
	%D%/check_descriptor.c \
	%D%/check_detach.c \
	%D%/check_dgram.c \
	%D%/check_listen.c \
	%D%/check_option.c \
	%D%/check_poller.c \
	%D%/check_read.c \
	%D%/check_rights.c \
	%D%/check_sendfile.c \
	%D%/check_special.c \
	%D%/check_sys.c \
	%D%/check_thread.c \
	%D%/check_wait.c \
	%D%/check_write.c \
	%D%/conform.h
conform_sources = %D%/conform.c %D%/real.c

# Compiled once, linked with each port.
check_LTLIBRARIES += %D%/libconform.la
tests_conform_libconform_la_SOURCES = $(conform_cases)
tests_conform_libconform_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)

check_PROGRAMS += tests/conform/conform
tests_conform_conform_SOURCES = $(conform_sources)
if OS_WIN32
tests_conform_conform_SOURCES += %D%/port_win32.c %D%/interlocked_win32.c
else
tests_conform_conform_SOURCES += %D%/port_none.c
endif
tests_conform_conform_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_conform_conform_LDADD = %D%/libconform.la libplatform.la $(CHECK_LIBS)
TESTS += tests/conform/conform

# The same suite once more, on the simulated system.
if BUILD_SIM
check_PROGRAMS += tests/conform/conform-sim
TESTS += tests/conform/conform-sim
endif
tests_conform_conform_sim_SOURCES = $(conform_cases) %D%/conform.c %D%/port_none.c %D%/simulated.c
tests_conform_conform_sim_CPPFLAGS = $(AM_CPPFLAGS) -DGNP_SIM
tests_conform_conform_sim_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_conform_conform_sim_LDADD = libplatform_sim.la $(CHECK_LIBS)

program_scripts += %D%/environment %D%/inherited %D%/permissions
EXTRA_DIST += %D%/environment %D%/inherited %D%/permissions
CLEANFILES += cf-* # sockets of a case that failed

if OS_LINUX
# The same suite on what is left of the port when every file that Linux has a better one for is
# replaced by the one for any POSIX system; they would rot otherwise.
check_PROGRAMS += tests/conform/conform-plain
tests_conform_conform_plain_SOURCES = $(conform_sources) %D%/port_none.c
tests_conform_conform_plain_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_conform_conform_plain_LDADD = %D%/libconform.la libplatform_plain.la $(CHECK_LIBS)
TESTS += tests/conform/conform-plain

check_PROGRAMS += tests/conform/cgroup
tests_conform_cgroup_SOURCES = %D%/check_cgroup.c
tests_conform_cgroup_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_conform_cgroup_LDADD = libplatform.la $(CHECK_LIBS)
TESTS += tests/conform/cgroup
endif
