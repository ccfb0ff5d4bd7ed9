/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzzer without libFuzzer:
 *
 *   NAME [--runs N] [--seed S] [--crash FILE] [FILE...]
 *
 * replays the files; then, with --runs, tries N variations of them, which follow from the seed.  What fails
 * is kept in FILE (crash-NAME without --crash), to be replayed by giving it as the argument.
 */
#include "fuzz.h"

#include <signal.h>

#define INPUT_MAX 65536u
#define FILES_MAX 4096u
#define STACKED 6u /* changes of one variation, at most */

#ifndef __has_feature
#  define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#  define SANITIZED 1
#else
#  define SANITIZED 0
#endif

typedef struct text {
    uint8_t *p;
    size_t n;
} text;

static struct {
    text file[FILES_MAX];
    size_t files, largest;
    uint64_t runs, rng;
    const char *name, *crash;
    uint8_t now[INPUT_MAX]; /* what runs */
    size_t now_n;
} d;

static void keep(void)
{
    FILE *f = fopen(d.crash, "wb");

    if (f == NULL || fwrite(d.now, 1, d.now_n, f) != d.now_n || fclose(f) != 0)
        (void)fprintf(stderr, "cannot write %s\n", d.crash);
    else
        (void)fprintf(stderr, "the input is in %s; to replay it: tests/fuzz/%s %s\n", d.crash, d.name,
                      d.crash);
}

/* The process is lost, so it does not matter that stdio is not for handlers. */
static void on_crash(int s)
{
    (void)signal(s, SIG_DFL);
    keep();
    (void)raise(s);
}

#if SANITIZED
void __sanitizer_set_death_callback(void (*fn)(void));

static void catch_crashes(void)
{
    __sanitizer_set_death_callback(keep);
    (void)signal(SIGABRT, on_crash);
}
#else
static void catch_crashes(void)
{
    static const int all[] = { SIGABRT, SIGSEGV, SIGFPE, SIGILL };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)signal(all[i], on_crash);
}
#endif

static void run(const uint8_t *p, size_t n)
{
    uint8_t *b = exactly(p, n);

    if (p != d.now && n > 0)
        memcpy(d.now, p, n);
    d.now_n = n;
    (void)LLVMFuzzerTestOneInput(b, n);
    free(b);
}

static int load(const char *path)
{
    static uint8_t all[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t n = f != NULL ? fread(all, 1, sizeof all, f) : 0;

    if (f == NULL || ferror(f) || d.files == FILES_MAX) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        return 2;
    }
    (void)fclose(f);
    d.file[d.files].p = exactly(all, n);
    d.file[d.files++].n = n;
    d.largest = n > d.largest ? n : d.largest;
    return 0;
}

/* ---------------------------------------------------------------- variations */

/* SplitMix64 of Steele, Lea and Flood (2014). */
static uint64_t below(uint64_t n)
{
    uint64_t z = (d.rng += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return n == 0 ? 0 : z % n;
}

static void replace(size_t at, size_t cut, const uint8_t *with, size_t n)
{
    uint8_t copy[256]; /* what is put in may be a part of d.now */

    n = n < sizeof copy ? n : sizeof copy;
    if (d.now_n - cut + n > INPUT_MAX)
        return;
    if (n > 0)
        memcpy(copy, with, n);
    memmove(d.now + at + n, d.now + at + cut, d.now_n - at - cut);
    memcpy(d.now + at, copy, n);
    d.now_n += n - cut;
}

/* A part of another file, or of this input. */
static void splice(size_t at, size_t cut)
{
    const text *t = &d.file[below(d.files)];
    size_t from = (size_t)below(t->n + 1), n = 1 + (size_t)below(64);

    replace(at, cut, t->p + from, n < t->n - from ? n : t->n - from);
}

static void change(void)
{
    static const char special[] = "\0\1\177\200\377\r\n \t:;,.-+%[]/@*$0129aAfFxX";
    size_t at = (size_t)below(d.now_n + 1), left = d.now_n - at;
    uint8_t byte = (uint8_t)below(256);

    switch (below(7)) {
    case 0: /* a bit */
        if (left > 0)
            d.now[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        byte = (uint8_t)special[below(sizeof special - 1)];
        replace(at, left > 0, &byte, 1);
        break;
    case 2:
        byte = below(2) ? byte : (uint8_t)special[below(sizeof special - 1)];
        replace(at, 0, &byte, 1);
        break;
    case 3: /* gone */
        replace(at, (size_t)below((left < 16 ? left : 16) + 1), NULL, 0);
        break;
    case 4: /* a little more, or less */
        if (left > 0)
            d.now[at] = (uint8_t)(d.now[at] + below(9) - 4);
        break;
    case 5:
        splice(at, 0);
        break;
    default:
        splice(at, (size_t)below((left < 64 ? left : 64) + 1));
        break;
    }
}

static void vary(void)
{
    const text *t = &d.file[below(d.files)];

    d.now_n = t->n;
    if (t->n > 0)
        memcpy(d.now, t->p, t->n);
    for (uint64_t i = 1 + below(STACKED); i > 0; i--)
        change();
    run(d.now, d.now_n);
}

static int parse(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc && rc == 0; i++) {
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            d.runs = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            d.rng = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--crash") == 0 && i + 1 < argc)
            d.crash = argv[++i];
        else if (argv[i][0] == '-')
            rc = 2;
        else
            rc = load(argv[i]);
    }
    if (rc != 0)
        (void)fprintf(stderr, "usage: %s [--runs N] [--seed S] [--crash FILE] [FILE...]\n", d.name);
    return rc;
}

int main(int argc, char **argv)
{
    static char crash[256];
    const char *slash = strrchr(argv[0], '/');
    uint64_t seed;
    int rc;

    d.name = slash != NULL ? slash + 1 : argv[0];
    (void)snprintf(crash, sizeof crash, "crash-%s", d.name);
    d.crash = crash;
    rc = parse(argc, argv);
    if (rc != 0)
        return rc;
    seed = d.rng;
    catch_crashes();
    for (size_t i = 0; i < d.files; i++)
        run(d.file[i].p, d.file[i].n);
    printf("%s: %zu files\n", d.name, d.files);
    if (d.files == 0 && d.runs > 0)
        d.file[d.files++].p = NULL; /* begins with nothing */
    for (uint64_t i = 0; i < d.runs; i++)
        vary();
    if (d.runs > 0)
        printf("%s: %llu variations, seed %llu\n", d.name, (unsigned long long)d.runs,
               (unsigned long long)seed);
    for (size_t i = 0; i < d.files; i++)
        free(d.file[i].p);
    return 0;
}
