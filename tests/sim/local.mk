# SPDX-License-Identifier: MIT
# The core on the simulated system.
if BUILD_SIM
# What seeds starts is no test by itself.
EXTRA_PROGRAMS += %D%/sim
check_DATA += %D%/sim$(EXEEXT)
program_scripts += %D%/seeds
endif
CLEANFILES += %D%/sim$(EXEEXT)
%C%_sim_SOURCES = \
	%D%/binds.c \
	%D%/bounds.c \
	%D%/broadcast.c \
	%D%/common.c \
	%D%/corners.c \
	%D%/cuts.c \
	%D%/datagrams.c \
	%D%/dial.c \
	%D%/echo.c \
	%D%/edges.c \
	%D%/engines.c \
	%D%/explore.c \
	%D%/famine.c \
	%D%/flow.c \
	%D%/framing.c \
	%D%/listeners.c \
	%D%/migration.c \
	%D%/offload.c \
	%D%/pipeline.c \
	%D%/planted.c \
	%D%/pool.c \
	%D%/post.c \
	%D%/proxy.c \
	%D%/runner.h \
	%D%/scenario.h \
	%D%/schedules.c \
	%D%/shrink.c \
	%D%/sim.c \
	%D%/stop.c \
	%D%/strays.c \
	%D%/timers.c \
	%D%/watch.c \
	%D%/worlds.c
%C%_sim_CPPFLAGS = $(AM_CPPFLAGS) -DGNP_SIM
%C%_sim_CFLAGS = $(AM_CFLAGS)
%C%_sim_LDADD = libcore_sim.la libplatform_sim.la

EXTRA_DIST += %D%/check-sim %D%/seeds

SEEDS = 1000
JOBS = 2
SCHEDULES = 1000
check-sim: %D%/sim$(EXEEXT)
	@SEEDS='$(SEEDS)' JOBS='$(JOBS)' SCHEDULES='$(SCHEDULES)' srcdir='$(srcdir)' $(SHELL) $(srcdir)/%D%/check-sim %D%/sim$(EXEEXT)
.PHONY: check-sim

# Does the simulator find bugs?  One is planted at a time.  make check-mutants MUTANTS='wake-lost timer-early'
MUTANTS =
check-mutants: %D%/sim$(EXEEXT)
	@COMPILE='$(CC) $(DEFS) $(DEFAULT_INCLUDES) $(libcore_sim_la_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS)' \
		LINK='$(LIBTOOL) --silent --tag=CC --mode=link $(CC) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS)' \
		SIM_OBJECTS='$(%C%_sim_OBJECTS)' SIM_LIBRARY='libcore_sim.la libplatform_sim.la' JOBS='$(JOBS)' \
		$(SHELL) $(srcdir)/%D%/mutation $(srcdir) $(MUTANTS)
.PHONY: check-mutants
EXTRA_DIST += %D%/mutation %D%/mutants
