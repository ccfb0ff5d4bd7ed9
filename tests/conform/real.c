/* SPDX-License-Identifier: MIT */
/* The cases on the system that this was built for. */
#include "conform.h"

#include <signal.h> /* raise and signal are of the C standard */

int system_passes(void)
{
    return 1;
}

const char *system_pass(int pass)
{
    (void)pass;
    return NULL;
}

int system_judge(SRunner *r)
{
    (void)r;
    return 0;
}

void system_begin(void)
{
}

void system_end(void)
{
}

/* ----------------------------------------------------------------- files */

intptr_t stream_file(size_t n)
{
    static unsigned char buf[65536];
    char path[32];
    uint64_t at = 0;
    intptr_t os;
    FILE *f;

    temp_name(path, sizeof(path), "data");
    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    while (at < n) {
        size_t some = n - at < sizeof(buf) ? (size_t)(n - at) : sizeof(buf);
        stream_fill(buf, at, some);
        ck_assert_uint_eq(fwrite(buf, 1, some, f), some);
        at += some;
    }
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(gnp_file_open(&os, path), GNP_OK);
    ck_assert_int_eq(remove(path), 0);
    return os;
}

void path_make(const char *path)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fclose(f), 0);
}

int path_exists(const char *path)
{
    FILE *f = fopen(path, "r");

    if (f != NULL)
        fclose(f);
    return f != NULL;
}

int path_remove(const char *path)
{
    return remove(path) == 0;
}

int path_rename(const char *path, const char *to)
{
    return rename(path, to) == 0;
}

/* --------------------------------------------------------------- signals */

static volatile sig_atomic_t handled;

static void own_handler(int sig)
{
    (void)sig;
    handled++;
}

static int number(int what)
{
    return what == GNP_SIGNAL_INT ? SIGINT : SIGTERM;
}

void signal_dispose(int what, disposition how)
{
    signal(number(what), how == SIGNAL_HANDLE ? own_handler : how == SIGNAL_IGNORE ? SIG_IGN : SIG_DFL);
}

disposition signal_disposition(int what)
{
    void (*was)(int) = signal(number(what), SIG_DFL);

    return was == own_handler ? SIGNAL_HANDLE : was == SIG_IGN ? SIGNAL_IGNORE : SIGNAL_DEFAULT;
}

void signal_send(int what)
{
    raise(number(what));
}

int signals_stay(void)
{
    signal(SIGTERM, own_handler);
    raise(SIGTERM);
    handled = 0;
    return signal(SIGTERM, SIG_DFL) == own_handler;
}

int signals_handled(void)
{
    int n = (int)handled;

    handled = 0;
    return n;
}
