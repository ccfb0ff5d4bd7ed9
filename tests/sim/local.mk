# SPDX-License-Identifier: MIT
# The core on the simulated system.  Not part of make check yet: make check-sim SEEDS=1000.
EXTRA_PROGRAMS += %D%/sim
CLEANFILES += %D%/sim$(EXEEXT)
%C%_sim_SOURCES = \
	%D%/broadcast.c \
	%D%/common.c \
	%D%/dial.c \
	%D%/echo.c \
	%D%/framing.c \
	%D%/pipeline.c \
	%D%/pool.c \
	%D%/post.c \
	%D%/scenario.h \
	%D%/sim.c
%C%_sim_CFLAGS = $(AM_CFLAGS)
%C%_sim_LDADD = libcore_sim.la libplatform_sim.la

SEEDS = 1000
check-sim: %D%/sim$(EXEEXT)
	%D%/sim --seeds 1..$(SEEDS)
	%D%/sim --quiet --twice --seeds 1..50
.PHONY: check-sim

# Does the simulator find bugs?  One is planted at a time.  make check-mutants MUTANTS='wake-lost timer-early'
JOBS = 2
MUTANTS =
check-mutants: %D%/sim$(EXEEXT)
	@COMPILE='$(CC) $(DEFS) $(DEFAULT_INCLUDES) $(libcore_sim_la_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS)' \
		LINK='$(LIBTOOL) --silent --tag=CC --mode=link $(CC) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS)' \
		SIM_OBJECTS='$(%C%_sim_OBJECTS)' SIM_LIBRARY=libgannet_sim.la JOBS='$(JOBS)' \
		$(SHELL) $(srcdir)/%D%/mutation $(srcdir) $(MUTANTS)
.PHONY: check-mutants
EXTRA_DIST += %D%/mutation %D%/mutants
