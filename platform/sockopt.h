/* SPDX-License-Identifier: MIT */
/* Socket options by number: what is the same everywhere, and what a system adds. */
#ifndef GNP_SOCKOPT_H
#define GNP_SOCKOPT_H

#include "sock.h"

/* The sockets that have an option, and its peculiarities. */
enum {
    PX_STREAM = 1 << GNP_STREAM,
    PX_LISTENER = 1 << GNP_LISTENER,
    PX_DGRAM = 1 << GNP_DGRAM,
    PX_UNIX = 16,
    PX_IP = 32,
    PX_TCP = PX_STREAM | PX_LISTENER | PX_IP,
    PX_UDP = PX_DGRAM | PX_IP,
    PX_ANY = PX_STREAM | PX_LISTENER | PX_DGRAM | PX_IP,
    PX_READ_ONLY = 64,
    PX_BYTE = 128, /* on IPv4 sockets an unsigned char; Linux takes an int, too */
    PX_CUT = 256   /* more than max is max */
};

/* An option that the system has as one integer. */
typedef struct gnp_px_opt {
    int opt;           /* GNP_OPT_..., 0 ends a table */
    unsigned on;       /* PX_... */
    int64_t min, max;  /* max > INT32_MAX: the system's int is unsigned */
    int level, name;
    int level6, name6; /* of IPv6 sockets if not the same, else 0; the other is then set as well, for
                          peers with a mapped address */
} gnp_px_opt;

/* The system's own, beside those of posix/sockopt.c and win32/sockopt.c. */
extern const gnp_px_opt gnp_px_os_opts[];

#endif
