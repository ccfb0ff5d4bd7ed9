# SPDX-License-Identifier: MIT
# Fuzzers: with driver.c, or with libFuzzer after configure --enable-fuzzer (see make fuzz).
if HAVE_FUZZER
fuzz_driver = %D%/fuzz.h
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_driver = %D%/driver.c %D%/fuzz.h
fuzz_ldflags = $(AM_LDFLAGS)
endif

fuzz_programs = \
	%D%/address \
	%D%/containers \
	%D%/framing \
	%D%/http \
	%D%/resp
if BUILD_SIM
fuzz_programs += %D%/machine
endif
# What replay and run start is a test only there.
EXTRA_PROGRAMS += $(fuzz_programs)
check_DATA += $(fuzz_programs:=$(EXEEXT))
CLEANFILES += $(fuzz_programs:=$(EXEEXT))
%C%_address_SOURCES = %D%/address.c $(fuzz_driver)
%C%_address_LDADD = libcore.la libplatform.la
%C%_address_LDFLAGS = $(fuzz_ldflags)
%C%_containers_SOURCES = %D%/containers.c $(fuzz_driver)
%C%_containers_LDADD = libcore.la libplatform.la
%C%_containers_LDFLAGS = $(fuzz_ldflags)
%C%_framing_SOURCES = %D%/framing.c $(fuzz_driver)
%C%_framing_LDADD = libcore.la libplatform.la
%C%_framing_LDFLAGS = $(fuzz_ldflags)

%C%_http_SOURCES = %D%/http.c examples/http_parser.c examples/http_parser.h $(fuzz_driver)
%C%_http_LDFLAGS = $(fuzz_ldflags)
%C%_machine_SOURCES = %D%/machine.c $(fuzz_driver)
%C%_machine_LDADD = libcore_sim.la libplatform_sim.la
%C%_machine_LDFLAGS = $(fuzz_ldflags)
%C%_resp_SOURCES = %D%/resp.c examples/resp.c examples/resp.h $(fuzz_driver)
%C%_resp_LDFLAGS = $(fuzz_ldflags)

program_scripts += %D%/replay
EXTRA_DIST += %D%/corpus %D%/replay %D%/run

# Fuzzes in a build of its own, which needs clang: make fuzz FUZZ_SECONDS=60 FUZZER='address http'
FUZZ_CC = clang
FUZZ_SECONDS = 60
FUZZER =
fuzz:
	@command -v '$(FUZZ_CC)' >/dev/null || { echo 'make fuzz needs clang with libFuzzer' \
		'(Debian: clang, libclang-rt-14-dev; Fedora: clang, compiler-rt), or FUZZ_CC=...' >&2; exit 1; }
	@CC='$(FUZZ_CC)' CFLAGS='-g -O1' $(SHELL) $(top_srcdir)/tests/tools/subbuild '$(top_srcdir)' \
		sub/fuzz --enable-sanitize=address,undefined --enable-fuzzer
	@cd sub/fuzz && $(MAKE) $(AM_MAKEFLAGS) fuzz-programs && \
		$(SHELL) '$(abs_top_srcdir)/tests/fuzz/run' '$(abs_top_srcdir)' '$(FUZZ_SECONDS)' $(FUZZER)
fuzz-programs: $(fuzz_programs:=$(EXEEXT))
.PHONY: fuzz fuzz-programs
