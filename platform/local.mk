# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += libplatform.la
libplatform_la_SOURCES = \
	%D%/addr.h %D%/atomic.h %D%/backend.h %D%/cpu.h %D%/err.h %D%/mem.h %D%/platform.h \
	%D%/poll.h %D%/px.h %D%/sock.h %D%/sockopt.h %D%/sys.h %D%/thread.h %D%/time.h \
	%D%/mem.c \
	%D%/poller.c \
	%D%/px.c \
	%D%/signal.c

# What POSIX.1-2008 gives.
platform_posix = \
	%D%/posix/addr.c \
	%D%/posix/cond.c \
	%D%/posix/descriptor.c \
	%D%/posix/dgram.h \
	%D%/posix/err.c \
	%D%/posix/group.c \
	%D%/posix/inherited.c \
	%D%/posix/interface.c \
	%D%/posix/native.h \
	%D%/posix/poll.c \
	%D%/posix/poll.h \
	%D%/posix/posix.h \
	%D%/posix/relax.c \
	%D%/posix/resolve.c \
	%D%/posix/rights.c \
	%D%/posix/sendfile.c \
	%D%/posix/signal.c \
	%D%/posix/sock.c \
	%D%/posix/sock_posix.h \
	%D%/posix/sockopt.c \
	%D%/posix/sys.c \
	%D%/posix/thread.c \
	%D%/posix/time.c \
	%D%/posix/unixpath.c \
	%D%/posix/verbs.c

platform_linux = \
	%D%/linux/cgroup.c \
	%D%/linux/cgroup.h \
	%D%/linux/cpu.c \
	%D%/linux/cred.c \
	%D%/linux/dgram.c \
	%D%/linux/epoll.c \
	%D%/linux/epoll.h \
	%D%/linux/epoll_edge.c \
	%D%/linux/epoll_level.c \
	%D%/linux/resident.c \
	%D%/linux/reuseport.c \
	%D%/linux/sendfile.c \
	%D%/linux/sockopt.c \
	%D%/linux/thread_name.c \
	%D%/linux/wake_eventfd.c

# Pairs of files, picked by the feature tests of configure.
if GNP_ACCEPT4
platform_accept = %D%/posix/accept4.c
else
platform_accept = %D%/posix/accept_plain.c
endif
platform_accept += %D%/posix/state.c
if GNP_CLOCK_NANOSLEEP
platform_sleep = %D%/posix/sleep.c
else
platform_sleep = %D%/posix/sleep_plain.c
endif
if GNP_CONDATTR_SETCLOCK
platform_cond = %D%/posix/cond_clock.c
else
platform_cond = %D%/darwin/cond_relative.c
endif
if GNP_STAT_MTIM
platform_mtime = %D%/posix/mtime.c
else
platform_mtime = %D%/darwin/mtime.c
endif
platform_time = $(platform_mtime) $(platform_cond) $(platform_sleep)
if GNP_MMSG
platform_dgram = %D%/posix/mmsg.c
else
platform_dgram = %D%/posix/mmsg_plain.c
endif
if GNP_EPOLL_PWAIT2
platform_epoll_wait = %D%/linux/epoll_wait2.c
else
platform_epoll_wait = %D%/linux/epoll_wait1.c
endif

# --with-kqueue: the BSDs' poller on a library that knows Linux.
if GNP_KQUEUE_LIBRARY
platform_linux_backends = %D%/linux/backends_kqueue.c \
	%D%/bsd/kqueue.c %D%/bsd/kqueue.h %D%/bsd/kqueue_library.c
else
platform_linux_backends = %D%/linux/backends.c
endif

# What is known of no system but POSIX: the other file of each pair.
platform_plain = \
	%D%/posix/backends.c \
	%D%/posix/dgram_plain.c \
	%D%/posix/group_plain.c \
	%D%/posix/plain.c \
	%D%/posix/sendfile_plain.c \
	%D%/posix/wake_pipe.c

if OS_LINUX
libplatform_la_SOURCES += $(platform_posix) $(platform_linux) $(platform_linux_backends) \
	$(platform_accept) $(platform_dgram) $(platform_time) $(platform_epoll_wait)

# Nothing but POSIX, for tests/conform; and what a new port can begin with.
check_LTLIBRARIES += libplatform_plain.la
libplatform_plain_la_SOURCES = \
	%D%/mem.c \
	%D%/poller.c \
	%D%/px.c \
	%D%/signal.c \
	$(platform_posix) \
	$(platform_plain) \
	%D%/posix/accept_plain.c \
	%D%/posix/cond_clock.c \
	%D%/posix/mmsg_plain.c \
	%D%/posix/mtime.c \
	%D%/posix/sleep_plain.c \
	%D%/posix/state.c
# Nothing calls it there: the poller is not in.  It is compiled, also where the headers know epoll_pwait2.
libplatform_plain_la_SOURCES += %D%/linux/epoll_wait1.c
endif

# Which of the BSDs' own files a system takes, its headers and functions say.
if GNP_CPUSET_CREATE
platform_bsd_cpu = %D%/bsd/cpu_object.c
else
if GNP_CPU_MASK
platform_bsd_cpu = %D%/bsd/cpu_mask.c
else
platform_bsd_cpu = %D%/bsd/cpu_plain.c
endif
endif
if GNP_XUCRED_PID
platform_bsd_pid = %D%/bsd/peer_pid_xucred.c
else
platform_bsd_pid = %D%/bsd/peer_pid.c
endif
if GNP_KI_RSSIZE
platform_bsd_resident = %D%/bsd/resident_freebsd.c
else
if GNP_KP_VM_RSSIZE
platform_bsd_resident = %D%/bsd/resident_dragonfly.c
else
platform_bsd_resident = %D%/bsd/resident_sized.c
endif
endif
if GNP_REUSEPORT_LB
platform_bsd_reuseport = %D%/bsd/reuseport_lb.c
else
if OS_DRAGONFLY
platform_bsd_reuseport = %D%/bsd/reuseport_dragonfly.c
else
platform_bsd_reuseport = %D%/bsd/reuseport_plain.c
endif
endif
if GNP_SENDFILE
platform_bsd_sendfile = %D%/bsd/sendfile.c
else
platform_bsd_sendfile = %D%/posix/sendfile_plain.c
endif
if GNP_PTHREAD_SET_NAME
platform_bsd_name = %D%/bsd/thread_name_set.c
else
platform_bsd_name = %D%/bsd/thread_name_format.c
endif

# The BSDs and macOS alike.
platform_kqueue = \
	%D%/bsd/backends.c \
	%D%/bsd/cred.c \
	%D%/bsd/cred.h \
	%D%/bsd/dgram.c \
	%D%/bsd/kqueue.c \
	%D%/bsd/kqueue.h \
	%D%/bsd/kqueue_native.c \
	%D%/bsd/sockopt.c \
	%D%/posix/group_plain.c \
	%D%/posix/wake_pipe.c

if OS_BSD
libplatform_la_SOURCES += $(platform_posix) $(platform_kqueue) $(platform_accept) $(platform_dgram) \
	$(platform_time) $(platform_bsd_cpu) $(platform_bsd_name) $(platform_bsd_pid) $(platform_bsd_resident) \
	$(platform_bsd_reuseport) $(platform_bsd_sendfile) %D%/bsd/device_plain.c
endif

if OS_DARWIN
libplatform_la_SOURCES += $(platform_posix) $(platform_kqueue) $(platform_dgram) $(platform_time) \
	%D%/bsd/cpu_plain.c \
	%D%/bsd/peer_pid.c \
	%D%/bsd/reuseport_plain.c \
	%D%/darwin/device.c \
	%D%/darwin/resident.c \
	%D%/darwin/sendfile.c \
	%D%/darwin/socket.c \
	%D%/darwin/thread_name.c
endif

platform_win32 = \
	%D%/win32/addr.c \
	%D%/win32/afd.c \
	%D%/win32/afd_device.c \
	%D%/win32/afd_device.h \
	%D%/win32/backends.c \
	%D%/win32/cpu.c \
	%D%/win32/descriptor.c \
	%D%/win32/dgram.c \
	%D%/win32/err.c \
	%D%/win32/group.c \
	%D%/win32/interface.c \
	%D%/win32/interlocked.h \
	%D%/win32/iocp.c \
	%D%/win32/iocp.h \
	%D%/win32/iocp_accept.c \
	%D%/win32/iocp_connect.c \
	%D%/win32/iocp_op.c \
	%D%/win32/port.c \
	%D%/win32/resolve.c \
	%D%/win32/sendfile.c \
	%D%/win32/signal.c \
	%D%/win32/sock.c \
	%D%/win32/sockopt.c \
	%D%/win32/sys.c \
	%D%/win32/thread.c \
	%D%/win32/time.c \
	%D%/win32/unixpath.c \
	%D%/win32/verbs.c \
	%D%/win32/win32.h
if OS_WIN32
libplatform_la_SOURCES += $(platform_win32)
endif

# The simulated system, see sim.h.  The core is compiled again for it, so that its atomic operations
# call the simulator.  Not on Windows: it stands on POSIX threads and processes.
if BUILD_SIM
if ENABLE_SIM
noinst_LTLIBRARIES += libcore_sim.la libplatform_sim.la
else
check_LTLIBRARIES += libcore_sim.la libplatform_sim.la
endif
libcore_sim_la_CPPFLAGS = $(libcore_la_CPPFLAGS) -DGNP_SIM
libcore_sim_la_SOURCES = $(libcore_la_SOURCES)
libplatform_sim_la_CPPFLAGS = $(AM_CPPFLAGS) -DGNP_SIM
libplatform_sim_la_SOURCES = \
	%D%/poller.c \
	%D%/sim/addr.c \
	%D%/sim/file.c \
	%D%/sim/flight.c \
	%D%/sim/knobs.c \
	%D%/sim/late.c \
	%D%/sim/mem.c \
	%D%/sim/net.c \
	%D%/sim/peer.c \
	%D%/sim/poller.c \
	%D%/sim/schedule.c \
	%D%/sim/sim.h \
	%D%/sim/sock.c \
	%D%/sim/sys.c \
	%D%/sim/thread.c \
	%D%/sim/trace.c \
	%D%/sim/world.c \
	%D%/sim/world.h
if OS_LINUX
libplatform_sim_la_SOURCES += %D%/linux/one_cpu.c
else
libplatform_sim_la_SOURCES += %D%/posix/one_cpu_plain.c
endif
if OS_DARWIN
libplatform_sim_la_SOURCES += %D%/posix/baton_plain.c
else
libplatform_sim_la_SOURCES += %D%/posix/baton.c
endif
endif
