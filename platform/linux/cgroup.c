/* SPDX-License-Identifier: MIT */
/*
 * Finds the directories of the process's control groups from /proc/self/cgroup (which group)
 * and /proc/self/mountinfo (where the hierarchy is mounted, and which part of it), as
 * cgroups(7) and proc(5) describe them, and reads the quota of each group on the way up.
 */
#include "cgroup.h"
#include "../mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_CAP 4096u
#define TABLE_CAP (256u * 1024u) /* mountinfo of a host with a thousand containers */
#define DEPTH_MAX 64             /* groups on the way up; the kernel's default limit is lower in practice */

/* A group as /proc/self/cgroup names it; version 0: none found. */
typedef struct group {
    int version;
    char path[PATH_CAP];
} group;

typedef struct search {
    gnp_linux_read *read;
    void *ctx;
    char table[TABLE_CAP];
    group v1, v2;
    char dir[2 * PATH_CAP];
} search;

/* 1 if the comma-separated list has word. */
static int has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (list != NULL) {
        if (strncmp(list, word, n) == 0 && (list[n] == ',' || list[n] == '\0'))
            return 1;
        list = strchr(list, ',');
        list = list != NULL ? list + 1 : NULL;
    }
    return 0;
}

/* Cuts the next line off *text; NULL after the last. */
static char *next_line(char **text)
{
    char *line = *text, *end;

    if (*line == '\0')
        return NULL;
    end = strchr(line, '\n');
    if (end != NULL)
        *end = '\0';
    *text = end != NULL ? end + 1 : line + strlen(line);
    return line;
}

/* Cuts the next field, ended by sep, off *text; NULL after the last. */
static char *next_field(char **text, char sep)
{
    char *field = *text, *end;

    if (field == NULL)
        return NULL;
    end = strchr(field, sep);
    if (end != NULL)
        *end++ = '\0';
    *text = end;
    return field;
}

/* Lines are hierarchy:controllers:path. */
static void read_groups(search *s)
{
    char *text = s->table, *line;

    if (s->read(s->ctx, "/proc/self/cgroup", s->table, sizeof(s->table)) < 0)
        return;
    while ((line = next_line(&text)) != NULL) {
        const char *id = next_field(&line, ':');
        const char *controllers = next_field(&line, ':');
        group *g;
        if (controllers == NULL || line == NULL || strlen(line) >= PATH_CAP)
            continue;
        if (strcmp(id, "0") == 0 && controllers[0] == '\0')
            g = &s->v2;
        else if (has_word(controllers, "cpu"))
            g = &s->v1;
        else
            continue;
        g->version = g == &s->v2 ? 2 : 1;
        strcpy(g->path, line);
    }
}

/* mountinfo writes blanks and the like as \ooo. */
static void unescape(char *text)
{
    char *to = text;

    while (*text != '\0') {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] != '\0' && text[3] != '\0') {
            *to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
            text += 4;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
}

/* CPUs of a quota per period, rounded up; 0: none. */
static unsigned cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    quota = (quota + period - 1) / period;
    return quota < 65536 ? (unsigned)quota : 65536;
}

static int read_in(search *s, const char *name, char *buf, size_t cap)
{
    size_t n = strlen(s->dir);
    int r;

    if (n + strlen(name) >= sizeof(s->dir))
        return -1;
    strcpy(s->dir + n, name);
    r = s->read(s->ctx, s->dir, buf, cap);
    s->dir[n] = '\0';
    return r;
}

static unsigned quota_here(search *s, int version)
{
    char buf[64], *end;
    long long quota;

    if (read_in(s, version == 2 ? "/cpu.max" : "/cpu.cfs_quota_us", buf, sizeof(buf)) < 0)
        return 0;
    quota = strtoll(buf, &end, 10); /* "max" gives 0 */
    if (version == 2)
        return cpus_of(quota, strtoll(end, NULL, 10));
    if (read_in(s, "/cpu.cfs_period_us", buf, sizeof(buf)) < 0)
        return 0;
    return cpus_of(quota, strtoll(buf, NULL, 10));
}

/* The tightest quota from the group in dir up to the one at which dir is top bytes long. */
static unsigned tightest(search *s, size_t top, int version)
{
    unsigned best = 0;
    int depth;

    for (depth = 0; depth < DEPTH_MAX; depth++) {
        unsigned n = quota_here(s, version);
        char *slash = strrchr(s->dir, '/');
        if (n != 0 && (best == 0 || n < best))
            best = n;
        if (strlen(s->dir) <= top || slash == NULL)
            break;
        *slash = '\0';
    }
    return best;
}

/* The part of the group's path that lies below the mount's root; "" if it lies elsewhere, as in
 * a container that sees its own group mounted but the host's path. */
static const char *below(const char *path, const char *root)
{
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return "";
    if (strncmp(path + n, "/..", 3) == 0) /* outside the namespace */
        return "";
    return strcmp(path + n, "/") == 0 ? "" : path + n;
}

/* One mount: id parent major:minor root point options [optional...] - type source options */
static unsigned quota_of_mount(search *s, char *line)
{
    const group *g = NULL;
    char *root = NULL, *point = NULL, *dash = strstr(line, " - ");
    const char *type, *options;
    size_t top;
    int i;

    if (dash == NULL)
        return 0;
    *dash = '\0';
    dash += 3;
    type = next_field(&dash, ' ');
    next_field(&dash, ' ');
    options = dash;
    if (strcmp(type, "cgroup2") == 0)
        g = &s->v2;
    else if (strcmp(type, "cgroup") == 0 && options != NULL && has_word(options, "cpu"))
        g = &s->v1;
    if (g == NULL || g->version == 0)
        return 0;
    for (i = 0; i < 5; i++) {
        root = point;
        point = next_field(&line, ' ');
    }
    if (root == NULL || point == NULL || strlen(point) >= PATH_CAP)
        return 0;
    unescape(root);
    unescape(point);
    strcpy(s->dir, point);
    top = strlen(point);
    strcat(s->dir, below(g->path, root));
    return tightest(s, top, g->version);
}

unsigned gnp_linux_cgroup_cpus(gnp_linux_read *read, void *ctx)
{
    search *s = gnp_zalloc(sizeof(*s));
    unsigned best = 0;
    char *text, *line;

    if (s == NULL)
        return 0;
    s->read = read;
    s->ctx = ctx;
    read_groups(s);
    text = s->table;
    if ((s->v1.version != 0 || s->v2.version != 0) &&
        read(ctx, "/proc/self/mountinfo", s->table, sizeof(s->table)) >= 0) {
        while ((line = next_line(&text)) != NULL) {
            unsigned n = quota_of_mount(s, line);
            if (n != 0 && (best == 0 || n < best))
                best = n;
        }
    }
    gnp_free(s, sizeof(*s));
    return best;
}
