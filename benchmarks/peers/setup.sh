#!/bin/sh
# Installs what the benchmarks compare with into .venv-bench: simulators (about 1.5 GB, two minutes) and routers (0.3 GB).
# Run it as often as you like: what is there already is left alone.
#   PYTHON=python3.11 benchmarks/peers/setup.sh
set -eu
cd "$(dirname "$0")/../.."
test -x .venv-bench/bin/python || "${PYTHON:-python3}" -m venv .venv-bench

install() { # name, stamp, pip arguments...
    name=$1 stamp=.venv-bench/installed-$2
    shift 2
    test -e "$stamp" && echo "$name: already installed" && return
    if .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check "$@"; then
        touch "$stamp" && echo "$name: installed"
    else
        echo "$name: could not be installed; the benchmark goes on without it" >&2
    fi
}

install "Dynamo runtime 1.6.1" dynamo-runtime-1.6.1 ai-dynamo-runtime==1.6.1
# the Python face of the replay; its own requirements (Kubernetes, Redis, transformers) are not needed for it
install "Dynamo replay 1.6.1" dynamo-1.6.1 --no-deps ai-dynamo==1.6.1
install "vidur 0.0.26" vidur-0.0.26 vidur==0.0.26
# routers
install "vllm-router 0.1.17" vllm-router-0.1.17 vllm-router==0.1.17
install "sglang-router 0.3.2" sglang-router-0.3.2 sglang-router==0.3.2
install "smg 1.13.0" smg-1.13.0 smg==1.13.0
