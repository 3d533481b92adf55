#!/bin/sh
# try_pythons.sh FOLDER: for each Python from 3.11 to 3.13 that is there and is not that of the environment
# FOLDER, make an environment of its own from the locks and run the tests that meet every library: the service
# with one worker and with several, training, export, the command line.
set -eu

TESTS="tests/service/test_app.py tests/service/whole/test_workers.py tests/training/test_main.py tests/deploy/test_supply.py"
here=$(dirname "$0")
own=$("$1/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

for version in 3.11 3.12 3.13; do
    if [ "$version" = "$own" ]; then
        echo "Python $version: that of $1, which make test proves"
        continue
    fi
    found=$(sh "$here/make_venv.sh" --list | while read -r name; do
        if [ "$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$version" ]; then echo "$name"; break; fi
    done)
    if [ -z "$found" ]; then
        echo "Python $version: not there"
        continue
    fi
    venv=.venvs/$version
    PYTHON="$found" sh "$here/make_venv.sh" "$venv"
    for lock in build dev; do
        "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: \
            -r "requirements-$lock.txt"
    done
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --editable .
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile $TESTS
    echo "Python $version: passed"
done
