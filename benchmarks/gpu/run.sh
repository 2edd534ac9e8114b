#!/usr/bin/env bash
# Measures the worker on a GPU, and lookups and workers on many cores, within ten minutes.
#
#     bash benchmarks/gpu/run.sh [--out FOLDER] [--seconds N] [--device cpu|cuda] [--network resnet50] [--only PART ...]
#
# Needs Python 3.12 with PyTorch, torchvision, numpy and Pillow, and no network: whatever else is imported comes from
# benchmarks/gpu/wheels, which carry.sh fills beforehand. The checkout need not be installed. Writes results.json and
# results.md into FOLDER (benchmarks/gpu/results) after each part, so that an interrupted run keeps what it has found.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=$PWD/benchmarks/gpu/wheels

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$wheels/*.whl" > /dev/null && "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, 12))"; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
fi
"$python" benchmarks/harness/checkout_metadata.py "$site"

export PYTHONPATH="$site:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export PATH="$wheels/bin:$PATH" LD_LIBRARY_PATH="$wheels/bin${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" # wrk and its library
"$python" -m benchmarks.gpu "$@"
