/* SPDX-License-Identifier: MIT */
/* How the Linux port reads CPU quotas, on invented file systems. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/linux/cgroup.h"

typedef struct file {
    const char *path, *text;
} file;

static int read_invented(void *ctx, const char *path, char *buf, size_t cap)
{
    const file *f;

    for (f = ctx; f->path != NULL; f++) {
        if (strcmp(f->path, path) == 0)
            return snprintf(buf, cap, "%s", f->text);
    }
    return -1;
}

static unsigned cpus(const file *files)
{
    return gnp_linux_cgroup_cpus(read_invented, (void *)(size_t)files);
}

#define GROUP "/proc/self/cgroup"
#define MOUNTS "/proc/self/mountinfo"
#define ROOT_MOUNT "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define V2_MOUNT ROOT_MOUNT "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

START_TEST(no_quota)
{
    static const file none[] = { { NULL, NULL } };
    static const file no_mount[] = { { GROUP, "0::/a\n" }, { MOUNTS, ROOT_MOUNT }, { NULL, NULL } };
    static const file max[] = { { GROUP, "0::/a\n" },
                                { MOUNTS, V2_MOUNT },
                                { "/sys/fs/cgroup/a/cpu.max", "max 100000\n" },
                                { NULL, NULL } };
    static const file garbage[] = { { GROUP, "nonsense\n:\n::\n0::" },
                                    { MOUNTS, "nonsense\n - cgroup2\n1 2 - cgroup2 a b\n" V2_MOUNT },
                                    { "/sys/fs/cgroup/cpu.max", "-5 -7\n" },
                                    { NULL, NULL } };

    ck_assert_uint_eq(cpus(none), 0);
    ck_assert_uint_eq(cpus(no_mount), 0);
    ck_assert_uint_eq(cpus(max), 0);
    ck_assert_uint_eq(cpus(garbage), 0);
}
END_TEST

START_TEST(version_2)
{
    static const struct { const char *max; unsigned cpus; } values[] = {
        { "100000 100000", 1 }, { "100001 100000", 2 }, { "150000 100000\n", 2 }, { "1000 100000\n", 1 },
        { "400000 100000\n", 4 }, { "50000 25000\n", 2 }, { "0 100000", 0 }, { "100000 0", 0 }, { "", 0 },
        { "9223372036854775806 1", 65536 },
    };
    file files[] = { { GROUP, "0::/user.slice/a b.scope\n" },
                     { MOUNTS, V2_MOUNT },
                     { "/sys/fs/cgroup/user.slice/a b.scope/cpu.max", NULL },
                     { NULL, NULL } };
    size_t i;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        files[2].text = values[i].max;
        ck_assert_uint_eq(cpus(files), values[i].cpus);
    }
}
END_TEST

/* The tightest on the way up counts, at whichever level it stands. */
START_TEST(parents_count)
{
    static const file files[] = { { GROUP, "0::/a/b/c\n" },
                                  { MOUNTS, V2_MOUNT },
                                  { "/sys/fs/cgroup/a/cpu.max", "300000 100000\n" },
                                  { "/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n" },
                                  { "/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n" },
                                  { NULL, NULL } };
    static const file top[] = { { GROUP, "0::/\n" },
                                { MOUNTS, V2_MOUNT },
                                { "/sys/fs/cgroup/cpu.max", "250000 100000\n" },
                                { "/sys/fs/cpu.max", "100000 100000\n" },
                                { NULL, NULL } };

    ck_assert_uint_eq(cpus(files), 3);
    ck_assert_uint_eq(cpus(top), 3); /* and nothing above the mount */
}
END_TEST

#define V1_MOUNTS(root) \
    ROOT_MOUNT "40 22 0:30 " root " /sys/fs/cgroup/cpu\\040set rw - cgroup cgroup rw,cpuset\n" \
               "41 22 0:31 " root " /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup c rw,cpu,cpuacct\n"

START_TEST(version_1)
{
    static const file files[] = { { GROUP, "12:cpuset:/no\n5:cpu,cpuacct:/docker/42\n1:name=systemd:/x\n" },
                                  { MOUNTS, V1_MOUNTS("/") },
                                  { "/sys/fs/cgroup/cpu,cpuacct/docker/42/cpu.cfs_quota_us", "250000\n" },
                                  { "/sys/fs/cgroup/cpu,cpuacct/docker/42/cpu.cfs_period_us", "100000\n" },
                                  { "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n" },
                                  { "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n" },
                                  { NULL, NULL } };
    static const file no_period[] = { { GROUP, "5:cpu:/a\n" },
                                      { MOUNTS, V1_MOUNTS("/") },
                                      { "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n" },
                                      { NULL, NULL } };

    ck_assert_uint_eq(cpus(files), 3);
    ck_assert_uint_eq(cpus(no_period), 0);
}
END_TEST

/* A container without a namespace of its own: the path is the host's, the mount shows its own part only. */
START_TEST(mount_of_a_part)
{
    static const file inside[] = { { GROUP, "5:cpuacct,cpu:/docker/42\n" },
                                   { MOUNTS, V1_MOUNTS("/docker/42") },
                                   { "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n" },
                                   { "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n" },
                                   { NULL, NULL } };
    static const file below[] = { { GROUP, "0::/pod/42/app\n" },
                                  { MOUNTS, "9 1 0:26 /pod/42 /cg rw - cgroup2 none rw\n" },
                                  { "/cg/app/cpu.max", "200000 100000\n" },
                                  { NULL, NULL } };
    static const file other[] = { { GROUP, "0::/pod/4\n" },
                                  { MOUNTS, "9 1 0:26 /pod/42 /cg rw - cgroup2 none rw\n" },
                                  { "/cg/cpu.max", "200000 100000\n" },
                                  { NULL, NULL } };
    static const file outside[] = { { GROUP, "0::/../../x\n" },
                                    { MOUNTS, V2_MOUNT },
                                    { "/sys/fs/cgroup/cpu.max", "200000 100000\n" },
                                    { NULL, NULL } };

    ck_assert_uint_eq(cpus(inside), 1);
    ck_assert_uint_eq(cpus(below), 2);
    ck_assert_uint_eq(cpus(other), 2);
    ck_assert_uint_eq(cpus(outside), 2);
}
END_TEST

START_TEST(both_versions_and_odd_names)
{
    static const file hybrid[] = { { GROUP, "3:cpu:/a\n0::/b\n" },
                                   { MOUNTS, V2_MOUNT "41 22 0:31 / /mnt/x\\040y rw - cgroup c rw,cpu\n" },
                                   { "/sys/fs/cgroup/b/cpu.max", "900000 100000\n" },
                                   { "/mnt/x y/a/cpu.cfs_quota_us", "600000" },
                                   { "/mnt/x y/a/cpu.cfs_period_us", "100000" },
                                   { NULL, NULL } };

    ck_assert_uint_eq(cpus(hybrid), 6);
}
END_TEST

/* Paths that are longer than the buffers, and deeper than anybody nests. */
START_TEST(too_long)
{
    static char group[20000], mounts[20000];
    file files[] = { { GROUP, group }, { MOUNTS, mounts }, { NULL, NULL } };
    size_t n;

    for (n = 10; n < 9000; n += 37) {
        memset(group, n % 2 != 0 ? 'a' : '/', sizeof(group));
        memcpy(group, "0::/", 4);
        strcpy(group + n, "\n");
        snprintf(mounts, sizeof(mounts), "1 2 3:4 / /%.*s rw - cgroup2 none rw\n", (int)n, group + 4);
        ck_assert_uint_eq(cpus(files), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cgroup");
    TCase *tc = tcase_create("cgroup");
    SRunner *r;
    int failed;

    tcase_add_test(tc, no_quota);
    tcase_add_test(tc, version_2);
    tcase_add_test(tc, parents_count);
    tcase_add_test(tc, version_1);
    tcase_add_test(tc, mount_of_a_part);
    tcase_add_test(tc, both_versions_and_odd_names);
    tcase_add_test(tc, too_long);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
