#!/bin/sh
# make_clients.sh FOLDER: clients of other servers, unmodified, as the tests of dialects drive them: each lock in
# deploy/clients in an environment of its own below FOLDER, for their libraries do not go together. What is there
# already and newer than its lock stays.
set -eu

here=$(dirname "$0")
folder=$1

make_one() {
    name=$1
    venv=$folder/$name
    lock=$here/clients/$name.txt
    if [ -e "$venv.made" ] && [ ! "$lock" -nt "$venv.made" ]; then return; fi
    options=
    # A program is all that is used of these; it needs nothing of Python.
    if [ "$name" = perf ]; then options=--no-deps; fi
    sh "$here/make_venv.sh" "$venv"
    if [ "$name" = mlserver ] && ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
        echo "mlserver is not for this Python: its tests are skipped"
        return
    fi
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r "$lock" \
        --no-compile $options
    if [ "$name" = perf ]; then
        chmod +x "$venv/bin/perf_analyzer"
        # A library of Debian's that it is linked to, beside it: nothing is installed on this machine.
        (cd "$venv" && apt-get -qq download libb64-0d && dpkg -x libb64-0d_*.deb .) ||
            echo "perf_analyzer needs libb64-0d, which apt-get does not find here"
    fi
    touch "$venv.made"
}

mkdir -p "$folder"
waiting=
for lock in "$here"/clients/*.txt; do
    name=$(basename "$lock" .txt)
    make_one "$name" &
    waiting="$waiting $name:$!"
done
failed=
for each in $waiting; do
    wait "${each#*:}" || failed="$failed ${each%:*}"
done
[ -z "$failed" ] || {
    echo "error: not made:$failed" >&2
    exit 1
}
echo "clients of other servers are in $folder"
