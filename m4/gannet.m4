dnl SPDX-License-Identifier: MIT

dnl GN_TRY_CFLAGS(FLAGS, IF-YES, IF-NO): does the compiler take FLAGS without a word?
dnl clang only warns about a flag that it does not know, hence -Werror.
AC_DEFUN([GN_TRY_CFLAGS], [
    gn_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [gn_try=yes], [gn_try=no])
    CFLAGS=$gn_save_CFLAGS
    AS_IF([test $gn_try = yes], [$2], [$3])])

dnl GN_APPEND_CFLAGS(VARIABLE, FLAGS): adds those of FLAGS that work, each tried alone.
AC_DEFUN([GN_APPEND_CFLAGS], [
    for gn_flag in m4_normalize([$2]); do
        AC_MSG_CHECKING([whether $CC takes $gn_flag])
        GN_TRY_CFLAGS([$gn_flag], [$1="$$1 $gn_flag"])
        AC_MSG_RESULT([$gn_try])
    done])

dnl GN_REQUIRE_CFLAGS(FLAGS, OPTION): stops if FLAGS, which OPTION asked for, don't work.
AC_DEFUN([GN_REQUIRE_CFLAGS], [
    AC_MSG_CHECKING([whether $CC takes $1])
    GN_TRY_CFLAGS([$1])
    AC_MSG_RESULT([$gn_try])
    AS_IF([test $gn_try = no], [AC_MSG_ERROR([$CC does not take $1, which $2 needs])])])

dnl GN_PROG_C11: puts CC into C11 mode.  AC_PROG_CC of autoconf 2.70 and later may have
dnl chosen GNU C11 or later; the last -std counts.
AC_DEFUN([GN_PROG_C11], [
    GN_APPEND_CFLAGS([gn_std], [-std=c11])
    CC="$CC$gn_std"
    AC_CACHE_CHECK([for C11 with atomics], [gn_cv_c11], [
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
            #include <stdatomic.h>
            #include <stdint.h>
            #if __STDC_VERSION__ < 201112L
            #error "no C11"
            #endif
            _Static_assert(sizeof(uint64_t) == 8, "uint64_t");
            static _Atomic uint64_t counter;
            static _Thread_local int here;]], [[
            here = (int)atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
            return here;]])], [gn_cv_c11=yes], [gn_cv_c11=no])])
    AS_IF([test $gn_cv_c11 = no],
        [AC_MSG_ERROR([gannet needs a C11 compiler with <stdatomic.h> and _Thread_local; $CC is none])])])

dnl GN_PTHREAD: -pthread where the compiler knows it, else a library, else nothing at all.
AC_DEFUN([GN_PTHREAD], [
    AC_CACHE_CHECK([how to build with POSIX threads], [gn_cv_pthread], [
        gn_cv_pthread=unknown
        gn_save_CFLAGS=$CFLAGS
        gn_save_LIBS=$LIBS
        for gn_flag in -pthread -lpthread none; do
            AS_CASE([$gn_flag],
                [-pthread], [CFLAGS="$gn_save_CFLAGS -pthread"],
                [-l*], [LIBS="$gn_flag $gn_save_LIBS"])
            AC_LINK_IFELSE([AC_LANG_PROGRAM([[
                #include <pthread.h>
                static void *run(void *p) { return p; }]], [[
                pthread_t t;
                return pthread_create(&t, 0, run, 0) || pthread_join(t, 0);]])],
                [gn_cv_pthread=$gn_flag])
            CFLAGS=$gn_save_CFLAGS
            LIBS=$gn_save_LIBS
            test "$gn_cv_pthread" = unknown || break
        done])
    AS_CASE([$gn_cv_pthread],
        [-pthread], [GN_PTHREAD_CFLAGS=-pthread; LIBS="-pthread $LIBS"],
        [-l*], [LIBS="$gn_cv_pthread $LIBS"],
        [unknown], [AC_MSG_ERROR([no POSIX threads found])])
    AC_SUBST([GN_PTHREAD_CFLAGS])])

dnl GN_ATOMIC_LIBS: 32-bit CPUs without 64-bit atomics take them from libatomic.
AC_DEFUN([GN_ATOMIC_LIBS], [
    AC_CACHE_CHECK([for the library of 64-bit atomics], [gn_cv_atomic_libs], [
        gn_cv_atomic_libs=unknown
        gn_save_LIBS=$LIBS
        for gn_lib in none -latomic; do
            test $gn_lib = none || LIBS="$gn_lib $gn_save_LIBS"
            AC_LINK_IFELSE([AC_LANG_PROGRAM([[
                #include <stdatomic.h>
                #include <stdint.h>
                static _Atomic uint64_t n;]], [[
                uint64_t old = atomic_load(&n);
                atomic_store(&n, 3);
                return atomic_compare_exchange_strong(&n, &old, 4) || atomic_fetch_add(&n, 5) > 7;]])],
                [gn_cv_atomic_libs=$gn_lib])
            LIBS=$gn_save_LIBS
            test $gn_cv_atomic_libs = unknown || break
        done])
    AS_CASE([$gn_cv_atomic_libs],
        [-l*], [LIBS="$gn_cv_atomic_libs $LIBS"],
        [unknown], [AC_MSG_ERROR([64-bit atomics do not link])])])

dnl GN_SANITIZE(LIST): sets GN_INSTRUMENT_CFLAGS; a finding ends the program.
AC_DEFUN([GN_SANITIZE], [
    AS_CASE(["x$1"],
        [xno|x], [],
        [xyes], [AC_MSG_ERROR([--enable-sanitize wants a list, such as address,undefined])],
        [gn_flags="-fsanitize=$1 -fno-sanitize-recover=all -fno-omit-frame-pointer"
         GN_REQUIRE_CFLAGS([$gn_flags], [--enable-sanitize])
         GN_INSTRUMENT_CFLAGS="$GN_INSTRUMENT_CFLAGS $gn_flags"])])

dnl GN_FUZZER(yes|no): conditional HAVE_FUZZER; all code counts its branches for libFuzzer, which clang has.
AC_DEFUN([GN_FUZZER], [
    AS_IF([test "x$1" = xyes], [
        GN_REQUIRE_CFLAGS([-fsanitize=fuzzer-no-link], [--enable-fuzzer])
        GN_INSTRUMENT_CFLAGS="$GN_INSTRUMENT_CFLAGS -fsanitize=fuzzer-no-link"
        AC_MSG_CHECKING([for libFuzzer])
        gn_save_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -fsanitize=fuzzer"
        AC_LINK_IFELSE([AC_LANG_SOURCE([[
#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n) { return p == NULL && n != 0; }]])],
            [AC_MSG_RESULT([yes])],
            [AC_MSG_RESULT([no])
             AC_MSG_ERROR([--enable-fuzzer: $CC cannot link with libFuzzer (Debian: clang, libclang-rt-*-dev)])])
        CFLAGS=$gn_save_CFLAGS])
    AM_CONDITIONAL([HAVE_FUZZER], [test "x$1" = xyes])])
