# SPDX-License-Identifier: MIT
# Real clients against the example servers, and the HTTP example's parser without a server.

if HAVE_CHECK
check_PROGRAMS += %D%/http_parser
TESTS += %D%/http_parser
%C%_http_parser_SOURCES = %D%/http_parser.c examples/http_parser.c examples/http_parser.h
%C%_http_parser_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_http_parser_LDADD = $(CHECK_LIBS)
check_PROGRAMS += %D%/resp_parser
TESTS += %D%/resp_parser
%C%_resp_parser_SOURCES = %D%/resp_parser.c examples/redis_db.c examples/redis_db.h examples/resp.c \
	examples/resp.h
%C%_resp_parser_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
%C%_resp_parser_LDADD = $(CHECK_LIBS)
endif

interop_scripts = \
	%D%/chat \
	%D%/echo \
	%D%/flags \
	%D%/http \
	%D%/load \
	%D%/logging \
	%D%/offload \
	%D%/proxy \
	%D%/redis
TESTS += $(interop_scripts)
EXTRA_DIST += $(interop_scripts) %D%/lib.sh %D%/pipeline.lua
