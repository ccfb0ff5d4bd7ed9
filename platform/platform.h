/* SPDX-License-Identifier: MIT */
/*
 * Everything that the core may ask of an operating system.  lib/, tests/, examples/ and
 * bench/ name no system and include no header of one; they come here.
 *
 * Names: gnp_ for this layer.  Threads: [any] from any; otherwise a poller and its sockets
 * belong to the thread that opened it.  Errors: err.h.
 */
#ifndef GNP_PLATFORM_H
#define GNP_PLATFORM_H

#include "addr.h"
#include "atomic.h"
#include "cpu.h"
#include "err.h"
#include "mem.h"
#include "poll.h"
#include "sock.h"
#include "sys.h"
#include "thread.h"
#include "time.h"

#endif
