# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the tests with real clients share: TAP lines, and servers that are started, asked where
# they listen, and stopped by their process number.  Sourced; the current folder is the
# top of the build.

TESTS_RUN=0
TESTS_BAD=0
TMP=$(mktemp -d "${TMPDIR:-/tmp}/gannet-interop.XXXXXX") || exit 99
# shellcheck disable=SC2034 # for the tests
OUT=$TMP/out
SERVER=
SERVER_STATUS=

cleanup()
{
    [ -z "$SERVER" ] || kill -KILL "$SERVER" 2>/dev/null
    rm -rf "$TMP"
}
trap cleanup EXIT
trap 'exit 99' HUP INT TERM

# ok STATUS NAME [DETAIL]: one test case; what DETAIL says is shown if it failed.
ok()
{
    TESTS_RUN=$((TESTS_RUN + 1))
    if [ "$1" = 0 ]; then
        echo "ok $TESTS_RUN - $2"
        return
    fi
    TESTS_BAD=$((TESTS_BAD + 1))
    echo "not ok $TESTS_RUN - $2"
    [ -z "${3-}" ] || printf '%s\n' "$3" | sed 's/^/# /'
}

# is GOT WANT NAME
is()
{
    if [ "$1" = "$2" ]; then
        ok 0 "$3"
    else
        ok 1 "$3" "got:  $1
want: $2"
    fi
}

# has TEXT PATTERN NAME: a case pattern, to be found somewhere in the text.
has()
{
    # shellcheck disable=SC2254 # it is a pattern
    case $1 in
    *$2*) ok 0 "$3" ;;
    *) ok 1 "$3" "no '$2' in: $1" ;;
    esac
}

same_file()
{
    if cmp -s "$1" "$2"; then
        ok 0 "$3"
    else
        ok 1 "$3" "$(wc -c <"$1") bytes and $(wc -c <"$2"): $(cmp "$1" "$2" 2>&1)"
    fi
}

skip()
{
    TESTS_RUN=$((TESTS_RUN + 1))
    echo "ok $TESTS_RUN - $1 # SKIP $2"
}

finish()
{
    echo "1..$TESTS_RUN"
    [ "$TESTS_BAD" = 0 ]
    exit
}

have()
{
    command -v "$1" >/dev/null 2>&1
}

# need TOOL...: without it nothing here can be tested.
need()
{
    for tool; do
        have "$tool" || {
            echo "1..0 # SKIP $tool is not installed"
            exit 77
        }
    done
}

# bound SECONDS COMMAND...: ends it if it hangs.
bound()
{
    timeout -k 5 "$@"
}

# scaled N: N times $GANNET_TEST_SCALE, at least 1.
scaled()
{
    awk -v n="$1" -v s="${GANNET_TEST_SCALE:-1}" 'BEGIN { n = int(n * s); print n < 1 ? 1 : n }'
}

# What goes before a server.  A wrapper such as valgrind must see the program itself and not the
# script that libtool puts before a program whose library is not installed.
WRAP=
[ -z "${GANNET_EXEWRAP-}" ] || WRAP="./libtool --mode=execute $GANNET_EXEWRAP"

# Servers of Windows, which have no such script before them.  Of SIGINT the emulator makes Ctrl+C, of SIGTERM
# nothing.
EXE='' STOP=TERM
[ ! -f ./examples/echo.exe ] || EXE=.exe STOP=INT WRAP=${GANNET_EXEWRAP-}

# lacks FEATURE: where the servers run there is no such thing, see tests/tools/check-wine.
lacks()
{
    case " ${GANNET_EMULATOR_LACKS-} " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

# Windows ends its lines with two characters.
plain_lines()
{
    for said in stdout stderr; do
        tr -d '\r' <"$TMP/$said" >"$TMP/plain"
        cp "$TMP/plain" "$TMP/$said"
    done
}

# Rarely wine's server drops a process that has not begun yet, when several do; then it is started again.
dropped()
{
    [ -n "$EXE" ] && grep -q '^wine client error:0:' "$TMP/stderr"
}

# server_run PROGRAM ARG...: in the foreground, for those that end by themselves.
# Sets SERVER_STATUS; its output is in $TMP/stdout and $TMP/stderr.
server_run()
{
    program=$1
    shift
    for _ in 1 2 3; do
        # shellcheck disable=SC2086 # the wrapper is a command with its arguments
        bound 20 $WRAP "./examples/$program$EXE" "$@" >"$TMP/stdout" 2>"$TMP/stderr" </dev/null
        SERVER_STATUS=$?
        dropped || break
    done
    [ -z "$EXE" ] || plain_lines
}

# server_start LINES PROGRAM ARG...: waits until it has said LINES times where it listens.
# Sets SERVER; 1 if it ended instead.
server_start()
{
    for _ in 1 2 3; do
        if server_begin "$@"; then return 0; fi
        dropped || break
    done
    sed 's/^/# /' "$TMP/stderr"
    return 1
}

server_begin()
{
    lines=$1 program=$2 turns=0
    shift 2
    : >"$TMP/stdout"
    # shellcheck disable=SC2086 # words again
    $WRAP "./examples/$program$EXE" "$@" >"$TMP/stdout" 2>"$TMP/stderr" </dev/null &
    SERVER=$!
    while [ "$(grep -c '^listening on ' "$TMP/stdout")" -lt "$lines" ]; do
        turns=$((turns + 1))
        if [ "$turns" -gt 400 ] || ! kill -0 "$SERVER" 2>/dev/null; then
            server_stop KILL
            return 1
        fi
        sleep 0.05
    done
}

# server_start_aside LINES PROGRAM ARG...: for clients that go on after their server has ended.  It listens, too,
# at a port that the system does not give by itself (from 32768 on, ip(7)): another program that runs now, and
# leaves its port to the system, must not get this one and these clients with it.
server_start_aside()
{
    for i in 0 1 2 3 4; do
        server_start "$@" --listen "tcp://127.0.0.1:$((2000 + ($$ + i * 997) % 7000))" && return
    done
    return 1
}

# server_stop [SIGNAL]: by number; sets SERVER_STATUS.
server_stop()
{
    [ -n "$SERVER" ] || return 0
    signal=${1:-TERM}
    [ "$signal" != TERM ] || signal=$STOP
    kill "-$signal" "$SERVER" 2>/dev/null
    wait "$SERVER" 2>/dev/null
    SERVER_STATUS=$?
    SERVER=
    [ -z "$EXE" ] || plain_lines
}

# server_stopped NAME: stops it and tests that it ended in order and in silence.  (valgrind begins
# lines of its own with dashes: an old one does not know every system call.)
server_stopped()
{
    server_stop TERM
    said=$(sed '/^--[0-9]*-- /d' "$TMP/stderr")
    is "$SERVER_STATUS $said" "0 " "$1"
}

# url N: the N-th address, such as tcp://127.0.0.1:40123; at N: without the scheme.
url()
{
    tr -d '\r' <"$TMP/stdout" | sed -n 's/^listening on //p' | sed -n "$1p"
}

at()
{
    url "$1" | sed 's|^[a-z0-9]*://||'
}

# socat_addr URL: the same address in socat's words.
socat_addr()
{
    case $1 in
    unix://*) echo "UNIX-CONNECT:${1#unix://}" ;;
    udp*) echo "UDP:${1#udp*://}" ;;
    *) echo "TCP:${1#tcp*://}" ;;
    esac
}

# pollers: the names of those that work here, from the program's help.
pollers()
{
    # shellcheck disable=SC2086 # words again
    $WRAP "./examples/echo$EXE" --help | tr -d '\r' | sed -n 's/^  --poller NAME *//p' |
        sed 's/ *[a-z0-9_]* (not on this system)//g'
}

# has_ipv6: asks somebody else's program, which waits for a client if it can have the address.
has_ipv6()
{
    have socat || return 1
    timeout 0.3 socat -u 'TCP6-LISTEN:0,bind=[::1]' - >/dev/null 2>&1 </dev/null
    [ $? = 124 ]
}

# random_file MEBIBYTES FILE
random_file()
{
    dd if=/dev/urandom of="$2" bs=1048576 count="$1" 2>/dev/null
}
