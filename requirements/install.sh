#!/bin/sh
# Creates .venv in the current folder and installs the project into it. Usage: requirements/install.sh [runtime|dev]
#
# Three steps, because a plain `pip install` would follow mup to torchvision and from there to gigabytes of CUDA packages:
# torch with its own dependencies, then a complete lock file without torchvision, then the project itself.
# dev adds training frameworks for the tests, whose own dependencies conflict with the project's (frameworks.in).
set -eu

lock="${1:-runtime}"

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-python3} python3.11 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s' "$candidate"
            return
        fi
    done
    found="$("${PYTHON:-python3}" --version 2>&1 || true)"
    say "error: hptransfer needs Python 3.11 or newer"
    say "  received: ${found:-no python3 on PATH}"
    say ""
    say "hint: install a newer Python, or name one: make PYTHON=/path/to/python3.11 ..."
    exit 4
}

# the locks that a set-up installs after torch, one by one: deepspeed's build imports what dev.lock brings
locks() {
    case "$lock" in
        dev) echo "build dev frameworks" ;;
        *) echo "build $lock" ;;
    esac
}

fingerprint() {
    {
        cat requirements/torch.txt
        for name in $(locks); do cat "requirements/$name.lock"; done
        cat pyproject.toml
    } | cksum | tr ' ' '-'
}

install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile "$@" || {
        say ""
        say "error: pip could not install: $*"
        say "hint: the set-up downloads from a Python package index. Is the network up? Behind a mirror, set PIP_INDEX_URL"
        say "      (and PIP_FIND_LINKS for wheels on disk), then run the same command again: it continues where it stopped."
        exit 4
    }
}

# dev contains runtime, so a dev environment serves both
if [ -x .venv/bin/python ]; then
    for done_lock in dev "$lock"; do
        stamp=".venv/.installed-$done_lock"
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(lock=$done_lock; fingerprint)" ]; then
            exit 0
        fi
    done
else
    python="$(find_python)"
    say "creating .venv with $("$python" --version)"
    "$python" -m venv .venv || {
        rm -rf .venv
        say ""
        say "error: $python cannot create a virtual environment"
        say "hint: on Debian and Ubuntu: apt-get install python3-venv"
        exit 4
    }
fi

say "installing torch (the largest download)"
install --requirement requirements/torch.txt
for name in $(locks); do
    say "installing pinned dependencies ($name.lock)"
    install --no-deps --no-build-isolation --requirement "requirements/$name.lock"
done
say "installing hptransfer"
install --no-deps --no-build-isolation --editable .
say "compiling"  # by all cores, where pip takes one; some packages ship files that are no Python of this version
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
fingerprint > ".venv/.installed-$lock"
say "ready: .venv/bin/hptransfer --help"
