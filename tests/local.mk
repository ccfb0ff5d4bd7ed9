# SPDX-License-Identifier: MIT
# How the tests are started, and the targets that run them again under a tool.

LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/tools/run-test
AM_TESTS_ENVIRONMENT = \
	CC='$(CC)'; NM='$(NM)'; PKG_CONFIG='$(PKG_CONFIG)'; MAKE='$(MAKE)'; \
	libdir='$(libdir)'; includedir='$(includedir)'; \
	GANNET_INSTRUMENTED='$(GN_INSTRUMENT_CFLAGS)'; GANNET_SIM='$(enable_sim)'; \
	export CC NM PKG_CONFIG MAKE libdir includedir GANNET_INSTRUMENTED GANNET_SIM;

# Without Check there is nothing that could be run: say so before the compiler does.
check-am: check-library
check-library:
if !HAVE_CHECK
	@echo 'make check needs the Check library (>= 0.11), https://libcheck.github.io/check/.' >&2; \
	echo 'Install it (Debian: check, Fedora: check-devel), then run configure again.' >&2; exit 1
endif
.PHONY: check-library

# Scripts that start the test programs.
TESTS += $(program_scripts)

# What runs our code: the programs; and with the example servers under real clients.  Not the
# checks of the tree.
check-programs:
	@test -n '$(check_PROGRAMS)' || { echo 'there is no test program' >&2; exit 1; }
	@$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(check_PROGRAMS) $(program_scripts)'
check-running:
	@test -n '$(check_PROGRAMS)' || { echo 'there is no test program' >&2; exit 1; }
	@$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(check_PROGRAMS) $(program_scripts) $(interop_scripts)'
.PHONY: check-programs check-running

# Each of these configures a build of its own below this one.  What runs slower does less and has
# longer time-outs.
subbuild = CC='$(CC)' CFLAGS='-g -O1' $(SHELL) $(top_srcdir)/tests/tools/subbuild '$(top_srcdir)'
slowly = $(SHELL) $(abs_top_srcdir)/tests/tools/slowly

check-valgrind:
	@$(subbuild) sub/valgrind
	@cd sub/valgrind && $(slowly) 0.1 10 $(SHELL) $(abs_top_srcdir)/tests/tools/with-valgrind \
		$(MAKE) $(AM_MAKEFLAGS) check-programs
check-asan:
	@$(subbuild) sub/asan --enable-sanitize=address,undefined
	@cd sub/asan && $(slowly) 0.5 4 $(MAKE) $(AM_MAKEFLAGS) check-running
check-ubsan:
	@$(subbuild) sub/ubsan --enable-sanitize=undefined
	@cd sub/ubsan && $(slowly) 0.5 4 $(MAKE) $(AM_MAKEFLAGS) check-running
check-tsan:
	@$(subbuild) sub/tsan --enable-sanitize=thread
	@cd sub/tsan && $(slowly) 0.25 8 $(MAKE) $(AM_MAKEFLAGS) check-running
# Compiles and links everything for macOS and the BSDs, and runs nothing of it; needs a network the first time.
# make cross-check CROSS='x86_64-freebsd aarch64-macos' JOBS=2
CROSS =
CHECK_SOURCE =
cross-check:
	@JOBS='$(JOBS)' MAKE='$(MAKE)' CHECK_SOURCE='$(CHECK_SOURCE)' \
		$(SHELL) $(top_srcdir)/tests/tools/cross-check '$(top_srcdir)' sub/cross $(CROSS)
# Builds for Windows and runs the tests under wine (Debian: gcc-mingw-w64-x86-64, wine, wine64).
# make check-wine WINE_TESTS='tests/net/flow tests/net/client' JOBS=2
WINE = wine
WINE_TESTS =
check-wine: bench/gannet-load$(EXEEXT)
	@JOBS='$(JOBS)' MAKE='$(MAKE)' WINE='$(WINE)' CHECK_SOURCE='$(CHECK_SOURCE)' \
		GANNET_LOAD_PROGRAM="`pwd`/bench/gannet-load$(EXEEXT)" \
		$(SHELL) $(top_srcdir)/tests/tools/check-wine '$(top_srcdir)' sub/wine $(WINE_TESTS)
.PHONY: check-wine
print-programs:
	@for p in $(check_PROGRAMS) $(check_DATA); do echo "test:$$p"; done
	@for p in $(noinst_PROGRAMS); do echo "other:$$p"; done
.PHONY: cross-check print-programs
# Which branches of lib/ the unit, net and sim tests take; see tests/tools/coverage.
COVERAGE_SEEDS = 300
COVERAGE_SCHEDULES = 300
COVERAGE_LIMIT = 95
coverage_tests = tests/unit/unit $(net_programs) tests/net/activation tests/interop/logging
coverage:
	@$(subbuild) sub/coverage --enable-coverage CFLAGS=-g
	@cd sub/coverage && $(MAKE) $(AM_MAKEFLAGS) coverage-here
coverage-here: tests/sim/sim$(EXEEXT)
	@find . -name '*.gcda' -exec rm -f {} +
	@rc=0; $(slowly) 0.1 4 $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(coverage_tests)' || rc=1; \
	tests/sim/sim --quiet --seeds 1..$(COVERAGE_SEEDS) || rc=1; \
	tests/sim/sim --quiet --schedules 2 --limit $(COVERAGE_SCHEDULES) || rc=1; \
	$(coverage_report) && exit $$rc
coverage-table:
	@$(coverage_report)
coverage-report:
	@cd sub/coverage && $(MAKE) $(AM_MAKEFLAGS) coverage-table
coverage_report = GCOV='$(GCOV)' $(SHELL) $(abs_top_srcdir)/tests/tools/coverage '$(abs_top_srcdir)' $(COVERAGE_LIMIT)
.PHONY: check-valgrind check-asan check-ubsan check-tsan coverage coverage-here coverage-table coverage-report

# Other CPUs and C libraries of Linux; see tests/tools/foreign.  make check-foreign FOREIGN='musl s390x'
FOREIGN =
check-foreign:
	@JOBS='$(JOBS)' MAKE='$(MAKE)' $(SHELL) $(top_srcdir)/tests/tools/foreign '$(top_srcdir)' $(FOREIGN)
check-foreign-full:
	@FOREIGN_SUITES=full JOBS='$(JOBS)' MAKE='$(MAKE)' \
		$(SHELL) $(top_srcdir)/tests/tools/foreign '$(top_srcdir)' $(FOREIGN)
# The same programs on real kernels of other CPUs, in virtual machines; see tests/tools/vm.
VM = s390x aarch64
check-vm:
	@FOREIGN_SUITES=none JOBS='$(JOBS)' MAKE='$(MAKE)' \
		$(SHELL) $(top_srcdir)/tests/tools/foreign '$(top_srcdir)' $(VM)
	@$(SHELL) $(top_srcdir)/tests/tools/vm $(VM)
# A release with BSD make, dash, busybox; see tests/tools/posix-tools.
check-posix-tools: dist-gzip
	@JOBS='$(JOBS)' $(SHELL) $(top_srcdir)/tests/tools/posix-tools "`pwd`/$(distdir).tar.gz"
.PHONY: check-foreign check-foreign-full check-vm check-posix-tools

clean-local:
	rm -rf sub
