/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

/* Linux 4.5: a program of classic BPF names the socket, by its number in the group; here the CPU that
 * has received the packet, modulo n. */
int gnp_reuseport_by_cpu(const gnp_sock *s, unsigned n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0)
    };
    struct sock_fprog program;

    memset(&program, 0, sizeof(program)); /* the padding too: memory checkers look at it */
    program.len = sizeof(code) / sizeof(code[0]);
    program.filter = code;
    if (n == 0)
        return gnp_px_fail(EINVAL);
    if (s->family == GNP_FAMILY_UNIX || s->kind == GNP_STREAM)
        return gnp_px_fail(EOPNOTSUPP);
    if (setsockopt((int)s->os, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
        return gnp_px_fail(errno);
    return GNP_OK;
}
