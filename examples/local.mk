# SPDX-License-Identifier: MIT
# The example servers.  They see <gannet.h> and standard C only; their sources are installed
# with the documentation, where cc echo.c common.c $(pkg-config --cflags --libs gannet) builds them.

example_common = %D%/common.c %D%/common.h

noinst_PROGRAMS += %D%/chat %D%/echo %D%/http %D%/offload %D%/proxy %D%/redis

%C%_chat_SOURCES = %D%/chat.c $(example_common)
%C%_chat_LDADD = libgannet.la

%C%_offload_SOURCES = %D%/offload.c $(example_common)
%C%_offload_LDADD = libgannet.la

%C%_echo_SOURCES = %D%/echo.c $(example_common)
%C%_echo_LDADD = libgannet.la

%C%_proxy_SOURCES = %D%/proxy.c $(example_common)
%C%_proxy_LDADD = libgannet.la

%C%_http_SOURCES = %D%/http.c %D%/http_parser.c %D%/http_parser.h $(example_common)
%C%_http_LDADD = libgannet.la

example_redis = %D%/redis_db.c %D%/redis_db.h %D%/redis_server.c %D%/redis_server.h %D%/resp.c %D%/resp.h

%C%_redis_SOURCES = %D%/redis.c $(example_redis) $(example_common)
%C%_redis_LDADD = libgannet.la

# The same server in a simulated world, for make check; its memory, too, is that of the world.
if BUILD_SIM
check_PROGRAMS += %D%/redis_sim
TESTS += %D%/redis_sim
endif
%C%_redis_sim_SOURCES = %D%/redis_sim.c $(example_redis)
%C%_redis_sim_CPPFLAGS = $(AM_CPPFLAGS) -Dmalloc=gn_sim_malloc -Dcalloc=gn_sim_calloc \
	-Drealloc=gn_sim_realloc -Dfree=gn_sim_free
%C%_redis_sim_LDADD = libgannet_sim.la

examplesdir = $(docdir)/examples
dist_examples_DATA = %D%/chat.c %D%/echo.c %D%/http.c %D%/http_parser.c %D%/http_parser.h %D%/offload.c \
	%D%/proxy.c %D%/redis.c %D%/redis_sim.c $(example_redis) $(example_common)
