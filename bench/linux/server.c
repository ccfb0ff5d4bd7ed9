/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/addr.h"
#include "server.h"

#define START_MS 5000
#define STOP_MS 5000

const char *const server_call_name[SERVER_CALLS] = {
    "recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "accept4", "close", "shutdown", "io_uring_enter",
    "futex"
};

int server_parse(server *s, char *text)
{
    char *equals = strchr(text, '=');
    char *word, *save;
    int n = 0;

    memset(s, 0, sizeof *s);
    if (equals == NULL || equals == text)
        return 0;
    *equals = '\0';
    s->name = text;
    for (word = strtok_r(equals + 1, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        if (n == SERVER_WORDS_MAX)
            return 0;
        s->words[n++] = word;
    }
    return n != 0;
}

int pin_to(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static void child(server *s, int cpu, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never left behind */
    if (!pin_to(cpu))
        perror("sched_setaffinity");
    dup2(out, STDOUT_FILENO);
    execvp(s->words[0], s->words);
    perror(s->words[0]);
    _exit(127);
}

/* Reads its output up to the line that we wait for. */
static int read_address(server *s, int in)
{
    static const char want[] = "listening on ";
    struct pollfd p = { in, POLLIN, 0 };
    char text[512];
    size_t n = 0;

    while (n < sizeof text - 1 && poll(&p, 1, START_MS) == 1) {
        ssize_t r = read(in, text + n, sizeof text - 1 - n);
        char *line, *end;
        gni_endpoint e;

        if (r <= 0)
            return 0;
        n += (size_t)r;
        text[n] = '\0';
        line = strstr(text, want);
        end = line != NULL ? strchr(line, '\n') : NULL;
        if (end == NULL)
            continue;
        *end = '\0';
        if (gni_endpoint_parse(line + sizeof want - 1, &e) != GN_OK)
            return 0;
        s->addr = e.addr;
        return 1;
    }
    return 0;
}

int server_start(server *s, int cpu)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) != 0)
        return 0;
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        close(fd[0]);
        child(s, cpu, fd[1]);
    }
    close(fd[1]);
    if (s->pid < 0 || !read_address(s, fd[0])) {
        fprintf(stderr, "%s (%s) does not say where it listens\n", s->name, s->words[0]);
        close(fd[0]);
        return 0;
    }
    /* Its standard output stays open until it ends; what more it writes fits into the pipe. */
    return 1;
}

int server_stop(server *s)
{
    struct timespec tick = { 0, 10000000 };
    int status = 0, waited;
    pid_t got = 0;

    if (s->pid <= 0)
        return 1;
    kill(s->pid, SIGTERM);
    for (waited = 0; waited < STOP_MS && (got = waitpid(s->pid, &status, WNOHANG)) == 0; waited += 10)
        nanosleep(&tick, NULL);
    if (got == 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, &status, 0);
    }
    s->pid = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The clock of another process counts to the nanosecond what its threads have run so far;
 * schedstat lags by up to a tick. */
uint64_t server_cpu_ns(const server *s)
{
    clockid_t clock;
    struct timespec t;

    if (clock_getcpuclockid(s->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t server_user_ticks(const server *s)
{
    char path[64], text[512];
    unsigned long long user = 0;
    const char *p;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    p = strrchr(text, ')'); /* the name before it may hold anything */
    if (p == NULL || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu", &user) != 1)
        return 0;
    return user;
}

/* --------------------------------------------------------------- counting */

static long tracepoint_id(const char *group, const char *name)
{
    static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
    char path[256];
    long id = -1;
    size_t i;

    for (i = 0; i < 2 && id < 0; i++) {
        FILE *f;

        snprintf(path, sizeof path, "%s/events/%s/%s/id", roots[i], group, name);
        f = fopen(path, "r");
        if (f == NULL)
            continue;
        if (fscanf(f, "%ld", &id) != 1)
            id = -1;
        fclose(f);
    }
    return id;
}

static int counter_open(pid_t tid, const char *group, const char *name)
{
    struct perf_event_attr a;
    long id = tracepoint_id(group, name);

    if (id < 0)
        return -1;
    memset(&a, 0, sizeof a);
    a.size = sizeof a;
    a.type = PERF_TYPE_TRACEPOINT;
    a.config = (uint64_t)id;
    return (int)syscall(SYS_perf_event_open, &a, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int server_count_open(server *s)
{
    char path[64], name[64];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
    d = opendir(path);
    if (d == NULL)
        return 0;
    s->threads = 0;
    s->counting = 1;
    while ((e = readdir(d)) != NULL && s->threads < SERVER_THREADS_MAX) {
        pid_t tid = (pid_t)atoi(e->d_name);
        int i;

        if (tid <= 0)
            continue;
        s->total_fd[s->threads] = counter_open(tid, "raw_syscalls", "sys_enter");
        if (s->total_fd[s->threads] < 0)
            s->counting = 0;
        for (i = 0; i < SERVER_CALLS; i++) {
            snprintf(name, sizeof name, "sys_enter_%s", server_call_name[i]);
            s->call_fd[s->threads][i] = counter_open(tid, "syscalls", name);
        }
        s->threads++;
    }
    closedir(d);
    if (!s->counting)
        server_count_close(s);
    return s->counting;
}

void server_count_close(server *s)
{
    unsigned t;
    int i;

    for (t = 0; t < s->threads; t++) {
        if (s->total_fd[t] >= 0)
            close(s->total_fd[t]);
        for (i = 0; i < SERVER_CALLS; i++) {
            if (s->call_fd[t][i] >= 0)
                close(s->call_fd[t][i]);
        }
    }
    s->threads = 0;
    s->counting = 0;
}

static uint64_t counter_read(int fd)
{
    uint64_t n = 0;

    return fd >= 0 && read(fd, &n, sizeof n) == (ssize_t)sizeof n ? n : 0;
}

void server_counts_read(const server *s, server_counts *out)
{
    unsigned t;
    int i;

    memset(out, 0, sizeof *out);
    for (t = 0; t < s->threads; t++) {
        out->total += counter_read(s->total_fd[t]);
        for (i = 0; i < SERVER_CALLS; i++)
            out->call[i] += counter_read(s->call_fd[t][i]);
    }
}
