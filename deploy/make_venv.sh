#!/bin/sh
# make_venv.sh FOLDER: an environment of the newest Python from 3.11 to 3.13 that is there and works, or of
# $PYTHON. Says in one sentence what is missing. `make_venv.sh --list` prints all that would do, the newest first.
set -u

RANGE="Python 3.11, 3.12 or 3.13"
PROBE='import sys; v = sys.version_info[:2]; print("%d.%d" % v)
sys.exit(not (3, 11) <= v <= (3, 13) or sys.implementation.name != "cpython")'

fail() {
    echo "error: $*" >&2
    exit 1
}

# A version manager's shim may be there for a version that it has not been told to use: it is run, to see.
version_of() {
    "$1" -c "$PROBE" 2>/dev/null
}

# Debian and Ubuntu have both apart from Python itself: ensurepip is missing, or its wheels are.
can_make() {
    "$1" -c 'import venv, ensurepip; ensurepip.version()' >/dev/null 2>&1
}

candidates() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        if version_of "$name" >/dev/null; then echo "$name"; fi
    done
}

choose() {
    first=
    for name in $(candidates); do
        if can_make "$name"; then
            echo "$name"
            return
        fi
        first=${first:-$name}
    done
    echo "$first"
}

if [ "${1:-}" = --list ]; then
    candidates
    exit 0
fi
[ $# = 1 ] || fail "give the folder of the environment"

if [ -n "${PYTHON:-}" ]; then
    found=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON is ${found:+Python $found, }not one of $RANGE that runs."
else
    PYTHON=$(choose)
    [ -n "$PYTHON" ] || fail "there is no $RANGE here; install one, or tell where it is: make PYTHON=/path/to/python3.13"
    found=$(version_of "$PYTHON")
fi
can_make "$PYTHON" || fail "Python $found has no venv: install it (Debian, Ubuntu: apt install python$found-venv)" \
    "and run make again."
# What was there is of another Python, or half made.
if ! "$PYTHON" -m venv --clear "$1"; then
    rm -rf "$1"
    fail "Python $found could not make $1; on Debian or Ubuntu, apt install python$found-venv may help."
fi
echo "$1 is of Python $found ($PYTHON)"
