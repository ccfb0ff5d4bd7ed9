# SPDX-License-Identifier: MIT
# libgannet_sim: the core on the simulated system, behind <gannet_sim.h>.  Tests always have it;
# configure --enable-sim installs it.
if BUILD_SIM
if ENABLE_SIM
lib_LTLIBRARIES += libgannet_sim.la
libgannet_sim_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info $(GANNET_VERSION_INFO)
include_HEADERS += include/gannet_sim.h
pkgconfig_DATA += gannet_sim.pc
else
check_LTLIBRARIES += libgannet_sim.la
noinst_HEADERS += include/gannet_sim.h
endif
libgannet_sim_la_CPPFLAGS = $(AM_CPPFLAGS) -DGN_BUILDING -DGNP_SIM
libgannet_sim_la_SOURCES = %D%/main.c %D%/sim.c
libgannet_sim_la_LIBADD = libcore_sim.la libplatform_sim.la
endif
