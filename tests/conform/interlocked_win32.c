/* SPDX-License-Identifier: MIT */
/* The cases of check_atomic.c on platform/win32/interlocked.h, whatever this compiler has. */
#ifndef __STDC_NO_ATOMICS__
#  define __STDC_NO_ATOMICS__ 1
#endif
#define add_atomic_tests add_interlocked_tests
#include "check_atomic.c"

#ifndef GNP_WIN32_INTERLOCKED_H
#  error "not what is to be tested"
#endif
