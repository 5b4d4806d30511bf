#!/bin/sh
# Makes or repairs .venv with everything that poa_bench, its tests and its demo need. Called by `make`; safe to call again
# at any time: what is there is kept, what an interruption left half-made is finished.
#   PYTHON=...           the interpreter to use (default: the first of python3, python3.12, python3.11, python3.10 that fits)
#   MINIMUM_FREE_GB=...  the free disk space asked for before the first download (default 8)
#   MMCV_OPS=compiled    compile mmcv's operators, which needs a C++ compiler (default: torchvision's stand in for them);
#            torchvision goes back. Without it, what is there stays.
set -eu
cd "$(dirname "$0")/.."
environment=.venv
torch_cuda_major=13 # the CUDA version that the pinned torch was built for

say() { printf 'setup: %s\n' "$*"; }
missing=""
lacks() { missing="${missing}  - $1
"; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
        if fits "$candidate"; then command -v "$candidate"; return; fi
    done
}

check_machine() {
    python=$(find_python)
    if [ -z "$python" ]; then
        lacks "Python 3.10, 3.11 or 3.12 (${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1 || true)).
    Debian/Ubuntu: apt install python3 python3-venv python3-dev; or name one: make demo PYTHON=/path/to/python3.12"
    else
        "$python" -c 'import venv, ensurepip' 2>/dev/null ||
            lacks "Python's venv and ensurepip modules for $python. Debian/Ubuntu: apt install python3-venv"
        [ "$MMCV_OPS" != compiled ] || check_compiler
    fi
    command -v git >/dev/null || lacks "git, which stamps results with the version of the code. Debian/Ubuntu: apt install git"
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    if [ "$free" -lt "${MINIMUM_FREE_GB:-8}" ] && ! ls $environment/lib/python*/site-packages/torch >/dev/null 2>&1; then
        lacks "disk space: ${MINIMUM_FREE_GB:-8} GB are needed here, $free GB are free (to try all the same: MINIMUM_FREE_GB=$free)"
    fi
    if [ -n "$missing" ]; then
        printf 'setup: this machine lacks\n%s' "$missing" >&2
        exit 1
    fi
}

check_compiler() {
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    [ -f "$headers/Python.h" ] ||
        lacks "Python's headers ($headers/Python.h), to compile mmcv's operators. Debian/Ubuntu: apt install python3-dev"
    printf '#include <optional>\nint main() { return std::optional<int>(0).value(); }\n' |
        ${CXX:-c++} -std=c++17 -x c++ -fsyntax-only - 2>/dev/null ||
        lacks "a C++17 compiler (${CXX:-c++}), to compile mmcv's operators. Debian/Ubuntu: apt install g++"
}

# One compiler needs up to 2 GB: as many as there are cores and memory for.
compile_jobs() {
    cores=$(getconf _NPROCESSORS_ONLN)
    by_memory=$(awk '/^MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null || true)
    [ "${by_memory:-$cores}" -ge "$cores" ] && echo "$cores" || echo $((by_memory > 1 ? by_memory : 1))
}

# With a GPU and no matching CUDA compiler, mmcv's build would stop: build its CPU operators then, and say so.
choose_cuda() {
    command -v nvidia-smi >/dev/null || return 0
    toolkit=$("${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\).*/\1/p')
    [ "$toolkit" = "$torch_cuda_major" ] && return 0
    say "no CUDA $torch_cuda_major compiler (nvcc) found: the compiled operators are for the CPU only, so detection does not train on"
    say "the GPU. torchvision's do: make setup MMCV_OPS=torchvision"
    export CUDA_VISIBLE_DEVICES=""
}

compiled_operators() { ls $environment/lib/python*/site-packages/mmcv/_ext*.so >/dev/null 2>&1; }

compile_operators() {
    choose_cuda
    MAX_JOBS=${MAX_JOBS:-$(compile_jobs)}
    export MAX_JOBS
    say "compiling mmcv's operators with $MAX_JOBS jobs: about 10 minutes on 2 cores, in which little is printed."
    install_packages() { $environment/bin/uv pip install --python $environment/bin/python "$@"; }
    install_packages --quiet ninja psutil packaging wheel 'setuptools>=80,<82'
    CFLAGS="-O2 -g0" install_packages --no-build-isolation --no-cache --no-deps \
        --reinstall-package onedl-mmcv "$(grep '^onedl-mmcv==' poa_bench/tested-versions.txt)"
}

# Nothing has changed since the last call, and what it made works (it may have been moved, or its Python removed).
is_ready() {
    [ "$MMCV_OPS" != compiled ] || compiled_operators || return 1
    [ "$MMCV_OPS" != torchvision ] || ! compiled_operators || return 1
    for file in pyproject.toml setup.py tools/setup_environment.sh; do
        [ -n "$(find $environment/.ready -newer $file 2>/dev/null)" ] || return 1
    done
    $environment/bin/poa-bench --version >/dev/null 2>&1
}

is_sound() {
    fits $environment/bin/python && $environment/bin/python -m pip --version >/dev/null 2>&1 &&
        grep -qs "$(pwd -P)/$environment" $environment/bin/activate
}

MMCV_OPS=${MMCV_OPS:-}
case $MMCV_OPS in "" | torchvision | compiled) ;; *)
    printf "setup: MMCV_OPS is '%s': use torchvision (the default) or compiled\n" "$MMCV_OPS" >&2
    exit 1
    ;;
esac
if is_ready; then exit 0; fi
check_machine
if ! is_sound; then
    say "making $environment with $python ($("$python" --version 2>&1))"
    "$python" -m venv --clear $environment
fi
$environment/bin/uv --version >/dev/null 2>&1 || $environment/bin/python -m pip install --quiet 'uv>=0.9'

UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
UV_PROJECT_ENVIRONMENT=$environment
export UV_HTTP_TIMEOUT UV_PROJECT_ENVIRONMENT
unset VIRTUAL_ENV CONDA_PREFIX || true
say "installing. The first time, about 3 GB are downloaded; later clones take them from uv's cache."
install() { $environment/bin/uv sync --inexact --all-extras --python $environment/bin/python "$@"; }
# From uv's cache alone first: that is quick, and nothing is built again where a registry's mirror forbids caching.
if ! install --offline --quiet 2>/dev/null && ! install; then
    say "installing failed, see above. What was done is kept: call the same command again to go on." >&2
    exit 1
fi
[ "$MMCV_OPS" != compiled ] || compiled_operators || compile_operators
[ "$MMCV_OPS" != torchvision ] || ! compiled_operators || install --quiet --reinstall-package onedl-mmcv
$environment/bin/python -m poa_bench.doctor
touch $environment/.ready
