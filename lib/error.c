/* SPDX-License-Identifier: MIT */
#include "../include/gannet.h"
#include "../platform/err.h"

/* The platform's codes are the public ones: what it returns is passed on as it is. */
#define SAME(name) _Static_assert((int)GN_##name == (int)GNP_##name, "GN_" #name " is GNP_" #name)
SAME(OK);
SAME(EOF);
SAME(EINVAL);
SAME(ENOMEM);
SAME(ENOTSUP);
SAME(EADDR);
SAME(EADDRINUSE);
SAME(EADDRNOTAVAIL);
SAME(EACCES);
SAME(EMFILE);
SAME(ENFILE);
SAME(ENOBUFS);
SAME(ECONNREFUSED);
SAME(ECONNRESET);
SAME(ECONNABORTED);
SAME(EPIPE);
SAME(ETIMEDOUT);
SAME(ENETUNREACH);
SAME(EHOSTUNREACH);
SAME(EEXIST);
SAME(ENAMETOOLONG);
SAME(ENOENT);
SAME(EMSGSIZE);
SAME(EBUSY);
SAME(ENOTCONN);
SAME(EIO);
_Static_assert((int)GN_EAGAIN == (int)GNP_AGAIN, "GN_EAGAIN is GNP_AGAIN");

const char *gn_strerror(int code)
{
    /* No default: the compiler tells when a code has no text. */
    switch ((gn_error)code) {
    case GN_OK: return "GN_OK: no error";
    case GN_EAGAIN: return "GN_EAGAIN: would block, try again after an event";
    case GN_EOF: return "GN_EOF: the peer ended its stream";
    case GN_EINVAL: return "GN_EINVAL: an argument is out of range or NULL";
    case GN_ENOMEM: return "GN_ENOMEM: out of memory";
    case GN_ENOTSUP: return "GN_ENOTSUP: not supported by this object, poller or system";
    case GN_EADDR: return "GN_EADDR: the address does not parse or does not resolve";
    case GN_ESCHEME: return "GN_ESCHEME: the address names a scheme that is not known";
    case GN_EADDRINUSE: return "GN_EADDRINUSE: the address is in use";
    case GN_EADDRNOTAVAIL: return "GN_EADDRNOTAVAIL: the address is not of this host";
    case GN_EACCES: return "GN_EACCES: permission denied";
    case GN_EMFILE: return "GN_EMFILE: the process has no descriptor left";
    case GN_ENFILE: return "GN_ENFILE: the system has no descriptor left";
    case GN_ENOBUFS: return "GN_ENOBUFS: the system has no buffer space left";
    case GN_ECONNREFUSED: return "GN_ECONNREFUSED: nobody listens there";
    case GN_ECONNRESET: return "GN_ECONNRESET: the peer reset the connection";
    case GN_ECONNABORTED: return "GN_ECONNABORTED: the connection died before it was accepted";
    case GN_EPIPE: return "GN_EPIPE: the peer no longer reads";
    case GN_ETIMEDOUT: return "GN_ETIMEDOUT: a deadline passed";
    case GN_ENETUNREACH: return "GN_ENETUNREACH: no route to that network";
    case GN_EHOSTUNREACH: return "GN_EHOSTUNREACH: no route to that host";
    case GN_EEXIST: return "GN_EEXIST: the path is taken by something that is no socket";
    case GN_ENAMETOOLONG: return "GN_ENAMETOOLONG: the name is longer than the system allows";
    case GN_ENOENT: return "GN_ENOENT: no such file, device or poller";
    case GN_ECLOSED: return "GN_ECLOSED: the connection or the engine is closed";
    case GN_ESHUTDOWN: return "GN_ESHUTDOWN: the engine is stopping";
    case GN_ECANCELED: return "GN_ECANCELED: the operation was cancelled";
    case GN_EMSGSIZE: return "GN_EMSGSIZE: the datagram is larger than the transport takes";
    case GN_ELIMIT: return "GN_ELIMIT: a limit that the options set was reached";
    case GN_EBUSY: return "GN_EBUSY: the object is in a state that forbids this";
    case GN_ENOTCONN: return "GN_ENOTCONN: the socket is not connected";
    case GN_EIO: return "GN_EIO: an error without a code of its own, see gn_os_error";
    case GN_EDEADLOCK: return "GN_EDEADLOCK: waiting here could wait for itself";
    case GN_EMALFORMED: return "GN_EMALFORMED: the bytes break a framing rule";
    }
    return "unknown gannet error";
}

int gn_os_error(void)
{
    return gnp_os_error();
}

#define TEXT(x) #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *gn_version(void)
{
    return VERSION(GN_VERSION_MAJOR, GN_VERSION_MINOR, GN_VERSION_PATCH);
}
