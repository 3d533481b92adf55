#!/bin/sh
# make_clients.sh FOLDER: clients of other servers, unmodified, as the tests of dialects drive them: each lock in
# deploy/clients in an environment of its own below FOLDER, for their libraries do not go together. What has been
# made of the same lock stays.
set -eu

here=$(dirname "$0")
folder=$1

make_one() {
    name=$1
    venv=$folder/$name
    lock=$here/clients/$name.txt
    if cmp -s "$lock" "$venv.made"; then return; fi
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
    if [ "$name" = light ]; then get_examples "$venv/examples"; fi
    cp "$lock" "$venv.made"
}

# NVIDIA's image clients are files of its repository, in no package. Where it cannot be reached their test is skipped.
get_examples() {
    mkdir -p "$1"
    commit=58a44caa0dce77303115302e6dbdf64626b2b093
    from=https://raw.githubusercontent.com/triton-inference-server/client/$commit/src/python/examples
    while read -r sum file; do
        if curl -fsS --max-time 20 -o "$1/.$file" "$from/$file" 2>/dev/null &&
            echo "$sum  $1/.$file" | sha256sum --check --status; then
            mv "$1/.$file" "$1/$file"
        else
            echo "$file could not be fetched"
        fi
    done <<END
d39b7e14b3af9d028ceb8fd2e99edf78cdec8312c6731d5a77c7d1ab904759c0 image_client.py
7ff5c7bf5c0e6c71d4cca7386799dc825fc5e61663ed9af4eaa61c2051e7fe7e ensemble_image_client.py
END
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
